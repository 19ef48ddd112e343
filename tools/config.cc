// SPDX-License-Identifier: Apache-2.0
// Rows of the configuration, and what sources set of them.
#include "tools/config.h"
#include "tools/config_preset.h"
#include "tools/config_value.h"
#include "tools/error.h"
#include "tools/options.h"
#include "tools/system_config.h"
#include "trace/nearest.h"

#include <map>
#include <string_view>

namespace ims {

uint32_t Knob::get(const SystemConfig &c) const { return ims_option_get(&c, this); }
void Knob::set(SystemConfig &c, uint32_t value) const { ims_option_set(&c, this, value); }

const std::vector<Knob> &knobs() {
  static const std::vector<Knob> all = [] {
    std::vector<Knob> rows;
    for (const Section &s : sections())
      for (const ims_option &o : s.rows) {
        rows.push_back({o, &s, s.name, s.name + "." + o.name});
        rows.back().offset += s.offset;
      }
    return rows;
  }();
  return all;
}

const Knob *known_knob(const std::string &key) {
  static const std::map<std::string_view, const Knob *> by_key = [] {
    std::map<std::string_view, const Knob *> made;
    for (const Knob &k : knobs())
      made[k.key] = &k;
    return made;
  }();
  auto found = by_key.find(key);
  return found == by_key.end() ? nullptr : found->second;
}

std::string unknown_key(const std::string &key) {
  std::vector<std::string> names;
  std::string near;
  if (key.find('.') != key.npos) {
    for (const Knob &k : knobs())
      names.push_back(k.key);
    near = nearest(key, names);
  } else { // the name alone is how people begin: then the distance is that to the name
    for (const Section &s : sections())
      names.push_back(s.name);
    for (const Knob &k : knobs())
      names.push_back(k.name);
    near = nearest(key, names);
    for (auto k = knobs().rbegin(); k != knobs().rend(); ++k) // of several the first
      if (k->name == nearest(key, names))
        near = k->key;
  }
  return "unknown key " + quoted(key) + "; the nearest is `" + near + "`";
}

const Knob &find_knob(const std::string &key, const std::string &where) {
  if (const Knob *k = known_knob(key))
    return *k;
  fail("%s: %s", where.c_str(), unknown_key(key).c_str());
}

void add_config_options(Options &o, const char *purpose) {
  namespace po = boost::program_options;
  std::string sentence = std::string("JSON file (comments allowed) or preset that goes over ") + purpose +
                         "; may be repeated: later ones go over earlier ones";
  o.add()("config", po::value<std::vector<std::string>>()->value_name("FILE|PRESET"),
          sentence.c_str())("set", po::value<std::vector<std::string>>()->value_name("KEY=VALUE"),
                            "one key of it, over all files; may be repeated");
}

ConfigSources config_sources(const Options &o) { return {o.list("config"), o.list("set")}; }

Setting read_setting(const std::string &setting) {
  size_t equals = setting.find('=');
  if (equals == setting.npos || equals == 0)
    fail("--set: found %s, expected KEY=VALUE", quoted(setting).c_str());
  const Knob &k = find_knob(setting.substr(0, equals), "--set");
  std::string text = setting.substr(equals + 1);
  Setting s{&k, 0};
  if (!parse_setting(k, text, &s.value))
    fail("--set: key `%s`: found %s, %s", k.key.c_str(), quoted(text).c_str(), expected_text(k).c_str());
  return s;
}

std::vector<Setting> read_sources(const ConfigSources &sources) {
  std::map<const Knob *, uint32_t> named; // knobs() is one array: its order
  for (const std::string &argument : sources.files) {
    ConfigText text = read_config(argument);
    for (const Setting &s : read_json(text.text, text.name))
      named[s.knob] = s.value;
  }
  for (const std::string &argument : sources.settings) {
    Setting s = read_setting(argument);
    named[s.knob] = s.value;
  }
  std::vector<Setting> all;
  for (auto [knob, value] : named)
    all.push_back({knob, value});
  return all;
}

void apply_json(SystemConfig &c, const std::string &text, const std::string &name) {
  for (const Setting &s : read_json(text, name))
    s.knob->set(c, s.value);
}

void apply_setting(SystemConfig &c, const std::string &setting) {
  Setting s = read_setting(setting);
  s.knob->set(c, s.value);
}

void check_config(const SystemConfig &c, const std::string &where) {
  for (const Arch *a : arches())
    if (const char *why = a->check(c))
      fail("%s: the %s configuration does not hold: %s", where.c_str(), a->title, why);
}

void apply_sources(SystemConfig &c, const ConfigSources &sources) {
  for (const Setting &s : read_sources(sources))
    s.knob->set(c, s.value);
  check_config(c, !sources.settings.empty() ? "--set"
                  : !sources.files.empty()  ? sources.files.back()
                                            : "configuration");
}

} // namespace ims
