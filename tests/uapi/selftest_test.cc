// SPDX-License-Identifier: Apache-2.0
// The kernel's self-test of iommufd: every op of IOMMU_TEST_CMD with what it answers, and the behaviour of the core that the
// kernel's own tests look for by way of it (facts 6).
#include "tests/uapi/selftest_client.h"

using namespace uapi_test;

namespace {

constexpr uint64_t kAperture = IMS_MOCK_APERTURE_FIRST, kMockPage = IMS_MOCK_PAGE;

class Selftest : public testing::Test {
protected:
  Machine m{IMS_DIALECT_V7, SelftestOn};
  SelftestClient c{m};
};

// ---- The switch and the dispatcher's rules ----------------------------------------------------------------------------

TEST(SelftestOff, IsAnUnknownIoctl) {
  Machine m;
  SelftestClient c(m);
  ims_iommu_test_cmd cmd{};
  EXPECT_EQ(c.Test(IMS_TEST_OP_MOCK_DOMAIN, &cmd), -ENOTTY);
}

TEST_F(Selftest, ObeysTheRulesOfAllCommands) {
  struct {
    ims_iommu_test_cmd cmd;
    uint32_t extra;
  } c2{};
  c2.cmd.op = IMS_TEST_OP_SET_TEMP_MEMORY_LIMIT;
  c2.cmd.body[0] = 12; // the limit
  auto call = [&](uint32_t size, uint32_t extra, uint32_t word = IMS_IOMMU_TEST_CMD) {
    c2.cmd.size = size;
    c2.extra = extra;
    return ims_ioctl(c.iommu, word, m.arena.Put(c2));
  };
  EXPECT_EQ(call(67, 0), -EINVAL);
  EXPECT_EQ(call(68, 0), 0);
  EXPECT_EQ(call(72, 0), 0);
  EXPECT_EQ(call(76, 0), 0);
  EXPECT_EQ(call(76, 1), -E2BIG);
  EXPECT_EQ(call(72, 0, 0xc0003ba0), -ENOTTY);
  EXPECT_EQ(ims_ioctl(c.iommu, IMS_IOMMU_TEST_CMD, 0), -EFAULT);
  EXPECT_EQ(ims_ioctl(c.iommu, 0x3b9f, m.arena.Put(c2)), -ENOTTY); // a hole of the table before it
  ims_iommu_test_cmd none{};
  EXPECT_EQ(c.Test(0, &none), -EOPNOTSUPP);
  EXPECT_EQ(c.Test(24, &none), -EOPNOTSUPP);
  ims_iommu_test_memory_limit limit{};
  limit.limit = 11;
  EXPECT_EQ(c.Test(IMS_TEST_OP_SET_TEMP_MEMORY_LIMIT, &limit), -EINVAL);
}

// ---- Mock devices -----------------------------------------------------------------------------------------------------

TEST_F(Selftest, AMockDeviceIsThreeObjects) {
  const uint64_t before = ims_kernel_memory_in_use(m.kernel);
  uint32_t ioas = c.Ioas();
  SelftestClient::Device d{};
  ASSERT_EQ(c.Mock(ioas, &d), 0);
  EXPECT_EQ(d.stdev, 2u);
  EXPECT_EQ(d.idev, 3u);
  EXPECT_EQ(d.hwpt, 4u);
  for (uint32_t i = 0; i < IMS_MOCK_CACHES; i++)
    EXPECT_EQ(c.Cache(d.idev, i, IMS_MOCK_CACHE_DEFAULT), 0);
  EXPECT_EQ(c.Cache(d.idev, 0, 1), -EINVAL);
  EXPECT_EQ(c.Cache(d.idev, IMS_MOCK_CACHES, IMS_MOCK_CACHE_DEFAULT), -EINVAL);
  EXPECT_EQ(c.Cache(ioas, 0, IMS_MOCK_CACHE_DEFAULT), -ENOENT);
  EXPECT_EQ(c.Destroy(d.idev), -EBUSY);
  EXPECT_EQ(c.Destroy(d.hwpt), -EBUSY);
  EXPECT_EQ(c.Destroy(ioas), -EBUSY);
  EXPECT_EQ(c.Destroy(d.stdev), 0);
  EXPECT_EQ(c.Destroy(d.idev), -ENOENT);
  EXPECT_EQ(c.Destroy(d.hwpt), -ENOENT); // the automatic table
  EXPECT_EQ(c.Destroy(ioas), 0);
  EXPECT_EQ(ims_kernel_memory_in_use(m.kernel), before);
}

TEST_F(Selftest, AMockDeviceThatCannotBe) {
  uint32_t ioas = c.Ioas();
  EXPECT_EQ(c.Mock(99), -ENOENT);
  EXPECT_EQ(c.Mock(ioas, nullptr, 2), -EINVAL); // no such flag
  SelftestClient::Device d{};
  ASSERT_EQ(c.Mock(ioas, &d), 0);
  EXPECT_EQ(d.stdev, 2u); // nothing is left of those that failed
  EXPECT_EQ(c.Mock(d.idev), -EINVAL);
  m.arena.read_only = true;
  EXPECT_EQ(c.Mock(ioas), -EFAULT);
  m.arena.read_only = false;
  EXPECT_EQ(c.Destroy(d.stdev), 0);
  EXPECT_EQ(c.Destroy(ioas), 0);
}

// The mock's devices are no reason for the context to stay.
TEST_F(Selftest, ClosingTheFileTakesAllWithIt) {
  uint64_t va = c.Memory(4 * kPage);
  uint32_t ioas = c.Ioas();
  SelftestClient::Device d{};
  ASSERT_EQ(c.Mock(ioas, &d, IMS_MOCK_DEVICE_PASID), 0);
  ASSERT_EQ(c.Map(ioas, kAperture, va, 4 * kPage), 0);
  int64_t table = c.Hwpt(d.idev, ioas, IMS_HWPT_PASID);
  ASSERT_GT(table, 0);
  ASSERT_EQ(c.Replace(d.stdev, uint32_t(table)), table);
  ASSERT_EQ(c.Pasid(IMS_TEST_OP_PASID_ATTACH, d.stdev, 5, uint32_t(table)), 0);
  EXPECT_EQ(c.CheckRefs(va, 4 * kPage, 1), 0);
  EXPECT_EQ(ims_close(c.iommu), 0);
  ASSERT_GE(ims_open(c.process, "/dev/iommu", &c.iommu), 3);
  EXPECT_EQ(c.CheckRefs(va, 4 * kPage, 0), 0);
}

TEST_F(Selftest, HardwareInformation) {
  SelftestClient::Device d{}, p{};
  uint32_t ioas = c.Ioas();
  ASSERT_EQ(c.Mock(ioas, &d, IMS_MOCK_DEVICE_NO_DIRTY), 0);
  ASSERT_EQ(c.Mock(ioas, &p, IMS_MOCK_DEVICE_PASID), 0);
  struct Row {
    uint32_t flags, type, len;
    long result;
    uint32_t words[2];
  };
  for (const Row &r : {Row{0, 0, 8, 0, {0, 0xdeadbeef}}, Row{0, 77, 8, 0, {0, 0xdeadbeef}},
                       Row{IMS_HW_INFO_INPUT_TYPE, IMS_HW_INFO_SELFTEST, 8, 0, {0, 0xdeadbeef}},
                       Row{IMS_HW_INFO_INPUT_TYPE, IMS_HW_INFO_SELFTEST + 1, 8, -EOPNOTSUPP, {7, 7}},
                       Row{0, 0, 4, 0, {0, 7}}, Row{0, 0, 0, 0, {7, 7}}}) {
    ims_iommu_test_hw_info info{7, 7};
    ims_iommu_hw_info h{};
    h.flags = r.flags;
    h.dev_id = d.idev;
    h.data_len = r.len;
    h.data_type = r.type;
    h.data_uptr = m.arena.Put(info, Arena::kBase + 1024);
    ASSERT_EQ(c.Call(IMS_IOMMU_GET_HW_INFO, &h), r.result);
    info = m.arena.Get<ims_iommu_test_hw_info>(Arena::kBase + 1024);
    EXPECT_EQ(info.flags, r.words[0]);
    EXPECT_EQ(info.test_reg, r.words[1]);
    if (r.result)
      continue;
    EXPECT_EQ(h.data_type, IMS_HW_INFO_SELFTEST);
    EXPECT_EQ(h.data_len, 8u);
    EXPECT_EQ(h.out_max_pasid_log2, 0);
    EXPECT_EQ(h.out_capabilities, uint64_t(IMS_HW_CAP_ATS_NOT_SUPPORTED));
  }
  ims_iommu_hw_info h{};
  h.dev_id = p.idev;
  ASSERT_EQ(c.Call(IMS_IOMMU_GET_HW_INFO, &h), 0);
  EXPECT_EQ(h.out_max_pasid_log2, IMS_MOCK_PASID_BITS);
  EXPECT_EQ(h.out_capabilities, uint64_t(IMS_HW_CAP_DIRTY_TRACKING | IMS_HW_CAP_ATS_NOT_SUPPORTED));
}

// ---- Address spaces under the mock ------------------------------------------------------------------------------------

TEST_F(Selftest, TheAperturesHolesAreReserved) {
  uint32_t ioas = c.Ioas();
  uint64_t va = c.Memory(4 * kPage);
  SelftestClient::Device d{};
  ASSERT_EQ(c.Mock(ioas, &d), 0);
  EXPECT_EQ(c.Map(ioas, kAperture - kPage, va, kPage), -EINVAL);
  EXPECT_EQ(c.Map(ioas, uint64_t(IMS_MOCK_APERTURE_LAST) + 1 - kPage, va, 2 * kPage), -EINVAL);
  EXPECT_EQ(c.Map(ioas, uint64_t(IMS_MOCK_APERTURE_LAST) + 1 - kPage, va, kPage), 0);
  EXPECT_EQ(c.Map(ioas, kAperture, va, kMockPage / 2), -EINVAL);
  EXPECT_EQ(c.Map(ioas, kAperture + kMockPage, va + kMockPage, kMockPage), 0);
  EXPECT_EQ(c.CheckMap(d.hwpt, kAperture + kMockPage, kMockPage, va + kMockPage), 0);
}

TEST_F(Selftest, ReservedRanges) {
  uint32_t ioas = c.Ioas();
  uint64_t va = c.Memory(kPage);
  ASSERT_EQ(c.Map(ioas, 8 * kPage, va, kPage), 0);
  struct Row {
    uint32_t ioas;
    uint64_t start, length;
    long result;
  };
  for (const Row &r :
       {Row{ioas, 4 * kPage, 0, -EINVAL}, Row{ioas, ~0ull, 2, -EOVERFLOW}, Row{99, 4 * kPage, kPage, -ENOENT},
        Row{ioas, 4 * kPage, 8 * kPage, -EADDRINUSE}, Row{ioas, 4 * kPage, kPage, 0}})
    EXPECT_EQ(c.Reserve(r.ioas, r.start, r.length), r.result) << r.start << " " << r.length;
  EXPECT_EQ(c.Map(ioas, 4 * kPage, va, kPage), -EINVAL);
  EXPECT_EQ(c.Map(ioas, 5 * kPage, va, kPage), 0);
}

TEST_F(Selftest, WhatIsMappedIsThePageBehindTheAddress) {
  uint32_t ioas = c.Ioas();
  uint64_t va = c.Memory(8 * kPage);
  SelftestClient::Device d{}, e{};
  ASSERT_EQ(c.Map(ioas, kAperture, va, 8 * kPage), 0); // before there is a table
  ASSERT_EQ(c.Mock(ioas, &d), 0);
  ASSERT_EQ(c.Mock(ioas, &e), 0);
  for (uint32_t hwpt : {d.hwpt, e.hwpt}) {
    EXPECT_EQ(c.CheckMap(hwpt, kAperture, 8 * kPage, va), 0);
    EXPECT_EQ(c.CheckMap(hwpt, kAperture + kMockPage, kPage, va + kMockPage), 0);
    EXPECT_EQ(c.CheckMap(hwpt, kAperture, kPage, va + kPage), -EINVAL);
    EXPECT_EQ(c.CheckMap(hwpt, kAperture + 8 * kPage, kPage, va), -EINVAL); // nothing there
  }
  EXPECT_EQ(c.CheckMap(d.hwpt, kAperture, 2 * kPage, va + 7 * kPage), -EINVAL);
  EXPECT_EQ(c.CheckMap(d.hwpt, kAperture + 7 * kPage, 2 * kPage, va + 7 * kPage), -EFAULT); // behind the memory
  EXPECT_EQ(c.CheckMap(d.hwpt, kAperture + 1, kPage, va), -EINVAL);
  EXPECT_EQ(c.CheckMap(d.hwpt, kAperture, kPage + 1, va), -EINVAL);
  EXPECT_EQ(c.CheckMap(d.hwpt, kAperture, kPage, va + 1), -EINVAL);
  EXPECT_EQ(c.CheckMap(d.hwpt, kAperture, kPage, ~0ull - kMockPage + 1), -EINVAL);
  EXPECT_EQ(c.CheckMap(ioas, kAperture, kPage, va), -ENOENT);
}

TEST_F(Selftest, PagesArePinnedOnceHoweverManyNeedThem) {
  uint32_t ioas = c.Ioas();
  uint64_t va = c.Memory(4 * kPage);
  ASSERT_EQ(c.Map(ioas, kAperture, va + kMockPage, 2 * kPage), 0);
  EXPECT_EQ(c.CheckRefs(va, 4 * kPage, 0), 0); // nobody needs them
  SelftestClient::Device d{}, e{};
  ASSERT_EQ(c.Mock(ioas, &d), 0);
  ASSERT_EQ(c.Mock(ioas, &e), 0);
  EXPECT_EQ(c.CheckRefs(va, 3 * kPage, 1), 0);
  EXPECT_EQ(c.CheckRefs(va + 3 * kPage, kPage, 0), 0);
  EXPECT_EQ(c.CheckRefs(va, kPage, 0), -EIO);
  EXPECT_EQ(c.CheckRefs(va, 4 * kPage, 1), -EIO);
  EXPECT_EQ(c.Map(ioas, kAperture + 8 * kPage, va, kPage), 0); // other pages of an address space: another pin
  EXPECT_EQ(c.CheckRefs(va, kPage, 2), 0);
  EXPECT_EQ(c.Unmap(ioas, kAperture, 2 * kPage), 0);
  EXPECT_EQ(c.CheckRefs(va, kPage, 1), 0);
  EXPECT_EQ(c.CheckRefs(va + kPage, kPage, 0), 0);
  EXPECT_EQ(c.CheckRefs(va + 1, kPage, 0), -EINVAL);
  EXPECT_EQ(c.CheckRefs(va, 1, 0), -EINVAL);
  EXPECT_EQ(c.CheckRefs(~0ull - kPage + 1, kPage, 0), -EINVAL);
  EXPECT_EQ(c.CheckRefs(va + 4 * kPage, kPage, 0), -EFAULT);
  EXPECT_EQ(c.Destroy(d.stdev), 0);
  EXPECT_EQ(c.CheckRefs(va, kPage, 1), 0);
  EXPECT_EQ(c.Destroy(e.stdev), 0);
  EXPECT_EQ(c.CheckRefs(va, kPage, 0), 0);
}

// Every place and length within a few pages.
TEST_F(Selftest, PiecesOfPages) {
  uint32_t ioas = c.Ioas();
  const uint64_t size = 8 * kPage, va = c.Memory(size);
  SelftestClient::Device d{};
  ASSERT_EQ(c.Mock(ioas, &d), 0);
  const uint32_t flags = IMS_IOAS_MAP_READABLE | IMS_IOAS_MAP_WRITEABLE; // anywhere
  for (uint64_t start = 0; start < size; start += kMockPage)
    for (uint64_t end = start + kMockPage; end <= size; end += kMockPage) {
      ASSERT_EQ(c.Map(ioas, 0, va + start, end - start, flags), 0) << start << " " << end;
      const uint64_t iova = c.mapped_at, first = start / kPage * kPage, last = (end + kPage - 1) / kPage * kPage;
      EXPECT_EQ(iova % kPage, start % kPage);
      ASSERT_EQ(c.CheckMap(d.hwpt, iova, end - start, va + start), 0) << start << " " << end;
      ASSERT_EQ(c.CheckRefs(va + first, last - first, 1), 0) << start << " " << end;
      if (first) {
        ASSERT_EQ(c.CheckRefs(va, first, 0), 0);
      }
      ASSERT_EQ(c.Unmap(ioas, iova, end - start), 0);
      ASSERT_EQ(c.CheckRefs(va, size, 0), 0);
    }
}

// ---- In-kernel accesses -----------------------------------------------------------------------------------------------

TEST_F(Selftest, AnAccessIsAFileThatKeepsItsAddressSpace) {
  uint32_t ioas = c.Ioas();
  EXPECT_EQ(c.Access(99), -ENOENT);
  EXPECT_EQ(c.Access(ioas, 2), -EOPNOTSUPP);
  m.arena.read_only = true;
  EXPECT_EQ(c.Access(ioas), -EFAULT);
  m.arena.read_only = false;
  int64_t fd = c.Access(ioas);
  ASSERT_GE(fd, 3);
  ims_file *f = ims_process_file(c.process, int(fd));
  ASSERT_NE(f, nullptr);
  EXPECT_EQ(ims_file_kind(f), unsigned(IMS_FILE_OTHER));
  EXPECT_EQ(c.Destroy(2), -EBUSY); // the access
  EXPECT_EQ(c.Destroy(ioas), -EBUSY);
  EXPECT_EQ(ims_close(f), 0);
  EXPECT_EQ(c.Destroy(2), -ENOENT);
  EXPECT_EQ(c.Destroy(ioas), 0);
}

// The access keeps the context, as it is not the context's own.
TEST_F(Selftest, AnAccessOutlivesTheDescriptorOfTheContext) {
  uint32_t ioas = c.Ioas();
  uint64_t va = c.Memory(2 * kPage);
  ASSERT_EQ(c.Map(ioas, kAperture, va, 2 * kPage), 0);
  int64_t fd = c.Access(ioas);
  ASSERT_EQ(c.Pin(uint32_t(fd), kAperture, 2 * kPage, va), 0);
  ASSERT_EQ(ims_close(c.iommu), 0);
  ASSERT_GE(ims_open(c.process, "/dev/iommu", &c.iommu), 3);
  EXPECT_EQ(c.CheckRefs(va, 2 * kPage, 1), 0);
  EXPECT_EQ(ims_close(ims_process_file(c.process, int(fd))), 0);
  EXPECT_EQ(c.CheckRefs(va, 2 * kPage, 0), 0);
}

TEST_F(Selftest, AnAccessPinsPages) {
  uint32_t ioas = c.Ioas();
  uint64_t va = c.Memory(8 * kPage);
  ASSERT_EQ(c.Map(ioas, kAperture, va, 4 * kPage), 0);
  ASSERT_EQ(
      c.Map(ioas, kAperture + 4 * kPage, va + 4 * kPage, 4 * kPage, IMS_IOAS_MAP_FIXED_IOVA | IMS_IOAS_MAP_READABLE),
      0);
  auto fd = uint32_t(c.Access(ioas)), other = uint32_t(c.Access(ioas, 0));
  struct Row {
    const char *what;
    uint32_t fd;
    uint64_t iova, length, uptr;
    uint32_t flags;
    int64_t result;
  };
  for (const Row &r :
       {Row{"too much", fd, kAperture, 16 * kMB + 1, va, 0, -ENOMEM},
        Row{"flag", fd, kAperture, kPage, va, 2, -EOPNOTSUPP},
        Row{"no descriptor", 77, kAperture, kPage, va, 0, -EBADFD},
        Row{"the iommufd", uint32_t(ims_file_fd(c.iommu)), kAperture, kPage, va, 0, -EBADFD},
        Row{"does not pin", other, kAperture, kPage, va, 0, -EOPNOTSUPP},
        Row{"nothing", fd, kAperture, 0, va, 0, -EINVAL},
        Row{"beyond the end of all", fd, ~0ull - 15, 32, 0, 0, -EOVERFLOW},
        Row{"not mapped", fd, kAperture + 8 * kPage, kPage, va, 0, -ENOENT},
        Row{"its end is not mapped", fd, kAperture + 7 * kPage, 2 * kPage, 0, 0, -ENOENT},
        Row{"not a page", fd, kAperture + 8, kPage - 8, va + 8, 0, -EINVAL},
        Row{"read-only", fd, kAperture + 4 * kPage, kPage, va + 4 * kPage, IMS_MOCK_ACCESS_WRITE, -EPERM},
        Row{"read-only at its end", fd, kAperture + 3 * kPage, 2 * kPage, 0, IMS_MOCK_ACCESS_WRITE, -EPERM},
        Row{"other pages", fd, kAperture, 2 * kPage, va + kPage, 0, -EBADE},
        Row{"no memory there", fd, kAperture, kPage, va + 64 * kPage, 0, -EFAULT}}) {
    EXPECT_EQ(c.Pin(r.fd, r.iova, r.length, r.uptr, r.flags), r.result) << r.what;
    EXPECT_EQ(c.CheckRefs(va, 8 * kPage, 0), 0) << r.what;
  }
  EXPECT_EQ(c.Pin(fd, kAperture, 2 * kPage, va, IMS_MOCK_ACCESS_WRITE), 0);
  EXPECT_EQ(c.CheckRefs(va, 2 * kPage, 1), 0);
  EXPECT_EQ(c.CheckRefs(va + 2 * kPage, 6 * kPage, 0), 0);
  EXPECT_EQ(c.Pin(fd, kAperture + kPage, 4 * kPage, va + kPage), 1); // over both areas
  EXPECT_EQ(c.Pin(fd, kAperture + 6 * kPage, 8, 0), 2);              // whatever it is
  EXPECT_EQ(c.CheckRefs(va, 5 * kPage, 1), 0);
  EXPECT_EQ(c.CheckRefs(va + 6 * kPage, kPage, 1), 0);
  EXPECT_EQ(c.Unpin(fd, 0), 0);
  EXPECT_EQ(c.CheckRefs(va, kPage, 0), 0);
  EXPECT_EQ(c.CheckRefs(va + kPage, 4 * kPage, 1), 0);
  EXPECT_EQ(c.Unpin(fd, 0), -ENOENT);
  EXPECT_EQ(c.Unpin(other, 1), -ENOENT);
  EXPECT_EQ(c.Unpin(99, 1), -EBADFD);
  m.arena.read_only = true;
  EXPECT_EQ(c.Pin(fd, kAperture, kPage, va), -EFAULT);
  m.arena.read_only = false;
  EXPECT_EQ(c.CheckRefs(va, kPage, 0), 0);
  // An UNMAP takes what is pinned.
  EXPECT_EQ(c.Unmap(ioas, kAperture, 4 * kPage), 0);
  EXPECT_EQ(c.Unpin(fd, 1), -ENOENT);
  EXPECT_EQ(c.CheckRefs(va, 6 * kPage, 0), 0);
  EXPECT_EQ(c.CheckRefs(va + 6 * kPage, kPage, 1), 0);
}

TEST_F(Selftest, PinsOfAnAccessAndOfATableAreOne) {
  uint32_t ioas = c.Ioas();
  uint64_t va = c.Memory(4 * kPage);
  ASSERT_EQ(c.Map(ioas, kAperture, va, 4 * kPage), 0);
  auto fd = uint32_t(c.Access(ioas));
  ASSERT_EQ(c.Pin(fd, kAperture + kPage, 2 * kPage, va + kPage), 0);
  SelftestClient::Device d{};
  ASSERT_EQ(c.Mock(ioas, &d), 0);
  EXPECT_EQ(c.CheckRefs(va, 4 * kPage, 1), 0);
  EXPECT_EQ(c.CheckMap(d.hwpt, kAperture, 4 * kPage, va), 0);
  ASSERT_EQ(c.Destroy(d.stdev), 0);
  EXPECT_EQ(c.CheckRefs(va, kPage, 0), 0);
  EXPECT_EQ(c.CheckRefs(va + kPage, 2 * kPage, 1), 0);
  EXPECT_EQ(c.CheckRefs(va + 3 * kPage, kPage, 0), 0);
}

TEST_F(Selftest, AnAccessThatPinsWantsWholePages) {
  uint32_t ioas = c.Ioas();
  uint64_t va = c.Memory(4 * kPage);
  ASSERT_EQ(c.Map(ioas, kAperture + kMockPage, va, kPage), 0);
  EXPECT_EQ(c.Access(ioas), -EADDRINUSE);
  auto fd = c.Access(ioas, 0);
  EXPECT_GE(fd, 3);
  ASSERT_EQ(c.Unmap(ioas, 0, ~0ull), 0);
  EXPECT_GE(c.Access(ioas), 3);
  EXPECT_EQ(c.Map(ioas, kAperture + kMockPage, va, kPage), -EINVAL); // from now on
}

TEST_F(Selftest, AnAccessCopies) {
  uint32_t ioas = c.Ioas();
  uint64_t va = c.Memory(4 * kPage), buf = Arena::kBase + 1024;
  ASSERT_EQ(c.Map(ioas, kAperture, va, 2 * kPage), 0);
  ASSERT_EQ(c.Map(ioas, kAperture + 2 * kPage, va + 2 * kPage, kPage, IMS_IOAS_MAP_FIXED_IOVA | IMS_IOAS_MAP_READABLE),
            0);
  ASSERT_EQ(c.Map(ioas, kAperture + 3 * kPage, va + 3 * kPage, kPage, IMS_IOAS_MAP_FIXED_IOVA | IMS_IOAS_MAP_WRITEABLE),
            0);
  auto fd = uint32_t(c.Access(ioas, 0));
  struct Row {
    const char *what;
    uint32_t fd;
    uint64_t iova, length, uptr;
    uint32_t flags;
    long result;
  };
  const uint32_t w = IMS_MOCK_RW_WRITE;
  for (const Row &r :
       {Row{"too much", fd, kAperture, 16 * kMB + 1, buf, 0, -ENOMEM},
        Row{"flag", fd, kAperture, 8, buf, 2, -EOPNOTSUPP}, Row{"no descriptor", 99, kAperture, 8, buf, 0, -EBADFD},
        Row{"nothing", fd, kAperture, 0, buf, 0, -EINVAL},
        Row{"beyond the end of all", fd, ~0ull - 3, 8, buf, 0, -EOVERFLOW},
        Row{"not mapped", fd, kAperture + 4 * kPage, 8, buf, 0, -ENOENT},
        Row{"its end is not mapped", fd, kAperture + 4 * kPage - 4, 8, buf, w | IMS_MOCK_RW_SLOW_PATH, -ENOENT},
        Row{"read-only", fd, kAperture + 2 * kPage, 8, buf, w, -EPERM},
        Row{"write-only", fd, kAperture + 3 * kPage, 8, buf, 0, -EPERM},
        Row{"bad pointer, read", fd, kAperture, 8, 0x10, 0, -EFAULT},
        Row{"bad pointer, write", fd, kAperture, 8, 0x10, w, -EFAULT}})
    EXPECT_EQ(c.Rw(r.fd, r.iova, r.length, r.uptr, r.flags), r.result) << r.what;

  EXPECT_EQ(c.CheckRefs(va, 4 * kPage, 0), 0);
}

// By way of the program's addresses, which is the usual way, and by the pages.
TEST_F(Selftest, WhatAnAccessCopiesIsWhatTheMemoryHolds) {
  uint32_t ioas = c.Ioas();
  uint64_t va = c.Memory(2 * kPage), arg = c.Memory(kPage), buf = arg + 1024;
  ASSERT_EQ(c.Map(ioas, kAperture, va, 2 * kPage), 0);
  auto fd = uint32_t(c.Access(ioas, 0));
  ims_process_set_user(c.process, nullptr); // from here on all is in simulated memory
  auto rw = [&](uint64_t iova, uint64_t length, uint32_t flags) {
    ims_iommu_test_access_rw r{};
    r.size = sizeof r;
    r.op = IMS_TEST_OP_ACCESS_RW;
    r.id = fd;
    r.iova = iova;
    r.length = length;
    r.uptr = buf;
    r.flags = flags;
    EXPECT_EQ(ims_process_write(c.process, arg, &r, sizeof r), 0);
    return ims_ioctl(c.iommu, IMS_IOMMU_TEST_CMD, arg);
  };
  for (uint32_t slow : {0u, uint32_t(IMS_MOCK_RW_SLOW_PATH)})
    for (uint64_t length : {1, 7, 64, 200})
      for (uint64_t at = kPage - 100; at < kPage + 20; at += 9) { // over the end of a page
        std::vector<uint8_t> out(length), in(length), mem(length), zero(length);
        for (uint64_t i = 0; i < length; i++)
          out[i] = uint8_t(i * 7 + at + length + slow);
        ASSERT_EQ(ims_process_write(c.process, buf, out.data(), length), 0);
        ASSERT_EQ(rw(kAperture + at, length, IMS_MOCK_RW_WRITE | slow), 0);
        ASSERT_EQ(ims_process_read(c.process, va + at, mem.data(), length), 0);
        ASSERT_EQ(mem, out);
        ASSERT_EQ(ims_process_write(c.process, buf, zero.data(), length), 0);
        ASSERT_EQ(rw(kAperture + at, length, slow), 0);
        ASSERT_EQ(ims_process_read(c.process, buf, in.data(), length), 0);
        ASSERT_EQ(in, out);
      }
}

TEST_F(Selftest, AnAccessMovesToAnotherAddressSpace) {
  uint32_t from = c.Ioas(), to = c.Ioas();
  uint64_t va = c.Memory(4 * kPage);
  ASSERT_EQ(c.Map(from, kAperture, va, kPage), 0);
  ASSERT_EQ(c.Map(to, kAperture, va + kPage, kPage), 0);
  auto fd = uint32_t(c.Access(from));
  ASSERT_EQ(c.Pin(fd, kAperture, kPage, va), 0);
  EXPECT_EQ(c.MoveAccess(fd, 99), -ENOENT);
  EXPECT_EQ(c.MoveAccess(99, to), -EBADFD);
  EXPECT_EQ(c.MoveAccess(fd, from), 0);
  EXPECT_EQ(c.CheckRefs(va, kPage, 1), 0);
  EXPECT_EQ(c.MoveAccess(fd, to), 0);
  EXPECT_EQ(c.CheckRefs(va, kPage, 0), 0); // what it had pinned is free
  EXPECT_EQ(c.Unpin(fd, 0), -ENOENT);
  EXPECT_EQ(c.Destroy(from), 0);
  EXPECT_EQ(c.Destroy(to), -EBUSY);
  EXPECT_EQ(c.Pin(fd, kAperture, kPage, va + kPage), 1);
  uint32_t odd = c.Ioas();
  ASSERT_EQ(c.Map(odd, kAperture + kMockPage, va, kPage), 0);
  EXPECT_EQ(c.MoveAccess(fd, odd), -EADDRINUSE);
  EXPECT_EQ(c.CheckRefs(va + kPage, kPage, 1), 0); // as before
}

} // namespace
