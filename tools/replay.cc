// SPDX-License-Identifier: Apache-2.0
#include "tools/replay.h"
#include "iommu/smmuv3/events.h"
#include "model/observers.h"
#include "model/simulation.h"
#include "trace/events.h"

#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>
#include <systemc>
#include <vector>

namespace ims {

using namespace model;

namespace {

struct ReplayCounters {
  IMS_STATISTIC_FIELDS(IMS_REPLAY_STATISTICS)
};

// The request that is under way, as those see it who take part.
struct Current {
  ims::Translation *made = nullptr; // NULL: none is
  bool arrived = false, translated = false;
  bool left = false, answered = false; // the IOMMU is done with it; the device has its response
  bool paused = false;                 // both, and the kernel has been told to stop
  Ticks left_at = 0;
  uint64_t number = 0; // the IOMMU's

  // Approximately timed: the player goes on as soon as it is over.
  void look() {
    if (waits && left && answered && !paused) {
      paused = true;
      sc_core::sc_pause();
    }
  }
  bool waits = false; // for that
};

// An IOMMU of the trace. The unit comes when its event makes it.
class TimedUnit : public IommuObserver {
public:
  TimedUnit(const char *name, const IommuConfig &config, Current *current) : module(name, config), current_(current) {
    observers_.add(this);
    module.observe(&observers_);
  }

  Iommu module;
  void add(IommuObserver *observer) { observers_.add(observer); }

  void arrived(Ticks, uint64_t number, const ims_request &) override {
    current_->number = number;
    current_->arrived = true;
  }
  void step(Ticks, Ticks, uint64_t number, unsigned, ims_step_kind kind, const ims_step &s, bool hit) override {
    if (!is_current(number) || current_->translated)
      return;
    if (kind == IMS_STEP_READ)
      current_->made->reads[s.what]++;
    else if (kind == IMS_STEP_PROBE)
      (hit ? current_->made->hits : current_->made->misses)[s.cache]++;
  }
  void finished(Ticks, uint64_t number, const ims_request &, const ims_result &result) override {
    if (!is_current(number))
      return;
    current_->made->result = result;
    current_->translated = true;
  }
  void left(Ticks t, uint64_t number) override {
    if (!is_current(number))
      return;
    current_->left = true;
    current_->left_at = t;
    current_->look();
  }

private:
  bool is_current(uint64_t number) const { return current_->made && current_->arrived && number == current_->number; }

  Current *current_;
  Observers observers_;
};

// A device of the trace: where its requests begin.
class Path : public sc_core::sc_module {
public:
  Path(sc_core::sc_module_name name, TimedUnit &behind, const LinkConfig *config, Current *current)
      : sc_module(name), port("port", this, {&Path::done, nullptr, nullptr}), unit(behind), current_(current) {
    if (config) {
      link = std::make_unique<Link>("link", *config);
      port.socket.bind(link->port.socket);
      link->root.socket.bind(behind.module.device);
    } else {
      port.socket.bind(behind.module.device);
    }
  }

  RequestPort<Path> port;
  std::unique_ptr<Link> link;
  TimedUnit &unit;

private:
  void done(Payload &) {
    current_->answered = true;
    current_->look();
  }

  Current *current_;
};

// Names of modules, each once.
class Names {
public:
  std::string take(const std::string &wanted) {
    std::string name = wanted;
    for (unsigned i = 2; !taken_.insert(name).second; i++)
      name = wanted + "_" + std::to_string(i);
    return name;
  }

private:
  std::set<std::string> taken_;
};

// All of it.
class TimedMachine : public sc_core::sc_module {
public:
  TimedMachine(sc_core::sc_module_name name, const Trace &trace, const SystemConfig &config, ims_mem *bytes,
               const std::vector<IommuObserver *> &observers)
      : sc_module(name) {
    Names names;
    std::map<std::string, TimedUnit *> by_name; // the newest
    names.take("memory");
    names.take("llc");
    for (const Event &e : trace.events) {
      if (e.info->id == EventId::IOMMU) {
        std::string unit = e.find("NAME")->text;
        units.emplace_back(&e, new TimedUnit(names.take(unit).c_str(), config.iommu, &current));
        by_name[unit] = units.back().second.get();
      } else if (e.info->id == EventId::DEVICE) {
        bool linked = config.link.generation && !e.find("platform");
        TimedUnit &unit = *by_name.at(e.find("iommu")->text);
        paths.emplace_back(
            &e, new Path(names.take(e.find("NAME")->text).c_str(), unit, linked ? &config.link : nullptr, &current));
      }
    }
    for (auto &u : units) {
      TimedUnit &unit = *u.second;
      for (IommuObserver *o : observers)
        unit.add(o);
      // A unit without devices: its socket wants to be bound.
      if (std::none_of(paths.begin(), paths.end(), [&](const auto &p) { return &p.second->unit == &unit; }))
        unused_.emplace_back(new Path(names.take("unused").c_str(), unit, nullptr, &current));
    }
    if (!units.empty())
      build_memory(config, bytes);
  }

  std::vector<std::pair<const Event *, std::unique_ptr<TimedUnit>>> units; // in the order of the trace
  std::vector<std::pair<const Event *, std::unique_ptr<Path>>> paths;
  std::unique_ptr<Memory> memory;
  std::unique_ptr<Llc> llc;
  Current current;
  PayloadPool<DmaExtension> payloads;

private:
  void build_memory(const SystemConfig &config, ims_mem *bytes) {
    memory = std::make_unique<Memory>("memory", bytes, config.memory);
    if (config.llc.size_kb) {
      llc = std::make_unique<Llc>("llc", config.llc);
      llc->memory.socket.bind(memory->port.socket);
    }
    for (auto &[event, unit] : units) {
      if (llc)
        unit->module.memory.bind(llc->port.socket);
      else
        unit->module.memory.bind(memory->port.socket);
    }
  }

  std::vector<std::unique_ptr<Path>> unused_;
};

} // namespace

class ReplayImpl {
public:
  ReplayImpl(const Trace &trace, Timing timing, const SystemConfig &config)
      : trace_(trace), timing_(timing), config_(config) {}

  void run(Player &player);
  Ticks now() const { return machine_ ? Agenda::of_simulation().now() + owed_ : 0; }
  void collect(StatisticSink &sink) const;
  void begin(const Event &event);
  void settle() {
    owed_ += later_;
    later_ = 0;
  }
  void note(const ims_note &note);
  void page_request(const ims_endpoint &device);
  void translate(const ims_endpoint &device, const ims_request &request, ims::Translation *made);

  template <class List> static auto &module_of(List &list, const Event &event) {
    for (auto &[e, module] : list)
      if (e == &event)
        return *module;
    throw std::logic_error("replay: an event of another trace");
  }
  void attach(const Event &event, ims_iommu *unit) { module_of(machine_->units, event).module.attach(unit); }
  void attach(const Event &event, const ims_endpoint *device) {
    Path &path = module_of(machine_->paths, event);
    if (path.unit.module.unit() != device->unit)
      throw std::logic_error("replay: a device behind another IOMMU than the trace says");
    path_of_[device] = &path;
  }

  std::vector<IommuObserver *> observers_;

private:
  // Costs of software.
  void charge(Ticks time) { later_ += time; }
  void charge_us(uint32_t knob) { later_ += Ticks{knob} * NS; } // knobs in us are kept in ns
  void registers(unsigned accesses) {
    count_.register_accesses += accesses;
    charge(Ticks{accesses} * config_.iommu.register_ns);
    for (unsigned i = 0; config_.host.trapped && i < accesses; i++)
      trap();
  }
  void descriptor() {
    count_.descriptors++;
    charge(config_.iommu.descriptor_ns);
  }
  void service() {
    count_.services++;
    charge_us(config_.host.service_us);
  }
  void trap() {
    count_.traps++;
    charge_us(config_.host.trap_us);
  }
  void pay();

  const Trace &trace_;
  Timing timing_;
  SystemConfig config_;
  std::unique_ptr<Simulation> simulation_;
  std::unique_ptr<TimedMachine> machine_;
  std::map<const ims_endpoint *, Path *> path_of_; // looked up only
  ReplayCounters count_;
  // Charged, but not passed yet: what is over, and what the event or note at hand will have taken when the next one comes.
  Ticks owed_ = 0, later_ = 0;
};

void ReplayImpl::run(Player &player) {
  if (machine_)
    throw std::logic_error("replay: it has run already");
  simulation_ = std::make_unique<Simulation>();
  machine_ = std::make_unique<TimedMachine>("model", trace_, config_, player.memory(), observers_);
  Agenda &agenda = Agenda::of_simulation();
  agenda.run_ahead(false); // the player wants the kernel's clock to be right whenever it has its turn
  agenda.at(
      0, [](void *, uint64_t) {}, nullptr); // the first call of sc_start puts the modules together, and wants an event
  sc_core::sc_start(sc_core::SC_ZERO_TIME);
  player.run();
  pay();
  count_.time_ps = now();
}

// Time goes on, and with it what is under way beside the player.
static void pass(Ticks time) {
  if (time)
    sc_core::sc_start(to_sc(time));
}

// ---- What software takes --------------------------------------------------------------------------------------------
//
// The one table of it; docs/trace.md has it for people. Hardware that works for software while that waits (the queue) is
// part of it. What is not here takes no time.

void ReplayImpl::begin(const Event &e) {
  const HostConfig &host = config_.host;
  pay();
  switch (e.info->id) {
  case EventId::MMAP: // page tables of a process, or of the trace itself
  case EventId::MAP: charge_us(host.map_us); break;
  case EventId::MUNMAP:
  case EventId::MPROTECT:
  case EventId::EXIT:
  case EventId::UNMAP:
  case EventId::PROTECT: charge_us(host.unmap_us); break;
  case EventId::IOCTL: {
    const std::string &name = e.find("IOCTL")->text;
    auto is = [&](std::string_view begin) { return name.compare(0, begin.size(), begin) == 0; };
    if (is("VFIO_IOMMU_MAP_DMA") || is("IOMMU_IOAS_MAP") || is("IOMMU_IOAS_COPY"))
      charge_us(host.map_us);
    else if (is("VFIO_IOMMU_UNMAP_DMA") || is("IOMMU_IOAS_UNMAP"))
      charge_us(host.unmap_us);
    else if (is("VFIO_IOMMU_BIND") || is("VFIO_IOMMU_NESTING_OP") || is("VFIO_IOMMU_CACHE_INVALIDATE") ||
             is("VFIO_IOMMU_SET_PASID_TABLE") || is("IOMMU_HWPT_INVALIDATE") || is("VFIO_DEVICE_ATTACH_IOMMUFD_PT") ||
             is("VFIO_DEVICE_DETACH_IOMMUFD_PT"))
      trap(); // the VMM follows what the guest did to its own IOMMU
    break;
  }
  case EventId::PAGE_RESPONSE: trap(); break;
  case EventId::MMIO_WRITE:
  case EventId::MMIO_READ: registers(1); break;
  case EventId::DESCRIPTOR: // the trace is the driver: the item, then the tail
  case EventId::COMMAND:
    charge_us(host.invalidate_us);
    registers(1);
    descriptor();
    break;
  case EventId::EVENT_READ: // where the queue ends, and that its head moves on
  case EventId::REQUEST_READ: registers(2); break;
  default: break;
  }
}

void ReplayImpl::note(const ims_note &n) {
  settle();
  switch (n.kind) {
  case IMS_NOTE_MMIO_WRITE: registers(1); break;
  case IMS_NOTE_DESCRIPTOR: descriptor(); break;
  case IMS_NOTE_COMPLETE: // the end of a submission
    charge_us(config_.host.invalidate_us);
    if (config_.host.completion == COMPLETION_INTERRUPT)
      charge_us(config_.host.interrupt_us);
    break;
  case IMS_NOTE_INTERRUPT:
    count_.interrupts++;
    charge_us(config_.host.interrupt_us);
    break;
  case IMS_NOTE_FAULT:
    if (n.arch == IMS_ARCH_SMMUV3) { // from the queue in memory; a stall is served like a page request
      const ims_smmuv3_event_info *info =
          ims_smmuv3_event_find(static_cast<unsigned>(ims_smmuv3_event_get(n.word, IMS_SMMUV3_EVENT_ID_FIELD)));
      if (info && info->fields >> IMS_SMMUV3_EVENT_STALL_FIELD & 1 &&
          ims_smmuv3_event_get(n.word, IMS_SMMUV3_EVENT_STALL_FIELD))
        service();
    } else {
      registers(2);
    }
    break;
  case IMS_NOTE_PAGE_REQUEST: service(); break;
  default: break; // stores to tables are part of map and unmap; the log is free
  }
}

// Its way to the unit; where it goes on from there, the note of the kernel tells.
void ReplayImpl::page_request(const ims_endpoint &device) {
  settle();
  auto found = path_of_.find(&device);
  if (found == path_of_.end())
    return;
  if (const Link *link = found->second->link.get())
    charge(link->wire_time(1, link->config().request_header, 0) + link->config().up_ns);
  charge(config_.iommu.request_ns);
}

void ReplayImpl::pay() {
  settle();
  if (!owed_)
    return;
  Ticks time = owed_;
  count_.software_ps += time;
  owed_ = 0;
  pass(time);
}

// ---- Requests -------------------------------------------------------------------------------------------------------

void ReplayImpl::translate(const ims_endpoint &device, const ims_request &request, ims::Translation *made) {
  pay();
  Path &path = *path_of_.at(&device);
  Payload &p = machine_->payloads.get();
  auto *e = p.get_extension<DmaExtension>();
  *e = DmaExtension();
  e->source = request.source;
  e->pasid = request.pasid;
  e->has_pasid = request.has_pasid;
  e->type = request.type;
  e->access = request.access;
  e->atomic = (request.access & IMS_ACC_R) && (request.access & IMS_ACC_W);
  e->no_write = request.no_write;
  e->bytes = device.piece;
  e->stall_returns = true;
  e->issued = now();
  set_payload(p, tlm::TLM_IGNORE_COMMAND, request.iova, nullptr, 0);

  Current &c = machine_->current;
  Ticks began = now();
  c = Current();
  c.made = made;
  if (timing_ == Timing::LT) {
    sc_core::sc_time t = sc_core::SC_ZERO_TIME;
    path.port.socket->b_transport(p, t);
    // A posted write is over when it has reached the memory.
    pass(std::max<Ticks>(began + t.value(), c.left_at) - began);
  } else {
    c.waits = true;
    path.port.send(p);
    sc_core::sc_start(); // until Current::look() pauses it
    if (!c.paused)
      throw std::logic_error("replay: a request has never come back");
  }
  c.made = nullptr;
  count_.requests_ps += now() - began;
  p.release();
  if (!c.translated)
    throw std::logic_error("replay: a request was not translated");
}

// ---- Statistics -----------------------------------------------------------------------------------------------------

void ReplayImpl::collect(StatisticSink &sink) const {
  IMS_STATISTIC_TELL(sink, "model", count_, IMS_REPLAY_STATISTICS)
  if (!machine_)
    return;
  for (const auto &[event, unit] : machine_->units)
    unit->module.collect(sink);
  for (const auto &[event, path] : machine_->paths)
    if (path->link)
      path->link->collect(sink);
  if (machine_->llc)
    machine_->llc->collect(sink);
  if (machine_->memory)
    machine_->memory->collect(sink);
}

Replay::Replay(const Trace &trace, Timing timing, const SystemConfig &config)
    : impl_(std::make_unique<ReplayImpl>(trace, timing, config)) {}
Replay::~Replay() = default;
void Replay::run(Player &player) { impl_->run(player); }
Ticks Replay::now() const { return impl_->now(); }
void Replay::collect(StatisticSink &sink) const { impl_->collect(sink); }
const std::vector<std::string> &Replay::sections() {
  static const std::vector<std::string> names = {"link", "iommu", "llc", "memory", "host"};
  return names;
}
void Replay::observe(IommuObserver *observer) { impl_->observers_.push_back(observer); }
void Replay::begin(const Event &event) { impl_->begin(event); }
void Replay::end() { impl_->settle(); }
void Replay::made(const Event &event, ims_iommu *unit) { impl_->attach(event, unit); }
void Replay::made(const Event &event, const ims_endpoint *device) { impl_->attach(event, device); }
void Replay::note(const ims_note &note) { impl_->note(note); }
void Replay::page_request(const ims_endpoint &device) { impl_->page_request(device); }
void Replay::translate(const ims_endpoint &device, const ims_request &request, ims::Translation *made) {
  impl_->translate(device, request, made);
}

} // namespace ims
