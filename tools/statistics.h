// SPDX-License-Identifier: Apache-2.0
// What modules of the timed model tell (model/stats.h), as the statistics that a run writes (trace/statistic.h).
#pragma once

#include "model/stats.h"
#include "trace/statistic.h"

namespace ims {

HistogramSummary summary(const model::Histogram &h);

class CollectedStatistics : public model::StatisticSink {
public:
  explicit CollectedStatistics(std::vector<Statistic> *all) : all_(all) {} // appends to it

  void count(const std::string &object, const char *name, const char *unit, const char *sentence,
             uint64_t value) override;
  void mean(const std::string &object, const char *name, const char *unit, const char *sentence, uint64_t sum,
            uint64_t count) override;
  void histogram(const std::string &object, const char *name, const char *unit, const char *sentence,
                 const model::Histogram &value) override;

private:
  std::vector<Statistic> *all_;
};

} // namespace ims
