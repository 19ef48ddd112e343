// SPDX-License-Identifier: Apache-2.0
// Page-table entries as a person reads them: their bits by name, and what they lead to. All formats of pgtable/format.h.
#pragma once

#include "pgtable/format.h"
#include <string>

namespace ims {

// What an entry, in the order of its bits (not as big-endian tables have it in memory), says.
struct PagingEntry {
  std::string bits;    // "P RW US A"; "RW EL0 AF nG ISH Attr1"
  std::string follows; // "-> gpa 0x5000", "4 KB page 0x7000", "not present"
  bool bad = false;    // the walk ends here with a fault
};

// `middle`: how an address between the stages is called when the entry holds one ("gpa"), else empty.
PagingEntry describe_paging_entry(const ims_pgt &p, unsigned level, uint64_t e, const std::string &middle);

// What an update of hardware did, by name: "A D", "AF", "AP[2]=0".
std::string update_text(const ims_pgt &p, uint64_t before, uint64_t after);

} // namespace ims
