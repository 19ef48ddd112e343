// SPDX-License-Identifier: Apache-2.0
// Counters over time: every so often, by how much each has grown since, as a line of CSV. What happens at the very end of
// an interval counts in it or in the next one, as the order of the agenda has it.
//
// A watcher like this puts itself on the agenda again only while something else is to happen, so that the run can end. Two
// of them would keep each other going: one for a simulation, with all its counters. The run's last action may be the
// watcher's, so that the clock stands up to one interval behind the last thing that happened.
#pragma once

#include "model/agenda.h"
#include "model/window.h"

#include <vector>

namespace ims::model {

class Intervals {
public:
  using Read = std::function<uint64_t()>; // a counter that never falls

  // `every` > 0.
  Intervals(Ticks every, Writer writer);
  Intervals(const Intervals &) = delete;
  Intervals &operator=(const Intervals &) = delete;

  void add(const std::string &name, const std::string &unit, Read read); // before start()

  // Writes the heading, notes what the counters show now, and begins. During elaboration, or from an action; the object
  // has to live until the simulation has ended.
  void start();

  // After the run: the rest, if time has passed since the last line.
  void finish();

private:
  struct Counter {
    std::string name, unit;
    Read read;
    uint64_t last;
  };
  void tick(uint64_t);
  void row(Ticks now);

  Ticks every_, last_ = 0;
  Writer write_;
  std::vector<Counter> counters_;
};

} // namespace ims::model
