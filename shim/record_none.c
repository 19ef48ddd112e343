// SPDX-License-Identifier: Apache-2.0
// Recording, as long as trace/record.h has nothing behind it: none.
#include "shim/record.h"
void shim_record_start(struct shim *s, struct ims_mem_remote *remote) {
  (void)s;
  (void)remote;
}
void shim_record_end(struct shim *s) { (void)s; }
void shim_record_process(struct shim *s, struct shim_proc *p, struct ims_user *user) {
  (void)s;
  (void)p;
  (void)user;
}
void shim_record_exit(struct shim *s, struct shim_proc *p) {
  (void)s;
  (void)p;
}
void shim_record_open(struct shim *s, struct shim_proc *p, const char *path, long result, struct shim_fd *f) {
  (void)s;
  (void)p;
  (void)path;
  (void)result;
  (void)f;
}
void shim_record_share(struct shim *s, const struct shim_fd *from, struct shim_fd *to) {
  (void)s;
  (void)from;
  (void)to;
}
void shim_record_adopt(struct shim *s, struct shim_fd *f) {
  (void)s;
  (void)f;
}
void shim_record_close(struct shim *s, struct shim_fd *f) {
  (void)s;
  (void)f;
}
void shim_record_ioctl(struct shim *s, const struct shim_fd *f, uint32_t cmd, uint64_t arg) {
  (void)s;
  (void)f;
  (void)cmd;
  (void)arg;
}
void shim_record_read(struct shim *s, const struct shim_fd *f, uint64_t buf, size_t len, uint64_t offset) {
  (void)s;
  (void)f;
  (void)buf;
  (void)len;
  (void)offset;
}
void shim_record_write(struct shim *s, const struct shim_fd *f, uint64_t buf, size_t len, uint64_t offset) {
  (void)s;
  (void)f;
  (void)buf;
  (void)len;
  (void)offset;
}
void shim_record_mmap(struct shim *s, const struct shim_fd *f, uint64_t offset, uint64_t len, unsigned prot,
                      bool shared) {
  (void)s;
  (void)f;
  (void)offset;
  (void)len;
  (void)prot;
  (void)shared;
}
void shim_record_munmap(struct shim *s, const struct shim_window *w) {
  (void)s;
  (void)w;
}
void shim_record_result(struct shim *s, long result) {
  (void)s;
  (void)result;
}
void shim_record_mapped(struct shim *s, long result, uint64_t cookie) {
  (void)s;
  (void)result;
  (void)cookie;
}
