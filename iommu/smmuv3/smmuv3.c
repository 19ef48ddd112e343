// SPDX-License-Identifier: Apache-2.0
// A unit put together: ID registers from named features, formats and caches from them, power-on, snapshots.
// Arm IHI 0070, 6.3.1 to 6.3.8 (identification), 3.11 (reset).
#include "iommu/smmuv3/smmuv3_internal.h"
#include <stdlib.h>

enum { SPAN = 0x20000 }; // page 0 and page 1

static const struct ims_option options[] = {
#define IMS_X(name, reg, lsb, bits, def, sentence)                                                                     \
  IMS_OPTION_FEATURE(ims_smmuv3_config, name, IMS_SMMUV3_##reg, lsb, bits, def, sentence)
    IMS_SMMUV3_FEATURES(IMS_X)
#undef IMS_X
#define IMS_X(name, def, low, high, unit, words, sentence)                                                             \
  IMS_OPTION_KNOB(ims_smmuv3_config, name, def, low, high, unit, words, sentence)
        IMS_SMMUV3_KNOBS(IMS_X)
#undef IMS_X
};
enum { OPTIONS = sizeof options / sizeof options[0] };

const struct ims_option *ims_smmuv3_options(unsigned i) { return i < OPTIONS ? &options[i] : NULL; }

void ims_smmuv3_config_default(struct ims_smmuv3_config *c) { ims_options_default(c, options, OPTIONS); }

uint32_t ims_smmuv3_id(const struct ims_smmuv3_config *c, enum ims_smmuv3_reg reg) {
  return (uint32_t)ims_options_show(c, options, OPTIONS, reg);
}

void ims_smmuv3_config_from_id(struct ims_smmuv3_config *c, enum ims_smmuv3_reg reg, uint32_t value) {
  ims_options_take(c, options, OPTIONS, reg, value);
}

unsigned ims_smmuv3_oas(const struct ims_smmuv3_config *c) {
  static const uint8_t bits[8] = {32, 36, 40, 42, 44, 48, 52, 52}; // 56 bits need 128-bit descriptors
  return bits[c->oas & 7];
}

const char *ims_smmuv3_config_check(const struct ims_smmuv3_config *c) {
  const struct ims_option *bad = ims_options_check(c, options, OPTIONS);
  if (bad)
    return bad->sentence;
  if (0 IMS_SMMUV3_CACHES(IMS_CACHE_ODD_PARTITIONS, c) IMS_CACHE_ODD_PARTITIONS(c, utlb, , , , ))
    return "the parts of a cache (partitions) are a power of two";
  if (c->utlb_entries && !c->iotlb_entries)
    return "a first-level IOTLB (utlb_entries) needs an IOTLB (iotlb_entries)";
  if (!c->s1p && !c->s2p)
    return "s1p or s2p must be there";
  if (!c->ttf)
    return "ttf must name a table format";
  if (c->httu == 3 && c->version < 4)
    return "httu = 3 needs version 4";
  if (c->ttendian == 1 || c->stall_model == 3 || c->st_level > 1 || c->vax > 1 || c->oas > 6 || c->bbml > 2)
    return "a reserved value: ttendian 1, stall_model 3, st_level 2, vax 2, oas 7 or bbml 3";
  if (c->sidsize > 32)
    return "sidsize is 32 at most";
  if (c->sidsize >= 7 && !c->st_level)
    return "sidsize of 7 and more needs two-level stream tables (st_level)";
  if (c->ssidsize > 20)
    return "ssidsize is 20 at most";
  if (c->cmdqs > 19 || c->eventqs > 19 || c->priqs > 19)
    return "a queue has 2^19 entries at most";
  if (!c->gran4k && !c->gran16k && !c->gran64k)
    return "one granule at least must be there";
  if (c->ds && c->oas != 6)
    return "ds needs oas = 6";
  if (c->pri && !c->ats)
    return "pri needs ats";
  if (c->ats && !c->s1p && c->ns1ats == 0)
    return "ats without s1p has no split stages: ns1ats must be set";
  return NULL;
}

static bool present(const struct smmuv3 *s, unsigned r) {
  switch (r) {
  case IMS_SMMUV3_PRIQ_BASE:
  case IMS_SMMUV3_PRIQ_PROD:
  case IMS_SMMUV3_PRIQ_CONS: return s->cfg.pri;
  case IMS_SMMUV3_PRIQ_IRQ_CFG0:
  case IMS_SMMUV3_PRIQ_IRQ_CFG1:
  case IMS_SMMUV3_PRIQ_IRQ_CFG2: return s->cfg.pri && s->cfg.msi;
  case IMS_SMMUV3_GERROR_IRQ_CFG0:
  case IMS_SMMUV3_GERROR_IRQ_CFG1:
  case IMS_SMMUV3_GERROR_IRQ_CFG2:
  case IMS_SMMUV3_EVENTQ_IRQ_CFG0:
  case IMS_SMMUV3_EVENTQ_IRQ_CFG1:
  case IMS_SMMUV3_EVENTQ_IRQ_CFG2: return s->cfg.msi;
  default: return true;
  }
}

static int build_registers(struct smmuv3 *s) {
  int err = ims_regfile_init(&s->regs, ims_smmuv3_regs, IMS_SMMUV3_REG_COUNT, ims_smmuv3_fields, ims_smmuv3_field_count,
                             SPAN);
  if (err)
    return err;
  for (unsigned r = 0; r < IMS_SMMUV3_REG_COUNT; r++) {
    if (!present(s, r))
      ims_regfile_remove(&s->regs, r);
    uint32_t id = ims_smmuv3_id(&s->cfg, (enum ims_smmuv3_reg)r);
    if (id)
      s->regs.reg[r] = id;
  }
  smmu_mmio_restrict(s);
  return IMS_ERR_OK;
}

static int build_caches(struct smmuv3 *s) {
  const struct ims_smmuv3_config *c = &s->cfg;
  const struct ims_cache_row rows[] = {
      IMS_CACHE_ROW(c, IMS_CACHE_CONTEXT, ste, sizeof(struct smmu_ste)),
      IMS_CACHE_ROW(c, IMS_CACHE_PASID, cd, sizeof(struct smmu_cd)),
      IMS_CACHE_ROWS_OF_TRANSLATIONS(c, ipa, s1_walk, s2_walk),
  };
  return ims_iommu_build_caches(&s->base, rows, sizeof rows / sizeof rows[0]);
}

static void smmu_free(struct ims_iommu *u) {
  struct smmuv3 *s = smmu_of(u);
  for (unsigned i = 0; i < IMS_CACHE_COUNT; i++)
    ims_cache_fini(&u->cache[i]);
  ims_regfile_fini(&s->regs);
  free(s->stall);
  free(s);
}

static const struct ims_iommu_ops ops = {
    .arch = "smmuv3",
    .begin = smmu_begin,
    .step = smmu_step,
    .finish = smmu_finish,
    .translate = smmu_translate,
    .page_request = smmu_page_request,
    .read = smmu_mmio_read,
    .write = smmu_mmio_write,
    .queue_next = smmu_queue_next,
    .queue_step = smmu_queue_step,
    .free = smmu_free,
};

int ims_smmuv3_new(struct ims_iommu **out, const struct ims_smmuv3_config *config, struct ims_mem *mem,
                   const struct ims_iommu_bus *bus) {
  *out = NULL;
  if (ims_smmuv3_config_check(config))
    return IMS_ERR_INVAL;
  struct smmuv3 *s = calloc(1, sizeof *s);
  if (!s)
    return IMS_ERR_NOMEM;
  s->base.ops = &ops;
  s->base.mem = mem;
  s->base.bus = bus ? *bus : (struct ims_iommu_bus){0};
  s->cfg = *config;
  s->oas = ims_smmuv3_oas(config);
  ims_vmsa_formats_init(&s->formats,
                        &(struct ims_vmsa_caps){.oas = (uint8_t)s->oas, .ds = config->ds, .xnx = config->xnx});
  ims_vmsa_formats_init(&s->formats_v7, &(struct ims_vmsa_caps){.oas = 40, .xnx = config->xnx});
  s->stall = calloc(config->stall_max + 1u, sizeof *s->stall);
  int err = s->stall ? build_registers(s) : IMS_ERR_NOMEM;
  if (!err)
    err = build_caches(s);
  if (err) {
    smmu_free(&s->base);
    return err;
  }
  *out = &s->base;
  return IMS_ERR_OK;
}

int ims_smmuv3_restore(struct ims_iommu *u, const char *name, uint64_t value) {
  struct smmuv3 *s = smmu_of(u);
  for (unsigned r = 0; r < IMS_SMMUV3_REG_COUNT; r++) {
    if (strcmp(name, ims_smmuv3_regs[r].name) || ims_smmuv3_id(&s->cfg, (enum ims_smmuv3_reg)r))
      continue;
    if (ims_smmuv3_regs[r].bytes == 4 && value >> 32)
      return IMS_ERR_RANGE;
    s->regs.reg[r] = value;
    return IMS_ERR_OK;
  }
  return IMS_ERR_NOENT;
}

void ims_smmuv3_restored(struct ims_iommu *u) {
  struct smmuv3 *s = smmu_of(u);
  SMMU_REG(s, CR0ACK) = SMMU_REG(s, CR0);
  SMMU_REG(s, IRQ_CTRLACK) = SMMU_REG(s, IRQ_CTRL);
  ims_iommu_drop_caches(u);
}

uint64_t ims_smmuv3_peek(const struct ims_iommu *u, enum ims_smmuv3_reg reg) {
  return ((const struct smmuv3 *)u)->regs.reg[reg];
}

const struct ims_smmuv3_config *ims_smmuv3_config_of(const struct ims_iommu *u) {
  return &((const struct smmuv3 *)u)->cfg;
}
