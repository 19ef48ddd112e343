// SPDX-License-Identifier: Apache-2.0
// The body of the walk, written once as a coroutine (C only; include it where a loop with hooks is wanted).
//
// With hooks == NULL each question returns to the caller and the next call goes on behind it: `state` names the place.
// With constant hooks and state == 0 the compiler drops every re-entry and keeps the walk in registers. Local variables
// do not live across a question.
#pragma once

#include "pgtable/vmsa.h"
#include "pgtable/walk.h"
#include <stddef.h>

#define IMS_INLINE static inline __attribute__((always_inline, unused))

// How a loop that has memory and caches at hand answers by itself; the results are those of struct ims_answer.
//
// Without functions, hooks only tell the family: each question returns to the caller, from a walk that knows its format.
struct ims_walk_hooks {
  bool vmsa; // which family of formats all stages are of: a constant, so that the other's code goes away
  bool (*read64)(void *ctx, uint64_t hpa, uint64_t *value);
  bool (*update64)(void *ctx, uint64_t hpa, uint64_t old, uint64_t desired, uint64_t *seen);
  bool (*probe)(void *ctx, unsigned cache, const struct ims_tag *tag, struct ims_tlb_value *value);
  void (*fill)(void *ctx, unsigned cache, const struct ims_tag *tag, const struct ims_tlb_value *value);
};

// Tells the compiler what the hooks know of the format. It holds up to the next store to memory, so it stands before each
// question about the format.
#define IMS_KNOWN(p)                                                                                                   \
  do {                                                                                                                 \
    if (h && ims_pgt_is_vmsa(p) != h->vmsa)                                                                            \
      __builtin_unreachable();                                                                                         \
  } while (0)

#define IMS_AT_ONCE(h) ((h) && (h)->read64)

// Told by a part of the walk to the whole: a compare-and-swap was lost, begin again. Never leaves this file.
enum { IMS_WALK_AGAIN = IMS_STEP_FAULT + 1 };

// Returns the question to the caller and goes on behind it at the next call. `n` is unique within its switch.
#define IMS_ASK(state_, n, kind)                                                                                       \
  do {                                                                                                                 \
    (state_) = (n);                                                                                                    \
    return (kind);                                                                                                     \
  case (n):;                                                                                                           \
  } while (0)

// The four questions. `describe` fills port->step; it runs only where somebody is there to read it.
#define IMS_READ64(state_, n, describe, hpa_, var, failed)                                                             \
  do {                                                                                                                 \
    port->refs++;                                                                                                      \
    if (IMS_AT_ONCE(h)) {                                                                                              \
      uint64_t got_ = 0; /* a register: the next address waits for it */                                               \
      if (__builtin_expect(!h->read64(ctx, (hpa_), &got_), 0))                                                         \
        failed;                                                                                                        \
      (var) = got_;                                                                                                    \
    } else {                                                                                                           \
      describe;                                                                                                        \
      IMS_ASK(state_, n, IMS_STEP_READ);                                                                               \
      if (!port->answer.ok)                                                                                            \
        failed;                                                                                                        \
      (var) = port->answer.data[0];                                                                                    \
    }                                                                                                                  \
  } while (0)

#define IMS_UPDATE64(state_, n, describe, hpa_, old_, desired_)                                                        \
  do {                                                                                                                 \
    if (IMS_AT_ONCE(h)) {                                                                                              \
      port->step.old = (old_);                                                                                         \
      port->step.desired = (desired_);                                                                                 \
      port->answer.ok = h->update64(ctx, (hpa_), port->step.old, port->step.desired, &port->answer.data[0]);           \
    } else {                                                                                                           \
      describe;                                                                                                        \
      port->step.old = (old_);                                                                                         \
      port->step.desired = (desired_);                                                                                 \
      IMS_ASK(state_, n, IMS_STEP_UPDATE);                                                                             \
    }                                                                                                                  \
  } while (0)

#define IMS_PROBE_TLB(state_, n, describe, cache_, addr_, id_)                                                         \
  do {                                                                                                                 \
    if (IMS_AT_ONCE(h)) {                                                                                              \
      struct ims_tag tag_ = {(addr_), (id_)};                                                                          \
      port->answer.hit = h->probe(ctx, (cache_), &tag_, &port->answer.value);                                          \
    } else {                                                                                                           \
      describe;                                                                                                        \
      port->step.cache = (uint8_t)(cache_);                                                                            \
      port->step.tag = (struct ims_tag){(addr_), (id_)};                                                               \
      IMS_ASK(state_, n, IMS_STEP_PROBE);                                                                              \
    }                                                                                                                  \
  } while (0)

#define IMS_FILL_TLB(state_, n, describe, cache_, addr_, id_, ...)                                                     \
  do {                                                                                                                 \
    struct ims_tag tag_ = {(addr_), (id_)};                                                                            \
    struct ims_tlb_value value_ = {__VA_ARGS__};                                                                       \
    if (IMS_AT_ONCE(h)) {                                                                                              \
      h->fill(ctx, (cache_), &tag_, &value_);                                                                          \
    } else {                                                                                                           \
      describe;                                                                                                        \
      port->step.cache = (uint8_t)(cache_);                                                                            \
      port->step.tag = tag_;                                                                                           \
      port->step.value = value_;                                                                                       \
      IMS_ASK(state_, n, IMS_STEP_FILL);                                                                               \
    }                                                                                                                  \
  } while (0)

// Fields that a step of this kind does not use keep what they had.
IMS_INLINE void ims_walk_describe1(const struct ims_walk *w, struct ims_port *port) {
  struct ims_step *s = &port->step;
  s->what = IMS_STRUCT_S1_TABLE;
  s->level = w->level;
  s->for_what = s->for_level = 0;
  s->len = 8;
  s->hpa = w->entry_hpa;
  s->gpa = w->entry_gpa;
  s->addr = w->in;
}

IMS_INLINE void ims_walk_describe2(const struct ims_walk *w, struct ims_port *port) {
  struct ims_step *s = &port->step;
  s->what = IMS_STRUCT_S2_TABLE;
  s->level = w->st2.level;
  s->for_what = w->level ? (uint8_t)IMS_STRUCT_S1_TABLE : w->purpose;
  s->for_level = w->level;
  s->len = 8;
  s->hpa = s->gpa = w->st2.entry_hpa;
  s->addr = w->st2.in;
}

IMS_INLINE int ims_walk_fail(struct ims_walk *w, unsigned stage, unsigned cause, unsigned during) {
  bool s2 = stage == 2;
  w->fault = (struct ims_walk_fault){
      .cause = (uint8_t)cause,
      .stage = (uint8_t)stage,
      .level = s2 ? w->st2.level : w->level,
      .top = s2 ? w->st2.level == w->s2.levels : w->level == w->s1.levels,
      .during = (uint8_t)during,
      .s1_level = s2 ? w->level : 0,
      .addr = s2 ? w->st2.in : w->in,
      .hpa = s2 ? w->st2.entry_hpa : w->entry_hpa,
  };
  return IMS_STEP_FAULT;
}

IMS_INLINE int ims_walk_lost(struct ims_walk *w, unsigned stage, unsigned during) {
  if (++w->retries <= IMS_WALK_RETRIES)
    return IMS_WALK_AGAIN;
  return ims_walk_fail(w, stage, IMS_WALK_AD_FAILED, during);
}

// The granule of a stage, as cached pieces of its walk remember it.
IMS_INLINE uint32_t ims_walk_attr_page1(const struct ims_pgt *p) {
  return ims_pgt_is_vmsa(p) ? ims_vmsa_tg(p) << IMS_ATTR_S1_PAGE : 0;
}
IMS_INLINE uint32_t ims_walk_attr_page2(const struct ims_pgt *p) {
  return ims_pgt_is_vmsa(p) ? ims_vmsa_tg(p) << IMS_ATTR_S2_PAGE : 0;
}

IMS_INLINE unsigned ims_walk_denied(enum ims_deny d) {
  switch (d) {
  case IMS_DENY_USER: return IMS_WALK_USER;
  case IMS_DENY_EXEC: return IMS_WALK_EXEC;
  case IMS_DENY_WRITE: return IMS_WALK_WRITE;
  case IMS_DENY_READ: return IMS_WALK_READ;
  case IMS_DENY_ALL: return IMS_WALK_NOT_PRESENT;
  default: return IMS_WALK_OK;
  }
}

IMS_INLINE bool ims_walk_denies_output(const struct ims_walk *w, uint64_t out) {
  return out - w->deny_base < w->deny_size;
}

// What a request needs of the second stage. A translation request asks for what is there: only a write that would be
// granted counts, since it sets the dirty bit.
IMS_INLINE unsigned ims_walk_need2(unsigned need, unsigned perm) {
  if (need & IMS_ACC_QUERY)
    need &= perm & IMS_PERM_W ? ~(unsigned)(IMS_ACC_R | IMS_ACC_X) : ~(unsigned)(IMS_ACC_R | IMS_ACC_X | IMS_ACC_W);
  return need;
}

// S2PTW (SMMUv3 5.2, SMMUv2 SCTLR.PTW): tables and CDs must not lie in Device memory.
IMS_INLINE bool ims_walk_protected(const struct ims_walk *w, unsigned during, unsigned memory) {
  return (w->s2.flags & IMS_PGT_PTW) && (during != IMS_FOR_PAGE || w->purpose != IMS_STRUCT_DATA) &&
         ims_vmsa_s2_device(&w->s2, memory);
}

IMS_INLINE unsigned ims_walk_malformed(const struct ims_pgt *p) {
  return ims_pgt_is_vmsa(p) ? IMS_WALK_SIZE : IMS_WALK_RESERVED;
}

#define IMS_LEVEL_BIT(cache_l2, level) ((w->caches >> ((cache_l2) + (level)-2u)) & 1u)

// The second stage: st2.in, st2.need -> st2.out, perm, shift, dirty. `during` says on whose behalf. `fresh` demands a
// walk although the nested TLB may know the page (its rights did not suffice, or the leaf's place is needed).
IMS_INLINE int ims_walk_stage2(struct ims_walk *w, struct ims_port *port, const struct ims_walk_hooks *h, void *ctx,
                               unsigned during) {
  struct ims_walk_stage2 *t = &w->st2;
  const struct ims_pgt *p = &w->s2;

  switch (t->state) {
  case 0:
    t->level = 0;
    t->entry_hpa = 0;
    IMS_KNOWN(p);
    if (!ims_pgt_in_range(p, t->in))
      return ims_walk_fail(w, 2, IMS_WALK_RANGE, during);

    // Nested TLB: the whole second stage of this page. A hit that lacks a right or the dirty bit walks again.
    if ((w->caches >> IMS_CACHE_NESTED & 1) && !t->fresh) {
      IMS_PROBE_TLB(t->state, 1, ims_walk_describe2(w, port), IMS_CACHE_NESTED, t->in, w->id2);
      const struct ims_tlb_value *v = &port->answer.value;
      unsigned need = ims_walk_need2(t->need, port->answer.hit ? v->perm2 : 0);
      if (port->answer.hit && ims_ss_judge(p, v->perm2, need) == IMS_DENY_NOTHING &&
          ((v->flags & IMS_TLB_S2_DIRTY) || !(need & IMS_ACC_W))) {
        t->perm = v->perm2;
        t->shift = v->shift;
        t->leaf = (uint8_t)IMS_ATTR_GET(v->attr, IMS_ATTR_S2_SHIFT, 6);
        t->memory = (uint8_t)IMS_ATTR_GET(v->attr, IMS_ATTR_MEM, 8);
        if (ims_walk_protected(w, during, t->memory))
          return ims_walk_fail(w, 2, IMS_WALK_DEVICE, during);
        t->dirty = v->flags & IMS_TLB_S2_DIRTY;
        t->located = false;
        t->out = v->addr | (t->in & ((1ull << v->shift) - 1));
        if (during == IMS_FOR_PAGE) {
          w->flags |= v->flags & IMS_TLB_SNOOP;
          if (ims_walk_denies_output(w, t->out))
            return ims_walk_fail(w, 2, IMS_WALK_OUTPUT, during);
        }
        return IMS_STEP_DONE;
      }
    }

    // Paging-structure caches, the one nearest to the leaf first.
    t->table = p->root;
    t->perm = IMS_PERM_ALL;
    IMS_KNOWN(p);
    t->all = ims_pgt_all(p);
    t->any = 0;
    if (ims_pgt_is_vmsa(p))
      t->top = ims_pgt_top(p);
    for (t->level = w->caches >> IMS_CACHE_S2_L2 & 15 ? 2 : p->levels + 1u; t->level <= p->levels; t->level++) {
      if (!IMS_LEVEL_BIT(IMS_CACHE_S2_L2, t->level))
        continue;
      IMS_PROBE_TLB(t->state, 2, ims_walk_describe2(w, port), IMS_CACHE_S2_L2 + t->level - 2u,
                    ims_tag_addr(t->in, ims_pgt_shift(p->fmt, t->level)), w->id2);
      if (port->answer.hit) {
        t->table = port->answer.value.addr;
        t->perm = port->answer.value.perm2;
        break;
      }
    }

    for (t->level--;; t->level--) {
      IMS_KNOWN(p);
      t->entry_hpa = t->table + ims_pgt_index_below(p, t->level, t->in, t->top) * 8;
      IMS_READ64(t->state, 3, ims_walk_describe2(w, port), t->entry_hpa, t->entry,
                 return ims_walk_fail(w, 2, IMS_WALK_ACCESS, during));
      IMS_KNOWN(p);
      t->entry = ims_pgt_swap(p, t->entry);
      enum ims_pte_kind kind = ims_pgt_decode(p, t->level, t->entry);
      if (kind == IMS_PTE_EMPTY)
        return ims_walk_fail(w, 2, IMS_WALK_NOT_PRESENT, during);
      if (kind == IMS_PTE_RESERVED)
        return ims_walk_fail(w, 2, ims_walk_malformed(p), during);
      // A missing right in a table entry does not stop the walk; it is judged at the leaf (3.7).
      IMS_KNOWN(p);
      ims_pgt_collect(p, kind == IMS_PTE_LEAF, t->entry, &t->all, &t->any);
      if (kind == IMS_PTE_LEAF)
        break;
      IMS_KNOWN(p);
      if (ims_pgt_used_table(p, t->entry) != t->entry) {
        if (p->flags & IMS_PGT_NOSNOOP)
          return ims_walk_fail(w, 2, IMS_WALK_AD_NOSNOOP, during);
        IMS_UPDATE64(t->state, 4, ims_walk_describe2(w, port), t->entry_hpa, ims_pgt_swap(p, t->entry),
                     ims_pgt_swap(p, ims_pgt_used_table(p, t->entry)));
        if (!port->answer.ok)
          return ims_walk_fail(w, 2, IMS_WALK_AD_FAILED, during);
        if (port->answer.data[0] != port->step.old)
          return ims_walk_lost(w, 2, during);
      }
      IMS_KNOWN(p);
      t->table = ims_pgt_addr(p, t->entry);
      if (IMS_LEVEL_BIT(IMS_CACHE_S2_L2, t->level))
        IMS_FILL_TLB(t->state, 5, ims_walk_describe2(w, port), IMS_CACHE_S2_L2 + t->level - 2u,
                     ims_tag_addr(t->in, ims_pgt_shift(p->fmt, t->level)), w->id2, .addr = t->table,
                     .perm1 = IMS_PERM_ALL, .perm2 = (uint8_t)(t->perm & ims_pgt_perm_over(p, t->all, 0)),
                     .attr = ims_walk_attr_page2(p));
    }

    // The leaf: rights, the result, then accessed and dirty together.
    IMS_KNOWN(p);
    t->perm &= (uint8_t)ims_pgt_perm_over(p, t->all, 0);
    t->leaf = (uint8_t)ims_pgt_shift(p->fmt, t->level);
    t->shift = t->leaf;
    t->memory = 0;
    IMS_KNOWN(p);
    t->out = ims_pgt_page(p, t->level, t->entry) | (t->in & ((1ull << t->shift) - 1));
    IMS_KNOWN(p);
    if (ims_pgt_is_vmsa(p)) {
      t->shift = (uint8_t)ims_pgt_reach(p, t->level, t->entry, t->in);
      t->memory = (uint8_t)ims_vmsa_s2_memory(p, t->entry);
      if (ims_pgt_too_large(p, t->out))
        return ims_walk_fail(w, 2, IMS_WALK_SIZE, during);
      if (ims_pgt_af_faults(p, t->entry))
        return ims_walk_fail(w, 2, IMS_WALK_FLAG, during);
      if (ims_walk_protected(w, during, t->memory))
        return ims_walk_fail(w, 2, IMS_WALK_DEVICE, during);
    }
    IMS_KNOWN(p);
    t->need = (uint8_t)ims_walk_need2(t->need, t->perm);
    enum ims_deny deny = ims_ss_judge(p, t->perm, t->need);
    if (deny != IMS_DENY_NOTHING)
      return ims_walk_fail(w, 2, ims_walk_denied(deny), during);
    if (during == IMS_FOR_PAGE && ims_walk_denies_output(w, t->out))
      return ims_walk_fail(w, 2, IMS_WALK_OUTPUT, during);
    IMS_KNOWN(p);
    t->desired = ims_pgt_used(p, t->entry);
    if (t->need & IMS_ACC_W)
      t->desired = ims_pgt_dirtied(p, t->desired);
    if (t->desired != t->entry) {
      if (p->flags & IMS_PGT_NOSNOOP)
        return ims_walk_fail(w, 2, IMS_WALK_AD_NOSNOOP, during);
      IMS_UPDATE64(t->state, 6, ims_walk_describe2(w, port), t->entry_hpa, ims_pgt_swap(p, t->entry),
                   ims_pgt_swap(p, t->desired));
      if (!port->answer.ok)
        return ims_walk_fail(w, 2, IMS_WALK_AD_FAILED, during);
      if (port->answer.data[0] != port->step.old)
        return ims_walk_lost(w, 2, during);
      t->entry = t->desired;
    }
    IMS_KNOWN(p);
    t->dirty = ims_pgt_dirtied(p, t->entry) == t->entry;
    t->located = true;
    bool snoop = !ims_pgt_is_vmsa(p) && (t->entry & IMS_SS_SNP);
    if (during == IMS_FOR_PAGE && snoop)
      w->flags |= IMS_TLB_SNOOP;
    if (w->caches >> IMS_CACHE_NESTED & 1)
      IMS_FILL_TLB(t->state, 7, ims_walk_describe2(w, port), IMS_CACHE_NESTED, ims_tag_addr(t->in, t->shift), w->id2,
                   .addr = t->out >> t->shift << t->shift, .shift = t->shift, .perm1 = IMS_PERM_ALL, .perm2 = t->perm,
                   .flags = (uint8_t)((t->dirty ? IMS_TLB_S2_DIRTY : 0) | (snoop ? IMS_TLB_SNOOP : 0)),
                   .attr = ims_walk_attr_page2(p) | (ims_pgt_is_vmsa(p) ? (uint32_t)t->leaf << IMS_ATTR_S2_SHIFT |
                                                                              (uint32_t)t->memory << IMS_ATTR_MEM
                                                                        : 0u));
  }
  return IMS_STEP_DONE;
}

// Runs the second stage within the walk: passes its questions and faults on, goes `again` when it lost a race.
#define IMS_STAGE2(n, in_, need_, fresh_, during_)                                                                     \
  do {                                                                                                                 \
    w->st2.in = (in_);                                                                                                 \
    w->st2.need = (uint8_t)(need_);                                                                                    \
    w->st2.fresh = (fresh_);                                                                                           \
    w->st2.state = 0;                                                                                                  \
    w->state = (n);                                                                                                    \
    __attribute__((fallthrough));                                                                                      \
  case (n):;                                                                                                           \
    int kind_ = ims_walk_stage2(w, port, h, ctx, (during_));                                                           \
    if (kind_ == IMS_WALK_AGAIN)                                                                                       \
      goto again;                                                                                                      \
    if (kind_ != IMS_STEP_DONE)                                                                                        \
      return (enum ims_step_kind)kind_;                                                                                \
  } while (0)

// Turns the first-stage entry just read into w->desired. Nested: that is a write to a guest page, so the second stage must
// permit it and, with its own dirty bits on, record it (VT-d 3.8); a plain read of the table records nothing.
IMS_INLINE int ims_walk_update1(struct ims_walk *w, struct ims_port *port, const struct ims_walk_hooks *h, void *ctx) {
  struct ims_walk_stage2 *t = &w->st2;
  int kind;

  switch (w->update_state) {
  case 0:
    if (w->s1.flags & IMS_PGT_NOSNOOP)
      return ims_walk_fail(w, 1, IMS_WALK_AD_NOSNOOP, IMS_FOR_UPDATE);
    if (w->s2.fmt && w->table_cached) {
      // The pointer came from a paging-structure cache with its HPA: the guest address is not known here.
      if (!(w->table_perm2 & IMS_PERM_W) || !(w->table_flags & IMS_TLB_S2_DIRTY)) {
        w->no_psc = true;
        return IMS_WALK_AGAIN;
      }
    } else if (w->s2.fmt && t->located) {
      if (!(t->perm & IMS_PERM_W))
        return ims_walk_fail(w, 2, IMS_WALK_WRITE, IMS_FOR_UPDATE);
      if (!t->dirty) {
        if (w->s2.flags & IMS_PGT_NOSNOOP)
          return ims_walk_fail(w, 2, IMS_WALK_AD_NOSNOOP, IMS_FOR_UPDATE);
        t->desired = ims_pgt_dirtied(&w->s2, t->entry);
        IMS_UPDATE64(w->update_state, 1, ims_walk_describe2(w, port), t->entry_hpa, ims_pgt_swap(&w->s2, t->entry),
                     ims_pgt_swap(&w->s2, t->desired));
        if (!port->answer.ok)
          return ims_walk_fail(w, 2, IMS_WALK_AD_FAILED, IMS_FOR_UPDATE);
        if (port->answer.data[0] != port->step.old)
          return ims_walk_lost(w, 2, IMS_FOR_UPDATE);
        t->entry = t->desired;
        t->dirty = true;
      }
    } else if (w->s2.fmt && (!(t->perm & IMS_PERM_W) || !t->dirty)) {
      // Known from the nested TLB only, and not enough: walk the second stage for this write.
      t->need = IMS_ACC_R | IMS_ACC_W;
      t->fresh = true;
      t->state = 0;
      w->update_state = 2;
      __attribute__((fallthrough));
    case 2:
      kind = ims_walk_stage2(w, port, h, ctx, IMS_FOR_UPDATE);
      if (kind != IMS_STEP_DONE)
        return kind;
      if (t->out != w->entry_hpa)
        return ims_walk_lost(w, 2, IMS_FOR_UPDATE);
    }
    IMS_UPDATE64(w->update_state, 3, ims_walk_describe1(w, port), w->entry_hpa, ims_pgt_swap(&w->s1, w->entry),
                 ims_pgt_swap(&w->s1, w->desired));
    if (!port->answer.ok)
      return ims_walk_fail(w, 1, IMS_WALK_AD_FAILED, IMS_FOR_UPDATE);
    if (port->answer.data[0] != port->step.old)
      return ims_walk_lost(w, 1, IMS_FOR_UPDATE);
    w->entry = w->desired;
  }
  return IMS_STEP_DONE;
}

#define IMS_UPDATE1(n, desired_)                                                                                       \
  do {                                                                                                                 \
    w->desired = (desired_);                                                                                           \
    w->update_state = 0;                                                                                               \
    w->state = (n);                                                                                                    \
    __attribute__((fallthrough));                                                                                      \
  case (n):;                                                                                                           \
    int kind_ = ims_walk_update1(w, port, h, ctx);                                                                     \
    if (kind_ == IMS_WALK_AGAIN)                                                                                       \
      goto again;                                                                                                      \
    if (kind_ != IMS_STEP_DONE)                                                                                        \
      return (enum ims_step_kind)kind_;                                                                                \
  } while (0)

IMS_INLINE enum ims_step_kind ims_walk_advance(struct ims_walk *w, struct ims_port *port,
                                               const struct ims_walk_hooks *h, void *ctx) {
  const struct ims_pgt *p = &w->s1;

  switch (w->state) {
  again:
  case 0:
    w->flags = 0;
    w->attr = 0;
    w->level = 0;
    w->perm1 = w->perm2 = IMS_PERM_ALL;
    w->out = w->in;
    w->shift = 63;
    w->entry_hpa = w->entry_gpa = 0;
    if (!p->fmt) {
      w->flags = IMS_TLB_S1_DIRTY;
      goto output;
    }

    // 1. The input address: canonical.
    IMS_KNOWN(p);
    if (!ims_pgt_in_range(p, w->in))
      return (enum ims_step_kind)ims_walk_fail(w, 1, IMS_WALK_RANGE, IMS_FOR_PAGE);

    // 2. Paging-structure caches, the one nearest to the leaf first.
    w->table = p->root;
    IMS_KNOWN(p);
    w->all = ims_pgt_all(p);
    w->any = 0;
    if (ims_pgt_is_vmsa(p))
      w->top_mask = ims_pgt_top(p);
    w->table_cached = false;
    w->table_known = true;
    for (w->level = w->caches >> IMS_CACHE_S1_L2 & 15 && !w->no_psc ? 2 : p->levels + 1u; w->level <= p->levels;
         w->level++) {
      if (!IMS_LEVEL_BIT(IMS_CACHE_S1_L2, w->level))
        continue;
      IMS_PROBE_TLB(w->state, 1, ims_walk_describe1(w, port), IMS_CACHE_S1_L2 + w->level - 2u,
                    ims_tag_addr(w->in, ims_pgt_shift(p->fmt, w->level)), w->id1);
      if (port->answer.hit) {
        w->table = port->answer.value.addr;
        w->perm1 = port->answer.value.perm1;
        w->table_perm2 = port->answer.value.perm2;
        w->table_flags = port->answer.value.flags;
        w->table_cached = w->table_flags & IMS_TLB_HPA;
        break;
      }
    }

    for (w->level--;; w->level--) {
      // 3. Where the entry lies: a GPA under a second stage, to be translated with the right to read.
      IMS_KNOWN(p);
      w->entry_gpa = w->entry_hpa = w->table + ims_pgt_index_below(p, w->level, w->in, w->top_mask) * 8;
      if (w->s2.fmt && !w->table_cached) {
        IMS_STAGE2(2, w->entry_gpa, IMS_ACC_R, false, IMS_FOR_TABLE);
        w->entry_hpa = w->st2.out;
      }
      if (!w->table_known && IMS_LEVEL_BIT(IMS_CACHE_S1_L2, w->level + 1u)) {
        // The HPA is good for the whole table only if the second stage keeps it together.
        bool hpa = !w->s2.fmt || (!w->psc_gpa && w->st2.shift >= p->fmt->page_shift);
        IMS_FILL_TLB(w->state, 3, ims_walk_describe1(w, port), IMS_CACHE_S1_L2 + w->level - 1u,
                     ims_tag_addr(w->in, ims_pgt_shift(p->fmt, w->level + 1u)), w->id1,
                     .addr = hpa ? w->entry_hpa >> p->fmt->page_shift << p->fmt->page_shift : w->table,
                     .perm1 = (uint8_t)(w->perm1 & ims_pgt_perm_over(p, w->all, w->any)),
                     .perm2 = w->s2.fmt ? w->st2.perm : IMS_PERM_ALL,
                     .flags = (uint8_t)((hpa ? IMS_TLB_HPA : 0) | (!w->s2.fmt || w->st2.dirty ? IMS_TLB_S2_DIRTY : 0)),
                     .attr = ims_walk_attr_page1(p));
      }

      // 4. The entry.
      IMS_READ64(w->state, 4, ims_walk_describe1(w, port), w->entry_hpa, w->entry,
                 return (enum ims_step_kind)ims_walk_fail(w, 1, IMS_WALK_ACCESS, IMS_FOR_TABLE));
      IMS_KNOWN(p);
      w->entry = ims_pgt_swap(p, w->entry);
      enum ims_pte_kind kind = ims_pgt_decode(p, w->level, w->entry);
      if (kind == IMS_PTE_EMPTY)
        return (enum ims_step_kind)ims_walk_fail(w, 1, IMS_WALK_NOT_PRESENT, IMS_FOR_TABLE);
      if (kind == IMS_PTE_RESERVED)
        return (enum ims_step_kind)ims_walk_fail(w, 1, ims_walk_malformed(p), IMS_FOR_TABLE);
      IMS_KNOWN(p);
      ims_pgt_collect(p, kind == IMS_PTE_LEAF, w->entry, &w->all, &w->any);
      if (kind == IMS_PTE_LEAF)
        break;
      IMS_KNOWN(p);
      if (ims_pgt_used_table(p, w->entry) != w->entry)
        IMS_UPDATE1(5, ims_pgt_used_table(p, w->entry));
      IMS_KNOWN(p);
      w->table = ims_pgt_addr(p, w->entry);
      w->table_cached = false;
      w->table_known = false;
    }

    // 5. The leaf: rights over all levels, then accessed and dirty in one update.
    IMS_KNOWN(p);
    w->perm1 &= (uint8_t)ims_pgt_perm_over(p, w->all, w->any);
    w->leaf = (uint8_t)ims_pgt_shift(p->fmt, w->level);
    w->shift = w->leaf;
    w->out = ims_pgt_page(p, w->level, w->entry) | (w->in & ((1ull << w->shift) - 1));
    IMS_KNOWN(p);
    if (ims_pgt_is_vmsa(p)) {
      w->shift = (uint8_t)ims_pgt_reach(p, w->level, w->entry, w->in);
      w->attr = ims_vmsa_s1_attr(p, w->entry, w->leaf);
      if (ims_pgt_too_large(p, w->out))
        return (enum ims_step_kind)ims_walk_fail(w, 1, IMS_WALK_SIZE, IMS_FOR_TABLE);
      if (ims_pgt_af_faults(p, w->entry))
        return (enum ims_step_kind)ims_walk_fail(w, 1, IMS_WALK_FLAG, IMS_FOR_PAGE);
    }
    IMS_KNOWN(p);
    if (w->access & IMS_ACC_QUERY) {
      // A translation request takes the rights that are there, and is refused whole where it would get none. One that does
      // not ask to read reads instructions (SMMUv3, STE.INSTCFG).
      unsigned base = w->access & ~(unsigned)(IMS_ACC_W | IMS_ACC_X), read = base;
      IMS_KNOWN(p);
      if (ims_pgt_is_vmsa(p) && !(w->access & IMS_ACC_R))
        read |= IMS_ACC_X;
      if (ims_fs_judge(p, w->perm1, base | IMS_ACC_W) != IMS_DENY_NOTHING)
        w->access &= (uint8_t)~IMS_ACC_W;
      if (ims_fs_judge(p, w->perm1, read) != IMS_DENY_NOTHING && (read == base || !(w->access & IMS_ACC_W)))
        return (enum ims_step_kind)ims_walk_fail(w, 1, IMS_WALK_USER, IMS_FOR_PAGE);
    } else {
      enum ims_deny deny = ims_fs_judge(p, w->perm1, w->access);
      if (deny != IMS_DENY_NOTHING)
        return (enum ims_step_kind)ims_walk_fail(w, 1, ims_walk_denied(deny), IMS_FOR_PAGE);
    }
    IMS_KNOWN(p);
    w->desired = ims_pgt_used(p, w->entry);
    if (w->access & IMS_ACC_W)
      w->desired = ims_pgt_dirtied(p, w->desired);
    if (w->desired != w->entry)
      IMS_UPDATE1(6, w->desired);
    IMS_KNOWN(p);
    if (ims_pgt_dirtied(p, w->entry) == w->entry)
      w->flags |= IMS_TLB_S1_DIRTY;

  output:
    // 6. The result, through the second stage with the rights of the request itself.
    w->level = 0;
    if (w->s2.fmt) {
      IMS_STAGE2(7, w->out, w->access, false, IMS_FOR_PAGE);
      w->out = w->st2.out;
      w->perm2 = w->st2.perm;
      if (w->st2.shift < w->shift)
        w->shift = w->st2.shift;
      IMS_KNOWN(&w->s2);
      if (ims_pgt_is_vmsa(&w->s2))
        w->attr = ims_vmsa_s2_attr(&w->s2, p->fmt != NULL, w->attr, w->st2.memory, w->st2.leaf);
    } else if (ims_walk_denies_output(w, w->out)) {
      return (enum ims_step_kind)ims_walk_fail(w, 1, IMS_WALK_OUTPUT, IMS_FOR_PAGE);
    }
    if (!w->s2.fmt || w->st2.dirty)
      w->flags |= IMS_TLB_S2_DIRTY;
  }
  return IMS_STEP_DONE;
}
