// SPDX-License-Identifier: Apache-2.0
// Counters by the names that hardware has for them, so that results can be laid beside a real machine's: those of VT-d's
// performance monitoring as Linux's perf shows them (drivers/iommu/intel/perfmon.c), and the events of Arm's PMCG
// (SMMUv3, IHI 0070, 10). Each follows from what the Iommu module and the unit's caches count anyway. Iommu::collect() tells
// them under "NAME.perfmon" and "NAME.pmcg".
#pragma once

#include <cstdint>
#include <vector>

namespace ims::model {

class IommuImpl;

struct HardwareCounter {
  const char *name, *unit, *sentence; // as StatisticSink has them
  const char *from;                   // how it follows from the model's own counters
  uint64_t (*value)(const IommuImpl &iommu);
};

struct HardwareCounters {
  const char *arch, *object; // "vtd", "perfmon"
  std::vector<HardwareCounter> rows;
};

// Of each architecture that has such counters. SMMUv2 has none.
const std::vector<HardwareCounters> &hardware_counters();

} // namespace ims::model
