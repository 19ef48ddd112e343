// SPDX-License-Identifier: Apache-2.0
// Character devices of VFIO under iommufd: who may bind and when, what attaching, replacing and detaching refuse and do to
// a whole group, PASIDs, what a device says of itself, its regions (Facts 3.5, 3.9).
#include "iommu/dma_engine.h"
#include "tests/uapi/endpoint.h"

using namespace uapi_test;

namespace {

// A device that is open and bound, and an address space with one page mapped in it.
struct Bound {
  explicit Bound(const ims_device_config &device = Machine::DeviceConfig(),
                 const ims_vtd_config &unit = Machine::UnitConfig()) {
    m.AddUnit(unit);
    dev = m.AddDevice(device);
    cdev = c.OpenDevice(dev);
    id = static_cast<uint32_t>(c.Bind(cdev));
    ioas = c.Ioas();
    va = c.Memory(64 * kPage);
    EXPECT_EQ(c.Map(ioas, kIova, va, kPage), 0);
  }
  uint32_t Table(uint32_t flags = 0) {
    int64_t t = c.Hwpt(id, ioas, flags);
    EXPECT_GT(t, 0);
    return static_cast<uint32_t>(t);
  }
  bool Reaches(ims_device *d, int64_t pasid = -1) { return m.Dma(d, kIova, IMS_ACC_R, pasid).status == IMS_STATUS_OK; }

  static constexpr uint64_t kIova = 0x100000;
  Machine m;
  Client c{m};
  ims_device *dev;
  ims_file *cdev;
  uint32_t id, ioas;
  uint64_t va;
};

// ---- Binding --------------------------------------------------------------------------------------------------------

struct BindCase {
  const char *what;
  std::function<void(Client &, ims_vfio_device_bind_iommufd &)> change;
  long err;
};

TEST(IommufdBind, WhatIsRefused) {
  const BindCase cases[] = {
      {"a length short of the fixed part", [](Client &, auto &b) { b.argsz = 15; }, -EINVAL},
      {"the shortest that will do", [](Client &, auto &b) { b.argsz = 16; }, 0},
      {"a negative descriptor", [](Client &, auto &b) { b.iommufd = static_cast<uint32_t>(-1); }, -EINVAL},
      {"an unknown flag", [](Client &, auto &b) { b.flags = 2; }, -EINVAL},
      {"a token", [](Client &c, auto &b) { b.flags = 1, b.token_uuid_ptr = c.m.arena.Put(b, Arena::kBase + 512); },
       -EINVAL},
      {"a token that cannot be read", [](Client &, auto &b) { b.flags = 1, b.token_uuid_ptr = 8; }, -EFAULT},
      {"no such descriptor", [](Client &, auto &b) { b.iommufd = 77; }, -EBADF},
      {"another kind of file",
       [](Client &c, auto &b) {
         ims_file *f;
         b.iommufd = static_cast<uint32_t>(ims_open(c.process, "/dev/vfio/vfio", &f));
       },
       -EBADFD},
      {"the device itself", [](Client &, auto &b) { b.iommufd = 4; }, -EBADFD},
      {"nothing wrong", [](Client &, auto &) {}, 0},
  };
  for (const BindCase &t : cases) {
    Machine m;
    m.AddUnit();
    Client c(m);
    ims_file *d = c.OpenDevice(m.AddDevice());
    ASSERT_EQ(ims_file_fd(d), 4);
    ims_vfio_device_bind_iommufd b{};
    b.argsz = sizeof b;
    b.iommufd = static_cast<uint32_t>(ims_file_fd(c.iommu));
    t.change(c, b);
    EXPECT_EQ(c.Call(d, IMS_VFIO_DEVICE_BIND_IOMMUFD, &b), t.err) << t.what;
    if (!t.err) {
      EXPECT_EQ(b.out_devid, 1u);
    }
  }
}

TEST(IommufdBind, BadPointersAndUnknownTails) {
  Machine m;
  m.AddUnit();
  Client c(m);
  ims_file *d = c.OpenDevice(m.AddDevice());
  EXPECT_EQ(ims_ioctl(d, IMS_VFIO_DEVICE_BIND_IOMMUFD, 0), -EFAULT);
  EXPECT_EQ(ims_ioctl(d, IMS_VFIO_DEVICE_BIND_IOMMUFD, m.arena.Tail(3)), -EFAULT);
  struct {
    ims_vfio_device_bind_iommufd b;
    uint64_t tail;
  } longer{};
  longer.b.argsz = sizeof longer;
  longer.b.iommufd = static_cast<uint32_t>(ims_file_fd(c.iommu));
  longer.tail = 1;
  EXPECT_EQ(c.Call(d, IMS_VFIO_DEVICE_BIND_IOMMUFD, &longer), -E2BIG);
  longer.tail = 0;
  m.arena.read_only = true; // the id cannot be told: all is undone
  EXPECT_EQ(c.Call(d, IMS_VFIO_DEVICE_BIND_IOMMUFD, &longer), -EFAULT);
  m.arena.read_only = false;
  EXPECT_EQ(c.Call(d, IMS_VFIO_DEVICE_BIND_IOMMUFD, &longer), 0);
}

TEST(IommufdBind, OpenedOftenAndBoundOnce) {
  Machine m;
  m.AddUnit();
  ims_device *dev = m.AddDevice();
  Client c(m);
  ims_file *first = c.OpenDevice(dev), *second = c.OpenDevice(dev);
  // Before it is bound a file is good for nothing.
  ims_vfio_device_info i{};
  i.argsz = sizeof i;
  EXPECT_EQ(c.Call(first, IMS_VFIO_DEVICE_GET_INFO, &i), -EINVAL);
  EXPECT_EQ(c.Detach(first), -EINVAL);
  EXPECT_EQ(ims_read(first, Arena::kBase, 4, 7ull << 40), -EINVAL);
  EXPECT_EQ(c.Bind(first), 1);
  EXPECT_EQ(c.Bind(first), -EINVAL);
  EXPECT_EQ(c.Bind(second), -EINVAL);
  EXPECT_EQ(c.Detach(second), -EINVAL);
  EXPECT_EQ(c.Detach(first), 0);
  EXPECT_EQ(c.Destroy(1), -EBUSY);
  EXPECT_EQ(ims_close(first), 0);
  EXPECT_EQ(c.Destroy(1), -ENOENT);
  EXPECT_EQ(c.Bind(second), 1);
}

TEST(IommufdBind, AGroupIsOpenedOneWayOrTheOther) {
  Machine m;
  m.AddUnit();
  ims_device *dev = m.AddDevice();
  Client c(m);
  ims_file *d = c.OpenDevice(dev), *group = nullptr, *again = nullptr;
  ASSERT_GE(ims_open(c.process, "/dev/vfio/7", &group), 0); // the device is open, but not bound
  EXPECT_EQ(c.Bind(d), -EBUSY);
  ims_close(group);
  EXPECT_EQ(c.Bind(d), 1);
  EXPECT_EQ(ims_open(c.process, "/dev/vfio/7", &again), -EBUSY);
  ims_close(d);
  EXPECT_GE(ims_open(c.process, "/dev/vfio/7", &again), 0);
}

TEST(IommufdBind, TheDmaOfAGroupIsSomebodysAlone) {
  Machine m;
  m.AddUnit();
  ims_device *one = m.AddDevice(Machine::DeviceConfig(0x300)), *two = m.AddDevice(Machine::DeviceConfig(0x301));
  Client c(m), other(m);
  ims_file *d1 = c.OpenDevice(one), *d2 = other.OpenDevice(two);
  ASSERT_EQ(c.Bind(d1), 1);
  EXPECT_EQ(other.Bind(d2), -EPERM); // its group is the other's
  ims_file *same = c.OpenDevice(two);
  EXPECT_EQ(c.Bind(same), 2);
  ims_close(d1);
  EXPECT_EQ(other.Bind(d2), -EINVAL); // `same` has it
  ims_close(same);
  EXPECT_EQ(other.Bind(d2), 1);
}

TEST(IommufdBind, ADeviceThatAProcessIsBoundToIsTaken) {
  Machine m;
  m.AddUnit();
  ims_device *dev = m.AddDevice();
  Client c(m);
  ims_process *p = nullptr;
  ims_sva *sva = nullptr;
  ASSERT_EQ(ims_process_new(m.kernel, &p), IMS_ERR_OK);
  ASSERT_EQ(ims_sva_bind(dev, p, &sva), 0);
  ims_file *d = c.OpenDevice(dev);
  EXPECT_EQ(c.Bind(d), -EBUSY);
  ims_sva_unbind(sva);
  EXPECT_EQ(c.Bind(d), 1);
}

TEST(IommufdBind, InterruptsThatAreSharedAndDmaThatDoesNotSnoop) {
  Machine m;
  m.AddUnit();
  ims_device_config shared = Machine::DeviceConfig();
  shared.shared_msi = true;
  Client c(m);
  EXPECT_EQ(c.Bind(c.OpenDevice(m.AddDevice(shared))), -EPERM);
  ims_smmuv3_config smmu = Machine::SmmuConfig();
  smmu.cohacc = 0;
  unsigned u = m.AddSmmu(smmu);
  EXPECT_EQ(c.Bind(c.OpenDevice(m.AddDevice(Machine::DeviceConfig(0x10, 8, static_cast<uint16_t>(u))))), -EINVAL);
}

// ---- Attaching ------------------------------------------------------------------------------------------------------

struct AttachCase {
  const char *what;
  uint32_t argsz, flags, pasid;
  int which; // table: 0 address space, 1 table, 2 table for PASIDs, 3 the device, 4 nothing of that id
  long err;
};

TEST(IommufdAttach, WhatIsRefused) {
  const AttachCase cases[] = {
      {"short", 11, 0, 0, 0, -EINVAL},
      {"an unknown flag", 16, 2, 0, 0, -EINVAL},
      {"no room for the PASID", 12, 1, 1, 2, -EINVAL},
      {"no such table", 12, 0, 0, 4, -ENOENT},
      {"not a table", 12, 0, 0, 3, -EINVAL},
      {"PASID 0", 16, 1, 0, 2, -EINVAL},
      {"a PASID that the device does not have", 16, 1, 1 << 20, 2, -EINVAL},
      {"a PASID to a table not made for it", 16, 1, 5, 1, -EINVAL},
      {"a PASID to an address space, whose table is not made for it", 16, 1, 5, 0, -EINVAL},
      {"without the flag the PASID is not looked at", 16, 0, 1 << 20, 1, 0},
      {"an address space", 12, 0, 0, 0, 0},
      {"more bytes than are known", 64, 0, 0, 1, 0},
      {"a PASID", 16, 1, 5, 2, 0},
      {"the highest PASID", 16, 1, (1 << 20) - 1, 2, 0},
  };
  for (const AttachCase &t : cases) {
    Bound b;
    const uint32_t pt[] = {b.ioas, b.Table(), b.Table(IMS_HWPT_PASID), b.id, 99};
    ims_vfio_device_attach_iommufd_pt a{t.argsz, t.flags, pt[t.which], t.pasid};
    const uint64_t before = b.m.notes.size();
    EXPECT_EQ(b.c.Call(b.cdev, IMS_VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a), t.err) << t.what;
    if (t.err) {
      EXPECT_EQ(b.m.notes.size(), before) << t.what; // hardware was not touched
    } else {
      EXPECT_TRUE(b.Reaches(b.dev, t.flags ? int64_t{t.pasid} : -1)) << t.what;
      EXPECT_EQ(a.pt_id, t.which ? pt[t.which] : 5u) << t.what;
    }
  }
}

TEST(IommufdAttach, BadPointers) {
  Bound b;
  EXPECT_EQ(ims_ioctl(b.cdev, IMS_VFIO_DEVICE_ATTACH_IOMMUFD_PT, b.m.arena.Tail(11)), -EFAULT);
  EXPECT_EQ(ims_ioctl(b.cdev, IMS_VFIO_DEVICE_DETACH_IOMMUFD_PT, b.m.arena.Tail(7)), -EFAULT);
  const uint32_t with_pasid[3] = {16, IMS_ATTACH_PT_PASID, b.Table(IMS_HWPT_PASID)};
  EXPECT_EQ(
      ims_ioctl(b.cdev, IMS_VFIO_DEVICE_ATTACH_IOMMUFD_PT, b.m.arena.PutBytes(with_pasid, 12, b.m.arena.Tail(12))),
      -EFAULT);
  // The table cannot be told: it is detached again.
  b.m.arena.read_only = true;
  EXPECT_EQ(b.c.Attach(b.cdev, b.ioas), -EFAULT);
  b.m.arena.read_only = false;
  EXPECT_FALSE(b.Reaches(b.dev));
  EXPECT_EQ(b.c.Destroy(b.ioas), -EBUSY); // the table for PASIDs
}

TEST(IommufdAttach, DetachingWhatIsNotAttachedSucceeds) {
  Bound b;
  ims_vfio_device_detach_iommufd_pt d{7, 0, 0};
  EXPECT_EQ(b.c.Call(b.cdev, IMS_VFIO_DEVICE_DETACH_IOMMUFD_PT, &d), -EINVAL);
  d = {8, 2, 0};
  EXPECT_EQ(b.c.Call(b.cdev, IMS_VFIO_DEVICE_DETACH_IOMMUFD_PT, &d), -EINVAL);
  d = {8, IMS_ATTACH_PT_PASID, 0};
  EXPECT_EQ(b.c.Call(b.cdev, IMS_VFIO_DEVICE_DETACH_IOMMUFD_PT, &d), -EINVAL);
  for (int64_t pasid : {-1, 0, 5, 1 << 21})
    EXPECT_EQ(b.c.Detach(b.cdev, pasid), 0) << pasid;
}

TEST(IommufdAttach, APlatformDeviceHasNoPasids) {
  ims_device_config platform = Machine::DeviceConfig();
  platform.not_pci = true;
  platform.pasid_bits = 0;
  Bound b(platform);
  EXPECT_EQ(b.c.Attach(b.cdev, b.Table(IMS_HWPT_PASID), 5), -EOPNOTSUPP);
  EXPECT_EQ(b.c.Detach(b.cdev, 5), -EOPNOTSUPP);
}

TEST(IommufdAttach, RequestsWithAndWithoutPasidStandSideBySideOnTablesMadeForIt) {
  Bound b;
  uint32_t plain = b.Table(), ours = b.Table(IMS_HWPT_PASID);
  ASSERT_EQ(b.c.Attach(b.cdev, plain), plain);
  EXPECT_EQ(b.c.Attach(b.cdev, ours, 5), -EINVAL); // beside a table without the flag
  ASSERT_EQ(b.c.Attach(b.cdev, ours), ours);       // replaced
  ASSERT_EQ(b.c.Attach(b.cdev, ours, 5), ours);
  EXPECT_EQ(b.c.Attach(b.cdev, plain), -EINVAL); // while a PASID is attached
  EXPECT_EQ(b.c.Attach(b.cdev, b.ioas), -EINVAL);
  EXPECT_TRUE(b.Reaches(b.dev));
  EXPECT_TRUE(b.Reaches(b.dev, 5));
  EXPECT_EQ(b.c.Detach(b.cdev, 5), 0);
  EXPECT_FALSE(b.Reaches(b.dev, 5));
  EXPECT_EQ(b.c.Attach(b.cdev, plain), plain);
}

TEST(IommufdAttach, WhatIsMappedWhereInterruptsGoIsInTheWay) {
  Bound b;
  ASSERT_EQ(b.c.Map(b.ioas, 0xfee01000, b.va, kPage), 0);
  EXPECT_EQ(b.c.Attach(b.cdev, b.ioas), -EADDRINUSE);
  EXPECT_EQ(b.c.Destroy(b.ioas + 1), -ENOENT); // no table is left
  ASSERT_EQ(b.c.Unmap(b.ioas, 0xfee01000, kPage), 0);
  ASSERT_GT(b.c.Attach(b.cdev, b.ioas), 0);
  EXPECT_EQ(b.c.Map(b.ioas, 0xfee01000, b.va, kPage), -EINVAL);
  EXPECT_EQ(b.c.Detach(b.cdev), 0);
  EXPECT_EQ(b.c.Map(b.ioas, 0xfee01000, b.va, kPage), 0);
}

// ---- Groups ---------------------------------------------------------------------------------------------------------

TEST(IommufdGroup, OneTableForAllDevices) {
  Bound b;
  ims_device *two = b.m.AddDevice(Machine::DeviceConfig(0x301)), *idle = b.m.AddDevice(Machine::DeviceConfig(0x302));
  ims_file *d2 = b.c.OpenDevice(two);
  ASSERT_GT(b.c.Bind(d2), 0);
  uint32_t t = b.Table(), u = b.Table();
  ASSERT_EQ(b.c.Attach(b.cdev, t), t);
  for (ims_device *d : {b.dev, two, idle}) // they cannot be told apart, so all are attached
    EXPECT_TRUE(b.Reaches(d));
  EXPECT_EQ(b.c.Attach(d2, u), -EINVAL);
  EXPECT_EQ(b.c.Attach(d2, t), t);
  EXPECT_EQ(b.c.Destroy(t), -EBUSY);
  // One of them replaces for all.
  b.m.Clear();
  ASSERT_EQ(b.c.Attach(d2, u), u);
  EXPECT_EQ(b.c.Destroy(t), 0);
  EXPECT_EQ(b.c.Destroy(u), -EBUSY);
  EXPECT_EQ(b.c.Detach(b.cdev), 0);
  EXPECT_TRUE(b.Reaches(b.dev)); // as long as one is
  EXPECT_EQ(b.c.Destroy(u), -EBUSY);
  EXPECT_EQ(b.c.Detach(d2), 0);
  for (ims_device *d : {b.dev, two, idle})
    EXPECT_FALSE(b.Reaches(d));
  EXPECT_EQ(b.c.Destroy(u), 0);
}

// The second device of the group is behind a unit that cannot do what the first one's can.
TEST(IommufdGroup, AReplacementThatOneDeviceRefusesChangesNothing) {
  for (bool pasid : {false, true}) {
    Machine m;
    ims_vtd_config small = Machine::UnitConfig();
    m.AddUnit();
    small.fs5lp = 0;
    small.mgaw = 47;
    m.AddUnit(small);
    ims_device *one = m.AddDevice(Machine::DeviceConfig(0x300, 7, 0));
    ims_device *two = m.AddDevice(Machine::DeviceConfig(0x300, 7, 1));
    Client c(m);
    ims_file *d1 = c.OpenDevice(one), *d2 = c.OpenDevice(two);
    auto id1 = static_cast<uint32_t>(c.Bind(d1)), id2 = static_cast<uint32_t>(c.Bind(d2));
    uint32_t ioas = c.Ioas();
    uint64_t va = c.Memory(kPage);
    ASSERT_EQ(c.Map(ioas, 0x100000, va, kPage), 0);
    int64_t fits = c.Hwpt(id2, ioas, IMS_HWPT_PASID), big = c.Hwpt(id1, ioas, IMS_HWPT_PASID);
    ASSERT_GT(fits, 0);
    ASSERT_GT(big, 0); // five levels
    int64_t p = pasid ? 9 : -1;
    ASSERT_EQ(c.Attach(d1, static_cast<uint32_t>(fits), p), fits);
    EXPECT_EQ(c.Attach(d1, static_cast<uint32_t>(big), p), -EINVAL);
    for (ims_device *d : {one, two})
      EXPECT_EQ(m.Dma(d, 0x100000, IMS_ACC_R, p).output, c.Hpa(va));
    EXPECT_EQ(c.Destroy(static_cast<uint32_t>(big)), 0);
    EXPECT_EQ(c.Destroy(static_cast<uint32_t>(fits)), -EBUSY);
    // And as the first attachment.
    big = c.Hwpt(id1, ioas, IMS_HWPT_PASID);
    EXPECT_EQ(c.Detach(d1, p), 0);
    EXPECT_EQ(c.Attach(d1, static_cast<uint32_t>(big), p), -EINVAL);
    for (ims_device *d : {one, two})
      EXPECT_EQ(m.Dma(d, 0x100000, IMS_ACC_R, p).status, IMS_STATUS_FAULT);
  }
}

TEST(IommufdGroup, TablesMadeByTheKernelAreSharedAndGoWithTheLastDevice) {
  Bound b;
  ims_device *two = b.m.AddDevice(Machine::DeviceConfig(0x400, 8));
  ims_file *d2 = b.c.OpenDevice(two);
  ASSERT_GT(b.c.Bind(d2), 0);
  uint32_t other = b.c.Ioas();
  int64_t made = b.c.Attach(b.cdev, b.ioas);
  ASSERT_GT(made, 0);
  EXPECT_EQ(b.c.Attach(d2, b.ioas), made);
  EXPECT_EQ(b.c.Attach(d2, b.ioas), made); // replaced by itself
  EXPECT_EQ(b.c.Destroy(static_cast<uint32_t>(made)), -EBUSY);
  int64_t second = b.c.Attach(d2, other); // replaced by a table of another address space
  EXPECT_NE(second, made);
  EXPECT_FALSE(b.Reaches(two));
  EXPECT_TRUE(b.Reaches(b.dev));
  EXPECT_EQ(b.c.Attach(b.cdev, other), second);
  EXPECT_EQ(b.c.Destroy(static_cast<uint32_t>(made)), -ENOENT); // it went when nobody had it any more
  EXPECT_EQ(b.c.Destroy(b.ioas), 0);
  ims_close(b.cdev);
  EXPECT_EQ(b.c.Destroy(static_cast<uint32_t>(second)), -EBUSY);
  ims_close(d2);
  EXPECT_EQ(b.c.Destroy(static_cast<uint32_t>(second)), -ENOENT);
  EXPECT_EQ(b.c.Destroy(other), 0);
}

TEST(IommufdGroup, ClosingADeviceDetachesPasidsFirst) {
  Bound b;
  uint32_t t = b.Table(IMS_HWPT_PASID);
  for (int64_t pasid : {-1, 70, 3})
    ASSERT_EQ(b.c.Attach(b.cdev, t, pasid), t);
  b.m.Clear();
  ims_close(b.cdev);
  std::vector<uint64_t> pasids;
  for (uint64_t d : b.m.Descriptors())
    if ((d & 15) == 7)
      pasids.push_back(d >> 32 & 0xfffff);
  EXPECT_EQ(pasids, (std::vector<uint64_t>{3, 70, 0}));
  EXPECT_EQ(b.c.Destroy(t), 0);
}

// ---- What a device says of itself -----------------------------------------------------------------------------------

ims_vfio_region_info Region(Bound &b, uint32_t index, long expected = 0) {
  ims_vfio_region_info r{};
  r.argsz = sizeof r;
  r.index = index;
  EXPECT_EQ(b.c.Call(b.cdev, IMS_VFIO_DEVICE_GET_REGION_INFO, &r), expected) << index;
  return r;
}

TEST(IommufdDeviceInfo, Pci) {
  Bound b;
  ims_vfio_device_info i{};
  i.argsz = 15;
  EXPECT_EQ(b.c.Call(b.cdev, IMS_VFIO_DEVICE_GET_INFO, &i), -EINVAL);
  i.argsz = sizeof i;
  i.cap_offset = 99;
  ASSERT_EQ(b.c.Call(b.cdev, IMS_VFIO_DEVICE_GET_INFO, &i), 0);
  EXPECT_EQ(i.flags, uint32_t{IMS_DEVICE_INFO_PCI});
  EXPECT_EQ(i.num_regions, 9u);
  EXPECT_EQ(i.num_irqs, 5u);
  EXPECT_EQ(i.cap_offset, 0u);
  EXPECT_EQ(ims_ioctl(b.cdev, IMS_VFIO_DEVICE_GET_INFO, 0), -EFAULT);

  EXPECT_EQ(Region(b, 7).size, 256u);
  EXPECT_EQ(Region(b, 7).offset, 7ull << 40);
  EXPECT_EQ(Region(b, 7).flags, 3u);
  EXPECT_EQ(Region(b, 0).flags, 0u); // no BARs
  Region(b, 8, -EINVAL);             // no VGA
  Region(b, 9, -EINVAL);
  ims_vfio_region_info r{};
  r.argsz = 31;
  EXPECT_EQ(b.c.Call(b.cdev, IMS_VFIO_DEVICE_GET_REGION_INFO, &r), -EINVAL);

  ims_vfio_irq_info q{16, 0, 0, 99};
  ASSERT_EQ(b.c.Call(b.cdev, IMS_VFIO_DEVICE_GET_IRQ_INFO, &q), 0);
  EXPECT_EQ(q.flags, 7u);
  EXPECT_EQ(q.count, 0u);
  q = {16, 0, 3, 0};
  ASSERT_EQ(b.c.Call(b.cdev, IMS_VFIO_DEVICE_GET_IRQ_INFO, &q), 0);
  EXPECT_EQ(q.flags, 9u);
  EXPECT_EQ(q.count, 1u);
  q = {16, 0, 5, 0};
  EXPECT_EQ(b.c.Call(b.cdev, IMS_VFIO_DEVICE_GET_IRQ_INFO, &q), -EINVAL);
  q = {15, 0, 0, 0};
  EXPECT_EQ(b.c.Call(b.cdev, IMS_VFIO_DEVICE_GET_IRQ_INFO, &q), -EINVAL);
  EXPECT_EQ(ims_ioctl(b.cdev, 0x3b99, Arena::kBase), -ENOTTY);
}

TEST(IommufdDeviceInfo, Platform) {
  ims_device_config platform = Machine::DeviceConfig();
  ims_device_regions regions{};
  regions.size[2] = 0x1000;
  platform.not_pci = true;
  platform.regions = &regions;
  Bound b(platform);
  ims_vfio_device_info i{};
  i.argsz = sizeof i;
  ASSERT_EQ(b.c.Call(b.cdev, IMS_VFIO_DEVICE_GET_INFO, &i), 0);
  EXPECT_EQ(i.flags, uint32_t{IMS_DEVICE_INFO_PLATFORM});
  EXPECT_EQ(i.num_regions, 3u);
  EXPECT_EQ(Region(b, 2).size, 0x1000u);
  Region(b, 3, -EINVAL);
  EXPECT_EQ(ims_read(b.cdev, Arena::kBase, 4, 7ull << 40), -EINVAL);
}

struct Access {
  bool write;
  unsigned region;
  uint64_t offset;
  unsigned bytes;
  uint64_t value;
  bool operator==(const Access &o) const {
    return write == o.write && region == o.region && offset == o.offset && bytes == o.bytes && value == o.value;
  }
};

TEST(IommufdRegions, AccessesAreCutAsAlignmentDemands) {
  static std::vector<Access> seen;
  seen.clear();
  ims_device_regions regions{};
  regions.size[1] = 0x1001;
  regions.size[IMS_REGION_ROM] = 16;
  regions.vendor = 0x1234;
  regions.device = 0x5678;
  regions.class_code = 0x088000;
  regions.read = [](void *, unsigned region, uint64_t offset, unsigned bytes) {
    seen.push_back({false, region, offset, bytes, 0});
    return uint64_t{0x8877665544332211};
  };
  regions.write = [](void *, unsigned region, uint64_t offset, unsigned bytes, uint64_t value) {
    seen.push_back({true, region, offset, bytes, value});
  };
  ims_device_config config = Machine::DeviceConfig();
  config.regions = &regions;
  Bound b(config);
  const uint64_t bar = 1ull << 40;
  const uint8_t data[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
  b.m.arena.PutBytes(data, 16);
  EXPECT_EQ(ims_write(b.cdev, Arena::kBase, 15, bar + 1), 15);
  EXPECT_EQ(seen, (std::vector<Access>{{true, 1, 1, 1, 1},
                                       {true, 1, 2, 2, 0x0302},
                                       {true, 1, 4, 4, 0x07060504},
                                       {true, 1, 8, 8, 0x0f0e0d0c0b0a0908}}));
  seen.clear();
  EXPECT_EQ(ims_read(b.cdev, Arena::kBase, 8, bar + 0xffc), 5); // cut at the end
  EXPECT_EQ(seen, (std::vector<Access>{{false, 1, 0xffc, 4, 0}, {false, 1, 0x1000, 1, 0}}));
  EXPECT_EQ(b.m.arena.Get<uint64_t>() & 0xffffffffff, 0x1144332211u);
  seen.clear();
  EXPECT_EQ(ims_read(b.cdev, Arena::kBase, 0, bar), 0);
  EXPECT_EQ(ims_read(b.cdev, Arena::kBase, 1, bar + 0x1001), -EINVAL);
  EXPECT_EQ(ims_read(b.cdev, Arena::kBase, 1, 0), -EINVAL); // no such BAR
  EXPECT_EQ(ims_read(b.cdev, Arena::kBase, 1, 9ull << 40), -EINVAL);
  EXPECT_EQ(ims_write(b.cdev, Arena::kBase, 4, 6ull << 40), -EINVAL); // the ROM
  EXPECT_TRUE(seen.empty());
  EXPECT_EQ(ims_write(b.cdev, 8, 4, bar), -EFAULT);
  EXPECT_TRUE(seen.empty());
  EXPECT_EQ(ims_read(b.cdev, 8, 4, bar), -EFAULT);
  EXPECT_EQ(Region(b, 6).flags, 1u);
  // The configuration space that the kernel shows.
  EXPECT_EQ(ims_read(b.cdev, Arena::kBase, 16, 7ull << 40), 16);
  EXPECT_EQ(b.m.arena.Get<uint32_t>(), 0x56781234u);
  EXPECT_EQ(b.m.arena.Get<uint32_t>(Arena::kBase + 8), 0x08800000u);
  EXPECT_EQ(ims_read(b.cdev, Arena::kBase, 2, (7ull << 40) + 10), 2);
  EXPECT_EQ(b.m.arena.Get<uint16_t>(), 0x0880u);
}

TEST(IommufdRegions, AProgramMovesMemoryByTheDevicesDmaEngine) {
  ims_dma_engine engine{};
  ims_device_regions regions{};
  regions.ctx = &engine;
  regions.size[0] = IMS_DMA_ENGINE_BAR;
  regions.read = ims_dma_engine_read;
  regions.write = ims_dma_engine_write;
  ims_device_config config = Machine::DeviceConfig();
  config.regions = &regions;
  Bound b(config);
  Endpoints ends(b.m);
  Endpoint ep(ends, b.dev);
  ims_dma_engine_init(&engine, &ep.e);
  auto write = [&](uint64_t offset, auto value) {
    b.m.arena.Put(value);
    EXPECT_EQ(ims_write(b.cdev, Arena::kBase, sizeof value, offset), int(sizeof value));
  };
  auto read = [&](uint64_t offset) {
    EXPECT_EQ(ims_read(b.cdev, Arena::kBase, 4, offset), 4);
    return b.m.arena.Get<uint32_t>();
  };
  EXPECT_EQ(read(IMS_DMA_ENGINE_ID), 0x414d4449u);
  write(IMS_DMA_ENGINE_WINDOW, uint64_t{0x1122334455667788});
  write(IMS_DMA_ENGINE_IOVA, uint64_t{Bound::kIova + 0x10});
  write(IMS_DMA_ENGINE_LENGTH, uint32_t{8});
  write(IMS_DMA_ENGINE_COMMAND, uint32_t{IMS_DMA_ENGINE_WRITE});
  EXPECT_EQ(read(IMS_DMA_ENGINE_STATUS), uint32_t{IMS_DMA_ENGINE_REFUSED}); // nothing is attached
  ASSERT_GT(b.c.Attach(b.cdev, b.ioas), 0);
  write(IMS_DMA_ENGINE_COMMAND, uint32_t{IMS_DMA_ENGINE_WRITE});
  EXPECT_EQ(read(IMS_DMA_ENGINE_STATUS), uint32_t{IMS_DMA_ENGINE_DONE_ALL});
  EXPECT_EQ(read(IMS_DMA_ENGINE_DONE), 8u);
  EXPECT_EQ(b.m.Load(b.c.Hpa(b.va) + 0x10), 0x1122334455667788u);
  write(IMS_DMA_ENGINE_OFFSET, uint32_t{0x100});
  write(IMS_DMA_ENGINE_COMMAND, uint32_t{IMS_DMA_ENGINE_READ | IMS_DMA_ENGINE_ATS});
  EXPECT_EQ(read(IMS_DMA_ENGINE_WINDOW + 0x104), 0x11223344u);
  // Not commands.
  write(IMS_DMA_ENGINE_COMMAND, uint32_t{0});
  EXPECT_EQ(read(IMS_DMA_ENGINE_STATUS), uint32_t{IMS_DMA_ENGINE_BAD});
  write(IMS_DMA_ENGINE_LENGTH, uint32_t{0x10000});
  write(IMS_DMA_ENGINE_COMMAND, uint32_t{IMS_DMA_ENGINE_READ}); // past the end of the window
  EXPECT_EQ(read(IMS_DMA_ENGINE_STATUS), uint32_t{IMS_DMA_ENGINE_BAD});
  write(IMS_DMA_ENGINE_STATUS, uint32_t{0}); // is not written
  EXPECT_EQ(read(IMS_DMA_ENGINE_STATUS), uint32_t{IMS_DMA_ENGINE_BAD});
  ims_dma_engine_fini(&engine);
}

TEST(IommufdRegions, TheEngineAsksForAPageAndGoesOnWhenItIsThere) {
  ims_dma_engine engine{};
  ims_device_regions regions{};
  regions.ctx = &engine;
  regions.size[0] = IMS_DMA_ENGINE_BAR;
  regions.read = ims_dma_engine_read;
  regions.write = ims_dma_engine_write;
  ims_device_config config = Machine::DeviceConfig();
  config.regions = &regions;
  Bound b(config);
  Endpoints ends(b.m);
  Endpoint ep(ends, b.dev);
  ims_dma_engine_init(&engine, &ep.e);
  auto to_endpoint = b.m.on_response;
  b.m.on_response = [&](const ims_page_response &r) {
    to_endpoint(r);
    ims_dma_engine_response(&engine, &r);
  };
  FaultQueue queue(b.c);
  int64_t t = b.c.Hwpt<int>(b.id, b.ioas, IMS_HWPT_FAULT_ID_VALID, 0, nullptr, queue.id);
  ASSERT_EQ(b.c.Attach(b.cdev, static_cast<uint32_t>(t)), t);
  auto command = [&](uint64_t iova) {
    ims_dma_engine_write(&engine, 0, IMS_DMA_ENGINE_IOVA, 8, iova);
    ims_dma_engine_write(&engine, 0, IMS_DMA_ENGINE_LENGTH, 4, 8);
    ims_dma_engine_write(&engine, 0, IMS_DMA_ENGINE_COMMAND, 4,
                         IMS_DMA_ENGINE_READ | IMS_DMA_ENGINE_ATS | IMS_DMA_ENGINE_PRI);
    ims_kernel_interrupts(b.m.kernel);
    return ims_dma_engine_read(&engine, 0, IMS_DMA_ENGINE_STATUS, 4);
  };
  EXPECT_EQ(command(0x400000), uint64_t{IMS_DMA_ENGINE_WAITS});
  auto r = queue.Read();
  ASSERT_EQ(r.size(), 1u);
  EXPECT_EQ(r[0].addr, 0x400000u);
  ASSERT_EQ(b.c.Map(b.ioas, 0x400000, b.va + kPage, kPage), 0);
  EXPECT_EQ(queue.Answer(r[0].cookie), 8);
  EXPECT_EQ(ims_dma_engine_read(&engine, 0, IMS_DMA_ENGINE_STATUS, 4), uint64_t{IMS_DMA_ENGINE_DONE_ALL});
  EXPECT_EQ(command(0x500000), uint64_t{IMS_DMA_ENGINE_WAITS});
  r = queue.Read();
  ASSERT_EQ(r.size(), 1u);
  EXPECT_EQ(queue.Answer(r[0].cookie, IMS_PAGE_RESPONSE_INVALID), 8);
  EXPECT_EQ(ims_dma_engine_read(&engine, 0, IMS_DMA_ENGINE_STATUS, 4), uint64_t{IMS_DMA_ENGINE_REFUSED});
  b.m.on_response = to_endpoint;
  ims_dma_engine_fini(&engine);
}

// ---- GET_HW_INFO ----------------------------------------------------------------------------------------------------

struct HwInfoCase {
  const char *what;
  std::function<void(ims_iommu_hw_info &)> change;
  long err;
};

TEST(IommufdHwInfo, WhatIsRefused) {
  const uint64_t at = Arena::kBase + 1024;
  const HwInfoCase cases[] = {
      {"an unknown flag", [](auto &h) { h.flags = 2; }, -EOPNOTSUPP},
      {"a reserved byte", [](auto &h) { h.reserved[2] = 1; }, -EOPNOTSUPP},
      {"no such device", [](auto &h) { h.dev_id = 9; }, -ENOENT},
      {"not a device", [](auto &h) { h.dev_id = 2; }, -ENOENT},
      {"another kind of hardware", [](auto &h) { h.flags = 1, h.data_type = 2; }, -EOPNOTSUPP},
      {"a bad pointer", [](auto &h) { h.data_uptr = 8; }, -EFAULT},
      {"a buffer that ends too early", [](auto &h) { h.data_uptr = Arena::kBase + 4096 - 24, h.data_len = 25; },
       -EFAULT},
      {"without the flag the type is not looked at", [](auto &h) { h.data_type = 2; }, 0},
      {"whatever it is", [](auto &h) { h.flags = 1; }, 0},
      {"what it is", [](auto &h) { h.flags = 1, h.data_type = 1; }, 0},
      {"no buffer", [](auto &h) { h.data_len = 0, h.data_uptr = 0; }, 0},
  };
  for (const HwInfoCase &t : cases) {
    Bound b;
    ims_iommu_hw_info h{};
    h.dev_id = b.id;
    h.data_len = 24;
    h.data_uptr = at;
    t.change(h);
    EXPECT_EQ(b.c.Call(IMS_IOMMU_GET_HW_INFO, &h), t.err) << t.what;
    if (!t.err) {
      EXPECT_EQ(h.data_type, uint32_t{IMS_HW_INFO_INTEL_VTD}) << t.what;
      EXPECT_EQ(h.data_len, 24u) << t.what;
    }
  }
}

TEST(IommufdHwInfo, RegistersAndCapabilities) {
  ims_device_config device = Machine::DeviceConfig();
  device.pasid_priv = true;
  Bound b(device);
  const uint64_t at = Arena::kBase + 1024;
  std::vector<uint8_t> ones(64, 0xff);
  b.m.arena.PutBytes(ones.data(), ones.size(), at);
  ims_iommu_hw_info h{};
  h.dev_id = b.id;
  h.data_len = 40; // more than there is: the rest becomes zero
  h.data_uptr = at;
  ASSERT_EQ(b.c.Call(IMS_IOMMU_GET_HW_INFO, &h), 0);
  auto vtd = b.m.arena.Get<ims_iommu_hw_info_vtd>(at);
  EXPECT_EQ(vtd.flags, uint32_t{IMS_HW_INFO_VTD_ERRATA_772415_SPR17});
  EXPECT_EQ(vtd.cap_reg, ims_iommu_read(b.m.units[0], 8, 8));
  EXPECT_EQ(vtd.ecap_reg, ims_iommu_read(b.m.units[0], 16, 8));
  EXPECT_EQ(b.m.arena.Get<uint64_t>(at + 24), 0u);
  EXPECT_EQ(b.m.arena.Get<uint64_t>(at + 32), 0u);
  EXPECT_EQ(b.m.arena.Get<uint64_t>(at + 40), ~0ull);
  EXPECT_EQ(h.out_max_pasid_log2, 20);
  EXPECT_EQ(h.out_capabilities, uint64_t{IMS_HW_CAP_DIRTY_TRACKING | IMS_HW_CAP_PASID_PRIV});
  h.data_len = 8; // less
  b.m.arena.PutBytes(ones.data(), ones.size(), at);
  ASSERT_EQ(b.c.Call(IMS_IOMMU_GET_HW_INFO, &h), 0);
  EXPECT_EQ(h.data_len, 24u);
  EXPECT_EQ(b.m.arena.Get<uint64_t>(at), 1u);
  EXPECT_EQ(b.m.arena.Get<uint64_t>(at + 8), ~0ull);
}

TEST(IommufdHwInfo, AUnitThatTracksNothingAndADeviceWithoutPasidAndAts) {
  ims_vtd_config unit = Machine::UnitConfig();
  unit.ssads = 0;
  ims_device_config device = Machine::DeviceConfig();
  device.ats = device.pri = false;
  device.pasid_bits = 0;
  Bound b(device, unit);
  ims_iommu_hw_info h{};
  h.dev_id = b.id;
  ASSERT_EQ(b.c.Call(IMS_IOMMU_GET_HW_INFO, &h), 0);
  EXPECT_EQ(h.out_capabilities, uint64_t{IMS_HW_CAP_ATS_NOT_SUPPORTED});
  EXPECT_EQ(h.out_max_pasid_log2, 0);
  EXPECT_EQ(b.c.Hwpt(b.id, b.ioas, IMS_HWPT_DIRTY_TRACKING), -EOPNOTSUPP);
}

} // namespace
