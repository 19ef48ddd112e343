// SPDX-License-Identifier: Apache-2.0
// Virtual descriptors. Behind each stands a real one, an eventfd, so that numbers, dup, close-on-exec and the program's own
// poll and epoll are the kernel's; it is readable when the simulated file is.
#define _GNU_SOURCE
#include "shim/arena.h"
#include "shim/record.h"
#include "shim/shim_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static void set_bit(int fd, bool on) {
  uint64_t bit = 1ull << (fd % 64);
  if (on)
    __atomic_fetch_or(&shim_fd_bits[fd / 64], bit, __ATOMIC_RELAXED);
  else
    __atomic_fetch_and(&shim_fd_bits[fd / 64], ~bit, __ATOMIC_RELAXED);
}

static struct shim_fd *fd_of(struct shim_proc *p, int fd) {
  struct shim_fd *f = NULL;
  if (p)
    HASH_FIND_INT(p->fds, &fd, f);
  return f;
}

// ---- Made and unmade ------------------------------------------------------------------------------------------------

static struct shim_open *open_new(struct shim *s, int flags, dev_t rdev) {
  struct shim_open *o = shim_zalloc(sizeof *o);
  if (!o)
    return NULL;
  o->flags = flags & O_ACCMODE;
  o->rdev = rdev;
  o->next = s->opens;
  if (o->next)
    o->next->prev = o;
  s->opens = o;
  return o;
}

static void open_put(struct shim *s, struct shim_open *o) {
  if (o->fds)
    return;
  if (o->prev)
    o->prev->next = o->next;
  else
    s->opens = o->next;
  if (o->next)
    o->next->prev = o->prev;
  shim_free(o);
}

static struct shim_fd *fd_add(struct shim_proc *p, int fd, struct ims_file *file, struct shim_open *o) {
  struct shim_fd *f = shim_zalloc(sizeof *f);
  if (!f)
    return NULL;
  f->fd = fd;
  f->proc = p;
  f->file = file;
  f->open = o;
  f->next = o->fds;
  if (f->next)
    f->next->prev = f;
  o->fds = f;
  HASH_ADD_INT(p->fds, fd, f);
  if (p == shim_me)
    set_bit(fd, true);
  return f;
}

// A mapping outlives the descriptor it was made with. What keeps the open file then is a descriptor of a process that is
// only there for this.
static long window_keep(struct shim_window *w, struct ims_file *file, uint64_t offset, uint64_t size, unsigned prot,
                        bool shared) {
  struct shim *s = shim_state;
  if (!s->keeper && ims_process_new(s->kernel, &s->keeper))
    return -ENOMEM;
  long ret = ims_file_share(file, s->keeper, -1, &w->file);
  if (ret < 0)
    return ret;
  ret = ims_file_mmap(w->file, offset, size, prot, shared, &w->cookie);
  if (ret < 0)
    ims_close(w->file);
  w->offset = offset;
  w->size = w->left = size;
  w->prot = prot;
  return ret;
}

static void window_end(struct shim_window *w) {
  shim_record_munmap(shim_state, w);
  ims_file_munmap(w->file, w->cookie);
  ims_close(w->file);
  shim_free(w);
}

// The simulated descriptor goes; the real one is the caller's.
static void fd_remove(struct shim_fd *f) {
  struct shim_proc *p = f->proc;
  struct shim_open *o = f->open;
  shim_record_close(p->shim, f);
  ims_close(f->file);
  if (f->prev)
    f->prev->next = f->next;
  else
    o->fds = f->next;
  if (f->next)
    f->next->prev = f->prev;
  HASH_DEL(p->fds, f);
  if (p == shim_me)
    set_bit(f->fd, false);
  open_put(p->shim, o);
  shim_free(f);
}

void shim_close_all(struct shim_proc *p, bool real) {
  struct shim_fd *f, *next;
  for (struct shim_window *w; (w = p->windows) != NULL; window_end(w))
    p->windows = w->next;
  HASH_ITER(hh, p->fds, f, next) {
    if (real)
      shim_sys(SYS_close, (long)f->fd);
    fd_remove(f);
  }
}

// ---- Readiness ------------------------------------------------------------------------------------------------------

static void drain_or_fill(long fd, bool readable) {
  uint64_t n = 1;
  if (readable) {
    shim_sys(SYS_write, fd, &n, sizeof n);
    return;
  }
  // It is known to be readable, so this does not block.
  shim_sys(SYS_read, fd, &n, sizeof n);
}

static void set_readable(struct shim_open *o, bool readable) {
  struct shim_fd *f = o->fds;
  while (f && f->proc != shim_me)
    f = f->next;
  if (f) {
    drain_or_fill(f->fd, readable);
  } else if ((f = o->fds) != NULL && f->proc->pid) {
    // Only others have it: the real descriptor is borrowed from one of them.
    long pidfd = shim_sys(SYS_pidfd_open, (long)f->proc->pid, 0L);
    long fd = pidfd >= 0 ? shim_sys(SYS_pidfd_getfd, pidfd, (long)f->fd, 0L) : -1;
    if (fd >= 0) {
      drain_or_fill(fd, readable);
      shim_sys(SYS_close, fd);
    }
    if (pidfd >= 0)
      shim_sys(SYS_close, pidfd);
    if (fd < 0)
      return; // tried again after the next call
  }
  o->readable = readable;
}

void shim_update_readiness(void) {
  for (struct shim_open *o = shim_state->opens; o; o = o->next) {
    if (!o->fds)
      continue;
    bool readable = (ims_poll(o->fds->file) & IMS_POLLIN) != 0;
    if (readable != o->readable)
      set_readable(o, readable);
  }
}

int shim_poll_fd(int fd) {
  struct shim_guard g = shim_enter();
  struct shim_fd *f = fd_of(shim_me, fd);
  int events = -1;
  if (f) {
    events = (int)ims_poll(f->file);
    shim_update_readiness();
  }
  shim_leave(g);
  return events;
}

// ---- Calls ----------------------------------------------------------------------------------------------------------

// Gives a simulated file that the kernel has just made the number of a real descriptor.
static struct shim_fd *adopt(struct ims_file *file, int fd, int flags, dev_t rdev) {
  struct shim_open *o = open_new(shim_state, flags, rdev);
  struct shim_fd *f = o ? fd_add(shim_me, fd, file, o) : NULL;
  if (o && !f)
    open_put(shim_state, o);
  return f;
}

static long open_locked(const char *path, int flags) {
  struct shim *s = shim_state;
  struct ims_file *file;
  struct shim_fd *f = NULL;
  dev_t rdev = 0;
  shim_record_start(s);
  s->new_flags = (flags & O_CLOEXEC ? EFD_CLOEXEC : 0) | (flags & O_NONBLOCK ? EFD_NONBLOCK : 0);
  s->made = 0;
  long fd = ims_open(shim_me->process, path, &file); // takes its number from shim_fd_new
  if (fd >= 0) {
    shim_device_node(path, &rdev);
    f = adopt(file, (int)fd, flags, rdev);
    if (!f) {
      ims_close(file);
      shim_sys(SYS_close, fd);
      fd = -ENOMEM;
    }
  }
  s->made = 0;
  shim_record_open(s, shim_me, path, fd, f);
  return fd;
}

long shim_open_path(const char *path, int flags) {
  struct shim_guard g = shim_enter();
  long fd = -ENXIO;
  if (shim_machine()) {
    fd = open_locked(path, flags);
    shim_update_readiness();
  }
  shim_leave(g);
  return fd;
}

long shim_close_fd(int fd) {
  struct shim_guard g = shim_enter();
  struct shim_fd *f = fd_of(shim_me, fd);
  if (f)
    fd_remove(f);
  // Under the lock: else another thread is given the number before it is known to be free.
  long ret = shim_sys(SYS_close, (long)fd);
  shim_update_readiness();
  shim_leave(g);
  return ret;
}

void shim_overwritten(int fd) {
  struct shim_guard g = shim_enter();
  struct shim_fd *f = fd_of(shim_me, fd);
  if (f)
    fd_remove(f);
  shim_update_readiness();
  shim_leave(g);
}

void shim_close_range(unsigned first, unsigned last) {
  struct shim_guard g = shim_enter();
  struct shim_fd *f, *next;
  if (shim_me)
    HASH_ITER(hh, shim_me->fds, f, next) {
      if ((unsigned)f->fd < first || (unsigned)f->fd > last)
        continue;
      shim_sys(SYS_close, (long)f->fd);
      fd_remove(f);
    }
  shim_update_readiness();
  shim_leave(g);
}

static long share(struct shim_fd *f, struct shim_proc *p, int fd) {
  struct ims_file *file;
  long ret = ims_file_share(f->file, p->process, fd, &file);
  if (ret < 0)
    return ret;
  struct shim_fd *to = fd_add(p, fd, file, f->open);
  if (!to) {
    ims_close(file);
    return -ENOMEM;
  }
  shim_record_share(p->shim, f, to);
  return 0;
}

long shim_dup_to(int fd, int to) {
  struct shim_guard g = shim_enter();
  struct shim_fd *f = fd_of(shim_me, fd), *old = fd_of(shim_me, to);
  long ret = to;
  if (f && f != old) {
    if (old)
      fd_remove(old);
    long err = to >= SHIM_MAX_FD ? -EMFILE : share(f, shim_me, to);
    if (err) {
      shim_sys(SYS_close, (long)to);
      ret = err;
    }
  }
  shim_update_readiness();
  shim_leave(g);
  return ret;
}

bool shim_share_files(struct shim_proc *from, struct shim_proc *to) {
  if (!from->process)
    return true;
  if (ims_process_new(to->shim->kernel, &to->process))
    return false;
  struct ims_user user = shim_user(to);
  shim_record_process(to->shim, to, &user);
  ims_process_set_user(to->process, &user);
  struct shim_fd *f, *next;
  HASH_ITER(hh, from->fds, f, next) {
    if (share(f, to, f->fd))
      return false;
  }
  for (struct shim_window *w = from->windows; w; w = w->next) {
    struct shim_window *n = shim_zalloc(sizeof *n);
    if (!n || window_keep(n, w->file, w->offset, w->size, w->prot, true)) {
      shim_free(n);
      return false;
    }
    n->addr = w->addr;
    n->left = w->left;
    n->record = -1;
    n->next = to->windows;
    to->windows = n;
  }
  return true;
}

// Descriptors that the ioctl made, and kept.
static void adopt_made(void) {
  struct shim *s = shim_state;
  for (unsigned i = 0; i < s->made; i++) {
    struct ims_file *file = ims_process_file(shim_me->process, s->made_fd[i]);
    struct shim_fd *f = file ? adopt(file, s->made_fd[i], O_RDWR, 0) : NULL;
    if (f)
      shim_record_adopt(s, f);
  }
  s->made = 0;
}

// What the process may is asked for anew, but for the calls that never look (Facts 3.2).
static bool needs_rights(uint32_t cmd) {
  switch (cmd) {
  case 0x3b80: // DESTROY
  case 0x3b81: // IOAS_ALLOC
  case 0x3b84: // IOAS_IOVA_RANGES
  case 0x3b86: // IOAS_UNMAP
  case 0x3b8d: // HWPT_INVALIDATE
    return false;
  default: return true;
  }
}

long shim_ioctl_fd(int fd, unsigned long cmd, uint64_t arg) {
  struct shim_guard g = shim_enter();
  struct shim_fd *f = fd_of(shim_me, fd);
  long ret = -EBADF;
  if (f) {
    if (needs_rights((uint32_t)cmd))
      shim_tell_rights(shim_me);
    shim_record_ioctl(shim_state, f, (uint32_t)cmd, arg);
    shim_state->made = 0;
    shim_state->new_flags = EFD_CLOEXEC;
    shim_read_ahead(shim_me, arg);
    ret = ims_ioctl(f->file, (uint32_t)cmd, arg);
    shim_state->ahead.len = 0;
    shim_record_result(shim_state, ret);
    adopt_made();
    shim_update_readiness();
  }
  shim_leave(g);
  return ret;
}

long shim_read_fd(int fd, uint64_t buf, size_t len, uint64_t offset) {
  struct shim_guard g = shim_enter();
  struct shim_fd *f = fd_of(shim_me, fd);
  long ret = -EBADF;
  if (f && f->open->flags != O_WRONLY) {
    shim_record_read(shim_state, f, buf, len, offset);
    ret = ims_read(f->file, buf, len, offset);
    shim_record_result(shim_state, ret);
    shim_update_readiness();
  }
  shim_leave(g);
  return ret;
}

long shim_write_fd(int fd, uint64_t buf, size_t len, uint64_t offset) {
  struct shim_guard g = shim_enter();
  struct shim_fd *f = fd_of(shim_me, fd);
  long ret = -EBADF;
  if (f && f->open->flags != O_RDONLY) {
    shim_record_write(shim_state, f, buf, len, offset);
    ret = ims_write(f->file, buf, len, offset);
    shim_record_result(shim_state, ret);
    shim_update_readiness();
  }
  shim_leave(g);
  return ret;
}

bool shim_stat_fd(int fd, dev_t *rdev) {
  struct shim_guard g = shim_enter();
  struct shim_fd *f = fd_of(shim_me, fd);
  if (f)
    *rdev = f->open->rdev;
  shim_leave(g);
  return f && *rdev;
}

// ---- Descriptors that an ioctl makes --------------------------------------------------------------------------------

int shim_fd_new(void *proc) {
  struct shim *s = shim_state;
  if (proc != shim_me || s->made == sizeof s->made_fd / sizeof *s->made_fd)
    return -EMFILE;
  long fd = shim_sys(SYS_eventfd2, 0L, (long)s->new_flags);
  if (fd >= SHIM_MAX_FD) {
    shim_sys(SYS_close, fd);
    return -EMFILE;
  }
  if (fd >= 0)
    s->made_fd[s->made++] = (int)fd;
  return (int)fd;
}

void shim_fd_drop(void *proc, int fd) {
  if (proc != shim_me)
    return;
  for (unsigned i = 0; i < shim_state->made; i++)
    if (shim_state->made_fd[i] == fd)
      shim_state->made_fd[i] = -1;
  shim_sys(SYS_close, (long)fd);
}

// ---- Mappings of descriptors ----------------------------------------------------------------------------------------

// The bytes lie in the arena: a second mapping of the same shared pages, made by moving none of the first.
static long map_again(uint64_t hpa, size_t size, uint64_t addr, int prot, int flags) {
  uint8_t *bytes = ims_mem_ptr(shim_state->mem, hpa, size);
  if (!bytes || (uintptr_t)bytes % SHIM_PAGE)
    return -ENODEV;
  long how = MREMAP_MAYMOVE | (flags & MAP_FIXED ? MREMAP_FIXED : 0);
  long at = shim_sys(SYS_mremap, bytes, 0L, size, how, addr);
  if (at > 0 || at < -4095)
    shim_sys(SYS_mprotect, at, size, (long)prot);
  return at;
}

long shim_mmap_fd(uint64_t addr, size_t size, int prot, int flags, int fd, uint64_t offset) {
  struct shim_guard g = shim_enter();
  struct shim_fd *f = fd_of(shim_me, fd);
  struct shim_window *w = f && size ? shim_zalloc(sizeof *w) : NULL;
  unsigned rights = (prot & PROT_READ ? 1u : 0u) | (prot & PROT_WRITE ? 2u : 0u) | (prot & PROT_EXEC ? 4u : 0u);
  bool shared = (flags & MAP_TYPE) != MAP_PRIVATE;
  long ret = !f ? -EBADF : !size ? -EINVAL : -ENOMEM;
  if (w) {
    shim_record_mmap(shim_state, f, offset, size, rights, shared);
    ret = window_keep(w, f->file, offset, size, rights, shared);
    w->record = f->record;
    shim_record_mapped(shim_state, ret, w->cookie);
    if (!ret && (ret = map_again(w->cookie, size, addr, prot, flags)) > -4096 && ret < 0) {
      window_end(w);
    } else if (ret > -4096 && ret < 0) {
      shim_free(w);
    } else {
      w->addr = (uint64_t)ret;
      w->next = shim_me->windows;
      shim_me->windows = w;
    }
  }
  shim_leave(g);
  return ret;
}

void shim_munmap(uint64_t addr, uint64_t size) {
  struct shim_guard g = shim_enter();
  for (struct shim_window **at = shim_me ? &shim_me->windows : NULL; at && *at;) {
    struct shim_window *w = *at;
    uint64_t from = addr > w->addr ? addr : w->addr;
    uint64_t to = addr + size < w->addr + w->size ? addr + size : w->addr + w->size;
    if (from < to)
      w->left -= to - from < w->left ? to - from : w->left;
    if (w->left) {
      at = &w->next;
      continue;
    }
    *at = w->next;
    window_end(w);
  }
  shim_leave(g);
}
