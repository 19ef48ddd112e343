// SPDX-License-Identifier: Apache-2.0
// A device function before an IOMMU: it issues DMA, keeps a device TLB (PCIe ATS: the address translation cache, ATC) and
// asks for missing pages (PCIe PRI). It knows the unit only by the requests it sends; what the unit sends back to devices
// (invalidations, page responses) is handed to it by whoever wires the machine: struct ims_iommu_bus.
//
// One function, one source id. Untimed: each request is answered before the next is sent.
// PCI Express Base, "Address Translation Services": translation requests, invalidation, page request interface.
#pragma once

#include "iommu/iommu.h"

#ifdef __cplusplus
extern "C" {
#endif

struct ims_endpoint_config {
  uint32_t source;      // requester id
  uint32_t atc_entries; // device TLB; 0: none, so that each DMA through ATS asks anew
  uint32_t atc_ways;    // 0: fully associative
  enum ims_replacement atc_replacement;
  uint32_t page_requests;     // how many may be outstanding at once; 0: 64
  bool ignores_invalidations; // a broken device: invalidations are neither obeyed nor answered (time-out)
};

// By which way a piece of a DMA went.
enum ims_dma_path {
  IMS_DMA_UNTRANSLATED, // the unit translated it on the way
  IMS_DMA_ATC_HIT,      // the device TLB knew
  IMS_DMA_ATC_MISS,     // a translation request came first
};

// How a piece ended.
enum ims_dma_end {
  IMS_DMA_DONE,
  IMS_DMA_REFUSED,   // the unit refused a request: unsupported request or completer abort
  IMS_DMA_NO_RIGHTS, // ATS: the answer lacks the right; a page request may bring it
  IMS_DMA_NO_MEMORY, // there is no memory at the output address
  IMS_DMA_STALLED,   // the unit holds the request; the rest of the DMA goes on after ims_endpoint_resume()
};

struct ims_dma {
  uint64_t iova;
  uint64_t len; // bytes, at least 1
  uint32_t pasid;
  bool has_pasid;
  uint8_t access; // IMS_ACC_R, W, X, PRIV; R|W is an atomic
  bool ats;       // through the device TLB
  // The device's own memory, `len` bytes: what a write sends, what a read fills. NULL: addresses are translated, and
  // memory is not touched.
  void *data;
};

// A DMA goes out in pieces that do not cross a border of 4 KB, as PCIe demands of each request.
struct ims_dma_piece {
  uint64_t iova, len;
  uint64_t hpa;               // valid with DONE and NO_MEMORY
  uint8_t path;               // enum ims_dma_path
  uint8_t end;                // enum ims_dma_end
  bool zero;                  // with DONE: refused without an error; it read zeros or wrote nothing, hpa is 0
  bool asked_valid;           // `asked` is an answer to this piece; false for a hit in the device TLB
  bool used_valid;            // likewise `used`
  struct ims_result asked;    // of the untranslated request, or of the translation request
  struct ims_result used;     // of the translated request that followed
  struct ims_request request; // that `asked` answers
};

// A page request group that waits for its response.
struct ims_page_group {
  uint32_t pasid;
  bool has_pasid;
  bool closed; // its last request has been sent
  uint16_t group;
  uint16_t requests; // sent so far
};

enum { IMS_PAGE_GROUPS = 512 }; // the group index has 9 bits

struct ims_endpoint_counters {
  uint64_t dmas, pieces, bytes;
  uint64_t untranslated, translation_requests, translated; // requests sent to the unit
  uint64_t atc_hits, atc_misses, atc_fills;                // look-ups are hits + misses
  uint64_t refused, no_rights, no_memory;                  // pieces that did not arrive
  uint64_t invalidations, invalidated;                     // received; entries dropped
  uint64_t page_requests, page_requests_refused, groups, responses, unexpected_responses;
  uint64_t stalls, resumes;
  uint64_t response_codes[3]; // success, invalid request, response failure
};

struct ims_endpoint {
  struct ims_iommu *unit; // not owned
  struct ims_endpoint_config config;
  struct ims_cache atc;
  struct ims_page_group *group; // [outstanding], oldest first
  uint32_t outstanding, next_group, outstanding_requests;
  struct ims_stalled_dma *stalled; // oldest first
  uint32_t sending;                // requests that the unit is answering now
  uint32_t piece;                  // bytes of the piece of a DMA that requests are being sent for
  bool page_requests_off;          // after a response failure, until ims_endpoint_enable_page_requests()
  struct ims_endpoint_counters count;
  // How requests reach the unit: NULL is ims_translate(). For those who want to step a translation themselves.
  void (*translate)(void *ctx, struct ims_iommu *unit, const struct ims_request *req, struct ims_result *res);
  void *translate_ctx;
};

// `unit` must outlive the device. NOMEM, INVAL. ims_endpoint_fini releases; the unit has to be told nothing.
int ims_endpoint_init(struct ims_endpoint *e, struct ims_iommu *unit, const struct ims_endpoint_config *config);
void ims_endpoint_fini(struct ims_endpoint *e);

// Told of each piece when it has ended. `hpa` and results are valid during the call.
typedef void (*ims_dma_observer)(void *ctx, const struct ims_dma_piece *piece);

// Sends a DMA. It ends with its first piece that does not arrive: *end says how (DONE: all arrived), *done how many bytes
// did. Both may be NULL, and so may `observe`. INVAL: no bytes, no access; RANGE: the addresses pass 2^64; NOMEM: no
// room to hold a DMA that stalls.
int ims_endpoint_dma(struct ims_endpoint *e, const struct ims_dma *dma, ims_dma_observer observe, void *ctx,
                     enum ims_dma_end *end, uint64_t *done);

// A stall of this device ends (struct ims_iommu_bus, resume). RETRY: the DMA that waits under this STAG goes on from the
// piece that was held, as if sent now (it may stall again, under another STAG); ABORT: it ends as refused; ZERO: the piece
// ends as done, without memory being touched (a read fills zeros), and the rest goes on. What it comes to is told to
// `observe`, and *end and *done are set as by ims_endpoint_dma (counting what arrived before the stall). Data: a write's
// bytes were copied when it stalled; a read fills the buffer given then, which must still be there, unless the DMA was
// sent without one. A resumption may come while the unit is still answering the request that stalls, from software that
// is told of it at once: then *end is STALLED, and the DMA goes on by itself with what it was told then.
// NOENT: nothing waits under this STAG. NOMEM.
int ims_endpoint_resume(struct ims_endpoint *e, const struct ims_resume *resume, ims_dma_observer observe, void *ctx,
                        enum ims_dma_end *end, uint64_t *done);

// What a page request says.
struct ims_endpoint_page_request {
  uint64_t addr; // of a byte in the page
  uint32_t pasid;
  bool has_pasid, read, write, exec, priv;
  bool last; // of its group
};

// Sends a page request. *group: 0xffff opens a group and sets it; else it belongs to the group of that number, which must
// be open. INVAL; NOSPACE: too many requests or groups are outstanding; PERM: page requests are off; NOENT: no such open
// group. IO: the unit refused it at once; the group then stays outstanding until its response, if one comes.
int ims_endpoint_request_page(struct ims_endpoint *e, const struct ims_endpoint_page_request *r, uint16_t *group);
void ims_endpoint_enable_page_requests(struct ims_endpoint *e);

// What the unit sends. An invalidation returns false when the device does not answer. A response to no outstanding group
// is counted and ignored, and returns false.
bool ims_endpoint_invalidate(struct ims_endpoint *e, const struct ims_ats_invalidation *inv);
bool ims_endpoint_response(struct ims_endpoint *e, const struct ims_page_response *resp);

// The device TLB itself, for devices that keep one without being an endpoint: a sized cache of struct ims_tlb_value.
// Under which id the translations of a function and PASID lie in it: those without PASID, of each PASID, and of privileged
// requests apart, since an ATS answer holds for the privilege it was asked with. `function` tells apart functions that
// share the cache.
uint64_t ims_atc_id(uint32_t function, bool has_pasid, uint32_t pasid, bool priv);
// Keeps the answer to a translation request for iova.
void ims_atc_fill(struct ims_cache *atc, uint64_t iova, uint64_t id, const struct ims_result *answer);
// What an invalidation removes.
struct ims_cache_match ims_atc_match(uint32_t function, const struct ims_ats_invalidation *inv);

// Empties the device TLB, as a reset does.
void ims_endpoint_drop_atc(struct ims_endpoint *e);

const char *ims_dma_path_name(unsigned path);
const char *ims_dma_end_name(unsigned end);

#ifdef __cplusplus
}
#endif
