// SPDX-License-Identifier: Apache-2.0
// A unit put together: ID registers from named features, formats and caches from them, power-on, snapshots.
// Arm IHI 0062, identification registers and the address map.
#include "iommu/smmuv2/smmuv2_internal.h"
#include <stdio.h>
#include <stdlib.h>

static const struct ims_option options[] = {
#define IMS_X(name, reg, lsb, bits, def, sentence)                                                                     \
  IMS_OPTION_FEATURE(ims_smmuv2_config, name, IMS_SMMUV2_##reg, lsb, bits, def, sentence)
    IMS_SMMUV2_FEATURES(IMS_X)
#undef IMS_X
#define IMS_X(name, def, low, high, unit, words, sentence)                                                             \
  IMS_OPTION_KNOB(ims_smmuv2_config, name, def, low, high, unit, words, sentence)
        IMS_SMMUV2_KNOBS(IMS_X)
#undef IMS_X
};
enum { OPTIONS = sizeof options / sizeof options[0] };

const struct ims_option *ims_smmuv2_options(unsigned i) { return i < OPTIONS ? &options[i] : NULL; }

void ims_smmuv2_config_default(struct ims_smmuv2_config *c) { ims_options_default(c, options, OPTIONS); }

uint32_t ims_smmuv2_id(const struct ims_smmuv2_config *c, enum ims_smmuv2_gr0 reg) {
  return (uint32_t)ims_options_show(c, options, OPTIONS, reg);
}

void ims_smmuv2_config_from_id(struct ims_smmuv2_config *c, enum ims_smmuv2_gr0 reg, uint32_t value) {
  ims_options_take(c, options, OPTIONS, reg, value);
  if (c->ptfs == 0)
    c->ptfs = 1;
  c->atosns = 1;
  c->hafdbs = 0;
}

static unsigned bits_of(uint32_t code, unsigned widest) {
  static const uint8_t bits[] = {32, 36, 40, 42, 44};
  return code < sizeof bits ? bits[code] : widest;
}

unsigned ims_smmuv2_oas(const struct ims_smmuv2_config *c) { return bits_of(c->oas, 48); }
unsigned ims_smmuv2_ias(const struct ims_smmuv2_config *c) { return bits_of(c->ias, 48); }
unsigned ims_smmuv2_ubs(const struct ims_smmuv2_config *c) { return bits_of(c->ubs, 49); }

static uint32_t page_bytes(const struct ims_smmuv2_config *c) { return c->pagesize ? 0x10000 : 0x1000; }
static uint32_t half_pages(const struct ims_smmuv2_config *c) { return 2u << c->numpagendxb; }

uint32_t ims_smmuv2_gr1_offset(const struct ims_smmuv2_config *c) { return page_bytes(c); }
uint32_t ims_smmuv2_cb_offset(const struct ims_smmuv2_config *c, unsigned bank) {
  return (half_pages(c) + bank) * page_bytes(c);
}
uint32_t ims_smmuv2_span(const struct ims_smmuv2_config *c) { return 2 * half_pages(c) * page_bytes(c); }

unsigned ims_smmuv2_groups(const struct ims_smmuv2_config *c) {
  if (c->sms)
    return c->numsmrg;
  return c->numsidb < 8 ? 1u << c->numsidb : 256;
}

const char *ims_smmuv2_config_check(const struct ims_smmuv2_config *c) {
  const struct ims_option *bad = ims_options_check(c, options, OPTIONS);
  if (bad)
    return bad->sentence;
  if (0 IMS_SMMUV2_CACHES(IMS_CACHE_ODD_PARTITIONS, c) IMS_CACHE_ODD_PARTITIONS(c, utlb, , , , ))
    return "the parts of a cache (partitions) are a power of two";
  if (c->utlb_entries && !c->iotlb_entries)
    return "a first-level IOTLB (utlb_entries) needs an IOTLB (iotlb_entries)";
  if (!c->s1ts && !c->s2ts)
    return "s1ts or s2ts must be there";
  if (c->nts && (!c->s1ts || !c->s2ts))
    return "nts needs s1ts and s2ts";
  if (c->ptfs == 0 || c->ptfs == 3)
    return "ptfs is 1 or 2: short descriptors are not modelled";
  if (!c->atosns)
    return "atosns is 1: address translation operations are not modelled";
  if (c->hafdbs)
    return "hafdbs is 0: hardware updates are not modelled";
  if (c->ptfs == 2 && !c->gran4k && !c->gran16k && !c->gran64k)
    return "one table format at least must be there: ptfs = 1 or a granule";
  if (c->ias > 5 || c->oas > 5 || c->ubs > 5)
    return "ias, oas and ubs are 5 at most";
  if (c->sms && !c->numsmrg)
    return "stream matching (sms) needs groups (numsmrg)";
  if (c->numsmrg > 128 && !c->exsmrgs)
    return "more than 128 groups (numsmrg) need exsmrgs";
  if (!c->numcb || c->numcb > 128)
    return "numcb is 1 to 128";
  if (c->numcb > half_pages(c))
    return "numcb must fit the pages of a half: 2^(numpagendxb + 1)";
  if (c->nums2cb > c->numcb)
    return "nums2cb is numcb at most";
  if (!c->numirpt)
    return "numirpt is 1 at least";
  return NULL;
}

static int build_registers(struct smmuv2 *s) {
  int err = ims_regfile_init(&s->gr0, ims_smmuv2_gr0_regs, IMS_SMMUV2_GR0_COUNT, ims_smmuv2_gr0_fields,
                             ims_smmuv2_gr0_field_count, 0x1000);
  if (!err)
    err = ims_regfile_init(&s->gr1, ims_smmuv2_gr1_regs, IMS_SMMUV2_GR1_COUNT, ims_smmuv2_gr1_fields,
                           ims_smmuv2_gr1_field_count, 0x1000);
  if (!err)
    err = ims_regfile_init(&s->cb, ims_smmuv2_cb_regs, IMS_SMMUV2_CB_COUNT, ims_smmuv2_cb_fields,
                           ims_smmuv2_cb_field_count, 0x1000);
  if (err)
    return err;
  for (unsigned r = 0; r < IMS_SMMUV2_GR0_COUNT; r++) {
    uint32_t id = ims_smmuv2_id(&s->cfg, (enum ims_smmuv2_gr0)r);
    if (id)
      s->gr0.reg[r] = id;
  }
  // Fields of features that are not there read 0.
  if (!s->cfg.exids) {
    s->gr0.mask[IMS_SMMUV2_sCR0].rw &= ~IMS_SMMUV2_BITS(sCR0_EXIDENABLE);
    s->gr0.mask[IMS_SMMUV2_S2CR].rw &= ~IMS_SMMUV2_BITS(S2CR_EXIDVALID);
  }
  if (!s->cfg.vmid16s) {
    s->gr0.mask[IMS_SMMUV2_sCR0].rw &= ~IMS_SMMUV2_BITS(sCR0_VMID16EN);
    s->gr1.mask[IMS_SMMUV2_CBA2R].rw &= ~IMS_SMMUV2_BITS(CBA2R_VMID16);
  }
  if (!s->cfg.gran4k && !s->cfg.gran16k && !s->cfg.gran64k)
    s->gr1.mask[IMS_SMMUV2_CBA2R].rw &= ~IMS_SMMUV2_BITS(CBA2R_VA64);
  for (unsigned i = 0; i < s->groups; i++)
    s->s2cr[i] = (uint32_t)s->gr0.reg[IMS_SMMUV2_S2CR];
  for (unsigned n = 0; n < s->cfg.numcb; n++) {
    memcpy(s->bank[n].reg, s->cb.reg, sizeof s->bank[n].reg);
    for (unsigned r = 0; r < IMS_SMMUV2_GR1_COUNT; r++)
      s->bank[n].gr1[r] = (uint32_t)s->gr1.reg[r];
  }
  smmu2_changed(s);
  return IMS_ERR_OK;
}

static int build_caches(struct smmuv2 *s) {
  const struct ims_smmuv2_config *c = &s->cfg;
  const struct ims_cache_row rows[] = {
      IMS_CACHE_ROWS_OF_TRANSLATIONS(c, ipa, s1_walk, s2_walk),
  };
  return ims_iommu_build_caches(&s->base, rows, sizeof rows / sizeof rows[0]);
}

static void smmu2_free(struct ims_iommu *u) {
  struct smmuv2 *s = smmu2_of(u);
  for (unsigned i = 0; i < IMS_CACHE_COUNT; i++)
    ims_cache_fini(&u->cache[i]);
  ims_regfile_fini(&s->gr0);
  ims_regfile_fini(&s->gr1);
  ims_regfile_fini(&s->cb);
  free(s->bank);
  free(s->waiting);
  free(s);
}

// There is no page request interface.
static bool page_request(struct ims_iommu *u, const struct ims_page_request *r) {
  (void)u;
  (void)r;
  return false;
}

static const struct ims_iommu_ops ops = {
    .arch = "smmuv2",
    .begin = smmu2_begin,
    .step = smmu2_step,
    .finish = smmu2_finish,
    .translate = smmu2_translate,
    .page_request = page_request,
    .read = smmu2_mmio_read,
    .write = smmu2_mmio_write,
    .free = smmu2_free,
};

int ims_smmuv2_new(struct ims_iommu **out, const struct ims_smmuv2_config *config, struct ims_mem *mem,
                   const struct ims_iommu_bus *bus) {
  *out = NULL;
  if (ims_smmuv2_config_check(config))
    return IMS_ERR_INVAL;
  struct smmuv2 *s = calloc(1, sizeof *s);
  if (!s)
    return IMS_ERR_NOMEM;
  s->base.ops = &ops;
  s->base.mem = mem;
  s->base.bus = bus ? *bus : (struct ims_iommu_bus){0};
  s->cfg = *config;
  s->oas = ims_smmuv2_oas(config);
  s->ias = ims_smmuv2_ias(config);
  s->ubs = ims_smmuv2_ubs(config);
  s->groups = ims_smmuv2_groups(config);
  ims_vmsa_formats_init(&s->formats, &(struct ims_vmsa_caps){.oas = (uint8_t)s->oas});
  s->bank = calloc(config->numcb, sizeof *s->bank);
  s->waiting = calloc(config->waiting, sizeof *s->waiting);
  int err = s->bank && s->waiting ? build_registers(s) : IMS_ERR_NOMEM;
  if (!err)
    err = build_caches(s);
  if (err) {
    smmu2_free(&s->base);
    return err;
  }
  *out = &s->base;
  return IMS_ERR_OK;
}

// A register by its name in a snapshot.
struct named {
  enum { IN_GR0, IN_GROUP, IN_GR1, IN_BANK } where;
  unsigned reg, index, bytes;
};

// The number behind a prefix; -1: something else.
static int index_behind(const char *name, const char *prefix, char end, const char **rest) {
  size_t n = strlen(prefix);
  if (strncmp(name, prefix, n))
    return -1;
  const char *p = name + n;
  int value = 0, digits = 0;
  for (; *p >= '0' && *p <= '9' && digits < 4; p++, digits++)
    value = value * 10 + (*p - '0');
  *rest = p + 1;
  bool odd = !digits || (digits > 1 && name[n] == '0'); // SMR01 is no name
  return odd || *p != end ? -1 : value;
}

static bool holds_something(const struct ims_reg_field *fields, unsigned count, unsigned reg) {
  for (unsigned i = 0; i < count; i++)
    if (fields[i].reg == reg && fields[i].access != IMS_REG_WO)
      return true;
  return false;
}

static bool find(const char *name, struct named *out) {
  const char *rest;
  int n = index_behind(name, "CB", '_', &rest);
  if (n >= 0) {
    for (unsigned r = 0; r < IMS_SMMUV2_CB_COUNT; r++)
      if (!strcmp(rest, ims_smmuv2_cb_regs[r].name)) {
        *out = (struct named){IN_BANK, r, (unsigned)n, ims_smmuv2_cb_regs[r].bytes};
        return holds_something(ims_smmuv2_cb_fields, ims_smmuv2_cb_field_count, r);
      }
    return false;
  }
  for (unsigned r = 0; r < IMS_SMMUV2_GR1_COUNT; r++) {
    n = index_behind(name, ims_smmuv2_gr1_regs[r].name, '\0', &rest);
    *out = (struct named){IN_GR1, r, (unsigned)n, 4};
    if (n >= 0)
      return true;
  }
  for (unsigned r = IMS_SMMUV2_SMR; r <= IMS_SMMUV2_S2CR; r++) {
    n = index_behind(name, ims_smmuv2_gr0_regs[r].name, '\0', &rest);
    *out = (struct named){IN_GROUP, r, (unsigned)n, 4};
    if (n >= 0)
      return true;
  }
  for (unsigned r = 0; r < IMS_SMMUV2_SMR; r++)
    if (!strcmp(name, ims_smmuv2_gr0_regs[r].name)) {
      *out = (struct named){IN_GR0, r, 0, ims_smmuv2_gr0_regs[r].bytes};
      return (r >= IMS_SMMUV2_IDR0 && r <= IMS_SMMUV2_IDR7) ||
             holds_something(ims_smmuv2_gr0_fields, ims_smmuv2_gr0_field_count, r);
    }
  return false;
}

unsigned ims_smmuv2_reg_bytes(const char *name) {
  struct named at;
  return find(name, &at) ? at.bytes : 0;
}

// Where a value lies: one of the two is set. False: not in this unit.
static bool locate(struct smmuv2 *s, const struct named *at, uint64_t **wide, uint32_t **narrow) {
  *wide = NULL;
  *narrow = NULL;
  switch (at->where) {
  case IN_GR0: *wide = &s->gr0.reg[at->reg]; return true;
  case IN_GROUP:
    if (at->index < s->groups)
      *narrow = at->reg == IMS_SMMUV2_SMR ? &s->smr[at->index] : &s->s2cr[at->index];
    break;
  case IN_GR1:
    if (at->index < s->cfg.numcb)
      *narrow = &s->bank[at->index].gr1[at->reg];
    break;
  case IN_BANK:
    if (at->index < s->cfg.numcb)
      *wide = &s->bank[at->index].reg[at->reg];
    break;
  }
  return *wide || *narrow;
}

int ims_smmuv2_restore(struct ims_iommu *u, const char *name, uint64_t value) {
  struct named at;
  uint64_t *wide;
  uint32_t *narrow;
  if (!find(name, &at) || !locate(smmu2_of(u), &at, &wide, &narrow))
    return IMS_ERR_NOENT;
  if (at.where == IN_GR0 && at.reg >= IMS_SMMUV2_IDR0 && at.reg <= IMS_SMMUV2_IDR7)
    return IMS_ERR_NOENT;
  if (at.bytes == 4 && value >> 32)
    return IMS_ERR_RANGE;
  if (wide)
    *wide = value;
  else
    *narrow = (uint32_t)value;
  return IMS_ERR_OK;
}

int ims_smmuv2_peek(const struct ims_iommu *u, const char *name, uint64_t *value) {
  struct named at;
  uint64_t *wide;
  uint32_t *narrow;
  if (!find(name, &at) || !locate((struct smmuv2 *)(uintptr_t)u, &at, &wide, &narrow))
    return IMS_ERR_NOENT;
  *value = wide ? *wide : *narrow;
  return IMS_ERR_OK;
}

void ims_smmuv2_each(const struct ims_iommu *u, void (*visit)(void *ctx, const char *name, uint64_t value), void *ctx) {
  const struct smmuv2 *s = (const struct smmuv2 *)u;
  char name[32];
  for (unsigned r = 0; r < IMS_SMMUV2_SMR; r++)
    if (s->gr0.reg[r] != ims_smmuv2_gr0_regs[r].reset && ims_smmuv2_reg_bytes(ims_smmuv2_gr0_regs[r].name))
      visit(ctx, ims_smmuv2_gr0_regs[r].name, s->gr0.reg[r]);
  for (unsigned r = IMS_SMMUV2_SMR; r <= IMS_SMMUV2_S2CR; r++)
    for (unsigned i = 0; i < s->groups; i++) {
      uint32_t value = r == IMS_SMMUV2_SMR ? s->smr[i] : s->s2cr[i];
      snprintf(name, sizeof name, "%s%u", ims_smmuv2_gr0_regs[r].name, i);
      if (value != ims_smmuv2_gr0_regs[r].reset)
        visit(ctx, name, value);
    }
  for (unsigned r = 0; r < IMS_SMMUV2_GR1_COUNT; r++)
    for (unsigned n = 0; n < s->cfg.numcb; n++) {
      snprintf(name, sizeof name, "%s%u", ims_smmuv2_gr1_regs[r].name, n);
      if (s->bank[n].gr1[r] != ims_smmuv2_gr1_regs[r].reset)
        visit(ctx, name, s->bank[n].gr1[r]);
    }
  for (unsigned n = 0; n < s->cfg.numcb; n++)
    for (unsigned r = 0; r < IMS_SMMUV2_CB_COUNT; r++) {
      snprintf(name, sizeof name, "CB%u_%s", n, ims_smmuv2_cb_regs[r].name);
      if (s->bank[n].reg[r] != ims_smmuv2_cb_regs[r].reset && ims_smmuv2_reg_bytes(name))
        visit(ctx, name, s->bank[n].reg[r]);
    }
}

void ims_smmuv2_restored(struct ims_iommu *u) {
  struct smmuv2 *s = smmu2_of(u);
  smmu2_changed(s);
  ims_iommu_drop_caches(u);
  // Wires are as the registers say, and the machine knew of them.
  struct ims_iommu_bus bus = u->bus;
  u->bus = (struct ims_iommu_bus){0};
  smmu2_update_wires(s);
  for (unsigned n = 0; n < s->cfg.numcb; n++)
    smmu2_update_wire(s, n);
  u->bus = bus;
}

const struct ims_smmuv2_config *ims_smmuv2_config_of(const struct ims_iommu *u) {
  return &((const struct smmuv2 *)u)->cfg;
}

uint64_t ims_smmuv2_vmid_mismatches(const struct ims_iommu *u) { return ((const struct smmuv2 *)u)->mismatches; }
