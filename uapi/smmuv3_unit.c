// SPDX-License-Identifier: Apache-2.0
// An SMMUv3 brought up and shut down: features from the ID registers, tables and queues, registers in the order of Linux 7.x,
// arm-smmu-v3.c (Arm IHI 0070, 3.11, 6.3.9 to 6.3.12, 6.3.24 to 6.3.36); what it can do for domains.
#include "uapi/smmuv3_internal.h"

enum { CMDQ_LOG2 = 8, EVTQ_LOG2 = 10, PRIQ_LOG2 = 10 };

static uint32_t smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }

// A control register and the one that says what is in force.
static int control(struct host_unit *u, const char *name, uint32_t reg, uint32_t ack, uint32_t value) {
  ims_unit_write(u, name, reg, 4, value);
  for (unsigned looks = 0; (uint32_t)ims_unit_read(u, ack, 4) != value; looks++)
    if (!ims_unit_relax(u, looks))
      return -EIO;
  return 0;
}

static int cr0(struct host_unit *u, uint64_t set) {
  u->smmuv3.cr0 |= (uint32_t)set;
  return control(u, "CR0", IMS_SMMUV3_OFF_CR0, IMS_SMMUV3_OFF_CR0ACK, u->smmuv3.cr0);
}

static int irq_ctrl(struct host_unit *u, uint32_t value) {
  return control(u, "IRQ_CTRL", IMS_SMMUV3_OFF_IRQ_CTRL, IMS_SMMUV3_OFF_IRQ_CTRLACK, value);
}

// 6.3.14: while translation is off, streams are to be aborted.
static int abort_all(struct host_unit *u) {
  V3_WRITE(u, GBPA,
           (V3_READ(u, GBPA) & ~IMS_SMMUV3_BITS(GBPA_UPDATE)) | IMS_SMMUV3_BITS(GBPA_ABORT) |
               IMS_SMMUV3_BITS(GBPA_UPDATE));
  for (unsigned looks = 0; V3_READ(u, GBPA) & IMS_SMMUV3_BITS(GBPA_UPDATE); looks++)
    if (!ims_unit_relax(u, looks))
      return -EIO;
  return 0;
}

static void identify(struct host_unit *u) {
  static const uint8_t ids[] = {IMS_SMMUV3_IDR0, IMS_SMMUV3_IDR1, IMS_SMMUV3_IDR3, IMS_SMMUV3_IDR5, IMS_SMMUV3_AIDR};
  struct smmuv3_driver *v = &u->smmuv3;
  ims_smmuv3_config_default(&v->caps);
  for (unsigned i = 0; i < sizeof ids; i++)
    ims_smmuv3_config_from_id(&v->caps, (enum ims_smmuv3_reg)ids[i],
                              (uint32_t)ims_unit_read(u, ims_smmuv3_regs[ids[i]].offset, 4));
}

static int allocate(struct host_unit *u) {
  struct smmuv3_driver *v = &u->smmuv3;
  v->cmdq_log2 = (uint8_t)smaller(v->caps.cmdqs, CMDQ_LOG2);
  v->evtq_log2 = (uint8_t)smaller(v->caps.eventqs, EVTQ_LOG2);
  v->priq_log2 = (uint8_t)smaller(v->caps.priqs, PRIQ_LOG2);
  int err = ims_v3_queue_init(u);
  if (!err && ims_pool_page(u->k, v->evtq_log2 + 5u, &v->evtq))
    err = -ENOMEM;
  if (!err && v->caps.pri && ims_pool_page(u->k, v->priq_log2 + 4u, &v->priq))
    err = -ENOMEM;
  return err ? err : ims_v3_stream_table(u);
}

static void release(struct host_unit *u) {
  struct smmuv3_driver *v = &u->smmuv3;
  ims_v3_stream_table_free(u);
  if (v->cmdq)
    ims_pool_free(u->k, v->cmdq, v->cmdq_log2 + 4u);
  if (v->evtq)
    ims_pool_free(u->k, v->evtq, v->evtq_log2 + 5u);
  if (v->priq)
    ims_pool_free(u->k, v->priq, v->priq_log2 + 4u);
}

static void set_tables(struct host_unit *u) {
  const struct smmuv3_driver *v = &u->smmuv3;
  // Tables and queues: inner shareable, write-back.
  V3_WRITE(u, CR1, 0xd75);
  V3_WRITE(u, CR2, IMS_SMMUV3_BITS(CR2_PTM) | IMS_SMMUV3_BITS(CR2_RECINVSID));
  V3_WRITE(u, STRTAB_BASE, v->strtab | IMS_SMMUV3_BITS(STRTAB_BASE_RA));
  V3_WRITE(u, STRTAB_BASE_CFG,
           IMS_SMMUV3_PUT(STRTAB_BASE_CFG_LOG2SIZE, v->sid_bits) |
               (v->two_level ? IMS_SMMUV3_PUT(STRTAB_BASE_CFG_SPLIT, V3_SPLIT) | IMS_SMMUV3_PUT(STRTAB_BASE_CFG_FMT, 1)
                             : 0));
}

static int enable_commands(struct host_unit *u) {
  struct smmuv3_driver *v = &u->smmuv3;
  V3_WRITE(u, CMDQ_BASE, v->cmdq | v->cmdq_log2 | IMS_SMMUV3_BITS(CMDQ_BASE_RA));
  V3_WRITE(u, CMDQ_PROD, 0);
  V3_WRITE(u, CMDQ_CONS, 0);
  V3_WRITE(u, GERRORN, V3_READ(u, GERROR)); // what stands there from before
  int err = cr0(u, IMS_SMMUV3_BITS(CR0_CMDQEN));
  if (err)
    return err;
  // Whatever the unit keeps from before.
  struct v3_cmd all[3] = {ims_v3_cmd(IMS_SMMUV3_CMD_CFGI_STE_RANGE), ims_v3_cmd(IMS_SMMUV3_CMD_TLBI_NSNH_ALL),
                          ims_v3_cmd(IMS_SMMUV3_CMD_TLBI_EL2_ALL)};
  ims_v3_cmd_set(&all[0], IMS_SMMUV3_COMMAND_RANGE_FIELD, 31);
  return ims_v3_submit(u, all, v->caps.hyp ? 3 : 2);
}

static int enable_events(struct host_unit *u) {
  struct smmuv3_driver *v = &u->smmuv3;
  V3_WRITE(u, EVENTQ_BASE, v->evtq | v->evtq_log2 | IMS_SMMUV3_BITS(EVENTQ_BASE_WA));
  V3_WRITE(u, EVENTQ_PROD, 0);
  V3_WRITE(u, EVENTQ_CONS, 0);
  int err = cr0(u, IMS_SMMUV3_BITS(CR0_EVENTQEN));
  if (err || !v->priq)
    return err;
  V3_WRITE(u, PRIQ_BASE, v->priq | v->priq_log2 | IMS_SMMUV3_BITS(PRIQ_BASE_WA));
  V3_WRITE(u, PRIQ_PROD, 0);
  V3_WRITE(u, PRIQ_CONS, 0);
  return cr0(u, IMS_SMMUV3_BITS(CR0_PRIQEN));
}

// 3.18. Without messages the wires are the platform's, which there is none of here: the queues are looked at instead.
static int enable_interrupts(struct host_unit *u) {
  struct smmuv3_driver *v = &u->smmuv3;
  uint32_t on = (uint32_t)(IMS_SMMUV3_BITS(IRQ_CTRL_EVENTQ_IRQEN) | IMS_SMMUV3_BITS(IRQ_CTRL_GERROR_IRQEN) |
                           (v->priq ? IMS_SMMUV3_BITS(IRQ_CTRL_PRIQ_IRQEN) : 0));
  int err = irq_ctrl(u, 0);
  if (err)
    return err;
  u->polled = !v->caps.msi;
  if (v->caps.msi) {
    const uint64_t addr = ims_unit_vector_addr(u);
    enum { DEVICE_NGNRE = 1 };
    V3_WRITE(u, GERROR_IRQ_CFG0, addr);
    V3_WRITE(u, GERROR_IRQ_CFG1, ims_unit_vector_data(u, V3_VECTOR_GERROR));
    V3_WRITE(u, GERROR_IRQ_CFG2, DEVICE_NGNRE);
    V3_WRITE(u, EVENTQ_IRQ_CFG0, addr);
    V3_WRITE(u, EVENTQ_IRQ_CFG1, ims_unit_vector_data(u, V3_VECTOR_EVENTQ));
    V3_WRITE(u, EVENTQ_IRQ_CFG2, DEVICE_NGNRE);
    if (v->priq) {
      V3_WRITE(u, PRIQ_IRQ_CFG0, addr);
      V3_WRITE(u, PRIQ_IRQ_CFG1, ims_unit_vector_data(u, V3_VECTOR_PRIQ));
      V3_WRITE(u, PRIQ_IRQ_CFG2, DEVICE_NGNRE);
    }
  }
  return irq_ctrl(u, on);
}

static int setup(struct host_unit *u) {
  struct smmuv3_driver *v = &u->smmuv3;
  identify(u);
  const bool has[3] = {v->caps.gran4k, v->caps.gran16k, v->caps.gran64k};
  if (!(v->caps.ttf & 2) || (!v->caps.s1p && !v->caps.s2p) || v->caps.ttendian == 3 ||
      !ims_arm_granule(u->k, has, &v->granule))
    return IMS_ERR_UNSUP;
  v->msi = v->caps.msi && v->caps.cohacc;
  u->id[ID_DOMAIN].limit = v->caps.vmid16 ? 1u << 16 : 1u << 8;
  u->id[ID_ASID].limit = v->caps.asid16 ? 1u << 16 : 1u << 8;
  int err = ims_doorbell_reserve(u->k);
  if (err)
    return err;
  err = V3_READ(u, CR0) & IMS_SMMUV3_BITS(CR0_SMMUEN) ? abort_all(u) : 0;
  if (!err)
    err = cr0(u, 0); // off, whoever ran it before
  if (!err)
    err = allocate(u);
  if (!err) {
    set_tables(u);
    err = enable_commands(u);
  }
  if (!err)
    err = enable_events(u);
  if (!err && v->caps.ats)
    err = cr0(u, IMS_SMMUV3_BITS(CR0_ATSCHK));
  if (!err)
    err = enable_interrupts(u);
  if (!err)
    err = cr0(u, IMS_SMMUV3_BITS(CR0_SMMUEN));
  if (!err)
    return IMS_ERR_OK;
  v->cr0 = 0;
  cr0(u, 0);
  release(u);
  return err == -ENOMEM ? IMS_ERR_NOSPACE : IMS_ERR_IO;
}

static void shutdown(struct host_unit *u) {
  irq_ctrl(u, 0);
  abort_all(u);
  u->smmuv3.cr0 = 0;
  cr0(u, 0);
  release(u);
}

static void message(struct host_unit *u, unsigned kind) {
  struct smmuv3_driver *v = &u->smmuv3;
  v->evt_irq |= kind == V3_VECTOR_EVENTQ;
  v->pri_irq |= kind == V3_VECTOR_PRIQ;
  v->gerr_irq |= kind == V3_VECTOR_GERROR;
  u->k->irq_pending = true;
}

static uint64_t root(const struct host_unit *u) { return u->smmuv3.strtab; }

// ---- Capabilities ---------------------------------------------------------------------------------------------------

static bool can_nest(const struct host_unit *u) { return u->smmuv3.caps.s1p && u->smmuv3.caps.s2p; }

static unsigned address_bits(const struct host_unit *u) {
  return smaller(ims_smmuv3_oas(&u->smmuv3.caps), 48); // 52 bits need DS, or 64 KB tables with LPA
}

// Facts 2, step 5, for an SMMU (arm-smmu-v3-sva.c): the unit reads the processor's tables as the processor does. Without PRI
// a device's pages have to be there; stalls serve platform devices.
static int sva_check(const struct ims_device *dev) {
  const struct host_unit *u = dev->unit;
  const struct ims_smmuv3_config *c = &u->smmuv3.caps;
  const bool has[3] = {c->gran4k, c->gran16k, c->gran64k};
  if (!dev->max_pasids || (dev->cfg.pri && !dev->pri_works))
    return -EINVAL;
  if (u->k->cfg.cpu_format == IMS_CPU_X86_64 || !has[u->k->cfg.cpu_format - IMS_CPU_ARM_4K])
    return -ENODEV;
  return c->s1p && c->cohacc && address_bits(u) >= 48 ? 0 : -ENODEV;
}

// Leaves change under the host's hands only where hardware does it, and sees them.
static bool tracks_dirty(const struct host_unit *u) {
  const struct ims_smmuv3_config *c = &u->smmuv3.caps;
  return (c->httu & 3) >= 2 && c->cohacc;
}

static bool can_track_dirty(const struct ims_device *dev) { return tracks_dirty(dev->unit); }

// A first stage where there is one, as Linux prefers it; a second stage under guests.
static int paging_format(const struct host_unit *u, unsigned want, struct paging *out) {
  const bool nest = want & WANT_NEST, dirty = want & WANT_DIRTY;
  const struct ims_smmuv3_config *c = &u->smmuv3.caps;
  if (nest && ((want & (WANT_DIRTY | WANT_PASID)) || !can_nest(u)))
    return -ENODEV;
  if (((want & (WANT_DIRTY | WANT_PASID)) && !c->s1p) || (dirty && !tracks_dirty(u)))
    return -ENODEV;
  if (!ims_arm_paging_format((enum ims_granule)u->smmuv3.granule, address_bits(u), address_bits(u), u->k->cfg.s2_levels,
                             nest || !c->s1p, nest, c->xnx, nest && c->fwb, out))
    return -ENODEV;
  if (dirty) {
    out->tracks = true;
    out->pgt.a_bits = IMS_VMSA_AF;
    out->pgt.d_bit = IMS_VMSA_AP2;
    out->map_flags |= IMS_MAP_DBM | IMS_MAP_D; // written, as far as anybody knows, until the bits are cleared
  }
  return 0;
}

static int compatible(struct host_unit *u, const struct hdomain *d) {
  const struct paging *p = d->paging;
  const struct ims_smmuv3_config *c = &u->smmuv3.caps;
  const bool has[3] = {c->gran4k, c->gran16k, c->gran64k};
  enum ims_pgt_kind kind = p->s1 ? IMS_PGT_VMSA_S1 : IMS_PGT_VMSA_S2;
  bool ok = d->made_for == u && p->fmt.kind == kind && (p->s1 ? c->s1p : c->s2p) && has[(p->fmt.page_shift - 12) / 2] &&
            p->pgt.in_bits <= address_bits(u) && p->pgt.out_bits <= address_bits(u) && (!p->nest || can_nest(u)) &&
            (!(p->pgt.flags & IMS_PGT_FWB) || c->fwb);
  return ok ? 0 : -EINVAL;
}

static enum host_id id_of(const struct hdomain *d) {
  if (d->type == HDOMAIN_NESTED)
    return ID_PARENT;
  return d->type == HDOMAIN_PAGING && !d->paging->s1 ? ID_DOMAIN : ID_ASID;
}

// SMMU drivers filled nothing in (Facts 1.2): GET_INFO of a nesting container fails with ENOENT in the vSVA dialects.
static void nesting_info(const struct host_unit *u, struct ims_iommu_nesting_info *out) {
  (void)u;
  *out = (struct ims_iommu_nesting_info){.argsz = sizeof *out};
}

static bool has_5level(const struct host_unit *u) {
  (void)u;
  return false;
}

static bool coherent(const struct ims_device *dev) { return dev->unit->smmuv3.caps.cohacc; }

const struct host_ops ims_smmuv3_host_ops = {
    .arch = "smmuv3",
    .note = IMS_ARCH_SMMUV3,
    .setup = setup,
    .shutdown = shutdown,
    .root = root,
    .message = message,
    .device_init = ims_v3_device_init,
    .device_fini = ims_v3_device_fini,
    .device_changed = ims_v3_device_changed,
    .coherent = coherent,
    .compatible = compatible,
    .paging_format = paging_format,
    .id_of = id_of,
    .id_free = ims_v3_id_free,
    .check = ims_v3_check,
    .attach = ims_v3_attach,
    .detach = ims_v3_detach,
    .replace = ims_v3_replace,
    .hw_info = ims_v3_hw_info,
    .can_track_dirty = can_track_dirty,
    .has_viommu = ims_v3_has_viommu,
    .viommu_init = ims_v3_viommu_init,
    .flush = ims_v3_flush,
    .flush_new = ims_v3_flush_new,
    .nesting_info = nesting_info,
    .page_response = ims_v3_page_response,
    .interrupt = ims_v3_interrupt,
    .can_nest = can_nest,
    .sva_check = sva_check,
    .has_5level = has_5level,
    .guest_table = true,
    .parent_id = true,
    .set_guest = ims_v3_set_guest,
    .invalidate_guest = ims_v3_invalidate_guest,
    // Linux: MSI_IOVA_BASE, where the host maps doorbells for devices of its own.
    .msi_first = 0x08000000,
    .msi_last = 0x080fffff,
};
