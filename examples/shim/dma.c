// SPDX-License-Identifier: Apache-2.0
// A program that drives a device through iommufd and VFIO, as a user-space driver does: opens the device, gives it an address
// space, lets it read and write memory by DMA. It is an ordinary program: docs/tutorial-shim.md runs it on the simulator.
//
//   cc -I INCLUDE -o dma dma.c        INCLUDE: where iommu/dma_engine.h is (the repository, or include/iommusim of an installation)
//   LD_PRELOAD=libiommusim-shim.so ./dma
#define _GNU_SOURCE
#include "iommu/dma_engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

// Of linux/vfio.h and linux/iommufd.h, which older systems lack.
enum {
  VFIO_DEVICE_GET_REGION_INFO = 0x3b6c,
  VFIO_DEVICE_BIND_IOMMUFD = 0x3b76,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT = 0x3b77,
  IOMMU_IOAS_ALLOC = 0x3b81,
  IOMMU_IOAS_MAP = 0x3b85,
  MAP_FIXED_IOVA = 1,
  MAP_WRITEABLE = 2,
  MAP_READABLE = 4,
};
struct bind {
  uint32_t argsz, flags;
  int32_t iommufd;
  uint32_t out_devid;
};
struct attach {
  uint32_t argsz, flags, pt_id;
};
struct region_info {
  uint32_t argsz, flags, index, cap_offset;
  uint64_t size, offset;
};
struct ioas_alloc {
  uint32_t size, flags, out_ioas_id;
};
struct ioas_map {
  uint32_t size, flags, ioas_id, reserved;
  uint64_t user_va, length, iova;
};

static void must(long result, const char *what) {
  if (result >= 0)
    return;
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static int device;
static uint64_t region; // where it begins in the device's file

static void set(uint64_t reg, uint64_t value, size_t bytes) {
  must(pwrite(device, &value, bytes, (off_t)(region + reg)), "pwrite");
}

static uint32_t get(uint64_t reg) {
  uint32_t value;
  must(pread(device, &value, sizeof value, (off_t)(region + reg)), "pread");
  return value;
}

// Has the device move bytes; the status says how it went.
static uint32_t dma(uint32_t command, uint64_t iova, uint32_t length) {
  set(IMS_DMA_ENGINE_IOVA, iova, 8);
  set(IMS_DMA_ENGINE_LENGTH, length, 4);
  set(IMS_DMA_ENGINE_COMMAND, command, 4);
  return get(IMS_DMA_ENGINE_STATUS);
}

int main(void) {
  // The device, and what it is allowed to see: an address space, still empty.
  int iommufd = open("/dev/iommu", O_RDWR);
  must(iommufd, "/dev/iommu");
  device = open("/dev/vfio/devices/vfio0", O_RDWR);
  must(device, "/dev/vfio/devices/vfio0");
  struct bind b = {sizeof b, 0, iommufd, 0};
  must(ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, &b), "VFIO_DEVICE_BIND_IOMMUFD");
  struct ioas_alloc a = {sizeof a, 0, 0};
  must(ioctl(iommufd, IOMMU_IOAS_ALLOC, &a), "IOMMU_IOAS_ALLOC");
  struct attach pt = {sizeof pt, 0, a.out_ioas_id};
  must(ioctl(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &pt), "VFIO_DEVICE_ATTACH_IOMMUFD_PT");
  printf("device %u is attached to address space %u\n", b.out_devid, a.out_ioas_id);

  // A page of this program, for the device at 0x100000.
  char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  must(page == MAP_FAILED ? -1 : 0, "mmap");
  struct ioas_map m = {sizeof m, MAP_FIXED_IOVA | MAP_WRITEABLE | MAP_READABLE, a.out_ioas_id, 0, (uintptr_t)page, 4096,
                       0x100000};
  must(ioctl(iommufd, IOMMU_IOAS_MAP, &m), "IOMMU_IOAS_MAP");

  // The device's registers.
  struct region_info r = {.argsz = sizeof r, .index = 0};
  must(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &r), "VFIO_DEVICE_GET_REGION_INFO");
  region = r.offset;
  printf("region 0: %llu bytes, id 0x%x\n", (unsigned long long)r.size, get(IMS_DMA_ENGINE_ID));

  // It reads what the program wrote ...
  strcpy(page, "written by the program");
  uint32_t status = dma(IMS_DMA_ENGINE_READ, 0x100000, 64);
  char text[64];
  must(pread(device, text, sizeof text, (off_t)(region + IMS_DMA_ENGINE_WINDOW)), "pread");
  printf("DMA read at 0x100000: status %u, the device has \"%s\"\n", status, text);

  // ... and writes what the program reads.
  static const char answer[] = "written by the device";
  must(pwrite(device, answer, sizeof answer, (off_t)(region + IMS_DMA_ENGINE_WINDOW)), "pwrite");
  status = dma(IMS_DMA_ENGINE_WRITE, 0x100800, sizeof answer);
  printf("DMA write at 0x100800: status %u, the program has \"%s\"\n", status, page + 0x800);

  // What is not mapped, it does not reach.
  status = dma(IMS_DMA_ENGINE_WRITE, 0x200000, 64);
  printf("DMA write at 0x200000: status %u, %u bytes\n", status, get(IMS_DMA_ENGINE_DONE));
  return 0;
}
