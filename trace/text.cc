// SPDX-License-Identifier: Apache-2.0
// Small pieces of text.
#include "trace/text.h"

namespace ims {

std::string size_text(unsigned shift) {
  static const char *const units[] = {"B", "KB", "MB", "GB", "TB", "PB", "EB"};
  return std::to_string(1u << shift % 10) + " " + units[shift / 10 < 7 ? shift / 10 : 6];
}

std::string source_text(uint32_t source) {
  return source > 0xffff ? hex(source) : format("%02x:%02x.%x", source >> 8, source >> 3 & 31, source & 7);
}

} // namespace ims
