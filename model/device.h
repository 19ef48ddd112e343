// SPDX-License-Identifier: Apache-2.0
// A device as a TLM-2.0 module: a DMA engine with a finite number of tags that follows a pattern (model/pattern.h), a
// device TLB (PCIe ATS: the address translation cache, ATC) and page requests (PCIe PRI). One Device may stand for many
// functions: each stream says its own requester id.
//
// Sockets: `port` sends DMAs, translation and page requests, all with a DmaExtension, to a link or an IOMMU; `messages`
// takes what the IOMMU sends to devices (MessageExtension).
//
// Closed loop: a tag that is done takes the next access. Open loop (gap_ns, or a trace with times): an access is due at its
// time, and waits for a tag if none is free. Approximately timed, requests go by nb_transport. Loosely timed, each tag has
// a time of its own: the tag that is free first is the next to go, by b_transport; what comes back counts from the time
// that it was annotated with, so that nothing is contended and throughput is tags / latency. One tag gives the same times
// either way. What the device does with an answer is the same code.
//
// Streaming (map = stream): a driver maps the page of each DMA before it and unmaps it after it, and the tag is held for
// all of that. No two DMAs may have one page between them, so each tag has pages of its own, as a driver has buffers: page
// t, t + tags, t + 2 tags ... of each window are those of tag t, which takes one after the other. The pattern says the
// stream, the length, the direction, and where in its page a DMA lies. Under a deferred policy a page comes round again
// before it is flushed, if the window has fewer pages than that takes; a driver would have handed out other addresses.
//
// What it leaves out: data that an access needs from an earlier one, but for chains of pointers (a ring's descriptors are
// read with its packets, not before them); split completions; a page request asks for one page, and is a group of its own.
#pragma once

#include "iommu/device.h"
#include "model/extension.h"
#include "model/mapper.h"
#include "model/part.h"
#include "model/pattern.h"
#include "model/port.h"
#include "model/stats.h"
#include "model/stream.h"

#include <functional>
#include <memory>
#include <systemc>
#include <vector>

namespace ims::model {

extern const char *const device_maps[]; // "static", "stream"
enum DeviceMap { MAP_STATIC, MAP_STREAM };

// clang-format off
#define IMS_MODEL_DEVICE_KNOBS(N, T, U, W)                                                                           \
  N(tags, 32, 1, 65536, "tags", "DMAs under way at once")                                                            \
  N(count, 100000, 0, 4294967295, "DMAs", "to do; 0 = as many as the pattern has")                                   \
  N(warmup, 0, 0, 4294967295, "DMAs", "that are done before rates and latencies are counted")                        \
  T(gap_ns, 0, 0, 1000000, "from one DMA to the next, whether those before are done or not; 0 = when a tag is free") \
  W(map, MAP_STATIC, device_maps, "windows stay mapped; or each DMA's page is mapped before it and unmapped after it") \
  W(data, 1, off_on, "DMAs carry data; off: they take their time and move nothing")                                  \
  W(dmi, 0, off_on, "loosely timed, without ATS: memory is accessed directly where that is granted")                 \
  N(dmi_pages, 1024, 1, 1048576, "pages", "whose direct access is remembered; rounded up to a power of two")         \
  T(retry_ns, 100, 1, 1000000, "until a request that the IOMMU dropped is sent again")                               \
  W(ats, 0, off_on, "addresses are translated by the device, which asks the IOMMU and remembers")                    \
  N(atc_entries, 128, 0, 1048576, "entries", "of the device TLB; 0 = none, so that each DMA asks")                   \
  N(atc_ways, 0, 0, 4096, "ways", "of the device TLB; 0 = fully associative")                                        \
  W(atc_replacement, IMS_REPLACE_LRU, ims_words_replacement, "which entry of the device TLB makes room")             \
  T(atc_ns, 2, 0, 100000, "a look-up of the device TLB")                                                             \
  N(translations, 0, 0, 65536, "requests", "for translations under way at once; 0 = any number")                     \
  T(invalidate_ns, 10, 0, 1000000, "to answer an invalidation, once no DMA uses what it drops")                      \
  W(ignore_invalidations, 0, off_on, "a broken device: invalidations are neither obeyed nor answered")               \
  W(pri, 0, off_on, "a page that lacks the right is asked for; off: the DMA fails")                                  \
  N(page_requests, 32, 1, 512, "requests", "for pages under way at once")                                            \
  N(page_tries, 16, 0, 65535, "requests", "for the page of one DMA before it fails; 0 = any number")                 \
  IMS_MODEL_PATTERN_KNOBS(N, T, U, W)
// clang-format on

struct DeviceConfig {
  IMS_MODEL_FIELDS(IMS_MODEL_DEVICE_KNOBS)
  PatternConfig pattern_config() const;
  static const Part &part();
};

// clang-format off
#define IMS_MODEL_DEVICE_STATISTICS(X)                                                                               \
  X(issued, "DMAs", "that took a tag: done, failed and those under way")                                             \
  X(done, "DMAs", "that arrived")                                                                                    \
  X(failed, "DMAs", "that did not: not mapped, refused, without rights, without memory")                             \
  X(refused, "DMAs", "that the IOMMU refused, or whose translation it refused")                                      \
  X(no_rights, "DMAs", "whose translation lacks the right, and no page request helped")                              \
  X(not_mapped, "DMAs", "that were not sent: software could not map them")                                           \
  X(no_memory, "DMAs", "that found no memory, or met another error on their way")                                    \
  X(zeroed, "DMAs", "of those done, refused without an error: they read zeros or wrote nothing")                     \
  X(late, "DMAs", "that were due before a tag was free")                                                             \
  X(retried, "requests", "that the IOMMU dropped and that were sent again")                                          \
  X(bytes_read, "bytes", "by DMAs that arrived")                                                                     \
  X(bytes_written, "bytes", "by DMAs that arrived")                                                                  \
  X(untranslated, "requests", "with an address for the IOMMU to translate")                                          \
  X(translated, "requests", "with an address from the device TLB or an answer")                                      \
  X(translation_requests, "requests", "for a translation (ATS)")                                                     \
  X(atc_hits, "look-ups", "that the device TLB answered")                                                            \
  X(atc_misses, "look-ups", "that it did not answer")                                                                \
  X(atc_merged, "DMAs", "that waited for the translation request of another one")                                    \
  X(atc_waited, "DMAs", "that waited because too many translation requests were under way")                          \
  X(atc_fills, "answers", "that went into the device TLB")                                                           \
  X(atc_discarded, "answers", "that an invalidation overtook, and that were asked for again")                        \
  X(invalidations, "messages", "from the IOMMU")                                                                     \
  X(invalidated, "entries", "of the device TLB that they dropped")                                                   \
  X(invalidations_waited, "messages", "that DMAs still used what was dropped when they came")                        \
  X(page_requests, "requests", "for pages (PRI)")                                                                    \
  X(page_merged, "DMAs", "that waited for the page request of another one")                                          \
  X(page_waited, "DMAs", "that waited because too many page requests were under way")                                \
  X(page_refused, "requests", "for pages that the IOMMU did not take")                                               \
  X(page_success, "responses", "to page requests: the page is there, or ask again")                                  \
  X(page_invalid, "responses", "that there is no such page")                                                         \
  X(page_failure, "responses", "that the function shall ask no more")                                                \
  X(page_unexpected, "responses", "to nothing that was asked")                                                       \
  X(stalls, "DMAs", "that the IOMMU held, loosely timed; each time")                                                 \
  X(resumed, "DMAs", "whose stall software ended")                                                                   \
  X(dmi_hits, "DMAs", "that accessed memory directly")                                                               \
  X(dmi_granted, "grants", "of direct access to a page")                                                             \
  X(dmi_withdrawn, "grants", "that were withdrawn")
// clang-format on

struct DeviceCounters {
  IMS_STATISTIC_FIELDS(IMS_MODEL_DEVICE_STATISTICS)
};

class Device : public sc_core::sc_module {
public:
  // By which way a DMA went.
  enum Path : uint8_t { UNTRANSLATED, ATC_HIT, ATC_MISS, PAGED, PATHS };

  // std::invalid_argument: no stream, one that does not begin at a page, a knob out of its range.
  Device(sc_core::sc_module_name name, const DeviceConfig &config, std::vector<Stream> streams,
         std::unique_ptr<Pattern> pattern, Timing timing);
  ~Device() override;

  RequestPort<Device> port;
  ResponsePort<Device, sc_core::SC_ZERO_OR_MORE_BOUND> messages; // any number of senders

  // The device begins when the simulation does; or, if that is said before, when start() is called, during the simulation.
  void start_by_hand() { by_hand_ = true; }
  void start();
  // Who maps and unmaps, with map = stream; it has to be said before the device begins, and must outlive it.
  // std::invalid_argument: a window has fewer pages than there are tags.
  void use_mapper(DmaMapper *mapper);
  // Called once, when the last DMA has ended; an action on the agenda.
  void on_finished(std::function<void()> call) { on_finished_ = std::move(call); }
  bool finished() const { return finished_; }

  const DeviceConfig &config() const { return config_; }
  const std::vector<Stream> &streams() const { return streams_; }
  const DeviceCounters &counters() const { return count_; }

  // Of DMAs that arrived, after those of the warm-up, in ps from issue to arrival.
  // By path with ATS only: without it there is one, or with direct access two that take the same time.
  const Histogram &latency() const { return latency_; }
  const Histogram &latency(Path path) const { return path_latency_[path]; }
  // With map = stream: without the time that it took to map them, from when they were sent.
  const Histogram &dma_latency() const { return dma_latency_; }

  // What rates are counted over: DMAs that arrived after the warm-up, their bytes, and the time from its end (without: from
  // the start) to the last of them.
  struct Counted {
    uint64_t dmas = 0, bytes = 0;
    Ticks from = 0, to = 0;
  };
  Counted counted() const;
  void collect(StatisticSink &sink) const;

  // What is taken right now; all zero when nothing is under way.
  struct Occupancy {
    size_t tags, translations, page_requests, waiting, invalidations, payloads;
  };
  Occupancy occupancy() const;

private:
  static constexpr uint32_t NONE = ~0u;
  static constexpr Ticks NEVER = ~0ull;

  enum State : uint8_t { IDLE, SENT, TRANSLATED, WAITING, STALLED, MAPPING };
  struct Tag {
    Access access;
    uint64_t iova = 0, id = 0; // id: of the device TLB
    Ticks issued = 0, mapped = 0;
    uint64_t slot = 0; // map = stream: how many pages it has taken
    uint64_t sent = 0; // TRANSLATED: number of the request
    Ticks until = 0;   // TRANSLATED, loosely timed: when it will have arrived
    uint32_t next = NONE;
    uint32_t page_tries = 0;
    State state = IDLE;
    Path path = UNTRANSLATED;
    uint8_t shift = 0;       // TRANSLATED: of the entry that was used
    bool mapped_now = false; // map = stream: to be unmapped
    bool held = false;       // loosely timed: the IOMMU stalled it, under `stag`
    uint8_t resume = 0;      // 1 + enum ims_resume_action, when it came before the tag knew of the stall
    uint16_t stag = 0;
  };
  // Tags in the order in which they came.
  struct List {
    uint32_t first = NONE, last = NONE;
  };
  struct Translation { // a request under way
    uint64_t page = 0, id = 0;
    bool write = false;
    uint64_t first = NEVER, last = 0; // what was invalidated meanwhile lies between
    List tags;
    uint32_t stream = 0, next = NONE; // in its bucket
  };
  struct Group { // a page request under way
    bool used = false, write = false;
    uint64_t page = 0, id = 0;
    uint32_t stream = 0;
    List tags;
  };
  struct Invalidation { // that waits for DMAs
    struct ims_cache_match match;
    uint64_t before; // requests with smaller numbers may have used what was dropped
    uint32_t left;
    unsigned from;
    Payload *payload;
  };
  struct Function {
    uint32_t source;
    bool page_requests_off; // after a response failure
  };
  struct DirectPage {
    uint64_t page = NEVER;
    uint32_t stream = 0;
    bool read = false, write = false;
    unsigned char *bytes = nullptr;
    Ticks read_time = 0, write_time = 0;
  };
  enum Kind : uint8_t { DMA, TRANSLATION, PAGE };
  struct Request : DmaExtension {
    Kind kind = DMA;
    uint32_t index = 0; // of the tag, the translation, the group
  };

  // What ends when, loosely timed. Mostly the one that came last ends last: those stand in a ring, the others in a heap.
  class Ends {
  public:
    struct Item {
      Ticks when;
      uint64_t order;
      Payload *payload; // or
      uint32_t tag;     // of a direct access
    };
    bool empty() const { return ring_first_ == ring_last_ && heap_.empty(); }
    void put(Ticks when, Payload *payload, uint32_t tag);
    Ticks earliest() const { return front().when; }
    Payload *take(uint32_t *tag); // nullptr: a direct access of this tag

  private:
    static bool later(const Item &a, const Item &b) { return a.when != b.when ? a.when > b.when : a.order > b.order; }
    bool from_ring() const {
      return heap_.empty() || (ring_first_ != ring_last_ && later(heap_.front(), ring_[ring_first_ & mask_]));
    }
    const Item &front() const { return from_ring() ? ring_[ring_first_ & mask_] : heap_.front(); }
    void grow();

    std::vector<Item> ring_ = std::vector<Item>(16), heap_;
    size_t mask_ = 15, ring_first_ = 0, ring_last_ = 0;
    uint64_t order_ = 0;
  };

  void start_of_simulation() override;
  static const DeviceConfig &checked(const DeviceConfig &config);

  // The life of a tag.
  void begin(uint64_t);
  bool take(uint32_t tag, Access *a);
  void next(uint32_t tag);
  void due(uint64_t tag);
  void issue(uint32_t tag);
  void depart(uint32_t tag);
  void go(uint32_t tag);
  void go_again(uint64_t tag) { go(static_cast<uint32_t>(tag)); }
  void retry(uint32_t tag);
  void end(uint32_t tag);
  void fail(uint32_t tag, uint64_t DeviceCounters::*cause);
  void over(uint32_t tag);
  void stop();
  void finish(uint64_t);

  // Streaming.
  uint64_t slots(const Stream &s) const;
  void map(uint32_t tag);
  void mapped(uint64_t tag, bool ok);
  void unmap(uint32_t tag);
  void unmapped(uint64_t tag, bool);

  // Requests.
  Payload &request(Kind kind, uint32_t index, uint32_t stream, uint8_t type, uint8_t access, uint32_t bytes);
  void send_dma(uint32_t tag, uint64_t address, uint8_t type, Ticks delay);
  void send(Payload &p, Ticks delay);
  void send_now(uint64_t payload) { port.send(*reinterpret_cast<Payload *>(payload)); }
  void done(Payload &p);
  void dma_done(uint32_t tag, Payload &p, const Request &x);
  static void fill(unsigned char *data, const Tag &t);
  void hold(Tag &tag, const Request &x);
  void turn(uint64_t);
  Ticks quiet_until() const;
  Ticks now() const { return quiet_ ? now_ : agenda_.now(); }
  void tell_time();
  void wake(Ticks when);

  // Direct access.
  bool direct(uint32_t tag);
  DirectPage &direct_page(uint64_t page, uint32_t stream) {
    return direct_[(page ^ stream * 0x9e3779b1u) & (direct_.size() - 1)];
  }
  void ask_direct(const Tag &t, Payload &p);
  void withdrawn(uint64_t first, uint64_t last);

  // ATS.
  void look_up(uint32_t tag);
  void use(uint32_t tag, uint64_t address, unsigned shift, Ticks delay);
  void translate(uint32_t tag, Ticks delay);
  void send_translation(uint32_t i, Ticks delay);
  void send_translation_again(uint64_t i) { send_translation(static_cast<uint32_t>(i), 0); }
  void translation_done(uint32_t i, Payload &p, const Request &x);
  void answer(uint32_t tag, const struct ims_result &r, bool arrived, bool asked_to_write);
  uint32_t &bucket(uint64_t page, uint64_t id) {
    return buckets_[((page >> 12) * 0x9e3779b97f4a7c15ull ^ id * 0xff51afd7ed558ccdull) >> 32 & (buckets_.size() - 1)];
  }

  // PRI.
  void ask_page(uint32_t tag);
  void send_page(uint64_t group);
  void page_done(uint32_t group, const Request &x, bool ok);
  void responded(uint64_t word);

  // Messages.
  void message(unsigned from, Payload &p, sc_core::sc_time &t);
  Arrival message_arrives(unsigned from, Payload &p, Ticks *when);
  unsigned will_answer(unsigned from, Payload &p);
  bool handle(Payload &p, const MessageExtension *m, Ticks at, struct ims_cache_match *match);
  bool invalidate(Payload &p, const struct ims_ats_invalidation &inv, struct ims_cache_match *match);
  static bool uses(const Tag &t, const struct ims_cache_match &m);
  void settle(const Tag &t);
  void answer_invalidation(uint64_t i);
  void resume(const struct ims_resume &r, Ticks at);
  void resumed(uint64_t word);
  Function *function(uint32_t source);

  void append(List &list, uint32_t tag);
  uint32_t take_first(List &list);
  unsigned char *buffer(uint32_t tag) { return data_.data() + size_t{tag} * Pattern::PAGE; }

  const DeviceConfig config_;
  const std::vector<Stream> streams_;
  const std::unique_ptr<Pattern> pattern_;
  const bool lt_;
  Agenda &agenda_;
  PayloadPool<Request> pool_;

  std::vector<Tag> tags_;
  std::vector<unsigned char> data_; // a page for each tag
  uint32_t in_use_ = 0, busy_ = 0;  // tags with a DMA under way; and those that wait until theirs is due
  uint64_t taken_ = 0;              // accesses from the pattern
  std::vector<Access> ahead_;       // a few of those that are next
  size_t ahead_first_ = 0, ahead_count_ = 0;
  uint64_t sent_ = 0; // translated requests
  Ticks started_ = 0, due_ = 0;
  bool by_hand_ = false, finished_ = false, in_turn_ = false;
  Ticks turn_at_ = NEVER;
  Ticks quiet_ = 0, now_ = 0; // not 0: until then nobody else has anything to do, and now_ is ahead of the agenda
  Ends ends_;
  unsigned sending_ = 0; // within b_transport
  std::vector<struct ims_resume> early_;

  struct ims_cache atc_ = {};
  std::vector<uint64_t> ids_; // in the device TLB, of each stream
  std::vector<Translation> translation_;
  std::vector<uint32_t> free_translation_, buckets_;
  List blocked_; // tags that wait for a translation request to end
  std::vector<Group> group_;
  uint32_t groups_ = 0, next_group_ = 0;
  List page_blocked_;
  size_t waiting_ = 0;                     // tags in lists
  std::vector<Invalidation> invalidation_; // slots
  std::vector<uint32_t> free_invalidation_;
  size_t invalidations_waiting_ = 0;
  std::vector<Function> function_;    // by source
  std::vector<uint32_t> function_of_; // of each stream

  std::vector<DirectPage> direct_;

  DmaMapper *mapper_ = nullptr; // with map = stream
  uint64_t page_bytes_ = 0;     // that it maps with

  DeviceCounters count_;
  Ticks counted_from_ = 0, last_ = 0; // the end of the warm-up and of the last DMA that arrived
  uint64_t warmup_bytes_ = 0;
  Histogram latency_, dma_latency_;
  std::vector<Histogram> path_latency_;
  std::function<void()> on_finished_;
};

} // namespace ims::model
