// SPDX-License-Identifier: Apache-2.0
// Counters by hardware's names are what the module and the memory behind it counted; their halves are those of the formula.
#include "model/iommu_counters.h"
#include "model/random.h"
#include "tests/model/rig.h"

#include <gtest/gtest.h>

#include <map>

using namespace ims::model;

namespace {

struct Told : StatisticSink {
  std::map<std::string, uint64_t> value;
  explicit Told(const Iommu &iommu) { iommu.collect(*this); }
  void count(const std::string &object, const char *name, const char *, const char *, uint64_t v) override {
    EXPECT_TRUE(value.emplace(object + "." + name, v).second) << object << "." << name << " is told twice";
  }
  void mean(const std::string &, const char *, const char *, const char *, uint64_t, uint64_t) override {}
  void histogram(const std::string &, const char *, const char *, const char *, const Histogram &) override {}
  uint64_t operator[](const std::string &name) const {
    auto found = value.find(name);
    EXPECT_NE(found, value.end()) << name;
    return found == value.end() ? ~0ull : found->second;
  }
  uint64_t smmu(const char *name) const { return (*this)[std::string("iommu0.pmcg.") + name]; }
  uint64_t vtd(const char *name) const { return (*this)[std::string("iommu0.perfmon.") + name]; }
};

MachineConfig machine(MachineArch arch, bool two_levels = false, uint32_t s2_levels = 4) {
  MachineConfig m;
  m.arch = arch;
  m.stream_table = m.cd_table = two_levels;
  m.s2_levels = s2_levels;
  return m;
}

// facts: s + (c + n)(m + 1) + m reads, of which s + c are of structures.
TEST(Pmcg, TheHalvesOfAColdTranslation) {
  struct {
    bool two_levels;
    uint32_t s2_levels;
    uint64_t structures, tables;
  } const cases[] = {{true, 4, 2 + 2, 4 + 7 * 4}, {false, 4, 1 + 1, 4 + 6 * 4}, {true, 3, 2 + 2, 4 + 7 * 3}};
  for (const auto &c : cases) {
    Rig rig(machine(ARCH_SMMUV3, c.two_levels, c.s2_levels), {}, vtd_config(), bare(smmuv3_config()));
    rig.device.send(0, rig.stream(), rig.page(0));
    rig.simulation.run();
    ASSERT_TRUE(rig.device.all_done());
    Told told(rig.iommu);
    EXPECT_EQ(told.smmu("config_struct_access"), c.structures);
    EXPECT_EQ(told.smmu("trans_table_walk_access"), c.tables);
    EXPECT_EQ(c.structures + c.tables, rig.machine.references(rig.stream()));
    EXPECT_EQ(told.smmu("transaction"), 1u);
  }
}

// Random pages of several streams, more than the caches hold.
void load(Rig &rig, uint64_t pages) {
  Random random(7);
  for (unsigned i = 0; i < 400; i++) {
    size_t s = random.below(rig.machine.streams().size());
    rig.device.send(i * 20 * NS, rig.stream(s), rig.page(random.below(pages), s), random.below(2) != 0);
  }
  rig.simulation.run();
  ASSERT_TRUE(rig.device.all_done());
  const IommuCounters &c = rig.iommu.counters();
  EXPECT_EQ(c.requests, c.translated + c.faulted + c.dropped);
  EXPECT_EQ(c.translated + c.faulted, c.hits + c.misses);
}

TEST(Pmcg, AccessesAreTheWalksReads) {
  MachineConfig m = machine(ARCH_SMMUV3, true);
  m.tenants = 4;
  m.pasids = 2;
  ims_smmuv3_config c = smmuv3_config();
  c.iotlb_entries = 16;
  c.iotlb_ways = 4;
  c.ste_entries = c.cd_entries = 2;
  c.ste_ways = c.cd_ways = 2;
  Rig rig(m, {}, vtd_config(), c);
  load(rig, 16);
  Told told(rig.iommu);
  const IommuCounters &count = rig.iommu.counters();
  EXPECT_EQ(told.smmu("trans_table_walk_access") + told.smmu("config_struct_access"), count.walk_reads);
  EXPECT_EQ(count.walk_reads, rig.memory.counters().walker_reads);
  EXPECT_EQ(told.smmu("tlb_miss"), told["iommu0.IOTLB.misses"]);
  EXPECT_EQ(told.smmu("config_cache_miss"), told["iommu0.context_cache.misses"] + told["iommu0.PASID_cache.misses"]);
  EXPECT_GT(told.smmu("config_cache_miss"), 100u);
  EXPECT_GT(told.smmu("tlb_miss"), 100u);
  EXPECT_EQ(told.smmu("transaction"), 400u);
}

TEST(Perfmon, LookUpsAreHitsAndMisses) {
  for (bool first_level : {false, true}) {
    MachineConfig m = machine(ARCH_VTD);
    m.tenants = 4;
    ims_vtd_config c = vtd_config();
    c.iotlb_entries = 16;
    c.iotlb_ways = 4;
    c.utlb_entries = first_level ? 4 : 0;
    c.context_entries = c.pasid_entries = 2;
    c.context_ways = c.pasid_ways = 2;
    IommuConfig times;
    times.merge = 0;
    Rig rig(m, times, c);
    load(rig, 16);
    Told told(rig.iommu);
    uint64_t front = first_level ? told["iommu0.first-level_IOTLB.hits"] : 0;
    EXPECT_EQ(told.vtd("iotlb_hit"), told["iommu0.IOTLB.hits"] + front);
    EXPECT_EQ(told.vtd("iotlb_lookup"), told["iommu0.IOTLB.hits"] + told["iommu0.IOTLB.misses"] + front);
    EXPECT_EQ(told.vtd("ctxt_cache_lookup"), told["iommu0.context_cache.hits"] + told["iommu0.context_cache.misses"]);
    EXPECT_EQ(told.vtd("pasid_cache_hit"), told["iommu0.PASID_cache.hits"]);
    EXPECT_EQ(told.vtd("iommu_requests"), 400u);
    EXPECT_EQ(told.vtd("iommu_mrds"), rig.memory.counters().walker_reads);
    EXPECT_EQ(told.vtd("pw_occupancy"), rig.iommu.counters().busy_ps);
    EXPECT_EQ(told.vtd("iotlb_lookup"), 400u); // nothing was merged, which would look up again
    EXPECT_GT(told.vtd("iotlb_hit"), 20u);
    for (const char *name : {"fs_nonleaf", "ss_nonleaf", "iotlb", "ctxt_cache", "pasid_cache"})
      EXPECT_LE(told.vtd((name + std::string("_hit")).c_str()), told.vtd((name + std::string("_lookup")).c_str()))
          << name;
  }
}

// Cold: the first stage is looked up once, the second for each of its four tables and for the page; nothing lies in the
// second stage's caches at first, and its last level is found afterwards, as all lies in one reach of 2 MB.
TEST(Perfmon, PagingStructuresAreLookedUpOncePerStage) {
  ims_vtd_config c = caches_of(vtd_config(), 1 << 2 | 1 << 3);
  Rig rig(machine(ARCH_VTD), {}, c);
  rig.device.send(0, rig.stream(), rig.page(0));
  rig.simulation.run();
  Told told(rig.iommu);
  EXPECT_EQ(told.vtd("fs_nonleaf_lookup"), 1u);
  EXPECT_EQ(told.vtd("fs_nonleaf_hit"), 0u);
  EXPECT_EQ(told.vtd("ss_nonleaf_lookup"), 5u);
  EXPECT_EQ(told.vtd("ss_nonleaf_hit"), 4u);
  EXPECT_EQ(told.vtd("iommu_mrds"), rig.iommu.counters().walk_reads);
  EXPECT_EQ(told.vtd("ctxt_cache_lookup"), 0u); // there is none
}

// Rings a doorbell at its time.
struct Driver : sc_core::sc_module {
  explicit Driver(sc_core::sc_module_name name)
      : sc_module(name), port("port", this, {&Driver::done, nullptr, nullptr}) {}
  void ring(uint64_t) {
    Payload &p = pool.get();
    set_payload(p, tlm::TLM_WRITE_COMMAND, bell.offset, &bell.value, bell.size);
    port.send(p);
    p.release();
  }
  void done(Payload &p) { EXPECT_TRUE(p.is_response_ok()); }
  RequestPort<Driver> port;
  PayloadPool<WalkExtension> pool;
  Doorbell bell;
};

TEST(Perfmon, ReadsOfTheQueueAreReadsOfMemory) {
  Rig rig(machine(ARCH_VTD), {}, bare(vtd_config()));
  Driver driver("driver");
  driver.port.socket.bind(rig.iommu.registers);
  rig.device.send(0, rig.stream(), rig.page(0));
  driver.bell = rig.machine.invalidate(0, rig.page(0), 4096);
  ASSERT_EQ(driver.bell.entries, 2u);
  Agenda::of_simulation().at<&Driver::ring>(10 * US, &driver);
  rig.simulation.run();
  EXPECT_TRUE(rig.machine.completed(driver.bell.ticket));
  Told told(rig.iommu);
  EXPECT_EQ(told.vtd("iommu_mrds"), 28u + 2u);
  EXPECT_EQ(told.vtd("iommu_mrds"), rig.memory.counters().walker_reads);
}

TEST(HardwareCounters, NamesStandOnce) {
  for (const HardwareCounters &h : hardware_counters()) {
    std::map<std::string, int> names;
    for (const HardwareCounter &c : h.rows)
      EXPECT_EQ(++names[c.name], 1) << c.name;
    EXPECT_GE(names.size(), 7u) << h.object;
  }
}

} // namespace
