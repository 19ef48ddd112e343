// SPDX-License-Identifier: Apache-2.0
// One statistic, and how a run's statistics are written: for people, as JSON, as CSV. Untimed and timed runs share this.
//
// Everything is kept and printed as whole numbers, means as whole numbers divided to three decimals: the same text with
// every compiler, in every locale.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ims {

// What is left of a histogram when the run is over.
struct HistogramSummary {
  struct Bin {
    uint64_t first, last, count; // values first to last
  };
  uint64_t count = 0, sum = 0, min = 0, max = 0;
  uint64_t p50 = 0, p90 = 0, p99 = 0, p999 = 0; // p999: 99.9 %
  std::vector<Bin> bins;                        // those that are not empty, smallest first
};

struct Statistic {
  enum Kind { COUNT, MEAN, HISTOGRAM };
  std::string object;                 // "iommu0", "iommu0.IOTLB", "dev0", "fault.SFS.2"; empty: of the whole run
  const char *name, *unit, *sentence; // static
  Kind kind = COUNT;
  uint64_t count = 0; // COUNT: the value; MEAN: the sum
  uint64_t of = 0;    // MEAN: how many
  HistogramSummary histogram = {};

  std::string key() const; // "iommu0.IOTLB.hits"

  // The numbers in it: one, but of a histogram "....count", ".min", ".mean", ".p50", ".p90", ".p99", ".p99.9", ".max".
  struct Number {
    std::string key, value, unit;
  };
  std::vector<Number> numbers() const;
};

// sum / count to three decimals, rounded to the nearest, halves up; "0.000" of nothing.
std::string mean_text(uint64_t sum, uint64_t count);

// How they are written. `interrupted`: the run was cut short, and the numbers are those until then.
//
// stats.txt: a line each, in columns: key, value, unit, sentence.
std::string statistics_text(const std::vector<Statistic> &all, bool interrupted = false);
// stats.json: one key a line; a histogram is an object, whose bins are triples [first, last, count].
std::string statistics_json(const std::vector<Statistic> &all, uint64_t seed, bool interrupted = false);
// stats.csv: key,value,unit (RFC 4180); histograms without their bins.
std::string statistics_csv(const std::vector<Statistic> &all, bool interrupted = false);

} // namespace ims
