// SPDX-License-Identifier: Apache-2.0
// Every bit of every structure: reserved ones fault, by capability; ignored ones change nothing; and an entry that is not
// present hides all its other bits but FPD. VT-d rev 4.1, chapter 9.
#include "tests/iommu/vtd/world.h"

#include <gtest/gtest.h>

namespace vtd {
namespace {

constexpr uint64_t bits(unsigned hi, unsigned lo) { return (~uint64_t(0) >> (63 - hi)) & (~uint64_t(0) << lo); }
constexpr uint64_t bit(unsigned n) { return uint64_t(1) << n; }
constexpr uint64_t kAboveHaw = bits(63, kHaw);

// One structure of some words. What is neither reserved nor ignored means something and is tested elsewhere.
struct Bits {
  std::vector<uint64_t> reserved, ignored;
};

// Toggles each bit of the entry at hpa in turn. What the request gives is known by `good`.
template <class World> void check_bits(World &w, uint64_t hpa, const Bits &b, const ims_request &r, unsigned code) {
  w.drop_caches();
  std::string good = text(w.request(r));
  for (unsigned n = 0; n < b.reserved.size() * 64; n++) {
    SCOPED_TRACE("bit " + std::to_string(n));
    bool reserved = b.reserved[n / 64] >> (n % 64) & 1, ignored = b.ignored[n / 64] >> (n % 64) & 1;
    if (!reserved && !ignored && n % 64 >= 12 && n % 64 < kHaw)
      continue; // part of an address: the walk would mark accessed bits wherever that leads
    uint64_t at = hpa + n / 64 * 8, was = w.load(at);
    w.store(at, was ^ bit(n % 64));
    w.drop_caches();
    ims_result res = w.request(r);
    EXPECT_EQ(reserved, res.fault == code) << text(res);
    if (ignored) {
      EXPECT_EQ(good, text(res));
    }
    w.store(at, was);
    w.faults();
  }
  w.drop_caches();
  EXPECT_EQ(good, text(w.request(r))) << "everything is as it was";
}

// With all other bits set, an entry without its present bit is not present; FPD alone still counts.
template <class World>
void check_not_present(World &w, uint64_t hpa, unsigned words, uint64_t present, uint64_t fpd, const ims_request &r,
                       unsigned code) {
  std::vector<uint64_t> was;
  for (unsigned i = 0; i < words; i++) {
    was.push_back(w.load(hpa + i * 8));
    w.store(hpa + i * 8, i ? ~uint64_t(0) : ~(present | fpd));
  }
  w.drop_caches();
  ims_result res = w.request(r);
  EXPECT_EQ(code, res.fault) << text(res);
  EXPECT_TRUE(res.recorded);
  if (fpd) {
    w.set(hpa, fpd);
    w.drop_caches();
    res = w.request(r);
    EXPECT_EQ(code, res.fault) << text(res);
    EXPECT_FALSE(res.recorded) << "the FPD of a not-present entry counts";
  }
  for (unsigned i = 0; i < words; i++)
    w.store(hpa + i * 8, was[i]);
  w.faults();
}

TEST(Reserved, ScalableRootEntry) {
  ScalableWorld w;
  uint64_t lower = w.root + (kDevice >> 8) * 16;
  // Only the half in use is looked at.
  check_bits(w, lower, {{bits(11, 1) | kAboveHaw, 0}, {0, ~uint64_t(0)}}, dma(kDevice, 1, kVa, IMS_ACC_R), 0x3a);
  check_not_present(w, lower, 2, 1, 0, dma(kDevice, 1, kVa, IMS_ACC_R), 0x39);
  // The upper half is judged for devfn 128 and up.
  Context c;
  c.dir = w.load(w.context) & bits(63, 12);
  c.rid_pasid = 5;
  w.set_context(kOtherDevice, c);
  check_bits(w, lower, {{0, bits(11, 1) | kAboveHaw}, {~uint64_t(0), 0}}, dma(kOtherDevice, 1, kVa, IMS_ACC_R), 0x3a);
}

TEST(Reserved, ScalableContextEntry) {
  struct Case {
    const char *what;
    void (*configure)(Config &);
    uint64_t more0, more1;
    bool rid;
  };
  const Case cases[] = {
      {"all capabilities", [](Config &) {}, 0, 0, true},
      {"no DT", [](Config &c) { c.dt = c.prs = c.pds = 0; }, bit(2) | bit(4), 0, true},
      {"no PRS", [](Config &c) { c.prs = c.pds = 0; }, bit(4), 0, true},
      {"no PASID", [](Config &c) { c.pasid = 0; }, bit(3), 0, true},
      {"no RPS", [](Config &c) { c.rps = 0; }, 0, bits(19, 0), false},
      {"no RPRIVS", [](Config &c) { c.rprivs = 0; }, 0, bit(20), true},
  };
  for (const Case &k : cases) {
    SCOPED_TRACE(k.what);
    Config cfg;
    k.configure(cfg);
    ScalableWorld w(cfg);
    w.clear(w.context, k.more0);
    uint32_t rid = 5;
    if (!k.rid) { // RID_PASID is 0 then
      w.clear(w.context + 8, bits(19, 0));
      PasidEntry e;
      e.fs = w.rid.root, e.did = 5;
      w.set_pasid(kDevice, 0, e);
      rid = 0;
    }
    ims_request r = dma(kDevice, kVa);
    ASSERT_EQ(IMS_STATUS_OK, w.request(r).status) << rid;
    Bits b = {{bits(8, 5) | kAboveHaw | k.more0, bits(63, 21) | k.more1, ~uint64_t(0), ~uint64_t(0)}, {0, 0, 0, 0}};
    // For an untranslated request without PASID these three say nothing.
    b.ignored[0] = (bit(2) | bit(3) | bit(4)) & ~k.more0;
    check_bits(w, w.context, b, r, 0x42);
    check_not_present(w, w.context, 4, 1, 2, r, 0x41);
  }
}

TEST(Reserved, PasidDirectoryEntry) {
  ScalableWorld w;
  ims_request r = dma(kDevice, 1, kVa, IMS_ACC_R);
  check_bits(w, w.directory, {{bits(11, 2) | kAboveHaw}, {bit(1)}}, r, 0x52);
  check_not_present(w, w.directory, 1, 1, 2, r, 0x51);
}

struct PasidCase {
  const char *what;
  void (*configure)(Config &);
  uint64_t r[3]; // reserved beyond what always is, in the first three words
};

constexpr uint64_t kRev4[3] = {bit(5), bits(31, 27), bit(1)};
constexpr uint64_t kNoMemoryTypes = bits(26, 25) | bits(63, 32);

const PasidCase kPasidCases[] = {
    {"rev 4, no memory types", [](Config &) {}, {kRev4[0], kRev4[1] | kNoMemoryTypes, kRev4[2]}},
    {"memory types", [](Config &c) { c.mts = 1; }, {kRev4[0], kRev4[1], kRev4[2]}},
    {"no SSADS", [](Config &c) { c.ssads = 0; }, {kRev4[0] | bit(9), kRev4[1] | kNoMemoryTypes, kRev4[2]}},
    {"10-bit domains", [](Config &c) { c.nd = 3; }, {kRev4[0], kRev4[1] | kNoMemoryTypes | bits(15, 10), kRev4[2]}},
    {"no SMPWCS", [](Config &c) { c.smpwcs = 0; }, {kRev4[0], kRev4[1] | kNoMemoryTypes | bit(23), kRev4[2]}},
    {"no SC", [](Config &c) { c.sc = 0; }, {kRev4[0], kRev4[1] | kNoMemoryTypes | bit(24), kRev4[2]}},
    {"no SRS", [](Config &c) { c.srs = 0; }, {kRev4[0], kRev4[1] | kNoMemoryTypes, kRev4[2] | bit(0)}},
    {"no EAFS", [](Config &c) { c.eafs = 0; }, {kRev4[0], kRev4[1] | kNoMemoryTypes, kRev4[2] | bit(7)}},
    {"rev 3 with ERS", [](Config &c) { c.revision = 3, c.ers = 1, c.mts = 1; }, {0, 0, 0}},
    {"rev 3 without ERS", [](Config &c) { c.revision = 3, c.mts = 1; }, {0, 0, bit(1)}},
};

TEST(Reserved, PasidEntryByCapability) {
  for (const PasidCase &k : kPasidCases) {
    for (unsigned pgtt : {kFirst, kSecond, kNested, kPassThrough}) {
      SCOPED_TRACE(std::string(k.what) + ", PGTT " + std::to_string(pgtt));
      Config cfg;
      k.configure(cfg);
      ScalableWorld w(cfg);
      uint64_t e = w.pasid(pgtt);
      w.clear(e, k.r[0]);
      w.clear(e + 8, k.r[1]);
      w.clear(e + 16, k.r[2]);
      // A/D need PWSNP where it exists; a unit without SMPWCS updates the first stage all the same.
      ims_request r = dma(kDevice, pgtt, pgtt == kPassThrough ? kPage : kVa, IMS_ACC_R);
      ims_result res = w.request(r);
      ASSERT_EQ(IMS_STATUS_OK, res.status) << text(res);
      // FSPTPTR is a GPA in a nested entry: its width is the second stage's business (0x74).
      Bits b = {{bits(11, 10) | kAboveHaw | k.r[0], bits(22, 16) | k.r[1],
                 bits(11, 8) | (pgtt == kNested ? 0 : kAboveHaw) | k.r[2], ~uint64_t(0), ~uint64_t(0), ~uint64_t(0),
                 ~uint64_t(0), ~uint64_t(0)},
                {0, 0, 0, 0, 0, 0, 0, 0}};
      if (cfg.revision >= 4)
        b.ignored[2] |= bit(5) | bit(6); // NXE, SMEP: withdrawn, and ignored
      if (pgtt == kPassThrough)
        b.ignored[0] |= bits(4, 2) | (bit(9) & ~k.r[0]) | bits(kHaw - 1, 12);
      if (pgtt == kFirst)
        b.ignored[0] |= bits(4, 2) | (bit(9) & ~k.r[0]) | bits(kHaw - 1, 12);
      check_bits(w, e, b, r, 0x5a);
      check_not_present(w, e, 8, 1, 2, r, 0x59);
    }
  }
}

TEST(Reserved, PasidEntryWithoutFirstStage) {
  Config cfg;
  cfg.fsts = cfg.nest = 0;
  ScalableWorld w(cfg);
  uint64_t e = w.pasid(2);
  w.store(e + 16, 0);
  Bits b = {{bits(11, 10) | kAboveHaw | kRev4[0], bits(22, 16) | kRev4[1] | kNoMemoryTypes, bits(4, 1) | bits(63, 8),
             ~uint64_t(0), ~uint64_t(0), ~uint64_t(0), ~uint64_t(0), ~uint64_t(0)},
            {0, 0, bit(5) | bit(6), 0, 0, 0, 0, 0}};
  check_bits(w, e, b, dma(kDevice, 2, kVa, IMS_ACC_R), 0x5a);
  w.store(w.pasid(1) + 16, 0);
  EXPECT_EQ(0x5b, w.request(dma(kDevice, 1, kVa, IMS_ACC_R)).fault) << "an unsupported PGTT is no reserved bit";
}

TEST(Reserved, PasidEntryWithoutSecondStage) {
  Config cfg;
  cfg.ssts = cfg.nest = 0;
  ScalableWorld w(cfg);
  // AW is tolerated: Linux writes it into first-stage entries on every unit (docs/vtd.md, decisions).
  Bits b = {{bits(11, 10) | bits(63, 12) | kRev4[0], bits(22, 16) | kRev4[1] | kNoMemoryTypes,
             bits(11, 8) | kAboveHaw | kRev4[2], ~uint64_t(0), ~uint64_t(0), ~uint64_t(0), ~uint64_t(0), ~uint64_t(0)},
            {bits(4, 2), 0, bit(5) | bit(6), 0, 0, 0, 0, 0}};
  check_bits(w, w.pasid(1), b, dma(kDevice, 1, kVa, IMS_ACC_R), 0x5a);
}

TEST(Reserved, ProgrammingOfThePasidEntry) {
  struct Case {
    unsigned pgtt, aw, fspm;
    void (*configure)(Config &);
    unsigned code;
  };
  auto none = [](Config &) {};
  const Case cases[] = {
      {0, 2, 0, none, 0x5b},
      {5, 2, 0, none, 0x5b},
      {6, 2, 0, none, 0x5b},
      {7, 2, 0, none, 0x5b},
      {kFirst, 0, 0, none, 0}, // AW is the second stage's
      {kFirst, 2, 2, none, 0x5b},
      {kFirst, 2, 3, none, 0x5b},
      {kFirst, 2, 1, [](Config &c) { c.fs5lp = 0; }, 0x5b},
      {kSecond, 0, 0, none, 0x5b},
      {kSecond, 4, 0, none, 0x5b},
      {kSecond, 7, 0, none, 0x5b},
      {kSecond, 2, 3, none, 0}, // FSPM is the first stage's
      {kSecond, 2, 0, [](Config &c) { c.sagaw = 2; }, 0x5b},
      {kNested, 2, 0, [](Config &c) { c.sagaw = 8; }, 0x5b},
      {kNested, 2, 2, none, 0x5b},
      {kNested, 2, 0, [](Config &c) { c.nest = 0; }, 0x5b},
      {kPassThrough, 7, 3, none, 0},
      {kPassThrough, 0, 0, [](Config &c) { c.pt = 0; }, 0x5b},
  };
  for (const Case &k : cases) {
    SCOPED_TRACE("PGTT " + std::to_string(k.pgtt) + " AW " + std::to_string(k.aw) + " FSPM " + std::to_string(k.fspm));
    Config cfg;
    k.configure(cfg);
    ScalableWorld w(cfg);
    PasidEntry e;
    e.pgtt = k.pgtt, e.aw = k.aw, e.fspm = k.fspm, e.fs = w.first.root, e.ss = w.second.root;
    if (k.pgtt == kNested)
      e.fs = w.guest.root, e.ss = w.host.root;
    w.set_pasid(kDevice, 6, e);
    ims_result res = w.request(dma(kDevice, 6, k.pgtt == kPassThrough ? kPage : kVa, IMS_ACC_R));
    EXPECT_EQ(k.code, res.fault) << text(res);
    // Reserved bits come first.
    w.set(w.pasid(6) + 56, 1);
    w.submit(inv::pasid_cache_global());
    EXPECT_EQ(0x5a, w.request(dma(kDevice, 6, kPage, IMS_ACC_R)).fault);
  }
}

TEST(Reserved, LegacyRootEntry) {
  LegacyWorld w;
  check_bits(w, w.root_word, {{bits(11, 1) | kAboveHaw, ~uint64_t(0)}, {0, 0}}, dma(kDevice, kVa), 0x0a);
  check_not_present(w, w.root_word, 2, 1, 0, dma(kDevice, kVa), 0x01);
}

TEST(Reserved, LegacyContextEntry) {
  LegacyWorld w;
  Bits b = {{bits(11, 4) | kAboveHaw, bit(7) | bits(63, 24)}, {0, bits(6, 3)}};
  check_bits(w, w.context, b, dma(kDevice, kVa), 0x0b);
  check_not_present(w, w.context, 2, 1, 2, dma(kDevice, kVa), 0x02);
  // Pass-through: SSPTPTR is ignored, above the host width too.
  b.reserved[0] = bits(11, 4);
  b.ignored[0] = bits(63, 12);
  check_bits(w, w.context_entry(kOtherDevice), b, dma(kOtherDevice, kPage), 0x0b);
}

TEST(Reserved, LegacyTranslationTypes) {
  struct Case {
    unsigned tt, aw;
    void (*configure)(Config &);
    unsigned code[3]; // untranslated, translation request, translated
  };
  auto none = [](Config &) {};
  const Case cases[] = {
      {0, 2, none, {0, 0x0d, 0x0d}},
      {1, 2, none, {0, 0, 0}},
      {2, 2, none, {0, 0x0d, 0x0d}},
      {3, 2, none, {0x03, 0x03, 0x03}},
      {1, 2, [](Config &c) { c.dt = c.prs = c.pds = 0; }, {0x03, 0x03, 0x03}},
      {2, 2, [](Config &c) { c.pt = 0; }, {0x03, 0x03, 0x03}},
      {0, 0, none, {0x03, 0x0d, 0x0d}},
      {2, 7, none, {0x03, 0x0d, 0x0d}},
      {2, 1, none, {0, 0x0d, 0x0d}}, // any supported width will do
      {2, 2, [](Config &c) { c.sagaw = 2; }, {0x03, 0x0d, 0x0d}},
  };
  for (const Case &k : cases)
    for (unsigned cm : {0u, 1u})
      for (unsigned type = 0; type < 3; type++) {
        SCOPED_TRACE("TT " + std::to_string(k.tt) + " AW " + std::to_string(k.aw) + " request " + std::to_string(type) +
                     " CM " + std::to_string(cm));
        Config cfg;
        cfg.cm = cm;
        k.configure(cfg);
        LegacyWorld w(cfg);
        LegacyContext c;
        c.tt = k.tt, c.aw = k.aw, c.ss = w.second.root;
        w.set_context(kDevice, c);
        // Whichever kind comes first, and whatever has been cached of it.
        for (unsigned t = 0; t < 3; t++) {
          unsigned now = (type + t) % 3;
          uint64_t va = k.tt == 2 || now == IMS_TRANSLATED ? kPage : kVa;
          ims_result res = w.request(as(dma(kDevice, va), static_cast<ims_request_type>(now)));
          EXPECT_EQ(k.code[now], res.fault) << "kind " << now << ": " << text(res);
        }
      }
}

// Paging entries. Level by level, table and leaf, host width 46.
struct EntryCase {
  unsigned level;
  bool leaf;
  uint64_t reserved, ignored;
};

TEST(Reserved, FirstStageEntries) {
  const uint64_t above = bits(51, kHaw), soft = bit(9) | bit(10) | bit(11) | bits(63, 52);
  const EntryCase cases[] = {
      {5, false, above | bit(7), soft | bit(3) | bit(4) | bit(6) | bit(8)},
      {4, false, above | bit(7), soft | bit(3) | bit(4) | bit(6) | bit(8)},
      // PS=1 makes a large page of it, whose address is misaligned.
      {3, false, above | bit(7), soft | bit(3) | bit(4) | bit(6) | bit(8)},
      {2, false, above | bit(7), soft | bit(3) | bit(4) | bit(6) | bit(8)},
      {3, true, above | bits(29, 13), soft | bit(3) | bit(4) | bit(8) | bit(12)},
      {2, true, above | bits(20, 13), soft | bit(3) | bit(4) | bit(8) | bit(12)},
      {1, true, above, soft | bit(3) | bit(4) | bit(7) | bit(8)},
  };
  for (const EntryCase &k : cases) {
    SCOPED_TRACE("level " + std::to_string(k.level) + (k.leaf ? " leaf" : " table"));
    ScalableWorld w;
    Tree t(w, 5, kFsAll | IMS_FS_A | IMS_FS_D);
    t.map(kVa, k.level == 1 || !k.leaf ? kPage : 0x40000000, kFsAll | IMS_FS_A | IMS_FS_D, k.leaf ? k.level : 1);
    PasidEntry e;
    e.fs = t.root, e.fspm = 1;
    w.set_pasid(kDevice, 6, e);
    ims_request r = dma(kDevice, 6, kVa, IMS_ACC_R);
    check_bits(w, t.at(kVa, k.level), {{k.reserved}, {k.ignored}}, r, 0x72);
    check_not_present(w, t.at(kVa, k.level), 1, 1, 0, r, 0x71);
  }
}

// A guest's entries hold GPAs: bits up to 51 belong to the address, and the second stage bounds them.
TEST(Reserved, NestedFirstStageEntriesHoldGuestAddresses) {
  ScalableWorld w;
  for (unsigned level = 1; level <= 4; level++) {
    uint64_t e = w.guest.at(kVa, level), was = w.load(e);
    for (unsigned n = 48; n < 52; n++) {
      w.store(e, was | bit(n));
      w.drop_caches();
      EXPECT_EQ(level == 1 ? 0x84 : 0x74, w.request(dma(kDevice, 3, kVa, IMS_ACC_R)).fault) << level << " " << n;
    }
    w.store(e, was);
  }
}

TEST(Reserved, ExecuteDisableIsReservedInRev3WithoutNxe) {
  Config cfg;
  cfg.revision = 3, cfg.ers = 1;
  ScalableWorld w(cfg);
  w.set(w.first.at(kVa, 3), IMS_FS_XD);
  EXPECT_EQ(0x72, w.request(dma(kDevice, 1, kVa, IMS_ACC_R)).fault);
  w.set(w.pasid(1) + 16, bit(5)); // NXE
  w.submit(inv::pasid_cache(1, 1));
  EXPECT_EQ(0, w.request(dma(kDevice, 1, kVa, IMS_ACC_R)).fault);
}

TEST(Reserved, SecondStageEntries) {
  const uint64_t above = bits(51, kHaw) | bit(62), soft = bit(10) | bits(61, 52) | bit(63), types = bits(6, 3) | bit(2);
  const EntryCase cases[] = {
      {5, false, above | bit(7) | bit(11), soft | types | bit(9)},
      {4, false, above | bit(7) | bit(11), soft | types | bit(9)},
      {3, false, above | bit(7) | bit(11), soft | types | bit(9)}, // PS=1: a misaligned large page
      {2, false, above | bit(7) | bit(11), soft | types | bit(9)},
      {3, true, above | bits(29, 12), soft | types},
      {2, true, above | bits(20, 12), soft | types},
      {1, true, above, soft | types | bit(7)},
  };
  for (const EntryCase &k : cases)
    for (bool snoop_control : {true, false}) {
      SCOPED_TRACE("level " + std::to_string(k.level) + (k.leaf ? " leaf" : " table"));
      Config cfg;
      cfg.sc = snoop_control;
      ScalableWorld w(cfg);
      const uint64_t ad = IMS_SS_A | IMS_SS_D;
      Tree t(w, 5, kSsAll | ad);
      t.map(kVa, k.level == 1 || !k.leaf ? kPage : 0x40000000, kSsAll | ad, k.leaf ? k.level : 1);
      PasidEntry e;
      e.pgtt = kSecond, e.aw = 3, e.ss = t.root;
      w.set_pasid(kDevice, 6, e);
      ims_request r = dma(kDevice, 6, kVa, IMS_ACC_R);
      uint64_t reserved = k.reserved | (k.leaf && !snoop_control ? bit(11) : 0);
      check_bits(w, t.at(kVa, k.level), {{reserved}, {k.ignored | bit(8) | bit(9)}}, r, 0x7a); // A, D: SSADE is off
      check_not_present(w, t.at(kVa, k.level), 1, 3, 0, r, 0x79);
    }
}

TEST(Reserved, LargePagesByCapability) {
  for (unsigned sslps = 0; sslps < 4; sslps++) {
    Config cfg;
    cfg.sslps = sslps;
    ScalableWorld w(cfg);
    w.second.map(0x40000000, 0x40000000, kSsAll, 3);
    w.second.map(0x80000000, 0x40000000, kSsAll, 2);
    EXPECT_EQ(sslps & 2 ? 0 : 0x7a, w.request(dma(kDevice, 2, 0x40000000, IMS_ACC_R)).fault);
    EXPECT_EQ(sslps & 1 ? 0 : 0x7a, w.request(dma(kDevice, 2, 0x80000000, IMS_ACC_R)).fault);
  }
}

} // namespace
} // namespace vtd
