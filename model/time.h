// SPDX-License-Identifier: Apache-2.0
// Time in the model: whole picoseconds. SystemC's own resolution has to be the default, 1 ps.
#pragma once

#include <cstdint>
#include <systemc>

namespace ims::model {

using Ticks = uint64_t;

constexpr Ticks PS = 1, NS = 1000, US = 1000 * NS, MS = 1000 * US;

// How a module sends what it has to send: loosely timed by b_transport, without contention; or approximately timed by
// nb_transport.
enum class Timing { LT, AT };

inline sc_core::sc_time to_sc(Ticks t) { return sc_core::sc_time::from_value(t); }

} // namespace ims::model
