// SPDX-License-Identifier: Apache-2.0
// Registers seen from software: access classes come from the field tables, what a write sets off stands here.
// Arm IHI 0062, the address map, and the registers of GR0, GR1 and the context banks.
#include "iommu/smmuv2/smmuv2_internal.h"

const struct ims_reg_info ims_smmuv2_gr0_regs[IMS_SMMUV2_GR0_COUNT] = {IMS_SMMUV2_GR0_REGS(IMS_REG_ROW)};
const struct ims_reg_info ims_smmuv2_gr1_regs[IMS_SMMUV2_GR1_COUNT] = {IMS_SMMUV2_GR1_REGS(IMS_REG_ROW)};
const struct ims_reg_info ims_smmuv2_cb_regs[IMS_SMMUV2_CB_COUNT] = {IMS_SMMUV2_CB_REGS(IMS_REG_ROW)};

#define IMS_F(reg_, ...) IMS_REG_FIELD_ROW(IMS_SMMUV2_##reg_, __VA_ARGS__)
const struct ims_reg_field ims_smmuv2_gr0_fields[] = {IMS_SMMUV2_GR0_FIELDS(IMS_F)};
const struct ims_reg_field ims_smmuv2_gr1_fields[] = {IMS_SMMUV2_GR1_FIELDS(IMS_F)};
#undef IMS_F
#define IMS_F(reg_, ...) IMS_REG_FIELD_ROW(IMS_SMMUV2_CB_##reg_, __VA_ARGS__)
const struct ims_reg_field ims_smmuv2_cb_fields[] = {IMS_SMMUV2_CB_FIELDS(IMS_F)};
#undef IMS_F
const unsigned ims_smmuv2_gr0_field_count = sizeof ims_smmuv2_gr0_fields / sizeof ims_smmuv2_gr0_fields[0];
const unsigned ims_smmuv2_gr1_field_count = sizeof ims_smmuv2_gr1_fields / sizeof ims_smmuv2_gr1_fields[0];
const unsigned ims_smmuv2_cb_field_count = sizeof ims_smmuv2_cb_fields / sizeof ims_smmuv2_cb_fields[0];

void smmu2_changed(struct smmuv2 *s) {
  s->last.valid = false;
  for (unsigned n = 0; n < s->cfg.numcb; n++)
    s->bank[n].stale = true;
}

// Which bits of an SMR software can set: as many as stream ids have, so that a driver finds the width by writing ones.
static uint32_t smr_bits(const struct smmuv2 *s) {
  if (!s->cfg.sms)
    return 0;
  if (SMMU2_FIELD(s, sCR0, EXIDENABLE))
    return 0xffffffff;
  uint32_t id = (1u << s->cfg.numsidb) - 1;
  return id | id << 16 | (uint32_t)IMS_SMMUV2_BITS(SMR_VALID);
}

static void store_gr0(void *ctx, unsigned reg, uint64_t lanes, uint64_t value) {
  struct smmuv2 *s = ctx;
  if (!ims_regfile_store(&s->gr0, reg, lanes, value))
    return;
  switch (reg) {
  case IMS_SMMUV2_sCR0:
    smmu2_changed(s);
    smmu2_update_wires(s);
    break;
  case IMS_SMMUV2_sGFSR: smmu2_update_wires(s); break;
  case IMS_SMMUV2_sGFSRRESTORE:
    SMMU2_REG(s, sGFSR) |= SMMU2_REG(s, sGFSRRESTORE);
    SMMU2_REG(s, sGFSRRESTORE) = 0;
    smmu2_update_wires(s);
    break;
  case IMS_SMMUV2_TLBIVAH64:
  case IMS_SMMUV2_TLBIVALH64:
    if (!(lanes & 1)) // the upper half alone waits for the lower one
      break;
    __attribute__((fallthrough));
  case IMS_SMMUV2_STLBIALL:
  case IMS_SMMUV2_TLBIVMID:
  case IMS_SMMUV2_TLBIALLNSNH:
  case IMS_SMMUV2_TLBIALLH:
  case IMS_SMMUV2_TLBIVAH:
  case IMS_SMMUV2_TLBIVMIDS1:
    smmu2_tlbi_global(s, reg, s->gr0.reg[reg]);
    s->gr0.reg[reg] = 0;
    break;
  default: break;
  }
}

struct bank_context {
  struct smmuv2 *s;
  struct ims_regfile file; // the common one, over this bank's values
  unsigned bank;
};

static void store_cb(void *ctx, unsigned reg, uint64_t lanes, uint64_t value) {
  struct bank_context *at = ctx;
  struct smmuv2 *s = at->s;
  struct smmu2_bank *b = &s->bank[at->bank];
  if (!ims_regfile_store(&at->file, reg, lanes, value))
    return;
  switch (reg) {
  case IMS_SMMUV2_CB_SCTLR: smmu2_update_wire(s, at->bank); __attribute__((fallthrough));
  case IMS_SMMUV2_CB_TCR:
  case IMS_SMMUV2_CB_TCR2:
  case IMS_SMMUV2_CB_TTBR0:
  case IMS_SMMUV2_CB_TTBR1:
  case IMS_SMMUV2_CB_MAIR0:
  case IMS_SMMUV2_CB_MAIR1: b->stale = true; break;
  case IMS_SMMUV2_CB_RESUME:
    SMMU2_CB(b, RESUME) = 0;
    smmu2_resume(s, at->bank, value & IMS_SMMUV2_BITS(RESUME_TNR));
    break;
  case IMS_SMMUV2_CB_FSR:
    if (!(SMMU2_CB(b, FSR) & SMMU2_FSR_FAULTS)) // the format is that of a fault
      SMMU2_CB(b, FSR) &= ~IMS_SMMUV2_BITS(FSR_FORMAT);
    smmu2_update_wire(s, at->bank);
    break;
  case IMS_SMMUV2_CB_FSRRESTORE:
    SMMU2_CB(b, FSR) = (SMMU2_CB(b, FSR) & IMS_SMMUV2_BITS(FSR_SS)) | SMMU2_CB(b, FSRRESTORE);
    SMMU2_CB(b, FSRRESTORE) = 0;
    smmu2_update_wire(s, at->bank);
    break;
  case IMS_SMMUV2_CB_TLBIVA:
  case IMS_SMMUV2_CB_TLBIVAA:
  case IMS_SMMUV2_CB_TLBIVAL:
  case IMS_SMMUV2_CB_TLBIVAAL:
  case IMS_SMMUV2_CB_TLBIIPAS2:
  case IMS_SMMUV2_CB_TLBIIPAS2L:
    if (!(lanes & 1)) // the upper half alone waits for the lower one
      break;
    __attribute__((fallthrough));
  case IMS_SMMUV2_CB_TLBIASID:
  case IMS_SMMUV2_CB_TLBIALL:
    smmu2_tlbi_bank(s, at->bank, reg, b->reg[reg]);
    b->reg[reg] = 0;
    break;
  default: break;
  }
}

// The element of an array of registers that lies at an offset of GR0 or GR1, its writable bits, or NULL.
static uint32_t *element(struct smmuv2 *s, bool gr1, uint32_t offset, uint64_t *rw) {
  unsigned n = offset / 4 % 256;
  if (gr1) {
    static const int8_t regs[4] = {IMS_SMMUV2_CBAR, IMS_SMMUV2_CBFRSYNRA, IMS_SMMUV2_CBA2R, -1};
    int reg = offset < 0x1000 ? regs[offset / 0x400] : -1;
    if (reg < 0 || n >= s->cfg.numcb)
      return NULL;
    *rw = s->gr1.mask[reg].rw;
    return &s->bank[n].gr1[reg];
  }
  if (offset < IMS_SMMUV2_OFF_SMR || offset >= 0x1000 || n >= s->groups)
    return NULL;
  bool smr = offset < IMS_SMMUV2_OFF_S2CR;
  *rw = smr ? smr_bits(s) : s->gr0.mask[IMS_SMMUV2_S2CR].rw;
  return smr ? &s->smr[n] : &s->s2cr[n];
}

enum page { GR0, GR1, NOTHING, BANK };

// Which page an offset lies in, and where; the bank of a bank's page.
static enum page place(const struct smmuv2 *s, uint32_t *offset, unsigned *bank) {
  uint32_t bytes = s->cfg.pagesize ? 0x10000 : 0x1000, page = *offset / bytes, half = 2u << s->cfg.numpagendxb;
  *offset %= bytes;
  *bank = page - half;
  if (page >= half)
    return page - half < s->cfg.numcb ? BANK : NOTHING;
  return page == 0 ? GR0 : page == 1 ? GR1 : NOTHING;
}

static struct ims_regfile file_of(struct smmuv2 *s, unsigned bank) {
  struct ims_regfile f = s->cb;
  f.reg = s->bank[bank].reg;
  return f;
}

uint64_t smmu2_mmio_read(struct ims_iommu *u, uint32_t offset, unsigned size) {
  struct smmuv2 *s = smmu2_of(u);
  uint32_t at = offset;
  unsigned bank;
  uint64_t rw;
  enum page page = place(s, &at, &bank);
  if (page == BANK) {
    struct ims_regfile file = file_of(s, bank);
    return ims_regfile_read(&file, at, size);
  }
  if (page == GR0 && at < IMS_SMMUV2_OFF_SMR)
    return ims_regfile_read(&s->gr0, at, size);
  if (page == NOTHING)
    return 0;
  if (size == 8)
    return smmu2_mmio_read(u, offset, 4) | smmu2_mmio_read(u, offset + 4, 4) << 32;
  const uint32_t *value = element(s, page == GR1, at, &rw);
  return value ? *value : 0;
}

void smmu2_mmio_write(struct ims_iommu *u, uint32_t offset, unsigned size, uint64_t value) {
  struct smmuv2 *s = smmu2_of(u);
  uint32_t at = offset;
  unsigned bank;
  uint64_t rw;
  enum page page = place(s, &at, &bank);
  if (page == BANK) {
    struct bank_context ctx = {.s = s, .file = file_of(s, bank), .bank = bank};
    ims_regfile_write(&ctx.file, at, size, value, store_cb, &ctx);
  } else if (page == GR0 && at < IMS_SMMUV2_OFF_SMR) {
    ims_regfile_write(&s->gr0, at, size, value, store_gr0, s);
  } else if (page != NOTHING && size == 8) {
    smmu2_mmio_write(u, offset, 4, value & 0xffffffff);
    smmu2_mmio_write(u, offset + 4, 4, value >> 32);
  } else if (page != NOTHING) {
    uint32_t *reg = element(s, page == GR1, at, &rw);
    if (!reg)
      return;
    *reg = (*reg & ~(uint32_t)rw) | (uint32_t)(value & rw);
    s->last.valid = false;
    if (page == GR1)
      s->bank[at / 4 % 256].stale = true;
  }
}
