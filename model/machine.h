// SPDX-License-Identifier: Apache-2.0
// The bytes of a whole machine for experiments: physical memory, the structures and queues of one IOMMU, and page tables
// of many tenants, made and edited as a driver does it. It knows nothing of time and of SystemC; whoever runs the software
// in time (model/host.h) asks it what to write where.
//
// A tenant is a device with a requester id of its own, a domain (VMID), a second stage and one first stage a PASID. What a
// PASID may reach is a window of neighbouring IOVAs; each stream is such a window. Tenants share no table.
#pragma once

#include "iommu/iommu.h"
#include "iommu/smmuv3/smmuv3.h"
#include "iommu/vtd/vtd.h"
#include "model/part.h"
#include "model/stream.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ims::model {

extern const char *const machine_archs[];        // "vtd", "smmuv3"
extern const char *const machine_translations[]; // as enum Translation
extern const char *const machine_granules[];     // "4k", "16k", "64k"
extern const char *const machine_pages[]; // "4k", "2m", "1g": of a granule of 4 KB; else the page, the block above ...
extern const char *const machine_table_pages[]; // "same", and those
extern const char *const machine_tables[];      // "linear", "two-level"
extern const char *const machine_syncs[];       // "message", "index"
extern const char *const machine_faults[];      // "terminate", "stall"
enum MachineArch { ARCH_VTD, ARCH_SMMUV3 };
enum Translation {
  TRANSLATE_NESTED,
  TRANSLATE_FIRST,
  TRANSLATE_SECOND,
  TRANSLATE_SHADOW,
  TRANSLATE_PASS_THROUGH,
  TRANSLATE_OFF
};
enum CompletionSync { SYNC_MESSAGE, SYNC_INDEX };
enum FaultModel { FAULTS_TERMINATE, FAULTS_STALL };

// clang-format off
#define IMS_MODEL_MACHINE_KNOBS(N, T, U, W)                                                                          \
  W(arch, ARCH_VTD, machine_archs, "the IOMMU's architecture")                                                       \
  W(translation, TRANSLATE_NESTED, machine_translations, "what the IOMMU does: both stages, one, a shadow of both, none")      \
  N(s1_levels, 4, 2, 5, "levels", "of first-stage tables")                                                           \
  N(s2_levels, 4, 2, 5, "levels", "of second-stage tables")                                                          \
  W(granule, 0, machine_granules, "of all tables (VT-d: 4k)")                                                        \
  W(s1_page, 0, machine_pages, "that the first stage maps with; of other granules the block of that level")          \
  W(s2_page, 0, machine_pages, "that the second stage maps with")                                                    \
  W(s2_table_page, 0, machine_table_pages, "that the second stage maps the guest's own tables with")                 \
  W(stream_table, 0, machine_tables, "SMMU: of STEs")                                                                \
  W(cd_table, 0, machine_tables, "SMMU: of CDs")                                                                     \
  N(tenants, 1, 1, 65536, "tenants", "each with a requester id, a domain, tables of its own")                        \
  N(pasids, 1, 1, 1024, "PASIDs", "of each tenant")                                                                  \
  W(pasid_requests, 1, off_on, "requests have a PASID; off: one stream a tenant, without")                           \
  N(window_kb, 64, 4, 1073741824, "KB", "that each PASID has mapped")                                                \
  W(same_iova, 1, off_on, "all windows begin at the same IOVA; off: each lies apart")                                \
  W(scatter, 0, off_on, "memory is handed out in a random order")                                                    \
  N(seed, 1, 0, 4294967295, "", "of that order")                                                                     \
  W(premap, 1, off_on, "windows are mapped at the start; off: software maps them")                                   \
  W(preset_ad, 1, off_on, "accessed and dirty bits are set as after a first use")                                    \
  W(hardware_ad, 1, off_on, "hardware sets accessed and dirty bits (VT-d's first stage always does)")                \
  W(ats, 0, off_on, "devices may ask for translations; invalidations go to them too")                                \
  W(pri, 0, off_on, "devices may ask for pages")                                                                     \
  W(faults, FAULTS_TERMINATE, machine_faults, "SMMU: what a fault of a request does")                                \
  N(queue_log2, 8, 7, 15, "log2", "entries of the invalidation or command queue")                                    \
  N(log_log2, 9, 7, 15, "log2", "entries of the page request queue, and of the event queue")                         \
  W(sync, SYNC_MESSAGE, machine_syncs, "completion is seen as a word in memory, or as the queue's index register")
// clang-format on

struct MachineConfig {
  IMS_MODEL_FIELDS(IMS_MODEL_MACHINE_KNOBS)
  static const Part &part();
};

// What one cold translation reads: the one formula behind references(). With c context descriptors behind the second
// stage, s structures before it, n first-stage entries, and second-stage walks of mt entries for the guest's tables and
// of md entries for its data:
//     s + (c + n)(mt + 1) + md
// A stage that is not there has n, mt, md = 0. VT-d has s = 4 (root, context, PASID directory, PASID), c = 0; SMMUv3
// s = 1 or 2 (STE), c = 1 or 2 (CD).
struct WalkShape {
  unsigned s = 0, c = 0, n = 0, mt = 0, md = 0;
  unsigned references() const { return s + (c + n) * (mt + 1) + md; }
};

// An access to a register. Of a submission to the queue: the write that starts it, and the ticket by which its completion
// is known; size 0: the queue has no room, nothing was written.
struct Mmio {
  uint32_t offset = 0;
  unsigned size = 0;
  uint64_t value = 0;
  bool write = true;
};
struct Doorbell {
  uint32_t offset = 0;
  unsigned size = 0;
  uint64_t value = 0;
  uint64_t ticket = 0;
  unsigned entries = 0; // descriptors written, the wait included
  explicit operator bool() const { return size != 0; }
};

enum class Interrupt { NONE, COMPLETION, FAULT, PAGE_REQUEST };

// A record of the fault log, or of the event queue.
struct LoggedFault {
  uint32_t source = 0, pasid = 0;
  bool has_pasid = false, write = false, stalled = false;
  uint16_t code = 0, stag = 0;
  uint64_t iova = 0;
};

// Reading one of the IOMMU's logs: drain_next() says which register to access next; with the answer it goes on.
enum class MachineLog { FAULTS, PAGE_REQUESTS };
struct Drain {
  explicit Drain(MachineLog l) : log(l) {}
  MachineLog log;
  std::vector<LoggedFault> faults;
  std::vector<ims_page_request> pages;
  bool overflow = false; // records were lost
  // How far it is; drain_next's own.
  unsigned state = 0, index = 0, left = 0;
  uint64_t word = 0;
};

class MachineImpl;

class Machine {
public:
  // Throws std::runtime_error with a sentence when the configuration cannot be.
  Machine(const MachineConfig &config, const ims_vtd_config &vtd, const ims_smmuv3_config &smmu);
  explicit Machine(const MachineConfig &config); // units as they are by default
  ~Machine();
  Machine(const Machine &) = delete;
  Machine &operator=(const Machine &) = delete;

  const MachineConfig &config() const;
  ims_mem *memory();
  bool shadow() const; // translation = shadow

  // Makes the unit (for Iommu); throws std::runtime_error.
  std::function<ims_iommu *(const ims_iommu_bus *)> maker() const;
  // Programs a unit after power-on: tables, queues, interrupts, enable. Register writes, without time.
  void start(ims_iommu *unit);
  template <class Module> void start(Module &module) { start(module.unit()); }

  // Tenant by tenant, PASID by PASID.
  const std::vector<Stream> &streams() const;
  // The stream of a requester and PASID, or -1.
  int64_t find(uint32_t source, uint32_t pasid, bool has_pasid) const;
  bool in_window(size_t stream, uint64_t iova, uint64_t bytes) const;

  // Reads of a cold translation within a window.
  unsigned references(const Stream &stream) const;
  const WalkShape &shape() const;
  // The hpa that an address within a window is mapped to, whenever it is mapped.
  uint64_t frame(size_t stream, uint64_t iova) const;
  // Where the entries of the tables lie that a walk reads, in their order; with `structures` those before them too. Reads
  // the machine's memory as it is, changes nothing.
  std::vector<uint64_t> walk_addresses(uint64_t iova, const Stream &stream, bool structures = false);

  // Edit the tables that translate IOVAs: first stage, shadow, or the only stage. The range is widened to pages of the
  // granule. RANGE: outside the window; map gives EXIST when something is mapped already, and nothing was done then.
  // Without a translation both do nothing.
  int map(size_t stream, uint64_t iova, uint64_t bytes);
  int unmap(size_t stream, uint64_t iova, uint64_t bytes);
  bool mapped(size_t stream, uint64_t iova) const;
  uint64_t page_bytes() const; // of the granule: what map and unmap widen to
  // Entries of tables that map or unmap of so much writes, tables made anew not counted.
  uint64_t entries_for(uint64_t bytes) const;

  // Submissions. Each is descriptors (commands) and a wait; it counts as completed once `completed(ticket)`.
  //
  // What is cached of a range, after map(), unmap(); leaf_only: no table was changed. With ATS the device's too.
  Doorbell invalidate(size_t stream, uint64_t iova, uint64_t bytes, bool leaf_only = true);
  // Everything of a tenant: what a flush of a deferred batch does.
  Doorbell invalidate_tenant(size_t stream);
  // All translations of all tenants; devices' own are not reached.
  Doorbell invalidate_all();
  // Code as of ims_page_response: 0 success, 1 invalid, 15 failure.
  Doorbell respond(const ims_page_request &request, unsigned code);
  Doorbell resume(const LoggedFault &stalled, enum ims_resume_action action);
  // A wait alone.
  Doorbell synchronize();
  unsigned room() const; // descriptors that fit now

  bool completed(uint64_t ticket);
  // With sync = index: the register that tells, and what it told.
  Mmio index_register() const;
  void index_read(uint64_t value);
  // Waits raise an interrupt beside the word in memory. Throws std::runtime_error if they cannot. To be acknowledged before completed() is asked, unless size is 0.
  void interrupt_on_completion(bool on);
  Mmio acknowledge_completion() const;

  // What a message of the IOMMU means.
  Interrupt interrupt(uint64_t address, uint32_t data) const;
  // False: it is finished. `read`: what the last access read.
  bool drain_next(Drain &drain, uint64_t read, Mmio *next);
  // All of it at once, without time.
  Drain drain(MachineLog log, ims_iommu *unit);

private:
  std::unique_ptr<MachineImpl> impl_;
};

} // namespace ims::model
