// SPDX-License-Identifier: Apache-2.0
// The walk: one stage or two, resumable, for every format. There is no other walker in the tree.
//
// A structure that lies behind the second stage (a CD) is found by a walk without a first stage whose `purpose` says so.
//
// Set the stages up, ims_walk_begin(), then call ims_walk_step() until it says DONE or FAULT, answering each question in
// the port. A caller that has memory and caches at hand uses ims_walk_advance() of pgtable/walk_impl.h with hooks; it is
// the same code, and a compiler folds the hooks into one loop.
//
// What it does (VT-d rev 4.1, 3.6 to 3.8; the composition is the architecture-neutral n(m+1)+m):
//   first stage, from the top: translate the entry's address through the second stage (if there is one), read the entry,
//   judge it, set its accessed bit; at the leaf judge the rights, set accessed and dirty; then translate the output.
//   VMSA (DDI 0487 D8.15.4, D8.15.5) has the same order: valid, address size, accessed flag, rights, then updates.
//   Memory is sampled when the answer is fed. A compare-and-swap that finds another value starts the walk again.
#pragma once

#include "pgtable/format.h"
#include "pgtable/step.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { IMS_WALK_RETRIES = 8 }; // lost compare-and-swaps before the update counts as failed

// Why a walk ended, without any architecture's code.
enum ims_walk_cause {
  IMS_WALK_OK,
  IMS_WALK_RANGE,       // input address not canonical, or beyond the stage's width
  IMS_WALK_ACCESS,      // an entry could not be read
  IMS_WALK_NOT_PRESENT, // nothing is permitted: P=0, or R=W=0 in or over second-stage entries
  IMS_WALK_RESERVED,    // a reserved bit is set
  IMS_WALK_USER,        // unprivileged request to a privileged page
  IMS_WALK_EXEC,        // execution not permitted
  IMS_WALK_WRITE,       // writing not permitted
  IMS_WALK_READ,        // reading not permitted
  IMS_WALK_AD_NOSNOOP,  // an accessed or dirty bit is to be set, but the walk is not snooped
  IMS_WALK_AD_FAILED,   // the update failed
  IMS_WALK_OUTPUT,      // the result lies in the range where none may
  IMS_WALK_SIZE,        // VMSA: an entry's address exceeds the output size
  IMS_WALK_FLAG,        // VMSA: the accessed flag is clear, and hardware is not to set it
  IMS_WALK_DEVICE,      // VMSA: a table or CD lies in Device memory under a protected walk (PTW)
};

// What the walk was doing. For a fault of the second stage: on whose behalf.
enum ims_walk_for { IMS_FOR_TABLE, IMS_FOR_UPDATE, IMS_FOR_PAGE };

struct ims_walk_fault {
  uint8_t cause;    // enum ims_walk_cause
  uint8_t stage;    // 1, 2
  uint8_t level;    // of the entry at fault; 0 where there is none
  uint8_t top;      // the entry at fault (or the first-stage entry being fetched) is in the stage's root table
  uint8_t during;   // enum ims_walk_for
  uint8_t s1_level; // the first-stage level being fetched or updated when stage is 2; 0 for the page
  uint64_t addr;    // input of the stage at fault: gva, iova or gpa
  uint64_t hpa;     // of the entry at fault, where there is one
};

// The second stage of the address at hand.
struct ims_walk_stage2 {
  uint16_t state;
  uint8_t need;  // IMS_ACC_*
  uint8_t level; // of the entry at hand
  uint8_t perm, shift;
  uint8_t leaf;   // log2 of the leaf, whatever a contiguous hint adds to it
  uint8_t memory; // VMSA: MemAttr and shareability of the leaf (ims_vmsa_s2_memory)
  bool dirty;     // the leaf's D bit is set, or none is wanted
  bool located;   // entry and entry_hpa are the leaf (false when the nested TLB answered)
  bool fresh;     // do not ask the nested TLB
  uint32_t top;   // ims_pgt_top
  uint64_t in, table, entry, entry_hpa;
  uint64_t all, any; // entries read so far: ims_pgt_collect
  uint64_t desired;
  uint64_t out;
};

struct ims_walk {
  // The question. A stage with fmt == NULL is absent; one at least must be there.
  struct ims_pgt s1, s2;
  uint64_t in;                   // iova or gva
  uint64_t id1, id2;             // tag ids for cached pieces of the first and the second stage
  uint64_t deny_base, deny_size; // a result in this range faults (the interrupt range); size 0: none
  uint32_t caches;               // bit per enum ims_cache_id: which of the nested TLB and paging-structure caches exist
  uint8_t access;                // IMS_ACC_*; a QUERY that may not write loses its W on the way
  uint8_t purpose;               // enum ims_structure of what lies at the result: DATA, or a CD reached through stage 2
  bool psc_gpa;                  // first-stage paging-structure caches keep the GPA of the next table (else its HPA)

  // The answer.
  uint8_t shift;               // log2 of the smaller page
  uint8_t perm1, perm2;        // rights accumulated in each stage (IMS_PERM_ALL where the stage is absent)
  uint8_t flags;               // IMS_TLB_S1_DIRTY, S2_DIRTY, SNOOP
  uint32_t attr;               // IMS_ATTR_*
  uint64_t out;                // hpa of the byte asked for
  struct ims_walk_fault fault; // behind IMS_STEP_FAULT

  // On the way through the first stage.
  uint16_t state, update_state;
  uint8_t leaf;      // log2 of the first-stage leaf
  uint32_t top_mask; // ims_pgt_top
  uint8_t level;     // of the entry at hand; 0 = the page itself
  uint8_t retries;   // lost compare-and-swaps
  bool table_known;  // the pointer to this table needs no entry in a paging-structure cache
  bool table_cached; // it came from one, as an HPA
  bool no_psc;       // such a pointer did not suffice: this time from the root
  uint8_t table_perm2, table_flags;
  uint64_t table, entry, entry_hpa, entry_gpa;
  uint64_t desired;  // the entry after an update
  uint64_t all, any; // entries read so far: ims_pgt_collect
  struct ims_walk_stage2 st2;
};

// Starts afresh with the question in place, for data (set `purpose` behind it for a structure). Neither allocates nor touches anything else.
static inline void ims_walk_begin(struct ims_walk *w) {
  w->state = 0;
  w->purpose = IMS_STRUCT_DATA;
  w->retries = 0;
  w->no_psc = false;
}

// Advances to the next question, DONE or FAULT. The port carries questions and answers.
enum ims_step_kind ims_walk_step(struct ims_walk *w, struct ims_port *port);

const char *ims_walk_cause_name(unsigned cause);

// Rights of a finished translation for requests of this privilege, as IMS_PERM_R|W, and X where execution is judged.
static inline unsigned ims_walk_rights(const struct ims_pgt *s1, const struct ims_pgt *s2, unsigned perm1,
                                       unsigned perm2, bool priv) {
  unsigned access = priv ? (unsigned)IMS_ACC_PRIV : 0u;
  if (s1->fmt ? ims_pgt_is_vmsa(s1) : ims_pgt_is_vmsa(s2))
    return (s1->fmt ? ims_vmsa_s1_rights(s1, perm1, priv) : 7u) & (s2->fmt ? ims_vmsa_s2_rights(perm2, priv) : 7u);
  unsigned rights = IMS_PERM_R | IMS_PERM_W | (s2->flags & IMS_PGT_EXEC ? (unsigned)IMS_PERM_X : 0u);
  if (s1->fmt) {
    if (!priv && !(perm1 & IMS_PERM_U))
      return 0;
    rights = IMS_PERM_R | (priv && !(s1->flags & IMS_PGT_WPE) ? (unsigned)IMS_PERM_W : perm1 & IMS_PERM_W);
    if ((s1->flags & IMS_PGT_EXEC) && ims_fs_judge(s1, perm1, access | IMS_ACC_X) == IMS_DENY_NOTHING)
      rights |= IMS_PERM_X;
  }
  return s2->fmt ? rights & perm2 : rights;
}

#ifdef __cplusplus
}
#endif
