// SPDX-License-Identifier: Apache-2.0
// The program's memory as a device sees it: private, shared, of files; and pages that lose their mapping while a device has
// them.
#define _GNU_SOURCE
#include "client.h"
#include "iommu/dma_engine.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { VFIO_DEVICE_GET_INFO = 0x3b6b, VFIO_DEVICE_GET_REGION_INFO = 0x3b6c, PAGE = 4096 };

static int iommufd, device;
static uint32_t ioas;

static void set(uint64_t reg, uint64_t value, size_t bytes) {
  CHECK(pwrite(device, &value, bytes, (off_t)reg) == (ssize_t)bytes);
}
static uint32_t get(uint64_t reg) {
  uint32_t value = 0;
  CHECK(pread(device, &value, 4, (off_t)reg) == 4);
  return value;
}

static uint32_t dma(uint32_t command, uint64_t iova, uint64_t length) {
  set(IMS_DMA_ENGINE_IOVA, iova, 8);
  set(IMS_DMA_ENGINE_LENGTH, length, 4);
  set(IMS_DMA_ENGINE_COMMAND, command, 4);
  return get(IMS_DMA_ENGINE_STATUS);
}

// The device reads this text at iova.
static void reads(uint64_t iova, const char *text) {
  char got[64] = "";
  CHECK(dma(IMS_DMA_ENGINE_READ, iova, strlen(text) + 1) == IMS_DMA_ENGINE_DONE_ALL);
  CHECK(pread(device, got, strlen(text) + 1, IMS_DMA_ENGINE_WINDOW) == (ssize_t)strlen(text) + 1);
  if (strcmp(got, text))
    fprintf(stderr, "iova 0x%llx: \"%s\", expected \"%s\"\n", (unsigned long long)iova, got, text);
  CHECK(strcmp(got, text) == 0);
}

static void writes(uint64_t iova, const char *text) {
  CHECK(pwrite(device, text, strlen(text) + 1, IMS_DMA_ENGINE_WINDOW) == (ssize_t)strlen(text) + 1);
  CHECK(dma(IMS_DMA_ENGINE_WRITE, iova, strlen(text) + 1) == IMS_DMA_ENGINE_DONE_ALL);
}

static char *map(size_t size, int flags, int fd, uint64_t iova) {
  char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
  CHECK(p != MAP_FAILED);
  CHECK(map_fixed(iommufd, ioas, p, size, iova) == 0);
  return p;
}

static void regions(void) {
  uint32_t info[6] = {24};
  CHECK(ioctl(device, VFIO_DEVICE_GET_INFO, info) == 0 && info[1] == 2 && info[2] == 9);
  struct {
    uint32_t argsz, flags, index, cap_offset;
    uint64_t size, offset;
  } r = {.argsz = 32};
  CHECK(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &r) == 0 && r.flags == 3 && r.size == IMS_DMA_ENGINE_BAR &&
        r.offset == 0);
  FAILS(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, NULL), EFAULT);
  CHECK(get(IMS_DMA_ENGINE_ID) == 0x414d4449);
  uint64_t word = 1;
  void *volatile nowhere = NULL;
  FAILS(pread(device, nowhere, 8, IMS_DMA_ENGINE_IOVA), EFAULT);
  FAILS(pwrite(device, nowhere, 8, IMS_DMA_ENGINE_IOVA), EFAULT);
  FAILS(pread(device, &word, 8, 1l << 40), EINVAL); // region 1 is not there
}

static void kinds_of_memory(void) {
  char *own = map(2 * PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0x100000);
  strcpy(own + PAGE - 5, "across pages");
  reads(0x100000 + PAGE - 5, "across pages");
  writes(0x100010, "from the device");
  CHECK(strcmp(own + 0x10, "from the device") == 0);
  CHECK(unmap(iommufd, ioas, 0x100000, 2 * PAGE) == 0);
  CHECK(dma(IMS_DMA_ENGINE_READ, 0x100000, 8) == IMS_DMA_ENGINE_REFUSED);
  CHECK(get(IMS_DMA_ENGINE_DONE) == 0);

  // One page, two ways to it.
  int mfd = memfd_create("file", 0);
  CHECK(ftruncate(mfd, PAGE) == 0);
  char *a = map(PAGE, MAP_SHARED, mfd, 0x200000);
  char *b = map(PAGE, MAP_SHARED, mfd, 0x201000);
  writes(0x200000, "by way of a");
  CHECK(strcmp(b, "by way of a") == 0);
  reads(0x201000, "by way of a");
  // Its file knows it still when nobody has it mapped.
  CHECK(munmap(a, PAGE) == 0);
  strcpy(b, "left is b");
  reads(0x200000, "left is b");
  CHECK(unmap(iommufd, ioas, 0x200000, PAGE) == 0);
  CHECK(unmap(iommufd, ioas, 0x201000, PAGE) == 0);

  char *common = map(PAGE, MAP_SHARED | MAP_ANONYMOUS, -1, 0x300000);
  pid_t child = fork();
  CHECK(child >= 0);
  if (!child) {
    strcpy(common, "by the child");
    _exit(0);
  }
  CHECK(waitpid(child, NULL, 0) == child);
  reads(0x300000, "by the child");
  CHECK(unmap(iommufd, ioas, 0x300000, PAGE) == 0);
}

// A page that the device has stays what it is: what the program maps in its place is another one.
static void another_page(void) {
  char *p = map(PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0x400000);
  strcpy(p, "the first page");
  CHECK(munmap(p, PAGE) == 0);
  reads(0x400000, "the first page");
  char *again = mmap(p, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  CHECK(again == p);
  strcpy(again, "the second page");
  reads(0x400000, "the first page");
  CHECK(map_fixed(iommufd, ioas, again, PAGE, 0x401000) == 0);
  reads(0x401000, "the second page");
  writes(0x400000, "still the first");
  CHECK(strcmp(again, "the second page") == 0);
  reads(0x400000, "still the first");
  // Mapped over.
  CHECK(mmap(p, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
  strcpy(p, "the third page");
  reads(0x401000, "the second page");
  CHECK(unmap(iommufd, ioas, 0x400000, PAGE) == 0);
  CHECK(unmap(iommufd, ioas, 0x401000, PAGE) == 0);
  // Nobody has it any more: the third is mapped anew.
  CHECK(map_fixed(iommufd, ioas, p, PAGE, 0x400000) == 0);
  reads(0x400000, "the third page");
  // The rights of the program are not those of the device.
  CHECK(mprotect(p, PAGE, PROT_READ) == 0);
  writes(0x400000, "all the same");
  CHECK(strcmp(p, "all the same") == 0);
  CHECK(unmap(iommufd, ioas, 0x400000, PAGE) == 0);
}

int main(void) {
  iommufd = open("/dev/iommu", O_RDWR);
  device = open("/dev/vfio/devices/vfio0", O_RDWR);
  CHECK(iommufd >= 0 && device >= 0);
  uint64_t word;
  FAILS(pread(device, &word, 8, 0), EINVAL); // not before it is bound
  bind_device(device, iommufd);
  ioas = new_ioas(iommufd);
  CHECK(attach_device(device, ioas) == 0);
  regions();
  kinds_of_memory();
  another_page();
  return 0;
}
