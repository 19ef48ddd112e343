// SPDX-License-Identifier: Apache-2.0
// Faults of SMMUv2 (Arm IHI 0062), one row each: what ims_result.fault holds. A context fault has the number of its bit in
// a bank's FSR, 1 to 8; a global fault that of its bit in sGFSR, from 16 on.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { IMS_SMMUV2_GLOBAL = 16 }; // added to the bit of a global fault

// clang-format off
// X(code, name, kind, sentence). kind: CONTEXT or GLOBAL_FAULT. The name is the bit's.
#define IMS_SMMUV2_FAULTS(X)                                                                                          \
  X(1,  TF,     CONTEXT, "no translation, or an address beyond the range of the tables")                              \
  X(2,  AFF,    CONTEXT, "access flag clear")                                                                         \
  X(3,  PF,     CONTEXT, "not permitted")                                                                             \
  X(4,  EF,     CONTEXT, "table unreadable")                                                                          \
  X(7,  ASF,    CONTEXT, "table or output address beyond its size")                                                   \
  X(16, ICF,    GLOBAL_FAULT, "the stream or its bank is configured to fault, or not to work")                        \
  X(17, USF,    GLOBAL_FAULT, "no stream match entry for the stream id")                                              \
  X(18, SMCF,   GLOBAL_FAULT, "several stream match entries for the stream id")                                       \
  X(19, UCBF,   GLOBAL_FAULT, "context bank not implemented")                                                         \
  X(24, UUT,    GLOBAL_FAULT, "request with PASID, or of ATS: the unit has neither")
// clang-format on

// The names carry what they are a fault of, since FSR and sGFSR share some: IMS_SMMUV2_TF, IMS_SMMUV2_UUT.
enum ims_smmuv2_fault {
#define IMS_X(code, name, kind, sentence) IMS_SMMUV2_##name = (code),
  IMS_SMMUV2_FAULTS(IMS_X)
#undef IMS_X
};

struct ims_smmuv2_fault_info {
  uint16_t code;
  const char *name; // "TF"
  bool global;
  const char *sentence;
};

// The row of a fault, or NULL. Static storage. ims_smmuv2_faults(i) walks the table, NULL behind the last row.
const struct ims_smmuv2_fault_info *ims_smmuv2_fault_find(unsigned code);
const struct ims_smmuv2_fault_info *ims_smmuv2_faults(unsigned i);

#ifdef __cplusplus
}
#endif
