// SPDX-License-Identifier: Apache-2.0
#include "model/histogram.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <random>
#include <vector>

using ims::model::Histogram;

// The smallest value that per_mille thousandths of all do not exceed, by its definition.
static uint64_t quantile(std::vector<uint64_t> all, unsigned per_mille) {
  std::sort(all.begin(), all.end());
  size_t wanted = (all.size() * per_mille + 999) / 1000;
  return all[wanted ? wanted - 1 : 0];
}

TEST(Histogram, BinsCoverAllValuesOnce) {
  EXPECT_EQ(Histogram::lowest(0), 0u);
  for (unsigned i = 0; i + 1 < Histogram::BINS; i++) {
    EXPECT_EQ(Histogram::highest(i) + 1, Histogram::lowest(i + 1));
    EXPECT_EQ(Histogram::index(Histogram::lowest(i)), i);
    EXPECT_EQ(Histogram::index(Histogram::highest(i)), i);
  }
  EXPECT_EQ(Histogram::index(~0ull), Histogram::BINS - 1);
  EXPECT_EQ(Histogram::highest(Histogram::BINS - 1), ~0ull);
}

TEST(Histogram, BinsAreExactBelow128AndNarrowAbove) {
  for (unsigned v = 0; v < 128; v++)
    EXPECT_EQ(Histogram::lowest(Histogram::index(v)), Histogram::highest(Histogram::index(v)));
  for (unsigned i = 128; i < Histogram::BINS; i++)
    EXPECT_LE(Histogram::highest(i) - Histogram::lowest(i), Histogram::lowest(i) / 64);
}

TEST(Histogram, EmptyOneSaysZero) {
  Histogram h;
  EXPECT_EQ(h.count(), 0u);
  EXPECT_EQ(h.min(), 0u);
  EXPECT_EQ(h.max(), 0u);
  EXPECT_EQ(h.mean(), 0.0);
  EXPECT_EQ(h.quantile(500), 0u);
}

TEST(Histogram, QuantilesOfFewValuesAreExact) {
  Histogram h;
  for (uint64_t v : {10, 20, 30, 40})
    h.add(v);
  EXPECT_EQ(h.quantile(0), 10u);
  EXPECT_EQ(h.quantile(250), 10u);
  EXPECT_EQ(h.quantile(251), 20u);
  EXPECT_EQ(h.quantile(500), 20u);
  EXPECT_EQ(h.quantile(999), 40u);
  EXPECT_EQ(h.quantile(1000), 40u);
  EXPECT_EQ(h.sum(), 100u);
  EXPECT_EQ(h.mean(), 25.0);
}

TEST(Histogram, QuantilesAreThoseOfSortingToOneBin) {
  std::mt19937_64 random(11);
  for (unsigned round = 0; round < 10; round++) {
    Histogram h;
    std::vector<uint64_t> all;
    size_t count = 1 + random() % 3000;
    for (size_t n = 0; n < count; n++) {
      all.push_back(random() >> random() % 64);
      h.add(all.back());
    }
    EXPECT_EQ(h.min(), *std::min_element(all.begin(), all.end()));
    EXPECT_EQ(h.max(), *std::max_element(all.begin(), all.end()));
    for (unsigned q : {1, 100, 500, 900, 990, 999, 1000}) {
      uint64_t exact = quantile(all, q);
      EXPECT_EQ(h.quantile(q), std::min(Histogram::highest(Histogram::index(exact)), h.max())) << q;
    }
    uint64_t seen = 0;
    h.each([&](uint64_t first, uint64_t last, uint64_t n) {
      EXPECT_EQ(n, static_cast<uint64_t>(
                       std::count_if(all.begin(), all.end(), [&](uint64_t v) { return v >= first && v <= last; })));
      seen += n;
    });
    EXPECT_EQ(seen, h.count());
  }
}
