// SPDX-License-Identifier: Apache-2.0
#include "tools/config_preset.h"
#include "tools/error.h"
#include "tools/file.h"
#include "trace/nearest.h"

#include <algorithm>
#include <sys/stat.h>

namespace ims {

enum : size_t { LARGEST = 16u << 20 };

std::string Preset::title() const {
  size_t begin = text.find_first_not_of("/ ");
  return begin == text.npos ? "" : text.substr(begin, text.find('\n', begin) - begin);
}

const std::vector<Preset> &presets() {
  static const std::vector<Preset> all = [] {
    std::vector<Preset> made;
    for (const EmbeddedFile *f = embedded_presets; f->name; f++)
      made.push_back({f->name, std::string(reinterpret_cast<const char *>(f->bytes), f->size)});
    std::sort(made.begin(), made.end(), [](const Preset &a, const Preset &b) { return a.name < b.name; });
    return made;
  }();
  return all;
}

const Preset *find_preset(const std::string &name) {
  for (const Preset &p : presets())
    if (p.name == name)
      return &p;
  return nullptr;
}

ConfigText read_config(const std::string &argument) {
  struct stat st = {};
  bool is_path = argument.find('/') != argument.npos ||
                 (argument.size() >= 5 && argument.compare(argument.size() - 5, 5, ".json") == 0);
  if (is_path || (stat(argument.c_str(), &st) == 0 && !S_ISDIR(st.st_mode)))
    return {argument, read_file(argument, LARGEST)};
  if (const Preset *p = find_preset(argument))
    return {"preset " + p->name, p->text};
  std::vector<std::string> names;
  for (const Preset &p : presets())
    names.push_back(p.name);
  fail("--config: found no file and no preset %s; the nearest preset is `%s`", quoted(argument).c_str(),
       nearest(argument, names).c_str());
}

} // namespace ims
