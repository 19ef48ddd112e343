// SPDX-License-Identifier: Apache-2.0
// The inside of iommufd: one context for each open /dev/iommu, objects with ids in it, and who refers to whom.
//
//   main.c     the file, the dispatcher and its rules (Facts 3.1)
//   object.c   ids, references, destruction
//   ioas.c     address spaces: the ioctls (3.4)         option.c  options, CHANGE_PROCESS, NOIOMMU_GET_PA
//   iopt.c     areas, allowed and reserved ranges, domains below, in-kernel accesses     areas.c  the tree of areas
//   pages.c    user memory and files behind areas, pinned
//   vfio_compat.c  the VFIO container's calls on an iommufd (3.8)     check.c  what must always hold
//   hwpt.c     hardware page tables: paging, nested (3.6)
//   fault.c    fault queues (3.8)
//   dirty.c    dirty tracking (3.8)                     invalidate.c  HWPT_INVALIDATE (3.7)
//   hw_info.c  GET_HW_INFO (3.5)
//   device.c   devices bound and attached, groups, PASIDs (3.5, 3.9)
//   cdev.c     /dev/vfio/devices/vfioN
//   selftest*.c, access.c  IOMMU_TEST_CMD (6.2): uapi/iommufd/selftest_internal.h
//   viommu.c   virtual IOMMUs (3.8)     vdevice.c  devices behind them    veventq.c  their events     hw_queue.c  their queues
#pragma once

#include "uapi/iommufd.h"
#include "uapi/kernel_internal.h"
#include "uapi/layout.h"

enum object_type {
  OBJ_NONE,
  OBJ_IOAS,
  OBJ_DEVICE,
  OBJ_HWPT_PAGING,
  OBJ_HWPT_NESTED,
  OBJ_FAULT,
  OBJ_VIOMMU,
  OBJ_VDEVICE,
  OBJ_VEVENTQ,
  OBJ_HW_QUEUE,
  OBJ_ACCESS,
  OBJ_SELFTEST,
  OBJ_TYPES
};

struct ictx;

// First member of every object.
struct object {
  struct ictx *ctx;
  uint32_t id;    // 0: not to be found (yet)
  uint32_t users; // other objects, attachments and open files that refer to it; while there are any: EBUSY
  uint8_t type;   // enum object_type
};

struct ictx {
  struct ims_kernel *k;
  struct open_file *file;
  struct object **object; // by id; &ims_tombstone: an id that is not given out again
  size_t room;
  uint32_t objects;       // ids in use, tombstones not counted
  uint32_t lowest;        // no id below is free; 0: 1
  struct ioas *vfio_ioas; // of IOMMU_VFIO_IOAS
  bool rlimit_mode;       // IOMMU_OPTION_RLIMIT_MODE
  bool vfio_type1;        // VFIO_SET_IOMMU said version 1
  struct mmap_region *mmaps;
};

// An object of `size` bytes, zeroed, that nobody finds yet. NULL: no memory.
void *ims_object_alloc(struct ictx *ctx, size_t size, enum object_type type);
// Gives it the lowest free id; from now on it is found. -ENOMEM; -ENOSPC.
int ims_object_publish(struct object *o);
// NULL: none of this id, or of another type (NONE: any type). Nothing is counted: there is one thread.
struct object *ims_object_find(const struct ictx *ctx, uint32_t id, enum object_type type);
#define FIND(ctx, id, TYPE, s) ((struct s *)ims_object_find(ctx, id, OBJ_##TYPE))
// Releases an object that nothing refers to, with what its type holds; its id is free.
void ims_object_destroy(struct object *o);
// The same, but the id stays used until the context goes (Facts 3.8, vDEVICE).
void ims_object_tombstone(struct object *o);
extern struct object ims_tombstone;

// What each type holds (object.c calls these; the object itself is freed by it).
void ims_access_release(struct object *o);
void ims_selftest_release(struct object *o);
void ims_ioas_release(struct object *o);
void ims_device_release(struct object *o);
void ims_hwpt_paging_release(struct object *o);
void ims_hwpt_nested_release(struct object *o);
void ims_viommu_release(struct object *o);
void ims_vdevice_release(struct object *o);
void ims_veventq_release(struct object *o);
void ims_hw_queue_release(struct object *o);
void ims_fault_release(struct object *o);

// ---- The dispatcher (main.c) ----------------------------------------------------------------------------------------

struct ucmd {
  struct ictx *ctx;
  struct ims_file *file;
  struct ims_process *process; // who calls
  uint64_t arg;                // where the structure lies
  uint32_t user_size;
  void *cmd; // the kernel's copy
};

// Copies the first `size` bytes of the structure back, as far as the caller's goes. -EFAULT.
int ims_respond(struct ucmd *u, size_t size);

// One handler for each row of IMS_IOMMUFD_COMMANDS, called after the checks of the dispatcher. 0 or -errno.
#define IMS_X(name, word, s, size, min, apart) long ims_cmd_##s(struct ucmd *u, struct ims_##s *c);
IMS_IOMMUFD_COMMANDS(IMS_X)
#undef IMS_X
struct ims_iommu_test_cmd;
long ims_cmd_iommu_test_cmd(struct ucmd *u, struct ims_iommu_test_cmd *c);  // with struct ims_kernel_config.selftest
long ims_vfio_compat_ioctl(struct ims_file *f, uint32_t cmd, uint64_t arg); // -ENOTTY: not one of those

// Copies a structure whose bytes beyond ours must be zero: -E2BIG; -EFAULT. Shorter ones are filled up with zeros.
int ims_copy_struct(const struct ims_process *p, void *dst, size_t size, uint64_t src, size_t user_size);
// Of a driver's data: -EINVAL unless min <= user_size <= size (Facts 3.1); -EFAULT.
int ims_copy_data(const struct ims_process *p, void *dst, size_t size, size_t min, uint64_t src, size_t user_size);

// A structure of a driver's own: where it lies, what the caller says it is, and how long. Length 0: there is none.
struct user_data {
  const struct ims_process *process;
  uint64_t uptr;
  uint32_t type, len;
};
// -EINVAL: another type, or not min <= len <= size; -EFAULT. Shorter ones are filled up with zeros.
int ims_user_data_copy(const struct user_data *d, uint32_t type, void *dst, size_t size, size_t min);
int ims_user_data_write(const struct user_data *d, const void *src, size_t size); // what fits. -EFAULT

// Entries of HWPT_INVALIDATE. entry_num: in, how many; out, how many are done.
struct user_array {
  const struct ims_process *process;
  uint64_t uptr;
  uint32_t type, entry_len, entry_num;
};
// One entry: -EINVAL: another type, or shorter than min; -E2BIG: longer than size, and not zero there; -EFAULT.
int ims_user_array_copy(const struct user_array *a, uint32_t type, uint32_t index, void *dst, size_t size, size_t min);

// Bytes of a page of the kernel's processors: what a domain must be able to map (Linux: PAGE_SIZE). Memory is counted in
// pages of 4 KB all the same.
static inline uint64_t kernel_page(const struct ims_kernel *k) {
  switch (k->cfg.cpu_format) {
  case IMS_CPU_ARM_16K: return 16384;
  case IMS_CPU_ARM_64K: return 65536;
  default: return 4096;
  }
}

// ---- User memory behind areas (pages.c) -----------------------------------------------------------------------------

enum pages_kind { PAGES_USER, PAGES_FILE, PAGES_DMABUF };
enum account_mode { ACCOUNT_USER, ACCOUNT_MM, ACCOUNT_NONE };

// Neighbouring pages that are pinned and lie next to one another in memory, with as many users all.
struct pin {
  uint64_t index, count, hpa; // pages; of the first one
  uint32_t users;             // areas that domains map, and in-kernel accesses
};

// Pages of user memory or of a file, shared by the areas that were copied from one another. They are pinned as far as
// some domain or access needs them, each page once however many need it (Facts 3.4, 6.2 MD_CHECK_REFS).
struct pages {
  struct ims_process *mm;     // whose memory it is, and whose pins are counted
  struct ims_process *opener; // of a file: who knows it
  uint64_t uva;               // of the first page's first byte; of a file: the offset in it
  uint64_t npages, npinned;
  uint64_t file;             // of struct ims_user
  struct memfile *memfile;   // or a file of ours; NULL: what was named is no file of memory
  struct pages *next_of_buf; // dma-buf: who maps it, too
  struct ictx *ctx;
  uint8_t kind, account;  // enum pages_kind, account_mode
  bool writable, foreign; // foreign: file is one of struct ims_user
  bool counted;           // CHANGE_PROCESS has met it
  bool revoked;           // the dma-buf was taken back: nothing is mapped in domains any more
  uint32_t refs;          // areas, and who makes one
  struct pin *pin;        // by index
  size_t pins, room;
};

// User memory [uva, uva+length), and file bytes. *out has one reference. -EOVERFLOW, -EINVAL, -ENOMEM; -EBADF; -ENODEV.
int ims_pages_of_user(struct ictx *ctx, struct ims_process *mm, uint64_t uva, uint64_t length, bool writable,
                      struct pages **out);
int ims_pages_of_file(struct ictx *ctx, struct ims_process *p, int fd, uint64_t start, uint64_t length, bool writable,
                      struct pages **out);
void ims_pages_put(struct pages *p);
// Pins pages [first, first+count), or counts one more user of them. Nothing has changed on error: -EFAULT, -ENOMEM, and
// what a file answers.
int ims_pages_pin(struct pages *p, uint64_t first, uint64_t count);
void ims_pages_unpin(struct pages *p, uint64_t first, uint64_t count);
// The run of neighbouring hpas at a pinned page: hpa of its first byte, and how many pages from there on. 0 in *count: it
// is not pinned.
uint64_t ims_pages_hpa(const struct pages *p, uint64_t index, uint64_t *count);
// Copies from or to bytes [at, at+length) of the pages.
int ims_pages_copy(struct pages *p, const struct ims_process *caller, uint64_t at, void *data, uint64_t length,
                   unsigned flags);
int ims_pages_charge(struct ims_process *p, unsigned account, uint64_t npages); // -ENOMEM: over RLIMIT_MEMLOCK
void ims_pages_uncharge(struct ims_process *p, unsigned account, uint64_t npages);

// ---- Address spaces (areas.c, iopt.c, ioas.c) -----------------------------------------------------------------------

struct area {
  uint64_t iova, last;
  struct pages *pages;
  uint64_t start; // byte of the pages' first page that iova is
  uint8_t prot;   // IMS_PROT_*
  bool closing;   // being unmapped: accesses must not pin any more
  // Pinned ranges of in-kernel users, and those of HW queues among them: it must not be unmapped.
  uint32_t accesses, locks;
  struct area *next, *prev; // by iova
  // The tree of areas (areas.c): a treap, each node with what its whole subtree covers.
  struct area *left, *right;
  uint64_t priority, low, high, hole; // of the subtree: first and last iova, largest hole between its areas
};

struct range {
  uint64_t first, last;
  const void *owner; // reserved ranges: whose
};

struct ranges {
  struct range *range; // by first; do not overlap but for reserved ones of several owners
  size_t count, room;
};

struct iopt {
  struct ictx *ctx;
  struct area *root, *first; // tree and list
  size_t areas;
  uint64_t random; // of priorities
  struct ranges allowed, reserved;
  struct hdomain **domain; // all map the same
  size_t domains;
  struct access *accesses; // in-kernel users of this address space, in order of joining
  uint64_t alignment;      // of iova and length, bytes
  uint64_t page;           // kernel_page()
  bool no_large_pages;     // IOMMU_OPTION_HUGE_PAGES 0
};

struct ioas {
  struct object obj;
  struct iopt iopt;
  struct hwpt_paging *hwpts; // its paging tables, by next_in_ioas
};

// MAP of user memory, after the checks of the call. flags: IMS_IOAS_MAP_*.
int ims_ioas_map_user(struct ioas *s, struct ims_process *p, uint64_t uva, uint64_t length, uint64_t *iova,
                      uint32_t flags);

// Areas in order of iova: for (struct area *a = ims_area_at(t, first); a && a->iova <= last; a = a->next)
struct area *ims_area_at(const struct iopt *t, uint64_t iova); // the first that ends at or behind iova; NULL
void ims_area_insert(struct iopt *t, struct area *a);          // overlaps none
void ims_area_remove(struct iopt *t, struct area *a);
// The first hole of at least `size` bytes that ends at or behind *first; what of it lies below *first does not count.
bool ims_area_hole(const struct iopt *t, uint64_t size, uint64_t *first, uint64_t *last);

// What is to be mapped: a slice of pages. Holds a reference.
struct slice {
  struct pages *pages;
  uint64_t start, length; // bytes
};

void ims_iopt_init(struct iopt *t, struct ictx *ctx);
void ims_iopt_fini(struct iopt *t); // no domains any more
// Maps the slices one behind the other at *iova, `length` bytes together; not `fixed`: at a place that it chooses. An area
// each, with a reference of its own. Checks in Linux' order; all or nothing.
int ims_iopt_map(struct iopt *t, const struct slice *s, size_t slices, uint64_t *iova, uint64_t length, unsigned prot,
                 bool fixed);
// What covers [iova, iova+length) without a hole, as slices to be freed by ims_slices_free(). -ENOENT: a hole.
int ims_iopt_slices(const struct iopt *t, uint64_t iova, uint64_t length, struct slice **out, size_t *slices);
void ims_slices_free(struct slice *s, size_t slices);
// Everything in [first, last]; areas go whole, in order, until one cannot. *unmapped: bytes. -ENOENT: one is cut; -EBUSY:
// locked by a HW queue; -EDEADLK: an access does not let go.
int ims_iopt_unmap(struct iopt *t, uint64_t first, uint64_t last, uint64_t *unmapped);
// Makes `last` the last iova of an area, where one lies across (VFIO type1). 0; -EINVAL, -EBUSY, -EOPNOTSUPP, -ENOMEM.
int ims_iopt_cut(struct iopt *t, uint64_t last);
// All that is mapped becomes mapped in the domain, too. -EADDRINUSE (aperture), -EINVAL (its page is too large), -EFAULT ...
int ims_iopt_add_domain(struct iopt *t, struct hdomain *d);
void ims_iopt_remove_domain(struct iopt *t, struct hdomain *d);
// Ranges that must not be mapped, of somebody: a device, a domain. -EADDRINUSE: something is mapped or allowed there.
int ims_iopt_reserve(struct iopt *t, uint64_t first, uint64_t last, const void *owner);
void ims_iopt_unreserve(struct iopt *t, const void *owner);
// Those of a device, where its interrupt messages go, with the device as owner (ims_iopt_unreserve(t, dev) takes them back).
// Each attachment to an address space makes them; a device attached twice has them twice, and they go together.
int ims_iopt_reserve_device(struct iopt *t, const struct ims_device *dev);
// Areas sit where `allowed` says when no place is asked for. Takes the list when it succeeds. -EADDRINUSE: reserved.
int ims_iopt_allow(struct iopt *t, struct ranges *allowed);
// Holes of the reserved ranges: from *first on, the next one. False: none.
bool ims_iopt_free_range(const struct iopt *t, uint64_t *first, uint64_t *last);
int ims_iopt_large_pages(struct iopt *t, bool on);
// A dma-buf was taken back: its areas are mapped no longer. Of all address spaces of the context.
void ims_iopt_revoked(struct pages *p);

// ---- In-kernel users of an address space ----------------------------------------------------------------------------

// A driver that reads, writes and pins by iova what the address space maps (as mdev drivers do; access.c), or a HW queue.
struct access {
  struct object obj;
  struct ioas *ioas;   // NULL: none now
  struct access *next; // of the same address space
  uint64_t alignment;  // that it needs: IMS_PAGE_SIZE when it pins, else 1
  bool internal;       // a HW queue: what it pins is locked, UNMAP fails
  // Asked before [iova, iova+length) is unmapped: unpins all that it has pinned there. Not called where internal.
  void (*unmap)(struct access *a, uint64_t iova, uint64_t length);
  void *owner;
};

// Joins the users of an address space; `ioas` and references are the caller's. -EADDRINUSE: an area is not aligned so.
int ims_iopt_add_access(struct iopt *t, struct access *a);
void ims_iopt_remove_access(struct iopt *t, struct access *a);

enum { ACCESS_WRITE = 1, ACCESS_KTHREAD = 2, ACCESS_SLOW = 4 }; // flags, as IOMMUFD_ACCESS_RW_*

// Pins all pages of [iova, iova+length), page-aligned parts of areas. hpa: of each page, by number; NULL: not wanted.
// -EINVAL (length, alignment, not `a->alignment`), -EOVERFLOW, -ENOENT (a hole), -EPERM, -EFAULT, -ENOMEM; nothing is pinned
// then. Undone by ims_iopt_unpin_range() of the same range.
int ims_iopt_pin_range(struct iopt *t, struct access *a, uint64_t iova, uint64_t length, unsigned flags, uint64_t *hpa);
void ims_iopt_unpin_range(struct iopt *t, struct access *a, uint64_t iova, uint64_t length);
// hpa of the first page of a pinned range. -EFAULT: the others do not follow it.
int ims_iopt_in_one_piece(const struct iopt *t, uint64_t iova, uint64_t length, uint64_t *hpa);
// Copies to or from what is mapped, without pinning; part may have been copied on error. caller: the process in whose
// name it happens.
int ims_iopt_rw(struct iopt *t, const struct ims_process *caller, uint64_t iova, void *data, uint64_t length,
                unsigned flags);

// ---- Hardware page tables (hwpt.c) ----------------------------------------------------------------------------------

struct hwpt {
  struct object obj;
  struct hdomain *d;
  struct fault *fault; // IOMMU_HWPT_FAULT_ID_VALID: who serves page requests of what is attached
  bool pasid;          // IOMMU_HWPT_ALLOC_PASID
};

struct hwpt_paging {
  struct hwpt h;
  struct ioas *ioas;
  struct hwpt_paging *next_in_ioas;
  bool automatic, nest_parent, dirty;
  struct host_unit *held; // its domain has its id there, attached or not
};

struct hwpt_nested {
  struct hwpt h;
  struct hwpt_paging *parent; // VT-d
  struct viommu *viommu;      // SMMUv3; its parent is below
};

struct hwpt_paging *ims_hwpt_paging_new(struct ioas *s, struct idev *idev, uint32_t flags, bool automatic, int *err);
// The same in two steps: a table that nothing is mapped in; and all of the address space mapped.
struct hwpt_paging *ims_hwpt_paging_make(struct ioas *s, struct idev *idev, uint32_t flags, bool automatic, int *err);
int ims_hwpt_paging_fill(struct hwpt_paging *h);
struct hwpt_paging *ims_hwpt_parent(const struct hwpt *h); // itself, or below a nested one

// A table's page requests go to fault queue `id` (fault.c). -ENOENT: none of this id. And: the table goes.
int ims_hwpt_fault_set(struct hwpt *h, uint32_t id);
void ims_hwpt_fault_put(struct hwpt *h);

// ---- Devices (device.c) ---------------------------------------------------------------------------------------------

struct idev {
  struct object obj;
  struct ims_device *dev;
  struct igroup *group;
  struct vdevice *vdevice; // its one vDEVICE, or NULL
};

// A PASID (0: requests without) of the devices of a group: all attached to the same.
struct igroup_attach {
  uint32_t pasid;
  struct hwpt *hwpt;
  struct idev **device; // that are attached
  size_t devices;
};

struct igroup {
  struct ictx *ctx;
  struct ims_group *g;
  unsigned refs; // bound devices
  struct igroup_attach *attach;
  size_t attaches;
};

int ims_idev_bind(struct ictx *ctx, struct ims_device *dev, struct idev **out); // -EBUSY: somebody else's, ...
void ims_idev_unbind(struct idev *d);
// *pt_id: an IOAS or a hardware page table; the table attached comes back in it.
int ims_idev_attach(struct idev *d, uint32_t pasid, uint32_t *pt_id);
// Likewise, of what is attached; on error that stays. -EINVAL: it is not.
int ims_idev_replace(struct idev *d, uint32_t pasid, uint32_t *pt_id);
void ims_idev_detach(struct idev *d, uint32_t pasid); // nothing, where it is not attached
void ims_idev_detach_all(struct idev *d);
struct hwpt *ims_idev_hwpt(const struct idev *d, uint32_t pasid); // NULL: nothing is attached

// ---- Virtual IOMMUs (viommu.c, vdevice.c, veventq.c, hw_queue.c) ----------------------------------------------------

struct viommu;
struct vdevice;
struct hw_queue;

// What the driver of a unit does for one; host_ops.viommu_init sets it. NULL: not that.
struct viommu_ops {
  void (*destroy)(struct viommu *v);
  // A nested domain. -EOPNOTSUPP: flags (IMS_HWPT_*, without FAULT_ID_VALID); what the data deserve.
  int (*domain_nested)(struct viommu *v, uint32_t flags, const struct user_data *data, struct hdomain **out);
  int (*invalidate)(struct viommu *v, struct user_array *a);
  int (*vdevice_init)(struct vdevice *d);
  void (*vdevice_destroy)(struct vdevice *d);
  // Queues of the guest that hardware reads by physical addresses. Called with the range pinned; hpa: of its first byte.
  bool (*has_hw_queue)(const struct viommu *v, uint32_t type);
  int (*hw_queue_init)(struct hw_queue *q, uint32_t index, uint64_t hpa);
  void (*hw_queue_destroy)(struct hw_queue *q);
};

struct viommu {
  struct object obj;
  const struct viommu_ops *ops;
  struct host_unit *unit;
  struct hwpt_paging *hwpt; // the nesting parent of all that is below
  uint32_t type;
  struct vdevice *vdevices; // by virt_id
  struct veventq *veventqs; // by next
  void *driver;             // its driver's
};

struct vdevice {
  struct object obj;
  struct viommu *viommu;
  struct idev *idev;
  uint64_t virt_id;
  void *driver;
  UT_hash_handle hh;
};

// Of the kernel's list of regions that an iommufd's mmap finds.
struct mmap_region {
  struct mmap_region *next; // by offset
  struct object *owner;     // not destroyed while it is mapped
  uint64_t offset, length, hpa;
  uint32_t maps;
};

struct hw_queue {
  struct object obj;
  struct viommu *viommu;
  uint64_t base, length; // IOVA of the nesting parent
  uint32_t type;
  uint64_t first, last; // pages
  bool pinned, ready;   // they are; the driver has taken it
  struct access access; // by which they are
  void *driver;
};

struct hwpt_nested *ims_viommu_hwpt_nested(struct viommu *v, const struct idev *idev, uint32_t flags,
                                           const struct user_data *data, int *err);
struct vdevice *ims_viommu_vdevice(const struct viommu *v, uint64_t virt_id);                   // NULL: none
bool ims_viommu_virt_id(const struct viommu *v, const struct ims_device *d, uint64_t *virt_id); // false: no vDEVICE
// An event for the VMM. -EOPNOTSUPP: no queue of this type; -ENOMEM (it counts as lost).
int ims_viommu_report(struct viommu *v, uint32_t type, const void *event, size_t len);
// The device of it goes: its vDEVICE goes before, and that one's id stays used.
void ims_vdevice_device_gone(struct idev *d);

// Memory at hpa for mmap() of the iommufd, under an offset that nothing else has. -EINVAL: not whole pages; -ENOMEM.
int ims_iommufd_mmap_add(struct object *owner, uint64_t hpa, uint64_t length, uint64_t *offset);
void ims_iommufd_mmap_remove(struct object *owner, uint64_t offset);
// For file_ops. The cookie is the hpa.
long ims_iommufd_mmap(struct ims_file *f, uint64_t offset, uint64_t length, unsigned prot, bool shared,
                      uint64_t *cookie);
void ims_iommufd_unmap_all(struct ictx *ctx); // no descriptor is left to do it by
int ims_iommufd_munmap(struct ims_file *f, uint64_t cookie);
