// SPDX-License-Identifier: Apache-2.0
// Page requests of devices whose first stage is a guest's: the VMM reads them as struct iommu_fault and answers a group
// by its last request. PASIDs are the host's, as at bind. On SMMUs a stalled transaction is a request of its own, whose
// group is the stall's tag, and faults of the guest's stage that nobody answers come along (Facts 1.4, 1.5).
#include "uapi/kernel_internal.h"
#include <stdlib.h>

enum { DMA_UNRECOV = 1, PAGE_REQ = 2, PASID_VALID = 1, LAST_PAGE = 2, INVALID = 1 };
enum { FAULT_PASID_VALID = 1, FAULT_ADDR_VALID = 2, FAULT_FETCH_VALID = 4, FAULT_ROOM = 512 };

static void answer(const struct page_request *r, unsigned code) { r->dev->unit->ops->page_response(r->dev, r, code); }

static void append(struct container *c, struct vmm_fault *f) {
  f->next = NULL;
  *c->unread_end = f;
  c->unread_end = &f->next;
}

// The ring is full, or there is no memory: the fault is lost, as in the series. Page requests are never lost.
void ims_vmm_fault_unrecoverable(struct container *c, const struct vmm_fault *fault) {
  struct vmm_fault *f = c->faults < FAULT_ROOM ? malloc(sizeof *f) : NULL;
  if (!f)
    return;
  *f = *fault;
  c->faults++;
  append(c, f);
}

static uint32_t perm_of(const struct page_request *r) {
  return (uint32_t)r->read | (uint32_t)r->write << 1 | (uint32_t)r->exec << 2 | (uint32_t)r->priv << 3;
}

static void tell_unrecoverable(const struct vmm_fault *f, struct ims_iommu_fault_page_request *out) {
  const struct page_request *r = &f->req;
  struct ims_iommu_fault_unrecoverable u = {
      .type = DMA_UNRECOV,
      .reason = f->reason,
      .flags = (r->has_pasid ? (uint32_t)FAULT_PASID_VALID : 0u) | (f->has_addr ? (uint32_t)FAULT_ADDR_VALID : 0u) |
               (f->has_fetch ? (uint32_t)FAULT_FETCH_VALID : 0u),
      .pasid = r->pasid,
      .perm = perm_of(r),
      .addr = r->addr,
      .fetch_addr = f->fetch,
  };
  _Static_assert(sizeof u == sizeof *out, "one entry of the ring");
  memcpy(out, &u, sizeof u);
}

void ims_vmm_fault_queue(struct container *c, const struct page_request *req) {
  struct vmm_fault *f = malloc(sizeof *f);
  if (!f) {
    if (req->last)
      answer(req, INVALID);
    return;
  }
  *f = (struct vmm_fault){.req = *req};
  append(c, f);
}

void ims_vmm_fault_drop(struct container *c, struct ims_device *dev, uint32_t pasid) {
  struct vmm_fault **lists[] = {&c->pending, &c->unread};
  for (unsigned i = 0; i < 2; i++)
    for (struct vmm_fault **at = lists[i]; *at;) {
      struct vmm_fault *f = *at;
      if (f->req.dev != dev || (pasid != ~0u && f->req.pasid != pasid)) {
        at = &f->next;
        continue;
      }
      *at = f->next;
      if (f->reason)
        c->faults--;
      else if (f->req.last)
        answer(&f->req, INVALID);
      free(f);
    }
  c->unread_end = &c->unread;
  while (*c->unread_end)
    c->unread_end = &(*c->unread_end)->next;
}

long ims_container_read_fault(struct ims_file *file, struct ims_iommu_fault_page_request *out) {
  struct container *c = file->open->container;
  if (!c)
    return -EINVAL;
  ims_kernel_interrupts(c->k);
  struct vmm_fault *f = c->unread;
  if (!f)
    return 0;
  const struct page_request *r = &f->req;
  if (f->reason) {
    tell_unrecoverable(f, out);
    c->faults--;
    c->unread = f->next;
    if (!c->unread)
      c->unread_end = &c->unread;
    free(f);
    return sizeof *out;
  }
  *out = (struct ims_iommu_fault_page_request){
      .type = PAGE_REQ,
      .flags = (r->has_pasid ? (uint32_t)PASID_VALID : 0u) | (r->last ? (uint32_t)LAST_PAGE : 0u),
      .pasid = r->pasid,
      .grpid = r->group,
      .perm = perm_of(r),
      .addr = r->addr,
  };
  c->unread = f->next;
  if (!c->unread)
    c->unread_end = &c->unread;
  if (r->last) { // waits for its answer
    struct vmm_fault **end = &c->pending;
    while (*end)
      end = &(*end)->next;
    f->next = NULL;
    *end = f;
  } else {
    free(f);
  }
  return sizeof *out;
}

long ims_container_page_response(struct ims_file *file, uint64_t arg) {
  struct container *c = file->open->container;
  struct page_resp resp;
  if (!c)
    return -EINVAL;
  int err = ims_get_resp(file, arg, &resp);
  if (err)
    return err;
  for (struct vmm_fault **at = &c->pending; *at; at = &(*at)->next) {
    struct vmm_fault *f = *at;
    if (f->req.group != resp.grpid || f->req.has_pasid != (resp.flags & PASID_VALID) ||
        (f->req.has_pasid && f->req.pasid != resp.pasid))
      continue;
    *at = f->next;
    answer(&f->req, resp.code);
    free(f);
    ims_kernel_interrupts(c->k);
    return 0;
  }
  return -EINVAL;
}
