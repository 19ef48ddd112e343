// SPDX-License-Identifier: Apache-2.0
// A system out of a configuration: it ends with everything free, in every way that it can end; and one request at a time
// takes the same in either timing.
#include "tools/statistics.h"
#include "tools/system.h"

#include <gtest/gtest.h>

#include <map>

using namespace ims;
using model::Timing;

namespace {

// Few caches, few slots, everything on the way.
SystemConfig busy(unsigned arch, unsigned translation) {
  SystemConfig c;
  c.machine.arch = arch;
  c.machine.translation = translation;
  c.machine.tenants = 3;
  c.machine.pasids = translation == model::TRANSLATE_NESTED || translation == model::TRANSLATE_FIRST ? 2 : 1;
  c.machine.window_kb = 256;
  c.device.count = 400;
  c.device.tags = 24;
  c.device.read_percent = 60;
  c.iommu.walkers = 3;
  c.iommu.pending = 8;
  c.iommu.prefetch = model::PREFETCH_NEXT;
  c.vtd.iotlb_entries = c.smmuv3.iotlb_entries = 16;
  c.llc.size_kb = 64;
  c.memory.kind = model::MEMORY_DRAM;
  return c;
}

uint64_t value(const System &s, const std::string &key) {
  std::vector<Statistic> all;
  CollectedStatistics sink(&all);
  s.collect(sink);
  for (const Statistic &one : all)
    if (one.key() == key)
      return one.count;
  ADD_FAILURE() << "no statistic " << key;
  return 0;
}

} // namespace

TEST(System, EndsWithEverythingFree) {
  for (unsigned arch : {model::ARCH_VTD, model::ARCH_SMMUV3})
    for (unsigned translation : {model::TRANSLATE_NESTED, model::TRANSLATE_FIRST, model::TRANSLATE_SECOND,
                                 model::TRANSLATE_SHADOW, model::TRANSLATE_PASS_THROUGH})
      for (Timing timing : {Timing::LT, Timing::AT}) {
        System s(busy(arch, translation), timing);
        EXPECT_EQ(s.run(), System::FINISHED);
        EXPECT_EQ(s.taken(), "");
        EXPECT_EQ(s.device().counters().done, 400u);
        EXPECT_EQ(s.latency().count(), 400u);
        EXPECT_GT(s.rate(), 0u);
      }
}

TEST(System, TouchedPagesAreNotCounted) {
  SystemConfig c;
  c.machine.window_kb = 64;
  c.device.count = 100;
  SystemInput input;
  input.touch = true;
  System s(c, Timing::LT, input);
  s.count_references();
  EXPECT_EQ(s.run(), System::FINISHED);
  EXPECT_EQ(s.device().counters().done, 116u);
  EXPECT_EQ(s.latency().count(), 100u);
  EXPECT_EQ(value(s, "iommu0.misses"), 16u);
}

TEST(System, OneTagTakesTheSameTimeInEitherTiming) {
  for (unsigned arch : {model::ARCH_VTD, model::ARCH_SMMUV3})
    for (unsigned llc : {0, 64})
      for (unsigned kind : {model::MEMORY_FIXED, model::MEMORY_DRAM}) {
        SystemConfig c = busy(arch, model::TRANSLATE_NESTED);
        c.device.tags = 1;
        c.device.read_percent = 100; // a write is over for the device before it is for the memory
        c.iommu.prefetch = model::PREFETCH_NONE;
        c.llc.size_kb = llc;
        c.memory.kind = kind;
        System *first = new System(c, Timing::LT);
        EXPECT_EQ(first->run(), System::FINISHED);
        std::map<std::string, uint64_t> lt;
        for (const char *key : {"time", "iommu0.walk_reads", "iommu0.hits", "mem0.reads"})
          lt[key] = value(*first, key);
        uint64_t sum = first->latency().sum(), most = first->latency().max();
        delete first; // one system at a time
        System second(c, Timing::AT);
        EXPECT_EQ(second.run(), System::FINISHED);
        for (const auto &[key, n] : lt)
          EXPECT_EQ(value(second, key), n) << key << ", LLC " << llc << ", memory " << kind;
        EXPECT_EQ(second.latency().sum(), sum);
        EXPECT_EQ(second.latency().max(), most);
      }
}

TEST(System, TimeLimitLetsWhatIsUnderWayEnd) {
  SystemConfig c;
  c.device.count = 0;
  System s(c, Timing::AT);
  EXPECT_EQ(s.run(nullptr, 20 * model::US), System::OUT_OF_TIME);
  EXPECT_EQ(s.taken(), "");
  EXPECT_EQ(s.device().counters().issued, s.device().counters().done);
  EXPECT_GE(s.now(), 20 * model::US);
  EXPECT_LT(s.now(), 25 * model::US);
}

TEST(System, PagesThatAreMissingAreAskedForAndServed) {
  SystemConfig c;
  c.machine.premap = 0;
  c.machine.ats = c.machine.pri = c.device.ats = c.device.pri = 1;
  c.device.count = 200;
  System s(c, Timing::AT);
  EXPECT_EQ(s.run(), System::FINISHED);
  EXPECT_EQ(s.taken(), "");
  EXPECT_EQ(s.device().counters().done, 200u);
  EXPECT_EQ(value(s, "host.page_requests"), s.device().counters().page_requests);
  EXPECT_GE(s.device().counters().page_requests, 16u); // the window's pages
}

TEST(System, WhatCannotBeIsSaidInASentence) {
  SystemConfig c;
  c.machine.s1_levels = 3;
  EXPECT_THROW(System(c, Timing::LT), std::exception);
  SystemConfig after; // the process is still good for another one
  after.device.count = 10;
  System s(after, Timing::LT);
  EXPECT_EQ(s.run(), System::FINISHED);
}
