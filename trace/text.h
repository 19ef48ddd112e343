// SPDX-License-Identifier: Apache-2.0
// Small pieces of text for people.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ims {

std::string format(const char *format, ...) __attribute__((format(printf, 1, 2)));
std::string hex(uint64_t value);
std::string bytes_text(uint64_t bytes);   // "4 KB", "6 MB", "24 bytes"
std::string size_text(unsigned shift);    // 2^shift bytes: "4 KB", "2 MB", "1 GB"
std::string source_text(uint32_t source); // "00:03.0" for ids of 16 bits, else hexadecimal

// A word of the input for a message: in quotes, control characters escaped, long ones cut.
std::string quote(std::string_view word);

} // namespace ims
