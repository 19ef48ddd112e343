// SPDX-License-Identifier: Apache-2.0
// The plain VFIO calls: files, groups, containers, GET_INFO, MAP_DMA, UNMAP_DMA, with every errno.
#include "tests/uapi/machine.h"

namespace uapi_test {
namespace {

struct Plain : testing::Test {
  Machine m;
  unsigned unit = m.AddUnit();
  ims_device *dev = m.AddDevice();
  uint64_t Memory(Vmm &v, uint64_t size, unsigned prot = 3) {
    uint64_t va = 0;
    EXPECT_EQ(ims_mmap(v.process, 0, size, prot, IMS_MMAP_POPULATE, &va), 0);
    return va;
  }
};

TEST_F(Plain, OpenAndNumbers) {
  ims_process *p = m.AddProcess();
  ims_file *a = nullptr, *b = nullptr, *c = nullptr;
  EXPECT_EQ(ims_open(p, "/dev/vfio/8", &a), -ENOENT);
  EXPECT_EQ(ims_open(p, "/dev/vfio/07", &a), -ENOENT);
  EXPECT_EQ(ims_open(p, "/dev/null", &a), -ENOENT);
  EXPECT_EQ(ims_open(p, "/dev/vfio/7", &a), 3);
  EXPECT_EQ(ims_open(p, "/dev/vfio/7", &b), -EBUSY);
  EXPECT_EQ(ims_open(p, "/dev/vfio/vfio", &c), 4);
  EXPECT_EQ(ims_close(a), 0);
  EXPECT_EQ(ims_open(p, "/dev/vfio/7", &a), 3);
  EXPECT_EQ(ims_process_file(p, 4), c);
  EXPECT_EQ(ims_file_set_fd(c, 3), -EEXIST);
  EXPECT_EQ(ims_file_set_fd(c, -1), -EBADF);
  EXPECT_EQ(ims_file_set_fd(c, 77), 0);
  EXPECT_EQ(ims_process_file(p, 77), c);
  EXPECT_EQ(ims_process_file(p, 4), nullptr);
}

TEST_F(Plain, GroupStatusAndContainer) {
  ims_process *p = m.AddProcess();
  ims_file *g = nullptr, *c = nullptr;
  ims_open(p, "/dev/vfio/7", &g);
  ims_open(p, "/dev/vfio/vfio", &c);
  auto group = [&](uint32_t word, uint64_t arg) { return ims_ioctl(g, word, arg); };
  EXPECT_EQ(group(IMS_VFIO_GROUP_GET_STATUS, 0), -EFAULT);
  EXPECT_EQ(group(IMS_VFIO_GROUP_GET_STATUS, m.arena.Put(ims_vfio_group_status{7, 0})), -EINVAL);
  EXPECT_EQ(group(IMS_VFIO_GROUP_GET_STATUS, m.arena.Put(ims_vfio_group_status{8, 0})), 0);
  EXPECT_EQ(m.arena.Get<ims_vfio_group_status>().flags, 1u);
  EXPECT_EQ(group(IMS_VFIO_GROUP_UNSET_CONTAINER, 0), -EINVAL);
  EXPECT_EQ(group(IMS_VFIO_GROUP_SET_CONTAINER, 8), -EFAULT);
  EXPECT_EQ(group(IMS_VFIO_GROUP_SET_CONTAINER, m.arena.Put<int32_t>(-1)), -EINVAL);
  EXPECT_EQ(group(IMS_VFIO_GROUP_SET_CONTAINER, m.arena.Put<int32_t>(99)), -EBADF);
  EXPECT_EQ(group(IMS_VFIO_GROUP_SET_CONTAINER, m.arena.Put<int32_t>(3)), -EINVAL); // a group
  EXPECT_EQ(group(IMS_VFIO_GROUP_SET_CONTAINER, m.arena.Put<int32_t>(4)), 0);
  EXPECT_EQ(group(IMS_VFIO_GROUP_SET_CONTAINER, m.arena.Put<int32_t>(4)), -EINVAL);
  EXPECT_EQ(group(IMS_VFIO_GROUP_GET_STATUS, m.arena.Put(ims_vfio_group_status{8, 0})), 0);
  EXPECT_EQ(m.arena.Get<ims_vfio_group_status>().flags, 3u);
  EXPECT_EQ(group(IMS_VFIO_GROUP_UNSET_CONTAINER, 0), 0);
  EXPECT_EQ(group(IMS_VFIO_IOMMU_MAP_DMA, 0), -ENOTTY);
}

TEST_F(Plain, ContainerBeforeAndAfterSetIommu) {
  ims_process *p = m.AddProcess();
  ims_file *g = nullptr, *c = nullptr;
  ims_open(p, "/dev/vfio/vfio", &c);
  ims_open(p, "/dev/vfio/7", &g);
  EXPECT_EQ(ims_ioctl(c, IMS_VFIO_GET_API_VERSION, 0), 0);
  for (uint64_t ext : {1, 3, 6})
    EXPECT_EQ(ims_ioctl(c, IMS_VFIO_CHECK_EXTENSION, ext), 1) << ext;
  EXPECT_EQ(ims_ioctl(c, IMS_VFIO_CHECK_EXTENSION, 4), 0);
  EXPECT_EQ(ims_ioctl(c, IMS_VFIO_CHECK_EXTENSION, 9), 0);
  EXPECT_EQ(ims_ioctl(c, IMS_VFIO_CHECK_EXTENSION, ~0ull), 0);
  EXPECT_EQ(ims_ioctl(c, IMS_VFIO_SET_IOMMU, 1), -EINVAL); // no group
  EXPECT_EQ(ims_ioctl(c, IMS_VFIO_IOMMU_GET_INFO, 0), -EINVAL);
  EXPECT_EQ(ims_ioctl(c, 0x1234, 0), -EINVAL);
  EXPECT_EQ(ims_ioctl(g, IMS_VFIO_GROUP_SET_CONTAINER, m.arena.Put<int32_t>(ims_file_fd(c))), 0);
  EXPECT_EQ(ims_ioctl(c, IMS_VFIO_SET_IOMMU, 2), -ENODEV);
  EXPECT_EQ(ims_ioctl(c, IMS_VFIO_SET_IOMMU, 3), 0);
  EXPECT_EQ(ims_ioctl(c, IMS_VFIO_SET_IOMMU, 3), -EINVAL);
  EXPECT_EQ(ims_ioctl(c, IMS_VFIO_CHECK_EXTENSION, 4), 1); // leaves snoop
  EXPECT_EQ(ims_ioctl(c, 0x1234, 0), -ENOTTY);
  EXPECT_EQ(ims_ioctl(c, IMS_VFIO_IOMMU_GET_INFO, 0), -EFAULT);
  // The last group takes the driver with it.
  EXPECT_EQ(ims_ioctl(g, IMS_VFIO_GROUP_UNSET_CONTAINER, 0), 0);
  EXPECT_EQ(ims_ioctl(c, IMS_VFIO_IOMMU_GET_INFO, 0), -EINVAL);
}

TEST_F(Plain, MapErrors) {
  Vmm v(m, IMS_VFIO_TYPE1v2_IOMMU);
  uint64_t va = Memory(v, 4 * kPage), ro = Memory(v, kPage, 1);
  struct {
    const char *what;
    ims_vfio_iommu_type1_dma_map arg;
    long result;
  } const cases[] = {
      {"argsz", {31, 3, va, 0, kPage}, -EINVAL},
      {"unknown flag", {32, 7, va, 0, kPage}, -EINVAL},
      {"no right", {32, 0, va, 0, kPage}, -EINVAL},
      {"size 0", {32, 3, va, 0, 0}, -EINVAL},
      {"odd size", {32, 3, va, 0, kPage + 1}, -EINVAL},
      {"odd iova", {32, 3, va, 8, kPage}, -EINVAL},
      {"odd vaddr", {32, 3, va + 8, 0, kPage}, -EINVAL},
      {"iova wraps", {32, 3, va, ~0ull << 12, 2 * kPage}, -EINVAL},
      {"vaddr wraps", {32, 3, ~0ull << 12, 0, 2 * kPage}, -EINVAL},
      {"interrupt range", {32, 3, va, 0xfee00000, kPage}, -EINVAL},
      {"over the interrupt range", {32, 3, va, 0xfedff000, 2 * kPage}, -EINVAL},
      {"beyond the width", {32, 3, va, 1ull << 48, kPage}, -EINVAL},
      {"over the width", {32, 3, va, (1ull << 48) - kPage, 2 * kPage}, -EINVAL},
      {"absent memory", {32, 3, 0x10000000, 0, kPage}, -EFAULT},
      {"behind the area", {32, 3, va + 3 * kPage, 0, 64 * kPage}, -EFAULT},
      {"not writable", {32, 2, ro, 0, kPage}, -EFAULT},
      {"fine", {32, 3, va, 0x100000, 2 * kPage}, 0},
      {"overlap below", {32, 3, va, 0xff000, 2 * kPage}, -EEXIST},
      {"overlap", {32, 3, va, 0x101000, kPage}, -EEXIST},
      {"behind", {32, 3, va, 0x102000, kPage}, 0},
      {"last page", {32, 3, va, (1ull << 48) - kPage, kPage}, 0},
  };
  for (const auto &c : cases)
    EXPECT_EQ(v.Ioctl(IMS_VFIO_IOMMU_MAP_DMA, c.arg), c.result) << c.what;
  EXPECT_EQ(ims_ioctl(v.container, IMS_VFIO_IOMMU_MAP_DMA, m.arena.Tail(31)), -EFAULT);
  // Overlap is found before the range is judged, the limit after it.
  EXPECT_EQ(m.Dma(dev, 0x101008, IMS_ACC_W).status, IMS_STATUS_OK);
  EXPECT_EQ(m.Dma(dev, 0).fault, 0x79); // nothing of the failed ones stayed
}

TEST_F(Plain, FailedMapLeavesNothingMappedOrPinned) {
  Vmm v(m, IMS_VFIO_TYPE1v2_IOMMU);
  uint64_t va = Memory(v, 4 * kPage);
  ASSERT_EQ(ims_munmap(v.process, va + 2 * kPage, kPage), 0);
  ASSERT_EQ(v.Map(0, va, 4 * kPage), -EFAULT);
  EXPECT_EQ(m.Dma(dev, 0).fault, 0x79);
  ASSERT_EQ(v.Map(0, va, 2 * kPage), 0); // the entry is not taken
}

TEST_F(Plain, UnmapErrors) {
  Vmm v(m, IMS_VFIO_TYPE1v2_IOMMU);
  uint64_t va = Memory(v, 8 * kPage);
  ASSERT_EQ(v.Map(0x10000, va, 4 * kPage), 0);
  ASSERT_EQ(v.Map(0x20000, va, 4 * kPage), 0);
  struct {
    const char *what;
    ims_vfio_iommu_type1_dma_unmap arg;
    long result;
    uint64_t size;
  } const cases[] = {
      {"argsz", {23, 0, 0x10000, kPage}, -EINVAL, 0},
      {"unknown flag", {24, 4, 0x10000, kPage}, -EINVAL, 0},
      {"dirty bitmap without logging", {24, 1, 0x10000, 4 * kPage}, -EINVAL, 0},
      {"odd iova", {24, 0, 0x10008, kPage}, -EINVAL, 0},
      {"size 0", {24, 0, 0x10000, 0}, -EINVAL, 0},
      {"odd size", {24, 0, 0x10000, 12}, -EINVAL, 0},
      {"wraps", {24, 0, ~0ull << 12, 2 * kPage}, -EINVAL, 0},
      {"cuts the end", {24, 0, 0x10000, 2 * kPage}, -EINVAL, 0},
      {"cuts the start", {24, 0, 0x12000, 2 * kPage}, -EINVAL, 0},
      {"inside", {24, 0, 0x11000, kPage}, -EINVAL, 0},
      {"nothing there", {24, 0, 0x40000, 16 * kPage}, 0, 0},
      {"both and the hole", {24, 0, 0x0, 64 * kPage}, 0, 8 * kPage},
      {"again", {24, 0, 0x0, 64 * kPage}, 0, 0},
  };
  for (const auto &c : cases) {
    EXPECT_EQ(v.Ioctl(IMS_VFIO_IOMMU_UNMAP_DMA, c.arg), c.result) << c.what;
    if (!c.result) {
      EXPECT_EQ(m.arena.Get<ims_vfio_iommu_type1_dma_unmap>().size, c.size) << c.what;
    }
  }
  EXPECT_EQ(ims_ioctl(v.container, IMS_VFIO_IOMMU_UNMAP_DMA, m.arena.Tail(23)), -EFAULT);
  EXPECT_EQ(m.Dma(dev, 0x10000).fault, 0x79);
}

TEST_F(Plain, Type1OfTheFirstVersionUnmapsWholeMappings) {
  Vmm v(m, IMS_VFIO_TYPE1_IOMMU);
  uint64_t va = Memory(v, 4 * kPage);
  ASSERT_EQ(v.Map(0x10000, va, 4 * kPage), 0);
  ASSERT_EQ(v.Unmap(0x12000, kPage), 0); // begins inside: nothing
  EXPECT_EQ(m.arena.Get<ims_vfio_iommu_type1_dma_unmap>().size, 0u);
  ASSERT_EQ(v.Unmap(0x10000, kPage), 0); // the start is hit: all of it
  EXPECT_EQ(m.arena.Get<ims_vfio_iommu_type1_dma_unmap>().size, 4 * kPage);
  EXPECT_EQ(m.Dma(dev, 0x13000).fault, 0x79);
}

TEST(Limits, MappingsAreCounted) {
  Machine m(IMS_DIALECT_V7, [](ims_kernel_config &c) { c.dma_entry_limit = 2; });
  m.AddUnit();
  m.AddDevice();
  Vmm v(m, IMS_VFIO_TYPE1v2_IOMMU);
  uint64_t va = 0;
  ASSERT_EQ(ims_mmap(v.process, 0, kPage, 3, 0, &va), 0);
  EXPECT_EQ(v.Map(0x0000, va, kPage), 0);
  EXPECT_EQ(v.Map(0x1000, va, kPage), 0);
  EXPECT_EQ(v.Map(0x1000, va, kPage), -EEXIST);
  EXPECT_EQ(v.Map(0x2000, va, kPage), -ENOSPC);
  EXPECT_EQ(v.Map(0xfee00000, va, kPage), -ENOSPC);
  EXPECT_EQ(v.Unmap(0x0000, kPage), 0);
  EXPECT_EQ(v.Map(0x2000, va, kPage), 0);
}

TEST(Limits, PinningRunsOutOfMemory) {
  Machine m(IMS_DIALECT_V7, [](ims_kernel_config &c) { c.pool_size = 2 * kMB; });
  m.AddUnit();
  ims_device *dev = m.AddDevice();
  Vmm v(m, IMS_VFIO_TYPE1v2_IOMMU);
  uint64_t va = 0;
  ASSERT_EQ(ims_mmap(v.process, 0, 64 * kMB, 3, 0, &va), 0);
  EXPECT_EQ(v.Map(0, va, 64 * kMB), -ENOMEM);
  EXPECT_EQ(m.Dma(dev, 0).fault, 0x79);
}

TEST_F(Plain, TwoGroupsShareOneSecondStage) {
  m.AddUnit();
  ims_device *second = m.AddDevice(Machine::DeviceConfig(0x0400, 8, 1));
  Vmm v(m, IMS_VFIO_TYPE1v2_IOMMU, {7, 8});
  ASSERT_EQ(v.set_iommu, 0);
  uint64_t va = Memory(v, kPage);
  ASSERT_EQ(v.Map(0x1000, va, kPage), 0);
  EXPECT_EQ(m.Dma(dev, 0x1000).output, m.Dma(second, 0x1000).output);
  ims_close(v.group[0]); // the other one goes on
  EXPECT_EQ(m.Dma(dev, 0x1000).fault, 0x59);
  EXPECT_EQ(m.Dma(second, 0x1000).status, IMS_STATUS_OK);
  ASSERT_EQ(v.Unmap(0x1000, kPage), 0);
  EXPECT_EQ(m.Dma(second, 0x1000).fault, 0x79);
}

TEST_F(Plain, GroupWithUnlikeUnitGetsItsOwnTablesWithAllMappings) {
  ims_vtd_config c = Machine::UnitConfig();
  c.sslps = 0; // no large pages
  m.AddUnit(c);
  ims_device *second = m.AddDevice(Machine::DeviceConfig(0x0400, 8, 1));
  Vmm v(m, IMS_VFIO_TYPE1v2_IOMMU);
  uint64_t va = 0;
  ASSERT_EQ(ims_mmap(v.process, 0, 2 * kMB, 3, IMS_MMAP_2M, &va), 0);
  ASSERT_EQ(v.Map(0, va, 2 * kMB), 0);
  ims_file *g = nullptr;
  ASSERT_GE(ims_open(v.process, "/dev/vfio/8", &g), 0);
  ASSERT_EQ(ims_ioctl(g, IMS_VFIO_GROUP_SET_CONTAINER, m.arena.Put<int32_t>(ims_file_fd(v.container))), 0);
  ims_result one = m.Dma(dev, 0x5000), two = m.Dma(second, 0x5000);
  EXPECT_EQ(one.output, two.output);
  EXPECT_EQ(one.shift, 21);
  EXPECT_EQ(two.shift, 12);
  ims_close(v.group[0]);
  EXPECT_EQ(m.Dma(second, 0x5000).output, two.output); // still pinned
  ASSERT_EQ(v.Unmap(0, 2 * kMB), 0);
  EXPECT_EQ(m.arena.Get<ims_vfio_iommu_type1_dma_unmap>().size, 2 * kMB);
}

// ---- GET_INFO -------------------------------------------------------------------------------------------------------

template <class T> T At(const std::vector<uint8_t> &b, size_t at) {
  T v{};
  if (at + sizeof v <= b.size())
    std::memcpy(&v, b.data() + at, sizeof v);
  return v;
}

struct Info : testing::TestWithParam<ims_dialect> {
  std::vector<uint8_t> Get(Machine &m, Vmm &v, uint32_t argsz, long expect = 0) {
    std::vector<uint8_t> b(512);
    std::memcpy(b.data(), &argsz, 4);
    m.arena.PutBytes(b.data(), b.size());
    EXPECT_EQ(ims_ioctl(v.container, IMS_VFIO_IOMMU_GET_INFO, Arena::kBase), expect);
    for (size_t i = 0; i < b.size(); i++)
      b[i] = m.arena.Get<uint8_t>(Arena::kBase + i);
    return b;
  }
};

TEST_P(Info, NestingCapabilityHasTheShapeOfTheDialect) {
  Machine m(GetParam());
  m.AddUnit();
  m.AddDevice();
  Vmm v(m);
  EXPECT_EQ(ims_ioctl(v.container, IMS_VFIO_IOMMU_GET_INFO, m.arena.Tail(15)), -EFAULT);
  Get(m, v, 15, -EINVAL);
  auto b = Get(m, v, 16); // the old structure without cap_offset
  EXPECT_EQ(At<uint32_t>(b, 4), 3u);
  EXPECT_EQ(At<uint64_t>(b, 8), ~0xfffull);
  EXPECT_EQ(At<uint32_t>(b, 16), 0u);
  uint32_t needed = At<uint32_t>(b, 0);
  const uint32_t body[] = {16, 68, 68, 72, 64, 64, 64};
  EXPECT_EQ(needed, 24 + 48 + body[GetParam()]);
  b = Get(m, v, needed - 1);
  EXPECT_EQ(At<uint32_t>(b, 0), needed);
  EXPECT_EQ(At<uint32_t>(b, 16), 0u);
  b = Get(m, v, needed);
  ASSERT_EQ(At<uint32_t>(b, 16), 24u);
  EXPECT_EQ(At<uint16_t>(b, 24), 1); // IOVA ranges
  EXPECT_EQ(At<uint32_t>(b, 24 + 8), 2u);
  EXPECT_EQ(At<uint64_t>(b, 24 + 16), 0u);
  EXPECT_EQ(At<uint64_t>(b, 24 + 24), 0xfedfffffull);
  EXPECT_EQ(At<uint64_t>(b, 24 + 32), 0xfef00000ull);
  EXPECT_EQ(At<uint64_t>(b, 24 + 40), (1ull << 48) - 1);
  uint32_t cap = At<uint32_t>(b, 24 + 4);
  ASSERT_EQ(cap, 72u);
  EXPECT_EQ(At<uint16_t>(b, cap), GetParam() <= IMS_DIALECT_V2 ? 2 : 3);
  EXPECT_EQ(At<uint16_t>(b, cap + 2), 1);
  EXPECT_EQ(At<uint32_t>(b, cap + 4), 0u);
  if (GetParam() == IMS_DIALECT_V1) {
    EXPECT_EQ(At<uint32_t>(b, cap + 8), 1u);  // PASID_REQS
    EXPECT_EQ(At<uint32_t>(b, cap + 12), 1u); // INTEL_VTD
    return;
  }
  const uint32_t head[] = {0, 12, 12, 16, 8, 8, 8};
  cap += head[GetParam()];
  EXPECT_EQ(At<uint32_t>(b, cap), 56u);
  EXPECT_EQ(At<uint32_t>(b, cap + 4), 0u);
  EXPECT_EQ(At<uint32_t>(b, cap + 8), 1u);
  EXPECT_EQ(At<uint32_t>(b, cap + 12), 7u);
  EXPECT_EQ(At<uint16_t>(b, cap + 16), 48);
  EXPECT_EQ(At<uint16_t>(b, cap + 18), 20);
  EXPECT_EQ(At<uint64_t>(b, cap + 40), ims_iommu_read(m.units[0], 8, 8));
  EXPECT_EQ(At<uint64_t>(b, cap + 48), ims_iommu_read(m.units[0], 16, 8));
}

TEST_P(Info, NoNestingCapabilityWithoutTheNestingType) {
  Machine m(GetParam());
  m.AddUnit();
  m.AddDevice();
  Vmm v(m, IMS_VFIO_TYPE1v2_IOMMU);
  auto b = Get(m, v, 512);
  EXPECT_EQ(At<uint16_t>(b, 24), 1);
  EXPECT_EQ(At<uint32_t>(b, 28), 0u);
}

INSTANTIATE_TEST_SUITE_P(Dialects, Info,
                         testing::Values(IMS_DIALECT_V1, IMS_DIALECT_V2, IMS_DIALECT_V3, IMS_DIALECT_V4, IMS_DIALECT_V5,
                                         IMS_DIALECT_V6, IMS_DIALECT_V7));

} // namespace
} // namespace uapi_test
