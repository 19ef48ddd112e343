// SPDX-License-Identifier: Apache-2.0
// SVA on SMMUv3: a process's own table under a CD of the host's, faults by stall and by page request, munmap, exit, unbind.
#include "tests/uapi/arm_guest.h"

namespace uapi_test {
namespace {

struct Params {
  const char *name;
  ims_cpu_format cpu;
  uint64_t page;
};

struct SmmuSva : testing::TestWithParam<Params> {
  Machine m{IMS_DIALECT_SMMUV3_V13, [](ims_kernel_config &c) { c.cpu_format = static_cast<uint8_t>(GetParam().cpu); }};
  unsigned unit = m.AddSmmu();
  ims_device *pci = m.AddDevice();
  ims_device *platform = m.AddDevice([] {
    ims_device_config d = Machine::DeviceConfig(0x500, 9);
    d.ats = d.pri = false;
    d.stall = d.not_pci = true;
    return d;
  }());
  ims_process *p = m.AddProcess();
  uint64_t page = GetParam().page;
  uint64_t Memory(uint64_t pages, unsigned prot = 3, unsigned flags = IMS_MMAP_POPULATE) {
    uint64_t va = 0;
    EXPECT_EQ(ims_mmap(p, 0, pages * page, prot, flags, &va), 0);
    return va;
  }
  ims_sva *Bind(ims_device *d, ims_process *who) {
    ims_sva *s = nullptr;
    EXPECT_EQ(ims_sva_bind(d, who, &s), 0);
    return s;
  }
  std::vector<uint64_t> Cd(ims_device *d, uint32_t ssid) {
    // Two levels, leaves of 64 KB.
    uint64_t leaf = m.Load(ims_device_pasid_dir(d) + (ssid >> 10) * 8) & ~0xfffull;
    std::vector<uint64_t> w;
    for (int i = 0; i < 8; i++)
      w.push_back(m.Load(leaf + (ssid & 1023) * 64 + 8 * i));
    return w;
  }
  std::vector<unsigned> Opcodes() {
    std::vector<unsigned> out;
    for (uint64_t d : m.Descriptors())
      out.push_back(d & 0xff);
    return out;
  }
};

TEST_P(SmmuSva, DeviceUsesTheProcessesTable) {
  uint64_t va = Memory(2), hpa = 0;
  ims_sva *s = Bind(pci, p);
  EXPECT_EQ(ims_sva_pasid(s), 1u);
  ASSERT_EQ(ims_process_translate(p, va + page, &hpa), IMS_ERR_OK);
  EXPECT_EQ(m.Dma(pci, va + page + 8, IMS_ACC_W, 1).output, hpa + 8);
  uint64_t later = Memory(1); // new mappings appear by themselves
  EXPECT_EQ(m.Dma(pci, later, IMS_ACC_R, 1).status, IMS_STATUS_OK);
  EXPECT_EQ(m.Dma(pci, va, IMS_ACC_R).fault, IMS_SMMUV3_F_STREAM_DISABLED); // the device's own requests have nothing
  ims_sva_unbind(s);
  EXPECT_EQ(m.Dma(pci, later, IMS_ACC_R, 1).status, IMS_STATUS_ABORT);
  EXPECT_EQ(ims_process_pasid(p), 1u);
}

TEST_P(SmmuSva, DescriptorIsThatOfAProcess) {
  Bind(pci, p);
  Bind(platform, p);
  auto cd = Cd(pci, 1), stalling = Cd(platform, 1);
  auto get = [&](ims_cd_field f) { return ims_cd_get(cd.data(), f); };
  EXPECT_EQ(get(IMS_CD_V), 1u);
  EXPECT_EQ(get(IMS_CD_AA64), 1u);
  EXPECT_EQ(get(IMS_CD_T0SZ), 16u);
  EXPECT_EQ(get(IMS_CD_TG0), page == 4096 ? 0u : page == 65536 ? 1u : 2u);
  EXPECT_EQ(get(IMS_CD_EPD0), 0u);
  EXPECT_EQ(get(IMS_CD_EPD1), 1u);
  EXPECT_EQ(get(IMS_CD_A), 1u);
  EXPECT_EQ(get(IMS_CD_R), 1u);
  EXPECT_EQ(get(IMS_CD_ASET), 1u);
  EXPECT_EQ(get(IMS_CD_S), 0u);
  EXPECT_EQ(get(IMS_CD_HA), 1u);
  EXPECT_EQ(get(IMS_CD_HD), 1u);
  EXPECT_EQ(ims_cd_address(cd.data(), IMS_CD_TTB0), ims_process_pgd(p));
  EXPECT_EQ(ims_cd_get(stalling.data(), IMS_CD_S), 1u);
  EXPECT_EQ(ims_cd_get(stalling.data(), IMS_CD_ASID), get(IMS_CD_ASID)); // of the mm
  ims_process *q = m.AddProcess();
  Bind(pci, q);
  auto other = Cd(pci, 2);
  EXPECT_NE(ims_cd_get(other.data(), IMS_CD_ASID), get(IMS_CD_ASID));
}

TEST_P(SmmuSva, MunmapInvalidatesTheRangeAndThenTheDevice) {
  uint64_t va = Memory(16);
  Bind(pci, p);
  for (int i = 0; i < 16; i++)
    ASSERT_EQ(m.Dma(pci, va + i * page, IMS_ACC_R, 1).status, IMS_STATUS_OK);
  m.Clear();
  ASSERT_EQ(ims_munmap(p, va + 4 * page, 3 * page), 0);
  EXPECT_EQ(Opcodes(), (std::vector<unsigned>{0x12, 0x46, 0x40, 0x46}));
  ASSERT_EQ(m.invalidations.size(), 1u);
  EXPECT_TRUE(m.invalidations[0].has_pasid);
  EXPECT_EQ(m.invalidations[0].pasid, 1u);
  EXPECT_LE(m.invalidations[0].addr, va + 4 * page);
  EXPECT_GE(m.invalidations[0].last, va + 7 * page - 1);
  for (int i = 0; i < 16; i++)
    EXPECT_EQ(m.Dma(pci, va + i * page, IMS_ACC_R, 1).status, i >= 4 && i < 7 ? IMS_STATUS_FAULT : IMS_STATUS_OK) << i;
}

TEST_P(SmmuSva, StallIsServedAndRetried) {
  uint64_t va = Memory(4, 3, 0), hpa = 0;
  Bind(platform, p);
  ims_result r = m.Dma(platform, va + 0x10, IMS_ACC_W, 1);
  ASSERT_EQ(r.status, IMS_STATUS_STALL);
  EXPECT_TRUE(ims_kernel_interrupts(m.kernel));
  ASSERT_EQ(m.resumes.size(), 1u);
  EXPECT_EQ(m.resumes[0].action, IMS_RESUME_RETRY);
  EXPECT_EQ(m.resumes[0].source, 0x500u);
  EXPECT_EQ(m.resumes[0].stag, r.stag);
  ASSERT_EQ(ims_process_translate(p, va, &hpa), IMS_ERR_OK);
  EXPECT_EQ(m.Dma(platform, va + 0x10, IMS_ACC_W, 1).output, hpa + 0x10);
  // No area: aborted, and not logged as a fault, since somebody answered.
  m.Clear();
  ASSERT_EQ(m.Dma(platform, va + 64 * page, IMS_ACC_R, 1).status, IMS_STATUS_STALL);
  ims_kernel_interrupts(m.kernel);
  ASSERT_EQ(m.resumes.size(), 1u);
  EXPECT_EQ(m.resumes[0].action, IMS_RESUME_ABORT);
}

TEST_P(SmmuSva, PageRequestIsServed) {
  uint64_t va = Memory(2, 3, 0), ro = Memory(1, 1, 0);
  Bind(pci, p);
  auto request = [&](uint64_t addr, bool write, bool last = true, uint16_t group = 1) {
    ims_page_request r{};
    r.addr = addr;
    r.source = 0x300;
    r.pasid = 1;
    r.has_pasid = true;
    r.last = last;
    r.read = !write;
    r.write = write;
    r.group = group;
    m.responses.clear();
    EXPECT_TRUE(ims_request_page(m.units[0], &r));
    ims_kernel_interrupts(m.kernel);
    return m.responses.empty() ? -1 : int(m.responses.back().code);
  };
  EXPECT_EQ(m.Dma(pci, va, IMS_ACC_W, 1).fault, IMS_SMMUV3_F_TRANSLATION);
  EXPECT_EQ(request(va, true), 0);
  EXPECT_EQ(m.Dma(pci, va, IMS_ACC_W, 1).status, IMS_STATUS_OK);
  EXPECT_EQ(request(va + page, false, false, 4), -1);
  EXPECT_EQ(request(va + page, false, true, 4), 0);
  EXPECT_EQ(request(ro, true), 1);
  EXPECT_EQ(request(ro, false), 0);
  EXPECT_EQ(request(0x1000, false), 1);
}

TEST_P(SmmuSva, ExitLeavesADescriptorWithoutTable) {
  uint64_t va = Memory(2);
  ims_sva *s = Bind(pci, p);
  ASSERT_EQ(m.Dma(pci, va, IMS_ACC_R, 1).status, IMS_STATUS_OK);
  m.Clear();
  ims_process_exit(p);
  auto cd = Cd(pci, 1);
  EXPECT_EQ(ims_cd_get(cd.data(), IMS_CD_V), 1u);
  EXPECT_EQ(ims_cd_get(cd.data(), IMS_CD_EPD0), 1u);
  EXPECT_EQ(ims_cd_address(cd.data(), IMS_CD_TTB0), 0u);
  EXPECT_EQ(m.Dma(pci, va, IMS_ACC_R, 1).fault, IMS_SMMUV3_F_TRANSLATION);
  ims_sva_unbind(s);
  EXPECT_EQ(Cd(pci, 1)[0], 0u);
  EXPECT_EQ(m.Dma(pci, va, IMS_ACC_R, 1).status, IMS_STATUS_ABORT);
  EXPECT_EQ(ims_sva_pasid(Bind(pci, m.AddProcess())), 1u);
}

TEST_P(SmmuSva, UnbindAnswersWhatWaits) {
  uint64_t va = Memory(2, 3, 0);
  ims_sva *s = Bind(platform, p);
  ASSERT_EQ(m.Dma(platform, va, IMS_ACC_R, 1).status, IMS_STATUS_STALL);
  m.resumes.clear();
  ims_sva_unbind(s);
  ASSERT_EQ(m.resumes.size(), 1u);
}

TEST_P(SmmuSva, ContainerOfThePlainKindKeepsItsOwnTable) {
  Vmm v(m, IMS_VFIO_TYPE1v2_IOMMU);
  ASSERT_EQ(v.set_iommu, 0);
  uint64_t mine = 0, va = Memory(1), hpa = 0;
  ASSERT_EQ(ims_mmap(v.process, 0, 2 * 65536, 3, IMS_MMAP_POPULATE, &mine), 0);
  ASSERT_EQ(v.Map(0x10000000, mine, 2 * 65536), 0);
  ims_sva *s = Bind(pci, p);
  ASSERT_EQ(ims_process_translate(v.process, mine, &hpa), IMS_ERR_OK);
  EXPECT_EQ(m.Dma(pci, 0x10000000).output, hpa);
  EXPECT_EQ(m.Dma(pci, va, IMS_ACC_R, 1).status, IMS_STATUS_OK);
  ASSERT_EQ(ims_close(v.group[0]), 0); // its requests end; the process stays
  EXPECT_EQ(m.Dma(pci, 0x10000000).fault, IMS_SMMUV3_F_STREAM_DISABLED);
  EXPECT_EQ(m.Dma(pci, va, IMS_ACC_R, 1).status, IMS_STATUS_OK);
  ims_sva_unbind(s);
  EXPECT_EQ(m.Dma(pci, va, IMS_ACC_R, 1).status, IMS_STATUS_ABORT);
}

TEST_P(SmmuSva, SecondStagesAndProcessesDoNotMix) {
  ims_sva *s = Bind(pci, p);
  {
    Vmm v(m);
    EXPECT_EQ(v.set_iommu, -EBUSY); // substreams of the host are in use
  }
  ims_sva_unbind(s);
  Vmm v(m, IMS_VFIO_TYPE1_NESTING_IOMMU, {9});
  ASSERT_EQ(v.set_iommu, 0);
  EXPECT_EQ(ims_sva_bind(platform, p, &s), -EINVAL);
}

INSTANTIATE_TEST_SUITE_P(Granules, SmmuSva,
                         testing::Values(Params{"4K", IMS_CPU_ARM_4K, 4096}, Params{"16K", IMS_CPU_ARM_16K, 16384},
                                         Params{"64K", IMS_CPU_ARM_64K, 65536}),
                         [](const testing::TestParamInfo<Params> &i) { return std::string(i.param.name); });

TEST(SmmuSvaErrors, BindErrors) {
  ims_sva *s = nullptr;
  auto bind = [&](const std::function<void(ims_smmuv3_config &)> &smmu,
                  const std::function<void(ims_device_config &)> &dev,
                  std::function<void(ims_kernel_config &)> tune = ArmCpu) {
    Machine m(IMS_DIALECT_SMMUV3_V13, tune);
    ims_smmuv3_config c = Machine::SmmuConfig();
    smmu(c);
    m.AddSmmu(c);
    ims_device_config d = Machine::DeviceConfig();
    dev(d);
    return ims_sva_bind(m.AddDevice(d), m.AddProcess(), &s);
  };
  auto same = [](auto &) {};
  EXPECT_EQ(bind(same, same), 0);
  EXPECT_EQ(bind(same, [](auto &d) { d.group = IMS_NO_GROUP; }), -ENODEV);
  EXPECT_EQ(bind(same, [](auto &d) { d.pasid_bits = 0; }), -ENOSPC);
  EXPECT_EQ(bind([](auto &c) { c.ssidsize = 0; }, same), -ENOSPC);
  EXPECT_EQ(bind([](auto &c) { c.pri = 0; }, same), -EINVAL); // the device has PRI, and it does not work
  EXPECT_EQ(bind(same, [](auto &d) { d.ats = d.pri = false; }), 0);
  EXPECT_EQ(bind([](auto &c) { c.cohacc = 0; }, same), -ENODEV);
  EXPECT_EQ(bind([](auto &c) { c.gran4k = 0; }, same), -ENODEV);
  EXPECT_EQ(bind([](auto &c) { c.oas = 4; }, same), -ENODEV);       // narrower than the processor's
  EXPECT_EQ(bind(same, same, [](ims_kernel_config &) {}), -ENODEV); // x86-64 processors
}

TEST(SmmuSvaErrors, VtdUnitDoesNotWalkArmTables) {
  Machine m(IMS_DIALECT_V7, ArmCpu);
  m.AddUnit();
  ims_sva *s = nullptr;
  EXPECT_EQ(ims_sva_bind(m.AddDevice(), m.AddProcess(), &s), -ENODEV);
}

// Without hardware updates a clean page refuses writes until software has noted them.
TEST(SmmuSvaDirty, CleanPageStallsOnceForAWrite) {
  for (uint32_t httu : {0u, 1u, 2u}) {
    Machine m(IMS_DIALECT_SMMUV3_V13, ArmCpu);
    ims_smmuv3_config c = Machine::SmmuConfig();
    c.httu = httu;
    m.AddSmmu(c);
    ims_device_config d = Machine::DeviceConfig();
    d.ats = d.pri = false;
    d.stall = true;
    ims_device *dev = m.AddDevice(d);
    ims_process *p = m.AddProcess();
    ims_sva *s = nullptr;
    uint64_t va = 0;
    ASSERT_EQ(ims_mmap(p, 0, kPage, 3, IMS_MMAP_POPULATE, &va), 0); // populated, not written
    ASSERT_EQ(ims_sva_bind(dev, p, &s), 0);
    ASSERT_EQ(m.Dma(dev, va, IMS_ACC_R, 1).status, IMS_STATUS_OK);
    ims_result r = m.Dma(dev, va, IMS_ACC_W, 1);
    if (httu == 2) {
      EXPECT_EQ(r.status, IMS_STATUS_OK);
      continue;
    }
    ASSERT_EQ(r.status, IMS_STATUS_STALL);
    EXPECT_EQ(r.fault, IMS_SMMUV3_F_PERMISSION);
    ims_kernel_interrupts(m.kernel);
    ASSERT_EQ(m.resumes.size(), 1u);
    EXPECT_EQ(m.resumes[0].action, IMS_RESUME_RETRY);
    EXPECT_EQ(m.Dma(dev, va, IMS_ACC_W, 1).status, IMS_STATUS_OK);
  }
}

} // namespace
} // namespace uapi_test
