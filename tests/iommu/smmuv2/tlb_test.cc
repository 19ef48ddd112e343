// SPDX-License-Identifier: Apache-2.0
// TLB maintenance: what each operation removes, and what it leaves. A unit with one cache only is warmed; the structure
// behind the cache is changed; the operation is written; then the old answer or the new one tells whether the cached item
// was still there.
#include "tests/iommu/smmuv2/world.h"

#include <set>

namespace smmu2 {
namespace {

constexpr uint64_t kNew = kPage + 0x3000; // another page of the same 2 MB
constexpr unsigned kHyp = 0x60, kBankHyp = 6;

enum Item {
  T1,  // IOTLB: stage 1
  T1G, // global
  T2,  // stage 2
  TN,  // nested
  TNG, // nested, global in stage 1
  TH,  // of a hypervisor bank
  W1,  // stage-1 walk caches: stage 1 alone
  WN,  // nested
  WH,  // of a hypervisor bank
  W2,  // stage-2 walk caches: stage 2 alone
  W2N, // of the page of a nested request
  IPA, // IPA cache, likewise
  kItems
};
const char *const kNames[] = {"T1", "T1G", "T2", "TN", "TNG", "TH", "W1", "WN", "WH", "W2", "W2N", "IPA"};

unsigned stream_of(Item i) {
  switch (i) {
  case T1:
  case T1G:
  case W1: return kFirst;
  case T2:
  case W2: return kSecond;
  case TH:
  case WH: return kHyp;
  default: return kBoth;
  }
}

Config only(Item i) {
  Config c = Config().no_caches();
  (i <= TH ? c.iotlb_entries : i <= WH ? c.s1_walk_entries : i <= W2N ? c.s2_walk_entries : c.ipa_entries) = 64;
  return c;
}

// Its item is cached, and the structure behind it has changed.
struct Stale : World {
  explicit Stale(Item i) : World(only(i)), item(i), hyp(*this, Shape()) {
    hyp.map(kVa, kPage, kS1All);
    stream_to(3, kHyp, kBankHyp);
    Stage1 how;
    how.asid = kAsidFirst;
    Machine::stage1(kBankHyp, hyp, how);
    put(IMS_SMMUV2_CBAR, kBankHyp, 1u << 16 | 1 << 10 | kVmidFirst); // HYPC; a VMID that does not count
    host.map(kNew, kNew, kS2All);
    Tree &t = i == T1 || i == T1G || i == W1 ? first : i == T2 || i == W2 ? second : i == TH || i == WH ? hyp : guest;
    uint64_t all = i == T2 || i == W2 ? kS2All : i == T1G || i == TNG ? kS1Global : kS1All;
    t.map(kVa, kPage, all);
    EXPECT_EQ(kPage, look());
    switch (i) {
    case W1:
    case WN:
    case WH:
    case W2: move_table(t, kVa, all); break;
    case W2N: move_table(host, kPage, kS2All); break;
    case IPA: host.map(kPage, kNew, kS2All); break;
    default: t.map(kVa, kNew, all);
    }
    EXPECT_EQ(kPage, look()) << kNames[i] << " serves until it is removed";
  }
  // Another last-level table, in which the page leads elsewhere.
  void move_table(Tree &t, uint64_t in, uint64_t bits) {
    uint64_t table = t.shape.in_guest ? guest_alloc() : alloc();
    store(t.host(table) + (in >> 12 & 511) * 8, kNew | bits | 3);
    store(t.at(in, 2), table | 3);
  }
  uint64_t look() { return request(dma(stream_of(item), kVa)).output; }
  bool gone() {
    uint64_t now = look();
    EXPECT_TRUE(now == kPage || now == kNew);
    return now == kNew;
  }
  Item item;
  Tree hyp;
};

struct Operation {
  const char *name;
  std::function<void(Machine &)> write;
  std::set<Item> removes;
};

constexpr uint64_t kFar = kVa ^ uint64_t(1) << 46;

std::function<void(Machine &)> va(unsigned bank, ims_smmuv2_cb op, unsigned asid, uint64_t addr = kVa) {
  return [=](Machine &m) { m.tlbi_va(bank, op, addr, asid); };
}
std::function<void(Machine &)> in_bank(unsigned bank, ims_smmuv2_cb op, uint64_t value) {
  return [=](Machine &m) { m.put(op, bank, value); };
}
std::function<void(Machine &)> everywhere(ims_smmuv2_gr0 op, uint64_t value) {
  return [=](Machine &m) { m.put(op, value); };
}

const uint64_t kVa64 = kVa >> 12;

const Operation kOperations[] = {
    {"TLBIVA", va(kBankFirst, IMS_SMMUV2_CB_TLBIVA, kAsidFirst), {T1, T1G, W1}},
    {"TLBIVA of another ASID", va(kBankFirst, IMS_SMMUV2_CB_TLBIVA, 99), {T1G}},
    {"TLBIVA elsewhere", va(kBankFirst, IMS_SMMUV2_CB_TLBIVA, kAsidFirst, kFar), {}},
    {"TLBIVAL", va(kBankFirst, IMS_SMMUV2_CB_TLBIVAL, kAsidFirst), {T1, T1G}},
    {"TLBIVAL of another ASID", va(kBankFirst, IMS_SMMUV2_CB_TLBIVAL, 99), {T1G}},
    {"TLBIVAA", va(kBankFirst, IMS_SMMUV2_CB_TLBIVAA, 99), {T1, T1G, W1}},
    {"TLBIVAA elsewhere", va(kBankFirst, IMS_SMMUV2_CB_TLBIVAA, 0, kFar), {}},
    {"TLBIVAAL", va(kBankFirst, IMS_SMMUV2_CB_TLBIVAAL, 99), {T1, T1G}},
    {"TLBIASID", in_bank(kBankFirst, IMS_SMMUV2_CB_TLBIASID, kAsidFirst), {T1, W1}},
    {"TLBIASID of another", in_bank(kBankFirst, IMS_SMMUV2_CB_TLBIASID, 99), {}},
    {"TLBIALL, stage 1", in_bank(kBankFirst, IMS_SMMUV2_CB_TLBIALL, 0), {T1, T1G, W1}},
    {"TLBIIPAS2 in a stage-1 bank", in_bank(kBankFirst, IMS_SMMUV2_CB_TLBIIPAS2, kVa64), {}},
    {"TLBIALL, stage 2", in_bank(kBankSecond, IMS_SMMUV2_CB_TLBIALL, 0), {T2, W2}},
    {"TLBIIPAS2", in_bank(kBankSecond, IMS_SMMUV2_CB_TLBIIPAS2, kVa64), {T2, W2}},
    {"TLBIIPAS2 elsewhere", in_bank(kBankSecond, IMS_SMMUV2_CB_TLBIIPAS2, kFar >> 12), {}},
    {"TLBIIPAS2L", in_bank(kBankSecond, IMS_SMMUV2_CB_TLBIIPAS2L, kVa64), {T2}},
    {"TLBIVA in a stage-2 bank", va(kBankSecond, IMS_SMMUV2_CB_TLBIVA, 0), {}},
    {"TLBIASID in a stage-2 bank", in_bank(kBankSecond, IMS_SMMUV2_CB_TLBIASID, 0), {}},
    {"TLBIVA, nested", va(kBankBoth, IMS_SMMUV2_CB_TLBIVA, kAsidBoth), {TN, TNG, WN}},
    {"TLBIVAL, nested", va(kBankBoth, IMS_SMMUV2_CB_TLBIVAL, kAsidBoth), {TN, TNG}},
    {"TLBIVAA, nested", va(kBankBoth, IMS_SMMUV2_CB_TLBIVAA, 0), {TN, TNG, WN}},
    {"TLBIASID, nested", in_bank(kBankBoth, IMS_SMMUV2_CB_TLBIASID, kAsidBoth), {TN, WN}},
    {"TLBIALL, nested", in_bank(kBankBoth, IMS_SMMUV2_CB_TLBIALL, 0), {TN, TNG, WN}},
    {"TLBIALL, nested's stage 2", in_bank(kBankHost, IMS_SMMUV2_CB_TLBIALL, 0), {IPA, W2N}},
    {"TLBIIPAS2, nested's stage 2", in_bank(kBankHost, IMS_SMMUV2_CB_TLBIIPAS2, kPage >> 12), {IPA, W2N}},
    {"TLBIIPAS2L, nested's stage 2", in_bank(kBankHost, IMS_SMMUV2_CB_TLBIIPAS2L, kPage >> 12), {IPA}},
    {"TLBIVA, hypervisor", va(kBankHyp, IMS_SMMUV2_CB_TLBIVA, 99), {TH, WH}},
    {"TLBIVAL, hypervisor", va(kBankHyp, IMS_SMMUV2_CB_TLBIVAL, 0), {TH}},
    {"TLBIASID, hypervisor", in_bank(kBankHyp, IMS_SMMUV2_CB_TLBIASID, kAsidFirst), {}},
    {"TLBIALL, hypervisor", in_bank(kBankHyp, IMS_SMMUV2_CB_TLBIALL, 0), {TH, WH}},
    {"TLBIVMID 3", everywhere(IMS_SMMUV2_TLBIVMID, kVmidFirst), {T1, T1G, W1}},
    {"TLBIVMID 2", everywhere(IMS_SMMUV2_TLBIVMID, kVmidSecond), {T2, W2}},
    {"TLBIVMID 9", everywhere(IMS_SMMUV2_TLBIVMID, kVmidBoth), {TN, TNG, WN, IPA, W2N}},
    {"TLBIVMID 0x103", everywhere(IMS_SMMUV2_TLBIVMID, 0x100 | kVmidFirst), {T1, T1G, W1}}, // 8 bits
    {"TLBIVMIDS1 3", everywhere(IMS_SMMUV2_TLBIVMIDS1, kVmidFirst), {T1, T1G, W1}},
    {"TLBIVMIDS1 2", everywhere(IMS_SMMUV2_TLBIVMIDS1, kVmidSecond), {}},
    {"TLBIVMIDS1 9", everywhere(IMS_SMMUV2_TLBIVMIDS1, kVmidBoth), {TN, TNG, WN}},
    {"TLBIALLNSNH", everywhere(IMS_SMMUV2_TLBIALLNSNH, 0), {T1, T1G, T2, TN, TNG, W1, WN, W2, W2N, IPA}},
    {"TLBIALLH", everywhere(IMS_SMMUV2_TLBIALLH, 0), {TH, WH}},
    {"TLBIVAH64", everywhere(IMS_SMMUV2_TLBIVAH64, kVa64), {TH, WH}},
    {"TLBIVAH64 elsewhere", everywhere(IMS_SMMUV2_TLBIVAH64, kFar >> 12), {}},
    {"TLBIVALH64", everywhere(IMS_SMMUV2_TLBIVALH64, kVa64), {TH}},
    {"TLBIVAH", everywhere(IMS_SMMUV2_TLBIVAH, kVa & 0xfffff000), {}}, // an address of 32 bits
    {"STLBIALL", everywhere(IMS_SMMUV2_STLBIALL, 0), {}},
    {"TLBSYNC", in_bank(kBankFirst, IMS_SMMUV2_CB_TLBSYNC, 0), {}},
    {"sTLBGSYNC", everywhere(IMS_SMMUV2_sTLBGSYNC, 0), {}},
};

struct Matrix : ::testing::TestWithParam<int> {};
TEST_P(Matrix, RemovesWhatItNames) {
  Item item = static_cast<Item>(GetParam());
  for (const Operation &op : kOperations) {
    Stale w(item);
    op.write(w);
    EXPECT_EQ(op.removes.count(item) != 0, w.gone()) << op.name << " and " << kNames[item];
    if (::testing::Test::HasFatalFailure())
      return;
  }
}
INSTANTIATE_TEST_SUITE_P(Items, Matrix, ::testing::Range(0, static_cast<int>(kItems)),
                         [](const ::testing::TestParamInfo<int> &i) { return kNames[i.param]; });

Config iotlb_only() {
  Config c = Config().no_caches();
  c.iotlb_entries = 64;
  return c;
}

// A block of stage 1 over pages of stage 2 lies in the IOTLB in pieces; one address removes them all.
TEST(Pieces, OfABlock) {
  World w(iotlb_only());
  w.guest.map(kVa & ~(2 * MB - 1), 0, kS1All, 2);
  uint64_t base = kVa & ~(2 * MB - 1);
  for (uint64_t at : {uint64_t(0), 5 * 4 * KB, 100 * 4 * KB})
    EXPECT_GOES(w.request(dma(kBoth, base + at)), kGuestBase + at);
  w.guest.map(base, 2 * MB, kS1All, 2);
  w.tlbi_va(kBankBoth, IMS_SMMUV2_CB_TLBIVAL, base + 300 * 4 * KB, kAsidBoth);
  for (uint64_t at : {uint64_t(0), 5 * 4 * KB, 100 * 4 * KB})
    EXPECT_GOES(w.request(dma(kBoth, base + at)), kGuestBase + 2 * MB + at);
}

// Any address of a run that the contiguous hint binds removes the run's entry; any of a 64 KB page the page's.
TEST(Pieces, RunsAndLargePages) {
  {
    World w(iotlb_only());
    uint64_t base = uint64_t(3) << 40;
    for (unsigned i = 0; i < 16; i++)
      w.first.map(base + i * 4096, 0x2100000 + i * 4096, kS1All | kContiguous);
    w.request(dma(kFirst, base + 0x3000));
    for (unsigned i = 0; i < 16; i++)
      w.first.map(base + i * 4096, 0x2200000 + i * 4096, kS1All | kContiguous);
    EXPECT_GOES(w.request(dma(kFirst, base + 0x3000)), 0x2103000);
    w.tlbi_va(kBankFirst, IMS_SMMUV2_CB_TLBIVAL, base + 0xf000, kAsidFirst);
    EXPECT_GOES(w.request(dma(kFirst, base + 0x3000)), 0x2203000);
  }
  World w(iotlb_only(), k64K, k64K);
  uint64_t page = kPage & ~uint64_t(0xffff), in = kVa & ~uint64_t(0xffff);
  EXPECT_GOES(w.request(dma(kFirst, in)), page);
  w.first.map(in, page + 0x10000, kS1All);
  w.tlbi_va(kBankFirst, IMS_SMMUV2_CB_TLBIVAL, in + 0x9000, kAsidFirst);
  EXPECT_GOES(w.request(dma(kFirst, in)), page + 0x10000);
}

// AArch32 operands: VA 31:12 with the ASID below, for either side.
TEST(Operand, AArch32) {
  Config c = iotlb_only();
  World w(c);
  Shape s;
  s.aarch32 = true, s.in_bits = 31;
  Tree lower(w, s), upper(w, s);
  lower.map(0x1000, kPage, kS1All);
  upper.map(0x80001000, kPage, kS1All);
  Machine::Stage1 how;
  how.upper = &upper, how.asid = 0x45;
  w.stage1(kBankFirst, lower, how);
  for (uint64_t at : {0x1000u, 0x80001000u}) {
    Tree &t = at >> 31 ? upper : lower;
    EXPECT_GOES(w.request(dma(kFirst, at)), kPage);
    t.map(at, kNew, kS1All);
    w.tlbi_va(kBankFirst, IMS_SMMUV2_CB_TLBIVA, at, 0x46);
    EXPECT_GOES(w.request(dma(kFirst, at)), kPage) << "another ASID";
    w.tlbi_va(kBankFirst, IMS_SMMUV2_CB_TLBIVA, at, 0x45);
    EXPECT_GOES(w.request(dma(kFirst, at)), kNew);
  }
}

// Upper addresses of AArch64: the operand has bits 55:12.
TEST(Operand, UpperAddresses) {
  World w(iotlb_only());
  Shape s;
  s.in_bits = 39;
  Tree upper(w, s);
  uint64_t at = 0xffffff8000001000;
  upper.map(at, kPage, kS1All);
  Machine::Stage1 how;
  how.upper = &upper, how.asid = kAsidFirst;
  w.stage1(kBankFirst, w.first, how);
  EXPECT_GOES(w.request(dma(kFirst, at)), kPage);
  upper.map(at, kNew, kS1All);
  w.tlbi_va(kBankFirst, IMS_SMMUV2_CB_TLBIVA, at, kAsidFirst);
  EXPECT_GOES(w.request(dma(kFirst, at)), kNew);
}

// A 64-bit operand in two halves: the lower one sets the operation off.
TEST(Operand, InHalves) {
  World w(iotlb_only());
  uint32_t at = ims_smmuv2_cb_offset(&w.cfg, kBankFirst) + 0x600;
  uint64_t operand = kVa >> 12 | uint64_t(kAsidFirst) << 48;
  EXPECT_GOES(w.request(dma(kFirst, kVa)), kPage);
  w.first.map(kVa, kNew, kS1All);
  w.write(at + 4, 4, operand >> 32);
  EXPECT_GOES(w.request(dma(kFirst, kVa)), kPage);
  w.write(at, 4, operand & 0xffffffff);
  EXPECT_GOES(w.request(dma(kFirst, kVa)), kNew);
  EXPECT_EQ(0u, w.read(at, 8));
  w.first.map(kVa, kPage, kS1All);
  w.write(at, 4, operand & 0xffffffff);
  EXPECT_GOES(w.request(dma(kFirst, kVa)), kNew) << "the upper half was used up";
}

TEST(Operand, AsidWidth) {
  World w(iotlb_only());
  w.put(IMS_SMMUV2_CB_TCR2, kBankFirst, 5 | 7 << 15); // AS=0
  w.request(dma(kFirst, kVa));
  w.first.map(kVa, kNew, kS1All);
  w.put(IMS_SMMUV2_CB_TLBIASID, kBankFirst, 0x100 | kAsidFirst);
  EXPECT_GOES(w.request(dma(kFirst, kVa)), kNew) << "8 bits count";
  w.put(IMS_SMMUV2_CB_TCR2, kBankFirst, 5 | 1 << 4 | 7 << 15);
  w.request(dma(kFirst, kVa));
  w.first.map(kVa, kPage, kS1All);
  w.put(IMS_SMMUV2_CB_TLBIASID, kBankFirst, 0x100 | kAsidFirst);
  EXPECT_GOES(w.request(dma(kFirst, kVa)), kNew) << "16 bits";
}

TEST(Operand, VmidOf16Bits) {
  World w(iotlb_only());
  w.put(IMS_SMMUV2_sCR0, w.get(IMS_SMMUV2_sCR0) | 1u << 31);
  w.put(IMS_SMMUV2_CBA2R, kBankFirst, 1 | 0x1203u << 16);
  w.request(dma(kFirst, kVa));
  w.first.map(kVa, kNew, kS1All);
  w.put(IMS_SMMUV2_TLBIVMID, 0x0003);
  EXPECT_GOES(w.request(dma(kFirst, kVa)), kPage);
  w.put(IMS_SMMUV2_TLBIVMID, 0x1203);
  EXPECT_GOES(w.request(dma(kFirst, kVa)), kNew);
}

// Banks with the same VMID and ASID share entries, and maintenance of one reaches those of the other.
TEST(Sharing, ByVmidAndAsid) {
  World w(iotlb_only());
  Machine::Stage1 how;
  how.asid = kAsidFirst, how.vmid = kVmidFirst;
  w.stage1(8, w.first, how);
  w.stream_to(5, 0x80, 8);
  EXPECT_EQ(4u, w.request(dma(kFirst, kVa)).refs);
  EXPECT_EQ(0u, w.request(dma(0x80, kVa)).refs);
  w.put(IMS_SMMUV2_CB_TLBIALL, 8, 0);
  EXPECT_EQ(4u, w.request(dma(kFirst, kVa)).refs);
}

} // namespace
} // namespace smmu2
