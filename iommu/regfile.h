// SPDX-License-Identifier: Apache-2.0
// Register files, the same for every IOMMU: rows of registers and fields are declared once in the architecture's regs.h;
// this stores values, applies access classes, and splits accesses of 4 and 8 bytes into registers.
#pragma once

#include "mem/error.h"
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IMS_REG_BITS(high, low) ((~0ull >> (63 - (high))) & (~0ull << (low)))

// Access classes of a field. Reserved bits, which have no row, read 0 and ignore writes.
//   RO   software reads; hardware sets        RW   read and write
//   WO   written, reads 0                     W1C  writing 1 clears (sticky ones too)
//   CMD  written to start a command; hardware clears it when done
enum ims_reg_access { IMS_REG_RO, IMS_REG_RW, IMS_REG_WO, IMS_REG_W1C, IMS_REG_CMD };

struct ims_reg_info {
  const char *name, *section, *sentence;
  uint32_t offset, bytes; // bytes: 4 or 8
  uint64_t reset;
};

struct ims_reg_field {
  const char *name, *sentence;
  uint8_t reg, high, low, access; // access: enum ims_reg_access
};

// Rows out of the X-macros of an architecture's regs.h. `reg`: the register's number there.
#define IMS_REG_ROW(name_, offset_, bytes_, reset_, section_, sentence_)                                               \
  {.name = #name_,                                                                                                     \
   .section = (section_),                                                                                              \
   .sentence = (sentence_),                                                                                            \
   .offset = (offset_),                                                                                                \
   .bytes = (bytes_),                                                                                                  \
   .reset = (reset_)},
#define IMS_REG_FIELD_ROW(reg_, name_, high_, low_, access_, sentence_)                                                \
  {.name = #name_, .sentence = (sentence_), .reg = (reg_), .high = (high_), .low = (low_), .access = IMS_REG_##access_},

// Masks of a register by access class.
struct ims_reg_masks {
  uint64_t rw, w1c, cmd, wo;
};

struct ims_regfile {
  const struct ims_reg_info *info;
  unsigned count;
  uint32_t span;              // bytes of address space; accesses beyond read 0 and write nothing
  uint64_t *reg;              // values, by register
  struct ims_reg_masks *mask; // by register
  uint8_t *at;                // by offset / 4: register + 1, 0 = none
};

// Registers at their reset values. At most 255 registers, offsets below `span`. NOMEM. ims_regfile_fini releases.
int ims_regfile_init(struct ims_regfile *f, const struct ims_reg_info *info, unsigned count,
                     const struct ims_reg_field *fields, unsigned field_count, uint32_t span);
void ims_regfile_fini(struct ims_regfile *f);

// A register that this unit does not have: reads 0, writes nothing.
void ims_regfile_remove(struct ims_regfile *f, unsigned reg);

// What software reads (WO fields read 0). size 4 or 8, aligned; 8 bytes over two 4-byte registers reads both.
uint64_t ims_regfile_read(const struct ims_regfile *f, uint32_t offset, unsigned size);

// Splits a write into registers, lowest first. `store` is told of each: the lanes written (in the register's own bits)
// and the value in place; it applies side effects and calls ims_regfile_store unless the register is locked.
typedef void (*ims_reg_store)(void *ctx, unsigned reg, uint64_t lanes, uint64_t value);
void ims_regfile_write(struct ims_regfile *f, uint32_t offset, unsigned size, uint64_t value, ims_reg_store store,
                       void *ctx);

// Applies access classes: RW and WO bits take the value, W1C bits clear, the others stay. True: some bit of the lanes
// can be written at all.
bool ims_regfile_store(struct ims_regfile *f, unsigned reg, uint64_t lanes, uint64_t value);

#ifdef __cplusplus
}
#endif
