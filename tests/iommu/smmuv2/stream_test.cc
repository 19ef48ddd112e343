// SPDX-License-Identifier: Apache-2.0
// From a request to its context bank: what comes in, stream matching and indexing, S2CR, CBAR; and the global faults that
// stand in the way.
#include "tests/iommu/smmuv2/world.h"

namespace smmu2 {
namespace {

constexpr uint32_t kIcf = 1 << 0, kUsf = 1 << 1, kSmcf = 1 << 2, kUcbf = 1 << 3, kUut = 1 << 8;

Global global(uint32_t gfsr, unsigned sid, uint64_t addr, uint32_t syndrome = 0) {
  return {gfsr, syndrome, addr, sid, 0};
}

// The request meets a global fault, whose registers hold what is expected.
void expect_global(Machine &w, const ims_request &req, unsigned code, const Global &want) {
  ims_result r = w.request(req);
  EXPECT_EQ(IMS_STATUS_FAULT, r.status);
  EXPECT_EQ(IMS_CPL_UR, r.completion);
  EXPECT_EQ(code, r.fault);
  EXPECT_TRUE(r.recorded);
  EXPECT_EQ(0u, r.refs);
  EXPECT_EQ(want, w.global());
  EXPECT_EQ(4, r.record_words);
  EXPECT_EQ(want.gfsr | uint64_t(want.gfsynr0) << 32, r.record[0]);
  EXPECT_EQ(want.gfar, r.record[1]);
  EXPECT_EQ(0u, r.record[2]);
  EXPECT_EQ(want.gfsynr1 | uint64_t(want.gfsynr2) << 32, r.record[3]);
  w.clear_faults();
  EXPECT_EQ(0u, w.global().gfsr);
}

TEST(Stream, OffMeansBypass) {
  World w;
  w.put(IMS_SMMUV2_sCR0, w.get(IMS_SMMUV2_sCR0) | 1);
  for (unsigned sid : {kFirst, kSecond, kBoth, 0x7777u}) {
    ims_result r = w.request(dma(sid, 0x123456789a));
    EXPECT_EQ(IMS_STATUS_BYPASS, r.status);
    EXPECT_EQ(0x123456789au, r.output);
    EXPECT_EQ(0u, r.refs);
  }
  Machine fresh;
  EXPECT_EQ(1u, fresh.get(IMS_SMMUV2_sCR0)) << "after reset";
  EXPECT_EQ(IMS_STATUS_BYPASS, fresh.request(dma(1, 0x1000)).status);
}

TEST(Stream, Unidentified) {
  World w;
  expect_global(w, dma(0x7777, 0xabc123), IMS_SMMUV2_USF, global(kUsf, 0x7777, 0xabc123));
  expect_global(w, dma(0x7777, 0xabc123, IMS_ACC_W), IMS_SMMUV2_USF, global(kUsf, 0x7777, 0xabc123, 1 << 1));
  expect_global(w, dma(0x7777, 0xabc123, IMS_ACC_R | IMS_ACC_X | IMS_ACC_PRIV), IMS_SMMUV2_USF,
                global(kUsf, 0x7777, 0xabc123, 1 << 2 | 1 << 3));
  w.put(IMS_SMMUV2_sCR0, w.get(IMS_SMMUV2_sCR0) & ~uint64_t(1 << 10)); // USFCFG
  ims_result r = w.request(dma(0x7777, 0xabc123));
  EXPECT_EQ(IMS_STATUS_BYPASS, r.status);
  EXPECT_EQ(0xabc123u, r.output);
}

TEST(Stream, MatchingIgnoresMaskedBits) {
  World w;
  w.stream(3, 0x4005, kBankFirst, 0x00f0);
  for (unsigned sid : {0x4005u, 0x4015u, 0x40f5u})
    EXPECT_GOES(w.request(dma(sid, kVa)), kPage);
  for (unsigned sid : {0x4004u, 0x4105u, 0x0005u, 0x14005u}) {
    EXPECT_EQ(IMS_SMMUV2_USF, w.request(dma(sid, kVa)).fault) << std::hex << sid;
    w.clear_faults();
  }
  w.put(IMS_SMMUV2_SMR, 3, w.get(IMS_SMMUV2_SMR, 3) & 0x7fffffff);
  EXPECT_EQ(IMS_SMMUV2_USF, w.request(dma(0x4005, kVa)).fault) << "not valid";
}

// Bits of the ID that the mask hides do not count either.
TEST(Stream, MaskHidesBothSides) {
  World w;
  w.stream(3, 0x40ff, kBankFirst, 0x00f0);
  EXPECT_GOES(w.request(dma(0x400f, kVa)), kPage);
}

TEST(Stream, Conflict) {
  World w;
  w.stream(5, kFirst, kBankSecond);
  expect_global(w, dma(kFirst, kVa), IMS_SMMUV2_SMCF, global(kSmcf, kFirst, kVa));
  w.put(IMS_SMMUV2_sCR0, w.get(IMS_SMMUV2_sCR0) & ~uint64_t(1 << 21)); // SMCFCFG
  w.first.map(kVa + 0x1000, kPage + 0x1000, kS1All);
  EXPECT_GOES(w.request(dma(kFirst, kVa + 0x1000)), kPage + 0x1000) << "the lowest";
}

// A driver finds out how wide ids and masks are by writing ones.
TEST(Stream, ProbingOfMasks) {
  for (unsigned bits : {15u, 7u, 1u}) {
    Config c;
    c.numsidb = bits;
    Machine m(c);
    uint32_t ones = (1u << bits) - 1;
    m.put(IMS_SMMUV2_SMR, 2, ones);
    EXPECT_EQ(ones, m.get(IMS_SMMUV2_SMR, 2));
    m.put(IMS_SMMUV2_SMR, 2, 0x7fff7fff);
    EXPECT_EQ(ones << 16 | ones, m.get(IMS_SMMUV2_SMR, 2));
    m.put(IMS_SMMUV2_SMR, 2, 0xffffffff);
    EXPECT_EQ(1u << 31 | ones << 16 | ones, m.get(IMS_SMMUV2_SMR, 2));
  }
}

TEST(Stream, GroupsBeyondReadZero) {
  Config c;
  c.numsmrg = 3;
  Machine m(c);
  for (ims_smmuv2_gr0 r : {IMS_SMMUV2_SMR, IMS_SMMUV2_S2CR}) {
    m.put(r, 3, 0xffffffff);
    EXPECT_EQ(0u, m.get(r, 3));
    m.put(r, 2, 0x15);
    EXPECT_EQ(0x15u, m.get(r, 2));
  }
}

TEST(Stream, ExtendedIds) {
  Config c;
  c.exids = 1;
  World w(c);
  w.put(IMS_SMMUV2_sCR0, w.get(IMS_SMMUV2_sCR0) | 1 << 3);
  EXPECT_EQ(IMS_SMMUV2_USF, w.request(dma(kFirst, kVa)).fault) << "SMR.VALID means nothing now";
  w.clear_faults();
  w.put(IMS_SMMUV2_SMR, 7, 0x000fc130);
  EXPECT_EQ(0x000fc130u, w.get(IMS_SMMUV2_SMR, 7));
  w.put(IMS_SMMUV2_S2CR, 7, kBankFirst);
  EXPECT_EQ(IMS_SMMUV2_USF, w.request(dma(0xc135, kVa)).fault);
  w.clear_faults();
  w.put(IMS_SMMUV2_S2CR, 7, kBankFirst | 1 << 10); // EXIDVALID
  EXPECT_GOES(w.request(dma(0xc135, kVa)), kPage);
  EXPECT_EQ(IMS_SMMUV2_USF, w.request(dma(0xc145, kVa)).fault);
  // Without the feature the bits are not there.
  Machine m;
  m.put(IMS_SMMUV2_sCR0, 0xffffffff);
  EXPECT_EQ(0u, m.get(IMS_SMMUV2_sCR0) >> 3 & 1);
  m.put(IMS_SMMUV2_S2CR, 0, 0xffffffff);
  EXPECT_EQ(0u, m.get(IMS_SMMUV2_S2CR, 0) >> 10 & 1);
}

TEST(Stream, Indexing) {
  Config c;
  c.sms = 0, c.numsidb = 6;
  World w(c);
  for (unsigned i = 0; i < 64; i++)
    w.put(IMS_SMMUV2_S2CR, i, 2u << 16);
  w.put(IMS_SMMUV2_S2CR, 17, kBankFirst);
  w.put(IMS_SMMUV2_S2CR, 18, 1u << 16);
  EXPECT_GOES(w.request(dma(17, kVa)), kPage);
  EXPECT_EQ(IMS_STATUS_BYPASS, w.request(dma(18, kVa)).status);
  EXPECT_EQ(IMS_SMMUV2_ICF, w.request(dma(19, kVa)).fault);
  w.clear_faults();
  expect_global(w, dma(64, kVa), IMS_SMMUV2_USF, global(kUsf, 64, kVa));
  w.put(IMS_SMMUV2_SMR, 0, 0xffffffff);
  EXPECT_EQ(0u, w.get(IMS_SMMUV2_SMR, 0)) << "there are none";
}

TEST(StreamToContext, Types) {
  World w;
  w.stream(3, 0x40, kBypass << 16);
  ims_result r = w.request(dma(0x40, 0xfedcba98765));
  EXPECT_EQ(IMS_STATUS_BYPASS, r.status);
  EXPECT_EQ(0xfedcba98765u, r.output);
  for (StreamType t : {kFault, kReserved}) {
    w.stream(3, 0x40, static_cast<uint32_t>(t) << 16);
    expect_global(w, dma(0x40, kVa), IMS_SMMUV2_ICF, global(kIcf, 0x40, kVa));
  }
  // After reset every group faults.
  Machine m;
  EXPECT_EQ(0x20000u, m.get(IMS_SMMUV2_S2CR, 63));
}

TEST(StreamToContext, UnimplementedBank) {
  World w;
  w.stream_to(3, 0x40, w.cfg.numcb);
  expect_global(w, dma(0x40, kVa), IMS_SMMUV2_UCBF, global(kUcbf, 0x40, kVa));
  w.put(IMS_SMMUV2_CBAR, kBankBoth, 3u << 16 | 0xff00 | kVmidBoth);
  expect_global(w, dma(kBoth, kVa), IMS_SMMUV2_UCBF, global(kUcbf, kBoth, kVa, 1));
}

TEST(Context, StageOneWithFault) {
  World w;
  w.put(IMS_SMMUV2_CBAR, kBankFirst, 2u << 16);
  expect_global(w, dma(kFirst, kVa), IMS_SMMUV2_ICF, global(kIcf, kFirst, kVa));
  Machine m;
  EXPECT_EQ(0x20000u, m.get(IMS_SMMUV2_CBAR, 31)) << "after reset";
}

TEST(Context, NestedNeedsAStageTwoBank) {
  World w;
  for (uint32_t type : {1u, 2u, 3u}) {
    w.put(IMS_SMMUV2_CBAR, kBankHost, type << 16 | kVmidBoth);
    expect_global(w, dma(kBoth, kVa), IMS_SMMUV2_ICF, global(kIcf, kBoth, kVa, 1));
  }
}

// What the ID registers do not have cannot be used.
TEST(Context, StagesThatAreNotThere) {
  struct Case {
    void (*configure)(Config &);
    bool first, second, both;
  };
  const Case cases[] = {
      {[](Config &) {}, true, true, true},
      {[](Config &c) { c.nts = 0; }, true, true, false},
      {[](Config &c) { c.nts = c.s1ts = 0; }, false, true, false},
      {[](Config &c) { c.nts = c.s2ts = 0; }, true, false, false},
      {[](Config &c) { c.nums2cb = kBankFirst + 1; }, false, true, true},
      {[](Config &c) { c.nums2cb = kBankBoth + 1; }, false, true, false},
  };
  for (const Case &k : cases) {
    Config c;
    k.configure(c);
    World w(c);
    const std::pair<unsigned, bool> streams[] = {{kFirst, k.first}, {kSecond, k.second}, {kBoth, k.both}};
    for (auto [sid, ok] : streams) {
      ims_result r = w.request(dma(sid, kVa));
      EXPECT_EQ(ok ? 0 : IMS_SMMUV2_ICF, r.fault) << &k - cases << " stream " << sid;
      w.clear_faults();
    }
  }
}

// No PASID anywhere, nor ATS: the unit's interface has no way to say them.
TEST(Interface, PasidIsUnsupported) {
  World w;
  ims_request r = dma(kFirst, kVa);
  r.has_pasid = true;
  r.pasid = 5;
  expect_global(w, r, IMS_SMMUV2_UUT, global(kUut, kFirst, kVa));
  r.pasid = 0;
  expect_global(w, r, IMS_SMMUV2_UUT, global(kUut, kFirst, kVa));
  w.put(IMS_SMMUV2_sCR0, w.get(IMS_SMMUV2_sCR0) | 1);
  expect_global(w, r, IMS_SMMUV2_UUT, global(kUut, kFirst, kVa));
}

TEST(Interface, AtsIsUnsupported) {
  World w;
  for (ims_request_type type : {IMS_TRANSLATION_REQUEST, IMS_TRANSLATED}) {
    ims_request r = dma(kFirst, kVa);
    r.type = static_cast<uint8_t>(type);
    expect_global(w, r, IMS_SMMUV2_UUT, global(kUut, kFirst, kVa, 1 << 6));
  }
  ims_page_request p = {};
  p.source = kFirst;
  p.last = true;
  EXPECT_FALSE(ims_request_page(w.unit(), &p));
}

TEST(GlobalFault, TheFirstStays) {
  World w;
  w.request(dma(0x7777, 0x1000));
  Global first = w.global();
  ims_result r = w.request(dma(0x6666, 0x2000, IMS_ACC_W));
  EXPECT_EQ(IMS_SMMUV2_USF, r.fault);
  EXPECT_FALSE(r.recorded);
  first.gfsr |= 1u << 31;
  EXPECT_EQ(first, w.global()) << "MULTI, and nothing else";
  w.put(IMS_SMMUV2_sGFSR, 1u << 31);
  first.gfsr = kUsf;
  EXPECT_EQ(first, w.global()) << "write 1 to clear";
  w.put(IMS_SMMUV2_sGFSR, kUsf);
  w.request(dma(0x6666, 0x2000, IMS_ACC_W));
  EXPECT_EQ(global(kUsf, 0x6666, 0x2000, 2), w.global());
}

TEST(GlobalFault, AbortOrNothing) {
  World w;
  EXPECT_EQ(IMS_CPL_UR, w.request(dma(0x7777, 0x1000)).completion);
  w.put(IMS_SMMUV2_sCR0, w.get(IMS_SMMUV2_sCR0) & ~uint64_t(2)); // GFRE
  ims_result r = w.request(dma(0x7777, 0x1000));
  EXPECT_EQ(IMS_STATUS_FAULT, r.status);
  EXPECT_EQ(IMS_CPL_ZERO, r.completion) << "reads zeros, writes vanish";
}

TEST(GlobalFault, Interrupt) {
  World w;
  const std::vector<Message> one = {{IMS_SMMUV2_WIRES, 0}};
  w.request(dma(0x7777, 0x1000));
  EXPECT_EQ(one, w.messages);
  w.request(dma(0x7777, 0x1000));
  EXPECT_EQ(one, w.messages) << "the wire is up already";
  w.clear_faults();
  w.request(dma(0x7777, 0x1000));
  EXPECT_EQ(2u, w.messages.size());
  w.clear_faults();
  w.messages.clear();
  w.put(IMS_SMMUV2_sCR0, w.get(IMS_SMMUV2_sCR0) & ~uint64_t(4)); // GFIE
  w.request(dma(0x7777, 0x1000));
  EXPECT_TRUE(w.messages.empty());
  w.put(IMS_SMMUV2_sCR0, w.get(IMS_SMMUV2_sCR0) | 4);
  EXPECT_EQ(one, w.messages) << "pending until then";
}

TEST(GlobalFault, Restore) {
  World w;
  w.put(IMS_SMMUV2_sGFSRRESTORE, kSmcf | 1u << 31 | 1u << 20);
  EXPECT_EQ(kSmcf | 1u << 31, w.get(IMS_SMMUV2_sGFSR));
  EXPECT_EQ(0u, w.get(IMS_SMMUV2_sGFSRRESTORE));
  EXPECT_EQ((std::vector<Message>{{IMS_SMMUV2_WIRES, 0}}), w.messages);
  EXPECT_FALSE(w.request(dma(0x7777, 0x1000)).recorded);
}

} // namespace
} // namespace smmu2
