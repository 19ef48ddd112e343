// SPDX-License-Identifier: Apache-2.0
// Builders of page tables. What differs between formats is the few functions of struct dialect; all else is driven by
// struct ims_pgt and struct ims_pgt_format.
#include "pgtable/build.h"
#include "pgtable/vmsa.h"
#include "pgtable/walk.h"
#include <stddef.h>

// How a format spells what the builders want to say.
struct dialect {
  unsigned map_flags; // IMS_MAP_* it knows
  unsigned must;      // rights it cannot withhold
  // A leaf without address that says `perm` and IMS_MAP_*, whatever its level.
  uint64_t (*leaf)(const struct ims_pgt *p, unsigned perm, unsigned flags);
  uint64_t (*shape)(unsigned level); // bits that make a leaf of this level one
  uint64_t (*table)(const struct ims_pgt *p, unsigned flags);
  // What of a leaf also stands in the leaves of level-1 that it is split into.
  uint64_t (*part)(const struct ims_pgt *p, unsigned level, uint64_t leaf);
  unsigned (*used)(uint64_t leaf);                                            // IMS_MAP_A, IMS_MAP_EA set in a leaf
  uint64_t (*protect)(const struct ims_pgt *p, uint64_t leaf, unsigned perm); // the leaf with other rights
  bool (*dirty)(const struct ims_pgt *p, uint64_t leaf);
  uint64_t (*clean)(const struct ims_pgt *p, uint64_t leaf);
};

static bool bit_dirty(const struct ims_pgt *p, uint64_t leaf) { return leaf & p->d_bit; }
static uint64_t bit_clean(const struct ims_pgt *p, uint64_t leaf) { return leaf & ~(uint64_t)p->d_bit; }

// x86-64 first stage.

static uint64_t pages_ps(unsigned level) { return level > 1 ? IMS_FS_PS : 0; }
_Static_assert((int)IMS_FS_PS == (int)IMS_SS_PS, "PS is the same bit in both stages");

static uint64_t fs_rights(unsigned perm) {
  return IMS_FS_P | (perm & IMS_PERM_W ? IMS_FS_RW : 0) | (perm & IMS_PERM_U ? IMS_FS_US : 0) |
         (perm & IMS_PERM_X ? 0 : IMS_FS_XD);
}

static uint64_t fs_attrs(unsigned flags) {
  return (flags & IMS_MAP_A ? IMS_FS_A : 0u) | (flags & IMS_MAP_D ? IMS_FS_D : 0u) |
         (flags & IMS_MAP_EA ? IMS_FS_EA : 0u);
}

static uint64_t fs_leaf(const struct ims_pgt *p, unsigned perm, unsigned flags) {
  (void)p;
  return fs_rights(perm) | fs_attrs(flags);
}

static uint64_t fs_protect(const struct ims_pgt *p, uint64_t leaf, unsigned perm) {
  (void)p;
  return (leaf & ~(IMS_FS_P | IMS_FS_RW | IMS_FS_US | IMS_FS_XD)) | fs_rights(perm);
}

static uint64_t fs_table(const struct ims_pgt *p, unsigned flags) {
  (void)p;
  return IMS_FS_P | IMS_FS_RW | IMS_FS_US | fs_attrs(flags & ~(unsigned)IMS_MAP_D);
}

// PAT is bit 12 of a large leaf and bit 7, where PS was, of a 4 KB leaf.
static uint64_t fs_part(const struct ims_pgt *p, unsigned level, uint64_t leaf) {
  uint64_t pat = leaf >> 12 & 1;
  uint64_t rest = leaf & ~p->fmt->addr_mask;
  return level > 2 ? rest | pat << 12 : (rest & ~(uint64_t)IMS_FS_PS) | pat << 7;
}

static unsigned fs_used(uint64_t leaf) {
  return (leaf & IMS_FS_A ? IMS_MAP_A : 0u) | (leaf & IMS_FS_EA ? IMS_MAP_EA : 0u);
}

// VT-d second stage.

static uint64_t ss_exec(const struct ims_pgt *p) { return p->fmt->present_mask & IMS_SS_X; }

static uint64_t ss_rights(const struct ims_pgt *p, unsigned perm) {
  return (perm & IMS_PERM_R ? IMS_SS_R : 0u) | (perm & IMS_PERM_W ? IMS_SS_W : 0u) |
         (perm & IMS_PERM_X ? ss_exec(p) : 0u);
}

static uint64_t ss_leaf(const struct ims_pgt *p, unsigned perm, unsigned flags) {
  return ss_rights(p, perm) | (flags & IMS_MAP_A ? IMS_SS_A : 0u) | (flags & IMS_MAP_D ? IMS_SS_D : 0u) |
         (flags & IMS_MAP_SNP ? IMS_SS_SNP : 0u);
}

static uint64_t ss_protect(const struct ims_pgt *p, uint64_t leaf, unsigned perm) {
  return (leaf & ~(uint64_t)(IMS_SS_R | IMS_SS_W | IMS_SS_X)) | ss_rights(p, perm);
}

static uint64_t ss_table(const struct ims_pgt *p, unsigned flags) {
  return IMS_SS_R | IMS_SS_W | ss_exec(p) | (flags & IMS_MAP_A ? IMS_SS_A : 0u);
}

static uint64_t ss_part(const struct ims_pgt *p, unsigned level, uint64_t leaf) {
  uint64_t rest = leaf & ~p->fmt->addr_mask;
  return level > 2 ? rest : rest & ~(uint64_t)IMS_SS_PS;
}

static unsigned ss_used(uint64_t leaf) { return leaf & IMS_SS_A ? IMS_MAP_A : 0u; }

// VMSAv8-64 (DDI 0487, D8.3, D8.4, D8.5.2).
//
// Dirty state is the right to write itself: a leaf with DBM that does not permit writing is writable and clean. A leaf
// that is read-only for good must have DBM=0, so what it was is kept in two of the bits that belong to software.
#define SW_DIRTY (1ull << 55) // of a read-only leaf: it was written
#define SW_DBM   (1ull << 56) // of a read-only leaf: its writes are recorded once it is writable

static uint64_t vmsa_pages(unsigned level) { return level > 1 ? 0 : IMS_VMSA_TABLE; }

static uint64_t vmsa_table(const struct ims_pgt *p, unsigned flags) {
  bool af = (flags & IMS_MAP_A) && (p->flags & IMS_PGT_HAFT);
  return IMS_VMSA_VALID | IMS_VMSA_TABLE | (af ? IMS_VMSA_AF : 0u);
}

static uint64_t vmsa_part(const struct ims_pgt *p, unsigned level, uint64_t leaf) {
  const struct ims_pgt_format *f = p->fmt;
  uint64_t high = ((1ull << f->high_bits) - 1) << f->high_from;
  return (leaf & ~(f->addr_mask | high | IMS_VMSA_CONTIGUOUS)) | (level > 2 ? 0u : IMS_VMSA_TABLE);
}

static unsigned vmsa_used(uint64_t leaf) { return leaf & IMS_VMSA_AF ? IMS_MAP_A : 0u; }

// Attributes that both stages have in their places; DS has no SH.
static uint64_t vmsa_attrs(const struct ims_pgt *p, unsigned flags) {
  return IMS_VMSA_VALID | (p->fmt->ds ? 0u : 3u << 8) | (flags & IMS_MAP_A ? IMS_VMSA_AF : 0u);
}

// The states of a leaf that may be written or not, is dirty or not, and has its writes recorded or not; `writes` is what
// permits writing now.
static uint64_t vmsa_write(unsigned perm, bool dirty, bool dbm, uint64_t writes) {
  if (!(perm & IMS_PERM_W))
    return dbm ? SW_DBM | (dirty ? SW_DIRTY : 0) : 0;
  return (dbm ? IMS_VMSA_DBM : 0) | (!dbm || dirty ? writes : 0);
}

static bool vmsa_recorded(uint64_t leaf) { return leaf & (IMS_VMSA_DBM | SW_DBM); }

static uint64_t vmsa_dirtied(const struct ims_pgt *p, uint64_t leaf) {
  if (!(leaf & IMS_VMSA_DBM))
    return leaf & SW_DBM ? leaf | SW_DIRTY : leaf;
  return p->fmt->kind == IMS_PGT_VMSA_S1 ? leaf & ~(uint64_t)IMS_VMSA_AP2 : leaf | IMS_VMSA_S2AP_W;
}

// AP[2] permits writing by being 0, so words of stage 1 are put together with it inverted.
static bool s1_dirty(const struct ims_pgt *p, uint64_t leaf) {
  (void)p;
  return (leaf & SW_DIRTY) || ((leaf & IMS_VMSA_DBM) && !(leaf & IMS_VMSA_AP2));
}

static uint64_t s1_clean(const struct ims_pgt *p, uint64_t leaf) {
  (void)p;
  return (leaf | IMS_VMSA_AP2) & ~SW_DIRTY;
}

static uint64_t s1_rights(const struct ims_pgt *p, unsigned perm, bool dirty, bool dbm) {
  bool one = p->flags & IMS_PGT_ONE_EL; // AP[1] is RES1 and PXN is RES0 there
  uint64_t e = vmsa_write(perm, dirty, dbm, IMS_VMSA_AP2) ^ IMS_VMSA_AP2;
  e |= perm & IMS_PERM_U || one ? IMS_VMSA_AP1 : 0u;
  e |= perm & IMS_PERM_X ? 0 : IMS_VMSA_UXN;
  return e | (perm & IMS_PERM_PX || one ? 0 : IMS_VMSA_PXN);
}

static uint64_t s1_leaf(const struct ims_pgt *p, unsigned perm, unsigned flags) {
  unsigned index = flags >> IMS_MAP_ATTR_SHIFT & 7;
  return s1_rights(p, perm, flags & IMS_MAP_D, flags & IMS_MAP_DBM) | vmsa_attrs(p, flags) | index << 2 |
         (flags & IMS_MAP_NG ? IMS_VMSA_NG : 0u);
}

static uint64_t s1_protect(const struct ims_pgt *p, uint64_t leaf, unsigned perm) {
  uint64_t off = IMS_VMSA_AP1 | IMS_VMSA_AP2 | IMS_VMSA_DBM | IMS_VMSA_PXN | IMS_VMSA_UXN | SW_DIRTY | SW_DBM;
  return (leaf & ~off) | s1_rights(p, perm, s1_dirty(p, leaf), vmsa_recorded(leaf));
}

static bool s2_dirty(const struct ims_pgt *p, uint64_t leaf) {
  (void)p;
  return (leaf & SW_DIRTY) || ((leaf & IMS_VMSA_DBM) && (leaf & IMS_VMSA_S2AP_W));
}

static uint64_t s2_clean(const struct ims_pgt *p, uint64_t leaf) {
  (void)p;
  return leaf & ~(leaf & IMS_VMSA_DBM ? SW_DIRTY | IMS_VMSA_S2AP_W : SW_DIRTY);
}

// XN[1:0]; without XNX bit 1 binds both sides.
static uint64_t s2_rights(const struct ims_pgt *p, unsigned perm, bool dirty, bool dbm) {
  bool x = perm & IMS_PERM_X, px = p->fmt->xnx ? perm & IMS_PERM_PX : x;
  uint64_t xn = x ? (px ? 0 : 1) : px ? 3 : 2;
  return vmsa_write(perm, dirty, dbm, IMS_VMSA_S2AP_W) | (perm & IMS_PERM_R ? IMS_VMSA_S2AP_R : 0u) | xn << 53;
}

static uint64_t s2_leaf(const struct ims_pgt *p, unsigned perm, unsigned flags) {
  unsigned write_back = p->flags & IMS_PGT_FWB ? 6 : 15;
  unsigned mem = flags & IMS_MAP_ATTR(0) ? flags >> IMS_MAP_ATTR_SHIFT & 15 : write_back;
  return s2_rights(p, perm, flags & IMS_MAP_D, flags & IMS_MAP_DBM) | vmsa_attrs(p, flags) | mem << 2;
}

static uint64_t s2_protect(const struct ims_pgt *p, uint64_t leaf, unsigned perm) {
  uint64_t off = IMS_VMSA_S2AP_R | IMS_VMSA_S2AP_W | IMS_VMSA_DBM | IMS_VMSA_PXN | IMS_VMSA_UXN | SW_DIRTY | SW_DBM;
  return (leaf & ~off) | s2_rights(p, perm, s2_dirty(p, leaf), vmsa_recorded(leaf));
}

static const struct dialect *dialect_of(const struct ims_pgt *p) {
  static const struct dialect fs = {
      .map_flags = IMS_MAP_A | IMS_MAP_D | IMS_MAP_EA,
      .must = IMS_PERM_R,
      .leaf = fs_leaf,
      .shape = pages_ps,
      .table = fs_table,
      .part = fs_part,
      .used = fs_used,
      .protect = fs_protect,
      .dirty = bit_dirty,
      .clean = bit_clean,
  };
  static const struct dialect ss = {
      .map_flags = IMS_MAP_A | IMS_MAP_D | IMS_MAP_SNP,
      .leaf = ss_leaf,
      .shape = pages_ps,
      .table = ss_table,
      .part = ss_part,
      .used = ss_used,
      .protect = ss_protect,
      .dirty = bit_dirty,
      .clean = bit_clean,
  };
  static const struct dialect s1 = {
      .map_flags = IMS_MAP_A | IMS_MAP_D | IMS_MAP_NG | IMS_MAP_DBM | IMS_MAP_CONTIGUOUS | IMS_MAP_ATTR(7),
      .must = IMS_PERM_R,
      .leaf = s1_leaf,
      .shape = vmsa_pages,
      .table = vmsa_table,
      .part = vmsa_part,
      .used = vmsa_used,
      .protect = s1_protect,
      .dirty = s1_dirty,
      .clean = s1_clean,
  };
  static const struct dialect s2 = {
      .map_flags = IMS_MAP_A | IMS_MAP_D | IMS_MAP_DBM | IMS_MAP_CONTIGUOUS | IMS_MAP_ATTR(15),
      .leaf = s2_leaf,
      .shape = vmsa_pages,
      .table = vmsa_table,
      .part = vmsa_part,
      .used = vmsa_used,
      .protect = s2_protect,
      .dirty = s2_dirty,
      .clean = s2_clean,
  };
  switch (p->fmt->kind) {
  case IMS_PGT_X86_FS: return &fs;
  case IMS_PGT_VTD_SS: return &ss;
  case IMS_PGT_VMSA_S1: return &s1;
  case IMS_PGT_VMSA_S2: return &s2;
  }
  return NULL;
}

// Geometry.

static uint64_t reach(const struct ims_pgt *p, unsigned level) { return 1ull << ims_pgt_shift(p->fmt, level); }

// Of all entries that a contiguous hint at this level binds together; x86 has none.
static uint64_t run_reach(const struct ims_pgt *p, unsigned level) {
  return reach(p, level) << p->fmt->contiguous[level];
}

// Bytes of a table as log2. A VMSA root is as large as the input needs; all others are a page (level 0: any such).
static unsigned table_log2(const struct ims_pgt *p, unsigned level) {
  if (level < p->levels || !ims_pgt_is_vmsa(p))
    return p->fmt->index_bits + 3u;
  return ims_vmsa_root_log2(p);
}

static unsigned entries(const struct ims_pgt *p, unsigned level) {
  if (level < p->levels || !ims_pgt_is_vmsa(p))
    return 1u << p->fmt->index_bits;
  return 1u << (p->in_bits - ims_pgt_shift(p->fmt, level));
}

static uint64_t entry_at(uint64_t table, unsigned index) { return table + 8ull * index; }

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

// The largest address that an entry can hold.
static uint64_t hold(const struct ims_pgt *p) {
  const struct ims_pgt_format *f = p->fmt;
  uint64_t bits = f->addr_mask | ((1ull << f->high_bits) - 1) << f->high_to;
  return ims_pgt_is_vmsa(p) ? bits & ((1ull << p->out_bits) - 1) : bits & ~f->rsvd_leaf[1];
}

// An address as the bits of an entry: the reverse of ims_pgt_addr.
static uint64_t place(const struct ims_pgt *p, uint64_t addr) {
  const struct ims_pgt_format *f = p->fmt;
  uint64_t high = addr >> f->high_to & ((1ull << f->high_bits) - 1);
  return f->high_bits ? (addr & f->addr_mask) | high << f->high_from : addr;
}

static uint64_t table_entry(const struct ims_pgt *p, const struct dialect *d, uint64_t table, unsigned flags) {
  return place(p, table) | d->table(p, flags);
}

// The bits of a leaf that do not depend on its place; UNSUP where the format has no words for them.
static int spell(const struct ims_pgt *p, const struct dialect *d, unsigned perm, unsigned flags, uint64_t *bits) {
  if (perm & ~(unsigned)IMS_PERM_ALL || flags & ~(unsigned)IMS_MAP_ALL)
    return IMS_ERR_INVAL;
  if (flags & ~d->map_flags || (perm & d->must) != d->must)
    return IMS_ERR_UNSUP;
  *bits = d->leaf(p, perm, flags);
  if (!(*bits & p->fmt->present_mask))
    return IMS_ERR_INVAL;
  return *bits & p->fmt->rsvd_leaf[1] ? IMS_ERR_UNSUP : IMS_ERR_OK;
}

static int load_entry(const struct ims_pgt *p, const struct ims_pgt_mem *mem, unsigned level, uint64_t at, uint64_t *e,
                      enum ims_pte_kind *kind) {
  int err = mem->load64(mem->ctx, at, e);
  if (!err) {
    *e = ims_pgt_swap(p, *e);
    *kind = ims_pgt_decode(p, level, *e);
  }
  return err;
}

static int store_entry(const struct ims_pgt *p, const struct ims_pgt_mem *mem, uint64_t at, uint64_t e) {
  return mem->store64(mem->ctx, at, ims_pgt_swap(p, e));
}

// Replaces `old` unless hardware has changed it since: then *seen differs from `old` and nothing was stored.
static int swap_entry(const struct ims_pgt *p, const struct ims_pgt_mem *mem, uint64_t at, uint64_t old,
                      uint64_t desired, uint64_t *seen) {
  *seen = old;
  if (!mem->cas64)
    return store_entry(p, mem, at, desired);
  uint64_t found;
  int err = mem->cas64(mem->ctx, at, ims_pgt_swap(p, old), ims_pgt_swap(p, desired), &found);
  *seen = err ? old : ims_pgt_swap(p, found);
  return err;
}

// Memory for a table; RANGE if no entry can point to it.
static int new_table(const struct ims_pgt *p, const struct ims_pgt_mem *mem, unsigned level, uint64_t *addr) {
  int err = mem->alloc(mem->ctx, table_log2(p, level), addr);
  if (err)
    return err;
  // A root may be smaller than a page, and is then aligned to itself alone.
  uint64_t below = level < p->levels ? 0 : reach(p, 1) - 1;
  if (!(*addr & ~(hold(p) | below)) && !(*addr & p->fmt->rsvd_table[2]))
    return IMS_ERR_OK;
  mem->free(mem->ctx, *addr, table_log2(p, level));
  return IMS_ERR_RANGE;
}

static void free_tree(const struct ims_pgt *p, const struct ims_pgt_mem *mem, unsigned level, uint64_t table) {
  for (unsigned i = 0; level > 1 && i < entries(p, level); i++) {
    uint64_t e;
    enum ims_pte_kind kind;
    if (load_entry(p, mem, level, entry_at(table, i), &e, &kind))
      break;
    if (kind == IMS_PTE_TABLE)
      free_tree(p, mem, level - 1, ims_pgt_addr(p, e));
  }
  mem->free(mem->ctx, table, table_log2(p, level));
}

// The widest input of a stage: its levels, and for a VMSA second stage four bits of concatenated tables.
static unsigned widest(const struct ims_pgt *p) {
  unsigned extra = p->fmt->kind == IMS_PGT_VMSA_S2 ? 4 : 0;
  return ims_pgt_shift(p->fmt, p->levels) + p->fmt->index_bits + extra;
}

int ims_pgt_create(struct ims_pgt *p, const struct ims_pgt_mem *mem) {
  if (!p->fmt || !p->levels || p->levels > IMS_PGT_MAX_LEVELS || p->in_bits <= p->fmt->page_shift ||
      p->in_bits > widest(p))
    return IMS_ERR_INVAL;
  if (ims_pgt_is_vmsa(p) &&
      (p->in_bits <= ims_pgt_shift(p->fmt, p->levels) || p->out_bits < p->fmt->page_shift || p->out_bits > 52))
    return IMS_ERR_INVAL;
  uint64_t root;
  int err = new_table(p, mem, p->levels, &root);
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
    m->mem->free(m->mem->ctx, table, table_log2(m->p, 0));
}

static int reserve(struct mapping *m) {
  uint64_t wanted = m->tables, newest = 0;
  for (m->tables = 0; m->tables < wanted; m->tables++) {
    uint64_t table;
    int err = new_table(m->p, m->mem, 0, &table);
    if (!err && m->tables && (err = m->mem->store64(m->mem->ctx, newest, table)))
      m->mem->free(m->mem->ctx, table, table_log2(m->p, 0));
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

// May the leaves from `in` on, the first of a run, carry the contiguous hint (D8.7.1)? All of them have to be leaves of
// this mapping: within the range, in line with their output, and none of them a table that stood there before.
static int hints(const struct mapping *m, unsigned level, bool fresh, uint64_t table, uint64_t in, uint64_t last,
                 bool *yes) {
  const struct ims_pgt *p = m->p;
  uint64_t mask = run_reach(p, level) - 1;
  *yes = (m->flags & IMS_MAP_CONTIGUOUS) && p->fmt->contiguous[level] && mask >> p->in_bits == 0 &&
         !((in | (in + m->delta)) & mask) && last - in >= mask;
  for (unsigned i = 0; *yes && !fresh && level > 1 && i < 1u << p->fmt->contiguous[level]; i++) {
    uint64_t e;
    enum ims_pte_kind kind;
    int err = load_entry(p, m->mem, level, entry_at(ims_pgt_entry_addr(p, level, table, in), i), &e, &kind);
    if (err)
      return err;
    *yes = kind == IMS_PTE_EMPTY;
  }
  return IMS_ERR_OK;
}

static int fill(struct mapping *m, unsigned level, bool fresh, uint64_t table, uint64_t first, uint64_t last) {
  const struct ims_pgt *p = m->p;
  bool hint = false;
  for (uint64_t in = first;;) {
    uint64_t end = entry_end(p, level, in, last), at = ims_pgt_entry_addr(p, level, table, in), e = 0, child;
    enum ims_pte_kind kind = IMS_PTE_EMPTY;
    int err = fresh ? 0 : load_entry(p, m->mem, level, at, &e, &kind);
    if (!err && !(in & (run_reach(p, level) - 1)))
      err = hints(m, level, fresh, table, in, last, &hint);
    if (err)
      return err;
    if (kind == IMS_PTE_TABLE) {
      err = fill(m, level - 1, false, ims_pgt_addr(p, e), in, end);
    } else if (wants_leaf(m, level, in, last)) {
      err = store_entry(p, m->mem, at,
                        place(p, in + m->delta) | m->bits | m->d->shape(level) | (hint ? IMS_VMSA_CONTIGUOUS : 0));
    } else if (!(err = take_spare(m, &child))) {
      err = fill(m, level - 1, true, child, in, end);
      if (!err)
        err = store_entry(p, m->mem, at, table_entry(p, m->d, child, m->flags));
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
  if (out + size - 1 < out || out + size - 1 > (hold(p) | page))
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
  for (unsigned i = 0; i < entries(p, level - 1) && !err; i++) {
    uint64_t part = place(p, page + i * reach(p, level - 1)) | d->part(p, level, leaf);
    if (!leaf_level(p, level - 1)) { // second stages may have 1 GB pages and no 2 MB ones
      if ((err = new_table(p, mem, level - 2, &child)))
        break;
      if ((err = fill_parts(p, mem, d, level - 1, part, child))) {
        mem->free(mem->ctx, child, table_log2(p, level - 2));
        break;
      }
      part = table_entry(p, d, child, d->used(leaf));
    }
    err = store_entry(p, mem, entry_at(table, i), part);
  }
  if (!err || level == 2)
    return err;
  for (unsigned i = 0; i < entries(p, level - 1); i++) {
    uint64_t e;
    enum ims_pte_kind kind;
    if (load_entry(p, mem, level - 1, entry_at(table, i), &e, &kind))
      break;
    if (kind == IMS_PTE_TABLE)
      free_tree(p, mem, level - 2, ims_pgt_addr(p, e));
  }
  return err;
}

// How a leaf is to be changed in place: `make` says what becomes of it, the leaf itself if nothing does.
struct change {
  const struct ims_pgt *p;
  const struct ims_pgt_mem *mem;
  const struct dialect *d;
  uint64_t (*make)(const struct change *c, uint64_t leaf);
  unsigned perm; // new rights
  uint64_t used; // bits to set
  bool dirtied;  // likewise
};

// *e: the leaf as it was read; then as it was when the change took place.
static int change_leaf(const struct change *c, unsigned level, uint64_t at, uint64_t *e) {
  for (;;) {
    uint64_t desired = c->make(c, *e), seen = *e;
    int err = desired == *e ? 0 : swap_entry(c->p, c->mem, at, *e, desired, &seen);
    if (err || seen == *e)
      return err;
    *e = seen; // hardware noted something in between
    if (ims_pgt_decode(c->p, level, seen) != IMS_PTE_LEAF)
      return IMS_ERR_FORMAT;
  }
}

// Do this leaf and its neighbours make a run, by the hint? The root may be too small for one.
static bool in_run(const struct ims_pgt *p, unsigned level, uint64_t leaf) {
  return ims_pgt_is_vmsa(p) && (leaf & IMS_VMSA_CONTIGUOUS) && p->fmt->contiguous[level] &&
         (run_reach(p, level) - 1) >> p->in_bits == 0;
}

static unsigned run_entries(const struct ims_pgt *p, unsigned level) { return 1u << p->fmt->contiguous[level]; }

// Of the run that `in` falls to: where its first entry lies. A run does not leave its table.
static uint64_t run_at(const struct ims_pgt *p, unsigned level, uint64_t table, uint64_t in) {
  return ims_pgt_entry_addr(p, level, table, in & ~(run_reach(p, level) - 1));
}

static uint64_t make_single(const struct change *c, uint64_t leaf) {
  (void)c;
  return leaf & ~IMS_VMSA_CONTIGUOUS;
}

static uint64_t make_used(const struct change *c, uint64_t leaf) {
  return (c->dirtied ? vmsa_dirtied(c->p, leaf) : leaf) | c->used;
}

// Takes the contiguous hint from a whole run, since an entry of it is to change by itself. Hardware may have noted a use
// or a write in any entry of the run (D8.5.5), so afterwards each of them says it.
static int end_run(const struct ims_pgt *p, const struct ims_pgt_mem *mem, const struct dialect *d, unsigned level,
                   uint64_t first) {
  struct change c = {.p = p, .mem = mem, .d = d, .make = make_single};
  for (int pass = 0; pass < 2; pass++, c.make = make_used) {
    for (unsigned i = 0; i < run_entries(p, level); i++) {
      uint64_t e;
      enum ims_pte_kind kind;
      int err = load_entry(p, mem, level, entry_at(first, i), &e, &kind);
      if (!err && kind == IMS_PTE_LEAF)
        err = change_leaf(&c, level, entry_at(first, i), &e);
      if (err)
        return err;
      if (!pass && kind == IMS_PTE_LEAF) {
        c.used |= e & IMS_VMSA_AF;
        c.dirtied |= d->dirty(p, e);
      }
    }
  }
  return IMS_ERR_OK;
}

// Sees to it that no leaf, and no run of leaves, reaches across the border at `in`.
static int split_at(const struct ims_pgt *p, const struct ims_pgt_mem *mem, const struct dialect *d, uint64_t in) {
  uint64_t table = p->root;
  for (unsigned level = p->levels; level && in & (run_reach(p, level) - 1);) {
    uint64_t at = ims_pgt_entry_addr(p, level, table, in), e, seen, child;
    bool between = !(in & (reach(p, level) - 1)); // the border lies between two entries
    enum ims_pte_kind kind;
    int err = load_entry(p, mem, level, at, &e, &kind);
    if (err || kind == IMS_PTE_EMPTY)
      return err;
    if (kind == IMS_PTE_RESERVED)
      return between ? IMS_ERR_OK : IMS_ERR_FORMAT;
    if (kind == IMS_PTE_LEAF && in_run(p, level, e)) {
      if ((err = end_run(p, mem, d, level, run_at(p, level, table, in))))
        return err;
      continue;
    }
    if (between)
      return IMS_ERR_OK;
    if (kind == IMS_PTE_LEAF) {
      if ((err = new_table(p, mem, level - 1, &child)))
        return err;
      uint64_t desired = table_entry(p, d, child, d->used(e));
      err = fill_parts(p, mem, d, level, e, child);
      if (!err)
        err = swap_entry(p, mem, at, e, desired, &seen);
      if (err) {
        mem->free(mem->ctx, child, table_log2(p, level - 1));
        return err;
      }
      if (seen != e) { // an accessed or dirty bit came in between: take it along
        free_tree(p, mem, level - 1, child);
        continue;
      }
      e = desired;
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

static void release(struct clearing *c, unsigned level, uint64_t table) {
  unsigned log2size = table_log2(c->p, level);
  c->gather->tables++;
  if (c->gather->reap)
    c->gather->reap(c->gather->ctx, table, log2size);
  else
    c->mem->free(c->mem->ctx, table, log2size);
}

// Are all entries of the table empty but those for [first, last], which need no look?
static int empty_outside(const struct clearing *c, unsigned level, uint64_t table, uint64_t first, uint64_t last,
                         bool *empty) {
  uint64_t low = ims_pgt_entry_addr(c->p, level, table, first), high = ims_pgt_entry_addr(c->p, level, table, last);
  *empty = true;
  for (unsigned i = 0; i < entries(c->p, level) && *empty; i++) {
    uint64_t at = entry_at(table, i), e;
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
        release(c, level - 1, ims_pgt_addr(c->p, e));
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

static uint64_t make_protected(const struct change *c, uint64_t leaf) { return c->d->protect(c->p, leaf, c->perm); }

// Changes all leaves of a range; none sticks out, since the borders were split before. Adds to *changed.
static int edit(const struct change *c, unsigned level, uint64_t table, uint64_t first, uint64_t last,
                uint64_t *changed) {
  for (uint64_t in = first;;) {
    uint64_t end = entry_end(c->p, level, in, last), at = ims_pgt_entry_addr(c->p, level, table, in), e;
    enum ims_pte_kind kind;
    int err = load_entry(c->p, c->mem, level, at, &e, &kind);
    if (err)
      return err;
    if (kind == IMS_PTE_RESERVED || (kind == IMS_PTE_LEAF && !covers(c->p, level, in, end)))
      return IMS_ERR_FORMAT;
    if (kind == IMS_PTE_TABLE) {
      err = edit(c, level - 1, ims_pgt_addr(c->p, e), in, end, changed);
    } else if (kind == IMS_PTE_LEAF) {
      err = change_leaf(c, level, at, &e);
      *changed += !err && c->make(c, e) != e ? reach(c->p, level) : 0;
    }
    if (err || end == last)
      return err;
    in = end + 1;
  }
}

int ims_pgt_protect(const struct ims_pgt *p, const struct ims_pgt_mem *mem, uint64_t in, uint64_t size, unsigned perm,
                    uint64_t *changed) {
  struct change c = {.p = p, .mem = mem, .d = dialect_of(p), .make = make_protected, .perm = perm};
  uint64_t last, bytes = 0, bits;
  if (changed)
    *changed = 0;
  if (!c.d)
    return IMS_ERR_INVAL;
  int err = check_range(p, in, size, &last);
  if (err || (err = spell(p, c.d, perm, 0, &bits)) || (err = split_ends(p, mem, c.d, in, last)))
    return err;
  err = edit(&c, p->levels, p->root, in, last, &bytes);
  if (changed)
    *changed = bytes;
  return err;
}

// Dirty leaves.

struct scan {
  struct change c;
  bool clears;
  ims_pgt_dirty report;
  void *ctx;
};

static uint64_t make_clean(const struct change *c, uint64_t leaf) {
  return c->d->dirty(c->p, leaf) ? c->d->clean(c->p, leaf) : leaf;
}

// Looks at `count` leaves that are dirty or clean together, the first of them at `at`.
static int scan_leaves(const struct scan *s, unsigned level, uint64_t at, unsigned count, bool *dirty) {
  const struct ims_pgt *p = s->c.p;
  *dirty = false;
  for (unsigned i = 0; i < count; i++) {
    uint64_t e;
    enum ims_pte_kind kind;
    int err = load_entry(p, s->c.mem, level, entry_at(at, i), &e, &kind);
    if (!err && kind == IMS_PTE_LEAF && s->clears)
      err = change_leaf(&s->c, level, entry_at(at, i), &e);
    if (err)
      return err;
    *dirty |= kind == IMS_PTE_LEAF && s->c.d->dirty(p, e);
  }
  return IMS_ERR_OK;
}

static int scan(const struct scan *s, unsigned level, uint64_t table, uint64_t first, uint64_t last) {
  const struct ims_pgt *p = s->c.p;
  for (uint64_t in = first;;) {
    uint64_t end = entry_end(p, level, in, last), at = ims_pgt_entry_addr(p, level, table, in), e;
    enum ims_pte_kind kind;
    int err = load_entry(p, s->c.mem, level, at, &e, &kind);
    if (err)
      return err;
    if (kind == IMS_PTE_RESERVED)
      return IMS_ERR_FORMAT;
    if (kind == IMS_PTE_TABLE) {
      err = scan(s, level - 1, ims_pgt_addr(p, e), in, end);
    } else if (kind == IMS_PTE_LEAF) {
      // A write to any page of a run may be noted in any of its entries (D8.5.5), so they are looked at together.
      bool run = in_run(p, level, e) && (p->flags & IMS_PGT_CONTIGUOUS), dirty;
      uint64_t size = run ? run_reach(p, level) : reach(p, level);
      err = scan_leaves(s, level, run ? run_at(p, level, table, in) : at, run ? run_entries(p, level) : 1, &dirty);
      if (!err && dirty && s->report)
        s->report(s->ctx, in & ~(size - 1), size);
      end = in | (size - 1);
      end = end < last ? end : last;
    }
    if (err || end == last)
      return err;
    in = end + 1;
  }
}

int ims_pgt_read_dirty(const struct ims_pgt *p, const struct ims_pgt_mem *mem, uint64_t in, uint64_t size, bool clears,
                       ims_pgt_dirty report, void *ctx) {
  struct scan s = {.c = {.p = p, .mem = mem, .d = dialect_of(p), .make = make_clean},
                   .clears = clears,
                   .report = report,
                   .ctx = ctx};
  uint64_t last;
  if (!p->d_bit || !s.c.d)
    return IMS_ERR_UNSUP;
  int err = check_range(p, in, size, &last);
  return err ? err : scan(&s, p->levels, p->root, in, last);
}

// Looking.

struct listing {
  const struct ims_pgt *p;
  const struct ims_pgt_mem *mem;
  ims_pgt_visitor visit;
  void *ctx;
};

static int list(const struct listing *l, unsigned level, uint64_t table, uint64_t first, uint64_t last, uint64_t all,
                uint64_t any) {
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
      uint64_t all_here = all, any_here = any;
      ims_pgt_collect(p, kind == IMS_PTE_LEAF, v.entry, &all_here, &any_here);
      v.kind = (uint8_t)kind;
      v.perm = (uint8_t)ims_pgt_perm_over(p, all_here, any_here);
      v.out = kind == IMS_PTE_LEAF ? ims_pgt_page(p, level, v.entry) : 0;
      if (kind == IMS_PTE_TABLE)
        v.out = ims_pgt_addr(p, v.entry);
      if ((err = l->visit(l->ctx, &v)) < 0)
        return err;
      if (kind == IMS_PTE_TABLE && err != IMS_VISIT_SKIP &&
          (err = list(l, level - 1, v.out, in, end, all_here, any_here)))
        return err;
    }
    if (end == last)
      return IMS_ERR_OK;
    in = end + 1;
  }
}

// Lists what lies in both ranges.
static int list_within(const struct listing *l, uint64_t low, uint64_t high, uint64_t first, uint64_t last) {
  uint64_t from = first > low ? first : low, to = last < high ? last : high;
  return from <= to ? list(l, l->p->levels, l->p->root, from, to, ims_pgt_all(l->p), 0) : IMS_ERR_OK;
}

int ims_pgt_iterate(const struct ims_pgt *p, const struct ims_pgt_mem *mem, uint64_t first, uint64_t last,
                    ims_pgt_visitor visit, void *ctx) {
  const struct listing l = {p, mem, visit, ctx};
  bool canonical = p->fmt->kind == IMS_PGT_X86_FS; // the sign bit tells two halves apart, with a hole between them
  uint64_t low_last = ~0ull >> (64 - p->in_bits + canonical);
  int err = p->flags & IMS_PGT_UPPER ? 0 : list_within(&l, 0, low_last, first, last);
  if (!err && (canonical || p->flags & IMS_PGT_UPPER))
    err = list_within(&l, ~low_last, ~0ull, first, last);
  return err;
}

int ims_pgt_lookup(const struct ims_pgt *p, const struct ims_pgt_mem *mem, uint64_t in, struct ims_pgt_leaf *leaf) {
  // A privileged translation request meets no refusal, and with the accessed bits off nothing is updated.
  struct ims_walk w = {.in = in, .access = IMS_ACC_R | IMS_ACC_PRIV | IMS_ACC_QUERY};
  struct ims_port port = {0};
  bool first = p->fmt->kind == IMS_PGT_X86_FS || p->fmt->kind == IMS_PGT_VMSA_S1;
  struct ims_pgt *stage = first ? &w.s1 : &w.s2;
  enum ims_step_kind kind;
  *stage = *p;
  stage->a_bits = 0;
  stage->flags &= ~(uint32_t)(IMS_PGT_AF_FAULTS | IMS_PGT_PAN);
  ims_walk_begin(&w);
  while ((kind = ims_walk_step(&w, &port)) == IMS_STEP_READ) {
    leaf->entry_addr = port.step.hpa;
    leaf->level = port.step.level;
    port.answer.ok = !mem->load64(mem->ctx, port.step.hpa, &port.answer.data[0]);
    leaf->entry = ims_pgt_swap(p, port.answer.data[0]);
  }
  if (kind == IMS_STEP_DONE) {
    leaf->out = w.out;
    leaf->shift = (uint8_t)ims_pgt_shift(p->fmt, leaf->level);
    leaf->perm = w.perm1 & w.perm2;
    return IMS_ERR_OK;
  }
  switch (w.fault.cause) {
  case IMS_WALK_RANGE: return IMS_ERR_RANGE;
  case IMS_WALK_ACCESS: return IMS_ERR_BUS;
  case IMS_WALK_RESERVED:
  case IMS_WALK_SIZE: return IMS_ERR_FORMAT;
  default: return IMS_ERR_NOENT;
  }
}
