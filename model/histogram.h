// SPDX-License-Identifier: Apache-2.0
// A histogram of fixed size over all of 64 bits: exact below 128, then 64 bins to each power of two, so that a quantile is
// wrong by less than 1/64 whatever the values are.
#pragma once

#include <array>
#include <cstdint>

namespace ims::model {

class Histogram {
public:
  static constexpr unsigned BITS = 6, BINS = (64 - BITS) << BITS | 1 << BITS;

  void add(uint64_t value) {
    bin_[index(value)]++;
    count_++;
    sum_ += value;
    if (value < min_)
      min_ = value;
    if (value > max_)
      max_ = value;
  }

  uint64_t count() const { return count_; }
  uint64_t sum() const { return sum_; }
  uint64_t min() const { return count_ ? min_ : 0; }
  uint64_t max() const { return max_; }
  double mean() const { return count_ ? static_cast<double>(sum_) / static_cast<double>(count_) : 0; }

  // The smallest value that at least `per_mille` thousandths of all values do not exceed, rounded up to the end of its
  // bin, but not beyond the maximum. 500: the median. 0 when empty.
  uint64_t quantile(unsigned per_mille) const;

  // Calls visit(first, last, count) for each bin that holds something, smallest first.
  template <class F> void each(F visit) const {
    for (unsigned i = 0; i < BINS; i++)
      if (bin_[i])
        visit(lowest(i), highest(i), bin_[i]);
  }

  static unsigned index(uint64_t v) {
    if (v < 2u << BITS)
      return static_cast<unsigned>(v);
    unsigned shift = 63u - static_cast<unsigned>(__builtin_clzll(v)) - BITS;
    return (shift << BITS) + static_cast<unsigned>(v >> shift);
  }
  static uint64_t lowest(unsigned i) {
    if (i < 2u << BITS)
      return i;
    unsigned shift = (i >> BITS) - 1;
    return (uint64_t{1} << BITS | (i & ((1u << BITS) - 1))) << shift;
  }
  static uint64_t highest(unsigned i) { return i + 1 < BINS ? lowest(i + 1) - 1 : ~0ull; }

private:
  std::array<uint64_t, BINS> bin_{};
  uint64_t count_ = 0, sum_ = 0, min_ = ~0ull, max_ = 0;
};

} // namespace ims::model
