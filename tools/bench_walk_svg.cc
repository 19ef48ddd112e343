// SPDX-License-Identifier: Apache-2.0
// The page walk measured, as a picture.
#include "tools/bench.h"
#include "tools/bench_walk.h"
#include "tools/svg.h"
#include "trace/statistic.h"
#include "trace/text.h"

#include <algorithm>

namespace ims {

// What a row adds, for architectures together.
static std::string label(const WalkReport &r, unsigned translation, WalkStep step) {
  std::string text;
  for (const WalkBlock &b : r.blocks) {
    if (b.translation != translation)
      continue;
    std::string mine = step_text(b, step);
    if (text.empty())
      text = mine;
    else if (mine != text)
      switch (step) {
      case STEP_CONFIG: return "+ configuration caches";
      case STEP_S1_PSC: return "+ first-stage walk caches";
      case STEP_S2_PSC: return "+ second-stage walk caches";
      case STEP_NESTED: return "+ nested TLB (IPA cache)";
      default: return "+ IOTLB";
      }
  }
  return text;
}

static BarChart::Bar bar(uint64_t thousandths, const std::string &text) {
  BarChart::Bar b;
  b.there = true;
  b.value = thousandths;
  b.text = text;
  return b;
}

std::string walk_svg(const WalkReport &r) {
  static const char *const fills[] = {"#1f6fb4", "#e1812c"};
  BarChart chart;
  chart.title = "The page walk, from nothing cached to everything cached";
  chart.notes.push_back(format("Pages of %s and %s; %s reads in %s, %llu requests a row.", r.s1_page.c_str(),
                               r.s2_page.c_str(), r.pattern.c_str(), bytes_text(r.window_kb << 10).c_str(),
                               static_cast<unsigned long long>(r.requests)));
  if (r.interrupted)
    chart.notes.push_back("Interrupted: the rows until then.");
  chart.panels = {{"Memory references", "mean of a request"},
                  {"Latency", "ns, one request alone"},
                  {"Rate", "DMA/us, many at once"}};

  std::vector<unsigned> archs, translations; // as they come
  auto add = [](std::vector<unsigned> *all, unsigned v) {
    if (std::find(all->begin(), all->end(), v) == all->end())
      all->push_back(v);
  };
  for (const WalkBlock &b : r.blocks) {
    add(&archs, b.arch);
    add(&translations, b.translation);
  }
  for (unsigned a : archs)
    chart.series.push_back({arch_title(a), fills[a % 2]});

  for (unsigned t : translations) {
    std::string heading;
    for (const WalkBlock &b : r.blocks)
      if (b.translation == t && heading.empty())
        heading = block_title(b).substr(arch_title(b.arch).size() + 2);
    for (unsigned step = 0; step < WALK_STEPS; step++) {
      BarChart::Group g;
      g.bars.assign(chart.panels.size(), std::vector<BarChart::Bar>(archs.size()));
      bool any = false;
      for (const WalkBlock &b : r.blocks)
        for (const WalkRow &row : b.rows) {
          if (b.translation != t || row.step != static_cast<WalkStep>(step))
            continue;
          size_t i = static_cast<size_t>(std::find(archs.begin(), archs.end(), b.arch) - archs.begin());
          uint64_t n = std::max<uint64_t>(1, row.requests), l = std::max<uint64_t>(1, row.latencies);
          std::string references = mean_text(row.references, n);
          if (references.substr(references.size() - 4) == ".000")
            references.resize(references.size() - 4);
          g.bars[0][i] = bar(row.references * 1000 / n, references);
          g.bars[1][i] = bar(row.latency_ps / l, ns_text(row.latency_ps, row.latencies));
          g.bars[2][i] = bar(row.rate / 1000, millions_text(row.rate));
          any = true;
        }
      if (!any)
        continue;
      g.heading = heading;
      heading.clear();
      g.label = label(r, t, static_cast<WalkStep>(step));
      chart.groups.push_back(g);
    }
  }
  return chart.svg();
}

} // namespace ims
