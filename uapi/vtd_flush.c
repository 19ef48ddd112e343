// SPDX-License-Identifier: Apache-2.0
// Invalidation of a range of a domain: a descriptor for each cache tag, in link order, a wait at the end (Linux 7.x, intel/cache.c;
// VT-d rev 4.1, 6.5.3.3).
#include "uapi/vtd_internal.h"

// The smallest naturally aligned block of 2^order pages that holds [first, last].
static uint64_t block(uint64_t first, uint64_t last, unsigned *order) {
  uint64_t differ = (first ^ last) >> IMS_PAGE_SHIFT;
  *order = differ ? 64u - (unsigned)__builtin_clzll(differ) : 0;
  return *order >= VTD_PAGE_BITS ? 0 : first >> (IMS_PAGE_SHIFT + *order) << (IMS_PAGE_SHIFT + *order);
}

struct batch {
  struct host_unit *u;
  struct vtd_desc d[VTD_BATCH_MAX];
  unsigned n;
  int err;
};

static void flush_batch(struct batch *b) {
  if (b->n) {
    int err = ims_vtdd_submit(b->u, b->d, b->n, 0);
    if (!b->err)
      b->err = err;
  }
  b->n = 0;
}

static void add(struct batch *b, struct vtd_desc d) {
  if (b->n == VTD_BATCH_MAX)
    flush_batch(b);
  b->d[b->n++] = d;
}

// By domain where the unit has no page-selective invalidation, or none so large.
static struct vtd_desc second_stage(const struct host_unit *u, uint16_t did, bool all, uint64_t addr, unsigned order,
                                    bool leaf) {
  if (all || !u->vtd.caps.psi || order > u->vtd.caps.mamv)
    return ims_desc_iotlb_domain(u, did);
  return ims_desc_iotlb_page(u, did, addr, order, leaf);
}

int ims_vtdd_flush(const struct hdomain *d, struct domain_unit *du, uint64_t first, uint64_t last, bool leaf) {
  struct batch b = {.u = du->unit};
  unsigned order;
  uint64_t addr = block(first, last, &order);
  bool all = !first && last == ~0ull;
  if (order >= VTD_PAGE_BITS)
    all = true;
  for (const struct cache_tag *t = du->tags; t; t = t->next) {
    switch (t->type) {
    case TAG_IOTLB:
      if (d->type == HDOMAIN_PAGING && !d->paging->s1)
        add(&b, second_stage(du->unit, t->did, all, addr, order, leaf));
      else
        add(&b, all ? ims_desc_piotlb(t->did, t->pasid) : ims_desc_piotlb_page(t->did, t->pasid, addr, order, leaf));
      break;
    case TAG_NESTING_IOTLB: add(&b, second_stage(du->unit, t->did, all, addr, order, leaf)); break;
    case TAG_DEVTLB:
      add(&b, ims_desc_device_tlb_of(t->dev, t->pasid, all ? 0 : addr, all ? VTD_PAGE_BITS : order));
      break;
    case TAG_NESTING_DEVTLB: // which of its nested translations are concerned cannot be known: all go
      add(&b, ims_desc_device_tlb_of(t->dev, t->pasid, 0, VTD_PAGE_BITS));
      break;
    }
  }
  flush_batch(&b);
  return b.err;
}

int ims_vtdd_flush_new(const struct hdomain *d, struct domain_unit *du, uint64_t first, uint64_t last) {
  struct host_unit *u = du->unit;
  struct batch b = {.u = u};
  unsigned order;
  uint64_t addr = block(first, last, &order);
  if (!u->vtd.caps.cm || ims_vtdd_first_stage(d)) { // first-stage entries are never cached while not present (6.1)
    ims_vtdd_write_buffer_flush(u);
    return 0;
  }
  for (const struct cache_tag *t = du->tags; t; t = t->next)
    if (t->type == TAG_IOTLB || t->type == TAG_NESTING_IOTLB)
      add(&b, second_stage(u, t->did, order >= VTD_PAGE_BITS, addr, order, false));
  flush_batch(&b);
  return b.err;
}

int ims_vtdd_flush_device(struct ims_device *dev, uint32_t pasid, uint16_t did, bool iotlb, bool devtlb, uint64_t first,
                          uint64_t last, bool leaf) {
  struct vtd_desc d[2];
  unsigned n = 0, order;
  uint64_t addr = block(first, last, &order);
  bool all = order >= VTD_PAGE_BITS;
  if (iotlb)
    d[n++] = all ? ims_desc_piotlb(did, pasid) : ims_desc_piotlb_page(did, pasid, addr, order, leaf);
  if (devtlb && dev->ats_works)
    d[n++] = ims_desc_device_tlb_of(dev, pasid, all ? 0 : addr, all ? VTD_PAGE_BITS : order);
  return n ? ims_vtdd_submit(dev->unit, d, n, 0) : 0;
}
