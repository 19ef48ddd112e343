// SPDX-License-Identifier: Apache-2.0
#include "model/llc.h"
#include "model/memory.h"
#include "requester.h"

#include <gtest/gtest.h>
#include <list>
#include <random>

using namespace ims::model;

namespace {

struct System {
  Simulation sim;
  Bytes bytes{1 << 24};
  Memory memory;
  Llc llc;
  Requester cpu{"cpu"};
  explicit System(const LlcConfig &c, const MemoryConfig &m = {}) : memory("memory", bytes, m), llc("llc", c) {
    cpu.port.socket.bind(llc.port.socket);
    llc.memory.socket.bind(memory.port.socket);
  }
  Requester::Item &one(const Access &a, bool timed = true) {
    auto &i = cpu.plan(cpu.agenda.now(), a, timed);
    sim.run();
    return i;
  }
};

// One set: 16 ways, so that the oracle need not know how lines are spread.
LlcConfig tiny(unsigned dma_ways = 0) {
  LlcConfig c;
  c.size_kb = 1;
  c.ways = 16;
  c.dma_ways = dma_ways;
  return c;
}

const Ticks HIT = 20 * NS, MISS = 65 * NS; // 5 + 60

constexpr bool WRITE = true, WALK = true;

} // namespace

TEST(Llc, AMissFetchesTheLineAndTheNextReadHits) {
  for (bool timed : {false, true}) {
    System s(tiny());
    ims_mem_store64(s.bytes, 0x48, 0x1122);
    auto &a = s.one({0x40, 8, false, WALK}, timed), &b = s.one({0x48, 8, false, WALK}, timed);
    EXPECT_EQ(a.took(), MISS);
    EXPECT_EQ(b.took(), HIT);
    EXPECT_EQ(b.data[0], 0x22);
    EXPECT_EQ(b.status, tlm::TLM_OK_RESPONSE);
    EXPECT_EQ(s.llc.counters().walk_misses, 1u);
    EXPECT_EQ(s.llc.counters().walk_hits, 1u);
    EXPECT_EQ(s.memory.counters().walker_reads, 1u);
    EXPECT_EQ(s.memory.counters().bytes_read, 64u);
  }
}

TEST(Llc, AbsentCacheCostsNothingAndGrantsDirectAccess) {
  for (bool timed : {false, true}) {
    System s({});
    Requester other("other");
    other.port.socket.bind(s.llc.port.socket);
    auto &i = other.plan(0, {0, 8}, timed);
    EXPECT_EQ(s.one({0, 8, false, WALK}, timed).took(), 60 * NS);
    EXPECT_EQ(i.took(), 60 * NS);
    Payload p;
    tlm::tlm_dmi dmi;
    EXPECT_TRUE(s.cpu.port.socket->get_direct_mem_ptr(p, dmi));
    s.memory.removed(1, 2);
    EXPECT_EQ(s.cpu.withdrawals.size(), 1u);
  }
  System s(tiny());
  s.one({0, 8});
  Payload p;
  tlm::tlm_dmi dmi;
  EXPECT_FALSE(s.cpu.port.socket->get_direct_mem_ptr(p, dmi));
}

TEST(Llc, PoliciesSayWhatComesIn) {
  for (unsigned policy = 0; policy < 8; policy++) {
    LlcConfig c = tiny();
    c.walks_allocate = policy & 1;
    c.dma_writes_allocate = policy >> 1 & 1;
    c.dma_reads_allocate = policy >> 2;
    for (bool timed : {false, true}) {
      System s(c);
      s.one({0, 8, false, WALK}, timed);
      auto &w = s.one({64, 64, WRITE}, timed);
      s.one({128, 64}, timed);
      EXPECT_EQ(s.llc.holds(0), c.walks_allocate != 0);
      EXPECT_EQ(s.llc.holds(64), c.dma_writes_allocate != 0);
      EXPECT_EQ(s.llc.holds(128), c.dma_reads_allocate != 0);
      EXPECT_EQ(w.took(), c.dma_writes_allocate ? HIT : MISS);
      EXPECT_EQ(s.memory.counters().writes, c.dma_writes_allocate ? 0u : 1u);
    }
  }
}

TEST(Llc, WarmLinesAreThereCleanAndTheOldestGo) {
  System s(tiny());
  for (unsigned n = 0; n < 20; n++) // 16 lines fit
    s.llc.warm(n * 64);
  for (unsigned n = 0; n < 20; n++)
    EXPECT_EQ(s.llc.holds(n * 64), n >= 4) << n;
  EXPECT_EQ(s.llc.counters().allocations, 0u);
  EXPECT_EQ(s.one({19 * 64, 64}).took(), HIT);
  EXPECT_EQ(s.one({3 * 64, 64}).took(), MISS);
  for (unsigned n = 20; n < 40; n++)
    s.one({n * 64, 8, false, WALK});
  EXPECT_EQ(s.llc.counters().write_backs, 0u);
}

TEST(Llc, BytesAreInTheMemoryWhateverTheTagsSay) {
  for (bool allocate : {false, true})
    for (bool timed : {false, true}) {
      LlcConfig c = tiny();
      c.dma_writes_allocate = allocate;
      System s(c);
      auto &w = s.cpu.plan(0, {0x100, 8, WRITE}, timed);
      w.data = {1, 2, 3, 4, 5, 6, 7, 8};
      EXPECT_EQ(s.one({0x100, 8}, timed).data, w.data);
      uint64_t word = 0;
      ims_mem_load64(s.bytes, 0x100, &word);
      EXPECT_EQ(word, 0x0807060504030201u);
    }
}

TEST(Llc, ADirtyLineIsWrittenBackWhenItGoes) {
  for (bool timed : {false, true}) {
    System s(tiny());
    s.one({0, 64, WRITE}, timed);
    for (unsigned n = 1; n <= 15; n++)
      s.one({n * 64, 8, false, WALK}, timed);
    EXPECT_EQ(s.llc.counters().write_backs, 0u);
    EXPECT_EQ(s.one({16 * 64, 8, false, WALK}, timed).took(), MISS) << "nobody waits for it";
    EXPECT_EQ(s.llc.counters().write_backs, 1u);
    EXPECT_EQ(s.memory.counters().writes, 1u);
    EXPECT_EQ(s.memory.counters().bytes_written, 64u);
    EXPECT_FALSE(s.llc.holds(0));
  }
}

TEST(Llc, WriteBacksTakeBandwidth) {
  MemoryConfig m;
  m.bandwidth = 640; // 100 ns a line
  System s(tiny(), m);
  for (unsigned n = 0; n < 16; n++)
    s.one({n * 64, 64, WRITE});
  auto &evicts = s.cpu.plan(s.cpu.agenda.now(), {16 * 64, 8, WRITE}); // hits at once, and sends one line out
  auto &after = s.cpu.plan(s.cpu.agenda.now(), {17 * 64, 8, false, WALK});
  s.sim.run();
  EXPECT_EQ(evicts.took(), HIT);
  EXPECT_EQ(after.took(), (100 - 5 + 5 + 100 + 60) * NS);
}

TEST(Llc, MissesOfOneLineWaitForTheFirst) {
  System s(tiny());
  auto &a = s.cpu.plan(0, {0, 8, false, WALK}), &b = s.cpu.plan(30 * NS, {8, 8, false, WALK});
  auto &c = s.cpu.plan(62 * NS, {16, 8, false, WALK}), &d = s.cpu.plan(66 * NS, {24, 8, false, WALK});
  s.sim.run();
  EXPECT_EQ(a.end, 65 * NS);
  EXPECT_EQ(b.end, 65 * NS);
  EXPECT_EQ(c.end, 67 * NS) << "its own tag check first";
  EXPECT_EQ(d.end, 86 * NS) << "the line is there";
  EXPECT_EQ(s.llc.counters().merges, 2u);
  EXPECT_EQ(s.llc.counters().fetches, 1u);
  EXPECT_EQ(s.memory.counters().reads, 1u);
  EXPECT_EQ(s.llc.in_flight(), 0u);
}

TEST(Llc, MissSlotsAreFinite) {
  LlcConfig c = tiny();
  c.miss_slots = 2;
  System s(c);
  for (unsigned n = 0; n < 6; n++)
    s.cpu.plan(0, {n * 64, 8, false, WALK});
  auto &merged = s.cpu.plan(0, {5 * 64 + 8, 8, false, WALK});
  s.sim.run();
  for (unsigned n = 0; n < 6; n++)
    EXPECT_EQ(s.cpu.items[n]->end, (n / 2 + 1) * MISS) << n;
  EXPECT_EQ(merged.end, 3 * MISS);
  // Of the four that found none each waited at the initiator's end until the one before it was taken.
  EXPECT_EQ(s.llc.counters().fetches, 6u);
  EXPECT_GE(s.llc.counters().slot_waits, 2u);
  EXPECT_EQ(s.llc.in_flight(), 0u);
  EXPECT_EQ(s.cpu.port.waiting(), 0u);
}

TEST(Llc, DmaKeepsToItsWays) {
  System s(tiny(4));
  for (unsigned n = 0; n < 12; n++)
    s.one({n * 64, 8, false, WALK});
  for (unsigned n = 100; n < 200; n++)
    s.one({n * 64, 64, WRITE});
  for (unsigned n = 0; n < 12; n++)
    EXPECT_TRUE(s.llc.holds(n * 64));
  for (unsigned n = 100; n < 200; n++)
    EXPECT_EQ(s.llc.holds(n * 64), n >= 196);
  // What walks brought in is written there.
  EXPECT_EQ(s.one({0, 64, WRITE}).took(), HIT);
  EXPECT_EQ(s.llc.counters().dma_hits, 1u);
}

TEST(Llc, AbsentMemoryIsRefusedByTheMemoryBehind) {
  for (bool timed : {false, true}) {
    System s(tiny());
    auto &r = s.one({1 << 24, 8, false, WALK}, timed), &w = s.one({1 << 24, 64, WRITE}, timed);
    EXPECT_EQ(r.status, tlm::TLM_ADDRESS_ERROR_RESPONSE);
    EXPECT_EQ(w.status, tlm::TLM_ADDRESS_ERROR_RESPONSE);
    EXPECT_EQ(r.took(), 5 * NS);
    EXPECT_FALSE(s.llc.holds(1 << 24));
    EXPECT_EQ(s.llc.counters().passed, 2u);
    EXPECT_EQ(s.memory.counters().errors, 2u);
  }
}

TEST(Llc, SwapsHitAndMakeTheLineDirty) {
  for (bool timed : {false, true}) {
    System s(tiny());
    for (unsigned n = 0; n < 2; n++) {
      auto &i = s.cpu.plan(s.cpu.agenda.now(), {0, 8, false, WALK}, timed);
      i.prepare = [](Payload &p) {
        auto *w = p.get_extension<WalkExtension>();
        w->swap = true;
        w->expected = 0;
        w->desired = 3;
      };
      s.sim.run();
      EXPECT_EQ(i.took(), n ? HIT : MISS);
      EXPECT_EQ(i.data[0], n ? 3 : 0);
    }
    for (unsigned n = 1; n <= 16; n++)
      s.one({n * 64, 8, false, WALK}, timed);
    EXPECT_EQ(s.llc.counters().write_backs, 1u);
  }
}

// The oracle: two lists, youngest first.
TEST(Llc, HitsWhatAListOfTheYoungestHolds) {
  std::mt19937_64 random(5);
  for (unsigned round = 0; round < 24; round++) {
    LlcConfig c = tiny(round % 3 * 3);
    c.walks_allocate = random() % 4 != 0;
    c.dma_writes_allocate = random() % 2;
    c.dma_reads_allocate = random() % 2;
    System s(c);
    struct Line {
      uint64_t line;
      bool dirty;
    };
    std::list<Line> list[2]; // of walks, of DMA
    size_t room[2] = {16 - c.dma_ways, c.dma_ways};
    uint64_t write_backs = 0;
    for (unsigned n = 0; n < 400; n++) {
      uint64_t line = random() % 24;
      bool write = random() % 3 == 0, walk = random() % 2;
      bool allocate = walk ? c.walks_allocate : write ? c.dma_writes_allocate : c.dma_reads_allocate;
      bool hit = false;
      for (auto &l : list)
        for (auto i = l.begin(); i != l.end(); ++i)
          if (i->line == line) {
            i->dirty |= write;
            l.splice(l.begin(), l, i);
            hit = true;
            break;
          }
      Ticks expected = hit || (write && allocate) ? HIT : MISS;
      if (!hit && allocate) {
        auto &l = list[!walk && c.dma_ways];
        l.push_front({line, write});
        if (l.size() > room[!walk && c.dma_ways]) {
          write_backs += l.back().dirty;
          l.pop_back();
        }
      }
      ASSERT_EQ(s.one({line * 64 + random() % 8 * 8, 8, write, walk}, random() % 2).took(), expected) << n;
      for (auto &l : list)
        for (auto &i : l)
          ASSERT_TRUE(s.llc.holds(i.line * 64)) << n;
    }
    EXPECT_EQ(s.llc.counters().write_backs, write_backs);
    uint64_t looks = s.llc.counters().walk_hits + s.llc.counters().walk_misses + s.llc.counters().dma_hits +
                     s.llc.counters().dma_misses + s.llc.counters().passed;
    EXPECT_EQ(looks, 400u);
  }
}

TEST(Llc, SetsHoldTheirWays) {
  LlcConfig c;
  c.size_kb = 64; // 1024 lines
  c.ways = 4;
  c.dma_ways = 0;
  System s(c);
  for (unsigned n = 0; n < 1024; n++)
    s.one({n * 64, 8, false, WALK}, false);
  unsigned held = 0;
  for (unsigned n = 0; n < 1024; n++)
    held += s.llc.holds(n * 64);
  EXPECT_EQ(held, 1024u) << "neighbouring lines fill all sets";
}

TEST(Llc, LooselyAndApproximatelyTimedAgreeWithOneInFlight) {
  std::mt19937_64 random(9);
  for (unsigned round = 0; round < 20; round++) {
    LlcConfig c;
    c.size_kb = 1 + random() % 8;
    c.ways = 1 + random() % 16;
    c.dma_ways = random() % 4;
    c.hit_ns = random() % 30000;
    c.miss_ns = random() % 30000;
    c.dma_writes_allocate = random() % 2;
    c.dma_reads_allocate = random() % 2;
    c.miss_slots = random() % 3;
    MemoryConfig m;
    m.kind = round % 2;
    std::vector<Access> accesses;
    for (unsigned n = 0; n < 400; n++) // time enough between them for a line that is written back
      accesses.push_back({random() % 16384, static_cast<uint32_t>(1 + random() % (n % 4 ? 8 : 600)), random() % 3 == 0,
                          random() % 2 == 0, false, 2 * US});
    std::vector<Ticks> latency[2];
    for (bool timed : {false, true}) {
      System s(c, m);
      s.cpu.chain(accesses, timed);
      s.sim.run();
      latency[timed] = s.cpu.latencies();
    }
    EXPECT_EQ(latency[0], latency[1]) << round;
  }
}

TEST(Llc, EverythingEndsUnderLoad) {
  std::mt19937_64 random(13);
  LlcConfig c = tiny(2);
  c.miss_slots = 3;
  c.dma_reads_allocate = 1;
  MemoryConfig m;
  m.kind = MEMORY_DRAM;
  System s(c, m);
  Requester other("other");
  other.port.socket.bind(s.llc.port.socket);
  for (unsigned n = 0; n < 3000; n++)
    (n % 3 ? s.cpu : other)
        .plan(random() % (20 * US), {random() % 8192, static_cast<uint32_t>(1 + random() % 300), random() % 4 == 0,
                                     random() % 2 == 0, random() % 8 == 0});
  s.sim.run();
  for (auto *r : {&s.cpu, &other})
    for (auto &i : r->items) {
      EXPECT_TRUE(i->ended);
      EXPECT_EQ(i->status, tlm::TLM_OK_RESPONSE);
    }
  EXPECT_EQ(s.llc.in_flight(), 0u);
  EXPECT_GT(s.llc.counters().slot_waits, 10u);
  EXPECT_GT(s.llc.counters().merges, 10u);
}
