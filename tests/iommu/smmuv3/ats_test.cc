// SPDX-License-Identifier: Apache-2.0
// Address translation services: what a translation request is answered, what becomes of translated traffic, which rights
// are granted, and what hardware notes in the tables. Arm IHI 0070 3.9.1 (3.9.1.2 and 3.9.1.3 row by row), 3.13.7, 13.6,
// 13.7.
#include "tests/iommu/smmuv3/world.h"

#include <gtest/gtest.h>

namespace smmu {
namespace {

constexpr unsigned R = IMS_ACC_R, W = IMS_ACC_W, X = IMS_ACC_X, PRIV = IMS_ACC_PRIV;
constexpr uint64_t kDbm = uint64_t(1) << 51, kUxn = uint64_t(1) << 54;
constexpr unsigned kFull = 1, kSplit = 2;
constexpr uint64_t kRecInvSid = 2, kRecCfgAts = 8, kAtschk = 16;
uint64_t bit(unsigned n) { return uint64_t(1) << n; }

using Req = ims_request;

Req treq(Req r, bool no_write = false) {
  r = as(r, IMS_TRANSLATION_REQUEST);
  r.no_write = no_write;
  return r;
}
Req translated(uint64_t at, unsigned access = R) { return as(dma(kStream, at, access), IMS_TRANSLATED); }

struct AtsWorld : World {
  explicit AtsWorld(unsigned eats = kFull, const Plan &p = nested4k(), const Config &c = Config().no_caches())
      : World(p, c) {
    ste.set(IMS_STE_EATS, eats);
    update_ste();
  }
  // An answer without rights, and nothing recorded.
  void denied(const Req &r) {
    ims_result got = request(r);
    EXPECT_EQ(IMS_STATUS_FAULT, got.status) << text(got);
    EXPECT_EQ(IMS_CPL_R0, got.completion);
    EXPECT_FALSE(got.recorded);
    EXPECT_TRUE(events().empty());
  }
  // R and W and X granted, of an answer that is a success.
  unsigned rights(const Req &r) {
    ims_result got = request(r);
    EXPECT_TRUE(events().empty());
    if (got.status == IMS_STATUS_FAULT) {
      EXPECT_EQ(IMS_CPL_R0, got.completion) << text(got);
      return 0;
    }
    EXPECT_EQ(IMS_STATUS_OK, got.status) << text(got);
    EXPECT_EQ(IMS_CPL_SUCCESS, got.completion);
    EXPECT_NE(0, got.rights & (IMS_PERM_R | IMS_PERM_W));
    return got.rights;
  }
};

Plan with_cr2(Plan p, uint64_t cr2) {
  p.cr2 = cr2;
  return p;
}

// F_BAD_ATS_TREQ, with what was asked for before any override.
Event bad_treq(const Req &r) {
  Event e = event(0x05, r);
  e.bits(97, r.has_pasid && (r.access & PRIV)).bits(98, r.has_pasid && (r.access & X)).bits(99, 1);
  return e.bits(100, !r.no_write).bits(128, r.iova);
}

// ---- 3.9.1.2: translation requests

TEST(TranslationRequest, Granted) {
  AtsWorld w;
  ims_result r = w.request(treq(w.ask()));
  EXPECT_EQ(IMS_STATUS_OK, r.status) << text(r);
  EXPECT_EQ(IMS_CPL_SUCCESS, r.completion);
  EXPECT_EQ(w.out, r.output);
  EXPECT_FALSE(r.output_ipa);
  EXPECT_EQ(12u, r.shift);
  EXPECT_EQ(IMS_PERM_R | IMS_PERM_W, r.rights);
  EXPECT_EQ(36u, r.refs);
}

TEST(TranslationRequest, SplitStageAnswersWithTheIpa) {
  for (int leaf1 = 1; leaf1 <= 3; leaf1++)
    for (int leaf2 = 1; leaf2 <= 3; leaf2++) {
      Plan p = nested4k();
      p.leaf1 = leaf1, p.leaf2 = leaf2;
      for (uint32_t entries : {0u, 64u}) {
        Config c;
        c.no_caches();
        c.iotlb_entries = c.ipa_entries = entries;
        AtsWorld w(kSplit, p, c);
        w.request(w.ask()); // a combined translation is cached
        ims_result r = w.request(treq(w.ask()));
        EXPECT_EQ(IMS_STATUS_OK, r.status) << text(r);
        EXPECT_TRUE(r.output_ipa);
        EXPECT_EQ(w.ipa, r.output);
        const unsigned shift[4] = {0, 30, 21, 12};
        EXPECT_EQ(leaf1 > leaf2 ? shift[leaf1] : shift[leaf2], r.shift);
        EXPECT_EQ(IMS_PERM_R | IMS_PERM_W, r.rights);
        // And the IPA goes through stage 2 when it is used.
        EXPECT_EQ(w.out, w.request(translated(r.output)).output);
      }
    }
}

TEST(TranslationRequest, OneStage) {
  AtsWorld one(kFull, s1_only());
  EXPECT_EQ(one.out, one.request(treq(one.ask())).output);
  AtsWorld two(kFull, s2_only());
  ims_result r = two.request(treq(two.ask()));
  EXPECT_EQ(two.out, r.output);
  EXPECT_FALSE(r.output_ipa);
}

void refused(World &w, const Req &r, bool recorded) {
  ims_result got = w.request(r);
  EXPECT_EQ(IMS_CPL_UR, got.completion) << text(got);
  EXPECT_EQ(recorded ? std::vector<Event>{bad_treq(r)} : std::vector<Event>(), w.events());
}

// The first table of 3.9.1.2.
TEST(TranslationRequest, UnsupportedRequest) {
  for (const Req &r : {treq(dma(kStream, 0x5678)), treq(dma(kStream, kSub, 0x5678, R | X | PRIV)),
                       treq(dma(kStream, kSub, ~uint64_t(0xfff), R), true), treq(dma(kStream, 0x5678, X | PRIV))}) {
    AtsWorld off;
    off.disable(1); // SMMUEN
    refused(off, r, true);
    AtsWorld abort;
    abort.ste.set(IMS_STE_CONFIG, kAbort);
    abort.update_ste();
    refused(abort, r, false);
    AtsWorld bypass;
    bypass.ste.set(IMS_STE_CONFIG, kBypass);
    bypass.update_ste();
    refused(bypass, r, true);
    AtsWorld none(0);
    refused(none, r, true);
    AtsWorld reserved(3); // without DPT as 0b00
    refused(reserved, r, true);
    AtsWorld unchecked(kSplit);
    unchecked.disable(kAtschk); // 0b1x counts only with ATSCHK
    refused(unchecked, r, true);
  }
  AtsWorld full;
  full.disable(kAtschk);
  EXPECT_EQ(IMS_STATUS_OK, full.request(treq(full.ask())).status);
}

TEST(TranslationRequest, RefusedBeforeTheOverrides) {
  AtsWorld w(0);
  w.ste.set(IMS_STE_PRIVCFG, 3).set(IMS_STE_INSTCFG, 3);
  w.update_ste();
  refused(w, treq(w.ask(R)), true);
  refused(w, treq(w.ask(R | X | PRIV)), true);
}

// Configuration errors, the second table: Completer Abort, recorded only with REC_CFG_ATS (and RECINVSID for StreamIDs).
struct Error {
  const char *what;
  unsigned id;
  void (*break_it)(World &);
  uint32_t sid = kStream;
};
const Error kErrors[] = {
    {"C_BAD_STREAMID", 0x02, [](World &w) { w.clear(w.l1std_at(kStream), 31); }},
    {"C_BAD_STREAMID beyond the table", 0x02, [](World &) {}, 0x100},
    {"F_STE_FETCH", 0x03, [](World &w) { w.store(w.l1std_at(kStream), kAbsent | 7); }},
    {"C_BAD_STE", 0x04, [](World &w) { w.set(w.ste_at(kStream) + 16, uint64_t(3) << 46); }},
    {"C_BAD_SUBSTREAMID", 0x08, [](World &w) { w.clear(w.cd_l1_at(kStream, kSub), 1); }},
    {"F_CD_FETCH", 0x09, [](World &w) { w.s2.map(w.targets()[1].ipa & ~uint64_t(0xfff), kAbsent, kS2All); }},
    {"C_BAD_CD", 0x0a, [](World &w) { w.clear(w.cd_hpa(), bit(31)); }},
    {"F_WALK_EABT in stage 1", 0x0b,
     [](World &w) { w.s2.map(w.targets()[3].ipa & ~uint64_t(0xfff), kAbsent, kS2All); }},
    {"F_WALK_EABT in stage 2", 0x0b, [](World &w) { w.store(w.s2.at(w.ipa, 2), kAbsent | 3); }},
};

TEST(TranslationRequest, CompleterAbort) {
  for (unsigned eats : {kFull, kSplit})
    for (const Error &k : kErrors)
      for (uint64_t cr2 : {uint64_t(0), kRecInvSid, kRecCfgAts, kRecInvSid | kRecCfgAts}) {
        SCOPED_TRACE(std::string(k.what) + ", CR2 " + std::to_string(cr2));
        AtsWorld w(eats, with_cr2(nested4k(), cr2));
        k.break_it(w);
        Req r = w.ask();
        r.source = k.sid;
        ims_result got = w.request(treq(r));
        EXPECT_EQ(k.id, got.fault);
        EXPECT_EQ(IMS_CPL_CA, got.completion);
        bool recorded = cr2 & kRecCfgAts && (k.id != 0x02 || cr2 & kRecInvSid);
        EXPECT_EQ(recorded, got.recorded);
        std::vector<Event> events = w.events();
        ASSERT_EQ(recorded ? 1u : 0u, events.size());
        if (recorded) {
          EXPECT_EQ(k.id, events[0].id());
          EXPECT_EQ(k.sid, events[0].word[0] >> 32);
        }
      }
}

TEST(TranslationRequest, StreamDisabled) {
  for (uint64_t cr2 : {uint64_t(0), kRecCfgAts}) {
    AtsWorld w(kFull, with_cr2(nested4k(), cr2)); // S1DSS = 0b00
    ims_result got = w.request(treq(dma(kStream, w.va)));
    EXPECT_EQ(0x06, got.fault);
    EXPECT_EQ(IMS_CPL_CA, got.completion);
    EXPECT_EQ(cr2 ? 1u : 0u, w.events().size());
  }
}

// Translation, address size and access faults in either stage, whatever for: success without rights, nothing recorded,
// nothing stalled.
TEST(TranslationRequest, FaultsOfTheWalk) {
  for (unsigned eats : {kFull, kSplit})
    for (uint64_t cr2 : {uint64_t(0), kRecInvSid | kRecCfgAts}) {
      Plan p = with_cr2(nested4k(), cr2);
      for (unsigned way = 0; way < 4; way++) {
        for (size_t i = 0; i < 7; i++) { // each walk of stage 2
          AtsWorld w(eats, p);
          w.ste.set(IMS_STE_S2PS, 2);
          w.update_ste();
          uint64_t at = w.s2.at(w.targets()[i].ipa);
          switch (way) {
          case 0: w.clear(at, 1); break;
          case 1: w.set(at, bit(40)); break;
          case 2: w.clear(at, kS2Af); break;
          default: w.clear(at, kS2Read | kS2Write); break; // no permission at all
          }
          w.denied(treq(w.ask()));
        }
        AtsWorld w(eats, p); // and stage 1
        w.cd.set(IMS_CD_IPS, 2).set(IMS_CD_A, way & 1).set(IMS_CD_S, way == 0);
        w.update_cd();
        switch (way) {
        case 0: w.clear(w.leaf1(), 1); break;
        case 1: w.set(w.leaf1(), bit(40)); break;
        case 2: w.clear(w.leaf1(), kS1Af); break;
        default: w.clear(w.leaf1(), kS1User); break;
        }
        w.denied(treq(w.ask()));
        w.denied(treq(w.ask(R, bit(50))));
      }
    }
}

TEST(TranslationRequest, AddressesBeyondTheOutputSize) {
  AtsWorld two(kFull, s2_only());
  two.denied(treq(dma(kStream, bit(48))));
  AtsWorld skipped;
  skipped.ste.set(IMS_STE_S1DSS, 1);
  skipped.update_ste();
  skipped.denied(treq(dma(kStream, bit(48))));
  Plan p = nested4k();
  p.config = kS1;
  AtsWorld one(kFull, p);
  one.ste.set(IMS_STE_S1DSS, 1);
  one.update_ste();
  one.denied(treq(dma(kStream, bit(48))));
}

// S1DSS = 0b01: stage 2 alone; without it the address itself, with R and W. 13.6.4, 13.6.5.
TEST(TranslationRequest, Stage1Skipped) {
  Plan p = nested4k();
  p.config = kS1;
  AtsWorld one(kFull, p);
  one.ste.set(IMS_STE_S1DSS, 1);
  one.update_ste();
  ims_result r = one.request(treq(dma(kStream, 0x12345678)));
  EXPECT_EQ(IMS_STATUS_OK, r.status) << text(r);
  EXPECT_EQ(0x12345678u, r.output);
  EXPECT_EQ(IMS_PERM_R | IMS_PERM_W, r.rights) << "no execution without a PASID";
  for (unsigned eats : {kFull, kSplit}) {
    AtsWorld w(eats);
    w.ste.set(IMS_STE_S1DSS, 1);
    w.update_ste();
    r = w.request(treq(dma(kStream, w.ipa)));
    EXPECT_EQ(eats == kSplit, r.output_ipa);
    EXPECT_EQ(eats == kSplit ? w.ipa : w.out, r.output);
    w.clear(w.leaf2(), kS2Write);
    EXPECT_EQ(unsigned(IMS_PERM_R), w.rights(treq(dma(kStream, w.ipa))));
    w.clear(w.leaf2(), kS2Read);
    w.denied(treq(dma(kStream, w.ipa)));
  }
}

// ---- Rights: 13.7 and its pseudocode

struct Grant {
  const char *what;
  bool no_write, exe, priv;
  unsigned ap; // AP[2:1]: 0 privileged RW, 1 all RW, 2 privileged RO, 3 all RO
  bool uxn;
  unsigned granted;
};
constexpr unsigned GR = IMS_PERM_R, GW = IMS_PERM_W, GX = IMS_PERM_X;
const Grant kGrants[] = {
    {"user RO, NW", true, false, false, 3, false, GR},
    {"user RW", false, false, false, 1, false, GR | GW},
    {"user RO", false, false, false, 3, false, GR},
    {"user RW, execution asked for, XN", false, true, false, 1, true, GR | GW},
    {"user RW, execution", false, true, false, 1, false, GR | GW | GX},
    {"user RO, execution", true, true, false, 3, false, GR | GX},
    {"execution not asked for", false, false, false, 3, false, GR},
    {"nothing for the user, execute-only", false, true, false, 0, false, 0},
    {"nothing for the user", false, false, false, 2, false, 0},
    {"privileged RW", false, false, true, 0, false, GR | GW},
    {"privileged RO", false, false, true, 2, false, GR},
    {"privileged, user RW: not executable", false, true, true, 1, false, GR | GW},
    {"privileged RW, execution", false, true, true, 0, false, GR | GW | GX},
    {"privileged RO, execution", false, true, true, 2, false, GR | GX},
};

TEST(Rights, ExamplesOf13_7) {
  for (const Plan &p : {nested4k(), [] {
                          Plan q = nested4k();
                          q.config = kS1;
                          return q;
                        }()})
    for (unsigned eats : {kFull, kSplit})
      for (const Grant &k : kGrants) {
        if (p.config == kS1 && eats == kSplit)
          continue;
        SCOPED_TRACE(k.what);
        for (uint32_t entries : {0u, 64u}) {
          Config c;
          c.no_caches();
          c.iotlb_entries = entries;
          AtsWorld w(eats, p, c);
          uint64_t page = w.load(w.leaf1()) & ~(uint64_t(3) << 6);
          w.store(w.leaf1(), page | k.ap << 6 | (k.uxn ? kUxn : 0));
          Req r = treq(w.ask(R | (k.exe ? X : 0u) | (k.priv ? PRIV : 0u)), k.no_write);
          EXPECT_EQ(k.granted, w.rights(r));
          EXPECT_EQ(k.granted, w.rights(r)) << "again";
        }
      }
}

// Each right of stage 2 too; execution needs the right to read.
TEST(Rights, BothStages) {
  for (unsigned eats : {kFull, kSplit}) {
    AtsWorld w(eats);
    uint64_t page = w.load(w.leaf2()) & ~(uint64_t(3) << 6);
    for (unsigned ap = 0; ap < 4; ap++)
      for (bool xn : {false, true}) {
        w.store(w.leaf2(), page | ap << 6 | (xn ? bit(54) : 0));
        unsigned expected = (ap & 1 ? GR : 0) | (ap & 2 ? GW : 0) | (ap & 1 && !xn ? GX : 0);
        EXPECT_EQ(expected, w.rights(treq(w.ask(R | X)))) << ap << xn;
        EXPECT_EQ(expected & ~GX, w.rights(treq(w.ask(R))));
      }
  }
}

// A request without PASID is unprivileged data, whatever else comes with it.
TEST(Rights, WithoutPasid) {
  AtsWorld w(kFull, s1_only());
  EXPECT_EQ(GR | GW, w.rights(treq(dma(kStream, w.va, R | X))));
  w.clear(w.leaf1(), kS1User);
  w.denied(treq(dma(kStream, w.va, R | PRIV)));
  w.ste.set(IMS_STE_PRIVCFG, 3);
  w.update_ste();
  EXPECT_EQ(GR | GW, w.rights(treq(dma(kStream, w.va, R))));
}

// PRIVCFG and INSTCFG: 13.7.1.
TEST(Rights, Overrides) {
  AtsWorld w;
  auto leaf = [&](unsigned ap, uint64_t more) {
    w.store(w.leaf1(), (w.load(w.leaf1()) & ~(uint64_t(3) << 6 | kUxn | bit(53))) | ap << 6 | more);
  };
  auto ste = [&](unsigned priv, unsigned inst) {
    w.ste.set(IMS_STE_PRIVCFG, priv).set(IMS_STE_INSTCFG, inst);
    w.update_ste();
  };
  leaf(3, 0);
  ste(2, 0);
  EXPECT_EQ(GR, w.rights(treq(w.ask(R | PRIV))));
  leaf(0, 0);
  w.denied(treq(w.ask(R | PRIV)));
  ste(3, 0);
  EXPECT_EQ(GR | GW, w.rights(treq(w.ask(R))));
  // Data: what may be read counts as executable.
  ste(0, 2);
  leaf(1, kUxn);
  EXPECT_EQ(GR | GW | GX, w.rights(treq(w.ask(R | X))));
  EXPECT_EQ(GR | GW, w.rights(treq(w.ask(R))));
  leaf(0, 0);
  w.denied(treq(w.ask(R | X)));
  // Instruction: reads are execution.
  ste(0, 3);
  leaf(1, 0);
  EXPECT_EQ(GR | GW | GX, w.rights(treq(w.ask(R | X))));
  EXPECT_EQ(GR | GW, w.rights(treq(w.ask(R))));
  EXPECT_EQ(GR, w.rights(treq(w.ask(R), true)));
  leaf(3, kUxn);
  w.denied(treq(w.ask(R)));
  leaf(1, kUxn);
  EXPECT_EQ(GW, w.rights(treq(w.ask(R | X))));
  leaf(2, 0); // execute-only for the unprivileged
  EXPECT_EQ(GR | GX, w.rights(treq(w.ask(R | X), true)));
}

// ---- Hardware updates by translation requests: 3.13.7

struct Updated {
  const char *what;
  bool no_write;
  bool ha, hd;
  bool af, dbm, read_only;
  unsigned granted;
  bool af_after, read_only_after;
};
const Updated kUpdated[] = {
    {"AF = 0 without HTTU", false, false, false, false, false, false, 0, false, false},
    {"AF set", true, true, false, false, false, false, GR, true, false},
    {"AF set, to be written", false, true, false, false, false, false, GR | GW, true, false},
    {"clean, flags only", false, true, false, false, true, true, GR, true, true},
    {"clean, no HTTU", false, false, false, true, true, true, GR, true, true},
    {"clean, to be written", false, true, true, true, true, true, GR | GW, true, false},
    {"clean, not to be written", true, true, true, true, true, true, GR, true, true},
    {"clean and untouched", false, true, true, false, true, true, GR | GW, true, false},
    {"read-only for good", false, true, true, true, false, true, GR, true, true},
};

TEST(Updates, Stage1) {
  for (unsigned eats : {kFull, kSplit})
    for (const Updated &k : kUpdated) {
      SCOPED_TRACE(k.what);
      Plan p = nested4k();
      p.bits1 =
          (kS1All & ~(kS1Af | kS1ReadOnly)) | (k.af ? kS1Af : 0) | (k.dbm ? kDbm : 0) | (k.read_only ? kS1ReadOnly : 0);
      AtsWorld w(eats, p);
      w.cd.set(IMS_CD_HA, k.ha).set(IMS_CD_HD, k.hd);
      w.update_cd();
      EXPECT_EQ(k.granted, w.rights(treq(w.ask(), k.no_write)));
      EXPECT_EQ(k.af_after, (w.load(w.leaf1()) & kS1Af) != 0);
      EXPECT_EQ(k.read_only_after, (w.load(w.leaf1()) & kS1ReadOnly) != 0);
    }
}

TEST(Updates, Stage2) {
  for (const Updated &k : kUpdated) {
    SCOPED_TRACE(k.what);
    AtsWorld w;
    w.ste.set(IMS_STE_S2HA, k.ha).set(IMS_STE_S2HD, k.hd);
    w.update_ste();
    uint64_t page = w.load(w.leaf2()) & ~(kS2Af | kS2Write);
    w.store(w.leaf2(), page | (k.af ? kS2Af : 0) | (k.dbm ? kDbm : 0) | (k.read_only ? 0 : kS2Write));
    EXPECT_EQ(k.granted, w.rights(treq(w.ask(), k.no_write)));
    EXPECT_EQ(k.af_after, (w.load(w.leaf2()) & kS2Af) != 0);
    EXPECT_EQ(k.read_only_after, !(w.load(w.leaf2()) & kS2Write));
  }
}

// Stage 1 does not let it write: no dirty state anywhere (3.13.7.1). Stage 1 grants nothing: stage 2 is not asked.
TEST(Updates, WhatStage1DoesNotGrant) {
  Plan p = nested4k();
  p.bits1 = kS1All | kS1ReadOnly;
  AtsWorld w(kFull, p);
  w.ste.set(IMS_STE_S2HA, 1).set(IMS_STE_S2HD, 1);
  w.update_ste();
  w.clear(w.leaf2(), kS2Write | kS2Af);
  w.set(w.leaf2(), kDbm);
  EXPECT_EQ(GR, w.rights(treq(w.ask())));
  EXPECT_EQ(kS2Af, w.load(w.leaf2()) & (kS2Write | kS2Af));
  w.clear(w.leaf2(), kS2Af);
  w.clear(w.leaf1(), kS1User);
  w.denied(treq(w.ask()));
  EXPECT_EQ(0u, w.load(w.leaf2()) & kS2Af);
  EXPECT_EQ(32u, w.reads.size());
}

// ---- 3.9.1.3: translated traffic

TEST(Translated, PassesUnchecked) {
  AtsWorld w(0);
  w.disable(kAtschk);
  w.clear(w.ste_at(kStream), 1);
  ims_result r = w.request(translated(0x123456789, W));
  EXPECT_EQ(IMS_STATUS_OK, r.status);
  EXPECT_EQ(0x123456789u, r.output);
  EXPECT_EQ(0u, r.refs);
  EXPECT_EQ(IMS_STATUS_OK, w.request(as(dma(0xffffffff, 0x5000), IMS_TRANSLATED)).status);
  EXPECT_EQ(IMS_STATUS_ABORT, w.request(translated(bit(48))).status);
  EXPECT_TRUE(w.events().empty());
}

// F_TRANSL_FORBIDDEN has the direction and the address.
void forbidden(World &w, unsigned access) {
  Req r = translated(0x123456789, access);
  ims_result got = w.request(r);
  EXPECT_EQ(IMS_STATUS_FAULT, got.status);
  EXPECT_EQ(IMS_CPL_UR, got.completion);
  Event e = event(0x07, r);
  e.bits(99, !(access & W)).bits(128, r.iova);
  EXPECT_EQ(std::vector<Event>{e}, w.events());
}

TEST(Translated, Forbidden) {
  for (unsigned access : {R, W, R | W}) {
    AtsWorld off;
    off.disable(1);
    forbidden(off, access);
    off.disable(kAtschk);
    forbidden(off, access);
    AtsWorld bypass;
    bypass.ste.set(IMS_STE_CONFIG, kBypass);
    bypass.update_ste();
    forbidden(bypass, access);
    AtsWorld none(0);
    forbidden(none, access);
    AtsWorld reserved(3);
    forbidden(reserved, access);
  }
  AtsWorld abort;
  abort.ste.set(IMS_STE_CONFIG, kAbort);
  abort.update_ste();
  EXPECT_EQ(IMS_STATUS_ABORT, abort.request(translated(0x5000)).status);
  EXPECT_TRUE(abort.events().empty());
}

TEST(Translated, FullAtsPassesAfterTheCheck) {
  for (unsigned config : {kS1 + 0u, kS2 + 0u, kNested + 0u}) {
    Plan p = nested4k();
    p.config = config;
    AtsWorld w(kFull, p);
    ims_result r = w.request(translated(0x123456789, W));
    EXPECT_EQ(IMS_STATUS_OK, r.status) << text(r);
    EXPECT_EQ(0x123456789u, r.output);
    EXPECT_EQ(2u, r.refs);
    EXPECT_EQ(IMS_STATUS_ABORT, w.request(translated(bit(48))).status);
    EXPECT_TRUE(w.events().empty());
  }
}

// Configuration errors: aborted; recorded with REC_CFG_ATS, and StreamIDs whatever RECINVSID says.
TEST(Translated, ConfigurationErrors) {
  for (const Error &k : kErrors)
    for (uint64_t cr2 : {uint64_t(0), kRecInvSid, kRecCfgAts, kRecInvSid | kRecCfgAts}) {
      if (k.id > 0x04)
        continue; // no CD is read for it
      SCOPED_TRACE(std::string(k.what) + ", CR2 " + std::to_string(cr2));
      AtsWorld w(kFull, with_cr2(nested4k(), cr2));
      k.break_it(w);
      Req r = translated(0x5000);
      r.source = k.sid;
      ims_result got = w.request(r);
      EXPECT_EQ(k.id, got.fault);
      EXPECT_EQ(IMS_CPL_UR, got.completion);
      EXPECT_EQ((cr2 & kRecCfgAts) != 0, got.recorded);
      EXPECT_EQ(cr2 & kRecCfgAts ? 1u : 0u, w.events().size());
      w.disable(kAtschk);
      EXPECT_EQ(IMS_STATUS_OK, w.request(r).status) << "not checked";
    }
}

// Split stage: the address is an IPA. Faults are those of an ordinary transaction, and stage 2 notes what it is used for.
TEST(Translated, SplitStage) {
  for (uint32_t entries : {0u, 64u}) {
    Config c;
    c.no_caches();
    c.iotlb_entries = c.ste_entries = c.ipa_entries = c.s2_walk_entries = entries;
    AtsWorld w(kSplit, nested4k(), c);
    ims_result r = w.request(translated(w.ipa, W));
    EXPECT_EQ(IMS_STATUS_OK, r.status) << text(r);
    EXPECT_EQ(w.out, r.output);
    EXPECT_EQ(2u + 4, r.refs);
    EXPECT_EQ(w.out, w.request(translated(w.ipa, R)).output);
    w.submit(cmd::nsnh_all());
    w.clear(w.leaf2(), kS2Write);
    Req q = translated(w.ipa, W);
    w.fails(q, fault(0x13, q).stage2(kIn, w.ipa));
    w.submit(cmd::nsnh_all());
    w.clear(w.leaf2(), 1);
    w.fails(q, fault(0x10, q).stage2(kIn, w.ipa));
    w.ste.set(IMS_STE_S2R, 0);
    w.update_ste();
    w.submit(cmd::cfgi_ste(kStream));
    EXPECT_FALSE(w.request(q).recorded);
    EXPECT_TRUE(w.events().empty());
    q = translated(bit(48) | 0x5000, R); // beyond the IAS: a fault of stage 1, recorded always
    w.fails(q, fault(0x11, q));
  }
}

TEST(Translated, SplitStageUpdates) {
  AtsWorld w(kSplit);
  w.ste.set(IMS_STE_S2HA, 1).set(IMS_STE_S2HD, 1);
  w.update_ste();
  w.clear(w.leaf2(), kS2Af | kS2Write);
  w.set(w.leaf2(), kDbm);
  EXPECT_EQ(w.out, w.request(translated(w.ipa, R)).output);
  EXPECT_EQ(kS2Af, w.load(w.leaf2()) & (kS2Af | kS2Write));
  EXPECT_EQ(w.out, w.request(translated(w.ipa, W)).output);
  EXPECT_EQ(kS2Af | kS2Write, w.load(w.leaf2()) & (kS2Af | kS2Write));
}

// Translated traffic is unprivileged data, unless the STE overrides it.
TEST(Translated, SplitStagePrivilege) {
  AtsWorld w(kSplit);
  w.set(w.leaf2(), bit(54)); // XN
  Req r = as(dma(kStream, w.ipa, X | PRIV), IMS_TRANSLATED);
  EXPECT_EQ(w.out, w.request(r).output);
  w.ste.set(IMS_STE_INSTCFG, 3).set(IMS_STE_PRIVCFG, 3);
  w.update_ste();
  r = translated(w.ipa, R);
  Event e = fault(0x13, translated(w.ipa, X | PRIV)).stage2(kIn, w.ipa);
  w.fails(r, e);
}

// PASIDTT: a PASID on translated traffic is checked, after EATS; without it, it is ignored.
TEST(Translated, Pasid) {
  for (unsigned pasidtt : {0u, 1u})
    for (unsigned eats : {0u, kFull, kSplit}) {
      Config c;
      c.no_caches();
      c.pasidtt = pasidtt;
      AtsWorld w(eats, with_cr2(nested4k(), kRecCfgAts), c);
      w.ste.set(IMS_STE_S1DSS, 2);
      w.update_ste();
      uint64_t at = w.ipa;
      for (uint32_t ssid : {0u, kSub, 256u}) {
        Req r = as(dma(kStream, ssid, at, R), IMS_TRANSLATED);
        ims_result got = w.request(r);
        std::vector<Event> events = w.events();
        if (eats == 0) {
          EXPECT_EQ(0x07, got.fault);
        } else if (!pasidtt || ssid == kSub) {
          EXPECT_EQ(IMS_STATUS_OK, got.status) << ssid << " " << text(got);
        } else {
          EXPECT_EQ(ssid ? 0x08 : 0x06, got.fault) << text(got);
          EXPECT_EQ(IMS_CPL_UR, got.completion);
          EXPECT_EQ(1u, events.size());
        }
      }
    }
}

// ---- Order: 3.9.1.3

TEST(Order, ChecksOfTranslatedTraffic) {
  AtsWorld w(0, with_cr2(nested4k(), kRecCfgAts));
  w.set(w.ste_at(kStream) + 16, uint64_t(3) << 46); // illegal, and EATS = 0b00
  EXPECT_EQ(0x04, w.request(translated(0x5000)).fault);
  w.store(w.l1std_at(kStream), kAbsent | 7);
  EXPECT_EQ(0x03, w.request(translated(0x5000)).fault);
  w.store(w.l1std_at(kStream), kAbsent);
  EXPECT_EQ(0x02, w.request(translated(0x5000)).fault);
}

TEST(Order, ChecksOfTranslationRequests) {
  AtsWorld w(0, with_cr2(nested4k(), kRecCfgAts));
  Req r = treq(dma(kStream, 0x100, w.va, R)); // beyond S1CDMax, and EATS = 0b00
  refused(w, r, true);
  w.ste.set(IMS_STE_EATS, kFull);
  w.update_ste();
  EXPECT_EQ(0x08, w.request(r).fault);
  w.clear(w.ste_at(kStream), 1);
  EXPECT_EQ(0x04, w.request(r).fault);
}

} // namespace
} // namespace smmu
