// SPDX-License-Identifier: Apache-2.0
// VFIO_IOMMU_GET_INFO: page sizes and the chain of capabilities, the nesting one in the shape of the dialect.
// Facts 1.1 (v1), 1.2 (v2 to v7), 1.2b.
#include "uapi/kernel_internal.h"
#include "uapi/layout.h"

enum { INFO_PGSIZES = 1, INFO_CAPS = 2 };

struct chain {
  uint8_t bytes[256]; // behind struct vfio_iommu_type1_info
  uint32_t len, last;
  bool any;
};

// A capability of `len` bytes, header included; `next` counts from the start of the info structure.
static uint8_t *add(struct chain *c, uint16_t id, uint32_t len) {
  const uint32_t base = sizeof(struct ims_vfio_iommu_type1_info);
  struct ims_vfio_info_cap_header h = {.id = id, .version = 1};
  if (c->any) {
    uint32_t next = base + c->len;
    memcpy(c->bytes + c->last + 4, &next, 4);
  }
  c->any = true;
  c->last = c->len;
  memcpy(c->bytes + c->len, &h, sizeof h);
  c->len += len;
  return c->bytes + c->last;
}

static void add_iova_ranges(struct chain *chain, const struct container *c) {
  struct ims_vfio_iova_range r[2];
  uint32_t n = ims_iova_ranges(c, r);
  uint8_t *cap = add(chain, IMS_VFIO_INFO_CAP_IOVA_RANGE, 16 + n * (uint32_t)sizeof *r);
  memcpy(cap + 8, &n, 4);
  memcpy(cap + 16, r, n * sizeof *r);
}

// What all units behind the container can do.
static int nesting_info(const struct container *c, struct ims_iommu_nesting_info *out) {
  bool any = false;
  for (const struct ims_group *g = c->groups; g; g = g->next_in_container)
    for (const struct ims_device *dev = g->devices; dev; dev = dev->next_in_group) {
      struct ims_iommu_nesting_info one;
      dev->unit->ops->nesting_info(dev->unit, &one);
      if (!any) {
        *out = one;
        any = true;
        continue;
      }
      if (one.format != out->format)
        return -EINVAL;
      out->features &= one.features;
      out->vtd_cap_reg &= one.vtd_cap_reg;
      out->vtd_ecap_reg &= one.vtd_ecap_reg;
      if (one.pasid_bits < out->pasid_bits)
        out->pasid_bits = one.pasid_bits;
    }
  if (!any || !out->format)
    return -ENOENT;
  out->addr_width = c->domains->d->paging->pgt.in_bits;
  return 0;
}

static int add_nesting(struct chain *chain, const struct container *c) {
  struct ims_iommu_nesting_info info;
  enum ims_dialect dialect = c->k->cfg.dialect;
  if (!c->nesting || !c->domains || dialect > IMS_DIALECT_V7) // the SMMUv3 series has none
    return 0;
  int err = nesting_info(c, &info);
  if (err)
    return err;
  if (dialect == IMS_DIALECT_V1) {
    struct ims_vfio_cap_nesting_v1 v1 = {.nesting_capabilities = info.pasid_bits > 0, .stage1_formats = info.format};
    memcpy(add(chain, 2, 8 + sizeof v1) + 8, &v1, sizeof v1);
    return 0;
  }
  // v2, v3: header, flags, info; v4 pads the flags to 8 bytes; from v5 on the info follows the header.
  uint32_t head = dialect <= IMS_DIALECT_V3 ? 12 : dialect == IMS_DIALECT_V4 ? 16 : 8;
  memcpy(add(chain, dialect == IMS_DIALECT_V2 ? 2 : 3, head + (uint32_t)sizeof info) + head, &info, sizeof info);
  return 0;
}

long ims_vfio_info(struct ims_file *f, uint64_t arg) {
  const struct container *c = f->open->container;
  struct ims_vfio_iommu_type1_info info = {0};
  struct chain chain = {.len = 0};
  uint32_t min = offsetof(struct ims_vfio_iommu_type1_info, cap_offset);
  if (!ims_user_read(f->process, &info, arg, min))
    return -EFAULT;
  if (info.argsz < min)
    return -EINVAL;
  bool has_offset = info.argsz >= min + 4;
  info.flags = INFO_PGSIZES;
  info.iova_pgsizes = ~(ims_container_page(c) - 1);
  add_iova_ranges(&chain, c);
  int err = add_nesting(&chain, c);
  if (err)
    return err;
  info.flags |= INFO_CAPS;
  if (info.argsz < sizeof info + chain.len) {
    info.argsz = (uint32_t)sizeof info + chain.len;
  } else {
    info.cap_offset = sizeof info;
    if (!ims_user_write(f->process, arg + sizeof info, chain.bytes, chain.len))
      return -EFAULT;
  }
  return ims_user_write(f->process, arg, &info, has_offset ? min + 4 : min) ? 0 : -EFAULT;
}
