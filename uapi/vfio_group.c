// SPDX-License-Identifier: Apache-2.0
// VFIO groups: /dev/vfio/N, as in Linux 5.10 (drivers/vfio/vfio.c): status, joining and leaving a container.
#include "uapi/kernel_internal.h"
#include "uapi/layout.h"

enum { STATUS_VIABLE = 1, STATUS_CONTAINER_SET = 2 };

static long get_status(struct ims_file *f, uint64_t arg) {
  struct ims_vfio_group_status s;
  if (!ims_user_read(f->process, &s, arg, sizeof s))
    return -EFAULT;
  if (s.argsz < sizeof s)
    return -EINVAL;
  s.flags = STATUS_VIABLE | (f->open->group->container ? (uint32_t)STATUS_CONTAINER_SET : 0u);
  return ims_user_write(f->process, arg, &s, sizeof s) ? 0 : -EFAULT;
}

static long set_container(struct ims_file *f, uint64_t arg) {
  int32_t fd;
  if (!ims_user_read(f->process, &fd, arg, sizeof fd))
    return -EFAULT;
  if (fd < 0)
    return -EINVAL;
  if (f->open->group->container)
    return -EINVAL;
  struct ims_file *c = ims_process_file(f->process, fd);
  if (!c)
    return -EBADF;
  if (c->open->ops->kind != IMS_FILE_CONTAINER)
    return -EINVAL;
  return ims_container_add_group(c->open->container, f->open->group);
}

static void leave(struct ims_group *g) {
  struct container *c = g->container;
  ims_container_remove_group(c, g);
  ims_container_put(c);
}

void ims_group_release(struct ims_group *g) {
  if (g->container)
    leave(g);
  g->opened = false;
}

long ims_group_ioctl(struct ims_file *f, uint32_t cmd, uint64_t arg) {
  switch (cmd) {
  case IMS_VFIO_GROUP_GET_STATUS: return get_status(f, arg);
  case IMS_VFIO_GROUP_SET_CONTAINER: return set_container(f, arg);
  case IMS_VFIO_GROUP_UNSET_CONTAINER:
    if (!f->open->group->container)
      return -EINVAL;
    leave(f->open->group);
    return 0;
  default: return -ENOTTY;
  }
}
