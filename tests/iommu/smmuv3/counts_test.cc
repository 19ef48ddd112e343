// SPDX-License-Identifier: Apache-2.0
// How many references a translation costs: cold, for every pair of levels, granule, start level, leaf size and form of the
// tables, and warm, by which caches the unit has. Cold, with s reads of the stream table, c of the CD table, n levels of
// stage 1 and m of stage 2: s + (c + n)(m + 1) + m. Arm IHI 0070 3.3, DDI 0487 D8.2.
#include "tests/iommu/smmuv3/world.h"

#include <gtest/gtest.h>

namespace smmu {
namespace {

// Every feature that sizes depend on.
Config wide() {
  Config c;
  c.no_caches();
  c.oas = 6, c.ds = 1, c.vax = 1;
  return c;
}

Shape shape(Granule g, unsigned bits, int start = -2, bool ds = false) {
  Shape s;
  s.granule = g, s.in_bits = bits, s.start = start, s.ds = ds;
  return s;
}

// 4 KB stages by the number of reads of a walk: 1 to 3 from level 1, then from level 0, and five from level -1.
void reads_of(Shape &s, int &leaf, unsigned reads) {
  s = reads <= 3 ? shape(k4K, 39, 1) : reads == 4 ? shape(k4K, 48, 0) : shape(k4K, 52, -1, true);
  leaf = reads <= 3 ? static_cast<int>(reads) : 3;
}

void expect_reads(World &w, uint32_t refs, const std::string &what) {
  SCOPED_TRACE(what);
  EXPECT_EQ(refs, w.ok().refs);
  EXPECT_EQ(0u, w.updates);
}

enum Tables { kLinear, kStreamTwoLevel, kCdTwoLevel, kBothTwoLevel };

Plan tables(Plan p, unsigned which) {
  p.stream_two_level = which & kStreamTwoLevel;
  p.substreams = which & kCdTwoLevel;
  p.s1fmt = p.substreams ? 1 : 0;
  return p;
}

// Rows n = 1 to 5, columns m = 1 to 5; in each: linear tables, two-level stream table, two-level CD table, both.
const uint32_t kNestedTable[5][5][4] = {
    {{6, 7, 8, 9}, {9, 10, 12, 13}, {12, 13, 16, 17}, {15, 16, 20, 21}, {18, 19, 24, 25}},
    {{8, 9, 10, 11}, {12, 13, 15, 16}, {16, 17, 20, 21}, {20, 21, 25, 26}, {24, 25, 30, 31}},
    {{10, 11, 12, 13}, {15, 16, 18, 19}, {20, 21, 24, 25}, {25, 26, 30, 31}, {30, 31, 36, 37}},
    {{12, 13, 14, 15}, {18, 19, 21, 22}, {24, 25, 28, 29}, {30, 31, 35, 36}, {36, 37, 42, 43}},
    {{14, 15, 16, 17}, {21, 22, 24, 25}, {28, 29, 32, 33}, {35, 36, 40, 41}, {42, 43, 48, 49}},
};

TEST(ColdCounts, NestedTable) {
  for (unsigned n = 1; n <= 5; n++)
    for (unsigned m = 1; m <= 5; m++)
      for (unsigned t = 0; t < 4; t++) {
        Plan p;
        reads_of(p.s1, p.leaf1, n);
        reads_of(p.s2, p.leaf2, m);
        World w(tables(p, t), wide());
        expect_reads(w, kNestedTable[n - 1][m - 1][t],
                     std::to_string(n) + " x " + std::to_string(m) + ", tables " + std::to_string(t));
        unsigned structures = 0, second = 0;
        for (const ims_step &s : w.reads) {
          structures += s.what == IMS_STRUCT_STREAM_L1 || s.what == IMS_STRUCT_STE || s.what == IMS_STRUCT_CD_L1 ||
                        s.what == IMS_STRUCT_CD;
          second += s.what == IMS_STRUCT_S2_TABLE;
        }
        unsigned c = t & kCdTwoLevel ? 2 : 1;
        EXPECT_EQ((t & kStreamTwoLevel ? 2 : 1) + c, structures);
        EXPECT_EQ((c + n + 1) * m, second);
      }
}

// Leaves of 64 KB in the CD table cost what those of 4 KB do; a linear table what a single CD does.
TEST(ColdCounts, OtherFormsOfTheCdTable) {
  Plan p = nested4k();
  p.s1fmt = 2;
  World two(p);
  expect_reads(two, 36, "64 KB leaves");
  p.s1fmt = 0;
  World linear(p);
  expect_reads(linear, 31, "linear table of substreams");
  Plan one = nested4k();
  one.config = kS1, one.s1fmt = 2;
  World s1(one);
  expect_reads(s1, 2 + 2 + 4, "stage 1 alone, 64 KB leaves");
}

TEST(ColdCounts, WorkedExamples) {
  struct {
    Shape s1, s2;
    uint32_t refs;
  } const rows[] = {
      {shape(k4K, 48), shape(k4K, 48), 36},   {shape(k4K, 48), shape(k4K, 40), 29},
      {shape(k64K, 48), shape(k64K, 48), 25}, {shape(k16K, 48), shape(k16K, 40), 22},
      {shape(k64K, 48), shape(k64K, 42), 19},
  };
  for (const auto &row : rows) {
    Plan p = nested4k();
    p.s1 = row.s1, p.s2 = row.s2;
    World w(p);
    expect_reads(w, row.refs, std::to_string(row.refs));
  }
}

// Levels by input size and granule: stage 1, and stage 2 with as many concatenated tables as there may be.
TEST(ColdCounts, LevelsByGranule) {
  const unsigned sizes[] = {32, 36, 39, 40, 42, 44, 47, 48, 52};
  const struct {
    Granule granule;
    unsigned s1[9], s2[9];
  } rows[] = {
      {k4K, {3, 3, 3, 4, 4, 4, 4, 4, 5}, {2, 3, 3, 3, 3, 4, 4, 4, 4}},
      {k16K, {2, 2, 3, 3, 3, 3, 3, 4, 4}, {2, 2, 2, 2, 3, 3, 3, 3, 4}},
      {k64K, {2, 2, 2, 2, 2, 3, 3, 3, 3}, {1, 2, 2, 2, 2, 2, 3, 3, 3}},
  };
  for (const auto &row : rows)
    for (unsigned i = 0; i < 9; i++) {
      bool ds = sizes[i] == 52 && row.granule != k64K;
      std::string what = "granule " + std::to_string(row.granule) + ", " + std::to_string(sizes[i]) + " bits";
      Plan one = s1_only(), two = s2_only(), both = nested4k();
      one.s1 = both.s1 = shape(row.granule, sizes[i], -2, ds);
      two.s2 = both.s2 = shape(row.granule, sizes[i], -2, ds);
      World first(one, wide()), second(two, wide());
      expect_reads(first, 1 + 1 + row.s1[i], "stage 1, " + what);
      expect_reads(second, 1 + row.s2[i], "stage 2, " + what);
      if (sizes[i] < 40 && row.granule == k64K)
        continue; // the rest is said of guests whose memory fits
      World nested(both, wide());
      expect_reads(nested, 2 + (2 + row.s1[i]) * (row.s2[i] + 1) + row.s2[i], "nested, " + what);
    }
}

// Every start level of stage 2, with one table at the top and with the most that may be side by side; every leaf level.
struct Start {
  Granule granule;
  unsigned bits;
  int start;
  bool ds;
  int top_block; // lowest level at which a block may stand
};
const Start kStage2Starts[] = {
    {k4K, 21, 3, false, 3},  {k4K, 25, 3, false, 3},  {k4K, 30, 2, false, 2},  {k4K, 34, 2, false, 2},
    {k4K, 39, 1, false, 1},  {k4K, 40, 1, false, 1},  {k4K, 43, 1, false, 1},  {k4K, 44, 0, false, 1},
    {k4K, 48, 0, false, 1},  {k4K, 49, 0, true, 0},   {k4K, 52, 0, true, 0},   {k4K, 52, -1, true, 0},
    {k16K, 25, 3, false, 3}, {k16K, 29, 3, false, 3}, {k16K, 36, 2, false, 2}, {k16K, 40, 2, false, 2},
    {k16K, 47, 1, false, 2}, {k16K, 48, 1, false, 2}, {k16K, 51, 1, true, 1},  {k16K, 52, 0, true, 1},
    {k64K, 29, 3, false, 3}, {k64K, 33, 3, false, 3}, {k64K, 42, 2, false, 2}, {k64K, 46, 2, false, 2},
    {k64K, 48, 1, false, 1}, {k64K, 52, 1, false, 1},
};

TEST(ColdCounts, EveryStartLevelOfStage2) {
  for (const Start &k : kStage2Starts)
    for (int leaf = k.top_block > k.start ? k.top_block : k.start; leaf <= 3; leaf++) {
      Plan p = s2_only();
      p.s2 = shape(k.granule, k.bits, k.start, k.ds), p.leaf2 = leaf;
      for (bool two_level : {false, true}) {
        p.stream_two_level = two_level;
        World w(p, wide());
        std::string what = "granule " + std::to_string(k.granule) + ", " + std::to_string(k.bits) +
                           " bits from level " + std::to_string(k.start) + " to " + std::to_string(leaf);
        expect_reads(w, (two_level ? 2 : 1) + static_cast<unsigned>(leaf - k.start) + 1, what);
      }
    }
}

// The last of the concatenated tables is read too: the first index is not cut to one table.
TEST(ColdCounts, AllConcatenatedTables) {
  for (const Start &k : kStage2Starts) {
    Plan p = s2_only();
    p.s2 = shape(k.granule, k.bits, k.start, k.ds);
    World w(p, wide());
    uint64_t top = (uint64_t(1) << k.bits) - 64 * KB;
    w.s2.map(top, 0x123450000, kS2All);
    ims_result r = w.request(dma(kStream, top | 0x678));
    EXPECT_EQ(IMS_STATUS_OK, r.status) << k.granule << " " << k.bits << " " << k.start << " " << text(r);
    EXPECT_EQ(0x123450678u, r.output);
    EXPECT_EQ(static_cast<unsigned>(1 + 3 - k.start + 1), r.refs);
  }
}

// Stage 1 starts as low as its size allows.
TEST(ColdCounts, EveryStartLevelOfStage1) {
  const Start starts[] = {
      {k4K, 16, 3, false, 3},  {k4K, 21, 3, false, 3},  {k4K, 22, 2, false, 2},  {k4K, 30, 2, false, 2},
      {k4K, 31, 1, false, 1},  {k4K, 39, 1, false, 1},  {k4K, 40, 0, false, 1},  {k4K, 48, 0, false, 1},
      {k4K, 49, -1, true, 0},  {k4K, 52, -1, true, 0},  {k16K, 16, 3, false, 3}, {k16K, 25, 3, false, 3},
      {k16K, 26, 2, false, 2}, {k16K, 36, 2, false, 2}, {k16K, 37, 1, false, 2}, {k16K, 47, 1, false, 2},
      {k16K, 48, 0, false, 2}, {k16K, 48, 0, true, 1},  {k16K, 52, 0, true, 1},  {k64K, 17, 3, false, 3},
      {k64K, 29, 3, false, 3}, {k64K, 30, 2, false, 2}, {k64K, 42, 2, false, 2}, {k64K, 43, 1, false, 1},
      {k64K, 48, 1, false, 1}, {k64K, 52, 1, false, 1},
  };
  for (const Start &k : starts)
    for (int leaf = k.top_block > k.start ? k.top_block : k.start; leaf <= 3; leaf++)
      for (unsigned t = 0; t < 4; t++) {
        Plan p = tables(s1_only(), t);
        p.s1 = shape(k.granule, k.bits, -2, k.ds), p.leaf1 = leaf;
        World w(p, wide());
        EXPECT_EQ(k.start, w.s1.start);
        std::string what =
            "granule " + std::to_string(k.granule) + ", " + std::to_string(k.bits) + " bits to " + std::to_string(leaf);
        unsigned s = t & kStreamTwoLevel ? 2 : 1, c = t & kCdTwoLevel ? 2 : 1;
        expect_reads(w, s + c + static_cast<unsigned>(leaf - k.start) + 1, what);
      }
}

// Stages of different granules.
TEST(ColdCounts, MixedGranules) {
  const unsigned levels[3] = {4, 4, 3}, under[3] = {4, 3, 3};
  for (Granule g1 : {k4K, k16K, k64K})
    for (Granule g2 : {k4K, k16K, k64K}) {
      Plan p = nested4k();
      p.s1 = shape(g1, 48), p.s2 = shape(g2, 48);
      World w(p);
      expect_reads(w, 2 + (2 + levels[g1]) * (under[g2] + 1) + under[g2],
                   std::to_string(g1) + " over " + std::to_string(g2));
    }
}

// Each stage-2 walk counts for itself: n + c + s and the sum of what the c + n + 1 walks read.
TEST(ColdCounts, MixedLeavesOfStage2) {
  World w;
  EXPECT_EQ(36u, w.ok().refs);
  w.s2.map(kGuestTop, kGuestBase + kGuestTop, kS2All, 2);
  EXPECT_EQ(35u, w.ok().refs);
  // Tables in blocks of 2 MB, the page by 4 KB.
  Plan p = nested4k();
  p.leaf2 = 2;
  World two_mb(p);
  EXPECT_EQ(29u, two_mb.ok().refs);
  two_mb.store(two_mb.leaf2(), 0);
  two_mb.s2.map(kGuestTop, kGuestBase + kGuestTop, kS2All, 3);
  EXPECT_EQ(2u + 6 * 4 + 4, two_mb.ok().refs);
}

TEST(ColdCounts, Bypass) {
  for (bool two_level : {false, true}) {
    Machine m(Config().no_caches());
    Layout l;
    l.two_level = two_level;
    m.start(l);
    m.set_ste(kStream, Ste(kBypass));
    ims_result r = m.request(dma(kStream, 0x12345678));
    EXPECT_EQ(IMS_STATUS_BYPASS, r.status);
    EXPECT_EQ(two_level ? 2u : 1u, r.refs);
    m.set_ste(kStream, Ste(kAbort));
    r = m.request(dma(kStream, 0x12345678));
    EXPECT_EQ(IMS_STATUS_ABORT, r.status);
    EXPECT_EQ(two_level ? 2u : 1u, r.refs);
  }
}

// S1DSS = 0b01: no CD is read; stage 2 alone, or nothing.
TEST(ColdCounts, StageOneSkippedByS1dss) {
  World nested;
  nested.ste.set(IMS_STE_S1DSS, 1);
  nested.update_ste();
  EXPECT_EQ(2u + 4, nested.request(dma(kStream, nested.ipa)).refs);
  Plan p = nested4k();
  p.config = kS1;
  World one(p);
  one.ste.set(IMS_STE_S1DSS, 1);
  one.update_ste();
  EXPECT_EQ(2u, one.request(dma(kStream, one.ipa)).refs);
}

TEST(ColdCounts, GoldenOrderOfThe36Reads) {
  World w;
  EXPECT_EQ(36u, w.ok().refs);
  std::string order;
  for (const ims_step &s : w.reads)
    switch (s.what) {
    case IMS_STRUCT_STREAM_L1: order += "L1STD "; break;
    case IMS_STRUCT_STE: order += "STE "; break;
    case IMS_STRUCT_CD_L1: order += "L1CD "; break;
    case IMS_STRUCT_CD: order += "CD "; break;
    case IMS_STRUCT_S1_TABLE: order += "1." + std::to_string(s.level) + " "; break;
    default:
      order += "2." + std::to_string(s.level);
      order += s.for_what == IMS_STRUCT_CD_L1      ? "L1CD "
               : s.for_what == IMS_STRUCT_CD       ? "CD "
               : s.for_what == IMS_STRUCT_S1_TABLE ? "/1." + std::to_string(s.for_level) + " "
               : s.for_what == IMS_STRUCT_DATA     ? "page "
                                                   : "? ";
      EXPECT_TRUE(s.for_what == IMS_STRUCT_S1_TABLE || s.for_level == 0);
    }
  EXPECT_EQ("L1STD STE 2.4L1CD 2.3L1CD 2.2L1CD 2.1L1CD L1CD 2.4CD 2.3CD 2.2CD 2.1CD CD "
            "2.4/1.4 2.3/1.4 2.2/1.4 2.1/1.4 1.4 2.4/1.3 2.3/1.3 2.2/1.3 2.1/1.3 1.3 "
            "2.4/1.2 2.3/1.2 2.2/1.2 2.1/1.2 1.2 2.4/1.1 2.3/1.1 2.2/1.1 2.1/1.1 1.1 "
            "2.4page 2.3page 2.2page 2.1page ",
            order);
  // And where: each lies where the tables say.
  EXPECT_EQ(w.l1std_at(kStream), w.reads[0].hpa);
  EXPECT_EQ(8u, w.reads[0].len);
  EXPECT_EQ(w.ste_at(kStream), w.reads[1].hpa);
  EXPECT_EQ(64u, w.reads[1].len);
  std::vector<World::Target> targets = w.targets();
  ASSERT_EQ(7u, targets.size());
  const unsigned len[] = {8, 64, 8, 8, 8, 8};
  for (unsigned i = 0; i < 7; i++) {
    unsigned first = 2 + i * 5;
    for (int level = 0; level < 4; level++) {
      EXPECT_EQ(w.s2.at(targets[i].ipa, level), w.reads[first + static_cast<unsigned>(level)].hpa) << targets[i].name;
      EXPECT_EQ(targets[i].ipa, w.reads[first + static_cast<unsigned>(level)].addr) << targets[i].name;
      EXPECT_EQ(8u, w.reads[first + static_cast<unsigned>(level)].len);
    }
    if (i < 6) {
      const ims_step &s = w.reads[first + 4];
      EXPECT_EQ(kGuestBase + targets[i].ipa, s.hpa) << targets[i].name;
      EXPECT_EQ(targets[i].ipa, s.gpa) << targets[i].name;
      EXPECT_EQ(len[i], s.len) << targets[i].name;
    }
  }
}

// Updates of AF and dirty state are no references.
TEST(ColdCounts, UpdatesAreNotCounted) {
  Plan p = nested4k();
  p.bits1 = (kS1All & ~kS1Af) | kS1ReadOnly | uint64_t(1) << 51;
  p.bits2 = (kS2All & ~(kS2Af | kS2Write)) | uint64_t(1) << 51;
  World w(p);
  w.ste.set(IMS_STE_S2HA, 1).set(IMS_STE_S2HD, 1);
  w.update_ste();
  w.cd.set(IMS_CD_HA, 1).set(IMS_CD_HD, 1);
  w.update_cd();
  EXPECT_EQ(36u, w.request(w.ask(IMS_ACC_W)).refs);
  // AF over L1CD, CD, four tables and the page (which becomes writable by the same update); the last table's page is
  // written and becomes dirty; the stage-1 leaf.
  EXPECT_EQ(7u + 1 + 1, w.updates);
  EXPECT_EQ(36u, w.ok(IMS_ACC_W).refs);
  EXPECT_EQ(0u, w.updates);
}

// Warm: a world whose caches have the entries given, nothing else; one translation to warm it, then another.
uint32_t warm(const Config &c) {
  World w(nested4k(), c);
  EXPECT_LE(w.ok().refs, 36u);
  return w.ok().refs;
}

// Fully associative: the structures of a world lie far apart, and would meet in few sets.
Config only(uint32_t Config::*field) {
  Config c;
  c.no_caches();
  c.ste_ways = c.cd_ways = c.iotlb_ways = c.ipa_ways = c.s1_walk_ways = c.s2_walk_ways = 0;
  if (field)
    c.*field = 64;
  return c;
}

Config structures() {
  Config c = only(nullptr);
  c.ste_entries = c.cd_entries = 16;
  return c;
}

TEST(WarmCounts, StructuresCached) {
  EXPECT_EQ(36u, warm(Config().no_caches()));
  EXPECT_EQ(34u, warm(only(&Config::ste_entries))) << "L1STD and STE";
  EXPECT_EQ(26u, warm(only(&Config::cd_entries))) << "L1CD and CD, with their stage-2 walks";
  EXPECT_EQ(24u, warm(structures())) << "(n + 1)(m + 1) - 1";
}

TEST(WarmCounts, IpaCache) {
  Config c = structures();
  c.ipa_entries = 64;
  EXPECT_EQ(4u, warm(c)) << "n: tables and the page are known";
  // All but the page: n + m.
  World w(nested4k(), c);
  w.ok();
  Pages page = {kGuestTop};
  w.submit(cmd::s2_ipa(3, page));
  EXPECT_EQ(8u, w.ok().refs);
}

// The first walk of stage 2 warms the last level for all that lies within 2 MB: m + n + n.
TEST(WarmCounts, Stage2WalkCache) {
  Config c = structures();
  c.s2_walk_entries = 64;
  World w(nested4k(), c);
  uint64_t near = 0x1f0000;
  ASSERT_LT(w.guest_alloc(0), near);
  w.store(w.leaf1(), near | kS1All | 3);
  w.map_guest(near, kS2All);
  w.ipa = near | 0x678, w.out = kGuestBase + w.ipa;
  w.ok(); // warms STE and CD too
  w.submit(cmd::nsnh_all());
  EXPECT_EQ(12u, w.ok().refs);
  EXPECT_EQ(9u, w.ok().refs) << "one read in each walk of stage 2: n + n + 1";
}

// j reads of stage 1 are left when the table of level j (1 the last) is known: by IPA j(m + 1) + m, and by PA without
// the walk of stage 2 for that table, j(m + 1).
TEST(WarmCounts, Stage1WalkCache) {
  const uint32_t by_ipa[3] = {9, 14, 19}, by_pa[3] = {5, 10, 15};
  for (unsigned ipa : {0u, 1u})
    for (unsigned j = 1; j <= 3; j++) {
      Config c = structures();
      c.s1_walk_entries = 16, c.walk_ipa = ipa;
      World w(nested4k(), c);
      w.ok();
      // Another address, whose walk shares the tables above level j only.
      uint64_t other = w.va ^ uint64_t(1) << (12 + 9 * (j - 1));
      w.s1.map(other & ~uint64_t(0xfff), kGuestTop, kS1All);
      w.map_all();
      ims_result r = w.request(w.ask(IMS_ACC_R, other));
      EXPECT_EQ(w.out, r.output);
      EXPECT_EQ(ipa ? by_ipa[j - 1] : by_pa[j - 1], r.refs) << (ipa ? "IPA" : "PA") << ", j = " << j;
    }
}

TEST(WarmCounts, LastTableByPaAndThePageInTheIpaCache) {
  Config c = structures();
  c.s1_walk_entries = 16, c.ipa_entries = 64;
  EXPECT_EQ(1u, warm(c));
}

TEST(WarmCounts, Iotlb) {
  Config c = structures();
  c.iotlb_entries = 16;
  EXPECT_EQ(0u, warm(c));
  c.ste_entries = c.cd_entries = 0;
  EXPECT_EQ(12u, warm(c)) << "L1STD, STE, and L1CD and CD through stage 2";
}

TEST(WarmCounts, EachCacheAlone) {
  EXPECT_EQ(12u, warm(only(&Config::iotlb_entries)));
  EXPECT_EQ(8u, warm(only(&Config::ipa_entries))) << "s + c + n";
  EXPECT_EQ(2u + 10 + 5, warm(only(&Config::s1_walk_entries))) << "the last table by PA, and the page";
  EXPECT_EQ(8u + 7, warm(only(&Config::s2_walk_entries))) << "one read in each of the seven walks";
}

TEST(WarmCounts, OneStage) {
  World first(s1_only(), structures());
  EXPECT_EQ(6u, first.ok().refs);
  EXPECT_EQ(4u, first.ok().refs);
  Config c = structures();
  c.s1_walk_entries = 16;
  World first_walk(s1_only(), c);
  first_walk.ok();
  EXPECT_EQ(1u, first_walk.ok().refs);
  c = structures();
  c.s2_walk_entries = 16;
  World second(s2_only(), c);
  EXPECT_EQ(5u, second.ok().refs);
  EXPECT_EQ(1u, second.ok().refs);
  c = structures();
  c.iotlb_entries = 16;
  World tlb(s2_only(), c);
  tlb.ok();
  EXPECT_EQ(0u, tlb.ok().refs);
}

TEST(WarmCounts, AllCachesThenDropped) {
  World w(nested4k(), Config());
  // L1STD, STE; the L1CD by a full walk of stage 2, then CD and the four tables by one read each: they lie within the
  // same 2 MB; the page lies in others of 2 MB, two reads.
  EXPECT_EQ(2u + 5 + 5 * 2 + 2, w.ok().refs);
  EXPECT_EQ(0u, w.ok().refs);
  w.drop_caches();
  EXPECT_EQ(19u, w.ok().refs);
}

} // namespace
} // namespace smmu
