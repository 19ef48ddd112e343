// SPDX-License-Identifier: Apache-2.0
// Page tables as software sees them: made, edited, searched and listed, for every format (VT-d rev 4.1, 9.7 ff. first
// stage, 9.8 ff. second stage; VMSAv8-64 stage 1 and 2, Arm DDI 0487, D8.2 to D8.7).
//
// Tables are reached through struct ims_pgt_mem alone. Its addresses live in the space in which the tables point to each
// other: hpa for a host driver, gpa for a guest whose first stage is nested. pgtable/pool.h has one over struct ims_mem.
//
// Hardware may walk the tables at the same time. Each word it can see is old or new, never in between: a table is filled
// before it is linked, a large leaf is split behind its back, and a table is unlinked before it is given up. What has to
// be invalidated afterwards is the caller's business; the results say what is needed for it.
//
// Sizes are bytes, addresses are those of bytes, `in` is the input of the stage (iova, gva or gpa) and `out` its output
// (gpa or hpa). A range [in, in+size) has to be page-aligned, at least a page, and must not cross the hole between the
// canonical halves. Entries handed out are values: big-endian ones have been turned. These functions trust the tables to be a tree (but for ims_pgt_iterate and ims_pgt_lookup, which
// trust nothing): tables that software shares between two places, or links to themselves, must not be edited here.
//
// Errors of all functions: INVAL misaligned or senseless argument; RANGE address not canonical, or beyond the stage's
// width or what an entry can hold; UNSUP the format cannot say it; BUS a table lies in absent memory; FORMAT a malformed
// entry (reserved bits) is in the way; and what mem->alloc returns (NOSPACE, as a rule).
#pragma once

#include "mem/error.h"
#include "pgtable/format.h"

#ifdef __cplusplus
extern "C" {
#endif

// How software reaches its tables. Functions return OK or an error, which goes back to the caller.
struct ims_pgt_mem {
  void *ctx;
  int (*load64)(void *ctx, uint64_t addr, uint64_t *value);
  int (*store64)(void *ctx, uint64_t addr, uint64_t value);
  int (*alloc)(void *ctx, unsigned log2size, uint64_t *addr); // zeroed, naturally aligned
  void (*free)(void *ctx, uint64_t addr, unsigned log2size);
  // Compare-and-swap as in ims_mem_cas64. May be NULL where no hardware can set a bit between a load and a store.
  int (*cas64)(void *ctx, uint64_t addr, uint64_t old, uint64_t desired, uint64_t *seen);
};

// What a new leaf says beside its rights.
enum {
  IMS_MAP_A = 1,   // accessed bit set already, in the tables made for it too (VMSA: AF; in tables with HAFT)
  IMS_MAP_D = 2,   // dirty bit set already (VMSA: of a leaf with DBM)
  IMS_MAP_EA = 4,  // x86 first stage: extended accessed bit, likewise in the tables
  IMS_MAP_SNP = 8, // VT-d second stage: snooping forced
  // VMSA only. A leaf is inner shareable unless its format has no word for it (DS).
  IMS_MAP_NG = 16,         // stage 1: not global, so that TLBs tell it apart by ASID
  IMS_MAP_DBM = 32,        // hardware records writes in the leaf; without IMS_MAP_D it starts clean
  IMS_MAP_CONTIGUOUS = 64, // leaves that alignment permits to stand in runs get the contiguous hint

  IMS_MAP_ATTR_SHIFT = 8,
  IMS_MAP_ALL = 0x1f7f, // every flag
};
// VMSA: the memory, as AttrIndx (stage 1, 0 to 7) or MemAttr (stage 2, 0 to 15; 1 is Device-nGnRE). Without it AttrIndx
// 0, and MemAttr write-back: 15, or 6 with IMS_PGT_FWB.
#define IMS_MAP_ATTR(n) (1u << 12 | ((unsigned)(n)&15u) << IMS_MAP_ATTR_SHIFT)

enum { IMS_UNMAP_KEEP = 1 }; // tables that became empty stay linked

// Allocates the top table; the caller has filled in the rest of `p`. Sets p->root, which ims_pgt_destroy releases. A VMSA
// root is as large as the input needs (ims_vmsa_root_log2): from 8 bytes to 16 concatenated tables, 1 MB.
int ims_pgt_create(struct ims_pgt *p, const struct ims_pgt_mem *mem);

// Frees all tables, the top one included, and sets p->root to 0. Pages mapped are the caller's. What hangs below an entry
// that cannot be read or is malformed is not found, and leaks.
void ims_pgt_destroy(struct ims_pgt *p, const struct ims_pgt_mem *mem);

// Maps [in, in+size) to [out, out+size), with the largest leaves that alignment, the format and max_leaf_level (0: no
// limit) permit; an empty table that stands there already is used and not replaced by a leaf.
// perm: IMS_PERM_*, of the leaf; tables carry all rights. flags: IMS_MAP_*.
//   x86 first stage  R is required, it cannot be refused; without X the leaf has XD; PX does not count
//   VT-d second      U and PX do not count, X only where the format knows it
//   VMSA stage 1     R is required. X is execution by unprivileged requests alone and PX by privileged ones, so X without
//                    PX is what user memory has; in a regime of one exception level X counts for both. AArch32: XN binds
//                    both, so PX without X executes nowhere. Unprivileged accesses need U
//   VMSA stage 2     U does not count; without XNX, X counts for both sides and PX does not. No right at all is valid
// EXIST: something is mapped in the range. On every error nothing is mapped, and no table was added either, except that
// after BUS from a store empty tables may remain.
int ims_pgt_map(const struct ims_pgt *p, const struct ims_pgt_mem *mem, uint64_t in, uint64_t out, uint64_t size,
                unsigned perm, unsigned flags, unsigned max_leaf_level);

// What an unmap took away. With `reap` tables that were unlinked go there, deepest first, in place of mem->free: for
// callers who have to invalidate before the page may be used again.
struct ims_pgt_gather {
  uint64_t unmapped; // bytes that were mapped and are no more
  uint64_t tables;   // tables unlinked; not 0: paging-structure caches need invalidation too (IH=0)
  void (*reap)(void *ctx, uint64_t table, unsigned log2size);
  void *ctx;
};

// Unmaps what is mapped in [in, in+size); holes are no error. A leaf that sticks out is split first, and a run that does
// loses its contiguous hints, so the whole of it has to be invalidated. Tables found empty
// on the way are unlinked and freed unless `how` says IMS_UNMAP_KEEP. `gather` may be NULL; its counts are added to.
// NOSPACE (no page to split with): nothing was unmapped. FORMAT, BUS: what lies before is unmapped, and counted.
int ims_pgt_unmap(const struct ims_pgt *p, const struct ims_pgt_mem *mem, uint64_t in, uint64_t size, unsigned how,
                  struct ims_pgt_gather *gather);

// Replaces the rights of what is mapped in [in, in+size) and keeps all else, A and D included; splits as unmap does.
// Rights of table entries above stay and still count. `changed`, unless NULL, is set to the bytes whose rights became
// different. Errors as for unmap.
// VMSA leaves with DBM stay so: while they are read-only, bits 55 (was dirty) and 56 (DBM) keep what DBM and the right to
// write said, and give it back with the right.
int ims_pgt_protect(const struct ims_pgt *p, const struct ims_pgt_mem *mem, uint64_t in, uint64_t size, unsigned perm,
                    uint64_t *changed);

// One entry that is not empty.
struct ims_pgt_visit {
  uint64_t in;   // first input address of its reach, canonical
  uint64_t size; // of its reach
  uint64_t out;  // leaf: the page; table: the next table; malformed: 0
  uint64_t entry;
  uint64_t entry_addr; // where it lies
  uint8_t level;
  uint8_t kind; // IMS_PTE_TABLE, LEAF or RESERVED
  uint8_t perm; // IMS_PERM_*, ANDed from the top down to this entry
};

enum { IMS_VISIT_ON = 0, IMS_VISIT_SKIP = 1 }; // SKIP: do not enter this table

// A visitor answers ON or SKIP, or a negative number to stop, which ims_pgt_iterate then returns.
typedef int (*ims_pgt_visitor)(void *ctx, const struct ims_pgt_visit *visit);

// Visits the entries whose reach meets [first, last] in address order, a table before what is in it. Malformed entries
// are visited and not entered. The range is cut to what the stage can translate, so 0 to UINT64_MAX lists all.
// Any bytes are safe: the depth is that of the levels, and at most one table (512 loads; VMSA up to 8192, a concatenated
// root 131072) is read for each visit, so a visitor that stops bounds the work. BUS: a table lies in absent memory; iteration stops there.
int ims_pgt_iterate(const struct ims_pgt *p, const struct ims_pgt_mem *mem, uint64_t first, uint64_t last,
                    ims_pgt_visitor visit, void *ctx);

// Where one address leads, whoever asks; accessed and dirty bits are left alone.
struct ims_pgt_leaf {
  uint64_t out; // of the byte `in`
  uint64_t entry, entry_addr;
  uint8_t level, shift; // log2 of the leaf; a contiguous hint does not count
  uint8_t perm;         // ANDed over the levels
};

// NOENT: not mapped (x86: or no right is left over all levels); RANGE, BUS, FORMAT as above. Trusts nothing in the tables.
int ims_pgt_lookup(const struct ims_pgt *p, const struct ims_pgt_mem *mem, uint64_t in, struct ims_pgt_leaf *leaf);

// Called with each dirty leaf that meets the range: its whole reach, also where it sticks out.
typedef void (*ims_pgt_dirty)(void *ctx, uint64_t in, uint64_t size);

// Reports the leaves in [in, in+size) whose dirty bit is set and, with `clear`, clears it. `report` may be NULL. VMSA:
// the leaves with DBM, since others record nothing; a run under the contiguous hint is dirty or clean as a whole.
// UNSUP: the stage has no dirty bit (p->d_bit == 0).
int ims_pgt_read_dirty(const struct ims_pgt *p, const struct ims_pgt_mem *mem, uint64_t in, uint64_t size, bool clear,
                       ims_pgt_dirty report, void *ctx);

#ifdef __cplusplus
}
#endif
