// SPDX-License-Identifier: Apache-2.0
// Builders of page tables. What differs between formats is the few functions of struct dialect; all else is driven by
// struct ims_pgt and struct ims_pgt_format.
#include "pgtable/build.h"
#include "pgtable/walk.h"
#include <stddef.h>

// How a format spells what the builders want to say.
struct dialect {
  unsigned map_flags;                                         // IMS_MAP_* it knows
  unsigned must;                                              // rights it cannot withhold
  uint64_t (*rights)(const struct ims_pgt *p, unsigned perm); // bits of a leaf that say `perm`
  uint64_t rights_mask;                                       // all bits that say rights in a leaf
  uint64_t (*attrs)(unsigned flags);                          // IMS_MAP_* as bits of a leaf
  uint64_t (*shape)(unsigned level);                          // bits that make a leaf of this level one
  uint64_t (*table)(const struct ims_pgt *p, uint64_t addr, unsigned flags);
  // A leaf of level-1 at `out` with all attributes of the given leaf.
  uint64_t (*part)(const struct ims_pgt *p, unsigned level, uint64_t leaf, uint64_t out);
  unsigned (*used)(uint64_t leaf); // IMS_MAP_A, IMS_MAP_EA that are set in a leaf
};

static uint64_t pages_ps(unsigned level) { return level > 1 ? IMS_FS_PS : 0; }
_Static_assert((int)IMS_FS_PS == (int)IMS_SS_PS, "PS is the same bit in both stages");

static uint64_t fs_rights(const struct ims_pgt *p, unsigned perm) {
  (void)p;
  return IMS_FS_P | (perm & IMS_PERM_W ? IMS_FS_RW : 0) | (perm & IMS_PERM_U ? IMS_FS_US : 0) |
         (perm & IMS_PERM_X ? 0 : IMS_FS_XD);
}

static uint64_t fs_attrs(unsigned flags) {
  return (flags & IMS_MAP_A ? IMS_FS_A : 0u) | (flags & IMS_MAP_D ? IMS_FS_D : 0u) |
         (flags & IMS_MAP_EA ? IMS_FS_EA : 0u);
}

static uint64_t fs_table(const struct ims_pgt *p, uint64_t addr, unsigned flags) {
  (void)p;
  return addr | IMS_FS_P | IMS_FS_RW | IMS_FS_US | fs_attrs(flags & ~(unsigned)IMS_MAP_D);
}

// PAT is bit 12 of a large leaf and bit 7, where PS was, of a 4 KB leaf.
static uint64_t fs_part(const struct ims_pgt *p, unsigned level, uint64_t leaf, uint64_t out) {
  uint64_t pat = leaf >> 12 & 1;
  uint64_t rest = leaf & ~p->fmt->addr_mask;
  if (level > 2)
    return out | rest | pat << 12;
  return out | (rest & ~(uint64_t)IMS_FS_PS) | pat << 7;
}

static unsigned fs_used(uint64_t leaf) {
  return (leaf & IMS_FS_A ? IMS_MAP_A : 0u) | (leaf & IMS_FS_EA ? IMS_MAP_EA : 0u);
}

static uint64_t ss_exec(const struct ims_pgt *p) { return p->fmt->present_mask & IMS_SS_X; }

static uint64_t ss_rights(const struct ims_pgt *p, unsigned perm) {
  return (perm & IMS_PERM_R ? IMS_SS_R : 0u) | (perm & IMS_PERM_W ? IMS_SS_W : 0u) |
         (perm & IMS_PERM_X ? ss_exec(p) : 0u);
}

static uint64_t ss_attrs(unsigned flags) {
  return (flags & IMS_MAP_A ? IMS_SS_A : 0u) | (flags & IMS_MAP_D ? IMS_SS_D : 0u) |
         (flags & IMS_MAP_SNP ? IMS_SS_SNP : 0u);
}

static uint64_t ss_table(const struct ims_pgt *p, uint64_t addr, unsigned flags) {
  return addr | IMS_SS_R | IMS_SS_W | ss_exec(p) | (flags & IMS_MAP_A ? IMS_SS_A : 0u);
}

static uint64_t ss_part(const struct ims_pgt *p, unsigned level, uint64_t leaf, uint64_t out) {
  uint64_t rest = leaf & ~p->fmt->addr_mask;
  return out | (level > 2 ? rest : rest & ~(uint64_t)IMS_SS_PS);
}

static unsigned ss_used(uint64_t leaf) { return leaf & IMS_SS_A ? IMS_MAP_A : 0u; }

static const struct dialect *dialect_of(const struct ims_pgt *p) {
  static const struct dialect fs = {
      .map_flags = IMS_MAP_A | IMS_MAP_D | IMS_MAP_EA,
      .must = IMS_PERM_R,
      .rights = fs_rights,
      .rights_mask = IMS_FS_P | IMS_FS_RW | IMS_FS_US | IMS_FS_XD,
      .attrs = fs_attrs,
      .shape = pages_ps,
      .table = fs_table,
      .part = fs_part,
      .used = fs_used,
  };
  static const struct dialect ss = {
      .map_flags = IMS_MAP_A | IMS_MAP_D | IMS_MAP_SNP,
      .rights = ss_rights,
      .rights_mask = IMS_SS_R | IMS_SS_W | IMS_SS_X,
      .attrs = ss_attrs,
      .shape = pages_ps,
      .table = ss_table,
      .part = ss_part,
      .used = ss_used,
  };
  switch (p->fmt->kind) {
  case IMS_PGT_X86_FS: return &fs;
  case IMS_PGT_VTD_SS: return &ss;
  default: break;
  }
  return NULL;
}

// Geometry.

static uint64_t reach(const struct ims_pgt *p, unsigned level) { return 1ull << ims_pgt_shift(p->fmt, level); }

static unsigned table_log2(const struct ims_pgt *p) { return p->fmt->index_bits + 3u; }

static uint64_t entry_at(const struct ims_pgt *p, uint64_t table, unsigned index) {
  (void)p;
  return table + 8ull * index;
}

static bool leaf_level(const struct ims_pgt *p, unsigned level) { return p->fmt->leaf_levels >> level & 1; }

// The last address of the entry that `in` falls to, but not beyond `last`.
static uint64_t entry_end(const struct ims_pgt *p, unsigned level, uint64_t in, uint64_t last) {
  uint64_t end = in | (reach(p, level) - 1);
  return end < last ? end : last;
}

static bool covers(const struct ims_pgt *p, unsigned level, uint64_t first, uint64_t last) {
  uint64_t mask = reach(p, level) - 1;
  return !(first & mask) && (last & mask) == mask;
}

// Both ends within the stage, and no hole between them.
static int check_range(const struct ims_pgt *p, uint64_t in, uint64_t size, uint64_t *last) {
  if (!size || ((in | size) & (reach(p, 1) - 1)))
    return IMS_ERR_INVAL;
  *last = in + size - 1;
  if (*last < in || !ims_pgt_in_range(p, in) || !ims_pgt_in_range(p, *last) || (in ^ *last) >> 63)
    return IMS_ERR_RANGE;
  return IMS_ERR_OK;
}

// The bits of a leaf that do not depend on its place; UNSUP where the format has no words for them.
static int spell(const struct ims_pgt *p, const struct dialect *d, unsigned perm, unsigned flags, uint64_t *bits) {
  if (perm & ~(unsigned)IMS_PERM_ALL || flags & ~(unsigned)(IMS_MAP_A | IMS_MAP_D | IMS_MAP_EA | IMS_MAP_SNP))
    return IMS_ERR_INVAL;
  if (flags & ~d->map_flags || (perm & d->must) != d->must)
    return IMS_ERR_UNSUP;
  *bits = d->rights(p, perm) | d->attrs(flags);
  if (!(*bits & p->fmt->present_mask))
    return IMS_ERR_INVAL;
  return *bits & p->fmt->rsvd_leaf[1] ? IMS_ERR_UNSUP : IMS_ERR_OK;
}

static int load_entry(const struct ims_pgt *p, const struct ims_pgt_mem *mem, unsigned level, uint64_t at, uint64_t *e,
                      enum ims_pte_kind *kind) {
  int err = mem->load64(mem->ctx, at, e);
  if (!err)
    *kind = ims_pgt_decode(p, level, *e);
  return err;
}

// Replaces `old` unless hardware has changed it since: then *seen differs from `old` and nothing was stored.
static int swap_entry(const struct ims_pgt_mem *mem, uint64_t at, uint64_t old, uint64_t desired, uint64_t *seen) {
  *seen = old;
  return mem->cas64 ? mem->cas64(mem->ctx, at, old, desired, seen) : mem->store64(mem->ctx, at, desired);
}

// A page for a table; RANGE if no entry can point to it.
static int new_table(const struct ims_pgt *p, const struct ims_pgt_mem *mem, uint64_t *addr) {
  int err = mem->alloc(mem->ctx, table_log2(p), addr);
  if (err)
    return err;
  if (!(*addr & ~p->fmt->addr_mask) && !(*addr & p->fmt->rsvd_table[2]))
    return IMS_ERR_OK;
  mem->free(mem->ctx, *addr, table_log2(p));
  return IMS_ERR_RANGE;
}

static void free_tree(const struct ims_pgt *p, const struct ims_pgt_mem *mem, unsigned level, uint64_t table) {
  for (unsigned i = 0; level > 1 && i < 1u << p->fmt->index_bits; i++) {
    uint64_t e;
    enum ims_pte_kind kind;
    if (load_entry(p, mem, level, entry_at(p, table, i), &e, &kind))
      break;
    if (kind == IMS_PTE_TABLE)
      free_tree(p, mem, level - 1, ims_pgt_addr(p, e));
  }
  mem->free(mem->ctx, table, table_log2(p));
}

int ims_pgt_create(struct ims_pgt *p, const struct ims_pgt_mem *mem) {
  if (!p->fmt || !p->levels || p->levels > IMS_PGT_MAX_LEVELS || p->in_bits <= p->fmt->page_shift ||
      p->in_bits > ims_pgt_shift(p->fmt, p->levels) + p->fmt->index_bits)
    return IMS_ERR_INVAL;
  uint64_t root;
  int err = new_table(p, mem, &root);
  if (!err)
    p->root = root;
  return err;
}

void ims_pgt_destroy(struct ims_pgt *p, const struct ims_pgt_mem *mem) {
  free_tree(p, mem, p->levels, p->root);
  p->root = 0;
}

// Mapping: first all is checked and the tables it takes are counted, then these are allocated, then entries are written.

struct mapping {
  const struct ims_pgt *p;
  const struct ims_pgt_mem *mem;
  const struct dialect *d;
  uint64_t delta; // out - in
  uint64_t bits;  // of each leaf
  unsigned flags, max_leaf;
  uint64_t tables; // needed, not yet linked
  uint64_t spare;  // the first of them; each holds the address of the next in its first word
};

// Is the entry for `in` to be a leaf, when the range ends at `last`?
static bool wants_leaf(const struct mapping *m, unsigned level, uint64_t in, uint64_t last) {
  uint64_t mask = reach(m->p, level) - 1;
  return level <= m->max_leaf && leaf_level(m->p, level) && !((in | (in + m->delta)) & mask) && last - in >= mask;
}

static int plan(struct mapping *m, unsigned level, bool exists, uint64_t table, uint64_t first, uint64_t last) {
  if (level == 1 && !exists)
    return IMS_ERR_OK;
  for (uint64_t in = first;;) {
    uint64_t end = entry_end(m->p, level, in, last), e = 0;
    enum ims_pte_kind kind = IMS_PTE_EMPTY;
    int err = exists ? load_entry(m->p, m->mem, level, ims_pgt_entry_addr(m->p, level, table, in), &e, &kind) : 0;
    if (err)
      return err;
    if (kind == IMS_PTE_LEAF || kind == IMS_PTE_RESERVED)
      return IMS_ERR_EXIST;
    if (kind == IMS_PTE_TABLE || !wants_leaf(m, level, in, last)) {
      m->tables += kind == IMS_PTE_EMPTY;
      err = plan(m, level - 1, kind == IMS_PTE_TABLE, ims_pgt_addr(m->p, e), in, end);
      if (err)
        return err;
    }
    if (end == last)
      return IMS_ERR_OK;
    in = end + 1;
  }
}

static int take_spare(struct mapping *m, uint64_t *table) {
  uint64_t next;
  int err = m->mem->load64(m->mem->ctx, m->spare, &next);
  if (!err)
    err = m->mem->store64(m->mem->ctx, m->spare, 0);
  if (err)
    return err;
  *table = m->spare;
  m->spare = next;
  m->tables--;
  return IMS_ERR_OK;
}

static void free_spares(struct mapping *m) {
  uint64_t table;
  while (m->tables && !take_spare(m, &table))
    m->mem->free(m->mem->ctx, table, table_log2(m->p));
}

static int reserve(struct mapping *m) {
  uint64_t wanted = m->tables, newest = 0;
  for (m->tables = 0; m->tables < wanted; m->tables++) {
    uint64_t table;
    int err = new_table(m->p, m->mem, &table);
    if (!err && m->tables && (err = m->mem->store64(m->mem->ctx, newest, table)))
      m->mem->free(m->mem->ctx, table, table_log2(m->p));
    if (err) {
      free_spares(m);
      return err;
    }
    if (!m->tables)
      m->spare = table;
    newest = table;
  }
  return IMS_ERR_OK;
}

static int fill(struct mapping *m, unsigned level, bool fresh, uint64_t table, uint64_t first, uint64_t last) {
  const struct ims_pgt *p = m->p;
  for (uint64_t in = first;;) {
    uint64_t end = entry_end(p, level, in, last), at = ims_pgt_entry_addr(p, level, table, in), e = 0, child;
    enum ims_pte_kind kind = IMS_PTE_EMPTY;
    int err = fresh ? 0 : load_entry(p, m->mem, level, at, &e, &kind);
    if (err)
      return err;
    if (kind == IMS_PTE_TABLE) {
      err = fill(m, level - 1, false, ims_pgt_addr(p, e), in, end);
    } else if (wants_leaf(m, level, in, last)) {
      err = m->mem->store64(m->mem->ctx, at, (in + m->delta) | m->bits | m->d->shape(level));
    } else if (!(err = take_spare(m, &child))) {
      err = fill(m, level - 1, true, child, in, end);
      if (!err)
        err = m->mem->store64(m->mem->ctx, at, m->d->table(p, child, m->flags));
      if (err)
        free_tree(p, m->mem, level - 1, child);
    }
    if (err || end == last)
      return err;
    in = end + 1;
  }
}

int ims_pgt_map(const struct ims_pgt *p, const struct ims_pgt_mem *mem, uint64_t in, uint64_t out, uint64_t size,
                unsigned perm, unsigned flags, unsigned max_leaf_level) {
  struct mapping m = {.p = p,
                      .mem = mem,
                      .d = dialect_of(p),
                      .delta = out - in,
                      .flags = flags,
                      .max_leaf = max_leaf_level ? max_leaf_level : IMS_PGT_MAX_LEVELS};
  uint64_t last, page = reach(p, 1) - 1;
  if (!m.d || out & page)
    return IMS_ERR_INVAL;
  int err = check_range(p, in, size, &last);
  if (err)
    return err;
  // What an entry can hold: its address bits but for those reserved above the width.
  if (out + size - 1 < out || out + size - 1 > ((p->fmt->addr_mask & ~p->fmt->rsvd_leaf[1]) | page))
    return IMS_ERR_RANGE;
  if ((err = spell(p, m.d, perm, flags, &m.bits)) || (err = plan(&m, p->levels, true, p->root, in, last)) ||
      (err = reserve(&m)))
    return err;
  err = fill(&m, p->levels, false, p->root, in, last);
  if (err) {
    free_spares(&m);
    ims_pgt_unmap(p, mem, in, size, IMS_UNMAP_KEEP, NULL);
  }
  return err;
}

// Splitting.

// Fills `table`, of level-1, with what the leaf of `level` says. On error all tables below it are freed, not itself.
static int fill_parts(const struct ims_pgt *p, const struct ims_pgt_mem *mem, const struct dialect *d, unsigned level,
                      uint64_t leaf, uint64_t table) {
  uint64_t page = ims_pgt_page(p, level, leaf), child;
  int err = IMS_ERR_OK;
  for (unsigned i = 0; i < 1u << p->fmt->index_bits && !err; i++) {
    uint64_t part = d->part(p, level, leaf, page + i * reach(p, level - 1));
    if (!leaf_level(p, level - 1)) { // second stages may have 1 GB pages and no 2 MB ones
      if ((err = new_table(p, mem, &child)))
        break;
      if ((err = fill_parts(p, mem, d, level - 1, part, child))) {
        mem->free(mem->ctx, child, table_log2(p));
        break;
      }
      part = d->table(p, child, d->used(leaf));
    }
    err = mem->store64(mem->ctx, entry_at(p, table, i), part);
  }
  if (!err || level == 2)
    return err;
  for (unsigned i = 0; i < 1u << p->fmt->index_bits; i++) {
    uint64_t e;
    enum ims_pte_kind kind;
    if (load_entry(p, mem, level - 1, entry_at(p, table, i), &e, &kind))
      break;
    if (kind == IMS_PTE_TABLE)
      free_tree(p, mem, level - 2, ims_pgt_addr(p, e));
  }
  return err;
}

// Sees to it that no leaf reaches across the border at `in`.
static int split_at(const struct ims_pgt *p, const struct ims_pgt_mem *mem, const struct dialect *d, uint64_t in) {
  uint64_t table = p->root;
  for (unsigned level = p->levels; level > 1 && in & (reach(p, level) - 1);) {
    uint64_t at = ims_pgt_entry_addr(p, level, table, in), e, seen, child;
    enum ims_pte_kind kind;
    int err = load_entry(p, mem, level, at, &e, &kind);
    if (err || kind == IMS_PTE_EMPTY)
      return err;
    if (kind == IMS_PTE_RESERVED)
      return IMS_ERR_FORMAT;
    if (kind == IMS_PTE_LEAF) {
      if ((err = new_table(p, mem, &child)))
        return err;
      err = fill_parts(p, mem, d, level, e, child);
      if (!err)
        err = swap_entry(mem, at, e, d->table(p, child, d->used(e)), &seen);
      if (err) {
        mem->free(mem->ctx, child, table_log2(p));
        return err;
      }
      if (seen != e) { // an accessed or dirty bit came in between: take it along
        free_tree(p, mem, level - 1, child);
        continue;
      }
      e = child;
    }
    table = ims_pgt_addr(p, e);
    level--;
  }
  return IMS_ERR_OK;
}

static int split_ends(const struct ims_pgt *p, const struct ims_pgt_mem *mem, const struct dialect *d, uint64_t in,
                      uint64_t last) {
  int err = split_at(p, mem, d, in);
  // Behind the last address of a stage there is nothing that could stick out.
  return err || !ims_pgt_in_range(p, last + 1) ? err : split_at(p, mem, d, last + 1);
}

// Unmapping.

struct clearing {
  const struct ims_pgt *p;
  const struct ims_pgt_mem *mem;
  struct ims_pgt_gather *gather;
  bool keep;
};

static void release(struct clearing *c, uint64_t table) {
  c->gather->tables++;
  if (c->gather->reap)
    c->gather->reap(c->gather->ctx, table, table_log2(c->p));
  else
    c->mem->free(c->mem->ctx, table, table_log2(c->p));
}

// Are all entries of the table empty but those for [first, last], which need no look?
static int empty_outside(const struct clearing *c, unsigned level, uint64_t table, uint64_t first, uint64_t last,
                         bool *empty) {
  uint64_t low = ims_pgt_entry_addr(c->p, level, table, first), high = ims_pgt_entry_addr(c->p, level, table, last);
  *empty = true;
  for (unsigned i = 0; i < 1u << c->p->fmt->index_bits && *empty; i++) {
    uint64_t at = entry_at(c->p, table, i), e;
    enum ims_pte_kind kind;
    if (at >= low && at <= high)
      continue;
    int err = load_entry(c->p, c->mem, level, at, &e, &kind);
    if (err)
      return err;
    *empty = kind == IMS_PTE_EMPTY;
  }
  return IMS_ERR_OK;
}

static int clear(struct clearing *c, unsigned level, uint64_t table, uint64_t first, uint64_t last, bool *empty) {
  bool left = false;
  for (uint64_t in = first;;) {
    uint64_t end = entry_end(c->p, level, in, last), at = ims_pgt_entry_addr(c->p, level, table, in), e;
    enum ims_pte_kind kind;
    int err = load_entry(c->p, c->mem, level, at, &e, &kind);
    if (err)
      return err;
    if (kind == IMS_PTE_RESERVED || (kind == IMS_PTE_LEAF && !covers(c->p, level, in, end)))
      return IMS_ERR_FORMAT;
    if (kind == IMS_PTE_LEAF) {
      if ((err = c->mem->store64(c->mem->ctx, at, 0)))
        return err;
      c->gather->unmapped += reach(c->p, level);
    } else if (kind == IMS_PTE_TABLE) {
      bool gone = false;
      if ((err = clear(c, level - 1, ims_pgt_addr(c->p, e), in, end, &gone)))
        return err;
      if (gone && !c->keep) {
        if ((err = c->mem->store64(c->mem->ctx, at, 0)))
          return err;
        release(c, ims_pgt_addr(c->p, e));
      } else {
        left = true;
      }
    }
    if (end == last)
      break;
    in = end + 1;
  }
  *empty = !left;
  return left || c->keep || level == c->p->levels ? IMS_ERR_OK : empty_outside(c, level, table, first, last, empty);
}

int ims_pgt_unmap(const struct ims_pgt *p, const struct ims_pgt_mem *mem, uint64_t in, uint64_t size, unsigned how,
                  struct ims_pgt_gather *gather) {
  struct ims_pgt_gather none = {0};
  struct clearing c = {.p = p, .mem = mem, .gather = gather ? gather : &none, .keep = how & IMS_UNMAP_KEEP};
  const struct dialect *d = dialect_of(p);
  uint64_t last;
  bool empty;
  if (!d || how & ~(unsigned)IMS_UNMAP_KEEP)
    return IMS_ERR_INVAL;
  int err = check_range(p, in, size, &last);
  if (!err)
    err = split_ends(p, mem, d, in, last);
  return err ? err : clear(&c, p->levels, p->root, in, last, &empty);
}

// Editing leaves in place.

struct edit {
  const struct ims_pgt *p;
  const struct ims_pgt_mem *mem;
  uint64_t off, on; // bits cleared, then bits set
  uint64_t only;    // unless 0: leaves without these bits are left alone
  bool dry;         // nothing is stored
  bool whole;       // no leaf may stick out
  uint64_t changed; // bytes
  ims_pgt_dirty report;
  void *ctx;
};

static int edit_leaf(struct edit *x, unsigned level, uint64_t at, uint64_t in, uint64_t e) {
  for (;;) {
    uint64_t desired = (e & ~x->off) | x->on, seen = e;
    if ((e & x->only) != x->only)
      return IMS_ERR_OK;
    int err = x->dry || desired == e ? 0 : swap_entry(x->mem, at, e, desired, &seen);
    if (err)
      return err;
    if (seen == e) {
      x->changed += desired != e ? reach(x->p, level) : 0;
      if (x->report)
        x->report(x->ctx, in & ~(reach(x->p, level) - 1), reach(x->p, level));
      return IMS_ERR_OK;
    }
    e = seen;
    if (ims_pgt_decode(x->p, level, e) != IMS_PTE_LEAF)
      return IMS_ERR_FORMAT;
  }
}

static int edit(struct edit *x, unsigned level, uint64_t table, uint64_t first, uint64_t last) {
  for (uint64_t in = first;;) {
    uint64_t end = entry_end(x->p, level, in, last), at = ims_pgt_entry_addr(x->p, level, table, in), e;
    enum ims_pte_kind kind;
    int err = load_entry(x->p, x->mem, level, at, &e, &kind);
    if (err)
      return err;
    if (kind == IMS_PTE_RESERVED || (kind == IMS_PTE_LEAF && x->whole && !covers(x->p, level, in, end)))
      return IMS_ERR_FORMAT;
    if (kind == IMS_PTE_LEAF)
      err = edit_leaf(x, level, at, in, e);
    else if (kind == IMS_PTE_TABLE)
      err = edit(x, level - 1, ims_pgt_addr(x->p, e), in, end);
    if (err || end == last)
      return err;
    in = end + 1;
  }
}

int ims_pgt_protect(const struct ims_pgt *p, const struct ims_pgt_mem *mem, uint64_t in, uint64_t size, unsigned perm,
                    uint64_t *changed) {
  const struct dialect *d = dialect_of(p);
  struct edit x = {.p = p, .mem = mem, .whole = true};
  uint64_t last;
  if (changed)
    *changed = 0;
  if (!d)
    return IMS_ERR_INVAL;
  x.off = d->rights_mask;
  int err = check_range(p, in, size, &last);
  if (err || (err = spell(p, d, perm, 0, &x.on)) || (err = split_ends(p, mem, d, in, last)))
    return err;
  err = edit(&x, p->levels, p->root, in, last);
  if (changed)
    *changed = x.changed;
  return err;
}

int ims_pgt_read_dirty(const struct ims_pgt *p, const struct ims_pgt_mem *mem, uint64_t in, uint64_t size, bool clears,
                       ims_pgt_dirty report, void *ctx) {
  struct edit x = {.p = p, .mem = mem, .off = p->d_bit, .only = p->d_bit, .dry = !clears, .report = report, .ctx = ctx};
  uint64_t last;
  if (!p->d_bit)
    return IMS_ERR_UNSUP;
  int err = check_range(p, in, size, &last);
  return err ? err : edit(&x, p->levels, p->root, in, last);
}

// Looking.

struct listing {
  const struct ims_pgt *p;
  const struct ims_pgt_mem *mem;
  ims_pgt_visitor visit;
  void *ctx;
};

static int list(const struct listing *l, unsigned level, uint64_t table, uint64_t first, uint64_t last, unsigned perm) {
  const struct ims_pgt *p = l->p;
  for (uint64_t in = first;;) {
    uint64_t end = entry_end(p, level, in, last);
    struct ims_pgt_visit v = {.in = in & ~(reach(p, level) - 1),
                              .size = reach(p, level),
                              .entry_addr = ims_pgt_entry_addr(p, level, table, in),
                              .level = (uint8_t)level};
    enum ims_pte_kind kind;
    int err = load_entry(p, l->mem, level, v.entry_addr, &v.entry, &kind);
    if (err)
      return err;
    if (kind != IMS_PTE_EMPTY) {
      v.kind = (uint8_t)kind;
      v.perm = (uint8_t)(perm & ims_pgt_perm(p, v.entry));
      v.out = kind == IMS_PTE_LEAF ? ims_pgt_page(p, level, v.entry) : 0;
      if (kind == IMS_PTE_TABLE)
        v.out = ims_pgt_addr(p, v.entry);
      if ((err = l->visit(l->ctx, &v)) < 0)
        return err;
      if (kind == IMS_PTE_TABLE && err != IMS_VISIT_SKIP && (err = list(l, level - 1, v.out, in, end, v.perm)))
        return err;
    }
    if (end == last)
      return IMS_ERR_OK;
    in = end + 1;
  }
}

int ims_pgt_iterate(const struct ims_pgt *p, const struct ims_pgt_mem *mem, uint64_t first, uint64_t last,
                    ims_pgt_visitor visit, void *ctx) {
  const struct listing l = {p, mem, visit, ctx};
  // The last address from 0 on that the stage can translate; and the first of the half above the hole, if there is one.
  uint64_t low_last = 0, high_first;
  for (unsigned bit = 0; bit < 64 && ims_pgt_in_range(p, low_last << 1 | 1); bit++)
    low_last = low_last << 1 | 1;
  high_first = ~low_last;
  int err = IMS_ERR_OK;
  if (first <= low_last && first <= last)
    err = list(&l, p->levels, p->root, first, last < low_last ? last : low_last, IMS_PERM_ALL);
  if (!err && ims_pgt_in_range(p, high_first) && high_first > low_last && last >= high_first && first <= last)
    err = list(&l, p->levels, p->root, first > high_first ? first : high_first, last, IMS_PERM_ALL);
  return err;
}

int ims_pgt_lookup(const struct ims_pgt *p, const struct ims_pgt_mem *mem, uint64_t in, struct ims_pgt_leaf *leaf) {
  // A privileged translation request meets no refusal, and with the bits off nothing is updated.
  struct ims_walk w = {.in = in, .access = IMS_ACC_R | IMS_ACC_PRIV | IMS_ACC_QUERY};
  struct ims_port port = {0};
  struct ims_pgt *stage = p->fmt->kind == IMS_PGT_X86_FS ? &w.s1 : &w.s2;
  enum ims_step_kind kind;
  *stage = *p;
  stage->a_bits = stage->d_bit = 0;
  ims_walk_begin(&w);
  while ((kind = ims_walk_step(&w, &port)) == IMS_STEP_READ) {
    leaf->entry_addr = port.step.hpa;
    leaf->level = port.step.level;
    port.answer.ok = !mem->load64(mem->ctx, port.step.hpa, &port.answer.data[0]);
    leaf->entry = port.answer.data[0];
  }
  if (kind == IMS_STEP_DONE) {
    leaf->out = w.out;
    leaf->shift = w.shift;
    leaf->perm = w.perm1 & w.perm2;
    return IMS_ERR_OK;
  }
  switch (w.fault.cause) {
  case IMS_WALK_RANGE: return IMS_ERR_RANGE;
  case IMS_WALK_ACCESS: return IMS_ERR_BUS;
  case IMS_WALK_RESERVED: return IMS_ERR_FORMAT;
  default: return IMS_ERR_NOENT;
  }
}
