// SPDX-License-Identifier: Apache-2.0
// iommusim bench dma: one system, one device, and what came of it.
#include "tools/bench.h"
#include "tools/config.h"
#include "tools/error.h"
#include "tools/file.h"
#include "tools/interrupt.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/statistics.h"
#include "tools/system.h"
#include "trace/number.h"
#include "trace/text.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>

namespace po = boost::program_options;

namespace ims {

using namespace model;

namespace {

constexpr size_t LARGEST_TRACE = size_t{1} << 30;

// "FROM:TO" in ns; either may be missing.
Window window_option(const std::string &text) {
  Window w;
  size_t colon = text.find(':');
  uint64_t from = 0, to = 0;
  const uint64_t most = ~0ull / NS;
  bool good = colon != text.npos;
  if (good && colon > 0)
    good = parse_size(text.substr(0, colon), &from) && from < most;
  if (good && colon + 1 < text.size()) {
    good = parse_size(text.substr(colon + 1), &to) && to < most && to > from;
    w.to = to * NS;
  }
  if (!good)
    fail("bench dma: --window: found %s, expected FROM:TO, times in ns, the first the smaller one",
         quoted(text).c_str());
  w.from = from * NS;
  return w;
}

// A file that is written while the run goes on, and appears when it is over.
class ResultFile {
public:
  explicit ResultFile(const std::string &path) : out_(path) {}
  Writer writer() {
    return [this](std::string_view text) { out_.write(text); };
  }
  void commit() { out_.commit(); }

private:
  Output out_;
};

// Shares, in tenths of a percent.
struct Share {
  std::string name;
  uint64_t tenths;
};

Share share(const std::string &name, uint64_t part, uint64_t units, Ticks time) {
  __extension__ typedef unsigned __int128 Wide;
  Wide whole = static_cast<Wide>(units) * time;
  Wide tenths = whole ? (static_cast<Wide>(part) * 1000 + whole / 2) / whole : 0;
  return {name, static_cast<uint64_t>(std::min<Wide>(tenths, 1000))};
}

std::string percent(uint64_t tenths) { return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " %"; }

// What of the system was busy, and how much of the time.
std::vector<Share> shares(const System &s) {
  std::vector<Share> all;
  const IommuConfig &iommu = s.config().iommu;
  const MemoryConfig &memory = s.config().memory;
  if (iommu.walkers)
    all.push_back(share("walkers", s.iommu().counters().busy_ps, iommu.walkers, s.now()));
  if (iommu.pending)
    all.push_back(share("pending translations", s.iommu().counters().pending_ps, iommu.pending, s.now()));
  if (const Link *link = s.link()) {
    all.push_back(share("link up", link->counters().up_busy_ps, 1, s.now()));
    all.push_back(share("link down", link->counters().down_busy_ps, 1, s.now()));
  }
  if (memory.kind == MEMORY_DRAM)
    all.push_back(share("memory", s.memory().counters().busy_ps, memory.channels, s.now()));
  else if (memory.bandwidth)
    all.push_back(share("memory", s.memory().counters().busy_ps, 1, s.now()));
  return all;
}

std::string limit_text(const System &s, Timing timing, const std::vector<Share> &all) {
  const DeviceConfig &device = s.config().device;
  std::string tags =
      format("%u tags, each of them taken for ", device.tags) + ns_text(s.latency().sum(), s.latency().count()) + " ns";
  if (timing == Timing::LT)
    return tags + "; loosely timed, nothing else is finite";
  const Share *most = nullptr;
  for (const Share &one : all)
    if (!most || one.tenths > most->tenths)
      most = &one;
  if (most && most->tenths >= 900)
    return most->name + ": " + percent(most->tenths) + " of the time";
  if (device.gap_ns || device.pattern == PATTERN_TRACE)
    return "what the device asks for";
  return tags;
}

std::string report_text(const System &s, Timing timing, System::End end) {
  const Device &device = s.device();
  const DeviceCounters &n = device.counters();
  const IommuCounters &u = s.iommu().counters();
  const Histogram &l = s.latency();
  const Device::Counted &counted = device.counted();
  const MachineConfig &m = s.config().machine;
  auto line = [](const char *name, const std::string &text) {
    return std::string(name) + std::string(14 - std::string_view(name).size(), ' ') + text + "\n";
  };
  std::string out;
  if (end == System::INTERRUPTED)
    out += "# interrupted: the run was cut short, and these are the numbers until then\n";
  out +=
      line("system", std::string(find_arch(machine_archs[m.arch])->title) + ", " + machine_translations[m.translation] +
                         format(", %u tenants, %u PASIDs each, ", m.tenants, m.pasids) +
                         (timing == Timing::LT ? "loosely timed" : "approximately timed"));
  out += line("done", format("%" PRIu64 " DMAs in ", n.done) + ns_text(s.now(), 1000) + " us" +
                          (n.failed ? format("; %" PRIu64 " failed", n.failed) : std::string()));
  out += line("rate", millions_text(s.rate()) + " DMA/us, " +
                          mean_text(counted.bytes * 8 * NS, counted.to - counted.from) + " Gb/s of data");
  out += line("latency", "p50 " + ns_text(l.quantile(500), 1) + ", p90 " + ns_text(l.quantile(900), 1) + ", p99 " +
                             ns_text(l.quantile(990), 1) + ", p99.9 " + ns_text(l.quantile(999), 1) + ", most " +
                             ns_text(l.max(), 1) + " ns");
  out += line("references",
              mean_text(u.walk_reads, u.misses) + " a walk, " + mean_text(u.walk_reads, u.requests) + " a request");
  auto hit = [&](const char *name, const std::string &what, uint64_t hits, uint64_t misses) {
    if (hits + misses)
      out += line(name, percent(share("", hits, 1, hits + misses).tenths) + " of " + std::to_string(hits + misses) +
                            " " + what);
  };
  hit("hits", "requests", u.hits, u.misses);
  const Arch &arch = arch_of(s.iommu().unit());
  for (unsigned c = 0; c < IMS_CACHE_COUNT; c++) {
    const ims_cache &cache = s.iommu().unit()->cache[c];
    std::string name = ims_cache_name(c);
    for (const auto &[id, own] : arch.caches)
      if (id == c)
        name = own;
    hit("", "look-ups in the " + name, cache.count.hits, cache.count.misses);
  }
  if (s.llc())
    hit("", "lines of walks in the LLC", s.llc()->counters().walk_hits, s.llc()->counters().walk_misses);
  std::vector<Share> all = shares(s);
  std::string busy;
  if (timing == Timing::AT) {
    for (const Share &one : all)
      busy += (busy.empty() ? "" : ", ") + one.name + " " + percent(one.tenths);
    out += line("utilisation", busy);
  }
  return out + line("limited by", limit_text(s, timing, all));
}

} // namespace

int cmd_bench_dma(int argc, char **argv) {
  Options o(
      "bench dma [options]",
      "Runs one device against one IOMMU, and tells rate, latency, references, hits, and what limited it. What the\n"
      "device does, the tables, the IOMMU, link and memory are the configuration's (iommusim config).",
      "  iommusim bench dma --set machine.window_kb=65536 --set device.tags=64\n"
      "  iommusim bench dma --requests 10000 -o out --window 10000:20000 --intervals 1000");
  auto text = [](const char *name) { return po::value<std::string>()->value_name(name); };
  add_config_options(o, "the default configuration");
  o.add()("timing", text("lt|at")->default_value("at"), "loosely timed, without contention, or approximately timed")(
      "requests", text("N"), "DMAs: device.count; 0 = as many as the pattern has")(
      "seed", text("N"), "of what is random: device.seed")("limit", text("NS"),
                                                           "of simulated time: nothing new is begun after it")(
      "trace", text("FILE"), "the accesses, a table: time_ns, stream, iova, bytes, access (device.pattern=trace)")(
      "output,o", text("DIR"),
      "writes stats.json, stats.txt, stats.csv, report.txt and config.json there; with --window timeline.json and "
      "waves.vcd; with --intervals intervals.csv")("timeline", text("FILE"),
                                                   "Chrome trace events of the window: opens in Perfetto")(
      "vcd", text("FILE"), "waves of the window: queue depths, walkers, hits and misses; opens in GTKWave")(
      "window", text("FROM:TO"), "of simulated time, ns; without it everything")(
      "intervals", text("NS"), "counters over time, a line each so often; goes with --output");
  if (!o.parse(argc, argv))
    return 0;

  SystemConfig c;
  apply_sources(c, config_sources(o));
  Timing timing = timing_option(o, "bench dma", "timing");
  knob_option(o, "bench dma", "requests", "device.count", &c);
  knob_option(o, "bench dma", "seed", "device.seed", &c);
  SystemInput input;
  if (o.has("trace")) {
    c.device.pattern = PATTERN_TRACE;
    input.trace_name = o.text("trace");
    input.trace = read_file(input.trace_name, LARGEST_TRACE);
    if (!o.has("requests") && !is_set(o, "device.count"))
      c.device.count = 0;
  } else if (c.device.pattern == PATTERN_TRACE) {
    fail("bench dma: device.pattern = trace needs --trace FILE");
  }
  check_config(c, "bench dma");
  Ticks limit = o.has("limit") ? number_option(o, "bench dma", "limit", 1, ~0ull / NS) * NS : 0;
  Window window;
  if (o.has("window"))
    window = window_option(o.text("window"));
  std::string folder = o.text("output"), timeline = o.text("timeline"), vcd = o.text("vcd");
  if (o.has("window") && folder.empty() && timeline.empty() && vcd.empty())
    fail("bench dma: --window goes with --output, --timeline or --vcd");
  if (o.has("intervals") && folder.empty())
    fail("bench dma: --intervals goes with --output");
  CatchInterrupt sigint; // before anything can be seen of the run
  if (!folder.empty()) {
    make_output_folder(folder);
    if (o.has("window") && timeline.empty())
      timeline = folder + "/timeline.json";
    if (o.has("window") && vcd.empty())
      vcd = folder + "/waves.vcd";
  }

  std::unique_ptr<ResultFile> timeline_file, vcd_file, interval_file; // outlive the system, which writes to them
  System s(c, timing, input);
  if (!timeline.empty()) {
    timeline_file = std::make_unique<ResultFile>(timeline);
    s.timeline(timeline_file->writer(), window);
  }
  if (!vcd.empty()) {
    vcd_file = std::make_unique<ResultFile>(vcd);
    s.vcd(vcd_file->writer(), window);
  }
  if (o.has("intervals")) {
    interval_file = std::make_unique<ResultFile>(folder + "/intervals.csv");
    s.intervals(number_option(o, "bench dma", "intervals", 1, ~0ull / NS) * NS, interval_file->writer());
  }
  System::End end;
  {
    Progress progress("DMAs", c.device.count);
    end = s.run(&progress, limit);
  }

  std::string report = report_text(s, timing, end);
  bool cut = end == System::INTERRUPTED;
  for (const auto &file : {&timeline_file, &vcd_file, &interval_file})
    if (*file)
      (*file)->commit();
  if (!folder.empty()) {
    std::vector<Statistic> stats;
    CollectedStatistics sink(&stats);
    s.collect(sink);
    write_output(folder + "/stats.json", statistics_json(stats, c.device.seed, cut));
    write_output(folder + "/stats.txt", statistics_text(stats, cut));
    write_output(folder + "/stats.csv", statistics_csv(stats, cut));
    write_output(folder + "/report.txt", report);
    write_output(folder + "/config.json", config_json(c));
  }
  write_output("", report);
  if (end == System::STUCK)
    std::fprintf(stderr, "bench dma: the device waits for what never comes: %s\n", s.taken().c_str());
  return cut || end == System::STUCK ? EXIT_EXPECTATION : EXIT_HELD;
}

} // namespace ims
