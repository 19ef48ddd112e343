// SPDX-License-Identifier: Apache-2.0
// Page requests of devices whose first stage is a guest's: the VMM reads them as struct iommu_fault and answers a group
// by its last request. PASIDs are the host's, as at bind.
#include "uapi/kernel_internal.h"
#include <stdlib.h>

enum { PAGE_REQ = 2, PASID_VALID = 1, LAST_PAGE = 2, INVALID = 1 };

static void answer(const struct page_request *r, unsigned code) {
  r->dev->unit->ops->page_response(r->dev, r->pasid, r->has_pasid, r->group, code);
}

void ims_vmm_fault_queue(struct container *c, const struct page_request *req) {
  struct vmm_fault *f = malloc(sizeof *f);
  if (!f) {
    if (req->last)
      answer(req, INVALID);
    return;
  }
  f->req = *req;
  f->next = NULL;
  *c->unread_end = f;
  c->unread_end = &f->next;
}

void ims_vmm_fault_drop(struct container *c, struct ims_device *dev, uint32_t pasid) {
  struct vmm_fault **lists[] = {&c->pending, &c->unread};
  for (unsigned i = 0; i < 2; i++)
    for (struct vmm_fault **at = lists[i]; *at;) {
      struct vmm_fault *f = *at;
      if (f->req.dev != dev || f->req.pasid != pasid) {
        at = &f->next;
        continue;
      }
      *at = f->next;
      if (f->req.last)
        answer(&f->req, INVALID);
      free(f);
    }
  c->unread_end = &c->unread;
  while (*c->unread_end)
    c->unread_end = &(*c->unread_end)->next;
}

long ims_container_read_fault(struct ims_file *file, struct ims_iommu_fault_page_request *out) {
  struct container *c = file->container;
  if (!c)
    return -EINVAL;
  ims_kernel_interrupts(c->k);
  struct vmm_fault *f = c->unread;
  if (!f)
    return 0;
  const struct page_request *r = &f->req;
  *out = (struct ims_iommu_fault_page_request){
      .type = PAGE_REQ,
      .flags = (r->has_pasid ? (uint32_t)PASID_VALID : 0u) | (r->last ? (uint32_t)LAST_PAGE : 0u),
      .pasid = r->pasid,
      .grpid = r->group,
      .perm = (uint32_t)r->read | (uint32_t)r->write << 1 | (uint32_t)r->exec << 2 | (uint32_t)r->priv << 3,
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
  struct container *c = file->container;
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
