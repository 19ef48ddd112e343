// SPDX-License-Identifier: Apache-2.0
// Virtual IOMMUs as objects: what they refer to and who refers to them, devices behind them, their event queues, memory that
// is mapped from the iommufd (Facts 3.8).
#include "tests/uapi/iommufd_smmu.h"
#include "tests/uapi/selftest_client.h"

namespace uapi_test {
namespace {

uint32_t Id(int64_t result) { return VirtualSmmu::Id(result); }

// ---- errno ----------------------------------------------------------------------------------------------------------

TEST(ViommuErrno, Alloc) {
  VirtualSmmu s;
  const uint32_t plain = Id(s.c->Hwpt(s.id, s.ioas)), v = s.Vdevice();
  using A = ims_iommu_viommu_alloc;
  struct {
    const char *what;
    long want;
    std::function<void(A &)> change;
  } rows[] = {
      {"as it is", 0, [](A &) {}},
      {"flag", -EOPNOTSUPP, [](A &a) { a.flags = 1; }},
      {"default type", -EOPNOTSUPP, [](A &a) { a.type = IMS_VIOMMU_DEFAULT; }},
      {"a type of other hardware", -EOPNOTSUPP, [](A &a) { a.type = IMS_VIOMMU_TEGRA241_CMDQV; }},
      {"unknown type", -EOPNOTSUPP, [](A &a) { a.type = 99; }},
      {"no such device", -ENOENT, [](A &a) { a.dev_id = 99; }},
      {"a table for a device", -ENOENT, [&](A &a) { a.dev_id = s.parent; }},
      {"no such table", -ENOENT, [](A &a) { a.hwpt_id = 99; }},
      {"an address space for a table", -ENOENT, [&](A &a) { a.hwpt_id = s.ioas; }},
      {"a vDEVICE for a table", -ENOENT, [&](A &a) { a.hwpt_id = v; }},
      {"a table that is no parent", -EINVAL, [&](A &a) { a.hwpt_id = plain; }},
  };
  for (const auto &row : rows) {
    A a{};
    a.type = IMS_VIOMMU_ARM_SMMUV3;
    a.dev_id = s.id;
    a.hwpt_id = s.parent;
    row.change(a);
    EXPECT_EQ(s.c->Call(IMS_IOMMU_VIOMMU_ALLOC, &a), row.want) << row.what;
    if (!row.want) {
      EXPECT_EQ(s.c->Destroy(a.out_viommu_id), 0) << row.what;
    }
  }
}

TEST(ViommuErrno, UnitsThatHaveNone) {
  auto with = [](void (*change)(ims_smmuv3_config &)) {
    ims_smmuv3_config c = Machine::SmmuConfig();
    change(c);
    VirtualSmmu s;
    s.m.AddSmmu(c);
    ims_device *dev = s.m.AddDevice(Machine::DeviceConfig(0x300, 9, 1));
    ims_file *f = s.c->OpenDevice(dev);
    int64_t id = s.c->Bind(f);
    return id < 0 ? id : s.Viommu(static_cast<uint32_t>(id), s.parent);
  };
  EXPECT_EQ(with([](ims_smmuv3_config &) {}), -EINVAL); // the parent is the first one's
  EXPECT_EQ(with([](ims_smmuv3_config &c) { c.s2p = 0; }), -EOPNOTSUPP);
  // A guest chooses memory attributes: they are overridden, or coherent whatever it says. A device that is not is not bound
  // in the first place.
  EXPECT_EQ(with([](ims_smmuv3_config &c) { c.fwb = 0; }), -EINVAL);
  EXPECT_EQ(with([](ims_smmuv3_config &c) { c.cohacc = 0; }), -EINVAL);

  Machine m;
  m.AddUnit(); // VT-d
  ims_device *dev = m.AddDevice();
  Client c(m);
  ims_file *f = c.OpenDevice(dev);
  ims_iommu_viommu_alloc a{};
  a.type = IMS_VIOMMU_ARM_SMMUV3;
  a.dev_id = Id(c.Bind(f));
  a.hwpt_id = Id(c.Hwpt(a.dev_id, c.Ioas(), IMS_HWPT_NEST_PARENT));
  EXPECT_EQ(c.Call(IMS_IOMMU_VIOMMU_ALLOC, &a), -EOPNOTSUPP);
}

TEST(ViommuErrno, Vdevice) {
  VirtualSmmu s;
  ims_device *two = s.m.AddDevice(Machine::DeviceConfig(0x400, 8));
  ims_file *f = s.c->OpenDevice(two);
  const uint32_t id = Id(s.c->Bind(f)), first = Id(s.Vdevice(s.id, 0x17));
  using A = ims_iommu_vdevice_alloc;
  struct {
    const char *what;
    long want;
    std::function<void(A &)> change;
  } rows[] = {
      {"as it is", 0, [](A &) {}},
      {"id 0", 0, [](A &a) { a.virt_id = 0; }},
      {"the greatest id", 0, [](A &a) { a.virt_id = ~0ull; }},
      {"no such vIOMMU", -ENOENT, [](A &a) { a.viommu_id = 99; }},
      {"a table for a vIOMMU", -ENOENT, [&](A &a) { a.viommu_id = s.parent; }},
      {"no such device", -ENOENT, [](A &a) { a.dev_id = 99; }},
      {"a device that has one", -EEXIST, [&](A &a) { a.dev_id = s.id; }},
      {"an id that is taken", -EEXIST, [](A &a) { a.virt_id = 0x17; }},
  };
  for (const auto &row : rows) {
    A a{};
    a.viommu_id = s.viommu;
    a.dev_id = id;
    a.virt_id = 0x18;
    row.change(a);
    EXPECT_EQ(s.c->Call(IMS_IOMMU_VDEVICE_ALLOC, &a), row.want) << row.what;
    if (!row.want) {
      EXPECT_EQ(s.c->Destroy(a.out_vdevice_id), 0) << row.what;
    }
  }
  EXPECT_EQ(s.c->Destroy(first), 0);
  EXPECT_GT(s.Vdevice(id, 0x17), 0); // free again
}

TEST(ViommuErrno, EventQueue) {
  VirtualSmmu s;
  using A = ims_iommu_veventq_alloc;
  struct {
    const char *what;
    long want;
    std::function<void(A &)> change;
  } rows[] = {
      {"flag", -EOPNOTSUPP, [](A &a) { a.flags = 1; }},
      {"reserved", -EOPNOTSUPP, [](A &a) { a.reserved = 1; }},
      {"default type", -EOPNOTSUPP, [](A &a) { a.type = 0; }},
      {"no depth", -EINVAL, [](A &a) { a.veventq_depth = 0; }},
      {"too deep", -EINVAL, [](A &a) { a.veventq_depth = (1 << 19) + 1; }},
      {"no such vIOMMU", -ENOENT, [](A &a) { a.viommu_id = 99; }},
      {"a device for a vIOMMU", -ENOENT, [&](A &a) { a.viommu_id = s.id; }},
      {"as deep as can be", 0, [](A &a) { a.veventq_depth = 1 << 19; }},
      {"a second one of the type", -EEXIST, [](A &) {}},
      {"another type", 0, [](A &a) { a.type = 77; }},
  };
  for (const auto &row : rows) {
    A a{};
    a.viommu_id = s.viommu;
    a.type = 1;
    a.veventq_depth = 4;
    row.change(a);
    EXPECT_EQ(s.c->Call(IMS_IOMMU_VEVENTQ_ALLOC, &a), row.want) << row.what;
  }
}

TEST(ViommuErrno, HwQueueOfAUnitWithoutQueues) {
  VirtualSmmu s;
  using A = ims_iommu_hw_queue_alloc;
  struct {
    const char *what;
    long want;
    std::function<void(A &)> change;
  } rows[] = {
      {"as it is", -EOPNOTSUPP, [](A &) {}},
      {"flag", -EOPNOTSUPP, [](A &a) { a.flags = 1, a.length = 0; }},
      {"default type", -EOPNOTSUPP, [](A &a) { a.type = 0, a.length = 0; }},
      {"no length", -EINVAL, [](A &a) { a.length = 0, a.viommu_id = 99; }},
      {"wraps", -EOVERFLOW, [](A &a) { a.nesting_parent_iova = ~0ull, a.length = 2, a.viommu_id = 99; }},
      {"no such vIOMMU", -ENOENT, [](A &a) { a.viommu_id = 99; }},
  };
  for (const auto &row : rows) {
    A a{};
    a.viommu_id = s.viommu;
    a.type = 1;
    a.length = kPage;
    row.change(a);
    EXPECT_EQ(s.c->Call(IMS_IOMMU_HW_QUEUE_ALLOC, &a), row.want) << row.what;
  }
}

TEST(ViommuErrno, NothingIsLeftOfACallWhoseAnswerCannotBeWritten) {
  VirtualSmmu s;
  const uint32_t next = Id(s.Viommu(s.id, s.parent));
  ASSERT_EQ(s.c->Destroy(next), 0);
  s.m.arena.read_only = true;
  EXPECT_EQ(s.Viommu(s.id, s.parent), -EFAULT);
  EXPECT_EQ(s.Vdevice(s.id, 5), -EFAULT);
  ims_iommu_veventq_alloc a{};
  a.viommu_id = s.viommu;
  a.type = 1;
  a.veventq_depth = 4;
  EXPECT_EQ(s.c->Call(IMS_IOMMU_VEVENTQ_ALLOC, &a), -EFAULT);
  s.m.arena.read_only = false;
  EXPECT_EQ(s.c->Destroy(s.viommu), 0); // nobody refers to it
  ims_file *f = nullptr;
  const int fd = ims_open(s.c->process, "/dev/iommu", &f);
  EXPECT_EQ(fd, ims_file_fd(s.cdev) + 1); // the queue's number was given back
}

// ---- Who refers to whom ---------------------------------------------------------------------------------------------

TEST(ViommuObjects, GoLeavesFirst) {
  VirtualSmmu s;
  const uint32_t v = s.Vdevice(), nested = Id(s.Nested(VBypass()));
  EventQueue q(s);
  EXPECT_EQ(s.c->Destroy(s.parent), -EBUSY);
  EXPECT_EQ(s.c->Destroy(s.viommu), -EBUSY);
  EXPECT_EQ(s.c->Destroy(q.id), -EBUSY); // its file
  EXPECT_EQ(ims_close(q.file), 0);
  EXPECT_EQ(s.c->Destroy(q.id), 0);
  EXPECT_EQ(s.c->Destroy(nested), 0);
  EXPECT_EQ(s.c->Destroy(s.viommu), -EBUSY);
  EXPECT_EQ(s.c->Destroy(v), 0);
  EXPECT_EQ(s.c->Destroy(s.viommu), 0);
  EXPECT_EQ(s.c->Destroy(s.parent), 0);
  EXPECT_EQ(s.c->Destroy(s.ioas), 0);
}

TEST(ViommuObjects, TheVdeviceOfADeviceThatGoesLeavesItsIdBehind) {
  VirtualSmmu s;
  const uint32_t v = s.Vdevice(), nested = Id(s.Nested(VBypass()));
  ASSERT_EQ(s.c->Attach(s.cdev, nested), nested);
  ASSERT_EQ(ims_close(s.cdev), 0);
  EXPECT_EQ(s.c->Destroy(v), -ENOENT);
  EXPECT_EQ(s.c->Destroy(s.id), -ENOENT);
  s.cdev = s.c->OpenDevice(s.dev);
  EXPECT_EQ(s.c->Bind(s.cdev), s.id); // the device's id is given out again
  EXPECT_GT(Id(s.c->Ioas()), v);      // the other's is not
  EXPECT_GT(s.Vdevice(s.id, VirtualSmmu::kVsid), v);
  EXPECT_EQ(s.c->Destroy(nested), 0);
}

TEST(ViommuObjects, FilesKeepTheContext) {
  VirtualSmmu s;
  s.Vdevice();
  GuestCds cds(s.vm, 4);
  s.Attach(VTranslate(cds));
  EventQueue q(s);
  EXPECT_EQ(ims_close(s.c->iommu), 0);
  EXPECT_EQ(s.m.Dma(s.dev, 0x5000).fault, IMS_SMMUV3_C_BAD_CD);
  EXPECT_EQ(q.Read().size(), 1u); // the device keeps it, too
  EXPECT_EQ(ims_close(s.cdev), 0);
  EXPECT_EQ(q.ReadRaw(2048), 0);
  EXPECT_EQ(ims_close(q.file), 0);
  EXPECT_EQ(s.m.Dma(s.dev, 0x5000).status, IMS_STATUS_ABORT);
}

// ---- Event queues ---------------------------------------------------------------------------------------------------

struct Events : testing::Test {
  VirtualSmmu s;
  std::unique_ptr<GuestCds> cds;
  std::unique_ptr<GuestArmTable> table;
  void SetUp() override {
    s.Vdevice();
    cds = std::make_unique<GuestCds>(s.vm, 4);
    table = std::make_unique<GuestArmTable>(s.vm);
    cds->Set(0, *table, 5);
    s.Attach(VTranslate(*cds));
  }
  // The n-th fault is in page n: records that differ are not merged.
  void Fault(unsigned n) { EXPECT_EQ(s.m.Dma(s.dev, n * kPage).fault, IMS_SMMUV3_F_TRANSLATION); }
};

TEST_F(Events, AreReadWholeAndInOrder) {
  EventQueue q(s);
  EXPECT_FALSE(q.Waiting());
  EXPECT_EQ(q.ReadRaw(40), 0); // never blocks
  for (unsigned n = 1; n <= 5; n++)
    Fault(n);
  EXPECT_TRUE(q.Waiting());
  EXPECT_EQ(ims_poll(q.file), unsigned(IMS_POLLIN));
  struct {
    size_t count;
    long want;
  } rows[] = {
      {0, -EINVAL}, {7, -EINVAL}, {8, -EINVAL}, {39, -EINVAL},         // not even the first
      {40, 40},     {79, 40},                                          // as many as fit
      {80, 80},     {2048, 40},   {2048, 0},    {7, -EINVAL},  {8, 0}, // the rest; nothing
  };
  for (const auto &row : rows)
    EXPECT_EQ(q.ReadRaw(row.count), row.want) << row.count;
  EXPECT_FALSE(q.Waiting());
  EXPECT_EQ(q.ReadRaw(40, EventQueue::kBuf, 8), -ESPIPE);
  EXPECT_EQ(ims_write(q.file, EventQueue::kBuf, 40, 0), -EINVAL);
}

TEST_F(Events, ABadPointerTakesNothingAway) {
  EventQueue q(s);
  Fault(1);
  Fault(2);
  EXPECT_EQ(q.ReadRaw(2048, 8), -EFAULT);
  EXPECT_EQ(q.ReadRaw(80, s.m.arena.Tail(60)), 40); // what was read before it counts
  auto rest = q.Read();
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_EQ(rest[0].sequence, 1u);
  EXPECT_EQ(rest[0].record[2], 2 * kPage);
}

TEST_F(Events, BeyondTheDepthAreCountedByOneHeader) {
  EventQueue q(s, 2);
  for (unsigned n = 1; n <= 5; n++)
    Fault(n);
  auto e = q.Read();
  ASSERT_EQ(e.size(), 3u);
  EXPECT_EQ(e[0].sequence, 0u);
  EXPECT_EQ(e[1].sequence, 1u);
  EXPECT_EQ(e[2].flags, unsigned(IMS_VEVENT_LOST_EVENTS));
  EXPECT_EQ(e[2].sequence, 4u);
  EXPECT_FALSE(q.Waiting());
  Fault(6);
  e = q.Read();
  ASSERT_EQ(e.size(), 1u);
  EXPECT_EQ(e[0].flags, 0u);
  EXPECT_EQ(e[0].sequence, 5u);
}

TEST_F(Events, TheHeaderOfLostOnesGoesWhenAnotherComesBehindIt) {
  EventQueue q(s, 2);
  for (unsigned n = 1; n <= 4; n++)
    Fault(n);
  EXPECT_EQ(q.ReadRaw(40), 40); // room for one
  Fault(5);
  auto e = q.Read();
  ASSERT_EQ(e.size(), 2u);
  EXPECT_EQ(e[0].sequence, 1u);
  EXPECT_EQ(e[1].sequence, 4u); // 2 and 3 are missing, which says it
  EXPECT_EQ(e[1].flags, 0u);
  // A header fits where an event does not.
  for (unsigned n = 6; n <= 8; n++)
    Fault(n);
  EXPECT_EQ(q.ReadRaw(80), 80);
  EXPECT_TRUE(q.Waiting());
  EXPECT_EQ(q.ReadRaw(8), 8);
  EXPECT_FALSE(q.Waiting());
}

// ---- mmap -----------------------------------------------------------------------------------------------------------

TEST(ViommuMmap, OfWhatNobodyHandedOut) {
  VirtualSmmu s;
  uint64_t cookie = 0;
  struct {
    const char *what;
    long want;
    uint64_t offset, length;
    unsigned prot;
    bool shared;
  } rows[] = {
      {"nothing there", -ENXIO, kPage, kPage, IMS_PROT_READ, true},
      {"offset 0", -ENXIO, 0, kPage, IMS_PROT_READ | IMS_PROT_WRITE, true},
      {"private", -EINVAL, kPage, kPage, IMS_PROT_READ, false},
      {"half a page", -EINVAL, kPage, 2048, IMS_PROT_READ, true},
      {"to execute", -EPERM, kPage, kPage, IMS_PROT_READ | IMS_PROT_EXEC, true},
      {"private, to execute", -EINVAL, kPage, kPage, IMS_PROT_EXEC, false},
  };
  for (const auto &row : rows)
    EXPECT_EQ(ims_file_mmap(s.c->iommu, row.offset, row.length, row.prot, row.shared, &cookie), row.want) << row.what;
  EXPECT_EQ(ims_file_munmap(s.c->iommu, 0x1000), -EINVAL);
  EXPECT_EQ(ims_file_mmap(s.cdev, kPage, kPage, IMS_PROT_READ, true, &cookie), -ENODEV);
}

// The self-test's mock driver hands regions out.
TEST(ViommuMmap, RegionsHaveOffsetsOfTheirOwnAndGoWithTheFile) {
  Machine m(IMS_DIALECT_V7, SelftestOn);
  const uint64_t before = ims_kernel_memory_in_use(m.kernel);
  SelftestClient c(m);
  SelftestClient::Device d{};
  ASSERT_EQ(c.Mock(c.Ioas(), &d), 0);
  const uint32_t ioas = c.Ioas(), parent = Id(c.Hwpt(d.idev, ioas, IMS_HWPT_NEST_PARENT));
  struct Region {
    uint32_t viommu;
    uint64_t offset, cookie;
  };
  auto region = [&](uint32_t word) {
    ims_iommu_viommu_alloc a{};
    a.type = IMS_VIOMMU_SELFTEST;
    a.dev_id = d.idev;
    a.hwpt_id = parent;
    a.data_len = sizeof(ims_iommu_viommu_selftest);
    a.data_uptr = m.arena.Put(ims_iommu_viommu_selftest{word, 0, 0, 0}, Arena::kBase + 1024);
    EXPECT_EQ(c.Call(IMS_IOMMU_VIOMMU_ALLOC, &a), 0);
    return Region{a.out_viommu_id, m.arena.Get<ims_iommu_viommu_selftest>(Arena::kBase + 1024).out_mmap_offset, 0};
  };
  auto map = [&](Region &r) {
    return ims_file_mmap(c.iommu, r.offset, 2 * kPage, IMS_PROT_READ | IMS_PROT_WRITE, true, &r.cookie);
  };
  Region a = region(1), b = region(2);
  EXPECT_EQ(a.offset, kPage);
  EXPECT_EQ(b.offset, 3 * kPage);
  ASSERT_EQ(map(a), 0);
  ASSERT_EQ(map(b), 0);
  ASSERT_EQ(map(b), 0);
  EXPECT_EQ(m.Load(a.cookie) & 0xffffffff, 1u);
  EXPECT_EQ(m.Load(b.cookie) & 0xffffffff, 2u);
  EXPECT_EQ(ims_file_munmap(c.iommu, b.cookie), 0);
  EXPECT_EQ(c.Destroy(b.viommu), -EBUSY); // mapped twice
  EXPECT_EQ(ims_file_munmap(c.iommu, a.cookie), 0);
  EXPECT_EQ(c.Destroy(a.viommu), 0);
  Region again = region(3);
  EXPECT_EQ(again.offset, kPage); // the gap
  ASSERT_EQ(map(again), 0);
  // Nothing is unmapped by the program. It exits.
  ims_process_exit(c.process);
  EXPECT_EQ(ims_kernel_memory_in_use(m.kernel), before);
}

} // namespace
} // namespace uapi_test
