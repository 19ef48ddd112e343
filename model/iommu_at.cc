// SPDX-License-Identifier: Apache-2.0
// Approximately timed: the way of a request through the resources.
//
//   arrive -> pending buffer (or the door) -> request_ns -> look-ups -> on a miss: merge with a walk of the same page, or
//   take a walker -> reads -> translated: order -> response_ns -> out of the pending buffer, on to memory -> answered
//
// Whoever gives something back puts him who waited for it onto the agenda, so that each action ends with the flight it
// began with and may let time go on (Agenda::skip_to).
#include "model/iommu_impl.h"

#include <algorithm>

namespace ims::model {

namespace {

uint64_t word(Flight &f) { return reinterpret_cast<uint64_t>(&f); }
Flight &flight(uint64_t w) { return *reinterpret_cast<Flight *>(w); }

uint64_t who(const ims_request &r) { return uint64_t{r.source} << 21 | (r.has_pasid ? 1u << 20 | r.pasid : 0u); }

// Misses of one stream to one page of 4 KB are one walk; the kind of request is part of who asks.
StreamKey page_of(const ims_request &r) { return {who(r) << 2 | r.type, r.iova >> 12}; }

// Of those whose translations leave in order.
uint64_t order_of(const ims_request &r, uint32_t ordering) {
  return ordering == ORDER_PASID ? who(r) : ordering == ORDER_SOURCE ? r.source : 0;
}

} // namespace

Flight &IommuImpl::new_flight() {
  if (free_flights_.empty()) {
    flights_.emplace_back();
    free_flights_.push_back(&flights_.back());
  }
  Flight &f = *free_flights_.back();
  free_flights_.pop_back();
  f.payload = nullptr;
  f.extension = nullptr;
  f.last_look = LOOK_NONE;
  f.has_walker = f.missed = f.prefetch = f.leads = f.ready = f.forwarded = f.drains = false;
  return f;
}

void IommuImpl::free_flight(Flight &f) { free_flights_.push_back(&f); }

void IommuImpl::tell_state() {
  if (observer_)
    observer_->state(agenda_.now(), static_cast<unsigned>(walkers_.used()), static_cast<unsigned>(pending_),
                     count_.hits, count_.misses);
}

// Arrival.

Arrival IommuImpl::device_arrive(unsigned from, Payload &p, Ticks *when) {
  const auto *e = p.get_extension<DmaExtension>();
  if (e && e->type == IMS_PAGE_REQUEST) {
    count_.page_requests++;
    page_requests_[&p] = from;
    agenda_.at<&IommuImpl::serve_page_request>(agenda_.now() + config_.request_ns, this,
                                               reinterpret_cast<uint64_t>(&p));
    return Arrival::TAKEN;
  }
  count_.requests++;
  if ((p.get_address() & 4095) + bytes_of(p) > 4096) { // PCI Express Base 2.2.7
    p.set_response_status(tlm::TLM_BURST_ERROR_RESPONSE);
    count_.faulted++;
    *when = agenda_.now() + config_.request_ns;
    return Arrival::FINISHED;
  }
  if (config_.pending && pending_ >= config_.pending) {
    if (config_.pending_full == FULL_DROP) {
      count_.dropped++;
      if (e)
        const_cast<DmaExtension *>(e)->dropped = true;
      p.set_response_status(tlm::TLM_GENERIC_ERROR_RESPONSE);
      *when = agenda_.now();
      return Arrival::FINISHED;
    }
    count_.waited_at_door++;
    door_.emplace_back(from, &p);
    return Arrival::NO_ROOM;
  }
  admit(from, p);
  return Arrival::TAKEN;
}

void IommuImpl::from_door() {
  if (door_.empty() || (config_.pending && pending_ >= config_.pending))
    return;
  auto [from, p] = door_.front();
  door_.pop_front();
  admit(from, *p);
  device_.take(from, *p);
}

void IommuImpl::admit(unsigned from, Payload &p) {
  Flight &f = new_flight();
  f.payload = &p;
  f.extension = p.get_extension<DmaExtension>();
  f.from = from;
  f.arrived = agenda_.now();
  f.number = numbers_++;
  f.place = window_.open();
  f.drains = true;
  take_request(p, f.extension, &f.request);
  if (f.extension) {
    f.extension->dropped = false;
    f.extension->holder = &f;
  }
  pending_++;
  if (config_.ordering != ORDER_NONE)
    order_[order_of(f.request, config_.ordering)].push_back(&f);
  if (observer_)
    observer_->arrived(f.arrived, f.number, f.request);
  tell_state();
  agenda_.at<&IommuImpl::begin>(f.arrived + config_.request_ns, this, word(f));
}

void IommuImpl::serve_page_request(uint64_t payload) {
  auto &p = *reinterpret_cast<Payload *>(payload);
  auto found = page_requests_.find(&p);
  unsigned from = found->second;
  page_requests_.erase(found);
  bool taken = ims_request_page(unit_, &p.get_extension<DmaExtension>()->page);
  pages_taken_ += taken;
  p.set_response_status(taken ? tlm::TLM_OK_RESPONSE : tlm::TLM_ADDRESS_ERROR_RESPONSE);
  device_.respond(from, p);
}

// Translation.

void IommuImpl::begin(uint64_t w) {
  Flight &f = flight(w);
  f.last_look = LOOK_NONE;
  ims_xlate_begin(&f.xlate, unit_, &f.request, &f.result);
  advance(f);
}

// Steps until something takes time or has to be waited for.
void IommuImpl::advance(Flight &f) {
  for (;;) {
    f.asked = ims_xlate_step(&f.xlate);
    switch (f.asked) {
    case IMS_STEP_PROBE: {
      f.asked_at = agenda_.now();
      LookUp look = look_up_of(f.xlate.port.step.cache);
      bool goes_on = look == f.last_look && (look == LOOK_PSC1 || look == LOOK_PSC2);
      if (!goes_on && !look_slots_[look].take()) {
        look_slots_[look].wait(f);
        return;
      }
      Ticks done = agenda_.now() + look_up_cost(f.xlate, &f.last_look);
      if (goes_on) {
        ims_xlate_answer(&f.xlate, IMS_STEP_PROBE);
        if (observer_)
          observer_->step(f.asked_at, done, f.number, f.walker, f.asked, f.xlate.port.step, f.xlate.port.answer.hit);
        continue;
      }
      if (look == LOOK_IOTLB && has_first_level())
        done = agenda_.now() + config_.utlb_ns; // what lies behind it is charged with the answer
      if (!agenda_.skip_to(done)) {
        agenda_.at_end_of<&IommuImpl::looked_up>(done, this, word(f));
        return;
      }
      if (!answer_look_up(f))
        return;
      continue;
    }
    case IMS_STEP_FILL: ims_xlate_answer(&f.xlate, IMS_STEP_FILL); continue;
    case IMS_STEP_READ:
    case IMS_STEP_UPDATE:
      f.last_look = LOOK_NONE;
      f.asked_at = agenda_.now();
      if (f.prefetch && f.asked == IMS_STEP_UPDATE) {
        give_up(f);
        return;
      }
      if (!f.has_walker && !miss(f))
        return;
      walk(word(f));
      return;
    default: complete(f); return;
    }
  }
}

// A look-up is over: it is answered by what the cache holds now, and the next may begin. False: what lies behind the first
// level of the IOTLB takes its time.
bool IommuImpl::answer_look_up(Flight &f) {
  LookUp look = f.last_look;
  ims_xlate_answer(&f.xlate, IMS_STEP_PROBE);
  bool behind = look == LOOK_IOTLB && has_first_level() && f.xlate.port.answer.cache_level != 1;
  Ticks done = agenda_.now() + (behind ? config_.iotlb_ns : 0);
  if (Flight *next = look_slots_[look].give()) {
    next->last_look = look;
    Ticks cost = look == LOOK_IOTLB && has_first_level() ? config_.utlb_ns : look_cost_[look];
    agenda_.at_end_of<&IommuImpl::looked_up>(agenda_.now() + cost, this, word(*next));
  }
  if (observer_)
    observer_->step(f.asked_at, done, f.number, f.walker, f.asked, f.xlate.port.step, f.xlate.port.answer.hit);
  if (!behind || agenda_.skip_to(done))
    return true;
  agenda_.at<&IommuImpl::go_on>(done, this, word(f));
  return false;
}

void IommuImpl::looked_up(uint64_t w) {
  Flight &f = flight(w);
  if (answer_look_up(f))
    advance(f);
}

void IommuImpl::go_on(uint64_t w) { advance(flight(w)); }

// The first read. True: f has a walker and may go on.
bool IommuImpl::miss(Flight &f) {
  if (!f.missed) {
    f.missed = true;
    if (!config_.hit_under_miss && !f.prefetch)
      misses_.insert(f.number);
  }
  // Without an IOTLB there is nothing in which one walk could leave its result for another.
  if ((config_.merge || f.prefetch) && unit_->caches >> IMS_CACHE_IOTLB & 1 && !f.leads) {
    auto [found, first] = walking_.try_emplace(page_of(f.request), &f);
    if (!first && f.prefetch) {
      give_up(f);
      return false;
    }
    if (!first && config_.merge) {
      count_.merged++;
      merged_++;
      found->second->followers.push_back(&f);
      return false;
    }
    f.leads = first;
  }
  if (!walkers_.take()) {
    if (f.prefetch) {
      give_up(f);
      return false;
    }
    count_.walker_waits++;
    walkers_.wait(f);
    return false;
  }
  grant_walker(f);
  return true;
}

void IommuImpl::grant_walker(Flight &f) {
  f.has_walker = true;
  f.walking_since = agenda_.now();
  if (free_walkers_.empty()) {
    f.walker = next_walker_++;
  } else { // the lowest: for those who look at them
    f.walker = free_walkers_.top();
    free_walkers_.pop();
  }
  tell_state();
}

// A read or an update: the walker's own time, then the memory's.
void IommuImpl::walk(uint64_t w) {
  Ticks when = agenda_.now() + config_.walker_ns;
  if (config_.walker_ns && !agenda_.skip_to(when))
    agenda_.at<&IommuImpl::send_walk>(when, this, w);
  else
    send_walk(w);
}

void IommuImpl::send_walk(uint64_t w) {
  Flight &f = flight(w);
  Payload &p = walk_payloads_.get();
  auto *e = static_cast<FlightWalk *>(p.get_extension<WalkExtension>());
  e->flight = &f;
  prepare_walk(p, *e, f.xlate, f.asked);
  memory_.send(p);
  p.release();
}

void IommuImpl::walked(Flight &f, Payload &p) {
  auto *e = static_cast<FlightWalk *>(p.get_extension<WalkExtension>());
  if (p.is_write()) { // the second half of a compare-and-swap
    f.xlate.port.answer.ok = p.is_response_ok();
  } else if (!take_answer(p, *e, f.xlate, f.asked)) {
    Payload &store = walk_payloads_.get();
    auto *s = static_cast<FlightWalk *>(store.get_extension<WalkExtension>());
    s->flight = &f;
    s->what = e->what;
    s->level = e->level;
    s->swap = false;
    set_payload(store, tlm::TLM_WRITE_COMMAND, f.xlate.port.step.hpa, &f.xlate.port.step.desired, 8);
    memory_.send(store);
    store.release();
    return;
  }
  if (observer_)
    observer_->step(f.asked_at, agenda_.now(), f.number, f.walker, f.asked, f.xlate.port.step, false);
  advance(f);
}

// The end of a translation.
void IommuImpl::complete(Flight &f) {
  if (f.prefetch) {
    if (!f.missed || f.asked == IMS_STEP_FAULT) { // it was there already, or it would fault
      give_up(f);
      return;
    }
    count_.prefetches_done++;
    end_ahead(f);
    return;
  }
  ims_xlate_finish(&f.xlate);
  bool passes = f.result.status == IMS_STATUS_OK || f.result.status == IMS_STATUS_BYPASS;
  end_walk(f);
  count_result(f.request, f.result, f.missed, agenda_.now() - f.arrived);
  if (observer_)
    observer_->finished(agenda_.now(), f.number, f.request, f.result);
  if (f.result.status == IMS_STATUS_STALL && !(f.extension && f.extension->stall_returns)) {
    hold(f);
    return;
  }
  if (passes && prefetcher_.on())
    think_ahead(f.request, f.result, f.missed, agenda_.now());
  make_ready(f);
}

// Gives back what a walk took, and lets those go on who waited for it.
void IommuImpl::end_walk(Flight &f) {
  if (f.has_walker) {
    count_.busy_ps += agenda_.now() - f.walking_since;
    f.has_walker = false;
    free_walkers_.push(f.walker);
    if (Flight *next = walkers_.give()) {
      grant_walker(*next);
      next->asked_at = agenda_.now();
      agenda_.at<&IommuImpl::walk>(agenda_.now(), this, word(*next));
    }
    tell_state();
  }
  if (f.leads) {
    f.leads = false;
    walking_.erase(page_of(f.request));
    for (Flight *follower : f.followers) {
      merged_--;
      agenda_.at<&IommuImpl::begin>(agenda_.now(), this, word(*follower)); // it looks up again
    }
    f.followers.clear();
  }
  if (f.missed && !config_.hit_under_miss && !f.prefetch) {
    misses_.erase(f.number);
    uint64_t oldest = misses_.empty() ? ~0ull : *misses_.begin();
    while (!hits_waiting_.empty() && hits_waiting_.begin()->first < oldest) {
      Flight *hit = hits_waiting_.begin()->second;
      hits_waiting_.erase(hits_waiting_.begin());
      release_ready(*hit);
    }
  }
}

// A stall: the request keeps its place in the pending buffer until software says what becomes of it. Others pass it: software
// may wait, before it serves the stall, for an invalidation that in its turn waits for them.
void IommuImpl::hold(Flight &f) {
  stalled_[{f.request.source, f.result.stag}] = &f;
  stalled_count_++;
  f.drains = false; // a wait in the queue does not wait for software, which waits for it
  window_.close(f.place);
  if (config_.ordering != ORDER_NONE) {
    uint64_t key = order_of(f.request, config_.ordering);
    std::deque<Flight *> &queue = order_[key];
    queue.erase(std::find(queue.begin(), queue.end(), &f));
    let_go(key, agenda_.now() + config_.response_ns);
  }
  try_wait();
}

void IommuImpl::resume(const ims_resume &r) {
  auto found = stalled_.find({r.source, r.stag});
  if (found == stalled_.end()) { // a device that holds its stalled requests itself
    if (!message_.bound())
      return;
    Payload &p = new_message(MessageExtension::RESUME);
    p.get_extension<MessageExtension>()->resume = r;
    message_.send(p);
    p.release();
    return;
  }
  Flight &f = *found->second;
  stalled_.erase(found);
  stalled_count_--;
  f.resumption = r.action;
  f.resumed = true;
  if (f.wakes) { // a thread, loosely timed
    agenda_.notify(*f.wakes);
    return;
  }
  f.place = window_.open();
  f.drains = true;
  if (config_.ordering != ORDER_NONE)
    order_[order_of(f.request, config_.ordering)].push_back(&f);
  if (r.action == IMS_RESUME_RETRY) {
    agenda_.at<&IommuImpl::begin>(agenda_.now(), this, word(f));
    return;
  }
  f.result.status = IMS_STATUS_ABORT;
  f.result.completion = r.action == IMS_RESUME_ZERO ? IMS_CPL_ZERO : IMS_CPL_CA;
  count_result(f.request, f.result, f.missed, agenda_.now() - f.arrived);
  make_ready(f);
}

// A result may leave once those have that have to leave before it.
void IommuImpl::make_ready(Flight &f) {
  if (!config_.hit_under_miss && !f.missed && !misses_.empty() && *misses_.begin() < f.number) {
    count_.hits_waited++;
    hits_waiting_[f.number] = &f;
    return;
  }
  release_ready(f);
}

void IommuImpl::release_ready(Flight &f) {
  Ticks when = agenda_.now() + config_.response_ns;
  if (config_.ordering == ORDER_NONE) {
    agenda_.at<&IommuImpl::leave>(when, this, word(f));
    return;
  }
  uint64_t key = order_of(f.request, config_.ordering);
  f.ready = true;
  count_.ordered += order_[key].front() != &f;
  let_go(key, when);
}

// Those that are ready, as far as none that goes first is not.
void IommuImpl::let_go(uint64_t key, Ticks when) {
  auto queue = order_.find(key);
  while (!queue->second.empty() && queue->second.front()->ready) {
    agenda_.at<&IommuImpl::leave>(when, this, word(*queue->second.front()));
    queue->second.pop_front();
  }
  if (queue->second.empty())
    order_.erase(queue);
}

// Out of the pending buffer: on to memory, or back to the device.
void IommuImpl::leave(uint64_t w) {
  Flight &f = flight(w);
  Payload &p = *f.payload;
  pending_--;
  count_.pending_ps += agenda_.now() - f.arrived;
  tell_state();
  if (!door_.empty())
    from_door();
  if (f.extension)
    f.extension->result = f.result;
  bool passes = f.result.status == IMS_STATUS_OK || f.result.status == IMS_STATUS_BYPASS;
  if (passes && f.request.type != IMS_TRANSLATION_REQUEST) {
    f.forwarded = true;
    f.address = p.get_address();
    p.set_address(f.result.output);
    if (f.extension)
      f.extension->translated = true;
    else
      forwarded_.emplace(&p, &f);
    memory_.send(p);
    return;
  }
  p.set_response_status(refusal(f.result));
  if (f.result.completion == IMS_CPL_ZERO)
    zero(p);
  finish(f);
}

void IommuImpl::memory_done(Payload &p) {
  if (auto *walk = p.get_extension<WalkExtension>()) {
    if (walk->what == IMS_STRUCT_COUNT)
      descriptor_here(p);
    else
      walked(*static_cast<FlightWalk *>(walk)->flight, p);
    return;
  }
  Flight *f;
  if (auto *e = p.get_extension<DmaExtension>()) {
    f = static_cast<Flight *>(e->holder);
    e->translated = false;
  } else {
    auto found = forwarded_.find(&p);
    f = found->second;
    forwarded_.erase(found);
  }
  p.set_address(f->address);
  finish(*f);
}

void IommuImpl::finish(Flight &f) {
  if (observer_)
    observer_->left(agenda_.now(), f.number);
  if (f.extension)
    f.extension->holder = nullptr;
  device_.respond(f.from, *f.payload);
  if (f.drains)
    window_.close(f.place);
  free_flight(f);
  if (queue_waits_)
    try_wait();
}

// Ahead.

void IommuImpl::think_ahead(const ims_request &r, const ims_result &res, bool missed, Ticks when) {
  ahead_.clear();
  prefetcher_.suggest(r, res.shift, missed, &ahead_);
  for (const ims_request &next : ahead_)
    if (prefetching_ < config_.prefetch_slots)
      prefetch(next, when);
}

void IommuImpl::prefetch(const ims_request &r, Ticks when) {
  Flight &f = new_flight();
  f.request = r;
  f.request.type = IMS_UNTRANSLATED;
  f.request.access = IMS_ACC_R | (r.access & IMS_ACC_PRIV);
  f.prefetch = true;
  f.number = IommuObserver::AHEAD | numbers_ahead_++;
  f.arrived = when;
  prefetching_++;
  count_.prefetches++;
  agenda_.at<&IommuImpl::begin>(when, this, word(f));
}

void IommuImpl::give_up(Flight &f) {
  count_.prefetches_dropped++;
  end_ahead(f);
}

void IommuImpl::end_ahead(Flight &f) {
  end_walk(f);
  prefetching_--;
  if (observer_)
    observer_->finished(agenda_.now(), f.number, f.request, f.result);
  free_flight(f);
}

} // namespace ims::model
