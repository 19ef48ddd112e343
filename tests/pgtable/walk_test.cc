// SPDX-License-Identifier: Apache-2.0
// The walk: how many reads and in which order, races with software, accessed and dirty bits, and what caches save.
#include "tests/pgtable/harness.h"

#include <gtest/gtest.h>

namespace {

using namespace pgt;

constexpr uint64_t kIn = 0x123456789000;                // the page asked for; fits 48 bits
constexpr uint64_t kTables = 64 * GB, kData = 128 * GB; // gpa
constexpr uint64_t kHostTables = 4 * GB, kHostData = 8 * GB;

uint64_t leaf_size(int level) { return 4 * KB << 9 * (level - 1); }

// A guest with one mapping: table pages at kTables, 1 GB apart so that each can have its own second-stage leaf.
struct Nested {
  Machine machine{16 * GB, 1 * MB, 16 * MB};
  Guest guest{machine};
  FirstStage first;
  SecondStage second;
  Driver driver{machine.mem};
  oracle::Request request;
  std::vector<uint64_t> guest_tables; // gpa, the root first
  uint64_t table_stride = 4 * KB;

  static oracle::FirstStage first_rules(int levels, bool ad) {
    oracle::FirstStage r;
    r.levels = levels;
    r.accessed_dirty = ad;
    return r;
  }
  static oracle::SecondStage second_rules(int levels, bool ad) {
    oracle::SecondStage r;
    r.levels = levels;
    r.input_width = 12 + 9 * levels;
    r.accessed_dirty = ad;
    return r;
  }

  Nested(int first_levels, int second_levels, bool ad = false)
      : first(first_rules(first_levels, ad)), second(second_rules(second_levels, ad)) {
    EXPECT_EQ(ims_pgt_create(&second.pgt, &machine.tables), 0);
    guest.add(kTables, kHostTables, 1 * GB);
    guest.add(kData, kHostData, 4 * GB);
    guest.place = [this] {
      guest_tables.push_back(kTables + guest_tables.size() * table_stride);
      return guest_tables.back();
    };
    request.addr = kIn;
  }

  // Maps the second-stage leaf of this level around a guest address.
  void map_second(uint64_t gpa, int leaf, unsigned perm = IMS_PERM_ALL, unsigned flags = 0) {
    uint64_t base = gpa & ~(leaf_size(leaf) - 1);
    ASSERT_EQ(ims_pgt_map(&second.pgt, &machine.tables, base, guest.hpa(base), leaf_size(leaf), perm, flags,
                          static_cast<unsigned>(leaf)),
              0);
  }

  uint64_t data_gpa(int leaf) const { return kData + (kIn & (leaf_size(leaf) - 1)); }

  void map_first(int leaf, unsigned flags = 0, unsigned perm = IMS_PERM_ALL) {
    ims_pgt_mem tables = guest.tables();
    ASSERT_EQ(ims_pgt_create(&first.pgt, &tables), 0);
    ASSERT_EQ(ims_pgt_map(&first.pgt, &tables, kIn & ~(leaf_size(leaf) - 1), kData, leaf_size(leaf), perm, flags,
                          static_cast<unsigned>(leaf)),
              0);
  }

  // All 4 KB: what most tests want.
  void map_small(unsigned flags = 0) {
    map_first(1, flags);
    for (uint64_t gpa : guest_tables)
      map_second(gpa, 1, IMS_PERM_ALL, flags);
    map_second(data_gpa(1), 1, IMS_PERM_ALL, flags);
  }

  Outcome walk() { return driver.run(&first.pgt, &second.pgt, request); }

  // Where the entries of this walk lie; level as in the table.
  uint64_t first_entry(int level) {
    uint64_t table = guest_tables[static_cast<size_t>(first.rules.levels - level)];
    return guest.hpa(table) + (kIn >> (12 + 9 * (level - 1)) & 511) * 8;
  }
  uint64_t second_leaf(uint64_t gpa) {
    ims_pgt_leaf leaf;
    EXPECT_EQ(ims_pgt_lookup(&second.pgt, &machine.tables, gpa, &leaf), 0);
    return leaf.entry_addr;
  }
};

using Levels = std::tuple<int, int>;

std::string levels_name(const testing::TestParamInfo<Levels> &info) {
  return "FS" + std::to_string(std::get<0>(info.param)) + "SS" + std::to_string(std::get<1>(info.param));
}

class Counts : public testing::TestWithParam<Levels> {};

// (n+1)(m+1)-1 for every pair of leaf sizes.
TEST_P(Counts, TwoDimensionalWalk) {
  auto [first_levels, second_levels] = GetParam();
  for (int first_leaf = 1; first_leaf <= 3; first_leaf++) {
    for (int second_leaf = 1; second_leaf <= 3; second_leaf++) {
      Nested s(first_levels, second_levels);
      s.map_first(first_leaf);
      if (second_leaf == 1) {
        for (uint64_t gpa : s.guest_tables)
          s.map_second(gpa, 1);
      } else {
        s.map_second(kTables, second_leaf);
      }
      s.map_second(s.data_gpa(first_leaf), second_leaf);
      Outcome o = s.walk();
      ASSERT_TRUE(o.done) << text(o);
      uint32_t n = static_cast<uint32_t>(first_levels - first_leaf + 1);
      uint32_t m = static_cast<uint32_t>(second_levels - second_leaf + 1);
      EXPECT_EQ(o.refs, (n + 1) * (m + 1) - 1) << "leaves of level " << first_leaf << " and " << second_leaf;
      EXPECT_EQ(o.reads.size(), o.refs);
      EXPECT_EQ(o.walk.out, kHostData + (kIn & (leaf_size(first_leaf) - 1)));
      EXPECT_EQ(1ull << o.walk.shift, leaf_size(std::min(first_leaf, second_leaf)));
    }
  }
}

// Each translation by the second stage counts by itself: n + sum of m_i + m of the data.
TEST_P(Counts, MixedSecondStageLeaves) {
  auto [first_levels, second_levels] = GetParam();
  for (int data_leaf = 1; data_leaf <= 3; data_leaf++) {
    Nested s(first_levels, second_levels);
    s.table_stride = 2 * MB;
    s.map_first(1);
    uint32_t want = 0;
    for (size_t i = 0; i < s.guest_tables.size(); i++) {
      int leaf = 1 + static_cast<int>(i % 2);
      s.map_second(s.guest_tables[i], leaf);
      want += 1 + static_cast<uint32_t>(second_levels - leaf + 1);
    }
    s.map_second(s.data_gpa(1), data_leaf);
    want += static_cast<uint32_t>(second_levels - data_leaf + 1);
    Outcome o = s.walk();
    ASSERT_TRUE(o.done) << text(o);
    EXPECT_EQ(o.refs, want);
  }
}

TEST_P(Counts, OneStageAlone) {
  auto [first_levels, second_levels] = GetParam();
  for (int leaf = 1; leaf <= 3; leaf++) {
    Nested s(first_levels, second_levels);
    s.map_second(kData, leaf);
    s.request.addr = kData;
    Outcome o = s.driver.run(nullptr, &s.second.pgt, s.request);
    ASSERT_TRUE(o.done) << text(o);
    EXPECT_EQ(o.refs, static_cast<uint32_t>(second_levels - leaf + 1));

    FirstStage alone(Nested::first_rules(first_levels, false));
    ASSERT_EQ(ims_pgt_create(&alone.pgt, &s.machine.tables), 0);
    ASSERT_EQ(ims_pgt_map(&alone.pgt, &s.machine.tables, kIn & ~(leaf_size(leaf) - 1), kHostData, leaf_size(leaf),
                          IMS_PERM_ALL, 0, static_cast<unsigned>(leaf)),
              0);
    s.request.addr = kIn;
    o = s.driver.run(&alone.pgt, nullptr, s.request);
    ASSERT_TRUE(o.done) << text(o);
    EXPECT_EQ(o.refs, static_cast<uint32_t>(first_levels - leaf + 1));
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, Counts, testing::Combine(testing::Values(4, 5), testing::Values(3, 4, 5)),
                         levels_name);

TEST(Walk, OrderOfTheTwentyFourReads) {
  Nested s(4, 4);
  s.map_small();
  Outcome o = s.walk();
  ASSERT_TRUE(o.done) << text(o);
  ASSERT_EQ(o.reads.size(), 24u);
  size_t i = 0;
  for (unsigned first_level = 4; first_level >= 1; first_level--) {
    for (unsigned second_level = 4; second_level >= 1; second_level--, i++) {
      EXPECT_EQ(o.reads[i].what, unsigned(IMS_STRUCT_S2_TABLE)) << i;
      EXPECT_EQ(o.reads[i].level, second_level) << i;
      EXPECT_EQ(o.reads[i].for_what, unsigned(IMS_STRUCT_S1_TABLE)) << i;
      EXPECT_EQ(o.reads[i].for_level, first_level) << i;
    }
    EXPECT_EQ(o.reads[i].what, unsigned(IMS_STRUCT_S1_TABLE)) << i;
    EXPECT_EQ(o.reads[i].level, first_level) << i;
    EXPECT_EQ(o.reads[i].hpa, s.first_entry(static_cast<int>(first_level))) << i;
    i++;
  }
  for (unsigned second_level = 4; second_level >= 1; second_level--, i++) {
    EXPECT_EQ(o.reads[i].what, unsigned(IMS_STRUCT_S2_TABLE)) << i;
    EXPECT_EQ(o.reads[i].level, second_level) << i;
    EXPECT_EQ(o.reads[i].for_what, unsigned(IMS_STRUCT_DATA)) << i;
    EXPECT_EQ(o.reads[i].for_level, 0u) << i;
  }
}

// Accessed and dirty bits. VT-d 3.6.3, 3.7.2, 3.8.2.

TEST(AccessedDirty, ReadSetsAccessedEverywhereAndDirtyOnlyWhereTablesAreWritten) {
  Nested s(4, 4, true);
  s.map_small();
  Outcome o = s.walk();
  ASSERT_TRUE(o.done) << text(o);
  for (int level = 1; level <= 4; level++)
    EXPECT_EQ(s.machine.load(s.first_entry(level)) & (IMS_FS_A | IMS_FS_D), uint64_t(IMS_FS_A)) << level;
  for (uint64_t gpa : s.guest_tables)
    EXPECT_EQ(s.machine.load(s.second_leaf(gpa)) & (IMS_SS_A | IMS_SS_D), uint64_t(IMS_SS_A | IMS_SS_D));
  EXPECT_EQ(s.machine.load(s.second_leaf(s.data_gpa(1))) & (IMS_SS_A | IMS_SS_D), uint64_t(IMS_SS_A));
  EXPECT_EQ(o.walk.flags & (IMS_TLB_S1_DIRTY | IMS_TLB_S2_DIRTY), 0);
  o = s.walk();
  EXPECT_EQ(o.updates, 0u) << "nothing is left to set";
  EXPECT_EQ(o.refs, 24u);
}

TEST(AccessedDirty, MereReadsOfGuestTablesDoNotDirtyThem) {
  Nested s(4, 4, true);
  s.map_small(IMS_MAP_A);
  Outcome o = s.walk();
  ASSERT_TRUE(o.done) << text(o);
  EXPECT_EQ(o.updates, 0u);
  s.request.write = true;
  o = s.walk();
  ASSERT_TRUE(o.done) << text(o);
  EXPECT_EQ(o.updates, 3u) << "the page of the leaf table, the first-stage leaf, the page itself";
  EXPECT_EQ(s.machine.load(s.first_entry(1)) & IMS_FS_D, uint64_t(IMS_FS_D));
  EXPECT_EQ(s.machine.load(s.second_leaf(s.guest_tables[3])) & IMS_SS_D, uint64_t(IMS_SS_D));
  EXPECT_EQ(s.machine.load(s.second_leaf(s.guest_tables[2])) & IMS_SS_D, 0u);
  EXPECT_EQ(s.machine.load(s.second_leaf(s.data_gpa(1))) & IMS_SS_D, uint64_t(IMS_SS_D));
  EXPECT_EQ(o.walk.flags & (IMS_TLB_S1_DIRTY | IMS_TLB_S2_DIRTY), IMS_TLB_S1_DIRTY | IMS_TLB_S2_DIRTY);
}

TEST(AccessedDirty, GuestTablesThatMayNotBeWritten) {
  for (unsigned preset : {0u, unsigned(IMS_MAP_A)}) {
    Nested s(4, 4, true);
    s.map_small(preset);
    ASSERT_EQ(ims_pgt_protect(&s.second.pgt, &s.machine.tables, s.guest_tables[1], 4 * KB, IMS_PERM_R, nullptr), 0);
    Outcome o = s.walk();
    if (preset) {
      EXPECT_TRUE(o.done) << "no bit is to be set, so none is written";
      continue;
    }
    ASSERT_FALSE(o.done);
    EXPECT_EQ(o.walk.fault.cause, IMS_WALK_WRITE);
    EXPECT_EQ(o.walk.fault.stage, 2);
    EXPECT_EQ(o.walk.fault.during, IMS_FOR_UPDATE);
    EXPECT_EQ(o.walk.fault.s1_level, 3);
    EXPECT_EQ(o.walk.fault.addr & ~0xfffull, s.guest_tables[1]);
    EXPECT_EQ(s.machine.load(s.first_entry(4)) & IMS_FS_A, uint64_t(IMS_FS_A)) << "the levels above are done";
    EXPECT_EQ(s.machine.load(s.first_entry(3)) & IMS_FS_A, 0u);
  }
}

TEST(AccessedDirty, ExtendedAccessedGoesAlong) {
  oracle::FirstStage r;
  r.extended_accessed = true;
  Machine m(64 * MB, 1 * MB, 1 * MB);
  FirstStage first(r);
  Driver driver(m.mem);
  oracle::Request q;
  q.addr = kIn;
  ASSERT_EQ(ims_pgt_create(&first.pgt, &m.tables), 0);
  ASSERT_EQ(ims_pgt_map(&first.pgt, &m.tables, kIn, 0x5000, 4 * KB, IMS_PERM_ALL, IMS_MAP_A, 0), 0);
  Outcome o = driver.run(&first.pgt, nullptr, q);
  ASSERT_TRUE(o.done);
  EXPECT_EQ(o.updates, 4u) << "A is set, EA is not";
  for (auto [hpa, value] : o.written)
    EXPECT_EQ(value & (IMS_FS_A | IMS_FS_EA), uint64_t(IMS_FS_A | IMS_FS_EA));
}

TEST(AccessedDirty, RefusedAccessLeavesTheLeafAlone) {
  Nested s(4, 4, true);
  s.map_first(1, 0, IMS_PERM_R | IMS_PERM_U);
  s.map_second(kTables, 2);
  s.map_second(s.data_gpa(1), 1);
  s.request.write = true;
  s.first.pgt.flags |= IMS_PGT_WPE;
  Outcome o = s.walk();
  ASSERT_FALSE(o.done);
  EXPECT_EQ(o.walk.fault.cause, IMS_WALK_WRITE);
  EXPECT_EQ(o.walk.fault.stage, 1);
  EXPECT_EQ(s.machine.load(s.first_entry(1)) & (IMS_FS_A | IMS_FS_D), 0u);
  EXPECT_EQ(s.machine.load(s.first_entry(2)) & IMS_FS_A, uint64_t(IMS_FS_A));
}

TEST(AccessedDirty, TranslationRequestTakesTheRightsThereAre) {
  Nested s(4, 4, true);
  s.map_small();
  ASSERT_EQ(ims_pgt_protect(&s.second.pgt, &s.machine.tables, s.data_gpa(1) & ~0xfffull, 4 * KB, IMS_PERM_R, nullptr),
            0);
  s.request.write = s.request.query = true;
  Outcome o = s.walk();
  ASSERT_TRUE(o.done) << text(o);
  EXPECT_EQ(ims_walk_rights(&o.walk.s1, &o.walk.s2, o.walk.perm1, o.walk.perm2, false), unsigned(IMS_PERM_R));
  EXPECT_EQ(s.machine.load(s.second_leaf(s.data_gpa(1))) & IMS_SS_D, 0u);
}

// Races. Software changes an entry after the walk has read it and before the walk's compare-and-swap.

TEST(LostSwap, WalkStartsAgainAndSeesTheNewEntry) {
  Nested s(4, 4, true);
  s.map_small(IMS_MAP_A);
  uint64_t leaf = s.first_entry(1), other = kData + 7 * 4 * KB;
  s.machine.store(leaf, s.machine.load(leaf) & ~uint64_t(IMS_FS_A));
  s.map_second(other, 1, IMS_PERM_ALL, IMS_MAP_A);
  ASSERT_EQ(ims_pgt_protect(&s.second.pgt, &s.machine.tables, s.guest_tables[3], 4 * KB, IMS_PERM_ALL, nullptr), 0);
  int changes = 0;
  s.driver.before = [&](ims_step_kind kind, const ims_step &q) {
    if (kind == IMS_STEP_UPDATE && q.hpa == leaf && changes++ == 0)
      s.machine.store(leaf, other | 7);
  };
  Outcome o = s.walk();
  ASSERT_TRUE(o.done) << text(o);
  EXPECT_EQ(o.walk.out, s.guest.hpa(other));
  EXPECT_EQ(changes, 2);
  EXPECT_EQ(o.refs, 20u + 24u) << "the first round ends at the first-stage leaf";
  EXPECT_EQ(s.machine.load(leaf), other | 7 | IMS_FS_A);
}

TEST(LostSwap, EntryTakenAwayMeanwhile) {
  Nested s(4, 4, true);
  s.map_small();
  uint64_t entry = s.first_entry(2);
  s.driver.before = [&](ims_step_kind kind, const ims_step &q) {
    if (kind == IMS_STEP_UPDATE && q.hpa == entry)
      s.machine.store(entry, 0);
  };
  Outcome o = s.walk();
  ASSERT_FALSE(o.done);
  EXPECT_EQ(o.walk.fault.cause, IMS_WALK_NOT_PRESENT);
  EXPECT_EQ(o.walk.fault.stage, 1);
  EXPECT_EQ(o.walk.fault.level, 2);
  EXPECT_EQ(s.machine.load(entry), 0u) << "hardware must not bring it back";
}

TEST(LostSwap, UpdateFailsInTheEnd) {
  struct Case {
    const char *name;
    unsigned stage, during;
    std::function<uint64_t(Nested &)> entry;
  };
  const Case cases[] = {
      {"first-stage leaf", 1, IMS_FOR_UPDATE, [](Nested &s) { return s.first_entry(1); }},
      {"first-stage root entry", 1, IMS_FOR_UPDATE, [](Nested &s) { return s.first_entry(4); }},
      {"second-stage leaf of the page", 2, IMS_FOR_PAGE, [](Nested &s) { return s.second_leaf(s.data_gpa(1)); }},
      {"second-stage leaf of a table", 2, IMS_FOR_TABLE, [](Nested &s) { return s.second_leaf(s.guest_tables[2]); }},
  };
  for (const Case &c : cases) {
    Nested s(4, 4, true);
    s.map_small();
    uint64_t entry = c.entry(s), before = s.machine.load(entry);
    unsigned lost = 0;
    s.driver.before = [&](ims_step_kind kind, const ims_step &q) {
      // Bit 10 or 52: ignored by hardware, so only the compare-and-swap sees the change.
      if (kind == IMS_STEP_UPDATE && q.hpa == entry) {
        s.machine.store(entry, s.machine.load(entry) ^ 1ull << 52);
        lost++;
      }
    };
    Outcome o = s.walk();
    ASSERT_FALSE(o.done) << c.name;
    EXPECT_EQ(o.walk.fault.cause, IMS_WALK_AD_FAILED) << c.name;
    EXPECT_EQ(o.walk.fault.stage, c.stage) << c.name;
    EXPECT_EQ(o.walk.fault.during, c.during) << c.name;
    EXPECT_EQ(lost, 1u + IMS_WALK_RETRIES) << c.name;
    EXPECT_EQ(s.machine.load(entry) & ~(1ull << 52), before) << c.name << ": the bit was never set";
  }
}

TEST(LostSwap, MemoryTakenAwayMeanwhile) {
  Nested s(4, 4, true);
  s.map_small();
  uint64_t entry = s.first_entry(1);
  s.driver.before = [&](ims_step_kind kind, const ims_step &q) {
    if (kind == IMS_STEP_UPDATE && q.hpa == entry) {
      EXPECT_EQ(ims_mem_remove(&s.machine.mem, entry & ~0xfffull, 4 * KB), 0);
    }
  };
  Outcome o = s.walk();
  ASSERT_FALSE(o.done);
  EXPECT_EQ(o.walk.fault.cause, IMS_WALK_AD_FAILED);
  EXPECT_EQ(o.walk.fault.stage, 1);
}

// Warm states of a 4x4 walk over 4 KB pages.

constexpr uint32_t cache_bit(unsigned cache) { return 1u << cache; }
constexpr uint32_t kS1All = 15u << IMS_CACHE_S1_L2, kS2All = 15u << IMS_CACHE_S2_L2;

TEST(WarmWalk, NothingCached) {
  Nested s(4, 4);
  s.map_small();
  EXPECT_EQ(s.walk().refs, 24u);
  EXPECT_EQ(s.walk().refs, 24u);
}

TEST(WarmWalk, NestedTlb) {
  Nested s(4, 4);
  s.map_small();
  s.driver.caches = cache_bit(IMS_CACHE_NESTED);
  EXPECT_EQ(s.walk().refs, 24u);
  EXPECT_EQ(s.walk().refs, 4u) << "the first-stage entries alone";
  s.driver.drop(IMS_CACHE_NESTED, s.data_gpa(1), 12);
  EXPECT_EQ(s.walk().refs, 8u) << "and the second stage of the page";
}

TEST(WarmWalk, NestedTlbKnowsLargePages) {
  Nested s(4, 4);
  s.map_first(1);
  s.map_second(kTables, 3);
  s.map_second(s.data_gpa(1), 2);
  s.driver.caches = cache_bit(IMS_CACHE_NESTED);
  EXPECT_EQ(s.walk().refs, 4u + 2u + 3u) << "one walk serves all tables";
  Outcome o = s.walk();
  EXPECT_EQ(o.refs, 4u);
  EXPECT_EQ(o.walk.out, kHostData);
  EXPECT_EQ(o.walk.shift, 12);
}

TEST(WarmWalk, SecondStageStructureCacheWithinOneWalk) {
  // Tables and page in one 2 MB region: the first second-stage walk is cold, the others read one entry each.
  Nested s(4, 4);
  ims_pgt_mem tables = s.guest.tables();
  uint64_t page = kTables + 100 * 4 * KB;
  ASSERT_EQ(ims_pgt_create(&s.first.pgt, &tables), 0);
  ASSERT_EQ(ims_pgt_map(&s.first.pgt, &tables, kIn, page, 4 * KB, IMS_PERM_ALL, 0, 1), 0);
  for (uint64_t gpa : s.guest_tables)
    s.map_second(gpa, 1);
  s.map_second(page, 1);
  EXPECT_EQ(s.walk().refs, 24u);
  s.driver.caches = cache_bit(IMS_CACHE_S2_L2);
  EXPECT_EQ(s.walk().refs, 12u);
  EXPECT_EQ(s.walk().refs, 9u) << "n + n + 1 once it is warm";
}

TEST(WarmWalk, FirstStageStructureCache) {
  for (bool gpa : {true, false}) {
    for (uint32_t left = 1; left <= 3; left++) {
      Nested s(4, 4);
      s.map_small();
      // The entry of level left+1 is cached, so `left` levels are to be read.
      s.driver.caches = cache_bit(IMS_CACHE_S1_L2 + left - 1);
      s.driver.psc_gpa = gpa;
      EXPECT_EQ(s.walk().refs, 24u);
      Outcome o = s.walk();
      ASSERT_TRUE(o.done) << text(o);
      EXPECT_EQ(o.refs, gpa ? left * 5 + 4 : left * 5) << left << (gpa ? " gpa" : " hpa");
      EXPECT_EQ(o.walk.out, kHostData);
    }
  }
}

TEST(WarmWalk, NearestFirstStageEntryWins) {
  Nested s(4, 4);
  s.map_small();
  s.driver.caches = kS1All;
  EXPECT_EQ(s.walk().refs, 24u);
  EXPECT_EQ(s.walk().refs, 5u);
}

TEST(WarmWalk, OneReadIsLeft) {
  Nested s(4, 4);
  s.map_small();
  s.driver.caches = kS1All | kS2All | cache_bit(IMS_CACHE_NESTED);
  s.walk();
  Outcome o = s.walk();
  ASSERT_TRUE(o.done) << text(o);
  EXPECT_EQ(o.refs, 1u);
  EXPECT_EQ(o.reads[0].hpa, s.first_entry(1));
}

TEST(WarmWalk, WriteOnACleanNestedEntryWalksForTheDirtyBit) {
  Nested s(4, 4, true);
  s.map_small(IMS_MAP_A);
  s.driver.caches = cache_bit(IMS_CACHE_NESTED);
  EXPECT_EQ(s.walk().refs, 24u);
  s.request.write = true;
  Outcome o = s.walk();
  ASSERT_TRUE(o.done) << text(o);
  EXPECT_EQ(o.refs, 4u + 4u + 4u) << "the page of the leaf table, to be written, and the page itself";
  EXPECT_EQ(s.machine.load(s.second_leaf(s.data_gpa(1))) & IMS_SS_D, uint64_t(IMS_SS_D));
  EXPECT_EQ(s.machine.load(s.second_leaf(s.guest_tables[3])) & IMS_SS_D, uint64_t(IMS_SS_D));
  EXPECT_EQ(s.walk().refs, 4u);
}

TEST(WarmWalk, CachedTablePointerDoesNotSufficeForAWriteToACleanTable) {
  Nested s(4, 4, true);
  s.map_small(IMS_MAP_A);
  s.driver.caches = kS1All;
  EXPECT_EQ(s.walk().refs, 24u);
  s.request.write = true;
  Outcome o = s.walk();
  ASSERT_TRUE(o.done) << text(o);
  EXPECT_EQ(o.refs, 1u + 24u) << "the leaf is read, then the walk starts at the root";
  EXPECT_EQ(s.machine.load(s.first_entry(1)) & IMS_FS_D, uint64_t(IMS_FS_D));
  EXPECT_EQ(s.walk().refs, 5u);
}

TEST(WarmWalk, StaleNestedEntryIsNotWrittenThrough) {
  // Software moves the page of the leaf table and forgets to invalidate. Reads may still see the old page; the update
  // walks the second stage, finds the new one, and starts again there.
  Nested s(4, 4, true);
  s.map_small(IMS_MAP_A);
  s.driver.caches = cache_bit(IMS_CACHE_NESTED);
  EXPECT_EQ(s.walk().refs, 24u);
  uint64_t page = s.guest_tables[3], old_entry = s.first_entry(1), moved = 12 * GB;
  ASSERT_EQ(ims_pgt_unmap(&s.second.pgt, &s.machine.tables, page, 4 * KB, 0, nullptr), 0);
  ASSERT_EQ(ims_pgt_map(&s.second.pgt, &s.machine.tables, page, moved, 4 * KB, IMS_PERM_ALL, IMS_MAP_A, 1), 0);
  uint64_t new_entry = moved + (old_entry & 0xfff), value = s.machine.load(old_entry);
  s.machine.store(new_entry, value);
  EXPECT_EQ(s.walk().reads.back().hpa, old_entry);
  s.request.write = true;
  Outcome o = s.walk();
  ASSERT_TRUE(o.done) << text(o);
  EXPECT_EQ(s.machine.load(old_entry), value);
  EXPECT_EQ(s.machine.load(new_entry), value | IMS_FS_D);
}

// What goes into a cache must come from this walk.
TEST(Walk, FillsDoNotDependOnWhatMemoryHeldBefore) {
  Machine m(64 * MB, 1 * MB, 1 * MB);
  FirstStage first{oracle::FirstStage{}};
  oracle::Request q;
  q.addr = kIn;
  ASSERT_EQ(ims_pgt_create(&first.pgt, &m.tables), 0);
  ASSERT_EQ(ims_pgt_map(&first.pgt, &m.tables, kIn, 0x5000, 4 * KB, IMS_PERM_ALL, IMS_MAP_A | IMS_MAP_D, 0), 0);
  std::vector<ims_tlb_value> fills[2];
  for (int junk : {0, 1}) {
    Driver driver(m.mem);
    driver.junk = junk;
    driver.caches = kS1All;
    driver.before = [&](ims_step_kind kind, const ims_step &step) {
      if (kind == IMS_STEP_FILL)
        fills[junk].push_back(step.value);
    };
    ASSERT_TRUE(driver.run(&first.pgt, nullptr, q).done);
  }
  ASSERT_EQ(fills[0].size(), 3u);
  ASSERT_EQ(fills[1].size(), 3u);
  for (size_t i = 0; i < 3; i++) {
    EXPECT_EQ(fills[0][i].addr, fills[1][i].addr);
    EXPECT_EQ(fills[0][i].perm1, fills[1][i].perm1);
    EXPECT_EQ(fills[0][i].perm2, fills[1][i].perm2);
    EXPECT_EQ(fills[0][i].flags, fills[1][i].flags);
  }
}

} // namespace
