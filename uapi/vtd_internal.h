// SPDX-License-Identifier: Apache-2.0
// The host's VT-d driver, for its own files. It knows the unit by its registers and by memory alone.
#pragma once

#include "iommu/vtd/regs.h"
#include "uapi/kernel_internal.h"

// Registers. `name` is a row of iommu/vtd/regs.h without its prefix.
#define VTD_READ(u, name) ims_unit_read(u, IMS_VTD_OFF_##name, ims_vtd_regs[IMS_VTD_##name].bytes)
#define VTD_WRITE(u, name, value)                                                                                      \
  ims_unit_write(u, #name, IMS_VTD_OFF_##name, ims_vtd_regs[IMS_VTD_##name].bytes, value)
// Sets the bits of GCMD (levels stay as they are) and waits until GSTS says so. -EIO: it did not.
int ims_vtdd_command(struct host_unit *u, uint32_t set, uint32_t clear);
void ims_vtdd_write_buffer_flush(struct host_unit *u); // where RWBF demands it

// The invalidation queue (vtd_queue.c).
struct vtd_desc {
  uint64_t q[2];
};
enum { VTD_QUEUE_LENGTH = 256, VTD_BATCH_MAX = 250 };
enum { VTD_DRAIN = 1 }; // the wait has the page-request drain bit
int ims_vtdd_queue_init(struct host_unit *u);
void ims_vtdd_queue_fini(struct host_unit *u);
// Puts the descriptors and a wait into the queue, tells the unit, and polls the wait's status in memory. At most
// VTD_BATCH_MAX. 0; -EINVAL: the unit refused one of them; -ETIMEDOUT: no completion; -EIO.
int ims_vtdd_submit(struct host_unit *u, const struct vtd_desc *d, unsigned n, unsigned how);

enum { VTD_PAGE_BITS = 52 }; // of 64-bit addresses: "all pages" as an order
enum { VTD_CTX_DEVICE = 3, VTD_CTX_GLOBAL = 1 };
struct vtd_desc ims_desc_context(unsigned granularity, uint16_t did, uint16_t sid);
struct vtd_desc ims_desc_pasid_cache(uint16_t did, uint32_t pasid);
struct vtd_desc ims_desc_pasid_cache_global(void);
struct vtd_desc ims_desc_iotlb_global(void);
struct vtd_desc ims_desc_iotlb_domain(const struct host_unit *u, uint16_t did);
struct vtd_desc ims_desc_iotlb_page(const struct host_unit *u, uint16_t did, uint64_t addr, unsigned order, bool ih);
struct vtd_desc ims_desc_piotlb(uint16_t did, uint32_t pasid);
struct vtd_desc ims_desc_piotlb_page(uint16_t did, uint32_t pasid, uint64_t addr, unsigned order, bool ih);
struct vtd_desc ims_desc_device_tlb(const struct ims_device *dev, uint64_t addr, unsigned order);
struct vtd_desc ims_desc_device_tlb_pasid(const struct ims_device *dev, uint32_t pasid, uint64_t addr, unsigned order);
struct vtd_desc ims_desc_wait_fence(void);
struct vtd_desc ims_desc_page_response(const struct ims_device *dev, uint32_t pasid, bool has_pasid, uint16_t group,
                                       unsigned code);
// The device TLB of one PASID, 0: of requests without PASID.
struct vtd_desc ims_desc_device_tlb_of(const struct ims_device *dev, uint32_t pasid, uint64_t addr, unsigned order);

// Entries (vtd_pasid.c scalable mode, vtd_legacy.c legacy mode).
int ims_vtdd_device_init(struct ims_device *dev);
void ims_vtdd_device_fini(struct ims_device *dev);
void ims_vtdd_device_changed(struct ims_device *dev);
int ims_vtdd_check(const struct ims_device *dev, uint32_t pasid, const struct hdomain *d);
int ims_vtdd_attach(struct ims_device *dev, uint32_t pasid, const struct hdomain *d, uint16_t did);
void ims_vtdd_detach(struct ims_device *dev, uint32_t pasid, const struct hdomain *d, uint16_t did, bool gone);
int ims_vtdd_set_dirty(struct ims_device *dev, uint32_t pasid, const struct hdomain *d, uint16_t did, bool on);
int ims_vtdd_legacy_attach(struct ims_device *dev, const struct hdomain *d, uint16_t did);
void ims_vtdd_legacy_detach(struct ims_device *dev, uint16_t did);
int ims_vtdd_context_table(struct ims_device *dev, uint64_t *entry); // allocates; hpa of the device's context entry

// Flushes (vtd_flush.c) and events (vtd_events.c).
int ims_vtdd_flush(const struct hdomain *d, struct domain_unit *du, uint64_t first, uint64_t last, bool leaf);
int ims_vtdd_flush_new(const struct hdomain *d, struct domain_unit *du, uint64_t first, uint64_t last);
int ims_vtdd_flush_device(struct ims_device *dev, uint32_t pasid, uint16_t did, bool iotlb, bool devtlb, uint64_t first,
                          uint64_t last, bool leaf);
bool ims_vtdd_interrupt(struct host_unit *u);
void ims_vtdd_fault(struct host_unit *u);
void ims_vtdd_page_requests(struct host_unit *u);
int ims_vtdd_page_response(struct ims_device *dev, const struct page_request *req, unsigned code);

// For iommufd (vtd_iommufd.c): struct host_ops.
int ims_vtdd_hw_info(const struct ims_device *dev, uint32_t *type, void *data, uint32_t *len);
int ims_vtdd_nested_new(struct ims_device *dev, struct hdomain *parent, uint32_t flags, const struct user_data *data,
                        struct hdomain **out);
int ims_vtdd_invalidate_user(struct hdomain *d, struct user_array *a);
bool ims_vtdd_tracks(const struct host_unit *u);
// Own or a process's: what is cached of it is tagged by PASID, not by domain alone.
bool ims_vtdd_first_stage(const struct hdomain *d);
