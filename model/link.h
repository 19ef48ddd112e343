// SPDX-License-Identifier: Apache-2.0
// A PCI Express link between device functions, any number of them, and the root complex with the IOMMU.
//
// Each direction is a wire of its own, first come first served. A transaction occupies it once, with all its TLPs:
//
//   bytes = payload + TLPs * (header + framing + dllp)       time = bytes * time of a byte / lanes, rounded up to 1 ps
//
// The time of a byte on one lane is that of its 8 bits with their encoding: 8b/10b at 2.5 and 5 GT/s (4000, 2000 ps),
// 128b/130b at 8, 16 and 32 GT/s (1015.6, 507.8, 253.9 ps), and at 64 GT/s that of 256 bytes of FLIT for 236 bytes of TLPs
// (135.6 ps). In FLITs neither framing nor DLLPs are counted apart. So 256 bytes written take 288 bytes of a gen3 x8 link,
// which moves 63.0 Gb/s: 56.0 Gb/s of payload.
//
// Towards the root complex: a read is as many headers as it touches blocks of max_read_request bytes; a write as many
// headers as it touches blocks of max_payload bytes, and the data; an atomic is a write that is answered. Back: the data of
// each read request, cut where max_payload ends, at a multiple of read_completion_boundary; a refusal is a header. A
// translation request is a header, its answer a header and 8 bytes. A page request is a header, and so is its answer
// (taken, or not), which a real root complex sends only for a refusal. Data end on 4 bytes.
//
//   read of n bytes, one TLP each way, behind a memory that takes m:
//     time(request_header + framing + dllp) + up_ns + m + time(n + completion_header + framing + dllp) + down_ns
//   write: time(n + request_header + framing + dllp)
//
// Writes are posted: the device has its response, an OK, when the last byte has left; the write goes on to the IOMMU as a
// copy. What becomes of it the device does not learn; the IOMMU's response ends here. (Loosely timed a stall is left for
// the device to see, since nobody else could repeat the write.) A sender that sets stall_returns has to watch the IOMMU.
//
// Credits of the root complex limit what is under way towards it and not yet taken by the IOMMU; they come back with
// down_ns. A write may pass reads that wait for credits, nothing passes a write. Completions always have credit.
//
// Loosely timed nothing waits for wires or credits. Generation 0 is no link: no wires, no delays, no credits; writes are
// posted all the same.
//
// The other way round, `message_port` takes messages from an IOMMU to devices (MessageExtension), and `message` hands them
// on: a header with 8 bytes down; of an invalidation, a header up when it is answered. To resume a stall takes no time.
#pragma once

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
#define IMS_MODEL_LINK_KNOBS(N, T, U, W)                                                                             \
  N(generation, 3, 0, 6, "", "of PCI Express; 0 = no link: everything passes in no time")                            \
  N(lanes, 8, 1, 32, "lanes", "each way")                                                                            \
  N(request_header, 16, 12, 64, "bytes", "of the header of a request or message")                                    \
  N(completion_header, 12, 12, 64, "bytes", "of the header of a completion")                                         \
  N(framing, 8, 0, 64, "bytes", "of each TLP's sequence number, CRC and framing (generations 1 to 5)")               \
  N(dllp, 8, 0, 64, "bytes", "of acknowledgements and credits beside each TLP, on average (generations 1 to 5)")     \
  N(max_payload, 256, 64, 4096, "bytes", "of a TLP")                                                                 \
  N(max_read_request, 512, 64, 4096, "bytes", "that one TLP asks for")                                               \
  N(read_completion_boundary, 64, 64, 4096, "bytes", "at whose multiples completions are cut")                       \
  T(up_ns, 200, 0, 1000000, "from the device to the root complex, beside the time on the wire")                      \
  T(down_ns, 200, 0, 1000000, "back")                                                                                \
  N(posted_headers, 0, 0, 65536, "TLPs", "of writes that the root complex has room for; 0 = any number")             \
  N(posted_data, 0, 0, 1048576, "bytes", "of writes that the root complex has room for; 0 = any number")             \
  N(nonposted_headers, 0, 0, 65536, "TLPs", "of other requests that the root complex has room for; 0 = any number")
// clang-format on

struct LinkConfig {
  IMS_MODEL_FIELDS(IMS_MODEL_LINK_KNOBS)
  static const Part &part();
};

// clang-format off
#define IMS_MODEL_LINK_STATISTICS(X)                                                                                 \
  X(reads, "requests", "to read, and atomics")                                                                       \
  X(posted, "requests", "to write")                                                                                  \
  X(translations, "requests", "for translations")                                                                    \
  X(page_requests, "requests", "for pages")                                                                          \
  X(messages, "messages", "from the IOMMU to devices")                                                               \
  X(up_tlps, "TLPs", "towards the root complex")                                                                     \
  X(up_bytes, "bytes", "towards the root complex, headers and framing included")                                     \
  X(up_payload, "bytes", "of these, data")                                                                           \
  X(up_busy_ps, "ps", "that this wire was busy")                                                                     \
  X(down_tlps, "TLPs", "from the root complex")                                                                      \
  X(down_bytes, "bytes", "from the root complex, headers and framing included")                                      \
  X(down_payload, "bytes", "of these, data")                                                                         \
  X(down_busy_ps, "ps", "that this wire was busy")                                                                   \
  X(credit_waits, "requests", "that had to wait for credits")                                                        \
  X(posted_lost, "requests", "to write that the IOMMU or the memory refused after the device had its response")
// clang-format on

struct LinkCounters {
  IMS_STATISTIC_FIELDS(IMS_MODEL_LINK_STATISTICS)
};

class Link : public sc_core::sc_module {
public:
  Link(sc_core::sc_module_name name, const LinkConfig &config = {});

  ResponsePort<Link> port; // any number of devices
  RequestPort<Link> root;  // an IOMMU, or a memory

  // May stay unbound.
  ResponsePort<Link, sc_core::SC_ZERO_OR_MORE_BOUND> message_port;
  RequestPort<Link, sc_core::SC_ZERO_OR_MORE_BOUND> message;

  const LinkConfig &config() const { return config_; }
  const LinkCounters &counters() const { return count_; }
  void collect(StatisticSink &sink) const;

  size_t in_flight() const { return in_flight_; } // requests and messages that were taken and have not ended

  // How long so much takes on the wire.
  Ticks wire_time(uint64_t tlps, uint64_t headers, uint64_t payload) const;

private:
  enum Kind : uint8_t { READ, POSTED, ATOMIC, TRANSLATION, PAGE_REQUEST, OTHER };
  struct Tlps { // of one direction
    uint64_t count, headers, payload;
  };
  struct Job { // a request on its way
    Payload *payload;
    unsigned from;
    Kind kind;
    uint32_t headers, data; // credits that it holds
  };
  struct Posted : tlm::tlm_extension<Posted> { // on the copy of a write
    Job *job = nullptr;
    std::vector<unsigned char> bytes;
    tlm::tlm_extension_base *clone() const override { return new Posted; }
    void copy_from(const tlm::tlm_extension_base &) override {}
  };

  void b_transport(unsigned from, Payload &p, sc_core::sc_time &t);
  Arrival arrive(unsigned from, Payload &p, Ticks *when);
  bool dmi(unsigned, Payload &p, tlm::tlm_dmi &dmi) { return root.socket->get_direct_mem_ptr(p, dmi); }
  unsigned debug(unsigned, Payload &p) { return root.socket->transport_dbg(p); }
  unsigned message_debug(unsigned, Payload &p) { return message.bound() ? message.socket->transport_dbg(p) : 0; }
  void withdrawn(uint64_t first, uint64_t last) { port.withdraw(first, last); }
  void accepted(Payload &p);
  void done(Payload &p);
  void message_b_transport(unsigned from, Payload &p, sc_core::sc_time &t);
  Arrival message_arrive(unsigned from, Payload &p, Ticks *when);
  void message_done(Payload &p);

  Kind kind_of(const Payload &p) const;
  Tlps up(const Payload &p, Kind kind) const;
  Tlps down(const Payload &p, Kind kind) const;
  Tlps single(uint64_t payload) const { return {1, config_.request_header, payload}; }
  Ticks count_up(const Tlps &t);
  Ticks count_down(const Tlps &t);
  void count(Kind kind);
  bool credit(const Job &j) const;
  Job *new_job(unsigned from, Payload &p, Kind kind);
  void free_job(Job *j);
  void post(Job *j);
  Ticks start(Job *j);
  void start_waiting();
  void forward(uint64_t job);
  void credits_back(uint64_t packed);
  void respond_job(uint64_t job);
  void deliver_message(uint64_t job);
  void answer_message(uint64_t job);

  LinkConfig config_;
  Agenda &agenda_;
  uint64_t byte_time_, per_; // ps of byte_time_ / per_ for a byte
  Ticks up_delay_, down_delay_;
  Ticks up_free_ = 0, down_free_ = 0;
  uint64_t posted_headers_ = 0, posted_data_ = 0, nonposted_headers_ = 0; // credits taken
  std::deque<Job *> waiting_;                                             // for credits, in order
  size_t waiting_posted_ = 0;
  PayloadPool<Posted> copies_;
  std::unordered_map<Payload *, Job *> jobs_by_payload_;
  std::deque<Job> jobs_;
  std::vector<Job *> free_jobs_;
  size_t in_flight_ = 0;
  LinkCounters count_;
};

} // namespace ims::model
