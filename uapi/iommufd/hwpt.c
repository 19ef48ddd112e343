// SPDX-License-Identifier: Apache-2.0
// Hardware page tables: paging ones over an address space, nested ones over those (Facts 3.6; Linux 7.x, iommufd/hw_pagetable.c).
#include "uapi/iommufd/iommufd_internal.h"
#include <stdlib.h>

// ---- Paging ---------------------------------------------------------------------------------------------------------

void ims_hwpt_paging_release(struct object *o) {
  struct hwpt_paging *h = (struct hwpt_paging *)o;
  for (struct hwpt_paging **at = &h->ioas->hwpts; *at; at = &(*at)->next_in_ioas)
    if (*at == h) {
      *at = h->next_in_ioas;
      break;
    }
  if (h->h.d) {
    ims_iopt_remove_domain(&h->ioas->iopt, h->h.d);
    if (h->held)
      ims_hdomain_release(h->h.d, h->held);
    ims_hdomain_free(h->h.d);
  }
  ims_hwpt_fault_put(&h->h);
  h->ioas->obj.users--;
}

static int want(uint32_t flags) {
  return (flags & IMS_HWPT_NEST_PARENT ? WANT_NEST : 0) | (flags & IMS_HWPT_DIRTY_TRACKING ? WANT_DIRTY : 0) |
         (flags & IMS_HWPT_PASID ? WANT_PASID : 0);
}

struct hwpt_paging *ims_hwpt_paging_make(struct ioas *s, struct idev *idev, uint32_t flags, bool automatic, int *err) {
  const uint32_t known = IMS_HWPT_NEST_PARENT | IMS_HWPT_DIRTY_TRACKING | IMS_HWPT_FAULT_ID_VALID | IMS_HWPT_PASID;
  struct host_unit *unit = idev->dev->unit;
  *err = -EOPNOTSUPP;
  if ((flags & ~known) ||
      ((flags & IMS_HWPT_DIRTY_TRACKING) && !(unit->ops->can_track_dirty && unit->ops->can_track_dirty(idev->dev))) ||
      ((flags & IMS_HWPT_FAULT_ID_VALID) && (flags & IMS_HWPT_NEST_PARENT)))
    return NULL;
  struct hwpt_paging *h = ims_object_alloc(s->obj.ctx, sizeof *h, OBJ_HWPT_PAGING), **end = &s->hwpts;
  *err = -ENOMEM;
  if (!h)
    return NULL;
  h->ioas = s;
  h->automatic = automatic;
  h->nest_parent = flags & IMS_HWPT_NEST_PARENT;
  h->dirty = flags & IMS_HWPT_DIRTY_TRACKING;
  h->h.pasid = flags & IMS_HWPT_PASID;
  s->obj.users++;
  while (*end)
    end = &(*end)->next_in_ioas;
  *end = h;
  *err = ims_hdomain_new_paging(s->obj.ctx->k, unit, (unsigned)want(flags), &h->h.d);
  if (*err == -ENODEV)
    *err = -EOPNOTSUPP; // the unit cannot make such tables
  if (!*err && h->nest_parent && unit->ops->parent_id) {
    *err = ims_hdomain_hold(h->h.d, unit);
    h->held = *err ? NULL : unit;
  }
  if (!*err)
    return h;
  ims_object_destroy(&h->h.obj);
  return NULL;
}

int ims_hwpt_paging_fill(struct hwpt_paging *h) { return ims_iopt_add_domain(&h->ioas->iopt, h->h.d); }

struct hwpt_paging *ims_hwpt_paging_new(struct ioas *s, struct idev *idev, uint32_t flags, bool automatic, int *err) {
  struct hwpt_paging *h = ims_hwpt_paging_make(s, idev, flags, automatic, err);
  if (!h || (*err = ims_hwpt_paging_fill(h)) == 0)
    return h;
  ims_object_destroy(&h->h.obj);
  return NULL;
}

// With data of the driver's own, or without (length 0).
static struct hwpt_paging *paging_of_data(struct ioas *s, struct idev *idev, uint32_t flags,
                                          const struct user_data *data, int *err) {
  const struct host_ops *ops = idev->dev->unit->ops;
  if (!data->len)
    return ims_hwpt_paging_new(s, idev, flags, false, err);
  *err = -EOPNOTSUPP;
  struct hwpt_paging *h = ops->paging_data ? ims_hwpt_paging_make(s, idev, flags, false, err) : NULL;
  if (!h)
    return NULL;
  *err = ops->paging_data(h->h.d, data);
  if (!*err)
    *err = ims_hwpt_paging_fill(h);
  if (!*err)
    return h;
  ims_object_destroy(&h->h.obj);
  return NULL;
}

struct hwpt_paging *ims_hwpt_parent(const struct hwpt *h) {
  return h->obj.type == OBJ_HWPT_PAGING ? (struct hwpt_paging *)(uintptr_t)h : ((const struct hwpt_nested *)h)->parent;
}

// ---- Nested ---------------------------------------------------------------------------------------------------------

void ims_hwpt_nested_release(struct object *o) {
  struct hwpt_nested *n = (struct hwpt_nested *)o;
  if (n->h.d)
    ims_hdomain_free(n->h.d);
  ims_hwpt_fault_put(&n->h);
  if (n->viommu)
    n->viommu->obj.users--;
  else
    n->parent->h.obj.users--;
}

static int new_nested(struct ucmd *u, const struct ims_iommu_hwpt_alloc *c, struct idev *idev,
                      struct hwpt_paging *parent, struct object **out) {
  const struct host_ops *ops = idev->dev->unit->ops;
  const struct user_data data = {u->process, c->data_uptr, c->data_type, c->data_len};
  if ((c->flags & ~(uint32_t)(IMS_HWPT_FAULT_ID_VALID | IMS_HWPT_PASID)) || !c->data_len || !ops->nested_new)
    return -EOPNOTSUPP;
  if (parent->automatic || !parent->nest_parent || parent->h.d->ops != ops)
    return -EINVAL;
  struct hwpt_nested *n = ims_object_alloc(u->ctx, sizeof *n, OBJ_HWPT_NESTED);
  if (!n)
    return -ENOMEM;
  n->parent = parent;
  parent->h.obj.users++;
  n->h.pasid = c->flags & IMS_HWPT_PASID;
  *out = &n->h.obj;
  int err = ops->nested_new(idev->dev, parent->h.d, c->flags & ~(uint32_t)IMS_HWPT_FAULT_ID_VALID, &data, &n->h.d);
  if (!err && !n->h.d->parent) {
    n->h.d->parent = parent->h.d;
    parent->h.d->users++;
  }
  return err;
}

// ---- The ioctl ------------------------------------------------------------------------------------------------------

long ims_cmd_iommu_hwpt_alloc(struct ucmd *u, struct ims_iommu_hwpt_alloc *c) {
  if (c->reserved)
    return -EOPNOTSUPP;
  if ((c->data_type == IMS_HWPT_DATA_NONE) != (c->data_len == 0))
    return -EINVAL;
  struct idev *idev = FIND(u->ctx, c->dev_id, DEVICE, idev);
  if (!idev)
    return -ENOENT;
  struct object *pt = ims_object_find(u->ctx, c->pt_id, OBJ_NONE), *made = NULL;
  int err = -EINVAL;
  switch (pt ? pt->type : OBJ_NONE) {
  case OBJ_IOAS: {
    const struct user_data data = {u->process, c->data_uptr, c->data_type, c->data_len};
    struct hwpt_paging *h = paging_of_data((struct ioas *)pt, idev, c->flags, &data, &err);
    made = h ? &h->h.obj : NULL;
    break;
  }
  case OBJ_HWPT_PAGING: err = new_nested(u, c, idev, (struct hwpt_paging *)pt, &made); break;
  case OBJ_VIOMMU: {
    const struct user_data data = {u->process, c->data_uptr, c->data_type, c->data_len};
    struct hwpt_nested *n = ims_viommu_hwpt_nested((struct viommu *)pt, idev, c->flags, &data, &err);
    made = n ? &n->h.obj : NULL;
    break;
  }
  }
  if (!err && (c->flags & IMS_HWPT_FAULT_ID_VALID))
    err = ims_hwpt_fault_set((struct hwpt *)made, c->fault_id);
  if (!err)
    err = ims_object_publish(made);
  if (!err) {
    c->out_hwpt_id = made->id;
    err = ims_respond(u, sizeof *c);
  }
  if (err && made)
    ims_object_destroy(made);
  return err;
}
