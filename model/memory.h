// SPDX-License-Identifier: Apache-2.0
// Memory as a TLM-2.0 target: the bytes of a struct ims_mem, and the time it takes to get at them.
//
// Kinds. `fixed`: every access takes read_ns or write_ns, after its bytes have gone through a bus of `bandwidth`. `dram`:
// lines of 64 bytes lie round robin in the channels; in a channel, row_bytes of them to a row, rows round robin in the
// banks. A row stays open until another one of its bank is needed. A line waits for its bank, then for the bus of its
// channel, first come first served:
//
//   column = max(now, bank free) + (0 | empty - hit | conflict - hit)     the bank opens the row
//   done   = max(column + hit, bus free) + line                           the data go over the bus
//   bank free = done - hit, bus free = done                               columns of an open row follow each other
//
// It leaves out refresh, activation windows, the turning round of the bus, and any reordering.
//
// Loosely timed nothing waits for others; a request alone takes the same time either way, to the picosecond. The open rows
// are kept in both. Bytes are read and written when the request arrives. A request that is refused takes no time.
//
// A TLM_IGNORE_COMMAND takes the time of bytes_of() bytes and touches no byte, absent ones neither. A swap
// (WalkExtension) has to be of 8 bytes; it takes the time of a read.
#pragma once

#include "mem/mem.h"
#include "model/extension.h"
#include "model/part.h"
#include "model/port.h"
#include "model/stats.h"

#include <systemc>
#include <vector>

namespace ims::model {

extern const char *const memory_kinds[]; // "fixed", "dram"
enum MemoryKind { MEMORY_FIXED, MEMORY_DRAM };

// clang-format off
#define IMS_MODEL_MEMORY_KNOBS(N, T, U, W)                                                                           \
  W(kind, 0, memory_kinds, "every access takes the same time, or banks with open rows")                              \
  T(read_ns, 60, 0, 1000000, "a read, of fixed memory")                                                              \
  T(write_ns, 60, 0, 1000000, "a write, of fixed memory")                                                            \
  N(bandwidth, 0, 0, 10000000, "MB/s", "of fixed memory, reads and writes together; 0 = unlimited")                  \
  N(channels, 2, 1, 256, "channels", "of dram")                                                                      \
  N(banks, 16, 1, 4096, "banks", "in each channel")                                                                  \
  N(row_bytes, 8192, 64, 1048576, "bytes", "in a row of a bank")                                                     \
  T(row_hit_ns, 40, 0, 1000000, "until the data of an open row come, the way through the controller included")       \
  T(row_empty_ns, 54, 0, 1000000, "the same when no row is open; not less than row_hit_ns")                          \
  T(row_conflict_ns, 68, 0, 1000000, "the same when another row has to be closed; not less than row_hit_ns")         \
  T(line_ns, 3, 0, 1000, "64 bytes on the bus of a channel")
// clang-format on

struct MemoryConfig {
  IMS_MODEL_FIELDS(IMS_MODEL_MEMORY_KNOBS)
  static const Part &part();
};

// clang-format off
#define IMS_MODEL_MEMORY_STATISTICS(X)                                                                               \
  X(reads, "requests", "that read")                                                                                  \
  X(writes, "requests", "that write")                                                                                \
  X(swaps, "requests", "that compare and swap")                                                                      \
  X(walker_reads, "requests", "of the reads, an IOMMU's own")                                                        \
  X(walker_writes, "requests", "of the writes, an IOMMU's own")                                                      \
  X(bytes_read, "bytes", "by reads and swaps")                                                                       \
  X(bytes_written, "bytes", "by writes")                                                                             \
  X(errors, "requests", "that were refused: absent memory, byte enables, streaming; not among those above")          \
  X(row_hits, "lines", "of an open row")                                                                             \
  X(row_empty, "lines", "of a bank without an open row")                                                             \
  X(row_conflicts, "lines", "of a bank with another row open")                                                       \
  X(busy_ps, "ps", "that buses moved data, summed over channels")                                                    \
  X(waited_ps, "ps", "that requests waited for bus or bank, summed; of dram: that lines did")
// clang-format on

struct MemoryCounters {
  IMS_STATISTIC_FIELDS(IMS_MODEL_MEMORY_STATISTICS)
};

class Memory : public sc_core::sc_module {
public:
  // `bytes` stays the caller's and outlives the module.
  Memory(sc_core::sc_module_name name, ims_mem *bytes, const MemoryConfig &config = {});

  // Any number of initiators. DMI is granted to fixed memory of unlimited bandwidth: the region of ims_mem_find() that
  // holds the address, its latencies those of one access whatever its length.
  ResponsePort<Memory> port;

  // After bytes were taken out of the ims_mem: withdraws DMI to them.
  void removed(uint64_t first, uint64_t last) { port.withdraw(first, last); }

  const MemoryConfig &config() const { return config_; }
  const MemoryCounters &counters() const { return count_; }
  void collect(StatisticSink &sink) const;

private:
  struct Divisor { // by a number that mostly is a power of two
    uint64_t n;
    int shift;
    explicit Divisor(uint64_t by) : n(by), shift(by & (by - 1) ? -1 : __builtin_ctzll(by)) {}
    uint64_t take(uint64_t *v) const { // returns the remainder, leaves the quotient
      uint64_t whole = *v, q = shift >= 0 ? whole >> shift : whole / n;
      *v = q;
      return whole - (shift >= 0 ? q << shift : q * n);
    }
  };
  struct Timing { // when what is free again
    std::vector<Ticks> bank, bus;
  };

  void b_transport(unsigned from, Payload &p, sc_core::sc_time &t);
  Arrival arrive(unsigned from, Payload &p, Ticks *when);
  bool dmi(unsigned from, Payload &p, tlm::tlm_dmi &dmi);
  unsigned debug(unsigned from, Payload &p);

  tlm::tlm_response_status move(Payload &p, WalkExtension *walk);
  bool perform(Payload &p);
  Ticks row_time(uint64_t line, uint64_t *bank, uint64_t *channel);
  Ticks lines_time(const Payload &p, Ticks now, Timing *timing);
  Ticks dram_alone(const Payload &p);
  Ticks transfer(const Payload &p) const {
    return config_.bandwidth ? (uint64_t{bytes_of(p)} * 1000000 + config_.bandwidth - 1) / config_.bandwidth : 0;
  }

  static constexpr uint64_t CLOSED = ~0ull;

  ims_mem *bytes_;
  MemoryConfig config_;
  Agenda &agenda_;
  bool dmi_;
  sc_core::sc_time read_time_, write_time_;
  Divisor channels_, banks_, columns_;
  Ticks empty_, conflict_;    // beyond those of a hit
  std::vector<uint64_t> row_; // open in each bank
  Timing shared_, alone_;     // alone_: of one request of several lines, loosely timed
  Ticks alone_now_ = 0;       // when all of alone_ is free
  Ticks bus_ = 0;             // of fixed memory: when it is free
  MemoryCounters count_;
};

} // namespace ims::model
