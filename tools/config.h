// SPDX-License-Identifier: Apache-2.0
// The configuration: every knob of every architecture, read from JSON (comments allowed) and from KEY=VALUE. Keys are
// ARCH.NAME; in JSON {"vtd": {"iotlb_entries": 64}}. Rows come from the parts themselves (ims_option).
#pragma once

#include "trace/arch.h"
#include <string>
#include <vector>

namespace ims {

struct Knob {
  std::string section, key; // "vtd", "vtd.iotlb_entries"
  const char *name;         // "iotlb_entries"
  const char *sentence;
  uint32_t low, high, def;
  bool feature;  // a capability of the hardware, which a snapshot states in its registers
  size_t offset; // in struct Config

  uint32_t get(const Config &c) const;
  void set(Config &c, uint32_t value) const;
};

// All rows, in the order in which they are printed.
const std::vector<Knob> &knobs();

// The row of a key, or throws BadInput that begins with `where` and names the nearest key.
const Knob &find_knob(const std::string &key, const std::string &where);

// Where settings come from, in the order in which they are applied.
struct ConfigSources {
  std::string file;                  // --config; empty: none
  std::vector<std::string> settings; // --set KEY=VALUE
};

// Applies a file's text; `name` stands in messages. Applies one KEY=VALUE. Both throw BadInput.
void apply_json(Config &c, const std::string &text, const std::string &name);
void apply_setting(Config &c, const std::string &setting);

// File first, then settings, then the check of what depends on each other. Throws BadInput.
void apply_sources(Config &c, const ConfigSources &sources);
void check_config(const Config &c, const std::string &where);

// The configuration as JSON, one key a line, with a newline at the end. `sections`: these only; empty: all.
std::string config_json(const Config &c, const std::vector<std::string> &sections = {});

} // namespace ims
