// SPDX-License-Identifier: Apache-2.0
// Page requests into the PRI queue: Arm IHI 0070 chapter 8, 3.9.
#include "iommu/smmuv3/smmuv3_internal.h"

enum { RESPONSE_SUCCESS = 0, RESPONSE_FAILURE = 15 };

static void respond(const struct smmuv3 *s, const struct ims_page_request *r, bool pasid, uint8_t code) {
  struct ims_page_response resp = {
      .source = r->source, .pasid = pasid ? r->pasid : 0, .has_pasid = pasid, .group = r->group, .code = code};
  if (s->base.bus.page_response)
    s->base.bus.page_response(s->base.bus.ctx, &resp);
}

static bool in_overflow(const struct smmuv3 *s) {
  return SMMU_FIELD(s, PRIQ_PROD, OVFLG) != SMMU_FIELD(s, PRIQ_CONS, OVACKFLG);
}

static void interrupt(struct smmuv3 *s) {
  smmu_interrupt(s, IMS_SMMUV3_PRIQ_IRQ_CFG0, IMS_SMMUV3_BITS(IRQ_CTRL_PRIQ_IRQEN),
                 IMS_SMMUV3_BITS(GERROR_MSI_PRIQ_ABT));
}

// What is answered to the last request of a group that the queue lost (8.1). Whether the answer has a PASID, the STE
// says where the SMMU itself does not always give it.
static void auto_respond(struct smmuv3 *s, const struct ims_page_request *r, bool pasid) {
  if (!pasid || s->cfg.pps) {
    respond(s, r, pasid, RESPONSE_SUCCESS);
    return;
  }
  struct smmu_ste ste;
  if (!smmu_find_ste(s, r->source, &ste)) {
    respond(s, r, ste.ppar, RESPONSE_SUCCESS);
    return;
  }
  if (s->cfg.atsrecerr && SMMU_FIELD(s, CR2, REC_CFG_ATS)) { // the same look-up, recorded
    struct ims_request req = {.iova = r->addr,
                              .source = r->source,
                              .pasid = r->pasid,
                              .has_pasid = true,
                              .access = IMS_ACC_R,
                              .type = IMS_PAGE_REQUEST};
    struct ims_result res;
    ims_translate(&s->base, &req, &res);
  }
  respond(s, r, false, RESPONSE_FAILURE);
}

// False: the write aborted.
static bool write_entry(struct smmuv3 *s, unsigned log2, const struct ims_page_request *r, bool pasid) {
  uint64_t entry[2] = {r->source | (uint64_t)(pasid ? r->pasid & 0xfffff : 0) << 32 |
                           (uint64_t)(pasid && r->priv) << 58 | (uint64_t)(pasid && r->exec) << 59 |
                           (uint64_t)r->read << 60 | (uint64_t)r->write << 61 | (uint64_t)r->last << 62 |
                           (uint64_t)pasid << 63,
                       (r->group & 0x1ffu) | r->addr >> 12 << 12};
  uint64_t index = SMMU_REG(s, PRIQ_PROD) & ((1u << log2) - 1);
  return ims_mem_write(s->base.mem, smmu_queue_base(SMMU_REG(s, PRIQ_BASE), log2, sizeof entry) + index * sizeof entry,
                       entry, sizeof entry) == IMS_ERR_OK;
}

bool smmu_page_request(struct ims_iommu *u, const struct ims_page_request *r) {
  struct smmuv3 *s = smmu_of(u);
  bool pasid = r->has_pasid && s->cfg.ssidsize;
  bool stop_marker = pasid && r->last && !r->read && !r->write; // has no answer (8.2)
  bool aborted = (SMMU_REG(s, GERROR) ^ SMMU_REG(s, GERRORN)) & IMS_SMMUV3_BITS(GERROR_PRIQ_ABT);
  if (!s->cfg.pri || !SMMU_FIELD(s, CR0, SMMUEN) || !SMMU_FIELD(s, CR0, PRIQEN) || aborted) {
    if (!stop_marker)
      respond(s, r, false, RESPONSE_FAILURE); // 8.2: every request, also within a group
    return false;
  }
  unsigned log2 = smmu_queue_log2(SMMU_REG(s, PRIQ_BASE), s->cfg.priqs);
  uint32_t used = smmu_queue_used(SMMU_REG(s, PRIQ_PROD), SMMU_REG(s, PRIQ_CONS), log2);
  bool lo = SMMU_FIELD(s, PRIQ_IRQ_CFG2, LO);
  if (in_overflow(s) || used >> log2) {
    if (!in_overflow(s))
      SMMU_REG(s, PRIQ_PROD) ^= IMS_SMMUV3_BITS(PRIQ_PROD_OVFLG);
    if (lo && r->last) // 6.3.36: also of one that overflow discards
      interrupt(s);
    if (r->last && !stop_marker)
      auto_respond(s, r, pasid);
    return false;
  }
  if (!write_entry(s, log2, r, pasid)) {
    smmu_gerror(s, IMS_SMMUV3_BITS(GERROR_PRIQ_ABT));
    if (!stop_marker)
      respond(s, r, false, RESPONSE_FAILURE);
    return false;
  }
  uint64_t next = (SMMU_REG(s, PRIQ_PROD) + 1) & smmu_queue_mask(log2);
  SMMU_REG(s, PRIQ_PROD) = (SMMU_REG(s, PRIQ_PROD) & ~IMS_SMMUV3_BITS(PRIQ_PROD_WR)) | next;
  if (lo ? r->last : !used)
    interrupt(s);
  return true;
}
