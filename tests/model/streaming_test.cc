// SPDX-License-Identifier: Apache-2.0
// Streaming DMA: each DMA's page is mapped before it and unmapped after it (device.map = stream), by software whose cost
// bounds the rate; strict and deferred.
#include "tools/system.h"

#include <gtest/gtest.h>

#include <set>

using namespace ims::model;
using ims::System;
using ims::SystemConfig;

namespace {

// One core does all the work: 4 us to map, 5 to unmap, 6 for an invalidation.
SystemConfig streaming(uint32_t arch, uint32_t policy, uint32_t tags = 16) {
  SystemConfig c;
  c.machine.arch = arch;
  c.machine.window_kb = 4096;
  c.device.map = MAP_STREAM;
  c.device.tags = tags;
  c.device.count = 2000;
  c.device.warmup = 100;
  c.device.read_percent = 50;
  c.host.cores = 1;
  c.host.map_us = 4 * US / NS;
  c.host.unmap_us = 5 * US / NS;
  c.host.invalidate_us = 6 * US / NS;
  c.host.policy = policy;
  c.host.poll_ns = 10 * NS;
  return c;
}

// In DMAs a second.
uint64_t bound(Ticks cost) { return 1000 * MS / cost; }

ims_status translate(const System &s, uint64_t iova) {
  const Stream &stream = s.device().streams()[0];
  ims_request r = {};
  r.source = stream.source;
  r.pasid = stream.pasid;
  r.has_pasid = stream.has_pasid;
  r.iova = iova;
  r.access = IMS_ACC_R;
  ims_result result;
  ims_translate(s.iommu().unit(), &r, &result);
  return static_cast<ims_status>(result.status);
}

class Streaming : public testing::TestWithParam<std::tuple<MachineArch, Timing>> {
protected:
  uint32_t arch() const { return std::get<0>(GetParam()); }
  Timing timing() const { return std::get<1>(GetParam()); }
};

TEST_P(Streaming, StrictRateIsWhatSoftwareCosts) {
  System s(streaming(arch(), FLUSH_STRICT), timing());
  ASSERT_EQ(System::FINISHED, s.run());
  EXPECT_EQ(2000u, s.device().counters().done);
  EXPECT_NEAR(double(bound((4 + 5 + 6) * US)), double(s.rate()), bound((4 + 5 + 6) * US) * 0.02);
  EXPECT_EQ(2000u, s.host().counters().maps);
  EXPECT_EQ(2000u, s.host().counters().unmaps);
  EXPECT_EQ(2000u, s.host().counters().submissions);
  EXPECT_EQ("", s.taken());
}

TEST_P(Streaming, DeferredRateHasOneInvalidationABatch) {
  SystemConfig c = streaming(arch(), FLUSH_DEFERRED);
  c.host.deferred_batch = 100;
  System s(c, timing());
  ASSERT_EQ(System::FINISHED, s.run());
  Ticks cost = (4 + 5) * US + 6 * US / 100;
  EXPECT_NEAR(double(bound(cost)), double(s.rate()), bound(cost) * 0.02);
  EXPECT_EQ(20u, s.host().counters().flushes);
  EXPECT_EQ("", s.taken());
}

TEST_P(Streaming, ManyCoresAreBoundByTagsOverRoundTrip) {
  SystemConfig c = streaming(arch(), FLUSH_STRICT, 4);
  c.host.cores = 0;
  System s(c, timing());
  ASSERT_EQ(System::FINISHED, s.run());
  Ticks round = s.host().map_latency().mean() + s.device().dma_latency().mean() + s.host().unmap_latency().mean();
  EXPECT_NEAR(double(4 * 1000 * MS / round), double(s.rate()), s.rate() * 0.02);
}

// At the end nothing is mapped, and after the last flush nothing is cached.
TEST_P(Streaming, EveryPageFaultsAfterItsFlush) {
  for (uint32_t policy : {FLUSH_STRICT, FLUSH_DEFERRED}) {
    System s(streaming(arch(), policy), timing());
    ASSERT_EQ(System::FINISHED, s.run());
    EXPECT_EQ(0u, s.host().occupancy().deferred);
    const Stream &stream = s.device().streams()[0];
    for (uint64_t offset = 0; offset < stream.bytes; offset += 4096)
      ASSERT_EQ(IMS_STATUS_FAULT, translate(s, stream.iova + offset)) << offset;
  }
}

// What is unmapped and not yet flushed stays in the IOTLB.
class StaleFinder : public IommuObserver {
public:
  explicit StaleFinder(System &s) : system_(s) {}
  unsigned stale = 0, asked = 0;
  void look(uint64_t) {
    const Stream &stream = system_.device().streams()[0];
    for (uint64_t iova = stream.iova; iova < stream.iova + stream.bytes; iova += 4096) {
      if (system_.machine().mapped(0, iova))
        continue;
      asked++;
      stale += translate(system_, iova) == IMS_STATUS_OK;
    }
  }

private:
  System &system_;
};

TEST_P(Streaming, OnlyADeferredPolicyLeavesAStaleWindow) {
  for (uint32_t policy : {FLUSH_STRICT, FLUSH_DEFERRED}) {
    SystemConfig c = streaming(arch(), policy, 1);
    c.machine.window_kb = 64;
    c.host.deferred_batch = 1000;
    System s(c, timing());
    StaleFinder finder(s);
    // The one tag's first DMAs: mapped for a while, unmapped for a while.
    for (Ticks t = 10 * US; t < 200 * US; t += 7 * US)
      Agenda::of_simulation().at<&StaleFinder::look>(t, &finder);
    ASSERT_EQ(System::FINISHED, s.run());
    EXPECT_LT(300u, finder.asked);
    if (policy == FLUSH_DEFERRED)
      EXPECT_LT(100u, finder.stale);
    else // a page is being unmapped until its invalidation is over: that one may be seen
      EXPECT_GE(27u, finder.stale);
  }
}

INSTANTIATE_TEST_SUITE_P(Both, Streaming,
                         testing::Combine(testing::Values(ARCH_VTD, ARCH_SMMUV3),
                                          testing::Values(Timing::LT, Timing::AT)),
                         [](const auto &test) {
                           return std::string(std::get<0>(test.param) == ARCH_VTD ? "vtd" : "smmuv3") +
                                  (std::get<1>(test.param) == Timing::LT ? "_lt" : "_at");
                         });

// A mapper that says yes after 3 us, to all but some pages, and refuses what is mapped already.
class Book : public DmaMapper {
public:
  std::set<uint64_t> now, refused;
  unsigned befores = 0, afters = 0, met = 0;
  uint64_t page = 4096;
  void before(const Stream &, uint64_t iova, uint64_t bytes, Done done) override {
    befores++;
    EXPECT_EQ(iova / page, (iova + bytes - 1) / page);
    bool ok = !refused.count(iova / page);
    if (ok)
      met += !now.insert(iova / page).second;
    later(ok, done);
  }
  void after(const Stream &, uint64_t iova, uint64_t, Done done) override {
    afters++;
    EXPECT_EQ(1u, now.erase(iova / page));
    later(true, done);
  }
  uint64_t page_bytes() const override { return page; }

private:
  void later(bool ok, Done done) {
    calls_.push_back({ok, done});
    agenda_.at<&Book::call>(agenda_.now() + 3 * US, this, calls_.size() - 1);
  }
  void call(uint64_t i) { calls_[i].second(calls_[i].first); }
  std::vector<std::pair<bool, Done>> calls_;
  Agenda &agenda_ = Agenda::of_simulation();
};

// Answers at once after 500 ns, whatever it is; no second access may meet a page that is in use.
class Target : public sc_core::sc_module {
public:
  explicit Target(sc_core::sc_module_name name)
      : sc_module(name), in("in", this, {&Target::b_transport, &Target::arrive}) {}
  ResponsePort<Target> in;
  Book *book = nullptr;
  unsigned outside = 0;

private:
  void judge(Payload &p) {
    outside += !book->now.count(p.get_address() / book->page);
    p.set_response_status(tlm::TLM_OK_RESPONSE);
  }
  void b_transport(unsigned, Payload &p, sc_core::sc_time &t) {
    judge(p);
    t += to_sc(500 * NS);
  }
  Arrival arrive(unsigned, Payload &p, Ticks *when) {
    judge(p);
    *when += 500 * NS;
    return Arrival::FINISHED;
  }
};

DeviceConfig streaming_device(uint32_t tags) {
  DeviceConfig c;
  c.map = MAP_STREAM;
  c.tags = tags;
  c.count = 300;
  c.size = 1000;
  return c;
}

struct DeviceRig {
  DeviceRig(const DeviceConfig &c, Timing timing, std::vector<Stream> streams = {{1, 0, false, 1 << 20, 16 * 4096}})
      : device("device", c, streams, make_pattern(c.pattern_config(), streams), timing), target("target") {
    target.book = &book;
    device.port.socket.bind(target.in.socket);
  }
  Simulation simulation;
  Book book;
  Device device;
  Target target;
};

TEST(StreamingDevice, EachTagHasPagesOfItsOwn) {
  for (Timing timing : {Timing::LT, Timing::AT})
    for (uint32_t tags : {1, 5, 16})
      for (uint64_t page : {4096, 16384}) {
        if (page * tags > 16 * 4096)
          continue;
        DeviceRig r(streaming_device(tags), timing);
        r.book.page = page;
        r.device.use_mapper(&r.book);
        r.simulation.run();
        EXPECT_TRUE(r.device.finished());
        EXPECT_EQ(300u, r.device.counters().done);
        EXPECT_EQ(300u, r.book.befores);
        EXPECT_EQ(300u, r.book.afters);
        EXPECT_EQ(0u, r.book.met);
        EXPECT_EQ(0u, r.target.outside);
        EXPECT_EQ(0u, r.device.occupancy().tags);
      }
}

TEST(StreamingDevice, LatencyCountsFromTheMapAndTheDmaAloneFromItsSending) {
  for (Timing timing : {Timing::LT, Timing::AT}) {
    DeviceRig r(streaming_device(4), timing);
    r.device.use_mapper(&r.book);
    r.simulation.run();
    EXPECT_EQ(3500 * NS, r.device.latency().min());
    EXPECT_EQ(3500 * NS, r.device.latency().max());
    EXPECT_EQ(500 * NS, r.device.dma_latency().min());
    EXPECT_EQ(500 * NS, r.device.dma_latency().max());
    // 4 tags, 75 rounds of 3 + 0.5 + 3 us, the last without its unmap.
    EXPECT_EQ(75 * 6500 * NS - 3 * US, r.device.counted().to);
  }
}

TEST(StreamingDevice, WhatCannotBeMappedIsNotSent) {
  DeviceRig r(streaming_device(4), Timing::AT);
  r.book.refused = {(1 << 20) / 4096 + 1}; // the first of tag 1's four pages
  r.device.use_mapper(&r.book);
  r.simulation.run();
  const DeviceCounters &n = r.device.counters();
  EXPECT_EQ(300u, n.issued);
  EXPECT_LT(0u, n.not_mapped);
  EXPECT_EQ(n.not_mapped, n.failed);
  EXPECT_EQ(300u, n.done + n.failed);
  EXPECT_EQ(n.done, r.book.afters);
  EXPECT_EQ(0u, r.target.outside);
}

TEST(StreamingDevice, MoreTagsThanPagesAreRefused) {
  DeviceRig r(streaming_device(17), Timing::AT);
  try {
    r.device.use_mapper(&r.book);
    FAIL();
  } catch (const std::invalid_argument &e) {
    EXPECT_STREQ(
        "device.tags: found 17, expected at most 16, the pages of 4096 bytes in a window: with map = stream each "
        "tag needs its own",
        e.what());
  }
}

} // namespace
