// SPDX-License-Identifier: Apache-2.0
// Devices bound to a context, attached to address spaces and hardware page tables; groups and PASIDs
// (Facts 3.5, 3.9; Linux 7.x, iommufd/device.c).
#include "uapi/iommufd/internal.h"
#include <stdlib.h>

// ---- Binding --------------------------------------------------------------------------------------------------------

static struct igroup *igroup_get(struct ictx *ctx, struct ims_group *g) {
  struct igroup *ig = g->igroup;
  if (!ig) {
    ig = calloc(1, sizeof *ig);
    if (!ig)
      return NULL;
    ig->ctx = ctx;
    ig->g = g;
    g->igroup = ig;
  }
  ig->refs++;
  return ig;
}

void ims_device_release(struct object *o) {
  struct idev *d = (struct idev *)o;
  struct igroup *ig = d->group;
  d->dev->idev = NULL;
  if (!ig || --ig->refs)
    return;
  ig->g->igroup = NULL;
  free(ig->attach);
  free(ig);
}

int ims_idev_bind(struct ictx *ctx, struct ims_device *dev, struct idev **out) {
  struct ims_group *g = dev->group;
  if (g->opened || g->container || (g->igroup && g->igroup->ctx != ctx))
    return -EBUSY; // DMA is somebody else's
  struct idev *d = ims_object_alloc(ctx, sizeof *d, OBJ_DEVICE);
  if (!d)
    return -ENOMEM;
  d->dev = dev;
  d->obj.users = 1; // who bound it
  d->group = igroup_get(ctx, g);
  int err = d->group ? ims_object_publish(&d->obj) : -ENOMEM;
  if (err) {
    ims_object_destroy(&d->obj);
    return err;
  }
  dev->idev = d;
  ims_open_file_get(ctx->file);
  *out = d;
  return 0;
}

void ims_idev_unbind(struct idev *d) {
  struct open_file *file = d->obj.ctx->file;
  ims_vdevice_device_gone(d);
  d->obj.users--;
  ims_object_destroy(&d->obj);
  ims_open_file_put(file);
}

// ---- Attaching ------------------------------------------------------------------------------------------------------

static struct igroup_attach *attach_of(const struct igroup *ig, uint32_t pasid) {
  for (size_t i = 0; i < ig->attaches; i++)
    if (ig->attach[i].pasid == pasid)
      return &ig->attach[i];
  return NULL;
}

static size_t place_of(const struct igroup_attach *a, const struct idev *d) {
  size_t i = 0;
  while (i < a->devices && a->device[i] != d)
    i++;
  return i;
}

struct hwpt *ims_idev_hwpt(const struct idev *d, uint32_t pasid) {
  const struct igroup_attach *a = attach_of(d->group, pasid);
  return a && place_of(a, d) < a->devices ? a->hwpt : NULL;
}

// An automatic table goes with its last attachment.
static void put_hwpt(struct hwpt *h) {
  h->obj.users--;
  if (!h->obj.users && h->obj.type == OBJ_HWPT_PAGING && ((struct hwpt_paging *)h)->automatic)
    ims_object_destroy(&h->obj);
}

static void group_detach(struct igroup *ig, uint32_t pasid, const struct ims_device *stop) {
  for (struct ims_device *dev = ig->g->devices; dev && dev != stop; dev = dev->next_in_group) {
    struct attachment *at = ims_attachment(dev, pasid);
    if (at)
      ims_detach(at, false);
  }
}

static int group_attach(struct igroup *ig, uint32_t pasid, struct hwpt *h) {
  for (struct ims_device *dev = ig->g->devices; dev; dev = dev->next_in_group) {
    struct attachment *at;
    int err = ims_replace(dev, pasid, h->d, &at);
    if (err) {
      group_detach(ig, pasid, dev);
      return err;
    }
  }
  return 0;
}

static int do_attach(struct idev *d, uint32_t pasid, struct hwpt *h) {
  struct igroup *ig = d->group;
  struct igroup_attach *a = attach_of(ig, pasid);
  if (a && a->hwpt != h)
    return -EINVAL;
  if (!a) {
    struct igroup_attach *more = realloc(ig->attach, (ig->attaches + 1) * sizeof *more);
    if (!more)
      return -ENOMEM;
    ig->attach = more;
    int err = group_attach(ig, pasid, h);
    if (err)
      return err;
    a = &more[ig->attaches++];
    *a = (struct igroup_attach){.pasid = pasid, .hwpt = h};
  }
  struct idev **more = realloc(a->device, (a->devices + 1) * sizeof(struct idev *));
  if (!more)
    return -ENOMEM;
  a->device = more;
  a->device[a->devices++] = d;
  h->obj.users++;
  return 0;
}

static int attach_auto(struct idev *d, uint32_t pasid, struct ioas *s, struct hwpt **out) {
  int err;
  for (struct hwpt_paging *h = s->hwpts; h; h = h->next_in_ioas) {
    if (!h->automatic)
      continue;
    err = do_attach(d, pasid, &h->h);
    *out = &h->h;
    if (!err || err != -EINVAL) // only an unfit table means: try another
      return err;
  }
  struct hwpt_paging *h = ims_hwpt_paging_new(s, d, 0, true, &err);
  if (!h)
    return err;
  err = ims_object_publish(&h->h.obj);
  if (!err)
    err = do_attach(d, pasid, &h->h);
  if (err)
    ims_object_destroy(&h->h.obj);
  *out = &h->h;
  return err;
}

int ims_idev_attach(struct idev *d, uint32_t pasid, uint32_t *pt_id) {
  struct object *pt = ims_object_find(d->obj.ctx, *pt_id, OBJ_NONE);
  struct hwpt *h = (struct hwpt *)pt;
  int err;
  if (!pt)
    return -ENOENT;
  switch (pt->type) {
  case OBJ_IOAS: err = attach_auto(d, pasid, (struct ioas *)pt, &h); break;
  case OBJ_HWPT_PAGING:
  case OBJ_HWPT_NESTED: err = do_attach(d, pasid, h); break;
  default: return -EINVAL;
  }
  if (!err)
    *pt_id = h->obj.id;
  return err;
}

void ims_idev_detach(struct idev *d, uint32_t pasid) {
  struct igroup *ig = d->group;
  struct igroup_attach *a = attach_of(ig, pasid);
  size_t i = a ? place_of(a, d) : 0;
  if (!a || i == a->devices)
    return;
  struct hwpt *h = a->hwpt;
  a->device[i] = a->device[--a->devices];
  if (!a->devices) {
    group_detach(ig, pasid, NULL);
    free(a->device);
    *a = ig->attach[--ig->attaches];
  }
  put_hwpt(h);
}
