// SPDX-License-Identifier: Apache-2.0
// Dirty tracking through iommufd on VT-d: what the ioctls refuse, what is programmed when it is switched, which bits of the
// bitmap a write of a device sets, and that a page written again after it was read is found again (Facts 3.8, 4.1).
#include "tests/uapi/endpoint.h"

using namespace uapi_test;

namespace {

constexpr uint64_t kIova = 0x40000000, kData = Arena::kBase + 2048;

struct Rig {
  explicit Rig(uint32_t flags = IMS_HWPT_DIRTY_TRACKING, bool ats = true) {
    m.AddUnit();
    ims_device_config d = Machine::DeviceConfig();
    d.ats = d.pri = ats;
    dev = m.AddDevice(d);
    cdev = c.OpenDevice(dev);
    id = static_cast<uint32_t>(c.Bind(cdev));
    ioas = c.Ioas();
    hwpt = static_cast<uint32_t>(c.Hwpt(id, ioas, flags));
    va = c.Memory(4 * kMB, IMS_MMAP_POPULATE | IMS_MMAP_2M);
  }
  long Track(bool on = true) {
    ims_iommu_hwpt_set_dirty_tracking s{};
    s.flags = on;
    s.hwpt_id = hwpt;
    return c.Call(IMS_IOMMU_HWPT_SET_DIRTY_TRACKING, &s);
  }
  // The bitmap as words; `with`: what stands in it before.
  std::vector<uint64_t> Dirty(uint64_t iova, uint64_t length, uint64_t page = kPage, uint32_t flags = 0,
                              uint64_t with = 0) {
    std::vector<uint64_t> words((length / page + 63) / 64, with);
    m.arena.PutBytes(words.data(), words.size() * 8, kData);
    ims_iommu_hwpt_get_dirty_bitmap g{};
    g.hwpt_id = hwpt;
    g.flags = flags;
    g.iova = iova;
    g.length = length;
    g.page_size = page;
    g.data = kData;
    EXPECT_EQ(c.Call(IMS_IOMMU_HWPT_GET_DIRTY_BITMAP, &g), 0);
    for (size_t i = 0; i < words.size(); i++)
      words[i] = m.arena.Get<uint64_t>(kData + 8 * i);
    return words;
  }
  bool Write(uint64_t iova, int64_t pasid = -1) { return m.Dma(dev, iova, IMS_ACC_W, pasid).status == IMS_STATUS_OK; }
  uint64_t Entry(uint32_t pasid = 0) {
    return m.Load((m.Load(ims_device_pasid_dir(dev) + pasid / 64 * 8) & ~0xfffull) + pasid % 64 * 64);
  }
  static bool Ssade(uint64_t entry) { return entry >> 9 & 1; }

  Machine m;
  Client c{m};
  ims_device *dev;
  ims_file *cdev;
  uint32_t id, ioas, hwpt;
  uint64_t va;
};

using Words = std::vector<uint64_t>;

// ---- What is refused ------------------------------------------------------------------------------------------------

TEST(IommufdDirty, WhatSwitchingRefuses) {
  Rig r, plain(0);
  ims_iommu_hwpt_set_dirty_tracking s{};
  s.hwpt_id = r.hwpt;
  s.flags = 2;
  EXPECT_EQ(r.c.Call(IMS_IOMMU_HWPT_SET_DIRTY_TRACKING, &s), -EOPNOTSUPP);
  s.flags = 3;
  s.hwpt_id = 99;
  EXPECT_EQ(r.c.Call(IMS_IOMMU_HWPT_SET_DIRTY_TRACKING, &s), -EOPNOTSUPP);
  s.flags = 1;
  EXPECT_EQ(r.c.Call(IMS_IOMMU_HWPT_SET_DIRTY_TRACKING, &s), -ENOENT);
  s.hwpt_id = r.ioas;
  EXPECT_EQ(r.c.Call(IMS_IOMMU_HWPT_SET_DIRTY_TRACKING, &s), -ENOENT);
  s.hwpt_id = r.hwpt;
  s.reserved = 7; // is not looked at
  EXPECT_EQ(r.c.Call(IMS_IOMMU_HWPT_SET_DIRTY_TRACKING, &s), 0);
  EXPECT_EQ(plain.Track(), -EOPNOTSUPP); // not made for it
  EXPECT_EQ(plain.Track(false), -EOPNOTSUPP);
}

struct GetCase {
  const char *what;
  std::function<void(Rig &, ims_iommu_hwpt_get_dirty_bitmap &)> change;
  long err;
};

TEST(IommufdDirty, WhatReadingRefuses) {
  const GetCase cases[] = {
      {"nothing wrong", [](Rig &, auto &) {}, 0},
      {"an unknown flag", [](Rig &, auto &g) { g.flags = 2; }, -EOPNOTSUPP},
      {"reserved", [](Rig &, auto &g) { g.reserved = 1; }, -EOPNOTSUPP},
      {"no such table", [](Rig &, auto &g) { g.hwpt_id = 99; }, -ENOENT},
      {"not a table", [](Rig &r, auto &g) { g.hwpt_id = r.ioas; }, -ENOENT},
      {"a range past the end", [](Rig &, auto &g) { g.iova = ~0xfffull, g.length = 2 * kPage; }, -EOVERFLOW},
      {"no length", [](Rig &, auto &g) { g.length = 0; }, -EINVAL},
      {"a misaligned begin", [](Rig &, auto &g) { g.iova += 0x800; }, -EINVAL},
      {"a misaligned end", [](Rig &, auto &g) { g.length += 0x800; }, -EINVAL},
      {"pages of no bytes", [](Rig &, auto &g) { g.page_size = 0; }, -EINVAL},
      {"a begin that is none of a page", [](Rig &, auto &g) { g.iova += kPage, g.page_size = 2 * kPage; }, -EINVAL},
      {"an end that is none of a page", [](Rig &, auto &g) { g.length = 3 * kPage, g.page_size = 2 * kPage; }, -EINVAL},
      {"smaller pages than the table's", [](Rig &, auto &g) { g.page_size = 512; }, 0},
      {"a table that does not track",
       [](Rig &r, auto &g) { g.hwpt_id = static_cast<uint32_t>(r.c.Hwpt(r.id, r.ioas)); }, -EOPNOTSUPP},
      {"a table that does not track, and no pages",
       [](Rig &r, auto &g) {
         g.hwpt_id = static_cast<uint32_t>(r.c.Hwpt(r.id, r.ioas));
         g.page_size = 0;
       },
       -EINVAL},
      {"nothing is mapped", [](Rig &, auto &g) { g.iova = 0; }, 0},
      {"a bitmap that cannot be written", [](Rig &, auto &g) { g.data = 8; }, 0}, // and nobody is told
  };
  for (const GetCase &t : cases) {
    Rig r;
    ASSERT_EQ(r.c.Map(r.ioas, kIova, r.va, 2 * kMB), 0);
    ASSERT_EQ(r.c.Attach(r.cdev, r.hwpt), r.hwpt);
    ASSERT_EQ(r.Track(), 0);
    ASSERT_TRUE(r.Write(kIova));
    ims_iommu_hwpt_get_dirty_bitmap g{};
    g.hwpt_id = r.hwpt;
    g.iova = kIova;
    g.length = 64 * kPage;
    g.page_size = kPage;
    g.data = kData;
    t.change(r, g);
    EXPECT_EQ(r.c.Call(IMS_IOMMU_HWPT_GET_DIRTY_BITMAP, &g), t.err) << t.what;
  }
}

// ---- What is found --------------------------------------------------------------------------------------------------

TEST(IommufdDirty, WritesSetTheBitsOfTheirPagesAndReadsDoNot) {
  for (bool ats : {true, false}) {
    Rig r(IMS_HWPT_DIRTY_TRACKING, ats);
    for (uint64_t i = 0; i < 130; i++) // single pages: an odd place in memory for each
      ASSERT_EQ(r.c.Map(r.ioas, kIova + i * kPage, r.va + (2 * i + 1) * kPage, kPage), 0);
    ASSERT_EQ(r.c.Attach(r.cdev, r.hwpt), r.hwpt);
    EXPECT_TRUE(r.Write(kIova + 7 * kPage)); // before it is switched on
    ASSERT_EQ(r.Track(), 0);
    EXPECT_EQ(r.Dirty(kIova, 130 * kPage), (Words{0, 0, 0}));
    EXPECT_TRUE(r.Write(kIova + 3 * kPage + 8));
    EXPECT_TRUE(r.Write(kIova + 63 * kPage));
    EXPECT_TRUE(r.Write(kIova + 64 * kPage));
    EXPECT_TRUE(r.Write(kIova + 129 * kPage));
    EXPECT_EQ(r.m.Dma(r.dev, kIova + 5 * kPage).status, IMS_STATUS_OK); // read
    const Words all = {1ull << 3 | 1ull << 63, 1, 2};
    EXPECT_EQ(r.Dirty(kIova, 130 * kPage, kPage, IMS_GET_DIRTY_NO_CLEAR), all);
    EXPECT_EQ(r.Dirty(kIova, 130 * kPage, kPage, IMS_GET_DIRTY_NO_CLEAR), all); // still
    EXPECT_EQ(r.Dirty(kIova + 3 * kPage, 64 * kPage, kPage, IMS_GET_DIRTY_NO_CLEAR),
              (Words{1 | 1ull << 60 | 1ull << 61}));
    EXPECT_EQ(r.Dirty(kIova, 130 * kPage, kPage, 0, 0x10),
              (Words{all[0] | 0x10, all[1] | 0x10, all[2] | 0x10})); // ORed
    EXPECT_EQ(r.Dirty(kIova, 130 * kPage), (Words{0, 0, 0}));
    // The IOTLB knew the page as dirty; it has been told, so the next write is found.
    EXPECT_TRUE(r.Write(kIova + 3 * kPage));
    EXPECT_EQ(r.Dirty(kIova, 130 * kPage), (Words{8, 0, 0}));
  }
}

TEST(IommufdDirty, ALargeLeafSetsAllItsBits) {
  Rig r;
  ASSERT_EQ(r.c.Map(r.ioas, kIova, r.va, 4 * kMB), 0); // two leaves of 2 MB
  ASSERT_EQ(r.c.Attach(r.cdev, r.hwpt), r.hwpt);
  ASSERT_EQ(r.Track(), 0);
  EXPECT_TRUE(r.Write(kIova + 2 * kMB + 77 * kPage));
  Words w = r.Dirty(kIova, 4 * kMB, kPage, IMS_GET_DIRTY_NO_CLEAR);
  for (size_t i = 0; i < 16; i++)
    EXPECT_EQ(w[i], i < 8 ? 0 : ~0ull) << i;
  // Part of the leaf; other pages than the table's.
  EXPECT_EQ(r.Dirty(kIova + 2 * kMB + 8 * kPage, 4 * kPage, kPage, IMS_GET_DIRTY_NO_CLEAR), Words{0xf});
  EXPECT_EQ(r.Dirty(kIova, 4 * kMB, 64 * kPage, IMS_GET_DIRTY_NO_CLEAR), Words{0xff00});
  EXPECT_EQ(r.Dirty(kIova, 4 * kMB, 2 * kMB, IMS_GET_DIRTY_NO_CLEAR), Words{2});
  EXPECT_EQ(r.Dirty(kIova + 2 * kMB, kPage, 512, IMS_GET_DIRTY_NO_CLEAR), Words{0xff});
  // Clearing any part of it clears the leaf, whose flush concerns the whole of it.
  r.m.Clear();
  EXPECT_EQ(r.Dirty(kIova + 2 * kMB + 8 * kPage, 4 * kPage), Words{0xf});
  std::vector<uint64_t> q;
  for (const Note &n : r.m.notes)
    if (n.note.kind == IMS_NOTE_DESCRIPTOR)
      q.insert(q.end(), {n.note.word[0] & 0x3f, n.note.word[1]});
  ASSERT_EQ(q.size(), 6u);
  EXPECT_EQ(q[0], 0x32u); // IOTLB, pages of a domain
  EXPECT_EQ(q[1], (kIova + 2 * kMB) | 0x40 | 9);
  EXPECT_EQ(q[2], 0x3u); // device TLB
  EXPECT_EQ(q[3], (kIova + 2 * kMB) | 0xff000 | 1);
  EXPECT_EQ(r.Dirty(kIova, 4 * kMB, 2 * kMB), Words{0});
}

TEST(IommufdDirty, ReadingStopsAtAHoleAndSaysNothing) {
  Rig r;
  for (uint64_t i : {0, 1, 3})
    ASSERT_EQ(r.c.Map(r.ioas, kIova + i * kPage, r.va + 2 * i * kPage, kPage), 0);
  ASSERT_EQ(r.c.Attach(r.cdev, r.hwpt), r.hwpt);
  ASSERT_EQ(r.Track(), 0);
  for (uint64_t i : {0, 1, 3})
    EXPECT_TRUE(r.Write(kIova + i * kPage));
  EXPECT_EQ(r.Dirty(kIova, 4 * kPage), Words{3});
  EXPECT_EQ(r.Dirty(kIova + 2 * kPage, 2 * kPage), Words{0});
  EXPECT_EQ(r.Dirty(kIova + 3 * kPage, kPage), Words{1});
}

TEST(IommufdDirty, NothingCleanIsFlushed) {
  Rig r;
  ASSERT_EQ(r.c.Map(r.ioas, kIova, r.va, 2 * kMB), 0);
  ASSERT_EQ(r.c.Attach(r.cdev, r.hwpt), r.hwpt);
  ASSERT_EQ(r.Track(), 0);
  r.m.Clear();
  EXPECT_EQ(r.Dirty(kIova, 2 * kMB, 2 * kMB), Words{0});
  EXPECT_TRUE(r.m.Descriptors().empty());
  EXPECT_TRUE(r.Write(kIova));
  EXPECT_EQ(r.Dirty(kIova, 2 * kMB, 2 * kMB, IMS_GET_DIRTY_NO_CLEAR), Words{1});
  EXPECT_TRUE(r.m.Descriptors().empty());
}

TEST(IommufdDirty, WhatADeviceWritesByItsOwnTranslationsIsFoundAgain) {
  Rig r;
  Endpoints ends(r.m);
  Endpoint ep(ends, r.dev);
  ASSERT_EQ(r.c.Map(r.ioas, kIova, r.va + kPage, kPage), 0);
  ASSERT_EQ(r.c.Attach(r.cdev, r.hwpt), r.hwpt);
  ASSERT_EQ(r.Track(), 0);
  for (int round = 0; round < 3; round++) {
    uint64_t value = 1;
    EXPECT_EQ(ep.Dma(kIova, IMS_ACC_W, -1, true, &value), IMS_DMA_DONE);
    EXPECT_EQ(r.Dirty(kIova, kPage), Words{1}) << round;
    EXPECT_EQ(r.Dirty(kIova, kPage), Words{0}) << round;
  }
}

// ---- What is programmed ---------------------------------------------------------------------------------------------

TEST(IommufdDirty, SwitchingSetsTheBitInEveryEntryAndInvalidates) {
  Rig r(IMS_HWPT_DIRTY_TRACKING | IMS_HWPT_PASID);
  ASSERT_EQ(r.c.Attach(r.cdev, r.hwpt), r.hwpt);
  ASSERT_EQ(r.c.Attach(r.cdev, r.hwpt, 5), r.hwpt);
  EXPECT_FALSE(Rig::Ssade(r.Entry()));
  const uint64_t before = r.Entry(5);
  r.m.Clear();
  ASSERT_EQ(r.Track(), 0);
  EXPECT_EQ(r.Entry(5), before | 1 << 9);
  EXPECT_TRUE(Rig::Ssade(r.Entry()));
  // PASID cache, IOTLB by domain, device TLB, each complete before the next; for both entries.
  EXPECT_EQ(r.m.DescriptorTypes(), (std::vector<unsigned>{7, 5, 2, 5, 3, 5, 7, 5, 2, 5, 8, 5}));
  EXPECT_EQ(r.m.Descriptors()[2] >> 4 & 3, 2u);
  r.m.Clear();
  ASSERT_EQ(r.Track(), 0); // it is on
  EXPECT_TRUE(r.m.Descriptors().empty());
  ASSERT_EQ(r.Track(false), 0);
  EXPECT_EQ(r.Entry(5), before);
  EXPECT_EQ(r.m.DescriptorTypes(), (std::vector<unsigned>{7, 5, 2, 5, 3, 5, 7, 5, 2, 5, 8, 5}));
  // What is attached while it is on has the bit from the start.
  ASSERT_EQ(r.Track(), 0);
  ASSERT_EQ(r.c.Attach(r.cdev, r.hwpt, 6), r.hwpt);
  EXPECT_TRUE(Rig::Ssade(r.Entry(6)));
  ASSERT_EQ(r.c.Map(r.ioas, kIova, r.va + kPage, kPage), 0);
  EXPECT_TRUE(r.Write(kIova, 6));
  EXPECT_EQ(r.Dirty(kIova, kPage), Words{1});
  // Without tracking nothing is set.
  ASSERT_EQ(r.Track(false), 0);
  EXPECT_TRUE(r.Write(kIova, 6));
  EXPECT_EQ(r.Dirty(kIova, kPage), Words{0});
}

TEST(IommufdDirty, WhatAGuestMakesItsDeviceWriteIsFoundInTheParent) {
  Rig r(IMS_HWPT_DIRTY_TRACKING | IMS_HWPT_NEST_PARENT);
  ims_vm *vm = r.c.Guest(r.ioas, 16 * kMB);
  GuestTable t(vm);
  t.Map(0x7000000000, 2 * kMB, kPage);
  ims_iommu_hwpt_vtd_s1 s{};
  s.pgtbl_addr = t.pgt.root;
  s.addr_width = 48;
  int64_t nested = r.c.Hwpt(r.id, r.hwpt, IMS_HWPT_PASID, IMS_HWPT_DATA_VTD_S1, &s);
  ASSERT_EQ(r.c.Attach(r.cdev, static_cast<uint32_t>(nested), 5), nested);
  r.m.Clear();
  ASSERT_EQ(r.Track(), 0);
  EXPECT_TRUE(Rig::Ssade(r.Entry(5)));
  EXPECT_EQ(r.m.DescriptorTypes(), (std::vector<unsigned>{7, 5, 2, 5, 8, 5}));
  ims_iommu_hwpt_set_dirty_tracking of_nested{};
  of_nested.flags = 1;
  of_nested.hwpt_id = static_cast<uint32_t>(nested);
  EXPECT_EQ(r.c.Call(IMS_IOMMU_HWPT_SET_DIRTY_TRACKING, &of_nested), -ENOENT);
  EXPECT_EQ(r.m.Dma(r.dev, 0x7000000000, IMS_ACC_W, 5).status, IMS_STATUS_OK);
  // The page, in a leaf of 2 MB; and the guest's tables, whose accessed bits the walk has set, 8 MB on.
  EXPECT_EQ(r.Dirty(0, 16 * kMB, 2 * kMB), Words{1 << 1 | 1 << 4});
  EXPECT_EQ(r.Dirty(0, 16 * kMB, 2 * kMB), Words{0});
  EXPECT_EQ(r.m.Dma(r.dev, 0x7000000000, IMS_ACC_W, 5).status, IMS_STATUS_OK);
  EXPECT_EQ(r.Dirty(0, 16 * kMB, 2 * kMB)[0] & 2, 2u);
}

// A migration: random writes, the bitmap read now and then. What was written since is always found, and with pages of 4 KB
// nothing else.
TEST(IommufdDirty, NoWriteIsEverMissed) {
  Rig r;
  uint64_t seed = 12345;
  auto random = [&](uint64_t n) {
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (seed >> 33) % n;
  };
  constexpr uint64_t kPages = 192;
  for (uint64_t i = 0; i < kPages; i++)
    ASSERT_EQ(r.c.Map(r.ioas, kIova + i * kPage, r.va + (2 * i + 1) * kPage, kPage), 0);
  ASSERT_EQ(r.c.Attach(r.cdev, r.hwpt), r.hwpt);
  ASSERT_EQ(r.Track(), 0);
  Words written(3);
  for (int i = 0; i < 3000; i++) {
    uint64_t page = random(kPages), what = random(20);
    if (what < 12) {
      ASSERT_TRUE(r.Write(kIova + page * kPage));
      written[page / 64] |= 1ull << page % 64;
    } else if (what < 18) {
      ASSERT_EQ(r.m.Dma(r.dev, kIova + page * kPage).status, IMS_STATUS_OK);
    } else {
      bool clear = what == 18;
      ASSERT_EQ(r.Dirty(kIova, kPages * kPage, kPage, clear ? 0u : unsigned(IMS_GET_DIRTY_NO_CLEAR)), written) << i;
      if (clear)
        written.assign(3, 0);
    }
  }
}

} // namespace
