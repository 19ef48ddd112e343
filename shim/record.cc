// SPDX-License-Identifier: Apache-2.0
// Recording, by way of trace/record.h. The recorder lies in the arena like all else: whichever process makes a call writes
// it down, in the order of the calls.
#include "shim/record.h"
#include "trace/record.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

// The file. Its descriptor is inherited; a process that has lost it opens the file again.
class Sink : public ims::RecordSink {
public:
  // The file, or, while another program records into it (as when a shell has run both), FILE.PID.
  bool create(std::string path) {
    fd_ = open_locked(path);
    if (fd_ == -EWOULDBLOCK)
      fd_ = open_locked(path += "." + std::to_string(getpid()));
    struct stat st;
    if (fd_ < 0 || shim_sys(SYS_ftruncate, fd_, 0L) < 0 || shim_sys(SYS_fstat, fd_, &st) < 0)
      return false;
    device_ = st.st_dev;
    inode_ = st.st_ino;
    path_ = path;
    // Away from the numbers that the program counts on.
    for (long least = 1 << 18; least >= 64; least >>= 2) {
      long to = shim_sys(SYS_fcntl, fd_, F_DUPFD_CLOEXEC, least);
      if (to < 0)
        continue;
      shim_sys(SYS_close, fd_);
      fd_ = to;
      break;
    }
    return true;
  }
  bool write(const void *bytes, size_t size) override {
    struct stat st;
    long fd = fd_;
    bool ours = shim_sys(SYS_fstat, fd, &st) == 0 && st.st_dev == device_ && st.st_ino == inode_;
    if (!ours)
      fd = shim_sys(SYS_openat, AT_FDCWD, path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC, 0);
    const char *at = static_cast<const char *>(bytes);
    while (fd >= 0 && size > 0) {
      long n = shim_sys(SYS_write, fd, at, size);
      if (n < 0 && n != -EINTR)
        break;
      at += n > 0 ? n : 0;
      size -= n > 0 ? static_cast<size_t>(n) : 0;
    }
    if (!ours && fd >= 0)
      shim_sys(SYS_close, fd);
    return size == 0;
  }

private:
  static long open_locked(const std::string &path) {
    long fd = shim_sys(SYS_openat, AT_FDCWD, path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    long err = fd < 0 ? fd : shim_sys(SYS_flock, fd, LOCK_EX | LOCK_NB);
    if (fd >= 0 && err < 0)
      shim_sys(SYS_close, fd);
    return err < 0 ? err : fd;
  }

  long fd_ = -1;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  std::string path_;
};

struct Recording {
  Sink sink;
  ims::Recorder recorder;
  ims::RecordedRemote remote;
  bool mapping = false;
  Recording(const ims::RecordOptions &o) : recorder(&sink, o) {}
};

ims::Recorder *of(struct shim *s) { return s->record ? &static_cast<Recording *>(s->record)->recorder : nullptr; }

} // namespace

void shim_record_start(struct shim *s) {
  const char *path = s->record_path;
  if (s->record_tried || !path)
    return;
  s->record_tried = true;
  ims::RecordOptions options;
  options.clock = ims::record_clock;
  auto *r = new Recording(options);
  if (!r->sink.create(path)) {
    dprintf(2, "iommusim: %s: cannot be written: nothing is recorded\n", path);
    delete r;
    return;
  }
  s->record = r;
  // Its first line is the format's own, which the recorder writes itself.
  const char *text = s->system ? s->system : "";
  const char *line = std::strchr(text, '\n');
  if (!std::strncmp(text, "iommusim-trace", 14) && line)
    text = line + 1;
  r->recorder.text(text);
  struct ims_mem_remote remote = shim_remote(s);
  remote = r->recorder.remote(&remote, &r->remote);
  ims_mem_set_remote(s->mem, &remote);
  for (struct shim_proc *p = s->procs; p; p = p->next)
    if (p->process) {
      struct ims_user user = shim_user(p);
      shim_record_process(s, p, &user);
      ims_process_set_user(p->process, &user);
    }
}

void shim_record_end(struct shim *s) {
  auto *r = static_cast<Recording *>(s->record);
  if (!r)
    return;
  r->recorder.finish();
  if (!r->recorder.good())
    dprintf(2, "iommusim: the recording could not be written to its end\n");
  s->record = nullptr;
}

void shim_record_process(struct shim *s, struct shim_proc *p, struct ims_user *user) {
  ims::Recorder *r = of(s);
  if (!r)
    return;
  p->record = r->process();
  auto *keep = new ims::RecordedUser;
  p->recorded = keep;
  *user = r->user(p->record, user, keep);
}

void shim_record_exit(struct shim *s, struct shim_proc *p) {
  if (of(s) && p->record >= 0) {
    of(s)->exit(p->record);
    of(s)->flush();
  }
  p->record = -1;
}

void shim_record_rights(struct shim *s, struct shim_proc *p, unsigned caps, uint64_t memlock) {
  if (of(s) && p->record >= 0)
    of(s)->rights(p->record, caps, memlock);
}

void shim_record_open(struct shim *s, struct shim_proc *p, const char *path, long result, struct shim_fd *f) {
  int file = of(s) && p->record >= 0 ? of(s)->open(p->record, path, result) : -1;
  if (f)
    f->record = file;
}

void shim_record_share(struct shim *s, const struct shim_fd *from, struct shim_fd *to) {
  to->record = of(s) && from->record >= 0 ? of(s)->share(from->record, to->proc->record, to->fd) : -1;
}

void shim_record_adopt(struct shim *s, struct shim_fd *f) {
  f->record = of(s) && f->proc->record >= 0 ? of(s)->adopt(f->proc->record, f->fd) : -1;
}

void shim_record_close(struct shim *s, struct shim_fd *f) {
  if (of(s) && f->record >= 0)
    of(s)->close(f->record);
  f->record = -1;
}

void shim_record_ioctl(struct shim *s, const struct shim_fd *f, uint32_t cmd, uint64_t arg) {
  if (of(s))
    of(s)->ioctl(f->record, cmd, arg);
}

void shim_record_read(struct shim *s, const struct shim_fd *f, uint64_t buf, size_t len, uint64_t offset) {
  if (of(s))
    of(s)->read(f->record, buf, len, offset);
}

void shim_record_write(struct shim *s, const struct shim_fd *f, uint64_t buf, size_t len, uint64_t offset) {
  if (of(s))
    of(s)->write(f->record, buf, len, offset);
}

void shim_record_mmap(struct shim *s, const struct shim_fd *f, uint64_t offset, uint64_t len, unsigned prot,
                      bool shared) {
  if (of(s))
    of(s)->mmap(f->record, offset, len, prot, shared);
}

void shim_record_munmap(struct shim *s, const struct shim_window *w) {
  if (!of(s) || w->record < 0)
    return;
  of(s)->munmap(w->record, w->cookie);
  of(s)->end(0);
}

void shim_record_result(struct shim *s, long result) {
  if (of(s))
    of(s)->end(result);
}

void shim_record_mapped(struct shim *s, long result, uint64_t cookie) {
  if (of(s))
    of(s)->end(result, cookie);
}
