// SPDX-License-Identifier: Apache-2.0
// Whole systems: with one request in flight, loosely and approximately timed are the same to the picosecond; and memory
// does not grow with the number of requests.
#include "tools/system.h"

#include <gtest/gtest.h>

#include <malloc.h>
#include <map>
#include <sstream>

using namespace ims::model;
using ims::System;
using ims::SystemConfig;

namespace {

class Rows : public StatisticSink {
public:
  std::map<std::string, std::string> rows;
  void count(const std::string &object, const char *name, const char *, const char *, uint64_t value) override {
    rows[object + "." + name] = std::to_string(value);
  }
  void mean(const std::string &object, const char *name, const char *, const char *, uint64_t sum,
            uint64_t n) override {
    rows[object + "." + name] = std::to_string(sum) + "/" + std::to_string(n);
  }
  void histogram(const std::string &object, const char *name, const char *, const char *, const Histogram &h) override {
    std::ostringstream text;
    text << h.count() << " " << h.sum() << " " << h.min() << " " << h.max();
    h.each([&](uint64_t first, uint64_t, uint64_t n) { text << "; " << first << " " << n; });
    rows[object + "." + name] = text.str();
  }
};

SystemConfig random_system(uint32_t seed) {
  Random random(seed);
  auto of = [&](uint32_t low, uint32_t high) { return low + static_cast<uint32_t>(random.below(high - low + 1)); };
  auto among = [&](std::initializer_list<uint32_t> list) { return *(list.begin() + random.below(list.size())); };
  SystemConfig c;
  c.machine.arch = of(0, 1);
  c.machine.translation = of(TRANSLATE_NESTED, TRANSLATE_SHADOW);
  c.machine.pasid_requests = c.machine.translation != TRANSLATE_SECOND;
  c.machine.tenants = of(1, 4);
  c.machine.window_kb = among({64, 256});
  c.machine.preset_ad = of(0, 1);
  c.machine.scatter = of(0, 1);
  c.device.ats = c.machine.ats = of(0, 1);
  c.device.atc_entries = among({0, 4, 64});
  c.device.tags = 1;
  c.device.count = 300;
  c.device.size = among({8, 64, 256, 1024});
  c.device.pattern = among({PATTERN_RANDOM, PATTERN_STRIDE, PATTERN_CHASE});
  c.device.seed = seed;
  c.vtd.iotlb_entries = c.smmuv3.iotlb_entries = among({0, 8, 64});
  c.link.generation = of(0, 5);
  c.link.lanes = among({1, 4, 16});
  c.llc.size_kb = among({0, 16, 256});
  c.llc.walks_allocate = of(0, 1);
  c.llc.dma_reads_allocate = of(0, 1);
  // A write that is posted, or whose line goes back later, leaves something in flight behind it.
  c.device.read_percent = c.link.generation || c.llc.size_kb ? 100 : among({0, 50});
  c.iommu.walker_ns = of(0, 9) * NS;
  c.memory.kind = of(0, 1);
  return c;
}

TEST(SystemTiming, OneRequestInFlightIsTheSameLooselyAndApproximatelyTimed) {
  for (uint32_t seed = 0; seed < 60; seed++) {
    SystemConfig c = random_system(seed);
    Rows rows[2];
    for (Timing timing : {Timing::LT, Timing::AT}) {
      System s(c, timing);
      ASSERT_EQ(System::FINISHED, s.run());
      ASSERT_EQ(300u, s.device().counters().done);
      s.collect(rows[timing == Timing::AT]);
    }
    ASSERT_EQ(rows[0].rows.size(), rows[1].rows.size());
    for (auto &[name, lt] : rows[0].rows)
      EXPECT_EQ(lt, rows[1].rows.at(name)) << name << ", seed " << seed;
    if (HasFailure())
      break;
  }
}

#if !defined(__SANITIZE_ADDRESS__)
// What is on the heap when all is done, before anything is given back.
size_t heap_after(uint32_t count, Timing timing, bool streaming) {
  SystemConfig c;
  c.machine.window_kb = 4096;
  c.device.tags = 64;
  c.device.count = count;
  c.device.read_percent = 50;
  c.device.map = streaming ? MAP_STREAM : MAP_STATIC;
  c.llc.size_kb = 64;
  System s(c, timing);
  EXPECT_EQ(System::FINISHED, s.run());
  EXPECT_EQ(count, s.device().counters().done);
  return mallinfo2().uordblks + mallinfo2().hblkhd;
}

TEST(SystemTiming, MemoryDoesNotGrowWithTheNumberOfRequests) {
  for (Timing timing : {Timing::LT, Timing::AT})
    for (bool streaming : {false, true}) {
      heap_after(2000, timing, streaming); // what is made once in a process
      size_t few = heap_after(2000, timing, streaming), many = heap_after(20000, timing, streaming);
      EXPECT_LE(many, few + 2048) << (timing == Timing::LT ? "loosely" : "approximately") << " timed"
                                  << (streaming ? ", streaming" : "");
    }
}
#endif

} // namespace
