// SPDX-License-Identifier: Apache-2.0
// The order of the checks: two defects at once, and the event of the one that is met first. The lists below stand in the
// order of Arm IHI 0070 7.3.22 and of DDI 0487 D8.15.4; each pair in them is tried.
#include "tests/iommu/smmuv3/world.h"

#include <gtest/gtest.h>

namespace smmu {
namespace {

constexpr unsigned R = IMS_ACC_R, W = IMS_ACC_W, X = IMS_ACC_X;
uint64_t bit(unsigned n) { return uint64_t(1) << n; }

// A world whose places are looked up before anything is broken.
struct Place {
  uint64_t l1std, ste, l1cd, cd;       // hpa
  std::vector<World::Target> target;   // L1CD, CD, tables of level 0 to 3, page
  std::vector<uint64_t> leaf2, table2; // hpa of the stage-2 descriptors of each target, level 3 and 2
  uint64_t s1[4];                      // hpa of the stage-1 descriptors
};

struct Defect {
  std::string what;
  std::function<void(World &, const Place &)> break_it;
  std::function<Event(World &, const Place &)> expected;
};

Event of(unsigned id, World &w) { return event(id, w.ask()); }
Event no_ssv(unsigned id, World &w, unsigned ssid) { return event(id, dma(kStream, w.va)).bits(12, ssid); }
Event in1(unsigned id, World &w) { return fault(id, w.ask()); }
Event in2(unsigned id, World &w, const World::Target &t) {
  Event e = fault(id, w.ask()).stage2(t.what, t.ipa);
  return id == 0x13 && t.what == kTt ? e.bits(108, 1) : e;
}
Event eabt(World &w, Class what, bool s2, uint64_t fetched) {
  Event e = fault(0x0b, w.ask());
  e.word[1] = (e.word[1] & ~(uint64_t(3) << 40)) | uint64_t(what) << 40 | uint64_t(s2) << 39;
  return e.fetched(fetched);
}

constexpr uint64_t kBeyond = 1ull << 44; // S2PS and IPS are 44 bits

// What can go wrong with one walk of stage 2, in order. The page alone has tables of its own (World::move).
void stage2_defects(std::vector<Defect> &list, size_t i, const std::string &name) {
  auto add = [&](const char *what, unsigned id, std::function<void(World &, const Place &)> break_it) {
    list.push_back(
        {name + ": " + what, break_it, [i, id](World &w, const Place &p) { return in2(id, w, p.target[i]); }});
  };
  if (name == "page") {
    list.push_back({name + ": table of level 3 unreadable",
                    [i](World &w, const Place &p) { w.store(p.table2[i], kAbsent | (w.load(p.table2[i]) & 3)); },
                    [i](World &w, const Place &p) { return eabt(w, kIn, true, kAbsent | (p.leaf2[i] & 0xfff)); }});
  }
  add("hole", 0x10, [i](World &w, const Place &p) { w.clear(p.leaf2[i], 1); });
  add("beyond S2PS", 0x11, [i](World &w, const Place &p) { w.set(p.leaf2[i], kBeyond); });
  add("AF = 0", 0x12, [i](World &w, const Place &p) { w.clear(p.leaf2[i], kS2Af); });
  add("not readable", 0x13, [i](World &w, const Place &p) { w.clear(p.leaf2[i], kS2Read); });
}

std::vector<Defect> nested_defects() {
  std::vector<Defect> list;
  auto add = [&](const char *what, std::function<void(World &, const Place &)> break_it,
                 std::function<Event(World &, const Place &)> expected) {
    list.push_back({what, break_it, expected});
  };
  add(
      "level-1 descriptor of the stream table unreadable",
      [](World &w, const Place &) { w.off(IMS_SMMUV3_STRTAB_BASE, kAbsent); },
      [](World &w, const Place &) { return of(0x03, w).fetched(kAbsent + 8 * (kStream >> 6)); });
  add(
      "Span 0", [](World &w, const Place &p) { w.clear(p.l1std, 31); },
      [](World &w, const Place &) { return of(0x02, w); });
  add(
      "STE unreadable", [](World &w, const Place &p) { w.store(p.l1std, kAbsent | (w.load(p.l1std) & 31)); },
      [](World &w, const Place &) { return of(0x03, w).fetched(kAbsent + 64 * (kStream & 63)); });
  add(
      "STE.V = 0", [](World &w, const Place &p) { w.clear(p.ste, 1); },
      [](World &w, const Place &) { return of(0x04, w); });
  add(
      "STE illegal", [](World &w, const Place &p) { w.set(p.ste + 16, uint64_t(3) << 46); }, // S2TG
      [](World &w, const Place &) { return of(0x04, w); });
  add(
      "SubstreamID beyond S1CDMax",
      [](World &w, const Place &p) { w.store(p.ste, (w.load(p.ste) & ~(uint64_t(31) << 59)) | uint64_t(6) << 59); },
      [](World &w, const Place &) { return no_ssv(0x08, w, kSub); });
  stage2_defects(list, 0, "L1CD");
  add(
      "L1CD unreadable",
      [](World &w, const Place &p) { w.store(p.leaf2[0], kAbsent | (w.load(p.leaf2[0]) & (0xfff | kBeyond))); },
      [](World &w, const Place &p) { return of(0x09, w).fetched(kAbsent | (p.target[0].ipa & 0xfff)); });
  add(
      "L1CD.V = 0", [](World &w, const Place &p) { w.clear(p.l1cd, 1); },
      [](World &w, const Place &) { return no_ssv(0x08, w, kSub); });
  stage2_defects(list, 1, "CD");
  add(
      "CD unreadable",
      [](World &w, const Place &p) { w.store(p.leaf2[1], kAbsent | (w.load(p.leaf2[1]) & (0xfff | kBeyond))); },
      [](World &w, const Place &p) { return of(0x09, w).fetched(kAbsent | (p.target[1].ipa & 0xfff)); });
  add(
      "CD.V = 0", [](World &w, const Place &p) { w.clear(p.cd, bit(31)); },
      [](World &w, const Place &) { return of(0x0a, w); });
  add(
      "CD illegal", [](World &w, const Place &p) { w.set(p.cd, bit(44)); }, // S, which STE.S1STALLD forbids
      [](World &w, const Place &) { return of(0x0a, w); });
  add(
      "EPD0", [](World &w, const Place &p) { w.set(p.cd, bit(14)); },
      [](World &w, const Place &) { return in1(0x10, w); });
  for (size_t level = 0; level < 4; level++) {
    size_t i = 2 + level;
    std::string name = "table of level " + std::to_string(level);
    stage2_defects(list, i, name);
    list.push_back(
        {name + ": unreadable",
         [i](World &w, const Place &p) { w.store(p.leaf2[i], kAbsent | (w.load(p.leaf2[i]) & (0xfff | kBeyond))); },
         [i](World &w, const Place &p) { return eabt(w, kTt, false, kAbsent | (p.target[i].ipa & 0xfff)); }});
    list.push_back({name + ": hole", [level](World &w, const Place &p) { w.clear(p.s1[level], 1); },
                    [](World &w, const Place &) { return in1(0x10, w); }});
    list.push_back({name + ": beyond IPS", [level](World &w, const Place &p) { w.set(p.s1[level], kBeyond); },
                    [](World &w, const Place &) { return in1(0x11, w); }});
  }
  add(
      "AF = 0", [](World &w, const Place &p) { w.clear(p.s1[3], kS1Af); },
      [](World &w, const Place &) { return in1(0x12, w); });
  add(
      "privileged page", [](World &w, const Place &p) { w.clear(p.s1[3], kS1User); },
      [](World &w, const Place &) { return in1(0x13, w); });
  stage2_defects(list, 6, "page");
  return list;
}

struct NestedOrder : World {
  static Plan plan_() {
    Plan p = nested4k();
    p.cr2 = 2;
    return p;
  }
  NestedOrder() : World(plan_()) {
    ste.set(IMS_STE_S2PS, 4).set(IMS_STE_S1STALLD, 1);
    update_ste();
    cd.set(IMS_CD_IPS, 4);
    update_cd();
    place.l1std = l1std_at(kStream), place.ste = ste_at(kStream);
    place.l1cd = cd_l1_at(kStream, kSub), place.cd = cd_hpa();
    place.target = targets();
    for (int level = 0; level < 4; level++)
      place.s1[level] = s1.at(va, level);
    // The page's tables of stage 2 apart from the others': 2 MB on would do, and it lies at 32 MB.
    for (const Target &t : place.target)
      place.leaf2.push_back(s2.at(t.ipa)), place.table2.push_back(s2.at(t.ipa, 2));
  }
  Place place;
};

TEST(Order, NestedTranslation) {
  const std::vector<Defect> list = nested_defects();
  EXPECT_EQ(55u, list.size());
  for (size_t i = 0; i < list.size(); i++)
    for (size_t j = i; j < list.size(); j++) {
      NestedOrder w;
      SCOPED_TRACE(list[i].what + (i == j ? "" : ", then " + list[j].what));
      if (i != j)
        list[j].break_it(w, w.place);
      list[i].break_it(w, w.place);
      w.fails(w.ask(), list[i].expected(w, w.place));
    }
}

// All at once, taken away one by one.
TEST(Order, NestedTranslationAllAtOnce) {
  const std::vector<Defect> list = nested_defects();
  for (size_t i = 0; i < list.size(); i++) {
    NestedOrder w;
    SCOPED_TRACE(list[i].what);
    for (size_t j = list.size(); j-- > i;)
      list[j].break_it(w, w.place);
    w.fails(w.ask(), list[i].expected(w, w.place));
  }
}

// One stage, in the words of the two formats.
struct OneStage {
  const char *what;
  unsigned id;
  void (*break_it)(World &);
  bool stage1 = true, stage2 = true;
};

TEST(Order, OneStageAlone) {
  const OneStage list[] = {
      {"address beyond the range", 0x10,
       [](World &w) {
         if (w.has_s1())
           w.cd.set(IMS_CD_T0SZ, 39), w.update_cd();
         else
           w.ste.set(IMS_STE_S2T0SZ, 39).set(IMS_STE_S2SL0, 0), w.update_ste(); // 25 bits
       }},
      {"level 1 a hole", 0x10, [](World &w) { w.clear(w.has_s1() ? w.s1.at(w.va, 1) : w.s2.at(w.ipa, 1), 1); }},
      {"level 1 too large", 0x11, [](World &w) { w.set(w.has_s1() ? w.s1.at(w.va, 1) : w.s2.at(w.ipa, 1), kBeyond); }},
      {"level 3 a hole", 0x10, [](World &w) { w.clear(w.has_s1() ? w.leaf1() : w.leaf2(), 1); }},
      {"page too large", 0x11, [](World &w) { w.set(w.has_s1() ? w.leaf1() : w.leaf2(), kBeyond); }},
      {"AF = 0", 0x12, [](World &w) { w.clear(w.has_s1() ? w.leaf1() : w.leaf2(), kS1Af); }},
      {"no permission", 0x13, [](World &w) { w.clear(w.has_s1() ? w.leaf1() : w.leaf2(), kS1User); }}, // or S2AP read
  };
  for (bool first : {true, false})
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
      for (size_t j = i; j < sizeof list / sizeof list[0]; j++) {
        World w(first ? s1_only() : s2_only());
        SCOPED_TRACE(std::string(list[i].what) + ", then " + list[j].what);
        w.ste.set(IMS_STE_S2PS, 4);
        w.update_ste();
        if (first)
          w.cd.set(IMS_CD_IPS, 4), w.update_cd();
        if (i != j)
          list[j].break_it(w);
        list[i].break_it(w);
        Event e = fault(list[i].id, w.ask());
        w.fails(w.ask(), first ? e : e.stage2(kIn, w.ipa));
      }
}

// A StreamID beyond the table is told before the table is read.
TEST(Order, StreamIdBeforeTheTable) {
  Plan p = nested4k();
  p.cr2 = 2;
  World w(p);
  w.off(IMS_SMMUV3_STRTAB_BASE, kAbsent);
  ims_request r = dma(0x100, 0x5000);
  EXPECT_EQ(0u, w.fails(r, event(0x02, r)).refs);
}

// C_BAD_SUBSTREAMID before F_STREAM_DISABLED, both before anything is read of the CD table.
TEST(Order, SubstreamIds) {
  World w;
  w.ste.set(IMS_STE_S1DSS, 2).set(IMS_STE_S1CDMAX, 0).at(IMS_STE_S1CONTEXTPTR, 0);
  w.update_ste();
  ims_request r = dma(kStream, 0, w.va, R);
  w.fails(r, event(0x08, dma(kStream, 0)));
  w.ste.set(IMS_STE_S1CDMAX, 8);
  w.update_ste();
  EXPECT_EQ(2u, w.fails(r, event(0x06, dma(kStream, 0))).refs);
  r = dma(kStream, 0x100, w.va, R);
  EXPECT_EQ(2u, w.fails(r, event(0x08, dma(kStream, 0)).bits(12, 0x100)).refs);
}

// An address that is too large is told after the SubstreamID, and a CD that is illegal before the address is looked at.
TEST(Order, AddressesAfterTheConfiguration) {
  World w(s1_only());
  ims_request r = dma(kStream, ~uint64_t(0xfff));
  w.cd.set(IMS_CD_TG0, 3);
  w.update_cd();
  w.fails(r, event(0x0a, r));
  w.ste.set(IMS_STE_CONFIG, kBypass);
  w.update_ste();
  r = dma(kStream, 1, ~uint64_t(0xfff), R);
  w.fails(r, event(0x08, dma(kStream, 0)).bits(12, 1));
}

// An update of a stage-1 descriptor comes after the permissions of its own stage: what fails stays as it is.
TEST(Order, UpdatesAfterTheChecks) {
  Plan p = nested4k();
  p.bits1 = (kS1All & ~kS1Af) | kS1ReadOnly | bit(51);
  World w(p);
  w.cd.set(IMS_CD_HA, 1).set(IMS_CD_HD, 1);
  w.update_cd();
  uint64_t at = w.leaf1(), old = w.load(at);
  w.clear(at, kS1User);
  w.fails(w.ask(W), fault(0x13, w.ask(W)));
  EXPECT_EQ(old & ~kS1User, w.load(at));
  w.store(at, (old | bit(54)) & ~bit(1)); // a hole
  w.fails(w.ask(W), fault(0x10, w.ask(W)));
  EXPECT_EQ((old | bit(54)) & ~bit(1), w.load(at));
  w.store(at, old | bit(54)); // UXN
  w.fails(w.ask(X), fault(0x13, w.ask(X)));
  EXPECT_EQ(old | bit(54), w.load(at));
  // The update, which stage 2 does not permit, against a hole where the page is: the walk meets the update first.
  std::vector<World::Target> targets = w.targets();
  w.clear(w.s2.at(targets[5].ipa), kS2Write);
  w.clear(w.leaf2(), 1);
  w.fails(w.ask(W), fault(0x13, w.ask(W)).stage2(kTt, targets[5].ipa));
}

} // namespace
} // namespace smmu
