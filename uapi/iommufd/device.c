// SPDX-License-Identifier: Apache-2.0
// Devices bound to a context, attached to address spaces and hardware page tables; groups and PASIDs
// (Facts 3.5, 3.9; Linux 7.x, iommufd/device.c).
#include "uapi/iommufd/iommufd_internal.h"
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

// Whose the DMA of the group is: of one context, or of nobody but the kernel.
static int claim(const struct ictx *ctx, const struct ims_device *dev) {
  const struct ims_group *g = dev->group;
  if (dev->unit->ops->coherent && !dev->unit->ops->coherent(dev))
    return -EINVAL; // nobody could flush the caches
  if (!g)
    return -ENODEV;
  if (dev->cfg.shared_msi)
    return -EPERM; // its writes could raise other people's interrupts
  if (g->igroup)
    return g->igroup->ctx == ctx ? 0 : -EPERM;
  if (g->opened || g->container)
    return -EBUSY;
  for (const struct ims_device *d = g->devices; d; d = d->next_in_group)
    if (d->attachments)
      return -EBUSY; // a process is bound (SVA)
  return 0;
}

int ims_idev_bind(struct ictx *ctx, struct ims_device *dev, struct idev **out) {
  struct ims_group *g = dev->group;
  int err = claim(ctx, dev);
  if (err)
    return err;
  struct idev *d = ims_object_alloc(ctx, sizeof *d, OBJ_DEVICE);
  if (!d)
    return -ENOMEM;
  d->dev = dev;
  d->obj.users = 1; // who bound it
  d->group = igroup_get(ctx, g);
  err = d->group ? ims_object_publish(&d->obj) : -ENOMEM;
  if (err) {
    ims_object_destroy(&d->obj);
    return err;
  }
  dev->idev = d;
  if (dev->unit != ctx->k->mock) // a device of the self-test is the context's own
    ims_open_file_get(ctx->file);
  *out = d;
  return 0;
}

void ims_idev_unbind(struct idev *d) {
  struct open_file *file = d->dev->unit == d->obj.ctx->k->mock ? NULL : d->obj.ctx->file;
  ims_vdevice_device_gone(d);
  d->obj.users--;
  ims_object_destroy(&d->obj);
  if (file)
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

// A device without PASIDs is passed over: it can make no such request (Linux 7.3).
static bool concerned(const struct ims_device *dev, uint32_t pasid) { return !pasid || dev->max_pasids; }

static void group_detach(struct igroup *ig, uint32_t pasid, const struct ims_device *stop) {
  for (struct ims_device *dev = ig->g->devices; dev && dev != stop; dev = dev->next_in_group) {
    struct attachment *at = concerned(dev, pasid) ? ims_attachment(dev, pasid) : NULL;
    if (at)
      ims_detach(at, false);
  }
}

static int check_pasid(const struct igroup *ig, uint32_t pasid) {
  for (const struct ims_device *dev = ig->g->devices; dev; dev = dev->next_in_group)
    if (pasid && concerned(dev, pasid) && pasid >= dev->max_pasids)
      return -EINVAL;
  return 0;
}

// All devices of the group, bound or not: they cannot be told apart.
static int group_attach(struct igroup *ig, uint32_t pasid, struct hwpt *h) {
  int err = check_pasid(ig, pasid);
  for (struct ims_device *dev = ig->g->devices; dev && !err; dev = dev->next_in_group) {
    err = concerned(dev, pasid) ? ims_attach(dev, pasid, h->d, NULL) : 0;
    if (err)
      group_detach(ig, pasid, dev);
  }
  return err;
}

// One after the other; when one is refused, those before go back.
static int group_replace(struct igroup *ig, uint32_t pasid, struct hwpt *h, struct hwpt *old) {
  struct attachment *at;
  for (struct ims_device *dev = ig->g->devices; dev; dev = dev->next_in_group) {
    int err = concerned(dev, pasid) ? ims_replace(dev, pasid, h->d, &at) : 0;
    for (struct ims_device *d = ig->g->devices; err && d != dev; d = d->next_in_group)
      if (concerned(d, pasid))
        ims_replace(d, pasid, old->d, &at);
    if (err)
      return err;
  }
  return 0;
}

// PASIDs and requests without are attached side by side only to tables made for it.
static int check_pasid_tables(const struct igroup *ig, uint32_t pasid, const struct hwpt *h) {
  const struct igroup_attach *rid = attach_of(ig, 0);
  if (pasid)
    return h->pasid && (!rid || rid->hwpt->pasid) ? 0 : -EINVAL;
  for (size_t i = 0; i < ig->attaches && !h->pasid; i++)
    if (ig->attach[i].pasid)
      return -EINVAL;
  return 0;
}

static bool add_device(struct igroup_attach *a, struct idev *d) {
  struct idev **more = realloc(a->device, (a->devices + 1) * sizeof(struct idev *));
  if (!more)
    return false;
  a->device = more;
  a->device[a->devices++] = d;
  return true;
}

// What the device keeps free in the address space below is its own while its requests without PASID are attached.
static struct iopt *iopt_of(const struct hwpt *h, uint32_t pasid) {
  return pasid ? NULL : &ims_hwpt_parent(h)->ioas->iopt;
}

// The first device of a group attaches them all; the others only join.
static int do_attach(struct idev *d, uint32_t pasid, struct hwpt *h) {
  struct igroup *ig = d->group;
  struct igroup_attach *a = attach_of(ig, pasid), fresh = {.pasid = pasid, .hwpt = h};
  struct iopt *t = iopt_of(h, pasid);
  if (a && place_of(a, d) < a->devices)
    return -EBUSY; // this very device: it would be replaced
  if (a && a->hwpt != h)
    return -EINVAL;
  struct igroup_attach *more = a ? ig->attach : realloc(ig->attach, (ig->attaches + 1) * sizeof *more);
  if (!more)
    return -ENOMEM;
  ig->attach = more;
  if (!add_device(a ? a : &fresh, d))
    return -ENOMEM;
  int err = t ? ims_iopt_reserve_device(t, d->dev) : 0;
  if (!err && !a) {
    err = check_pasid_tables(ig, pasid, h);
    if (!err)
      err = group_attach(ig, pasid, h);
    if (err && t)
      ims_iopt_unreserve(t, d->dev);
  }
  if (err) {
    if (a)
      a->devices--;
    free(fresh.device);
    return err;
  }
  if (!a)
    more[ig->attaches++] = fresh;
  h->obj.users++;
  return 0;
}

static void unreserve_all(struct iopt *t, const struct igroup_attach *a) {
  for (size_t i = 0; i < a->devices; i++)
    ims_iopt_unreserve(t, a->device[i]->dev);
}

static int reserve_all(struct iopt *t, const struct igroup_attach *a) {
  int err = 0;
  for (size_t i = 0; i < a->devices && !err; i++)
    err = ims_iopt_reserve_device(t, a->device[i]->dev);
  if (err)
    unreserve_all(t, a);
  return err;
}

// The whole group, with every device of it that is attached; nothing changes when it is refused.
static int do_replace(struct idev *d, uint32_t pasid, struct hwpt *h) {
  struct igroup *ig = d->group;
  struct igroup_attach *a = attach_of(ig, pasid);
  if (!a || place_of(a, d) == a->devices)
    return -EINVAL;
  struct hwpt *old = a->hwpt;
  if (h == old)
    return 0;
  struct iopt *to = iopt_of(h, pasid), *from = iopt_of(old, pasid);
  int err = to != from ? reserve_all(to, a) : 0;
  if (err)
    return err;
  err = check_pasid_tables(ig, pasid, h);
  if (!err)
    err = check_pasid(ig, pasid);
  if (!err)
    err = group_replace(ig, pasid, h, old);
  if (to != from)
    unreserve_all(err ? to : from, a);
  if (err)
    return err;
  a->hwpt = h;
  h->obj.users += (uint32_t)a->devices;
  old->obj.users -= (uint32_t)a->devices - 1;
  put_hwpt(old);
  return 0;
}

// Of an address space: a table that the kernel made before and that fits the device, or a new one. When a device is
// attached for the first time a new table is filled afterwards, else before.
static int change_auto(struct idev *d, uint32_t pasid, struct ioas *s, bool replace, struct hwpt **out) {
  int err;
  for (struct hwpt_paging *h = s->hwpts, *next; h; h = next) {
    next = h->next_in_ioas;
    if (!h->automatic)
      continue;
    *out = &h->h;
    err = replace ? do_replace(d, pasid, &h->h) : do_attach(d, pasid, &h->h);
    if (err != -EINVAL) // only an unfit table means: try another
      return err;
  }
  struct hwpt_paging *h = ims_hwpt_paging_make(s, d, 0, true, &err);
  if (!h)
    return err;
  if (replace && (err = ims_hwpt_paging_fill(h)) == 0) {
    err = ims_object_publish(&h->h.obj);
    if (!err)
      err = do_replace(d, pasid, &h->h);
  } else if (!replace && (err = do_attach(d, pasid, &h->h)) == 0) {
    err = ims_hwpt_paging_fill(h);
    if (!err)
      err = ims_object_publish(&h->h.obj);
    if (err) {
      h->automatic = false; // it is destroyed below
      ims_idev_detach(d, pasid);
    }
  }
  if (err)
    ims_object_destroy(&h->h.obj);
  *out = &h->h;
  return err;
}

static int change(struct idev *d, uint32_t pasid, uint32_t *pt_id, bool replace) {
  struct object *pt = ims_object_find(d->obj.ctx, *pt_id, OBJ_NONE);
  struct hwpt *h = (struct hwpt *)pt;
  int err;
  if (!pt)
    return -ENOENT;
  switch (pt->type) {
  case OBJ_IOAS: err = change_auto(d, pasid, (struct ioas *)pt, replace, &h); break;
  case OBJ_HWPT_PAGING:
  case OBJ_HWPT_NESTED: err = replace ? do_replace(d, pasid, h) : do_attach(d, pasid, h); break;
  default: return -EINVAL;
  }
  if (!err)
    *pt_id = h->obj.id;
  return err;
}

int ims_idev_attach(struct idev *d, uint32_t pasid, uint32_t *pt_id) { return change(d, pasid, pt_id, false); }

int ims_idev_replace(struct idev *d, uint32_t pasid, uint32_t *pt_id) { return change(d, pasid, pt_id, true); }

void ims_idev_detach(struct idev *d, uint32_t pasid) {
  struct igroup *ig = d->group;
  struct igroup_attach *a = attach_of(ig, pasid);
  size_t i = a ? place_of(a, d) : 0;
  if (!a || i == a->devices)
    return;
  struct hwpt *h = a->hwpt;
  memmove(&a->device[i], &a->device[i + 1], (a->devices - i - 1) * sizeof(struct idev *));
  if (!--a->devices) {
    group_detach(ig, pasid, NULL);
    free(a->device);
    *a = ig->attach[--ig->attaches];
  }
  if (iopt_of(h, pasid))
    ims_iopt_unreserve(iopt_of(h, pasid), d->dev);
  put_hwpt(h);
}

// PASIDs in ascending order, requests without PASID last.
void ims_idev_detach_all(struct idev *d) {
  for (;;) {
    uint32_t pasid = 0;
    for (size_t i = 0; i < d->group->attaches; i++) {
      const struct igroup_attach *a = &d->group->attach[i];
      if (a->pasid && (!pasid || a->pasid < pasid) && place_of(a, d) < a->devices)
        pasid = a->pasid;
    }
    ims_idev_detach(d, pasid);
    if (!pasid)
      return;
  }
}
