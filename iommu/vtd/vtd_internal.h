// SPDX-License-Identifier: Apache-2.0
// The inside of a VT-d unit, for the files of this folder.
#pragma once

#include "iommu/vtd/vtd.h"
#include "pasid/alloc.h"

enum { VTD_TTM_LEGACY = 0, VTD_TTM_SCALABLE = 1, VTD_TTM_ABORT = 3 };
enum { VTD_PGTT_FIRST = 1, VTD_PGTT_SECOND = 2, VTD_PGTT_NESTED = 3, VTD_PGTT_PASSTHROUGH = 4 };

enum vtd_mode { VTD_OFF, VTD_SCALABLE, VTD_LEGACY, VTD_ABORT, VTD_INVALID };

// The interrupt range. VT-d 3.14.
#define VTD_INT_BASE 0xfee00000ull
#define VTD_INT_SIZE 0x00100000ull

// What a PASID entry or a legacy context entry says of the address space behind it, decoded once. A value of the PASID
// cache. With CM=1 a faulting entry may be cached as well: `fault` then holds its code.
struct vtd_stages {
  uint8_t pgtt; // legacy: SECOND or PASSTHROUGH
  uint8_t fpd;
  uint8_t fault;
  bool snoop;    // PGSNP
  bool sre, ere; // supervisor and execute requests accepted
  uint16_t did;
  uint64_t iotlb_id; // tag id of its translations in the IOTLB and the first-stage paging-structure caches
  struct ims_pgt s1, s2;
};

// A context entry, decoded. A value of the context cache.
struct vtd_context {
  bool legacy, fpd, dte, pre, paside, rid_priv;
  uint8_t fault;
  uint32_t rid_pasid, pasid_limit;
  uint64_t pasid_dir;
  struct vtd_stages stages; // legacy only
};

// A translation in flight, beyond the walk itself. Lies in ims_xlate.scratch.
struct vtd_flight {
  uint16_t state;
  uint8_t access; // as judged: privilege and execute resolved
  uint8_t fpd;    // of all structures read so far
  bool scalable;  // TTM when the translation began
  uint32_t pasid; // PASID or RID_PASID
  uint64_t at;    // hpa of the structure being read
  const struct vtd_context *context;
  const struct vtd_stages *stages;
  struct vtd_context context_room;
  struct vtd_stages stages_room;
};
_Static_assert(sizeof(struct vtd_flight) <= IMS_XLATE_SCRATCH, "a VT-d translation fits its room");

struct vtd {
  struct ims_iommu base; // first
  struct ims_vtd_config cfg;
  struct ims_regfile regs;
  uint64_t *reg;       // regs.reg
  uint64_t (*frcd)[2]; // NFR + 1 fault recording registers
  uint32_t next_frcd;

  // Latched by SRTP: RTADDR itself does nothing.
  uint64_t root;
  uint8_t ttm;
  uint8_t mode; // enum vtd_mode: what happens to a request, from GSTS.TES and TTM

  // The requester seen last, with what steps 4 to 7 found for it in the caches; good while neither has changed.
  struct {
    uint64_t who, when; // source and PASID; count of changes
    const struct vtd_context *context;
    const struct vtd_stages *stages;
  } last;

  struct ims_pasid_space vcmd_pasids; // handed out by VCMD

  // Formats, from the capabilities.
  struct ims_pgt_format fs, fs_nxe;               // first stage alone; rev 3.x without NXE reserves XD
  struct ims_pgt_format fs_nested, fs_nested_nxe; // addresses are GPAs
  struct ims_pgt_format ss, ss_exec;
};

static inline struct vtd *vtd_of(struct ims_iommu *u) { return (struct vtd *)u; }
static inline struct vtd_flight *vtd_flight_of(struct ims_xlate *x) { return (struct vtd_flight *)x->scratch.word; }

// decode.c: entries into the structs above; each returns 0 or a fault reason.
unsigned vtd_decode_root(const struct vtd *v, bool scalable, const uint64_t e[2], unsigned devfn, uint64_t *table);
unsigned vtd_decode_context(const struct vtd *v, const uint64_t e[4], struct vtd_context *c);
unsigned vtd_decode_legacy_context(const struct vtd *v, const uint64_t e[2], unsigned type, struct vtd_context *c);
unsigned vtd_decode_pasid(const struct vtd *v, const uint64_t e[8], struct vtd_stages *s);

// xlate.c
void vtd_begin(struct ims_xlate *x);
enum ims_step_kind vtd_step(struct ims_xlate *x);
void vtd_finish(struct ims_xlate *x);
void vtd_translate(struct ims_iommu *u, const struct ims_request *req, struct ims_result *res);

// fault.c
void vtd_fault_words(uint64_t record[2], const struct ims_request *req, unsigned reason);
void vtd_fault_log(struct vtd *v, const uint64_t record[2]);
void vtd_fault_status(struct vtd *v, uint64_t bits); // sets PFO, IQE, ICE or ITE, with the event if it is due
void vtd_fault_acknowledged(struct vtd *v);          // after software cleared status bits or F
void vtd_event(struct vtd *v, enum ims_vtd_reg ctl); // raises the event whose control register this is
void vtd_event_unmasked(struct vtd *v, enum ims_vtd_reg ctl);

// prq.c
bool vtd_page_request(struct ims_iommu *u, const struct ims_page_request *r);

// inv.c
void vtd_queue_run(struct vtd *v); // all that lies in it, unless it is held
bool vtd_queue_next(struct ims_iommu *u, struct ims_queue_item *item);
void vtd_queue_step(struct ims_iommu *u);
void vtd_invalidate_context(struct vtd *v, unsigned granularity, unsigned did, unsigned sid, unsigned fm);
void vtd_invalidate_pasid_cache(struct vtd *v, unsigned granularity, unsigned did, uint32_t pasid);
void vtd_invalidate_iotlb(struct vtd *v, unsigned granularity, unsigned did, uint64_t addr, unsigned am, bool ih);
void vtd_invalidate_piotlb(struct vtd *v, bool page, unsigned did, uint32_t pasid, uint64_t addr, unsigned am, bool ih);
// First-stage and nested translations that match, whatever the match says of their kind; and their paging structures.
void vtd_invalidate_first_stage(struct vtd *v, const struct ims_cache_match *which, bool structures);
void vtd_invalidate_all(struct vtd *v);

// mmio.c
void vtd_update_mode(struct vtd *v); // after a change of TES or of the latched TTM
uint64_t vtd_mmio_read(struct ims_iommu *u, uint32_t offset, unsigned size);
void vtd_mmio_write(struct ims_iommu *u, uint32_t offset, unsigned size, uint64_t value);
