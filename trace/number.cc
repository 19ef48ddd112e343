// SPDX-License-Identifier: Apache-2.0
// Numbers and requester ids.
#include "trace/number.h"

#include <charconv>

namespace ims {

static bool parse(std::string_view text, int base, uint64_t *value) {
  const char *end = text.data() + text.size();
  auto [rest, error] = std::from_chars(text.data(), end, *value, base);
  return error == std::errc() && rest == end && !text.empty();
}

bool parse_number(std::string_view text, uint64_t *value) {
  if (text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
    return parse(text.substr(2), 16, value);
  return parse(text, 10, value);
}

bool parse_size(std::string_view text, uint64_t *value) {
  static constexpr std::string_view units = "KMGT";
  bool hex = text.size() > 1 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
  size_t unit = text.empty() || hex ? units.npos : units.find(text.back());
  if (unit == units.npos)
    return parse_number(text, value);
  unsigned shift = 10 * (static_cast<unsigned>(unit) + 1);
  if (!parse_number(text.substr(0, text.size() - 1), value) || *value >> (64 - shift))
    return false;
  *value <<= shift;
  return true;
}

bool parse_source(std::string_view text, uint64_t *source) {
  size_t dot = text.rfind('.');
  size_t colon = text.rfind(':');
  if (dot == text.npos && colon == text.npos)
    return parse_number(text, source);
  if (dot == text.npos || colon == text.npos || dot < colon)
    return false;

  std::string_view head = text.substr(0, colon);
  std::string_view bus = head;
  uint64_t segment, b, d, f;
  if (size_t first = head.find(':'); first != head.npos) {
    if (first > 4 || !parse(head.substr(0, first), 16, &segment))
      return false;
    bus = head.substr(first + 1);
  }
  if (bus.size() > 2 || dot - colon > 3 || text.size() - dot != 2)
    return false;
  if (!parse(bus, 16, &b) || !parse(text.substr(colon + 1, dot - colon - 1), 16, &d) ||
      !parse(text.substr(dot + 1), 16, &f) || d > 31 || f > 7)
    return false;
  *source = b << 8 | d << 3 | f;
  return true;
}

} // namespace ims
