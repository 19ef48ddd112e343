// SPDX-License-Identifier: Apache-2.0
// Random numbers that are the same everywhere: splitmix64, and its own reduction to a range, since those of <random> differ
// from library to library.
#pragma once

#include <cstdint>

namespace ims::model {

class Random {
public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
  }

  // Evenly from 0 to n - 1, but for n / 2^64. n is not 0.
  uint64_t below(uint64_t n) {
    __extension__ using Wide = unsigned __int128;
    return static_cast<uint64_t>(static_cast<Wide>(next()) * n >> 64);
  }

private:
  uint64_t state_;
};

} // namespace ims::model
