// SPDX-License-Identifier: Apache-2.0
// The rows of commands.h as data.
#include "iommu/smmuv3/commands.h"
#include "pasid/bits.h"
#include <stddef.h>

static const struct ims_smmuv3_command_info rows[] = {
#define IMS_X(opcode_, name_, section_, needs_, fields_, sentence_)                                                    \
  {.name = #name_,                                                                                                     \
   .section = section_,                                                                                                \
   .sentence = sentence_,                                                                                              \
   .opcode = (opcode_),                                                                                                \
   .needs = IMS_SMMUV3_NEEDS_##needs_,                                                                                 \
   .fields = IMS_SMMUV3_CF(OP) | (fields_)},
    IMS_SMMUV3_COMMANDS(IMS_X)
#undef IMS_X
};
enum {
#define IMS_X(opcode_, name_, section_, needs_, fields_, sentence_) ROW_##name_,
  IMS_SMMUV3_COMMANDS(IMS_X)
#undef IMS_X
      ROWS
};

_Static_assert(IMS_SMMUV3_COMMAND_FIELD_COUNT <= 32, "one bit a field");

const struct ims_smmuv3_command_place ims_smmuv3_command_places[IMS_SMMUV3_COMMAND_FIELD_COUNT] = {
#define IMS_X(name_, low_, bits_, sentence_) {.name = #name_, .sentence = sentence_, .low = (low_), .bits = (bits_)},
    IMS_SMMUV3_COMMAND_FIELDS(IMS_X)
#undef IMS_X
};

const struct ims_smmuv3_command_info *ims_smmuv3_commands(unsigned i) { return i < ROWS ? &rows[i] : NULL; }

const struct ims_smmuv3_command_info *ims_smmuv3_command_find(unsigned opcode) {
  static const uint8_t row[256] = {
#define IMS_X(opcode_, name_, section_, needs_, fields_, sentence_) [opcode_] = ROW_##name_ + 1,
      IMS_SMMUV3_COMMANDS(IMS_X)
#undef IMS_X
  };
  return opcode < 256 && row[opcode] ? &rows[row[opcode] - 1] : NULL;
}

uint64_t ims_smmuv3_command_get(const uint64_t command[2], enum ims_smmuv3_command_field field) {
  const struct ims_smmuv3_command_place *p = &ims_smmuv3_command_places[field];
  return ims_bits_get(command, p->low, p->bits);
}

void ims_smmuv3_command_set(uint64_t command[2], enum ims_smmuv3_command_field field, uint64_t value) {
  const struct ims_smmuv3_command_place *p = &ims_smmuv3_command_places[field];
  ims_bits_set(command, p->low, p->bits, value);
}
