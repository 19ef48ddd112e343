// SPDX-License-Identifier: Apache-2.0
// How a module declares its knobs: one row each, from which its configuration struct, its defaults, the reading of JSON, the
// help and the documentation come. In a header:
//
//   #define IMS_LINK_KNOBS(N, T, U, W) N(lanes, 8, 1, 32, "lanes", "width of the link")
//                                      T(delay_ns, 200, 0, 1000000, "one way") W(replay, 0, off_on, "...")   (lines joined)
//   struct LinkConfig {
//     IMS_MODEL_FIELDS(IMS_LINK_KNOBS)
//     static const Part &part();
//   };
//
// and in the .cc: IMS_MODEL_PART(LinkConfig, "link", "the PCIe link", IMS_LINK_KNOBS)
//
// N is a number; T a time in ns, kept in ps; U a time in us, kept in ns; W one of several words, kept as their number.
#pragma once

#include "iommu/option.h"

#include <cstddef>
#include <vector>

namespace ims::model {

struct Part {
  const char *name, *sentence; // "link": its section in JSON, and the first word of its keys
  std::vector<ims_option> rows;
};

#define IMS_MODEL_FIELD_N(name, def, low, high, unit, sentence) uint32_t name = (def);
#define IMS_MODEL_FIELD_T(name, def, low, high, sentence)       uint32_t name = (def)*1000u;
#define IMS_MODEL_FIELD_W(name, def, words, sentence)           uint32_t name = (def);
#define IMS_MODEL_FIELDS(knobs)                                 knobs(IMS_MODEL_FIELD_N, IMS_MODEL_FIELD_T, IMS_MODEL_FIELD_T, IMS_MODEL_FIELD_W)

ims_option number_row(const char *name, size_t offset, uint32_t def, uint32_t low, uint32_t high, const char *unit,
                      const char *sentence);
ims_option time_row(const char *name, size_t offset, uint32_t def, uint32_t low, uint32_t high, const char *unit,
                    const char *sentence);
ims_option word_row(const char *name, size_t offset, uint32_t def, const char *const *words, const char *sentence);

#define IMS_MODEL_ROW_N(name, def, low, high, unit, sentence)                                                          \
  number_row(#name, offsetof(Config, name), (def), (low), (high), (unit), (sentence)),
#define IMS_MODEL_ROW_T(name, def, low, high, sentence)                                                                \
  time_row(#name, offsetof(Config, name), (def), (low), (high), "ns", (sentence)),
#define IMS_MODEL_ROW_U(name, def, low, high, sentence)                                                                \
  time_row(#name, offsetof(Config, name), (def), (low), (high), "us", (sentence)),
#define IMS_MODEL_ROW_W(name, def, words, sentence) word_row(#name, offsetof(Config, name), (def), (words), (sentence)),
#define IMS_MODEL_PART(type, name, sentence, knobs)                                                                    \
  const Part &type::part() {                                                                                           \
    using Config = type;                                                                                               \
    static const Part made{                                                                                            \
        (name), (sentence), {knobs(IMS_MODEL_ROW_N, IMS_MODEL_ROW_T, IMS_MODEL_ROW_U, IMS_MODEL_ROW_W)}};              \
    return made;                                                                                                       \
  }

extern const char *const off_on[]; // "off", "on"

} // namespace ims::model
