// SPDX-License-Identifier: Apache-2.0
// An SMMUv2 brought up and shut down, streams put into stream match registers, and what the unit can do for domains. Arm IHI
// 0062; the order of writes is that of Linux 7.x, arm-smmu.c. Facts: smmuv2.md, 1 to 3.
#include "uapi/smmuv2_internal.h"
#include <stdlib.h>

static unsigned smaller(unsigned a, unsigned b) { return a < b ? a : b; }

// ---- Streams --------------------------------------------------------------------------------------------------------

void ims_v2_stream(struct ims_device *dev, unsigned bank) {
  struct host_unit *u = dev->unit;
  uint32_t s2cr =
      bank == V2_NO_BANK
          ? u->smmuv2.s2cr_default
          : (uint32_t)(IMS_SMMUV2_PUT(S2CR_TYPE, IMS_SMMUV2_S2CR_TRANSLATE) | IMS_SMMUV2_PUT(S2CR_CBNDX, bank));
  V2_GROUP(u, S2CR, dev->smmuv2_group, s2cr | IMS_SMMUV2_PUT(S2CR_EXIDVALID, u->smmuv2.caps.exids));
}

static int device_init(struct ims_device *dev) {
  struct host_unit *u = dev->unit;
  struct smmuv2_driver *v = &u->smmuv2;
  unsigned bits = v->caps.exids ? 16 : v->caps.numsidb;
  uint32_t group = dev->cfg.source;
  if (dev->cfg.source >> bits)
    return IMS_ERR_INVAL;
  if (v->caps.sms) // any free one
    for (group = 0; group < v->groups && v->stream[group];)
      group++;
  if (group >= v->groups)
    return v->caps.sms ? IMS_ERR_NOSPACE : IMS_ERR_INVAL;
  v->stream[group] = dev;
  dev->smmuv2_group = group;
  if (v->caps.sms)
    V2_GROUP(u, SMR, group, dev->cfg.source | (v->caps.exids ? 0 : IMS_SMMUV2_BITS(SMR_VALID)));
  ims_v2_stream(dev, V2_NO_BANK);
  return IMS_ERR_OK;
}

static void device_fini(struct ims_device *dev) {
  struct host_unit *u = dev->unit;
  V2_GROUP(u, S2CR, dev->smmuv2_group, u->smmuv2.s2cr_default);
  if (u->smmuv2.caps.sms)
    V2_GROUP(u, SMR, dev->smmuv2_group, 0);
  u->smmuv2.stream[dev->smmuv2_group] = NULL;
}

static void device_changed(struct ims_device *dev) { (void)dev; } // neither ATS nor page requests

// ---- Bringing up ----------------------------------------------------------------------------------------------------

static void identify(struct host_unit *u) {
  static const uint8_t ids[] = {IMS_SMMUV2_IDR0, IMS_SMMUV2_IDR1, IMS_SMMUV2_IDR2, IMS_SMMUV2_IDR7};
  struct smmuv2_driver *v = &u->smmuv2;
  ims_smmuv2_config_default(&v->caps);
  for (unsigned i = 0; i < sizeof ids; i++)
    ims_smmuv2_config_from_id(&v->caps, (enum ims_smmuv2_gr0)ids[i],
                              (uint32_t)ims_unit_read(u, ims_smmuv2_gr0_regs[ids[i]].offset, 4));
  v->page = v->caps.pagesize ? 1u << 16 : 1u << 12;
  v->banks_at = v->page << (v->caps.numpagendxb + 1);
  v->groups = ims_smmuv2_groups(&v->caps);
  v->vmid16 = v->caps.vmid16s;
}

static void release(struct host_unit *u) {
  free(u->smmuv2.stream);
  free(u->smmuv2.bank);
}

// Everything off or refusing before the one write that lets streams in.
static int reset(struct host_unit *u) {
  const struct smmuv2_driver *v = &u->smmuv2;
  V2_WRITE(u, sGFSR, V2_READ(u, sGFSR));
  for (uint32_t i = 0; i < v->groups; i++) {
    if (v->caps.sms)
      V2_GROUP(u, SMR, i, 0);
    V2_GROUP(u, S2CR, i, v->s2cr_default);
  }
  for (unsigned i = 0; i < v->caps.numcb; i++) {
    V2_CB(u, SCTLR, i, 0);
    V2_CB(u, FSR, i, V2_CB_READ(u, FSR, i));
  }
  V2_WRITE(u, TLBIALLH, 0);
  V2_WRITE(u, TLBIALLNSNH, 0);
  int err = ims_v2_global_sync(u);
  uint64_t cr0 = V2_READ(u, sCR0);
  cr0 |= IMS_SMMUV2_BITS(sCR0_GFRE) | IMS_SMMUV2_BITS(sCR0_GFIE) | IMS_SMMUV2_BITS(sCR0_GCFGFRE) |
         IMS_SMMUV2_BITS(sCR0_GCFGFIE) | IMS_SMMUV2_BITS(sCR0_VMIDPNE) | IMS_SMMUV2_BITS(sCR0_PTM) |
         IMS_SMMUV2_BITS(sCR0_SMCFCFG);
  cr0 &= ~(IMS_SMMUV2_BITS(sCR0_CLIENTPD) | IMS_SMMUV2_BITS(sCR0_USFCFG) | IMS_SMMUV2_BITS(sCR0_FB) |
           IMS_SMMUV2_BITS(sCR0_BSU));
  cr0 |= IMS_SMMUV2_PUT(sCR0_USFCFG, !u->k->cfg.smmu_bypass) | IMS_SMMUV2_PUT(sCR0_EXIDENABLE, v->caps.exids) |
         IMS_SMMUV2_PUT(sCR0_VMID16EN, v->vmid16);
  V2_WRITE(u, sCR0, cr0);
  return err;
}

static int setup(struct host_unit *u) {
  struct smmuv2_driver *v = &u->smmuv2;
  identify(u);
  const bool has[3] = {v->caps.gran4k, v->caps.gran16k, v->caps.gran64k};
  if ((!v->caps.s1ts && !v->caps.s2ts) || !v->caps.numcb || !v->groups || !ims_arm_granule(u->k, has, &v->granule))
    return IMS_ERR_UNSUP;
  u->id[ID_DOMAIN].limit = v->vmid16 ? 1u << 16 : 1u << 8;
  u->id[ID_ASID].limit = 1u << 16;
  v->s2cr_default =
      (uint32_t)IMS_SMMUV2_PUT(S2CR_TYPE, u->k->cfg.smmu_bypass ? IMS_SMMUV2_S2CR_BYPASS : IMS_SMMUV2_S2CR_FAULT);
  v->stream = calloc(v->groups, sizeof(struct ims_device *));
  v->bank = calloc(v->caps.numcb, sizeof *v->bank);
  int err = !v->stream || !v->bank ? IMS_ERR_NOMEM : reset(u) ? IMS_ERR_IO : IMS_ERR_OK;
  if (err)
    release(u);
  return err;
}

static void shutdown(struct host_unit *u) {
  // Linux lets everything pass by at shutdown; here nobody is to reach memory any more that was the kernel's.
  for (uint32_t i = 0; i < u->smmuv2.groups; i++)
    V2_GROUP(u, S2CR, i, IMS_SMMUV2_PUT(S2CR_TYPE, IMS_SMMUV2_S2CR_FAULT));
  for (unsigned i = 0; i < u->smmuv2.caps.numcb; i++)
    V2_CB(u, SCTLR, i, 0);
  release(u);
}

static uint64_t root(const struct host_unit *u) {
  (void)u;
  return 0;
}

static void message(struct host_unit *u, unsigned kind) {
  (void)kind; // wires of several units look alike
  u->smmuv2.irq = u->k->irq_pending = true;
}

// ---- Capabilities ---------------------------------------------------------------------------------------------------

static bool can_nest(const struct host_unit *u) {
  const struct ims_smmuv2_config *c = &u->smmuv2.caps;
  return c->s1ts && c->s2ts && c->nts;
}

// Both stages translate IPAs of this width at most; upstream addresses are no narrower.
static unsigned in_bits(const struct host_unit *u) {
  return smaller(smaller(ims_smmuv2_ias(&u->smmuv2.caps), ims_smmuv2_ubs(&u->smmuv2.caps)), 48);
}

// Nesting asks for a second stage, as in Linux, and here that is really one to nest on. Else a first stage, if there is one.
static int paging_format(const struct host_unit *u, unsigned want, struct paging *out) {
  const bool nest = want & WANT_NEST;
  const struct ims_smmuv2_config *c = &u->smmuv2.caps;
  bool s2 = nest || !c->s1ts;
  if (s2 && !c->s2ts)
    return -ENODEV;
  return ims_arm_paging_format((enum ims_granule)u->smmuv2.granule, in_bits(u), ims_smmuv2_oas(c), u->k->cfg.s2_levels,
                               s2, nest, false, false, out)
             ? 0
             : -ENODEV;
}

static int compatible(struct host_unit *u, const struct hdomain *d) {
  const struct ims_smmuv2_config *c = &u->smmuv2.caps;
  const struct paging *p = d->paging;
  const bool has[3] = {c->gran4k, c->gran16k, c->gran64k};
  bool ok = p->fmt.kind == (p->s1 ? IMS_PGT_VMSA_S1 : IMS_PGT_VMSA_S2) && (p->s1 ? c->s1ts : c->s2ts) &&
            has[(p->fmt.page_shift - 12) / 2] && p->pgt.in_bits <= in_bits(u) && p->pgt.out_bits <= ims_smmuv2_oas(c) &&
            !p->fmt.xnx && !(p->pgt.flags & IMS_PGT_FWB);
  return ok ? 0 : -EINVAL;
}

static enum host_id id_of(const struct hdomain *d) {
  return d->type == HDOMAIN_PAGING && !d->paging->s1 ? ID_DOMAIN : ID_ASID;
}

// There is no PASID to bind a process under. Facts 4.3.
static int sva_check(const struct ims_device *dev) {
  (void)dev;
  return -EINVAL;
}

static bool has_5level(const struct host_unit *u) {
  (void)u;
  return false;
}

// Format 2, without PASIDs: uapi/vfio.h.
static void nesting_info(const struct host_unit *u, struct ims_iommu_nesting_info *out) {
  enum { BIND_PGTBL = 2, CACHE_INVLD = 4 };
  *out = (struct ims_iommu_nesting_info){.argsz = offsetof(struct ims_iommu_nesting_info, vtd_flags)};
  if (!can_nest(u))
    return;
  out->format = IMS_FORMAT_SMMUV2;
  out->features = BIND_PGTBL | CACHE_INVLD;
}

const struct host_ops ims_smmuv2_host_ops = {
    .arch = "smmuv2",
    .note = IMS_ARCH_SMMUV2,
    .setup = setup,
    .shutdown = shutdown,
    .root = root,
    .message = message,
    .device_init = device_init,
    .device_fini = device_fini,
    .device_changed = device_changed,
    .compatible = compatible,
    .paging_format = paging_format,
    .id_of = id_of,
    .attach = ims_v2_attach,
    .detach = ims_v2_detach,
    .flush = ims_v2_flush,
    .flush_new = ims_v2_flush_new,
    .nesting_info = nesting_info,
    .page_response = ims_v2_page_response,
    .interrupt = ims_v2_interrupt,
    .can_nest = can_nest,
    .sva_check = sva_check,
    .has_5level = has_5level,
    .guest_format = IMS_FORMAT_SMMUV2,
    .set_guest = ims_v2_set_guest,
    .invalidate_guest = ims_v2_invalidate_guest,
    .msi_first = 0x08000000,
    .msi_last = 0x080fffff,
};
