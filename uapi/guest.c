// SPDX-License-Identifier: Apache-2.0
// A guest's own stage 1 on SMMUs, over a container's second stage. SMMUv3: the whole CD table, by the ioctls of the nested
// series (Facts 1.5): SET_PASID_TABLE, CACHE_INVALIDATE, SET_MSI_BINDING. SMMUv2: the one context of a stream, by the bind of
// the vSVA series with format 2 (uapi/vfio.h). Invalidations are checked here as the series' SMMUv3 driver did (Facts 1.4).
//
// The series has no carrier for a guest's CMD_CFGI_CD: an invalidation of the PASID cache gives ENOENT. A VMM takes the
// table away, or says BYPASS or ABORT, and sets it anew; each edit of the STE drops the CDs that are cached for the stream.
#include "uapi/kernel_internal.h"
#include <stdlib.h>

enum { HEADER = 8, SET = 1, UNSET = 2 };

// ---- One device -----------------------------------------------------------------------------------------------------

int ims_guest_set(struct ims_device *dev, const struct guest_stage1 *s) {
  struct attachment *a = ims_attachment(dev, 0);
  const struct host_ops *ops = dev->unit->ops;
  if (!s && !dev->guest)
    return 0;
  if (!a || !ops->set_guest || a->domain->type != HDOMAIN_PAGING || !a->domain->paging->nest)
    return -EINVAL;
  struct guest_stage1 *copy = s ? malloc(sizeof *copy) : NULL;
  if (s && !copy)
    return -ENOMEM;
  int err = ops->set_guest(dev, a->domain, ims_domain_unit(a->domain, dev->unit)->did, s);
  if (err) {
    free(copy);
    return err;
  }
  if (copy)
    *copy = *s;
  else
    ims_iopf_drop(dev, ~0u); // nobody will answer any more
  free(dev->guest);
  dev->guest = copy;
  return 0;
}

bool ims_guest_format(const struct container *c, uint32_t format) {
  for (const struct ims_group *g = c ? c->groups : NULL; g; g = g->next_in_container)
    for (const struct ims_device *dev = g->devices; dev; dev = dev->next_in_group)
      if (format && dev->unit->ops->guest_format == format)
        return true;
  return false;
}

static const struct hdomain *nesting_domain(const struct container *c, const struct ims_device *dev) {
  const struct hdomain *d = ims_container_domain(c, dev);
  return d && d->type == HDOMAIN_PAGING && d->paging->nest ? d : NULL;
}

int ims_guest_invalidate(struct container *c, struct ims_device *dev, const struct cache_inv *inv) {
  enum { IOTLB = 1, DEV_IOTLB = 2, PASID_CACHE = 4, BY_DOMAIN = 0, BY_ADDR = 2, FLAG_PASID = 1, FLAG_ARCHID = 2 };
  const struct hdomain *d = nesting_domain(c, dev);
  if (!d)
    return -EINVAL;
  if (inv->cache & (PASID_CACHE | DEV_IOTLB))
    return -ENOENT;
  if (!(inv->cache & IOTLB))
    return -EINVAL;
  struct cache_inv one = *inv;
  if (one.granularity != BY_DOMAIN && (one.info_flags & FLAG_PASID))
    return -ENOENT; // only an ASID tells a guest's address spaces apart
  if (one.granularity != BY_DOMAIN && !(one.info_flags & FLAG_ARCHID)) {
    if (one.granularity != BY_ADDR)
      return -EINVAL;
    one.granularity = BY_DOMAIN;
  } else if (one.granularity == BY_ADDR) {
    uint64_t bytes;
    if (!one.granule_size || (one.granule_size & (one.granule_size - 1)) || !one.nb_granules)
      return -EINVAL;
    // More than there is means all.
    if (__builtin_mul_overflow(one.granule_size, one.nb_granules, &bytes) || one.addr + (bytes - 1) < one.addr)
      one.granularity = 1;
  }
  return dev->unit->ops->invalidate_guest(dev, ims_domain_unit(d, dev->unit)->did, &one);
}

// ---- SMMUv2: a context without PASID --------------------------------------------------------------------------------

int ims_guest_bind_smmuv2(struct container *c, struct ims_device *dev, const struct gpasid_bind *b) {
  struct ims_iommu_gpasid_bind_smmuv2_b v; // its vendor part
  const size_t at = offsetof(struct ims_iommu_gpasid_bind_smmuv2_b, smmuv2_tcr);
  _Static_assert(sizeof v - offsetof(struct ims_iommu_gpasid_bind_smmuv2_b, smmuv2_tcr) == sizeof b->vendor, "vendor");
  memcpy((uint8_t *)&v + at, b->vendor, sizeof b->vendor);
  const struct hdomain *parent = nesting_domain(c, dev);
  unsigned t0sz = v.smmuv2_tcr & 63;
  if (b->format != IMS_FORMAT_SMMUV2 || b->argsz < sizeof v || b->flags || b->hpasid || b->gpasid ||
      v.smmuv2_padding[0] || v.smmuv2_padding[1])
    return -EINVAL;
  if (dev->guest)
    return -EBUSY;
  if (!parent || !dev->unit->ops->can_nest(dev->unit))
    return -EINVAL;
  if (b->addr_width != 64 - t0sz || b->gpgd >> parent->paging->pgt.in_bits)
    return -EINVAL;
  return ims_guest_set(dev, &(struct guest_stage1){.container = c,
                                                   .sink = &c->sink,
                                                   .config = GUEST_TRANSLATE,
                                                   .base = b->gpgd,
                                                   .tcr = v.smmuv2_tcr,
                                                   .asid = v.smmuv2_asid,
                                                   .mair = v.smmuv2_mair});
}

// ---- SMMUv3: the ioctls ---------------------------------------------------------------------------------------------

// Of all devices, or of those before `stop`.
static void unset(struct container *c, const struct ims_device *stop) {
  for (struct ims_group *g = c->groups; g; g = g->next_in_container)
    for (struct ims_device *dev = g->devices; dev; dev = dev->next_in_group) {
      if (dev == stop)
        return;
      ims_guest_set(dev, NULL);
    }
}

static bool all_have_tables(const struct container *c) {
  for (const struct ims_group *g = c->groups; g; g = g->next_in_container)
    for (const struct ims_device *dev = g->devices; dev; dev = dev->next_in_group)
      if (!dev->unit->ops->guest_table)
        return false;
  return true;
}

static int set_table(struct container *c, struct ims_device *dev, const struct pasid_table *t) {
  const struct hdomain *d = nesting_domain(c, dev);
  if (!d || !dev->unit->ops->can_nest(dev->unit))
    return -EINVAL;
  struct guest_stage1 s = {.container = c, .sink = &c->sink, .config = t->config};
  if (t->config == GUEST_TRANSLATE) {
    if (dev->guest && dev->guest->config == GUEST_TRANSLATE)
      return -EINVAL; // from one table to another only by way of something else
    if (t->base_ptr >> d->paging->pgt.in_bits || (t->base_ptr & 63))
      return -EINVAL;
    s.base = t->base_ptr;
    s.pasid_bits = t->pasid_bits;
    s.s1fmt = t->s1fmt;
    s.s1dss = t->s1dss;
  }
  return ims_guest_set(dev, &s);
}

long ims_smmu_set_pasid_table(struct ims_file *f, uint64_t arg) {
  struct container *c = f->open->container;
  struct ims_vfio_set_pasid_table h;
  struct pasid_table t;
  if (!ims_user_read(f->process, &h, arg, sizeof h))
    return -EFAULT;
  if (h.argsz < sizeof h || (h.flags != SET && h.flags != UNSET))
    return -EINVAL;
  if (h.flags == UNSET) {
    unset(c, NULL);
    return 0;
  }
  if (!all_have_tables(c))
    return -ENODEV;
  int err = ims_get_pasid_table(f, arg + HEADER, &t);
  if (err)
    return err;
  for (struct ims_group *g = c->groups; g; g = g->next_in_container)
    for (struct ims_device *dev = g->devices; dev; dev = dev->next_in_group) {
      err = set_table(c, dev, &t);
      if (err) {
        unset(c, dev);
        return err;
      }
    }
  return 0;
}

long ims_smmu_cache_invalidate(struct ims_file *f, uint64_t arg) {
  struct container *c = f->open->container;
  struct ims_vfio_cache_invalidate h;
  struct cache_inv inv;
  if (!ims_user_read(f->process, &h, arg, sizeof h))
    return -EFAULT;
  if (h.argsz < sizeof h || h.flags)
    return -EINVAL;
  for (const struct ims_group *g = c->groups; g; g = g->next_in_container)
    for (const struct ims_device *dev = g->devices; dev; dev = dev->next_in_group)
      if (!dev->unit->ops->invalidate_guest)
        return -ENODEV;
  int err = ims_get_inv(f, arg + HEADER, &inv);
  for (struct ims_group *g = c->groups; g && !err; g = g->next_in_container)
    for (struct ims_device *dev = g->devices; dev && !err; dev = dev->next_in_group)
      err = ims_guest_invalidate(c, dev, &inv);
  return err;
}

// ---- Doorbells ------------------------------------------------------------------------------------------------------

// The guest's stage 1 maps giova to its own doorbell at gpa; stage 2 has to lead from there to the physical one. The series
// did that when the device's interrupt was set up; here it is done with the binding.
static int map_doorbell(struct container *c, uint64_t gpa, uint64_t size) {
  int err = 0;
  struct vfio_domain *vd;
  for (vd = c->domains; vd && !err; vd = vd->next) {
    const struct paging *p = vd->d->paging;
    err = ims_pgt_map(&p->pgt, &c->k->tables, gpa, c->k->cfg.msi_doorbell & ~(size - 1), size, IMS_PERM_R | IMS_PERM_W,
                      IMS_MAP_A | IMS_MAP_ATTR(1), 1); // Device-nGnRE
    if (!err)
      ims_hdomain_flush_new(vd->d, gpa, gpa + size - 1);
    else
      break;
  }
  for (struct vfio_domain *undo = c->domains; err && undo != vd; undo = undo->next)
    ims_hdomain_unmap(undo->d, gpa, size);
  return ims_errno(err);
}

static void forget(struct container *c, size_t i) {
  for (struct vfio_domain *vd = c->domains; vd; vd = vd->next)
    ims_hdomain_unmap(vd->d, c->msi[i].gpa, c->msi[i].size);
  memmove(&c->msi[i], &c->msi[i + 1], (c->msis - i - 1) * sizeof *c->msi);
  c->msis--;
}

void ims_msi_unbind_all(struct container *c) {
  while (c->msis)
    forget(c, c->msis - 1);
}

static struct msi_binding *find(struct container *c, uint64_t giova) {
  for (size_t i = 0; i < c->msis; i++)
    if (c->msi[i].giova == giova)
      return &c->msi[i];
  return NULL;
}

static int bind_msi(struct container *c, const struct ims_vfio_set_msi_binding *m) {
  uint64_t page = ims_container_page(c);
  if (!c->nesting || !c->domains || !all_have_tables(c))
    return -EINVAL; // no domain of it keeps guests' doorbells
  if (!m->size || m->size > page)
    return -EINVAL;
  uint64_t giova = m->iova & ~(page - 1), gpa = m->gpa & ~(page - 1);
  if (find(c, giova))
    return 0;
  struct msi_binding *more = realloc(c->msi, (c->msis + 1) * sizeof *more);
  if (!more)
    return -ENOMEM;
  c->msi = more;
  int err = map_doorbell(c, gpa, page);
  if (!err)
    c->msi[c->msis++] = (struct msi_binding){giova, gpa, page};
  return err;
}

long ims_smmu_set_msi_binding(struct ims_file *f, uint64_t arg) {
  struct container *c = f->open->container;
  struct ims_vfio_set_msi_binding m;
  if (!ims_user_read(f->process, &m, arg, sizeof m))
    return -EFAULT;
  if (m.argsz < sizeof m || (m.flags != SET && m.flags != UNSET))
    return -EINVAL;
  if (m.flags == SET)
    return bind_msi(c, &m);
  struct msi_binding *b = find(c, m.iova & ~(ims_container_page(c) - 1));
  if (b)
    forget(c, (size_t)(b - c->msi));
  return 0;
}
