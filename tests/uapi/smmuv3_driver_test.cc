// SPDX-License-Identifier: Apache-2.0
// The SMMUv3 driver: what it programs, what it says to the command queue, host domains of both stages.
#include "iommu/smmuv3/commands.h"
#include "pasid/smmu.h"
#include "tests/uapi/machine.h"

namespace uapi_test {
namespace {

void Arm(ims_kernel_config &c) { c.cpu_format = IMS_CPU_ARM_4K; }

struct Smmu : testing::Test {
  Machine m{IMS_DIALECT_SMMUV3_V13, Arm};
  unsigned unit = m.AddSmmu();
  uint64_t Reg(unsigned offset, unsigned bytes = 4) { return ims_iommu_read(m.units[0], offset, bytes); }
  // The STE as the two-level table of 256 streams a leaf has it.
  std::vector<uint64_t> Ste(uint32_t sid) {
    uint64_t leaf = m.Load(ims_kernel_unit_root(m.kernel, 0) + sid / 256 * 8) & 0x00ffffffffffffc0;
    std::vector<uint64_t> w;
    for (int i = 0; i < 8; i++)
      w.push_back(m.Load(leaf + sid % 256 * 64 + 8 * i));
    return w;
  }
  std::vector<unsigned> Opcodes() {
    std::vector<unsigned> out;
    for (uint64_t d : m.Descriptors())
      out.push_back(d & 0xff);
    return out;
  }
};

TEST_F(Smmu, BringUpProgramsTheRegistersLinuxDoes) {
  EXPECT_EQ(Reg(IMS_SMMUV3_OFF_CR0), 0x1fu); // SMMUEN, PRIQEN, EVENTQEN, CMDQEN, ATSCHK
  EXPECT_EQ(Reg(IMS_SMMUV3_OFF_CR0ACK), 0x1fu);
  EXPECT_EQ(Reg(IMS_SMMUV3_OFF_CR1), 0xd75u);
  EXPECT_EQ(Reg(IMS_SMMUV3_OFF_CR2) & 2, 2u); // RECINVSID
  EXPECT_EQ(Reg(IMS_SMMUV3_OFF_STRTAB_BASE_CFG), 0x10210u);
  EXPECT_EQ(Reg(IMS_SMMUV3_OFF_STRTAB_BASE, 8) & 0xfffffffffffc0, ims_kernel_unit_root(m.kernel, 0));
  EXPECT_EQ(Reg(IMS_SMMUV3_OFF_IRQ_CTRLACK), 7u);
  EXPECT_EQ(Reg(IMS_SMMUV3_OFF_GERROR), Reg(IMS_SMMUV3_OFF_GERRORN));
  EXPECT_FALSE(ims_kernel_unit_scalable(m.kernel, 0));
  // Everything that was cached before is gone: STEs, EL1, EL2, and a sync.
  EXPECT_EQ(Opcodes(), (std::vector<unsigned>{0x04, 0x30, 0x20, 0x46}));
}

TEST_F(Smmu, StreamsOfNobodyAbort) {
  ims_device *dev = m.AddDevice();
  EXPECT_EQ(Ste(0x300)[0], 1u);
  EXPECT_EQ(m.Dma(dev, 0x1000).status, IMS_STATUS_ABORT);
  ims_request r{};
  r.iova = 0x1000;
  r.source = 0x301; // in the same leaf
  ims_result res;
  ims_translate(m.units[0], &r, &res);
  EXPECT_EQ(res.status, IMS_STATUS_ABORT);
  r.source = 0x9900; // no leaf
  ims_translate(m.units[0], &r, &res);
  EXPECT_EQ(res.fault, IMS_SMMUV3_C_BAD_STREAMID);
  ims_kernel_interrupts(m.kernel);
  ims_kernel_fault f{};
  ASSERT_TRUE(ims_kernel_fault_at(m.kernel, 0, &f));
  EXPECT_EQ(f.reason, IMS_SMMUV3_C_BAD_STREAMID);
  EXPECT_EQ(f.source, 0x9900);
}

TEST_F(Smmu, ContainerOfPlainType1IsAFirstStage) {
  ims_device *dev = m.AddDevice();
  Vmm v(m, IMS_VFIO_TYPE1v2_IOMMU);
  ASSERT_EQ(v.set_iommu, 0);
  uint64_t va = 0, hpa = 0;
  ASSERT_EQ(ims_mmap(v.process, 0, 4 * kMB, 3, IMS_MMAP_POPULATE | IMS_MMAP_2M, &va), 0);
  ASSERT_EQ(v.Map(0x10000000, va, 4 * kMB), 0);
  ASSERT_EQ(ims_process_translate(v.process, va + 0x201000, &hpa), IMS_ERR_OK);
  ims_result r = m.Dma(dev, 0x10201000, IMS_ACC_W);
  EXPECT_EQ(r.status, IMS_STATUS_OK);
  EXPECT_EQ(r.output, hpa);
  EXPECT_EQ(r.shift, 21);
  auto ste = Ste(0x300);
  EXPECT_EQ(ste[0] & 15, 0xbu);    // V, Config 5
  EXPECT_EQ(ste[1] & 0xff, 0xd6u); // S1DSS 2, CDs inner shareable and write-back
  EXPECT_EQ(ims_ste_get(ste.data(), IMS_STE_EATS), 1u);
  EXPECT_EQ(ims_ste_address(ste.data(), IMS_STE_S1CONTEXTPTR), ims_device_pasid_dir(dev));
  m.Clear();
  ASSERT_EQ(v.Unmap(0x10000000, 4 * kMB), 0);
  EXPECT_EQ(m.Dma(dev, 0x10201000).fault, IMS_SMMUV3_F_TRANSLATION);
  EXPECT_EQ(Opcodes(), (std::vector<unsigned>{0x12, 0x46, 0x40, 0x46})); // NH_VA, SYNC, ATC_INV, SYNC
}

TEST_F(Smmu, NestingContainerIsASecondStage) {
  ims_device *dev = m.AddDevice();
  Vmm v(m);
  ASSERT_EQ(v.set_iommu, 0);
  ims_vm *vm = v.Guest(8 * kMB);
  uint64_t hpa = 0;
  ASSERT_EQ(ims_vm_translate(vm, 0x123000, &hpa), IMS_ERR_OK);
  EXPECT_EQ(m.Dma(dev, 0x123000).output, hpa);
  auto ste = Ste(0x300);
  EXPECT_EQ(ste[0], 0xdu); // V, Config 6
  EXPECT_EQ(ims_ste_get(ste.data(), IMS_STE_S2VMID), 2u);
  EXPECT_EQ(ims_ste_get(ste.data(), IMS_STE_S2T0SZ), 16u);
  EXPECT_EQ(ims_ste_get(ste.data(), IMS_STE_S2SL0), 2u);
  EXPECT_EQ(ims_ste_get(ste.data(), IMS_STE_S2R), 1u);
  m.Clear();
  ASSERT_EQ(v.Unmap(0, 8 * kMB), 0);
  EXPECT_EQ(m.Dma(dev, 0x123000).fault, IMS_SMMUV3_F_TRANSLATION);
  // Combined entries of guests are not found by IPA.
  EXPECT_EQ(Opcodes(), (std::vector<unsigned>{0x2a, 0x10, 0x46, 0x40, 0x46}));
  ims_process_exit(v.process);
  EXPECT_EQ(Ste(0x300)[0], 1u);
  EXPECT_EQ(m.Dma(dev, 0x123000).status, IMS_STATUS_ABORT);
}

} // namespace
} // namespace uapi_test
