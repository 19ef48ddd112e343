// SPDX-License-Identifier: Apache-2.0
// Root, context and PASID table entries: reserved bits by capability, then the programming, then the meaning.
// VT-d rev 4.1, 9.1 to 9.6; PASID directory entries are judged where they are read (xlate.c), having a pointer only.
#include "iommu/vtd/vtd_internal.h"
#include "pasid/vtd.h"

#define BITS(hi, lo) ((~0ull >> (63 - (hi))) & (~0ull << (lo)))

static uint64_t above_haw(const struct vtd *v) { return BITS(63, v->cfg.haw); }

// Second-stage levels of an AW code, or 0 where CAP.SAGAW lacks it. 9.3: bit n of SAGAW stands for AW n.
static unsigned aw_levels(const struct vtd *v, unsigned aw) {
  return aw >= 1 && aw <= 3 && (v->cfg.sagaw >> aw & 1) ? aw + 2 : 0;
}

static uint8_t second_width(const struct vtd *v, unsigned levels) {
  unsigned aw = 12 + 9 * levels;
  return (uint8_t)(v->cfg.mgaw + 1 < aw ? v->cfg.mgaw + 1 : aw);
}

unsigned vtd_decode_root(const struct vtd *v, bool scalable, const uint64_t e[2], unsigned devfn, uint64_t *table) {
  uint64_t half = scalable && devfn >= 128 ? e[1] : e[0];
  if (!(half & 1))
    return scalable ? IMS_VTD_FR_SRT_2 : IMS_VTD_FR_LRT_2;
  if ((half & (BITS(11, 1) | above_haw(v))) || (!scalable && e[1]))
    return scalable ? IMS_VTD_FR_SRT_3 : IMS_VTD_FR_LRT_3;
  *table = half & BITS(63, 12);
  return 0;
}

unsigned vtd_decode_legacy_context(const struct vtd *v, const uint64_t e[2], unsigned type, struct vtd_context *c) {
  enum { TT_UNTRANSLATED = 0, TT_ALL = 1, TT_PASSTHROUGH = 2 };
  *c = (struct vtd_context){.legacy = true, .fpd = e[0] >> 1 & 1};
  if (!(e[0] & 1))
    return IMS_VTD_FR_LCT_2;
  unsigned tt = e[0] >> 2 & 3, aw = e[1] & 7;
  uint64_t rsvd = BITS(11, 4) | (tt == TT_PASSTHROUGH ? 0 : above_haw(v));
  if ((e[0] & rsvd) || (e[1] & (BITS(7, 7) | BITS(63, 24))))
    return IMS_VTD_FR_LCT_3;
  if (tt == 3 || (tt == TT_ALL && !v->cfg.dt) || (tt == TT_PASSTHROUGH && !v->cfg.pt))
    return IMS_VTD_FR_LCT_4;
  c->dte = tt == TT_ALL;
  if (type != IMS_UNTRANSLATED && !c->dte)
    return IMS_VTD_FR_LCT_5;
  unsigned levels = aw_levels(v, aw); // of pass-through too: any supported width will do (9.3)
  if (!levels)
    return IMS_VTD_FR_LCT_4;
  c->stages = (struct vtd_stages){
      .pgtt = tt == TT_PASSTHROUGH ? VTD_PGTT_PASSTHROUGH : VTD_PGTT_SECOND,
      .fpd = c->fpd,
      .did = (uint16_t)(e[1] >> 8 & BITS(15, 0)),
  };
  c->stages.iotlb_id = IMS_TAG_ID(c->stages.did, 0, VTD_PGTT_SECOND);
  if (tt != TT_PASSTHROUGH)
    c->stages.s2 = (struct ims_pgt){
        .fmt = &v->ss,
        .root = e[0] & BITS(63, 12),
        .levels = (uint8_t)levels,
        .in_bits = second_width(v, levels),
        .flags = v->cfg.zlr ? IMS_PGT_ZLR : 0,
    };
  return 0;
}

unsigned vtd_decode_context(const struct vtd *v, const uint64_t e[4], struct vtd_context *c) {
  *c = (struct vtd_context){.fpd = e[0] >> 1 & 1};
  if (!(e[0] & 1))
    return IMS_VTD_FR_SCT_2;
  uint64_t rsvd0 = BITS(8, 5) | above_haw(v);
  uint64_t rsvd1 = BITS(63, 21);
  rsvd0 |= v->cfg.dt ? 0 : BITS(2, 2);
  rsvd0 |= v->cfg.pasid ? 0 : BITS(3, 3);
  rsvd0 |= v->cfg.prs ? 0 : BITS(4, 4);
  rsvd1 |= v->cfg.rps ? 0 : BITS(19, 0);
  rsvd1 |= v->cfg.rprivs ? 0 : BITS(20, 20);
  if ((e[0] & rsvd0) || (e[1] & rsvd1) || e[2] || e[3])
    return IMS_VTD_FR_SCT_3;
  c->dte = e[0] >> 2 & 1;
  c->paside = e[0] >> 3 & 1;
  c->pre = e[0] >> 4 & 1;
  c->pasid_limit = ims_vtd_pasid_limit(e[0] >> 9 & 7);
  c->pasid_dir = e[0] & BITS(63, 12);
  c->rid_pasid = e[1] & BITS(19, 0);
  c->rid_priv = e[1] >> 20 & 1;
  return c->rid_pasid >= c->pasid_limit ? IMS_VTD_FR_SCT_4 : 0;
}

// 9.6. The checks of reserved bits concern the whole entry, whatever PGTT says. AW without ECAP.SSTS is not among them:
// Linux writes it into first-stage entries on every unit (docs/vtd.md, decisions).
static bool pasid_reserved(const struct vtd *v, const uint64_t e[8], unsigned pgtt) {
  const struct ims_vtd_config *c = &v->cfg;
  bool rev3 = c->revision < 4;
  uint64_t r0 = BITS(11, 10) | above_haw(v);
  uint64_t r1 = BITS(22, 16);
  uint64_t r2 = BITS(11, 8);
  r0 |= rev3 ? 0 : BITS(5, 5);
  r0 |= c->ssads ? 0 : BITS(9, 9);
  r0 |= c->ssts ? 0 : BITS(63, 12);
  r1 |= c->nd >= 6 ? 0 : BITS(15, 4 + 2 * c->nd);
  r1 |= c->smpwcs ? 0 : BITS(23, 23);
  r1 |= c->sc ? 0 : BITS(24, 24);
  r1 |= c->mts ? 0 : BITS(26, 25) | BITS(63, 32);
  r1 |= rev3 ? 0 : BITS(31, 27);
  r2 |= c->srs ? 0 : BITS(0, 0);
  r2 |= rev3 && c->ers ? 0 : BITS(1, 1);
  r2 |= c->fsts ? 0 : BITS(4, 2) | BITS(63, 12);
  r2 |= c->eafs ? 0 : BITS(7, 7);
  r2 |= pgtt == VTD_PGTT_NESTED ? 0 : above_haw(v); // FSPTPTR of a nested entry is a GPA
  return (e[0] & r0) || (e[1] & r1) || (e[2] & r2) || e[3] || e[4] || e[5] || e[6] || e[7];
}

unsigned vtd_decode_pasid(const struct vtd *v, const uint64_t e[8], struct vtd_stages *s) {
  const struct ims_vtd_config *c = &v->cfg;
  bool rev3 = c->revision < 4;
  *s = (struct vtd_stages){.fpd = e[0] >> 1 & 1};
  if (!(e[0] & 1))
    return IMS_VTD_FR_SPT_2;
  unsigned pgtt = e[0] >> 6 & 7;
  if (pasid_reserved(v, e, pgtt))
    return IMS_VTD_FR_SPT_3;

  bool first = pgtt == VTD_PGTT_FIRST || pgtt == VTD_PGTT_NESTED;
  bool second = pgtt == VTD_PGTT_SECOND || pgtt == VTD_PGTT_NESTED;
  bool supported = (pgtt == VTD_PGTT_FIRST && c->fsts) || (pgtt == VTD_PGTT_SECOND && c->ssts) ||
                   (pgtt == VTD_PGTT_NESTED && c->nest) || (pgtt == VTD_PGTT_PASSTHROUGH && c->pt);
  unsigned levels = aw_levels(v, e[0] >> 2 & 7), fspm = e[2] >> 2 & 3;
  if (!supported || (second && !levels) || (first && (fspm > 1 || (fspm == 1 && !c->fs5lp))))
    return IMS_VTD_FR_SPT_4;

  bool pwsnp = e[1] >> 23 & 1, ssade = e[0] >> 9 & 1, ssee = rev3 && (e[0] >> 5 & 1);
  bool nxe = e[2] >> 5 & 1, smep = e[2] >> 6 & 1;
  s->pgtt = (uint8_t)pgtt;
  s->did = (uint16_t)(e[1] & BITS(15, 0));
  s->snoop = e[1] >> 24 & 1;
  s->sre = e[2] & 1;
  s->ere = rev3 && (e[2] >> 1 & 1);
  if (first) {
    bool nested = pgtt == VTD_PGTT_NESTED, xd_ok = !rev3 || nxe;
    unsigned flags = e[2] >> 4 & 1 ? IMS_PGT_WPE : 0;
    if (rev3)
      flags |= IMS_PGT_EXEC | (nxe ? IMS_PGT_NXE : 0u) | (smep ? IMS_PGT_SMEP : 0u);
    if (c->smpwcs && !pwsnp) // a unit without SMPWCS has no bit to say so, and updates all the same
      flags |= IMS_PGT_NOSNOOP;
    s->s1 = (struct ims_pgt){
        .fmt = nested ? (xd_ok ? &v->fs_nested_nxe : &v->fs_nested) : (xd_ok ? &v->fs_nxe : &v->fs),
        .root = e[2] & BITS(63, 12),
        .a_bits = (uint16_t)(IMS_FS_A | (e[2] >> 7 & 1 ? IMS_FS_EA : 0)),
        .d_bit = IMS_FS_D,
        .levels = (uint8_t)(4 + fspm),
        .in_bits = (uint8_t)(48 + 9 * fspm),
        .flags = (uint8_t)flags,
    };
  }
  if (second) {
    s->s2 = (struct ims_pgt){
        .fmt = ssee ? &v->ss_exec : &v->ss,
        .root = e[0] & BITS(63, 12),
        .a_bits = ssade ? IMS_SS_A : 0,
        .d_bit = ssade ? IMS_SS_D : 0,
        .levels = (uint8_t)levels,
        .in_bits = second_width(v, levels),
        .flags = (uint8_t)((ssee ? IMS_PGT_EXEC : 0) | (pwsnp ? 0 : IMS_PGT_NOSNOOP) | (c->zlr ? IMS_PGT_ZLR : 0)),
    };
  }
  return 0;
}
