// SPDX-License-Identifier: Apache-2.0
// Register files: values, masks from the field table, and the split of accesses into registers.
#include "iommu/regfile.h"
#include <stdlib.h>

int ims_regfile_init(struct ims_regfile *f, const struct ims_reg_info *info, unsigned count,
                     const struct ims_reg_field *fields, unsigned field_count, uint32_t span) {
  *f = (struct ims_regfile){.info = info, .count = count, .span = span};
  f->reg = calloc(count, sizeof *f->reg);
  f->mask = calloc(count, sizeof *f->mask);
  f->at = calloc(span / 4, sizeof *f->at);
  if (!f->reg || !f->mask || !f->at) {
    ims_regfile_fini(f);
    return IMS_ERR_NOMEM;
  }
  for (unsigned r = 0; r < count; r++) {
    f->reg[r] = info[r].reset;
    for (unsigned b = 0; b < info[r].bytes; b += 4)
      f->at[(info[r].offset + b) / 4] = (uint8_t)(r + 1);
  }
  for (unsigned i = 0; i < field_count; i++) {
    uint64_t bits = IMS_REG_BITS(fields[i].high, fields[i].low);
    struct ims_reg_masks *m = &f->mask[fields[i].reg];
    switch ((enum ims_reg_access)fields[i].access) {
    case IMS_REG_RO: break;
    case IMS_REG_RW: m->rw |= bits; break;
    case IMS_REG_WO: m->wo |= bits; break;
    case IMS_REG_W1C: m->w1c |= bits; break;
    case IMS_REG_CMD: m->cmd |= bits; break;
    }
  }
  return IMS_ERR_OK;
}

void ims_regfile_fini(struct ims_regfile *f) {
  free(f->reg);
  free(f->mask);
  free(f->at);
  *f = (struct ims_regfile){0};
}

void ims_regfile_remove(struct ims_regfile *f, unsigned reg) {
  f->reg[reg] = 0;
  for (unsigned b = 0; b < f->info[reg].bytes; b += 4)
    f->at[(f->info[reg].offset + b) / 4] = 0;
}

static bool fits(const struct ims_regfile *f, uint32_t offset, unsigned size) {
  return (size == 4 || size == 8) && offset % size == 0 && offset < f->span && size <= f->span - offset;
}

uint64_t ims_regfile_read(const struct ims_regfile *f, uint32_t offset, unsigned size) {
  if (!fits(f, offset, size))
    return 0;
  unsigned at = f->at[offset / 4];
  if (at && f->info[at - 1].bytes == 8) {
    uint64_t value = f->reg[at - 1] & ~f->mask[at - 1].wo;
    return size == 8 ? value : offset % 8 ? value >> 32 : value & 0xffffffff;
  }
  uint64_t value = at ? f->reg[at - 1] & ~f->mask[at - 1].wo : 0;
  return size == 8 ? value | ims_regfile_read(f, offset + 4, 4) << 32 : value;
}

void ims_regfile_write(struct ims_regfile *f, uint32_t offset, unsigned size, uint64_t value, ims_reg_store store,
                       void *ctx) {
  if (!fits(f, offset, size))
    return;
  unsigned at = f->at[offset / 4];
  if (at && f->info[at - 1].bytes == 8) {
    unsigned shift = offset % 8 ? 32 : 0;
    if (size == 8)
      store(ctx, at - 1, ~0ull, value);
    else
      store(ctx, at - 1, 0xffffffffull << shift, (value & 0xffffffff) << shift);
    return;
  }
  if (at)
    store(ctx, at - 1, 0xffffffff, value & 0xffffffff);
  if (size == 8)
    ims_regfile_write(f, offset + 4, 4, value >> 32, store, ctx);
}

bool ims_regfile_store(struct ims_regfile *f, unsigned reg, uint64_t lanes, uint64_t value) {
  const struct ims_reg_masks *m = &f->mask[reg];
  uint64_t stored = (m->rw | m->wo) & lanes;
  f->reg[reg] = (f->reg[reg] & ~stored) | (value & stored);
  f->reg[reg] &= ~(value & m->w1c & lanes);
  return (m->rw | m->wo | m->w1c | m->cmd) & lanes;
}
