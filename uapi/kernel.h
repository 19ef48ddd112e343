// SPDX-License-Identifier: Apache-2.0
// The simulated host: a kernel with its IOMMU driver, processes, virtual machines, devices, and the files through which
// programs speak to it (/dev/vfio/vfio, /dev/vfio/N). It meets hardware as a driver does: stores to simulated memory,
// MMIO, queue descriptors, completion status polled in memory, interrupts. It is Linux' VFIO type1 driver of 2020 with
// one of the vSVA series or the SMMUv3 nested series (uapi/vfio.h), in-kernel SVA, and drivers of VT-d, SMMUv3 and SMMUv2
// in the manner of Linux 7.x beneath. Units of all three kinds can stand side by side.
//
// Results: functions that stand for a system call or a kernel function with Linux' errors return 0 or more, or -errno
// (Linux numbers). Functions that set the machine up or look at it return 0 or a negative enum ims_error.
// One simulator, one thread. Objects belong to the kernel, which releases what is left with itself.
#pragma once

#include "iommu/iommu.h"
#include "mem/mem.h"
#include "pgtable/build.h"
#include "uapi/vfio.h"

#ifdef __cplusplus
extern "C" {
#endif

struct ims_kernel;
struct ims_process; // an mm with what belongs to it: address space, open files
struct ims_vm;      // guest physical memory of a process
struct ims_device;
struct ims_file;
struct ims_sva; // a process bound to a device

// ---- What an observer is told ---------------------------------------------------------------------------------------

enum ims_note_kind {
  IMS_NOTE_MMIO_WRITE, // addr = register offset, bytes, word[0]
  IMS_NOTE_TABLE,      // a word of a structure that hardware reads was stored: addr = hpa, word[0], old
  IMS_NOTE_DESCRIPTOR, // put into the invalidation or command queue: addr = hpa, word[0..words)
  IMS_NOTE_COMPLETE, // the status of a wait descriptor or CMD_SYNC was found: addr = hpa of the status, word[0]; SMMUv3
                     // polling CMDQ_CONS: addr = its offset
  IMS_NOTE_INTERRUPT,    // an interrupt is being handled: what = "fault event", "page request event", "event queue" ...
  IMS_NOTE_FAULT,        // a fault record was read: addr = register offset, word[0..2); SMMUv3: addr = hpa, word[0..4)
  IMS_NOTE_PAGE_REQUEST, // a page request was read from its queue: addr = hpa, word[0..4); SMMUv3: word[0..2)
  IMS_NOTE_LOG,          // what the kernel's log would say: text
};

enum ims_log_level { IMS_LOG_ERROR, IMS_LOG_WARNING, IMS_LOG_INFO };

// Whose structures and registers are spoken of.
enum ims_arch { IMS_ARCH_VTD, IMS_ARCH_SMMUV3, IMS_ARCH_SMMUV2 };

struct ims_note {
  uint8_t kind;  // enum ims_note_kind
  uint8_t level; // LOG: enum ims_log_level
  uint8_t words, bytes;
  uint16_t unit;    // index of the IOMMU; 0xffff: none
  uint32_t source;  // of the device concerned; ~0: none
  const char *what; // the structure, descriptor or register, in words: "PASID table entry", "PASID-cache invalidation"
  uint64_t addr, old;
  uint64_t word[8];
  const char *text; // LOG; valid during the call
  uint8_t arch;     // enum ims_arch, of the unit
};

// Writes the note as a sentence without a full stop, with the fields of what was written decoded; returns its length as
// snprintf does.
size_t ims_note_text(const struct ims_note *note, char *buf, size_t size);

// ---- The kernel -----------------------------------------------------------------------------------------------------

struct ims_kernel_hooks {
  void *ctx;
  void (*observe)(void *ctx, const struct ims_note *note); // NULL: nobody looks
  // Called between two looks at memory or a register while the driver waits for hardware, so that a timed model can go
  // on. False: do not wait any longer. NULL: the driver looks wait_limit times.
  bool (*relax)(void *ctx);
  // SMMUv3: ATS was enabled or disabled at the device (PCIe ATS Control Register), which depends on what it is attached to.
  // NULL: devices that may use ATS do.
  void (*ats)(void *ctx, struct ims_device *d, bool on);
};

// Page tables of processes, as the machine's processors read them. Arm: 48-bit addresses.
enum ims_cpu_format { IMS_CPU_X86_64, IMS_CPU_ARM_4K, IMS_CPU_ARM_16K, IMS_CPU_ARM_64K, IMS_CPU_FORMATS };

// The kernel's own tests of iommufd (IOMMU_TEST_CMD, uapi/selftest.h), and whose tests: 7.3 takes a page of 4 KB that is
// mapped without large pages for one leaf of the mock's tables, 7.2 for two.
enum ims_selftest { IMS_SELFTEST_OFF, IMS_SELFTEST_7_2, IMS_SELFTEST_7_3 };

struct ims_kernel_config {
  struct ims_mem *mem;           // not owned
  uint64_t pool_base, pool_size; // host physical memory that the kernel may allocate from; must be there
  uint8_t dialect;               // enum ims_dialect
  uint8_t iommu_h;               // enum ims_iommu_h
  uint8_t cpu_format;            // enum ims_cpu_format
  uint8_t cpu_levels;            // x86-64: levels of process page tables: 4, 5
  uint8_t s2_levels;             // of second-stage tables, at most, where the unit permits: 3, 4, 5
  bool legacy;                   // VT-d: drive units in legacy mode even where they offer scalable mode
  uint8_t selftest;              // enum ims_selftest
  bool smmu_bypass;              // SMMU: streams of devices that nothing is attached to bypass instead of being aborted
  uint64_t msi_doorbell;         // Arm: hpa of the page that interrupt messages are written to
  uint32_t pasid_quota;          // module parameter pasid_quota
  uint32_t dma_entry_limit;      // module parameter dma_entry_limit
  uint32_t wait_limit;           // looks before the driver gives up waiting, where there is no hooks.relax
  struct ims_kernel_hooks hooks;
};

// vsva-v7, x86-64 processors, 4 levels in both stages, quota 1000, 65535 mappings, doorbell 0x08090000; memory and pool
// are the caller's to fill in.
void ims_kernel_config_default(struct ims_kernel_config *c);

// NOMEM, INVAL, BUS (the pool's memory is absent).
int ims_kernel_new(struct ims_kernel **out, const struct ims_kernel_config *config);

// Closes all files, ends all processes, turns translation off in all units, releases everything. NULL is fine. The
// units' struct ims_iommu must still be there, or ims_kernel_forget_units() have been called.
void ims_kernel_free(struct ims_kernel *k);
void ims_kernel_forget_units(struct ims_kernel *k);

// Writes the module parameter pasid_quota: 0 in v1, where every allocation reads it anew; -EACCES in the later dialects
// (mode 0444).
int ims_kernel_set_pasid_quota(struct ims_kernel *k, uint32_t quota);

// The interrupt controller's side of an IOMMU: give it to struct ims_iommu_bus as `message` with ctx = the kernel, or
// call it from there. The interrupt is only noted. Handlers run in ims_kernel_interrupts(), and before the kernel
// returns from any call below that may have raised one. True: something was handled.
void ims_kernel_message(void *kernel, uint64_t addr, uint32_t data);
bool ims_kernel_interrupts(struct ims_kernel *k);

struct ims_kernel_counters {
  uint64_t descriptors, waits, mmio_writes, entries_written; // of the drivers of all units
  uint64_t faults, page_requests, page_responses, queue_errors;
};
void ims_kernel_count(const struct ims_kernel *k, struct ims_kernel_counters *out);

// Bytes of the pool that are handed out: tables, queues, pages of processes.
uint64_t ims_kernel_memory_in_use(const struct ims_kernel *k);

// One entry of the kernel's log of DMA faults, as the handler read it: VT-d from a fault recording register, SMMUv3 from
// the event queue, SMMUv2 from the registers of a context bank or the global ones.
struct ims_kernel_fault {
  uint16_t unit, source;
  uint8_t type; // 0 write, 1 page request, 2 read, 3 atomic (VT-d: bits T1 T2)
  uint8_t at;   // 0 untranslated, 1 translation request, 2 translated
  bool has_pasid, exec, priv;
  uint16_t reason; // VT-d: fault reason; SMMUv3: event number; SMMUv2: FSR or sGFSR, the cause bits
  uint32_t pasid;
  uint64_t addr;    // VT-d: page; SMMU: as it came
  uint64_t word[4]; // the record; SMMUv2: FSR, FAR, FSYNR0, IPAFAR
  uint8_t arch;     // enum ims_arch
  uint8_t words;    // of the record
  bool s2;          // SMMU: stage 2 faulted
  uint64_t ipa;     // SMMU: where it did; valid with s2
};
uint64_t ims_kernel_faults(const struct ims_kernel *k); // how many since the start; the newest 4096 can be read
bool ims_kernel_fault_at(const struct ims_kernel *k, uint64_t index, struct ims_kernel_fault *out);

// ---- IOMMUs and devices ---------------------------------------------------------------------------------------------

// Finds the unit's capabilities, allocates the tables and queues that it reads, programs the registers and turns
// translation on (VT-d rev 4.1: 10.5, 6.5.2, 7.7.1; Arm IHI 0070: 3.11, 6.3.9). *index: what the other functions call it.
// `unit` is not owned and must outlive the kernel. UNSUP: no driver for it, or it lacks what the driver needs (VT-d:
// queued invalidation; SMMU: AArch64 tables, a granule); NOSPACE: the pool is used up; IO: a register did not follow.
int ims_kernel_add_unit(struct ims_kernel *k, const char *name, struct ims_iommu *unit, unsigned *index);
bool ims_kernel_unit_scalable(const struct ims_kernel *k, unsigned index);
// hpa of its root table (VT-d) or stream table (SMMUv3); 0: it has none.
uint64_t ims_kernel_unit_root(const struct ims_kernel *k, unsigned index);

#define IMS_NO_GROUP 0xffffffffu

// Regions of a device as VFIO numbers them: 0 to 5 BARs, 6 ROM, 7 configuration space (there is one without it being given).
enum { IMS_DEVICE_REGIONS = 9, IMS_REGION_ROM = 6, IMS_REGION_CONFIG = 7 };

// What a program reaches of a device through its character device: pread and pwrite at (region << 40) + offset. Accesses
// are of 1, 2, 4 or 8 bytes, naturally aligned, and lie within the region; values are as the processor sees them.
struct ims_device_regions {
  void *ctx;
  uint64_t size[IMS_DEVICE_REGIONS]; // bytes; 0: there is none
  uint64_t (*read)(void *ctx, unsigned region, uint64_t offset, unsigned bytes);
  void (*write)(void *ctx, unsigned region, uint64_t offset, unsigned bytes, uint64_t value);
  uint16_t vendor, device; // of the configuration space that the kernel shows where size[7] is 0
  uint32_t class_code;
};

struct ims_device_config {
  uint16_t source;             // requester id, StreamID
  uint16_t unit;               // index
  uint32_t group;              // IOMMU group: its file is /dev/vfio/GROUP
  uint8_t pasid_bits;          // of the PASID capability; 0 = none
  bool pasid_exec, pasid_priv; // it can ask for execution, with privilege
  bool ats, pri;
  uint8_t ats_qdep; // invalidation queue depth, 0 = 32
  uint16_t pfsid;   // physical function, for device-TLB invalidations with DIT
  bool not_pci;     // a platform device; type1 binds refuse it
  bool stall;       // SMMU: a device whose transactions may be stalled (platform devices; never PCI)
  bool shared_msi;  // its interrupt messages are not kept apart from those of others; iommufd refuses it
  const struct ims_device_regions *regions; // not owned; NULL: no regions
};
// EXIST: the unit has a device with this source id; INVAL.
int ims_kernel_add_device(struct ims_kernel *k, const struct ims_device_config *config, struct ims_device **out);
struct ims_device *ims_kernel_device(const struct ims_kernel *k, unsigned unit, uint16_t source); // NULL: none
const struct ims_device_config *ims_device_config_of(const struct ims_device *d);
#define IMS_NO_CDEV 0xffffffffu
unsigned ims_device_cdev(const struct ims_device *d); // N of /dev/vfio/devices/vfioN; NO_CDEV: it has no group
// Where the device's PASID directory (VT-d) or CD table (SMMUv3) lies; 0: none yet.
uint64_t ims_device_pasid_dir(const struct ims_device *d);

// ---- Processes ------------------------------------------------------------------------------------------------------

int ims_process_new(struct ims_kernel *k, struct ims_process **out);

// Exit: SVA bindings are cut off as Linux does on exit of an mm (VT-d: entry cleared, FPD left set, no drain; SMMUv3: the
// CD stays valid with EPD0, so that walks fault), files are closed, pages given back. The object stays until the last SVA
// binding is released; do not use it for anything else.
void ims_process_exit(struct ims_process *p);

enum { IMS_PROT_READ = 1, IMS_PROT_WRITE = 2, IMS_PROT_EXEC = 4 };
enum {
  IMS_MMAP_POPULATE = 1, // pages now; else at their first use, or at a device's page request
  IMS_MMAP_2M = 2,       // pages of 2 MB and 1 GB (Arm: of the last level but one, 16K 32 MB, 64K 512 MB; and 4K 1 GB)
  IMS_MMAP_1G = 4,
  IMS_MMAP_FIXED = 8, // va is taken as it is; -EEXIST where something is mapped
};
// Anonymous memory. va 0 without FIXED: the kernel chooses. -EINVAL, -ENOMEM, -EEXIST.
int ims_mmap(struct ims_process *p, uint64_t va, uint64_t size, unsigned prot, unsigned flags, uint64_t *out);
// Pages that are pinned stay allocated until they are unpinned. Devices bound to the process are told (P_IOTLB and
// device TLB). -EINVAL; holes are no error.
int ims_munmap(struct ims_process *p, uint64_t va, uint64_t size);
int ims_mprotect(struct ims_process *p, uint64_t va, uint64_t size, unsigned prot); // -ENOMEM: a hole

// A file of memory, as of memfd_create(2) and ftruncate(2): zeros, in pages as the flags 2M or 1G say. Its descriptor, or
// -EINVAL, -ENOMEM, -EMFILE.
int ims_memfd_create(struct ims_process *p, uint64_t size, unsigned flags, struct ims_file **out);
// Shared memory of such a file; page faults beyond its end fail. flags: POPULATE, FIXED; the pages are the file's. The
// mapping outlives the descriptor. As ims_mmap(), and -ENODEV: not a memfd.
int ims_mmap_file(struct ims_process *p, uint64_t va, uint64_t size, unsigned prot, unsigned flags, struct ims_file *f,
                  uint64_t offset, uint64_t *out);

// What a process may. New ones have all capabilities and no limit, as root's.
enum { IMS_CAP_IPC_LOCK = 1, IMS_CAP_SYS_RESOURCE = 2, IMS_CAP_SYS_RAWIO = 4 };
void ims_process_set_caps(struct ims_process *p, unsigned caps);
// RLIMIT_MEMLOCK: bytes that iommufd may pin for it, unless it has CAP_IPC_LOCK.
void ims_process_set_memlock(struct ims_process *p, uint64_t bytes);
// What iommufd has pinned for it, pages: as VmPin and VmLck of /proc/PID/status, and what counts for its user.
struct ims_pin_counts {
  uint64_t pinned, locked, user_locked;
};
void ims_process_pins(const struct ims_process *p, struct ims_pin_counts *out);

// A program's own accesses, page faults served. -EFAULT; then part may have been copied.
int ims_process_read(struct ims_process *p, uint64_t va, void *buf, size_t len);
int ims_process_write(struct ims_process *p, uint64_t va, const void *buf, size_t len);
// hpa behind a va, without a page fault. NOENT.
int ims_process_translate(struct ims_process *p, uint64_t va, uint64_t *hpa);
uint64_t ims_process_pgd(const struct ims_process *p);   // hpa of the top table
uint32_t ims_process_pasid(const struct ims_process *p); // of SVA; 0: none yet

// How the kernel reaches the memory and the descriptors of a process that is not a simulated one. Functions must bear any
// address and length, and those for pages and files still work after the process's exit, as long as something of it is
// pinned or mapped. Those that are NULL: the simulated address space, the kernel's own numbers.
struct ims_user {
  void *ctx;
  bool (*read)(void *ctx, void *dst, uint64_t src, size_t len); // false: a bad pointer (EFAULT)
  bool (*write)(void *ctx, uint64_t dst, const void *src, size_t len);
  // The page behind va, for DMA: its hpa, and the bytes from there to its end. It tells who the page is: all ways to the
  // same page give the same hpa. Pages that are not the pool's lie outside of it. 0, -EFAULT, -ENOMEM.
  int (*page)(void *ctx, uint64_t va, bool write, uint64_t *hpa, uint64_t *left);
  // The same for byte `offset` of a file. `file` is the caller's: it outlives the descriptor until file_close. -EBADF;
  // -EINVAL: not a file of memory, or beyond its end; -ENODEV: a buffer that was taken back.
  int (*file_open)(void *ctx, int fd, uint64_t *file);
  int (*file_page)(void *ctx, uint64_t file, uint64_t offset, bool write, uint64_t *hpa, uint64_t *left);
  void (*file_close)(void *ctx, uint64_t file);
  // Pages that are not the pool's were pinned once more, or once less; whole pages.
  void (*pin)(void *ctx, uint64_t hpa, uint64_t size, bool on);
  uint32_t (*pins)(void *ctx, uint64_t hpa); // how often such a page is pinned; the self-test asks. NULL: nobody knows
  // Bytes of such a page from hpa on, within pages that are pinned or were just told of. NULL: they lie in the simulated
  // memory. False: gone.
  bool (*copy)(void *ctx, uint64_t hpa, void *buf, size_t len, bool write);
  // A number for a descriptor that an ioctl makes, not in use; or -errno. And back: the ioctl failed.
  int (*fd_new)(void *ctx);
  void (*fd_drop)(void *ctx, int fd); // NULL only where fd_new is
};
void ims_process_set_user(struct ims_process *p, const struct ims_user *user); // NULL: back to the simulated one

// ---- Virtual machines -----------------------------------------------------------------------------------------------

int ims_vm_new(struct ims_process *vmm, struct ims_vm **out);
// Guest memory [gpa, gpa+size) is [va, va+size) of the VMM. OVERLAP, INVAL.
int ims_vm_add_slot(struct ims_vm *vm, uint64_t gpa, uint64_t va, uint64_t size);
// The guest's own accesses to its physical memory. BUS: no slot, or not mapped in the VMM.
int ims_vm_read(struct ims_vm *vm, uint64_t gpa, void *buf, size_t len);
int ims_vm_write(struct ims_vm *vm, uint64_t gpa, const void *buf, size_t len);
int ims_vm_translate(struct ims_vm *vm, uint64_t gpa, uint64_t *hpa); // BUS
// Memory for guest page tables: the guest's allocator hands out pages of [gpa, gpa+size). INVAL: set already.
int ims_vm_set_pool(struct ims_vm *vm, uint64_t gpa, uint64_t size);
int ims_vm_alloc(struct ims_vm *vm, unsigned log2size, uint64_t *gpa); // zeroed. NOSPACE, BUS
void ims_vm_free_page(struct ims_vm *vm, uint64_t gpa, unsigned log2size);
// Tables whose addresses are gpa, for the builders of pgtable/build.h. Valid as long as the VM.
struct ims_pgt_mem ims_vm_pgt_mem(struct ims_vm *vm);

// ---- Files ----------------------------------------------------------------------------------------------------------

// A descriptor belongs to one process. Several, also of different processes, may stand for one open file, as after dup and
// fork; calls are made by the process of the descriptor.

// "/dev/vfio/vfio", "/dev/vfio/N", "/dev/iommu" or "/dev/vfio/devices/vfioN". Returns the descriptor's number in the process
// (>= 3, the lowest free one) and sets *out, or -ENOENT, -EBUSY (a group: open already, or a device of it bound), -EMFILE,
// -ENOMEM.
int ims_open(struct ims_process *p, const char *path, struct ims_file **out);
// Always 0. The descriptor is gone afterwards, the open file with its last one. A container lives on until its groups
// have left it, an iommufd until the devices bound to it are closed.
int ims_close(struct ims_file *f);
// Another descriptor of process `to`, fd -1: the lowest free number. Its number, or -EEXIST (in use), -EMFILE, -ENOMEM.
int ims_file_share(struct ims_file *f, struct ims_process *to, int fd, struct ims_file **out);
// Returns >= 0 or -errno. Which words are known, and what they mean, depends on file and dialect.
long ims_ioctl(struct ims_file *f, uint32_t cmd, uint64_t arg);
// read(2) and write(2), `buf` an address of the calling process: fault and event queues; regions of a device, by `offset`.
// -EINVAL: this file has none. Never blocks.
long ims_read(struct ims_file *f, uint64_t buf, size_t len, uint64_t offset);
long ims_write(struct ims_file *f, uint64_t buf, size_t len, uint64_t offset);
enum { IMS_POLLIN = 1, IMS_POLLOUT = 4, IMS_POLLHUP = 16 }; // as in poll.h
unsigned ims_poll(struct ims_file *f);
// mmap(2) of an iommufd: 0, and the hpa of the bytes, which names the mapping until ims_file_munmap() or the end of the open
// file, which a mapping does not keep by itself. -ENXIO: nothing was handed out there; -EINVAL, -EPERM; -ENODEV: not this
// file.
long ims_file_mmap(struct ims_file *f, uint64_t offset, uint64_t length, unsigned prot, bool shared, uint64_t *cookie);
int ims_file_munmap(struct ims_file *f, uint64_t cookie);
unsigned ims_file_kind(const struct ims_file *f);                       // enum ims_uapi_file of uapi/layout.h
struct ims_file *ims_process_file(const struct ims_process *p, int fd); // NULL: no such file
int ims_file_fd(const struct ims_file *f);
// Gives the file another number, as a shim does whose numbers are somebody else's. -EBADF: negative, -EEXIST: in use.
int ims_file_set_fd(struct ims_file *f, int fd);
// What must hold between calls of everything that an open /dev/iommu keeps, for tests and fuzzing: false, with a sentence
// of what does not. It costs a look at every page that is mapped.
bool ims_iommufd_check(const struct ims_file *iommufd, char *why, size_t size);

// Page requests of devices bound through the container, as struct iommu_fault of 64 bytes. The vSVA series left open how a
// VMM receives them, and the SMMUv3 series has rings of 512 entries in a region of the device; here the VMM reads them from
// the container, oldest first. With a guest's stage 1 on an SMMU there are also unrecoverable faults of that stage: type 1,
// and the 64 bytes are those of struct ims_iommu_fault_unrecoverable; beyond 512 unread ones faults are dropped, as when
// the ring is full. Returns 64, or 0 when there is none; -EINVAL: not a container.
long ims_container_read_fault(struct ims_file *f, struct ims_iommu_fault_page_request *out);
// Answers one: arg points to struct iommu_page_response in the layout in force. 0; -EFAULT; -EINVAL: malformed, or no
// such request is waiting.
long ims_container_page_response(struct ims_file *f, uint64_t arg);

// ---- SVA: binding a process to a device (iommu_sva_bind_device) -----------------------------------------------------

// 0 and *out, or -ENODEV (no group, unit without SVA, or with other page tables than the processor's), -ENOSPC (no PASID is
// free that the device could use, or it has none), -EOVERFLOW (the process has one that is too large for the device),
// -EINVAL (VT-d: no ATS; PRI off; another device of the group has too few PASIDs; SMMUv3: the device's own requests go
// through a second stage; the process has exited), -EBUSY (something else is attached to this PASID of the device), -ENOMEM.
// All devices of the group that have PASIDs are bound. Binding the same pair, or another device of the group, again counts
// a reference and gives the same object.
int ims_sva_bind(struct ims_device *d, struct ims_process *p, struct ims_sva **out);
void ims_sva_unbind(struct ims_sva *s); // drops a reference; the last one tears the entry down
uint32_t ims_sva_pasid(const struct ims_sva *s);

// Switches the device's page requests or ATS, which are on from the start where the device has them. -EBUSY: something
// is attached.
int ims_device_enable_pri(struct ims_device *d, bool on);
int ims_device_enable_ats(struct ims_device *d, bool on);

#ifdef __cplusplus
}
#endif
