// SPDX-License-Identifier: Apache-2.0
// A VT-d unit brought up and shut down: registers in the order of the specification (VT-d rev 4.1: 6.5.2 queue, 6.5.4
// and 11.4.4 commands, 7.7.1 page request queue), interrupts, capabilities.
#include "uapi/vtd_internal.h"

enum { PRQ_LOG2 = 15, PRQ_PQS = PRQ_LOG2 - 12 }; // 1024 requests

// ---- Registers ------------------------------------------------------------------------------------------------------

static int wait_gsts(struct host_unit *u, uint32_t mask, uint32_t value) {
  for (unsigned looks = 0;; looks++) {
    if (((uint32_t)VTD_READ(u, GSTS) & mask) == value)
      return 0;
    if (!ims_unit_relax(u, looks))
      return -EIO;
  }
}

// GCMD is written with what is on, one-shot bits cleared, and the one change. Root table pointer: RTPS is up already
// when the pointer is set again, and comes down for the time it takes; so waiting for 1 is right both times.
int ims_vtdd_command(struct host_unit *u, uint32_t set, uint32_t clear) {
  const uint32_t one_shot = (uint32_t)(IMS_VTD_BITS(GCMD_SRTP) | IMS_VTD_BITS(GCMD_SIRTP) | IMS_VTD_BITS(GCMD_WBF));
  u->vtd.gcmd = (u->vtd.gcmd & ~clear) | (set & ~one_shot);
  VTD_WRITE(u, GCMD, u->vtd.gcmd | set);
  if (set & (uint32_t)IMS_VTD_BITS(GCMD_WBF)) // WBFS falls when done
    return wait_gsts(u, (uint32_t)IMS_VTD_BITS(GSTS_WBFS), 0);
  return wait_gsts(u, set | clear, set);
}

void ims_vtdd_write_buffer_flush(struct host_unit *u) {
  if (u->vtd.caps.rwbf)
    ims_vtdd_command(u, (uint32_t)IMS_VTD_BITS(GCMD_WBF), 0);
}

// ---- Bringing up ----------------------------------------------------------------------------------------------------

static int take_over(struct host_unit *u) {
  // Whoever ran the unit before us left it on: requests are blocked from now on, as nothing is attached yet.
  uint32_t gsts = (uint32_t)VTD_READ(u, GSTS);
  u->vtd.gcmd = gsts & (uint32_t)(IMS_VTD_BITS(GSTS_TES) | IMS_VTD_BITS(GSTS_QIES) | IMS_VTD_BITS(GSTS_IRES) |
                                  IMS_VTD_BITS(GSTS_CFIS));
  int err = 0;
  if (gsts & IMS_VTD_BITS(GSTS_TES))
    err = ims_vtdd_command(u, 0, (uint32_t)IMS_VTD_BITS(GCMD_TE));
  if (!err && (gsts & IMS_VTD_BITS(GSTS_QIES)))
    err = ims_vtdd_command(u, 0, (uint32_t)IMS_VTD_BITS(GCMD_QIE));
  return err;
}

static int enable_queue(struct host_unit *u) {
  struct vtd_driver *v = &u->vtd;
  int err = ims_vtdd_queue_init(u);
  if (err)
    return err;
  VTD_WRITE(u, IQT, 0);
  VTD_WRITE(u, IQA, v->queue | IMS_VTD_PUT(IQA_DW, v->width == 32) | IMS_VTD_PUT(IQA_QS, v->width == 32));
  return ims_vtdd_command(u, (uint32_t)IMS_VTD_BITS(GCMD_QIE), 0);
}

static int set_root(struct host_unit *u) {
  struct vtd_driver *v = &u->vtd;
  VTD_WRITE(u, RTADDR, v->root | IMS_VTD_PUT(RTADDR_TTM, v->scalable));
  int err = ims_vtdd_command(u, (uint32_t)IMS_VTD_BITS(GCMD_SRTP), 0);
  if (err || v->caps.esrtps)
    return err;
  // The unit keeps what it has cached: context, PASID, IOTLB, in this order and each before the next.
  struct vtd_desc d[] = {ims_desc_context(VTD_CTX_GLOBAL, 0, 0), ims_desc_pasid_cache_global(),
                         ims_desc_iotlb_global()};
  for (unsigned i = 0; i < 3 && !err; i++)
    if (i != 1 || v->scalable)
      err = ims_vtdd_submit(u, &d[i], 1, 0);
  return err;
}

static void enable_page_requests(struct host_unit *u) {
  VTD_WRITE(u, PEDATA, ims_unit_vector_data(u, 1));
  VTD_WRITE(u, PEADDR, ims_unit_vector_addr(u));
  VTD_WRITE(u, PEUADDR, 0);
  VTD_WRITE(u, PECTL, 0);
  VTD_WRITE(u, PQH, 0);
  VTD_WRITE(u, PQT, 0);
  VTD_WRITE(u, PQA, u->vtd.prq | PRQ_PQS);
}

static void enable_faults(struct host_unit *u) {
  VTD_WRITE(u, FEDATA, ims_unit_vector_data(u, 0));
  VTD_WRITE(u, FEADDR, ims_unit_vector_addr(u));
  VTD_WRITE(u, FEUADDR, 0);
  ims_vtdd_fault(u); // what lies there from before
  VTD_WRITE(u, FECTL, 0);
}

static void release(struct host_unit *u) {
  struct vtd_driver *v = &u->vtd;
  ims_vtdd_queue_fini(u);
  if (v->prq)
    ims_pool_free(u->k, v->prq, PRQ_LOG2);
  for (unsigned bus = 0; bus < 256; bus++)
    for (unsigned half = 0; half < 2; half++)
      if (v->bus_table[bus][half])
        ims_pool_free(u->k, v->bus_table[bus][half], IMS_PAGE_SHIFT);
  if (v->root)
    ims_pool_free(u->k, v->root, IMS_PAGE_SHIFT);
}

static int setup(struct host_unit *u) {
  struct vtd_driver *v = &u->vtd;
  uint64_t cap = VTD_READ(u, CAP), ecap = VTD_READ(u, ECAP);
  v->cap = cap;
  v->ecap = ecap;
  ims_vtd_config_default(&v->caps);
  ims_vtd_config_from_caps(&v->caps, cap, ecap);
  v->frcd = (uint32_t)(cap >> 24 & 0x3ff) * 16;
  v->frcds = v->caps.nfr + 1;
  v->scalable = v->caps.smts && !u->k->cfg.legacy;
  v->width = v->scalable ? 32 : 16;
  u->id[ID_DOMAIN].limit = 1u << (4 + 2 * (v->caps.nd & 7) > 16 ? 16 : 4 + 2 * (v->caps.nd & 7));
  if (!v->caps.qi)
    return IMS_ERR_UNSUP;
  int err = take_over(u), pool = ims_pool_page(u->k, IMS_PAGE_SHIFT, &v->root);
  if (!pool && v->scalable && v->caps.prs)
    pool = ims_pool_page(u->k, PRQ_LOG2, &v->prq);
  if (!err && !pool)
    err = enable_queue(u);
  if (!err && !pool)
    err = set_root(u);
  if (!err && !pool) {
    if (v->prq)
      enable_page_requests(u);
    enable_faults(u);
    ims_vtdd_write_buffer_flush(u);
    err = ims_vtdd_command(u, (uint32_t)IMS_VTD_BITS(GCMD_TE), 0);
  }
  if (!err && !pool)
    return IMS_ERR_OK;
  release(u);
  return pool ? pool : err == -ENOMEM ? IMS_ERR_NOSPACE : IMS_ERR_IO;
}

static void shutdown(struct host_unit *u) {
  VTD_WRITE(u, FECTL, IMS_VTD_BITS(FECTL_IM));
  if (u->vtd.prq)
    VTD_WRITE(u, PECTL, IMS_VTD_BITS(PECTL_IM));
  ims_vtdd_command(u, 0, (uint32_t)IMS_VTD_BITS(GCMD_TE));
  ims_vtdd_command(u, 0, (uint32_t)IMS_VTD_BITS(GCMD_QIE));
  release(u);
}

// ---- Capabilities ---------------------------------------------------------------------------------------------------

static int iopf_check(const struct ims_device *dev) { return dev->pri_works ? 0 : -ENODEV; }

static bool can_nest(const struct host_unit *u) {
  return u->vtd.scalable && u->vtd.caps.nest && u->vtd.caps.ssts && u->vtd.caps.fsts;
}

static bool can_track_dirty(const struct ims_device *dev) { return ims_vtdd_tracks(dev->unit); }

static bool has_5level(const struct host_unit *u) { return u->vtd.caps.fs5lp; }

// Shared virtual addressing: the unit has to read the processor's tables as the processor does. Facts 2, step 5.
static int sva_check(const struct ims_device *dev) {
  const struct host_unit *u = dev->unit;
  const struct ims_vtd_config *c = &u->vtd.caps;
  if (!dev->max_pasids || !dev->ats_works || (dev->cfg.pri && !dev->pri_works))
    return -EINVAL;
  bool can = u->vtd.scalable && c->pasid && c->fsts && c->smpwcs && c->fs1gp;
  return can && u->k->cfg.cpu_format == IMS_CPU_X86_64 && (u->k->cfg.cpu_levels == 4 || c->fs5lp) ? 0 : -ENODEV;
}

static enum host_id id_of(const struct hdomain *d) { return d->type == HDOMAIN_SVA ? ID_SHARED : ID_DOMAIN; }

static uint64_t root(const struct host_unit *u) { return u->vtd.root; }

static void message(struct host_unit *u, unsigned kind) {
  if (kind > 1)
    return;
  if (kind)
    u->vtd.prq_irq = true;
  else
    u->vtd.fault_irq = true;
  u->k->irq_pending = true;
}

// A first-stage table for the host's own purposes (3.6): five levels where addresses need them. Accessed and dirty are set
// from the start, which spares hardware the updates.
static int first_stage_format(const struct host_unit *u, struct paging *out) {
  const struct ims_vtd_config *c = &u->vtd.caps;
  unsigned mgaw = c->mgaw + 1, levels = mgaw > 48 && c->fs5lp ? 5 : 4, width = 12 + 9 * levels;
  *out = (struct paging){
      .s1 = true, .snoop = c->sc, .map_flags = IMS_MAP_A | IMS_MAP_D, .map_perm = IMS_PERM_R | IMS_PERM_U | IMS_PERM_X};
  ims_x86_fs_format(&out->fmt, IMS_MEM_ADDR_BITS, c->fs1gp, true);
  out->pgt = (struct ims_pgt){.levels = (uint8_t)levels, .in_bits = (uint8_t)(width < mgaw ? width : mgaw)};
  return 0;
}

static int paging_format(const struct host_unit *u, unsigned want, struct paging *out) {
  const bool nest = want & WANT_NEST, dirty = want & WANT_DIRTY;
  const struct ims_vtd_config *c = &u->vtd.caps;
  // The first stage is preferred where it will do (Linux 7.x; in 2020 type1 had the second).
  if (!(want & (WANT_NEST | WANT_DIRTY | WANT_TYPE1)) && u->vtd.scalable && c->fsts)
    return first_stage_format(u, out);
  if ((nest && !can_nest(u)) || (dirty && !ims_vtdd_tracks(u)) || (u->vtd.scalable && !c->ssts))
    return -ENODEV;
  // The most levels that are wanted and supported; else the fewest that the unit has.
  unsigned levels = u->k->cfg.s2_levels;
  while (levels >= 3 && !(c->sagaw >> (levels - 2) & 1))
    levels--;
  if (levels < 3)
    for (levels = u->k->cfg.s2_levels; levels <= 5 && !(c->sagaw >> (levels - 2) & 1); levels++)
      ;
  if (levels > 5)
    return -ENODEV;
  unsigned width = 12 + 9 * levels, mgaw = c->mgaw + 1;
  *out = (struct paging){.aw = (uint8_t)(levels - 2),
                         .nest = nest,
                         .writable = nest && !(want & WANT_TYPE1),
                         .snoop = c->sc,
                         .tracks = dirty,
                         .map_flags = c->sc ? (uint16_t)IMS_MAP_SNP : 0};
  ims_vtd_ss_format(&out->fmt, IMS_MEM_ADDR_BITS, c->sslps & 1, c->sslps >> 1 & 1, c->sc, false);
  out->pgt = (struct ims_pgt){.levels = (uint8_t)levels,
                              .in_bits = (uint8_t)(width < mgaw ? width : mgaw),
                              .d_bit = dirty ? (uint16_t)IMS_SS_D : 0};
  return 0;
}

// Whether another unit, too, can walk tables that were made for one.
static int compatible(struct host_unit *u, const struct hdomain *d) {
  const struct ims_vtd_config *c = &u->vtd.caps;
  const struct paging *p = d->paging;
  if (p->fmt.kind == IMS_PGT_X86_FS) {
    bool gb = p->fmt.leaf_levels >> 3 & 1;
    return u->vtd.scalable && c->fsts && (p->pgt.levels == 4 || c->fs5lp) && (!gb || c->fs1gp) && (!p->snoop || c->sc)
               ? 0
               : -EINVAL;
  }
  if (p->fmt.kind != IMS_PGT_VTD_SS || (p->tracks && !ims_vtdd_tracks(u)))
    return -EINVAL;
  bool ok = (c->sagaw >> p->aw & 1) && c->mgaw + 1 >= p->pgt.in_bits && (!p->snoop || c->sc) &&
            (!p->nest || can_nest(u)) && (!u->vtd.scalable || c->ssts);
  // Bits 2 and 3 of leaf_levels are 2 MB and 1 GB.
  return ok && !((p->fmt.leaf_levels >> 2 & 3) & ~c->sslps) ? 0 : -EINVAL;
}

static void nesting_info(const struct host_unit *u, struct ims_iommu_nesting_info *out) {
  enum { INTEL_VTD = 1, SYSWIDE_PASID = 1, BIND_PGTBL = 2, CACHE_INVLD = 4 };
  *out = (struct ims_iommu_nesting_info){
      .argsz = sizeof *out,
      .format = INTEL_VTD,
      .features = (u->vtd.caps.pasid ? (uint32_t)SYSWIDE_PASID : 0u) | BIND_PGTBL | CACHE_INVLD,
      .pasid_bits = (uint16_t)(u->vtd.caps.pasid ? u->vtd.caps.pss + 1 : 0),
      .vtd_cap_reg = u->vtd.cap,
      .vtd_ecap_reg = u->vtd.ecap,
  };
}

const struct host_ops ims_vtd_host_ops = {
    .arch = "vtd",
    .note = IMS_ARCH_VTD,
    .setup = setup,
    .shutdown = shutdown,
    .root = root,
    .message = message,
    .device_init = ims_vtdd_device_init,
    .device_fini = ims_vtdd_device_fini,
    .device_changed = ims_vtdd_device_changed,
    .compatible = compatible,
    .paging_format = paging_format,
    .id_of = id_of,
    .check = ims_vtdd_check,
    .attach = ims_vtdd_attach,
    .detach = ims_vtdd_detach,
    .flush = ims_vtdd_flush,
    .flush_new = ims_vtdd_flush_new,
    .flush_device = ims_vtdd_flush_device,
    .hw_info = ims_vtdd_hw_info,
    .can_track_dirty = can_track_dirty,
    .nested_new = ims_vtdd_nested_new,
    .invalidate_user = ims_vtdd_invalidate_user,
    .set_dirty = ims_vtdd_set_dirty,
    .nesting_info = nesting_info,
    .page_response = ims_vtdd_page_response,
    .iopf_check = iopf_check,
    .interrupt = ims_vtdd_interrupt,
    .can_nest = can_nest,
    .sva_check = sva_check,
    .has_5level = has_5level,
    // Devices must not reach the interrupt range through a mapping.
    .msi_first = 0xfee00000,
    .msi_last = 0xfeefffff,
};
