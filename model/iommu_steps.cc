// SPDX-License-Identifier: Apache-2.0
// What a step of the engine costs, and how it is asked of the memory behind the socket. The same for both timings.
#include "model/iommu_impl.h"

namespace ims::model {

void IommuImpl::take_request(const Payload &p, const DmaExtension *e, ims_request *r) {
  *r = {};
  r->iova = p.get_address();
  r->access = p.is_read() ? IMS_ACC_R : p.is_write() ? IMS_ACC_W : IMS_ACC_R;
  if (!e)
    return;
  r->source = e->source;
  r->pasid = e->pasid;
  r->has_pasid = e->has_pasid;
  r->type = e->type;
  r->no_write = e->no_write;
  if (p.get_command() == tlm::TLM_IGNORE_COMMAND)
    r->access = e->access;
  if (e->atomic)
    r->access |= IMS_ACC_R | IMS_ACC_W;
  if (e->execute)
    r->access |= IMS_ACC_X;
  if (e->privileged)
    r->access |= IMS_ACC_PRIV;
}

// Time of the look-up that x asks for. The paging-structure caches of a stage are probed one after the other by the engine,
// and at once by hardware: the first of them pays. `last` is what was looked up just before.
Ticks IommuImpl::look_up_cost(ims_xlate &x, LookUp *last) {
  LookUp look = look_up_of(x.port.step.cache);
  bool again = look == *last && (look == LOOK_PSC1 || look == LOOK_PSC2);
  *last = look;
  return again ? 0 : look_cost_[look];
}

// The IOTLB may have a first level, which is looked at before it.
Ticks IommuImpl::cost_of_answer(const ims_xlate &x, Ticks cost) const {
  if (x.port.step.cache != IMS_CACHE_IOTLB || !has_first_level())
    return cost;
  return x.port.answer.cache_level == 1 ? config_.utlb_ns : config_.utlb_ns + cost;
}

void IommuImpl::count_read(const ims_step &s) {
  unit_->count.reads[s.what]++;
  count_.walk_reads++;
  reads_by_[s.what][s.level & 7]++;
}

void IommuImpl::prepare_walk(Payload &p, WalkExtension &w, ims_xlate &x, ims_step_kind kind) {
  const ims_step &s = x.port.step;
  w.what = s.what;
  w.level = s.level;
  w.swap = kind == IMS_STEP_UPDATE;
  if (w.swap) {
    w.swapped_here = false;
    w.expected = s.old;
    w.desired = s.desired;
    unit_->count.updates++;
    count_.updates++;
  } else {
    count_read(s);
  }
  set_payload(p, tlm::TLM_READ_COMMAND, s.hpa, x.port.answer.data, w.swap ? 8 : s.len);
}

// False: the memory knows nothing of compare-and-swap, and what it found is what was expected; now store `desired`.
bool IommuImpl::take_answer(Payload &p, const WalkExtension &w, ims_xlate &x, ims_step_kind kind) {
  x.port.answer.ok = p.is_response_ok();
  if (!x.port.answer.ok) {
    count_.bus_errors++;
    return true;
  }
  return kind != IMS_STEP_UPDATE || w.swapped_here || x.port.answer.data[0] != w.expected;
}

// How a request that does not reach memory is answered on TLM's side.
tlm::tlm_response_status IommuImpl::refusal(const ims_result &r) {
  switch (r.completion) {
  case IMS_CPL_SUCCESS:
  case IMS_CPL_R0:
  case IMS_CPL_ZERO: return tlm::TLM_OK_RESPONSE;
  default: return tlm::TLM_ADDRESS_ERROR_RESPONSE;
  }
}

void IommuImpl::zero(Payload &p) {
  if (p.is_read() && p.get_data_ptr())
    memset(p.get_data_ptr(), 0, p.get_data_length());
}

} // namespace ims::model
