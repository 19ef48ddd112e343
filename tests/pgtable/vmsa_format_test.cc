// SPDX-License-Identifier: Apache-2.0
// VMSAv8-64 descriptors, sizes, rights and memory types by tables, typed in from Arm DDI 0487 (D8.1 to D8.7) and, for
// the start levels, as IHI 0070 3.4 and 5.2 bind them.
#include "pgtable/vmsa.h"
#include "tests/pgtable/vmsa_oracle.h"

#include <gtest/gtest.h>
#include <set>
#include <string>
#include <vector>

namespace {

constexpr int kNone = -9;

// What a kind of tables looks like: architecture levels at which blocks may stand.
struct Kind {
  const char *name;
  ims_granule granule;
  bool ds, lpa;
  int page_bits, first_level;
  std::set<int> blocks;
};

const Kind kKinds[] = {
    {"4K", IMS_GRANULE_4K, false, false, 12, 0, {1, 2}},
    {"4K with LPA", IMS_GRANULE_4K, false, true, 12, 0, {1, 2}},
    {"4K with DS", IMS_GRANULE_4K, true, false, 12, -1, {0, 1, 2}},
    {"16K", IMS_GRANULE_16K, false, true, 14, 0, {2}},
    {"16K with DS", IMS_GRANULE_16K, true, true, 14, 0, {1, 2}},
    {"64K", IMS_GRANULE_64K, false, false, 16, 1, {2}},
    {"64K with LPA", IMS_GRANULE_64K, false, true, 16, 1, {1, 2}},
    {"64K with LPA and DS", IMS_GRANULE_64K, true, true, 16, 1, {1, 2}},
};

struct Stage {
  Stage(const Kind &k, ims_pgt_kind stage, unsigned in_bits = 48, unsigned out_bits = 52) {
    ims_vmsa_format(&format, stage, k.granule, k.ds, k.lpa, false);
    p.fmt = &format;
    p.in_bits = static_cast<uint8_t>(in_bits);
    p.out_bits = static_cast<uint8_t>(out_bits);
    p.levels = static_cast<uint8_t>(4 - k.first_level);
  }
  ims_pgt_format format = {};
  ims_pgt p = {};
};

const ims_pgt_kind kStages[] = {IMS_PGT_VMSA_S1, IMS_PGT_VMSA_S2};

int shift_of(const Kind &k, int level) { return k.page_bits + (3 - level) * (k.page_bits - 3); }

TEST(VmsaFormat, WhatADescriptorIs) {
  for (const Kind &k : kKinds) {
    for (ims_pgt_kind stage : kStages) {
      Stage s(k, stage);
      for (int level = k.first_level; level <= 3; level++) {
        unsigned l = static_cast<unsigned>(4 - level);
        SCOPED_TRACE(std::string(k.name) + " level " + std::to_string(level));
        EXPECT_EQ(ims_vmsa_level(l), level);
        EXPECT_EQ(ims_pgt_shift(s.p.fmt, l), static_cast<unsigned>(shift_of(k, level)));
        ims_pte_kind block = k.blocks.count(level) ? IMS_PTE_LEAF : IMS_PTE_EMPTY;
        EXPECT_EQ(ims_pgt_decode(&s.p, l, 0), IMS_PTE_EMPTY);
        EXPECT_EQ(ims_pgt_decode(&s.p, l, 2), IMS_PTE_EMPTY) << "bit 1 without bit 0";
        EXPECT_EQ(ims_pgt_decode(&s.p, l, ~1ull), IMS_PTE_EMPTY) << "all but the valid bit";
        EXPECT_EQ(ims_pgt_decode(&s.p, l, 1), block);
        EXPECT_EQ(ims_pgt_decode(&s.p, l, 3), level == 3 ? IMS_PTE_LEAF : IMS_PTE_TABLE);
      }
    }
  }
}

// Which descriptor bit holds which address bit: D8.3.1, D8.3.2.
int address_bit(const Kind &k, int descriptor_bit, int low) {
  bool ds = k.ds && k.granule != IMS_GRANULE_64K, lpa = k.lpa && k.granule == IMS_GRANULE_64K;
  if (lpa && descriptor_bit >= 12 && descriptor_bit <= 15)
    return descriptor_bit + 36;
  if (ds && (descriptor_bit == 8 || descriptor_bit == 9))
    return descriptor_bit + 42;
  if (descriptor_bit >= low && descriptor_bit <= (ds ? 49 : 47))
    return descriptor_bit;
  return kNone;
}

TEST(VmsaFormat, PlaceAndSizeOfAddresses) {
  for (const Kind &k : kKinds) {
    for (ims_pgt_kind stage : kStages) {
      for (unsigned out_bits : {32u, 36u, 40u, 42u, 44u, 48u, 52u}) {
        Stage s(k, stage, 48, out_bits);
        for (int level = k.first_level; level <= 3; level++) {
          for (bool leaf : {false, true}) {
            if (leaf ? level < 3 && !k.blocks.count(level) : level == 3)
              continue;
            unsigned l = static_cast<unsigned>(4 - level);
            int low = leaf ? shift_of(k, level) : k.page_bits;
            uint64_t type = leaf && level < 3 ? 1 : 3;
            for (int bit = 2; bit < 64; bit++) {
              SCOPED_TRACE(std::string(k.name) + " level " + std::to_string(level) + (leaf ? " leaf" : " table") +
                           " bit " + std::to_string(bit) + " of " + std::to_string(out_bits));
              uint64_t e = type | 1ull << bit;
              int at = address_bit(k, bit, low);
              bool fits = at == kNone || at < static_cast<int>(out_bits);
              EXPECT_EQ(ims_pgt_decode(&s.p, l, e), !fits ? IMS_PTE_RESERVED : leaf ? IMS_PTE_LEAF : IMS_PTE_TABLE);
              uint64_t address = at == kNone ? 0 : 1ull << at;
              EXPECT_EQ(leaf ? ims_pgt_page(&s.p, l, e) : ims_pgt_addr(&s.p, e), address);
            }
          }
        }
      }
    }
  }
}

// D8.2.1: the start level of stage 1 by TxSZ.
TEST(VmsaSizes, StartLevelOfStage1) {
  const struct {
    ims_granule granule;
    unsigned first, last; // TxSZ
    int level;
  } rows[] = {
      {IMS_GRANULE_4K, 12, 15, -1}, {IMS_GRANULE_4K, 16, 24, 0},  {IMS_GRANULE_4K, 25, 33, 1},
      {IMS_GRANULE_4K, 34, 42, 2},  {IMS_GRANULE_4K, 43, 48, 3},  {IMS_GRANULE_16K, 12, 16, 0},
      {IMS_GRANULE_16K, 17, 27, 1}, {IMS_GRANULE_16K, 28, 38, 2}, {IMS_GRANULE_16K, 39, 48, 3},
      {IMS_GRANULE_64K, 12, 21, 1}, {IMS_GRANULE_64K, 22, 34, 2}, {IMS_GRANULE_64K, 35, 47, 3},
  };
  for (const auto &row : rows)
    for (unsigned txsz = row.first; txsz <= row.last; txsz++)
      EXPECT_EQ(ims_vmsa_level(ims_vmsa_s1_levels(row.granule, 64 - txsz)), row.level)
          << "granule " << row.granule << " TxSZ " << txsz;
}

// D8.2.2; pseudocode S2StartLevel, S2InvalidSL.
TEST(VmsaSizes, StartLevelOfStage2) {
  const struct {
    ims_granule granule;
    unsigned sl; // SL0_2:SL0
    bool ds, ttst;
    int level; // kNone: reserved
  } rows[] = {
      {IMS_GRANULE_4K, 0, false, false, 2},     {IMS_GRANULE_4K, 1, false, false, 1},
      {IMS_GRANULE_4K, 2, false, false, 0},     {IMS_GRANULE_4K, 3, false, false, kNone},
      {IMS_GRANULE_4K, 3, false, true, 3},      {IMS_GRANULE_4K, 4, false, false, 2},
      {IMS_GRANULE_4K, 4, true, false, -1},     {IMS_GRANULE_4K, 5, true, true, kNone},
      {IMS_GRANULE_4K, 6, true, true, kNone},   {IMS_GRANULE_4K, 7, true, true, kNone},
      {IMS_GRANULE_4K, 2, true, false, 0},      {IMS_GRANULE_16K, 0, false, false, 3},
      {IMS_GRANULE_16K, 1, false, false, 2},    {IMS_GRANULE_16K, 2, false, false, 1},
      {IMS_GRANULE_16K, 3, false, true, kNone}, {IMS_GRANULE_16K, 3, true, false, 0},
      {IMS_GRANULE_16K, 4, true, false, 3},     {IMS_GRANULE_64K, 0, false, false, 3},
      {IMS_GRANULE_64K, 1, false, false, 2},    {IMS_GRANULE_64K, 2, true, false, 1},
      {IMS_GRANULE_64K, 3, true, true, kNone},
  };
  for (const auto &row : rows) {
    unsigned levels = ims_vmsa_s2_levels(row.granule, row.sl, row.ds, row.ttst);
    EXPECT_EQ(levels ? ims_vmsa_level(levels) : kNone, row.level)
        << "granule " << row.granule << " SL " << row.sl << " DS " << row.ds << " TTST " << row.ttst;
  }
}

// Pseudocode S2InconsistentSL: by start level, the first and last T0SZ, and from which T0SZ on one table suffices.
TEST(VmsaSizes, Stage2SizesAndConcatenation) {
  const struct {
    ims_granule granule;
    int level;
    unsigned first, single, last; // T0SZ
    unsigned pa_bits;             // at least, or 0
  } rows[] = {
      {IMS_GRANULE_4K, -1, 3, 7, 15, 52},   {IMS_GRANULE_4K, 0, 12, 16, 24, 44}, {IMS_GRANULE_4K, 1, 21, 25, 33, 0},
      {IMS_GRANULE_4K, 2, 30, 34, 42, 0},   {IMS_GRANULE_4K, 3, 39, 43, 51, 0},  {IMS_GRANULE_16K, 0, 2, 6, 16, 52},
      {IMS_GRANULE_16K, 1, 13, 17, 27, 42}, {IMS_GRANULE_16K, 2, 24, 28, 38, 0}, {IMS_GRANULE_16K, 3, 35, 39, 49, 0},
      {IMS_GRANULE_64K, 1, 5, 9, 21, 44},   {IMS_GRANULE_64K, 2, 18, 22, 34, 0}, {IMS_GRANULE_64K, 3, 31, 35, 47, 0},
  };
  for (const auto &row : rows) {
    unsigned levels = static_cast<unsigned>(4 - row.level);
    unsigned page = 12 + 2 * row.granule;
    for (unsigned t0sz = 1; t0sz < 64; t0sz++) {
      SCOPED_TRACE("granule " + std::to_string(row.granule) + " level " + std::to_string(row.level) + " T0SZ " +
                   std::to_string(t0sz));
      bool fits = t0sz >= row.first && t0sz <= row.last;
      // The last level of 4 KB tables resolves nine bits: T0SZ 43 to 51, of which the architecture has up to 48.
      EXPECT_EQ(ims_vmsa_s2_consistent(row.granule, levels, 64 - t0sz, 52), fits);
      EXPECT_EQ(ims_vmsa_s2_consistent(row.granule, levels, 64 - t0sz, 40), fits && !row.pa_bits);
      if (row.pa_bits) {
        EXPECT_EQ(ims_vmsa_s2_consistent(row.granule, levels, 64 - t0sz, row.pa_bits), fits);
        EXPECT_FALSE(ims_vmsa_s2_consistent(row.granule, levels, 64 - t0sz, row.pa_bits - 1));
      }
      if (!fits || t0sz < 12)
        continue;
      // Bytes of the top table: one entry for each value of the bits it resolves.
      ims_pgt_format f;
      ims_vmsa_format(&f, IMS_PGT_VMSA_S2, row.granule, true, true, false);
      ims_pgt p = {};
      p.fmt = &f;
      p.levels = static_cast<uint8_t>(levels);
      p.in_bits = static_cast<uint8_t>(64 - t0sz);
      p.out_bits = 48;
      unsigned log2 = ims_vmsa_root_log2(&p);
      if (t0sz >= row.single)
        EXPECT_EQ(log2, page - (t0sz - row.single)) << "one table, or part of one";
      else
        EXPECT_EQ(1u << (log2 - page), 1u << (row.single - t0sz)) << "so many tables";
      p.out_bits = 52;
      EXPECT_EQ(ims_vmsa_root_log2(&p), std::max(log2, 6u)) << "aligned to 64 bytes at least";
      // The index of the last input is that of the last entry.
      EXPECT_EQ(ims_pgt_index(&p, levels, (1ull << p.in_bits) - 1), (1ull << (log2 - 3)) - 1);
    }
  }
}

TEST(VmsaSizes, InputRangeOfBothSides) {
  ims_pgt_format f;
  ims_vmsa_format(&f, IMS_PGT_VMSA_S1, IMS_GRANULE_4K, true, false, false);
  for (unsigned in_bits : {16u, 25u, 32u, 39u, 48u, 52u}) {
    ims_pgt p = {};
    p.fmt = &f;
    p.in_bits = static_cast<uint8_t>(in_bits);
    uint64_t last = (1ull << in_bits) - 1;
    EXPECT_TRUE(ims_pgt_in_range(&p, 0));
    EXPECT_TRUE(ims_pgt_in_range(&p, last));
    EXPECT_FALSE(ims_pgt_in_range(&p, last + 1));
    EXPECT_FALSE(ims_pgt_in_range(&p, ~0ull));
    EXPECT_FALSE(ims_pgt_in_range(&p, ~last));
    p.flags = IMS_PGT_UPPER;
    EXPECT_FALSE(ims_pgt_in_range(&p, 0));
    EXPECT_FALSE(ims_pgt_in_range(&p, last));
    EXPECT_FALSE(ims_pgt_in_range(&p, ~last - 1));
    EXPECT_TRUE(ims_pgt_in_range(&p, ~last));
    EXPECT_TRUE(ims_pgt_in_range(&p, ~0ull));
    for (unsigned bit = in_bits; bit < 64; bit++)
      EXPECT_FALSE(ims_pgt_in_range(&p, ~0ull & ~(1ull << bit))) << bit;
  }
}

TEST(VmsaSizes, FormatsOfAUnit) {
  ims_vmsa_formats f;
  ims_vmsa_caps caps = {};
  caps.oas = 48;
  ims_vmsa_formats_init(&f, &caps);
  EXPECT_EQ(f.s1_ds[IMS_GRANULE_4K].leaf_levels, f.s1[IMS_GRANULE_4K].leaf_levels) << "no DS in this unit";
  EXPECT_EQ(f.s2[IMS_GRANULE_64K].leaf_levels, 1u << 1 | 1u << 2) << "no blocks of 4 TB below 52 bits";
  caps.oas = 52;
  caps.ds = caps.xnx = true;
  ims_vmsa_formats_init(&f, &caps);
  EXPECT_EQ(f.s1[IMS_GRANULE_4K].leaf_levels, 1u << 1 | 1u << 2 | 1u << 3);
  EXPECT_EQ(f.s1_ds[IMS_GRANULE_4K].leaf_levels, 1u << 1 | 1u << 2 | 1u << 3 | 1u << 4);
  EXPECT_EQ(f.s2_ds[IMS_GRANULE_16K].leaf_levels, 1u << 1 | 1u << 2 | 1u << 3);
  EXPECT_EQ(f.s2[IMS_GRANULE_64K].leaf_levels, 1u << 1 | 1u << 2 | 1u << 3);
  EXPECT_EQ(f.s2[IMS_GRANULE_16K].kind, IMS_PGT_VMSA_S2);
  EXPECT_TRUE(f.s2[IMS_GRANULE_16K].xnx);
  ims_pgt p = {};
  for (unsigned g = 0; g < 3; g++) {
    p.fmt = &f.s1[g];
    EXPECT_EQ(ims_vmsa_tg(&p), g + 1);
  }
}

// D8.7.1.
TEST(VmsaFormat, ReachOfARun) {
  const struct {
    ims_granule granule;
    int level;
    unsigned run; // entries
  } rows[] = {
      {IMS_GRANULE_4K, 0, 1},   {IMS_GRANULE_4K, 1, 16},  {IMS_GRANULE_4K, 2, 16},   {IMS_GRANULE_4K, 3, 16},
      {IMS_GRANULE_16K, 1, 1},  {IMS_GRANULE_16K, 2, 32}, {IMS_GRANULE_16K, 3, 128}, {IMS_GRANULE_64K, 1, 1},
      {IMS_GRANULE_64K, 2, 32}, {IMS_GRANULE_64K, 3, 32},
  };
  for (const auto &row : rows) {
    SCOPED_TRACE("granule " + std::to_string(row.granule) + " level " + std::to_string(row.level));
    ims_pgt_format f;
    ims_vmsa_format(&f, IMS_PGT_VMSA_S2, row.granule, row.granule != IMS_GRANULE_64K, true, false);
    ims_pgt p = {};
    p.fmt = &f;
    p.in_bits = p.out_bits = 48;
    p.flags = IMS_PGT_CONTIGUOUS;
    unsigned level = static_cast<unsigned>(4 - row.level), leaf = f.shift[level], run = leaf;
    while (1u << (run - leaf) < row.run)
      run++;
    // The third entry of its run, both ways.
    uint64_t third = row.run > 1 ? 2ull << leaf : 0, e = 1ull << 52 | (1ull << run) | third | 1;
    EXPECT_EQ(ims_pgt_reach(&p, level, e, (3ull << run) + third + 5), run);
    EXPECT_EQ(ims_pgt_reach(&p, level, e & ~(1ull << 52), (3ull << run) + third), leaf) << "no hint";
    if (row.run == 1)
      continue;
    EXPECT_EQ(ims_pgt_reach(&p, level, e, (3ull << run) + (3ull << leaf)), leaf) << "out of line with its output";
    p.in_bits = static_cast<uint8_t>(run);
    EXPECT_EQ(ims_pgt_reach(&p, level, third | 1ull << 52, third), run) << "just fits";
    p.in_bits--;
    EXPECT_EQ(ims_pgt_reach(&p, level, third | 1ull << 52, third), leaf) << "larger than the input";
    p.in_bits = 48;
    p.out_bits = static_cast<uint8_t>(run);
    EXPECT_EQ(ims_pgt_reach(&p, level, third | 1ull << 52, third), run);
    p.out_bits--;
    EXPECT_EQ(ims_pgt_reach(&p, level, third | 1ull << 52, third), leaf) << "larger than the output";
    p.out_bits = 48;
    p.flags = 0;
    EXPECT_EQ(ims_pgt_reach(&p, level, e, (3ull << run) + third), leaf) << "the hint is not taken";
  }
}

TEST(VmsaFormat, ReachOfABlockEndsWithTheOutput) {
  ims_pgt_format f;
  ims_vmsa_format(&f, IMS_PGT_VMSA_S1, IMS_GRANULE_64K, false, true, false);
  ims_pgt p = {};
  p.fmt = &f;
  p.in_bits = 48;
  p.out_bits = 40;
  EXPECT_EQ(ims_pgt_reach(&p, 3, 1, 0x1234), 40u) << "a block of 4 TB";
  EXPECT_FALSE(ims_pgt_too_large(&p, (1ull << 40) - 1));
  EXPECT_TRUE(ims_pgt_too_large(&p, 1ull << 40));
}

// Rights.

enum { R = IMS_PERM_R, W = IMS_PERM_W, X = IMS_PERM_X, U = IMS_PERM_U, PX = IMS_PERM_PX, PRIV = IMS_ACC_PRIV };
constexpr uint64_t kAp1 = 1 << 6, kAp2 = 1 << 7, kDbm = 1ull << 51, kPxn = 1ull << 53, kUxn = 1ull << 54;
constexpr uint64_t kPxnTable = 1ull << 59, kXnTable = 1ull << 60, kApTable0 = 1ull << 61, kApTable1 = 1ull << 62;

TEST(VmsaRights, BitsOfStage1) {
  const struct {
    uint64_t leaf, tables;
    unsigned flags, perm;
  } rows[] = {
      {0, 0, 0, R | W | X | PX},
      {kAp1, 0, 0, R | W | U | X | PX},
      {kAp2, 0, 0, R | X | PX},
      {kAp1 | kAp2, 0, 0, R | U | X | PX},
      {kUxn, 0, 0, R | W | PX},
      {kPxn, 0, 0, R | W | X},
      {kAp1, kPxnTable, 0, R | W | U | X},
      {kAp1, kXnTable, 0, R | W | U | PX},
      {kAp1, kApTable0, 0, R | W | X | PX},
      {kAp1, kApTable1, 0, R | U | X | PX},
      {kAp1, kApTable0 | kApTable1 | kXnTable | kPxnTable, 0, R},
      {0, kApTable0, 0, R | W | X | PX},
      {kDbm | kAp2, 0, 0, R | W | X | PX}, // with HD, below
      {kDbm | kAp2, kApTable1, 0, R | X | PX},
      {0, 0, IMS_PGT_ONE_EL, R | W | U | X | PX},
      {kAp2, 0, IMS_PGT_ONE_EL, R | U | X | PX},
      {kPxn, 0, IMS_PGT_ONE_EL, R | W | U | X | PX},
      {kUxn, 0, IMS_PGT_ONE_EL, R | W | U},
      {0, kApTable0 | kPxnTable, IMS_PGT_ONE_EL, R | W | U | X | PX},
      {0, kXnTable | kApTable1, IMS_PGT_ONE_EL, R | U},
      {kUxn | kAp1, 0, IMS_PGT_AARCH32, R | W | U},
      {kPxn | kAp1, 0, IMS_PGT_AARCH32, R | W | U | X},
      {kAp1, kXnTable, IMS_PGT_AARCH32, R | W | U},
  };
  ims_pgt_format f;
  ims_vmsa_format(&f, IMS_PGT_VMSA_S1, IMS_GRANULE_4K, false, false, true);
  ims_pgt p = {};
  p.fmt = &f;
  p.d_bit = 1 << 7;
  for (const auto &row : rows) {
    p.flags = row.flags;
    EXPECT_EQ(ims_pgt_perm_over(&p, row.leaf, row.tables), row.perm)
        << std::hex << "leaf " << row.leaf << " tables " << row.tables << " flags " << row.flags;
  }
  p.flags = 0;
  p.d_bit = 0;
  EXPECT_EQ(ims_pgt_perm_over(&p, kDbm | kAp2, 0), unsigned(R | X | PX)) << "nobody would record the write";
}

TEST(VmsaRights, HierarchicalAttributesOverManyLevels) {
  ims_pgt_format f;
  ims_vmsa_format(&f, IMS_PGT_VMSA_S1, IMS_GRANULE_4K, false, false, false);
  ims_pgt p = {};
  p.fmt = &f;
  auto over = [&](std::vector<uint64_t> tables, uint64_t leaf) {
    uint64_t all = ims_pgt_all(&p), any = 0;
    for (uint64_t t : tables)
      ims_pgt_collect(&p, false, t | 3, &all, &any);
    EXPECT_EQ(ims_pgt_perm_over(&p, all, any) & ~unsigned(R | W | X | PX | U), 0u);
    ims_pgt_collect(&p, true, leaf | 3, &all, &any);
    return ims_pgt_perm_over(&p, all, any);
  };
  EXPECT_EQ(over({0, 0, 0}, kAp1), unsigned(R | W | U | X | PX));
  EXPECT_EQ(over({kApTable1, kPxnTable, 0}, kAp1), unsigned(R | U | X));
  EXPECT_EQ(over({0, kXnTable, kApTable0}, kAp1), unsigned(R | W | PX));
  EXPECT_EQ(over({kAp2 | kUxn | kPxn, 0, 0}, kAp1), unsigned(R | W | U | X | PX)) << "leaf bits mean nothing in tables";
  p.flags = IMS_PGT_HAD;
  EXPECT_EQ(over({kApTable1, kPxnTable, kXnTable | kApTable0}, kAp1), unsigned(R | W | U | X | PX));
}

// D8.4.1.2 and pseudocode S1DirectBasePermissions, S1LDHasPermissionsFault.
TEST(VmsaRights, JudgementOfStage1) {
  const struct {
    unsigned perm, access, flags;
    ims_deny want;
  } rows[] = {
      {R | W | X | PX, R, 0, IMS_DENY_USER},
      {R | W | X | PX, R | PRIV, 0, IMS_DENY_NOTHING},
      {R | W | U, W, 0, IMS_DENY_NOTHING},
      {R | U, W, 0, IMS_DENY_WRITE},
      {R | U, W | PRIV, 0, IMS_DENY_WRITE},
      {R, W, 0, IMS_DENY_USER},
      {R | W, W | PRIV, 0, IMS_DENY_NOTHING},
      // Execution asks for the right to execute alone.
      {R | X, X, 0, IMS_DENY_NOTHING},
      {R | U | PX, X, 0, IMS_DENY_EXEC},
      {R | U | PX, X | PRIV, 0, IMS_DENY_NOTHING},
      {R | U | X, X | PRIV, 0, IMS_DENY_EXEC},
      {R | W | U | X | PX, X, 0, IMS_DENY_NOTHING},
      {R | W | U | X | PX, X | PRIV, 0, IMS_DENY_EXEC}, // writable by unprivileged software
      {R | W | X | PX, X | PRIV, 0, IMS_DENY_NOTHING},
      {R | W | U | X | PX, X | PRIV, IMS_PGT_ONE_EL, IMS_DENY_NOTHING},
      // WXN.
      {R | W | X | PX, X | PRIV, IMS_PGT_WXN, IMS_DENY_EXEC},
      {R | W | U | X, X, IMS_PGT_WXN, IMS_DENY_EXEC},
      {R | W | X | PX, X, IMS_PGT_WXN, IMS_DENY_NOTHING}, // unprivileged software may not write it
      {R | U | X | PX, X | PRIV, IMS_PGT_WXN, IMS_DENY_NOTHING},
      {R | W | U | X | PX, X | PRIV, IMS_PGT_WXN | IMS_PGT_ONE_EL, IMS_DENY_EXEC},
      {R | U | X | PX, X | PRIV, IMS_PGT_WXN | IMS_PGT_ONE_EL, IMS_DENY_NOTHING},
      // PAN, EPAN.
      {R | W | U, R | PRIV, IMS_PGT_PAN, IMS_DENY_USER},
      {R | W | U, W | PRIV, IMS_PGT_PAN, IMS_DENY_USER},
      {R | W | U, R, IMS_PGT_PAN, IMS_DENY_NOTHING},
      {R | W, R | PRIV, IMS_PGT_PAN, IMS_DENY_NOTHING},
      {R | X, R | PRIV, IMS_PGT_PAN, IMS_DENY_NOTHING},
      {R | X, R | PRIV, IMS_PGT_PAN | IMS_PGT_EPAN, IMS_DENY_USER},
      {R | PX, R | PRIV, IMS_PGT_PAN | IMS_PGT_EPAN, IMS_DENY_NOTHING},
      {R | X, R | PRIV, IMS_PGT_EPAN, IMS_DENY_NOTHING},     // EPAN alone does nothing
      {R | U | PX, X | PRIV, IMS_PGT_PAN, IMS_DENY_NOTHING}, // instructions are no data
      {R | W | U, R | PRIV, IMS_PGT_PAN | IMS_PGT_ONE_EL, IMS_DENY_NOTHING},
      // AArch32.
      {R | X | PX, X, IMS_PGT_AARCH32, IMS_DENY_EXEC}, // not readable
      {R | U | X | PX, X, IMS_PGT_AARCH32, IMS_DENY_NOTHING},
      {R | W | U | X | PX, X | PRIV, IMS_PGT_AARCH32, IMS_DENY_NOTHING},
      {R | W | U | X | PX, X | PRIV, IMS_PGT_AARCH32 | IMS_PGT_UWXN, IMS_DENY_EXEC},
      {R | W | X | PX, X | PRIV, IMS_PGT_AARCH32 | IMS_PGT_UWXN, IMS_DENY_NOTHING},
      {R | W | X | PX, X | PRIV, IMS_PGT_AARCH32 | IMS_PGT_WXN, IMS_DENY_EXEC},
  };
  ims_pgt_format f;
  ims_vmsa_format(&f, IMS_PGT_VMSA_S1, IMS_GRANULE_4K, false, false, false);
  for (const auto &row : rows) {
    ims_pgt p = {};
    p.fmt = &f;
    p.flags = row.flags;
    EXPECT_EQ(ims_fs_judge(&p, row.perm, row.access), row.want)
        << "perm " << row.perm << " access " << row.access << " flags " << std::hex << row.flags;
  }
}

TEST(VmsaRights, Stage2) {
  const struct {
    unsigned ap, xn; // S2AP, XN[1:0]
    bool xnx;
    unsigned perm;
  } rows[] = {
      {0, 0, true, U | X | PX},         {1, 0, true, U | R | X | PX},      {2, 0, true, U | W | X | PX},
      {3, 0, true, U | R | W | X | PX}, {3, 1, true, U | R | W | X},       {3, 2, true, U | R | W},
      {3, 3, true, U | R | W | PX},     {3, 1, false, U | R | W | X | PX}, {3, 2, false, U | R | W},
      {3, 3, false, U | R | W},
  };
  for (const auto &row : rows) {
    ims_pgt_format f;
    ims_vmsa_format(&f, IMS_PGT_VMSA_S2, IMS_GRANULE_4K, false, false, row.xnx);
    ims_pgt p = {};
    p.fmt = &f;
    uint64_t e = uint64_t(row.ap) << 6 | uint64_t(row.xn) << 53;
    EXPECT_EQ(ims_pgt_perm(&p, e), row.perm) << "S2AP " << row.ap << " XN " << row.xn << " XNX " << row.xnx;
    p.d_bit = 1 << 7;
    EXPECT_EQ(ims_pgt_perm(&p, e | kDbm), row.perm | W) << "writable and clean";
    p.d_bit = 0;
    EXPECT_EQ(ims_pgt_perm(&p, e | kDbm), row.perm) << "without HD";
  }
  const struct {
    unsigned perm, access;
    ims_deny want;
  } judged[] = {
      {R | W, R | W, IMS_DENY_NOTHING},
      {R, R | W, IMS_DENY_WRITE},
      {W, R | W, IMS_DENY_READ},
      {W, W, IMS_DENY_NOTHING},
      {0, R, IMS_DENY_READ},
      {X, X, IMS_DENY_NOTHING},
      {PX, X, IMS_DENY_EXEC},
      {PX, X | PRIV, IMS_DENY_NOTHING},
      {R | W | X, X | PRIV, IMS_DENY_EXEC},
      {X, R, IMS_DENY_READ},
  };
  ims_pgt_format f;
  ims_vmsa_format(&f, IMS_PGT_VMSA_S2, IMS_GRANULE_4K, false, false, true);
  ims_pgt p = {};
  p.fmt = &f;
  for (const auto &row : judged)
    EXPECT_EQ(ims_ss_judge(&p, row.perm | U, row.access), row.want) << row.perm << " " << row.access;
}

// D8.5: what hardware writes.
TEST(VmsaUpdates, AccessFlagAndDirtyState) {
  for (ims_pgt_kind stage : kStages) {
    ims_pgt_format f;
    ims_vmsa_format(&f, stage, IMS_GRANULE_4K, false, false, false);
    ims_pgt p = {};
    p.fmt = &f;
    p.a_bits = 1 << 10;
    p.d_bit = 1 << 7;
    bool one = stage == IMS_PGT_VMSA_S1;
    EXPECT_EQ(ims_pgt_used(&p, 3), 3u | 1u << 10);
    EXPECT_EQ(ims_pgt_used_table(&p, 3), 3u) << "tables have no flag";
    p.flags = IMS_PGT_HAFT;
    EXPECT_EQ(ims_pgt_used_table(&p, 3), 3u | 1u << 10);
    EXPECT_EQ(ims_pgt_dirtied(&p, 3 | 1u << 7), 3u | 1u << 7) << "no DBM";
    EXPECT_EQ(ims_pgt_dirtied(&p, 3), 3u);
    EXPECT_EQ(ims_pgt_dirtied(&p, kDbm | 3 | (one ? 1u << 7 : 0u)), kDbm | 3 | (one ? 0u : 1u << 7));
    p.flags = IMS_PGT_AF_FAULTS;
    EXPECT_TRUE(ims_pgt_af_faults(&p, 3));
    EXPECT_FALSE(ims_pgt_af_faults(&p, 3 | 1u << 10));
    p.flags = 0;
    EXPECT_FALSE(ims_pgt_af_faults(&p, 3));
  }
}

TEST(VmsaFormat, BigEndianWords) {
  ims_pgt_format f;
  ims_vmsa_format(&f, IMS_PGT_VMSA_S1, IMS_GRANULE_4K, false, false, false);
  ims_pgt p = {};
  p.fmt = &f;
  EXPECT_EQ(ims_pgt_swap(&p, 0x0102030405060708ull), 0x0102030405060708ull);
  p.flags = IMS_PGT_BE;
  EXPECT_EQ(ims_pgt_swap(&p, 0x0102030405060708ull), 0x0807060504030201ull);
}

// Memory types. MAIR bytes: 0x00 nGnRnE, 0x04 nGnRE, 0x08 nGRE, 0x0c GRE, 0x44 non-cacheable, 0xbb write-through,
// 0xff write-back. SH: 0 non-, 2 outer, 3 inner shareable.
struct Memory {
  unsigned mair, sh;
};

unsigned combine(bool fwb, bool has_s1, Memory s1, unsigned memattr, unsigned sh2, unsigned *sh) {
  ims_pgt_format f;
  ims_vmsa_format(&f, IMS_PGT_VMSA_S2, IMS_GRANULE_16K, false, false, false);
  ims_pgt p = {};
  p.fmt = &f;
  p.flags = fwb ? unsigned(IMS_PGT_FWB) : 0u;
  unsigned memory = ims_vmsa_s2_memory(&p, memattr << 2 | sh2 << 8);
  EXPECT_EQ(memory, memattr | sh2 << 4);
  uint32_t attr = 14u << IMS_ATTR_S1_SHIFT | 1u << IMS_ATTR_S1_PAGE | 1u << IMS_ATTR_GLOBAL;
  attr = has_s1 ? attr | s1.mair << IMS_ATTR_MEM | s1.sh << IMS_ATTR_SH : 0;
  uint32_t got = ims_vmsa_s2_attr(&p, has_s1, attr, memory, 25);
  EXPECT_EQ(IMS_ATTR_GET(got, IMS_ATTR_S2_SHIFT, 6), 25u);
  EXPECT_EQ(IMS_ATTR_GET(got, IMS_ATTR_S2_PAGE, 2), 2u);
  EXPECT_EQ(IMS_ATTR_GET(got, IMS_ATTR_S1_SHIFT, 6), has_s1 ? 14u : 0u) << "stage 1's own stays";
  EXPECT_EQ(IMS_ATTR_GET(got, IMS_ATTR_GLOBAL, 1), has_s1 ? 1u : 0u);
  EXPECT_EQ(IMS_ATTR_GET(got, IMS_ATTR_S2_MEM, 4), has_s1 ? 0u : memattr) << "kept for what a request brings";
  *sh = IMS_ATTR_GET(got, IMS_ATTR_SH, 2);
  return IMS_ATTR_GET(got, IMS_ATTR_MEM, 8);
}

TEST(VmsaMemory, Stage2Alone) {
  const struct {
    unsigned memattr, mair;
  } rows[] = {{0, 0x00}, {1, 0x04},  {2, 0x08},  {3, 0x0c},  {5, 0x44},  {6, 0x4b}, {7, 0x4f},
              {9, 0xb4}, {10, 0xbb}, {11, 0xbf}, {13, 0xf4}, {14, 0xfb}, {15, 0xff}};
  for (const auto &row : rows)
    for (unsigned sh2 : {0u, 2u, 3u}) {
      unsigned sh;
      EXPECT_EQ(combine(false, false, {}, row.memattr, sh2, &sh), row.mair) << "MemAttr " << row.memattr;
      EXPECT_EQ(sh, row.mair < 16 || row.mair == 0x44 ? 2u : sh2) << "MemAttr " << row.memattr << " SH " << sh2;
    }
}

// D8.6.5.1, tables of type and of cacheability.
TEST(VmsaMemory, TwoStages) {
  const struct {
    unsigned s1, memattr, mair;
  } rows[] = {
      {0xff, 15, 0xff},
      {0xff, 10, 0xbb},
      {0xff, 5, 0x44},
      {0xff, 1, 0x04},
      {0xff, 3, 0x0c},
      {0xff, 0, 0x00},
      {0xbb, 15, 0xbb},
      {0xbb, 10, 0xbb},
      {0xbb, 5, 0x44},
      {0xbb, 2, 0x08},
      {0x44, 15, 0x44},
      {0x44, 10, 0x44},
      {0x44, 1, 0x04},
      {0x00, 15, 0x00},
      {0x0c, 15, 0x0c},
      {0x0c, 5, 0x0c},
      {0x0c, 3, 0x0c},
      {0x0c, 1, 0x04},
      {0x04, 3, 0x04},
      {0x08, 0, 0x00},
      {0xff, 7, 0x4f},
      {0xff, 13, 0xf4},
      {0xf4, 7, 0x44},
      {0x4f, 15, 0x4f},
      // Hints of stage 1 stay with what is cacheable, transient ones too.
      {0xee, 15, 0xee},
      {0xee, 10, 0xaa},
      {0x77, 15, 0x77},
      {0x77, 10, 0x33},
      {0xcc, 15, 0xcc},
      {0x5d, 15, 0x5d},
      {0x33, 15, 0x33},
  };
  for (const auto &row : rows) {
    unsigned sh;
    EXPECT_EQ(combine(false, true, {row.s1, 3}, row.memattr, 3, &sh), row.mair)
        << std::hex << "stage 1 " << row.s1 << " MemAttr " << row.memattr;
    EXPECT_EQ(sh, row.mair < 16 || row.mair == 0x44 ? 2u : 3u) << std::hex << row.s1 << " " << row.memattr;
  }
}

// D8.6.6, table D8-101.
TEST(VmsaMemory, ForcedWriteBack) {
  const struct {
    unsigned s1, memattr, mair;
  } rows[] = {
      {0xff, 0, 0x00}, {0xff, 1, 0x04}, {0x44, 2, 0x08}, {0xbb, 3, 0x0c}, {0x04, 3, 0x04}, {0x0c, 1, 0x04},
      {0x08, 0, 0x00}, {0x0c, 3, 0x0c}, {0xff, 5, 0x44}, {0xbb, 5, 0x44}, {0x44, 5, 0x44}, {0x04, 5, 0x04},
      {0xff, 6, 0xff}, {0xbb, 6, 0xff}, {0x44, 6, 0xff}, {0x00, 6, 0xff}, {0x0c, 6, 0xff}, {0xee, 6, 0xee},
      {0xaa, 6, 0xee}, {0x33, 6, 0x77}, {0x4a, 6, 0xfe}, {0xff, 7, 0xff}, {0xbb, 7, 0xbb}, {0x44, 7, 0x44},
      {0x04, 7, 0x04}, {0x5d, 7, 0x5d},
  };
  for (const auto &row : rows)
    for (unsigned bit3 : {0u, 8u}) { // RES0 without MTE_PERM
      unsigned sh;
      EXPECT_EQ(combine(true, true, {row.s1, 3}, row.memattr | bit3, 3, &sh), row.mair)
          << std::hex << "stage 1 " << row.s1 << " MemAttr " << row.memattr;
      EXPECT_EQ(sh, row.mair < 16 || row.mair == 0x44 ? 2u : 3u) << std::hex << row.s1 << " " << row.memattr;
    }
}

// D8.6.7.1.
TEST(VmsaMemory, Shareability) {
  const struct {
    unsigned s1, s2, want;
  } rows[] = {{0, 0, 0}, {0, 3, 3}, {3, 0, 3}, {0, 2, 2}, {2, 0, 2}, {2, 3, 2}, {3, 2, 2}, {3, 3, 3}, {2, 2, 2}};
  for (const auto &row : rows)
    for (bool fwb : {false, true}) {
      unsigned sh;
      combine(fwb, true, {0xff, row.s1}, fwb ? 6 : 15, row.s2, &sh);
      EXPECT_EQ(sh, row.want) << row.s1 << " " << row.s2;
    }
}

TEST(VmsaMemory, Stage1LeafAndDs) {
  ims_pgt_format f;
  ims_vmsa_format(&f, IMS_PGT_VMSA_S1, IMS_GRANULE_64K, false, false, false);
  ims_pgt p = {};
  p.fmt = &f;
  p.mair = 0x0011223344556677ull;
  for (unsigned i = 0; i < 8; i++) {
    uint32_t attr = ims_vmsa_s1_attr(&p, i << 2 | 3u << 8 | 1u << 11, 29);
    EXPECT_EQ(IMS_ATTR_GET(attr, IMS_ATTR_MEM, 8), 0x77u - 0x11u * i);
    EXPECT_EQ(IMS_ATTR_GET(attr, IMS_ATTR_SH, 2), i == 3 || i == 7 ? 2u : 3u) << "non-cacheable, Device: outer";
    EXPECT_EQ(IMS_ATTR_GET(attr, IMS_ATTR_S1_SHIFT, 6), 29u);
    EXPECT_EQ(IMS_ATTR_GET(attr, IMS_ATTR_S1_PAGE, 2), 3u);
    EXPECT_EQ(IMS_ATTR_GET(attr, IMS_ATTR_GLOBAL, 1), 0u);
  }
  EXPECT_EQ(IMS_ATTR_GET(ims_vmsa_s1_attr(&p, 0, 12), IMS_ATTR_GLOBAL, 1), 1u);
  // With DS bits 9:8 are of the address, and shareability is the stage's.
  ims_vmsa_format(&f, IMS_PGT_VMSA_S1, IMS_GRANULE_4K, true, false, false);
  p.sh = 2;
  EXPECT_EQ(IMS_ATTR_GET(ims_vmsa_s1_attr(&p, 3u << 8, 12), IMS_ATTR_SH, 2), 2u);
  p.sh = 0;
  EXPECT_EQ(IMS_ATTR_GET(ims_vmsa_s1_attr(&p, 3u << 8, 12), IMS_ATTR_SH, 2), 0u);
  p.sh = 2;
  ims_vmsa_format(&f, IMS_PGT_VMSA_S2, IMS_GRANULE_4K, true, false, false);
  EXPECT_EQ(ims_vmsa_s2_memory(&p, 15u << 2 | 3u << 8), 15u | 2u << 4);
}

TEST(VmsaMemory, WhatIsDeviceInStage2) {
  ims_pgt p = {};
  for (unsigned memattr = 0; memattr < 16; memattr++) {
    p.flags = 0;
    EXPECT_EQ(ims_vmsa_s2_device(&p, memattr), memattr < 4) << memattr;
    p.flags = IMS_PGT_FWB;
    EXPECT_EQ(ims_vmsa_s2_device(&p, memattr), (memattr & 7) < 4) << memattr;
  }
}

} // namespace
