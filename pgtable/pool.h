// SPDX-License-Identifier: Apache-2.0
// Pages of simulated memory for whoever needs some: page tables, directories, queues.
//
// A pool hands out naturally aligned blocks of 2^n bytes, 4 KB at least, out of one range of struct ims_mem. The same
// calls give the same addresses: the lowest block that is free. What is in use is kept on the host's side, so nothing
// that simulated software or hardware writes can harm it.
#pragma once

#include "mem/mem.h"
#include "pgtable/build.h"

#ifdef __cplusplus
extern "C" {
#endif

#define IMS_PAGE_POOL_SHIFT 12

struct ims_page_pool {
  struct ims_mem *mem; // not owned
  uint64_t base, size; // hpa and bytes of the range
  uint64_t in_use;     // bytes handed out
  uint64_t bad_frees;  // blocks given back that were not out; they were ignored
  uint64_t low;        // no page below this index is free
  uint64_t *used;      // a bit for each page
};

// Takes [base, base+size), page-aligned; the memory need not be there yet. INVAL misaligned or empty, RANGE the range
// passes 52 bits, NOMEM. ims_page_pool_fini releases what the pool itself holds and leaves memory alone.
int ims_page_pool_init(struct ims_page_pool *pool, struct ims_mem *mem, uint64_t base, uint64_t size);
void ims_page_pool_fini(struct ims_page_pool *pool);

// A block of 2^log2size bytes, filled with zero. Sizes below a page count as a page. NOSPACE: no such block is free;
// BUS: memory is absent there. On error nothing was taken.
int ims_page_pool_alloc(struct ims_page_pool *pool, unsigned log2size, uint64_t *hpa);

// Gives a block back. INVAL: it is not one that is out (counted in bad_frees); nothing happens then.
int ims_page_pool_free(struct ims_page_pool *pool, uint64_t hpa, unsigned log2size);

// The pool as page-table memory: tables are allocated here, loads and stores may go anywhere in pool->mem.
// Valid as long as the pool stays where it is.
struct ims_pgt_mem ims_page_pool_pgt_mem(struct ims_page_pool *pool);

#ifdef __cplusplus
}
#endif
