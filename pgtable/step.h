// SPDX-License-Identifier: Apache-2.0
// What a translation in flight can say and be told: the one vocabulary of the engine.
//
// An engine object (a walk, or a whole translation) advances by itself until it needs something from outside, leaves the
// question in a struct ims_port, and goes on once the answer lies there. Whoever drives it (the untimed loop, a timed
// model, the explanation for a person, a reference counter) reads the step and fills the answer; the engine itself
// touches neither memory nor caches.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ims_step_kind {
  IMS_STEP_READ,   // read `len` bytes at `hpa`; answer: ok, data
  IMS_STEP_UPDATE, // compare-and-swap of 8 bytes at `hpa`, old -> desired; answer: ok, data[0] = value found
  IMS_STEP_PROBE,  // look `tag` up in `cache`; answer: hit, and value (caches of translations) or item (of structures)
  IMS_STEP_FILL,   // put the value under `tag` into `cache`; no answer
  IMS_STEP_DONE,   // finished: the result stands in the object
  IMS_STEP_FAULT,  // finished with an architectural fault
};

// What is read, and what for. X(name, sentence)
// clang-format off
#define IMS_STRUCTURES(X)                        \
  X(ROOT_ENTRY,    "root entry")                 \
  X(CONTEXT_ENTRY, "context entry")              \
  X(PASID_DIR,     "PASID directory entry")      \
  X(PASID_ENTRY,   "PASID table entry")          \
  X(STREAM_L1,     "level-1 stream table descriptor") \
  X(STE,           "stream table entry (STE)")   \
  X(CD_L1,         "level-1 CD table descriptor") \
  X(CD,            "context descriptor (CD)")    \
  X(S1_TABLE,      "first-stage table entry")    \
  X(S2_TABLE,      "second-stage table entry")   \
  X(DATA,          "the page itself")

// Caches of translations and structures. On an SMMU the context cache holds STEs, the PASID cache CDs. A
// paging-structure cache is named by the level of the entries it holds: an S1_L2 entry stands for a level-2 entry, so a
// hit leaves level 1 to read. The first-level IOTLB is no cache that a translation asks by itself: the IOTLB is asked, and
// it answers (iommu/cache.h, `front`). X(name, sentence)
#define IMS_CACHES(X)                                         \
  X(CONTEXT, "context cache")                                 \
  X(PASID,   "PASID cache")                                   \
  X(IOTLB,   "IOTLB")                                         \
  X(NESTED,  "nested TLB (GPA to HPA)")                       \
  X(S1_L2,   "first-stage paging-structure cache, level 2")   \
  X(S1_L3,   "first-stage paging-structure cache, level 3")   \
  X(S1_L4,   "first-stage paging-structure cache, level 4")   \
  X(S1_L5,   "first-stage paging-structure cache, level 5")   \
  X(S2_L2,   "second-stage paging-structure cache, level 2")  \
  X(S2_L3,   "second-stage paging-structure cache, level 3")  \
  X(S2_L4,   "second-stage paging-structure cache, level 4")  \
  X(S2_L5,   "second-stage paging-structure cache, level 5")  \
  X(UTLB,    "first-level IOTLB")
// clang-format on

enum ims_structure {
#define IMS_X(name, sentence) IMS_STRUCT_##name,
  IMS_STRUCTURES(IMS_X)
#undef IMS_X
      IMS_STRUCT_COUNT
};

enum ims_cache_id {
#define IMS_X(name, sentence) IMS_CACHE_##name,
  IMS_CACHES(IMS_X)
#undef IMS_X
      IMS_CACHE_COUNT
};

// Static sentences; "?" for a number out of range.
const char *ims_structure_name(unsigned structure);
const char *ims_cache_name(unsigned cache);
const char *ims_step_kind_name(unsigned kind);

// The key of a cached item. `addr` holds the address rounded down to the item's reach with log2 of the reach in its low
// six bits (ims_tag_addr), or a structure's own key (ims_tag_key); `id` holds what else must match (iommu/cache.h).
struct ims_tag {
  uint64_t addr, id;
};

static inline uint64_t ims_tag_key(uint64_t key) { return key << 6 | 6; }
static inline uint64_t ims_tag_addr(uint64_t addr, unsigned shift) { return (addr >> shift << shift) | shift; }

// A cached piece of a translation; which fields count depends on the cache.
struct ims_tlb_value {
  uint64_t addr; // page (IOTLB, nested TLB), or the next table (paging-structure caches)
  uint8_t shift; // log2 of the bytes covered by the page
  uint8_t perm1; // first-stage permissions, IMS_PERM_*, ANDed over the levels
  uint8_t perm2; // second-stage permissions of the page, or of the page that holds the next table
  uint8_t flags; // IMS_TLB_*
  uint32_t attr; // VMSA: IMS_ATTR_*; else 0. Invalidations find the item by it (struct ims_cache_match, aux)
};

// What a cached VMSA translation remembers beside its address: its leaves, so that an invalidation by address removes all
// pieces of a block (DDI 0487 D8.16, D8.17), and the memory attributes. Shifts are log2 of bytes, 0 = no such stage.
#define IMS_ATTR_S1_SHIFT               0 // 6 bits: of the stage-1 leaf
#define IMS_ATTR_S2_SHIFT               6 // 6 bits: of the stage-2 leaf
#define IMS_ATTR_MEM                    12 // 8 bits: memory type as a MAIR byte (nested TLB: MemAttr of the stage-2 leaf)
#define IMS_ATTR_SH                     20 // 2 bits: shareability; 0 non-, 2 outer, 3 inner
#define IMS_ATTR_S1_PAGE                22 // 2 bits: granule of stage 1; 0 none, 1 4 KB, 2 16 KB, 3 64 KB (the TG of a TLBI)
#define IMS_ATTR_S2_PAGE                24 // 2 bits: of stage 2
#define IMS_ATTR_GLOBAL                 26 // 1 bit: the stage-1 leaf has nG=0
#define IMS_ATTR_S2_MEM                 27 // 4 bits: MemAttr of the stage-2 leaf, without a stage 1
#define IMS_ATTR_GET(attr, field, bits) ((attr) >> (field) & ((1u << (bits)) - 1))

enum {
  IMS_TLB_S1_DIRTY = 1, // the first-stage leaf has its D bit, or needs none
  IMS_TLB_S2_DIRTY = 2, // likewise the second-stage leaf
  IMS_TLB_HPA = 4,      // a first-stage table pointer that has been through the second stage already
  IMS_TLB_SNOOP = 8,    // the leaf forces snooping
};

struct ims_step {
  uint8_t what;      // enum ims_structure: what is read, updated or looked for
  uint8_t level;     // its level, 1 = last; 0 where there are none
  uint8_t for_what;  // second-stage steps: what the address being translated holds (S1_TABLE, DATA, CD_L1, CD)
  uint8_t for_level; // and its level
  uint8_t len;       // bytes to read
  uint8_t cache;     // enum ims_cache_id
  uint64_t hpa;      // where it lies
  uint64_t addr;     // the address that the stage translates: iova, gva or gpa
  uint64_t gpa;      // where a first-stage entry lies before the second stage; equal to hpa without one
  uint64_t old, desired;
  struct ims_tag tag;
  struct ims_tlb_value value; // to fill a cache of translations with
  const void *item;           // to fill a cache of structures with; value_size bytes, valid until the next step
  uint64_t aux;               // and what invalidations find it by
};

struct ims_answer {
  bool ok;             // false: bus error
  bool hit;            // of a probe
  uint8_t cache_level; // of a probe of a cache with two levels: 1 the first had it, 2 the one behind was asked; else 0
  struct ims_tlb_value value; // of a hit in a cache of translations
  const void *item;           // of a hit in a cache of structures; read before the next fill
  uint64_t data[8];
};

struct ims_port {
  struct ims_step step;
  struct ims_answer answer;
  uint32_t refs; // reads so far, configuration structures included; updates do not count
};

#ifdef __cplusplus
}
#endif
