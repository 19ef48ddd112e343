// SPDX-License-Identifier: Apache-2.0
// A unit over an empty ims_mem, in a platform whose memory lies behind the module's socket (Iommu::behind).
#include "tests/model/rig.h"

#include <gtest/gtest.h>

using namespace ims::model;

namespace {

struct Platform : sc_core::sc_module {
  explicit Platform(sc_core::sc_module_name name)
      : sc_module(name), driver("driver", this, {&Platform::done, nullptr, nullptr}),
        memory("memory", machine.memory()), device("device"),
        iommu(
            "iommu0",
            [this](const ims_iommu_bus *bus) {
              ims_vtd_config c = vtd_config();
              ims_iommu *unit = nullptr;
              EXPECT_EQ(ims_vtd_new(&unit, &c, &own, bus), IMS_ERR_OK);
              return unit;
            },
            IommuConfig()) {
    device.port.socket.bind(iommu.device);
    iommu.memory.bind(memory.port.socket);
    driver.socket.bind(iommu.registers);
    machine.start(iommu);
  }
  ~Platform() override { ims_mem_fini(&own); }
  void start_of_simulation() override {
    if (!look_through)
      return;
    ims_mem_remote remote = iommu.behind();
    ims_mem_set_remote(&own, &remote);
  }
  void ring(uint64_t) {
    set_payload(*payload, tlm::TLM_WRITE_COMMAND, bell.offset, &bell.value, bell.size);
    driver.send(*payload);
  }
  void done(Payload &p) { EXPECT_TRUE(p.is_response_ok()); }

  Machine machine{MachineConfig()};
  ims_mem own = {}; // empty
  RequestPort<Platform> driver;
  Memory memory;
  Requester device;
  Iommu iommu;
  PayloadPool<WalkExtension> pool;
  Payload *payload = &pool.get();
  Doorbell bell;
  bool look_through = true;
};

// Runs a translation, then the queue; returns whether the queue's wait is over.
bool run(bool look_through) {
  Simulation simulation;
  Platform p("platform");
  p.look_through = look_through;
  const Stream &s = p.machine.streams()[0];
  auto &dma = p.device.send(0, s, s.iova);
  p.bell = p.machine.invalidate(0, s.iova, 4096);
  Agenda::of_simulation().at<&Platform::ring>(50 * US, &p);
  auto &again = p.device.send(100 * US, s, s.iova);
  simulation.run();
  EXPECT_TRUE(dma.done && dma.ok());
  EXPECT_EQ(dma.result().output, p.machine.frame(0, s.iova));
  if (look_through) {
    uint64_t there = 0, word = 0;
    const uint64_t frame = p.machine.frame(0, s.iova);
    EXPECT_EQ(ims_mem_store64(&p.own, frame, 0x1122334455667788), IMS_ERR_OK);
    EXPECT_EQ(ims_mem_load64(p.machine.memory(), frame, &there), IMS_ERR_OK);
    EXPECT_EQ(ims_mem_load64(&p.own, frame, &word), IMS_ERR_OK);
    EXPECT_EQ(there, 0x1122334455667788u);
    EXPECT_EQ(word, there);
    EXPECT_EQ(ims_mem_load64(&p.own, 1ull << 51, &word), IMS_ERR_BUS); // nothing is there either
    EXPECT_TRUE(again.done && again.ok());
    EXPECT_GT(again.result().refs, 0u); // it was invalidated
  }
  return p.machine.completed(p.bell.ticket);
}

TEST(ForeignMemory, QueueAndCompletionLieBehindTheSocket) { EXPECT_TRUE(run(true)); }

TEST(ForeignMemory, WithoutItTheQueueIsAbsentMemory) { EXPECT_FALSE(run(false)); }

} // namespace
