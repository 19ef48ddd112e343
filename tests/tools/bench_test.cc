// SPDX-License-Identifier: Apache-2.0
// `bench walk` and `bench dma`: their numbers, their files, and how they end.
#include "tests/tools/program.h"
#include "tools/svg.h"

#include <boost/json.hpp>
#include <csignal>
#include <filesystem>
#include <thread>

namespace json = boost::json;

namespace {

std::vector<std::string> words(const std::string &line) {
  std::vector<std::string> all;
  std::istringstream in(line);
  for (std::string word; in >> word;)
    all.push_back(word);
  return all;
}

Ran bench(const std::string &line) { return run_program(words("bench " + line)); }

struct Row {
  std::string arch, translation, cached;
  double mean, latency_ps;
  uint64_t most, rate;
};

std::vector<Row> rows(const std::string &text) {
  std::vector<Row> all;
  json::value report = json::parse(text);
  for (const json::value &v : report.at("rows").as_array())
    all.push_back({v.at("arch").as_string().c_str(), v.at("translation").as_string().c_str(),
                   v.at("cached").as_string().c_str(), v.at("references").at("mean").to_number<double>(),
                   v.at("latency_ps").at("mean").to_number<double>(),
                   v.at("references").at("max").to_number<uint64_t>(), v.at("dmas_per_second").to_number<uint64_t>()});
  return all;
}

std::vector<Row> measured(const std::string &options) {
  Ran r = bench("walk --format json --requests 60 " + options);
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(r.err, "");
  return rows(r.out);
}

// References of each row; mean and maximum have to be the same.
std::vector<uint64_t> references(const std::string &options) {
  std::vector<uint64_t> all;
  for (const Row &row : measured(options)) {
    EXPECT_EQ(row.mean, static_cast<double>(row.most)) << row.arch << " " << row.cached;
    all.push_back(row.most);
  }
  return all;
}

using Counts = std::vector<uint64_t>;

// All files of a folder, by name.
std::map<std::string, std::string> files(const std::string &folder) {
  std::map<std::string, std::string> all;
  for (const auto &f : std::filesystem::directory_iterator(folder))
    all[f.path().filename()] = read_text(f.path());
  return all;
}

// Starts the program, waits until the folder is there, sends SIGINT; its exit status.
int interrupt(const std::vector<std::string> &arguments, const std::string &folder, const std::string &out) {
  std::vector<char *> argv = {const_cast<char *>(IMS_PROGRAM)};
  for (const std::string &a : arguments)
    argv.push_back(const_cast<char *>(a.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawnattr_t attributes; // SIGINT may be ignored here, as in a job of a script
  posix_spawnattr_init(&attributes);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  posix_spawnattr_setsigdefault(&attributes, &signals);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  pid_t pid = 0;
  EXPECT_EQ(posix_spawn(&pid, IMS_PROGRAM, &actions, &attributes, argv.data(), environ), 0);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  for (int i = 0; i < 3000 && !std::filesystem::exists(folder); i++) {
    if (waitpid(pid, &status, WNOHANG) == pid)
      return WEXITSTATUS(status);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(100)); // some of it is to happen
  kill(pid, SIGINT);
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

} // namespace

TEST(BenchWalk, ReferencesFallFromTheFormulaToNothing) {
  EXPECT_EQ(references("--arch vtd --translation nested"), (Counts{28, 24, 5, 2, 1, 0}));
  EXPECT_EQ(references("--arch smmuv3 --translation nested"), (Counts{30, 24, 5, 2, 1, 0}));
}

TEST(BenchWalk, FiveLevelsAndLargePagesHaveTheirOwnCounts) {
  EXPECT_EQ(references("--arch vtd --translation nested --s1-levels 5 --s2-levels 5"), (Counts{39, 35, 6, 2, 1, 0}));
  EXPECT_EQ(references("--arch smmuv3 --translation nested --s1-levels 5 --s2-levels 5"), (Counts{42, 35, 6, 2, 1, 0}));
  EXPECT_EQ(references("--arch vtd --translation nested --s1-page 2m --s2-page 2m"), (Counts{19, 15, 4, 2, 1, 0}));
  EXPECT_EQ(references("--arch smmuv3 --translation nested --s1-page 2m --s2-page 2m"), (Counts{20, 15, 4, 2, 1, 0}));
}

TEST(BenchWalk, TwoLevelStructuresOfAnSmmuAreThirtySixReferences) {
  EXPECT_EQ(references("--arch smmuv3 --translation nested --set machine.stream_table=two-level"
                       " --set machine.cd_table=two-level"),
            (Counts{36, 24, 5, 2, 1, 0}));
}

TEST(BenchWalk, WalkCachesOfGuestAddressesCostAStageMore) {
  EXPECT_EQ(references("--arch vtd --translation nested --set vtd.psc_gpa=on"), (Counts{28, 24, 9, 3, 1, 0}));
}

TEST(BenchWalk, OneStageShadowAndPassThroughStandBesideNested) {
  EXPECT_EQ(references("--arch vtd --translation first,second,shadow,pass-through"),
            (Counts{8, 4, 1, 0, 8, 4, 1, 0, 8, 4, 1, 0, 4, 0}));
  EXPECT_EQ(references("--arch smmuv3 --translation first,second,shadow,pass-through"),
            (Counts{6, 4, 1, 0, 5, 4, 1, 0, 6, 4, 1, 0, 1, 0}));
}

TEST(BenchWalk, GranulesOf16And64KilobytesBringTheirLevels) {
  EXPECT_EQ(references("--translation nested --granule 64k --window 1M"), (Counts{20, 15, 4, 2, 1, 0}));
  EXPECT_EQ(references("--translation nested --granule 16k --window 1M"), (Counts{24, 19, 4, 2, 1, 0}));
}

TEST(BenchWalk, LatencyAloneIsTheSumOfItsSteps) {
  std::vector<Row> row = measured("--arch vtd --translation nested --set link.generation=0");
  ASSERT_EQ(row.size(), 6u);
  // Request and response 1 ns each, 60 ns each read and the data's; look-ups: context 2, PASID 2, walk caches 5 + 5,
  // nested TLB 2, IOTLB 2.
  EXPECT_EQ(row[0].latency_ps, 1000.0 * (2 + 29 * 60));
  EXPECT_EQ(row[1].latency_ps, 1000.0 * (2 + 25 * 60 + 4));
  EXPECT_EQ(row[2].latency_ps, 1000.0 * (2 + 6 * 60 + 4 + 5));
  EXPECT_EQ(row[3].latency_ps, 1000.0 * (2 + 3 * 60 + 4 + 5 + 5));
  EXPECT_EQ(row[5].latency_ps, 1000.0 * (2 + 60 + 4 + 2));
}

TEST(BenchWalk, RateIsThatOfTheWalkers) {
  Ran r = bench("walk --format json --requests 2000 --arch vtd --translation nested --set iommu.walkers=4");
  std::vector<Row> row = rows(r.out);
  ASSERT_EQ(row.size(), 6u);
  EXPECT_NEAR(static_cast<double>(row[0].rate), 4e9 / (28 * 60), 0.02 * 4e9 / (28 * 60));
  for (size_t i = 1; i < row.size(); i++)
    EXPECT_GT(row[i].rate, row[i - 1].rate);
}

TEST(BenchWalk, TableSaysWhatJsonSays) {
  TempDir dir;
  Ran table = bench("walk --requests 60 --arch vtd --translation nested,first -o " + dir.path("out"));
  EXPECT_EQ(table.status, 0) << table.err;
  std::map<std::string, std::string> written = files(dir.path("out"));
  std::vector<std::string> names;
  for (const auto &[name, text] : written)
    names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{"config.json", "walk.json", "walk.svg", "walk.txt"}));
  EXPECT_EQ(written["walk.txt"], table.out);
  std::vector<Row> expected = rows(written["walk.json"]);
  size_t i = 0;
  for (const std::string &line : split(table.out, '\n')) {
    if (line.rfind("  nothing", 0) && line.rfind("  + ", 0))
      continue;
    ASSERT_LT(i, expected.size());
    std::vector<std::string> word = words(line);
    size_t n = word.size();
    char mean[32], latency[32], rate[32];
    std::snprintf(mean, sizeof(mean), "%.3f", expected[i].mean);
    std::snprintf(latency, sizeof(latency), "%.1f", expected[i].latency_ps / 1000);
    std::snprintf(rate, sizeof(rate), "%.3f", static_cast<double>(expected[i].rate) / 1e6);
    EXPECT_EQ(word[n - 5], mean) << line;
    EXPECT_EQ(word[n - 4], std::to_string(expected[i].most)) << line;
    EXPECT_EQ(word[n - 3], latency) << line;
    EXPECT_EQ(word[n - 1], rate) << line;
    i++;
  }
  EXPECT_EQ(i, expected.size());
}

TEST(BenchWalk, PictureHasBarsLabelsUnitsAndAnEnd) {
  TempDir dir;
  Ran r = bench("walk --requests 60 --translation nested --svg " + dir.path("walk.svg"));
  EXPECT_EQ(r.status, 0) << r.err;
  std::string svg = read_text(dir.path("walk.svg"));
  EXPECT_EQ(svg.rfind("<?xml", 0), 0u);
  EXPECT_EQ(svg.substr(svg.size() - 7), "</svg>\n");
  for (const char *text : {">nothing cached<", ">+ IOTLB<", ">VT-d<", ">SMMUv3<", ">nested, 4 x 4 levels<", ">28<",
                           ">30<", "ns, one request alone", "DMA/us"})
    EXPECT_NE(svg.find(text), std::string::npos) << text;
  size_t bars = 0;
  for (size_t at = svg.find("<rect"); at != svg.npos; at = svg.find("<rect", at + 1))
    bars++;
  // White, legend, three panels of six rows of two, of which two have no reference.
  EXPECT_EQ(bars, 1u + 2 + 3 * 6 * 2 - 2);
}

TEST(BenchWalk, SameBytesEveryTime) {
  for (const char *timing : {"lt", "at"}) {
    TempDir dir;
    std::string line = std::string("walk --requests 60 --translation nested,shadow --timing ") + timing + " -o ";
    Ran first = bench(line + dir.path("a")), second = bench(line + dir.path("b"));
    EXPECT_EQ(first.out, second.out);
    EXPECT_EQ(files(dir.path("a")), files(dir.path("b")));
  }
}

TEST(BenchWalk, CheckThatFailsIsSaidAndEndsWithOne) {
  Ran r = bench("walk --requests 60 --arch vtd --translation nested --set machine.premap=off");
  EXPECT_EQ(r.status, 1);
  EXPECT_NE(r.err.find("VT-d, nested, 4 x 4 levels, nothing cached: 0 of 60 DMAs arrived"), std::string::npos) << r.err;
}

TEST(BenchWalk, BadOptionsAreRefusedByName) {
  const std::pair<const char *, const char *> lines[] = {
      {"walk --arch x86", "--arch: found `x86`, expected one of vtd, smmuv3"},
      {"walk --translation nested,off", "--translation: found off"},
      {"walk --s1-levels 9", "--s1-levels: found `9`, expected a number from 2 to 5 levels"},
      {"walk --pattern trace", "--pattern: found"},
      {"walk --window 1", "--window: found `1`, expected a number from 4096"},
      {"walk --requests 0", "--requests: found `0`, expected a number from 1"},
      {"walk --timing none", "--timing: found `none`, expected lt or at"},
      {"walk --format csv", "--format: found `csv`, expected table or json"},
      {"walk --granule 64k --arch vtd", "VT-d has tables of 4 KB only"},
      {"walk --archs vtd", "unknown option `--archs`; the nearest is --arch"},
      {"dma --window 5:3 --vcd x", "--window: found `5:3`, expected FROM:TO"},
      {"dma --window 1:3", "--window goes with"},
      {"dma --intervals 5", "--intervals goes with --output"},
      {"dma --set device.pattern=trace", "device.pattern = trace needs --trace FILE"},
      {"dma --set devce.tags=3", "the nearest is `device.tags`"},
      {"wlak", "unknown benchmark `wlak`; the nearest is walk"},
  };
  for (const auto &[line, message] : lines) {
    Ran r = bench(line);
    EXPECT_EQ(r.status, 2) << line;
    EXPECT_EQ(r.out, "") << line;
    EXPECT_NE(r.err.find(message), std::string::npos) << line << ": " << r.err;
  }
}

TEST(Bench, ListsItsBenchmarksAndHelpsEverywhere) {
  Ran none = bench("");
  EXPECT_EQ(none.status, 2);
  EXPECT_NE(none.err.find("\n  walk "), std::string::npos);
  for (const char *line : {"--help", "walk --help", "dma -h"}) {
    Ran r = bench(line);
    EXPECT_EQ(r.status, 0);
    EXPECT_EQ(r.out.rfind("Usage: iommusim bench ", 0), 0u);
    EXPECT_NE(r.out.find("Example:\n  iommusim bench "), std::string::npos);
  }
}

TEST(BenchWalk, InterruptWritesTheRowsUntilThen) {
  TempDir dir;
  std::string folder = dir.path("out");
  EXPECT_EQ(
      interrupt(words("bench walk --requests 100000000 --translation nested -o " + folder), folder, dir.path("text")),
      1);
  json::value report = json::parse(read_text(folder + "/walk.json"));
  EXPECT_TRUE(report.at("interrupted").as_bool());
  EXPECT_EQ(read_text(dir.path("text")).rfind("# interrupted: ", 0), 0u);
  EXPECT_NE(read_text(folder + "/walk.svg").find("</svg>"), std::string::npos);
}

TEST(BenchDma, InterruptWritesTheNumbersUntilThenMarked) {
  TempDir dir;
  std::string folder = dir.path("out");
  EXPECT_EQ(interrupt(words("bench dma --requests 0 --window 0:100 --intervals 1000000 -o " + folder), folder,
                      dir.path("text")),
            1);
  json::object stats = json::parse(read_text(folder + "/stats.json")).as_object();
  EXPECT_TRUE(stats.at("interrupted").as_bool());
  uint64_t done = stats.at("dev0.done").to_number<uint64_t>();
  EXPECT_EQ(stats.at("dev0.issued").to_number<uint64_t>(), done); // what was under way has ended
  EXPECT_EQ(stats.at("iommu0.requests").to_number<uint64_t>(), done);
  EXPECT_GT(done, 0u);
  EXPECT_EQ(read_text(folder + "/stats.txt").rfind("# interrupted: ", 0), 0u);
  EXPECT_NE(read_text(folder + "/stats.csv").find("\ninterrupted,true,\n"), std::string::npos);
  EXPECT_EQ(read_text(dir.path("text")).rfind("# interrupted: ", 0), 0u);
  EXPECT_NO_THROW(json::parse(read_text(folder + "/timeline.json")));
  for (const auto &f : std::filesystem::directory_iterator(folder)) // no temporary file is left
    EXPECT_EQ(std::string(f.path().filename()).find(".json."), std::string::npos) << f.path();
}

TEST(BenchDma, FilesAreWholeAndAgree) {
  TempDir dir;
  std::string folder = dir.path("out");
  Ran r = bench("dma --requests 500 --seed 7 --set machine.window_kb=4096 --window 1000:4000 --intervals 1000 -o " +
                folder);
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(r.err, "");
  std::map<std::string, std::string> written = files(folder);
  std::vector<std::string> names;
  for (const auto &[name, text] : written)
    names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{"config.json", "intervals.csv", "report.txt", "stats.csv", "stats.json",
                                             "stats.txt", "timeline.json", "waves.vcd"}));
  EXPECT_EQ(written["report.txt"], r.out);
  json::object stats = json::parse(written["stats.json"]).as_object();
  auto number = [&](const char *key) { return stats.at(key).to_number<uint64_t>(); };
  EXPECT_EQ(number("seed"), 7u);
  EXPECT_EQ(number("dev0.done"), 500u);
  EXPECT_EQ(number("iommu0.requests"), 500u);
  EXPECT_EQ(number("iommu0.hits") + number("iommu0.misses"), 500u);
  EXPECT_EQ(number("mem0.walker_reads"), number("iommu0.walk_reads"));
  EXPECT_EQ(number("mem0.reads"), number("iommu0.walk_reads") + 500);
  EXPECT_EQ(number("link.reads"), 500u);
  EXPECT_EQ(number("dev0.bytes_read"), 500u * 64);

  // Intervals add up to the whole.
  uint64_t done = 0, lines = 0;
  for (const std::string &line : split(written["intervals.csv"], '\n'))
    if (lines++ && !line.empty())
      done += std::stoull(split(line, ',').at(1));
  EXPECT_EQ(done, 500u);
  EXPECT_GT(lines, 5u);
  json::value timeline = json::parse(written["timeline.json"]);
  EXPECT_GT((timeline.is_array() ? timeline.as_array() : timeline.at("traceEvents").as_array()).size(), 100u);
  EXPECT_NE(written["waves.vcd"].find("$enddefinitions $end"), std::string::npos);

  // The configuration that was in force does the same again.
  std::string again = dir.path("again");
  Ran second = bench("dma --config " + folder + "/config.json -o " + again);
  EXPECT_EQ(second.out, r.out); // although nobody watches now
  EXPECT_TRUE(read_text(again + "/stats.json") == written["stats.json"]);
}

TEST(BenchDma, SameBytesEveryTime) {
  for (const char *timing : {"lt", "at"})
    for (const char *arch : {"vtd", "smmuv3"}) {
      TempDir dir;
      std::string line = std::string("dma --requests 300 --set machine.window_kb=4096 --set machine.arch=") + arch +
                         " --timing " + timing + " -o ";
      Ran first = bench(line + dir.path("a")), second = bench(line + dir.path("b"));
      EXPECT_EQ(first.status, 0) << first.err;
      EXPECT_EQ(files(dir.path("a")), files(dir.path("b"))) << line;
    }
}

TEST(BenchDma, SaysWhatLimitsIt) {
  auto limit = [](const std::string &options) {
    Ran r = bench("dma --requests 1000 " + options);
    EXPECT_EQ(r.status, 0) << r.err;
    size_t at = r.out.find("limited by");
    return at == r.out.npos ? r.out : r.out.substr(at + 14);
  };
  EXPECT_EQ(limit("").rfind("32 tags, each of them taken for ", 0), 0u);
  EXPECT_EQ(limit("--set iommu.walkers=1 --set vtd.iotlb_entries=0").rfind("walkers: ", 0), 0u);
  EXPECT_EQ(limit("--set link.lanes=1").rfind("link down: ", 0), 0u);
  EXPECT_EQ(limit("--set memory.bandwidth=1000").rfind("memory: ", 0), 0u);
  EXPECT_EQ(limit("--set device.gap_ns=1000"), "what the device asks for\n");
}

TEST(BenchDma, FollowsATrace) {
  TempDir dir;
  std::string trace = dir.path("dmas.tsv");
  // Windows begin at 2^46 on a machine with 48 bits of address.
  write_file(trace, "iova\tbytes\taccess\tstream\n0x400000000000\t64\tr\t0\n0x400000001000\t32\tw\t0\n");
  Ran r = bench("dma --trace " + trace + " -o " + dir.path("out"));
  EXPECT_EQ(r.status, 0) << r.err;
  json::object stats = json::parse(read_text(dir.path("out") + "/stats.json")).as_object();
  EXPECT_EQ(stats.at("dev0.bytes_read").to_number<uint64_t>(), 64u);
  EXPECT_EQ(stats.at("dev0.bytes_written").to_number<uint64_t>(), 32u);
  write_file(trace, "iova\tbytes\taccess\tstream\n0x400000000000\tmany\tr\t0\n");
  Ran bad = bench("dma --trace " + trace);
  EXPECT_EQ(bad.status, 2);
  EXPECT_NE(bad.err.find(trace + ":2"), std::string::npos) << bad.err;
}

TEST(Svg, TextIsEscapedAndPositionsAreWhole) {
  ims::Svg s;
  s.text(5, 7, "a<b&\"c\"", {});
  std::string picture = s.picture(10, 20, "t<", "s");
  EXPECT_NE(picture.find("<text x=\"5\" y=\"7\" font-size=\"12\" fill=\"#222222\">a&lt;b&amp;&quot;c&quot;</text>"),
            std::string::npos)
      << picture;
  EXPECT_NE(picture.find("<title>t&lt;</title>"), std::string::npos);
}
