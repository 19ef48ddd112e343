// SPDX-License-Identifier: Apache-2.0
// Properties over random machines. A second unit without any cache looks at the same memory:
//   - after any edits, each followed by exactly what software must send (VT-d rev 4.1, 6.5.3.3), both answer alike;
//   - without invalidations the answer of the cached unit is one that was once true;
//   - whatever bytes lie in the structures, a translation ends, both ways of driving it agree, and nothing crashes.
#include "tests/iommu/cache_options.h"
#include "tests/iommu/vtd/world.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace vtd {
namespace {

using Random = std::mt19937_64;
constexpr unsigned kSources[] = {0x0123, 0x01a3, 0x0210};
constexpr unsigned kPasids = 8; // 0 is RID_PASID

// What can be said of an answer apart from its cost.
std::string outcome(const ims_result &r) {
  ims_result o = r;
  o.refs = 0;
  o.walk = ims_walk_fault();
  return text(o);
}

// The same unit without caches, over each half's memory.
struct Plain {
  explicit Plain(Machine &m_, Mode mode) : m(m_) {
    Config c = m.cfg;
    c.no_caches();
    c.cm = 0;
    for (unsigned h = 0; h < 2; h++) {
      EXPECT_EQ(IMS_ERR_OK, ims_vtd_new(&unit[h], &c, m.mem(h), nullptr));
      ims_iommu_write(unit[h], IMS_VTD_OFF_RTADDR, 8, m.root | uint64_t(mode) << 10);
      ims_iommu_write(unit[h], IMS_VTD_OFF_GCMD, 4, 1u << 30);
      ims_iommu_write(unit[h], IMS_VTD_OFF_GCMD, 4, 1u << 31);
    }
  }
  ~Plain() {
    for (ims_iommu *u : unit)
      ims_iommu_free(u);
  }
  ims_result request(const ims_request &r) {
    ims_result a, b;
    ims_translate(unit[0], &r, &a);
    ims_translate(unit[1], &r, &b);
    EXPECT_EQ(text(a), text(b));
    return a;
  }
  Machine &m;
  ims_iommu *unit[2] = {};
};

// Caches of any shape: tiny, absent, of every policy.
Config random_config(Random &random) {
  Config c;
  auto size = [&](uint32_t &entries, uint32_t &ways) {
    const uint32_t sizes[] = {0, 1, 2, 3, 5, 8, 16, 64};
    entries = sizes[random() % 8];
    ways = static_cast<uint32_t>(random() % 5);
  };
  size(c.context_entries, c.context_ways);
  size(c.pasid_entries, c.pasid_ways);
  size(c.iotlb_entries, c.iotlb_ways);
  size(c.nested_entries, c.nested_ways);
  size(c.s1_psc_entries, c.s1_psc_ways);
  size(c.s2_psc_entries, c.s2_psc_ways);
  c.replacement = random() % 4;
  c.psc_gpa = random() % 2;
  c.cm = random() % 3 == 0;
  c.sslps = random() % 4;
  c.fs1gp = random() % 2;
  c.zlr = random() % 2;
  if (random() % 2)
    random_cache_options(static_cast<ims_vtd_config *>(&c), ims_vtd_options, random);
  return c;
}

// Few addresses, so that requests meet each other's cached pieces: two tables at each level, four pages in each.
uint64_t random_address(Random &random) {
  if (random() % 40 == 0)
    return random();
  uint64_t a = (random() % 2) << 39 | (random() % 2) << 30 | (random() % 2) << 21 | (random() % 4) << 12;
  return a | (random() % 8 ? 0 : random() % 4096);
}

ims_request random_request(Random &random, bool scalable) {
  unsigned access = IMS_ACC_R;
  switch (random() % 4) {
  case 0: access = IMS_ACC_W; break;
  case 1: access = IMS_ACC_R | IMS_ACC_W; break;
  default: break;
  }
  unsigned source = kSources[random() % 3];
  ims_request r = dma(source, random_address(random), access);
  if (scalable && random() % 8) {
    r.has_pasid = true;
    r.pasid = static_cast<uint32_t>(random() % kPasids);
    if (random() % 4 == 0)
      r.access |= IMS_ACC_PRIV;
  }
  if (random() % 16 == 0 && access == IMS_ACC_R)
    r.access |= IMS_ACC_ZLR;
  if (random() % 6 == 0) {
    r.type = IMS_TRANSLATION_REQUEST;
    r.no_write = random() % 2;
  }
  return r;
}

// A stage as software keeps it. Tables of a guest lie in its memory.
struct Stage {
  Stage(Machine &m_, bool first_, unsigned levels_, bool in_guest_)
      : m(m_), first(first_), in_guest(in_guest_), tree(m_, levels_, first_ ? kFsAll : kSsAll, in_guest_) {}
  Machine &m;
  bool first, in_guest;
  Tree tree;

  // Is there a table at this level for the address, reached through entries that are tables?
  bool reach(uint64_t in, unsigned level, uint64_t &entry) {
    uint64_t table = tree.root;
    for (unsigned l = tree.levels;; l--) {
      entry = (in_guest ? kGuestBase : 0) + table + (in >> (12 + 9 * (l - 1)) & 511) * 8;
      if (l == level)
        return true;
      uint64_t e = m.load(entry);
      if (!present(e) || (e & IMS_FS_PS))
        return false;
      table = e & 0x3ffffffff000;
    }
  }
  // The address whose entries those of `in` are: bits above the width do not take part.
  uint64_t wrap(uint64_t in) const {
    unsigned spare = 64 - (12 + 9 * tree.levels);
    return first ? static_cast<uint64_t>(static_cast<int64_t>(in << spare) >> spare) : in << spare >> spare;
  }
  // All that random_address gives, by 4 KB pages.
  void populate() {
    for (unsigned i = 0; i < 32; i++) {
      uint64_t in = uint64_t(i >> 4) << 39 | uint64_t(i >> 3 & 1) << 30 | uint64_t(i >> 2 & 1) << 21 | (i & 3) << 12;
      uint64_t out = in_guest ? in : 2 * GB + i * 4096;
      if (first || in >= 4 * MB)
        tree.map(wrap(in), out, first ? kFsAll : kSsAll);
    }
  }
  bool present(uint64_t e) const { return first ? e & 1 : (e & 3) != 0; }
};

struct RandomScalable : Machine {
  explicit RandomScalable(unsigned seed) : Machine(shape(seed)), random(seed) {
    start(kScalable);
    compare_memory = false;
    Context c;
    c.dir = alloc();
    for (unsigned s : kSources)
      set_context(s, c);
    store(c.dir, alloc() | 1);
    // Two second stages, each with its domain; SSADE and PWSNP belong to the domain too, as its tables do.
    for (unsigned i = 0; i < 2; i++) {
      host.emplace_back(new Stage(*this, false, 3 + static_cast<unsigned>(random() % 3), false));
      ssade[i] = random() % 2;
      pwsnp[i] = random() % 8 != 0;
      for (uint64_t gpa = 0; gpa < 4 * MB; gpa += 4 * KB)
        host[i]->tree.map(gpa, kGuestBase + gpa, kSsAll);
      host[i]->populate();
    }
    for (unsigned p = 0; p < kPasids; p++) {
      own.emplace_back(new Stage(*this, true, 4 + static_cast<unsigned>(random() % 2), false));
      guest.emplace_back(new Stage(*this, true, 4 + static_cast<unsigned>(random() % 2), true));
      own[p]->populate();
      guest[p]->populate();
    }
    plain.reset(new Plain(*this, kScalable));
    for (unsigned p = 0; p < kPasids; p++)
      edit_pasid(p);
    for (int i = 0; i < 20; i++)
      edit();
  }
  static Config shape(unsigned seed) {
    Random r(seed * 7919 + 1);
    return random_config(r);
  }

  // Table entries point to tables of their own, so that each byte means one thing.
  uint64_t new_entry(Stage &s, unsigned level) {
    if (random() % 7 == 0)
      return random() % 3 ? 0 : random() & ~uint64_t(3); // not present
    uint64_t bits = s.first        ? 1 | (random() % 8 ? IMS_FS_RW | IMS_FS_US : random() & 6)
                    : random() % 6 ? 3
                                   : random() % 4;
    bits |= random() % 2 ? s.first ? IMS_FS_A | IMS_FS_D : IMS_SS_A | IMS_SS_D : 0;
    bool leaf = level == 1 || (level <= 3 && random() % 4 == 0);
    if (!leaf) {
      uint64_t table = s.in_guest ? guest_alloc() : alloc();
      if (!s.first)
        bits &= ~uint64_t(IMS_SS_D);
      else
        bits &= ~uint64_t(IMS_FS_D);
      return table | bits;
    }
    if (level > 1)
      bits |= IMS_FS_PS;
    if (random() % 50 == 0)
      bits |= uint64_t(1) << (kHaw + random() % 3); // reserved
    // First stage of a guest: GPAs that its second stage has; else pages that hold no structure.
    uint64_t out = s.in_guest ? random_address(random) & ~uint64_t(0xfff) : 2 * GB + (random() % 64 << 12);
    if (random() % 100 == 0)
      out = 0xfee00000;
    return (out >> (12 + 9 * (level - 1)) << (12 + 9 * (level - 1))) | bits;
  }

  // What depends on a changed entry: 6.5.3.3.
  void edit_first(unsigned p, Stage &s, bool nested) {
    uint64_t in = s.wrap(random_address(random)), entry;
    unsigned level = 1 + static_cast<unsigned>(random() % (random() % 3 ? 2 : s.tree.levels));
    if (!s.reach(in, level, entry))
      return;
    uint64_t old = load(entry), now = new_entry(s, level);
    store(entry, now);
    if (!invalidate || !s.present(old))
      return;
    bool table = level > 1 && !(old & IMS_FS_PS);
    unsigned am = 9 * (level - 1), did = nested ? 10 + p % 2 : 1 + p;
    submit(inv::piotlb_page(did, p, in >> (12 + am) << (12 + am), am, !table));
  }
  void edit_second(unsigned i) {
    Stage &s = *host[i];
    uint64_t in = s.wrap(random() % 4 ? random_address(random) : random() % (4 * MB)), entry;
    unsigned level = 1 + static_cast<unsigned>(random() % (random() % 3 ? 2 : s.tree.levels));
    if (in < 4 * MB && level > 1)
      level = 1; // the guest's tables keep their pages
    if (!s.reach(in, level, entry))
      return;
    uint64_t old = load(entry), now = new_entry(s, level);
    if (in < 4 * MB) // the guest's memory: rights come and go, the page stays
      now = (kGuestBase + (in & ~uint64_t(0xfff))) | (random() % 4 ? 3 : random() % 4) | (now & IMS_SS_A);
    store(entry, now);
    if (!invalidate || (!s.present(old) && !cfg.cm))
      return;
    bool table = level > 1 && s.present(old) && !(old & IMS_FS_PS);
    unsigned am = 9 * (level - 1);
    if (am > cfg.mamv)
      submit(inv::iotlb(inv::kDomain, 10 + i));
    else
      submit(inv::iotlb(inv::kPage, 10 + i, in >> (12 + am) << (12 + am), am, !table));
  }
  void edit_pasid(unsigned p) {
    PasidEntry e;
    e.p = random() % 6 != 0;
    e.fpd = random() % 4 == 0;
    e.pgtt = 1 + static_cast<unsigned>(random() % 4);
    e.sre = random() % 4 != 0;
    e.wpe = random() % 2;
    e.eafe = random() % 4 == 0;
    e.pgsnp = random() % 2;
    unsigned i = p % 2;
    Stage &f = e.pgtt == kNested ? *guest[p] : *own[p];
    e.fspm = f.tree.levels - 4, e.fs = f.tree.root;
    if (e.pgtt == kSecond || e.pgtt == kNested) {
      e.did = 10 + i, e.aw = host[i]->tree.levels - 2, e.ss = host[i]->tree.root;
      e.ssade = ssade[i], e.pwsnp = pwsnp[i];
    } else {
      e.did = 1 + p;
    }
    uint64_t at = pasid_entry(kSources[0], p), old = load(at), old1 = load(at + 8);
    set_pasid(kSources[0], p, e);
    if (random() % 12 == 0)
      set(at + 24, 1); // reserved
    else
      store(at + 24, 0);
    if (!invalidate || (!(old & 1) && !cfg.cm))
      return;
    unsigned was = old & 1 ? old1 & 0xffff : e.did, pgtt = old & 1 ? old >> 6 & 7 : e.pgtt;
    submit(inv::pasid_cache(was, p));
    submit(pgtt == kSecond || pgtt == kNested ? inv::iotlb(inv::kDomain, was) : inv::piotlb(was, p));
  }
  void edit_directory() {
    uint64_t at = directory_entry(kSources[0], 0);
    store(at, load(at) ^ 2); // FPD
    if (!invalidate)
      return;
    for (unsigned did = 1; did < 12; did++)
      submit(inv::pasid_cache_domain(did));
    for (unsigned p = 0; p < kPasids; p++)
      submit(inv::piotlb(1 + p, p));
    submit(inv::iotlb(inv::kDomain, 10));
    submit(inv::iotlb(inv::kDomain, 11));
  }
  void edit_context() {
    unsigned s = kSources[random() % 3];
    uint64_t at = context_entry(s);
    if (random() % 3 == 0)
      store(at, load(at) ^ 1); // P
    else if (random() % 2)
      store(at, load(at) ^ (2 << random() % 3)); // FPD, DTE, PASIDE
    else
      store(at + 8, random() % kPasids | (random() % 2) << 20); // RID_PASID, RID_PRIV
    if (!invalidate)
      return;
    submit(inv::context(inv::kDevice, 0, s));
    for (unsigned did = 1; did < 12; did++) {
      submit(inv::pasid_cache_domain(did));
      submit(inv::iotlb(inv::kDomain, did));
    }
  }
  void edit_root() {
    uint64_t at = root_entry(kSources[random() % 3]);
    store(at, load(at) ^ 1);
    if (!invalidate)
      return;
    submit(inv::context(inv::kGlobal));
    submit(inv::pasid_cache_global());
    submit(inv::iotlb(inv::kGlobal));
  }
  void edit() {
    unsigned p = static_cast<unsigned>(random() % kPasids), what = random() % 64;
    if (what < 22)
      edit_first(p, *own[p], false);
    else if (what < 42)
      edit_first(p, *guest[p], true);
    else if (what < 56)
      edit_second(p % 2);
    else if (what < 60)
      edit_pasid(p);
    else if (what < 61)
      edit_directory();
    else if (what < 63)
      edit_context();
    else if (random() % 4 == 0)
      edit_root();
  }
  Random random;
  bool invalidate = true;
  bool ssade[2], pwsnp[2];
  std::vector<std::unique_ptr<Stage>> host, own, guest;
  std::unique_ptr<Plain> plain;
};

struct CachedEqualsUncached : ::testing::TestWithParam<unsigned> {};

TEST_P(CachedEqualsUncached, Scalable) {
  RandomScalable w(GetParam());
  std::map<std::string, unsigned> kinds;
  for (int round = 0; round < 250; round++) {
    for (int i = 0; i < 12; i++) {
      ims_request r = random_request(w.random, true);
      ims_result cached = w.request(r), plain = w.plain->request(r);
      ASSERT_EQ(outcome(plain), outcome(cached))
          << "round " << round << ": source " << std::hex << r.source << " pasid " << r.pasid << " iova " << r.iova
          << " access " << unsigned(r.access) << " type " << unsigned(r.type) << " plain " << text(plain);
      kinds[plain.status == IMS_STATUS_FAULT ? "fault" : "ok"]++;
    }
    w.expect_same_memory();
    w.edit();
    ASSERT_EQ(0u, w.get(IMS_VTD_FSTS) & 0x70);
  }
  EXPECT_GT(kinds["ok"], 50u);
  EXPECT_GT(kinds["fault"], 50u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, CachedEqualsUncached, ::testing::Range(1u, 41u));

// Legacy mode: contexts of three sources over two domains.
struct RandomLegacy : Machine {
  explicit RandomLegacy(unsigned seed) : Machine(RandomScalable::shape(seed)), random(seed) {
    start(kLegacy);
    compare_memory = false;
    for (unsigned i = 0; i < 2; i++)
      stage.emplace_back(new Stage(*this, false, 4, false)), stage[i]->populate();
    for (unsigned s : kSources)
      edit_context(s);
    plain.reset(new Plain(*this, kLegacy));
  }
  void edit_context(unsigned s) {
    uint64_t at = context_entry(s), old = load(at), old_did = load(at + 8) >> 8 & 0xffff;
    unsigned i = random() % 2;
    LegacyContext c;
    c.p = random() % 6 != 0;
    c.fpd = random() % 3 == 0;
    c.tt = random() % 8 ? static_cast<unsigned>(random() % 3) : 3;
    c.ss = stage[i]->tree.root, c.did = 1 + i;
    if (random() % 16 == 0)
      c.aw = 0;
    set_context(s, c);
    if (!(old & 1) && !cfg.cm)
      return;
    submit(inv::context(inv::kDevice, 0, s));
    submit(inv::iotlb(inv::kDomain, old & 1 ? static_cast<unsigned>(old_did) : c.did));
  }
  void edit_table() {
    unsigned i = random() % 2;
    Stage &s = *stage[i];
    uint64_t in = s.wrap(random_address(random)), entry;
    unsigned level = random() % 3 ? 1 : 1 + static_cast<unsigned>(random() % 4);
    if (!s.reach(in, level, entry))
      return;
    uint64_t old = load(entry), now = 0;
    bool leaf = level == 1 || (level < 4 && random() % 3 == 0);
    if (random() % 6)
      now = leaf ? (2 * GB + (random() % 64 << 12)) >> (12 + 9 * (level - 1)) << (12 + 9 * (level - 1)) |
                       (level > 1 ? IMS_SS_PS : 0) | (random() % 3 ? 3 : 1 + random() % 3)
                 : alloc() | (random() % 4 ? 3 : 1 + random() % 2);
    store(entry, now);
    if (!s.present(old) && !cfg.cm)
      return;
    bool table = level > 1 && s.present(old) && !(old & IMS_SS_PS);
    unsigned am = 9 * (level - 1);
    if (am > cfg.mamv)
      submit(inv::iotlb(inv::kDomain, 1 + i));
    else
      submit(inv::iotlb(inv::kPage, 1 + i, in >> (12 + am) << (12 + am), am, !table));
  }
  Random random;
  std::vector<std::unique_ptr<Stage>> stage;
  std::unique_ptr<Plain> plain;
};

TEST_P(CachedEqualsUncached, Legacy) {
  RandomLegacy w(GetParam());
  unsigned served = 0;
  for (int round = 0; round < 300; round++) {
    if (w.random() % 12 == 0)
      w.edit_context(kSources[w.random() % 3]);
    else
      w.edit_table();
    for (int i = 0; i < 8; i++) {
      ims_request r = random_request(w.random, false);
      ims_result cached = w.request(r), plain = w.plain->request(r);
      served += plain.status == IMS_STATUS_OK;
      ASSERT_EQ(outcome(plain), outcome(cached))
          << "round " << round << " iova " << std::hex << r.iova << " source " << r.source << " plain " << text(plain);
    }
  }
  EXPECT_GT(served, 50u);
  w.expect_same_memory();
}

// Without invalidations. Only leaves of one stage change, so that every cached piece belongs to some one state of the
// tables: then each answer is one that the tables gave at some time.
struct StaleIsOnceTrue : ::testing::TestWithParam<unsigned> {};

TEST_P(StaleIsOnceTrue, LeavesChange) {
  ScalableWorld w([&] {
    Random r(GetParam());
    Config c = random_config(r);
    c.cm = 0;
    return c;
  }());
  w.compare_memory = false;
  Plain plain(w, kScalable);
  Random random(GetParam() + 100);
  constexpr uint64_t kBase = 0x12345600000;
  w.host.map(kPage, kPage, kSsAll);
  for (unsigned i = 0; i < 16; i++)
    w.host.map(kPage + i * 4096, 3 * GB + i * 4096, kSsAll);
  Tree *tree[4] = {nullptr, &w.first, &w.second, &w.guest};
  std::map<std::pair<unsigned, unsigned>, std::set<std::string>> history;
  auto remember = [&] {
    for (unsigned p = 1; p <= 3; p++)
      for (unsigned i = 0; i < 8; i++)
        history[{p, i}].insert(outcome(plain.request(dma(kDevice, p, kBase + i * 4096, IMS_ACC_R))));
  };
  remember();
  unsigned stale = 0;
  for (int round = 0; round < 150; round++) {
    unsigned p = 1 + random() % 3, i = random() % 8;
    uint64_t bits = random() % 5 ? uint64_t(kFsAll) : 0;
    w.store(tree[p]->at(kBase + i * 4096), (kPage + (random() % 16 << 12)) | bits);
    remember();
    for (int n = 0; n < 6; n++) {
      unsigned q = 1 + random() % 3, j = random() % 8;
      ims_request r = dma(kDevice, q, kBase + j * 4096, IMS_ACC_R);
      std::string got = outcome(w.request(r));
      ASSERT_TRUE(history[std::make_pair(q, j)].count(got)) << "never true: " << got;
      stale += got != outcome(plain.request(r));
    }
  }
  if (w.cfg.iotlb_entries / (w.cfg.iotlb_partitions ? w.cfg.iotlb_partitions : 1) >= 16) {
    EXPECT_GT(stale, 0u) << "something has been cached";
  }
}

// PASID entries move between whole address spaces.
TEST_P(StaleIsOnceTrue, PasidEntriesChange) {
  Random random(GetParam());
  ScalableWorld w(random_config(random));
  w.compare_memory = false;
  Plain plain(w, kScalable);
  std::vector<std::unique_ptr<Tree>> spaces;
  for (unsigned i = 0; i < 4; i++) {
    spaces.emplace_back(new Tree(w, 4, kFsAll));
    for (unsigned j = 0; j < 4; j++)
      if (random() % 5)
        spaces[i]->map(kVa + j * 4096, 2 * GB + (i * 4 + j) * 4096, kFsAll);
  }
  std::map<std::pair<unsigned, unsigned>, std::set<std::string>> history;
  auto remember = [&] {
    for (unsigned p = 1; p <= 3; p++)
      for (unsigned j = 0; j < 4; j++)
        history[{p, j}].insert(outcome(plain.request(dma(kDevice, p, kVa + j * 4096, IMS_ACC_R))));
  };
  remember();
  for (int round = 0; round < 150; round++) {
    PasidEntry e;
    e.p = random() % 8 != 0;
    e.did = 1 + random() % 3;
    e.fs = spaces[random() % 4]->root;
    w.set_pasid(kDevice, 1 + random() % 3, e);
    remember();
    for (int n = 0; n < 6; n++) {
      unsigned q = 1 + random() % 3, j = random() % 4;
      std::string got = outcome(w.request(dma(kDevice, q, kVa + j * 4096, IMS_ACC_R)));
      ASSERT_TRUE(history[std::make_pair(q, j)].count(got)) << "never true: " << got;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, StaleIsOnceTrue, ::testing::Range(1u, 17u));

// Bytes without sense in every structure, pages that point at each other and at themselves.
struct Hostile : ::testing::TestWithParam<unsigned> {};

TEST_P(Hostile, BytesInAllStructures) {
  Random random(GetParam());
  Config cfg = random_config(random);
  cfg.revision = 3 + random() % 2;
  cfg.ers = cfg.revision == 3;
  Machine m(cfg);
  m.compare_memory = false;
  m.root = m.alloc(64); // the arena: every pointer leads into it, mostly
  const uint64_t arena = m.root, size = 64 * 4096;
  m.start_queue(true);
  for (int round = 0; round < 30; round++) {
    for (uint64_t a = arena; a < arena + size; a += 8) {
      uint64_t v = (arena + (random() % 64 << 12)) | (random() & 0x7f);
      switch (random() % 8) {
      case 0: v = random(); break;
      case 1: v &= ~uint64_t(1); break;
      case 2: v |= 1 << 7; break;
      case 3: v = random() % 3 ? v : 0; break;
      default: v |= 3;
      }
      m.store(a, v);
    }
    // A bit of sense, so that walks get somewhere: a context entry and PASID entries without reserved bits.
    m.put(IMS_VTD_RTADDR, arena | (random() % 4 ? 1 : 0) << 10);
    m.command(1u << 30);
    m.command(1u << 31);
    if (random() % 4) {
      m.store(arena + 16, (arena + 4096) | 1);
      m.store(arena + 24, (arena + 4096) | 1);
      for (unsigned s : {0x23u, 0x24u}) {
        uint64_t e = arena + 4096 + s * 32;
        m.store(e, (arena + 8192) | 1 | 2 * (random() % 2) | 1 << 2 | 1 << 3 | 1 << 4);
        m.store(e + 8, random() % 8);
        m.store(e + 16, 0), m.store(e + 24, 0);
      }
      m.store(arena + 8192, (arena + 12288) | 1);
      for (unsigned p = 0; p < 8; p++) {
        uint64_t e = arena + 12288 + p * 64;
        auto page = [&] { return arena + (4 + random() % 60) * 4096; };
        m.store(e, page() | 1 | (1 + random() % 3) << 2 | (1 + random() % 4) << 6 | (random() % 2) << 9);
        m.store(e + 8, random() % 4 | (random() % 8 ? 1 << 23 : 0));
        m.store(e + 16, (random() % 3 ? page() : random() % size / 4096 << 12) | 1 | (random() % 2) << 2 | 1 << 4);
        for (unsigned i = 3; i < 8; i++)
          m.store(e + i * 8, 0);
      }
    }
    for (int n = 0; n < 60; n++) {
      ims_request r = random_request(random, true);
      r.source = random() % 4 ? 0x123 : static_cast<uint32_t>(random());
      if (random() % 10 == 0)
        r.access = static_cast<uint8_t>(random() % 32);
      if (random() % 10 == 0)
        r.type = static_cast<uint8_t>(random() % 3);
      m.request(r);
      if (random() % 8 == 0) {
        Descriptor d = {{(random() & 0x3f0) | random() % 10, random(), 0, 0}};
        m.submit(random() % 2 ? inv::iotlb(inv::kGlobal) : d);
        m.put(IMS_VTD_FSTS, 0xff);
        if (m.get(IMS_VTD_FSTS) & 0x10) { // skip what it cannot take
          m.command(1u << 26, false);
          m.tail = 0;
          m.put(IMS_VTD_IQT, 0);
          m.put(IMS_VTD_FSTS, 0xff);
          m.command(1u << 26);
        }
      }
    }
    m.expect_same_memory();
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Hostile, ::testing::Range(1u, 11u));

} // namespace
} // namespace vtd
