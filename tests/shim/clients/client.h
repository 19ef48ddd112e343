// SPDX-License-Identifier: Apache-2.0
// What the client programs of the shim's tests share: a check that names its line, and the few words of the uAPI that they
// speak (layouts: Facts 3.3, 3.9). They are ordinary programs; only LD_PRELOAD makes them run against the simulator.
#pragma once

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CHECK(condition)                                                                                               \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      fprintf(stderr, "%s:%d: %s (errno %d, %s)\n", __FILE__, __LINE__, #condition, errno, strerror(errno));           \
      exit(1);                                                                                                         \
    }                                                                                                                  \
  } while (0)

// The call fails, with this errno.
#define FAILS(call, wanted)                                                                                            \
  do {                                                                                                                 \
    errno = 0;                                                                                                         \
    long result_ = (long)(call);                                                                                       \
    if (result_ != -1 || errno != (wanted)) {                                                                          \
      fprintf(stderr, "%s:%d: %s: returned %ld, errno %d (%s), expected %s\n", __FILE__, __LINE__, #call, result_,     \
              errno, strerror(errno), #wanted);                                                                        \
      exit(1);                                                                                                         \
    }                                                                                                                  \
  } while (0)

enum {
  VFIO_GET_API_VERSION = 0x3b64,
  VFIO_GROUP_GET_STATUS = 0x3b67,
  VFIO_DEVICE_BIND_IOMMUFD = 0x3b76,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT = 0x3b77,
  VFIO_DEVICE_DETACH_IOMMUFD_PT = 0x3b78,
  IOMMU_DESTROY = 0x3b80,
  IOMMU_IOAS_ALLOC = 0x3b81,
  IOMMU_IOAS_MAP = 0x3b85,
  IOMMU_IOAS_UNMAP = 0x3b86,
  IOMMU_FAULT_QUEUE_ALLOC = 0x3b8e,
  MAP_FIXED_IOVA = 1,
  MAP_WRITEABLE = 2,
  MAP_READABLE = 4,
};

struct ioas_alloc {
  uint32_t size, flags, out_ioas_id;
};
struct destroy {
  uint32_t size, id;
};
struct ioas_map {
  uint32_t size, flags, ioas_id, reserved;
  uint64_t user_va, length, iova;
};
struct ioas_unmap {
  uint32_t size, ioas_id;
  uint64_t iova, length;
};
struct device_bind {
  uint32_t argsz, flags;
  int32_t iommufd;
  uint32_t out_devid;
};
struct device_attach {
  uint32_t argsz, flags, pt_id;
};
struct fault_alloc {
  uint32_t size, flags, out_fault_id;
  int32_t out_fault_fd;
};

static inline uint32_t new_ioas(int iommufd) {
  struct ioas_alloc a = {sizeof a, 0, 0};
  CHECK(ioctl(iommufd, IOMMU_IOAS_ALLOC, &a) == 0);
  return a.out_ioas_id;
}

static inline int map_fixed(int iommufd, uint32_t ioas, const void *va, uint64_t length, uint64_t iova) {
  struct ioas_map m = {sizeof m, MAP_FIXED_IOVA | MAP_WRITEABLE | MAP_READABLE, ioas, 0, (uintptr_t)va, length, iova};
  return ioctl(iommufd, IOMMU_IOAS_MAP, &m);
}

static inline int unmap(int iommufd, uint32_t ioas, uint64_t iova, uint64_t length) {
  struct ioas_unmap u = {sizeof u, ioas, iova, length};
  return ioctl(iommufd, IOMMU_IOAS_UNMAP, &u);
}

// Binds /dev/vfio/devices/vfioN, opened as `device`, and attaches it to an address space.
static inline void bind_device(int device, int iommufd) {
  struct device_bind b = {sizeof b, 0, iommufd, 0};
  CHECK(ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, &b) == 0);
  CHECK(b.out_devid != 0);
}
static inline int attach_device(int device, uint32_t pt) {
  struct device_attach a = {sizeof a, 0, pt};
  return ioctl(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a);
}
