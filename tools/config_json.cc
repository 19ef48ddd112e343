// SPDX-License-Identifier: Apache-2.0
// The configuration as JSON. It is read event by event, so that a message can name the line of the key it is about.
#include "tools/config.h"
#include "tools/config_value.h"
#include "tools/error.h"
#include "tools/system_config.h"
#include "trace/nearest.h"

#include <algorithm>
#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/serialize.hpp>
#include <set>

namespace json = boost::json;

namespace ims {

namespace {

bool known_section(const std::string &name) {
  return std::any_of(sections().begin(), sections().end(), [&](const Section &s) { return s.name == name; });
}

std::string unknown_section(const std::string &name) {
  std::vector<std::string> names;
  for (const Section &s : sections())
    names.push_back(s.name);
  return "unknown key " + quoted(name) + "; the nearest is `" + nearest(name, names) + "`";
}

// What the JSON parser tells. Two levels: sections, and the knobs in them.
class Handler {
public:
  static constexpr size_t max_object_size = 1 << 20, max_array_size = 1 << 20;
  static constexpr size_t max_key_size = 1 << 16, max_string_size = 1 << 16;

  std::string message; // why it stopped; without position
  std::vector<Setting> settings;

  bool on_document_begin(json::error_code &) { return true; }
  bool on_document_end(json::error_code &) { return true; }

  bool on_object_begin(json::error_code &ec) {
    if (depth_ == 1 && !known_section(key_[0]))
      return stop(ec, unknown_section(key_[0]));
    if (depth_ == 2)
      return value(ec, "an object", false, 0);
    seen_[depth_].clear();
    depth_++;
    return true;
  }
  bool on_object_end(size_t, json::error_code &) {
    depth_--;
    return true;
  }
  bool on_array_begin(json::error_code &ec) { return value(ec, "an array", false, 0); }
  bool on_array_end(size_t, json::error_code &) { return true; }

  bool on_key_part(json::string_view part, size_t, json::error_code &) { return add(part); }
  bool on_key(json::string_view part, size_t, json::error_code &ec) {
    std::string &key = key_[depth_ - 1] = whole(part);
    knob_ = depth_ == 2 ? known_knob(path()) : nullptr;
    if (!seen_[depth_ - 1].insert(key).second)
      return stop(ec, "key " + quoted(path()) + ": found a second time, expected once");
    return true;
  }
  bool on_string_part(json::string_view part, size_t, json::error_code &) { return add(part); }
  bool on_string(json::string_view part, size_t, json::error_code &ec) {
    std::string text = whole(part);
    if (depth_ == 1 && key_[0] == "$schema")
      return true; // for editors
    uint32_t n = 0;
    bool good = knob_ && parse_word(*knob_, text, &n);
    return value(ec, "the string " + quoted(text), good, n);
  }
  bool on_number_part(json::string_view part, json::error_code &) { return add(part); }
  bool on_int64(int64_t, json::string_view part, json::error_code &ec) { return number(ec, whole(part), false); }
  bool on_uint64(uint64_t, json::string_view part, json::error_code &ec) { return number(ec, whole(part), false); }
  bool on_double(double, json::string_view part, json::error_code &ec) { return number(ec, whole(part), true); }
  bool on_bool(bool b, json::error_code &ec) { return value(ec, b ? "true" : "false", knob_ && is_flag(*knob_), b); }
  bool on_null(json::error_code &ec) { return value(ec, "null", false, 0); }
  bool on_comment_part(json::string_view, json::error_code &) { return true; }
  bool on_comment(json::string_view, json::error_code &) { return true; }

private:
  std::string path() const { return depth_ == 2 ? key_[0] + "." + key_[1] : key_[0]; }

  bool add(json::string_view part) {
    word_.append(part.data(), part.size());
    return true;
  }
  std::string whole(json::string_view last) {
    add(last);
    std::string text;
    text.swap(word_);
    return text;
  }

  bool stop(json::error_code &ec, const std::string &why) {
    message = why;
    ec = json::error::exception;
    return false;
  }

  // The digits as they stand there: 2.3 is exactly that.
  bool number(json::error_code &ec, const std::string &text, bool fraction) {
    uint32_t n = 0;
    bool good = knob_ && parse_literal(*knob_, text, &n);
    bool integer = knob_ && !is_decimal(*knob_);
    return value(ec, fraction && integer ? "a number that is no integer" : shortened(text), good, n);
  }
  static std::string shortened(const std::string &text) {
    return text.size() <= 40 ? text : text.substr(0, 40) + "...";
  }

  bool value(json::error_code &ec, const std::string &found, bool good, uint32_t n) {
    if (depth_ == 0)
      return stop(ec, "found " + found + ", expected an object such as {\"vtd\": {}}");
    if (depth_ == 1 && known_section(key_[0]))
      return stop(ec, "key " + quoted(key_[0]) + ": found " + found + ", expected an object of its knobs");
    if (depth_ == 1)
      return stop(ec, unknown_section(key_[0]));
    if (!knob_)
      return stop(ec, unknown_key(path()));
    if (!good)
      return stop(ec, "key `" + knob_->key + "`: found " + found + ", " + expected_text(*knob_));
    settings.push_back({knob_, n});
    return true;
  }

  unsigned depth_ = 0;
  const Knob *knob_ = nullptr; // of the key read last; NULL: unknown, or a section
  std::string key_[2], word_;
  std::set<std::string> seen_[2];
};

} // namespace

std::vector<Setting> read_json(const std::string &text, const std::string &name) {
  json::parse_options options;
  options.allow_comments = true;
  options.allow_trailing_commas = true;
  json::basic_parser<Handler> parser(options);
  json::error_code ec;
  size_t used = parser.write_some(false, text.data(), text.size(), ec);
  size_t line = 1, column = 1;
  for (size_t i = 0; i < used && i < text.size(); i++) {
    column = text[i] == '\n' ? 1 : column + 1;
    line += text[i] == '\n';
  }
  const std::string &why = parser.handler().message;
  if (!why.empty())
    fail("%s:%zu: %s", name.c_str(), line, why.c_str());
  if (ec)
    fail("%s:%zu:%zu: no JSON: %s", name.c_str(), line, column, ec.message().c_str());
  if (text.find_first_not_of(" \t\r\n", used) != text.npos)
    fail("%s:%zu:%zu: found more text, expected the end of the file", name.c_str(), line, column);
  return parser.handler().settings;
}

static bool wanted(const Section &s, const std::vector<std::string> &names) {
  return names.empty() || std::find(names.begin(), names.end(), s.name) != names.end();
}

std::string config_json(const SystemConfig &c, const std::vector<std::string> &names) {
  std::string text;
  const Section *section = nullptr;
  for (const Knob &k : knobs()) {
    if (!wanted(*k.part, names))
      continue;
    if (k.part != section)
      text += (section ? "\n  },\n" : "{\n") + ("  \"" + k.section + "\": {\n");
    else
      text += ",\n";
    section = k.part;
    text += std::string("    \"") + k.name + "\": " + value_json(k, k.get(c));
  }
  return section ? text + "\n  }\n}\n" : "{}\n";
}

static std::string string_json(const std::string &text) { return json::serialize(json::string_view(text)); }

// A word may also be given by its number, and a flag as a boolean.
static std::string values_schema(const Knob &k) {
  if (!k.words)
    return std::string("\"type\": ") +
           (is_flag(k)      ? "[\"integer\", \"boolean\"]"
            : is_decimal(k) ? "\"number\""
                            : "\"integer\"") +
           ", \"minimum\": " + value_text(k, k.low) + ", \"maximum\": " + value_text(k, k.high) +
           (is_decimal(k) ? ", \"multipleOf\": 0." + std::string(decimals(k) - 1, '0') + "1" : "");
  std::string text;
  for (uint32_t v = k.low; v <= k.high; v++)
    text += value_json(k, v) + ", ";
  for (uint32_t v = k.low; v <= k.high; v++)
    text += (v == k.low ? "" : ", ") + std::to_string(v);
  return "\"enum\": [" + text + (is_flag(k) ? ", false, true]" : "]");
}

std::string config_schema(const std::vector<std::string> &names) {
  std::string text = "{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n"
                     "  \"title\": \"iommusim configuration\",\n  \"type\": \"object\",\n"
                     "  \"additionalProperties\": false,\n  \"properties\": {\n"
                     "    \"$schema\": {\"type\": \"string\", \"description\": \"for editors; not looked at\"}";
  const Section *section = nullptr;
  for (const Knob &k : knobs()) {
    if (!wanted(*k.part, names))
      continue;
    if (k.part != section)
      text += std::string(section ? "\n      }\n    }" : "") + ",\n    \"" + k.section +
              "\": {\n      \"description\": " + string_json(k.part->title) +
              ",\n      \"type\": \"object\",\n      \"additionalProperties\": false,\n      \"properties\": {\n";
    else
      text += ",\n";
    section = k.part;
    text += std::string("        \"") + k.name + "\": {\"description\": " + string_json(k.sentence) +
            (k.unit && *k.unit ? ", \"x-unit\": " + string_json(k.unit) : "") + ", " + values_schema(k) +
            ", \"default\": " + value_json(k, k.def) + "}";
  }
  return text + (section ? "\n      }\n    }" : "") + "\n  }\n}\n";
}

} // namespace ims
