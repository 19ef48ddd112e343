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
// (VT-d 3.7 and 9.x; vtd_ss.c): 9 bits a level, 4 KB pages, PS in bit 7, so one decoder serves them. VMSAv8-64 stage 1
// and stage 2, granules of 4, 16 and 64 KB, and the long descriptors of AArch32, which are the same words (Arm DDI 0487,
// D8.2 to D8.7; vmsa.h sets them up).
#pragma once

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IMS_PGT_MAX_LEVELS 5

// Functions of the walk's inner loop: folded into it, where the family of formats is often known.
#define IMS_PGT_INLINE    static inline __attribute__((always_inline))
// In a branch that is hardly ever taken: keeps the compiler from doing its work always and choosing afterwards.
#define IMS_PGT_RARELY(x) __asm__("" : "+r"(x))

enum ims_pgt_kind { IMS_PGT_X86_FS, IMS_PGT_VTD_SS, IMS_PGT_VMSA_S1, IMS_PGT_VMSA_S2 };

// Rights. R, W, X as the words say; U = unprivileged requests too (always set in a second stage). VMSA tells execution
// apart: X is for unprivileged requests (EL0), PX for privileged ones; x86 has X for both and never PX.
enum { IMS_PERM_R = 1, IMS_PERM_W = 2, IMS_PERM_X = 4, IMS_PERM_U = 8, IMS_PERM_PX = 16, IMS_PERM_ALL = 31 };

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
  uint8_t page_shift;                          // 12, 14, 16
  uint8_t index_bits;                          // 9, 11, 13
  uint8_t contiguous[IMS_PGT_MAX_LEVELS + 1];  // by level: log2 of the entries that a contiguous hint binds; 0: none
  uint8_t high_from, high_bits, high_to;       // address bits that do not lie in their place: where, how many, whither
  bool ds;                                     // VMSA: 52-bit descriptors of 4 and 16 KB granules, without SH
  bool xnx;                                    // VMSA stage 2: execution told apart by exception level
  uint8_t shift[IMS_PGT_MAX_LEVELS + 1];       // by level: log2 of what an entry covers
  uint8_t leaf_levels;                         // bit n: a leaf may stand at level n
  uint64_t addr_mask;                          // address bits of an entry, page-aligned
  uint64_t present_mask;                       // present when any of these is set (VMSA: bit 0)
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

  // VMSA, from the CD, the STE, or the registers of a context bank.
  IMS_PGT_UPPER = 1 << 6,       // TTBR1: bits above the input range are ones
  IMS_PGT_AF_FAULTS = 1 << 7,   // a leaf with AF=0 faults (neither HA nor AFFD)
  IMS_PGT_HAFT = 1 << 8,        // hardware sets AF in table descriptors too
  IMS_PGT_HAD = 1 << 9,         // hierarchical attributes of table descriptors do not count
  IMS_PGT_ONE_EL = 1 << 10,     // EL2 or EL3 regime: no unprivileged side
  IMS_PGT_AARCH32 = 1 << 11,    // XN binds both sides
  IMS_PGT_WXN = 1 << 12,        // writable memory is not executable
  IMS_PGT_UWXN = 1 << 13,       // AArch32: unprivileged-writable memory is not privileged-executable
  IMS_PGT_PAN = 1 << 14,        // privileged data accesses to unprivileged memory are denied
  IMS_PGT_EPAN = 1 << 15,       // and to memory that is executable unprivileged
  IMS_PGT_PTW = 1 << 16,        // stage 2: a walk or CD fetch through Device memory is denied
  IMS_PGT_FWB = 1 << 17,        // stage 2: MemAttr forces the combined type
  IMS_PGT_BE = 1 << 18,         // descriptors are big-endian
  IMS_PGT_CONTIGUOUS = 1 << 19, // the contiguous hint is taken
};

struct ims_pgt {
  const struct ims_pgt_format *fmt;
  uint64_t root;   // of the top table: gpa for a nested first stage, else hpa
  uint64_t mair;   // VMSA stage 1: memory attributes, a byte by AttrIndx
  uint16_t a_bits; // bits to set on use (A, and EA with EAFE; AF with HA); 0: accessed flags off
  uint16_t d_bit;  // bit to set on write (VMSA stage 1: to clear, AP[2]); 0: dirty flags off
  uint8_t levels;  // of the top table
  uint8_t in_bits; // width of the input address
  // VMSA only
  uint8_t out_bits; // width of the output address and of table addresses: IPS, PS or the SMMU's own
  uint8_t sh;       // shareability where descriptors have none (format.ds)
  uint32_t flags;
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

// Descriptor bits of VMSAv8-64 (DDI 0487, D8.3). Stage 2 has S2AP and MemAttr in the place of AP and AttrIndx.
enum {
  IMS_VMSA_VALID = 1 << 0,
  IMS_VMSA_TABLE = 1 << 1, // of the last level: a page
  IMS_VMSA_AP1 = 1 << 6,   // stage 1: unprivileged accesses too
  IMS_VMSA_AP2 = 1 << 7,   // stage 1: read-only
  IMS_VMSA_S2AP_R = 1 << 6,
  IMS_VMSA_S2AP_W = 1 << 7,
  IMS_VMSA_AF = 1 << 10,
  IMS_VMSA_NG = 1 << 11,
};
#define IMS_VMSA_DBM        (1ull << 51)
#define IMS_VMSA_CONTIGUOUS (1ull << 52)
#define IMS_VMSA_PXN        (1ull << 53)
#define IMS_VMSA_UXN        (1ull << 54)
#define IMS_VMSA_PXN_TABLE  (1ull << 59)
#define IMS_VMSA_XN_TABLE   (1ull << 60)
#define IMS_VMSA_AP0_TABLE  (1ull << 61) // no unprivileged access below
#define IMS_VMSA_AP1_TABLE  (1ull << 62) // no writes below

// x86-64 first stage. haw: width of a leaf or table address (52 for a nested first stage, whose addresses are GPAs and
// are bounded by the second stage instead); gb_pages: CAP.FS1GP; nxe_rsvd: rev 3.x with NXE=0, where XD is reserved.
void ims_x86_fs_format(struct ims_pgt_format *f, unsigned haw, bool gb_pages, bool xd_rsvd);

// VT-d second stage. mb2, gb1: CAP.SSLPS; snp: ECAP.SC; exec: X counts towards presence (rev 3.x, SSEE).
void ims_vtd_ss_format(struct ims_pgt_format *f, unsigned haw, bool mb2, bool gb1, bool snp, bool exec);

IMS_PGT_INLINE unsigned ims_pgt_shift(const struct ims_pgt_format *f, unsigned level) { return f->shift[level]; }

IMS_PGT_INLINE bool ims_pgt_is_vmsa(const struct ims_pgt *p) { return p->fmt->kind >= IMS_PGT_VMSA_S1; }

// Which entry of a table `in` falls to. The top table has as many entries as the input has bits for: fewer than a page
// holds, or, where tables are concatenated (VMSA stage 2, D8.2.2), up to sixteen times as many. `top` is ims_pgt_top().
IMS_PGT_INLINE uint32_t ims_pgt_top(const struct ims_pgt *p) {
  unsigned shift = p->fmt->shift[p->levels];
  return p->in_bits > shift ? (uint32_t)((1ull << (p->in_bits - shift)) - 1) : 0;
}
IMS_PGT_INLINE uint64_t ims_pgt_index_below(const struct ims_pgt *p, unsigned level, uint64_t in, uint32_t top) {
  if (!ims_pgt_is_vmsa(p)) // nine bits at every level, the top one included
    return in >> p->fmt->shift[level] & 511;
  uint32_t mask = (1u << p->fmt->index_bits) - 1;
  return in >> p->fmt->shift[level] & (level == p->levels ? top : mask);
}
IMS_PGT_INLINE uint64_t ims_pgt_index(const struct ims_pgt *p, unsigned level, uint64_t in) {
  return ims_pgt_index_below(p, level, in, ims_pgt_top(p));
}

// Address of the entry for `in` in a table of `level` at `table`.
IMS_PGT_INLINE uint64_t ims_pgt_entry_addr(const struct ims_pgt *p, unsigned level, uint64_t table, uint64_t in) {
  return table + ims_pgt_index(p, level, in) * 8u;
}

// The address that an entry holds, of a table or of a page.
IMS_PGT_INLINE uint64_t ims_pgt_addr(const struct ims_pgt *p, uint64_t e) {
  const struct ims_pgt_format *f = p->fmt;
  uint64_t addr = e & f->addr_mask;
  if (ims_pgt_is_vmsa(p) && __builtin_expect(f->high_bits, 0)) {
    IMS_PGT_RARELY(addr);
    addr |= (e >> f->high_from & ((1u << f->high_bits) - 1)) << f->high_to;
  }
  return addr;
}

// The page of a leaf at `level`; bits below the page size (PAT of a large page) do not belong to it.
IMS_PGT_INLINE uint64_t ims_pgt_page(const struct ims_pgt *p, unsigned level, uint64_t e) {
  unsigned shift = ims_pgt_shift(p->fmt, level);
  return ims_pgt_addr(p, e) >> shift << shift;
}

// D8.3.1, D8.15.4: not valid, then a block where none may stand (which is not valid either), then the address's size.
IMS_PGT_INLINE enum ims_pte_kind ims_vmsa_decode(const struct ims_pgt *p, unsigned level, uint64_t e) {
  if (__builtin_expect((e & 3) != 3, 0)) {
    if (!(e & IMS_VMSA_VALID) || level == 1 || !(p->fmt->leaf_levels >> level & 1))
      return IMS_PTE_EMPTY;
    return ims_pgt_page(p, level, e) >> p->out_bits ? IMS_PTE_RESERVED : IMS_PTE_LEAF;
  }
  if (ims_pgt_addr(p, e) >> p->out_bits)
    return IMS_PTE_RESERVED;
  return level > 1 ? IMS_PTE_TABLE : IMS_PTE_LEAF;
}

// Order as the specification's: not present hides everything, reserved bits come before the meaning.
IMS_PGT_INLINE enum ims_pte_kind ims_pgt_decode(const struct ims_pgt *p, unsigned level, uint64_t e) {
  const struct ims_pgt_format *f = p->fmt;
  if (ims_pgt_is_vmsa(p))
    return ims_vmsa_decode(p, level, e);
  bool leaf = level == 1 || (e & IMS_FS_PS);
  if (!(e & f->present_mask))
    return IMS_PTE_EMPTY;
  if (e & (leaf ? f->rsvd_leaf : f->rsvd_table)[level])
    return IMS_PTE_RESERVED;
  return leaf ? IMS_PTE_LEAF : IMS_PTE_TABLE;
}

// log2 of what a leaf's translation covers when the contiguous hint is taken (D8.7.1): the whole run, unless it does not
// fit the input range or the output size (RXFDVL), or the entry does not lie in its run as the others must. Of a block
// that exceeds the output size itself, the part that does not.
IMS_PGT_INLINE unsigned ims_pgt_reach(const struct ims_pgt *p, unsigned level, uint64_t e, uint64_t in) {
  unsigned shift = ims_pgt_shift(p->fmt, level), run = shift + p->fmt->contiguous[level];
  if (!(p->flags & IMS_PGT_CONTIGUOUS) || !(e & IMS_VMSA_CONTIGUOUS) || run > p->in_bits || run > p->out_bits)
    return shift < p->out_bits ? shift : p->out_bits;
  return ((ims_pgt_addr(p, e) ^ in) & ((1ull << run) - 1)) >> shift ? shift : run;
}

// An entry as it lies in memory, and back.
IMS_PGT_INLINE uint64_t ims_pgt_swap(const struct ims_pgt *p, uint64_t e) {
  if (ims_pgt_is_vmsa(p) && __builtin_expect(p->flags & IMS_PGT_BE, 0)) {
    IMS_PGT_RARELY(e);
    e = __builtin_bswap64(e);
  }
  return e;
}

// An entry after hardware has noted its use: a table's, a leaf's (VT-d 3.8; DDI 0487 D8.5).
IMS_PGT_INLINE uint64_t ims_pgt_used_table(const struct ims_pgt *p, uint64_t e) {
  return ims_pgt_is_vmsa(p) && !(p->flags & IMS_PGT_HAFT) ? e : e | p->a_bits;
}
IMS_PGT_INLINE uint64_t ims_pgt_used(const struct ims_pgt *p, uint64_t e) { return e | p->a_bits; }

// And after a write. VMSA keeps the state in the right to write itself, in descriptors with DBM.
IMS_PGT_INLINE uint64_t ims_pgt_dirtied(const struct ims_pgt *p, uint64_t e) {
  if (!ims_pgt_is_vmsa(p))
    return e | p->d_bit;
  if (!(e & IMS_VMSA_DBM))
    return e;
  return p->fmt->kind == IMS_PGT_VMSA_S1 ? e & ~(uint64_t)p->d_bit : e | p->d_bit;
}

// Is a result beyond the output size? Decoding looks at the page alone, and a block may be larger than the output
// (D8.15.4; pseudocode S1Walk, S2Walk).
IMS_PGT_INLINE bool ims_pgt_too_large(const struct ims_pgt *p, uint64_t out) {
  return __builtin_expect(out >> p->out_bits != 0, 0);
}

// Does this leaf fault for its accessed flag? D8.5.1.
IMS_PGT_INLINE bool ims_pgt_af_faults(const struct ims_pgt *p, uint64_t leaf) {
  return (p->flags & IMS_PGT_AF_FAULTS) && !(leaf & IMS_VMSA_AF);
}

// Rights over several levels without looking at each. `all` collects what is ANDed, `any` what is ORed since it denies
// where it is set; the rights are asked for once, at the end. x86 puts every entry into both. VMSA keeps the leaf in
// `all`, the hierarchical attributes of the tables in `any` (D8.4.1.2); stage 2 has the leaf only.
IMS_PGT_INLINE uint64_t ims_pgt_all(const struct ims_pgt *p) {
  return !ims_pgt_is_vmsa(p)               ? ~0ull
         : p->fmt->kind == IMS_PGT_VMSA_S1 ? (uint64_t)IMS_VMSA_AP1
                                           : (uint64_t)(IMS_VMSA_S2AP_R | IMS_VMSA_S2AP_W);
}

IMS_PGT_INLINE void ims_pgt_collect(const struct ims_pgt *p, bool leaf, uint64_t e, uint64_t *all, uint64_t *any) {
  if (!ims_pgt_is_vmsa(p)) {
    *all &= e;
    *any |= e;
  } else if (leaf) {
    *all = e;
  } else if (!(p->flags & IMS_PGT_HAD)) {
    *any |= e;
  }
}

// D8.4.1, stage 1: AP, UXN, PXN under APTable, XNTable, PXNTable. What hardware may turn writable counts as writable.
IMS_PGT_INLINE unsigned ims_vmsa_s1_perm(const struct ims_pgt *p, uint64_t leaf, uint64_t tables) {
  uint64_t e = ims_pgt_dirtied(p, leaf);
  unsigned perm = IMS_PERM_R;
  if (!(e & IMS_VMSA_AP2) && !(tables & IMS_VMSA_AP1_TABLE))
    perm |= IMS_PERM_W;
  bool x = !(e & IMS_VMSA_UXN) && !(tables & IMS_VMSA_XN_TABLE);
  if (p->flags & IMS_PGT_ONE_EL)
    return perm | IMS_PERM_U | (x ? IMS_PERM_X | IMS_PERM_PX : 0u);
  if ((e & IMS_VMSA_AP1) && !(tables & IMS_VMSA_AP0_TABLE))
    perm |= IMS_PERM_U;
  bool px = !(e & IMS_VMSA_PXN) && !(tables & IMS_VMSA_PXN_TABLE);
  if (p->flags & IMS_PGT_AARCH32)
    px = px && x;
  return perm | (x ? (unsigned)IMS_PERM_X : 0u) | (px ? (unsigned)IMS_PERM_PX : 0u);
}

// D8.4.2, stage 2: S2AP and XN[1:0].
IMS_PGT_INLINE unsigned ims_vmsa_s2_perm(const struct ims_pgt *p, uint64_t leaf) {
  static const uint8_t exec[4] = {IMS_PERM_X | IMS_PERM_PX, IMS_PERM_X, 0, IMS_PERM_PX};
  uint64_t e = ims_pgt_dirtied(p, leaf);
  unsigned xn = (unsigned)(e >> 53) & (p->fmt->xnx ? 3u : 2u);
  return (e & IMS_VMSA_S2AP_R ? (unsigned)IMS_PERM_R : 0u) | (e & IMS_VMSA_S2AP_W ? (unsigned)IMS_PERM_W : 0u) |
         IMS_PERM_U | exec[xn];
}

// Rights of one x86 entry, or of several ANDed.
IMS_PGT_INLINE unsigned ims_pgt_perm(const struct ims_pgt *p, uint64_t e) {
  switch (p->fmt->kind) {
  case IMS_PGT_X86_FS: return IMS_PERM_R | (e & IMS_FS_RW) | (e & IMS_FS_US) << 1 | (unsigned)(~e >> 63) << 2;
  case IMS_PGT_VTD_SS: return (e & 7u) | IMS_PERM_U | (p->flags & IMS_PGT_EXEC ? 0u : (unsigned)IMS_PERM_X);
  case IMS_PGT_VMSA_S1: return ims_vmsa_s1_perm(p, e, 0);
  default: return ims_vmsa_s2_perm(p, e);
  }
}

IMS_PGT_INLINE unsigned ims_pgt_perm_over(const struct ims_pgt *p, uint64_t all, uint64_t any) {
  switch (p->fmt->kind) {
  case IMS_PGT_VMSA_S1: return ims_vmsa_s1_perm(p, all, any);
  case IMS_PGT_VMSA_S2: return ims_vmsa_s2_perm(p, all);
  default: return ims_pgt_perm(p, (all & ~IMS_FS_XD) | (any & IMS_FS_XD));
  }
}

// The canonical or range check of the input. VT-d 3.6 (first stage), 3.7 (second stage); DDI 0487 D8.1 (an ignored top
// byte has been replaced by the sign of bit 55 before).
IMS_PGT_INLINE bool ims_pgt_in_range(const struct ims_pgt *p, uint64_t in) {
  if (p->fmt->kind == IMS_PGT_X86_FS) {
    int64_t top = (int64_t)in >> (p->in_bits - 1);
    return top == 0 || top == -1;
  }
  if (ims_pgt_is_vmsa(p) && (p->flags & IMS_PGT_UPPER))
    in = ~in;
  return p->in_bits >= 64 || in >> p->in_bits == 0;
}

enum ims_deny { IMS_DENY_NOTHING, IMS_DENY_USER, IMS_DENY_EXEC, IMS_DENY_WRITE, IMS_DENY_READ, IMS_DENY_ALL };

// D8.4.1: an instruction access needs the right to execute alone. Memory that unprivileged software may write is never
// privileged-executable; WXN, PAN and EPAN as the regime has them.
IMS_PGT_INLINE enum ims_deny ims_vmsa_s1_judge(const struct ims_pgt *p, unsigned perm, unsigned access) {
  bool user = !(access & IMS_ACC_PRIV) && !(p->flags & IMS_PGT_ONE_EL);
  bool writable = perm & IMS_PERM_W;
  if (access & IMS_ACC_X) {
    bool user_writable = writable && (perm & IMS_PERM_U) && !(p->flags & IMS_PGT_ONE_EL);
    bool binds = !(p->flags & IMS_PGT_AARCH32) || (p->flags & IMS_PGT_UWXN);
    bool denied = user ? !(perm & IMS_PERM_X) || (user_writable && (p->flags & IMS_PGT_WXN))
                       : !(perm & IMS_PERM_PX) || (user_writable && binds) || (writable && (p->flags & IMS_PGT_WXN));
    // AArch32 executes only what it may read.
    if (user && (p->flags & IMS_PGT_AARCH32) && !(perm & IMS_PERM_U))
      denied = true;
    return denied ? IMS_DENY_EXEC : IMS_DENY_NOTHING;
  }
  if (user && !(perm & IMS_PERM_U))
    return IMS_DENY_USER;
  if (!user && (p->flags & IMS_PGT_PAN) && !(p->flags & IMS_PGT_ONE_EL) &&
      ((perm & IMS_PERM_U) || ((p->flags & IMS_PGT_EPAN) && (perm & IMS_PERM_X))))
    return IMS_DENY_USER;
  return (access & IMS_ACC_W) && !writable ? IMS_DENY_WRITE : IMS_DENY_NOTHING;
}

// D8.4.2.
IMS_PGT_INLINE enum ims_deny ims_vmsa_s2_judge(unsigned perm, unsigned access) {
  if (access & IMS_ACC_X)
    return perm & (access & IMS_ACC_PRIV ? IMS_PERM_PX : IMS_PERM_X) ? IMS_DENY_NOTHING : IMS_DENY_EXEC;
  if ((access & IMS_ACC_W) && !(perm & IMS_PERM_W))
    return IMS_DENY_WRITE;
  return (access & IMS_ACC_R) && !(perm & IMS_PERM_R) ? IMS_DENY_READ : IMS_DENY_NOTHING;
}

// What requests of a privilege may do, as IMS_PERM_R|W|X: the same rules asked for each access at once.
IMS_PGT_INLINE unsigned ims_vmsa_s1_rights(const struct ims_pgt *p, unsigned perm, bool priv) {
  unsigned access = priv ? (unsigned)IMS_ACC_PRIV : 0u, rights = 0;
  if (ims_vmsa_s1_judge(p, perm, access | IMS_ACC_R) == IMS_DENY_NOTHING)
    rights = IMS_PERM_R | (perm & IMS_PERM_W);
  if (ims_vmsa_s1_judge(p, perm, access | IMS_ACC_X) == IMS_DENY_NOTHING)
    rights |= IMS_PERM_X;
  return rights;
}
IMS_PGT_INLINE unsigned ims_vmsa_s2_rights(unsigned perm, bool priv) {
  return (perm & (IMS_PERM_R | IMS_PERM_W)) | (perm & (priv ? IMS_PERM_PX : IMS_PERM_X) ? (unsigned)IMS_PERM_X : 0u);
}

// May `access` use a page with the rights `perm` of this first stage? VT-d 3.6.2; order: user, execute, write.
IMS_PGT_INLINE enum ims_deny ims_fs_judge(const struct ims_pgt *p, unsigned perm, unsigned access) {
  if (ims_pgt_is_vmsa(p))
    return ims_vmsa_s1_judge(p, perm, access);
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
IMS_PGT_INLINE enum ims_deny ims_ss_judge(const struct ims_pgt *p, unsigned perm, unsigned access) {
  if (ims_pgt_is_vmsa(p))
    return ims_vmsa_s2_judge(perm, access);
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
