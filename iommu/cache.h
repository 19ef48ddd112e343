// SPDX-License-Identifier: Apache-2.0
// The one cache of the hardware: set-associative, with a replacement policy, of items of one size.
//
// An item has a tag, compared at look-up; an `aux` word, which only invalidations look at (the domain of a context entry
// found by its source id); and a value of `value_size` bytes. In a *sized* cache (IOTLB, nested TLB) the tag's address
// carries its own reach, and a look-up by plain address tries each reach that is present; the low six bits of `aux` may
// name a larger one (log2 of bytes, 0: none), that of the leaf of which the item is a piece: what invalidates an address
// of the leaf removes all its pieces. 0 entries: the cache is absent.
#pragma once

#include "mem/error.h"
#include "pgtable/step.h"
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

// Tag ids of translations: domain (DID, VMID), PASID or ASID, kind of translation, and source id where it takes part.
enum ims_tag_kind { IMS_TAG_S1 = 1, IMS_TAG_S2 = 2, IMS_TAG_NESTED = 3, IMS_TAG_PASSTHROUGH = 4 };
#define IMS_TAG_ID(domain, pasid, kind) ((uint64_t)(domain) | (uint64_t)(pasid) << 16 | (uint64_t)(kind) << 36)
#define IMS_TAG_DOMAIN_MASK             0xffffull
#define IMS_TAG_PASID_MASK              (0xfffffull << 16)
#define IMS_TAG_KIND_MASK               (0xfull << 36)

enum ims_replacement { IMS_REPLACE_LRU, IMS_REPLACE_PLRU, IMS_REPLACE_FIFO, IMS_REPLACE_RANDOM };

struct ims_cache_config {
  uint32_t entries;    // rounded up to ways times a power of two; 0: no cache
  uint32_t ways;       // 0: fully associative
  uint32_t value_size; // bytes
  bool sized;
  enum ims_replacement replacement;
  uint64_t seed; // of random replacement
};

struct ims_cache_counters {
  uint64_t hits, misses, fills, evictions, invalidated; // look-ups are hits + misses
};

struct ims_cache {
  uint32_t entries, ways, sets, value_size;
  enum ims_replacement replacement;
  bool sized;
  uint64_t reaches;         // sized: bit n = items that cover 2^n bytes are present
  uint32_t reach_count[64]; // how many
  uint32_t present;         // items in it
  uint32_t pieces;          // of them smaller than their leaf
  uint32_t last;            // the way hit or filled last
  uint32_t groups;          // of eight ways, in a set
  uint64_t *print;          // [sets][groups]: a byte of hash for each way, 0 = free, so that one comparison sifts eight
  struct ims_tag *tag;      // [sets][groups * 8]; id == 0 marks a free way
  uint64_t *aux, *stamp;
  uint8_t *value;
  uint64_t random, epoch; // epoch: counts invalidations, so that a fill under way can see that it came too late
  struct ims_cache_counters count;
};

// NOMEM, INVAL. A cache of 0 entries allocates nothing and answers every look-up with a miss that is not counted.
int ims_cache_init(struct ims_cache *c, const struct ims_cache_config *config);
void ims_cache_fini(struct ims_cache *c);

// Neighbouring pages lie in neighbouring sets, as in hardware; domain and PASID shift the pattern.
static inline uint32_t ims_cache_set(const struct ims_cache *c, uint64_t addr, uint64_t id) {
  uint64_t n = addr >> (addr & 63);
  return (uint32_t)(n ^ n >> 10 ^ n >> 20 ^ id * 0x9e3779b97f4a7c15ull >> 40) & (c->sets - 1);
}
static inline uint64_t ims_cache_print(uint64_t addr, uint64_t id) {
  return (addr ^ id) * 0xff51afd7ed558ccdull >> 56 | 0x80;
}

// The way that holds exactly this tag, as an index into tag[], or -1. No counting, no ageing.
static inline __attribute__((always_inline)) int64_t ims_cache_find(const struct ims_cache *c, uint64_t addr,
                                                                    uint64_t id) {
  const uint64_t ones = 0x0101010101010101ull;
  uint64_t want = ims_cache_print(addr, id) * ones;
  uint32_t g = ims_cache_set(c, addr, id) * c->groups, end = g + c->groups;
  do {
    // A zero byte of the difference shows as its top bit; a rare false one is told by the tag.
    uint64_t diff = c->print[g] ^ want;
    for (uint64_t same = (diff - ones) & ~diff & ones << 7; same; same &= same - 1) {
      uint32_t way = g * 8 + ((uint32_t)__builtin_ctzll(same) >> 3);
      const struct ims_tag *t = &c->tag[way];
      if (__builtin_expect(!((t->addr ^ addr) | (t->id ^ id)), 1))
        return way;
    }
  } while (__builtin_expect(++g < end, 0));
  return -1;
}

void ims_cache_touch_plru(struct ims_cache *c, uint32_t way);

static inline void *ims_cache_hit(struct ims_cache *c, uint32_t way) {
  uint64_t now = ++c->count.hits + c->count.fills; // grows with every use: the age of LRU
  c->last = way;
  if (__builtin_expect(c->replacement == IMS_REPLACE_LRU, 1))
    c->stamp[way] = now;
  else if (c->replacement == IMS_REPLACE_PLRU)
    ims_cache_touch_plru(c, way);
  return c->value + (size_t)way * c->value_size;
}

void *ims_cache_lookup_slow(struct ims_cache *c, uint64_t addr, uint64_t id);

// The value under exactly this tag, or NULL; valid until the next fill or invalidation. The cache must not be absent or
// sized. Requests come in runs, so the
// way used last is looked at first; it is the youngest of its set already, and needs no ageing.
static inline void *ims_cache_lookup_exact(struct ims_cache *c, uint64_t addr, uint64_t id) {
  const struct ims_tag *t = &c->tag[c->last];
  if (__builtin_expect(!((t->addr ^ addr) | (t->id ^ id)), 1)) {
    c->count.hits++;
    return c->value + (size_t)c->last * c->value_size;
  }
  return ims_cache_lookup_slow(c, addr, id);
}

// The same in a sized cache, for a plain address: of the items that cover it the smallest.
static inline __attribute__((always_inline)) void *ims_cache_lookup_sized(struct ims_cache *c, uint64_t addr,
                                                                          uint64_t id) {
  for (uint64_t left = c->reaches; left; left &= left - 1) {
    int64_t way = ims_cache_find(c, ims_tag_addr(addr, (unsigned)__builtin_ctzll(left)), id);
    if (way >= 0)
      return ims_cache_hit(c, (uint32_t)way);
  }
  c->count.misses += c->entries != 0;
  return NULL;
}

// Either, by the kind of the cache; an absent one always misses, which is not counted.
static inline void *ims_cache_lookup(struct ims_cache *c, const struct ims_tag *tag) {
  if (!c->entries)
    return NULL;
  return c->sized ? ims_cache_lookup_sized(c, tag->addr, tag->id) : ims_cache_lookup_exact(c, tag->addr, tag->id);
}

// Puts a copy of the value under the tag, in place of the same tag, a free way, or the victim. tag->id must not be 0.
void ims_cache_fill(struct ims_cache *c, const struct ims_tag *tag, uint64_t aux, const void *value);

// Which items an invalidation removes: those whose id and aux agree under the masks and, unless `any_addr`, whose reach
// meets [first, last].
struct ims_cache_match {
  uint64_t id, id_mask;
  uint64_t aux, aux_mask;
  bool any_addr;
  uint64_t first, last;
};

// Returns how many went. Counts one epoch, also when nothing matched.
uint32_t ims_cache_invalidate(struct ims_cache *c, const struct ims_cache_match *m);

// Calls visit for each item in the order of ways; stops when it returns false. For dumps and tests.
void ims_cache_each(const struct ims_cache *c,
                    bool (*visit)(void *ctx, const struct ims_tag *tag, uint64_t aux, const void *value), void *ctx);

#ifdef __cplusplus
}
#endif
