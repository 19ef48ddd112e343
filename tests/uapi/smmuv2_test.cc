// SPDX-License-Identifier: Apache-2.0
// The SMMUv2 driver: streams and banks, and a guest's stage 1 without PASID, bound by the ioctl of page tables.
#include "tests/uapi/arm_guest.h"
#include <array>

namespace uapi_test {
namespace {

#pragma pack(push, 1)
struct Bind2A {
  uint32_t argsz = 80, flags = 0;
  ims_iommu_gpasid_bind_smmuv2_a data{};
};
struct Bind2B {
  uint32_t argsz = 80, flags = 0;
  ims_iommu_gpasid_bind_smmuv2_b data{};
};
#pragma pack(pop)

Bind2B MakeBind2(uint32_t op, const GuestArmTable &t, uint16_t asid) {
  Bind2B b;
  b.flags = op;
  b.data.argsz = 72;
  b.data.version = 1;
  b.data.format = 2;
  b.data.addr_width = t.pgt.in_bits;
  b.data.gpgd = t.pgt.root;
  b.data.smmuv2_tcr = (64u - t.pgt.in_bits) | t.Tg0() << 14;
  b.data.smmuv2_asid = asid;
  b.data.smmuv2_mair = 0xff;
  return b;
}

Bind2A MakeBind2A(uint32_t op, const GuestArmTable &t, uint16_t asid) {
  Bind2B b = MakeBind2(op, t, asid);
  Bind2A a;
  a.flags = op;
  a.data.version = 1;
  a.data.format = 2;
  a.data.addr_width = b.data.addr_width;
  a.data.gpgd = b.data.gpgd;
  a.data.smmuv2_tcr = b.data.smmuv2_tcr;
  a.data.smmuv2_asid = asid;
  a.data.smmuv2_mair = 0xff;
  return a;
}

struct Nested2 {
  explicit Nested2(ims_dialect dialect = IMS_DIALECT_V7, const ims_smmuv2_config &smmu = Machine::Smmuv2Config(),
                   bool stall = false)
      : m(dialect, ArmCpu) {
    m.AddSmmuv2(smmu);
    ims_device_config d = Machine::DeviceConfig();
    d.stall = stall;
    dev = m.AddDevice(d);
    v = std::make_unique<Vmm>(m);
    EXPECT_EQ(v->set_iommu, 0);
    vm = v->Guest(64 * kMB);
  }
  uint64_t Hpa(uint64_t gpa) {
    uint64_t hpa = 0;
    EXPECT_EQ(ims_vm_translate(vm, gpa, &hpa), IMS_ERR_OK);
    return hpa;
  }
  std::vector<std::string> Written() { // names of registers, in order
    std::vector<std::string> out;
    for (const Note &n : m.notes)
      if (n.note.kind == IMS_NOTE_MMIO_WRITE)
        out.push_back(n.what);
    return out;
  }
  std::string Peek(const char *name) {
    uint64_t value = 0;
    EXPECT_EQ(ims_smmuv2_peek(m.units[0], name, &value), IMS_ERR_OK) << name;
    char text[32];
    snprintf(text, sizeof text, "%llx", static_cast<unsigned long long>(value));
    return text;
  }
  Machine m;
  ims_device *dev = nullptr;
  std::unique_ptr<Vmm> v;
  ims_vm *vm = nullptr;
};

TEST(Smmuv2Driver, BringUpLetsNobodyThrough) {
  Machine m(IMS_DIALECT_V7, ArmCpu);
  m.AddSmmuv2();
  ims_device *dev = m.AddDevice();
  EXPECT_EQ(m.notes.back().what, "S2CR"); // after the reset the device's stream: SMR, then S2CR
  EXPECT_EQ(m.notes[m.notes.size() - 2].what, "SMR");
  EXPECT_EQ(m.notes[m.notes.size() - 3].what, "sCR0"); // the last write of the reset
  ims_result r = m.Dma(dev, 0x1000);
  EXPECT_EQ(r.status, IMS_STATUS_FAULT);
  EXPECT_EQ(r.fault, IMS_SMMUV2_ICF);
  ims_kernel_interrupts(m.kernel);
  ims_kernel_fault f{};
  ASSERT_TRUE(ims_kernel_fault_at(m.kernel, 0, &f));
  EXPECT_EQ(f.reason, IMS_SMMUV2_ICF);
  EXPECT_EQ(f.source, 0x300);
  EXPECT_EQ(f.addr, 0x1000u);
  EXPECT_EQ(ims_iommu_read(m.units[0], IMS_SMMUV2_OFF_sGFSR, 4), 0u); // acknowledged
}

TEST(Smmuv2Driver, BypassByConfiguration) {
  Machine m(IMS_DIALECT_V7, [](ims_kernel_config &c) {
    ArmCpu(c);
    c.smmu_bypass = true;
  });
  m.AddSmmuv2();
  EXPECT_EQ(m.Dma(m.AddDevice(), 0x1000).status, IMS_STATUS_BYPASS);
}

TEST(Smmuv2Driver, PlainContainerIsAFirstStageAndNestingASecond) {
  for (bool indexing : {false, true}) {
    ims_smmuv2_config c = Machine::Smmuv2Config();
    if (indexing) {
      c.sms = 0;
      c.numsmrg = 0;
      c.numsidb = 5;
    }
    Machine m(IMS_DIALECT_V7, ArmCpu);
    m.AddSmmuv2(c);
    ims_device *dev = m.AddDevice(Machine::DeviceConfig(indexing ? 3 : 0x300));
    for (uint64_t type : {uint64_t(IMS_VFIO_TYPE1v2_IOMMU), uint64_t(IMS_VFIO_TYPE1_NESTING_IOMMU)}) {
      Vmm v(m, type);
      ASSERT_EQ(v.set_iommu, 0);
      uint64_t va = 0, hpa = 0;
      ASSERT_EQ(ims_mmap(v.process, 0, 64 * kPage, 3, IMS_MMAP_POPULATE, &va), 0);
      ASSERT_EQ(v.Map(0x100000, va, 64 * kPage), 0);
      ASSERT_EQ(ims_process_translate(v.process, va + 3 * kPage, &hpa), IMS_ERR_OK);
      EXPECT_EQ(m.Dma(dev, 0x103000, IMS_ACC_W).output, hpa);
      ASSERT_EQ(v.Unmap(0x100000, 64 * kPage), 0);
      EXPECT_EQ(m.Dma(dev, 0x103000, IMS_ACC_W).fault, IMS_SMMUV2_TF);
      ims_kernel_interrupts(m.kernel);
      ims_kernel_fault f{};
      ASSERT_TRUE(ims_kernel_fault_at(m.kernel, ims_kernel_faults(m.kernel) - 1, &f));
      EXPECT_EQ(f.reason, IMS_SMMUV2_TF);
      EXPECT_EQ(f.addr, 0x103000u);
      EXPECT_EQ(f.type, 0);
      EXPECT_EQ(f.s2, type == IMS_VFIO_TYPE1_NESTING_IOMMU);
      ims_process_exit(v.process);
      EXPECT_EQ(m.Dma(dev, 0x103000).fault, IMS_SMMUV2_ICF);
      ims_kernel_interrupts(m.kernel);
    }
  }
}

TEST(Smmuv2Guest, BindWithoutPasidRidesOnThePageTableIoctl) {
  for (ims_dialect d : {IMS_DIALECT_V1, IMS_DIALECT_V2, IMS_DIALECT_V7}) {
    Nested2 s(d);
    GuestArmTable t(s.vm);
    t.Map(0x7000, 0x10000, kPage, IMS_PERM_R);
    EXPECT_EQ(s.m.Dma(s.dev, 0x10000).output, s.Hpa(0x10000));
    long bound = d == IMS_DIALECT_V1   ? s.v->Ioctl(0x3b7b, MakeBind2A(1, t, 5))
                 : d == IMS_DIALECT_V2 ? s.v->Ioctl(0x3b7b, MakeBind2A(0, t, 5))
                                       : s.v->Ioctl(0x3b77, MakeBind2(0, t, 5));
    ASSERT_EQ(bound, 0) << d;
    EXPECT_EQ(s.m.Dma(s.dev, 0x7010).output, s.Hpa(0x10000) + 0x10);
    EXPECT_EQ(s.m.Dma(s.dev, 0x7010, IMS_ACC_W).fault, IMS_SMMUV2_PF);
    ims_kernel_interrupts(s.m.kernel);
    long unbound = d == IMS_DIALECT_V1   ? s.v->Ioctl(0x3b7b, MakeBind2A(2, t, 5))
                   : d == IMS_DIALECT_V2 ? s.v->Ioctl(0x3b7b, MakeBind2A(1, t, 5))
                                         : s.v->Ioctl(0x3b77, MakeBind2(1, t, 5));
    EXPECT_EQ(unbound, 0);
    EXPECT_EQ(s.m.Dma(s.dev, 0x10000).output, s.Hpa(0x10000));
  }
}

TEST(Smmuv2Guest, BankIsWrittenInOrderAndTheStreamLast) {
  Nested2 s;
  GuestArmTable t(s.vm);
  s.m.Clear();
  ASSERT_EQ(s.v->Ioctl(0x3b77, MakeBind2(0, t, 5)), 0);
  EXPECT_EQ(s.Written(), (std::vector<std::string>{"CBA2R", "CBAR", "CB_TCR2", "CB_TCR", "CB_TTBR0", "CB_TTBR1",
                                                   "CB_MAIR0", "CB_MAIR1", "CB_SCTLR", "S2CR"}));
  EXPECT_EQ(s.Peek("CBAR1"), "30000");  // nested, on bank 0
  EXPECT_EQ(s.Peek("CBA2R1"), "20001"); // AArch64, VMID 2 as the second stage has
  EXPECT_EQ(s.Peek("CBA2R0"), "20001");
  EXPECT_EQ(s.Peek("S2CR0"), "1");
  uint64_t ttbr = 0;
  ASSERT_EQ(ims_smmuv2_peek(s.m.units[0], "CB1_TTBR0", &ttbr), IMS_ERR_OK);
  EXPECT_EQ(ttbr, t.pgt.root | 5ull << 48);
  s.m.Clear();
  ASSERT_EQ(s.v->Ioctl(0x3b77, MakeBind2(1, t, 5)), 0);
  EXPECT_EQ(s.Written(), (std::vector<std::string>{"S2CR", "CB_SCTLR", "CB_TLBIASID", "CB_TLBSYNC", "CB_SCTLR"}));
  EXPECT_EQ(s.Peek("S2CR0"), "0");
}

TEST(Smmuv2Guest, InvalidationByAsidIsNeededAndSufficient) {
  Nested2 s;
  GuestArmTable t(s.vm);
  t.Map(0x100000, 0x100000, 32 * kPage);
  ASSERT_EQ(s.v->Ioctl(0x3b77, MakeBind2(0, t, 5)), 0);
  for (unsigned i = 0; i < 32; i++)
    ASSERT_EQ(s.m.Dma(s.dev, 0x100000 + i * kPage).status, IMS_STATUS_OK);
  t.Unmap(0x104000, 4 * kPage);
  EXPECT_EQ(s.m.Dma(s.dev, 0x104000).status, IMS_STATUS_OK); // stale
  InvB inv = MakeInvAsid(5, 0x104000, 4, 4096, true);
  inv.flags = 2; // the operation
  s.m.Clear();
  ASSERT_EQ(s.v->Ioctl(0x3b77, inv), 0);
  EXPECT_EQ(s.Written(),
            (std::vector<std::string>{"CB_TLBIVAL", "CB_TLBIVAL", "CB_TLBIVAL", "CB_TLBIVAL", "CB_TLBSYNC"}));
  for (unsigned i = 0; i < 32; i++) {
    EXPECT_EQ(s.m.Dma(s.dev, 0x100000 + i * kPage).status == IMS_STATUS_OK, i < 4 || i >= 8) << i;
    ims_kernel_interrupts(s.m.kernel);
  }
  auto whole = [&](uint8_t granularity) {
    InvSmmuB i = MakeInvWhole(granularity, 5);
    i.flags = 2;
    s.m.Clear();
    EXPECT_EQ(s.v->Ioctl(0x3b77, i), 0);
    return s.Written();
  };
  EXPECT_EQ(whole(1), (std::vector<std::string>{"CB_TLBIASID", "CB_TLBSYNC"}));
  EXPECT_EQ(whole(0), (std::vector<std::string>{"CB_TLBIALL", "CB_TLBSYNC"}));
}

TEST(Smmuv2Guest, ChangeOfTheSecondStageReachesCombinedEntries) {
  Nested2 s;
  GuestArmTable t(s.vm);
  t.Map(0x7000, 0x10000, kPage);
  ASSERT_EQ(s.v->Ioctl(0x3b77, MakeBind2(0, t, 5)), 0);
  ASSERT_EQ(s.m.Dma(s.dev, 0x7000).status, IMS_STATUS_OK);
  ASSERT_EQ(s.v->Unmap(0, 64 * kMB), 0);
  EXPECT_EQ(s.m.Dma(s.dev, 0x7000).status, IMS_STATUS_FAULT);
  EXPECT_EQ(ims_smmuv2_vmid_mismatches(s.m.units[0]), 0u);
}

TEST(Smmuv2Guest, Errno) {
  Nested2 s;
  GuestArmTable t(s.vm);
  auto with = [&](const std::function<void(Bind2B &)> &change) {
    Bind2B b = MakeBind2(0, t, 5);
    change(b);
    return s.v->Ioctl(0x3b77, b);
  };
  EXPECT_EQ(with([](Bind2B &b) { b.data.version = 2; }), -EINVAL);
  EXPECT_EQ(with([](Bind2B &b) { b.data.format = 1; }), -EINVAL); // VT-d's, on an SMMU
  EXPECT_EQ(with([](Bind2B &b) { b.data.format = 3; }), -EINVAL);
  EXPECT_EQ(with([](Bind2B &b) { b.data.flags = 1; }), -EINVAL); // there is no guest PASID either
  EXPECT_EQ(with([](Bind2B &b) { b.data.hpasid = 1; }), -EINVAL);
  EXPECT_EQ(with([](Bind2B &b) { b.data.gpasid = 1; }), -EINVAL);
  EXPECT_EQ(with([](Bind2B &b) { b.data.argsz = 56; }), -EINVAL);
  EXPECT_EQ(with([](Bind2B &b) { b.data.padding[0] = 1; }), -EINVAL);
  EXPECT_EQ(with([](Bind2B &b) { b.data.smmuv2_padding[0] = 1; }), -EINVAL);
  EXPECT_EQ(with([](Bind2B &b) { b.data.addr_width = 47; }), -EINVAL);
  EXPECT_EQ(with([](Bind2B &b) { b.data.gpgd = 1ull << 48; }), -EINVAL);
  EXPECT_EQ(with([](Bind2B &b) { b.data.smmuv2_tcr |= 1 << 7; }), -EINVAL);  // EPD0
  EXPECT_EQ(with([](Bind2B &b) { b.data.smmuv2_tcr |= 3 << 14; }), -EINVAL); // no such granule
  EXPECT_EQ(with([](Bind2B &b) { b.data.smmuv2_tcr |= 1 << 16; }), -EINVAL); // of TTBR1
  EXPECT_EQ(with([](Bind2B &) {}), 0);
  EXPECT_EQ(with([](Bind2B &) {}), -EBUSY);
  EXPECT_EQ(with([](Bind2B &b) { b.flags = 1; }), 0);
  EXPECT_EQ(with([](Bind2B &b) { b.flags = 1; }), 0); // as free() has it
  EXPECT_EQ(with([](Bind2B &) {}), 0);
  InvB inv = MakeInvAsid(5, 0, 1);
  inv.flags = 2;
  inv.data.cache = 4;
  inv.data.granularity = 1;
  EXPECT_EQ(s.v->Ioctl(0x3b77, inv), 0); // results of invalidations are not told
}

TEST(Smmuv2Guest, ErrnoOfTheFirstPosting) {
  Nested2 s(IMS_DIALECT_V1);
  GuestArmTable t(s.vm);
  Bind2A b = MakeBind2A(2, t, 5);
  EXPECT_EQ(s.v->Ioctl(0x3b7b, b), 0); // nothing bound: allowed, as for a PASID without a binding
  b.data.hpasid = 3;
  EXPECT_EQ(s.v->Ioctl(0x3b7b, b), -EINVAL);
  InvA inv;
  inv.data.version = 1;
  inv.data.cache = 1;
  inv.data.granularity = 2;
  inv.addr.flags = 1; // by PASID
  inv.addr.granule_size = 4096;
  inv.addr.nb_granules = 1;
  EXPECT_EQ(s.v->Ioctl(0x3b7c, inv), -ENOENT);
  inv.addr.flags = 2;
  EXPECT_EQ(s.v->Ioctl(0x3b7c, inv), -EINVAL); // nothing bound
  b = MakeBind2A(1, t, 5);
  ASSERT_EQ(s.v->Ioctl(0x3b7b, b), 0);
  EXPECT_EQ(s.v->Ioctl(0x3b7c, inv), 0);
}

TEST(Smmuv2Guest, UnitsThatCannotNest) {
  ims_smmuv2_config c = Machine::Smmuv2Config();
  c.nts = 0;
  Nested2 s(IMS_DIALECT_V7, c);
  GuestArmTable t(s.vm);
  EXPECT_EQ(s.v->Ioctl(0x3b77, MakeBind2(0, t, 5)), -EOPNOTSUPP); // the feature is not reported
}

TEST(Smmuv2Guest, BanksRunOut) {
  ims_smmuv2_config c = Machine::Smmuv2Config();
  c.numcb = 1;
  Nested2 s(IMS_DIALECT_V7, c);
  GuestArmTable t(s.vm);
  EXPECT_EQ(s.v->Ioctl(0x3b77, MakeBind2(0, t, 5)), -ENOSPC);
  EXPECT_EQ(s.m.Dma(s.dev, 0x10000).output, s.Hpa(0x10000));
}

TEST(Smmuv2Guest, NestingInformationSaysFormat2WithoutPasids) {
  Nested2 s;
  uint8_t info[256] = {};
  uint32_t argsz = sizeof info;
  std::memcpy(info, &argsz, 4);
  s.m.arena.PutBytes(info, sizeof info);
  ASSERT_EQ(ims_ioctl(s.v->container, IMS_VFIO_IOMMU_GET_INFO, Arena::kBase), 0);
  auto got = s.m.arena.Get<std::array<uint8_t, 256>>();
  auto range = s.m.arena.Get<ims_vfio_iova_range>(Arena::kBase + 24 + 16);
  EXPECT_EQ(range.end, 0x7ffffffu); // below the window of doorbells
  uint32_t next = 0;
  std::memcpy(&next, got.data() + 24 + 4, 4);
  ims_iommu_nesting_info n;
  std::memcpy(&n, got.data() + next + 8, sizeof n);
  EXPECT_EQ(n.format, 2u);
  EXPECT_EQ(n.features, 6u);
  EXPECT_EQ(n.pasid_bits, 0u);
  EXPECT_EQ(n.addr_width, 48u);
  // And no PASIDs are to be had.
  EXPECT_EQ(s.v->Ioctl(0x3b76, ims_vfio_pasid_request{16, 1, 1, 9}), -EOPNOTSUPP);
}

TEST(Smmuv2Guest, FaultsOfTheGuestsStageGoToTheVmm) {
  Nested2 s;
  GuestArmTable t(s.vm);
  ASSERT_EQ(s.v->Ioctl(0x3b77, MakeBind2(0, t, 5)), 0);
  ASSERT_EQ(s.m.Dma(s.dev, 0x7010, IMS_ACC_W).fault, IMS_SMMUV2_TF);
  ims_iommu_fault_page_request raw;
  ASSERT_EQ(ims_container_read_fault(s.v->container, &raw), 64);
  ims_iommu_fault_unrecoverable u;
  std::memcpy(&u, &raw, sizeof u);
  EXPECT_EQ(u.type, 1u);
  EXPECT_EQ(u.reason, 5u);
  EXPECT_EQ(u.flags, 2u); // an address, no PASID
  EXPECT_EQ(u.addr, 0x7010u);
  EXPECT_EQ(u.perm, 2u);
  EXPECT_EQ(ims_kernel_faults(s.m.kernel), 0u);
}

TEST(Smmuv2Guest, StalledFaultIsAPageRequest) {
  Nested2 s(IMS_DIALECT_V7, Machine::Smmuv2Config(), true);
  GuestArmTable t(s.vm);
  t.Map(0x100000, 0x10000, kPage);
  ASSERT_EQ(s.v->Ioctl(0x3b77, MakeBind2(0, t, 5)), 0);
  ASSERT_EQ(s.m.Dma(s.dev, 0x7010).status, IMS_STATUS_STALL);
  ims_iommu_fault_page_request q;
  ASSERT_EQ(ims_container_read_fault(s.v->container, &q), 64);
  EXPECT_EQ(q.type, 2u);
  EXPECT_EQ(q.flags, 2u); // last, no PASID
  EXPECT_EQ(q.addr, 0x7010u);
  t.Map(0x7000, 0x20000, kPage);
  ims_iommu_page_response_b answer = {24, 1, 0, 0, q.grpid, 0};
  ASSERT_EQ(ims_container_page_response(s.v->container, s.m.arena.Put(answer)), 0);
  ASSERT_EQ(s.m.resumes.size(), 1u);
  EXPECT_EQ(s.m.resumes[0].action, IMS_RESUME_RETRY);
  EXPECT_EQ(s.m.Dma(s.dev, 0x7010).output, s.Hpa(0x20000) + 0x10);
  // What waits when the guest's table goes is ended.
  ASSERT_EQ(s.m.Dma(s.dev, 0x9010).status, IMS_STATUS_STALL);
  s.m.resumes.clear();
  ASSERT_EQ(s.v->Ioctl(0x3b77, MakeBind2(1, t, 5)), 0);
  ASSERT_EQ(s.m.resumes.size(), 1u);
  EXPECT_NE(s.m.resumes[0].action, IMS_RESUME_RETRY);
}

TEST(Smmuv2Guest, NoProcessIsBoundWithoutPasids) {
  Machine m(IMS_DIALECT_V7, ArmCpu);
  m.AddSmmuv2();
  ims_sva *s = nullptr;
  EXPECT_EQ(ims_sva_bind(m.AddDevice(), m.AddProcess(), &s), -ENOSPC);
}

TEST(UnitsSideBySide, ThreeKindsInOneMachine) {
  Machine m(IMS_DIALECT_SMMUV3_V13, ArmCpu);
  m.AddUnit();
  m.AddSmmu();
  m.AddSmmuv2();
  std::vector<ims_device *> dev;
  for (uint16_t u = 0; u < 3; u++)
    dev.push_back(m.AddDevice(Machine::DeviceConfig(0x300, 7u + u, u)));
  Vmm v(m, IMS_VFIO_TYPE1v2_IOMMU, {7, 8, 9});
  ASSERT_EQ(v.set_iommu, 0);
  uint64_t va = 0, hpa = 0;
  ASSERT_EQ(ims_mmap(v.process, 0, 4 * kMB, 3, IMS_MMAP_POPULATE | IMS_MMAP_2M, &va), 0);
  ASSERT_EQ(v.Map(0x10000000, va, 4 * kMB), 0);
  ASSERT_EQ(ims_process_translate(v.process, va, &hpa), IMS_ERR_OK);
  for (ims_device *d : dev)
    EXPECT_EQ(m.Dma(d, 0x10000000).output, hpa);
  ASSERT_EQ(v.Unmap(0x10000000, 4 * kMB), 0);
  for (ims_device *d : dev)
    EXPECT_EQ(m.Dma(d, 0x10000000).status, IMS_STATUS_FAULT);
}

} // namespace
} // namespace uapi_test
