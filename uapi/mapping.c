// SPDX-License-Identifier: Apache-2.0
// What a paging domain maps: its tables edited, and what caches hold of them invalidated.
#include "uapi/kernel_internal.h"
#include <stdlib.h>

static unsigned perm_of(unsigned prot) {
  return (prot & IMS_PROT_READ ? (unsigned)IMS_PERM_R : 0u) | (prot & IMS_PROT_WRITE ? (unsigned)IMS_PERM_W : 0u);
}

// Stores to a first stage of the host's own are told as such.
static const char first_stage[] = "first-stage table entry";

static int s1_store(void *ctx, uint64_t addr, uint64_t value) {
  return ims_store(ctx, NULL, ~0u, first_stage, addr, value);
}

static int s1_cas(void *ctx, uint64_t addr, uint64_t old, uint64_t desired, uint64_t *seen) {
  return ims_cas(ctx, first_stage, addr, old, desired, seen);
}

static struct ims_pgt_mem tables_of(const struct hdomain *d) {
  struct ims_pgt_mem mem = d->k->tables;
  if (d->paging->s1) {
    mem.store64 = s1_store;
    mem.cas64 = s1_cas;
  }
  return mem;
}

int ims_hdomain_map(struct hdomain *d, uint64_t iova, uint64_t hpa, uint64_t size, unsigned prot) {
  struct paging *p = d->paging;
  if (p->soft)
    return p->soft->map(p, iova, hpa, size, prot);
  if (p->writable && !(prot & IMS_PROT_WRITE))
    return -EINVAL;
  unsigned flags = p->map_flags & (prot & IMS_PROT_WRITE ? ~0u : ~(unsigned)IMS_MAP_D);
  const struct ims_pgt_mem mem = tables_of(d);
  int err = ims_pgt_map(&p->pgt, &mem, iova, hpa, size, perm_of(prot) | p->map_perm, flags, 0);
  return err ? ims_errno(err) : 0;
}

struct reaped {
  uint64_t *table;
  size_t count, room;
  unsigned log2size; // of each: a granule
};

static void reap(void *ctx, uint64_t table, unsigned log2size) {
  struct reaped *r = ctx;
  r->log2size = log2size;
  if (r->count == r->room) {
    size_t room = r->room ? 2 * r->room : 16;
    uint64_t *more = realloc(r->table, room * sizeof *more);
    if (!more)
      return; // the page is lost, which is better than given out too early
    r->table = more;
    r->room = room;
  }
  r->table[r->count++] = table;
}

// Unmapped, invalidated, and only then are tables free for other uses.
void ims_hdomain_unmap(struct hdomain *d, uint64_t iova, uint64_t size) {
  if (d->paging->soft) {
    d->paging->soft->unmap(d->paging, iova, size);
    return;
  }
  struct reaped r = {0};
  struct ims_pgt_gather g = {.reap = reap, .ctx = &r};
  const struct ims_pgt_mem mem = tables_of(d);
  ims_pgt_unmap(&d->paging->pgt, &mem, iova, size, 0, &g);
  if (g.unmapped)
    ims_hdomain_flush(d, iova, iova + size - 1, !g.tables);
  for (size_t i = 0; i < r.count; i++)
    ims_pool_free(d->k, r.table[i], r.log2size);
  free(r.table);
}

int ims_hdomain_lookup(struct hdomain *d, uint64_t iova, uint64_t *hpa, uint64_t *left) {
  struct ims_pgt_leaf leaf;
  if (d->paging->soft)
    return d->paging->soft->lookup(d->paging, iova, hpa, left);
  int err = ims_pgt_lookup(&d->paging->pgt, &d->k->tables, iova, &leaf);
  if (err)
    return -ENOENT;
  *hpa = leaf.out;
  *left = (1ull << leaf.shift) - (iova & ((1ull << leaf.shift) - 1));
  return 0;
}

int ims_hdomain_read_dirty(struct hdomain *d, uint64_t iova, uint64_t size, bool clear, ims_pgt_dirty report,
                           void *ctx) {
  struct paging *p = d->paging;
  if (!p->tracks)
    return -EOPNOTSUPP;
  if (p->soft)
    return p->soft->read_dirty ? p->soft->read_dirty(p, iova, size, clear, report, ctx) : -EOPNOTSUPP;
  const struct ims_pgt_mem mem = tables_of(d);
  int err = ims_pgt_read_dirty(&p->pgt, &mem, iova, size, clear, report, ctx);
  return err ? ims_errno(err) : 0;
}

uint64_t ims_hdomain_page(const struct hdomain *d) {
  return d->paging->soft ? d->paging->soft->page : 1ull << d->paging->fmt.page_shift;
}

void ims_hdomain_aperture(const struct hdomain *d, uint64_t *first, uint64_t *last) {
  const struct paging *p = d->paging;
  *first = p->soft ? p->soft->first : 0;
  // x86: of the two canonical halves the lower one.
  unsigned bits = p->pgt.in_bits - (p->fmt.kind == IMS_PGT_X86_FS);
  *last = p->soft ? p->soft->last : bits >= 64 ? ~0ull : (1ull << bits) - 1;
}
