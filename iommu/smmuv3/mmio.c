// SPDX-License-Identifier: Apache-2.0
// Registers seen from software: access classes come from the field table, what a write sets off stands here.
// Arm IHI 0070, 6.2 and 6.3.
#include "iommu/smmuv3/smmuv3_internal.h"

const struct ims_reg_info ims_smmuv3_regs[IMS_SMMUV3_REG_COUNT] = {IMS_SMMUV3_REGS(IMS_REG_ROW)};

#define IMS_F(reg, ...) IMS_REG_FIELD_ROW(IMS_SMMUV3_##reg, __VA_ARGS__)
const struct ims_reg_field ims_smmuv3_fields[] = {IMS_SMMUV3_FIELDS(IMS_F)};
#undef IMS_F
const unsigned ims_smmuv3_field_count = sizeof ims_smmuv3_fields / sizeof ims_smmuv3_fields[0];

static void reserve(struct smmuv3 *s, enum ims_smmuv3_reg r, uint64_t bits) { s->regs.mask[r].rw &= ~bits; }

// Bits of a register whose feature is missing, and address bits above the output size, are RES0.
void smmu_mmio_restrict(struct smmuv3 *s) {
  static const uint8_t addresses[] = {
      IMS_SMMUV3_GERROR_IRQ_CFG0, IMS_SMMUV3_EVENTQ_IRQ_CFG0, IMS_SMMUV3_PRIQ_IRQ_CFG0, IMS_SMMUV3_STRTAB_BASE,
      IMS_SMMUV3_CMDQ_BASE,       IMS_SMMUV3_EVENTQ_BASE,     IMS_SMMUV3_PRIQ_BASE,
  };
  for (unsigned i = 0; i < sizeof addresses; i++)
    reserve(s, addresses[i], IMS_REG_BITS(55, s->oas));
  const struct ims_smmuv3_config *c = &s->cfg;
  if (!c->vmw)
    reserve(s, IMS_SMMUV3_CR0, IMS_SMMUV3_BITS(CR0_VMW));
  if (!c->ats)
    reserve(s, IMS_SMMUV3_CR0, IMS_SMMUV3_BITS(CR0_ATSCHK));
  if (!c->hyp)
    reserve(s, IMS_SMMUV3_CR2, IMS_SMMUV3_BITS(CR2_E2H));
  if (!c->btm)
    reserve(s, IMS_SMMUV3_CR2, IMS_SMMUV3_BITS(CR2_PTM));
  if (!c->atsrecerr)
    reserve(s, IMS_SMMUV3_CR2, IMS_SMMUV3_BITS(CR2_REC_CFG_ATS));
  if (!c->st_level)
    reserve(s, IMS_SMMUV3_STRTAB_BASE_CFG,
            IMS_SMMUV3_BITS(STRTAB_BASE_CFG_FMT) | IMS_SMMUV3_BITS(STRTAB_BASE_CFG_SPLIT));
  if (!c->pri) {
    reserve(s, IMS_SMMUV3_CR0, IMS_SMMUV3_BITS(CR0_PRIQEN));
    reserve(s, IMS_SMMUV3_IRQ_CTRL, IMS_SMMUV3_BITS(IRQ_CTRL_PRIQ_IRQEN));
    reserve(s, IMS_SMMUV3_GERRORN, IMS_SMMUV3_BITS(GERRORN_PRIQ_ABT) | IMS_SMMUV3_BITS(GERRORN_MSI_PRIQ_ABT));
  }
  if (!c->msi)
    reserve(s, IMS_SMMUV3_GERRORN,
            IMS_SMMUV3_BITS(GERRORN_MSI_CMDQ_ABT) | IMS_SMMUV3_BITS(GERRORN_MSI_EVENTQ_ABT) |
                IMS_SMMUV3_BITS(GERRORN_MSI_PRIQ_ABT) | IMS_SMMUV3_BITS(GERRORN_MSI_GERROR_ABT));
}

// Bits that are read-only now, because a field by which they are guarded is set. Until SMMUv3.2 such a write was
// unpredictable; ignoring it was allowed then and is the rule since.
static uint64_t guarded(const struct smmuv3 *s, enum ims_smmuv3_reg r) {
  const uint64_t smmuen = IMS_SMMUV3_BITS(CR0_SMMUEN), cmdqen = IMS_SMMUV3_BITS(CR0_CMDQEN),
                 eventqen = IMS_SMMUV3_BITS(CR0_EVENTQEN), priqen = IMS_SMMUV3_BITS(CR0_PRIQEN);
  const uint64_t cr0 = SMMU_REG(s, CR0ACK), irq = SMMU_REG(s, IRQ_CTRLACK);
  bool locked = false;
  switch (r) {
  case IMS_SMMUV3_CR1:
    return (cr0 & smmuen ? IMS_SMMUV3_BITS(CR1_TABLE_IC) | IMS_SMMUV3_BITS(CR1_TABLE_OC) | IMS_SMMUV3_BITS(CR1_TABLE_SH)
                         : 0) |
           (cr0 & (cmdqen | eventqen | priqen)
                ? IMS_SMMUV3_BITS(CR1_QUEUE_IC) | IMS_SMMUV3_BITS(CR1_QUEUE_OC) | IMS_SMMUV3_BITS(CR1_QUEUE_SH)
                : 0);
  case IMS_SMMUV3_CR2:
  case IMS_SMMUV3_STRTAB_BASE:
  case IMS_SMMUV3_STRTAB_BASE_CFG: locked = cr0 & smmuen; break;
  case IMS_SMMUV3_CMDQ_BASE:
  case IMS_SMMUV3_CMDQ_CONS: locked = cr0 & cmdqen; break;
  case IMS_SMMUV3_EVENTQ_BASE:
  case IMS_SMMUV3_EVENTQ_PROD: locked = cr0 & eventqen; break;
  case IMS_SMMUV3_PRIQ_BASE:
  case IMS_SMMUV3_PRIQ_PROD: locked = cr0 & priqen; break;
  case IMS_SMMUV3_GERROR_IRQ_CFG0:
  case IMS_SMMUV3_GERROR_IRQ_CFG1:
  case IMS_SMMUV3_GERROR_IRQ_CFG2: locked = irq & IMS_SMMUV3_BITS(IRQ_CTRL_GERROR_IRQEN); break;
  case IMS_SMMUV3_EVENTQ_IRQ_CFG0:
  case IMS_SMMUV3_EVENTQ_IRQ_CFG1:
  case IMS_SMMUV3_EVENTQ_IRQ_CFG2: locked = irq & IMS_SMMUV3_BITS(IRQ_CTRL_EVENTQ_IRQEN); break;
  case IMS_SMMUV3_PRIQ_IRQ_CFG0:
  case IMS_SMMUV3_PRIQ_IRQ_CFG1:
  case IMS_SMMUV3_PRIQ_IRQ_CFG2: locked = irq & IMS_SMMUV3_BITS(IRQ_CTRL_PRIQ_IRQEN); break;
  default: break;
  }
  return locked ? ~0ull : 0;
}

// An index that the hardware owns reads zero above its wrap bit; a smaller queue truncates it.
static void trim(struct smmuv3 *s, enum ims_smmuv3_reg base, enum ims_smmuv3_reg index, unsigned cap) {
  uint64_t keep = smmu_queue_mask(smmu_queue_log2(s->regs.reg[base], cap));
  s->regs.reg[index] &= ~IMS_SMMUV3_BITS(CMDQ_CONS_RD) | keep;
}

// 6.3.9: each field is in force at once. Caches stay as they are.
static void control(struct smmuv3 *s) {
  uint64_t was = SMMU_REG(s, CR0ACK), now = SMMU_REG(s, CR0), rises = now & ~was;
  SMMU_REG(s, CR0ACK) = now;
  if (was & ~now & IMS_SMMUV3_BITS(CR0_SMMUEN))
    smmu_stall_end_all(s);
  if (rises & IMS_SMMUV3_BITS(CR0_EVENTQEN))
    smmu_eventq_drain(s);
  if (rises & IMS_SMMUV3_BITS(CR0_CMDQEN))
    smmu_cmdq_run(s);
}

// One register, or the half of one that `lanes` covers.
static void store(void *ctx, unsigned r, uint64_t lanes, uint64_t value) {
  struct smmuv3 *s = ctx;
  if (r == IMS_SMMUV3_GBPA && !(value & IMS_SMMUV3_BITS(GBPA_UPDATE)))
    return; // 6.3.14.1; an update is complete when the write is
  if (!ims_regfile_store(&s->regs, r, lanes & ~guarded(s, r), value))
    return;
  switch (r) {
  case IMS_SMMUV3_CR0: control(s); break;
  case IMS_SMMUV3_IRQ_CTRL: SMMU_REG(s, IRQ_CTRLACK) = SMMU_REG(s, IRQ_CTRL); break;
  case IMS_SMMUV3_GERRORN: // what stood still because of an error goes on
    smmu_eventq_drain(s);
    smmu_cmdq_run(s);
    break;
  case IMS_SMMUV3_CMDQ_BASE:
  case IMS_SMMUV3_CMDQ_CONS: trim(s, IMS_SMMUV3_CMDQ_BASE, IMS_SMMUV3_CMDQ_CONS, s->cfg.cmdqs); break;
  case IMS_SMMUV3_CMDQ_PROD: smmu_cmdq_run(s); break;
  case IMS_SMMUV3_EVENTQ_BASE:
  case IMS_SMMUV3_EVENTQ_PROD: trim(s, IMS_SMMUV3_EVENTQ_BASE, IMS_SMMUV3_EVENTQ_PROD, s->cfg.eventqs); break;
  case IMS_SMMUV3_EVENTQ_CONS: smmu_eventq_drain(s); break;
  case IMS_SMMUV3_PRIQ_BASE:
  case IMS_SMMUV3_PRIQ_PROD: trim(s, IMS_SMMUV3_PRIQ_BASE, IMS_SMMUV3_PRIQ_PROD, s->cfg.priqs); break;
  default: break;
  }
}

// 6.2 leaves open: whether page 1 and page 0 alias each other (here they do not: both read 0 and ignore writes where they
// have no register of their own), accesses of other sizes or unaligned ones (read 0, ignored), and 64-bit accesses to two
// 32-bit registers (as two accesses, the lower first).
void smmu_mmio_write(struct ims_iommu *u, uint32_t offset, unsigned size, uint64_t value) {
  struct smmuv3 *s = smmu_of(u);
  ims_regfile_write(&s->regs, offset, size, value, store, s);
}

uint64_t smmu_mmio_read(struct ims_iommu *u, uint32_t offset, unsigned size) {
  return ims_regfile_read(&smmu_of(u)->regs, offset, size);
}
