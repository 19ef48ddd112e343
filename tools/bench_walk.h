// SPDX-License-Identifier: Apache-2.0
// `iommusim bench walk` from inside: what is measured, and how it is told.
#pragma once

#include "tools/system_config.h"

#include <string>
#include <vector>

namespace ims {

// What a row of the table adds to the row before it.
enum WalkStep { STEP_NOTHING, STEP_CONFIG, STEP_S1_PSC, STEP_S2_PSC, STEP_NESTED, STEP_IOTLB, WALK_STEPS };

struct WalkRow {
  WalkStep step = STEP_NOTHING;
  int64_t expected = -1; // references of each request by the closed form; -1: it depends on what fits
  uint64_t references = 0, most_references = 0, requests = 0; // one request alone, warm: sum, maximum, of so many
  uint64_t latency_ps = 0, latencies = 0, p99_ps = 0;         // likewise; sum and number
  uint64_t rate = 0;                                          // DMA/s, many at once
  std::string wrong;                                          // what a check found; empty: all held
};

// One architecture, one translation.
struct WalkBlock {
  unsigned arch = 0, translation = 0;    // of MachineConfig
  unsigned s1_levels = 0, s2_levels = 0; // 0: there is no such stage
  std::vector<WalkRow> rows;
};

struct WalkReport {
  std::vector<WalkBlock> blocks;
  std::string pattern, timing;
  std::string granule, s1_page, s2_page;
  uint64_t window_kb = 0, requests = 0, seed = 0;
  bool interrupted = false; // the rows are those until then
};

std::string arch_title(unsigned arch);                 // "VT-d"
std::string block_title(const WalkBlock &b);           // "VT-d, nested, 4 x 4 levels"
std::string step_text(const WalkBlock &b, WalkStep s); // "+ nested TLB"
std::string translation_text(unsigned translation);

std::string walk_text(const WalkReport &r);
std::string walk_json(const WalkReport &r);
std::string walk_svg(const WalkReport &r);

} // namespace ims
