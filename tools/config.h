// SPDX-License-Identifier: Apache-2.0
// The configuration: every knob of every architecture and every part of the model, out of presets, JSON files (comments
// allowed) and KEY=VALUE, each over what came before. Keys are SECTION.NAME; in JSON {"vtd": {"iotlb_entries": 64}}. The
// rows come from the parts themselves (ims_option).
#pragma once

#include "iommu/option.h"

#include <string>
#include <vector>

namespace ims {

class Options;
struct Section;
struct SystemConfig;

// A row, with `offset` in struct SystemConfig.
struct Knob : ims_option {
  const Section *part;
  std::string section, key; // "vtd", "vtd.iotlb_entries"

  uint32_t get(const SystemConfig &c) const;
  void set(SystemConfig &c, uint32_t value) const;
};

// All rows, in the order in which they are printed.
const std::vector<Knob> &knobs();

// The row of a key, or NULL; or throws BadInput that begins with `where` and names the nearest key.
const Knob *known_knob(const std::string &key);
const Knob &find_knob(const std::string &key, const std::string &where);

// "unknown key `vtd.hwa`; the nearest is `vtd.haw`". A name without a section may be that of a section or of a knob.
std::string unknown_key(const std::string &key);

// Where settings come from, in the order in which they are applied.
struct ConfigSources {
  std::vector<std::string> files;    // --config: files or presets
  std::vector<std::string> settings; // --set KEY=VALUE
};

// The two options, so that they say the same everywhere. `purpose`: what the configuration goes over; and what they held.
void add_config_options(Options &o, const char *purpose);
ConfigSources config_sources(const Options &o);

struct Setting {
  const Knob *knob;
  uint32_t value;
};

// What a file's text, or one KEY=VALUE, sets; `name` stands in messages. All throw BadInput.
std::vector<Setting> read_json(const std::string &text, const std::string &name);
Setting read_setting(const std::string &setting);

// What all sources together set and what they leave alone: one row for each knob that is named, in the order of knobs().
std::vector<Setting> read_sources(const ConfigSources &sources);

// The same, into a configuration; apply_sources() then checks what depends on each other.
void apply_json(SystemConfig &c, const std::string &text, const std::string &name);
void apply_setting(SystemConfig &c, const std::string &setting);
void apply_sources(SystemConfig &c, const ConfigSources &sources);
void check_config(const SystemConfig &c, const std::string &where);

// The configuration as JSON, one key a line, with a newline at the end. `names`: these sections only; empty: all. Reading it
// back gives the same configuration.
std::string config_json(const SystemConfig &c, const std::vector<std::string> &names = {});

// All of it as a JSON Schema (draft 2020-12). `names` as above.
std::string config_schema(const std::vector<std::string> &names = {});

} // namespace ims
