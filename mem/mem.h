// SPDX-License-Identifier: Apache-2.0
// Simulated physical memory: sparse, up to 52 bits of address, backed lazily by the host, range-checked.
//
// Memory is a sorted set of regions that do not overlap. An address in no region is absent memory: a read or write of it
// answers IMS_ERR_BUS, as a bus error would. The region hit last stays in `hot`, so that the usual access costs one
// bounds check and one load. One simulator, one thread: the structure is not locked.
//
// Behind the regions there may be somebody else's memory (ims_mem_set_remote), which then answers for all of 2^52 bytes
// that lie in no region.
//
// Ranges are hpa and length in bytes. Any pair is safe, also one whose sum passes 2^64: nothing is there, so it is BUS.
#pragma once

#include "mem/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#  error "words are copied from simulated memory as they lie there: the host has to be little-endian"
#endif

#define IMS_MEM_ADDR_BITS 52

struct ims_mem_region {
  uint64_t base; // hpa of the first byte
  uint64_t size; // bytes, at least 1
  uint8_t *host; // where the bytes lie; no alignment is promised
  bool anon;     // host memory that reads zero again once given back; false for bytes of a file
};

// Memory that lies elsewhere, as in a platform that this memory is a part of. Each function answers 0 or an error of any
// kind, which becomes BUS; NULL: always an error. It must not add, load or remove regions of the memory that asks.
struct ims_mem_remote {
  int (*read)(void *ctx, uint64_t hpa, void *buf, size_t len);
  int (*write)(void *ctx, uint64_t hpa, const void *buf, size_t len);
  void *ctx;
};

struct ims_mem {
  struct ims_mem_region hot; // copy of the region hit last; size 0 before the first access
  uint64_t hot_words;        // offsets in it at which 8 bytes begin: size - 7, or 0
  struct ims_mem_region *region;
  size_t regions, capacity;
  struct ims_mem_backing *backing; // host mappings to release, newest first
  struct ims_mem_remote remote;
  bool has_remote;
};

// An empty memory. Nothing is allocated; ims_mem_fini releases whatever was added and leaves an empty memory.
void ims_mem_init(struct ims_mem *m);
void ims_mem_fini(struct ims_mem *m);

// From now on what no region holds is read and written there (copied; NULL: nobody, as at first). ims_mem_read, _write,
// the accesses to words and cas64 go there; regions come first, and a range that lies in both is done in pieces, upwards:
// an error in a later piece leaves what earlier ones wrote. Filling, checksums, images and pointers know regions only.
void ims_mem_set_remote(struct ims_mem *m, const struct ims_mem_remote *remote);

// Adds `size` bytes of zero-filled memory at `hpa`; the host backs each page at its first write or read.
// RANGE: beyond 52 bits or size 0; OVERLAP: meets a region; NOMEM: host address space exhausted (about 2^46 bytes).
// On error nothing was added.
int ims_mem_add_ram(struct ims_mem *m, uint64_t hpa, uint64_t size);

// Removes the parts of [hpa, hpa+size) that are there; regions are split. For hot-unplug and for tests. Absent parts
// are no error. NOMEM: no room to split a region; then nothing was removed.
int ims_mem_remove(struct ims_mem *m, uint64_t hpa, uint64_t size);

// The region that holds `hpa`, or NULL. Valid until the next add, load or remove.
const struct ims_mem_region *ims_mem_find(const struct ims_mem *m, uint64_t hpa);

// The bytes [hpa, hpa+len) when they lie in one region, or NULL. Valid until the next remove. Updates `hot`.
uint8_t *ims_mem_ptr_slow(struct ims_mem *m, uint64_t hpa, size_t len);

static inline uint8_t *ims_mem_ptr(struct ims_mem *m, uint64_t hpa, size_t len) {
  uint64_t off = hpa - m->hot.base;
  if (__builtin_expect(off < m->hot.size && m->hot.size - off >= len, 1))
    return m->hot.host + off;
  return ims_mem_ptr_slow(m, hpa, len);
}

// Copies across region borders. BUS: some byte is absent; then nothing was written to memory, and `buf` is undefined.
// A length of 0 touches nothing and is OK at any address.
int ims_mem_read(struct ims_mem *m, uint64_t hpa, void *buf, size_t len);
int ims_mem_write(struct ims_mem *m, uint64_t hpa, const void *buf, size_t len);

// Fills with one byte value. Large fills with zero give host pages back where that is possible. BUS: some byte is
// absent; then nothing was written.
int ims_mem_fill(struct ims_mem *m, uint64_t hpa, uint8_t value, uint64_t len);

// The same for 8 bytes, with a single comparison.
static inline uint8_t *ims_mem_ptr8(struct ims_mem *m, uint64_t hpa) {
  uint64_t off = hpa - m->hot.base;
  if (__builtin_expect(off < m->hot_words, 1))
    return m->hot.host + off;
  return ims_mem_ptr_slow(m, hpa, 8);
}

// Little-endian 64-bit words. The simulated machine sees each as one access; any alignment.
static inline int ims_mem_load64(struct ims_mem *m, uint64_t hpa, uint64_t *value) {
  const uint8_t *p = ims_mem_ptr8(m, hpa);
  if (__builtin_expect(!p, 0))
    return ims_mem_read(m, hpa, value, 8);
  memcpy(value, p, 8);
  return IMS_ERR_OK;
}

static inline int ims_mem_store64(struct ims_mem *m, uint64_t hpa, uint64_t value) {
  uint8_t *p = ims_mem_ptr(m, hpa, 8);
  if (__builtin_expect(!p, 0))
    return ims_mem_write(m, hpa, &value, 8);
  memcpy(p, &value, 8);
  return IMS_ERR_OK;
}

// Compare-and-swap of one word. Returns OK and sets *seen to the value found; the swap took place when *seen == old.
// BUS: some byte is absent; then *seen is left alone. In remote memory it is a read and, when equal, a write: whether
// anybody may come between is that memory's matter.
int ims_mem_cas64(struct ims_mem *m, uint64_t hpa, uint64_t old, uint64_t desired, uint64_t *seen);

// A checksum of the borders of memory and of all pages that are not zero (FNV-1a, 64 bit): equal memories, equal sums,
// however they were put together and whether the host backs their zero pages or not.
uint64_t ims_mem_hash(struct ims_mem *m);

#ifdef __cplusplus
}
#endif
