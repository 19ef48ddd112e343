// SPDX-License-Identifier: Apache-2.0
// Invalidation: what each granularity removes (VT-d rev 4.1, 6.5.2 and 6.5.3), and the queue (6.5.2, 11.4.21 to 11.4.29).
#include "iommu/vtd/vtd_internal.h"

#define BITS(hi, lo) ((~0ull >> (63 - (hi))) & (~0ull << (lo)))

static void drop(struct vtd *v, unsigned first, unsigned last, const struct ims_cache_match *m) {
  for (unsigned c = first; c <= last; c++)
    ims_cache_invalidate(&v->base.cache[c], m);
}

// Granularities of the context and IOTLB commands.
enum { GLOBAL = 1, DOMAIN = 2, DEVICE_OR_PAGE = 3 };

void vtd_invalidate_context(struct vtd *v, unsigned granularity, unsigned did, unsigned sid, unsigned fm) {
  static const uint64_t ignored[4] = {0, 4, 6, 7}; // function bits that FM masks
  struct ims_cache_match m = {.any_addr = true};
  if (granularity == DOMAIN && v->ttm == VTD_TTM_LEGACY) { // in scalable mode a context entry has no domain
    m.aux = did;
    m.aux_mask = 0xffff;
  } else if (granularity == DEVICE_OR_PAGE) {
    m.aux_mask = (0xffff & ~ignored[fm & 3]) << 16;
    m.aux = (uint64_t)sid << 16 & m.aux_mask;
  }
  drop(v, IMS_CACHE_CONTEXT, IMS_CACHE_CONTEXT, &m);
  ims_iommu_invalidated(&v->base);
}

void vtd_invalidate_pasid_cache(struct vtd *v, unsigned granularity, unsigned did, uint32_t pasid) {
  enum { PC_DOMAIN = 0, PC_PASID = 1, PC_GLOBAL = 3 };
  struct ims_cache_match m = {.any_addr = true};
  if (granularity != PC_GLOBAL) {
    m.aux = did;
    m.aux_mask = IMS_TAG_DOMAIN_MASK;
  }
  if (granularity == PC_PASID) {
    m.aux |= IMS_TAG_ID(0, pasid, 0);
    m.aux_mask |= IMS_TAG_PASID_MASK;
  }
  drop(v, IMS_CACHE_PASID, IMS_CACHE_PASID, &m);
  if (v->cfg.cm && granularity != PC_GLOBAL) { // faulting entries have no domain of their own: they lie under 0 (6.1)
    m.aux &= ~IMS_TAG_DOMAIN_MASK;
    drop(v, IMS_CACHE_PASID, IMS_CACHE_PASID, &m);
  }
  ims_iommu_invalidated(&v->base);
}

// 2^am pages around addr.
static void set_range(struct ims_cache_match *m, uint64_t addr, unsigned am) {
  if (am + 12 >= 64) {
    m->any_addr = true;
    return;
  }
  m->first = addr >> (12 + am) << (12 + am);
  m->last = m->first | ((1ull << (12 + am)) - 1);
}

static void drop_translations(struct vtd *v, unsigned granularity, unsigned did, uint64_t addr, unsigned am, bool ih) {
  struct ims_cache_match all = {.any_addr = true};
  if (granularity == GLOBAL) {
    drop(v, IMS_CACHE_IOTLB, IMS_CACHE_S2_L5, &all);
    return;
  }
  all.id = did;
  all.id_mask = IMS_TAG_DOMAIN_MASK;
  if (granularity == DOMAIN) {
    drop(v, IMS_CACHE_IOTLB, IMS_CACHE_S2_L5, &all);
    return;
  }
  // A range of second-stage input addresses. First-stage translations stay; nested ones go with the domain, since they
  // cannot be found by GPA.
  struct ims_cache_match nested = {
      .id = IMS_TAG_ID(did, 0, IMS_TAG_NESTED), .id_mask = IMS_TAG_DOMAIN_MASK | IMS_TAG_KIND_MASK, .any_addr = true};
  struct ims_cache_match range = {.id = IMS_TAG_ID(did, 0, IMS_TAG_S2), .id_mask = ~0ull};
  set_range(&range, addr, am);
  drop(v, IMS_CACHE_IOTLB, IMS_CACHE_IOTLB, &range);
  drop(v, IMS_CACHE_IOTLB, IMS_CACHE_IOTLB, &nested);
  drop(v, IMS_CACHE_S1_L2, IMS_CACHE_S1_L5, &nested);
  drop(v, IMS_CACHE_NESTED, IMS_CACHE_NESTED, &range);
  if (!ih)
    drop(v, IMS_CACHE_S2_L2, IMS_CACHE_S2_L5, &range);
}

void vtd_invalidate_iotlb(struct vtd *v, unsigned granularity, unsigned did, uint64_t addr, unsigned am, bool ih) {
  drop_translations(v, granularity, did, addr, am, ih);
  ims_iommu_invalidated(&v->base);
}

void vtd_invalidate_first_stage(struct vtd *v, const struct ims_cache_match *which, bool structures) {
  static const unsigned kinds[] = {IMS_TAG_S1, IMS_TAG_NESTED};
  for (unsigned i = 0; i < 2; i++) {
    struct ims_cache_match m = *which;
    m.id |= IMS_TAG_ID(0, 0, kinds[i]);
    m.id_mask |= IMS_TAG_KIND_MASK;
    drop(v, IMS_CACHE_IOTLB, IMS_CACHE_IOTLB, &m);
    if (structures)
      drop(v, IMS_CACHE_S1_L2, IMS_CACHE_S1_L5, &m);
  }
  ims_iommu_invalidated(&v->base);
}

void vtd_invalidate_piotlb(struct vtd *v, bool page, unsigned did, uint32_t pasid, uint64_t addr, unsigned am,
                           bool ih) {
  struct ims_cache_match m = {.id = IMS_TAG_ID(did, pasid, 0), .id_mask = ~0ull, .any_addr = !page};
  if (page)
    set_range(&m, addr, am);
  vtd_invalidate_first_stage(v, &m, !page || !ih);
}

void vtd_invalidate_all(struct vtd *v) {
  static const struct ims_cache_match all = {.any_addr = true};
  drop(v, 0, IMS_CACHE_S2_L5, &all);
  ims_iommu_invalidated(&v->base);
}

// The queue.

enum {
  IQEI_TAIL = 1,       // tail beyond the queue
  IQEI_FETCH = 2,      // descriptor could not be read
  IQEI_TYPE = 3,       // invalid type
  IQEI_RESERVED = 4,   // reserved bit or value
  IQEI_WIDTH = 5,      // descriptor width
  IQEI_TAIL_ALIGN = 6, // IQT bit 4 with 256-bit descriptors
  IQEI_TTM = 7,        // RTADDR.TTM
};

enum {
  CONTEXT = 1,
  IOTLB = 2,
  DEVICE_TLB = 3,
  INTERRUPT = 4,
  WAIT = 5,
  P_IOTLB = 6,
  PASID_CACHE = 7,
  P_DEVICE_TLB = 8,
  PAGE_RESPONSE = 9,
};

// Bits that must be zero in the two words of a descriptor, by type (6.5.2.1 to 6.5.2.11). Bits 3:0 and 11:9 are the type.
static const uint64_t reserved[10][2] = {
    [CONTEXT] = {BITS(8, 6) | BITS(15, 12) | BITS(63, 50), ~0ull},
    [IOTLB] = {BITS(8, 8) | BITS(15, 12) | BITS(63, 32), BITS(11, 7)},
    [DEVICE_TLB] = {BITS(8, 4) | BITS(31, 21) | BITS(51, 48), BITS(11, 1)},
    [INTERRUPT] = {BITS(8, 5) | BITS(26, 12) | BITS(63, 48), ~0ull},
    [WAIT] = {BITS(8, 8) | BITS(31, 12), BITS(1, 0)},
    [P_IOTLB] = {BITS(8, 6) | BITS(15, 12) | BITS(63, 52), BITS(11, 7)},
    [PASID_CACHE] = {BITS(8, 6) | BITS(15, 12) | BITS(63, 52), ~0ull},
    [P_DEVICE_TLB] = {0, BITS(10, 1)},
    [PAGE_RESPONSE] = {BITS(8, 5) | BITS(63, 52), BITS(1, 0) | BITS(63, 12)},
};

static void queue_error(struct vtd *v, unsigned iqei) {
  v->reg[IMS_VTD_IQERCD] = (v->reg[IMS_VTD_IQERCD] & ~IMS_VTD_BITS(IQERCD_IQEI)) | iqei;
  vtd_fault_status(v, IMS_VTD_BITS(FSTS_IQE));
}

static unsigned check_type(const struct vtd *v, unsigned type) {
  bool legacy = v->ttm == VTD_TTM_LEGACY;
  if (type == 0 || type > PAGE_RESPONSE || (legacy && type >= P_IOTLB))
    return IQEI_TYPE;
  if (((type == DEVICE_TLB || type == P_DEVICE_TLB) && !v->cfg.dt) || (type == PAGE_RESPONSE && !v->cfg.prs) ||
      (type == INTERRUPT && !v->cfg.ir))
    return IQEI_TYPE;
  return 0;
}

static unsigned check_descriptor(const struct vtd *v, const uint64_t d[4]) {
  unsigned type = (d[0] >> 9 & 7) << 4 | (d[0] & 15);
  unsigned bad = check_type(v, type);
  if (bad)
    return bad;
  unsigned g = d[0] >> 4 & 3, am = d[1] & 63;
  uint64_t rsvd0 = reserved[type][0], upper = d[2] | d[3];
  if (type == WAIT && !v->cfg.pds)
    rsvd0 |= BITS(7, 7);
  if (type == PAGE_RESPONSE && v->cfg.revision < 4) { // 3.x: private data come back in the upper half
    rsvd0 &= ~BITS(5, 5);
    if (d[0] & BITS(5, 5))
      upper = 0;
  }
  if ((d[0] & rsvd0) || (d[1] & reserved[type][1]) || upper)
    return IQEI_RESERVED;
  bool bad_value = ((type == CONTEXT || type == IOTLB) && g == 0) || (type == P_IOTLB && g < 2) ||
                   (type == PASID_CACHE && g == 2) ||
                   (type == IOTLB && g == DEVICE_OR_PAGE && (!v->cfg.psi || am > v->cfg.mamv)) ||
                   (type == INTERRUPT && g && (d[0] >> 27 & 31) > v->cfg.mhmv);
  return bad_value ? IQEI_RESERVED : 0;
}

// The range of a device-TLB invalidation: with S=1 its size is told by the lowest zero bit of the address (6.5.2.5).
static void device_range(struct ims_ats_invalidation *inv, uint64_t addr, bool s) {
  unsigned shift = 12;
  if (s)
    for (shift = 13; shift < 64 && (addr >> (shift - 1) & 1); shift++)
      ;
  inv->addr = shift >= 64 ? 0 : addr >> shift << shift;
  inv->last = shift >= 64 ? ~0ull : inv->addr | ((1ull << shift) - 1);
}

static bool device_tlb(struct vtd *v, const struct ims_ats_invalidation *inv) {
  const struct ims_iommu_bus *bus = &v->base.bus;
  if (!bus->ats_invalidate || bus->ats_invalidate(bus->ctx, inv))
    return true;
  v->reg[IMS_VTD_IQERCD] =
      (v->reg[IMS_VTD_IQERCD] & ~IMS_VTD_BITS(IQERCD_ITESID)) | IMS_VTD_PUT(IQERCD_ITESID, inv->source);
  return false;
}

static void wait_done(struct vtd *v, const uint64_t d[4]) {
  enum { WAIT_IF = 1 << 4, WAIT_SW = 1 << 5 };
  if (d[0] & WAIT_SW) {
    uint32_t data = (uint32_t)(d[0] >> 32);
    (void)ims_mem_write(v->base.mem, d[1], &data, 4); // a status word that is not there is nobody's to see
  }
  if (d[0] & WAIT_IF) {
    bool pending = v->reg[IMS_VTD_ICS] & IMS_VTD_BITS(ICS_IWC);
    v->reg[IMS_VTD_ICS] |= IMS_VTD_BITS(ICS_IWC);
    if (!pending)
      vtd_event(v, IMS_VTD_IECTL);
  }
}

// Executes one legal descriptor. False: a device did not answer in time.
static bool execute(struct vtd *v, const uint64_t d[4]) {
  unsigned g = d[0] >> 4 & 3, did = d[0] >> 16 & 0xffff, am = d[1] & 63;
  uint32_t pasid = d[0] >> 32 & 0xfffff;
  uint64_t addr = d[1] >> 12 << 12;
  bool ih = d[1] >> 6 & 1;
  switch (d[0] & 15) {
  case CONTEXT: vtd_invalidate_context(v, g, did, d[0] >> 32 & 0xffff, d[0] >> 48 & 3); return true;
  case IOTLB: vtd_invalidate_iotlb(v, g, did, addr, am, ih); return true;
  case P_IOTLB: vtd_invalidate_piotlb(v, g == 3, did, pasid, addr, am, ih); return true;
  case PASID_CACHE: vtd_invalidate_pasid_cache(v, g, did, pasid); return true;
  case DEVICE_TLB: {
    struct ims_ats_invalidation inv = {.source = d[0] >> 32 & 0xffff};
    device_range(&inv, addr, d[1] & 1);
    return device_tlb(v, &inv);
  }
  case P_DEVICE_TLB: {
    struct ims_ats_invalidation inv = {
        .source = d[0] >> 16 & 0xffff, .pasid = pasid, .has_pasid = true, .all_pasids = d[1] & 1};
    device_range(&inv, addr, d[1] >> 11 & 1);
    return device_tlb(v, &inv);
  }
  case WAIT: wait_done(v, d); return true;
  case PAGE_RESPONSE: {
    struct ims_page_response resp = {.source = d[0] >> 16 & 0xffff,
                                     .pasid = pasid,
                                     .has_pasid = d[0] >> 4 & 1,
                                     .group = d[1] >> 3 & 0x1ff,
                                     .code = d[0] >> 12 & 15};
    if (v->base.bus.page_response)
      v->base.bus.page_response(v->base.bus.ctx, &resp);
    return true;
  }
  default: // interrupt entries: accepted, nothing is cached
    return true;
  }
}

static bool queue_runs(const struct vtd *v) {
  uint64_t stop = IMS_VTD_BITS(FSTS_IQE) | IMS_VTD_BITS(FSTS_ITE);
  return (v->reg[IMS_VTD_GSTS] & IMS_VTD_BITS(GSTS_QIES)) && !(v->reg[IMS_VTD_FSTS] & stop) &&
         v->reg[IMS_VTD_IQH] != v->reg[IMS_VTD_IQT];
}

// The descriptor at the head, or why there is none: 0 or IQEI. Precedence of errors: tail, mode, width, fetch, type,
// reserved bits, values. `item`: where it lies.
static unsigned fetch(struct vtd *v, struct ims_queue_item *item, uint64_t d[4]) {
  uint64_t iqa = v->reg[IMS_VTD_IQA], size = 4096ull << IMS_VTD_GET(iqa, IQA_QS);
  bool wide = iqa & IMS_VTD_BITS(IQA_DW);
  *item = (struct ims_queue_item){.kind = IMS_QUEUE_OTHER, .hpa = (iqa & IMS_VTD_BITS(IQA_IQA)) + v->reg[IMS_VTD_IQH]};
  if (v->reg[IMS_VTD_IQT] >= size)
    return IQEI_TAIL;
  if (v->ttm == 2 || (v->ttm == VTD_TTM_SCALABLE && !v->cfg.smts) || (v->ttm == VTD_TTM_ABORT && !v->cfg.adms))
    return IQEI_TTM;
  if (wide ? !v->cfg.smts && !v->cfg.adms : v->ttm != VTD_TTM_LEGACY)
    return IQEI_WIDTH;
  if (item->hpa >> v->cfg.haw)
    return IQEI_FETCH;
  item->len = wide ? 32 : 16;
  d[2] = d[3] = 0;
  if (ims_mem_read(v->base.mem, item->hpa, d, item->len) != IMS_ERR_OK)
    return IQEI_FETCH;
  return check_descriptor(v, d);
}

bool vtd_queue_next(struct ims_iommu *u, struct ims_queue_item *item) {
  static const uint8_t kind[16] = {
      [CONTEXT] = IMS_QUEUE_INVALIDATE,
      [IOTLB] = IMS_QUEUE_INVALIDATE,
      [DEVICE_TLB] = IMS_QUEUE_DEVICE_TLB,
      [INTERRUPT] = IMS_QUEUE_INVALIDATE,
      [WAIT] = IMS_QUEUE_WAIT,
      [P_IOTLB] = IMS_QUEUE_INVALIDATE,
      [PASID_CACHE] = IMS_QUEUE_INVALIDATE,
      [P_DEVICE_TLB] = IMS_QUEUE_DEVICE_TLB,
      [PAGE_RESPONSE] = IMS_QUEUE_RESPONSE,
  };
  struct vtd *v = vtd_of(u);
  uint64_t d[4];
  if (!queue_runs(v))
    return false;
  if (!fetch(v, item, d))
    item->kind = kind[d[0] & 15];
  return true;
}

// One item. The head moves first: whatever the machine does on an interrupt or answer sees the descriptor as taken.
void vtd_queue_step(struct ims_iommu *u) {
  struct vtd *v = vtd_of(u);
  struct ims_queue_item item;
  uint64_t d[4];
  if (!queue_runs(v))
    return;
  unsigned bad = fetch(v, &item, d);
  if (bad) {
    queue_error(v, bad);
    return;
  }
  uint64_t size = 4096ull << IMS_VTD_GET(v->reg[IMS_VTD_IQA], IQA_QS);
  v->reg[IMS_VTD_IQH] = (v->reg[IMS_VTD_IQH] + item.len) & (size - 1);
  if (!execute(v, d)) {
    v->reg[IMS_VTD_IQH] = v->reg[IMS_VTD_IQT]; // all that was fetched behind it is dropped, waits included
    vtd_fault_status(v, IMS_VTD_BITS(FSTS_ITE));
  }
}

void vtd_queue_run(struct vtd *v) {
  while (!v->base.queue_held && queue_runs(v))
    vtd_queue_step(&v->base);
}
