// SPDX-License-Identifier: Apache-2.0
// Fault reasons of VT-d, rev 4.1 chapter 7 (tables of DMA-remapping fault conditions): one row each.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// X(code, name, qualified, ats, sentence)
//   qualified: FPD of the structures read so far suppresses the record; ALWAYS: nothing does
//   ats: how a translation request is answered: R0 success without rights and without a record, UR, CA
// The ATS column is not told by any public source but for the recoverable codes; see docs/vtd.md, decisions.
// clang-format off
#define IMS_VTD_FAULTS(X)                                                                                  \
  X(0x01, LRT_2,   ALWAYS,    UR, "legacy root entry not present")                                         \
  X(0x02, LCT_2,   QUALIFIED, UR, "legacy context entry not present")                                      \
  X(0x03, LCT_4,   QUALIFIED, CA, "legacy context entry: AW or TT not supported, or SSPTPTR unreadable")   \
  X(0x04, LGN_1,   QUALIFIED, R0, "address beyond the width that the context entry allows")                \
  X(0x05, LGN_2,   QUALIFIED, R0, "write not permitted")                                                   \
  X(0x06, LGN_3,   QUALIFIED, R0, "read not permitted")                                                    \
  X(0x07, LSS_1,   QUALIFIED, CA, "second-stage entry unreadable")                                         \
  X(0x08, LRT_1,   ALWAYS,    CA, "legacy root entry unreadable")                                          \
  X(0x09, LCT_1,   ALWAYS,    CA, "legacy context entry unreadable")                                       \
  X(0x0a, LRT_3,   ALWAYS,    CA, "reserved bit in legacy root entry")                                     \
  X(0x0b, LCT_3,   QUALIFIED, CA, "reserved bit in legacy context entry")                                  \
  X(0x0c, LSS_2,   QUALIFIED, CA, "reserved bit in second-stage entry")                                    \
  X(0x0d, LCT_5,   QUALIFIED, UR, "translation or translated request blocked by TT")                       \
  X(0x0e, LGN_4,   QUALIFIED, UR, "result in the interrupt range")                                         \
  X(0x29, IRT_9,   ALWAYS,    UR, "untranslated request to the interrupt range that is no interrupt")      \
  X(0x30, RTA_1,   ALWAYS,    UR, "RTADDR.TTM reserved or not supported")                                  \
  X(0x31, RTA_2,   ALWAYS,    UR, "request with PASID in legacy mode")                                     \
  X(0x32, RTA_3,   ALWAYS,    UR, "page request in legacy mode")                                           \
  X(0x38, SRT_1,   ALWAYS,    CA, "scalable root entry unreadable")                                        \
  X(0x39, SRT_2,   ALWAYS,    UR, "scalable root entry not present")                                       \
  X(0x3a, SRT_3,   ALWAYS,    CA, "reserved bit in scalable root entry")                                   \
  X(0x40, SCT_1,   ALWAYS,    CA, "scalable context entry unreadable")                                     \
  X(0x41, SCT_2,   QUALIFIED, UR, "scalable context entry not present")                                    \
  X(0x42, SCT_3,   QUALIFIED, CA, "reserved bit in scalable context entry")                                \
  X(0x43, SCT_4,   QUALIFIED, CA, "RID_PASID beyond the PASID directory")                                  \
  X(0x44, SCT_5,   QUALIFIED, UR, "translation or translated request with DTE=0")                          \
  X(0x45, SCT_6,   QUALIFIED, UR, "request with PASID with PASIDE=0")                                      \
  X(0x46, SCT_7,   QUALIFIED, UR, "PASID beyond the PASID directory")                                      \
  X(0x47, SCT_8,   QUALIFIED, UR, "page request with PRE=0")                                               \
  X(0x50, SPD_1,   ALWAYS,    CA, "PASID directory entry unreadable")                                      \
  X(0x51, SPD_2,   QUALIFIED, R0, "PASID directory entry not present")                                     \
  X(0x52, SPD_3,   QUALIFIED, CA, "reserved bit in PASID directory entry")                                 \
  X(0x58, SPT_1,   ALWAYS,    CA, "PASID table entry unreadable")                                          \
  X(0x59, SPT_2,   QUALIFIED, R0, "PASID table entry not present")                                         \
  X(0x5a, SPT_3,   QUALIFIED, CA, "reserved bit in PASID table entry")                                     \
  X(0x5b, SPT_4,   QUALIFIED, CA, "PASID table entry: PGTT, AW or FSPM not supported")                     \
  X(0x5c, SPT_5,   QUALIFIED, R0, "execute request with ERE=0")                                            \
  X(0x5d, SPT_6,   QUALIFIED, R0, "privileged request with SRE=0")                                         \
  X(0x70, SFS_1,   QUALIFIED, R0, "first-stage entry unreadable")                                          \
  X(0x71, SFS_2,   QUALIFIED, R0, "first-stage entry not present")                                         \
  X(0x72, SFS_3,   QUALIFIED, R0, "reserved bit in first-stage entry")                                     \
  X(0x73, SFS_4,   QUALIFIED, R0, "first-stage root table unreadable")                                     \
  X(0x74, SFS_5,   QUALIFIED, R0, "nested: address of a first-stage entry beyond the second stage")        \
  X(0x75, SFS_6,   QUALIFIED, R0, "nested: no second-stage read right for the first-stage root table")     \
  X(0x76, SFS_7,   QUALIFIED, R0, "nested: no second-stage read right for a first-stage table")            \
  X(0x77, SFS_8,   QUALIFIED, R0, "nested: no second-stage write right to set A, EA or D")                 \
  X(0x78, SSS_1,   QUALIFIED, CA, "second-stage entry unreadable")                                         \
  X(0x79, SSS_2,   QUALIFIED, R0, "second stage permits nothing (R=W=0)")                                  \
  X(0x7a, SSS_3,   QUALIFIED, CA, "reserved bit in second-stage entry")                                    \
  X(0x7b, SSS_4,   QUALIFIED, CA, "second-stage root table unreadable")                                    \
  X(0x7c, SSS_5,   QUALIFIED, CA, "second-stage A or D is due, but PWSNP=0")                               \
  X(0x7d, SSS_6,   QUALIFIED, CA, "second-stage A or D could not be set")                                  \
  X(0x80, SGN_1,   QUALIFIED, R0, "address not canonical")                                                 \
  X(0x81, SGN_2,   QUALIFIED, R0, "user request to a supervisor page")                                     \
  X(0x82, SGN_3,   QUALIFIED, R0, "execution not permitted")                                               \
  X(0x83, SGN_4,   QUALIFIED, UR, "pass-through or translated address beyond the host width")              \
  X(0x84, SGN_5,   QUALIFIED, R0, "address beyond the second stage")                                       \
  X(0x85, SGN_6,   QUALIFIED, R0, "write not permitted")                                                   \
  X(0x86, SGN_7,   QUALIFIED, R0, "read not permitted by the second stage")                                \
  X(0x87, SGN_8,   QUALIFIED, UR, "result in the interrupt range")                                         \
  X(0x90, SFS_9,   QUALIFIED, CA, "first-stage A, EA or D is due, but the walk is not snooped")            \
  X(0x91, SFS_10,  QUALIFIED, CA, "first-stage A, EA or D could not be set")
// clang-format on

enum ims_vtd_fault {
#define IMS_X(code, name, qualified, ats, sentence) IMS_VTD_FR_##name = (code),
  IMS_VTD_FAULTS(IMS_X)
#undef IMS_X
};

struct ims_vtd_fault_info {
  uint16_t code;
  const char *name; // "SGN.6"
  bool qualified;
  uint8_t ats; // enum ims_completion
  const char *sentence;
};

// The row of a fault reason, or NULL. Static storage. ims_vtd_faults(i) walks the table, NULL behind the last row.
const struct ims_vtd_fault_info *ims_vtd_fault_find(unsigned code);
const struct ims_vtd_fault_info *ims_vtd_faults(unsigned i);

#ifdef __cplusplus
}
#endif
