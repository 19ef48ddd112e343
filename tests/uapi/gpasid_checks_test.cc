// SPDX-License-Identifier: Apache-2.0
// linux/iommu.h: what the core and the VT-d driver refuse, in their order, in both layouts. v1 is used for
// invalidations, since it alone reports their result.
#include "tests/uapi/machine.h"

namespace uapi_test {
namespace {

constexpr long kNotSupp = -524;

struct BindCase {
  const char *what;
  std::function<void(BindB &)> change;
  long result;
};

// Cases in the order of the checks: each has every earlier check right and this one wrong.
const BindCase kBindCases[] = {
    {"argsz below the fixed part", [](BindB &b) { b.data.argsz = 55; }, -EINVAL},
    {"version", [](BindB &b) { b.data.version = 0; }, -EINVAL},
    {"format beyond the known", [](BindB &b) { b.data.format = 2; }, -EINVAL},
    {"flags", [](BindB &b) { b.data.flags = 2; }, -EINVAL},
    {"padding", [](BindB &b) { b.data.padding[7] = 1; }, -EINVAL},
    {"format not VT-d's", [](BindB &b) { b.data.format = 0; }, -EINVAL},
    {"argsz without the VT-d part", [](BindB &b) { b.data.argsz = 71; }, -EINVAL},
    {"VT-d flags", [](BindB &b) { b.data.vtd_flags = 0x40; }, -EINVAL},
    {"PASID 0", [](BindB &b) { b.data.hpasid = 0; }, -EINVAL},
    {"PASID too large", [](BindB &b) { b.data.hpasid = 1 << 20; }, -EINVAL},
    {"PASID too large, low bits fine", [](BindB &b) { b.data.hpasid = (1ull << 40) | 1; }, -EINVAL},
    {"PASID never allocated", [](BindB &b) { b.data.hpasid = 2; }, -ENOENT},
    {"width", [](BindB &b) { b.data.addr_width = 39; }, -EINVAL},
    {"root above the second stage", [](BindB &b) { b.data.gpgd = 1ull << 48; }, -EINVAL},
    {"PCD", [](BindB &b) { b.data.vtd_flags = 4; }, -EINVAL},
    {"PWT", [](BindB &b) { b.data.vtd_flags = 8; }, -EINVAL},
    {"EMTE", [](BindB &b) { b.data.vtd_flags = 16; }, -EINVAL},
    {"CD", [](BindB &b) { b.data.vtd_flags = 32; }, -EINVAL},
    {"fine", [](BindB &) {}, 0},
    {"bound already", [](BindB &) {}, -EBUSY},
};

struct Binding {
  explicit Binding(ims_dialect d = IMS_DIALECT_V7, ims_vtd_config unit = Machine::UnitConfig(),
                   ims_device_config device = Machine::DeviceConfig())
      : dialect(d), m(d, [](ims_kernel_config &c) { c.iommu_h = IMS_IOMMU_H_B; }) {
    m.AddUnit(unit);
    dev = m.AddDevice(device);
    v = std::make_unique<Vmm>(m);
    EXPECT_EQ(v->Ioctl(0x3b76, ims_vfio_pasid_request{16, 1, 1, 1}), 1);
  }
  long Bind(const std::function<void(BindB &)> &change = {}) {
    BindB b = MakeBindB(0, 1, 0x1000);
    if (change)
      change(b);
    return v->Ioctl(0x3b77, b);
  }
  ims_dialect dialect;
  Machine m;
  ims_device *dev;
  std::unique_ptr<Vmm> v;
};

TEST(Bind, EveryRefusalOfCoreAndDriver) {
  Binding t;
  for (const BindCase &c : kBindCases)
    EXPECT_EQ(t.Bind(c.change), c.result) << c.what;
}

TEST(Bind, FailedSecondBindUnbindsTheFirst) {
  // As posted: the error path unbinds the PASID from every device, whoever bound it.
  Binding t;
  ASSERT_EQ(t.Bind(), 0);
  EXPECT_EQ(t.Bind(), -EBUSY);
  EXPECT_EQ(t.m.Dma(t.dev, 0, IMS_ACC_R, 1).fault, 0x59);
}

TEST(Bind, EarlierChecksComeFirst) {
  // Each pair of neighbours: with both defects the earlier errno shows. Only pairs with different errnos tell.
  Binding t;
  auto bind = [&](std::function<void(BindB &)> f) { return t.Bind(f); };
  EXPECT_EQ(bind([](BindB &b) { b.data.hpasid = 2, b.data.vtd_flags = 0x40; }), -EINVAL);
  EXPECT_EQ(bind([](BindB &b) { b.data.hpasid = 2, b.data.addr_width = 1; }), -ENOENT);
  ASSERT_EQ(t.Bind(), 0);
  EXPECT_EQ(bind([](BindB &b) { b.data.addr_width = 1; }), -EBUSY);
}

TEST(Bind, NotPci) {
  ims_device_config d = Machine::DeviceConfig();
  d.not_pci = true;
  Binding t(IMS_DIALECT_V7, Machine::UnitConfig(), d);
  EXPECT_EQ(t.Bind(), kNotSupp);
  EXPECT_EQ(t.Bind([](BindB &b) { b.data.vtd_flags = 0x40; }), -EINVAL);
  EXPECT_EQ(t.Bind([](BindB &b) { b.data.hpasid = 0; }), kNotSupp);
}

TEST(Bind, DeviceWithOtherPasidWidth) {
  ims_device_config d = Machine::DeviceConfig();
  d.pasid_bits = 16;
  Binding t(IMS_DIALECT_V7, Machine::UnitConfig(), d);
  EXPECT_EQ(t.Bind(), -EINVAL);
  EXPECT_EQ(t.Bind([](BindB &b) { b.data.hpasid = 2; }), -EINVAL); // before the look-up of the PASID
}

TEST(Bind, CapabilitiesOfTheUnit) {
  ims_vtd_config c = Machine::UnitConfig();
  c.srs = c.eafs = c.fs5lp = 0;
  Binding without(IMS_DIALECT_V7, c), with;
  auto sre = [](BindB &b) { b.data.vtd_flags = 1; };
  auto eafe = [](BindB &b) { b.data.vtd_flags = 2; };
  auto five = [](BindB &b) { b.data.addr_width = 57; };
  EXPECT_EQ(without.Bind(sre), -EINVAL);
  EXPECT_EQ(without.Bind(eafe), -EINVAL);
  EXPECT_EQ(without.Bind(five), -EINVAL);
  EXPECT_EQ(without.Bind(), 0);
  auto unbind = [&] { EXPECT_EQ(with.v->Ioctl(0x3b77, MakeBindB(1, 1, 0)), 0); };
  uint64_t pe[3];
  auto entry = [&] {
    uint64_t table = with.m.Load(ims_device_pasid_dir(with.dev)) & ~0xfffull;
    for (int i = 0; i < 3; i++)
      pe[i] = with.m.Load(table + 64 + 8 * i);
  };
  ASSERT_EQ(with.Bind(sre), 0);
  entry();
  EXPECT_EQ(pe[2], 0x1001ull);
  unbind();
  ASSERT_EQ(with.Bind(eafe), 0);
  entry();
  EXPECT_EQ(pe[2], 0x1080ull);
  unbind();
  ASSERT_EQ(with.Bind(five), 0);
  entry();
  EXPECT_EQ(pe[2], 0x1004ull);
}

TEST(Bind, SizeIsReadOnce) {
  Binding t;
  BindB b = MakeBindB(0, 1, 0x1000);
  t.m.arena.Put(b);
  int reads = 0;
  t.m.arena.after_read = [&] { // another thread makes it larger after the first look
    if (++reads == 2)
      t.m.arena.Put<uint32_t>(0xffffffff, Arena::kBase + 8);
  };
  EXPECT_EQ(ims_ioctl(t.v->container, 0x3b77, Arena::kBase), 0);
}

TEST(Bind, LongerArgumentsAreFine) {
  Binding t;
  EXPECT_EQ(t.Bind([](BindB &b) { b.data.argsz = 4096; }), 0); // the tail is not looked at
}

TEST(Bind, UnreadableArguments) {
  Binding t;
  BindB b = MakeBindB(0, 1, 0x1000);
  uint64_t at = t.m.arena.Tail(8 + 55);
  t.m.arena.PutBytes(&b, 8 + 55, at);
  EXPECT_EQ(ims_ioctl(t.v->container, 0x3b77, at), -EFAULT);
  at = t.m.arena.Tail(8 + 71);
  t.m.arena.PutBytes(&b, 8 + 71, at);
  EXPECT_EQ(ims_ioctl(t.v->container, 0x3b77, at), -EFAULT);
  b.data.argsz = 56; // says so itself: readable, but the driver wants more
  at = t.m.arena.Tail(8 + 56);
  t.m.arena.PutBytes(&b, 8 + 56, at);
  EXPECT_EQ(ims_ioctl(t.v->container, 0x3b77, at), -EINVAL);
}

TEST(Bind, LayoutAHasTheSameChecks) {
  Machine m(IMS_DIALECT_V2);
  m.AddUnit();
  m.AddDevice();
  Vmm v(m);
  ASSERT_EQ(v.Ioctl(0x3b7a, ims_vfio_pasid_request{16, 1, 1, 1}), 1);
  struct {
    const char *what;
    std::function<void(BindA &)> change;
    long result;
  } const cases[] = {
      {"version", [](BindA &b) { b.data.version = 0; }, -EINVAL},
      {"format", [](BindA &b) { b.data.format = 0; }, -EINVAL},
      {"flags", [](BindA &b) { b.data.flags = 2; }, -EINVAL},
      {"padding", [](BindA &b) { b.data.padding[0] = 1; }, -EINVAL},
      {"VT-d flags", [](BindA &b) { b.data.vtd_flags = 0x40; }, -EINVAL},
      {"PASID 0", [](BindA &b) { b.data.hpasid = 0; }, -EINVAL},
      {"never allocated", [](BindA &b) { b.data.hpasid = 2; }, -ENOENT},
      {"width", [](BindA &b) { b.data.addr_width = 56; }, -EINVAL},
      {"root", [](BindA &b) { b.data.gpgd = 1ull << 60; }, -EINVAL},
      {"fine", [](BindA &) {}, 0},
      {"again", [](BindA &) {}, -EBUSY},
  };
  for (const auto &c : cases) {
    BindA b = MakeBindA(0, 1, 0x1000);
    c.change(b);
    EXPECT_EQ(v.Ioctl(0x3b7b, b), c.result) << c.what;
  }
}

TEST(Bind, PasidOfAProcessIsNotForGuests) {
  Binding t;
  ims_process *p = t.m.AddProcess();
  ims_device *other = t.m.AddDevice(Machine::DeviceConfig(0x0500, 9));
  ims_sva *s = nullptr;
  ASSERT_EQ(ims_sva_bind(other, p, &s), 0);
  EXPECT_EQ(t.Bind([&](BindB &b) { b.data.hpasid = ims_sva_pasid(s); }), -EBUSY);
}

// ---- Invalidations --------------------------------------------------------------------------------------------------

struct Invalidation {
  explicit Invalidation(ims_device_config device = Machine::DeviceConfig(), ims_iommu_h h = IMS_IOMMU_H_B)
      : m(IMS_DIALECT_V1, [h](ims_kernel_config &c) { c.iommu_h = h; }) {
    m.AddUnit();
    m.AddDevice(device);
    v = std::make_unique<Vmm>(m);
    EXPECT_EQ(v->Ioctl(0x3b7a, ims_vfio_pasid_request_v1{20, 1, 1, 1, 0}), 0);
    long bound =
        h == IMS_IOMMU_H_B ? v->Ioctl(0x3b7b, MakeBindB(1, 1, 0x1000)) : v->Ioctl(0x3b7b, MakeBindA(1, 1, 0x1000));
    EXPECT_EQ(bound, device.not_pci ? kNotSupp : 0);
    m.Clear();
  }
  long Do(const std::function<void(InvB &)> &change) {
    InvB i = MakeInvB(1, 0x8000, 1);
    i.flags = 0;
    change(i);
    return v->Ioctl(0x3b7c, i);
  }
  Machine m;
  std::unique_ptr<Vmm> v;
};

void ByPasid(InvB &i, uint64_t pasid = 1, uint32_t flags = 1) {
  i.data.granularity = 1;
  ims_iommu_inv_pasid_info info{flags, 0, pasid};
  i.addr = {};
  std::memcpy(&i.addr, &info, sizeof info);
}

TEST(Invalidate, EveryRefusalOfTheCore) {
  Invalidation t;
  struct {
    const char *what;
    std::function<void(InvB &)> change;
    long result;
  } const cases[] = {
      {"argsz below the fixed part", [](InvB &i) { i.data.argsz = 15; }, -EINVAL},
      {"PASID granularity needs 32 bytes", [](InvB &i) { ByPasid(i), i.data.argsz = 31; }, -EINVAL},
      {"ADDR granularity needs 56 bytes", [](InvB &i) { i.data.argsz = 55; }, -EINVAL},
      {"version", [](InvB &i) { i.data.version = 2; }, -EINVAL},
      {"unknown cache", [](InvB &i) { i.data.cache = 9; }, -EINVAL},
      {"unknown granularity", [](InvB &i) { i.data.granularity = 3; }, -EINVAL},
      {"device TLB by domain", [](InvB &i) { i.data.cache = 2, i.data.granularity = 0; }, -EINVAL},
      {"PASID cache by address", [](InvB &i) { i.data.cache = 4; }, -EINVAL},
      {"flags of the address form", [](InvB &i) { i.addr.flags = 8; }, -EINVAL},
      {"flags of the PASID form", [](InvB &i) { ByPasid(i, 1, 5); }, -EINVAL},
      {"padding", [](InvB &i) { i.data.padding[0] = 1; }, -EINVAL},
      {"no cache at all", [](InvB &i) { i.data.cache = 0; }, 0},
      {"PASID form, exact size", [](InvB &i) { ByPasid(i), i.data.argsz = 32; }, 0},
      {"domain form, exact size", [](InvB &i) { i.data.granularity = 0, i.data.argsz = 16; }, 0},
      {"larger than known", [](InvB &i) { i.data.argsz = 4000; }, 0},
  };
  for (const auto &c : cases)
    EXPECT_EQ(t.Do(c.change), c.result) << c.what;
}

TEST(Invalidate, UnreadableArguments) {
  Invalidation t;
  InvB i = MakeInvB(1, 0x8000, 1);
  i.flags = 0;
  for (size_t len : {8 + 15, 8 + 55}) {
    uint64_t at = t.m.arena.Tail(len);
    t.m.arena.PutBytes(&i, len, at);
    EXPECT_EQ(ims_ioctl(t.v->container, 0x3b7c, at), -EFAULT) << len;
  }
}

TEST(Invalidate, DriverRefusesOnlyForeignDomainsAndDevices) {
  ims_device_config d = Machine::DeviceConfig();
  d.not_pci = true;
  Invalidation t(d);
  EXPECT_EQ(t.Do([](InvB &) {}), -ENODEV);
  Machine m(IMS_DIALECT_V1, [](ims_kernel_config &c) { c.iommu_h = IMS_IOMMU_H_B; });
  m.AddUnit();
  m.AddDevice(d);
  Vmm plain(m, IMS_VFIO_TYPE1v2_IOMMU);
  InvB i = MakeInvB(1, 0x8000, 1);
  i.flags = 0;
  EXPECT_EQ(plain.Ioctl(0x3b7c, i), -EINVAL); // not nesting comes before not PCI
}

// What each combination sends; unsupported ones return 0 all the same.
TEST(Invalidate, WhatIsSent) {
  using Types = std::vector<unsigned>;
  Invalidation t;
  struct {
    const char *what;
    std::function<void(InvB &)> change;
    Types types;
    std::string said;
  } const cases[] = {
      {"IOTLB by domain", [](InvB &i) { i.data.granularity = 0; }, {}, ""},
      {"IOTLB by PASID", [](InvB &i) { ByPasid(i); }, {6, 8, 5}, "PASID-based IOTLB invalidation of domain 3, PASID 1"},
      {"IOTLB by address",
       [](InvB &) {},
       {6, 8, 5},
       "PASID-based IOTLB invalidation of domain 3, PASID 1, 1 page from 0x8000"},
      {"leaf",
       [](InvB &i) { i.addr.flags = 5; },
       {6, 8, 5},
       "PASID-based IOTLB invalidation of domain 3, PASID 1, 1 page from 0x8000, leaves only"},
      {"8 pages",
       [](InvB &i) { i.addr.nb_granules = 8; },
       {6, 8, 5},
       "PASID-based IOTLB invalidation of domain 3, PASID 1, 8 pages from 0x8000"},
      {"5 pages become 8",
       [](InvB &i) { i.addr.nb_granules = 5; },
       {6, 8, 5},
       "PASID-based IOTLB invalidation of domain 3, PASID 1, 8 pages from 0x8000"},
      {"one granule of 2 MB, misaligned",
       [](InvB &i) { i.addr.granule_size = 2 << 20, i.addr.addr = 0x8f0000; },
       {6, 8, 5},
       "PASID-based IOTLB invalidation of domain 3, PASID 1, 512 pages from 0x800000"},
      {"product overflows",
       [](InvB &i) { i.addr.granule_size = i.addr.nb_granules = 1ull << 40; },
       {6, 8, 5},
       "PASID-based IOTLB invalidation of domain 3, PASID 1"},
      {"device TLB by address",
       [](InvB &i) { i.data.cache = 2; },
       {8, 5},
       "PASID-based device-TLB invalidation of 03:00.0, PASID 1, 1 page from 0x8000"},
      {"device TLB by PASID", [](InvB &i) { ByPasid(i), i.data.cache = 2; }, {}, ""},
      {"PASID cache by PASID", [](InvB &i) { ByPasid(i), i.data.cache = 4; }, {}, ""},
      {"PASID cache by domain", [](InvB &i) { i.data.granularity = 0, i.data.cache = 4; }, {}, ""},
      {"IOTLB and device TLB",
       [](InvB &i) { i.data.cache = 3; },
       {6, 8, 5, 8, 5},
       "PASID-based IOTLB invalidation of domain 3, PASID 1, 1 page from 0x8000"},
      {"IOTLB and PASID cache: the first is done",
       [](InvB &i) { ByPasid(i), i.data.cache = 5; },
       {6, 8, 5},
       "PASID-based IOTLB invalidation of domain 3, PASID 1"},
      {"not bound", [](InvB &i) { i.addr.pasid = 2; }, {}, ""},
      {"PASID beyond 20 bits", [](InvB &i) { i.addr.pasid = 1ull << 32 | 1; }, {}, ""},
  };
  for (const auto &c : cases) {
    t.m.Clear();
    EXPECT_EQ(t.Do(c.change), 0) << c.what;
    EXPECT_EQ(t.m.DescriptorTypes(), c.types) << c.what;
    auto said = t.m.Said(1 << IMS_NOTE_DESCRIPTOR);
    EXPECT_EQ(said.empty() ? "" : said[0], c.said.empty() ? "" : "queue " + c.said) << c.what;
  }
}

TEST(Invalidate, NoDeviceTlbWithoutAts) {
  ims_device_config d = Machine::DeviceConfig();
  d.ats = d.pri = false;
  Invalidation t(d);
  EXPECT_EQ(t.Do([](InvB &i) { i.data.cache = 3; }), 0);
  EXPECT_EQ(t.m.DescriptorTypes(), (std::vector<unsigned>{6, 5}));
}

TEST(Invalidate, WholePasidReachesAllAddressesOfTheDevice) {
  Invalidation t;
  EXPECT_EQ(t.Do([](InvB &i) { ByPasid(i); }), 0);
  ASSERT_EQ(t.m.invalidations.size(), 1u);
  EXPECT_EQ(t.m.invalidations[0].source, 0x0300u);
  EXPECT_EQ(t.m.invalidations[0].pasid, 1u);
  EXPECT_TRUE(t.m.invalidations[0].has_pasid);
  EXPECT_EQ(t.m.invalidations[0].addr, 0u);
  EXPECT_EQ(t.m.invalidations[0].last, ~0ull);
}

TEST(Invalidate, LayoutA) {
  Invalidation t(Machine::DeviceConfig(), IMS_IOMMU_H_A);
  InvA i;
  i.data = {1, 1, 2, {0, 0}};
  i.addr = {1, 0, 1, 0x8000, 4096, 1};
  EXPECT_EQ(t.v->Ioctl(0x3b7c, i), 0);
  EXPECT_EQ(t.m.DescriptorTypes(), (std::vector<unsigned>{6, 8, 5}));
  i.data.padding[1] = 1;
  EXPECT_EQ(t.v->Ioctl(0x3b7c, i), -EINVAL);
}

} // namespace
} // namespace uapi_test
