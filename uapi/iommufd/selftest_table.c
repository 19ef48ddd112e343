// SPDX-License-Identifier: Apache-2.0
// Page tables of the mock driver: what was mapped, as a sorted list. A leaf is the largest block that is aligned alike in
// iova and hpa and lies within what was mapped as one piece, as a table that knows all powers of two would have it. Each
// has one dirty bit. Facts 6.2; Linux 7.x, iommufd/selftest.c.
#include "uapi/iommufd/selftest_internal.h"
#include <stdlib.h>

// Neighbouring pieces that were mapped one page at a time are kept as one, with the size of the page as limit of leaves.
struct extent {
  uint64_t iova, size, hpa;
  uint8_t shift;   // no leaf is larger
  uint64_t *dirty; // bits, by the smallest page: set for all of a leaf at once; NULL: nothing is
};

struct table {
  struct extent *e; // by iova
  size_t count, room;
  uint64_t sizes; // of leaves, as bits
  bool split, tracking;
};

static struct table *table_of(const struct paging *p) { return p->soft_state; }

static uint64_t end_of(const struct extent *e) { return e->iova + e->size; }

// Index of the first extent that ends behind iova.
static size_t at(const struct table *t, uint64_t iova) {
  size_t low = 0, high = t->count;
  while (low < high) {
    size_t mid = (low + high) / 2;
    if (end_of(&t->e[mid]) <= iova)
      low = mid + 1;
    else
      high = mid;
  }
  return low;
}

static struct extent *find(const struct table *t, uint64_t iova) {
  size_t i = at(t, iova);
  return i < t->count && t->e[i].iova <= iova ? &t->e[i] : NULL;
}

static bool make_room(struct table *t, size_t more) {
  if (t->count + more <= t->room)
    return true;
  size_t room = t->room ? 2 * t->room : 16;
  struct extent *e = realloc(t->e, room * sizeof *e);
  if (!e)
    return false;
  t->e = e;
  t->room = room;
  return true;
}

static size_t words(uint64_t size) { return (size_t)(size / IMS_MOCK_PAGE + 63) / 64; }

// ---- Dirty bits -----------------------------------------------------------------------------------------------------

static void mark(struct extent *e, uint64_t iova, uint64_t size, bool on) {
  for (uint64_t i = (iova - e->iova) / IMS_MOCK_PAGE, n = size / IMS_MOCK_PAGE; n; i++, n--)
    if (on)
      e->dirty[i / 64] |= 1ull << i % 64;
    else
      e->dirty[i / 64] &= ~(1ull << i % 64);
}

static bool marked(const struct extent *e, uint64_t iova) {
  uint64_t i = (iova - e->iova) / IMS_MOCK_PAGE;
  return e->dirty && (e->dirty[i / 64] >> i % 64 & 1);
}

// The leaf that maps iova: the largest size that is permitted, aligned in both spaces and within the extent.
static uint64_t leaf_of(const struct table *t, const struct extent *e, uint64_t iova, uint64_t *first) {
  for (unsigned shift = e->shift; shift; shift--) {
    uint64_t size = 1ull << shift, base = iova & ~(size - 1);
    if ((t->sizes & size) && base >= e->iova && base + size <= end_of(e) &&
        !((e->hpa + (base - e->iova)) & (size - 1))) {
      *first = base;
      return size;
    }
  }
  *first = iova & ~(uint64_t)(IMS_MOCK_PAGE - 1);
  return IMS_MOCK_PAGE;
}

bool ims_mock_table_touch(struct paging *p, uint64_t iova) {
  struct table *t = table_of(p);
  struct extent *e = find(t, iova);
  uint64_t first;
  if (!e)
    return false;
  if (!e->dirty && !(e->dirty = calloc(words(e->size), sizeof *e->dirty)))
    return false;
  uint64_t size = leaf_of(t, e, iova, &first);
  mark(e, first, size, true);
  return true;
}

static int read_dirty(struct paging *p, uint64_t iova, uint64_t size, bool clear, ims_pgt_dirty report, void *ctx) {
  struct table *t = table_of(p);
  const uint64_t last = iova + size - 1;
  for (size_t i = at(t, iova); i < t->count && t->e[i].iova <= last; i++) {
    struct extent *e = &t->e[i];
    uint64_t first;
    for (uint64_t a = e->iova > iova ? e->iova : iova; e->dirty && a < end_of(e) && a <= last;) {
      uint64_t leaf = leaf_of(t, e, a, &first);
      if (marked(e, a)) {
        report(ctx, first, leaf);
        if (clear)
          mark(e, first, leaf, false);
      }
      a = first + leaf;
    }
  }
  return 0;
}

// ---- Mapping --------------------------------------------------------------------------------------------------------

static int map(struct paging *p, uint64_t iova, uint64_t hpa, uint64_t size, unsigned prot) {
  struct table *t = table_of(p);
  size_t i = at(t, iova);
  (void)prot;
  if (i < t->count && t->e[i].iova < iova + size)
    return -EEXIST;
  uint8_t shift = (uint8_t)(63 - __builtin_clzll(size));
  if (size == IMS_PAGE_SIZE && t->split)
    shift = (uint8_t)(shift - 1);
  struct extent *before = i ? &t->e[i - 1] : NULL;
  // A page that goes on where the last one ended, in iova and in hpa: leaves are not larger for it.
  if (before && size == IMS_PAGE_SIZE && before->shift == shift && !before->dirty && end_of(before) == iova &&
      before->hpa + before->size == hpa && !((iova | hpa) & (IMS_PAGE_SIZE - 1))) {
    before->size += size;
    return 0;
  }
  if (!make_room(t, 1))
    return -ENOMEM;
  memmove(&t->e[i + 1], &t->e[i], (t->count - i) * sizeof *t->e);
  t->e[i] = (struct extent){.iova = iova, .size = size, .hpa = hpa, .shift = shift};
  t->count++;
  return 0;
}

// Keeps [first, first+size) of an extent, with its dirty bits.
static struct extent part(const struct extent *e, uint64_t first, uint64_t size) {
  struct extent n = {.iova = first, .size = size, .hpa = e->hpa + (first - e->iova), .shift = e->shift};
  if (e->dirty && (n.dirty = calloc(words(size), sizeof *n.dirty)) != NULL)
    for (uint64_t a = first; a < first + size; a += IMS_MOCK_PAGE)
      if (marked(e, a))
        mark(&n, a, IMS_MOCK_PAGE, true);
  return n;
}

static void unmap(struct paging *p, uint64_t iova, uint64_t size) {
  struct table *t = table_of(p);
  size_t i = at(t, iova), from = i, kept = 0;
  struct extent rest[2];
  while (i < t->count && t->e[i].iova < iova + size) {
    struct extent *e = &t->e[i++];
    if (e->iova < iova)
      rest[kept++] = part(e, e->iova, iova - e->iova);
    if (end_of(e) > iova + size)
      rest[kept++] = part(e, iova + size, end_of(e) - (iova + size));
    free(e->dirty);
  }
  if (kept > i - from && !make_room(t, 1)) // one cut in two, and no memory: what lies behind is lost
    free(rest[--kept].dirty);
  memmove(&t->e[from + kept], &t->e[i], (t->count - i) * sizeof *t->e);
  memcpy(&t->e[from], rest, kept * sizeof *rest);
  t->count = t->count - (i - from) + kept;
}

static int lookup(const struct paging *p, uint64_t iova, uint64_t *hpa, uint64_t *left) {
  const struct extent *e = find(table_of(p), iova);
  if (!e)
    return -ENOENT;
  *hpa = e->hpa + (iova - e->iova);
  *left = end_of(e) - iova;
  return 0;
}

static void release(struct paging *p) {
  struct table *t = table_of(p);
  for (size_t i = 0; i < t->count; i++)
    free(t->e[i].dirty);
  free(t->e);
  free(t);
}

static const struct soft_ops table_ops = {.page = IMS_MOCK_PAGE,
                                          .first = IMS_MOCK_APERTURE_FIRST,
                                          .last = IMS_MOCK_APERTURE_LAST,
                                          .map = map,
                                          .unmap = unmap,
                                          .lookup = lookup,
                                          .read_dirty = read_dirty,
                                          .free = release};
enum { HUGE_BITS = 56 }; // of addresses, without the aperture
static const struct soft_ops huge_table_ops = {.page = IMS_PAGE_SIZE,
                                               .first = 0,
                                               .last = (1ull << HUGE_BITS) - 1,
                                               .map = map,
                                               .unmap = unmap,
                                               .lookup = lookup,
                                               .read_dirty = read_dirty,
                                               .free = release};

int ims_mock_table_init(struct paging *out, bool huge, bool split) {
  struct table *t = calloc(1, sizeof *t);
  if (!t)
    return -ENOMEM;
  t->sizes = huge ? IMS_MOCK_HUGE_PAGE | IMS_PAGE_SIZE : ~(uint64_t)(IMS_MOCK_PAGE - 1);
  t->split = split;
  out->soft = huge ? &huge_table_ops : &table_ops;
  out->soft_state = t;
  return 0;
}
