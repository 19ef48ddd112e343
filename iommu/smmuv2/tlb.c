// SPDX-License-Identifier: Apache-2.0
// TLB maintenance: what each operation removes. Arm IHI 0062, TLB maintenance operations; docs/smmuv2.md has it as a table.
// Nothing else goes, so that a missing operation shows.
#include "iommu/smmuv2/smmuv2_internal.h"

static void drop(struct smmuv2 *s, unsigned first, unsigned last, const struct ims_cache_match *m) {
  for (unsigned c = first; c <= last; c++)
    ims_cache_invalidate(&s->base.cache[c], m);
}

// Entries of stage 1, alone and under a stage 2, that agree under the mask; `walks`: those of the walk caches too. The
// walk caches have no global entries.
static void drop_s1(struct smmuv2 *s, const struct ims_cache_match *which, bool walks) {
  static const unsigned kinds[] = {IMS_TAG_S1, IMS_TAG_NESTED};
  for (unsigned i = 0; i < 2; i++) {
    struct ims_cache_match m = *which;
    m.id |= SMMU2_TAG_KIND(kinds[i]);
    m.id_mask |= SMMU2_TAG_KIND_MASK;
    drop(s, IMS_CACHE_IOTLB, IMS_CACHE_IOTLB, &m);
    if (walks)
      drop(s, IMS_CACHE_S1_L2, IMS_CACHE_S1_L5, &m);
  }
}

// Entries of stage 2 alone: not the nested ones, which cannot be found by IPA.
static void drop_s2(struct smmuv2 *s, const struct ims_cache_match *which, bool walks) {
  struct ims_cache_match m = *which;
  m.id |= SMMU2_TAG_KIND(IMS_TAG_S2);
  m.id_mask |= SMMU2_TAG_KIND_MASK;
  drop(s, IMS_CACHE_IOTLB, IMS_CACHE_IOTLB, &m);
  drop(s, IMS_CACHE_NESTED, IMS_CACHE_NESTED, &m);
  if (walks)
    drop(s, IMS_CACHE_S2_L2, IMS_CACHE_S2_L5, &m);
}

static void set_page(struct ims_cache_match *m, uint64_t addr) {
  m->any_addr = false;
  m->first = addr;
  m->last = addr | 0xfff;
}

// Address bits 55:12 in 43:0, as a 64-bit address.
static uint64_t address64(uint64_t value) { return (uint64_t)((int64_t)(value << 20) >> 8); }

void smmu2_tlbi_global(struct smmuv2 *s, unsigned reg, uint64_t value) {
  uint64_t vmid = SMMU2_FIELD(s, sCR0, VMID16EN) ? value & 0xffff : value & 0xff;
  struct ims_cache_match of_vmid = {.id = vmid, .id_mask = SMMU2_TAG_HYP | SMMU2_TAG_VMID_MASK, .any_addr = true};
  struct ims_cache_match hyp = {.id = SMMU2_TAG_HYP, .id_mask = SMMU2_TAG_HYP, .any_addr = true};
  switch (reg) {
  case IMS_SMMUV2_TLBIVMID: drop(s, IMS_CACHE_IOTLB, IMS_CACHE_S2_L5, &of_vmid); break;
  case IMS_SMMUV2_TLBIVMIDS1: drop_s1(s, &of_vmid, true); break;
  case IMS_SMMUV2_TLBIALLNSNH:
    hyp.id = 0;
    drop(s, IMS_CACHE_IOTLB, IMS_CACHE_S2_L5, &hyp);
    break;
  case IMS_SMMUV2_TLBIALLH: drop_s1(s, &hyp, true); break;
  case IMS_SMMUV2_TLBIVAH:
    set_page(&hyp, value & 0xfffff000);
    drop_s1(s, &hyp, true);
    break;
  case IMS_SMMUV2_TLBIVAH64:
  case IMS_SMMUV2_TLBIVALH64:
    set_page(&hyp, address64(value));
    drop_s1(s, &hyp, reg == IMS_SMMUV2_TLBIVAH64);
    break;
  default: break; // STLBIALL: no entry is Secure
  }
  ims_iommu_invalidated(&s->base);
}

// By address in a stage-1 bank: of the bank's ASID operand or of any, and in the first case global ones too.
static void by_address(struct smmuv2 *s, const struct smmu2_context *c, uint64_t value, bool any_asid, bool leaf) {
  bool aarch64 = c->format == 2;
  uint64_t addr = aarch64 ? address64(value) : value & 0xfffff000;
  uint64_t asid = aarch64 ? value >> 48 : value & 0xff;
  if (aarch64 && !c->asid16)
    asid &= 0xff;
  struct ims_cache_match m = {.id = c->vmid, .id_mask = SMMU2_TAG_HYP | SMMU2_TAG_VMID_MASK};
  if (c->hyp) {
    m.id = m.id_mask = SMMU2_TAG_HYP;
    any_asid = true;
  }
  // AArch32: TTBR1's addresses are kept with ones above bit 31.
  for (unsigned upper = 0; upper < (aarch64 ? 1u : 2u); upper++) {
    struct ims_cache_match own = m;
    set_page(&own, upper ? addr | 0xffffffff00000000ull : addr);
    if (any_asid) {
      drop_s1(s, &own, !leaf);
      continue;
    }
    struct ims_cache_match global = own;
    own.id |= SMMU2_TAG_ASID(asid);
    own.id_mask |= SMMU2_TAG_ASID_MASK | SMMU2_TAG_GLOBAL;
    drop_s1(s, &own, !leaf);
    global.id |= SMMU2_TAG_GLOBAL;
    global.id_mask |= SMMU2_TAG_GLOBAL;
    drop_s1(s, &global, false);
  }
}

static void bank_s2(struct smmuv2 *s, unsigned reg, uint64_t value, struct ims_cache_match m) {
  switch (reg) {
  case IMS_SMMUV2_CB_TLBIALL: drop_s2(s, &m, true); break;
  case IMS_SMMUV2_CB_TLBIIPAS2:
  case IMS_SMMUV2_CB_TLBIIPAS2L:
    set_page(&m, (value & IMS_SMMUV2_BITS(TLBIIPAS2_ADDR)) << 12);
    drop_s2(s, &m, reg == IMS_SMMUV2_CB_TLBIIPAS2);
    break;
  default: break; // operations of stage 1
  }
}

static void bank_s1(struct smmuv2 *s, const struct smmu2_context *c, unsigned reg, uint64_t value,
                    struct ims_cache_match m) {
  switch (reg) {
  case IMS_SMMUV2_CB_TLBIVA: by_address(s, c, value, false, false); break;
  case IMS_SMMUV2_CB_TLBIVAL: by_address(s, c, value, false, true); break;
  case IMS_SMMUV2_CB_TLBIVAA: by_address(s, c, value, true, false); break;
  case IMS_SMMUV2_CB_TLBIVAAL: by_address(s, c, value, true, true); break;
  case IMS_SMMUV2_CB_TLBIASID:
    if (c->hyp)
      break; // no ASIDs there
    m.id |= SMMU2_TAG_ASID(value & (c->asid16 ? 0xffff : 0xff));
    m.id_mask |= SMMU2_TAG_ASID_MASK | SMMU2_TAG_GLOBAL;
    drop_s1(s, &m, true);
    break;
  case IMS_SMMUV2_CB_TLBIALL:
    if (c->hyp)
      m.id = m.id_mask = SMMU2_TAG_HYP;
    drop_s1(s, &m, true);
    break;
  default: break; // operations of stage 2
  }
}

void smmu2_tlbi_bank(struct smmuv2 *s, unsigned bank, unsigned reg, uint64_t value) {
  const struct smmu2_context *c = smmu2_context(s, bank);
  struct ims_cache_match m = {.id = c->vmid, .id_mask = SMMU2_TAG_HYP | SMMU2_TAG_VMID_MASK, .any_addr = true};
  if (c->type == IMS_SMMUV2_CBAR_S2)
    bank_s2(s, reg, value, m);
  else
    bank_s1(s, c, reg, value, m);
  ims_iommu_invalidated(&s->base);
}
