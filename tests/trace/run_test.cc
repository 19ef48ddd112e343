// SPDX-License-Identifier: Apache-2.0
// iommusim run as people start it: what it prints, what it writes, how it ends.
#include "tests/tools/program.h"

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <set>

namespace json = boost::json;

namespace {

const std::string traces = IMS_SOURCE_DIR "/traces/";

std::vector<std::string> bundled() {
  std::vector<std::string> names;
  for (const auto &entry : std::filesystem::directory_iterator(traces))
    if (entry.path().extension() == ".trace")
      names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

class RunTrace : public testing::TestWithParam<std::string> {};

TEST_P(RunTrace, HoldsInAHundredColumnsAndTwiceTheSame) {
  TempDir dir;
  std::string a = dir.path("a"), b = dir.path("b");
  Ran first = run_program({"run", traces + GetParam(), "-o", a});
  EXPECT_EQ(first.status, 0) << first.err;
  EXPECT_EQ(first.err, "");
  EXPECT_NE(first.out.find(" held, 0 failed"), std::string::npos);
  EXPECT_EQ(first.out.find('\033'), std::string::npos); // no terminal, no colour
  for (const std::string &line : split(first.out, '\n'))
    EXPECT_LE(line.size(), 100u) << line;
  Ran second = run_program({"run", traces + GetParam(), "-o", b});
  EXPECT_EQ(first.out, second.out);
  for (const char *file : {"/stats.json", "/stats.txt", "/config.json", "/log.txt"}) {
    EXPECT_NE(read_text(a + file), "") << file;
    EXPECT_EQ(read_text(a + file), read_text(b + file)) << file;
  }
  EXPECT_EQ(read_text(a + "/log.txt"), first.out);
}

std::string test_name(const testing::TestParamInfo<std::string> &trace) {
  std::string name = trace.param.substr(0, trace.param.find('.'));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Program, RunTrace, testing::ValuesIn(bundled()), test_name);

// What a guest and its device do in a trace, without who carried the bind: neither the PASIDs of one of them, nor how the
// page tables got to the hardware.
std::vector<std::string> story(const std::string &name) {
  std::vector<std::string> lines;
  for (std::string line : split(read_text(traces + name), '\n')) {
    std::string event = line.substr(0, line.find(' '));
    static const std::set<std::string> told = {"dma",   "map",  "unmap", "table", "entry",
                                               "alloc", "read", "slot",  "mmap"};
    if (!told.count(event))
      continue;
    if (size_t at = line.find(" pasid=$pasid"); at != line.npos)
      line.erase(at, std::string(" pasid=$pasid").size());
    lines.push_back(line);
  }
  return lines;
}

TEST(Traces, TheSameGuestOnAContainerAndOnIommufd) {
  for (const char *arch : {"vtd", "smmuv3"}) {
    std::vector<std::string> then = story(std::string("vfio-") + arch + ".trace"),
                             now = story(std::string("iommufd-") + arch + ".trace");
    EXPECT_EQ(then, now);
    EXPECT_GT(now.size(), 20u);
  }
}

TEST(RunProgram, AWrongExpectationIsNamedAndEndsWithOne) {
  TempDir dir;
  std::string text = read_text(traces + "legacy.trace");
  size_t at = text.find("refs=6");
  ASSERT_NE(at, std::string::npos);
  text.replace(at, 6, "refs=7");
  write_file(dir.path("t.trace"), text);
  unsigned line = 1 + static_cast<unsigned>(std::count(text.begin(), text.begin() + static_cast<long>(at), '\n'));
  Ran ran = run_program({"run", dir.path("t.trace")});
  EXPECT_EQ(ran.status, 1);
  std::string place = dir.path("t.trace") + ":" + std::to_string(line) + ":";
  EXPECT_EQ(ran.err.substr(0, place.size()), place);
  EXPECT_NE(ran.err.find(": dma: expected refs=7, came 6\n"), std::string::npos) << ran.err;
  EXPECT_NE(ran.err.find("1 of "), std::string::npos);
  EXPECT_NE(ran.out.find("EXPECTED refs=7, came 6"), std::string::npos);
  EXPECT_NE(ran.out.find("1 failed"), std::string::npos); // the run went on to its summary
}

TEST(RunProgram, QuietSaysNothingWhenAllIsWell) {
  Ran ran = run_program({"run", traces + "two-units.trace", "--quiet"});
  EXPECT_EQ(ran.status, 0);
  EXPECT_EQ(ran.out, "");
  EXPECT_EQ(ran.err, "");
}

TEST(RunProgram, StatisticsAreJsonAndSayWhatTheSummarySays) {
  TempDir dir;
  Ran ran = run_program({"run", traces + "vsva-2020.trace", "-o", dir.path("o"), "--seed", "0x10"});
  ASSERT_EQ(ran.status, 0);
  json::object stats = json::parse(read_text(dir.path("o/stats.json"))).as_object();
  EXPECT_EQ(stats["format"].as_string(), "iommusim-statistics 1");
  EXPECT_EQ(stats["seed"].to_number<uint64_t>(), 16u);
  EXPECT_EQ(stats["references_max"].to_number<uint64_t>(), 28u);
  EXPECT_EQ(stats["expectations_failed"].to_number<uint64_t>(), 0u);
  EXPECT_GT(stats["references_mean"].to_number<double>(), 1.0);
  EXPECT_NE(ran.out.find("references      " + std::to_string(stats["references"].to_number<uint64_t>()) + ":"),
            std::string::npos);
  std::string text = read_text(dir.path("o/stats.txt"));
  for (const auto &[key, value] : stats)
    if (key != "format" && key != "seed") {
      EXPECT_NE(text.find(std::string(key) + " "), std::string::npos) << key;
    }
}

TEST(RunProgram, TheResolvedConfigurationCanBeGivenBack) {
  TempDir dir;
  Ran ran = run_program({"run", traces + "vsva-2020.trace", "-q", "-o", dir.path("o"), "--set", "vtd.iotlb_ways=2"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  json::value config = json::parse(read_text(dir.path("o/config.json")));
  EXPECT_EQ(config.at("vtd").at("iotlb_ways").to_number<int>(), 2);
  EXPECT_EQ(config.at("vtd").at("nested_entries").to_number<int>(), 0); // from the trace
  Ran again = run_program(
      {"run", traces + "vsva-2020.trace", "-q", "-o", dir.path("p"), "--config", dir.path("o/config.json")});
  EXPECT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(read_text(dir.path("p/config.json")), read_text(dir.path("o/config.json")));
  // Units that differ have a file each.
  ASSERT_EQ(run_program({"run", traces + "two-units.trace", "-q", "-o", dir.path("two")}).status, 0);
  EXPECT_NE(read_text(dir.path("two/config.json")), read_text(dir.path("two/config-iommu1.json")));
}

TEST(RunProgram, KnobsChangeWhatIsCounted) {
  Ran ran = run_program({"run", traces + "vsva-2020.trace", "-q", "--set", "vtd.iotlb_entries=0"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_NE(ran.err.find("expected refs=0, came 24"), std::string::npos) << ran.err;
}

TEST(RunProgram, ExplainShowsTheWalkOfOneLine) {
  std::string text = read_text(traces + "vsva-2020.trace");
  size_t at = text.find("dma dev0 write iova=$buf pasid=$pasid data=");
  ASSERT_NE(at, std::string::npos);
  std::string line = std::to_string(1 + std::count(text.begin(), text.begin() + static_cast<long>(at), '\n'));
  Ran plain = run_program({"run", traces + "vsva-2020.trace"});
  Ran told = run_program({"run", traces + "vsva-2020.trace", "--explain=" + line});
  EXPECT_EQ(told.status, 0) << told.err;
  EXPECT_NE(told.out.find("28 references (4 configuration, 4 first stage, 20 second stage)"), std::string::npos);
  EXPECT_GT(told.out.size(), plain.out.size() + 2000);
  EXPECT_NE(text.find("--explain=" + line), std::string::npos) << "the trace's own comment names another line";
}

struct BadLine {
  std::vector<std::string> arguments;
  const char *words;
};

TEST(RunProgram, RefusesBadCommandLinesWithTwo) {
  TempDir dir;
  write_file(dir.path("bad.trace"), "iommusim-trace 1\nbarier\n");
  write_file(dir.path("late.trace"), "iommusim-trace 1\nmemory hpa=0 size=4K\nmemory hpa=0 size=4K\n");
  write_file(dir.path("file"), "");
  std::string ok = traces + "legacy.trace";
  const std::vector<BadLine> cases = {
      {{"run"}, "no trace"},
      {{"run", dir.path("none")}, "none"},
      {{"run", dir.path("bad.trace")}, "bad.trace:2:1: unknown event `barier`; the nearest is `barrier`"},
      {{"run", dir.path("late.trace")}, "late.trace:3:1: `memory` failed"},
      {{"run", ok, ok}, "too many"},
      {{"run", ok, "--timing", "lt", "--explain"}, "it goes with --timing none"},
      {{"run", ok, "--timing", "now"}, "found `now`, expected none, lt or at"},
      {{"run", ok, "--seed", "x"}, "--seed: found `x`, expected a number"},
      {{"run", ok, "--explain=x"}, "--explain: found `x`"},
      {{"run", ok, "--set", "vtd.iotlb"}, "vtd.iotlb"},
      {{"run", ok, "--set", "vtd.iotlb_entires=1"}, "vtd.iotlb_entries"},
      {{"run", ok, "--config", dir.path("none.json")}, "none.json"},
      {{"run", ok, "-o", dir.path("file")}, "expected a folder"},
      {{"run", ok, "-o", dir.path("no/such/folder")}, "cannot be made"},
      {{"run", ok, "--quiet", "--explain"}, "--quiet"},
      {{"run", ok, "--qiet"}, "--quiet"},
      {{"run", ok, "--set", "vtd.smts=0", "--set", "vtd.qi=0"}, "legacy.trace:"},
  };
  for (const BadLine &c : cases) {
    Ran ran = run_program(c.arguments);
    EXPECT_EQ(ran.status, 2) << c.words;
    EXPECT_NE(ran.err.find(c.words), std::string::npos) << ran.err;
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
  }
}

} // namespace
