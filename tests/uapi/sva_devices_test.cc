// SPDX-License-Identifier: Apache-2.0
// SVA with whole devices: several functions and units behind one process, groups, page requests by the rights of the
// mappings, exit while bound, and SVA beside what an iommufd attaches (Facts 2).
#include "tests/uapi/arm_guest.h"
#include "tests/uapi/endpoint.h"
#include <random>

namespace uapi_test {
namespace {

struct SvaDevices : testing::TestWithParam<bool> { // on SMMUv3
  bool smmu = GetParam();
  Machine m{IMS_DIALECT_V7, smmu ? std::function<void(ims_kernel_config &)>(ArmCpu) : nullptr};
  unsigned unit = Unit();
  Endpoints ends{m};
  ims_process *p = m.AddProcess();

  unsigned Unit() { return smmu ? m.AddSmmu() : m.AddUnit(); }
  ims_device *Device(uint16_t source, uint32_t group, uint16_t on = 0) {
    return m.AddDevice(Machine::DeviceConfig(source, group, on));
  }
  ims_sva *Bind(ims_device *d, ims_process *who) {
    ims_sva *s = nullptr;
    EXPECT_EQ(ims_sva_bind(d, who, &s), 0);
    return s;
  }
  uint64_t Memory(ims_process *who, uint64_t size, unsigned prot = 3, unsigned flags = IMS_MMAP_POPULATE) {
    uint64_t va = 0;
    EXPECT_EQ(ims_mmap(who, 0, size, prot, flags, &va), 0);
    return va;
  }
  // A page request, and the code of its answer.
  int Ask(Endpoint &e, uint64_t addr, bool r, bool w, bool x, uint32_t pasid = 1) {
    ims_endpoint_page_request q{};
    q.addr = addr;
    q.pasid = pasid;
    q.has_pasid = q.last = true;
    q.read = r;
    q.write = w;
    q.exec = x;
    uint16_t group = 0xffff;
    e.responses.clear();
    EXPECT_EQ(ims_endpoint_request_page(&e.e, &q, &group), IMS_ERR_OK);
    ims_kernel_interrupts(m.kernel);
    EXPECT_EQ(e.responses.size(), 1u);
    return e.responses.empty() ? -1 : e.responses[0].code;
  }
};

TEST_P(SvaDevices, AMissingPageIsAskedForAndReached) {
  ims_device *dev = Device(0x300, 7);
  Endpoint e(ends, dev);
  uint64_t va = Memory(p, 4 * kPage, 3, 0);
  Bind(dev, p);
  uint64_t word = 0x1122334455667788, got = 0;
  ASSERT_EQ(e.Dma(va + kPage, IMS_ACC_W, 1, true, &word), IMS_DMA_NO_RIGHTS);
  EXPECT_EQ(Ask(e, va + kPage, true, true, false), 0);
  EXPECT_EQ(e.Dma(va + kPage, IMS_ACC_W, 1, true, &word), IMS_DMA_DONE);
  ASSERT_EQ(ims_process_read(p, va + kPage, &got, 8), 0);
  EXPECT_EQ(got, word);
}

// By the area's rights and what is asked for.
TEST_P(SvaDevices, PageRequestsAreServedByTheRightsOfTheArea) {
  ims_device *dev = Device(0x300, 7);
  Endpoint e(ends, dev);
  Bind(dev, p);
  for (unsigned prot = 0; prot < 8; prot++)
    for (unsigned want = 1; want < 8; want++) {
      if ((want & 4) && !(smmu && (want & 1)))
        continue; // without reading or writing it is a stop marker; VT-d takes one to read and execute for a bad one
      uint64_t va = Memory(p, kPage, prot, 0);
      bool may = prot && !(want & ~prot);
      EXPECT_EQ(Ask(e, va, want & 1, want & 2, want & 4), may ? 0 : 1) << "prot " << prot << ", asked for " << want;
      uint64_t hpa;
      EXPECT_EQ(ims_process_translate(p, va, &hpa) == IMS_ERR_OK, may);
    }
  uint64_t va = Memory(p, kPage);
  ASSERT_EQ(ims_munmap(p, va, kPage), 0);
  EXPECT_EQ(Ask(e, va, true, false, false), 1); // no area any more
  EXPECT_EQ(Ask(e, 0, true, false, false), 1);
  EXPECT_EQ(Ask(e, 1ull << 47, true, false, false), 1);
}

// The first request that cannot be served ends a group.
TEST_P(SvaDevices, AnErrorInAGroupIsTheGroups) {
  ims_device *dev = Device(0x300, 7);
  Endpoint e(ends, dev);
  uint64_t va = Memory(p, 4 * kPage, 3, 0), hpa;
  Bind(dev, p);
  uint16_t group = 0xffff;
  EXPECT_EQ(e.Ask(va, true, 1, false, &group), 0);
  EXPECT_EQ(e.Ask(0x1000, true, 1, false, &group), 0);
  EXPECT_EQ(e.Ask(va + kPage, true, 1, true, &group), 0);
  ims_kernel_interrupts(m.kernel);
  ASSERT_EQ(e.responses.size(), 1u);
  EXPECT_EQ(e.responses[0].code, 1u);
  EXPECT_EQ(ims_process_translate(p, va, &hpa), IMS_ERR_OK);
  EXPECT_EQ(ims_process_translate(p, va + kPage, &hpa), IMS_ERR_NOENT);
}

TEST_P(SvaDevices, DevicesAndUnitsShareAProcess) {
  unsigned other = Unit();
  ims_device *dev[] = {Device(0x300, 7), Device(0x301, 8), Device(0x400, 9, static_cast<uint16_t>(other))};
  std::vector<std::unique_ptr<Endpoint>> e;
  std::vector<ims_sva *> s;
  uint64_t va = Memory(p, 2 * kPage);
  for (ims_device *d : dev) {
    e.push_back(std::make_unique<Endpoint>(ends, d));
    s.push_back(Bind(d, p));
    EXPECT_EQ(ims_sva_pasid(s.back()), 1u);
  }
  auto reach = [&](size_t i, uint64_t at) { return e[i]->Dma(at, IMS_ACC_W, 1) == IMS_DMA_DONE; };
  for (size_t i = 0; i < 3; i++)
    EXPECT_TRUE(reach(i, va) && reach(i, va + kPage));
  ASSERT_EQ(ims_munmap(p, va, kPage), 0);
  for (size_t i = 0; i < 3; i++) {
    EXPECT_FALSE(reach(i, va)) << i;
    EXPECT_TRUE(reach(i, va + kPage)) << i;
    EXPECT_GE(e[i]->e.count.invalidated, 1u);
  }
  ims_sva_unbind(s[0]);
  EXPECT_FALSE(reach(0, va + kPage));
  EXPECT_TRUE(reach(1, va + kPage) && reach(2, va + kPage));
  ims_process_exit(p);
  EXPECT_FALSE(reach(1, va + kPage) || reach(2, va + kPage));
  ims_sva_unbind(s[1]);
  ims_sva_unbind(s[2]);
}

// Functions that cannot be told apart are bound together; those without PASIDs stay out.
TEST_P(SvaDevices, AGroupIsBoundAsOne) {
  ims_device *a = Device(0x300, 7), *b = Device(0x301, 7);
  ims_device_config none = Machine::DeviceConfig(0x302, 7);
  none.pasid_bits = 0;
  ims_device *c = m.AddDevice(none);
  uint64_t va = Memory(p, kPage);
  ims_sva *s = Bind(a, p), *again = Bind(b, p);
  EXPECT_EQ(s, again);
  EXPECT_EQ(m.Dma(a, va, IMS_ACC_R, 1).status, IMS_STATUS_OK);
  EXPECT_EQ(m.Dma(b, va, IMS_ACC_R, 1).status, IMS_STATUS_OK);
  EXPECT_NE(m.Dma(c, va, IMS_ACC_R, 1).status, IMS_STATUS_OK);
  ims_sva *x = nullptr;
  EXPECT_EQ(ims_sva_bind(c, p, &x), -EOVERFLOW);
  EXPECT_EQ(ims_sva_bind(c, m.AddProcess(), &x), -ENOSPC);
  ims_sva_unbind(s);
  EXPECT_EQ(m.Dma(b, va, IMS_ACC_R, 1).status, IMS_STATUS_OK);
  ims_sva_unbind(s);
  EXPECT_NE(m.Dma(a, va, IMS_ACC_R, 1).status, IMS_STATUS_OK);
  EXPECT_NE(m.Dma(b, va, IMS_ACC_R, 1).status, IMS_STATUS_OK);
}

// One of the group cannot: none is bound.
TEST_P(SvaDevices, AGroupIsBoundWholeOrNotAtAll) {
  ims_device *a = Device(0x300, 7), *b = Device(0x301, 7);
  ASSERT_EQ(ims_device_enable_pri(b, false), 0);
  uint64_t va = Memory(p, kPage);
  ims_sva *s = nullptr;
  EXPECT_EQ(ims_sva_bind(a, p, &s), -EINVAL);
  EXPECT_NE(m.Dma(a, va, IMS_ACC_R, 1).status, IMS_STATUS_OK);
  ASSERT_EQ(ims_device_enable_pri(b, true), 0);
  EXPECT_EQ(ims_sva_bind(a, p, &s), 0);
  ims_device_config small = Machine::DeviceConfig(0x310, 8);
  small.pasid_bits = 1; // PASID 1 only
  ims_device *c = Device(0x311, 8);
  m.AddDevice(small);
  ims_process *q = m.AddProcess();
  Bind(a, q); // gets PASID 2
  EXPECT_EQ(ims_sva_bind(c, q, &s), -EINVAL);
  EXPECT_EQ(ims_sva_bind(c, p, &s), 0);
}

TEST_P(SvaDevices, PasidsAreGivenAgainWhenTheirProcessIsGone) {
  ims_device_config small = Machine::DeviceConfig(0x300, 7);
  small.pasid_bits = 2; // 1 to 3
  ims_device *dev = m.AddDevice(small);
  std::vector<ims_process *> q{p, m.AddProcess(), m.AddProcess()};
  std::vector<ims_sva *> s;
  for (ims_process *each : q)
    s.push_back(Bind(dev, each));
  ims_sva *x = nullptr;
  ims_process *late = m.AddProcess();
  EXPECT_EQ(ims_sva_bind(dev, late, &x), -ENOSPC);
  ims_sva_unbind(s[1]); // the PASID stays with its process
  EXPECT_EQ(ims_sva_bind(dev, late, &x), -ENOSPC);
  ims_process_exit(q[1]);
  EXPECT_EQ(ims_sva_pasid(Bind(dev, late)), 2u);
  ims_process_exit(q[2]); // still bound: its PASID is not free
  EXPECT_EQ(ims_sva_bind(dev, m.AddProcess(), &x), -ENOSPC);
  ims_sva_unbind(s[2]);
  EXPECT_EQ(ims_sva_pasid(Bind(dev, m.AddProcess())), 3u);
}

// Between the exit and the unbind a device meets nothing, is refused what it asks for, and nothing is recorded.
TEST_P(SvaDevices, ExitWhileBound) {
  ims_device *dev = Device(0x300, 7);
  Endpoint e(ends, dev);
  uint64_t va = Memory(p, 16 * kPage);
  ims_sva *s = Bind(dev, p);
  ASSERT_EQ(e.Dma(va, IMS_ACC_W, 1), IMS_DMA_DONE);
  ASSERT_EQ(e.Dma(va, IMS_ACC_W, 1), IMS_DMA_DONE);
  EXPECT_EQ(e.e.count.atc_hits, 1u);
  uint16_t open = 0xffff;
  EXPECT_EQ(e.Ask(va + kPage, false, 1, true, &open), 0); // in the queue when the process ends
  uint64_t used = ims_kernel_memory_in_use(m.kernel);
  ims_process_exit(p);
  EXPECT_EQ(e.Dma(va, IMS_ACC_W, 1) == IMS_DMA_DONE, false);
  EXPECT_EQ(e.Dma(va, IMS_ACC_W, 1, false), IMS_DMA_REFUSED);
  EXPECT_EQ(Ask(e, va, true, false, false), 1);
  EXPECT_EQ(e.e.outstanding, 0u);
  EXPECT_LE(ims_kernel_memory_in_use(m.kernel), used - 16 * kPage); // its pages are given back
  uint64_t faults = ims_kernel_faults(m.kernel);
  if (!smmu) { // FPD
    EXPECT_EQ(e.Dma(va, IMS_ACC_W, 1, false), IMS_DMA_REFUSED);
    ims_kernel_interrupts(m.kernel);
    EXPECT_EQ(ims_kernel_faults(m.kernel), faults);
  }
  uint16_t late = 0xffff;
  EXPECT_EQ(e.Ask(va, false, 1, true, &late), 0);
  ims_sva_unbind(s); // drains
  EXPECT_EQ(e.e.outstanding, 0u);
  EXPECT_EQ(e.e.count.unexpected_responses, 0u);
  ims_process *next = m.AddProcess();
  EXPECT_EQ(ims_sva_pasid(Bind(dev, next)), 1u);
  uint64_t again = Memory(next, kPage);
  EXPECT_EQ(e.Dma(again, IMS_ACC_W, 1), IMS_DMA_DONE);
}

// Whatever a process does to its mappings, the device sees what the process sees: nothing stale in the IOTLB or in its own
// cache, and nothing forgotten that was not touched.
TEST_P(SvaDevices, TheDeviceNeverReachesWhatTheProcessLost) {
  for (uint64_t seed = 1; seed <= 20; seed++) {
    std::mt19937_64 random(seed);
    auto below = [&](uint64_t n) { return random() % n; };
    ims_process *q = m.AddProcess();
    ims_device *dev = Device(static_cast<uint16_t>(0x1000 + seed), static_cast<uint32_t>(100 + seed));
    Endpoint e(ends, dev);
    ims_sva *s = Bind(dev, q);
    auto pasid = static_cast<int64_t>(ims_sva_pasid(s));
    constexpr uint64_t kBase = 0x40000000, kPages = 64;
    std::vector<int> prot(kPages, -1); // -1: no area
    for (int step = 0; step < 200; step++) {
      uint64_t first = below(kPages), n = 1 + below(below(4) ? 4 : kPages - first);
      if (first + n > kPages)
        n = kPages - first;
      uint64_t va = kBase + first * kPage, out;
      bool clean = true;
      for (uint64_t i = first; i < first + n; i++)
        clean = clean && prot[i] < 0;
      switch (below(3)) {
      case 0: {
        auto rights = static_cast<unsigned>(1 + 2 * below(2));
        int err = ims_mmap(q, va, n * kPage, rights, IMS_MMAP_FIXED | IMS_MMAP_POPULATE, &out);
        EXPECT_EQ(err, clean ? 0 : -EEXIST);
        for (uint64_t i = first; !err && i < first + n; i++)
          prot[i] = static_cast<int>(rights);
        break;
      }
      case 1:
        EXPECT_EQ(ims_munmap(q, va, n * kPage), 0);
        for (uint64_t i = first; i < first + n; i++)
          prot[i] = -1;
        break;
      default: {
        auto rights = static_cast<unsigned>(below(2) ? 1 : below(4));
        if (ims_mprotect(q, va, n * kPage, rights) == 0)
          for (uint64_t i = first; i < first + n; i++)
            prot[i] = static_cast<int>(rights);
      }
      }
      for (int look = 0; look < 12; look++) {
        uint64_t i = below(kPages), at = kBase + i * kPage + 8 * below(512), hpa = 0;
        bool write = below(2), ats = below(3);
        bool may = prot[i] > 0 && (!write || (prot[i] & 2));
        uint64_t serial = random(), got = 0;
        ims_dma_end end = e.Dma(at, write ? IMS_ACC_W : IMS_ACC_R, pasid, ats, write ? &serial : &got);
        bool present = ims_process_translate(q, at, &hpa) == IMS_ERR_OK;
        bool must = may && present && !(smmu && write); // a clean page of VMSA may want a page request before a write
        EXPECT_TRUE(!must || end == IMS_DMA_DONE) << "seed " << seed << " step " << step << " page " << i;
        EXPECT_TRUE(may || end != IMS_DMA_DONE) << "seed " << seed << " step " << step << " page " << i;
        EXPECT_TRUE(end != IMS_DMA_DONE || !write || m.Load(hpa) == serial) << "it went elsewhere";
        if (HasFailure())
          return;
      }
    }
    ims_sva_unbind(s);
    ims_process_exit(q);
  }
}

// What is told to the caches is what was unmapped: the device's cache keeps its neighbours.
TEST_P(SvaDevices, NotificationsCoverTheRangeAndKeepTheRest) {
  ims_device *dev = Device(0x300, 7);
  Endpoint e(ends, dev);
  uint64_t va = 0x40000000, out;
  ASSERT_EQ(ims_mmap(p, va, 32 * kPage, 3, IMS_MMAP_FIXED | IMS_MMAP_POPULATE, &out), 0);
  Bind(dev, p);
  struct {
    uint64_t first, pages;
  } const cuts[] = {{0, 1}, {3, 1}, {5, 2}, {8, 8}, {17, 3}, {30, 2}};
  std::vector<bool> gone(32);
  for (const auto &cut : cuts) {
    for (uint64_t i = 0; i < 32; i++)
      EXPECT_EQ(e.Dma(va + i * kPage, IMS_ACC_R, 1) == IMS_DMA_DONE, !gone[i]);
    m.Clear();
    ASSERT_EQ(ims_munmap(p, va + cut.first * kPage, cut.pages * kPage), 0);
    for (uint64_t i = cut.first; i < cut.first + cut.pages; i++)
      gone[i] = true;
    ASSERT_FALSE(m.invalidations.empty());
    uint64_t low = ~0ull, high = 0;
    for (const auto &inv : m.invalidations) {
      EXPECT_TRUE(inv.has_pasid);
      EXPECT_EQ(inv.pasid, 1u);
      low = std::min(low, inv.addr);
      high = std::max(high, inv.last);
    }
    EXPECT_LE(low, va + cut.first * kPage);
    EXPECT_GE(high, va + (cut.first + cut.pages) * kPage - 1);
    uint64_t block = 1; // one naturally aligned block, no larger than it must be
    while ((cut.first / block) != (cut.first + cut.pages - 1) / block)
      block *= 2;
    EXPECT_LE(high - low + 1, block * kPage) << cut.first << "+" << cut.pages;
  }
}

// ---- Beside an iommufd ----------------------------------------------------------------------------------------------

TEST_P(SvaDevices, BesideATableOfTheDevicesOwnRequests) {
  ims_device *dev = Device(0x300, 7);
  Client c(m);
  ims_file *cdev = c.OpenDevice(dev);
  auto id = static_cast<uint32_t>(c.Bind(cdev));
  uint32_t ioas = c.Ioas();
  int64_t t = c.Hwpt(id, ioas, smmu ? 0u : unsigned(IMS_HWPT_PASID));
  ASSERT_GT(t, 0);
  ASSERT_EQ(c.Attach(cdev, static_cast<uint32_t>(t)), t);
  uint64_t own = c.Memory(kPage), va = Memory(p, kPage);
  ASSERT_EQ(c.Map(ioas, 0x10000, own, kPage), 0);
  ims_sva *s = Bind(dev, p);
  auto rid = [&] { return m.Dma(dev, 0x10000).status == IMS_STATUS_OK; };
  auto process = [&] { return m.Dma(dev, va, IMS_ACC_R, 1).status == IMS_STATUS_OK; };
  EXPECT_TRUE(rid() && process());
  EXPECT_EQ(c.Detach(cdev), 0);
  EXPECT_TRUE(!rid() && process());
  ASSERT_EQ(c.Attach(cdev, static_cast<uint32_t>(t)), t);
  EXPECT_TRUE(rid() && process());
  ims_sva_unbind(s);
  EXPECT_TRUE(rid() && !process());
}

TEST_P(SvaDevices, ABoundDeviceIsNotGivenAway) {
  ims_device *dev = Device(0x300, 7);
  ims_sva *s = Bind(dev, p);
  Client c(m);
  ims_file *cdev = c.OpenDevice(dev);
  EXPECT_EQ(c.Bind(cdev), -EBUSY);
  ims_sva_unbind(s);
  EXPECT_GT(c.Bind(cdev), 0);
}

INSTANTIATE_TEST_SUITE_P(Units, SvaDevices, testing::Bool(),
                         [](const testing::TestParamInfo<bool> &i) { return i.param ? "Smmuv3" : "Vtd"; });

struct SvaIommufd : testing::Test {
  Machine m;
  unsigned unit = m.AddUnit();
  ims_device *dev = m.AddDevice();
  Client c{m};
  ims_file *cdev = c.OpenDevice(dev);
  uint32_t id = static_cast<uint32_t>(c.Bind(cdev)), ioas = c.Ioas();
  ims_process *p = m.AddProcess();
};

TEST_F(SvaIommufd, BesideAGuestsFirstStage) {
  int64_t parent = c.Hwpt(id, ioas, IMS_HWPT_NEST_PARENT | IMS_HWPT_PASID);
  ASSERT_GT(parent, 0);
  ims_vm *vm = c.Guest(ioas, 16 * kMB);
  GuestTable t(vm);
  t.Map(0x7000000000, 2 * kMB, kPage);
  ims_iommu_hwpt_vtd_s1 s1{};
  s1.pgtbl_addr = t.pgt.root;
  s1.addr_width = 48;
  int64_t nested = c.Hwpt(id, static_cast<uint32_t>(parent), IMS_HWPT_PASID, IMS_HWPT_DATA_VTD_S1, &s1);
  ASSERT_EQ(c.Attach(cdev, static_cast<uint32_t>(nested)), nested);
  uint64_t va = 0;
  ASSERT_EQ(ims_mmap(p, 0, kPage, 3, IMS_MMAP_POPULATE, &va), 0);
  ims_sva *s = nullptr;
  ASSERT_EQ(ims_sva_bind(dev, p, &s), 0);
  EXPECT_EQ(m.Dma(dev, 0x7000000000).status, IMS_STATUS_OK);
  EXPECT_EQ(m.Dma(dev, va, IMS_ACC_R, 1).status, IMS_STATUS_OK);
  EXPECT_EQ(m.Dma(dev, va).status, IMS_STATUS_FAULT);
  ASSERT_EQ(ims_munmap(p, va, kPage), 0);
  EXPECT_EQ(m.Dma(dev, va, IMS_ACC_R, 1).status, IMS_STATUS_FAULT);
  EXPECT_EQ(c.Detach(cdev), 0);
  ims_sva_unbind(s);
}

// PASIDs that a VMM attaches are its own choice, those of processes the kernel's: who comes second is refused.
TEST_F(SvaIommufd, OnePasidHasOneOwner) {
  int64_t t = c.Hwpt(id, ioas, IMS_HWPT_PASID);
  ASSERT_EQ(c.Attach(cdev, static_cast<uint32_t>(t), 1), t);
  ims_sva *s = nullptr;
  EXPECT_EQ(ims_sva_bind(dev, p, &s), -EBUSY); // its PASID is 1
  EXPECT_EQ(ims_process_pasid(p), 1u);
  EXPECT_EQ(c.Detach(cdev, 1), 0);
  ASSERT_EQ(ims_sva_bind(dev, p, &s), 0);
  EXPECT_EQ(c.Attach(cdev, static_cast<uint32_t>(t), 1), -EBUSY);
  uint64_t va = 0;
  ASSERT_EQ(ims_mmap(p, 0, kPage, 3, IMS_MMAP_POPULATE, &va), 0);
  EXPECT_EQ(m.Dma(dev, va, IMS_ACC_R, 1).status, IMS_STATUS_OK); // untouched
  EXPECT_EQ(c.Detach(cdev, 1), 0);                               // not attached: nothing to do
  EXPECT_EQ(m.Dma(dev, va, IMS_ACC_R, 1).status, IMS_STATUS_OK);
  EXPECT_EQ(c.Attach(cdev, static_cast<uint32_t>(t), 2), t);
  ims_sva_unbind(s);
}

TEST(SvaSmmuIommufd, ASecondStageAndProcessesExcludeEachOther) {
  Machine m(IMS_DIALECT_V7, ArmCpu);
  m.AddSmmu();
  ims_device *dev = m.AddDevice();
  Client c(m);
  ims_file *cdev = c.OpenDevice(dev);
  auto id = static_cast<uint32_t>(c.Bind(cdev));
  uint32_t ioas = c.Ioas();
  int64_t s2 = c.Hwpt(id, ioas, IMS_HWPT_NEST_PARENT);
  ASSERT_GT(s2, 0);
  ims_process *p = m.AddProcess();
  ims_sva *s = nullptr;
  ASSERT_EQ(c.Attach(cdev, static_cast<uint32_t>(s2)), s2);
  EXPECT_EQ(ims_sva_bind(dev, p, &s), -EINVAL);
  EXPECT_EQ(c.Detach(cdev), 0);
  ASSERT_EQ(ims_sva_bind(dev, p, &s), 0);
  EXPECT_EQ(c.Attach(cdev, static_cast<uint32_t>(s2)), -EBUSY);
  ims_sva_unbind(s);
  EXPECT_EQ(c.Attach(cdev, static_cast<uint32_t>(s2)), s2);
}

} // namespace
} // namespace uapi_test
