// SPDX-License-Identifier: Apache-2.0
// One Intel VT-d remapping unit. Specification: Intel Virtualization Technology for Directed I/O, rev 4.1; with
// `revision` = 3 the parts that rev 3.x has beyond it (execute requests, NXE, SMEP, SSEE, EMT).
// What is modelled and what is not: docs/vtd.md.
#pragma once

#include "iommu/cache_knobs.h"
#include "iommu/iommu.h"
#include "iommu/option.h"
#include "iommu/vtd/faults.h"
#include "iommu/vtd/regs.h"

#ifdef __cplusplus
extern "C" {
#endif

// Capabilities by name. X(name, register, lowest bit, bits, default, sentence): the CAP and ECAP registers are put
// together from these rows, taken apart by them, and the configuration's keys, ranges and help are these rows too.
// clang-format off
#define IMS_VTD_FEATURES(X)                                                                                       \
  X(nd,      CAP,   0, 3, 6,   "domain ids are 4+2*nd bits wide")                                                 \
  X(rwbf,    CAP,   4, 1, 0,   "write buffers must be flushed by software")                                       \
  X(plmr,    CAP,   5, 1, 0,   "protected low memory region")                                                     \
  X(phmr,    CAP,   6, 1, 0,   "protected high memory region")                                                    \
  X(cm,      CAP,   7, 1, 0,   "caching mode: not-present entries may be cached too")                             \
  X(sagaw,   CAP,   8, 5, 0xe, "second-stage widths: bit 1 39, bit 2 48, bit 3 57 bits")                          \
  X(mgaw,    CAP,  16, 6, 56,  "maximum guest address width, minus one")                                          \
  X(zlr,     CAP,  22, 1, 1,   "zero-length reads pass on write-only pages")                                      \
  X(sslps,   CAP,  34, 4, 3,   "second-stage large pages: bit 0 2 MB, bit 1 1 GB")                                \
  X(psi,     CAP,  39, 1, 1,   "page-selective IOTLB invalidation")                                               \
  X(nfr,     CAP,  40, 8, 7,   "fault recording registers, minus one")                                            \
  X(mamv,    CAP,  48, 6, 18,  "largest address mask of a page-selective IOTLB invalidation")                     \
  X(dwd,     CAP,  54, 1, 1,   "write draining")                                                                  \
  X(drd,     CAP,  55, 1, 1,   "read draining")                                                                   \
  X(fs1gp,   CAP,  56, 1, 1,   "first-stage 1 GB pages")                                                          \
  X(pi,      CAP,  59, 1, 0,   "posted interrupts")                                                               \
  X(fs5lp,   CAP,  60, 1, 1,   "first-stage 5-level paging")                                                      \
  X(esirtps, CAP,  62, 1, 0,   "setting the interrupt table pointer drops the interrupt entry cache")             \
  X(esrtps,  CAP,  63, 1, 1,   "setting the root table pointer drops all translation caches")                     \
  X(c,       ECAP,  0, 1, 1,   "walks of legacy structures are coherent")                                         \
  X(qi,      ECAP,  1, 1, 1,   "queued invalidation")                                                             \
  X(dt,      ECAP,  2, 1, 1,   "device TLBs (ATS)")                                                               \
  X(ir,      ECAP,  3, 1, 1,   "interrupt remapping (its invalidations are accepted)")                            \
  X(eim,     ECAP,  4, 1, 0,   "extended interrupt mode: event messages have a 64-bit address")                   \
  X(pt,      ECAP,  6, 1, 1,   "pass-through")                                                                    \
  X(sc,      ECAP,  7, 1, 1,   "snoop control")                                                                   \
  X(mhmv,    ECAP, 20, 4, 15,  "largest index mask of an interrupt entry invalidation")                           \
  X(mts,     ECAP, 25, 1, 0,   "memory types")                                                                    \
  X(nest,    ECAP, 26, 1, 1,   "nested translation")                                                              \
  X(prs,     ECAP, 29, 1, 1,   "page requests")                                                                   \
  X(ers,     ECAP, 30, 1, 0,   "execute requests (rev 3.x)")                                                      \
  X(srs,     ECAP, 31, 1, 1,   "supervisor requests")                                                             \
  X(nwfs,    ECAP, 33, 1, 1,   "no-write flag of translation requests")                                           \
  X(eafs,    ECAP, 34, 1, 1,   "extended accessed flag")                                                          \
  X(pss,     ECAP, 35, 5, 19,  "PASID width, minus one")                                                          \
  X(pasid,   ECAP, 40, 1, 1,   "requests with PASID")                                                             \
  X(dit,     ECAP, 41, 1, 1,   "device-TLB invalidation throttle")                                                \
  X(pds,     ECAP, 42, 1, 1,   "page-request drain")                                                              \
  X(smts,    ECAP, 43, 1, 1,   "scalable mode")                                                                   \
  X(vcs,     ECAP, 44, 1, 0,   "virtual commands")                                                                \
  X(ssads,   ECAP, 45, 1, 1,   "second-stage accessed and dirty bits")                                            \
  X(ssts,    ECAP, 46, 1, 1,   "second-stage translation in scalable mode")                                       \
  X(fsts,    ECAP, 47, 1, 1,   "first-stage translation")                                                         \
  X(smpwcs,  ECAP, 48, 1, 1,   "walks in scalable mode can be snooped")                                           \
  X(rps,     ECAP, 49, 1, 1,   "RID_PASID")                                                                       \
  X(adms,    ECAP, 52, 1, 1,   "abort mode")                                                                      \
  X(rprivs,  ECAP, 53, 1, 1,   "RID_PRIV")

// Its caches, for iommu/cache_knobs.h.
#define IMS_VTD_CACHES(C, X)                                                                                                  \
  IMS_CACHES_OF_STRUCTURES(C, X, context, "context cache", pasid, "PASID cache")                                              \
  IMS_CACHES_OF_TRANSLATIONS(C, X, nested, "nested TLB", s1_psc, "first-stage paging-structure caches", s2_psc, "second-stage paging-structure caches")

// What CAP and ECAP do not say. X(name, default, low, high, unit, words, sentence)
#define IMS_VTD_KNOBS(X)                                                                                          \
  X(revision,             4, 3, 4,        "",         NULL, "major revision of the specification")                            \
  X(haw,                 52, 32, 52,       "bits",     NULL, "host address width, bits")                                      \
  IMS_VTD_CACHES(IMS_CACHE_SIZE, X)                                                                                           \
  X(replacement,          0, 0, 3,        "",         ims_words_replacement, "of all caches: 0 LRU, 1 tree-PLRU, 2 FIFO, 3 random") \
  X(psc_gpa,              0, 0, 1,        "",         ims_words_off_on, "first-stage paging-structure caches keep GPAs instead of HPAs") \
  X(rights_from_cache,    0, 0, 1,        "",         ims_words_off_on, "a right that a cached entry lacks faults at once instead of walking again") \
  X(fault_compression,    0, 0, 1,        "",         ims_words_off_on, "a fault of a source that has a pending record is dropped silently") \
  IMS_VTD_CACHES(IMS_CACHE_POLICY, X)                                                                                         \
  IMS_CACHE_LEVELS(X, s1_psc, s2_psc)                                                                                         \
  IMS_CACHE_FIRST_LEVEL(X)
// clang-format on

struct ims_vtd_config {
#define IMS_X(name, reg, lsb, bits, def, sentence) uint32_t name;
  IMS_VTD_FEATURES(IMS_X)
#undef IMS_X
#define IMS_X(name, def, low, high, unit, words, sentence) uint32_t name;
  IMS_VTD_KNOBS(IMS_X)
#undef IMS_X
};

// The i-th row, features first; NULL behind the last.
const struct ims_option *ims_vtd_options(unsigned i);

void ims_vtd_config_default(struct ims_vtd_config *c);

// Features (and haw = MGAW, revision 3 when ERS is set) out of capability registers; knobs keep their values.
void ims_vtd_config_from_caps(struct ims_vtd_config *c, uint64_t cap, uint64_t ecap);

// CAP and ECAP that a configuration shows. FRO and IRO are this model's.
uint64_t ims_vtd_cap(const struct ims_vtd_config *c);
uint64_t ims_vtd_ecap(const struct ims_vtd_config *c);

// Checks ranges and dependencies (nest needs fsts and ssts, prs needs dt, ...). Returns NULL or a static sentence.
const char *ims_vtd_config_check(const struct ims_vtd_config *c);

// A unit after power-on. `mem` must outlive it and stays the caller's. INVAL: the configuration does not hold; NOMEM.
int ims_vtd_new(struct ims_iommu **out, const struct ims_vtd_config *config, struct ims_mem *mem,
                const struct ims_iommu_bus *bus);

// Sets a register by name, as a snapshot of a running machine has it; access classes do not apply. The unit's hidden
// state (latched root table, enabled queue) follows once all are set, by ims_vtd_restored(). NOENT: no such register
// (CAP and ECAP belong into the configuration); RANGE: does not fit.
int ims_vtd_restore(struct ims_iommu *u, const char *name, uint64_t value);
void ims_vtd_restored(struct ims_iommu *u);

// Raw value of a register, without side effects; for dumps.
uint64_t ims_vtd_peek(const struct ims_iommu *u, enum ims_vtd_reg reg);

// The configuration in force (read-only).
const struct ims_vtd_config *ims_vtd_config_of(const struct ims_iommu *u);

#ifdef __cplusplus
}
#endif
