// SPDX-License-Identifier: Apache-2.0
// A register file of its own: values, access classes, and how accesses of 4 and 8 bytes reach registers.
#include "iommu/regfile.h"

#include <gtest/gtest.h>

#include <tuple>
#include <vector>

namespace {

// Two registers of 4 bytes side by side, one of 8, one of 4 with a gap behind it, one in the last word of the span.
enum Reg : unsigned { kLow, kHigh, kWide, kAlone, kLast, kRegs };
constexpr uint32_t kSpan = 0x40;

const ims_reg_info kInfo[kRegs] = {
    {"LOW", "1", "", 0x00, 4, 0x11111111}, {"HIGH", "2", "", 0x04, 4, 0x22222222}, {"WIDE", "3", "", 0x08, 8, 0x99},
    {"ALONE", "4", "", 0x10, 4, 0},        {"LAST", "5", "", 0x3c, 4, 0xffffffff},
};

const ims_reg_field kFields[] = {
    {"RW", "", kLow, 31, 0, IMS_REG_RW},     {"RW", "", kHigh, 31, 16, IMS_REG_RW},
    {"RO", "", kHigh, 15, 0, IMS_REG_RO},    {"TOP", "", kWide, 63, 60, IMS_REG_RW},
    {"WO", "", kWide, 47, 32, IMS_REG_WO},   {"W1C", "", kWide, 15, 8, IMS_REG_W1C},
    {"ONE", "", kWide, 7, 7, IMS_REG_RW},    {"RO", "", kWide, 6, 0, IMS_REG_RO},
    {"GO", "", kAlone, 31, 31, IMS_REG_CMD}, {"ARGUMENT", "", kAlone, 3, 0, IMS_REG_RW},
};

struct Call {
  unsigned reg;
  uint64_t lanes, value;
  bool operator==(const Call &o) const { return std::tie(reg, lanes, value) == std::tie(o.reg, o.lanes, o.value); }
};
void PrintTo(const Call &c, std::ostream *os) {
  *os << kInfo[c.reg].name << std::hex << " lanes " << c.lanes << " value " << c.value;
}

class RegisterFile : public testing::Test {
protected:
  RegisterFile() {
    EXPECT_EQ(IMS_ERR_OK, ims_regfile_init(&f, kInfo, kRegs, kFields, sizeof kFields / sizeof kFields[0], kSpan));
  }
  ~RegisterFile() override { ims_regfile_fini(&f); }

  uint64_t read(uint32_t offset, unsigned size) { return ims_regfile_read(&f, offset, size); }
  // Stores, and returns what the split was.
  std::vector<Call> write(uint32_t offset, unsigned size, uint64_t value) {
    calls.clear();
    ims_regfile_write(
        &f, offset, size, value,
        [](void *self, unsigned reg, uint64_t lanes, uint64_t v) {
          auto *t = static_cast<RegisterFile *>(self);
          t->calls.push_back({reg, lanes, v});
          ims_regfile_store(&t->f, reg, lanes, v);
        },
        this);
    return calls;
  }

  ims_regfile f;
  std::vector<Call> calls;
};

TEST_F(RegisterFile, BeginsAtItsResetValues) {
  for (unsigned r = 0; r < kRegs; r++)
    EXPECT_EQ(kInfo[r].reset, f.reg[r]) << kInfo[r].name;
}

TEST_F(RegisterFile, ReadsWholeHalvesAndPairs) {
  f.reg[kWide] = 0x8877665544332211;
  EXPECT_EQ(0x11111111u, read(0x00, 4));
  EXPECT_EQ(0x22222222u, read(0x04, 4));
  EXPECT_EQ(0x2222222211111111u, read(0x00, 8)) << "two registers of 4 bytes";
  EXPECT_EQ(0x8877000044332211u, read(0x08, 8)) << "write-only bits read 0";
  EXPECT_EQ(0x44332211u, read(0x08, 4));
  EXPECT_EQ(0x88770000u, read(0x0c, 4));
  f.reg[kAlone] = 0x1234;
  EXPECT_EQ(0x1234u, read(0x10, 8)) << "nothing lies behind it";
  EXPECT_EQ(0xffffffffu, read(0x3c, 4));
  EXPECT_EQ(0xffffffff00000000u, read(0x38, 8));
  EXPECT_EQ(0u, read(0x18, 8));
  EXPECT_EQ(0u, read(0x14, 4));
}

TEST_F(RegisterFile, SplitsWritesIntoRegisters) {
  using Calls = std::vector<Call>;
  EXPECT_EQ((Calls{{kLow, 0xffffffff, 0xdddddddd}}), write(0x00, 4, 0xccccccccdddddddd)) << "4 bytes: the rest is cut";
  EXPECT_EQ((Calls{{kLow, 0xffffffff, 0xdddddddd}, {kHigh, 0xffffffff, 0xcccccccc}}),
            write(0x00, 8, 0xccccccccdddddddd))
      << "lowest first";
  EXPECT_EQ((Calls{{kWide, ~0ull, 0xccccccccdddddddd}}), write(0x08, 8, 0xccccccccdddddddd)) << "at once";
  EXPECT_EQ((Calls{{kWide, 0xffffffff, 0xdddddddd}}), write(0x08, 4, 0xdddddddd));
  EXPECT_EQ((Calls{{kWide, 0xffffffff00000000, 0xdddddddd00000000}}), write(0x0c, 4, 0xccccccccdddddddd));
  EXPECT_EQ((Calls{{kAlone, 0xffffffff, 0xdddddddd}}), write(0x10, 8, 0xccccccccdddddddd));
  EXPECT_EQ((Calls{{kLast, 0xffffffff, 0xcccccccc}}), write(0x38, 8, 0xccccccccdddddddd));
  EXPECT_EQ(Calls{}, write(0x14, 4, ~0ull));
  EXPECT_EQ(Calls{}, write(0x18, 8, ~0ull));
}

TEST_F(RegisterFile, OtherAccessesReadNothingAndWriteNothing) {
  const struct {
    uint32_t offset;
    unsigned size;
  } cases[] = {{0x01, 4},   {0x02, 4},       {0x04, 8},       {0x0c, 8},      {0x08, 1}, {0x08, 2},
               {0x08, 0},   {0x08, 3},       {0x08, 16},      {0x40, 4},      {0x40, 8}, {0x3c, 8},
               {0x1000, 4}, {0xfffffffc, 4}, {0xfffffff8, 8}, {0xffffffff, 4}};
  for (const auto &c : cases) {
    SCOPED_TRACE(testing::Message() << std::hex << c.offset << " size " << c.size);
    EXPECT_EQ(0u, read(c.offset, c.size));
    EXPECT_TRUE(write(c.offset, c.size, ~0ull).empty());
  }
  for (unsigned r = 0; r < kRegs; r++)
    EXPECT_EQ(kInfo[r].reset, f.reg[r]) << kInfo[r].name;
}

TEST_F(RegisterFile, ReadWriteBitsTakeTheValueAndOthersStay) {
  write(0x04, 4, 0xabcdffff);
  EXPECT_EQ(0xabcd2222u, f.reg[kHigh]);
  write(0x3c, 4, 0);
  EXPECT_EQ(0xffffffffu, f.reg[kLast]) << "no field: reserved";
}

TEST_F(RegisterFile, WriteOnlyBitsAreKeptButNotShown) {
  write(0x0c, 4, 0x0000beef);
  EXPECT_EQ(0x0000beefu, f.reg[kWide] >> 32);
  EXPECT_EQ(0u, read(0x0c, 4));
}

TEST_F(RegisterFile, OnesClear) {
  f.reg[kWide] = 0xff00;
  write(0x08, 4, 0x0300);
  EXPECT_EQ(0xfc00u, f.reg[kWide]);
  write(0x08, 4, 0);
  EXPECT_EQ(0xfc00u, f.reg[kWide]) << "zeros leave them";
  write(0x08, 8, 0xffff);
  EXPECT_EQ(0x0080u, f.reg[kWide]);
  f.reg[kWide] = 0xff00;
  write(0x0c, 4, 0xffffffff);
  EXPECT_EQ(0xff00u, f.reg[kWide] & 0xffff) << "the other half was not written";
}

TEST_F(RegisterFile, HalvesDoNotDisturbEachOther) {
  f.reg[kWide] = 0;
  write(0x0c, 4, 0xf0001234);
  write(0x08, 4, 0x80);
  EXPECT_EQ(0xf000123400000080u, f.reg[kWide]);
  write(0x0c, 4, 0);
  EXPECT_EQ(0x80u, f.reg[kWide]);
}

TEST_F(RegisterFile, CommandsAreNotStored) {
  write(0x10, 4, 0x80000005);
  EXPECT_EQ(5u, f.reg[kAlone]);
}

TEST_F(RegisterFile, StoreTellsWhetherAnythingCouldBeWritten) {
  EXPECT_TRUE(ims_regfile_store(&f, kLow, 0xffffffff, 0));
  EXPECT_FALSE(ims_regfile_store(&f, kLast, 0xffffffff, ~0ull));
  EXPECT_FALSE(ims_regfile_store(&f, kHigh, 0xffff, ~0ull)) << "read-only lanes";
  EXPECT_TRUE(ims_regfile_store(&f, kAlone, 0x80000000, 0)) << "a command counts";
  EXPECT_TRUE(ims_regfile_store(&f, kWide, 0xff00, 0)) << "so does a bit that a one clears";
  EXPECT_TRUE(ims_regfile_store(&f, kWide, 0xffffull << 32, 0));
  EXPECT_FALSE(ims_regfile_store(&f, kWide, 0, ~0ull));
}

TEST_F(RegisterFile, ARemovedRegisterIsGone) {
  ims_regfile_remove(&f, kWide);
  ims_regfile_remove(&f, kLow);
  EXPECT_EQ(0u, read(0x08, 8));
  EXPECT_EQ(0u, read(0x0c, 4));
  EXPECT_TRUE(write(0x08, 8, ~0ull).empty());
  EXPECT_TRUE(write(0x0c, 4, ~0ull).empty());
  EXPECT_EQ(0u, f.reg[kWide]);
  EXPECT_EQ(0x2222222200000000u, read(0x00, 8)) << "its neighbour stays";
  EXPECT_EQ((std::vector<Call>{{kHigh, 0xffffffff, 1}}), write(0x00, 8, 0x100000002));
}

TEST_F(RegisterFile, MayBeReleasedTwice) {
  ims_regfile_fini(&f);
  EXPECT_EQ(nullptr, f.reg);
}

TEST(RegisterBits, MaskOfAField) {
  EXPECT_EQ(1u, IMS_REG_BITS(0, 0));
  EXPECT_EQ(0xf0u, IMS_REG_BITS(7, 4));
  EXPECT_EQ(~0ull, IMS_REG_BITS(63, 0));
  EXPECT_EQ(1ull << 63, IMS_REG_BITS(63, 63));
}

} // namespace
