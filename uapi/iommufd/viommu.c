// SPDX-License-Identifier: Apache-2.0
// Virtual IOMMUs: what a guest sees of a unit, over a nesting parent; nested tables by way of them; regions of drivers that
// mmap() of the iommufd finds (Facts 3.8; Linux 7.x, iommufd/viommu.c, main.c, driver.c).
#include "uapi/iommufd/iommufd_internal.h"
#include <stdlib.h>

void ims_viommu_release(struct object *o) {
  struct viommu *v = (struct viommu *)o;
  if (v->ops && v->ops->destroy)
    v->ops->destroy(v);
  v->hwpt->h.obj.users--;
}

static int init(struct ucmd *u, const struct ims_iommu_viommu_alloc *c, struct viommu *v, struct idev *idev) {
  const struct user_data data = {u->process, c->data_uptr, c->type, c->data_len};
  int err = v->unit->ops->viommu_init(v, idev->dev, data.len ? &data : NULL);
  return err ? err : ims_object_publish(&v->obj);
}

long ims_cmd_iommu_viommu_alloc(struct ucmd *u, struct ims_iommu_viommu_alloc *c) {
  if (c->flags || c->type == IMS_VIOMMU_DEFAULT)
    return -EOPNOTSUPP;
  struct idev *idev = FIND(u->ctx, c->dev_id, DEVICE, idev);
  if (!idev)
    return -ENOENT;
  const struct host_ops *ops = idev->dev->unit->ops;
  if (!ops->has_viommu || !ops->has_viommu(idev->dev, c->type))
    return -EOPNOTSUPP;
  struct hwpt_paging *parent = FIND(u->ctx, c->hwpt_id, HWPT_PAGING, hwpt_paging);
  if (!parent)
    return -ENOENT;
  if (!parent->nest_parent)
    return -EINVAL;
  struct viommu *v = ims_object_alloc(u->ctx, sizeof *v, OBJ_VIOMMU);
  if (!v)
    return -ENOMEM;
  v->unit = idev->dev->unit;
  v->hwpt = parent;
  v->type = c->type;
  parent->h.obj.users++;
  int err = init(u, c, v, idev);
  if (!err) {
    c->out_viommu_id = v->obj.id;
    err = ims_respond(u, sizeof *c);
  }
  if (err)
    ims_object_destroy(&v->obj);
  return err;
}

// ---- Nested tables --------------------------------------------------------------------------------------------------

struct hwpt_nested *ims_viommu_hwpt_nested(struct viommu *v, const struct idev *idev, uint32_t flags,
                                           const struct user_data *data, int *err) {
  const uint32_t known = IMS_HWPT_FAULT_ID_VALID | IMS_HWPT_PASID;
  *err = -EINVAL;
  if (idev->dev->unit != v->unit)
    return NULL;
  *err = -EOPNOTSUPP;
  if ((flags & ~known) || !data->len || !v->ops->domain_nested)
    return NULL;
  *err = -ENOMEM;
  struct hwpt_nested *n = ims_object_alloc(v->obj.ctx, sizeof *n, OBJ_HWPT_NESTED);
  if (!n)
    return NULL;
  n->h.pasid = flags & IMS_HWPT_PASID;
  n->viommu = v;
  n->parent = v->hwpt;
  v->obj.users++;
  *err = v->ops->domain_nested(v, flags & ~(uint32_t)IMS_HWPT_FAULT_ID_VALID, data, &n->h.d);
  if (!*err)
    return n;
  ims_object_destroy(&n->h.obj);
  return NULL;
}

// ---- mmap of the iommufd --------------------------------------------------------------------------------------------

int ims_iommufd_mmap_add(struct object *owner, uint64_t hpa, uint64_t length, uint64_t *offset) {
  struct mmap_region **at = &owner->ctx->mmaps, *r;
  uint64_t free_at = IMS_PAGE_SIZE; // page 0 is left out: an offset that was given is never zero
  if (!length || ((hpa | length) & (IMS_PAGE_SIZE - 1)))
    return -EINVAL;
  for (; *at && (*at)->offset - free_at < length; at = &(*at)->next)
    free_at = (*at)->offset + (*at)->length;
  r = malloc(sizeof *r);
  if (!r)
    return -ENOMEM;
  *r = (struct mmap_region){.next = *at, .owner = owner, .offset = free_at, .length = length, .hpa = hpa};
  *at = r;
  *offset = free_at;
  return 0;
}

void ims_iommufd_mmap_remove(struct object *owner, uint64_t offset) {
  for (struct mmap_region **at = &owner->ctx->mmaps; *at; at = &(*at)->next)
    if ((*at)->owner == owner && (*at)->offset == offset) {
      struct mmap_region *r = *at;
      *at = r->next;
      free(r);
      return;
    }
}

long ims_iommufd_mmap(struct ims_file *f, uint64_t offset, uint64_t length, unsigned prot, bool shared,
                      uint64_t *cookie) {
  struct ictx *ctx = f->open->state;
  if ((length & (IMS_PAGE_SIZE - 1)) || !shared)
    return -EINVAL;
  if (prot & IMS_PROT_EXEC)
    return -EPERM;
  for (struct mmap_region *r = ctx->mmaps; r; r = r->next)
    if (r->offset == offset && r->length == length) { // a part of one is nothing
      r->maps++;
      r->owner->users++;
      *cookie = r->hpa;
      return 0;
    }
  return -ENXIO;
}

int ims_iommufd_munmap(struct ims_file *f, uint64_t cookie) {
  struct ictx *ctx = f->open->state;
  for (struct mmap_region *r = ctx->mmaps; r; r = r->next)
    if (r->hpa == cookie && r->maps) {
      r->maps--;
      r->owner->users--;
      return 0;
    }
  return -EINVAL;
}

void ims_iommufd_unmap_all(struct ictx *ctx) {
  for (struct mmap_region *r = ctx->mmaps; r; r = r->next) {
    r->owner->users -= r->maps;
    r->maps = 0;
  }
}
