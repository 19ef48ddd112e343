// SPDX-License-Identifier: Apache-2.0
// What a device's requests are attached to, and how it changes while the device runs: the STE and the CDs edited in place, ATS
// on after the STE allows it and off before it does not, what the device keeps forgotten. Facts 4.2; Linux 7.x,
// arm-smmu-v3.c, arm-smmu-v3-iommufd.c.
#include "uapi/smmuv3_internal.h"

// ---- The device's own cache -----------------------------------------------------------------------------------------

// Of a substream, or (0) all it keeps.
static void forget_atc(struct ims_device *dev, uint32_t ssid) {
  struct v3_cmd c[2] = {ims_v3_atc_inv(dev, ssid, 0, ~0ull), ims_v3_atc_inv(dev, ~0u, 0, ~0ull)};
  ims_v3_submit(dev->unit, c, ssid || !dev->max_pasids ? 1 : 2);
}

static void tell_device(struct ims_device *dev, bool on) {
  const struct ims_kernel_hooks *h = &dev->k->cfg.hooks;
  dev->smmuv3->ats = on;
  if (h->ats)
    h->ats(h->ctx, dev, on);
}

// A new STE, where ATS is on or off; `ssid`: for which the translations change, 0: for all.
static int install(struct ims_device *dev, const uint64_t ste[IMS_STE_WORDS], bool ats, uint32_t ssid) {
  const bool was = dev->smmuv3->ats;
  if (was && !ats)
    tell_device(dev, false);
  int err = ims_v3_install(dev, ste);
  if (was || ats)
    forget_atc(dev, ssid);
  if (ats && !was)
    tell_device(dev, true);
  return err;
}

static int install_default(struct ims_device *dev, uint32_t ssid) {
  uint64_t ste[IMS_STE_WORDS] = {0};
  ims_v3_compose_default(dev, ste);
  dev->smmuv3->in_ste = false;
  return install(dev, ste, false, ssid);
}

// The STE of a device with a CD table of the host's.
static int install_s1(struct ims_device *dev, bool own, uint32_t ssid) {
  uint64_t ste[IMS_STE_WORDS] = {0};
  ims_v3_compose_s1(dev, own, ste);
  int err = install(dev, ste, dev->ats_works, ssid);
  dev->smmuv3->in_ste = true;
  return err;
}

// ---- Requests without a substream -----------------------------------------------------------------------------------

static bool own_s1(const struct hdomain *d) { return d && d->type == HDOMAIN_PAGING && d->paging->s1; }

static int enter_s1(struct ims_device *dev, const struct hdomain *d, uint16_t asid) {
  int err = ims_v3_cd_write(dev, 0, d, asid);
  return err ? err : install_s1(dev, true, 0);
}

static int enter_s2(struct ims_device *dev, const struct hdomain *d, uint16_t vmid) {
  uint64_t ste[IMS_STE_WORDS] = {0};
  const bool nested = d->type == HDOMAIN_NESTED, ats = dev->ats_works && (!nested || ims_v3_nested_ats(d));
  if (nested)
    ims_v3_compose_nested(dev, d, vmid, ats, ste);
  else
    ims_v3_compose_s2(dev, d, vmid, ats, ste);
  dev->smmuv3->in_ste = false;
  int err = install(dev, ste, ats, 0);
  if (!err)
    ims_v3_nested_commit(dev, d);
  return err;
}

static int enter(struct ims_device *dev, const struct hdomain *d, uint16_t id) {
  return own_s1(d) ? enter_s1(dev, d, id) : enter_s2(dev, d, id);
}

// Nothing of (device, substream) is left on its way: the queues are handled, what waits is answered.
static void drain(struct ims_device *dev, uint32_t pasid) {
  ims_v3_events(dev->unit);
  ims_v3_page_requests(dev->unit);
  ims_iopf_drop(dev, pasid);
}

static int attach_own(struct ims_device *dev, const struct hdomain *d, uint16_t id) {
  int err = enter(dev, d, id);
  if (!err)
    return 0;
  if (own_s1(d))
    ims_v3_cd_clear(dev, 0, false);
  else
    install_default(dev, 0);
  return err;
}

// ---- Substreams -----------------------------------------------------------------------------------------------------

static bool has_s2(const struct ims_device *dev) {
  const struct attachment *a = ims_attachment(dev, 0);
  return a && !own_s1(a->domain);
}

static int attach_ssid(struct ims_device *dev, uint32_t ssid, const struct hdomain *d, uint16_t asid) {
  struct smmuv3_device *s = dev->smmuv3;
  int err = ims_v3_cd_write(dev, ssid, d, asid);
  if (err)
    return err;
  if (!s->in_ste) {
    err = install_s1(dev, false, ssid);
    if (err) {
      ims_v3_cd_clear(dev, ssid, false);
      return err;
    }
  } else if (s->ats) {
    forget_atc(dev, ssid); // what the device was told while something else was in force
  }
  s->ssids++;
  return 0;
}

static void detach_ssid(struct ims_device *dev, uint32_t ssid, uint16_t asid, bool gone) {
  struct smmuv3_device *s = dev->smmuv3;
  ims_v3_cd_clear(dev, ssid, gone);
  if (gone) { // the attachment stays until it is unbound; its table goes now
    struct v3_cmd tlbi = ims_v3_tlbi(IMS_SMMUV3_CMD_TLBI_NH_ASID, 0, asid);
    ims_v3_submit(dev->unit, &tlbi, 1);
  } else {
    s->ssids--;
  }
  if (!gone && !s->ssids && !ims_attachment(dev, 0))
    install_default(dev, ssid);
  else if (s->ats)
    forget_atc(dev, ssid);
  if (!gone)
    drain(dev, ssid);
}

// ---- For the core ---------------------------------------------------------------------------------------------------

int ims_v3_check(const struct ims_device *dev, uint32_t pasid, const struct hdomain *d) {
  const bool s2 = d->type != HDOMAIN_SVA && !own_s1(d);
  if (pasid >= dev->max_pasids ? pasid : d->type == HDOMAIN_SVA && !pasid)
    return -ENODEV;
  if (pasid) // a guest's CD table covers all of them; and no second stage comes under one alone
    return d->type == HDOMAIN_NESTED ? -EOPNOTSUPP : s2 || has_s2(dev) ? -EINVAL : 0;
  if (s2 && dev->smmuv3->ssids)
    return -EBUSY; // it would come under the tables of the substreams
  return d->type == HDOMAIN_NESTED ? ims_v3_nested_check(dev, d) : 0;
}

int ims_v3_attach(struct ims_device *dev, uint32_t pasid, const struct hdomain *d, uint16_t id) {
  return pasid ? attach_ssid(dev, pasid, d, id) : attach_own(dev, d, id);
}

void ims_v3_detach(struct ims_device *dev, uint32_t pasid, const struct hdomain *d, uint16_t id, bool gone) {
  struct smmuv3_device *s = dev->smmuv3;
  if (pasid) {
    detach_ssid(dev, pasid, id, gone);
    return;
  }
  ims_v3_nested_commit(dev, NULL);
  if (own_s1(d))
    ims_v3_cd_clear(dev, 0, false);
  if (s->ssids)
    install_s1(dev, false, 0);
  else
    install_default(dev, 0);
  drain(dev, 0);
}

// From one domain to the next without a moment in which the device has none, but for what the order of stores demands.
int ims_v3_replace(struct ims_device *dev, uint32_t pasid, const struct hdomain *was, uint16_t was_id,
                   const struct hdomain *d, uint16_t id) {
  if (pasid) {
    int err = ims_v3_cd_write(dev, pasid, d, id);
    if (dev->smmuv3->ats)
      forget_atc(dev, pasid);
    drain(dev, pasid);
    return err;
  }
  int err = enter(dev, d, id);
  if (err) { // the unit did not answer: the old one may be better than half of the new one
    enter(dev, was, was_id);
    return err;
  }
  if (own_s1(d))
    ims_v3_nested_commit(dev, NULL);
  else if (own_s1(was))
    ims_v3_cd_clear(dev, 0, false);
  drain(dev, 0);
  return 0;
}

// ---- A guest's stage 1 over a container's second stage (guest.c) ----------------------------------------------------

int ims_v3_set_guest(struct ims_device *dev, const struct hdomain *d, uint16_t vmid, const struct guest_stage1 *g) {
  const struct ims_smmuv3_config *c = &dev->unit->smmuv3.caps;
  uint64_t ste[IMS_STE_WORDS] = {0};
  enum { S1FMT_MAX = 2, S1DSS_MAX = 2 };
  if (g && g->config == GUEST_TRANSLATE &&
      (g->pasid_bits > c->ssidsize || g->s1fmt > S1FMT_MAX || g->s1dss > S1DSS_MAX ||
       (g->s1fmt && g->pasid_bits && !c->cd2l)))
    return -EINVAL;
  ims_v3_compose_guest(dev, d, vmid, g, ste);
  // TLB entries need nothing: they carry the VMID, and the guest owns its ASIDs. The device has no such tags.
  int err = install(dev, ste, dev->ats_works, 0);
  if (!g)
    drain(dev, ~0u);
  return err;
}
