// SPDX-License-Identifier: Apache-2.0
// Scalable mode: context entries with a PASID directory for each device, PASID entries written and torn down.
// VT-d rev 4.1, 9.3 to 9.6; the order of steps is that of Linux 7.x, intel/pasid.c and intel/nested.c:
// bind (cleared, filled, P last, then what caching mode or the write buffer demand) and tear-down (P cleared, PASID cache,
// IOTLB, device TLB, entry cleared, page requests drained).
#include "pasid/vtd.h"
#include "uapi/vtd_internal.h"

enum { ENTRY_P = 1, ENTRY_FPD = 2 };
enum { DRAIN_ROUNDS = 16 };

// ---- Context entry --------------------------------------------------------------------------------------------------

int ims_vtdd_context_table(struct ims_device *dev, uint64_t *entry) {
  struct host_unit *u = dev->unit;
  unsigned bus = dev->cfg.source >> 8, devfn = dev->cfg.source & 255;
  unsigned half = u->vtd.scalable && devfn > 127, size = u->vtd.scalable ? 32 : 16;
  uint64_t *table = &u->vtd.bus_table[bus][half];
  if (!*table) {
    if (ims_pool_page(u->k, IMS_PAGE_SHIFT, table))
      return -ENOMEM;
    // Root entry: 16 bytes a bus; scalable mode: a half for each 128 functions.
    if (ims_store(u->k, u, ~0u, "root entry", u->vtd.root + bus * 16u + half * 8u, *table | ENTRY_P))
      return -EIO;
  }
  *entry = *table + (uint64_t)(u->vtd.scalable ? devfn & 127 : devfn) * size;
  return 0;
}

static uint64_t context_word(const struct ims_device *dev) {
  return ENTRY_P | (uint64_t)dev->ats_works << 2 | (uint64_t)(dev->max_pasids > 0) << 3 |
         (uint64_t)dev->pri_works << 4 | (uint64_t)dev->pdts << 9 | dev->pasid_dir;
}

// What device and unit can together, and have switched on.
static void settle(struct ims_device *dev) {
  const struct ims_vtd_config *c = &dev->unit->vtd.caps;
  dev->ats_works = dev->ats_on && c->dt;
  dev->pri_works = dev->ats_works && dev->pri_on && c->prs && dev->unit->vtd.scalable;
}

int ims_vtdd_device_init(struct ims_device *dev) {
  struct host_unit *u = dev->unit;
  const struct ims_vtd_config *c = &u->vtd.caps;
  uint64_t entry;
  settle(dev);
  if (!u->vtd.scalable)
    return IMS_ERR_OK; // the context entry is written at attach
  unsigned bits = dev->cfg.pasid_bits < c->pss + 1 ? dev->cfg.pasid_bits : c->pss + 1;
  dev->max_pasids = c->pasid && dev->cfg.pasid_bits ? 1u << bits : 0;
  dev->pdts = bits > 13 ? (uint8_t)(bits - 13) : 0; // 2^(PDTS+7) directory entries of 64 PASIDs
  int err = ims_pool_page(u->k, 10u + dev->pdts, &dev->pasid_dir);
  if (err)
    return err;
  if (ims_vtdd_context_table(dev, &entry)) {
    ims_pool_free(u->k, dev->pasid_dir, 10u + dev->pdts);
    return IMS_ERR_NOSPACE;
  }
  ims_store(u->k, u, dev->cfg.source, "context entry", entry + 8, 0); // RID_PASID 0
  ims_store(u->k, u, dev->cfg.source, "context entry", entry, context_word(dev));
  if (c->cm) {
    struct vtd_desc d = ims_desc_context(VTD_CTX_DEVICE, 0, dev->cfg.source);
    return ims_vtdd_submit(u, &d, 1, 0) ? IMS_ERR_IO : IMS_ERR_OK;
  }
  ims_vtdd_write_buffer_flush(u);
  return IMS_ERR_OK;
}

void ims_vtdd_device_fini(struct ims_device *dev) {
  struct ims_kernel *k = dev->k;
  uint64_t entry;
  if (!dev->pasid_dir || ims_vtdd_context_table(dev, &entry))
    return;
  ims_store(k, dev->unit, dev->cfg.source, "context entry", entry, 0);
  struct vtd_desc d[] = {ims_desc_context(VTD_CTX_DEVICE, 0, dev->cfg.source), ims_desc_pasid_cache_global(),
                         ims_desc_iotlb_global()};
  ims_vtdd_submit(dev->unit, d, 3, 0);
  for (uint32_t i = 0; i < ims_vtd_pasid_dir_entries(dev->pdts); i++) {
    uint64_t pde;
    if (!ims_mem_load64(k->mem, dev->pasid_dir + i * 8ull, &pde) && ims_vtd_pde_present(pde))
      ims_pool_free(k, ims_vtd_pde_table(pde), IMS_PAGE_SHIFT);
  }
  ims_pool_free(k, dev->pasid_dir, 10u + dev->pdts);
}

void ims_vtdd_device_changed(struct ims_device *dev) {
  bool ats = dev->ats_works;
  uint64_t entry;
  settle(dev);
  if (!dev->unit->vtd.scalable || ims_vtdd_context_table(dev, &entry))
    return;
  // No PASID entry is present: the context entry and the device are all that can hold anything (6.5.3.3).
  ims_store(dev->k, dev->unit, dev->cfg.source, "context entry", entry, context_word(dev));
  struct vtd_desc d[] = {ims_desc_context(VTD_CTX_DEVICE, 0, dev->cfg.source),
                         ims_desc_device_tlb(dev, 0, VTD_PAGE_BITS)};
  ims_vtdd_submit(dev->unit, d, ats ? 2 : 1, 0);
}

// ---- PASID entry ----------------------------------------------------------------------------------------------------

// hpa of the entry; its table is made where there is none. -ENODEV: the device has no such PASID.
static int entry_of(struct ims_device *dev, uint32_t pasid, bool make, uint64_t *hpa) {
  struct ims_kernel *k = dev->k;
  uint64_t at = dev->pasid_dir + ims_vtd_pasid_dir_offset(pasid), pde;
  if (!dev->pasid_dir || pasid >= (dev->max_pasids ? dev->max_pasids : 1))
    return -ENODEV;
  if (ims_mem_load64(k->mem, at, &pde))
    return -EIO;
  if (!ims_vtd_pde_present(pde)) {
    uint64_t table;
    if (!make)
      return -ENODEV;
    if (ims_pool_page(k, IMS_PAGE_SHIFT, &table))
      return -ENOMEM;
    pde = table | ENTRY_P;
    if (ims_store(k, dev->unit, dev->cfg.source, "PASID directory entry", at, pde))
      return -EIO;
  }
  *hpa = ims_vtd_pde_table(pde) + ims_vtd_pasid_table_offset(pasid);
  return 0;
}

static int store(struct ims_device *dev, uint64_t hpa, unsigned word, uint64_t value) {
  dev->k->count.entries_written++;
  return ims_store(dev->k, dev->unit, dev->cfg.source, "PASID table entry", hpa + 8ull * word, value);
}

static bool own_first_stage(const struct hdomain *d) { return d->type == HDOMAIN_PAGING && d->paging->s1; }

bool ims_vtdd_first_stage(const struct hdomain *d) { return d->type == HDOMAIN_SVA || own_first_stage(d); }

// The largest second-stage width of the unit, which Linux writes into first-stage entries too.
static unsigned largest_aw(const struct host_unit *u) {
  const struct ims_vtd_config *c = &u->vtd.caps;
  unsigned sagaw = (c->ssts ? c->sagaw & 0xeu : 0xeu) & (4u | (c->fs5lp ? 8u : 0u));
  return sagaw ? 31u - (unsigned)__builtin_clz(sagaw) : 0;
}

static void compose(const struct host_unit *u, const struct hdomain *d, uint16_t did, uint64_t pe[IMS_VTD_PE_WORDS]) {
  const struct paging *s2 = own_first_stage(d)          ? NULL
                            : d->type == HDOMAIN_PAGING ? d->paging
                            : d->type == HDOMAIN_NESTED ? d->parent->paging
                                                        : NULL;
  if (own_first_stage(d)) {
    ims_vtd_pe_set(pe, IMS_VTD_PE_FSPM, d->paging->pgt.levels == 5);
    ims_vtd_pe_set(pe, IMS_VTD_PE_FSPTPTR, d->paging->pgt.root >> 12);
    ims_vtd_pe_set(pe, IMS_VTD_PE_PGSNP, d->paging->snoop);
    ims_vtd_pe_set(pe, IMS_VTD_PE_AW, largest_aw(u));
  } else if (d->type != HDOMAIN_PAGING) {
    ims_vtd_pe_set(pe, IMS_VTD_PE_FSPM, d->s1_levels == 5);
    ims_vtd_pe_set(pe, IMS_VTD_PE_FSPTPTR, d->s1_root >> 12);
    ims_vtd_pe_set(pe, IMS_VTD_PE_SRE, d->sre);
    ims_vtd_pe_set(pe, IMS_VTD_PE_WPE, d->sre && d->wpe);
    ims_vtd_pe_set(pe, IMS_VTD_PE_EAFE, d->eafe);
  }
  if (d->type == HDOMAIN_NESTED)
    ims_vtd_pe_set(pe, IMS_VTD_PE_PGSNP, s2->snoop);
  if (d->type == HDOMAIN_SVA) // the processor's tables have XD, which 3.x units take for reserved without it
    ims_vtd_pe_set(pe, IMS_VTD_PE_NXE, 1);
  if (s2) {
    ims_vtd_pe_set(pe, IMS_VTD_PE_SSPTPTR, s2->pgt.root >> 12);
    ims_vtd_pe_set(pe, IMS_VTD_PE_AW, s2->aw);
    ims_vtd_pe_set(pe, IMS_VTD_PE_SSADE, s2->dirty);
  }
  ims_vtd_pe_set(pe, IMS_VTD_PE_DID, did);
  ims_vtd_pe_set(pe, IMS_VTD_PE_PWSNP, u->vtd.caps.smpwcs);
  static const uint8_t pgtt[] = {[HDOMAIN_PAGING] = IMS_VTD_PGTT_SECOND,
                                 [HDOMAIN_NESTED] = IMS_VTD_PGTT_NESTED,
                                 [HDOMAIN_SVA] = IMS_VTD_PGTT_FIRST};
  ims_vtd_pe_set(pe, IMS_VTD_PE_PGTT, own_first_stage(d) ? IMS_VTD_PGTT_FIRST : pgtt[d->type]);
}

// B6: what can be said before anything is written.
int ims_vtdd_check(const struct ims_device *dev, uint32_t pasid, const struct hdomain *d) {
  const struct host_unit *u = dev->unit;
  const struct ims_vtd_config *c = &u->vtd.caps;
  if (!u->vtd.scalable)
    return pasid || d->type != HDOMAIN_PAGING ? -ENODEV : 0;
  if (d->type == HDOMAIN_PAGING)
    return 0;
  if ((d->s1_levels != 4 && d->s1_levels != 5) || (d->s1_levels == 5 && !c->fs5lp))
    return -EINVAL;
  return (d->sre && !c->srs) || (d->eafe && !c->eafs) ? -EINVAL : 0;
}

int ims_vtdd_attach(struct ims_device *dev, uint32_t pasid, const struct hdomain *d, uint16_t did) {
  struct host_unit *u = dev->unit;
  uint64_t hpa, old, pe[IMS_VTD_PE_WORDS] = {0};
  if (!u->vtd.scalable)
    return ims_vtdd_legacy_attach(dev, d, did);
  int err = entry_of(dev, pasid, true, &hpa);
  if (err)
    return err;
  if (ims_mem_load64(dev->k->mem, hpa, &old))
    return -EIO;
  if (old & ENTRY_P)
    return -EBUSY;

  // B7: all zero, then the fields, P last.
  compose(u, d, did, pe);
  bool bad = false;
  for (unsigned i = 0; i < IMS_VTD_PE_WORDS; i++)
    bad |= store(dev, hpa, i, 0) != IMS_ERR_OK;
  bad |= store(dev, hpa, 2, pe[2]) != IMS_ERR_OK;
  bad |= store(dev, hpa, 1, pe[1]) != IMS_ERR_OK;
  bad |= store(dev, hpa, 0, pe[0]) != IMS_ERR_OK;
  bad |= store(dev, hpa, 0, pe[0] | ENTRY_P) != IMS_ERR_OK;
  if (bad)
    return -EIO;

  // B8: what was not present may be cached as such only in caching mode.
  if (u->vtd.caps.cm) {
    struct vtd_desc pc = ims_desc_pasid_cache(did, pasid), piotlb = ims_desc_piotlb(did, pasid);
    err = ims_vtdd_submit(u, &pc, 1, 0);
    if (!err)
      err = ims_vtdd_submit(u, &piotlb, 1, 0);
    if (err) { // the unit does not listen: leave nothing behind that it might still see
      store(dev, hpa, 0, 0);
      return -EIO;
    }
    return 0;
  }
  ims_vtdd_write_buffer_flush(u);
  return 0;
}

// T6: nothing of (device, PASID) is left in the page request queue, in the kernel, or on its way.
static void drain(struct ims_device *dev, uint32_t pasid, uint16_t did) {
  struct host_unit *u = dev->unit;
  if (!dev->pri_works)
    return;
  struct vtd_desc d[] = {ims_desc_wait_fence(), pasid ? ims_desc_piotlb(did, pasid) : ims_desc_iotlb_domain(u, did),
                         ims_desc_device_tlb_of(dev, pasid, 0, VTD_PAGE_BITS)};
  for (unsigned round = 0; round < DRAIN_ROUNDS; round++) {
    ims_vtdd_page_requests(u);
    ims_iopf_drop(dev, pasid);
    if (ims_vtdd_submit(u, d, 3, VTD_DRAIN) || !(VTD_READ(u, PRS) & IMS_VTD_BITS(PRS_PRO)))
      break;
  }
  // What the drain brought into the queue belongs to nobody any more.
  ims_vtdd_page_requests(u);
  ims_iopf_drop(dev, pasid);
}

void ims_vtdd_detach(struct ims_device *dev, uint32_t pasid, const struct hdomain *d, uint16_t did, bool gone) {
  struct host_unit *u = dev->unit;
  uint64_t hpa, word;
  if (!u->vtd.scalable) {
    ims_vtdd_legacy_detach(dev, did);
    return;
  }
  if (entry_of(dev, pasid, false, &hpa) || ims_mem_load64(dev->k->mem, hpa, &word))
    return;
  if (!(word & ENTRY_P)) { // cut off when the process exited
    store(dev, hpa, 0, 0);
    drain(dev, pasid, did);
    return;
  }
  // T1: P only. T2: PASID cache. T3: IOTLB. T4: device TLB. Each is complete before the next.
  store(dev, hpa, 0, word & ~(uint64_t)ENTRY_P);
  struct vtd_desc desc[] = {ims_desc_pasid_cache(did, pasid),
                            ims_vtdd_first_stage(d) ? ims_desc_piotlb(did, pasid) : ims_desc_iotlb_domain(u, did),
                            ims_desc_device_tlb_of(dev, pasid, 0, VTD_PAGE_BITS)};
  for (unsigned i = 0; i < (dev->ats_works ? 3u : 2u); i++)
    ims_vtdd_submit(u, &desc[i], 1, 0);
  // T5: zero; FPD stays where the process is gone but the device may still ask.
  for (unsigned i = 0; i < IMS_VTD_PE_WORDS; i++)
    store(dev, hpa, i, i == 0 && gone ? ENTRY_FPD : 0);
  if (!gone)
    drain(dev, pasid, did);
}

// SSADE of an entry in use; then what 6.5.3.3 demands of a second-stage or nested entry that was present. Each is complete
// before the next.
int ims_vtdd_set_dirty(struct ims_device *dev, uint32_t pasid, const struct hdomain *d, uint16_t did, bool on) {
  struct host_unit *u = dev->unit;
  uint64_t hpa, word;
  int err = entry_of(dev, pasid, false, &hpa);
  if (err)
    return err;
  if (ims_vtdd_first_stage(d))
    return -EOPNOTSUPP;
  if (ims_mem_load64(dev->k->mem, hpa, &word))
    return -EIO;
  uint64_t new = on ? word | IMS_VTD_PE0_SSADE : word & ~IMS_VTD_PE0_SSADE;
  if (new == word)
    return 0;
  if (store(dev, hpa, 0, new) != IMS_ERR_OK)
    return -EIO;
  struct vtd_desc desc[] = {ims_desc_pasid_cache(did, pasid), ims_desc_iotlb_domain(u, did),
                            ims_desc_device_tlb_of(dev, pasid, 0, VTD_PAGE_BITS)};
  for (unsigned i = 0; i < (dev->ats_works ? 3u : 2u); i++)
    ims_vtdd_submit(u, &desc[i], 1, 0);
  return 0;
}
