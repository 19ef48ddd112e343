// SPDX-License-Identifier: Apache-2.0
// SVA: a process bound to devices, page requests served from its mappings, unmap notifications, exit.
#include "tests/uapi/machine.h"

namespace uapi_test {
namespace {

struct Sva : testing::Test {
  Machine m;
  unsigned unit = m.AddUnit();
  ims_device *dev = m.AddDevice();
  ims_process *p = m.AddProcess();
  uint64_t Memory(uint64_t size, unsigned prot = 3, unsigned flags = IMS_MMAP_POPULATE) {
    uint64_t va = 0;
    EXPECT_EQ(ims_mmap(p, 0, size, prot, flags, &va), 0);
    return va;
  }
  ims_sva *Bind(ims_device *d, ims_process *who) {
    ims_sva *s = nullptr;
    EXPECT_EQ(ims_sva_bind(d, who, &s), 0);
    return s;
  }
  ims_sva *Bind() { return Bind(dev, p); }
  // Returns the code of the response, or -1 when there is none.
  int PageRequest(uint64_t addr, bool write = false, bool last = true, uint16_t group = 1, uint32_t pasid = 1) {
    ims_page_request r{};
    r.addr = addr;
    r.source = ims_device_config_of(dev)->source;
    r.pasid = pasid;
    r.has_pasid = true;
    r.last = last;
    r.read = !write;
    r.write = write;
    r.group = group;
    m.responses.clear();
    ims_request_page(m.units[0], &r);
    ims_kernel_interrupts(m.kernel);
    return m.responses.empty() ? -1 : m.responses.back().code;
  }
};

TEST_F(Sva, DeviceUsesTheProcessesPageTable) {
  uint64_t va = Memory(2 * kPage), hpa = 0;
  ims_sva *s = Bind();
  EXPECT_EQ(ims_sva_pasid(s), 1u);
  EXPECT_EQ(ims_process_pasid(p), 1u);
  ASSERT_EQ(ims_process_translate(p, va + kPage, &hpa), IMS_ERR_OK);
  EXPECT_EQ(m.Dma(dev, va + kPage + 8, IMS_ACC_W, 1).output, hpa + 8);
  uint64_t later = Memory(kPage); // new mappings appear by themselves
  EXPECT_EQ(m.Dma(dev, later, IMS_ACC_R, 1).status, IMS_STATUS_OK);
  ims_sva_unbind(s);
  EXPECT_EQ(m.Dma(dev, later, IMS_ACC_R, 1).fault, 0x59);
  EXPECT_EQ(ims_process_pasid(p), 1u); // stays with the mm
}

TEST_F(Sva, EntryIsFirstStageWithTheSharedDomainId) {
  Bind();
  uint64_t e = (m.Load(ims_device_pasid_dir(dev)) & ~0xfffull) + 64;
  EXPECT_EQ(m.Load(e), 0x041u);                         // P, PGTT 1
  EXPECT_EQ(m.Load(e + 8), 0x800001u);                  // DID 1, PWSNP
  EXPECT_EQ(m.Load(e + 16), ims_process_pgd(p) | 0x20); // NXE; 4 levels
}

TEST_F(Sva, FiveLevelProcessorSetsTheMode) {
  Machine five(IMS_DIALECT_V7, [](ims_kernel_config &c) { c.cpu_levels = 5; });
  five.AddUnit();
  ims_device *d = five.AddDevice();
  ims_process *q = five.AddProcess();
  Bind(d, q);
  uint64_t e = (five.Load(ims_device_pasid_dir(d)) & ~0xfffull) + 64;
  EXPECT_EQ(five.Load(e + 16) & 0xfff, 0x24u);
  uint64_t va = 0;
  ASSERT_EQ(ims_mmap(q, 1ull << 52, kPage, 3, IMS_MMAP_POPULATE | IMS_MMAP_FIXED, &va), 0);
  EXPECT_EQ(five.Dma(d, va, IMS_ACC_R, 1).status, IMS_STATUS_OK);
}

TEST_F(Sva, BindErrors) {
  ims_sva *s = nullptr;
  auto with = [&](const std::function<void(ims_device_config &)> &change, uint16_t source) {
    ims_device_config c = Machine::DeviceConfig(source, 20 + source);
    change(c);
    return m.AddDevice(c);
  };
  EXPECT_EQ(ims_sva_bind(with([](ims_device_config &c) { c.group = IMS_NO_GROUP; }, 1), p, &s), -ENODEV);
  EXPECT_EQ(ims_sva_bind(with([](ims_device_config &c) { c.pasid_bits = 0; }, 2), p, &s), -ENOSPC);
  EXPECT_EQ(ims_sva_bind(with([](ims_device_config &c) { c.ats = c.pri = false; }, 3), p, &s), -EINVAL);
  EXPECT_EQ(ims_sva_bind(with([](ims_device_config &c) { c.pri = false; }, 4), p, &s), 0); // no PRI is fine
  EXPECT_EQ(ims_device_enable_pri(dev, false), 0);
  EXPECT_EQ(ims_sva_bind(dev, p, &s), -EINVAL); // but not PRI that is off
  EXPECT_EQ(ims_device_enable_pri(dev, true), 0);
  EXPECT_EQ(ims_sva_bind(dev, p, &s), 0);
}

TEST_F(Sva, UnitsThatCannotFollowTheProcessor) {
  for (auto change : {+[](ims_vtd_config &c) { c.smpwcs = 0; }, +[](ims_vtd_config &c) { c.fs1gp = 0; }}) {
    ims_vtd_config c = Machine::UnitConfig();
    change(c);
    Machine other;
    other.AddUnit(c);
    ims_sva *s = nullptr;
    EXPECT_EQ(ims_sva_bind(other.AddDevice(), other.AddProcess(), &s), -ENODEV);
  }
  ims_vtd_config c = Machine::UnitConfig();
  c.fs5lp = 0;
  Machine five(IMS_DIALECT_V7, [](ims_kernel_config &k) { k.cpu_levels = 5; });
  five.AddUnit(c);
  ims_sva *s = nullptr;
  EXPECT_EQ(ims_sva_bind(five.AddDevice(), five.AddProcess(), &s), -ENODEV);
}

TEST_F(Sva, PasidSpaceAndDeviceLimits) {
  ims_device_config c = Machine::DeviceConfig(0x0100, 9);
  c.pasid_bits = 2; // PASIDs 1 to 3
  ims_device *small = m.AddDevice(c);
  ims_process *q[4];
  ims_sva *s = nullptr;
  for (int i = 0; i < 3; i++)
    EXPECT_EQ(ims_sva_bind(small, q[i] = m.AddProcess(), &s), 0);
  EXPECT_EQ(ims_sva_bind(small, q[3] = m.AddProcess(), &s), -ENOSPC);
  EXPECT_EQ(ims_sva_bind(dev, q[3], &s), 0); // PASID 4
  EXPECT_EQ(ims_process_pasid(q[3]), 4u);
  EXPECT_EQ(ims_sva_bind(small, q[3], &s), -EOVERFLOW);
}

TEST_F(Sva, SameBindCountsReferences) {
  uint64_t va = Memory(kPage);
  ims_sva *a = Bind(), *b = Bind();
  EXPECT_EQ(a, b);
  ims_sva_unbind(a);
  EXPECT_EQ(m.Dma(dev, va, IMS_ACC_R, 1).status, IMS_STATUS_OK);
  ims_sva_unbind(b);
  EXPECT_EQ(m.Dma(dev, va, IMS_ACC_R, 1).fault, 0x59);
}

TEST_F(Sva, OnePasidForAllDevicesAndUnits) {
  m.AddUnit();
  ims_device *other = m.AddDevice(Machine::DeviceConfig(0x0800, 9, 1));
  uint64_t va = Memory(kPage);
  Bind();
  ims_sva *s = Bind(other, p);
  EXPECT_EQ(ims_sva_pasid(s), 1u);
  EXPECT_EQ(m.Dma(other, va, IMS_ACC_R, 1).output, m.Dma(dev, va, IMS_ACC_R, 1).output);
  ims_process *q = m.AddProcess();
  EXPECT_EQ(ims_sva_pasid(Bind(other, q)), 2u);
}

TEST_F(Sva, UnmapTellsIotlbAndDeviceTlb) {
  uint64_t va = Memory(4 * kPage);
  Bind();
  EXPECT_EQ(m.Dma(dev, va, IMS_ACC_W, 1).status, IMS_STATUS_OK);
  m.Clear();
  ASSERT_EQ(ims_munmap(p, va, 4 * kPage), 0);
  EXPECT_EQ(m.DescriptorTypes(), (std::vector<unsigned>{6, 8, 5}));
  ASSERT_EQ(m.invalidations.size(), 1u);
  EXPECT_EQ(m.invalidations[0].addr, va);
  EXPECT_EQ(m.invalidations[0].last, va + 4 * kPage - 1);
  EXPECT_EQ(m.invalidations[0].pasid, 1u);
  EXPECT_EQ(m.Dma(dev, va, IMS_ACC_W, 1).fault, 0x71);
}

TEST_F(Sva, ProtectTakesWriteAway) {
  uint64_t va = Memory(kPage);
  Bind();
  EXPECT_EQ(m.Dma(dev, va, IMS_ACC_W, 1).status, IMS_STATUS_OK);
  ASSERT_EQ(ims_mprotect(p, va, kPage, IMS_PROT_READ), 0);
  EXPECT_EQ(m.Dma(dev, va, IMS_ACC_W, 1).fault, 0x85);
  EXPECT_EQ(m.Dma(dev, va, IMS_ACC_R, 1).status, IMS_STATUS_OK);
  ASSERT_EQ(ims_mprotect(p, va, kPage, 0), 0);
  EXPECT_EQ(m.Dma(dev, va, IMS_ACC_R, 1).fault, 0x71);
  ASSERT_EQ(ims_mprotect(p, va, kPage, 3), 0);
  EXPECT_EQ(m.Dma(dev, va, IMS_ACC_W, 1).status, IMS_STATUS_OK);
}

TEST_F(Sva, PageRequestsAreServedFromTheMappings) {
  uint64_t va = Memory(4 * kPage, 3, 0), ro = Memory(kPage, 1, 0);
  Bind();
  EXPECT_EQ(m.Dma(dev, va, IMS_ACC_W, 1).fault, 0x71);
  EXPECT_EQ(PageRequest(va, true), 0);
  EXPECT_EQ(m.Dma(dev, va, IMS_ACC_W, 1).status, IMS_STATUS_OK);
  EXPECT_EQ(PageRequest(ro, true), 1);
  EXPECT_EQ(PageRequest(ro), 0);
  EXPECT_EQ(PageRequest(0x1000), 1);                    // no area
  EXPECT_EQ(PageRequest(va, false, true, 1, 9), 1);     // nobody's PASID
  EXPECT_EQ(PageRequest(0x00ff000000000000, false), 1); // not canonical for 4 levels: no area either
}

TEST_F(Sva, GroupIsAnsweredOnce) {
  uint64_t va = Memory(4 * kPage, 3, 0);
  Bind();
  EXPECT_EQ(PageRequest(va, true, false, 5), -1);
  EXPECT_EQ(PageRequest(va + kPage, true, false, 6), -1); // another group
  EXPECT_EQ(PageRequest(va + 2 * kPage, true, true, 5), 0);
  ASSERT_EQ(m.responses.size(), 1u);
  EXPECT_EQ(m.responses[0].group, 5);
  EXPECT_EQ(m.responses[0].pasid, 1u);
  EXPECT_TRUE(m.responses[0].has_pasid);
  EXPECT_EQ(m.Dma(dev, va, IMS_ACC_W, 1).status, IMS_STATUS_OK);
  EXPECT_EQ(m.Dma(dev, va + kPage, IMS_ACC_W, 1).fault, 0x71); // its group is not complete
  EXPECT_EQ(PageRequest(va + 3 * kPage, true, true, 6), 0);
  EXPECT_EQ(m.Dma(dev, va + kPage, IMS_ACC_W, 1).status, IMS_STATUS_OK);
}

TEST_F(Sva, OverflowOfTheQueueIsHandled) {
  uint64_t va = Memory(kPage, 3, 0);
  Bind();
  ims_page_request r{};
  r.addr = va;
  r.source = 0x0300;
  r.pasid = 1;
  r.has_pasid = r.read = r.last = true;
  int refused = 0;
  for (int i = 0; i < 1100; i++)
    refused += !ims_request_page(m.units[0], &r);
  EXPECT_EQ(refused, 1100 - 1023); // one of 1024 places stays free
  m.responses.clear();
  EXPECT_TRUE(ims_kernel_interrupts(m.kernel));
  EXPECT_EQ(m.responses.size(), 1023u);
  EXPECT_EQ(ims_iommu_read(m.units[0], IMS_VTD_OFF_PRS, 4), 0u);
  EXPECT_TRUE(ims_request_page(m.units[0], &r));
  EXPECT_EQ(PageRequest(va), 0);
}

TEST_F(Sva, UnbindDrainsWhatIsInTheQueue) {
  uint64_t va = Memory(kPage, 3, 0);
  ims_sva *s = Bind();
  ims_page_request r{};
  r.addr = va;
  r.source = 0x0300;
  r.pasid = 1;
  r.has_pasid = r.read = r.last = true;
  ASSERT_TRUE(ims_request_page(m.units[0], &r));
  m.responses.clear();
  ims_sva_unbind(s);
  ASSERT_EQ(m.responses.size(), 1u); // answered, before the unbind came back
  EXPECT_EQ(ims_iommu_read(m.units[0], IMS_VTD_OFF_PQH, 8), ims_iommu_read(m.units[0], IMS_VTD_OFF_PQT, 8));
  EXPECT_EQ(m.Dma(dev, va, IMS_ACC_R, 1).fault, 0x59);
}

TEST_F(Sva, ExitWhileBoundLeavesFaultsDisabled) {
  uint64_t va = Memory(kPage);
  ims_sva *s = Bind();
  EXPECT_EQ(m.Dma(dev, va, IMS_ACC_R, 1).status, IMS_STATUS_OK);
  m.Clear();
  ims_process_exit(p);
  EXPECT_EQ(m.DescriptorTypes(), (std::vector<unsigned>{7, 5, 6, 5, 8, 5})); // no drain
  uint64_t e = (m.Load(ims_device_pasid_dir(dev)) & ~0xfffull) + 64;
  EXPECT_EQ(m.Load(e), 2u); // FPD
  uint64_t faults = ims_kernel_faults(m.kernel);
  ims_result r = m.Dma(dev, va, IMS_ACC_R, 1);
  EXPECT_EQ(r.status, IMS_STATUS_FAULT);
  EXPECT_FALSE(r.recorded);
  ims_kernel_interrupts(m.kernel);
  EXPECT_EQ(ims_kernel_faults(m.kernel), faults);
  m.Clear();
  ims_sva_unbind(s); // now it drains
  EXPECT_EQ(m.DescriptorTypes(), (std::vector<unsigned>{5, 6, 8, 5}));
  EXPECT_EQ(m.Load(e), 0u);
  ims_sva *again = Bind(dev, m.AddProcess());
  EXPECT_EQ(ims_sva_pasid(again), 1u); // free again
}

TEST_F(Sva, DeviceInUseByAContainerKeepsItsOwnPasids) {
  Vmm v(m);
  ims_sva *s = nullptr;
  ASSERT_EQ(v.Ioctl(0x3b76, ims_vfio_pasid_request{16, 1, 1, 1}), 1);
  ASSERT_EQ(ims_sva_bind(dev, p, &s), 0);
  EXPECT_EQ(ims_sva_pasid(s), 2u); // one space for all
  EXPECT_EQ(v.Ioctl(0x3b76, ims_vfio_pasid_request{16, 1, 2, 2}), -ENOSPC);
}

} // namespace
} // namespace uapi_test
