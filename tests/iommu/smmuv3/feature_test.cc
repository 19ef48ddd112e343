// SPDX-License-Identifier: Apache-2.0
// What STEs, CDs and descriptors can ask for beyond a plain translation: two halves of the address space, permissions,
// hardware updates, sizes, memory attributes, regimes, tags. Arm IHI 0070 5.2, 5.4, 3.13, 3.17, 13.1 to 13.4;
// DDI 0487 D8.2 to D8.7, G5.
#include "tests/iommu/smmuv3/world.h"

#include <gtest/gtest.h>

namespace smmu {
namespace {

constexpr unsigned R = IMS_ACC_R, W = IMS_ACC_W, X = IMS_ACC_X, PRIV = IMS_ACC_PRIV;
constexpr uint64_t kDbm = uint64_t(1) << 51, kPxn = uint64_t(1) << 53, kUxn = uint64_t(1) << 54;
uint64_t bit(unsigned n) { return uint64_t(1) << n; }

bool granted(World &w, unsigned access) {
  ims_result r = w.request(w.ask(access));
  EXPECT_TRUE(r.status == IMS_STATUS_OK || r.fault == 0x13) << text(r);
  w.events();
  return r.status == IMS_STATUS_OK;
}

// ---- Which table

// Both halves, each with its own size and granule: {offset from the bottom or top, translated}.
TEST(Halves, BothTables) {
  for (unsigned g0 = 0; g0 < 3; g0++)
    for (unsigned g1 = 0; g1 < 3; g1++) {
      Plan p = s1_only();
      p.s1.granule = static_cast<Granule>(g0), p.s1.in_bits = 36;
      World w(p);
      Shape upper;
      upper.granule = static_cast<Granule>(g1), upper.in_bits = 42;
      Tree top(w, upper);
      top.describe(w.cd, 1);
      w.update_cd();
      const uint64_t low_end = bit(36) - 64 * KB, high = ~(bit(42) - 1), last = ~uint64_t(0) - 64 * KB + 1;
      w.s1.map(low_end, 0x100000, kS1All);
      top.map(high, 0x110000, kS1All);
      top.map(last, 0x120000, kS1All);
      w.ok();
      EXPECT_EQ(0x100008u, w.request(w.ask(R, low_end | 8)).output);
      EXPECT_EQ(0x110008u, w.request(w.ask(R, high | 8)).output);
      EXPECT_EQ(0x120008u, w.request(w.ask(R, last | 8)).output);
      for (uint64_t outside : {bit(36), bit(36) | w.va, bit(47), high - 8, bit(63), bit(55) | 8, ~bit(55)})
        w.fails(w.ask(R, outside), fault(0x10, w.ask(R, outside)));
      // A hole in one half leaves the other alone.
      w.cd.set(IMS_CD_EPD0, 1);
      w.update_cd();
      w.fails(w.ask(), fault(0x10, w.ask()));
      EXPECT_EQ(0x110008u, w.request(w.ask(R, high | 8)).output);
      w.cd.set(IMS_CD_EPD0, 0).set(IMS_CD_EPD1, 1);
      w.update_cd();
      w.ok();
      w.fails(w.ask(R, high), fault(0x10, w.ask(R, high)));
      w.cd.set(IMS_CD_EPD0, 1);
      w.update_cd();
      w.fails(w.ask(), fault(0x10, w.ask()));
    }
}

TEST(Halves, UpperHalfNested) {
  Plan p = nested4k();
  p.upper = true;
  for (unsigned g = 0; g < 3; g++) {
    p.s1.granule = static_cast<Granule>(g);
    World w(p);
    ims_result r = w.ok();
    EXPECT_EQ(2u + (2 + (g == k64K ? 3 : 4)) * 5 + 4, r.refs);
    EXPECT_EQ(w.cd_hpa(), w.reads[2 + 5 + 4].hpa);
  }
}

TEST(Halves, TopByteIgnored) {
  for (unsigned tbi = 0; tbi < 4; tbi++) {
    Plan p = s1_only();
    p.s1.in_bits = 40;
    World w(p);
    Tree top(w, p.s1);
    top.describe(w.cd, 1);
    w.cd.set(IMS_CD_TBI0, tbi & 1).set(IMS_CD_TBI1, tbi >> 1);
    w.update_cd();
    uint64_t high = ~(bit(40) - 1);
    top.map(high, 0x110000, kS1All);
    for (uint64_t tag : {0x01ull, 0x7full, 0x80ull, 0xffull}) {
      uint64_t va = w.va | tag << 56;
      if (tbi & 1)
        EXPECT_EQ(w.out, w.request(w.ask(R, va)).output);
      else
        w.fails(w.ask(R, va), fault(0x10, w.ask(R, va)));
      va = (high & (~uint64_t(0) >> 8)) | (~tag & 0xff) << 56;
      if (tbi & 2)
        EXPECT_EQ(0x110000u, w.request(w.ask(R, va)).output);
      else if (tag != 0xff || va >> 56 != 0xff)
        w.fails(w.ask(R, va), fault(0x10, w.ask(R, va)));
      // Bits 55 to N still count.
      va = w.va | bit(50) | tag << 56;
      w.fails(w.ask(R, va), fault(0x10, w.ask(R, va)));
    }
  }
}

// E0PD: unprivileged accesses fault as if there were no translation; privileged ones pass.
TEST(Halves, E0pd) {
  for (unsigned there : {0u, 1u}) {
    Config c;
    c.no_caches();
    c.e0pd = there;
    World w(s1_only(), c);
    Tree top(w, w.plan.s1);
    uint64_t high = ~(bit(48) - 1);
    // User pages are not executable with privilege when writable.
    top.map(high, 0x110000, kS1All);
    top.describe(w.cd, 1);
    w.cd.set(IMS_CD_E0PD0, 1);
    w.update_cd();
    if (there)
      w.fails(w.ask(), fault(0x10, w.ask()));
    else
      w.ok();
    w.ok(R | PRIV);
    w.ok(W | PRIV);
    EXPECT_EQ(IMS_STATUS_OK, w.request(w.ask(R, high)).status);
    w.cd.set(IMS_CD_E0PD0, 0).set(IMS_CD_E0PD1, 1);
    w.update_cd();
    w.ok();
    EXPECT_EQ(there ? IMS_STATUS_FAULT : IMS_STATUS_OK, w.request(w.ask(W, high)).status);
    EXPECT_EQ(IMS_STATUS_OK, w.request(w.ask(W | PRIV, high)).status);
    w.events();
    // Whatever the tables hold.
    w.store(top.at(high), 0);
    ims_result r = w.request(w.ask(R, high));
    EXPECT_EQ(0x10, r.fault);
  }
}

// ---- Permissions

// DDI 0487 D8.4.1, in the words of its tables.
struct Rights {
  bool r, w, x;
};
Rights stage1_rights(bool el2, unsigned ap, bool uxn, bool pxn, bool wxn, bool pan, bool epan, unsigned ap_table,
                     bool xn_table, bool pxn_table, bool priv) {
  const bool read_only = ap & 2 || ap_table & 2;
  if (el2) {
    Rights e = {true, !read_only, !(uxn || xn_table)};
    if (wxn && e.w)
      e.x = false;
    return e;
  }
  const bool user = (ap & 1) && !(ap_table & 1);
  const bool user_write = user && !read_only, user_exec = !(uxn || xn_table);
  Rights e;
  if (!priv) {
    e = {user, user_write, user_exec};
  } else {
    bool never = pan && (user || (epan && user_exec));
    e = {!never, !read_only && !never, !(pxn || pxn_table || user_write)};
  }
  bool writable = priv ? !read_only : user_write; // PAN is about data alone
  if (wxn && writable)
    e.x = false;
  return e;
}

void expect_rights(World &w, const Rights &e, bool priv, const std::string &what) {
  unsigned p = priv ? PRIV : 0;
  EXPECT_EQ(e.r, granted(w, R | p)) << "read, " << what;
  EXPECT_EQ(e.w, granted(w, W | p)) << "write, " << what;
  EXPECT_EQ(e.r && e.w, granted(w, R | W | p)) << "atomic, " << what;
  EXPECT_EQ(e.x, granted(w, X | p)) << "execute, " << what;
}

TEST(Permissions, Stage1LeavesAndControls) {
  World w(s1_only());
  for (unsigned n = 0; n < 128; n++) {
    unsigned ap = n & 3;
    bool uxn = n & 4, pxn = n & 8, wxn = n & 16, pan = n & 32, epan = n & 64;
    w.cd.set(IMS_CD_WXN, wxn).set(IMS_CD_PAN, pan).set(IMS_CD_EPAN, epan);
    w.update_cd();
    uint64_t page = w.load(w.leaf1()) & ~(kUxn | kPxn | kS1User | kS1ReadOnly);
    w.store(w.leaf1(), page | ap << 6 | (uxn ? kUxn : 0) | (pxn ? kPxn : 0));
    for (bool priv : {false, true})
      expect_rights(w, stage1_rights(false, ap, uxn, pxn, wxn, pan, epan, 0, false, false, priv), priv,
                    "AP " + std::to_string(ap) + " case " + std::to_string(n));
  }
}

TEST(Permissions, EpanWhereThereIsNone) {
  Config c;
  c.no_caches();
  c.epan = 0;
  World w(s1_only(), c);
  w.cd.set(IMS_CD_PAN, 1).set(IMS_CD_EPAN, 1);
  w.update_cd();
  w.clear(w.leaf1(), kS1User);
  w.ok(R | PRIV); // executable unprivileged, which EPAN would refuse
}

// Hierarchical attributes, at any level above the leaf; HAD takes them away.
TEST(Permissions, HierarchicalAttributes) {
  for (bool el2 : {false, true})
    for (int level = 0; level < 3; level++)
      for (unsigned had = 0; had < 2; had++) {
        World w(s1_only());
        if (el2)
          w.ste.set(IMS_STE_STRW, 2), w.update_ste();
        w.cd.set(IMS_CD_HAD0, had);
        w.update_cd();
        uint64_t at = w.s1.at(w.va, level), table = w.load(at);
        for (unsigned leaf = 0; leaf < 4; leaf++)
          for (unsigned n = 0; n < 16; n++) {
            unsigned ap_table = n & 3;
            bool xn = n & 4, pxn = n & 8;
            w.store(at, table | uint64_t(ap_table) << 61 | (xn ? bit(60) : 0) | (pxn ? bit(59) : 0));
            w.store(w.leaf1(), (w.load(w.leaf1()) & ~(uint64_t(3) << 6)) | leaf << 6);
            for (bool priv : {false, true})
              expect_rights(w,
                            stage1_rights(el2, leaf, false, false, false, false, false, had ? 0 : ap_table, xn && !had,
                                          pxn && !had, priv),
                            priv, "level " + std::to_string(level) + " case " + std::to_string(n));
          }
      }
}

TEST(Permissions, HierarchicalAttributesAddUp) {
  World w(s1_only());
  w.set(w.s1.at(w.va, 0), bit(61)); // no unprivileged access
  w.set(w.s1.at(w.va, 2), bit(62)); // no writes
  EXPECT_FALSE(granted(w, R));
  EXPECT_TRUE(granted(w, R | PRIV));
  EXPECT_FALSE(granted(w, W | PRIV));
  w.ste.set(IMS_STE_PRIVCFG, 3);
  w.update_ste();
  EXPECT_TRUE(granted(w, R));
}

TEST(Permissions, HadWhereThereIsNone) {
  Config c;
  c.no_caches();
  c.had = 0;
  World w(s1_only(), c);
  w.cd.set(IMS_CD_HAD0, 1);
  w.update_cd();
  w.set(w.s1.at(w.va, 1), bit(62));
  EXPECT_FALSE(granted(w, W));
}

// D8.4.2: S2AP and XN[1:0]. Without XNX, XN[0] is ignored.
TEST(Permissions, Stage2) {
  for (unsigned xnx : {0u, 1u}) {
    Config c;
    c.no_caches();
    c.xnx = xnx;
    World w(s2_only(), c);
    uint64_t page = w.load(w.leaf2()) & ~(uint64_t(3) << 6 | uint64_t(3) << 53);
    for (unsigned ap = 0; ap < 4; ap++)
      for (unsigned xn = 0; xn < 4; xn++) {
        w.store(w.leaf2(), page | ap << 6 | uint64_t(xn) << 53);
        unsigned effective = xnx ? xn : xn & 2;
        for (bool priv : {false, true}) {
          bool exec = effective == 0 || effective == (priv ? 3u : 1u);
          expect_rights(w, {(ap & 1) != 0, (ap & 2) != 0, exec}, priv,
                        "S2AP " + std::to_string(ap) + " XN " + std::to_string(xn));
        }
      }
  }
}

// Both stages must permit; stage 1 is judged first.
TEST(Permissions, BothStages) {
  World w;
  uint64_t page1 = w.load(w.leaf1()) & ~(uint64_t(3) << 6), page2 = w.load(w.leaf2()) & ~(uint64_t(3) << 6);
  for (unsigned ap1 = 0; ap1 < 4; ap1++)
    for (unsigned ap2 = 0; ap2 < 4; ap2++) {
      w.store(w.leaf1(), page1 | ap1 << 6);
      w.store(w.leaf2(), page2 | ap2 << 6);
      for (bool priv : {false, true})
        for (unsigned access : {R, W}) {
          bool first = (priv || (ap1 & 1)) && (access == R || !(ap1 & 2)), second = ap2 & (access == R ? 1 : 2);
          ims_result r = w.request(w.ask(access | (priv ? PRIV : 0)));
          EXPECT_EQ(first && second ? IMS_STATUS_OK : IMS_STATUS_FAULT, r.status);
          std::vector<Event> events = w.events();
          if (!first || !second) {
            ASSERT_EQ(1u, events.size());
            EXPECT_EQ(first ? 1u : 0u, events[0].get(IMS_SMMUV3_EVENT_S2_FIELD));
          }
        }
    }
}

// ---- Hardware updates

struct Update {
  unsigned httu;
  bool ha, hd;
  bool af, dbm, read_only; // of the page
  unsigned access;
  unsigned fault; // 0: none
  bool af_after, read_only_after;
};
const Update kUpdates[] = {
    // Without HTTU in use.
    {0, false, false, true, true, true, R, 0, true, true},
    {0, false, false, true, true, true, W, 0x13, true, true},
    {2, false, false, false, true, false, R, 0x12, false, false},
    {2, false, false, false, true, false, W, 0x12, false, false},
    {2, false, true, false, true, true, R, 0x12, false, true}, // HD without HA does nothing
    {2, false, true, true, true, true, W, 0x13, true, true},
    // Access flag.
    {1, true, false, false, false, false, R, 0, true, false},
    {1, true, false, false, true, true, R, 0, true, true},
    {1, true, false, true, true, true, W, 0x13, true, true},
    {2, true, false, false, false, false, W, 0, true, false},
    {2, true, false, false, false, false, X, 0, true, false},
    // And dirty state.
    {2, true, true, true, true, true, R, 0, true, true},
    {2, true, true, true, true, true, W, 0, true, false},
    {2, true, true, false, true, true, W, 0, true, false},
    {2, true, true, false, true, true, R, 0, true, true},
    {2, true, true, true, false, true, W, 0x13, true, true}, // DBM = 0: read-only for good
    {2, true, true, true, false, false, W, 0, true, false},
    {2, true, true, true, true, true, R | W, 0, true, false},
};

TEST(HardwareUpdates, Stage1AndStage2) {
  for (bool first : {true, false})
    for (bool big : {false, true})
      for (const Update &k : kUpdates) {
        SCOPED_TRACE(std::to_string(&k - kUpdates) + (first ? " stage 1" : " stage 2") + (big ? " big-endian" : ""));
        Config c;
        c.no_caches();
        c.httu = k.httu;
        World w(first ? s1_only() : s2_only(), c);
        uint64_t base = (first ? kS1All & ~(kS1Af | kS1ReadOnly) : kS2All & ~(kS2Af | kS2Write)) | 3;
        uint64_t bits = base | (k.af ? kS1Af : 0) | (k.dbm ? kDbm : 0);
        bool writable_bit = first ? k.read_only : !k.read_only; // AP[2] and S2AP[1] have the same place
        bits |= writable_bit ? bit(7) : 0;
        uint64_t at = first ? w.leaf1() : w.leaf2(), page = w.out & ~uint64_t(0xfff);
        w.store(at, page | bits);
        if (first)
          w.cd.set(IMS_CD_HA, k.ha).set(IMS_CD_HD, k.hd).set(IMS_CD_ENDI, big), w.update_cd();
        else
          w.ste.set(IMS_STE_S2HA, k.ha).set(IMS_STE_S2HD, k.hd).set(IMS_STE_S2ENDI, big), w.update_ste();
        if (big) // turn every descriptor on the way round
          for (int level = 3; level >= 0; level--) {
            uint64_t d = first ? w.s1.at(w.va, level) : w.s2.at(w.ipa, level);
            w.store(d, __builtin_bswap64(w.load(d)));
          }
        if (k.fault) {
          Event e = fault(k.fault, w.ask(k.access));
          w.fails(w.ask(k.access), first ? e : e.stage2(kIn, w.ipa));
        } else {
          w.ok(k.access);
        }
        uint64_t got = big ? __builtin_bswap64(w.load(at)) : w.load(at);
        uint64_t after = base | page | (k.af_after ? kS1Af : 0) | (k.dbm ? kDbm : 0);
        after |= (first ? k.read_only_after : !k.read_only_after) ? bit(7) : 0;
        EXPECT_EQ(after, got);
        EXPECT_EQ(bits != (after & ~page) ? 1u : 0u, w.updates) << "both bits by one update";
      }
}

// AFFD: the flag does not count; where hardware sets it, AFFD does not count.
TEST(HardwareUpdates, Affd) {
  for (bool first : {true, false}) {
    World w(first ? s1_only() : s2_only());
    uint64_t at = first ? w.leaf1() : w.leaf2();
    w.clear(at, kS1Af);
    if (first)
      w.cd.set(IMS_CD_AFFD, 1), w.update_cd();
    else
      w.ste.set(IMS_STE_S2AFFD, 1), w.update_ste();
    w.ok(W);
    EXPECT_EQ(0u, w.load(at) & kS1Af);
    if (first)
      w.cd.set(IMS_CD_HA, 1), w.update_cd();
    else
      w.ste.set(IMS_STE_S2HA, 1), w.update_ste();
    w.ok();
    EXPECT_EQ(kS1Af, w.load(at) & kS1Af);
  }
}

// APTable removes the right to write: then there is no dirty state to note (3.13.3.1).
TEST(HardwareUpdates, ReadOnlyByItsTable) {
  Plan p = s1_only();
  p.bits1 = kS1All | kS1ReadOnly | kDbm;
  World w(p);
  w.cd.set(IMS_CD_HA, 1).set(IMS_CD_HD, 1);
  w.update_cd();
  w.set(w.s1.at(w.va, 1), bit(62));
  w.fails(w.ask(W), fault(0x13, w.ask(W)));
  EXPECT_EQ(kS1ReadOnly, w.load(w.leaf1()) & kS1ReadOnly);
}

// HAFT: table descriptors have an access flag too.
TEST(HardwareUpdates, Tables) {
  for (unsigned haft : {0u, 1u}) {
    Config c;
    c.no_caches();
    c.httu = 3, c.version = 4;
    World w(nested4k(), c);
    w.cd.set(IMS_CD_HA, 1).set(IMS_CD_HAFT, haft);
    w.update_cd();
    w.ste.set(IMS_STE_S2HA, 1).set(IMS_STE_S2HAFT, haft);
    w.update_ste();
    w.ok();
    for (int level = 0; level < 3; level++) {
      EXPECT_EQ(haft ? kS1Af : 0, w.load(w.s1.at(w.va, level)) & kS1Af) << level;
      EXPECT_EQ(haft ? kS2Af : 0, w.load(w.s2.at(w.ipa, level)) & kS2Af) << level;
    }
    w.ok();
    EXPECT_EQ(0u, w.updates);
  }
}

// ---- Endianness

TEST(BigEndian, EachStageForItself) {
  for (unsigned which = 1; which < 4; which++)
    for (unsigned g = 0; g < 3; g++) {
      Plan p = nested4k();
      p.s1.granule = p.s2.granule = static_cast<Granule>(g);
      World w(p);
      std::vector<World::Target> targets = w.targets();
      std::set<uint64_t> words;
      if (which & 1)
        for (int level = w.s1.start; level <= 3; level++)
          words.insert(w.s1.at(w.va, level));
      if (which & 2)
        for (const World::Target &t : targets)
          for (int level = w.s2.start; level <= 3; level++)
            words.insert(w.s2.at(t.ipa, level));
      w.cd.set(IMS_CD_ENDI, which & 1);
      w.update_cd(); // CDs and STEs themselves are little-endian always
      w.ste.set(IMS_STE_S2ENDI, which >> 1);
      w.update_ste();
      EXPECT_NE(IMS_STATUS_OK, w.request(w.ask()).status);
      w.events();
      for (uint64_t at : words)
        w.store(at, __builtin_bswap64(w.load(at)));
      w.ok();
    }
}

// ---- Sizes

struct Block {
  Granule granule;
  int level;
  unsigned shift, run; // log2 of a block, and of the entries that the contiguous hint binds
  bool ds = false;
};
const Block kBlocks[] = {
    {k4K, 3, 12, 4},  {k4K, 2, 21, 4},  {k4K, 1, 30, 4},  {k16K, 3, 14, 7},       {k16K, 2, 25, 5},
    {k64K, 3, 16, 5}, {k64K, 2, 29, 5}, {k64K, 1, 42, 0}, {k16K, 1, 36, 0, true}, {k4K, 0, 39, 0, true},
};

TEST(Blocks, ReachOfEachLeafAndOfItsRun) {
  for (bool first : {true, false})
    for (const Block &k : kBlocks)
      for (unsigned knob : {0u, 1u}) {
        SCOPED_TRACE(std::to_string(k.granule) + " level " + std::to_string(k.level) +
                     (first ? " stage 1" : " stage 2"));
        Config c;
        c.oas = 6, c.ds = 1, c.vax = 1, c.contiguous = knob;
        Plan p = first ? s1_only() : s2_only();
        Shape &s = first ? p.s1 : p.s2;
        int &leaf = first ? p.leaf1 : p.leaf2;
        s.granule = k.granule, s.in_bits = k.ds ? 52 : 48, s.ds = k.ds, leaf = k.level;
        World w(p, c);
        EXPECT_EQ(k.shift, w.ok().shift);
        Tree &t = first ? w.s1 : w.s2;
        if (!k.run)
          continue;
        // A run, in a part of the space of its own.
        uint64_t run = bit(k.shift + k.run), base = bit(46);
        for (unsigned i = 0; i < 1u << k.run; i++)
          t.map(base + i * bit(k.shift), run + i * bit(k.shift), (first ? kS1All : kS2All) | kContiguous, k.level);
        uint64_t third = base + 3 * bit(k.shift) + 0x123;
        ims_result r = w.request(dma(kStream, third));
        EXPECT_EQ(knob ? k.shift + k.run : k.shift, r.shift);
        EXPECT_EQ(run + 3 * bit(k.shift) + 0x123, r.output);
        // The others of the run come out of the same cached entry.
        r = w.request(dma(kStream, base + 5 * bit(k.shift) + 8));
        EXPECT_EQ(run + 5 * bit(k.shift) + 8, r.output);
        EXPECT_EQ(knob, r.refs == 0);
        // An entry's own faults are not hidden by its neighbours.
        w.submit(cmd::nsnh_all());
        w.clear(t.at(base + 7 * bit(k.shift), k.level), 1);
        r = w.request(dma(kStream, base + 7 * bit(k.shift)));
        EXPECT_EQ(0x10, r.fault);
        w.clear(t.at(base + 6 * bit(k.shift), k.level), kS1Af);
        r = w.request(dma(kStream, base + 6 * bit(k.shift)));
        EXPECT_EQ(0x12, r.fault);
        w.events();
      }
}

// A nested translation reaches as far as the smaller leaf.
TEST(Blocks, SmallerOfTheTwo) {
  for (int leaf1 = 1; leaf1 <= 3; leaf1++)
    for (int leaf2 = 1; leaf2 <= 3; leaf2++) {
      Plan p = nested4k();
      p.leaf1 = leaf1, p.leaf2 = leaf2;
      World w(p);
      const unsigned shift[4] = {0, 30, 21, 12};
      EXPECT_EQ(leaf1 > leaf2 ? shift[leaf1] : shift[leaf2], w.ok().shift);
    }
}

// 52 bits: 64 KB descriptors have bits 51:48 in 15:12, those with DS bits 51:50 in 9:8 (and no shareability).
TEST(LargeAddresses, Outputs) {
  Config c;
  c.no_caches();
  c.oas = 6, c.ds = 1, c.vax = 1;
  for (bool first : {true, false})
    for (unsigned g = 0; g < 3; g++) {
      Plan p = first ? s1_only() : s2_only();
      Shape &s = first ? p.s1 : p.s2;
      s.granule = static_cast<Granule>(g), s.in_bits = 52, s.ds = g != k64K;
      World w(p, c);
      w.cd.set(IMS_CD_IPS, 6).set(IMS_CD_SH0, 2);
      if (first)
        w.update_cd();
      w.ste.set(IMS_STE_S2PS, 6).set(IMS_STE_S2SH0, 2);
      w.update_ste();
      Tree &t = first ? w.s1 : w.s2;
      for (uint64_t out : {bit(51), bit(50) | bit(48), bit(49), 0x000fffffffff0000ul, 0x0008123456780000ul}) {
        t.map(0x000a5a5a5a5a0000, out, first ? kS1All : kS2All);
        ims_result r = w.request(dma(kStream, 0x000a5a5a5a5a0123));
        EXPECT_EQ(out | 0x123, r.output) << text(r);
        // With DS, CD.SH0 or S2SH0 say the shareability, else the descriptor's 0b11.
        EXPECT_EQ(s.ds ? 2u : 3u, IMS_ATTR_GET(r.attr, IMS_ATTR_SH, 2));
      }
      // Sizes below 52 bits count.
      w.cd.set(IMS_CD_IPS, 5);
      if (first)
        w.update_cd();
      w.ste.set(IMS_STE_S2PS, 5);
      w.update_ste();
      t.map(0x000a5a5a5a5a0000, bit(50), first ? kS1All : kS2All);
      EXPECT_EQ(0x11, w.request(dma(kStream, 0x000a5a5a5a5a0123)).fault);
    }
}

TEST(LargeAddresses, TablesAndRoots) {
  Config c;
  c.no_caches();
  c.oas = 6, c.ds = 1, c.vax = 1;
  const uint64_t far = bit(50) | bit(48) | 0x40000000;
  for (bool first : {true, false})
    for (unsigned g = 0; g < 3; g++) {
      Plan p = first ? s1_only() : s2_only();
      Shape &s = first ? p.s1 : p.s2;
      s.granule = static_cast<Granule>(g), s.in_bits = 52, s.ds = g != k64K;
      World w(p, c);
      for (unsigned half = 0; half < 2; half++)
        ASSERT_EQ(IMS_ERR_OK, ims_mem_add_ram(w.mem(half), far, 1 * MB));
      w.cd.set(IMS_CD_IPS, 6);
      if (first)
        w.update_cd();
      w.ste.set(IMS_STE_S2PS, 6);
      w.update_ste();
      Tree &t = first ? w.s1 : w.s2;
      // The last table, moved.
      uint64_t in = first ? w.va : w.ipa, leaf = t.at(in, 3), above = t.at(in, 2), table = t.table(in, 3);
      w.store(far + (leaf - table), w.load(leaf));
      w.store(above, t.descriptor(far, 3));
      w.ok();
      EXPECT_EQ(far + (leaf - table), w.reads.back().hpa);
      w.store(above, t.descriptor(table, 3));
      // The root, moved.
      uint64_t top = t.at(in, t.start);
      w.store(far + (top - t.root), w.load(top));
      w.cd.at(IMS_CD_TTB0, far);
      if (first)
        w.update_cd();
      w.ste.at(IMS_STE_S2TTB, far);
      w.update_ste();
      w.ok();
    }
}

// A TTB's bits below the size of its table count as zero.
TEST(LargeAddresses, RootsAreAligned) {
  Plan p = s2_only();
  p.s2.in_bits = 42; // level 1, eight tables
  World w(p);
  w.ste.at(IMS_STE_S2TTB, w.s2.root + 0x1000);
  w.update_ste();
  w.ok();
  World one(s1_only());
  one.cd.at(IMS_CD_TTB0, one.s1.root + 0x800);
  one.update_cd();
  one.ok();
}

// ---- Streams without stage 1, and without any

TEST(Streams, S1dss) {
  for (unsigned config : {kS1 + 0u, kNested + 0u})
    for (unsigned s1dss = 0; s1dss < 4; s1dss++) {
      Plan p = nested4k();
      p.config = config;
      World w(p);
      w.ste.set(IMS_STE_S1DSS, s1dss);
      w.update_ste();
      w.set_cd(kStream, 0, w.cd); // for S1DSS = 0b10
      if (w.has_s2())
        w.map_all();
      uint64_t at = s1dss == 1 ? w.ipa : w.va;
      ims_result r = w.request(dma(kStream, at));
      switch (s1dss) {
      case 1:
        EXPECT_EQ(config == kS1 ? IMS_STATUS_BYPASS : IMS_STATUS_OK, r.status);
        EXPECT_EQ(config == kS1 ? w.ipa : w.out, r.output);
        EXPECT_EQ(config == kS1 ? 2u : 6u, r.refs);
        break;
      case 2:
        EXPECT_EQ(IMS_STATUS_OK, r.status) << text(r);
        EXPECT_EQ(w.out, r.output);
        EXPECT_EQ(0u, r.pasid);
        break;
      default: EXPECT_EQ(0x06, r.fault); EXPECT_EQ(2u, r.refs);
      }
      w.events();
      w.ok(); // with a SubstreamID nothing is different
    }
}

TEST(Streams, BypassAttributes) {
  // MTCFG, MemAttr, SHCFG; Device and non-cacheable memory is outer shareable (13.1.7).
  struct {
    unsigned mtcfg, memattr, shcfg, mem, sh;
  } const rows[] = {
      {0, 0, 1, 0xff, 3},  {0, 0, 0, 0xff, 0},  {0, 5, 2, 0xff, 2}, {1, 0, 0, 0x00, 2},
      {1, 1, 3, 0x04, 2},  {1, 3, 0, 0x0c, 2},  {1, 5, 0, 0x44, 2}, {1, 15, 0, 0xff, 0},
      {1, 15, 3, 0xff, 3}, {1, 10, 2, 0xbb, 2}, {1, 7, 3, 0x4f, 3},
  };
  Machine m(Config().no_caches());
  m.start();
  for (const auto &k : rows) {
    Ste e(kBypass);
    e.set(IMS_STE_MTCFG, k.mtcfg).set(IMS_STE_MEMATTR, k.memattr).set(IMS_STE_SHCFG, k.shcfg);
    m.set_ste(kStream, e);
    ims_result r = m.request(dma(kStream, 0x5000));
    EXPECT_EQ(IMS_STATUS_BYPASS, r.status);
    EXPECT_EQ(k.mem, IMS_ATTR_GET(r.attr, IMS_ATTR_MEM, 8)) << k.memattr;
    EXPECT_EQ(k.sh, IMS_ATTR_GET(r.attr, IMS_ATTR_SH, 2)) << k.memattr << " " << k.shcfg;
  }
  // GBPA has the same fields.
  m.disable(1);
  for (const auto &k : rows) {
    m.put(IMS_SMMUV3_GBPA, bit(31) | k.memattr | k.mtcfg << 4 | k.shcfg << 12);
    ims_result r = m.request(dma(kStream, 0x5000));
    EXPECT_EQ(IMS_STATUS_BYPASS, r.status);
    EXPECT_EQ(k.mem, IMS_ATTR_GET(r.attr, IMS_ATTR_MEM, 8)) << k.memattr;
    EXPECT_EQ(k.sh, IMS_ATTR_GET(r.attr, IMS_ATTR_SH, 2)) << k.memattr << " " << k.shcfg;
  }
}

// ---- Memory attributes

unsigned mem_of(const ims_result &r) { return IMS_ATTR_GET(r.attr, IMS_ATTR_MEM, 8); }
unsigned sh_of(const ims_result &r) { return IMS_ATTR_GET(r.attr, IMS_ATTR_SH, 2); }

TEST(Attributes, Stage1) {
  World w(s1_only());
  const uint8_t mair[8] = {0xff, 0x00, 0x04, 0x08, 0x0c, 0x44, 0xbb, 0x4f};
  for (unsigned i = 0; i < 4; i++) {
    w.cd.set(IMS_CD_MAIR0, mair[0] | mair[1] << 8 | mair[2] << 16 | uint32_t(mair[3]) << 24);
    w.cd.set(IMS_CD_MAIR1, mair[4] | mair[5] << 8 | mair[6] << 16 | uint32_t(mair[7]) << 24);
  }
  w.update_cd();
  for (unsigned index = 0; index < 8; index++)
    for (unsigned sh : {0u, 2u, 3u}) {
      uint64_t page = w.load(w.leaf1()) & ~(uint64_t(7) << 2 | uint64_t(3) << 8);
      w.store(w.leaf1(), page | index << 2 | sh << 8);
      ims_result r = w.ok();
      EXPECT_EQ(mair[index], mem_of(r));
      bool osh = mair[index] < 0x10 || mair[index] == 0x44;
      EXPECT_EQ(osh ? 2u : sh, sh_of(r)) << "AttrIndx " << index << " SH " << sh;
    }
}

// D8.6.5: Device wins, the stronger of two; else inner and outer each the weaker. Allocation hints are stage 1's.
struct Combined {
  unsigned s1, s2, out;
};
TEST(Attributes, BothStages) {
  const Combined rows[] = {
      {0xff, 15, 0xff}, {0xff, 5, 0x44},  {0xff, 10, 0xbb}, {0xff, 0, 0x00},  {0xff, 1, 0x04},  {0xff, 3, 0x0c},
      {0x00, 15, 0x00}, {0x04, 15, 0x04}, {0x0c, 15, 0x0c}, {0x0c, 0, 0x00},  {0x04, 3, 0x04},  {0x08, 1, 0x04},
      {0x44, 15, 0x44}, {0x44, 10, 0x44}, {0xbb, 15, 0xbb}, {0xaa, 15, 0xaa}, {0xee, 15, 0xee}, {0xee, 10, 0xaa},
      {0x4f, 15, 0x4f}, {0xf4, 15, 0xf4}, {0xff, 7, 0x4f},  {0xff, 13, 0xf4}, {0xf4, 7, 0x44},  {0x77, 15, 0x77},
      {0x77, 10, 0x33}, {0x33, 15, 0x33}, // transient stays so
  };
  World w;
  for (const Combined &k : rows) {
    w.cd.set(IMS_CD_MAIR0, k.s1);
    w.update_cd();
    w.store(w.leaf2(), (w.load(w.leaf2()) & ~(uint64_t(15) << 2)) | uint64_t(k.s2) << 2);
    EXPECT_EQ(k.out, mem_of(w.ok())) << std::hex << k.s1 << " " << k.s2;
  }
}

// D8.6.6: FEAT_S2FWB.
TEST(Attributes, ForcedWriteBack) {
  const Combined rows[] = {
      {0xff, 0, 0x00}, {0xff, 1, 0x04}, {0xff, 3, 0x0c}, {0x0c, 1, 0x04}, {0x00, 3, 0x00},
      {0x04, 2, 0x04}, {0xff, 5, 0x44}, {0xbb, 5, 0x44}, {0x04, 5, 0x04}, {0xff, 6, 0xff},
      {0x44, 6, 0xff}, {0x00, 6, 0xff}, {0xee, 6, 0xee}, {0xaa, 6, 0xee}, {0xff, 7, 0xff},
      {0x44, 7, 0x44}, {0x08, 7, 0x08}, {0xaa, 7, 0xaa}, {0x77, 6, 0x77},
  };
  World w;
  w.ste.set(IMS_STE_S2FWB, 1);
  w.update_ste();
  for (const Combined &k : rows) {
    w.cd.set(IMS_CD_MAIR0, k.s1);
    w.update_cd();
    w.store(w.leaf2(), (w.load(w.leaf2()) & ~(uint64_t(15) << 2)) | uint64_t(k.s2) << 2);
    EXPECT_EQ(k.out, mem_of(w.ok())) << std::hex << k.s1 << " " << k.s2;
  }
  // Where there is none the bit is ignored.
  Config c;
  c.no_caches();
  c.fwb = 0;
  World plain(nested4k(), c);
  plain.ste.set(IMS_STE_S2FWB, 1);
  plain.update_ste();
  plain.store(plain.leaf2(), (plain.load(plain.leaf2()) & ~(uint64_t(15) << 2)) | uint64_t(6) << 2);
  EXPECT_EQ(0x4b, mem_of(plain.ok())); // inner write-through, outer non-cacheable
}

// D8.6.7: outer before inner before none.
TEST(Attributes, Shareability) {
  World w;
  const unsigned out[4][4] = {{0, 0, 2, 3}, {}, {2, 0, 2, 2}, {3, 0, 2, 3}};
  for (unsigned s1 : {0u, 2u, 3u})
    for (unsigned s2 : {0u, 2u, 3u}) {
      w.store(w.leaf1(), (w.load(w.leaf1()) & ~(uint64_t(3) << 8)) | s1 << 8);
      w.store(w.leaf2(), (w.load(w.leaf2()) & ~(uint64_t(3) << 8)) | s2 << 8);
      EXPECT_EQ(out[s1][s2], sh_of(w.ok())) << s1 << " " << s2;
    }
  w.store(w.leaf2(), (w.load(w.leaf2()) & ~(uint64_t(3) << 8 | uint64_t(15) << 2)) | 1 << 2);
  EXPECT_EQ(2u, sh_of(w.ok())) << "Device";
}

// Stage 2 alone combines with what comes in, after the STE's overrides (13.4).
TEST(Attributes, Stage2AloneCombinesWithTheInput) {
  struct {
    unsigned mtcfg, memattr, shcfg, s2, sh2, mem, sh;
  } const rows[] = {
      {0, 0, 1, 15, 3, 0xff, 3}, {0, 0, 1, 15, 2, 0xff, 2},  {0, 0, 1, 15, 0, 0xff, 3}, // sent as inner shareable
      {0, 0, 0, 15, 0, 0xff, 0}, {0, 0, 0, 15, 3, 0xff, 3},  {0, 0, 2, 15, 0, 0xff, 2},
      {0, 0, 1, 5, 0, 0x44, 2},  {0, 0, 0, 1, 0, 0x04, 2},   {1, 1, 0, 15, 0, 0x04, 2},
      {1, 5, 0, 15, 0, 0x44, 2}, {1, 10, 0, 15, 0, 0xbb, 0}, {1, 0, 0, 3, 0, 0x00, 2},
  };
  for (const auto &k : rows)
    for (uint32_t entries : {0u, 64u}) {
      Config c;
      c.no_caches();
      c.iotlb_entries = entries;
      World w(s2_only(), c);
      w.ste.set(IMS_STE_MTCFG, k.mtcfg).set(IMS_STE_MEMATTR, k.memattr).set(IMS_STE_SHCFG, k.shcfg);
      w.update_ste();
      w.store(w.leaf2(), (w.load(w.leaf2()) & ~(uint64_t(3) << 8 | uint64_t(15) << 2)) | k.sh2 << 8 | k.s2 << 2);
      for (int again = 0; again < 2; again++) {
        ims_result r = w.ok();
        EXPECT_EQ(k.mem, mem_of(r)) << k.memattr << " over " << k.s2;
        EXPECT_EQ(k.sh, sh_of(r)) << k.shcfg << " over " << k.sh2;
      }
    }
}

// ---- Regimes

// EL2: one table, whose addresses begin with zeros; AP[1] and PXN say nothing; no ASIDs.
TEST(Regimes, El2) {
  World w(s1_only());
  w.ste.set(IMS_STE_STRW, 2);
  w.update_ste();
  w.ok();
  w.clear(w.leaf1(), kS1User);
  w.ok(R);
  w.ok(W);
  w.set(w.leaf1(), kPxn);
  w.ok(X);
  w.ok(X | PRIV);         // though writable
  w.set(w.leaf1(), kUxn); // XN
  w.fails(w.ask(X | PRIV), fault(0x13, w.ask(X | PRIV)));
  w.clear(w.leaf1(), kUxn);
  w.set(w.leaf1(), kS1ReadOnly);
  w.fails(w.ask(W | PRIV), fault(0x13, w.ask(W | PRIV)));
  w.clear(w.leaf1(), kS1ReadOnly);
  w.cd.set(IMS_CD_PAN, 1).set(IMS_CD_E0PD0, 1).set(IMS_CD_EPD0, 1); // for regimes with EL0
  w.update_cd();
  w.ok(R);
  w.ok(R | PRIV);
  w.cd.set(IMS_CD_WXN, 1);
  w.update_cd();
  w.fails(w.ask(X), fault(0x13, w.ask(X)));
  // No upper half, whatever EPD1 says.
  uint64_t high = ~(bit(48) - 1);
  w.cd.set(IMS_CD_EPD1, 0);
  w.update_cd();
  w.fails(w.ask(R, high), fault(0x10, w.ask(R, high)));
  w.fails(w.ask(R, bit(55) | w.va), fault(0x10, w.ask(R, bit(55) | w.va)));
  w.cd.set(IMS_CD_TBI0, 1);
  w.update_cd();
  EXPECT_EQ(w.out, w.request(w.ask(R, w.va | uint64_t(0x9b) << 56)).output);
  w.fails(w.ask(R, bit(55) | w.va), fault(0x10, w.ask(R, bit(55) | w.va)));
}

// EL2 with E2H is like EL1: two halves, privilege, ASIDs.
TEST(Regimes, El2E2h) {
  Plan p = s1_only();
  p.cr2 = 1;
  World w(p);
  w.ste.set(IMS_STE_STRW, 2);
  w.update_ste();
  Tree top(w, p.s1);
  top.describe(w.cd, 1);
  w.update_cd();
  uint64_t high = ~(bit(48) - 1);
  top.map(high, 0x110000, kS1All);
  w.ok();
  EXPECT_EQ(0x110000u, w.request(w.ask(R, high)).output);
  w.clear(w.leaf1(), kS1User);
  w.fails(w.ask(), fault(0x13, w.ask()));
  w.ok(R | PRIV);
  w.cd.set(IMS_CD_E0PD1, 1);
  w.update_cd();
  EXPECT_EQ(0x10, w.request(w.ask(R, high)).fault);
  EXPECT_EQ(0x110000u, w.request(w.ask(R | PRIV, high)).output);
}

// STRW counts with stage 1 alone and where there is an EL2.
TEST(Regimes, StrwIgnored) {
  World nested;
  nested.ste.set(IMS_STE_STRW, 2);
  nested.update_ste();
  nested.clear(nested.leaf1(), kS1User);
  nested.fails(nested.ask(), fault(0x13, nested.ask()));
  Config c;
  c.no_caches();
  c.hyp = 0;
  World w(s1_only(), c);
  w.ste.set(IMS_STE_STRW, 3);
  w.update_ste();
  w.clear(w.leaf1(), kS1User);
  w.fails(w.ask(), fault(0x13, w.ask()));
}

// ---- Tags of what is cached

// Two streams of stage 1, which map the same address to different pages.
struct TwoStreams : Machine {
  TwoStreams() : Machine(Config()), one(*this, Shape()), two(*this, Shape()) {
    start();
    compare_memory = true;
  }
  Tree one, two;
  static constexpr uint64_t kVa = 0x123456789000;
  void stream(uint32_t sid, Tree &t, unsigned asid, unsigned vmid, bool aset = false, unsigned strw = 0) {
    Ste e(kS1);
    make_cd_table(e);
    e.set(IMS_STE_S2VMID, vmid).set(IMS_STE_STRW, strw);
    set_ste(sid, e);
    Cd c(asid);
    t.describe(c);
    c.set(IMS_CD_ASET, aset);
    set_cd(sid, c);
  }
  uint64_t out(uint32_t sid) { return request(dma(sid, kVa)).output; }
};

TEST(Tags, EqualTagsShareOtherTagsDoNot) {
  struct {
    const char *what;
    unsigned asid, vmid, strw;
    bool global, aset, shared;
  } const rows[] = {
      {"same VMID and ASID", 1, 0, 0, false, false, true},
      {"another ASID", 2, 0, 0, false, false, false},
      {"another VMID, stage 1 alone", 1, 5, 0, false, false, false},
      {"EL2", 1, 0, 2, false, false, false},
      {"global, another ASID", 2, 0, 0, true, false, true},
      {"global, another VMID", 2, 5, 0, true, false, false},
      {"global, another ASET", 2, 0, 0, true, true, false},
      {"not global, another ASET", 1, 0, 0, false, true, true},
      {"global, EL2", 2, 0, 2, true, false, false},
  };
  for (const auto &k : rows) {
    TwoStreams m;
    m.one.map(TwoStreams::kVa, 0x100000, k.global ? kS1Global : kS1All);
    m.two.map(TwoStreams::kVa, 0x200000, k.global ? kS1Global : kS1All);
    m.stream(1, m.one, 1, 0);
    m.stream(2, m.two, k.asid, k.vmid, k.aset, k.strw);
    EXPECT_EQ(0x100000u, m.out(1)) << k.what;
    EXPECT_EQ(k.shared ? 0x100000u : 0x200000u, m.out(2)) << k.what; // software must not, but may see it
  }
}

// A stage-2 translation is of its VMID, whichever stream filled it.
TEST(Tags, Stage2ByVmid) {
  for (unsigned vmid : {3u, 4u}) {
    World w(s2_only(), Config());
    w.ok();
    Tree other(w, w.plan.s2);
    other.map(w.ipa & ~uint64_t(0xfff), 0x100000, kS2All);
    Ste e(kS2);
    other.describe(e);
    e.set(IMS_STE_S2VMID, vmid);
    w.set_ste(9, e);
    EXPECT_EQ(vmid == 3 ? w.out : 0x100000 | (w.ipa & 0xfff), w.request(dma(9, w.ipa)).output);
  }
}

// Rights are judged on a hit too; what lacks is looked up in the tables.
TEST(Tags, RightsOnAHit) {
  World w(nested4k(), Config());
  w.set(w.leaf1(), kS1ReadOnly);
  w.ok();
  EXPECT_EQ(0u, w.ok().refs);
  w.fails(w.ask(W), fault(0x13, w.ask(W)));
  w.clear(w.leaf1(), kS1ReadOnly);
  w.ok(W); // no invalidation is needed for a right that was missing in this model's default
  EXPECT_EQ(0u, w.ok(R | PRIV).refs) << "the rights of both privileges are kept";
}

// Entries with AF = 0 are never cached.
TEST(Tags, FaultsAreNotCached) {
  World w(nested4k(), Config());
  w.clear(w.leaf1(), kS1Af);
  w.fails(w.ask(), fault(0x12, w.ask()));
  w.set(w.leaf1(), kS1Af);
  w.ok();
  World hole(nested4k(), Config());
  uint64_t leaf = hole.load(hole.leaf2());
  hole.store(hole.leaf2(), 0);
  hole.fails(hole.ask(), fault(0x10, hole.ask()).stage2(kIn, hole.ipa));
  hole.store(hole.leaf2(), leaf);
  hole.ok();
}

// ---- AArch32 long descriptors

Config aarch32() {
  Config c;
  c.no_caches();
  c.ttf = 3;
  return c;
}

// TTBCR: which table translates which of the 32 bits (G5.5).
TEST(AArch32, Halves) {
  struct {
    unsigned t0sz, t1sz;
    uint64_t va;
    int side; // 0, 1; -1: none
  } const rows[] = {
      {0, 0, 0x00005000, 0},  {0, 0, 0xfffff000, 0}, {1, 0, 0x7ffff000, 0},  {1, 0, 0x80000000, 1},
      {1, 1, 0x7ffff000, 0},  {1, 1, 0x80000000, 1}, {2, 1, 0x3ffff000, 0},  {2, 1, 0x40000000, -1},
      {2, 1, 0x80000000, 1},  {3, 3, 0x1ffff000, 0}, {3, 3, 0x20000000, -1}, {3, 3, 0xdffff000, -1},
      {3, 3, 0xe0000000, 1},  {0, 2, 0xbffff000, 0}, {0, 2, 0xc0000000, 1},  {7, 7, 0x01fff000, 0},
      {7, 7, 0x02000000, -1}, {7, 7, 0xfe000000, 1}, {3, 0, 0x20000000, 1},  {3, 0, 0xffff0000, 1},
  };
  for (const auto &k : rows) {
    SCOPED_TRACE(std::to_string(k.t0sz) + " " + std::to_string(k.t1sz) + " " + std::to_string(k.va));
    Machine m(aarch32());
    m.start();
    Shape low, high;
    low.in_bits = 32 - k.t0sz, high.in_bits = 32 - k.t1sz;
    Tree t0(m, low), t1(m, high);
    t0.map(k.va, 0x100000, kS1All);
    t1.map(k.va, 0x200000, kS1All);
    Ste e(kS1);
    m.make_cd_table(e);
    m.set_ste(kStream, e);
    Cd c;
    c.set(IMS_CD_AA64, 0).set(IMS_CD_T0SZ, k.t0sz).set(IMS_CD_T1SZ, k.t1sz);
    c.set(IMS_CD_EPD0, 0).set(IMS_CD_EPD1, 0).at(IMS_CD_TTB0, t0.root).at(IMS_CD_TTB1, t1.root);
    m.set_cd(kStream, c);
    ims_result r = m.request(dma(kStream, k.va | 0x321));
    if (k.side < 0) {
      EXPECT_EQ(0x10, r.fault);
    } else {
      EXPECT_EQ(IMS_STATUS_OK, r.status) << text(r);
      EXPECT_EQ(k.side ? 0x200321u : 0x100321u, r.output);
      unsigned bits = 32 - (k.side ? k.t1sz : k.t0sz);
      EXPECT_EQ(2u + (bits > 30 ? 3 : 2), r.refs);
    }
    // 64-bit addresses are outside.
    EXPECT_EQ(0x10, m.request(dma(kStream, bit(32) | k.va)).fault);
  }
}

// 40 bits come out, whatever IPS says; TBI and the AArch64 fields do not count.
TEST(AArch32, Outputs) {
  Plan p = s1_only();
  p.s1.in_bits = 32;
  World w(p, aarch32());
  w.cd.set(IMS_CD_AA64, 0).set(IMS_CD_T0SZ, 0).set(IMS_CD_IPS, 0).set(IMS_CD_TG0, 3).set(IMS_CD_HA, 1);
  w.update_cd();
  w.ok();
  w.s1.map(w.va & ~uint64_t(0xfff), bit(39), kS1All);
  EXPECT_EQ(bit(39) | (w.va & 0xfff), w.request(w.ask()).output);
  w.clear(w.leaf1(), kS1Af);
  w.fails(w.ask(), fault(0x12, w.ask())); // no hardware updates
}

// Nested: AArch32 over AArch64, and over AArch32 with 40-bit IPAs.
TEST(AArch32, Nested) {
  for (unsigned under : {0u, 1u}) {
    Plan p = nested4k();
    p.s1.in_bits = 32, p.s2.in_bits = 40;
    World w(p, aarch32());
    w.cd.set(IMS_CD_AA64, 0).set(IMS_CD_T0SZ, 0);
    w.update_cd();
    if (!under)
      w.ste.set(IMS_STE_S2AA64, 0).set(IMS_STE_S2T0SZ, 8).set(IMS_STE_S2SL0, 1), w.update_ste(); // 32 + 8
    EXPECT_EQ(2u + (2 + 3) * 4 + 3, w.ok().refs);
    w.clear(w.leaf2(), 1);
    w.fails(w.ask(), fault(0x10, w.ask()).stage2(kIn, w.ipa));
  }
}

TEST(AArch32, Stage2Alone) {
  Plan p = s2_only();
  p.s2.in_bits = 40;
  World w(p, aarch32());
  w.ste.set(IMS_STE_S2AA64, 0).set(IMS_STE_S2T0SZ, 8).set(IMS_STE_S2SL0, 1);
  w.update_ste();
  EXPECT_EQ(1u + 3, w.ok().refs);
  ims_request r = dma(kStream, bit(40));
  ims_result got = w.request(r);
  EXPECT_EQ(0x10, got.fault);
  EXPECT_EQ((std::vector<Event>{fault(0x10, r).stage2(kIn, bit(40))}), w.events());
}

// Execution needs the right to read; UWXN keeps the privileged from executing what the unprivileged may write.
TEST(AArch32, Permissions) {
  Plan p = s1_only();
  p.s1.in_bits = 32;
  World w(p, aarch32());
  for (unsigned n = 0; n < 64; n++) {
    unsigned ap = n & 3;
    bool xn = n & 4, pxn = n & 8, wxn = n & 16, uwxn = n & 32;
    w.cd.set(IMS_CD_AA64, 0).set(IMS_CD_T0SZ, 0).set(IMS_CD_WXN, wxn).set(IMS_CD_UWXN, uwxn);
    w.update_cd();
    uint64_t page = w.load(w.leaf1()) & ~(kUxn | kPxn | kS1User | kS1ReadOnly);
    w.store(w.leaf1(), page | ap << 6 | (xn ? kUxn : 0) | (pxn ? kPxn : 0));
    bool ur = ap & 1, pw = !(ap & 2), uw = ur && pw;
    Rights user = {ur, uw, ur && !xn && !(wxn && uw)};
    Rights priv = {true, pw, !xn && !pxn && !(wxn && pw) && !(uwxn && uw)};
    expect_rights(w, user, false, "case " + std::to_string(n));
    expect_rights(w, priv, true, "case " + std::to_string(n));
  }
}

} // namespace
} // namespace smmu
