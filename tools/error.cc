// SPDX-License-Identifier: Apache-2.0
// Messages about bad input.
#include "tools/error.h"
#include "trace/names.h"
#include "trace/text.h"

#include <cstdarg>
#include <cstdio>
#include <vector>

namespace ims {

void fail(const char *format, ...) {
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  int length = std::vsnprintf(nullptr, 0, format, args);
  va_end(args);
  std::vector<char> text(static_cast<size_t>(length < 0 ? 0 : length) + 1);
  std::vsnprintf(text.data(), text.size(), format, again);
  va_end(again);
  throw BadInput(text.data());
}

std::string quoted(std::string_view word) { return quote(word); }

} // namespace ims
