// SPDX-License-Identifier: Apache-2.0
// Invalidation of what changed in a domain: translations by VMID or ASID, in ranges where the unit has them, a CMD_SYNC, then
// the devices' own caches (Arm IHI 0070, 4.4, 4.5.1; Linux 7.x, arm-smmu-v3.c). Under a nesting second stage, what the guest's
// stage 1 made of it is combined in the TLB, which TLBI_S2_IPA need not find: NH_ALL of the VMID follows. Facts 4.2, B4 and I.
#include "uapi/smmuv3_internal.h"

enum { RANGE_MAX = 32, LAST_LEVEL = 3 };

struct batch {
  struct host_unit *u;
  struct v3_cmd c[V3_BATCH_MAX];
  unsigned n;
  int err;
};

static void keep(struct batch *b, int err) {
  if (err && !b->err)
    b->err = err;
}

static void add(struct batch *b, struct v3_cmd c) {
  if (b->n == V3_BATCH_MAX) {
    keep(b, ims_v3_send(b->u, b->c, b->n)); // the sync at the end covers them too
    b->n = 0;
  }
  b->c[b->n++] = c;
}

static void sync(struct batch *b) {
  if (b->n)
    keep(b, ims_v3_submit(b->u, b->c, b->n));
  b->n = 0;
}

// Addresses [first, last] by TLBI_NH_VA, NH_VAA or S2_IPA. False: too many for a unit without ranges. `ttl`: all the
// leaves that went were pages.
static bool add_range(struct batch *b, struct v3_cmd c, unsigned page_shift, uint64_t first, uint64_t last, bool leaf,
                      bool ttl) {
  const struct ims_smmuv3_config *caps = &b->u->smmuv3.caps;
  uint64_t pages = (last >> page_shift) - (first >> page_shift) + 1, at = first >> page_shift << page_shift;
  if (!caps->ril && pages > 1u << (page_shift - 3)) // a table's worth
    return false;
  ims_v3_cmd_set(&c, IMS_SMMUV3_COMMAND_LEAF_FIELD, leaf);
  if (!caps->ril) {
    for (; pages; pages--, at += 1ull << page_shift) {
      ims_v3_cmd_set(&c, IMS_SMMUV3_COMMAND_ADDR_FIELD, at >> 12);
      add(b, c);
    }
    return true;
  }
  // From the lowest bits of the count on, each command takes 1 to 31 times 2^scale pages.
  while (pages) {
    unsigned scale = (unsigned)__builtin_ctzll(pages);
    uint64_t num = pages >> scale & (RANGE_MAX - 1);
    bool plain = !scale && num == 1 && !ttl; // a range of one page and any level is reserved
    ims_v3_cmd_set(&c, IMS_SMMUV3_COMMAND_TG_FIELD, plain ? 0 : (page_shift - 10u) / 2);
    ims_v3_cmd_set(&c, IMS_SMMUV3_COMMAND_TTL_FIELD, ttl ? LAST_LEVEL : 0);
    ims_v3_cmd_set(&c, IMS_SMMUV3_COMMAND_NUM_FIELD, plain ? 0 : num - 1);
    ims_v3_cmd_set(&c, IMS_SMMUV3_COMMAND_SCALE_FIELD, scale);
    ims_v3_cmd_set(&c, IMS_SMMUV3_COMMAND_ADDR_FIELD, at >> 12);
    add(b, c);
    at += num << (scale + page_shift);
    pages -= num << scale;
  }
  return true;
}

// Mappings go whole, so that no leaf is split for an unmap; what went were pages if no larger leaf fits into the range.
static bool only_pages(const struct ims_pgt_format *f, uint64_t first, uint64_t last) {
  uint64_t block = 1ull << f->shift[2], up = (first + block - 1) & ~(block - 1);
  return up < first || up > last || last - up < block - 1;
}

static void add_whole_atc(struct batch *b, const struct ims_device *dev, uint64_t first, uint64_t last) {
  add(b, ims_v3_atc_inv(dev, 0, first, last));
  if (dev->max_pasids)
    add(b, ims_v3_atc_inv(dev, ~0u, first, last));
}

int ims_v3_flush(const struct hdomain *d, struct domain_unit *du, uint64_t first, uint64_t last, bool leaf) {
  struct batch b = {.u = du->unit};
  const bool process = d->type == HDOMAIN_SVA, s2 = !process && !d->paging->s1;
  const struct ims_pgt *p = process ? &d->mm->pgt : &d->paging->pgt;
  const bool all = !first && last == ~0ull;
  const uint16_t id = du->did;
  struct v3_cmd whole =
      s2 ? ims_v3_tlbi(IMS_SMMUV3_CMD_TLBI_S12_VMALL, id, 0) : ims_v3_tlbi(IMS_SMMUV3_CMD_TLBI_NH_ASID, 0, id);
  struct v3_cmd some =
      s2 ? ims_v3_tlbi(IMS_SMMUV3_CMD_TLBI_S2_IPA, id, 0) : ims_v3_tlbi(IMS_SMMUV3_CMD_TLBI_NH_VA, 0, id);
  if (all || !add_range(&b, some, p->fmt->page_shift, first, last, leaf, leaf && only_pages(p->fmt, first, last)))
    add(&b, whole);
  else if (s2 && d->paging->nest)
    add(&b, ims_v3_tlbi(IMS_SMMUV3_CMD_TLBI_NH_ALL, id, 0));
  sync(&b);
  for (const struct cache_tag *t = du->tags; t; t = t->next) {
    bool device = t->type == TAG_DEVTLB || t->type == TAG_NESTING_DEVTLB;
    if (!device || !t->dev->smmuv3->ats)
      continue;
    if (t->dev->guest || t->type == TAG_NESTING_DEVTLB) // which of a guest's translations are concerned nobody knows
      add_whole_atc(&b, t->dev, 0, ~0ull);
    else
      add(&b, ims_v3_atc_inv(t->dev, t->pasid, first, last));
  }
  sync(&b);
  return b.err;
}

// An SMMU does not remember that something was not there.
int ims_v3_flush_new(const struct hdomain *d, struct domain_unit *du, uint64_t first, uint64_t last) {
  (void)d;
  (void)du;
  (void)first;
  (void)last;
  return 0;
}

// The next owner of the id must not find what the last one left.
void ims_v3_id_free(struct host_unit *u, const struct hdomain *d, uint16_t id) {
  bool s2 = d->type == HDOMAIN_PAGING && !d->paging->s1;
  struct v3_cmd c =
      s2 ? ims_v3_tlbi(IMS_SMMUV3_CMD_TLBI_S12_VMALL, id, 0) : ims_v3_tlbi(IMS_SMMUV3_CMD_TLBI_NH_ASID, 0, id);
  ims_v3_submit(u, &c, 1);
}

// The granule to which a guest's page or block size belongs; 0: none.
static unsigned granule_of(uint64_t size) {
  switch (size ? __builtin_ctzll(size) : 0) {
  case 12:
  case 21:
  case 30: return 12;
  case 14:
  case 25: return 14;
  case 16:
  case 29: return 16;
  default: return 0;
  }
}

// Facts 1.4 and 4.2: DOMAIN is everything that is not EL2's, PASID an ASID, ADDR a range of one. An ASID does not say which
// substreams of the device use it: the device's cache forgets the range for all of them.
int ims_v3_invalidate_guest(struct ims_device *dev, uint16_t vmid, const struct cache_inv *inv) {
  enum { BY_ADDR = 2, FLAG_LEAF = 4 };
  struct batch b = {.u = dev->unit};
  uint64_t first = 0, last = ~0ull;
  unsigned page_shift = inv->granularity == BY_ADDR ? granule_of(inv->granule_size) : 0;
  struct v3_cmd va = ims_v3_tlbi(IMS_SMMUV3_CMD_TLBI_NH_VA, vmid, (uint16_t)inv->archid);
  if (inv->granularity == BY_ADDR) {
    first = inv->addr;
    last = inv->addr + (inv->granule_size * inv->nb_granules - 1);
  }
  if (!inv->granularity)
    add(&b, ims_v3_tlbi(IMS_SMMUV3_CMD_TLBI_NSNH_ALL, 0, 0));
  else if (!page_shift || !add_range(&b, va, page_shift, first, last, inv->info_flags & FLAG_LEAF, false))
    add(&b, ims_v3_tlbi(IMS_SMMUV3_CMD_TLBI_NH_ASID, vmid, (uint16_t)inv->archid));
  sync(&b);
  if (dev->smmuv3->ats)
    add_whole_atc(&b, dev, first, last);
  sync(&b);
  return b.err;
}
