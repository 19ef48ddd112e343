// SPDX-License-Identifier: Apache-2.0
// Loosely timed: the steps of a request one after the other, each adding what it takes. Nothing waits for anything.
#include "model/iommu_impl.h"

namespace ims::model {

// A read from memory that may be accessed directly, if it may.
bool IommuImpl::read_direct(ims_xlate &x, sc_core::sc_time &t) {
  const ims_step &s = x.port.step;
  auto covered = [&] { return s.hpa >= direct_.get_start_address() && s.hpa + s.len - 1 <= direct_.get_end_address(); };
  if (!direct_valid_ || !covered()) {
    set_payload(*lt_walk_, tlm::TLM_READ_COMMAND, s.hpa, x.port.answer.data, s.len);
    direct_.init();
    direct_valid_ = memory_.socket->get_direct_mem_ptr(*lt_walk_, direct_) && direct_.is_read_allowed();
    if (!direct_valid_ || !covered())
      return false;
  }
  count_read(s);
  const unsigned char *bytes = direct_.get_dmi_ptr() + (s.hpa - direct_.get_start_address());
  if (s.len == 8)
    memcpy(x.port.answer.data, bytes, 8);
  else
    memcpy(x.port.answer.data, bytes, s.len);
  x.port.answer.ok = true;
  t += direct_.get_read_latency();
  return true;
}

// A read or an update through the memory socket.
void IommuImpl::walk_lt(ims_xlate &x, ims_step_kind kind, sc_core::sc_time &t) {
  t += to_sc(config_.walker_ns);
  if (config_.walk_dmi && kind == IMS_STEP_READ && read_direct(x, t))
    return;
  prepare_walk(*lt_walk_, *lt_extension_, x, kind);
  memory_.socket->b_transport(*lt_walk_, t);
  if (!take_answer(*lt_walk_, *lt_extension_, x, kind)) {
    uint64_t desired = lt_extension_->desired;
    lt_extension_->swap = false;
    set_payload(*lt_walk_, tlm::TLM_WRITE_COMMAND, x.port.step.hpa, &desired, 8);
    memory_.socket->b_transport(*lt_walk_, t);
    x.port.answer.ok = lt_walk_->is_response_ok();
  }
}

// Returns whether it read memory.
bool IommuImpl::translate_lt(const ims_request &r, ims_result *res, sc_core::sc_time &t, uint64_t number) {
  ims_xlate x;
  LookUp last = LOOK_NONE;
  bool missed = false;
  Ticks walking_since = 0; // of t
  ims_xlate_begin(&x, unit_, &r, res);
  for (;;) {
    ims_step_kind kind = ims_xlate_step(&x);
    const Ticks begin = observer_ ? agenda_.now() + t.value() : 0;
    switch (kind) {
    case IMS_STEP_PROBE: {
      Ticks cost = look_up_cost(x, &last);
      ims_xlate_answer(&x, kind);
      t += to_sc(cost_of_answer(x, cost));
      break;
    }
    case IMS_STEP_FILL: ims_xlate_answer(&x, kind); continue;
    case IMS_STEP_READ:
    case IMS_STEP_UPDATE:
      last = LOOK_NONE;
      if (!missed)
        walking_since = t.value();
      missed = true;
      walk_lt(x, kind, t);
      break;
    default:
      ims_xlate_finish(&x);
      if (missed)
        count_.busy_ps += t.value() - walking_since;
      return missed;
    }
    if (observer_)
      observer_->step(begin, agenda_.now() + t.value(), number, 0, kind, x.port.step,
                      kind == IMS_STEP_PROBE && x.port.answer.hit);
  }
}

void IommuImpl::device_b_transport(unsigned, Payload &p, sc_core::sc_time &t) {
  auto *e = p.get_extension<DmaExtension>();
  ims_request r;
  ims_result local, *res = e ? &e->result : &local;
  sc_core::sc_time before = t;
  Ticks earlier = 0; // before the thread waited
  const uint64_t number = numbers_++;
  take_request(p, e, &r);
  t += to_sc(config_.request_ns);
  if (r.type == IMS_PAGE_REQUEST) {
    count_.page_requests++;
    bool taken = ims_request_page(unit_, &e->page);
    pages_taken_ += taken;
    p.set_response_status(taken ? tlm::TLM_OK_RESPONSE : tlm::TLM_ADDRESS_ERROR_RESPONSE);
    return;
  }
  count_.requests++;
  if ((r.iova & 4095) + bytes_of(p) > 4096) { // PCI Express Base 2.2.7: a request does not cross a border of 4 KB
    p.set_response_status(tlm::TLM_BURST_ERROR_RESPONSE);
    count_.faulted++;
    return;
  }
  if (observer_)
    observer_->arrived(agenda_.now() + before.value(), number, r);
  bool missed = translate_lt(r, res, t, number);
  count_result(r, *res, missed, (t - before).value());
  while (res->status == IMS_STATUS_STALL && !(e && e->stall_returns)) {
    // The thread that sent it waits here until software says what becomes of it.
    const Ticks arrived = agenda_.now() + before.value() - earlier;
    sc_core::sc_event resumed;
    Flight f;
    f.wakes = &resumed;
    stalled_[{r.source, res->stag}] = &f;
    stalled_count_++;
    sc_core::wait(t); // software knows of it already, and may be faster
    before = t = sc_core::SC_ZERO_TIME;
    if (!f.resumed)
      sc_core::wait(resumed);
    earlier = agenda_.now() - arrived;
    if (f.resumption != IMS_RESUME_RETRY) {
      res->status = IMS_STATUS_ABORT;
      res->completion = f.resumption == IMS_RESUME_ZERO ? IMS_CPL_ZERO : IMS_CPL_CA;
      count_.faulted++;
      count_.misses++;
      break;
    }
    missed = translate_lt(r, res, t, number);
    count_result(r, *res, missed, earlier + (t - before).value());
  }
  if (observer_)
    observer_->finished(agenda_.now() + t.value(), number, r, *res);
  const Ticks translated = agenda_.now() + t.value();
  t += to_sc(config_.response_ns);
  count_.pending_ps += earlier + (t - before).value();
  bool passes = res->status == IMS_STATUS_OK || res->status == IMS_STATUS_BYPASS;
  if (!passes || r.type == IMS_TRANSLATION_REQUEST) {
    p.set_response_status(refusal(*res));
    if (res->completion == IMS_CPL_ZERO)
      zero(p);
  } else {
    const uint64_t iova = p.get_address();
    p.set_address(res->output);
    if (e)
      e->translated = true;
    memory_.socket->b_transport(p, t);
    p.set_address(iova);
    if (e)
      e->translated = false;
  }
  if (passes && prefetcher_.on())
    think_ahead(r, *res, missed, translated);
  if (observer_) {
    observer_->left(agenda_.now() + t.value(), number);
    observer_->state(agenda_.now() + t.value(), 0, 0, count_.hits, count_.misses);
  }
}

} // namespace ims::model
