// SPDX-License-Identifier: Apache-2.0
// HWPT_INVALIDATE: what a guest says about its own tables, handed to the driver of the nested table or of the vIOMMU
// (Facts 3.7; Linux 7.x, iommufd/hw_pagetable.c).
#include "uapi/iommufd/iommufd_internal.h"

enum { ENTRIES_MAX = 1 << 19 };

static int run(struct ucmd *u, const struct ims_iommu_hwpt_invalidate *c, uint32_t *done) {
  struct user_array a = {u->process, c->data_uptr, c->data_type, c->entry_len, c->entry_num};
  int err;
  if (c->reserved)
    return -EOPNOTSUPP;
  if (c->entry_num && (!c->data_uptr || !c->entry_len || c->entry_len > IMS_PAGE_SIZE || c->entry_num > ENTRIES_MAX))
    return -EINVAL;
  struct object *o = ims_object_find(u->ctx, c->hwpt_id, OBJ_NONE);
  if (!o)
    return -ENOENT;
  if (o->type == OBJ_HWPT_NESTED) {
    struct hdomain *d = ((struct hwpt *)o)->d;
    if (!d->ops || !d->ops->invalidate_user)
      return -EOPNOTSUPP;
    err = d->ops->invalidate_user(d, &a);
  } else if (o->type == OBJ_VIOMMU) {
    struct viommu *v = (struct viommu *)o;
    if (!v->ops || !v->ops->invalidate)
      return -EOPNOTSUPP;
    err = v->ops->invalidate(v, &a);
  } else {
    return -EINVAL;
  }
  *done = a.entry_num;
  return err;
}

// How many entries are done is told in any case.
long ims_cmd_iommu_hwpt_invalidate(struct ucmd *u, struct ims_iommu_hwpt_invalidate *c) {
  uint32_t done = 0;
  int err = run(u, c, &done);
  c->entry_num = done;
  return ims_respond(u, sizeof *c) ? -EFAULT : err;
}
