// SPDX-License-Identifier: Apache-2.0
// Compiled with _FORTIFY_SOURCE: the compiler calls __open_2, __read_chk and their like, since what it needs to know is only
// known at run time.
#define _GNU_SOURCE
#include "client.h"
#include <fcntl.h>
#include <limits.h>
#include <poll.h>

int main(int argc, char **argv) {
  char buf[64], path[PATH_MAX];
  struct pollfd p[1];
  size_t n = argc > 1 ? (size_t)atoi(argv[1]) : 0;
  int fd = open(argc > 2 ? argv[2] : "/dev/iommu", argc > 3 ? O_RDONLY : O_RDWR);
  CHECK(fd >= 0 && new_ioas(fd) == 1);
  FAILS(read(fd, buf, n), EINVAL);
  FAILS(pread(fd, buf, n, 0), EINVAL);
  FAILS(pread64(fd, buf, n, 0), EINVAL);
  p[0] = (struct pollfd){fd, 0, 0};
  CHECK(poll(p, (nfds_t)argc - 1, 0) >= 0);
  CHECK(readlink("/sys/bus/pci/devices/0000:00:03.0/iommu_group", path, n * 8) > 0);
  CHECK(realpath("/sys/bus/pci/devices/0000:00:03.0", path) && !strncmp(path, "/sys/devices/", 13));
  int other = openat(AT_FDCWD, argc > 2 ? argv[2] : "/dev/iommu", argc > 3 ? O_RDONLY : O_RDWR);
  CHECK(other >= 0 && new_ioas(other) == 1);
  return 0;
}
