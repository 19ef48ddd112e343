// SPDX-License-Identifier: Apache-2.0
// The host's own CD tables: one a device, linear where its substreams fit into one leaf, else with two levels whose leaves
// come as they are needed; CDs of processes (SVA) and of the host's stage-1 tables written and torn down.
// Arm IHI 0070, 5.3, 5.4; the order of stores is that of Linux 7.x, arm-smmu-v3.c: V last, and first to go.
#include "uapi/smmuv3_internal.h"
#include <stdlib.h>

int ims_v3_cd_table(struct ims_device *dev) {
  struct smmuv3_device *s = dev->smmuv3;
  unsigned log2;
  if (dev->pasid_dir)
    return 0;
  s->s1fmt = s->s1cdmax > V3_CD_LEAF_SPLIT && dev->unit->smmuv3.caps.cd2l ? V3_CD_LEAF_FMT : 0;
  if (s->s1fmt) {
    unsigned l1 = ims_cd_l1_log2(s->s1fmt, s->s1cdmax);
    s->leaf = calloc(1u << l1, sizeof *s->leaf);
    if (!s->leaf)
      return -ENOMEM;
    log2 = l1 + 3;
  } else {
    log2 = s->s1cdmax + 6u;
  }
  if (!ims_pool_page(dev->k, log2, &dev->pasid_dir))
    return 0;
  free(s->leaf);
  s->leaf = NULL;
  return -ENOMEM;
}

void ims_v3_cd_table_free(struct ims_device *dev) {
  struct smmuv3_device *s = dev->smmuv3;
  if (!dev->pasid_dir)
    return;
  unsigned l1 = ims_cd_l1_log2(s->s1fmt, s->s1cdmax);
  for (uint32_t i = 0; s->leaf && i < 1u << l1; i++)
    if (s->leaf[i])
      ims_pool_free(dev->k, s->leaf[i], V3_CD_LEAF_SPLIT + 6);
  ims_pool_free(dev->k, dev->pasid_dir, s->s1fmt ? l1 + 3 : s->s1cdmax + 6u);
  free(s->leaf);
  s->leaf = NULL;
  dev->pasid_dir = 0;
}

static int sync_cd(struct ims_device *dev, uint32_t ssid, bool leaf) {
  struct v3_cmd c = ims_v3_cfgi_cd(dev->cfg.source, ssid, leaf);
  return ims_v3_submit(dev->unit, &c, 1);
}

// hpa of a CD; its leaf is made where there is none. -ENODEV: none, or beyond the table.
static int cd_at(struct ims_device *dev, uint32_t ssid, bool make, uint64_t *hpa) {
  struct smmuv3_device *s = dev->smmuv3;
  if (!dev->pasid_dir || ssid >> s->s1cdmax)
    return -ENODEV;
  if (!s->s1fmt) {
    *hpa = ims_cd_linear_at(dev->pasid_dir, s->s1cdmax, ssid);
    return 0;
  }
  uint32_t index = ims_cd_l1_index(s->s1fmt, ssid);
  if (!s->leaf[index]) {
    if (!make)
      return -ENODEV;
    if (ims_pool_page(dev->k, V3_CD_LEAF_SPLIT + 6, &s->leaf[index]))
      return -ENOMEM;
    uint64_t l1 = s->leaf[index];
    ims_cd_l1_set(&l1, IMS_CD_L1_V, 1);
    if (ims_store(dev->k, dev->unit, dev->cfg.source, "level-1 CD descriptor",
                  ims_cd_l1_at(dev->pasid_dir, s->s1fmt, s->s1cdmax, ssid), l1))
      return -EIO;
    // An SMMU may have kept the descriptor while it was invalid.
    int err = s->in_ste ? sync_cd(dev, ssid, false) : 0;
    if (err)
      return err;
  }
  *hpa = s->leaf[index] + (uint64_t)ims_cd_l2_index(s->s1fmt, ssid) * IMS_CD_BYTES;
  return 0;
}

static int store(struct ims_device *dev, uint64_t hpa, unsigned word, uint64_t value) {
  dev->k->count.entries_written++;
  return ims_store(dev->k, dev->unit, dev->cfg.source, "CD", hpa + 8ull * word, value) ? -EIO : 0;
}

static unsigned tg0(const struct ims_pgt *p) { return p->fmt->page_shift == 12 ? 0 : p->fmt->page_shift == 16 ? 1 : 2; }

static void compose(const struct ims_device *dev, const struct hdomain *d, uint16_t asid, uint64_t cd[IMS_CD_WORDS]) {
  const struct ims_smmuv3_config *c = &dev->unit->smmuv3.caps;
  const struct ims_pgt *p = d->type == HDOMAIN_SVA ? &d->mm->pgt : &d->paging->pgt;
  bool process = d->type == HDOMAIN_SVA, updates = process || d->paging->tracks;
  ims_cd_set(cd, IMS_CD_T0SZ, 64u - p->in_bits);
  ims_cd_set(cd, IMS_CD_TG0, tg0(p));
  ims_cd_set(cd, IMS_CD_IR0, 1); // write-back, inner shareable
  ims_cd_set(cd, IMS_CD_OR0, 1);
  ims_cd_set(cd, IMS_CD_SH0, 3);
  ims_cd_set(cd, IMS_CD_EPD1, 1);
  ims_cd_set(cd, IMS_CD_IPS, c->oas);
  ims_cd_set(cd, IMS_CD_AA64, 1);
  // The flags of a process's pages are its processors' business too: hardware updates go together with theirs.
  ims_cd_set(cd, IMS_CD_HA, updates && (c->httu & 3) >= 1);
  ims_cd_set(cd, IMS_CD_HD, updates && (c->httu & 3) >= 2);
  ims_cd_set(cd, IMS_CD_S, dev->smmuv3->stall);
  ims_cd_set(cd, IMS_CD_R, 1);
  ims_cd_set(cd, IMS_CD_A, 1);
  ims_cd_set(cd, IMS_CD_ASET, 1);
  ims_cd_set(cd, IMS_CD_ASID, asid);
  ims_cd_set_address(cd, IMS_CD_TTB0, p->root);
  ims_cd_set(cd, IMS_CD_MAIR0, p->mair & 0xffffffff);
  ims_cd_set(cd, IMS_CD_MAIR1, p->mair >> 32);
}

int ims_v3_cd_write(struct ims_device *dev, uint32_t ssid, const struct hdomain *d, uint16_t asid) {
  uint64_t hpa, old, cd[IMS_CD_WORDS] = {0};
  int err = ims_v3_cd_table(dev);
  if (!err)
    err = cd_at(dev, ssid, true, &hpa);
  if (err)
    return err;
  if (ims_mem_load64(dev->k->mem, hpa, &old))
    return -EIO;
  compose(dev, d, asid, cd);
  if (old >> IMS_CD_V_LSB & 1) { // another's: ASID and table change together, which no single store does
    err = store(dev, hpa, 0, 0);
    err |= sync_cd(dev, ssid, true);
  }
  for (unsigned i = IMS_CD_WORDS - 1; i; i--)
    err |= store(dev, hpa, i, cd[i]);
  err |= sync_cd(dev, ssid, true);
  ims_cd_set(cd, IMS_CD_V, 1);
  err |= store(dev, hpa, 0, cd[0]);
  err |= sync_cd(dev, ssid, true);
  if (!err)
    return 0;
  store(dev, hpa, 0, 0);
  return -EIO;
}

// An exited process: accesses end in F_TRANSLATION without a walk until the substream is unbound. With EPD0 the fields of
// the table do not count, and the processor's table may go.
void ims_v3_cd_clear(struct ims_device *dev, uint32_t ssid, bool quiet) {
  uint64_t hpa, cd[IMS_CD_WORDS];
  if (cd_at(dev, ssid, false, &hpa) || ims_mem_read(dev->k->mem, hpa, cd, sizeof cd))
    return;
  if (quiet) {
    ims_cd_set(cd, IMS_CD_EPD0, 1);
    ims_cd_set(cd, IMS_CD_T0SZ, 0);
    ims_cd_set(cd, IMS_CD_TG0, 0);
    ims_cd_set(cd, IMS_CD_IR0, 0);
    ims_cd_set(cd, IMS_CD_OR0, 0);
    ims_cd_set(cd, IMS_CD_SH0, 0);
    store(dev, hpa, 0, cd[0]);
    sync_cd(dev, ssid, true);
    store(dev, hpa, 1, 0);
    sync_cd(dev, ssid, true);
    return;
  }
  store(dev, hpa, 0, 0);
  sync_cd(dev, ssid, true);
  for (unsigned i = 1; i < IMS_CD_WORDS; i++)
    if (cd[i])
      store(dev, hpa, i, 0);
}
