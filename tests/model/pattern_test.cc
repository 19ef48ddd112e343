// SPDX-License-Identifier: Apache-2.0
#include "model/pattern.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

using namespace ims::model;

namespace {

std::vector<Stream> streams_of(uint32_t n, uint64_t bytes) {
  std::vector<Stream> streams;
  for (uint32_t i = 0; i < n; i++)
    streams.push_back({i, 0, false, uint64_t{i + 1} << 32, bytes});
  return streams;
}

std::vector<Access> take(Pattern &p, size_t count) {
  std::vector<Access> list;
  Access a;
  while (list.size() < count && p.next(&a))
    list.push_back(a);
  return list;
}

std::vector<Access> accesses(const PatternConfig &c, size_t count, uint32_t streams = 1, uint64_t bytes = 1 << 20) {
  return take(*make_pattern(c, streams_of(streams, bytes)), count);
}

std::vector<uint64_t> offsets(const std::vector<Access> &list) {
  std::vector<uint64_t> o;
  for (const Access &a : list)
    o.push_back(a.offset);
  return o;
}

std::vector<uint32_t> turns(const PatternConfig &c, size_t count, uint32_t streams) {
  std::vector<uint32_t> t;
  for (const Access &a : accesses(c, count, streams))
    t.push_back(a.stream);
  return t;
}

TEST(Pattern, RandomNumbersAreThoseOfSplitmix64) {
  Random r(1234567);
  EXPECT_EQ(r.next(), 6457827717110365317ull);
  EXPECT_EQ(r.next(), 3203168211198807973ull);
  Random one(0);
  for (int i = 0; i < 100; i++)
    EXPECT_EQ(one.below(1), 0u);
}

TEST(Pattern, RandomIsEvenAlignedAndInTheWindow) {
  PatternConfig c;
  c.window_kib = 64;
  std::map<uint64_t, unsigned> pages;
  for (const Access &a : accesses(c, 16000)) {
    EXPECT_EQ(a.offset % 64, 0u);
    EXPECT_EQ(a.bytes, 64u);
    EXPECT_FALSE(a.write);
    pages[a.offset / 4096]++;
  }
  ASSERT_EQ(pages.size(), 16u);
  for (auto [page, count] : pages)
    EXPECT_NEAR(count, 1000, 150) << page;
}

TEST(Pattern, RandomReachesTheLastPlace) {
  PatternConfig c;
  c.size = 1000;
  uint64_t last = 0;
  for (const Access &a : accesses(c, 1000, 1, 4096))
    last = std::max(last, a.offset + a.bytes);
  EXPECT_EQ(last, 4000u);
}

TEST(Pattern, ReadsAndWritesMixAsTold) {
  PatternConfig c;
  for (uint32_t percent : {0, 30, 100}) {
    c.read_percent = percent;
    auto list = accesses(c, 10000);
    auto reads = std::count_if(list.begin(), list.end(), [](const Access &a) { return !a.write; });
    EXPECT_NEAR(static_cast<double>(reads), percent * 100, percent % 100 ? 200 : 0);
  }
}

TEST(Pattern, SizesVaryBySteps) {
  PatternConfig c;
  c.size = 512;
  c.size_max = 2048;
  std::map<uint32_t, unsigned> sizes;
  for (const Access &a : accesses(c, 8000))
    if (a.offset % 4096 + a.bytes < 4096) // not a piece
      sizes[a.bytes]++;
  EXPECT_EQ(sizes.size(), 4u);
  for (auto [size, count] : sizes)
    EXPECT_TRUE(size % 512 == 0 && size <= 2048 && count > 500) << size << " " << count;
}

TEST(Pattern, LongAccessesComeInPiecesThatStayWithinAPage) {
  PatternConfig c;
  c.pattern = PATTERN_STRIDE;
  c.size = c.stride = 5000;
  auto list = accesses(c, 5, 1, 10000);
  EXPECT_EQ(offsets(list), (std::vector<uint64_t>{0, 4096, 5000, 8192, 0}));
  EXPECT_EQ(list[0].bytes, 4096u);
  EXPECT_EQ(list[1].bytes, 904u);
  EXPECT_EQ(list[2].bytes, 3192u);
  EXPECT_EQ(list[3].bytes, 1808u);
}

TEST(Pattern, StrideStaysInTheWindowOfEachStream) {
  PatternConfig c;
  c.pattern = PATTERN_STRIDE;
  c.stride = 4096;
  EXPECT_EQ(offsets(accesses(c, 6, 1, 16384)), (std::vector<uint64_t>{0, 4096, 8192, 12288, 0, 4096}));
  EXPECT_EQ(offsets(accesses(c, 6, 2, 16384)), (std::vector<uint64_t>{0, 0, 4096, 4096, 8192, 8192}));
}

TEST(Pattern, StreamsTakeTurns) {
  PatternConfig c;
  EXPECT_EQ(turns(c, 7, 3), (std::vector<uint32_t>{0, 1, 2, 0, 1, 2, 0}));
  c.stream_burst = 3;
  EXPECT_EQ(turns(c, 8, 2), (std::vector<uint32_t>{0, 0, 0, 1, 1, 1, 0, 0}));
  c.stream_burst = 2;
  c.stream_order = STREAMS_AT_RANDOM;
  auto t = turns(c, 8000, 4);
  std::map<uint32_t, unsigned> count;
  for (size_t i = 0; i < t.size(); i += 2) {
    EXPECT_EQ(t[i], t[i + 1]);
    count[t[i]]++;
  }
  ASSERT_EQ(count.size(), 4u);
  for (auto [stream, n] : count)
    EXPECT_NEAR(n, 1000, 150) << stream;
}

TEST(Pattern, ARingReadsItsDescriptorMovesThePacketAndWritesBack) {
  PatternConfig c;
  c.pattern = PATTERN_RING;
  c.read_percent = 0; // receives
  c.size = 1500;
  c.ring_entries = 4;
  // Four descriptors and four completions of 16 bytes, then buffers of 2 KB: two have room.
  auto list = accesses(c, 15, 1, 128 + 4096 + 100);
  struct {
    uint64_t offset;
    uint32_t bytes;
    bool write;
  } expected[] = {
      {0, 16, false},  {128, 1500, true},  {64, 16, true},  // first packet
      {16, 16, false}, {2176, 1500, true}, {80, 16, true},  // second buffer
      {32, 16, false}, {128, 1500, true},  {96, 16, true},  // buffers again
      {48, 16, false}, {2176, 1500, true}, {112, 16, true}, //
      {0, 16, false},  {128, 1500, true},  {64, 16, true},  // the rings again
  };
  ASSERT_EQ(list.size(), 15u);
  for (size_t i = 0; i < 15; i++) {
    EXPECT_EQ(list[i].offset, expected[i].offset) << i;
    EXPECT_EQ(list[i].bytes, expected[i].bytes) << i;
    EXPECT_EQ(list[i].write, expected[i].write) << i;
  }
  c.read_percent = 100; // sends
  c.completion_bytes = 0;
  for (const Access &a : accesses(c, 20))
    EXPECT_FALSE(a.write);
}

TEST(Pattern, ARingFinishesAPacketBeforeTheNextStreamsTurn) {
  PatternConfig c;
  c.pattern = PATTERN_RING;
  EXPECT_EQ(turns(c, 9, 2), (std::vector<uint32_t>{0, 0, 0, 1, 1, 1, 0, 0, 0}));
}

TEST(Pattern, BlockIosGoOnInConsecutivePieces) {
  PatternConfig c;
  c.pattern = PATTERN_BLOCK;
  c.size = 4096;
  c.io_bytes = 10000;
  c.queues = 2;
  c.read_percent = 50;
  auto list = accesses(c, 600);
  std::set<uint64_t> starts;
  for (size_t queue = 0; queue < 2; queue++) {
    for (size_t io = 0; io < 100; io++) {
      const Access *a[3];
      for (size_t i = 0; i < 3; i++)
        a[i] = &list[(io * 3 + i) * 2 + queue];
      EXPECT_EQ(a[0]->offset % 4096, 0u);
      EXPECT_EQ(a[1]->offset, a[0]->offset + 4096);
      EXPECT_EQ(a[2]->offset, a[0]->offset + 8192);
      EXPECT_EQ(a[2]->bytes, 10000u - 8192);
      EXPECT_TRUE(a[0]->write == a[1]->write && a[1]->write == a[2]->write);
      starts.insert(a[0]->offset);
    }
  }
  EXPECT_GT(starts.size(), 100u);
}

TEST(Pattern, AChainVisitsEveryPlaceOnce) {
  PatternConfig c;
  c.pattern = PATTERN_CHASE;
  for (uint64_t bytes : {4096u, 12288u, 65536u}) {
    auto list = accesses(c, 2 * bytes / 64, 1, bytes);
    std::set<uint64_t> first, second;
    uint64_t neighbours = 0;
    for (size_t i = 0; i < list.size(); i++) {
      EXPECT_EQ(list[i].offset % 64, 0u);
      EXPECT_LT(list[i].offset, bytes);
      (i < list.size() / 2 ? first : second).insert(list[i].offset);
      neighbours += i && list[i].offset == list[i - 1].offset + 64;
    }
    EXPECT_EQ(first.size(), bytes / 64);
    EXPECT_EQ(second.size(), bytes / 64);
    EXPECT_LT(neighbours, list.size() / 10);
  }
}

TEST(Pattern, ChainsAreIndependent) {
  PatternConfig c;
  c.pattern = PATTERN_CHASE;
  c.chains = 2;
  auto p = make_pattern(c, streams_of(2, 65536)), q = make_pattern(c, streams_of(2, 65536));
  EXPECT_EQ(p->chains(), 2u);
  Access a, b;
  for (int i = 0; i < 10; i++)
    ASSERT_TRUE(p->next_of(1, &a)); // chain 0 does not move
  for (int i = 0; i < 10; i++)
    ASSERT_TRUE(q->next_of(0, &b) && q->next_of(1, &b));
  EXPECT_EQ(a.offset, b.offset);
  EXPECT_EQ(a.stream, 1u);
}

TEST(Pattern, TheSeedDecides) {
  for (unsigned kind : {PATTERN_BLOCK, PATTERN_RANDOM, PATTERN_CHASE}) {
    PatternConfig c;
    c.pattern = kind;
    auto one = offsets(accesses(c, 100));
    EXPECT_EQ(offsets(accesses(c, 100)), one);
    c.seed = 2;
    EXPECT_NE(offsets(accesses(c, 100)), one);
  }
}

void expect_refused(const PatternConfig &c, uint64_t bytes, const char *message) {
  try {
    make_pattern(c, streams_of(1, bytes));
    ADD_FAILURE() << "was taken; expected: " << message;
  } catch (const std::invalid_argument &e) {
    EXPECT_STREQ(e.what(), message);
  }
}

TEST(Pattern, WhatDoesNotFitIsRefused) {
  PatternConfig c;
  c.window_kib = 8;
  expect_refused(c, 4096, "device.window_kib: found 8, expected at most 4, the memory of the smallest stream");
  c = {};
  c.size = 8192;
  expect_refused(c, 4096, "device.window_kib: found 4096 bytes, expected at least 8192, the largest DMA");
  c.pattern = PATTERN_CHASE;
  expect_refused(c, 1 << 20, "device.size: found 8192, expected at most 4096 with pointers that are followed");
  c = {};
  c.size_max = 32;
  expect_refused(c, 4096, "device.size_max: found 32, expected 0 or at least `size`, which is 64");
  c = {};
  c.pattern = PATTERN_RING;
  expect_refused(c, 4096, "device.window_kib: found 4096 bytes, expected at least 10240, the rings and one buffer");
  c.pattern = PATTERN_TRACE;
  expect_refused(c, 4096, "device.pattern: found trace without a list of accesses, expected one");
}

// Traces.

TEST(Trace, ColumnsComeInAnyOrder) {
  auto p = parse_trace("# two streams\n"
                       "access\tbytes\tiova\tstream\ttime_ns\r\n"
                       "\n"
                       "r\t64\t0x100000040\t0\t0\n"
                       "w\t8192\t8589936640\t1\t1.25\n",
                       "t.tsv", streams_of(2, 1 << 20));
  auto list = take(*p, 10);
  ASSERT_EQ(list.size(), 4u); // the second in three pieces
  EXPECT_EQ(offsets(list), (std::vector<uint64_t>{0x40, 2048, 4096, 8192}));
  EXPECT_EQ(list[0].bytes, 64u);
  EXPECT_FALSE(list[0].write);
  EXPECT_EQ(list[0].when, 0u);
  EXPECT_EQ(list[1].bytes, 2048u);
  EXPECT_EQ(list[3].bytes, 2048u);
  EXPECT_TRUE(list[3].write);
  EXPECT_EQ(list[3].stream, 1u);
  EXPECT_EQ(list[3].when, 1250u);
}

TEST(Trace, ErrorsSayWhereAndWhat) {
  const struct {
    const char *text, *message;
  } cases[] = {
      {"", "t.tsv:0: found nothing, expected a header line with the columns stream, iova, bytes, access and perhaps "
           "time_ns"},
      {"stream\tiova\tbytes\n",
       "t.tsv:1: header: found no access, expected the columns stream, iova, bytes and access"},
      {"stream\tiova\tbytes\tsource\n",
       "t.tsv:1: header: found 'source', expected time_ns, stream, iova, bytes or access"},
      {"iova\tiova\n", "t.tsv:1: header: found 'iova' twice, expected each column once"},
      {"stream\tiova\tbytes\taccess\n0\t0x100000000\t64\n", "t.tsv:2: found 3 fields, expected 4"},
      {"stream\tiova\tbytes\taccess\n2\t0x100000000\t64\tr\n",
       "t.tsv:2: stream: found '2', expected the number of a stream, 0 to 1"},
      {"stream\tiova\tbytes\taccess\n\n0\t0x1000000g0\t64\tr\n",
       "t.tsv:3: iova: found '0x1000000g0', expected an address of the stream's memory, 0x100000000 to 0x1000fffc0"},
      {"stream\tiova\tbytes\taccess\n0\t0x1000fffc1\t64\tr\n",
       "t.tsv:2: iova: found '0x1000fffc1', expected an address of the stream's memory, 0x100000000 to 0x1000fffc0"},
      {"stream\tiova\tbytes\taccess\n0\t0x100000000\t0\tr\n", "t.tsv:2: bytes: found '0', expected 1 to 4294967295"},
      {"stream\tiova\tbytes\taccess\n0\t0x100000000\t1048577\tr\n",
       "t.tsv:2: bytes: found '1048577', expected no more than the stream's 1048576"},
      {"stream\tiova\tbytes\taccess\n0\t0x100000000\t64\trw\n", "t.tsv:2: access: found 'rw', expected r or w"},
      {"time_ns\tstream\tiova\tbytes\taccess\n1.2345\t0\t0x100000000\t64\tr\n",
       "t.tsv:2: time_ns: found '1.2345', expected nanoseconds with up to three decimals"},
      {"time_ns\tstream\tiova\tbytes\taccess\n2\t0\t0x100000000\t64\tr\n1.999\t0\t0x100000000\t64\tr\n",
       "t.tsv:3: time_ns: found '1.999', expected no time before that of the line above"},
  };
  for (const auto &c : cases) {
    try {
      parse_trace(c.text, "t.tsv", streams_of(2, 1 << 20));
      ADD_FAILURE() << "was taken: " << c.text;
    } catch (const PatternError &e) {
      EXPECT_STREQ(e.what(), c.message);
    }
  }
}

} // namespace
