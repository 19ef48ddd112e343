// SPDX-License-Identifier: Apache-2.0
#define SC_INCLUDE_DYNAMIC_PROCESSES // sc_spawn
#include "model/agenda.h"
#include "model/simulation.h"

#include <algorithm>
#include <stdexcept>

// The SystemC library wants this of every program, also of those that have a main() of their own.
__attribute__((weak)) int sc_main(int, char **) { return 0; }

namespace ims::model {

namespace {

// One agenda for the context that is current; a new context (Simulation) starts without one.
Agenda *agenda = nullptr;
sc_core::sc_simcontext *agenda_context = nullptr;

} // namespace

Agenda &Agenda::of_simulation() {
  if (agenda && agenda_context == sc_core::sc_get_curr_simcontext())
    return *agenda;
  if (sc_core::sc_get_time_resolution() != sc_core::sc_time(1, sc_core::SC_PS))
    throw std::logic_error("iommusim: the time resolution has to be 1 ps, which is SystemC's default");
  if (to_sc(12345) != sc_core::sc_time::from_value(12345))
    throw std::logic_error("iommusim: sc_time is not what model/time.h takes it for");
  agenda = new Agenda; // lives as long as the context
  agenda_context = sc_core::sc_get_curr_simcontext();
  return *agenda;
}

Agenda::Agenda() {
  sc_core::sc_spawn_options options;
  options.spawn_method();
  options.dont_initialize();
  options.set_sensitivity(&event_);
  sc_core::sc_spawn([this] { run(); }, sc_core::sc_gen_unique_name("iommusim_agenda"), &options);
}

Agenda::~Agenda() = default;

void Agenda::put(Ticks when, uint64_t sequence, Action action, void *object, uint64_t argument) {
  Item item{when, sequence, action, object, argument};
  if (ring_first_ == ring_end_ || later(item, ring_[(ring_end_ - 1) & mask_])) {
    if (ring_end_ - ring_first_ > mask_)
      grow();
    ring_[ring_end_++ & mask_] = item;
  } else {
    heap_.push_back(item);
    std::push_heap(heap_.begin(), heap_.end(), later);
  }
  if (!running_ && first().sequence == sequence)
    event_.notify(to_sc(when - kernel_now())); // earlier than what the event waits for, if it waits
}

void Agenda::grow() {
  std::vector<Item> wider(2 * ring_.size());
  for (size_t i = ring_first_; i != ring_end_; i++)
    wider[i - ring_first_] = ring_[i & mask_];
  ring_end_ -= ring_first_;
  ring_first_ = 0;
  ring_.swap(wider);
  mask_ = ring_.size() - 1;
}

Agenda::Item Agenda::take() {
  if (from_ring())
    return ring_[ring_first_++ & mask_];
  std::pop_heap(heap_.begin(), heap_.end(), later);
  Item item = heap_.back();
  heap_.pop_back();
  return item;
}

bool Agenda::kernel_allows(Ticks when) const {
  if (when == kernel_now())
    return true;
  return may_run_ahead_ && to_sc(when - kernel_now()) < sc_core::sc_time_to_pending_activity();
}

bool Agenda::skip_to(Ticks when) {
  if (!running_ || (!empty() && first().when <= when) || !kernel_allows(when))
    return false;
  now_ = when;
  return true;
}

void Agenda::run() {
  wakeups_++;
  kernel_now_ = sc_core::sc_time_stamp().value();
  now_ = std::max(now_, kernel_now_);
  running_ = true;
  Ticks allowed = kernel_now_; // by the kernel; asking it costs more than an action, so once for each time
  while (!empty() && (first().when == allowed || kernel_allows(first().when))) {
    Item item = take();
    allowed = item.when;
    now_ = item.when;
    item.action(item.object, item.argument);
  }
  running_ = false;
  if (!empty())
    event_.notify(to_sc(first().when - kernel_now()));
  else if (now_ > kernel_now())
    event_.notify(to_sc(now_ - kernel_now())); // the kernel's clock follows
}

void Agenda::clear() {
  heap_.clear();
  ring_first_ = ring_end_ = 0;
  event_.cancel();
}

// Simulation.

Simulation::Simulation()
    : context_(new sc_core::sc_simcontext), outer_(sc_core::sc_curr_simcontext), outer_agenda_(agenda),
      outer_agenda_context_(agenda_context) {
  sc_core::sc_curr_simcontext = sc_core::sc_default_global_context = context_;
  agenda = nullptr;
  agenda_context = nullptr;
}

Simulation::~Simulation() {
  delete agenda;
  agenda = outer_agenda_;
  agenda_context = outer_agenda_context_;
  delete context_;
  sc_core::sc_curr_simcontext = sc_core::sc_default_global_context = outer_;
}

void Simulation::run() {
  Agenda::of_simulation().run_ahead(true);
  sc_core::sc_start();
}

void Simulation::run(Ticks duration) {
  Agenda::of_simulation().run_ahead(false);
  sc_core::sc_start(to_sc(duration));
}

} // namespace ims::model
