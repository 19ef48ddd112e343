// SPDX-License-Identifier: Apache-2.0
// The configuration. JSON is read event by event, so that a message can name the line of the key it is about.
#include "tools/config.h"
#include "tools/error.h"
#include "tools/file.h"
#include "trace/nearest.h"
#include "trace/number.h"

#include <algorithm>
#include <boost/json/basic_parser_impl.hpp>
#include <cstring>
#include <set>

namespace json = boost::json;

namespace ims {

uint32_t Knob::get(const Config &c) const {
  uint32_t value;
  std::memcpy(&value, reinterpret_cast<const char *>(&c) + offset, sizeof value);
  return value;
}

void Knob::set(Config &c, uint32_t value) const {
  std::memcpy(reinterpret_cast<char *>(&c) + offset, &value, sizeof value);
}

const std::vector<Knob> &knobs() {
  static const std::vector<Knob> all = [] {
    std::vector<Knob> rows;
    Config c;
    for (const Arch *a : arches()) {
      auto part = static_cast<size_t>(static_cast<char *>(a->config(c)) - reinterpret_cast<char *>(&c));
      for (unsigned i = 0; const ims_option *o = a->option(i); i++)
        rows.push_back({a->name, std::string(a->name) + "." + o->name, o->name, o->sentence, o->low, o->high, o->def,
                        o->feature, part + o->offset});
    }
    return rows;
  }();
  return all;
}

const Knob &find_knob(const std::string &key, const std::string &where) {
  std::vector<std::string> names;
  for (const Knob &k : knobs()) {
    if (k.key == key)
      return k;
    names.push_back(k.key);
  }
  // The name alone is how people begin: then the distance is that to the name.
  if (key.find('.') == key.npos) {
    names.clear();
    for (const Knob &k : knobs())
      names.push_back(k.name);
    std::string near = nearest(key, names);
    for (const Knob &k : knobs())
      if (k.name == near)
        near = k.key;
    fail("%s: unknown key %s; the nearest is `%s`", where.c_str(), quoted(key).c_str(), near.c_str());
  }
  fail("%s: unknown key %s; the nearest is `%s`", where.c_str(), quoted(key).c_str(), nearest(key, names).c_str());
}

static std::string expected(const Knob &k) {
  return "expected a number from " + std::to_string(k.low) + " to " + std::to_string(k.high);
}

// Returns what was expected instead, or nothing.
static std::string set_checked(Config &c, const Knob &k, uint64_t value) {
  if (value < k.low || value > k.high)
    return expected(k);
  k.set(c, static_cast<uint32_t>(value));
  return {};
}

namespace {

// What the JSON parser tells. Two levels: sections, and the knobs in them.
class Handler {
public:
  static constexpr size_t max_object_size = 1 << 20, max_array_size = 1 << 20;
  static constexpr size_t max_key_size = 1 << 16, max_string_size = 1 << 16;

  explicit Handler(Config &c) : config_(c) {}
  std::string message; // why it stopped; without position

  bool on_document_begin(json::error_code &) { return true; }
  bool on_document_end(json::error_code &) { return true; }

  bool on_object_begin(json::error_code &ec) {
    if (depth_ == 1) {
      bool known = false;
      std::vector<std::string> names;
      for (const Knob &k : knobs()) {
        known |= k.section == key_[0];
        if (names.empty() || names.back() != k.section)
          names.push_back(k.section);
      }
      if (!known)
        return stop(ec, "unknown key " + quoted(key_[0]) + "; the nearest is `" + nearest(key_[0], names) + "`");
    }
    if (depth_ == 2)
      return value(ec, "an object", 0, false);
    seen_[depth_].clear();
    depth_++;
    return true;
  }
  bool on_object_end(size_t, json::error_code &) {
    depth_--;
    return true;
  }
  bool on_array_begin(json::error_code &ec) { return value(ec, "an array", 0, false); }
  bool on_array_end(size_t, json::error_code &) { return true; }

  bool on_key_part(json::string_view part, size_t, json::error_code &) {
    word_.append(part.data(), part.size());
    return true;
  }
  bool on_key(json::string_view part, size_t, json::error_code &ec) {
    word_.append(part.data(), part.size());
    std::string &key = key_[depth_ - 1];
    key.swap(word_);
    word_.clear();
    if (!seen_[depth_ - 1].insert(key).second)
      return stop(ec, "key " + quoted(path()) + ": found a second time, expected once");
    return true;
  }
  bool on_string_part(json::string_view part, size_t, json::error_code &) {
    word_.append(part.data(), part.size());
    return true;
  }
  bool on_string(json::string_view part, size_t, json::error_code &ec) {
    word_.append(part.data(), part.size());
    std::string text;
    text.swap(word_);
    if (depth_ == 1 && key_[0] == "$schema")
      return true; // for editors
    return value(ec, "the string " + quoted(text), 0, false);
  }
  bool on_number_part(json::string_view, json::error_code &) { return true; }
  bool on_int64(int64_t n, json::string_view, json::error_code &ec) {
    return value(ec, std::to_string(n), n < 0 ? ~0ull : static_cast<uint64_t>(n), true);
  }
  bool on_uint64(uint64_t n, json::string_view, json::error_code &ec) { return value(ec, std::to_string(n), n, true); }
  bool on_double(double, json::string_view, json::error_code &ec) {
    return value(ec, "a number that is no integer", 0, false);
  }
  bool on_bool(bool b, json::error_code &ec) {
    const Knob *k = depth_ == 2 ? find() : nullptr;
    return value(ec, b ? "true" : "false", b, k && k->low == 0 && k->high == 1);
  }
  bool on_null(json::error_code &ec) { return value(ec, "null", 0, false); }
  bool on_comment_part(json::string_view, json::error_code &) { return true; }
  bool on_comment(json::string_view, json::error_code &) { return true; }

private:
  std::string path() const { return depth_ == 2 ? key_[0] + "." + key_[1] : key_[0]; }
  const Knob *find() const {
    for (const Knob &k : knobs())
      if (k.key == path())
        return &k;
    return nullptr;
  }
  bool stop(json::error_code &ec, const std::string &why) {
    message = why;
    ec = json::error::exception;
    return false;
  }
  bool value(json::error_code &ec, const std::string &found, uint64_t n, bool number) {
    if (depth_ == 0)
      return stop(ec, "found " + found + ", expected an object such as {\"vtd\": {}}");
    if (depth_ == 1) {
      for (const Knob &k : knobs())
        if (k.section == key_[0])
          return stop(ec, "key " + quoted(key_[0]) + ": found " + found + ", expected an object of its knobs");
      std::vector<std::string> names;
      for (const Knob &k : knobs())
        names.push_back(k.section);
      return stop(ec, "unknown key " + quoted(key_[0]) + "; the nearest is `" + nearest(key_[0], names) + "`");
    }
    const Knob *k = find();
    if (!k) {
      try {
        find_knob(path(), "");
      } catch (const BadInput &e) {
        return stop(ec, e.what() + 2);
      }
    }
    std::string wanted = number ? set_checked(config_, *k, n) : expected(*k);
    return wanted.empty() || stop(ec, "key `" + k->key + "`: found " + found + ", " + wanted);
  }

  Config &config_;
  unsigned depth_ = 0;
  std::string key_[2], word_;
  std::set<std::string> seen_[2];
};

} // namespace

void apply_json(Config &c, const std::string &text, const std::string &name) {
  json::parse_options options;
  options.allow_comments = true;
  options.allow_trailing_commas = true;
  json::basic_parser<Handler> parser(options, c);
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
}

void apply_setting(Config &c, const std::string &setting) {
  size_t equals = setting.find('=');
  if (equals == setting.npos || equals == 0)
    fail("--set: found %s, expected KEY=VALUE", quoted(setting).c_str());
  const Knob &k = find_knob(setting.substr(0, equals), "--set");
  std::string text = setting.substr(equals + 1);
  uint64_t value = 0;
  bool flag = k.low == 0 && k.high == 1 && (text == "true" || text == "false");
  std::string wanted = flag                         ? set_checked(c, k, text == "true")
                       : parse_number(text, &value) ? set_checked(c, k, value)
                                                    : expected(k);
  if (!wanted.empty())
    fail("--set: key `%s`: found %s, %s", k.key.c_str(), quoted(text).c_str(), wanted.c_str());
}

void check_config(const Config &c, const std::string &where) {
  for (const Arch *a : arches())
    if (const char *why = a->check(c))
      fail("%s: the %s configuration does not hold: %s", where.c_str(), a->title, why);
}

void apply_sources(Config &c, const ConfigSources &sources) {
  if (!sources.file.empty())
    apply_json(c, read_file(sources.file, 16 << 20), sources.file);
  for (const std::string &setting : sources.settings)
    apply_setting(c, setting);
  check_config(c, !sources.settings.empty() ? "--set" : !sources.file.empty() ? sources.file : "configuration");
}

std::string config_json(const Config &c, const std::vector<std::string> &sections) {
  std::string text = "{", section;
  for (const Knob &k : knobs()) {
    if (!sections.empty() && std::find(sections.begin(), sections.end(), k.section) == sections.end())
      continue;
    if (k.section != section) {
      text += section.empty() ? "\n" : "\n  },\n";
      section = k.section;
      text += "  \"" + section + "\": {\n";
    } else {
      text += ",\n";
    }
    text += std::string("    \"") + k.name + "\": " + std::to_string(k.get(c));
  }
  return text + "\n  }\n}\n";
}

} // namespace ims
