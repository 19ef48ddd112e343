// SPDX-License-Identifier: Apache-2.0
#include "model/histogram.h"

#include <algorithm>

namespace ims::model {

uint64_t Histogram::quantile(unsigned per_mille) const {
  uint64_t wanted = count_ / 1000 * per_mille + (count_ % 1000 * per_mille + 999) / 1000, seen = 0;
  for (unsigned i = 0; i < BINS; i++) {
    seen += bin_[i];
    if (bin_[i] && seen >= wanted)
      return std::min(highest(i), max_);
  }
  return 0;
}

} // namespace ims::model
