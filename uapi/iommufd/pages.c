// SPDX-License-Identifier: Apache-2.0
// User memory behind areas: pinned while some domain or access needs it, each page once (Facts 3.4; Linux 7.x, iommufd/pages.c).
#include "uapi/iommufd/internal.h"
#include <stdlib.h>

struct pages *ims_pages_new(struct ims_process *mm, uint64_t uva, uint64_t npages, bool writable) {
  struct pages *p = calloc(1, sizeof *p);
  if (!p)
    return NULL;
  p->mm = mm;
  p->uva = uva;
  p->npages = npages;
  p->writable = writable;
  p->refs = 1;
  return p;
}

static void drop_runs(struct pages *p) {
  for (size_t i = 0; i < p->runs; i++)
    ims_mm_pin(p->mm, p->run[i].hpa, p->run[i].count * IMS_PAGE_SIZE, false);
  p->runs = 0;
}

void ims_pages_put(struct pages *p) {
  if (--p->refs)
    return;
  drop_runs(p);
  free(p->run);
  free(p->part);
  free(p);
}

static bool add_run(struct pages *p, uint64_t index, uint64_t count, uint64_t hpa) {
  struct run *last = p->runs ? &p->run[p->runs - 1] : NULL;
  if (last && last->index + last->count == index && last->hpa + last->count * IMS_PAGE_SIZE == hpa) {
    last->count += count;
    return true;
  }
  if (p->runs == p->run_room) {
    size_t room = p->run_room ? 2 * p->run_room : 4;
    struct run *more = realloc(p->run, room * sizeof *more);
    if (!more)
      return false;
    p->run = more;
    p->run_room = room;
  }
  p->run[p->runs++] = (struct run){index, count, hpa};
  return true;
}

int ims_pages_pin(struct pages *p, uint64_t first, uint64_t count) {
  if (p->whole++)
    return 0;
  int err = 0;
  for (uint64_t i = 0; i < p->npages && !err;) {
    uint64_t hpa, left;
    err = ims_mm_page(p->mm, p->uva + i * IMS_PAGE_SIZE, p->writable ? IMS_PROT_READ | IMS_PROT_WRITE : IMS_PROT_READ,
                      &hpa, &left);
    if (err)
      break;
    uint64_t n = left / IMS_PAGE_SIZE < p->npages - i ? left / IMS_PAGE_SIZE : p->npages - i;
    if (!add_run(p, i, n, hpa)) {
      err = -ENOMEM;
      break;
    }
    ims_mm_pin(p->mm, hpa, n * IMS_PAGE_SIZE, true);
    i += n;
  }
  (void)first;
  (void)count;
  if (err) {
    drop_runs(p);
    p->whole--;
  }
  return err;
}

void ims_pages_unpin(struct pages *p, uint64_t first, uint64_t count) {
  (void)first;
  (void)count;
  if (!--p->whole)
    drop_runs(p);
}

uint64_t ims_pages_hpa(const struct pages *p, uint64_t index, uint64_t *count) {
  size_t low = 0, high = p->runs;
  while (high - low > 1) {
    size_t mid = (low + high) / 2;
    if (p->run[mid].index <= index)
      low = mid;
    else
      high = mid;
  }
  const struct run *r = &p->run[low];
  *count = r->count - (index - r->index);
  return r->hpa + (index - r->index) * IMS_PAGE_SIZE;
}
