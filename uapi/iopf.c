// SPDX-License-Identifier: Apache-2.0
// Page requests, when the driver has read them from a unit's queue: collected by group, handed to who serves them when the
// last of a group is there, answered once a group (PCIe PRI; Linux 7.x, io-pgfault.c, intel/prq.c).
//
// A group is either in the list of its device, and will be answered, or it is gone. So nothing is answered twice, and what
// an attachment leaves behind is found when it goes.
#include "uapi/kernel_internal.h"
#include <stdlib.h>

enum { PARTIAL_LIMIT = 4096 }; // of one device; a device cannot make the kernel keep more

static bool same_group(const struct page_request *a, const struct page_request *b) {
  return a->group == b->group && a->has_pasid == b->has_pasid && a->pasid == b->pasid;
}

static void answer(const struct page_request *r, unsigned code) { r->dev->unit->ops->page_response(r->dev, r, code); }

// *through: the PASID of the attachment that takes the request.
static struct iopf_sink *sink_of(const struct page_request *r, uint32_t *through) {
  const struct ims_device *dev = r->dev;
  const uint32_t pasid = r->has_pasid ? r->pasid : 0;
  const struct attachment *a;
  *through = 0;
  if (dev->guest) // the whole first stage is a guest's (SMMU)
    return dev->guest->sink;
  a = ims_attachment(dev, pasid);
  if (a) {
    *through = pasid;
    return a->domain->sink;
  }
  // A guest's CD table stands for all PASIDs.
  a = pasid && dev->unit->ops->guest_table ? ims_attachment(dev, 0) : NULL;
  return a && a->domain->type == HDOMAIN_NESTED ? a->domain->sink : NULL;
}

static void keep(const struct page_request *req) {
  struct ims_device *dev = req->dev;
  struct page_request **end = &dev->partial, *copy;
  if (dev->partials >= PARTIAL_LIMIT || !(copy = malloc(sizeof *copy)))
    return;
  *copy = *req;
  copy->next = NULL;
  while (*end)
    end = &(*end)->next;
  *end = copy;
  dev->partials++;
}

// Takes what is kept of the group that `last` closes. False: there is no memory; it is forgotten all the same.
static bool complete(const struct page_request *last, struct iopf_group **out) {
  struct ims_device *dev = last->dev;
  uint32_t n = 1;
  for (const struct page_request *r = dev->partial; r; r = r->next)
    n += same_group(r, last);
  struct iopf_group *g = calloc(1, sizeof *g + n * sizeof *g->request);
  for (struct page_request **at = &dev->partial; *at;) {
    struct page_request *r = *at;
    if (!same_group(r, last)) {
      at = &r->next;
      continue;
    }
    *at = r->next;
    if (g)
      g->request[g->count++] = *r;
    free(r);
    dev->partials--;
  }
  if (!g)
    return false;
  g->request[g->count++] = *last;
  g->dev = dev;
  *out = g;
  return true;
}

void ims_iopf_report(struct host_unit *u, const struct page_request *req) {
  uint32_t through;
  struct iopf_sink *sink = sink_of(req, &through);
  struct iopf_group *g;
  (void)u;
  if (!req->last) {
    if (sink)
      keep(req);
    return; // needs no answer
  }
  if (!complete(req, &g)) {
    answer(req, sink ? IOPF_FAILURE : IOPF_INVALID);
    return;
  }
  g->sink = sink;
  g->pasid = through;
  DL_APPEND(req->dev->iopf, g);
  if (!sink)
    ims_iopf_respond(g, IOPF_INVALID);
  else if (sink->deliver(sink, g))
    ims_iopf_respond(g, IOPF_FAILURE);
}

void ims_iopf_respond(struct iopf_group *g, unsigned code) {
  DL_DELETE(g->dev->iopf, g);
  answer(&g->request[g->count - 1], code);
  free(g);
}

void ims_iopf_drop(struct ims_device *dev, uint32_t pasid) {
  for (struct page_request **at = &dev->partial; *at;) {
    struct page_request *r = *at;
    uint32_t through;
    sink_of(r, &through);
    if (pasid != ~0u && through != pasid) {
      at = &r->next;
      continue;
    }
    *at = r->next;
    free(r); // nobody waits: the last request of the group was still to come
    dev->partials--;
  }
  struct iopf_group *g, *next;
  DL_FOREACH_SAFE(dev->iopf, g, next) {
    if (pasid != ~0u && g->pasid != pasid)
      continue;
    if (g->sink->forget)
      g->sink->forget(g->sink, g);
    ims_iopf_respond(g, IOPF_INVALID);
  }
}

void ims_iopf_discard_partial(struct host_unit *u) {
  struct ims_device *d, *next;
  HASH_ITER(hh, u->k->devices, d, next) {
    for (struct page_request *r = d->unit == u ? d->partial : NULL; r; r = d->partial) {
      d->partial = r->next;
      free(r);
    }
    if (d->unit == u)
      d->partials = 0;
  }
}
