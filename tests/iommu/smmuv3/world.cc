// SPDX-License-Identifier: Apache-2.0
#include "tests/iommu/smmuv3/world.h"

#include <gtest/gtest.h>

namespace smmu {

namespace {

using u64 = uint64_t;

Plan complete(Plan p) {
  p.s1.stage2 = false, p.s1.in_guest = p.config == kNested;
  p.s2.stage2 = true, p.s2.in_guest = false;
  return p;
}

Machine &apart(Machine &m) {
  m.alloc(0, 16);
  m.guest_alloc(0, 16);
  return m;
}

u64 below(unsigned bits) { return (u64(1) << bits) - 1; }

} // namespace

Plan nested4k() {
  Plan p;
  p.stream_two_level = p.substreams = true;
  p.s1fmt = 1;
  return p;
}

Plan s1_only() {
  Plan p;
  p.config = kS1;
  return p;
}

Plan s2_only() {
  Plan p;
  p.config = kS2;
  return p;
}

World::World(const Plan &p, const Config &config)
    : Machine(config), plan(complete(p)), ste(p.config), s1(apart(*this), plan.s1), s2(apart(*this), plan.s2) {
  Layout l;
  l.two_level = plan.stream_two_level;
  put(IMS_SMMUV3_CR2, plan.cr2);
  start(l);
  // Different at each level of every granule; what the input width leaves of it.
  const u64 pattern = 0x000b6db6db6d5000;
  u64 size1 = s1.size(plan.leaf1), size2 = s2.size(plan.leaf2);
  u64 size = (has_s1() ? size1 : 0) > (has_s2() ? size2 : 0) ? size1 : size2;
  if (!has_s2())
    size = size1;
  u64 offset = 0x678;
  if (has_s1()) {
    va = pattern & below(plan.s1.in_bits) & ~(size1 - 1);
    ipa = size > kGuestTop ? 0 : kGuestTop;
    for (int level = s1.start + 1; level <= plan.leaf1; level++) {
      apart(*this);
      s1.table(va, level);
    }
    if (plan.upper)
      va |= ~below(plan.s1.in_bits);
    s1.map(va, has_s2() ? ipa : ipa & ~(size1 - 1), plan.bits1, plan.leaf1);
    s1.describe(cd, plan.upper);
  } else {
    ipa = size2 > kGuestTop ? 0 : kGuestTop & below(plan.s2.in_bits) & ~(size2 - 1);
    va = ipa;
  }
  out = ipa;
  if (has_s2()) {
    s2.describe(ste);
    ste.set(IMS_STE_S2VMID, 3);
  }
  if (has_s1()) {
    apart(*this);
    make_cd_table(ste, plan.substreams ? 8 : 0, plan.s1fmt);
  }
  update_ste();
  if (has_s1()) {
    apart(*this);
    update_cd();
    apart(*this);
  }
  if (has_s2()) {
    out = size2 > GB ? ipa : kGuestBase + ipa; // blocks beyond 1 GB map IPA 0 to 0
    if (has_s1())
      map_all();
    s2.map(ipa & ~(size2 - 1), out & ~(size2 - 1), plan.bits2, plan.leaf2);
  }
  va += offset, ipa += offset, out += offset;
}

void World::map_guest(u64 in, u64 bits) {
  u64 size = s2.size(plan.leaf2), at = in & ~(size - 1);
  s2.map(at, kGuestBase + (at & (kAlias - 1)), bits, plan.leaf2);
}

void World::map_all() {
  u64 size = s2.size(plan.leaf2), end = guest_alloc(0);
  for (u64 at = 1 * MB; at < end; at = (at & ~(size - 1)) + size)
    map_guest(at, plan.bits2);
}

void World::off(ims_smmuv3_reg r, u64 value) {
  disable(1);
  put(r, value);
  enable(1);
}

ims_request World::ask(unsigned access) const { return ask(access, va); }

ims_request World::ask(unsigned access, u64 at) const {
  return plan.substreams && has_s1() ? dma(kStream, kSub, at, access) : dma(kStream, at, access);
}

ims_result World::ok(unsigned access) {
  ims_result r = request(ask(access));
  EXPECT_EQ(IMS_STATUS_OK, r.status) << text(r);
  EXPECT_EQ(out, r.output);
  EXPECT_EQ(r.refs, reads.size());
  EXPECT_TRUE(events().empty());
  return r;
}

ims_result World::fails(const ims_request &r, const Event &e) {
  ims_result got = request(r);
  EXPECT_EQ(IMS_STATUS_FAULT, got.status) << text(got);
  EXPECT_EQ(IMS_CPL_UR, got.completion);
  EXPECT_EQ(e.id(), got.fault);
  EXPECT_TRUE(got.recorded);
  EXPECT_EQ(std::vector<Event>{e}, events());
  return got;
}

std::vector<World::Target> World::targets() {
  std::vector<Target> t;
  bool levels = plan.substreams && plan.s1fmt;
  if (has_s1()) {
    if (levels)
      t.push_back({"L1CD", kCd, cd_l1_at(kStream, kSub) - kGuestBase, 0});
    u64 at = cd_hpa() - kGuestBase; // as the pointers say it, which may have been moved
    t.push_back({"CD", kCd, at, 0});
    for (int level = s1.start; level <= plan.leaf1; level++)
      t.push_back({"table of level " + std::to_string(level), kTt, s1.at(va, level) - kGuestBase, level});
  }
  t.push_back({"page", kIn, ipa, 0});
  return t;
}

void World::move(unsigned i) {
  Target t = targets()[i];
  map_guest(kAlias + t.ipa, plan.bits2);
  if (t.name == "L1CD" || (t.name == "CD" && !plan.s1fmt)) {
    ste.at(IMS_STE_S1CONTEXTPTR, ims_ste_address(ste.word, IMS_STE_S1CONTEXTPTR) + kAlias);
    // The machine's own look-up goes by the STE: write the words directly.
    for (unsigned w = 0; w < IMS_STE_WORDS; w++)
      store(ste_at(kStream) + w * 8, ste.word[w]);
  } else if (t.name == "CD") {
    u64 l1 = cd_l1_at(kStream, kSub);
    store(l1, load(l1) + kAlias);
  } else if (t.what == kTt && t.level == s1.start) {
    u64 at = cd_hpa(), root = s1.root + kAlias;
    cd.at(plan.upper ? IMS_CD_TTB1 : IMS_CD_TTB0, root);
    for (unsigned w = 0; w < IMS_CD_WORDS; w++)
      store(at + w * 8, cd.word[w]);
  } else {
    u64 at = t.what == kTt ? s1.at(va, t.level - 1) : leaf1();
    store(at, load(at) + kAlias);
  }
}

} // namespace smmu
