// SPDX-License-Identifier: Apache-2.0
// Random calls: nothing crashes, and when all is closed nothing is left behind.
#include "tests/uapi/random_calls.h"
#include <gtest/gtest.h>
#include <random>

namespace uapi_test {
namespace {

TEST(RandomCalls, NothingCrashesAndNothingIsLeft) {
  for (unsigned seed = 0; seed < 100; seed++) {
    std::mt19937 rng(seed);
    std::vector<uint8_t> bytes(40000);
    for (uint8_t &b : bytes)
      b = static_cast<uint8_t>(rng());
    RandomCalls calls(bytes.data(), bytes.size());
    uint64_t before = calls.Quiet();
    calls.Run();
    uint64_t first = calls.Quiet();
    EXPECT_LE(first, before + calls.Allowance()) << "seed " << seed;
    EXPECT_EQ(calls.Quiet(), first) << "seed " << seed;
  }
}

} // namespace
} // namespace uapi_test
