// SPDX-License-Identifier: Apache-2.0
// The untimed engine: a hit, a cold nested walk, the same walk question by question, an invalidation.
#include "bench/nested_machine.h"
#include "bench/yardstick.h"

namespace {

using bench::Against;
using bench::Arch;
using bench::nested_machine;
using bench::NestedMachine;

// A run over the requests: did each translate, with as many references as it should?
bool run_once(NestedMachine &m, const std::vector<ims_request> &requests, uint32_t refs) {
  bool all = true;
  for (const auto &req : requests) {
    ims_result res;
    ims_translate(m.unit(), &req, &res);
    all = all && res.status == IMS_STATUS_OK && res.refs == refs;
  }
  return all;
}

std::vector<ims_request> requests_of(const NestedMachine &m) {
  std::vector<ims_request> requests;
  for (uint64_t iova : m.iovas())
    requests.push_back(m.request(iova));
  return requests;
}

void translate_loop(benchmark::State &state, NestedMachine &m, const std::vector<ims_request> &requests) {
  size_t i = 0;
  ims_result res;
  for (auto _ : state) {
    ims_translate(m.unit(), &requests[i], &res);
    benchmark::DoNotOptimize(res);
    i = i + 1 == requests.size() ? 0 : i + 1;
  }
}

// 1024 pages in a 2048-entry, 8-way IOTLB.
void iotlb_hit(benchmark::State &state, Arch arch) {
  auto machine = nested_machine(arch, true, 1024);
  NestedMachine &m = *machine;
  auto requests = requests_of(m);
  run_once(m, requests, 0);
  if (!run_once(m, requests, 0)) {
    state.SkipWithError("not every request hits");
    return;
  }
  Against yardstick(state, "hash_lookup_ns", bench::hash_ns());
  translate_loop(state, m, requests);
}
BENCHMARK_CAPTURE(iotlb_hit, vtd, Arch::Vtd)->Name("untimed/iotlb_hit");
BENCHMARK_CAPTURE(iotlb_hit, smmuv3, Arch::Smmuv3)->Name("untimed/iotlb_hit/smmuv3");

// 24 reads each over 65536 pages; configuration structures are cached, nothing else is.
void nested_cold(benchmark::State &state, Arch arch) {
  auto machine = nested_machine(arch, false, 65536);
  NestedMachine &m = *machine;
  auto requests = requests_of(m);
  ims_result res;
  ims_translate(m.unit(), requests.data(), &res); // configuration structures
  if (!run_once(m, requests, 24)) {
    state.SkipWithError("not every walk takes 24 reads");
    return;
  }
  Against yardstick(state, "load_chain_24_ns", bench::chain_ns());
  translate_loop(state, m, requests);
}
BENCHMARK_CAPTURE(nested_cold, vtd, Arch::Vtd)->Name("untimed/nested_cold/vtd");
BENCHMARK_CAPTURE(nested_cold, smmuv3, Arch::Smmuv3)->Name("untimed/nested_cold/smmuv3");

// The same through ims_xlate_step(), as a timed model or an explanation drives it.
void nested_cold_stepped(benchmark::State &state, Arch arch) {
  auto machine = nested_machine(arch, false, 65536);
  NestedMachine &m = *machine;
  auto requests = requests_of(m);
  Against yardstick(state, "load_chain_24_ns", bench::chain_ns());
  size_t i = 0;
  ims_result res;
  ims_xlate x;
  for (auto _ : state) {
    ims_xlate_begin(&x, m.unit(), &requests[i], &res);
    for (ims_step_kind kind = ims_xlate_step(&x); kind < IMS_STEP_DONE; kind = ims_xlate_step(&x))
      ims_xlate_answer(&x, kind);
    ims_xlate_finish(&x);
    benchmark::DoNotOptimize(res);
    i = i + 1 == requests.size() ? 0 : i + 1;
  }
}
BENCHMARK_CAPTURE(nested_cold_stepped, vtd, Arch::Vtd)->Name("untimed/nested_cold_stepped/vtd");
BENCHMARK_CAPTURE(nested_cold_stepped, smmuv3, Arch::Smmuv3)->Name("untimed/nested_cold_stepped/smmuv3");

// Invalidation of a page and the wait for it through the queue, of pages that are in a full IOTLB or not.
void invalidate_page(benchmark::State &state, Arch arch) {
  auto machine = nested_machine(arch, true, 1024);
  NestedMachine &m = *machine;
  auto requests = requests_of(m);
  run_once(m, requests, 0);
  Against yardstick(state, "hash_lookup_ns", bench::hash_ns());
  size_t i = 0;
  for (auto _ : state) {
    if (!m.invalidate_page(m.iovas()[i])) {
      state.SkipWithError("the wait descriptor did not complete");
      break;
    }
    i = (i + 1) % 1024;
  }
}
BENCHMARK_CAPTURE(invalidate_page, vtd, Arch::Vtd)->Name("untimed/invalidate_page/vtd");
BENCHMARK_CAPTURE(invalidate_page, smmuv3, Arch::Smmuv3)->Name("untimed/invalidate_page/smmuv3");

} // namespace
