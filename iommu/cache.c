// SPDX-License-Identifier: Apache-2.0
#include "iommu/cache.h"
#include <stdlib.h>
#include <string.h>

int ims_cache_init(struct ims_cache *c, const struct ims_cache_config *config) {
  uint32_t parts = config->partitions ? config->partitions : 1;
  *c = (struct ims_cache){.replacement = config->replacement,
                          .sized = config->sized,
                          .salted = config->salted,
                          .spread = config->by_address ? 0 : 0x9e3779b97f4a7c15ull,
                          .partitions = parts,
                          .random = config->seed | 1};
  if (config->policy)
    ims_cache_set_policy(c, config->policy);
  if (!config->entries)
    return IMS_ERR_OK;
  if (!config->value_size || (parts & (parts - 1)))
    return IMS_ERR_INVAL;
  uint32_t share = (config->entries - 1) / parts + 1;
  uint32_t ways = config->ways && config->ways < share ? config->ways : share;
  uint32_t sets = 1; // of a partition
  while ((uint64_t)sets * ways < share)
    sets <<= 1;
  if ((uint64_t)sets * parts * ((ways + 7) / 8 * 8ull) >= UINT32_MAX) // ways are numbered by 32 bits
    return IMS_ERR_NOMEM;
  c->ways = ways;
  c->sets = sets * parts;
  c->mask = sets - 1;
  c->groups = (ways + 7) / 8;
  c->entries = c->sets * ways;
  c->value_size = config->value_size;
  size_t room = (size_t)c->sets * c->groups * 8;
  c->last = (uint32_t)room;
  c->print = calloc(room / 8, sizeof *c->print);
  c->tag = calloc(room + 1, sizeof *c->tag);
  c->aux = calloc(room, sizeof *c->aux);
  c->stamp = calloc(room, sizeof *c->stamp);
  c->value = calloc(room, c->value_size);
  if (c->print && c->tag && c->aux && c->stamp && c->value)
    return IMS_ERR_OK;
  ims_cache_fini(c);
  return IMS_ERR_NOMEM;
}

void ims_cache_fini(struct ims_cache *c) {
  free(c->print);
  free(c->tag);
  free(c->aux);
  free(c->stamp);
  free(c->value);
  *c = (struct ims_cache){0};
}

// The tag behind all ways, which no look-up matches.
static uint32_t no_way(const struct ims_cache *c) { return c->sets * c->groups * 8; }

void ims_cache_set_policy(struct ims_cache *c, const struct ims_cache_policy *policy) {
  c->policy = *policy;
  c->plugged = true;
  c->replacement = IMS_REPLACE_RANDOM; // not LRU, whose ageing is inlined
}

void ims_cache_tenant(struct ims_cache *c, uint32_t tenant) {
  uint32_t base = (tenant & (c->partitions - 1)) * (c->mask + 1);
  // Not the constant that spreads domains: numbered alike, tenants and their domains would cancel out.
  uint32_t salt = c->salted ? (uint32_t)(tenant * 0xd6e8feb86659fd93ull >> 40) : 0;
  if (base == c->base && salt == c->salt)
    return;
  c->base = base;
  c->salt = salt;
  c->last = no_way(c); // what was used last may be another tenant's
}

// Tree-PLRU: the inner nodes of a binary tree over the ways lie as bits in the stamp of the set's first way; each bit
// points away from what was used last.
static void touch_plru(struct ims_cache *c, uint32_t way) {
  uint32_t base = way - way % (c->groups * 8), w = way - base;
  uint64_t bits = c->stamp[base];
  for (uint32_t lo = 0, n = c->ways, node = 1; n > 1 && node<64; n = n> 1 ? n : 1) {
    uint32_t half = (n + 1) / 2;
    if (w < lo + half) {
      bits |= 1ull << node;
      node = 2 * node;
      n = half;
    } else {
      bits &= ~(1ull << node);
      node = 2 * node + 1;
      lo += half;
      n -= half;
    }
  }
  c->stamp[base] = bits;
}

void ims_cache_touch(struct ims_cache *c, uint32_t way, bool fill) {
  if (c->plugged) {
    uint32_t room = c->groups * 8;
    c->policy.touch(c->policy.ctx, c, way / room, way % room, fill);
    c->last = no_way(c); // it is told of every use
  } else if (c->replacement == IMS_REPLACE_PLRU) {
    touch_plru(c, way);
  } else if (fill) {
    c->stamp[way] = c->count.hits + c->count.fills;
  }
}

static uint32_t plru_victim(const struct ims_cache *c, uint32_t base) {
  uint64_t bits = c->stamp[base];
  uint32_t lo = 0, n = c->ways;
  for (uint32_t node = 1; n > 1;) {
    uint32_t half = (n + 1) / 2;
    if (node < 64 && (bits >> node & 1)) {
      node = 2 * node + 1;
      lo += half;
      n -= half;
    } else {
      node = 2 * node;
      n = half;
    }
  }
  return base + lo;
}

void *ims_cache_lookup_slow(struct ims_cache *c, uint64_t addr, uint64_t id) {
  int64_t way = ims_cache_find(c, addr, id);
  if (way >= 0)
    return ims_cache_hit(c, (uint32_t)way);
  c->count.misses++;
  return NULL;
}

void *ims_cache_lookup_levels(struct ims_cache *c, const struct ims_tag *tag, uint8_t *level) {
  struct ims_cache *front = c->front;
  *level = 1;
  void *found =
      c->sized ? ims_cache_lookup_sized(front, tag->addr, tag->id) : ims_cache_lookup_exact(front, tag->addr, tag->id);
  if (found)
    return found;
  *level = 2;
  found = c->sized ? ims_cache_lookup_sized(c, tag->addr, tag->id) : ims_cache_lookup_exact(c, tag->addr, tag->id);
  if (found) {
    size_t way = (size_t)((uint8_t *)found - c->value) / c->value_size;
    ims_cache_fill(front, &c->tag[way], c->aux[way], found);
  }
  return found;
}

static uint64_t next_random(struct ims_cache *c) { // xorshift64
  c->random ^= c->random << 13;
  c->random ^= c->random >> 7;
  c->random ^= c->random << 17;
  return c->random;
}

static uint32_t victim(struct ims_cache *c, uint32_t base) {
  if (c->plugged) {
    uint32_t way = c->policy.victim(c->policy.ctx, c, base / (c->groups * 8));
    return base + (way < c->ways ? way : 0);
  }
  if (c->replacement == IMS_REPLACE_RANDOM)
    return base + (uint32_t)(next_random(c) % c->ways);
  if (c->replacement == IMS_REPLACE_PLRU)
    return plru_victim(c, base);
  uint32_t oldest = base;
  for (uint32_t i = base + 1; i < base + c->ways; i++)
    if (c->stamp[i] < c->stamp[oldest])
      oldest = i;
  return oldest;
}

static void set_print(struct ims_cache *c, uint32_t way, uint64_t print) {
  unsigned shift = way % 8 * 8;
  c->print[way / 8] = (c->print[way / 8] & ~(0xffull << shift)) | print << shift;
}

static unsigned leaf_of(const struct ims_cache *c, uint32_t way) { return c->aux[way] & 63; }

static bool is_piece(const struct ims_cache *c, uint32_t way) {
  return c->sized && leaf_of(c, way) > (c->tag[way].addr & 63);
}

static void drop(struct ims_cache *c, uint32_t way) {
  c->pieces -= is_piece(c, way);
  if (c->sized) {
    unsigned reach = c->tag[way].addr & 63;
    if (--c->reach_count[reach] == 0)
      c->reaches &= ~(1ull << reach);
  }
  c->tag[way] = (struct ims_tag){0, 0};
  c->present--;
  set_print(c, way, 0);
}

void ims_cache_fill(struct ims_cache *c, const struct ims_tag *tag, uint64_t aux, const void *value) {
  if (!c->entries)
    return;
  if (c->front)
    ims_cache_fill(c->front, tag, aux, value);
  uint32_t base = ims_cache_set(c, tag->addr, tag->id) * c->groups * 8;
  int64_t way = ims_cache_find(c, tag->addr, tag->id);
  for (uint32_t i = base; way < 0 && i < base + c->ways; i++)
    if (!c->tag[i].id)
      way = i;
  if (way < 0) {
    way = victim(c, base);
    c->count.evictions++;
  }
  if (c->tag[way].id)
    drop(c, (uint32_t)way);
  c->tag[way] = *tag;
  c->present++;
  set_print(c, (uint32_t)way, ims_cache_print(tag->addr, tag->id));
  c->aux[way] = aux;
  c->pieces += is_piece(c, (uint32_t)way);
  memcpy(c->value + (size_t)way * c->value_size, value, c->value_size);
  c->count.fills++;
  c->last = (uint32_t)way;
  if (c->sized) {
    unsigned reach = tag->addr & 63;
    c->reach_count[reach]++;
    c->reaches |= 1ull << reach;
  }
  ims_cache_touch(c, (uint32_t)way, true);
}

static bool matches(const struct ims_cache *c, uint32_t way, const struct ims_cache_match *m) {
  const struct ims_tag *t = &c->tag[way];
  if (!t->id || (t->id & m->id_mask) != m->id || (c->aux[way] & m->aux_mask) != m->aux)
    return false;
  if (m->any_addr)
    return true;
  unsigned reach = t->addr & 63;
  if (c->sized && leaf_of(c, way) > reach)
    reach = leaf_of(c, way);
  uint64_t first = t->addr >> reach << reach, last = first | ((1ull << reach) - 1);
  return first <= m->last && last >= m->first;
}

// A small range with a complete id names its sets, where they are not the tenants' matter; everything else looks at each
// item.
enum { DIRECT_PAGES = 16 };

static uint32_t invalidate_direct(struct ims_cache *c, const struct ims_cache_match *m) {
  uint32_t gone = 0;
  for (uint64_t left = c->reaches; left; left &= left - 1) {
    unsigned reach = (unsigned)__builtin_ctzll(left);
    for (uint64_t page = m->first >> reach; page <= m->last >> reach; page++) {
      int64_t way = ims_cache_find(c, page << reach | reach, m->id);
      if (way >= 0 && matches(c, (uint32_t)way, m)) {
        drop(c, (uint32_t)way);
        gone++;
      }
    }
  }
  return gone;
}

uint32_t ims_cache_invalidate(struct ims_cache *c, const struct ims_cache_match *m) {
  uint32_t gone = 0;
  c->epoch++;
  if (c->front)
    ims_cache_invalidate(c->front, m);
  if (!c->present)
    return 0;
  bool placed = c->partitions == 1 && !c->salted;
  if (placed && c->sized && !c->pieces && !m->any_addr && m->id_mask == ~0ull &&
      (m->last - m->first) >> 12 < DIRECT_PAGES) {
    gone = invalidate_direct(c, m);
  } else {
    for (uint32_t way = 0; way < c->sets * c->groups * 8; way++) {
      if (!matches(c, way, m))
        continue;
      drop(c, way);
      gone++;
    }
  }
  c->count.invalidated += gone;
  return gone;
}

void ims_cache_each(const struct ims_cache *c,
                    bool (*visit)(void *ctx, const struct ims_tag *tag, uint64_t aux, const void *value), void *ctx) {
  for (uint32_t way = 0; way < c->sets * c->groups * 8; way++)
    if (c->tag[way].id && !visit(ctx, &c->tag[way], c->aux[way], c->value + (size_t)way * c->value_size))
      return;
}
