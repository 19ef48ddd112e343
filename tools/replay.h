// SPDX-License-Identifier: Apache-2.0
// A trace under time. What the devices of a player (trace/player.h) send goes through the timed model's modules, one per
// unit and device of the trace, to the same units; what its software does costs what the configuration says. Translations,
// faults and bytes are those of an untimed run.
//
// The player is no process of the simulation: it runs where it is called, and lets the simulation go on by as much as
// something takes, or until its request is over. So it needs no stack of its own, what it throws passes no kernel, and
// sanitizers see one stack only.
//
// One request is in flight at a time: the pieces of a DMA go one after another, each when the one before is over, a posted
// write included. So nothing is contended, and loosely and approximately timed runs are equal. (What is under way beside
// it may tell them apart: translations ahead, lines that an LLC writes back, credits of the link on their way back.)
//
//   device of the trace -> Link (not for platform devices) -> Iommu around the player's unit -> Llc -> Memory
//
// Of the configuration the sections link, iommu, llc, memory and host are in force; machine and device are the trace's own.
//
// SystemC wants all modules before anything runs, and the player makes units and devices as it goes. The trace is known,
// though: each of its `iommu` and `device` events has a module from the start, which gets the player's object when the
// event has made it.
//
// The data of a DMA is moved by the endpoint itself once the address is known; it takes the time of the transaction that
// the module forwards to the memory. What software does takes time by one table (costs, in replay.cc; docs/trace.md), and
// the queue of a unit is worked off at once by the register write that fills it, at the cost of descriptor_ns an item.
#pragma once

#include "model/iommu.h"
#include "tools/system_config.h"
#include "trace/player.h"

#include <memory>

namespace ims {

// clang-format off
#define IMS_REPLAY_STATISTICS(X)                                                                                      \
  X(time_ps,           "ps",          "simulated, from the first event to the last")                                  \
  X(requests_ps,       "ps",          "of these, that devices waited for their requests")                             \
  X(software_ps,       "ps",          "of these, that software took: drivers, traps, handlers")                       \
  X(register_accesses, "accesses",    "to registers of IOMMUs that were charged")                                     \
  X(descriptors,       "descriptors", "and commands that were charged")                                               \
  X(interrupts,        "interrupts",  "that were handled")                                                            \
  X(services,          "requests",    "for pages, and stalls, that were served")                                      \
  X(traps,             "traps",       "of a guest's IOMMU: ioctls and answers that stand for what it emulates")
// clang-format on

class ReplayImpl;

// Made before the player and outliving it, whose PlayOptions::time it is:
//
//   Replay replay(trace, timing, config);
//   options.time = &replay;
//   Player player(trace, options, observer);
//   replay.run(player);
class Replay : public PlayTime {
public:
  Replay(const Trace &trace, model::Timing timing, const SystemConfig &config = {});
  ~Replay() override;

  // Instead of player.run(); throws what that throws. Once.
  void run(Player &player);

  model::Ticks now() const; // what has been charged included
  void collect(model::StatisticSink &sink) const;
  static const std::vector<std::string> &sections(); // of the configuration that are in force

  // To be told of what goes on in every IOMMU of the trace, from before run() on.
  void observe(model::IommuObserver *observer);

  // PlayTime, for the player.
  void begin(const Event &event) override;
  void end() override;
  void made(const Event &event, ims_iommu *unit) override;
  void made(const Event &event, const ims_endpoint *device) override;
  void note(const ims_note &note) override;
  void page_request(const ims_endpoint &device) override;
  void translate(const ims_endpoint &device, const ims_request &request, Translation *made) override;

private:
  std::unique_ptr<ReplayImpl> impl_;
};

} // namespace ims
