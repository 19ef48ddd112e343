// SPDX-License-Identifier: Apache-2.0
// Builders of page tables, for every format and number of levels.
#include "tests/pgtable/harness.h"

#include <gtest/gtest.h>
#include <random>

namespace {

using namespace pgt;

struct Format {
  const char *name;
  bool first;
  int levels;
};

constexpr uint64_t kPoolBase = 1 * MB, kPoolSize = 8 * MB;
constexpr unsigned kRW = IMS_PERM_R | IMS_PERM_W | IMS_PERM_X | IMS_PERM_U;
constexpr unsigned kRO = IMS_PERM_R | IMS_PERM_X | IMS_PERM_U;

class Table {
public:
  Table(bool first, int levels) : machine(64 * MB, kPoolBase, kPoolSize), mem(machine.tables) {
    if (first) {
      oracle::FirstStage r;
      r.levels = levels;
      r.address_width = 46;
      one = std::make_unique<FirstStage>(r);
      p = &one->pgt;
    } else {
      oracle::SecondStage r;
      r.levels = levels;
      r.input_width = 12 + 9 * levels;
      r.address_width = 46;
      r.accessed_dirty = true;
      two = std::make_unique<SecondStage>(r);
      p = &two->pgt;
    }
    EXPECT_EQ(ims_pgt_create(p, &mem), 0);
  }
  ~Table() {
    ims_pgt_destroy(p, &machine.tables);
    EXPECT_EQ(machine.pool.in_use, 0u) << "tables leaked";
    EXPECT_EQ(machine.pool.bad_frees, 0u) << "tables freed twice";
  }

  int map(uint64_t in, uint64_t out, uint64_t size, unsigned perm = kRW, unsigned flags = 0, unsigned limit = 0) {
    return ims_pgt_map(p, &mem, in, out, size, perm, flags, limit);
  }
  int unmap(uint64_t in, uint64_t size, unsigned how = 0, ims_pgt_gather *g = nullptr) {
    return ims_pgt_unmap(p, &mem, in, size, how, g);
  }
  int lookup(uint64_t in, ims_pgt_leaf *leaf) { return ims_pgt_lookup(p, &mem, in, leaf); }
  // 0 where nothing is mapped; no test maps to 0.
  uint64_t out(uint64_t in) {
    ims_pgt_leaf leaf;
    return lookup(in, &leaf) == 0 ? leaf.out : 0;
  }
  unsigned shift(uint64_t in) {
    ims_pgt_leaf leaf;
    return lookup(in, &leaf) == 0 ? leaf.shift : 0;
  }
  uint64_t tables() const { return machine.pool.in_use / (4 * KB); }
  uint64_t hash() { return ims_mem_hash(&machine.mem); }

  std::vector<ims_pgt_visit> list(uint64_t first = 0, uint64_t last = ~0ull) {
    std::vector<ims_pgt_visit> all;
    auto visit = [](void *ctx, const ims_pgt_visit *v) -> int {
      static_cast<std::vector<ims_pgt_visit> *>(ctx)->push_back(*v);
      return IMS_VISIT_ON;
    };
    EXPECT_EQ(ims_pgt_iterate(p, &mem, first, last, visit, &all), 0);
    return all;
  }

  Machine machine;
  ims_pgt_mem mem;
  std::unique_ptr<FirstStage> one;
  std::unique_ptr<SecondStage> two;
  ims_pgt *p;
};

class Build : public testing::TestWithParam<Format>, public Table {
protected:
  Build() : Table(GetParam().first, GetParam().levels) {}
  bool first() const { return GetParam().first; }
  unsigned levels() const { return static_cast<unsigned>(GetParam().levels); }
  // The highest address of the lower half (first stage) or of the stage.
  uint64_t top() const { return (1ull << (p->in_bits - (first() ? 1 : 0))) - 1; }
};

TEST_P(Build, OnePage) {
  ASSERT_EQ(map(0x12345000, 0xabcde000, 4 * KB), 0);
  EXPECT_EQ(tables(), levels());
  EXPECT_EQ(out(0x12345678), 0xabcde678u);
  EXPECT_EQ(out(0x12344fff), 0u);
  EXPECT_EQ(out(0x12346000), 0u);
  ims_pgt_leaf leaf;
  ASSERT_EQ(lookup(0x12345678, &leaf), 0);
  EXPECT_EQ(leaf.shift, 12);
  EXPECT_EQ(leaf.level, 1);
  EXPECT_EQ(leaf.perm, IMS_PERM_R | IMS_PERM_W | IMS_PERM_X | IMS_PERM_U);
  EXPECT_EQ(machine.load(leaf.entry_addr), leaf.entry);
  EXPECT_EQ(leaf.entry, first() ? 0xabcde007u : 0xabcde003u);
  EXPECT_EQ(lookup(0x12346000, &leaf), IMS_ERR_NOENT);
}

TEST_P(Build, LargestLeafThatFits) {
  // A page below 1 GB, 1 GB, 2 MB and a page.
  uint64_t in = 3 * GB - 4 * KB, size = 4 * KB + 1 * GB + 2 * MB + 4 * KB;
  ASSERT_EQ(map(in, in + 8 * GB, size), 0);
  EXPECT_EQ(shift(3 * GB - 1), 12u);
  EXPECT_EQ(shift(3 * GB), 30u);
  EXPECT_EQ(shift(4 * GB), 21u);
  EXPECT_EQ(shift(4 * GB + 2 * MB), 12u);
  for (uint64_t at : {in, 3 * GB + 5, 4 * GB - 1, 4 * GB, 4 * GB + 2 * MB})
    EXPECT_EQ(out(at), at + 8 * GB);
  EXPECT_EQ(out(in + size), 0u);
}

TEST_P(Build, LeafIsBoundByOutputAlignmentAndByTheCaller) {
  ASSERT_EQ(map(4 * GB, 2 * MB, 1 * GB), 0);
  EXPECT_EQ(shift(4 * GB), 21u) << "the output is 2 MB aligned only";
  ASSERT_EQ(map(8 * GB, 4 * KB, 2 * MB), 0);
  EXPECT_EQ(shift(8 * GB), 12u);
  ASSERT_EQ(map(12 * GB, 2 * GB, 4 * MB, kRW, 0, 1), 0);
  EXPECT_EQ(shift(12 * GB), 12u);
  ASSERT_EQ(map(16 * GB, 2 * GB, 1 * GB, kRW, 0, 2), 0);
  EXPECT_EQ(shift(16 * GB), 21u);
}

TEST_P(Build, LeafIsBoundByTheFormat) {
  if (first())
    ims_x86_fs_format(&one->format, 46, false, false);
  else
    ims_vtd_ss_format(&two->format, 46, true, false, true, false);
  ASSERT_EQ(map(4 * GB, 4 * GB, 1 * GB), 0);
  EXPECT_EQ(shift(4 * GB), 21u);
  EXPECT_EQ(shift(5 * GB - 1), 21u);
}

TEST_P(Build, EndsOfTheAddressSpace) {
  uint64_t last = top() & ~(4 * KB - 1);
  ASSERT_EQ(map(0, 4 * KB, 4 * KB), 0);
  ASSERT_EQ(map(last, 8 * KB, 4 * KB), 0);
  EXPECT_EQ(out(5), 4 * KB + 5);
  EXPECT_EQ(out(top()), 12 * KB - 1);
  ims_pgt_leaf leaf;
  EXPECT_EQ(map(last, 8 * KB, 8 * KB), IMS_ERR_RANGE);
  EXPECT_EQ(map(top() + 1, 8 * KB, 4 * KB), IMS_ERR_RANGE);
  EXPECT_EQ(unmap(top() + 1, 4 * KB), IMS_ERR_RANGE);
  EXPECT_EQ(lookup(top() + 1, &leaf), IMS_ERR_RANGE);
  if (first()) {
    ASSERT_EQ(map(~top(), 12 * KB, 4 * KB), 0);
    ASSERT_EQ(map(~0ull - 4095, 16 * KB, 4 * KB), 0);
    EXPECT_EQ(out(~top() + 1), 12 * KB + 1);
    EXPECT_EQ(out(~0ull), 20 * KB - 1);
    EXPECT_EQ(map(last, 8 * KB, ~top() - last + 4 * KB), IMS_ERR_RANGE) << "across the hole";
    EXPECT_EQ(unmap(~0ull - 4095, 4 * KB), 0);
    EXPECT_EQ(out(~0ull), 0u);
  } else {
    EXPECT_EQ(map(~0ull - 4095, 16 * KB, 4 * KB), IMS_ERR_RANGE);
  }
  EXPECT_EQ(map(~0ull - 4095, 0, 8 * KB), IMS_ERR_RANGE) << "the sum passes 2^64";
}

TEST_P(Build, WrongArguments) {
  uint64_t before = hash();
  EXPECT_EQ(map(0x1001, 0x1000, 4 * KB), IMS_ERR_INVAL);
  EXPECT_EQ(map(0x1000, 0x1800, 4 * KB), IMS_ERR_INVAL);
  EXPECT_EQ(map(0x1000, 0x1000, 0), IMS_ERR_INVAL);
  EXPECT_EQ(map(0x1000, 0x1000, 100), IMS_ERR_INVAL);
  EXPECT_EQ(map(0x1000, 0x1000, 4 * KB, 64), IMS_ERR_INVAL);
  EXPECT_EQ(map(0x1000, 0x1000, 4 * KB, kRW, 1 << 20), IMS_ERR_INVAL);
  EXPECT_EQ(map(0x1000, 1ull << 46, 4 * KB), IMS_ERR_RANGE) << "beyond the width of addresses";
  EXPECT_EQ(map(0x1000, (1ull << 46) - 4 * KB, 8 * KB), IMS_ERR_RANGE);
  EXPECT_EQ(map(0x1000, ~0ull - 4095, 8 * KB), IMS_ERR_RANGE);
  EXPECT_EQ(map(0x1000, 0x1000, 4 * KB, 0), first() ? IMS_ERR_UNSUP : IMS_ERR_INVAL);
  EXPECT_EQ(map(0x1000, 0x1000, 4 * KB, kRW, first() ? IMS_MAP_SNP : IMS_MAP_EA), IMS_ERR_UNSUP);
  EXPECT_EQ(unmap(0x1000, 4 * KB, 128), IMS_ERR_INVAL);
  EXPECT_EQ(unmap(0x800, 4 * KB), IMS_ERR_INVAL);
  EXPECT_EQ(ims_pgt_protect(p, &mem, 0x1000, 4 * KB, 0, nullptr), first() ? IMS_ERR_UNSUP : IMS_ERR_INVAL);
  EXPECT_EQ(hash(), before);
  EXPECT_EQ(tables(), 1u);
}

TEST_P(Build, OverlapLeavesNothingBehind) {
  ASSERT_EQ(map(4 * GB, 4 * GB, 2 * MB), 0);
  ASSERT_EQ(map(8 * GB + 5 * MB, 4 * GB, 4 * KB), 0);
  uint64_t before = hash(), used = tables();
  EXPECT_EQ(map(4 * GB - 2 * GB, 0, 2 * GB + 4 * KB), IMS_ERR_EXIST) << "meets a large leaf at its end";
  EXPECT_EQ(map(8 * GB, 0, 1 * GB), IMS_ERR_EXIST) << "would cover a table";
  EXPECT_EQ(map(8 * GB + 5 * MB, 0, 4 * KB), IMS_ERR_EXIST);
  EXPECT_EQ(map(4 * GB + 4 * KB, 0, 4 * KB), IMS_ERR_EXIST) << "inside a large leaf";
  EXPECT_EQ(hash(), before);
  EXPECT_EQ(tables(), used);
}

TEST_P(Build, MalformedEntriesAreInTheWay) {
  ASSERT_EQ(map(4 * GB, 4 * GB, 4 * KB), 0);
  ims_pgt_leaf leaf;
  ASSERT_EQ(lookup(4 * GB, &leaf), 0);
  machine.store(leaf.entry_addr, leaf.entry | 1ull << 50);
  EXPECT_EQ(map(4 * GB, 8 * GB, 4 * KB), IMS_ERR_EXIST);
  EXPECT_EQ(unmap(4 * GB, 4 * KB), IMS_ERR_FORMAT);
  EXPECT_EQ(ims_pgt_protect(p, &mem, 4 * GB, 4 * KB, kRO, nullptr), IMS_ERR_FORMAT);
  EXPECT_EQ(lookup(4 * GB, &leaf), IMS_ERR_FORMAT);
}

TEST_P(Build, FullPoolLeavesNothingBehind) {
  // Room for the root and one table less than is needed.
  uint64_t hpa;
  while (machine.pool.in_use < kPoolSize - levels() * 4 * KB)
    ASSERT_EQ(ims_page_pool_alloc(&machine.pool, 12, &hpa), 0);
  uint64_t before = hash(), used = machine.pool.in_use;
  EXPECT_EQ(map(1 * GB - 4 * KB, 4 * KB, 8 * KB), IMS_ERR_NOSPACE) << "two branches";
  EXPECT_EQ(machine.pool.in_use, used);
  EXPECT_EQ(out(1 * GB), 0u);
  EXPECT_EQ(map(1 * GB, 4 * KB, 4 * KB), 0) << "one branch fits";
  EXPECT_EQ(unmap(1 * GB, 4 * KB), 0);
  EXPECT_EQ(machine.pool.in_use, used);
  EXPECT_EQ(hash(), before);
  // Give the pool back; the pages taken here are not the table's.
  for (uint64_t page = kPoolBase; page < kPoolBase + kPoolSize; page += 4 * KB)
    if (page != p->root &&
        machine.pool.used[(page - kPoolBase) / (4 * KB) / 64] >> (page - kPoolBase) / (4 * KB) % 64 & 1)
      ims_page_pool_free(&machine.pool, page, 12);
}

TEST_P(Build, AbsentTableIsABusError) {
  ASSERT_EQ(map(4 * GB, 4 * GB, 4 * KB), 0);
  ims_pgt_leaf leaf;
  ASSERT_EQ(lookup(4 * GB, &leaf), 0);
  ASSERT_EQ(ims_mem_remove(&machine.mem, leaf.entry_addr & ~0xfffull, 4 * KB), 0);
  EXPECT_EQ(lookup(4 * GB, &leaf), IMS_ERR_BUS);
  EXPECT_EQ(map(4 * GB + 4 * KB, 4 * GB, 4 * KB), IMS_ERR_BUS);
  EXPECT_EQ(unmap(4 * GB, 4 * KB), IMS_ERR_BUS);
}

TEST_P(Build, UnmapGivesBackWhatMapTook) {
  uint64_t before = hash();
  ASSERT_EQ(map(3 * GB - 4 * KB, 8 * KB, 2 * GB + 12 * KB), 0);
  ims_pgt_gather g = {};
  ASSERT_EQ(unmap(2 * GB, 4 * GB, 0, &g), 0);
  EXPECT_EQ(g.unmapped, 2 * GB + 12 * KB);
  EXPECT_EQ(tables(), 1u);
  EXPECT_GT(g.tables, 1u);
  EXPECT_EQ(hash(), before);
}

TEST_P(Build, UnmapKeepsTablesIfAsked) {
  ASSERT_EQ(map(4 * GB, 4 * GB, 4 * KB), 0);
  ims_pgt_gather g = {};
  ASSERT_EQ(unmap(4 * GB, 4 * KB, IMS_UNMAP_KEEP, &g), 0);
  EXPECT_EQ(g.unmapped, 4 * KB);
  EXPECT_EQ(g.tables, 0u);
  EXPECT_EQ(tables(), levels());
  ASSERT_EQ(map(4 * GB, 8 * GB, 2 * MB), 0);
  EXPECT_EQ(shift(4 * GB), 12u) << "the table stands there already";
  EXPECT_EQ(out(4 * GB + 2 * MB - 1), 8 * GB + 2 * MB - 1);
  EXPECT_EQ(tables(), levels());
}

TEST_P(Build, UnmapOfAHole) {
  ASSERT_EQ(map(4 * GB, 4 * GB, 4 * KB), 0);
  ims_pgt_gather g = {};
  EXPECT_EQ(unmap(0, 4 * GB, 0, &g), 0);
  EXPECT_EQ(unmap(4 * GB + 4 * KB, 1 * GB, 0, &g), 0);
  EXPECT_EQ(g.unmapped, 0u);
  EXPECT_EQ(g.tables, 0u);
  EXPECT_EQ(out(4 * GB), 4 * GB);
}

TEST_P(Build, UnlinkedTablesGoToTheReaper) {
  ASSERT_EQ(map(4 * GB, 4 * GB, 4 * KB), 0);
  struct Seen {
    Table *table;
    std::vector<uint64_t> pages;
  } seen = {this, {}};
  ims_pgt_gather g = {};
  g.ctx = &seen;
  g.reap = [](void *ctx, uint64_t table, unsigned log2size) {
    auto *s = static_cast<Seen *>(ctx);
    EXPECT_EQ(log2size, 12u);
    for (const ims_pgt_visit &v : s->table->list())
      EXPECT_NE(v.out, table) << "still linked";
    s->pages.push_back(table);
  };
  std::vector<uint64_t> deepest_first;
  for (const ims_pgt_visit &v : list())
    if (v.kind == IMS_PTE_TABLE)
      deepest_first.insert(deepest_first.begin(), v.out);
  ASSERT_EQ(unmap(4 * GB, 4 * KB, 0, &g), 0);
  EXPECT_EQ(seen.pages, deepest_first);
  EXPECT_EQ(g.tables, levels() - 1);
  EXPECT_EQ(tables(), levels()) << "nothing was freed yet";
  for (uint64_t page : seen.pages)
    EXPECT_EQ(ims_page_pool_free(&machine.pool, page, 12), 0);
}

TEST_P(Build, UnmapSplitsALargeLeaf) {
  ASSERT_EQ(map(4 * GB, 8 * GB, 1 * GB, kRO, IMS_MAP_A | IMS_MAP_D), 0);
  ims_pgt_gather g = {};
  ASSERT_EQ(unmap(4 * GB + 6 * MB + 4 * KB, 8 * KB, 0, &g), 0);
  EXPECT_EQ(g.unmapped, 8 * KB);
  EXPECT_EQ(g.tables, 0u);
  EXPECT_EQ(shift(4 * GB), 21u);
  EXPECT_EQ(shift(4 * GB + 6 * MB), 12u);
  EXPECT_EQ(out(4 * GB + 6 * MB + 4 * KB - 1), 8 * GB + 6 * MB + 4 * KB - 1);
  EXPECT_EQ(out(4 * GB + 6 * MB + 4 * KB), 0u);
  EXPECT_EQ(out(4 * GB + 6 * MB + 12 * KB), 8 * GB + 6 * MB + 12 * KB);
  EXPECT_EQ(out(5 * GB - 1), 9 * GB - 1);
  ims_pgt_leaf leaf;
  ASSERT_EQ(lookup(4 * GB + 6 * MB, &leaf), 0);
  EXPECT_FALSE(leaf.perm & IMS_PERM_W);
  uint64_t ad = first() ? IMS_FS_A | IMS_FS_D : IMS_SS_A | IMS_SS_D;
  EXPECT_EQ(leaf.entry & ad, ad) << "both bits go along";
}

TEST_P(Build, SplitThatFindsNoRoomChangesNothing) {
  ASSERT_EQ(map(4 * GB, 8 * GB, 1 * GB), 0);
  uint64_t hpa;
  while (ims_page_pool_alloc(&machine.pool, 12, &hpa) == 0)
    continue;
  ASSERT_EQ(ims_page_pool_free(&machine.pool, kPoolBase + kPoolSize - 4 * KB, 12), 0);
  EXPECT_EQ(unmap(4 * GB, 4 * KB), IMS_ERR_NOSPACE) << "two tables are needed";
  EXPECT_EQ(out(4 * GB), 8 * GB);
  EXPECT_EQ(out(5 * GB - 1), 9 * GB - 1);
  for (uint64_t page = kPoolBase; page < kPoolBase + kPoolSize; page += 4 * KB) {
    bool linked = page == p->root;
    for (const ims_pgt_visit &v : list(4 * GB, 4 * GB))
      linked = linked || (v.kind == IMS_PTE_TABLE && v.out == page);
    if (!linked)
      ims_page_pool_free(&machine.pool, page, 12);
  }
  machine.pool.bad_frees = 0; // the last page of the search may be free already
}

TEST_P(Build, ProtectChangesRightsAndNothingElse) {
  ASSERT_EQ(map(4 * GB, 8 * GB, 2 * MB, kRW, IMS_MAP_A | IMS_MAP_D), 0);
  ASSERT_EQ(map(5 * GB, 9 * GB, 4 * KB), 0);
  uint64_t changed;
  ASSERT_EQ(ims_pgt_protect(p, &mem, 4 * GB + 4 * KB, 2 * GB, kRO, &changed), 0);
  EXPECT_EQ(changed, 2 * MB - 4 * KB + 4 * KB);
  ims_pgt_leaf leaf;
  ASSERT_EQ(lookup(4 * GB, &leaf), 0);
  EXPECT_EQ(leaf.perm & IMS_PERM_W, unsigned(IMS_PERM_W)) << "outside the range";
  ASSERT_EQ(lookup(4 * GB + 4 * KB, &leaf), 0);
  EXPECT_EQ(leaf.perm & IMS_PERM_W, 0u);
  EXPECT_EQ(leaf.out, 8 * GB + 4 * KB);
  uint64_t ad = first() ? IMS_FS_A | IMS_FS_D : IMS_SS_A | IMS_SS_D;
  EXPECT_EQ(leaf.entry & ad, ad);
  ASSERT_EQ(lookup(5 * GB, &leaf), 0);
  EXPECT_EQ(leaf.perm & IMS_PERM_W, 0u);
  ASSERT_EQ(ims_pgt_protect(p, &mem, 4 * GB, 2 * MB, kRO, &changed), 0);
  EXPECT_EQ(changed, 4 * KB) << "the rest was so already";
}

TEST_P(Build, RightsAndAttributesAsBits) {
  ims_pgt_leaf leaf;
  auto entry = [&](uint64_t in) {
    EXPECT_EQ(lookup(in, &leaf), 0);
    return leaf.entry;
  };
  if (first()) {
    ASSERT_EQ(map(0x1000, 0x1000, 4 * KB, IMS_PERM_R), 0);
    EXPECT_EQ(entry(0x1000), 0x8000000000001001ull);
    ASSERT_EQ(map(0x2000, 0x2000, 4 * KB, IMS_PERM_R | IMS_PERM_U | IMS_PERM_X, IMS_MAP_A | IMS_MAP_EA), 0);
    EXPECT_EQ(entry(0x2000), 0x2425u);
    ASSERT_EQ(map(0x200000, 0x200000, 2 * MB, kRW, IMS_MAP_A | IMS_MAP_D), 0);
    EXPECT_EQ(entry(0x200000), 0x2000e7u);
    EXPECT_EQ(map(0x3000, 0x3000, 4 * KB, IMS_PERM_W), IMS_ERR_UNSUP) << "reading cannot be refused";
    ims_x86_fs_format(&one->format, 46, true, true);
    EXPECT_EQ(map(0x3000, 0x3000, 4 * KB, IMS_PERM_R), IMS_ERR_UNSUP) << "XD is reserved";
    unmap(0x1000, 4 * KB, IMS_UNMAP_KEEP);
    return;
  }
  ASSERT_EQ(map(0x1000, 0x1000, 4 * KB, IMS_PERM_W), 0);
  EXPECT_EQ(entry(0x1000), 0x1002u);
  ASSERT_EQ(map(0x2000, 0x2000, 4 * KB, IMS_PERM_R | IMS_PERM_X, IMS_MAP_A | IMS_MAP_SNP), 0);
  EXPECT_EQ(entry(0x2000), 0x2901u) << "X is not known";
  ASSERT_EQ(map(0x200000, 0x200000, 2 * MB, kRW, IMS_MAP_D), 0);
  EXPECT_EQ(entry(0x200000), 0x200283u);
  EXPECT_EQ(map(0x3000, 0x3000, 4 * KB, IMS_PERM_X), IMS_ERR_INVAL) << "that would be no entry at all";
  ims_vtd_ss_format(&two->format, 46, true, true, false, false);
  EXPECT_EQ(map(0x3000, 0x3000, 4 * KB, kRW, IMS_MAP_SNP), IMS_ERR_UNSUP) << "no snoop control";
  ims_vtd_ss_format(&two->format, 46, true, true, true, false);
}

TEST_P(Build, PresetAccessedBitsSpareTheWalkItsUpdates) {
  unsigned flags = IMS_MAP_A | IMS_MAP_D;
  ASSERT_EQ(map(4 * GB, 8 * GB, 4 * KB, kRW, flags), 0);
  ASSERT_EQ(map(64 * GB, 8 * GB, 4 * KB, kRW, 0), 0);
  Driver driver(machine.mem);
  oracle::Request q;
  q.write = true;
  q.addr = 4 * GB;
  Outcome o = driver.run(first() ? p : nullptr, first() ? nullptr : p, q);
  ASSERT_TRUE(o.done) << text(o);
  EXPECT_EQ(o.updates, 0u);
  q.addr = 64 * GB;
  o = driver.run(first() ? p : nullptr, first() ? nullptr : p, q);
  ASSERT_TRUE(o.done) << text(o);
  EXPECT_GE(o.updates, 2u);
}

TEST_P(Build, DirtyLeavesAreReportedAndCleaned) {
  ASSERT_EQ(map(4 * GB, 4 * GB, 2 * MB, kRW, IMS_MAP_D), 0);
  ASSERT_EQ(map(4 * GB + 2 * MB, 4 * GB, 4 * KB, kRW, IMS_MAP_D | IMS_MAP_A), 0);
  ASSERT_EQ(map(4 * GB + 2 * MB + 4 * KB, 4 * GB, 4 * KB), 0);
  using Reports = std::vector<std::pair<uint64_t, uint64_t>>;
  Reports seen;
  auto report = [](void *ctx, uint64_t in, uint64_t size) { static_cast<Reports *>(ctx)->emplace_back(in, size); };
  const Reports both = {{4 * GB, 2 * MB}, {4 * GB + 2 * MB, 4 * KB}};
  ASSERT_EQ(ims_pgt_read_dirty(p, &mem, 4 * GB + 1 * MB, 4 * MB, false, report, &seen), 0);
  EXPECT_EQ(seen, both);
  seen.clear();
  ASSERT_EQ(ims_pgt_read_dirty(p, &mem, 4 * GB + 1 * MB, 4 * MB, true, report, &seen), 0);
  EXPECT_EQ(seen, both) << "reading alone cleans nothing";
  seen.clear();
  ASSERT_EQ(ims_pgt_read_dirty(p, &mem, 4 * GB, 4 * MB, true, report, &seen), 0);
  EXPECT_TRUE(seen.empty());
  ims_pgt_leaf leaf;
  ASSERT_EQ(lookup(4 * GB + 2 * MB, &leaf), 0);
  EXPECT_TRUE(leaf.entry & (first() ? IMS_FS_A : IMS_SS_A)) << "the accessed bit stays";
  ims_pgt plain = *p;
  plain.d_bit = 0;
  EXPECT_EQ(ims_pgt_read_dirty(&plain, &mem, 4 * GB, 4 * MB, true, report, &seen), IMS_ERR_UNSUP);
}

TEST_P(Build, IterationIsInAddressOrder) {
  std::vector<uint64_t> want = {0x1000, 2 * MB, 3 * GB, 5 * GB};
  ASSERT_EQ(map(5 * GB, 1 * GB, 1 * GB), 0);
  ASSERT_EQ(map(0x1000, 0x7000, 4 * KB, kRO), 0);
  ASSERT_EQ(map(3 * GB, 2 * MB, 2 * MB), 0);
  ASSERT_EQ(map(2 * MB, 4 * MB, 2 * MB), 0);
  if (first()) {
    ASSERT_EQ(map(~top(), 0x9000, 4 * KB), 0);
    ASSERT_EQ(map(~0ull - 2 * MB + 1, 6 * MB, 2 * MB), 0);
    want.insert(want.end(), {~top(), ~0ull - 2 * MB + 1});
  }
  std::vector<uint64_t> leaves;
  uint64_t linked = 1;
  for (const ims_pgt_visit &v : list()) {
    linked += v.kind == IMS_PTE_TABLE;
    EXPECT_EQ(machine.load(v.entry_addr), v.entry);
    if (v.kind != IMS_PTE_LEAF)
      continue;
    leaves.push_back(v.in);
    EXPECT_EQ(out(v.in), v.out);
    EXPECT_EQ(1ull << shift(v.in), v.size);
    EXPECT_EQ(v.perm & IMS_PERM_W, v.in == 0x1000 ? 0u : unsigned(IMS_PERM_W));
  }
  EXPECT_EQ(leaves, want);
  EXPECT_EQ(linked, tables());

  leaves.clear();
  for (const ims_pgt_visit &v : list(3 * GB + 5, 5 * GB))
    if (v.kind == IMS_PTE_LEAF)
      leaves.push_back(v.in);
  EXPECT_EQ(leaves, (std::vector<uint64_t>{3 * GB, 5 * GB})) << "what meets the range";
  EXPECT_TRUE(list(5, 4).empty());
}

TEST_P(Build, VisitorMaySkipAndStop) {
  ASSERT_EQ(map(4 * GB, 4 * GB, 4 * KB), 0);
  ASSERT_EQ(map(64 * GB, 4 * GB, 4 * KB), 0);
  int visits = 0;
  auto skip = [](void *ctx, const ims_pgt_visit *) -> int {
    ++*static_cast<int *>(ctx);
    return IMS_VISIT_SKIP;
  };
  EXPECT_EQ(ims_pgt_iterate(p, &mem, 0, ~0ull, skip, &visits), 0);
  EXPECT_EQ(visits, levels() == 3 ? 2 : 1) << "the root's entries alone";
  visits = 0;
  auto stop = [](void *ctx, const ims_pgt_visit *) -> int { return ++*static_cast<int *>(ctx) == 2 ? -77 : 0; };
  EXPECT_EQ(ims_pgt_iterate(p, &mem, 0, ~0ull, stop, &visits), -77);
  EXPECT_EQ(visits, 2);
}

TEST_P(Build, TablesThatPointToThemselvesAreListedWithinBounds) {
  // Every entry of the root points to the root.
  std::vector<uint64_t> saved;
  for (unsigned i = 0; i < 512; i++)
    machine.store(p->root + 8 * i, p->root | 7);
  struct Bound {
    int visits;
    unsigned deepest;
  } bound = {0, 99};
  auto visit = [](void *ctx, const ims_pgt_visit *v) -> int {
    auto *b = static_cast<Bound *>(ctx);
    b->deepest = std::min<unsigned>(b->deepest, v->level);
    return ++b->visits == 5000 ? -1 : 0;
  };
  EXPECT_EQ(ims_pgt_iterate(p, &mem, 0, ~0ull, visit, &bound), -1);
  EXPECT_EQ(bound.visits, 5000);
  EXPECT_EQ(bound.deepest, 1u);
  ims_pgt_leaf leaf;
  ASSERT_EQ(lookup(0x5123, &leaf), 0);
  EXPECT_EQ(leaf.out, p->root + 0x123);
  for (unsigned i = 0; i < 512; i++)
    machine.store(p->root + 8 * i, 0);
}

// Somebody who translates addresses all the time, and may see what they led to before or after.
struct Watch {
  Table *t;
  std::vector<uint64_t> in;
  std::vector<uint64_t> before, after; // 0: not mapped
  unsigned looks = 0;

  void look() {
    ims_pgt_leaf leaf;
    looks++;
    for (size_t i = 0; i < in.size(); i++) {
      int err = ims_pgt_lookup(t->p, &t->machine.tables, in[i], &leaf);
      ASSERT_TRUE(err == 0 || err == IMS_ERR_NOENT) << ims_strerror(err);
      uint64_t now = err ? 0 : leaf.out;
      EXPECT_TRUE(now == before[i] || now == after[i]) << std::hex << in[i] << " leads to " << now;
    }
  }
};

// Whoever looks between two stores finds the old translation or the new one.
TEST_P(Build, EachStoreLeavesOldOrNew) {
  Watch watch = {this, {}, {}, {}};
  ims_pgt_mem quiet = mem;
  mem.ctx = &watch;
  mem.load64 = [](void *ctx, uint64_t a, uint64_t *v) -> int {
    return ims_mem_load64(&static_cast<Watch *>(ctx)->t->machine.mem, a, v);
  };
  mem.store64 = [](void *ctx, uint64_t a, uint64_t v) -> int {
    auto *w = static_cast<Watch *>(ctx);
    int err = ims_mem_store64(&w->t->machine.mem, a, v);
    w->look();
    return err;
  };
  mem.cas64 = [](void *ctx, uint64_t a, uint64_t old, uint64_t desired, uint64_t *seen) -> int {
    auto *w = static_cast<Watch *>(ctx);
    int err = ims_mem_cas64(&w->t->machine.mem, a, old, desired, seen);
    w->look();
    return err;
  };
  mem.alloc = [](void *ctx, unsigned n, uint64_t *a) -> int {
    return ims_page_pool_alloc(&static_cast<Watch *>(ctx)->t->machine.pool, n, a);
  };
  mem.free = [](void *ctx, uint64_t a, unsigned n) {
    // A page that is given up is no longer reached: what is in it does not matter any more.
    auto *w = static_cast<Watch *>(ctx);
    EXPECT_EQ(ims_mem_fill(&w->t->machine.mem, a, 0xff, 1ull << n), 0);
    ims_page_pool_free(&w->t->machine.pool, a, n);
    w->look();
  };

  watch.in = {4 * GB - 4 * KB, 4 * GB, 4 * GB + 4 * KB, 4 * GB + 8 * KB, 4 * GB + 2 * MB, 5 * GB - 1};
  watch.before = {0, 0, 0, 0, 0, 0};
  watch.after = {0, 8 * GB, 8 * GB + 4 * KB, 8 * GB + 8 * KB, 8 * GB + 2 * MB, 9 * GB - 1};
  ASSERT_EQ(map(4 * GB, 8 * GB, 1 * GB), 0);
  watch.before = watch.after;
  watch.after[2] = 0;
  ASSERT_EQ(unmap(4 * GB + 4 * KB, 4 * KB), 0);
  watch.before = watch.after;
  ASSERT_EQ(ims_pgt_protect(p, &mem, 4 * GB + 2 * MB, 4 * KB, kRO, nullptr), 0);
  watch.after = {0, 0, 0, 0, 0, 0};
  ASSERT_EQ(unmap(4 * GB, 1 * GB), 0);
  EXPECT_GT(watch.looks, 1500u) << "two tables were filled under observation";
  mem = quiet;
  EXPECT_EQ(tables(), 1u);
}

// Hardware writes while software splits or changes rights: the bit must not get lost.
TEST_P(Build, DirtyBitThatArrivesMeanwhileSurvives) {
  uint64_t dirty = first() ? IMS_FS_D : IMS_SS_D;
  struct Racer {
    Table *t;
    uint64_t bit;
    int races;
  } racer = {this, dirty, 0};
  ims_pgt_mem quiet = mem;
  mem.ctx = &racer;
  mem.load64 = [](void *ctx, uint64_t a, uint64_t *v) -> int {
    return ims_mem_load64(&static_cast<Racer *>(ctx)->t->machine.mem, a, v);
  };
  mem.store64 = [](void *ctx, uint64_t a, uint64_t v) -> int {
    return ims_mem_store64(&static_cast<Racer *>(ctx)->t->machine.mem, a, v);
  };
  mem.cas64 = [](void *ctx, uint64_t a, uint64_t old, uint64_t desired, uint64_t *seen) -> int {
    auto *r = static_cast<Racer *>(ctx);
    if (r->races++ == 0)
      r->t->machine.store(a, r->t->machine.load(a) | r->bit);
    return ims_mem_cas64(&r->t->machine.mem, a, old, desired, seen);
  };
  mem.alloc = [](void *ctx, unsigned n, uint64_t *a) -> int {
    return ims_page_pool_alloc(&static_cast<Racer *>(ctx)->t->machine.pool, n, a);
  };
  mem.free = [](void *ctx, uint64_t a, unsigned n) {
    ims_page_pool_free(&static_cast<Racer *>(ctx)->t->machine.pool, a, n);
  };
  ims_pgt_leaf leaf;
  ASSERT_EQ(map(4 * GB, 8 * GB, 2 * MB), 0);
  ASSERT_EQ(unmap(4 * GB, 4 * KB), 0);
  EXPECT_EQ(racer.races, 2);
  ASSERT_EQ(lookup(4 * GB + 4 * KB, &leaf), 0);
  EXPECT_EQ(leaf.entry & dirty, dirty);
  EXPECT_EQ(tables(), levels());

  ASSERT_EQ(map(6 * GB, 8 * GB, 4 * KB), 0);
  racer.races = 0;
  ASSERT_EQ(ims_pgt_protect(p, &mem, 6 * GB, 4 * KB, kRO, nullptr), 0);
  EXPECT_EQ(racer.races, 2);
  ASSERT_EQ(lookup(6 * GB, &leaf), 0);
  EXPECT_EQ(leaf.entry & dirty, dirty);
  EXPECT_EQ(leaf.perm & IMS_PERM_W, 0u);
  mem = quiet;
}

// Random maps, unmaps and changes of rights against a map of pages.
TEST_P(Build, RandomEditsAgreeWithAMapOfPages) {
  struct Page {
    uint64_t out;
    bool writable;
  };
  constexpr uint64_t kWindow = 1 * GB - 8 * MB; // 16 MB around a border of 1 GB
  constexpr uint64_t kPages = 16 * MB / (4 * KB);
  std::mt19937_64 random(12 + levels() + (first() ? 100 : 0));
  std::map<uint64_t, Page> model;
  for (int step = 0; step < 1500; step++) {
    uint64_t unit = random() % 3 ? 1 : 512;
    uint64_t pages = (1 + random() % 4) * unit * (random() % 2 ? 1 : 1 + random() % 3);
    uint64_t at = random() % (kPages / unit) * unit;
    pages = std::min(pages, kPages - at);
    uint64_t in = kWindow + at * 4 * KB, size = pages * 4 * KB;
    switch (random() % 4) {
    case 0:
    case 1: {
      bool writable = random() % 2;
      uint64_t target = 2 * GB + random() % 64 * 2 * MB + (random() % 2 ? at % 512 * 4 * KB : 0);
      auto it = model.lower_bound(in);
      bool taken = it != model.end() && it->first < in + size;
      uint64_t used = tables();
      ASSERT_EQ(map(in, target, size, writable ? kRW : kRO, 0, static_cast<unsigned>(random() % 4)),
                taken ? IMS_ERR_EXIST : 0);
      if (taken) {
        ASSERT_EQ(tables(), used);
        break;
      }
      for (uint64_t i = 0; i < size; i += 4 * KB)
        model[in + i] = {target + i, writable};
      break;
    }
    case 2: {
      auto from = model.lower_bound(in), to = model.lower_bound(in + size);
      uint64_t mapped = static_cast<uint64_t>(std::distance(from, to)) * 4 * KB;
      ims_pgt_gather g = {};
      ASSERT_EQ(unmap(in, size, random() % 3 ? 0 : IMS_UNMAP_KEEP, &g), 0);
      ASSERT_EQ(g.unmapped, mapped);
      model.erase(from, to);
      break;
    }
    default: {
      bool writable = random() % 2;
      uint64_t want = 0, changed;
      for (auto it = model.lower_bound(in); it != model.end() && it->first < in + size; ++it) {
        want += it->second.writable != writable ? 4 * KB : 0;
        it->second.writable = writable;
      }
      ASSERT_EQ(ims_pgt_protect(p, &mem, in, size, writable ? kRW : kRO, &changed), 0);
      ASSERT_EQ(changed, want);
    }
    }
    if (step % 50 != 49)
      continue;
    std::map<uint64_t, Page> found;
    uint64_t linked = 1;
    for (const ims_pgt_visit &v : list()) {
      linked += v.kind == IMS_PTE_TABLE;
      for (uint64_t i = 0; v.kind == IMS_PTE_LEAF && i < v.size; i += 4 * KB)
        found[v.in + i] = {v.out + i, (v.perm & IMS_PERM_W) != 0};
    }
    ASSERT_EQ(linked, tables());
    ASSERT_EQ(found.size(), model.size());
    for (auto a = model.begin(), b = found.begin(); a != model.end(); ++a, ++b) {
      ASSERT_EQ(a->first, b->first);
      ASSERT_EQ(a->second.out, b->second.out);
      ASSERT_EQ(a->second.writable, b->second.writable);
    }
  }
  ASSERT_EQ(unmap(kWindow, 16 * MB), 0);
  EXPECT_EQ(tables(), 1u) << "empty tables are found, also those that were kept";
}

INSTANTIATE_TEST_SUITE_P(Formats, Build,
                         testing::Values(Format{"FS4", true, 4}, Format{"FS5", true, 5}, Format{"SS3", false, 3},
                                         Format{"SS4", false, 4}, Format{"SS5", false, 5}),
                         [](const auto &param) { return std::string(param.param.name); });

TEST(BuildSecondStage, SplitWithoutTwoMegabytePages) {
  Table t(false, 4);
  ims_vtd_ss_format(&t.two->format, 46, false, true, true, false);
  ASSERT_EQ(t.map(4 * GB, 8 * GB, 1 * GB), 0);
  ASSERT_EQ(t.shift(4 * GB), 30u);
  ASSERT_EQ(t.unmap(4 * GB, 4 * KB), 0);
  EXPECT_EQ(t.out(4 * GB), 0u);
  EXPECT_EQ(t.shift(4 * GB + 4 * KB), 12u);
  EXPECT_EQ(t.out(5 * GB - 1), 9 * GB - 1);
  EXPECT_EQ(t.tables(), 4 + 511u);
}

TEST(BuildFirstStage, PatMovesWithTheLeaf) {
  Table t(true, 4);
  ASSERT_EQ(t.map(4 * GB, 8 * GB, 1 * GB), 0);
  ims_pgt_leaf leaf;
  ASSERT_EQ(t.lookup(4 * GB, &leaf), 0);
  t.machine.store(leaf.entry_addr, leaf.entry | 1 << 12 | 1 << 4 | 1ull << 55);
  ASSERT_EQ(t.unmap(4 * GB, 4 * KB), 0);
  ASSERT_EQ(t.lookup(4 * GB + 4 * KB, &leaf), 0);
  EXPECT_EQ(leaf.entry, (8 * GB + 4 * KB) | 1ull << 55 | 1 << 7 | 1 << 4 | 7) << "4 KB: bit 7";
  ASSERT_EQ(t.lookup(4 * GB + 2 * MB, &leaf), 0);
  EXPECT_EQ(leaf.entry, (8 * GB + 2 * MB) | 1ull << 55 | 1 << 12 | 1 << 7 | 1 << 4 | 7) << "2 MB: bit 12, beside PS";
}

TEST(BuildSecondStage, ExecuteWhereTheFormatKnowsIt) {
  Table t(false, 4);
  ims_vtd_ss_format(&t.two->format, 46, true, true, true, true);
  t.two->pgt.flags |= IMS_PGT_EXEC;
  ims_pgt_leaf leaf;
  ASSERT_EQ(t.map(0x3000, 0x3000, 4 * KB, IMS_PERM_X), 0);
  ASSERT_EQ(t.lookup(0x3000, &leaf), 0);
  EXPECT_EQ(leaf.entry, 0x3004u);
  EXPECT_EQ(leaf.perm & (IMS_PERM_R | IMS_PERM_W | IMS_PERM_X), unsigned(IMS_PERM_X));
  ASSERT_EQ(ims_pgt_protect(t.p, &t.mem, 0x3000, 4 * KB, IMS_PERM_R, nullptr), 0);
  ASSERT_EQ(t.lookup(0x3000, &leaf), 0);
  EXPECT_EQ(leaf.entry, 0x3001u);
}

TEST(Create, ChecksTheStage) {
  Machine m(4 * MB, 1 * MB, 1 * MB);
  ims_pgt_format f;
  ims_x86_fs_format(&f, 46, true, false);
  ims_pgt p = {};
  EXPECT_EQ(ims_pgt_create(&p, &m.tables), IMS_ERR_INVAL) << "no format";
  p.fmt = &f;
  p.in_bits = 48;
  EXPECT_EQ(ims_pgt_create(&p, &m.tables), IMS_ERR_INVAL) << "no levels";
  p.levels = 6;
  EXPECT_EQ(ims_pgt_create(&p, &m.tables), IMS_ERR_INVAL);
  p.levels = 4;
  p.in_bits = 57;
  EXPECT_EQ(ims_pgt_create(&p, &m.tables), IMS_ERR_INVAL) << "wider than its levels";
  EXPECT_EQ(m.pool.in_use, 0u);
  p.in_bits = 48;
  EXPECT_EQ(ims_pgt_create(&p, &m.tables), 0);
  EXPECT_EQ(p.root, 1 * MB);
  ims_pgt_destroy(&p, &m.tables);
  EXPECT_EQ(m.pool.in_use, 0u);
}

TEST(Create, TablesMustLieWhereEntriesCanPoint) {
  Machine m(4 * MB, 1 * MB, 1 * MB);
  ASSERT_EQ(ims_mem_add_ram(&m.mem, 1ull << 40, 1 * MB), 0);
  ims_page_pool high;
  ASSERT_EQ(ims_page_pool_init(&high, &m.mem, 1ull << 40, 1 * MB), 0);
  ims_pgt_mem mem = ims_page_pool_pgt_mem(&high);
  ims_pgt_format f;
  ims_x86_fs_format(&f, 39, true, false);
  ims_pgt p = {};
  p.fmt = &f;
  p.levels = 4;
  p.in_bits = 48;
  EXPECT_EQ(ims_pgt_create(&p, &mem), IMS_ERR_RANGE);
  EXPECT_EQ(high.in_use, 0u);
  ims_page_pool_fini(&high);
}

} // namespace
