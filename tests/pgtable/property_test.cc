// SPDX-License-Identifier: Apache-2.0
// The walk against the oracle, over every combination of stages: tables as builders make them, then the same tables
// damaged at random where a walk would meet the damage.
#include "tests/pgtable/harness.h"

#include <gtest/gtest.h>
#include <random>

namespace {

using namespace pgt;

// Levels of the two stages; 0: absent.
struct Shape {
  int first, second;
};

std::string shape_name(const testing::TestParamInfo<Shape> &info) {
  std::string s;
  if (info.param.first)
    s += "FS" + std::to_string(info.param.first);
  if (info.param.second)
    s += "SS" + std::to_string(info.param.second);
  return s;
}

constexpr unsigned kSystems = 50, kRequests = 100; // for each shape

const Shape kShapes[] = {{4, 0}, {5, 0}, {0, 3}, {0, 4}, {0, 5}, {4, 3}, {4, 4}, {4, 5}, {5, 3}, {5, 4}, {5, 5}};

// Host memory: 6 GB from 0, tables of the host in [1 MB, 33 MB). The first stage points into guest memory, or into the
// same addresses where there is no second stage. Guest memory: 1 GB in one piece, 2 MB pieces and 4 KB pieces, the
// smaller ones out of order.
constexpr uint64_t kRam = 6 * GB, kPool = 1 * MB, kPoolSize = 32 * MB;
constexpr uint64_t kGuestBig = 1 * GB, kGuestMiddle = 3 * GB, kGuestSmall = 3 * GB + 64 * MB;
constexpr uint64_t kHostBig = 2 * GB, kHostMiddle = 4 * GB, kHostSmall = 5 * GB;

class System {
public:
  System(Shape shape, uint64_t seed)
      : random_(seed), machine(kRam, kPool, kPoolSize), guest(machine), first(first_rules(shape)),
        second(second_rules(shape)), driver(machine.mem), shape_(shape) {
    place_pieces();
    if (shape.second) {
      EXPECT_EQ(ims_pgt_create(&second.pgt, &machine.tables), 0);
      second.root(second.pgt.root);
      map_guest();
    }
    if (shape.first) {
      ims_pgt_mem tables = shape.second ? guest.tables() : machine.tables;
      EXPECT_EQ(ims_pgt_create(&first.pgt, &tables), 0);
      first.root(first.pgt.root);
      map_first(tables);
    }
  }

  uint64_t pick(uint64_t below) { return random_() % below; }
  bool chance(unsigned percent) { return pick(100) < percent; }

  oracle::Request request() {
    oracle::Request q;
    const std::vector<std::pair<uint64_t, uint64_t>> &known = mapped_;
    if (!known.empty() && !chance(8)) {
      auto [base, size] = known[pick(known.size())];
      q.addr = base + pick(size);
      if (chance(5))
        q.addr ^= 1ull << (12 + pick(45));
    } else {
      q.addr = random_() >> pick(64);
    }
    unsigned kind = static_cast<unsigned>(pick(10));
    q.read = kind != 0;
    q.write = kind < 4;
    q.execute = q.read && chance(20);
    q.privileged = chance(30);
    q.zero_length = !q.write && chance(10);
    q.query = q.read && chance(15);
    q.forbidden_base = 0xfee00000;
    q.forbidden_size = 0x100000;
    return q;
  }

  oracle::Result expected(const oracle::Request &q) {
    oracle::Load load = [this](uint64_t hpa, uint64_t &value) {
      return ims_mem_load64(&machine.mem, hpa, &value) == 0;
    };
    return oracle::translate(load, shape_.first ? &first.rules : nullptr, shape_.second ? &second.rules : nullptr, q);
  }

  Outcome walk(const oracle::Request &q) {
    return driver.run(shape_.first ? &first.pgt : nullptr, shape_.second ? &second.pgt : nullptr, q);
  }

  // Damages one of the entries at these addresses.
  void damage(const std::vector<uint64_t> &entries) {
    uint64_t at = entries[pick(entries.size())], e;
    if (ims_mem_load64(&machine.mem, at, &e) != 0)
      return;
    const uint64_t low = 0xfff, page = ~low & ((1ull << 52) - 1);
    switch (pick(8)) {
    case 0: // self-pointing, as the host sees it
      e = (e & ~page) | (at & page);
      break;
    case 1: // into another table of the same walk
      e = (e & ~page) | (entries[pick(entries.size())] & page);
      break;
    case 2: // absent memory
      e = (e & ~page) | (kRam + pick(1024) * 4096);
      break;
    case 3: // somewhere in the guest, tables included
      e = (e & ~page) | (kGuestSmall + pick(64) * 4096);
      break;
    case 4: e = random_(); break;
    default: // some bits, mostly the low and the high ones
      for (uint64_t n = 1 + pick(3); n > 0; n--)
        e ^= 1ull << (chance(60) ? pick(13) : chance(50) ? 52 + pick(12) : pick(64));
    }
    if (chance(50))
      e |= 7;
    ASSERT_EQ(ims_mem_store64(&machine.mem, at, e), 0);
  }

private:
  // The rules below draw from these, so they come first.
  std::mt19937_64 random_;
  bool snooped_ = true;

public:
  Machine machine;
  Guest guest;
  FirstStage first;
  SecondStage second;
  Driver driver;

private:
  oracle::FirstStage first_rules(Shape shape) {
    oracle::FirstStage r;
    r.levels = shape.first ? shape.first : 4;
    r.address_width = shape.second ? 52 : chance(50) ? 46 : 39;
    r.pages_1g = !chance(20);
    r.accessed_dirty = !chance(15);
    r.extended_accessed = chance(30);
    r.snooped = snooped_ = !chance(10);
    r.write_protect = chance(50);
    r.execute_requests = chance(50);
    r.nxe = chance(50);
    r.xd_reserved = !r.nxe && chance(30);
    r.smep = chance(30);
    return r;
  }

  oracle::SecondStage second_rules(Shape shape) {
    oracle::SecondStage r;
    r.levels = shape.second ? shape.second : 4;
    r.input_width = 12 + 9 * r.levels;
    if (chance(30))
      r.input_width = std::min(r.input_width, 46);
    r.address_width = chance(50) ? 46 : 39;
    r.pages_2m = !chance(20);
    r.pages_1g = !chance(20);
    r.accessed_dirty = !chance(30);
    r.snooped = chance(95) ? snooped_ : !snooped_;
    r.snoop_control = chance(60);
    r.zero_length_reads = chance(50);
    r.execute = chance(30);
    return r;
  }

  void place_pieces() {
    guest.add(kGuestBig, kHostBig, 1 * GB);
    for (unsigned i = 0; i < 8; i++)
      guest.add(kGuestMiddle + i * 2 * MB, kHostMiddle + (i * 5 % 8) * 2 * MB, 2 * MB);
    for (unsigned i = 0; i < 64; i++)
      guest.add(kGuestSmall + i * 4 * KB, kHostSmall + (i * 37 % 64) * 4 * KB, 4 * KB);
    // Tables of the guest: any page once, spread over the pieces.
    guest.place = [this, next = 0u]() mutable {
      unsigned n = next++;
      uint64_t where = pick(3);
      if (where == 0 && n < 64)
        return kGuestSmall + n * 4 * KB;
      if (where == 1 && n < 512)
        return kGuestMiddle + n % 8 * 2 * MB + n * 4 * KB;
      return kGuestBig + 512 * MB + n * 4 * KB;
    };
  }

  unsigned map_flags(bool second_stage) {
    unsigned flags = 0;
    if (chance(40))
      flags |= IMS_MAP_A;
    if (chance(30))
      flags |= IMS_MAP_D;
    if (!second_stage && chance(20))
      flags |= IMS_MAP_EA;
    if (second_stage && second.rules.snoop_control && chance(30))
      flags |= IMS_MAP_SNP;
    return flags;
  }

  unsigned second_perm() {
    if (chance(90))
      return IMS_PERM_ALL;
    unsigned perm = 1 + static_cast<unsigned>(pick(7));
    return perm == IMS_PERM_X && !second.rules.execute ? unsigned(IMS_PERM_R) : perm;
  }

  void map_second(uint64_t gpa, uint64_t hpa, uint64_t size) {
    int err = ims_pgt_map(&second.pgt, &machine.tables, gpa, hpa, size, second_perm(), map_flags(true),
                          static_cast<unsigned>(1 + pick(3)));
    EXPECT_EQ(err, 0) << ims_strerror(err);
    mapped_.emplace_back(gpa, size);
  }

  void map_guest() {
    // A gigabyte of small leaves is 513 tables: take them seldom.
    unsigned level = second.rules.pages_1g && chance(70) ? 3 : 2;
    if (second.rules.pages_2m || level == 3) {
      EXPECT_EQ(
          ims_pgt_map(&second.pgt, &machine.tables, kGuestBig, kHostBig, 1 * GB, IMS_PERM_ALL, map_flags(true), level),
          0);
    } else {
      map_second(kGuestBig, kHostBig, 2 * MB);
      map_second(kGuestBig + 512 * MB, kHostBig + 512 * MB, 2 * MB);
    }
    mapped_.emplace_back(kGuestBig, 1 * GB);
    for (unsigned i = 0; i < 8; i++)
      map_second(kGuestMiddle + i * 2 * MB, guest.hpa(kGuestMiddle + i * 2 * MB), 2 * MB);
    for (unsigned i = 0; i < 64; i++)
      map_second(kGuestSmall + i * 4 * KB, guest.hpa(kGuestSmall + i * 4 * KB), 4 * KB);
    // The rights of single pages, tables among them, splitting what is in the way.
    for (unsigned i = 0; i < 4; i++) {
      uint64_t gpa = kGuestBig + pick(1024) * 4096;
      if (ims_pgt_protect(&second.pgt, &machine.tables, gpa, 4 * KB, second_perm(), nullptr) == 0)
        mapped_.emplace_back(gpa, 4 * KB);
    }
  }

  void map_first(const ims_pgt_mem &tables) {
    mapped_.clear();
    uint64_t base = pick(1ull << (first.pgt.in_bits - 1 - 30)) << 30;
    for (unsigned i = 0; i < 24; i++) {
      uint64_t size = 4 * KB << 9 * pick(3), out;
      if (size == 1 * GB && chance(50))
        size = 4 * KB;
      switch (pick(4)) {
      case 0: out = kGuestBig + pick(1 * GB / size) * size; break;
      case 1: out = kGuestMiddle + pick(4) * size; break;
      case 2: out = kGuestSmall / size * size + pick(64) % (64 * MB / std::min(size, 64 * MB)) * size; break;
      default: out = 0xfec00000 / size * size + pick(16) * size; // over the interrupt range
      }
      uint64_t in = base + pick(4) * GB + pick(GB / size) % 32 * size;
      in = chance(20) ? in | ~0ull << (first.pgt.in_bits - 1) : in & ((1ull << (first.pgt.in_bits - 1)) - 1);
      unsigned perm = IMS_PERM_R;
      if (chance(70))
        perm |= IMS_PERM_W;
      if (chance(80))
        perm |= IMS_PERM_U;
      if (first.rules.xd_reserved || chance(70))
        perm |= IMS_PERM_X;
      unsigned limit = size == 1 * GB ? 2 + static_cast<unsigned>(pick(2)) : static_cast<unsigned>(pick(4));
      if (size == 1 * GB && chance(50))
        limit = 0;
      int err = ims_pgt_map(&first.pgt, &tables, in, out, size, perm, map_flags(false), limit);
      EXPECT_TRUE(err == 0 || err == IMS_ERR_EXIST) << ims_strerror(err);
      if (err == 0)
        mapped_.emplace_back(in, size);
    }
  }

  Shape shape_;
  std::vector<std::pair<uint64_t, uint64_t>> mapped_;
};

std::string describe(const oracle::Request &q) {
  char line[160];
  snprintf(line, sizeof line, "0x%llx %s%s%s%s%s%s", static_cast<unsigned long long>(q.addr), q.read ? "r" : "",
           q.write ? "w" : "", q.execute ? "x" : "", q.privileged ? " privileged" : "", q.zero_length ? " zlr" : "",
           q.query ? " query" : "");
  return line;
}

class WalkProperty : public testing::TestWithParam<Shape> {};

TEST_P(WalkProperty, AgreesWithTheOracle) {
  std::map<oracle::Cause, unsigned> causes;
  for (uint64_t seed = 1; seed <= kSystems; seed++) {
    System s(GetParam(), seed * 1000 + static_cast<uint64_t>(GetParam().first * 10 + GetParam().second));
    for (unsigned i = 0; i < kRequests; i++) {
      oracle::Request q = s.request();
      oracle::Result want = s.expected(q);
      Outcome got = s.walk(q);
      causes[want.cause]++;
      ASSERT_EQ(difference(want, got, q.privileged, false), "")
          << "seed " << seed << " request " << i << ": " << describe(q);
    }
  }
  EXPECT_GE(causes[oracle::Cause::None], kSystems * kRequests / 5) << "the tables are good for little";
}

TEST_P(WalkProperty, AgreesWithTheOracleOnDamagedTables) {
  std::map<oracle::Cause, unsigned> causes;
  for (uint64_t seed = 1; seed <= kSystems; seed++) {
    System s(GetParam(), seed * 1000 + 500 + static_cast<uint64_t>(GetParam().first * 10 + GetParam().second));
    for (unsigned i = 0; i < kRequests; i++) {
      oracle::Request q = s.request();
      oracle::Result want = s.expected(q);
      if (!want.reads.empty()) {
        s.damage(want.reads);
        want = s.expected(q);
      }
      Outcome got = s.walk(q);
      causes[want.cause]++;
      ASSERT_EQ(difference(want, got, q.privileged, false), "")
          << "seed " << seed << " request " << i << ": " << describe(q);
    }
  }
  for (oracle::Cause c :
       {oracle::Cause::Range, oracle::Cause::Access, oracle::Cause::NotPresent, oracle::Cause::Reserved})
    EXPECT_GE(causes[c], 1u) << "cause " << static_cast<int>(c) << " was never met";
}

// With any set of caches, kept as long as software changes nothing, a walk ends as it would without them.
TEST_P(WalkProperty, CachesDoNotChangeTheResult) {
  uint64_t with = 0, without = 0;
  for (uint64_t seed = 1; seed <= kSystems; seed++) {
    System s(GetParam(), seed * 1000 + 700 + static_cast<uint64_t>(GetParam().first * 10 + GetParam().second));
    for (unsigned i = 0; i < kRequests; i++) {
      if (i % 25 == 0) {
        s.driver.cache.clear();
        s.driver.caches = static_cast<uint32_t>(s.pick(512)) << IMS_CACHE_NESTED;
        s.driver.psc_gpa = s.chance(50);
      }
      oracle::Request q = s.request();
      oracle::Result want = s.expected(q);
      if (s.chance(5) && !want.reads.empty()) {
        s.damage(want.reads);
        s.driver.cache.clear();
        want = s.expected(q);
      }
      Outcome got = s.walk(q);
      ASSERT_EQ(difference(want, got, q.privileged, true), "")
          << "seed " << seed << " request " << i << ": " << describe(q) << " caches " << s.driver.caches << " gpa "
          << s.driver.psc_gpa;
      with += got.refs;
      without += want.reads.size();
    }
  }
  EXPECT_LT(with, without);
}

INSTANTIATE_TEST_SUITE_P(Stages, WalkProperty, testing::ValuesIn(kShapes), shape_name);

} // namespace
