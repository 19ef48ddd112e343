// SPDX-License-Identifier: Apache-2.0
// Numbers, requester ids and nearest words.
#include "trace/nearest.h"
#include "trace/number.h"
#include "trace/text.h"

#include <gtest/gtest.h>

TEST(Number, DecimalAndHexadecimalUpTo64Bits) {
  uint64_t v = 0;
  EXPECT_TRUE(ims::parse_number("18446744073709551615", &v));
  EXPECT_EQ(v, ~0ull);
  EXPECT_TRUE(ims::parse_number("0xFfff", &v));
  EXPECT_EQ(v, 0xffffu);
  EXPECT_TRUE(ims::parse_number("010", &v)); // decimal, not octal
  EXPECT_EQ(v, 10u);
  for (const char *bad : {"", "0x", "x", "1 ", " 1", "+1", "-1", "1e3", "0x1g", "18446744073709551616"})
    EXPECT_FALSE(ims::parse_number(bad, &v)) << bad;
}

TEST(Number, RequesterIds) {
  uint64_t v = 0;
  EXPECT_TRUE(ims::parse_source("ff:1f.7", &v));
  EXPECT_EQ(v, 0xffffu);
  EXPECT_TRUE(ims::parse_source("0001:02:03.4", &v));
  EXPECT_EQ(v, 0x21cu);
  EXPECT_TRUE(ims::parse_source("300", &v));
  EXPECT_EQ(v, 300u);
  for (const char *bad :
       {"", ":", "0:0", "0.0", "00:03.", ":03.0", "00:.0", "0:0:0:0.0", "00:003.0", "00:03.00", "gg:0.0"})
    EXPECT_FALSE(ims::parse_source(bad, &v)) << bad;
  EXPECT_EQ(ims::source_text(0x21c), "02:03.4");
}

TEST(Number, SizesTakeAUnit) {
  uint64_t v = 0;
  EXPECT_TRUE(ims::parse_size("4K", &v) && v == 4096);
  EXPECT_TRUE(ims::parse_size("2M", &v) && v == 2 << 20);
  EXPECT_TRUE(ims::parse_size("0x4000", &v) && v == 0x4000);
  EXPECT_TRUE(ims::parse_size("16777215T", &v) && v == 16777215ull << 40);
  for (const char *bad : {"", "K", "4k", "0x4K", "4KK", "-4K", "16777216T"})
    EXPECT_FALSE(ims::parse_size(bad, &v)) << bad;
}

TEST(Text, SizesAreInTheUnitThatFits) {
  EXPECT_EQ(ims::size_text(0), "1 byte");
  EXPECT_EQ(ims::size_text(12), "4 KB");
  EXPECT_EQ(ims::size_text(16), "64 KB");
  EXPECT_EQ(ims::size_text(21), "2 MB");
  EXPECT_EQ(ims::size_text(30), "1 GB");
  EXPECT_EQ(ims::size_text(39), "512 GB");
}

TEST(Nearest, CountsInsertionsDeletionsReplacementsAndSwaps) {
  EXPECT_EQ(ims::edit_distance("", ""), 0u);
  EXPECT_EQ(ims::edit_distance("walk", ""), 4u);
  EXPECT_EQ(ims::edit_distance("walk", "WALK"), 0u);
  EXPECT_EQ(ims::edit_distance("wlak", "walk"), 1u);
  EXPECT_EQ(ims::edit_distance("wak", "walk"), 1u);
  EXPECT_EQ(ims::edit_distance("talk", "walk"), 1u);
  EXPECT_EQ(ims::edit_distance("kitten", "sitting"), 3u);
}

TEST(Nearest, PrefersFewEditsThenBeginningsThenOrder) {
  EXPECT_EQ(ims::nearest("req", {"set", "requests"}), "requests");
  EXPECT_EQ(ims::nearest("b", {"a", "c"}), "a");
  EXPECT_EQ(ims::nearest("anything", {}), "");
}
