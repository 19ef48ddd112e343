// SPDX-License-Identifier: Apache-2.0
// Files of a process: numbers, open, close, and which ioctls go where.
#include "uapi/kernel_internal.h"
#include "uapi/layout.h"
#include <stdio.h>
#include <stdlib.h>

enum { FIRST_FD = 3, MAX_FD = 1 << 20 };

static int fd_room(struct ims_process *p, size_t fd) {
  if (fd < p->files)
    return 0;
  size_t n = fd + 1 > 2 * p->files ? fd + 1 : 2 * p->files;
  struct ims_file **more = realloc(p->file, n * sizeof(struct ims_file *));
  if (!more)
    return -ENOMEM;
  memset(more + p->files, 0, (n - p->files) * sizeof(struct ims_file *));
  p->file = more;
  p->files = n;
  return 0;
}

static struct container *container_new(struct ims_kernel *k) {
  struct container *c = calloc(1, sizeof *c);
  if (!c)
    return NULL;
  c->k = k;
  c->users = 1;
  ims_vmm_fault_init(c);
  c->next = k->containers;
  if (c->next)
    c->next->prev = c;
  k->containers = c;
  return c;
}

void ims_container_put(struct container *c) {
  if (--c->users)
    return;
  if (c->prev)
    c->prev->next = c->next;
  else
    c->k->containers = c->next;
  if (c->next)
    c->next->prev = c->prev;
  ims_vmm_fault_fini(c);
  free(c->dma);
  free(c->msi);
  free(c);
}

// ---- Open files and descriptors -------------------------------------------------------------------------------------

static int lowest_free(const struct ims_process *p) {
  size_t fd = FIRST_FD;
  while (fd < p->files && p->file[fd])
    fd++;
  return fd < MAX_FD ? (int)fd : -EMFILE;
}

static int describe(struct ims_process *p, int fd, struct open_file *o, struct ims_file **out) {
  struct ims_file *f = calloc(1, sizeof *f);
  if (!f || fd_room(p, (size_t)fd)) {
    free(f);
    return -ENOMEM;
  }
  f->process = p;
  f->fd = fd;
  f->open = o;
  o->refs++;
  p->file[fd] = f;
  *out = f;
  return fd;
}

int ims_file_new(struct ims_process *p, const struct file_ops *ops, void *state, struct ims_file **out) {
  struct open_file *o = calloc(1, sizeof *o);
  int fd = !o ? -ENOMEM : p->user.fd_new ? p->user.fd_new(p->user.ctx) : lowest_free(p);
  if (fd >= MAX_FD || (fd >= 0 && ims_process_file(p, fd))) {
    p->user.fd_drop(p->user.ctx, fd);
    fd = -EMFILE;
  }
  if (fd < 0) {
    free(o);
    return fd;
  }
  o->k = p->k;
  o->ops = ops;
  o->state = state;
  int err = describe(p, fd, o, out);
  if (err < 0) {
    if (p->user.fd_drop)
      p->user.fd_drop(p->user.ctx, fd);
    free(o);
  }
  return err;
}

void ims_open_file_get(struct open_file *o) { o->refs++; }

void ims_open_file_put(struct open_file *o) {
  if (--o->refs)
    return;
  o->ops->release(o);
  free(o);
}

void ims_file_undo(struct ims_file *f) {
  struct ims_process *p = f->process;
  if (p->user.fd_drop)
    p->user.fd_drop(p->user.ctx, f->fd);
  ims_close(f);
}

int ims_file_share(struct ims_file *f, struct ims_process *to, int fd, struct ims_file **out) {
  *out = NULL;
  if (fd < 0)
    fd = lowest_free(to);
  if (fd < 0 || fd >= MAX_FD)
    return -EMFILE;
  if (ims_process_file(to, fd))
    return -EEXIST;
  return describe(to, fd, f->open, out);
}

// ---- Paths ----------------------------------------------------------------------------------------------------------

// A number behind a folder as the file system spells it: no sign, no leading zero.
static bool numbered(const char *path, const char *dir, uint32_t *number) {
  char again[48];
  size_t n = strlen(dir);
  if (strncmp(path, dir, n))
    return false;
  unsigned long id = strtoul(path + n, NULL, 10);
  snprintf(again, sizeof again, "%s%lu", dir, id);
  *number = (uint32_t)id;
  return id < UINT32_MAX && !strcmp(path, again);
}

static long container_ioctl(struct ims_file *f, uint32_t cmd, uint64_t arg) { return ims_container_ioctl(f, cmd, arg); }
static void container_release(struct open_file *o) { ims_container_put(o->container); }
static void group_release(struct open_file *o) { ims_group_release(o->group); }

static const struct file_ops container_ops = {
    .kind = IMS_FILE_CONTAINER, .ioctl = container_ioctl, .release = container_release};
static const struct file_ops group_ops = {.kind = IMS_FILE_GROUP, .ioctl = ims_group_ioctl, .release = group_release};

static int open_container(struct ims_process *p, struct ims_file **out) {
  struct container *c = container_new(p->k);
  if (!c)
    return -ENOMEM;
  int fd = ims_file_new(p, &container_ops, NULL, out);
  if (fd < 0)
    ims_container_put(c);
  else
    (*out)->open->container = c;
  return fd;
}

static int open_group(struct ims_process *p, struct ims_group *g, struct ims_file **out) {
  if (g->opened || g->cdevs)
    return -EBUSY; // once; and not while a device of it is open as a character device
  int fd = ims_file_new(p, &group_ops, NULL, out);
  if (fd < 0)
    return fd;
  (*out)->open->group = g;
  g->opened = true;
  return fd;
}

int ims_open(struct ims_process *p, const char *path, struct ims_file **out) {
  uint32_t number;
  *out = NULL;
  if (p->exited)
    return -ENOENT;
  if (!strcmp(path, "/dev/vfio/vfio"))
    return open_container(p, out);
  if (!strcmp(path, "/dev/iommu"))
    return ims_iommufd_open(p, out);
  if (numbered(path, "/dev/vfio/devices/vfio", &number))
    return ims_cdev_open(p, number, out);
  struct ims_group *g = numbered(path, "/dev/vfio/", &number) ? ims_group_of(p->k, number) : NULL;
  return g ? open_group(p, g, out) : -ENOENT;
}

int ims_close(struct ims_file *f) {
  struct ims_kernel *k = f->process->k;
  f->process->file[f->fd] = NULL;
  ims_open_file_put(f->open);
  free(f);
  ims_kernel_interrupts(k);
  return 0;
}

// ---- Calls ----------------------------------------------------------------------------------------------------------

long ims_ioctl(struct ims_file *f, uint32_t cmd, uint64_t arg) {
  struct ims_kernel *k = f->process->k;
  ims_kernel_interrupts(k);
  long result = f->open->ops->ioctl ? f->open->ops->ioctl(f, cmd, arg) : -ENOTTY;
  ims_kernel_interrupts(k);
  return result;
}

static long transfer(struct ims_file *f, long (*op)(struct ims_file *, uint64_t, size_t, uint64_t), uint64_t buf,
                     size_t len, uint64_t offset) {
  struct ims_kernel *k = f->process->k;
  if (!op)
    return -EINVAL;
  ims_kernel_interrupts(k);
  long result = op(f, buf, len, offset);
  ims_kernel_interrupts(k);
  return result;
}

long ims_read(struct ims_file *f, uint64_t buf, size_t len, uint64_t offset) {
  return transfer(f, f->open->ops->read, buf, len, offset);
}

long ims_write(struct ims_file *f, uint64_t buf, size_t len, uint64_t offset) {
  return transfer(f, f->open->ops->write, buf, len, offset);
}

unsigned ims_poll(struct ims_file *f) {
  ims_kernel_interrupts(f->process->k);
  return f->open->ops->poll ? f->open->ops->poll(f->open) : 0;
}

long ims_file_mmap(struct ims_file *f, uint64_t offset, uint64_t length, unsigned prot, bool shared, uint64_t *cookie) {
  return f->open->ops->mmap ? f->open->ops->mmap(f, offset, length, prot, shared, cookie) : -ENODEV;
}

int ims_file_munmap(struct ims_file *f, uint64_t cookie) {
  return f->open->ops->munmap ? f->open->ops->munmap(f, cookie) : -EINVAL;
}

unsigned ims_file_kind(const struct ims_file *f) { return f->open->ops->kind; }

struct ims_file *ims_process_file(const struct ims_process *p, int fd) {
  return fd >= 0 && (size_t)fd < p->files ? p->file[fd] : NULL;
}

int ims_file_fd(const struct ims_file *f) { return f->fd; }

int ims_file_set_fd(struct ims_file *f, int fd) {
  struct ims_process *p = f->process;
  if (fd < 0 || fd >= MAX_FD)
    return -EBADF;
  if (fd == f->fd)
    return 0;
  if (ims_process_file(p, fd))
    return -EEXIST;
  if (fd_room(p, (size_t)fd))
    return -ENOMEM;
  p->file[f->fd] = NULL;
  p->file[fd] = f;
  f->fd = fd;
  return 0;
}
