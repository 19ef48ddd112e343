// SPDX-License-Identifier: Apache-2.0
// BIND and CACHE_INVALIDATE of the first posting (22 March 2020): an ioctl each, for every device of the container.
// Facts 1.1.
#include "uapi/kernel_internal.h"

enum { BIND_GUEST_PGTBL = 1, UNBIND_GUEST_PGTBL = 2, HEADER = 8 };

static int unbind_all_devices(struct container *c, const struct gpasid_bind *b) {
  for (struct ims_group *g = c->groups; g; g = g->next_in_container)
    for (struct ims_device *dev = g->devices; dev; dev = dev->next_in_group) {
      int err = ims_gpasid_unbind_device(c, dev, b);
      if (err)
        return err;
    }
  return 0;
}

long ims_vsva_v1_bind(struct ims_file *f, uint64_t arg) {
  struct container *c = f->open->container;
  struct ims_vfio_bind h;
  struct gpasid_bind b;
  if (!ims_user_read(f->process, &h, arg, sizeof h))
    return -EFAULT;
  if (h.argsz < sizeof h)
    return -EINVAL;
  uint32_t what = h.flags & (BIND_GUEST_PGTBL | UNBIND_GUEST_PGTBL); // other bits are not looked at
  if (what != BIND_GUEST_PGTBL && what != UNBIND_GUEST_PGTBL)
    return -EINVAL;
  int err = ims_get_bind(f, arg + HEADER, &b);
  if (err)
    return err;
  if (!c->domains)
    return -EINVAL;
  if (what == UNBIND_GUEST_PGTBL)
    return unbind_all_devices(c, &b);
  for (struct ims_group *g = c->groups; g && !err; g = g->next_in_container)
    for (struct ims_device *dev = g->devices; dev && !err; dev = dev->next_in_group)
      err = ims_gpasid_bind_device(c, dev, &b);
  if (err)
    unbind_all_devices(c, &b);
  return err;
}

long ims_vsva_v1_invalidate(struct ims_file *f, uint64_t arg) {
  struct container *c = f->open->container;
  struct ims_vfio_cache_invalidate h;
  struct cache_inv inv;
  if (!ims_user_read(f->process, &h, arg, sizeof h))
    return -EFAULT;
  if (h.argsz < sizeof h || h.flags)
    return -EINVAL;
  int err = ims_get_inv(f, arg + HEADER, &inv);
  for (struct ims_group *g = c->groups; g && !err; g = g->next_in_container)
    for (struct ims_device *dev = g->devices; dev && !err; dev = dev->next_in_group)
      err = ims_gpasid_invalidate_device(c, dev, &inv);
  return err;
}
