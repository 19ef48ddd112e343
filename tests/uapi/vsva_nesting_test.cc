// SPDX-License-Identifier: Apache-2.0
// v2 to v7: PASID_REQUEST with a range, NESTING_OP, one group a container; every errno.
#include "tests/uapi/machine.h"

namespace uapi_test {
namespace {

struct Nesting : testing::TestWithParam<ims_dialect> {
  ims_dialect d = GetParam();
  Machine m{d, [](ims_kernel_config &c) { c.iommu_h = IMS_IOMMU_H_B; }};
  unsigned unit = m.AddUnit();
  ims_device *dev = m.AddDevice();
  long Request(Vmm &v, uint32_t argsz, uint32_t flags, uint32_t min, uint32_t max) {
    return v.Ioctl(PasidWord(d), ims_vfio_pasid_request{argsz, flags, min, max});
  }
  template <class T> long Op(Vmm &v, const T &arg) { return v.Ioctl(NestingWord(d), arg); }
};

TEST_P(Nesting, PasidRequestErrors) {
  Vmm v(m);
  EXPECT_EQ(ims_ioctl(v.container, PasidWord(d), 0), -EFAULT);
  EXPECT_EQ(ims_ioctl(v.container, PasidWord(d), m.arena.Tail(15)), -EFAULT);
  struct {
    const char *what;
    uint32_t argsz, flags, min, max;
    long result;
  } const cases[] = {
      {"argsz", 15, 1, 1, 10, -EINVAL},
      {"unknown flag", 16, 4, 1, 10, -EINVAL},
      {"both", 16, 3, 1, 10, -EINVAL},
      {"neither", 16, 0, 1, 10, -EINVAL},
      {"min above max", 16, 1, 11, 10, -EINVAL},
      {"max too large", 16, 1, 1, 0x80000001, -EINVAL},
      {"min too large", 16, 2, 0x80000001, 0xffffffff, -EINVAL},
      {"largest max", 16, 1, 1, 0x80000000, 1},
      {"only PASID 0", 16, 1, 0, 0, -ENOSPC},
      {"beyond the PASIDs", 16, 1, 1 << 20, 1 << 21, -ENOSPC},
      {"taken", 16, 1, 1, 1, -ENOSPC},
      {"both ends count", 16, 1, 1, 2, 2},
      {"free nothing", 16, 2, 100, 200, 0},
      {"free all", 16, 2, 0, 0x80000000, 0},
      {"free again", 16, 2, 0, 0x80000000, 0},
      {"lowest again", 16, 1, 0, 100, 1},
  };
  for (const auto &c : cases)
    EXPECT_EQ(Request(v, c.argsz, c.flags, c.min, c.max), c.result) << c.what;
}

TEST_P(Nesting, FreeTakesOnlyTheCallersPasids) {
  m.AddDevice(Machine::DeviceConfig(0x0400, 8));
  Vmm v(m), other(m, IMS_VFIO_TYPE1_NESTING_IOMMU, {8});
  EXPECT_EQ(Request(v, 16, 1, 10, 10), 10);
  EXPECT_EQ(Request(other, 16, 2, 0, 100), 0);
  EXPECT_EQ(Request(other, 16, 1, 10, 10), -ENOSPC);
  EXPECT_EQ(Request(v, 16, 2, 0, 100), 0);
  EXPECT_EQ(Request(other, 16, 1, 10, 10), 10);
}

TEST_P(Nesting, QuotaIsFixedAtLoad) {
  Machine small(d, [](ims_kernel_config &c) { c.pasid_quota = 2; });
  small.AddUnit();
  small.AddDevice();
  Vmm v(small);
  EXPECT_EQ(ims_kernel_set_pasid_quota(small.kernel, 100), -EACCES);
  EXPECT_EQ(Request(v, 16, 1, 1, 100), 1);
  EXPECT_EQ(Request(v, 16, 1, 1, 100), 2);
  EXPECT_EQ(Request(v, 16, 1, 1, 100), -ENOSPC);
  EXPECT_EQ(Request(v, 16, 2, 1, 1), 0);
  EXPECT_EQ(Request(v, 16, 1, 1, 100), 1);
}

TEST_P(Nesting, ContainerWithoutNestingTypeHasNoSetAndNoOperations) {
  Vmm v(m, IMS_VFIO_TYPE1v2_IOMMU);
  ASSERT_EQ(v.set_iommu, 0);
  EXPECT_EQ(Request(v, 16, 1, 1, 100), -EOPNOTSUPP);
  EXPECT_EQ(Request(v, 16, 2, 1, 100), -EOPNOTSUPP);
  EXPECT_EQ(Request(v, 15, 1, 1, 100), -EINVAL); // comes first
  EXPECT_EQ(Op(v, MakeBindB(0, 1, 0x1000)), -EOPNOTSUPP);
  EXPECT_EQ(Op(v, MakeBindB(1, 1, 0x1000)), -EOPNOTSUPP);
  EXPECT_EQ(Op(v, MakeInvB(1, 0, 1)), -EOPNOTSUPP);
}

TEST_P(Nesting, NoSetWhereTheUnitHasNoPasids) {
  ims_vtd_config c = Machine::UnitConfig();
  c.pasid = c.pss = 0;
  if (ims_vtd_config_check(&c))
    GTEST_SKIP() << ims_vtd_config_check(&c);
  m.AddUnit(c);
  m.AddDevice(Machine::DeviceConfig(0x0400, 8, 1));
  Vmm v(m, IMS_VFIO_TYPE1_NESTING_IOMMU, {8});
  ASSERT_EQ(v.set_iommu, 0);
  EXPECT_EQ(Request(v, 16, 1, 1, 100), -EOPNOTSUPP);
  EXPECT_EQ(Op(v, MakeBindB(0, 1, 0x1000)), -EINVAL);
}

TEST_P(Nesting, OneGroupAContainer) {
  m.AddDevice(Machine::DeviceConfig(0x0400, 8));
  Vmm v(m);
  ASSERT_EQ(v.set_iommu, 0);
  ims_file *g = nullptr;
  ASSERT_GE(ims_open(v.process, "/dev/vfio/8", &g), 0);
  EXPECT_EQ(ims_ioctl(g, IMS_VFIO_GROUP_SET_CONTAINER, m.arena.Put<int32_t>(ims_file_fd(v.container))), -EINVAL);
  // Both before SET_IOMMU: the second attach fails, and nothing stays attached.
  ims_close(v.group[0]);
  ims_close(g);
  Vmm both(m, IMS_VFIO_TYPE1_NESTING_IOMMU, {7, 8});
  EXPECT_EQ(both.set_iommu, -EINVAL);
  EXPECT_EQ(m.Dma(dev, 0).fault, 0x59);
  EXPECT_EQ(ims_ioctl(both.container, IMS_VFIO_SET_IOMMU, 3), 0); // another type has no such limit
}

TEST_P(Nesting, OperationHeader) {
  Vmm v(m);
  ASSERT_EQ(Request(v, 16, 1, 1, 1), 1);
  EXPECT_EQ(ims_ioctl(v.container, NestingWord(d), m.arena.Tail(7)), -EFAULT);
  BindB b = MakeBindB(0, 1, 0x1000);
  b.argsz = 7;
  EXPECT_EQ(Op(v, b), -EINVAL);
  b.argsz = 8;
  for (uint32_t flags : {3u, 0xffffu, 0x10000u, 0x80000000u, 0x10001u}) {
    b.flags = flags;
    EXPECT_EQ(Op(v, b), -EINVAL) << std::hex << flags;
  }
  b.flags = 0;
  EXPECT_EQ(Op(v, b), 0);
}

TEST_P(Nesting, UnbindAndInvalidateSucceedOnceTheHeaderIsRight) {
  Vmm v(m);
  BindB b = MakeBindB(1, 77, 0x1000); // never allocated
  EXPECT_EQ(Op(v, b), 0);
  b.data.version = 9;
  EXPECT_EQ(Op(v, b), 0);
  InvB i = MakeInvB(77, 0, 1);
  EXPECT_EQ(Op(v, i), 0);
  i.data.version = 9;
  EXPECT_EQ(Op(v, i), 0);
  uint64_t at = m.arena.Tail(8);
  m.arena.Put(ims_vfio_nesting_op{80, 1}, at); // the data cannot be read
  EXPECT_EQ(ims_ioctl(v.container, NestingWord(d), at), 0);
  m.arena.Put(ims_vfio_nesting_op{64, 2}, at);
  EXPECT_EQ(ims_ioctl(v.container, NestingWord(d), at), 0);
  m.arena.Put(ims_vfio_nesting_op{80, 0}, at);
  EXPECT_EQ(ims_ioctl(v.container, NestingWord(d), at), -EFAULT);
}

TEST_P(Nesting, SecondDeviceFailsAndTheFirstIsUnboundAgain) {
  ims_device_config narrow = Machine::DeviceConfig(0x0301, 7);
  narrow.pasid_bits = 8;
  m.AddDevice(narrow);
  Vmm v(m);
  ims_vm *vm = v.Guest(16 * kMB);
  GuestTable table(vm);
  table.Map(0x1000, 0x5000, kPage);
  ASSERT_EQ(Request(v, 16, 1, 1, 1), 1);
  m.Clear();
  EXPECT_EQ(Op(v, MakeBindB(0, 1, table.pgt.root)), -EINVAL);
  EXPECT_EQ(m.Dma(dev, 0x1000, IMS_ACC_R, 1).fault, 0x59);
  EXPECT_FALSE(m.invalidations.empty()); // it had been bound
}

TEST_P(Nesting, LeavingTheContainerUnbindsThePasids) {
  Vmm v(m);
  ims_vm *vm = v.Guest(16 * kMB);
  GuestTable table(vm);
  table.Map(0x1000, 0x5000, kPage);
  for (uint32_t pasid : {1u, 2u, 3u}) {
    ASSERT_EQ(Request(v, 16, 1, pasid, pasid), pasid);
    ASSERT_EQ(Op(v, MakeBindB(0, pasid, table.pgt.root)), 0);
  }
  m.Clear();
  ASSERT_EQ(ims_ioctl(v.group[0], IMS_VFIO_GROUP_UNSET_CONTAINER, 0), 0);
  for (uint32_t pasid : {1u, 2u, 3u})
    EXPECT_EQ(m.Dma(dev, 0x1000, IMS_ACC_R, pasid).fault, 0x59);
  // PASIDs first, the device's own second stage last.
  std::vector<unsigned> pc;
  for (uint64_t q : m.Descriptors())
    if ((q & 15) == 7)
      pc.push_back(static_cast<unsigned>(q >> 32 & 0xfffff));
  EXPECT_EQ(pc, (std::vector<unsigned>{1, 2, 3, 0}));
}

TEST_P(Nesting, ExitOfTheProcessClosesEverything) {
  Vmm v(m);
  ims_vm *vm = v.Guest(16 * kMB);
  GuestTable table(vm);
  table.Map(0x1000, 0x5000, kPage);
  ASSERT_EQ(Request(v, 16, 1, 1, 1), 1);
  ASSERT_EQ(Op(v, MakeBindB(0, 1, table.pgt.root)), 0);
  ims_process_exit(v.process);
  EXPECT_EQ(m.Dma(dev, 0x1000, IMS_ACC_R, 1).fault, 0x59);
  EXPECT_EQ(m.Dma(dev, 0x1000).fault, 0x59);
  Vmm again(m);
  EXPECT_EQ(again.set_iommu, 0);
  EXPECT_EQ(Request(again, 16, 1, 1, 1), 1);
}

INSTANTIATE_TEST_SUITE_P(Dialects, Nesting,
                         testing::Values(IMS_DIALECT_V2, IMS_DIALECT_V3, IMS_DIALECT_V4, IMS_DIALECT_V5, IMS_DIALECT_V6,
                                         IMS_DIALECT_V7));

} // namespace
} // namespace uapi_test
