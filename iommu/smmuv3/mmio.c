// SPDX-License-Identifier: Apache-2.0
// Registers seen from software: access classes come from the field table, what a write sets off stands here.
// Arm IHI 0070, 6.2 and 6.3.
#include "iommu/smmuv3/smmuv3_internal.h"

const struct ims_reg_info ims_smmuv3_regs[IMS_SMMUV3_REG_COUNT] = {
#define IMS_X(name_, offset_, bytes_, reset_, section_, sentence_)                                                     \
  {.name = #name_,                                                                                                     \
   .section = (section_),                                                                                              \
   .sentence = (sentence_),                                                                                            \
   .offset = (offset_),                                                                                                \
   .bytes = (bytes_),                                                                                                  \
   .reset = (reset_)},
    IMS_SMMUV3_REGS(IMS_X)
#undef IMS_X
};

const struct ims_reg_field ims_smmuv3_fields[] = {
#define IMS_F(reg_, field_, high_, low_, access_, sentence_)                                                           \
  {.name = #field_,                                                                                                    \
   .sentence = (sentence_),                                                                                            \
   .reg = IMS_SMMUV3_##reg_,                                                                                           \
   .high = (high_),                                                                                                    \
   .low = (low_),                                                                                                      \
   .access = IMS_REG_##access_},
    IMS_SMMUV3_FIELDS(IMS_F)
#undef IMS_F
};
const unsigned ims_smmuv3_field_count = sizeof ims_smmuv3_fields / sizeof ims_smmuv3_fields[0];
