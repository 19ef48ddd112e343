// SPDX-License-Identifier: Apache-2.0
#include "tools/system.h"
#include "tools/interrupt.h"
#include "tools/progress.h"

#include "model/intervals.h"
#include "model/timeline.h"
#include "model/vcd.h"

#include <algorithm>

namespace ims {

using namespace model;

// The device's accesses: first those that touch all pages, then those of its pattern, until somebody says that it is
// enough. Ending a run here lets all that is under way come to its end.
class System::Accesses : public Pattern {
public:
  Accesses(std::unique_ptr<Pattern> inner, std::vector<Access> touches)
      : inner_(std::move(inner)), touches_(std::move(touches)) {}

  bool next(Access *access) override { return next(access, 1) == 1; }
  size_t next(Access *list, size_t room) override {
    if (limit) // as late as can be
      room = std::min<size_t>(room, 1);
    if (!more(room))
      return 0;
    size_t n = 0;
    while (n < room && touch(&list[n]))
      n++;
    return n < room ? n + inner_->next(list + n, room - n) : n;
  }
  uint32_t chains() const override { return inner_->chains(); }
  bool next_of(uint32_t chain, Access *access) override {
    return more(1) && (touch(access) || inner_->next_of(chain, access));
  }

  Agenda *agenda = nullptr;
  Progress *progress = nullptr;
  Ticks limit = 0;
  bool stopped = false, out_of_time = false;

private:
  bool more(uint64_t wanted) {
    taken_ += wanted;
    if (taken_ >= look_at_) {
      look_at_ = taken_ + 256;
      if (progress)
        progress->at(taken_);
      stopped = stopped || interrupted();
    }
    if (limit && agenda->now() >= limit)
      out_of_time = true;
    return !stopped && !out_of_time;
  }
  bool touch(Access *access) {
    if (touched_ == touches_.size())
      return false;
    *access = touches_[touched_++];
    return true;
  }

  std::unique_ptr<Pattern> inner_;
  std::vector<Access> touches_;
  size_t touched_ = 0;
  uint64_t taken_ = 0, look_at_ = 0;
};

// What each translation read, once the device counts.
class System::ReferenceCounter : public IommuObserver {
public:
  ReferenceCounter(const Device &device, Histogram *reads) : device_(device), reads_(reads) {}
  void finished(Ticks, uint64_t number, const ims_request &, const ims_result &result) override {
    const bool ahead = number & AHEAD; // no request
    if (!ahead && device_.counters().done >= device_.config().warmup)
      reads_->add(result.refs);
  }

private:
  const Device &device_;
  Histogram *reads_;
};

struct System::Watchers {
  Observers all;
  std::unique_ptr<ReferenceCounter> references;
  std::unique_ptr<Timeline> timeline;
  std::unique_ptr<Vcd> vcd;
  std::unique_ptr<Intervals> intervals;
};

static std::vector<Access> touches(const Machine &machine) {
  std::vector<Access> all;
  const uint64_t step = machine.page_bytes();
  for (uint32_t i = 0; i < machine.streams().size(); i++)
    for (uint64_t offset = 0; offset < machine.streams()[i].bytes; offset += step) {
      Access a;
      a.offset = offset;
      a.bytes = 8;
      a.stream = i;
      all.push_back(a);
    }
  return all;
}

// Software has gone through all windows, one after the other.
static void warm(const Machine &machine, Llc &llc) {
  for (size_t i = 0; i < machine.streams().size(); i++) {
    const Stream &s = machine.streams()[i];
    for (uint64_t page = 0; page < s.bytes; page += machine.page_bytes()) {
      const uint64_t frame = machine.frame(i, s.iova + page);
      for (uint64_t line = 0; line < machine.page_bytes(); line += 64)
        llc.warm(frame + line);
    }
  }
}

// What is mapped for each DMA is not mapped at the start.
static SystemConfig as_built(SystemConfig c) {
  if (c.device.map == MAP_STREAM)
    c.machine.premap = 0;
  return c;
}

System::System(const SystemConfig &config, Timing timing, const SystemInput &input)
    : config_(as_built(config)), agenda_(Agenda::of_simulation()),
      machine_(std::make_unique<Machine>(config_.machine, config.vtd, config.smmuv3)),
      memory_(std::make_unique<Memory>("mem0", machine_->memory(), config.memory)),
      iommu_(std::make_unique<Iommu>("iommu0", machine_->maker(), config.iommu)),
      watchers_(std::make_unique<Watchers>()) {
  const std::vector<Stream> &streams = machine_->streams();
  std::unique_ptr<Pattern> pattern = config.device.pattern == PATTERN_TRACE
                                         ? parse_trace(input.trace, input.trace_name, streams)
                                         : make_pattern(config.device.pattern_config(), streams);
  std::vector<Access> first;
  if (input.touch && config.device.map == MAP_STATIC)
    first = touches(*machine_);
  DeviceConfig &device = config_.device;
  device.warmup += static_cast<uint32_t>(first.size());
  if (device.count)
    device.count += static_cast<uint32_t>(first.size());
  auto accesses = std::make_unique<Accesses>(std::move(pattern), std::move(first));
  accesses_ = accesses.get();
  accesses_->agenda = &agenda_;
  device_ = std::make_unique<Device>("dev0", device, streams, std::move(accesses), timing);

  if (config.llc.size_kb) {
    llc_ = std::make_unique<Llc>("llc", config.llc);
    iommu_->memory.bind(llc_->port.socket);
    llc_->memory.socket.bind(memory_->port.socket);
    if (config.llc.warm)
      warm(*machine_, *llc_);
  } else {
    iommu_->memory.bind(memory_->port.socket);
  }
  if (config.link.generation) {
    link_ = std::make_unique<Link>("link", config.link);
    device_->port.socket.bind(link_->port.socket);
    link_->root.socket.bind(iommu_->device);
    iommu_->message.bind(link_->message_port.socket);
    link_->message.socket.bind(device_->messages.socket);
  } else {
    device_->port.socket.bind(iommu_->device);
    iommu_->message.bind(device_->messages.socket);
  }
  host_ = std::make_unique<Host>("host", *machine_, config.host, timing);
  host_->registers.socket.bind(iommu_->registers);
  iommu_->interrupt.bind(host_->interrupts.socket);
  device_->use_mapper(host_.get());
  machine_->start(*iommu_);
  device_->on_finished([this] { finished_ = agenda_.now(); });
}

System::~System() = default;

void System::timeline(Writer writer, Window window) {
  watchers_->timeline = std::make_unique<Timeline>(std::move(writer), window);
  watchers_->all.add(&watchers_->timeline->add_unit("iommu0", arch_of(iommu_->unit()).level));
}

void System::vcd(Writer writer, Window window) {
  watchers_->vcd = std::make_unique<Vcd>(std::move(writer), window);
  watchers_->all.add(&watchers_->vcd->add_unit("iommu0"));
}

void System::intervals(Ticks every, Writer writer) {
  Intervals &i = *(watchers_->intervals = std::make_unique<Intervals>(every, std::move(writer)));
  i.add("dev0.done", "DMAs", [this] { return device_->counters().done; });
  i.add("dev0.failed", "DMAs", [this] { return device_->counters().failed; });
  i.add("dev0.bytes", "bytes", [this] { return device_->counters().bytes_read + device_->counters().bytes_written; });
  i.add("iommu0.requests", "requests", [this] { return iommu_->counters().requests; });
  i.add("iommu0.hits", "requests", [this] { return iommu_->counters().hits; });
  i.add("iommu0.misses", "requests", [this] { return iommu_->counters().misses; });
  i.add("iommu0.walk_reads", "reads", [this] { return iommu_->counters().walk_reads; });
  i.add("iommu0.faulted", "requests", [this] { return iommu_->counters().faulted; });
  i.add("mem0.reads", "requests", [this] { return memory_->counters().reads; });
  i.add("mem0.writes", "requests", [this] { return memory_->counters().writes; });
}

void System::count_references() {
  watchers_->references = std::make_unique<ReferenceCounter>(*device_, &references_);
  watchers_->all.add(watchers_->references.get());
}

System::End System::run(Progress *progress, Ticks limit) {
  accesses_->progress = progress;
  accesses_->limit = limit;
  if (!watchers_->all.empty())
    iommu_->observe(&watchers_->all);
  if (watchers_->intervals)
    watchers_->intervals->start();
  simulation_.run();
  if (watchers_->intervals)
    watchers_->intervals->finish();
  if (watchers_->timeline)
    watchers_->timeline->finish(agenda_.now());
  if (watchers_->vcd)
    watchers_->vcd->finish(agenda_.now());
  if (!device_->finished())
    return STUCK;
  return accesses_->stopped ? INTERRUPTED : accesses_->out_of_time ? OUT_OF_TIME : FINISHED;
}

uint64_t System::rate() const {
  __extension__ typedef unsigned __int128 Wide;
  const Device::Counted &c = device_->counted();
  return c.to > c.from ? static_cast<uint64_t>(static_cast<Wide>(c.dmas) * 1000 * MS / (c.to - c.from)) : 0;
}

const Histogram &System::latency() const { return device_->latency(); }

void System::collect(StatisticSink &sink) const {
  sink.count("", "time", "ps", "simulated, until the device had finished", now());
  device_->collect(sink);
  if (link_)
    link_->collect(sink);
  iommu_->collect(sink);
  if (llc_)
    llc_->collect(sink);
  memory_->collect(sink);
  host_->collect(sink);
}

std::string System::taken() const {
  std::string text;
  auto add = [&](const char *name, size_t n) {
    if (n)
      text += (text.empty() ? "" : " ") + std::string(name) + "=" + std::to_string(n);
  };
  Iommu::Occupancy i = iommu_->occupancy();
  add("iommu0.pending", i.pending);
  add("iommu0.walkers", i.walkers);
  add("iommu0.at_door", i.at_door);
  add("iommu0.merged", i.merged);
  add("iommu0.stalled", i.stalled);
  add("iommu0.prefetches", i.prefetches);
  add("iommu0.messages", i.messages);
  add("iommu0.look_ups", i.look_ups);
  Device::Occupancy d = device_->occupancy();
  add("dev0.tags", d.tags);
  add("dev0.translations", d.translations);
  add("dev0.page_requests", d.page_requests);
  add("dev0.waiting", d.waiting);
  add("dev0.invalidations", d.invalidations);
  add("dev0.payloads", d.payloads);
  Host::Occupancy h = host_->occupancy();
  add("host.jobs", h.jobs);
  add("host.cores", h.cores);
  add("host.traps", h.traps);
  add("host.groups", h.groups);
  if (link_)
    add("link.in_flight", link_->in_flight());
  if (llc_)
    add("llc.in_flight", llc_->in_flight());
  return text;
}

} // namespace ims
