// SPDX-License-Identifier: Apache-2.0
// How modules tell what they counted. Each module's counters are one X-macro of rows X(name, unit, sentence), from which
// the struct and the telling come; what is done with it (text, JSON, CSV) is the sink's.
//
//   #define IMS_LINK_STATISTICS(X) X(packets, "packets", "sent, both directions")
//   struct LinkCounters { IMS_STATISTIC_FIELDS(IMS_LINK_STATISTICS) };
//   void Link::collect(StatisticSink &s) const { IMS_STATISTIC_TELL(s, name(), count_, IMS_LINK_STATISTICS) }
#pragma once

#include "model/histogram.h"

#include <cstdint>
#include <string>

namespace ims::model {

class StatisticSink {
public:
  virtual ~StatisticSink() = default;
  // `object`: "iommu0", "iommu0.IOTLB", "dev0"; strings with static life but for the object.
  virtual void count(const std::string &object, const char *name, const char *unit, const char *sentence,
                     uint64_t value) = 0;
  // sum / count, to be printed exactly: both stay whole numbers until then. 0 of 0 is 0.
  virtual void mean(const std::string &object, const char *name, const char *unit, const char *sentence, uint64_t sum,
                    uint64_t count) = 0;
  virtual void histogram(const std::string &object, const char *name, const char *unit, const char *sentence,
                         const Histogram &value) = 0;
};

#define IMS_STATISTIC_FIELD(name, unit, sentence) uint64_t name = 0;
#define IMS_STATISTIC_FIELDS(statistics)          statistics(IMS_STATISTIC_FIELD)
#define IMS_STATISTIC_TELL(sink, object, counters, statistics)                                                         \
  {                                                                                                                    \
    auto &sink_ = (sink);                                                                                              \
    const std::string object_ = (object);                                                                              \
    const auto &counters_ = (counters);                                                                                \
    statistics(IMS_STATISTIC_TELL_ROW)                                                                                 \
  }
#define IMS_STATISTIC_TELL_ROW(name, unit, sentence) sink_.count(object_, #name, unit, sentence, counters_.name);

} // namespace ims::model
