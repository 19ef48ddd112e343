// SPDX-License-Identifier: Apache-2.0
// The software of the host with what it costs: the DMA API (map, unmap, invalidation strict or deferred), and the service
// of the IOMMU's interrupts (page requests, stalls, the fault log). What it writes where, model/machine.h knows; here is
// when, and on how many cores.
//
// Sockets: `registers` to the IOMMU's MMIO (doorbells, status); `interrupts` takes its messages. Every piece of work holds
// a core while it runs; one that polls for completion keeps it, one that waits for an interrupt does not.
//
// What it leaves out: locks of the driver other than that of an emulated queue, IOVA allocation, interrupts of devices.
#pragma once

#include "model/extension.h"
#include "model/machine.h"
#include "model/mapper.h"
#include "model/part.h"
#include "model/port.h"
#include "model/random.h"
#include "model/slots.h"
#include "model/stats.h"

#include <deque>
#include <map>
#include <systemc>
#include <tuple>
#include <vector>

namespace ims::model {

extern const char *const flush_policies[];  // "strict", "deferred"
extern const char *const completion_ways[]; // "poll", "interrupt"
enum FlushPolicy { FLUSH_STRICT, FLUSH_DEFERRED };
enum CompletionWay { COMPLETION_POLL, COMPLETION_INTERRUPT };

// clang-format off
#define IMS_MODEL_HOST_KNOBS(N, T, U, W)                                                                             \
  N(cores, 4, 0, 4096, "cores", "that run this software; 0 = any number")                                            \
  U(map_us, 1, 0, 4000000, "to map a buffer, beside shadow upkeep")                                               \
  U(unmap_us, 1, 0, 4000000, "to unmap a buffer, beside its invalidation")                                        \
  U(invalidate_us, 1, 0, 4000000, "the driver's own time to put descriptors into the queue")                       \
  W(policy, FLUSH_STRICT, flush_policies, "an unmap waits for its invalidation, or leaves it to a later flush")      \
  N(deferred_batch, 250, 1, 1000000, "unmaps", "of a tenant that set off its flush")                                 \
  U(deferred_us, 10000, 1, 4000000, "from a tenant's first deferred unmap until it is flushed in any case")          \
  W(completion, COMPLETION_POLL, completion_ways, "how the end of an invalidation is noticed")                       \
  T(poll_ns, 100, 1, 1000000, "from one look at the completion to the next")                                         \
  U(interrupt_us, 1, 0, 4000000, "to enter the handler of an interrupt")         \
  W(trapped, 0, off_on, "registers are a guest's: each access traps, and is emulated")                               \
  U(trap_us, 7, 0, 4000000, "to emulate one access")                                                              \
  N(trap_slots, 1, 0, 4096, "traps", "emulated at once; 0 = any number")                                             \
  U(shadow_us, 5, 0, 4000000, "to follow a guest's write of a table entry, when the machine's tables are shadows") \
  U(service_us, 20, 0, 4000000, "to serve a page request or a stall: to find the page and map it")                \
  N(fail_per_mille, 0, 0, 1000, "of 1000", "page requests and stalls that are refused; others are if outside a window") \
  N(seed, 1, 0, 4294967295, "", "of the choice of those")
// clang-format on

struct HostConfig {
  IMS_MODEL_FIELDS(IMS_MODEL_HOST_KNOBS)
  static const Part &part();
};

// clang-format off
#define IMS_MODEL_HOST_STATISTICS(X)                                                                                 \
  X(maps, "buffers", "that were mapped")                                                                             \
  X(unmaps, "buffers", "that were unmapped")                                                                         \
  X(failed, "buffers", "that could not be: outside a window, or mapped already")                                     \
  X(flushes, "flushes", "of deferred unmaps")                                                                        \
  X(submissions, "submissions", "to the queue, each with a wait")                                                    \
  X(descriptors, "descriptors", "in these, waits included")                                                          \
  X(queue_full, "submissions", "that found the queue full, each time they tried")                                    \
  X(polls, "looks", "at a completion that was not there yet")                                                        \
  X(register_accesses, "accesses", "to registers")                                                                   \
  X(traps, "traps", "of register accesses and of a guest's table writes")                                            \
  X(trap_waits, "accesses", "that waited because another one was emulated")                                          \
  X(interrupts, "interrupts", "that arrived")                                                                        \
  X(page_requests, "requests", "for pages that were served")                                                         \
  X(page_requests_refused, "requests", "of these, that were refused")                                                \
  X(responses, "responses", "to page request groups")                                                                \
  X(stalls, "stalls", "that were served")                                                                            \
  X(stalls_refused, "stalls", "of these, that were ended with an abort")                                             \
  X(faults, "records", "read from the fault log, stalls included")                                                   \
  X(overflows, "times", "that a log had lost records")                                                               \
  X(core_waits, "pieces of work", "that waited for a core")                                                          \
  X(busy_ps, "ps", "that cores were taken, summed over cores")
// clang-format on

struct HostCounters {
  IMS_STATISTIC_FIELDS(IMS_MODEL_HOST_STATISTICS)
};

class Host : public sc_core::sc_module, public DmaMapper {
public:
  using Done = DmaMapper::Done;

  // The machine must outlive it.
  Host(sc_core::sc_module_name name, Machine &machine, const HostConfig &config = {}, Timing timing = Timing::AT);

  RequestPort<Host> registers;
  ResponsePort<Host, sc_core::SC_ZERO_OR_MORE_BOUND> interrupts;

  // `done` is called when the buffer is mapped; when it is unmapped and, under the strict policy, nothing has it cached.
  // Of a stream of the machine, by its index; within its window.
  void map(size_t stream, uint64_t iova, uint64_t bytes, Done done = {});
  void unmap(size_t stream, uint64_t iova, uint64_t bytes, Done done = {});
  // Flushes what is deferred, of all tenants; when nothing is, `done` is called all the same.
  void flush(Done done = {});

  // Streaming DMA: the same by requester and PASID.
  void before(const Stream &stream, uint64_t iova, uint64_t bytes, Done done) override;
  void after(const Stream &stream, uint64_t iova, uint64_t bytes, Done done) override;
  uint64_t page_bytes() const override { return machine_.page_bytes(); }

  const HostConfig &config() const { return config_; }
  const HostCounters &counters() const { return count_; }
  // From the call until it is done.
  const Histogram &map_latency() const { return map_latency_; }
  const Histogram &unmap_latency() const { return unmap_latency_; }
  // From the arrival of a page request's or stall's interrupt until its answer is in the queue.
  const Histogram &service_latency() const { return service_latency_; }
  void collect(StatisticSink &sink) const;

  // What is under way; all zero when nothing is, but for unmaps that are deferred.
  struct Occupancy {
    size_t jobs, cores, traps, groups, deferred;
  };
  Occupancy occupancy() const;

private:
  enum Kind : uint8_t { MAP, UNMAP, FLUSH, DRAIN, COMPLETION, SERVE_PAGE, SERVE_STALL };
  enum Phase : uint8_t { SOFTWARE, SUBMIT, FULL, RUNG, POLL, POLLED, SLEEPING, NOTICED, DRAINS };
  struct Job {
    Kind kind = MAP;
    Phase phase = SOFTWARE;
    bool ok = true, trapped = false;
    uint32_t number = 0; // its place
    size_t stream = 0;
    uint64_t iova = 0, bytes = 0;
    Done done;
    Ticks asked = 0, running_since = 0;
    Ticks wait = 0; // once it has a core
    Doorbell bell;
    Mmio access;
    uint64_t word = 0; // what an access reads or writes
    Drain drain{MachineLog::FAULTS};
    ims_page_request page = {};
    LoggedFault fault;
    std::vector<size_t> tenants; // FLUSH: streams of those that are left
  };
  struct RegisterAccess : tlm::tlm_extension<RegisterAccess> {
    Job *job = nullptr;
    tlm::tlm_extension_base *clone() const override { return new RegisterAccess(*this); }
    void copy_from(const tlm::tlm_extension_base &other) override {
      *this = static_cast<const RegisterAccess &>(other);
    }
  };
  struct Deferred { // of a tenant
    uint32_t unmaps = 0;
    uint64_t generation = 0; // counts flushes: an old timer means nothing
    size_t stream = 0;
  };
  struct Group { // of page requests
    uint32_t open = 0;
    bool last = false, refused = false;
  };
  using GroupKey = std::tuple<uint32_t, uint32_t, bool, uint16_t>;

  Job &new_job(Kind kind);
  void end(Job &job);
  void begin(Job &job, Ticks cost); // takes a core, when there is one
  void run(Job &job);
  void stop(Job &job); // gives the core back
  void step(uint64_t number);
  void software_done(Job &job);
  void submit(Job &job);
  void go_on(Job &job); // after its submission has completed
  void look(Job &job);
  void access(Job &job, const Mmio &mmio);
  void do_access(uint64_t number);
  void register_done(Payload &p);
  void accessed(uint64_t number);
  void drain_on(Job &job);
  void defer(size_t stream);
  void deferred_timer(uint64_t key);
  void start_flush(std::vector<size_t> tenants, Done done);
  void serve_page(Job &job);
  void serve_stall(Job &job);
  void submit_soon(Job &job);
  Doorbell submission(Job &job);
  bool refuses();
  void finish(Job &job);
  void scan(Job &job);
  void handled(Job &job, Interrupt what);
  Ticks table_cost(uint64_t bytes);
  void queue_look(Job &job);

  Arrival interrupt_arrive(unsigned from, Payload &p, Ticks *when);
  void interrupt_b_transport(unsigned from, Payload &p, sc_core::sc_time &t);
  void interrupted(Payload &p);
  void handle(Interrupt what);

  std::deque<uint32_t> in_line_; // jobs that found the queue full

  Machine &machine_;
  HostConfig config_;
  Timing timing_;
  Agenda &agenda_ = Agenda::of_simulation();
  HostCounters count_;
  Histogram map_latency_, unmap_latency_, service_latency_;

  std::deque<Job> jobs_;
  std::vector<uint32_t> free_;
  size_t live_ = 0;
  Slots<Job> cores_, traps_;
  std::deque<Job *> asleep_; // wait for the interrupt of a completion
  PayloadPool<RegisterAccess> payloads_;
  std::vector<Deferred> deferred_;
  size_t deferred_unmaps_ = 0;
  std::map<GroupKey, Group> groups_;
  bool handling_[4] = {}, again_[4] = {}; // by Interrupt
  Random random_;
};

} // namespace ims::model
