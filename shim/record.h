// SPDX-License-Identifier: Apache-2.0
// Recording of a program's calls (IOMMUSIM_RECORD=FILE): how the shim drives trace/record.h. All of it is nothing when
// there is no recording. Locked by the caller.
#pragma once

#include "shim/shim_internal.h"

#ifdef __cplusplus
extern "C" {
#endif

// Begins when the first simulated file is opened, if a recording is asked for: programs that open none leave none.
void shim_record_start(struct shim *s);
void shim_record_end(struct shim *s);
// A process begins; `user` becomes one that records. And ends.
void shim_record_process(struct shim *s, struct shim_proc *p, struct ims_user *user);
void shim_record_exit(struct shim *s, struct shim_proc *p);

void shim_record_rights(struct shim *s, struct shim_proc *p, unsigned caps, uint64_t memlock); // before a call

void shim_record_open(struct shim *s, struct shim_proc *p, const char *path, long result, struct shim_fd *f);
void shim_record_share(struct shim *s, const struct shim_fd *from, struct shim_fd *to);
void shim_record_adopt(struct shim *s, struct shim_fd *f);
void shim_record_close(struct shim *s, struct shim_fd *f);

// A call begins, and ends with its result.
void shim_record_ioctl(struct shim *s, const struct shim_fd *f, uint32_t cmd, uint64_t arg);
void shim_record_read(struct shim *s, const struct shim_fd *f, uint64_t buf, size_t len, uint64_t offset);
void shim_record_write(struct shim *s, const struct shim_fd *f, uint64_t buf, size_t len, uint64_t offset);
void shim_record_mmap(struct shim *s, const struct shim_fd *f, uint64_t offset, uint64_t len, unsigned prot,
                      bool shared);
void shim_record_munmap(struct shim *s, const struct shim_window *w);
void shim_record_result(struct shim *s, long result);
void shim_record_mapped(struct shim *s, long result, uint64_t cookie);

#ifdef __cplusplus
}
#endif
