// SPDX-License-Identifier: Apache-2.0
// Fault registers, stalls and interrupts. Arm IHI 0062, global faults and context faults; decisions in docs/smmuv2.md.
#include "iommu/smmuv2/smmuv2_internal.h"

static const struct ims_smmuv2_fault_info faults[] = {
#define CONTEXT                              false
#define GLOBAL_FAULT                         true
#define IMS_X(code_, name_, kind, sentence_) {.code = (code_), .name = #name_, .global = kind, .sentence = (sentence_)},
    IMS_SMMUV2_FAULTS(IMS_X)
#undef IMS_X
};

const struct ims_smmuv2_fault_info *ims_smmuv2_faults(unsigned i) {
  return i < sizeof faults / sizeof faults[0] ? &faults[i] : NULL;
}

const struct ims_smmuv2_fault_info *ims_smmuv2_fault_find(unsigned code) {
  for (unsigned i = 0; i < sizeof faults / sizeof faults[0]; i++)
    if (faults[i].code == code)
      return &faults[i];
  return NULL;
}

// Wires are levels; the machine is told when one rises.
static void update(struct smmuv2 *s, bool *wire, bool level, unsigned number) {
  bool rises = level && !*wire;
  *wire = level;
  if (rises && s->base.bus.message)
    s->base.bus.message(s->base.bus.ctx, IMS_SMMUV2_WIRES, number);
}

void smmu2_update_wires(struct smmuv2 *s) {
  update(s, &s->wire, (SMMU2_REG(s, sGFSR) & SMMU2_GFSR_FAULTS) && SMMU2_FIELD(s, sCR0, GFIE), 0);
}

void smmu2_update_wire(struct smmuv2 *s, unsigned bank) {
  struct smmu2_bank *b = &s->bank[bank];
  unsigned n = bank < s->cfg.numirpt ? bank : s->cfg.numirpt - 1;
  update(s, &b->wire, (SMMU2_CB(b, FSR) & SMMU2_FSR_FAULTS) && SMMU2_CB_FIELD(b, SCTLR, CFIE), 1 + n);
}

static void note_global(struct smmuv2 *s, struct ims_result *res) {
  res->completion = SMMU2_FIELD(s, sCR0, GFRE) ? IMS_CPL_UR : IMS_CPL_ZERO;
  if (SMMU2_REG(s, sGFSR) & SMMU2_GFSR_FAULTS) { // the first fault stays
    SMMU2_REG(s, sGFSR) |= IMS_SMMUV2_BITS(sGFSR_MULTI);
    res->recorded = false;
    return;
  }
  SMMU2_REG(s, sGFSR) |= res->record[0] & 0xffffffff;
  SMMU2_REG(s, sGFSYNR0) = res->record[0] >> 32;
  SMMU2_REG(s, sGFAR) = res->record[1];
  SMMU2_REG(s, sGFSYNR1) = res->record[3] & 0xffffffff;
  SMMU2_REG(s, sGFSYNR2) = res->record[3] >> 32;
  smmu2_update_wires(s);
}

bool smmu2_wait(struct smmuv2 *s, unsigned bank, uint32_t source, bool held, uint16_t *stag) {
  if (s->waiters == s->cfg.waiting)
    return false;
  *stag = (uint16_t)s->waits; // a name that none of those who wait has: there are at most 4096 of them, in order
  s->waiting[s->waiters++] =
      (struct smmu2_waiting){.source = source, .stag = *stag, .bank = (uint8_t)bank, .held = held, .when = s->waits++};
  return true;
}

void smmu2_fault(struct smmuv2 *s, const struct ims_request *req, struct ims_result *res,
                 const struct smmu2_flight *f) {
  if (f->bank == SMMU2_NO_BANK) {
    note_global(s, res);
    return;
  }
  struct smmu2_bank *b = &s->bank[f->bank];
  res->completion = SMMU2_CB_FIELD(b, SCTLR, CFRE) ? IMS_CPL_UR : IMS_CPL_ZERO;

  // A bank holds one stalled fault; a fault that meets another waits like it, and is translated anew afterwards. What
  // could not be read is not stalled.
  bool first = !(SMMU2_CB(b, FSR) & IMS_SMMUV2_BITS(FSR_SS));
  if (SMMU2_CB_FIELD(b, SCTLR, CFCFG) && !SMMU2_FIELD(s, sCR0, STALLD) && res->fault != IMS_SMMUV2_EF &&
      smmu2_wait(s, (unsigned)f->bank, req->source, first, &res->stag)) {
    res->status = IMS_STATUS_STALL;
    res->completion = IMS_CPL_SUCCESS; // not completed yet
    if (first) {
      res->record[0] |= IMS_SMMUV2_BITS(FSR_SS);
      SMMU2_CB(b, FSR) |= IMS_SMMUV2_BITS(FSR_SS);
    }
  }
  if (SMMU2_CB(b, FSR) & SMMU2_FSR_FAULTS) { // the first fault stays
    SMMU2_CB(b, FSR) |= IMS_SMMUV2_BITS(FSR_MULTI);
    res->recorded = false;
    return;
  }
  SMMU2_CB(b, FSR) |= res->record[0] & 0xffffffff;
  SMMU2_CB(b, FSYNR0) = res->record[0] >> 32;
  SMMU2_CB(b, FAR) = res->record[1];
  SMMU2_CB(b, IPAFAR) = res->record[2];
  SMMU2_CB(b, FSYNR1) = res->record[3] & 0xffffffff;
  b->gr1[IMS_SMMUV2_CBFRSYNRA] = (uint32_t)(res->record[3] >> 32);
  smmu2_update_wire(s, (unsigned)f->bank);
}

// Takes the oldest that waits on a bank and began to before `before`.
static bool take(struct smmuv2 *s, unsigned bank, uint64_t before, struct smmu2_waiting *out) {
  for (unsigned i = 0; i < s->waiters && s->waiting[i].when < before; i++) {
    if (s->waiting[i].bank != bank)
      continue;
    *out = s->waiting[i];
    s->waiters--;
    memmove(&s->waiting[i], &s->waiting[i + 1], (s->waiters - i) * sizeof *s->waiting);
    return true;
  }
  return false;
}

// The held request is retried or terminated; all others that wait on the bank are translated anew, in their order. What a
// device does at once may fault and wait again: that is not part of this resumption.
void smmu2_resume(struct smmuv2 *s, unsigned bank, bool terminate) {
  struct smmu2_bank *b = &s->bank[bank];
  if (!(SMMU2_CB(b, FSR) & IMS_SMMUV2_BITS(FSR_SS)))
    return;
  SMMU2_CB(b, FSR) &= ~IMS_SMMUV2_BITS(FSR_SS);
  uint8_t end = SMMU2_CB_FIELD(b, SCTLR, CFRE) ? IMS_RESUME_ABORT : IMS_RESUME_ZERO;
  uint64_t before = s->waits;
  struct smmu2_waiting w;
  while (take(s, bank, before, &w)) {
    struct ims_resume r = {
        .source = w.source, .stag = w.stag, .action = w.held && terminate ? end : (uint8_t)IMS_RESUME_RETRY};
    if (s->base.bus.resume)
      s->base.bus.resume(s->base.bus.ctx, &r);
  }
}

bool ims_smmuv2_stalled_at(const struct ims_iommu *u, unsigned i, struct ims_smmuv2_stalled *out) {
  const struct smmuv2 *s = (const struct smmuv2 *)u;
  if (i >= s->waiters)
    return false;
  const struct smmu2_waiting *w = &s->waiting[i];
  *out = (struct ims_smmuv2_stalled){.source = w->source, .stag = w->stag, .bank = w->bank, .held = w->held};
  return true;
}

void ims_smmuv2_forget_faults(struct ims_iommu *u) {
  static const uint8_t global[] = {IMS_SMMUV2_sGFAR, IMS_SMMUV2_sGFSR, IMS_SMMUV2_sGFSYNR0, IMS_SMMUV2_sGFSYNR1,
                                   IMS_SMMUV2_sGFSYNR2};
  static const uint8_t own[] = {IMS_SMMUV2_CB_FSR, IMS_SMMUV2_CB_FAR, IMS_SMMUV2_CB_FSYNR0, IMS_SMMUV2_CB_FSYNR1,
                                IMS_SMMUV2_CB_IPAFAR};
  struct smmuv2 *s = smmu2_of(u);
  for (unsigned i = 0; i < sizeof global; i++)
    s->gr0.reg[global[i]] = 0;
  s->wire = false;
  for (unsigned n = 0; n < s->cfg.numcb; n++) {
    for (unsigned i = 0; i < sizeof own; i++)
      s->bank[n].reg[own[i]] = 0;
    s->bank[n].gr1[IMS_SMMUV2_CBFRSYNRA] = 0;
    s->bank[n].wire = false;
  }
  s->waiters = 0;
}
