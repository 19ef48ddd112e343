// SPDX-License-Identifier: Apache-2.0
// The mock driver behind the kernel's self-test of iommufd: its tables and their dirty bits, nested tables, PASIDs, page
// requests, vIOMMUs with what belongs to them, and buffers that are taken back (facts 6.2).
#include "tests/uapi/selftest_client.h"

using namespace uapi_test;

namespace {

constexpr uint64_t kAperture = IMS_MOCK_APERTURE_FIRST, kMockPage = IMS_MOCK_PAGE;

class SelftestDriver : public testing::Test {
protected:
  void SetUp() override { ioas = c.Ioas(); }
  void WithDevice(uint32_t flags = 0) { ASSERT_EQ(c.Mock(ioas, &d, flags), 0); }
  void WithViommu() {
    WithDevice();
    parent = uint32_t(c.Hwpt(d.idev, ioas, IMS_HWPT_NEST_PARENT));
    viommu = uint32_t(c.Viommu(d.idev, parent));
    ASSERT_GT(int32_t(viommu), 0);
  }

  Machine m{IMS_DIALECT_V7, SelftestOn};
  SelftestClient c{m};
  SelftestClient::Device d{};
  uint32_t ioas = 0, parent = 0, viommu = 0;
};

// ---- Dirty tracking ---------------------------------------------------------------------------------------------------

// A table with dirty tracking over `pages` pages; how many mock pages each bit that is set makes dirty.
class Dirty {
public:
  explicit Dirty(ims_selftest version)
      : m(IMS_DIALECT_V7, [=](ims_kernel_config &k) { k.selftest = uint8_t(version); }), c(m) {
    ioas = c.Ioas();
    EXPECT_EQ(c.Mock(ioas, &d), 0);
  }
  void SmallPages() {
    ims_iommu_option o{};
    o.option_id = IMS_OPTION_HUGE_PAGES;
    o.op = IMS_OPTION_SET;
    o.object_id = ioas;
    EXPECT_EQ(c.Call(IMS_IOMMU_OPTION, &o), 0);
  }
  uint32_t Table(uint32_t kind) {
    ims_iommu_hwpt_selftest data{};
    data.pagetable_type = kind;
    int64_t id = c.Hwpt(d.idev, ioas, IMS_HWPT_DIRTY_TRACKING, IMS_HWPT_DATA_SELFTEST, &data);
    EXPECT_GT(id, 0);
    return uint32_t(id);
  }
  long Track(uint32_t hwpt, bool on) {
    ims_iommu_hwpt_set_dirty_tracking s{};
    s.hwpt_id = hwpt;
    s.flags = on;
    return c.Call(IMS_IOMMU_HWPT_SET_DIRTY_TRACKING, &s);
  }
  // Bits of mock pages.
  long Make(uint32_t hwpt, uint64_t length, uint64_t bits, uint64_t *count = nullptr) {
    ims_iommu_test_dirty t{};
    t.id = hwpt;
    t.iova = kAperture;
    t.length = length;
    t.page_size = kMockPage;
    t.uptr = m.arena.Put(bits, Arena::kBase + 1024);
    long ret = c.Test(IMS_TEST_OP_DIRTY, &t);
    if (count)
      *count = t.out_nr_dirty;
    return ret;
  }
  uint64_t Read(uint32_t hwpt, uint64_t length, uint32_t flags = 0, uint64_t at = 0) {
    ims_iommu_hwpt_get_dirty_bitmap g{};
    g.hwpt_id = hwpt;
    g.flags = flags;
    g.iova = kAperture + at;
    g.length = length;
    g.page_size = kMockPage;
    g.data = m.arena.Put(uint64_t(0), Arena::kBase + 1024);
    EXPECT_EQ(c.Call(IMS_IOMMU_HWPT_GET_DIRTY_BITMAP, &g), 0);
    return m.arena.Get<uint64_t>(Arena::kBase + 1024);
  }
  Machine m;
  SelftestClient c;
  SelftestClient::Device d{};
  uint32_t ioas;
};

TEST(SelftestDirty, ALeafIsDirtyWhole) {
  struct Row {
    ims_selftest version;
    bool small_pages;
    uint64_t bits, expect;
  };
  for (const Row &r : {Row{IMS_SELFTEST_7_2, true, 0x0001, 0x0001}, Row{IMS_SELFTEST_7_2, true, 0x5555, 0x5555},
                       Row{IMS_SELFTEST_7_3, true, 0x0001, 0x0003}, Row{IMS_SELFTEST_7_3, true, 0x1110, 0x3330},
                       Row{IMS_SELFTEST_7_3, false, 0x0100, 0xffff}}) {
    Dirty t(r.version);
    if (r.small_pages)
      t.SmallPages();
    // Neighbouring pages, so that they could be one leaf.
    uint64_t va = t.c.Memory(2 * kMB, IMS_MMAP_POPULATE | IMS_MMAP_2M), count = 0;
    ASSERT_EQ(t.c.Map(t.ioas, kAperture, va, 8 * kPage), 0);
    uint32_t hwpt = t.Table(IMS_MOCK_PAGETABLE_DEFAULT);
    EXPECT_EQ(t.Make(hwpt, 8 * kPage, r.bits), -EINVAL); // not yet tracked
    ASSERT_EQ(t.Track(hwpt, true), 0);
    EXPECT_EQ(t.Read(hwpt, 8 * kPage), 0u);
    EXPECT_EQ(t.Make(hwpt, 8 * kPage, r.bits, &count), 0);
    EXPECT_EQ(count, uint64_t(__builtin_popcountll(r.bits)));
    EXPECT_EQ(t.Read(hwpt, 8 * kPage, IMS_GET_DIRTY_NO_CLEAR), r.expect);
    EXPECT_EQ(t.Read(hwpt, 8 * kPage), r.expect);
    EXPECT_EQ(t.Read(hwpt, 8 * kPage), 0u);
    EXPECT_EQ(t.Track(hwpt, false), 0);
    EXPECT_EQ(t.Make(hwpt, 8 * kPage, r.bits), -EINVAL);
  }
}

TEST(SelftestDirty, LargeLeavesOfTheHugeKind) {
  Dirty t(IMS_SELFTEST_7_2);
  uint64_t va = t.c.Memory(4 * kMB, IMS_MMAP_POPULATE | IMS_MMAP_2M);
  ASSERT_EQ(t.c.Map(t.ioas, kAperture, va, 2 * kMB), 0);
  uint32_t hwpt = t.Table(IMS_MOCK_PAGETABLE_HUGE);
  ASSERT_EQ(t.Track(hwpt, true), 0);
  EXPECT_EQ(t.c.CheckMap(hwpt, kAperture, 2 * kMB, va), 0);
  EXPECT_EQ(t.c.CheckMap(hwpt, kAperture + kMockPage, kMockPage, va + kMockPage), -EINVAL); // its page is 4 KB
  EXPECT_EQ(t.Make(hwpt, 64 * kMockPage, 2), 0);
  EXPECT_EQ(t.Read(hwpt, 64 * kMockPage, IMS_GET_DIRTY_NO_CLEAR), ~0ull);
  // To the end of the leaf, and not beyond.
  for (auto [iova, expect] :
       {std::pair<uint64_t, uint64_t>{kAperture + kMB - 64 * kMockPage, ~0ull}, {kAperture + kMB, 0}}) {
    ims_iommu_hwpt_get_dirty_bitmap g{};
    g.hwpt_id = hwpt;
    g.flags = IMS_GET_DIRTY_NO_CLEAR;
    g.iova = iova;
    g.length = 64 * kMockPage;
    g.page_size = kMockPage;
    g.data = t.m.arena.Put(uint64_t(0), Arena::kBase + 1024);
    ASSERT_EQ(t.c.Call(IMS_IOMMU_HWPT_GET_DIRTY_BITMAP, &g), -EINVAL + (g.iova % kPage ? 0 : EINVAL));
    EXPECT_EQ(t.m.arena.Get<uint64_t>(Arena::kBase + 1024), expect) << iova;
  }
}

// Pages mapped one by one are one piece for the table; what is taken out of it leaves the rest as it was.
TEST(SelftestDirty, PagesAroundAHoleStay) {
  for (auto [gone, pages] : {std::pair<uint64_t, uint64_t>{0, 1}, {2, 1}, {1, 2}, {3, 1}, {0, 4}}) {
    Dirty t(IMS_SELFTEST_7_2);
    uint64_t va = t.c.Memory(2 * kMB, IMS_MMAP_POPULATE | IMS_MMAP_2M);
    uint32_t hwpt = t.Table(IMS_MOCK_PAGETABLE_DEFAULT);
    for (uint64_t i = 0; i < 4; i++)
      ASSERT_EQ(t.c.Map(t.ioas, kAperture + i * kPage, va + i * kPage, kPage), 0);
    ASSERT_EQ(t.Track(hwpt, true), 0);
    ASSERT_EQ(t.Make(hwpt, 4 * kPage, 0xa5), 0); // bits of half pages
    ASSERT_EQ(t.c.Unmap(t.ioas, kAperture + gone * kPage, pages * kPage), 0);
    uint64_t left = 0xa5;
    for (uint64_t i = 0; i < 4; i++) {
      const bool is_gone = i >= gone && i < gone + pages;
      EXPECT_EQ(t.c.CheckMap(hwpt, kAperture + i * kPage, kPage, va + i * kPage), is_gone ? -EINVAL : 0) << i;
      if (is_gone)
        left &= ~(3ull << 2 * i);
    }
    auto read = [&, from = gone, to = gone + pages] { // around the hole, at which reading ends
      uint64_t bits = from ? t.Read(hwpt, from * kPage) : 0;
      return bits | (to < 4 ? t.Read(hwpt, (4 - to) * kPage, 0, to * kPage) << 2 * to : 0);
    };
    EXPECT_EQ(read(), left) << gone;
    uint64_t count = 0;
    EXPECT_EQ(t.Make(hwpt, 4 * kPage, 0xff, &count), 0);
    EXPECT_EQ(count, 8u); // it counts what is asked for
    left = 0xff;
    for (uint64_t i = gone; i < gone + pages; i++)
      left &= ~(3ull << 2 * i);
    EXPECT_EQ(read(), left) << gone;
    ASSERT_EQ(t.c.Map(t.ioas, kAperture + gone * kPage, va + gone * kPage, pages * kPage), 0); // clean
    EXPECT_EQ(t.Read(hwpt, 4 * kPage), 0u) << gone;
  }
}

TEST(SelftestDirty, WhatItRefuses) {
  Dirty t(IMS_SELFTEST_7_2);
  uint64_t va = t.c.Memory(kPage);
  ASSERT_EQ(t.c.Map(t.ioas, kAperture, va, kPage), 0);
  uint32_t hwpt = t.Table(IMS_MOCK_PAGETABLE_DEFAULT);
  ASSERT_EQ(t.Track(hwpt, true), 0);
  const uint64_t buf = t.m.arena.Put(uint64_t(1), Arena::kBase + 1024);
  struct Row {
    uint32_t id;
    uint64_t iova, length, page, uptr;
    long result;
  };
  for (const Row &r :
       {Row{hwpt, kAperture, kPage, 0, buf, -EINVAL}, Row{hwpt, kAperture, 0, kMockPage, buf, -EINVAL},
        Row{hwpt, kAperture + 1, kPage, kMockPage, buf, -EINVAL},
        Row{hwpt, kAperture, kPage + 1, kMockPage, buf, -EINVAL}, Row{hwpt, kAperture, kPage, kMockPage, 0, -EINVAL},
        Row{hwpt, 0, (1ull << 27) + 1, 1, buf, -EOVERFLOW}, Row{t.ioas, kAperture, kPage, kMockPage, buf, -ENOENT},
        Row{t.d.hwpt, kAperture, kPage, kMockPage, buf, -EINVAL}, // does not track
        Row{hwpt, kAperture, kPage, kMockPage, 0x10, -EFAULT}, Row{hwpt, kAperture, kPage, kMockPage, buf, 0}}) {
    ims_iommu_test_dirty q{};
    q.id = r.id;
    q.iova = r.iova;
    q.length = r.length;
    q.page_size = r.page;
    q.uptr = r.uptr;
    EXPECT_EQ(t.c.Test(IMS_TEST_OP_DIRTY, &q), r.result) << r.result;
  }
  // Devices that cannot.
  SelftestClient::Device no{};
  ASSERT_EQ(t.c.Mock(t.ioas, &no, IMS_MOCK_DEVICE_NO_DIRTY), 0);
  EXPECT_EQ(t.c.Hwpt(no.idev, t.ioas, IMS_HWPT_DIRTY_TRACKING), -EOPNOTSUPP);
  EXPECT_EQ(t.c.Mock(hwpt, nullptr, IMS_MOCK_DEVICE_NO_DIRTY), -EINVAL);
  EXPECT_EQ(t.c.Replace(no.stdev, hwpt), -EINVAL);
  EXPECT_EQ(t.c.Mock(hwpt), 0);
}

TEST_F(SelftestDriver, DataOfAPagingTable) {
  WithDevice();
  struct Row {
    uint32_t type, kind;
    int64_t result;
  };
  for (const Row &r : {Row{IMS_HWPT_DATA_SELFTEST + 1, 0, -EOPNOTSUPP}, Row{IMS_HWPT_DATA_SELFTEST, 2, -EOPNOTSUPP},
                       Row{IMS_HWPT_DATA_VTD_S1, 0, -EOPNOTSUPP}}) {
    ims_iommu_hwpt_selftest data{};
    data.pagetable_type = r.kind;
    EXPECT_EQ(c.Hwpt(d.idev, ioas, 0, r.type, &data), r.result);
  }
  uint16_t small = 0;
  EXPECT_EQ(c.Hwpt(d.idev, ioas, 0, IMS_HWPT_DATA_SELFTEST, &small), -EINVAL);
  uint32_t iotlb = 5; // the kind may be left out
  EXPECT_GT(c.Hwpt(d.idev, ioas, 0, IMS_HWPT_DATA_SELFTEST, &iotlb), 0);
}

// ---- Nested tables ----------------------------------------------------------------------------------------------------

TEST_F(SelftestDriver, NestedTables) {
  WithDevice();
  parent = uint32_t(c.Hwpt(d.idev, ioas, IMS_HWPT_NEST_PARENT));
  auto flat = uint32_t(c.Hwpt(d.idev, ioas));
  ims_iommu_hwpt_selftest data{};
  EXPECT_EQ(c.Hwpt(d.idev, parent, 0, IMS_HWPT_DATA_SELFTEST + 1, &data), -EOPNOTSUPP);
  EXPECT_EQ(c.Nested(d.idev, flat), -EINVAL);
  EXPECT_EQ(c.Nested(d.idev, d.hwpt), -EINVAL); // an automatic one
  EXPECT_EQ(c.Nested(d.idev, parent, IMS_HWPT_NEST_PARENT), -EOPNOTSUPP);
  auto n = uint32_t(c.Nested(d.idev, parent)), o = uint32_t(c.Nested(d.idev, parent, IMS_HWPT_PASID, 0, 7));
  EXPECT_EQ(c.Nested(d.idev, n), -EINVAL); // on a nested one
  EXPECT_EQ(c.Destroy(parent), -EBUSY);
  for (uint32_t i = 0; i < IMS_MOCK_IOTLBS; i++) {
    EXPECT_EQ(c.Iotlb(n, i, IMS_MOCK_IOTLB_DEFAULT), 0);
    EXPECT_EQ(c.Iotlb(o, i, 7), 0);
  }
  EXPECT_EQ(c.Iotlb(n, IMS_MOCK_IOTLBS, IMS_MOCK_IOTLB_DEFAULT), -EINVAL);
  EXPECT_EQ(c.Iotlb(n, 0, 7), -EINVAL);
  EXPECT_EQ(c.Iotlb(parent, 0, 7), -ENOENT);
  EXPECT_EQ(c.Replace(d.stdev, n), n);
  EXPECT_EQ(c.Destroy(n), -EBUSY);
  EXPECT_EQ(c.Replace(d.stdev, o), o);
  EXPECT_EQ(c.Destroy(n), 0);
  EXPECT_EQ(c.Replace(d.stdev, ioas), d.hwpt == n ? n : c.Replace(d.stdev, ioas));
  EXPECT_EQ(c.Destroy(o), 0);
  EXPECT_EQ(c.Destroy(parent), 0);
}

TEST_F(SelftestDriver, InvalidationsOfANestedTable) {
  using Inv = ims_iommu_hwpt_invalidate_selftest;
  WithDevice();
  parent = uint32_t(c.Hwpt(d.idev, ioas, IMS_HWPT_NEST_PARENT));
  struct Row {
    std::vector<Inv> entries;
    uint32_t type, len;
    long result;
    uint32_t done, left; // words that are as they were, as bits
  };
  const uint32_t t = IMS_INVALIDATE_DATA_SELFTEST;
  for (const Row &r :
       {Row{{}, t, 8, 0, 0, 0xf}, Row{{}, t + 1, 8, -EINVAL, 0, 0xf}, Row{{{0, 0}}, t + 1, 8, -EINVAL, 0, 0xf},
        Row{{{0, 0}}, t, 9, -EINVAL, 0, 0xf}, Row{{{0, 0}}, t, 7, -EINVAL, 0, 0xf},
        Row{{{0, 0}}, t, 0, -EINVAL, 0, 0xf}, Row{{{0, 0}}, t, 4097, -EINVAL, 0, 0xf},
        Row{{{2, 0}}, t, 8, -EOPNOTSUPP, 0, 0xf}, Row{{{0, 4}}, t, 8, -EINVAL, 0, 0xf},
        Row{{{1, 4}}, t, 8, -EINVAL, 0, 0xf}, // looked at even where it says nothing
        Row{{{0, 0}, {~0u, 1}}, t, 8, -EOPNOTSUPP, 1, 0xe}, Row{{{0, 0}, {0, 4}, {0, 1}}, t, 8, -EINVAL, 1, 0xe},
        Row{{{0, 2}, {0, 3}}, t, 8, 0, 2, 0x3}, Row{{{1, 0}}, t, 8, 0, 1, 0}}) {
    auto n = uint32_t(c.Nested(d.idev, parent));
    EXPECT_EQ(c.Invalidate(n, r.entries, r.type, r.len), r.result);
    EXPECT_EQ(c.done, r.done);
    for (uint32_t i = 0; i < IMS_MOCK_IOTLBS; i++)
      EXPECT_EQ(c.Iotlb(n, i, r.left >> i & 1 ? IMS_MOCK_IOTLB_DEFAULT : 0), 0) << i;
    EXPECT_EQ(c.Destroy(n), 0);
  }
  EXPECT_EQ(c.Invalidate(parent, std::vector<Inv>{{0, 0}}), -EINVAL);
  EXPECT_EQ(c.done, 0u);
}

// ---- PASIDs -----------------------------------------------------------------------------------------------------------

TEST_F(SelftestDriver, Pasids) {
  WithDevice(IMS_MOCK_DEVICE_PASID);
  auto table = uint32_t(c.Hwpt(d.idev, ioas, IMS_HWPT_PASID)), other = uint32_t(c.Hwpt(d.idev, ioas, IMS_HWPT_PASID));
  auto without = uint32_t(c.Hwpt(d.idev, ioas));
  const uint32_t attach = IMS_TEST_OP_PASID_ATTACH, replace = IMS_TEST_OP_PASID_REPLACE,
                 detach = IMS_TEST_OP_PASID_DETACH;
  EXPECT_EQ(c.Pasid(detach, d.stdev, 100), 0); // nothing there
  EXPECT_EQ(c.Pasid(detach, 99, 100), -ENOENT);
  EXPECT_EQ(c.Pasid(attach, d.stdev, 100, table), -EINVAL); // the device's own table is not for PASIDs
  ASSERT_EQ(c.Replace(d.stdev, table), table);
  EXPECT_EQ(c.Pasid(attach, 99, 100, table), -ENOENT);
  EXPECT_EQ(c.Pasid(attach, d.stdev, 100, 99), -ENOENT);
  EXPECT_EQ(c.Pasid(attach, d.stdev, 100, without), -EINVAL);
  EXPECT_EQ(c.Pasid(attach, d.stdev, 100, ioas), -EINVAL);
  EXPECT_EQ(c.Pasid(attach, d.stdev, 1 << 20, table), -EINVAL);
  m.arena.read_only = true; // no answer: no attachment
  EXPECT_EQ(c.Pasid(attach, d.stdev, 100, table), -EFAULT);
  m.arena.read_only = false;
  EXPECT_EQ(c.PasidIs(d.stdev, 100, 0), 0);
  EXPECT_EQ(c.Pasid(replace, d.stdev, 100, table), -EINVAL); // nothing there
  EXPECT_EQ(c.Pasid(replace, 99, 100, table), -ENOENT);
  EXPECT_EQ(c.Replace(99, table), -ENOENT);
  ASSERT_EQ(c.Pasid(attach, d.stdev, 100, table), 0);
  EXPECT_EQ(c.PasidIs(d.stdev, 100, table), 0);
  EXPECT_EQ(c.PasidIs(d.stdev, 100, other), -EINVAL);
  EXPECT_EQ(c.PasidIs(d.stdev, 100, ioas), -EINVAL);
  EXPECT_EQ(c.PasidIs(d.stdev, 100, 99), -ENOENT);
  EXPECT_EQ(c.PasidIs(d.stdev, 100, 0), -EINVAL);
  EXPECT_EQ(c.PasidIs(99, 100, 0), -ENOENT);
  EXPECT_EQ(c.Pasid(attach, d.stdev, 100, table), -EBUSY);
  EXPECT_EQ(c.Pasid(attach, d.stdev, 100, other), -EBUSY);
  EXPECT_EQ(c.Replace(d.stdev, without), -EINVAL); // while there are PASIDs
  EXPECT_EQ(c.Pasid(replace, d.stdev, 100, other), 0);
  EXPECT_EQ(c.PasidIs(d.stdev, 100, other), 0);
  EXPECT_EQ(c.Pasid(replace, d.stdev, 100, ioas), -EINVAL);
  EXPECT_EQ(c.PasidIs(d.stdev, 100, other), 0);
  EXPECT_EQ(c.Pasid(detach, d.stdev, 100), 0);
  EXPECT_EQ(c.PasidIs(d.stdev, 100, 0), 0);
  EXPECT_EQ(c.Replace(d.stdev, without), without);

  SelftestClient::Device no{};
  ASSERT_EQ(c.Mock(ioas, &no), 0);
  EXPECT_EQ(c.Pasid(attach, no.stdev, 100, table), -EINVAL);
  EXPECT_EQ(c.Replace(no.stdev, table), table); // such a table does no harm
}

// The driver fails; the old table stays.
TEST_F(SelftestDriver, APasidThatCannotBeReplaced) {
  WithDevice(IMS_MOCK_DEVICE_PASID);
  auto table = uint32_t(c.Hwpt(d.idev, ioas, IMS_HWPT_PASID)), other = uint32_t(c.Hwpt(d.idev, ioas, IMS_HWPT_PASID));
  ASSERT_EQ(c.Replace(d.stdev, table), table);
  const uint32_t pasid = IMS_MOCK_PASID_FAILING;
  ASSERT_EQ(c.Pasid(IMS_TEST_OP_PASID_ATTACH, d.stdev, pasid, table), 0);
  EXPECT_EQ(c.Pasid(IMS_TEST_OP_PASID_REPLACE, d.stdev, pasid, other), -ENOMEM);
  EXPECT_EQ(c.PasidIs(d.stdev, pasid, table), 0);
  EXPECT_EQ(c.Destroy(other), 0); // not held
  EXPECT_EQ(c.Pasid(IMS_TEST_OP_PASID_DETACH, d.stdev, pasid), 0);
  EXPECT_EQ(c.PasidIs(d.stdev, pasid, 0), 0);
  EXPECT_EQ(c.Pasid(IMS_TEST_OP_PASID_ATTACH, d.stdev, pasid, table), 0); // from the start
}

// ---- Page requests ----------------------------------------------------------------------------------------------------

TEST_F(SelftestDriver, PageRequests) {
  WithDevice();
  parent = uint32_t(c.Hwpt(d.idev, ioas, IMS_HWPT_NEST_PARENT));
  ims_iommu_fault_alloc q{};
  ASSERT_EQ(c.Call(IMS_IOMMU_FAULT_QUEUE_ALLOC, &q), 0);
  ims_file *f = ims_process_file(c.process, int(q.out_fault_fd));
  ASSERT_NE(f, nullptr);
  EXPECT_EQ(c.Nested(d.idev, parent, IMS_HWPT_FAULT_ID_VALID, 99), -ENOENT);
  auto n = uint32_t(c.Nested(d.idev, parent, IMS_HWPT_FAULT_ID_VALID, q.out_fault_id));
  EXPECT_EQ(c.Fault(ioas, 1), -ENOENT);
  EXPECT_EQ(c.Fault(d.idev, 1), 0); // nobody serves them yet
  EXPECT_EQ(ims_poll(f), unsigned(IMS_POLLOUT));
  ASSERT_EQ(c.Replace(d.stdev, n), n);
  // A guest has all PASIDs.
  for (uint32_t pasid : {0u, 1u}) {
    ASSERT_EQ(c.Fault(d.idev, pasid), 0);
    EXPECT_EQ(ims_poll(f), unsigned(IMS_POLLIN | IMS_POLLOUT));
    const uint64_t buf = Arena::kBase + 1024;
    ASSERT_EQ(ims_read(f, buf, sizeof(ims_iommu_hwpt_pgfault), 0), 40);
    auto r = m.arena.Get<ims_iommu_hwpt_pgfault>(buf);
    EXPECT_EQ(r.flags, uint32_t(IMS_PGFAULT_LAST_PAGE | (pasid ? IMS_PGFAULT_PASID_VALID : 0)));
    EXPECT_EQ(r.dev_id, d.idev);
    EXPECT_EQ(r.pasid, pasid);
    EXPECT_EQ(r.grpid, 2u);
    EXPECT_EQ(r.perm, uint32_t(IMS_PGFAULT_READ | IMS_PGFAULT_WRITE));
    EXPECT_EQ(r.addr, 0xdead1000u);
    EXPECT_EQ(r.length, 0u);
    m.arena.Put(ims_iommu_hwpt_page_response{r.cookie, IMS_PAGE_RESPONSE_SUCCESS}, buf);
    EXPECT_EQ(ims_write(f, buf, 8, 0), 8);
    EXPECT_EQ(ims_write(f, buf, 8, 0), -EINVAL); // answered
  }
}

// ---- vIOMMUs ----------------------------------------------------------------------------------------------------------

TEST_F(SelftestDriver, Viommus) {
  WithViommu();
  EXPECT_EQ(c.Viommu(d.idev, 0), -ENOENT);
  EXPECT_EQ(c.Viommu(d.idev, d.hwpt), -EINVAL);
  EXPECT_EQ(c.Viommu(d.idev, parent, 0xdead), -EOPNOTSUPP);
  EXPECT_EQ(c.Viommu(99, parent), -ENOENT);
  EXPECT_EQ(c.Destroy(parent), -EBUSY);
  auto n = uint32_t(c.Nested(d.idev, viommu));
  EXPECT_EQ(c.Iotlb(n, 0, IMS_MOCK_IOTLB_DEFAULT), 0);
  EXPECT_EQ(c.Destroy(viommu), -EBUSY);
  EXPECT_EQ(c.Nested(d.idev, viommu, IMS_HWPT_NEST_PARENT), -EOPNOTSUPP);
  EXPECT_EQ(c.Replace(d.stdev, n), -ENOENT); // the device is not behind it yet
  EXPECT_EQ(c.Event(d.idev), -ENOENT);
  auto v = c.Vdevice(viommu, d.idev, 0x99);
  ASSERT_GT(v, 0);
  EXPECT_EQ(c.Vdevice(viommu, d.idev, 0x98), -EEXIST);
  EXPECT_EQ(c.Replace(d.stdev, n), n);
  EXPECT_EQ(c.Event(d.idev), -EOPNOTSUPP); // no queue

  ims_iommu_veventq_alloc q{};
  q.viommu_id = viommu;
  q.type = IMS_VEVENTQ_SELFTEST;
  q.veventq_depth = 2;
  ASSERT_EQ(c.Call(IMS_IOMMU_VEVENTQ_ALLOC, &q), 0);
  ims_file *f = ims_process_file(c.process, int(q.out_veventq_fd));
  ASSERT_NE(f, nullptr);
  EXPECT_EQ(c.Event(99), -ENOENT);
  for (int i = 0; i < 3; i++) // one too many
    EXPECT_EQ(c.Event(d.idev), 0);
  const uint64_t buf = Arena::kBase + 1024;
  ASSERT_EQ(ims_read(f, buf, 64, 0), 12 + 12 + 8);
  for (uint32_t i = 0; i < 3; i++) {
    auto h = m.arena.Get<ims_iommufd_vevent_header>(buf + 12 * i);
    EXPECT_EQ(h.sequence, i);
    EXPECT_EQ(h.flags, i == 2 ? uint32_t(IMS_VEVENT_LOST_EVENTS) : 0u);
    if (i < 2) {
      EXPECT_EQ(m.arena.Get<uint32_t>(buf + 12 * i + 8), 0x99u);
    }
  }
  EXPECT_EQ(c.Replace(d.stdev, parent), parent);
  EXPECT_EQ(c.Event(d.idev), -ENOENT); // not by way of it any more
  EXPECT_EQ(c.Destroy(d.stdev), 0);
  EXPECT_EQ(c.Destroy(uint32_t(v)), -ENOENT); // went with the device
}

TEST_F(SelftestDriver, InvalidationsOfAViommu) {
  using Inv = ims_iommu_viommu_invalidate_selftest;
  struct Row {
    std::vector<Inv> entries;
    uint32_t type, len;
    long result;
    uint32_t done, left; // words that are as they were, as bits
  };
  const uint32_t t = IMS_INVALIDATE_DATA_SELFTEST;
  WithViommu();
  for (const Row &r :
       {Row{{}, t, 12, 0, 0, 0xf}, Row{{}, t + 1, 12, -EINVAL, 0, 0xf}, Row{{{0, 0x99, 0}}, t + 1, 12, -EINVAL, 0, 0xf},
        Row{{{0, 0x99, 0}}, t, 1, -EINVAL, 0, 0xf}, // of device 0
        Row{{{0, 0x99, 0}}, t, 8, 0, 1, 0xe}, Row{{{0, 0x99, 0}}, t, 0, -EINVAL, 0, 0xf},
        Row{{{2, 0x99, 0}}, t, 12, -EOPNOTSUPP, 0, 0xf}, Row{{{0, 0x99, 4}}, t, 12, -EINVAL, 0, 0xf},
        Row{{{0, 0x9, 0}}, t, 12, -EINVAL, 0, 0xf}, Row{{{0, 0x99, 0}, {~0u, 0x99, 1}}, t, 12, -EOPNOTSUPP, 1, 0xe},
        Row{{{0, 0x99, 0}, {0, 0x99, 4}}, t, 12, -EINVAL, 1, 0xe}, Row{{{0, 0x99, 2}, {0, 0x99, 3}}, t, 12, 0, 2, 0x3},
        Row{{{1, 0x99, 0}}, t, 12, 0, 1, 0}}) {
    SelftestClient::Device e{};
    ASSERT_EQ(c.Mock(ioas, &e), 0);
    auto v = c.Vdevice(viommu, e.idev, 0x99);
    ASSERT_GT(v, 0);
    EXPECT_EQ(c.Invalidate(viommu, r.entries, r.type, r.len), r.result);
    EXPECT_EQ(c.done, r.done);
    for (uint32_t i = 0; i < IMS_MOCK_CACHES; i++)
      EXPECT_EQ(c.Cache(e.idev, i, r.left >> i & 1 ? IMS_MOCK_CACHE_DEFAULT : 0), 0) << i;
    EXPECT_EQ(c.Destroy(uint32_t(v)), 0);
    EXPECT_EQ(c.Destroy(e.stdev), 0);
  }
}

TEST_F(SelftestDriver, AViommuWithDataHasARegion) {
  WithViommu();
  const uint64_t before = ims_kernel_memory_in_use(m.kernel);
  auto alloc = [&](uint32_t len, uint64_t at) {
    ims_iommu_viommu_alloc a{};
    a.type = IMS_VIOMMU_SELFTEST;
    a.dev_id = d.idev;
    a.hwpt_id = parent;
    a.data_len = len;
    a.data_uptr = at;
    long ret = c.Call(IMS_IOMMU_VIOMMU_ALLOC, &a);
    return ret ? ret : long(a.out_viommu_id);
  };
  const uint64_t buf = Arena::kBase + 1024;
  m.arena.Put(ims_iommu_viommu_selftest{0xbeef, 0, 0, 0}, buf);
  EXPECT_EQ(alloc(7, buf), -EINVAL);
  EXPECT_EQ(alloc(25, buf), -EINVAL);
  EXPECT_EQ(alloc(24, 0x10), -EFAULT);
  EXPECT_EQ(ims_kernel_memory_in_use(m.kernel), before);
  long id = alloc(24, buf);
  ASSERT_GT(id, 0);
  auto s = m.arena.Get<ims_iommu_viommu_selftest>(buf);
  EXPECT_EQ(s.out_data, 0xbeefu);
  EXPECT_EQ(s.out_mmap_length, 2 * kPage);
  EXPECT_NE(s.out_mmap_offset, 0u);
  uint64_t cookie = 0;
  const unsigned rw = IMS_PROT_READ | IMS_PROT_WRITE;
  EXPECT_EQ(ims_file_mmap(c.iommu, s.out_mmap_offset + kPage, 2 * kPage, rw, true, &cookie), -ENXIO);
  EXPECT_EQ(ims_file_mmap(c.iommu, s.out_mmap_offset, kPage, rw, true, &cookie), -ENXIO);
  EXPECT_EQ(ims_file_mmap(c.iommu, s.out_mmap_offset, 4 * kPage, rw, true, &cookie), -ENXIO);
  EXPECT_EQ(ims_file_mmap(c.iommu, s.out_mmap_offset, 2 * kPage, rw, false, &cookie), -EINVAL);
  EXPECT_EQ(ims_file_mmap(c.iommu, s.out_mmap_offset, 2 * kPage, rw | IMS_PROT_EXEC, true, &cookie), -EPERM);
  ASSERT_EQ(ims_file_mmap(c.iommu, s.out_mmap_offset, 2 * kPage, rw, true, &cookie), 0);
  EXPECT_EQ(uint32_t(m.Load(cookie)), 0xbeefu);
  EXPECT_EQ(c.Destroy(uint32_t(id)), -EBUSY);
  EXPECT_EQ(ims_file_munmap(c.iommu, cookie), 0);
  EXPECT_EQ(ims_file_munmap(c.iommu, cookie), -EINVAL);
  EXPECT_EQ(c.Destroy(uint32_t(id)), 0);
  EXPECT_EQ(ims_file_mmap(c.iommu, s.out_mmap_offset, 2 * kPage, rw, true, &cookie), -ENXIO);
  EXPECT_EQ(ims_kernel_memory_in_use(m.kernel), before);
}

TEST_F(SelftestDriver, HwQueues) {
  WithViommu();
  uint64_t va = c.Memory(4 * kPage), iova = kAperture;
  EXPECT_EQ(c.HwQueue(viommu, 0, iova), -ENOENT);
  ASSERT_EQ(c.Map(ioas, iova, va, kPage), 0);
  ASSERT_EQ(c.Map(ioas, iova + kPage, va + 3 * kPage, kPage), 0); // not its neighbour in memory
  ASSERT_NE(c.Hpa(va + 3 * kPage), c.Hpa(va) + kPage);
  EXPECT_EQ(c.HwQueue(viommu, 0, iova, kPage, 0), -EOPNOTSUPP);
  EXPECT_EQ(c.HwQueue(viommu, 0, iova, kPage, 1), -EOPNOTSUPP);
  EXPECT_EQ(c.HwQueue(viommu, 0, iova, 0), -EINVAL);
  EXPECT_EQ(c.HwQueue(viommu, 0, ~0ull, kPage), -EOVERFLOW);
  EXPECT_EQ(c.HwQueue(viommu, 1, iova), -EIO); // not before the first
  EXPECT_EQ(c.HwQueue(viommu, IMS_MOCK_HW_QUEUES, iova), -EINVAL);
  EXPECT_EQ(c.HwQueue(viommu, 0, iova, 2 * kPage), -EFAULT);
  auto q = c.HwQueue(viommu, 0, iova);
  ASSERT_GT(q, 0);
  EXPECT_EQ(c.HwQueue(viommu, 0, iova), -EEXIST);
  EXPECT_EQ(c.Unmap(ioas, iova, kPage), -EBUSY);
  EXPECT_EQ(c.Unmap(ioas, iova + kPage, kPage), 0);
  auto r = c.HwQueue(viommu, 1, iova + kPage / 2, kPage / 2);
  ASSERT_GT(r, 0);
  EXPECT_EQ(c.Destroy(viommu), -EBUSY);
  EXPECT_EQ(c.Destroy(uint32_t(q)), -EBUSY);
  EXPECT_EQ(c.Destroy(uint32_t(r)), 0);
  EXPECT_EQ(c.Destroy(uint32_t(q)), 0);
  EXPECT_EQ(c.Unmap(ioas, iova, kPage), 0);
  EXPECT_EQ(c.CheckRefs(va, 4 * kPage, 0), 0);
}

// ---- Buffers that are taken back --------------------------------------------------------------------------------------

TEST_F(SelftestDriver, Dmabufs) {
  WithDevice();
  auto map = [&](uint32_t fd, uint64_t start, uint64_t length, uint64_t iova) {
    ims_iommu_ioas_map_file f{};
    f.flags = IMS_IOAS_MAP_FIXED_IOVA | IMS_IOAS_MAP_READABLE | IMS_IOAS_MAP_WRITEABLE;
    f.ioas_id = ioas;
    f.fd = fd;
    f.start = start;
    f.length = length;
    f.iova = iova;
    return c.Call(IMS_IOMMU_IOAS_MAP_FILE, &f);
  };
  EXPECT_EQ(c.Dmabuf(0), -EINVAL);
  EXPECT_EQ(c.Dmabuf(512 * kPage + 1), -EINVAL);
  int64_t fd = c.Dmabuf(4 * kPage - 7); // whole pages
  ASSERT_GE(fd, 3);
  auto b = uint32_t(fd);
  EXPECT_EQ(map(b, 0, 0, kAperture), -EINVAL);
  EXPECT_EQ(map(b, 4 * kPage, 4 * kPage, kAperture), -EINVAL);
  EXPECT_EQ(map(b, 0, 5 * kPage, kAperture), -EINVAL);
  EXPECT_EQ(map(b, 0, 4 * kPage, kAperture), 0);
  EXPECT_EQ(c.Revoke(99, true), -EBADF);
  EXPECT_EQ(c.Revoke(uint32_t(ims_file_fd(c.iommu)), true), -EINVAL);
  EXPECT_EQ(c.Revoke(b, true), 0);
  EXPECT_GT(c.Hwpt(d.idev, ioas), 0); // a new table without it
  EXPECT_EQ(map(b, 0, 4 * kPage, kAperture + 8 * kPage), -ENODEV);
  EXPECT_EQ(c.Revoke(b, false), 0);
  EXPECT_EQ(map(b, 0, 4 * kPage, kAperture + 8 * kPage), 0);
  EXPECT_EQ(c.Unmap(ioas, kAperture, 4 * kPage), 0);
  EXPECT_EQ(map(b, 0, 4 * kPage, kAperture), 0);
  auto access = c.Access(ioas);
  ASSERT_GE(access, 3);
  EXPECT_EQ(c.Pin(uint32_t(access), kAperture, kPage, 0), -EINVAL); // no pages that the kernel could look into
  EXPECT_EQ(ims_close(ims_process_file(c.process, int(fd))), 0);
  EXPECT_EQ(c.Unmap(ioas, 0, ~0ull), 0);
}

} // namespace
