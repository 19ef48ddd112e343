// SPDX-License-Identifier: Apache-2.0
#include "trace/text.h"

#include <cinttypes>
#include <cstdarg>
#include <cstdio>

namespace ims {

std::string hex(uint64_t value) { return format("0x%" PRIx64, value); }

std::string bytes_text(uint64_t bytes) {
  static const char *const units[] = {"bytes", "KB", "MB", "GB", "TB", "PB", "EB"};
  unsigned unit = 0;
  while (unit < 6 && bytes >= 1024 && bytes % 1024 == 0) {
    bytes /= 1024;
    unit++;
  }
  return std::to_string(bytes) + " " + (unit == 0 && bytes == 1 ? "byte" : units[unit]);
}

std::string quote(std::string_view word) {
  constexpr size_t longest = 60;
  std::string out = "`";
  for (char c : word.substr(0, longest)) {
    unsigned char u = static_cast<unsigned char>(c);
    out += u >= 0x20 && u != 0x7f ? std::string(1, c) : format("\\x%02x", u);
  }
  return out + (word.size() > longest ? "...`" : "`");
}

std::string format(const char *form, ...) {
  va_list args, again;
  va_start(args, form);
  va_copy(again, args);
  int length = std::vsnprintf(nullptr, 0, form, args);
  va_end(args);
  std::string text(length > 0 ? static_cast<size_t>(length) : 0, '\0');
  std::vsnprintf(text.data(), text.size() + 1, form, again);
  va_end(again);
  return text;
}

std::string size_text(unsigned shift) { return bytes_text(uint64_t{1} << shift); }

std::string source_text(uint32_t source) {
  return source > 0xffff ? hex(source) : format("%02x:%02x.%x", source >> 8, source >> 3 & 31, source & 7);
}

} // namespace ims
