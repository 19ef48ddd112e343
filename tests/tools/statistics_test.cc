// SPDX-License-Identifier: Apache-2.0
// What modules of the model tell, as text, JSON and CSV.
#include "tools/statistics.h"

#include <boost/json.hpp>
#include <gtest/gtest.h>
#include <locale>

using namespace ims;
namespace json = boost::json;

namespace {

#define LINK_STATISTICS(X)                                                                                             \
  X(packets, "packets", "sent, both directions")                                                                       \
  X(stalls, "packets", "that waited for credits")

// A module with counters, a mean and a histogram, as those of model/ are.
struct Link {
  struct {
    IMS_STATISTIC_FIELDS(LINK_STATISTICS)
  } counters;
  model::Histogram latency;

  void collect(model::StatisticSink &sink) const {
    IMS_STATISTIC_TELL(sink, "link0.tx", counters, LINK_STATISTICS)
    sink.mean("link0.tx", "packets_mean", "bytes", "mean of a packet", 1000, 3);
    sink.histogram("link0.tx", "latency", "ps", "from arrival to departure", latency);
  }
};

std::vector<Statistic> of(const Link &link) {
  std::vector<Statistic> all;
  CollectedStatistics sink(&all);
  link.collect(sink);
  return all;
}

Link busy() {
  Link link;
  link.counters.packets = 18446744073709551615ull;
  link.counters.stalls = 7;
  for (uint64_t i = 1; i <= 1000; i++)
    link.latency.add(i <= 999 ? 100 : 5000);
  return link;
}

TEST(Statistics, OfAModuleAreToldInItsOrder) {
  std::vector<Statistic> all = of(busy());
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[0].key(), "link0.tx.packets");
  EXPECT_EQ(all[0].kind, Statistic::COUNT);
  EXPECT_EQ(all[0].count, 18446744073709551615ull);
  ASSERT_EQ(all[2].numbers().size(), 1u);
  EXPECT_EQ(all[2].numbers()[0].key, "link0.tx.packets_mean");
  EXPECT_EQ(all[2].numbers()[0].value, "333.333");
  EXPECT_EQ(all[2].numbers()[0].unit, "bytes");
  EXPECT_EQ(all[3].histogram.count, 1000u);
  EXPECT_EQ(all[3].histogram.p999, 100u);
  EXPECT_EQ(all[3].histogram.max, 5000u);
}

TEST(Statistics, AsJsonHaveAHistogramAsAnObject) {
  json::value v = json::parse(statistics_json(of(busy()), 42));
  EXPECT_EQ(v.at("format").as_string(), "iommusim-statistics 1");
  EXPECT_EQ(v.at("seed").to_number<uint64_t>(), 42u);
  EXPECT_FALSE(v.as_object().contains("interrupted"));
  EXPECT_EQ(v.at("link0.tx.packets").to_number<uint64_t>(), 18446744073709551615ull);
  EXPECT_EQ(v.at("link0.tx.packets_mean").to_number<double>(), 333.333);
  json::object h = v.at("link0.tx.latency").as_object();
  std::vector<std::string> keys;
  for (const auto &[key, value] : h)
    keys.emplace_back(key);
  EXPECT_EQ(keys, (std::vector<std::string>{"count", "min", "mean", "p50", "p90", "p99", "p99.9", "max", "bins"}));
  EXPECT_EQ(h["count"].to_number<uint64_t>(), 1000u);
  EXPECT_EQ(h["min"].to_number<uint64_t>(), 100u);
  EXPECT_EQ(h["mean"].to_number<double>(), 104.9);
  EXPECT_EQ(h["p50"].to_number<uint64_t>(), 100u);
  EXPECT_EQ(h["p99.9"].to_number<uint64_t>(), 100u);
  EXPECT_EQ(h["max"].to_number<uint64_t>(), 5000u);
  ASSERT_EQ(h["bins"].as_array().size(), 2u);
  EXPECT_EQ(h["bins"].at(0), json::parse("[100, 100, 999]"));
  json::array last = h["bins"].at(1).as_array();
  EXPECT_LE(last[0].to_number<uint64_t>(), 5000u);
  EXPECT_GE(last[1].to_number<uint64_t>(), 5000u);
  EXPECT_EQ(last[2].to_number<uint64_t>(), 1u);
}

TEST(Statistics, OfARunThatWasCutShortSaySo) {
  std::vector<Statistic> all = of(busy());
  EXPECT_TRUE(json::parse(statistics_json(all, 0, true)).at("interrupted").as_bool());
  EXPECT_EQ(statistics_text(all, true).substr(0, 14), "# interrupted:");
  EXPECT_EQ(statistics_text(all).find("interrupted"), std::string::npos);
  EXPECT_NE(statistics_csv(all, true).find("\ninterrupted,true,\n"), std::string::npos);
  EXPECT_EQ(statistics_csv(all).find("interrupted"), std::string::npos);
}

TEST(Statistics, AsTextStandInColumns) {
  std::vector<Statistic> all = {{"", "short", "DMAs", "of the run", Statistic::COUNT, 5},
                                {"iommu0", "", "a unit that is long", "wide"}};
  const std::string name(50, 'k');
  all[1].name = name.c_str();
  std::string text = statistics_text(all);
  size_t newline = text.find('\n');
  std::string first = text.substr(0, newline), second = text.substr(newline + 1);
  EXPECT_EQ(first.find('#'), second.find('#'));
  EXPECT_EQ(first.find("DMAs"), second.find("a unit"));
  EXPECT_EQ(first.find(" 5 ") + 1, second.find(" 0 ") + 1);
  EXPECT_EQ(statistics_text({all[0]}),
            "short                                                 5  DMAs          # of the run\n");
}

TEST(Statistics, AsCsvAreKeyValueUnit) {
  EXPECT_EQ(statistics_csv(of(busy())), "key,value,unit\n"
                                        "link0.tx.packets,18446744073709551615,packets\n"
                                        "link0.tx.stalls,7,packets\n"
                                        "link0.tx.packets_mean,333.333,bytes\n"
                                        "link0.tx.latency.count,1000,values\n"
                                        "link0.tx.latency.min,100,ps\n"
                                        "link0.tx.latency.mean,104.900,ps\n"
                                        "link0.tx.latency.p50,100,ps\n"
                                        "link0.tx.latency.p90,100,ps\n"
                                        "link0.tx.latency.p99,100,ps\n"
                                        "link0.tx.latency.p99.9,100,ps\n"
                                        "link0.tx.latency.max,5000,ps\n");
}

TEST(Statistics, NamesMayHoldWhatTheFormatsUse) {
  std::vector<Statistic> all = {{"a\"b\\c,\n", "n", "u", "s", Statistic::COUNT, 1}};
  EXPECT_EQ(json::parse(statistics_json(all, 0)).at("a\"b\\c,\n.n").to_number<int>(), 1);
  EXPECT_EQ(statistics_csv(all), "key,value,unit\n\"a\"\"b\\c,\n.n\",1,u\n");
}

TEST(Statistics, AnEmptyHistogramIsAllZero) {
  json::object h = json::parse(statistics_json(of(Link()), 0)).at("link0.tx.latency").as_object();
  for (const char *key : {"count", "min", "p50", "p99.9", "max"})
    EXPECT_EQ(h[key].to_number<uint64_t>(), 0u) << key;
  EXPECT_EQ(h["mean"].to_number<double>(), 0.0);
  EXPECT_TRUE(h["bins"].as_array().empty());
}

TEST(MeanText, IsRoundedToThreeDecimalsHalvesUp) {
  EXPECT_EQ(mean_text(0, 0), "0.000");
  EXPECT_EQ(mean_text(7, 0), "0.000");
  EXPECT_EQ(mean_text(7, 2), "3.500");
  EXPECT_EQ(mean_text(2, 3), "0.667");
  EXPECT_EQ(mean_text(1, 2000), "0.001");
  EXPECT_EQ(mean_text(1, 2001), "0.000");
  EXPECT_EQ(mean_text(19999, 10000), "2.000");
  EXPECT_EQ(mean_text(~0ull, 1), "18446744073709551615.000");
  EXPECT_EQ(mean_text(~0ull, ~0ull - 1), "1.000");
}

// Streams write numbers as the program's locale has it; results are the same in all.
TEST(MeanText, IsTheSameInEveryLocale) {
  struct Commas : std::numpunct<char> {
    char do_decimal_point() const override { return ','; }
    char do_thousands_sep() const override { return '.'; }
    std::string do_grouping() const override { return "\3"; }
  };
  const std::string csv = statistics_csv(of(busy())), text = statistics_text(of(busy())),
                    js = statistics_json(of(busy()), 1234567);
  std::locale before = std::locale::global(std::locale(std::locale(), new Commas));
  EXPECT_EQ(mean_text(12345678, 1000), "12345.678");
  EXPECT_EQ(statistics_csv(of(busy())), csv);
  EXPECT_EQ(statistics_text(of(busy())), text);
  EXPECT_EQ(statistics_json(of(busy()), 1234567), js);
  std::locale::global(before);
}

} // namespace
