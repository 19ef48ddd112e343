// SPDX-License-Identifier: Apache-2.0
// iommusim bench walk: what a translation costs, from nothing cached to everything cached, one structure added at a time.
#include "tools/bench_walk.h"
#include "tools/bench.h"
#include "tools/config.h"
#include "tools/config_value.h"
#include "tools/error.h"
#include "tools/interrupt.h"
#include "tools/progress.h"
#include "tools/system.h"
#include "trace/statistic.h"
#include "trace/text.h"

#include <algorithm>
#include <cstdio>

namespace po = boost::program_options;

namespace ims {

using namespace model;

namespace {

// The knobs of a unit's caches, by what they are. Those of a name and the other: entries; of paging-structure caches the
// levels that have one.
struct CacheKnobs {
  uint32_t *config[2], *s1_psc_levels, *s2_psc_levels, *nested, *iotlb[2];
  uint32_t s1_psc_entries, s2_psc_entries;
  bool psc_gpa;
};

CacheKnobs cache_knobs(SystemConfig &c) {
  if (c.machine.arch == ARCH_VTD) {
    ims_vtd_config &v = c.vtd;
    return {{&v.context_entries, &v.pasid_entries}, &v.s1_psc_levels, &v.s2_psc_levels, &v.nested_entries,
            {&v.iotlb_entries, &v.utlb_entries},    v.s1_psc_entries, v.s2_psc_entries, v.psc_gpa != 0};
  }
  ims_smmuv3_config &s = c.smmuv3;
  return {{&s.ste_entries, &s.cd_entries},     &s.s1_walk_levels, &s.s2_walk_levels, &s.ipa_entries,
          {&s.iotlb_entries, &s.utlb_entries}, s.s1_walk_entries, s.s2_walk_entries, s.walk_ipa != 0};
}

// Which rows a translation has.
std::vector<WalkStep> steps_of(unsigned translation) {
  switch (translation) {
  case TRANSLATE_NESTED: return {STEP_NOTHING, STEP_CONFIG, STEP_S1_PSC, STEP_S2_PSC, STEP_NESTED, STEP_IOTLB};
  case TRANSLATE_FIRST:
  case TRANSLATE_SHADOW: return {STEP_NOTHING, STEP_CONFIG, STEP_S1_PSC, STEP_IOTLB};
  case TRANSLATE_SECOND: return {STEP_NOTHING, STEP_CONFIG, STEP_S2_PSC, STEP_IOTLB};
  default: return {STEP_NOTHING, STEP_CONFIG};
  }
}

// Takes away the caches that come in later rows.
void leave_out(SystemConfig *c, WalkStep step) {
  CacheKnobs k = cache_knobs(*c);
  if (step < STEP_CONFIG)
    *k.config[0] = *k.config[1] = 0;
  if (step < STEP_S1_PSC)
    *k.s1_psc_levels = 0;
  if (step < STEP_S2_PSC)
    *k.s2_psc_levels = 0;
  if (step < STEP_NESTED)
    *k.nested = 0;
  if (step < STEP_IOTLB)
    *k.iotlb[0] = *k.iotlb[1] = 0;
}

// Reads of every request once the caches are warm and hold all that was asked for; -1: the caches are not those that this
// knows to count.
int64_t expected(SystemConfig c, const WalkShape &w) {
  CacheKnobs k = cache_knobs(c);
  bool config = *k.config[0] && *k.config[1], iotlb = *k.iotlb[0] != 0, nested = *k.nested != 0;
  bool any = *k.config[0] || *k.config[1] || *k.s1_psc_levels || *k.s2_psc_levels || nested || iotlb;
  if (!any)
    return w.references();
  const unsigned all_levels = 15;
  for (uint32_t levels : {*k.s1_psc_levels, *k.s2_psc_levels})
    if (levels != 0 && levels != all_levels)
      return -1;
  bool s1_psc = *k.s1_psc_levels && k.s1_psc_entries, s2_psc = *k.s2_psc_levels && k.s2_psc_entries;
  if (!config)
    return -1;
  if (iotlb || (w.n == 0 && w.md == 0))
    return 0;
  auto second = [&](unsigned levels) -> int64_t { // one second-stage walk
    return w.n && nested ? 0 : s2_psc && levels > 1 ? 1 : levels;
  };
  int64_t reads = second(w.md);
  if (w.n == 0)
    return reads;
  if (s1_psc && w.n > 1)
    return reads + 1 + (k.psc_gpa ? second(w.mt) : 0);
  return reads + w.n * (1 + second(w.mt));
}

// Whether all caches held what came into them.
bool all_fits(const ims_iommu &u) {
  for (const ims_cache &c : u.cache)
    if (c.count.evictions)
      return false;
  return true;
}

std::string arrived(const System &s, uint64_t requests) {
  uint64_t done = s.device().counted().dmas;
  if (done == requests && s.taken().empty())
    return "";
  return format("%llu of %llu DMAs arrived", static_cast<unsigned long long>(done),
                static_cast<unsigned long long>(requests)) +
         (s.taken().empty() ? "" : ", and at the end these are taken: " + s.taken());
}

class Bench {
public:
  Bench(const SystemConfig &base, Timing timing, uint64_t requests, Progress *progress)
      : base_(base), timing_(timing), requests_(requests), progress_(progress) {}

  // False: interrupted; the block has the rows until then.
  bool block(unsigned arch, unsigned translation, WalkBlock *b) {
    b->arch = arch;
    b->translation = translation;
    for (WalkStep step : steps_of(translation)) {
      SystemConfig c = base_;
      c.machine.arch = arch;
      c.machine.translation = translation;
      leave_out(&c, step);
      WalkRow row;
      row.step = step;
      if (!alone(c, b, &row) || !many(c, &row))
        return false;
      b->rows.push_back(row);
    }
    return true;
  }

private:
  // One request after the other: what each reads, and how long it takes.
  bool alone(SystemConfig c, WalkBlock *b, WalkRow *row) {
    c.device.tags = 1;
    SystemInput input;
    input.touch = true;
    System s(c, Timing::LT, input);
    s.count_references();
    System::End end = s.run();
    if (end == System::INTERRUPTED)
      return false;
    progress_->at(done_ += requests_);
    const WalkShape &w = s.machine().shape();
    b->s1_levels = w.n ? c.machine.s1_levels : 0;
    b->s2_levels = w.md ? c.machine.s2_levels : 0;
    row->references = s.references().sum();
    row->most_references = s.references().max();
    row->requests = s.references().count();
    row->latency_ps = s.latency().sum();
    row->latencies = s.latency().count();
    row->p99_ps = s.latency().quantile(990);
    row->wrong = arrived(s, requests_);
    bool walks_in_full = row->step <= STEP_CONFIG;
    if (walks_in_full || all_fits(*s.iommu().unit()))
      row->expected = expected(c, w);
    if (row->wrong.empty() && row->expected >= 0 &&
        (row->references != static_cast<uint64_t>(row->expected) * row->requests ||
         row->most_references != static_cast<uint64_t>(row->expected)))
      row->wrong = format("found %s references a request, %llu at most; expected %lld", //
                          mean_text(row->references, row->requests).c_str(),
                          static_cast<unsigned long long>(row->most_references), static_cast<long long>(row->expected));
    return true;
  }

  // As many at once as the device has tags.
  bool many(const SystemConfig &c, WalkRow *row) {
    SystemInput input;
    input.touch = true;
    System s(c, timing_, input);
    if (s.run() == System::INTERRUPTED)
      return false;
    progress_->at(done_ += requests_);
    row->rate = s.rate();
    if (row->wrong.empty())
      row->wrong = arrived(s, requests_);
    return true;
  }

  const SystemConfig &base_;
  Timing timing_;
  uint64_t requests_, done_ = 0;
  Progress *progress_;
};

// "a,b" as words of a knob.
std::vector<unsigned> words_option(const std::string &text, const char *name, const char *key) {
  const Knob &k = find_knob(key, "bench walk");
  std::vector<unsigned> all;
  for (size_t at = 0; at <= text.size();) {
    size_t comma = std::min(text.find(',', at), text.size());
    std::string word = text.substr(at, comma - at);
    uint32_t value = 0;
    if (!parse_setting(k, word, &value))
      fail("bench walk: --%s: found %s, %s", name, quoted(word).c_str(), expected_text(k).c_str());
    all.push_back(value);
    at = comma + 1;
  }
  return all;
}

// "sequential" is a word of this command's own.
void pattern_option(const Options &o, SystemConfig *c) {
  if (o.text("pattern") == "sequential") {
    c->device.pattern = PATTERN_STRIDE;
    c->device.stride = c->device.size;
    return;
  }
  if (o.text("pattern") == "trace")
    fail("bench walk: --pattern: found \"trace\", expected sequential, stride, random, ring, block or chase");
  knob_option(o, "bench walk", "pattern", "device.pattern", c);
}

// Levels that cover 48 bits, where nobody says otherwise: those of the granule.
void levels_of_granule(const Options &o, SystemConfig *c) {
  static const uint32_t s1[] = {4, 4, 3}, s2[] = {4, 3, 3};
  if (!o.has("s1-levels") && !is_set(o, "machine.s1_levels"))
    c->machine.s1_levels = s1[c->machine.granule];
  if (!o.has("s2-levels") && !is_set(o, "machine.s2_levels"))
    c->machine.s2_levels = s2[c->machine.granule];
}

// What five levels need of the unit; with 16 KB the second stage needs it for four.
void widen(SystemConfig *c) {
  bool s1 = c->machine.s1_levels == 5, s2 = c->machine.s2_levels == 5;
  if (s1)
    c->vtd.fs5lp = 1;
  if (s2) {
    c->vtd.sagaw |= 1 << 3;
    c->vtd.mgaw = 56;
  }
  if (s1 || s2 || (c->machine.granule == 1 && c->machine.s2_levels == 4)) {
    c->smmuv3.ds = c->smmuv3.vax = 1;
    c->smmuv3.oas = 6;
  }
}

// "2 MB": what a knob of MachineConfig's pages means with a granule.
std::string page_text(unsigned granule, unsigned page) {
  const unsigned shift = 12 + 2 * granule;
  return size_text(shift + page * (shift - 3));
}

} // namespace

int cmd_bench_walk(int argc, char **argv) {
  Options o(
      "bench walk [options]",
      "Measures the page walk: with nothing cached, then with one structure added at a time, until every request\n"
      "hits the IOTLB. Memory references and latency are those of one request alone (loosely timed, one tag) once\n"
      "the caches are warm; the rate is that of device.tags requests at once (approximately timed). Where nothing\n"
      "is evicted, references are checked against the closed form; a difference ends with status 1. The device has no\n"
      "device TLB here: device.ats, device.pri and device.dmi are off; and all stays mapped: device.map = static.",
      "  iommusim bench walk\n"
      "  iommusim bench walk --arch smmuv3 --translation nested --s1-levels 3 --s2-page 2m\n"
      "  iommusim bench walk --pattern sequential --window 16M --set iommu.walkers=16 --svg walk.svg\n"
      "  iommusim bench walk --format json -o out");
  auto text = [](const char *name) { return po::value<std::string>()->value_name(name); };
  add_config_options(o, "the default configuration");
  o.add()("arch", text("NAMES"), "vtd, smmuv3; several with commas; without this option both")(
      "translation", text("NAMES"),
      "nested, first, second, shadow, pass-through; several with commas; without this option all of these")(
      "s1-levels", text("N"), "levels of the first stage: machine.s1_levels; without it as many as 48 bits take")(
      "s2-levels", text("N"), "levels of the second stage: machine.s2_levels; likewise")(
      "granule", text("4k|16k|64k"), "machine.granule; others than 4k: SMMUv3 alone")(
      "s1-page", text("4k|2m|1g"),
      "that the first stage maps with: machine.s1_page; of other granules the blocks of those levels")(
      "s2-page", text("4k|2m|1g"), "that the second stage maps with: machine.s2_page")(
      "pattern", text("NAME"), "sequential, or device.pattern: stride, random, ring, block, chase")(
      "window", text("SIZE"), "memory that is read, mapped by machine.window_kb: 64K, 16M")(
      "requests", text("N")->default_value("4000"), "of each measurement, after every page has been touched once")(
      "seed", text("N"), "of what is random: device.seed")("timing", text("lt|at")->default_value("at"),
                                                           "how the rate is measured; lt has no contention")(
      "format", text("table|json")->default_value("table"), "of what goes to standard output")(
      "svg", text("FILE"), "writes a picture")("output,o", text("DIR"),
                                               "writes walk.txt, walk.json, walk.svg and config.json there");
  if (!o.parse(argc, argv))
    return 0;

  WalkReport report;
  report.requests = number_option(o, "bench walk", "requests", 1, 1u << 30);
  Timing timing = timing_option(o, "bench walk", "timing");
  report.timing = o.text("timing");
  if (o.text("format") != "table" && o.text("format") != "json")
    fail("bench walk: --format: found %s, expected table or json", quoted(o.text("format")).c_str());

  SystemConfig c;
  apply_sources(c, config_sources(o));
  knob_option(o, "bench walk", "s1-levels", "machine.s1_levels", &c);
  knob_option(o, "bench walk", "s2-levels", "machine.s2_levels", &c);
  knob_option(o, "bench walk", "granule", "machine.granule", &c);
  knob_option(o, "bench walk", "s1-page", "machine.s1_page", &c);
  knob_option(o, "bench walk", "s2-page", "machine.s2_page", &c);
  knob_option(o, "bench walk", "seed", "device.seed", &c);
  if (o.has("window"))
    c.machine.window_kb = static_cast<uint32_t>(number_option(o, "bench walk", "window", 4096, 1ull << 36) >> 10);
  if (o.has("pattern"))
    pattern_option(o, &c);
  if (c.device.pattern == PATTERN_TRACE)
    fail("bench walk: device.pattern: found trace, expected stride, random, ring, block or chase");
  levels_of_granule(o, &c);
  widen(&c);
  c.device.count = static_cast<uint32_t>(report.requests);
  c.device.warmup = 0;
  c.device.ats = c.device.pri = c.device.dmi = 0; // it is the IOMMU that translates here
  c.device.map = MAP_STATIC;
  check_config(c, "bench walk");

  std::vector<unsigned> archs = {ARCH_VTD, ARCH_SMMUV3},
                        translations = {TRANSLATE_NESTED, TRANSLATE_FIRST, TRANSLATE_SECOND, TRANSLATE_SHADOW,
                                        TRANSLATE_PASS_THROUGH};
  if (o.has("arch"))
    archs = words_option(o.text("arch"), "arch", "machine.arch");
  else if (is_set(o, "machine.arch"))
    archs = {c.machine.arch};
  else if (c.machine.granule)
    archs = {ARCH_SMMUV3};
  if (o.has("translation"))
    translations = words_option(o.text("translation"), "translation", "machine.translation");
  else if (is_set(o, "machine.translation"))
    translations = {c.machine.translation};
  for (unsigned t : translations)
    if (t == TRANSLATE_OFF)
      fail("bench walk: --translation: found off, which has no walk; expected nested, first, second, shadow or "
           "pass-through");
  std::string folder = o.text("output");
  CatchInterrupt sigint; // before anything can be seen of the run
  if (!folder.empty())
    make_output_folder(folder);

  report.pattern = o.has("pattern") ? o.text("pattern") : pattern_kinds[c.device.pattern];
  report.granule = machine_granules[c.machine.granule];
  report.s1_page = page_text(c.machine.granule, c.machine.s1_page);
  report.s2_page = page_text(c.machine.granule, c.machine.s2_page);
  report.window_kb = c.machine.window_kb;
  report.seed = c.device.seed;
  {
    uint64_t rows = 0;
    for (unsigned t : translations)
      rows += archs.size() * steps_of(t).size();
    Progress progress("DMAs", 2 * rows * report.requests);
    Bench bench(c, timing, report.requests, &progress);
    for (unsigned t : translations)
      for (unsigned a : archs) {
        if (report.interrupted)
          break;
        WalkBlock b;
        report.interrupted = !bench.block(a, t, &b);
        if (!b.rows.empty())
          report.blocks.push_back(b);
      }
    progress.clear();
  }

  std::string table = walk_text(report), json = walk_json(report);
  if (!folder.empty()) {
    write_output(folder + "/walk.txt", table);
    write_output(folder + "/walk.json", json);
    write_output(folder + "/walk.svg", walk_svg(report));
    write_output(folder + "/config.json", config_json(c));
  }
  if (o.has("svg"))
    write_output(o.text("svg"), walk_svg(report));
  write_output("", o.text("format") == "json" ? json : table);
  bool held = true;
  for (const WalkBlock &b : report.blocks)
    for (const WalkRow &r : b.rows)
      if (!r.wrong.empty()) {
        std::fprintf(stderr, "bench walk: %s, %s: %s\n", block_title(b).c_str(), step_text(b, r.step).c_str(),
                     r.wrong.c_str());
        held = false;
      }
  return held && !report.interrupted ? EXIT_HELD : EXIT_EXPECTATION;
}

} // namespace ims
