// SPDX-License-Identifier: Apache-2.0
// The registers as software sees them: rows and fields, reset values, what can be written and when, what a write sets
// off. Arm IHI 0070, chapter 6.
#include "tests/iommu/smmuv3/bare_unit.h"

#include <set>

namespace smmuv3 {
namespace {

constexpr uint64_t bit(unsigned n) { return uint64_t(1) << n; }
constexpr uint64_t bits(unsigned high, unsigned low) { return IMS_REG_BITS(high, low); }
constexpr uint64_t kSmmuEn = bit(0), kPriqEn = bit(1), kEventqEn = bit(2), kCmdqEn = bit(3);

// Every register, out of section 6.2 and the sections of the fields: what software can write of it with all features but
// broadcast maintenance, 48 bits of output address, and queues of 2^19 entries.
struct Row {
  ims_smmuv3_reg reg;
  uint32_t offset;
  unsigned bytes;
  uint64_t reset, writable;
};
const Row kRows[] = {
    {IMS_SMMUV3_IDR0, 0x0000, 4, 0, 0}, // ID registers: see Identification
    {IMS_SMMUV3_IDR1, 0x0004, 4, 0, 0},
    {IMS_SMMUV3_IDR2, 0x0008, 4, 0, 0},
    {IMS_SMMUV3_IDR3, 0x000c, 4, 0, 0},
    {IMS_SMMUV3_IDR4, 0x0010, 4, 0, 0},
    {IMS_SMMUV3_IDR5, 0x0014, 4, 0, 0},
    {IMS_SMMUV3_IIDR, 0x0018, 4, 0, 0},
    {IMS_SMMUV3_AIDR, 0x001c, 4, 0, 0},
    {IMS_SMMUV3_CR0, 0x0020, 4, 0, 0x1df},
    {IMS_SMMUV3_CR0ACK, 0x0024, 4, 0, 0},
    {IMS_SMMUV3_CR1, 0x0028, 4, 0, 0xfff},
    {IMS_SMMUV3_CR2, 0x002c, 4, 0, 0xb},
    {IMS_SMMUV3_STATUSR, 0x0040, 4, 0, 0},
    {IMS_SMMUV3_GBPA, 0x0044, 4, 0x1000, 0x1f3f1f},
    {IMS_SMMUV3_AGBPA, 0x0048, 4, 0, 0},
    {IMS_SMMUV3_IRQ_CTRL, 0x0050, 4, 0, 7},
    {IMS_SMMUV3_IRQ_CTRLACK, 0x0054, 4, 0, 0},
    {IMS_SMMUV3_GERROR, 0x0060, 4, 0, 0},
    {IMS_SMMUV3_GERRORN, 0x0064, 4, 0, 0x1fd},
    {IMS_SMMUV3_GERROR_IRQ_CFG0, 0x0068, 8, 0, 0x0000fffffffffffc},
    {IMS_SMMUV3_GERROR_IRQ_CFG1, 0x0070, 4, 0, 0xffffffff},
    {IMS_SMMUV3_GERROR_IRQ_CFG2, 0x0074, 4, 0, 0x3f},
    {IMS_SMMUV3_STRTAB_BASE, 0x0080, 8, 0, 0x4000ffffffffffc0},
    {IMS_SMMUV3_STRTAB_BASE_CFG, 0x0088, 4, 0, 0x307ff},
    {IMS_SMMUV3_CMDQ_BASE, 0x0090, 8, 0, 0x4000ffffffffffff},
    {IMS_SMMUV3_CMDQ_PROD, 0x0098, 4, 0, 0xfffff},
    {IMS_SMMUV3_CMDQ_CONS, 0x009c, 4, 0, 0x7f0fffff},
    {IMS_SMMUV3_EVENTQ_BASE, 0x00a0, 8, 0, 0x4000ffffffffffff},
    {IMS_SMMUV3_EVENTQ_IRQ_CFG0, 0x00b0, 8, 0, 0x0000fffffffffffc},
    {IMS_SMMUV3_EVENTQ_IRQ_CFG1, 0x00b8, 4, 0, 0xffffffff},
    {IMS_SMMUV3_EVENTQ_IRQ_CFG2, 0x00bc, 4, 0, 0x3f},
    {IMS_SMMUV3_PRIQ_BASE, 0x00c0, 8, 0, 0x4000ffffffffffff},
    {IMS_SMMUV3_PRIQ_IRQ_CFG0, 0x00d0, 8, 0, 0x0000fffffffffffc},
    {IMS_SMMUV3_PRIQ_IRQ_CFG1, 0x00d8, 4, 0, 0xffffffff},
    {IMS_SMMUV3_PRIQ_IRQ_CFG2, 0x00dc, 4, 0, 0x8000003f},
    {IMS_SMMUV3_EVENTQ_PROD, 0x100a8, 4, 0, 0x800fffff},
    {IMS_SMMUV3_EVENTQ_CONS, 0x100ac, 4, 0, 0x800fffff},
    {IMS_SMMUV3_PRIQ_PROD, 0x100c8, 4, 0, 0x800fffff},
    {IMS_SMMUV3_PRIQ_CONS, 0x100cc, 4, 0, 0x800fffff},
};

bool is_id(ims_smmuv3_reg r) { return r <= IMS_SMMUV3_AIDR; }

Features large_queues() {
  Features f;
  f.cmdqs = f.eventqs = f.priqs = 19;
  return f;
}

// Indexes have as many bits as the queue's size leaves them.
void largest_queues(BareUnit &u) {
  for (ims_smmuv3_reg r : {IMS_SMMUV3_CMDQ_BASE, IMS_SMMUV3_EVENTQ_BASE, IMS_SMMUV3_PRIQ_BASE})
    u.put(r, 19);
}

TEST(RegisterTable, IsTheManual) {
  ASSERT_EQ(size_t(IMS_SMMUV3_REG_COUNT), sizeof kRows / sizeof kRows[0]);
  for (const Row &row : kRows) {
    SCOPED_TRACE(ims_smmuv3_regs[row.reg].name);
    EXPECT_EQ(row.offset, ims_smmuv3_regs[row.reg].offset);
    EXPECT_EQ(row.bytes, ims_smmuv3_regs[row.reg].bytes);
    EXPECT_EQ(row.reset, ims_smmuv3_regs[row.reg].reset);
    EXPECT_EQ(0, std::string(ims_smmuv3_regs[row.reg].section).find("6.3."));
  }
}

TEST(RegisterTable, FieldsFitAndDoNotOverlap) {
  for (unsigned r = 0; r < IMS_SMMUV3_REG_COUNT; r++) {
    uint64_t seen = 0;
    for (unsigned i = 0; i < ims_smmuv3_field_count; i++) {
      const ims_reg_field &f = ims_smmuv3_fields[i];
      if (f.reg != r)
        continue;
      SCOPED_TRACE(testing::Message() << ims_smmuv3_regs[r].name << "." << f.name);
      ASSERT_LE(f.low, f.high);
      EXPECT_LT(f.high, ims_smmuv3_regs[r].bytes * 8);
      EXPECT_FALSE(seen & bits(f.high, f.low));
      seen |= bits(f.high, f.low);
    }
    EXPECT_FALSE(ims_smmuv3_regs[r].reset & ~seen) << ims_smmuv3_regs[r].name << " resets bits without a field";
  }
}

TEST(RegisterTable, RegistersDoNotOverlapAndAreAligned) {
  std::set<uint32_t> used;
  for (const ims_reg_info &r : ims_smmuv3_regs) {
    EXPECT_EQ(0u, r.offset % r.bytes) << r.name;
    for (uint32_t b = 0; b < r.bytes; b += 4)
      EXPECT_TRUE(used.insert(r.offset + b).second) << r.name;
  }
}

TEST(Register, EachBeginsAtItsResetValue) {
  BareUnit u;
  for (const Row &row : kRows)
    if (!is_id(row.reg)) {
      EXPECT_EQ(row.reset, u.get(row.reg)) << ims_smmuv3_regs[row.reg].name;
    }
}

// Reserved bits, read-only bits and bits of the hardware's stay as they are; each of the others takes what is written.
TEST(Register, WhatSoftwareCanWrite) {
  for (const Row &row : kRows) {
    for (uint64_t value : {~uint64_t(0), uint64_t(0x5555555555555555), uint64_t(0xaaaaaaaaaaaaaaaa)}) {
      SCOPED_TRACE(testing::Message() << ims_smmuv3_regs[row.reg].name << " " << std::hex << value);
      BareUnit u(large_queues());
      largest_queues(u);
      uint64_t before = u.get(row.reg);
      if (row.reg == IMS_SMMUV3_GBPA)
        value |= bit(31);
      u.put(row.reg, value);
      EXPECT_EQ((before & ~row.writable) | (value & row.writable), u.get(row.reg));
    }
  }
}

TEST(Register, HalvesOf64Bits) {
  for (const Row &row : kRows) {
    if (row.bytes != 8)
      continue;
    SCOPED_TRACE(ims_smmuv3_regs[row.reg].name);
    BareUnit u;
    const uint64_t low = row.writable & 0xffffffff, high = row.writable & ~uint64_t(0xffffffff);
    u.write(row.offset + 4, 4, 0xffffffff);
    EXPECT_EQ(high, u.read(row.offset, 8));
    u.write(row.offset, 4, 0xffffffff);
    EXPECT_EQ(row.writable, u.read(row.offset, 8));
    u.write(row.offset + 4, 4, 0);
    EXPECT_EQ(low, u.read(row.offset, 8));
    EXPECT_EQ(low, u.read(row.offset, 4));
    EXPECT_EQ(0u, u.read(row.offset + 4, 4));
  }
}

// 6.2 leaves it open; here it is as two accesses.
TEST(Register, EightBytesOverTwoRegisters) {
  BareUnit u;
  u.write(0x0028, 8, 0x0000000b00000fff);
  EXPECT_EQ(0xfffu, u.get(IMS_SMMUV3_CR1));
  EXPECT_EQ(0xbu, u.get(IMS_SMMUV3_CR2));
  EXPECT_EQ(0x0000000b00000fffu, u.read(0x0028, 8));
  u.write(0x0040, 8, uint64_t(bit(31) | bit(20)) << 32);
  EXPECT_EQ(bit(20), u.get(IMS_SMMUV3_GBPA)) << "the upper of the two";
  u.write(0x0020, 8, kCmdqEn | ~uint64_t(0) << 32);
  EXPECT_EQ(kCmdqEn | kCmdqEn << 32, u.read(0x0020, 8)) << "CR0ACK is read-only";
}

TEST(Register, OtherAccessesReadNothingAndWriteNothing) {
  BareUnit u;
  for (uint32_t r = 0; r < IMS_SMMUV3_REG_COUNT; r++) {
    const ims_reg_info &info = ims_smmuv3_regs[r];
    SCOPED_TRACE(info.name);
    const uint64_t before = u.raw(static_cast<ims_smmuv3_reg>(r));
    for (unsigned size : {0u, 1u, 2u, 3u, 5u, 16u}) {
      EXPECT_EQ(0u, u.read(info.offset, size));
      u.write(info.offset, size, ~uint64_t(0));
    }
    for (uint32_t shift : {1u, 2u, 3u}) {
      EXPECT_EQ(0u, u.read(info.offset + shift, 4));
      u.write(info.offset + shift, 4, ~uint64_t(0));
      EXPECT_EQ(0u, u.read(info.offset + shift, 8));
      u.write(info.offset + shift, 8, ~uint64_t(0));
    }
    if (info.offset % 8 == 0) {
      EXPECT_EQ(0u, u.read(info.offset + 4, 8));
      u.write(info.offset + 4, 8, ~uint64_t(0));
    }
    EXPECT_EQ(before, u.raw(static_cast<ims_smmuv3_reg>(r)));
  }
}

TEST(Register, NothingLiesBetweenAndBehind) {
  BareUnit u;
  std::set<uint32_t> used;
  for (const ims_reg_info &r : ims_smmuv3_regs)
    for (uint32_t b = 0; b < r.bytes; b += 4)
      used.insert(r.offset + b);
  for (uint32_t offset = 0; offset < 0x20000; offset += 4) {
    if (used.count(offset))
      continue;
    u.write(offset, 4, ~uint64_t(0));
    ASSERT_EQ(0u, u.read(offset, 4)) << std::hex << offset;
  }
  for (uint32_t offset : {0x1fffcu, 0x20000u, 0x20004u, 0x40000u, 0x7ffffffcu, 0xfffffff8u, 0xfffffffcu})
    for (unsigned size : {4u, 8u}) {
      u.write(offset, size, ~uint64_t(0));
      EXPECT_EQ(0u, u.read(offset, size)) << std::hex << offset;
    }
  for (const Row &row : kRows)
    if (!is_id(row.reg)) {
      EXPECT_EQ(row.reset, u.get(row.reg)) << ims_smmuv3_regs[row.reg].name;
    }
}

// 6.2: both may alias each other; here they do not.
TEST(Register, PagesDoNotAlias) {
  BareUnit u(large_queues());
  largest_queues(u);
  for (ims_smmuv3_reg r :
       {IMS_SMMUV3_EVENTQ_PROD, IMS_SMMUV3_EVENTQ_CONS, IMS_SMMUV3_PRIQ_PROD, IMS_SMMUV3_PRIQ_CONS}) {
    u.put(r, 0x80000003);
    EXPECT_EQ(0u, u.read(ims_smmuv3_regs[r].offset - 0x10000, 4)) << ims_smmuv3_regs[r].name;
    u.write(ims_smmuv3_regs[r].offset - 0x10000, 4, 5);
    EXPECT_EQ(0x80000003u, u.get(r)) << ims_smmuv3_regs[r].name;
  }
  EXPECT_EQ(0u, u.read(0x10000, 4)) << "IDR0 is on page 0 only";
  u.write(0x10020, 4, kCmdqEn);
  EXPECT_EQ(0u, u.get(IMS_SMMUV3_CR0));
}

// Guarded registers.

// What enables a guard, what it guards, and which bits of that.
struct Guard {
  ims_smmuv3_reg control;
  uint64_t enable;
  ims_smmuv3_reg reg;
  uint64_t mask;
};
const Guard kGuards[] = {
    {IMS_SMMUV3_CR0, kSmmuEn, IMS_SMMUV3_STRTAB_BASE, ~uint64_t(0)},
    {IMS_SMMUV3_CR0, kSmmuEn, IMS_SMMUV3_STRTAB_BASE_CFG, ~uint64_t(0)},
    {IMS_SMMUV3_CR0, kSmmuEn, IMS_SMMUV3_CR2, ~uint64_t(0)},
    {IMS_SMMUV3_CR0, kSmmuEn, IMS_SMMUV3_CR1, 0xfc0},
    {IMS_SMMUV3_CR0, kCmdqEn, IMS_SMMUV3_CR1, 0x03f},
    {IMS_SMMUV3_CR0, kEventqEn, IMS_SMMUV3_CR1, 0x03f},
    {IMS_SMMUV3_CR0, kPriqEn, IMS_SMMUV3_CR1, 0x03f},
    {IMS_SMMUV3_CR0, kCmdqEn, IMS_SMMUV3_CMDQ_BASE, ~uint64_t(0)},
    {IMS_SMMUV3_CR0, kCmdqEn, IMS_SMMUV3_CMDQ_CONS, ~uint64_t(0)},
    {IMS_SMMUV3_CR0, kEventqEn, IMS_SMMUV3_EVENTQ_BASE, ~uint64_t(0)},
    {IMS_SMMUV3_CR0, kEventqEn, IMS_SMMUV3_EVENTQ_PROD, ~uint64_t(0)},
    {IMS_SMMUV3_CR0, kPriqEn, IMS_SMMUV3_PRIQ_BASE, ~uint64_t(0)},
    {IMS_SMMUV3_CR0, kPriqEn, IMS_SMMUV3_PRIQ_PROD, ~uint64_t(0)},
    {IMS_SMMUV3_IRQ_CTRL, 1, IMS_SMMUV3_GERROR_IRQ_CFG0, ~uint64_t(0)},
    {IMS_SMMUV3_IRQ_CTRL, 1, IMS_SMMUV3_GERROR_IRQ_CFG1, ~uint64_t(0)},
    {IMS_SMMUV3_IRQ_CTRL, 1, IMS_SMMUV3_GERROR_IRQ_CFG2, ~uint64_t(0)},
    {IMS_SMMUV3_IRQ_CTRL, 2, IMS_SMMUV3_PRIQ_IRQ_CFG0, ~uint64_t(0)},
    {IMS_SMMUV3_IRQ_CTRL, 2, IMS_SMMUV3_PRIQ_IRQ_CFG1, ~uint64_t(0)},
    {IMS_SMMUV3_IRQ_CTRL, 2, IMS_SMMUV3_PRIQ_IRQ_CFG2, ~uint64_t(0)},
    {IMS_SMMUV3_IRQ_CTRL, 4, IMS_SMMUV3_EVENTQ_IRQ_CFG0, ~uint64_t(0)},
    {IMS_SMMUV3_IRQ_CTRL, 4, IMS_SMMUV3_EVENTQ_IRQ_CFG1, ~uint64_t(0)},
    {IMS_SMMUV3_IRQ_CTRL, 4, IMS_SMMUV3_EVENTQ_IRQ_CFG2, ~uint64_t(0)},
};

uint64_t writable(ims_smmuv3_reg r) {
  for (const Row &row : kRows)
    if (row.reg == r)
      return row.writable;
  return 0;
}

TEST(Guarded, IsReadOnlyWhileEnabled) {
  for (const Guard &g : kGuards) {
    SCOPED_TRACE(testing::Message() << ims_smmuv3_regs[g.reg].name << " by " << ims_smmuv3_regs[g.control].name << " "
                                    << g.enable);
    BareUnit u(large_queues());
    largest_queues(u);
    const uint64_t before = u.get(g.reg), all = writable(g.reg);
    u.put(g.control, g.enable);
    u.put(g.reg, ~before);
    EXPECT_EQ(before & g.mask, u.get(g.reg) & g.mask) << "ignored";
    EXPECT_EQ(~before & all & ~g.mask, u.get(g.reg) & all & ~g.mask) << "not guarded by it";
    u.write(ims_smmuv3_regs[g.reg].offset, 4, ~before);
    EXPECT_EQ(before & g.mask, u.get(g.reg) & g.mask) << "nor by halves";
    u.put(g.control, 0);
    u.put(g.reg, ~before);
    EXPECT_EQ(~before & all, u.get(g.reg) & all);
  }
}

// All other enables at once do not matter.
TEST(Guarded, ByNothingElse) {
  for (unsigned r = 0; r < IMS_SMMUV3_REG_COUNT; r++) {
    ims_smmuv3_reg reg = static_cast<ims_smmuv3_reg>(r);
    uint64_t cr0 = kSmmuEn | kPriqEn | kEventqEn | kCmdqEn, irq = 7;
    bool any = false;
    for (const Guard &g : kGuards)
      if (g.reg == reg) {
        (g.control == IMS_SMMUV3_CR0 ? cr0 : irq) &= ~g.enable;
        any = true;
      }
    if (!any)
      continue;
    SCOPED_TRACE(ims_smmuv3_regs[r].name);
    BareUnit u(large_queues());
    largest_queues(u);
    u.put(IMS_SMMUV3_CR0, cr0);
    u.put(IMS_SMMUV3_IRQ_CTRL, irq);
    const uint64_t before = u.get(reg);
    u.put(reg, ~before);
    EXPECT_EQ(~before & writable(reg), u.get(reg) & writable(reg));
  }
}

TEST(Guarded, IndexesOfSoftwareAndAcknowledgementsNeverAre) {
  BareUnit u(large_queues());
  largest_queues(u);
  u.put(IMS_SMMUV3_CR0, kSmmuEn | kPriqEn | kEventqEn);
  u.put(IMS_SMMUV3_IRQ_CTRL, 7);
  for (ims_smmuv3_reg r : {IMS_SMMUV3_EVENTQ_CONS, IMS_SMMUV3_PRIQ_CONS}) {
    u.put(r, 0x80000007);
    EXPECT_EQ(0x80000007u, u.get(r));
  }
  u.put(IMS_SMMUV3_CMDQ_PROD, 7);
  EXPECT_EQ(7u, u.get(IMS_SMMUV3_CMDQ_PROD));
}

// Control.

TEST(Control, IsAcknowledgedAtOnce) {
  BareUnit u;
  for (uint64_t value : {0x1dfu, 0x1d0u, 0x00fu, 0x000u}) {
    u.put(IMS_SMMUV3_CR0, value | ~uint64_t(0x1df));
    EXPECT_EQ(value, u.get(IMS_SMMUV3_CR0));
    EXPECT_EQ(value, u.get(IMS_SMMUV3_CR0ACK)) << "reserved fields are not reflected";
  }
  for (uint64_t value : {7u, 5u, 0u}) {
    u.put(IMS_SMMUV3_IRQ_CTRL, value | ~uint64_t(7));
    EXPECT_EQ(value, u.get(IMS_SMMUV3_IRQ_CTRL));
    EXPECT_EQ(value, u.get(IMS_SMMUV3_IRQ_CTRLACK));
  }
}

TEST(Control, TranslationOffBypassesOrAborts) {
  BareUnit u;
  EXPECT_EQ(IMS_STATUS_BYPASS, u.request(1, 0x1000).status);
  u.put(IMS_SMMUV3_GBPA, bit(20));
  EXPECT_EQ(0x1000u, u.get(IMS_SMMUV3_GBPA)) << "ignored without Update";
  EXPECT_EQ(IMS_STATUS_BYPASS, u.request(1, 0x1000).status);
  u.put(IMS_SMMUV3_GBPA, bit(31) | bit(20) | 0x1000);
  EXPECT_EQ(bit(20) | 0x1000, u.get(IMS_SMMUV3_GBPA)) << "Update is clear: it is in force";
  EXPECT_EQ(IMS_STATUS_ABORT, u.request(1, 0x1000).status);
  u.put(IMS_SMMUV3_GBPA, bit(31));
  EXPECT_EQ(0u, u.get(IMS_SMMUV3_GBPA));
  EXPECT_EQ(IMS_STATUS_BYPASS, u.request(1, 0x1000).status);
}

TEST(Control, TheStreamTableIsUsedOnlyWhenTranslationIsOn) {
  BareUnit u;
  u.put(IMS_SMMUV3_STRTAB_BASE_CFG, 0); // one stream
  u.put(IMS_SMMUV3_CR0, kSmmuEn);
  EXPECT_EQ(IMS_STATUS_FAULT, u.request(0, 0x1000).status) << "STE.V=0";
  u.put(IMS_SMMUV3_CR0, 0);
  EXPECT_EQ(IMS_STATUS_BYPASS, u.request(0, 0x1000).status);
  u.put(IMS_SMMUV3_STRTAB_BASE, 0x4000);
  u.store(0x4000, 1 | 4 << 1); // V, Config=bypass
  u.put(IMS_SMMUV3_CR0, kSmmuEn);
  ims_result r = u.request(0, 0x1000);
  EXPECT_NE(IMS_STATUS_FAULT, r.status);
  EXPECT_EQ(0x1000u, r.output);
}

// The command queue, as far as registers drive it.

constexpr uint64_t kQueue = 0x10000;
constexpr uint64_t kSync = 0x46, kIllegal = 0xff;

TEST(CommandQueue, RunsWhenEnabledAndWhenTheWriteIndexMoves) {
  BareUnit u;
  for (unsigned i = 0; i < 8; i++)
    u.store(kQueue + i * 16, kSync);
  u.put(IMS_SMMUV3_CMDQ_BASE, kQueue | 3);
  u.put(IMS_SMMUV3_CMDQ_PROD, 2);
  EXPECT_EQ(0u, u.get(IMS_SMMUV3_CMDQ_CONS)) << "off";
  u.put(IMS_SMMUV3_CR0, kCmdqEn);
  EXPECT_EQ(2u, u.get(IMS_SMMUV3_CMDQ_CONS)) << "what was there";
  u.put(IMS_SMMUV3_CMDQ_PROD, 5);
  EXPECT_EQ(5u, u.get(IMS_SMMUV3_CMDQ_CONS));
  u.put(IMS_SMMUV3_CR0, 0);
  u.put(IMS_SMMUV3_CMDQ_PROD, 6);
  EXPECT_EQ(5u, u.get(IMS_SMMUV3_CMDQ_CONS));
}

TEST(CommandQueue, AnErrorStopsItUntilItIsAcknowledged) {
  BareUnit u;
  u.store(kQueue, kSync);
  u.store(kQueue + 16, kIllegal);
  u.store(kQueue + 32, kSync);
  u.put(IMS_SMMUV3_CMDQ_BASE, kQueue | 3);
  u.put(IMS_SMMUV3_CR0, kCmdqEn);
  u.put(IMS_SMMUV3_CMDQ_PROD, 3);
  EXPECT_EQ(1u, u.get(IMS_SMMUV3_GERROR));
  EXPECT_EQ(1u | 1u << 24, u.get(IMS_SMMUV3_CMDQ_CONS)) << "the index stays on the command, CERROR_ILL";
  u.store(kQueue + 16, kSync);
  u.put(IMS_SMMUV3_CMDQ_PROD, 3);
  EXPECT_EQ(1u, u.get(IMS_SMMUV3_CMDQ_CONS) & 0xf) << "still stopped";
  u.put(IMS_SMMUV3_CR0, 0);
  u.put(IMS_SMMUV3_CR0, kCmdqEn);
  EXPECT_EQ(1u, u.get(IMS_SMMUV3_GERROR) ^ u.get(IMS_SMMUV3_GERRORN)) << "enabling acknowledges nothing";
  EXPECT_EQ(1u, u.get(IMS_SMMUV3_CMDQ_CONS) & 0xf);
  u.put(IMS_SMMUV3_GERRORN, 1);
  EXPECT_EQ(3u, u.get(IMS_SMMUV3_CMDQ_CONS) & 0xf);
  EXPECT_EQ(1u, u.get(IMS_SMMUV3_GERROR)) << "toggled by errors only";
  EXPECT_EQ(1u, u.get(IMS_SMMUV3_GERRORN));

  // The next error toggles it back.
  u.store(kQueue + 48, kIllegal);
  u.put(IMS_SMMUV3_CMDQ_PROD, 4);
  EXPECT_EQ(0u, u.get(IMS_SMMUV3_GERROR));
  EXPECT_EQ(3u | 1u << 24, u.get(IMS_SMMUV3_CMDQ_CONS));
  u.store(kQueue + 48, kSync);
  u.put(IMS_SMMUV3_GERRORN, 0);
  EXPECT_EQ(4u, u.get(IMS_SMMUV3_CMDQ_CONS) & 0xf);
}

TEST(CommandQueue, ReadIndexHasTheBitsOfTheQueue) {
  BareUnit u; // at most 2^10 commands
  u.put(IMS_SMMUV3_CMDQ_BASE, 3);
  u.put(IMS_SMMUV3_CMDQ_CONS, 0xfffff);
  EXPECT_EQ(0xfu, u.get(IMS_SMMUV3_CMDQ_CONS)) << "three bits and the wrap bit";
  u.put(IMS_SMMUV3_CMDQ_BASE, 1);
  EXPECT_EQ(0x3u, u.get(IMS_SMMUV3_CMDQ_CONS)) << "truncated";
  u.put(IMS_SMMUV3_CMDQ_BASE, 0);
  EXPECT_EQ(0x1u, u.get(IMS_SMMUV3_CMDQ_CONS)) << "one entry: the wrap bit alone";
  u.put(IMS_SMMUV3_CMDQ_BASE, 31);
  EXPECT_EQ(31u, u.get(IMS_SMMUV3_CMDQ_BASE)) << "reads as written";
  u.put(IMS_SMMUV3_CMDQ_CONS, 0x550fffff);
  EXPECT_EQ(0x550007ffu, u.get(IMS_SMMUV3_CMDQ_CONS)) << "IDR1.CMDQS is the limit";
  for (auto [base, prod] : {std::pair{IMS_SMMUV3_EVENTQ_BASE, IMS_SMMUV3_EVENTQ_PROD},
                            std::pair{IMS_SMMUV3_PRIQ_BASE, IMS_SMMUV3_PRIQ_PROD}}) {
    u.put(base, 2);
    u.put(prod, 0xffffffff);
    EXPECT_EQ(0x80000007u, u.get(prod));
    u.put(base, 1);
    EXPECT_EQ(0x80000003u, u.get(prod));
    u.put(base, 19);
    u.put(prod, 0xffffffff);
    EXPECT_EQ(0x800007ffu, u.get(prod));
  }
}

// Features.

TEST(Identification, ShowsTheConfiguration) {
  BareUnit u;
  for (ims_smmuv3_reg r : {IMS_SMMUV3_IDR0, IMS_SMMUV3_IDR1, IMS_SMMUV3_IDR2, IMS_SMMUV3_IDR3, IMS_SMMUV3_IDR4,
                           IMS_SMMUV3_IDR5, IMS_SMMUV3_AIDR}) {
    const uint64_t id = ims_smmuv3_id(&u.cfg, r);
    EXPECT_EQ(id, u.get(r)) << ims_smmuv3_regs[r].name;
    u.put(r, ~id);
    EXPECT_EQ(id, u.get(r)) << ims_smmuv3_regs[r].name << " is constant";
  }
  EXPECT_EQ(0u, u.get(IMS_SMMUV3_IIDR));
}

// Bits out of 6.3.1 to 6.3.8.
TEST(Identification, PositionsOfTheManual) {
  using C = ims_smmuv3_config;
  const struct {
    uint32_t C::*field;
    ims_smmuv3_reg reg;
    unsigned high, low;
  } cases[] = {
      {&C::s2p, IMS_SMMUV3_IDR0, 0, 0},
      {&C::s1p, IMS_SMMUV3_IDR0, 1, 1},
      {&C::ttf, IMS_SMMUV3_IDR0, 3, 2},
      {&C::cohacc, IMS_SMMUV3_IDR0, 4, 4},
      {&C::btm, IMS_SMMUV3_IDR0, 5, 5},
      {&C::httu, IMS_SMMUV3_IDR0, 7, 6},
      {&C::dormhint, IMS_SMMUV3_IDR0, 8, 8},
      {&C::hyp, IMS_SMMUV3_IDR0, 9, 9},
      {&C::ats, IMS_SMMUV3_IDR0, 10, 10},
      {&C::ns1ats, IMS_SMMUV3_IDR0, 11, 11},
      {&C::asid16, IMS_SMMUV3_IDR0, 12, 12},
      {&C::msi, IMS_SMMUV3_IDR0, 13, 13},
      {&C::sev, IMS_SMMUV3_IDR0, 14, 14},
      {&C::atos, IMS_SMMUV3_IDR0, 15, 15},
      {&C::pri, IMS_SMMUV3_IDR0, 16, 16},
      {&C::vmw, IMS_SMMUV3_IDR0, 17, 17},
      {&C::vmid16, IMS_SMMUV3_IDR0, 18, 18},
      {&C::cd2l, IMS_SMMUV3_IDR0, 19, 19},
      {&C::vatos, IMS_SMMUV3_IDR0, 20, 20},
      {&C::ttendian, IMS_SMMUV3_IDR0, 22, 21},
      {&C::atsrecerr, IMS_SMMUV3_IDR0, 23, 23},
      {&C::stall_model, IMS_SMMUV3_IDR0, 25, 24},
      {&C::term_model, IMS_SMMUV3_IDR0, 26, 26},
      {&C::st_level, IMS_SMMUV3_IDR0, 28, 27},
      {&C::sidsize, IMS_SMMUV3_IDR1, 5, 0},
      {&C::ssidsize, IMS_SMMUV3_IDR1, 10, 6},
      {&C::priqs, IMS_SMMUV3_IDR1, 15, 11},
      {&C::eventqs, IMS_SMMUV3_IDR1, 20, 16},
      {&C::cmdqs, IMS_SMMUV3_IDR1, 25, 21},
      {&C::attr_perms_ovr, IMS_SMMUV3_IDR1, 26, 26},
      {&C::attr_types_ovr, IMS_SMMUV3_IDR1, 27, 27},
      {&C::had, IMS_SMMUV3_IDR3, 2, 2},
      {&C::xnx, IMS_SMMUV3_IDR3, 4, 4},
      {&C::pps, IMS_SMMUV3_IDR3, 5, 5},
      {&C::fwb, IMS_SMMUV3_IDR3, 8, 8},
      {&C::stt, IMS_SMMUV3_IDR3, 9, 9},
      {&C::ril, IMS_SMMUV3_IDR3, 10, 10},
      {&C::bbml, IMS_SMMUV3_IDR3, 12, 11},
      {&C::e0pd, IMS_SMMUV3_IDR3, 13, 13},
      {&C::ptwnnc, IMS_SMMUV3_IDR3, 14, 14},
      {&C::pasidtt, IMS_SMMUV3_IDR3, 16, 16},
      {&C::epan, IMS_SMMUV3_IDR3, 17, 17},
      {&C::oas, IMS_SMMUV3_IDR5, 2, 0},
      {&C::gran4k, IMS_SMMUV3_IDR5, 4, 4},
      {&C::gran16k, IMS_SMMUV3_IDR5, 5, 5},
      {&C::gran64k, IMS_SMMUV3_IDR5, 6, 6},
      {&C::ds, IMS_SMMUV3_IDR5, 7, 7},
      {&C::vax, IMS_SMMUV3_IDR5, 11, 10},
      {&C::stall_max, IMS_SMMUV3_IDR5, 31, 16},
      {&C::version, IMS_SMMUV3_AIDR, 3, 0},
  };
  for (const auto &c : cases) {
    Features off, on;
    off.*c.field = 0;
    on.*c.field = static_cast<uint32_t>(bits(c.high - c.low, 0));
    for (ims_smmuv3_reg r : {IMS_SMMUV3_IDR0, IMS_SMMUV3_IDR1, IMS_SMMUV3_IDR3, IMS_SMMUV3_IDR5, IMS_SMMUV3_AIDR}) {
      EXPECT_EQ(r == c.reg ? bits(c.high, c.low) : 0, ims_smmuv3_id(&on, r) ^ ims_smmuv3_id(&off, r))
          << ims_smmuv3_regs[r].name << " bit " << c.low;
    }
    Features back;
    ims_smmuv3_config_from_id(&back, c.reg, ims_smmuv3_id(&on, c.reg));
    EXPECT_EQ(on.*c.field, back.*c.field) << ims_smmuv3_regs[c.reg].name << " bit " << c.low;
  }
}

// Bits that are reserved without a feature.
TEST(Features, MissingOnesReserveTheirBits) {
  using C = ims_smmuv3_config;
  const struct {
    uint32_t C::*feature;
    ims_smmuv3_reg reg;
    uint64_t mask;
  } cases[] = {
      {&C::vmw, IMS_SMMUV3_CR0, 0x1c0},    {&C::hyp, IMS_SMMUV3_CR2, 1},
      {&C::atsrecerr, IMS_SMMUV3_CR2, 8},  {&C::st_level, IMS_SMMUV3_STRTAB_BASE_CFG, 0x307c0},
      {&C::pri, IMS_SMMUV3_CR0, 2},        {&C::pri, IMS_SMMUV3_IRQ_CTRL, 2},
      {&C::pri, IMS_SMMUV3_GERRORN, 0x48}, {&C::msi, IMS_SMMUV3_GERRORN, 0xf0},
  };
  for (const auto &c : cases) {
    SCOPED_TRACE(testing::Message() << ims_smmuv3_regs[c.reg].name << std::hex << " " << c.mask);
    for (uint32_t there : {0u, 1u}) {
      Features f;
      if (c.feature == &C::st_level)
        f.sidsize = 6;
      f.*c.feature = there;
      BareUnit u(f);
      u.put(c.reg, ~uint64_t(0));
      EXPECT_EQ(there ? c.mask : 0, u.get(c.reg) & c.mask);
      EXPECT_EQ(writable(c.reg) & ~c.mask, u.get(c.reg) & ~c.mask) << "the others are there";
    }
  }
  Features f;
  f.ats = f.pri = 0;
  BareUnit u(f);
  u.put(IMS_SMMUV3_CR0, ~uint64_t(0));
  EXPECT_EQ(0x1cdu, u.get(IMS_SMMUV3_CR0)) << "ATSCHK and PRIQEN";
  EXPECT_EQ(0x1cdu, u.get(IMS_SMMUV3_CR0ACK));
  Features btm;
  btm.btm = 1;
  BareUnit with_btm(btm);
  with_btm.put(IMS_SMMUV3_CR2, ~uint64_t(0));
  EXPECT_EQ(0xfu, with_btm.get(IMS_SMMUV3_CR2));
}

TEST(Features, MissingOnesTakeTheirRegistersAway) {
  const ims_smmuv3_reg priq[] = {IMS_SMMUV3_PRIQ_BASE,     IMS_SMMUV3_PRIQ_IRQ_CFG0, IMS_SMMUV3_PRIQ_IRQ_CFG1,
                                 IMS_SMMUV3_PRIQ_IRQ_CFG2, IMS_SMMUV3_PRIQ_PROD,     IMS_SMMUV3_PRIQ_CONS};
  const ims_smmuv3_reg msi[] = {IMS_SMMUV3_GERROR_IRQ_CFG0, IMS_SMMUV3_GERROR_IRQ_CFG1, IMS_SMMUV3_GERROR_IRQ_CFG2,
                                IMS_SMMUV3_EVENTQ_IRQ_CFG0, IMS_SMMUV3_EVENTQ_IRQ_CFG1, IMS_SMMUV3_EVENTQ_IRQ_CFG2,
                                IMS_SMMUV3_PRIQ_IRQ_CFG0,   IMS_SMMUV3_PRIQ_IRQ_CFG1,   IMS_SMMUV3_PRIQ_IRQ_CFG2};
  Features without_pri;
  without_pri.pri = 0;
  BareUnit a(without_pri);
  for (ims_smmuv3_reg r : priq) {
    a.put(r, ~uint64_t(0));
    EXPECT_EQ(0u, a.get(r)) << ims_smmuv3_regs[r].name;
  }
  Features without_msi;
  without_msi.msi = 0;
  BareUnit b(without_msi);
  for (ims_smmuv3_reg r : msi) {
    b.put(r, ~uint64_t(0));
    EXPECT_EQ(0u, b.get(r)) << ims_smmuv3_regs[r].name;
  }
  b.put(IMS_SMMUV3_IRQ_CTRL, 7);
  EXPECT_EQ(7u, b.get(IMS_SMMUV3_IRQ_CTRLACK)) << "enables are there: interrupts may be wires";
  b.put(IMS_SMMUV3_PRIQ_BASE, 5);
  EXPECT_EQ(5u, b.get(IMS_SMMUV3_PRIQ_BASE));
}

// Address bits above the output size are RES0.
TEST(Features, AddressesHaveTheBitsOfTheOutputSize) {
  const unsigned sizes[] = {32, 36, 40, 42, 44, 48, 52};
  const struct {
    ims_smmuv3_reg reg;
    unsigned low;
  } addresses[] = {{IMS_SMMUV3_STRTAB_BASE, 6},  {IMS_SMMUV3_CMDQ_BASE, 5},       {IMS_SMMUV3_EVENTQ_BASE, 5},
                   {IMS_SMMUV3_PRIQ_BASE, 5},    {IMS_SMMUV3_GERROR_IRQ_CFG0, 2}, {IMS_SMMUV3_EVENTQ_IRQ_CFG0, 2},
                   {IMS_SMMUV3_PRIQ_IRQ_CFG0, 2}};
  for (unsigned oas = 0; oas < 7; oas++) {
    Features f;
    f.oas = oas;
    BareUnit u(f);
    EXPECT_EQ(sizes[oas], ims_smmuv3_oas(&f));
    for (const auto &a : addresses) {
      u.put(a.reg, ~uint64_t(0));
      EXPECT_EQ(bits(sizes[oas] - 1, a.low), u.get(a.reg) & bits(61, a.low)) << ims_smmuv3_regs[a.reg].name << oas;
    }
  }
}

} // namespace
} // namespace smmuv3
