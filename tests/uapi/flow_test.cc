// SPDX-License-Identifier: Apache-2.0
// The whole flow: PASID, guest page table bound, DMA through two stages, invalidation, unbind; and the plain container.
#include "tests/uapi/machine.h"

namespace uapi_test {
namespace {

class Flow : public testing::TestWithParam<ims_dialect> {
protected:
  ims_dialect dialect() const { return GetParam(); }
  bool v1() const { return dialect() == IMS_DIALECT_V1; }
  bool layout_a() const { return dialect() <= IMS_DIALECT_V2; }
  long AllocPasid(Vmm &v, uint32_t min, uint32_t max) {
    if (!v1())
      return v.Ioctl(PasidWord(dialect()), ims_vfio_pasid_request{16, 1, min, max});
    long err = v.Ioctl(0x3b7a, ims_vfio_pasid_request_v1{20, 1, min, max, 0});
    return err ? err : static_cast<long>(v.m.arena.Get<ims_vfio_pasid_request_v1>().result);
  }
  long Bind(Vmm &v, bool bind, uint32_t pasid, uint64_t gpgd) {
    if (v1())
      return v.Ioctl(0x3b7b, MakeBindA(bind ? 1 : 2, pasid, gpgd));
    if (layout_a())
      return v.Ioctl(NestingWord(dialect()), MakeBindA(bind ? 0 : 1, pasid, gpgd));
    return v.Ioctl(NestingWord(dialect()), MakeBindB(bind ? 0 : 1, pasid, gpgd));
  }
  long Invalidate(Vmm &v, uint32_t pasid, uint64_t addr, uint64_t pages) {
    InvB b = MakeInvB(pasid, addr, pages);
    if (!layout_a())
      return v.Ioctl(NestingWord(dialect()), b);
    InvA a;
    a.flags = v1() ? 0 : 2;
    a.data.version = 1;
    a.data.cache = 1;
    a.data.granularity = 2;
    a.addr = b.addr;
    return v.Ioctl(v1() ? 0x3b7c : NestingWord(dialect()), a);
  }
};

TEST_P(Flow, GuestPageTableTranslatesDmaThroughTwoStages) {
  Machine m(dialect());
  m.AddUnit();
  ims_device *dev = m.AddDevice();
  Vmm v(m);
  ASSERT_EQ(v.set_iommu, 0);
  ims_vm *vm = v.Guest(64 * kMB);
  GuestTable table(vm);
  table.Map(0x7f0000001000, 0x5000, kPage);

  long pasid = AllocPasid(v, 1, 1000);
  ASSERT_EQ(pasid, 1);
  ims_result r = m.Dma(dev, 0x7f0000001234, IMS_ACC_R, pasid);
  EXPECT_EQ(r.status, IMS_STATUS_FAULT);
  EXPECT_EQ(r.fault, 0x59);

  ASSERT_EQ(Bind(v, true, 1, table.pgt.root), 0);
  uint64_t hpa = 0;
  ASSERT_EQ(ims_vm_translate(vm, 0x5000, &hpa), IMS_ERR_OK);
  r = m.Dma(dev, 0x7f0000001234, IMS_ACC_R, pasid);
  ASSERT_EQ(r.status, IMS_STATUS_OK) << std::hex << r.fault;
  EXPECT_EQ(r.output, hpa + 0x234);
  EXPECT_EQ(r.shift, 12);
  EXPECT_EQ(m.Dma(dev, 0x7f0000001234, IMS_ACC_W, pasid).output, hpa + 0x234);

  // The guest takes the page away; until it says so the old translation may live on.
  table.Unmap(0x7f0000001000, kPage);
  EXPECT_EQ(m.Dma(dev, 0x7f0000001234, IMS_ACC_R, pasid).status, IMS_STATUS_OK);
  ASSERT_EQ(Invalidate(v, 1, 0x7f0000001000, 1), 0);
  r = m.Dma(dev, 0x7f0000001234, IMS_ACC_R, pasid);
  EXPECT_EQ(r.status, IMS_STATUS_FAULT);
  EXPECT_EQ(r.fault, 0x71);

  ASSERT_EQ(Bind(v, false, 1, 0), 0);
  r = m.Dma(dev, 0x7f0000001234, IMS_ACC_R, pasid);
  EXPECT_EQ(r.fault, 0x59);
  EXPECT_EQ(m.Dma(dev, 0x5000).output, hpa); // stage 2 is untouched
}

TEST_P(Flow, SecondStageChangeReachesNestedTranslations) {
  Machine m(dialect());
  m.AddUnit();
  ims_device *dev = m.AddDevice();
  Vmm v(m);
  ims_vm *vm = v.Guest(64 * kMB);
  GuestTable table(vm);
  table.Map(0x1000, 0x5000, kPage);
  uint64_t extra = 0;
  ASSERT_EQ(ims_mmap(v.process, 0, kPage, 3, IMS_MMAP_POPULATE, &extra), 0);
  ASSERT_EQ(v.Map(kGB, extra, kPage), 0);
  table.Map(0x2000, kGB, kPage);
  ASSERT_EQ(AllocPasid(v, 5, 5), 5);
  ASSERT_EQ(Bind(v, true, 5, table.pgt.root), 0);
  uint64_t hpa = 0;
  ASSERT_EQ(ims_process_translate(v.process, extra, &hpa), IMS_ERR_OK);
  EXPECT_EQ(m.Dma(dev, 0x2010, IMS_ACC_W, 5).output, hpa + 0x10);
  ASSERT_EQ(v.Unmap(kGB, kPage), 0);
  ims_result r = m.Dma(dev, 0x2010, IMS_ACC_W, 5);
  EXPECT_EQ(r.status, IMS_STATUS_FAULT);
  EXPECT_EQ(r.fault, 0x79);
  EXPECT_EQ(m.Dma(dev, 0x1010, IMS_ACC_R, 5).status, IMS_STATUS_OK);
}

TEST_P(Flow, ClosingEverythingUnbindsAndFreesPasids) {
  Machine m(dialect());
  m.AddUnit();
  ims_device *dev = m.AddDevice();
  uint32_t pasid;
  {
    Vmm v(m);
    ims_vm *vm = v.Guest(16 * kMB);
    GuestTable table(vm);
    table.Map(0x1000, 0x5000, kPage);
    pasid = static_cast<uint32_t>(AllocPasid(v, 9, 9));
    ASSERT_EQ(pasid, 9u);
    ASSERT_EQ(Bind(v, true, pasid, table.pgt.root), 0);
    ASSERT_EQ(m.Dma(dev, 0x1000, IMS_ACC_R, pasid).status, IMS_STATUS_OK);
    ims_close(v.container); // lives on until the group leaves it
    ASSERT_EQ(m.Dma(dev, 0x1000, IMS_ACC_R, pasid).status, IMS_STATUS_OK);
    ims_close(v.group[0]);
  }
  EXPECT_EQ(m.Dma(dev, 0x1000, IMS_ACC_R, pasid).fault, 0x59);
  EXPECT_EQ(m.Dma(dev, 0x1000).fault, 0x59);
  Vmm again(m);
  EXPECT_EQ(AllocPasid(again, 9, 9), 9);
}

std::string Name(const testing::TestParamInfo<ims_dialect> &info) {
  std::string s = ims_dialect_name(info.param);
  return s.substr(s.find('-') + 1);
}
INSTANTIATE_TEST_SUITE_P(Dialects, Flow,
                         testing::Values(IMS_DIALECT_V1, IMS_DIALECT_V2, IMS_DIALECT_V3, IMS_DIALECT_V4, IMS_DIALECT_V5,
                                         IMS_DIALECT_V6, IMS_DIALECT_V7),
                         Name);

TEST(Container, MapsLargeAndSmallPages) {
  Machine m;
  m.AddUnit();
  ims_device *dev = m.AddDevice();
  Vmm v(m, IMS_VFIO_TYPE1v2_IOMMU);
  uint64_t va = 0, hpa = 0;
  ASSERT_EQ(ims_mmap(v.process, 0, 4 * kMB, 3, IMS_MMAP_2M, &va), 0);
  ASSERT_EQ(v.Map(2 * kMB, va, 4 * kMB), 0);
  ASSERT_EQ(ims_process_translate(v.process, va, &hpa), IMS_ERR_OK);
  ims_result r = m.Dma(dev, 2 * kMB + 0x12345);
  ASSERT_EQ(r.status, IMS_STATUS_OK);
  EXPECT_EQ(r.output, hpa + 0x12345);
  EXPECT_EQ(r.shift, 21);
  // The same memory where 2 MB leaves do not fit.
  ASSERT_EQ(v.Map(kGB + kPage, va, 2 * kMB), 0);
  r = m.Dma(dev, kGB + kPage + 0x12345);
  EXPECT_EQ(r.output, hpa + 0x12345);
  EXPECT_EQ(r.shift, 12);
}

TEST(Container, ReadOnlyMappingRefusesWrites) {
  Machine m;
  m.AddUnit();
  ims_device *dev = m.AddDevice();
  Vmm v(m, IMS_VFIO_TYPE1v2_IOMMU);
  uint64_t va = 0;
  ASSERT_EQ(ims_mmap(v.process, 0, kPage, 1, 0, &va), 0);
  EXPECT_EQ(v.Map(0, va, kPage, 3), -EFAULT); // the page cannot be pinned for writing
  ASSERT_EQ(v.Map(0, va, kPage, 1), 0);
  EXPECT_EQ(m.Dma(dev, 0).status, IMS_STATUS_OK);
  ims_result r = m.Dma(dev, 0, IMS_ACC_W);
  EXPECT_EQ(r.status, IMS_STATUS_FAULT);
  EXPECT_EQ(r.fault, 0x85);
}

TEST(Container, LegacyModeServesType1) {
  ims_vtd_config c = Machine::UnitConfig();
  c.smts = c.pasid = c.nest = c.ssts = c.fsts = c.prs = c.ssads = c.rps = c.rprivs = c.adms = c.pds = c.smpwcs = 0;
  c.srs = c.eafs = c.fs5lp = c.fs1gp = c.nwfs = c.pss = 0;
  for (bool forced : {false, true}) {
    Machine m(IMS_DIALECT_V7, [&](ims_kernel_config &k) { k.legacy = forced; });
    unsigned u = m.AddUnit(forced ? Machine::UnitConfig() : c);
    EXPECT_FALSE(ims_kernel_unit_scalable(m.kernel, u));
    ims_device *dev = m.AddDevice();
    Vmm nesting(m);
    EXPECT_EQ(nesting.set_iommu, -ENODEV);
    ims_close(nesting.group[0]);
    Vmm v(m, IMS_VFIO_TYPE1v2_IOMMU);
    ASSERT_EQ(v.set_iommu, 0);
    uint64_t va = 0, hpa = 0;
    ASSERT_EQ(ims_mmap(v.process, 0, 2 * kPage, 3, IMS_MMAP_POPULATE, &va), 0);
    ASSERT_EQ(v.Map(0x10000, va, 2 * kPage), 0);
    ASSERT_EQ(ims_process_translate(v.process, va + kPage, &hpa), IMS_ERR_OK);
    EXPECT_EQ(m.Dma(dev, 0x11008, IMS_ACC_W).output, hpa + 8);
    EXPECT_EQ(m.Dma(dev, 0x11008, IMS_ACC_W).status, IMS_STATUS_OK);
    ASSERT_EQ(v.Unmap(0x10000, 2 * kPage), 0);
    EXPECT_EQ(m.Dma(dev, 0x11008, IMS_ACC_W).fault, 0x5);
    ims_close(v.group[0]);
    EXPECT_EQ(m.Dma(dev, 0x11008, IMS_ACC_R).fault, 0x2);
  }
}

TEST(Container, PinnedPagesOutliveMunmap) {
  Machine m;
  m.AddUnit();
  ims_device *dev = m.AddDevice();
  Vmm v(m, IMS_VFIO_TYPE1v2_IOMMU);
  uint64_t va = 0, hpa = 0, other = 0, other_hpa = 0;
  ASSERT_EQ(ims_mmap(v.process, 0, kPage, 3, IMS_MMAP_POPULATE, &va), 0);
  ASSERT_EQ(ims_process_translate(v.process, va, &hpa), IMS_ERR_OK);
  ASSERT_EQ(v.Map(0, va, kPage), 0);
  ASSERT_EQ(ims_munmap(v.process, va, kPage), 0);
  EXPECT_EQ(m.Dma(dev, 0).output, hpa);
  ASSERT_EQ(ims_mmap(v.process, 0, kPage, 3, IMS_MMAP_POPULATE, &other), 0);
  ASSERT_EQ(ims_process_translate(v.process, other, &other_hpa), IMS_ERR_OK);
  EXPECT_NE(other_hpa, hpa);
  ASSERT_EQ(v.Unmap(0, kPage), 0);
  EXPECT_EQ(m.Dma(dev, 0).fault, 0x79);
}

} // namespace
} // namespace uapi_test
