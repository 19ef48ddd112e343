// SPDX-License-Identifier: Apache-2.0
// Numbers and requester ids as people write them.
#pragma once

#include <cstdint>
#include <string_view>

namespace ims {

// Decimal, or hexadecimal with 0x. False: something else, or more than 64 bits.
bool parse_number(std::string_view text, uint64_t *value);

// The same; a decimal one may have K, M, G or T behind it.
bool parse_size(std::string_view text, uint64_t *value);

// A requester: bb:dd.f, ssss:bb:dd.f (hexadecimal) or a number. The segment selects an IOMMU on a machine with several
// and is no part of the source id: it is checked and dropped. False: none of these.
bool parse_source(std::string_view text, uint64_t *source);

} // namespace ims
