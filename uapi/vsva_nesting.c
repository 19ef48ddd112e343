// SPDX-License-Identifier: Apache-2.0
// NESTING_OP of v2 to v7: bind, unbind and invalidate in one ioctl; one group a container. Unbind and invalidate behave
// like free(): once the header is right they succeed. Facts 1.2.
#include "uapi/kernel_internal.h"

enum { BIND_PGTBL = 0, UNBIND_PGTBL = 1, CACHE_INVLD = 2, OPS = 3, OP_MASK = 0xffff, HEADER = 8 };

static void unbind(struct container *c, const struct gpasid_bind *b) {
  for (struct ims_group *g = c->groups; g; g = g->next_in_container)
    for (struct ims_device *dev = g->devices; dev; dev = dev->next_in_group)
      ims_gpasid_unbind_device(c, dev, b);
}

static int bind(struct container *c, const struct gpasid_bind *b) {
  for (struct ims_group *g = c->groups; g; g = g->next_in_container)
    for (struct ims_device *dev = g->devices; dev; dev = dev->next_in_group) {
      int err = ims_gpasid_bind_device(c, dev, b);
      if (err) {
        unbind(c, b);
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

// Of all devices, as the nesting information has it.
static bool has_feature(const struct container *c, uint32_t op) {
  enum { FEATURE_BIND = 2, FEATURE_INVALIDATE = 4 };
  uint32_t features = ~0u;
  for (const struct ims_group *g = c->groups; g; g = g->next_in_container)
    for (const struct ims_device *dev = g->devices; dev; dev = dev->next_in_group) {
      struct ims_iommu_nesting_info info;
      dev->unit->ops->nesting_info(dev->unit, &info);
      features &= info.features;
    }
  return features & (op == CACHE_INVLD ? FEATURE_INVALIDATE : FEATURE_BIND);
}

long ims_vsva_nesting_op(struct ims_file *f, uint64_t arg) {
  struct container *c = f->open->container;
  struct ims_vfio_nesting_op h;
  struct gpasid_bind b;
  struct cache_inv inv;
  if (!ims_user_read(f->process, &h, arg, sizeof h))
    return -EFAULT;
  uint32_t op = h.flags & OP_MASK;
  if (h.argsz < sizeof h || (h.flags & ~(uint32_t)OP_MASK) || op >= OPS)
    return -EINVAL;
  // No nesting information, or a driver with none of its own (SMMUv3): no feature is reported.
  if (!c->nesting || !c->domains || !has_feature(c, op))
    return -EOPNOTSUPP;
  if (op == CACHE_INVLD) {
    if (!ims_get_inv(f, arg + HEADER, &inv))
      invalidate(c, &inv);
    return 0;
  }
  // A context without PASID (SMMUv2) needs no set of them.
  if (op == BIND_PGTBL && !c->set_of && !ims_guest_format(c, IMS_FORMAT_SMMUV2))
    return -EINVAL;
  int err = ims_get_bind(f, arg + HEADER, &b);
  if (op == BIND_PGTBL)
    return err ? err : bind(c, &b);
  if (!err)
    unbind(c, &b);
  return 0;
}
