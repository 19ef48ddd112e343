// SPDX-License-Identifier: Apache-2.0
// The host's SMMUv3 driver, for its own files. It knows the unit by its registers and by memory alone.
#pragma once

#include "iommu/smmuv3/commands.h"
#include "iommu/smmuv3/regs.h"
#include "pasid/smmu.h"
#include "uapi/kernel_internal.h"

// Registers. `name` is a row of iommu/smmuv3/regs.h.
#define V3_READ(u, name) ims_unit_read(u, IMS_SMMUV3_OFF_##name, ims_smmuv3_regs[IMS_SMMUV3_##name].bytes)
#define V3_WRITE(u, name, value)                                                                                       \
  ims_unit_write(u, #name, IMS_SMMUV3_OFF_##name, ims_smmuv3_regs[IMS_SMMUV3_##name].bytes, value)

enum { V3_VECTOR_EVENTQ = 0, V3_VECTOR_PRIQ = 1, V3_VECTOR_GERROR = 2 };
enum { V3_SPLIT = 8, V3_CD_LEAF_FMT = 2, V3_CD_LEAF_SPLIT = 10 }; // two levels: 256 STEs a leaf, 1024 CDs a leaf

// What the driver keeps of a device.
struct smmuv3_device {
  uint64_t ste;    // hpa
  uint32_t ssids;  // CDs beside the first in use
  uint8_t s1cdmax; // of its CD table: dev->pasid_dir
  uint8_t s1fmt;
  uint64_t *leaf;        // two-level CD table: hpa by index
  bool in_ste;           // the STE says stage 1, with that table
  bool stall;            // its transactions may be stalled
  bool ats;              // ATS is on at the device, and the STE allows it
  struct viommu *viommu; // whose guest has its stage 1, and hears of its faults; NULL: nobody's
  uint64_t vsid;         // as that guest calls it
};

// The command queue (smmuv3_queue.c).
struct v3_cmd {
  uint64_t q[2];
};
enum { V3_BATCH_MAX = 64 };
int ims_v3_queue_init(struct host_unit *u);
// Puts the commands and a CMD_SYNC into the queue and waits until that is done. At most V3_BATCH_MAX. 0; -EINVAL: the unit
// refused one of them; -ETIMEDOUT: no completion; -EIO.
int ims_v3_submit(struct host_unit *u, const struct v3_cmd *c, unsigned n);
// Without a CMD_SYNC and without waiting: for answers, which a sync does not cover.
int ims_v3_send(struct host_unit *u, const struct v3_cmd *c, unsigned n);
void ims_v3_gerror(struct host_unit *u);

struct v3_cmd ims_v3_cmd(unsigned opcode);
void ims_v3_cmd_set(struct v3_cmd *c, enum ims_smmuv3_command_field field, uint64_t value);
struct v3_cmd ims_v3_cfgi_ste(uint32_t sid, bool leaf);
struct v3_cmd ims_v3_cfgi_cd(uint32_t sid, uint32_t ssid, bool leaf);
struct v3_cmd ims_v3_tlbi(unsigned opcode, uint16_t vmid, uint16_t asid);
// Translations that a device keeps: of one substream, 0 those without; ~0: of all substreams, not those without.
struct v3_cmd ims_v3_atc_inv(const struct ims_device *dev, uint32_t ssid, uint64_t first, uint64_t last);

// Stream table and devices (smmuv3_stream.c).
int ims_v3_stream_table(struct host_unit *u);
void ims_v3_stream_table_free(struct host_unit *u);
int ims_v3_device_init(struct ims_device *dev);
void ims_v3_device_fini(struct ims_device *dev);
void ims_v3_device_changed(struct ims_device *dev);

// STEs: composed for what the device is attached to, and written while the hardware may read them.
int ims_v3_install(struct ims_device *dev, const uint64_t ste[IMS_STE_WORDS]);
void ims_v3_compose_default(const struct ims_device *dev, uint64_t ste[IMS_STE_WORDS]);
void ims_v3_compose_s1(const struct ims_device *dev, bool own, uint64_t ste[IMS_STE_WORDS]);
void ims_v3_compose_s2(const struct ims_device *dev, const struct hdomain *d, uint16_t vmid, bool ats,
                       uint64_t ste[IMS_STE_WORDS]);
void ims_v3_compose_guest(const struct ims_device *dev, const struct hdomain *d, uint16_t vmid,
                          const struct guest_stage1 *g, uint64_t ste[IMS_STE_WORDS]);

// Attachments (smmuv3_attach.c).
int ims_v3_check(const struct ims_device *dev, uint32_t pasid, const struct hdomain *d);
int ims_v3_attach(struct ims_device *dev, uint32_t pasid, const struct hdomain *d, uint16_t id);
void ims_v3_detach(struct ims_device *dev, uint32_t pasid, const struct hdomain *d, uint16_t id, bool gone);
int ims_v3_replace(struct ims_device *dev, uint32_t pasid, const struct hdomain *was, uint16_t was_id,
                   const struct hdomain *d, uint16_t id);
int ims_v3_set_guest(struct ims_device *dev, const struct hdomain *d, uint16_t id, const struct guest_stage1 *s);

// Virtual SMMUs (smmuv3_nested.c).
int ims_v3_hw_info(const struct ims_device *dev, uint32_t *type, void *data, uint32_t *len);
bool ims_v3_has_viommu(const struct ims_device *dev, uint32_t type);
int ims_v3_viommu_init(struct viommu *v, struct ims_device *dev, const struct user_data *data);
bool ims_v3_nested_ats(const struct hdomain *d);
int ims_v3_nested_check(const struct ims_device *dev, const struct hdomain *d);
void ims_v3_compose_nested(const struct ims_device *dev, const struct hdomain *d, uint16_t vmid, bool ats,
                           uint64_t ste[IMS_STE_WORDS]);
void ims_v3_nested_commit(struct ims_device *dev, const struct hdomain *d);         // d is in force; NULL: nothing is
bool ims_v3_guest_event(struct ims_device *dev, const uint64_t record[4], bool s2); // false: it is the host's business

// CD tables of the host's own (smmuv3_cd.c).
int ims_v3_cd_table(struct ims_device *dev); // makes it where there is none
void ims_v3_cd_table_free(struct ims_device *dev);
int ims_v3_cd_write(struct ims_device *dev, uint32_t ssid, const struct hdomain *d, uint16_t asid); // also over another
void ims_v3_cd_clear(struct ims_device *dev, uint32_t ssid, bool quiet); // quiet: stays valid, walks fault

// Flushes (smmuv3_flush.c) and events (smmuv3_events.c).
int ims_v3_flush(const struct hdomain *d, struct domain_unit *du, uint64_t first, uint64_t last, bool leaf);
int ims_v3_flush_new(const struct hdomain *d, struct domain_unit *du, uint64_t first, uint64_t last);
void ims_v3_id_free(struct host_unit *u, const struct hdomain *d, uint16_t id);
int ims_v3_invalidate_guest(struct ims_device *dev, uint16_t vmid, const struct cache_inv *inv);
bool ims_v3_interrupt(struct host_unit *u);
void ims_v3_events(struct host_unit *u);
void ims_v3_page_requests(struct host_unit *u);
int ims_v3_page_response(struct ims_device *dev, const struct page_request *req, unsigned code);
