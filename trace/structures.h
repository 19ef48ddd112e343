// SPDX-License-Identifier: Apache-2.0
// Every structure that hardware reads, by name: what a trace can write field by field.
#pragma once

#include "trace/structure.h"

namespace ims {

struct StructureInfo {
  const char *name, *sentence;
  const std::vector<FieldRow> *rows;
  unsigned words;
};

const std::vector<StructureInfo> &structures();
const StructureInfo *find_structure(std::string_view name);
const char *structure_words(); // their names joined by |

} // namespace ims
