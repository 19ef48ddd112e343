// SPDX-License-Identifier: Apache-2.0
// Queues of a guest that hardware reads by itself, by physical addresses: the range of the nesting parent that they lie in is
// pinned, lies in one piece, and cannot be unmapped. Facts 3.8; Linux 7.x, iommufd/viommu.c.
#include "uapi/iommufd/internal.h"

// The part of an area in [first, last]: pages of its memory.
static uint64_t part(const struct area *a, uint64_t first, uint64_t last, uint64_t *count) {
  uint64_t from = first > a->iova ? first : a->iova, to = last < a->last ? last : a->last;
  *count = (to - from + 1) / IMS_PAGE_SIZE;
  return (a->start + (from - a->iova)) / IMS_PAGE_SIZE;
}

// The areas before `stop`; all of them: ~0.
static void unpin(struct hw_queue *q, size_t stop) {
  struct iopt *t = &q->viommu->hwpt->ioas->iopt;
  for (size_t i = ims_iopt_at(t, q->first); i < stop && i < t->areas && t->area[i]->iova <= q->last; i++) {
    uint64_t count, page = part(t->area[i], q->first, q->last, &count);
    ims_pages_unpin(t->area[i]->pages, page, count);
    t->area[i]->locks--;
  }
}

static int pin_area(struct area *a, uint64_t first, uint64_t last) {
  uint64_t count, page = part(a, first, last, &count);
  if ((a->start - a->iova) & (IMS_PAGE_SIZE - 1))
    return -EINVAL; // pages of the address space are not pages of memory
  int err = ims_pages_pin(a->pages, page, count);
  if (!err)
    a->locks++;
  return err;
}

// -EFAULT: not in one piece.
static int follow(const struct area *a, uint64_t first, uint64_t last, uint64_t *next) {
  uint64_t left, page = part(a, first, last, &left), count;
  for (; left; page += count, left -= count) {
    uint64_t hpa = ims_pages_hpa(a->pages, page, &count);
    if (*next != ~0ull && hpa != *next)
      return -EFAULT;
    if (count > left)
      count = left;
    *next = hpa + count * IMS_PAGE_SIZE;
  }
  return 0;
}

// [q->first, q->last], whole pages; hpa of the first.
static int pin(struct hw_queue *q, uint64_t *hpa) {
  struct iopt *t = &q->viommu->hwpt->ioas->iopt;
  uint64_t at = q->first, next = ~0ull, ignored;
  size_t start = ims_iopt_at(t, q->first), i = start;
  int err = 0;
  for (; !err; i++) {
    struct area *a = i < t->areas ? t->area[i] : NULL;
    err = !a || a->iova > at ? -ENOENT : pin_area(a, q->first, q->last);
    if (err || a->last >= q->last)
      break;
    at = a->last + 1;
  }
  size_t end = err ? i : i + 1;
  for (i = start; i < end && !err; i++)
    err = follow(t->area[i], q->first, q->last, &next);
  if (err) {
    unpin(q, end);
    return err;
  }
  uint64_t page = part(t->area[start], q->first, q->last, &ignored);
  *hpa = ims_pages_hpa(t->area[start]->pages, page, &ignored);
  return 0;
}

void ims_hw_queue_release(struct object *o) {
  struct hw_queue *q = (struct hw_queue *)o;
  if (q->ready && q->viommu->ops->hw_queue_destroy)
    q->viommu->ops->hw_queue_destroy(q);
  if (q->pinned)
    unpin(q, SIZE_MAX);
  q->viommu->obj.users--;
}

static int start(struct hw_queue *q, const struct ims_iommu_hw_queue_alloc *c) {
  const uint64_t off = q->base & (IMS_PAGE_SIZE - 1);
  uint64_t hpa, length;
  if (__builtin_add_overflow(off, q->length, &length) || __builtin_add_overflow(length, IMS_PAGE_SIZE - 1, &length))
    return -ERANGE;
  q->first = q->base - off;
  if (__builtin_add_overflow(q->first, (length & ~(IMS_PAGE_SIZE - 1)) - 1, &q->last))
    return -EOVERFLOW;
  int err = pin(q, &hpa);
  if (err)
    return err;
  q->pinned = true;
  err = q->viommu->ops->hw_queue_init(q, c->index, hpa + off);
  if (err)
    return err;
  q->ready = true;
  return ims_object_publish(&q->obj);
}

long ims_cmd_iommu_hw_queue_alloc(struct ucmd *u, struct ims_iommu_hw_queue_alloc *c) {
  uint64_t last;
  if (c->flags || !c->type)
    return -EOPNOTSUPP;
  if (!c->length)
    return -EINVAL;
  if (__builtin_add_overflow(c->nesting_parent_iova, c->length - 1, &last))
    return -EOVERFLOW;
  struct viommu *v = FIND(u->ctx, c->viommu_id, VIOMMU, viommu);
  if (!v)
    return -ENOENT;
  if (!v->ops->has_hw_queue || !v->ops->has_hw_queue(v, c->type))
    return -EOPNOTSUPP;
  struct hw_queue *q = ims_object_alloc(u->ctx, sizeof *q, OBJ_HW_QUEUE);
  if (!q)
    return -ENOMEM;
  q->viommu = v;
  q->type = c->type;
  q->base = c->nesting_parent_iova;
  q->length = c->length;
  v->obj.users++;
  int err = start(q, c);
  if (!err) {
    c->out_hw_queue_id = q->obj.id;
    err = ims_respond(u, sizeof *c);
  }
  if (err)
    ims_object_destroy(&q->obj);
  return err;
}
