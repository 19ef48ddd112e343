// SPDX-License-Identifier: Apache-2.0
// A device function: DMA cut into requests, the device TLB, page requests. PCIe ATS and PRI.
#include "iommu/device.h"
#include <stdlib.h>

enum { PIECE = 4096, DEFAULT_PAGE_REQUESTS = 64, OPEN_GROUP = 0xffff, RESPONSE_FAILURE = 15, ONE_FUNCTION = 0 };

// A DMA whose next piece the unit holds; or a resumption that came before the unit said that it holds anything.
struct ims_stalled_dma {
  struct ims_stalled_dma *next;
  uint16_t stag;
  bool early;     // the latter
  uint8_t action; // of an early one
  struct ims_dma dma;
  uint64_t off;    // of the piece
  uint8_t *source; // a copy of what is written, dma.len bytes; or NULL
};

static void free_stalled(struct ims_stalled_dma *s) {
  free(s->source);
  free(s);
}

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
  while (e->stalled) {
    struct ims_stalled_dma *next = e->stalled->next;
    free_stalled(e->stalled);
    e->stalled = next;
  }
  *e = (struct ims_endpoint){0};
}

enum { ATC_PRESENT = 1, ATC_PASID = 2, ATC_PRIV = 4, ATC_PASID_SHIFT = 8, ATC_FUNCTION_SHIFT = 32 };

uint64_t ims_atc_id(uint32_t function, bool has_pasid, uint32_t pasid, bool priv) {
  return ATC_PRESENT | (has_pasid ? ATC_PASID : 0) | (has_pasid && priv ? ATC_PRIV : 0) |
         (uint64_t)(has_pasid ? pasid & 0xfffff : 0) << ATC_PASID_SHIFT | (uint64_t)function << ATC_FUNCTION_SHIFT;
}

void ims_atc_fill(struct ims_cache *atc, uint64_t iova, uint64_t id, const struct ims_result *answer) {
  struct ims_tag tag = {ims_tag_addr(iova, answer->shift), id};
  struct ims_tlb_value value = {
      .addr = answer->output >> answer->shift << answer->shift, .shift = answer->shift, .perm1 = answer->rights};
  ims_cache_fill(atc, &tag, 0, &value);
}

struct ims_cache_match ims_atc_match(uint32_t function, const struct ims_ats_invalidation *inv) {
  struct ims_cache_match m = {.first = inv->addr, .last = inv->last};
  m.id = ims_atc_id(function, inv->has_pasid, inv->pasid, false);
  m.id_mask = ~(uint64_t)ATC_PRIV; // either privilege
  if (inv->all_pasids) {           // all entries with a PASID, whichever
    m.id = ims_atc_id(function, true, 0, false);
    m.id_mask = ATC_PASID | ~(uint64_t)0 << ATC_FUNCTION_SHIFT;
    m.id &= m.id_mask;
  }
  return m;
}

// Where the one under this STAG hangs in the list, or where the list ends.
static struct ims_stalled_dma **find_stalled(struct ims_endpoint *e, uint16_t stag, bool early) {
  struct ims_stalled_dma **at = &e->stalled;
  while (*at && ((*at)->stag != stag || (*at)->early != early))
    at = &(*at)->next;
  return at;
}

static struct ims_stalled_dma *take(struct ims_stalled_dma **at) {
  struct ims_stalled_dma *s = *at;
  if (s)
    *at = s->next;
  return s;
}

// Resumptions that matched nothing.
static void drop_early(struct ims_endpoint *e) {
  for (struct ims_stalled_dma **at = &e->stalled; *at;) {
    if ((*at)->early)
      free_stalled(take(at));
    else
      at = &(*at)->next;
  }
}

static void send(struct ims_endpoint *e, const struct ims_request *req, struct ims_result *res) {
  if (e->translate)
    e->translate(e->translate_ctx, e->unit, req, res);
  else
    ims_translate(e->unit, req, res);
}

// What software has answered to a stall before the unit has returned from it counts as part of the answer.
static void ask(struct ims_endpoint *e, const struct ims_request *req, struct ims_result *res) {
  bool again = true;
  e->sending++;
  while (again) {
    send(e, req, res);
    again = false;
    struct ims_stalled_dma *s = res->status == IMS_STATUS_STALL ? take(find_stalled(e, res->stag, true)) : NULL;
    if (!s)
      continue;
    e->count.stalls++;
    e->count.resumes++;
    again = s->action == IMS_RESUME_RETRY;
    res->status = IMS_STATUS_FAULT;
    res->completion = s->action == IMS_RESUME_ZERO ? IMS_CPL_ZERO : IMS_CPL_UR;
    free_stalled(s);
  }
  if (!--e->sending)
    drop_early(e);
}

// How a piece ends by the answer to an untranslated or translated request.
static enum ims_dma_end end_of(struct ims_dma_piece *p, const struct ims_result *r) {
  switch (r->status) {
  case IMS_STATUS_OK:
  case IMS_STATUS_BYPASS: p->hpa = r->output; return IMS_DMA_DONE;
  case IMS_STATUS_STALL: return IMS_DMA_STALLED;
  default:
    p->zero = r->completion == IMS_CPL_ZERO;
    p->hpa = 0;
    return p->zero ? IMS_DMA_DONE : IMS_DMA_REFUSED;
  }
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
  return end_of(p, &p->asked);
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
  return end_of(p, &p->used);
}

static enum ims_dma_end send_through_atc(struct ims_endpoint *e, const struct ims_dma *d, struct ims_dma_piece *p) {
  uint64_t id = ims_atc_id(ONE_FUNCTION, d->has_pasid, d->pasid, d->access & IMS_ACC_PRIV);
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
  if (e->atc.entries) {
    ims_atc_fill(&e->atc, p->iova, id, r);
    e->count.atc_fills++;
  }
  p->hpa = r->output;
  return send_translated(e, d, p);
}

// The data itself, once the address is known. `source`: what is written. An atomic reads what is there before it writes.
static bool move(struct ims_endpoint *e, const struct ims_dma *d, const uint8_t *source,
                 const struct ims_dma_piece *p) {
  uint64_t off = p->iova - d->iova;
  uint8_t *at = (uint8_t *)d->data + off;
  uint8_t old[PIECE] = {0};
  bool reads = d->access & (IMS_ACC_R | IMS_ACC_X), writes = d->access & IMS_ACC_W;
  if (!p->zero && reads && ims_mem_read(e->unit->mem, p->hpa, old, p->len) != IMS_ERR_OK)
    return false;
  if (!p->zero && writes && ims_mem_write(e->unit->mem, p->hpa, source + off, p->len) != IMS_ERR_OK)
    return false;
  if (reads)
    memcpy(at, old, p->len);
  return true;
}

static void count_end(struct ims_endpoint *e, const struct ims_dma_piece *p) {
  e->count.stalls += p->end == IMS_DMA_STALLED;
  e->count.pieces += p->end != IMS_DMA_STALLED;
  e->count.bytes += p->end == IMS_DMA_DONE ? p->len : 0;
  e->count.refused += p->end == IMS_DMA_REFUSED;
  e->count.no_rights += p->end == IMS_DMA_NO_RIGHTS;
  e->count.no_memory += p->end == IMS_DMA_NO_MEMORY;
}

// A DMA under way.
struct transfer {
  struct ims_dma dma;
  uint64_t off;
  const uint8_t *source;
  ims_dma_observer observe;
  void *ctx;
};

// Keeps the rest of a DMA until its resumption. Of what is written a copy, since the sender's buffer need not stay.
static int hold(struct ims_endpoint *e, const struct transfer *t, uint16_t stag) {
  struct ims_stalled_dma *s = calloc(1, sizeof *s);
  if (!s)
    return IMS_ERR_NOMEM;
  s->stag = stag;
  s->dma = t->dma;
  s->off = t->off;
  if (t->source) {
    s->source = malloc(t->dma.len);
    if (!s->source) {
      free(s);
      return IMS_ERR_NOMEM;
    }
    memcpy(s->source, t->source, t->dma.len);
  }
  struct ims_stalled_dma **at = &e->stalled;
  while (*at)
    at = &(*at)->next;
  *at = s;
  return IMS_ERR_OK;
}

static struct ims_dma_piece piece_at(const struct ims_endpoint *e, const struct transfer *t) {
  const struct ims_dma *d = &t->dma;
  uint64_t iova = d->iova + t->off, room = PIECE - iova % PIECE, left = d->len - t->off;
  return (struct ims_dma_piece){
      .iova = iova,
      .len = left < room ? left : room,
      .request = {
          .iova = iova, .source = e->config.source, .pasid = d->pasid, .has_pasid = d->has_pasid, .access = d->access}};
}

// The end of a piece whose fate is known.
static enum ims_dma_end finish_piece(struct ims_endpoint *e, struct transfer *t, struct ims_dma_piece *p,
                                     enum ims_dma_end how) {
  if (how == IMS_DMA_DONE && t->dma.data && !move(e, &t->dma, t->source, p))
    how = IMS_DMA_NO_MEMORY;
  p->end = (uint8_t)how;
  count_end(e, p);
  if (how == IMS_DMA_DONE)
    t->off += p->len;
  if (t->observe)
    t->observe(t->ctx, p);
  return how;
}

// From t->off on. *end: DONE to begin with, or how the piece there has ended already.
static int go_on(struct ims_endpoint *e, struct transfer *t, enum ims_dma_end *end) {
  while (*end == IMS_DMA_DONE && t->off < t->dma.len) {
    struct ims_dma_piece p = piece_at(e, t);
    e->piece = (uint32_t)p.len;
    enum ims_dma_end how = t->dma.ats ? send_through_atc(e, &t->dma, &p) : send_untranslated(e, &p);
    int err = how == IMS_DMA_STALLED ? hold(e, t, p.used_valid ? p.used.stag : p.asked.stag) : IMS_ERR_OK;
    if (err) {
      *end = IMS_DMA_REFUSED;
      return err;
    }
    *end = finish_piece(e, t, &p, how);
  }
  return IMS_ERR_OK;
}

static int tell(int err, enum ims_dma_end how, uint64_t bytes, enum ims_dma_end *end, uint64_t *done) {
  if (end)
    *end = how;
  if (done)
    *done = bytes;
  return err;
}

int ims_endpoint_dma(struct ims_endpoint *e, const struct ims_dma *dma, ims_dma_observer observe, void *ctx,
                     enum ims_dma_end *end, uint64_t *done) {
  tell(0, IMS_DMA_DONE, 0, end, done);
  if (!dma->len || !(dma->access & (IMS_ACC_R | IMS_ACC_W | IMS_ACC_X)))
    return IMS_ERR_INVAL;
  if (dma->iova + (dma->len - 1) < dma->iova)
    return IMS_ERR_RANGE;
  e->count.dmas++;
  struct transfer t = {
      .dma = *dma, .source = dma->access & IMS_ACC_W ? dma->data : NULL, .observe = observe, .ctx = ctx};
  enum ims_dma_end how = IMS_DMA_DONE;
  int err = go_on(e, &t, &how);
  return tell(err, how, t.off, end, done);
}

// A resumption from within the request that stalls: kept for ask().
static int keep_early(struct ims_endpoint *e, const struct ims_resume *resume) {
  struct ims_stalled_dma *s = calloc(1, sizeof *s);
  if (!s)
    return IMS_ERR_NOMEM;
  *s = (struct ims_stalled_dma){.next = e->stalled, .stag = resume->stag, .early = true, .action = resume->action};
  e->stalled = s;
  return IMS_ERR_OK;
}

int ims_endpoint_resume(struct ims_endpoint *e, const struct ims_resume *resume, ims_dma_observer observe, void *ctx,
                        enum ims_dma_end *end, uint64_t *done) {
  struct ims_stalled_dma *s = take(find_stalled(e, resume->stag, false));
  if (!s && e->sending)
    return tell(keep_early(e, resume), IMS_DMA_STALLED, 0, end, done);
  if (!s)
    return tell(IMS_ERR_NOENT, IMS_DMA_REFUSED, 0, end, done);
  e->count.resumes++;
  struct transfer t = {.dma = s->dma, .off = s->off, .source = s->source, .observe = observe, .ctx = ctx};
  enum ims_dma_end how = IMS_DMA_DONE;
  if (resume->action != IMS_RESUME_RETRY) {
    struct ims_dma_piece p = piece_at(e, &t);
    p.zero = resume->action == IMS_RESUME_ZERO;
    how = finish_piece(e, &t, &p, p.zero ? IMS_DMA_DONE : IMS_DMA_REFUSED);
  }
  int err = go_on(e, &t, &how);
  free_stalled(s);
  return tell(err, how, t.off, end, done);
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
  // A response failure may come without the PASID (an SMMU that cannot tell it: IHI 0070 8.2).
  bool whose =
      i >= 0 && ((resp->code == RESPONSE_FAILURE && !resp->has_pasid) ||
                 (e->group[i].has_pasid == resp->has_pasid && (!resp->has_pasid || e->group[i].pasid == resp->pasid)));
  if (!whose || !e->group[i].closed) {
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
  struct ims_cache_match m = ims_atc_match(ONE_FUNCTION, inv);
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
  static const char *const names[] = {"done", "refused", "no rights", "no memory", "stalled"};
  return end < sizeof names / sizeof *names ? names[end] : "?";
}
