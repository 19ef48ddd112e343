// SPDX-License-Identifier: Apache-2.0
// A device function: DMA cut into requests, the device TLB, page requests. PCIe ATS and PRI.
#include "iommu/device.h"
#include <stdlib.h>

enum { PIECE = 4096, DEFAULT_PAGE_REQUESTS = 64, OPEN_GROUP = 0xffff, RESPONSE_FAILURE = 15 };

int ims_endpoint_init(struct ims_endpoint *e, struct ims_iommu *unit, const struct ims_endpoint_config *config) {
  *e = (struct ims_endpoint){.unit = unit, .config = *config};
  if (!unit)
    return IMS_ERR_INVAL;
  if (!e->config.page_requests)
    e->config.page_requests = DEFAULT_PAGE_REQUESTS;
  e->group = calloc(IMS_PAGE_GROUPS, sizeof *e->group);
  if (!e->group)
    return IMS_ERR_NOMEM;
  struct ims_cache_config c = {.entries = config->atc_entries,
                               .ways = config->atc_ways,
                               .value_size = sizeof(struct ims_tlb_value),
                               .sized = true,
                               .replacement = config->atc_replacement,
                               .seed = config->source};
  int err = ims_cache_init(&e->atc, &c);
  if (err)
    ims_endpoint_fini(e);
  return err;
}

void ims_endpoint_fini(struct ims_endpoint *e) {
  ims_cache_fini(&e->atc);
  free(e->group);
  *e = (struct ims_endpoint){0};
}

// Entries of requests without PASID, of each PASID, and of privileged requests are kept apart: an ATS answer holds for
// the privilege it was asked with.
static uint64_t atc_id(bool has_pasid, uint32_t pasid, bool priv) {
  return 1 | (uint64_t)has_pasid << 1 | (uint64_t)(has_pasid && priv) << 2 | (uint64_t)(has_pasid ? pasid : 0) << 8;
}

static void ask(struct ims_endpoint *e, const struct ims_request *req, struct ims_result *res) {
  if (e->translate)
    e->translate(e->translate_ctx, e->unit, req, res);
  else
    ims_translate(e->unit, req, res);
}

static unsigned rights_wanted(const struct ims_dma *d) {
  return (d->access & IMS_ACC_R ? (unsigned)IMS_PERM_R : 0u) | (d->access & IMS_ACC_W ? (unsigned)IMS_PERM_W : 0u) |
         (d->access & IMS_ACC_X ? (unsigned)IMS_PERM_X : 0u);
}

// Without ATS: the unit translates on the way.
static enum ims_dma_end send_untranslated(struct ims_endpoint *e, struct ims_dma_piece *p) {
  p->path = IMS_DMA_UNTRANSLATED;
  p->request.type = IMS_UNTRANSLATED;
  p->asked_valid = true;
  e->count.untranslated++;
  ask(e, &p->request, &p->asked);
  p->hpa = p->asked.output;
  return p->asked.status == IMS_STATUS_OK || p->asked.status == IMS_STATUS_BYPASS ? IMS_DMA_DONE : IMS_DMA_REFUSED;
}

static enum ims_dma_end send_translated(struct ims_endpoint *e, const struct ims_dma *d, struct ims_dma_piece *p) {
  struct ims_request req = {.iova = p->hpa,
                            .source = e->config.source,
                            .access = (uint8_t)(d->access & (IMS_ACC_R | IMS_ACC_W)),
                            .type = IMS_TRANSLATED};
  if (!req.access)
    req.access = IMS_ACC_R;
  p->used_valid = true;
  e->count.translated++;
  ask(e, &req, &p->used);
  return p->used.status == IMS_STATUS_OK || p->used.status == IMS_STATUS_BYPASS ? IMS_DMA_DONE : IMS_DMA_REFUSED;
}

static enum ims_dma_end send_through_atc(struct ims_endpoint *e, const struct ims_dma *d, struct ims_dma_piece *p) {
  uint64_t id = atc_id(d->has_pasid, d->pasid, d->access & IMS_ACC_PRIV);
  unsigned wanted = rights_wanted(d);
  const struct ims_tlb_value *known = ims_cache_lookup_sized(&e->atc, p->iova, id);
  if (known && !(wanted & ~known->perm1)) {
    e->count.atc_hits++;
    p->path = IMS_DMA_ATC_HIT;
    p->hpa = known->addr | (p->iova & ((1ull << known->shift) - 1));
    return send_translated(e, d, p);
  }

  e->count.atc_misses++;
  p->path = IMS_DMA_ATC_MISS;
  p->request.type = IMS_TRANSLATION_REQUEST;
  p->request.no_write = !(d->access & IMS_ACC_W); // a device that only reads leaves the dirty bit alone
  p->asked_valid = true;
  e->count.translation_requests++;
  ask(e, &p->request, &p->asked);
  const struct ims_result *r = &p->asked;
  if (r->status == IMS_STATUS_FAULT && r->completion == IMS_CPL_R0)
    return IMS_DMA_NO_RIGHTS;
  if (r->status != IMS_STATUS_OK)
    return IMS_DMA_REFUSED;
  if (r->untranslated_only)
    return send_untranslated(e, p);
  if (wanted & ~r->rights)
    return IMS_DMA_NO_RIGHTS;
  struct ims_tlb_value value = {.addr = r->output >> r->shift << r->shift, .shift = r->shift, .perm1 = r->rights};
  if (e->atc.entries) {
    struct ims_tag tag = {ims_tag_addr(p->iova, r->shift), id};
    ims_cache_fill(&e->atc, &tag, 0, &value);
    e->count.atc_fills++;
  }
  p->hpa = r->output;
  return send_translated(e, d, p);
}

// The data itself, once the address is known. An atomic reads what is there before it writes.
static bool move(struct ims_endpoint *e, const struct ims_dma *d, const struct ims_dma_piece *p) {
  uint8_t *at = (uint8_t *)d->data + (p->iova - d->iova);
  uint8_t old[PIECE];
  bool reads = d->access & (IMS_ACC_R | IMS_ACC_X), writes = d->access & IMS_ACC_W;
  if (reads && ims_mem_read(e->unit->mem, p->hpa, old, p->len) != IMS_ERR_OK)
    return false;
  if (writes && ims_mem_write(e->unit->mem, p->hpa, at, p->len) != IMS_ERR_OK)
    return false;
  if (reads)
    memcpy(at, old, p->len);
  return true;
}

static void count_end(struct ims_endpoint *e, const struct ims_dma_piece *p) {
  e->count.pieces++;
  e->count.bytes += p->end == IMS_DMA_DONE ? p->len : 0;
  e->count.refused += p->end == IMS_DMA_REFUSED;
  e->count.no_rights += p->end == IMS_DMA_NO_RIGHTS;
  e->count.no_memory += p->end == IMS_DMA_NO_MEMORY;
}

int ims_endpoint_dma(struct ims_endpoint *e, const struct ims_dma *dma, ims_dma_observer observe, void *ctx,
                     enum ims_dma_end *end, uint64_t *done) {
  if (end)
    *end = IMS_DMA_DONE;
  if (done)
    *done = 0;
  if (!dma->len || !(dma->access & (IMS_ACC_R | IMS_ACC_W | IMS_ACC_X)))
    return IMS_ERR_INVAL;
  if (dma->iova + (dma->len - 1) < dma->iova)
    return IMS_ERR_RANGE;
  e->count.dmas++;
  for (uint64_t off = 0; off < dma->len;) {
    uint64_t iova = dma->iova + off, room = PIECE - iova % PIECE, left = dma->len - off;
    struct ims_dma_piece p = {.iova = iova, .len = left < room ? left : room};
    p.request = (struct ims_request){.iova = iova,
                                     .source = e->config.source,
                                     .pasid = dma->pasid,
                                     .has_pasid = dma->has_pasid,
                                     .access = dma->access};
    enum ims_dma_end how = dma->ats ? send_through_atc(e, dma, &p) : send_untranslated(e, &p);
    if (how == IMS_DMA_DONE && dma->data && !move(e, dma, &p))
      how = IMS_DMA_NO_MEMORY;
    p.end = (uint8_t)how;
    count_end(e, &p);
    if (observe)
      observe(ctx, &p);
    if (how != IMS_DMA_DONE) {
      if (end)
        *end = how;
      return IMS_ERR_OK;
    }
    off += p.len;
    if (done)
      *done = off;
  }
  return IMS_ERR_OK;
}

static int find_group(const struct ims_endpoint *e, uint16_t group) {
  for (uint32_t i = 0; i < e->outstanding; i++)
    if (e->group[i].group == group)
      return (int)i;
  return -1;
}

// The next index in turn that no outstanding group has.
static uint16_t free_group(struct ims_endpoint *e) {
  while (find_group(e, (uint16_t)e->next_group) >= 0)
    e->next_group = (e->next_group + 1) % IMS_PAGE_GROUPS;
  uint16_t group = (uint16_t)e->next_group;
  e->next_group = (e->next_group + 1) % IMS_PAGE_GROUPS;
  return group;
}

static int join_group(struct ims_endpoint *e, const struct ims_endpoint_page_request *r, uint16_t *group) {
  if (*group == OPEN_GROUP) {
    if (e->outstanding == IMS_PAGE_GROUPS)
      return IMS_ERR_NOSPACE;
    *group = free_group(e);
    e->group[e->outstanding++] = (struct ims_page_group){.pasid = r->pasid, .has_pasid = r->has_pasid, .group = *group};
    e->count.groups++;
    return (int)e->outstanding - 1;
  }
  int i = find_group(e, *group);
  bool same = i >= 0 && !e->group[i].closed && e->group[i].has_pasid == r->has_pasid &&
              (!r->has_pasid || e->group[i].pasid == r->pasid);
  return same ? i : IMS_ERR_NOENT;
}

int ims_endpoint_request_page(struct ims_endpoint *e, const struct ims_endpoint_page_request *r, uint16_t *group) {
  if (!group || (r->has_pasid && r->pasid >> 20))
    return IMS_ERR_INVAL;
  if (e->page_requests_off)
    return IMS_ERR_PERM;
  if (e->outstanding_requests >= e->config.page_requests)
    return IMS_ERR_NOSPACE;
  int i = join_group(e, r, group);
  if (i < 0)
    return i;
  e->group[i].requests++;
  e->group[i].closed = r->last;
  e->outstanding_requests++;
  e->count.page_requests++;
  struct ims_page_request message = {.addr = r->addr >> 12 << 12,
                                     .source = e->config.source,
                                     .pasid = r->pasid,
                                     .has_pasid = r->has_pasid,
                                     .last = r->last,
                                     .read = r->read,
                                     .write = r->write,
                                     .exec = r->exec,
                                     .priv = r->priv,
                                     .group = *group};
  // The response may come before this returns, so the group is not looked at again.
  if (ims_request_page(e->unit, &message))
    return IMS_ERR_OK;
  e->count.page_requests_refused++;
  return IMS_ERR_IO;
}

void ims_endpoint_enable_page_requests(struct ims_endpoint *e) { e->page_requests_off = false; }

bool ims_endpoint_response(struct ims_endpoint *e, const struct ims_page_response *resp) {
  int i = find_group(e, resp->group);
  if (i < 0 || !e->group[i].closed || e->group[i].has_pasid != resp->has_pasid ||
      (resp->has_pasid && e->group[i].pasid != resp->pasid)) {
    e->count.unexpected_responses++;
    return false;
  }
  e->count.responses++;
  e->count.response_codes[resp->code == 0 ? 0 : resp->code == RESPONSE_FAILURE ? 2 : 1]++;
  if (resp->code == RESPONSE_FAILURE)
    e->page_requests_off = true; // PCIe: after a response failure the function stops asking
  e->outstanding_requests -= e->group[i].requests;
  e->outstanding--;
  memmove(&e->group[i], &e->group[i + 1], (e->outstanding - (uint32_t)i) * sizeof *e->group);
  return true;
}

bool ims_endpoint_invalidate(struct ims_endpoint *e, const struct ims_ats_invalidation *inv) {
  e->count.invalidations++;
  if (e->config.ignores_invalidations)
    return false;
  struct ims_cache_match m = {.first = inv->addr, .last = inv->last};
  if (inv->all_pasids) {
    m.id = 2; // all entries with a PASID, whichever
    m.id_mask = 2;
  } else {
    m.id = atc_id(inv->has_pasid, inv->pasid, false);
    m.id_mask = ~(uint64_t)4; // either privilege
  }
  e->count.invalidated += ims_cache_invalidate(&e->atc, &m);
  return true;
}

void ims_endpoint_drop_atc(struct ims_endpoint *e) {
  struct ims_cache_match all = {.any_addr = true};
  ims_cache_invalidate(&e->atc, &all);
}

const char *ims_dma_path_name(unsigned path) {
  static const char *const names[] = {"untranslated", "ATC hit", "ATC miss"};
  return path < sizeof names / sizeof *names ? names[path] : "?";
}

const char *ims_dma_end_name(unsigned end) {
  static const char *const names[] = {"done", "refused", "no rights", "no memory"};
  return end < sizeof names / sizeof *names ? names[end] : "?";
}
