// SPDX-License-Identifier: Apache-2.0
// An IOMMU seen from outside: requests in, answers out; registers; what it sends to the rest of the machine. The same for
// every architecture. How one translates stands in its folder; several units may share one memory.
//
// A translation in flight is a struct ims_xlate. ims_xlate_begin(), then ims_xlate_step() until DONE or FAULT, each
// question answered in x->port (ims_xlate_answer() does it from the unit's own memory and caches), then
// ims_xlate_finish(), which counts and records the fault. ims_translate() is all of that at once, untimed, without a
// stop; the code that translates is the same.
#pragma once

#include "iommu/cache.h"
#include "mem/mem.h"
#include "pgtable/walk.h"

#ifdef __cplusplus
extern "C" {
#endif

// The AT field of a request; and a page request, whose sender must be known before it is queued (ims_page_request).
enum ims_request_type { IMS_UNTRANSLATED, IMS_TRANSLATION_REQUEST, IMS_TRANSLATED, IMS_PAGE_REQUEST };

struct ims_request {
  uint64_t iova;
  uint32_t source; // requester id or StreamID
  uint32_t pasid;  // valid with has_pasid; SubstreamID
  bool has_pasid;
  uint8_t access; // IMS_ACC_R, W, X, PRIV, ZLR; an atomic is R|W
  uint8_t type;   // enum ims_request_type
  bool no_write;  // NW of a translation request: the device does not ask to write
};

enum ims_status {
  IMS_STATUS_OK,
  IMS_STATUS_BYPASS, // translation off: output = input
  IMS_STATUS_ABORT,  // terminated by configuration, without a record
  IMS_STATUS_FAULT,
  IMS_STATUS_STALL, // a fault was recorded, and the request waits until software resumes it (Arm); `stag` names it
};

// How a request is completed to the device when it is refused. R0: an ATS answer without rights. ZERO: reads give zeros,
// writes vanish (RAZ/WI).
enum ims_completion { IMS_CPL_SUCCESS, IMS_CPL_R0, IMS_CPL_UR, IMS_CPL_CA, IMS_CPL_ZERO };

struct ims_result {
  uint64_t output; // hpa (OK, BYPASS)
  uint8_t status;  // enum ims_status
  uint8_t completion;
  uint8_t shift;          // log2 of the bytes that the cached translation would cover
  uint8_t rights;         // IMS_PERM_R|W|X that a later access through the same translation has
  bool snoop;             // accesses are snooped whatever the device asks
  bool recorded;          // the fault belongs into the log (not suppressed by FPD, not recoverable by PRI)
  bool untranslated_only; // ATS answer: U, the device must not use translated requests here
  uint8_t record_words;
  uint16_t stag;              // STALL: what a resumption will name
  uint32_t attr;              // Arm: IMS_ATTR_MEM and IMS_ATTR_SH of the access
  uint16_t fault;             // the architecture's code; 0 = none
  bool output_ipa;            // ATS answer: the output is an IPA (split-stage ATS)
  uint64_t record[4];         // as the hardware would lay it into its log
  uint32_t pasid;             // by which the request was judged: its own, or the one that its source has without
  uint32_t refs;              // reads made for it, configuration structures included
  struct ims_walk_fault walk; // cause != IMS_WALK_OK: where in the tables
};

struct ims_iommu;

// Room for what an architecture keeps of a translation in flight.
enum { IMS_XLATE_SCRATCH = 512 };

struct ims_xlate {
  struct ims_port port;
  struct ims_iommu *iommu;
  const struct ims_request *req; // the caller's, until the translation has finished
  struct ims_result *res;        // the caller's; complete after ims_xlate_finish
  struct ims_walk walk;
  uint64_t epoch; // of the unit's invalidations when this translation began
  union {
    uint64_t word[IMS_XLATE_SCRATCH / 8];
    void *align;
  } scratch;
};

// A device-TLB invalidation on its way to a device.
struct ims_ats_invalidation {
  uint32_t source;
  uint32_t pasid;
  bool has_pasid, all_pasids;
  uint64_t addr; // first byte
  uint64_t last; // last byte
};

// An answer to a page request, on its way to a device.
struct ims_page_response {
  uint32_t source, pasid;
  bool has_pasid;
  uint16_t group;
  uint8_t code; // 0 success, 1 invalid request, 15 response failure
};

// The end of a stall, on its way to the device whose request was held.
enum ims_resume_action { IMS_RESUME_RETRY, IMS_RESUME_ABORT, IMS_RESUME_ZERO };
struct ims_resume {
  uint32_t source;
  uint16_t stag;
  uint8_t action; // enum ims_resume_action; RETRY: the device's request is translated anew
};

struct ims_page_request {
  uint64_t addr; // of the page
  uint32_t source, pasid;
  bool has_pasid, last, read, write, exec, priv;
  uint16_t group; // 0..511
  uint64_t private_data[2];
};

// What the unit sends into the machine. Any function may be NULL: then messages vanish, and devices answer at once.
struct ims_iommu_bus {
  void *ctx;
  void (*message)(void *ctx, uint64_t addr, uint32_t data);                  // an interrupt message
  bool (*ats_invalidate)(void *ctx, const struct ims_ats_invalidation *inv); // false: no answer in time
  void (*page_response)(void *ctx, const struct ims_page_response *resp);
  void (*resume)(void *ctx, const struct ims_resume *resume);
  // Cached translations or structures have been dropped: what was translated before may no longer hold. Called once the
  // caches are empty of them, from within a register write or an item of the queue.
  void (*invalidated)(void *ctx);
};

// What lies at the head of a unit's queue of invalidations and commands.
enum ims_queue_kind {
  IMS_QUEUE_EMPTY,      // nothing is to be done: empty, off, or stopped by an error
  IMS_QUEUE_INVALIDATE, // drops cached translations or structures
  IMS_QUEUE_DEVICE_TLB, // invalidates in a device (ATS)
  IMS_QUEUE_WAIT,       // tells software that all before it is done (VT-d wait descriptor, CMD_SYNC)
  IMS_QUEUE_RESPONSE,   // answers a page request, or ends stalls
  IMS_QUEUE_OTHER,      // the rest: prefetches, and whatever raises an error
};

struct ims_queue_item {
  uint8_t kind; // enum ims_queue_kind
  uint8_t len;  // bytes that the unit reads at hpa to know the item; 0: it raises an error without reading
  uint64_t hpa; // where the item lies
};

// What an architecture brings along.
struct ims_iommu_ops {
  const char *arch; // "vtd", "smmuv3", "smmuv2"
  void (*begin)(struct ims_xlate *x);
  enum ims_step_kind (*step)(struct ims_xlate *x);
  void (*finish)(struct ims_xlate *x); // counts, records
  // All of that without a stop, from the unit's own memory and caches.
  void (*translate)(struct ims_iommu *u, const struct ims_request *req, struct ims_result *res);
  bool (*page_request)(struct ims_iommu *u, const struct ims_page_request *r); // false: refused at once
  uint64_t (*read)(struct ims_iommu *u, uint32_t offset, unsigned size);
  void (*write)(struct ims_iommu *u, uint32_t offset, unsigned size, uint64_t value);
  bool (*queue_next)(struct ims_iommu *u, struct ims_queue_item *item); // both NULL: no queue
  void (*queue_step)(struct ims_iommu *u);
  void (*free)(struct ims_iommu *u);
};

struct ims_iommu_counters {
  uint64_t requests, refs, faults, faults_recorded, updates;
  uint64_t reads[IMS_STRUCT_COUNT]; // stepped translations only
};

struct ims_iommu {
  const struct ims_iommu_ops *ops;
  struct ims_mem *mem; // not owned
  struct ims_iommu_bus bus;
  uint32_t caches;  // bit per enum ims_cache_id that exists
  uint32_t tenants; // likewise: those that tell requesters apart
  uint64_t epoch;   // counts invalidations of translations
  bool queue_held;  // the caller works the queue off item by item; register writes set nothing off in it
  struct ims_cache cache[IMS_CACHE_COUNT];
  struct ims_iommu_counters count;
};

// Starts a translation. It may be abandoned at any time before ims_xlate_finish, by forgetting the struct: until then the
// unit holds nothing for it, has recorded and counted nothing of it, and no fault (only the accesses that
// ims_xlate_answer made for it are counted, and cached). It stays where it is in memory, and the unit alive, until then.
void ims_xlate_begin(struct ims_xlate *x, struct ims_iommu *u, const struct ims_request *req, struct ims_result *res);
enum ims_step_kind ims_xlate_step(struct ims_xlate *x);
void ims_xlate_answer(struct ims_xlate *x, enum ims_step_kind kind);
void ims_xlate_finish(struct ims_xlate *x);

// Begin, run, finish. The result is complete; a fault has been recorded in the unit's log.
void ims_translate(struct ims_iommu *u, const struct ims_request *req, struct ims_result *res);

// For an architecture's constructor (rows by iommu/cache_knobs.h); 0 entries: absent. NOMEM, INVAL.
struct ims_cache_row {
  unsigned id; // enum ims_cache_id
  uint32_t entries, ways, value_size;
  uint32_t replacement; // enum ims_replacement
  uint32_t partitions;
  bool sized, salted, by_address;
};
int ims_iommu_build_caches(struct ims_iommu *u, const struct ims_cache_row *rows, unsigned count);

// Whose requests the caches serve from now on. ims_translate and ims_xlate_answer say it themselves; whoever looks into the
// caches of a unit on behalf of a requester, or fills them, does too.
void ims_iommu_set_tenant(struct ims_iommu *u, uint32_t source);
static inline void ims_iommu_tenant(struct ims_iommu *u, uint32_t source) {
  if (__builtin_expect(u->tenants != 0, 0))
    ims_iommu_set_tenant(u, source);
}

// The unit counts an epoch and tells the bus; whoever has dropped something from the caches calls it.
void ims_iommu_invalidated(struct ims_iommu *u);

// Empties every cache, as power-on does. Not an invalidation of the architecture.
void ims_iommu_drop_caches(struct ims_iommu *u);

// A page request from a device. False: the unit refused it, and answered by page_response where that is due.
bool ims_request_page(struct ims_iommu *u, const struct ims_page_request *r);

// Registers, as a driver sees them: size 4 or 8, aligned; anything else reads 0 and writes nothing.
uint64_t ims_iommu_read(struct ims_iommu *u, uint32_t offset, unsigned size);
void ims_iommu_write(struct ims_iommu *u, uint32_t offset, unsigned size, uint64_t value);

// The queue, one item at a time, for those who set `queue_held` (and may clear it at any time; what waits then is taken up
// by the next write that would start the queue).
//
// What lies at the head, read from memory without side effects in the unit. False, and EMPTY, when nothing is to be done.
bool ims_queue_next(struct ims_iommu *u, struct ims_queue_item *item);
// Executes that item, or raises the queue's error; nothing when nothing is to be done. What the item sends, it sends by
// the bus before this returns. Not to be called from within an item.
void ims_queue_step(struct ims_iommu *u);

// Releases the unit; the memory stays. NULL is fine.
void ims_iommu_free(struct ims_iommu *u);

#ifdef __cplusplus
}
#endif
