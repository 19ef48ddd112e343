// SPDX-License-Identifier: Apache-2.0
// The ioctls of I/O address spaces (Facts 3.4; Linux 7.x, iommufd/ioas.c).
#include "uapi/iommufd/iommufd_internal.h"
#include <stdlib.h>

static const uint32_t map_flags = IMS_IOAS_MAP_FIXED_IOVA | IMS_IOAS_MAP_WRITEABLE | IMS_IOAS_MAP_READABLE;

void ims_ioas_release(struct object *o) {
  struct ioas *s = (struct ioas *)o;
  if (o->ctx->vfio_ioas == s)
    o->ctx->vfio_ioas = NULL;
  ims_iopt_fini(&s->iopt);
}

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

// ---- Ranges ---------------------------------------------------------------------------------------------------------

long ims_cmd_iommu_ioas_iova_ranges(struct ucmd *u, struct ims_iommu_ioas_iova_ranges *c) {
  const uint32_t room = c->num_iovas;
  struct ims_iommu_iova_range r;
  if (c->reserved)
    return -EOPNOTSUPP;
  struct ioas *s = FIND(u->ctx, c->ioas_id, IOAS, ioas);
  if (!s)
    return -ENOENT;
  c->num_iovas = 0;
  c->out_iova_alignment = s->iopt.alignment;
  for (uint64_t first = 0; ims_iopt_free_range(&s->iopt, &first, &r.last); first = r.last + 1) {
    r.start = first;
    if (c->num_iovas < room && !ims_user_write(u->process, c->allowed_iovas + c->num_iovas * sizeof r, &r, sizeof r))
      return -EFAULT;
    c->num_iovas++;
    if (r.last == ~0ull)
      break;
  }
  int err = ims_respond(u, sizeof *c);
  return err ? err : c->num_iovas > room ? -EMSGSIZE : 0;
}

static int by_first(const void *a, const void *b) {
  uint64_t x = ((const struct range *)a)->first, y = ((const struct range *)b)->first;
  return x < y ? -1 : x > y;
}

// Reads the list in its order; what is wrong first counts.
static int load_ranges(struct ucmd *u, uint64_t list, uint32_t count, struct ranges *out) {
  int err = 0;
  for (uint32_t i = 0; i < count && !err; i++) {
    struct ims_iommu_iova_range r;
    if (!ims_user_read(u->process, &r, list + i * sizeof r, sizeof r)) {
      err = -EFAULT;
    } else if (r.start >= r.last) {
      err = -EINVAL;
    } else if (out->count == out->room) {
      size_t room = out->room ? 2 * out->room : 8;
      struct range *more = realloc(out->range, room * sizeof *more);
      if (!more)
        return -ENOMEM;
      out->range = more;
      out->room = room;
    }
    if (!err)
      out->range[out->count++] = (struct range){.first = r.start, .last = r.last};
  }
  if (out->count)
    qsort(out->range, out->count, sizeof *out->range, by_first);
  for (size_t i = 1; i < out->count; i++)
    if (out->range[i].first <= out->range[i - 1].last)
      return -EINVAL; // among those before the other error
  return err;
}

long ims_cmd_iommu_ioas_allow_iovas(struct ucmd *u, struct ims_iommu_ioas_allow_iovas *c) {
  struct ranges list = {0};
  if (c->reserved)
    return -EOPNOTSUPP;
  struct ioas *s = FIND(u->ctx, c->ioas_id, IOAS, ioas);
  if (!s)
    return -ENOENT;
  int err = load_ranges(u, c->allowed_iovas, c->num_iovas, &list);
  if (!err)
    err = ims_iopt_allow(&s->iopt, &list);
  free(list.range);
  return err;
}

// ---- Mapping --------------------------------------------------------------------------------------------------------

static unsigned prot_of(uint32_t flags) {
  return (flags & IMS_IOAS_MAP_READABLE ? (unsigned)IMS_PROT_READ : 0u) |
         (flags & IMS_IOAS_MAP_WRITEABLE ? (unsigned)IMS_PROT_WRITE : 0u);
}

// Maps all of `length` bytes of pages from byte `start` on, and lets go of the caller's reference.
static int map_pages(struct ioas *s, struct pages *p, uint64_t start, uint64_t length, uint64_t *iova, uint32_t flags) {
  const struct slice all = {p, start % s->iopt.page, length};
  int err = ims_iopt_map(&s->iopt, &all, 1, iova, length, prot_of(flags), flags & IMS_IOAS_MAP_FIXED_IOVA);
  ims_pages_put(p);
  return err;
}

int ims_ioas_map_user(struct ioas *s, struct ims_process *p, uint64_t uva, uint64_t length, uint64_t *iova,
                      uint32_t flags) {
  struct pages *pages;
  int err = ims_pages_of_user(s->obj.ctx, p, uva, length, flags & IMS_IOAS_MAP_WRITEABLE, &pages);
  return err ? err : map_pages(s, pages, uva, length, iova, flags);
}

long ims_cmd_iommu_ioas_map(struct ucmd *u, struct ims_iommu_ioas_map *c) {
  if ((c->flags & ~map_flags) || c->reserved)
    return -EOPNOTSUPP;
  if (c->iova == ~0ull || c->length == ~0ull)
    return -EOVERFLOW;
  if (!prot_of(c->flags))
    return -EINVAL;
  struct ioas *s = FIND(u->ctx, c->ioas_id, IOAS, ioas);
  if (!s)
    return -ENOENT;
  uint64_t iova = c->iova;
  int err = ims_ioas_map_user(s, u->process, c->user_va, c->length, &iova, c->flags);
  if (err)
    return err;
  c->iova = iova;
  return ims_respond(u, sizeof *c);
}

long ims_cmd_iommu_ioas_map_file(struct ucmd *u, struct ims_iommu_ioas_map_file *c) {
  struct pages *p;
  if (c->flags & ~map_flags)
    return -EOPNOTSUPP;
  if (c->iova == ~0ull || c->length == ~0ull)
    return -EOVERFLOW;
  if (!prot_of(c->flags))
    return -EINVAL;
  struct ioas *s = FIND(u->ctx, c->ioas_id, IOAS, ioas);
  if (!s)
    return -ENOENT;
  uint64_t iova = c->iova;
  int err =
      ims_pages_of_file(u->ctx, u->process, (int)c->fd, c->start, c->length, c->flags & IMS_IOAS_MAP_WRITEABLE, &p);
  if (!err)
    err = map_pages(s, p, c->start, c->length, &iova, c->flags);
  if (err)
    return err;
  c->iova = iova;
  return ims_respond(u, sizeof *c);
}

long ims_cmd_iommu_ioas_copy(struct ucmd *u, struct ims_iommu_ioas_copy *c) {
  struct slice *slice;
  size_t slices;
  if (c->flags & ~map_flags)
    return -EOPNOTSUPP;
  if (c->length == ~0ull || c->src_iova == ~0ull || c->dst_iova == ~0ull)
    return -EOVERFLOW;
  if (!prot_of(c->flags))
    return -EINVAL;
  struct ioas *src = FIND(u->ctx, c->src_ioas_id, IOAS, ioas), *dst = FIND(u->ctx, c->dst_ioas_id, IOAS, ioas);
  if (!src)
    return -ENOENT;
  int err = ims_iopt_slices(&src->iopt, c->src_iova, c->length, &slice, &slices);
  if (err)
    return err;
  uint64_t iova = c->dst_iova;
  err = dst ? ims_iopt_map(&dst->iopt, slice, slices, &iova, c->length, prot_of(c->flags),
                           c->flags & IMS_IOAS_MAP_FIXED_IOVA)
            : -ENOENT;
  ims_slices_free(slice, slices);
  if (err)
    return err;
  c->dst_iova = iova;
  return ims_respond(u, sizeof *c);
}

long ims_cmd_iommu_ioas_unmap(struct ucmd *u, struct ims_iommu_ioas_unmap *c) {
  struct ioas *s = FIND(u->ctx, c->ioas_id, IOAS, ioas);
  const bool all = c->iova == 0 && c->length == ~0ull;
  uint64_t last = ~0ull, unmapped;
  if (!s)
    return -ENOENT;
  if (!all && (c->iova == ~0ull || c->length == ~0ull))
    return -EOVERFLOW;
  if (!c->length)
    return -EINVAL;
  if (!all && __builtin_add_overflow(c->iova, c->length - 1, &last))
    return -EOVERFLOW;
  int err = ims_iopt_unmap(&s->iopt, c->iova, last, &unmapped);
  if (!err && !unmapped && !all)
    err = -ENOENT;
  if (err)
    return err;
  c->length = unmapped;
  return ims_respond(u, sizeof *c);
}
