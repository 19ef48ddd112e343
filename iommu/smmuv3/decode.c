// SPDX-License-Identifier: Apache-2.0
// STEs and CDs: what is legal, and what the legal ones say. Arm IHI 0070, 5.2 with 5.2.2 (validity of an STE), 5.4 with
// 5.4.2 (validity of a CD), 5.5 (fault configuration), 3.4 (address sizes). Non-secure streams only.
//
// Where the specification leaves a choice (SMMUv3.0: TxSZ out of range, S1ContextPtr out of range; every version: a nested
// S1ContextPtr beyond the IAS), the structure is illegal. Reserved codes that behave as another one are replaced by it, and
// fields that are ignored come out as if they were zero, so that nobody behind has to ask again.
#include "iommu/smmuv3/smmuv3_internal.h"
#include "pasid/smmu.h"

// TG0 and S2TG, TG1; -1: reserved.
static const int8_t tg0_granules[4] = {IMS_GRANULE_4K, IMS_GRANULE_64K, IMS_GRANULE_16K, -1};
static const int8_t tg1_granules[4] = {-1, IMS_GRANULE_16K, IMS_GRANULE_4K, IMS_GRANULE_64K};

// The granule of a code, or -1: reserved, or not implemented.
static int granule_of(const struct smmuv3 *s, const int8_t codes[4], uint64_t tg) {
  const bool implemented[3] = {s->cfg.gran4k, s->cfg.gran16k, s->cfg.gran64k};
  int g = codes[tg & 3];
  return g >= 0 && implemented[g] ? g : -1;
}

// 3.4: the most bits that an intermediate address has.
static unsigned ias_of(const struct smmuv3 *s) {
  unsigned aarch32 = s->cfg.ttf & 1 ? 40 : 0, aarch64 = s->cfg.ttf & 2 ? s->oas : 0;
  return aarch32 > aarch64 ? aarch32 : aarch64;
}

// IPS and S2PS in effect: capped to the OAS, and to 48 bits in SMMUv3.0.
static unsigned output_bits(const struct smmuv3 *s, uint64_t code) {
  static const uint8_t sizes[8] = {32, 36, 40, 42, 44, 48, 52, 56};
  unsigned bits = sizes[code & 7];
  if (s->cfg.version == 0 && bits > 48)
    bits = 48;
  return bits < s->oas ? bits : s->oas;
}

// TTB0, TTB1 and S2TTB: SMMUv3.0 has no bits above 47.
static uint64_t ttb_of(const struct smmuv3 *s, uint64_t ttb) {
  return s->cfg.version == 0 ? ttb & 0x0000ffffffffffffull : ttb;
}

// Small granules hold 48 bits unless DS says otherwise.
static bool ttb_fits(const struct ims_pgt *p, bool aarch64, enum ims_granule g, bool ds) {
  bool narrow = aarch64 && g != IMS_GRANULE_64K && !ds;
  return p->root >> (narrow && p->out_bits > 48 ? 48 : p->out_bits) == 0;
}

static unsigned txsz_max(const struct smmuv3 *s, enum ims_granule g) {
  return !s->cfg.stt ? 39 : g == IMS_GRANULE_64K ? 47 : 48;
}

// The hardware ignores the address bits below the size of the first table.
static void align_root(struct ims_pgt *p) { p->root = ims_smmu_align(p->root, ims_vmsa_root_log2(p)); }

static bool endian_legal(const struct smmuv3 *s, bool big) {
  return !(s->cfg.ttendian == 2 && big) && !(s->cfg.ttendian == 3 && !big);
}

// SH0, SH1, S2SH0: code 1 acts as non-shareable.
static uint8_t shareability(uint64_t sh) { return sh == 1 ? 0 : (uint8_t)sh; }

// 5.2, S2T0SZ, S2SL0, S2TG, S2DS: sizes of an AArch64 stage 2. DDI 0487 D8.2.2 has which start levels agree with them; where
// a processor takes a translation fault, the STE is illegal.
static bool s2_aarch64(const struct smmuv3 *s, const uint64_t w[8], struct ims_pgt *p) {
  int granule = granule_of(s, tg0_granules, IMS_STE_GET(w, S2TG));
  if (!(s->cfg.ttf & 2) || granule < 0)
    return false;
  enum ims_granule g = (enum ims_granule)granule;
  bool ds = s->cfg.ds && g != IMS_GRANULE_64K && IMS_STE_GET(w, S2DS);

  unsigned t0sz = (unsigned)IMS_STE_GET(w, S2T0SZ), ias = ias_of(s);
  unsigned low = s->cfg.version == 0 ? 0 : ds || g == IMS_GRANULE_64K ? 12 : 16;
  if (t0sz < low || t0sz < 64 - ias || t0sz > txsz_max(s, g))
    return false;

  unsigned sl0 = (unsigned)(IMS_STE_GET(w, S2SL0) | IMS_STE_GET(w, S2SL0_2) << 2);
  p->fmt = ds ? &s->formats.s2_ds[g] : &s->formats.s2[g];
  p->in_bits = (uint8_t)(64 - t0sz);
  p->out_bits = (uint8_t)output_bits(s, IMS_STE_GET(w, S2PS));
  p->levels = (uint8_t)ims_vmsa_s2_levels(g, sl0, ds, s->cfg.stt);
  return p->levels && ims_vmsa_s2_consistent(g, p->levels, p->in_bits, s->oas) && ttb_fits(p, true, g, ds);
}

// AArch32: inputs of 25 to 40 bits, outputs of 40, start levels 2 and 1.
static bool s2_aarch32(const struct smmuv3 *s, const uint64_t w[8], struct ims_pgt *p) {
  if (!(s->cfg.ttf & 1))
    return false;
  unsigned t0sz = (unsigned)IMS_STE_GET(w, S2T0SZ) & 15, sl0 = (unsigned)IMS_STE_GET(w, S2SL0);
  p->fmt = &s->formats_v7.s2[IMS_GRANULE_4K];
  p->in_bits = (uint8_t)(t0sz < 8 ? 32 - t0sz : 48 - t0sz);
  p->out_bits = 40;
  p->levels = sl0 > 1 ? 0 : (uint8_t)ims_vmsa_s2_levels(IMS_GRANULE_4K, sl0, false, false);
  p->flags |= IMS_PGT_AARCH32;
  return p->levels && ims_vmsa_s2_consistent(IMS_GRANULE_4K, p->levels, p->in_bits, 40) &&
         ttb_fits(p, false, IMS_GRANULE_4K, false);
}

// 5.2, S2HA and S2HD; S2HAFT. S2HD without S2HA is legal and has no effect.
static bool s2_updates(const struct smmuv3 *s, const uint64_t w[8], bool aarch64, struct ims_pgt *p) {
  const unsigned httu = s->cfg.httu;
  bool ha = IMS_STE_GET(w, S2HA), hd = IMS_STE_GET(w, S2HD), haft = httu == 3 && IMS_STE_GET(w, S2HAFT);
  if ((ha || hd) && (!aarch64 || httu == 0))
    return false;
  if ((hd && httu == 1) || (haft && !ha))
    return false;
  p->a_bits = ha ? IMS_VMSA_AF : 0;
  p->d_bit = ha && hd ? IMS_VMSA_S2AP_W : 0;
  if (!ha && !IMS_STE_GET(w, S2AFFD))
    p->flags |= IMS_PGT_AF_FAULTS;
  if (haft)
    p->flags |= IMS_PGT_HAFT;
  return true;
}

// S2PIE, S2POE, S2POI: not modelled beyond what makes an STE illegal.
static bool s2_permission_schemes_legal(const struct smmuv3 *s, const uint64_t w[8], bool aarch64) {
  bool pie = s->cfg.s2pi && IMS_STE_GET(w, S2PIE);
  if (pie && !aarch64)
    return false;
  if (!s->cfg.s2po || !IMS_STE_GET(w, S2POE))
    return true;
  bool hwu = IMS_STE_GET(w, S2HWU59) | IMS_STE_GET(w, S2HWU60) | IMS_STE_GET(w, S2HWU61) | IMS_STE_GET(w, S2HWU62);
  if (!pie || (s->cfg.pbha && hwu))
    return false;
  for (unsigned i = 0; i < 16; i++) {
    unsigned overlay = (unsigned)(IMS_STE_GET(w, S2POI) >> i * 4) & 15;
    if (overlay == 1 || overlay == 5)
      return false;
  }
  return true;
}

// 5.2.2, the part for Config = 11x. False: illegal.
static bool decode_s2(const struct smmuv3 *s, const uint64_t w[8], struct smmu_ste *ste) {
  struct ims_pgt *p = &ste->s2;
  bool aarch64 = IMS_STE_GET(w, S2AA64), fwb = s->cfg.fwb && IMS_STE_GET(w, S2FWB), big = IMS_STE_GET(w, S2ENDI);
  ste->s2s = IMS_STE_GET(w, S2S);
  ste->s2r = IMS_STE_GET(w, S2R);
  if (fwb && !aarch64)
    return false;
  if (ste->s2s ? s->cfg.stall_model == 1 : s->cfg.stall_model == 2)
    return false;
  p->root = ttb_of(s, ims_ste_address(w, IMS_STE_S2TTB));
  if (!(aarch64 ? s2_aarch64(s, w, p) : s2_aarch32(s, w, p)))
    return false;
  if (!s2_updates(s, w, aarch64, p) || !endian_legal(s, big) || !s2_permission_schemes_legal(s, w, aarch64))
    return false;
  align_root(p);
  p->sh = shareability(IMS_STE_GET(w, S2SH0));
  p->flags |= (big ? IMS_PGT_BE : 0u) | (fwb ? IMS_PGT_FWB : 0u) | (s->cfg.contiguous ? IMS_PGT_CONTIGUOUS : 0u);
  if (ste->has_s1 && IMS_STE_GET(w, S2PTW))
    p->flags |= IMS_PGT_PTW;
  return true;
}

// 5.2.2, the part for Config = 1x1. False: illegal.
static bool decode_s1(const struct smmuv3 *s, const uint64_t w[8], struct smmu_ste *ste) {
  ste->s1stalld = IMS_STE_GET(w, S1STALLD);
  if (ste->s1stalld && s->cfg.stall_model != 0)
    return false;
  if (s->cfg.ssidsize) {
    ste->s1cdmax = (uint8_t)IMS_STE_GET(w, S1CDMAX);
    if (ste->s1cdmax > s->cfg.ssidsize)
      return false;
  }
  if (ste->s1cdmax) {
    unsigned fmt = (unsigned)IMS_STE_GET(w, S1FMT), dss = (unsigned)IMS_STE_GET(w, S1DSS);
    ste->s1fmt = fmt == 3 ? 0 : (uint8_t)fmt;
    ste->s1dss = dss == 3 ? SMMU_S1DSS_TERMINATE : (uint8_t)dss;
    if (ste->s1fmt && !s->cfg.cd2l)
      return false;
  }
  ste->s1ctxptr = ims_ste_address(w, IMS_STE_S1CONTEXTPTR);
  ste->s1pie = s->cfg.s1pi && IMS_STE_GET(w, S1PIE);
  return ste->s1ctxptr >> (ste->has_s2 ? ste->ias : s->oas) == 0; // 3.4.3
}

// 5.2, STRW: it counts with stage 1 alone, where there is an EL2. False: reserved.
static bool decode_world(const struct smmuv3 *s, const uint64_t w[8], struct smmu_ste *ste) {
  ste->world = SMMU_EL1;
  if (!s->cfg.s1p || !s->cfg.hyp || ste->config != SMMU_CONFIG_S1)
    return true;
  unsigned strw = (unsigned)IMS_STE_GET(w, STRW);
  if (strw == 2)
    ste->world = SMMU_FIELD(s, CR2, E2H) ? SMMU_EL2_E2H : SMMU_EL2;
  return !(strw & 1);
}

// 5.2, EATS. Split-stage ATS acts as refused while translated traffic is not checked (CR0.ATSCHK); so does full ATS with
// the permission table, which is not modelled. False: illegal.
static bool decode_eats(const struct smmuv3 *s, const uint64_t w[8], struct smmu_ste *ste) {
  if (!s->cfg.ats || ste->config == SMMU_CONFIG_BYPASS)
    return true;
  unsigned eats = (unsigned)IMS_STE_GET(w, EATS);
  bool s2s = ste->has_s2 && IMS_STE_GET(w, S2S);
  switch (eats) {
  case 1: ste->eats = SMMU_EATS_FULL; return !s2s;
  case 2:
    if (SMMU_FIELD(s, CR0, ATSCHK))
      ste->eats = SMMU_EATS_SPLIT;
    return ste->config == SMMU_CONFIG_NESTED && !s2s && !s->cfg.ns1ats;
  case 3: return !s->cfg.dpt || (!s2s && ste->world == SMMU_EL1);
  default: return true;
  }
}

// 5.2, S2VMID: tags what the EL1 regime translates, if there is a stage 2. False: bits that VMIDs do not have.
static bool decode_vmid(const struct smmuv3 *s, const uint64_t w[8], struct smmu_ste *ste) {
  if (!s->cfg.s2p || ste->config == SMMU_CONFIG_BYPASS || ste->world != SMMU_EL1)
    return true;
  ste->vmid = (uint16_t)IMS_STE_GET(w, S2VMID);
  return s->cfg.vmid16 || ste->vmid < 256;
}

// 5.2, VMSPtr: of nested streams whose CDs choose the MPAM partition.
static bool vmsptr_legal(const struct smmuv3 *s, const uint64_t w[8], const struct smmu_ste *ste) {
  bool enabled = s->cfg.mpam && ste->config == SMMU_CONFIG_NESTED && IMS_STE_GET(w, S1MPAM);
  return !enabled || ims_ste_address(w, IMS_STE_VMSPTR) >> s->oas == 0;
}

// 13.1, 5.2: what replaces the attributes of the transaction.
static void decode_overrides(const struct smmuv3 *s, const uint64_t w[8], struct smmu_ste *ste) {
  ste->shcfg = 1; // as incoming
  if (s->cfg.attr_types_ovr) {
    unsigned memattr = (unsigned)IMS_STE_GET(w, MEMATTR), alloc = (unsigned)IMS_STE_GET(w, ALLOCCFG);
    bool reserved = memattr == 4 || memattr == 8 || memattr == 12; // act as Device-nGnRnE
    ste->mtcfg = (uint8_t)IMS_STE_GET(w, MTCFG);
    ste->memattr = ste->mtcfg && !reserved ? (uint8_t)memattr : 0;
    ste->alloccfg = alloc & 8 ? (uint8_t)alloc : 0;
    ste->shcfg = (uint8_t)IMS_STE_GET(w, SHCFG);
  }
  if (s->cfg.attr_perms_ovr) {
    unsigned priv = (unsigned)IMS_STE_GET(w, PRIVCFG), inst = (unsigned)IMS_STE_GET(w, INSTCFG);
    ste->privcfg = priv == 1 ? 0 : (uint8_t)priv;
    ste->instcfg = inst == 1 ? 0 : (uint8_t)inst;
  }
  bool v31 = s->cfg.version >= 1;
  ste->dre = v31 && IMS_STE_GET(w, DRE);
  ste->dcp = v31 && IMS_STE_GET(w, DCP);
  ste->mev = IMS_STE_GET(w, MEV);
  ste->ppar = s->cfg.pri && s->cfg.ssidsize && (s->cfg.pps || IMS_STE_GET(w, PPAR));
}

unsigned smmu_decode_ste(const struct smmuv3 *s, const uint64_t w[8], struct smmu_ste *ste) {
  *ste = (struct smmu_ste){.config = SMMU_CONFIG_ABORT};
  if (!IMS_STE_GET(w, V))
    return IMS_SMMUV3_C_BAD_STE;
  unsigned config = (unsigned)IMS_STE_GET(w, CONFIG);
  if (!(config & 4))
    return 0;
  ste->config = (uint8_t)config;
  ste->has_s1 = config & 1;
  ste->has_s2 = config & 2;
  ste->ias = (uint8_t)ias_of(s);
  if ((ste->has_s1 && !s->cfg.s1p) || (ste->has_s2 && !s->cfg.s2p))
    return IMS_SMMUV3_C_BAD_STE;
  if (!decode_world(s, w, ste) || !decode_eats(s, w, ste) || !decode_vmid(s, w, ste) || !vmsptr_legal(s, w, ste))
    return IMS_SMMUV3_C_BAD_STE;
  if ((ste->has_s1 && !decode_s1(s, w, ste)) || (ste->has_s2 && !decode_s2(s, w, ste)))
    return IMS_SMMUV3_C_BAD_STE;
  decode_overrides(s, w, ste);
  return 0;
}

// Fields of a CD that exist for each half.
static const struct {
  enum ims_cd_field txsz, tg, sh, ttb, had;
  const int8_t *granules;
} halves[2] = {
    {IMS_CD_T0SZ, IMS_CD_TG0, IMS_CD_SH0, IMS_CD_TTB0, IMS_CD_HAD0, tg0_granules},
    {IMS_CD_T1SZ, IMS_CD_TG1, IMS_CD_SH1, IMS_CD_TTB1, IMS_CD_HAD1, tg1_granules},
};

// 5.4, T0SZ, TG0, DS, TTB0 and those of the other half, AArch64. False: illegal.
static bool half_aarch64(const struct smmuv3 *s, const uint64_t w[8], unsigned i, struct ims_pgt *p) {
  int granule = granule_of(s, halves[i].granules, ims_cd_get(w, halves[i].tg));
  if (granule < 0)
    return false;
  enum ims_granule g = (enum ims_granule)granule;
  bool ds = s->cfg.ds && g != IMS_GRANULE_64K && IMS_CD_GET(w, DS);
  unsigned txsz = (unsigned)ims_cd_get(w, halves[i].txsz);
  unsigned low = s->cfg.vax && (ds || g == IMS_GRANULE_64K) ? 12 : 16;
  if (txsz < low || txsz > txsz_max(s, g))
    return false;
  p->fmt = ds ? &s->formats.s1_ds[g] : &s->formats.s1[g];
  p->in_bits = (uint8_t)(64 - txsz);
  p->out_bits = (uint8_t)output_bits(s, IMS_CD_GET(w, IPS));
  p->levels = (uint8_t)ims_vmsa_s1_levels(g, p->in_bits);
  return ttb_fits(p, true, g, ds);
}

// AArch32: TTBCR's sizes, of inputs of 32 bits; outputs of 40. Side 1 takes the address with ones above bit 31.
static bool half_aarch32(const struct smmuv3 *s, const uint64_t w[8], unsigned i, struct ims_pgt *p) {
  p->fmt = &s->formats_v7.s1[IMS_GRANULE_4K];
  p->in_bits = (uint8_t)(32 - (ims_cd_get(w, halves[i].txsz) & 7));
  p->out_bits = 40;
  p->levels = (uint8_t)ims_vmsa_s1_levels(IMS_GRANULE_4K, p->in_bits);
  return ttb_fits(p, false, IMS_GRANULE_4K, false);
}

// {MAIR1, MAIR0}: what VMSAv8-64 leaves unpredictable is defined here (5.4, MAIR1).
static uint64_t mair_of(const uint64_t w[8]) {
  uint64_t mair = w[IMS_CD_MAIR0_LSB / 64], out = 0; // both fields are one word
  for (unsigned i = 0; i < 64; i += 8) {
    unsigned attr = (unsigned)(mair >> i) & 0xff;
    if (!(attr & 0xf0))
      attr &= 0xc; // Device
    else if (!(attr & 0xf))
      attr |= 3; // inner write-through transient
    out |= (uint64_t)attr << i;
  }
  return out;
}

// Flags that both halves share.
static uint32_t s1_flags(const struct smmuv3 *s, const struct smmu_ste *ste, const uint64_t w[8], bool aarch64) {
  bool el2 = ste->world == SMMU_EL2;
  uint32_t flags = s->cfg.contiguous ? IMS_PGT_CONTIGUOUS : 0;
  if (!aarch64)
    flags |= IMS_PGT_AARCH32;
  if (el2)
    flags |= IMS_PGT_ONE_EL;
  if (IMS_CD_GET(w, ENDI))
    flags |= IMS_PGT_BE;
  if (IMS_CD_GET(w, WXN))
    flags |= IMS_PGT_WXN;
  if (!aarch64 && !el2 && IMS_CD_GET(w, UWXN))
    flags |= IMS_PGT_UWXN;
  if (!el2 && IMS_CD_GET(w, PAN))
    flags |= IMS_PGT_PAN;
  if (aarch64 && !el2 && s->cfg.epan && IMS_CD_GET(w, EPAN))
    flags |= IMS_PGT_EPAN;
  if (!(aarch64 && IMS_CD_GET(w, HA)) && !IMS_CD_GET(w, AFFD))
    flags |= IMS_PGT_AF_FAULTS;
  if (aarch64 && s->cfg.httu == 3 && IMS_CD_GET(w, HAFT))
    flags |= IMS_PGT_HAFT;
  return flags;
}

static bool decode_half(const struct smmuv3 *s, const uint64_t w[8], unsigned i, uint32_t flags, struct smmu_cd *cd) {
  struct ims_pgt *p = &cd->side[i];
  p->root = ttb_of(s, ims_cd_address(w, halves[i].ttb));
  if (!(cd->aarch64 ? half_aarch64(s, w, i, p) : half_aarch32(s, w, i, p)))
    return false;
  align_root(p);
  p->mair = mair_of(w);
  p->sh = shareability(ims_cd_get(w, halves[i].sh));
  p->flags = flags | (i ? IMS_PGT_UPPER : 0u);
  if (s->cfg.had && ims_cd_get(w, halves[i].had))
    p->flags |= IMS_PGT_HAD;
  bool ha = cd->aarch64 && IMS_CD_GET(w, HA); // HD without HA has no effect
  p->a_bits = ha ? IMS_VMSA_AF : 0;
  p->d_bit = ha && IMS_CD_GET(w, HD) ? IMS_VMSA_AP2 : 0;
  return true;
}

// 5.5: A, R and S against what the SMMU and the STE permit.
static bool fault_model_legal(const struct smmuv3 *s, const struct smmu_ste *ste, const struct smmu_cd *cd) {
  if (s->cfg.term_model && !cd->a)
    return false;
  return cd->s ? s->cfg.stall_model != 1 && !ste->s1stalld : s->cfg.stall_model != 2;
}

// 5.4, AA64: AArch32 has no E2H regime, and takes no AArch64 above it.
static bool format_legal(const struct smmuv3 *s, const struct smmu_ste *ste, bool aarch64) {
  if (!aarch64)
    return (s->cfg.ttf & 1) && ste->world != SMMU_EL2_E2H;
  return (s->cfg.ttf & 2) && !(ste->has_s2 && (ste->s2.flags & IMS_PGT_AARCH32));
}

// 5.4, HA, HD and HAFT; AArch32 ignores them.
static bool s1_updates_legal(const struct smmuv3 *s, const uint64_t w[8]) {
  bool ha = IMS_CD_GET(w, HA), hd = IMS_CD_GET(w, HD);
  switch (s->cfg.httu) {
  case 0: return !ha && !hd;
  case 1: return !hd;
  case 3: return ha || !IMS_CD_GET(w, HAFT);
  default: return true;
  }
}

// 5.4, PIIU and PIIP: not modelled beyond what makes a CD illegal.
static bool s1_permission_scheme_legal(const struct smmu_ste *ste, const uint64_t w[8]) {
  if (!ste->s1pie || !IMS_CD_GET(w, PIE))
    return true;
  for (unsigned i = 0; i < 16; i++) {
    unsigned priv = (unsigned)(IMS_CD_GET(w, PIIP) >> i * 3) & 7, user = (unsigned)(IMS_CD_GET(w, PIIU) >> i * 3) & 7;
    if (priv == 4 || priv == 6)
      return false;
    if (ste->world != SMMU_EL2 && (user == 4 || user == 6 || ((priv & 2) && (user & 4))))
      return false;
  }
  return true;
}

unsigned smmu_decode_cd(const struct smmuv3 *s, const struct smmu_ste *ste, const uint64_t w[8], struct smmu_cd *cd) {
  *cd = (struct smmu_cd){0};
  if (!IMS_CD_GET(w, V))
    return IMS_SMMUV3_C_BAD_CD;
  bool el2 = ste->world == SMMU_EL2; // one table, no ASIDs
  cd->a = IMS_CD_GET(w, A);
  cd->r = IMS_CD_GET(w, R);
  cd->s = IMS_CD_GET(w, S);
  cd->aset = IMS_CD_GET(w, ASET);
  cd->aarch64 = IMS_CD_GET(w, AA64);
  cd->two_sides = !el2;
  cd->asid = el2 ? 0 : (uint16_t)IMS_CD_GET(w, ASID);
  if (!fault_model_legal(s, ste, cd) || !format_legal(s, ste, cd->aarch64))
    return IMS_SMMUV3_C_BAD_CD;
  if (!s->cfg.asid16 && cd->asid > 255)
    return IMS_SMMUV3_C_BAD_CD;
  if (cd->aarch64 && !(s1_updates_legal(s, w) && s1_permission_scheme_legal(ste, w)))
    return IMS_SMMUV3_C_BAD_CD;

  cd->epd[0] = !el2 && IMS_CD_GET(w, EPD0);
  cd->epd[1] = el2 || IMS_CD_GET(w, EPD1); // no walk where there is no table
  if (!(cd->epd[0] && cd->epd[1]) && !endian_legal(s, IMS_CD_GET(w, ENDI)))
    return IMS_SMMUV3_C_BAD_CD;
  uint32_t flags = s1_flags(s, ste, w, cd->aarch64);
  for (unsigned i = 0; i < 2; i++)
    if (!cd->epd[i] && !decode_half(s, w, i, flags, cd))
      return IMS_SMMUV3_C_BAD_CD;

  if (cd->aarch64) {
    bool e0pd = s->cfg.e0pd && !el2;
    cd->tbi[0] = IMS_CD_GET(w, TBI0);
    cd->tbi[1] = !el2 && IMS_CD_GET(w, TBI1);
    cd->e0pd[0] = e0pd && IMS_CD_GET(w, E0PD0);
    cd->e0pd[1] = e0pd && IMS_CD_GET(w, E0PD1);
  } else {
    cd->t0sz = (uint8_t)(IMS_CD_GET(w, T0SZ) & 7);
    cd->t1sz = el2 ? 0 : (uint8_t)(IMS_CD_GET(w, T1SZ) & 7);
  }
  return 0;
}
