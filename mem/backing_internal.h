// SPDX-License-Identifier: Apache-2.0
// What the files of mem/ share: host mappings behind regions, adding regions in bulk, and a scan over all pages.
// Not for other folders.
#pragma once

#include "mem/mem.h"

#ifdef __cplusplus
extern "C" {
#endif

#define IMS_MEM_PAGE     4096u // page of the simulated machine; the grid on which zeros are looked for
#define IMS_MEM_ADDR_END (1ull << IMS_MEM_ADDR_BITS)

// One mmap of the host. `live` counts the bytes that regions use of it; at 0 it is unmapped.
struct ims_mem_backing {
  struct ims_mem_backing *next;
  uint8_t *addr;
  size_t len;
  uint64_t live;
};

// Reserves zero-filled host memory without committing it. NULL when the host refuses.
uint8_t *ims_mem_map_anon(uint64_t size);

// Makes `m` the owner of a mapping. Takes `node` (from malloc), so that this step cannot fail.
void ims_mem_own(struct ims_mem *m, struct ims_mem_backing *node, uint8_t *addr, size_t len, uint64_t live);

// Adds `n` regions, sorted by base and apart from each other, all below 2^52; joins neighbours that also touch in host
// memory. OVERLAP (the index in `add` goes to *clash unless NULL), NOMEM; on error nothing changed.
int ims_mem_insert(struct ims_mem *m, const struct ims_mem_region *add, size_t n, size_t *clash);

// Calls `fn` for all memory in ascending order, in pieces that do not cross a 4 KiB border of hpa, except that a piece
// known to be zero may be longer. `bytes` is NULL for a piece full of zeros. The pieces depend on nothing but contents
// and on which addresses exist, apart from how zeros are grouped. Stops at the first non-zero result and returns it.
typedef int ims_mem_scan_fn(void *ctx, uint64_t hpa, const uint8_t *bytes, uint64_t len);
int ims_mem_scan(struct ims_mem *m, ims_mem_scan_fn *fn, void *ctx);

#ifdef __cplusplus
}
#endif
