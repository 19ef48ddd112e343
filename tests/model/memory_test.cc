// SPDX-License-Identifier: Apache-2.0
#include "model/memory.h"
#include "requester.h"

#include <gtest/gtest.h>
#include <random>

using namespace ims::model;

namespace {

struct System {
  Simulation sim;
  Bytes bytes{1 << 24};
  Memory memory;
  Requester cpu{"cpu"};
  explicit System(const MemoryConfig &c = {}) : memory("memory", bytes, c) { cpu.port.socket.bind(memory.port.socket); }
  // What one request takes now that the others are through.
  Requester::Item &one(const Access &a, bool timed = true) {
    auto &i = cpu.plan(cpu.agenda.now(), a, timed);
    sim.run();
    return i;
  }
};

MemoryConfig dram() {
  MemoryConfig c;
  c.kind = MEMORY_DRAM;
  c.channels = 2;
  c.banks = 4;
  c.row_bytes = 256;
  c.row_hit_ns = 30 * NS;
  c.row_empty_ns = 45 * NS;
  c.row_conflict_ns = 60 * NS;
  c.line_ns = 4 * NS;
  return c;
}

} // namespace

TEST(Memory, FixedLatencyIsThatOfItsConfiguration) {
  MemoryConfig c;
  c.read_ns = 81 * NS;
  c.write_ns = 33 * NS;
  for (bool timed : {false, true}) {
    System s(c);
    EXPECT_EQ(s.one({0x1000, 8}, timed).took(), 81 * NS);
    EXPECT_EQ(s.one({0x1000, 4096, true}, timed).took(), 33 * NS);
    EXPECT_EQ(s.memory.counters().busy_ps, 0u);
  }
}

TEST(Memory, ManyReadsAtOnceAllTakeTheFixedLatency) {
  System s;
  for (unsigned n = 0; n < 100; n++)
    s.cpu.plan(5 * NS, {n * 64});
  s.sim.run();
  for (auto &i : s.cpu.items)
    EXPECT_EQ(i->end, 65 * NS);
}

TEST(Memory, BytesPassThroughTheBusBeforeTheLatency) {
  MemoryConfig c;
  c.bandwidth = 16000; // 62.5 ps a byte
  System s(c);
  EXPECT_EQ(s.one({0, 64}, false).took(), 64 * NS);
  EXPECT_EQ(s.one({0, 64}, true).took(), 64 * NS);
  EXPECT_EQ(s.one({0, 1}, true).took(), 60 * NS + 63); // rounded up
}

TEST(Memory, FixedBandwidthSaturates) {
  MemoryConfig c;
  c.bandwidth = 20000;
  System s(c);
  for (unsigned n = 0; n < 2000; n++)
    s.cpu.plan(0, {n * 64, 64, n % 3 == 0});
  s.sim.run();
  double bound = 2000 * 64 / 20000e6 * 1e12;
  EXPECT_NEAR(static_cast<double>(s.cpu.last_end()), bound, bound * 0.02);
  EXPECT_EQ(s.memory.counters().busy_ps, 2000 * 3200u);
  EXPECT_EQ(s.memory.counters().waited_ps, 2000ull * 1999 / 2 * 3200);
}

TEST(Memory, RowsOpenHitAndConflict) {
  for (bool timed : {false, true}) {
    System s(dram());
    // 2 channels, rows of 4 lines, 4 banks: channel 0 has lines 0 2 4 6 in row 0 of bank 0, 8 10 12 14 in that of bank 1,
    // and line 32 begins row 1 of bank 0.
    EXPECT_EQ(s.one({0}, timed).took(), 49 * NS) << "no row open";
    EXPECT_EQ(s.one({6 * 64}, timed).took(), 34 * NS) << "the same row";
    EXPECT_EQ(s.one({64}, timed).took(), 49 * NS) << "the other channel";
    EXPECT_EQ(s.one({8 * 64, 8}, timed).took(), 49 * NS) << "the next bank";
    EXPECT_EQ(s.one({32 * 64}, timed).took(), 64 * NS) << "another row of the first bank";
    EXPECT_EQ(s.one({8 * 64}, timed).took(), 34 * NS);
    EXPECT_EQ(s.memory.counters().row_hits, 2u);
    EXPECT_EQ(s.memory.counters().row_empty, 3u);
    EXPECT_EQ(s.memory.counters().row_conflicts, 1u);
  }
}

TEST(Memory, LinesOfOneRequestShareBanksAndBuses) {
  for (bool timed : {false, true}) {
    System s(dram());
    // Lines 0..3: two in each channel, in one row: the row opens once, then both lines follow on the bus.
    EXPECT_EQ(s.one({0, 256}, timed).took(), (45 + 4 + 4) * NS);
    // 2 bytes over a border touch two lines.
    EXPECT_EQ(s.one({63, 2}, timed).took(), 34 * NS);
    EXPECT_EQ(s.memory.counters().busy_ps, 6 * 4 * NS);
  }
}

TEST(Memory, BanksOverlapAndOneBankDoesNot) {
  System s(dram());
  auto &a = s.cpu.plan(0, {0}), &b = s.cpu.plan(0, {32 * 64}), &c = s.cpu.plan(0, {8 * 64});
  s.sim.run();
  EXPECT_EQ(a.end, 49 * NS);
  // The bank is free when the line of `a` has been read: 49 - 30.
  EXPECT_EQ(b.end, 19 * NS + 64 * NS);
  // Another bank, the same bus: ready at 45, but the bus is promised to b until 83.
  EXPECT_EQ(c.end, 87 * NS);
}

TEST(Memory, OpenRowsSaturateTheBuses) {
  MemoryConfig c = dram();
  c.row_bytes = 8192;
  System s(c);
  for (unsigned n = 0; n < 4000; n++)
    s.cpu.plan(0, {n * 64});
  s.sim.run();
  double bound = 4000 / 2 * 4000.0;
  EXPECT_NEAR(static_cast<double>(s.cpu.last_end()), bound, bound * 0.02);
}

TEST(Memory, LooselyAndApproximatelyTimedAgreeWithOneInFlight) {
  std::mt19937_64 random(7);
  for (unsigned round = 0; round < 20; round++) {
    MemoryConfig c;
    c.kind = round % 2;
    c.bandwidth = round % 4 ? random() % 100000 : 0;
    c.channels = 1 + random() % 6;
    c.banks = 1 + random() % 9;
    c.row_bytes = 64 << random() % 8;
    c.row_hit_ns = random() % 50000;
    c.row_empty_ns = c.row_hit_ns + random() % 20000;
    c.row_conflict_ns = c.row_hit_ns + random() % 40000;
    c.line_ns = random() % 9000;
    std::vector<Access> list;
    for (unsigned n = 0; n < 300; n++)
      list.push_back({random() % (1 << 16), static_cast<uint32_t>(1 + random() % (n % 5 ? 64 : 4096)),
                      random() % 3 == 0, random() % 2 == 0, false, random() % 3 * 1000});
    std::vector<Ticks> latency[2];
    uint64_t hits[2], busy[2], waited[2];
    for (bool timed : {false, true}) {
      System s(c);
      s.cpu.chain(list, timed);
      s.sim.run();
      latency[timed] = s.cpu.latencies();
      hits[timed] = s.memory.counters().row_hits;
      busy[timed] = s.memory.counters().busy_ps;
      waited[timed] = s.memory.counters().waited_ps;
    }
    EXPECT_EQ(latency[0], latency[1]) << round;
    EXPECT_EQ(hits[0], hits[1]);
    EXPECT_EQ(busy[0], busy[1]);
    EXPECT_EQ(waited[0], waited[1]);
  }
}

TEST(Memory, WhatIsWrittenIsReadBack) {
  for (bool timed : {false, true}) {
    System s;
    auto &w = s.cpu.plan(0, {0x1234, 5, true}, timed);
    w.data = {1, 2, 3, 4, 5};
    EXPECT_EQ(s.one({0x1234, 5}, timed).data, (std::vector<unsigned char>{1, 2, 3, 4, 5}));
    uint64_t word = 0;
    ims_mem_load64(s.bytes, 0x1234, &word);
    EXPECT_EQ(word, 0x504030201u);
    EXPECT_EQ(s.memory.counters().reads, 1u);
    EXPECT_EQ(s.memory.counters().writes, 1u);
    EXPECT_EQ(s.memory.counters().bytes_read, 5u);
    EXPECT_EQ(s.memory.counters().walker_reads, 0u);
  }
}

TEST(Memory, RefusesByTheRulesAndAtOnce) {
  for (bool timed : {false, true}) {
    System s;
    auto &absent = s.cpu.plan(0, {1 << 24}, timed), &over = s.cpu.plan(0, {(1 << 24) - 32}, timed);
    auto &enables = s.cpu.plan(0, {0, 8}, timed), &streaming = s.cpu.plan(0, {0, 8}, timed);
    enables.prepare = [](Payload &p) { p.set_byte_enable_ptr(p.get_data_ptr()); };
    streaming.prepare = [](Payload &p) { p.set_streaming_width(4); };
    s.sim.run();
    EXPECT_EQ(absent.status, tlm::TLM_ADDRESS_ERROR_RESPONSE);
    EXPECT_EQ(over.status, tlm::TLM_ADDRESS_ERROR_RESPONSE);
    EXPECT_EQ(enables.status, tlm::TLM_BYTE_ENABLE_ERROR_RESPONSE);
    EXPECT_EQ(streaming.status, tlm::TLM_BURST_ERROR_RESPONSE);
    EXPECT_EQ(s.cpu.last_end(), 0u);
    EXPECT_EQ(s.memory.counters().errors, 4u);
    EXPECT_EQ(s.memory.counters().reads, 0u);
  }
}

TEST(Memory, IgnoredBytesTakeTimeAndTouchNothing) {
  MemoryConfig c;
  c.bandwidth = 16000;
  for (bool timed : {false, true}) {
    System s(c);
    ims_mem_store64(s.bytes, 0, 77);
    auto &i = s.one({0, 128, true, false, true}, timed);
    EXPECT_EQ(i.took(), 68 * NS);
    EXPECT_EQ(i.status, tlm::TLM_OK_RESPONSE);
    uint64_t word = 0;
    ims_mem_load64(s.bytes, 0, &word);
    EXPECT_EQ(word, 77u);
    EXPECT_EQ(s.memory.counters().bytes_written, 128u);
  }
}

TEST(Memory, SwapsOnlyWhatItExpects) {
  for (bool timed : {false, true}) {
    System s;
    ims_mem_store64(s.bytes, 64, 5);
    auto &yes = s.cpu.plan(0, {64, 8, false, true}, timed), &no = s.cpu.plan(0, {64, 8, false, true}, timed);
    auto prepare = [](Payload &p) {
      auto *w = p.get_extension<WalkExtension>();
      w->swap = true;
      w->expected = 5;
      w->desired = 6;
    };
    yes.prepare = no.prepare = prepare;
    s.sim.run();
    EXPECT_EQ(yes.data[0], 5);
    EXPECT_EQ(no.data[0], 6);
    uint64_t word = 0;
    ims_mem_load64(s.bytes, 64, &word);
    EXPECT_EQ(word, 6u);
    EXPECT_EQ(s.memory.counters().swaps, 2u);
    EXPECT_EQ(s.memory.counters().reads, 0u);
    EXPECT_EQ(yes.took(), 60 * NS);
  }
}

TEST(Memory, DebugAccessTakesNoTimeAndIsNotCounted) {
  System s;
  s.one({0, 8});
  PayloadPool<WalkExtension> pool;
  Payload &p = pool.get();
  uint64_t word = 9;
  set_payload(p, tlm::TLM_WRITE_COMMAND, 128, &word, 8);
  EXPECT_EQ(s.cpu.port.socket->transport_dbg(p), 8u);
  set_payload(p, tlm::TLM_READ_COMMAND, 128, &word, 8);
  auto *w = p.get_extension<WalkExtension>();
  w->swap = true;
  w->expected = 9;
  w->desired = 10;
  EXPECT_EQ(s.cpu.port.socket->transport_dbg(p), 8u);
  EXPECT_EQ(word, 9u);
  ims_mem_load64(s.bytes, 128, &word);
  EXPECT_EQ(word, 10u);
  w->swap = false;
  p.set_address(1ull << 40);
  EXPECT_EQ(s.cpu.port.socket->transport_dbg(p), 0u);
  EXPECT_EQ(s.memory.counters().reads, 1u);
  EXPECT_EQ(s.memory.counters().errors, 0u);
  p.release();
}

TEST(Memory, DirectAccessIsGrantedWhereNothingIsLost) {
  MemoryConfig fixed, limited, banks = dram();
  limited.bandwidth = 1000;
  for (const MemoryConfig &c : {fixed, limited, banks}) {
    System s(c);
    bool grants = c.kind == MEMORY_FIXED && !c.bandwidth;
    s.one({0, 8});
    Payload p;
    tlm::tlm_dmi dmi;
    p.set_address(0x5000);
    ASSERT_EQ(s.cpu.port.socket->get_direct_mem_ptr(p, dmi), grants);
    EXPECT_EQ(dmi.get_start_address(), 0u);
    if (!grants)
      continue;
    EXPECT_EQ(dmi.get_end_address(), (1u << 24) - 1);
    EXPECT_TRUE(dmi.is_read_write_allowed());
    EXPECT_EQ(dmi.get_read_latency().value(), 60 * NS);
    dmi.get_dmi_ptr()[0x5000] = 42;
    EXPECT_EQ(s.one({0x5000, 1}).data[0], 42);
    p.set_address(1ull << 30);
    EXPECT_FALSE(s.cpu.port.socket->get_direct_mem_ptr(p, dmi));
    s.memory.removed(0x4000, 0x7fff);
    EXPECT_EQ(s.cpu.withdrawals, (std::vector<std::pair<uint64_t, uint64_t>>{{0x4000, 0x7fff}}));
  }
}

TEST(Memory, ServesSeveralInitiatorsInOrderOfArrival) {
  MemoryConfig c;
  c.bandwidth = 6400; // 10 ns a line
  System s(c);
  Requester other("other");
  other.port.socket.bind(s.memory.port.socket);
  auto &a = s.cpu.plan(0, {0}), &b = other.plan(0, {64}), &d = s.cpu.plan(1 * NS, {128});
  s.sim.run();
  EXPECT_EQ(a.end, 70 * NS);
  EXPECT_EQ(b.end, 80 * NS);
  EXPECT_EQ(d.end, 90 * NS);
}
