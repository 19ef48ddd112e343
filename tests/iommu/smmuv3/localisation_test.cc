// SPDX-License-Identifier: Apache-2.0
// Where stage 2 fails a nested translation, and how the record tells: of the c + n + 1 walks of stage 2 each in turn is
// broken, in each way, for every granule. A fault while a CD or its table is found has CLASS = CD, one over a stage-1
// table CLASS = TT, one over the result CLASS = IN; the IPA is that of the thing sought, the input address always the
// transaction's. Arm IHI 0070 7.3.12 to 7.3.16, 3.12, 3.13.5.
#include "tests/iommu/smmuv3/world.h"

#include <gtest/gtest.h>

namespace smmu {
namespace {

enum : unsigned { kEabt = 0x0b, kTranslation = 0x10, kAddrSize = 0x11, kAccess = 0x12, kPermission = 0x13 };
constexpr unsigned R = IMS_ACC_R, W = IMS_ACC_W, X = IMS_ACC_X, PRIV = IMS_ACC_PRIV;
constexpr uint64_t kDbm = uint64_t(1) << 51;

// {stage 1, stage 2}: every granule over every other, full sizes.
Plan plan(unsigned g1, unsigned g2) {
  Plan p = nested4k();
  p.s1.granule = static_cast<Granule>(g1), p.s2.granule = static_cast<Granule>(g2);
  return p;
}

struct Localisation : ::testing::TestWithParam<std::tuple<unsigned, unsigned>> {
  Plan shape() const { return plan(std::get<0>(GetParam()), std::get<1>(GetParam())); }

  // Each target in a world of its own: `break_it` breaks the leaf of stage 2 that maps it.
  void each(const std::function<void(World &, const World::Target &)> &judge) {
    size_t count = World(shape()).targets().size();
    ASSERT_EQ(std::get<0>(GetParam()) == k64K ? 6u : 7u, count); // c + n + 1
    for (size_t i = 0; i < count; i++) {
      World w(shape());
      World::Target t = w.targets()[i];
      SCOPED_TRACE(t.name);
      judge(w, t);
    }
  }
};

Event expected(const World &w, unsigned id, const World::Target &t, unsigned access = R) {
  Event e = fault(id, w.ask(access)).stage2(t.what, t.ipa);
  if (id == kPermission && t.what == kTt)
    e.bits(108, 1); // TTRnW: the descriptor was read
  return e;
}

void expect_place(const ims_result &r, const World::Target &t) {
  EXPECT_EQ(2, r.walk.stage);
  EXPECT_EQ(t.ipa, r.walk.addr);
  EXPECT_EQ(t.what == kTt ? 4 - t.level : 0, r.walk.s1_level) << "counted from the last";
}

TEST_P(Localisation, HoleInTheLastLevel) {
  each([](World &w, const World::Target &t) {
    for (unsigned access : {R, W, X, R | PRIV}) {
      uint64_t at = w.s2.at(t.ipa), old = w.load(at);
      w.store(at, 0);
      expect_place(w.fails(w.ask(access), expected(w, kTranslation, t, access)), t);
      w.store(at, old & ~uint64_t(2)); // a block, which level 3 has not
      w.fails(w.ask(access), expected(w, kTranslation, t, access));
      w.store(at, old);
    }
    w.ok();
  });
}

// And at every level above: each walk has tables of its own there, since its pointer leads to another part of the IPA
// space.
TEST_P(Localisation, HoleInAnyLevel) {
  for (int level = World(shape()).s2.start + 1; level <= 3; level++)
    for (size_t i = 0; i < World(shape()).targets().size(); i++) {
      World w(shape());
      World::Target t = w.targets()[i];
      SCOPED_TRACE(t.name + ", level " + std::to_string(level));
      w.move(static_cast<unsigned>(i));
      t.ipa += kAlias;
      EXPECT_EQ(IMS_STATUS_OK, w.request(w.ask()).status);
      w.store(w.s2.at(t.ipa, level), 0);
      ims_result r = w.fails(w.ask(), expected(w, kTranslation, t));
      expect_place(r, t);
      EXPECT_EQ(4 - level, r.walk.level);
    }
}

TEST_P(Localisation, IpaBeyondTheInputRange) {
  // Stage 2 takes 47 bits; every pointer is 48 bits wide.
  Plan p = shape();
  p.s2.in_bits = 47;
  size_t count = World(p).targets().size();
  for (size_t i = 0; i < count; i++) {
    World w(p);
    World::Target t = w.targets()[i];
    SCOPED_TRACE(t.name);
    w.move(static_cast<unsigned>(i));
    // On by another bit than move() did.
    constexpr uint64_t kBeyond = uint64_t(1) << 47;
    t.ipa += kAlias + kBeyond;
    if (i == 0) {
      w.store(w.ste_at(kStream), w.load(w.ste_at(kStream)) | kBeyond);
    } else if (t.name == "CD") {
      uint64_t l1 = w.cd_l1_at(kStream, kSub);
      w.store(l1, w.load(l1) | kBeyond);
    } else if (t.what == kTt && t.level == w.s1.start) {
      uint64_t at = w.cd_hpa();
      w.store(at + 8, w.load(at + 8) | kBeyond);
    } else {
      uint64_t at = t.what == kTt ? w.s1.at(w.va, t.level - 1) : w.leaf1();
      w.store(at, w.load(at) | kBeyond);
    }
    expect_place(w.fails(w.ask(), expected(w, kTranslation, t)), t);
  }
}

TEST_P(Localisation, AddressSize) {
  each([](World &w, const World::Target &t) {
    w.ste.set(IMS_STE_S2PS, 2); // 40 bits
    w.update_ste();
    w.ok();
    w.set(w.s2.at(t.ipa), uint64_t(1) << 40);
    expect_place(w.fails(w.ask(), expected(w, kAddrSize, t)), t);
  });
}

TEST_P(Localisation, AddressSizeOfATable) {
  for (int level = World(shape()).s2.start; level < 3; level++)
    for (size_t i = 0; i < World(shape()).targets().size(); i++) {
      World w(shape());
      World::Target t = w.targets()[i];
      SCOPED_TRACE(t.name + ", level " + std::to_string(level));
      w.move(static_cast<unsigned>(i));
      t.ipa += kAlias;
      w.ste.set(IMS_STE_S2PS, 2);
      w.update_ste();
      EXPECT_EQ(IMS_STATUS_OK, w.request(w.ask()).status);
      w.set(w.s2.at(t.ipa, level), uint64_t(1) << 40);
      ims_result r = w.fails(w.ask(), expected(w, kAddrSize, t));
      expect_place(r, t);
      EXPECT_EQ(4 - level, r.walk.level);
    }
}

TEST_P(Localisation, AccessFlag) {
  each([](World &w, const World::Target &t) {
    w.clear(w.s2.at(t.ipa), kS2Af);
    expect_place(w.fails(w.ask(), expected(w, kAccess, t)), t);
    // No fault with AFFD, nor where hardware sets the flag; it is set then, and nowhere else.
    w.ste.set(IMS_STE_S2AFFD, 1);
    w.update_ste();
    w.ok();
    w.ste.set(IMS_STE_S2AFFD, 0).set(IMS_STE_S2HA, 1);
    w.update_ste();
    uint64_t old = w.load(w.s2.at(t.ipa));
    w.ok();
    EXPECT_EQ(1u, w.updates);
    EXPECT_EQ(old | kS2Af, w.load(w.s2.at(t.ipa)));
  });
}

TEST_P(Localisation, NoReadPermission) {
  each([](World &w, const World::Target &t) {
    w.clear(w.s2.at(t.ipa), kS2Read);
    expect_place(w.fails(w.ask(), expected(w, kPermission, t)), t);
    // Reads of tables and CDs are reads, whatever the transaction: a write fails by the same walk, but for its own page.
    if (t.what == kIn) {
      w.ok(W);
      w.fails(w.ask(R | W), expected(w, kPermission, t, W).bits(99, 1)); // RnW since v3.1
    } else {
      w.fails(w.ask(W), expected(w, kPermission, t, W));
      w.fails(w.ask(R | W), expected(w, kPermission, t, W)); // 13.1.1: RnW = 0 of an atomic
    }
  });
}

TEST_P(Localisation, NoWriteAndNoExecutePermission) {
  each([](World &w, const World::Target &t) {
    uint64_t at = w.s2.at(t.ipa), old = w.load(at);
    w.store(at, old & ~kS2Write);
    if (t.what == kIn) {
      w.fails(w.ask(W), expected(w, kPermission, t, W));
      w.fails(w.ask(R | W), expected(w, kPermission, t, W));
    } else {
      w.ok(W);
    }
    w.store(at, old | uint64_t(2) << 53); // XN: tables and CDs are data
    if (t.what == kIn)
      w.fails(w.ask(X), expected(w, kPermission, t, X));
    else
      w.ok(X);
  });
}

// S2PTW: a table or CD in Device memory.
TEST_P(Localisation, DeviceMemoryUnderAProtectedWalk) {
  each([](World &w, const World::Target &t) {
    uint64_t at = w.s2.at(t.ipa);
    for (uint64_t device = 0; device < 4; device++) {
      w.store(at, (w.load(at) & ~(uint64_t(15) << 2)) | device << 2);
      w.ste.set(IMS_STE_S2PTW, 0);
      w.update_ste();
      w.ok();
      w.ste.set(IMS_STE_S2PTW, 1);
      w.update_ste();
      if (t.what == kIn)
        w.ok();
      else
        expect_place(w.fails(w.ask(), expected(w, kPermission, t)), t);
    }
    w.store(at, (w.load(at) & ~(uint64_t(15) << 2)) | uint64_t(5) << 2); // non-cacheable
    w.ok();
    // With FWB, MemAttr 0b0xx is Device.
    w.ste.set(IMS_STE_S2FWB, 1);
    w.update_ste();
    for (uint64_t memattr = 0; memattr < 8; memattr++) {
      w.store(at, (w.load(at) & ~(uint64_t(15) << 2)) | memattr << 2);
      if (t.what != kIn && memattr < 4)
        w.fails(w.ask(), expected(w, kPermission, t));
      else if (memattr != 4) // reserved
        w.ok();
    }
  });
}

// Hardware sets AF or the dirty state of a stage-1 descriptor in a page that stage 2 does not let it write: TTRnW = 0.
TEST_P(Localisation, UpdateOfATableThatIsReadOnly) {
  for (bool dirty : {false, true}) {
    Plan p = shape();
    p.bits1 = dirty ? kS1All | kS1ReadOnly | kDbm : kS1All & ~kS1Af;
    World w(p);
    w.cd.set(IMS_CD_HA, 1).set(IMS_CD_HD, 1);
    w.update_cd();
    std::vector<World::Target> targets = w.targets();
    World::Target last = targets[targets.size() - 2];
    w.clear(w.s2.at(last.ipa), kS2Write);
    unsigned access = dirty ? W : R;
    uint64_t before = w.load(w.leaf1());
    expect_place(w.fails(w.ask(access), fault(kPermission, w.ask(access)).stage2(kTt, last.ipa)), last);
    EXPECT_EQ(before, w.load(w.leaf1()));
    // Writable if clean: stage 2 with HD notes that the table's page is dirty, and both are updated.
    w.set(w.s2.at(last.ipa), kDbm);
    w.fails(w.ask(access), fault(kPermission, w.ask(access)).stage2(kTt, last.ipa));
    w.ste.set(IMS_STE_S2HA, 1).set(IMS_STE_S2HD, 1);
    w.update_ste();
    w.ok(access);
    EXPECT_EQ(2u, w.updates);
    EXPECT_EQ(kS2Write, w.load(w.s2.at(last.ipa)) & kS2Write);
    EXPECT_EQ(dirty ? before & ~kS1ReadOnly : before | kS1Af, w.load(w.leaf1()));
    w.ok(access);
    EXPECT_EQ(0u, w.updates);
  }
}

// HD at stage 2 never marks the page of a CD or of its table (3.13.3.1): no write goes there.
TEST_P(Localisation, CdFetchesSetTheAccessFlagOnly) {
  each([](World &w, const World::Target &t) {
    w.ste.set(IMS_STE_S2HA, 1).set(IMS_STE_S2HD, 1);
    w.update_ste();
    uint64_t at = w.s2.at(t.ipa), old = w.load(at) & ~(kS2Af | kS2Write);
    w.store(at, old | kDbm);
    w.ok(W);
    EXPECT_EQ(old | kDbm | kS2Af | (t.what == kIn ? kS2Write : 0), w.load(at));
  });
}

// F_WALK_EABT: the descriptor of stage 2 cannot be read. FetchAddr says which.
TEST_P(Localisation, UnreadableDescriptor) {
  for (int level = World(shape()).s2.start + 1; level <= 3; level++)
    for (size_t i = 0; i < World(shape()).targets().size(); i++) {
      World w(shape());
      World::Target t = w.targets()[i];
      SCOPED_TRACE(t.name + ", level " + std::to_string(level));
      w.move(static_cast<unsigned>(i));
      t.ipa += kAlias;
      uint64_t page = uint64_t(1) << (12 + 2 * w.plan.s2.granule), at = w.s2.at(t.ipa, level);
      w.store(w.s2.at(t.ipa, level - 1), kAbsent | 3);
      Event e = fault(kEabt, w.ask());
      e.word[1] = (e.word[1] & ~(uint64_t(3) << 40)) | uint64_t(t.what) << 40 | uint64_t(1) << 39;
      ims_result r = w.fails(w.ask(), e.fetched(kAbsent | (at & (page - 1))));
      EXPECT_EQ(2, r.walk.stage);
    }
}

// The top table of stage 2: then the first walk fails, that of the L1CD.
TEST_P(Localisation, UnreadableTopTable) {
  World w(shape());
  World::Target t = w.targets()[0];
  uint64_t offset = w.s2.at(t.ipa, w.s2.start) - w.s2.root;
  w.ste.at(IMS_STE_S2TTB, kAbsent);
  w.update_ste();
  Event e = fault(kEabt, w.ask());
  e.word[1] = (e.word[1] & ~(uint64_t(3) << 40)) | uint64_t(1) << 39;
  w.fails(w.ask(), e.fetched(kAbsent + offset));
}

// A stage-1 descriptor whose page stage 2 maps to nothing: S2 = 0, CLASS = TT, FetchAddr its PA.
TEST_P(Localisation, UnreadableStage1Descriptor) {
  each([](World &w, const World::Target &t) {
    uint64_t page = uint64_t(1) << (12 + 2 * w.plan.s2.granule);
    w.s2.map(t.ipa & ~(page - 1), kAbsent, kS2All);
    uint64_t fetched = kAbsent | (t.ipa & (page - 1));
    if (t.what == kIn) {
      EXPECT_EQ(kAbsent | (t.ipa & (page - 1)), w.request(w.ask()).output);
    } else if (t.what == kCd) {
      Event e = event(0x09, w.ask());
      w.fails(w.ask(), e.fetched(fetched));
    } else {
      Event e = fault(kEabt, w.ask());
      e.word[1] = (e.word[1] & ~(uint64_t(3) << 40)) | uint64_t(kTt) << 40;
      ims_result r = w.fails(w.ask(), e.fetched(fetched));
      EXPECT_EQ(1, r.walk.stage);
      EXPECT_EQ(4 - t.level, r.walk.level);
    }
  });
}

// The same with the record and the action that STE.S2S asks for.
TEST_P(Localisation, EachWalkCanStall) {
  each([](World &w, const World::Target &t) {
    w.ste.set(IMS_STE_S2S, 1).set(IMS_STE_S2R, 0);
    w.update_ste();
    uint64_t at = w.s2.at(t.ipa), old = w.load(at);
    w.store(at, 0);
    ims_result r = w.request(w.ask());
    EXPECT_EQ(IMS_STATUS_STALL, r.status);
    EXPECT_EQ(std::vector<Event>{expected(w, kTranslation, t).stalled(r.stag)}, w.events());
    w.store(at, old);
    w.submit(cmd::resume_retry(kStream, r.stag));
    ASSERT_EQ(1u, w.resumes.size());
    EXPECT_EQ(IMS_RESUME_RETRY, w.resumes[0].action);
    w.ok();
  });
}

// A single CD and a linear table: c = 1.
TEST_P(Localisation, OneCd) {
  for (bool substreams : {false, true}) {
    Plan p = shape();
    p.substreams = substreams, p.s1fmt = 0;
    for (size_t i = 0; i < World(p).targets().size(); i++) {
      World w(p);
      World::Target t = w.targets()[i];
      SCOPED_TRACE(t.name);
      w.store(w.s2.at(t.ipa), 0);
      w.fails(w.ask(), expected(w, kTranslation, t));
    }
  }
}

std::string name(const ::testing::TestParamInfo<std::tuple<unsigned, unsigned>> &i) {
  static const char *const granule[] = {"4K", "16K", "64K"};
  return std::string(granule[std::get<0>(i.param)]) + "over" + granule[std::get<1>(i.param)];
}

INSTANTIATE_TEST_SUITE_P(Granules, Localisation, ::testing::Combine(::testing::Range(0u, 3u), ::testing::Range(0u, 3u)),
                         name);

} // namespace
} // namespace smmu
