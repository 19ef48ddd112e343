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
  c->unread_end = &c->unread;
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
  for (struct vmm_fault *f; (f = c->unread ? c->unread : c->pending) != NULL; free(f))
    *(c->unread ? &c->unread : &c->pending) = f->next;
  free(c->dma);
  free(c->msi);
  free(c);
}

// "/dev/vfio/N" as the file system spells it: no sign, no leading zero.
static struct ims_group *group_by_path(struct ims_kernel *k, const char *path) {
  static const char dir[] = "/dev/vfio/";
  char again[32];
  if (strncmp(path, dir, sizeof dir - 1))
    return NULL;
  unsigned long id = strtoul(path + sizeof dir - 1, NULL, 10);
  snprintf(again, sizeof again, "%s%lu", dir, id);
  return id < IMS_NO_GROUP && !strcmp(path, again) ? ims_group_of(k, (uint32_t)id) : NULL;
}

int ims_open(struct ims_process *p, const char *path, struct ims_file **out) {
  struct ims_kernel *k = p->k;
  bool container = !strcmp(path, "/dev/vfio/vfio");
  struct ims_group *g = container ? NULL : group_by_path(k, path);
  *out = NULL;
  if (p->exited || (!container && !g))
    return -ENOENT;
  if (g && g->file)
    return -EBUSY;
  size_t fd = FIRST_FD;
  while (fd < p->files && p->file[fd])
    fd++;
  if (fd >= MAX_FD)
    return -EMFILE;
  struct ims_file *f = calloc(1, sizeof *f);
  if (!f || fd_room(p, fd)) {
    free(f);
    return -ENOMEM;
  }
  f->process = p;
  f->fd = (int)fd;
  if (container) {
    f->kind = IMS_FILE_CONTAINER;
    f->container = container_new(k);
    if (!f->container) {
      free(f);
      return -ENOMEM;
    }
  } else {
    f->kind = IMS_FILE_GROUP;
    f->group = g;
    g->file = f;
  }
  p->file[fd] = f;
  *out = f;
  return f->fd;
}

int ims_close(struct ims_file *f) {
  struct ims_kernel *k = f->process->k;
  if (f->kind == IMS_FILE_GROUP)
    ims_group_release(f->group);
  else
    ims_container_put(f->container);
  f->process->file[f->fd] = NULL;
  free(f);
  ims_kernel_interrupts(k);
  return 0;
}

long ims_ioctl(struct ims_file *f, uint32_t cmd, uint64_t arg) {
  struct ims_kernel *k = f->process->k;
  ims_kernel_interrupts(k);
  long result = f->kind == IMS_FILE_GROUP ? ims_group_ioctl(f, cmd, arg) : ims_container_ioctl(f, cmd, arg);
  ims_kernel_interrupts(k);
  return result;
}

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
