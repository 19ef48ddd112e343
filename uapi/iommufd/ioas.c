// SPDX-License-Identifier: Apache-2.0
// The ioctls of I/O address spaces (Facts 3.4).
#include "uapi/iommufd/internal.h"

void ims_ioas_release(struct object *o) { ims_iopt_fini(&((struct ioas *)o)->iopt); }

long ims_cmd_iommu_ioas_alloc(struct ucmd *u, struct ims_iommu_ioas_alloc *c) {
  if (c->flags)
    return -EOPNOTSUPP;
  struct ioas *s = ims_object_alloc(u->ctx, sizeof *s, OBJ_IOAS);
  if (!s)
    return -ENOMEM;
  ims_iopt_init(&s->iopt, u->ctx);
  int err = ims_object_publish(&s->obj);
  if (!err) {
    c->out_ioas_id = s->obj.id;
    err = ims_respond(u, sizeof *c);
  }
  if (err)
    ims_object_destroy(&s->obj);
  return err;
}

static unsigned prot_of(uint32_t flags) {
  return (flags & IMS_IOAS_MAP_READABLE ? (unsigned)IMS_PROT_READ : 0u) |
         (flags & IMS_IOAS_MAP_WRITEABLE ? (unsigned)IMS_PROT_WRITE : 0u);
}

long ims_cmd_iommu_ioas_map(struct ucmd *u, struct ims_iommu_ioas_map *c) {
  const uint32_t known = IMS_IOAS_MAP_FIXED_IOVA | IMS_IOAS_MAP_WRITEABLE | IMS_IOAS_MAP_READABLE;
  if ((c->flags & ~known) || c->reserved)
    return -EOPNOTSUPP;
  if (c->iova == ~0ull || c->length == ~0ull)
    return -EOVERFLOW;
  if (!prot_of(c->flags))
    return -EINVAL;
  struct ioas *s = FIND(u->ctx, c->ioas_id, IOAS, ioas);
  if (!s)
    return -ENOENT;
  uint64_t end, off = c->user_va & (IMS_PAGE_SIZE - 1), iova = c->iova;
  if (!c->length)
    return -EINVAL;
  if (__builtin_add_overflow(c->user_va, c->length - 1, &end))
    return -EOVERFLOW;
  struct pages *p = ims_pages_new(u->process, c->user_va - off, (off + c->length + IMS_PAGE_SIZE - 1) / IMS_PAGE_SIZE,
                                  c->flags & IMS_IOAS_MAP_WRITEABLE);
  if (!p)
    return -ENOMEM;
  int err = ims_iopt_map(&s->iopt, p, off, &iova, c->length, prot_of(c->flags), c->flags & IMS_IOAS_MAP_FIXED_IOVA);
  ims_pages_put(p);
  if (err)
    return err;
  c->iova = iova;
  return ims_respond(u, sizeof *c);
}

long ims_cmd_iommu_ioas_unmap(struct ucmd *u, struct ims_iommu_ioas_unmap *c) {
  struct ioas *s = FIND(u->ctx, c->ioas_id, IOAS, ioas);
  uint64_t last, unmapped;
  if (!s)
    return -ENOENT;
  int err;
  if (c->iova == 0 && c->length == ~0ull) {
    err = ims_iopt_unmap(&s->iopt, 0, ~0ull, &unmapped);
  } else {
    if (c->iova == ~0ull || c->length == ~0ull)
      return -EOVERFLOW;
    if (!c->length)
      return -EINVAL;
    if (__builtin_add_overflow(c->iova, c->length - 1, &last))
      return -EOVERFLOW;
    err = ims_iopt_unmap(&s->iopt, c->iova, last, &unmapped);
    if (!err && !unmapped)
      err = -ENOENT;
  }
  c->length = unmapped;
  int answer = ims_respond(u, sizeof *c);
  return err ? err : answer;
}
