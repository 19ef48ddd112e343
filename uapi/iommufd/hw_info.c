// SPDX-License-Identifier: Apache-2.0
// GET_HW_INFO: what hardware translates for a device, as its own registers say it (Facts 3.5; Linux 7.x, iommufd/device.c).
#include "uapi/iommufd/iommufd_internal.h"

static bool user_put(const struct ims_process *p, uint64_t at, const void *data, size_t len) {
  return !len || ims_user_write(p, at, data, len);
}

static bool user_clear(const struct ims_process *p, uint64_t at, uint64_t len) {
  static const uint8_t zero[256];
  for (; len; at += sizeof zero) {
    size_t n = len < sizeof zero ? len : sizeof zero;
    if (!ims_user_write(p, at, zero, n))
      return false;
    len -= n;
  }
  return true;
}

long ims_cmd_iommu_hw_info(struct ucmd *u, struct ims_iommu_hw_info *c) {
  uint8_t data[HW_INFO_MAX] = {0};
  uint32_t type = c->flags & IMS_HW_INFO_INPUT_TYPE ? c->data_type : (uint32_t)IMS_HW_INFO_NONE, len = 0;
  if ((c->flags & ~(uint32_t)IMS_HW_INFO_INPUT_TYPE) || c->reserved[0] || c->reserved[1] || c->reserved[2])
    return -EOPNOTSUPP;
  const struct idev *idev = FIND(u->ctx, c->dev_id, DEVICE, idev);
  if (!idev)
    return -ENOENT;
  const struct ims_device *dev = idev->dev;
  const struct host_ops *ops = dev->unit->ops;
  int err = ops->hw_info ? ops->hw_info(dev, &type, data, &len) : 0;
  if (err)
    return err;
  if (!ops->hw_info)
    type = IMS_HW_INFO_NONE;
  uint32_t copied = c->data_len < len ? c->data_len : len;
  if (!user_put(u->process, c->data_uptr, data, copied) ||
      !user_clear(u->process, c->data_uptr + copied, c->data_len - copied))
    return -EFAULT;
  c->data_type = type;
  c->data_len = len;
  c->out_capabilities = (ops->can_track_dirty && ops->can_track_dirty(dev) ? (uint64_t)IMS_HW_CAP_DIRTY_TRACKING : 0) |
                        (dev->ats_works ? 0 : (uint64_t)IMS_HW_CAP_ATS_NOT_SUPPORTED);
  c->out_max_pasid_log2 = 0;
  if (dev->max_pasids) {
    c->out_max_pasid_log2 = (uint8_t)(31 - __builtin_clz(dev->max_pasids));
    if (dev->cfg.pasid_exec)
      c->out_capabilities |= IMS_HW_CAP_PASID_EXEC;
    if (dev->cfg.pasid_priv)
      c->out_capabilities |= IMS_HW_CAP_PASID_PRIV;
  }
  return ims_respond(u, sizeof *c);
}
