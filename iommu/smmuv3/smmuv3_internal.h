// SPDX-License-Identifier: Apache-2.0
// The inside of an SMMUv3, for the files of this folder.
#pragma once

#include "iommu/smmuv3/smmuv3.h"
#include "pgtable/vmsa.h"

enum { SMMU_CONFIG_ABORT = 0, SMMU_CONFIG_BYPASS = 4, SMMU_CONFIG_S1 = 5, SMMU_CONFIG_S2 = 6, SMMU_CONFIG_NESTED = 7 };
enum { SMMU_S1DSS_TERMINATE = 0, SMMU_S1DSS_BYPASS = 1, SMMU_S1DSS_SSID0 = 2 };
enum { SMMU_EATS_NONE = 0, SMMU_EATS_FULL = 1, SMMU_EATS_SPLIT = 2 };
enum { SMMU_CLASS_CD = 0, SMMU_CLASS_TT = 1, SMMU_CLASS_IN = 2 };

// StreamWorld of a Non-secure stream (5.2, STRW): the translation regime.
enum smmu_world { SMMU_EL1, SMMU_EL2, SMMU_EL2_E2H };

// Tag ids of translations (3.17): VMID where stage 2 is implemented and the regime has VMIDs, ASID of entries that are
// not global, or the mark of a global one with its ASET, the kind, and the regime. IMS_TAG_S1: stage 1 alone;
// IMS_TAG_NESTED: both; IMS_TAG_S2: stage 2 alone, and everything in the IPA cache and the stage-2 walk caches.
// In the stage-1 walk caches, tables have no nG: they are tagged with the ASID always.
#define SMMU_TAG_ASID(asid)   ((uint64_t)(asid) << 16)
#define SMMU_TAG_ASID_MASK    (0xffffull << 16)
#define SMMU_TAG_GLOBAL       (1ull << 32)
#define SMMU_TAG_ASET         (1ull << 33) // of global entries only
#define SMMU_TAG_KIND(kind)   ((uint64_t)(kind) << 36)
#define SMMU_TAG_WORLD(world) ((uint64_t)(world) << 40)
#define SMMU_TAG_WORLD_MASK   (3ull << 40)

// An STE, decoded once. A value of the configuration cache (IMS_CACHE_CONTEXT, key: StreamID; aux: StreamID).
struct smmu_ste {
  uint8_t config; // SMMU_CONFIG_*; 0 to 3 count as abort
  bool has_s1, has_s2;
  uint8_t s1fmt;   // 0 linear, 1 two levels with leaves of 4 KB, 2 of 64 KB
  uint8_t s1cdmax; // 0: one CD
  uint8_t s1dss;   // SMMU_S1DSS_*, reserved encodings resolved
  uint8_t eats;    // effective: SMMU_EATS_*
  uint8_t world;   // enum smmu_world
  bool s1stalld, s1pie, s2s, s2r, mev, ppar, dcp, dre;
  uint8_t mtcfg, memattr, alloccfg, shcfg, privcfg, instcfg; // effective: as incoming where the SMMU cannot override
  uint16_t vmid;                                             // 0 where stage 2 is not implemented
  uint64_t s1ctxptr;                                         // HPA, or IPA when has_s2
  uint8_t ias;       // input bits of stage 1 bypassed under stage 2 (step 11: IAS)
  struct ims_pgt s2; // fmt != NULL iff has_s2
};

// A CD, decoded once. A value of the configuration cache (IMS_CACHE_PASID, key: SMMU_CD_KEY; aux: SMMU_CD_KEY's input).
struct smmu_cd {
  bool a, r, s, aset;
  bool epd[2], tbi[2], e0pd[2]; // side 0: TTB0, side 1: TTB1
  bool two_sides;               // VA bit 55 (AArch32: T0SZ and T1SZ) chooses; false: side 0 only
  bool aarch64;
  uint8_t t0sz, t1sz; // AArch32: to choose the side
  uint16_t asid;
  struct ims_pgt side[2]; // fmt == NULL where EPD
};

#define SMMU_CD_KEY(sid, ssid) ((uint64_t)(sid) << 20 | (ssid))

// A translation in flight, beyond the walk itself. Lies in ims_xlate.scratch.
struct smmu_flight {
  uint16_t state;
  uint8_t access;   // as judged: after STE.PRIVCFG and INSTCFG
  uint8_t side;     // of the CD
  uint8_t fetching; // enum ims_structure of the table or CD that goes through stage 2; 0: none
  bool bypass_s1;   // S1DSS, or Config=110
  bool split;       // split-stage ATS
  bool wants_stall; // the fault at hand stalls if a STAG is free
  bool probed_global;
  uint32_t ssid;
  uint64_t iova; // with an ignored top byte replaced
  uint64_t at;   // hpa of the structure being read
  uint64_t at_ipa;
  uint64_t tlb_id;
  const struct smmu_ste *ste;
  const struct smmu_cd *cd;
  struct smmu_ste ste_room;
  struct smmu_cd cd_room;
};
_Static_assert(sizeof(struct smmu_flight) <= IMS_XLATE_SCRATCH, "an SMMUv3 translation fits its room");

struct smmu_stall {
  bool used;
  uint32_t source;
  uint64_t when; // counts up: the oldest is the smallest
  // eventq.c: a record that found no room in the event queue, and the epoch of then.
  bool unrecorded;
  uint64_t record[4], epoch;
};

struct smmuv3 {
  struct ims_iommu base; // first
  struct ims_smmuv3_config cfg;
  struct ims_regfile regs;
  unsigned oas;        // bits
  bool global_entries; // the IOTLB has held translations for every ASID

  bool atc_timed_out;       // a device did not answer an ATC_INV: the next CMD_SYNC tells
  bool cmdq_running;        // guards against re-entry: a command's effects may write registers
  bool eventq_draining;     // likewise
  struct smmu_stall *stall; // [cfg.stall_max], by STAG
  uint64_t stalls;          // counts up
  uint32_t stalled;         // in use

  struct ims_vmsa_formats formats;
  struct ims_vmsa_formats formats_v7; // AArch32 long descriptors: 4 KB, 40-bit addresses; s1[0] and s2[0] only
};

static inline struct smmuv3 *smmu_of(struct ims_iommu *u) { return (struct smmuv3 *)u; }
static inline struct smmu_flight *smmu_flight_of(struct ims_xlate *x) { return (struct smmu_flight *)x->scratch.word; }
#define SMMU_REG(s, name)        ((s)->regs.reg[IMS_SMMUV3_##name])
#define SMMU_FIELD(s, reg_, fld) IMS_SMMUV3_GET(SMMU_REG(s, reg_), reg_##_##fld)

// decode.c: structures into the structs above; each returns 0 or an event number (enum ims_smmuv3_event).
unsigned smmu_decode_ste(const struct smmuv3 *s, const uint64_t w[8], struct smmu_ste *ste);
unsigned smmu_decode_cd(const struct smmuv3 *s, const struct smmu_ste *ste, const uint64_t w[8], struct smmu_cd *cd);

// xlate.c
void smmu_begin(struct ims_xlate *x);
enum ims_step_kind smmu_step(struct ims_xlate *x);
void smmu_finish(struct ims_xlate *x);
void smmu_translate(struct ims_iommu *u, const struct ims_request *req, struct ims_result *res);
// The STE of a stream for a page request (3.9, 8): 0, or the event that the look-up would give. Counts and records nothing.
unsigned smmu_find_ste(struct smmuv3 *s, uint32_t sid, struct smmu_ste *ste);

// eventq.c: puts a record into the event queue (7.2): merging, overflow, EVENTQ_ABT, interrupt. A record with Stall set is
// not lost: it waits until there is room, or its stall ends. Its STAG must be in use.
void smmu_event(struct smmuv3 *s, const uint64_t record[4], bool mev);
void smmu_eventq_drain(struct smmuv3 *s); // the queue may have become writable: records that wait
// A mask of GERROR, IMS_SMMUV3_BITS(GERROR_...): toggles those that are inactive, with the interrupt.
void smmu_gerror(struct smmuv3 *s, uint64_t errors);
// The interrupt of a *_IRQ_CFG0, if its bit in IRQ_CTRL (a mask) is set; `aborted`: the error if the message aborts.
void smmu_interrupt(struct smmuv3 *s, enum ims_smmuv3_reg cfg0, uint64_t enable, uint64_t aborted);
// A message, also that of a CMD_SYNC: a write of 32 bits into memory, if there is any, which the bus is told of. Address 0:
// none. False: it aborted, since neither memory nor a bus was there to take it.
bool smmu_message(struct smmuv3 *s, uint64_t addr, uint32_t data);

// stall.c: a free STAG for a request of this source, or false: none is free (the fault then terminates).
bool smmu_stall(struct smmuv3 *s, uint32_t source, uint16_t *stag);
void smmu_resume(struct smmuv3 *s, uint32_t source, uint16_t stag, enum ims_resume_action action); // no match: no-op
void smmu_stall_term(struct smmuv3 *s, uint32_t source);                                           // CMD_STALL_TERM
void smmu_stall_end_all(struct smmuv3 *s); // CR0.SMMUEN was cleared: what waits is terminated (3.12.2)

// cmdq.c
void smmu_cmdq_run(struct smmuv3 *s); // all that lies in the queue, unless it is held
bool smmu_queue_next(struct ims_iommu *u, struct ims_queue_item *item);
void smmu_queue_step(struct ims_iommu *u);

// inv.c: what each command removes (4.3, 4.4). Each counts an epoch.
struct smmu_tlbi {
  uint64_t addr; // first byte
  uint64_t last; // last byte
  uint16_t vmid, asid;
  bool leaf;
  uint8_t tg, ttl; // 0: none given
};
void smmu_cfgi_ste(struct smmuv3 *s, uint32_t first, uint32_t last); // and the CDs of these streams
void smmu_cfgi_cd(struct smmuv3 *s, uint32_t sid, uint32_t ssid);
void smmu_cfgi_cd_all(struct smmuv3 *s, uint32_t sid);
void smmu_tlbi(struct smmuv3 *s, unsigned opcode, const struct smmu_tlbi *t);
void smmu_invalidate_all(struct smmuv3 *s);

// prq.c
bool smmu_page_request(struct ims_iommu *u, const struct ims_page_request *r);

// Indexes of a queue (3.5.1): the index proper below the wrap bit, and both. `cap`: IDR1.CMDQS, EVENTQS or PRIQS.
static inline unsigned smmu_queue_log2(uint64_t base, unsigned cap) {
  unsigned log2size = (unsigned)IMS_SMMUV3_GET(base, CMDQ_BASE_LOG2SIZE);
  return log2size < cap ? log2size : cap;
}
static inline uint32_t smmu_queue_mask(unsigned log2size) { return (2u << log2size) - 1; }
// Entries between the indexes. More than 2^log2size: they are inconsistent, and the queue counts as full.
static inline uint32_t smmu_queue_used(uint64_t prod, uint64_t cons, unsigned log2size) {
  return ((uint32_t)prod - (uint32_t)cons) & smmu_queue_mask(log2size);
}
// First byte of a queue: aligned to its size, 32 bytes at least (6.3.26).
static inline uint64_t smmu_queue_base(uint64_t base, unsigned log2size, unsigned entry) {
  uint64_t bytes = (uint64_t)entry << log2size;
  return base & IMS_SMMUV3_BITS(CMDQ_BASE_ADDR) & ~((bytes > 32 ? bytes : 32) - 1);
}

// mmio.c
void smmu_mmio_restrict(struct smmuv3 *s); // fields of features that the unit lacks become reserved
uint64_t smmu_mmio_read(struct ims_iommu *u, uint32_t offset, unsigned size);
void smmu_mmio_write(struct ims_iommu *u, uint32_t offset, unsigned size, uint64_t value);
