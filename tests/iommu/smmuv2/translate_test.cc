// SPDX-License-Identifier: Apache-2.0
// What each kind of bank makes of an address: stages, formats, sizes, sides, attributes, and the references it costs.
#include "tests/iommu/smmuv2/world.h"

#include <gtest/gtest.h>

namespace smmu2 {
namespace {

Config plain() { return Config().no_caches(); }

TEST(Bank, StageOne) {
  World w(plain());
  ims_result r = w.request(dma(kFirst, kVa + 0x123));
  EXPECT_GOES(r, kPage + 0x123);
  EXPECT_EQ(4u, r.refs);
  EXPECT_EQ(12, r.shift);
  EXPECT_EQ(IMS_PERM_R | IMS_PERM_W | IMS_PERM_X, r.rights);
}

TEST(Bank, StageTwo) {
  World w(plain());
  ims_result r = w.request(dma(kSecond, kVa + 0x123, IMS_ACC_W));
  EXPECT_GOES(r, kPage + 0x123);
  EXPECT_EQ(4u, r.refs);
}

TEST(Bank, Nested) {
  World w(plain());
  ims_result r = w.request(dma(kBoth, kVa + 0x123, IMS_ACC_W));
  EXPECT_GOES(r, kPage + 0x123);
  EXPECT_EQ(24u, r.refs);
  EXPECT_EQ(4u, [&] {
    unsigned n = 0;
    for (const ims_step &s : w.reads)
      n += s.what == IMS_STRUCT_S1_TABLE;
    return n;
  }());
  for (const ims_step &s : w.reads) {
    if (s.what == IMS_STRUCT_S1_TABLE) {
      EXPECT_EQ(kGuestBase + s.gpa, s.hpa) << "tables of stage 1 lie at IPAs";
    }
  }
}

// CBAR's field of the stage-2 bank counts, not the VMID beside it.
TEST(Bank, NestedFindsItsStageTwoByCbndx) {
  World w(plain());
  Tree other(w, w.host.shape);
  map_guest(other);
  other.map(kPage, kPage + 0x10000, kS2All);
  w.stage2(9, other, kVmidBoth); // bank 9 = the VMID
  EXPECT_GOES(w.request(dma(kBoth, kVa)), kPage);
  w.put(IMS_SMMUV2_CBAR, kBankBoth, 3u << 16 | 9 << 8 | kVmidBoth);
  EXPECT_GOES(w.request(dma(kBoth, kVa)), kPage + 0x10000);
}

TEST(Bank, StageOffLeavesAddressesAsTheyAre) {
  World w(plain());
  w.put(IMS_SMMUV2_CB_SCTLR, kBankFirst, kUsual & ~kM);
  ims_result r = w.request(dma(kFirst, 0x7654321));
  EXPECT_EQ(IMS_STATUS_BYPASS, r.status);
  EXPECT_EQ(0x7654321u, r.output);
  EXPECT_EQ(0u, r.refs);
  w.put(IMS_SMMUV2_CB_SCTLR, kBankSecond, kUsual & ~kM);
  EXPECT_EQ(IMS_STATUS_BYPASS, w.request(dma(kSecond, 0x7654321)).status);
  // Nested: the other stage still applies.
  w.put(IMS_SMMUV2_CB_SCTLR, kBankBoth, kUsual & ~kM);
  EXPECT_GOES(w.request(dma(kBoth, 0x5008)), kGuestBase + 0x5008);
  EXPECT_EQ(4u, w.reads.size());
  w.put(IMS_SMMUV2_CB_SCTLR, kBankBoth, kUsual);
  w.put(IMS_SMMUV2_CB_SCTLR, kBankHost, kUsual & ~kM);
  EXPECT_EQ(IMS_STATUS_FAULT, w.request(dma(kBoth, kVa)).status) << "IPAs are addresses now: no tables there";
  w.clear_faults();
  w.put(IMS_SMMUV2_CB_SCTLR, kBankBoth, kUsual & ~kM);
  EXPECT_EQ(IMS_STATUS_BYPASS, w.request(dma(kBoth, 0x5008)).status);
}

// Nothing is kept of a bank: what registers say counts at once.
TEST(Bank, RegistersTakeEffectAtOnce) {
  World w(plain());
  Tree other(w, w.first.shape);
  other.map(kVa, kPage + 0x7000, kS1All);
  EXPECT_GOES(w.request(dma(kFirst, kVa)), kPage);
  w.put(IMS_SMMUV2_CB_TTBR0, kBankFirst, other.root);
  EXPECT_GOES(w.request(dma(kFirst, kVa)), kPage + 0x7000);
  w.put(IMS_SMMUV2_S2CR, 0, kBankSecond);
  EXPECT_GOES(w.request(dma(kFirst, kVa)), kPage);
}

// n for stage 1, m for stage 2, n(m+1)+m for both, for every granule under every granule.
struct Granules : ::testing::TestWithParam<int> {};
TEST_P(Granules, Counts) {
  const Granule g1 = static_cast<Granule>(GetParam() / 3), g2 = static_cast<Granule>(GetParam() % 3);
  World w(plain(), g1, g2);
  unsigned n = w.first.levels(), m = w.second.levels();
  EXPECT_EQ((g1 == k64K ? 3u : 4u), n);
  EXPECT_EQ((g2 == k4K ? 4u : 3u), m) << "16 KB: two concatenated tables";
  uint64_t in1 = kVa & (w.first.size(3) - 1), in2 = kVa & (w.second.size(3) - 1);
  ims_result r = w.request(dma(kFirst, kVa));
  EXPECT_GOES(r, (kPage & ~(w.first.size(3) - 1)) + in1);
  EXPECT_EQ(n, r.refs);
  r = w.request(dma(kSecond, kVa));
  EXPECT_GOES(r, (kPage & ~(w.second.size(3) - 1)) + in2);
  EXPECT_EQ(m, r.refs);
  r = w.request(dma(kBoth, kVa));
  EXPECT_GOES(r, (kPage & ~(w.first.size(3) - 1)) + in1);
  EXPECT_EQ(n * (m + 1) + m, r.refs);
  unsigned small = g1 < g2 ? g1 : g2;
  EXPECT_EQ(12 + 2 * small, r.shift) << "the smaller page";
}
INSTANTIATE_TEST_SUITE_P(All, Granules, ::testing::Range(0, 9));

// Input sizes: the walk begins where TxSZ and SL0 say, with and without concatenation.
struct Size {
  Granule granule;
  unsigned in_bits;
  int start;
  bool stage2;
};
struct Sizes : ::testing::TestWithParam<Size> {};
TEST_P(Sizes, StartLevel) {
  const Size &p = GetParam();
  World w(plain());
  Shape s;
  s.granule = p.granule, s.in_bits = p.in_bits, s.stage2 = p.stage2, s.start = p.start;
  Tree t(w, s);
  uint64_t top = (uint64_t(1) << p.in_bits) - t.size(3), low = 0;
  t.map(low, 0x2100000, p.stage2 ? kS2All : kS1All);
  t.map(top, 0x2200000, p.stage2 ? kS2All : kS1All);
  if (p.stage2)
    w.stage2(kBankSecond, t, kVmidSecond);
  else
    w.stage1(kBankFirst, t, {});
  unsigned sid = p.stage2 ? kSecond : kFirst;
  for (uint64_t va : {low, top}) {
    ims_result r = w.request(dma(sid, va + 8));
    EXPECT_GOES(r, (va ? 0x2200008 : 0x2100008));
    EXPECT_EQ(static_cast<unsigned>(4 - p.start), r.refs);
  }
  EXPECT_EQ(IMS_SMMUV2_TF, w.request(dma(sid, uint64_t(1) << p.in_bits)).fault) << "beyond the range";
}
INSTANTIATE_TEST_SUITE_P(StageOne, Sizes,
                         ::testing::Values(Size{k4K, 25, 2, false}, Size{k4K, 30, 2, false}, Size{k4K, 31, 1, false},
                                           Size{k4K, 39, 1, false}, Size{k4K, 40, 0, false}, Size{k16K, 25, 3, false},
                                           Size{k16K, 36, 2, false}, Size{k16K, 37, 1, false}, Size{k16K, 47, 1, false},
                                           Size{k64K, 29, 3, false}, Size{k64K, 42, 2, false},
                                           Size{k64K, 43, 1, false}));
INSTANTIATE_TEST_SUITE_P(StageTwo, Sizes,
                         ::testing::Values(Size{k4K, 34, 2, true}, Size{k4K, 34, 1, true}, Size{k4K, 43, 1, true},
                                           Size{k4K, 40, 0, true}, Size{k16K, 39, 2, true}, Size{k16K, 40, 2, true},
                                           Size{k16K, 40, 1, true}, Size{k64K, 33, 3, true}, Size{k64K, 46, 2, true},
                                           Size{k64K, 46, 1, true}));

// Blocks, and what they are cut to by the other stage.
TEST(Leaf, BlocksOfEveryLevel) {
  World w(plain());
  for (int level = 1; level < 3; level++) {
    uint64_t va = uint64_t(level) << 40;
    w.first.map(va, 0x40000000, kS1All, level);
    ims_result r = w.request(dma(kFirst, va + 0x123456));
    EXPECT_GOES(r, 0x40123456);
    EXPECT_EQ(static_cast<unsigned>(level + 1), r.refs);
    EXPECT_EQ(level == 1 ? 30 : 21, r.shift);
  }
  w.guest.map(uint64_t(1) << 40, 0, kS1All, 1); // 1 GB over pages of 4 KB
  ims_result r = w.request(dma(kBoth, (uint64_t(1) << 40) + 0x5678));
  EXPECT_GOES(r, kGuestBase + 0x5678);
  EXPECT_EQ(12, r.shift);
  EXPECT_EQ(2u * 5 + 4, r.refs);
}

TEST(Leaf, ContiguousHint) {
  for (unsigned taken : {0u, 1u}) {
    Config c = plain();
    c.contiguous = taken;
    World w(c);
    uint64_t va = uint64_t(3) << 40;
    for (unsigned i = 0; i < 16; i++)
      w.first.map(va + i * 4096, 0x2100000 + i * 4096, kS1All | kContiguous);
    ims_result r = w.request(dma(kFirst, va + 0x3008));
    EXPECT_GOES(r, 0x2103008);
    EXPECT_EQ(taken ? 16 : 12, r.shift);
  }
}

TEST(Tables, BigEndian) {
  World w(plain());
  Shape s;
  s.big_endian = true;
  Tree t(w, s);
  t.map(kVa, kPage, kS1All);
  w.stage1(kBankFirst, t, {});
  EXPECT_GOES(w.request(dma(kFirst, kVa)), kPage);
  s.stage2 = true;
  Tree t2(w, s);
  t2.map(kVa, kPage, kS2All);
  w.stage2(kBankSecond, t2, kVmidSecond);
  EXPECT_GOES(w.request(dma(kSecond, kVa)), kPage);
}

// The base's bits below the table's size do not count.
TEST(Tables, BaseIsAligned) {
  World w(plain());
  w.put(IMS_SMMUV2_CB_TTBR0, kBankFirst, w.first.root | 0xff8);
  EXPECT_GOES(w.request(dma(kFirst, kVa)), kPage);
}

// The upper addresses: TTBR1, chosen by the sign bit.
struct Upper : World {
  Upper(const Config &c, unsigned sep, unsigned bits = 39, uint32_t extra = 0) : World(c), upper(*this, shape(bits)) {
    upper.map(0, kPage + 0x3000, kS1All);
    Stage1 how;
    how.upper = &upper;
    how.tcr2 = 5 | 1 << 4 | sep << 15 | extra;
    Machine::stage1(kBankFirst, first, how);
  }
  static Shape shape(unsigned bits) {
    Shape s;
    s.in_bits = bits;
    return s;
  }
  Tree upper;
};

TEST(Side, UpstreamBusOf49Bits) {
  Upper w(plain(), 7);
  EXPECT_GOES(w.request(dma(kFirst, kVa)), kPage);
  EXPECT_GOES(w.request(dma(kFirst, 0xffffff8000000010)), kPage + 0x3010);
  EXPECT_GOES(w.request(dma(kFirst, 0x0001ff8000000010)), kPage + 0x3010) << "as it lies on the bus";
  EXPECT_EQ(IMS_SMMUV2_TF, w.request(dma(kFirst, 0x0001ff0000000010)).fault) << "below TTBR1's range";
  EXPECT_EQ(IMS_SMMUV2_TF, w.request(dma(kFirst, 0x0002000000000000)).fault) << "wider than the bus";
  EXPECT_EQ(IMS_SMMUV2_TF, w.request(dma(kFirst, 0x7fffff8000000010)).fault);
}

// A bus without a sign bit: zeros above, so TTBR1 is out of reach.
TEST(Side, NarrowBusHasNoUpperAddresses) {
  Config c = plain();
  c.ubs = 4; // 44 bits
  Upper w(c, 7);
  EXPECT_GOES(w.request(dma(kFirst, kVa)), kPage);
  EXPECT_EQ(IMS_SMMUV2_TF, w.request(dma(kFirst, 0xffffff8000000010)).fault);
  EXPECT_EQ(IMS_SMMUV2_TF, w.request(dma(kFirst, 0x00000f8000000010)).fault) << "TTBR0, not mapped";
  EXPECT_EQ(3u, w.fault(kBankFirst).fsr >> 31 << 1 | (w.fault(kBankFirst).fsr >> 1 & 1)) << "TF, and MULTI";
  w.put(IMS_SMMUV2_CB_TCR2, kBankFirst, 5 | 4 << 15); // bit 43 by SEP
  EXPECT_GOES(w.request(dma(kFirst, 0x00000f8000000010)), kPage + 0x3010);
}

// SEP: bits above it, up to the bus, must be its copies.
TEST(Side, SignExtensionPosition) {
  static const unsigned at[] = {31, 35, 39, 41, 43, 47};
  for (unsigned sep = 0; sep < 6; sep++) {
    Upper w(plain(), sep, 25);
    uint64_t va = ~uint64_t(0) << 25;
    EXPECT_GOES(w.request(dma(kFirst, va | 0x10)), kPage + 0x3010) << sep;
    EXPECT_GOES(w.request(dma(kFirst, (va | 0x10) & 0x1ffffffffffff)), kPage + 0x3010) << sep;
    uint64_t low = uint64_t(1) << (at[sep] - 2);
    w.first.map(low, 0x2300000, kS1All);
    EXPECT_GOES(w.request(dma(kFirst, low)), 0x2300000);
    uint64_t odd = va & ~(uint64_t(1) << (at[sep] + 1)); // a zero above a sign of one
    EXPECT_EQ(IMS_SMMUV2_TF, w.request(dma(kFirst, odd)).fault) << sep;
    EXPECT_EQ(IMS_SMMUV2_TF, w.request(dma(kFirst, uint64_t(1) << 48 | low)).fault) << sep;
  }
}

TEST(Side, WalksCanBeDisabled) {
  Upper w(plain(), 7);
  uint64_t tcr = w.get(IMS_SMMUV2_CB_TCR, kBankFirst);
  w.put(IMS_SMMUV2_CB_TCR, kBankFirst, tcr | 1 << 7);
  EXPECT_EQ(IMS_SMMUV2_TF, w.request(dma(kFirst, kVa)).fault);
  EXPECT_GOES(w.request(dma(kFirst, 0xffffff8000000010)), kPage + 0x3010);
  w.put(IMS_SMMUV2_CB_TCR, kBankFirst, tcr | 1 << 23);
  EXPECT_GOES(w.request(dma(kFirst, kVa)), kPage);
  EXPECT_EQ(IMS_SMMUV2_TF, w.request(dma(kFirst, 0xffffff8000000010)).fault);
}

TEST(Side, TopByteIgnored) {
  Upper w(plain(), 7, 39, 1 << 5 | 1 << 6);
  EXPECT_GOES(w.request(dma(kFirst, kVa | uint64_t(0xa5) << 56)), kPage);
  EXPECT_GOES(w.request(dma(kFirst, 0x5affff8000000010)), kPage + 0x3010);
  EXPECT_EQ(IMS_SMMUV2_TF, w.request(dma(kFirst, kVa | uint64_t(1) << 52)).fault);
  EXPECT_EQ(kVa | uint64_t(1) << 52, w.fault(kBankFirst).far_) << "as it came in";
  Upper strict(plain(), 7);
  EXPECT_EQ(IMS_SMMUV2_TF, strict.request(dma(kFirst, kVa | uint64_t(0xa5) << 56)).fault);
}

// AArch32 long descriptors: 32-bit addresses, 40-bit outputs.
struct Long : World {
  explicit Long(unsigned t0sz = 0, unsigned t1sz = 0)
      : World(plain()), lower(*this, shape(32 - t0sz)), upper(*this, shape(32 - t1sz)) {
    Stage1 how;
    how.upper = &upper;
    Machine::stage1(kBankFirst, lower, how);
  }
  static Shape shape(unsigned bits) {
    Shape s;
    s.aarch32 = true, s.in_bits = bits;
    return s;
  }
  Tree lower, upper;
};

TEST(AArch32, OneTable) {
  Long w;
  w.lower.map(0xfedcb000, kPage, kS1All);
  ims_result r = w.request(dma(kFirst, 0xfedcb018));
  EXPECT_GOES(r, kPage + 0x18);
  EXPECT_EQ(3u, r.refs);
  EXPECT_EQ(IMS_SMMUV2_TF, w.request(dma(kFirst, 0x1fedcb018)).fault) << "beyond 32 bits";
  EXPECT_EQ(1u, w.fault(kBankFirst).fsr >> 9 & 3) << "long descriptors";
}

TEST(AArch32, Sides) {
  {
    Long w(2, 0); // TTBR0 to 1 GB, TTBR1 above
    w.lower.map(0x3ffff000, kPage, kS1All);
    w.upper.map(0x40000000, kPage + 0x1000, kS1All);
    ims_result r = w.request(dma(kFirst, 0x3ffff000));
    EXPECT_GOES(r, kPage);
    EXPECT_EQ(2u, r.refs);
    r = w.request(dma(kFirst, 0x40000000));
    EXPECT_GOES(r, kPage + 0x1000);
    EXPECT_EQ(3u, r.refs);
  }
  {
    Long w(0, 3); // TTBR1 for the last 512 MB
    w.lower.map(0xdffff000, kPage, kS1All);
    w.upper.map(0xe0000000, kPage + 0x1000, kS1All);
    EXPECT_GOES(w.request(dma(kFirst, 0xdffff000)), kPage);
    EXPECT_GOES(w.request(dma(kFirst, 0xe0000000)), kPage + 0x1000);
  }
  {
    Long w(1, 1); // halves
    w.lower.map(0x7ffff000, kPage, kS1All);
    w.upper.map(0x80000000, kPage + 0x1000, kS1All);
    EXPECT_GOES(w.request(dma(kFirst, 0x7ffff000)), kPage);
    EXPECT_GOES(w.request(dma(kFirst, 0x80000000)), kPage + 0x1000);
  }
  {
    Long w(2, 2); // a hole
    EXPECT_EQ(IMS_SMMUV2_TF, w.request(dma(kFirst, 0x40000000)).fault);
    EXPECT_EQ(0u, w.reads.size());
  }
}

TEST(AArch32, FortyBits) {
  Long w;
  w.lower.map(0x1000, uint64_t(1) << 39, kS1All);
  w.lower.map(0x2000, uint64_t(1) << 40, kS1All);
  EXPECT_GOES(w.request(dma(kFirst, 0x1000)), uint64_t(1) << 39);
  EXPECT_EQ(IMS_SMMUV2_ASF, w.request(dma(kFirst, 0x2000)).fault);
}

TEST(AArch32, ExecuteNeverBindsBothSides) {
  Long w;
  w.lower.map(0x1000, kPage, kS1All | kUxn | kS1ReadOnly);
  EXPECT_EQ(IMS_SMMUV2_PF, w.request(dma(kFirst, 0x1000, IMS_ACC_R | IMS_ACC_X | IMS_ACC_PRIV)).fault);
  w.clear_faults();
  w.first.map(0x1000, kPage, kS1All | kUxn | kS1ReadOnly);
  w.stage1(kBankFirst, w.first, {});
  EXPECT_GOES(w.request(dma(kFirst, 0x1000, IMS_ACC_R | IMS_ACC_X | IMS_ACC_PRIV)), kPage) << "AArch64: UXN is not PXN";
}

TEST(AArch32, StageTwo) {
  for (unsigned bits : {25u, 32u, 34u, 35u, 40u}) {
    World w(plain());
    Shape s;
    s.stage2 = s.aarch32 = true;
    s.in_bits = bits;
    s.start = bits > 34 ? 1 : 2;
    Tree t(w, s);
    uint64_t top = (uint64_t(1) << bits) - 4096;
    t.map(top, kPage, kS2All);
    w.stage2(kBankSecond, t, kVmidSecond);
    ims_result r = w.request(dma(kSecond, top + 4));
    EXPECT_GOES(r, kPage + 4);
    EXPECT_EQ(bits > 34 ? 3u : 2u, r.refs) << bits;
    EXPECT_EQ(IMS_SMMUV2_TF, w.request(dma(kSecond, uint64_t(1) << bits)).fault);
  }
}

// A guest's AArch32 tables under AArch64 tables of the host.
TEST(AArch32, UnderAArch64) {
  World w(plain());
  Shape s;
  s.aarch32 = s.in_guest = true;
  s.in_bits = 32;
  Tree t(w, s);
  t.map(0x8000, kPage, kS1All);
  Machine::Stage1 how;
  how.stage2 = kBankHost, how.vmid = kVmidBoth;
  w.stage1(kBankBoth, t, how);
  ims_result r = w.request(dma(kBoth, 0x8004));
  EXPECT_GOES(r, kPage + 4);
  EXPECT_EQ(3u * 5 + 4, r.refs);
}

// Hypervisor banks: one side, no ASID, no unprivileged side.
TEST(Hypervisor, OnePrivilegeLevel) {
  World w(plain());
  w.put(IMS_SMMUV2_CBAR, kBankFirst, 1u << 16 | 1 << 10);
  w.first.map(kVa, kPage, kS1All & ~kS1User);
  EXPECT_GOES(w.request(dma(kFirst, kVa)), kPage);
  EXPECT_EQ(IMS_SMMUV2_TF, w.request(dma(kFirst, 0xffffff8000000010)).fault);
}

// Privilege and rights.
TEST(Rights, StageOne) {
  struct Case {
    uint64_t bits;
    unsigned access;
    bool ok;
  };
  const uint64_t privileged = kS1All & ~kS1User;
  const Case cases[] = {
      {kS1All, IMS_ACC_R, true},
      {kS1All, IMS_ACC_W, true},
      {kS1All | kS1ReadOnly, IMS_ACC_R, true},
      {kS1All | kS1ReadOnly, IMS_ACC_W, false},
      {kS1All | kS1ReadOnly, IMS_ACC_R | IMS_ACC_W, false},
      {privileged, IMS_ACC_R, false},
      {privileged, IMS_ACC_R | IMS_ACC_PRIV, true},
      {privileged, IMS_ACC_W | IMS_ACC_PRIV, true},
      {privileged | kS1ReadOnly, IMS_ACC_W | IMS_ACC_PRIV, false},
      {kS1All, IMS_ACC_R | IMS_ACC_X, true},
      {kS1All | kUxn, IMS_ACC_R | IMS_ACC_X, false},
      {privileged, IMS_ACC_R | IMS_ACC_X | IMS_ACC_PRIV, true},
      {privileged | kPxn, IMS_ACC_R | IMS_ACC_X | IMS_ACC_PRIV, false},
      {kS1All, IMS_ACC_R | IMS_ACC_X | IMS_ACC_PRIV, false}, // writable by the unprivileged
  };
  World w(plain());
  for (const Case &c : cases) {
    w.first.map(kVa, kPage, c.bits);
    ims_result r = w.request(dma(kFirst, kVa, c.access));
    EXPECT_EQ(c.ok ? 0 : IMS_SMMUV2_PF, r.fault) << std::hex << c.bits << " access " << c.access;
    w.clear_faults();
  }
}

// S2CR may decide what a request is.
TEST(Rights, PrivilegeAndInstructionByS2cr) {
  World w(plain());
  w.first.map(kVa, kPage, (kS1All & ~kS1User) | kUxn);
  auto fault = [&](uint32_t s2cr, unsigned access) {
    w.put(IMS_SMMUV2_S2CR, 0, s2cr | kBankFirst);
    unsigned f = w.request(dma(kFirst, kVa, access)).fault;
    w.clear_faults();
    return f;
  };
  const unsigned pf = IMS_SMMUV2_PF;
  EXPECT_EQ(pf, fault(0, IMS_ACC_R));
  EXPECT_EQ(0u, fault(0, IMS_ACC_R | IMS_ACC_PRIV));
  EXPECT_EQ(pf, fault(1u << 24, IMS_ACC_R)) << "as sent";
  EXPECT_EQ(0u, fault(3u << 24, IMS_ACC_R)) << "privileged";
  EXPECT_EQ(pf, fault(2u << 24, IMS_ACC_R | IMS_ACC_PRIV)) << "unprivileged";
  w.first.map(kVa, kPage, kS1All | kUxn | kPxn);
  EXPECT_EQ(pf, fault(3u << 26, IMS_ACC_R)) << "instruction";
  EXPECT_EQ(0u, fault(3u << 26, IMS_ACC_W)) << "reads only";
  EXPECT_EQ(0u, fault(2u << 26, IMS_ACC_R | IMS_ACC_X)) << "data";
  EXPECT_EQ(pf, fault(1u << 26, IMS_ACC_R | IMS_ACC_X)) << "as sent";
}

// Memory attributes: MAIR, combined with stage 2's; SCTLR's and S2CR's where nothing is translated.
unsigned memory(const ims_result &r) { return IMS_ATTR_GET(r.attr, IMS_ATTR_MEM, 8); }
unsigned shareability(const ims_result &r) { return IMS_ATTR_GET(r.attr, IMS_ATTR_SH, 2); }

TEST(Attributes, OfTheStages) {
  World w(plain());
  EXPECT_EQ(0xffu, memory(w.request(dma(kFirst, kVa))));
  EXPECT_EQ(3u, shareability(w.request(dma(kFirst, kVa))));
  w.first.map(kVa, kPage, kS1All | 1 << 2); // MAIR 1: Device-nGnRE
  EXPECT_EQ(4u, memory(w.request(dma(kFirst, kVa))));
  EXPECT_EQ(2u, shareability(w.request(dma(kFirst, kVa))) & 2) << "Device is outer shareable at least";
  EXPECT_EQ(0xffu, memory(w.request(dma(kBoth, kVa))));
  w.host.map(kPage, kPage, (kS2All & ~uint64_t(0x3c)) | 5 << 2); // non-cacheable
  EXPECT_EQ(0x44u, memory(w.request(dma(kBoth, kVa)))) << "the weaker of both";
  w.host.map(kPage, kPage, (kS2All & ~uint64_t(0x3c)) | 1 << 2); // Device
  EXPECT_EQ(4u, memory(w.request(dma(kBoth, kVa))));
}

TEST(Attributes, OfWhatBypasses) {
  World w(plain());
  w.stream(3, 0x40, 1 << 16);
  EXPECT_EQ(0xffu, memory(w.request(dma(0x40, 0x1000))));
  w.stream(3, 0x40, 1 << 16 | 5u << 12 | 1 << 11); // MemAttr non-cacheable, MTCFG
  EXPECT_EQ(0x44u, memory(w.request(dma(0x40, 0x1000))));
  w.stream(3, 0x40, 1 << 16 | 2 << 8); // inner shareable
  EXPECT_EQ(3u, shareability(w.request(dma(0x40, 0x1000))));
  w.stream(3, 0x40, 1 << 16 | 3 << 8);
  EXPECT_EQ(0u, shareability(w.request(dma(0x40, 0x1000))));
  w.put(IMS_SMMUV2_CB_SCTLR, kBankFirst, (kUsual & ~kM) | 1u << 20 | 1u << 16); // Device
  EXPECT_EQ(4u, memory(w.request(dma(kFirst, 0x1000))));
}

// The references of a warm unit: the IOTLB first, then what the walk caches leave to read.
TEST(Warm, References) {
  World w;
  // Four tables: stage 2 in full, then its last level for each of the others; the page shares two levels with them.
  EXPECT_EQ(4u + 4 + 3 * 1 + 2, w.request(dma(kBoth, kVa)).refs);
  EXPECT_EQ(0u, w.request(dma(kBoth, kVa + 8)).refs);
  w.guest.map(kVa + 0x1000, kPage, kS1All);
  ims_result r = w.request(dma(kBoth, kVa + 0x1000));
  EXPECT_EQ(1u, r.refs) << "one stage-1 entry; its table and the page are in the IPA cache";
  EXPECT_GOES(r, kPage);
}

// Global entries serve every ASID of the VMID; others their own.
TEST(Warm, GlobalEntries) {
  Config c;
  c.s1_walk_entries = 0;
  World w(c);
  w.first.map(kVa, kPage, kS1Global);
  EXPECT_EQ(4u, w.request(dma(kFirst, kVa)).refs);
  w.put(IMS_SMMUV2_CB_TTBR0, kBankFirst, w.first.root | uint64_t(99) << 48);
  EXPECT_EQ(0u, w.request(dma(kFirst, kVa)).refs) << "another ASID";
  w.put(IMS_SMMUV2_CBAR, kBankFirst, 1 << 16 | 77);
  EXPECT_EQ(4u, w.request(dma(kFirst, kVa)).refs) << "another VMID";
  w.first.map(kVa + 0x1000, kPage, kS1All);
  EXPECT_EQ(4u, w.request(dma(kFirst, kVa + 0x1000)).refs);
  w.put(IMS_SMMUV2_CB_TTBR0, kBankFirst, w.first.root | uint64_t(98) << 48);
  EXPECT_EQ(4u, w.request(dma(kFirst, kVa + 0x1000)).refs);
}

// Tags: by TTBR1's ASID with A1, 8 bits of it without AS; by CBA2R's VMID with VMID16EN.
TEST(Warm, AsidAndVmidWidths) {
  Config c;
  c.s1_walk_entries = 0;
  World w(c);
  auto refs = [&] { return w.request(dma(kFirst, kVa)).refs; };
  EXPECT_EQ(4u, refs());
  w.put(IMS_SMMUV2_CB_TTBR0, kBankFirst, w.first.root | uint64_t(0x100 | kAsidFirst) << 48);
  EXPECT_EQ(4u, refs()) << "16 bits";
  w.put(IMS_SMMUV2_CB_TCR2, kBankFirst, 5 | 7 << 15);
  EXPECT_EQ(0u, refs()) << "8 bits";
  w.put(IMS_SMMUV2_CB_TCR, kBankFirst, w.get(IMS_SMMUV2_CB_TCR, kBankFirst) | 1 << 22);
  EXPECT_EQ(4u, refs()) << "TTBR1's ASID, 0";
  w.put(IMS_SMMUV2_CB_TTBR1, kBankFirst, uint64_t(kAsidFirst) << 48);
  EXPECT_EQ(0u, refs());
  w.put(IMS_SMMUV2_sCR0, w.get(IMS_SMMUV2_sCR0) | 1u << 31);
  EXPECT_EQ(4u, refs()) << "VMID 0 of CBA2R";
  w.put(IMS_SMMUV2_CBA2R, kBankFirst, 1 | uint64_t(kVmidFirst) << 16);
  EXPECT_EQ(0u, refs());
}

TEST(Warm, RightsAreJudgedOnHits) {
  for (unsigned from_cache : {0u, 1u}) {
    Config c;
    c.rights_from_cache = from_cache;
    World w(c);
    w.first.map(kVa, kPage, kS1All | kS1ReadOnly);
    EXPECT_EQ(0, w.request(dma(kFirst, kVa)).fault);
    ims_result r = w.request(dma(kFirst, kVa, IMS_ACC_W));
    EXPECT_EQ(IMS_SMMUV2_PF, r.fault);
    EXPECT_EQ(from_cache ? 0u : 1u, r.refs);
    EXPECT_EQ(3u, w.fault(kBankFirst).fsynr0 & 3) << "the level of the leaf";
    w.clear_faults();
    w.first.map(kVa, kPage, kS1All);
    EXPECT_EQ(from_cache ? IMS_SMMUV2_PF : 0, w.request(dma(kFirst, kVa, IMS_ACC_W)).fault)
        << "an upgrade needs no invalidation where the tables are asked again";
  }
}

TEST(Mismatch, VmidsOfNestedBanksAreCounted) {
  World w(plain());
  w.request(dma(kBoth, kVa));
  EXPECT_EQ(0u, ims_smmuv2_vmid_mismatches(w.unit()));
  w.put(IMS_SMMUV2_CBAR, kBankHost, kVmidBoth + 1);
  EXPECT_GOES(w.request(dma(kBoth, kVa)), kPage);
  EXPECT_EQ(1u, ims_smmuv2_vmid_mismatches(w.unit()));
}

// A walk that began before an invalidation fills nothing in after it.
TEST(Race, FillAfterInvalidation) {
  Config c = Config().no_caches();
  c.iotlb_entries = 16;
  World w(c);
  w.compare = false;
  bool done = false;
  ims_result r = w.stepped(dma(kFirst, kVa), [&](ims_step_kind kind, const ims_step &) {
    if (kind == IMS_STEP_FILL && !done) {
      w.first.map(kVa, kPage + 0x1000, kS1All);
      w.tlbi_va(kBankFirst, IMS_SMMUV2_CB_TLBIVA, kVa, kAsidFirst);
      done = true;
    }
  });
  EXPECT_TRUE(done);
  EXPECT_EQ(kPage, r.output);
  EXPECT_GOES(w.request(dma(kFirst, kVa)), kPage + 0x1000);
}

} // namespace
} // namespace smmu2
