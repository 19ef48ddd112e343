// SPDX-License-Identifier: Apache-2.0
// Guest PASIDs on one device: bind, unbind, invalidate, with the checks of the VT-d driver in its order (Linux 5.10,
// intel/svm.c, intel/pasid.c, intel/iommu.c). Beneath, a nested domain for each (second stage, host PASID). Devices of
// other units go on to guest.c, or have no such operation.
#include "uapi/kernel_internal.h"
#include <stdlib.h>

enum { VTD_SRE = 1, VTD_EAFE = 2, VTD_MEMORY_TYPE = 0x3c, VTD_FLAGS = 0x3f };

// ---- Nested domains of a container ----------------------------------------------------------------------------------

static struct gpasid *gpasid_find(struct container *c, struct hdomain *parent, uint64_t pasid) {
  struct gpasid key = {.key = {parent, pasid}}, *g;
  HASH_FIND(hh, c->gpasids, &key.key, sizeof key.key, g);
  return g;
}

static uint64_t vtd_flags(const struct gpasid_bind *b) {
  uint64_t flags;
  memcpy(&flags, b->vendor, sizeof flags);
  return flags;
}

static bool has_guest_pasids(const struct ims_device *dev) { return dev->unit->ops->flush_device; }

static struct gpasid *gpasid_get(struct container *c, struct hdomain *parent, const struct gpasid_bind *b) {
  struct gpasid *g = gpasid_find(c, parent, b->hpasid);
  if (g)
    return g;
  g = calloc(1, sizeof *g);
  struct hdomain *d = g ? ims_hdomain_new(c->k, HDOMAIN_NESTED) : NULL;
  if (!d) {
    free(g);
    return NULL;
  }
  d->parent = parent;
  parent->users++;
  d->s1_root = b->gpgd;
  d->s1_levels = b->addr_width == 57 ? 5 : 4;
  d->sre = vtd_flags(b) & VTD_SRE;
  d->eafe = vtd_flags(b) & VTD_EAFE;
  d->sink = &c->sink;
  g->d = d;
  g->key.parent = parent;
  g->key.pasid = b->hpasid;
  HASH_ADD(hh, c->gpasids, key, sizeof g->key, g);
  return g;
}

static void gpasid_put(struct container *c, struct gpasid *g) {
  if (g->d->users)
    return;
  HASH_DEL(c->gpasids, g);
  ims_hdomain_free(g->d);
  free(g);
}

void ims_gpasid_release(struct attachment *a) {
  struct container *c = a->container;
  struct gpasid *g = gpasid_find(c, a->domain->parent, a->key.pasid);
  *a->link_of_pasid = a->next_of_pasid;
  if (a->next_of_pasid)
    a->next_of_pasid->link_of_pasid = a->link_of_pasid;
  ims_detach(a, false);
  gpasid_put(c, g);
}

// ---- Bind -----------------------------------------------------------------------------------------------------------

static int check(struct container *c, struct ims_device *dev, const struct gpasid_bind *b, struct hdomain *parent) {
  const struct host_unit *u = dev->unit;
  if (b->format != IMS_FORMAT_VTD || b->argsz < 72 || (vtd_flags(b) & ~(uint64_t)VTD_FLAGS))
    return -EINVAL;
  if (dev->cfg.not_pci)
    return -IMS_ENOTSUPP;
  if (dev->cfg.pasid_bits != IMS_PASID_BITS || !b->hpasid || b->hpasid >> IMS_PASID_BITS)
    return -EINVAL;
  if (ims_pasid_query(&c->k->pasids, (uint32_t)b->hpasid, NULL, NULL))
    return -ENOENT;
  if (ims_attachment(dev, (uint32_t)b->hpasid))
    return -EBUSY;
  if (!u->ops->can_nest(u) || !parent || !parent->paging->nest)
    return -EINVAL;
  if (b->addr_width != 48 && b->addr_width != 57)
    return -EINVAL;
  if (b->addr_width == 57 && !u->ops->has_5level(u))
    return -EINVAL;
  if (b->gpgd >> parent->paging->pgt.in_bits)
    return -EINVAL;
  return vtd_flags(b) & VTD_MEMORY_TYPE ? -EINVAL : 0; // SRE and EAFE: the unit's driver
}

int ims_gpasid_bind_device(struct container *c, struct ims_device *dev, const struct gpasid_bind *b) {
  struct hdomain *parent = ims_container_domain(c, dev);
  struct attachment *a;
  void *priv = NULL;
  uint64_t owner;
  if (dev->unit->ops->guest_format)
    return ims_guest_bind_smmuv2(c, dev, b);
  if (!has_guest_pasids(dev))
    return -ENODEV;
  int err = check(c, dev, b, parent);
  if (err)
    return err;
  uint32_t pasid = (uint32_t)b->hpasid;
  ims_pasid_query(&c->k->pasids, pasid, &owner, &priv);
  if (!owner) // a PASID of the kernel's own: a process is bound under it
    return -EBUSY;
  struct pasid_use *use = priv ? priv : calloc(1, sizeof *use);
  struct gpasid *g = use ? gpasid_get(c, parent, b) : NULL;
  err = g ? ims_attach(dev, pasid, g->d, &a) : -ENOMEM;
  if (err) {
    if (g)
      gpasid_put(c, g);
    if (!priv)
      free(use);
    return err;
  }
  if (!priv)
    ims_pasid_set_private(&c->k->pasids, owner, pasid, use);
  a->container = c;
  a->next_of_pasid = use->first;
  a->link_of_pasid = &use->first;
  if (use->first)
    use->first->link_of_pasid = &a->next_of_pasid;
  use->first = a;
  return 0;
}

int ims_gpasid_unbind_device(struct container *c, struct ims_device *dev, const struct gpasid_bind *b) {
  const uint64_t hpasid = b->hpasid;
  if (dev->unit->ops->guest_format)
    return b->format != dev->unit->ops->guest_format || hpasid ? -EINVAL : ims_guest_set(dev, NULL);
  if (!has_guest_pasids(dev))
    return -ENODEV;
  if (hpasid >> IMS_PASID_BITS || ims_pasid_query(&c->k->pasids, (uint32_t)hpasid, NULL, NULL))
    return -ENOENT;
  struct attachment *a = ims_attachment(dev, (uint32_t)hpasid);
  if (a && a->domain->type == HDOMAIN_NESTED)
    ims_gpasid_release(a);
  return 0;
}

void ims_gpasid_unbind_all(struct container *c, struct ims_group *group) {
  struct gpasid *g, *next;
  HASH_ITER(hh, c->gpasids, g, next) {
    uint32_t pasid = (uint32_t)g->key.pasid;
    bool gone = false; // with its last attachment
    for (struct ims_device *dev = group->devices; dev && !gone; dev = dev->next_in_group) {
      struct attachment *a = ims_attachment(dev, pasid);
      if (!a || a->domain != g->d)
        continue;
      gone = g->d->users == 1;
      ims_gpasid_release(a);
    }
  }
}

// ---- Invalidate -----------------------------------------------------------------------------------------------------

// ceil(log2(bytes / 4 KB)), 52 and more: everything.
static unsigned order_of(uint64_t granule, uint64_t count) {
  uint64_t bytes, pages;
  if (__builtin_mul_overflow(granule, count, &bytes))
    return 52;
  pages = bytes >> IMS_PAGE_SHIFT;
  return pages <= 1 ? 0 : 64u - (unsigned)__builtin_clzll(pages - 1);
}

int ims_gpasid_invalidate_device(struct container *c, struct ims_device *dev, const struct cache_inv *inv) {
  enum { IOTLB = 0, DEV_IOTLB = 1, BY_PASID = 1, BY_ADDR = 2, FLAG_PASID = 1, FLAG_LEAF = 4 };
  struct hdomain *parent = ims_container_domain(c, dev);
  if (dev->unit->ops->invalidate_guest)
    return ims_guest_invalidate(c, dev, inv);
  if (!has_guest_pasids(dev))
    return -ENODEV;
  if (!parent || !parent->paging->nest)
    return -EINVAL;
  if (dev->cfg.not_pci)
    return -ENODEV;
  uint64_t pasid = inv->granularity && (inv->info_flags & FLAG_PASID) ? inv->pasid : 0;
  struct attachment *a = pasid >> IMS_PASID_BITS ? NULL : ims_attachment(dev, (uint32_t)pasid);
  unsigned order = inv->granularity == BY_ADDR ? order_of(inv->granule_size, inv->nb_granules) : 52;
  // The address is taken as the hardware takes it: without the bits below the size.
  uint64_t first = order >= 52 ? 0 : inv->addr >> (IMS_PAGE_SHIFT + order) << (IMS_PAGE_SHIFT + order);
  uint64_t last = order >= 52 ? ~0ull : first | ((1ull << (IMS_PAGE_SHIFT + order)) - 1);
  if (inv->granularity == BY_ADDR && inv->addr & ((order >= 52 ? ~0ull : last - first)))
    ims_log(c->k, IMS_LOG_WARNING, dev->unit, "address 0x%llx of an invalidation is not aligned to its size",
            (unsigned long long)inv->addr);
  for (unsigned type = 0; type < 3; type++) {
    if (!(inv->cache >> type & 1))
      continue;
    bool known = type == IOTLB ? inv->granularity != 0 : type == DEV_IOTLB && inv->granularity == BY_ADDR;
    if (!known) {
      ims_log(c->k, IMS_LOG_ERROR, dev->unit, "invalid cache type %u and granularity %u", type, inv->granularity);
      return 0; // what came before is done, the rest is not, and nobody is told
    }
    if (!a || a->domain->type != HDOMAIN_NESTED) {
      ims_log(c->k, IMS_LOG_WARNING, dev->unit, "invalidation of PASID %llu, which is not bound to the device",
              (unsigned long long)pasid);
      continue;
    }
    const struct domain_unit *du = ims_domain_unit(a->domain, dev->unit);
    int err = dev->unit->ops->flush_device(dev, (uint32_t)pasid, du->did, type == IOTLB, true, first, last,
                                           inv->info_flags & FLAG_LEAF);
    if (err)
      return err;
  }
  return 0;
}
