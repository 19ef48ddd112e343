// SPDX-License-Identifier: Apache-2.0
// Each figure stands beside what it is to be compared with, measured in the same run: a benchmark times its own loop and
// shows the yardstick and the ratio as counters.
#pragma once

#include <benchmark/benchmark.h>
#include <ctime>

namespace bench {

// 24 dependent loads over the addresses of nested walks, in ns; walk after walk depends on the one before.
double chain_ns();
// Processor time of this thread, in ns: what other programs on the machine take does not count.
inline double cpu_ns() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

// One look-up in a hash table of 1024 pages, in ns.
double hash_ns();

class Against {
public:
  Against(benchmark::State &state, const char *name, double yardstick)
      : state_(state), name_(name), yardstick_(yardstick), start_(cpu_ns()) {}
  ~Against() {
    state_.counters[name_] = yardstick_;
    state_.counters["ratio"] = (cpu_ns() - start_) / static_cast<double>(state_.iterations()) / yardstick_;
  }
  Against(const Against &) = delete;
  Against &operator=(const Against &) = delete;

private:
  benchmark::State &state_;
  const char *name_;
  double yardstick_;
  double start_;
};

} // namespace bench
