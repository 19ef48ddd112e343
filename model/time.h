// SPDX-License-Identifier: Apache-2.0
// Time in the model: whole picoseconds. SystemC's own resolution has to be the default, 1 ps.
#pragma once

#include <cstdint>
#include <systemc>

namespace ims::model {

using Ticks = uint64_t;

constexpr Ticks PS = 1, NS = 1000, US = 1000 * NS, MS = 1000 * US;

inline sc_core::sc_time to_sc(Ticks t) { return sc_core::sc_time::from_value(t); }

} // namespace ims::model
