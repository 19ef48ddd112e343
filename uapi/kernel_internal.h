// SPDX-License-Identifier: Apache-2.0
// The inside of the simulated kernel, for the files of this folder. Three floors:
//   VFIO, vSVA, SVA          vfio_*.c vsva_*.c sva.c        what programs and drivers ask for
//   the IOMMU core           domain.c device.c iopf.c       domains, attachments, cache tags, page-request groups
//   the driver of a unit     vtd_*.c behind struct host_ops entries, descriptors, registers
#pragma once

#include "iommu/vtd/vtd.h"
#include "pasid/alloc.h"
#include "pgtable/build.h"
#include "pgtable/pool.h"
#include "uapi/kernel.h"
#include <errno.h>
#include <uthash.h>

#define IMS_ENOTSUPP 524 // not part of the user interface, but VT-d's bind lets it out

enum { IMS_PAGE_SHIFT = 12 };
#define IMS_PAGE_SIZE 4096ull

struct host_unit;
struct page_request;
struct hdomain;
struct attachment;

// ---- Reference-counted pages of the pool (frames.c) -----------------------------------------------------------------

struct frames {
  uint32_t *ref; // by page of the pool
};
int ims_frames_alloc(struct ims_kernel *k, unsigned log2size, uint64_t *hpa); // each 4 KB page with one reference
void ims_frames_get(struct ims_kernel *k, uint64_t hpa, uint64_t size);
void ims_frames_put(struct ims_kernel *k, uint64_t hpa, uint64_t size);

// ---- Kernel ---------------------------------------------------------------------------------------------------------

enum { IMS_FAULT_LOG = 4096 };

struct ims_group {
  uint32_t id;
  struct ims_device *devices; // by next_in_group
  struct ims_file *file;      // open, or NULL
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
  bool units_gone;
  struct ims_group *groups;
  struct ims_device *devices;     // by key
  struct attachment *attachments; // by (device, PASID)
  struct ims_process *processes;  // newest first
  struct container *containers;   // newest first
  uint64_t next_process, next_device;
  bool irq_pending;
  bool in_interrupts;
  struct ims_kernel_counters count;
  struct ims_kernel_fault *fault; // ring
};

// Observation. No cost but a test while nobody looks.
void ims_note(struct ims_kernel *k, const struct ims_note *note);
void ims_log(struct ims_kernel *k, enum ims_log_level level, const struct host_unit *u, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
// A store that hardware may see.
int ims_store(struct ims_kernel *k, const struct host_unit *u, uint32_t source, const char *what, uint64_t hpa,
              uint64_t value);
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
  uint64_t pasid_dir;
  uint8_t pdts;
  uint32_t max_pasids; // 0: no PASIDs
  uint64_t id;         // counts up: part of the key of attachments
  uint32_t key;        // unit << 16 | source
  UT_hash_handle hh;
};

// ---- Domains: what a device's requests may be attached to (domain.c) ------------------------------------------------

enum hdomain_type { HDOMAIN_PAGING, HDOMAIN_NESTED, HDOMAIN_SVA };

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

struct paging {
  struct ims_pgt_format fmt;
  struct ims_pgt pgt;
  uint8_t aw; // as context and PASID entries say it
  bool nest;  // may be the parent of nested domains
  bool snoop; // leaves force snooping
  bool dirty; // accessed and dirty bits on
};

struct hdomain {
  struct ims_kernel *k;
  struct domain_unit *units;
  uint32_t users; // attachments and nested domains
  uint8_t type;
  // first stage: nested and SVA
  uint8_t s1_levels;
  bool sre, wpe, eafe;
  uint64_t s1_root;       // gpa of a nested, hpa of an SVA domain
  struct hdomain *parent; // nested
  struct ims_process *mm; // SVA
  struct hdomain *next;   // SVA: of the same process
  struct paging paging[]; // one for paging domains
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
  struct container *container;                       // whose VMM answers page requests; nested
  struct attachment *next_of_pasid, **link_of_pasid; // nested: list of pasid_use
  struct ims_sva *sva;
  UT_hash_handle hh;
};

int ims_hdomain_new_paging(struct ims_kernel *k, const struct host_unit *u, bool nest, struct hdomain **out);
struct hdomain *ims_hdomain_new(struct ims_kernel *k, enum hdomain_type type); // NESTED, SVA
void ims_hdomain_free(struct hdomain *d);                                      // no users; frees second-stage tables

struct attachment *ims_attachment(const struct ims_device *dev, uint32_t pasid);
// Attaches and programs the unit. -EBUSY: attached; -ENOSPC: no domain id; -ENOMEM; what the driver answers.
int ims_attach(struct ims_device *dev, uint32_t pasid, struct hdomain *d, struct attachment **out);
// `gone`: the process exited; the entry is left with FPD and page requests are not drained.
void ims_detach(struct attachment *a, bool gone);
// mm exit cut the entry off while the attachment stays until it is unbound.
void ims_attachment_cut(struct attachment *a);

// A change of what the domain maps in [first, last]: invalidates all its caches.
int ims_hdomain_flush(struct hdomain *d, uint64_t first, uint64_t last, bool leaf);
// What became present there; costs something only with caching mode or write buffers.
int ims_hdomain_flush_new(struct hdomain *d, uint64_t first, uint64_t last);
struct domain_unit *ims_domain_unit(const struct hdomain *d, const struct host_unit *u);

// ---- The driver of a unit -------------------------------------------------------------------------------------------

enum { DID_FIRST_LEVEL = 1, DID_FIRST_FREE = 2, DID_WORDS = 1024 };

struct host_ops {
  const char *name;
  int (*setup)(struct host_unit *u);
  void (*shutdown)(struct host_unit *u);
  int (*device_init)(struct ims_device *dev);
  void (*device_fini)(struct ims_device *dev);
  void (*device_changed)(struct ims_device *dev);                       // ATS or PRI switched; nothing is attached
  int (*compatible)(struct host_unit *u, const struct hdomain *paging); // -EINVAL: cannot use these tables
  int (*paging_format)(const struct host_unit *u, bool nest, struct paging *out);
  int (*attach)(struct ims_device *dev, uint32_t pasid, const struct hdomain *d, uint16_t did);
  void (*detach)(struct ims_device *dev, uint32_t pasid, const struct hdomain *d, uint16_t did, bool gone);
  int (*flush)(const struct hdomain *d, struct domain_unit *du, uint64_t first, uint64_t last, bool leaf);
  int (*flush_new)(struct domain_unit *du, uint64_t first, uint64_t last);
  // What one device has cached of its PASID: IOTLB, device TLB, or both.
  int (*flush_device)(struct ims_device *dev, uint32_t pasid, uint16_t did, bool iotlb, bool devtlb, uint64_t first,
                      uint64_t last, bool leaf);
  void (*nesting_info)(const struct host_unit *u, struct ims_iommu_nesting_info *out);
  int (*page_response)(struct ims_device *dev, uint32_t pasid, bool has_pasid, uint16_t group, unsigned code);
  bool (*interrupt)(struct host_unit *u);
  bool (*can_nest)(const struct host_unit *u);
  bool (*can_sva)(const struct host_unit *u);
  bool (*has_5level)(const struct host_unit *u); // first stage
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

struct host_unit {
  struct ims_kernel *k;
  unsigned index;
  char *name;
  struct ims_iommu *hw;
  const struct host_ops *ops;
  struct vtd_driver vtd;
  uint32_t dids;
  uint64_t did_used[DID_WORDS], did_full[DID_WORDS / 64];
};

extern const struct host_ops ims_vtd_host_ops;

// Page requests, independent of the architecture (iopf.c).
struct page_request {
  struct page_request *next;
  struct ims_device *dev;
  uint64_t addr;
  uint32_t pasid;
  bool has_pasid, last, read, write, exec, priv;
  uint16_t group;
};
// Takes a request read from a unit's queue. Groups are handled when their last request is there.
void ims_iopf_report(struct host_unit *u, const struct page_request *req);
// Answers all that waits for (device, PASID) with INVALID; pasid ~0: all of the device.
void ims_iopf_drop(struct ims_device *dev, uint32_t pasid);
// The queue overflowed: devices will repeat groups whose last request got lost.
void ims_iopf_discard_partial(struct host_unit *u);
int ims_sva_fault(struct attachment *a, const struct page_request *req); // a code of page responses (sva.c)

// ---- Processes (process.c, mm.c) ------------------------------------------------------------------------------------

struct vma {
  uint64_t start, end;
  uint8_t prot, shift;
};

// A page that mprotect made inaccessible: x86-64 entries cannot say it and keep the page.
struct hidden_page {
  uint64_t va, hpa;
  uint8_t shift;
  UT_hash_handle hh;
};

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
bool ims_user_read(const struct ims_process *p, void *dst, uint64_t src, size_t len);
bool ims_user_write(const struct ims_process *p, uint64_t dst, const void *src, size_t len);
void ims_process_free(struct ims_process *p);
void ims_vm_free_all(struct ims_process *p);
void ims_mm_invalidate(struct ims_process *p, uint64_t first, uint64_t last); // the mmu notifier (sva.c)
void ims_sva_exit(struct ims_process *p);

// ---- Files and VFIO -------------------------------------------------------------------------------------------------

struct ims_file {
  struct ims_process *process;
  int fd;
  uint8_t kind; // enum ims_uapi_file
  struct container *container;
  struct ims_group *group;
};

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

struct vmm_fault {
  struct vmm_fault *next;
  struct page_request req;
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
  // Page requests for the VMM: not yet read, and read but not answered.
  struct vmm_fault *unread, **unread_end, *pending;
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
bool ims_iova_valid(const struct container *c, uint64_t first, uint64_t last);
unsigned ims_iova_ranges(const struct container *c, struct ims_vfio_iova_range out[2]);

// The PASID set of a process (vsva_pasid.c).
void ims_pasid_set_get(struct container *c);
void ims_pasid_set_put(struct container *c);

// linux/iommu.h, both layouts, decoded once (iommu_h.c).
struct gpasid_bind {
  uint32_t argsz, version, format, addr_width;
  uint64_t flags, gpgd, hpasid, gpasid, vtd_flags;
  bool padded; // padding is not zero
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
enum ims_iommu_h ims_kernel_iommu_h(const struct ims_kernel *k);
// Copy from user memory and make the core's checks, in its order. 0 or -errno.
int ims_get_bind(struct ims_file *f, uint64_t arg, struct gpasid_bind *out);
int ims_get_inv(struct ims_file *f, uint64_t arg, struct cache_inv *out);
int ims_get_resp(struct ims_file *f, uint64_t arg, struct page_resp *out);

// The operations on one device, with the VT-d driver's checks (vsva_ops.c). 0 or -errno.
int ims_gpasid_bind_device(struct container *c, struct ims_device *dev, const struct gpasid_bind *b);
int ims_gpasid_unbind_device(struct container *c, struct ims_device *dev, uint64_t hpasid);
int ims_gpasid_invalidate_device(struct container *c, struct ims_device *dev, const struct cache_inv *inv);
void ims_gpasid_unbind_all(struct container *c, struct ims_group *g);
void ims_gpasid_release(struct attachment *a); // the attachment goes, and the domain with the last one
struct hdomain *ims_container_domain(const struct container *c, const struct ims_device *dev);

// Page requests for the VMM (vsva_fault.c).
void ims_vmm_fault_queue(struct container *c, const struct page_request *req);
void ims_vmm_fault_drop(struct container *c, struct ims_device *dev, uint32_t pasid);

struct ims_sva {
  struct ims_process *mm;
  struct ims_device *dev;
  struct attachment *at;
  unsigned users;
  struct ims_sva *next;
};
