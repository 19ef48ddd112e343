// SPDX-License-Identifier: Apache-2.0
// ioctl, read, write and poll in all spellings, and how the program's own epoll and select see a virtual descriptor.
#define _GNU_SOURCE
#include "client.h"
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/uio.h>
#include <time.h>

static void ioctls(int fd) {
  uint32_t id = new_ioas(fd);
  struct destroy d = {sizeof d, id};
  CHECK(ioctl(fd, IOMMU_DESTROY, &d) == 0);
  FAILS(ioctl(fd, IOMMU_DESTROY, &d), ENOENT);
  FAILS(ioctl(fd, 0x3b7f, &d), ENOTTY);
  d.size = 4;
  FAILS(ioctl(fd, IOMMU_DESTROY, &d), EINVAL);
}

// An iommufd has nothing to read; each spelling comes to the same.
static void nothing_to_read(int fd) {
  char buf[64];
  struct iovec v = {buf, sizeof buf};
  FAILS(read(fd, buf, sizeof buf), EINVAL);
  FAILS(write(fd, buf, sizeof buf), EINVAL);
  FAILS(pread(fd, buf, sizeof buf, 0), EINVAL);
  FAILS(pwrite(fd, buf, sizeof buf, 0), EINVAL);
  FAILS(pread64(fd, buf, sizeof buf, 0), EINVAL);
  FAILS(pwrite64(fd, buf, sizeof buf, 0), EINVAL);
  FAILS(pread(fd, buf, sizeof buf, -1), EINVAL);
  FAILS(readv(fd, &v, 1), EINVAL);
  FAILS(writev(fd, &v, 1), EINVAL);
  FAILS(lseek(fd, 0, SEEK_SET), ESPIPE);
}

static void mapping(int fd) {
  CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno != EBADF);
  CHECK(mmap(NULL, 0, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EINVAL);
}

static void polls(int fd) {
  struct pollfd p[2] = {{fd, POLLIN | POLLOUT, 0}, {-1, POLLIN, 77}};
  struct timespec now = {0, 0};
  int ready = poll(p, 2, 0);
  short seen = p[0].revents;
  CHECK(ready == (seen != 0) && p[1].revents == 0);
  p[0].revents = 0;
  CHECK(ppoll(p, 2, &now, NULL) == ready && p[0].revents == seen);
  // The kernel sees the same through the real descriptor.
  int epfd = epoll_create1(0);
  struct epoll_event e = {.events = EPOLLIN, .data = {.fd = fd}};
  CHECK(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &e) == 0);
  CHECK(epoll_wait(epfd, &e, 1, 0) == ((seen & POLLIN) != 0));
  close(epfd);
  fd_set set;
  struct timeval none = {0, 0};
  FD_ZERO(&set);
  FD_SET(fd, &set);
  CHECK(select(fd + 1, &set, NULL, NULL, &none) == ((seen & POLLIN) != 0));
}

int main(void) {
  int fd = open("/dev/iommu", O_RDWR);
  CHECK(fd >= 0);
  ioctls(fd);
  nothing_to_read(fd);
  mapping(fd);
  polls(fd);
  return 0;
}
