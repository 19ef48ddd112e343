// SPDX-License-Identifier: Apache-2.0
// The inside of the simulated kernel, for the files of this folder. Three floors:
//   VFIO, vSVA, SVA          vfio_*.c vsva_*.c guest.c sva.c  what programs and drivers ask for
//   the IOMMU core           domain.c device.c iopf.c         domains, attachments, cache tags, page-request groups
//   the driver of a unit     vtd_*.c smmuv3_*.c smmuv2_*.c    entries, commands, registers; behind struct host_ops
#pragma once

#include "iommu/smmuv2/smmuv2.h"
#include "iommu/smmuv3/smmuv3.h"
#include "iommu/vtd/vtd.h"
#include "pasid/alloc.h"
#include "pgtable/build.h"
#include "pgtable/pool.h"
#include "pgtable/vmsa.h"
#include "uapi/kernel.h"
#include <errno.h>
#include <uthash.h>
#include <utlist.h>

#define IMS_ENOTSUPP 524 // not part of the user interface, but VT-d's bind lets it out

enum { IMS_PAGE_SHIFT = 12 };
#define IMS_PAGE_SIZE 4096ull

struct host_unit;
struct page_request;
struct iopf_group;
struct hdomain;
struct attachment;
struct container;
struct cache_inv;
struct viommu;
struct user_data;
struct user_array;

// Who serves page requests: a container (vsva_fault.c), a process (sva.c), an iommufd's fault object (iommufd/fault.c).
struct iopf_sink {
  // Takes a group, to answer it now or later by ims_iopf_respond(). -errno: it cannot, and the answer is FAILURE.
  int (*deliver)(struct iopf_sink *s, struct iopf_group *g);
  // The attachment goes: `g`, not answered yet, is to be forgotten; it is answered with INVALID afterwards. NULL: nothing
  // is kept.
  void (*forget)(struct iopf_sink *s, struct iopf_group *g);
  bool required; // a device that cannot make page requests is not attached
};

// ---- Reference-counted pages of the pool (frames.c) -----------------------------------------------------------------

enum { FRAME_SIZES = 3 }; // 4 KB, 2 MB, 1 GB

struct frames {
  uint32_t *ref[FRAME_SIZES]; // by block of the pool; a page has those of all blocks it lies in
  uint32_t *pin;              // how many of those are pins; NULL: nobody asks (only the self-test does)
};
int ims_frames_init(struct ims_kernel *k); // once the pool is there. NOMEM
void ims_frames_fini(struct ims_kernel *k);
int ims_frames_alloc(struct ims_kernel *k, unsigned log2size, uint64_t *hpa); // each 4 KB page with one reference
void ims_frames_get(struct ims_kernel *k, uint64_t hpa, uint64_t size);
void ims_frames_put(struct ims_kernel *k, uint64_t hpa, uint64_t size);
void ims_frames_pin(struct ims_kernel *k, uint64_t hpa, uint64_t size, bool on); // a reference, counted as a pin, too
uint32_t ims_frames_refs(const struct ims_kernel *k, uint64_t hpa);              // of the page; 0: not of the pool

// ---- Files of memory (memfile.c) ------------------------------------------------------------------------------------

// A memfd or a dma-buf. Pages are allocated when somebody first needs them, and stay until the file goes.
struct memfile {
  struct ims_kernel *k;
  uint32_t refs;        // open file, mappings, pages objects of iommufd
  uint8_t shift;        // of its pages
  bool dmabuf, revoked; // revoked: taken back by who made it
  uint64_t size, npages;
  uint64_t *page;      // hpa; 0: none yet
  struct pages *users; // dma-buf: iommufd's, by next_of_buf
};
// A file of `size` bytes, its pages as IMS_MMAP_2M, 1G say. The descriptor, or -EINVAL, -ENOMEM, -EMFILE.
int ims_memfile_new(struct ims_process *p, uint64_t size, unsigned flags, bool dmabuf, struct ims_file **out);
struct memfile *ims_memfile_of(const struct ims_file *f); // NULL: not such a file
void ims_memfile_put(struct memfile *f);
int ims_memfile_page(struct memfile *f, uint64_t offset, uint64_t *hpa, uint64_t *left); // -EINVAL: beyond; -ENOMEM
// Says that a dma-buf is taken back, or is there again; either way nothing that was mapped of it stays in a domain.
void ims_memfile_revoke(struct memfile *f, bool revoked);

// ---- Kernel ---------------------------------------------------------------------------------------------------------

enum { IMS_FAULT_LOG = 4096 };

struct ims_group {
  uint32_t id;
  struct ims_device *devices; // by next_in_group
  bool opened;                // as /dev/vfio/N
  unsigned cdevs;             // devices of it open as character devices
  struct igroup *igroup;      // bound to an iommufd, or NULL
  struct container *container;
  struct ims_group *next_in_container;
  UT_hash_handle hh;
};

struct ims_kernel {
  struct ims_kernel_config cfg;
  struct ims_mem *mem;
  struct ims_page_pool pool;
  struct ims_pgt_mem tables; // second-stage tables: the pool, observed
  struct frames frames;
  struct ims_pasid_space pasids;
  struct host_unit **unit;
  unsigned units;
  struct host_unit *mock; // of the self-test; not among `unit`, and NULL until it is used
  bool units_gone;
  bool doorbell_reserved; // its page is not the pool's to give
  struct ims_group *groups;
  struct ims_device *devices;     // by key
  struct attachment *attachments; // by (device, PASID)
  struct ims_process *processes;  // newest first
  struct container *containers;   // newest first
  uint64_t next_process, next_device;
  uint32_t next_cdev;
  bool irq_pending;
  bool in_interrupts;
  struct ims_kernel_counters count;
  struct ims_kernel_fault *fault; // ring
  struct iopf_sink sva;           // of all processes
};

// Observation. No cost but a test while nobody looks.
void ims_note(struct ims_kernel *k, const struct ims_note *note);
void ims_log(struct ims_kernel *k, enum ims_log_level level, const struct host_unit *u, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
// A store that hardware may see.
int ims_store(struct ims_kernel *k, const struct host_unit *u, uint32_t source, const char *what, uint64_t hpa,
              uint64_t value);
// A compare-and-swap in a table, of no unit in particular; told when it took place.
int ims_cas(struct ims_kernel *k, const char *what, uint64_t hpa, uint64_t old, uint64_t desired, uint64_t *seen);
int ims_pool_page(struct ims_kernel *k, unsigned log2size, uint64_t *hpa); // OK or an ims_error
void ims_pool_free(struct ims_kernel *k, uint64_t hpa, unsigned log2size);
int ims_errno(int err); // enum ims_error to -errno
void ims_fault_logged(struct ims_kernel *k, const struct ims_kernel_fault *f);

// ---- Devices (device.c) ---------------------------------------------------------------------------------------------

struct ims_device {
  struct ims_kernel *k;
  struct ims_device_config cfg;
  struct host_unit *unit;
  struct ims_group *group;
  struct ims_device *next_in_group;
  bool ats_on, pri_on;          // enabled at the device
  bool ats_works, pri_works;    // and the unit takes part
  struct page_request *partial; // of groups whose last request is still to come, in order
  unsigned partials, attachments;
  struct iopf_group *iopf;      // delivered and not answered, oldest first (utlist)
  uint64_t pasid_dir;           // or CD table
  uint8_t pdts;                 // VT-d
  struct smmuv3_device *smmuv3; // of its driver
  uint32_t smmuv2_group;        // likewise: its stream mapping group
  uint32_t max_pasids;          // 0: no PASIDs
  struct guest_stage1 *guest;   // the VMM's guest has stage 1 of all its requests; NULL: nobody's
  uint64_t id;                  // counts up: part of the key of attachments
  uint32_t cdev;                // N of /dev/vfio/devices/vfioN
  struct idev *idev;            // bound to an iommufd, or NULL
  uint32_t key;                 // unit << 16 | source
  UT_hash_handle hh;
};

// ---- Domains: what a device's requests may be attached to (domain.c) ------------------------------------------------

enum hdomain_type { HDOMAIN_PAGING, HDOMAIN_NESTED, HDOMAIN_SVA };

// What a guest has set up as stage 1 for a device, whole: SMMUv3, its CD table (or that it has none); SMMUv2, the one
// context of a stream. The device stays attached to the container's second-stage domain beneath.
enum { GUEST_TRANSLATE = 1, GUEST_BYPASS = 2, GUEST_ABORT = 3 };
struct guest_stage1 {
  struct container *container; // whose VMM it is
  struct iopf_sink *sink;      // who serves page requests
  uint8_t config;              // GUEST_*; SMMUv2: TRANSLATE
  uint64_t base;               // gpa of the CD table, or of the first translation table
  // SMMUv3
  uint8_t pasid_bits, s1fmt, s1dss;
  // SMMUv2
  uint32_t tcr;
  uint16_t asid;
  uint64_t mair;
};

// A cache that holds translations of a domain: which descriptors its changes cost. On the parent of a nested domain,
// the NESTING kinds stand for what the nested domain's caches hold of it.
enum cache_tag_type { TAG_IOTLB, TAG_DEVTLB, TAG_NESTING_IOTLB, TAG_NESTING_DEVTLB };

struct cache_tag {
  struct cache_tag *next, *prev;
  struct ims_device *dev; // DEVTLB kinds
  uint32_t pasid, users;
  uint16_t did;
  uint8_t type;
};

// A domain on one unit.
struct domain_unit {
  struct domain_unit *next;
  struct host_unit *unit;
  struct cache_tag *tags, *last; // in link order
  struct cache_tag *nesting;     // of a nested domain: its NESTING_IOTLB tag on the parent
  uint32_t users;                // attachments: while there are any, it has a domain id
  uint16_t did;
};

// What a new paging domain is for.
enum {
  WANT_NEST = 1,  // to be the parent of nested domains
  WANT_DIRTY = 2, // to track what is written
  WANT_PASID = 4, // to be attached to PASIDs, too
  WANT_TYPE1 = 8, // VFIO type1, as in 2020: VT-d: a second stage
};

struct paging;

// Tables that are no tables: of a driver without hardware (the kernel's self-test).
struct soft_ops {
  uint64_t page, first, last; // smallest page; aperture
  int (*map)(struct paging *p, uint64_t iova, uint64_t hpa, uint64_t size, unsigned prot);
  void (*unmap)(struct paging *p, uint64_t iova, uint64_t size);
  int (*lookup)(const struct paging *p, uint64_t iova, uint64_t *hpa, uint64_t *left); // -ENOENT
  // As ims_hdomain_read_dirty(). NULL: it cannot.
  int (*read_dirty)(struct paging *p, uint64_t iova, uint64_t size, bool clear, ims_pgt_dirty report, void *ctx);
  void (*free)(struct paging *p);
};

struct paging {
  struct ims_pgt_format fmt;
  struct ims_pgt pgt;
  uint8_t aw;                  // VT-d: as context and PASID entries say it
  bool nest;                   // may be the parent of nested domains
  bool writable;               // takes no read-only mappings (VT-d, erratum 772415)
  bool s1;                     // a first-stage table of the host's own
  bool snoop;                  // snooping is forced
  bool tracks;                 // WANT_DIRTY: can be asked what was written
  bool dirty;                  // tracking is switched on
  uint16_t map_flags;          // of every leaf: IMS_MAP_*
  uint8_t map_perm;            // rights beside reading and writing
  const struct soft_ops *soft; // NULL: fmt and pgt
  void *soft_state;
};

struct hdomain {
  struct ims_kernel *k;
  const struct host_unit *made_for; // paging: the unit whose format it has
  struct domain_unit *units;
  uint32_t users; // attachments and nested domains
  uint8_t type;
  // first stage: nested and SVA
  uint8_t s1_levels;
  bool sre, wpe, eafe;
  uint64_t s1_root;                       // gpa of a nested, hpa of an SVA domain
  struct hdomain *parent;                 // nested
  struct viommu *viommu;                  // nested by way of a virtual IOMMU
  uint64_t vste[2];                       // SMMUv3: what the guest's STE says
  bool vste_ats;                          // and whether it wants ATS
  struct ims_process *mm;                 // SVA
  struct hdomain *next;                   // SVA: of the same process
  struct iopf_sink *sink;                 // who serves page requests of what is attached; NULL: nobody
  const struct host_ops *ops;             // who made it; NULL: SVA
  void *driver;                           // of nested domains: its driver's own
  void (*driver_free)(struct hdomain *d); // releases that; NULL: nothing
  struct paging paging[];                 // one for paging domains
};

// A device's PASID (0: its requests without PASID) attached to a domain.
struct attachment {
  struct {
    uint64_t device;
    uint32_t pasid, pad;
  } key;
  struct ims_device *dev;
  struct hdomain *domain;
  struct cache_tag *devtlb, *nesting_devtlb;
  struct container *container;                       // through which a guest's PASID is bound; nested
  struct attachment *next_of_pasid, **link_of_pasid; // nested: list of pasid_use
  struct ims_sva *sva;
  UT_hash_handle hh;
};

int ims_hdomain_new_paging(struct ims_kernel *k, const struct host_unit *u, unsigned want, struct hdomain **out);
struct hdomain *ims_hdomain_new(struct ims_kernel *k, enum hdomain_type type); // NESTED, SVA
void ims_hdomain_free(struct hdomain *d);                                      // no users; frees second-stage tables

struct attachment *ims_attachment(const struct ims_device *dev, uint32_t pasid);
// Attaches and programs the unit. -EBUSY: attached; -ENOSPC: no domain id; -ENOMEM; what the driver answers.
int ims_attach(struct ims_device *dev, uint32_t pasid, struct hdomain *d, struct attachment **out);
// Attaches, or takes the place of what is attached. On error that stays.
int ims_replace(struct ims_device *dev, uint32_t pasid, struct hdomain *d, struct attachment **out);
// `gone`: the process exited; the entry is left with FPD and page requests are not drained.
void ims_detach(struct attachment *a, bool gone);
// mm exit cut the entry off while the attachment stays until it is unbound.
void ims_attachment_cut(struct attachment *a);

// What a paging domain maps (mapping.c). prot: IMS_PROT_*. -EEXIST, -EINVAL, -ENOMEM; nothing is mapped then.
int ims_hdomain_map(struct hdomain *d, uint64_t iova, uint64_t hpa, uint64_t size, unsigned prot);
void ims_hdomain_unmap(struct hdomain *d, uint64_t iova, uint64_t size);                 // and invalidated
int ims_hdomain_lookup(struct hdomain *d, uint64_t iova, uint64_t *hpa, uint64_t *left); // -ENOENT
uint64_t ims_hdomain_page(const struct hdomain *d);                                      // its smallest page, bytes
void ims_hdomain_aperture(const struct hdomain *d, uint64_t *first, uint64_t *last);

// The domain has its id on this unit also while nothing is attached. -ENOSPC, -ENOMEM.
int ims_hdomain_hold(struct hdomain *d, struct host_unit *u);
void ims_hdomain_release(struct hdomain *d, struct host_unit *u);
// Dirty tracking: of domains with paging->tracks, else -EOPNOTSUPP. Switching programs what is attached, to the domain
// itself and to those nested on it; on error nothing has changed.
int ims_hdomain_set_dirty(struct hdomain *d, bool on);
// Reports the leaves in the range that were written, whole, and with `clear` makes them clean, which needs a flush of
// what they cover afterwards.
int ims_hdomain_read_dirty(struct hdomain *d, uint64_t iova, uint64_t size, bool clear, ims_pgt_dirty report,
                           void *ctx);

// A change of what the domain maps in [first, last]: invalidates all its caches.
int ims_hdomain_flush(struct hdomain *d, uint64_t first, uint64_t last, bool leaf);
// What became present there; costs something only with caching mode or write buffers.
int ims_hdomain_flush_new(struct hdomain *d, uint64_t first, uint64_t last);
struct domain_unit *ims_domain_unit(const struct hdomain *d, const struct host_unit *u);

// ---- The driver of a unit -------------------------------------------------------------------------------------------

// Tags of what is cached, numbered by the driver: VT-d domain ids and VMIDs, and ASIDs. SHARED: the one of all first-level
// domains of VT-d. PARENT: a nested domain has that of its parent (SMMUv3).
enum host_id { ID_DOMAIN, ID_ASID, ID_SPACES, ID_SHARED = ID_SPACES, ID_PARENT };
enum { DID_FIRST_LEVEL = 1, DID_FIRST_FREE = 2, ID_WORDS = 1024 };

struct id_space {
  uint32_t limit; // ids below
  uint64_t used[ID_WORDS], full[ID_WORDS / 64];
};

enum { HW_INFO_MAX = 64 };

struct host_ops {
  const char *arch; // of the unit: struct ims_iommu_ops
  uint8_t note;     // enum ims_arch
  int (*setup)(struct host_unit *u);
  void (*shutdown)(struct host_unit *u);
  uint64_t (*root)(const struct host_unit *u);
  void (*message)(struct host_unit *u, unsigned kind); // an interrupt came: remember it
  int (*device_init)(struct ims_device *dev);
  void (*device_fini)(struct ims_device *dev);
  void (*device_changed)(struct ims_device *dev);                       // ATS or PRI switched; nothing is attached
  int (*compatible)(struct host_unit *u, const struct hdomain *paging); // -EINVAL: cannot use these tables
  int (*paging_format)(const struct host_unit *u, unsigned want, struct paging *out); // WANT_*
  enum host_id (*id_of)(const struct hdomain *d);
  void (*id_free)(struct host_unit *u, const struct hdomain *d,
                  uint16_t id); // NULL: nothing. No attachment has it any more
  int (*attach)(struct ims_device *dev, uint32_t pasid, const struct hdomain *d, uint16_t did);
  void (*detach)(struct ims_device *dev, uint32_t pasid, const struct hdomain *d, uint16_t did, bool gone);
  // What can be said against an attachment before anything is changed for it. NULL: `attach` will say.
  int (*check)(const struct ims_device *dev, uint32_t pasid, const struct hdomain *d);
  int (*flush)(const struct hdomain *d, struct domain_unit *du, uint64_t first, uint64_t last, bool leaf);
  int (*flush_new)(const struct hdomain *d, struct domain_unit *du, uint64_t first, uint64_t last);
  // VT-d: what one device has cached of its PASID: IOTLB, device TLB, or both. NULL: no guest PASIDs.
  int (*flush_device)(struct ims_device *dev, uint32_t pasid, uint16_t did, bool iotlb, bool devtlb, uint64_t first,
                      uint64_t last, bool leaf);
  void (*nesting_info)(const struct host_unit *u, struct ims_iommu_nesting_info *out);
  int (*page_response)(struct ims_device *dev, const struct page_request *req, unsigned code);
  int (*iopf_check)(const struct ims_device *dev); // -ENODEV: its page requests cannot come; NULL: never mind
  bool (*interrupt)(struct host_unit *u);
  bool (*can_nest)(const struct host_unit *u);
  int (*sva_check)(const struct ims_device *dev);
  bool (*has_5level)(const struct host_unit *u); // VT-d: first stage
  // SMMU: a guest's stage 1. `s` NULL takes it away. Called with the device attached to a nesting second stage, which is d.
  uint8_t guest_format; // of struct iommu_gpasid_bind_data: IMS_FORMAT_SMMUV2; 0: not bound by that
  bool guest_table;     // SMMUv3: bound by a PASID table
  int (*set_guest)(struct ims_device *dev, const struct hdomain *d, uint16_t id, const struct guest_stage1 *s);
  int (*invalidate_guest)(struct ims_device *dev, uint16_t id, const struct cache_inv *inv);
  bool (*coherent)(const struct ims_device *dev); // its DMA snoops the processors' caches; NULL: yes
  // iommufd. NULL: -EOPNOTSUPP.
  // GET_HW_INFO: *type is what was asked for (IMS_HW_INFO_NONE: whatever it is) and becomes what it is; `data` has room for
  // HW_INFO_MAX bytes, *len: how many were written.
  int (*hw_info)(const struct ims_device *dev, uint32_t *type, void *data, uint32_t *len);
  bool (*can_track_dirty)(const struct ims_device *dev); // NULL: no
  // Data of HWPT_ALLOC over an address space: of a new domain, before anything is mapped in it. -EOPNOTSUPP, -EINVAL, -EFAULT.
  int (*paging_data)(struct hdomain *d, const struct user_data *data);
  // HWPT_ALLOC over a nesting parent that this driver made. flags: IMS_HWPT_*, without FAULT_ID_VALID. The caller ties it to
  // the parent.
  int (*nested_new)(struct ims_device *dev, struct hdomain *parent, uint32_t flags, const struct user_data *data,
                    struct hdomain **out);
  // HWPT_INVALIDATE of a nested domain, entry by entry. a->entry_num becomes the number of those before the one refused.
  int (*invalidate_user)(struct hdomain *d, struct user_array *a);
  // Dirty tracking of one attachment is switched. NULL: nothing has to be programmed.
  int (*set_dirty)(struct ims_device *dev, uint32_t pasid, const struct hdomain *d, uint16_t id, bool on);
  uint64_t msi_first, msi_last; // reserved in every container's address space
  // In place of what is attached; on error that stays in force. NULL, -EAGAIN: the old one is torn down before. `was`, `was_id`: the
  // old domain and its id.
  int (*replace)(struct ims_device *dev, uint32_t pasid, const struct hdomain *was, uint16_t was_id,
                 const struct hdomain *d, uint16_t did);
  bool parent_id; // a nested domain has the id of its parent, which has it from its making on
  // iommufd's virtual IOMMUs (uapi/iommufd/iommufd_internal.h). NULL: none. viommu_init sets v->ops; data NULL: none were given.
  bool (*has_viommu)(const struct ims_device *dev, uint32_t type);
  int (*viommu_init)(struct viommu *v, struct ims_device *dev, const struct user_data *data);
};

struct vtd_driver {
  uint64_t cap, ecap;
  struct ims_vtd_config caps;  // decoded from them
  uint64_t root;               // hpa of the root table
  uint64_t bus_table[256][2];  // context tables: lower and upper half of the bus; legacy: [0]
  uint64_t queue, status, prq; // hpa of the queues, and of the status words of waits, one for each place in the queue
  uint32_t head, tail;         // of the invalidation queue, in descriptors; head: what hardware is known to have done
  uint8_t width;               // bytes of a descriptor
  uint32_t gcmd;               // what is switched on
  uint32_t frcd, frcds;        // offset and number of the fault recording registers
  bool scalable;
  bool fault_irq, prq_irq; // noted, not yet handled
};

struct smmuv3_driver {
  struct ims_smmuv3_config caps; // decoded from the ID registers
  uint64_t strtab;               // hpa of the stream table, or of its first level
  uint64_t *leaf;                // two levels: hpa of the leaf, by index of the first level; 0: none yet
  uint8_t sid_bits;              // of the table
  bool two_level;
  uint64_t cmdq, evtq, priq; // hpa
  uint8_t cmdq_log2, evtq_log2, priq_log2;
  uint32_t prod, cons; // of the command queue, with the wrap bit; cons: what hardware is known to have done
  bool msi;            // CMD_SYNC is told in memory
  uint32_t cr0;
  uint8_t granule;                 // enum ims_granule, of tables that the driver makes
  bool evt_irq, pri_irq, gerr_irq; // noted, not yet handled
};

struct smmuv2_driver {
  struct ims_smmuv2_config caps; // decoded from the ID registers
  uint32_t page, banks_at;       // bytes of a register page; offset of the first context bank
  uint32_t groups;               // stream mapping groups
  uint32_t s2cr_default;         // of streams that nothing is attached to
  struct ims_device **stream;    // by group
  struct smmuv2_bank *bank;      // by context bank
  uint8_t granule;               // enum ims_granule, of tables that the driver makes
  bool vmid16;
  bool irq; // noted, not yet handled
};

struct host_unit {
  struct ims_kernel *k;
  unsigned index;
  char *name;
  struct ims_iommu *hw;
  const struct host_ops *ops;
  bool polled; // it cannot interrupt: the driver looks
  struct id_space id[ID_SPACES];
  union { // by ops
    struct vtd_driver vtd;
    struct smmuv3_driver smmuv3;
    struct smmuv2_driver smmuv2;
  };
};

extern const struct host_ops ims_vtd_host_ops, ims_smmuv3_host_ops, ims_smmuv2_host_ops;

// MMIO and waiting, for all drivers (device.c).
uint64_t ims_unit_read(struct host_unit *u, uint32_t offset, unsigned bytes);
void ims_unit_write(struct host_unit *u, const char *name, uint32_t offset, unsigned bytes, uint64_t value);
bool ims_unit_relax(struct host_unit *u, unsigned looks); // false: waited long enough
// Where a unit's interrupt messages go, so that ims_kernel_message() finds back. kind: 0 to 3.
uint64_t ims_unit_vector_addr(const struct host_unit *u);
uint32_t ims_unit_vector_data(const struct host_unit *u, unsigned kind);

// Tables of the host's own on SMMUs, in 4 levels at most (arm_paging.c). False: no such second stage.
bool ims_arm_paging_format(enum ims_granule granule, unsigned in_bits, unsigned out_bits, unsigned max_levels, bool s2,
                           bool nest, bool xnx, bool fwb, struct paging *out);
int ims_doorbell_reserve(struct ims_kernel *k); // OK; NOSPACE: the page is in use
// The granule of such tables: that of the processors, else the largest below, else the smallest above (Linux,
// io-pgtable-arm.c). Processors of other architectures have pages of 4 KB. `has`: by enum ims_granule. False: none.
bool ims_arm_granule(const struct ims_kernel *k, const bool has[3], uint8_t *granule);

// Page requests, independent of the architecture (iopf.c). Those of a group are kept until the last is there; then the group
// goes to the sink of what the requests were made through, which answers it once.
struct page_request {
  struct page_request *next;
  struct ims_device *dev;
  uint64_t addr;
  uint32_t pasid;
  bool has_pasid, last, read, write, exec, priv;
  bool stall; // a stalled transaction: group is its tag
  uint16_t group;
};
enum { IOPF_SUCCESS = 0, IOPF_INVALID = 1, IOPF_FAILURE = 2 }; // codes of responses

struct iopf_group {
  struct iopf_group *next, *prev; // of the device's
  struct iopf_group *queued;      // the sink's, as it likes
  uint32_t cookie;                // likewise
  struct ims_device *dev;
  struct iopf_sink *sink;
  uint32_t pasid; // of the attachment that the requests came through: 0 where a guest has the whole first stage
  uint32_t count;
  struct page_request request[]; // in the order they came; the last is the one that closes the group, and is answered
};

// Takes a request read from a unit's queue.
void ims_iopf_report(struct host_unit *u, const struct page_request *req);
void ims_iopf_respond(struct iopf_group *g, unsigned code); // IOPF_*; the group is released
// Answers all that waits and came through (device, PASID) with INVALID; pasid ~0: all of the device.
void ims_iopf_drop(struct ims_device *dev, uint32_t pasid);
// The queue overflowed: devices will repeat groups whose last request got lost.
void ims_iopf_discard_partial(struct host_unit *u);
int ims_sva_deliver(struct iopf_sink *s, struct iopf_group *g); // sva.c

// ---- Processes (process.c, mm.c) ------------------------------------------------------------------------------------

struct vma {
  uint64_t start, end;
  uint8_t prot, shift;
  struct memfile *file; // NULL: anonymous
  uint64_t offset;      // in it, of start
};

// A page that mprotect made inaccessible: entries cannot say it and keep the page.
struct hidden_page {
  uint64_t va, hpa;
  uint8_t shift;
  UT_hash_handle hh;
};

// MAIR of the host's own tables: attribute 0 Normal write-back, 1 Normal Non-cacheable, 2 Device-nGnRE.
#define IMS_ARM_MAIR 0x0444ffull

struct ims_process {
  struct ims_kernel *k;
  uint64_t id;
  struct ims_process *next, *prev;
  struct ims_pgt_format fmt;
  struct ims_pgt pgt;
  struct vma *vma;
  size_t vmas, vma_room;
  struct hidden_page *hidden;
  uint64_t mmap_next;
  struct ims_user user;
  struct ims_file **file; // by number
  size_t files;
  struct ims_vm *vms;
  bool exited;
  bool mm_gone;                            // earlier: nothing is faulted in for devices any more
  unsigned refs;                           // who still names it after its exit: pages objects, mappings of containers
  unsigned caps;                           // IMS_CAP_*
  uint64_t memlock;                        // RLIMIT_MEMLOCK, bytes
  uint64_t pinned, locked_user, locked_mm; // pages, by iommufd: all; counted against the limit, either way
  // PASIDs of VFIO: one set a process, shared by its containers.
  unsigned pasid_set_users;
  // SVA
  uint32_t sva_pasid;
  struct hdomain *sva_domains;
  struct ims_sva *svas;
};

// One page made present, as a page fault does. -EFAULT: no area, or it does not permit `prot`. -ENOMEM.
int ims_mm_fault(struct ims_process *p, uint64_t va, unsigned prot);
// hpa and remaining bytes of the page behind va, faulted in with `prot`.
int ims_mm_page(struct ims_process *p, uint64_t va, unsigned prot, uint64_t *hpa, uint64_t *left);
// A page that ims_mm_page() gave is pinned once more or once less; whole pages.
void ims_mm_pin(struct ims_process *p, uint64_t hpa, uint64_t size, bool on);
uint32_t ims_mm_pins(const struct ims_process *p,
                     uint64_t hpa); // how often it is; 0 where nobody counts (cfg.selftest)
bool ims_user_read(const struct ims_process *p, void *dst, uint64_t src, size_t len);
bool ims_user_write(const struct ims_process *p, uint64_t dst, const void *src, size_t len);
void ims_process_get(struct ims_process *p);
void ims_process_put(struct ims_process *p); // the last one after its exit frees it
void ims_process_free(struct ims_process *p);
void ims_vm_free_all(struct ims_process *p);
void ims_mm_invalidate(struct ims_process *p, uint64_t first, uint64_t last); // the mmu notifier (sva.c)
void ims_sva_exit(struct ims_process *p);

// ---- Files and VFIO -------------------------------------------------------------------------------------------------

struct open_file;

// What a kind of file does. NULL: not that.
struct file_ops {
  uint8_t kind; // enum ims_uapi_file
  long (*ioctl)(struct ims_file *f, uint32_t cmd, uint64_t arg);
  void (*release)(struct open_file *o); // the last descriptor is gone
  long (*read)(struct ims_file *f, uint64_t buf, size_t len, uint64_t offset);
  long (*write)(struct ims_file *f, uint64_t buf, size_t len, uint64_t offset);
  unsigned (*poll)(struct open_file *o);
  long (*mmap)(struct ims_file *f, uint64_t offset, uint64_t length, unsigned prot, bool shared, uint64_t *cookie);
  int (*munmap)(struct ims_file *f, uint64_t cookie);
};

// An open file: what several descriptors may stand for, also of different processes.
struct open_file {
  struct ims_kernel *k;
  const struct file_ops *ops;
  unsigned refs;
  void *state; // of its kind
  struct container *container;
  struct ims_group *group;
};

// A descriptor.
struct ims_file {
  struct ims_process *process; // who calls through it
  int fd;
  struct open_file *open;
};

// A new open file with its first descriptor, under the number that the process gives out. The number, or -errno; then
// `release` was not called.
int ims_file_new(struct ims_process *p, const struct file_ops *ops, void *state, struct ims_file **out);
void ims_file_undo(struct ims_file *f); // the ioctl that made it fails after all
void ims_open_file_get(struct open_file *o);
void ims_open_file_put(struct open_file *o);

int ims_iommufd_open(struct ims_process *p, struct ims_file **out);
int ims_cdev_open(struct ims_process *p, uint32_t number, struct ims_file **out);

// A mapping of a container: user memory at vaddr for the device at iova.
struct dma {
  uint64_t iova, size, vaddr;
  struct ims_process *mm;
  uint8_t prot; // IMS_PROT_*
};

struct vfio_domain {
  struct hdomain *d;
  struct vfio_domain *next;
  unsigned groups;
};

// What is bound under a host PASID through one container.
struct gpasid {
  struct {
    struct hdomain *parent;
    uint64_t pasid;
  } key;
  struct hdomain *d;
  UT_hash_handle hh;
};

// For the VMM: a group of page requests, or an unrecoverable fault of the guest's stage 1.
struct vmm_fault {
  struct vmm_fault *next, *prev;
  struct iopf_group *group; // page requests; `told` have been read
  uint32_t told;
  struct page_request req; // of an unrecoverable fault
  uint8_t reason;          // 0: page requests; else of struct iommu_fault_unrecoverable
  bool has_addr, has_fetch;
  uint64_t fetch;
};

// A guest's doorbell, mapped to the physical one.
struct msi_binding {
  uint64_t giova, gpa, size;
};

struct container {
  struct ims_kernel *k;
  struct container *next, *prev;
  unsigned users; // its file and its groups
  bool has_iommu; // SET_IOMMU done
  bool v2, nesting;
  struct ims_process *mm;     // who said SET_IOMMU
  struct ims_process *set_of; // whose PASID set it holds; NULL: none
  struct ims_group *groups;   // in order of joining
  struct vfio_domain *domains;
  struct dma *dma; // by iova
  size_t dmas, dma_room;
  struct gpasid *gpasids;
  // Page requests for the VMM: not yet (all) read, and read but not answered (utlist).
  struct iopf_sink sink;
  struct vmm_fault *unread, *pending;
  size_t faults; // unrecoverable ones among the unread
  struct msi_binding *msi;
  size_t msis;
};

// Uses of a PASID of VFIO: the attachments under it. Kept as the PASID's private pointer.
struct pasid_use {
  struct attachment *first;
};

struct ims_group *ims_group_of(struct ims_kernel *k, uint32_t id);
void ims_container_put(struct container *c);
int ims_container_add_group(struct container *c, struct ims_group *g);
void ims_container_remove_group(struct container *c, struct ims_group *g);
long ims_container_set_iommu(struct container *c, struct ims_process *p, uint64_t type);
long ims_container_ioctl(struct ims_file *f, uint32_t cmd, uint64_t arg);
long ims_group_ioctl(struct ims_file *f, uint32_t cmd, uint64_t arg);
void ims_group_release(struct ims_group *g);
long ims_vfio_map(struct ims_file *f, uint64_t arg);
long ims_vfio_unmap(struct ims_file *f, uint64_t arg);
int ims_vfio_replay(struct container *c, struct hdomain *d); // maps all of the container into a new domain
void ims_vfio_unmap_all(struct container *c);
void ims_vfio_unmap_domain(struct container *c, struct hdomain *d);
long ims_vfio_info(struct ims_file *f, uint64_t arg);
long ims_vsva_pasid_request(struct ims_file *f, uint64_t arg);
long ims_vsva_v1_bind(struct ims_file *f, uint64_t arg);
long ims_vsva_v1_invalidate(struct ims_file *f, uint64_t arg);
long ims_vsva_nesting_op(struct ims_file *f, uint64_t arg);
long ims_smmu_set_pasid_table(struct ims_file *f, uint64_t arg);
long ims_smmu_cache_invalidate(struct ims_file *f, uint64_t arg);
long ims_smmu_set_msi_binding(struct ims_file *f, uint64_t arg);
uint64_t ims_container_page(const struct container *c); // bytes: what mappings are multiples of
bool ims_iova_valid(const struct container *c, uint64_t first, uint64_t last);
unsigned ims_iova_ranges(const struct container *c, struct ims_vfio_iova_range out[2]);

// The PASID set of a process (vsva_pasid.c).
void ims_pasid_set_get(struct container *c);
void ims_pasid_set_put(struct container *c);

// linux/iommu.h, both layouts, decoded once (iommu_h.c).
struct gpasid_bind {
  uint32_t argsz, version, format, addr_width;
  uint64_t flags, gpgd, hpasid, gpasid;
  uint8_t vendor[16]; // of the format
  bool padded;        // padding is not zero
};
struct cache_inv {
  uint32_t argsz, version, info_flags, archid;
  uint8_t cache, granularity;
  bool padded;
  uint64_t pasid, addr, granule_size, nb_granules;
};
struct page_resp {
  uint32_t argsz, version, flags, pasid, grpid, code;
};
struct pasid_table {
  uint32_t argsz, version, format, smmu_version;
  uint64_t base_ptr;
  uint8_t pasid_bits, config, s1fmt, s1dss;
  bool padded;
};
enum ims_iommu_h ims_kernel_iommu_h(const struct ims_kernel *k);
// Copy from user memory and make the core's checks, in its order. 0 or -errno.
int ims_get_bind(struct ims_file *f, uint64_t arg, struct gpasid_bind *out);
int ims_get_inv(struct ims_file *f, uint64_t arg, struct cache_inv *out);
int ims_get_resp(struct ims_file *f, uint64_t arg, struct page_resp *out);
int ims_get_pasid_table(struct ims_file *f, uint64_t arg, struct pasid_table *out);

// The operations on one device, with the VT-d driver's checks (vsva_ops.c). 0 or -errno.
int ims_gpasid_bind_device(struct container *c, struct ims_device *dev, const struct gpasid_bind *b);
int ims_gpasid_unbind_device(struct container *c, struct ims_device *dev, const struct gpasid_bind *b);
int ims_gpasid_invalidate_device(struct container *c, struct ims_device *dev, const struct cache_inv *inv);
void ims_gpasid_unbind_all(struct container *c, struct ims_group *g);
void ims_gpasid_release(struct attachment *a); // the attachment goes, and the domain with the last one
struct hdomain *ims_container_domain(const struct container *c, const struct ims_device *dev);

// A guest's stage 1 on SMMUs (guest.c). NULL takes it away. 0 or -errno.
int ims_guest_set(struct ims_device *dev, const struct guest_stage1 *s);
int ims_guest_bind_smmuv2(struct container *c, struct ims_device *dev, const struct gpasid_bind *b);
int ims_guest_invalidate(struct container *c, struct ims_device *dev, const struct cache_inv *inv);
bool ims_guest_format(const struct container *c, uint32_t format); // some device of the container is bound by it
void ims_msi_unbind_all(struct container *c);

// Page requests for the VMM (vsva_fault.c).
void ims_vmm_fault_init(struct container *c);
void ims_vmm_fault_unrecoverable(struct container *c, const struct vmm_fault *fault);
void ims_vmm_fault_fini(struct container *c);

struct ims_sva {
  struct ims_process *mm;
  struct ims_group *group; // all its devices that have PASIDs
  struct hdomain *domain;
  unsigned users;
  struct ims_sva *next;
};
