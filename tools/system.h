// SPDX-License-Identifier: Apache-2.0
// A whole system in time, out of a configuration: a device, the IOMMU, the memory behind it, the host's software, and the
// bytes of a machine whose tables, queues and unit are set up before time begins.
//
//   device --> [link] --> iommu --> [llc] --> memory          messages: iommu --> [link] --> device
//   host --> iommu: registers                                 iommu --> host: interrupts
//
// The link is there if it has a generation, the LLC if it has a size. One system at a time, one after the other; each is a simulation of its own.
#pragma once

#include "model/device.h"
#include "model/iommu.h"
#include "model/observers.h"
#include "model/simulation.h"
#include "model/window.h"
#include "tools/system_config.h"

#include <memory>
#include <string>
#include <vector>

namespace ims {

class Progress;

struct SystemInput {
  // Every page of every window is read once before the device begins; not counted. Not with device.map = stream.
  bool touch = false;
  std::string trace; // of device.pattern = trace: the text
  std::string trace_name;
};

class System {
public:
  // Throws std::exception with a sentence: the configuration cannot be.
  System(const SystemConfig &config, model::Timing timing, const SystemInput &input = {});
  ~System();
  System(const System &) = delete;
  System &operator=(const System &) = delete;

  // Before run(). What is written is complete once run() has returned.
  void timeline(model::Writer writer, model::Window window);
  void vcd(model::Writer writer, model::Window window);
  void intervals(model::Ticks every, model::Writer writer);
  // Fills references(): costs a call a translation.
  void count_references();

  enum End {
    FINISHED,    // the device has done all it had to do
    INTERRUPTED, // SIGINT (tools/interrupt.h): what was under way has ended, nothing else was begun
    OUT_OF_TIME, // likewise at `limit`
    STUCK        // nothing is left to happen, and DMAs are under way
  };
  // Once. `limit`: of simulated time; 0 = none.
  End run(Progress *progress = nullptr, model::Ticks limit = 0);

  // When the device had finished; until then, or if it never does, how far the simulation is. What follows (the last of
  // prefetches, write-backs, flushes) is not to change what rates are counted over; nor is somebody who watches.
  model::Ticks now() const { return device_->finished() ? finished_ : agenda_.now(); }
  uint64_t rate() const; // DMAs that arrived in a second of simulated time, after the warm-up
  const model::Histogram &latency() const;
  const model::Histogram &references() const { return references_; } // of every translation after the warm-up
  void collect(model::StatisticSink &sink) const;
  std::string taken() const; // what is taken right now: "iommu0.walkers=2 dev0.tags=3"; empty: nothing

  model::Machine &machine() { return *machine_; }
  const model::Iommu &iommu() const { return *iommu_; }
  const model::Memory &memory() const { return *memory_; }
  const model::Link *link() const { return link_.get(); } // NULL: there is none
  const model::Llc *llc() const { return llc_.get(); }
  const model::Device &device() const { return *device_; }
  const model::Host &host() const { return *host_; }
  const SystemConfig &config() const { return config_; }

private:
  class Accesses;
  class ReferenceCounter;
  struct Watchers;

  SystemConfig config_; // the device's with what `touch` adds
  model::Simulation simulation_;
  model::Agenda &agenda_;
  std::unique_ptr<model::Machine> machine_;
  std::unique_ptr<model::Memory> memory_;
  std::unique_ptr<model::Llc> llc_;
  std::unique_ptr<model::Iommu> iommu_;
  std::unique_ptr<model::Link> link_;
  std::unique_ptr<model::Device> device_;
  std::unique_ptr<model::Host> host_;
  Accesses *accesses_ = nullptr; // the device's
  model::Ticks finished_ = 0;
  model::Histogram references_;
  std::unique_ptr<Watchers> watchers_;
};

} // namespace ims
