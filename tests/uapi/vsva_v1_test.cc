// SPDX-License-Identifier: Apache-2.0
// The first posting: PASID_REQUEST, BIND and CACHE_INVALIDATE of their own, every errno in the order of the
// checks.
#include "tests/uapi/machine.h"

namespace uapi_test {
namespace {

constexpr uint32_t kPasid = 0x3b7a, kBind = 0x3b7b, kInvalidate = 0x3b7c;

struct V1 : testing::Test {
  Machine m{IMS_DIALECT_V1};
  unsigned unit = m.AddUnit();
  ims_device *dev = m.AddDevice();
  Vmm v{m};
  long Request(uint32_t argsz, uint32_t flags, uint32_t min, uint32_t max = 0) {
    return v.Ioctl(kPasid, ims_vfio_pasid_request_v1{argsz, flags, min, max, 0});
  }
  uint32_t Result() { return m.arena.Get<ims_vfio_pasid_request_v1>().result; }
  uint32_t Alloc(uint32_t min = 1, uint32_t max = 1 << 20) {
    EXPECT_EQ(Request(20, 1, min, max), 0);
    return Result();
  }
};

TEST_F(V1, ExtensionTellsTheInterfaceVersion) { EXPECT_EQ(ims_ioctl(v.container, IMS_VFIO_CHECK_EXTENSION, 9), 1); }

TEST_F(V1, PasidRequestErrors) {
  EXPECT_EQ(ims_ioctl(v.container, kPasid, 0), -EFAULT);
  EXPECT_EQ(ims_ioctl(v.container, kPasid, m.arena.Tail(7)), -EFAULT);
  struct {
    const char *what;
    uint32_t argsz, flags, min, max;
    long result;
  } const cases[] = {
      {"argsz", 7, 1, 1, 10, -EINVAL},           {"unknown flag", 20, 5, 1, 10, -EINVAL},
      {"both", 20, 3, 1, 10, -EINVAL},           {"neither", 20, 0, 1, 10, -EINVAL},
      {"empty range", 20, 1, 10, 9, -EFAULT},    {"beyond the PASIDs", 20, 1, 1 << 20, 1 << 21, -EFAULT},
      {"only PASID 0", 20, 1, 0, 0, -EFAULT},    {"free what is free", 20, 2, 5, 0, -ENOENT},
      {"small argsz is enough", 8, 1, 1, 10, 0},
  };
  for (const auto &c : cases)
    EXPECT_EQ(Request(c.argsz, c.flags, c.min, c.max), c.result) << c.what;
  EXPECT_EQ(Result(), 1u);
  EXPECT_EQ(Request(20, 1, 1, 1), -EFAULT); // taken
  EXPECT_EQ(Request(20, 2, 1), 0);
  EXPECT_EQ(Request(20, 1, 1, 1), 0);
}

TEST_F(V1, WholeStructureIsReadWhateverArgszSays) {
  uint64_t at = m.arena.Tail(16);
  m.arena.Put<uint32_t>(8, at);
  m.arena.Put<uint32_t>(1, at + 4);
  EXPECT_EQ(ims_ioctl(v.container, kPasid, at), -EFAULT);
}

TEST_F(V1, ResultThatCannotBeWrittenIsTakenBack) {
  m.arena.Put(ims_vfio_pasid_request_v1{20, 1, 3, 3, 0});
  m.arena.read_only = true;
  EXPECT_EQ(ims_ioctl(v.container, kPasid, Arena::kBase), -EFAULT);
  m.arena.read_only = false;
  EXPECT_EQ(Alloc(3, 3), 3u);
}

TEST_F(V1, PasidOfAnotherProcessIsNotForUs) {
  m.AddDevice(Machine::DeviceConfig(0x0400, 8));
  Vmm other(m, IMS_VFIO_TYPE1_NESTING_IOMMU, {8});
  uint32_t pasid = Alloc();
  EXPECT_EQ(other.Ioctl(kPasid, ims_vfio_pasid_request_v1{20, 2, pasid, 0, 0}), -EACCES);
  EXPECT_EQ(other.Ioctl(kPasid, ims_vfio_pasid_request_v1{20, 1, pasid, pasid, 0}), -EFAULT);
}

TEST_F(V1, QuotaIsReadAtEveryAllocation) {
  EXPECT_EQ(ims_kernel_set_pasid_quota(m.kernel, 2), 0);
  EXPECT_EQ(Alloc(), 1u);
  EXPECT_EQ(Alloc(), 2u);
  EXPECT_EQ(Request(20, 1, 1, 100), -EFAULT);
  EXPECT_EQ(ims_kernel_set_pasid_quota(m.kernel, 3), 0);
  EXPECT_EQ(Alloc(), 3u);
  EXPECT_EQ(ims_kernel_set_pasid_quota(m.kernel, 1), 0);
  EXPECT_EQ(Request(20, 2, 3), 0); // what is held stays usable
  EXPECT_EQ(Request(20, 1, 1, 100), -EFAULT);
}

TEST_F(V1, SetIsSharedByTheContainersOfAProcessAndDiesWithTheLast) {
  m.AddDevice(Machine::DeviceConfig(0x0400, 8));
  ims_file *c = nullptr, *g = nullptr;
  ims_open(v.process, "/dev/vfio/vfio", &c);
  ims_open(v.process, "/dev/vfio/8", &g);
  ASSERT_EQ(ims_ioctl(g, IMS_VFIO_GROUP_SET_CONTAINER, m.arena.Put<int32_t>(ims_file_fd(c))), 0);
  ASSERT_EQ(ims_ioctl(c, IMS_VFIO_SET_IOMMU, 3), 0); // any type1 container
  uint32_t pasid = Alloc();
  EXPECT_EQ(ims_ioctl(c, kPasid, m.arena.Put(ims_vfio_pasid_request_v1{20, 2, pasid, 0, 0})), 0);
  pasid = Alloc();
  ims_close(v.group[0]);
  ims_close(v.container);
  EXPECT_EQ(ims_ioctl(c, kPasid, m.arena.Put(ims_vfio_pasid_request_v1{20, 2, pasid, 0, 0})), 0); // still there
  ASSERT_EQ(ims_ioctl(c, kPasid, m.arena.Put(ims_vfio_pasid_request_v1{20, 1, 7, 7, 0})), 0);
  ims_close(g);
  Vmm other(m);
  EXPECT_EQ(other.Ioctl(kPasid, ims_vfio_pasid_request_v1{20, 1, 7, 7, 0}), 0);
}

TEST_F(V1, BindHeader) {
  uint32_t pasid = Alloc();
  EXPECT_EQ(ims_ioctl(v.container, kBind, 0), -EFAULT);
  EXPECT_EQ(ims_ioctl(v.container, kBind, m.arena.Tail(7)), -EFAULT);
  BindA b = MakeBindA(1, pasid, 0x1000);
  b.argsz = 7;
  EXPECT_EQ(v.Ioctl(kBind, b), -EINVAL);
  b.argsz = 8; // is all that is asked for
  for (uint32_t flags : {0u, 3u, 4u, 7u}) {
    b.flags = flags;
    EXPECT_EQ(v.Ioctl(kBind, b), -EINVAL) << flags;
  }
  b.flags = 1 | 0x80; // other bits are not looked at
  EXPECT_EQ(v.Ioctl(kBind, b), 0);
  b.flags = 2 | 0x80;
  EXPECT_EQ(v.Ioctl(kBind, b), 0);
  uint64_t at = m.arena.Tail(79);
  m.arena.Put(ims_vfio_bind{80, 1}, at);
  EXPECT_EQ(ims_ioctl(v.container, kBind, at), -EFAULT);
}

TEST_F(V1, BindNeedsANestingContainerOnlyInTheDriver) {
  m.AddDevice(Machine::DeviceConfig(0x0400, 8));
  Vmm plain(m, IMS_VFIO_TYPE1v2_IOMMU, {8});
  ASSERT_EQ(plain.Ioctl(kPasid, ims_vfio_pasid_request_v1{20, 1, 50, 50, 0}), 0);
  EXPECT_EQ(plain.Ioctl(kBind, MakeBindA(1, 50, 0x1000)), -EINVAL);
  EXPECT_EQ(plain.Ioctl(kBind, MakeBindA(1, 51, 0x1000)), -ENOENT); // tested before
}

TEST_F(V1, UnbindReportsWhatTheDriverSays) {
  uint32_t pasid = Alloc();
  EXPECT_EQ(v.Ioctl(kBind, MakeBindA(2, pasid + 1, 0)), -ENOENT);
  EXPECT_EQ(v.Ioctl(kBind, MakeBindA(2, pasid, 0)), 0); // not bound
}

TEST(V1Groups, SecondDeviceFailsAndTheFirstIsUnboundAgain) {
  Machine m(IMS_DIALECT_V1);
  m.AddUnit();
  ims_device *good = m.AddDevice(Machine::DeviceConfig(0x0300, 7));
  ims_device_config narrow = Machine::DeviceConfig(0x0400, 8);
  narrow.pasid_bits = 16; // the driver wants exactly 20
  m.AddDevice(narrow);
  Vmm v(m, IMS_VFIO_TYPE1_NESTING_IOMMU, {7, 8}); // v1 has no limit of one group
  ASSERT_EQ(v.set_iommu, 0);
  ims_vm *vm = v.Guest(16 * kMB);
  GuestTable table(vm);
  table.Map(0x1000, 0x5000, kPage);
  ASSERT_EQ(v.Ioctl(kPasid, ims_vfio_pasid_request_v1{20, 1, 1, 1, 0}), 0);
  EXPECT_EQ(v.Ioctl(kBind, MakeBindA(1, 1, table.pgt.root)), -EINVAL);
  EXPECT_EQ(m.Dma(good, 0x1000, IMS_ACC_R, 1).fault, 0x59);
  ims_close(v.group[1]);
  EXPECT_EQ(v.Ioctl(kBind, MakeBindA(1, 1, table.pgt.root)), 0);
  EXPECT_EQ(m.Dma(good, 0x1000, IMS_ACC_R, 1).status, IMS_STATUS_OK);
}

TEST(V1Groups, BindAndInvalidateReachEveryDevice) {
  Machine m(IMS_DIALECT_V1);
  m.AddUnit();
  m.AddUnit();
  ims_device *dev[] = {m.AddDevice(Machine::DeviceConfig(0x0300, 7)), m.AddDevice(Machine::DeviceConfig(0x0301, 7)),
                       m.AddDevice(Machine::DeviceConfig(0x0300, 8, 1))};
  Vmm v(m, IMS_VFIO_TYPE1_NESTING_IOMMU, {7, 8});
  ASSERT_EQ(v.set_iommu, 0);
  ims_vm *vm = v.Guest(16 * kMB);
  GuestTable table(vm);
  table.Map(0x1000, 0x5000, kPage);
  ASSERT_EQ(v.Ioctl(kPasid, ims_vfio_pasid_request_v1{20, 1, 1, 1, 0}), 0);
  ASSERT_EQ(v.Ioctl(kBind, MakeBindA(1, 1, table.pgt.root)), 0);
  uint64_t hpa = 0;
  ASSERT_EQ(ims_vm_translate(vm, 0x5000, &hpa), IMS_ERR_OK);
  for (ims_device *d : dev)
    EXPECT_EQ(m.Dma(d, 0x1000, IMS_ACC_R, 1).output, hpa);
  table.Unmap(0x1000, kPage);
  InvA inv;
  inv.data = {1, 1, 2, {0, 0}};
  inv.addr = {1, 0, 1, 0x1000, 4096, 1};
  ASSERT_EQ(v.Ioctl(kInvalidate, inv), 0);
  for (ims_device *d : dev)
    EXPECT_EQ(m.Dma(d, 0x1000, IMS_ACC_R, 1).fault, 0x71);
  ims_close(v.group[0]); // only the devices of this group lose it
  EXPECT_EQ(m.Dma(dev[1], 0x1000, IMS_ACC_R, 1).fault, 0x59);
  EXPECT_EQ(m.Dma(dev[2], 0x1000, IMS_ACC_R, 1).fault, 0x71);
}

TEST_F(V1, FreeingABoundPasidUnbindsItFirst) {
  ims_vm *vm = v.Guest(16 * kMB);
  GuestTable table(vm);
  table.Map(0x1000, 0x5000, kPage);
  uint32_t pasid = Alloc();
  ASSERT_EQ(v.Ioctl(kBind, MakeBindA(1, pasid, table.pgt.root)), 0);
  ASSERT_EQ(m.Dma(dev, 0x1000, IMS_ACC_R, pasid).status, IMS_STATUS_OK);
  ASSERT_EQ(Request(20, 2, pasid), 0);
  EXPECT_EQ(m.Dma(dev, 0x1000, IMS_ACC_R, pasid).fault, 0x59);
  EXPECT_EQ(v.Ioctl(kBind, MakeBindA(2, pasid, 0)), -ENOENT);
}

TEST_F(V1, InvalidateHeader) {
  uint32_t pasid = Alloc();
  ASSERT_EQ(v.Ioctl(kBind, MakeBindA(1, pasid, 0x1000)), 0);
  InvA inv;
  inv.data = {1, 1, 2, {0, 0}};
  inv.addr = {1, 0, pasid, 0x1000, 4096, 1};
  EXPECT_EQ(ims_ioctl(v.container, kInvalidate, m.arena.Tail(7)), -EFAULT);
  inv.argsz = 7;
  EXPECT_EQ(v.Ioctl(kInvalidate, inv), -EINVAL);
  inv.argsz = 8;
  inv.flags = 1;
  EXPECT_EQ(v.Ioctl(kInvalidate, inv), -EINVAL);
  inv.flags = 0;
  EXPECT_EQ(v.Ioctl(kInvalidate, inv), 0);
  inv.data.version = 2;
  EXPECT_EQ(v.Ioctl(kInvalidate, inv), -EINVAL); // unlike the later postings, v1 reports it
  uint64_t at = m.arena.Tail(15);
  m.arena.Put(ims_vfio_cache_invalidate{56, 0}, at);
  EXPECT_EQ(ims_ioctl(v.container, kInvalidate, at), -EFAULT);
}

TEST(V1Layout, LayoutBCanBeChosen) {
  Machine m(IMS_DIALECT_V1, [](ims_kernel_config &c) { c.iommu_h = IMS_IOMMU_H_B; });
  m.AddUnit();
  m.AddDevice();
  Vmm v(m);
  ASSERT_EQ(v.Ioctl(kPasid, ims_vfio_pasid_request_v1{20, 1, 1, 1, 0}), 0);
  EXPECT_EQ(v.Ioctl(kBind, MakeBindA(1, 1, 0x1000)), -EINVAL);
  EXPECT_EQ(v.Ioctl(kBind, MakeBindB(1, 1, 0x1000)), 0);
}

} // namespace
} // namespace uapi_test
