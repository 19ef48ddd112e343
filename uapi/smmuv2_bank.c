// SPDX-License-Identifier: Apache-2.0
// Context banks: one a domain, and one for each guest's stage 1 over its second stage; TLB maintenance by their registers.
// Arm IHI 0062; writes in the order of Linux 7.x, arm-smmu.c (CBA2R, CBAR, TCR2, TCR, TTBR0, TTBR1, MAIR, SCTLR last).
// Facts: smmuv2.md 3, 4, 7; uapi.md 4.3.
#include "uapi/smmuv2_internal.h"

enum { WALKS_WRITE_BACK = 1 << 8 | 1 << 10 | 3 << 12 }; // IRGN0, ORGN0, SH0 of TCR

static unsigned banks(const struct host_unit *u) { return u->smmuv2.caps.numcb; }

static unsigned bank_of(const struct host_unit *u, const struct hdomain *d) {
  for (unsigned i = 0; i < banks(u); i++)
    if (u->smmuv2.bank[i].d == d && !u->smmuv2.bank[i].guest)
      return i;
  return V2_NO_BANK;
}

static unsigned guest_bank(const struct ims_device *dev) {
  for (unsigned i = 0; i < banks(dev->unit); i++)
    if (dev->unit->smmuv2.bank[i].guest == dev)
      return i;
  return V2_NO_BANK;
}

// Stage 1 takes the lowest bank that can do it; stage 2 the lowest of all, so that those that can do nothing else go first.
static unsigned free_bank(const struct host_unit *u, bool s2) {
  for (unsigned i = s2 ? 0 : u->smmuv2.caps.nums2cb; i < banks(u); i++)
    if (!u->smmuv2.bank[i].d)
      return i;
  return V2_NO_BANK;
}

// ---- TLB ------------------------------------------------------------------------------------------------------------

static int wait_idle(struct host_unit *u, uint32_t status) {
  for (unsigned looks = 0; ims_unit_read(u, status, 4) & 1; looks++)
    if (!ims_unit_relax(u, looks)) {
      ims_log(u->k, IMS_LOG_ERROR, u, "TLB sync does not complete");
      return -ETIMEDOUT;
    }
  u->k->count.waits++;
  return 0;
}

int ims_v2_global_sync(struct host_unit *u) {
  V2_WRITE(u, sTLBGSYNC, 0);
  return wait_idle(u, IMS_SMMUV2_OFF_sTLBGSTATUS);
}

static int bank_sync(struct host_unit *u, unsigned n) {
  V2_CB(u, TLBSYNC, n, 0);
  return wait_idle(u, V2_CB_AT(u, TLBSTATUS, n));
}

static int flush_vmid(struct host_unit *u, uint16_t vmid) {
  V2_WRITE(u, TLBIVMID, vmid);
  return ims_v2_global_sync(u);
}

static int flush_asid(struct host_unit *u, unsigned n, uint16_t asid) {
  V2_CB(u, TLBIASID, n, asid);
  return bank_sync(u, n);
}

// Page by page; there are no ranges. False: more than a table's worth, for which whole tags are cheaper.
static bool few(unsigned page_shift, uint64_t first, uint64_t last) {
  return (last >> page_shift) - (first >> page_shift) < 1ull << (page_shift - 3);
}

static int flush_va(struct host_unit *u, unsigned n, uint16_t asid, unsigned page_shift, uint64_t first, uint64_t last,
                    bool leaf) {
  if (!few(page_shift, first, last))
    return flush_asid(u, n, asid);
  for (uint64_t page = first >> page_shift; page <= last >> page_shift; page++) {
    uint64_t value = (page << page_shift >> 12 & ((1ull << 44) - 1)) | (uint64_t)asid << 48;
    if (leaf)
      V2_CB(u, TLBIVAL, n, value);
    else
      V2_CB(u, TLBIVA, n, value);
  }
  return bank_sync(u, n);
}

static int flush_ipa(struct host_unit *u, unsigned n, uint16_t vmid, unsigned page_shift, uint64_t first, uint64_t last,
                     bool leaf, bool nest) {
  if (!few(page_shift, first, last))
    return flush_vmid(u, vmid);
  for (uint64_t page = first >> page_shift; page <= last >> page_shift; page++) {
    uint64_t value = page << page_shift >> 12;
    if (leaf)
      V2_CB(u, TLBIIPAS2L, n, value);
    else
      V2_CB(u, TLBIIPAS2, n, value);
  }
  if (!nest)
    return bank_sync(u, n);
  // What guests' first stages made of it is combined, and not found by IPA.
  V2_WRITE(u, TLBIVMIDS1, vmid);
  return ims_v2_global_sync(u);
}

int ims_v2_flush(const struct hdomain *d, struct domain_unit *du, uint64_t first, uint64_t last, bool leaf) {
  struct host_unit *u = du->unit;
  const struct paging *p = d->paging;
  unsigned n = bank_of(u, d);
  if (n == V2_NO_BANK || u->k->units_gone)
    return 0;
  if (p->s1)
    return flush_va(u, n, du->did, p->fmt.page_shift, first, last, leaf);
  return flush_ipa(u, n, du->did, p->fmt.page_shift, first, last, leaf, p->nest);
}

int ims_v2_flush_new(const struct hdomain *d, struct domain_unit *du, uint64_t first, uint64_t last) {
  (void)d;
  (void)du;
  (void)first;
  (void)last;
  return 0;
}

// ---- Banks ----------------------------------------------------------------------------------------------------------

static unsigned tg0(unsigned page_shift) { return page_shift == 12 ? 0 : page_shift == 16 ? 1 : 2; }

// TCR2.PASize and TCR.PS, 32 to 48 bits.
static uint64_t size_code(unsigned bits) {
  static const uint8_t width[] = {32, 36, 40, 42, 44, 48};
  unsigned code = 0;
  while (code < 5 && width[code] < bits)
    code++;
  return code;
}

static void attributes(struct host_unit *u, unsigned n, unsigned type, unsigned s2_bank, uint16_t vmid) {
  uint64_t cbar = IMS_SMMUV2_PUT(CBAR_TYPE, type);
  if (type == IMS_SMMUV2_CBAR_NESTED)
    cbar |= (uint64_t)s2_bank << 8;
  else if (type == IMS_SMMUV2_CBAR_S1)
    cbar |= 0xfull << 12 |
            3ull << 8; // past stage 2: write-back, shareability as sent (BPSHCFG 3: non-shareable to be ORed)
  if (!u->smmuv2.vmid16)
    cbar |= vmid & 0xffu;
  V2_ATTR(u, CBA2R, n, IMS_SMMUV2_PUT(CBA2R_VA64, 1) | (u->smmuv2.vmid16 ? IMS_SMMUV2_PUT(CBA2R_VMID16, vmid) : 0));
  V2_ATTR(u, CBAR, n, cbar);
}

static void enable(struct host_unit *u, unsigned n, bool s1, bool stall) {
  V2_CB(u, SCTLR, n,
        IMS_SMMUV2_BITS(SCTLR_CFIE) | IMS_SMMUV2_BITS(SCTLR_CFRE) | IMS_SMMUV2_BITS(SCTLR_HUPCF) |
            IMS_SMMUV2_BITS(SCTLR_AFE) | IMS_SMMUV2_BITS(SCTLR_TRE) | (s1 ? IMS_SMMUV2_BITS(SCTLR_ASIDPNE) : 0) |
            IMS_SMMUV2_PUT(SCTLR_CFCFG, stall) | IMS_SMMUV2_BITS(SCTLR_M));
}

static void disable(struct host_unit *u, unsigned n) {
  V2_CB(u, SCTLR, n, 0);
  u->smmuv2.bank[n] = (struct smmuv2_bank){0};
}

static void stage1(struct host_unit *u, unsigned n, uint32_t tcr, uint64_t table, uint16_t asid, unsigned out_bits,
                   uint64_t mair, bool stall) {
  V2_CB(u, TCR2, n,
        IMS_SMMUV2_PUT(TCR2_PASIZE, size_code(out_bits)) | IMS_SMMUV2_BITS(TCR2_AS) | IMS_SMMUV2_PUT(TCR2_SEP, 7));
  V2_CB(u, TCR, n, tcr);
  V2_CB(u, TTBR0, n, table | (uint64_t)asid << 48);
  V2_CB(u, TTBR1, n, (uint64_t)asid << 48);
  V2_CB(u, MAIR0, n, mair & 0xffffffff);
  V2_CB(u, MAIR1, n, mair >> 32);
  enable(u, n, true, stall);
}

static void stage2(struct host_unit *u, unsigned n, const struct ims_pgt *p) {
  unsigned sl0 = p->fmt->page_shift == 12 ? p->levels - 2u : p->levels - 1u;
  V2_CB(u, TCR, n,
        (64u - p->in_bits) | sl0 << 6 | WALKS_WRITE_BACK | tg0(p->fmt->page_shift) << 14 |
            size_code(p->out_bits) << 16 | 1u << 31);
  V2_CB(u, TTBR0, n, p->root);
  enable(u, n, false, false);
}

static int open_bank(struct host_unit *u, const struct hdomain *d, uint16_t id, unsigned *bank) {
  const struct ims_pgt *p = &d->paging->pgt;
  unsigned n = free_bank(u, !d->paging->s1);
  if (n == V2_NO_BANK)
    return -ENOSPC;
  u->smmuv2.bank[n] = (struct smmuv2_bank){.d = d, .vmid = d->paging->s1 ? 0 : id, .asid = d->paging->s1 ? id : 0};
  if (d->paging->s1) {
    attributes(u, n, IMS_SMMUV2_CBAR_S1, 0, 0);
    stage1(
        u, n,
        (uint32_t)((64u - p->in_bits) | WALKS_WRITE_BACK | tg0(p->fmt->page_shift) << 14 | IMS_SMMUV2_BITS(TCR_EPD1)),
        p->root, id, p->out_bits, p->mair, false);
  } else {
    attributes(u, n, IMS_SMMUV2_CBAR_S2, 0, id);
    stage2(u, n, p);
  }
  *bank = n;
  return 0;
}

static void close_bank(struct host_unit *u, unsigned n) {
  struct smmuv2_bank was = u->smmuv2.bank[n];
  if (was.d->paging->s1) {
    disable(u, n);
    flush_asid(u, n, was.asid);
  } else {
    disable(u, n);
    flush_vmid(u, was.vmid);
  }
}

int ims_v2_attach(struct ims_device *dev, uint32_t pasid, const struct hdomain *d, uint16_t id) {
  struct host_unit *u = dev->unit;
  if (pasid || d->type != HDOMAIN_PAGING)
    return -ENODEV;
  unsigned n = bank_of(u, d);
  int err = n == V2_NO_BANK ? open_bank(u, d, id, &n) : 0;
  if (err)
    return err;
  u->smmuv2.bank[n].streams++;
  ims_v2_stream(dev, n);
  u->k->count.entries_written++;
  return 0;
}

void ims_v2_detach(struct ims_device *dev, uint32_t pasid, const struct hdomain *d, uint16_t id, bool gone) {
  struct host_unit *u = dev->unit;
  unsigned n = bank_of(u, d);
  (void)pasid;
  (void)id;
  (void)gone;
  if (u->k->units_gone || n == V2_NO_BANK)
    return;
  ims_v2_stream(dev, V2_NO_BANK);
  u->k->count.entries_written++;
  if (!--u->smmuv2.bank[n].streams)
    close_bank(u, n);
  ims_v2_faults(u);
}

// ---- A guest's stage 1 ----------------------------------------------------------------------------------------------

static void unset_guest(struct ims_device *dev, unsigned n, unsigned s2_bank) {
  struct host_unit *u = dev->unit;
  uint16_t asid = u->smmuv2.bank[n].asid;
  ims_v2_stream(dev, s2_bank);
  V2_CB(u, SCTLR, n, 0);
  flush_asid(u, n, asid);
  ims_v2_faults(u); // what still stands in the bank
  disable(u, n);
  u->smmuv2.bank[s2_bank].streams--;
}

// The guest's TCR counts for TTBR0; what would use TTBR1 is off, as it is with the host's own tables.
static bool tcr_legal(const struct host_unit *u, uint32_t tcr, unsigned *page_shift) {
  const struct ims_smmuv2_config *c = &u->smmuv2.caps;
  static const uint8_t shift[4] = {12, 16, 14, 0};
  const bool has[4] = {c->gran4k, c->gran64k, c->gran16k, false};
  unsigned tg = tcr >> 14 & 3, t0sz = tcr & 63;
  *page_shift = shift[tg];
  return !(tcr >> 16) && !(tcr & IMS_SMMUV2_TCR_EPD0) && !(tcr >> 6 & 1) && has[tg] && t0sz >= 16 && t0sz <= 39;
}

int ims_v2_set_guest(struct ims_device *dev, const struct hdomain *d, uint16_t vmid, const struct guest_stage1 *s) {
  struct host_unit *u = dev->unit;
  unsigned s2_bank = bank_of(u, d), n = guest_bank(dev), page_shift;
  if (s2_bank == V2_NO_BANK)
    return -EINVAL;
  if (!s) {
    if (n != V2_NO_BANK)
      unset_guest(dev, n, s2_bank);
    return 0;
  }
  if (n != V2_NO_BANK)
    return -EBUSY;
  if (!tcr_legal(u, s->tcr, &page_shift))
    return -EINVAL;
  n = free_bank(u, false);
  if (n == V2_NO_BANK)
    return -ENOSPC;
  u->smmuv2.bank[n] = (struct smmuv2_bank){.d = d, .guest = dev, .streams = 1, .vmid = vmid, .asid = s->asid};
  u->smmuv2.bank[s2_bank].streams++;
  attributes(u, n, IMS_SMMUV2_CBAR_NESTED, s2_bank, vmid);
  stage1(u, n, s->tcr | (uint32_t)IMS_SMMUV2_BITS(TCR_EPD1), s->base, s->asid, d->paging->pgt.in_bits, s->mair,
         dev->cfg.stall);
  ims_v2_stream(dev, n);
  u->k->count.entries_written++;
  return 0;
}

int ims_v2_invalidate_guest(struct ims_device *dev, uint16_t vmid, const struct cache_inv *inv) {
  enum { BY_DOMAIN = 0, BY_ADDR = 2, FLAG_LEAF = 4 };
  struct host_unit *u = dev->unit;
  unsigned n = guest_bank(dev), page_shift = 12;
  (void)vmid;
  if (n == V2_NO_BANK)
    return -EINVAL;
  if (inv->granularity == BY_DOMAIN) {
    V2_CB(u, TLBIALL, n, 0);
    return bank_sync(u, n);
  }
  if (inv->granularity != BY_ADDR)
    return flush_asid(u, n, (uint16_t)inv->archid);
  if (inv->granule_size == 1u << 14 || inv->granule_size == 1u << 16)
    page_shift = (unsigned)__builtin_ctzll(inv->granule_size);
  return flush_va(u, n, (uint16_t)inv->archid, page_shift, inv->addr,
                  inv->addr + (inv->granule_size * inv->nb_granules - 1), inv->info_flags & FLAG_LEAF);
}
