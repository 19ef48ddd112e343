// SPDX-License-Identifier: Apache-2.0
// VT-d's structures in memory as a person reads them: fields by name, and what an entry leads to. Root and context entries
// (rev 4.1, 9.1 to 9.4), PASID directory and table entries (9.5, 9.6; rows of pasid/vtd.h), fault records (11.4.14).
#pragma once

#include "iommu/iommu.h"
#include "pasid/vtd.h"
#include "trace/structure.h"

namespace ims {

enum class VtdEntry {
  LEGACY_ROOT,
  SCALABLE_ROOT,
  LEGACY_CONTEXT,
  SCALABLE_CONTEXT,
  PASID_DIR,
  PASID_ENTRY,
  FAULT_RECORD
};

// Rows of an entry, in the order of its bits; and its length in words.
const std::vector<FieldRow> &vtd_fields(VtdEntry entry);
unsigned vtd_words(VtdEntry entry);

// Fields that are not zero, and P (or F) always. Bits that no row names and that are set come last, as `reserved`.
std::vector<Field> decode_vtd_entry(VtdEntry entry, const uint64_t *words, unsigned count);

// Which entry a step has read, from what it is, its length and the mode of the unit (TTM).
VtdEntry vtd_entry_of(unsigned structure, unsigned len, bool scalable);

// What follows from an entry: "PASID table at 0x3000". `devfn` and `pasid` are those of the request.
std::string vtd_entry_leads_to(VtdEntry entry, const uint64_t *words, const ims_request &req);

} // namespace ims
