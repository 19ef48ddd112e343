// SPDX-License-Identifier: Apache-2.0
// Faults as the registers of a context bank and the global ones hold them, one at a time; a stalled one is a page request of
// the guest whose stage 1 the bank is, else it ends. Arm IHI 0062; Linux 7.x reads FSR, FAR, FSYNR0 and CBFRSYNRA, clears FSR,
// then writes RESUME. Facts: smmuv2.md 6.
#include "uapi/smmuv2_internal.h"

enum { RESUME_RETRY = 0, RESUME_TERMINATE = 1, INVALID = 1 };

static struct ims_device *device_of(const struct host_unit *u, uint16_t source) {
  return ims_kernel_device(u->k, u->index, source);
}

static void show(struct host_unit *u, const char *what, uint32_t at, const uint64_t word[4], uint32_t source) {
  if (u->k->cfg.hooks.observe)
    ims_note(u->k, &(struct ims_note){.kind = IMS_NOTE_FAULT,
                                      .arch = IMS_ARCH_SMMUV2,
                                      .unit = (uint16_t)u->index,
                                      .source = source,
                                      .what = what,
                                      .addr = at,
                                      .words = 4,
                                      .bytes = 32,
                                      .word = {word[0], word[1], word[2], word[3]}});
}

static void global_fault(struct host_unit *u) {
  uint32_t gfsr = (uint32_t)V2_READ(u, sGFSR), synr0 = (uint32_t)V2_READ(u, sGFSYNR0);
  const uint32_t causes = gfsr & 0x1ff;
  if (!causes)
    return;
  const uint64_t word[4] = {gfsr, V2_READ(u, sGFAR), synr0, 0};
  struct ims_kernel_fault f = {
      .unit = (uint16_t)u->index,
      .source = (uint16_t)IMS_SMMUV2_GET(V2_READ(u, sGFSYNR1), sGFSYNR1_STREAMID),
      .type = IMS_SMMUV2_GET(synr0, sGFSYNR0_WNR) ? 0 : 2,
      .exec = IMS_SMMUV2_GET(synr0, sGFSYNR0_IND),
      .priv = IMS_SMMUV2_GET(synr0, sGFSYNR0_PNU),
      .reason = (uint16_t)(IMS_SMMUV2_GLOBAL + __builtin_ctz(causes)),
      .addr = word[1],
      .word = {word[0], word[1], word[2], word[3]},
      .arch = IMS_ARCH_SMMUV2,
      .words = 4,
  };
  show(u, "global fault", IMS_SMMUV2_OFF_sGFSR, word, f.source);
  ims_fault_logged(u->k, &f);
  V2_WRITE(u, sGFSR, gfsr);
}

// Facts 1.4: reasons of struct iommu_fault_unrecoverable.
static uint8_t guest_reason(unsigned fault) {
  enum { WALK_EABT = 4, PTE_FETCH, PERMISSION, ACCESS, OOR_ADDRESS };
  switch (fault) {
  case IMS_SMMUV2_TF: return PTE_FETCH;
  case IMS_SMMUV2_AFF: return ACCESS;
  case IMS_SMMUV2_PF: return PERMISSION;
  case IMS_SMMUV2_EF: return WALK_EABT;
  case IMS_SMMUV2_ASF: return OOR_ADDRESS;
  default: return 0;
  }
}

static bool context_fault(struct host_unit *u, unsigned n) {
  const struct smmuv2_bank *b = &u->smmuv2.bank[n];
  uint32_t fsr = (uint32_t)V2_CB_READ(u, FSR, n), causes = fsr & 0x1fe;
  if (!causes)
    return false;
  uint32_t synr0 = (uint32_t)V2_CB_READ(u, FSYNR0, n);
  bool s2 = !b->guest && b->d && !b->d->paging->s1;
  const uint64_t word[4] = {fsr, V2_CB_READ(u, FAR, n), synr0, s2 ? V2_CB_READ(u, IPAFAR, n) : 0};
  struct ims_kernel_fault f = {
      .unit = (uint16_t)u->index,
      .source = (uint16_t)ims_unit_read(u, V2_ATTR_AT(u, CBFRSYNRA, n), 4),
      .type = IMS_SMMUV2_GET(synr0, FSYNR0_WNR) ? 0 : 2,
      .exec = IMS_SMMUV2_GET(synr0, FSYNR0_IND),
      .priv = IMS_SMMUV2_GET(synr0, FSYNR0_PNU),
      .reason = (uint16_t)__builtin_ctz(causes),
      .addr = word[1],
      .word = {word[0], word[1], word[2], word[3]},
      .arch = IMS_ARCH_SMMUV2,
      .words = 4,
      .s2 = s2,
      .ipa = word[3],
  };
  show(u, "context fault", V2_CB_AT(u, FSR, n), word, f.source);
  struct ims_device *dev = device_of(u, f.source);
  bool stall = IMS_SMMUV2_GET(fsr, FSR_SS), guest = b->guest && b->guest == dev && dev->guest;
  struct page_request req = {.dev = dev,
                             .addr = f.addr,
                             .last = true,
                             .read = f.type == 2 && !f.exec,
                             .write = f.type != 2,
                             .exec = f.exec,
                             .priv = f.priv,
                             .stall = true,
                             .group = (uint16_t)n};
  V2_CB(u, FSR, n, fsr);
  if (stall && guest) {
    u->k->count.page_requests++;
    ims_iopf_report(u, &req);
    return true;
  }
  if (stall)
    V2_CB(u, RESUME, n, RESUME_TERMINATE);
  if (guest && guest_reason(f.reason))
    ims_vmm_fault_unrecoverable(dev->guest->container,
                                &(struct vmm_fault){.req = req, .reason = guest_reason(f.reason), .has_addr = true});
  else
    ims_fault_logged(u->k, &f);
  return true;
}

void ims_v2_faults(struct host_unit *u) {
  if (u->k->units_gone)
    return;
  global_fault(u);
  for (unsigned n = 0; n < u->smmuv2.caps.numcb; n++)
    if (u->smmuv2.bank[n].d)
      context_fault(u, n);
}

bool ims_v2_interrupt(struct host_unit *u) {
  if (!u->smmuv2.irq)
    return false;
  u->smmuv2.irq = false;
  if (u->k->cfg.hooks.observe)
    ims_note(u->k, &(struct ims_note){.kind = IMS_NOTE_INTERRUPT,
                                      .arch = IMS_ARCH_SMMUV2,
                                      .unit = (uint16_t)u->index,
                                      .source = ~0u,
                                      .what = "fault"});
  ims_v2_faults(u);
  return true;
}

// There are no page requests but stalls; the group is the bank.
int ims_v2_page_response(struct ims_device *dev, const struct page_request *req, unsigned code) {
  struct host_unit *u = dev->unit;
  if (!req->stall || req->group >= u->smmuv2.caps.numcb || u->k->units_gone)
    return -EINVAL;
  dev->k->count.page_responses++;
  V2_CB(u, RESUME, req->group, code == 0 ? RESUME_RETRY : RESUME_TERMINATE);
  return 0;
}
