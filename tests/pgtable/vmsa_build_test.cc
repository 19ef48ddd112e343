// SPDX-License-Identifier: Apache-2.0
// Builders of VMSAv8-64 tables: every granule, both stages, both sides, 48 and 52 bits.
#include "tests/pgtable/vmsa_stage.h"

#include <map>
#include <random>

namespace {

using namespace vmsa;

class VmsaBuild : public testing::TestWithParam<Spec>, public Stage {
protected:
  VmsaBuild() : Stage(GetParam()), P(page()), B(size(2)) {}
  uint64_t in(uint64_t offset) const { return base() + offset; }

  const uint64_t P, B; // bytes of a page, and of a block one level up
};

TEST_P(VmsaBuild, OnePage) {
  uint64_t to = target() + 5 * P;
  ASSERT_EQ(map(in(7 * B + 3 * P), to, P), 0);
  EXPECT_EQ(tables(), pgt.levels);
  EXPECT_EQ(out(in(7 * B + 3 * P + 0x678)), to + 0x678);
  EXPECT_EQ(out(in(7 * B + 3 * P - 1)), 0u);
  EXPECT_EQ(out(in(7 * B + 4 * P)), 0u);
  ims_pgt_leaf l = leaf(in(7 * B + 3 * P));
  EXPECT_EQ(l.shift, page_bits());
  EXPECT_EQ(l.level, 1);
  EXPECT_EQ(load(l.entry_addr), l.entry);
  uint64_t word = address_bits(to) | 3 | (has_sh() ? 3u << 8 : 0u);
  if (spec.second)
    word |= 15u << 2 | 3u << 6 | (spec.xnx ? 1ull << 53 : 0u);
  else
    word |= 1u << 6 | (spec.one_el ? 0u : 1ull << 53);
  EXPECT_EQ(l.entry, word);
  unsigned exec = spec.one_el || (spec.second && !spec.xnx) ? IMS_PERM_X | IMS_PERM_PX : IMS_PERM_X;
  EXPECT_EQ(l.perm, IMS_PERM_R | IMS_PERM_W | IMS_PERM_U | exec);
  EXPECT_EQ(lookup(in(7 * B + 4 * P), &l), IMS_ERR_NOENT);
}

TEST_P(VmsaBuild, TableDescriptorsHoldTheirAddressAndNothingElse) {
  ASSERT_EQ(map(in(B), target(), P), 0);
  uint64_t table = pgt.root;
  for (unsigned level = pgt.levels; level > 1; level--) {
    uint64_t next = 0;
    for (const ims_pgt_visit &v : list())
      if (v.kind == IMS_PTE_TABLE && v.level == level)
        next = v.out;
    EXPECT_EQ(next & (P - 1), 0u) << "aligned to the granule";
    EXPECT_EQ(load(table + B / size(level) * 8), address_bits(next) | 3) << "level " << level;
    table = next;
  }
}

TEST_P(VmsaBuild, LargestLeafThatFits) {
  // A page, then one block of each size downwards, then a page.
  unsigned top = 1;
  while (block_at(top + 1) && top + 1 <= pgt.levels && size(top + 1) * 2 < 1ull << spec.in_bits &&
         size(top + 1) * 4 <= 1ull << (spec.out_bits - 1))
    top++;
  uint64_t start = in(size(top)) - P, bytes = P;
  for (unsigned level = top; level > 0; level--)
    bytes += size(level);
  uint64_t delta = target() + size(top) - in(size(top));
  ASSERT_EQ(map(start, start + delta, bytes), 0);
  uint64_t at = start + P;
  EXPECT_EQ(level(start), 1u);
  for (unsigned l = top; l > 0; at += size(l), l--) {
    EXPECT_EQ(level(at), l);
    EXPECT_EQ(level(at + size(l) - 1), l);
    EXPECT_EQ(out(at), at + delta);
    EXPECT_EQ(out(at + size(l) - 1), at + size(l) - 1 + delta);
    EXPECT_EQ(leaf(at).entry & 3, l == 1 ? 3u : 1u) << "page or block";
  }
  EXPECT_EQ(out(at), 0u);
}

TEST_P(VmsaBuild, LeafIsBoundByOutputAlignmentAndByTheCaller) {
  ASSERT_EQ(map(in(B), target() + P, B), 0);
  EXPECT_EQ(level(in(B)), 1u) << "the output is aligned to a page only";
  EXPECT_EQ(out(in(2 * B - 1)), target() + P + B - 1);
  ASSERT_EQ(map(in(2 * B), target(), B, kRW, 0, 1), 0);
  EXPECT_EQ(level(in(2 * B)), 1u);
  ASSERT_EQ(map(in(3 * B), target(), B), 0);
  EXPECT_EQ(level(in(3 * B)), 2u);
}

TEST_P(VmsaBuild, NoBlockAboveThoseOfTheFormat) {
  unsigned top = 1;
  while (block_at(top))
    top++;
  if (top > pgt.levels || size(top) >= 1ull << spec.in_bits || size(top) > target())
    GTEST_SKIP() << "nothing above fits the input or the output";
  ASSERT_EQ(map(in(0), target(), size(top)), 0);
  EXPECT_EQ(level(in(0)), top - 1);
  EXPECT_EQ(level(in(size(top) - 1)), top - 1);
}

TEST_P(VmsaBuild, EndsOfTheAddressSpace) {
  uint64_t end = last() & ~(P - 1);
  ASSERT_EQ(map(base(), target(), P), 0);
  ASSERT_EQ(map(end, target() + P, P), 0);
  EXPECT_EQ(out(base() + 5), target() + 5);
  EXPECT_EQ(out(last()), target() + 2 * P - 1);
  ims_pgt_leaf l;
  EXPECT_EQ(map(end, target(), 2 * P), IMS_ERR_RANGE);
  EXPECT_EQ(map(base() - P, target(), P), IMS_ERR_RANGE);
  EXPECT_EQ(map(last() + 1, target(), P), IMS_ERR_RANGE);
  EXPECT_EQ(unmap(last() + 1, P), IMS_ERR_RANGE);
  EXPECT_EQ(lookup(base() - 1, &l), IMS_ERR_RANGE);
  EXPECT_EQ(lookup(last() + 1, &l), IMS_ERR_RANGE);
  EXPECT_EQ(list().size(), 2u + (tables() - 1));
  EXPECT_EQ(unmap(end, P), 0);
  EXPECT_EQ(out(last()), 0u);
  EXPECT_EQ(out(base()), target());
}

TEST_P(VmsaBuild, WrongArguments) {
  uint64_t before = hash(), to = target();
  EXPECT_EQ(map(in(P + 1), to, P), IMS_ERR_INVAL);
  EXPECT_EQ(map(in(P), to + P / 2, P), IMS_ERR_INVAL);
  EXPECT_EQ(map(in(P), to, 0), IMS_ERR_INVAL);
  EXPECT_EQ(map(in(P), to, P / 2), IMS_ERR_INVAL) << "less than the granule";
  EXPECT_EQ(map(in(P), to, P, 64), IMS_ERR_INVAL);
  EXPECT_EQ(map(in(P), to, P, kRW, 1u << 20), IMS_ERR_INVAL);
  EXPECT_EQ(map(in(P), 1ull << spec.out_bits, P), IMS_ERR_RANGE) << "beyond the width of addresses";
  EXPECT_EQ(map(in(P), (1ull << spec.out_bits) - P, 2 * P), IMS_ERR_RANGE);
  EXPECT_EQ(map(in(P), (1ull << spec.out_bits) - P, P), 0) << "the last page there is";
  EXPECT_EQ(out(in(P)), (1ull << spec.out_bits) - P);
  EXPECT_EQ(unmap(in(P), P), 0);
  EXPECT_EQ(map(in(P), ~0ull - P + 1, 2 * P), IMS_ERR_RANGE);
  EXPECT_EQ(map(in(P), to, P, kRW, IMS_MAP_SNP), IMS_ERR_UNSUP);
  EXPECT_EQ(map(in(P), to, P, kRW, IMS_MAP_EA), IMS_ERR_UNSUP);
  if (spec.second) {
    EXPECT_EQ(map(in(P), to, P, kRW, IMS_MAP_NG), IMS_ERR_UNSUP);
  } else {
    EXPECT_EQ(map(in(P), to, P, kRW, IMS_MAP_ATTR(8)), IMS_ERR_UNSUP) << "MAIR has eight bytes";
    EXPECT_EQ(map(in(P), to, P, IMS_PERM_W), IMS_ERR_UNSUP) << "reading cannot be refused";
    EXPECT_EQ(protect(in(P), P, 0), IMS_ERR_UNSUP);
  }
  EXPECT_EQ(unmap(in(P), P, 128), IMS_ERR_INVAL);
  EXPECT_EQ(unmap(in(P / 2), P), IMS_ERR_INVAL);
  EXPECT_EQ(protect(in(P), P, 64), IMS_ERR_INVAL);
  EXPECT_EQ(hash(), before);
  EXPECT_EQ(tables(), 1u);
}

TEST_P(VmsaBuild, OverlapLeavesNothingBehind) {
  ASSERT_EQ(map(in(2 * B), target(), B), 0);
  ASSERT_EQ(map(in(4 * B + 5 * P), target(), P), 0);
  uint64_t before = hash(), used = tables();
  EXPECT_EQ(map(in(0), target(), 2 * B + P), IMS_ERR_EXIST) << "meets a block at its end";
  EXPECT_EQ(map(in(4 * B), target(), B), IMS_ERR_EXIST) << "would cover a table";
  EXPECT_EQ(map(in(4 * B + 5 * P), target(), P), IMS_ERR_EXIST);
  EXPECT_EQ(map(in(2 * B + P), target(), P), IMS_ERR_EXIST) << "inside a block";
  EXPECT_EQ(hash(), before);
  EXPECT_EQ(tables(), used);
}

TEST_P(VmsaBuild, AddressesBeyondTheOutputSizeAreInTheWay) {
  ASSERT_EQ(map(in(B), target(), P), 0);
  ims_pgt_leaf l = leaf(in(B));
  pgt.out_bits--;
  EXPECT_EQ(lookup(in(B), &l), IMS_ERR_FORMAT);
  EXPECT_EQ(map(in(B), P, P), IMS_ERR_EXIST);
  EXPECT_EQ(unmap(in(B), P), IMS_ERR_FORMAT);
  EXPECT_EQ(protect(in(B), P, kRO), IMS_ERR_FORMAT);
  pgt.out_bits++;
  EXPECT_EQ(unmap(in(B), P), 0);
}

TEST_P(VmsaBuild, FullPoolLeavesNothingBehind) {
  // Room for the tables of one branch; two take one more, or all of them again.
  std::vector<uint64_t> taken;
  uint64_t hpa;
  while (ims_page_pool_alloc(&pool, page_bits(), &hpa) == 0)
    taken.push_back(hpa);
  for (unsigned i = 1; i < pgt.levels; i++, taken.pop_back())
    ASSERT_EQ(ims_page_pool_free(&pool, taken.back(), page_bits()), 0);
  uint64_t before = hash(), used = pool.in_use;
  EXPECT_EQ(map(in(B)-P, target(), 2 * P), IMS_ERR_NOSPACE) << "two branches";
  EXPECT_EQ(pool.in_use, used);
  EXPECT_EQ(out(in(B)), 0u);
  EXPECT_EQ(map(in(B), target(), P), 0) << "one branch fits";
  EXPECT_EQ(unmap(in(B), P), 0);
  EXPECT_EQ(pool.in_use, used);
  EXPECT_EQ(hash(), before);
  for (uint64_t at : taken)
    EXPECT_EQ(ims_page_pool_free(&pool, at, page_bits()), 0);
}

TEST_P(VmsaBuild, AbsentTableIsABusError) {
  ASSERT_EQ(map(in(B), target(), P), 0);
  ims_pgt_leaf l = leaf(in(B));
  uint64_t table = l.entry_addr & ~(P - 1);
  ASSERT_EQ(ims_mem_remove(&memory, table, P), 0);
  EXPECT_EQ(lookup(in(B), &l), IMS_ERR_BUS);
  EXPECT_EQ(map(in(B + P), target(), P), IMS_ERR_BUS);
  EXPECT_EQ(unmap(in(B), P), IMS_ERR_BUS);
}

TEST_P(VmsaBuild, UnmapGivesBackWhatMapTook) {
  uint64_t before = hash();
  ASSERT_EQ(map(in(B - P), target() + B - P, 3 * B + 3 * P), 0);
  ims_pgt_gather g = {};
  ASSERT_EQ(unmap(in(0), 6 * B, 0, &g), 0);
  EXPECT_EQ(g.unmapped, 3 * B + 3 * P);
  EXPECT_EQ(tables(), 1u);
  EXPECT_GT(g.tables, 1u);
  EXPECT_EQ(hash(), before);
}

TEST_P(VmsaBuild, UnmapKeepsTablesIfAsked) {
  ASSERT_EQ(map(in(B), target(), P), 0);
  ims_pgt_gather g = {};
  ASSERT_EQ(unmap(in(B), P, IMS_UNMAP_KEEP, &g), 0);
  EXPECT_EQ(g.unmapped, P);
  EXPECT_EQ(g.tables, 0u);
  EXPECT_EQ(tables(), pgt.levels);
  ASSERT_EQ(map(in(B), target(), B), 0);
  EXPECT_EQ(level(in(B)), 1u) << "the table stands there already";
  EXPECT_EQ(out(in(2 * B - 1)), target() + B - 1);
  EXPECT_EQ(tables(), pgt.levels);
}

TEST_P(VmsaBuild, UnlinkedTablesGoToTheReaper) {
  ASSERT_EQ(map(in(B), target(), P), 0);
  struct Seen {
    VmsaBuild *t;
    std::vector<uint64_t> pages;
  } seen = {this, {}};
  ims_pgt_gather g = {};
  g.ctx = &seen;
  g.reap = [](void *ctx, uint64_t table, unsigned log2size) {
    auto *s = static_cast<Seen *>(ctx);
    EXPECT_EQ(log2size, s->t->page_bits());
    for (const ims_pgt_visit &v : s->t->list())
      EXPECT_NE(v.out, table) << "still linked";
    s->pages.push_back(table);
  };
  std::vector<uint64_t> deepest_first;
  for (const ims_pgt_visit &v : list())
    if (v.kind == IMS_PTE_TABLE)
      deepest_first.insert(deepest_first.begin(), v.out);
  ASSERT_EQ(unmap(in(B), P, 0, &g), 0);
  EXPECT_EQ(seen.pages, deepest_first);
  EXPECT_EQ(g.tables, pgt.levels - 1u);
  EXPECT_EQ(tables(), pgt.levels) << "nothing was freed yet";
  for (uint64_t at : seen.pages)
    EXPECT_EQ(ims_page_pool_free(&pool, at, page_bits()), 0);
}

TEST_P(VmsaBuild, UnmapSplitsABlock) {
  ASSERT_EQ(map(in(B), target(), B, kRO, IMS_MAP_A | IMS_MAP_ATTR(5) | (spec.second ? 0u : unsigned(IMS_MAP_NG))), 0);
  ims_pgt_leaf was = leaf(in(B));
  ASSERT_EQ(was.level, 2);
  ims_pgt_gather g = {};
  ASSERT_EQ(unmap(in(B + 3 * P), 2 * P, 0, &g), 0);
  EXPECT_EQ(g.unmapped, 2 * P);
  EXPECT_EQ(g.tables, 0u);
  EXPECT_EQ(level(in(B)), 1u);
  EXPECT_EQ(out(in(B + 3 * P - 1)), target() + 3 * P - 1);
  EXPECT_EQ(out(in(B + 3 * P)), 0u);
  EXPECT_EQ(out(in(B + 5 * P)), target() + 5 * P);
  EXPECT_EQ(out(in(2 * B - 1)), target() + B - 1);
  ims_pgt_leaf l = leaf(in(B + 5 * P));
  EXPECT_EQ(l.entry & ~(address_bits(target() + 5 * P) | 2), was.entry & ~address_bits(target()))
      << "all attributes go along";
  EXPECT_EQ(l.entry & 3, 3u) << "a page";
}

TEST_P(VmsaBuild, SplitOfALargeBlockGoesDownLevelByLevel) {
  if (!block_at(3) || pgt.levels < 3 || size(3) >= 1ull << spec.in_bits || size(3) > target())
    GTEST_SKIP() << "no larger block";
  ASSERT_EQ(map(in(0), target(), size(3)), 0);
  ASSERT_EQ(level(in(0)), 3u);
  ASSERT_EQ(unmap(in(5 * B + P), P), 0);
  EXPECT_EQ(level(in(0)), 2u);
  EXPECT_EQ(level(in(5 * B)), 1u);
  EXPECT_EQ(out(in(5 * B + P)), 0u);
  EXPECT_EQ(out(in(size(3) - 1)), target() + size(3) - 1);
  EXPECT_EQ(leaf(in(B)).entry & 3, 1u);
}

TEST_P(VmsaBuild, SplitThatFindsNoRoomChangesNothing) {
  ASSERT_EQ(map(in(B), target(), B), 0);
  std::vector<uint64_t> taken;
  uint64_t hpa;
  while (ims_page_pool_alloc(&pool, page_bits(), &hpa) == 0)
    taken.push_back(hpa);
  uint64_t before = hash();
  EXPECT_EQ(unmap(in(B), P), IMS_ERR_NOSPACE);
  EXPECT_EQ(hash(), before);
  for (uint64_t at : taken)
    ims_page_pool_free(&pool, at, page_bits());
}

TEST_P(VmsaBuild, ProtectChangesRightsAndNothingElse) {
  ASSERT_EQ(map(in(B), target(), B, kRW, IMS_MAP_A | IMS_MAP_ATTR(3)), 0);
  ASSERT_EQ(map(in(3 * B), target(), P), 0);
  uint64_t changed;
  ASSERT_EQ(protect(in(B + P), 3 * B, kRO, &changed), 0);
  EXPECT_EQ(changed, B - P + P);
  EXPECT_TRUE(leaf(in(B)).perm & IMS_PERM_W) << "outside the range";
  ims_pgt_leaf l = leaf(in(B + P));
  EXPECT_FALSE(l.perm & IMS_PERM_W);
  EXPECT_EQ(l.out, target() + P);
  uint64_t word = address_bits(target() + P) | 3 | 3u << 2 | 1u << 10 | (has_sh() ? 3u << 8 : 0u);
  word |= spec.second ? 1u << 6 | (spec.xnx ? 1ull << 53 : 0) : 3u << 6 | (spec.one_el ? 0 : 1ull << 53);
  EXPECT_EQ(l.entry, word);
  EXPECT_FALSE(leaf(in(3 * B)).perm & IMS_PERM_W);
  ASSERT_EQ(protect(in(B), B, kRO, &changed), 0);
  EXPECT_EQ(changed, P) << "the rest was so already";
}

// D8.4.1.2, D8.4.2: the bits that say each set of rights.
TEST_P(VmsaBuild, RightsAsBits) {
  enum { R = IMS_PERM_R, W = IMS_PERM_W, X = IMS_PERM_X, U = IMS_PERM_U, PX = IMS_PERM_PX };
  struct Row {
    unsigned perm;
    uint64_t ap, xn; // bits 7:6, bits 54:53
  };
  const std::vector<Row> two_levels = {
      {R, 2, 3},      {R | W, 0, 3}, {R | U, 3, 3},          {R | W | U, 1, 3},  {R | U | X, 3, 1},
      {R | PX, 2, 2}, {R | X, 2, 1}, {R | U | X | PX, 3, 0}, {R | W | PX, 0, 2}, {IMS_PERM_ALL, 1, 0},
  };
  const std::vector<Row> one_level = {
      {R, 3, 2}, {R | W, 1, 2}, {R | X, 3, 0}, {R | W | X, 1, 0}, {R | PX, 3, 2}, {IMS_PERM_ALL, 1, 0},
  };
  const std::vector<Row> stage2 = {
      {0, 0, 2}, {R, 1, 2}, {W, 2, 2}, {R | W, 3, 2}, {X, 0, 0}, {PX, 0, 2}, {R | X, 1, 0}, {IMS_PERM_ALL, 3, 0},
  };
  const std::vector<Row> stage2_xnx = {
      {0, 0, 2}, {R, 1, 2}, {W, 2, 2}, {R | W, 3, 2}, {X, 0, 1}, {PX, 0, 3}, {R | X | PX, 1, 0}, {IMS_PERM_ALL, 3, 0},
  };
  unsigned n = 0;
  for (const Row &row : !spec.second ? spec.one_el ? one_level : two_levels : spec.xnx ? stage2_xnx : stage2) {
    uint64_t at = in(n++ * P);
    ASSERT_EQ(map(at, target(), P, row.perm), 0) << row.perm;
    uint64_t e = leaf(at).entry;
    EXPECT_EQ(e >> 6 & 3, row.ap) << "AP, rights " << row.perm;
    EXPECT_EQ(e >> 53 & 3, row.xn) << "XN, rights " << row.perm;
    EXPECT_EQ(e >> 51 & 1, 0u);
    // The same by a change.
    uint64_t other = in(n++ * P);
    ASSERT_EQ(map(other, target(), P, IMS_PERM_ALL), 0);
    ASSERT_EQ(protect(other, P, row.perm), 0);
    EXPECT_EQ(leaf(other).entry, e);
  }
}

TEST_P(VmsaBuild, AttributesAsBits) {
  uint64_t sh = has_sh() ? 3u << 8 : 0u;
  auto bits = [&](unsigned flags) {
    EXPECT_EQ(map(in(0), target(), P, IMS_PERM_ALL, flags), 0);
    uint64_t e = leaf(in(0)).entry & ~(address_bits(target()) | 3u | 3u << 6);
    EXPECT_EQ(unmap(in(0), P, IMS_UNMAP_KEEP), 0);
    return e;
  };
  uint64_t plain = spec.second ? 15u << 2 : 0u;
  EXPECT_EQ(bits(0), sh | plain);
  EXPECT_EQ(bits(IMS_MAP_A), sh | plain | 1u << 10);
  EXPECT_EQ(bits(IMS_MAP_ATTR(0)), sh);
  EXPECT_EQ(bits(IMS_MAP_ATTR(1)), sh | 1u << 2);
  EXPECT_EQ(bits(IMS_MAP_ATTR(7)), sh | 7u << 2);
  EXPECT_EQ(bits(IMS_MAP_DBM | IMS_MAP_D), sh | plain | 1ull << 51);
  if (!spec.second) {
    EXPECT_EQ(bits(IMS_MAP_NG), sh | 1u << 11);
    return;
  }
  EXPECT_EQ(bits(IMS_MAP_ATTR(10)), sh | 10u << 2);
  pgt.flags |= IMS_PGT_FWB;
  EXPECT_EQ(bits(0), sh | 6u << 2) << "write-back by force";
}

TEST_P(VmsaBuild, TablesAreAccessedWhereHardwareMarksThem) {
  ASSERT_EQ(map(in(0), target(), P, kRW, IMS_MAP_A), 0);
  for (const ims_pgt_visit &v : list())
    EXPECT_EQ(v.entry >> 10 & 1, v.kind == IMS_PTE_LEAF) << "level " << unsigned(v.level);
  ASSERT_EQ(unmap(in(0), P), 0);
  pgt.flags |= IMS_PGT_HAFT;
  ASSERT_EQ(map(in(0), target(), P, kRW, IMS_MAP_A), 0);
  for (const ims_pgt_visit &v : list())
    EXPECT_TRUE(v.entry >> 10 & 1) << "level " << unsigned(v.level);
  ASSERT_EQ(map(in(B), target(), B, kRW, IMS_MAP_A), 0);
  ASSERT_EQ(unmap(in(B), P), 0);
  for (const ims_pgt_visit &v : list(in(B), in(2 * B - 1)))
    EXPECT_TRUE(v.entry >> 10 & 1) << "split, level " << unsigned(v.level);
}

using Reports = std::vector<std::pair<uint64_t, uint64_t>>;

void note(void *ctx, uint64_t in, uint64_t size) { static_cast<Reports *>(ctx)->emplace_back(in, size); }

// D8.5.2: DBM with the right to write is dirty, without it clean.
TEST_P(VmsaBuild, DirtyLeavesAreReportedAndCleaned) {
  pgt.d_bit = spec.second ? IMS_VMSA_S2AP_W : IMS_VMSA_AP2;
  unsigned dirty = IMS_MAP_DBM | IMS_MAP_D | IMS_MAP_A;
  ASSERT_EQ(map(in(B), target(), B, kRW, dirty), 0);
  ASSERT_EQ(map(in(2 * B), target(), P, kRW, dirty), 0);
  ASSERT_EQ(map(in(2 * B + P), target(), P, kRW, IMS_MAP_DBM), 0);
  ASSERT_EQ(map(in(2 * B + 2 * P), target(), P, kRW, IMS_MAP_D), 0) << "written, but nobody would know";
  ASSERT_EQ(map(in(2 * B + 3 * P), target(), P, kRO, 0), 0);
  EXPECT_TRUE(leaf(in(2 * B + P)).perm & IMS_PERM_W) << "clean, and writable";
  Reports seen;
  const Reports both = {{in(B), B}, {in(2 * B), P}};
  ASSERT_EQ(ims_pgt_read_dirty(&pgt, &mem, in(B + P), 4 * B, false, note, &seen), 0);
  EXPECT_EQ(seen, both);
  seen.clear();
  ASSERT_EQ(ims_pgt_read_dirty(&pgt, &mem, in(B + P), 4 * B, true, note, &seen), 0);
  EXPECT_EQ(seen, both) << "reading alone cleans nothing";
  seen.clear();
  ASSERT_EQ(ims_pgt_read_dirty(&pgt, &mem, in(0), 6 * B, true, note, &seen), 0);
  EXPECT_TRUE(seen.empty());
  ims_pgt_leaf l = leaf(in(2 * B));
  EXPECT_EQ(l.entry >> 7 & 1, spec.second ? 0u : 1u);
  EXPECT_TRUE(l.entry >> 51 & 1);
  EXPECT_TRUE(l.entry >> 10 & 1) << "the accessed flag stays";
  EXPECT_TRUE(l.perm & IMS_PERM_W);
  EXPECT_FALSE(leaf(in(2 * B + 3 * P)).perm & IMS_PERM_W);
  pgt.d_bit = 0;
  EXPECT_EQ(ims_pgt_read_dirty(&pgt, &mem, in(0), 4 * B, true, note, &seen), IMS_ERR_UNSUP);
  EXPECT_FALSE(leaf(in(2 * B)).perm & IMS_PERM_W) << "without hardware that records, clean is read-only";
}

TEST_P(VmsaBuild, DirtyStateOutlivesReadOnly) {
  pgt.d_bit = spec.second ? IMS_VMSA_S2AP_W : IMS_VMSA_AP2;
  ASSERT_EQ(map(in(0), target(), P, kRW, IMS_MAP_DBM | IMS_MAP_D), 0);
  ASSERT_EQ(map(in(P), target(), P, kRW, IMS_MAP_DBM), 0);
  ASSERT_EQ(map(in(2 * P), target(), P, kRO, IMS_MAP_DBM), 0);
  uint64_t first = leaf(in(0)).entry, second = leaf(in(P)).entry, third = leaf(in(2 * P)).entry;
  EXPECT_FALSE(leaf(in(2 * P)).perm & IMS_PERM_W);
  uint64_t changed;
  ASSERT_EQ(protect(in(0), 3 * P, kRO, &changed), 0);
  EXPECT_EQ(changed, 2 * P);
  for (unsigned i = 0; i < 3; i++) {
    EXPECT_FALSE(leaf(in(i * P)).perm & IMS_PERM_W);
    EXPECT_FALSE(leaf(in(i * P)).entry >> 51 & 1) << "DBM would make it writable";
  }
  EXPECT_EQ(leaf(in(2 * P)).entry, third);
  Reports seen;
  ASSERT_EQ(ims_pgt_read_dirty(&pgt, &mem, in(0), 3 * P, false, note, &seen), 0);
  EXPECT_EQ(seen, (Reports{{in(0), P}}));
  ASSERT_EQ(protect(in(0), 3 * P, kRW), 0);
  EXPECT_EQ(leaf(in(0)).entry, first);
  EXPECT_EQ(leaf(in(P)).entry, second);
  EXPECT_TRUE(leaf(in(2 * P)).entry >> 51 & 1);
  ASSERT_EQ(protect(in(0), P, kRO), 0);
  seen.clear();
  ASSERT_EQ(ims_pgt_read_dirty(&pgt, &mem, in(0), 3 * P, true, note, &seen), 0);
  EXPECT_EQ(seen, (Reports{{in(0), P}}));
  ASSERT_EQ(protect(in(0), P, kRW), 0);
  EXPECT_EQ(leaf(in(0)).entry & ~(3ull << 6), second & ~(3ull << 6));
  seen.clear();
  ASSERT_EQ(ims_pgt_read_dirty(&pgt, &mem, in(0), 3 * P, false, note, &seen), 0);
  EXPECT_TRUE(seen.empty()) << "it was cleaned while it was read-only";
}

// D8.7.1.
TEST_P(VmsaBuild, RunsGetTheContiguousHint) {
  uint64_t run1 = run(1) * P;
  // A page too much at either side.
  ASSERT_EQ(map(in(2 * run1 - P), target() + 2 * run1 - P, 2 * run1 + 2 * P, kRW, IMS_MAP_CONTIGUOUS, 1), 0);
  EXPECT_FALSE(hinted(in(2 * run1 - P)));
  for (uint64_t at = 2 * run1; at < 4 * run1; at += P)
    EXPECT_TRUE(hinted(in(at))) << at / P;
  EXPECT_FALSE(hinted(in(4 * run1)));
  // Not in line with the output, or not asked for.
  ASSERT_EQ(map(in(B), target() + P, run1, kRW, IMS_MAP_CONTIGUOUS, 1), 0);
  EXPECT_FALSE(hinted(in(B)));
  ASSERT_EQ(map(in(B + run1), target(), run1, kRW, 0, 1), 0);
  EXPECT_FALSE(hinted(in(B + run1)));
  if (run(2) * B * 2 > 1ull << spec.in_bits || run(2) * B > target())
    return;
  uint64_t run2 = run(2) * B;
  ASSERT_EQ(map(in(run2), target(), run2, kRW, IMS_MAP_CONTIGUOUS, 2), 0);
  EXPECT_TRUE(hinted(in(run2)));
  EXPECT_TRUE(hinted(in(2 * run2 - B)));
  EXPECT_EQ(level(in(run2)), 2u);
  ASSERT_EQ(unmap(in(run2), run2), 0);
  // An empty table that stays is no leaf, so the run is none.
  ASSERT_EQ(map(in(run2 + 3 * B), target(), P), 0);
  ASSERT_EQ(unmap(in(run2 + 3 * B), P, IMS_UNMAP_KEEP), 0);
  ASSERT_EQ(map(in(run2), target(), run2, kRW, IMS_MAP_CONTIGUOUS, 2), 0);
  EXPECT_EQ(level(in(run2 + 3 * B)), 1u);
  EXPECT_TRUE(hinted(in(run2 + 3 * B))) << "its pages make a run of their own";
  EXPECT_FALSE(hinted(in(run2)));
  EXPECT_FALSE(hinted(in(2 * run2 - B)));
}

TEST_P(VmsaBuild, ARunLosesItsHintAsAWhole) {
  uint64_t run1 = run(1) * P;
  for (int how = 0; how < 4; how++) {
    ASSERT_EQ(map(in(0), target(), 3 * run1, kRW, IMS_MAP_CONTIGUOUS, 1), 0);
    int err = how == 0   ? unmap(in(run1 + P), P)
              : how == 1 ? protect(in(run1 + P), run1 - P, kRO)
              : how == 2 ? unmap(in(run1), run1 - P)
                         : protect(in(run1), run1, kRO); // the whole run
    ASSERT_EQ(err, 0);
    for (uint64_t at = 0; at < 3 * run1; at += P)
      if (out(in(at))) {
        EXPECT_EQ(hinted(in(at)), how == 3 || at < run1 || at >= 2 * run1) << how << " page " << at / P;
      }
    ASSERT_EQ(unmap(in(0), 3 * run1), 0);
  }
}

TEST_P(VmsaBuild, ARunOfBlocksLosesItsHintWhenOneIsSplit) {
  uint64_t run2 = run(2) * B;
  if (run2 * 2 > 1ull << spec.in_bits || run2 > target())
    GTEST_SKIP() << "no room for a run of blocks";
  ASSERT_EQ(map(in(run2), target(), run2, kRW, IMS_MAP_CONTIGUOUS, 2), 0);
  ASSERT_TRUE(hinted(in(run2)));
  ASSERT_EQ(unmap(in(run2 + B + P), P), 0);
  for (uint64_t at = run2; at < 2 * run2; at += B) {
    EXPECT_FALSE(hinted(in(at)));
    EXPECT_EQ(level(in(at)), at == run2 + B ? 1u : 2u);
  }
}

// D8.5.5: a run is dirty when one of its entries is, and each entry must say so once it stands alone.
TEST_P(VmsaBuild, ARunIsUsedAndDirtyAsAWhole) {
  pgt.d_bit = spec.second ? IMS_VMSA_S2AP_W : IMS_VMSA_AP2;
  uint64_t run1 = run(1) * P, w = 1u << 7;
  ASSERT_EQ(map(in(0), target(), 2 * run1, kRW, IMS_MAP_CONTIGUOUS | IMS_MAP_DBM, 1), 0);
  ims_pgt_leaf l = leaf(in(5 * P));
  uint64_t written = (spec.second ? l.entry | w : l.entry & ~w) | 1u << 10;
  store(l.entry_addr, written);
  Reports seen;
  ASSERT_EQ(ims_pgt_read_dirty(&pgt, &mem, in(7 * P), 2 * P, false, note, &seen), 0);
  EXPECT_EQ(seen, (Reports{{in(0), run1}}));
  seen.clear();
  ASSERT_EQ(ims_pgt_read_dirty(&pgt, &mem, in(0), 2 * run1, true, note, &seen), 0);
  EXPECT_EQ(seen, (Reports{{in(0), run1}})) << "once";
  seen.clear();
  ASSERT_EQ(ims_pgt_read_dirty(&pgt, &mem, in(0), 2 * run1, true, note, &seen), 0);
  EXPECT_TRUE(seen.empty());
  store(l.entry_addr, written);
  ASSERT_EQ(unmap(in(P), P), 0);
  ASSERT_EQ(ims_pgt_read_dirty(&pgt, &mem, in(0), 2 * run1, false, note, &seen), 0);
  EXPECT_EQ(seen.size(), run(1) - 1u) << "page by page";
  for (uint64_t at = 2 * P; at < run1; at += P)
    EXPECT_TRUE(leaf(in(at)).entry >> 10 & 1);
  EXPECT_FALSE(leaf(in(run1)).entry >> 10 & 1) << "the next run is another's";
}

TEST_P(VmsaBuild, IterationIsInAddressOrder) {
  ASSERT_EQ(map(in(5 * B), target(), B), 0);
  ASSERT_EQ(map(in(P), target() + P, P, kRO), 0);
  ASSERT_EQ(map(in(3 * B + 4 * P), target(), P), 0);
  ASSERT_EQ(map(last() - P + 1, target(), P), 0);
  const std::vector<uint64_t> want = {in(P), in(3 * B + 4 * P), in(5 * B), last() - P + 1};
  std::vector<uint64_t> leaves;
  uint64_t linked = 1;
  for (const ims_pgt_visit &v : list()) {
    linked += v.kind == IMS_PTE_TABLE;
    EXPECT_EQ(load(v.entry_addr), v.entry);
    if (v.kind != IMS_PTE_LEAF)
      continue;
    leaves.push_back(v.in);
    EXPECT_EQ(out(v.in), v.out);
    EXPECT_EQ(leaf(v.in).perm, v.perm);
    EXPECT_EQ(1ull << leaf(v.in).shift, v.size);
    EXPECT_EQ(v.perm & IMS_PERM_W, v.in == in(P) ? 0u : unsigned(IMS_PERM_W));
  }
  EXPECT_EQ(leaves, want);
  EXPECT_EQ(linked, tables());
  leaves.clear();
  for (const ims_pgt_visit &v : list(in(3 * B + 4 * P + 5), in(5 * B)))
    if (v.kind == IMS_PTE_LEAF)
      leaves.push_back(v.in);
  EXPECT_EQ(leaves, (std::vector<uint64_t>{in(3 * B + 4 * P), in(5 * B)})) << "what meets the range";
  EXPECT_TRUE(list(in(5), in(4)).empty());
}

// D8.4.1.2: tables restrict what is below them, for the list as for the lookup.
TEST_P(VmsaBuild, HierarchicalAttributesCount) {
  if (spec.second || pgt.levels < 2)
    GTEST_SKIP() << "stage 2 has none";
  ASSERT_EQ(map(in(0), target(), P, IMS_PERM_ALL), 0);
  uint64_t at = 0, e = 0;
  for (const ims_pgt_visit &v : list())
    if (v.kind == IMS_PTE_TABLE && v.level == 2) {
      at = v.entry_addr;
      e = v.entry;
    }
  unsigned all = IMS_PERM_ALL, one = spec.one_el ? 0u : ~0u;
  const struct {
    int bit;
    unsigned lost;
  } rows[] = {
      {59, IMS_PERM_PX & one},
      {60, IMS_PERM_X | (spec.one_el ? unsigned(IMS_PERM_PX) : 0u)},
      {61, IMS_PERM_U & one},
      {62, IMS_PERM_W},
  };
  for (const auto &row : rows) {
    store(at, e | 1ull << row.bit);
    EXPECT_EQ(leaf(in(0)).perm, all & ~row.lost) << "bit " << row.bit;
    for (const ims_pgt_visit &v : list())
      if (v.kind == IMS_PTE_LEAF) {
        EXPECT_EQ(v.perm, all & ~row.lost) << "bit " << row.bit;
      }
    pgt.flags |= IMS_PGT_HAD;
    EXPECT_EQ(leaf(in(0)).perm, all) << "switched off";
    pgt.flags &= ~unsigned(IMS_PGT_HAD);
  }
  store(at, e);
}

TEST_P(VmsaBuild, LookupSeesWhatAWalkWouldRefuse) {
  ASSERT_EQ(map(in(0), target(), P), 0);
  pgt.flags |= IMS_PGT_AF_FAULTS | IMS_PGT_PAN | IMS_PGT_EPAN;
  EXPECT_EQ(out(in(3)), target() + 3) << "AF is clear, and privileged accesses are denied";
}

TEST_P(VmsaBuild, TablesThatPointToThemselvesAreListedWithinBounds) {
  if (pgt.levels < 2 || (pgt.root & (P - 1)))
    GTEST_SKIP() << "the root is no table for others";
  std::vector<uint64_t> saved;
  unsigned n = std::min<unsigned>(entries(), 1u << std::min(spec.in_bits - pgt.fmt->shift[pgt.levels], 20u));
  for (unsigned i = 0; i < n; i++)
    store(pgt.root + 8 * i, address_bits(pgt.root) | 3);
  struct Bound {
    int visits;
    unsigned deepest;
  } bound = {0, 99};
  auto visit = [](void *ctx, const ims_pgt_visit *v) -> int {
    auto *b = static_cast<Bound *>(ctx);
    b->deepest = std::min<unsigned>(b->deepest, v->level);
    return ++b->visits == 5000 ? -1 : 0;
  };
  int end = ims_pgt_iterate(&pgt, &mem, 0, ~0ull, visit, &bound);
  EXPECT_TRUE(end == -1 || bound.visits < 5000);
  EXPECT_EQ(bound.deepest, 1u);
  for (unsigned i = 0; i < n; i++)
    store(pgt.root + 8 * i, 0);
}

// Somebody who translates addresses all the time, and may see what they led to before or after.
struct Watch {
  Stage *t;
  std::vector<uint64_t> in, before, after; // 0: not mapped
  unsigned looks = 0;
  uint64_t raced = 0; // unless 0: at the first compare-and-swap hardware has just made the leaf dirty

  void look() {
    ims_pgt_mem quiet = ims_page_pool_pgt_mem(&t->pool);
    ims_pgt_leaf leaf;
    looks++;
    for (size_t i = 0; i < in.size(); i++) {
      int err = ims_pgt_lookup(&t->pgt, &quiet, in[i], &leaf);
      ASSERT_TRUE(err == 0 || err == IMS_ERR_NOENT) << ims_strerror(err);
      uint64_t now = err ? 0 : leaf.out;
      EXPECT_TRUE(now == before[i] || now == after[i]) << std::hex << in[i] << " leads to " << now;
      // A hint tells the truth about its run at any moment, but for pages that are on their way out or in.
      if (err || !(leaf.entry >> 52 & 1))
        continue;
      uint64_t size = 1ull << leaf.shift, run = size * t->run(leaf.level), first = in[i] & ~(run - 1);
      for (uint64_t at = first; at != first + run; at += size) {
        ims_pgt_leaf other;
        if (ims_pgt_lookup(&t->pgt, &quiet, at, &other) == 0) {
          ASSERT_EQ(other.out - at, leaf.out - in[i]) << "a run that is not contiguous";
        }
      }
    }
  }
};

ims_pgt_mem watched(Watch *watch) {
  ims_pgt_mem m = {};
  m.ctx = watch;
  m.load64 = [](void *ctx, uint64_t a, uint64_t *v) -> int {
    return ims_mem_load64(&static_cast<Watch *>(ctx)->t->memory, a, v);
  };
  m.store64 = [](void *ctx, uint64_t a, uint64_t v) -> int {
    auto *w = static_cast<Watch *>(ctx);
    int err = ims_mem_store64(&w->t->memory, a, v);
    w->look();
    return err;
  };
  m.cas64 = [](void *ctx, uint64_t a, uint64_t old, uint64_t desired, uint64_t *seen) -> int {
    auto *w = static_cast<Watch *>(ctx);
    if (w->raced) {
      uint64_t e = w->t->load(a);
      w->t->store(a, w->t->spec.second ? e | w->raced : e & ~w->raced);
      w->raced = 0;
    }
    int err = ims_mem_cas64(&w->t->memory, a, old, desired, seen);
    w->look();
    return err;
  };
  m.alloc = [](void *ctx, unsigned n, uint64_t *a) -> int {
    return ims_page_pool_alloc(&static_cast<Watch *>(ctx)->t->pool, n, a);
  };
  m.free = [](void *ctx, uint64_t a, unsigned n) {
    // A page that is given up is no longer reached: what is in it does not matter any more.
    auto *w = static_cast<Watch *>(ctx);
    EXPECT_EQ(ims_mem_fill(&w->t->memory, a, 0xff, 1ull << n), 0);
    ims_page_pool_free(&w->t->pool, a, n);
    w->look();
  };
  return m;
}

// Whoever looks between two stores finds the old translation or the new one.
TEST_P(VmsaBuild, EachStoreLeavesOldOrNew) {
  Watch watch = {this, {}, {}, {}};
  ims_pgt_mem quiet = mem;
  mem = watched(&watch);
  uint64_t to = target(), run1 = run(1) * P;
  watch.in = {in(B)-P, in(B), in(B + P), in(B + 2 * P), in(2 * B) - 1, in(2 * B + P), in(2 * B + 2 * P)};
  watch.before = {0, 0, 0, 0, 0, 0, 0};
  watch.after = {0, to, to + P, to + 2 * P, to + B - 1, 0, 0};
  ASSERT_EQ(map(in(B), to, B), 0);
  watch.before = watch.after;
  watch.after[2] = 0;
  ASSERT_EQ(unmap(in(B + P), P), 0) << "splits";
  watch.before = watch.after;
  ASSERT_EQ(protect(in(B + 2 * P), P, kRO, nullptr), 0);
  watch.after = {0, 0, 0, 0, 0, 0, 0};
  ASSERT_EQ(unmap(in(B), B), 0);
  watch.before = watch.after;
  watch.after = {0, 0, 0, 0, 0, to + P, to + 2 * P};
  ASSERT_EQ(map(in(2 * B), to, run1, kRW, IMS_MAP_CONTIGUOUS), 0);
  watch.before = watch.after;
  watch.after[6] = 0;
  ASSERT_EQ(unmap(in(2 * B + 2 * P), P), 0);
  EXPECT_GT(watch.looks, 100u);
  mem = quiet;
}

// Hardware writes while software splits, changes rights or takes hints away: the state must not get lost.
TEST_P(VmsaBuild, DirtyStateThatArrivesMeanwhileSurvives) {
  pgt.d_bit = spec.second ? IMS_VMSA_S2AP_W : IMS_VMSA_AP2;
  Watch watch = {this, {}, {}, {}};
  ims_pgt_mem quiet = mem;
  mem = watched(&watch);
  Reports seen;
  auto dirty = [&](uint64_t at) {
    seen.clear();
    EXPECT_EQ(ims_pgt_read_dirty(&pgt, &quiet, at, P, false, note, &seen), 0);
    return !seen.empty();
  };
  ASSERT_EQ(map(in(B), target(), B, kRW, IMS_MAP_DBM), 0);
  watch.raced = 1u << 7;
  ASSERT_EQ(unmap(in(B), P), 0);
  EXPECT_TRUE(dirty(in(B + P)));
  EXPECT_EQ(tables(), pgt.levels);
  ASSERT_EQ(map(in(2 * B), target(), P, kRW, IMS_MAP_DBM), 0);
  EXPECT_FALSE(dirty(in(2 * B)));
  watch.raced = 1u << 7;
  ASSERT_EQ(protect(in(2 * B), P, kRO), 0);
  EXPECT_TRUE(dirty(in(2 * B)));
  EXPECT_FALSE(leaf(in(2 * B)).perm & IMS_PERM_W);
  uint64_t run1 = run(1) * P;
  ASSERT_EQ(map(in(3 * B), target(), run1, kRW, IMS_MAP_DBM | IMS_MAP_CONTIGUOUS, 1), 0);
  watch.raced = 1u << 7;
  ASSERT_EQ(unmap(in(3 * B + 2 * P), P), 0);
  EXPECT_TRUE(dirty(in(3 * B)));
  EXPECT_TRUE(dirty(in(3 * B + 5 * P))) << "the run was dirty as a whole";
  mem = quiet;
}

// Random maps, unmaps and changes of rights against a map of pages.
TEST_P(VmsaBuild, RandomEditsAgreeWithAMapOfPages) {
  struct Page {
    uint64_t out;
    bool writable;
  };
  const uint64_t blocks = 4, pages_in_block = B / P, all = blocks * pages_in_block;
  const uint64_t window = in(2 * B);
  std::mt19937_64 random(100 * spec.in_bits + 10u * spec.granule + spec.second);
  std::map<uint64_t, Page> model;
  for (int step = 0; step < 300; step++) {
    uint64_t unit = random() % 4 == 0 ? pages_in_block : random() % 2 ? run(1) : 1;
    uint64_t pages = (1 + random() % 4) * unit * (random() % 2 ? 1 : 1 + random() % 3);
    uint64_t at = random() % (all / unit) * unit;
    pages = std::min(pages, all - at);
    uint64_t from = window + at * P, bytes = pages * P;
    switch (random() % 4) {
    case 0:
    case 1: {
      bool writable = random() % 2;
      uint64_t to = target() + random() % 8 * B + (random() % 2 ? at % pages_in_block * P : 0);
      auto it = model.lower_bound(from);
      bool taken = it != model.end() && it->first < from + bytes;
      uint64_t used = tables();
      ASSERT_EQ(map(from, to, bytes, writable ? kRW : kRO, random() % 4 ? unsigned(IMS_MAP_CONTIGUOUS) : 0u,
                    static_cast<unsigned>(random() % 4)),
                taken ? IMS_ERR_EXIST : 0);
      if (taken) {
        ASSERT_EQ(tables(), used);
        break;
      }
      for (uint64_t i = 0; i < bytes; i += P)
        model[from + i] = {to + i, writable};
      break;
    }
    case 2: {
      auto a = model.lower_bound(from), b = model.lower_bound(from + bytes);
      uint64_t mapped = static_cast<uint64_t>(std::distance(a, b)) * P;
      ims_pgt_gather g = {};
      ASSERT_EQ(unmap(from, bytes, random() % 3 ? 0 : IMS_UNMAP_KEEP, &g), 0);
      ASSERT_EQ(g.unmapped, mapped);
      model.erase(a, b);
      break;
    }
    default: {
      bool writable = random() % 2;
      uint64_t want = 0, changed;
      for (auto it = model.lower_bound(from); it != model.end() && it->first < from + bytes; ++it) {
        want += it->second.writable != writable ? P : 0;
        it->second.writable = writable;
      }
      ASSERT_EQ(protect(from, bytes, writable ? kRW : kRO, &changed), 0);
      ASSERT_EQ(changed, want);
    }
    }
    if (step % 50 != 49)
      continue;
    auto it = model.begin();
    uint64_t linked = 1, hints_left = 0;
    ims_pgt_visit run_first = {};
    for (const ims_pgt_visit &v : list()) {
      linked += v.kind == IMS_PTE_TABLE;
      if (v.kind != IMS_PTE_LEAF)
        continue;
      for (uint64_t i = 0; i < v.size; i += P, ++it) {
        ASSERT_NE(it, model.end());
        ASSERT_EQ(it->first, v.in + i);
        ASSERT_EQ(it->second.out, v.out + i);
        ASSERT_EQ(it->second.writable, (v.perm & IMS_PERM_W) != 0);
      }
      // Runs are whole, in line and of one kind.
      bool hint = v.entry >> 52 & 1;
      if (hints_left) {
        ASSERT_TRUE(hint) << "a run with a gap";
        ASSERT_EQ(v.level, run_first.level);
        ASSERT_EQ(v.in - run_first.in, v.out - run_first.out);
        ASSERT_EQ(v.entry & ~address_bits(v.out), run_first.entry & ~address_bits(run_first.out));
        hints_left--;
      } else if (hint) {
        ASSERT_EQ((v.in | v.out) & (v.size * run(v.level) - 1), 0u) << "a run begins where it may";
        run_first = v;
        hints_left = run(v.level) - 1;
      }
    }
    ASSERT_EQ(hints_left, 0u);
    ASSERT_EQ(it, model.end());
    ASSERT_EQ(linked, tables());
  }
  ASSERT_EQ(unmap(window, blocks * B), 0);
  EXPECT_EQ(tables(), 1u) << "empty tables are found, also those that were kept";
}

Spec with(Spec s, void (*change)(Spec &)) {
  change(s);
  return s;
}

const std::vector<Spec> kSpecs = {
    {"S1_4K_32", false, IMS_GRANULE_4K, 32, 40},
    {"S1_4K_39", false, IMS_GRANULE_4K, 39},
    {"S1_4K_48", false, IMS_GRANULE_4K, 48},
    with({"S1_4K_48_Upper", false, IMS_GRANULE_4K, 48}, [](Spec &s) { s.upper = true; }),
    with({"S1_4K_40_Upper_BigEndian", false, IMS_GRANULE_4K, 40}, [](Spec &s) { s.upper = s.big_endian = true; }),
    with({"S1_4K_52_DS", false, IMS_GRANULE_4K, 52, 52}, [](Spec &s) { s.ds = true; }),
    with({"S1_4K_48_OneEl", false, IMS_GRANULE_4K, 48, 44}, [](Spec &s) { s.one_el = true; }),
    {"S1_16K_36", false, IMS_GRANULE_16K, 36, 42},
    {"S1_16K_47", false, IMS_GRANULE_16K, 47},
    with({"S1_16K_48_Upper", false, IMS_GRANULE_16K, 48}, [](Spec &s) { s.upper = true; }),
    with({"S1_16K_52_DS", false, IMS_GRANULE_16K, 52, 52}, [](Spec &s) { s.ds = true; }),
    {"S1_64K_36", false, IMS_GRANULE_64K, 36, 40},
    {"S1_64K_42", false, IMS_GRANULE_64K, 42},
    with({"S1_64K_52_LPA_Upper", false, IMS_GRANULE_64K, 52, 52}, [](Spec &s) { s.lpa = s.upper = true; }),
    {"S2_4K_40_L2x2", true, IMS_GRANULE_4K, 40, 44, 3},
    {"S2_4K_48", true, IMS_GRANULE_4K, 48, 48, 4},
    with({"S2_4K_43_L3x16_XNX", true, IMS_GRANULE_4K, 43, 48, 3}, [](Spec &s) { s.xnx = true; }),
    with({"S2_4K_52_DS_L0x16", true, IMS_GRANULE_4K, 52, 52, 4}, [](Spec &s) { s.ds = true; }),
    with({"S2_4K_52_DS", true, IMS_GRANULE_4K, 52, 52, 5}, [](Spec &s) { s.ds = s.xnx = true; }),
    {"S2_16K_40_x16", true, IMS_GRANULE_16K, 40, 42, 2},
    {"S2_16K_48_x2", true, IMS_GRANULE_16K, 48, 48, 3},
    with({"S2_16K_52_DS", true, IMS_GRANULE_16K, 52, 52, 4}, [](Spec &s) { s.ds = true; }),
    {"S2_64K_36", true, IMS_GRANULE_64K, 36, 40, 2},
    with({"S2_64K_46_x16_BigEndian", true, IMS_GRANULE_64K, 46, 48, 2}, [](Spec &s) { s.big_endian = true; }),
    with({"S2_64K_52_LPA", true, IMS_GRANULE_64K, 52, 52, 3}, [](Spec &s) { s.lpa = s.xnx = true; }),
};

INSTANTIATE_TEST_SUITE_P(Stages, VmsaBuild, testing::ValuesIn(kSpecs),
                         [](const auto &param) { return param.param.name; });

// Every input size that TxSZ can say, with every start level that goes with it, on both sides.
TEST(VmsaBuildSizes, EndsAndMiddleOfEverySize) {
  unsigned stages = 0;
  for (ims_granule g : {IMS_GRANULE_4K, IMS_GRANULE_16K, IMS_GRANULE_64K}) {
    const unsigned page = 12 + 2 * static_cast<unsigned>(g), stride = page - 3;
    for (unsigned in_bits = page + 1; in_bits <= 52; in_bits++) {
      for (unsigned levels = 1; levels <= 5; levels++) {
        const unsigned below = page + (levels - 1) * stride;
        for (int kind = 0; kind < 3; kind++) { // stage 1, its upper side, stage 2
          if (in_bits <= below || in_bits > below + stride + (kind == 2 ? 4 : 0))
            continue;
          Spec spec = {};
          spec.second = kind == 2;
          spec.upper = kind == 1;
          spec.granule = g;
          spec.in_bits = in_bits;
          spec.levels = levels;
          spec.ds = in_bits > 48 && g != IMS_GRANULE_64K;
          spec.lpa = in_bits > 48 && g == IMS_GRANULE_64K;
          spec.out_bits = in_bits > 48 ? 52 : 48;
          SCOPED_TRACE("granule " + std::to_string(g) + " bits " + std::to_string(in_bits) + " levels " +
                       std::to_string(levels) + " kind " + std::to_string(kind));
          Stage s(spec);
          if (kind < 2) {
            ASSERT_EQ(ims_vmsa_s1_levels(g, in_bits), levels);
          }
          ASSERT_EQ(s.root_bytes, std::max<uint64_t>(4 * KB, 8ull << (in_bits - below)));
          const uint64_t last = s.last() - s.page() + 1, middle = s.base() + (1ull << (in_bits - 1));
          ASSERT_EQ(s.map(s.base(), s.target(), s.page()), 0);
          ASSERT_EQ(s.map(last, s.target() + s.page(), s.page()), 0);
          EXPECT_EQ(s.out(s.base() + 1), s.target() + 1);
          EXPECT_EQ(s.out(s.last()), s.target() + 2 * s.page() - 1);
          if (in_bits > page + 1) {
            ASSERT_EQ(s.map(middle, s.target() + 2 * s.page(), s.page()), 0);
            EXPECT_EQ(s.out(middle), s.target() + 2 * s.page());
          }
          ims_pgt_leaf leaf;
          EXPECT_EQ(s.lookup(s.last() + 1, &leaf), IMS_ERR_RANGE);
          EXPECT_EQ(s.lookup(s.base() - 1, &leaf), IMS_ERR_RANGE);
          uint64_t leaves = 0;
          for (const ims_pgt_visit &v : s.list())
            leaves += v.kind == IMS_PTE_LEAF;
          EXPECT_EQ(leaves, in_bits > page + 1 ? 3u : 2u);
          ASSERT_EQ(s.unmap(last, s.page()), 0);
          EXPECT_EQ(s.out(s.last()), 0u);
          EXPECT_EQ(s.out(s.base()), s.target());
          stages++;
        }
      }
    }
  }
  EXPECT_GT(stages, 300u);
}

TEST(VmsaCreate, ChecksTheStage) {
  Spec spec = {};
  spec.granule = IMS_GRANULE_4K;
  spec.in_bits = 39;
  Stage s(spec);
  auto create = [&](unsigned levels, unsigned in_bits, unsigned out_bits, ims_pgt_kind kind) {
    ims_pgt p = s.pgt;
    ims_pgt_format f = s.format;
    f.kind = kind;
    p.fmt = &f;
    p.levels = static_cast<uint8_t>(levels);
    p.in_bits = static_cast<uint8_t>(in_bits);
    p.out_bits = static_cast<uint8_t>(out_bits);
    int err = ims_pgt_create(&p, &s.mem);
    if (!err)
      ims_pgt_destroy(&p, &s.mem);
    return err;
  };
  EXPECT_EQ(create(3, 39, 48, IMS_PGT_VMSA_S1), 0);
  EXPECT_EQ(create(3, 40, 48, IMS_PGT_VMSA_S1), IMS_ERR_INVAL) << "stage 1 does not concatenate";
  EXPECT_EQ(create(3, 40, 48, IMS_PGT_VMSA_S2), 0);
  EXPECT_EQ(create(3, 43, 48, IMS_PGT_VMSA_S2), 0) << "sixteen tables";
  EXPECT_EQ(create(3, 44, 48, IMS_PGT_VMSA_S2), IMS_ERR_INVAL);
  EXPECT_EQ(create(3, 30, 48, IMS_PGT_VMSA_S2), IMS_ERR_INVAL) << "a level without work";
  EXPECT_EQ(create(3, 31, 48, IMS_PGT_VMSA_S2), 0);
  EXPECT_EQ(create(3, 39, 53, IMS_PGT_VMSA_S1), IMS_ERR_INVAL);
  EXPECT_EQ(create(3, 39, 32, IMS_PGT_VMSA_S1), IMS_ERR_RANGE) << "the pool lies beyond 32 bits";
  EXPECT_EQ(create(6, 39, 48, IMS_PGT_VMSA_S1), IMS_ERR_INVAL);
}

} // namespace
