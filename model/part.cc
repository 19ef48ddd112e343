// SPDX-License-Identifier: Apache-2.0
#include "model/part.h"

namespace ims::model {

const char *const off_on[] = {"off", "on", nullptr};

ims_option number_row(const char *name, size_t offset, uint32_t def, uint32_t low, uint32_t high, const char *unit,
                      const char *sentence) {
  ims_option o = {};
  o.name = name;
  o.sentence = sentence;
  o.offset = offset;
  o.low = low;
  o.high = high;
  o.def = def;
  o.unit = unit;
  return o;
}

ims_option time_row(const char *name, size_t offset, uint32_t def, uint32_t low, uint32_t high, const char *unit,
                    const char *sentence) {
  ims_option o = number_row(name, offset, def * 1000, low * 1000, high * 1000, unit, sentence);
  o.scale = 1000;
  return o;
}

ims_option word_row(const char *name, size_t offset, uint32_t def, const char *const *words, const char *sentence) {
  uint32_t last = 0;
  while (words[last + 1])
    last++;
  ims_option o = number_row(name, offset, def, 0, last, "", sentence);
  o.words = words;
  return o;
}

} // namespace ims::model
