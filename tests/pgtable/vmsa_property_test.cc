// SPDX-License-Identifier: Apache-2.0
// The walk against the oracle of VMSAv8-64: every granule and every size, one stage and two, tables as builders make
// them, then the same tables damaged where a walk would meet the damage; without caches and with them.
#include "tests/pgtable/vmsa_system.h"

#include <gtest/gtest.h>

namespace {

using namespace vmsa;
using vmsa_oracle::Cause;
using vmsa_oracle::Request;
using vmsa_oracle::Result;

// Granules of the two stages in KB; 0: absent.
struct Shape {
  int first, second;
};

std::string shape_name(const testing::TestParamInfo<Shape> &info) {
  std::string s;
  if (info.param.first)
    s += "S1_" + std::to_string(info.param.first) + "K";
  if (info.param.second)
    s += (s.empty() ? "S2_" : "_S2_") + std::to_string(info.param.second) + "K";
  return s;
}

const Shape kShapes[] = {{4, 0},  {16, 0}, {64, 0},  {0, 4},   {0, 16}, {0, 64},  {4, 4},  {4, 16},
                         {4, 64}, {16, 4}, {16, 16}, {16, 64}, {64, 4}, {64, 16}, {64, 64}};

class VmsaWalk : public testing::TestWithParam<Shape> {
protected:
  // Every size of each stage at least once.
  unsigned systems() const {
    Shape s = GetParam();
    size_t n = 0;
    if (s.first)
      n = std::max(n, all_sizes(s.first, false).size() * (s.second ? 2 : 1));
    if (s.second)
      n = std::max(n, all_sizes(s.second, true).size());
    return static_cast<unsigned>(std::max<size_t>(n, 80));
  }
  uint64_t seed(unsigned n, unsigned salt) const {
    return n * 1000 + salt + static_cast<uint64_t>(GetParam().first * 7 + GetParam().second);
  }
};

constexpr unsigned kRequests = 60; // for each system

TEST_P(VmsaWalk, AgreesWithTheOracle) {
  std::map<Cause, unsigned> causes;
  for (unsigned n = 0; n < systems(); n++) {
    System s(GetParam().first, GetParam().second, n, seed(n, 0), Runs::Any);
    for (unsigned i = 0; i < kRequests; i++) {
      Request q = s.request();
      Result want = s.expected(q);
      pgt::Outcome got = s.walk(q);
      causes[want.cause]++;
      ASSERT_EQ(difference(want, got, q, false), "") << "system " << n << " request " << i << ": " << s.describe(q);
    }
  }
  EXPECT_GE(causes[Cause::None], systems() * kRequests / 8) << "the tables are good for little";
  for (Cause c : {Cause::Translation, Cause::Range, Cause::AccessFlag, Cause::Permission})
    EXPECT_GE(causes[c], 10u) << "cause " << static_cast<int>(c);
}

TEST_P(VmsaWalk, AgreesWithTheOracleOnDamagedTables) {
  std::map<Cause, unsigned> causes;
  for (unsigned n = 0; n < systems(); n++) {
    System s(GetParam().first, GetParam().second, n, seed(n, 500), Runs::Any);
    for (unsigned i = 0; i < kRequests; i++) {
      Request q = s.request();
      Result want = s.expected(q);
      if (!want.reads.empty() && s.chance(40)) {
        s.damage(want.reads);
        want = s.expected(q);
      }
      pgt::Outcome got = s.walk(q);
      causes[want.cause]++;
      ASSERT_EQ(difference(want, got, q, false), "") << "system " << n << " request " << i << ": " << s.describe(q);
    }
  }
  for (Cause c : {Cause::None, Cause::Translation, Cause::Range, Cause::Size, Cause::AccessFlag, Cause::Permission,
                  Cause::External})
    EXPECT_GE(causes[c], 10u) << "cause " << static_cast<int>(c);
}

// With any set of caches, kept as long as software changes nothing, a walk ends as it would without them. Systems take
// turns: damage, or runs under the contiguous hint, which damage would put out of step.
TEST_P(VmsaWalk, CachesDoNotChangeTheResult) {
  uint64_t with = 0, without = 0;
  for (unsigned n = 0; n < systems(); n++) {
    bool hints = n % 2;
    System s(GetParam().first, GetParam().second, n, seed(n, 700), hints ? Runs::Quiet : Runs::None);
    for (unsigned i = 0; i < kRequests; i++) {
      if (i % 20 == 0) {
        s.driver.cache.clear();
        s.driver.caches = static_cast<uint32_t>(s.pick(512)) << IMS_CACHE_NESTED;
        s.driver.psc_gpa = s.chance(50);
      }
      Request q = s.request();
      Result want = s.expected(q);
      if (!hints && s.chance(5) && !want.reads.empty()) {
        s.damage(want.reads);
        s.driver.cache.clear();
        want = s.expected(q);
      }
      pgt::Outcome got = s.walk(q);
      ASSERT_EQ(difference(want, got, q, true), "") << "system " << n << " request " << i << ": " << s.describe(q)
                                                    << " caches " << s.driver.caches << " gpa " << s.driver.psc_gpa;
      with += got.refs;
      without += want.reads.size();
    }
  }
  EXPECT_LT(with, without);
}

INSTANTIATE_TEST_SUITE_P(Stages, VmsaWalk, testing::ValuesIn(kShapes), shape_name);

} // namespace
