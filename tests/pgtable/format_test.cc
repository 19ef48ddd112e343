// SPDX-License-Identifier: Apache-2.0
// Which bits of an entry are reserved, and what an entry is. The expectations are typed in from VT-d 9.7 ff. and 9.8 ff.
#include "pgtable/format.h"

#include <cstring>
#include <gtest/gtest.h>
#include <vector>

namespace {

struct Bits {
  int high, low;
};

// A row: entries of one shape, and the bits that must be zero in them. Where `never` is set no such entry may exist.
struct Row {
  const char *name;
  unsigned level;
  bool ps;
  bool never;
  std::vector<Bits> reserved;
};

bool listed(const std::vector<Bits> &list, int bit) {
  for (Bits b : list)
    if (bit <= b.high && bit >= b.low)
      return true;
  return false;
}

void check_rows(const ims_pgt &p, uint64_t present, std::vector<int> defining, const std::vector<Row> &rows) {
  for (const Row &row : rows) {
    uint64_t base = present | (row.ps ? 1u << 7 : 0u), absent = ~0ull;
    for (int d : defining)
      absent &= ~(1ull << d);
    ims_pte_kind good = row.level == 1 || row.ps ? IMS_PTE_LEAF : IMS_PTE_TABLE;
    EXPECT_EQ(ims_pgt_decode(&p, row.level, base), row.never ? IMS_PTE_RESERVED : good) << row.name;
    for (int bit = 0; bit < 64; bit++) {
      if (bit == 7 && row.level > 1)
        continue; // that is another row
      bool skip = false;
      for (int d : defining)
        skip = skip || d == bit;
      if (skip)
        continue;
      ims_pte_kind want = row.never || listed(row.reserved, bit) ? IMS_PTE_RESERVED : good;
      EXPECT_EQ(ims_pgt_decode(&p, row.level, base | 1ull << bit), want) << row.name << ", bit " << bit;
      // Without presence nothing else counts.
      EXPECT_EQ(ims_pgt_decode(&p, row.level, (base & ~present) | 1ull << bit), IMS_PTE_EMPTY)
          << row.name << ", bit " << bit;
    }
    EXPECT_EQ(ims_pgt_decode(&p, row.level, absent), IMS_PTE_EMPTY) << row.name;
  }
}

class FirstStageWidth : public testing::TestWithParam<int> {};

TEST_P(FirstStageWidth, ReservedBitsOfEachLevel) {
  int haw = GetParam();
  Bits above = {51, haw}; // empty for 52
  ims_pgt_format f;
  ims_x86_fs_format(&f, static_cast<unsigned>(haw), true, false);
  ims_pgt p = {};
  p.fmt = &f;
  check_rows(p, 1, {0},
             {
                 {"4 KB leaf", 1, false, false, {above}},
                 {"2 MB leaf", 2, true, false, {above, {20, 13}}},
                 {"1 GB leaf", 3, true, false, {above, {29, 13}}},
                 {"level-4 entry with PS", 4, true, true, {}},
                 {"level-5 entry with PS", 5, true, true, {}},
                 {"level-2 table", 2, false, false, {above}},
                 {"level-3 table", 3, false, false, {above}},
                 {"level-4 table", 4, false, false, {above}},
                 {"level-5 table", 5, false, false, {above}},
             });
}

TEST_P(FirstStageWidth, NoGigabytePages) {
  int haw = GetParam();
  ims_pgt_format f;
  ims_x86_fs_format(&f, static_cast<unsigned>(haw), false, false);
  ims_pgt p = {};
  p.fmt = &f;
  check_rows(p, 1, {0},
             {
                 {"2 MB leaf", 2, true, false, {{51, haw}, {20, 13}}},
                 {"1 GB leaf", 3, true, true, {}},
                 {"level-3 table", 3, false, false, {{51, haw}}},
             });
}

TEST_P(FirstStageWidth, ExecuteDisableReservedWithoutNxe) {
  int haw = GetParam();
  ims_pgt_format f;
  ims_x86_fs_format(&f, static_cast<unsigned>(haw), true, true);
  ims_pgt p = {};
  p.fmt = &f;
  Bits above = {51, haw}, xd = {63, 63};
  check_rows(p, 1, {0},
             {
                 {"4 KB leaf", 1, false, false, {above, xd}},
                 {"2 MB leaf", 2, true, false, {above, {20, 13}, xd}},
                 {"1 GB leaf", 3, true, false, {above, {29, 13}, xd}},
                 {"level-2 table", 2, false, false, {above, xd}},
                 {"level-5 table", 5, false, false, {above, xd}},
             });
}

class SecondStageWidth : public testing::TestWithParam<int> {};

TEST_P(SecondStageWidth, ReservedBitsOfEachLevel) {
  int haw = GetParam();
  Bits above = {51, haw}, tm = {62, 62}, snp = {11, 11};
  for (uint64_t present : {1u, 2u, 3u}) {
    ims_pgt_format f;
    ims_vtd_ss_format(&f, static_cast<unsigned>(haw), true, true, true, false);
    ims_pgt p = {};
    p.fmt = &f;
    check_rows(p, present, {0, 1},
               {
                   {"4 KB leaf", 1, false, false, {above, tm}},
                   {"2 MB leaf", 2, true, false, {above, tm, {20, 12}}},
                   {"1 GB leaf", 3, true, false, {above, tm, {29, 12}}},
                   {"level-4 entry with PS", 4, true, true, {}},
                   {"level-5 entry with PS", 5, true, true, {}},
                   {"level-2 table", 2, false, false, {above, tm, snp}},
                   {"level-3 table", 3, false, false, {above, tm, snp}},
                   {"level-4 table", 4, false, false, {above, tm, snp}},
                   {"level-5 table", 5, false, false, {above, tm, snp}},
               });
  }
}

TEST_P(SecondStageWidth, SmallestUnit) {
  // Neither large pages nor snoop control.
  int haw = GetParam();
  Bits above = {51, haw}, tm = {62, 62}, snp = {11, 11};
  ims_pgt_format f;
  ims_vtd_ss_format(&f, static_cast<unsigned>(haw), false, false, false, false);
  ims_pgt p = {};
  p.fmt = &f;
  check_rows(p, 1, {0, 1},
             {
                 {"4 KB leaf", 1, false, false, {above, tm, snp}},
                 {"2 MB leaf", 2, true, true, {}},
                 {"1 GB leaf", 3, true, true, {}},
                 {"level-2 table", 2, false, false, {above, tm, snp}},
                 {"level-3 table", 3, false, false, {above, tm, snp}},
             });
}

INSTANTIATE_TEST_SUITE_P(Haw, FirstStageWidth, testing::Values(36, 39, 46, 52));
INSTANTIATE_TEST_SUITE_P(Haw, SecondStageWidth, testing::Values(36, 39, 46, 52));

TEST(SecondStageFormat, LargePagesAreSeparateCapabilities) {
  ims_pgt_format f;
  ims_pgt p = {};
  p.fmt = &f;
  ims_vtd_ss_format(&f, 46, true, false, true, false);
  EXPECT_EQ(ims_pgt_decode(&p, 2, 0x83), IMS_PTE_LEAF);
  EXPECT_EQ(ims_pgt_decode(&p, 3, 0x83), IMS_PTE_RESERVED);
  ims_vtd_ss_format(&f, 46, false, true, true, false);
  EXPECT_EQ(ims_pgt_decode(&p, 2, 0x83), IMS_PTE_RESERVED);
  EXPECT_EQ(ims_pgt_decode(&p, 3, 0x83), IMS_PTE_LEAF);
}

TEST(SecondStageFormat, ExecuteAloneIsPresenceOnlyWhereItExists) {
  ims_pgt_format f;
  ims_pgt p = {};
  p.fmt = &f;
  ims_vtd_ss_format(&f, 46, true, true, true, false);
  EXPECT_EQ(ims_pgt_decode(&p, 1, 0x5004), IMS_PTE_EMPTY);
  ims_vtd_ss_format(&f, 46, true, true, true, true);
  EXPECT_EQ(ims_pgt_decode(&p, 1, 0x5004), IMS_PTE_LEAF);
  EXPECT_EQ(ims_pgt_decode(&p, 2, 0x5004), IMS_PTE_TABLE);
}

TEST(FirstStageFormat, ReadAndWriteDoNotMakeAnEntryPresent) {
  ims_pgt_format f;
  ims_x86_fs_format(&f, 46, true, false);
  ims_pgt p = {};
  p.fmt = &f;
  EXPECT_EQ(ims_pgt_decode(&p, 1, 0x5006), IMS_PTE_EMPTY);
  EXPECT_EQ(ims_pgt_decode(&p, 1, 0x5001), IMS_PTE_LEAF);
}

TEST(Format, PageOfALeafHasNoAttributeBits) {
  ims_pgt_format f;
  ims_x86_fs_format(&f, 46, true, false);
  ims_pgt p = {};
  p.fmt = &f;
  // 0x1000: PAT of a large page.
  EXPECT_EQ(ims_pgt_page(&p, 1, 0x8000000012345fffull), 0x12345000u);
  EXPECT_EQ(ims_pgt_page(&p, 2, 0x0000000012201083ull), 0x12200000u);
  EXPECT_EQ(ims_pgt_page(&p, 3, 0x00000000c0001083ull), 0xc0000000u);
}

TEST(Format, RightsOfOneEntry) {
  ims_pgt_format f;
  ims_pgt p = {};
  p.fmt = &f;
  ims_x86_fs_format(&f, 46, true, false);
  EXPECT_EQ(ims_pgt_perm(&p, 1), unsigned(IMS_PERM_R | IMS_PERM_X));
  EXPECT_EQ(ims_pgt_perm(&p, 3), unsigned(IMS_PERM_R | IMS_PERM_W | IMS_PERM_X));
  EXPECT_EQ(ims_pgt_perm(&p, 5), unsigned(IMS_PERM_R | IMS_PERM_U | IMS_PERM_X));
  EXPECT_EQ(ims_pgt_perm(&p, 1ull << 63 | 7), unsigned(IMS_PERM_R | IMS_PERM_W | IMS_PERM_U));
  ims_vtd_ss_format(&f, 46, true, true, true, true);
  EXPECT_EQ(ims_pgt_perm(&p, 1), unsigned(IMS_PERM_R | IMS_PERM_U | IMS_PERM_X)) << "X does not count without SSEE";
  p.flags = IMS_PGT_EXEC;
  EXPECT_EQ(ims_pgt_perm(&p, 1), unsigned(IMS_PERM_R | IMS_PERM_U));
  EXPECT_EQ(ims_pgt_perm(&p, 6), unsigned(IMS_PERM_W | IMS_PERM_X | IMS_PERM_U));
}

TEST(Format, InputRange) {
  ims_pgt_format f;
  ims_pgt p = {};
  p.fmt = &f;
  ims_x86_fs_format(&f, 46, true, false);
  p.in_bits = 48;
  EXPECT_TRUE(ims_pgt_in_range(&p, 0x00007fffffffffffull));
  EXPECT_FALSE(ims_pgt_in_range(&p, 0x0000800000000000ull));
  EXPECT_FALSE(ims_pgt_in_range(&p, 0xffff7fffffffffffull));
  EXPECT_TRUE(ims_pgt_in_range(&p, 0xffff800000000000ull));
  p.in_bits = 57;
  EXPECT_TRUE(ims_pgt_in_range(&p, 0x00ffffffffffffffull));
  EXPECT_FALSE(ims_pgt_in_range(&p, 0x0100000000000000ull));
  EXPECT_TRUE(ims_pgt_in_range(&p, 0xff00000000000000ull));
  ims_vtd_ss_format(&f, 46, true, true, true, false);
  p.in_bits = 39;
  EXPECT_TRUE(ims_pgt_in_range(&p, 0x7fffffffffull));
  EXPECT_FALSE(ims_pgt_in_range(&p, 0x8000000000ull));
  EXPECT_FALSE(ims_pgt_in_range(&p, 0xffffff8000000000ull)) << "second stages have no upper half";
}

// What may use a page: one row a case. VT-d 3.6.2.
TEST(Rights, FirstStage) {
  ims_pgt_format f;
  ims_x86_fs_format(&f, 46, true, false);
  enum { R = IMS_PERM_R, W = IMS_PERM_W, X = IMS_PERM_X, U = IMS_PERM_U, PRIV = IMS_ACC_PRIV };
  const struct {
    unsigned perm, access, flags;
    ims_deny want;
  } rows[] = {
      {R | U, R, 0, IMS_DENY_NOTHING},
      {R, R, 0, IMS_DENY_USER},
      {R, R | PRIV, 0, IMS_DENY_NOTHING},
      {R | U, R | PRIV, 0, IMS_DENY_NOTHING},
      {R | U, W, 0, IMS_DENY_WRITE},
      {R | U, W | PRIV, 0, IMS_DENY_NOTHING},
      {R | U, W | PRIV, IMS_PGT_WPE, IMS_DENY_WRITE},
      {R | W | U, W, 0, IMS_DENY_NOTHING},
      {R, W, 0, IMS_DENY_USER},
      {R | U, X, 0, IMS_DENY_NOTHING},
      {R | U, X, IMS_PGT_EXEC, IMS_DENY_NOTHING},
      {R | U, X, IMS_PGT_EXEC | IMS_PGT_NXE, IMS_DENY_EXEC},
      {R | X | U, X, IMS_PGT_EXEC | IMS_PGT_NXE, IMS_DENY_NOTHING},
      {R | X | U, X | PRIV, IMS_PGT_EXEC | IMS_PGT_SMEP, IMS_DENY_EXEC},
      {R | X, X | PRIV, IMS_PGT_EXEC | IMS_PGT_SMEP, IMS_DENY_NOTHING},
      {R | U, X | W, IMS_PGT_EXEC | IMS_PGT_NXE, IMS_DENY_EXEC},
  };
  for (const auto &row : rows) {
    ims_pgt p = {};
    p.fmt = &f;
    p.flags = static_cast<uint8_t>(row.flags);
    EXPECT_EQ(ims_fs_judge(&p, row.perm, row.access), row.want)
        << "perm " << row.perm << " access " << row.access << " flags " << row.flags;
  }
}

TEST(Rights, SecondStage) {
  ims_pgt_format f;
  ims_vtd_ss_format(&f, 46, true, true, true, true);
  enum { R = IMS_PERM_R, W = IMS_PERM_W, X = IMS_PERM_X, U = IMS_PERM_U, ZLR = IMS_ACC_ZLR };
  const struct {
    unsigned perm, access, flags;
    ims_deny want;
  } rows[] = {
      {U | X, R, 0, IMS_DENY_ALL},
      {U | X, R, IMS_PGT_EXEC, IMS_DENY_READ},
      {U | R, R, 0, IMS_DENY_NOTHING},
      {U | R, W, 0, IMS_DENY_WRITE},
      {U | W, R, 0, IMS_DENY_READ},
      {U | W, R | W, 0, IMS_DENY_READ},
      {U | R, R | W, 0, IMS_DENY_WRITE},
      {U | W, R | ZLR, 0, IMS_DENY_READ},
      {U | W, R | ZLR, IMS_PGT_ZLR, IMS_DENY_NOTHING},
      {U | W, R, IMS_PGT_ZLR, IMS_DENY_READ},
      {U | R, R | X, IMS_PGT_EXEC, IMS_DENY_EXEC},
      {U | R, R | X, 0, IMS_DENY_NOTHING},
  };
  for (const auto &row : rows) {
    ims_pgt p = {};
    p.fmt = &f;
    p.flags = static_cast<uint8_t>(row.flags);
    EXPECT_EQ(ims_ss_judge(&p, row.perm, row.access), row.want)
        << "perm " << row.perm << " access " << row.access << " flags " << row.flags;
  }
}

} // namespace
