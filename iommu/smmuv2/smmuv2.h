// SPDX-License-Identifier: Apache-2.0
// One Arm SMMUv2. Specification: Arm IHI 0062 (System MMU architecture version 2.0), the Non-secure programming interface;
// translation tables by Arm DDI 0487. What is modelled, what is not, and what was decided where no public source tells:
// docs/smmuv2.md.
//
// Configuration lies in registers, not in memory: stream match registers choose a stream's context bank, and the bank's
// registers say what it does. There are no queues, no page requests and no PASIDs: a request with a PASID, a translation
// request and translated traffic are unsupported upstream transactions.
//
// Faults. ims_result.fault: enum ims_smmuv2_fault. The record has four words, what the fault registers hold once the fault
// is the first there:
//   context fault: FSR | FSYNR0 << 32, FAR, IPAFAR, FSYNR1 | CBFRSYNRA << 32, of the bank that takes it
//   global fault:  sGFSR | sGFSYNR0 << 32, sGFAR, 0, sGFSYNR1 | sGFSYNR2 << 32
// `recorded` is false where an earlier fault still stands there: then only MULTI is set.
// A request that waits has IMS_STATUS_STALL, and IMS_STATUS_ABORT where an outstanding fault of its bank terminates it
// (SCTLR.HUPCF = 0). `stag` is this model's name for the request; software ends a stall by its bank (RESUME).
//
// Interrupts are wires. A wire that rises is told as a message to address IMS_SMMUV2_WIRES (which is no memory) with the
// number of the wire as data: 0 the global one, 1 + n the n-th context interrupt.
#pragma once

#include "iommu/cache_knobs.h"
#include "iommu/iommu.h"
#include "iommu/option.h"
#include "iommu/smmuv2/faults.h"
#include "iommu/smmuv2/regs.h"

#ifdef __cplusplus
extern "C" {
#endif

#define IMS_SMMUV2_WIRES 0ull

// Features by name. X(name, register, lowest bit, bits, default, sentence): the ID registers are put together from these
// rows, taken apart by them, and the configuration's keys, ranges and help are these rows too.
// clang-format off
#define IMS_SMMUV2_FEATURES(X)                                                                                    \
  X(numsmrg,     IDR0,  0, 8, 64, "stream match groups")                                                          \
  X(exids,       IDR0,  8, 1, 0,  "stream ids of 16 bits can be chosen (sCR0.EXIDENABLE)")                        \
  X(numsidb,     IDR0,  9, 4, 15, "bits of a stream id")                                                          \
  X(btm,         IDR0, 13, 1, 0,  "broadcast TLB maintenance (not modelled: no effect)")                          \
  X(cttw,        IDR0, 14, 1, 1,  "coherent walks")                                                               \
  X(exsmrgs,     IDR0, 15, 1, 0,  "more than 128 stream match groups")                                            \
  X(numirpt,     IDR0, 16, 8, 32, "context interrupts; banks beyond share the last")                              \
  X(ptfs,        IDR0, 24, 2, 1,  "AArch32 formats: 1 long descriptors, 2 none (0, short ones, not modelled)")    \
  X(atosns,      IDR0, 26, 1, 1,  "no address translation operations (0, with them, not modelled)")               \
  X(sms,         IDR0, 27, 1, 1,  "stream matching; 0: stream indexing")                                          \
  X(nts,         IDR0, 28, 1, 1,  "nested translation")                                                           \
  X(s2ts,        IDR0, 29, 1, 1,  "stage 2")                                                                      \
  X(s1ts,        IDR0, 30, 1, 1,  "stage 1")                                                                      \
  X(ses,         IDR0, 31, 1, 0,  "two security states (not modelled: no effect)")                                \
  X(numcb,       IDR1,  0, 8, 32, "context banks")                                                                \
  X(numssdndxb,  IDR1,  8, 4, 0,  "bits of a security state index (not modelled: no effect)")                     \
  X(ssdtp,       IDR1, 12, 1, 0,  "security state table (not modelled: no effect)")                               \
  X(smcd,        IDR1, 15, 1, 1,  "all stream match conflicts are detected (this model always does)")             \
  X(nums2cb,     IDR1, 16, 8, 0,  "context banks, from the first, that have stage 2 only")                        \
  X(hafdbs,      IDR1, 24, 2, 0,  "hardware updates of access flag and dirty state (not modelled)")               \
  X(numpagendxb, IDR1, 28, 3, 5,  "log2 of the pages of a half, minus one")                                       \
  X(pagesize,    IDR1, 31, 1, 0,  "register pages: 0 4 KB, 1 64 KB")                                              \
  X(ias,         IDR2,  0, 4, 5,  "intermediate addresses: 0 to 5 = 32, 36, 40, 42, 44, 48 bits")                 \
  X(oas,         IDR2,  4, 4, 5,  "output addresses: 0 to 5 = 32, 36, 40, 42, 44, 48 bits")                       \
  X(ubs,         IDR2,  8, 4, 5,  "upstream bus: 0 to 5 = 32, 36, 40, 42, 44, 49 bits")                           \
  X(gran4k,      IDR2, 12, 1, 1,  "AArch64 format with a granule of 4 KB (PTFSv8)")                               \
  X(gran16k,     IDR2, 13, 1, 1,  "AArch64 format with a granule of 16 KB (PTFSv8)")                              \
  X(gran64k,     IDR2, 14, 1, 1,  "AArch64 format with a granule of 64 KB (PTFSv8)")                              \
  X(vmid16s,     IDR2, 15, 1, 1,  "VMIDs of 16 bits can be chosen (sCR0.VMID16EN)")                               \
  X(minor,       IDR7,  0, 4, 1,  "revision, minor")                                                              \
  X(major,       IDR7,  4, 4, 2,  "revision, major")

// Its caches, for iommu/cache_knobs.h.
#define IMS_SMMUV2_CACHES(C, X)                                                                                               \
  IMS_CACHES_OF_TRANSLATIONS(C, X, ipa, "IPA cache (stage 2 of nested walks)", s1_walk, "stage-1 walk caches", s2_walk, "stage-2 walk caches")

// What the ID registers do not say. X(name, default, low, high, unit, words, sentence)
#define IMS_SMMUV2_KNOBS(X)                                                                                       \
  IMS_SMMUV2_CACHES(IMS_CACHE_SIZE, X)                                                                                        \
  X(replacement,          0, 0, 3,        "",         ims_words_replacement, "of all caches: 0 LRU, 1 tree-PLRU, 2 FIFO, 3 random") \
  X(walk_ipa,             0, 0, 1,        "",         ims_words_off_on, "stage-1 walk caches keep IPAs instead of PAs")       \
  X(contiguous,           1, 0, 1,        "",         ims_words_off_on, "the contiguous hint is taken: one TLB entry for the run") \
  X(rights_from_cache,    0, 0, 1,        "",         ims_words_off_on, "a right that a cached entry lacks faults at once instead of walking again") \
  X(waiting,             64, 1, 4096,     "requests", NULL, "requests that may wait for RESUME; those beyond are terminated") \
  IMS_SMMUV2_CACHES(IMS_CACHE_POLICY, X)                                                                                      \
  IMS_CACHE_LEVELS(X, s1_walk, s2_walk)                                                                                       \
  IMS_CACHE_FIRST_LEVEL(X)
// clang-format on

struct ims_smmuv2_config {
#define IMS_X(name, reg, lsb, bits, def, sentence) uint32_t name;
  IMS_SMMUV2_FEATURES(IMS_X)
#undef IMS_X
#define IMS_X(name, def, low, high, unit, words, sentence) uint32_t name;
  IMS_SMMUV2_KNOBS(IMS_X)
#undef IMS_X
};

// The i-th row, features first; NULL behind the last.
const struct ims_option *ims_smmuv2_options(unsigned i);

void ims_smmuv2_config_default(struct ims_smmuv2_config *c);

// An ID register that a configuration shows (IDR0, IDR1, IDR2, IDR7; 0 for others), and the features out of one; knobs and
// the features of other registers keep their values. What this model lacks (short descriptors, address translation
// operations, hardware updates) is left out of what an ID register asks for.
uint32_t ims_smmuv2_id(const struct ims_smmuv2_config *c, enum ims_smmuv2_gr0 reg);
void ims_smmuv2_config_from_id(struct ims_smmuv2_config *c, enum ims_smmuv2_gr0 reg, uint32_t value);

// Checks ranges and dependencies. Returns NULL or a static sentence.
const char *ims_smmuv2_config_check(const struct ims_smmuv2_config *c);

// Widths in bits, and the address map in bytes: where the page of a bank begins, and how long everything is.
unsigned ims_smmuv2_oas(const struct ims_smmuv2_config *c);
unsigned ims_smmuv2_ias(const struct ims_smmuv2_config *c);
unsigned ims_smmuv2_ubs(const struct ims_smmuv2_config *c);
uint32_t ims_smmuv2_gr1_offset(const struct ims_smmuv2_config *c);
uint32_t ims_smmuv2_cb_offset(const struct ims_smmuv2_config *c, unsigned bank);
uint32_t ims_smmuv2_span(const struct ims_smmuv2_config *c);

// Groups of SMR and S2CR, or S2CRs alone with stream indexing.
unsigned ims_smmuv2_groups(const struct ims_smmuv2_config *c);

// A unit after power-on. `mem` must outlive it and stays the caller's. INVAL: the configuration does not hold; NOMEM.
int ims_smmuv2_new(struct ims_iommu **out, const struct ims_smmuv2_config *config, struct ims_mem *mem,
                   const struct ims_iommu_bus *bus);

// Registers by name, as a snapshot of a running machine has them: sCR0, SMR3, S2CR3, CBAR0, CBA2R0, CBFRSYNRA0, CB0_SCTLR,
// CB0_TTBR0 and so on. Bytes of a register that has such a name on some unit and holds something; else 0.
unsigned ims_smmuv2_reg_bytes(const char *name);

// Sets one; access classes do not apply. What follows from the registers does so once all are set, by
// ims_smmuv2_restored(). NOENT: no such register in this unit (ID registers belong into the configuration; write-only ones
// hold nothing); RANGE: does not fit.
int ims_smmuv2_restore(struct ims_iommu *u, const char *name, uint64_t value);
void ims_smmuv2_restored(struct ims_iommu *u);

// Raw value of a register, without side effects; for dumps. NOENT.
int ims_smmuv2_peek(const struct ims_iommu *u, const char *name, uint64_t *value);

// Calls `visit` for each register that differs from its value after reset, in the order of the address map.
void ims_smmuv2_each(const struct ims_iommu *u, void (*visit)(void *ctx, const char *name, uint64_t value), void *ctx);

// The configuration in force (read-only).
const struct ims_smmuv2_config *ims_smmuv2_config_of(const struct ims_iommu *u);

// Requests that wait for RESUME; the i-th, oldest first; false behind the last. `held`: the one whose fault is recorded.
struct ims_smmuv2_stalled {
  uint32_t source;
  uint16_t stag;
  uint8_t bank;
  bool held;
};
bool ims_smmuv2_stalled_at(const struct ims_iommu *u, unsigned i, struct ims_smmuv2_stalled *out);

// Empties all fault registers and forgets what waits, without telling anybody: for tools that put one question after the
// other, each to a unit that has no fault outstanding.
void ims_smmuv2_forget_faults(struct ims_iommu *u);

// Requests through a nested bank whose VMID is not that of its stage-2 bank, so far: a mistake of software's, which the
// hardware does not see.
uint64_t ims_smmuv2_vmid_mismatches(const struct ims_iommu *u);

#ifdef __cplusplus
}
#endif
