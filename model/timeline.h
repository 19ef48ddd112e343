// SPDX-License-Identifier: Apache-2.0
// A picture of what an IOMMU does, as Chrome trace events in JSON, for a window of simulated time; Perfetto shows it
// (docs: "Trace Event Format"). A unit is a process in it, with these tracks:
//
//   requests   each from its arrival until it has left
//   look-ups   what a request asks of caches before it reads memory; all there is of one that hits
//   walker N   from its first read on: reads, updates and look-ups, named by what they are
//   queue      the descriptors or commands that the unit executes
//   and counters: walkers taken, requests pending, look-ups that hit and missed
//
// An arrow leads from a request to its look-ups, its walks, and back to where it leaves. What happens at the same time has
// a track of its own beside the first, "look-ups (2)", so that slices of a track never overlap but by nesting.
//
// Slices are pairs of B and E, not X with a length: Perfetto rounds times and lengths to nanoseconds, each for itself, and
// drops slices that then stick out of the one around them; times alone keep their order. Times are microseconds, exact to
// the picosecond.
//
// Memory is that of the requests under way and does not grow with the run. The number of a request is free for another
// one once it has left. What takes steps without ever arriving is a translation ahead, and is over when it is finished.
#pragma once

#include "model/iommu.h"
#include "model/window.h"

#include <memory>
#include <vector>

namespace ims::model {

class Timeline {
public:
  // The architecture's number of a walk's level (1 = last), where that is another: ims_vmsa_level.
  using Level = int (*)(unsigned level);

  // Everything that the window sees is written, with its whole length; of requests that it sees, the steps that it sees.
  explicit Timeline(Writer writer, Window window = {});
  ~Timeline();
  Timeline(const Timeline &) = delete;
  Timeline &operator=(const Timeline &) = delete;

  // Observes a unit; lives as long as the timeline.
  IommuObserver &add_unit(const std::string &name, Level level = nullptr);

  // The end of the run, `end` its time: what is still under way ends here, marked as unfinished, and the file is complete.
  void finish(Ticks end);

private:
  class Unit;
  void event(const std::string &members);

  Writer write_;
  Window window_;
  std::vector<std::unique_ptr<Unit>> units_;
  bool begun_ = false, finished_ = false;
};

} // namespace ims::model
