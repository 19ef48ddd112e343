// SPDX-License-Identifier: Apache-2.0
// Queues of a guest that hardware reads by itself, by physical addresses: the range of the nesting parent that they lie in is
// pinned, lies in one piece, and cannot be unmapped. Facts 3.8; Linux 7.x, iommufd/viommu.c.
#include "uapi/iommufd/iommufd_internal.h"

static struct iopt *space(const struct hw_queue *q) { return &q->viommu->hwpt->ioas->iopt; }

static void unpin(struct hw_queue *q) {
  ims_iopt_unpin_range(space(q), &q->access, q->first, q->last - q->first + 1);
  ims_iopt_remove_access(space(q), &q->access);
}

// [q->first, q->last], whole pages; hpa of the first.
static int pin(struct hw_queue *q, uint64_t *hpa) {
  const uint64_t length = q->last - q->first + 1;
  q->access.alignment = IMS_PAGE_SIZE;
  q->access.internal = true;
  int err = ims_iopt_add_access(space(q), &q->access);
  if (err)
    return err;
  err = ims_iopt_pin_range(space(q), &q->access, q->first, length, 0, NULL);
  if (err) {
    ims_iopt_remove_access(space(q), &q->access);
    return err;
  }
  err = ims_iopt_in_one_piece(space(q), q->first, length, hpa);
  if (err)
    unpin(q);
  return err;
}

void ims_hw_queue_release(struct object *o) {
  struct hw_queue *q = (struct hw_queue *)o;
  if (q->ready && q->viommu->ops->hw_queue_destroy)
    q->viommu->ops->hw_queue_destroy(q);
  if (q->pinned)
    unpin(q);
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
