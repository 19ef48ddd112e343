// SPDX-License-Identifier: Apache-2.0
// The timed model: a DMA through device, IOMMU and memory, on a hit in the IOTLB, by direct access, and with a cold nested
// walk of 24 reads, loosely and approximately timed; beside what an event of the SystemC kernel costs.
#include "bench/yardstick.h"
#include "model/device.h"
#include "model/iommu.h"
#include "model/machine.h"
#include "model/memory.h"
#include "model/simulation.h"

#include <memory>

namespace {

using namespace ims::model;

// Wakes up each nanosecond, so many times.
class Clock : public sc_core::sc_module {
public:
  Clock(sc_core::sc_module_name name, uint64_t times) : sc_module(name), left_(times) {
    SC_HAS_PROCESS(Clock);
    SC_METHOD(wake);
  }

private:
  void wake() {
    if (left_--)
      next_trigger(period_);
  }
  uint64_t left_;
  const sc_core::sc_time period_{1, sc_core::SC_NS};
};

double run_clock(uint64_t times) {
  Simulation simulation;
  Clock clock("clock", times);
  double start = bench::cpu_ns();
  simulation.run();
  return (bench::cpu_ns() - start) / static_cast<double>(times);
}

double event_ns() {
  static double ns = [] {
    double best = 1e300;
    for (int round = 0; round < 5; round++)
      best = std::min(best, run_clock(200000));
    return best;
  }();
  return ns;
}

void systemc_event(benchmark::State &state) {
  Simulation simulation;
  Clock clock("clock", static_cast<uint64_t>(state.max_iterations));
  while (state.KeepRunningBatch(state.max_iterations))
    simulation.run();
}
BENCHMARK(systemc_event);

enum Kind { HIT, DIRECT, COLD, COLD_DIRECT };

// VT-d or SMMUv3, nested, 4 levels each, pages of 4 KB: `HIT` 1024 of them in an IOTLB of 2048 entries, `COLD` 65536
// without any cache but those of configuration structures, at random; `DIRECT` and `COLD_DIRECT` by DMI, of the device, and
// of the walker: what loosely timed models are for. All other reads are transactions on the memory socket.
void dma(benchmark::State &state, unsigned arch, Timing timing, Kind kind) {
  const bool cold = kind == COLD || kind == COLD_DIRECT;
  const uint64_t pages = cold ? 65536 : 1024;
  MachineConfig m;
  m.arch = arch;
  m.window_kb = static_cast<uint32_t>(pages * 4);
  ims_vtd_config vtd;
  ims_vtd_config_default(&vtd);
  ims_smmuv3_config smmu;
  ims_smmuv3_config_default(&smmu);
  if (cold) {
    vtd.iotlb_entries = vtd.nested_entries = vtd.s1_psc_entries = vtd.s2_psc_entries = 0;
    smmu.iotlb_entries = smmu.ipa_entries = smmu.s1_walk_entries = smmu.s2_walk_entries = 0;
  }
  IommuConfig c;
  c.walkers = 16;
  c.walk_dmi = kind == COLD_DIRECT;
  DeviceConfig d;
  d.tags = 16;
  d.count = static_cast<uint32_t>(std::min<int64_t>(state.max_iterations, 0xffffffff));
  d.dmi = kind == DIRECT;

  Simulation simulation;
  Machine machine(m, vtd, smmu);
  Memory memory("memory", machine.memory());
  Iommu iommu("iommu0", machine.maker(), c);
  const auto &streams = machine.streams();
  Device device("device", d, streams, make_pattern(d.pattern_config(), streams), timing);
  device.port.socket.bind(iommu.device);
  iommu.memory.bind(memory.port.socket);
  iommu.message.bind(device.messages.socket);
  machine.start(iommu);
  ims_result res;
  ims_request r = {};
  r.source = streams[0].source;
  r.pasid = streams[0].pasid;
  r.has_pasid = streams[0].has_pasid;
  r.access = IMS_ACC_R;
  for (uint64_t i = 0; i < (cold ? 1 : pages); i++) { // fills the caches
    r.iova = streams[0].iova + i * 4096;
    ims_translate(iommu.unit(), &r, &res);
  }

  bench::Against yardstick(state, "systemc_event_ns", event_ns());
  while (state.KeepRunningBatch(state.max_iterations))
    simulation.run();
  const IommuCounters &n = iommu.counters();
  const bool good = device.counters().done == d.count && device.counters().failed == 0 &&
                    (kind == HIT      ? n.hits == d.count
                     : kind == DIRECT ? device.counters().dmi_hits + 2 * pages >= d.count
                                      : n.walk_reads == 24ull * d.count);
  if (!good)
    state.SkipWithError("not every DMA went as it should");
  if (cold) {
    state.counters["load_chain_24_ns"] = bench::chain_ns();
    state.counters["reads"] = static_cast<double>(n.walk_reads) / static_cast<double>(d.count);
  }
}
BENCHMARK_CAPTURE(dma, vtd_lt_hit, ARCH_VTD, Timing::LT, HIT)->Name("lt/hit");
BENCHMARK_CAPTURE(dma, vtd_lt_dmi_hit, ARCH_VTD, Timing::LT, DIRECT)->Name("lt/dmi_hit");
BENCHMARK_CAPTURE(dma, vtd_lt_cold, ARCH_VTD, Timing::LT, COLD_DIRECT)->Name("lt/nested_cold");
BENCHMARK_CAPTURE(dma, vtd_lt_cold_transactions, ARCH_VTD, Timing::LT, COLD)->Name("lt/nested_cold/transactions");
BENCHMARK_CAPTURE(dma, vtd_at_hit, ARCH_VTD, Timing::AT, HIT)->Name("at/hit");
BENCHMARK_CAPTURE(dma, vtd_at_cold, ARCH_VTD, Timing::AT, COLD)->Name("at/nested_cold");
BENCHMARK_CAPTURE(dma, smmuv3_lt_hit, ARCH_SMMUV3, Timing::LT, HIT)->Name("lt/hit/smmuv3");
BENCHMARK_CAPTURE(dma, smmuv3_lt_cold, ARCH_SMMUV3, Timing::LT, COLD_DIRECT)->Name("lt/nested_cold/smmuv3");
BENCHMARK_CAPTURE(dma, smmuv3_at_hit, ARCH_SMMUV3, Timing::AT, HIT)->Name("at/hit/smmuv3");
BENCHMARK_CAPTURE(dma, smmuv3_at_cold, ARCH_SMMUV3, Timing::AT, COLD)->Name("at/nested_cold/smmuv3");

} // namespace
