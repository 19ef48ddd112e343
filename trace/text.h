// SPDX-License-Identifier: Apache-2.0
// Small pieces of text.
#pragma once

#include <cstdint>
#include <string>

namespace ims {

// As printf, into a string.
std::string format(const char *text, ...) __attribute__((format(printf, 1, 2)));

std::string hex(uint64_t value);          // "0x1f"
std::string size_text(unsigned shift);    // 2^shift bytes: "4 KB", "2 MB", "1 GB"
std::string source_text(uint32_t source); // "00:03.0" for ids of 16 bits, else hexadecimal

} // namespace ims
