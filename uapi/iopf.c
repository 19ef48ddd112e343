// SPDX-License-Identifier: Apache-2.0
// Page requests, when the driver has read them from a unit's queue: collected by group, handled when the last of a group
// is there, answered once a group (PCIe PRI; Linux 7.x, io-pgfault.c, intel/prq.c).
#include "uapi/kernel_internal.h"
#include <stdlib.h>

enum { PARTIAL_LIMIT = 4096 }; // of one device; a device cannot make the kernel keep more
enum { SUCCESS = 0, INVALID = 1 };

static bool same_group(const struct page_request *a, const struct page_request *b) {
  return a->group == b->group && a->has_pasid == b->has_pasid && a->pasid == b->pasid;
}

static void respond(struct ims_device *dev, const struct page_request *req, unsigned code) {
  dev->unit->ops->page_response(dev, req, code);
}

// All requests of a group, in order; `last` is not owned, the others are and go.
static void handle_group(struct ims_device *dev, struct page_request *first, const struct page_request *last) {
  struct attachment *a = ims_attachment(dev, last->has_pasid ? last->pasid : 0);
  // A guest that has the whole stage 1 of the device (SMMU), or one PASID.
  struct container *vmm = dev->guest                               ? dev->guest->container
                          : a && a->domain->type == HDOMAIN_NESTED ? a->container
                                                                   : NULL;
  unsigned code = SUCCESS;
  bool answer = true;
  if (vmm) {
    for (struct page_request *r = first; r; r = r->next)
      ims_vmm_fault_queue(vmm, r);
    ims_vmm_fault_queue(vmm, last);
    answer = false; // the VMM's business
  } else if (a && a->domain->type == HDOMAIN_SVA) {
    for (struct page_request *r = first; r && code == SUCCESS; r = r->next)
      code = (unsigned)ims_sva_fault(a, r);
    if (code == SUCCESS)
      code = (unsigned)ims_sva_fault(a, last);
  } else {
    code = INVALID;
  }
  while (first) {
    struct page_request *next = first->next;
    free(first);
    first = next;
  }
  if (answer)
    respond(dev, last, code);
}

void ims_iopf_report(struct host_unit *u, const struct page_request *req) {
  struct ims_device *dev = req->dev;
  (void)u;
  if (!req->last) {
    struct page_request **end = &dev->partial, *copy;
    if (dev->partials >= PARTIAL_LIMIT || !(copy = malloc(sizeof *copy)))
      return;
    *copy = *req;
    copy->next = NULL;
    while (*end)
      end = &(*end)->next;
    *end = copy;
    dev->partials++;
    return;
  }
  struct page_request *first = NULL, **end = &first;
  for (struct page_request **at = &dev->partial; *at;) {
    struct page_request *r = *at;
    if (!same_group(r, req)) {
      at = &r->next;
      continue;
    }
    *at = r->next;
    r->next = NULL;
    *end = r;
    end = &r->next;
    dev->partials--;
  }
  handle_group(dev, first, req);
}

void ims_iopf_drop(struct ims_device *dev, uint32_t pasid) {
  for (struct page_request **at = &dev->partial; *at;) {
    struct page_request *r = *at;
    if (pasid != ~0u && (r->has_pasid ? r->pasid : 0) != pasid) {
      at = &r->next;
      continue;
    }
    *at = r->next;
    free(r); // nobody waits: the last request of the group was still to come
    dev->partials--;
  }
  struct attachment *a = pasid == ~0u ? NULL : ims_attachment(dev, pasid);
  if (a && a->container)
    ims_vmm_fault_drop(a->container, dev, pasid);
  if (dev->guest)
    ims_vmm_fault_drop(dev->guest->container, dev, pasid);
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
