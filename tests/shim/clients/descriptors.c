// SPDX-License-Identifier: Apache-2.0
// Copies of descriptors: one open file behind them, released with the last.
#define _GNU_SOURCE
#include "client.h"
#include <fcntl.h>

static int open_iommufd(void) {
  int fd = open("/dev/iommu", O_RDWR);
  CHECK(fd >= 0);
  return fd;
}

// The first id of a fresh iommufd is 1.
static void same_file(int a, int b) {
  CHECK(a >= 0 && b >= 0 && a != b);
  uint32_t id = new_ioas(a);
  struct destroy d = {sizeof d, id};
  CHECK(ioctl(b, IOMMU_DESTROY, &d) == 0);
}

static void copies(void) {
  int fd = open_iommufd(), copy;
  same_file(fd, copy = dup(fd));
  close(copy);
  same_file(fd, copy = dup2(fd, 100));
  CHECK(copy == 100);
  CHECK(dup2(fd, 100) == 100); // over itself
  same_file(fd, 100);
  CHECK(dup2(fd, fd) == fd);
  same_file(fd, copy = dup3(fd, 101, O_CLOEXEC));
  CHECK(copy == 101 && fcntl(copy, F_GETFD) == FD_CLOEXEC);
  same_file(fd, copy = fcntl(fd, F_DUPFD, 200));
  CHECK(copy >= 200 && fcntl(copy, F_GETFD) == 0);
  same_file(fd, copy = fcntl(fd, F_DUPFD_CLOEXEC, 300));
  CHECK(copy >= 300 && fcntl(copy, F_GETFD) == FD_CLOEXEC);
  // Whichever is closed first.
  close(fd);
  same_file(100, 101);
  close(101);
  same_file(100, copy);
  close(100);
  CHECK(new_ioas(copy) == 1);
  close(copy);
  FAILS(ioctl(copy, IOMMU_IOAS_ALLOC, NULL), EBADF);
  FAILS(close(copy), EBADF);
}

static void overwritten(void) {
  int fd = open_iommufd(), null = open("/dev/null", O_RDWR);
  CHECK(dup2(null, fd) == fd);
  FAILS(ioctl(fd, IOMMU_IOAS_ALLOC, NULL), ENOTTY);
  CHECK(write(fd, "x", 1) == 1);
  // And the other way round: a virtual one in the place of a real one.
  int other = open_iommufd();
  CHECK(dup2(other, null) == null);
  same_file(other, null);
  close(fd);
  close(other);
  CHECK(new_ioas(null) == 1);
  close(null);
}

// A group is free again when the last descriptor is gone, not before.
static void last_one(void) {
  int group = open("/dev/vfio/7", O_RDWR), copy = dup(group);
  CHECK(group >= 0 && copy >= 0);
  close(group);
  FAILS(open("/dev/vfio/7", O_RDWR), EBUSY);
  close(copy);
  group = open("/dev/vfio/7", O_RDWR);
  CHECK(group >= 0);
  close(group);
}

// The iommufd first, then the device that is bound to it; and the other way round.
static void close_order(void) {
  for (int first = 0; first < 2; first++) {
    int iommufd = open_iommufd(), device = open("/dev/vfio/devices/vfio0", O_RDWR);
    CHECK(device >= 0);
    bind_device(device, iommufd);
    uint32_t ioas = new_ioas(iommufd);
    CHECK(attach_device(device, ioas) == 0);
    struct destroy d = {sizeof d, ioas};
    FAILS(ioctl(iommufd, IOMMU_DESTROY, &d), EBUSY);
    close(first ? device : iommufd);
    close(first ? iommufd : device);
  }
}

static void ranges(void) {
  int a = open_iommufd(), b = open_iommufd(), c = open_iommufd();
  CHECK(a < b && b < c);
  CHECK(close_range((unsigned)b, (unsigned)b, 0) == 0);
  FAILS(ioctl(b, IOMMU_IOAS_ALLOC, NULL), EBADF);
  CHECK(new_ioas(a) == 1 && new_ioas(c) == 1);
  CHECK(close_range((unsigned)a, ~0u, CLOSE_RANGE_CLOEXEC) == 0);
  CHECK(fcntl(c, F_GETFD) == FD_CLOEXEC && new_ioas(c) == 2);
  closefrom(a);
  FAILS(ioctl(a, IOMMU_IOAS_ALLOC, NULL), EBADF);
  FAILS(ioctl(c, IOMMU_IOAS_ALLOC, NULL), EBADF);
  int again = open_iommufd();
  CHECK(again == a); // the lowest number, as ever
  close(again);
}

int main(void) {
  copies();
  overwritten();
  last_one();
  close_order();
  ranges();
  return 0;
}
