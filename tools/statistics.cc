// SPDX-License-Identifier: Apache-2.0
#include "tools/statistics.h"

namespace ims {

HistogramSummary summary(const model::Histogram &h) {
  HistogramSummary s;
  s.count = h.count();
  s.sum = h.sum();
  s.min = h.min();
  s.max = h.max();
  s.p50 = h.quantile(500);
  s.p90 = h.quantile(900);
  s.p99 = h.quantile(990);
  s.p999 = h.quantile(999);
  h.each([&](uint64_t first, uint64_t last, uint64_t count) { s.bins.push_back({first, last, count}); });
  return s;
}

void CollectedStatistics::count(const std::string &object, const char *name, const char *unit, const char *sentence,
                                uint64_t value) {
  all_->push_back({object, name, unit, sentence, Statistic::COUNT, value});
}

void CollectedStatistics::mean(const std::string &object, const char *name, const char *unit, const char *sentence,
                               uint64_t sum, uint64_t count) {
  all_->push_back({object, name, unit, sentence, Statistic::MEAN, sum, count});
}

void CollectedStatistics::histogram(const std::string &object, const char *name, const char *unit, const char *sentence,
                                    const model::Histogram &value) {
  all_->push_back({object, name, unit, sentence, Statistic::HISTOGRAM, 0, 0, summary(value)});
}

} // namespace ims
