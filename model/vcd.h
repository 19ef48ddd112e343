// SPDX-License-Identifier: Apache-2.0
// Value change dump (IEEE 1364-2005, 18.2), which waveform viewers open: how full queues are, how many walkers are taken,
// how many look-ups hit and missed.
//
// SystemC's own sc_trace is no use here: it writes the date of the host, so that no two files are alike, and it samples at
// every delta cycle of a kernel that the agenda runs ahead of. This writer is told of changes, with their times, and
// writes them when time goes on: what changes twice at the same time changes once.
#pragma once

#include "model/iommu.h"
#include "model/window.h"

#include <memory>
#include <vector>

namespace ims::model {

class Vcd {
public:
  explicit Vcd(Writer writer, Window window = {});
  Vcd(const Vcd &) = delete;
  Vcd &operator=(const Vcd &) = delete;

  // Declares a variable of 1 to 64 bits that begins as 0, and returns its number. "iommu0.pending": what stands before
  // dots is scopes. Before the first set().
  size_t add(const std::string &name, unsigned bits);

  // Declares walkers, pending, hits and misses of a unit; what is returned observes it, and lives as long as this.
  IommuObserver &add_unit(const std::string &name);

  // `variable` is `value` from `t` on. A time before one that has been told already counts as the latter.
  void set(Ticks t, size_t variable, uint64_t value);

  // The end of the run: what is not written yet, and how long it lasted. set() does nothing from then on.
  void finish(Ticks end);

private:
  struct Variable {
    std::string name, id;
    unsigned bits;
    uint64_t value, shown; // now; and before now
  };
  class Unit;
  void head();
  void settle(); // now_ is over
  void begin();  // the values at the window's beginning
  void put(const Variable &v);

  Writer write_;
  Window window_;
  std::vector<Variable> variables_;
  std::vector<std::unique_ptr<IommuObserver>> units_;
  Ticks now_ = 0, written_ = 0;
  bool changed_ = false, headed_ = false, begun_ = false, finished_ = false;
};

} // namespace ims::model
