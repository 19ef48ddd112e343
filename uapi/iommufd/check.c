// SPDX-License-Identifier: Apache-2.0
// What must hold of all objects of an iommufd between calls. Tests and fuzzing ask after each one.
#include "uapi/iommufd/iommufd_internal.h"
#include "uapi/layout.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct report {
  char *why;
  size_t size;
};

__attribute__((format(printf, 2, 3))) static bool bad(const struct report *r, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  if (r->size)
    vsnprintf(r->why, r->size, fmt, ap);
  va_end(ap);
  return false;
}

#define NEED(cond, ...)                                                                                                \
  if (!(cond))                                                                                                         \
  return bad(r, __VA_ARGS__)

typedef unsigned long long ull; // of printf

static uint64_t length_of(const struct area *a) { return a->last - a->iova + 1; }

static uint64_t pages_of(const struct area *a) {
  return (a->start + (a->last - a->iova)) / IMS_PAGE_SIZE - a->start / IMS_PAGE_SIZE + 1;
}

// ---- Areas and ranges -----------------------------------------------------------------------------------------------

static bool tree_holds(const struct report *r, const struct area *a, size_t *nodes) {
  if (!a)
    return true;
  ++*nodes;
  NEED(a->low == (a->left ? a->left->low : a->iova) && a->high == (a->right ? a->right->high : a->last),
       "the tree is wrong about what lies around area 0x%llx", (ull)a->iova);
  NEED((!a->left || (a->left->high < a->iova && a->left->priority <= a->priority)) &&
           (!a->right || (a->right->low > a->last && a->right->priority <= a->priority)),
       "the tree is out of order at area 0x%llx", (ull)a->iova);
  return tree_holds(r, a->left, nodes) && tree_holds(r, a->right, nodes);
}

static bool areas_hold(const struct report *r, const struct iopt *t) {
  size_t count = 0, nodes = 0;
  for (const struct area *a = t->first; a; a = a->next, count++) {
    NEED(a->iova <= a->last, "area 0x%llx ends at 0x%llx", (ull)a->iova, (ull)a->last);
    NEED(!a->next || (a->next->iova > a->last && a->next->prev == a), "area 0x%llx and the next one overlap",
         (ull)a->iova);
    NEED(!((a->iova | length_of(a) | a->start % t->page) & (t->alignment - 1)), "area 0x%llx is not aligned to %llu",
         (ull)a->iova, (ull)t->alignment);
    NEED(ims_area_at(t, a->iova) == a && ims_area_at(t, a->last) == a, "the tree does not find area 0x%llx",
         (ull)a->iova);
    NEED(a->start / IMS_PAGE_SIZE + pages_of(a) <= a->pages->npages, "area 0x%llx goes beyond its pages", (ull)a->iova);
    NEED(a->locks <= a->accesses, "area 0x%llx has more locks than accesses", (ull)a->iova);
    NEED(!(a->prot & IMS_PROT_WRITE) || a->pages->writable, "area 0x%llx writes to what is read-only", (ull)a->iova);
    for (size_t i = 0; i < t->reserved.count; i++)
      NEED(t->reserved.range[i].first > a->last || t->reserved.range[i].last < a->iova,
           "area 0x%llx lies in the reserved range 0x%llx", (ull)a->iova, (ull)t->reserved.range[i].first);
  }
  if (!tree_holds(r, t->root, &nodes))
    return false;
  NEED(count == t->areas && nodes == t->areas, "%zu areas in the list, %zu in the tree, %zu counted", count, nodes,
       t->areas);
  return true;
}

static bool ranges_hold(const struct report *r, const struct iopt *t) {
  for (size_t i = 0; i < t->allowed.count; i++) {
    const struct range *a = &t->allowed.range[i];
    NEED(a->first < a->last && (!i || a[-1].last < a->first), "allowed ranges overlap at 0x%llx", (ull)a->first);
    for (size_t n = 0; n < t->reserved.count; n++)
      NEED(t->reserved.range[n].first > a->last || t->reserved.range[n].last < a->first,
           "0x%llx is allowed and reserved", (ull)a->first);
  }
  for (size_t i = 1; i < t->reserved.count; i++)
    NEED(t->reserved.range[i - 1].first <= t->reserved.range[i].first, "reserved ranges are out of order at 0x%llx",
         (ull)t->reserved.range[i].first);
  return true;
}

// ---- Domains --------------------------------------------------------------------------------------------------------

static bool maps(const struct report *r, struct hdomain *d, const struct area *a) {
  for (uint64_t iova = a->iova; !a->pages->revoked;) {
    uint64_t at = a->start + (iova - a->iova), count, off = at % IMS_PAGE_SIZE, hpa, left;
    uint64_t want = ims_pages_hpa(a->pages, at / IMS_PAGE_SIZE, &count) + off;
    NEED(count, "page 0x%llx is mapped and not pinned", (ull)iova);
    NEED(!ims_hdomain_lookup(d, iova, &hpa, &left) && hpa == want, "a domain does not map 0x%llx to 0x%llx", (ull)iova,
         (ull)want);
    if (left > count * IMS_PAGE_SIZE - off)
      left = count * IMS_PAGE_SIZE - off;
    if (left > a->last - iova)
      break;
    iova += left;
  }
  return true;
}

static int add_leaf(void *ctx, const struct ims_pgt_visit *v) {
  if (v->kind == IMS_PTE_LEAF)
    *(uint64_t *)ctx += v->size;
  return IMS_VISIT_ON;
}

static bool domains_hold(const struct report *r, const struct iopt *t) {
  for (size_t i = 0; i < t->domains; i++) {
    struct hdomain *d = t->domain[i];
    uint64_t mapped = 0, want = 0;
    for (const struct area *a = t->first; a; a = a->next) {
      if (!maps(r, d, a))
        return false;
      want += a->pages->revoked ? 0 : length_of(a);
    }
    if (d->paging->soft)
      continue;
    ims_pgt_iterate(&d->paging->pgt, &d->k->tables, 0, ~0ull, add_leaf, &mapped);
    NEED(mapped == want, "a domain maps 0x%llx bytes where areas have 0x%llx", (ull)mapped, (ull)want);
  }
  return true;
}

// ---- Pages ----------------------------------------------------------------------------------------------------------

// What an area does to its pages.
struct use {
  const struct pages *pages;
  uint64_t mapped; // pages that its domains need
  uint32_t accesses;
};

static int by_pages(const void *a, const void *b) {
  uintptr_t x = (uintptr_t)((const struct use *)a)->pages, y = (uintptr_t)((const struct use *)b)->pages;
  return x < y ? -1 : x > y;
}

static bool pages_hold(const struct report *r, const struct pages *p, uint32_t areas, uint64_t mapped,
                       uint32_t accesses) {
  uint64_t users = 0, count = 0;
  for (size_t i = 0; i < p->pins; i++) {
    const struct pin *pin = &p->pin[i];
    NEED(pin->count && pin->users && pin->index + pin->count <= p->npages, "a pin of nothing at page %llu",
         (ull)pin->index);
    NEED(!i || pin[-1].index + pin[-1].count <= pin->index, "pins overlap at page %llu", (ull)pin->index);
    count += pin->count;
    users += pin->count * pin->users;
  }
  NEED(p->refs == areas, "%u areas have pages with %u references", areas, p->refs);
  NEED(count == p->npinned, "%llu pages are pinned, %llu counted", (ull)count, (ull)p->npinned);
  NEED(accesses ? users >= mapped : users == mapped, "pages are pinned %llu times where domains need them %llu times",
       (ull)users, (ull)mapped);
  NEED(p->npinned <= p->mm->pinned, "a process counts fewer pins than it has");
  return true;
}

// Of all areas of the context.
static bool all_pages_hold(const struct report *r, const struct ictx *ctx) {
  size_t count = 0, n = 0;
  for (size_t id = 0; id < ctx->room; id++) {
    const struct ioas *s = FIND(ctx, (uint32_t)id, IOAS, ioas);
    count += s ? s->iopt.areas : 0;
  }
  struct use *use = count ? calloc(count, sizeof *use) : NULL;
  if (!use)
    return true; // none, or no memory to look
  for (size_t id = 0; id < ctx->room; id++) {
    const struct ioas *s = FIND(ctx, (uint32_t)id, IOAS, ioas);
    for (const struct area *a = s ? s->iopt.first : NULL; a; a = a->next)
      use[n++] = (struct use){a->pages, s->iopt.domains ? pages_of(a) : 0, a->accesses};
  }
  qsort(use, n, sizeof *use, by_pages);
  bool ok = true;
  for (size_t i = 0, end; i < n && ok; i = end) {
    uint64_t mapped = 0;
    uint32_t accesses = 0;
    for (end = i; end < n && use[end].pages == use[i].pages; end++) {
      mapped += use[end].mapped;
      accesses += use[end].accesses;
    }
    ok = pages_hold(r, use[i].pages, (uint32_t)(end - i), mapped, accesses);
  }
  free(use);
  return ok;
}

// ---- Objects --------------------------------------------------------------------------------------------------------

static bool ioas_holds(const struct report *r, const struct ioas *s) {
  return areas_hold(r, &s->iopt) && ranges_hold(r, &s->iopt) && domains_hold(r, &s->iopt);
}

// What is attached for a device's group: each member that can make such requests is attached to the table's domain, and the
// table is held by each device that said so.
static bool device_holds(const struct report *r, const struct idev *d) {
  const struct igroup *ig = d->group;
  NEED(d->dev->idev == d && ig->g->igroup == ig && ig->ctx == d->obj.ctx && ig->refs && d->obj.users,
       "device %u is bound to something else", d->obj.id);
  for (size_t i = 0; i < ig->attaches; i++) {
    const struct igroup_attach *a = &ig->attach[i];
    NEED(a->devices && a->devices <= ig->refs, "%zu devices are attached by PASID %u, of %u", a->devices, a->pasid,
         ig->refs);
    NEED(a->hwpt->obj.users >= a->devices, "table %u has fewer users than devices", a->hwpt->obj.id);
    for (size_t n = i + 1; n < ig->attaches; n++)
      NEED(ig->attach[n].pasid != a->pasid, "PASID %u is attached twice", a->pasid);
    for (const struct ims_device *dev = ig->g->devices; dev; dev = dev->next_in_group) {
      const struct attachment *at = ims_attachment(dev, a->pasid);
      NEED((a->pasid && !dev->max_pasids) || (at && at->domain == a->hwpt->d),
           "a device of the group is not attached to table %u by PASID %u", a->hwpt->obj.id, a->pasid);
    }
  }
  return true;
}

// A table over an address space maps what that maps, and a nested one has its parent below.
static bool table_holds(const struct report *r, const struct hwpt *h) {
  const struct hwpt_paging *p = ims_hwpt_parent(h);
  NEED(h->d && p && p->h.d && p->ioas->obj.users, "table %u has nothing below", h->obj.id);
  if (h->obj.type == OBJ_HWPT_NESTED) {
    NEED(h->d->parent == p->h.d && p->h.d->users && p->h.obj.users, "nested table %u is not held", h->obj.id);
    return true;
  }
  const struct hwpt_paging *at = p->ioas->hwpts;
  while (at && at != p)
    at = at->next_in_ioas;
  NEED(at, "table %u is none of its address space", h->obj.id);
  size_t i = 0;
  while (i < p->ioas->iopt.domains && p->ioas->iopt.domain[i] != h->d)
    i++;
  NEED(i < p->ioas->iopt.domains, "what is mapped is not mapped in table %u", h->obj.id);
  NEED(!p->automatic || h->obj.users, "table %u was made for an attachment that is gone", h->obj.id);
  return true;
}

static bool object_holds(const struct report *r, const struct object *o) {
  switch (o->type) {
  case OBJ_IOAS: return ioas_holds(r, (const struct ioas *)o);
  case OBJ_DEVICE: return device_holds(r, (const struct idev *)o);
  case OBJ_HWPT_PAGING:
  case OBJ_HWPT_NESTED: return table_holds(r, (const struct hwpt *)o);
  default: return true;
  }
}

bool ims_iommufd_check(const struct ims_file *iommufd, char *why, size_t size) {
  const struct report report = {why, size}, *r = &report;
  uint32_t objects = 0;
  if (size)
    why[0] = 0;
  NEED(iommufd->open->ops->kind == IMS_FILE_IOMMUFD, "not an iommufd");
  const struct ictx *ctx = iommufd->open->state;
  for (size_t id = 0; id < ctx->room; id++) {
    const struct object *o = ims_object_find(ctx, (uint32_t)id, OBJ_NONE);
    if (!o)
      continue;
    objects++;
    NEED(o->id == id && o->ctx == ctx && o->type < OBJ_TYPES, "object %zu is not what it says", id);
    if (!object_holds(r, o))
      return false;
  }
  NEED(objects == ctx->objects, "%u objects, %u counted", objects, ctx->objects);
  NEED(!ctx->vfio_ioas || ctx->object[ctx->vfio_ioas->obj.id] == &ctx->vfio_ioas->obj,
       "the container's address space is gone");
  return all_pages_hold(r, ctx);
}
