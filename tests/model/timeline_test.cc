// SPDX-License-Identifier: Apache-2.0
// Timelines are read back as a viewer does: events sorted by time, in the order of the file where times are equal.
#include "model/observers.h"
#include "model/timeline.h"
#include "pgtable/vmsa.h"
#include "tests/model/rig.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <set>

using namespace ims::model;
namespace json = boost::json;

namespace {

struct Slice {
  std::string track, name;
  Ticks begin, end;
  size_t depth;
  json::object begin_args, end_args;
};

struct Arrow {
  char phase;
  uint64_t id;
  Ticks at;
  std::string track, slice; // what it binds to
};

struct Picture {
  std::vector<Slice> slices; // in the order in which they begin
  std::vector<Arrow> arrows;
  std::map<std::string, std::map<Ticks, uint64_t>> counters;

  const Slice *find(const std::string &name) const {
    for (const Slice &s : slices)
      if (s.name == name)
        return &s;
    ADD_FAILURE() << "no slice " << name;
    return nullptr;
  }
  std::vector<std::string> lines() const { // "track: name begin-end", nested ones indented
    std::vector<std::string> out;
    for (const Slice &s : slices)
      out.push_back(std::string(2 * s.depth, ' ') + s.track + ": " + s.name + " " + std::to_string(s.begin) + "-" +
                    std::to_string(s.end));
    return out;
  }
};

Ticks picoseconds(const json::value &ts) { return static_cast<Ticks>(std::llround(ts.to_number<double>() * 1e6)); }

Picture read_back(const std::string &text) {
  Picture picture;
  json::value document = json::parse(text);
  EXPECT_EQ(document.at("displayTimeUnit").as_string(), "ns");
  std::map<int64_t, std::string> processes, tracks;
  std::vector<json::object> events;
  for (const json::value &v : document.at("traceEvents").as_array()) {
    const json::object &e = v.as_object();
    int64_t pid = e.at("pid").as_int64(), tid = e.at("tid").as_int64();
    std::string ph(e.at("ph").as_string());
    if (ph != "M") {
      events.push_back(e);
      continue;
    }
    std::string name(e.at("name").as_string());
    if (name == "process_name")
      EXPECT_TRUE(processes.emplace(pid, e.at("args").at("name").as_string()).second);
    else if (name == "thread_name")
      EXPECT_TRUE(
          tracks.emplace(tid, processes.at(pid) + "/" + std::string(e.at("args").at("name").as_string())).second);
    else
      EXPECT_EQ(name, "thread_sort_index");
  }
  std::stable_sort(events.begin(), events.end(), [](const json::object &a, const json::object &b) {
    return picoseconds(a.at("ts")) < picoseconds(b.at("ts"));
  });
  std::set<std::string> names;
  for (const auto &[tid, name] : tracks)
    EXPECT_TRUE(names.insert(name).second) << name;
  std::map<int64_t, std::vector<size_t>> open;
  for (const json::object &e : events) {
    int64_t tid = e.at("tid").as_int64();
    Ticks t = picoseconds(e.at("ts"));
    std::string ph(e.at("ph").as_string());
    auto args = [&] { return e.contains("args") ? e.at("args").as_object() : json::object(); };
    std::vector<size_t> &stack = open[tid];
    if (ph == "B") {
      picture.slices.push_back(
          {tracks.at(tid), std::string(e.at("name").as_string()), t, ~0ull, stack.size(), args(), {}});
      stack.push_back(picture.slices.size() - 1);
    } else if (ph == "E") {
      EXPECT_FALSE(stack.empty()) << tracks.at(tid) << " at " << t;
      if (stack.empty())
        continue;
      picture.slices[stack.back()].end = t;
      picture.slices[stack.back()].end_args = args();
      stack.pop_back();
    } else if (ph == "C") {
      const json::object a = args();
      EXPECT_EQ(a.size(), 1u);
      picture.counters[processes.at(e.at("pid").as_int64()) + "/" + std::string(e.at("name").as_string())][t] =
          a.begin()->value().to_number<uint64_t>();
    } else {
      EXPECT_TRUE(ph == "s" || ph == "t" || ph == "f") << ph;
      EXPECT_FALSE(stack.empty()) << "an arrow hangs in the air at " << t;
      if (!stack.empty())
        picture.arrows.push_back(
            {ph[0], e.at("id").to_number<uint64_t>(), t, tracks.at(tid), picture.slices[stack.back()].name});
    }
  }
  for (const auto &[tid, stack] : open)
    EXPECT_TRUE(stack.empty()) << tracks.at(tid) << " is left open";
  return picture;
}

// A timeline of one unit, and words to feed it with.
struct Feed {
  std::string text;
  Timeline timeline;
  IommuObserver &unit;

  explicit Feed(Window window = {}, Timeline::Level level = nullptr)
      : timeline([this](std::string_view s) { text += s; }, window), unit(timeline.add_unit("iommu0", level)) {}

  static ims_request request(uint64_t iova) {
    ims_request r = {};
    r.iova = iova;
    r.source = 0x18;
    r.access = IMS_ACC_R;
    return r;
  }
  void probe(Ticks begin, Ticks end, uint64_t number, ims_cache_id cache, bool hit, unsigned walker = 0) {
    ims_step s = {};
    s.cache = static_cast<uint8_t>(cache);
    unit.step(begin, end, number, walker, IMS_STEP_PROBE, s, hit);
  }
  void read(Ticks begin, Ticks end, uint64_t number, unsigned walker, ims_structure what, unsigned level = 0,
            ims_structure for_what = IMS_STRUCT_ROOT_ENTRY, unsigned for_level = 0,
            ims_step_kind kind = IMS_STEP_READ) {
    ims_step s = {};
    s.what = static_cast<uint8_t>(what);
    s.level = static_cast<uint8_t>(level);
    s.for_what = static_cast<uint8_t>(for_what);
    s.for_level = static_cast<uint8_t>(for_level);
    s.hpa = 0x1000 + number;
    unit.step(begin, end, number, walker, kind, s, false);
  }
  void finish(Ticks t, uint64_t number, uint64_t output = 0x7000) {
    ims_request r = {};
    ims_result result = {};
    result.output = output;
    result.refs = 3;
    unit.finished(t, number, r, result);
  }
  Picture end(Ticks t) {
    timeline.finish(t);
    return read_back(text);
  }
};

using Lines = std::vector<std::string>;

TEST(Timeline, AHitIsLookUpsAlone) {
  Feed feed;
  feed.unit.arrived(1000, 7, feed.request(0x5000));
  feed.probe(2000, 4000, 7, IMS_CACHE_IOTLB, true);
  feed.finish(4000, 7);
  feed.unit.left(5000, 7);
  Picture p = feed.end(5000);
  EXPECT_EQ(p.lines(), (Lines{"iommu0/requests: read 0x5000 1000-5000", "iommu0/look-ups: look up 0x5000 2000-4000",
                              "  iommu0/look-ups: IOTLB hit 2000-4000"}));
  EXPECT_EQ(p.slices[0].begin_args.at("source").as_string(), "0x18");
  EXPECT_EQ(p.slices[0].end_args.at("status").as_string(), "ok");
  EXPECT_EQ(p.slices[0].end_args.at("output").as_string(), "0x7000");
  EXPECT_EQ(p.slices[0].end_args.at("refs").to_number<int>(), 3);
}

TEST(Timeline, AMissIsOnTheTrackOfItsWalkerAndStepsSayWhatTheyAre) {
  Feed feed;
  feed.unit.arrived(0, 1, feed.request(0xabc000));
  feed.probe(10, 20, 1, IMS_CACHE_IOTLB, false);
  feed.read(100, 200, 1, 5, IMS_STRUCT_CONTEXT_ENTRY);
  feed.probe(200, 205, 1, IMS_CACHE_S1_L3, false, 5);
  feed.probe(205, 210, 1, IMS_CACHE_NESTED, true, 5);
  feed.read(210, 300, 1, 5, IMS_STRUCT_S2_TABLE, 2, IMS_STRUCT_S1_TABLE, 3);
  feed.read(300, 400, 1, 5, IMS_STRUCT_S1_TABLE, 3);
  feed.read(400, 450, 1, 5, IMS_STRUCT_S2_TABLE, 1, IMS_STRUCT_DATA);
  feed.read(450, 500, 1, 5, IMS_STRUCT_S1_TABLE, 1, IMS_STRUCT_ROOT_ENTRY, 0, IMS_STEP_UPDATE);
  feed.finish(510, 1);
  feed.unit.left(600, 1);
  EXPECT_EQ(feed.end(600).lines(),
            (Lines{"iommu0/requests: read 0xabc000 0-600", "iommu0/look-ups: look up 0xabc000 10-20",
                   "  iommu0/look-ups: IOTLB miss 10-20", "iommu0/walker 5: walk 0xabc000 100-510",
                   "  iommu0/walker 5: context entry 100-200", "  iommu0/walker 5: S1 walk cache level 3 miss 200-205",
                   "  iommu0/walker 5: nested TLB hit 205-210", "  iommu0/walker 5: S2 level 2 for S1 level 3 210-300",
                   "  iommu0/walker 5: S1 level 3 300-400", "  iommu0/walker 5: S2 level 1 for the page itself 400-450",
                   "  iommu0/walker 5: update S1 level 1 450-500"}));
}

TEST(Timeline, LevelsAreCountedAsTheArchitectureDoes) {
  Feed feed({}, ims_vmsa_level);
  feed.unit.arrived(0, 1, feed.request(0));
  feed.read(0, 10, 1, 0, IMS_STRUCT_S2_TABLE, 1, IMS_STRUCT_S1_TABLE, 4);
  feed.probe(10, 20, 1, IMS_CACHE_S2_L2, true);
  feed.finish(20, 1);
  feed.unit.left(20, 1);
  Picture p = feed.end(20);
  EXPECT_NE(p.find("S2 level 3 for S1 level 0"), nullptr);
  EXPECT_NE(p.find("S2 walk cache level 2 hit"), nullptr);
}

TEST(Timeline, AnArrowLeadsFromTheArrivalThroughLookUpsAndWalkToTheDeparture) {
  Feed feed;
  feed.unit.arrived(1, 9, feed.request(0x1000));
  feed.probe(2, 3, 9, IMS_CACHE_IOTLB, false);
  feed.read(5, 6, 9, 0, IMS_STRUCT_S1_TABLE, 1);
  feed.finish(6, 9);
  feed.unit.left(8, 9);
  Picture p = feed.end(8);
  ASSERT_EQ(p.arrows.size(), 4u);
  std::string phases, bound;
  for (const Arrow &a : p.arrows) {
    EXPECT_EQ(a.id, p.arrows[0].id);
    phases += a.phase;
    bound += std::to_string(a.at) + " " + a.slice + "; ";
  }
  EXPECT_EQ(phases, "sttf");
  EXPECT_EQ(bound, "1 read 0x1000; 2 look up 0x1000; 5 walk 0x1000; 8 read 0x1000; ");
}

TEST(Timeline, WhatOverlapsHasTracksOfItsOwn) {
  Feed feed;
  for (uint64_t n = 0; n < 3; n++)
    feed.unit.arrived(n, n, feed.request(n << 12));
  for (uint64_t n = 0; n < 3; n++)
    feed.probe(10 + n, 20 + n, n, IMS_CACHE_IOTLB, true);
  for (uint64_t n = 0; n < 3; n++) {
    feed.finish(20 + n, n);
    feed.unit.left(30 + n, n);
  }
  feed.unit.arrived(30, 3, feed.request(0x3000)); // as the first one leaves: on its track
  feed.unit.left(40, 3);
  Picture p = feed.end(40);
  EXPECT_EQ(p.find("read 0x0")->track, "iommu0/requests");
  EXPECT_EQ(p.find("read 0x1000")->track, "iommu0/requests (2)");
  EXPECT_EQ(p.find("read 0x2000")->track, "iommu0/requests (3)");
  EXPECT_EQ(p.find("read 0x3000")->track, "iommu0/requests");
  EXPECT_EQ(p.find("look up 0x2000")->track, "iommu0/look-ups (3)");
}

TEST(Timeline, AWindowShowsWhatItSeesWithItsWholeLength) {
  Feed feed({1000, 2000});
  auto one = [&](uint64_t n, Ticks begin, Ticks end) {
    feed.unit.arrived(begin, n, feed.request(n << 12));
    feed.read(begin, begin + 50, n, static_cast<unsigned>(n), IMS_STRUCT_S1_TABLE, 2);
    feed.read(end - 50, end, n, static_cast<unsigned>(n), IMS_STRUCT_S1_TABLE, 1);
    feed.finish(end, n);
    feed.unit.left(end, n);
  };
  one(1, 100, 1000);  // over as it opens
  one(2, 200, 1010);  // reaches into it
  one(3, 300, 2500);  // is there before and behind: its steps lie outside
  one(4, 1500, 1700); // within
  one(5, 1990, 3000); // reaches out
  one(6, 2000, 2100); // begins as it closes
  EXPECT_EQ(feed.end(4000).lines(),
            (Lines{"iommu0/requests: read 0x2000 200-1010", "iommu0/walker 2: walk 0x2000 200-1010",
                   "iommu0/requests (2): read 0x3000 300-2500", "iommu0/walker 3: walk 0x3000 300-2500",
                   "  iommu0/walker 2: S1 level 1 960-1010", "iommu0/requests: read 0x4000 1500-1700",
                   "iommu0/walker 4: walk 0x4000 1500-1700", "  iommu0/walker 4: S1 level 2 1500-1550",
                   "  iommu0/walker 4: S1 level 1 1650-1700", "iommu0/requests: read 0x5000 1990-3000",
                   "iommu0/walker 5: walk 0x5000 1990-3000", "  iommu0/walker 5: S1 level 2 1990-2040"}));
}

TEST(Timeline, CountersChangeOnceATimeAndBeginWithTheWindow) {
  Feed feed({1000, 2000});
  feed.unit.state(500, 2, 9, 40, 10);
  feed.unit.state(1200, 3, 9, 40, 11);
  feed.unit.state(1200, 4, 9, 40, 12);
  feed.unit.state(1300, 4, 9, 40, 12);
  feed.unit.state(2000, 0, 0, 99, 99);
  Picture p = feed.end(3000);
  using Curve = std::map<Ticks, uint64_t>;
  EXPECT_EQ(p.counters["iommu0/walkers taken"], (Curve{{1000, 2}, {1200, 4}}));
  EXPECT_EQ(p.counters["iommu0/requests pending"], (Curve{{1000, 9}}));
  EXPECT_EQ(p.counters["iommu0/hits"], (Curve{{1000, 40}}));
  EXPECT_EQ(p.counters["iommu0/misses"], (Curve{{1000, 10}, {1200, 12}}));
}

TEST(Timeline, DescriptorsHaveATrackOfTheirOwn) {
  Feed feed;
  feed.unit.descriptor(100, 200, {IMS_QUEUE_INVALIDATE, 16, 0x8000});
  feed.unit.descriptor(200, 900, {IMS_QUEUE_WAIT, 16, 0x8010});
  Picture p = feed.end(1000);
  EXPECT_EQ(p.lines(), (Lines{"iommu0/queue: invalidate 100-200", "iommu0/queue: wait 200-900"}));
  EXPECT_EQ(p.slices[1].begin_args.at("hpa").as_string(), "0x8010");
}

TEST(Timeline, WhatIsUnderWayAtTheEndIsMarked) {
  Feed feed;
  feed.unit.arrived(100, 1, feed.request(0x1000));
  feed.read(200, 300, 1, 0, IMS_STRUCT_S1_TABLE, 4);
  Picture p = feed.end(5000);
  EXPECT_EQ(p.lines(), (Lines{"iommu0/requests: read 0x1000 100-5000", "iommu0/walker 0: walk 0x1000 200-300",
                              "  iommu0/walker 0: S1 level 4 200-300"}));
  EXPECT_TRUE(p.slices[0].end_args.at("unfinished").as_bool());
}

TEST(Timeline, ATranslationAheadNeverArrivesAndIsForgottenWhenItIsFinished) {
  Feed feed;
  feed.read(10, 20, 77, 1, IMS_STRUCT_S1_TABLE, 1);
  feed.finish(30, 77);
  feed.unit.arrived(40, 77, feed.request(0x9000)); // its number is free again
  feed.unit.left(50, 77);
  EXPECT_EQ(feed.end(60).lines(), (Lines{"iommu0/walker 1: walk ahead 10-30", "  iommu0/walker 1: S1 level 1 10-20",
                                         "iommu0/requests: read 0x9000 40-50"}));
}

TEST(Timeline, ATranslationAheadThatWasGivenUpDoesNotHideARequestOfItsNumber) {
  Feed feed;
  feed.read(10, 20, 5, 1, IMS_STRUCT_S1_TABLE, 1);
  feed.unit.arrived(40, 5, feed.request(0x9000));
  feed.probe(41, 42, 5, IMS_CACHE_IOTLB, true);
  feed.finish(42, 5);
  feed.unit.left(50, 5);
  EXPECT_EQ(feed.end(60).lines(), (Lines{"iommu0/walker 1: walk ahead 10-20", "  iommu0/walker 1: S1 level 1 10-20",
                                         "iommu0/requests: read 0x9000 40-50", "iommu0/look-ups: look up 0x9000 41-42",
                                         "  iommu0/look-ups: IOTLB hit 41-42"}));
}

TEST(Timeline, ARequestThatIsResumedWalksAgain) {
  Feed feed;
  feed.unit.arrived(0, 1, feed.request(0x1000));
  feed.read(0, 10, 1, 0, IMS_STRUCT_S1_TABLE, 1);
  feed.finish(10, 1); // stalled
  feed.probe(500, 510, 1, IMS_CACHE_IOTLB, false);
  feed.read(510, 520, 1, 3, IMS_STRUCT_S1_TABLE, 1);
  feed.finish(520, 1);
  feed.unit.left(530, 1);
  EXPECT_EQ(feed.end(530).lines(),
            (Lines{"iommu0/requests: read 0x1000 0-530", "iommu0/walker 0: walk 0x1000 0-10",
                   "  iommu0/walker 0: S1 level 1 0-10", "iommu0/look-ups: look up 0x1000 500-510",
                   "  iommu0/look-ups: IOTLB miss 500-510", "iommu0/walker 3: walk 0x1000 510-520",
                   "  iommu0/walker 3: S1 level 1 510-520"}));
}

TEST(Timeline, UnitsAreProcessesAndTimesAreExactToThePicosecond) {
  std::string text;
  Timeline timeline([&](std::string_view s) { text += s; });
  for (const char *name : {"iommu0", "io mmu\"1"})
    timeline.add_unit(name).descriptor(1234567890123, 1234567890124, {IMS_QUEUE_WAIT, 16, 0});
  timeline.finish(1234567890124);
  EXPECT_NE(text.find("\"ts\":1234567.890123,"), std::string::npos);
  EXPECT_NE(text.find("\"ts\":1234567.890124"), std::string::npos);
  EXPECT_EQ(read_back(text).lines(), (Lines{"iommu0/queue: wait 1234567890123-1234567890124",
                                            "io_mmu_1/queue: wait 1234567890123-1234567890124"}));
}

TEST(Timeline, ARunOfNothingIsAFileOfNothing) {
  std::string text;
  Timeline timeline([&](std::string_view s) { text += s; });
  timeline.finish(0);
  EXPECT_TRUE(json::parse(text).at("traceEvents").as_array().empty());
}

// Whatever comes, however it overlaps, is a file that a viewer takes: each slice closed, each nested in what is around it,
// and each request there once with its times.
TEST(Timeline, SlicesNestWhateverOverlaps) {
  for (unsigned seed = 1; seed <= 10; seed++) {
    std::mt19937 random(seed);
    auto up_to = [&](Ticks n) { return static_cast<Ticks>(random() % (n + 1)); };
    Feed feed(seed % 2 ? Window{} : Window{3000, 9000});
    struct Told {
      Ticks begin, end;
    };
    std::map<std::string, Told> told;
    for (uint64_t n = 0; n < 300; n++) {
      Ticks begin = up_to(10000), t = begin; // in no order of time, as loosely timed initiators do
      feed.unit.arrived(begin, n, feed.request(n << 12));
      for (unsigned steps = 1 + random() % 8; steps; steps--) {
        Ticks from = t + up_to(20) - std::min<Ticks>(t, up_to(3)); // sometimes before the last one was over
        t = from + up_to(100);
        if (random() % 2)
          feed.probe(from, t, n, IMS_CACHE_IOTLB, random() % 2, random() % 4);
        else
          feed.read(from, t, n, random() % 4, IMS_STRUCT_S1_TABLE, 1);
      }
      feed.finish(t, n);
      t = std::max(begin, t) + up_to(50);
      feed.unit.left(t, n);
      char name[32];
      std::snprintf(name, sizeof(name), "read 0x%llx", static_cast<unsigned long long>(n << 12));
      if (seed % 2 || (begin < 9000 && (t > 3000 || begin >= 3000)))
        told[name] = {begin, t};
    }
    Picture p = feed.end(20000);
    size_t requests = 0;
    for (const Slice &s : p.slices) {
      ASSERT_LE(s.begin, s.end) << s.name;
      if (s.track.compare(0, 15, "iommu0/requests") == 0) {
        requests++;
        EXPECT_EQ(s.depth, 0u);
        ASSERT_TRUE(told.count(s.name)) << s.name;
        EXPECT_EQ(s.begin, told[s.name].begin);
        EXPECT_EQ(s.end, told[s.name].end);
      } else {
        EXPECT_EQ(s.depth, s.name.compare(0, 4, "walk") == 0 || s.name.compare(0, 7, "look up") == 0 ? 0u : 1u);
      }
    }
    EXPECT_EQ(requests, told.size()) << "seed " << seed;
  }
}

// What a unit under load tells: nothing is missing and nothing twice.
TEST(Timeline, OfAUnitHasAllThatItCounts) {
  for (unsigned arch : {ARCH_VTD, ARCH_SMMUV3}) {
    MachineConfig m;
    m.arch = arch;
    m.translation = TRANSLATE_NESTED;
    IommuConfig c;
    c.walkers = 3;
    c.pending = 8;
    Rig rig(m, c);
    std::string text;
    Timeline timeline([&](std::string_view s) { text += s; });
    rig.iommu.observe(&timeline.add_unit("iommu0", arch == ARCH_SMMUV3 ? ims_vmsa_level : nullptr));
    for (unsigned i = 0; i < 50; i++)
      rig.device.send(700 * i, rig.stream(), rig.page(i % 13), i % 2);
    rig.simulation.run();
    ASSERT_TRUE(rig.device.all_done());
    timeline.finish(Agenda::of_simulation().now());
    Picture p = read_back(text);
    std::map<std::string, uint64_t> slices, reads;
    uint64_t walks = 0, late = 0;
    for (const Slice &s : p.slices) {
      std::string track = s.track.substr(0, s.track.find(' '));
      slices[track]++;
      walks += s.name.compare(0, 5, "walk ") == 0;
      late += s.end_args.contains("unfinished");
      if (s.depth && s.name.find(" hit") == std::string::npos && s.name.find(" miss") == std::string::npos)
        reads[track]++;
    }
    const IommuCounters &count = rig.iommu.counters();
    EXPECT_EQ(slices["iommu0/requests"], 50u);
    EXPECT_EQ(late, 0u);
    EXPECT_EQ(reads["iommu0/walker"], count.walk_reads + count.updates);
    EXPECT_EQ(reads["iommu0/look-ups"], 0u);
    EXPECT_GE(count.walk_reads, 13u * 4);
    EXPECT_EQ(p.counters["iommu0/hits"].rbegin()->second, count.hits);
    EXPECT_EQ(p.counters["iommu0/misses"].rbegin()->second, count.misses);
    EXPECT_EQ(p.counters["iommu0/walkers taken"].rbegin()->second, 0u);
    EXPECT_EQ(p.counters["iommu0/requests pending"].rbegin()->second, 0u);
    uint64_t most = 0;
    for (const auto &[t, n] : p.counters["iommu0/walkers taken"])
      most = std::max(most, n);
    EXPECT_EQ(most, 3u);
    EXPECT_GE(walks, 13u);
    EXPECT_LE(walks, count.misses);
  }
}

// What several observers are told is the same.
TEST(Observers, AreAllToldTheSame) {
  std::string text[2];
  Timeline a([&](std::string_view s) { text[0] += s; }), b([&](std::string_view s) { text[1] += s; });
  Observers both;
  EXPECT_TRUE(both.empty());
  both.add(&a.add_unit("iommu0"));
  both.add(&b.add_unit("iommu0"));
  ims_step step = {};
  step.cache = IMS_CACHE_IOTLB;
  both.arrived(10, 1, Feed::request(0x1000));
  both.step(10, 20, 1, 0, IMS_STEP_PROBE, step, true);
  both.state(20, 1, 1, 0, 1);
  both.finished(20, 1, Feed::request(0x1000), {});
  both.left(30, 1);
  both.descriptor(30, 40, {IMS_QUEUE_WAIT, 16, 0});
  a.finish(40);
  b.finish(40);
  EXPECT_EQ(text[0], text[1]);
  Picture p = read_back(text[0]);
  EXPECT_EQ(p.slices.size(), 4u);
  EXPECT_EQ(p.counters.size(), 4u);
}

} // namespace
