// SPDX-License-Identifier: Apache-2.0
// Properties over random machines. A second unit without any cache looks at the same memory and has the same registers:
//   - after any edits, each followed by exactly the maintenance that software owes, both answer alike;
//   - whatever the registers and tables hold, a translation ends, both ways of driving it agree, and its fault has a row.
#include "tests/iommu/cache_options.h"
#include "tests/iommu/smmuv2/world.h"

#include <memory>
#include <random>

namespace smmu2 {
namespace {

using Random = std::mt19937_64;

// What can be said of an answer apart from its cost.
std::string outcome(const ims_result &r) {
  ims_result o = r;
  o.refs = 0;
  o.walk = ims_walk_fault();
  return text(o);
}

// Caches of any shape: tiny, absent, of every policy.
Config random_config(Random &random) {
  Config c;
  auto size = [&](uint32_t &entries, uint32_t &ways) {
    const uint32_t sizes[] = {0, 1, 2, 3, 5, 8, 16, 64};
    entries = sizes[random() % 8];
    ways = static_cast<uint32_t>(random() % 5);
  };
  size(c.iotlb_entries, c.iotlb_ways);
  size(c.ipa_entries, c.ipa_ways);
  size(c.s1_walk_entries, c.s1_walk_ways);
  size(c.s2_walk_entries, c.s2_walk_ways);
  c.replacement = random() % 4;
  c.walk_ipa = random() % 2;
  if (random() % 2)
    random_cache_options(static_cast<ims_smmuv2_config *>(&c), ims_smmuv2_options, random);
  return c;
}

constexpr unsigned kBanks = 6;
// Bank 0: stage 2, VMID 9. Bank 1: nested over it, VMID 9, ASID 8. Banks 2 and 3: stage 1, VMID 3, ASIDs 7 and 8. Bank 4:
// AArch32 with both sides, VMID 5. Bank 5: stage 2 alone, VMID 2. Stream n goes to bank n.
constexpr unsigned kVmids[kBanks] = {9, 9, 3, 3, 5, 2};
constexpr unsigned kAsids[kBanks] = {0, 8, 7, 8, 7, 0};

struct RandomMachine : Machine {
  explicit RandomMachine(unsigned seed) : Machine(shape(seed)), random(seed) {
    compare = false;
    auto granule = [&] { return static_cast<Granule>(random() % 3); };
    Shape s;
    s.stage2 = true, s.granule = granule(), s.in_bits = 40;
    tree[0].reset(new Tree(*this, s));
    s.granule = granule();
    tree[5].reset(new Tree(*this, s));
    s = Shape();
    for (unsigned i = 1; i < 4; i++) {
      s.granule = granule(), s.in_guest = i == 1, s.in_bits = i == 3 ? 39 : 48;
      tree[i].reset(new Tree(*this, s));
    }
    s = Shape();
    s.aarch32 = true, s.in_bits = 31;
    tree[4].reset(new Tree(*this, s));
    upper.reset(new Tree(*this, s));
    uint64_t step = tree[0]->size(3);
    for (uint64_t ipa = 0; ipa < 16 * MB; ipa += step)
      tree[0]->map(ipa, kGuestBase + ipa, kS2All);
    stage2(0, *tree[0], kVmids[0]);
    stage2(5, *tree[5], kVmids[5]);
    for (unsigned n = 1; n < 5; n++) {
      Stage1 how;
      how.asid = kAsids[n], how.vmid = kVmids[n], how.stage2 = n == 1 ? 0 : -1,
      how.upper = n == 4 ? upper.get() : nullptr;
      stage1(n, *tree[n], how);
    }
    for (unsigned n = 0; n < kBanks; n++)
      stream_to(n, 0x100 + n, n);
    start();
    for (unsigned h = 0; h < 2; h++) {
      Config bare = Config(cfg).no_caches();
      EXPECT_EQ(IMS_ERR_OK, ims_smmuv2_new(&plain[h], &bare, mem(h), nullptr));
      ims_smmuv2_each(
          unit(h),
          [](void *ctx, const char *name, uint64_t value) {
            ims_smmuv2_restore(static_cast<ims_iommu *>(ctx), name, value);
          },
          plain[h]);
      ims_smmuv2_restored(plain[h]);
    }
    for (unsigned n = 0; n < kBanks; n++)
      populate(n);
    for (int i = 0; i < 60; i++)
      edit(false);
  }
  ~RandomMachine() {
    for (ims_iommu *u : plain)
      ims_iommu_free(u);
  }
  static Config shape(unsigned seed) {
    Random r(seed * 7919 + 1);
    return random_config(r);
  }

  // Few addresses, so that requests meet each other's cached pieces.
  uint64_t address(unsigned n) {
    uint64_t a = (random() % 4) << 12 | (random() % 3) << 16 | (random() % 2) << 21 | (random() % 2) << 25;
    if (n == 4)
      return a | (random() % 2) << 31;
    if (tree[n]->shape.in_bits > 39)
      a |= (random() % 2) << 39;
    return a | (random() % 2) << 30;
  }
  uint64_t ipa() {
    uint64_t a = (random() % 4) << 12 | (random() % 3) << 16 | (random() % 2) << 21 | (random() % 2) << 25;
    return a | (random() % 2) << 30 | (random() % 8 ? 32 * MB * 4 : 0); // rarely the guest's own memory
  }
  // All that address() and ipa() give, by pages.
  void populate(unsigned n) {
    for (unsigned i = 0; i < 192; i++) {
      uint64_t a = uint64_t(i & 3) << 12 | uint64_t(i >> 2 & 1) << 21 | uint64_t(i >> 3 & 1) << 25 |
                   uint64_t(i >> 4 & 1) << (n == 4 ? 31 : 30) | uint64_t(i / 64) << 16;
      if (n == 0)
        a |= 128 * MB;
      else if (n != 4 && tree[n]->shape.in_bits > 39)
        a |= uint64_t(i >> 5 & 1) << 39;
      Tree &t = tree_of(n, a);
      uint64_t out = t.shape.in_guest ? ipa() : 2 * GB + ((random() % 64) << 12);
      t.map(a / t.size(3) * t.size(3), out / t.size(3) * t.size(3), t.shape.stage2 ? kS2All : kS1All);
    }
  }
  ims_request any_request() {
    static const uint8_t access[] = {IMS_ACC_R,
                                     IMS_ACC_W,
                                     IMS_ACC_R | IMS_ACC_W,
                                     IMS_ACC_R | IMS_ACC_PRIV,
                                     IMS_ACC_W | IMS_ACC_PRIV,
                                     IMS_ACC_R | IMS_ACC_X};
    unsigned n = random() % kBanks;
    uint64_t va = n == 0 ? ipa() : address(n);
    return dma(0x100 + n, va | random() % 4096, access[random() % 6]);
  }
  Tree &tree_of(unsigned n, uint64_t va) { return n == 4 && va >> 31 ? *upper : *tree[n]; }

  // A new descriptor: nothing, a table of its own, or a leaf.
  uint64_t descriptor(unsigned n, Tree &t, int level) {
    if (random() % 6 == 0)
      return random() % 2 ? 0 : random() & ~uint64_t(1);
    bool second = t.shape.stage2;
    int highest = t.shape.granule == k4K ? 1 : 2;
    if (level < 3 && (level < highest || random() % 2)) {
      unsigned pages = 1u << (2 * t.shape.granule);
      return (t.shape.in_guest ? guest_alloc(pages, pages) : alloc(pages, pages)) | 3 |
             (!second && random() % 4 == 0 ? (random() % 16) << 59 : 0); // APTable, XNTable, PXNTable
    }
    uint64_t bits = second ? kS2All : kS1All;
    if (random() % 3 == 0)
      bits ^= second ? (random() % 4) << 6 | (random() % 16) << 2 : (random() % 4) << 6 | (random() % 4) << 2;
    if (random() % 16 == 0)
      bits &= ~kS1Af;
    if (random() % 4 == 0)
      bits |= (random() % 4) << 53;
    if (!second && n != 2 && n != 3 && random() % 3 == 0)
      bits &= ~kS1Ng; // global: where the VMID has one address space
    uint64_t out = t.shape.in_guest ? ipa() : 2 * GB + ((random() % 64) << 12);
    if (random() % 40 == 0)
      out = uint64_t(1) << (n == 4 ? 41 : 47) | kAbsent; // AArch32: too large
    return out / t.size(level) * t.size(level) | bits | (level == 3 ? 3 : 1);
  }

  // Makes what is not valid on the way to a page into tables, and the page readable. Nothing was cached, nothing is owed.
  void grow(Tree &t, uint64_t in) {
    uint64_t entry;
    for (int level = t.start; level < 3 && t.reach(in, level, entry); level++)
      if (!(t.load(entry) & 1)) {
        unsigned pages = 1u << (2 * t.shape.granule);
        t.store(entry, (t.shape.in_guest ? guest_alloc(pages, pages) : alloc(pages, pages)) | 3);
      }
    if (!t.reach(in, 3, entry) || (t.load(entry) & 1))
      return;
    uint64_t out = t.shape.in_guest ? ipa() : 2 * GB + ((random() % 64) << 12);
    t.store(entry, out / t.size(3) * t.size(3) | (t.shape.stage2 ? kS2All : kS1All) | 3);
  }

  // Changes one descriptor, and does what software then owes.
  void edit(bool maintain) {
    unsigned n = random() % kBanks;
    uint64_t in = n == 0 ? ipa() : address(n), entry;
    Tree &t = tree_of(n, in);
    unsigned pick = random() % 16;
    int level = pick < 12 ? 3 : pick < 15 ? 2 : 3 - static_cast<int>(random() % t.levels());
    if (n == 0 && in / t.size(level) * t.size(level) < 16 * MB)
      level = 3; // the guest's tables keep their pages
    if (!t.reach(in, level, entry)) {
      grow(t, in);
      return;
    }
    uint64_t old = t.load(entry), now = descriptor(n, t, level);
    if (n == 0 && in < 16 * MB)
      now = (kGuestBase + in / t.size(3) * t.size(3)) | (random() % 4 ? kS2All : kS2All & ~kS2Write) | 3;
    t.store(entry, now);
    if (!maintain || !(old & 1))
      return; // what was not valid is cached nowhere
    bool table = level < 3 && (old & 2);
    if (t.shape.stage2) {
      if (table || random() % 4 == 0) {
        put(IMS_SMMUV2_TLBIVMID, kVmids[n]);
      } else {
        tlbi_ipa(n, in, random() % 2);
        if (n == 0)
          put(IMS_SMMUV2_TLBIVMIDS1, kVmids[n]); // nested entries are not found by IPA
      }
    } else if (table) {
      put(IMS_SMMUV2_CB_TLBIALL, n, 0); // leaves below may be global
    } else {
      static const ims_smmuv2_cb ops[] = {IMS_SMMUV2_CB_TLBIVA, IMS_SMMUV2_CB_TLBIVAL, IMS_SMMUV2_CB_TLBIVAA,
                                          IMS_SMMUV2_CB_TLBIVAAL};
      tlbi_va(n, ops[random() % 4], in, kAsids[n]);
    }
  }

  ims_result ask_plain(const ims_request &r) {
    ims_result a, b;
    ims_translate(plain[0], &r, &a);
    ims_translate(plain[1], &r, &b);
    EXPECT_EQ(text(a), text(b));
    return a;
  }
  void forget() {
    for (unsigned h = 0; h < 2; h++) {
      ims_smmuv2_forget_faults(unit(h));
      ims_smmuv2_forget_faults(plain[h]);
    }
  }

  Random random;
  std::unique_ptr<Tree> tree[kBanks], upper;
  ims_iommu *plain[2] = {};
};

struct CachedEqualsUncached : ::testing::TestWithParam<unsigned> {};
TEST_P(CachedEqualsUncached, AfterTheMaintenanceThatIsOwed) {
  RandomMachine w(GetParam());
  unsigned ok = 0, faults = 0;
  for (int round = 0; round < 500; round++) {
    for (int i = 0; i < 12; i++) {
      ims_request r = w.any_request();
      ims_result cached = w.request(r), plain = w.ask_plain(r);
      ASSERT_EQ(outcome(plain), outcome(cached))
          << "round " << round << ": stream " << std::hex << r.source << " iova " << r.iova << " access "
          << unsigned(r.access) << " plain " << text(plain);
      (plain.status == IMS_STATUS_OK ? ok : faults)++;
      w.forget();
    }
    w.edit(true);
  }
  w.expect_same();
  EXPECT_GT(ok, 100u);
  EXPECT_GT(faults, 100u);
}
INSTANTIATE_TEST_SUITE_P(Seeds, CachedEqualsUncached, ::testing::Range(1u, 31u));

// Registers of any content, tables of any content.
struct Anything : ::testing::TestWithParam<unsigned> {};
TEST_P(Anything, BothWaysAgree) {
  Random random(GetParam());
  Config c = random_config(random);
  c.numcb = 8, c.numsmrg = 8, c.exids = 1;
  Machine m(c);
  m.compare = false;
  auto any = [&](uint64_t low, uint64_t pages) { return low + (random() % pages) * 4096; };
  for (int i = 0; i < 4000; i++) // descriptors that lead to each other
    m.store(1 * MB + (random() % 64) * 4096 + (random() % 4 ? random() % 8 : random() % 512) * 8,
            any(1 * MB, 64) | (random() % 4 ? 3 : random() % 4) | (random() % 64) << 6 | (random() % 16) << 51);
  for (int round = 0; round < 400; round++) {
    unsigned n = random() % 8;
    switch (random() % 12) {
    case 0: m.put(IMS_SMMUV2_sCR0, random() & ~uint64_t(random() % 8 != 0)); break;
    case 1: m.put(IMS_SMMUV2_SMR, n, 1u << 31 | (random() % 4) << 16 | random() % 8); break;
    case 2: m.put(IMS_SMMUV2_S2CR, n, random() % 9 | (random() % 8 ? 0 : random() & 0xff030000)); break;
    case 3: m.put(IMS_SMMUV2_CBAR, n, (random() % 4) << 16 | (random() % 9) << 8 | random() % 4); break;
    case 4: m.put(IMS_SMMUV2_CBA2R, n, random() % 4 != 0); break;
    case 5: m.put(IMS_SMMUV2_CB_SCTLR, n, random() % 4 ? random() | 1 : random()); break;
    case 6: m.put(IMS_SMMUV2_CB_TCR, n, random() % 2 ? random() : 5u << 16 | 0x80000080 | (16 + random() % 24)); break;
    case 7: m.put(IMS_SMMUV2_CB_TCR2, n, random()); break;
    case 8: m.put(random() % 2 ? IMS_SMMUV2_CB_TTBR0 : IMS_SMMUV2_CB_TTBR1, n, any(1 * MB, 64) | random() << 48); break;
    case 9: m.put(static_cast<ims_smmuv2_cb>(random() % IMS_SMMUV2_CB_COUNT), n, random()); break;
    case 10: m.put(IMS_SMMUV2_CB_RESUME, n, random()); break;
    default: m.put(static_cast<ims_smmuv2_gr0>(random() % IMS_SMMUV2_SMR), random() & ~uint64_t(1)); break;
    }
    for (int i = 0; i < 4; i++) {
      ims_request r = dma(random() % 8, random() % 4 ? random() % (8 * MB) : random() >> (random() % 40),
                          static_cast<unsigned>(1 + random() % 15));
      r.has_pasid = random() % 64 == 0;
      ims_result res = m.request(r);
      if (res.status == IMS_STATUS_FAULT) {
        ASSERT_NE(nullptr, ims_smmuv2_fault_find(res.fault));
      }
    }
  }
  m.expect_same();
}
INSTANTIATE_TEST_SUITE_P(Seeds, Anything, ::testing::Range(1u, 13u));

} // namespace
} // namespace smmu2
