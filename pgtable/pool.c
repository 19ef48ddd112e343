// SPDX-License-Identifier: Apache-2.0
// Pages of simulated memory: a bit a page, the lowest free block first.
#include "pgtable/pool.h"
#include <stdlib.h>

static bool is_used(const struct ims_page_pool *pool, uint64_t page) { return pool->used[page / 64] >> page % 64 & 1; }

static void mark(struct ims_page_pool *pool, uint64_t page, uint64_t count, bool used) {
  for (uint64_t i = page; i < page + count; i++) {
    if (used)
      pool->used[i / 64] |= 1ull << i % 64;
    else
      pool->used[i / 64] &= ~(1ull << i % 64);
  }
}

int ims_page_pool_init(struct ims_page_pool *pool, struct ims_mem *mem, uint64_t base, uint64_t size) {
  uint64_t mask = (1ull << IMS_PAGE_POOL_SHIFT) - 1;
  *pool = (struct ims_page_pool){.mem = mem, .base = base, .size = size};
  if (!size || ((base | size) & mask))
    return IMS_ERR_INVAL;
  if (base + size < base || base + size > 1ull << IMS_MEM_ADDR_BITS)
    return IMS_ERR_RANGE;
  pool->used = calloc(((size >> IMS_PAGE_POOL_SHIFT) + 63) / 64, sizeof *pool->used);
  return pool->used ? IMS_ERR_OK : IMS_ERR_NOMEM;
}

void ims_page_pool_fini(struct ims_page_pool *pool) {
  free(pool->used);
  *pool = (struct ims_page_pool){0};
}

int ims_page_pool_alloc(struct ims_page_pool *pool, unsigned log2size, uint64_t *hpa) {
  unsigned shift = log2size < IMS_PAGE_POOL_SHIFT ? IMS_PAGE_POOL_SHIFT : log2size;
  uint64_t pages = pool->size >> IMS_PAGE_POOL_SHIFT, first = pool->base >> IMS_PAGE_POOL_SHIFT;
  if (shift >= IMS_MEM_ADDR_BITS)
    return IMS_ERR_NOSPACE;
  uint64_t count = 1ull << (shift - IMS_PAGE_POOL_SHIFT);
  while (pool->low < pages && is_used(pool, pool->low))
    pool->low++;

  // Candidates are aligned by address, not by place in the pool.
  for (uint64_t at = ((first + pool->low + count - 1) & ~(count - 1)) - first; at < pages && pages - at >= count;) {
    uint64_t n = 0;
    while (n < count && !is_used(pool, at + n))
      n++;
    if (n < count) {
      at += count;
      continue;
    }
    uint64_t addr = (first + at) << IMS_PAGE_POOL_SHIFT;
    int err = ims_mem_fill(pool->mem, addr, 0, 1ull << shift);
    if (err)
      return err;
    mark(pool, at, count, true);
    pool->in_use += 1ull << shift;
    *hpa = addr;
    return IMS_ERR_OK;
  }
  return IMS_ERR_NOSPACE;
}

int ims_page_pool_free(struct ims_page_pool *pool, uint64_t hpa, unsigned log2size) {
  unsigned shift = log2size < IMS_PAGE_POOL_SHIFT ? IMS_PAGE_POOL_SHIFT : log2size;
  bool ok = shift < IMS_MEM_ADDR_BITS && !(hpa & ((1ull << shift) - 1)) && hpa >= pool->base &&
            hpa - pool->base < pool->size && pool->size - (hpa - pool->base) >= 1ull << shift;
  uint64_t at = (hpa - pool->base) >> IMS_PAGE_POOL_SHIFT, count = ok ? 1ull << (shift - IMS_PAGE_POOL_SHIFT) : 0;
  for (uint64_t i = 0; i < count && ok; i++)
    ok = is_used(pool, at + i);
  if (!ok) {
    pool->bad_frees++;
    return IMS_ERR_INVAL;
  }
  mark(pool, at, count, false);
  pool->in_use -= 1ull << shift;
  if (at < pool->low)
    pool->low = at;
  return IMS_ERR_OK;
}

static int pool_load64(void *ctx, uint64_t addr, uint64_t *value) {
  return ims_mem_load64(((struct ims_page_pool *)ctx)->mem, addr, value);
}

static int pool_store64(void *ctx, uint64_t addr, uint64_t value) {
  return ims_mem_store64(((struct ims_page_pool *)ctx)->mem, addr, value);
}

static int pool_cas64(void *ctx, uint64_t addr, uint64_t old, uint64_t desired, uint64_t *seen) {
  return ims_mem_cas64(((struct ims_page_pool *)ctx)->mem, addr, old, desired, seen);
}

static int pool_alloc(void *ctx, unsigned log2size, uint64_t *addr) { return ims_page_pool_alloc(ctx, log2size, addr); }

static void pool_free(void *ctx, uint64_t addr, unsigned log2size) { ims_page_pool_free(ctx, addr, log2size); }

struct ims_pgt_mem ims_page_pool_pgt_mem(struct ims_page_pool *pool) {
  return (struct ims_pgt_mem){.ctx = pool,
                              .load64 = pool_load64,
                              .store64 = pool_store64,
                              .alloc = pool_alloc,
                              .free = pool_free,
                              .cas64 = pool_cas64};
}
