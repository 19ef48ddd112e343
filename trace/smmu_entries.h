// SPDX-License-Identifier: Apache-2.0
// SMMUv3's structures in memory as a person reads them: fields by name, what of them is ignored, and what an entry leads to.
// Arm IHI 0070 5.1 (level-1 stream table descriptor), 5.2 (STE), 5.3 (level-1 CD), 5.4 (CD), 7.3 (events); rows of
// pasid/smmu.h and iommu/smmuv3/events.h.
#pragma once

#include "iommu/iommu.h"
#include "trace/structure.h"

namespace ims {

enum class SmmuEntry { STREAM_L1, STE, CD_L1, CD };

const std::vector<FieldRow> &smmu_fields(SmmuEntry entry);
unsigned smmu_words(SmmuEntry entry);

// Fields that are not zero, and V and Config always. Those that do not count here say so.
std::vector<Field> decode_smmu_entry(SmmuEntry entry, const uint64_t *words);

// What is known when an entry is read.
struct SmmuContext {
  const ims_request *request = nullptr;
  unsigned split = 6;  // of the stream table
  bool nested = false; // the CD and its tables lie behind stage 2
  unsigned s1fmt = 0;  // of the STE, where it is known
};
std::string smmu_entry_leads_to(SmmuEntry entry, const uint64_t *words, const SmmuContext &c);

// The fields that the record of this event has.
std::vector<Field> decode_smmu_event(const uint64_t record[4]);

// Address fields: the address's lowest bit; others 0.
unsigned smmu_event_shift(unsigned field);

// A memory type as a MAIR byte, and shareability: "Normal WB", "Device-nGnRE"; "ISH".
std::string memory_text(unsigned attr);
const char *shareability_text(unsigned sh);

} // namespace ims
