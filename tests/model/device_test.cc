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
    sent++;
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
  unsigned sent = 0; // messages
  std::vector<std::pair<Ticks, tlm::tlm_response_status>> answered;

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
    const Device::Counted n = s.device->counted();
    EXPECT_EQ(n.dmas, 19000u);
    double expected = static_cast<double>(tags) / LATENCY;
    EXPECT_NEAR(static_cast<double>(n.dmas) / static_cast<double>(n.to - n.from), expected, expected * 0.02);
    s.expect_released();
  }
}

TEST_P(BothTimings, NoMoreThanItsTagsAreUnderWay) {
  System s(dmas(1000, 9), Timing::AT);
  s.simulation.run();
  EXPECT_EQ(s.iommu->most_under_way, 9u);
}

TEST_P(BothTimings, OpenLoopSendsAtItsRate) {
  DeviceConfig c = dmas(1000, 64);
  c.gap_ns = 20 * NS; // 25 under way
  System s(c, GetParam());
  s.simulation.run();
  EXPECT_EQ(s.count().late, 0u);
  EXPECT_EQ(s.device->counted().to - s.device->counted().from, 999 * 20 * NS + LATENCY);
  EXPECT_EQ(s.device->latency().max(), LATENCY);
}

TEST_P(BothTimings, OpenLoopWaitsForATagAndCatchesUp) {
  DeviceConfig c = dmas(1000, 5); // 5 in 500 ns, not 25
  c.gap_ns = 20 * NS;
  System s(c, GetParam());
  s.simulation.run();
  EXPECT_EQ(s.count().late, 995u);
  EXPECT_EQ(s.device->latency().max(), LATENCY); // from issue, not from when it was due
  // Tag k begins at k * gap and does 200 DMAs one behind the other.
  EXPECT_EQ(s.device->counted().to, 4 * 20 * NS + 200 * LATENCY);
}

TEST_P(BothTimings, ATraceWithTimesIsFollowed) {
  DeviceConfig c = dmas(0, 4);
  auto streams = System::one_stream();
  auto pattern = parse_trace("time_ns\tstream\tiova\tbytes\taccess\n"
                             "100\t0\t0x10000000\t64\tr\n"
                             "250.5\t0\t0x10001040\t128\tw\n",
                             "list.tsv", streams);
  System s(c, GetParam(), streams, std::move(pattern));
  s.simulation.run();
  ASSERT_EQ(s.count().done, 2u);
  EXPECT_EQ(s.iommu->addresses, (std::vector<uint64_t>{0x10000000, 0x10001040}));
  EXPECT_EQ(s.iommu->seen[0].issued, 100 * NS);
  EXPECT_EQ(s.iommu->seen[1].issued, 250500u);
  EXPECT_EQ(s.device->counted().to, 250500 + LATENCY);
  EXPECT_EQ(s.count().bytes_read, 64u);
  EXPECT_EQ(s.count().bytes_written, 128u);
}

TEST_P(BothTimings, OnlyOneLinkOfAChainIsUnderWay) {
  DeviceConfig c = dmas(300, 32);
  c.pattern = PATTERN_CHASE;
  c.chains = 3;
  System s(c, GetParam());
  s.simulation.run();
  EXPECT_EQ(s.count().done, 300u);
  EXPECT_EQ(s.device->counted().to, 100 * LATENCY);
}

TEST_P(BothTimings, TheEndIsToldOnce) {
  System s(dmas(10, 3), GetParam());
  unsigned told = 0;
  s.device->on_finished([&] { told++; });
  EXPECT_FALSE(s.device->finished());
  s.simulation.run();
  EXPECT_TRUE(s.device->finished());
  EXPECT_EQ(told, 1u);
}

TEST_P(BothTimings, RequestsSayWhoAsks) {
  std::vector<Stream> streams = {{0x100, 5, true, 0x10000000, 4096}, {0x200, 0, false, 0x20000000, 4096}};
  System s(dmas(4, 1), GetParam(), streams);
  s.simulation.run();
  ASSERT_EQ(s.iommu->seen.size(), 4u);
  for (unsigned i = 0; i < 4; i++) {
    EXPECT_EQ(s.iommu->seen[i].source, i % 2 ? 0x200u : 0x100u);
    EXPECT_EQ(s.iommu->seen[i].has_pasid, i % 2 == 0);
    EXPECT_EQ(s.iommu->seen[i].pasid, i % 2 ? 0u : 5u);
    EXPECT_EQ(s.iommu->addresses[i] >> 28, i % 2 ? 2u : 1u);
  }
}

TEST_P(BothTimings, WritesCarryTheAddressTheyAreMeantFor) {
  DeviceConfig c = dmas(64, 4);
  c.read_percent = 0;
  c.pattern = PATTERN_STRIDE;
  c.stride = 64;
  System s(c, GetParam());
  s.simulation.run();
  for (uint64_t at = 0; at < 4096; at += 8) {
    uint64_t word;
    memcpy(&word, &s.iommu->bytes[at], 8);
    EXPECT_EQ(word, 0x10000000 + at);
  }
  EXPECT_EQ(s.iommu->bytes[4096], 0x5a);
  EXPECT_EQ(s.count().bytes_written, 4096u);
}

TEST_P(BothTimings, WithoutDataOnlyTimeIsTaken) {
  DeviceConfig c = dmas(64, 4);
  c.read_percent = 0;
  c.data = 0;
  System s(c, GetParam());
  s.simulation.run();
  for (const DmaExtension &x : s.iommu->seen) {
    EXPECT_EQ(x.bytes, 64u);
    EXPECT_EQ(x.access, IMS_ACC_W);
  }
  EXPECT_EQ(s.iommu->bytes, std::vector<unsigned char>(1 << 20, 0x5a));
  EXPECT_EQ(s.count().bytes_written, 4096u);
}

TEST_P(BothTimings, RefusedDmasFailAndFreeTheirTags) {
  DeviceConfig c = dmas(512, 8);
  c.pattern = PATTERN_STRIDE; // every page of the stream twice
  System s(c, GetParam());
  s.iommu->refused = {0x10000000, 0x10003000};
  s.simulation.run();
  EXPECT_EQ(s.count().refused, 4u);
  EXPECT_EQ(s.count().done, 508u);
  EXPECT_EQ(s.device->latency().count(), 508u);
  s.expect_released();
}

TEST_P(BothTimings, DroppedRequestsAreSentAgain) {
  DeviceConfig c = dmas(10, 1);
  c.retry_ns = 70 * NS;
  System s(c, GetParam());
  s.iommu->drops = 3;
  s.simulation.run();
  EXPECT_EQ(s.count().retried, 3u);
  EXPECT_EQ(s.count().done, 10u);
  EXPECT_EQ(s.device->latency().max(), 4 * LATENCY + 3 * 70 * NS);
  s.expect_released();
}

TEST(Device, AStallThatReturnsWaitsForItsEnd) {
  for (auto action : {IMS_RESUME_RETRY, IMS_RESUME_ABORT, IMS_RESUME_ZERO}) {
    System s(dmas(1, 1), Timing::LT);
    s.iommu->stalls = true;
    s.simulation.run();
    EXPECT_EQ(s.count().stalls, 1u);
    EXPECT_EQ(s.device->occupancy().tags, 1u);
    MessageExtension m;
    m.kind = MessageExtension::RESUME;
    m.resume.source = 0x100;
    m.resume.stag = 6;
    m.resume.action = static_cast<uint8_t>(action);
    s.iommu->send(m); // another one's
    s.simulation.run();
    EXPECT_EQ(s.device->occupancy().tags, 1u);
    m.resume.stag = 7;
    s.iommu->send(m);
    s.simulation.run();
    EXPECT_EQ(s.count().resumed, 1u);
    EXPECT_EQ(s.count().done, action == IMS_RESUME_ABORT ? 0u : 1u);
    EXPECT_EQ(s.count().refused, action == IMS_RESUME_ABORT ? 1u : 0u);
    EXPECT_EQ(s.count().zeroed, action == IMS_RESUME_ZERO ? 1u : 0u);
    EXPECT_EQ(s.iommu->seen.size(), action == IMS_RESUME_RETRY ? 2u : 1u);
    s.expect_released();
  }
}

// Direct access.

TEST(Device, DirectAccessTakesTheSameTimeAndMovesTheData) {
  DeviceConfig c = dmas(4000, 8);
  c.dmi = 1;
  c.read_percent = 50;
  System direct(c, Timing::LT);
  direct.iommu->lends = true;
  direct.simulation.run();
  Ticks end = direct.device->counted().to;
  std::vector<unsigned char> bytes = direct.iommu->bytes;
  EXPECT_GT(direct.count().dmi_hits, 3000u);
  EXPECT_EQ(direct.count().dmi_hits + direct.iommu->seen.size(), 4000u);
  EXPECT_EQ(direct.device->latency().count(), 4000u);
  EXPECT_EQ(direct.device->latency().max(), LATENCY);
  direct.expect_released();

  c.dmi = 0;
  System plain(c, Timing::LT);
  plain.simulation.run();
  EXPECT_EQ(plain.device->counted().to, end);
  EXPECT_EQ(plain.iommu->bytes, bytes);
  EXPECT_EQ(plain.count().bytes_written, direct.count().bytes_written);
}

TEST(Device, DirectAccessEndsWhenItIsWithdrawn) {
  DeviceConfig c = dmas(400, 1);
  c.dmi = 1;
  c.window_kib = 8;
  System s(c, Timing::LT);
  s.iommu->lends = true;
  s.simulation.run(100 * LATENCY);
  EXPECT_EQ(s.count().dmi_granted, 2u);
  EXPECT_EQ(s.iommu->seen.size(), 2u);
  s.iommu->in.withdraw(0x10001000, 0x10001fff);
  s.iommu->lends = false;
  s.simulation.run();
  EXPECT_EQ(s.count().dmi_withdrawn, 1u);
  EXPECT_EQ(s.count().done, 400u);
  EXPECT_GT(s.iommu->seen.size(), 100u);
  for (size_t i = 2; i < s.iommu->addresses.size(); i++)
    EXPECT_EQ(s.iommu->addresses[i] >> 12, 0x10001u);
}

// ATS.

DeviceConfig with_ats(uint32_t count, uint32_t tags) {
  DeviceConfig c = dmas(count, tags);
  c.ats = 1;
  c.pattern = PATTERN_STRIDE;
  c.stride = 64;
  c.atc_ns = 3 * NS;
  return c;
}

TEST_P(BothTimings, AMissAsksAndAHitDoesNot) {
  System s(with_ats(128, 1), GetParam()); // two pages
  s.simulation.run();
  EXPECT_EQ(s.count().atc_misses, 2u);
  EXPECT_EQ(s.count().atc_hits, 126u);
  EXPECT_EQ(s.count().translation_requests, 2u);
  EXPECT_EQ(s.count().translated, 128u);
  EXPECT_EQ(s.count().untranslated, 0u);
  EXPECT_EQ(s.device->latency(Device::ATC_HIT).max(), LATENCY + 3 * NS);
  EXPECT_EQ(s.device->latency(Device::ATC_HIT).count(), 126u);
  EXPECT_EQ(s.device->latency(Device::ATC_MISS).min(), 2 * LATENCY + 3 * NS);
  EXPECT_EQ(s.device->latency(Device::ATC_MISS).count(), 2u);
  ASSERT_EQ(s.iommu->seen.size(), 130u);
  EXPECT_EQ(s.iommu->seen[0].type, IMS_TRANSLATION_REQUEST);
  EXPECT_TRUE(s.iommu->seen[0].no_write);
  EXPECT_EQ(s.iommu->seen[1].type, IMS_TRANSLATED);
  EXPECT_EQ(s.iommu->addresses[1], 0x10000000 + FakeIommu::OFFSET);
  EXPECT_EQ(s.iommu->addresses[2], 0x10000040 + FakeIommu::OFFSET);
  s.expect_released();
}

TEST_P(BothTimings, DmasToOnePageWaitForOneRequest) {
  System s(with_ats(64, 16), GetParam());
  s.simulation.run();
  EXPECT_EQ(s.count().translation_requests, 1u);
  EXPECT_EQ(s.count().atc_misses, 16u);
  EXPECT_EQ(s.count().atc_merged, 15u);
  EXPECT_EQ(s.count().done, 64u);
  s.expect_released();
}

TEST_P(BothTimings, TranslationRequestsAreLimited) {
  DeviceConfig c = with_ats(256, 16);
  c.stride = 4096;
  c.translations = 4;
  c.atc_entries = 0;
  System s(c, GetParam());
  s.simulation.run();
  EXPECT_EQ(s.count().atc_waited, 256u - 4u);
  EXPECT_EQ(s.count().translation_requests, 256u);
  // Four at a time; the last of them is followed by its DMA.
  EXPECT_EQ(s.device->counted().to, 64 * (LATENCY + 3 * NS) + LATENCY);
  s.expect_released();
}

TEST_P(BothTimings, AWriterAsksAgainWhereAReaderDidNotAskToWrite) {
  DeviceConfig c = dmas(0, 2);
  c.ats = 1;
  auto streams = System::one_stream();
  auto pattern = parse_trace("stream\tiova\tbytes\taccess\n"
                             "0\t0x10000000\t64\tr\n"
                             "0\t0x10000040\t64\tw\n",
                             "list.tsv", streams);
  System s(c, GetParam(), streams, std::move(pattern));
  s.simulation.run();
  EXPECT_EQ(s.count().translation_requests, 2u);
  EXPECT_EQ(s.count().done, 2u);
  s.expect_released();
}

TEST_P(BothTimings, WithoutRightsAndPageRequestsTheDmaFails) {
  System s(with_ats(128, 4), GetParam());
  s.iommu->absent = {0x10001000};
  s.simulation.run();
  EXPECT_EQ(s.count().no_rights, 64u);
  EXPECT_EQ(s.count().done, 64u);
  s.expect_released();
}

TEST_P(BothTimings, ARefusedTranslationRefusesTheDma) {
  System s(with_ats(128, 4), GetParam());
  s.iommu->refused = {0x10001000};
  s.simulation.run();
  EXPECT_EQ(s.count().refused, 64u);
  s.expect_released();
}

TEST_P(BothTimings, DroppedTranslationRequestsAreSentAgain) {
  System s(with_ats(64, 4), GetParam());
  s.iommu->drops = 2;
  s.simulation.run();
  EXPECT_EQ(s.count().retried, 2u);
  EXPECT_EQ(s.count().translation_requests, 3u);
  EXPECT_EQ(s.count().done, 64u);
  s.expect_released();
}

TEST_P(BothTimings, FunctionsShareTheDeviceTlbAndAreKeptApart) {
  DeviceConfig c = with_ats(64, 1);
  std::vector<Stream> streams = {{0x100, 1, true, 0x10000000, 4096},
                                 {0x101, 1, true, 0x10000000, 4096},
                                 {0x100, 2, true, 0x10000000, 4096},
                                 {0x100, 0, false, 0x10000000, 4096}};
  System s(c, GetParam(), streams);
  s.simulation.run();
  EXPECT_EQ(s.count().atc_misses, 4u);
  EXPECT_EQ(s.count().atc_fills, 4u);
  EXPECT_EQ(s.count().atc_hits, 60u);

  MessageExtension m;
  m.kind = MessageExtension::INVALIDATE;
  m.invalidate.source = 0x100;
  m.invalidate.all_pasids = true;
  m.invalidate.last = ~0ull;
  s.iommu->send(m);
  s.simulation.run();
  EXPECT_EQ(s.count().invalidated, 2u); // those of 0x100 with a PASID
  s.iommu->invalidate(0x100, 0, ~0ull);
  s.simulation.run();
  EXPECT_EQ(s.count().invalidated, 3u); // that without
}

// Invalidations.

TEST_P(BothTimings, AnInvalidationDropsWhatIsCached) {
  DeviceConfig c = with_ats(3, 1);
  c.gap_ns = 2000 * NS; // at 0, 2000, 4000
  System s(c, GetParam());
  struct At {
    System *s;
    void now(uint64_t page) { s->iommu->invalidate(0x100, page, page | 4095); }
  } at{&s};
  s.iommu->agenda.at<&At::now>(1500 * NS, &at, 0x10001000);
  s.iommu->agenda.at<&At::now>(3500 * NS, &at, 0x10000000);
  s.simulation.run();
  EXPECT_EQ(s.count().invalidations, 2u);
  EXPECT_EQ(s.count().invalidated, 1u);
  EXPECT_EQ(s.count().invalidations_waited, 0u);
  EXPECT_EQ(s.count().atc_misses, 2u);
  ASSERT_EQ(s.iommu->answered.size(), 2u);
  EXPECT_EQ(s.iommu->answered[0], std::make_pair(1510 * NS, tlm::TLM_OK_RESPONSE));
  EXPECT_EQ(s.iommu->answered[1], std::make_pair(3510 * NS, tlm::TLM_OK_RESPONSE));
}

TEST_P(BothTimings, AnInvalidationIsAnsweredWhenNothingUsesWhatItDropped) {
  System s(with_ats(1, 1), GetParam()); // asks at 3 ns, uses from 503 to 1003 ns
  struct At {
    System *s;
    void now(uint64_t page) { s->iommu->invalidate(0x100, page, page | 4095); }
  } at{&s};
  s.iommu->agenda.at<&At::now>(700 * NS, &at, 0x10000000);
  s.iommu->agenda.at<&At::now>(701 * NS, &at, 0x10001000); // nobody's
  s.simulation.run();
  EXPECT_EQ(s.count().invalidations_waited, 1u);
  ASSERT_EQ(s.iommu->answered.size(), 2u);
  EXPECT_EQ(s.iommu->answered[0].first, 711 * NS);
  EXPECT_EQ(s.iommu->answered[1].first, 1013 * NS);
  s.expect_released();
}

TEST_P(BothTimings, AnAnswerThatAnInvalidationOvertookIsNotKept) {
  System s(with_ats(1, 1), GetParam());
  struct At {
    System *s;
    void now(uint64_t page) { s->iommu->invalidate(0x100, page, page | 4095); }
  } at{&s};
  s.iommu->agenda.at<&At::now>(400 * NS, &at, 0x10000000);
  s.simulation.run();
  EXPECT_EQ(s.iommu->answered.at(0).first, 410 * NS); // nothing uses it yet
  EXPECT_EQ(s.count().atc_discarded, 1u);
  EXPECT_EQ(s.count().atc_fills, 1u);
  EXPECT_EQ(s.count().translation_requests, 2u);
  EXPECT_EQ(s.device->latency().max(), 3 * LATENCY + 3 * NS);
  s.expect_released();
}

TEST_P(BothTimings, AnAnswerForALargePageIsOvertakenByAnyOfItsPages) {
  System s(with_ats(1, 1), GetParam());
  s.iommu->shift = 21;
  struct At {
    System *s;
    void now(uint64_t page) { s->iommu->invalidate(0x100, page, page | 4095); }
  } at{&s};
  s.iommu->agenda.at<&At::now>(400 * NS, &at, 0x10042000);
  s.simulation.run();
  EXPECT_EQ(s.count().atc_discarded, 1u);
}

TEST_P(BothTimings, ABrokenDeviceAnswersNoInvalidation) {
  DeviceConfig c = with_ats(1, 1);
  c.ignore_invalidations = 1;
  System s(c, GetParam());
  s.simulation.run();
  s.iommu->invalidate(0x100, 0, ~0ull);
  s.simulation.run();
  EXPECT_EQ(s.count().invalidated, 0u);
  EXPECT_EQ(s.iommu->answered.at(0).second, tlm::TLM_GENERIC_ERROR_RESPONSE);
}

TEST_P(BothTimings, AnInvalidationForAnotherFunctionIsRefused) {
  System s(with_ats(1, 1), GetParam());
  s.simulation.run();
  s.iommu->invalidate(0x999, 0, ~0ull);
  s.simulation.run();
  EXPECT_EQ(s.iommu->answered.at(0).second, tlm::TLM_ADDRESS_ERROR_RESPONSE);
}

// Page requests.

// Answers page requests after a time, and makes the page present when the answer is success.
struct Pager {
  System *s;
  uint8_t code = 0;
  bool brings = true;
  size_t seen = 0;
  void look(uint64_t) {
    for (; seen < s->iommu->page_requests.size(); seen++) {
      const ims_page_request &r = s->iommu->page_requests[seen];
      if (code == 0 && brings)
        s->iommu->absent.erase(r.addr);
      s->iommu->respond_page(r, code);
    }
    if (!s->device->finished())
      s->iommu->agenda.at<&Pager::look>(s->iommu->agenda.now() + 5 * US, this);
  }
};

DeviceConfig with_pri(uint32_t count, uint32_t tags) {
  DeviceConfig c = with_ats(count, tags);
  c.pri = 1;
  return c;
}

TEST_P(BothTimings, APageThatIsAskedForBringsTheDmaThrough) {
  System s(with_pri(192, 8), GetParam());
  s.iommu->absent = {0x10000000, 0x10002000};
  Pager pager{&s};
  s.iommu->agenda.at<&Pager::look>(5 * US, &pager);
  s.simulation.run();
  EXPECT_EQ(s.count().done, 192u);
  EXPECT_EQ(s.count().page_requests, 2u);
  EXPECT_EQ(s.count().page_success, 2u);
  EXPECT_EQ(s.count().page_merged, 14u);
  EXPECT_EQ(s.device->latency(Device::PAGED).count(), 16u);
  ASSERT_EQ(s.iommu->page_requests.size(), 2u);
  const ims_page_request &r = s.iommu->page_requests[0];
  EXPECT_EQ(r.addr, 0x10000000u);
  EXPECT_EQ(r.source, 0x100u);
  EXPECT_TRUE(r.last);
  EXPECT_TRUE(r.read);
  EXPECT_FALSE(r.write);
  s.expect_released();
}

TEST_P(BothTimings, AnInvalidPageFailsTheDma) {
  System s(with_pri(192, 8), GetParam());
  s.iommu->absent = {0x10001000};
  Pager pager{&s, 1};
  s.iommu->agenda.at<&Pager::look>(5 * US, &pager);
  s.simulation.run();
  EXPECT_EQ(s.count().no_rights, 64u);
  EXPECT_EQ(s.count().done, 128u);
  EXPECT_GT(s.count().page_invalid, 1u); // it goes on asking
  EXPECT_EQ(s.count().page_invalid, s.count().page_requests);
  s.expect_released();
}

TEST_P(BothTimings, AfterAResponseFailureTheFunctionAsksNoMore) {
  DeviceConfig c = with_pri(256, 8);
  std::vector<Stream> streams = {{0x100, 1, true, 0x10000000, 8192}, {0x101, 1, true, 0x20000000, 8192}};
  System s(c, GetParam(), streams);
  s.iommu->absent = {0x10000000, 0x10001000};
  Pager pager{&s, 15};
  s.iommu->agenda.at<&Pager::look>(5 * US, &pager);
  s.simulation.run();
  EXPECT_EQ(s.count().page_failure, 1u);
  EXPECT_EQ(s.count().page_requests, 1u);
  EXPECT_EQ(s.count().no_rights, 128u);
  EXPECT_EQ(s.count().done, 128u);
  s.expect_released();
}

TEST_P(BothTimings, PageRequestsAreLimited) {
  DeviceConfig c = with_pri(64, 16);
  c.stride = 4096;
  c.page_requests = 2;
  System s(c, GetParam());
  for (uint64_t i = 0; i < 64; i++)
    s.iommu->absent.insert(0x10000000 + i * 4096);
  Pager pager{&s};
  s.iommu->agenda.at<&Pager::look>(5 * US, &pager);
  s.simulation.run();
  EXPECT_EQ(s.count().done, 64u);
  EXPECT_EQ(s.count().page_requests, 64u);
  EXPECT_EQ(s.count().page_waited, 62u);
  EXPECT_GE(s.device->counted().to, 32 * 5 * US);
  s.expect_released();
}

TEST_P(BothTimings, APageThatNeverComesEndsTheDma) {
  DeviceConfig c = with_pri(1, 1);
  c.page_tries = 3;
  System s(c, GetParam());
  s.iommu->absent = {0x10000000};
  Pager pager{&s, 0, false};
  s.iommu->agenda.at<&Pager::look>(5 * US, &pager);
  s.simulation.run();
  EXPECT_EQ(s.count().page_success, 3u);
  EXPECT_EQ(s.count().no_rights, 1u);
  s.expect_released();
}

TEST_P(BothTimings, AResponseToNothingIsCounted) {
  System s(with_pri(1, 1), GetParam());
  s.simulation.run();
  ims_page_request r = {};
  r.source = 0x100;
  r.group = 3;
  s.iommu->respond_page(r, 0);
  s.simulation.run();
  EXPECT_EQ(s.count().page_unexpected, 1u);
}

// As a whole.

struct Text : StatisticSink {
  std::string all;
  void count(const std::string &o, const char *n, const char *, const char *, uint64_t v) override {
    all += o + "." + n + " " + std::to_string(v) + "\n";
  }
  void mean(const std::string &o, const char *n, const char *, const char *, uint64_t s, uint64_t c) override {
    all += o + "." + n + " " + std::to_string(s) + "/" + std::to_string(c) + "\n";
  }
  void histogram(const std::string &o, const char *n, const char *, const char *, const Histogram &h) override {
    all += o + "." + n;
    h.each([&](uint64_t first, uint64_t last, uint64_t c) {
      all += " " + std::to_string(first) + "-" + std::to_string(last) + ":" + std::to_string(c);
    });
    all += "\n";
  }
};

// Everything at once: misses, faults, drops, page requests that succeed or not, invalidations at any moment.
std::string storm(Timing timing, uint32_t seed) {
  DeviceConfig c = with_pri(20000, 24);
  c.pattern = PATTERN_RANDOM;
  c.read_percent = 60;
  c.seed = seed;
  c.atc_entries = 32;
  c.translations = 6;
  c.page_requests = 3;
  std::vector<Stream> streams;
  for (uint32_t i = 0; i < 8; i++)
    streams.push_back({0x100 + i % 3, i, i % 2 == 0, uint64_t{i + 1} << 28, 16 * 4096});
  System s(c, timing, streams);
  struct Chaos {
    System *s;
    Random random;
    size_t seen = 0;
    void step(uint64_t) {
      FakeIommu &iommu = *s->iommu;
      for (; seen < iommu.page_requests.size(); seen++) {
        const ims_page_request &r = iommu.page_requests[seen];
        uint8_t code = random.below(4) ? 0 : 1;
        if (code == 0) {
          iommu.absent.erase(r.addr);
          iommu.read_only.erase(r.addr);
        }
        iommu.respond_page(r, code);
      }
      uint64_t page = (random.below(8) + 1) << 28 | random.below(16) << 12;
      if (!random.below(3))
        iommu.absent.insert(page);
      if (!random.below(3))
        iommu.read_only.insert(page);
      if (!random.below(10))
        iommu.drops = 2;
      MessageExtension m;
      m.kind = MessageExtension::INVALIDATE;
      const Stream &t = s->device->streams()[(page >> 28) - 1];
      m.invalidate.source = t.source;
      m.invalidate.has_pasid = t.has_pasid;
      m.invalidate.pasid = t.pasid;
      m.invalidate.addr = page;
      m.invalidate.last = page | (random.below(2) ? 4095 : 16383);
      iommu.send(m);
      if (!s->device->finished())
        iommu.agenda.at<&Chaos::step>(iommu.agenda.now() + random.below(1500 * NS), this);
    }
  } chaos{&s, Random(seed)};
  s.iommu->agenda.at<&Chaos::step>(0, &chaos);
  s.simulation.run();
  EXPECT_TRUE(s.device->finished());
  s.expect_released();
  EXPECT_EQ(s.count().issued, 20000u);
  EXPECT_GT(s.count().invalidations_waited, 0u);
  EXPECT_GT(s.count().atc_discarded, 0u);
  EXPECT_GT(s.count().page_success, 0u);
  EXPECT_GT(s.count().page_invalid, 0u);
  EXPECT_GT(s.count().retried, 0u);
  EXPECT_EQ(s.iommu->answered.size(), s.iommu->sent);
  Text text;
  s.device->collect(text);
  return text.all;
}

TEST_P(BothTimings, TwoRunsOfAStormCountTheSameAndReleaseEverything) {
  std::string first = storm(GetParam(), 1);
  EXPECT_EQ(storm(GetParam(), 1), first);
  EXPECT_NE(storm(GetParam(), 2), first);
}

TEST(Device, WithOneTagBothTimingsAgree) {
  for (unsigned kind : {PATTERN_RING, PATTERN_BLOCK, PATTERN_RANDOM, PATTERN_CHASE}) {
    for (bool ats : {false, true}) {
      DeviceConfig c = dmas(2000, 1);
      c.pattern = kind;
      c.read_percent = 70;
      c.ats = ats;
      c.atc_entries = 16;
      std::string told[2];
      for (Timing t : {Timing::LT, Timing::AT}) {
        System s(c, t);
        s.iommu->refused = {0x10003000};
        s.iommu->drops = 5;
        s.simulation.run();
        Text text;
        s.device->collect(text);
        told[t == Timing::AT] = text.all;
      }
      EXPECT_EQ(told[0], told[1]);
      EXPECT_NE(told[0].find("device.issued 2000"), std::string::npos);
    }
  }
}

TEST(Device, WhatItCannotBeIsRefused) {
  Simulation simulation;
  auto streams = System::one_stream();
  DeviceConfig c;
  auto make = [&] {
    Device d("device", c, streams, make_pattern(c.pattern_config(), System::one_stream()), Timing::LT);
  };
  streams[0].iova = 0x800;
  EXPECT_THROW(make(), std::invalid_argument);
  streams.clear();
  EXPECT_THROW(make(), std::invalid_argument);
  streams = System::one_stream();
  c.tags = 0;
  try {
    make();
    ADD_FAILURE() << "no tags were taken";
  } catch (const std::invalid_argument &e) {
    EXPECT_STREQ(e.what(), "device.tags: found 0, expected 1 to 65536");
  }
}

} // namespace
