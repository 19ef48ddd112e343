// SPDX-License-Identifier: Apache-2.0
// iommusim bench: experiments in time. The subcommands, and what they share.
#include "tools/bench.h"
#include "tools/commands.h"
#include "tools/config.h"
#include "tools/config_value.h"
#include "tools/error.h"
#include "tools/output.h"
#include "trace/nearest.h"
#include "trace/number.h"

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <sys/stat.h>

namespace ims {

namespace {

const Command benches[] = {
    {"dma", "one system, one device: rate, latency, and what limits it", cmd_bench_dma},
    {"walk", "the two-stage page walk, from nothing cached to everything cached", cmd_bench_walk},
};

void print_help(FILE *to) {
  std::fprintf(to, "Usage: iommusim bench NAME [options]\n\n"
                   "Experiments in simulated time.\n\nBenchmarks:\n");
  for (const Command &c : benches)
    std::fprintf(to, "  %-10s %s\n", c.name, c.sentence);
  std::fprintf(to, "\nEach has a --help of its own.\n\n"
                   "Example:\n  iommusim bench walk --arch vtd --translation nested\n"
                   "  iommusim bench dma --set machine.arch=smmuv3 --requests 100000 -o out\n");
}

} // namespace

int cmd_bench(int argc, char **argv) {
  if (argc < 2) {
    print_help(stderr);
    return EXIT_INPUT;
  }
  const char *word = argv[1];
  if (!std::strcmp(word, "--help") || !std::strcmp(word, "-h")) {
    print_help(stdout);
    return EXIT_HELD;
  }
  std::vector<std::string> names;
  for (const Command &c : benches) {
    if (!std::strcmp(word, c.name))
      return c.run(argc - 1, argv + 1);
    names.push_back(c.name);
  }
  fail("bench: unknown benchmark %s; the nearest is %s (see iommusim bench --help)", quoted(word).c_str(),
       nearest(word, names).c_str());
}

uint64_t number_option(const Options &o, const char *command, const char *name, uint64_t low, uint64_t high) {
  uint64_t value = 0;
  if (!parse_size(o.text(name), &value) || value < low || value > high)
    fail("%s: --%s: found %s, expected a number from %" PRIu64 " to %" PRIu64, command, name,
         quoted(o.text(name)).c_str(), low, high);
  return value;
}

model::Timing timing_option(const Options &o, const char *command, const char *name) {
  std::string word = o.text(name);
  if (word != "lt" && word != "at")
    fail("%s: --%s: found %s, expected lt or at", command, name, quoted(word).c_str());
  return word == "lt" ? model::Timing::LT : model::Timing::AT;
}

void knob_option(const Options &o, const char *command, const char *name, const char *key, SystemConfig *c) {
  if (!o.has(name))
    return;
  const Knob &k = find_knob(key, command);
  uint32_t value = 0;
  if (!parse_setting(k, o.text(name), &value))
    fail("%s: --%s: found %s, %s", command, name, quoted(o.text(name)).c_str(), expected_text(k).c_str());
  k.set(*c, value);
}

bool is_set(const Options &o, const char *key) {
  for (const Setting &s : read_sources(config_sources(o)))
    if (s.knob->key == key)
      return true;
  return false;
}

std::string ns_text(uint64_t sum_ps, uint64_t count) {
  uint64_t tenths = count ? (sum_ps + count * 50) / (count * 100) : 0;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10);
}

std::string millions_text(uint64_t n) {
  uint64_t thousandths = (n + 500) / 1000;
  std::string decimals = std::to_string(thousandths % 1000);
  return std::to_string(thousandths / 1000) + "." + std::string(3 - decimals.size(), '0') + decimals;
}

void make_output_folder(const std::string &path) {
  struct stat st = {};
  if (mkdir(path.c_str(), 0777) != 0 && errno != EEXIST)
    fail("%s: cannot be made: %s", path.c_str(), std::strerror(errno));
  if (stat(path.c_str(), &st) != 0 || !S_ISDIR(st.st_mode))
    fail("%s: found a file, expected a folder to write to", path.c_str());
}

void write_output(const std::string &path, const std::string &text) {
  Output out(path);
  out.write(text);
  out.commit();
}

} // namespace ims
