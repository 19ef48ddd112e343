// SPDX-License-Identifier: Apache-2.0
// Page requests of devices whose first stage is a guest's: the VMM reads them as struct iommu_fault and answers a group
// by its last request. PASIDs are the host's, as at bind. On SMMUs a stalled transaction is a request of its own, whose
// group is the stall's tag, and faults of the guest's stage that nobody answers come along (Facts 1.4, 1.5).
#include "uapi/kernel_internal.h"
#include <stdlib.h>

enum { DMA_UNRECOV = 1, PAGE_REQ = 2, PASID_VALID = 1, LAST_PAGE = 2 };
enum { FAULT_PASID_VALID = 1, FAULT_ADDR_VALID = 2, FAULT_FETCH_VALID = 4, FAULT_ROOM = 512 };

static struct container *container_of(struct iopf_sink *s) {
  return (struct container *)((char *)s - offsetof(struct container, sink));
}

static int deliver(struct iopf_sink *s, struct iopf_group *g) {
  struct container *c = container_of(s);
  struct vmm_fault *f = calloc(1, sizeof *f);
  if (!f)
    return -ENOMEM;
  f->group = g;
  DL_APPEND(c->unread, f);
  return 0;
}

static void forget(struct iopf_sink *s, struct iopf_group *g) {
  struct container *c = container_of(s);
  struct vmm_fault **lists[] = {&c->pending, &c->unread}, *f, *next;
  for (unsigned i = 0; i < 2; i++)
    DL_FOREACH_SAFE(*lists[i], f, next) {
      if (f->group != g)
        continue;
      DL_DELETE(*lists[i], f);
      free(f);
      return;
    }
}

void ims_vmm_fault_init(struct container *c) { c->sink = (struct iopf_sink){.deliver = deliver, .forget = forget}; }

// Groups are answered when their attachments go, which was before.
void ims_vmm_fault_fini(struct container *c) {
  struct vmm_fault **lists[] = {&c->pending, &c->unread}, *f, *next;
  for (unsigned i = 0; i < 2; i++)
    DL_FOREACH_SAFE(*lists[i], f, next) {
      DL_DELETE(*lists[i], f);
      if (f->group)
        ims_iopf_respond(f->group, IOPF_INVALID);
      free(f);
    }
}

// The ring is full, or there is no memory: the fault is lost, as in the series. Page requests are never lost.
void ims_vmm_fault_unrecoverable(struct container *c, const struct vmm_fault *fault) {
  struct vmm_fault *f = c->faults < FAULT_ROOM ? malloc(sizeof *f) : NULL;
  if (!f)
    return;
  *f = *fault;
  c->faults++;
  DL_APPEND(c->unread, f);
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

long ims_container_read_fault(struct ims_file *file, struct ims_iommu_fault_page_request *out) {
  struct container *c = file->open->container;
  if (!c)
    return -EINVAL;
  ims_kernel_interrupts(c->k);
  struct vmm_fault *f = c->unread;
  if (!f)
    return 0;
  if (!f->group) {
    tell_unrecoverable(f, out);
    c->faults--;
    DL_DELETE(c->unread, f);
    free(f);
    return sizeof *out;
  }
  const struct page_request *r = &f->group->request[f->told++];
  *out = (struct ims_iommu_fault_page_request){
      .type = PAGE_REQ,
      .flags = (r->has_pasid ? (uint32_t)PASID_VALID : 0u) | (r->last ? (uint32_t)LAST_PAGE : 0u),
      .pasid = r->pasid,
      .grpid = r->group,
      .perm = perm_of(r),
      .addr = r->addr,
  };
  if (f->told == f->group->count) { // waits for its answer
    DL_DELETE(c->unread, f);
    DL_APPEND(c->pending, f);
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
  struct vmm_fault *f;
  DL_FOREACH(c->pending, f) {
    const struct page_request *last = &f->group->request[f->group->count - 1];
    if (last->group != resp.grpid || last->has_pasid != (resp.flags & PASID_VALID) ||
        (last->has_pasid && last->pasid != resp.pasid))
      continue;
    DL_DELETE(c->pending, f);
    ims_iopf_respond(f->group, resp.code);
    free(f);
    ims_kernel_interrupts(c->k);
    return 0;
  }
  return -EINVAL;
}
