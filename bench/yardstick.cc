// SPDX-License-Identifier: Apache-2.0
#include "bench/yardstick.h"
#include "bench/nested_machine.h"
#include <algorithm>
#include <boost/unordered/unordered_flat_map.hpp>
#include <cstring>
#include <memory>

namespace bench {
namespace {

template <class Body> double ns_each(size_t count, Body body) {
  body(); // once to warm up
  double best = 1e300;
  for (int round = 0; round < 5; round++) {
    double start = cpu_ns();
    body();
    best = std::min(best, (cpu_ns() - start) / static_cast<double>(count));
  }
  return best;
}

// The chain of 65536 walks. A load gives the address of the next one by a stored difference, so the addresses are those of
// the tables while the tables keep their contents.
class Chain {
public:
  static constexpr unsigned walks = 65536, reads = 24;
  Chain() : machine_(nested_machine(Arch::Vtd, false, walks)) {
    for (uint64_t iova : machine_->iovas()) {
      auto a = machine_->walk_addresses(iova);
      a.resize(reads);
      first_.push_back(a[0]);
      for (unsigned i = 0; i < reads; i++) {
        uint64_t entry = 0;
        ims_mem_load64(machine_->memory(), a[i], &entry);
        step_.push_back((i + 1 < reads ? a[i + 1] : 0) - entry);
      }
    }
    base_ = ims_mem_ptr(machine_->memory(), 0, 8);
  }
  uint64_t walk(size_t i, uint64_t before) const {
    uint64_t at = first_[i] + (before & zero_);
    const uint64_t *step = &step_[i * reads];
    for (unsigned k = 0; k < reads; k++) {
      uint64_t entry;
      std::memcpy(&entry, base_ + at, 8);
      at = entry + step[k];
    }
    return at;
  }

private:
  std::unique_ptr<NestedMachine> machine_;
  std::vector<uint64_t> first_, step_;
  const uint8_t *base_;
  volatile uint64_t zero_source_ = 0;
  uint64_t zero_ = zero_source_; // a zero that the compiler does not know
};

Chain &chain() {
  static Chain c;
  return c;
}

boost::unordered_flat_map<uint64_t, uint64_t> &pages() {
  static boost::unordered_flat_map<uint64_t, uint64_t> map = [] {
    boost::unordered_flat_map<uint64_t, uint64_t> m;
    for (uint64_t i = 0; i < 1024; i++)
      m[0x7f0000000000 + i * 4096] = i;
    return m;
  }();
  return map;
}

void load_chain_24(benchmark::State &state) {
  Chain &c = chain();
  size_t i = 0;
  uint64_t last = 0;
  for (auto _ : state) {
    last = c.walk(i, last);
    i = (i + 1) % Chain::walks;
  }
  benchmark::DoNotOptimize(last);
}
BENCHMARK(load_chain_24);

void hash_lookup(benchmark::State &state) {
  auto &map = pages();
  uint64_t i = 0, sum = 0;
  for (auto _ : state) {
    sum += map.find(0x7f0000000000 + (i * 77 % 1024) * 4096)->second;
    i++;
  }
  benchmark::DoNotOptimize(sum);
}
BENCHMARK(hash_lookup);

} // namespace

double chain_ns() {
  static double ns = ns_each(Chain::walks, [] {
    uint64_t last = 0;
    for (size_t i = 0; i < Chain::walks; i++)
      last = chain().walk(i, last);
    benchmark::DoNotOptimize(last);
  });
  return ns;
}

double hash_ns() {
  static double ns = ns_each(1 << 16, [] {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < 1 << 16; i++)
      sum += pages().find(0x7f0000000000 + (i * 77 % 1024) * 4096)->second;
    benchmark::DoNotOptimize(sum);
  });
  return ns;
}

} // namespace bench
