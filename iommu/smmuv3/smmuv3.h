// SPDX-License-Identifier: Apache-2.0
// One Arm SMMUv3. Specification: Arm IHI 0070 (SMMUv3.0 to v3.4), the Non-secure programming interface; translation tables
// by Arm DDI 0487. What is modelled and what is not: docs/smmuv3.md.
#pragma once

#include "iommu/cache_knobs.h"
#include "iommu/iommu.h"
#include "iommu/option.h"
#include "iommu/smmuv3/events.h"
#include "iommu/smmuv3/regs.h"

#ifdef __cplusplus
extern "C" {
#endif

// Features by name. X(name, register, lowest bit, bits, default, sentence): the ID registers are put together from these
// rows, taken apart by them, and the configuration's keys, ranges and help are these rows too.
// clang-format off
#define IMS_SMMUV3_FEATURES(X)                                                                                    \
  X(s2p,         IDR0,  0, 1, 1,  "stage 2")                                                                      \
  X(s1p,         IDR0,  1, 1, 1,  "stage 1")                                                                      \
  X(ttf,         IDR0,  2, 2, 2,  "table formats: bit 0 AArch32, bit 1 AArch64")                                  \
  X(cohacc,      IDR0,  4, 1, 1,  "coherent accesses to tables and queues")                                       \
  X(btm,         IDR0,  5, 1, 0,  "broadcast TLB maintenance (not modelled: no effect)")                          \
  X(httu,        IDR0,  6, 2, 2,  "hardware updates: 1 access flag, 2 and dirty state, 3 and tables")             \
  X(dormhint,    IDR0,  8, 1, 0,  "dormant hint")                                                                 \
  X(hyp,         IDR0,  9, 1, 1,  "EL2 stage 1 contexts")                                                         \
  X(ats,         IDR0, 10, 1, 1,  "PCIe ATS")                                                                     \
  X(ns1ats,      IDR0, 11, 1, 0,  "split-stage ATS is not supported")                                             \
  X(asid16,      IDR0, 12, 1, 1,  "ASIDs of 16 bits, else 8")                                                     \
  X(msi,         IDR0, 13, 1, 1,  "interrupts as messages")                                                       \
  X(sev,         IDR0, 14, 1, 1,  "CMD_SYNC can send an event")                                                   \
  X(atos,        IDR0, 15, 1, 0,  "address translation operations (not modelled)")                                \
  X(pri,         IDR0, 16, 1, 1,  "page request interface")                                                       \
  X(vmw,         IDR0, 17, 1, 1,  "VMID wildcards")                                                               \
  X(vmid16,      IDR0, 18, 1, 1,  "VMIDs of 16 bits, else 8")                                                     \
  X(cd2l,        IDR0, 19, 1, 1,  "two-level CD tables")                                                          \
  X(vatos,       IDR0, 20, 1, 0,  "virtual address translation operations (not modelled)")                        \
  X(ttendian,    IDR0, 21, 2, 0,  "table endianness: 0 both, 2 little, 3 big")                                    \
  X(atsrecerr,   IDR0, 23, 1, 1,  "CR2.REC_CFG_ATS")                                                              \
  X(stall_model, IDR0, 24, 2, 0,  "0 stall and terminate, 1 no stall, 2 stall forced")                            \
  X(term_model,  IDR0, 26, 1, 0,  "terminated accesses always abort")                                             \
  X(st_level,    IDR0, 27, 2, 1,  "1: two-level stream tables")                                                   \
  X(sidsize,     IDR1,  0, 6, 16, "bits of a StreamID")                                                           \
  X(ssidsize,    IDR1,  6, 5, 20, "bits of a SubstreamID")                                                        \
  X(priqs,       IDR1, 11, 5, 10, "page request queue: log2 of the most entries")                                 \
  X(eventqs,     IDR1, 16, 5, 10, "event queue: log2 of the most entries")                                        \
  X(cmdqs,       IDR1, 21, 5, 10, "command queue: log2 of the most entries")                                      \
  X(attr_perms_ovr,IDR1,26,1, 1,  "incoming privilege and instruction attributes can be overridden")              \
  X(attr_types_ovr,IDR1,27,1, 1,  "incoming memory types and shareability can be overridden")                     \
  X(rel,         IDR1, 28, 1, 0,  "preset addresses are relative (not modelled)")                                 \
  X(queues_preset,IDR1,29, 1, 0,  "queue addresses are fixed (not modelled)")                                     \
  X(tables_preset,IDR1,30, 1, 0,  "table addresses are fixed (not modelled)")                                     \
  X(ecmdq,       IDR1, 31, 1, 0,  "enhanced command queues (not modelled)")                                       \
  X(had,         IDR3,  2, 1, 1,  "hierarchical attributes can be disabled")                                      \
  X(pbha,        IDR3,  3, 1, 0,  "page-based hardware attributes")                                               \
  X(xnx,         IDR3,  4, 1, 1,  "stage 2 execution control by exception level")                                 \
  X(pps,         IDR3,  5, 1, 1,  "PRI auto-responses have the PASID if STE.PPAR")                                \
  X(mpam,        IDR3,  7, 1, 0,  "MPAM (not modelled)")                                                          \
  X(fwb,         IDR3,  8, 1, 1,  "stage 2 forces memory types")                                                  \
  X(stt,         IDR3,  9, 1, 1,  "small translation tables")                                                     \
  X(ril,         IDR3, 10, 1, 1,  "range invalidations and level hints")                                          \
  X(bbml,        IDR3, 11, 2, 2,  "break-before-make level")                                                      \
  X(e0pd,        IDR3, 13, 1, 1,  "E0PD")                                                                         \
  X(ptwnnc,      IDR3, 14, 1, 1,  "S2PTW treats walks as Normal Non-cacheable")                                   \
  X(dpt,         IDR3, 15, 1, 0,  "device permission table (not modelled)")                                       \
  X(pasidtt,     IDR3, 16, 1, 0,  "translated traffic with PASID")                                                \
  X(epan,        IDR3, 17, 1, 1,  "EPAN")                                                                         \
  X(s1pi,        IDR3, 18, 1, 0,  "stage 1 permission indirection (not modelled)")                                \
  X(s2pi,        IDR3, 19, 1, 0,  "stage 2 permission indirection (not modelled)")                                \
  X(s2po,        IDR3, 20, 1, 0,  "stage 2 permission overlays (not modelled)")                                   \
  X(the,         IDR3, 21, 1, 0,  "translation hardening (not modelled)")                                         \
  X(mteperm,     IDR3, 22, 1, 0,  "NoTagAccess (not modelled)")                                                   \
  X(aie,         IDR3, 23, 1, 0,  "attribute index enhancement (not modelled)")                                   \
  X(oas,         IDR5,  0, 3, 5,  "output addresses: 0 to 6 = 32, 36, 40, 42, 44, 48, 52 bits")                   \
  X(gran4k,      IDR5,  4, 1, 1,  "granule of 4 KB")                                                              \
  X(gran16k,     IDR5,  5, 1, 1,  "granule of 16 KB")                                                             \
  X(gran64k,     IDR5,  6, 1, 1,  "granule of 64 KB")                                                             \
  X(ds,          IDR5,  7, 1, 0,  "52-bit addresses with granules of 4 and 16 KB")                                \
  X(d128,        IDR5,  8, 1, 0,  "128-bit descriptors (not modelled)")                                           \
  X(vax,         IDR5, 10, 2, 0,  "virtual addresses: 0 48 bits, 1 52 bits")                                      \
  X(stall_max,   IDR5, 16, 16, 64, "transactions that may be stalled at once")                                    \
  X(version,     AIDR,  0, 4, 3,  "minor version of the architecture: SMMUv3.n")

// Its caches, for iommu/cache_knobs.h.
#define IMS_SMMUV3_CACHES(C, X)                                                                                               \
  IMS_CACHES_OF_STRUCTURES(C, X, ste, "configuration cache, STEs", cd, "configuration cache, CDs")                            \
  IMS_CACHES_OF_TRANSLATIONS(C, X, ipa, "IPA cache (stage 2 of nested walks)", s1_walk, "stage-1 walk caches", s2_walk, "stage-2 walk caches")

// What the ID registers do not say. X(name, default, low, high, unit, words, sentence)
#define IMS_SMMUV3_KNOBS(X)                                                                                       \
  IMS_SMMUV3_CACHES(IMS_CACHE_SIZE, X)                                                                                        \
  X(replacement,          0, 0, 3,        "",         ims_words_replacement, "of all caches: 0 LRU, 1 tree-PLRU, 2 FIFO, 3 random") \
  X(walk_ipa,             0, 0, 1,        "",         ims_words_off_on, "stage-1 walk caches keep IPAs instead of PAs")       \
  X(contiguous,           1, 0, 1,        "",         ims_words_off_on, "the contiguous hint is taken: one TLB entry for the run") \
  X(rights_from_cache,    0, 0, 1,        "",         ims_words_off_on, "a right that a cached entry lacks faults at once instead of walking again") \
  X(merge_events,         0, 0, 1,        "",         ims_words_off_on, "an event equal to the newest unread one is merged with it, if STE.MEV allows") \
  IMS_SMMUV3_CACHES(IMS_CACHE_POLICY, X)                                                                                      \
  IMS_CACHE_LEVELS(X, s1_walk, s2_walk)                                                                                       \
  IMS_CACHE_FIRST_LEVEL(X)
// clang-format on

struct ims_smmuv3_config {
#define IMS_X(name, reg, lsb, bits, def, sentence) uint32_t name;
  IMS_SMMUV3_FEATURES(IMS_X)
#undef IMS_X
#define IMS_X(name, def, low, high, unit, words, sentence) uint32_t name;
  IMS_SMMUV3_KNOBS(IMS_X)
#undef IMS_X
};

// The i-th row, features first; NULL behind the last.
const struct ims_option *ims_smmuv3_options(unsigned i);

void ims_smmuv3_config_default(struct ims_smmuv3_config *c);

// An ID register that a configuration shows (IDR0, IDR1, IDR3, IDR5, AIDR; 0 for others), and the features out of one;
// knobs and the features of other registers keep their values.
uint32_t ims_smmuv3_id(const struct ims_smmuv3_config *c, enum ims_smmuv3_reg reg);
void ims_smmuv3_config_from_id(struct ims_smmuv3_config *c, enum ims_smmuv3_reg reg, uint32_t value);

// Checks ranges and dependencies (ats needs ..., what is not modelled is off). Returns NULL or a static sentence.
const char *ims_smmuv3_config_check(const struct ims_smmuv3_config *c);

// Output address size in bits.
unsigned ims_smmuv3_oas(const struct ims_smmuv3_config *c);

// A unit after power-on. `mem` must outlive it and stays the caller's. INVAL: the configuration does not hold; NOMEM.
int ims_smmuv3_new(struct ims_iommu **out, const struct ims_smmuv3_config *config, struct ims_mem *mem,
                   const struct ims_iommu_bus *bus);

// Sets a register by name, as a snapshot of a running machine has it; access classes do not apply. The unit's hidden state
// follows once all are set, by ims_smmuv3_restored(). NOENT: no such register (ID registers belong into the
// configuration); RANGE: does not fit.
int ims_smmuv3_restore(struct ims_iommu *u, const char *name, uint64_t value);
void ims_smmuv3_restored(struct ims_iommu *u);

// Raw value of a register, without side effects; for dumps.
uint64_t ims_smmuv3_peek(const struct ims_iommu *u, enum ims_smmuv3_reg reg);

// The configuration in force (read-only).
const struct ims_smmuv3_config *ims_smmuv3_config_of(const struct ims_iommu *u);

// Transactions that wait for CMD_RESUME. STAGs count up from 0; the i-th waiting one, oldest first; false behind the last.
struct ims_smmuv3_stalled {
  uint32_t source;
  uint16_t stag;
};
bool ims_smmuv3_stalled_at(const struct ims_iommu *u, unsigned i, struct ims_smmuv3_stalled *out);

#ifdef __cplusplus
}
#endif
