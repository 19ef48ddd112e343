// SPDX-License-Identifier: Apache-2.0
// Values of knobs: what people may write for each kind of row, and how it is printed.
#include "tools/config_value.h"

#include <gtest/gtest.h>
#include <optional>
#include <random>

namespace {

using ims::value_json;
using ims::value_text;
using Value = std::optional<uint32_t>;

const char *const colours[] = {"red", "green", "blue", nullptr};
const char *const switches[] = {"off", "on", nullptr};

ims_option number(uint32_t low, uint32_t high, const char *unit = "") {
  ims_option o = {};
  o.low = low;
  o.high = high;
  o.unit = unit;
  return o;
}
ims_option time(uint32_t low, uint32_t high) {
  ims_option o = number(low * 1000, high * 1000, "ns");
  o.scale = 1000;
  return o;
}
ims_option word(const char *const *words, uint32_t high, uint32_t low = 0) {
  ims_option o = number(low, high);
  o.words = words;
  return o;
}

Value literal(const ims_option &o, const std::string &text) {
  uint32_t v = 0;
  return ims::parse_literal(o, text, &v) ? Value(v) : std::nullopt;
}
Value setting(const ims_option &o, const std::string &text) {
  uint32_t v = 0;
  return ims::parse_setting(o, text, &v) ? Value(v) : std::nullopt;
}

TEST(ConfigValue, DecimalsAreExact) {
  ims_option o = time(0, 100000);
  EXPECT_EQ(literal(o, "2.5"), 2500u);
  EXPECT_EQ(literal(o, "2"), 2000u);
  EXPECT_EQ(literal(o, "2.300"), 2300u); // as a double this is 2.2999999999999998
  EXPECT_EQ(literal(o, "2.3000000000"), 2300u);
  EXPECT_EQ(literal(o, "0.001"), 1u);
  EXPECT_EQ(literal(o, "0"), 0u);
  EXPECT_EQ(literal(o, "0.0000000"), 0u);
  EXPECT_EQ(literal(o, "25e-1"), 2500u);
  EXPECT_EQ(literal(o, "1.5E+2"), 150000u);
  EXPECT_EQ(literal(o, "0e30"), 0u);
  EXPECT_EQ(literal(o, "100000"), 100000000u);
  EXPECT_EQ(literal(o, "100000.000"), 100000000u);
}

TEST(ConfigValue, WhatDoesNotFitIsRefused) {
  ims_option o = time(0, 100000);
  for (const char *bad : {"",
                          ".",
                          ".5",
                          "2.5001",
                          "0.0001",
                          "1e-4",
                          "-1",
                          "-0",
                          "--1",
                          "1.2.3",
                          "1e",
                          "1e+",
                          "1e+-1",
                          "1e1.5",
                          "e3",
                          "0x10",
                          "2,5",
                          " 1",
                          "1 ",
                          "1K",
                          "100000.001",
                          "99999999999999999999999",
                          "1e99999999999",
                          "1e32",
                          "nan",
                          "inf",
                          "two"})
    EXPECT_EQ(literal(o, bad), std::nullopt) << bad;
  EXPECT_EQ(literal(o, std::string(1000, '1')), std::nullopt);
  EXPECT_EQ(literal(time(5, 10), "4.999"), std::nullopt);
}

TEST(ConfigValue, WholeNumbersTakeNoFraction) {
  ims_option o = number(1, 4096);
  EXPECT_EQ(literal(o, "4096"), 4096u);
  EXPECT_EQ(literal(o, "4e3"), 4000u);
  EXPECT_EQ(literal(o, "5.0"), 5u);
  EXPECT_EQ(literal(o, "5.5"), std::nullopt);
  EXPECT_EQ(literal(o, "0"), std::nullopt);
  EXPECT_EQ(literal(o, "4097"), std::nullopt);
  EXPECT_EQ(setting(o, "4K"), 4096u);
  EXPECT_EQ(setting(o, "0xff"), 255u);
  EXPECT_EQ(setting(o, "5K"), std::nullopt);
  EXPECT_EQ(setting(o, "true"), std::nullopt);
}

TEST(ConfigValue, WordsBeginAtTheLowestValue) {
  ims_option o = word(colours, 6, 4);
  EXPECT_EQ(setting(o, "red"), 4u);
  EXPECT_EQ(setting(o, "blue"), 6u);
  EXPECT_EQ(setting(o, "5"), 5u);
  EXPECT_EQ(setting(o, "3"), std::nullopt);
  EXPECT_EQ(setting(o, "on"), std::nullopt);
  EXPECT_EQ(setting(o, "Red"), std::nullopt);
  EXPECT_EQ(value_text(o, 5), "green");
  EXPECT_EQ(value_json(o, 5), "\"green\"");
  EXPECT_EQ(ims::expected_text(o), "expected one of red, green, blue");
}

TEST(ConfigValue, FlagsAreOffAndOn) {
  for (const ims_option &o : {number(0, 1), word(switches, 1)}) {
    EXPECT_TRUE(ims::is_flag(o));
    for (const char *on : {"on", "true", "1"})
      EXPECT_EQ(setting(o, on), 1u) << on;
    for (const char *off : {"off", "false", "0"})
      EXPECT_EQ(setting(o, off), 0u) << off;
    EXPECT_EQ(setting(o, "2"), std::nullopt);
    EXPECT_EQ(setting(o, "yes"), std::nullopt);
  }
  EXPECT_FALSE(ims::is_flag(word(colours, 1)));
  EXPECT_FALSE(ims::is_flag(number(0, 2)));
  EXPECT_FALSE(ims::is_flag(number(1, 1)));
}

TEST(ConfigValue, DecimalsArePrintedWithoutNeedlessZeros) {
  ims_option o = time(0, 4000000);
  EXPECT_EQ(value_text(o, 2500), "2.5");
  EXPECT_EQ(value_text(o, 2000), "2");
  EXPECT_EQ(value_text(o, 1), "0.001");
  EXPECT_EQ(value_text(o, 10020), "10.02");
  EXPECT_EQ(value_text(o, 4000000000u), "4000000");
  EXPECT_EQ(ims::range_text(o), "0..4000000");
  EXPECT_EQ(ims::expected_text(o), "expected a number from 0 to 4000000 ns, with 3 decimals at most");
}

TEST(ConfigValue, WhatIsPrintedReadsBackTheSame) {
  std::mt19937 random(5);
  for (const ims_option &o : {time(0, 4000000), number(0, 0xffffffff), word(colours, 2), word(switches, 1)})
    for (int i = 0; i < 2000; i++) {
      uint32_t v = static_cast<uint32_t>(o.low + random() % (uint64_t{o.high} - o.low + 1)), back = ~v;
      std::string text = value_text(o, v);
      ASSERT_TRUE(ims::parse_setting(o, text, &back)) << text;
      ASSERT_EQ(back, v) << text;
    }
}

TEST(ConfigValue, AScaleOfOneIsAWholeNumber) {
  ims_option o = number(0, 10);
  o.scale = 1;
  EXPECT_EQ(value_text(o, 7), "7");
  EXPECT_EQ(literal(o, "7"), 7u);
  EXPECT_EQ(literal(o, "7.1"), std::nullopt);
}

} // namespace
