// SPDX-License-Identifier: Apache-2.0
// Small pieces of text.
#include "trace/text.h"

#include <cinttypes>
#include <cstdarg>
#include <cstdio>

namespace ims {

std::string format(const char *text, ...) {
  va_list args, again;
  va_start(args, text);
  va_copy(again, args);
  int length = std::vsnprintf(nullptr, 0, text, args);
  va_end(args);
  std::string out(static_cast<size_t>(length < 0 ? 0 : length), '\0');
  std::vsnprintf(out.data(), out.size() + 1, text, again);
  va_end(again);
  return out;
}

std::string hex(uint64_t value) { return format("0x%" PRIx64, value); }

std::string size_text(unsigned shift) {
  static const char *const units[] = {"B", "KB", "MB", "GB", "TB", "PB", "EB"};
  return std::to_string(1u << shift % 10) + " " + units[shift / 10 < 7 ? shift / 10 : 6];
}

std::string source_text(uint32_t source) {
  return source > 0xffff ? hex(source) : format("%02x:%02x.%x", source >> 8, source >> 3 & 31, source & 7);
}

} // namespace ims
