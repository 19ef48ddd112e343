// SPDX-License-Identifier: Apache-2.0
// One row for each way in which a structure or a table can refuse a request: what is wrong, which request meets it, and the
// whole record of it. Then what becomes of the request: abort, zeros, or a stall. Arm IHI 0070 7.3, 3.12, 5.5, 3.4, 13.1.
// Stage 2 under a stage-1 walk is in localisation_test.cc, ATS in ats_test.cc.
#include "tests/iommu/smmuv3/world.h"

#include <gtest/gtest.h>

namespace smmu {
namespace {

constexpr unsigned R = IMS_ACC_R, W = IMS_ACC_W, X = IMS_ACC_X, PRIV = IMS_ACC_PRIV;
constexpr uint64_t kRecInvSid = 2;

uint64_t bit(unsigned n) { return uint64_t(1) << n; }

using Req = ims_request;

struct Row {
  const char *what;
  Plan plan;
  void (*break_it)(World &);
  Event (*expected)(World &, const Req &);
  Req (*ask)(World &) = nullptr; // a read of w.va
  void (*configure)(Config &) = nullptr;
};

void judge(const std::vector<Row> &rows) {
  for (const Row &k : rows) {
    SCOPED_TRACE(k.what);
    Config c;
    c.no_caches();
    if (k.configure)
      k.configure(c);
    World w(k.plan, c);
    Req r = k.ask ? k.ask(w) : w.ask();
    k.break_it(w);
    Event e = k.expected(w, r);
    w.fails(r, e);
    w.fails(r, e); // nothing of it stays
  }
}

Plan nested() {
  Plan p = nested4k();
  p.cr2 = kRecInvSid;
  return p;
}
Plan linear() { // one stage, no two-level table
  Plan p = s1_only();
  p.cr2 = kRecInvSid;
  return p;
}
Plan stage1() { // with substreams
  Plan p = nested();
  p.config = kS1;
  return p;
}
Plan stage2() {
  Plan p = s2_only();
  p.cr2 = kRecInvSid;
  return p;
}

// Records.
Event bad_streamid(World &, const Req &r) { return event(0x02, r); }
Event bad_ste(World &, const Req &r) { return event(0x04, r); }
Event disabled(World &, const Req &r) {
  Req plain = r;
  plain.has_pasid = false;
  return event(0x06, plain);
}
Event bad_substreamid(World &, const Req &r) { // SSID without SSV
  Req plain = r;
  plain.has_pasid = false;
  return event(0x08, plain).bits(12, r.has_pasid ? r.pasid : 0);
}
Event bad_cd(World &, const Req &r) { return event(0x0a, r); }
template <unsigned Id> Event in_stage1(World &, const Req &r) { return fault(Id, r); }
template <unsigned Id> Event in_stage2(World &w, const Req &r) { return fault(Id, r).stage2(kIn, w.ipa); }

// 1. StreamIDs and the stream table.
TEST(Configuration, StreamTable) {
  judge({
      {"beyond LOG2SIZE", linear(), [](World &) {}, bad_streamid, [](World &) { return dma(0x100, 0x5000); }},
      {"far beyond", linear(), [](World &) {}, bad_streamid, [](World &) { return dma(0xffffffff, 0x5000); }},
      {"beyond, with SubstreamID", linear(), [](World &) {}, bad_streamid,
       [](World &) { return dma(0x100, 0xfffff, 0x5000, W); }},
      {"LOG2SIZE beyond SIDSIZE", linear(), [](World &) {}, bad_streamid, nullptr, [](Config &c) { c.sidsize = 6; }},
      {"Span 0", nested(), [](World &w) { w.clear(w.l1std_at(kStream), 31); }, bad_streamid},
      {"Span 12, reserved", nested(),
       [](World &w) {
         uint64_t at = w.l1std_at(kStream);
         w.clear(at, 31), w.set(at, 12);
       },
       bad_streamid},
      {"Span 31, reserved", nested(), [](World &w) { w.set(w.l1std_at(kStream), 31); }, bad_streamid},
      {"Span beyond the split", nested(), [](World &w) { w.set(w.l1std_at(kStream), 8); }, bad_streamid},
      {"index beyond the span", nested(),
       [](World &w) {
         uint64_t at = w.l1std_at(kStream);
         w.clear(at, 31), w.set(at, 3); // four STEs; kStream is the eighth
       },
       bad_streamid},
      {"no level-1 entry was written", nested(), [](World &) {}, bad_streamid, [](World &) { return dma(0x80, 0); }},
      {"STE in absent memory", linear(), [](World &w) { w.off(IMS_SMMUV3_STRTAB_BASE, kAbsent); },
       [](World &, const Req &r) { return event(0x03, r).fetched(kAbsent + kStream * 64); }},
      {"level-1 descriptor in absent memory", nested(), [](World &w) { w.off(IMS_SMMUV3_STRTAB_BASE, kAbsent); },
       [](World &, const Req &r) { return event(0x03, r).fetched(kAbsent + 8 * (kStream >> 6)); }},
      {"leaf in absent memory", nested(), [](World &w) { w.store(w.l1std_at(kStream), kAbsent | 7); },
       [](World &, const Req &r) { return event(0x03, r).fetched(kAbsent + 64 * (kStream & 63)); }},
      // FetchAddr bits from the output size on are zero.
      {"leaf beyond the output size", nested(), [](World &w) { w.store(w.l1std_at(kStream), bit(50) | 0x7000 | 7); },
       [](World &, const Req &r) { return event(0x03, r).fetched(0x7000 + 64 * (kStream & 63)); }},
  });
}

TEST(Configuration, InvalidStreamIdsAbortWithoutARecordUnlessAskedFor) {
  for (uint64_t cr2 : {uint64_t(0), kRecInvSid}) {
    Plan p = nested();
    p.cr2 = cr2;
    World w(p);
    for (const Req &r : {dma(0x100, 0x5000), dma(0x80, 0x5000)}) {
      ims_result got = w.request(r);
      EXPECT_EQ(IMS_STATUS_FAULT, got.status);
      EXPECT_EQ(IMS_CPL_UR, got.completion);
      EXPECT_EQ(0x02, got.fault);
      EXPECT_EQ(cr2 != 0, got.recorded);
      EXPECT_EQ(cr2 ? 1u : 0u, w.events().size());
    }
  }
}

TEST(Configuration, SpanThatSuffices) {
  World w(nested());
  uint64_t at = w.l1std_at(kStream);
  w.clear(at, 31), w.set(at, 4); // eight STEs
  EXPECT_EQ(IMS_STATUS_OK, w.request(w.ask()).status);
}

// 2. STEs. Every rule is in decode_ste_test.cc; here one of each kind, on its way into a record.
template <ims_ste_field F, unsigned Value> void ste(World &w) {
  w.ste.set(F, Value);
  w.update_ste();
}
template <ims_ste_field F> void ste_at(World &w) { // an address with bit 49 set
  w.ste.at(F, bit(49));
  w.update_ste();
}

TEST(Configuration, IllegalStes) {
  auto no_stage1 = [](Config &c) { c.s1p = 0, c.ns1ats = 1; };
  auto no_stage2 = [](Config &c) { c.s2p = 0; };
  auto no_stall = [](Config &c) { c.stall_model = 1; };
  auto stall_only = [](Config &c) { c.stall_model = 2; };
  auto nothing = [](World &) {};
  judge({
      {"V = 0", nested(), ste<IMS_STE_V, 0>, bad_ste},
      {"stage 1 without stage 1", linear(), nothing, bad_ste, nullptr, no_stage1},
      {"stage 2 without stage 2", stage2(), nothing, bad_ste, nullptr, no_stage2},
      {"both without stage 2", nested(), nothing, bad_ste, nullptr, no_stage2},
      {"S1CDMax above SSIDSIZE", nested(), ste<IMS_STE_S1CDMAX, 21>, bad_ste},
      {"two-level CD table without CD2L", nested(), nothing, bad_ste, nullptr, [](Config &c) { c.cd2l = 0; }},
      {"S1ContextPtr above OAS", stage1(), ste_at<IMS_STE_S1CONTEXTPTR>, bad_ste},
      {"S1STALLD where nothing stalls", stage1(), ste<IMS_STE_S1STALLD, 1>, bad_ste, nullptr, no_stall},
      {"STRW 1", linear(), ste<IMS_STE_STRW, 1>, bad_ste},
      {"STRW 3", linear(), ste<IMS_STE_STRW, 3>, bad_ste},
      {"VMID of more than eight bits", nested(), ste<IMS_STE_S2VMID, 256>, bad_ste, nullptr,
       [](Config &c) { c.vmid16 = 0; }},
      {"EATS split without stage 2", stage1(), ste<IMS_STE_EATS, 2>, bad_ste},
      {"EATS split where NS1ATS", nested(), ste<IMS_STE_EATS, 2>, bad_ste, nullptr, [](Config &c) { c.ns1ats = 1; }},
      {"EATS full and S2S", nested(),
       [](World &w) {
         w.ste.set(IMS_STE_EATS, 1).set(IMS_STE_S2S, 1);
         w.update_ste();
       },
       bad_ste},
      {"S2T0SZ too large", stage2(), ste<IMS_STE_S2T0SZ, 49>, bad_ste},
      {"S2T0SZ too small", stage2(), ste<IMS_STE_S2T0SZ, 15>, bad_ste},
      {"S2SL0 reserved", stage2(), ste<IMS_STE_S2SL0, 3>, bad_ste, nullptr, [](Config &c) { c.stt = 0; }},
      {"S2SL0 does not fit S2T0SZ", stage2(), ste<IMS_STE_S2SL0, 0>, bad_ste},
      {"more than sixteen tables", stage2(), ste<IMS_STE_S2SL0, 1>, bad_ste},
      {"S2TG 3", stage2(), ste<IMS_STE_S2TG, 3>, bad_ste},
      {"S2TG of a granule that is not there", stage2(), nothing, bad_ste, nullptr, [](Config &c) { c.gran4k = 0; }},
      {"S2TTB above S2PS", stage2(),
       [](World &w) {
         w.ste.set(IMS_STE_S2PS, 0).at(IMS_STE_S2TTB, bit(33));
         w.update_ste();
       },
       bad_ste},
      {"S2TTB above OAS", nested(), ste_at<IMS_STE_S2TTB>, bad_ste},
      {"AArch32 stage 2 where there is none", stage2(), ste<IMS_STE_S2AA64, 0>, bad_ste},
      {"S2ENDI where all is little-endian", stage2(), ste<IMS_STE_S2ENDI, 1>, bad_ste, nullptr,
       [](Config &c) { c.ttendian = 2; }},
      {"S2HA without HTTU", stage2(), ste<IMS_STE_S2HA, 1>, bad_ste, nullptr, [](Config &c) { c.httu = 0; }},
      {"S2HD with access flags only", stage2(), ste<IMS_STE_S2HD, 1>, bad_ste, nullptr, [](Config &c) { c.httu = 1; }},
      {"S2HAFT without S2HA", stage2(), ste<IMS_STE_S2HAFT, 1>, bad_ste, nullptr,
       [](Config &c) { c.httu = 3, c.version = 4; }},
      {"S2S where nothing stalls", stage2(), ste<IMS_STE_S2S, 1>, bad_ste, nullptr, no_stall},
      {"S2S = 0 where all stalls", stage2(), nothing, bad_ste, nullptr, stall_only},
  });
}

// Streams that are aborted say nothing, whatever else their STE says.
TEST(Configuration, AbortIsSilent) {
  for (unsigned config = 0; config < 4; config++) {
    World w(nested());
    w.ste.set(IMS_STE_CONFIG, config).set(IMS_STE_S2TG, 3).set(IMS_STE_S1CDMAX, 31);
    w.update_ste();
    for (const Req &r : {w.ask(W), dma(kStream, 0xfffff, ~uint64_t(0), R), as(w.ask(), IMS_TRANSLATED)}) {
      ims_result got = w.request(r);
      EXPECT_EQ(IMS_STATUS_ABORT, got.status) << config;
      EXPECT_EQ(IMS_CPL_UR, got.completion);
    }
    EXPECT_TRUE(w.events().empty());
  }
}

// 3. Addresses that no stage translates.
TEST(Configuration, AddressesBeyondTheOutputSize) {
  auto far = [](World &w) { return dma(kStream, bit(48) | w.va, W); };
  auto farther = [](World &) { return dma(kStream, ~uint64_t(0xfff), R | PRIV); };
  auto no_cd = [](World &w) {
    w.ste.set(IMS_STE_S1DSS, 1);
    w.update_ste();
  };
  judge({
      {"bypass", linear(), ste<IMS_STE_CONFIG, kBypass>, in_stage1<0x11>, far},
      {"bypass, all ones", linear(), ste<IMS_STE_CONFIG, kBypass>, in_stage1<0x11>, farther},
      {"stage 1 skipped by S1DSS", stage1(), no_cd, in_stage1<0x11>, far},
      {"stage 1 skipped under stage 2", nested(), no_cd, in_stage1<0x11>, far},
      {"stage 2 alone: input beyond the IAS", stage2(), [](World &) {}, in_stage1<0x11>, far},
      // Always an abort with a record.
      {"the same, stalling and unrecorded", stage2(),
       [](World &w) {
         w.ste.set(IMS_STE_S2S, 1).set(IMS_STE_S2R, 0);
         w.update_ste();
       },
       in_stage1<0x11>, far},
  });
}

TEST(Configuration, IasOfAArch32) {
  // 40 bits, though the output has 36: then stage 2 takes what its size allows. The IPA is recorded whole: 3.4.3 wants it
  // so, against the sentence of 7.3.13 that bits from the OAS on are zero.
  Config c;
  c.no_caches();
  c.oas = 1, c.ttf = 3;
  Plan p = stage2();
  p.s2.in_bits = 36;
  World w(p, c);
  w.ok();
  Req r = dma(kStream, bit(39) | 0x123456);
  w.fails(r, fault(0x10, r).stage2(kIn, bit(39) | 0x123000));
  r = dma(kStream, bit(40));
  w.fails(r, fault(0x11, r));
  p.s2.in_bits = 40;
  World wide(p, c);
  wide.s2.map(bit(39) | 0x123000, 0x500000, kS2All);
  EXPECT_EQ(0x500456u, wide.request(dma(kStream, bit(39) | 0x123456)).output);
}

// 4. SubstreamIDs and the CD table.
TEST(Configuration, Substreams) {
  auto with = [](World &w) { return dma(kStream, 5, w.va, W | PRIV); };
  auto zero = [](World &w) { return dma(kStream, 0, w.va, R); };
  auto without = [](World &w) { return dma(kStream, w.va, X); };
  auto nothing = [](World &) {};
  judge({
      {"bypass", linear(), ste<IMS_STE_CONFIG, kBypass>, bad_substreamid, with},
      {"bypass, address too large as well", linear(), ste<IMS_STE_CONFIG, kBypass>, bad_substreamid,
       [](World &) { return dma(kStream, 5, ~uint64_t(0), R); }},
      {"stage 2 alone", stage2(), nothing, bad_substreamid, with},
      {"SubstreamID 0, stage 2 alone", stage2(), nothing, bad_substreamid, zero},
      {"one CD", linear(), nothing, bad_substreamid, with},
      {"SubstreamID 0 with one CD", linear(), nothing, bad_substreamid, zero},
      {"SSIDSIZE 0", nested(), nothing, bad_substreamid, with, [](Config &c) { c.ssidsize = 0; }},
      {"beyond S1CDMax", nested(), nothing, bad_substreamid, [](World &w) { return dma(kStream, 256, w.va, R); }},
      {"far beyond S1CDMax", stage1(), nothing, bad_substreamid,
       [](World &w) { return dma(kStream, 0xfffff, w.va, R); }},
      {"level-1 descriptor V = 0", nested(), [](World &w) { w.clear(w.cd_l1_at(kStream, kSub), 1); }, bad_substreamid},
      {"no level-1 descriptor", nested(), nothing, bad_substreamid,
       [](World &w) { return dma(kStream, 255, w.va, R); }},
      {"level-1 descriptor of S1DSS = 0b10", stage1(), ste<IMS_STE_S1DSS, 2>, bad_substreamid, without},
      {"L2Ptr above OAS", stage1(), [](World &w) { w.set(w.cd_l1_at(kStream, kSub), bit(48)); }, bad_substreamid},
      {"none given, S1DSS = 0b00", nested(), nothing, disabled, without},
      {"none given, S1DSS = 0b11", stage1(), ste<IMS_STE_S1DSS, 3>, disabled, without},
      {"SubstreamID 0, S1DSS = 0b10", nested(), ste<IMS_STE_S1DSS, 2>, disabled, zero},
  });
}

// 5. CDs.
TEST(Configuration, CdFetch) {
  auto context = [](World &w) {
    w.ste.at(IMS_STE_S1CONTEXTPTR, kAbsent);
    w.update_ste();
  };
  judge({
      {"one CD in absent memory", linear(), context,
       [](World &, const Req &r) { return event(0x09, r).fetched(kAbsent); }},
      {"level-1 descriptor in absent memory", stage1(), context,
       [](World &, const Req &r) { return event(0x09, r).fetched(kAbsent + 8 * (kSub >> 6)); }},
      {"leaf in absent memory", stage1(), [](World &w) { w.store(w.cd_l1_at(kStream, kSub), kAbsent | 1); },
       [](World &, const Req &r) { return event(0x09, r).fetched(kAbsent + 64 * (kSub & 63)); }},
      {"linear table in absent memory",
       [] {
         Plan p = stage1();
         p.s1fmt = 0;
         return p;
       }(),
       context, [](World &, const Req &r) { return event(0x09, r).fetched(kAbsent + 64 * kSub); }},
      // Over stage 2 the record has the PA.
      {"nested, level-1 descriptor", nested(),
       [](World &w) { w.s2.map(w.targets()[0].ipa & ~uint64_t(0xfff), kAbsent, kS2All); },
       [](World &w, const Req &r) { return event(0x09, r).fetched(kAbsent | (w.targets()[0].ipa & 0xfff)); }},
  });
}

template <ims_cd_field F, unsigned Value> void cd(World &w) {
  w.cd.set(F, Value);
  w.update_cd();
}
template <ims_cd_field F> void cd_at(World &w) {
  w.cd.at(F, bit(49));
  w.update_cd();
}

TEST(Configuration, IllegalCds) {
  auto nothing = [](World &) {};
  auto no_stall = [](Config &c) { c.stall_model = 1; };
  judge({
      {"V = 0", nested(), cd<IMS_CD_V, 0>, bad_cd},
      {"V = 0, one stage", stage1(), cd<IMS_CD_V, 0>, bad_cd},
      {"empty CD of another substream", nested(), nothing, bad_cd, [](World &w) { return dma(kStream, 71, w.va, W); }},
      {"T0SZ too large", nested(), cd<IMS_CD_T0SZ, 49>, bad_cd},
      {"T0SZ too large without STT", nested(), cd<IMS_CD_T0SZ, 40>, bad_cd, nullptr, [](Config &c) { c.stt = 0; }},
      {"T0SZ too small", nested(), cd<IMS_CD_T0SZ, 15>, bad_cd},
      {"TG0 3", stage1(), cd<IMS_CD_TG0, 3>, bad_cd},
      {"TG0 of a granule that is not there", stage1(), cd<IMS_CD_TG0, 1>, bad_cd, nullptr,
       [](Config &c) { c.gran64k = 0; }},
      // The other half is checked too, unless it is off.
      {"TG1 0, reserved", stage1(), cd<IMS_CD_EPD1, 0>, bad_cd},
      {"T1SZ too small", stage1(),
       [](World &w) {
         w.cd.set(IMS_CD_EPD1, 0).set(IMS_CD_TG1, 2).set(IMS_CD_T1SZ, 15);
         w.update_cd();
       },
       bad_cd},
      {"TTB0 above IPS", stage1(),
       [](World &w) {
         w.cd.set(IMS_CD_IPS, 0).at(IMS_CD_TTB0, bit(33));
         w.update_cd();
       },
       bad_cd},
      {"TTB0 above OAS", nested(), cd_at<IMS_CD_TTB0>, bad_cd},
      {"AArch32 where there is none", stage1(), cd<IMS_CD_AA64, 0>, bad_cd},
      {"AArch64 over AArch32",
       [] {
         Plan p = nested();
         p.s2.in_bits = 40; // from level 1: the same tables in both
         return p;
       }(),
       [](World &w) {
         w.ste.set(IMS_STE_S2AA64, 0).set(IMS_STE_S2T0SZ, 8).set(IMS_STE_S2SL0, 1);
         w.update_ste();
       },
       bad_cd, nullptr, [](Config &c) { c.ttf = 3; }},
      {"big-endian where all is little-endian", stage1(), cd<IMS_CD_ENDI, 1>, bad_cd, nullptr,
       [](Config &c) { c.ttendian = 2; }},
      {"HA without HTTU", stage1(), cd<IMS_CD_HA, 1>, bad_cd, nullptr, [](Config &c) { c.httu = 0; }},
      {"HD with access flags only", stage1(), cd<IMS_CD_HD, 1>, bad_cd, nullptr, [](Config &c) { c.httu = 1; }},
      {"HAFT without HA", stage1(), cd<IMS_CD_HAFT, 1>, bad_cd, nullptr, [](Config &c) { c.httu = 3, c.version = 4; }},
      {"S where nothing stalls", stage1(), cd<IMS_CD_S, 1>, bad_cd, nullptr, no_stall},
      {"S where the STE forbids it", stage1(),
       [](World &w) {
         w.ste.set(IMS_STE_S1STALLD, 1);
         w.update_ste();
         w.cd.set(IMS_CD_S, 1);
         w.update_cd();
       },
       bad_cd},
      {"S = 0 where all stalls", stage1(), nothing, bad_cd, nullptr, [](Config &c) { c.stall_model = 2; }},
      {"A = 0 where all aborts", stage1(), cd<IMS_CD_A, 0>, bad_cd, nullptr, [](Config &c) { c.term_model = 1; }},
      {"ASID of more than eight bits", stage1(), cd<IMS_CD_ASID, 256>, bad_cd, nullptr,
       [](Config &c) { c.asid16 = 0; }},
  });
}

// 6. Walks of one stage.
Event eabt(const Req &r, uint64_t fetched, bool s2) {
  Event e = fault(0x0b, r);
  if (!s2)
    e.word[1] = (e.word[1] & ~(uint64_t(3) << 40)) | uint64_t(kTt) << 40; // CLASS = TT even so
  else
    e.bits(103, 1);
  return e.fetched(fetched);
}

TEST(Walk, Stage1) {
  auto beyond = [](World &) { return dma(kStream, bit(48) | 0x5000, R); };
  auto off = [](World &) {};
  std::vector<Row> rows = {
      {"address beyond the range", linear(), off, in_stage1<0x10>, beyond},
      {"all ones but the top bit", linear(), off, in_stage1<0x10>,
       [](World &) { return dma(kStream, ~bit(63), W | PRIV); }},
      {"in the hole", linear(), off, in_stage1<0x10>, [](World &) { return dma(kStream, ~bit(48), R); }},
      {"T0SZ cuts the address", linear(), cd<IMS_CD_T0SZ, 30>, in_stage1<0x10>},
      {"EPD0", linear(), cd<IMS_CD_EPD0, 1>, in_stage1<0x10>},
      {"upper half, EPD1", linear(), off, in_stage1<0x10>, [](World &w) { return dma(kStream, w.va | ~bit(48), R); }},
      {"root in absent memory", linear(),
       [](World &w) {
         w.cd.at(IMS_CD_TTB0, kAbsent);
         w.update_cd();
       },
       [](World &w, const Req &r) { return eabt(r, kAbsent + (w.va >> 39 & 511) * 8, false); }},
      {"table of level 2 in absent memory", linear(), [](World &w) { w.store(w.s1.at(w.va, 1), kAbsent | 3); },
       [](World &w, const Req &r) { return eabt(r, kAbsent + (w.va >> 21 & 511) * 8, false); }},
      {"block at level 0", linear(), [](World &w) { w.clear(w.s1.at(w.va, 0), 2); }, in_stage1<0x10>},
      {"block at level 3", linear(), [](World &w) { w.clear(w.s1.at(w.va, 3), 2); }, in_stage1<0x10>},
      {"page above IPS", linear(),
       [](World &w) {
         cd<IMS_CD_IPS, 2>(w);
         w.set(w.leaf1(), bit(40));
       },
       in_stage1<0x11>},
      {"table above IPS", linear(),
       [](World &w) {
         cd<IMS_CD_IPS, 2>(w);
         w.set(w.s1.at(w.va, 1), bit(40));
       },
       in_stage1<0x11>},
      {"AF = 0", linear(), [](World &w) { w.clear(w.leaf1(), kS1Af); }, in_stage1<0x12>},
      {"AF = 0 of a write", linear(), [](World &w) { w.clear(w.leaf1(), kS1Af); }, in_stage1<0x12>,
       [](World &w) { return w.ask(W); }},
      {"privileged page", linear(), [](World &w) { w.clear(w.leaf1(), kS1User); }, in_stage1<0x13>},
      {"read-only page", linear(), [](World &w) { w.set(w.leaf1(), kS1ReadOnly); }, in_stage1<0x13>,
       [](World &w) { return w.ask(W); }},
      {"atomic on a read-only page", linear(), [](World &w) { w.set(w.leaf1(), kS1ReadOnly); }, in_stage1<0x13>,
       [](World &w) { return w.ask(R | W); }},
      {"UXN", linear(), [](World &w) { w.set(w.leaf1(), bit(54)); }, in_stage1<0x13>,
       [](World &w) { return w.ask(X); }},
      {"PXN", linear(),
       [](World &w) {
         w.set(w.leaf1(), bit(53) | kS1ReadOnly);
         w.clear(w.leaf1(), kS1User);
       },
       in_stage1<0x13>, [](World &w) { return w.ask(X | PRIV); }},
  };
  judge(rows);
  // The same in a nested stage 1: a stage-1 fault, whatever stage 2 says of the page.
  for (Row &k : rows) {
    bool absent = std::string(k.what).find("absent") != std::string::npos;
    if (absent || k.ask)
      continue;
    k.plan = nested();
  }
  std::vector<Row> inner;
  for (const Row &k : rows)
    if (k.plan.config == kNested)
      inner.push_back(k);
  EXPECT_LE(8u, inner.size());
  judge(inner);
}

TEST(Walk, HolesAtEachLevelOfStage1) {
  for (unsigned g = 0; g < 3; g++)
    for (const Plan &base : {linear(), nested()}) {
      Plan p = base;
      p.s1.granule = static_cast<Granule>(g);
      for (int level = World(p).s1.start; level <= 3; level++) {
        World w(p);
        w.clear(w.s1.at(w.va, level), 1);
        for (unsigned access : {R, W, X, R | PRIV}) {
          ims_result r = w.fails(w.ask(access), fault(0x10, w.ask(access)));
          EXPECT_EQ(1, r.walk.stage);
          EXPECT_EQ(4 - level, r.walk.level);
        }
      }
    }
}

TEST(Walk, Stage2) {
  judge({
      {"input beyond S2T0SZ",
       [] {
         Plan p = stage2();
         p.s2.in_bits = 40;
         return p;
       }(),
       [](World &) {}, [](World &, const Req &r) { return fault(0x10, r).stage2(kIn, r.iova); },
       [](World &) { return dma(kStream, bit(40) | 0x5678); }},
      {"root in absent memory", stage2(),
       [](World &w) {
         w.ste.at(IMS_STE_S2TTB, kAbsent);
         w.update_ste();
       },
       [](World &, const Req &r) { return eabt(r, kAbsent, true); }},
      {"table of level 3 in absent memory", stage2(), [](World &w) { w.store(w.s2.at(w.ipa, 2), kAbsent | 3); },
       [](World &, const Req &r) { return eabt(r, kAbsent, true); }},
      {"hole", stage2(), [](World &w) { w.clear(w.leaf2(), 1); }, in_stage2<0x10>},
      {"hole at the top", stage2(), [](World &w) { w.clear(w.s2.at(w.ipa, 0), 1); }, in_stage2<0x10>},
      {"block at level 0", stage2(), [](World &w) { w.clear(w.s2.at(w.ipa, 0), 2); }, in_stage2<0x10>},
      {"page above S2PS", stage2(),
       [](World &w) {
         ste<IMS_STE_S2PS, 2>(w);
         w.set(w.leaf2(), bit(40));
       },
       in_stage2<0x11>},
      {"table above S2PS", stage2(),
       [](World &w) {
         ste<IMS_STE_S2PS, 2>(w);
         w.set(w.s2.at(w.ipa, 1), bit(40));
       },
       in_stage2<0x11>},
      {"AF = 0", stage2(), [](World &w) { w.clear(w.leaf2(), kS2Af); }, in_stage2<0x12>},
      {"not readable", stage2(), [](World &w) { w.clear(w.leaf2(), kS2Read); }, in_stage2<0x13>},
      {"not writable", stage2(), [](World &w) { w.clear(w.leaf2(), kS2Write); }, in_stage2<0x13>,
       [](World &w) { return w.ask(W); }},
      {"atomic, neither", stage2(), [](World &w) { w.clear(w.leaf2(), kS2Read | kS2Write); }, in_stage2<0x13>,
       [](World &w) { return w.ask(R | W); }},
      {"atomic, write-only: RnW = 1", stage2(), [](World &w) { w.clear(w.leaf2(), kS2Read); },
       [](World &w, const Req &r) { return in_stage2<0x13>(w, r).bits(99, 1); }, [](World &w) { return w.ask(R | W); }},
      {"XN = 0b10", stage2(), [](World &w) { w.set(w.leaf2(), bit(54)); }, in_stage2<0x13>,
       [](World &w) { return w.ask(X); }},
      {"XN = 0b01, privileged", stage2(), [](World &w) { w.set(w.leaf2(), bit(53)); }, in_stage2<0x13>,
       [](World &w) { return w.ask(X | PRIV); }},
      {"XN = 0b11, unprivileged", stage2(), [](World &w) { w.set(w.leaf2(), bit(53) | bit(54)); }, in_stage2<0x13>,
       [](World &w) { return w.ask(X); }},
  });
}

TEST(Walk, WholeInputAddressIsRecorded) {
  World w(linear());
  w.cd.set(IMS_CD_TBI0, 1);
  w.update_cd();
  Req r = w.ask(R, w.va | uint64_t(0xab) << 56);
  EXPECT_EQ(w.out, w.request(r).output);
  w.clear(w.leaf1(), 1);
  w.fails(r, fault(0x10, r)); // with the byte that was ignored
}

// RnW, InD and PnU: the request's, after PRIVCFG and INSTCFG; writes are data.
TEST(Walk, AccessFieldsOfTheRecord) {
  for (unsigned ovr : {0u, 1u})
    for (unsigned priv = 0; priv < 4; priv++)
      for (unsigned inst = 0; inst < 4; inst++)
        for (bool nested_stream : {false, true}) {
          Config c;
          c.no_caches();
          c.attr_perms_ovr = ovr;
          World w(nested_stream ? nested() : linear(), c);
          w.ste.set(IMS_STE_PRIVCFG, priv).set(IMS_STE_INSTCFG, inst);
          w.update_ste();
          uint64_t table = w.s1.at(w.va) - kGuestBase; // CLASS=TT: the fields are the transaction's all the same
          if (nested_stream)
            w.store(w.s2.at(table), 0);
          else
            w.clear(w.leaf1(), 1);
          for (unsigned access : {R, W, R | W, X, R | X, W | X, R | PRIV, W | PRIV, X | PRIV, R | W | PRIV}) {
            bool write = access & W;
            bool ind = write ? false : !ovr || inst < 2 ? (access & X) != 0 : inst == 3;
            bool pnu = !ovr || priv < 2 ? (access & PRIV) != 0 : priv == 3;
            Event e = event(0x10, w.ask(access));
            e.bits(97, pnu).bits(98, ind).bits(99, !write).bits(104, kIn).bits(128, w.va);
            if (nested_stream)
              e.stage2(kTt, table);
            SCOPED_TRACE("access " + std::to_string(access) + " PRIVCFG " + std::to_string(priv) + " INSTCFG " +
                         std::to_string(inst));
            w.fails(w.ask(access), e);
          }
        }
}

// And the overrides decide what is permitted.
TEST(Walk, OverridesOfPrivilegeAndInstruction) {
  World w(linear());
  w.clear(w.leaf1(), kS1User);
  w.ok(R | PRIV);
  ste<IMS_STE_PRIVCFG, 3>(w);
  w.ok(R);
  ste<IMS_STE_PRIVCFG, 2>(w);
  w.fails(w.ask(R | PRIV), fault(0x13, w.ask(R)));
  ste<IMS_STE_PRIVCFG, 0>(w);
  w.set(w.leaf1(), kS1User | bit(54)); // UXN
  w.ok(R);
  ste<IMS_STE_INSTCFG, 3>(w);
  w.fails(w.ask(R), fault(0x13, w.ask(X)));
  w.ok(W);
  w.ok(R | W); // an atomic is data
  ste<IMS_STE_INSTCFG, 2>(w);
  w.ok(X);
}

// 7. What becomes of the request: CD.A, R, S.
struct Fault {
  unsigned id;
  void (*break1)(World &), (*break2)(World &);
};
const Fault kFour[] = {
    {0x10, [](World &w) { w.clear(w.leaf1(), 1); }, [](World &w) { w.clear(w.leaf2(), 1); }},
    {0x11,
     [](World &w) {
       cd<IMS_CD_IPS, 2>(w);
       w.set(w.leaf1(), bit(40));
     },
     [](World &w) {
       ste<IMS_STE_S2PS, 2>(w);
       w.set(w.leaf2(), bit(40));
     }},
    {0x12, [](World &w) { w.clear(w.leaf1(), kS1Af); }, [](World &w) { w.clear(w.leaf2(), kS2Af); }},
    {0x13, [](World &w) { w.clear(w.leaf1(), kS1User); }, [](World &w) { w.clear(w.leaf2(), kS2Read); }},
};

TEST(FaultModel, Stage1) {
  for (const Fault &k : kFour)
    for (const Plan &p : {linear(), nested()})
      for (unsigned ars = 0; ars < 8; ars++)
        for (unsigned s2 = 0; s2 < 4; s2++) {
          bool a = ars & 4, record = ars & 2, stall = ars & 1;
          SCOPED_TRACE(std::to_string(k.id) + ", ARS " + std::to_string(ars) + " S2R, S2S " + std::to_string(s2));
          World w(p);
          w.cd.set(IMS_CD_A, a).set(IMS_CD_R, record).set(IMS_CD_S, stall);
          w.update_cd();
          w.ste.set(IMS_STE_S2R, s2 >> 1).set(IMS_STE_S2S, s2 & 1); // stage 2's does not matter
          w.update_ste();
          k.break1(w);
          ims_result r = w.request(w.ask());
          Event e = fault(k.id, w.ask());
          EXPECT_EQ(k.id, r.fault);
          if (stall) {
            EXPECT_EQ(IMS_STATUS_STALL, r.status);
            EXPECT_EQ(std::vector<Event>{e.stalled(r.stag)}, w.events());
          } else {
            EXPECT_EQ(IMS_STATUS_FAULT, r.status);
            EXPECT_EQ(a ? IMS_CPL_UR : IMS_CPL_ZERO, r.completion);
            EXPECT_EQ(record, r.recorded);
            EXPECT_EQ(record ? std::vector<Event>{e} : std::vector<Event>(), w.events());
          }
        }
}

TEST(FaultModel, Stage2) {
  for (const Fault &k : kFour)
    for (const Plan &p : {stage2(), nested()})
      for (unsigned rs = 0; rs < 4; rs++)
        for (unsigned ars = 0; ars < 8; ars++) {
          if (p.config == kS2 && ars)
            continue;
          bool record = rs & 2, stall = rs & 1;
          SCOPED_TRACE(std::to_string(k.id) + ", S2R, S2S " + std::to_string(rs) + " ARS " + std::to_string(ars));
          World w(p);
          w.ste.set(IMS_STE_S2R, record).set(IMS_STE_S2S, stall);
          w.update_ste();
          if (p.config == kNested) {
            w.cd.set(IMS_CD_A, ars >> 2)
                .set(IMS_CD_R, ars >> 1 & 1)
                .set(IMS_CD_S, ars & 1); // stage 1's does not matter
            w.update_cd();
          }
          k.break2(w);
          ims_result r = w.request(w.ask());
          Event e = fault(k.id, w.ask()).stage2(kIn, w.ipa);
          if (stall) {
            EXPECT_EQ(IMS_STATUS_STALL, r.status);
            EXPECT_EQ(std::vector<Event>{e.stalled(r.stag)}, w.events());
          } else {
            EXPECT_EQ(IMS_STATUS_FAULT, r.status);
            EXPECT_EQ(IMS_CPL_UR, r.completion) << "always an abort";
            EXPECT_EQ(record, r.recorded);
            EXPECT_EQ(record ? std::vector<Event>{e} : std::vector<Event>(), w.events());
          }
        }
}

// The EPD, range and E0PD faults of stage 1 are translation faults too: the same three bits.
TEST(FaultModel, InputRange) {
  for (unsigned ars = 0; ars < 8; ars++) {
    World w(linear());
    w.cd.set(IMS_CD_A, ars >> 2).set(IMS_CD_R, ars >> 1 & 1).set(IMS_CD_S, ars & 1);
    w.update_cd();
    for (uint64_t va : {bit(48), ~uint64_t(0)}) {
      ims_result r = w.request(w.ask(R, va));
      EXPECT_EQ(ars & 1 ? IMS_STATUS_STALL : IMS_STATUS_FAULT, r.status);
      EXPECT_EQ(ars & 3 ? 1u : 0u, w.events().size());
      if (!(ars & 1)) {
        EXPECT_EQ(ars & 4 ? IMS_CPL_UR : IMS_CPL_ZERO, r.completion);
      }
    }
  }
}

// External aborts and configuration errors are neither stalled, nor hidden, nor turned into zeros.
TEST(FaultModel, WhatTheBitsDoNotGovern) {
  auto quiet = [](World &w) {
    w.cd.set(IMS_CD_A, 0).set(IMS_CD_R, 0).set(IMS_CD_S, 1);
    w.update_cd();
    w.ste.set(IMS_STE_S2R, 0).set(IMS_STE_S2S, w.has_s2());
    w.update_ste();
  };
  {
    World w(linear());
    quiet(w);
    w.store(w.s1.at(w.va, 2), kAbsent | 3);
    w.fails(w.ask(), eabt(w.ask(), kAbsent + (w.va >> 12 & 511) * 8, false));
  }
  {
    World w(stage2());
    w.ste.set(IMS_STE_S2R, 0).set(IMS_STE_S2S, 1);
    w.update_ste();
    w.store(w.s2.at(w.ipa, 2), kAbsent | 3);
    w.fails(w.ask(), eabt(w.ask(), kAbsent, true));
  }
  {
    World w(nested());
    quiet(w);
    w.fails(dma(kStream, w.va), event(0x06, dma(kStream, w.va)));
    w.clear(w.cd_hpa(), bit(31)); // V
    w.fails(w.ask(), event(0x0a, w.ask()));
    w.clear(w.ste_at(kStream), 1);
    w.fails(w.ask(), event(0x04, w.ask()));
  }
}

// With the event queue off nothing is recorded, and the request fails as before.
TEST(FaultModel, QueueOff) {
  World w(linear());
  w.disable(4);
  w.clear(w.leaf1(), 1);
  EXPECT_EQ(IMS_CPL_UR, w.request(w.ask()).completion);
  w.enable(4);
  EXPECT_TRUE(w.events().empty());
  w.fails(w.ask(), fault(0x10, w.ask()));
}

// 8. Translation off.
TEST(Disabled, GlobalBypassAndAbort) {
  World w(nested());
  w.disable(1);
  ims_result r = w.request(dma(0xffffffff, 0x123456789abc, W));
  EXPECT_EQ(IMS_STATUS_BYPASS, r.status);
  EXPECT_EQ(0x123456789abcu, r.output);
  EXPECT_EQ(0u, r.refs);
  EXPECT_EQ(IMS_STATUS_BYPASS, w.request(dma(kStream, 0xfffff, 0x5000, R)).status) << "no SubstreamID counts";
  EXPECT_EQ(IMS_STATUS_ABORT, w.request(dma(kStream, bit(48))).status);
  w.put(IMS_SMMUV3_GBPA, bit(31) | bit(20));
  EXPECT_EQ(IMS_STATUS_ABORT, w.request(dma(kStream, 0x5000)).status);
  EXPECT_TRUE(w.events().empty());
}

} // namespace
} // namespace smmu
