// SPDX-License-Identifier: Apache-2.0
// PASID_REQUEST of all dialects, and the set of PASIDs that a process holds: shared by its containers, bounded by the
// quota, freed when the last container lets go. Facts 1.1, 1.2.
#include "uapi/kernel_internal.h"
#include <stdlib.h>

enum { ALLOC = 1, FREE = 2 };

void ims_pasid_set_get(struct container *c) {
  if (c->set_of)
    return;
  c->set_of = c->mm;
  c->set_of->pasid_set_users++;
}

// Takes PASIDs of the process back. What devices still have bound under them is unbound first: a PASID must not come to
// somebody else while an entry of hardware says that it is this guest's.
static void release(struct ims_process *p, uint32_t min, uint32_t max) {
  struct ims_kernel *k = p->k;
  for (uint32_t pasid = min; !ims_pasid_next(&k->pasids, p->id, pasid, &pasid) && pasid <= max; pasid++) {
    void *priv = NULL;
    ims_pasid_query(&k->pasids, pasid, NULL, &priv);
    for (struct pasid_use *use = priv; use && use->first;)
      ims_gpasid_release(use->first);
    ims_pasid_free(&k->pasids, p->id, pasid);
    free(priv);
  }
}

void ims_pasid_set_put(struct container *c) {
  struct ims_process *p = c->set_of;
  if (!p)
    return;
  c->set_of = NULL;
  if (!--p->pasid_set_users)
    release(p, 0, UINT32_MAX);
}

static int alloc(struct container *c, uint32_t min, uint32_t max, uint32_t *pasid) {
  struct ims_kernel *k = c->k;
  int err = ims_pasid_alloc(&k->pasids, c->set_of->id, min, max, NULL, pasid);
  return err == IMS_ERR_OK ? 0 : err == IMS_ERR_NOMEM ? -ENOMEM : -ENOSPC;
}

// v1: the result is written back, and every failure to allocate looks the same to the user.
static long request_v1(struct ims_file *f, uint64_t arg) {
  struct container *c = f->open->container;
  struct ims_vfio_pasid_request_v1 r;
  const uint32_t min = offsetof(struct ims_vfio_pasid_request_v1, min);
  if (!ims_user_read(f->process, &r, arg, min))
    return -EFAULT;
  if (r.argsz < min || (r.flags & ~(uint32_t)(ALLOC | FREE)) || r.flags == (ALLOC | FREE))
    return -EINVAL;
  // The rest is read whatever argsz says.
  if (!ims_user_read(f->process, (uint8_t *)&r + min, arg + min, sizeof r - min))
    return -EFAULT;
  uint32_t pasid;
  switch (r.flags) {
  case ALLOC:
    if (!c->domains || alloc(c, r.min, r.max, &pasid))
      return -EFAULT;
    if (ims_user_write(f->process, arg + offsetof(struct ims_vfio_pasid_request_v1, result), &pasid, sizeof pasid))
      return 0;
    release(c->set_of, pasid, pasid); // nobody knows of it
    return -EFAULT;
  case FREE: {
    uint64_t owner;
    if (!c->domains)
      return -EFAULT;
    if (ims_pasid_query(&c->k->pasids, r.min, &owner, NULL))
      return -ENOENT;
    if (owner != c->set_of->id)
      return -EACCES;
    release(c->set_of, r.min, r.min);
    return 0;
  }
  default: return -EINVAL;
  }
}

static long request(struct ims_file *f, uint64_t arg) {
  struct container *c = f->open->container;
  struct ims_vfio_pasid_request r;
  uint32_t pasid;
  if (!ims_user_read(f->process, &r, arg, sizeof r))
    return -EFAULT;
  if (r.argsz < sizeof r || (r.flags != ALLOC && r.flags != FREE) || r.min > r.max || r.max > 1u << 31)
    return -EINVAL;
  if (!c->set_of)
    return -EOPNOTSUPP;
  if (r.flags == FREE) {
    release(c->set_of, r.min, r.max);
    return 0;
  }
  int err = alloc(c, r.min, r.max, &pasid);
  return err ? err : (long)pasid;
}

long ims_vsva_pasid_request(struct ims_file *f, uint64_t arg) {
  return f->process->k->cfg.dialect == IMS_DIALECT_V1 ? request_v1(f, arg) : request(f, arg);
}
