// SPDX-License-Identifier: Apache-2.0
// Values of knobs as people write them: numbers, decimal numbers (never through a double), words, and false or true.
#pragma once

#include "iommu/option.h"

#include <string>
#include <string_view>

namespace ims {

// 0 or 1, and nothing else: may be written as false and true, or off and on.
bool is_flag(const ims_option &o);

bool is_decimal(const ims_option &o);
unsigned decimals(const ims_option &o); // digits behind the point that a value may have

// "lru", "2.5", "64"; and as it stands in JSON: "\"lru\"".
std::string value_text(const ims_option &o, uint32_t value);
std::string value_json(const ims_option &o, uint32_t value);

// "0..7", "0..100000", "off, on". And for messages: "expected a number from 0 to 7 entries".
std::string range_text(const ims_option &o);
std::string expected_text(const ims_option &o);

// What a person wrote behind KEY=, a number or string of JSON. False: it is none, or out of range.
bool parse_setting(const ims_option &o, std::string_view text, uint32_t *value);
bool parse_literal(const ims_option &o, std::string_view text, uint32_t *value);
bool parse_word(const ims_option &o, std::string_view text, uint32_t *value);

} // namespace ims
