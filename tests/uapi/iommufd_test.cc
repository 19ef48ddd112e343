// SPDX-License-Identifier: Apache-2.0
// iommufd from end to end: a device, an address space, a nested translation, and everything gone again.
#include "tests/uapi/iommufd_client.h"

using namespace uapi_test;

namespace {

TEST(Iommufd, ADeviceReachesWhatItsAddressSpaceMaps) {
  Machine m;
  m.AddUnit();
  ims_device *dev = m.AddDevice();
  const uint64_t before = ims_kernel_memory_in_use(m.kernel);
  Client c(m);
  ims_file *d = c.OpenDevice(dev);
  ASSERT_EQ(c.Bind(d), 1);
  uint32_t ioas = c.Ioas();
  EXPECT_EQ(ioas, 2u);
  uint64_t va = c.Memory(64 * kPage);
  ASSERT_EQ(c.Map(ioas, 0x100000, va, 16 * kPage), 0);
  EXPECT_EQ(m.Dma(dev, 0x100000).status, IMS_STATUS_FAULT);
  EXPECT_EQ(c.Attach(d, ioas), 3); // the table that the kernel made

  ims_result r = m.Dma(dev, 0x103010, IMS_ACC_W);
  ASSERT_EQ(r.status, IMS_STATUS_OK);
  EXPECT_EQ(r.output, c.Hpa(va + 3 * kPage) + 0x10);
  // Mapped while attached; unmapped and, invalidated, gone.
  ASSERT_EQ(c.Map(ioas, 0x200000, va + 32 * kPage, kPage), 0);
  EXPECT_EQ(m.Dma(dev, 0x200000).output, c.Hpa(va + 32 * kPage));
  ASSERT_EQ(c.Unmap(ioas, 0x200000, kPage), 0);
  EXPECT_EQ(c.unmapped, kPage);
  EXPECT_EQ(m.Dma(dev, 0x200000).status, IMS_STATUS_FAULT);
  EXPECT_EQ(c.Unmap(ioas, 0x200000, kPage), -ENOENT);

  EXPECT_EQ(c.Destroy(ioas), -EBUSY); // the table
  EXPECT_EQ(c.Destroy(1), -EBUSY);    // the device
  EXPECT_EQ(c.Detach(d), 0);
  EXPECT_EQ(c.Detach(d), 0); // again: nothing to do
  EXPECT_EQ(m.Dma(dev, 0x103010).status, IMS_STATUS_FAULT);
  EXPECT_EQ(c.Destroy(3), -ENOENT); // went with its last attachment
  EXPECT_EQ(c.Destroy(ioas), 0);
  EXPECT_EQ(c.Destroy(ioas), -ENOENT);
  // The iommufd lives as long as the device is bound.
  EXPECT_EQ(ims_close(c.iommu), 0);
  EXPECT_EQ(ims_close(d), 0);
  ims_process_exit(c.process);
  EXPECT_EQ(ims_kernel_memory_in_use(m.kernel), before + kPage); // the PASID table of the device
}

TEST(Iommufd, AGuestsFirstStageOverANestingParent) {
  Machine m;
  m.AddUnit();
  ims_device *dev = m.AddDevice();
  Client c(m);
  ims_file *d = c.OpenDevice(dev);
  auto id = static_cast<uint32_t>(c.Bind(d));
  uint32_t ioas = c.Ioas();
  int64_t parent = c.Hwpt(id, ioas, IMS_HWPT_NEST_PARENT);
  ASSERT_GT(parent, 0);
  ims_vm *vm = c.Guest(ioas, 16 * kMB);
  GuestTable t(vm);
  t.Map(0x7000000000, 2 * kMB, kPage);
  ims_iommu_hwpt_vtd_s1 s1{};
  s1.pgtbl_addr = t.pgt.root;
  s1.addr_width = 48;
  int64_t nested = c.Hwpt(id, static_cast<uint32_t>(parent), 0, IMS_HWPT_DATA_VTD_S1, &s1);
  ASSERT_GT(nested, parent);
  ASSERT_EQ(c.Attach(d, static_cast<uint32_t>(nested)), nested);
  ims_result r = m.Dma(dev, 0x7000000123);
  ASSERT_EQ(r.status, IMS_STATUS_OK);
  uint64_t hpa = 0;
  ASSERT_EQ(ims_vm_translate(vm, 2 * kMB + 0x123, &hpa), IMS_ERR_OK);
  EXPECT_EQ(r.output, hpa);
  EXPECT_EQ(c.Destroy(static_cast<uint32_t>(parent)), -EBUSY);
  EXPECT_EQ(c.Destroy(static_cast<uint32_t>(nested)), -EBUSY);
  EXPECT_EQ(c.Detach(d), 0);
  EXPECT_EQ(m.Dma(dev, 0x7000000123).status, IMS_STATUS_FAULT);
  EXPECT_EQ(c.Destroy(static_cast<uint32_t>(nested)), 0);
  EXPECT_EQ(c.Destroy(static_cast<uint32_t>(parent)), 0);
}

} // namespace
