// SPDX-License-Identifier: Apache-2.0
// All at once, at random: faults, stalls, page requests, invalidations, requests dropped and sent again, translations ahead.
// Whatever happened, at the end every request was answered, every resource is free, and the sums hold.
#include "model/device.h"
#include "model/host.h"
#include "model/link.h"
#include "model/llc.h"
#include "tests/model/rig.h"

#include <gtest/gtest.h>

#include <sstream>

using namespace ims::model;

namespace {

constexpr uint32_t RUNS = 50;

struct PlatformConfig {
  MachineConfig machine;
  ims_vtd_config vtd = vtd_config();
  ims_smmuv3_config smmu = smmuv3_config();
  MemoryConfig memory;
  LlcConfig llc; // size_kb = 0: none
  IommuConfig iommu;
  LinkConfig link; // generation = 0: none
  DeviceConfig device;
  HostConfig host;
  Timing timing = Timing::AT;
  uint32_t chains = 0; // of unmaps and maps, all the time
  uint32_t holes = 0;  // of 8 unmapped pages, those that a fault has to bring back
};

// Unmaps pages and maps them again, or leaves them to whoever serves faults, until the device is done. Each chain has pages
// of its own.
class Churn {
public:
  Churn(Host &host, const Machine &machine, const Device &device, uint32_t chains, uint32_t holes, uint32_t seed)
      : host_(host), machine_(machine), device_(device), chains_(chains), holes_(holes), random_(seed), place_(chains) {
    for (uint32_t i = 0; i < chains; i++)
      agenda_.at<&Churn::go>(i * 100 * NS, this, i);
  }
  uint64_t asked = 0, ended = 0;

private:
  struct Place {
    size_t stream = 0;
    uint64_t iova = 0;
  };
  void go(uint64_t chain) {
    if (device_.finished())
      return;
    Place &p = place_[chain];
    p.stream = random_.below(machine_.streams().size());
    const Stream &s = machine_.streams()[p.stream];
    uint64_t pages = s.bytes / machine_.page_bytes();
    if (pages <= chain)
      return;
    uint64_t mine = (pages - chain + chains_ - 1) / chains_;
    p.iova = s.iova + (chain + chains_ * random_.below(mine)) * machine_.page_bytes();
    asked++;
    host_.unmap(p.stream, p.iova, machine_.page_bytes(), DmaMapper::done<&Churn::unmapped>(this, chain));
  }
  void unmapped(uint64_t chain, bool) {
    ended++;
    agenda_.at<&Churn::back>(agenda_.now() + random_.below(5000) * NS, this, chain);
  }
  void back(uint64_t chain) {
    if (random_.below(8) < holes_) {
      go(chain);
      return;
    }
    const Place &p = place_[chain];
    asked++;
    host_.map(p.stream, p.iova, machine_.page_bytes(), DmaMapper::done<&Churn::mapped>(this, chain));
  }
  void mapped(uint64_t chain, bool) {
    ended++;
    agenda_.at<&Churn::go>(agenda_.now() + random_.below(5000) * NS, this, chain);
  }

  Host &host_;
  const Machine &machine_;
  const Device &device_;
  uint32_t chains_, holes_;
  Random random_;
  std::vector<Place> place_;
  Agenda &agenda_ = Agenda::of_simulation();
};

class Text : public StatisticSink {
public:
  std::ostringstream out;
  void count(const std::string &object, const char *name, const char *, const char *, uint64_t value) override {
    out << object << "." << name << " " << value << "\n";
  }
  void mean(const std::string &object, const char *name, const char *, const char *, uint64_t sum,
            uint64_t n) override {
    out << object << "." << name << " " << sum << "/" << n << "\n";
  }
  void histogram(const std::string &object, const char *name, const char *, const char *, const Histogram &h) override {
    out << object << "." << name << " " << h.count() << " " << h.sum() << " " << h.min() << " " << h.max() << "\n";
    h.each([this](uint64_t first, uint64_t, uint64_t n) { out << "  " << first << " " << n << "\n"; });
  }
};

// Sums of the requesters' statistics: of sources, and of their PASIDs.
class ByRequester : public StatisticSink {
public:
  uint64_t source_requests = 0, source_misses = 0, source_faults = 0, pasid_requests = 0;
  unsigned sources = 0;
  void count(const std::string &object, const char *name, const char *, const char *, uint64_t value) override {
    const std::string what = name;
    const bool pasid = object.find(".pasid.") != std::string::npos;
    if (object.find(".source.") == std::string::npos)
      return;
    if (pasid)
      pasid_requests += what == "requests" ? value : 0;
    else
      (what == "requests" ? source_requests : what == "misses" ? source_misses : source_faults) += value;
    sources += !pasid && what == "requests";
  }
  void mean(const std::string &, const char *, const char *, const char *, uint64_t, uint64_t) override {}
  void histogram(const std::string &, const char *, const char *, const char *, const Histogram &) override {}
};

struct Platform {
  static constexpr Ticks PATIENCE = 500 * MS;
  static constexpr uint64_t ENDURANCE = 5000000; // actions

  Platform(const PlatformConfig &c, uint32_t seed)
      : config(c), machine(c.machine, c.vtd, c.smmu), memory("mem0", machine.memory(), c.memory),
        iommu("iommu0", machine.maker(), c.iommu),
        device("dev0", c.device, machine.streams(), make_pattern(c.device.pattern_config(), machine.streams()),
               c.timing),
        host("host", machine, c.host, c.timing), churn(host, machine, device, c.chains, c.holes, seed) {
    if (c.llc.size_kb) {
      llc = std::make_unique<Llc>("llc", c.llc);
      iommu.memory.bind(llc->port.socket);
      llc->memory.socket.bind(memory.port.socket);
    } else {
      iommu.memory.bind(memory.port.socket);
    }
    if (c.link.generation) {
      link = std::make_unique<Link>("link", c.link);
      device.port.socket.bind(link->port.socket);
      link->root.socket.bind(iommu.device);
      iommu.message.bind(link->message_port.socket);
      link->message.socket.bind(device.messages.socket);
    } else {
      device.port.socket.bind(iommu.device);
      iommu.message.bind(device.messages.socket);
    }
    host.registers.socket.bind(iommu.registers);
    iommu.interrupt.bind(host.interrupts.socket);
    machine.start(iommu);
  }

  // Somebody who polls for what never comes would go on for ever.
  void look(uint64_t) {
    Agenda &agenda = Agenda::of_simulation();
    if (device.finished() && !host.occupancy().jobs)
      return;
    gave_up = agenda.now() > PATIENCE || agenda.actions() > ENDURANCE;
    if (gave_up)
      agenda.clear();
    else
      agenda.at<&Platform::look>(agenda.now() + 100 * US, this);
  }
  void run() {
    Agenda::of_simulation().at<&Platform::look>(100 * US, this);
    simulation.run();
  }
  std::string statistics() const {
    Text t;
    device.collect(t);
    if (link)
      link->collect(t);
    iommu.collect(t);
    if (llc)
      llc->collect(t);
    memory.collect(t);
    host.collect(t);
    return t.out.str();
  }

  const PlatformConfig config;
  Simulation simulation;
  Machine machine;
  Memory memory;
  std::unique_ptr<Llc> llc;
  Iommu iommu;
  std::unique_ptr<Link> link;
  Device device;
  Host host;
  Churn churn;
  bool gave_up = false;
};

// Nothing is under way.
void expect_idle(const Platform &p) {
  EXPECT_FALSE(p.gave_up);
  EXPECT_TRUE(p.device.finished());
  Iommu::Occupancy i = p.iommu.occupancy();
  EXPECT_EQ(0u, i.pending);
  EXPECT_EQ(0u, i.walkers);
  EXPECT_EQ(0u, i.at_door);
  EXPECT_EQ(0u, i.merged);
  EXPECT_EQ(0u, i.stalled);
  EXPECT_EQ(0u, i.prefetches);
  EXPECT_EQ(0u, i.messages);
  EXPECT_EQ(0u, i.look_ups);
  Device::Occupancy d = p.device.occupancy();
  EXPECT_EQ(0u, d.tags);
  EXPECT_EQ(0u, d.translations);
  EXPECT_EQ(0u, d.page_requests);
  EXPECT_EQ(0u, d.waiting);
  EXPECT_EQ(0u, d.invalidations);
  EXPECT_EQ(0u, d.payloads);
  Host::Occupancy h = p.host.occupancy();
  EXPECT_EQ(0u, h.jobs);
  EXPECT_EQ(0u, h.cores);
  EXPECT_EQ(0u, h.traps);
  EXPECT_EQ(0u, h.groups);
  EXPECT_EQ(0u, h.deferred);
  if (p.link) {
    EXPECT_EQ(0u, p.link->in_flight());
  }
  if (p.llc) {
    EXPECT_EQ(0u, p.llc->in_flight());
  }
}

// What goes in comes out. `i`: of the IOMMU and so on.
void expect_conservation(const Platform &p) {
  const DeviceCounters &d = p.device.counters();
  const IommuCounters &i = p.iommu.counters();
  const HostCounters &h = p.host.counters();
  const MemoryCounters &m = p.memory.counters();
  const bool at = p.config.timing == Timing::AT;

  EXPECT_EQ(p.config.device.count, d.issued);
  EXPECT_EQ(d.issued, d.done + d.failed);
  EXPECT_EQ(d.failed, d.not_mapped + d.refused + d.no_rights + d.no_memory);
  EXPECT_EQ(d.done, p.device.latency().count());
  EXPECT_EQ(0u, d.no_memory);

  // Each request that was sent arrived, and had one end.
  EXPECT_EQ(d.untranslated + d.translated + d.translation_requests, i.requests);
  EXPECT_EQ(i.requests, i.translated + i.faulted + i.dropped + (at ? 0 : i.stalled));
  EXPECT_EQ(i.hits + i.misses, i.translated + i.faulted);
  ByRequester by;
  p.iommu.collect(by);
  EXPECT_EQ(i.translated + i.faulted, by.source_requests);
  EXPECT_EQ(i.misses, by.source_misses);
  EXPECT_EQ(i.faulted, by.source_faults);
  EXPECT_LE(by.sources, p.config.machine.tenants);
  // Translated requests need no PASID any more.
  const uint64_t with_pasid = p.config.machine.pasid_requests ? by.source_requests - d.translated : 0;
  EXPECT_LE(with_pasid, by.pasid_requests);
  if (!p.config.machine.ats) {
    EXPECT_EQ(with_pasid, by.pasid_requests);
  }
  if (!p.link) { // posted writes are lost on the way
    EXPECT_EQ(d.retried, i.dropped);
  }
  EXPECT_EQ(d.page_requests, i.page_requests);
  EXPECT_EQ(d.page_requests, d.page_success + d.page_invalid + d.page_failure);
  EXPECT_EQ(d.invalidations + i.device_timeouts, i.device_invalidations);
  EXPECT_EQ(0u, i.device_timeouts);

  // Translations ahead.
  EXPECT_EQ(i.prefetches, i.prefetches_done + i.prefetches_dropped);

  // Memory sees what the walkers do.
  EXPECT_EQ(0u, i.bus_errors);
  EXPECT_EQ(0u, m.errors);
  if (!p.llc) {
    EXPECT_EQ(i.walk_reads + i.descriptors, m.walker_reads);
    EXPECT_EQ(i.updates, m.swaps);
  }

  // What software asked for was done.
  EXPECT_EQ(p.churn.asked, p.churn.ended);
  EXPECT_EQ(p.churn.asked, h.maps + h.unmaps + h.failed);
  EXPECT_EQ(h.descriptors, i.descriptors);
  if (p.config.machine.ats) { // a wait for the IOMMU, and one for the device
    EXPECT_LE(h.submissions, i.waits);
  } else {
    EXPECT_EQ(h.submissions, i.waits);
  }
  EXPECT_EQ(i.stalled, h.stalls);
  if (!at) {
    EXPECT_EQ(d.stalls, d.resumed);
  }
}

// One of many values, by name: the number of a run says all of its configuration.
struct Dice {
  explicit Dice(uint32_t seed) : random(seed) {}
  Random random;
  uint32_t of(uint32_t low, uint32_t high) { return low + static_cast<uint32_t>(random.below(high - low + 1)); }
  bool yes(uint32_t percent = 50) { return random.below(100) < percent; }
  uint32_t among(std::initializer_list<uint32_t> list) { return *(list.begin() + random.below(list.size())); }
};

PlatformConfig random_config(uint32_t seed, MachineArch arch) {
  Dice dice(seed * 2 + arch);
  PlatformConfig c;
  c.timing = dice.yes(80) ? Timing::AT : Timing::LT;
  MachineConfig &m = c.machine;
  m.arch = arch;
  m.translation = dice.among({TRANSLATE_NESTED, TRANSLATE_NESTED, TRANSLATE_FIRST, TRANSLATE_SECOND, TRANSLATE_SHADOW});
  m.tenants = dice.of(1, 6);
  bool needs_pasid = arch == ARCH_VTD && m.translation != TRANSLATE_SECOND;
  m.pasid_requests = m.translation == TRANSLATE_SECOND ? 0 : dice.yes() || needs_pasid;
  m.pasids = m.pasid_requests ? dice.of(1, 3) : 1;
  m.window_kb = dice.among({64, 128, 256});
  m.same_iova = dice.yes();
  m.scatter = dice.yes();
  m.preset_ad = dice.yes();
  m.queue_log2 = dice.among({7, 7, 8});
  m.sync = dice.yes() ? SYNC_INDEX : SYNC_MESSAGE;
  m.ats = dice.yes(40);
  m.pri = m.ats && dice.yes(70);
  if (arch == ARCH_SMMUV3 && !m.ats && dice.yes(70))
    m.faults = FAULTS_STALL;
  m.log_log2 = 10;

  for (CacheSizes s : {sizes(c.vtd), sizes(c.smmu)})
    for (uint32_t *entries : {&s.context, &s.pasid, &s.iotlb, &s.nested, &s.s1, &s.s2})
      *entries = dice.among({0, 4, 16, 64});

  IommuConfig &i = c.iommu;
  i.pending = dice.among({0, 1, 2, 8, 64});
  i.pending_full = dice.yes(30) ? FULL_DROP : FULL_WAIT;
  i.merge = dice.yes(70);
  i.hit_under_miss = dice.yes(60);
  i.ordering = dice.of(ORDER_NONE, ORDER_ALL);
  i.prefetch = dice.of(PREFETCH_NONE, PREFETCH_TENANT);
  i.prefetch_degree = dice.of(1, 4);
  i.prefetch_slots = dice.of(1, 4);
  i.walkers = dice.among({0, 1, 2, 3, 8});
  i.walker_ns = dice.among({0, 5}) * NS;
  for (uint32_t *slots : {&i.context_slots, &i.pasid_slots, &i.iotlb_slots, &i.nested_slots, &i.psc_slots})
    *slots = dice.among({0, 1, 2});
  i.by_source = i.by_pasid = true;
  i.drain = dice.yes(80);
  i.descriptor_ns = dice.among({0, 10, 200}) * NS;

  if (dice.yes()) {
    c.llc.size_kb = dice.among({16, 64});
    c.llc.ways = dice.among({4, 16});
    c.llc.miss_slots = dice.among({1, 2, 8});
    c.llc.dma_reads_allocate = dice.yes();
    c.llc.dma_writes_allocate = dice.yes();
    c.llc.walks_allocate = dice.yes();
  }
  c.link.generation = dice.yes() ? dice.of(1, 5) : 0;
  c.link.lanes = dice.among({1, 4, 16});
  c.link.posted_headers = dice.among({0, 1, 4});
  c.link.posted_data = dice.among({0, 4096});
  c.link.nonposted_headers = dice.among({0, 1, 4});

  DeviceConfig &d = c.device;
  d.seed = seed + 1;
  d.tags = dice.among({1, 2, 7, 32, 64});
  d.count = 500;
  d.size = dice.among({8, 64, 256, 1024});
  d.read_percent = dice.among({0, 30, 100});
  d.stream_order = dice.yes();
  d.data = dice.yes();
  d.gap_ns = dice.yes(20) ? dice.of(1, 300) * NS : 0;
  d.retry_ns = dice.of(300, 2000) * NS;
  d.ats = m.ats;
  d.pri = m.pri;
  d.atc_entries = dice.among({0, 1, 8, 64});
  d.translations = dice.among({0, 1, 4});
  d.page_requests = dice.among({1, 3, 32});
  d.page_tries = dice.among({1, 16});

  HostConfig &h = c.host;
  h.policy = dice.yes() ? FLUSH_DEFERRED : FLUSH_STRICT;
  // Any number of cores that do not wait for their flushes would give the queue more than it can take, without an end.
  h.cores = h.policy == FLUSH_DEFERRED ? dice.among({1, 4}) : dice.among({0, 1, 4});
  h.deferred_batch = dice.among({1, 5, 50});
  h.deferred_us = dice.among({20, 500}) * US / NS;
  h.completion = m.sync == SYNC_MESSAGE && dice.yes() ? COMPLETION_INTERRUPT : COMPLETION_POLL;
  h.poll_ns = dice.of(20, 500) * NS;
  h.trapped = dice.yes(20);
  h.trap_us = 2 * US / NS;
  h.service_us = dice.of(1, 10) * US / NS;
  h.fail_per_mille = dice.among({0, 100, 500});
  h.seed = seed;
  c.chains = dice.of(1, 6);
  c.holes = dice.among({0, 2, 4});
  return c;
}

// What is not as by default.
template <class C> void tell(const C &config, std::string *text) {
  const C plain;
  *text += std::string("\n") + C::part().name + ":";
  for (const ims_option &row : C::part().rows)
    if (ims_option_get(&config, &row) != ims_option_get(&plain, &row))
      *text += std::string(" ") + row.name + "=" + std::to_string(ims_option_get(&config, &row));
}

class FullLoad : public testing::TestWithParam<MachineArch> {};

TEST_P(FullLoad, EveryRequestIsAnsweredAndEveryResourceIsFree) {
  uint64_t faults = 0, stalls = 0, pages = 0, invalidations = 0, drops = 0, merges = 0;
  const char *only = getenv("IMS_FULL_LOAD_SEED"); // for whoever looks for the cause
  for (uint32_t seed = only ? static_cast<uint32_t>(atoi(only)) : 0, n = 0; n < (only ? 1 : RUNS); n++, seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Platform p(random_config(seed, GetParam()), seed);
    p.run();
    expect_idle(p);
    expect_conservation(p);
    const IommuCounters &i = p.iommu.counters();
    faults += i.faulted;
    stalls += i.stalled;
    pages += i.page_requests;
    invalidations += i.device_invalidations;
    drops += i.dropped;
    merges += i.merged;
    if (HasFailure()) {
      const PlatformConfig &c = p.config;
      std::string text = c.timing == Timing::AT ? "approximately timed" : "loosely timed";
      tell(c.machine, &text);
      tell(c.iommu, &text);
      tell(c.llc, &text);
      tell(c.link, &text);
      tell(c.device, &text);
      tell(c.host, &text);
      FAIL() << text << "\nchains " << c.chains << " holes " << c.holes << "\n" << p.statistics().substr(0, 4000);
    }
  }
  if (!only) { // it was all there
    EXPECT_LT(100u, faults);
    EXPECT_LT(100u, pages);
    EXPECT_LT(100u, invalidations);
    EXPECT_LT(100u, drops);
    EXPECT_LT(20u, merges);
    if (GetParam() == ARCH_SMMUV3) {
      EXPECT_LT(100u, stalls);
    }
  }
}

TEST_P(FullLoad, TheSameConfigurationGivesTheSameStatistics) {
  for (uint32_t seed = 0; seed < 4; seed++) {
    std::string text[2];
    for (std::string &t : text) {
      Platform p(random_config(seed, GetParam()), seed);
      p.run();
      t = p.statistics();
    }
    EXPECT_LT(2000u, text[0].size());
    EXPECT_EQ(text[0], text[1]) << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(Both, FullLoad, testing::Values(ARCH_VTD, ARCH_SMMUV3),
                         [](const auto &test) { return std::string(test.param == ARCH_VTD ? "vtd" : "smmuv3"); });

} // namespace
