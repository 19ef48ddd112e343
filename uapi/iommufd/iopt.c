// SPDX-License-Identifier: Apache-2.0
// An I/O address space: areas by iova, ranges allowed and reserved, and the domains that map what is in it.
// Linux 7.x, iommufd/io_pagetable.c; Facts 3.4.
#include "uapi/iommufd/internal.h"
#include <stdlib.h>

void ims_iopt_init(struct iopt *t, struct ictx *ctx) { *t = (struct iopt){.ctx = ctx, .alignment = 1}; }

void ims_iopt_fini(struct iopt *t) {
  uint64_t unmapped;
  ims_iopt_unmap(t, 0, ~0ull, &unmapped);
  free(t->area);
  free(t->domain);
  free(t->allowed.range);
  free(t->reserved.range);
}

// ---- Areas ----------------------------------------------------------------------------------------------------------

size_t ims_iopt_at(const struct iopt *t, uint64_t iova) {
  size_t low = 0, high = t->areas;
  while (low < high) {
    size_t mid = (low + high) / 2;
    if (t->area[mid]->last < iova)
      low = mid + 1;
    else
      high = mid;
  }
  return low;
}

static void unfill(struct hdomain *d, const struct area *a) { ims_hdomain_unmap(d, a->iova, a->last - a->iova + 1); }

// Maps an area, whose pages are pinned, in a domain.
static int fill(struct hdomain *d, const struct area *a) {
  uint64_t iova = a->iova, at = a->start, left = a->last - a->iova + 1;
  while (left) {
    uint64_t count, off = at & (IMS_PAGE_SIZE - 1), hpa = ims_pages_hpa(a->pages, at / IMS_PAGE_SIZE, &count) + off;
    uint64_t size = count * IMS_PAGE_SIZE - off;
    if (size > left)
      size = left;
    int err = ims_hdomain_map(d, iova, hpa, size, a->prot);
    if (err) {
      if (iova != a->iova)
        ims_hdomain_unmap(d, a->iova, iova - a->iova);
      return err;
    }
    iova += size;
    at += size;
    left -= size;
  }
  ims_hdomain_flush_new(d, a->iova, a->last);
  return 0;
}

static uint64_t first_page(const struct area *a) { return a->start / IMS_PAGE_SIZE; }

static uint64_t page_count(const struct area *a) {
  return (a->start + (a->last - a->iova)) / IMS_PAGE_SIZE - first_page(a) + 1;
}

static int fill_domains(struct iopt *t, const struct area *a) {
  if (!t->domains)
    return 0;
  int err = ims_pages_pin(a->pages, first_page(a), page_count(a));
  if (err)
    return err;
  for (size_t i = 0; i < t->domains && !err; i++) {
    err = fill(t->domain[i], a);
    while (err && i--)
      unfill(t->domain[i], a);
    if (err)
      break;
  }
  if (err)
    ims_pages_unpin(a->pages, first_page(a), page_count(a));
  return err;
}

static void drop(struct iopt *t, struct area *a) {
  for (size_t i = 0; i < t->domains; i++)
    unfill(t->domain[i], a);
  if (t->domains)
    ims_pages_unpin(a->pages, first_page(a), page_count(a));
  ims_pages_put(a->pages);
  free(a);
}

static bool overlaps(const struct ranges *r, uint64_t first, uint64_t last) {
  for (size_t i = 0; i < r->count; i++)
    if (r->range[i].first <= last && r->range[i].last >= first)
      return true;
  return false;
}

static bool used(const struct iopt *t, uint64_t first, uint64_t last) {
  size_t i = ims_iopt_at(t, first);
  return i < t->areas && t->area[i]->iova <= last;
}

static int insert(struct iopt *t, struct area *a) {
  if (t->areas == t->room) {
    size_t room = t->room ? 2 * t->room : 8;
    struct area **more = realloc(t->area, room * sizeof(struct area *));
    if (!more)
      return -ENOMEM;
    t->area = more;
    t->room = room;
  }
  size_t i = ims_iopt_at(t, a->iova);
  memmove(&t->area[i + 1], &t->area[i], (t->areas - i) * sizeof(struct area *));
  t->area[i] = a;
  t->areas++;
  return 0;
}

int ims_iopt_map(struct iopt *t, struct pages *p, uint64_t start, uint64_t *iova, uint64_t length, unsigned prot,
                 bool fixed) {
  if (!length || length % t->alignment)
    return -EINVAL;
  if (!fixed)
    return -ENOSPC;
  if (*iova % t->alignment || start % t->alignment)
    return -EINVAL;
  uint64_t last;
  if (__builtin_add_overflow(*iova, length - 1, &last))
    return -EOVERFLOW;
  if (overlaps(&t->reserved, *iova, last))
    return -EINVAL;
  if (used(t, *iova, last))
    return -EEXIST;
  struct area *a = calloc(1, sizeof *a);
  if (!a)
    return -ENOMEM;
  *a = (struct area){.iova = *iova, .last = last, .pages = p, .start = start, .prot = (uint8_t)prot};
  int err = fill_domains(t, a);
  if (!err && (err = insert(t, a))) {
    p->refs++;
    drop(t, a);
    return err;
  }
  if (err) {
    free(a);
    return err;
  }
  p->refs++;
  return 0;
}

int ims_iopt_unmap(struct iopt *t, uint64_t first, uint64_t last, uint64_t *unmapped) {
  *unmapped = 0;
  size_t i = ims_iopt_at(t, first);
  while (i < t->areas && t->area[i]->iova <= last) {
    struct area *a = t->area[i];
    if (a->iova < first || a->last > last)
      return -ENOENT;
    if (a->locks)
      return -EBUSY;
    *unmapped += a->last - a->iova + 1;
    memmove(&t->area[i], &t->area[i + 1], (t->areas - i - 1) * sizeof(struct area *));
    t->areas--;
    drop(t, a);
  }
  return 0;
}

// ---- Domains --------------------------------------------------------------------------------------------------------

int ims_iopt_add_domain(struct iopt *t, struct hdomain *d) {
  struct hdomain **more = realloc(t->domain, (t->domains + 1) * sizeof(struct hdomain *));
  if (!more)
    return -ENOMEM;
  t->domain = more;
  uint64_t first, last, page = ims_hdomain_page(d);
  if (page > IMS_PAGE_SIZE)
    return -EINVAL;
  ims_hdomain_aperture(d, &first, &last);
  int err = first ? ims_iopt_reserve(t, 0, first - 1, d) : 0;
  if (!err && last != ~0ull)
    err = ims_iopt_reserve(t, last + 1, ~0ull, d);
  for (size_t i = 0; i < t->areas && !err; i++) {
    const struct area *a = t->area[i];
    if (!t->domains)
      err = ims_pages_pin(a->pages, first_page(a), page_count(a));
    if (!err && (err = fill(d, a)) && !t->domains)
      ims_pages_unpin(a->pages, first_page(a), page_count(a));
    while (err && i--) {
      unfill(d, t->area[i]);
      if (!t->domains)
        ims_pages_unpin(t->area[i]->pages, first_page(t->area[i]), page_count(t->area[i]));
    }
    if (err)
      break;
  }
  if (err) {
    ims_iopt_unreserve(t, d);
    return err;
  }
  t->domain[t->domains++] = d;
  if (page > t->alignment)
    t->alignment = page;
  return 0;
}

void ims_iopt_remove_domain(struct iopt *t, struct hdomain *d) {
  size_t i = 0;
  while (i < t->domains && t->domain[i] != d)
    i++;
  if (i == t->domains)
    return;
  memmove(&t->domain[i], &t->domain[i + 1], (t->domains - i - 1) * sizeof(struct hdomain *));
  t->domains--;
  for (size_t n = 0; n < t->areas; n++) {
    unfill(d, t->area[n]);
    if (!t->domains)
      ims_pages_unpin(t->area[n]->pages, first_page(t->area[n]), page_count(t->area[n]));
  }
  ims_iopt_unreserve(t, d);
  t->alignment = 1;
  for (i = 0; i < t->domains; i++)
    if (ims_hdomain_page(t->domain[i]) > t->alignment)
      t->alignment = ims_hdomain_page(t->domain[i]);
}

// ---- Reserved ranges ------------------------------------------------------------------------------------------------

int ims_iopt_reserve(struct iopt *t, uint64_t first, uint64_t last, const void *owner) {
  struct ranges *r = &t->reserved;
  if (used(t, first, last) || overlaps(&t->allowed, first, last))
    return -EADDRINUSE;
  if (r->count == r->room) {
    size_t room = r->room ? 2 * r->room : 4;
    struct range *more = realloc(r->range, room * sizeof *more);
    if (!more)
      return -ENOMEM;
    r->range = more;
    r->room = room;
  }
  size_t i = r->count++;
  for (; i && r->range[i - 1].first > first; i--)
    r->range[i] = r->range[i - 1];
  r->range[i] = (struct range){first, last, owner};
  return 0;
}

void ims_iopt_unreserve(struct iopt *t, const void *owner) {
  size_t kept = 0;
  for (size_t i = 0; i < t->reserved.count; i++)
    if (t->reserved.range[i].owner != owner)
      t->reserved.range[kept++] = t->reserved.range[i];
  t->reserved.count = kept;
}
