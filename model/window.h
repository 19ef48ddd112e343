// SPDX-License-Identifier: Apache-2.0
// What the writers of timelines, waves and intervals have in common.
#pragma once

#include "model/time.h"

#include <cinttypes>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>

namespace ims::model {

// Takes text as it comes, piece after piece: a file, a string.
using Writer = std::function<void(std::string_view)>;

// A piece of simulated time, `to` not included.
struct Window {
  Ticks from = 0, to = ~0ull;

  bool holds(Ticks t) const { return t >= from && t < to; }
  // Whether something that lasted from `begin` to `end` is to be seen in it. What took no time counts where it was.
  bool sees(Ticks begin, Ticks end) const { return begin < to && (end > from || begin >= from); }
};

// A time in units of 10^digits ps, exactly: 1234 ps are "1.234" with 3 digits (ns), "0.001234" with 6 (us).
inline std::string decimal(Ticks t, int digits) {
  Ticks unit = 1;
  for (int i = 0; i < digits; i++)
    unit *= 10;
  char text[48];
  std::snprintf(text, sizeof(text), "%" PRIu64 ".%0*" PRIu64, t / unit, digits, t % unit);
  return text;
}

// A name as it may stand in any of these formats: letters, digits and _.:- stay, others become '_'.
inline std::string plain_name(std::string_view name) {
  std::string out(name);
  for (char &c : out)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
          c == ':' || c == '-'))
      c = '_';
  return out;
}

} // namespace ims::model
