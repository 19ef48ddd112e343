// SPDX-License-Identifier: Apache-2.0
// What the translations of all architectures are written with: reading and caching structures, beside the questions of the
// walk (pgtable/walk_impl.h), and the answers of the untimed run, from the unit's own memory and caches (C only).
//
// The macros expect in scope: `now` (struct ims_xlate_hooks), `ctx`
// (struct ims_iommu), `port`, and the request's `req`.
#pragma once

// A run at once enters the coroutine at its beginning and nowhere else, and what it has not yet written it does not read;
// gcc sees the other entries too, and warns.
#if defined(__GNUC__) && !defined(__clang__)
#  pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include "iommu/iommu.h"
#include "pgtable/walk_impl.h"

// As of walks: without functions each question returns to the caller.
struct ims_xlate_hooks {
  struct ims_walk_hooks walk;
  bool (*read)(void *ctx, uint64_t hpa, uint64_t *data, unsigned len);
  const void *(*probe)(void *ctx, unsigned cache, const struct ims_tag *tag);
  void (*fill)(void *ctx, unsigned cache, const struct ims_tag *tag, uint64_t aux, const void *item);
};

#define IMS_NOW (now && now->read)

IMS_INLINE void ims_xlate_describe(struct ims_port *port, unsigned what, unsigned len, uint64_t hpa, uint64_t gpa,
                                   uint64_t iova) {
  port->step = (struct ims_step){.what = (uint8_t)what, .len = (uint8_t)len, .hpa = hpa, .gpa = gpa, .addr = iova};
}

// Reads a structure at hpa (gpa before the second stage, where it went through one). `there`: false where the address
// exceeds what the unit can say; then port->answer.ok is false without a read.
#define IMS_READ_STRUCT(state_, n, what_, hpa_, gpa_, len_, iova_, there)                                              \
  do {                                                                                                                 \
    if (!(there)) {                                                                                                    \
      port->answer.ok = false;                                                                                         \
    } else {                                                                                                           \
      port->refs++;                                                                                                    \
      if (IMS_NOW) {                                                                                                   \
        port->answer.ok = now->read(ctx, (hpa_), port->answer.data, (len_));                                           \
      } else {                                                                                                         \
        ims_xlate_describe(port, (what_), (len_), (hpa_), (gpa_), (iova_));                                            \
        IMS_ASK(state_, n, IMS_STEP_READ);                                                                             \
      }                                                                                                                \
    }                                                                                                                  \
  } while (0)

// Looks a structure up; `var` points into the cache (at once) or to a copy in `room` (when answered from outside).
#define IMS_PROBE_STRUCT(state_, n, what_, cache_, key_, var, room)                                                    \
  do {                                                                                                                 \
    (var) = NULL;                                                                                                      \
    if (ctx->caches >> (cache_)&1) {                                                                                   \
      if (IMS_NOW) {                                                                                                   \
        struct ims_tag tag_ = {(key_), 1};                                                                             \
        (var) = now->probe(ctx, (cache_), &tag_);                                                                      \
      } else {                                                                                                         \
        ims_xlate_describe(port, (what_), 0, 0, 0, req->iova);                                                         \
        port->step.cache = (cache_);                                                                                   \
        port->step.tag = (struct ims_tag){(key_), 1};                                                                  \
        IMS_ASK(state_, n, IMS_STEP_PROBE);                                                                            \
        if (port->answer.hit) {                                                                                        \
          memcpy(&(room), port->answer.item, sizeof(room));                                                            \
          (var) = &(room);                                                                                             \
        }                                                                                                              \
      }                                                                                                                \
    }                                                                                                                  \
  } while (0)

#define IMS_FILL_STRUCT(state_, n, what_, cache_, key_, aux_, room)                                                    \
  do {                                                                                                                 \
    if (ctx->caches >> (cache_)&1) {                                                                                   \
      if (IMS_NOW) {                                                                                                   \
        struct ims_tag tag_ = {(key_), 1};                                                                             \
        now->fill(ctx, (cache_), &tag_, (aux_), &(room));                                                              \
      } else {                                                                                                         \
        ims_xlate_describe(port, (what_), 0, 0, 0, req->iova);                                                         \
        port->step.cache = (cache_);                                                                                   \
        port->step.tag = (struct ims_tag){(key_), 1};                                                                  \
        port->step.aux = (aux_);                                                                                       \
        port->step.item = &(room);                                                                                     \
        IMS_ASK(state_, n, IMS_STEP_FILL);                                                                             \
      }                                                                                                                \
    }                                                                                                                  \
  } while (0)

// Does a cached translation serve this access? If a right is missing or a dirty bit is still to be set, the tables decide.
// s1, s2: the stages it went through, or NULL.
IMS_INLINE bool ims_tlb_serves(const struct ims_pgt *s1, const struct ims_pgt *s2, unsigned access,
                               const struct ims_tlb_value *t) {
  bool dirty = (t->flags & (IMS_TLB_S1_DIRTY | IMS_TLB_S2_DIRTY)) == (IMS_TLB_S1_DIRTY | IMS_TLB_S2_DIRTY);
  if ((access & IMS_ACC_W) && !dirty)
    return false;
  if (access & IMS_ACC_QUERY) {
    static const struct ims_pgt none = {0};
    unsigned rights = ims_walk_rights(s1 ? s1 : &none, s2 ? s2 : &none, t->perm1, t->perm2, access & IMS_ACC_PRIV);
    return rights & IMS_PERM_R && (!(access & IMS_ACC_W) || (rights & IMS_PERM_W));
  }
  return (!s1 || ims_fs_judge(s1, t->perm1, access) == IMS_DENY_NOTHING) &&
         (!s2 || ims_ss_judge(s2, t->perm2, access) == IMS_DENY_NOTHING);
}

// The untimed run: the same code, answered in place. What is handed to functions that are not inlined is a copy, so that
// the walk itself stays in registers.
IMS_INLINE bool ims_now_read64(void *ctx, uint64_t hpa, uint64_t *value) {
  struct ims_iommu *u = ctx;
  const struct ims_mem *m = u->mem;
  uint64_t off = hpa - m->hot.base;
  if (__builtin_expect(off < m->hot_words, 1)) {
    memcpy(value, m->hot.host + off, 8);
    return true;
  }
  uint64_t copy = 0;
  bool ok = ims_mem_load64(u->mem, hpa, &copy) == IMS_ERR_OK;
  *value = copy;
  return ok;
}

IMS_INLINE bool ims_now_update64(void *ctx, uint64_t hpa, uint64_t old, uint64_t desired, uint64_t *seen) {
  struct ims_iommu *u = ctx;
  uint64_t copy = 0;
  u->count.updates++;
  bool ok = ims_mem_cas64(u->mem, hpa, old, desired, &copy) == IMS_ERR_OK;
  *seen = copy;
  return ok;
}

// Probes within the walk are many in the text and few in a run: one copy serves them all.
static __attribute__((noinline, unused)) const void *ims_now_probe_cache(struct ims_cache *c, uint64_t addr,
                                                                         uint64_t id) {
  return c->sized ? ims_cache_lookup_sized(c, addr, id) : ims_cache_lookup_exact(c, addr, id);
}

static __attribute__((noinline, unused)) const void *ims_now_probe_levels(struct ims_cache *c, uint64_t addr,
                                                                          uint64_t id) {
  struct ims_tag tag = {addr, id};
  uint8_t level;
  return ims_cache_lookup_levels(c, &tag, &level);
}

IMS_INLINE bool ims_now_probe_tlb(void *ctx, unsigned cache, const struct ims_tag *tag, struct ims_tlb_value *value) {
  struct ims_iommu *u = ctx;
  struct ims_cache *c = &u->cache[cache];
  const struct ims_tlb_value *found;
  if (cache != IMS_CACHE_IOTLB)
    found = ims_now_probe_cache(c, tag->addr, tag->id);
  else if (__builtin_expect(c->front != NULL, 0))
    found = ims_now_probe_levels(c, tag->addr, tag->id);
  else
    found = ims_cache_lookup_sized(c, tag->addr, tag->id);
  if (found)
    *value = *found;
  return found;
}

IMS_INLINE void ims_now_fill_tlb(void *ctx, unsigned cache, const struct ims_tag *tag,
                                 const struct ims_tlb_value *value) {
  struct ims_iommu *u = ctx;
  struct ims_tag tag_copy = *tag;
  struct ims_tlb_value copy = *value;
  ims_cache_fill(&u->cache[cache], &tag_copy, copy.attr, &copy);
}

IMS_INLINE bool ims_now_read(void *ctx, uint64_t hpa, uint64_t *data, unsigned len) {
  struct ims_iommu *u = ctx;
  uint64_t copy[8];
  bool ok = ims_mem_read(u->mem, hpa, copy, len) == IMS_ERR_OK;
  memcpy(data, copy, len);
  return ok;
}

IMS_INLINE const void *ims_now_probe(void *ctx, unsigned cache, const struct ims_tag *tag) {
  struct ims_iommu *u = ctx;
  return ims_cache_lookup_exact(&u->cache[cache], tag->addr, tag->id);
}

IMS_INLINE void ims_now_fill(void *ctx, unsigned cache, const struct ims_tag *tag, uint64_t aux, const void *item) {
  struct ims_iommu *u = ctx;
  ims_cache_fill(&u->cache[cache], tag, aux, item);
}

// `vmsa`: the family of formats that the architecture walks.
#define IMS_XLATE_IN_PLACE(vmsa)                                                                                       \
  {                                                                                                                    \
    .walk = {vmsa, ims_now_read64, ims_now_update64, ims_now_probe_tlb, ims_now_fill_tlb}, .read = ims_now_read,       \
    .probe = ims_now_probe, .fill = ims_now_fill,                                                                      \
  }
