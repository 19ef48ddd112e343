// SPDX-License-Identifier: Apache-2.0
// Presets: the files configs/*.json, which are in the program itself, and files that people have.
#pragma once

#include <string>
#include <vector>

namespace ims {

// Out of the source that the build makes of configs/; ended by one without a name.
struct EmbeddedFile {
  const char *name; // "xeon"
  const unsigned char *bytes;
  size_t size;
};
extern const EmbeddedFile embedded_presets[];

struct Preset {
  std::string name, text;
  std::string title() const; // its first line, which is a comment
};
const std::vector<Preset> &presets(); // by name
const Preset *find_preset(const std::string &name);

struct ConfigText {
  std::string name, text; // the name for messages
};

// What --config names: a file if there is one of that name, or it has a slash or ends in .json; else a preset. Throws
// BadInput: cannot be read, or unknown (which names the nearest preset).
ConfigText read_config(const std::string &argument);

} // namespace ims
