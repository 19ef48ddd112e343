// SPDX-License-Identifier: Apache-2.0
// The one cache of the hardware: set-associative, with a replacement policy, of items of one size.
//
// An item has a tag, compared at look-up; an `aux` word, which only invalidations look at (the domain of a context entry
// found by its source id); and a value of `value_size` bytes. In a *sized* cache (IOTLB, nested TLB) the tag's address
// carries its own reach, and a look-up by plain address tries each reach that is present; the low six bits of `aux` may
// name a larger one (log2 of bytes, 0: none), that of the leaf of which the item is a piece: what invalidates an address
// of the leaf removes all its pieces. 0 entries: the cache is absent.
//
// Tenants, the requesters that share a cache, may be kept apart: by *partitions*, each of which is a cache of its own for
// some of the tenants, or by *salting* the choice of the set with the tenant, so that the same addresses of several meet
// in the same sets by chance only. ims_cache_tenant() says whose turn it is; look-ups and fills are that tenant's.
// Invalidations find items wherever they lie.
//
// A cache may have another in front of it (first-level TLB): see `front`.
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

enum ims_replacement {
  IMS_REPLACE_LRU,
  IMS_REPLACE_PLRU,
  IMS_REPLACE_FIFO,
  IMS_REPLACE_RANDOM,
  IMS_REPLACE_COMMON // in configurations of units: the policy that its caches have in common
};

struct ims_cache;

// A replacement policy from outside. Sets are numbered from 0 to sets - 1, ways within a set from 0 to ways - 1.
struct ims_cache_policy {
  // The way has been filled (an item of the same tag may have been there), or a look-up has hit it.
  void (*touch)(void *ctx, const struct ims_cache *c, uint32_t set, uint32_t way, bool fill);
  // The way to give up. All ways of the set are in use; the answer must be one of them.
  uint32_t (*victim)(void *ctx, const struct ims_cache *c, uint32_t set);
  void *ctx; // the caller's; outlives the cache
};

struct ims_cache_config {
  uint32_t entries;    // of all partitions; rounded up to partitions times ways times a power of two; 0: no cache
  uint32_t ways;       // 0: fully associative, within its partition
  uint32_t value_size; // bytes
  bool sized;
  enum ims_replacement replacement;
  uint64_t seed;                         // of random replacement
  const struct ims_cache_policy *policy; // in place of `replacement`; NULL: none; copied
  uint32_t partitions;                   // a power of two; tenant n has the one numbered n modulo this. 0, 1: all share
  bool salted;                           // the tenant takes part in the choice of the set
  bool by_address;                       // domain and PASID take no part in it
};

struct ims_cache_counters {
  uint64_t hits, misses, fills, evictions, invalidated; // look-ups are hits + misses
};

struct ims_cache {
  uint32_t entries, ways, sets, value_size;
  uint32_t mask, salt, base; // the set: hash ^ salt, within `mask`, of the partition whose first set is `base`
  uint64_t spread;           // what ids are multiplied by in that hash; 0: they take no part
  enum ims_replacement replacement;
  bool sized, plugged; // plugged: `policy` counts, not `replacement`
  bool salted;
  uint32_t partitions; // at least 1
  // The first level of this cache, or NULL. A look-up tries it first; what hits here is copied there; fills and
  // invalidations go to both. It belongs to whoever set it, has no front itself, and is alike in `sized` and value_size.
  struct ims_cache *front;
  uint64_t reaches;         // sized: bit n = items that cover 2^n bytes are present
  uint32_t reach_count[64]; // how many
  uint32_t present;         // items in it
  uint32_t pieces;          // of them smaller than their leaf
  uint32_t last;            // the way hit or filled last by this tenant, or one that is always free
  uint32_t groups;          // of eight ways, in a set
  uint64_t *print;          // [sets][groups]: a byte of hash for each way, 0 = free, so that one comparison sifts eight
  struct ims_tag *tag;      // [sets][groups * 8], and one that is always free; id == 0 marks a free way
  uint64_t *aux, *stamp;
  uint8_t *value;
  uint64_t random, epoch; // epoch: counts invalidations, so that a fill under way can see that it came too late
  struct ims_cache_policy policy;
  struct ims_cache_counters count;
};

// NOMEM; INVAL: no value_size, or partitions that are no power of two. A cache of 0 entries allocates nothing and answers every look-up with a miss that is not counted.
int ims_cache_init(struct ims_cache *c, const struct ims_cache_config *config);
void ims_cache_fini(struct ims_cache *c);

// From now on this policy decides. For a cache that is empty.
void ims_cache_set_policy(struct ims_cache *c, const struct ims_cache_policy *policy);

// Look-ups and fills from now on are this tenant's (a requester id). Only caches that are salted or have partitions care.
void ims_cache_tenant(struct ims_cache *c, uint32_t tenant);

// Neighbouring pages lie in neighbouring sets, as in hardware; domain and PASID shift the pattern, unless by_address.
static inline uint32_t ims_cache_set(const struct ims_cache *c, uint64_t addr, uint64_t id) {
  uint64_t n = addr >> (addr & 63);
  uint32_t hash = (uint32_t)(n ^ n >> 10 ^ n >> 20 ^ id * c->spread >> 40);
  return ((hash ^ c->salt) & c->mask) | c->base;
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

void ims_cache_touch(struct ims_cache *c, uint32_t way, bool fill); // policies other than LRU

static inline void *ims_cache_hit(struct ims_cache *c, uint32_t way) {
  uint64_t now = ++c->count.hits + c->count.fills; // grows with every use: the age of LRU
  c->last = way;
  if (__builtin_expect(c->replacement == IMS_REPLACE_LRU, 1))
    c->stamp[way] = now;
  else
    ims_cache_touch(c, way, false);
  return c->value + (size_t)way * c->value_size;
}

void *ims_cache_lookup_slow(struct ims_cache *c, uint64_t addr, uint64_t id);

// The value under exactly this tag, or NULL; valid until the next fill or invalidation. The cache must not be absent,
// sized, or have a front. Requests come in runs, so the way used last is looked at first; it is the youngest of its set
// already, and needs no ageing.
static inline void *ims_cache_lookup_exact(struct ims_cache *c, uint64_t addr, uint64_t id) {
  const struct ims_tag *t = &c->tag[c->last];
  if (__builtin_expect(!((t->addr ^ addr) | (t->id ^ id)), 1)) {
    c->count.hits++;
    return c->value + (size_t)c->last * c->value_size;
  }
  return ims_cache_lookup_slow(c, addr, id);
}

// The same in a sized cache, for a plain address: of the items that cover it the smallest. Without its front.
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

// Through the front, which must be there: what is found only behind it is copied to it. *level: 1 when the front had it,
// 2 when the cache behind it was asked too.
void *ims_cache_lookup_levels(struct ims_cache *c, const struct ims_tag *tag, uint8_t *level);

// Either, by the kind of the cache, and through its front; an absent one always misses, which is not counted.
static inline void *ims_cache_lookup(struct ims_cache *c, const struct ims_tag *tag) {
  uint8_t level;
  if (!c->entries)
    return NULL;
  if (c->front)
    return ims_cache_lookup_levels(c, tag, &level);
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

// Returns how many went, those of the front not among them. Counts one epoch, also when nothing matched.
uint32_t ims_cache_invalidate(struct ims_cache *c, const struct ims_cache_match *m);

// Calls visit for each item in the order of ways; stops when it returns false. For dumps and tests.
void ims_cache_each(const struct ims_cache *c,
                    bool (*visit)(void *ctx, const struct ims_tag *tag, uint64_t aux, const void *value), void *ctx);

#ifdef __cplusplus
}
#endif
