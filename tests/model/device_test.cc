// SPDX-License-Identifier: Apache-2.0
// A device before a target that stands in for an IOMMU: it answers after a fixed time, and as the test says.
#include "model/device.h"
#include "model/simulation.h"

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <map>
#include <set>

using namespace ims::model;

namespace {

constexpr Ticks LATENCY = 500 * NS;

// Translates by adding 2^40, and has memory there that it lends directly.
class FakeIommu : public sc_core::sc_module {
public:
  static constexpr uint64_t OFFSET = 1ull << 40;

  explicit FakeIommu(sc_core::sc_module_name name)
      : sc_module(name), in("in", this, {&FakeIommu::b_transport, &FakeIommu::arrive, &FakeIommu::dmi}),
        message("message", this, {&FakeIommu::message_done}), agenda(Agenda::of_simulation()) {}

  ResponsePort<FakeIommu> in;
  RequestPort<FakeIommu> message;
  Agenda &agenda;
  PayloadPool<MessageExtension> pool;

  Ticks latency = LATENCY;
  uint8_t shift = 12;
  std::set<uint64_t> absent;    // pages without rights
  std::set<uint64_t> read_only; // pages
  std::set<uint64_t> refused;   // pages for which requests of any kind fault
  unsigned drops = 0;           // so many of the next requests are dropped
  bool stalls = false;          // loosely timed: the next request stalls
  bool lends = false;           // direct access
  std::vector<unsigned char> bytes = std::vector<unsigned char>(1 << 20, 0x5a);

  std::vector<DmaExtension> seen;
  std::vector<uint64_t> addresses;
  std::vector<ims_page_request> page_requests;
  unsigned most_under_way = 0, under_way = 0;

  void send(const MessageExtension &m) {
    Payload &p = pool.get();
    *p.get_extension<MessageExtension>() = m;
    set_payload(p, tlm::TLM_IGNORE_COMMAND, 0, nullptr, 0);
    message.send(p);
    p.release();
  }
  void invalidate(uint32_t source, uint64_t first, uint64_t last) {
    MessageExtension m;
    m.kind = MessageExtension::INVALIDATE;
    m.invalidate.source = source;
    m.invalidate.addr = first;
    m.invalidate.last = last;
    send(m);
  }
  void respond_page(const ims_page_request &r, uint8_t code) {
    MessageExtension m;
    m.kind = MessageExtension::PAGE_RESPONSE;
    m.response.source = r.source;
    m.response.pasid = r.pasid;
    m.response.has_pasid = r.has_pasid;
    m.response.group = r.group;
    m.response.code = code;
    send(m);
  }
  std::vector<std::pair<Ticks, tlm::tlm_response_status>> answered; // messages

private:
  void judge(Payload &p) {
    auto &x = *p.get_extension<DmaExtension>();
    uint64_t page = p.get_address() >> 12 << 12;
    if (x.type == IMS_TRANSLATED)
      page -= OFFSET;
    seen.push_back(x);
    addresses.push_back(p.get_address());
    p.set_response_status(tlm::TLM_OK_RESPONSE);
    x.result.status = IMS_STATUS_OK;
    if (drops) {
      drops--;
      x.dropped = true;
      p.set_response_status(tlm::TLM_GENERIC_ERROR_RESPONSE);
      return;
    }
    if (stalls) {
      stalls = false;
      x.result.status = IMS_STATUS_STALL;
      x.result.stag = 7;
      p.set_response_status(tlm::TLM_GENERIC_ERROR_RESPONSE);
      return;
    }
    if (refused.count(page)) {
      x.result.status = IMS_STATUS_FAULT;
      x.result.completion = IMS_CPL_UR;
      p.set_response_status(tlm::TLM_GENERIC_ERROR_RESPONSE);
      return;
    }
    if (x.type == IMS_PAGE_REQUEST)
      page_requests.push_back(x.page);
    if (x.type == IMS_TRANSLATION_REQUEST) {
      x.result.output = p.get_address() + OFFSET;
      x.result.shift = shift;
      x.result.untranslated_only = false;
      x.result.rights = absent.count(page)                    ? 0
                        : x.no_write || read_only.count(page) ? IMS_PERM_R
                                                              : IMS_PERM_R | IMS_PERM_W;
      if (absent.count(page)) {
        x.result.status = IMS_STATUS_FAULT;
        x.result.completion = IMS_CPL_R0;
      }
    }
    p.set_dmi_allowed(lends);
    uint64_t at = p.get_address() & (bytes.size() - 1);
    if (p.is_read())
      memcpy(p.get_data_ptr(), &bytes[at], p.get_data_length());
    else if (p.is_write())
      memcpy(&bytes[at], p.get_data_ptr(), p.get_data_length());
  }
  void b_transport(unsigned, Payload &p, sc_core::sc_time &t) {
    judge(p);
    t += to_sc(latency);
  }
  Arrival arrive(unsigned, Payload &p, Ticks *) {
    most_under_way = std::max(most_under_way, ++under_way);
    agenda.at<&FakeIommu::answer>(agenda.now() + latency, this, reinterpret_cast<uint64_t>(&p));
    return Arrival::TAKEN;
  }
  void answer(uint64_t w) {
    Payload &p = *reinterpret_cast<Payload *>(w);
    under_way--;
    judge(p);
    in.respond(0, p);
  }
  bool dmi(unsigned, Payload &p, tlm::tlm_dmi &d) {
    uint64_t page = p.get_address() >> 12 << 12;
    d.allow_read_write();
    d.set_start_address(page);
    d.set_end_address(page + 4095);
    d.set_dmi_ptr(&bytes[page & (bytes.size() - 1)]);
    d.set_read_latency(to_sc(latency));
    d.set_write_latency(to_sc(latency));
    return lends;
  }
  void message_done(Payload &p) { answered.push_back({agenda.now(), p.get_response_status()}); }
};

struct System {
  Simulation simulation;
  std::unique_ptr<FakeIommu> iommu = std::make_unique<FakeIommu>("iommu");
  std::unique_ptr<Device> device;

  System(const DeviceConfig &config, Timing timing, std::vector<Stream> streams = one_stream(),
         std::unique_ptr<Pattern> pattern = nullptr) {
    if (!pattern)
      pattern = make_pattern(config.pattern_config(), streams);
    device = std::make_unique<Device>("device", config, streams, std::move(pattern), timing);
    device->port.socket.bind(iommu->in.socket);
    iommu->message.socket.bind(device->messages.socket);
  }
  ~System() {
    device.reset();
    iommu.reset();
  }
  static std::vector<Stream> one_stream() { return {{0x100, 0, false, 0x10000000, 1 << 20}}; }

  const DeviceCounters &count() const { return device->counters(); }

  // What has to hold whenever nothing is under way.
  void expect_released() const {
    Device::Occupancy o = device->occupancy();
    EXPECT_EQ(o.tags, 0u);
    EXPECT_EQ(o.translations, 0u);
    EXPECT_EQ(o.page_requests, 0u);
    EXPECT_EQ(o.waiting, 0u);
    EXPECT_EQ(o.invalidations, 0u);
    EXPECT_EQ(o.payloads, 0u);
    EXPECT_EQ(count().issued, count().done + count().failed);
    EXPECT_EQ(count().failed, count().refused + count().no_rights + count().no_memory);
  }
};

DeviceConfig dmas(uint32_t count, uint32_t tags) {
  DeviceConfig c;
  c.count = count;
  c.tags = tags;
  return c;
}

class BothTimings : public testing::TestWithParam<Timing> {};
INSTANTIATE_TEST_SUITE_P(Device, BothTimings, testing::Values(Timing::LT, Timing::AT),
                         [](const auto &p) { return p.param == Timing::LT ? "LooselyTimed" : "ApproximatelyTimed"; });

TEST_P(BothTimings, OneTagDoesOneDmaEachLatency) {
  System s(dmas(100, 1), GetParam());
  s.simulation.run();
  EXPECT_EQ(s.count().done, 100u);
  EXPECT_EQ(s.device->counted().to - s.device->counted().from, 100 * LATENCY);
  EXPECT_EQ(s.device->latency().min(), LATENCY);
  EXPECT_EQ(s.device->latency().max(), LATENCY);
  EXPECT_EQ(s.count().bytes_read, 6400u);
  s.expect_released();
}

TEST_P(BothTimings, ThroughputIsTagsOverLatency) {
  for (uint32_t tags : {1, 7, 32}) {
    DeviceConfig c = dmas(20000, tags);
    c.warmup = 1000;
    System s(c, GetParam());
    s.simulation.run();
    const Device::Counted &n = s.device->counted();
    EXPECT_EQ(n.dmas, 19000u);
    double expected = static_cast<double>(tags) / LATENCY;
    EXPECT_NEAR(static_cast<double>(n.dmas) / static_cast<double>(n.to - n.from), expected, expected * 0.02);
    s.expect_released();
  }
}

} // namespace
