// SPDX-License-Identifier: Apache-2.0
// What a DMA costs the simulator does not depend on how many tenants there are, nor on how many DMAs were before it: the
// same work in simulated time (4096 pages in all, each DMA a hit), from 1 to 4096 tenants, and from 1 to 10 million DMAs.
#include "model/device.h"
#include "model/iommu.h"
#include "model/machine.h"
#include "model/memory.h"
#include "model/simulation.h"

#include <algorithm>
#include <benchmark/benchmark.h>
#include <malloc.h>

namespace {

using namespace ims::model;

void scale(benchmark::State &state, Timing timing, uint32_t tenants) {
  constexpr uint32_t PAGES = 4096;
  MachineConfig m;
  m.tenants = tenants;
  m.window_kb = PAGES / tenants * 4;
  m.same_iova = 0; // or they would meet in the same sets
  ims_vtd_config vtd;
  ims_vtd_config_default(&vtd);
  vtd.context_entries = vtd.pasid_entries = vtd.iotlb_entries = 2 * PAGES;
  vtd.context_ways = vtd.pasid_ways = vtd.iotlb_ways = 16;
  ims_smmuv3_config smmu;
  ims_smmuv3_config_default(&smmu);
  DeviceConfig d;
  d.tags = 16;
  d.count = static_cast<uint32_t>(std::min<int64_t>(state.max_iterations, 0xffffffff));
  d.stream_order = STREAMS_AT_RANDOM;

  Simulation simulation;
  Machine machine(m, vtd, smmu);
  Memory memory("memory", machine.memory());
  Iommu iommu("iommu0", machine.maker());
  const auto &streams = machine.streams();
  Device device("device", d, streams, make_pattern(d.pattern_config(), streams), timing);
  device.port.socket.bind(iommu.device);
  iommu.memory.bind(memory.port.socket);
  iommu.message.bind(device.messages.socket);
  machine.start(iommu);
  for (const Stream &s : streams) // fills the caches
    for (uint64_t offset = 0; offset < s.bytes; offset += 4096) {
      ims_request r = {};
      r.source = s.source;
      r.pasid = s.pasid;
      r.has_pasid = s.has_pasid;
      r.access = IMS_ACC_R;
      r.iova = s.iova + offset;
      ims_result res;
      ims_translate(iommu.unit(), &r, &res);
    }

  const size_t heap = mallinfo2().uordblks + mallinfo2().hblkhd;
  while (state.KeepRunningBatch(state.max_iterations))
    simulation.run();
  state.counters["heap_growth"] =
      static_cast<double>(mallinfo2().uordblks + mallinfo2().hblkhd) - static_cast<double>(heap);
  state.counters["hits"] = static_cast<double>(iommu.counters().hits) / static_cast<double>(d.count);
  if (device.counters().done != d.count || iommu.counters().misses * 20 > d.count)
    state.SkipWithError("not every DMA went as it should");
}

void tenants(benchmark::State &state, Timing timing) { scale(state, timing, static_cast<uint32_t>(state.range(0))); }
BENCHMARK_CAPTURE(tenants, lt, Timing::LT)->Name("lt/tenants")->Arg(1)->Arg(64)->Arg(4096);
BENCHMARK_CAPTURE(tenants, at, Timing::AT)->Name("at/tenants")->Arg(1)->Arg(64)->Arg(4096);

void requests(benchmark::State &state, Timing timing) { scale(state, timing, 64); }
BENCHMARK_CAPTURE(requests, lt_1m, Timing::LT)->Name("lt/requests/1m")->Iterations(1000000);
BENCHMARK_CAPTURE(requests, lt_10m, Timing::LT)->Name("lt/requests/10m")->Iterations(10000000);
BENCHMARK_CAPTURE(requests, at_1m, Timing::AT)->Name("at/requests/1m")->Iterations(1000000);
BENCHMARK_CAPTURE(requests, at_10m, Timing::AT)->Name("at/requests/10m")->Iterations(10000000);

} // namespace
