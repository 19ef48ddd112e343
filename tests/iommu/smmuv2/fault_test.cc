// SPDX-License-Identifier: Apache-2.0
// Context faults: each kind at each place of the walk, the bank that takes it, its registers, its order among others.
#include "tests/iommu/smmuv2/world.h"

#include <algorithm>

namespace smmu2 {
namespace {

constexpr uint32_t kAArch64 = 2 << 9;
constexpr uint32_t kWnr = 1 << 4, kPnu = 1 << 5, kInd = 1 << 6, kPtwf = 1 << 10;
uint32_t cb(unsigned bank) { return bank << 16; } // FSYNR0.S1CBNDX

Config plain() { return Config().no_caches(); }

// The request meets this fault, which stands in that bank with these words and is told in the result.
void expect_fault(Machine &w, const ims_request &req, unsigned code, unsigned bank, const Fault &want) {
  ims_result r = w.request(req);
  EXPECT_EQ(IMS_STATUS_FAULT, r.status);
  EXPECT_EQ(code, r.fault);
  EXPECT_EQ(IMS_CPL_UR, r.completion);
  EXPECT_TRUE(r.recorded);
  EXPECT_EQ(want, w.fault(bank));
  EXPECT_EQ(4, r.record_words);
  EXPECT_EQ(want.fsr | uint64_t(want.fsynr0) << 32, r.record[0]);
  EXPECT_EQ(want.far_, r.record[1]);
  EXPECT_EQ(want.ipafar, r.record[2]);
  EXPECT_EQ(want.fsynr1 | uint64_t(want.cbfrsynra) << 32, r.record[3]);
  for (unsigned n = 0; n < w.cfg.numcb; n++) {
    if (n != bank) {
      EXPECT_EQ(0u, w.fault(n).fsr) << "bank " << n;
    }
  }
  EXPECT_EQ(0u, w.global().gfsr);
  w.clear_faults();
  EXPECT_EQ(0u, w.fault(bank).fsr) << "format too";
}

Fault first_stage(unsigned code, unsigned level, unsigned bank, unsigned sid, uint32_t extra = 0) {
  return {1u << code | kAArch64, level | cb(bank) | extra, kVa, 0, 0, sid};
}

// A hole, an external abort, an address too large, at each level of stage 1 alone.
TEST(StageOne, EveryLevel) {
  for (int level = 0; level < 4; level++) {
    World w(plain());
    uint64_t at = w.first.at(kVa, level), good = w.load(at);
    unsigned l = static_cast<unsigned>(level);
    for (uint64_t hole : {uint64_t(0), good & ~uint64_t(1)}) {
      w.store(at, hole);
      expect_fault(w, dma(kFirst, kVa), IMS_SMMUV2_TF, kBankFirst, first_stage(1, l, kBankFirst, kFirst));
      EXPECT_EQ(l + 1, w.reads.size());
    }
    w.store(at, (good & 0xfff) | uint64_t(1) << 47 | kAbsent);
    if (level < 3)
      expect_fault(w, dma(kFirst, kVa), IMS_SMMUV2_EF, kBankFirst, first_stage(4, l + 1, kBankFirst, kFirst));
    w.put(IMS_SMMUV2_CB_TCR2, kBankFirst, 1 | 1 << 4 | 7 << 15); // PASize 36 bits
    expect_fault(w, dma(kFirst, kVa), IMS_SMMUV2_ASF, kBankFirst, first_stage(7, l, kBankFirst, kFirst));
  }
}

// A descriptor of a block where none may stand: no translation.
TEST(StageOne, BlocksAtTheWrongLevel) {
  World w(plain());
  w.store(w.first.at(kVa, 3), kPage | kS1All | 1);
  expect_fault(w, dma(kFirst, kVa), IMS_SMMUV2_TF, kBankFirst, first_stage(1, 3, kBankFirst, kFirst));
  w.store(w.first.at(kVa, 0), kS1All | 1);
  expect_fault(w, dma(kFirst, kVa), IMS_SMMUV2_TF, kBankFirst, first_stage(1, 0, kBankFirst, kFirst));
}

TEST(StageOne, AccessFlag) {
  World w(plain());
  w.first.map(kVa, kPage, kS1All & ~kS1Af);
  expect_fault(w, dma(kFirst, kVa), IMS_SMMUV2_AFF, kBankFirst, first_stage(2, 3, kBankFirst, kFirst));
  w.put(IMS_SMMUV2_CB_SCTLR, kBankFirst, kUsual | kAffd);
  EXPECT_GOES(w.request(dma(kFirst, kVa)), kPage);
}

TEST(StageOne, PermissionAndSyndrome) {
  World w(plain());
  w.first.map(kVa, kPage, (kS1All | kS1ReadOnly | kPxn) & ~kS1User);
  expect_fault(w, dma(kFirst, kVa), IMS_SMMUV2_PF, kBankFirst, first_stage(3, 3, kBankFirst, kFirst));
  expect_fault(w, dma(kFirst, kVa, IMS_ACC_W), IMS_SMMUV2_PF, kBankFirst, first_stage(3, 3, kBankFirst, kFirst, kWnr));
  expect_fault(w, dma(kFirst, kVa, IMS_ACC_W | IMS_ACC_PRIV), IMS_SMMUV2_PF, kBankFirst,
               first_stage(3, 3, kBankFirst, kFirst, kWnr | kPnu));
  expect_fault(w, dma(kFirst, kVa, IMS_ACC_R | IMS_ACC_X | IMS_ACC_PRIV), IMS_SMMUV2_PF, kBankFirst,
               first_stage(3, 3, kBankFirst, kFirst, kInd | kPnu));
  expect_fault(w, dma(kFirst, kVa, IMS_ACC_R | IMS_ACC_W), IMS_SMMUV2_PF, kBankFirst,
               first_stage(3, 3, kBankFirst, kFirst, kWnr));
}

// Where several apply, the earlier of the walk wins: translation, address size, access flag, permission.
TEST(StageOne, Priority) {
  World w(plain());
  w.put(IMS_SMMUV2_CB_TCR2, kBankFirst, 1 | 1 << 4 | 7 << 15);
  uint64_t at = w.first.at(kVa), all = (kPage | uint64_t(1) << 40 | kS1ReadOnly | 3);
  auto fault = [&](uint64_t e) {
    w.store(at, e);
    unsigned f = w.request(dma(kFirst, kVa, IMS_ACC_W)).fault;
    w.clear_faults();
    return f;
  };
  EXPECT_EQ(IMS_SMMUV2_TF, fault(all & ~uint64_t(1)));
  EXPECT_EQ(IMS_SMMUV2_ASF, fault(all));
  EXPECT_EQ(IMS_SMMUV2_AFF, fault(all & ~(uint64_t(1) << 40)));
  EXPECT_EQ(IMS_SMMUV2_PF, fault((all & ~(uint64_t(1) << 40)) | kS1Af));
}

// Registers that do not hold together: every use faults, before any table is read.
TEST(StageOne, Registers) {
  World w(plain());
  const uint64_t tcr = w.get(IMS_SMMUV2_CB_TCR, kBankFirst);
  auto expect = [&](unsigned code, unsigned fsr) {
    expect_fault(w, dma(kFirst, kVa), code, kBankFirst, first_stage(fsr, 0, kBankFirst, kFirst));
    EXPECT_EQ(0u, w.reads.size());
  };
  for (uint64_t bad : {(tcr & ~uint64_t(63)) | 15, (tcr & ~uint64_t(63)) | 40, tcr | 3 << 14}) {
    w.put(IMS_SMMUV2_CB_TCR, kBankFirst, bad);
    expect(IMS_SMMUV2_TF, 1);
  }
  w.put(IMS_SMMUV2_CB_TCR, kBankFirst, tcr);
  w.put(IMS_SMMUV2_CB_TCR2, kBankFirst, 1 | 1 << 4 | 7 << 15);
  w.put(IMS_SMMUV2_CB_TTBR0, kBankFirst, uint64_t(1) << 36);
  expect(IMS_SMMUV2_ASF, 7);
  w.put(IMS_SMMUV2_CB_TTBR0, kBankFirst, kAbsent);
  ims_result r = w.request(dma(kFirst, kVa));
  EXPECT_EQ(IMS_SMMUV2_EF, r.fault);
  EXPECT_EQ(1u, r.refs);
}

TEST(StageOne, FormatsThatAreNotThere) {
  Config c = plain();
  c.gran16k = 0;
  World w(c);
  w.put(IMS_SMMUV2_CB_TCR, kBankFirst, w.get(IMS_SMMUV2_CB_TCR, kBankFirst) | 2 << 14);
  EXPECT_EQ(IMS_SMMUV2_TF, w.request(dma(kFirst, kVa)).fault);
  EXPECT_EQ(2u, w.fault(kBankFirst).fsr >> 9 & 3);
  w.clear_faults();
  w.put(IMS_SMMUV2_CBA2R, kBankFirst, 0); // AArch32, EAE=0
  EXPECT_EQ(IMS_SMMUV2_TF, w.request(dma(kFirst, 0x1000)).fault) << "short descriptors";
  EXPECT_EQ(0u, w.fault(kBankFirst).fsr >> 9 & 3);
  c.ptfs = 2;
  World none(c);
  none.put(IMS_SMMUV2_CBA2R, kBankFirst, 0);
  none.put(IMS_SMMUV2_CB_TCR, kBankFirst, 1u << 31);
  EXPECT_EQ(IMS_SMMUV2_TF, none.request(dma(kFirst, 0x1000)).fault) << "long ones";
  EXPECT_EQ(1u, none.fault(kBankFirst).fsr >> 9 & 3);
}

// Stage 1 off: what leaves the output size.
TEST(StageOne, OffAndTooLarge) {
  Config c = plain();
  c.oas = 2, c.ias = 2; // 40 bits
  World w(c);
  w.put(IMS_SMMUV2_CB_SCTLR, kBankFirst, kUsual & ~kM);
  EXPECT_EQ(IMS_STATUS_BYPASS, w.request(dma(kFirst, (uint64_t(1) << 40) - 8)).status);
  EXPECT_EQ(IMS_SMMUV2_ASF, w.request(dma(kFirst, uint64_t(1) << 40)).fault);
}

Fault second_stage(unsigned code, unsigned level, unsigned sid, uint64_t ipa, uint32_t extra = 0) {
  return {1u << code | kAArch64, level | extra, kVa, ipa, 0, sid};
}

TEST(StageTwo, EveryLevel) {
  for (int level = 0; level < 4; level++) {
    World w(plain());
    uint64_t at = w.second.at(kVa, level), good = w.load(at);
    unsigned l = static_cast<unsigned>(level);
    w.store(at, good & ~uint64_t(1));
    expect_fault(w, dma(kSecond, kVa), IMS_SMMUV2_TF, kBankSecond, second_stage(1, l, kSecond, kVa));
    w.store(at, (good & 0xfff) | kAbsent);
    if (level < 3)
      expect_fault(w, dma(kSecond, kVa), IMS_SMMUV2_EF, kBankSecond, second_stage(4, l + 1, kSecond, kVa));
    w.store(at, (good & 0xfff) | uint64_t(1) << 40);
    w.put(IMS_SMMUV2_CB_TCR, kBankSecond, w.get(IMS_SMMUV2_CB_TCR, kBankSecond) & ~uint64_t(6 << 16)); // PS 36 bits
    expect_fault(w, dma(kSecond, kVa), IMS_SMMUV2_ASF, kBankSecond, second_stage(7, l, kSecond, kVa));
  }
}

TEST(StageTwo, AccessFlagAndPermission) {
  World w(plain());
  w.second.map(kVa, kPage, kS2All & ~kS2Af);
  expect_fault(w, dma(kSecond, kVa), IMS_SMMUV2_AFF, kBankSecond, second_stage(2, 3, kSecond, kVa));
  w.second.map(kVa, kPage, kS2All & ~kS2Write);
  expect_fault(w, dma(kSecond, kVa, IMS_ACC_W), IMS_SMMUV2_PF, kBankSecond, second_stage(3, 3, kSecond, kVa, kWnr));
  w.second.map(kVa, kPage, kS2All & ~kS2Read);
  expect_fault(w, dma(kSecond, kVa), IMS_SMMUV2_PF, kBankSecond, second_stage(3, 3, kSecond, kVa));
  w.second.map(kVa, kPage, kS2All | uint64_t(2) << 53); // XN
  expect_fault(w, dma(kSecond, kVa, IMS_ACC_R | IMS_ACC_X), IMS_SMMUV2_PF, kBankSecond,
               second_stage(3, 3, kSecond, kVa, kInd));
}

TEST(StageTwo, Registers) {
  struct Case {
    uint64_t clear, set;
    unsigned code;
  };
  World w(plain());
  const uint64_t tcr = w.get(IMS_SMMUV2_CB_TCR, kBankSecond); // 4 KB, 48 bits, SL0 = 2
  const Case cases[] = {
      {0xc0, 0xc0, 1},     // SL0 reserved
      {0xc0, 0x00, 1},     // SL0 starts too low for 48 bits
      {0x3f, 15, 1},       // T0SZ
      {0x3f, 40, 1},       //
      {0xc000, 0xc000, 1}, // TG0 reserved
      {0xc03f, 0x4020, 1}, // 64 KB, 32 bits, SL0 = 2: too high
      {0x3f, 24, 0},       // 40 bits from level 0
  };
  for (const Case &k : cases) {
    w.put(IMS_SMMUV2_CB_TCR, kBankSecond, (tcr & ~k.clear) | k.set);
    ims_result r = w.request(dma(kSecond, 0x1000));
    EXPECT_EQ(k.code ? k.code : unsigned(IMS_SMMUV2_TF), r.fault) << &k - cases;
    EXPECT_EQ(k.code ? 0u : 1u, r.refs) << &k - cases;
    w.clear_faults();
  }
  w.put(IMS_SMMUV2_CB_TCR, kBankSecond, tcr & ~uint64_t(7 << 16)); // PS 32 bits
  w.put(IMS_SMMUV2_CB_TTBR0, kBankSecond, uint64_t(1) << 32);
  expect_fault(w, dma(kSecond, kVa), IMS_SMMUV2_ASF, kBankSecond, second_stage(7, 0, kSecond, kVa));
}

// Nested: a hole at each of the stage-2 walks in turn lands in the stage-2 bank, with the IPA that it was about.
struct NestedHoles : ::testing::TestWithParam<int> {};
TEST_P(NestedHoles, LandInTheStageTwoBank) {
  const int walk = GetParam(); // 0 to 3: of the stage-1 table of that level; 4: of the page
  const struct {
    unsigned code;
    uint64_t take, give;
  } kinds[] = {{1, 1, 0}, {2, kS2Af, 0}, {3, kS2Read, 0}};
  for (const auto &k : kinds) {
    World w(plain());
    uint64_t ipa = walk < 4 ? w.guest.at(kVa, walk) - kGuestBase : kPage;
    uint64_t leaf = w.host.at(ipa);
    w.clear(leaf, k.take);
    // Tables below may share the page: then the earlier walk meets the hole.
    uint64_t first = ipa;
    for (int l = 0; l < walk && l < 4; l++) {
      uint64_t above = w.guest.at(kVa, l) - kGuestBase;
      if (above >> 12 == ipa >> 12)
        first = std::min(first, above);
    }
    ASSERT_EQ(ipa, first) << "tables lie in pages of their own";
    uint32_t extra = cb(kBankBoth) | (walk < 4 ? kPtwf : 0);
    expect_fault(w, dma(kBoth, kVa), k.code, kBankHost, second_stage(k.code, 3, kBoth, ipa, extra));
    EXPECT_EQ(static_cast<unsigned>(walk * 5 + 4), w.reads.size());
  }
}
INSTANTIATE_TEST_SUITE_P(Walks, NestedHoles, ::testing::Range(0, 5));

TEST(Nested, StageOneFaultsLandInTheStageOneBank) {
  for (int level = 0; level < 4; level++) {
    World w(plain());
    w.clear(w.guest.at(kVa, level), 1);
    unsigned l = static_cast<unsigned>(level);
    expect_fault(w, dma(kBoth, kVa), IMS_SMMUV2_TF, kBankBoth, first_stage(1, l, kBankBoth, kBoth));
    EXPECT_EQ((l + 1) * 5, w.reads.size());
  }
  World w(plain());
  w.guest.map(kVa, kPage, kS1All | kS1ReadOnly);
  w.clear(w.host.at(kPage), 1);
  expect_fault(w, dma(kBoth, kVa, IMS_ACC_W), IMS_SMMUV2_PF, kBankBoth, first_stage(3, 3, kBankBoth, kBoth, kWnr));
  expect_fault(w, dma(kBoth, kVa), IMS_SMMUV2_TF, kBankHost, second_stage(1, 3, kBoth, kPage, cb(kBankBoth)));
}

// An external abort belongs to the stage whose descriptor could not be read.
TEST(Nested, ExternalAborts) {
  World w(plain());
  uint64_t table = w.guest.table(kVa, 3);
  w.host.map(table, kAbsent, kS2All);
  expect_fault(w, dma(kBoth, kVa), IMS_SMMUV2_EF, kBankBoth, first_stage(4, 3, kBankBoth, kBoth));
  w.host.map(table, kGuestBase + table, kS2All);
  uint64_t e = w.host.at(kPage, 2);
  w.store(e, kAbsent | 3);
  expect_fault(w, dma(kBoth, kVa), IMS_SMMUV2_EF, kBankHost, second_stage(4, 3, kBoth, kPage, cb(kBankBoth)));
}

// Stage-1 tables in memory that stage 2 maps read-only are fine; in Device memory only without PTW.
TEST(Nested, TablesInDeviceMemory) {
  World w(plain());
  uint64_t table = w.guest.table(kVa, 3), leaf = w.host.at(table);
  w.clear(leaf, kS2Write);
  EXPECT_GOES(w.request(dma(kBoth, kVa)), kPage);
  w.clear(leaf, 0xf << 2);
  EXPECT_GOES(w.request(dma(kBoth, kVa)), kPage);
  w.put(IMS_SMMUV2_CB_SCTLR, kBankHost, kUsual | kPtw);
  uint64_t ipa = w.guest.at(kVa) - kGuestBase;
  expect_fault(w, dma(kBoth, kVa), IMS_SMMUV2_PF, kBankHost, second_stage(3, 3, kBoth, ipa, cb(kBankBoth) | kPtwf));
  w.set(leaf, 0xf << 2);
  w.clear(w.host.at(kPage), 0xf << 2);
  EXPECT_GOES(w.request(dma(kBoth, kVa)), kPage) << "the page itself may be Device";
}

// An IPA beyond stage 2's input, of the page and of the tables.
TEST(Nested, IpaOutOfRange) {
  World w(plain());
  Shape s;
  s.stage2 = true;
  s.in_bits = 40;
  Tree small(w, s);
  map_guest(small);
  small.map(kPage, kPage, kS2All);
  w.stage2(kBankHost, small, kVmidBoth);
  EXPECT_GOES(w.request(dma(kBoth, kVa)), kPage);
  EXPECT_EQ(3 - small.start + 1, 3) << "two concatenated tables";
  EXPECT_EQ(4u * 4 + 3, w.reads.size());
  w.guest.map(kVa, uint64_t(1) << 40, kS1All);
  expect_fault(w, dma(kBoth, kVa), IMS_SMMUV2_TF, kBankHost,
               second_stage(1, 0, kBoth, uint64_t(1) << 40, cb(kBankBoth)));
  w.put(IMS_SMMUV2_CB_TTBR0, kBankBoth, uint64_t(1) << 40);
  uint64_t ipa = (uint64_t(1) << 40) + (kVa >> 39) * 8;
  expect_fault(w, dma(kBoth, kVa), IMS_SMMUV2_TF, kBankHost, second_stage(1, 0, kBoth, ipa, cb(kBankBoth) | kPtwf));
}

// Registers of the stage-2 bank: the first stage-2 walk is that of the first stage-1 table.
TEST(Nested, RegistersOfTheStageTwoBank) {
  World w(plain());
  w.put(IMS_SMMUV2_CB_TCR, kBankHost, w.get(IMS_SMMUV2_CB_TCR, kBankHost) | 3 << 14);
  uint64_t ipa = w.guest.at(kVa, 0) - kGuestBase;
  expect_fault(w, dma(kBoth, kVa), IMS_SMMUV2_TF, kBankHost, second_stage(1, 0, kBoth, ipa, cb(kBankBoth) | kPtwf));
  w.put(IMS_SMMUV2_CB_TCR, kBankBoth, w.get(IMS_SMMUV2_CB_TCR, kBankBoth) | 1 << 7);
  expect_fault(w, dma(kBoth, kVa), IMS_SMMUV2_TF, kBankBoth, first_stage(1, 0, kBankBoth, kBoth));
}

// Stage 1 puts out IPAs: PASize and IAS bound them.
TEST(Nested, StageOneOutput) {
  World w(plain());
  w.put(IMS_SMMUV2_CB_TCR2, kBankBoth, 0 | 1 << 4 | 7 << 15); // 32 bits
  w.guest.map(kVa, uint64_t(1) << 32, kS1All);
  expect_fault(w, dma(kBoth, kVa), IMS_SMMUV2_ASF, kBankBoth, first_stage(7, 3, kBankBoth, kBoth));
}

TEST(Register, TheFirstFaultStays) {
  World w(plain());
  w.clear(w.first.at(kVa), 1);
  w.request(dma(kFirst, kVa));
  Fault first = w.fault(kBankFirst);
  w.stream_to(4, 0x50, kBankFirst);
  ims_result r = w.request(dma(0x50, 0x1000, IMS_ACC_W));
  EXPECT_EQ(IMS_SMMUV2_TF, r.fault);
  EXPECT_FALSE(r.recorded);
  first.fsr |= 1u << 31;
  EXPECT_EQ(first, w.fault(kBankFirst)) << "MULTI, and nothing else";
  w.put(IMS_SMMUV2_CB_FSR, kBankFirst, 1u << 31);
  EXPECT_FALSE(w.request(dma(0x50, 0x1000, IMS_ACC_W)).recorded) << "TF still stands";
  w.put(IMS_SMMUV2_CB_FSR, kBankFirst, 0xffffffff);
  EXPECT_EQ(0u, w.fault(kBankFirst).fsr);
  EXPECT_TRUE(w.request(dma(0x50, 0x1000, IMS_ACC_W)).recorded);
  EXPECT_EQ(0x50u, w.fault(kBankFirst).cbfrsynra);
  // Banks have registers of their own.
  w.clear(w.second.at(kVa), 1);
  EXPECT_TRUE(w.request(dma(kSecond, kVa)).recorded);
}

TEST(Register, AbortOrNothing) {
  World w(plain());
  w.clear(w.first.at(kVa), 1);
  w.put(IMS_SMMUV2_CB_SCTLR, kBankFirst, kUsual & ~kCfre);
  ims_result r = w.request(dma(kFirst, kVa));
  EXPECT_EQ(IMS_STATUS_FAULT, r.status);
  EXPECT_EQ(IMS_CPL_ZERO, r.completion);
  EXPECT_TRUE(r.recorded);
}

TEST(Register, InterruptByBank) {
  World w(plain());
  for (unsigned bank : {kBankFirst, kBankSecond})
    w.put(IMS_SMMUV2_CB_SCTLR, bank, kUsual | kCfie);
  w.clear(w.first.at(kVa), 1);
  w.clear(w.second.at(kVa), 1);
  w.request(dma(kFirst, kVa));
  w.request(dma(kFirst, kVa));
  w.request(dma(kSecond, kVa));
  EXPECT_EQ((std::vector<Message>{{IMS_SMMUV2_WIRES, 1 + kBankFirst}, {IMS_SMMUV2_WIRES, 1 + kBankSecond}}),
            w.messages);
  w.messages.clear();
  w.put(IMS_SMMUV2_CB_SCTLR, kBankFirst, kUsual);
  w.clear_faults();
  w.request(dma(kFirst, kVa));
  EXPECT_TRUE(w.messages.empty());
  w.put(IMS_SMMUV2_CB_SCTLR, kBankFirst, kUsual | kCfie);
  EXPECT_EQ((std::vector<Message>{{IMS_SMMUV2_WIRES, 1 + kBankFirst}}), w.messages) << "pending until then";
}

TEST(Register, SharedInterrupts) {
  Config c = plain();
  c.numirpt = 2;
  World w(c);
  w.put(IMS_SMMUV2_CB_SCTLR, kBankFirst, kUsual | kCfie);
  w.clear(w.first.at(kVa), 1);
  w.request(dma(kFirst, kVa));
  EXPECT_EQ((std::vector<Message>{{IMS_SMMUV2_WIRES, 2}}), w.messages) << "banks beyond share the last";
}

TEST(Register, Restore) {
  World w(plain());
  w.put(IMS_SMMUV2_CB_SCTLR, kBankFirst, kUsual | kCfie);
  w.put(IMS_SMMUV2_CB_FSRRESTORE, kBankFirst, 1u << 3 | 2u << 9 | 1u << 30 | 1u << 31);
  EXPECT_EQ(1u << 3 | 2u << 9 | 1u << 31, w.fault(kBankFirst).fsr) << "but not SS";
  EXPECT_EQ(1u, w.messages.size());
  w.put(IMS_SMMUV2_CB_FSRRESTORE, kBankFirst, 0);
  EXPECT_EQ(0u, w.fault(kBankFirst).fsr);
}

// The knob for tools that ask one question after the other.
TEST(Register, ForgetFaults) {
  World w(plain());
  w.clear(w.first.at(kVa), 1);
  w.request(dma(kFirst, kVa));
  w.request(dma(0x7777, kVa));
  for (unsigned h = 0; h < 2; h++)
    ims_smmuv2_forget_faults(w.unit(h));
  EXPECT_EQ((Fault{0, 0, 0, 0, 0, 0}), w.fault(kBankFirst));
  EXPECT_EQ((Global{0, 0, 0, 0, 0}), w.global());
  EXPECT_TRUE(w.request(dma(kFirst, kVa)).recorded);
}

TEST(Table, RowsNameBits) {
  for (unsigned i = 0; const ims_smmuv2_fault_info *f = ims_smmuv2_faults(i); i++) {
    EXPECT_EQ(f, ims_smmuv2_fault_find(f->code));
    bool found = false;
    const ims_reg_field *fields = f->global ? ims_smmuv2_gr0_fields : ims_smmuv2_cb_fields;
    unsigned count = f->global ? ims_smmuv2_gr0_field_count : ims_smmuv2_cb_field_count;
    unsigned reg = f->global ? unsigned(IMS_SMMUV2_sGFSR) : unsigned(IMS_SMMUV2_CB_FSR);
    for (unsigned k = 0; k < count; k++)
      found |= fields[k].reg == reg && std::string(fields[k].name) == f->name &&
               fields[k].low == f->code - (f->global ? IMS_SMMUV2_GLOBAL : 0);
    EXPECT_TRUE(found) << f->name;
  }
  EXPECT_EQ(nullptr, ims_smmuv2_fault_find(0));
  EXPECT_EQ(nullptr, ims_smmuv2_fault_find(5));
}

} // namespace
} // namespace smmu2
