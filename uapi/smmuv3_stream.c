// SPDX-License-Identifier: Apache-2.0
// Stream table and STEs: one stream a device; what an STE says for what the device is attached to. Arm IHI 0070, 3.3.1,
// 5.1, 5.2; Linux 7.x, arm-smmu-v3.c: two-level table with leaves of 256 STEs where the unit has it, streams of no device in
// a leaf abort without an event. Facts 4.2.
#include "uapi/smmuv3_internal.h"
#include "uapi/smmuv3_ste.h"
#include <stdlib.h>

enum { CONFIG_ABORT = 0, CONFIG_BYPASS = 4, CONFIG_S1 = 5, CONFIG_S2 = 6, CONFIG_NESTED = 7 };
enum { S1DSS_TERMINATE = 0, S1DSS_BYPASS = 1, S1DSS_SSID0 = 2, SHCFG_INCOMING = 1, WRITE_BACK = 1, INNER = 3 };
enum { LINEAR_MAX = 16 }; // bits of StreamIDs that the driver covers: those that devices have here

// ---- The table ------------------------------------------------------------------------------------------------------

static uint64_t default_word(const struct host_unit *u, unsigned word) {
  uint64_t ste[IMS_STE_WORDS] = {0};
  ims_ste_set(ste, IMS_STE_V, 1);
  if (u->k->cfg.smmu_bypass) {
    ims_ste_set(ste, IMS_STE_CONFIG, CONFIG_BYPASS);
    ims_ste_set(ste, IMS_STE_SHCFG, SHCFG_INCOMING);
  }
  return ste[word];
}

// Fresh STEs that no unit can have seen.
static int fill(struct host_unit *u, uint64_t at, unsigned log2) {
  for (uint64_t i = 0; i < 1ull << log2; i++)
    for (unsigned w = 0; w < 2; w++) {
      uint64_t word = default_word(u, w);
      if (word && ims_mem_store64(u->k->mem, at + i * IMS_STE_BYTES + 8 * w, word))
        return -EIO;
    }
  return 0;
}

int ims_v3_stream_table(struct host_unit *u) {
  struct smmuv3_driver *v = &u->smmuv3;
  v->sid_bits = (uint8_t)(v->caps.sidsize < LINEAR_MAX ? v->caps.sidsize : (uint32_t)LINEAR_MAX);
  v->two_level = v->caps.st_level && v->sid_bits > V3_SPLIT;
  if (!v->two_level) {
    if (ims_pool_page(u->k, v->sid_bits + 6u, &v->strtab))
      return -ENOMEM;
    return fill(u, v->strtab, v->sid_bits);
  }
  unsigned l1 = v->sid_bits - V3_SPLIT;
  v->leaf = calloc(1u << l1, sizeof *v->leaf);
  return !v->leaf || ims_pool_page(u->k, l1 + 3, &v->strtab) ? -ENOMEM : 0;
}

void ims_v3_stream_table_free(struct host_unit *u) {
  struct smmuv3_driver *v = &u->smmuv3;
  for (uint32_t i = 0; v->leaf && i < 1u << (v->sid_bits - V3_SPLIT); i++)
    if (v->leaf[i])
      ims_pool_free(u->k, v->leaf[i], V3_SPLIT + 6);
  if (v->strtab)
    ims_pool_free(u->k, v->strtab, v->two_level ? v->sid_bits - V3_SPLIT + 3u : v->sid_bits + 6u);
  free(v->leaf);
  v->leaf = NULL;
  v->strtab = 0;
}

static int ste_at(struct host_unit *u, uint32_t sid, uint64_t *hpa) {
  struct smmuv3_driver *v = &u->smmuv3;
  if (sid >> v->sid_bits)
    return -ENODEV;
  if (!v->two_level) {
    *hpa = ims_stream_linear_at(v->strtab, v->sid_bits, sid);
    return 0;
  }
  uint32_t index = ims_stream_l1_index(V3_SPLIT, sid);
  if (!v->leaf[index]) {
    if (ims_pool_page(u->k, V3_SPLIT + 6, &v->leaf[index]))
      return -ENOMEM;
    uint64_t l1 = v->leaf[index];
    ims_stream_l1_set(&l1, IMS_STREAM_L1_SPAN, V3_SPLIT + 1);
    int err = fill(u, v->leaf[index], V3_SPLIT);
    if (!err)
      err = ims_store(u->k, u, ~0u, "level-1 stream table descriptor",
                      ims_stream_l1_at(v->strtab, v->sid_bits, V3_SPLIT, sid), l1)
                ? -EIO
                : 0;
    if (!err) { // a unit may have kept the descriptor without a leaf
      struct v3_cmd c = ims_v3_cfgi_ste(sid, false);
      err = ims_v3_submit(u, &c, 1);
    }
    if (err) // the leaf stays: a unit that did not answer may still find it
      return err;
  }
  *hpa = v->leaf[index] + (uint64_t)ims_stream_l2_index(V3_SPLIT, sid) * IMS_STE_BYTES;
  return 0;
}

// ---- An STE ---------------------------------------------------------------------------------------------------------

static int edit_store(void *ctx, unsigned word, uint64_t value) {
  struct ims_device *dev = ctx;
  dev->k->count.entries_written++;
  return ims_store(dev->k, dev->unit, dev->cfg.source, "STE", dev->smmuv3->ste + 8ull * word, value) ? -EIO : 0;
}

static int edit_sync(void *ctx) {
  const struct ims_device *dev = ctx;
  struct v3_cmd c = ims_v3_cfgi_ste(dev->cfg.source, true);
  return ims_v3_submit(dev->unit, &c, 1);
}

int ims_v3_install(struct ims_device *dev, const uint64_t target[IMS_STE_WORDS]) {
  uint64_t now[IMS_STE_WORDS];
  if (ims_mem_read(dev->k->mem, dev->smmuv3->ste, now, sizeof now))
    return -EIO;
  int err = ims_ste_edit(now, target, &(struct ims_ste_editor){dev, edit_store, edit_sync});
  struct v3_cmd prefetch = ims_v3_cmd(IMS_SMMUV3_CMD_PREFETCH_CONFIG);
  ims_v3_cmd_set(&prefetch, IMS_SMMUV3_COMMAND_SID_FIELD, dev->cfg.source);
  ims_v3_send(dev->unit, &prefetch, 1); // Facts 4.2, end of step 7: nobody waits for it
  return err;
}

void ims_v3_compose_default(const struct ims_device *dev, uint64_t ste[IMS_STE_WORDS]) {
  ste[0] = default_word(dev->unit, 0);
  ste[1] = default_word(dev->unit, 1);
}

// The host's own CD table. `own`: requests without a substream have CD 0.
void ims_v3_compose_s1(const struct ims_device *dev, bool own, uint64_t ste[IMS_STE_WORDS]) {
  const unsigned dss = own ? S1DSS_SSID0 : dev->k->cfg.smmu_bypass ? S1DSS_BYPASS : S1DSS_TERMINATE;
  const struct smmuv3_device *s = dev->smmuv3;
  ims_ste_set(ste, IMS_STE_V, 1);
  ims_ste_set(ste, IMS_STE_CONFIG, CONFIG_S1);
  ims_ste_set(ste, IMS_STE_S1FMT, s->s1fmt);
  ims_ste_set_address(ste, IMS_STE_S1CONTEXTPTR, dev->pasid_dir);
  ims_ste_set(ste, IMS_STE_S1CDMAX, s->s1cdmax);
  ims_ste_set(ste, IMS_STE_S1DSS, dss);
  ims_ste_set(ste, IMS_STE_S1CIR, WRITE_BACK);
  ims_ste_set(ste, IMS_STE_S1COR, WRITE_BACK);
  ims_ste_set(ste, IMS_STE_S1CSH, INNER);
  ims_ste_set(ste, IMS_STE_S1STALLD, dev->unit->smmuv3.caps.stall_model == 0 && !s->stall);
  ims_ste_set(ste, IMS_STE_EATS, dev->ats_works);
  ims_ste_set(ste, IMS_STE_PPAR, dev->pri_works && dev->unit->smmuv3.caps.pps == 0);
  if (dss == S1DSS_BYPASS)
    ims_ste_set(ste, IMS_STE_SHCFG, SHCFG_INCOMING);
}

static unsigned s2_tg(const struct ims_pgt *p) {
  return p->fmt->page_shift == 12 ? 0 : p->fmt->page_shift == 16 ? 1 : 2;
}

// SL0 by the number of levels: 4 KB counts from level 2, the others from level 3 (DDI 0487 D8.2.2).
static unsigned s2_sl0(const struct ims_pgt *p) { return p->fmt->page_shift == 12 ? p->levels - 2u : p->levels - 1u; }

void ims_v3_compose_s2(const struct ims_device *dev, const struct hdomain *d, uint16_t vmid, bool ats,
                       uint64_t ste[IMS_STE_WORDS]) {
  const struct ims_smmuv3_config *c = &dev->unit->smmuv3.caps;
  const struct ims_pgt *p = &d->paging->pgt;
  ims_ste_set(ste, IMS_STE_V, 1);
  ims_ste_set(ste, IMS_STE_CONFIG, CONFIG_S2);
  ims_ste_set(ste, IMS_STE_EATS, ats);
  ims_ste_set(ste, IMS_STE_S2FWB, (p->flags & IMS_PGT_FWB) != 0);
  ims_ste_set(ste, IMS_STE_SHCFG, SHCFG_INCOMING);
  ims_ste_set(ste, IMS_STE_PPAR, dev->pri_works && c->pps == 0);
  ims_ste_set(ste, IMS_STE_S2VMID, vmid);
  ims_ste_set(ste, IMS_STE_S2T0SZ, 64u - p->in_bits);
  ims_ste_set(ste, IMS_STE_S2SL0, s2_sl0(p));
  ims_ste_set(ste, IMS_STE_S2IR0, WRITE_BACK);
  ims_ste_set(ste, IMS_STE_S2OR0, WRITE_BACK);
  ims_ste_set(ste, IMS_STE_S2SH0, INNER);
  ims_ste_set(ste, IMS_STE_S2TG, s2_tg(p));
  ims_ste_set(ste, IMS_STE_S2PS, c->oas);
  ims_ste_set(ste, IMS_STE_S2AA64, 1);
  ims_ste_set(ste, IMS_STE_S2PTW, 1);
  ims_ste_set(ste, IMS_STE_S2S, dev->smmuv3->stall && !ats); // 5.2: not together with EATS
  ims_ste_set(ste, IMS_STE_S2R, 1);
  ims_ste_set_address(ste, IMS_STE_S2TTB, p->root);
}

// Facts 4.2, B6.
void ims_v3_compose_guest(const struct ims_device *dev, const struct hdomain *d, uint16_t vmid,
                          const struct guest_stage1 *g, uint64_t ste[IMS_STE_WORDS]) {
  if (g && g->config == GUEST_ABORT) {
    ims_ste_set(ste, IMS_STE_V, 1);
    return;
  }
  ims_v3_compose_s2(dev, d, vmid, dev->ats_works, ste);
  if (!g || g->config != GUEST_TRANSLATE)
    return;
  ims_ste_set(ste, IMS_STE_CONFIG, CONFIG_NESTED);
  ims_ste_set(ste, IMS_STE_S1FMT, g->pasid_bits ? g->s1fmt : 0u);
  ims_ste_set_address(ste, IMS_STE_S1CONTEXTPTR, g->base);
  ims_ste_set(ste, IMS_STE_S1CDMAX, g->pasid_bits);
  ims_ste_set(ste, IMS_STE_S1DSS, g->s1dss);
  ims_ste_set(ste, IMS_STE_S1CIR, WRITE_BACK);
  ims_ste_set(ste, IMS_STE_S1COR, WRITE_BACK);
  ims_ste_set(ste, IMS_STE_S1CSH, INNER);
  ims_ste_set(ste, IMS_STE_S1STALLD, dev->unit->smmuv3.caps.stall_model == 0 && !dev->smmuv3->stall);
  ims_ste_set(ste, IMS_STE_MEV, 1);
}

// ---- Devices --------------------------------------------------------------------------------------------------------

static void settle(struct ims_device *dev) {
  const struct ims_smmuv3_config *c = &dev->unit->smmuv3.caps;
  // A unit that forces stalls wants S2S in every second stage, which excludes ATS (5.2, EATS).
  dev->ats_works = dev->ats_on && c->ats && c->stall_model != 2;
  dev->pri_works = dev->ats_works && dev->pri_on && c->pri;
}

int ims_v3_device_init(struct ims_device *dev) {
  const struct ims_smmuv3_config *c = &dev->unit->smmuv3.caps;
  struct smmuv3_device *s = calloc(1, sizeof *s);
  if (!s)
    return IMS_ERR_NOMEM;
  dev->smmuv3 = s;
  settle(dev);
  unsigned bits = dev->cfg.pasid_bits < c->ssidsize ? dev->cfg.pasid_bits : c->ssidsize;
  s->s1cdmax = (uint8_t)bits;
  s->stall = c->stall_model == 2 || (c->stall_model == 0 && dev->cfg.stall);
  dev->max_pasids = bits ? 1u << bits : 0;
  int err = ste_at(dev->unit, dev->cfg.source, &s->ste);
  if (!err)
    return IMS_ERR_OK;
  free(s);
  return err == -ENODEV ? IMS_ERR_INVAL : err == -ENOMEM ? IMS_ERR_NOSPACE : IMS_ERR_IO;
}

void ims_v3_device_fini(struct ims_device *dev) {
  struct smmuv3_device *s = dev->smmuv3;
  uint64_t ste[IMS_STE_WORDS] = {0};
  ims_v3_compose_default(dev, ste);
  ims_v3_install(dev, ste);
  ims_v3_cd_table_free(dev);
  free(s);
}

// Nothing is attached: the STE says abort or bypass, where EATS does not count.
void ims_v3_device_changed(struct ims_device *dev) { settle(dev); }
