// SPDX-License-Identifier: Apache-2.0
// Hardware page tables under iommufd on VT-d: which calls of HWPT_ALLOC and HWPT_INVALIDATE are refused and in which order,
// what keeps a table, which kind of table a call makes (Facts 3.6, 3.7).
#include "tests/uapi/iommufd_client.h"

using namespace uapi_test;

namespace {

struct Nest {
  explicit Nest(const ims_vtd_config &unit = Machine::UnitConfig()) {
    m.AddUnit(unit);
    dev = m.AddDevice();
    cdev = c.OpenDevice(dev);
    id = static_cast<uint32_t>(c.Bind(cdev));           // 1
    ioas = c.Ioas();                                    // 2
    int64_t p = c.Hwpt(id, ioas, IMS_HWPT_NEST_PARENT); // 3
    parent = static_cast<uint32_t>(p);
    if (p > 0) {
      vm = c.Guest(ioas, 16 * kMB);
      table = std::make_unique<GuestTable>(vm);
      table->Map(0x7000000000, 2 * kMB, kPage);
    }
  }
  ims_iommu_hwpt_vtd_s1 S1(uint32_t width = 48, uint64_t flags = 0) const {
    ims_iommu_hwpt_vtd_s1 s{};
    s.pgtbl_addr = table->pgt.root;
    s.addr_width = width;
    s.flags = flags;
    return s;
  }
  int64_t Nested(uint32_t width = 48, uint64_t flags = 0, uint32_t hwpt_flags = 0) {
    auto s = S1(width, flags);
    return c.Hwpt(id, parent, hwpt_flags, IMS_HWPT_DATA_VTD_S1, &s);
  }
  Machine m;
  Client c{m};
  ims_device *dev;
  ims_file *cdev;
  uint32_t id, ioas, parent;
  ims_vm *vm = nullptr;
  std::unique_ptr<GuestTable> table;
};

// ---- HWPT_ALLOC -----------------------------------------------------------------------------------------------------

struct AllocCase {
  const char *what;
  std::function<void(Nest &, ims_iommu_hwpt_alloc &)> change; // of a good call for a nested table
  long err;
};

TEST(IommufdHwptAlloc, WhatIsRefused) {
  auto paging = [](Nest &n, auto &a) {
    a.pt_id = n.ioas;
    a.data_type = a.data_len = 0;
  };
  const AllocCase cases[] = {
      {"nothing wrong", [](Nest &, auto &) {}, 0},
      {"reserved", [](Nest &, auto &a) { a.reserved = 1, a.data_len = 0; }, -EOPNOTSUPP},
      {"the second reserved field is not looked at", [](Nest &, auto &a) { a.reserved2 = 1; }, 0},
      {"data of no type", [](Nest &, auto &a) { a.data_type = 0, a.dev_id = 99; }, -EINVAL},
      {"a type without data", [](Nest &, auto &a) { a.data_len = 0, a.dev_id = 99; }, -EINVAL},
      {"no such device", [](Nest &, auto &a) { a.dev_id = 99, a.pt_id = 99; }, -ENOENT},
      {"not a device", [](Nest &n, auto &a) { a.dev_id = n.ioas; }, -ENOENT},
      {"no such table", [](Nest &, auto &a) { a.pt_id = 99; }, -EINVAL},
      {"over a device", [](Nest &n, auto &a) { a.pt_id = n.id; }, -EINVAL},
      {"over a nested table", [](Nest &n, auto &a) { a.pt_id = static_cast<uint32_t>(n.Nested()); }, -EINVAL},
      // Paging
      {"paging", [&](Nest &n, auto &a) { paging(n, a); }, 0},
      {"paging, an unknown flag", [&](Nest &n, auto &a) { paging(n, a), a.flags = 16; }, -EOPNOTSUPP},
      {"paging, with a driver's data", [](Nest &n, auto &a) { a.pt_id = n.ioas; }, -EOPNOTSUPP},
      {"paging, a fault queue under a parent", [&](Nest &n, auto &a) { paging(n, a), a.flags = 5; }, -EOPNOTSUPP},
      {"paging, no such fault queue", [&](Nest &n, auto &a) { paging(n, a), a.flags = 4, a.fault_id = 9; }, -ENOENT},
      {"paging, not a fault queue", [&](Nest &n, auto &a) { paging(n, a), a.flags = 4, a.fault_id = 1; }, -ENOENT},
      {"paging, a parent that tracks and has PASIDs", [&](Nest &n, auto &a) { paging(n, a), a.flags = 11; }, 0},
      // Nested
      {"a flag of paging tables", [](Nest &, auto &a) { a.flags = 1; }, -EOPNOTSUPP},
      {"an unknown flag", [](Nest &, auto &a) { a.flags = 16; }, -EOPNOTSUPP},
      {"for PASIDs", [](Nest &, auto &a) { a.flags = 8; }, 0},
      {"another hardware's data", [](Nest &, auto &a) { a.data_type = 2; }, -EOPNOTSUPP},
      {"an unknown type", [](Nest &, auto &a) { a.data_type = 77; }, -EOPNOTSUPP},
      {"data too short", [](Nest &, auto &a) { a.data_len = 23; }, -EINVAL},
      {"data too long", [](Nest &, auto &a) { a.data_len = 25; }, -EINVAL},
      {"data that cannot be read", [](Nest &, auto &a) { a.data_uptr = 8; }, -EFAULT},
      {"no such fault queue", [](Nest &, auto &a) { a.flags = 4, a.fault_id = 9; }, -ENOENT},
      {"over a table that is no parent",
       [](Nest &n, auto &a) { a.pt_id = static_cast<uint32_t>(n.c.Hwpt(n.id, n.ioas)); }, -EINVAL},
      {"over a table that the kernel made",
       [](Nest &n, auto &a) { a.pt_id = static_cast<uint32_t>(n.c.Attach(n.cdev, n.ioas)); }, -EINVAL},
      {"a width and flags that no unit has: attaching will tell",
       [](Nest &n, auto &a) {
         auto s = n.S1(33, ~0ull);
         a.data_uptr = n.m.arena.Put(s, Arena::kBase + 1024);
       },
       0},
  };
  for (const AllocCase &t : cases) {
    Nest n;
    auto s = n.S1();
    ims_iommu_hwpt_alloc a{};
    a.dev_id = n.id;
    a.pt_id = n.parent;
    a.data_type = IMS_HWPT_DATA_VTD_S1;
    a.data_len = sizeof s;
    a.data_uptr = n.m.arena.Put(s, Arena::kBase + 1024);
    t.change(n, a);
    const uint64_t memory = ims_kernel_memory_in_use(n.m.kernel);
    EXPECT_EQ(n.c.Call(IMS_IOMMU_HWPT_ALLOC, &a), t.err) << t.what;
    if (t.err) {
      EXPECT_EQ(ims_kernel_memory_in_use(n.m.kernel), memory) << t.what; // no table is left
    } else {
      EXPECT_EQ(n.c.Destroy(a.out_hwpt_id), 0) << t.what;
    }
  }
}

TEST(IommufdHwptAlloc, WhenTheIdCannotBeToldNothingIsLeft) {
  Nest n;
  auto s = n.S1();
  n.m.arena.Put(s, Arena::kBase + 1024);
  ims_iommu_hwpt_alloc a{};
  a.dev_id = n.id;
  a.pt_id = n.parent;
  a.data_type = IMS_HWPT_DATA_VTD_S1;
  a.data_len = sizeof s;
  a.data_uptr = Arena::kBase + 1024;
  a.size = sizeof a;
  n.m.arena.Put(a);
  n.m.arena.read_only = true;
  EXPECT_EQ(ims_ioctl(n.c.iommu, IMS_IOMMU_HWPT_ALLOC, Arena::kBase), -EFAULT);
  n.m.arena.read_only = false;
  EXPECT_EQ(n.c.Destroy(4), -ENOENT);
  EXPECT_EQ(n.c.Destroy(n.parent), 0);
}

struct UnitCase {
  const char *what;
  std::function<void(ims_vtd_config &)> change;
  uint32_t flags;
  long err;
  unsigned pgtt; // of what is attached: 1 first stage, 2 second
};

TEST(IommufdHwptAlloc, WhichStageAndWhetherTheUnitCan) {
  const UnitCase cases[] = {
      {"the first stage is preferred", [](auto &) {}, 0, 0, 1},
      {"for PASIDs, too", [](auto &) {}, IMS_HWPT_PASID, 0, 1},
      {"a parent is a second stage", [](auto &) {}, IMS_HWPT_NEST_PARENT, 0, 2},
      {"what tracks writes is a second stage", [](auto &) {}, IMS_HWPT_DIRTY_TRACKING, 0, 2},
      {"no first stage", [](auto &c) { c.fsts = c.nest = c.srs = c.eafs = c.fs5lp = c.fs1gp = 0; }, 0, 0, 2},
      {"no first stage, no nesting", [](auto &c) { c.fsts = c.nest = c.srs = c.eafs = c.fs5lp = c.fs1gp = 0; },
       IMS_HWPT_NEST_PARENT, -EOPNOTSUPP, 0},
      {"no nesting", [](auto &c) { c.nest = 0; }, IMS_HWPT_NEST_PARENT, -EOPNOTSUPP, 0},
      {"no accessed and dirty bits", [](auto &c) { c.ssads = 0; }, IMS_HWPT_DIRTY_TRACKING, -EOPNOTSUPP, 0},
      {"no second stage", [](auto &c) { c.ssts = c.nest = c.ssads = 0; }, 0, 0, 1},
      {"no second stage to track by", [](auto &c) { c.ssts = c.nest = c.ssads = 0; }, IMS_HWPT_DIRTY_TRACKING,
       -EOPNOTSUPP, 0},
  };
  for (const UnitCase &t : cases) {
    ims_vtd_config unit = Machine::UnitConfig();
    t.change(unit);
    ASSERT_EQ(ims_vtd_config_check(&unit), nullptr) << t.what;
    Machine m;
    m.AddUnit(unit);
    ims_device *dev = m.AddDevice();
    Client c(m);
    ims_file *cdev = c.OpenDevice(dev);
    auto id = static_cast<uint32_t>(c.Bind(cdev));
    uint32_t ioas = c.Ioas();
    uint64_t va = c.Memory(kPage);
    ASSERT_EQ(c.Map(ioas, 0x100000, va, kPage), 0);
    int64_t h = c.Hwpt(id, ioas, t.flags);
    EXPECT_EQ(h < 0 ? h : 0, t.err) << t.what;
    if (t.err)
      continue;
    ASSERT_EQ(c.Attach(cdev, static_cast<uint32_t>(h)), h) << t.what;
    uint64_t entry = m.Load(m.Load(ims_device_pasid_dir(dev)) & ~0xfffull);
    EXPECT_EQ(entry >> 6 & 7, t.pgtt) << t.what;
    EXPECT_EQ(m.Dma(dev, 0x100000, IMS_ACC_W).output, c.Hpa(va)) << t.what;
  }
}

TEST(IommufdHwptAlloc, LegacyModeHasSecondStagesAlone) {
  Machine m(IMS_DIALECT_V7, [](ims_kernel_config &c) { c.legacy = true; });
  m.AddUnit();
  ims_device *dev = m.AddDevice();
  Client c(m);
  ims_file *cdev = c.OpenDevice(dev);
  auto id = static_cast<uint32_t>(c.Bind(cdev));
  uint32_t ioas = c.Ioas();
  uint64_t va = c.Memory(kPage);
  ASSERT_EQ(c.Map(ioas, 0x100000, va, kPage), 0);
  EXPECT_EQ(c.Hwpt(id, ioas, IMS_HWPT_NEST_PARENT), -EOPNOTSUPP);
  EXPECT_EQ(c.Hwpt(id, ioas, IMS_HWPT_DIRTY_TRACKING), -EOPNOTSUPP);
  int64_t h = c.Hwpt(id, ioas);
  ASSERT_GT(h, 0);
  ASSERT_EQ(c.Attach(cdev, static_cast<uint32_t>(h)), h);
  EXPECT_EQ(m.Dma(dev, 0x100000).output, c.Hpa(va));
}

// ---- Parents --------------------------------------------------------------------------------------------------------

constexpr uint32_t kReadOnly = IMS_IOAS_MAP_FIXED_IOVA | IMS_IOAS_MAP_READABLE;

TEST(IommufdParent, TakesNoReadOnlyMappings) {
  Nest n;
  uint64_t va = n.c.Memory(kPage);
  EXPECT_EQ(n.c.Map(n.ioas, 0x40000000, va, kPage, kReadOnly), -EINVAL);
  EXPECT_EQ(n.c.Map(n.ioas, 0x40000000, va, kPage), 0);
  // And is not made over an address space that has one.
  uint32_t other = n.c.Ioas();
  EXPECT_EQ(n.c.Map(other, 0x40000000, va, kPage, kReadOnly), 0);
  EXPECT_EQ(n.c.Hwpt(n.id, other, IMS_HWPT_NEST_PARENT), -EINVAL);
  EXPECT_GT(n.c.Hwpt(n.id, other, IMS_HWPT_DIRTY_TRACKING), 0); // a second stage that is no parent
}

TEST(IommufdParent, EveryRightOfAMappingIsKept) {
  Nest n;
  uint64_t va = n.c.Memory(3 * kPage);
  uint32_t ioas = n.c.Ioas();
  ASSERT_EQ(n.c.Map(ioas, 0x1000, va, kPage, kReadOnly), 0);
  ASSERT_EQ(n.c.Map(ioas, 0x2000, va + kPage, kPage, IMS_IOAS_MAP_FIXED_IOVA | IMS_IOAS_MAP_WRITEABLE), 0);
  ASSERT_EQ(n.c.Map(ioas, 0x3000, va + 2 * kPage, kPage), 0);
  for (bool first : {true, false}) {
    int64_t h = n.c.Hwpt(n.id, ioas, first ? 0u : unsigned(IMS_HWPT_DIRTY_TRACKING));
    ASSERT_EQ(n.c.Attach(n.cdev, static_cast<uint32_t>(h)), h);
    auto can = [&](uint64_t iova, unsigned access) { return n.m.Dma(n.dev, iova, access).status == IMS_STATUS_OK; };
    EXPECT_TRUE(can(0x1000, IMS_ACC_R));
    EXPECT_FALSE(can(0x1000, IMS_ACC_W));
    EXPECT_EQ(can(0x2000, IMS_ACC_R), first); // a first stage cannot forbid reading
    EXPECT_TRUE(can(0x2000, IMS_ACC_W));
    EXPECT_TRUE(can(0x3000, IMS_ACC_R));
    EXPECT_TRUE(can(0x3000, IMS_ACC_W));
  }
}

TEST(IommufdParent, IsKeptByWhatIsNestedOnIt) {
  Nest n;
  int64_t a = n.Nested(), b = n.Nested();
  ASSERT_GT(b, a);
  EXPECT_EQ(n.c.Destroy(n.ioas), -EBUSY);
  EXPECT_EQ(n.c.Destroy(n.parent), -EBUSY);
  ASSERT_EQ(n.c.Attach(n.cdev, static_cast<uint32_t>(a)), a);
  EXPECT_EQ(n.c.Destroy(static_cast<uint32_t>(a)), -EBUSY);
  EXPECT_EQ(n.c.Destroy(static_cast<uint32_t>(b)), 0);
  EXPECT_EQ(n.c.Destroy(n.parent), -EBUSY);
  EXPECT_EQ(n.c.Detach(n.cdev), 0);
  EXPECT_EQ(n.c.Destroy(static_cast<uint32_t>(a)), 0);
  EXPECT_EQ(n.c.Destroy(n.parent), 0);
  EXPECT_EQ(n.c.Destroy(n.ioas), 0);
}

TEST(IommufdParent, ANestedTableIsTriedWhenItIsAttached) {
  struct {
    uint32_t width;
    uint64_t flags;
    std::function<void(ims_vtd_config &)> unit;
    long err;
  } cases[] = {
      {48, 0, [](auto &) {}, 0},
      {57, 0, [](auto &) {}, 0},
      {57, 0, [](auto &c) { c.fs5lp = 0; }, -EINVAL},
      {0, 0, [](auto &) {}, -EINVAL},
      {39, 0, [](auto &) {}, -EINVAL},
      {48, IMS_VTD_S1_SRE, [](auto &) {}, 0},
      {48, IMS_VTD_S1_SRE, [](auto &c) { c.srs = c.rprivs = 0; }, -EINVAL},
      {48, IMS_VTD_S1_EAFE, [](auto &) {}, 0},
      {48, IMS_VTD_S1_EAFE, [](auto &c) { c.eafs = 0; }, -EINVAL},
      {48, IMS_VTD_S1_WPE, [](auto &c) { c.srs = c.rprivs = 0; }, 0}, // means nothing without SRE
      {48, 0xf8, [](auto &) {}, 0},                                   // unknown ones are not looked at
  };
  for (auto &t : cases)
    for (int64_t pasid : {-1, 6}) {
      ims_vtd_config unit = Machine::UnitConfig();
      t.unit(unit);
      ASSERT_EQ(ims_vtd_config_check(&unit), nullptr);
      Nest n(unit);
      int64_t h = n.Nested(t.width, t.flags, pasid < 0 ? 0u : unsigned(IMS_HWPT_PASID));
      ASSERT_GT(h, 0);
      n.m.Clear();
      int64_t got = n.c.Attach(n.cdev, static_cast<uint32_t>(h), pasid);
      EXPECT_EQ(got, t.err ? t.err : h) << t.width << " " << t.flags << " " << pasid;
      if (t.err) {
        EXPECT_TRUE(n.m.notes.empty());
      }
    }
}

// ---- HWPT_INVALIDATE ------------------------------------------------------------------------------------------------

struct InvalidateCase {
  const char *what;
  std::function<void(Nest &, ims_iommu_hwpt_invalidate &, ims_iommu_hwpt_vtd_s1_invalidate *)> change; // three entries
  long err;
  uint32_t done;
};

TEST(IommufdInvalidate, WhatIsRefusedAndHowFarItCame) {
  const InvalidateCase cases[] = {
      {"nothing wrong", [](Nest &, auto &, auto *) {}, 0, 3},
      {"reserved", [](Nest &, auto &i, auto *) { i.reserved = 1; }, -EOPNOTSUPP, 0},
      {"no pointer", [](Nest &, auto &i, auto *) { i.data_uptr = 0; }, -EINVAL, 0},
      {"entries of no bytes", [](Nest &, auto &i, auto *) { i.entry_len = 0; }, -EINVAL, 0},
      {"entries of more than a page", [](Nest &, auto &i, auto *) { i.entry_len = 4097; }, -EINVAL, 0},
      {"too many entries", [](Nest &, auto &i, auto *) { i.entry_num = (1 << 19) + 1, i.hwpt_id = 99; }, -EINVAL, 0},
      {"as many as may be, of which few can be read", [](Nest &, auto &i, auto *) { i.entry_num = 1 << 19; }, -EFAULT,
       (4096 - 2048) / 24},
      {"no such table", [](Nest &, auto &i, auto *) { i.hwpt_id = 99; }, -ENOENT, 0},
      {"a paging table", [](Nest &n, auto &i, auto *) { i.hwpt_id = n.parent; }, -EINVAL, 0},
      {"an address space", [](Nest &n, auto &i, auto *) { i.hwpt_id = n.ioas; }, -EINVAL, 0},
      {"another hardware's", [](Nest &, auto &i, auto *) { i.data_type = 1; }, -EINVAL, 0},
      {"a probe", [](Nest &, auto &i, auto *) { i.entry_num = 0, i.entry_len = 0, i.data_uptr = 0; }, 0, 0},
      {"a probe for another hardware", [](Nest &, auto &i, auto *) { i.entry_num = 0, i.data_type = 1; }, -EINVAL, 0},
      {"short entries", [](Nest &, auto &i, auto *) { i.entry_len = 23; }, -EINVAL, 0},
      {"long entries", [](Nest &, auto &i, auto *) { i.entry_len = 32; }, -EINVAL, 0},
      {"a bad pointer", [](Nest &, auto &i, auto *) { i.data_uptr = 8; }, -EFAULT, 0},
      {"an unknown flag in the second", [](Nest &, auto &, auto *e) { e[1].flags = 2; }, -EOPNOTSUPP, 1},
      {"reserved in the third", [](Nest &, auto &, auto *e) { e[2].reserved = 1; }, -EOPNOTSUPP, 2},
      {"a misaligned address", [](Nest &, auto &, auto *e) { e[0].addr = 1; }, -EINVAL, 0},
      {"all pages from somewhere on", [](Nest &, auto &, auto *e) { e[1].addr = kPage, e[1].npages = ~0ull; }, -EINVAL,
       1},
      {"all pages", [](Nest &, auto &, auto *e) { e[1].addr = 0, e[1].npages = ~0ull; }, 0, 3},
  };
  for (const InvalidateCase &t : cases) {
    Nest n;
    int64_t h = n.Nested();
    ASSERT_EQ(n.c.Attach(n.cdev, static_cast<uint32_t>(h)), h);
    ims_iommu_hwpt_vtd_s1_invalidate e[3]{};
    for (auto &one : e)
      one.npages = 1;
    ims_iommu_hwpt_invalidate i{};
    i.hwpt_id = static_cast<uint32_t>(h);
    i.data_uptr = Arena::kBase + 2048;
    i.entry_len = sizeof *e;
    i.entry_num = 3;
    t.change(n, i, e);
    const std::vector<uint8_t> zeros(2048); // further entries are good, too
    n.m.arena.PutBytes(zeros.data(), zeros.size(), Arena::kBase + 2048);
    n.m.arena.PutBytes(e, sizeof e, Arena::kBase + 2048);
    n.m.Clear();
    EXPECT_EQ(n.c.Call(IMS_IOMMU_HWPT_INVALIDATE, &i), t.err) << t.what;
    EXPECT_EQ(i.entry_num, t.done) << t.what;
    // What stands before the bad one is done: IOTLB, device TLB and a wait for each.
    EXPECT_EQ(n.m.Descriptors().size(), 3 * t.done) << t.what;
  }
}

TEST(IommufdInvalidate, WhenTheNumberCannotBeTold) {
  Nest n;
  int64_t h = n.Nested();
  ims_iommu_hwpt_invalidate i{};
  i.size = sizeof i;
  i.hwpt_id = static_cast<uint32_t>(h);
  n.m.arena.Put(i);
  n.m.arena.read_only = true;
  EXPECT_EQ(ims_ioctl(n.c.iommu, IMS_IOMMU_HWPT_INVALIDATE, Arena::kBase), -EFAULT);
}

} // namespace
