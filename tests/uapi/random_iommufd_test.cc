// SPDX-License-Identifier: Apache-2.0
// Random calls of iommufd on two threads: nothing crashes, the object graph is sound after each call, nothing is left.
#include "tests/uapi/random_iommufd.h"
#include <gtest/gtest.h>
#include <random>

namespace uapi_test {
namespace {

TEST(RandomIommufd, NothingCrashesAndNothingIsLeft) {
  for (unsigned seed = 0; seed < 60; seed++) {
    std::mt19937 rng(seed);
    std::vector<uint8_t> bytes(30000);
    for (uint8_t &b : bytes)
      b = static_cast<uint8_t>(rng());
    RandomIommufd calls(bytes.data(), bytes.size());
    uint64_t before = calls.Quiet();
    calls.Run();
    uint64_t first = calls.Quiet();
    EXPECT_LE(first, before + calls.Allowance()) << "seed " << seed;
    EXPECT_EQ(calls.Quiet(), first) << "seed " << seed;
  }
}

} // namespace
} // namespace uapi_test
