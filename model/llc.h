// SPDX-License-Identifier: Apache-2.0
// The last-level cache in front of a memory, for what an IOMMU reads and writes (WalkExtension) and for DMA. It knows tags,
// not data: bytes come from and go to the memory behind it by debug transport, at the moment a request arrives.
//
// A request whose lines are all there takes hit_ns. Otherwise it takes miss_ns, then what the memory takes for one read
// from its first missing line to its last; lines that another miss is fetching already are waited for instead. A write
// that allocates takes hit_ns: nobody waits for the memory, and a line written in part is not completed from it. A write
// that does not, and finds not all of its lines, goes to the memory as it is; so does what debug transport cannot serve.
// That one goes at once, so that nothing overtakes it, and its miss_ns come afterwards.
//
// DMA allocates in dma_ways of the ways, and hits in all, as with DDIO. These ways are a second array of tags here: what
// walks allocate never takes them, which in a real cache it may.
//
// When a dirty line goes, 64 bytes are written to the memory: a TLM_IGNORE_COMMAND with a DmaExtension (the bytes are there
// already) for which nobody waits. It is the only thing in flight that a request alone may find before it.
//
// Without size (size_kb 0) everything goes straight through in no time. Else DMI is refused.
#pragma once

#include "iommu/cache.h"
#include "model/extension.h"
#include "model/part.h"
#include "model/port.h"
#include "model/stats.h"

#include <deque>
#include <systemc>
#include <unordered_map>
#include <vector>

namespace ims::model {

// clang-format off
#define IMS_MODEL_LLC_KNOBS(N, T, U, W)                                                                              \
  N(size_kb, 0, 0, 1048576, "KB", "of the cache, in lines of 64 bytes; 0 = no cache; sets are a power of two, rounded up") \
  N(ways, 16, 1, 64, "ways", "of a set, those of DMA included")                                                      \
  T(hit_ns, 20, 0, 100000, "a request that finds all its lines, or a write that allocates them")                     \
  T(miss_ns, 5, 0, 100000, "until a request that does not goes on to the memory")                                    \
  W(walks_allocate, 1, off_on, "what the IOMMU reads and writes itself comes into the cache")                        \
  W(dma_writes_allocate, 1, off_on, "what devices write comes into the cache (DDIO)")                                \
  W(dma_reads_allocate, 0, off_on, "what devices read comes into the cache")                                         \
  N(dma_ways, 2, 0, 63, "ways", "that DMA may allocate in; 0, or not less than ways = all, shared with walks")       \
  N(miss_slots, 48, 0, 65536, "requests", "that read from the memory at once; 0 = any number")                       \
  W(warm, 0, off_on, "at the start it holds what windows hold, as after software has gone through them; off: nothing")
// clang-format on

struct LlcConfig {
  IMS_MODEL_FIELDS(IMS_MODEL_LLC_KNOBS)
  static const Part &part();
};

// clang-format off
#define IMS_MODEL_LLC_STATISTICS(X)                                                                                  \
  X(walk_hits, "lines", "that the IOMMU asked for and that were there")                                              \
  X(walk_misses, "lines", "that the IOMMU asked for and that were not")                                              \
  X(dma_hits, "lines", "that devices read or wrote and that were there")                                             \
  X(dma_misses, "lines", "that devices read or wrote and that were not")                                             \
  X(fetches, "requests", "to the memory for missing lines")                                                          \
  X(merges, "requests", "that waited for lines which another one was fetching, each fetch")                          \
  X(slot_waits, "requests", "that found no miss slot")                                                               \
  X(allocations, "lines", "that came into the cache")                                                                \
  X(write_backs, "lines", "that were dirty when they went")                                                          \
  X(passed, "requests", "that went to the memory as they were")
// clang-format on

struct LlcCounters {
  IMS_STATISTIC_FIELDS(IMS_MODEL_LLC_STATISTICS)
};

class Llc : public sc_core::sc_module {
public:
  Llc(sc_core::sc_module_name name, const LlcConfig &config = {});
  ~Llc() override;

  ResponsePort<Llc> port;  // any number of initiators
  RequestPort<Llc> memory; // one memory, which has to have debug transport

  const LlcConfig &config() const { return config_; }
  const LlcCounters &counters() const { return count_; }
  void collect(StatisticSink &sink) const;

  size_t in_flight() const { return fetching_; } // fetches that hold a miss slot
  bool holds(uint64_t hpa) const;                // the line of this address

  // Before the simulation: the processor has used the line of this address, clean. Neither takes time nor counts.
  void warm(uint64_t hpa);

private:
  static constexpr uint64_t LINE = 64;

  struct Array { // tags, and what lies in each way
    struct Slot {
      uint64_t line = 0;
      bool dirty = false;
    };
    ims_cache cache;
    std::vector<Slot> slot;
  };
  struct Job { // a request that was taken and waits
    unsigned from;
    Payload *payload;
    unsigned left; // fetches that it waits for
    Ticks ready;   // when its own tag check is over
  };
  struct Fetch : tlm::tlm_extension<Fetch> { // on what this cache itself sends to the memory
    Llc *owner = nullptr;
    bool write_back = false, allocate = false, dma = false, dirty = false;
    uint64_t first = 0, last = 0; // lines
    std::vector<unsigned char> bytes;
    std::vector<Job *> waiting;
    tlm::tlm_extension_base *clone() const override { return new Fetch; }
    void copy_from(const tlm::tlm_extension_base &) override {}
  };
  struct Range { // the lines of a request, and those that have to be fetched for it
    uint64_t first, last, missing_first = ~0ull, missing_last = 0;
    bool walk, write, swap, allocate, complete = true;
    bool must_fetch() const { return missing_first <= missing_last; }
  };
  enum Outcome { HIT, MISS, PASS };

  void b_transport(unsigned from, Payload &p, sc_core::sc_time &t);
  Arrival arrive(unsigned from, Payload &p, Ticks *when);
  bool dmi(unsigned from, Payload &p, tlm::tlm_dmi &dmi);
  unsigned debug(unsigned from, Payload &p);
  void done(Payload &p);
  void withdrawn(uint64_t first, uint64_t last) { port.withdraw(first, last); }

  bool present(uint64_t line) const;
  Range range_of(const Payload &p) const;
  Outcome outcome(const Range &r) const;
  bool serve(Payload &p, const Range &r, Outcome o);
  Array *find(uint64_t line);
  void fill(uint64_t line, bool dma, bool dirty);
  void write_back(uint64_t line);
  Payload &new_fetch(const Payload &p, const Range &r);
  void fetched(const Fetch &f);
  Arrival take(unsigned from, Payload &p, const Range &r, Outcome o, Ticks *when);
  void miss(Job *job, const Range &r);
  Job *new_job(unsigned from, Payload &p);
  void pass(unsigned from, Payload &p);
  void issue(uint64_t payload);
  void respond_job(uint64_t job);
  void open_door();

  LlcConfig config_;
  Agenda &agenda_;
  bool split_; // DMA has ways of its own
  Array main_, dma_;
  PayloadPool<Fetch> walk_pool_, dma_pool_; // with a WalkExtension, a DmaExtension
  size_t fetching_ = 0;
  bool timed_ = false;                              // the request at hand is approximately timed
  std::unordered_map<uint64_t, Fetch *> under_way_; // by line
  std::unordered_map<Payload *, unsigned> passing_; // from which binding, when there are several
  std::deque<Job> jobs_;
  std::vector<Job *> free_jobs_;
  std::deque<Job *> door_; // found no slot
  LlcCounters count_;
};

} // namespace ims::model
