// SPDX-License-Identifier: Apache-2.0
// The IOMMU as a TLM-2.0 module: the untimed unit (iommu/iommu.h) with a clock and finite resources.
//
// Sockets: `device` takes DMAs (DmaExtension; without one the request comes from source 0, without PASID), translates them
// and sends them on through `memory`. Every read and update of a table or structure is a transaction on `memory` as well,
// before the DMA that needs it. `registers` is MMIO. `interrupt` sends messages (a write of 4 bytes) to whoever serves
// interrupts; `message` sends invalidations, page responses and resumptions to devices, by requester id.
//
// Time is charged to the steps of the one engine: the module drives struct ims_xlate, asks the unit's caches and the memory
// behind its socket, and adds up what each took. Loosely timed (b_transport) nothing is contended. Approximately timed
// (nb_transport) every resource of IommuConfig is finite.
//
// b_transport of a request that stalls waits for its resumption: then it has to be called from a thread
// (DmaExtension::stall_returns otherwise).
#pragma once

#include "iommu/iommu.h"
#include "model/extension.h"
#include "model/part.h"
#include "model/port.h"
#include "model/stats.h"

#include <functional>
#include <memory>
#include <systemc>

namespace ims::model {

extern const char *const full_policies[]; // "wait", "drop"
extern const char *const orderings[];     // "none", "pasid", "source", "all"
extern const char *const prefetchers[];   // "none", "next", "stride", "tenant"
enum FullPolicy { FULL_WAIT, FULL_DROP };
enum Ordering { ORDER_NONE, ORDER_PASID, ORDER_SOURCE, ORDER_ALL };
enum PrefetchPolicy { PREFETCH_NONE, PREFETCH_NEXT, PREFETCH_STRIDE, PREFETCH_TENANT };

// How long things take and how many of them there are. Sizes and policies of caches are the unit's own knobs (vtd.*,
// smmuv3.*). 0 of a number of slots: any number.
// clang-format off
#define IMS_MODEL_IOMMU_KNOBS(N, T, U, W)                                                                            \
  T(request_ns, 1, 0, 100000, "from the arrival of a request to its first look-up")                                  \
  T(response_ns, 1, 0, 100000, "from the end of a translation until the DMA or the answer leaves")                   \
  T(context_ns, 2, 0, 100000, "a look-up of the context cache (SMMU: of STEs)")                                      \
  T(pasid_ns, 2, 0, 100000, "a look-up of the PASID cache (SMMU: of CDs)")                                           \
  T(utlb_ns, 1, 0, 100000, "a look-up of the first-level IOTLB")                                                     \
  T(iotlb_ns, 2, 0, 100000, "a look-up of the IOTLB")                                                                \
  T(nested_ns, 2, 0, 100000, "a look-up of the nested TLB")                                                          \
  T(s1_psc_ns, 5, 0, 100000, "a look-up of all first-stage paging-structure caches at once")                         \
  T(s2_psc_ns, 5, 0, 100000, "a look-up of all second-stage paging-structure caches at once")                        \
  N(context_slots, 0, 0, 4096, "look-ups", "of the context cache at once; 0 = any number")                           \
  N(pasid_slots, 0, 0, 4096, "look-ups", "of the PASID cache at once")                                               \
  N(iotlb_slots, 0, 0, 4096, "look-ups", "of the IOTLB at once")                                                     \
  N(nested_slots, 0, 0, 4096, "look-ups", "of the nested TLB at once")                                               \
  N(psc_slots, 0, 0, 4096, "look-ups", "of each stage's paging-structure caches at once")                            \
  N(walkers, 8, 0, 4096, "walkers", "translations that may read memory at once; 0 = any number")                     \
  W(walk_dmi, 0, off_on, "loosely timed, reads of walks use direct access to memory where it is granted: the memory does not see them") \
  T(walker_ns, 0, 0, 100000, "a walker's own time for each read: issue, decode")                                     \
  N(pending, 64, 0, 65536, "requests", "under translation at once; 0 = any number")                                  \
  W(pending_full, 0, full_policies, "a request that finds them all taken waits at the door, or is dropped")          \
  W(merge, 1, off_on, "a miss waits for the walk of the same page that is under way, instead of walking itself")     \
  W(hit_under_miss, 1, off_on, "a hit need not wait for earlier misses")                                             \
  W(ordering, 0, orderings, "translations leave in the order of their requests: of each PASID, each source, all")    \
  W(prefetch, 0, prefetchers, "what is translated ahead after a miss")                                               \
  N(prefetch_degree, 1, 1, 64, "pages", "that a prefetcher asks for at once")                                        \
  N(prefetch_slots, 2, 1, 4096, "translations", "ahead at once; they yield to requests when walkers are short")      \
  T(descriptor_ns, 10, 0, 1000000, "to execute a descriptor or command, beside reading it")                          \
  W(drain, 1, off_on, "a wait (VT-d) or CMD_SYNC completes only after all translations that began before it")        \
  U(device_timeout_us, 1000, 1, 4000000, "until a device that does not answer an invalidation is given up")          \
  T(register_ns, 50, 0, 1000000, "an access to a register")                                                          \
  W(by_source, 0, off_on, "statistics of each requester; costs a look-up in a table a request")                      \
  W(by_pasid, 0, off_on, "statistics of each requester's PASIDs; costs a look-up in a table a request")
// clang-format on

struct IommuConfig {
  IMS_MODEL_FIELDS(IMS_MODEL_IOMMU_KNOBS)
  static const Part &part();
};

// clang-format off
#define IMS_MODEL_IOMMU_STATISTICS(X)                                                                                \
  X(requests, "requests", "that arrived: DMAs, translation requests, translated requests")                           \
  X(page_requests, "requests", "for pages that arrived")                                                             \
  X(translated, "requests", "that were translated or passed")                                                        \
  X(faulted, "requests", "that faulted or were aborted")                                                             \
  X(stalled, "requests", "that were held until software resumed them, each time")                                    \
  X(dropped, "requests", "that found the pending-translation buffer full and were dropped")                          \
  X(waited_at_door, "requests", "that found it full and waited")                                                     \
  X(hits, "requests", "translated without a walker")                                                                 \
  X(misses, "requests", "that needed a walker")                                                                      \
  X(merged, "requests", "that waited for the walk of another request to the same page, each time")                   \
  X(hits_waited, "requests", "that hit and had to wait for misses before them (hit_under_miss off)")                 \
  X(ordered, "requests", "that were ready before one that goes first")                                               \
  X(prefetches, "translations", "ahead that were begun")                                                             \
  X(prefetches_done, "translations", "ahead that ended with a translation")                                          \
  X(prefetches_dropped, "translations", "ahead that were given up: a fault, a bit to set, no walker")                \
  X(walker_waits, "requests", "that had to wait for a walker")                                                       \
  X(walk_reads, "reads", "of structures and tables, prefetches included")                                            \
  X(updates, "updates", "of accessed and dirty bits")                                                                \
  X(bus_errors, "transactions", "that the memory refused")                                                           \
  X(descriptors, "descriptors", "of the queue that were executed")                                                   \
  X(waits, "descriptors", "of these, waits")                                                                         \
  X(drained, "requests", "that waits had to wait for")                                                               \
  X(device_invalidations, "messages", "to devices")                                                                  \
  X(device_timeouts, "messages", "that no device answered in time")                                                  \
  X(dmi_granted, "grants", "of a page to access directly")                                                           \
  X(dmi_withdrawn, "withdrawals", "of all of them")                                                                  \
  X(busy_ps, "ps", "during which walkers were taken, summed over walkers")                                           \
  X(pending_ps, "ps", "that requests spent in the pending-translation buffer, summed")
// clang-format on

struct IommuCounters {
  IMS_STATISTIC_FIELDS(IMS_MODEL_IOMMU_STATISTICS)
};

class IommuImpl;

// Told of what goes on, for timelines and for tests. Requests are numbered as they arrive; translations ahead have numbers
// of their own, from AHEAD on: they finish, and neither arrive nor leave.
class IommuObserver {
public:
  static constexpr uint64_t AHEAD = uint64_t{1} << 63;
  virtual ~IommuObserver() = default;
  virtual void arrived(Ticks, uint64_t /*number*/, const ims_request &) {}
  // A step of request `number` lasted from `begin` to `end`: a look-up (hit or not), a read, an update.
  virtual void step(Ticks /*begin*/, Ticks /*end*/, uint64_t /*number*/, unsigned /*walker*/, ims_step_kind,
                    const ims_step &, bool /*hit*/) {}
  virtual void finished(Ticks, uint64_t /*number*/, const ims_request &, const ims_result &) {}
  virtual void left(Ticks, uint64_t /*number*/) {} // the DMA is done, or the answer has left
  virtual void descriptor(Ticks /*begin*/, Ticks /*end*/, const ims_queue_item &) {}
  // Something changed: walkers taken, requests pending, look-ups that hit and missed so far.
  virtual void state(Ticks, unsigned /*walkers*/, unsigned /*pending*/, uint64_t /*hits*/, uint64_t /*misses*/) {}
};

class Iommu : public sc_core::sc_module {
public:
  // Makes a unit over `memory`, which must outlive the module: how to make one of each architecture is the caller's
  // (ims_vtd_new and so on), who hands it over with the bus as given here. The unit belongs to the module from then on.
  using MakeUnit = std::function<ims_iommu *(const ims_iommu_bus *bus)>;
  Iommu(sc_core::sc_module_name name, const MakeUnit &make, const IommuConfig &config = {});

  // Still without a unit. attach() gives it one before the first request comes: somebody else's, which outlives the last
  // request, keeps its bus, and works its queue off by itself (hold_queue(false)). DMI is refused then, since nobody would
  // say when to withdraw it; and what the unit's caches count is its owner's to tell.
  Iommu(sc_core::sc_module_name name, const IommuConfig &config);
  void attach(ims_iommu *unit);

  ~Iommu() override;

private:
  std::unique_ptr<IommuImpl> impl_; // before the sockets, which are its

public:
  ResponsePort<IommuImpl>::Socket &device; // any number of devices
  ResponsePort<IommuImpl, sc_core::SC_ZERO_OR_MORE_BOUND>::Socket
      &registers; // MMIO; address = offset; may stay unbound
  tlm::tlm_initiator_socket<> &memory;
  // These may stay unbound.
  using OptionalSocket = RequestPort<IommuImpl, sc_core::SC_ZERO_OR_MORE_BOUND>::Socket;
  OptionalSocket &interrupt;
  OptionalSocket &message; // one target, that knows devices by requester id

  // What lies behind `memory`, by debug transport: for ims_mem_set_remote, so that the queue and the logs of a unit over an
  // empty ims_mem lie in the platform's memory, too, and whoever builds tables in that ims_mem writes them there. To be
  // used once sockets are bound (from start_of_simulation() on), as long as the module lives.
  ims_mem_remote behind();

  ims_iommu *unit() const; // for set-up, and for those who look; NULL: none is attached yet
  const IommuConfig &config() const;
  const IommuCounters &counters() const;

  // Whether the unit's queue is worked off in time (as built), or at once by the register write that fills it, for software
  // that calls ims_iommu_write itself and looks for completion right behind it.
  void hold_queue(bool hold);

  // DMI is refused while this is set: somebody wants to see every access.
  void refuse_dmi(bool refuse);
  void observe(IommuObserver *observer); // NULL: nobody
  void collect(StatisticSink &sink) const;

  // What is taken right now; all zero when nothing is under way.
  struct Occupancy {
    size_t pending, walkers, at_door, merged, stalled, prefetches, messages, look_ups;
  };
  Occupancy occupancy() const;
};

} // namespace ims::model
