// SPDX-License-Identifier: Apache-2.0
#include "tools/system_config.h"

namespace ims {

static size_t offset_in(const SystemConfig &c, const void *part) {
  return static_cast<size_t>(static_cast<const char *>(part) - reinterpret_cast<const char *>(&c));
}

const std::vector<Section> &sections() {
  static const std::vector<Section> all = [] {
    std::vector<Section> made;
    SystemConfig c;
    for (const Arch *a : arches()) {
      Section s{a->name, a->title, a, offset_in(c, a->config(c)), {}};
      for (unsigned i = 0; const ims_option *o = a->option(i); i++)
        s.rows.push_back(*o);
      made.push_back(s);
    }
#define IMS_X(member, type)                                                                                            \
  {                                                                                                                    \
    const model::Part &p = model::type::part();                                                                        \
    made.push_back({p.name, p.sentence, nullptr, offset_in(c, &c.member), p.rows});                                    \
  }
    IMS_SYSTEM_PARTS(IMS_X)
#undef IMS_X
    return made;
  }();
  return all;
}

} // namespace ims
