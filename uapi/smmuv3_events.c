// SPDX-License-Identifier: Apache-2.0
// The driver's interrupt handlers: event queue (Arm IHI 0070, 7.2, 7.3), page request queue (chapter 8), global errors (7.5);
// answers to page requests and stalls (4.5.2, 4.7.1).
#include "uapi/smmuv3_internal.h"

enum { EVENT_BYTES = 32, PRI_BYTES = 16, INVALID = 1 };

#define EVENT(r, name) ims_smmuv3_event_get(r, IMS_SMMUV3_EVENT_##name##_FIELD)

static bool has(const struct ims_smmuv3_event_info *info, enum ims_smmuv3_event_field f) {
  return info && info->fields >> f & 1;
}

// Whether a guest hears of it: its own stage, that is. Facts 1.4: reasons of struct iommu_fault_unrecoverable.
static unsigned guest_reason(const struct ims_kernel_fault *f) {
  enum { PASID_FETCH = 1, BAD_PASID_ENTRY, PASID_INVALID, WALK_EABT, PTE_FETCH, PERMISSION, ACCESS, OOR_ADDRESS };
  if (f->s2)
    return 0;
  switch (f->reason) {
  case IMS_SMMUV3_F_STREAM_DISABLED:
  case IMS_SMMUV3_C_BAD_SUBSTREAMID: return PASID_INVALID;
  case IMS_SMMUV3_F_CD_FETCH: return PASID_FETCH;
  case IMS_SMMUV3_C_BAD_CD: return BAD_PASID_ENTRY;
  case IMS_SMMUV3_F_WALK_EABT: return WALK_EABT;
  case IMS_SMMUV3_F_TRANSLATION: return PTE_FETCH;
  case IMS_SMMUV3_F_ADDR_SIZE: return OOR_ADDRESS;
  case IMS_SMMUV3_F_ACCESS: return ACCESS;
  case IMS_SMMUV3_F_PERMISSION: return PERMISSION;
  default: return 0;
  }
}

static struct ims_kernel_fault fault_of(const struct host_unit *u, const uint64_t r[4],
                                        const struct ims_smmuv3_event_info *info) {
  bool direction = has(info, IMS_SMMUV3_EVENT_RNW_FIELD);
  bool s2 = has(info, IMS_SMMUV3_EVENT_S2_FIELD) && EVENT(r, S2);
  // A bad SubstreamID is there without SSV to say so.
  bool substream = EVENT(r, SSV) || EVENT(r, ID) == IMS_SMMUV3_C_BAD_SUBSTREAMID;
  return (struct ims_kernel_fault){
      .unit = (uint16_t)u->index,
      .source = (uint16_t)EVENT(r, SID),
      .type = direction && EVENT(r, RNW) ? 2 : 0,
      .at = info && info->kind == IMS_SMMUV3_EVENT_ATS         ? 1
            : info && info->kind == IMS_SMMUV3_EVENT_FORBIDDEN ? 2
                                                               : 0,
      .has_pasid = substream,
      .pasid = substream ? (uint32_t)EVENT(r, SSID) : 0,
      .exec = has(info, IMS_SMMUV3_EVENT_IND_FIELD) && EVENT(r, IND),
      .priv = has(info, IMS_SMMUV3_EVENT_PNU_FIELD) && EVENT(r, PNU),
      .reason = (uint16_t)EVENT(r, ID),
      .addr = has(info, IMS_SMMUV3_EVENT_INPUT_FIELD) ? EVENT(r, INPUT) : 0,
      .word = {r[0], r[1], r[2], r[3]},
      .arch = IMS_ARCH_SMMUV3,
      .words = 4,
      .s2 = s2,
      .ipa = s2 && has(info, IMS_SMMUV3_EVENT_IPA_FIELD) ? EVENT(r, IPA) << 12 : 0,
  };
}

static struct page_request request_of(struct ims_device *dev, const struct ims_kernel_fault *f) {
  return (struct page_request){.dev = dev,
                               .addr = f->addr,
                               .pasid = f->pasid,
                               .has_pasid = f->has_pasid,
                               .last = true,
                               .read = f->type == 2 && !f->exec,
                               .write = f->type != 2,
                               .exec = f->exec,
                               .priv = f->priv};
}

static void one_event(struct host_unit *u, uint64_t hpa) {
  uint64_t r[4];
  if (ims_mem_read(u->k->mem, hpa, r, sizeof r))
    return;
  const struct ims_smmuv3_event_info *info = ims_smmuv3_event_find((unsigned)EVENT(r, ID));
  struct ims_kernel_fault f = fault_of(u, r, info);
  struct ims_device *dev = ims_kernel_device(u->k, u->index, f.source);
  bool stall = has(info, IMS_SMMUV3_EVENT_STALL_FIELD) && EVENT(r, STALL);
  if (u->k->cfg.hooks.observe)
    ims_note(u->k, &(struct ims_note){.kind = IMS_NOTE_FAULT,
                                      .arch = IMS_ARCH_SMMUV3,
                                      .unit = (uint16_t)u->index,
                                      .source = f.source,
                                      .what = "event",
                                      .addr = hpa,
                                      .words = 4,
                                      .bytes = EVENT_BYTES,
                                      .word = {r[0], r[1], r[2], r[3]}});
  struct ims_device nobody = {.k = u->k, .unit = u, .cfg = {.source = f.source}};
  struct page_request req = request_of(dev ? dev : &nobody, &f);
  req.stall = stall;
  req.group = stall ? (uint16_t)EVENT(r, STAG) : 0;
  if (stall && dev && !f.s2) { // served like a page request; what cannot be served is logged
    u->k->count.page_requests++;
    ims_iopf_report(u, &req);
    return;
  }
  if (stall) // a second stage is never completed on demand
    ims_v3_page_response(req.dev, &req, INVALID);
  if (dev && !stall && ims_v3_guest_event(dev, r, f.s2))
    return;
  unsigned reason = dev && dev->guest && dev->guest->config == GUEST_TRANSLATE ? guest_reason(&f) : 0;
  if (reason && !stall) {
    ims_vmm_fault_unrecoverable(
        dev->guest->container,
        &(struct vmm_fault){.req = req,
                            .reason = (uint8_t)reason,
                            .has_addr = has(info, IMS_SMMUV3_EVENT_INPUT_FIELD),
                            .has_fetch = has(info, IMS_SMMUV3_EVENT_FETCH_FIELD),
                            .fetch = has(info, IMS_SMMUV3_EVENT_FETCH_FIELD) ? EVENT(r, FETCH) << 3 : 0});
    return;
  }
  ims_fault_logged(u->k, &f);
}

struct ring {
  uint64_t base;
  uint32_t mask, bytes; // mask: of index and wrap bit
};

// Entries from CONS to PROD, as long as there are any; more may come in behind meanwhile, so it is bounded, and `again`
// says that some are left: the queue interrupts only when it was empty. Overflow is acknowledged with the index (7.4).
// True: there was one.
static bool drain(struct host_unit *u, const struct ring *q, uint32_t prod_reg, uint32_t cons_reg,
                  const char *cons_name, void (*one)(struct host_unit *, uint64_t), bool *again) {
  const uint32_t overflow = 1u << 31;
  uint32_t prod = (uint32_t)ims_unit_read(u, prod_reg, 4), cons = (uint32_t)ims_unit_read(u, cons_reg, 4);
  bool lost = (prod ^ cons) & overflow;
  for (unsigned n = 0; n < 4 * (q->mask + 1); n++) {
    if (((prod ^ cons) & q->mask) == 0) {
      prod = (uint32_t)ims_unit_read(u, prod_reg, 4);
      if (((prod ^ cons) & q->mask) == 0)
        break;
    }
    one(u, q->base + (uint64_t)(cons & q->mask >> 1) * q->bytes);
    cons = (cons & overflow) | ((cons + 1) & q->mask);
    ims_unit_write(u, cons_name, cons_reg, 4, cons);
  }
  if ((prod ^ cons) & q->mask)
    *again = u->k->irq_pending = true;
  lost = lost || ((prod ^ cons) & overflow);
  if (lost)
    ims_unit_write(u, cons_name, cons_reg, 4, (cons & q->mask) | (prod & overflow));
  return lost;
}

void ims_v3_events(struct host_unit *u) {
  struct smmuv3_driver *v = &u->smmuv3;
  struct ring q = {v->evtq, (2u << v->evtq_log2) - 1, EVENT_BYTES};
  if (u->k->units_gone)
    return;
  if (drain(u, &q, IMS_SMMUV3_OFF_EVENTQ_PROD, IMS_SMMUV3_OFF_EVENTQ_CONS, "EVENTQ_CONS", one_event, &v->evt_irq))
    ims_log(u->k, IMS_LOG_WARNING, u, "event queue overflow: events were lost");
}

static void one_request(struct host_unit *u, uint64_t hpa) {
  uint64_t w[2];
  if (ims_mem_read(u->k->mem, hpa, w, sizeof w))
    return;
  u->k->count.page_requests++;
  uint16_t source = (uint16_t)w[0];
  struct page_request r = {
      .addr = w[1] >> 12 << 12,
      .pasid = (uint32_t)(w[0] >> 32 & 0xfffff),
      .priv = w[0] >> 58 & 1,
      .exec = w[0] >> 59 & 1,
      .read = w[0] >> 60 & 1,
      .write = w[0] >> 61 & 1,
      .last = w[0] >> 62 & 1,
      .has_pasid = w[0] >> 63,
      .group = (uint16_t)(w[1] & 0x1ff),
  };
  if (u->k->cfg.hooks.observe)
    ims_note(u->k, &(struct ims_note){.kind = IMS_NOTE_PAGE_REQUEST,
                                      .arch = IMS_ARCH_SMMUV3,
                                      .unit = (uint16_t)u->index,
                                      .source = source,
                                      .what = "page request",
                                      .addr = hpa,
                                      .words = 2,
                                      .bytes = PRI_BYTES,
                                      .word = {w[0], w[1]}});
  if (!r.has_pasid)
    r.pasid = 0;
  r.dev = ims_kernel_device(u->k, u->index, source);
  bool stop_marker = r.has_pasid && r.last && !r.read && !r.write; // has no answer (8.2)
  if (r.dev && !stop_marker) {
    ims_iopf_report(u, &r);
    return;
  }
  struct ims_device nobody = {.k = u->k, .unit = u, .cfg = {.source = source}};
  if (!r.dev && r.last && !stop_marker)
    ims_v3_page_response(&nobody, &r, INVALID);
}

void ims_v3_page_requests(struct host_unit *u) {
  struct smmuv3_driver *v = &u->smmuv3;
  struct ring q = {v->priq, (2u << v->priq_log2) - 1, PRI_BYTES};
  if (!v->priq || u->k->units_gone)
    return;
  if (!drain(u, &q, IMS_SMMUV3_OFF_PRIQ_PROD, IMS_SMMUV3_OFF_PRIQ_CONS, "PRIQ_CONS", one_request, &v->pri_irq))
    return;
  ims_log(u->k, IMS_LOG_WARNING, u, "page request queue overflow");
  ims_iopf_discard_partial(u); // what is left of groups will be asked for anew
}

// What the wires would say.
static void look(struct host_unit *u) {
  struct smmuv3_driver *v = &u->smmuv3;
  v->evt_irq |= V3_READ(u, EVENTQ_PROD) != V3_READ(u, EVENTQ_CONS);
  v->pri_irq |= v->priq && V3_READ(u, PRIQ_PROD) != V3_READ(u, PRIQ_CONS);
  v->gerr_irq |= V3_READ(u, GERROR) != V3_READ(u, GERRORN);
}

bool ims_v3_interrupt(struct host_unit *u) {
  struct smmuv3_driver *v = &u->smmuv3;
  if (u->polled)
    look(u);
  const bool pending[] = {v->evt_irq, v->pri_irq, v->gerr_irq};
  static const char *const what[] = {"event queue", "page request queue", "global error"};
  v->evt_irq = v->pri_irq = v->gerr_irq = false;
  for (unsigned i = 0; i < 3 && u->k->cfg.hooks.observe; i++)
    if (pending[i])
      ims_note(u->k, &(struct ims_note){.kind = IMS_NOTE_INTERRUPT,
                                        .arch = IMS_ARCH_SMMUV3,
                                        .unit = (uint16_t)u->index,
                                        .source = ~0u,
                                        .what = what[i]});
  if (pending[2])
    ims_v3_gerror(u);
  if (pending[0])
    ims_v3_events(u);
  if (pending[1])
    ims_v3_page_requests(u);
  return pending[0] || pending[1] || pending[2];
}

// A stalled transaction is tried again or aborted; a page request group gets its response. Neither waits for a CMD_SYNC.
int ims_v3_page_response(struct ims_device *dev, const struct page_request *req, unsigned code) {
  struct v3_cmd c;
  dev->k->count.page_responses++;
  if (req->stall) {
    c = ims_v3_cmd(IMS_SMMUV3_CMD_RESUME);
    ims_v3_cmd_set(&c, IMS_SMMUV3_COMMAND_SID_FIELD, dev->cfg.source);
    ims_v3_cmd_set(&c, IMS_SMMUV3_COMMAND_STAG_FIELD, req->group);
    ims_v3_cmd_set(&c, IMS_SMMUV3_COMMAND_AC_FIELD, code == 0);
    ims_v3_cmd_set(&c, IMS_SMMUV3_COMMAND_AB_FIELD, code != 0);
  } else {
    c = ims_v3_cmd(IMS_SMMUV3_CMD_PRI_RESP);
    ims_v3_cmd_set(&c, IMS_SMMUV3_COMMAND_SID_FIELD, dev->cfg.source);
    ims_v3_cmd_set(&c, IMS_SMMUV3_COMMAND_SSV_FIELD, req->has_pasid);
    ims_v3_cmd_set(&c, IMS_SMMUV3_COMMAND_SSID_FIELD, req->has_pasid ? req->pasid : 0);
    ims_v3_cmd_set(&c, IMS_SMMUV3_COMMAND_PRG_FIELD, req->group);
    ims_v3_cmd_set(&c, IMS_SMMUV3_COMMAND_RESP_FIELD, code == 0 ? 2 : code == 1 ? 1 : 0);
  }
  return ims_v3_send(dev->unit, &c, 1);
}
