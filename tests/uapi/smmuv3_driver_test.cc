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

// ---- Units that lack something --------------------------------------------------------------------------------------

struct Variant {
  const char *name;
  void (*change)(ims_smmuv3_config &);
};

struct SmmuVariants : testing::TestWithParam<Variant> {};

// What the driver does must not depend on how the unit tells that it is done, how long its queues are, or how its tables
// are laid out.
TEST_P(SmmuVariants, ProcessesFaultsAndInvalidationsWork) {
  ims_smmuv3_config c = Machine::SmmuConfig();
  GetParam().change(c);
  Machine m(IMS_DIALECT_SMMUV3_V13, Arm);
  m.AddSmmu(c);
  ims_device_config d = Machine::DeviceConfig(0x21);
  d.ats = d.pri = c.pri;
  ims_device *dev = m.AddDevice(d);
  ims_process *p = m.AddProcess();
  ims_sva *s = nullptr;
  uint64_t va = 0, more = 0;
  ASSERT_EQ(ims_mmap(p, 0, 40 * kPage, 3, IMS_MMAP_POPULATE, &va), 0);
  ASSERT_EQ(ims_sva_bind(dev, p, &s), 0);
  for (unsigned i = 0; i < 40; i++)
    ASSERT_EQ(m.Dma(dev, va + i * kPage, IMS_ACC_R, 1).status, IMS_STATUS_OK);
  ASSERT_EQ(ims_munmap(p, va + 3 * kPage, 29 * kPage), 0);
  for (unsigned i = 0; i < 40; i++)
    EXPECT_EQ(m.Dma(dev, va + i * kPage, IMS_ACC_R, 1).status == IMS_STATUS_OK, i < 3 || i >= 32) << i;
  ims_kernel_interrupts(m.kernel);
  EXPECT_GT(ims_kernel_faults(m.kernel), 0u);
  if (c.pri) {
    ASSERT_EQ(ims_mmap(p, 0, kPage, 3, 0, &more), 0);
    ims_page_request r{};
    r.addr = more;
    r.source = 0x21;
    r.pasid = 1;
    r.has_pasid = r.last = r.write = true;
    r.group = 5;
    m.responses.clear();
    ASSERT_TRUE(ims_request_page(m.units[0], &r));
    ims_kernel_interrupts(m.kernel);
    ASSERT_EQ(m.responses.size(), 1u);
    EXPECT_EQ(m.responses[0].code, 0);
    EXPECT_EQ(m.Dma(dev, more, IMS_ACC_W, 1).status, IMS_STATUS_OK);
  }
  ims_sva_unbind(s);
  EXPECT_EQ(m.Dma(dev, va, IMS_ACC_R, 1).status, IMS_STATUS_ABORT);
  ims_kernel_counters count{};
  ims_kernel_count(m.kernel, &count);
  EXPECT_EQ(count.queue_errors, 0u);
}

INSTANTIATE_TEST_SUITE_P(
    Units, SmmuVariants,
    testing::Values(Variant{"Everything", [](ims_smmuv3_config &) {}},
                    Variant{"NoMessages", [](ims_smmuv3_config &c) { c.msi = 0; }},
                    Variant{"NoRanges", [](ims_smmuv3_config &c) { c.ril = 0; }},
                    Variant{"QueuesOfOne", [](ims_smmuv3_config &c) { c.cmdqs = c.eventqs = c.priqs = 0; }},
                    Variant{"ShortQueues", [](ims_smmuv3_config &c) { c.cmdqs = c.eventqs = c.priqs = 2; }},
                    Variant{"LinearStreamTable",
                            [](ims_smmuv3_config &c) {
                              c.st_level = 0;
                              c.sidsize = 6;
                            }},
                    Variant{"LinearCdTable", [](ims_smmuv3_config &c) { c.cd2l = 0; }},
                    Variant{"FewSubstreams", [](ims_smmuv3_config &c) { c.ssidsize = 3; }},
                    Variant{"NoDeviceCaches", [](ims_smmuv3_config &c) { c.ats = c.pri = 0; }},
                    Variant{"NoStalls", [](ims_smmuv3_config &c) { c.stall_model = 1; }},
                    Variant{"NoHardwareUpdates", [](ims_smmuv3_config &c) { c.httu = 0; }},
                    Variant{"SmallTags", [](ims_smmuv3_config &c) { c.asid16 = c.vmid16 = 0; }}),
    [](const testing::TestParamInfo<Variant> &i) { return std::string(i.param.name); });

TEST(SmmuUnits, ThatTheDriverCannotUse) {
  for (auto change : {+[](ims_smmuv3_config &c) { c.ttf = 1; }}) {
    ims_smmuv3_config c = Machine::SmmuConfig();
    change(c);
    Machine m(IMS_DIALECT_SMMUV3_V13, Arm);
    ims_iommu *u = nullptr;
    ims_iommu_bus bus{};
    ASSERT_EQ(ims_smmuv3_new(&u, &c, &m.mem, &bus), IMS_ERR_OK);
    EXPECT_EQ(ims_kernel_add_unit(m.kernel, "smmu", u, nullptr), IMS_ERR_UNSUP);
    ims_iommu_free(u);
  }
}

TEST(SmmuUnits, DeviceThatDoesNotAnswerIsReportedAndTheQueueGoesOn) {
  Machine m(IMS_DIALECT_SMMUV3_V13, Arm);
  m.AddSmmu();
  ims_device *dev = m.AddDevice();
  ims_process *p = m.AddProcess();
  ims_sva *s = nullptr;
  uint64_t va = 0;
  ASSERT_EQ(ims_mmap(p, 0, 4 * kPage, 3, IMS_MMAP_POPULATE, &va), 0);
  ASSERT_EQ(ims_sva_bind(dev, p, &s), 0);
  m.device_answers = false;
  m.Clear();
  ASSERT_EQ(ims_munmap(p, va, kPage), 0);
  ims_kernel_counters count{};
  ims_kernel_count(m.kernel, &count);
  EXPECT_EQ(count.queue_errors, 1u);
  EXPECT_EQ(m.Said(1u << IMS_NOTE_LOG),
            (std::vector<std::string>{
                "kernel: command queue error 3 (a device did not answer an ATC invalidation) at command " +
                std::to_string((ims_iommu_read(m.units[0], IMS_SMMUV3_OFF_CMDQ_CONS, 4) - 1) & 255)}));
  m.device_answers = true;
  EXPECT_EQ(m.Dma(dev, va, IMS_ACC_R, 1).fault, IMS_SMMUV3_F_TRANSLATION);
  ASSERT_EQ(ims_munmap(p, va + kPage, kPage), 0);
  ims_kernel_count(m.kernel, &count);
  EXPECT_EQ(count.queue_errors, 1u);
}

TEST(SmmuUnits, OverflowOfTheEventQueueIsAcknowledged) {
  ims_smmuv3_config c = Machine::SmmuConfig();
  c.eventqs = 2;
  Machine m(IMS_DIALECT_SMMUV3_V13, Arm);
  m.AddSmmu(c);
  ims_device *dev = m.AddDevice();
  Vmm v(m);
  for (int i = 0; i < 9; i++)
    m.Dma(dev, 0x1000);
  m.Clear();
  ims_kernel_interrupts(m.kernel);
  EXPECT_EQ(ims_kernel_faults(m.kernel), 4u);
  EXPECT_EQ(m.Said(1u << IMS_NOTE_LOG), (std::vector<std::string>{"kernel: event queue overflow: events were lost"}));
  m.Dma(dev, 0x1000);
  ims_kernel_interrupts(m.kernel);
  EXPECT_EQ(ims_kernel_faults(m.kernel), 5u);
}

TEST(SmmuUnits, VmidsComeBackWithoutWhatWasCachedUnderThem) {
  Machine m(IMS_DIALECT_SMMUV3_V13, Arm);
  m.AddSmmu();
  ims_device *dev = m.AddDevice();
  uint64_t first = 0;
  for (int round = 0; round < 2; round++) {
    Vmm v(m);
    uint64_t va = 0, hpa = 0;
    ASSERT_EQ(ims_mmap(v.process, 0, (2 + round) * kPage, 3, IMS_MMAP_POPULATE, &va), 0);
    ASSERT_EQ(v.Map(0x1000, va + round * kPage, kPage), 0);
    ASSERT_EQ(ims_process_translate(v.process, va + round * kPage, &hpa), IMS_ERR_OK);
    EXPECT_EQ(m.Dma(dev, 0x1000).output, hpa);
    EXPECT_NE(hpa, first);
    first = hpa;
    m.Clear();
    ims_process_exit(v.process);
    bool vmall = false;
    for (uint64_t d : m.Descriptors())
      vmall |= (d & 0xff) == 0x28 && (d >> 32 & 0xffff) == 2;
    EXPECT_TRUE(vmall);
  }
}

TEST(SmmuUnits, BypassByConfiguration) {
  Machine m(IMS_DIALECT_SMMUV3_V13, [](ims_kernel_config &c) {
    Arm(c);
    c.smmu_bypass = true;
  });
  m.AddSmmu();
  ims_device *dev = m.AddDevice();
  EXPECT_EQ(m.Dma(dev, 0x1234).status, IMS_STATUS_BYPASS);
  ims_process *p = m.AddProcess();
  ims_sva *s = nullptr;
  uint64_t va = 0;
  ASSERT_EQ(ims_mmap(p, 0, kPage, 3, IMS_MMAP_POPULATE, &va), 0);
  m.Clear();
  ASSERT_EQ(ims_sva_bind(dev, p, &s), 0);
  // The stream went on bypassing: one word of the STE was in use and changed.
  unsigned zero = 0;
  for (const Note &n : m.notes)
    zero += n.note.kind == IMS_NOTE_TABLE && n.what == "STE" && !n.note.word[0];
  EXPECT_EQ(zero, 0u);
  EXPECT_EQ(m.Dma(dev, 0x1234).output, 0x1234u);
  EXPECT_EQ(m.Dma(dev, va, IMS_ACC_R, 1).status, IMS_STATUS_OK);
  ims_sva_unbind(s);
  EXPECT_EQ(m.Dma(dev, 0x1234).status, IMS_STATUS_BYPASS);
}

// Such a unit takes no second stage that does not stall, and ATS excludes stalls there.
TEST(SmmuUnits, ForcedStallsTurnAtsOff) {
  ims_smmuv3_config c = Machine::SmmuConfig();
  c.stall_model = 2;
  Machine m(IMS_DIALECT_SMMUV3_V13, Arm);
  m.AddSmmu(c);
  ims_device_config d = Machine::DeviceConfig();
  d.pri = false;
  ims_device *dev = m.AddDevice(d);
  ims_process *p = m.AddProcess();
  ims_sva *s = nullptr;
  uint64_t va = 0, hpa = 0;
  ASSERT_EQ(ims_mmap(p, 0, kPage, 3, 0, &va), 0);
  ASSERT_EQ(ims_sva_bind(dev, p, &s), 0);
  EXPECT_EQ(m.Dma(dev, va, IMS_ACC_W, 1).status, IMS_STATUS_STALL);
  ims_kernel_interrupts(m.kernel);
  EXPECT_EQ(m.Dma(dev, va, IMS_ACC_W, 1).status, IMS_STATUS_OK);
  ims_sva_unbind(s);
  Vmm v(m);
  ASSERT_EQ(v.set_iommu, 0);
  ims_vm *vm = v.Guest(4 * kMB);
  ASSERT_EQ(ims_vm_translate(vm, 0x1000, &hpa), IMS_ERR_OK);
  EXPECT_EQ(m.Dma(dev, 0x1000).output, hpa);
  // A second stage is not filled on demand: the stall is ended, and logged.
  m.Clear();
  ASSERT_EQ(m.Dma(dev, 0x40000000).status, IMS_STATUS_STALL);
  ims_kernel_interrupts(m.kernel);
  ASSERT_EQ(m.resumes.size(), 1u);
  EXPECT_EQ(m.resumes[0].action, IMS_RESUME_ABORT);
  ASSERT_EQ(ims_kernel_faults(m.kernel), 1u);
}

// ---- Words ----------------------------------------------------------------------------------------------------------

TEST(SmmuNotes, SayWhatWasDone) {
  auto text = [](const ims_note &n) {
    char buf[512];
    ims_note_text(&n, buf, sizeof buf);
    return std::string(buf);
  };
  ims_note n{};
  n.arch = IMS_ARCH_SMMUV3;
  n.kind = IMS_NOTE_DESCRIPTOR;
  n.word[0] = 0x12 | 2ull << 32 | 0x77ull << 48;
  n.word[1] = 0x5001;
  EXPECT_EQ(text(n), "queue CMD_TLBI_NH_VA: VMID 2, ASID 119, LEAF, ADDR 0x5000");
  n.word[0] = 0x46;
  n.word[1] = 0;
  EXPECT_EQ(text(n), "queue CMD_SYNC");
  n.kind = IMS_NOTE_TABLE;
  n.what = "STE";
  n.source = 0x300;
  n.addr = 0x40000;
  n.word[0] = 0xb | 0x123440ull;
  EXPECT_EQ(text(n), "store STE of stream 0x300 at 0x40000 = 0x12344b: V, CONFIG 5, S1CONTEXTPTR 0x123440");
  n.what = "CD";
  n.addr = 0x40008;
  n.word[0] = 0x5000;
  EXPECT_EQ(text(n), "store CD of stream 0x300 at 0x40008 = 0x5000: TTB0 0x5000");
  n.kind = IMS_NOTE_MMIO_WRITE;
  n.what = "CR0";
  n.addr = 0x20;
  n.bytes = 4;
  n.word[0] = 9;
  EXPECT_EQ(text(n), "write CR0 (0x20) = 0x9: SMMUEN, CMDQEN");
  n.kind = IMS_NOTE_FAULT;
  n.what = "event";
  n.word[0] = 0x10 | 1 << 11 | 3 << 12 | 0x300ull << 32;
  n.word[1] = 1ull << 35 | 2ull << 40;
  n.word[2] = 0x7010;
  n.word[3] = 0;
  EXPECT_EQ(text(n), "event of stream 0x300: F_TRANSLATION, no translation: SSV, SSID 3, RNW, CLASS 2, INPUT 0x7010");
  n.kind = IMS_NOTE_PAGE_REQUEST;
  n.word[0] = 0x300 | 3ull << 32 | 7ull << 60 | 1ull << 63;
  n.word[1] = 0x8000 | 17;
  EXPECT_EQ(text(n), "page request of stream 0x300, substream 3: 0x8000, read write, group 17, last");
  n.arch = IMS_ARCH_SMMUV2;
  n.kind = IMS_NOTE_MMIO_WRITE;
  n.what = "S2CR";
  n.addr = 0xc00;
  n.word[0] = 1;
  EXPECT_EQ(text(n), "write S2CR (0xc00) = 0x1: CBNDX 1");
  n.kind = IMS_NOTE_FAULT;
  n.what = "context fault";
  n.word[0] = 2;
  n.word[1] = 0x7010;
  n.word[2] = 0x10;
  n.word[3] = 0;
  EXPECT_EQ(text(n), "context fault of stream 0x300: TF, no translation, or an address beyond the range of the tables: "
                     "address 0x7010, syndrome 0x10");
}

} // namespace
} // namespace uapi_test
