// SPDX-License-Identifier: Apache-2.0
// VMSAv8-64 stages put together from what a CD, an STE or a context bank says, and the memory attributes of their leaves.
// Arm DDI 0487, D8.1 (sizes), D8.2 (start levels, concatenation), D8.3 (descriptors), D8.6 (attributes).
//
// Levels here are the walk's own: 1 = last, so that the architecture's level is 4 - n (ims_vmsa_level).
#pragma once

#include "pgtable/format.h"
#include "pgtable/step.h"

#ifdef __cplusplus
extern "C" {
#endif

enum ims_granule { IMS_GRANULE_4K, IMS_GRANULE_16K, IMS_GRANULE_64K };

// The architecture's number of a walk's level: 3 for the last, -1 for the first of five.
static inline int ims_vmsa_level(unsigned level) { return 4 - (int)level; }

// What an IOMMU implements of VMSA, for the formats below.
struct ims_vmsa_caps {
  uint8_t oas; // output address size in bits: 32 to 52
  bool ds;     // 52-bit addresses with granules of 4 and 16 KB, where a stage asks for them
  bool xnx;    // stage 2: XN[1:0]
};

// The formats of one IOMMU: by granule, and for 4 and 16 KB with or without DS.
struct ims_vmsa_formats {
  struct ims_pgt_format s1[3], s1_ds[3];
  struct ims_pgt_format s2[3], s2_ds[3];
};

void ims_vmsa_formats_init(struct ims_vmsa_formats *f, const struct ims_vmsa_caps *caps);

// One format. `lpa`: 64 KB descriptors hold 52-bit addresses (and blocks of 4 TB). kind: IMS_PGT_VMSA_S1 or S2.
void ims_vmsa_format(struct ims_pgt_format *f, enum ims_pgt_kind kind, enum ims_granule granule, bool ds, bool lpa,
                     bool xnx);

// Levels of a stage-1 table for inputs of in_bits = 64 - TxSZ (D8.2.1): 1 to 5.
unsigned ims_vmsa_s1_levels(enum ims_granule granule, unsigned in_bits);

// Levels of a stage-2 table by SL0 (bit 2: SL0_2, which counts with DS and 4 KB only), or 0 where the code is reserved
// for this granule (D8.2.2; small start levels need TTST, start level -1 and 16 KB level 0 need DS).
unsigned ims_vmsa_s2_levels(enum ims_granule granule, unsigned sl0, bool ds, bool ttst);

// Do start level and input size agree: at most 16 concatenated tables, and no level without work (pseudocode
// S2InconsistentSL)? The other rules bind the start level to the physical address size `pa_bits` (S2InvalidSL).
bool ims_vmsa_s2_consistent(enum ims_granule granule, unsigned levels, unsigned in_bits, unsigned pa_bits);

// AArch32 (DDI 0487 G5.5): addresses of 32 bits; T0SZ and T1SZ say where TTBR0's end and TTBR1's begin. `*in` is the address
// as that side's stage takes it (IMS_PGT_UPPER: ones above). `one_side`: there is no TTBR1. False: neither side's.
bool ims_vmsa32_side(unsigned t0sz, unsigned t1sz, bool one_side, uint64_t va, unsigned *side, uint64_t *in);

// Bytes of the top table of a stage, concatenated ones together, as log2; a TTB is aligned to it, and to at least 64
// bytes when it holds 52 bits. The bits below count as zero.
static inline unsigned ims_vmsa_root_log2(const struct ims_pgt *p) {
  unsigned shift = p->fmt->shift[p->levels];
  unsigned log2 = p->in_bits > shift ? p->in_bits - shift + 3u : 3u;
  return p->out_bits > 48 && log2 < 6 ? 6 : log2;
}

// TG of a TLBI: 1 4 KB, 2 16 KB, 3 64 KB.
IMS_PGT_INLINE uint32_t ims_vmsa_tg(const struct ims_pgt *p) { return (p->fmt->page_shift - 10u) / 2u; }

// MemAttr (4 bits) and shareability (2) of a stage-2 leaf.
IMS_PGT_INLINE unsigned ims_vmsa_s2_memory(const struct ims_pgt *p, uint64_t leaf) {
  unsigned sh = p->fmt->ds ? p->sh : (unsigned)(leaf >> 8) & 3u;
  return ((unsigned)(leaf >> 2) & 15u) | sh << 4;
}

// Is that Device memory, whatever stage 1 says? D8.6.5, D8.6.6.
IMS_PGT_INLINE bool ims_vmsa_s2_device(const struct ims_pgt *p, unsigned memory) {
  return p->flags & IMS_PGT_FWB ? !(memory & 4) : !(memory & 12);
}

// IMS_ATTR_* of a stage-1 leaf, of log2 size `shift`.
IMS_PGT_INLINE uint32_t ims_vmsa_s1_attr(const struct ims_pgt *p, uint64_t leaf, unsigned shift) {
  uint32_t mem = (uint32_t)(p->mair >> (leaf >> 2 & 7) * 8) & 0xff;
  uint32_t sh = p->fmt->ds ? p->sh : (uint32_t)(leaf >> 8) & 3u;
  if (__builtin_expect(!(mem & 0xf0) || mem == 0x44, 0)) // Device and non-cacheable memory is outer shareable (D8.6.2)
    sh = 2;
  return shift << IMS_ATTR_S1_SHIFT | mem << IMS_ATTR_MEM | sh << IMS_ATTR_SH | ims_vmsa_tg(p) << IMS_ATTR_S1_PAGE |
         (leaf & IMS_VMSA_NG ? 0u : 1u << IMS_ATTR_GLOBAL);
}

// IMS_ATTR_* after stage 2, combined with those of stage 1 where there is one. What almost all memory is, write-back in
// both stages and inner shareable, stays so; the rules for the rest are behind a call. Without a stage 1 the leaf's
// MemAttr is kept too: it is still to be combined with what the request brings.
uint32_t ims_vmsa_combine(const struct ims_pgt *s2, bool has_s1, uint32_t attr, unsigned memory);
static inline uint32_t ims_vmsa_s2_attr(const struct ims_pgt *s2, bool has_s1, uint32_t attr, unsigned memory,
                                        unsigned shift) {
  bool plain = has_s1 && memory == (15u | 3u << 4) && !(s2->flags & IMS_PGT_FWB) &&
               (attr >> IMS_ATTR_MEM & 0x3ff) == (0xffu | 3u << 8);
  if (!plain)
    attr = ims_vmsa_combine(s2, has_s1, attr, memory);
  if (!has_s1)
    attr |= (uint32_t)(memory & 15) << IMS_ATTR_S2_MEM;
  return attr | shift << IMS_ATTR_S2_SHIFT | ims_vmsa_tg(s2) << IMS_ATTR_S2_PAGE;
}

#ifdef __cplusplus
}
#endif
