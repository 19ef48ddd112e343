// SPDX-License-Identifier: Apache-2.0
// The driver's interrupt handlers: fault events (VT-d rev 4.1, 7.3, 11.4.9) and page requests (7.7, 7.11).
#include "uapi/vtd_internal.h"

enum { FRCD_F = 1u << 31 }; // bit 127 of a fault recording register

static void one_fault(struct host_unit *u, uint32_t reg) {
  uint64_t w[2] = {ims_unit_read(u, reg, 8), ims_unit_read(u, reg + 8, 8)};
  struct ims_kernel_fault f = {
      .unit = (uint16_t)u->index,
      .source = (uint16_t)w[1],
      .type = (uint8_t)((w[1] >> 62 & 1) << 1 | (w[1] >> 28 & 1)),
      .at = (uint8_t)(w[1] >> 60 & 3),
      .has_pasid = w[1] >> 31 & 1,
      .exec = w[1] >> 30 & 1,
      .priv = w[1] >> 29 & 1,
      .reason = (uint16_t)(w[1] >> 32 & 0xff),
      .pasid = (uint32_t)(w[1] >> 40 & 0xfffff),
      .addr = w[0] >> 12 << 12,
      .word = {w[0], w[1]},
      .arch = IMS_ARCH_VTD,
      .words = 2,
  };
  ims_fault_logged(u->k, &f);
  if (u->k->cfg.hooks.observe)
    ims_note(u->k, &(struct ims_note){.kind = IMS_NOTE_FAULT,
                                      .unit = f.unit,
                                      .source = f.source,
                                      .what = "fault recording register",
                                      .addr = reg,
                                      .words = 2,
                                      .bytes = 16,
                                      .word = {w[0], w[1]}});
}

void ims_vtdd_fault(struct host_unit *u) {
  uint32_t fsts = (uint32_t)VTD_READ(u, FSTS);
  // Register after register from the oldest on, as long as they are full. New faults may come in behind meanwhile, so
  // the number of rounds is bounded; what is left raises the event again.
  if (fsts & IMS_VTD_BITS(FSTS_PPF)) {
    uint32_t i = (uint32_t)IMS_VTD_GET(fsts, FSTS_FRI) % u->vtd.frcds;
    for (unsigned n = 0; n < 4 * u->vtd.frcds; n++, i = (i + 1) % u->vtd.frcds) {
      uint32_t reg = u->vtd.frcd + i * 16;
      if (!(ims_unit_read(u, reg + 12, 4) & FRCD_F))
        break;
      one_fault(u, reg);
      ims_unit_write(u, "FRCD", reg + 12, 4, FRCD_F);
    }
  }
  if (fsts & IMS_VTD_BITS(FSTS_PFO)) {
    ims_log(u->k, IMS_LOG_WARNING, u, "fault recording overflow: faults were lost");
    VTD_WRITE(u, FSTS, IMS_VTD_BITS(FSTS_PFO));
  }
}

static bool canonical(uint64_t addr) {
  int64_t top = (int64_t)addr >> 56;
  return top == 0 || top == -1;
}

static void one_request(struct host_unit *u, uint64_t hpa) {
  uint64_t w[4];
  if (ims_mem_read(u->k->mem, hpa, w, sizeof w))
    return;
  u->k->count.page_requests++;
  struct page_request r = {
      .addr = w[1] >> 12 << 12,
      .has_pasid = w[0] >> 8 & 1,
      .pasid = (uint32_t)(w[0] >> 32 & 0xfffff),
      .exec = w[0] >> 52 & 1,
      .priv = w[0] >> 53 & 1,
      .read = w[1] & 1,
      .write = w[1] >> 1 & 1,
      .last = w[1] >> 2 & 1,
      .group = (uint16_t)(w[1] >> 3 & 0x1ff),
  };
  uint16_t source = (uint16_t)(w[0] >> 16);
  if (u->k->cfg.hooks.observe)
    ims_note(u->k, &(struct ims_note){.kind = IMS_NOTE_PAGE_REQUEST,
                                      .unit = (uint16_t)u->index,
                                      .source = source,
                                      .what = "page request",
                                      .addr = hpa,
                                      .words = 4,
                                      .bytes = 32,
                                      .word = {w[0], w[1], w[2], w[3]}});
  if (!r.has_pasid)
    r.pasid = 0;
  r.dev = ims_kernel_device(u->k, u->index, source);
  bool stop_marker = r.last && !r.read && !r.write;
  bool bad = !canonical(r.addr) || (r.priv && (r.read || r.write)) || (r.exec && r.read) || !r.dev;
  if (!bad && !stop_marker) {
    ims_iopf_report(u, &r);
    return;
  }
  if (!bad || !r.last)
    return; // no answer is due
  struct ims_device nobody = {.k = u->k, .unit = u, .cfg = {.source = source}};
  ims_vtdd_page_response(&nobody, &r, 1);
}

void ims_vtdd_page_requests(struct host_unit *u) {
  uint64_t size = 4096ull << IMS_VTD_GET(VTD_READ(u, PQA), PQA_PQS);
  if (!u->vtd.prq || u->k->units_gone)
    return;
  // PPR is cleared before the tail is read: a request that comes later raises the event again.
  VTD_WRITE(u, PRS, IMS_VTD_BITS(PRS_PPR));
  uint64_t tail = VTD_READ(u, PQT) & (size - 1), head = VTD_READ(u, PQH) & (size - 1);
  bool any = head != tail;
  for (; head != tail; head = (head + 32) & (size - 1))
    one_request(u, u->vtd.prq + head);
  if (any)
    VTD_WRITE(u, PQH, tail);
  if (VTD_READ(u, PRS) & IMS_VTD_BITS(PRS_PRO)) {
    ims_log(u->k, IMS_LOG_WARNING, u, "page request queue overflow");
    // Only an empty queue lets the unit take requests again. What is left of groups will be asked for anew.
    if ((VTD_READ(u, PQT) & (size - 1)) == (VTD_READ(u, PQH) & (size - 1))) {
      ims_iopf_discard_partial(u);
      VTD_WRITE(u, PRS, IMS_VTD_BITS(PRS_PRO));
    } else {
      u->vtd.prq_irq = u->k->irq_pending = true;
    }
  }
}

bool ims_vtdd_interrupt(struct host_unit *u) {
  bool fault = u->vtd.fault_irq, prq = u->vtd.prq_irq;
  u->vtd.fault_irq = u->vtd.prq_irq = false;
  if (u->k->cfg.hooks.observe && (fault || prq)) {
    struct ims_note n = {.kind = IMS_NOTE_INTERRUPT, .unit = (uint16_t)u->index, .source = ~0u};
    n.what = fault ? "fault event" : "page request event";
    ims_note(u->k, &n);
    if (fault && prq) {
      n.what = "page request event";
      ims_note(u->k, &n);
    }
  }
  if (fault)
    ims_vtdd_fault(u);
  if (prq)
    ims_vtdd_page_requests(u);
  return fault || prq;
}

int ims_vtdd_page_response(struct ims_device *dev, const struct page_request *req, unsigned code) {
  struct vtd_desc d = ims_desc_page_response(dev, req->pasid, req->has_pasid, req->group, code);
  dev->k->count.page_responses++;
  return ims_vtdd_submit(dev->unit, &d, 1, 0);
}
