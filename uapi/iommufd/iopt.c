// SPDX-License-Identifier: Apache-2.0
// An I/O address space: areas by iova, ranges allowed and reserved, the domains that map what is in it, and in-kernel users.
// Linux 7.x, iommufd/io_pagetable.c; Facts 3.4.
#include "uapi/iommufd/iommufd_internal.h"
#include <stdlib.h>

enum { MAX_TRIES = 100 }; // of asking accesses to let go

void ims_iopt_init(struct iopt *t, struct ictx *ctx) {
  *t = (struct iopt){.ctx = ctx, .alignment = 1, .page = kernel_page(ctx->k)};
}

void ims_iopt_fini(struct iopt *t) {
  uint64_t unmapped;
  ims_iopt_unmap(t, 0, ~0ull, &unmapped);
  free(t->domain);
  free(t->allowed.range);
  free(t->reserved.range);
}

static uint64_t length_of(const struct area *a) { return a->last - a->iova + 1; }

static uint64_t first_page(const struct area *a) { return a->start / IMS_PAGE_SIZE; }

static uint64_t page_count(const struct area *a) {
  return (a->start + (a->last - a->iova)) / IMS_PAGE_SIZE - first_page(a) + 1;
}

// ---- Areas in domains -----------------------------------------------------------------------------------------------

// Without large pages each page is mapped by itself, so that a part of an area can be unmapped (VFIO type1).
static int map_run(const struct iopt *t, struct hdomain *d, uint64_t iova, uint64_t hpa, uint64_t size, unsigned prot) {
  if (!t->no_large_pages)
    return ims_hdomain_map(d, iova, hpa, size, prot);
  for (uint64_t done = 0; done < size; done += t->page) {
    int err = ims_hdomain_map(d, iova + done, hpa + done, t->page, prot);
    if (err) {
      if (done)
        ims_hdomain_unmap(d, iova, done);
      return err;
    }
  }
  return 0;
}

static void unfill(struct hdomain *d, const struct area *a) {
  if (!a->pages->revoked)
    ims_hdomain_unmap(d, a->iova, length_of(a));
}

// Maps an area, whose pages are pinned, in a domain.
static int fill(const struct iopt *t, struct hdomain *d, const struct area *a) {
  uint64_t iova = a->iova, at = a->start, left = length_of(a);
  if (a->pages->revoked)
    return 0;
  while (left) {
    uint64_t count, off = at & (IMS_PAGE_SIZE - 1), hpa = ims_pages_hpa(a->pages, at / IMS_PAGE_SIZE, &count) + off;
    uint64_t size = count * IMS_PAGE_SIZE - off;
    if (size > left)
      size = left;
    int err = map_run(t, d, iova, hpa, size, a->prot);
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

static int fill_domains(const struct iopt *t, const struct area *a) {
  if (!t->domains)
    return 0;
  int err = ims_pages_pin(a->pages, first_page(a), page_count(a));
  if (err)
    return err;
  for (size_t i = 0; i < t->domains; i++) {
    err = fill(t, t->domain[i], a);
    if (!err)
      continue;
    while (i--)
      unfill(t->domain[i], a);
    ims_pages_unpin(a->pages, first_page(a), page_count(a));
    return err;
  }
  return 0;
}

static void unfill_domains(const struct iopt *t, const struct area *a) {
  if (!t->domains)
    return;
  for (size_t i = 0; i < t->domains; i++)
    unfill(t->domain[i], a);
  ims_pages_unpin(a->pages, first_page(a), page_count(a));
}

void ims_iopt_revoked(struct pages *p) {
  for (size_t id = 0; id < p->ctx->room; id++) {
    struct ioas *s = FIND(p->ctx, (uint32_t)id, IOAS, ioas);
    for (struct area *a = s ? s->iopt.first : NULL; a; a = a->next)
      for (size_t i = 0; i < s->iopt.domains && a->pages == p; i++)
        unfill(s->iopt.domain[i], a);
  }
  p->revoked = true;
}

// ---- Ranges ---------------------------------------------------------------------------------------------------------

static bool overlaps(const struct ranges *r, uint64_t first, uint64_t last) {
  for (size_t i = 0; i < r->count && r->range[i].first <= last; i++)
    if (r->range[i].last >= first)
      return true;
  return false;
}

static bool used(const struct iopt *t, uint64_t first, uint64_t last) {
  const struct area *a = ims_area_at(t, first);
  return a && a->iova <= last;
}

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

int ims_iopt_reserve_device(struct iopt *t, const struct ims_device *dev) {
  const struct host_ops *ops = dev->unit->ops;
  return ops->msi_first < ops->msi_last ? ims_iopt_reserve(t, ops->msi_first, ops->msi_last, dev) : 0;
}

int ims_iopt_allow(struct iopt *t, struct ranges *allowed) {
  for (size_t i = 0; i < allowed->count; i++)
    if (overlaps(&t->reserved, allowed->range[i].first, allowed->range[i].last))
      return -EADDRINUSE;
  free(t->allowed.range);
  t->allowed = *allowed;
  *allowed = (struct ranges){0};
  return 0;
}

bool ims_iopt_free_range(const struct iopt *t, uint64_t *first, uint64_t *last) {
  uint64_t from = *first;
  for (size_t i = 0; i < t->reserved.count; i++) {
    const struct range *r = &t->reserved.range[i];
    if (r->last < from)
      continue;
    if (r->first > from) {
      *first = from;
      *last = r->first - 1;
      return true;
    }
    if (r->last == ~0ull)
      return false;
    from = r->last + 1;
  }
  *first = from;
  *last = ~0ull;
  return true;
}

// ---- A place for an area --------------------------------------------------------------------------------------------

struct wish {
  uint64_t length, alignment, offset; // the last bits that the iova must have
};

// The first such place in a range.
static bool fits(const struct wish *w, uint64_t first, uint64_t last, uint64_t *iova) {
  uint64_t at;
  if (__builtin_add_overflow(first, w->alignment - 1, &at))
    return false;
  at = (at & ~(w->alignment - 1)) | w->offset;
  *iova = at;
  return at < last && last - at >= w->length - 1;
}

// The same where nothing is mapped, either.
static bool find_hole(const struct iopt *t, const struct wish *w, uint64_t first, uint64_t end, uint64_t *iova) {
  uint64_t last;
  for (uint64_t at = first; at <= end && ims_area_hole(t, w->length, &at, &last); at = last + 1) {
    if (fits(w, at, last < end ? last : end, iova))
      return true;
    if (last >= end)
      break;
  }
  return false;
}

static bool find_in(const struct iopt *t, const struct wish *w, uint64_t first, uint64_t end, uint64_t *iova) {
  uint64_t last;
  if (!fits(w, first, end, &first))
    return false;
  for (uint64_t at = first; at <= end && ims_iopt_free_range(t, &at, &last); at = last + 1) {
    if (at > end)
      break;
    if (find_hole(t, w, at, last < end ? last : end, iova))
      return true;
    if (last >= end)
      break;
  }
  return false;
}

static uint64_t round_up_pow2(uint64_t n) { return n < 2 ? 1 : 1ull << (64 - __builtin_clzll(n - 1)); }

static int find_place(const struct iopt *t, uint64_t uva, uint64_t length, uint64_t *iova) {
  const uint64_t most = 2ull << 20; // a large page of the processor's: no use for more
  struct wish w = {length, most, uva % t->page};
  if (!length || length >= ~0ull / 2)
    return -EOVERFLOW;
  if (round_up_pow2(length) < w.alignment)
    w.alignment = round_up_pow2(length);
  if (uva && (uva & -uva) < w.alignment)
    w.alignment = uva & -uva;
  if (w.alignment < t->alignment)
    return -EINVAL;
  if (!t->allowed.count)
    return find_in(t, &w, t->page, ~0ull - t->page, iova) ? 0 : -ENOSPC;
  // Ranges that touch count as one.
  const struct range *r = t->allowed.range;
  for (size_t i = 0; i < t->allowed.count; i++) {
    uint64_t first = r[i].first < t->page ? t->page : r[i].first;
    while (i + 1 < t->allowed.count && r[i].last != ~0ull && r[i + 1].first == r[i].last + 1)
      i++;
    uint64_t last = r[i].last < ~0ull - t->page ? r[i].last : ~0ull - t->page;
    if (first <= last && find_in(t, &w, first, last, iova))
      return 0;
  }
  return -ENOSPC;
}

// ---- Mapping --------------------------------------------------------------------------------------------------------

static int check_place(const struct iopt *t, uint64_t iova, uint64_t length) {
  uint64_t last;
  if (iova & (t->alignment - 1))
    return -EINVAL;
  if (__builtin_add_overflow(iova, length - 1, &last))
    return -EOVERFLOW;
  if (overlaps(&t->reserved, iova, last))
    return -EINVAL;
  return used(t, iova, last) ? -EEXIST : 0;
}

static int check_slice(const struct iopt *t, const struct slice *s, unsigned prot) {
  if ((prot & IMS_PROT_WRITE) && !s->pages->writable)
    return -EPERM;
  return s->start % t->page & (t->alignment - 1) ? -EINVAL : 0;
}

static void drop(struct iopt *t, struct area *a) {
  unfill_domains(t, a);
  ims_pages_put(a->pages);
  free(a);
}

static int map_slice(struct iopt *t, const struct slice *s, uint64_t iova, unsigned prot) {
  struct area *a = calloc(1, sizeof *a);
  if (!a)
    return -ENOMEM;
  *a = (struct area){
      .iova = iova, .last = iova + (s->length - 1), .pages = s->pages, .start = s->start, .prot = (uint8_t)prot};
  int err = fill_domains(t, a);
  if (err) {
    free(a);
    return err;
  }
  s->pages->refs++;
  ims_area_insert(t, a);
  return 0;
}

int ims_iopt_map(struct iopt *t, const struct slice *s, size_t slices, uint64_t *iova, uint64_t length, unsigned prot,
                 bool fixed) {
  if (!length || length % t->alignment)
    return -EINVAL;
  int err = fixed ? check_place(t, *iova, length) : find_place(t, s->pages->uva + s->start, length, iova);
  for (size_t i = 0; i < slices && !err; i++)
    err = check_slice(t, &s[i], prot);
  uint64_t at = *iova;
  for (size_t i = 0; i < slices && !err; at += s[i++].length)
    if ((err = map_slice(t, &s[i], at, prot)) != 0)
      break;
  if (err && at != *iova) { // what was mapped of it goes
    struct area *next = ims_area_at(t, *iova);
    for (struct area *a; (a = next) != NULL && a->iova < at;) {
      next = a->next;
      ims_area_remove(t, a);
      drop(t, a);
    }
  }
  return err;
}

void ims_slices_free(struct slice *s, size_t slices) {
  for (size_t i = 0; i < slices; i++)
    ims_pages_put(s[i].pages);
  free(s);
}

// Walks the areas that cover [iova, last] without a hole; part: of this area, [at, end].
struct walk {
  uint64_t iova, last;
  struct area *area;
  uint64_t at, end;
};

static int walk_begin(uint64_t iova, uint64_t length, struct walk *w) {
  *w = (struct walk){.iova = iova};
  if (!length)
    return -EINVAL;
  return __builtin_add_overflow(iova, length - 1, &w->last) ? -EOVERFLOW : 0;
}

// 1: another part; 0: all was covered; -ENOENT.
static int walk_next(const struct iopt *t, struct walk *w) {
  if (w->area && w->end == w->last)
    return 0;
  struct area *a = w->area ? w->area->next : ims_area_at(t, w->iova);
  w->at = w->area ? w->end + 1 : w->iova;
  if (!a || a->iova > w->at)
    return -ENOENT;
  w->area = a;
  w->end = a->last < w->last ? a->last : w->last;
  return 1;
}

static uint64_t byte_at(const struct area *a, uint64_t iova) { return a->start + (iova - a->iova); }

int ims_iopt_slices(const struct iopt *t, uint64_t iova, uint64_t length, struct slice **out, size_t *slices) {
  struct walk w;
  size_t room = 0, count = 0;
  struct slice *s = NULL;
  int more, err = walk_begin(iova, length, &w);
  while (!err && (more = walk_next(t, &w)) != 0) {
    if (more > 0 && count == room) {
      room = room ? 2 * room : 4;
      struct slice *bigger = realloc(s, room * sizeof *s);
      if (!bigger) {
        err = -ENOMEM;
        break;
      }
      s = bigger;
    }
    if (more < 0) {
      err = more;
      break;
    }
    w.area->pages->refs++;
    s[count++] = (struct slice){w.area->pages, byte_at(w.area, w.at), w.end - w.at + 1};
  }
  if (err) {
    ims_slices_free(s, count);
    return err;
  }
  *out = s;
  *slices = count;
  return 0;
}

// ---- Unmapping ------------------------------------------------------------------------------------------------------

static void notify_accesses(struct iopt *t, uint64_t iova, uint64_t length) {
  for (struct access *a = t->accesses, *next; a; a = next) {
    next = a->next;
    if (!a->internal && a->unmap)
      a->unmap(a, iova, length);
  }
}

int ims_iopt_unmap(struct iopt *t, uint64_t first, uint64_t last, uint64_t *unmapped) {
  struct area *a;
  *unmapped = 0;
  for (int tries = 0; (a = ims_area_at(t, first)) != NULL && a->iova <= last;) {
    if (a->locks)
      return -EBUSY;
    if (a->iova < first || a->last > last)
      return -ENOENT;
    if (a->iova != first)
      tries = 0;
    if (a->accesses) {
      first = a->iova;
      a->closing = true;
      if (++tries > MAX_TRIES)
        return -EDEADLK;
      notify_accesses(t, a->iova, length_of(a));
      continue;
    }
    uint64_t end = a->last;
    *unmapped += length_of(a);
    ims_area_remove(t, a);
    drop(t, a);
    if (end >= last)
      break;
    first = end + 1;
  }
  return 0;
}

int ims_iopt_cut(struct iopt *t, uint64_t last) {
  struct area *a = ims_area_at(t, last);
  if (!a || a->iova > last || last == a->iova || last == a->last)
    return 0;
  if (a->closing)
    return -EBUSY;
  if (a->pages->kind == PAGES_DMABUF)
    return -EOPNOTSUPP;
  if (((last + 1) | byte_at(a, last + 1)) & (t->alignment - 1))
    return -EINVAL;
  // What an access has pinned is not known well enough, and a large page of a domain cannot be cut.
  if (a->accesses || (t->domains && !t->no_large_pages))
    return -EINVAL;
  struct area *above = calloc(1, sizeof *above);
  if (!above)
    return -ENOMEM;
  *above = (struct area){
      .iova = last + 1, .last = a->last, .pages = a->pages, .start = byte_at(a, last + 1), .prot = a->prot};
  a->pages->refs++;
  ims_area_remove(t, a); // pins are counted by page: the two have together what the one had
  a->last = last;
  ims_area_insert(t, a);
  ims_area_insert(t, above);
  return 0;
}

// ---- Alignment, domains ---------------------------------------------------------------------------------------------

static int check_alignment(const struct iopt *t, uint64_t alignment) {
  for (const struct area *a = t->first; a; a = a->next)
    if ((a->iova | length_of(a) | a->start % t->page) & (alignment - 1))
      return -EADDRINUSE;
  return 0;
}

// -EADDRINUSE: an area does not have the alignment that is needed now.
static int set_alignment(struct iopt *t) {
  uint64_t alignment = t->no_large_pages ? t->page : 1;
  for (size_t i = 0; i < t->domains; i++)
    if (ims_hdomain_page(t->domain[i]) > alignment)
      alignment = ims_hdomain_page(t->domain[i]);
  for (const struct access *a = t->accesses; a; a = a->next)
    if (a->alignment > alignment)
      alignment = a->alignment;
  int err = alignment > t->alignment ? check_alignment(t, alignment) : 0;
  if (!err)
    t->alignment = alignment;
  return err;
}

static int fill_domain(const struct iopt *t, struct hdomain *d) {
  for (const struct area *a = t->first; a; a = a->next) {
    int err = t->domains ? 0 : ims_pages_pin(a->pages, first_page(a), page_count(a));
    if (!err && (err = fill(t, d, a)) != 0 && !t->domains)
      ims_pages_unpin(a->pages, first_page(a), page_count(a));
    if (!err)
      continue;
    while ((a = a->prev) != NULL) {
      unfill(d, a);
      if (!t->domains)
        ims_pages_unpin(a->pages, first_page(a), page_count(a));
    }
    return err;
  }
  return 0;
}

int ims_iopt_add_domain(struct iopt *t, struct hdomain *d) {
  struct hdomain **more = realloc(t->domain, (t->domains + 1) * sizeof(struct hdomain *));
  if (!more)
    return -ENOMEM;
  t->domain = more;
  uint64_t first, last, page = ims_hdomain_page(d);
  if (page < t->alignment)
    page = t->alignment;
  if (page > t->page)
    return -EINVAL;
  int err = page != t->alignment ? check_alignment(t, page) : 0;
  if (err)
    return err;
  ims_hdomain_aperture(d, &first, &last);
  if (first)
    err = ims_iopt_reserve(t, 0, first - 1, d);
  if (!err && last != ~0ull)
    err = ims_iopt_reserve(t, last + 1, ~0ull, d);
  if (!err)
    err = fill_domain(t, d);
  if (err) {
    ims_iopt_unreserve(t, d);
    return err;
  }
  t->domain[t->domains++] = d;
  t->alignment = page;
  return 0;
}

void ims_iopt_remove_domain(struct iopt *t, struct hdomain *d) {
  size_t i = 0;
  while (i < t->domains && t->domain[i] != d)
    i++;
  if (i == t->domains)
    return;
  t->domain[i] = t->domain[--t->domains];
  for (const struct area *a = t->first; a; a = a->next) {
    unfill(d, a);
    if (!t->domains)
      ims_pages_unpin(a->pages, first_page(a), page_count(a));
  }
  ims_iopt_unreserve(t, d);
  set_alignment(t);
}

int ims_iopt_large_pages(struct iopt *t, bool on) {
  if (!on && !t->no_large_pages && t->domains && t->first)
    return -EINVAL; // they may be in use
  bool before = t->no_large_pages;
  t->no_large_pages = !on;
  int err = set_alignment(t);
  if (err)
    t->no_large_pages = before;
  return err;
}

// ---- In-kernel users ------------------------------------------------------------------------------------------------

int ims_iopt_add_access(struct iopt *t, struct access *a) {
  struct access **end = &t->accesses;
  while (*end)
    end = &(*end)->next;
  a->next = NULL;
  *end = a;
  int err = set_alignment(t);
  if (err)
    *end = NULL;
  return err;
}

void ims_iopt_remove_access(struct iopt *t, struct access *a) {
  for (struct access **at = &t->accesses; *at; at = &(*at)->next)
    if (*at == a) {
      *at = a->next;
      break;
    }
  set_alignment(t);
}

static bool permits(const struct area *a, unsigned flags) {
  return a->prot & (flags & ACCESS_WRITE ? IMS_PROT_WRITE : IMS_PROT_READ);
}

// First page of the part, and how many.
static uint64_t part_pages(const struct walk *w, uint64_t *count) {
  uint64_t first = byte_at(w->area, w->at) / IMS_PAGE_SIZE;
  *count = byte_at(w->area, w->end) / IMS_PAGE_SIZE - first + 1;
  return first;
}

static int pin_part(const struct access *a, const struct walk *w, unsigned flags, uint64_t **hpa) {
  struct area *area = w->area;
  uint64_t count, first = part_pages(w, &count);
  // Parts must meet at ends of pages; else the pages would not lie one behind the other.
  if (area->closing || byte_at(area, w->at) % IMS_PAGE_SIZE ||
      (w->end != w->last && byte_at(area, area->last) % IMS_PAGE_SIZE != IMS_PAGE_SIZE - 1))
    return -EINVAL;
  if (!permits(area, flags) || ((flags & ACCESS_WRITE) && !area->pages->writable))
    return -EPERM;
  if (area->pages->kind == PAGES_DMABUF)
    return -EINVAL;
  int err = ims_pages_pin(area->pages, first, count);
  if (err)
    return err;
  area->accesses++;
  area->locks += a->internal;
  for (uint64_t run, i = 0; *hpa && i < count; i += run) {
    uint64_t at = ims_pages_hpa(area->pages, first + i, &run);
    for (uint64_t n = 0; n < run && i + n < count; n++)
      *(*hpa)++ = at + n * IMS_PAGE_SIZE;
  }
  return 0;
}

int ims_iopt_pin_range(struct iopt *t, struct access *a, uint64_t iova, uint64_t length, unsigned flags,
                       uint64_t *hpa) {
  struct walk w;
  if (a->alignment != IMS_PAGE_SIZE || (!a->internal && !a->unmap))
    return -EINVAL;
  int err = walk_begin(iova, length, &w);
  if (err)
    return err;
  int more;
  while ((more = walk_next(t, &w)) > 0)
    if ((more = pin_part(a, &w, flags, &hpa)) < 0)
      break;
  if (more < 0 && w.at > iova)
    ims_iopt_unpin_range(t, a, iova, w.at - iova);
  return more;
}

void ims_iopt_unpin_range(struct iopt *t, struct access *a, uint64_t iova, uint64_t length) {
  struct walk w;
  if (walk_begin(iova, length, &w))
    return;
  while (walk_next(t, &w) > 0) {
    uint64_t count, first = part_pages(&w, &count);
    if (!w.area->accesses)
      return; // not what was pinned
    ims_pages_unpin(w.area->pages, first, count);
    w.area->accesses--;
    w.area->locks -= a->internal;
  }
}

int ims_iopt_in_one_piece(const struct iopt *t, uint64_t iova, uint64_t length, uint64_t *hpa) {
  struct walk w;
  uint64_t next = 0;
  int more, err = walk_begin(iova, length, &w);
  while (!err && (more = walk_next(t, &w)) > 0) {
    uint64_t run, count, page = part_pages(&w, &count);
    for (; count; count -= run, page += run) {
      uint64_t at = ims_pages_hpa(w.area->pages, page, &run);
      if (!run || (next && at != next))
        return -EFAULT;
      if (!next)
        *hpa = at;
      if (run > count)
        run = count;
      next = at + run * IMS_PAGE_SIZE;
    }
  }
  return err;
}

int ims_iopt_rw(struct iopt *t, const struct ims_process *caller, uint64_t iova, void *data, uint64_t length,
                unsigned flags) {
  struct walk w;
  uint8_t *to = data;
  int more, err = walk_begin(iova, length, &w);
  if (err)
    return err;
  while ((more = walk_next(t, &w)) > 0) {
    uint64_t n = w.end - w.at + 1;
    if (w.area->closing)
      return -EINVAL;
    if (!permits(w.area, flags))
      return -EPERM;
    err = ims_pages_copy(w.area->pages, caller, byte_at(w.area, w.at), to, n, flags);
    if (err)
      return err;
    to += n;
  }
  return more;
}
