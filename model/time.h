// SPDX-License-Identifier: Apache-2.0
// Time in the model: whole picoseconds. SystemC's own resolution has to be the default, 1 ps.
#pragma once

#include <cstdint>
#include <cstring>
#include <systemc>
#include <type_traits>

namespace ims::model {

using Ticks = uint64_t;

constexpr Ticks PS = 1, NS = 1000, US = 1000 * NS, MS = 1000 * US;

// How a module sends what it has to send: loosely timed by b_transport, without contention; or approximately timed by
// nb_transport.
enum class Timing { LT, AT };

// sc_time::from_value() is a call into a shared library, and would be a tenth of a simulation. An sc_time is its value and
// nothing else (Agenda checks that when it is made).
inline sc_core::sc_time to_sc(Ticks t) {
  static_assert(sizeof(sc_core::sc_time) == sizeof t && std::is_standard_layout<sc_core::sc_time>::value,
                "an sc_time is one word");
  sc_core::sc_time time;
  std::memcpy(static_cast<void *>(&time), &t, sizeof t);
  return time;
}

} // namespace ims::model
