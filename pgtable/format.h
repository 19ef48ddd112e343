// SPDX-License-Identifier: Apache-2.0
// Page-table formats: what one entry means, how a stage is rooted and bounded, which rights it gives.
//
// Glossary
//   table     one page of entries; level 1 holds only leaves, level n points to tables of level n-1. Architectures that
//             count the other way (VMSAv8-64: 0..3) are converted where they are printed
//   entry     one word; decodes to empty, table, leaf, or reserved (malformed)
//   stage     a rooted tree with what the configuration says of it: struct ims_pgt
//   format    what all stages of a kind share on one IOMMU, from its capabilities: struct ims_pgt_format
//
// Formats: x86-64 first stage, 4 and 5 levels (VT-d rev 4.1, 3.6 and 9.x; x86_fs.c), VT-d second stage, 3 to 5 levels
// (VT-d 3.7 and 9.x; vtd_ss.c). Both are 9 bits a level, 4 KB pages, PS in bit 7, so one decoder serves them.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IMS_PGT_MAX_LEVELS 5

enum ims_pgt_kind { IMS_PGT_X86_FS, IMS_PGT_VTD_SS };

// Rights. R, W, X as the words say; U = unprivileged requests too (always set in a second stage).
enum { IMS_PERM_R = 1, IMS_PERM_W = 2, IMS_PERM_X = 4, IMS_PERM_U = 8, IMS_PERM_ALL = 15 };

// What a request wants. An atomic operation is R|W. ZLR: a zero-length read, which returns no data. PRIV: privileged.
// QUERY: an ATS translation request; a missing right is no fault, the answer says what is granted.
enum {
  IMS_ACC_R = 1,
  IMS_ACC_W = 2,
  IMS_ACC_X = 4,
  IMS_ACC_PRIV = 8,
  IMS_ACC_ZLR = 16,
  IMS_ACC_QUERY = 32,
};

enum ims_pte_kind { IMS_PTE_EMPTY, IMS_PTE_TABLE, IMS_PTE_LEAF, IMS_PTE_RESERVED };

struct ims_pgt_format {
  enum ims_pgt_kind kind;
  uint8_t page_shift;                          // 12
  uint8_t index_bits;                          // 9
  uint8_t shift[IMS_PGT_MAX_LEVELS + 1];       // by level: log2 of what an entry covers
  uint8_t leaf_levels;                         // bit n: a leaf may stand at level n
  uint64_t addr_mask;                          // address bits of an entry, page-aligned
  uint64_t present_mask;                       // present when any of these is set
  uint64_t rsvd_table[IMS_PGT_MAX_LEVELS + 1]; // by level: must be zero in a table entry
  uint64_t rsvd_leaf[IMS_PGT_MAX_LEVELS + 1];  // by level: must be zero in a leaf (PS itself where none may stand)
};

// Flags of a stage, from the PASID entry or the context entry.
enum {
  IMS_PGT_WPE = 1,      // first stage: R/W=0 binds privileged writes too
  IMS_PGT_NXE = 2,      // first stage, rev 3.x: XD counts
  IMS_PGT_SMEP = 4,     // first stage, rev 3.x: no privileged execution from user pages
  IMS_PGT_EXEC = 8,     // execute requests are judged (rev 3.x: ERE; second stage: SSEE)
  IMS_PGT_NOSNOOP = 16, // the walk is not snooped, so A/D updates cannot be atomic: they fault instead
  IMS_PGT_ZLR = 32,     // second stage: zero-length reads pass on write-only pages (CAP.ZLR)
};

struct ims_pgt {
  const struct ims_pgt_format *fmt;
  uint64_t root;   // of the top table: gpa for a nested first stage, else hpa
  uint16_t a_bits; // bits to set on use (A, and EA with EAFE); 0: accessed flags off
  uint16_t d_bit;  // bit to set on write; 0: dirty flags off
  uint8_t levels;  // of the top table
  uint8_t in_bits; // width of the input address
  uint8_t flags;
};

// Entry bits of the two formats. VT-d 9.x (first-stage and second-stage paging entries).
enum {
  IMS_FS_P = 1 << 0,
  IMS_FS_RW = 1 << 1,
  IMS_FS_US = 1 << 2,
  IMS_FS_PWT = 1 << 3,
  IMS_FS_PCD = 1 << 4,
  IMS_FS_A = 1 << 5,
  IMS_FS_D = 1 << 6,
  IMS_FS_PS = 1 << 7,
  IMS_FS_G = 1 << 8,
  IMS_FS_EA = 1 << 10,
  IMS_SS_R = 1 << 0,
  IMS_SS_W = 1 << 1,
  IMS_SS_X = 1 << 2,
  IMS_SS_PS = 1 << 7,
  IMS_SS_A = 1 << 8,
  IMS_SS_D = 1 << 9,
  IMS_SS_SNP = 1 << 11,
};
#define IMS_FS_XD (1ull << 63)
#define IMS_SS_TM (1ull << 62)

// x86-64 first stage. haw: width of a leaf or table address (52 for a nested first stage, whose addresses are GPAs and
// are bounded by the second stage instead); gb_pages: CAP.FS1GP; nxe_rsvd: rev 3.x with NXE=0, where XD is reserved.
void ims_x86_fs_format(struct ims_pgt_format *f, unsigned haw, bool gb_pages, bool xd_rsvd);

// VT-d second stage. mb2, gb1: CAP.SSLPS; snp: ECAP.SC; exec: X counts towards presence (rev 3.x, SSEE).
void ims_vtd_ss_format(struct ims_pgt_format *f, unsigned haw, bool mb2, bool gb1, bool snp, bool exec);

static inline unsigned ims_pgt_shift(const struct ims_pgt_format *f, unsigned level) { return f->shift[level]; }

// Address of the entry for `in` in a table of `level` at `table`.
static inline uint64_t ims_pgt_entry_addr(const struct ims_pgt *p, unsigned level, uint64_t table, uint64_t in) {
  return table + ((in >> p->fmt->shift[level]) & 511) * 8u;
}

// Order as the specification's: not present hides everything, reserved bits come before the meaning.
static inline enum ims_pte_kind ims_pgt_decode(const struct ims_pgt *p, unsigned level, uint64_t e) {
  const struct ims_pgt_format *f = p->fmt;
  bool leaf = level == 1 || (e & IMS_FS_PS);
  if (!(e & f->present_mask))
    return IMS_PTE_EMPTY;
  if (e & (leaf ? f->rsvd_leaf : f->rsvd_table)[level])
    return IMS_PTE_RESERVED;
  return leaf ? IMS_PTE_LEAF : IMS_PTE_TABLE;
}

static inline uint64_t ims_pgt_addr(const struct ims_pgt *p, uint64_t e) { return e & p->fmt->addr_mask; }

// The page of a leaf at `level`; bits below the page size (PAT of a large page) do not belong to it.
static inline uint64_t ims_pgt_page(const struct ims_pgt *p, unsigned level, uint64_t e) {
  unsigned shift = ims_pgt_shift(p->fmt, level);
  return (e & p->fmt->addr_mask) >> shift << shift;
}

// Rights of one entry.
static inline unsigned ims_pgt_perm(const struct ims_pgt *p, uint64_t e) {
  if (p->fmt->kind == IMS_PGT_X86_FS)
    return IMS_PERM_R | (e & IMS_FS_RW) | (e & IMS_FS_US) << 1 | (unsigned)(~e >> 63) << 2;
  return (e & 7u) | IMS_PERM_U | (p->flags & IMS_PGT_EXEC ? 0u : (unsigned)IMS_PERM_X);
}

// Rights over several levels without looking at each: AND of the entries, and OR for the bits that deny where they are
// set (XD); asked once, at the end. Start with all = ~0, any = 0.
static inline unsigned ims_pgt_perm_over(const struct ims_pgt *p, uint64_t all, uint64_t any) {
  return ims_pgt_perm(p, (all & ~IMS_FS_XD) | (any & IMS_FS_XD));
}

// The canonical or range check of the input. VT-d 3.6 (first stage), 3.7 (second stage).
static inline bool ims_pgt_in_range(const struct ims_pgt *p, uint64_t in) {
  if (p->fmt->kind == IMS_PGT_X86_FS) {
    int64_t top = (int64_t)in >> (p->in_bits - 1);
    return top == 0 || top == -1;
  }
  return p->in_bits >= 64 || in >> p->in_bits == 0;
}

enum ims_deny { IMS_DENY_NOTHING, IMS_DENY_USER, IMS_DENY_EXEC, IMS_DENY_WRITE, IMS_DENY_READ, IMS_DENY_ALL };

// May `access` use a page with the rights `perm` of this first stage? VT-d 3.6.2; order: user, execute, write.
static inline enum ims_deny ims_fs_judge(const struct ims_pgt *p, unsigned perm, unsigned access) {
  bool user = !(access & IMS_ACC_PRIV);
  if (user && !(perm & IMS_PERM_U))
    return IMS_DENY_USER;
  if ((access & IMS_ACC_X) && (p->flags & IMS_PGT_EXEC)) {
    if ((p->flags & IMS_PGT_NXE) && !(perm & IMS_PERM_X))
      return IMS_DENY_EXEC;
    if (!user && (p->flags & IMS_PGT_SMEP) && (perm & IMS_PERM_U))
      return IMS_DENY_EXEC;
  }
  if ((access & IMS_ACC_W) && !(perm & IMS_PERM_W) && (user || (p->flags & IMS_PGT_WPE)))
    return IMS_DENY_WRITE;
  return IMS_DENY_NOTHING;
}

// Likewise for a second stage: nothing permitted at all, then write, then read (VT-d 7.x, SSS.2, SGN.6, SGN.7).
static inline enum ims_deny ims_ss_judge(const struct ims_pgt *p, unsigned perm, unsigned access) {
  unsigned rw = perm & (IMS_PERM_R | IMS_PERM_W | (p->flags & IMS_PGT_EXEC ? (unsigned)IMS_PERM_X : 0u));
  if (!rw)
    return IMS_DENY_ALL;
  if ((access & IMS_ACC_W) && !(perm & IMS_PERM_W))
    return IMS_DENY_WRITE;
  if ((access & IMS_ACC_R) && !(perm & IMS_PERM_R) && !((access & IMS_ACC_ZLR) && (p->flags & IMS_PGT_ZLR)))
    return IMS_DENY_READ;
  if ((access & IMS_ACC_X) && (p->flags & IMS_PGT_EXEC) && !(perm & IMS_PERM_X))
    return IMS_DENY_EXEC;
  return IMS_DENY_NOTHING;
}

#ifdef __cplusplus
}
#endif
