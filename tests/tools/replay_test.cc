// SPDX-License-Identifier: Apache-2.0
// A trace under time: nothing but time is different, and the time is what the configuration says.
#include "tests/tools/program.h"
#include "tools/replay.h"
#include "tools/statistics.h"
#include "trace/events.h"
#include "trace/report.h"
#include "trace/stats.h"

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <optional>
#include <regex>

using namespace ims;
using ims::model::Ticks;
using ims::model::Timing;
namespace json = boost::json;

namespace {

const std::string folder = IMS_SOURCE_DIR "/traces/";
enum { NS = 1000, US = 1000 * NS };

std::vector<std::string> bundled() {
  std::vector<std::string> names;
  for (const auto &entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == ".trace")
      names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

// When each event began, and when its last piece was over.
class Watch : public Report {
public:
  Watch(std::ostream &out, const ReportStyle &style) : Report(out, style), now_(style.now) {}
  void begin(const Event &e, const std::string &words) override {
    line_ = e.at.line;
    began[line_] = now_ ? now_() : 0;
    Report::begin(e, words);
  }
  void piece(const std::string &device, const ims_dma_piece &p, const std::vector<Translation> &t) override {
    over[line_] = now_ ? now_() : 0;
    Report::piece(device, p, t);
  }
  std::map<unsigned, Ticks> began, over;
  Ticks took(unsigned line) const { return over.at(line) - began.at(line); }

private:
  std::function<uint64_t()> now_;
  unsigned line_ = 0;
};

struct Played {
  std::string story, stats, model_stats, registers;
  uint64_t memory = 0, expectations = 0, failed = 0;
  Ticks time = 0;
  std::map<unsigned, Ticks> began, took; // by line
  std::map<std::string, uint64_t> counts;
};

// Registers as a driver reads them, so many bytes of each unit.
std::string registers_of(const Player &player) {
  std::string text;
  for (const UnitView &u : player.units())
    for (uint32_t offset = 0; offset < 0x24000; offset += 4)
      if (uint64_t value = ims_iommu_read(u.unit, offset, 4))
        text += u.name + " " + std::to_string(offset) + " " + std::to_string(value) + "\n";
  return text;
}

Played play(const std::string &text, const std::string &name, std::optional<Timing> timing,
            const SystemConfig &config = {}) {
  Trace trace = parse_trace(text, name);
  std::unique_ptr<Replay> replay;
  PlayOptions options;
  ReportStyle style;
  if (timing) {
    replay = std::make_unique<Replay>(trace, *timing, config);
    options.time = replay.get();
    style.now = [&] { return replay->now(); };
    style.times = true;
  }
  std::ostringstream out;
  Watch watch(out, style);
  Player player(trace, options, &watch);
  if (replay)
    replay->run(player);
  else
    player.run();

  Played p;
  p.story = out.str();
  p.memory = ims_mem_hash(player.memory());
  p.registers = registers_of(player);
  p.expectations = player.counters().expectations;
  p.failed = player.counters().failed;
  p.began = watch.began;
  for (const auto &[line, t] : watch.over)
    p.took[line] = watch.took(line);
  p.stats = statistics_text(collect_statistics(player));
  if (replay) {
    p.time = replay->now();
    std::vector<Statistic> rows;
    CollectedStatistics sink(&rows);
    replay->collect(sink);
    p.model_stats = statistics_text(rows);
    for (const Statistic &s : rows)
      p.counts[s.key()] = s.count;
  }
  return p;
}

// Lines of a timed story without their column: a time, or blanks.
std::string without_times(const std::string &story) {
  std::string plain;
  for (std::string line : split(story, '\n')) {
    std::string column = line.substr(0, ReportStyle::TIME_COLUMN);
    bool blank = column.find_first_not_of(' ') == column.npos;
    bool time = column.find_first_not_of(" 0123456789.ns") == column.npos && column.find(" ns") != column.npos;
    if (column.size() == ReportStyle::TIME_COLUMN && (blank || time))
      line.erase(0, ReportStyle::TIME_COLUMN);
    plain += line + "\n";
  }
  return plain;
}

// Long texts: only where they differ is told.
testing::AssertionResult same_text(const std::string &a, const std::string &b) {
  if (a == b)
    return testing::AssertionSuccess();
  std::vector<std::string> x = split(a, '\n'), y = split(b, '\n');
  size_t i = 0;
  while (i < x.size() && i < y.size() && x[i] == y[i])
    i++;
  return testing::AssertionFailure() << "line " << i + 1 << ":\n"
                                     << (i < x.size() ? x[i] : "(the end)") << "\n"
                                     << (i < y.size() ? y[i] : "(the end)");
}

class ReplayTrace : public testing::TestWithParam<std::string> {};

TEST_P(ReplayTrace, TimeChangesNothingButTheTime) {
  std::string text = read_text(folder + GetParam());
  Played none = play(text, GetParam(), {}), lt = play(text, GetParam(), Timing::LT),
         at = play(text, GetParam(), Timing::AT);
  EXPECT_EQ(none.failed, 0u);
  for (const Played *timed : {&lt, &at}) {
    EXPECT_EQ(timed->expectations, none.expectations);
    EXPECT_EQ(timed->failed, 0u);
    EXPECT_TRUE(same_text(without_times(timed->story), none.story));
    EXPECT_TRUE(same_text(timed->stats, none.stats));
    EXPECT_EQ(timed->memory, none.memory);
    EXPECT_TRUE(same_text(timed->registers, none.registers));
    EXPECT_GT(timed->time, 0u);
  }
  // One request at a time: nothing is contended, so the two are equal in time too.
  EXPECT_TRUE(same_text(lt.story, at.story));
  EXPECT_TRUE(same_text(lt.model_stats, at.model_stats));
  EXPECT_EQ(lt.time, at.time);
  EXPECT_EQ(lt.counts.at("model.time_ps"), lt.time);
  EXPECT_EQ(lt.counts.at("model.requests_ps") + lt.counts.at("model.software_ps"), lt.time);
}

// The same where everything is as narrow as it can be, behind other parts.
TEST_P(ReplayTrace, NarrowResourcesAndOtherPartsChangeNothingElse) {
  std::string text = read_text(folder + GetParam());
  SystemConfig c;
  c.iommu.walkers = c.iommu.pending = 1;
  c.iommu.walker_ns = 3 * NS;
  c.iommu.context_slots = c.iommu.pasid_slots = c.iommu.iotlb_slots = c.iommu.nested_slots = c.iommu.psc_slots = 1;
  c.iommu.merge = c.iommu.hit_under_miss = 0;
  c.iommu.ordering = model::ORDER_ALL;
  c.memory.kind = model::MEMORY_DRAM;
  c.llc.size_kb = 256;
  c.link.posted_headers = 64; // enough for those of the write before, which come back when it is over
  c.link.nonposted_headers = 1;
  c.host.trapped = 1;
  Played none = play(text, GetParam(), {}), lt = play(text, GetParam(), Timing::LT, c),
         at = play(text, GetParam(), Timing::AT, c);
  EXPECT_TRUE(same_text(without_times(at.story), none.story));
  EXPECT_TRUE(same_text(at.stats, none.stats));
  EXPECT_EQ(at.memory, none.memory);
  EXPECT_TRUE(same_text(at.registers, none.registers));
  EXPECT_TRUE(same_text(lt.story, at.story));
  EXPECT_TRUE(same_text(lt.model_stats, at.model_stats));
}

TEST_P(ReplayTrace, TheProgramEndsAsItDoesUntimedAndTwiceTheSame) {
  TempDir dir;
  std::string trace = folder + GetParam();
  Ran none = run_program({"run", trace, "-o", dir.path("none")});
  Ran lt = run_program({"run", trace, "--timing", "lt", "-o", dir.path("lt")});
  Ran at = run_program({"run", trace, "--timing", "at", "-o", dir.path("at")});
  Ran again = run_program({"run", trace, "--timing", "at", "-o", dir.path("again")});
  EXPECT_EQ(lt.status, none.status);
  EXPECT_EQ(at.status, none.status);
  EXPECT_EQ(at.err, none.err); // SystemC has nothing to say
  EXPECT_TRUE(same_text(lt.out, at.out));
  EXPECT_TRUE(same_text(again.out, at.out));
  for (const char *file : {"/stats.json", "/stats.txt", "/config.json", "/log.txt"}) {
    std::string text = read_text(dir.path("at") + file);
    EXPECT_TRUE(same_text(read_text(dir.path("lt") + file), text)) << file;
    EXPECT_TRUE(same_text(read_text(dir.path("again") + file), text)) << file;
  }
  // What an untimed run counts is there as it is; the model's rows come on top.
  json::object untimed = json::parse(read_text(dir.path("none/stats.json"))).as_object(),
               timed = json::parse(read_text(dir.path("at/stats.json"))).as_object();
  EXPECT_GT(timed.size(), untimed.size());
  for (const auto &[key, value] : untimed)
    EXPECT_EQ(timed[key], value) << key;
}

std::string test_name(const testing::TestParamInfo<std::string> &trace) {
  std::string name = trace.param.substr(0, trace.param.find('.'));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Replay, ReplayTrace, testing::ValuesIn(bundled()), test_name);

// ---- How long it takes ----------------------------------------------------------------------------------------------

// A bare VT-d unit without caches for walks; one page behind both stages. The DMA is the last line.
const char *const vtd_nested = R"(iommusim-trace 1
memory hpa=0x0 size=64M
iommu iommu0 s1_psc_entries=0 s2_psc_entries=0 nested_entries=0
device dev0 iommu=iommu0 source=00:03.0
pool pages hpa=16M size=8M
table ss in=pages format=vtd-ss levels=4
map ss va=0 to=0 size=32M perm=rw page=4K
table fs in=pages levels=4
map fs va=0x7f0000000000 to=0x500000 size=4K perm=rwu page=4K
write hpa:0x1000 u64=0x2001,0
write hpa:0x2300 u64=0x3009,0,0,0
write hpa:0x3000 u64=0x4001
entry hpa:0x4140 PASID P=1 PGTT=3 DID=7 PWSNP=1 table=fs table2=ss
mmio-write iommu0 RTADDR value=0x1000 TTM=1
mmio-write iommu0 GCMD SRTP=1
mmio-write iommu0 GCMD TE=1
dma dev0 read iova=0x7f0000000040 size=64 pasid=5 expect hpa=0x500040 refs=28
)";

// smmuv3-raw up to its first nested DMA, a write of 8 bytes: 2 for the STE, (1 CD + 3 levels) x (3 + 1), 3 for the page.
std::string smmuv3_nested() {
  std::string text = read_text(folder + "smmuv3-raw.trace");
  size_t dma = text.find("dma dev1 write iova=0x1008 expect hpa=$page+8 refs=21");
  return text.substr(0, text.find('\n', dma) + 1);
}

unsigned last_line(const std::string &text) {
  return static_cast<unsigned>(std::count(text.begin(), text.end(), '\n'));
}

SystemConfig odd_times() { // primes, so that no sum is another one
  SystemConfig c;
  c.iommu.request_ns = 1009;
  c.iommu.response_ns = 2003;
  c.iommu.context_ns = 3001;
  c.iommu.pasid_ns = 4001;
  c.iommu.iotlb_ns = 5003;
  c.iommu.walker_ns = 7001;
  c.memory.read_ns = 61001;
  c.memory.write_ns = 53003;
  return c;
}

Ticks cold(const SystemConfig &c, unsigned references, unsigned updates) {
  return c.iommu.request_ns + c.iommu.context_ns + c.iommu.pasid_ns + c.iommu.iotlb_ns +
         Ticks{references + updates} * (c.iommu.walker_ns + c.memory.read_ns) + c.iommu.response_ns;
}

TEST(ReplayLatency, AColdNestedReadBehindVtdIsTheSumOfItsSteps) {
  SystemConfig c = odd_times();
  unsigned line = last_line(vtd_nested);
  for (Timing timing : {Timing::LT, Timing::AT}) {
    c.link.generation = 0;
    Played p = play(vtd_nested, "t", timing, c);
    ASSERT_EQ(p.failed, 0u) << p.story;
    // Each of the first stage's four entries is marked as used, and its page's second-stage entry is not (no SSADE).
    EXPECT_EQ(p.counts.at("model.iommu0.updates"), 4u);
    EXPECT_EQ(p.took.at(line), cold(c, 28, 4) + c.memory.read_ns);
    // A link in front, generation 3 with 8 lanes: a byte takes 8 * 130 / 128 / 8 lanes / 8 GT/s. A header of 32 bytes goes
    // up; 64 bytes with 28 come down.
    c.link.generation = 3;
    c.link.up_ns = 210007;
    c.link.down_ns = 190013;
    Ticks wire = (32 * 1015625 + 7999) / 8000 + (92 * 1015625 + 7999) / 8000;
    p = play(vtd_nested, "t", timing, c);
    EXPECT_EQ(p.took.at(line), cold(c, 28, 4) + c.memory.read_ns + wire + c.link.up_ns + c.link.down_ns);
  }
}

TEST(ReplayLatency, AColdNestedWriteBehindSmmuv3IsTheSumOfItsSteps) {
  SystemConfig c = odd_times();
  std::string text = smmuv3_nested();
  unsigned line = last_line(text);
  for (Timing timing : {Timing::LT, Timing::AT}) {
    c.link.generation = 0;
    Played p = play(text, "t", timing, c);
    ASSERT_EQ(p.failed, 0u) << p.story;
    EXPECT_EQ(p.counts.at("model.smmu0.updates"), 0u);
    EXPECT_EQ(p.took.at(line), cold(c, 21, 0) + c.memory.write_ns);
    // Posted: 8 bytes with a header of 32 go up, nothing comes back; it is over when the memory has it.
    c.link.generation = 3;
    p = play(text, "t", timing, c);
    EXPECT_EQ(p.took.at(line), cold(c, 21, 0) + c.memory.write_ns + (40 * 1015625 + 7999) / 8000 + c.link.up_ns);
  }
}

TEST(ReplayLatency, ASlowerMemoryIsPaidForEachReferenceAndTheData) {
  SystemConfig fast, slow;
  slow.memory.read_ns = fast.memory.read_ns + 40 * NS;
  unsigned line = last_line(vtd_nested);
  EXPECT_EQ(play(vtd_nested, "t", Timing::AT, slow).took.at(line) -
                play(vtd_nested, "t", Timing::AT, fast).took.at(line),
            Ticks{28 + 4 + 1} * 40 * NS);
}

TEST(ReplayLatency, APlatformDeviceHasNoLink) {
  std::string text = "iommusim-trace 1\n"
                     "memory hpa=0x0 size=1M\n"
                     "iommu smmu0 arch=smmuv3\n"
                     "device pci iommu=smmu0 source=0x10\n"
                     "device soc iommu=smmu0 source=0x20 platform\n"
                     "dma pci read iova=0x1000 size=64\n"
                     "dma soc read iova=0x1000 size=64\n";
  SystemConfig c;
  Played p = play(text, "t", Timing::AT, c);
  EXPECT_EQ(p.took.at(7), c.iommu.request_ns + c.iommu.response_ns + c.memory.read_ns); // bypass: nothing is looked up
  EXPECT_EQ(p.took.at(6), p.took.at(7) + c.link.up_ns + c.link.down_ns + 4063 + 11680);
  EXPECT_EQ(p.counts.count("model.pci.link.reads"), 1u);
  EXPECT_EQ(p.counts.count("model.soc.link.reads"), 0u);
}

// The pieces of a DMA go one after the other, and only what is left of them is on the wire.
TEST(ReplayLatency, ADmaIsCutAtPages) {
  std::string text = "iommusim-trace 1\n"
                     "memory hpa=0x0 size=1M\n"
                     "iommu iommu0\n"
                     "device dev0 iommu=iommu0 source=00:03.0\n"
                     "dma dev0 write iova=0x1ff0 size=48\n";
  SystemConfig c;
  Played p = play(text, "t", Timing::LT, c);
  EXPECT_EQ(p.counts.at("model.dev0.link.up_payload"), 48u);
  EXPECT_EQ(p.counts.at("model.memory.bytes_written"), 48u);
  EXPECT_EQ(p.counts.at("model.iommu0.requests"), 2u);
  Ticks one = c.iommu.request_ns + c.iommu.response_ns + c.memory.write_ns + c.link.up_ns;
  EXPECT_EQ(p.took.at(5), 2 * one + (48 * 1015625 + 7999) / 8000 + (64 * 1015625 + 7999) / 8000);
}

// ---- What software takes --------------------------------------------------------------------------------------------

TEST(ReplaySoftware, RegistersAndDescriptorsOfABareMachineCostWhatTheConfigurationSays) {
  std::string text = "iommusim-trace 1\n"
                     "memory hpa=0x0 size=1M\n"
                     "iommu iommu0\n"
                     "mmio-read iommu0 VER\n"
                     "mmio-write iommu0 IQA value=0x10000\n"
                     "mmio-write iommu0 GCMD QIE=1\n"
                     "descriptor iommu0 words=0x100000025,0x11000\n"
                     "read hpa:0x11000 expect u32=1\n";
  SystemConfig c;
  c.iommu.register_ns = 51 * NS;
  c.iommu.descriptor_ns = 11 * NS;
  Played p = play(text, "t", Timing::LT, c);
  ASSERT_EQ(p.failed, 0u) << p.story;
  Ticks submission = Ticks{c.host.invalidate_us} * NS; // in ns
  EXPECT_EQ(p.time, submission + 4 * 51 * NS + 11 * NS);
  EXPECT_EQ(p.began.at(4), 0u);
  EXPECT_EQ(p.began.at(5), 51u * NS); // an event begins when the one before is over
  EXPECT_EQ(p.began.at(7), 3u * 51 * NS);
  EXPECT_EQ(p.began.at(8), p.time);
  EXPECT_EQ(p.counts.at("model.register_accesses"), 4u);
  EXPECT_EQ(p.counts.at("model.descriptors"), 1u);
  EXPECT_EQ(p.counts.at("model.requests_ps"), 0u);

  c.host.trapped = 1; // a guest's registers
  Played trapped = play(text, "t", Timing::LT, c);
  EXPECT_EQ(trapped.time, p.time + 4 * Ticks{c.host.trap_us} * NS);
  EXPECT_EQ(trapped.counts.at("model.traps"), 4u);
}

// What a kernel does is charged by its notes; what it counts itself is the check.
TEST(ReplaySoftware, EveryRegisterWriteAndDescriptorOfTheKernelIsCharged) {
  for (const char *name : {"vsva-2020.trace", "smmuv3-nested.trace"}) {
    Trace trace = parse_trace(read_text(folder + name), name);
    SystemConfig c;
    Replay replay(trace, Timing::AT, c);
    PlayOptions options;
    options.time = &replay;
    PlayObserver nobody;
    Player player(trace, options, &nobody);
    replay.run(player);
    ims_kernel_counters kernel = {};
    ims_kernel_count(player.kernel(), &kernel);
    std::vector<Statistic> rows;
    CollectedStatistics sink(&rows);
    replay.collect(sink);
    std::map<std::string, uint64_t> n;
    for (const Statistic &s : rows)
      n[s.key()] = s.count;
    bool vtd = std::string(name) == "vsva-2020.trace"; // its fault records are read out of registers
    EXPECT_EQ(n.at("model.register_accesses"), kernel.mmio_writes + (vtd ? 2 * kernel.faults : 0)) << name;
    EXPECT_EQ(n.at("model.descriptors"), kernel.descriptors) << name;
    EXPECT_GT(n.at("model.traps"), 0u) << name;
    uint64_t least =
        n.at("model.register_accesses") * c.iommu.register_ns + n.at("model.descriptors") * c.iommu.descriptor_ns +
        kernel.waits * c.host.invalidate_us * uint64_t{NS} +
        n.at("model.interrupts") * c.host.interrupt_us * uint64_t{NS} +
        n.at("model.services") * c.host.service_us * uint64_t{NS} + n.at("model.traps") * c.host.trap_us * uint64_t{NS};
    uint64_t maps = 0, unmaps = 0, asked = 0;
    for (const Event &e : trace.events) {
      std::string ioctl = e.info->name == std::string("ioctl") ? e.find("IOCTL")->text : "";
      std::string event = e.info->name;
      asked += event == "page-request"; // a header up the link, and into the unit
      maps += event == "map" || event == "mmap" || ioctl == "VFIO_IOMMU_MAP_DMA";
      unmaps += event == "unmap" || event == "munmap" || event == "protect" || event == "mprotect" || event == "exit" ||
                ioctl == "VFIO_IOMMU_UNMAP_DMA";
    }
    EXPECT_EQ(n.at("model.software_ps"), least + (maps * c.host.map_us + unmaps * c.host.unmap_us) * uint64_t{NS} +
                                             asked * (4063 + c.link.up_ns + c.iommu.request_ns))
        << name;
  }
}

// ---- How it ends ----------------------------------------------------------------------------------------------------

TEST(ReplayRun, WhatCannotBeCarriedOutIsThrownToTheCaller) {
  std::string text = "iommusim-trace 1\n"
                     "memory hpa=0x0 size=1M\n"
                     "iommu iommu0\n"
                     "device dev0 iommu=iommu0 source=00:03.0\n"
                     "dma dev0 read iova=0x1000\n"
                     "memory hpa=0x0 size=1M\n"
                     "dma dev0 read iova=0x2000\n";
  for (std::optional<Timing> timing : {std::optional<Timing>(), {Timing::LT}, {Timing::AT}})
    try {
      play(text, "overlap.trace", timing);
      FAIL();
    } catch (const TraceError &e) {
      EXPECT_EQ(std::string(e.what()).substr(0, 18), "overlap.trace:6:1:") << e.what();
    }
  // The next one begins afresh.
  Played p = play(vtd_nested, "t", Timing::AT);
  EXPECT_EQ(p.failed, 0u);
  EXPECT_EQ(p.began.at(5), 0u);
}

TEST(ReplayRun, UnitsThatAreNotMadeAndTracesWithoutAnyTakeNothing) {
  Played p = play("iommusim-trace 1\nmemory hpa=0x0 size=1M\nwrite hpa:0x0 u64=1\n", "t", Timing::AT);
  EXPECT_EQ(p.time, 0u);
  p = play("iommusim-trace 1\n"
           "memory hpa=0x0 size=64M\n"
           "kernel pool=16M pool_size=32M\n"
           "iommu blind qi=0 smts=0 ir=0 expect error=UNSUP\n" // no driver without queued invalidation
           "iommu memory\n"
           "device memory0 iommu=memory source=00:03.0\n"
           "dma memory0 read iova=0x1000\n",
           "t", Timing::AT);
  EXPECT_EQ(p.failed, 0u) << p.story;
  EXPECT_EQ(p.counts.at("model.blind.requests"), 0u);
  EXPECT_EQ(p.counts.at("model.memory_2.requests"), 1u); // the memory itself is called memory
}

TEST(ReplayProgram, TellsTheTimeInTheLogAndWithVerbose) {
  TempDir dir;
  std::string trace = dir.path("t.trace");
  write_file(trace, vtd_nested);
  Ran brief = run_program({"run", trace, "--timing", "lt", "-o", dir.path("o")});
  ASSERT_EQ(brief.status, 0) << brief.err;
  Ran verbose = run_program({"run", trace, "--timing", "lt", "-v"});
  std::regex event("\n *[0-9]+\\.[0-9]{3} ns *[0-9]+  dev0 reads 64 bytes");
  EXPECT_TRUE(std::regex_search(read_text(dir.path("o/log.txt")), event));
  EXPECT_TRUE(std::regex_search(verbose.out, event));
  EXPECT_FALSE(std::regex_search(brief.out, event));
  EXPECT_NE(brief.out.find(" ns simulated\n"), std::string::npos);
}

TEST(ReplayProgram, SavesThePartsInForceAndTakesThemBack) {
  TempDir dir;
  std::string trace = dir.path("t.trace");
  write_file(trace, vtd_nested);
  Ran ran = run_program({"run", trace, "-q", "--timing", "at", "--set", "memory.read_ns=97.5", "--set", "link.lanes=4",
                         "-o", dir.path("o")});
  ASSERT_EQ(ran.status, 0) << ran.err;
  json::value config = json::parse(read_text(dir.path("o/config.json")));
  EXPECT_EQ(config.at("memory").at("read_ns").to_number<double>(), 97.5);
  EXPECT_EQ(config.at("link").at("lanes").to_number<int>(), 4);
  EXPECT_EQ(config.at("iommu").at("walkers").to_number<int>(), 8);
  EXPECT_TRUE(config.as_object().contains("host") && config.as_object().contains("llc"));
  EXPECT_FALSE(config.as_object().contains("device")); // the trace's own
  Ran again =
      run_program({"run", trace, "-q", "--timing", "at", "--config", dir.path("o/config.json"), "-o", dir.path("p")});
  ASSERT_EQ(again.status, 0) << again.err;
  for (const char *file : {"/stats.json", "/config.json", "/log.txt"})
    EXPECT_EQ(read_text(dir.path("p") + file), read_text(dir.path("o") + file)) << file;
}

TEST(ReplayProgram, FailsAsAnUntimedRunDoes) {
  TempDir dir;
  std::string trace = dir.path("t.trace"), text = vtd_nested;
  text.replace(text.find("refs=28"), 7, "refs=27");
  write_file(trace, text);
  Ran none = run_program({"run", trace}), at = run_program({"run", trace, "--timing", "at"});
  EXPECT_EQ(none.status, 1);
  EXPECT_EQ(at.status, 1);
  EXPECT_EQ(at.err, none.err);
  write_file(trace, text + "memory hpa=0x0 size=64M\n");
  none = run_program({"run", trace}), at = run_program({"run", trace, "--timing", "at"});
  EXPECT_EQ(none.status, 2);
  EXPECT_EQ(at.status, 2);
  EXPECT_EQ(at.err, none.err);
  Ran explain = run_program({"run", trace, "--timing", "at", "--explain"});
  EXPECT_EQ(explain.status, 2);
  EXPECT_NE(explain.err.find("--explain"), std::string::npos);
  Ran unknown = run_program({"run", trace, "--timing", "cycle"});
  EXPECT_EQ(unknown.status, 2);
  EXPECT_NE(unknown.err.find("expected none, lt or at"), std::string::npos);
}

} // namespace
