// SPDX-License-Identifier: Apache-2.0
// The cache alone: against a list of items in the order of their use (LRU) or arrival (FIFO), and against what must hold
// under any policy.
#include "iommu/cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <map>
#include <random>
#include <vector>

namespace {

struct Item {
  uint64_t addr, id, aux, value;
};

struct Cache : ims_cache {
  Cache(uint32_t entries_, uint32_t ways_, ims_replacement how, bool sized_ = false, uint64_t seed = 1,
        uint32_t parts = 1, bool salted_ = false, const ims_cache_policy *policy_ = nullptr, bool by_address_ = false) {
    ims_cache_config c = {};
    c.entries = entries_;
    c.ways = ways_;
    c.value_size = sizeof(uint64_t);
    c.sized = sized_;
    c.replacement = how;
    c.seed = seed;
    c.partitions = parts;
    c.salted = salted_;
    c.by_address = by_address_;
    c.policy = policy_;
    EXPECT_EQ(IMS_ERR_OK, ims_cache_init(this, &c));
  }
  ~Cache() { ims_cache_fini(this); }
  Cache(const Cache &) = delete;
  Cache &operator=(const Cache &) = delete;

  void put(const Item &i) {
    ims_tag t = {i.addr, i.id};
    ims_cache_fill(this, &t, i.aux, &i.value);
  }
  const uint64_t *get(uint64_t addr, uint64_t id) {
    ims_tag t = {addr, id};
    return static_cast<const uint64_t *>(ims_cache_lookup(this, &t));
  }
  std::vector<Item> items() const {
    std::vector<Item> all;
    ims_cache_each(
        this,
        [](void *ctx, const ims_tag *t, uint64_t a, const void *v) {
          static_cast<std::vector<Item> *>(ctx)->push_back({t->addr, t->id, a, *static_cast<const uint64_t *>(v)});
          return true;
        },
        &all);
    return all;
  }
};

// Sets of lists, oldest first. The set is the cache's own function: which pages meet is no rule of the architecture.
struct Model {
  const Cache &c;
  bool lru;
  std::map<uint32_t, std::list<Item>> set;
  uint64_t evictions = 0;

  std::list<Item>::iterator find(uint64_t addr, uint64_t id) {
    auto &s = set[ims_cache_set(&c, addr, id)];
    return std::find_if(s.begin(), s.end(), [&](const Item &i) { return i.addr == addr && i.id == id; });
  }
  const Item *get(uint64_t addr, uint64_t id) {
    auto &s = set[ims_cache_set(&c, addr, id)];
    auto it = find(addr, id);
    if (it == s.end())
      return nullptr;
    if (lru)
      s.splice(s.end(), s, it);
    return &*it;
  }
  void put(const Item &i) {
    auto &s = set[ims_cache_set(&c, i.addr, i.id)];
    auto it = find(i.addr, i.id);
    if (it != s.end()) {
      s.erase(it);
    } else if (s.size() == c.ways) {
      s.pop_front();
      evictions++;
    }
    s.push_back(i);
  }
};

const uint32_t kGeometry[][2] = {{1, 1},  {2, 1},  {4, 0},   {8, 2},  {16, 4},
                                 {24, 3}, {64, 8}, {48, 12}, {40, 0}, {100, 9}};

TEST(Cache, LruAndFifoFollowTheModel) {
  for (ims_replacement policy : {IMS_REPLACE_LRU, IMS_REPLACE_FIFO})
    for (const auto &g : kGeometry) {
      SCOPED_TRACE(std::to_string(g[0]) + " entries, " + std::to_string(g[1]) + " ways, policy " +
                   std::to_string(policy));
      Cache c(g[0], g[1], policy);
      Model m = {c, policy == IMS_REPLACE_LRU, {}, 0};
      std::mt19937_64 random(g[0] * 31 + g[1]);
      uint64_t lookups = 0, hits = 0, fills = 0;
      for (int n = 0; n < 4000; n++) {
        uint64_t addr = ims_tag_addr((random() % (3 * g[0] + 2)) << 12, 12), id = 1 + random() % 3;
        if (random() % 3) {
          const Item *want = m.get(addr, id);
          const uint64_t *got = c.get(addr, id);
          ASSERT_EQ(want != nullptr, got != nullptr) << "step " << n;
          if (want) {
            ASSERT_EQ(want->value, *got);
            hits++;
          }
          lookups++;
        } else {
          Item i = {addr, id, random(), random()};
          m.put(i);
          c.put(i);
          fills++;
        }
      }
      EXPECT_EQ(hits, c.count.hits);
      EXPECT_EQ(lookups, c.count.hits + c.count.misses);
      EXPECT_EQ(fills, c.count.fills);
      EXPECT_EQ(m.evictions, c.count.evictions);
      size_t present = 0;
      for (auto &s : m.set)
        present += s.second.size();
      EXPECT_EQ(present, c.items().size());
    }
}

// Whatever the policy: never more than `ways` in a set, no tag twice, what comes out is what went in last, and every fill
// is present, evicted, replaced by its own tag, or invalidated.
TEST(Cache, ConservationUnderEveryPolicy) {
  for (int policy = IMS_REPLACE_LRU; policy <= IMS_REPLACE_RANDOM; policy++)
    for (bool sized : {false, true})
      for (const auto &g : kGeometry) {
        SCOPED_TRACE(std::to_string(g[0]) + " entries, " + std::to_string(g[1]) + " ways, policy " +
                     std::to_string(policy) + (sized ? ", sized" : ""));
        Cache c(g[0], g[1], static_cast<ims_replacement>(policy), sized, 77);
        EXPECT_GE(c.entries, g[0]);
        EXPECT_EQ(c.entries, c.sets * c.ways);
        std::mt19937_64 random(policy * 1000 + g[0]);
        std::map<std::pair<uint64_t, uint64_t>, Item> last;
        uint64_t replaced = 0;
        for (int n = 0; n < 1500; n++) {
          unsigned shift = sized && random() % 3 == 0 ? 21 : 12;
          uint64_t addr = ims_tag_addr((random() % (2 * g[0] + 2)) << 12, shift), id = 1 + random() % 3;
          switch (random() % 8) {
          case 0: {
            ims_cache_match match = {};
            match.id = 1 + random() % 3;
            match.id_mask = ~uint64_t(0);
            match.first = (random() % (2 * g[0] + 2)) << 12;
            match.last = match.first + 4095;
            ims_cache_invalidate(&c, &match);
            break;
          }
          case 1:
          case 2:
          case 3: {
            bool there = ims_cache_find(&c, addr, id) >= 0;
            Item i = {addr, id, random(), random()};
            c.put(i);
            ASSERT_GE(ims_cache_find(&c, addr, id), 0) << "what was just filled is there";
            replaced += there;
            last[{addr, id}] = i;
            break;
          }
          default: c.get(sized ? addr >> shift << shift : addr, id);
          }
        }
        std::map<uint32_t, uint32_t> in_set;
        std::map<std::pair<uint64_t, uint64_t>, int> seen;
        for (const Item &i : c.items()) {
          EXPECT_LE(++in_set[ims_cache_set(&c, i.addr, i.id)], c.ways);
          EXPECT_EQ(1, ++(seen[{i.addr, i.id}]));
          const Item &want = last[{i.addr, i.id}];
          EXPECT_EQ(want.value, i.value);
          EXPECT_EQ(want.aux, i.aux);
        }
        EXPECT_EQ(c.count.fills, c.items().size() + c.count.evictions + c.count.invalidated + replaced);
        if (sized) {
          uint64_t reaches = 0;
          for (const Item &i : c.items())
            reaches |= uint64_t(1) << (i.addr & 63);
          EXPECT_EQ(reaches, c.reaches) << "no reach is looked for in vain";
        }
      }
}

// A look-up by plain address finds the smallest item that covers it, as brute force does.
TEST(Cache, SizedLookups) {
  Cache c(4096, 0, IMS_REPLACE_LRU, true);
  std::mt19937_64 random(5);
  for (int n = 0; n < 300; n++) {
    unsigned shift = (random() % 3) * 9 + 12;
    c.put({ims_tag_addr(random() % (uint64_t(1) << 33), shift), 1 + random() % 2, 0, random()});
  }
  std::vector<Item> all = c.items();
  for (int n = 0; n < 3000; n++) {
    uint64_t addr = random() % (uint64_t(1) << 33), id = 1 + random() % 2;
    if (n % 3 == 0) // near something that is there
      addr = (all[random() % all.size()].addr & ~uint64_t(63)) + (random() % 4096);
    const Item *want = nullptr;
    for (const Item &i : all) {
      unsigned shift = i.addr & 63;
      if (i.id == id && i.addr >> shift == addr >> shift && (!want || shift < (want->addr & 63)))
        want = &i;
    }
    const uint64_t *got = c.get(addr, id);
    ASSERT_EQ(want != nullptr, got != nullptr) << std::hex << addr;
    if (want) {
      ASSERT_EQ(want->value, *got);
    }
  }
}

TEST(Cache, InvalidationMatchesBruteForce) {
  for (bool sized : {false, true})
    for (uint32_t ways : {0u, 4u, 7u})
      for (int round = 0; round < 60; round++) {
        Cache c(256, ways, IMS_REPLACE_LRU, sized);
        std::mt19937_64 random(round * 2 + sized);
        for (int n = 0; n < 150; n++) {
          unsigned shift = (random() % 3) * 9 + 12;
          uint64_t base = random() % 4 ? random() % (64 << 12) : random() % (uint64_t(1) << 40);
          if (random() % 8 == 0)
            base |= 0xffff800000000000; // the upper canonical half
          c.put({ims_tag_addr(base, shift), (1 + random() % 3) << 36 | (random() % 3) << 16 | random() % 3,
                 random() % 8, random()});
        }
        ims_cache_match m = {};
        switch (random() % 4) {
        case 0: m.id_mask = ~uint64_t(0); break;
        case 1: m.id_mask = IMS_TAG_DOMAIN_MASK; break;
        case 2: m.id_mask = IMS_TAG_DOMAIN_MASK | IMS_TAG_KIND_MASK; break;
        default: break;
        }
        m.id = ((1 + random() % 3) << 36 | (random() % 3) << 16 | random() % 3) & m.id_mask;
        m.aux_mask = random() % 3 == 0 ? 3 : 0;
        m.aux = random() & m.aux_mask;
        m.any_addr = random() % 4 == 0;
        unsigned am = random() % 2 ? random() % 5 : random() % 40;
        m.first = (random() % 8 ? random() % (64 << 12) : ~random() % (uint64_t(1) << 40)) >> (12 + am) << (12 + am);
        m.last = m.first | ((uint64_t(1) << (12 + am)) - 1);
        std::vector<Item> before = c.items(), want;
        for (const Item &i : before) {
          unsigned reach = i.addr & 63;
          uint64_t first = i.addr >> reach << reach, last = first + ((uint64_t(1) << reach) - 1);
          bool hit = (i.id & m.id_mask) == m.id && (i.aux & m.aux_mask) == m.aux &&
                     (m.any_addr || (first <= m.last && m.first <= last));
          if (!hit)
            want.push_back(i);
        }
        uint64_t epoch = c.epoch;
        EXPECT_EQ(before.size() - want.size(), ims_cache_invalidate(&c, &m));
        EXPECT_EQ(epoch + 1, c.epoch);
        std::vector<Item> after = c.items();
        ASSERT_EQ(want.size(), after.size());
        for (size_t i = 0; i < want.size(); i++) {
          EXPECT_EQ(want[i].addr, after[i].addr);
          EXPECT_EQ(want[i].id, after[i].id);
        }
        for (const Item &i : before) {
          bool kept =
              std::any_of(want.begin(), want.end(), [&](const Item &w) { return w.addr == i.addr && w.id == i.id; });
          EXPECT_EQ(kept, ims_cache_find(&c, i.addr, i.id) >= 0);
        }
      }
}

// Tree-PLRU: with all ways in use, the victim is never the way used last; and a sweep over as many items as there are
// ways, a power of two, leaves each where it is.
TEST(Cache, PlruSparesWhatWasUsedLast) {
  for (uint32_t ways : {2u, 3u, 4u, 7u, 8u, 16u, 32u}) {
    Cache c(ways, 0, IMS_REPLACE_PLRU);
    std::mt19937_64 random(ways);
    for (uint64_t n = 0; n < ways; n++)
      c.put({ims_tag_addr(n << 12, 12), 1, 0, n});
    EXPECT_EQ(ways, c.items().size());
    for (uint64_t n = ways; n < 1000; n++) {
      std::vector<Item> all = c.items();
      const Item &used = all[random() % all.size()];
      ASSERT_NE(nullptr, c.get(used.addr, 1));
      c.put({ims_tag_addr(n << 12, 12), 1, 0, n});
      ASSERT_GE(ims_cache_find(&c, used.addr, 1), 0) << "ways " << ways;
      ASSERT_EQ(ways, c.items().size());
    }
  }
}

TEST(Cache, RandomReplacementIsDeterministic) {
  auto run = [](uint64_t seed) {
    Cache c(16, 4, IMS_REPLACE_RANDOM, false, seed);
    for (uint64_t n = 0; n < 500; n++)
      c.put({ims_tag_addr(n << 12, 12), 1, 0, n});
    std::vector<uint64_t> left;
    for (const Item &i : c.items())
      left.push_back(i.value);
    return left;
  };
  EXPECT_EQ(run(3), run(3));
  EXPECT_NE(run(3), run(5));
}

TEST(Cache, AbsentCacheMissesWithoutCounting) {
  Cache c(0, 4, IMS_REPLACE_LRU, true);
  c.put({ims_tag_addr(0x1000, 12), 1, 0, 1});
  EXPECT_EQ(nullptr, c.get(0x1000, 1));
  ims_cache_match all = {};
  all.any_addr = true;
  EXPECT_EQ(0u, ims_cache_invalidate(&c, &all));
  EXPECT_EQ(0u, c.count.misses + c.count.hits + c.count.fills);
  EXPECT_TRUE(c.items().empty());
}

TEST(Cache, ValuesNeedASize) {
  ims_cache c;
  ims_cache_config cfg = {};
  cfg.entries = 4;
  EXPECT_EQ(IMS_ERR_INVAL, ims_cache_init(&c, &cfg));
  ims_cache_fini(&c);
}

// Tenants.

Item page(uint64_t n, uint64_t id = 1) { return {ims_tag_addr(n << 12, 12), id, 0, n}; }

TEST(Partitions, DivideTheEntries) {
  const uint32_t shapes[][5] = {
      // entries, ways, parts: ways and sets that come of it
      {64, 4, 1, 4, 16},  {64, 4, 4, 4, 16}, {64, 0, 4, 16, 4}, {64, 0, 1, 64, 1},
      {64, 8, 16, 4, 16}, {3, 0, 4, 1, 4},   {20, 4, 2, 4, 8},
  };
  for (const auto &s : shapes) {
    Cache c(s[0], s[1], IMS_REPLACE_LRU, true, 1, s[2]);
    EXPECT_EQ(s[3], c.ways) << s[0] << "/" << s[1] << "/" << s[2];
    EXPECT_EQ(s[4], c.sets) << s[0] << "/" << s[1] << "/" << s[2];
    EXPECT_EQ(s[3] * s[4], c.entries);
  }
}

TEST(Partitions, AreAPowerOfTwo) {
  ims_cache c;
  ims_cache_config cfg = {};
  cfg.entries = 16;
  cfg.value_size = 8;
  for (uint32_t parts : {3u, 6u, 7u}) {
    cfg.partitions = parts;
    EXPECT_EQ(IMS_ERR_INVAL, ims_cache_init(&c, &cfg));
    ims_cache_fini(&c);
  }
}

// A tenant that fills without end evicts nothing of another, and sees nothing of it.
TEST(Partitions, Isolate) {
  for (int policy = IMS_REPLACE_LRU; policy <= IMS_REPLACE_RANDOM; policy++)
    for (uint32_t ways : {0u, 2u, 4u}) {
      Cache c(64, ways, static_cast<ims_replacement>(policy), true, 5, 4);
      ims_cache_tenant(&c, 4 + 1);
      for (uint64_t n = 0; n < 4; n++)
        c.put(page(n));
      EXPECT_EQ(4u, c.items().size());
      for (uint32_t other : {0u, 2u, 3u, 4u}) {
        ims_cache_tenant(&c, other);
        EXPECT_EQ(nullptr, c.get(0, 1)) << "not this tenant's";
        for (uint64_t n = 100; n < 600; n++)
          c.put(page(n, 1 + other));
      }
      ims_cache_tenant(&c, 1);
      for (uint64_t n = 0; n < 4; n++) {
        const uint64_t *found = c.get(n << 12, 1);
        ASSERT_NE(nullptr, found) << "policy " << policy << " ways " << ways;
        EXPECT_EQ(n, *found);
      }
      EXPECT_GT(c.count.evictions, 1000u);
    }
}

// What was used last by one tenant is not found by the next, in a cache that remembers it.
TEST(Partitions, ForgetWhoWasServedLast) {
  Cache c(16, 4, IMS_REPLACE_LRU, false, 1, 2);
  ims_cache_tenant(&c, 0);
  c.put(page(7));
  ASSERT_NE(nullptr, c.get(page(7).addr, 1));
  ims_cache_tenant(&c, 1);
  EXPECT_EQ(nullptr, c.get(page(7).addr, 1));
  ims_cache_tenant(&c, 0);
  EXPECT_NE(nullptr, c.get(page(7).addr, 1));
}

TEST(Partitions, AreAllInvalidated) {
  for (bool salted : {false, true}) {
    Cache c(256, 4, IMS_REPLACE_LRU, true, 1, salted ? 1 : 8, salted);
    for (uint32_t tenant = 0; tenant < 8; tenant++) {
      ims_cache_tenant(&c, tenant);
      c.put(page(7));
      c.put(page(8));
    }
    uint32_t present = c.present;
    EXPECT_GT(present, 8u);
    ims_cache_match m = {}; // so narrow that it would name its set, if there were one
    m.id = 1;
    m.id_mask = ~uint64_t(0);
    m.first = 7 << 12;
    m.last = (7 << 12) + 4095;
    uint32_t gone = ims_cache_invalidate(&c, &m);
    EXPECT_EQ(present - c.items().size(), gone);
    for (uint32_t tenant = 0; tenant < 8; tenant++) {
      ims_cache_tenant(&c, tenant);
      EXPECT_EQ(nullptr, c.get(7 << 12, 1));
      EXPECT_NE(nullptr, c.get(8 << 12, 1));
    }
  }
}

// Eight tenants with one page each, all at one address: without salt it is one item to them all.
TEST(Salt, LeadsTheSameAddressesOfTenantsApart) {
  for (bool salted : {false, true}) {
    Cache c(64, 1, IMS_REPLACE_LRU, true, 1, 1, salted);
    for (uint32_t tenant = 0; tenant < 8; tenant++) {
      ims_cache_tenant(&c, tenant);
      c.put(page(7));
    }
    EXPECT_GE(c.present, salted ? 7u : 1u); // two may meet by chance
    EXPECT_LE(c.present, salted ? 8u : 1u);
  }
}

// Eight domains with one page each, all at one address: by address alone they meet in one set, of four ways.
TEST(ByAddress, TheSamePageOfDomainsMeetsInOneSet) {
  for (bool by_address : {false, true}) {
    Cache c(64, 4, IMS_REPLACE_LRU, true, 1, 1, false, nullptr, by_address);
    for (uint64_t id = 1; id <= 8; id++)
      c.put(page(7, id));
    if (by_address)
      EXPECT_EQ(c.present, 4u);
    else
      EXPECT_GT(c.present, 4u);
    ims_cache_match m = {};
    m.id = 8;
    m.id_mask = ~uint64_t(0);
    m.first = 7 << 12;
    m.last = (7 << 12) + 4095;
    EXPECT_EQ(ims_cache_invalidate(&c, &m), 1u);
  }
}

// The first level.

struct TwoLevels {
  Cache front, behind;
  TwoLevels(uint32_t first, uint32_t second, bool sized)
      : front(first, 0, IMS_REPLACE_LRU, sized), behind(second, 4, IMS_REPLACE_LRU, sized) {
    behind.front = &front;
  }
  unsigned level(uint64_t addr) {
    ims_tag t = {addr, 1};
    uint8_t level = 0;
    void *found = ims_cache_lookup_levels(&behind, &t, &level);
    return found ? level : level * 10u;
  }
};

TEST(Front, IsAskedFirstAndFilledFromBehind) {
  for (bool sized : {false, true}) {
    TwoLevels c(2, 16, sized);
    auto addr = [&](uint64_t n) { return sized ? n << 12 : page(n).addr; };
    c.behind.put(page(1));
    EXPECT_EQ(1u, c.front.present) << "a fill goes to both";
    EXPECT_EQ(1u, c.level(addr(1)));
    EXPECT_EQ(0u, c.behind.count.hits + c.behind.count.misses) << "behind it nobody was asked";
    c.behind.put(page(2));
    c.behind.put(page(3)); // 1 is out of the front
    EXPECT_EQ(1u, c.front.count.evictions);
    EXPECT_EQ(2u, c.level(addr(1)));
    EXPECT_EQ(1u, c.behind.count.hits);
    EXPECT_EQ(1u, c.level(addr(1))) << "back again";
    EXPECT_EQ(20u, c.level(addr(9))) << "both miss";
    EXPECT_EQ(1u, c.behind.count.misses);
    EXPECT_EQ(2u, c.front.count.misses);
    EXPECT_EQ(2u, c.front.count.hits);
    EXPECT_EQ(1u, *c.behind.get(addr(1), 1)) << "the plain look-up goes through it too";
    EXPECT_EQ(3u, c.front.count.hits);
  }
}

TEST(Front, IsInvalidatedWithWhatIsBehind) {
  TwoLevels c(4, 16, true);
  for (uint64_t n = 0; n < 3; n++)
    c.behind.put(page(n));
  ims_cache_match m = {};
  m.id = 1;
  m.id_mask = ~uint64_t(0);
  m.first = 1 << 12;
  m.last = (1 << 12) + 4095;
  uint64_t epoch = c.front.epoch;
  EXPECT_EQ(1u, ims_cache_invalidate(&c.behind, &m));
  EXPECT_EQ(epoch + 1, c.front.epoch);
  EXPECT_EQ(20u, c.level(1 << 12));
  EXPECT_EQ(1u, c.level(0));
  ims_cache_match all = {};
  all.any_addr = true;
  ims_cache_invalidate(&c.behind, &all);
  EXPECT_EQ(0u, c.front.present + c.behind.present);
}

// A policy from outside: the least often used way goes.
struct Often {
  std::map<std::pair<uint32_t, uint32_t>, unsigned> uses;
  unsigned touches = 0;
  ims_cache_policy policy() {
    ims_cache_policy p = {};
    p.ctx = this;
    p.touch = [](void *ctx, const ims_cache *c, uint32_t set, uint32_t way, bool fill) {
      Often *o = static_cast<Often *>(ctx);
      EXPECT_LT(set, c->sets);
      EXPECT_LT(way, c->ways);
      unsigned &n = o->uses[{set, way}];
      n = fill ? 1 : n + 1;
      o->touches++;
    };
    p.victim = [](void *ctx, const ims_cache *c, uint32_t set) {
      Often *o = static_cast<Often *>(ctx);
      uint32_t least = 0;
      for (uint32_t way = 1; way < c->ways; way++)
        if (o->uses[{set, way}] < o->uses[{set, least}])
          least = way;
      return least;
    };
    return p;
  }
};

TEST(Policy, PlugsIn) {
  for (bool sized : {false, true}) {
    Often often;
    ims_cache_policy policy = often.policy();
    Cache c(4, 0, IMS_REPLACE_LRU, sized, 1, 1, false, &policy);
    auto addr = [&](uint64_t n) { return sized ? n << 12 : page(n).addr; };
    for (uint64_t n = 0; n < 4; n++)
      c.put(page(n));
    for (uint64_t n : {2u, 0u, 0u, 0u, 1u, 1u, 3u, 3u, 3u, 2u, 1u})
      ASSERT_NE(nullptr, c.get(addr(n), 1));
    EXPECT_EQ(15u, often.touches) << "each use is told, also of what was used last";
    c.put(page(9)); // in place of 2; LRU would have given up 0
    EXPECT_EQ(nullptr, c.get(addr(2), 1));
    for (uint64_t n : {0u, 1u, 3u, 9u})
      EXPECT_NE(nullptr, c.get(addr(n), 1)) << n;
  }
}

TEST(Policy, HoldsToTheRulesOfTheCache) {
  Often often;
  ims_cache_policy policy = often.policy();
  Cache c(48, 3, IMS_REPLACE_LRU, true, 1, 2, true, &policy);
  std::mt19937_64 random(3);
  for (int n = 0; n < 3000; n++) {
    ims_cache_tenant(&c, static_cast<uint32_t>(random() % 5));
    Item i = page(random() % 100, 1 + random() % 2);
    if (random() % 2) {
      c.put(i);
    } else if (const uint64_t *found = c.get(i.addr >> 12 << 12, i.id)) {
      EXPECT_EQ(i.value, *found);
    }
  }
  EXPECT_LE(c.items().size(), c.entries);
  EXPECT_EQ(c.present, c.items().size());
  EXPECT_GT(c.count.evictions, 100u);
  EXPECT_EQ(often.touches, c.count.hits + c.count.fills);
}

TEST(Policy, MayNotReachBeyondTheSet) {
  ims_cache_policy policy = {};
  policy.touch = [](void *, const ims_cache *, uint32_t, uint32_t, bool) {};
  policy.victim = [](void *, const ims_cache *, uint32_t) { return 1000u; };
  Cache c(8, 2, IMS_REPLACE_LRU, true, 1, 1, false, &policy);
  for (uint64_t n = 0; n < 100; n++)
    c.put(page(n));
  EXPECT_EQ(8u, c.items().size());
}

} // namespace
