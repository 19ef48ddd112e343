// SPDX-License-Identifier: Apache-2.0
#include "model/link.h"
#include "model/memory.h"
#include "requester.h"

#include <gtest/gtest.h>
#include <random>

using namespace ims::model;

namespace {

struct System {
  Simulation sim;
  Bytes bytes{1 << 24};
  Memory memory;
  Link link;
  Requester device{"device"};
  explicit System(const LinkConfig &c = {}, const MemoryConfig &m = {}) : memory("memory", bytes, m), link("link", c) {
    device.port.socket.bind(link.port.socket);
    link.root.socket.bind(memory.port.socket);
  }
  Requester::Item &one(const Access &a, bool timed = true, void (*prepare)(Payload &) = nullptr) {
    auto &i = device.plan(device.agenda.now(), a, timed);
    i.prepare = prepare;
    sim.run();
    return i;
  }
};

MemoryConfig ideal() {
  MemoryConfig m;
  m.read_ns = m.write_ns = 0;
  return m;
}

LinkConfig generation(unsigned g, unsigned lanes = 8) {
  LinkConfig c;
  c.generation = g;
  c.lanes = lanes;
  return c;
}

constexpr bool WRITE = true;

Ticks up_ceil(uint64_t n, uint64_t d) { return (n + d - 1) / d; }

// Takes requests into `room` places and holds each for `hold`: then it is taken, and at once answered.
class Slow : public sc_core::sc_module {
public:
  Slow(sc_core::sc_module_name name, unsigned room, Ticks hold)
      : sc_module(name), port("port", this, {nullptr, &Slow::arrive, nullptr, nullptr}),
        agenda_(Agenda::of_simulation()), room_(room), hold_(hold) {}
  ResponsePort<Slow> port;
  std::vector<std::pair<Ticks, bool>> seen; // when, and whether it writes

private:
  Arrival arrive(unsigned, Payload &p, Ticks *) {
    seen.emplace_back(agenda_.now(), p.is_write());
    if (inside_ == room_) {
      door_ = &p;
      return Arrival::NO_ROOM;
    }
    enter(p);
    return Arrival::TAKEN;
  }
  void enter(Payload &p) {
    inside_++;
    agenda_.at<&Slow::leave>(agenda_.now() + hold_, this, reinterpret_cast<uint64_t>(&p));
  }
  void leave(uint64_t w) {
    Payload &p = *reinterpret_cast<Payload *>(w);
    inside_--;
    p.set_response_status(tlm::TLM_OK_RESPONSE);
    port.respond(0, p);
    if (Payload *d = std::exchange(door_, nullptr)) {
      port.take(0, *d);
      enter(*d);
    }
  }
  Agenda &agenda_;
  unsigned room_, inside_ = 0;
  Ticks hold_;
  Payload *door_ = nullptr;
};

} // namespace

// 32 bytes up, 200 ns, nothing, 92 bytes down, 200 ns; 1015.625 / 8 ps a byte.
TEST(Link, A64ByteReadTakesWhatTheFormulaSays) {
  for (bool timed : {false, true}) {
    System s({}, ideal());
    Ticks up = up_ceil((16 + 8 + 8) * 130000, 128 * 8), down = up_ceil((64 + 12 + 8 + 8) * 130000, 128 * 8);
    EXPECT_EQ(up, 4063u);
    EXPECT_EQ(down, 11680u);
    EXPECT_EQ(s.one({0, 64}, timed).took(), up + 200 * NS + down + 200 * NS);
    EXPECT_EQ(s.link.counters().up_tlps, 1u);
    EXPECT_EQ(s.link.counters().up_bytes, 32u);
    EXPECT_EQ(s.link.counters().down_bytes, 92u);
    EXPECT_EQ(s.link.counters().down_payload, 64u);
    EXPECT_EQ(s.link.counters().down_busy_ps, down);
  }
}

TEST(Link, GenerationsHaveTheirByteTimes) {
  // ps for 1180 bytes over one lane: with 8b/10b, 128b/130b, FLIT.
  const Ticks expected[] = {0, 4720000, 2360000, 1198438, 599219, 299610, 160000};
  for (unsigned g = 0; g <= 6; g++) {
    LinkConfig c = generation(g, 1);
    c.framing = c.dllp = 0;
    System s(c, ideal());
    EXPECT_EQ(s.link.wire_time(1, 16, 1164), expected[g]) << g;
    s.one({0, 4});
  }
}

TEST(Link, AWriteIsAnsweredWhenItHasLeft) {
  for (bool timed : {false, true}) {
    System s({}, ideal());
    auto &i = s.one({0x40, 64, WRITE}, timed);
    EXPECT_EQ(i.took(), up_ceil((64 + 32) * 130000, 1024));
    EXPECT_EQ(i.status, tlm::TLM_OK_RESPONSE);
    EXPECT_EQ(s.memory.counters().writes, 1u);
    EXPECT_EQ(s.link.in_flight(), 0u);
  }
}

TEST(Link, APostedWriteKeepsItsBytesWhenTheDeviceGoesOn) {
  System s;
  auto &w = s.device.plan(0, {0x100, 8, WRITE});
  w.data = {1, 2, 3, 4, 5, 6, 7, 8};
  struct Spoiler {
    std::vector<unsigned char> *data;
    void spoil(uint64_t) { data->assign(8, 0xee); }
  } spoiler{&w.data};
  s.device.agenda.at<&Spoiler::spoil>(100 * NS, &spoiler);
  s.sim.run();
  EXPECT_LT(w.end, 100 * NS);
  uint64_t word = 0;
  ims_mem_load64(s.bytes, 0x100, &word);
  EXPECT_EQ(word, 0x0807060504030201u);
}

TEST(Link, AWriteThatIsRefusedLaterEndsHere) {
  for (bool timed : {false, true}) {
    System s;
    auto &i = s.one({1 << 24, 64, WRITE}, timed);
    EXPECT_EQ(i.status, tlm::TLM_OK_RESPONSE);
    EXPECT_EQ(s.link.counters().posted_lost, 1u);
    auto &r = s.one({1 << 24, 64}, timed);
    EXPECT_EQ(r.status, tlm::TLM_ADDRESS_ERROR_RESPONSE);
    EXPECT_EQ(s.link.counters().down_bytes, 28u) << "a completion without data";
  }
}

TEST(Link, AReadBehindAWriteSeesIt) {
  System s;
  auto &w = s.device.plan(0, {0, 8, WRITE});
  w.data = {9, 9, 9, 9, 9, 9, 9, 9};
  auto &r = s.device.plan(0, {0, 8});
  s.sim.run();
  EXPECT_EQ(r.data, w.data);
}

TEST(Link, LongRequestsAreSeveralPackets) {
  for (bool timed : {false, true}) {
    System s({}, ideal());
    s.one({0, 1024}, timed); // two requests, four completions
    EXPECT_EQ(s.link.counters().up_tlps, 2u);
    EXPECT_EQ(s.link.counters().down_tlps, 4u);
    s.one({0, 1024, WRITE}, timed);
    EXPECT_EQ(s.link.counters().up_tlps, 6u);
    EXPECT_EQ(s.link.counters().up_payload, 1024u);
    // From 4 bytes before a boundary of 64: up to 192 bytes beyond it, then 64.
    s.one({60, 260}, timed);
    EXPECT_EQ(s.link.counters().down_tlps, 6u);
    // Over a boundary of 256: two writes.
    s.one({250, 12, WRITE}, timed);
    EXPECT_EQ(s.link.counters().up_tlps, 9u);
  }
}

TEST(Link, SmallRequestsAreSmallPackets) {
  for (bool timed : {false, true}) {
    System s({}, ideal());
    auto &t = s.one({0x1000, 8, false, false, true}, timed,
                    [](Payload &p) { p.get_extension<DmaExtension>()->type = IMS_TRANSLATION_REQUEST; });
    EXPECT_EQ(t.took(), s.link.wire_time(1, 16, 0) + 400 * NS + s.link.wire_time(1, 12, 8));
    auto &g = s.one({0x1000, 0, false, false, true}, timed,
                    [](Payload &p) { p.get_extension<DmaExtension>()->type = IMS_PAGE_REQUEST; });
    EXPECT_EQ(g.took(), s.link.wire_time(1, 16, 0) + 400 * NS + s.link.wire_time(1, 12, 0));
    auto &a = s.one({0x1000, 8, WRITE}, timed, [](Payload &p) { p.get_extension<DmaExtension>()->atomic = true; });
    EXPECT_EQ(a.took(), s.link.wire_time(1, 16, 8) + 400 * NS + s.link.wire_time(1, 12, 8));
    EXPECT_EQ(s.link.counters().translations, 1u);
    EXPECT_EQ(s.link.counters().page_requests, 1u);
    EXPECT_EQ(s.link.counters().reads, 1u);
    EXPECT_EQ(s.link.counters().posted, 0u);
  }
}

TEST(Link, RequestsWithoutBytesTakeTheirTime) {
  for (bool timed : {false, true}) {
    System s({}, ideal());
    EXPECT_EQ(s.one({0, 64, false, false, true}, timed).took(), 400 * NS + 4063 + 11680);
    EXPECT_EQ(s.one({0, 64, WRITE, false, true}, timed).took(), s.link.wire_time(1, 16, 64));
  }
}

TEST(Link, WritesOf256BytesMoveTheKnownRate) {
  System s({}, ideal());
  for (unsigned n = 0; n < 3000; n++)
    s.device.plan(0, {n * 256, 256, WRITE});
  s.sim.run();
  double gbps = 3000 * 256 * 8e3 / static_cast<double>(s.device.last_end());
  EXPECT_NEAR(gbps, 56.0, 56.0 * 0.02);
  EXPECT_GT(gbps, 53);
  EXPECT_LT(gbps, 57);
}

TEST(Link, ReadsSaturateTheWireBack) {
  System s({}, ideal());
  for (unsigned n = 0; n < 3000; n++)
    s.device.plan(0, {n * 256, 256});
  s.sim.run();
  double bound = 3000.0 * 284 * 1015.625 / 8;
  EXPECT_NEAR(static_cast<double>(s.device.last_end()), bound, bound * 0.02);
  EXPECT_EQ(s.link.counters().down_bytes, 3000u * 284);
}

TEST(Link, DirectionsDoNotShareAWire) {
  System s({}, ideal());
  for (unsigned n = 0; n < 1000; n++) {
    s.device.plan(0, {n * 256, 256});
    s.device.plan(0, {n * 256, 256, WRITE});
  }
  s.sim.run();
  double up = 1000.0 * (288 + 32) * 1015.625 / 8;
  EXPECT_NEAR(static_cast<double>(s.device.last_end()), up, up * 0.02);
}

TEST(Link, DevicesShareIt) {
  System s({}, ideal());
  Requester other("other");
  other.port.socket.bind(s.link.port.socket);
  auto &a = s.device.plan(0, {0, 64, WRITE}), &b = other.plan(0, {64, 64, WRITE});
  auto &c = other.plan(1, {0, 64});
  s.sim.run();
  EXPECT_EQ(a.end, s.link.wire_time(1, 16, 64));
  EXPECT_EQ(b.end, 2 * s.link.wire_time(1, 16, 64));
  EXPECT_EQ(c.end, b.end + s.link.wire_time(1, 16, 0) + 400 * NS + s.link.wire_time(1, 12, 64));
}

TEST(Link, CreditsLimitWhatIsUnderWay) {
  LinkConfig c;
  c.posted_headers = 4;
  c.nonposted_headers = 2;
  for (bool write : {false, true}) {
    System s(c, ideal());
    for (unsigned n = 0; n < 400; n++)
      s.device.plan(0, {n * 64, 64, write});
    s.sim.run();
    // A credit is away while its packet goes onto the wire, for the way up, and for the way back.
    double bound = 400.0 / (write ? 4 : 2) * static_cast<double>(400 * NS + s.link.wire_time(1, 16, write ? 64 : 0));
    EXPECT_NEAR(static_cast<double>(s.device.last_end()), bound, bound * 0.02);
    EXPECT_EQ(s.link.counters().credit_waits, write ? 396u : 398u);
    EXPECT_EQ(s.link.in_flight(), 0u);
    EXPECT_EQ(s.memory.counters().reads + s.memory.counters().writes, 400u);
  }
}

TEST(Link, AWriteLargerThanAllCreditsStillGoes) {
  LinkConfig c;
  c.posted_data = 128;
  System s(c);
  auto &a = s.device.plan(0, {0, 1024, WRITE}), &b = s.device.plan(0, {0, 64, WRITE});
  s.sim.run();
  EXPECT_EQ(a.end, s.link.wire_time(4, 16, 1024));
  EXPECT_EQ(b.end, a.end + 400 * NS + s.link.wire_time(1, 16, 64));
}

TEST(Link, WritesPassReadsThatWaitForCreditsAndNothingPassesWrites) {
  LinkConfig c;
  c.nonposted_headers = 1;
  c.posted_headers = 1;
  System s(c, ideal());
  auto &r1 = s.device.plan(0, {0, 64}), &r2 = s.device.plan(0, {64, 64}), &w1 = s.device.plan(0, {128, 64, WRITE});
  auto &w2 = s.device.plan(0, {192, 64, WRITE}), &r3 = s.device.plan(0, {0, 64});
  s.sim.run();
  EXPECT_EQ(w1.end, s.link.wire_time(1, 16, 0) + s.link.wire_time(1, 16, 64)) << "behind r1, before r2";
  EXPECT_GT(r2.end, r1.end);
  EXPECT_GT(w2.end, w1.end + 400 * NS);
  EXPECT_GT(r3.end, w2.end + 400 * NS);
  EXPECT_EQ(s.link.counters().credit_waits, 3u);
}

TEST(Link, CreditsComeBackWhenTheOtherSideTakes) {
  LinkConfig c;
  c.nonposted_headers = 2;
  Simulation sim;
  Slow slow("slow", 1, 10 * US);
  Link link("link", c);
  Requester device("device");
  device.port.socket.bind(link.port.socket);
  link.root.socket.bind(slow.port.socket);
  for (unsigned n = 0; n < 4; n++)
    device.plan(0, {n * 64, 64});
  sim.run();
  // The second stands at the door until the first has left after 10 us; only then may the fourth set off.
  Ticks up = link.wire_time(1, 16, 0);
  ASSERT_EQ(slow.seen.size(), 4u);
  EXPECT_EQ(slow.seen[0].first, up + 200 * NS);
  EXPECT_EQ(slow.seen[1].first, 2 * up + 200 * NS);
  EXPECT_GE(slow.seen[3].first, 10 * US + 400 * NS);
  for (auto &i : device.items)
    EXPECT_TRUE(i->ended);
  EXPECT_EQ(link.in_flight(), 0u);
}

TEST(Link, GenerationZeroIsNoLink) {
  for (bool timed : {false, true}) {
    System s(generation(0));
    EXPECT_EQ(s.one({0, 4096}, timed).took(), 60 * NS);
    EXPECT_EQ(s.one({0, 4096, WRITE}, timed).took(), 0u);
    EXPECT_EQ(s.memory.counters().writes, 1u);
  }
}

TEST(Link, DirectAndDebugAccessGoThrough) {
  System s;
  s.one({0, 8});
  Payload p;
  tlm::tlm_dmi dmi;
  EXPECT_TRUE(s.device.port.socket->get_direct_mem_ptr(p, dmi));
  EXPECT_EQ(dmi.get_end_address(), (1u << 24) - 1);
  s.memory.removed(16, 31);
  EXPECT_EQ(s.device.withdrawals, (std::vector<std::pair<uint64_t, uint64_t>>{{16, 31}}));
  uint64_t word = 5, now = s.device.agenda.now();
  set_payload(p, tlm::TLM_WRITE_COMMAND, 8, &word, 8);
  EXPECT_EQ(s.device.port.socket->transport_dbg(p), 8u);
  ims_mem_load64(s.bytes, 8, &word);
  EXPECT_EQ(word, 5u);
  EXPECT_EQ(s.device.agenda.now(), now);
}

TEST(Link, MessagesTakeTheWireDownAndTheirAnswersTheOther) {
  Simulation sim;
  Bytes bytes(4096);
  Memory memory("memory", bytes), mailbox("mailbox", bytes, ideal());
  Link link("link");
  Requester device("device"), iommu("iommu");
  device.port.socket.bind(link.port.socket);
  link.root.socket.bind(memory.port.socket);
  iommu.port.socket.bind(link.message_port.socket);
  link.message.socket.bind(mailbox.port.socket);
  static MessageExtension::Kind kind;
  for (auto k : {MessageExtension::INVALIDATE, MessageExtension::PAGE_RESPONSE, MessageExtension::RESUME})
    for (bool timed : {false, true}) {
      kind = k;
      auto &i = iommu.plan(iommu.agenda.now(), {0, 0, false, false, true}, timed);
      i.prepare = [](Payload &p) {
        auto *m = p.get_extension<MessageExtension>();
        if (!m)
          p.set_extension(m = new MessageExtension);
        m->kind = kind;
      };
      sim.run();
      Ticks down = link.wire_time(1, 16, 8) + 200 * NS, up = link.wire_time(1, 16, 0) + 200 * NS;
      EXPECT_EQ(i.took(), k == MessageExtension::RESUME ? 0 : k == MessageExtension::INVALIDATE ? down + up : down);
      EXPECT_EQ(i.status, tlm::TLM_OK_RESPONSE);
    }
  EXPECT_EQ(link.counters().messages, 6u);
  EXPECT_EQ(link.in_flight(), 0u);
}

TEST(Link, LooselyAndApproximatelyTimedAgreeWithOneInFlight) {
  std::mt19937_64 random(3);
  for (unsigned round = 0; round < 30; round++) {
    LinkConfig c;
    c.generation = random() % 7;
    c.lanes = 1 << random() % 5;
    c.request_header = 12 + random() % 8;
    c.framing = random() % 12;
    c.dllp = random() % 12;
    c.max_payload = 64 << random() % 4;
    c.max_read_request = 64 << random() % 6;
    c.read_completion_boundary = 64 << random() % 2;
    c.up_ns = random() % 300000;
    c.down_ns = random() % 300000;
    c.nonposted_headers = random() % 4;
    c.posted_headers = random() % 4;
    c.posted_data = random() % 400;
    std::vector<Access> list;
    for (unsigned n = 0; n < 200; n++)
      list.push_back({random() % 65536, static_cast<uint32_t>(1 + random() % (n % 3 ? 64 : 4096)), random() % 2 == 0,
                      false, random() % 4 == 0, 20 * US}); // until a posted write has ended, too
    std::vector<Ticks> latency[2];
    LinkCounters counters[2];
    for (bool timed : {false, true}) {
      System s(c);
      s.device.chain(list, timed);
      s.sim.run();
      latency[timed] = s.device.latencies();
      counters[timed] = s.link.counters();
    }
    EXPECT_EQ(latency[0], latency[1]) << round;
    EXPECT_EQ(memcmp(&counters[0], &counters[1], sizeof counters[0]), 0) << round;
  }
}

TEST(Link, EverythingEndsUnderLoad) {
  std::mt19937_64 random(17);
  LinkConfig c;
  c.nonposted_headers = 3;
  c.posted_headers = 3;
  c.posted_data = 512;
  MemoryConfig m;
  m.kind = MEMORY_DRAM;
  System s(c, m);
  Requester other("other");
  other.port.socket.bind(s.link.port.socket);
  uint64_t written = 0;
  for (unsigned n = 0; n < 3000; n++) {
    Access a{random() % 65536, static_cast<uint32_t>(1 + random() % 1000), random() % 2 == 0, false, random() % 4 == 0};
    written += a.write ? a.bytes : 0;
    (n % 3 ? s.device : other).plan(random() % (100 * US), a);
  }
  s.sim.run();
  for (auto *r : {&s.device, &other})
    for (auto &i : r->items) {
      EXPECT_TRUE(i->ended);
      EXPECT_EQ(i->status, tlm::TLM_OK_RESPONSE);
    }
  EXPECT_EQ(s.link.in_flight(), 0u);
  EXPECT_EQ(s.memory.counters().bytes_written, written);
  EXPECT_GT(s.link.counters().credit_waits, 100u);
}
