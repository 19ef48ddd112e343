// SPDX-License-Identifier: Apache-2.0
// Objects of a context: ids from 1, the lowest free one first; references; destruction (Facts 3.1). Linux 7.x, iommufd/main.c.
#include "uapi/iommufd/iommufd_internal.h"
#include <stdlib.h>

struct object ims_tombstone;

static void (*const release[OBJ_TYPES])(struct object *) = {
    [OBJ_ACCESS] = ims_access_release,
    [OBJ_SELFTEST] = ims_selftest_release,
    [OBJ_IOAS] = ims_ioas_release,
    [OBJ_DEVICE] = ims_device_release,
    [OBJ_HWPT_PAGING] = ims_hwpt_paging_release,
    [OBJ_HWPT_NESTED] = ims_hwpt_nested_release,
    [OBJ_VIOMMU] = ims_viommu_release,
    [OBJ_VDEVICE] = ims_vdevice_release,
    [OBJ_VEVENTQ] = ims_veventq_release,
    [OBJ_HW_QUEUE] = ims_hw_queue_release,
    [OBJ_FAULT] = ims_fault_release,
};

void *ims_object_alloc(struct ictx *ctx, size_t size, enum object_type type) {
  struct object *o = calloc(1, size);
  if (!o)
    return NULL;
  o->ctx = ctx;
  o->type = (uint8_t)type;
  return o;
}

int ims_object_publish(struct object *o) {
  struct ictx *ctx = o->ctx;
  size_t id = ctx->lowest ? ctx->lowest : 1;
  while (id < ctx->room && ctx->object[id])
    id++;
  if (id > INT32_MAX)
    return -ENOSPC;
  if (id >= ctx->room) {
    size_t room = ctx->room ? 2 * ctx->room : 16;
    struct object **more = realloc(ctx->object, room * sizeof(struct object *));
    if (!more)
      return -ENOMEM;
    memset(more + ctx->room, 0, (room - ctx->room) * sizeof(struct object *));
    ctx->object = more;
    ctx->room = room;
  }
  ctx->object[id] = o;
  ctx->lowest = (uint32_t)id + 1;
  ctx->objects++;
  o->id = (uint32_t)id;
  return 0;
}

struct object *ims_object_find(const struct ictx *ctx, uint32_t id, enum object_type type) {
  struct object *o = id < ctx->room ? ctx->object[id] : NULL;
  return o && o != &ims_tombstone && (type == OBJ_NONE || o->type == type) ? o : NULL;
}

static void destroy(struct object *o, struct object *leave) {
  struct ictx *ctx = o->ctx;
  if (o->id) {
    ctx->object[o->id] = leave;
    if (!leave && o->id < ctx->lowest)
      ctx->lowest = o->id;
    ctx->objects--;
  }
  if (release[o->type])
    release[o->type](o);
  free(o);
}

void ims_object_destroy(struct object *o) { destroy(o, NULL); }

void ims_object_tombstone(struct object *o) { destroy(o, &ims_tombstone); }

long ims_cmd_iommu_destroy(struct ucmd *u, struct ims_iommu_destroy *c) {
  struct object *o = ims_object_find(u->ctx, c->id, OBJ_NONE);
  if (!o)
    return -ENOENT;
  if (o->users)
    return -EBUSY;
  ims_object_destroy(o);
  return 0;
}
