// SPDX-License-Identifier: Apache-2.0
// The Iommu module's queue in time, stalls, page requests, DMI and debug transport.
#include "tests/model/rig.h"

#include <functional>
#include <gtest/gtest.h>

using namespace ims::model;

namespace {

// Writes registers through the module's MMIO socket, at a time, and does whatever else the test wants at a time.
class Driver : public sc_core::sc_module {
public:
  explicit Driver(sc_core::sc_module_name name)
      : sc_module(name), port("port", this, {&Driver::done, nullptr, nullptr}) {}
  RequestPort<Driver> port;

  void at(Ticks when, std::function<void()> what) {
    what_.push_back(std::move(what));
    agenda_.at<&Driver::go>(when, this, what_.size() - 1);
  }
  void ring(const Doorbell &d) {
    ASSERT_TRUE(d);
    Payload &p = pool_.get();
    word_.push_back(d.value);
    set_payload(p, tlm::TLM_WRITE_COMMAND, d.offset, &word_.back(), d.size);
    port.send(p);
    p.release();
  }

private:
  void go(uint64_t i) { what_[i](); }
  void done(Payload &p) { EXPECT_TRUE(p.is_response_ok()); }
  Agenda &agenda_ = Agenda::of_simulation();
  PayloadPool<WalkExtension> pool_;
  std::deque<uint64_t> word_;
  std::deque<std::function<void()>> what_;
};

// A device's end of the message socket: answers after a while, or not at all.
class Messages : public sc_core::sc_module {
public:
  Messages(sc_core::sc_module_name name, Ticks delay, bool deaf)
      : sc_module(name), port("port", this, {&Messages::b_transport, &Messages::arrive, nullptr, &Messages::debug}),
        delay_(delay), deaf_(deaf) {}
  ResponsePort<Messages> port;
  std::vector<MessageExtension> seen;

private:
  void b_transport(unsigned, Payload &p, sc_core::sc_time &t) {
    seen.push_back(*p.get_extension<MessageExtension>());
    p.set_response_status(tlm::TLM_OK_RESPONSE);
    t += to_sc(delay_);
  }
  Arrival arrive(unsigned, Payload &p, Ticks *when) {
    seen.push_back(*p.get_extension<MessageExtension>());
    p.set_response_status(tlm::TLM_OK_RESPONSE);
    *when += delay_;
    return Arrival::FINISHED;
  }
  unsigned debug(unsigned, Payload &) { return deaf_ ? 0 : 1; }
  Ticks delay_;
  bool deaf_;
};

struct QueueRig : Rig {
  QueueRig(const MachineConfig &m, const IommuConfig &c = {}, Ticks answer = 500 * NS, bool deaf = false)
      : Rig(m, c), driver("driver"), messages("messages", answer, deaf) {
    driver.port.socket.bind(iommu.registers);
    iommu.message.bind(messages.port.socket);
  }
  // Looks every 10 ns whether the ticket is done.
  void watch(const Doorbell &d, Ticks *done_at) {
    if (machine.completed(d.ticket))
      *done_at = Agenda::of_simulation().now();
    else
      driver.at(Agenda::of_simulation().now() + 10 * NS, [this, d, done_at] { watch(d, done_at); });
  }
  Driver driver;
  Messages messages;
};

MachineConfig machine_of(unsigned arch) {
  MachineConfig m;
  m.arch = arch;
  return m;
}

} // namespace

// Descriptors take their reads and their execution, one after the other; the translation is gone behind them.
TEST(IommuQueue, AnInvalidationTakesItsTime) {
  for (unsigned arch : {ARCH_VTD, ARCH_SMMUV3}) {
    IommuConfig c;
    c.descriptor_ns = 25 * NS;
    QueueRig rig(machine_of(arch), c);
    Doorbell bell;
    Ticks done = 0;
    rig.device.send(0, rig.stream(), rig.page(1));
    rig.driver.at(100 * US, [&] {
      ASSERT_EQ(rig.machine.unmap(0, rig.page(1), 4096), 0);
      bell = rig.machine.invalidate(0, rig.page(1), 4096);
      rig.driver.ring(bell);
      rig.watch(bell, &done);
    });
    auto &stale = rig.device.send(100 * US, rig.stream(), rig.page(1)); // before any descriptor is executed
    auto &gone = rig.device.send(200 * US, rig.stream(), rig.page(1));
    rig.simulation.run();
    EXPECT_TRUE(stale.ok());
    EXPECT_EQ(stale.result().refs, 0u);
    EXPECT_FALSE(gone.ok());
    EXPECT_EQ(rig.iommu.counters().descriptors, bell.entries);
    EXPECT_EQ(rig.iommu.counters().waits, 1u);
    const Ticks each = 60 * NS + 25 * NS, all = bell.entries * each;
    EXPECT_GE(done, 100 * US + all);
    EXPECT_LT(done, 100 * US + all + 100 * NS);
    EXPECT_TRUE(rig.idle());
  }
}

// A translation that began before the wait is over when the wait completes; without the drain it is not waited for.
TEST(IommuQueue, AWaitDrainsWhatBeganBeforeIt) {
  for (bool drain : {false, true}) {
    IommuConfig c;
    c.drain = drain;
    QueueRig rig(machine_of(ARCH_VTD), c);
    Doorbell bell;
    Ticks done = 0;
    auto &walk = rig.device.send(0, rig.stream(), rig.page(2)); // 28 reads
    rig.driver.at(200 * NS, [&] {
      bell = rig.machine.invalidate(0, rig.page(1), 4096);
      rig.driver.ring(bell);
      rig.watch(bell, &done);
    });
    auto &later = rig.device.send(1000 * NS, rig.stream(), rig.page(3)); // began behind it: not waited for
    rig.simulation.run();
    EXPECT_TRUE(walk.ok() && later.ok());
    EXPECT_EQ(done >= walk.done_at, drain);
    EXPECT_LT(done, later.done_at);
    EXPECT_EQ(rig.iommu.counters().drained, drain ? 1u : 0u);
    EXPECT_TRUE(rig.idle());
  }
}

// What a walk read before an invalidation must not be in the cache behind it.
TEST(IommuQueue, AWalkUnderWayLeavesNothingStale) {
  QueueRig rig(machine_of(ARCH_VTD));
  auto &early = rig.device.send(0, rig.stream(), rig.page(2));
  rig.driver.at(1700 * NS, [&] { // it has read the last entry of the first stage by then
    ASSERT_EQ(rig.machine.unmap(0, rig.page(2), 4096), 0);
    rig.driver.ring(rig.machine.invalidate(0, rig.page(2), 4096));
  });
  auto &late = rig.device.send(100 * US, rig.stream(), rig.page(2));
  rig.simulation.run();
  EXPECT_TRUE(early.ok());
  EXPECT_FALSE(late.ok());
  EXPECT_TRUE(rig.idle());
}

TEST(IommuQueue, AWaitWaitsForDevicesToAnswer) {
  MachineConfig m = machine_of(ARCH_VTD);
  m.ats = 1;
  QueueRig rig(m, {}, 7 * US);
  Doorbell bell;
  Ticks done = 0;
  rig.driver.at(0, [&] {
    bell = rig.machine.invalidate(0, rig.page(1), 4096);
    rig.driver.ring(bell);
    rig.watch(bell, &done);
  });
  rig.simulation.run();
  ASSERT_EQ(rig.messages.seen.size(), 1u);
  EXPECT_EQ(rig.messages.seen[0].kind, MessageExtension::INVALIDATE);
  EXPECT_EQ(rig.messages.seen[0].invalidate.source, rig.stream().source);
  EXPECT_GE(done, 7 * US);
  EXPECT_LT(done, 8 * US);
  EXPECT_EQ(rig.iommu.counters().device_invalidations, 1u);
  EXPECT_TRUE(rig.idle());
}

// VT-d: a device that does not answer stops the queue with an invalidation time-out error.
TEST(IommuQueue, ADeafDeviceStopsTheQueue) {
  MachineConfig m = machine_of(ARCH_VTD);
  m.ats = 1;
  QueueRig rig(m, {}, 0, true);
  Doorbell bell;
  rig.driver.at(0, [&] {
    bell = rig.machine.invalidate(0, rig.page(1), 4096);
    rig.driver.ring(bell);
  });
  rig.simulation.run();
  EXPECT_FALSE(rig.machine.completed(bell.ticket));
  EXPECT_EQ(rig.iommu.counters().device_timeouts, 1u);
  EXPECT_TRUE(ims_iommu_read(rig.iommu.unit(), IMS_VTD_OFF_FSTS, 4) & IMS_VTD_BITS(FSTS_ITE));
  EXPECT_TRUE(rig.idle());
}

TEST(IommuStall, ARequestIsHeldUntilSoftwareResumesIt) {
  for (ims_resume_action action : {IMS_RESUME_RETRY, IMS_RESUME_ABORT, IMS_RESUME_ZERO}) {
    MachineConfig m = machine_of(ARCH_SMMUV3);
    m.faults = FAULTS_STALL;
    QueueRig rig(m);
    ASSERT_EQ(rig.machine.unmap(0, rig.page(4), 4096), 0);
    auto &held = rig.device.send(0, rig.stream(), rig.page(4));
    held.data.fill(0xaa);
    auto &other = rig.device.send(5 * US, rig.stream(), rig.page(5));
    rig.driver.at(50 * US, [&] {
      EXPECT_EQ(rig.iommu.occupancy().stalled, 1u);
      Drain log = rig.machine.drain(MachineLog::FAULTS, rig.iommu.unit());
      ASSERT_EQ(log.faults.size(), 1u);
      EXPECT_TRUE(log.faults[0].stalled);
      EXPECT_EQ(log.faults[0].iova & ~4095ull, rig.page(4));
      ASSERT_EQ(rig.machine.map(0, rig.page(4), 4096), 0);
      rig.driver.ring(rig.machine.resume(log.faults[0], action));
    });
    rig.simulation.run();
    ASSERT_TRUE(held.done && other.done);
    EXPECT_LT(other.done_at, 10 * US);
    EXPECT_GT(held.done_at, 50 * US);
    EXPECT_EQ(held.ok(), action != IMS_RESUME_ABORT);
    EXPECT_EQ(held.result().status, action == IMS_RESUME_RETRY ? IMS_STATUS_OK : IMS_STATUS_ABORT);
    if (action == IMS_RESUME_ZERO) {
      EXPECT_EQ(held.data, (std::array<unsigned char, 64>{}));
    }
    EXPECT_EQ(rig.iommu.counters().stalled, 1u);
    EXPECT_EQ(rig.iommu.counters().translated + rig.iommu.counters().faulted, 2u);
    EXPECT_TRUE(rig.idle());
  }
}

// A stalled request does not hold up CMD_SYNC, since software that would resume it may wait for that.
TEST(IommuStall, AStalledRequestIsNotDrained) {
  MachineConfig m = machine_of(ARCH_SMMUV3);
  m.faults = FAULTS_STALL;
  QueueRig rig(m);
  ASSERT_EQ(rig.machine.unmap(0, rig.page(4), 4096), 0);
  rig.device.send(0, rig.stream(), rig.page(4));
  Doorbell bell;
  Ticks done = 0;
  rig.driver.at(20 * US, [&] {
    bell = rig.machine.invalidate(0, rig.page(1), 4096);
    rig.driver.ring(bell);
    rig.watch(bell, &done);
  });
  rig.driver.at(60 * US, [&] {
    Drain log = rig.machine.drain(MachineLog::FAULTS, rig.iommu.unit());
    rig.driver.ring(rig.machine.resume(log.faults[0], IMS_RESUME_ABORT));
  });
  rig.simulation.run();
  EXPECT_GT(done, 20 * US);
  EXPECT_LT(done, 30 * US);
  EXPECT_TRUE(rig.idle());
}

TEST(IommuMessages, APageRequestIsQueuedAndItsResponseGoesToTheDevice) {
  for (unsigned arch : {ARCH_VTD, ARCH_SMMUV3}) {
    MachineConfig m = machine_of(arch);
    m.ats = m.pri = 1;
    QueueRig rig(m);
    auto &x = rig.device.prepare(rig.stream(), rig.page(2), false);
    x.payload->set_command(tlm::TLM_IGNORE_COMMAND);
    x.extension->type = IMS_PAGE_REQUEST;
    x.extension->page.addr = rig.page(2);
    x.extension->page.source = rig.stream().source;
    x.extension->page.pasid = rig.stream().pasid;
    x.extension->page.has_pasid = rig.stream().has_pasid;
    x.extension->page.last = x.extension->page.read = true;
    x.extension->page.group = 17;
    rig.device.start_at(0, x);
    rig.driver.at(10 * US, [&] {
      Drain log = rig.machine.drain(MachineLog::PAGE_REQUESTS, rig.iommu.unit());
      ASSERT_EQ(log.pages.size(), 1u);
      EXPECT_EQ(log.pages[0].addr, rig.page(2));
      EXPECT_EQ(log.pages[0].group, 17);
      rig.driver.ring(rig.machine.respond(log.pages[0], 0));
    });
    rig.simulation.run();
    EXPECT_TRUE(x.done && x.ok());
    ASSERT_EQ(rig.messages.seen.size(), 1u);
    EXPECT_EQ(rig.messages.seen[0].kind, MessageExtension::PAGE_RESPONSE);
    EXPECT_EQ(rig.messages.seen[0].response.group, 17);
    EXPECT_TRUE(rig.idle());
  }
}

// DMI and debug.

TEST(IommuDirect, APageIsGrantedWithItsRightsAndWithdrawnByAnInvalidation) {
  struct Access : Requester {
    using Requester::Requester;
  };
  QueueRig rig(machine_of(ARCH_VTD));
  uint64_t pattern = 0x0123456789abcdef;
  rig.driver.at(0, [&] {
    ims_mem_write(rig.machine.memory(), rig.machine.frame(0, rig.page(3)) + 8, &pattern, 8);
    auto &x = rig.device.prepare(rig.stream(), rig.page(3) + 8, false);
    tlm::tlm_dmi dmi;
    ASSERT_TRUE(rig.device.port.socket->get_direct_mem_ptr(*x.payload, dmi));
    EXPECT_EQ(dmi.get_start_address(), rig.page(3));
    EXPECT_EQ(dmi.get_end_address(), rig.page(3) + 4095);
    EXPECT_EQ(memcmp(dmi.get_dmi_ptr() + 8, &pattern, 8), 0);
    EXPECT_TRUE(dmi.is_read_allowed());
    EXPECT_FALSE(dmi.is_write_allowed()); // a write's dirty bit would have to be looked at
    EXPECT_EQ(dmi.get_read_latency().value(), 1 * NS + 2 * NS + 2 * NS + 2 * NS + 1 * NS + 60 * NS);
    auto &w = rig.device.prepare(rig.stream(), rig.page(3), true);
    ASSERT_TRUE(rig.device.port.socket->get_direct_mem_ptr(*w.payload, dmi));
    EXPECT_TRUE(dmi.is_read_write_allowed());
    auto &hole = rig.device.prepare(rig.stream(), rig.page(16), false);
    EXPECT_FALSE(rig.device.port.socket->get_direct_mem_ptr(*hole.payload, dmi));
    EXPECT_EQ(rig.iommu.unit()->count.faults, 0u);
    EXPECT_EQ(rig.iommu.counters().dmi_granted, 2u);
    EXPECT_EQ(rig.iommu.counters().dmi_withdrawn, 0u);
    rig.driver.ring(rig.machine.invalidate(0, rig.page(3), 4096));
  });
  rig.driver.at(10 * US, [&] {
    EXPECT_EQ(rig.iommu.counters().dmi_withdrawn, 1u);
    tlm::tlm_dmi dmi;
    rig.iommu.refuse_dmi(true);
    auto &x = rig.device.prepare(rig.stream(), rig.page(3), false);
    EXPECT_FALSE(rig.device.port.socket->get_direct_mem_ptr(*x.payload, dmi));
  });
  rig.simulation.run();
  EXPECT_EQ(rig.iommu.counters().dmi_withdrawn, 1u);
}

TEST(IommuDirect, DebugAccessesTranslatePageByPageAndLeaveNoTrace) {
  MachineConfig m = machine_of(ARCH_SMMUV3);
  m.scatter = 1;
  QueueRig rig(m);
  rig.driver.at(0, [&] {
    std::array<unsigned char, 16> in{}, out{};
    for (unsigned i = 0; i < 16; i++)
      in[i] = static_cast<unsigned char>(i + 1);
    auto &x = rig.device.prepare(rig.stream(), rig.page(3) - 8, true);
    x.payload->set_data_ptr(in.data());
    x.payload->set_data_length(16);
    EXPECT_EQ(rig.device.port.socket->transport_dbg(*x.payload), 16u);
    EXPECT_EQ(x.payload->get_address(), rig.page(3) - 8);
    ims_mem_read(rig.machine.memory(), rig.machine.frame(0, rig.page(3) - 8), out.data(), 8);
    ims_mem_read(rig.machine.memory(), rig.machine.frame(0, rig.page(3)), out.data() + 8, 8);
    EXPECT_EQ(in, out);
    auto &end = rig.device.prepare(rig.stream(), rig.page(16) - 8, false);
    end.payload->set_data_length(16);
    EXPECT_EQ(rig.device.port.socket->transport_dbg(*end.payload), 8u); // nothing is mapped behind
    EXPECT_EQ(rig.iommu.counters().requests, 0u);
    EXPECT_EQ(rig.iommu.unit()->cache[IMS_CACHE_IOTLB].present, 0u);
    EXPECT_EQ(rig.memory.counters().reads, 0u);
  });
  rig.simulation.run();
}

TEST(IommuRegisters, IllegalAccessesAreRefused) {
  QueueRig rig(machine_of(ARCH_VTD));
  rig.driver.at(0, [&] {
    unsigned char bytes[16] = {};
    auto access = [&](uint64_t address, unsigned length, tlm::tlm_command command) {
      Payload p;
      set_payload(p, command, address, bytes, length);
      sc_core::sc_time t = sc_core::SC_ZERO_TIME;
      rig.driver.port.socket->b_transport(p, t);
      return p.get_response_status();
    };
    EXPECT_EQ(access(0, 4, tlm::TLM_READ_COMMAND), tlm::TLM_OK_RESPONSE);
    EXPECT_EQ(access(2, 4, tlm::TLM_READ_COMMAND), tlm::TLM_ADDRESS_ERROR_RESPONSE);
    EXPECT_EQ(access(uint64_t{1} << 40, 4, tlm::TLM_READ_COMMAND), tlm::TLM_ADDRESS_ERROR_RESPONSE);
    EXPECT_EQ(access(0, 16, tlm::TLM_WRITE_COMMAND), tlm::TLM_BURST_ERROR_RESPONSE);
  });
  rig.simulation.run();
}
