// SPDX-License-Identifier: Apache-2.0
// NESTING_OP of v2 to v7: bind, unbind and invalidate in one ioctl; one group a container. Unbind and invalidate behave
// like free(): once the header is right they succeed. Facts 1.2.
#include "uapi/kernel_internal.h"

enum { BIND_PGTBL = 0, UNBIND_PGTBL = 1, CACHE_INVLD = 2, OPS = 3, OP_MASK = 0xffff, HEADER = 8 };

static void unbind(struct container *c, uint64_t hpasid) {
  for (struct ims_group *g = c->groups; g; g = g->next_in_container)
    for (struct ims_device *dev = g->devices; dev; dev = dev->next_in_group)
      ims_gpasid_unbind_device(c, dev, hpasid);
}

static int bind(struct container *c, const struct gpasid_bind *b) {
  for (struct ims_group *g = c->groups; g; g = g->next_in_container)
    for (struct ims_device *dev = g->devices; dev; dev = dev->next_in_group) {
      int err = ims_gpasid_bind_device(c, dev, b);
      if (err) {
        unbind(c, b->hpasid);
        return err;
      }
    }
  return 0;
}

static void invalidate(struct container *c, const struct cache_inv *inv) {
  for (struct ims_group *g = c->groups; g; g = g->next_in_container)
    for (struct ims_device *dev = g->devices; dev; dev = dev->next_in_group)
      if (ims_gpasid_invalidate_device(c, dev, inv))
        return;
}

long ims_vsva_nesting_op(struct ims_file *f, uint64_t arg) {
  struct container *c = f->container;
  struct ims_vfio_nesting_op h;
  struct gpasid_bind b;
  struct cache_inv inv;
  if (!ims_user_read(f->process, &h, arg, sizeof h))
    return -EFAULT;
  uint32_t op = h.flags & OP_MASK;
  if (h.argsz < sizeof h || (h.flags & ~(uint32_t)OP_MASK) || op >= OPS)
    return -EINVAL;
  if (!c->nesting || !c->domains) // no nesting information: no feature is reported
    return -EOPNOTSUPP;
  if (op == CACHE_INVLD) {
    if (!ims_get_inv(f, arg + HEADER, &inv))
      invalidate(c, &inv);
    return 0;
  }
  if (op == BIND_PGTBL && !c->set_of)
    return -EINVAL;
  int err = ims_get_bind(f, arg + HEADER, &b);
  if (op == BIND_PGTBL)
    return err ? err : bind(c, &b);
  if (!err)
    unbind(c, b.hpasid);
  return 0;
}
