// SPDX-License-Identifier: Apache-2.0
// Faults in the kernel's log, and page requests that a VMM answers.
#include "tests/uapi/machine.h"

namespace uapi_test {
namespace {

TEST(Faults, AreLoggedByTheHandlerAndCleared) {
  Machine m;
  m.AddUnit();
  ims_device *dev = m.AddDevice();
  Vmm v(m);
  m.Dma(dev, 0x12345678, IMS_ACC_W);
  EXPECT_EQ(ims_kernel_faults(m.kernel), 0u); // noted, not handled
  EXPECT_TRUE(ims_kernel_interrupts(m.kernel));
  ASSERT_EQ(ims_kernel_faults(m.kernel), 1u);
  ims_kernel_fault f;
  ASSERT_TRUE(ims_kernel_fault_at(m.kernel, 0, &f));
  EXPECT_EQ(f.source, 0x0300);
  EXPECT_EQ(f.addr, 0x12345000u);
  EXPECT_EQ(f.reason, 0x79);
  EXPECT_EQ(f.type, 0); // write
  EXPECT_FALSE(f.has_pasid);
  m.Dma(dev, 0x7fff0000, IMS_ACC_R, 99);
  ims_kernel_interrupts(m.kernel);
  ASSERT_TRUE(ims_kernel_fault_at(m.kernel, 1, &f));
  EXPECT_EQ(f.type, 2); // read
  EXPECT_TRUE(f.has_pasid);
  EXPECT_EQ(f.pasid, 99u);
  EXPECT_EQ(f.reason, 0x51);
  EXPECT_FALSE(ims_kernel_fault_at(m.kernel, 2, &f));
  EXPECT_EQ(ims_iommu_read(m.units[0], IMS_VTD_OFF_FSTS, 4) & 3, 0u);
  EXPECT_EQ(m.Said(1 << IMS_NOTE_FAULT).back(),
            "fault of 03:00.0, PASID 99: read of 0x7fff0000, reason 0x51: PASID directory entry not present");
}

TEST(Faults, OverflowIsNoticedAndRecordingGoesOn) {
  Machine m;
  m.AddUnit();
  ims_device *dev = m.AddDevice();
  Vmm v(m);
  for (int i = 0; i < 20; i++)
    m.Dma(dev, 0x1000 * i);
  ims_kernel_interrupts(m.kernel);
  EXPECT_EQ(ims_kernel_faults(m.kernel), 8u); // as many registers
  ASSERT_EQ(m.Said(1 << IMS_NOTE_LOG).size(), 1u);
  EXPECT_EQ(ims_iommu_read(m.units[0], IMS_VTD_OFF_FSTS, 4) & 3, 0u);
  m.Dma(dev, 0x777000);
  ims_kernel_interrupts(m.kernel);
  ims_kernel_fault f;
  ASSERT_TRUE(ims_kernel_fault_at(m.kernel, 8, &f));
  EXPECT_EQ(f.addr, 0x777000u);
}

TEST(Faults, SeveralUnitsHaveTheirOwnVectors) {
  Machine m;
  for (int i = 0; i < 3; i++)
    m.AddUnit();
  ims_device *dev = m.AddDevice(Machine::DeviceConfig(0x0500, 1, 2));
  m.Dma(dev, 0x1000);
  ims_kernel_interrupts(m.kernel);
  ims_kernel_fault f;
  ASSERT_TRUE(ims_kernel_fault_at(m.kernel, 0, &f));
  EXPECT_EQ(f.unit, 2);
  ims_kernel_message(m.kernel, 0xfee00000 + (9 << 12), 0); // of no unit
  ims_kernel_message(m.kernel, 0x1234, 0);
  EXPECT_FALSE(ims_kernel_interrupts(m.kernel));
}

TEST(Faults, LogKeepsTheNewest) {
  Machine m;
  m.AddUnit();
  ims_device *dev = m.AddDevice();
  for (uint64_t i = 0; i < 5000; i++) {
    m.Dma(dev, i << 12);
    ims_kernel_interrupts(m.kernel);
  }
  EXPECT_EQ(ims_kernel_faults(m.kernel), 5000u);
  ims_kernel_fault f;
  EXPECT_FALSE(ims_kernel_fault_at(m.kernel, 0, &f));
  ASSERT_TRUE(ims_kernel_fault_at(m.kernel, 4999, &f));
  EXPECT_EQ(f.addr, 4999ull << 12);
}

struct GuestRequests : testing::Test {
  explicit GuestRequests(ims_dialect d = IMS_DIALECT_V7) : m(d) {
    m.AddUnit();
    dev = m.AddDevice();
    v = std::make_unique<Vmm>(m);
    EXPECT_EQ(v->Ioctl(0x3b76, ims_vfio_pasid_request{16, 1, 4, 4}), 4);
    EXPECT_EQ(v->Ioctl(0x3b77, MakeBindB(0, 4, 0x1000)), 0);
  }
  void Ask(uint64_t addr, uint16_t group, bool last = true, bool write = false) {
    ims_page_request r{};
    r.addr = addr;
    r.source = 0x0300;
    r.pasid = 4;
    r.has_pasid = true;
    r.last = last;
    r.read = !write;
    r.write = write;
    r.group = group;
    ims_request_page(m.units[0], &r);
  }
  long Answer(uint16_t group, uint32_t code, uint32_t pasid = 4, uint32_t flags = 1) {
    return ims_container_page_response(v->container,
                                       m.arena.Put(ims_iommu_page_response_b{24, 1, flags, pasid, group, code}));
  }
  Machine m;
  ims_device *dev;
  std::unique_ptr<Vmm> v;
  ims_iommu_fault_page_request f{};
};

TEST_F(GuestRequests, ReachTheVmmAndAreAnsweredByIt) {
  EXPECT_EQ(ims_container_read_fault(v->container, &f), 0);
  Ask(0x5000, 3, false);
  Ask(0x6000, 3, true, true);
  ASSERT_EQ(ims_container_read_fault(v->container, &f), 64);
  EXPECT_EQ(f.type, 2u);
  EXPECT_EQ(f.flags, 1u);
  EXPECT_EQ(f.pasid, 4u);
  EXPECT_EQ(f.grpid, 3u);
  EXPECT_EQ(f.perm, 1u);
  EXPECT_EQ(f.addr, 0x5000u);
  ASSERT_EQ(ims_container_read_fault(v->container, &f), 64);
  EXPECT_EQ(f.flags, 3u);
  EXPECT_EQ(f.perm, 2u);
  EXPECT_EQ(f.addr, 0x6000u);
  EXPECT_EQ(ims_container_read_fault(v->container, &f), 0);
  EXPECT_TRUE(m.responses.empty());
  EXPECT_EQ(Answer(3, 0), 0);
  ASSERT_EQ(m.responses.size(), 1u);
  EXPECT_EQ(m.responses[0].code, 0);
  EXPECT_EQ(m.responses[0].group, 3);
  EXPECT_EQ(Answer(3, 0), -EINVAL); // once
}

TEST_F(GuestRequests, AnswersAreChecked) {
  Ask(0x5000, 3);
  EXPECT_EQ(Answer(3, 0), -EINVAL); // not read yet: nobody can know of it
  ASSERT_EQ(ims_container_read_fault(v->container, &f), 64);
  EXPECT_EQ(ims_container_page_response(v->container, m.arena.Tail(23)), -EFAULT);
  EXPECT_EQ(ims_container_page_response(v->group[0], Arena::kBase), -EINVAL);
  EXPECT_EQ(Answer(3, 3), -EINVAL);
  EXPECT_EQ(Answer(4, 0), -EINVAL);
  EXPECT_EQ(Answer(3, 0, 5), -EINVAL);
  EXPECT_EQ(Answer(3, 0, 4, 0), -EINVAL);
  EXPECT_EQ(Answer(3, 0, 4, 2), -EINVAL);
  EXPECT_EQ(Answer(3, 2), 0);
  EXPECT_EQ(m.responses.at(0).code, 15); // FAILURE
}

TEST_F(GuestRequests, UnbindAnswersWhatIsOpen) {
  Ask(0x5000, 1);
  ASSERT_EQ(ims_container_read_fault(v->container, &f), 64);
  Ask(0x6000, 2);
  ims_kernel_interrupts(m.kernel);
  Ask(0x7000, 3); // still in the hardware's queue
  ASSERT_EQ(v->Ioctl(0x3b77, MakeBindB(1, 4, 0)), 0);
  ASSERT_EQ(m.responses.size(), 3u);
  for (const ims_page_response &r : m.responses)
    EXPECT_EQ(r.code, 1);
  EXPECT_EQ(ims_container_read_fault(v->container, &f), 0);
  EXPECT_EQ(Answer(1, 0), -EINVAL);
}

TEST_F(GuestRequests, RequestsWithoutAnOwnerAreInvalid) {
  ims_page_request r{};
  r.addr = 0x5000;
  r.source = 0x0300;
  r.last = r.read = true; // without PASID: the second stage alone, which serves nobody
  ims_request_page(m.units[0], &r);
  ims_kernel_interrupts(m.kernel);
  ASSERT_EQ(m.responses.size(), 1u);
  EXPECT_EQ(m.responses[0].code, 1);
  r.read = false; // a stop marker: no answer
  ims_request_page(m.units[0], &r);
  ims_kernel_interrupts(m.kernel);
  EXPECT_EQ(m.responses.size(), 1u);
}

} // namespace
} // namespace uapi_test
