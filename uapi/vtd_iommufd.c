// SPDX-License-Identifier: Apache-2.0
// What iommufd asks of the VT-d driver: hardware information, first stages of guests, their invalidations, dirty tracking
// (Facts 3.5 to 3.8, 4.1; Linux 7.x, intel/nested.c, iommu.c and pasid.c; VT-d rev 4.1, 3.7, 6.5.3.3, 9.6).
#include "uapi/iommufd/iommufd_internal.h"
#include "uapi/vtd_internal.h"

int ims_vtdd_hw_info(const struct ims_device *dev, uint32_t *type, void *data, uint32_t *len) {
  // The erratum: a nesting parent takes no read-only mappings. Linux 7.3 says it of every unit.
  const struct ims_iommu_hw_info_vtd info = {
      .flags = IMS_HW_INFO_VTD_ERRATA_772415_SPR17, .cap_reg = dev->unit->vtd.cap, .ecap_reg = dev->unit->vtd.ecap};
  if (*type != IMS_HW_INFO_NONE && *type != IMS_HW_INFO_INTEL_VTD)
    return -EOPNOTSUPP;
  *type = IMS_HW_INFO_INTEL_VTD;
  *len = sizeof info;
  memcpy(data, &info, sizeof info);
  return 0;
}

// ---- A guest's first stage ------------------------------------------------------------------------------------------

// Width and flags are looked at when it is attached: only then is it known to which unit.
int ims_vtdd_nested_new(struct ims_device *dev, struct hdomain *parent, uint32_t flags, const struct user_data *data,
                        struct hdomain **out) {
  struct ims_iommu_hwpt_vtd_s1 s1;
  const struct host_unit *u = dev->unit;
  if (!u->ops->can_nest(u) || (flags & ~(uint32_t)IMS_HWPT_PASID) || data->type != IMS_HWPT_DATA_VTD_S1)
    return -EOPNOTSUPP;
  if (parent->paging->fmt.kind != IMS_PGT_VTD_SS || !parent->paging->nest)
    return -EINVAL;
  int err = ims_user_data_copy(data, IMS_HWPT_DATA_VTD_S1, &s1, sizeof s1, sizeof s1);
  if (err)
    return err;
  struct hdomain *d = ims_hdomain_new(dev->k, HDOMAIN_NESTED);
  if (!d)
    return -ENOMEM;
  d->ops = u->ops;
  d->s1_root = s1.pgtbl_addr;
  d->s1_levels = s1.addr_width == 57 ? 5 : s1.addr_width == 48 ? 4 : 0;
  d->sre = s1.flags & IMS_VTD_S1_SRE;
  d->eafe = s1.flags & IMS_VTD_S1_EAFE;
  d->wpe = s1.flags & IMS_VTD_S1_WPE;
  *out = d;
  return 0;
}

// Entry by entry, each with a wait of its own. What stands before a bad one is done.
int ims_vtdd_invalidate_user(struct hdomain *d, struct user_array *a) {
  struct ims_iommu_hwpt_vtd_s1_invalidate inv;
  uint32_t num = a->type == IMS_INVALIDATE_DATA_VTD_S1 ? a->entry_num : 0, i = 0;
  int err = a->type == IMS_INVALIDATE_DATA_VTD_S1 ? 0 : -EINVAL;
  for (; i < num; i++) {
    err = a->entry_len == sizeof inv
              ? ims_user_array_copy(a, IMS_INVALIDATE_DATA_VTD_S1, i, &inv, sizeof inv, sizeof inv)
              : -EINVAL;
    if (!err && ((inv.flags & ~(uint32_t)IMS_INVALIDATE_LEAF) || inv.reserved))
      err = -EOPNOTSUPP;
    if (!err && ((inv.addr & (IMS_PAGE_SIZE - 1)) || (inv.npages == ~0ull && inv.addr)))
      err = -EINVAL;
    if (err)
      break;
    // All pages: the size wraps, and the block that holds first and last is everything.
    ims_hdomain_flush(d, inv.addr, inv.addr + (inv.npages << IMS_PAGE_SHIFT) - 1, inv.flags & IMS_INVALIDATE_LEAF);
  }
  a->entry_num = i;
  return err;
}

// ---- Dirty tracking -------------------------------------------------------------------------------------------------

bool ims_vtdd_tracks(const struct host_unit *u) { return u->vtd.scalable && u->vtd.caps.ssads && u->vtd.caps.ssts; }
