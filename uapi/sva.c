// SPDX-License-Identifier: Apache-2.0
// Shared virtual addressing: a process's own page table as the first stage of a device's PASID. Linux' iommu-sva.c,
// intel/svm.c and arm-smmu-v3-sva.c (7.x).
#include "uapi/kernel_internal.h"
#include <stdlib.h>

// Step 2: one PASID a process, for all devices, until its mm dies. A device without PASIDs has none that is free.
static int pasid_of(struct ims_process *p, const struct ims_device *dev) {
  if (p->sva_pasid)
    return p->sva_pasid >= dev->max_pasids ? -EOVERFLOW : 0;
  if (dev->max_pasids < 2)
    return -ENOSPC;
  int err = ims_pasid_alloc(&p->k->pasids, 0, 1, dev->max_pasids - 1, NULL, &p->sva_pasid);
  return err == IMS_ERR_OK ? 0 : err == IMS_ERR_NOMEM ? -ENOMEM : -ENOSPC;
}

// ---- All devices of a group that have PASIDs ------------------------------------------------------------------------

static void detach_group(const struct ims_sva *s, const struct ims_device *stop) {
  for (struct ims_device *dev = s->group->devices; dev && dev != stop; dev = dev->next_in_group) {
    struct attachment *a = ims_attachment(dev, s->mm->sva_pasid);
    if (a && a->sva == s)
      ims_detach(a, false);
  }
}

static int attach_group(struct ims_sva *s, struct hdomain *d) {
  for (struct ims_device *dev = s->group->devices; dev; dev = dev->next_in_group) {
    struct attachment *a;
    int err = dev->max_pasids ? dev->unit->ops->sva_check(dev) : 0; // step 5
    if (!err && dev->max_pasids && (err = ims_attach(dev, s->mm->sva_pasid, d, &a)) == 0)
      a->sva = s;
    if (err) {
      detach_group(s, dev);
      return err;
    }
  }
  return 0;
}

// Step 4: a domain of the process that is there already serves; units differ in nothing that a first stage shows.
static int attach(struct ims_sva *s) {
  struct ims_process *p = s->mm;
  for (s->domain = p->sva_domains; s->domain; s->domain = s->domain->next)
    if (!attach_group(s, s->domain))
      return 0;
  struct hdomain *d = ims_hdomain_new(p->k, HDOMAIN_SVA);
  if (!d)
    return -ENOMEM;
  d->mm = p;
  d->sink = &p->k->sva;
  d->s1_root = p->pgt.root;
  d->s1_levels = p->pgt.levels;
  int err = attach_group(s, d);
  if (err) {
    ims_hdomain_free(d);
    return err;
  }
  s->domain = d;
  d->next = p->sva_domains;
  p->sva_domains = d;
  return 0;
}

// ---- Binding --------------------------------------------------------------------------------------------------------

int ims_sva_bind(struct ims_device *dev, struct ims_process *p, struct ims_sva **out) {
  *out = NULL;
  if (!dev->group)
    return -ENODEV;
  if (p->mm_gone)
    return -EINVAL;
  int err = pasid_of(p, dev);
  if (err)
    return err;
  for (const struct ims_device *d = dev->group->devices; d; d = d->next_in_group) { // step 3
    struct attachment *a = ims_attachment(d, p->sva_pasid);
    if (a && (!a->sva || a->sva->mm != p))
      return -EBUSY;
    if (!a)
      continue;
    a->sva->users++;
    *out = a->sva;
    return 0;
  }
  for (const struct ims_device *d = dev->group->devices; d; d = d->next_in_group)
    if (d->max_pasids && p->sva_pasid >= d->max_pasids)
      return -EINVAL;
  struct ims_sva *s = calloc(1, sizeof *s);
  if (!s)
    return -ENOMEM;
  *s = (struct ims_sva){.mm = p, .group = dev->group, .users = 1, .next = p->svas};
  err = attach(s);
  if (err) {
    free(s);
    return err;
  }
  p->svas = s;
  *out = s;
  ims_kernel_interrupts(p->k);
  return 0;
}

void ims_sva_unbind(struct ims_sva *s) {
  struct ims_process *p = s->mm;
  struct ims_kernel *k = p->k;
  if (--s->users)
    return;
  struct hdomain *d = s->domain;
  detach_group(s, NULL);
  for (struct ims_sva **at = &p->svas; *at; at = &(*at)->next)
    if (*at == s) {
      *at = s->next;
      break;
    }
  free(s);
  if (!d->users) {
    for (struct hdomain **at = &p->sva_domains; *at; at = &(*at)->next)
      if (*at == d) {
        *at = d->next;
        break;
      }
    ims_hdomain_free(d);
  }
  if (p->exited && !p->svas && !p->refs)
    ims_process_free(p);
  ims_kernel_interrupts(k);
}

uint32_t ims_sva_pasid(const struct ims_sva *s) { return s->mm->sva_pasid; }

// Step 7: the processor's table changed.
void ims_mm_invalidate(struct ims_process *p, uint64_t first, uint64_t last) {
  for (struct hdomain *d = p->sva_domains; d; d = d->next)
    ims_hdomain_flush(d, first, last, false);
}

// Step 8: the address space goes while devices may still use it. Nothing waits for page requests here.
void ims_sva_exit(struct ims_process *p) {
  for (const struct ims_sva *s = p->svas; s; s = s->next)
    for (const struct ims_device *dev = s->group->devices; dev; dev = dev->next_in_group) {
      struct attachment *a = ims_attachment(dev, p->sva_pasid);
      if (a && a->sva == s)
        ims_attachment_cut(a);
    }
}

// Step 9.
static unsigned serve(struct ims_process *p, const struct page_request *req) {
  unsigned prot = (req->read ? (unsigned)IMS_PROT_READ : 0u) | (req->write ? (unsigned)IMS_PROT_WRITE : 0u) |
                  (req->exec ? (unsigned)IMS_PROT_EXEC : 0u);
  if (!req->has_pasid || p->mm_gone)
    return IOPF_INVALID;
  return ims_mm_fault(p, req->addr, prot) ? IOPF_INVALID : IOPF_SUCCESS;
}

// The requests of a group in their order, up to the first that the process cannot serve.
int ims_sva_deliver(struct iopf_sink *s, struct iopf_group *g) {
  const struct attachment *a = ims_attachment(g->dev, g->pasid);
  unsigned code = a ? IOPF_SUCCESS : IOPF_INVALID;
  (void)s;
  for (uint32_t i = 0; i < g->count && code == IOPF_SUCCESS; i++)
    code = serve(a->domain->mm, &g->request[i]);
  ims_iopf_respond(g, code);
  return 0;
}
