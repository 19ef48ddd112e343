// SPDX-License-Identifier: Apache-2.0
// Every way to open a device node and to find a device in sysfs.
#define _GNU_SOURCE
#include "client.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dir, const char *path, int flags);
int __openat64_2(int dir, const char *path, int flags);

static void is_iommufd(int fd) {
  CHECK(fd >= 0);
  CHECK(new_ioas(fd) == 1); // each open is an iommufd of its own
  CHECK(close(fd) == 0);
}

static void spellings(void) {
  is_iommufd(open("/dev/iommu", O_RDWR));
  is_iommufd(open64("/dev/iommu", O_RDWR));
  is_iommufd(openat(AT_FDCWD, "/dev/iommu", O_RDWR));
  is_iommufd(openat64(AT_FDCWD, "/dev/iommu", O_RDWR));
  is_iommufd(__open_2("/dev/iommu", O_RDWR));
  is_iommufd(__open64_2("/dev/iommu", O_RDWR));
  is_iommufd(__openat_2(AT_FDCWD, "/dev/iommu", O_RDWR));
  is_iommufd(__openat64_2(AT_FDCWD, "/dev/iommu", O_RDWR));
  is_iommufd(open("//dev/./vfio/../iommu", O_RDWR));
}

static void flags(void) {
  int fd = open("/dev/iommu", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
  CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
  close(fd);
  fd = open("/dev/iommu", O_RDWR);
  CHECK(fcntl(fd, F_GETFD) == 0);
  CHECK(!(fcntl(fd, F_GETFL) & O_NONBLOCK));
  close(fd);
  FAILS(open("/dev/iommu", O_RDWR | O_DIRECTORY), ENOTDIR);
}

static void nodes(void) {
  int container = open("/dev/vfio/vfio", O_RDWR);
  CHECK(container >= 0 && ioctl(container, VFIO_GET_API_VERSION) == 0);
  int group = open("/dev/vfio/7", O_RDWR);
  uint32_t status[2] = {8, 0};
  CHECK(group >= 0 && ioctl(group, VFIO_GROUP_GET_STATUS, status) == 0 && status[1] == 1);
  FAILS(open("/dev/vfio/7", O_RDWR), EBUSY);
  FAILS(open("/dev/vfio/99", O_RDWR), ENOENT);
  FAILS(open("/dev/vfio/07", O_RDWR), ENOENT);
  FAILS(open("/dev/vfio/99", O_RDWR | O_CREAT, 0666), EACCES);
  close(group);
  int device = open("/dev/vfio/devices/vfio0", O_RDWR);
  CHECK(device >= 0);
  FAILS(open("/dev/vfio/devices/vfio9", O_RDWR), ENOENT);
  close(device);
  close(container);
}

static void what_they_are(void) {
  struct stat st, fst;
  struct stat64 st64;
  struct statx stx;
  CHECK(stat("/dev/vfio/devices/vfio1", &st) == 0 && S_ISCHR(st.st_mode));
  CHECK(lstat("/dev/vfio/devices/vfio1", &fst) == 0 && fst.st_rdev == st.st_rdev);
  CHECK(stat64("/dev/vfio/devices/vfio1", &st64) == 0 && st64.st_rdev == st.st_rdev);
  CHECK(fstatat(AT_FDCWD, "/dev/vfio/devices/vfio1", &fst, 0) == 0 && fst.st_rdev == st.st_rdev);
  CHECK(statx(AT_FDCWD, "/dev/vfio/devices/vfio1", 0, STATX_ALL, &stx) == 0 &&
        makedev(stx.stx_rdev_major, stx.stx_rdev_minor) == st.st_rdev && S_ISCHR(stx.stx_mode));
  int fd = open("/dev/vfio/devices/vfio1", O_RDWR);
  CHECK(fstat(fd, &fst) == 0 && S_ISCHR(fst.st_mode) && fst.st_rdev == st.st_rdev);
  CHECK(fstatat(fd, "", &fst, AT_EMPTY_PATH) == 0 && fst.st_rdev == st.st_rdev);
  close(fd);
  CHECK(stat("/dev/vfio", &st) == 0 && S_ISDIR(st.st_mode));
  FAILS(stat("/dev/vfio/devices/vfio9", &st), ENOENT);
  CHECK(access("/dev/iommu", R_OK | W_OK) == 0);
  CHECK(faccessat(AT_FDCWD, "/dev/vfio/8", F_OK, 0) == 0);
  FAILS(access("/dev/vfio/9", F_OK), ENOENT);
}

// As a VMM finds the node of a device that it is given by its address.
static void sysfs(void) {
  char text[PATH_MAX], path[PATH_MAX];
  ssize_t n = readlink("/sys/bus/pci/devices/0000:00:03.0/iommu_group", text, sizeof text - 1);
  CHECK(n > 0);
  text[n] = 0;
  CHECK(strcmp(strrchr(text, '/'), "/7") == 0);
  CHECK(readlinkat(AT_FDCWD, "/sys/bus/pci/devices/0000:00:03.0/iommu_group", path, sizeof path) == n);

  DIR *dir = opendir("/sys/bus/pci/devices/0000:00:03.0/vfio-dev");
  CHECK(dir);
  struct dirent *e;
  do
    CHECK((e = readdir(dir)) != NULL);
  while (strncmp(e->d_name, "vfio", 4));
  snprintf(path, sizeof path, "/sys/bus/pci/devices/0000:00:03.0/vfio-dev/%s/dev", e->d_name);
  FILE *f = fopen(path, "r");
  unsigned major_number, minor_number;
  CHECK(f && fscanf(f, "%u:%u", &major_number, &minor_number) == 2);
  fclose(f);
  snprintf(path, sizeof path, "/dev/vfio/devices/%s", e->d_name);
  closedir(dir);
  struct stat st;
  CHECK(stat(path, &st) == 0 && st.st_rdev == makedev(major_number, minor_number));

  CHECK(realpath("/sys/bus/pci/devices/0000:00:03.0", text));
  CHECK(strcmp(text, "/sys/devices/pci0000:00/0000:00:03.0") == 0);
  CHECK(access("/sys/class/vfio-dev/vfio1/device/iommu_group/devices/0000:00:04.0", F_OK) == 0);
  int fd = open("/sys/class/vfio-dev/vfio1/dev", O_RDONLY);
  CHECK(fd >= 0 && read(fd, text, sizeof text) == 6 && memcmp(text, "511:1\n", 6) == 0);
  close(fd);

  int entries = 0;
  for (dir = opendir("/dev/vfio"); (e = readdir(dir)) != NULL;)
    entries += e->d_name[0] != '.';
  closedir(dir);
  CHECK(entries == 4); // vfio, devices, 7, 8
}

// Nothing else is touched.
static void others(void) {
  struct stat st;
  int fd = open("/dev/null", O_RDWR);
  CHECK(fd >= 0 && write(fd, "x", 1) == 1 && read(fd, &st, 1) == 0);
  FAILS(ioctl(fd, IOMMU_IOAS_ALLOC, &st), ENOTTY);
  close(fd);
  FAILS(open("/dev/iommusim-is-not-there", O_RDWR), ENOENT);
  CHECK(stat("/sys", &st) == 0 && S_ISDIR(st.st_mode));
}

int main(void) {
  spellings();
  flags();
  nodes();
  what_they_are();
  sysfs();
  others();
  return 0;
}
