// SPDX-License-Identifier: Apache-2.0
// The one queue of timed actions of a simulation, in front of the SystemC kernel.
//
// An event of the kernel costs as much as fifty loads. Modules therefore have no processes of their own: they put actions
// on the agenda, which has one SC_METHOD and one event for all of them. Actions run in the order of their time, and at the
// same time in the order in which they were put there.
//
// When it may run ahead (run_ahead(true): the owner of the simulation says so), the agenda carries on while the kernel
// itself has nothing to do before its next action; now() is then later than sc_time_stamp(), and everything handed to
// other modules says by how much in the annotated time of the TLM call, as the base protocol has it (IEEE 1666-2011,
// 11.1.3.4). What the kernel has to do is never overtaken.
#pragma once

#include "model/time.h"

#include <systemc>
#include <vector>

namespace ims::model {

class Agenda {
public:
  using Action = void (*)(void *object, uint64_t argument);

  // Of the simulation that is being put together or runs. Made at the first call, which has to be during elaboration.
  static Agenda &of_simulation();
  ~Agenda();
  Agenda(const Agenda &) = delete;
  Agenda &operator=(const Agenda &) = delete;

  Ticks now() const { return running_ ? now_ : kernel_now(); }

  // Runs action(object, argument) at `when`, not before now().
  void at(Ticks when, Action action, void *object, uint64_t argument = 0) {
    put(when, sequence_++, action, object, argument);
  }

  // The same with a member function: agenda.at<&Link::arrive>(when, this).
  template <auto member, class T> void at(Ticks when, T *object, uint64_t argument = 0) {
    at(
        when, [](void *o, uint64_t a) { (static_cast<T *>(o)->*member)(a); }, object, argument);
  }

  // The same, but behind everything else that happens at that time, also what is put there later: a look at something that
  // is ready at `when` finds it.
  template <auto member, class T> void at_end_of(Ticks when, T *object, uint64_t argument = 0) {
    put(
        when, LAST | sequence_++, [](void *o, uint64_t a) { (static_cast<T *>(o)->*member)(a); }, object, argument);
  }

  // Moves now() to `when` if nothing whatsoever is to happen before or then. Only as the last thing an action does before
  // it goes on with what it would have put on the agenda for `when`: saves the way through the queue.
  bool skip_to(Ticks when);

  // For TLM calls: by how much now() is ahead of the kernel; and the time that an annotation means.
  sc_core::sc_time annotation() const { return annotation(now()); }
  sc_core::sc_time annotation(Ticks when) const { return to_sc(when - kernel_now()); }
  Ticks meant_by(const sc_core::sc_time &annotated) const { return kernel_now() + annotated.value(); }

  // Wakes a process of the kernel at now().
  void notify(sc_core::sc_event &e) const { e.notify(annotation()); }

  void run_ahead(bool may) { may_run_ahead_ = may; }

  // Forgets everything that was to happen: the simulation ends here.
  void clear();

  uint64_t actions() const { return sequence_; } // ever put on it
  uint64_t wakeups() const { return wakeups_; }  // of the SC_METHOD
  bool idle() const { return heap_.empty() && ring_first_ == ring_end_; }

  Ticks kernel_now() const { return running_ ? kernel_now_ : sc_core::sc_time_stamp().value(); }

private:
  friend class Simulation;
  struct Item {
    Ticks when;
    uint64_t sequence;
    Action action;
    void *object;
    uint64_t argument;
  };
  static bool later(const Item &a, const Item &b) {
    return a.when != b.when ? a.when > b.when : a.sequence > b.sequence;
  }

  static constexpr uint64_t LAST = uint64_t{1} << 63;

  Agenda();
  void put(Ticks when, uint64_t sequence, Action action, void *object, uint64_t argument);
  void grow();
  bool empty() const { return idle(); }
  bool from_ring() const {
    return heap_.empty() || (ring_first_ != ring_end_ && later(heap_.front(), ring_[ring_first_ & mask_]));
  }
  const Item &first() const { return from_ring() ? ring_[ring_first_ & mask_] : heap_.front(); }
  Item take();
  void run();
  bool kernel_allows(Ticks when) const; // the kernel has nothing to do up to and at `when`

  // Mostly what is put last also comes last: such items stand in a ring, in their order; the others in a heap.
  std::vector<Item> ring_ = std::vector<Item>(64), heap_;
  size_t mask_ = 63, ring_first_ = 0, ring_end_ = 0;
  uint64_t sequence_ = 0, wakeups_ = 0;
  Ticks now_ = 0, kernel_now_ = 0; // the latter while it runs: the kernel's clock stands still then
  bool running_ = false, may_run_ahead_ = false;
  sc_core::sc_event event_;
};

} // namespace ims::model
