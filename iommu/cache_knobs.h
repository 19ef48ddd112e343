// SPDX-License-Identifier: Apache-2.0
// What can be said of a unit's caches, once for all architectures, which have the same ones under names of their own.
//
// A unit lists its caches by these macros, C(X, name, entries, ways, most entries, sentence) each, and makes knobs of them:
// IMS_CACHE_SIZE and IMS_CACHE_POLICY for C, IMS_CACHE_LEVELS and IMS_CACHE_FIRST_LEVEL for what only some have. Knobs are
// X(name, default, low, high, unit, words, sentence), as all knobs of a unit.
//
// Levels of walks are counted from the last, 1: a cache of level 2 holds entries of level 2, so that one level is left to
// read. On an SMMU with three or four levels that is the architecture's level 2, and so on down: 3 is level 1.
#pragma once

#include "iommu/iommu.h"

// clang-format off
#define IMS_CACHES_OF_STRUCTURES(C, X, context, context_text, pasid, pasid_text)                                 \
  C(X, context, 256, 4, 1048576,  context_text)                                                                  \
  C(X, pasid,   512, 4, 4194304,  pasid_text)

#define IMS_CACHES_OF_TRANSLATIONS(C, X, nested, nested_text, s1, s1_text, s2, s2_text)                          \
  C(X, iotlb,  2048, 8, 16777216, "IOTLB")                                                                       \
  C(X, nested,  512, 4, 16777216, nested_text)                                                                   \
  C(X, s1,       32, 4, 1048576,  "each of the " s1_text)                                                        \
  C(X, s2,       32, 4, 1048576,  "each of the " s2_text)

#define IMS_CACHE_SIZE(X, name, entries, ways, most, text)                                                       \
  X(name##_entries, entries, 0, most, "entries", NULL, text ": entries, 0 = none")                               \
  X(name##_ways,       ways, 0, 1024, "ways",    NULL, text ": ways, 0 = fully associative")

#define IMS_CACHE_POLICY(X, name, entries, ways, most, text)                                                     \
  X(name##_replacement, IMS_REPLACE_COMMON, 0, IMS_REPLACE_COMMON, "", ims_words_own_replacement,                \
    text ": replacement: 0 LRU, 1 tree-PLRU, 2 FIFO, 3 random, 4 as `replacement` says")                         \
  X(name##_partitions, 1, 0, 65536, "", NULL,                                                                    \
    text ": equal parts, a power of two; requester n has the one numbered n modulo this; 0 and 1 = all share it")

// Paging-structure caches, by level. s1, s2: as above.
#define IMS_CACHE_LEVELS(X, s1, s2)                                                                              \
  X(s1##_levels, 15, 0, 15, "", NULL, "levels of the first stage with such a cache: bit 0 level 2, counted from the last, 1") \
  X(s2##_levels, 15, 0, 15, "", NULL, "levels of the second stage with such a cache: bit 0 level 2, counted from the last, 1") \
  IMS_CACHE_LEVEL(X, s1_l2, #s1, 2) IMS_CACHE_LEVEL(X, s1_l3, #s1, 3)                                            \
  IMS_CACHE_LEVEL(X, s1_l4, #s1, 4) IMS_CACHE_LEVEL(X, s1_l5, #s1, 5)                                            \
  IMS_CACHE_LEVEL(X, s2_l2, #s2, 2) IMS_CACHE_LEVEL(X, s2_l3, #s2, 3)                                            \
  IMS_CACHE_LEVEL(X, s2_l4, #s2, 4) IMS_CACHE_LEVEL(X, s2_l5, #s2, 5)
#define IMS_CACHE_LEVEL(X, name, all, level)                                                                     \
  X(name##_entries, 0, 0, 1048576, "entries", NULL, "that of level " #level " alone: entries, 0 = as " all "_entries says")

// A TLB in front of the IOTLB, and how the IOTLB chooses sets.
#define IMS_CACHE_FIRST_LEVEL(X)                                                                                 \
  X(iotlb_hash_domain, 1, 0, 1, "", ims_words_off_on, "domain and PASID (VMID, ASID) take part in the set index of the IOTLB, both levels") \
  X(iotlb_hash_source, 0, 0, 1, "", ims_words_off_on, "the requester id takes part in the set index of the IOTLB, both levels") \
  X(utlb_entries, 0, 0, 16777216, "entries", NULL, "first-level IOTLB: entries, 0 = none; it needs an IOTLB")    \
  X(utlb_ways,    0, 0, 1024,     "ways",    NULL, "first-level IOTLB: ways, 0 = fully associative")             \
  IMS_CACHE_POLICY(X, utlb, , , , "first-level IOTLB")

// For C, with a pointer to the unit's configuration for X: is the number of parts no power of two?
#define IMS_CACHE_ODD_PARTITIONS(c, name, entries, ways, most, text)                                             \
  | ((c)->name##_partitions & ((c)->name##_partitions - 1))
// clang-format on

// Rows of struct ims_cache_row out of a configuration `c`.
#define IMS_CACHE_SHAPE(c, name, bytes)                                                                                \
  .ways = (c)->name##_ways, .value_size = (bytes), .partitions = (c)->name##_partitions,                               \
  .replacement = (c)->name##_replacement == IMS_REPLACE_COMMON ? (c)->replacement : (c)->name##_replacement
#define IMS_CACHE_ROW(c, cache, name, bytes)                                                                           \
  { .id = (cache), .entries = (c)->name##_entries, IMS_CACHE_SHAPE(c, name, bytes) }
#define IMS_CACHE_ROW_SIZED(c, cache, name)                                                                            \
  {                                                                                                                    \
    .id = (cache), .entries = (c)->name##_entries, IMS_CACHE_SHAPE(c, name, sizeof(struct ims_tlb_value)),             \
    .sized = true, .salted = ((cache) == IMS_CACHE_IOTLB || (cache) == IMS_CACHE_UTLB) && (c)->iotlb_hash_source,      \
    .by_address = ((cache) == IMS_CACHE_IOTLB || (cache) == IMS_CACHE_UTLB) && !(c)->iotlb_hash_domain                 \
  }
#define IMS_CACHE_ROW_LEVEL(c, cache, name, level_name, level)                                                         \
  {                                                                                                                    \
    .id = (cache),                                                                                                     \
    .entries = !((c)->name##_levels >> ((level)-2) & 1) ? 0                                                            \
               : (c)->level_name##_entries              ? (c)->level_name##_entries                                    \
                                                        : (c)->name##_entries,                                                      \
    IMS_CACHE_SHAPE(c, name, sizeof(struct ims_tlb_value))                                                             \
  }
#define IMS_CACHE_ROWS_OF_TRANSLATIONS(c, nested, s1, s2)                                                              \
  IMS_CACHE_ROW_SIZED(c, IMS_CACHE_IOTLB, iotlb), IMS_CACHE_ROW_SIZED(c, IMS_CACHE_UTLB, utlb),                        \
      IMS_CACHE_ROW_SIZED(c, IMS_CACHE_NESTED, nested), IMS_CACHE_ROW_LEVEL(c, IMS_CACHE_S1_L2, s1, s1_l2, 2),         \
      IMS_CACHE_ROW_LEVEL(c, IMS_CACHE_S1_L3, s1, s1_l3, 3), IMS_CACHE_ROW_LEVEL(c, IMS_CACHE_S1_L4, s1, s1_l4, 4),    \
      IMS_CACHE_ROW_LEVEL(c, IMS_CACHE_S1_L5, s1, s1_l5, 5), IMS_CACHE_ROW_LEVEL(c, IMS_CACHE_S2_L2, s2, s2_l2, 2),    \
      IMS_CACHE_ROW_LEVEL(c, IMS_CACHE_S2_L3, s2, s2_l3, 3), IMS_CACHE_ROW_LEVEL(c, IMS_CACHE_S2_L4, s2, s2_l4, 4),    \
      IMS_CACHE_ROW_LEVEL(c, IMS_CACHE_S2_L5, s2, s2_l5, 5)
