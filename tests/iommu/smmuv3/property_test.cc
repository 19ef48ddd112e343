// SPDX-License-Identifier: Apache-2.0
// Properties over random machines. A second unit without any cache looks at the same memory:
//   - after any edits, each followed by what software must send (Arm IHI 0070 4.3, 4.4, 3.17, 3.21) in one of its many
//     forms, both answer alike;
//   - without invalidations the answer of the cached unit is one that was once true;
//   - whatever bytes lie in the structures, a translation ends, both ways of driving it agree, and nothing crashes.
// Software keeps the rules that the architecture makes for it: one ASID is one address space, global pages are the same in
// all of a VMID, runs under the contiguous hint are alike, and what a VMID's stage 2 is does not depend on the stream.
#include "tests/iommu/cache_options.h"
#include "tests/iommu/smmuv3/world.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <memory>
#include <random>

namespace smmu {
namespace {

using Random = std::mt19937_64;
constexpr unsigned R = IMS_ACC_R, W = IMS_ACC_W, X = IMS_ACC_X, PRIV = IMS_ACC_PRIV;
constexpr uint64_t kDbm = uint64_t(1) << 51;
constexpr uint64_t kGuestUsed = 8 * MB; // all of it is mapped, from 0 on
uint64_t bit(unsigned n) { return uint64_t(1) << n; }

// What can be said of an answer apart from its cost.
std::string outcome(const ims_result &r) {
  ims_result o = r;
  o.refs = 0;
  if (!o.recorded) // then the record is nobody's
    memset(o.record, 0, sizeof o.record);
  o.walk = ims_walk_fault();
  return text(o);
}

// The same unit without caches, over each half's memory.
struct Plain {
  explicit Plain(Machine &m) {
    Config c = m.cfg;
    c.no_caches();
    c.rights_from_cache = 0;
    for (unsigned h = 0; h < 2; h++) {
      EXPECT_EQ(IMS_ERR_OK, ims_smmuv3_new(&unit[h], &c, m.mem(h), nullptr));
      for (ims_smmuv3_reg r : {IMS_SMMUV3_STRTAB_BASE, IMS_SMMUV3_STRTAB_BASE_CFG, IMS_SMMUV3_CR2, IMS_SMMUV3_CR0})
        ims_iommu_write(unit[h], ims_smmuv3_regs[r].offset, ims_smmuv3_regs[r].bytes, m.get(r));
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
  ims_iommu *unit[2] = {};
};

// Caches of any shape: tiny, absent, of every policy; and features that shape walks and invalidations.
Config random_config(Random &random) {
  Config c;
  auto size = [&](uint32_t &entries, uint32_t &ways) {
    const uint32_t sizes[] = {0, 1, 2, 3, 8, 16, 64, 256};
    entries = sizes[random() % 8];
    ways = static_cast<uint32_t>(random() % 5);
  };
  size(c.ste_entries, c.ste_ways);
  size(c.cd_entries, c.cd_ways);
  size(c.iotlb_entries, c.iotlb_ways);
  size(c.ipa_entries, c.ipa_ways);
  size(c.s1_walk_entries, c.s1_walk_ways);
  size(c.s2_walk_entries, c.s2_walk_ways);
  c.replacement = random() % 4;
  c.walk_ipa = random() % 2;
  c.contiguous = random() % 2;
  c.rights_from_cache = random() % 2;
  c.ril = random() % 4 != 0;
  c.vmid16 = random() % 2;
  c.asid16 = random() % 2;
  c.httu = random() % 4;
  c.version = 4;
  c.xnx = random() % 2;
  if (random() % 2)
    random_cache_options(static_cast<ims_smmuv3_config *>(&c), ims_smmuv3_options, random);
  return c;
}

// Few addresses, so that requests meet each other's cached pieces: for each granule some share tables at each level.
struct Addresses {
  explicit Addresses(Random &random, unsigned bits) {
    for (unsigned i = 0; i < 10; i++) {
      uint64_t a = 0;
      const unsigned upper[] = {39, 36, 30, 29, 25, 21};
      for (unsigned n = 0; n < 2; n++)
        if (random() % 2)
          a |= bit(upper[random() % 6]);
      if (bits > 42 && random() % 4 == 0)
        a |= bit(42);
      a |= (random() % 4) << 12 | (random() % 3) << 16;
      hot.push_back(a | bit(24)); // above what the guest uses
    }
  }
  uint64_t pick(Random &random) const { return hot[random() % hot.size()]; }
  std::vector<uint64_t> hot;
};

// A stage as software keeps it.
struct Stage {
  Stage(Machine &machine, const Shape &shape, bool upper_side, bool big_endian)
      : m(machine), tree(machine, shape), upper(upper_side), big(big_endian) {}
  Machine &m;
  Tree tree;
  bool upper, big;

  bool first() const { return !tree.shape.stage2; }
  uint64_t page() const { return tree.size(3); }
  unsigned entries() const { return static_cast<unsigned>(page() / 8); }
  uint64_t low(uint64_t in) const { return in & (bit(tree.shape.in_bits) - 1); }
  uint64_t full(uint64_t in) const { return upper ? low(in) | ~(bit(tree.shape.in_bits) - 1) : low(in); }
  uint64_t swap(uint64_t e) const { return big ? __builtin_bswap64(e) : e; }
  uint64_t load(uint64_t at) const { return swap(m.load(at)); }
  void store(uint64_t at, uint64_t e) const { m.store(at, swap(e)); }

  bool owned(uint64_t table) const { return table && table < (tree.shape.in_guest ? kGuestUsed : kHostSize); }
  // The descriptor of this level for the address, if tables lead to it; it may lie in one of the stage's own only.
  bool reach(uint64_t in, int level, uint64_t &at) const {
    uint64_t table = tree.root;
    for (int l = tree.start;; l++) {
      uint64_t i = low(in) / tree.size(l);
      at = tree.host(table) + (l == tree.start ? i : i % entries()) * 8;
      if (l == level)
        return true;
      uint64_t e = load(at);
      table = e & 0x0000ffffffffffff & ~(page() - 1);
      if ((e & 3) != 3 || !owned(table))
        return false;
    }
  }
  bool block(int level) const { return level == 3 || level == 2 || (level == 1 && tree.shape.granule == k4K); }
  bool is_leaf(uint64_t e, int level) const { return (e & 1) && (level == 3 ? (e & 2) != 0 : !(e & 2)); }
  bool is_table(uint64_t e, int level) const { return level < 3 && (e & 3) == 3; }
  unsigned run(int level) const { // entries under one contiguous hint
    switch (tree.shape.granule) {
    case k4K: return level ? 16 : 0;
    case k16K: return level == 3 ? 128 : level == 2 ? 32 : 0;
    default: return level >= 2 ? 32 : 0;
    }
  }
};

// An address space: what one ASID (or the whole of a regime without) translates by, and what of it may be cached.
struct Space {
  unsigned asid;
  std::unique_ptr<Stage> lower;
  Stage *upper; // of all spaces of the VMID or regime; none in EL2
  bool ha, hd, haft, wxn, pan, had, aset;
};

enum Regime { kHost, kGuest0, kGuest1, kEl2, kRegimes };
constexpr unsigned kVmid[kRegimes] = {7, 1, 2, 0};

struct Random3 : Machine {
  explicit Random3(unsigned seed) : Machine(shape(seed)), random(seed), ins(random, 48), ipas(random, 40) {
    compare_memory = false;
    e2h = random() % 2;
    put(IMS_SMMUV3_CR2, e2h);
    Layout l;
    l.two_level = true;
    l.eventq = 8;
    start(l);
    for (unsigned v = 0; v < 2; v++) {
      Shape s;
      s.granule = granule(), s.stage2 = true;
      const unsigned bits[] = {48, 44, 40};
      s.in_bits = bits[random() % 3];
      s2[v].reset(new Stage(*this, s, false, random() % 4 == 0));
      s2ha[v] = cfg.httu && random() % 2, s2hd[v] = cfg.httu > 1 && random() % 2;
      s2ptw[v] = random() % 4 == 0, s2fwb[v] = random() % 2;
      for (uint64_t a = 0; a < kGuestUsed; a += s2[v]->page())
        s2[v]->store(s2[v]->tree.at(a), kGuestBase + a + (kS2All | 3));
      if (s2[v]->big) // the tables above were made little-endian
        turn(*s2[v], 0);
    }
    for (unsigned g = 0; g < kRegimes; g++) {
      bool nested = g == kGuest0 || g == kGuest1;
      if (g != kEl2 || e2h)
        upper[g].reset(new_stage(nested, true));
      // Global entries are of all spaces, so these are too.
      bool ha = cfg.httu && random() % 2, hd = cfg.httu > 1 && random() % 2, haft = cfg.httu > 2 && ha,
           wxn = random() % 4 == 0, pan = random() % 4 == 0;
      for (unsigned i = 0; i < 3; i++) {
        Space s;
        s.asid = g == kEl2 && !e2h ? 0 : i + 1;
        s.lower.reset(new_stage(nested, false));
        s.upper = upper[g].get();
        s.ha = ha, s.hd = hd, s.haft = haft, s.wxn = wxn, s.pan = pan, s.had = random() % 3 == 0, s.aset = random() % 2;
        spaces[g].push_back(std::move(s));
        if (g == kEl2 && !e2h)
          break; // one address space
      }
    }
    for (unsigned s = 0; s < kStreams; s++) {
      host_cds[s] = alloc(), guest_cds[s] = guest_alloc();
      store(host_cds[s] + 2048, host_cds[s] | 1); // the level-1 descriptor, in the same page
      store(kGuestBase + guest_cds[s] + 2048, guest_cds[s] | 1);
      edit_ste(s);
    }
    for (unsigned g = 0; g < kRegimes; g++) {
      for (Space &space : spaces[g])
        populate(*space.lower);
      if (upper[g])
        populate(*upper[g]);
    }
    for (auto &s : s2)
      populate(*s);
    for (int i = 0; i < 150; i++)
      edit();
    plain.reset(new Plain(*this));
    invalidate = true;
    submit({cmd::cfgi_all(), cmd::nsnh_all(), cmd::el2_all()});
  }
  static Config shape(unsigned seed) {
    Random r(seed * 7919 + 1);
    return random_config(r);
  }
  Granule granule() { return static_cast<Granule>(random() % 3); }
  Stage *new_stage(bool nested, bool upper_side) {
    Shape s;
    s.granule = granule(), s.in_guest = nested, s.in_bits = 48;
    return new Stage(*this, s, upper_side, false);
  }
  // A page where there is none, for each of the addresses, most with every right. Needs no invalidation.
  void populate(Stage &s) {
    for (uint64_t in : s.first() ? ins.hot : ipas.hot) {
      uint64_t at;
      for (int level = s.tree.start; level <= 3 && s.reach(in, level, at); level++) {
        if (s.load(at) & 1)
          continue;
        uint64_t all = s.first() ? kS1All & ~(s.upper ? kS1Ng : 0) : kS2All;
        if (level == 3)
          s.store(at, output(s, 3) | (random() % 3 ? all : leaf_bits(s)) | 3);
        else if (uint64_t table = new_table(s))
          s.store(at, table | 3);
      }
    }
  }
  // Every descriptor of a stage the other way round.
  void turn(Stage &s, int) {
    std::set<uint64_t> at;
    for (uint64_t a = 0; a < kGuestUsed; a += s.page())
      for (int level = s.tree.start; level < 3; level++)
        at.insert(s.tree.at(a, level));
    for (uint64_t d : at)
      store(d, __builtin_bswap64(load(d)));
  }

  // ---- Edits

  void send(const Command &c) {
    if (invalidate)
      submit(c);
  }
  uint64_t new_table(Stage &s) {
    unsigned pages = static_cast<unsigned>(s.page() / 4096);
    if (!s.tree.shape.in_guest)
      return alloc(pages, pages);
    return guest_alloc(0) + 2 * s.page() < kGuestUsed ? guest_alloc(pages, pages) : 0;
  }
  // Bits of a leaf. `ha`: hardware may set the access flag.
  uint64_t leaf_bits(const Stage &s) {
    if (!s.first())
      return kS2Af * (random() % 8 != 0) | (random() % 8 ? 3 : random() % 4) << 6 |
             (random() % 8 ? 15 : random() % 16) << 2 | (random() % 4) << 8 | (random() % 4 ? 0 : kDbm) |
             (random() % 6 ? 0 : random() % 4) << 53;
    return kS1Af * (random() % 8 != 0) | (s.upper ? 0 : kS1Ng) | (random() % 3 ? 1 : random() % 4) << 6 |
           (random() % 2) << 2 | (random() % 4) << 8 | (random() % 4 ? 0 : kDbm) |
           (random() % 6 ? 0 : random() % 4) << 53;
  }
  uint64_t output(const Stage &s, int level) {
    uint64_t out = s.tree.shape.in_guest ? ipas.pick(random) : 2 * GB + (random() % 64 << 16);
    if (random() % 60 == 0)
      out |= bit(47);
    return out & ~(s.tree.size(level) - 1);
  }
  uint64_t new_entry(Stage &s, int level) {
    if (random() % 12 == 0)
      return random() % 3 ? 0 : random() & ~uint64_t(1);
    if (level < 3 && (!s.block(level) || random() % 3)) {
      uint64_t table = random() % 30 ? new_table(s) : kAbsent;
      if (!table)
        return 0;
      return table | 3 | (s.first() && random() % 6 == 0 ? (random() & 15) << 59 : 0);
    }
    return output(s, level) | leaf_bits(s) | (level == 3 ? 3 : 1);
  }
  // Runs: before one of their entries changes, the hint goes from all.
  void dissolve(Stage &s, uint64_t in, int level, uint64_t at,
                const std::function<void(uint64_t, uint64_t, int, bool)> &forget) {
    if (!s.is_leaf(s.load(at), level) || !(s.load(at) & kContiguous))
      return;
    uint64_t bytes = s.tree.size(level) * s.run(level), first = s.low(in) & ~(bytes - 1);
    uint64_t base = at - (s.low(in) - first) / s.tree.size(level) * 8;
    for (unsigned i = 0; i < s.run(level); i++)
      s.store(base + i * 8, s.load(base + i * 8) & ~kContiguous);
    forget(first, bytes, level, false);
  }
  // One descriptor, or a whole run of leaves; `forget` is told what may be cached of the old: from where, how many bytes,
  // leaves of which level (0: any), and whether tables are among it.
  void edit_stage(Stage &s, uint64_t in, const std::function<void(uint64_t, uint64_t, int, bool)> &forget) {
    int level = random() % 5 ? 3 : s.tree.start + static_cast<int>(random() % static_cast<unsigned>(4 - s.tree.start));
    uint64_t at;
    if (!s.reach(in, level, at))
      return;
    bool run = s.run(level) && s.block(level) && random() % 5 == 0;
    uint64_t size = s.tree.size(level), bytes = run ? size * s.run(level) : size, first = s.low(in) & ~(bytes - 1);
    if (!s.first() && first < kGuestUsed) { // the guest's memory stays where it is
      if (level != 3)
        return;
      dissolve(s, in, level, at, forget);
      uint64_t now = kGuestBase + (s.low(in) & ~(size - 1));
      now |= leaf_bits(s) | 3;
      if (random() % 2)
        now |= kS2All;
      s.store(at, now);
      forget(first, size, 3, false);
      return;
    }
    if (!run) {
      dissolve(s, in, level, at, forget);
      uint64_t old = s.load(at), now = new_entry(s, level);
      s.store(at, now);
      if (old & 1) // what was not valid is not cached
        forget(first, size, s.is_leaf(old, level) ? level : 0, s.is_table(old, level));
      return;
    }
    if (s.tree.shape.in_bits < 48 && bytes > bit(s.tree.shape.in_bits - 1))
      return;
    uint64_t base = at - (s.low(in) - first) / size * 8, out = output(s, level) & ~(bytes - 1),
             bits = leaf_bits(s) | kS1Af;
    if (!s.first() && !out)
      return;
    bool tables = false;
    for (unsigned i = 0; i < s.run(level); i++)
      tables |= s.is_table(s.load(base + i * 8), level);
    for (unsigned i = 0; i < s.run(level); i++)
      s.store(base + i * 8, 0);
    forget(first, bytes, tables ? 0 : level, tables); // break before make
    for (unsigned i = 0; i < s.run(level); i++)
      s.store(base + i * 8, (out + i * size) | bits | kContiguous | (level == 3 ? 3 : 1));
  }

  // One of the ways to say these addresses. False: none but larger commands.
  bool pages(const Stage &s, uint64_t first, uint64_t bytes, int level, bool tables, Pages &p) {
    p = Pages();
    p.leaf = !tables && random() % 4;
    p.addr = s.full(first);
    const unsigned tg = 1 + static_cast<unsigned>(s.tree.shape.granule);
    bool one = level && bytes == s.tree.size(level);
    if (!cfg.ril || (one && random() % 3 == 0)) // any address of the page or block
      return one && !tables ? (p.addr += random() % (bytes / 4096) * 4096, true) : false;
    p.tg = tg;
    if (level && random() % 2)
      p.ttl = static_cast<unsigned>(level);
    uint64_t count = bytes / s.page();
    unsigned scale = 0;
    while ((count >> scale) > 32 || (((count >> scale) << scale) == count && (count >> scale) > 1 && random() % 2))
      scale++;
    if (scale > 31) // five bits without DS
      return false;
    p.scale = scale, p.num = static_cast<unsigned>(((count + bit(scale) - 1) >> scale) - 1);
    if (!p.num && !p.scale && !p.ttl) {
      if (level != 3)
        return false;
      p.ttl = 3;
    }
    return true;
  }
  void forget_stage1(unsigned g, const Space *space, Stage &s, uint64_t first, uint64_t bytes, int level, bool tables) {
    unsigned asid = space ? space->asid : 1 + static_cast<unsigned>(random() % 3);
    Pages p;
    bool say = pages(s, first, bytes, level, tables, p), one_asid = space || !tables;
    unsigned way = random() % 8;
    if (g == kEl2) {
      if (say && one_asid && way < 4)
        send(cmd::el2_va(asid, p));
      else if (say && way < 6)
        send(cmd::el2_vaa(p));
      else if (space && e2h && way < 7)
        send(cmd::el2_asid(asid));
      else
        send(cmd::el2_all());
      return;
    }
    if (say && one_asid && way < 4)
      send(cmd::nh_va(kVmid[g], asid, p));
    else if (say && way < 6)
      send(cmd::nh_vaa(kVmid[g], p));
    else if (space && way < 7)
      send(cmd::nh_asid(kVmid[g], asid));
    else if (random() % 2)
      send(cmd::nh_all(kVmid[g]));
    else
      send(random() % 2 ? cmd::s12_vmall(kVmid[g]) : cmd::nsnh_all());
  }
  void edit_lower() {
    unsigned g = random() % kRegimes;
    Space &space = spaces[g][random() % spaces[g].size()];
    edit_stage(*space.lower, ins.pick(random), [&](uint64_t first, uint64_t bytes, int level, bool tables) {
      forget_stage1(g, &space, *space.lower, first, bytes, level, tables);
    });
  }
  void edit_upper() {
    unsigned g = random() % kRegimes;
    if (upper[g])
      edit_stage(*upper[g], ins.pick(random), [&](uint64_t first, uint64_t bytes, int level, bool tables) {
        forget_stage1(g, nullptr, *upper[g], first, bytes, level, tables);
      });
  }
  void edit_stage2() {
    unsigned v = random() % 2, vmid = kVmid[kGuest0 + v];
    Stage &s = *s2[v];
    uint64_t in = random() % 4 ? ipas.pick(random) : random() % guest_alloc(0);
    edit_stage(s, in, [&](uint64_t first, uint64_t bytes, int level, bool tables) {
      Pages p;
      if (first < kGuestUsed) // CDs were read through it
        send(cmd::cfgi_all());
      if (pages(s, first, bytes, level, tables, p) && random() % 4) {
        send(cmd::s2_ipa(vmid, p));
        send(cmd::nh_all(vmid)); // for combined translations
      } else {
        send(random() % 4 ? cmd::s12_vmall(vmid) : cmd::nsnh_all());
      }
    });
  }
  // Which CDs a stream has: by its configuration.
  void write_cd(unsigned s, unsigned ssid, unsigned g) {
    Space &space = spaces[g][random() % spaces[g].size()];
    Cd c(space.asid);
    space.lower->tree.describe(c, 0);
    if (space.upper)
      space.upper->tree.describe(c, 1);
    c.set(IMS_CD_HA, space.ha)
        .set(IMS_CD_HD, space.hd)
        .set(IMS_CD_HAFT, space.haft)
        .set(IMS_CD_WXN, space.wxn)
        .set(IMS_CD_PAN, space.pan);
    c.set(IMS_CD_HAD0, space.had).set(IMS_CD_HAD1, 0).set(IMS_CD_ASET, space.aset);
    // What is nobody's business but the CD's.
    c.set(IMS_CD_V, random() % 24 != 0).set(IMS_CD_A, random() % 2).set(IMS_CD_R, random() % 4 != 0);
    c.set(IMS_CD_TBI0, random() % 2)
        .set(IMS_CD_EPD0, random() % 12 == 0)
        .set(IMS_CD_EPD1, !space.upper || random() % 12 == 0);
    c.set(IMS_CD_E0PD0, random() % 12 == 0);
    if (random() % 32 == 0)
      c.set(IMS_CD_TG0, 3);
    bool nested = g == kGuest0 || g == kGuest1;
    uint64_t at = (nested ? kGuestBase + guest_cds[s] : host_cds[s]) + ssid * 64;
    for (int i = IMS_CD_WORDS - 1; i >= 0; i--)
      store(at + unsigned(i) * 8, c.word[i]);
  }
  unsigned regime(unsigned s) {
    return config[s] == kNested ? kGuest0 + guest[s] : s == kStreams - 1 ? unsigned(kEl2) : unsigned(kHost);
  }
  void edit_cd() {
    unsigned s = random() % kStreams, ssid = random() % kCds;
    if (config[s] != kS1 && config[s] != kNested)
      return;
    bool nested = config[s] == kNested;
    if (random() % 16 == 0) { // the level-1 descriptor
      uint64_t at = (nested ? kGuestBase + guest_cds[s] : host_cds[s]) + 2048;
      store(at, load(at) ^ 1);
      send(random() % 2 ? cmd::cfgi_cd_all(s) : cmd::cfgi_ste(s));
      return;
    }
    write_cd(s, ssid, regime(s));
    switch (random() % 6) {
    case 0: send(cmd::cfgi_cd_all(s)); break;
    case 1: send(cmd::cfgi_ste(s, random() % 2)); break;
    case 2: send(cmd::cfgi_ste_range(s, static_cast<unsigned>(random() % 4))); break;
    default: send(cmd::cfgi_cd(s, ssid, random() % 2));
    }
  }
  void edit_ste(unsigned s) {
    const unsigned kinds[] = {kAbort, kBypass, kS1, kS1, kS1, kS2, kS2, kNested, kNested, kNested, kNested, kNested};
    config[s] = kinds[random() % 12];
    if (s == kStreams - 1)
      config[s] = kS1; // the one of EL2
    guest[s] = random() % 2;
    Ste e(config[s]);
    unsigned v = guest[s];
    bool first = config[s] & 1 && config[s] > 4, second = config[s] >= 6, fmt = random() % 2;
    if (first) {
      uint64_t cds = second ? guest_cds[s] : host_cds[s];
      e.set(IMS_STE_S1CDMAX, random() % 12 ? 3 : 2)
          .set(IMS_STE_S1FMT, fmt)
          .at(IMS_STE_S1CONTEXTPTR, cds + (fmt ? 2048 : 0));
      e.set(IMS_STE_S1DSS, random() % 3);
      e.set(IMS_STE_STRW, s == kStreams - 1 ? 2 : 0);
    }
    e.set(IMS_STE_S2VMID, second ? kVmid[kGuest0 + v] : kVmid[kHost]);
    if (second) {
      s2[v]->tree.describe(e);
      e.set(IMS_STE_S2HA, s2ha[v])
          .set(IMS_STE_S2HD, s2hd[v])
          .set(IMS_STE_S2HAFT, cfg.httu > 2 && s2ha[v])
          .set(IMS_STE_S2PTW, s2ptw[v])
          .set(IMS_STE_S2FWB, s2fwb[v]);
      e.set(IMS_STE_S2ENDI, s2[v]->big).set(IMS_STE_S2R, random() % 4 != 0);
    }
    e.set(IMS_STE_EATS, random() % 6 == 0 ? 0 : config[s] == kNested ? 1 + random() % 2 : 1);
    e.set(IMS_STE_PRIVCFG, random() % 4 ? 0 : random() % 4).set(IMS_STE_INSTCFG, random() % 4 ? 0 : random() % 4);
    e.set(IMS_STE_SHCFG, random() % 4)
        .set(IMS_STE_MTCFG, random() % 4 == 0)
        .set(IMS_STE_MEMATTR, random() % 2 ? 5 : 15);
    if (random() % 24 == 0)
      e.set(IMS_STE_V, 0);
    if (random() % 32 == 0)
      e.set(IMS_STE_S2TG, 3).set(IMS_STE_S1CDMAX, 31);
    set_ste(s, e);
    if (first)
      for (unsigned ssid = 0; ssid < kCds; ssid++)
        write_cd(s, ssid, regime(s));
    switch (random() % 4) {
    case 0: send(cmd::cfgi_all()); break;
    case 1: send(cmd::cfgi_ste_range(s & ~3u, 1)); break;
    default: send(cmd::cfgi_ste(s, random() % 2));
    }
  }
  void edit_stream_table() {
    uint64_t at = l1std_at(0);
    store(at, (load(at) & ~uint64_t(31)) | (random() % 5 ? 7 : random() % 5));
    send(cmd::cfgi_all());
  }
  // Commands that nothing demands.
  void noise() {
    Pages p;
    p.addr = ins.pick(random) & ~uint64_t(0xfff);
    switch (random() % 6) {
    case 0: submit(cmd::prefetch_config(static_cast<uint32_t>(random() % kStreams))); break;
    case 1: submit(cmd::prefetch_addr(static_cast<uint32_t>(random() % kStreams), p.addr)); break;
    case 2: submit(cmd::nh_va(1, 1, p)); break;
    case 3: submit(cmd::s2_ipa(2, p)); break;
    case 4: submit(cmd::nh_asid(7, 2)); break;
    default: submit(cmd::cfgi_cd(static_cast<uint32_t>(random() % kStreams), 1)); break;
    }
  }
  void edit() {
    unsigned what = random() % 100;
    if (what < 40)
      edit_lower();
    else if (what < 52)
      edit_upper();
    else if (what < 78)
      edit_stage2();
    else if (what < 90)
      edit_cd();
    else if (what < 96)
      edit_ste(static_cast<unsigned>(random() % kStreams));
    else if (what < 98)
      noise();
    if (random() % 6 == 0) {
      unsigned g = random() % kRegimes;
      Stage *stages[] = {s2[0].get(), s2[1].get(), upper[g].get(), spaces[g][random() % spaces[g].size()].lower.get()};
      for (Stage *stage : stages)
        if (stage)
          populate(*stage);
    }
    if (what >= 98 && invalidate && random() % 2)
      edit_stream_table();
  }

  // ---- Requests

  ims_request random_request() {
    if (last.source < kStreams && random() % 3) { // the same page once more
      last.iova = (last.iova & ~uint64_t(0xfff)) | random() % 4096;
      last.access = random_access();
      return last;
    }
    return last = other_request();
  }
  uint8_t random_access() {
    const unsigned accesses[] = {R, R, R, W, W, R | W, X};
    return static_cast<uint8_t>(accesses[random() % 7] | (random() % 4 ? 0 : PRIV));
  }
  ims_request other_request() {
    uint32_t sid = static_cast<uint32_t>(random() % kStreams);
    if (config[sid] < kS1)
      sid = static_cast<uint32_t>(random() % kStreams); // once more
    uint64_t at = config[sid] == kS2 || config[sid] < 5 ? ipas.pick(random) : ins.pick(random);
    if (random() % 4 == 0 && (config[sid] == kS1 || config[sid] == kNested))
      at |= ~(bit(48) - 1); // upper half
    at |= random() % 4096;
    if (random() % 40 == 0)
      at = random();
    ims_request r = dma(sid, at, random_access());
    if (random() % 16 && (config[sid] == kS1 || config[sid] == kNested))
      r.has_pasid = true, r.pasid = static_cast<uint32_t>(random() % (random() % 16 ? kCds : 20));
    if (random() % 6 == 0)
      r.type = IMS_TRANSLATION_REQUEST, r.no_write = random() % 2;
    else if (random() % 20 == 0)
      r.type = IMS_TRANSLATED, r.iova = ipas.pick(random), r.has_pasid = false;
    return r;
  }

  static constexpr unsigned kStreams = 7, kCds = 8;
  Random random;
  Addresses ins, ipas;
  bool invalidate = false, e2h = false;
  std::unique_ptr<Stage> s2[2], upper[kRegimes];
  bool s2ha[2], s2hd[2], s2ptw[2], s2fwb[2];
  std::vector<Space> spaces[kRegimes];
  unsigned config[kStreams] = {}, guest[kStreams] = {};
  uint64_t host_cds[kStreams] = {}, guest_cds[kStreams] = {};
  ims_request last = dma(kStreams, 0);
  std::unique_ptr<Plain> plain;
};

struct CachedEqualsUncached : ::testing::TestWithParam<unsigned> {};

TEST_P(CachedEqualsUncached, AfterWhatSoftwareMustSend) {
  Random3 w(GetParam());
  std::map<std::string, unsigned> kinds;
  for (int round = 0; round < 250; round++) {
    for (int i = 0; i < 16; i++) {
      ims_request r = w.random_request();
      ims_result cached = w.request(r), plain = w.plain->request(r);
      ASSERT_EQ(outcome(plain), outcome(cached))
          << "round " << round << ": sid " << r.source << (r.has_pasid ? " ssid " + std::to_string(r.pasid) : "")
          << " iova " << std::hex << r.iova << " access " << unsigned(r.access) << " type " << unsigned(r.type)
          << "\n plain " << text(plain) << "\n cached " << text(cached);
      kinds[plain.status == IMS_STATUS_FAULT ? "fault" : plain.status == IMS_STATUS_OK ? "ok" : "other"]++;
    }
    w.events();
    w.expect_same_memory();
    w.edit();
    ASSERT_EQ(kNone, w.command_error()) << "round " << round;
  }
  EXPECT_GT(kinds["ok"], 100u);
  EXPECT_GT(kinds["fault"], 100u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, CachedEqualsUncached, ::testing::Range(1u, 61u));

// Without invalidations. Only leaves of one stage change, so that every cached piece belongs to some one state of the
// tables: then each answer is one that the tables gave at some time.
struct StaleIsOnceTrue : ::testing::TestWithParam<unsigned> {};

TEST_P(StaleIsOnceTrue, LeavesChange) {
  for (unsigned stream_config : {kS1 + 0u, kS2 + 0u, kNested + 0u})
    for (bool stage2 : {false, true}) {
      if ((stream_config == kS1 && stage2) || (stream_config == kS2 && !stage2))
        continue;
      Random random(GetParam());
      Config c = random_config(random);
      c.rights_from_cache = 0;
      Plan p = nested4k();
      p.config = stream_config;
      p.s1.granule = static_cast<Granule>(random() % 3), p.s2.granule = static_cast<Granule>(random() % 3);
      World w(p, c);
      w.compare_memory = false;
      Plain plain(w);
      Tree &t = stage2 ? w.s2 : w.s1;
      const uint64_t size = t.size(3), page1 = w.s1.size(3);
      // Eight pages: stage 1 leads to eight of the guest, which stage 2 maps.
      const uint64_t va = (w.has_s1() ? w.va : w.ipa) & ~(uint64_t(8) * 64 * KB - 1), ipa = kGuestTop + 4 * MB;
      const uint64_t step = w.has_s1() && w.has_s2() && !stage2 ? page1 : size;
      for (unsigned i = 0; i < 8; i++) {
        uint64_t in = w.has_s1() ? ipa : va;
        if (w.has_s1())
          w.s1.map((va + i * step) & ~(page1 - 1), (w.has_s2() ? in + i * step : 2 * GB + i * step) & ~(page1 - 1),
                   kS1All);
        if (w.has_s2())
          w.s2.map((in + i * step) & ~(w.s2.size(3) - 1), (2 * GB + i * step) & ~(w.s2.size(3) - 1), kS2All);
      }
      if (w.has_s1() && w.has_s2())
        w.map_all(); // tables made since
      std::map<unsigned, std::set<std::string>> history;
      auto remember = [&] {
        for (unsigned i = 0; i < 8; i++)
          history[i].insert(outcome(plain.request(w.ask(R, va + i * step))));
      };
      remember();
      unsigned stale = 0;
      for (int round = 0; round < 100; round++) {
        unsigned i = random() % 8;
        uint64_t bits = stage2 ? kS2All : kS1All,
                 out = w.has_s2() && !stage2 ? ipa + random() % 8 * step : 3 * GB + random() % 64 * size;
        uint64_t in = stage2 && w.has_s1() ? ipa + i * step : va + i * step;
        w.store(t.at(in), random() % 5 ? (out & ~(size - 1)) | bits | 3 : 0);
        remember();
        for (int n = 0; n < 6; n++) {
          unsigned j = random() % 8;
          ims_request r = w.ask(R, va + j * step);
          std::string got = outcome(w.request(r));
          ASSERT_TRUE(history[j].count(got)) << "never true: " << got;
          stale += got != outcome(plain.request(r));
        }
        w.events();
      }
      if (c.iotlb_entries / (c.iotlb_partitions ? c.iotlb_partitions : 1) >= 16) {
        EXPECT_GT(stale, 0u) << "something has been cached";
      }
    }
}

// CDs move between whole address spaces.
TEST_P(StaleIsOnceTrue, CdsChange) {
  Random random(GetParam());
  Config c = random_config(random);
  Machine m(c);
  m.start();
  m.compare_memory = false;
  Ste e(kS1);
  m.make_cd_table(e, 3);
  e.set(IMS_STE_S1DSS, 2);
  m.set_ste(kStream, e);
  Plain plain(m);
  constexpr uint64_t kVa = 0x123456780000;
  std::vector<std::unique_ptr<Tree>> trees;
  for (unsigned i = 0; i < 4; i++) {
    trees.emplace_back(new Tree(m, Shape()));
    for (unsigned j = 0; j < 4; j++)
      if (random() % 5)
        trees[i]->map(kVa + j * 4096, 2 * GB + (i * 4 + j) * 4096, kS1All);
  }
  std::map<std::pair<unsigned, unsigned>, std::set<std::string>> history;
  auto remember = [&] {
    for (unsigned s = 1; s <= 3; s++)
      for (unsigned j = 0; j < 4; j++)
        history[{s, j}].insert(outcome(plain.request(dma(kStream, s, kVa + j * 4096, R))));
  };
  remember();
  for (int round = 0; round < 150; round++) {
    unsigned space = random() % 4;
    Cd cd(space + 1); // each space its ASID
    trees[space]->describe(cd);
    cd.set(IMS_CD_V, random() % 8 != 0);
    m.set_cd(kStream, 1 + random() % 3, cd);
    remember();
    for (int n = 0; n < 6; n++) {
      unsigned s = 1 + random() % 3, j = random() % 4;
      std::string got = outcome(m.request(dma(kStream, s, kVa + j * 4096, R)));
      ASSERT_TRUE(history[std::make_pair(s, j)].count(got)) << "never true: " << got;
    }
    m.events();
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, StaleIsOnceTrue, ::testing::Range(1u, 21u));

// Bytes without sense in every structure, pages that point at each other and at themselves.
struct Hostile : ::testing::TestWithParam<unsigned> {};

TEST_P(Hostile, BytesInAllStructures) {
  Random random(GetParam());
  Config c = random_config(random);
  c.ttf = 1 + random() % 3, c.oas = random() % 7, c.ds = c.oas == 6, c.vax = random() % 2;
  c.httu = random() % 4, c.version = 4, c.pasidtt = random() % 2, c.stall_max = 4;
  Machine m(c);
  m.compare_memory = false;
  Layout l;
  l.two_level = random() % 2;
  m.start(l);
  const uint64_t arena = m.alloc(64, 64), size = 64 * 4096;
  for (int round = 0; round < 30; round++) {
    for (uint64_t a = arena; a < arena + size; a += 8) {
      uint64_t v = (arena + (random() % 64 << 12)) | (random() & 0x7ff);
      switch (random() % 8) {
      case 0: v = random(); break;
      case 1: v &= ~uint64_t(1); break;
      case 2: v = random() % 3 ? v & ~uint64_t(2) : 0; break;
      default: v |= 3 | (random() % 4 ? kS1Af : 0);
      }
      m.store(a, v);
    }
    m.disable(1);
    m.put(IMS_SMMUV3_STRTAB_BASE, random() % 4 ? m.stream_table : arena);
    m.enable(1);
    // A bit of sense, so that walks get somewhere.
    for (uint32_t sid = 0; sid < 4; sid++) {
      auto page = [&] { return arena + (random() % 64 << 12); };
      Ste e(4 + static_cast<unsigned>(random() % 4));
      e.at(IMS_STE_S1CONTEXTPTR, page()).at(IMS_STE_S2TTB, page()).set(IMS_STE_S1CDMAX, random() % 5);
      e.set(IMS_STE_S1FMT, random() % 4).set(IMS_STE_S1DSS, random() % 4).set(IMS_STE_EATS, random() % 3);
      e.set(IMS_STE_S2AA64, random() % 4 != 0).set(IMS_STE_S2TG, random() % 4).set(IMS_STE_S2SL0, random() % 4);
      e.set(IMS_STE_S2T0SZ, 12 + random() % 40).set(IMS_STE_S2PS, random() % 8).set(IMS_STE_S2HA, random() % 2);
      e.set(IMS_STE_S2HD, random() % 2).set(IMS_STE_S2DS, random() % 2).set(IMS_STE_S2ENDI, random() % 4 == 0);
      e.set(IMS_STE_S2S, random() % 4 == 0)
          .set(IMS_STE_S2PTW, random() % 2)
          .set(IMS_STE_STRW, random() % 8 ? 0 : random() % 4);
      if (random() % 3 == 0)
        e.set(IMS_STE_S2TG, 0)
            .set(IMS_STE_S2SL0, 2)
            .set(IMS_STE_S2T0SZ, 16)
            .set(IMS_STE_S2AA64, 1)
            .set(IMS_STE_S2PS, 5);
      m.set_ste(sid, e);
      for (unsigned i = 0; i < 16; i++) {
        Cd d(static_cast<unsigned>(random() % 256));
        d.at(IMS_CD_TTB0, page()).at(IMS_CD_TTB1, page()).set(IMS_CD_EPD0, 0).set(IMS_CD_EPD1, random() % 2);
        d.set(IMS_CD_T0SZ, 12 + random() % 36).set(IMS_CD_T1SZ, 12 + random() % 36).set(IMS_CD_TG0, random() % 3);
        d.set(IMS_CD_TG1, 1 + random() % 3).set(IMS_CD_AA64, random() % 4 != 0).set(IMS_CD_HA, random() % 2);
        d.set(IMS_CD_HD, random() % 2).set(IMS_CD_S, random() % 4 == 0).set(IMS_CD_DS, random() % 2);
        d.set(IMS_CD_IPS, random() % 8).set(IMS_CD_ENDI, random() % 4 == 0).set(IMS_CD_TBI0, random() % 2);
        if (ims_ste_get(e.word, IMS_STE_CONFIG) == kS1)
          for (unsigned n = 0; n < IMS_CD_WORDS; n++)
            m.store((ims_ste_address(e.word, IMS_STE_S1CONTEXTPTR) & ~uint64_t(0xfff)) + i * 64 + n * 8, d.word[n]);
      }
    }
    for (int n = 0; n < 60; n++) {
      ims_request r = dma(static_cast<uint32_t>(random() % 8 ? random() % 4 : random()),
                          random() % 3 ? random() : arena + random() % size);
      if (random() % 3)
        r.iova &= bit(static_cast<unsigned>(12 + random() % 40)) - 1;
      r.access = static_cast<uint8_t>(random() % 16);
      r.has_pasid = random() % 2;
      r.pasid = static_cast<uint32_t>(random() % 4 ? random() % 16 : random() % bit(20));
      r.type = static_cast<uint8_t>(random() % 3 ? 0 : random() % 3);
      r.no_write = random() % 2;
      m.request(r);
      if (random() % 8 == 0) {
        Command d = {{(random() % 2 ? random() : 0) << 12 | random() % 0x48, random()}};
        m.submit(random() % 2 ? cmd::nsnh_all() : d);
        if (m.command_error() != kNone) { // skip what it cannot take
          uint64_t at = m.get(IMS_SMMUV3_CMDQ_CONS) & 0xfffff;
          Command nothing = cmd::sync();
          m.store(m.command_at(static_cast<uint32_t>(at)), nothing.word[0]);
          m.store(m.command_at(static_cast<uint32_t>(at)) + 8, nothing.word[1]);
          m.acknowledge(1);
        }
      }
      if (random() % 16 == 0)
        m.submit(cmd::stall_term(static_cast<uint32_t>(random() % 4)));
    }
    m.events();
    m.expect_same_memory();
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Hostile, ::testing::Range(1u, 13u));

} // namespace
} // namespace smmu
