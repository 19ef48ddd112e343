// SPDX-License-Identifier: Apache-2.0
// The inside of the Iommu module, for the iommu_*.cc files.
//
//   iommu.cc         put together; sockets that need little; statistics
//   iommu_steps.cc   what a step costs, and how memory is asked
//   iommu_lt.cc      loosely timed: a request from beginning to end in one call
//   iommu_at.cc      approximately timed: requests in flight, walkers, merging, order
//   iommu_queue.cc   the invalidation or command queue in time; messages to devices
//   iommu_direct.cc  DMI and debug transport
//   iommu_counters.cc  counters by hardware's names
//   prefetch.cc      what to translate ahead
#pragma once

#include "model/iommu.h"
#include "model/prefetch.h"
#include "model/slots.h"

#include <deque>
#include <map>
#include <queue>
#include <set>
#include <tuple>
#include <unordered_map>

namespace ims::model {

// Structures whose look-ups share latency and slots. A stage's paging-structure caches are looked up at once.
enum LookUp : uint8_t {
  LOOK_CONTEXT,
  LOOK_PASID,
  LOOK_IOTLB,
  LOOK_NESTED,
  LOOK_PSC1,
  LOOK_PSC2,
  LOOK_COUNT,
  LOOK_NONE
};
LookUp look_up_of(unsigned cache);

// A request in flight, approximately timed; or a translation ahead (no payload).
struct Flight {
  ims_request request;
  ims_result result;
  ims_xlate xlate;
  Payload *payload = nullptr;
  DmaExtension *extension = nullptr;
  unsigned from = 0;
  uint64_t number = 0, address = 0; // in the order of arrival; the payload's own address
  uint64_t place = 0;               // in the window, where `drains`
  Ticks arrived = 0, asked_at = 0, walking_since = 0;
  ims_step_kind asked = IMS_STEP_DONE;
  LookUp last_look = LOOK_NONE; // a look-up of the same structures goes on
  unsigned walker = 0;
  bool has_walker = false, missed = false, prefetch = false, leads = false, ready = false, drains = false;
  bool forwarded = false, resumed = false;
  uint8_t resumption = 0;             // enum ims_resume_action, once a stall has ended
  sc_core::sc_event *wakes = nullptr; // the thread that waits for that, loosely timed
  std::vector<Flight *> followers;    // wait for this walk
  Payload *walk_payload = nullptr;    // of the transaction under way
};

// A walk's transaction knows its flight.
struct FlightWalk : WalkExtension {
  Flight *flight = nullptr;
};

// Numbers of requests that are under way, handed out in order: which is the oldest?
class Window {
public:
  uint64_t open() {
    live_.push_back(true);
    count_++;
    return first_ + live_.size() - 1;
  }
  void close(uint64_t place) {
    live_[place - first_] = false;
    count_--;
    while (!live_.empty() && !live_.front()) {
      live_.pop_front();
      first_++;
    }
  }
  uint64_t oldest() const { return first_; } // the next number when none is open
  uint64_t next() const { return first_ + live_.size(); }
  size_t count() const { return count_; }

private:
  std::deque<bool> live_;
  uint64_t first_ = 0;
  size_t count_ = 0;
};

struct StreamKey {
  uint64_t who;  // source, PASID
  uint64_t page; // of 4 KB
  bool operator==(const StreamKey &o) const { return who == o.who && page == o.page; }
};
struct StreamHash {
  size_t operator()(const StreamKey &k) const {
    return static_cast<size_t>((k.page ^ k.who * 0x9e3779b97f4a7c15ull) * 0xff51afd7ed558ccdull >> 7);
  }
};

class IommuImpl {
public:
  // An empty `make`: a unit will be attached.
  IommuImpl(Iommu &module, const Iommu::MakeUnit &make, const IommuConfig &config);
  ~IommuImpl();
  void attach(ims_iommu *unit);

  // Sockets.
  void device_b_transport(unsigned from, Payload &p, sc_core::sc_time &t);
  Arrival device_arrive(unsigned from, Payload &p, Ticks *when);
  bool device_dmi(unsigned from, Payload &p, tlm::tlm_dmi &dmi);
  unsigned device_debug(unsigned from, Payload &p);
  void register_b_transport(unsigned from, Payload &p, sc_core::sc_time &t);
  Arrival register_arrive(unsigned from, Payload &p, Ticks *when);
  unsigned register_debug(unsigned from, Payload &p);
  void memory_done(Payload &p);
  void memory_withdrawn(uint64_t first, uint64_t last);
  void interrupt_done(Payload &p);
  void message_done(Payload &p);

  // The unit's bus.
  static void bus_message(void *self, uint64_t addr, uint32_t data);
  static bool bus_ats_invalidate(void *self, const ims_ats_invalidation *inv);
  static void bus_page_response(void *self, const ims_page_response *response);
  static void bus_resume(void *self, const ims_resume *resume);
  static void bus_invalidated(void *self);

  // Steps.
  static void take_request(const Payload &p, const DmaExtension *e, ims_request *r);
  Ticks look_up_cost(ims_xlate &x, LookUp *last);
  void count_read(const ims_step &s);
  void prepare_walk(Payload &p, WalkExtension &w, ims_xlate &x, ims_step_kind kind);
  bool take_answer(Payload &p, const WalkExtension &w, ims_xlate &x, ims_step_kind kind); // false: a store must follow
  static tlm::tlm_response_status refusal(const ims_result &r);
  static void zero(Payload &p);
  Ticks cost_of_answer(const ims_xlate &x, Ticks cost) const;
  void count_result(const ims_request &r, const ims_result &res, bool missed, Ticks latency);

  // Loosely timed.
  bool translate_lt(const ims_request &r, ims_result *res, sc_core::sc_time &t, uint64_t number);
  bool read_direct(ims_xlate &x, sc_core::sc_time &t);
  void walk_lt(ims_xlate &x, ims_step_kind kind, sc_core::sc_time &t);

  // Approximately timed.
  Flight &new_flight();
  void free_flight(Flight &f);
  void admit(unsigned from, Payload &p);
  void begin(uint64_t flight);
  void advance(Flight &f);
  void looked_up(uint64_t flight);
  bool answer_look_up(Flight &f);
  bool has_first_level() const { return unit_->caches >> IMS_CACHE_UTLB & 1; }
  void go_on(uint64_t flight);
  bool miss(Flight &f);
  void grant_walker(Flight &f);
  void walk(uint64_t flight);
  void send_walk(uint64_t flight);
  void walked(Flight &f, Payload &p);
  void complete(Flight &f);
  void end_walk(Flight &f);
  void hold(Flight &f);
  void make_ready(Flight &f);
  void release_ready(Flight &f);
  void let_go(uint64_t key, Ticks when);
  void leave(uint64_t flight);
  void finish(Flight &f);
  void from_door();
  void serve_page_request(uint64_t payload);
  void resume(const ims_resume &r);
  void tell_state();

  // Ahead.
  void think_ahead(const ims_request &r, const ims_result &res, bool missed, Ticks when);
  void prefetch(const ims_request &r, Ticks when);
  void give_up(Flight &f);
  void end_ahead(Flight &f);

  // Queue.
  void kick_queue();
  void fetch_descriptor(uint64_t);
  void descriptor_here(Payload &p);
  void descriptor_executed(uint64_t);
  void try_wait();
  Payload &new_message(MessageExtension::Kind kind);

  // Direct.
  bool look(const ims_request &r, ims_result *res);
  bool debug(tlm::tlm_command command, uint64_t hpa, void *data, size_t length);

  void access_register(Payload &p);
  void collect(StatisticSink &sink) const;
  void collect_hardware(StatisticSink &sink) const;

  Iommu &module_;
  IommuConfig config_;
  Agenda &agenda_;
  bool owns_; // the unit
  ims_iommu *unit_ = nullptr;
  IommuObserver *observer_ = nullptr;
  IommuCounters count_;
  Histogram latency_hit_, latency_miss_;        // of translations: arrival until they are ready to leave
  Histogram reads_;                             // of a walk
  uint64_t reads_by_[IMS_STRUCT_COUNT][8] = {}; // by structure and level
  std::map<unsigned, uint64_t> faults_;         // by the architecture's code
  // For counters by hardware's names: reads of the queue, page requests taken, ATS.
  uint64_t queue_reads_ = 0, pages_taken_ = 0, ats_requests_ = 0, ats_passed_ = 0;
  struct By {
    uint64_t requests = 0, misses = 0, faults = 0, latency_ps = 0;
  };
  std::map<uint32_t, By> source_;
  std::map<std::pair<uint32_t, uint32_t>, By> pasid_;

  ResponsePort<IommuImpl> device_;
  ResponsePort<IommuImpl, sc_core::SC_ZERO_OR_MORE_BOUND> registers_;
  RequestPort<IommuImpl> memory_;
  RequestPort<IommuImpl, sc_core::SC_ZERO_OR_MORE_BOUND> interrupt_, message_;

  Ticks look_cost_[LOOK_COUNT] = {}, first_level_cost_ = 0;

  // Loosely timed.
  Payload *lt_walk_ = nullptr;
  FlightWalk *lt_extension_ = nullptr;

  tlm::tlm_dmi direct_; // memory that walks read directly, or none
  bool direct_valid_ = false;

  uint64_t numbers_ = 0, numbers_ahead_ = 0; // given so far: to requests, and to translations ahead

  // Approximately timed.
  std::deque<Flight> flights_;
  std::vector<Flight *> free_flights_;
  Slots<Flight> look_slots_[LOOK_COUNT], walkers_;
  size_t pending_ = 0, stalled_count_ = 0, prefetching_ = 0, merged_ = 0;
  std::priority_queue<unsigned, std::vector<unsigned>, std::greater<>> free_walkers_;
  unsigned next_walker_ = 0;
  std::deque<std::pair<unsigned, Payload *>> door_;
  Window window_; // of requests, until their DMA is done; stalled ones left out
  std::unordered_map<StreamKey, Flight *, StreamHash> walking_; // looked up only, never gone through
  std::set<uint64_t> misses_;                                   // numbers under way (hit_under_miss off)
  std::map<uint64_t, Flight *> hits_waiting_;
  std::unordered_map<uint64_t, std::deque<Flight *>> order_; // by stream; looked up only
  std::map<std::pair<uint32_t, uint16_t>, Flight *> stalled_;
  PayloadPool<FlightWalk> walk_payloads_;
  PayloadPool<WalkExtension> fetch_payloads_;
  PayloadPool<MessageExtension> message_payloads_;
  PayloadPool<WalkExtension> interrupt_payloads_;
  std::unordered_map<const Payload *, Flight *> forwarded_; // those without a DmaExtension; looked up only
  std::map<const Payload *, unsigned> page_requests_;       // under way: from where

  Prefetcher prefetcher_;
  std::vector<ims_request> ahead_;

  // Queue.
  bool hold_queue_ = true, queue_busy_ = false, queue_waits_ = false;
  ims_queue_item item_ = {};
  uint64_t fetched_[8] = {};
  Ticks item_began_ = 0, device_silent_until_ = 0;
  uint64_t wait_for_ = 0; // requests with a smaller number have to be over
  size_t messages_ = 0;   // invalidations that devices have not answered

  // Direct.
  bool refuse_dmi_ = false, dmi_out_ = false;
};

} // namespace ims::model
