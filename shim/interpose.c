// SPDX-License-Identifier: Apache-2.0
// The C library's functions that the shim stands in front of: what concerns a virtual descriptor or a simulated path goes
// to the simulator, all else to the next library, unchanged and without a lock.
#define _GNU_SOURCE
#include "shim/shim_internal.h"
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

// The next library's function of this name. Found at its first use: other libraries' constructors may come before ours.
#define REAL(ret, name, ...)                                                                                           \
  static ret (*real_##name)(__VA_ARGS__);                                                                              \
  static ret (*find_##name(void))(__VA_ARGS__) {                                                                       \
    if (!real_##name)                                                                                                  \
      *(void **)&real_##name = dlsym(RTLD_NEXT, #name);                                                                \
    return real_##name;                                                                                                \
  }

REAL(int, open, const char *, int, ...)
REAL(int, openat, int, const char *, int, ...)
REAL(int, close, int)
REAL(int, close_range, unsigned, unsigned, int)
REAL(void, closefrom, int)
REAL(int, dup, int)
REAL(int, dup2, int, int)
REAL(int, dup3, int, int, int)
REAL(int, fcntl, int, int, ...)
REAL(int, ioctl, int, unsigned long, ...)
REAL(void *, mmap, void *, size_t, int, int, int, off_t)
REAL(int, munmap, void *, size_t)
REAL(ssize_t, read, int, void *, size_t)
REAL(ssize_t, write, int, const void *, size_t)
REAL(ssize_t, pread, int, void *, size_t, off_t)
REAL(ssize_t, pwrite, int, const void *, size_t, off_t)
REAL(ssize_t, readv, int, const struct iovec *, int)
REAL(ssize_t, writev, int, const struct iovec *, int)
REAL(off_t, lseek, int, off_t, int)
REAL(int, poll, struct pollfd *, nfds_t, int)
REAL(int, ppoll, struct pollfd *, nfds_t, const struct timespec *, const sigset_t *)
REAL(pid_t, fork, void)
REAL(void, _exit, int)
REAL(int, memfd_create, const char *, unsigned)
REAL(FILE *, fopen, const char *, const char *)
REAL(DIR *, opendir, const char *)
REAL(ssize_t, readlink, const char *, char *, size_t)
REAL(ssize_t, readlinkat, int, const char *, char *, size_t)
REAL(char *, realpath, const char *, char *)
REAL(int, access, const char *, int)
REAL(int, faccessat, int, const char *, int, int)
REAL(int, stat, const char *, struct stat *)
REAL(int, lstat, const char *, struct stat *)
REAL(int, fstat, int, struct stat *)
REAL(int, fstatat, int, const char *, struct stat *, int)
REAL(ssize_t, getxattr, const char *, const char *, void *, size_t)
REAL(ssize_t, lgetxattr, const char *, const char *, void *, size_t)
REAL(int, statx, int, const char *, int, unsigned, struct statx *)

static long result(long ret) {
  if (ret >= 0 || ret < -4095)
    return ret;
  errno = (int)-ret;
  return -1;
}

// ---- open -----------------------------------------------------------------------------------------------------------

static bool needs_mode(int flags) { return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE; }

// True: the path is ours, and *fd what comes of it.
static bool open_ours(const char *path, int flags, int *fd) {
  char clean[PATH_MAX], real[PATH_MAX];
  dev_t rdev;
  if (!shim_ours(path, clean)) {
    long status = shim_status_file(path);
    *fd = (int)status;
    if (status >= 0 && (flags & O_CLOEXEC))
      find_fcntl()(*fd, F_SETFD, FD_CLOEXEC);
    return status >= 0;
  }
  if (shim_device_node(clean, &rdev) && !(flags & O_PATH)) {
    *fd = (int)result(flags & O_DIRECTORY ? -ENOTDIR : shim_open_path(clean, flags));
    return true;
  }
  if (shim_is_device_path(clean) && (flags & O_CREAT)) {
    errno = EACCES;
    *fd = -1;
    return true;
  }
  const char *there = shim_translate(clean, real);
  if (there)
    *fd = find_open()(there, flags & ~(O_CREAT | O_TRUNC));
  return there != NULL;
}

static int open_any(const char *path, int flags, mode_t mode) {
  int fd;
  if (open_ours(path, flags, &fd))
    return fd;
  return find_open()(path, flags, mode);
}

static int openat_any(int dir, const char *path, int flags, mode_t mode) {
  int fd;
  if (open_ours(path, flags, &fd))
    return fd;
  return find_openat()(dir, path, flags, mode);
}

#define MODE(flags)                                                                                                    \
  mode_t mode = 0;                                                                                                     \
  if (needs_mode(flags)) {                                                                                             \
    va_list ap;                                                                                                        \
    va_start(ap, flags);                                                                                               \
    mode = va_arg(ap, mode_t);                                                                                         \
    va_end(ap);                                                                                                        \
  }

int open(const char *path, int flags, ...) {
  MODE(flags)
  return open_any(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
  MODE(flags)
  return open_any(path, flags | O_LARGEFILE, mode);
}
int openat(int dir, const char *path, int flags, ...) {
  MODE(flags)
  return openat_any(dir, path, flags, mode);
}
int openat64(int dir, const char *path, int flags, ...) {
  MODE(flags)
  return openat_any(dir, path, flags | O_LARGEFILE, mode);
}
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dir, const char *path, int flags);
int __openat64_2(int dir, const char *path, int flags);
int __open_2(const char *path, int flags) { return open_any(path, flags, 0); }
int __open64_2(const char *path, int flags) { return open_any(path, flags | O_LARGEFILE, 0); }
int __openat_2(int dir, const char *path, int flags) { return openat_any(dir, path, flags, 0); }
int __openat64_2(int dir, const char *path, int flags) { return openat_any(dir, path, flags | O_LARGEFILE, 0); }

// ---- close, dup, fcntl ----------------------------------------------------------------------------------------------

int close(int fd) {
  if (shim_is_virtual(fd))
    return (int)result(shim_close_fd(fd));
  return find_close()(fd);
}

int close_range(unsigned first, unsigned last, int flags) {
  if (shim_state && !(flags & CLOSE_RANGE_CLOEXEC) && first <= last)
    shim_close_range(first, last);
  return find_close_range()(first, last, flags);
}

void closefrom(int low) {
  if (shim_state)
    shim_close_range(low < 0 ? 0 : (unsigned)low, ~0u);
  find_closefrom()(low);
}

static int copied(int from, int to) {
  if (to >= 0 && from != to) {
    if (shim_is_virtual(from))
      return (int)result(shim_dup_to(from, to));
    if (shim_is_virtual(to))
      shim_overwritten(to);
  }
  return to;
}

int dup(int fd) { return copied(fd, find_dup()(fd)); }
int dup2(int fd, int to) { return copied(fd, find_dup2()(fd, to)); }
int dup3(int fd, int to, int flags) { return copied(fd, find_dup3()(fd, to, flags)); }

static int fcntl_any(int fd, int cmd, void *arg) {
  int ret = find_fcntl()(fd, cmd, arg);
  return cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC ? copied(fd, ret) : ret;
}

int fcntl(int fd, int cmd, ...) {
  va_list ap;
  va_start(ap, cmd);
  void *arg = va_arg(ap, void *);
  va_end(ap);
  return fcntl_any(fd, cmd, arg);
}
int fcntl64(int fd, int cmd, ...) {
  va_list ap;
  va_start(ap, cmd);
  void *arg = va_arg(ap, void *);
  va_end(ap);
  return fcntl_any(fd, cmd, arg);
}

// ---- ioctl, read, write ---------------------------------------------------------------------------------------------

int ioctl(int fd, unsigned long cmd, ...);
int ioctl(int fd, unsigned long cmd, ...) {
  va_list ap;
  va_start(ap, cmd);
  void *arg = va_arg(ap, void *);
  va_end(ap);
  if (shim_is_virtual(fd))
    return (int)result(shim_ioctl_fd(fd, cmd, (uintptr_t)arg));
  return find_ioctl()(fd, cmd, arg);
}

static ssize_t read_any(int fd, void *buf, size_t n) {
  if (shim_is_virtual(fd))
    return result(shim_read_fd(fd, (uintptr_t)buf, n, 0));
  return find_read()(fd, buf, n);
}

static ssize_t pread_any(int fd, void *buf, size_t n, off_t offset) {
  if (shim_is_virtual(fd))
    return result(offset < 0 ? -EINVAL : shim_read_fd(fd, (uintptr_t)buf, n, (uint64_t)offset));
  return find_pread()(fd, buf, n, offset);
}

static ssize_t pwrite_any(int fd, const void *buf, size_t n, off_t offset) {
  if (shim_is_virtual(fd))
    return result(offset < 0 ? -EINVAL : shim_write_fd(fd, (uintptr_t)buf, n, (uint64_t)offset));
  return find_pwrite()(fd, buf, n, offset);
}

ssize_t read(int fd, void *buf, size_t n) { return read_any(fd, buf, n); }
ssize_t write(int fd, const void *buf, size_t n) {
  if (shim_is_virtual(fd))
    return result(shim_write_fd(fd, (uintptr_t)buf, n, 0));
  return find_write()(fd, buf, n);
}
ssize_t pread(int fd, void *buf, size_t n, off_t offset) { return pread_any(fd, buf, n, offset); }
ssize_t pread64(int fd, void *buf, size_t n, off_t offset) { return pread_any(fd, buf, n, offset); }
ssize_t pwrite(int fd, const void *buf, size_t n, off_t offset) { return pwrite_any(fd, buf, n, offset); }
ssize_t pwrite64(int fd, const void *buf, size_t n, off_t offset) { return pwrite_any(fd, buf, n, offset); }

// What the compiler calls where it knows the size of the buffer: too small a one ends the program, as in the C library.
extern void __chk_fail(void) __attribute__((noreturn));
ssize_t __read_chk(int fd, void *buf, size_t n, size_t size);
ssize_t __pread_chk(int fd, void *buf, size_t n, off_t offset, size_t size);
ssize_t __pread64_chk(int fd, void *buf, size_t n, off_t offset, size_t size);
ssize_t __read_chk(int fd, void *buf, size_t n, size_t size) {
  if (n > size)
    __chk_fail();
  return read_any(fd, buf, n);
}
ssize_t __pread_chk(int fd, void *buf, size_t n, off_t offset, size_t size) {
  if (n > size)
    __chk_fail();
  return pread_any(fd, buf, n, offset);
}
ssize_t __pread64_chk(int fd, void *buf, size_t n, off_t offset, size_t size) {
  return __pread_chk(fd, buf, n, offset, size);
}

// Piece by piece: the simulated files take whole records.
static ssize_t vector(int fd, const struct iovec *iov, int count, bool write) {
  long done = 0;
  for (int i = 0; i < count; i++) {
    struct iovec v;
    if (!shim_read_process(shim_me, &v, (uintptr_t)(iov + i), sizeof v))
      return done ? done : result(-EFAULT);
    if (!v.iov_len)
      continue;
    long n = write ? shim_write_fd(fd, (uintptr_t)v.iov_base, v.iov_len, 0)
                   : shim_read_fd(fd, (uintptr_t)v.iov_base, v.iov_len, 0);
    if (n < 0)
      return done ? done : result(n);
    done += n;
    if ((size_t)n < v.iov_len)
      break;
  }
  return done;
}

ssize_t readv(int fd, const struct iovec *iov, int count) {
  return shim_is_virtual(fd) ? vector(fd, iov, count, false) : find_readv()(fd, iov, count);
}
ssize_t writev(int fd, const struct iovec *iov, int count) {
  return shim_is_virtual(fd) ? vector(fd, iov, count, true) : find_writev()(fd, iov, count);
}

static off_t lseek_any(int fd, off_t offset, int whence) {
  if (shim_is_virtual(fd))
    return result(-ESPIPE);
  return find_lseek()(fd, offset, whence);
}
off_t lseek(int fd, off_t offset, int whence) { return lseek_any(fd, offset, whence); }
off_t lseek64(int fd, off_t offset, int whence) { return lseek_any(fd, offset, whence); }

// ---- poll -----------------------------------------------------------------------------------------------------------

// The real descriptors follow the simulated files, so that the kernel can wait for both kinds together; then what it says
// of ours is replaced by the truth, as the files' own states reach further than an eventfd's.
static bool any_virtual(const struct pollfd *fds, nfds_t n) {
  struct pollfd some[64];
  if (!shim_state || !shim_me || !shim_me->fds)
    return false;
  for (nfds_t i = 0, count; i < n; i += count) {
    count = n - i < 64 ? n - i : 64;
    if (!shim_read_process(shim_me, some, (uintptr_t)(fds + i), count * sizeof *some))
      return false; // the kernel says EFAULT
    for (nfds_t k = 0; k < count; k++)
      if (shim_is_virtual(some[k].fd))
        return true;
  }
  return false;
}

static void before_poll(const struct pollfd *fds, nfds_t n) {
  for (nfds_t i = 0; i < n; i++)
    if (shim_is_virtual(fds[i].fd)) {
      shim_poll_fd(fds[i].fd); // brings all of them up to date
      return;
    }
}

static int after_poll(struct pollfd *fds, nfds_t n, int ret) {
  if (ret < 0)
    return ret;
  ret = 0;
  for (nfds_t i = 0; i < n; i++) {
    int events = shim_is_virtual(fds[i].fd) ? shim_poll_fd(fds[i].fd) : -1;
    if (events >= 0) {
      short wanted = fds[i].events | POLLHUP | POLLERR;
      short have = (short)(events | (events & POLLIN ? POLLRDNORM : 0) | (events & POLLOUT ? POLLWRNORM : 0));
      fds[i].revents = have & wanted;
    }
    ret += fds[i].revents != 0;
  }
  return ret;
}

static int poll_any(struct pollfd *fds, nfds_t n, int timeout) {
  if (!any_virtual(fds, n))
    return find_poll()(fds, n, timeout);
  before_poll(fds, n);
  return after_poll(fds, n, find_poll()(fds, n, timeout));
}

static int ppoll_any(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask) {
  if (!any_virtual(fds, n))
    return find_ppoll()(fds, n, timeout, mask);
  before_poll(fds, n);
  return after_poll(fds, n, find_ppoll()(fds, n, timeout, mask));
}

int poll(struct pollfd *fds, nfds_t n, int timeout) { return poll_any(fds, n, timeout); }
int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask) {
  return ppoll_any(fds, n, timeout, mask);
}
int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t size);
int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask, size_t size);
int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t size) {
  if (size / sizeof *fds < n)
    __chk_fail();
  return poll_any(fds, n, timeout);
}
int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask, size_t size) {
  if (size / sizeof *fds < n)
    __chk_fail();
  return ppoll_any(fds, n, timeout, mask);
}

// ---- Memory ---------------------------------------------------------------------------------------------------------

enum { HUGE_MASK = 0x3f << 26 }; // MAP_HUGE_SHIFT

// In place of huge pages: ordinary ones, as they would lie.
static void *map_stripped(size_t size, int prot, int flags, int fd, off_t offset) {
  const size_t huge = 2u << 20;
  size = (size + huge - 1) & ~(huge - 1);
  char *p = find_mmap()(NULL, size + huge, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED)
    return p;
  char *at = (char *)(((uintptr_t)p + huge - 1) & ~(uintptr_t)(huge - 1));
  if (at > p)
    find_munmap()(p, (size_t)(at - p));
  find_munmap()(at + size, (size_t)(p + huge - at));
  void *got = find_mmap()(at, size, prot, flags | MAP_FIXED, fd, offset);
  if (got == MAP_FAILED)
    find_munmap()(at, size);
  return got;
}

static void *mmap_any(void *addr, size_t size, int prot, int flags, int fd, off_t offset) {
  if (!(flags & MAP_ANONYMOUS) && shim_is_virtual(fd))
    return (void *)result(shim_mmap_fd((uintptr_t)addr, size, prot, flags, fd, (uint64_t)offset));
  if ((flags & MAP_FIXED) && shim_state && shim_me && (shim_state->pinned || shim_me->windows)) {
    struct shim_guard g = shim_enter();
    shim_unmapping((uintptr_t)addr, size);
    shim_leave(g);
    shim_munmap((uintptr_t)addr, size);
  }
  if ((flags & MAP_HUGETLB) && shim_strip_huge) {
    flags &= ~(MAP_HUGETLB | HUGE_MASK);
    if (!addr)
      return map_stripped(size, prot, flags, fd, offset);
  }
  return find_mmap()(addr, size, prot, flags, fd, offset);
}

void *mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset) {
  return mmap_any(addr, size, prot, flags, fd, offset);
}
void *mmap64(void *addr, size_t size, int prot, int flags, int fd, off_t offset) {
  return mmap_any(addr, size, prot, flags, fd, offset);
}

int munmap(void *addr, size_t size) {
  if (shim_state && shim_me && (shim_state->pinned || shim_me->windows)) {
    struct shim_guard g = shim_enter();
    shim_unmapping((uintptr_t)addr, size);
    shim_leave(g);
    int ret = find_munmap()(addr, size);
    if (!ret)
      shim_munmap((uintptr_t)addr, size);
    return ret;
  }
  return find_munmap()(addr, size);
}

int memfd_create(const char *name, unsigned flags) {
  if (shim_strip_huge && (flags & MFD_HUGETLB))
    flags &= ~(MFD_HUGETLB | (unsigned)HUGE_MASK);
  return find_memfd_create()(name, flags);
}

// ---- Processes ------------------------------------------------------------------------------------------------------

pid_t shim_real_fork(void);
pid_t shim_real_fork(void) { return find_fork()(); }

pid_t fork(void) { return shim_fork(); }
// The child of a real vfork would write to its parent's tables.
pid_t vfork(void) { return shim_fork(); }

void _exit(int status) {
  shim_process_over();
  find__exit()(status);
  __builtin_unreachable();
}
void _Exit(int status) { _exit(status); }

// ---- Paths ----------------------------------------------------------------------------------------------------------

#define TRANSLATED(path)                                                                                               \
  char buf_##path[PATH_MAX];                                                                                           \
  const char *there = shim_translate(path, buf_##path);                                                                \
  if (there)                                                                                                           \
    path = there;

static FILE *fopen_any(const char *path, const char *mode) {
  TRANSLATED(path)
  long status = there ? -1 : shim_status_file(path);
  if (status >= 0)
    return fdopen((int)status, mode);
  return find_fopen()(path, mode);
}
FILE *fopen(const char *path, const char *mode) { return fopen_any(path, mode); }
FILE *fopen64(const char *path, const char *mode) { return fopen_any(path, mode); }
DIR *opendir(const char *path) {
  TRANSLATED(path)
  return find_opendir()(path);
}
ssize_t readlink(const char *path, char *buf, size_t size) {
  TRANSLATED(path)
  return find_readlink()(path, buf, size);
}
ssize_t readlinkat(int dir, const char *path, char *buf, size_t size) {
  TRANSLATED(path)
  return find_readlinkat()(dir, path, buf, size);
}
ssize_t __readlink_chk(const char *path, char *buf, size_t n, size_t size);
ssize_t __readlinkat_chk(int dir, const char *path, char *buf, size_t n, size_t size);
ssize_t __readlink_chk(const char *path, char *buf, size_t n, size_t size) {
  if (n > size)
    __chk_fail();
  return readlink(path, buf, n);
}
ssize_t __readlinkat_chk(int dir, const char *path, char *buf, size_t n, size_t size) {
  if (n > size)
    __chk_fail();
  return readlinkat(dir, path, buf, n);
}

static char *realpath_any(const char *path, char *out) {
  TRANSLATED(path)
  char *ret = find_realpath()(path, out);
  if (ret && there) {
    const char *known = shim_untranslate(ret);
    memmove(ret, known, strlen(known) + 1);
  }
  return ret;
}
char *realpath(const char *path, char *out) { return realpath_any(path, out); }
char *canonicalize_file_name(const char *path) { return realpath_any(path, NULL); }
char *__realpath_chk(const char *path, char *out, size_t size);
char *__realpath_chk(const char *path, char *out, size_t size) {
  if (size < PATH_MAX)
    __chk_fail();
  return realpath_any(path, out);
}

int access(const char *path, int mode) {
  TRANSLATED(path)
  return find_access()(path, mode);
}
int faccessat(int dir, const char *path, int mode, int flags) {
  TRANSLATED(path)
  return find_faccessat()(dir, path, mode, flags);
}

ssize_t getxattr(const char *path, const char *name, void *value, size_t size) {
  TRANSLATED(path)
  return find_getxattr()(path, name, value, size);
}
ssize_t lgetxattr(const char *path, const char *name, void *value, size_t size) {
  TRANSLATED(path)
  return find_lgetxattr()(path, name, value, size);
}

// Nodes below /dev look like what they stand for.
static void like_a_node(struct stat *st, dev_t rdev) {
  st->st_mode = S_IFCHR | 0666;
  st->st_rdev = rdev;
  st->st_size = 0;
  st->st_blocks = 0;
}

static int stat_any(const char *path, struct stat *st, bool follow) {
  TRANSLATED(path)
  int ret = (follow ? find_stat() : find_lstat())(path, st);
  dev_t rdev;
  if (!ret && there && shim_device_node(shim_untranslate(there), &rdev))
    like_a_node(st, rdev);
  return ret;
}

static int fstat_any(int fd, struct stat *st) {
  int ret = find_fstat()(fd, st);
  dev_t rdev;
  if (!ret && shim_is_virtual(fd) && shim_stat_fd(fd, &rdev))
    like_a_node(st, rdev);
  return ret;
}

static int fstatat_any(int dir, const char *path, struct stat *st, int flags) {
  char buf[PATH_MAX];
  if (shim_translate(path, buf))
    return stat_any(path, st, !(flags & AT_SYMLINK_NOFOLLOW));
  int ret = find_fstatat()(dir, path, st, flags);
  dev_t rdev;
  if (!ret && (flags & AT_EMPTY_PATH) && shim_is_virtual(dir) && !*path && shim_stat_fd(dir, &rdev))
    like_a_node(st, rdev);
  return ret;
}

_Static_assert(sizeof(struct stat) == sizeof(struct stat64), "one layout for both spellings");

int stat(const char *path, struct stat *st) { return stat_any(path, st, true); }
int stat64(const char *path, struct stat64 *st) { return stat_any(path, (struct stat *)st, true); }
int lstat(const char *path, struct stat *st) { return stat_any(path, st, false); }
int lstat64(const char *path, struct stat64 *st) { return stat_any(path, (struct stat *)st, false); }
int fstat(int fd, struct stat *st) { return fstat_any(fd, st); }
int fstat64(int fd, struct stat64 *st) { return fstat_any(fd, (struct stat *)st); }
int fstatat(int dir, const char *path, struct stat *st, int flags) { return fstatat_any(dir, path, st, flags); }
int fstatat64(int dir, const char *path, struct stat64 *st, int flags) {
  return fstatat_any(dir, path, (struct stat *)st, flags);
}
// How programs built before glibc 2.33 spell them.
int __xstat(int version, const char *path, struct stat *st);
int __xstat64(int version, const char *path, struct stat64 *st);
int __lxstat(int version, const char *path, struct stat *st);
int __lxstat64(int version, const char *path, struct stat64 *st);
int __fxstat(int version, int fd, struct stat *st);
int __fxstat64(int version, int fd, struct stat64 *st);
int __xstat(int version, const char *path, struct stat *st) { return (void)version, stat_any(path, st, true); }
int __xstat64(int version, const char *path, struct stat64 *st) { return __xstat(version, path, (struct stat *)st); }
int __lxstat(int version, const char *path, struct stat *st) { return (void)version, stat_any(path, st, false); }
int __lxstat64(int version, const char *path, struct stat64 *st) { return __lxstat(version, path, (struct stat *)st); }
int __fxstat(int version, int fd, struct stat *st) { return (void)version, fstat_any(fd, st); }
int __fxstat64(int version, int fd, struct stat64 *st) { return (void)version, fstat_any(fd, (struct stat *)st); }

int statx(int dir, const char *path, int flags, unsigned mask, struct statx *st) {
  char buf[PATH_MAX];
  const char *there = shim_translate(path, buf);
  int ret = find_statx()(dir, there ? there : path, flags, mask, st);
  dev_t rdev = 0;
  if (!ret && (there ? shim_device_node(shim_untranslate(there), &rdev)
                     : (flags & AT_EMPTY_PATH) && !*path && shim_is_virtual(dir) && shim_stat_fd(dir, &rdev))) {
    st->stx_mode = S_IFCHR | 0666;
    st->stx_rdev_major = major(rdev);
    st->stx_rdev_minor = minor(rdev);
    st->stx_size = st->stx_blocks = 0;
  }
  return ret;
}
