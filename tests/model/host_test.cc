// SPDX-License-Identifier: Apache-2.0
// The software of the host: what an unmap takes, strict and deferred, with polling and interrupts, on few cores, through an
// emulated queue; page requests and stalls. First against registers whose queue takes a fixed time, then with the IOMMU.
#include "model/host.h"
#include "tests/model/rig.h"

#include <gtest/gtest.h>

using namespace ims::model;

namespace {

// A unit behind registers of 50 ns. What a write puts into the queue is executed `delay` later, all at once.
class Registers : public sc_core::sc_module {
public:
  Registers(sc_core::sc_module_name name, Machine &machine, Ticks delay)
      : sc_module(name), port("port", this, {&Registers::b_transport, &Registers::arrive, nullptr, nullptr}),
        interrupt("interrupt", this, {&Registers::done, nullptr, nullptr}), delay_(delay) {
    ims_iommu_bus bus = {};
    bus.ctx = this;
    bus.message = [](void *self, uint64_t addr, uint32_t data) { static_cast<Registers *>(self)->send(addr, data); };
    bus.page_response = [](void *self, const ims_page_response *r) {
      auto *me = static_cast<Registers *>(self);
      me->responses.push_back({me->agenda_.now(), *r});
    };
    bus.resume = [](void *self, const ims_resume *r) {
      auto *me = static_cast<Registers *>(self);
      me->resumes.push_back({me->agenda_.now(), *r});
    };
    unit = machine.maker()(&bus);
    machine.start(unit);
    unit->queue_held = true;
  }
  ~Registers() override { ims_iommu_free(unit); }

  ResponsePort<Registers> port;
  struct Interrupting : tlm::tlm_extension<Interrupting> {
    uint32_t data = 0;
    tlm::tlm_extension_base *clone() const override { return new Interrupting(*this); }
    void copy_from(const tlm::tlm_extension_base &o) override { *this = static_cast<const Interrupting &>(o); }
  };
  RequestPort<Registers> interrupt;
  ims_iommu *unit = nullptr;
  std::vector<std::pair<Ticks, ims_page_response>> responses;
  std::vector<std::pair<Ticks, ims_resume>> resumes;
  std::vector<Ticks> doorbells;

private:
  void done(Payload &) {}
  void execute(Payload &p) {
    uint64_t word = 0;
    auto offset = static_cast<uint32_t>(p.get_address());
    if (p.is_write()) {
      memcpy(&word, p.get_data_ptr(), p.get_data_length());
      ims_iommu_write(unit, offset, p.get_data_length(), word);
      if (offset == IMS_VTD_OFF_IQT || offset == IMS_SMMUV3_OFF_CMDQ_PROD) {
        doorbells.push_back(agenda_.now());
        agenda_.at<&Registers::work>(agenda_.now() + delay_, this);
      }
    } else {
      word = ims_iommu_read(unit, offset, p.get_data_length());
      memcpy(p.get_data_ptr(), &word, p.get_data_length());
    }
    p.set_response_status(tlm::TLM_OK_RESPONSE);
  }
  void b_transport(unsigned, Payload &p, sc_core::sc_time &t) {
    execute(p);
    t += to_sc(50 * NS);
  }
  Arrival arrive(unsigned, Payload &p, Ticks *when) {
    execute(p);
    *when = agenda_.now() + 50 * NS;
    return Arrival::FINISHED;
  }
  void work(uint64_t) {
    ims_queue_item item;
    while (ims_queue_next(unit, &item))
      ims_queue_step(unit);
  }
  void send(uint64_t addr, uint32_t data) {
    Payload &p = pool_.get();
    p.get_extension<Interrupting>()->data = data;
    set_payload(p, tlm::TLM_WRITE_COMMAND, addr, &p.get_extension<Interrupting>()->data, 4);
    interrupt.send(p);
    p.release();
  }

  Ticks delay_;
  Agenda &agenda_ = Agenda::of_simulation();
  PayloadPool<Interrupting> pool_;
};

struct Ended {
  Ticks at = 0;
  bool ok = false, done = false;
};

// Calls the host at given times, and notes when it is done.
class Caller : public sc_core::sc_module {
public:
  Caller(sc_core::sc_module_name name, Host &host) : sc_module(name), host_(host) {}
  enum Op { MAP, UNMAP, FLUSH };
  Ended &at(Ticks when, Op op, size_t stream, uint64_t iova, uint64_t bytes = 4096) {
    calls_.push_back({op, stream, iova, bytes, {}});
    agenda_.at<&Caller::go>(when, this, calls_.size() - 1);
    return calls_.back().ended;
  }

private:
  struct Call {
    Op op;
    size_t stream;
    uint64_t iova, bytes;
    Ended ended;
  };
  void go(uint64_t i) {
    Call &c = calls_[i];
    auto done = DmaMapper::done<&Caller::done>(this, i);
    if (c.op == MAP)
      host_.map(c.stream, c.iova, c.bytes, done);
    else if (c.op == UNMAP)
      host_.unmap(c.stream, c.iova, c.bytes, done);
    else
      host_.flush(done);
  }
  void done(uint64_t i, bool ok) { calls_[i].ended = {agenda_.now(), ok, true}; }
  Host &host_;
  Agenda &agenda_ = Agenda::of_simulation();
  std::deque<Call> calls_;
};

struct HostRig {
  explicit HostRig(const HostConfig &h = {}, const MachineConfig &m = {}, Timing timing = Timing::AT,
                   Ticks delay = 500 * NS)
      : machine(m), registers("registers", machine, delay), host("host", machine, h, timing), caller("caller", host) {
    host.registers.socket.bind(registers.port.socket);
    registers.interrupt.socket.bind(host.interrupts.socket);
    Agenda::of_simulation().at(
        0, [](void *, uint64_t) {}, nullptr);
    simulation.run(0); // requests may come now
  }
  const Stream &stream(size_t i = 0) const { return machine.streams()[i]; }
  uint64_t page(uint64_t n, size_t i = 0) const { return stream(i).iova + n * 4096; }
  ims_result access(size_t i, uint64_t iova, unsigned acc = IMS_ACC_R) {
    ims_request r = {};
    r.iova = iova;
    r.source = stream(i).source;
    r.pasid = stream(i).pasid;
    r.has_pasid = stream(i).has_pasid;
    r.access = static_cast<uint8_t>(acc);
    ims_result res = {};
    ims_translate(registers.unit, &r, &res);
    return res;
  }
  bool idle() const {
    Host::Occupancy o = host.occupancy();
    return o.jobs + o.cores + o.traps + o.groups == 0;
  }

  Simulation simulation;
  Machine machine;
  Registers registers;
  Host host;
  Caller caller;
};

MachineConfig machine_of(unsigned arch) {
  MachineConfig c;
  c.arch = arch;
  return c;
}

ims_page_request page_request(const Stream &s, uint64_t addr, unsigned group, bool last = true) {
  ims_page_request p = {};
  p.source = s.source;
  p.pasid = s.pasid;
  p.has_pasid = s.has_pasid;
  p.read = true;
  p.last = last;
  p.group = static_cast<uint16_t>(group);
  p.addr = addr;
  return p;
}

} // namespace

class HostOf : public testing::TestWithParam<std::tuple<unsigned, Timing>> {};
INSTANTIATE_TEST_SUITE_P(ArchsAndTimings, HostOf,
                         testing::Combine(testing::Values(0u, 1u), testing::Values(Timing::LT, Timing::AT)),
                         [](const auto &p) {
                           return std::string(machine_archs[std::get<0>(p.param)]) +
                                  (std::get<1>(p.param) == Timing::LT ? "_lt" : "_at");
                         });

// 1 us of unmapping, 1 us around the submission, the write of 50 ns; completion after 500 ns, seen at the next look.
TEST_P(HostOf, AStrictUnmapWaitsForItsInvalidation) {
  auto [arch, timing] = GetParam();
  HostRig r({}, machine_of(arch), timing);
  ASSERT_EQ(IMS_STATUS_OK, r.access(0, r.page(3)).status);
  Ended &e = r.caller.at(0, Caller::UNMAP, 0, r.page(3));
  r.simulation.run();
  ASSERT_TRUE(e.done && e.ok);
  EXPECT_EQ(2550 * NS, e.at);
  EXPECT_EQ(std::vector<Ticks>{2 * US}, r.registers.doorbells);
  EXPECT_EQ(5u, r.host.counters().polls);
  EXPECT_EQ(2550 * NS, r.host.counters().busy_ps);
  EXPECT_EQ(1u, r.host.counters().unmaps);
  EXPECT_EQ(2u, r.host.counters().descriptors);
  EXPECT_EQ(2550 * NS, r.host.unmap_latency().max());
  EXPECT_TRUE(r.idle());
  EXPECT_EQ(IMS_STATUS_OK, r.access(0, r.page(2)).status);
  EXPECT_EQ(IMS_STATUS_FAULT, r.access(0, r.page(3)).status);
}

TEST_P(HostOf, AnInterruptIsHandledBeforeTheUnmapIsDone) {
  auto [arch, timing] = GetParam();
  HostConfig h;
  h.completion = COMPLETION_INTERRUPT;
  HostRig r(h, machine_of(arch), timing);
  Ended &e = r.caller.at(0, Caller::UNMAP, 0, r.page(0)), &second = r.caller.at(5 * US, Caller::UNMAP, 0, r.page(1));
  r.simulation.run();
  ASSERT_TRUE(e.ok && second.ok);
  // The message at 2.5 us, 1 us to the handler, and on VT-d a write to acknowledge it.
  Ticks took = (arch == ARCH_VTD ? 3550 : 3500) * NS;
  EXPECT_EQ(took, e.at);
  EXPECT_EQ(5 * US + took, second.at);
  EXPECT_EQ(0u, r.host.counters().polls);
  EXPECT_EQ(2u, r.host.counters().interrupts);
  EXPECT_TRUE(r.idle());
}

TEST_P(HostOf, TheIndexRegisterTellsTheSame) {
  auto [arch, timing] = GetParam();
  for (unsigned completion : {COMPLETION_POLL, COMPLETION_INTERRUPT}) {
    HostConfig h;
    h.completion = completion;
    MachineConfig m = machine_of(arch);
    m.sync = SYNC_INDEX;
    HostRig r(h, m, timing);
    Ended &e = r.caller.at(0, Caller::UNMAP, 0, r.page(0));
    r.simulation.run();
    ASSERT_TRUE(e.ok);
    // Polled: a look is a wait of 100 ns and a read of 50, from 2.05 us on.
    EXPECT_EQ(completion == COMPLETION_POLL ? 2650 * NS : arch == ARCH_VTD ? 3600 * NS : 3550 * NS, e.at);
    EXPECT_TRUE(r.idle());
  }
}

TEST_P(HostOf, APageRequestIsServedAndAnswered) {
  auto [arch, timing] = GetParam();
  MachineConfig m = machine_of(arch);
  m.ats = m.pri = 1;
  m.premap = 0;
  HostRig r({}, m, timing);
  ims_page_request a = page_request(r.stream(), r.page(1), 7, false), b = page_request(r.stream(), r.page(2), 7),
                   outside = page_request(r.stream(), r.page(1000), 9);
  ASSERT_TRUE(ims_request_page(r.registers.unit, &a));
  ASSERT_TRUE(ims_request_page(r.registers.unit, &b));
  ASSERT_TRUE(ims_request_page(r.registers.unit, &outside));
  r.simulation.run();
  ASSERT_EQ(2u, r.registers.responses.size());
  auto [when, response] = r.registers.responses[0];
  EXPECT_EQ(7u, response.group);
  EXPECT_EQ(0u, response.code);
  EXPECT_EQ(r.stream().pasid, response.pasid);
  EXPECT_EQ(9u, r.registers.responses[1].second.group);
  EXPECT_EQ(1u, r.registers.responses[1].second.code) << "no such page";
  // 1 us to the handler; VT-d: PRS, PQT, PQH, PRS; SMMU: write index, read index, write index; 20 us; 1 us; 500 ns.
  EXPECT_EQ(1 * US + (arch == ARCH_VTD ? 200 : 150) * NS + 21500 * NS, when);
  EXPECT_TRUE(r.machine.mapped(0, r.page(1)));
  EXPECT_TRUE(r.machine.mapped(0, r.page(2)));
  EXPECT_EQ(3u, r.host.counters().page_requests);
  EXPECT_EQ(1u, r.host.counters().page_requests_refused);
  EXPECT_EQ(2u, r.host.counters().responses);
  EXPECT_EQ(2u, r.host.service_latency().count());
  EXPECT_TRUE(r.idle());
}

TEST_P(HostOf, FaultsAreTakenFromTheLog) {
  auto [arch, timing] = GetParam();
  HostRig r({}, machine_of(arch), timing);
  for (unsigned i = 0; i < 5; i++)
    ASSERT_EQ(IMS_STATUS_FAULT, r.access(0, r.page(100 + i)).status);
  r.simulation.run();
  EXPECT_EQ(5u, r.host.counters().faults);
  EXPECT_EQ(0u, r.host.counters().stalls);
  EXPECT_EQ(0u, r.machine.drain(MachineLog::FAULTS, r.registers.unit).faults.size());
  EXPECT_TRUE(r.idle());
}

TEST_P(HostOf, DeferredUnmapsAreDoneAtOnceAndFlushedTogether) {
  auto [arch, timing] = GetParam();
  HostConfig h;
  h.policy = FLUSH_DEFERRED;
  h.deferred_batch = 3;
  MachineConfig m = machine_of(arch);
  m.tenants = 2;
  HostRig r(h, m, timing);
  for (unsigned i = 0; i < 4; i++) {
    r.access(0, r.page(i));
    r.access(1, r.page(i));
  }
  Ended *e[4];
  for (unsigned i = 0; i < 4; i++)
    e[i] = &r.caller.at(i * 10 * US, Caller::UNMAP, 0, r.page(i));
  Ended &other = r.caller.at(0, Caller::UNMAP, 1, r.page(0, 1));
  r.simulation.run(20 * US);
  EXPECT_EQ(1 * US, e[0]->at);
  EXPECT_EQ(1 * US, other.at);
  EXPECT_EQ(IMS_STATUS_OK, r.access(0, r.page(0)).status) << "still cached";
  EXPECT_EQ(0u, r.host.counters().flushes);
  EXPECT_EQ(3u, r.host.occupancy().deferred);
  r.simulation.run(10 * US);
  EXPECT_EQ(1u, r.host.counters().flushes) << "three of tenant 0";
  EXPECT_EQ(IMS_STATUS_FAULT, r.access(0, r.page(0)).status);
  EXPECT_EQ(IMS_STATUS_OK, r.access(1, r.page(0, 1)).status) << "tenant 1 has one only";
  r.simulation.run(9960 * US);
  EXPECT_EQ(1u, r.host.counters().flushes);
  r.simulation.run(20 * US); // 10 ms after its unmap
  EXPECT_EQ(2u, r.host.counters().flushes);
  EXPECT_EQ(IMS_STATUS_FAULT, r.access(1, r.page(0, 1)).status);
  EXPECT_EQ(1u, r.host.occupancy().deferred);
  r.simulation.run(50 * US); // and of tenant 0's fourth
  EXPECT_EQ(3u, r.host.counters().flushes);
  EXPECT_EQ(0u, r.host.occupancy().deferred);
  EXPECT_EQ(5u, r.host.counters().unmaps);
  EXPECT_TRUE(r.idle());
}

TEST(Host, AFlushByHandLeavesNothingDeferred) {
  HostConfig h;
  h.policy = FLUSH_DEFERRED;
  MachineConfig m;
  m.tenants = 3;
  HostRig r(h, m);
  r.caller.at(0, Caller::UNMAP, 0, r.page(0));
  r.caller.at(0, Caller::UNMAP, 2, r.page(0, 2));
  Ended &e = r.caller.at(10 * US, Caller::FLUSH, 0, 0), &nothing = r.caller.at(30 * US, Caller::FLUSH, 0, 0);
  r.simulation.run(40 * US);
  EXPECT_EQ(10 * US + 2 * 1550 * NS, e.at); // two tenants, one after the other
  EXPECT_EQ(30 * US, nothing.at);
  EXPECT_EQ(2u, r.host.counters().flushes);
  EXPECT_EQ(0u, r.host.occupancy().deferred);
}

TEST(Host, WorkWaitsForACore) {
  HostConfig h;
  h.cores = 1;
  HostRig r(h);
  Ended &a = r.caller.at(0, Caller::UNMAP, 0, r.page(0)), &b = r.caller.at(0, Caller::UNMAP, 0, r.page(1)),
        &c = r.caller.at(0, Caller::UNMAP, 0, r.page(2));
  r.simulation.run();
  EXPECT_EQ(2550 * NS, a.at); // polling keeps the core
  EXPECT_EQ(5100 * NS, b.at);
  EXPECT_EQ(7650 * NS, c.at);
  EXPECT_EQ(2u, r.host.counters().core_waits);
  EXPECT_EQ(7650 * NS, r.host.counters().busy_ps);

  h.completion = COMPLETION_INTERRUPT;
  HostRig sleeping(h);
  Ended &d = sleeping.caller.at(0, Caller::UNMAP, 0, sleeping.page(0)),
        &f = sleeping.caller.at(0, Caller::UNMAP, 0, sleeping.page(1));
  sleeping.simulation.run();
  // The second begins at 2.05 us, when the first sleeps, and ends its part at 4.1 us; then the handler of both.
  EXPECT_EQ(5150 * NS, d.at);
  EXPECT_EQ(5150 * NS, f.at);
  EXPECT_TRUE(sleeping.idle());
}

TEST(Host, AnEmulatedQueueTakesATrapForEachAccessOneAtATime) {
  HostConfig h;
  h.trapped = 1;
  HostRig r(h);
  Ended &a = r.caller.at(0, Caller::UNMAP, 0, r.page(0)), &b = r.caller.at(0, Caller::UNMAP, 0, r.page(1));
  r.simulation.run();
  EXPECT_EQ(2 * US + 7 * US + 550 * NS, a.at);
  EXPECT_EQ(a.at + 7 * US + 50 * NS, b.at) << "behind the other one's";
  EXPECT_EQ(2u, r.host.counters().traps);
  EXPECT_EQ(1u, r.host.counters().trap_waits);
  EXPECT_TRUE(r.idle());
}

TEST(Host, AShadowIsKeptEntryByEntry) {
  MachineConfig m;
  m.translation = TRANSLATE_SHADOW;
  HostRig r({}, m);
  Ended &unmap = r.caller.at(0, Caller::UNMAP, 0, r.page(4), 4 * 4096),
        &map = r.caller.at(100 * US, Caller::MAP, 0, r.page(4), 4 * 4096);
  r.simulation.run();
  EXPECT_EQ(4 * 5 * US + 2550 * NS, unmap.at);
  EXPECT_EQ(100 * US + 21 * US, map.at);
  EXPECT_EQ(8u, r.host.counters().traps);
  EXPECT_EQ(1u, r.host.map_latency().count());
}

TEST(Host, WithoutATranslationNothingIsDone) {
  MachineConfig m;
  m.translation = TRANSLATE_PASS_THROUGH;
  HostRig r({}, m);
  Ended &e = r.caller.at(3 * US, Caller::UNMAP, 0, r.page(0));
  r.simulation.run();
  EXPECT_TRUE(e.ok);
  EXPECT_EQ(3 * US, e.at);
  EXPECT_EQ(0u, r.host.counters().submissions);
}

TEST(Host, AFullQueueIsTriedAgain) {
  for (unsigned sync : {SYNC_MESSAGE, SYNC_INDEX})
    for (unsigned completion : {COMPLETION_POLL, COMPLETION_INTERRUPT}) {
      HostConfig h;
      h.cores = 0;
      h.completion = completion;
      MachineConfig m;
      m.queue_log2 = 7;
      m.window_kb = 1024;
      m.sync = sync;
      HostRig r(h, m, Timing::AT, 5 * US);
      std::vector<Ended *> e;
      for (unsigned i = 0; i < 200; i++)
        e.push_back(&r.caller.at(i, Caller::UNMAP, 0, r.page(i)));
      r.simulation.run();
      for (Ended *one : e)
        ASSERT_TRUE(one->ok);
      EXPECT_GT(r.host.counters().queue_full, 0u);
      EXPECT_EQ(200u, r.host.counters().unmaps);
      EXPECT_TRUE(r.idle());
    }
}

TEST(Host, WhatCannotBeDoneIsSaid) {
  HostRig r;
  Ended &outside = r.caller.at(0, Caller::MAP, 0, r.page(1000)), &twice = r.caller.at(0, Caller::MAP, 0, r.page(0)),
        &nobody = r.caller.at(0, Caller::UNMAP, 77, r.page(0));
  r.simulation.run();
  EXPECT_TRUE(outside.done && twice.done && nobody.done);
  EXPECT_FALSE(outside.ok || twice.ok || nobody.ok);
  EXPECT_EQ(3u, r.host.counters().failed);
  EXPECT_EQ(0u, r.host.map_latency().count());
}

TEST(Host, AShareOfPageRequestsIsRefused) {
  HostConfig h;
  h.fail_per_mille = 500;
  MachineConfig m;
  m.ats = m.pri = 1;
  m.premap = 0;
  m.window_kb = 1024;
  HostRig r(h, m);
  for (unsigned i = 0; i < 200; i++) {
    ims_page_request p = page_request(r.stream(), r.page(i), i);
    ASSERT_TRUE(ims_request_page(r.registers.unit, &p));
  }
  r.simulation.run();
  ASSERT_EQ(200u, r.registers.responses.size());
  unsigned refused = 0;
  for (const auto &[when, response] : r.registers.responses) {
    EXPECT_EQ(response.code == 0, r.machine.mapped(0, r.page(response.group)));
    refused += response.code == 1;
  }
  EXPECT_EQ(refused, r.host.counters().page_requests_refused);
  EXPECT_GT(refused, 60u);
  EXPECT_LT(refused, 140u);
}

TEST(Host, StallsEndWithAMappingOrAnAbort) {
  for (Timing timing : {Timing::LT, Timing::AT}) {
    MachineConfig m = machine_of(ARCH_SMMUV3);
    m.faults = FAULTS_STALL;
    m.premap = 0;
    HostRig r({}, m, timing);
    ims_result inside = r.access(0, r.page(2) + 0x80, IMS_ACC_W), outside = r.access(0, r.page(99));
    ASSERT_EQ(IMS_STATUS_STALL, inside.status);
    ASSERT_EQ(IMS_STATUS_STALL, outside.status);
    r.simulation.run();
    ASSERT_EQ(2u, r.registers.resumes.size());
    EXPECT_EQ(inside.stag, r.registers.resumes[0].second.stag);
    EXPECT_EQ(IMS_RESUME_RETRY, r.registers.resumes[0].second.action);
    EXPECT_EQ(IMS_RESUME_ABORT, r.registers.resumes[1].second.action);
    EXPECT_TRUE(r.machine.mapped(0, r.page(2)));
    EXPECT_EQ(2u, r.host.counters().stalls);
    EXPECT_EQ(1u, r.host.counters().stalls_refused);
    EXPECT_TRUE(r.idle());
  }
}

// With the IOMMU module: the queue is read and executed in time; what was unmapped strictly is gone when it is done.
TEST_P(HostOf, WithTheIommuAnUnmapIsSeenByTheNextDma) {
  auto [arch, timing] = GetParam();
  for (unsigned completion : {COMPLETION_POLL, COMPLETION_INTERRUPT}) {
    Rig rig(machine_of(arch));
    HostConfig h;
    h.completion = completion;
    Host host("host", rig.machine, h, timing);
    host.registers.socket.bind(rig.iommu.registers);
    rig.iommu.interrupt.bind(host.interrupts.socket);
    Caller caller("caller", host);
    rig.device.send(0, rig.stream(), rig.page(0));
    Ended &unmap = caller.at(10 * US, Caller::UNMAP, 0, rig.page(0));
    auto &late = rig.device.send(100 * US, rig.stream(), rig.page(0));
    Ended &map = caller.at(200 * US, Caller::MAP, 0, rig.page(0));
    auto &again = rig.device.send(300 * US, rig.stream(), rig.page(0));
    rig.simulation.run();
    EXPECT_TRUE(rig.device.sent[0].ok());
    ASSERT_TRUE(unmap.ok && map.ok);
    EXPECT_FALSE(late.ok());
    EXPECT_TRUE(again.ok());
    EXPECT_EQ(1u, host.counters().faults) << "the record was read";
    EXPECT_GT(unmap.at, 12 * US);
    EXPECT_LT(unmap.at, 15 * US);
    EXPECT_EQ(0u, host.occupancy().jobs + host.occupancy().cores);
    EXPECT_TRUE(rig.idle());
  }
}
