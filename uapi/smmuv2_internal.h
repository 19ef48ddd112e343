// SPDX-License-Identifier: Apache-2.0
// The host's SMMUv2 driver, for its own files. It knows the unit by its registers alone: there are no tables of streams and no
// queues.
#pragma once

#include "iommu/smmuv2/regs.h"
#include "uapi/kernel_internal.h"

// Registers. `name` is a row of iommu/smmuv2/regs.h: of the global page, of a group, of a context bank's attributes, or of
// context bank n.
#define V2_READ(u, name) ims_unit_read(u, IMS_SMMUV2_OFF_##name, ims_smmuv2_gr0_regs[IMS_SMMUV2_##name].bytes)
#define V2_WRITE(u, name, value)                                                                                       \
  ims_unit_write(u, #name, IMS_SMMUV2_OFF_##name, ims_smmuv2_gr0_regs[IMS_SMMUV2_##name].bytes, value)
#define V2_GROUP(u, name, n, value) ims_unit_write(u, #name, IMS_SMMUV2_OFF_##name + 4u * (n), 4, value)
#define V2_ATTR_AT(u, name, n)      ((u)->smmuv2.page + IMS_SMMUV2_OFF_##name + 4u * (n))
#define V2_ATTR(u, name, n, value)  ims_unit_write(u, #name, V2_ATTR_AT(u, name, n), 4, value)
#define V2_CB_AT(u, name, n)        ((u)->smmuv2.banks_at + (n) * (u)->smmuv2.page + IMS_SMMUV2_OFF_CB_##name)
#define V2_CB(u, name, n, value)                                                                                       \
  ims_unit_write(u, "CB_" #name, V2_CB_AT(u, name, n), ims_smmuv2_cb_regs[IMS_SMMUV2_CB_##name].bytes, value)
#define V2_CB_READ(u, name, n) ims_unit_read(u, V2_CB_AT(u, name, n), ims_smmuv2_cb_regs[IMS_SMMUV2_CB_##name].bytes)

#define V2_NO_BANK (~0u)

// A context bank in use.
struct smmuv2_bank {
  const struct hdomain *d;  // whose tables it walks; of a guest's: the second stage beneath
  struct ims_device *guest; // a guest's stage 1, for this device
  unsigned streams;         // that S2CRs send here, and stage-1 banks over it
  uint16_t vmid, asid;
};

// Whether the device's stream goes to this bank; V2_NO_BANK: where streams go that nothing is attached to.
void ims_v2_stream(struct ims_device *dev, unsigned bank);

// Context banks, TLB maintenance (smmuv2_bank.c).
int ims_v2_attach(struct ims_device *dev, uint32_t pasid, const struct hdomain *d, uint16_t id);
void ims_v2_detach(struct ims_device *dev, uint32_t pasid, const struct hdomain *d, uint16_t id, bool gone);
int ims_v2_set_guest(struct ims_device *dev, const struct hdomain *d, uint16_t vmid, const struct guest_stage1 *s);
int ims_v2_invalidate_guest(struct ims_device *dev, uint16_t vmid, const struct cache_inv *inv);
int ims_v2_flush(const struct hdomain *d, struct domain_unit *du, uint64_t first, uint64_t last, bool leaf);
int ims_v2_flush_new(const struct hdomain *d, struct domain_unit *du, uint64_t first, uint64_t last);
int ims_v2_global_sync(struct host_unit *u);

// Faults (smmuv2_fault.c).
bool ims_v2_interrupt(struct host_unit *u);
void ims_v2_faults(struct host_unit *u);
int ims_v2_page_response(struct ims_device *dev, const struct page_request *req, unsigned code);
