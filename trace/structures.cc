// SPDX-License-Identifier: Apache-2.0
#include "trace/structures.h"
#include "trace/smmu_entries.h"
#include "trace/vtd_entries.h"

namespace ims {

const std::vector<StructureInfo> &structures() {
  auto vtd = [](const char *name, const char *sentence, VtdEntry e) -> StructureInfo {
    return {name, sentence, &vtd_fields(e), vtd_words(e)};
  };
  auto smmu = [](const char *name, const char *sentence, SmmuEntry e) -> StructureInfo {
    return {name, sentence, &smmu_fields(e), smmu_words(e)};
  };
  static const std::vector<StructureInfo> all = {
      smmu("STE", "SMMUv3: stream table entry", SmmuEntry::STE),
      smmu("L1STD", "SMMUv3: level-1 stream table descriptor", SmmuEntry::STREAM_L1),
      smmu("CD", "SMMUv3: context descriptor", SmmuEntry::CD),
      smmu("L1CD", "SMMUv3: level-1 CD table descriptor", SmmuEntry::CD_L1),
      vtd("ROOT", "VT-d: scalable-mode root entry", VtdEntry::SCALABLE_ROOT),
      vtd("CONTEXT", "VT-d: scalable-mode context entry", VtdEntry::SCALABLE_CONTEXT),
      vtd("PASID_DIR", "VT-d: PASID directory entry", VtdEntry::PASID_DIR),
      vtd("PASID", "VT-d: PASID table entry", VtdEntry::PASID_ENTRY),
      vtd("LEGACY_ROOT", "VT-d: legacy root entry", VtdEntry::LEGACY_ROOT),
      vtd("LEGACY_CONTEXT", "VT-d: legacy context entry", VtdEntry::LEGACY_CONTEXT),
  };
  return all;
}

const StructureInfo *find_structure(std::string_view name) {
  for (const StructureInfo &s : structures())
    if (name == s.name)
      return &s;
  return nullptr;
}

const char *structure_words() {
  static const std::string words = [] {
    std::string text;
    for (const StructureInfo &s : structures())
      text += (text.empty() ? "" : "|") + std::string(s.name);
    return text;
  }();
  return words.c_str();
}

} // namespace ims
