// SPDX-License-Identifier: Apache-2.0
// Virtual SMMUs: the guest's STEs over a nesting parent, the guest's invalidation commands with its ids replaced by the
// host's, the guest's events. Facts 3.6, 3.7, 3.8, 4.2; Linux 7.x, arm-smmu-v3-iommufd.c. A virtual SMMU has the VMID of its
// parent, and the ASIDs under that are the guest's.
#include "uapi/iommufd/iommufd_internal.h"
#include "uapi/smmuv3_internal.h"
#include <stdlib.h>

enum { CONFIG_ABORT = 0, CONFIG_BYPASS = 4, CONFIG_S1 = 5, CONFIG_NESTED = 7, EATS_TRANSLATE = 1 };

// ---- STEs -----------------------------------------------------------------------------------------------------------

// Fields of words 0 and 1 that a guest may set.
static void allowed(uint64_t mask[IMS_STE_WORDS]) {
  static const uint8_t fields[] = {IMS_STE_V,     IMS_STE_CONFIG, IMS_STE_S1FMT, IMS_STE_S1CDMAX,  IMS_STE_S1DSS,
                                   IMS_STE_S1CIR, IMS_STE_S1COR,  IMS_STE_S1CSH, IMS_STE_S1STALLD, IMS_STE_EATS};
  for (unsigned i = 0; i < sizeof fields; i++)
    ims_ste_set(mask, (enum ims_ste_field)fields[i], ~0ull);
  mask[0] |= 0x000fffffffffffc0; // S1ContextPtr [51:6]
}

static int accept(struct hdomain *d, const uint64_t word[2]) {
  uint64_t ste[IMS_STE_WORDS] = {word[0], word[1]}, mask[IMS_STE_WORDS] = {0};
  if (!(ims_ste_get(ste, IMS_STE_V)))
    return 0; // nothing else counts
  allowed(mask);
  if ((ste[0] & ~mask[0]) || (ste[1] & ~mask[1]))
    return -EIO;
  const uint64_t config = ims_ste_get(ste, IMS_STE_CONFIG), eats = ims_ste_get(ste, IMS_STE_EATS);
  if (config != CONFIG_ABORT && config != CONFIG_BYPASS && config != CONFIG_S1)
    return -EIO;
  if (eats > EATS_TRANSLATE)
    return -EIO;
  ims_ste_set(ste, IMS_STE_EATS, 0);
  d->vste[0] = ste[0];
  d->vste[1] = ste[1];
  d->vste_ats = eats == EATS_TRANSLATE;
  return 0;
}

static unsigned config_of(const struct hdomain *d) {
  const uint64_t ste[IMS_STE_WORDS] = {d->vste[0]};
  return ims_ste_get(ste, IMS_STE_V) ? (unsigned)ims_ste_get(ste, IMS_STE_CONFIG) : (unsigned)CONFIG_ABORT;
}

// The guest sends invalidations to a device only if its STE says ATS. Otherwise what the device keeps is stage 2's, or
// nothing, and the host sees to it.
bool ims_v3_nested_ats(const struct hdomain *d) { return config_of(d) != CONFIG_S1 || d->vste_ats; }

// Facts 4.2, B6.
void ims_v3_compose_nested(const struct ims_device *dev, const struct hdomain *d, uint16_t vmid, bool ats,
                           uint64_t ste[IMS_STE_WORDS]) {
  const unsigned config = config_of(d);
  if (config == CONFIG_ABORT) {
    ims_ste_set(ste, IMS_STE_V, 1);
    return;
  }
  ims_v3_compose_s2(dev, d->parent, vmid, ats, ste);
  if (config == CONFIG_BYPASS)
    return;
  ste[0] = d->vste[0];
  ims_ste_set(ste, IMS_STE_CONFIG, CONFIG_NESTED);
  ste[1] |= d->vste[1];
  ims_ste_set(ste, IMS_STE_MEV, 1);
}

// Without a vDEVICE the guest could not name the device in its commands, nor we in its events. A stream that does not
// translate needs neither.
int ims_v3_nested_check(const struct ims_device *dev, const struct hdomain *d) {
  uint64_t vsid;
  return config_of(d) != CONFIG_S1 || ims_viommu_virt_id(d->viommu, dev, &vsid) ? 0 : -ENOENT;
}

void ims_v3_nested_commit(struct ims_device *dev, const struct hdomain *d) {
  struct smmuv3_device *s = dev->smmuv3;
  const bool nested = d && d->type == HDOMAIN_NESTED;
  s->viommu = nested && ims_viommu_virt_id(d->viommu, dev, &s->vsid) ? d->viommu : NULL;
}

// ---- Events ---------------------------------------------------------------------------------------------------------

bool ims_v3_guest_event(struct ims_device *dev, const uint64_t r[4], bool s2) {
  const struct smmuv3_device *s = dev->smmuv3;
  uint64_t event[4] = {r[0], r[1], r[2], r[3]};
  if (!s->viommu || s2)
    return false;
  switch (ims_smmuv3_event_get(r, IMS_SMMUV3_EVENT_ID_FIELD)) {
  case IMS_SMMUV3_C_BAD_STE:
  case IMS_SMMUV3_F_STREAM_DISABLED:
  case IMS_SMMUV3_C_BAD_SUBSTREAMID:
  case IMS_SMMUV3_C_BAD_CD:
  case IMS_SMMUV3_F_TRANSLATION:
  case IMS_SMMUV3_F_ADDR_SIZE:
  case IMS_SMMUV3_F_ACCESS:
  case IMS_SMMUV3_F_PERMISSION: break;
  default: return false;
  }
  event[0] = (event[0] & 0xffffffff) | s->vsid << 32;
  return !ims_viommu_report(s->viommu, IMS_VIOMMU_ARM_SMMUV3, event, sizeof event);
}

// ---- Commands -------------------------------------------------------------------------------------------------------

static bool physical_sid(const struct viommu *v, struct v3_cmd *c) {
  const struct vdevice *d = ims_viommu_vdevice(v, c->q[0] >> 32);
  if (!d)
    return false;
  ims_v3_cmd_set(c, IMS_SMMUV3_COMMAND_SID_FIELD, d->idev->dev->cfg.source);
  return true;
}

// Facts 3.7. The rest of a command is the guest's.
static int convert(const struct viommu *v, uint16_t vmid, struct v3_cmd *c) {
  switch (c->q[0] & 0xff) {
  case IMS_SMMUV3_CMD_TLBI_NSNH_ALL: *c = ims_v3_tlbi(IMS_SMMUV3_CMD_TLBI_NH_ALL, vmid, 0); return 0;
  case IMS_SMMUV3_CMD_TLBI_NH_ALL:
  case IMS_SMMUV3_CMD_TLBI_NH_ASID:
  case IMS_SMMUV3_CMD_TLBI_NH_VA:
  case IMS_SMMUV3_CMD_TLBI_NH_VAA: ims_v3_cmd_set(c, IMS_SMMUV3_COMMAND_VMID_FIELD, vmid); return 0;
  case IMS_SMMUV3_CMD_CFGI_CD:
  case IMS_SMMUV3_CMD_CFGI_CD_ALL:
  case IMS_SMMUV3_CMD_ATC_INV: return physical_sid(v, c) ? 0 : -EIO;
  default: return -EIO;
  }
}

static int copy(const struct user_array *a, struct v3_cmd *c) {
  if (a->type != IMS_INVALIDATE_DATA_ARM_SMMUV3 || !a->entry_num)
    return -EINVAL;
  if (a->entry_len == sizeof *c)
    return ims_user_read(a->process, c, a->uptr, a->entry_num * sizeof *c) ? 0 : -EFAULT;
  int err = 0;
  for (uint32_t i = 0; i < a->entry_num && !err; i++)
    err = ims_user_array_copy(a, a->type, i, &c[i], sizeof *c, 0);
  return err;
}

// In batches, each with a CMD_SYNC. As in Linux, a command that is refused counts those before it as done, although those
// of its batch were not issued; and one that the unit calls illegal is left out without anybody hearing of it but the log.
static int invalidate(struct viommu *v, struct user_array *a) {
  const uint32_t n = a->entry_num, batch = V3_BATCH_MAX - 1;
  const uint16_t vmid = ims_domain_unit(v->hwpt->h.d, v->unit)->did;
  struct v3_cmd *c = calloc(n ? n : 1, sizeof *c);
  if (!c)
    return -ENOMEM;
  a->entry_num = n;
  int err = copy(a, c);
  uint32_t done = 0, issued = 0;
  while (!err && done < n) {
    err = convert(v, vmid, &c[done]);
    if (err)
      break;
    done++;
    if (done < n && done - issued < batch)
      continue;
    err = ims_v3_submit(v->unit, &c[issued], done - issued);
    if (err == -EINVAL)
      err = 0;
    if (err)
      done--;
    issued = done;
  }
  a->entry_num = done;
  free(c);
  return err;
}

// ---- Hardware information -------------------------------------------------------------------------------------------

int ims_v3_hw_info(const struct ims_device *dev, uint32_t *type, void *data, uint32_t *len) {
  struct host_unit *u = dev->unit;
  if (*type != IMS_HW_INFO_NONE && *type != IMS_HW_INFO_ARM_SMMUV3)
    return -EOPNOTSUPP;
  const struct ims_iommu_hw_info_arm_smmuv3 info = {.idr0 = (uint32_t)V3_READ(u, IDR0),
                                                    .idr1 = (uint32_t)V3_READ(u, IDR1),
                                                    .idr2 = (uint32_t)V3_READ(u, IDR2),
                                                    .idr3 = (uint32_t)V3_READ(u, IDR3),
                                                    .idr4 = (uint32_t)V3_READ(u, IDR4),
                                                    .idr5 = (uint32_t)V3_READ(u, IDR5),
                                                    .iidr = (uint32_t)V3_READ(u, IIDR),
                                                    .aidr = (uint32_t)V3_READ(u, AIDR)};
  *type = IMS_HW_INFO_ARM_SMMUV3;
  *len = sizeof info;
  memcpy(data, &info, sizeof info);
  return 0;
}

// ---- The object -----------------------------------------------------------------------------------------------------

static int domain_nested(struct viommu *v, uint32_t flags, const struct user_data *data, struct hdomain **out) {
  struct ims_iommu_hwpt_arm_smmuv3 arg;
  if (flags)
    return -EOPNOTSUPP;
  int err = ims_user_data_copy(data, IMS_HWPT_DATA_ARM_SMMUV3, &arg, sizeof arg, sizeof arg);
  if (err)
    return err;
  struct hdomain *d = ims_hdomain_new(v->unit->k, HDOMAIN_NESTED);
  if (!d)
    return -ENOMEM;
  err = accept(d, (const uint64_t[2]){arg.ste0, arg.ste1});
  if (err) {
    ims_hdomain_free(d);
    return err;
  }
  d->ops = v->unit->ops;
  d->viommu = v;
  d->parent = v->hwpt->h.d;
  d->parent->users++;
  *out = d;
  return 0;
}

static const struct viommu_ops viommu_ops = {.domain_nested = domain_nested, .invalidate = invalidate};

// A guest that chooses memory attributes must not get around the caches: either what the device does is coherent whatever
// they say, or stage 2 overrides them.
bool ims_v3_has_viommu(const struct ims_device *dev, uint32_t type) {
  const struct host_unit *u = dev->unit;
  return type == IMS_VIOMMU_ARM_SMMUV3 && u->ops->can_nest(u) && (u->smmuv3.caps.cohacc || u->smmuv3.caps.fwb);
}

int ims_v3_viommu_init(struct viommu *v, struct ims_device *dev, const struct user_data *data) {
  (void)data;
  if (v->hwpt->h.d->made_for != dev->unit)
    return -EINVAL;
  v->ops = &viommu_ops;
  return 0;
}
