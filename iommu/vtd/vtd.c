// SPDX-License-Identifier: Apache-2.0
// A unit put together: capabilities from named features, formats and caches from capabilities, power-on, snapshots.
#include "iommu/vtd/vtd_internal.h"
#include <stdlib.h>

enum { FRO = IMS_VTD_OFF_FRCD / 16, IRO = IMS_VTD_OFF_IVA / 16 }; // where CAP and ECAP say those registers are
enum { SPAN = 0x1000 };

static const struct ims_option options[] = {
#define IMS_X(name, reg, lsb, bits, def, sentence)                                                                     \
  IMS_OPTION_FEATURE(ims_vtd_config, name, IMS_VTD_##reg, lsb, bits, def, sentence)
    IMS_VTD_FEATURES(IMS_X)
#undef IMS_X
#define IMS_X(name, def, low, high, unit, words, sentence)                                                             \
  IMS_OPTION_KNOB(ims_vtd_config, name, def, low, high, unit, words, sentence)
        IMS_VTD_KNOBS(IMS_X)
#undef IMS_X
};
enum { OPTIONS = sizeof options / sizeof options[0] };

const struct ims_option *ims_vtd_options(unsigned i) { return i < OPTIONS ? &options[i] : NULL; }

void ims_vtd_config_default(struct ims_vtd_config *c) { ims_options_default(c, options, OPTIONS); }

void ims_vtd_config_from_caps(struct ims_vtd_config *c, uint64_t cap, uint64_t ecap) {
  ims_options_take(c, options, OPTIONS, IMS_VTD_CAP, cap);
  ims_options_take(c, options, OPTIONS, IMS_VTD_ECAP, ecap);
  c->haw = c->mgaw + 1 < 32 ? 32 : c->mgaw + 1 > 52 ? 52 : c->mgaw + 1;
  c->revision = c->ers ? 3 : 4;
}

uint64_t ims_vtd_cap(const struct ims_vtd_config *c) {
  return ims_options_show(c, options, OPTIONS, IMS_VTD_CAP) | (uint64_t)FRO << 24;
}
uint64_t ims_vtd_ecap(const struct ims_vtd_config *c) {
  return ims_options_show(c, options, OPTIONS, IMS_VTD_ECAP) | (uint64_t)IRO << 8;
}

const char *ims_vtd_config_check(const struct ims_vtd_config *c) {
  const struct ims_option *bad = ims_options_check(c, options, OPTIONS);
  if (bad)
    return bad->sentence;
  if (0 IMS_VTD_CACHES(IMS_CACHE_ODD_PARTITIONS, c) IMS_CACHE_ODD_PARTITIONS(c, utlb, , , , ))
    return "the parts of a cache (partitions) are a power of two";
  if (c->utlb_entries && !c->iotlb_entries)
    return "a first-level IOTLB (utlb_entries) needs an IOTLB (iotlb_entries)";
  if (c->nd == 7)
    return "nd = 7 is reserved";
  if (c->nfr > 63)
    return "this model has room for 64 fault recording registers (nfr <= 63)";
  if (c->smts && (!c->qi || (!c->fsts && !c->ssts)))
    return "smts needs qi, and fsts or ssts";
  if (c->nest && (!c->fsts || !c->ssts))
    return "nest needs fsts and ssts";
  if (c->prs && !c->dt)
    return "prs needs dt";
  if (c->pds && !c->prs)
    return "pds needs prs";
  if (c->ir && !c->qi)
    return "ir needs qi";
  if (c->ers && c->revision > 3)
    return "ers belongs to revision 3";
  return NULL;
}

static bool present(const struct vtd *v, unsigned r) {
  switch (r) {
  case IMS_VTD_PMEN: return v->cfg.plmr || v->cfg.phmr;
  case IMS_VTD_PLMBASE:
  case IMS_VTD_PLMLIMIT: return v->cfg.plmr;
  case IMS_VTD_PHMBASE:
  case IMS_VTD_PHMLIMIT: return v->cfg.phmr;
  case IMS_VTD_VCMD:
  case IMS_VTD_VCRSP:
  case IMS_VTD_VCCAP: return v->cfg.vcs;
  case IMS_VTD_IRTA: return v->cfg.ir;
  default:
    if (r >= IMS_VTD_IQH && r <= IMS_VTD_IQERCD)
      return v->cfg.qi;
    return r < IMS_VTD_PQH || r > IMS_VTD_PEUADDR || v->cfg.prs;
  }
}

static int build_registers(struct vtd *v) {
  int err = ims_regfile_init(&v->regs, ims_vtd_regs, IMS_VTD_REG_COUNT, ims_vtd_fields, ims_vtd_field_count, SPAN);
  if (err)
    return err;
  v->reg = v->regs.reg;
  for (unsigned r = 0; r < IMS_VTD_REG_COUNT; r++)
    if (!present(v, r))
      ims_regfile_remove(&v->regs, r);
  v->reg[IMS_VTD_CAP] = ims_vtd_cap(&v->cfg);
  v->reg[IMS_VTD_ECAP] = ims_vtd_ecap(&v->cfg);
  v->reg[IMS_VTD_VCCAP] = v->cfg.vcs;
  return IMS_ERR_OK;
}

static void build_formats(struct vtd *v) {
  const struct ims_vtd_config *c = &v->cfg;
  bool mb2 = c->sslps & 1, gb1 = c->sslps >> 1 & 1;
  ims_x86_fs_format(&v->fs, c->haw, c->fs1gp, true);
  ims_x86_fs_format(&v->fs_nxe, c->haw, c->fs1gp, false);
  ims_x86_fs_format(&v->fs_nested, 52, c->fs1gp, true);
  ims_x86_fs_format(&v->fs_nested_nxe, 52, c->fs1gp, false);
  ims_vtd_ss_format(&v->ss, c->haw, mb2, gb1, c->sc, false);
  ims_vtd_ss_format(&v->ss_exec, c->haw, mb2, gb1, c->sc, true);
}

static int build_caches(struct vtd *v) {
  const struct ims_vtd_config *c = &v->cfg;
  const struct ims_cache_row rows[] = {
      IMS_CACHE_ROW(c, IMS_CACHE_CONTEXT, context, sizeof(struct vtd_context)),
      IMS_CACHE_ROW(c, IMS_CACHE_PASID, pasid, sizeof(struct vtd_stages)),
      IMS_CACHE_ROWS_OF_TRANSLATIONS(c, nested, s1_psc, s2_psc),
  };
  return ims_iommu_build_caches(&v->base, rows, sizeof rows / sizeof rows[0]);
}

static void vtd_free(struct ims_iommu *u) {
  struct vtd *v = vtd_of(u);
  for (unsigned i = 0; i < IMS_CACHE_COUNT; i++)
    ims_cache_fini(&u->cache[i]);
  ims_pasid_space_fini(&v->vcmd_pasids);
  ims_regfile_fini(&v->regs);
  free(v->frcd);
  free(v);
}

static const struct ims_iommu_ops ops = {
    .arch = "vtd",
    .begin = vtd_begin,
    .step = vtd_step,
    .finish = vtd_finish,
    .translate = vtd_translate,
    .page_request = vtd_page_request,
    .read = vtd_mmio_read,
    .write = vtd_mmio_write,
    .queue_next = vtd_queue_next,
    .queue_step = vtd_queue_step,
    .free = vtd_free,
};

int ims_vtd_new(struct ims_iommu **out, const struct ims_vtd_config *config, struct ims_mem *mem,
                const struct ims_iommu_bus *bus) {
  *out = NULL;
  if (ims_vtd_config_check(config))
    return IMS_ERR_INVAL;
  struct vtd *v = calloc(1, sizeof *v);
  if (!v)
    return IMS_ERR_NOMEM;
  v->base.ops = &ops;
  v->base.mem = mem;
  v->base.bus = bus ? *bus : (struct ims_iommu_bus){0};
  v->cfg = *config;
  v->frcd = calloc(config->nfr + 1, sizeof *v->frcd);
  build_formats(v);
  int err = v->frcd ? build_registers(v) : IMS_ERR_NOMEM;
  if (!err)
    err = build_caches(v);
  if (!err && config->vcs) {
    err = ims_pasid_space_init(&v->vcmd_pasids, config->pss + 1 < 20 ? config->pss + 1 : 20);
    ims_pasid_set_default_quota(&v->vcmd_pasids, UINT32_MAX);
  }
  if (err) {
    vtd_free(&v->base);
    return err;
  }
  *out = &v->base;
  return IMS_ERR_OK;
}

int ims_vtd_restore(struct ims_iommu *u, const char *name, uint64_t value) {
  struct vtd *v = vtd_of(u);
  for (unsigned r = 0; r < IMS_VTD_REG_COUNT; r++) {
    if (strcmp(name, ims_vtd_regs[r].name) || r == IMS_VTD_CAP || r == IMS_VTD_ECAP)
      continue;
    if (ims_vtd_regs[r].bytes == 4 && value >> 32)
      return IMS_ERR_RANGE;
    v->reg[r] = value;
    return IMS_ERR_OK;
  }
  return IMS_ERR_NOENT;
}

void ims_vtd_restored(struct ims_iommu *u) {
  struct vtd *v = vtd_of(u);
  v->root = v->reg[IMS_VTD_RTADDR] & IMS_VTD_BITS(RTADDR_RTA);
  v->ttm = (uint8_t)IMS_VTD_GET(v->reg[IMS_VTD_RTADDR], RTADDR_TTM);
  vtd_update_mode(v);
  ims_iommu_drop_caches(u);
}

uint64_t ims_vtd_peek(const struct ims_iommu *u, enum ims_vtd_reg reg) { return ((const struct vtd *)u)->reg[reg]; }

const struct ims_vtd_config *ims_vtd_config_of(const struct ims_iommu *u) { return &((const struct vtd *)u)->cfg; }
