// SPDX-License-Identifier: Apache-2.0
// The page walk measured, as a table and as JSON.
#include "tools/bench.h"
#include "tools/bench_walk.h"
#include "trace/statistic.h"
#include "trace/text.h"

#include <algorithm>

namespace ims {

using namespace model;

std::string arch_title(unsigned arch) { return find_arch(machine_archs[arch])->title; }

std::string translation_text(unsigned translation) {
  switch (translation) {
  case TRANSLATE_FIRST: return "first stage alone";
  case TRANSLATE_SECOND: return "second stage alone";
  default: return machine_translations[translation];
  }
}

std::string block_title(const WalkBlock &b) {
  std::string text = arch_title(b.arch) + ", " + translation_text(b.translation);
  if (b.s1_levels && b.s2_levels)
    return text + format(", %u x %u levels", b.s1_levels, b.s2_levels);
  if (b.s1_levels || b.s2_levels)
    return text + format(", %u levels", b.s1_levels + b.s2_levels);
  return text;
}

std::string step_text(const WalkBlock &b, WalkStep s) {
  bool vtd = b.arch == ARCH_VTD;
  switch (s) {
  case STEP_NOTHING: return "nothing cached";
  case STEP_CONFIG:
    return vtd                                                                            ? "+ context and PASID caches"
           : b.translation == TRANSLATE_SECOND || b.translation == TRANSLATE_PASS_THROUGH ? "+ STE cache"
                                                                                          : "+ STE and CD caches";
  case STEP_S1_PSC: return vtd ? "+ first-stage paging-structure caches" : "+ stage-1 walk caches";
  case STEP_S2_PSC: return vtd ? "+ second-stage paging-structure caches" : "+ stage-2 walk caches";
  case STEP_NESTED: return vtd ? "+ nested TLB" : "+ IPA cache";
  case STEP_IOTLB: return vtd ? "+ IOTLB" : "+ TLB";
  default: return "";
  }
}

static std::string left(std::string text, size_t width) {
  return text.size() < width ? text + std::string(width - text.size(), ' ') : text;
}
static std::string right(const std::string &text, size_t width) {
  return text.size() < width ? std::string(width - text.size(), ' ') + text : text;
}

std::string walk_text(const WalkReport &r) {
  const size_t label = 40;
  std::string out = format("The page walk: pages of %s and %s, %s reads in %s, %llu requests a row\n",
                           r.s1_page.c_str(), r.s2_page.c_str(), r.pattern.c_str(),
                           bytes_text(r.window_kb << 10).c_str(), static_cast<unsigned long long>(r.requests));
  if (r.interrupted)
    out = "# interrupted: the run was cut short, and these are the rows until then\n" + out;
  for (const WalkBlock &b : r.blocks) {
    out += "\n" + left(block_title(b), label) + "  references     one alone, ns      many at once\n";
    out += std::string(label, ' ') + "    mean max      mean      p99         DMA/us\n";
    for (const WalkRow &row : b.rows) {
      out += left("  " + step_text(b, row.step), label);
      out += right(mean_text(row.references, row.requests), 8) + right(std::to_string(row.most_references), 4);
      out += right(ns_text(row.latency_ps, row.latencies), 10) + right(ns_text(row.p99_ps, 1), 9);
      out += right(millions_text(row.rate), 15);
      out += row.wrong.empty() ? "\n" : "  wrong: " + row.wrong + "\n";
    }
  }
  return out;
}

static std::string quoted_json(const std::string &text) { // nothing in these names needs escapes
  return "\"" + text + "\"";
}

static const char *const step_words[] = {"nothing", "config", "s1_psc", "s2_psc", "nested", "iotlb"};

std::string walk_json(const WalkReport &r) {
  auto number = [](uint64_t n) { return std::to_string(n); };
  std::string out = "{\n  \"format\": \"iommusim-bench-walk 1\",\n";
  if (r.interrupted)
    out += "  \"interrupted\": true,\n";
  out += "  \"granule\": " + quoted_json(r.granule) + ", \"s1_page\": " + quoted_json(r.s1_page) +
         ", \"s2_page\": " + quoted_json(r.s2_page) + ",\n  \"pattern\": " + quoted_json(r.pattern) +
         ", \"window_kb\": " + number(r.window_kb) + ", \"requests\": " + number(r.requests) +
         ", \"seed\": " + number(r.seed) + ", \"timing\": " + quoted_json(r.timing) + ",\n  \"rows\": [";
  const char *comma = "";
  for (const WalkBlock &b : r.blocks)
    for (const WalkRow &row : b.rows) {
      out += comma;
      out += "\n    {\"arch\": " + quoted_json(machine_archs[b.arch]) +
             ", \"translation\": " + quoted_json(machine_translations[b.translation]) +
             ", \"s1_levels\": " + number(b.s1_levels) + ", \"s2_levels\": " + number(b.s2_levels) +
             ", \"cached\": " + quoted_json(step_words[row.step]) +
             ",\n     \"references\": {\"mean\": " + mean_text(row.references, row.requests) +
             ", \"max\": " + number(row.most_references) +
             ", \"expected\": " + (row.expected < 0 ? "null" : std::to_string(row.expected)) +
             "}, \"latency_ps\": {\"mean\": " + mean_text(row.latency_ps, row.latencies) +
             ", \"p99\": " + number(row.p99_ps) + "}, \"dmas_per_second\": " + number(row.rate) +
             ", \"held\": " + (row.wrong.empty() ? "true" : "false") + "}";
      comma = ",";
    }
  return out + "\n  ]\n}\n";
}

} // namespace ims
