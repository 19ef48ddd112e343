// SPDX-License-Identifier: Apache-2.0
// The invalidation queue (VT-d 6.5.2) or command queue (SMMUv3 4.1) in time: one item after the other, each read through
// the memory socket, then executed. A wait is executed when everything before it is over: invalidations that devices have
// not answered, and translations that began before it (VT-d 6.5.2.8 and 6.5.4, SMMUv3 4.7.3).
#include "model/iommu_impl.h"

#include <algorithm>

namespace ims::model {

void IommuImpl::kick_queue() {
  if (!hold_queue_ || queue_busy_ || !ims_queue_next(unit_, &item_))
    return;
  queue_busy_ = true;
  agenda_.at<&IommuImpl::fetch_descriptor>(std::max(agenda_.now(), device_silent_until_), this);
}

void IommuImpl::fetch_descriptor(uint64_t) {
  // Registers may have changed since: the queue may be off, or empty.
  if (!ims_queue_next(unit_, &item_)) {
    queue_busy_ = false;
    return;
  }
  item_began_ = agenda_.now();
  if (!item_.len) { // an error that needs no reading
    agenda_.at<&IommuImpl::descriptor_executed>(agenda_.now() + config_.descriptor_ns, this);
    return;
  }
  Payload &p = fetch_payloads_.get();
  auto *w = p.get_extension<WalkExtension>();
  w->what = IMS_STRUCT_COUNT;
  w->level = 0;
  w->swap = false;
  queue_reads_++;
  set_payload(p, tlm::TLM_READ_COMMAND, item_.hpa, fetched_, item_.len);
  memory_.send(p);
  p.release();
}

void IommuImpl::descriptor_here(Payload &) {
  if (item_.kind == IMS_QUEUE_WAIT) {
    wait_for_ = window_.next();
    queue_waits_ = true;
    if (config_.drain)
      count_.drained += window_.count();
    try_wait();
    return;
  }
  agenda_.at<&IommuImpl::descriptor_executed>(agenda_.now() + config_.descriptor_ns, this);
}

void IommuImpl::try_wait() {
  if (!queue_waits_ || messages_ || (config_.drain && window_.oldest() < wait_for_))
    return;
  queue_waits_ = false;
  agenda_.at<&IommuImpl::descriptor_executed>(agenda_.now() + config_.descriptor_ns, this);
}

void IommuImpl::descriptor_executed(uint64_t) {
  count_.descriptors++;
  count_.waits += item_.kind == IMS_QUEUE_WAIT;
  ims_queue_step(unit_);
  if (observer_)
    observer_->descriptor(item_began_, agenda_.now(), item_);
  queue_busy_ = false;
  kick_queue();
}

Payload &IommuImpl::new_message(MessageExtension::Kind kind) {
  Payload &p = message_payloads_.get();
  p.get_extension<MessageExtension>()->kind = kind;
  set_payload(p, tlm::TLM_IGNORE_COMMAND, 0, nullptr, 0);
  return p;
}

// Invalidations of device TLBs. A device says by a debug access whether it will answer at all (the time-out has to be
// known when the item is executed); if it will, the message goes its way, and a wait waits for the answer.
bool IommuImpl::bus_ats_invalidate(void *self, const ims_ats_invalidation *inv) {
  auto &me = *static_cast<IommuImpl *>(self);
  if (!me.message_.bound())
    return true;
  Payload &p = me.new_message(MessageExtension::INVALIDATE);
  p.get_extension<MessageExtension>()->invalidate = *inv;
  me.count_.device_invalidations++;
  bool answers = me.message_.socket->transport_dbg(p) != 0;
  if (answers) {
    me.messages_++;
    me.message_.send(p);
  } else {
    me.count_.device_timeouts++;
    me.device_silent_until_ = me.agenda_.now() + Ticks{me.config_.device_timeout_us} * NS;
  }
  p.release();
  return answers;
}

void IommuImpl::bus_page_response(void *self, const ims_page_response *response) {
  auto &me = *static_cast<IommuImpl *>(self);
  if (!me.message_.bound())
    return;
  Payload &p = me.new_message(MessageExtension::PAGE_RESPONSE);
  p.get_extension<MessageExtension>()->response = *response;
  me.message_.send(p);
  p.release();
}

void IommuImpl::message_done(Payload &p) {
  if (p.get_extension<MessageExtension>()->kind != MessageExtension::INVALIDATE)
    return;
  messages_--;
  count_.device_timeouts += !p.is_response_ok();
  try_wait();
}

void IommuImpl::bus_resume(void *self, const ims_resume *resume) { static_cast<IommuImpl *>(self)->resume(*resume); }

void IommuImpl::bus_invalidated(void *self) {
  auto &me = *static_cast<IommuImpl *>(self);
  if (!me.dmi_out_)
    return;
  me.dmi_out_ = false;
  me.count_.dmi_withdrawn++;
  me.device_.withdraw(0, ~0ull);
}

} // namespace ims::model
