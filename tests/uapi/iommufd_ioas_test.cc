// SPDX-License-Identifier: Apache-2.0
// Address spaces of iommufd: where areas may lie, how they are mapped, copied and unmapped, with every errno and the order in
// which they are found. After each call what must hold is looked at.
#include "tests/uapi/iommufd_client.h"
#include <map>
#include <random>

namespace uapi_test {
namespace {

constexpr uint64_t kAll = ~0ull;
constexpr uint32_t kFixed = IMS_IOAS_MAP_FIXED_IOVA, kWrite = IMS_IOAS_MAP_WRITEABLE, kRead = IMS_IOAS_MAP_READABLE;
constexpr uint32_t kFixedRw = kFixed | kWrite | kRead;

struct Ioas : testing::Test {
  Machine m;
  unsigned unit = m.AddUnit();
  ims_device *dev = m.AddDevice();
  Client c{m};
  uint32_t ioas = c.Ioas();
  uint64_t va = c.Memory(64 * kPage);
  ims_file *cdev = nullptr;

  ~Ioas() override { Check(); }
  void Check() {
    char why[256];
    EXPECT_TRUE(ims_iommufd_check(c.iommu, why, sizeof why)) << why;
  }
  // A domain below, with pages of 4 KB.
  void Attach(uint32_t to) {
    if (!cdev) {
      cdev = c.OpenDevice(dev);
      ASSERT_GT(c.Bind(cdev), 0);
    }
    ASSERT_GT(c.Attach(cdev, to), 0);
  }
  void Attach() { Attach(ioas); }

  long Copy(uint32_t dst, uint64_t dst_iova, uint32_t src, uint64_t src_iova, uint64_t length,
            uint32_t flags = kFixedRw) {
    ims_iommu_ioas_copy a{};
    a.flags = flags;
    a.dst_ioas_id = dst;
    a.src_ioas_id = src;
    a.length = length;
    a.dst_iova = dst_iova;
    a.src_iova = src_iova;
    long ret = c.Call(IMS_IOMMU_IOAS_COPY, &a);
    copied_to = a.dst_iova;
    return ret;
  }
  long MapFile(uint64_t iova, int fd, uint64_t start, uint64_t length, uint32_t flags = kFixedRw) {
    ims_iommu_ioas_map_file a{};
    a.flags = flags;
    a.ioas_id = ioas;
    a.fd = static_cast<uint32_t>(fd);
    a.start = start;
    a.length = length;
    a.iova = iova;
    return c.Call(IMS_IOMMU_IOAS_MAP_FILE, &a);
  }
  long Allow(std::vector<ims_iommu_iova_range> ranges, uint32_t reserved = 0) {
    ims_iommu_ioas_allow_iovas a{};
    a.ioas_id = ioas;
    a.num_iovas = static_cast<uint32_t>(ranges.size());
    a.reserved = reserved;
    a.allowed_iovas = Arena::kBase + 1024;
    if (!ranges.empty())
      m.arena.PutBytes(ranges.data(), ranges.size() * 16, a.allowed_iovas);
    return c.Call(IMS_IOMMU_IOAS_ALLOW_IOVAS, &a);
  }
  long Ranges(uint32_t room, std::vector<ims_iommu_iova_range> *out = nullptr) {
    ims_iommu_ioas_iova_ranges a{};
    a.ioas_id = ioas;
    a.num_iovas = room;
    a.allowed_iovas = Arena::kBase + 1024;
    long ret = c.Call(IMS_IOMMU_IOAS_IOVA_RANGES, &a);
    total = a.num_iovas;
    alignment = a.out_iova_alignment;
    if (out)
      for (uint32_t i = 0; i < std::min(room, total); i++)
        out->push_back(m.arena.Get<ims_iommu_iova_range>(Arena::kBase + 1024 + 16 * i));
    return ret;
  }
  long Option(uint32_t id, uint16_t op, uint32_t object, uint64_t value = 0, uint16_t reserved = 0) {
    ims_iommu_option a{};
    a.option_id = id;
    a.op = op;
    a.reserved = reserved;
    a.object_id = object;
    a.val64 = value;
    long ret = c.Call(IMS_IOMMU_OPTION, &a);
    answer = a.val64;
    return ret;
  }
  long VfioIoas(uint16_t op, uint32_t id = 0, uint16_t reserved = 0) {
    ims_iommu_vfio_ioas a{};
    a.ioas_id = id;
    a.op = op;
    a.reserved = reserved;
    long ret = c.Call(IMS_IOMMU_VFIO_IOAS, &a);
    answer = a.ioas_id;
    return ret;
  }
  ims_pin_counts Pins(const ims_process *p = nullptr) {
    ims_pin_counts n{};
    ims_process_pins(p ? p : c.process, &n);
    return n;
  }
  uint64_t copied_to = 0, alignment = 0, answer = 0;
  uint32_t total = 0;
};

// ---- MAP ------------------------------------------------------------------------------------------------------------

TEST_F(Ioas, MapErrorsInTheirOrder) {
  struct Row {
    const char *what;
    uint32_t flags, reserved, ioas; // ioas 0: the right one
    uint64_t user_va, length, iova;
    long without, with; // a domain
  };
  const uint64_t at = 0x100000;
  const Row rows[] = {
      {"unknown flag before all else", 8, 0, 99, 0, kAll, kAll, -EOPNOTSUPP, -EOPNOTSUPP},
      {"reserved", kFixedRw, 1, 99, 0, kAll, kAll, -EOPNOTSUPP, -EOPNOTSUPP},
      {"iova at the end, no access", kFixed, 0, 99, 0, 0, kAll, -EOVERFLOW, -EOVERFLOW},
      {"length at the end", kFixed, 0, 99, 0, kAll, at, -EOVERFLOW, -EOVERFLOW},
      {"neither read nor write", kFixed, 0, 99, 0, 0, at, -EINVAL, -EINVAL},
      {"no such address space", kFixedRw, 0, 99, 0, 0, at, -ENOENT, -ENOENT},
      {"memory wraps", kFixedRw, 0, 0, kAll - 1, kPage, at, -EOVERFLOW, -EOVERFLOW},
      {"no length", kFixedRw, 0, 0, va, 0, at, -EINVAL, -EINVAL},
      {"part of a page", kFixedRw, 0, 0, va, 100, at, 0, -EINVAL},
      {"iova within a page", kFixedRw, 0, 0, va, kPage, at + 8, 0, -EINVAL},
      {"memory within a page", kFixedRw, 0, 0, va + 16, kPage, at, 0, -EINVAL},
      {"iova wraps", kFixedRw, 0, 0, va, 2 * kPage, kAll - kPage + 1, -EOVERFLOW, -EOVERFLOW},
      {"in the way", kFixedRw, 0, 0, va, 2 * kPage, 0x7000 - kPage, -EEXIST, -EEXIST},
      {"bad memory counts only when it is pinned", kFixedRw, 0, 0, 0x1000, kPage, at, 0, -EFAULT},
      {"good", kFixedRw, 0, 0, va, kPage, at, 0, 0},
      {"read-only", kFixed | kRead, 0, 0, va, kPage, at, 0, 0},
  };
  for (bool with : {false, true}) {
    if (with)
      Attach();
    ASSERT_EQ(c.Map(ioas, 0x7000, va, kPage), 0);
    for (const Row &r : rows) {
      ims_iommu_ioas_map a{};
      a.flags = r.flags;
      a.reserved = r.reserved;
      a.ioas_id = r.ioas ? r.ioas : ioas;
      a.user_va = r.user_va;
      a.length = r.length;
      a.iova = r.iova;
      EXPECT_EQ(c.Call(IMS_IOMMU_IOAS_MAP, &a), with ? r.with : r.without) << r.what << (with ? ", domain" : "");
      Check();
      c.Unmap(ioas, r.iova, r.length); // whatever was mapped
    }
    ASSERT_EQ(c.Unmap(ioas, 0, kAll), 0);
    EXPECT_EQ(Pins().pinned, 0u);
  }
}

TEST_F(Ioas, WhatIsWritableMustBe) {
  uint64_t read_only = 0;
  ASSERT_EQ(ims_mmap(c.process, 0, kPage, IMS_PROT_READ, IMS_MMAP_POPULATE, &read_only), 0);
  Attach();
  EXPECT_EQ(c.Map(ioas, 0x1000, read_only, kPage), -EFAULT);
  EXPECT_EQ(c.Map(ioas, 0x1000, read_only, kPage, kFixed | kRead), 0);
  EXPECT_EQ(Copy(ioas, 0x9000, ioas, 0x1000, kPage), -EPERM);
  EXPECT_EQ(Copy(ioas, 0x9000, ioas, 0x1000, kPage, kFixed | kRead), 0);
  EXPECT_EQ(m.Dma(dev, 0x9000).status, IMS_STATUS_OK);
  EXPECT_EQ(m.Dma(dev, 0x9000, IMS_ACC_W).status, IMS_STATUS_FAULT);
}

TEST_F(Ioas, AnAreaHalfMappedIsUndone) {
  Attach();
  const uint64_t in_use = ims_kernel_memory_in_use(m.kernel);
  uint64_t end = va + 64 * kPage; // behind it nothing is mapped
  EXPECT_EQ(c.Map(ioas, 0x100000, end - 4 * kPage, 8 * kPage), -EFAULT);
  EXPECT_EQ(Pins().pinned, 0u);
  EXPECT_EQ(m.Dma(dev, 0x100000).status, IMS_STATUS_FAULT);
  EXPECT_EQ(c.Unmap(ioas, 0, kAll), 0);
  EXPECT_EQ(c.unmapped, 0u);
  EXPECT_EQ(ims_kernel_memory_in_use(m.kernel), in_use);
}

// ---- A place chosen -------------------------------------------------------------------------------------------------

TEST_F(Ioas, PlacesAreTheFirstThatFit) {
  struct Row {
    uint64_t user_va, length, expected;
  };
  // The lowest bit of the address and the length decide on the alignment, which is 2 MB at most; page 0 is not given out.
  const Row rows[] = {
      {0x10000, kPage, 0x1000},       {0x11000, kPage, 0x2000},     {0x12000, 2 * kPage, 0x4000},
      {0x13000, 2 * kPage, 0x6000},   {0x10000, kPage, 0x3000},     {0x10234, 8, 0x8234},
      {0x40000000, 2 * kMB, 2 * kMB}, {0x40000000, kGB, 4 * kMB},   {0, kPage, 0x9000},
      {0x10000, 16 * kPage, 0x10000}, {0x20000, 3 * kPage, 0xc000},
  };
  for (const Row &r : rows) {
    EXPECT_EQ(c.Map(ioas, 0xdead, r.user_va, r.length, kWrite | kRead), 0);
    EXPECT_EQ(c.mapped_at, r.expected) << std::hex << r.user_va << ' ' << r.length;
    Check();
  }
  EXPECT_EQ(c.Map(ioas, 0, 0x10000, 1ull << 63, kRead), -EOVERFLOW);
  EXPECT_EQ(c.Map(ioas, 0, 0x10000, (1ull << 63) - 1, kRead), -EOVERFLOW);
}

TEST_F(Ioas, PlacesKeepToTheAllowedRanges) {
  EXPECT_EQ(Allow({{0x100000, 0x100fff}, {0x200000, 0x202fff}, {0x203000, 0x203fff}}), 0);
  auto place = [&](uint64_t uva, uint64_t length) {
    long ret = c.Map(ioas, 0, uva, length, kRead);
    return ret ? ret : static_cast<long>(c.mapped_at);
  };
  EXPECT_EQ(place(va, 2 * kPage), 0x200000); // ranges that touch count as one
  EXPECT_EQ(place(va, kPage), 0x100000);
  EXPECT_EQ(place(va, 2 * kPage), 0x202000);
  EXPECT_EQ(place(va, kPage), -ENOSPC);
  EXPECT_EQ(c.Map(ioas, 0x900000, va, kPage), 0); // a fixed place need not be allowed
  ASSERT_EQ(c.Unmap(ioas, 0x200000, 2 * kPage), 0);
  EXPECT_EQ(place(va, kPage), 0x200000);
  EXPECT_EQ(Allow({}), 0);
  EXPECT_EQ(place(va, kPage), 0x1000);
}

TEST_F(Ioas, PlacesWithADomain) {
  Attach();
  ASSERT_EQ(Ranges(8), 0);
  EXPECT_EQ(alignment, kPage);
  EXPECT_EQ(c.Map(ioas, 0, va + 8, kPage, kRead), -EINVAL); // the address has less alignment than the domain needs
  EXPECT_EQ(c.Map(ioas, 0, va, 3 * kPage, kRead), 0);
  EXPECT_EQ(c.Map(ioas, 0, va, kPage, kRead), 0);
  Check();
}

// ---- Ranges ---------------------------------------------------------------------------------------------------------

TEST_F(Ioas, RangesOfAFreshAddressSpace) {
  std::vector<ims_iommu_iova_range> r;
  EXPECT_EQ(Ranges(0), -EMSGSIZE);
  EXPECT_EQ(total, 1u); // written back all the same
  EXPECT_EQ(Ranges(4, &r), 0);
  EXPECT_EQ(total, 1u);
  EXPECT_EQ(alignment, 1u);
  ASSERT_EQ(r.size(), 1u);
  EXPECT_EQ(r[0].start, 0u);
  EXPECT_EQ(r[0].last, kAll);
  ASSERT_EQ(c.Map(ioas, 0x1000, va, kPage), 0);
  ASSERT_EQ(Allow({{0, 0xffff}}), 0);
  EXPECT_EQ(Ranges(4), 0); // neither areas nor what is allowed show
  EXPECT_EQ(total, 1u);
  ims_iommu_ioas_iova_ranges a{};
  a.ioas_id = ioas;
  a.reserved = 1;
  EXPECT_EQ(c.Call(IMS_IOMMU_IOAS_IOVA_RANGES, &a), -EOPNOTSUPP);
  a.reserved = 0;
  a.ioas_id = 77;
  EXPECT_EQ(c.Call(IMS_IOMMU_IOAS_IOVA_RANGES, &a), -ENOENT);
  a.ioas_id = ioas;
  a.num_iovas = 1;
  a.allowed_iovas = 8;
  EXPECT_EQ(c.Call(IMS_IOMMU_IOAS_IOVA_RANGES, &a), -EFAULT);
}

TEST_F(Ioas, AllowErrorsInTheirOrder) {
  EXPECT_EQ(Allow({}, 1), -EOPNOTSUPP);
  EXPECT_EQ(Allow({{0x2000, 0x2000}}), -EINVAL); // one byte is none
  EXPECT_EQ(Allow({{0x2000, 0x1000}}), -EINVAL);
  EXPECT_EQ(Allow({{0x1000, 0x2fff}, {0x8000, 0x8fff}, {0x2000, 0x3fff}}), -EINVAL);
  ims_iommu_ioas_allow_iovas a{};
  a.ioas_id = ioas;
  a.num_iovas = 2;
  m.arena.Put(ims_iommu_iova_range{0x1000, 0x1fff}, m.arena.Tail(16));
  a.allowed_iovas = m.arena.Tail(16);
  EXPECT_EQ(c.Call(IMS_IOMMU_IOAS_ALLOW_IOVAS, &a), -EFAULT);
  a.ioas_id = 77;
  EXPECT_EQ(c.Call(IMS_IOMMU_IOAS_ALLOW_IOVAS, &a), -ENOENT);
}

TEST_F(Ioas, TheApertureOfADomainIsTheLimit) {
  Attach();
  std::vector<ims_iommu_iova_range> r;
  ASSERT_EQ(Ranges(8, &r), 0);
  ASSERT_FALSE(r.empty());
  EXPECT_LT(r.back().last, kAll);
  const uint64_t end = r.back().last + 1;
  EXPECT_EQ(end & (end - 1), 0u);
  EXPECT_EQ(c.Map(ioas, end, va, kPage), -EINVAL);
  EXPECT_EQ(c.Map(ioas, end - kPage, va, 2 * kPage), -EINVAL);
  EXPECT_EQ(c.Map(ioas, end - kPage, va, kPage), 0);
  EXPECT_EQ(Allow({{0x1000, kAll}}), -EADDRINUSE);
  EXPECT_EQ(Allow({{0x1000, 0xffff}}), 0);
  ASSERT_EQ(c.Detach(cdev), 0);
  EXPECT_EQ(c.Map(ioas, end, va, kPage), 0);
  EXPECT_EQ(c.Attach(cdev, ioas), -EADDRINUSE); // what is mapped now does not go in
  ASSERT_EQ(c.Unmap(ioas, end, kPage), 0);
  EXPECT_EQ(Allow({{0x1000, kAll}}), 0);
  EXPECT_EQ(c.Attach(cdev, ioas), -EADDRINUSE);
  EXPECT_EQ(Allow({}), 0);
  Attach();
}

// Where interrupt messages of devices go nothing may be mapped: what is there first wins.
TEST(IoasReserved, WhereInterruptMessagesGo) {
  struct Row {
    const char *what;
    bool arm;
    uint64_t first, last;
  };
  for (const Row &r : {Row{"VT-d", false, 0xfee00000, 0xfeefffff}, Row{"SMMUv3", true, 0x8000000, 0x80fffff}}) {
    SCOPED_TRACE(r.what);
    Machine m(r.arm ? IMS_DIALECT_SMMUV3_V13 : IMS_DIALECT_V7,
              [&](ims_kernel_config &k) { k.cpu_format = r.arm ? IMS_CPU_ARM_4K : IMS_CPU_X86_64; });
    if (r.arm)
      m.AddSmmu();
    else
      m.AddUnit();
    ims_device *dev = m.AddDevice();
    Client c(m);
    uint32_t ioas = c.Ioas();
    uint64_t va = c.Memory(4 * kPage);
    ims_file *cdev = c.OpenDevice(dev);
    ASSERT_GT(c.Bind(cdev), 0);
    ASSERT_EQ(c.Map(ioas, r.last - kPage + 1, va, kPage), 0);
    EXPECT_EQ(c.Attach(cdev, ioas), -EADDRINUSE);
    ASSERT_EQ(c.Unmap(ioas, 0, kAll), 0);
    ASSERT_EQ(c.Map(ioas, r.last + 1, va, kPage), 0);
    ASSERT_EQ(c.Map(ioas, r.first - kPage, va, kPage), 0);
    ASSERT_GT(c.Attach(cdev, ioas), 0);
    EXPECT_EQ(c.Map(ioas, r.first, va, kPage), -EINVAL);
    EXPECT_EQ(c.Map(ioas, r.last - kPage + 1, va, kPage), -EINVAL);
    ASSERT_EQ(c.Detach(cdev), 0);
    EXPECT_EQ(c.Map(ioas, r.first, va, kPage), 0); // they went with the device
    char why[256];
    EXPECT_TRUE(ims_iommufd_check(c.iommu, why, sizeof why)) << why;
  }
}

// A kernel with pages of 64 KB: that is what domains must manage, and what they then want.
TEST(IoasPages, OfTheKernelsSize) {
  const uint64_t page = 0x10000;
  Machine m(IMS_DIALECT_SMMUV3_V13, [](ims_kernel_config &k) { k.cpu_format = IMS_CPU_ARM_64K; });
  m.AddSmmu();
  ims_device *dev = m.AddDevice();
  Client c(m);
  uint32_t ioas = c.Ioas();
  uint64_t va = c.Memory(8 * page);
  ims_file *cdev = c.OpenDevice(dev);
  ASSERT_GT(c.Bind(cdev), 0);
  EXPECT_EQ(c.Map(ioas, 0, va, 100, kRead), 0);
  EXPECT_EQ(c.mapped_at, page); // page 0 is not given out
  ASSERT_EQ(c.Unmap(ioas, page, 100), 0);
  ASSERT_GT(c.Attach(cdev, ioas), 0);
  EXPECT_EQ(c.Map(ioas, 0x100000, va, 0x1000), -EINVAL);
  EXPECT_EQ(c.Map(ioas, 0x101000, va, page), -EINVAL);
  EXPECT_EQ(c.Map(ioas, 0x100000, va + 0x1000, page), -EINVAL);
  ASSERT_EQ(c.Map(ioas, 0x100000, va, 4 * page), 0);
  EXPECT_EQ(m.Dma(dev, 0x121234).output, c.Hpa(va + 2 * page) + 0x1234);
  char why[256];
  EXPECT_TRUE(ims_iommufd_check(c.iommu, why, sizeof why)) << why;
}

TEST_F(Ioas, AreasThatADomainCannotMapKeepItOut) {
  ASSERT_EQ(c.Map(ioas, 0x1000, va, 100), 0);
  cdev = c.OpenDevice(dev);
  ASSERT_GT(c.Bind(cdev), 0);
  EXPECT_EQ(c.Attach(cdev, ioas), -EADDRINUSE); // 100 bytes are no page
  ASSERT_EQ(c.Unmap(ioas, 0x1000, 100), 0);
  ASSERT_EQ(c.Map(ioas, 0x1000, 0x1000, kPage), 0);
  EXPECT_EQ(c.Attach(cdev, ioas), -EFAULT); // bad memory, met at last
  EXPECT_EQ(Pins().pinned, 0u);
  ASSERT_EQ(c.Unmap(ioas, 0x1000, kPage), 0);
  ASSERT_EQ(Ranges(8), 0);
  EXPECT_EQ(alignment, 1u); // nothing of the attempts is left
  EXPECT_EQ(total, 1u);
  Attach();
}

// ---- COPY -----------------------------------------------------------------------------------------------------------

TEST_F(Ioas, CopyErrorsInTheirOrder) {
  uint32_t other = c.Ioas();
  ASSERT_EQ(c.Map(ioas, 0x10000, va, 4 * kPage), 0);
  ASSERT_EQ(c.Map(ioas, 0x14000, va, 4 * kPage), 0);
  struct Row {
    const char *what;
    uint32_t flags, dst, src;
    uint64_t length, dst_iova, src_iova;
    long expected;
  };
  const Row rows[] = {
      {"unknown flag", 8, 99, 98, kAll, kAll, kAll, -EOPNOTSUPP},
      {"length at the end", kFixed, 99, 98, kAll, 0, 0, -EOVERFLOW},
      {"source at the end", kFixed, 99, 98, 0, 0, kAll, -EOVERFLOW},
      {"destination at the end", kFixed, 99, 98, 0, kAll, 0, -EOVERFLOW},
      {"neither read nor write", kFixed, 99, 98, 0, 0, 0, -EINVAL},
      {"no source", kFixedRw, 99, 98, 0, 0, 0, -ENOENT},
      {"no length", kFixedRw, 99, ioas, 0, 0, 0x10000, -EINVAL},
      {"source wraps", kFixedRw, 99, ioas, 2 * kPage, 0, kAll - 1, -EOVERFLOW},
      {"nothing mapped there", kFixedRw, other, ioas, kPage, 0, 0x9000, -ENOENT},
      {"begins before", kFixedRw, other, ioas, 2 * kPage, 0, 0xf000, -ENOENT},
      {"ends behind", kFixedRw, other, ioas, 16 * kPage, 0, 0x10000, -ENOENT},
      {"no destination", kFixedRw, 99, ioas, kPage, 0, 0x10000, -ENOENT},
      {"destination wraps", kFixedRw, other, ioas, 2 * kPage, kAll - kPage + 1, 0x10000, -EOVERFLOW},
      {"in the way of itself", kFixedRw, ioas, ioas, kPage, 0x11000, 0x10000, -EEXIST},
      {"part of an area", kFixedRw, other, ioas, kPage, 0x1000, 0x12000, 0},
      {"a few bytes", kFixedRw, other, ioas, 10, 0x3001, 0x12345, 0},
      {"over two areas", kFixedRw, other, ioas, 2 * kPage, 0x20000, 0x13000, 0},
      {"to a place chosen", kWrite | kRead, other, ioas, 8 * kPage, 0, 0x10000, 0},
      {"within one address space", kFixedRw, ioas, ioas, 8 * kPage, 0x80000, 0x10000, 0},
  };
  for (const Row &r : rows) {
    EXPECT_EQ(Copy(r.dst, r.dst_iova, r.src, r.src_iova, r.length, r.flags), r.expected) << r.what;
    Check();
  }
  EXPECT_EQ(c.Unmap(other, 0x20000, kPage), 0); // two areas it became, and each goes alone
  EXPECT_EQ(c.unmapped, kPage);
}

TEST_F(Ioas, ACopyIsTheSamePages) {
  uint32_t other = c.Ioas();
  Attach(other);
  ASSERT_EQ(c.Map(ioas, 0x10000, va, 4 * kPage), 0);
  EXPECT_EQ(Pins().pinned, 0u); // nobody needs them
  ASSERT_EQ(Copy(other, 0x40000, ioas, 0x11000, 2 * kPage), 0);
  EXPECT_EQ(Pins().pinned, 2u);
  ASSERT_EQ(Copy(other, 0x50000, ioas, 0x10000, 4 * kPage), 0);
  EXPECT_EQ(Pins().pinned, 4u); // each once, however many need it
  EXPECT_EQ(m.Dma(dev, 0x41008).output, c.Hpa(va + 2 * kPage) + 8);
  EXPECT_EQ(m.Dma(dev, 0x52000).output, c.Hpa(va + 2 * kPage));
  Check();
  ASSERT_EQ(c.Unmap(ioas, 0x10000, 4 * kPage), 0); // the copies live on
  ASSERT_EQ(ims_munmap(c.process, va, 64 * kPage), 0);
  ASSERT_EQ(c.Unmap(other, 0x50000, 4 * kPage), 0);
  EXPECT_EQ(Pins().pinned, 2u);
  EXPECT_EQ(m.Dma(dev, 0x41000).status, IMS_STATUS_OK);
  ASSERT_EQ(c.Unmap(other, 0x40000, 2 * kPage), 0);
  EXPECT_EQ(Pins().pinned, 0u);
}

// ---- UNMAP ----------------------------------------------------------------------------------------------------------

TEST_F(Ioas, UnmapGoesInOrderUntilAnAreaIsCut) {
  struct Row {
    const char *what;
    uint64_t iova, length;
    long expected;
    uint64_t unmapped;
    size_t left;
  };
  // Three areas of two pages: 0x10000, 0x12000, 0x18000.
  const Row rows[] = {
      {"everything", 0, kAll, 0, 6 * kPage, 0},
      {"length at the end", 0x1000, kAll, -EOVERFLOW, kAll, 3},
      {"iova at the end", kAll, 1, -EOVERFLOW, 1, 3},
      {"no length", 0x10000, 0, -EINVAL, 0, 3},
      {"wraps", kPage, kAll - 1, -EOVERFLOW, kAll - 1, 3},
      {"one", 0x12000, 2 * kPage, 0, 2 * kPage, 2},
      {"two that touch", 0x10000, 4 * kPage, 0, 4 * kPage, 1},
      {"with holes", 0x1000, 0x100000, 0, 6 * kPage, 0},
      {"nothing there", 0x20000, kPage, -ENOENT, kPage, 3},
      {"the first is cut", 0x11000, 0x100000, -ENOENT, 0x100000, 3},
      {"the last is cut: those before are gone", 0x10000, 0x9000, -ENOENT, 0x9000, 1},
      {"within one", 0x10000, kPage, -ENOENT, kPage, 3},
  };
  for (bool domain : {false, true}) {
    if (domain)
      Attach();
    for (const Row &r : rows) {
      for (uint64_t at : {0x10000, 0x12000, 0x18000})
        ASSERT_EQ(c.Map(ioas, at, va, 2 * kPage), 0);
      EXPECT_EQ(c.Unmap(ioas, r.iova, r.length), r.expected) << r.what;
      EXPECT_EQ(c.unmapped, r.unmapped) << r.what;
      Check();
      EXPECT_EQ(Pins().pinned, domain ? 2 * r.left : 0) << r.what;
      EXPECT_EQ(c.Unmap(ioas, 0, kAll), 0);
      EXPECT_EQ(c.unmapped, r.left * 2 * kPage) << r.what;
    }
  }
  EXPECT_EQ(c.Unmap(77, 0, kAll), -ENOENT);
  EXPECT_EQ(c.Unmap(ioas, 0, kAll), 0); // of nothing, too
  EXPECT_EQ(c.unmapped, 0u);
}

// ---- Who needs the pages --------------------------------------------------------------------------------------------

TEST_F(Ioas, DomainsShareThePinsOfAnAddressSpace) {
  ASSERT_EQ(c.Map(ioas, 0x10000, va, 8 * kPage), 0);
  cdev = c.OpenDevice(dev);
  int64_t id = c.Bind(cdev);
  ASSERT_GT(id, 0);
  int64_t a = c.Hwpt(static_cast<uint32_t>(id), ioas), b = c.Hwpt(static_cast<uint32_t>(id), ioas);
  ASSERT_GT(a, 0);
  ASSERT_GT(b, 0);
  EXPECT_EQ(Pins().pinned, 8u);
  ASSERT_EQ(c.Map(ioas, 0x20000, va, kPage), 0);
  EXPECT_EQ(Pins().pinned, 9u);
  Check();
  ASSERT_EQ(c.Destroy(static_cast<uint32_t>(a)), 0);
  EXPECT_EQ(Pins().pinned, 9u);
  Check();
  ASSERT_EQ(c.Destroy(static_cast<uint32_t>(b)), 0);
  EXPECT_EQ(Pins().pinned, 0u);
}

TEST_F(Ioas, TheLimitOfLockedMemory) {
  ims_process_set_memlock(c.process, 10 * kPage);
  Attach();
  ASSERT_EQ(c.Map(ioas, 0x100000, va, 20 * kPage), 0); // CAP_IPC_LOCK: not counted
  EXPECT_EQ(Pins().user_locked, 0u);
  ASSERT_EQ(c.Unmap(ioas, 0x100000, 20 * kPage), 0);
  ims_process_set_caps(c.process, 0);
  EXPECT_EQ(c.Map(ioas, 0x100000, va, 11 * kPage), -ENOMEM);
  EXPECT_EQ(m.Dma(dev, 0x100000).status, IMS_STATUS_FAULT);
  EXPECT_EQ(Pins().pinned, 0u);
  EXPECT_EQ(c.Map(ioas, 0x100000, va, 6 * kPage), 0);
  EXPECT_EQ(c.Map(ioas, 0x200000, va, 5 * kPage), -ENOMEM); // counted by pages objects, not by page
  EXPECT_EQ(Copy(ioas, 0x200000, ioas, 0x100000, 5 * kPage), 0);
  EXPECT_EQ(c.Map(ioas, 0x300000, va, 4 * kPage), 0);
  EXPECT_EQ(Pins().user_locked, 10u);
  EXPECT_EQ(Pins().locked, 0u); // VmLck counts in the other mode alone
  Check();
  ASSERT_EQ(c.Unmap(ioas, 0, kAll), 0);
  EXPECT_EQ(Pins().user_locked, 0u);
}

TEST_F(Ioas, MemoryOfAProcessThatIsGone) {
  Client other(m);
  ims_file *shared = nullptr; // the other process has the iommufd, too, as after fork
  ASSERT_GE(ims_file_share(c.iommu, other.process, -1, &shared), 3);
  uint64_t theirs = other.Memory(4 * kPage);
  ims_iommu_ioas_map a{};
  a.size = sizeof a;
  a.flags = kFixedRw;
  a.ioas_id = ioas;
  a.user_va = theirs;
  a.length = 2 * kPage;
  a.iova = 0x10000;
  ASSERT_EQ(other.Call(shared, IMS_IOMMU_IOAS_MAP, &a), 0);
  Attach();
  EXPECT_EQ(Pins(other.process).pinned, 2u);
  a.user_va = theirs + 2 * kPage;
  a.iova = 0x20000;
  ASSERT_EQ(c.Detach(cdev), 0);
  ASSERT_EQ(other.Call(shared, IMS_IOMMU_IOAS_MAP, &a), 0);
  ims_process_exit(other.process);
  Check();
  EXPECT_EQ(c.Attach(cdev, ioas), -EFAULT);
  ASSERT_EQ(c.Unmap(ioas, 0, kAll), 0); // and with that the process is forgotten
  Attach();
}

TEST_F(Ioas, PinnedPagesOutliveTheirProcess) {
  Client other(m);
  ims_file *shared = nullptr;
  ASSERT_GE(ims_file_share(c.iommu, other.process, -1, &shared), 3);
  uint64_t theirs = other.Memory(2 * kPage), hpa = other.Hpa(theirs);
  Attach();
  ims_iommu_ioas_map a{};
  a.size = sizeof a;
  a.flags = kFixedRw;
  a.ioas_id = ioas;
  a.user_va = theirs;
  a.length = 2 * kPage;
  a.iova = 0x10000;
  ASSERT_EQ(other.Call(shared, IMS_IOMMU_IOAS_MAP, &a), 0);
  ims_process_exit(other.process);
  EXPECT_EQ(m.Dma(dev, 0x10000).output, hpa);
  uint64_t fresh = c.Memory(64 * kPage); // nobody else has the page
  for (unsigned i = 0; i < 64; i++)
    EXPECT_NE(c.Hpa(fresh + i * kPage), hpa);
  ASSERT_EQ(c.Unmap(ioas, 0x10000, 2 * kPage), 0);
}

// ---- Files ----------------------------------------------------------------------------------------------------------

TEST_F(Ioas, AFileByAddressAndByNumberIsTheSamePages) {
  ims_file *memfd = nullptr;
  int fd = ims_memfd_create(c.process, 16 * kPage, 0, &memfd);
  ASSERT_GE(fd, 3);
  uint64_t at = 0, again = 0;
  ASSERT_EQ(ims_mmap_file(c.process, 0, 8 * kPage, IMS_PROT_READ | IMS_PROT_WRITE, 0, memfd, 4 * kPage, &at), 0);
  ASSERT_EQ(ims_mmap_file(c.process, 0, 32 * kPage, IMS_PROT_READ, 0, memfd, 0, &again), 0);
  Attach();
  ASSERT_EQ(MapFile(0x100000, fd, 0, 16 * kPage), 0);
  ASSERT_EQ(c.Map(ioas, 0x200000, at, 8 * kPage), 0);
  EXPECT_EQ(m.Dma(dev, 0x105010).output, m.Dma(dev, 0x201010).output);
  const char text[] = "written through one, read through the other";
  char buf[sizeof text] = "";
  ASSERT_EQ(ims_process_write(c.process, at + kPage + 100, text, sizeof text), 0);
  ASSERT_EQ(ims_process_read(c.process, again + 5 * kPage + 100, buf, sizeof buf), 0);
  EXPECT_STREQ(buf, text);
  EXPECT_EQ(ims_mem_read(&m.mem, m.Dma(dev, 0x105064).output, buf, sizeof buf), IMS_ERR_OK);
  EXPECT_STREQ(buf, text);
  EXPECT_EQ(ims_process_read(c.process, again + 16 * kPage, buf, 1), -EFAULT); // beyond the end

  EXPECT_EQ(MapFile(0x300000, fd, 15 * kPage, 2 * kPage), -EINVAL);
  EXPECT_EQ(MapFile(0x300000, fd, 0, 0), -EINVAL);
  EXPECT_EQ(MapFile(0x300000, fd, kAll, 2), -EOVERFLOW);
  EXPECT_EQ(MapFile(0x300000, 99, 0, kPage), -EBADF);
  EXPECT_EQ(MapFile(0x300000, ims_file_fd(c.iommu), 0, kPage), -EINVAL); // no file of memory
  EXPECT_EQ(MapFile(0x300000, fd, 0, kPage, 8), -EOPNOTSUPP);
  EXPECT_EQ(MapFile(kAll, fd, 0, kPage), -EOVERFLOW);
  EXPECT_EQ(MapFile(0x300000, fd, 0, kPage, kFixed), -EINVAL);
  Check();
  // Everything lives on without the descriptor.
  ASSERT_EQ(ims_close(memfd), 0);
  ASSERT_EQ(ims_munmap(c.process, at + 2 * kPage, 2 * kPage), 0);
  EXPECT_EQ(ims_process_read(c.process, again + 5 * kPage + 100, buf, sizeof buf), 0);
  EXPECT_STREQ(buf, text);
  EXPECT_EQ(ims_process_read(c.process, at + 4 * kPage, buf, 1), 0); // behind the hole: its own place of the file
  EXPECT_EQ(c.Hpa(at + 4 * kPage), m.Dma(dev, 0x108000).output);
}

TEST_F(Ioas, AFileThatIsNoneIsNoticedWhenItIsPinned) {
  EXPECT_EQ(MapFile(0x10000, ims_file_fd(c.iommu), 0, kPage), 0);
  cdev = c.OpenDevice(dev);
  ASSERT_GT(c.Bind(cdev), 0);
  EXPECT_EQ(c.Attach(cdev, ioas), -EINVAL);
  EXPECT_EQ(c.Unmap(ioas, 0x10000, kPage), 0);
}

TEST_F(Ioas, ChangeOfProcessMovesWhatIsCounted) {
  Client other(m);
  ims_file *shared = nullptr, *memfd = nullptr;
  ASSERT_GE(ims_file_share(c.iommu, other.process, -1, &shared), 3);
  auto change = [&](uint32_t reserved = 0) {
    ims_iommu_ioas_change_process a{};
    a.size = sizeof a;
    a.reserved = reserved;
    return other.Call(shared, IMS_IOMMU_IOAS_CHANGE_PROCESS, &a);
  };
  for (Client *who : {&c, &other}) {
    ims_process_set_caps(who->process, 0);
    ims_process_set_memlock(who->process, 16 * kPage);
  }
  int fd = ims_memfd_create(c.process, 16 * kPage, 0, &memfd);
  Attach();
  ASSERT_EQ(MapFile(0x100000, fd, 0, 16 * kPage), 0);
  ASSERT_EQ(Copy(ioas, 0x200000, ioas, 0x100000, 8 * kPage), 0);
  ASSERT_EQ(c.Unmap(ioas, 0x100000, 16 * kPage), 0);
  EXPECT_EQ(Pins().user_locked, 8u);
  ASSERT_EQ(Copy(ioas, 0x300000, ioas, 0x200000, 8 * kPage), 0);
  EXPECT_EQ(change(1), -EOPNOTSUPP);
  EXPECT_EQ(change(), 0);
  EXPECT_EQ(Pins().user_locked, 0u);
  EXPECT_EQ(Pins(other.process).user_locked, 8u);
  EXPECT_EQ(Pins(other.process).pinned, 8u);
  EXPECT_EQ(change(), 0); // it has them already
  EXPECT_EQ(Pins(other.process).user_locked, 8u);
  Check();
  uint32_t second = c.Ioas();
  ASSERT_EQ(c.Map(second, 0x1000, va, kPage), 0);
  EXPECT_EQ(change(), -EINVAL); // memory of a process cannot change hands, wherever it is mapped
  ASSERT_EQ(c.Unmap(second, 0, kAll), 0);
  ims_process_set_memlock(c.process, 4 * kPage);
  ims_iommu_ioas_change_process back{};
  EXPECT_EQ(c.Call(IMS_IOMMU_IOAS_CHANGE_PROCESS, &back), -ENOMEM);
  EXPECT_EQ(Pins().pinned, 0u);
  EXPECT_EQ(Pins(other.process).pinned, 8u);
  ASSERT_EQ(c.Unmap(ioas, 0, kAll), 0);
  EXPECT_EQ(Pins(other.process).pinned, 0u);
}

// ---- Options --------------------------------------------------------------------------------------------------------

TEST_F(Ioas, OptionErrors) {
  enum { SET = IMS_OPTION_SET, GET = IMS_OPTION_GET };
  EXPECT_EQ(Option(IMS_OPTION_HUGE_PAGES, GET, ioas, 0, 1), -EOPNOTSUPP);
  EXPECT_EQ(Option(7, GET, ioas), -EOPNOTSUPP);
  EXPECT_EQ(Option(IMS_OPTION_HUGE_PAGES, 7, ioas), -EOPNOTSUPP);
  EXPECT_EQ(Option(IMS_OPTION_HUGE_PAGES, GET, 99), -ENOENT);
  EXPECT_EQ(Option(IMS_OPTION_HUGE_PAGES, SET, ioas, 2), -EINVAL);
  EXPECT_EQ(Option(IMS_OPTION_RLIMIT_MODE, GET, ioas), -EOPNOTSUPP);
  EXPECT_EQ(Option(IMS_OPTION_RLIMIT_MODE, 7, 0), -EOPNOTSUPP);
  EXPECT_EQ(Option(IMS_OPTION_RLIMIT_MODE, SET, 0, 1), -EBUSY); // there are objects
  EXPECT_EQ(Option(IMS_OPTION_RLIMIT_MODE, GET, 0, 5), 0);
  EXPECT_EQ(answer, 0u);
  ASSERT_EQ(c.Destroy(ioas), 0);
  EXPECT_EQ(Option(IMS_OPTION_RLIMIT_MODE, SET, 0, 2), -EINVAL);
  ims_process_set_caps(c.process, IMS_CAP_IPC_LOCK);
  EXPECT_EQ(Option(IMS_OPTION_RLIMIT_MODE, SET, 0, 1), -EPERM);
  ims_process_set_caps(c.process, IMS_CAP_SYS_RESOURCE);
  EXPECT_EQ(Option(IMS_OPTION_RLIMIT_MODE, SET, 0, 1), 0);
  EXPECT_EQ(Option(IMS_OPTION_RLIMIT_MODE, GET, 0), 0);
  EXPECT_EQ(answer, 1u);
  ioas = c.Ioas();
  Attach();
  ASSERT_EQ(c.Map(ioas, 0x10000, va, 3 * kPage), 0);
  EXPECT_EQ(Pins().locked, 3u);
  EXPECT_EQ(Pins().user_locked, 0u);
}

TEST_F(Ioas, WithoutHugePagesEachPageIsMappedAlone) {
  uint64_t big = c.Memory(4 * kMB, IMS_MMAP_POPULATE | IMS_MMAP_2M);
  EXPECT_EQ(Option(IMS_OPTION_HUGE_PAGES, IMS_OPTION_GET, ioas), 0);
  EXPECT_EQ(answer, 1u);
  ASSERT_EQ(c.Map(ioas, 0x1000, va, 100), 0);
  EXPECT_EQ(Option(IMS_OPTION_HUGE_PAGES, IMS_OPTION_SET, ioas, 0), -EADDRINUSE); // 100 bytes
  ASSERT_EQ(c.Unmap(ioas, 0x1000, 100), 0);
  EXPECT_EQ(Option(IMS_OPTION_HUGE_PAGES, IMS_OPTION_SET, ioas, 0), 0);
  ASSERT_EQ(Ranges(1), 0);
  EXPECT_EQ(alignment, kPage);
  Attach();
  ASSERT_EQ(c.Map(ioas, 4 * kMB, big, 2 * kMB), 0);
  EXPECT_EQ(m.Dma(dev, 4 * kMB).shift, 12);
  EXPECT_EQ(Option(IMS_OPTION_HUGE_PAGES, IMS_OPTION_SET, ioas, 1), 0);
  EXPECT_EQ(Option(IMS_OPTION_HUGE_PAGES, IMS_OPTION_SET, ioas, 0), -EINVAL); // a domain and a mapping
  ASSERT_EQ(c.Map(ioas, 8 * kMB, big, 2 * kMB), 0);
  EXPECT_EQ(m.Dma(dev, 8 * kMB).shift, 21);
  ASSERT_EQ(c.Unmap(ioas, 0, kAll), 0);
  EXPECT_EQ(Option(IMS_OPTION_HUGE_PAGES, IMS_OPTION_SET, ioas, 0), 0);
}

TEST_F(Ioas, PhysicalAddressesAreNotTold) {
  auto ask = [&](uint64_t iova, uint64_t length, uint32_t id, uint32_t flags = 0) {
    ims_iommu_ioas_noiommu_get_pa a{};
    a.flags = flags;
    a.ioas_id = id;
    a.iova = iova;
    a.length = length;
    return c.Call(IMS_IOMMU_IOAS_NOIOMMU_GET_PA, &a);
  };
  ASSERT_EQ(c.Map(ioas, 0x10000, va, kPage), 0);
  EXPECT_EQ(ask(0x10000, kPage, ioas, 1), -EOPNOTSUPP);
  EXPECT_EQ(ask(0x10000, 0, ioas), -EINVAL);
  EXPECT_EQ(ask(kAll, 1, ioas), -EOVERFLOW);
  EXPECT_EQ(ask(0x10000, 1, 99), -ENOENT);
  EXPECT_EQ(ask(0x20000, 1, ioas), -ENOENT);
  EXPECT_EQ(ask(0x10000, 1, ioas), -EOPNOTSUPP); // there is an IOMMU
  ims_process_set_caps(c.process, 0);
  EXPECT_EQ(ask(0x10000, 1, ioas), -EPERM);
}

// ---- The container's calls ------------------------------------------------------------------------------------------

struct Compat : Ioas {
  void Use() { ASSERT_EQ(VfioIoas(IMS_VFIO_IOAS_SET, ioas), 0); }
  template <class T> long Vfio(uint32_t word, T *arg) { return c.Call(c.iommu, word, arg); }
  long MapDma(uint64_t iova, uint64_t vaddr, uint64_t size, uint32_t flags = 3, uint32_t argsz = 32) {
    ims_vfio_iommu_type1_dma_map a{argsz, flags, vaddr, iova, size};
    return Vfio(IMS_VFIO_IOMMU_MAP_DMA, &a);
  }
  long UnmapDma(uint64_t iova, uint64_t size, uint32_t flags = 0, uint32_t argsz = 24) {
    ims_vfio_iommu_type1_dma_unmap a{argsz, flags, iova, size};
    long ret = Vfio(IMS_VFIO_IOMMU_UNMAP_DMA, &a);
    unmapped = a.size;
    return ret;
  }
  long Word(uint32_t word, uint64_t arg) { return ims_ioctl(c.iommu, word, arg); }
  uint64_t unmapped = 0;
};

TEST_F(Compat, WhichAddressSpace) {
  EXPECT_EQ(VfioIoas(IMS_VFIO_IOAS_GET, 0, 1), -EOPNOTSUPP);
  EXPECT_EQ(VfioIoas(7), -EOPNOTSUPP);
  EXPECT_EQ(VfioIoas(IMS_VFIO_IOAS_GET), -ENODEV);
  EXPECT_EQ(VfioIoas(IMS_VFIO_IOAS_SET, 99), -ENOENT);
  Use();
  EXPECT_EQ(VfioIoas(IMS_VFIO_IOAS_GET), 0);
  EXPECT_EQ(answer, ioas);
  EXPECT_EQ(VfioIoas(IMS_VFIO_IOAS_CLEAR), 0);
  EXPECT_EQ(VfioIoas(IMS_VFIO_IOAS_GET), -ENODEV);
  Use();
  ASSERT_EQ(c.Destroy(ioas), 0); // and with it that it was the one
  EXPECT_EQ(VfioIoas(IMS_VFIO_IOAS_GET), -ENODEV);
}

TEST_F(Compat, WithoutAnAddressSpace) {
  EXPECT_EQ(Word(IMS_VFIO_GET_API_VERSION, 0), 0);
  const std::map<uint64_t, long> extensions = {{1, 1}, {3, 1}, {4, -ENODEV}, {6, 0}, {8, 0}, {9, 1}, {10, 0}, {77, 0}};
  for (auto [extension, expected] : extensions)
    EXPECT_EQ(Word(IMS_VFIO_CHECK_EXTENSION, extension), expected) << extension;
  EXPECT_EQ(Word(IMS_VFIO_SET_IOMMU, 6), -EINVAL);
  EXPECT_EQ(Word(IMS_VFIO_SET_IOMMU, 3), -ENODEV);
  EXPECT_EQ(MapDma(0x1000, va, kPage), -ENODEV);
  EXPECT_EQ(MapDma(0x1000, va, kPage, 8), -EINVAL);
  EXPECT_EQ(MapDma(0x1000, va, kPage, 3, 31), -EINVAL);
  EXPECT_EQ(UnmapDma(0x1000, kPage), -ENODEV);
  EXPECT_EQ(UnmapDma(0x1000, kPage, 1), -EINVAL);
  EXPECT_EQ(UnmapDma(0x1000, kPage, 0, 23), -EINVAL);
  ims_vfio_iommu_type1_info info{};
  EXPECT_EQ(Vfio(IMS_VFIO_IOMMU_GET_INFO, &info), -EINVAL);
  info.argsz = 24;
  EXPECT_EQ(Vfio(IMS_VFIO_IOMMU_GET_INFO, &info), -ENODEV);
  for (uint32_t word : {IMS_VFIO_IOMMU_GET_INFO, IMS_VFIO_IOMMU_MAP_DMA, IMS_VFIO_IOMMU_UNMAP_DMA})
    EXPECT_EQ(Word(word, 8), -EFAULT) << std::hex << word;
  EXPECT_EQ(Word(0x3b75, Arena::kBase), -ENOTTY); // DIRTY_PAGES
}

TEST_F(Compat, Type1v2TakesMappingsWhole) {
  Use();
  Attach();
  EXPECT_EQ(Word(IMS_VFIO_CHECK_EXTENSION, IMS_VFIO_DMA_CC_IOMMU) >= 0, true);
  ASSERT_EQ(Word(IMS_VFIO_SET_IOMMU, IMS_VFIO_TYPE1v2_IOMMU), 0);
  ASSERT_EQ(MapDma(0x10000, va, 4 * kPage), 0);
  EXPECT_EQ(MapDma(0x12000, va, kPage), -EEXIST);
  EXPECT_EQ(m.Dma(dev, 0x11000).output, c.Hpa(va + kPage));
  EXPECT_EQ(UnmapDma(0x10000, kPage), -ENOENT); // cut
  EXPECT_EQ(UnmapDma(0x90000, kPage), 0);       // nothing there: no error here
  EXPECT_EQ(unmapped, 0u);
  EXPECT_EQ(UnmapDma(0x90000, 0), -EINVAL);
  EXPECT_EQ(UnmapDma(0x90000, kAll), -EOVERFLOW);
  EXPECT_EQ(UnmapDma(0x10000, 0, 2), -EINVAL); // ALL has no range
  EXPECT_EQ(UnmapDma(0, 0, 2), 0);
  EXPECT_EQ(unmapped, 4 * kPage);
}

TEST_F(Compat, Type1CutsMappings) {
  Use();
  ASSERT_EQ(Word(IMS_VFIO_SET_IOMMU, IMS_VFIO_TYPE1_IOMMU), 0);
  Attach();
  uint64_t big = c.Memory(4 * kMB, IMS_MMAP_POPULATE | IMS_MMAP_2M);
  ASSERT_EQ(MapDma(8 * kMB, big, 2 * kMB), 0);
  EXPECT_EQ(UnmapDma(8 * kMB + 0x10000, 2 * kPage), 0);
  EXPECT_EQ(unmapped, 2 * kPage);
  Check();
  EXPECT_EQ(Pins().pinned, 510u);
  EXPECT_EQ(m.Dma(dev, 8 * kMB + 0x10000).status, IMS_STATUS_FAULT);
  EXPECT_EQ(m.Dma(dev, 8 * kMB + 0x11000).status, IMS_STATUS_FAULT);
  EXPECT_EQ(m.Dma(dev, 8 * kMB + 0xf000).output, c.Hpa(big + 0xf000));
  EXPECT_EQ(m.Dma(dev, 8 * kMB + 0x12000).output, c.Hpa(big + 0x12000));
  EXPECT_EQ(UnmapDma(8 * kMB, 100), -EINVAL); // within a page
  EXPECT_EQ(UnmapDma(0, 16 * kMB), 0);
  EXPECT_EQ(unmapped, 2 * kMB - 2 * kPage);
  EXPECT_EQ(Pins().pinned, 0u);
}

TEST_F(Compat, InformationAsFarAsThereIsRoom) {
  Use();
  Attach();
  ASSERT_EQ(Ranges(8), 0);
  const uint32_t whole = 40 + 16 + 16 * total;
  struct Info {
    ims_vfio_iommu_type1_info head;
    uint8_t caps[256];
  };
  for (uint32_t argsz : {16u, 24u, 36u, 40u, whole - 1, whole, whole + 8}) {
    Info i{};
    i.head.argsz = argsz;
    i.head.cap_offset = 0x55;
    ASSERT_EQ(Vfio(IMS_VFIO_IOMMU_GET_INFO, &i), 0) << argsz;
    EXPECT_EQ(i.head.argsz, whole);
    EXPECT_EQ(i.head.flags, 3u);
    EXPECT_EQ(i.head.iova_pgsizes & ~(kPage | 2 * kMB | kGB), 0u);
    EXPECT_EQ(i.head.iova_pgsizes & kPage, kPage);
    EXPECT_EQ(i.head.cap_offset, argsz < 24 ? 0x55u : argsz < whole ? 0u : 24u) << argsz;
    if (argsz < whole)
      continue;
    ims_vfio_info_cap_header dma{}, iova{};
    uint32_t avail = 0, count = 0;
    std::memcpy(&dma, i.caps, 8);
    std::memcpy(&avail, i.caps + 8, 4);
    std::memcpy(&iova, i.caps + 16, 8);
    std::memcpy(&count, i.caps + 24, 4);
    EXPECT_EQ(dma.id, 3u);
    EXPECT_EQ(dma.version, 1u);
    EXPECT_EQ(dma.next, 40u);
    EXPECT_EQ(avail, 0xffffffffu);
    EXPECT_EQ(iova.id, 1u);
    EXPECT_EQ(iova.next, 0u);
    EXPECT_EQ(count, total);
  }
}

// ---- Programs with pages of their own -------------------------------------------------------------------------------

// Memory of a real program: an identity of pages above the simulated machine's, and how often each is pinned.
struct Pages {
  static constexpr uint64_t kFirst = 1ull << 40;
  std::map<uint64_t, int> pins;
  ims_user User(Arena *arena) {
    ims_user u = arena->user();
    arena_ = arena;
    u.ctx = this;
    u.read = [](void *ctx, void *dst, uint64_t src, size_t n) {
      auto a = static_cast<Pages *>(ctx)->arena_->user();
      return a.read(a.ctx, dst, src, n);
    };
    u.write = [](void *ctx, uint64_t dst, const void *src, size_t n) {
      auto a = static_cast<Pages *>(ctx)->arena_->user();
      return a.write(a.ctx, dst, src, n);
    };
    u.page = [](void *, uint64_t va, bool, uint64_t *hpa, uint64_t *left) {
      *hpa = kFirst + va;
      *left = kPage - va % kPage;
      return va < 16 * kMB ? 0 : -EFAULT;
    };
    u.pin = [](void *ctx, uint64_t hpa, uint64_t size, bool on) {
      for (uint64_t at = hpa; at < hpa + size; at += kPage)
        static_cast<Pages *>(ctx)->pins[at - kFirst] += on ? 1 : -1;
    };
    return u;
  }
  int Pinned() const {
    int sum = 0;
    for (auto [page, count] : pins)
      sum += count;
    return sum;
  }

private:
  Arena *arena_ = nullptr;
};

TEST_F(Ioas, PinsAreToldToThePrograms) {
  Pages pages;
  ims_user user = pages.User(&m.arena);
  ims_process_set_user(c.process, &user);
  Attach();
  ASSERT_EQ(c.Map(ioas, 0x100000, 0x5000, 4 * kPage), 0);
  ASSERT_EQ(Copy(ioas, 0x200000, ioas, 0x101000, 2 * kPage), 0);
  EXPECT_EQ(pages.Pinned(), 4);
  EXPECT_EQ(pages.pins[0x6000], 1); // once for all areas of the same memory
  ASSERT_EQ(c.Map(ioas, 0x300000, 0x6000, kPage), 0);
  EXPECT_EQ(pages.pins[0x6000], 2);
  EXPECT_EQ(m.Dma(dev, 0x201000).output, Pages::kFirst + 0x7000);
  EXPECT_EQ(c.Map(ioas, 0x400000, 16 * kMB - kPage, 2 * kPage), -EFAULT);
  ASSERT_EQ(c.Unmap(ioas, 0x100000, 4 * kPage), 0);
  EXPECT_EQ(pages.Pinned(), 3);
  ASSERT_EQ(c.Unmap(ioas, 0, kAll), 0);
  EXPECT_EQ(pages.Pinned(), 0);
}

TEST(Type1, PinsAreToldToThePrograms) {
  Machine m;
  m.AddUnit();
  ims_device *dev = m.AddDevice();
  Pages pages;
  Vmm v(m);
  ims_user user = pages.User(&m.arena);
  ims_process_set_user(v.process, &user);
  ASSERT_EQ(v.Map(0x100000, 0x5000, 4 * kPage), 0);
  EXPECT_EQ(pages.Pinned(), 4);
  EXPECT_EQ(v.Map(0x400000, 16 * kMB - kPage, 2 * kPage), -EFAULT);
  EXPECT_EQ(pages.Pinned(), 4);
  EXPECT_EQ(m.Dma(dev, 0x101000).output, Pages::kFirst + 0x6000);
  ASSERT_EQ(v.Unmap(0x100000, 4 * kPage), 0);
  EXPECT_EQ(pages.Pinned(), 0);
}

// ---- Pages of all sizes ---------------------------------------------------------------------------------------------

TEST_F(Ioas, PartOfALargePageOutlivesIt) {
  uint64_t big = c.Memory(4 * kMB, IMS_MMAP_POPULATE | IMS_MMAP_2M);
  Attach();
  ASSERT_EQ(c.Map(ioas, 0x10000, va, kPage), 0); // keeps the tables
  ASSERT_EQ(c.Map(ioas, 0x20000, big + 0x5000, 3 * kPage), 0);
  const uint64_t hpa = c.Hpa(big + 0x5000), before = ims_kernel_memory_in_use(m.kernel);
  ASSERT_EQ(ims_munmap(c.process, big, 4 * kMB), 0);
  const uint64_t pinned = ims_kernel_memory_in_use(m.kernel);
  EXPECT_GE(before - pinned, 4 * kMB - 3 * kPage);
  EXPECT_LE(before - pinned, 4 * kMB); // and tables of the process
  EXPECT_EQ(m.Dma(dev, 0x20000).output, hpa);
  ASSERT_EQ(c.Unmap(ioas, 0x20000, 3 * kPage), 0);
  EXPECT_EQ(pinned - ims_kernel_memory_in_use(m.kernel), 3 * kPage);
}

TEST_F(Ioas, PagesThatWerePinnedTogetherGoOneByOne) {
  const uint64_t before = ims_kernel_memory_in_use(m.kernel);
  uint64_t memory = c.Memory(6 * kMB, IMS_MMAP_POPULATE | IMS_MMAP_2M), at = memory + 2 * kMB;
  Attach();
  ASSERT_EQ(c.Map(ioas, 4 * kMB, at, 2 * kMB), 0);
  ASSERT_EQ(Copy(ioas, 8 * kMB, ioas, 4 * kMB + 100 * kPage, 10 * kPage), 0);
  ASSERT_EQ(c.Unmap(ioas, 4 * kMB, 2 * kMB), 0); // ten of them stay
  EXPECT_EQ(Pins().pinned, 10u);
  Check();
  const uint64_t hpa = c.Hpa(at + 105 * kPage);
  ASSERT_EQ(ims_munmap(c.process, memory, 6 * kMB), 0);
  EXPECT_EQ(m.Dma(dev, 8 * kMB + 5 * kPage).output, hpa);
  uint64_t fresh = c.Memory(6 * kMB); // nobody else is given one of the ten
  for (uint64_t i = 0; i < 1536; i++)
    ASSERT_FALSE(c.Hpa(fresh + i * kPage) >= hpa - 5 * kPage && c.Hpa(fresh + i * kPage) < hpa + 5 * kPage);
  ASSERT_EQ(ims_munmap(c.process, fresh, 6 * kMB), 0);
  ASSERT_EQ(c.Unmap(ioas, 0, kAll), 0);
  ASSERT_EQ(c.Detach(cdev), 0);
  EXPECT_LE(ims_kernel_memory_in_use(m.kernel) - before, 8 * kPage); // tables of the device and the process
}

TEST(IoasLarge, AGigabyteIsOnePage) {
  Machine m(IMS_DIALECT_V7, {}, 3 * kGB);
  m.AddUnit();
  ims_device *dev = m.AddDevice();
  Client c(m);
  ims_file *cdev = c.OpenDevice(dev), *memfd = nullptr;
  ASSERT_GT(c.Bind(cdev), 0);
  uint32_t ioas = c.Ioas();
  ASSERT_GT(c.Attach(cdev, ioas), 0);
  int fd = ims_memfd_create(c.process, kGB, IMS_MMAP_1G, &memfd);
  ASSERT_GE(fd, 3);
  uint64_t va = 0;
  ASSERT_EQ(ims_mmap_file(c.process, 0, kGB, IMS_PROT_READ | IMS_PROT_WRITE, 0, memfd, 0, &va), 0);
  ASSERT_EQ(c.Map(ioas, 64 * kGB, va, kGB), 0);
  ims_result r = m.Dma(dev, 64 * kGB + 5 * kMB);
  EXPECT_EQ(r.shift, 30);
  EXPECT_EQ(r.output, c.Hpa(va) + 5 * kMB);
  ims_pin_counts pins{};
  ims_process_pins(c.process, &pins);
  EXPECT_EQ(pins.pinned, 1u << 18);
  EXPECT_EQ(ims_memfd_create(c.process, kGB, 0x40, &memfd), -EINVAL);
  EXPECT_EQ(ims_memfd_create(c.process, 0, 0, &memfd), -EINVAL);
  ims_file *other = nullptr;
  ASSERT_GE(ims_memfd_create(c.process, 3 * kGB, IMS_MMAP_1G, &other), 3); // costs nothing before it is used
  EXPECT_EQ(ims_mmap_file(c.process, 0, 2 * kGB, IMS_PROT_READ, IMS_MMAP_POPULATE, other, 0, &va), -ENOMEM);
  EXPECT_EQ(ims_mmap_file(c.process, 0, kGB, IMS_PROT_READ, 0, other, kPage, &va), -EINVAL);
  EXPECT_EQ(ims_mmap_file(c.process, 0, kGB, IMS_PROT_READ, 0, c.iommu, 0, &va), -ENODEV);
}

// ---- Many -----------------------------------------------------------------------------------------------------------

TEST_F(Ioas, ManyAreasInAnyOrder) {
  constexpr uint64_t n = 60000;
  for (uint64_t i = 0; i < n; i++) // downwards, with holes
    ASSERT_EQ(c.Map(ioas, (2 * n - 2 * i) * kPage, va, kPage), 0);
  for (uint64_t i = 0; i < n; i++) // the holes from below, by search
    ASSERT_EQ(c.Map(ioas, 0, va, kPage, kRead), 0);
  EXPECT_EQ(c.mapped_at, (2 * n - 1) * kPage);
  Check();
  for (uint64_t i = 0; i < n; i++)
    ASSERT_EQ(c.Unmap(ioas, (i * 7919 % n * 2 + 1) * kPage, kPage), 0);
  ASSERT_EQ(c.Unmap(ioas, 0, kAll), 0);
  EXPECT_EQ(c.unmapped, n * kPage);
}

// Random calls against a model of what is mapped where; the invariants hold after each.
TEST_F(Ioas, RandomCallsAgainstAModel) {
  std::mt19937_64 rng(7);
  auto pick = [&](uint64_t n) { return rng() % n; };
  struct Area {
    uint64_t length, memory;
  };
  std::map<uint64_t, Area> model[2];
  uint32_t id[2] = {ioas, c.Ioas()};
  bool attached = false;
  auto in_the_way = [&](const std::map<uint64_t, Area> &areas, uint64_t at, uint64_t length) {
    auto next = areas.lower_bound(at);
    if (next != areas.end() && next->first < at + length)
      return true;
    return next != areas.begin() && std::prev(next)->first + std::prev(next)->second.length > at;
  };
  for (int step = 0; step < 3000; step++) {
    const unsigned s = static_cast<unsigned>(pick(2));
    auto &areas = model[s];
    const uint64_t at = (1 + pick(40)) * kPage, length = (1 + pick(4)) * kPage, memory = pick(60) * kPage;
    switch (pick(attached ? 8 : 7)) {
    case 0:
    case 1: {
      long expected = in_the_way(areas, at, length) ? -EEXIST : 0;
      ASSERT_EQ(c.Map(id[s], at, va + memory, length), expected);
      if (!expected)
        areas[at] = {length, memory};
      break;
    }
    case 2: {
      long ret = c.Map(id[s], 0, va + memory, length, kRead | kWrite);
      ASSERT_EQ(ret, 0);
      ASSERT_FALSE(in_the_way(areas, c.mapped_at, length));
      areas[c.mapped_at] = {length, memory};
      break;
    }
    case 3: { // from either address space to either
      const unsigned from = static_cast<unsigned>(pick(2));
      std::vector<Area> parts;
      uint64_t src = (1 + pick(40)) * kPage, done = 0;
      while (done < length) {
        auto a = model[from].upper_bound(src + done);
        if (a == model[from].begin() || std::prev(a)->first + std::prev(a)->second.length <= src + done)
          break;
        --a;
        uint64_t in = src + done - a->first, size = std::min(a->second.length - in, length - done);
        parts.push_back({size, a->second.memory + in});
        done += size;
      }
      long expected = done < length ? -ENOENT : in_the_way(areas, at, length) ? -EEXIST : 0;
      ASSERT_EQ(Copy(id[s], at, id[from], src, length), expected);
      uint64_t to = at;
      for (const Area &part : parts) {
        if (!expected)
          areas[to] = part;
        to += part.length;
      }
      break;
    }
    case 4:
    case 5: { // areas below the first that is cut go
      uint64_t gone = 0;
      bool cut = false;
      auto a = areas.lower_bound(at);
      if (a != areas.begin() && std::prev(a)->first + std::prev(a)->second.length > at)
        cut = true;
      while (!cut && a != areas.end() && a->first < at + length) {
        cut = a->first + a->second.length > at + length;
        if (!cut) {
          gone += a->second.length;
          a = areas.erase(a);
        }
      }
      ASSERT_EQ(c.Unmap(id[s], at, length), cut || !gone ? -ENOENT : 0);
      if (!cut && gone) {
        ASSERT_EQ(c.unmapped, gone);
      }
      break;
    }
    case 6:
      if (attached)
        break;
      Attach(id[0]);
      attached = true;
      break;
    default: ASSERT_EQ(c.Detach(cdev), 0); attached = false;
    }
    char why[256];
    ASSERT_TRUE(ims_iommufd_check(c.iommu, why, sizeof why)) << step << ": " << why;
    for (uint64_t iova = kPage; attached && iova < 48 * kPage; iova += 7 * kPage) {
      auto a = model[0].upper_bound(iova);
      bool mapped = a != model[0].begin() && (--a)->first + a->second.length > iova;
      ims_result r = m.Dma(dev, iova);
      ASSERT_EQ(r.status == IMS_STATUS_OK, mapped);
      if (mapped) {
        ASSERT_EQ(r.output, c.Hpa(va + a->second.memory + (iova - a->first)));
      }
    }
    m.Clear();
  }
  if (!attached) {
    EXPECT_EQ(Pins().pinned, 0u);
  }
}

} // namespace
} // namespace uapi_test
