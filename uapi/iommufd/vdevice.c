// SPDX-License-Identifier: Apache-2.0
// Devices behind a virtual IOMMU, by the id that the guest knows them under (SMMUv3: its StreamID). Facts 3.8; Linux 7.x,
// iommufd/viommu.c, device.c.
#include "uapi/iommufd/iommufd_internal.h"

struct vdevice *ims_viommu_vdevice(const struct viommu *v, uint64_t virt_id) {
  struct vdevice *d;
  HASH_FIND(hh, v->vdevices, &virt_id, sizeof virt_id, d);
  return d;
}

bool ims_viommu_virt_id(const struct viommu *v, const struct ims_device *dev, uint64_t *virt_id) {
  const struct vdevice *d = dev->idev ? dev->idev->vdevice : NULL;
  if (!d || d->viommu != v)
    return false;
  *virt_id = d->virt_id;
  return true;
}

void ims_vdevice_release(struct object *o) {
  struct vdevice *d = (struct vdevice *)o;
  if (d->viommu->ops->vdevice_destroy)
    d->viommu->ops->vdevice_destroy(d);
  if (ims_viommu_vdevice(d->viommu, d->virt_id) == d)
    HASH_DEL(d->viommu->vdevices, d);
  d->viommu->obj.users--;
  d->idev->vdevice = NULL;
}

void ims_vdevice_device_gone(struct idev *d) {
  if (d->vdevice)
    ims_object_tombstone(&d->vdevice->obj);
}

static int add(struct vdevice *d) {
  struct viommu *v = d->viommu;
  if (ims_viommu_vdevice(v, d->virt_id))
    return -EEXIST;
  HASH_ADD(hh, v->vdevices, virt_id, sizeof d->virt_id, d);
  int err = v->ops->vdevice_init ? v->ops->vdevice_init(d) : 0;
  return err ? err : ims_object_publish(&d->obj);
}

long ims_cmd_iommu_vdevice_alloc(struct ucmd *u, struct ims_iommu_vdevice_alloc *c) {
  struct viommu *v = FIND(u->ctx, c->viommu_id, VIOMMU, viommu);
  struct idev *idev = FIND(u->ctx, c->dev_id, DEVICE, idev);
  if (!v || !idev)
    return -ENOENT;
  if (idev->dev->unit != v->unit)
    return -EINVAL;
  if (idev->vdevice)
    return -EEXIST;
  struct vdevice *d = ims_object_alloc(u->ctx, sizeof *d, OBJ_VDEVICE);
  if (!d)
    return -ENOMEM;
  d->viommu = v;
  d->idev = idev;
  d->virt_id = c->virt_id;
  v->obj.users++;
  idev->vdevice = d;
  int err = add(d);
  if (!err) {
    c->out_vdevice_id = d->obj.id;
    err = ims_respond(u, sizeof *c);
  }
  if (err)
    ims_object_destroy(&d->obj);
  return err;
}
