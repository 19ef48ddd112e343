// SPDX-License-Identifier: Apache-2.0
// Dirty tracking of a paging table: switched on and off, and what was written read into a bitmap of user memory
// (Facts 3.8; Linux 7.x, iommufd/io_pagetable.c and iova_bitmap.c).
#include "uapi/iommufd/iommufd_internal.h"

// ---- The bitmap -----------------------------------------------------------------------------------------------------

// Bit (address - iova) >> shift of user memory. Bits are ORed in; the word at hand is kept and written when another one is
// needed. What cannot be read or written is left out, and nobody is told.
struct bitmap {
  const struct ims_process *process;
  uint64_t data, iova, last;
  uint64_t first_dirty, last_dirty; // what was reported, for the flush
  uint64_t at;                      // the word at hand; ~0: none
  uint64_t word;
  unsigned shift;
  bool any, wanted; // wanted: there is a bitmap
};

enum { WORD_BITS = 64 };

// The last word of the bitmap may end before its eighth byte.
static size_t word_bytes(const struct bitmap *b, uint64_t at) {
  uint64_t bytes = ((b->last - b->iova) >> b->shift) / 8 + 1, off = at * 8;
  return bytes - off < 8 ? (size_t)(bytes - off) : 8;
}

static void write_back(struct bitmap *b) {
  if (b->at != ~0ull)
    ims_user_write(b->process, b->data + b->at * 8, &b->word, word_bytes(b, b->at));
  b->at = ~0ull;
}

static bool fetch(struct bitmap *b, uint64_t at) {
  if (b->at == at)
    return true;
  write_back(b);
  b->word = 0;
  if (!ims_user_read(b->process, &b->word, b->data + at * 8, word_bytes(b, at)))
    return false;
  b->at = at;
  return true;
}

static void set_bits(struct bitmap *b, uint64_t first, uint64_t last) {
  for (;;) {
    unsigned low = (unsigned)(first % WORD_BITS);
    uint64_t n = WORD_BITS - low;
    if (n > last - first)
      n = last - first + 1;
    if (fetch(b, first / WORD_BITS))
      b->word |= (n == WORD_BITS ? ~0ull : (1ull << n) - 1) << low;
    if (last - first < n)
      return;
    first += n;
  }
}

// A leaf sets all its bits that lie in the range asked for, and is flushed whole.
static void record(void *ctx, uint64_t in, uint64_t size) {
  struct bitmap *b = ctx;
  uint64_t end = in + (size - 1), first = in > b->iova ? in : b->iova, last = end < b->last ? end : b->last;
  if (!b->any || in < b->first_dirty)
    b->first_dirty = in;
  if (!b->any || end > b->last_dirty)
    b->last_dirty = end;
  b->any = true;
  if (b->wanted && first <= last)
    set_bits(b, (first - b->iova) >> b->shift, (last - b->iova) >> b->shift);
}

// ---- Reading --------------------------------------------------------------------------------------------------------

// Every area that meets [first, last], one after the other; not `holes`: up to the first hole.
static int read_areas(const struct iopt *t, struct hdomain *d, uint64_t first, uint64_t last, bool holes, bool clear,
                      struct bitmap *b) {
  int err = 0;
  for (const struct area *a = ims_area_at(t, first); a && a->iova <= last && !err; a = a->next) {
    uint64_t from = a->iova > first ? a->iova : first, to = a->last < last ? a->last : last;
    if (!holes && a->iova > first)
      break;
    err = ims_hdomain_read_dirty(d, from, to - from + 1, clear, record, b);
    if (to == last)
      break;
    first = to + 1;
  }
  write_back(b);
  if (clear && b->any)
    ims_hdomain_flush(d, b->first_dirty, b->last_dirty, true);
  return err;
}

long ims_cmd_iommu_hwpt_set_dirty_tracking(struct ucmd *u, struct ims_iommu_hwpt_set_dirty_tracking *c) {
  if (c->flags & ~(uint32_t)IMS_SET_DIRTY_ENABLE)
    return -EOPNOTSUPP;
  struct hwpt_paging *h = FIND(u->ctx, c->hwpt_id, HWPT_PAGING, hwpt_paging);
  if (!h)
    return -ENOENT;
  if (!h->h.d->paging->tracks)
    return -EOPNOTSUPP;
  bool on = c->flags & IMS_SET_DIRTY_ENABLE;
  struct bitmap none = {.process = u->process, .at = ~0ull};
  // It starts clean.
  int err = on ? read_areas(&h->ioas->iopt, h->h.d, 0, ~0ull, true, true, &none) : 0;
  return err ? err : ims_hdomain_set_dirty(h->h.d, on);
}

static int check_range(const struct iopt *t, const struct ims_iommu_hwpt_get_dirty_bitmap *c, uint64_t *last) {
  if (!c->length)
    return -EINVAL;
  if (__builtin_add_overflow(c->iova, c->length - 1, last))
    return -EOVERFLOW;
  if ((c->iova & (t->alignment - 1)) || ((*last + 1) & (t->alignment - 1)) || !c->page_size)
    return -EINVAL;
  return (c->iova & (c->page_size - 1)) || ((*last + 1) & (c->page_size - 1)) ? -EINVAL : 0;
}

// What cannot be read or written on the way is not told: the call succeeds with what was done (Linux 7.3).
long ims_cmd_iommu_hwpt_get_dirty_bitmap(struct ucmd *u, struct ims_iommu_hwpt_get_dirty_bitmap *c) {
  uint64_t last;
  if ((c->flags & ~(uint32_t)IMS_GET_DIRTY_NO_CLEAR) || c->reserved)
    return -EOPNOTSUPP;
  struct hwpt_paging *h = FIND(u->ctx, c->hwpt_id, HWPT_PAGING, hwpt_paging);
  if (!h)
    return -ENOENT;
  int err = check_range(&h->ioas->iopt, c, &last);
  if (err)
    return err;
  if (!h->h.d->paging->tracks)
    return -EOPNOTSUPP;
  struct bitmap b = {.process = u->process,
                     .data = c->data,
                     .iova = c->iova,
                     .last = last,
                     .shift = (unsigned)__builtin_ctzll(c->page_size),
                     .wanted = true,
                     .at = ~0ull};
  read_areas(&h->ioas->iopt, h->h.d, c->iova, last, false, !(c->flags & IMS_GET_DIRTY_NO_CLEAR), &b);
  return 0;
}
