// SPDX-License-Identifier: Apache-2.0
#include "tools/config_value.h"
#include "trace/number.h"

#include <charconv>
#include <vector>

namespace ims {

static std::vector<std::string> words(const ims_option &o) {
  std::vector<std::string> all;
  for (const char *const *w = o.words; w && *w; w++)
    all.push_back(*w);
  return all;
}

bool is_decimal(const ims_option &o) { return o.scale > 1; }

bool is_flag(const ims_option &o) {
  return o.low == 0 && o.high == 1 && !is_decimal(o) && (!o.words || words(o) == std::vector<std::string>{"off", "on"});
}

unsigned decimals(const ims_option &o) {
  unsigned n = 0;
  for (uint32_t rest = o.scale; rest >= 10; rest /= 10)
    n++;
  return n;
}

std::string value_text(const ims_option &o, uint32_t value) {
  std::vector<std::string> names = words(o);
  if (value >= o.low && value - o.low < names.size())
    return names[value - o.low];
  if (!is_decimal(o))
    return std::to_string(value);
  std::string text = std::to_string(value / o.scale), rest = std::to_string(value % o.scale);
  if (value % o.scale) {
    text += "." + std::string(decimals(o) - rest.size(), '0') + rest;
    text.erase(text.find_last_not_of('0') + 1);
  }
  return text;
}

std::string value_json(const ims_option &o, uint32_t value) {
  std::string text = value_text(o, value);
  return o.words ? "\"" + text + "\"" : text;
}

std::string range_text(const ims_option &o) {
  if (!o.words)
    return value_text(o, o.low) + ".." + value_text(o, o.high);
  std::string text;
  for (const std::string &w : words(o))
    text += (text.empty() ? "" : ", ") + w;
  return text;
}

std::string expected_text(const ims_option &o) {
  if (o.words)
    return "expected one of " + range_text(o);
  std::string unit = o.unit && *o.unit ? std::string(" ") + o.unit : "";
  return "expected a number from " + value_text(o, o.low) + " to " + value_text(o, o.high) + unit +
         (is_decimal(o) ? ", with " + std::to_string(decimals(o)) + " decimals at most"
          : is_flag(o)  ? ", or false or true"
                        : "");
}

static bool within(const ims_option &o, uint64_t n, uint32_t *value) {
  if (n < o.low || n > o.high)
    return false;
  *value = static_cast<uint32_t>(n);
  return true;
}

// The digits themselves are moved by the exponent and the scale; what then still stands behind the point has to be zero.
bool parse_literal(const ims_option &o, std::string_view text, uint32_t *value) {
  int exponent = 0;
  if (size_t e = text.find_first_of("eE"); e != text.npos) {
    std::string_view power = text.substr(e + 1);
    if (power.size() > 1 && power[0] == '+' && power[1] != '-')
      power.remove_prefix(1);
    auto [rest, error] = std::from_chars(power.data(), power.data() + power.size(), exponent);
    if (error != std::errc() || rest != power.data() + power.size() || exponent > 32 || exponent < -32)
      return false;
    text = text.substr(0, e);
  }
  size_t point = text.find('.');
  std::string digits(text.substr(0, point));
  if (point != text.npos) {
    digits += text.substr(point + 1);
    exponent -= static_cast<int>(text.size() - point - 1);
  }
  if (digits.empty() || digits.size() > 64 || point == 0)
    return false;
  exponent += static_cast<int>(decimals(o));
  for (; exponent > 0; exponent--)
    digits += '0';
  for (; exponent < 0 && !digits.empty() && digits.back() == '0'; exponent++)
    digits.pop_back();
  if (digits.empty()) // all were zeros
    return within(o, 0, value);
  uint64_t n;
  auto [rest, error] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
  return error == std::errc() && rest == digits.data() + digits.size() && exponent == 0 && within(o, n, value);
}

bool parse_word(const ims_option &o, std::string_view text, uint32_t *value) {
  uint32_t n = o.low;
  for (const std::string &w : words(o)) {
    if (w == text)
      return within(o, n, value);
    n++;
  }
  return is_flag(o) && (text == "off" || text == "on") && within(o, text == "on", value);
}

bool parse_setting(const ims_option &o, std::string_view text, uint32_t *value) {
  if (parse_word(o, text, value))
    return true;
  if (is_flag(o) && (text == "false" || text == "true"))
    return within(o, text == "true", value);
  uint64_t n;
  if (!is_decimal(o) && parse_size(text, &n))
    return within(o, n, value);
  return parse_literal(o, text, value);
}

} // namespace ims
