// SPDX-License-Identifier: Apache-2.0
// Fault recording and the three events. VT-d rev 4.1, 7.2 (primary fault logging), 7.3 (fault events), 11.4.9 to 11.4.14.
#include "iommu/vtd/vtd_internal.h"

static const struct ims_vtd_fault_info faults[] = {
#define QUALIFIED true
#define ALWAYS    false
#define IMS_X(code_, name_, qualified_, ats_, sentence_)                                                               \
  {.code = (code_), .name = #name_, .qualified = qualified_, .ats = IMS_CPL_##ats_, .sentence = (sentence_)},
    IMS_VTD_FAULTS(IMS_X)
#undef IMS_X
};

const struct ims_vtd_fault_info *ims_vtd_faults(unsigned i) {
  return i < sizeof faults / sizeof faults[0] ? &faults[i] : NULL;
}

const struct ims_vtd_fault_info *ims_vtd_fault_find(unsigned code) {
  for (unsigned i = 0; i < sizeof faults / sizeof faults[0]; i++)
    if (faults[i].code == code)
      return &faults[i];
  return NULL;
}

// The fault recording register (11.4.14). Type {T1, T2}: 00 write, 01 page request, 10 read, 11 atomic. RID_PASID is not
// reported: PP tells whether the request itself had a PASID.
void vtd_fault_words(uint64_t record[2], const struct ims_request *req, unsigned reason) {
  bool read = req->access & IMS_ACC_R || !(req->access & IMS_ACC_W), write = req->access & IMS_ACC_W;
  bool page = req->type == IMS_PAGE_REQUEST;
  bool t1 = !page && read, t2 = page || (read && write);
  record[0] = req->iova >> 12 << 12;
  record[1] = (req->source & 0xffffull) | (uint64_t)t2 << 28 | (uint64_t)reason << 32 |
              (uint64_t)(req->type == IMS_TRANSLATION_REQUEST ? 1
                         : req->type == IMS_TRANSLATED        ? 2
                                                              : 0)
                  << 60 |
              (uint64_t)t1 << 62 | 1ull << 63;
  if (req->has_pasid)
    record[1] |= (uint64_t)(req->access & IMS_ACC_PRIV ? 1 : 0) << 29 |
                 (uint64_t)(req->access & IMS_ACC_X ? 1 : 0) << 30 | 1ull << 31 |
                 (uint64_t)(req->pasid & 0xfffff) << 40;
}

// Each event has four registers in a row: control, data, address, upper address.
void vtd_event(struct vtd *v, enum ims_vtd_reg ctl) {
  v->reg[ctl] |= IMS_VTD_BITS(FECTL_IP);
  vtd_event_unmasked(v, ctl);
}

void vtd_event_unmasked(struct vtd *v, enum ims_vtd_reg ctl) {
  if (!(v->reg[ctl] & IMS_VTD_BITS(FECTL_IP)) || (v->reg[ctl] & IMS_VTD_BITS(FECTL_IM)))
    return;
  v->reg[ctl] &= ~IMS_VTD_BITS(FECTL_IP);
  uint64_t addr = v->reg[ctl + 2] | (v->cfg.eim ? v->reg[ctl + 3] << 32 : 0);
  if (v->base.bus.message)
    v->base.bus.message(v->base.bus.ctx, addr, (uint32_t)v->reg[ctl + 1]);
}

#define FSTS_EVENTS                                                                                                    \
  (IMS_VTD_BITS(FSTS_PPF) | IMS_VTD_BITS(FSTS_PFO) | IMS_VTD_BITS(FSTS_IQE) | IMS_VTD_BITS(FSTS_ICE) |                 \
   IMS_VTD_BITS(FSTS_ITE))

void vtd_fault_status(struct vtd *v, uint64_t bits) {
  bool pending = v->reg[IMS_VTD_FSTS] & FSTS_EVENTS;
  v->reg[IMS_VTD_FSTS] |= bits;
  if (!pending && (bits & FSTS_EVENTS))
    vtd_event(v, IMS_VTD_FECTL);
}

void vtd_fault_acknowledged(struct vtd *v) {
  bool any = false;
  for (unsigned i = 0; i <= v->cfg.nfr; i++)
    any |= v->frcd[i][1] >> 63;
  if (!any)
    v->reg[IMS_VTD_FSTS] &= ~IMS_VTD_BITS(FSTS_PPF);
  if (!(v->reg[IMS_VTD_FSTS] & FSTS_EVENTS))
    v->reg[IMS_VTD_FECTL] &= ~IMS_VTD_BITS(FECTL_IP);
}

static bool compressed(const struct vtd *v, const uint64_t record[2]) {
  if (!v->cfg.fault_compression)
    return false;
  for (unsigned i = 0; i <= v->cfg.nfr; i++)
    if (v->frcd[i][1] >> 63 && (v->frcd[i][1] & 0xffff) == (record[1] & 0xffff))
      return true;
  return false;
}

void vtd_fault_log(struct vtd *v, const uint64_t record[2]) {
  if ((v->reg[IMS_VTD_FSTS] & IMS_VTD_BITS(FSTS_PFO)) || compressed(v, record))
    return;
  uint32_t i = v->next_frcd;
  if (v->frcd[i][1] >> 63) {
    vtd_fault_status(v, IMS_VTD_BITS(FSTS_PFO));
    return;
  }
  v->frcd[i][0] = record[0];
  v->frcd[i][1] = record[1] | 1ull << 63;
  v->next_frcd = i == v->cfg.nfr ? 0 : i + 1;
  if (!(v->reg[IMS_VTD_FSTS] & IMS_VTD_BITS(FSTS_PPF))) {
    v->reg[IMS_VTD_FSTS] = (v->reg[IMS_VTD_FSTS] & ~IMS_VTD_BITS(FSTS_FRI)) | IMS_VTD_PUT(FSTS_FRI, i);
    vtd_fault_status(v, IMS_VTD_BITS(FSTS_PPF));
  }
}
