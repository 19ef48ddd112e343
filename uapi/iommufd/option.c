// SPDX-License-Identifier: Apache-2.0
// IOMMU_OPTION, and the calls about who pins what: CHANGE_PROCESS, NOIOMMU_GET_PA (Facts 3.4; Linux 7.x, iommufd/ioas.c).
#include "uapi/iommufd/iommufd_internal.h"

// ---- Options --------------------------------------------------------------------------------------------------------

static int rlimit_mode(const struct ucmd *u, struct ims_iommu_option *c) {
  if (c->object_id)
    return -EOPNOTSUPP;
  switch (c->op) {
  case IMS_OPTION_GET: c->val64 = u->ctx->rlimit_mode; return 0;
  case IMS_OPTION_SET:
    if (!(u->process->caps & IMS_CAP_SYS_RESOURCE))
      return -EPERM;
    if (u->ctx->objects)
      return -EBUSY;
    if (c->val64 > 1)
      return -EINVAL;
    u->ctx->rlimit_mode = c->val64;
    return 0;
  default: return -EOPNOTSUPP;
  }
}

static int huge_pages(struct ioas *s, struct ims_iommu_option *c) {
  switch (c->op) {
  case IMS_OPTION_GET: c->val64 = !s->iopt.no_large_pages; return 0;
  case IMS_OPTION_SET: return c->val64 > 1 ? -EINVAL : ims_iopt_large_pages(&s->iopt, c->val64);
  default: return -EOPNOTSUPP;
  }
}

long ims_cmd_iommu_option(struct ucmd *u, struct ims_iommu_option *c) {
  int err = -EOPNOTSUPP;
  if (c->reserved)
    return -EOPNOTSUPP;
  if (c->option_id == IMS_OPTION_RLIMIT_MODE) {
    err = rlimit_mode(u, c);
  } else if (c->option_id == IMS_OPTION_HUGE_PAGES) {
    struct ioas *s = FIND(u->ctx, c->object_id, IOAS, ioas);
    err = s ? huge_pages(s, c) : -ENOENT;
  }
  if (err)
    return err;
  return ims_user_write(u->process, u->arg + offsetof(struct ims_iommu_option, val64), &c->val64, sizeof c->val64)
             ? 0
             : -EFAULT;
}

// ---- CHANGE_PROCESS -------------------------------------------------------------------------------------------------

// Each area of each address space.
static struct area *next_area(const struct ictx *ctx, size_t *id, const struct area *a) {
  struct area *next = a ? a->next : NULL;
  while (!next && ++*id < ctx->room) {
    struct ioas *s = FIND(ctx, (uint32_t)*id, IOAS, ioas);
    next = s ? s->iopt.first : NULL;
  }
  return next;
}

// Pages that several areas share are moved with the first of them.
static void move_all(struct ictx *ctx, struct ims_process *to, uint64_t moved[ACCOUNT_NONE + 1], bool count) {
  size_t id = 0;
  for (struct area *a = next_area(ctx, &id, NULL); a; a = next_area(ctx, &id, a)) {
    struct pages *p = a->pages;
    if (p->mm == to || p->counted == count)
      continue;
    p->counted = count;
    if (count) {
      moved[p->account] += p->npinned;
    } else {
      ims_pages_uncharge(p->mm, p->account, p->npinned);
      ims_process_put(p->mm);
      p->mm = to;
      ims_process_get(to);
    }
  }
}

static void uncount_all(struct ictx *ctx) {
  size_t id = 0;
  for (struct area *a = next_area(ctx, &id, NULL); a; a = next_area(ctx, &id, a))
    a->pages->counted = false;
}

long ims_cmd_iommu_ioas_change_process(struct ucmd *u, struct ims_iommu_ioas_change_process *c) {
  uint64_t moved[ACCOUNT_NONE + 1] = {0};
  size_t id = 0;
  if (c->reserved)
    return -EOPNOTSUPP;
  for (struct area *a = next_area(u->ctx, &id, NULL); a; a = next_area(u->ctx, &id, a))
    if (a->pages->kind != PAGES_FILE)
      return -EINVAL; // its memory goes with the process
  // The new one is charged for all before the old one is for nothing.
  move_all(u->ctx, u->process, moved, true);
  for (unsigned account = 0; account <= ACCOUNT_NONE; account++) {
    int err = ims_pages_charge(u->process, account, moved[account]);
    if (!err)
      continue;
    while (account--)
      ims_pages_uncharge(u->process, account, moved[account]);
    uncount_all(u->ctx);
    return err;
  }
  move_all(u->ctx, u->process, moved, false);
  return 0;
}

// ---- NOIOMMU_GET_PA -------------------------------------------------------------------------------------------------

// No device here is without an IOMMU, so that there is never a domain that could tell.
long ims_cmd_iommu_ioas_noiommu_get_pa(struct ucmd *u, struct ims_iommu_ioas_noiommu_get_pa *c) {
  if (!(u->process->caps & IMS_CAP_SYS_RAWIO))
    return -EPERM;
  if (c->flags || c->reserved)
    return -EOPNOTSUPP;
  if (!c->length)
    return -EINVAL;
  if (c->iova == ~0ull)
    return -EOVERFLOW;
  const struct ioas *s = FIND(u->ctx, c->ioas_id, IOAS, ioas);
  if (!s)
    return -ENOENT;
  const struct area *a = ims_area_at(&s->iopt, c->iova);
  if (!a || a->iova > c->iova)
    return -ENOENT;
  return a->pages->revoked ? -EINVAL : -EOPNOTSUPP;
}
