// SPDX-License-Identifier: Apache-2.0
// Device nodes and sysfs. What a client looks at there exists as real folders, files and links in a folder of its own, made
// when the first such path is named; calls that take a path are sent there. So readdir, readlink and the like need nothing
// of their own. Only open and stat know that nodes below /dev are no plain files.
//
//   /dev/iommu, /dev/vfio/vfio, /dev/vfio/GROUP, /dev/vfio/devices/vfioN
//   /sys/devices/pciSSSS:BB/BDF/{vendor,device,class,iommu_group,iommu,subsystem,vfio-dev/vfioN/dev}
//   /sys/bus/pci/devices/BDF, /sys/class/vfio-dev/vfioN, /sys/class/iommu/NAME, /sys/kernel/iommu_groups/N/{type,devices/BDF}
#define _GNU_SOURCE
#include "shim/shim_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

// Numbers as a real system has them: misc devices, and the first ones that are given out at run time.
enum { MISC = 10, MINOR_VFIO = 196, MINOR_IOMMU = 122, MAJOR_GROUP = 243, MAJOR_CDEV = 511 };

// Folders of which all is simulated, and those that are ours as a whole.
static const char *const roots[] = {
    "/dev/iommu",       "/dev/vfio",        "/sys/bus/pci/devices",     "/sys/class/vfio-dev",
    "/sys/class/iommu", "/sys/devices/pci", "/sys/kernel/iommu_groups", NULL,
};

// True when `path` is `root` or below it; a root whose last letter belongs to a longer name may go on with anything.
static bool below(const char *path, const char *root) {
  size_t n = strlen(root);
  if (strncmp(path, root, n))
    return false;
  return path[n] == 0 || path[n] == '/' || !strcmp(root, "/sys/devices/pci");
}

static bool is_ours(const char *path) {
  if (strncmp(path, "/dev/", 5) && strncmp(path, "/sys/", 5))
    return false;
  for (const char *const *r = roots; *r; r++)
    if (below(path, *r))
      return true;
  return false;
}

// A relative path, `.`, `..` and doubled slashes as a program may write them. False: no absolute path comes of it.
static bool normal(const char *path, char *out) {
  size_t n = 0;
  if (*path != '/')
    return false;
  while (*path) {
    while (*path == '/')
      path++;
    size_t len = strcspn(path, "/");
    if (len == 2 && path[0] == '.' && path[1] == '.') {
      while (n > 0 && out[--n] != '/')
        ;
    } else if (len && !(len == 1 && path[0] == '.')) {
      if (n + len + 2 > PATH_MAX)
        return false;
      out[n++] = '/';
      memcpy(out + n, path, len);
      n += len;
    }
    path += len;
  }
  out[n] = 0;
  return n > 0;
}

static const struct shim_device *device_by_cdev(unsigned long n) {
  for (size_t i = 0; i < shim_state->devices; i++)
    if (shim_state->device[i].has_group && shim_state->device[i].cdev == n)
      return &shim_state->device[i];
  return NULL;
}

static bool has_group(unsigned long n) {
  for (size_t i = 0; i < shim_state->devices; i++)
    if (shim_state->device[i].has_group && shim_state->device[i].group == n)
      return true;
  return false;
}

static bool number(const char *text, unsigned long *n) {
  char again[24];
  *n = strtoul(text, NULL, 10);
  snprintf(again, sizeof again, "%lu", *n);
  return !strcmp(text, again);
}

bool shim_device_node(const char *path, dev_t *rdev) {
  unsigned long n;
  *rdev = 0;
  if (!strcmp(path, "/dev/iommu"))
    *rdev = makedev(MISC, MINOR_IOMMU);
  else if (!strcmp(path, "/dev/vfio/vfio"))
    *rdev = makedev(MISC, MINOR_VFIO);
  else if (!strncmp(path, "/dev/vfio/devices/vfio", 22) && number(path + 22, &n) && device_by_cdev(n))
    *rdev = makedev(MAJOR_CDEV, (unsigned)n);
  else if (!strncmp(path, "/dev/vfio/", 10) && number(path + 10, &n) && has_group(n))
    *rdev = makedev(MAJOR_GROUP, (unsigned)n);
  return *rdev != 0;
}

// ---- The folder -----------------------------------------------------------------------------------------------------

// Makes `path` below the folder, with the folders that lead to it; returns it with the folder in front.
static const char *place(char *buf, const char *format, va_list ap) {
  size_t n = (size_t)snprintf(buf, PATH_MAX, "%s", shim_state->tree), root = n;
  n += (size_t)vsnprintf(buf + n, PATH_MAX - n, format, ap);
  for (size_t i = root + 1; i < n; i++)
    if (buf[i] == '/') {
      buf[i] = 0;
      shim_sys(SYS_mkdirat, (long)AT_FDCWD, buf, 0755L);
      buf[i] = '/';
    }
  return buf;
}

__attribute__((format(printf, 1, 2))) static void folder(const char *format, ...) {
  char path[PATH_MAX];
  va_list ap;
  va_start(ap, format);
  shim_sys(SYS_mkdirat, (long)AT_FDCWD, place(path, format, ap), 0755L);
  va_end(ap);
}

__attribute__((format(printf, 2, 3))) static void file(const char *text, const char *format, ...) {
  char path[PATH_MAX];
  va_list ap;
  va_start(ap, format);
  long fd =
      shim_sys(SYS_openat, (long)AT_FDCWD, place(path, format, ap), (long)(O_WRONLY | O_CREAT | O_CLOEXEC), 0644L);
  va_end(ap);
  if (fd < 0)
    return;
  shim_sys(SYS_write, fd, text, strlen(text));
  shim_sys(SYS_close, fd);
}

__attribute__((format(printf, 2, 3))) static void link_to(const char *target, const char *format, ...) {
  char path[PATH_MAX];
  va_list ap;
  va_start(ap, format);
  shim_sys(SYS_symlinkat, target, (long)AT_FDCWD, place(path, format, ap));
  va_end(ap);
}

static void device_files(const struct shim_device *d) {
  char text[128], dir[64], bus[16];
  snprintf(bus, sizeof bus, "pci%.7s", d->bdf); // the host bridge: domain and bus
  snprintf(dir, sizeof dir, "/sys/devices/%s/%s", bus, d->bdf);
  file("0x1b36\n", "%s/vendor", dir);
  file("0x10d1\n", "%s/device", dir);
  file("0x088000\n", "%s/class", dir);
  file("-1\n", "%s/numa_node", dir);
  link_to("../../../bus/pci", "%s/subsystem", dir);
  snprintf(text, sizeof text, "../../../devices/%s/%s", bus, d->bdf);
  link_to(text, "/sys/bus/pci/devices/%s", d->bdf);
  if (!d->has_group)
    return;
  snprintf(text, sizeof text, "../../../kernel/iommu_groups/%u", d->group);
  link_to(text, "%s/iommu_group", dir);
  snprintf(text, sizeof text, "../../../../devices/%s/%s", bus, d->bdf);
  link_to(text, "/sys/kernel/iommu_groups/%u/devices/%s", d->group, d->bdf);
  file("DMA\n", "/sys/kernel/iommu_groups/%u/type", d->group);
  file("", "/dev/vfio/%u", d->group);
  snprintf(text, sizeof text, "%d:%u\n", MAJOR_CDEV, d->cdev);
  file(text, "%s/vfio-dev/vfio%u/dev", dir, d->cdev);
  link_to("../..", "%s/vfio-dev/vfio%u/device", dir, d->cdev);
  snprintf(text, sizeof text, "../../devices/%s/%s/vfio-dev/vfio%u", bus, d->bdf, d->cdev);
  link_to(text, "/sys/class/vfio-dev/vfio%u", d->cdev);
  file("", "/dev/vfio/devices/vfio%u", d->cdev);
}

static void make_tree(void) {
  static const char *const places[] = {"/dev/shm", "/tmp", NULL};
  struct shim *s = shim_state;
  for (const char *const *p = places; *p && !s->tree[0]; p++)
    for (unsigned n = 0; n < 100 && !s->tree[0]; n++) {
      char path[sizeof s->tree];
      snprintf(path, sizeof path, "%s/iommusim-%d-%u", *p, (int)getpid(), n);
      long err = shim_sys(SYS_mkdirat, (long)AT_FDCWD, path, 0755L);
      if (!err)
        memcpy(s->tree, path, sizeof path);
      else if (err != -EEXIST)
        break;
    }
  if (!s->tree[0])
    return;
  file("", "/dev/iommu");
  file("", "/dev/vfio/vfio");
  folder("/dev/vfio/devices");
  folder("/sys/bus/pci/devices");
  folder("/sys/class/vfio-dev");
  folder("/sys/class/iommu");
  folder("/sys/kernel/iommu_groups");
  for (size_t i = 0; i < s->devices; i++)
    if (s->device[i].pci)
      device_files(&s->device[i]);
}

static void remove_all(int at, const char *name, unsigned depth) {
  long fd = shim_sys(SYS_openat, (long)at, name, (long)(O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), 0L);
  char buf[4096];
  long n;
  if (fd < 0)
    return;
  while (depth < 16 && (n = shim_sys(SYS_getdents64, fd, buf, (long)sizeof buf)) > 0)
    for (long i = 0; i < n;) {
      // struct linux_dirent64: inode 8, offset 8, length 2, type 1, name
      const char *entry = buf + i, *inside = entry + 19;
      uint16_t length;
      memcpy(&length, entry + 16, 2);
      i += length;
      if (!strcmp(inside, ".") || !strcmp(inside, ".."))
        continue;
      if (shim_sys(SYS_unlinkat, fd, inside, 0L) == -EISDIR || entry[18] == 4) {
        remove_all((int)fd, inside, depth + 1);
        shim_sys(SYS_unlinkat, fd, inside, (long)AT_REMOVEDIR);
      }
    }
  shim_sys(SYS_close, fd);
}

void shim_tree_remove(void) {
  remove_all(AT_FDCWD, shim_state->tree, 0);
  shim_sys(SYS_unlinkat, (long)AT_FDCWD, shim_state->tree, (long)AT_REMOVEDIR);
  shim_state->tree[0] = 0;
}

// ---- Paths ----------------------------------------------------------------------------------------------------------

bool shim_ours(const char *path, char *clean) {
  // Few paths come past this: the rest costs two comparisons.
  while (path && path[0] == '/' && path[1] == '/')
    path++;
  if (!path || path[0] != '/' || (strncmp(path + 1, "dev", 3) && strncmp(path + 1, "sys", 3)))
    return false;
  if (!normal(path, clean) || !is_ours(clean) || !shim_start())
    return false;
  struct shim_guard g = shim_enter();
  bool ready = shim_machine();
  shim_leave(g);
  return ready;
}

const char *shim_translate(const char *path, char *buf) {
  char clean[PATH_MAX];
  if (!shim_ours(path, clean))
    return NULL;
  struct shim_guard g = shim_enter();
  if (!shim_state->tree[0])
    make_tree();
  size_t n = strlen(shim_state->tree), len = strlen(clean);
  shim_leave(g);
  if (!n || n + len >= PATH_MAX)
    return NULL;
  memcpy(buf, shim_state->tree, n);
  memcpy(buf + n, clean, len + 1);
  return buf;
}

bool shim_is_device_path(const char *path) {
  return path && !strncmp(path, "/dev/", 5) && (!strcmp(path, "/dev/iommu") || !strncmp(path, "/dev/vfio/", 10));
}

const char *shim_untranslate(const char *path) {
  size_t n = shim_state ? strlen(shim_state->tree) : 0;
  return n && !strncmp(path, shim_state->tree, n) && path[n] == '/' ? path + n : path;
}
