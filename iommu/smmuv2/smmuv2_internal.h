// SPDX-License-Identifier: Apache-2.0
// The inside of an SMMUv2, for the files of this folder.
#pragma once

#include "iommu/smmuv2/smmuv2.h"
#include "pgtable/vmsa.h"

// Tag ids of translations: VMID and ASID of entries that are not global, the mark of global ones, the kind
// (IMS_TAG_S1 stage 1 alone, IMS_TAG_NESTED both, IMS_TAG_S2 stage 2 alone and all of the IPA cache and the stage-2 walk
// caches), and the mark of hypervisor banks, which have neither VMID nor ASID. Tables have no nG: in the stage-1 walk
// caches the ASID always stands.
#define SMMU2_TAG_VMID_MASK  0xffffull
#define SMMU2_TAG_ASID(asid) ((uint64_t)(asid) << 16)
#define SMMU2_TAG_ASID_MASK  (0xffffull << 16)
#define SMMU2_TAG_GLOBAL     (1ull << 32)
#define SMMU2_TAG_HYP        (1ull << 33)
#define SMMU2_TAG_KIND(kind) ((uint64_t)(kind) << 36)
#define SMMU2_TAG_KIND_MASK  (15ull << 36)

#define SMMU2_FSR_FAULTS  0x1feull // TF to UUT
#define SMMU2_GFSR_FAULTS 0x1ffull // ICF to UUT
#define SMMU2_NO_BANK     (-1)

// What the registers of a bank say, decoded once for all requests.
struct smmu2_context {
  uint8_t type;           // IMS_SMMUV2_CBAR_*
  uint8_t format;         // of FSR: 0 short, 1 long, 2 AArch64
  bool on, hyp;           // SCTLR.M; CBAR.HYPC
  bool asid16;            // ASIDs of 16 bits
  bool epd[2], tbi[2];    // by side: TTBR0, TTBR1
  uint8_t bad[2];         // by side, stage 2 in [0]: 0, or the fault that every use meets (IMS_SMMUV2_TF, ASF)
  uint8_t sign;           // AArch64: the bit that chooses the side; 64: none does
  uint8_t t0sz, t1sz;     // AArch32
  uint16_t vmid, asid;    //
  uint64_t id;            // tag id of its own translations, kind included
  struct ims_pgt side[2]; // stage 1; stage 2 in [0]
};

struct smmu2_bank {
  uint64_t reg[IMS_SMMUV2_CB_COUNT];
  uint32_t gr1[IMS_SMMUV2_GR1_COUNT]; // CBAR, CBFRSYNRA, CBA2R
  bool stale;                         // `context` does not hold what the registers say
  bool wire;                          // the interrupt is asserted
  struct smmu2_context context;
};

struct smmu2_waiting {
  uint32_t source;
  uint16_t stag;
  uint8_t bank;
  bool held;
  uint64_t when; // counts up
};

struct smmuv2 {
  struct ims_iommu base; // first
  struct ims_smmuv2_config cfg;
  struct ims_regfile gr0;         // SMR and S2CR are kept below
  struct ims_regfile gr1, cb;     // what all banks have in common: masks and map; their values are kept below
  uint32_t smr[256], s2cr[256];   // by group
  struct smmu2_bank *bank;        // [cfg.numcb]
  unsigned oas, ias, ubs, groups; // widths in bits; groups
  bool wire;                      // the global interrupt is asserted
  bool global_entries;            // some entry of the IOTLB may be global
  uint64_t mismatches;            // ims_smmuv2_vmid_mismatches
  struct smmu2_waiting *waiting;  // [cfg.waiting], oldest first
  unsigned waiters;               // in use
  uint64_t waits;                 // so far
  struct ims_vmsa_formats formats;

  // The stream seen last and what it matched; good until a register that says so changes.
  struct {
    bool valid;
    uint32_t source;
    int match; // smmu2_match
  } last;
};

// A translation in flight, beyond the walk itself. Lies in ims_xlate.scratch.
struct smmu2_flight {
  uint16_t state;
  uint8_t access;     // as judged: after S2CR.PRIVCFG and INSTCFG
  bool ptw;           // the stage-2 fault is of a stage-1 table
  bool waits;         // for the end of a stall
  bool probed_global; // the IOTLB has been asked for entries of the address space
  bool has_asid;      // its entries may be global
  bool mismatch;      // the VMIDs of its banks differ
  uint8_t format;     // of `bank`
  uint8_t format2;    // of `bank2`
  int16_t bank;       // that takes a fault, or on which the request waits
  int16_t bank2;      // of stage 2
  int16_t s1_bank;    // SMMU2_NO_BANK: none
  uint64_t va;        // the address as stage 1 sees it
  uint64_t tlb_id, s2_id;
};
_Static_assert(sizeof(struct smmu2_flight) <= IMS_XLATE_SCRATCH, "an SMMUv2 translation fits its room");

static inline struct smmuv2 *smmu2_of(struct ims_iommu *u) { return (struct smmuv2 *)u; }
static inline struct smmu2_flight *smmu2_flight_of(struct ims_xlate *x) {
  return (struct smmu2_flight *)x->scratch.word;
}
#define SMMU2_REG(s, name)           ((s)->gr0.reg[IMS_SMMUV2_##name])
#define SMMU2_FIELD(s, reg_, fld)    IMS_SMMUV2_GET(SMMU2_REG(s, reg_), reg_##_##fld)
#define SMMU2_CB(b, name)            ((b)->reg[IMS_SMMUV2_CB_##name])
#define SMMU2_CB_FIELD(b, reg_, fld) IMS_SMMUV2_GET(SMMU2_CB(b, reg_), reg_##_##fld)
#define SMMU2_CBAR_FIELD(b, fld)     IMS_SMMUV2_GET((b)->gr1[IMS_SMMUV2_CBAR], CBAR_##fld)

// stream.c: which group a stream matches, or one of these.
enum { SMMU2_UNMATCHED = -1, SMMU2_CONFLICT = -2 };
int smmu2_match(const struct smmuv2 *s, uint32_t sid);

// context.c
void smmu2_decode(struct smmuv2 *s, unsigned bank);
static inline const struct smmu2_context *smmu2_context(struct smmuv2 *s, unsigned bank) {
  if (__builtin_expect(s->bank[bank].stale, 0))
    smmu2_decode(s, bank);
  return &s->bank[bank].context;
}
uint16_t smmu2_vmid(const struct smmuv2 *s, unsigned bank);
// The side of stage 1 for an address, and the address as that side's tables see it. False: no side translates it.
bool smmu2_choose_side(const struct smmuv2 *s, const struct smmu2_context *c, uint64_t iova, unsigned *side,
                       uint64_t *va);

// xlate.c
void smmu2_begin(struct ims_xlate *x);
enum ims_step_kind smmu2_step(struct ims_xlate *x);
void smmu2_finish(struct ims_xlate *x);
void smmu2_translate(struct ims_iommu *u, const struct ims_request *req, struct ims_result *res);

// fault.c: notes a fault in the registers of its bank or the global ones, and decides whether the request stalls.
void smmu2_fault(struct smmuv2 *s, const struct ims_request *req, struct ims_result *res, const struct smmu2_flight *f);
// The request waits on a bank; false: no room.
bool smmu2_wait(struct smmuv2 *s, unsigned bank, uint32_t source, bool held, uint16_t *stag);
void smmu2_resume(struct smmuv2 *s, unsigned bank, bool terminate);
void smmu2_update_wires(struct smmuv2 *s); // the global one
void smmu2_update_wire(struct smmuv2 *s, unsigned bank);

// tlb.c: what each operation removes. Each counts an epoch.
void smmu2_tlbi_global(struct smmuv2 *s, unsigned reg, uint64_t value);
void smmu2_tlbi_bank(struct smmuv2 *s, unsigned bank, unsigned reg, uint64_t value);

// mmio.c
void smmu2_changed(struct smmuv2 *s); // registers that all banks depend on
uint64_t smmu2_mmio_read(struct ims_iommu *u, uint32_t offset, unsigned size);
void smmu2_mmio_write(struct ims_iommu *u, uint32_t offset, unsigned size, uint64_t value);
