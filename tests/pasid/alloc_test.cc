// SPDX-License-Identifier: Apache-2.0
// The PASID space: lowest free first, quotas, owners, ranges.
#include "pasid/alloc.h"
#include <algorithm>
#include <chrono>
#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <set>
#include <unistd.h>
#include <vector>

namespace {

constexpr uint32_t kAll = 0xffffffff;

class Space : public ::testing::Test {
protected:
  Space() { EXPECT_EQ(ims_pasid_space_init(&s, 20), IMS_ERR_OK); }
  ~Space() override { ims_pasid_space_fini(&s); }
  // The PASID, or the negative error.
  int64_t alloc(uint64_t owner, uint32_t min = 0, uint32_t max = kAll, void *priv = nullptr) {
    uint32_t pasid = 0;
    int rc = ims_pasid_alloc(&s, owner, min, max, priv, &pasid);
    return rc ? rc : static_cast<int64_t>(pasid);
  }
  std::vector<uint32_t> of(uint64_t owner) {
    std::vector<uint32_t> all;
    uint32_t pasid = 0;
    for (uint32_t from = 0; ims_pasid_next(&s, owner, from, &pasid) == IMS_ERR_OK; from = pasid + 1)
      all.push_back(pasid);
    return all;
  }
  ims_pasid_space s;
};

TEST_F(Space, TheLowestFreePasidIsGivenAndNeverZero) {
  EXPECT_EQ(alloc(1), 1);
  EXPECT_EQ(alloc(2), 2);
  EXPECT_EQ(alloc(1), 3);
  EXPECT_EQ(ims_pasid_free(&s, 2, 2), IMS_ERR_OK);
  EXPECT_EQ(alloc(3), 2);
  EXPECT_EQ(alloc(3), 4);
  EXPECT_EQ(alloc(3, 0, 0), IMS_ERR_NOSPACE);
}

TEST_F(Space, ARangeIncludesBothEnds) {
  EXPECT_EQ(alloc(1, 100, 101), 100);
  EXPECT_EQ(alloc(1, 100, 101), 101);
  EXPECT_EQ(alloc(1, 100, 101), IMS_ERR_NOSPACE);
  EXPECT_EQ(alloc(1, 5, 4), IMS_ERR_INVAL);
  EXPECT_EQ(alloc(1, 0xfffff, 0xfffff), 0xfffff);
  EXPECT_EQ(alloc(1, 0xfffff, kAll), IMS_ERR_NOSPACE);
  EXPECT_EQ(alloc(1, 0x100000, kAll), IMS_ERR_NOSPACE);
  EXPECT_EQ(alloc(1, kAll, kAll), IMS_ERR_NOSPACE);
}

TEST_F(Space, WidthsFromOneToTwentyBits) {
  for (unsigned bits = 1; bits <= 20; bits++) {
    ims_pasid_space t;
    ASSERT_EQ(ims_pasid_space_init(&t, bits), IMS_ERR_OK);
    ims_pasid_set_default_quota(&t, kAll);
    uint32_t pasid = 0, last = (1u << bits) - 1;
    ASSERT_EQ(ims_pasid_alloc(&t, 1, last, kAll, nullptr, &pasid), IMS_ERR_OK) << bits;
    EXPECT_EQ(pasid, last);
    EXPECT_EQ(ims_pasid_alloc(&t, 1, last, kAll, nullptr, &pasid), IMS_ERR_NOSPACE);
    uint32_t n = 1;
    while (n <= 5000 && ims_pasid_alloc(&t, 1, 0, kAll, nullptr, &pasid) == IMS_ERR_OK) {
      EXPECT_EQ(pasid, n);
      n++;
    }
    EXPECT_EQ(n, std::min(last, 5001u)) << bits; // 1 .. last - 1
    ims_pasid_space_fini(&t);
  }
  ims_pasid_space t;
  EXPECT_EQ(ims_pasid_space_init(&t, 0), IMS_ERR_RANGE);
  ims_pasid_space_fini(&t);
  EXPECT_EQ(ims_pasid_space_init(&t, 21), IMS_ERR_RANGE);
  ims_pasid_space_fini(&t);
}

TEST_F(Space, TheQuotaIsAThousandPasidsAnOwner) {
  for (int i = 0; i < 1000; i++)
    ASSERT_EQ(alloc(7), i + 1);
  EXPECT_EQ(alloc(7), IMS_ERR_NOSPACE);
  EXPECT_EQ(alloc(8), 1001); // another owner has its own
  EXPECT_EQ(ims_pasid_free(&s, 7, 500), IMS_ERR_OK);
  EXPECT_EQ(alloc(7), 500);
  EXPECT_EQ(ims_pasid_count(&s, 7), 1000u);
}

TEST_F(Space, QuotasAreSetForOneOwnerOrForTheRest) {
  EXPECT_EQ(ims_pasid_quota(&s, 1), 1000u);
  ASSERT_EQ(ims_pasid_set_quota(&s, 1, 2), IMS_ERR_OK);
  ims_pasid_set_default_quota(&s, 1);
  EXPECT_EQ(ims_pasid_quota(&s, 1), 2u);
  EXPECT_EQ(ims_pasid_quota(&s, 2), 1u);
  EXPECT_EQ(alloc(1), 1);
  EXPECT_EQ(alloc(1), 2);
  EXPECT_EQ(alloc(1), IMS_ERR_NOSPACE);
  EXPECT_EQ(alloc(2), 3);
  EXPECT_EQ(alloc(2), IMS_ERR_NOSPACE);
  // Less than what is held: nothing is taken away, nothing more is given.
  ASSERT_EQ(ims_pasid_set_quota(&s, 1, 1), IMS_ERR_OK);
  EXPECT_EQ(of(1), (std::vector<uint32_t>{1, 2}));
  EXPECT_EQ(ims_pasid_free(&s, 1, 1), IMS_ERR_OK);
  EXPECT_EQ(alloc(1), IMS_ERR_NOSPACE);
  EXPECT_EQ(ims_pasid_free(&s, 1, 2), IMS_ERR_OK);
  EXPECT_EQ(alloc(1), 1);
  // A quota outlives the PASIDs it is for.
  EXPECT_EQ(ims_pasid_free_range(&s, 1, 0, kAll), 1u);
  EXPECT_EQ(ims_pasid_quota(&s, 1), 1u);
  ASSERT_EQ(ims_pasid_set_quota(&s, 3, 0), IMS_ERR_OK);
  EXPECT_EQ(alloc(3), IMS_ERR_NOSPACE);
}

TEST_F(Space, OnlyTheOwnerFreesAPasid) {
  ASSERT_EQ(alloc(1), 1);
  EXPECT_EQ(ims_pasid_free(&s, 2, 1), IMS_ERR_PERM);
  EXPECT_EQ(ims_pasid_free(&s, 1, 2), IMS_ERR_NOENT);
  EXPECT_EQ(ims_pasid_free(&s, 1, 0), IMS_ERR_NOENT);
  EXPECT_EQ(ims_pasid_free(&s, 1, 0x100000), IMS_ERR_NOENT);
  EXPECT_EQ(ims_pasid_free(&s, 1, kAll), IMS_ERR_NOENT);
  EXPECT_EQ(ims_pasid_free(&s, 1, 1), IMS_ERR_OK);
  EXPECT_EQ(ims_pasid_free(&s, 1, 1), IMS_ERR_NOENT);
}

TEST_F(Space, APasidKnowsItsOwnerAndWhatIsKeptWithIt) {
  int a = 0, b = 0;
  ASSERT_EQ(alloc(~0ull, 9, 9, &a), 9);
  uint64_t owner = 0;
  void *priv = nullptr;
  ASSERT_EQ(ims_pasid_query(&s, 9, &owner, &priv), IMS_ERR_OK);
  EXPECT_EQ(owner, ~0ull);
  EXPECT_EQ(priv, &a);
  EXPECT_EQ(ims_pasid_set_private(&s, 5, 9, &b), IMS_ERR_PERM);
  EXPECT_EQ(ims_pasid_set_private(&s, 5, 8, &b), IMS_ERR_NOENT);
  EXPECT_EQ(ims_pasid_set_private(&s, ~0ull, 9, &b), IMS_ERR_OK);
  ASSERT_EQ(ims_pasid_query(&s, 9, nullptr, &priv), IMS_ERR_OK);
  EXPECT_EQ(priv, &b);
  EXPECT_EQ(ims_pasid_query(&s, 9, nullptr, nullptr), IMS_ERR_OK);
  EXPECT_EQ(ims_pasid_query(&s, 10, &owner, &priv), IMS_ERR_NOENT);
  EXPECT_EQ(ims_pasid_query(&s, 0x100000, &owner, &priv), IMS_ERR_NOENT);
  ASSERT_EQ(ims_pasid_free(&s, ~0ull, 9), IMS_ERR_OK);
  ASSERT_EQ(alloc(1, 9, 9), 9); // nothing of the last owner is left
  ASSERT_EQ(ims_pasid_query(&s, 9, &owner, &priv), IMS_ERR_OK);
  EXPECT_EQ(owner, 1u);
  EXPECT_EQ(priv, nullptr);
}

TEST_F(Space, FreeingARangeTakesOnlyTheOwnersPasids) {
  for (int i = 0; i < 20; i++)
    ASSERT_EQ(alloc(1 + i % 2), i + 1); // owner 1: odd, owner 2: even
  EXPECT_EQ(ims_pasid_free_range(&s, 1, 5, 11), 4u);
  EXPECT_EQ(of(1), (std::vector<uint32_t>{1, 3, 13, 15, 17, 19}));
  EXPECT_EQ(ims_pasid_count(&s, 2), 10u);
  EXPECT_EQ(ims_pasid_free_range(&s, 1, 5, 11), 0u);
  EXPECT_EQ(ims_pasid_free_range(&s, 3, 0, kAll), 0u);
  EXPECT_EQ(ims_pasid_free_range(&s, 1, 11, 5), 0u);
  EXPECT_EQ(ims_pasid_free_range(&s, 2, 0, kAll), 10u);
  EXPECT_EQ(s.used, 6u);
}

TEST_F(Space, AnOwnersPasidsComeInOrderAndMayBeFreedOnTheWay) {
  for (uint32_t pasid : {900000, 3, 70, 64, 63, 4095, 4096, 262144})
    ASSERT_EQ(alloc(1, pasid, pasid), pasid);
  std::vector<uint32_t> want = {3, 63, 64, 70, 4095, 4096, 262144, 900000};
  EXPECT_EQ(of(1), want);
  std::vector<uint32_t> seen;
  uint32_t pasid = 0;
  for (uint32_t from = 0; ims_pasid_next(&s, 1, from, &pasid) == IMS_ERR_OK; from = pasid + 1) {
    seen.push_back(pasid);
    ASSERT_EQ(ims_pasid_free(&s, 1, pasid), IMS_ERR_OK);
  }
  EXPECT_EQ(seen, want);
  EXPECT_EQ(s.used, 0u);
  EXPECT_EQ(s.owners, nullptr);
}

TEST_F(Space, TheRangeOfTheSpaceCanBeNarrowedAndWidened) {
  ASSERT_EQ(alloc(1), 1);
  ASSERT_EQ(alloc(1, 10, 10), 10);
  ASSERT_EQ(ims_pasid_space_set_range(&s, 9, 11), IMS_ERR_OK);
  EXPECT_EQ(alloc(1), 9);
  EXPECT_EQ(alloc(1), 11);
  EXPECT_EQ(alloc(1), IMS_ERR_NOSPACE);
  EXPECT_EQ(ims_pasid_free(&s, 1, 1), IMS_ERR_OK); // outside by now: does not come back
  EXPECT_EQ(alloc(1), IMS_ERR_NOSPACE);
  ASSERT_EQ(ims_pasid_space_set_range(&s, 0, 0xfffff), IMS_ERR_OK);
  EXPECT_EQ(alloc(1), 0); // asked for, PASID 0 is handed out
  EXPECT_EQ(alloc(1), 1);
  EXPECT_EQ(alloc(1, 9), 12);
  EXPECT_EQ(ims_pasid_space_set_range(&s, 2, 1), IMS_ERR_INVAL);
  EXPECT_EQ(ims_pasid_space_set_range(&s, 0, 0x100000), IMS_ERR_RANGE);
}

TEST_F(Space, RandomCallsAgreeWithSets) {
  constexpr uint64_t kOwners = 5;
  constexpr uint32_t kQuota = 250;
  std::map<uint64_t, std::set<uint32_t>> held;
  std::map<uint32_t, uint64_t> owner_of;
  std::mt19937_64 rng(13);
  ims_pasid_set_default_quota(&s, kQuota);
  auto around = [&] { // small numbers, and some at the borders of the bitmap's levels
    static const uint32_t base[] = {0, 0, 0, 60, 4090, 262140, 1048000};
    return static_cast<uint32_t>(base[rng() % 7] + rng() % 700);
  };
  for (int step = 0; step < 60000; step++) {
    SCOPED_TRACE(step);
    uint64_t owner = rng() % kOwners;
    uint32_t a = around(), b = around();
    switch (rng() % 8) {
    case 0:
    case 1:
    case 2:
    case 3: {
      int64_t want = IMS_ERR_NOSPACE;
      if (a > b) {
        want = IMS_ERR_INVAL;
      } else if (held[owner].size() < kQuota) {
        uint32_t pasid = std::max(a, 1u);
        while (pasid <= std::min(b, 0xfffffu) && owner_of.count(pasid))
          pasid++;
        if (pasid <= std::min(b, 0xfffffu))
          want = pasid;
      }
      ASSERT_EQ(alloc(owner, a, b), want);
      if (want >= 0) {
        held[owner].insert(static_cast<uint32_t>(want));
        owner_of[static_cast<uint32_t>(want)] = owner;
      }
      break;
    }
    case 4:
    case 5: {
      int want = !owner_of.count(a) ? IMS_ERR_NOENT : owner_of[a] != owner ? IMS_ERR_PERM : IMS_ERR_OK;
      ASSERT_EQ(ims_pasid_free(&s, owner, a), want);
      if (want == IMS_ERR_OK) {
        held[owner].erase(a);
        owner_of.erase(a);
      }
      break;
    }
    case 6: {
      uint32_t n = 0, end = a + b % 16;
      for (auto i = held[owner].lower_bound(a); i != held[owner].end() && *i <= end; n++) {
        owner_of.erase(*i);
        i = held[owner].erase(i);
      }
      ASSERT_EQ(ims_pasid_free_range(&s, owner, a, end), n);
      break;
    }
    default: {
      uint32_t next = 0;
      auto i = held[owner].lower_bound(a);
      ASSERT_EQ(ims_pasid_next(&s, owner, a, &next), i == held[owner].end() ? IMS_ERR_NOENT : IMS_ERR_OK);
      if (i != held[owner].end()) {
        ASSERT_EQ(next, *i);
      }
      uint64_t who = 0;
      ASSERT_EQ(ims_pasid_query(&s, a, &who, nullptr), owner_of.count(a) ? IMS_ERR_OK : IMS_ERR_NOENT);
      if (owner_of.count(a)) {
        ASSERT_EQ(who, owner_of[a]);
      }
    }
    }
    ASSERT_EQ(s.used, owner_of.size());
    ASSERT_EQ(ims_pasid_count(&s, owner), held[owner].size());
  }
  for (uint64_t owner = 0; owner < kOwners; owner++)
    EXPECT_EQ(of(owner), std::vector<uint32_t>(held[owner].begin(), held[owner].end()));
}

uint64_t resident() {
  std::ifstream in("/proc/self/statm");
  uint64_t total = 0, pages = 0;
  in >> total >> pages;
  return pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

TEST_F(Space, AMillionPasidsAreCheap) {
  uint64_t before = resident();
  auto begin = std::chrono::steady_clock::now();
  for (uint64_t owner = 0; owner < 16; owner++)
    ASSERT_EQ(ims_pasid_set_quota(&s, owner, kAll), IMS_ERR_OK);
  for (int64_t i = 1; i < 1 << 20; i++)
    ASSERT_EQ(alloc(static_cast<uint64_t>(i) % 16), i);
  EXPECT_EQ(alloc(0), IMS_ERR_NOSPACE);
  EXPECT_EQ(s.used, (1u << 20) - 1);
  EXPECT_LT(resident() - before, 32ull << 20); // 32 bytes a PASID

  // The space is full: each one freed is the one found next, whatever the distance.
  std::mt19937_64 rng(5);
  for (int i = 0; i < 200000; i++) {
    uint32_t pasid = 1 + static_cast<uint32_t>(rng() % ((1 << 20) - 1));
    ASSERT_EQ(ims_pasid_free(&s, pasid % 16, pasid), IMS_ERR_OK);
    ASSERT_EQ(alloc(pasid % 16), pasid);
  }
  std::vector<uint32_t> three = of(3);
  ASSERT_EQ(three.size(), (1u << 20) / 16);
  for (size_t i = 0; i < three.size(); i++)
    ASSERT_EQ(three[i], 16 * i + 3);
  for (uint64_t owner = 0; owner < 16; owner++)
    EXPECT_EQ(ims_pasid_free_range(&s, owner, 0, kAll), (1u << 20) / 16 - (owner == 0));
  EXPECT_EQ(s.used, 0u);
  EXPECT_EQ(alloc(1), 1);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30)); // about a second
}

} // namespace
