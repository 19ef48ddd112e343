// SPDX-License-Identifier: Apache-2.0
// The geometry of VMSAv8-64 tables, and how the attributes of two stages combine (Arm DDI 0487, D8.2, D8.3, D8.6).
#include "pgtable/vmsa.h"

#define BITS(hi, lo) ((~0ull >> (63 - (hi))) & (~0ull << (lo)))

static unsigned page_bits(enum ims_granule g) { return 12u + 2u * (unsigned)g; }
static unsigned stride(enum ims_granule g) { return page_bits(g) - 3u; }

void ims_vmsa_format(struct ims_pgt_format *f, enum ims_pgt_kind kind, enum ims_granule granule, bool ds, bool lpa,
                     bool xnx) {
  unsigned page = page_bits(granule);
  bool has_ds = ds && granule != IMS_GRANULE_64K;
  *f = (struct ims_pgt_format){
      .kind = kind,
      .page_shift = (uint8_t)page,
      .index_bits = (uint8_t)stride(granule),
      .ds = has_ds,
      .xnx = xnx,
      .present_mask = IMS_VMSA_VALID,
      .addr_mask = BITS(has_ds ? 49 : 47, page),
  };
  for (unsigned level = 1; level <= IMS_PGT_MAX_LEVELS; level++) {
    unsigned shift = page + (level - 1) * stride(granule);
    f->shift[level] = (uint8_t)(shift < 63 ? shift : 63);
  }
  // Blocks (D8.3.1): 4 KB at levels 1 and 2, 16 KB at 2, 64 KB at 2; one level higher with 52-bit addresses.
  unsigned top = granule == IMS_GRANULE_4K ? 3 : 2;
  if (granule == IMS_GRANULE_64K ? lpa : ds)
    top++;
  f->leaf_levels = (uint8_t)((2u << top) - 2u);
  // Address bits above 47 (D8.3.1): 64 KB keeps 51:48 in 15:12; DS keeps 51:50 in 9:8.
  if (granule == IMS_GRANULE_64K && lpa) {
    f->high_from = 12;
    f->high_bits = 4;
    f->high_to = 48;
  } else if (has_ds) {
    f->high_from = 8;
    f->high_bits = 2;
    f->high_to = 50;
  }
  // Runs bound by the contiguous hint (D8.7.1).
  static const uint8_t runs[3][4] = {{0, 4, 4, 4}, {0, 7, 5, 0}, {0, 5, 5, 0}};
  for (unsigned level = 1; level < 4; level++)
    f->contiguous[level] = runs[granule][level];
}

void ims_vmsa_formats_init(struct ims_vmsa_formats *f, const struct ims_vmsa_caps *caps) {
  bool lpa = caps->oas >= 52;
  for (unsigned g = 0; g < 3; g++) {
    ims_vmsa_format(&f->s1[g], IMS_PGT_VMSA_S1, (enum ims_granule)g, false, lpa, caps->xnx);
    ims_vmsa_format(&f->s1_ds[g], IMS_PGT_VMSA_S1, (enum ims_granule)g, caps->ds, lpa, caps->xnx);
    ims_vmsa_format(&f->s2[g], IMS_PGT_VMSA_S2, (enum ims_granule)g, false, lpa, caps->xnx);
    ims_vmsa_format(&f->s2_ds[g], IMS_PGT_VMSA_S2, (enum ims_granule)g, caps->ds, lpa, caps->xnx);
  }
}

unsigned ims_vmsa_s1_levels(enum ims_granule granule, unsigned in_bits) {
  unsigned page = page_bits(granule);
  return in_bits <= page ? 1 : (in_bits - page + stride(granule) - 1) / stride(granule);
}

unsigned ims_vmsa_s2_levels(enum ims_granule granule, unsigned sl0, bool ds, bool ttst) {
  if (granule == IMS_GRANULE_4K) {
    static const uint8_t levels[8] = {2, 3, 4, 1, 5, 0, 0, 0}; // start level 2, 1, 0, 3, -1
    if (!ds)
      sl0 &= 3;
    return levels[sl0] == 1 && !ttst ? 0 : levels[sl0];
  }
  static const uint8_t levels[4] = {1, 2, 3, 4}; // start level 3, 2, 1, 0
  sl0 &= 3;
  return sl0 == 3 && (granule == IMS_GRANULE_64K || !ds) ? 0 : levels[sl0];
}

bool ims_vmsa_s2_consistent(enum ims_granule granule, unsigned levels, unsigned in_bits, unsigned pa_bits) {
  unsigned s = stride(granule), below = (levels - 1) * s + page_bits(granule); // bits resolved below the start level
  if (in_bits < below + 1 || in_bits > below + s + 4)
    return false;
  switch (granule) {
  case IMS_GRANULE_4K: return levels == 5 ? pa_bits >= 52 : levels == 4 ? pa_bits >= 44 : true;
  case IMS_GRANULE_16K: return levels == 4 ? pa_bits >= 52 : levels == 3 ? pa_bits >= 42 : true;
  default: return levels == 3 ? pa_bits >= 44 : true;
  }
}

bool ims_vmsa32_side(unsigned t0sz, unsigned t1sz, bool one_side, uint64_t va, unsigned *side, uint64_t *in) {
  *side = 0;
  *in = va;
  if (va >> 32)
    return false;
  bool zeros = va >> (32 - t0sz) == 0;
  if (one_side)
    return zeros;
  bool ones = t1sz ? va >> (32 - t1sz) == (1ull << t1sz) - 1 : !zeros;
  *side = ones;
  if (ones)
    *in = va | 0xffffffff00000000ull;
  return ones || zeros;
}

// A stage-2 MemAttr (without FWB) as a MAIR byte: D8.6.5. 0b00xx Device, else outer and inner cacheability.
static unsigned mair_of(unsigned memattr) {
  static const uint8_t cache[4] = {0, 4, 0xb, 0xf}; // -, non-cacheable, write-through, write-back
  if (!(memattr & 12))
    return (memattr & 3) << 2;
  unsigned inner = memattr & 3 ? memattr & 3 : 1; // 0b00 is reserved
  return (unsigned)cache[memattr >> 2 & 3] << 4 | cache[inner];
}

static bool is_device(unsigned mair) { return !(mair & 0xf0); }

// Cacheability nibbles of two stages: the weaker wins. Allocation hints, transience among them (bit 3 clear), are those of
// stage 1 where the result is cacheable (D8.6.5).
static unsigned weaker(unsigned a, unsigned b) {
  unsigned non = 4;
  if (a == non || b == non)
    return non;
  bool wt = !(a & 4) || !(b & 4); // write-through has bit 2 clear, write-back set (and non-cacheable is 0b0100)
  return (a & 0xb) | (wt ? 0 : 4);
}

// Write-back with the hints of stage 1, or all of them where it has none (D8.6.6).
static unsigned forced_back(unsigned a) { return a & 0xb ? a | 4 : 0xf; }

// D8.6.6: MemAttr[2:0] with FWB.
static unsigned forced(unsigned s1, unsigned memattr) {
  if (!(memattr & 4)) { // the stronger Device type
    unsigned device = (memattr & 3) << 2;
    return is_device(s1) && (s1 & 0xc) < device ? s1 & 0xc : device;
  }
  switch (memattr & 3) {
  case 2: return is_device(s1) ? 0xff : forced_back(s1 >> 4) << 4 | forced_back(s1 & 15);
  case 3: return s1;
  default: return is_device(s1) ? s1 : 0x44; // 0b101; 0b100 is reserved and taken like it
  }
}

uint32_t ims_vmsa_combine(const struct ims_pgt *s2, bool has_s1, uint32_t attr, unsigned memory) {
  unsigned memattr = memory & 15, sh2 = memory >> 4 & 3;
  unsigned s1 = has_s1 ? IMS_ATTR_GET(attr, IMS_ATTR_MEM, 8) : 0xff, sh1 = IMS_ATTR_GET(attr, IMS_ATTR_SH, 2);
  unsigned mem;
  if (s2->flags & IMS_PGT_FWB) {
    mem = forced(s1, memattr);
  } else {
    unsigned own = mair_of(memattr);
    if (!has_s1)
      mem = own;
    else if (is_device(own) || is_device(s1))
      mem = !is_device(s1) ? own : !is_device(own) ? s1 & 0xc : (own & 0xc) < (s1 & 0xc) ? own & 0xc : s1 & 0xc;
    else
      mem = weaker(s1 >> 4, own >> 4) << 4 | weaker(s1 & 15, own & 15);
  }
  // Outer beats inner beats none (D8.6.7); Device and non-cacheable memory is outer shareable.
  static const uint8_t strength[4] = {0, 0, 2, 1};
  unsigned sh = !has_s1 || strength[sh2] > strength[sh1] ? sh2 : sh1;
  if (is_device(mem) || mem == 0x44)
    sh = 2;
  uint32_t keep = attr & ~(0xffu << IMS_ATTR_MEM | 3u << IMS_ATTR_SH);
  return keep | mem << IMS_ATTR_MEM | sh << IMS_ATTR_SH;
}
