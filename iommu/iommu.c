// SPDX-License-Identifier: Apache-2.0
// What all architectures share of a translation in flight: answering its questions from the unit's own memory and caches.
#include "iommu/iommu.h"

void ims_xlate_begin(struct ims_xlate *x, struct ims_iommu *u, const struct ims_request *req, struct ims_result *res) {
  x->iommu = u;
  x->req = req;
  x->res = res;
  x->port.refs = 0;
  x->epoch = u->epoch;
  u->ops->begin(x);
}

enum ims_step_kind ims_xlate_step(struct ims_xlate *x) { return x->iommu->ops->step(x); }

static bool holds_structures(unsigned cache) { return cache == IMS_CACHE_CONTEXT || cache == IMS_CACHE_PASID; }

void ims_xlate_answer(struct ims_xlate *x, enum ims_step_kind kind) {
  struct ims_iommu *u = x->iommu;
  const struct ims_step *s = &x->port.step;
  struct ims_answer *a = &x->port.answer;
  void *item;

  switch (kind) {
  case IMS_STEP_READ:
    u->count.reads[s->what]++;
    a->ok = ims_mem_read(u->mem, s->hpa, a->data, s->len) == IMS_ERR_OK;
    break;
  case IMS_STEP_UPDATE:
    u->count.updates++;
    a->ok = ims_mem_cas64(u->mem, s->hpa, s->old, s->desired, &a->data[0]) == IMS_ERR_OK;
    break;
  case IMS_STEP_PROBE:
    ims_iommu_tenant(u, x->req->source);
    a->cache_level = 0;
    if (u->cache[s->cache].front)
      item = ims_cache_lookup_levels(&u->cache[s->cache], &s->tag, &a->cache_level);
    else
      item = ims_cache_lookup(&u->cache[s->cache], &s->tag);
    a->hit = item != NULL;
    if (item && holds_structures(s->cache))
      a->item = item;
    else if (item)
      memcpy(&a->value, item, sizeof a->value);
    break;
  case IMS_STEP_FILL:
    // What was read before an invalidation must not come back after it.
    if (x->epoch == u->epoch) {
      bool structure = holds_structures(s->cache);
      ims_iommu_tenant(u, x->req->source);
      ims_cache_fill(&u->cache[s->cache], &s->tag, structure ? s->aux : s->value.attr, structure ? s->item : &s->value);
    }
    break;
  default: break;
  }
}

void ims_xlate_finish(struct ims_xlate *x) { x->iommu->ops->finish(x); }

void ims_translate(struct ims_iommu *u, const struct ims_request *req, struct ims_result *res) {
  ims_iommu_tenant(u, req->source);
  u->ops->translate(u, req, res);
}

int ims_iommu_build_caches(struct ims_iommu *u, const struct ims_cache_row *rows, unsigned count) {
  for (const struct ims_cache_row *row = rows; row < rows + count; row++) {
    struct ims_cache_config cc = {.entries = row->entries,
                                  .ways = row->ways,
                                  .value_size = row->value_size,
                                  .sized = row->sized,
                                  .replacement = (enum ims_replacement)row->replacement,
                                  .seed = 0x9e3779b97f4a7c15ull + row->id,
                                  .partitions = row->partitions,
                                  .salted = row->salted,
                                  .by_address = row->by_address};
    int err = ims_cache_init(&u->cache[row->id], &cc);
    if (err)
      return err;
    if (!row->entries)
      continue;
    u->caches |= 1u << row->id;
    if (row->partitions > 1 || row->salted) {
      u->tenants |= 1u << row->id;
      ims_cache_tenant(&u->cache[row->id], 0);
    }
  }
  if (u->caches >> IMS_CACHE_UTLB & 1)
    u->cache[IMS_CACHE_IOTLB].front = &u->cache[IMS_CACHE_UTLB];
  return IMS_ERR_OK;
}

void ims_iommu_set_tenant(struct ims_iommu *u, uint32_t source) {
  for (uint32_t left = u->tenants; left; left &= left - 1)
    ims_cache_tenant(&u->cache[__builtin_ctz(left)], source);
}

void ims_iommu_invalidated(struct ims_iommu *u) {
  u->epoch++;
  if (u->bus.invalidated)
    u->bus.invalidated(u->bus.ctx);
}

void ims_iommu_drop_caches(struct ims_iommu *u) {
  static const struct ims_cache_match all = {.any_addr = true};
  for (unsigned i = 0; i < IMS_CACHE_COUNT; i++)
    ims_cache_invalidate(&u->cache[i], &all);
  ims_iommu_invalidated(u);
}

bool ims_request_page(struct ims_iommu *u, const struct ims_page_request *r) { return u->ops->page_request(u, r); }

uint64_t ims_iommu_read(struct ims_iommu *u, uint32_t offset, unsigned size) {
  return (size == 4 || size == 8) && offset % size == 0 ? u->ops->read(u, offset, size) : 0;
}

void ims_iommu_write(struct ims_iommu *u, uint32_t offset, unsigned size, uint64_t value) {
  if ((size == 4 || size == 8) && offset % size == 0)
    u->ops->write(u, offset, size, value);
}

bool ims_queue_next(struct ims_iommu *u, struct ims_queue_item *item) {
  *item = (struct ims_queue_item){.kind = IMS_QUEUE_EMPTY};
  return u->ops->queue_next && u->ops->queue_next(u, item);
}

void ims_queue_step(struct ims_iommu *u) {
  if (u->ops->queue_step)
    u->ops->queue_step(u);
}

void ims_iommu_free(struct ims_iommu *u) {
  if (u)
    u->ops->free(u);
}
