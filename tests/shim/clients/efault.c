// SPDX-License-Identifier: Apache-2.0
// Bad pointers in every call that takes one: an error, never a crash.
#define _GNU_SOURCE
#include "client.h"
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/uio.h>

int main(void) {
  int fd = open("/dev/iommu", O_RDWR), container = open("/dev/vfio/vfio", O_RDWR), group = open("/dev/vfio/7", O_RDWR);
  int device = open("/dev/vfio/devices/vfio1", O_RDWR);
  CHECK(fd >= 0 && container >= 0 && group >= 0 && device >= 0);
  size_t page = 4096;
  char *two = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char *none = mmap(NULL, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  uint32_t *readable = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct ioas_alloc a = {sizeof a, 0, 0};
  memcpy(readable, &a, sizeof a);
  CHECK(mprotect(readable, page, PROT_READ) == 0);
  CHECK(two != MAP_FAILED && munmap(two + page, page) == 0); // last, so that nothing else comes to lie there
  char *at_the_end = two + page - 8;                         // the structure reaches into nothing
  memcpy(at_the_end, &a, 8);

  void *const bad[] = {NULL,
                       (void *)1,
                       none,
                       two + page,
                       at_the_end,
                       (void *)-1l,
                       (void *)-4096l,
                       (void *)(1ul << 63),
                       (void *)0x7ffffffffff8ul,
                       (void *)0x8000000000000000ul};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    FAILS(ioctl(fd, IOMMU_IOAS_ALLOC, bad[i]), EFAULT);
    if (bad[i] != at_the_end) {
      FAILS(ioctl(fd, IOMMU_DESTROY, bad[i]), EFAULT);
      FAILS(ioctl(fd, IOMMU_IOAS_MAP, bad[i]), EFAULT);
      FAILS(ioctl(group, VFIO_GROUP_GET_STATUS, bad[i]), EFAULT);
      FAILS(ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, bad[i]), EFAULT);
    }
    CHECK(poll(bad[i], 3, 0) == -1 && errno == EFAULT);
  }
  // Read, but no room for the answer. What the call would have made is not left behind.
  FAILS(ioctl(fd, IOMMU_IOAS_ALLOC, readable), EFAULT);
  CHECK(new_ioas(fd) == 1);
  FAILS(readv(fd, (struct iovec *)none, 1), EFAULT);

  // Memory to be mapped is only looked at when a device needs it.
  uint32_t ioas = 1;
  CHECK(map_fixed(fd, ioas, none, page, 0x100000) == 0);
  bind_device(device, fd);
  close(group);
  FAILS(attach_device(device, ioas), EFAULT);
  CHECK(unmap(fd, ioas, 0x100000, page) == 0);
  CHECK(attach_device(device, ioas) == 0);
  FAILS(map_fixed(fd, ioas, none, page, 0x100000), EFAULT);
  FAILS(map_fixed(fd, ioas, two, 2 * page, 0x100000), EFAULT);  // half of it is there
  FAILS(map_fixed(fd, ioas, readable, page, 0x100000), EFAULT); // not writable
  CHECK(map_fixed(fd, ioas, two, page, 0x100000) == 0);
  // A file that ends before its mapping does.
  int mfd = memfd_create("short", 0);
  CHECK(ftruncate(mfd, (off_t)page) == 0);
  char *file = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, mfd, 0);
  FAILS(map_fixed(fd, ioas, file, 2 * page, 0x200000), EFAULT);
  CHECK(map_fixed(fd, ioas, file, page, 0x200000) == 0);
  return 0;
}
