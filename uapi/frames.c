// SPDX-License-Identifier: Apache-2.0
// Pages that hold data, as opposed to tables: counted, since a page is given back only when its process, its file and all
// devices that it was pinned for have let go of it.
//
// A reference is kept by the largest aligned block that it covers (4 KB, 2 MB, 1 GB), so that pinning large memory costs
// little. A page has those of all blocks around it; when part of a block is put, its reference is broken up.
#include "uapi/kernel_internal.h"
#include <stdlib.h>

static const unsigned shift_of[FRAME_SIZES] = {12, 21, 30};

static uint64_t block(const struct ims_kernel *k, unsigned s, uint64_t hpa) {
  return (hpa >> shift_of[s]) - (k->pool.base >> shift_of[s]);
}

int ims_frames_init(struct ims_kernel *k) {
  for (unsigned s = 0; s < FRAME_SIZES; s++) {
    k->frames.ref[s] = calloc(block(k, s, k->pool.base + k->pool.size - 1) + 1, sizeof(uint32_t));
    if (!k->frames.ref[s])
      return IMS_ERR_NOMEM;
  }
  return IMS_ERR_OK;
}

void ims_frames_fini(struct ims_kernel *k) {
  for (unsigned s = 0; s < FRAME_SIZES; s++)
    free(k->frames.ref[s]);
}

// The largest block that begins at hpa, lies in the pool and is not longer than `size`.
static unsigned largest(const struct ims_kernel *k, uint64_t hpa, uint64_t size) {
  unsigned s = FRAME_SIZES - 1;
  if (size > k->pool.base + k->pool.size - hpa)
    size = k->pool.base + k->pool.size - hpa;
  while (s && ((hpa & ((1ull << shift_of[s]) - 1)) || size < 1ull << shift_of[s]))
    s--;
  return s;
}

static bool ours(const struct ims_kernel *k, uint64_t hpa) { return hpa - k->pool.base < k->pool.size; }

int ims_frames_alloc(struct ims_kernel *k, unsigned log2size, uint64_t *hpa) {
  int err = ims_page_pool_alloc(&k->pool, log2size, hpa);
  if (!err)
    ims_frames_get(k, *hpa, 1ull << log2size);
  return err;
}

void ims_frames_get(struct ims_kernel *k, uint64_t hpa, uint64_t size) {
  for (uint64_t end = hpa + size; hpa < end && ours(k, hpa);) {
    unsigned s = largest(k, hpa, end - hpa);
    k->frames.ref[s][block(k, s, hpa)]++;
    hpa += 1ull << shift_of[s];
  }
}

// A reference of the block becomes one of each block of the next size in it.
static void break_up(struct ims_kernel *k, unsigned s, uint64_t hpa) {
  uint64_t part = hpa >> shift_of[s] << shift_of[s], end = part + (1ull << shift_of[s]);
  k->frames.ref[s][block(k, s, hpa)]--;
  for (; part < end; part += 1ull << shift_of[s - 1])
    k->frames.ref[s - 1][block(k, s - 1, part)]++;
}

static uint64_t refs(const struct ims_kernel *k, uint64_t hpa) {
  uint64_t sum = 0;
  for (unsigned s = 0; s < FRAME_SIZES; s++)
    sum += k->frames.ref[s][block(k, s, hpa)];
  return sum;
}

// One reference less of all pages of a block.
static void put(struct ims_kernel *k, unsigned s, uint64_t hpa) {
  unsigned from = s;
  while (from < FRAME_SIZES && !k->frames.ref[from][block(k, from, hpa)])
    from++;
  if (from == FRAME_SIZES) { // its parts have references of their own, or none
    for (uint64_t at = hpa; s && at < hpa + (1ull << shift_of[s]); at += 1ull << shift_of[s - 1])
      put(k, s - 1, at);
    return;
  }
  for (; from > s; from--)
    break_up(k, from, hpa);
  k->frames.ref[s][block(k, s, hpa)]--;
  for (unsigned above = s; above < FRAME_SIZES; above++)
    if (k->frames.ref[above][block(k, above, hpa)])
      return;
  for (uint64_t at = hpa; at < hpa + (1ull << shift_of[s]); at += IMS_PAGE_SIZE)
    if (!refs(k, at))
      ims_page_pool_free(&k->pool, at, IMS_PAGE_SHIFT);
}

void ims_frames_put(struct ims_kernel *k, uint64_t hpa, uint64_t size) {
  for (uint64_t end = hpa + size; hpa < end && ours(k, hpa);) {
    unsigned s = largest(k, hpa, end - hpa);
    put(k, s, hpa);
    hpa += 1ull << shift_of[s];
  }
}

void ims_frames_pin(struct ims_kernel *k, uint64_t hpa, uint64_t size, bool on) {
  for (uint64_t at = hpa; k->frames.pin && at < hpa + size; at += IMS_PAGE_SIZE)
    if (ours(k, at))
      k->frames.pin[block(k, 0, at)] += on ? 1u : ~0u;
  if (on)
    ims_frames_get(k, hpa, size);
  else
    ims_frames_put(k, hpa, size);
}

uint32_t ims_frames_refs(const struct ims_kernel *k, uint64_t hpa) { return ours(k, hpa) ? (uint32_t)refs(k, hpa) : 0; }
