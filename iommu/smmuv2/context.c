// SPDX-License-Identifier: Apache-2.0
// What the registers of a context bank say: its formats, tables and tags. Arm IHI 0062, context banks; the meaning of TCR
// and TTBR by Arm DDI 0487 (D8.1, D8.2 and, for AArch32, G5.5).
#include "iommu/smmuv2/smmuv2_internal.h"

uint16_t smmu2_vmid(const struct smmuv2 *s, unsigned bank) {
  const struct smmu2_bank *b = &s->bank[bank];
  if (SMMU2_FIELD(s, sCR0, VMID16EN))
    return (uint16_t)IMS_SMMUV2_GET(b->gr1[IMS_SMMUV2_CBA2R], CBA2R_VMID16);
  return (uint16_t)SMMU2_CBAR_FIELD(b, VMID);
}

static unsigned width(unsigned code, unsigned cap) {
  static const uint8_t bits[] = {32, 36, 40, 42, 44, 48};
  unsigned w = code < sizeof bits ? bits[code] : 48;
  return w < cap ? w : cap;
}

// The base of a table: its bits below the table's size count as zero (DDI 0487 D8.2.5). Beyond what the stage puts out it
// is an address size fault of level 0.
static unsigned set_root(struct ims_pgt *p, uint64_t ttbr) {
  p->root = (ttbr & IMS_SMMUV2_BITS(TTBR0_BADDR)) >> ims_vmsa_root_log2(p) << ims_vmsa_root_log2(p);
  return p->root >> p->out_bits ? IMS_SMMUV2_ASF : 0;
}

static bool has_granule(const struct smmuv2 *s, enum ims_granule g) {
  return g == IMS_GRANULE_4K ? s->cfg.gran4k : g == IMS_GRANULE_16K ? s->cfg.gran16k : s->cfg.gran64k;
}

// One side of a stage 1. Returns what every use of it meets.
static unsigned decode_side(const struct smmuv2 *s, const struct smmu2_bank *b, const struct smmu2_context *c,
                            unsigned side, unsigned out_cap, struct ims_pgt *p) {
  static const int8_t tg[2][4] = {{IMS_GRANULE_4K, IMS_GRANULE_64K, IMS_GRANULE_16K, -1},
                                  {-1, IMS_GRANULE_16K, IMS_GRANULE_4K, IMS_GRANULE_64K}};
  uint64_t tcr = SMMU2_CB(b, TCR), sctlr = SMMU2_CB(b, SCTLR);
  *p = (struct ims_pgt){.mair = SMMU2_CB(b, MAIR0) | SMMU2_CB(b, MAIR1) << 32};
  p->flags = (side ? (unsigned)IMS_PGT_UPPER : 0u) | (sctlr & IMS_SMMUV2_BITS(SCTLR_AFFD) ? 0u : IMS_PGT_AF_FAULTS) |
             (c->hyp ? (unsigned)IMS_PGT_ONE_EL : 0u) | (sctlr & IMS_SMMUV2_BITS(SCTLR_WXN) ? IMS_PGT_WXN : 0u) |
             (sctlr & IMS_SMMUV2_BITS(SCTLR_E) ? IMS_PGT_BE : 0u) | (s->cfg.contiguous ? IMS_PGT_CONTIGUOUS : 0u);
  unsigned tsz = (unsigned)(side ? IMS_SMMUV2_GET(tcr, TCR_T1SZ) : IMS_SMMUV2_GET(tcr, TCR_T0SZ));
  int granule = IMS_GRANULE_4K;
  if (c->format == 2) {
    granule = tg[side][side ? IMS_SMMUV2_GET(tcr, TCR_TG1) : IMS_SMMUV2_GET(tcr, TCR_TG0)];
    if (granule < 0 || !has_granule(s, (enum ims_granule)granule) || tsz < 16 || tsz > 39)
      return IMS_SMMUV2_TF;
    p->in_bits = (uint8_t)(64 - tsz);
    p->out_bits = (uint8_t)width((unsigned)SMMU2_CB_FIELD(b, TCR2, PASIZE), out_cap);
  } else {
    if (c->format == 0 || s->cfg.ptfs > 1)
      return IMS_SMMUV2_TF;
    p->in_bits = (uint8_t)(32 - (tsz & 7));
    p->out_bits = (uint8_t)(out_cap < 40 ? out_cap : 40);
    p->flags |= IMS_PGT_AARCH32 | (sctlr & IMS_SMMUV2_BITS(SCTLR_UWXN) ? IMS_PGT_UWXN : 0u);
  }
  p->fmt = &s->formats.s1[granule];
  p->levels = (uint8_t)ims_vmsa_s1_levels((enum ims_granule)granule, p->in_bits);
  return set_root(p, side ? SMMU2_CB(b, TTBR1) : SMMU2_CB(b, TTBR0));
}

static unsigned decode_s2(const struct smmuv2 *s, const struct smmu2_bank *b, const struct smmu2_context *c,
                          struct ims_pgt *p) {
  static const int8_t tg[4] = {IMS_GRANULE_4K, IMS_GRANULE_64K, IMS_GRANULE_16K, -1};
  uint64_t tcr = SMMU2_CB(b, TCR), sctlr = SMMU2_CB(b, SCTLR);
  *p = (struct ims_pgt){0};
  p->flags = (sctlr & IMS_SMMUV2_BITS(SCTLR_AFFD) ? 0u : IMS_PGT_AF_FAULTS) |
             (sctlr & IMS_SMMUV2_BITS(SCTLR_PTW) ? IMS_PGT_PTW : 0u) |
             (sctlr & IMS_SMMUV2_BITS(SCTLR_E) ? IMS_PGT_BE : 0u) | (s->cfg.contiguous ? IMS_PGT_CONTIGUOUS : 0u);
  unsigned tsz = (unsigned)IMS_SMMUV2_GET(tcr, TCR_T0SZ), sl0 = (unsigned)IMS_SMMUV2_GET(tcr, TCR_SL0);
  int granule = IMS_GRANULE_4K;
  unsigned pa_bits = s->oas, in_bits;
  if (c->format == 2) {
    granule = tg[IMS_SMMUV2_GET(tcr, TCR_TG0)];
    if (granule < 0 || !has_granule(s, (enum ims_granule)granule) || tsz < 16 || tsz > 39)
      return IMS_SMMUV2_TF;
    in_bits = 64 - tsz;
    if (in_bits > s->ias)
      return IMS_SMMUV2_TF;
    p->out_bits = (uint8_t)width((unsigned)(tcr & IMS_SMMUV2_TCR_PS) >> 16, s->oas);
  } else { // DDI 0487 G5.5: T0SZ is signed, 4 bits; SL0 has two values
    if (s->cfg.ptfs > 1 || sl0 > 1)
      return IMS_SMMUV2_TF;
    in_bits = 32 - (tsz & 7) + (tsz & 8);
    pa_bits = 40;
    p->out_bits = (uint8_t)(s->oas < 40 ? s->oas : 40);
  }
  unsigned levels = ims_vmsa_s2_levels((enum ims_granule)granule, sl0, false, false);
  if (!levels || !ims_vmsa_s2_consistent((enum ims_granule)granule, levels, in_bits, pa_bits))
    return IMS_SMMUV2_TF;
  p->fmt = &s->formats.s2[granule];
  p->in_bits = (uint8_t)in_bits;
  p->levels = (uint8_t)levels;
  return set_root(p, SMMU2_CB(b, TTBR0));
}

// TCR2.SEP: which bit of an address is its sign. By the upstream bus only one of 49 bits has any; addresses of narrower
// ones are extended with zeros, so that TTBR1 is out of reach.
static uint8_t sign_bit(const struct smmuv2 *s, const struct smmu2_bank *b) {
  static const uint8_t bits[] = {31, 35, 39, 41, 43, 47};
  unsigned sep = (unsigned)SMMU2_CB_FIELD(b, TCR2, SEP), bit = sep < sizeof bits ? bits[sep] : 48;
  return bit < s->ubs ? (uint8_t)bit : 64;
}

void smmu2_decode(struct smmuv2 *s, unsigned bank) {
  struct smmu2_bank *b = &s->bank[bank];
  struct smmu2_context *c = &b->context;
  *c = (struct smmu2_context){.type = (uint8_t)SMMU2_CBAR_FIELD(b, TYPE), .on = SMMU2_CB_FIELD(b, SCTLR, M)};
  b->stale = false;
  uint64_t tcr = SMMU2_CB(b, TCR);
  bool aarch64 = b->gr1[IMS_SMMUV2_CBA2R] & IMS_SMMUV2_BITS(CBA2R_VA64);
  c->vmid = smmu2_vmid(s, bank);
  if (c->type == IMS_SMMUV2_CBAR_S2) {
    c->format = aarch64 ? 2 : 1;
    c->bad[0] = (uint8_t)decode_s2(s, b, c, &c->side[0]);
    c->id = c->vmid | SMMU2_TAG_KIND(IMS_TAG_S2);
    return;
  }
  c->format = aarch64 ? 2 : tcr & IMS_SMMUV2_TCR_EAE ? 1 : 0;
  c->hyp = c->type == IMS_SMMUV2_CBAR_S1 && (b->gr1[IMS_SMMUV2_CBAR] & IMS_SMMUV2_CBAR_HYPC);
  c->epd[0] = !c->hyp && (tcr & IMS_SMMUV2_TCR_EPD0);
  c->epd[1] = c->hyp || (tcr & IMS_SMMUV2_BITS(TCR_EPD1));
  c->t0sz = tcr & 7;
  c->t1sz = c->hyp ? 0 : tcr >> 16 & 7;
  c->sign = c->hyp ? 64 : sign_bit(s, b);
  if (aarch64) {
    c->tbi[0] = SMMU2_CB_FIELD(b, TCR2, TBI0);
    c->tbi[1] = SMMU2_CB_FIELD(b, TCR2, TBI1);
  }
  // What stage 1 puts out is an IPA under a stage 2, else a physical address.
  unsigned cap = c->type == IMS_SMMUV2_CBAR_NESTED ? s->ias : s->oas;
  for (unsigned side = 0; side < 2; side++)
    if (!c->epd[side])
      c->bad[side] = (uint8_t)decode_side(s, b, c, side, cap, &c->side[side]);
  uint64_t ttbr = tcr & IMS_SMMUV2_BITS(TCR_A1) ? SMMU2_CB(b, TTBR1) : SMMU2_CB(b, TTBR0);
  c->asid = (uint16_t)(ttbr >> 48);
  c->asid16 = aarch64 && SMMU2_CB_FIELD(b, TCR2, AS);
  if (!c->asid16)
    c->asid &= 0xff;
  c->id = SMMU2_TAG_KIND(c->type == IMS_SMMUV2_CBAR_NESTED ? IMS_TAG_NESTED : IMS_TAG_S1);
  c->id |= c->hyp ? SMMU2_TAG_HYP : c->vmid | SMMU2_TAG_ASID(c->asid);
}

// AArch64: the sign bit chooses; the bits above it, up to the width of the bus, must equal it. An address may come in as it
// lies on the bus, with zeros above, or with its sign extended to 64 bits.
bool smmu2_choose_side(const struct smmuv2 *s, const struct smmu2_context *c, uint64_t iova, unsigned *side,
                       uint64_t *va) {
  *side = 0;
  if (c->format != 2)
    return ims_vmsa32_side(c->t0sz, c->t1sz, c->hyp, iova, side, va);
  *va = iova;
  unsigned sign = c->sign;
  *side = sign < 64 && (iova >> sign & 1);
  if (c->tbi[*side]) // the top byte is ignored (DDI 0487 D8.8)
    iova = sign == 64 ? iova << 8 >> 8 : (uint64_t)((int64_t)(iova << 8) >> 8);
  uint64_t above = iova >> s->ubs, bus = iova << (64 - s->ubs) >> (64 - s->ubs);
  if (sign == 64) {
    *va = iova;
    return above == 0;
  }
  if (above != 0 && above != ~0ull >> s->ubs)
    return false;
  uint64_t top = bus >> sign, ones = (1ull << (s->ubs - sign)) - 1;
  *va = *side ? bus | ~0ull << sign : bus;
  return top == (*side ? ones : 0);
}
