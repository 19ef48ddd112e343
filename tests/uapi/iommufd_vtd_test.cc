// SPDX-License-Identifier: Apache-2.0
// VT-d under iommufd: the exact order of table stores and descriptors for attaching, replacing, invalidating and detaching,
// with caching mode, write buffers, device TLB and page requests there or not; and what DMA meets before and after
// (Facts 4.1, B, I and T).
#include "tests/uapi/endpoint.h"

using namespace uapi_test;

namespace {

using Steps = std::vector<std::string>;

std::string Hex(uint64_t v) {
  char text[32];
  snprintf(text, sizeof text, "%llx", static_cast<unsigned long long>(v));
  return text;
}

// One descriptor, from its words: facts 4.1, descriptor encodings.
std::string Descriptor(const ims_note &n) {
  const uint64_t a = n.word[0], b = n.word[1];
  const std::string did = " did " + std::to_string(a >> 16 & 0xffff),
                    pasid = " pasid " + std::to_string(a >> 32 & 0xfffff);
  const std::string range = " " + Hex(b >> 12 << 12) + "/" + std::to_string(b & 63) + (b >> 6 & 1 ? " ih" : "");
  switch (a & 15) {
  case 2: return "iotlb" + did + ((a >> 4 & 3) == 3 ? range : "");
  case 3: return "dtlb " + Hex(a >> 32 & 0xffff) + " " + Hex(b);
  case 5: return a >> 6 & 1 ? "fence" : a >> 7 & 1 ? "drain" : "wait";
  case 6: return "piotlb" + did + pasid + ((a >> 4 & 3) == 3 ? range : "");
  case 7: return "pc" + did + pasid;
  case 8: return "pdtlb " + Hex(a >> 16 & 0xffff) + pasid + " " + Hex(b);
  default: return "?" + Hex(a);
  }
}

constexpr char kAll[] = "7ffffffffffff001",
               kAllPasid[] = "7ffffffffffff800"; // every address: sizes coded in the address

// What was done since the last Clear(). PASID entries: "zero" is all eight words, "P off" is the bit alone.
Steps Did(Machine &m) {
  Steps out;
  for (const Note &n : m.notes) {
    if (n.note.kind == IMS_NOTE_DESCRIPTOR) {
      out.push_back(Descriptor(n.note));
    } else if (n.note.kind == IMS_NOTE_TABLE && n.what == "PASID table entry") {
      unsigned word = n.note.addr / 8 % 8;
      if (n.note.word[0] == 0 && word == 0 && !(n.note.old & 1))
        out.push_back("zero");
      else if (n.note.word[0] == 0)
        continue; // the rest of it
      else if (n.note.word[0] == (n.note.old & ~1ull) && (n.note.old & 1))
        out.push_back("P off");
      else
        out.push_back("word " + std::to_string(word) + (word ? "" : n.note.word[0] & 1 ? " with P" : ""));
    } else if (n.note.kind == IMS_NOTE_MMIO_WRITE && n.what == "GCMD") {
      out.push_back("write buffer");
    }
  }
  m.Clear();
  return out;
}

Steps operator+(Steps a, const Steps &b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

const Steps kFill = {"zero", "word 2", "word 1", "word 0", "word 0 with P"};

struct Options {
  bool cm = false, rwbf = false, ats = true, pri = true;
};

struct Rig {
  explicit Rig(const Options &o = {}) : options(o) {
    ims_vtd_config unit = Machine::UnitConfig();
    unit.cm = o.cm;
    unit.rwbf = o.rwbf;
    m.AddUnit(unit);
    ims_device_config d = Machine::DeviceConfig();
    d.ats = o.ats;
    d.pri = o.pri;
    dev = m.AddDevice(d);
    cdev = c.OpenDevice(dev);
    id = static_cast<uint32_t>(c.Bind(cdev));
    ioas = c.Ioas();
    parent = static_cast<uint32_t>(c.Hwpt(id, ioas, IMS_HWPT_NEST_PARENT));
    vm = c.Guest(ioas, 16 * kMB);
    for (auto &t : table)
      t = std::make_unique<GuestTable>(vm);
    table[0]->Map(kGva, 2 * kMB, 4 * kPage);
    table[1]->Map(kGva, 3 * kMB, 4 * kPage);
    m.Clear();
  }
  uint32_t Nested(int which, uint32_t flags = IMS_HWPT_PASID, uint64_t bits = 0) {
    ims_iommu_hwpt_vtd_s1 s{};
    s.pgtbl_addr = table[which]->pgt.root;
    s.addr_width = 48;
    s.flags = bits;
    int64_t h = c.Hwpt(id, parent, flags, IMS_HWPT_DATA_VTD_S1, &s);
    EXPECT_GT(h, 0);
    return static_cast<uint32_t>(h);
  }
  Steps Attach(uint32_t h, int64_t pasid = -1) {
    m.Clear();
    EXPECT_EQ(c.Attach(cdev, h, pasid), h);
    return Did(m);
  }
  Steps Detach(int64_t pasid = -1) {
    m.Clear();
    EXPECT_EQ(c.Detach(cdev, pasid), 0);
    return Did(m);
  }
  Steps Invalidate(uint32_t h, uint64_t addr, uint64_t npages, uint32_t flags = 0) {
    ims_iommu_hwpt_vtd_s1_invalidate e{addr, npages, flags, 0};
    ims_iommu_hwpt_invalidate i{};
    i.hwpt_id = h;
    i.data_uptr = m.arena.Put(e, Arena::kBase + 2048);
    i.entry_len = sizeof e;
    i.entry_num = 1;
    m.Clear();
    EXPECT_EQ(c.Call(IMS_IOMMU_HWPT_INVALIDATE, &i), 0);
    EXPECT_EQ(i.entry_num, 1u);
    return Did(m);
  }
  // B8.
  Steps Present(unsigned did, unsigned pasid) const {
    std::string tag = " did " + std::to_string(did) + " pasid " + std::to_string(pasid);
    if (options.cm)
      return {"pc" + tag, "wait", "piotlb" + tag, "wait"};
    return options.rwbf ? Steps{"write buffer"} : Steps{};
  }
  std::string DeviceTlb(unsigned pasid) const {
    return pasid ? "pdtlb 300 pasid " + std::to_string(pasid) + " " + kAllPasid : std::string("dtlb 300 ") + kAll;
  }
  // T1 to T6.
  Steps TornDown(unsigned did, unsigned pasid, bool first_stage = false) const {
    const std::string domain = " did " + std::to_string(did), tag = domain + " pasid " + std::to_string(pasid);
    Steps s = {"P off", "pc" + tag, "wait", (first_stage ? "piotlb" + tag : "iotlb" + domain), "wait"};
    if (options.ats)
      s = s + Steps{DeviceTlb(pasid), "wait"};
    s.push_back("zero");
    if (options.ats && options.pri)
      s = s + Steps{"fence", (pasid ? "piotlb" + tag : "iotlb" + domain), DeviceTlb(pasid), "drain"};
    return s;
  }
  uint64_t Entry(uint32_t pasid = 0) {
    return (m.Load(ims_device_pasid_dir(dev) + pasid / 64 * 8) & ~0xfffull) + pasid % 64 * 64;
  }
  // Where the page of the guest is that DMA reaches; 0: nowhere.
  uint64_t Reached(int64_t pasid = -1, uint64_t gva = kGva) {
    ims_result r = m.Dma(dev, gva, IMS_ACC_R, pasid);
    return r.status == IMS_STATUS_OK ? r.output : 0;
  }
  uint64_t Hpa(uint64_t gpa) {
    uint64_t hpa = 0;
    EXPECT_EQ(ims_vm_translate(vm, gpa, &hpa), IMS_ERR_OK);
    return hpa;
  }

  static constexpr uint64_t kGva = 0x7000000000;
  Options options;
  Machine m;
  Client c{m};
  ims_device *dev;
  ims_file *cdev;
  uint32_t id, ioas, parent;
  ims_vm *vm;
  std::unique_ptr<GuestTable> table[2];
};

const Options kMachines[] = {{},
                             {true, false, true, true},
                             {false, true, true, true},
                             {false, false, true, false},
                             {false, false, false, false},
                             {true, false, false, false}};

// ---- B, T: attach and detach ----------------------------------------------------------------------------------------

TEST(IommufdVtd, AttachingAndDetachingANestedTable) {
  for (const Options &o : kMachines)
    for (int64_t pasid : {-1, 5}) {
      Rig r(o);
      unsigned p = pasid < 0 ? 0 : 5;
      uint32_t h = r.Nested(0);
      EXPECT_EQ(r.Reached(pasid), 0u); // caching mode may remember that
      EXPECT_EQ(r.Attach(h, pasid), kFill + r.Present(2, p));
      EXPECT_EQ(r.Reached(pasid), r.Hpa(2 * kMB));
      EXPECT_EQ(r.Detach(pasid), r.TornDown(2, p));
      EXPECT_EQ(r.Reached(pasid), 0u);
      EXPECT_EQ(r.Detach(pasid), Steps{});
    }
}

TEST(IommufdVtd, AttachingAndDetachingAFirstStageOfTheHost) {
  for (const Options &o : kMachines)
    for (int64_t pasid : {-1, 5}) {
      Rig r(o);
      unsigned p = pasid < 0 ? 0 : 5;
      auto h = static_cast<uint32_t>(r.c.Hwpt(r.id, r.ioas, IMS_HWPT_PASID));
      EXPECT_EQ(r.Attach(h, pasid), kFill + r.Present(2, p));
      EXPECT_EQ(r.Reached(pasid, 5 * kMB), r.Hpa(5 * kMB));
      EXPECT_EQ(r.Detach(pasid), r.TornDown(2, p, true));
      EXPECT_EQ(r.Reached(pasid, 5 * kMB), 0u);
    }
}

TEST(IommufdVtd, AttachingAndDetachingASecondStage) {
  for (const Options &o : kMachines) {
    Rig r(o);
    // A second stage's entry has no first-stage pointer: word 2 stays as it is, zero.
    const Steps fill = {"zero", "word 1", "word 0", "word 0 with P"};
    EXPECT_EQ(r.Attach(r.parent), fill + r.Present(2, 0));
    EXPECT_EQ(r.Reached(-1, 5 * kMB), r.Hpa(5 * kMB));
    EXPECT_EQ(r.Detach(), r.TornDown(2, 0));
  }
}

TEST(IommufdVtd, EntriesInMemory) {
  Rig r;
  const uint64_t all = IMS_VTD_S1_SRE | IMS_VTD_S1_EAFE | IMS_VTD_S1_WPE;
  r.Attach(r.parent);
  uint64_t second = r.m.Load(r.Entry()) & ~0xfffull;
  EXPECT_EQ(r.m.Load(r.Entry()) & 0xfff, 0x089u); // P, AW 48 bits, second stage
  EXPECT_EQ(r.m.Load(r.Entry() + 8), 0x0800002u); // DID 2, PWSNP
  EXPECT_EQ(r.m.Load(r.Entry() + 16), 0u);
  r.Attach(r.Nested(0, 0, all));
  EXPECT_EQ(r.m.Load(r.Entry()), second | 0x0c9);                   // nested, over the same tables
  EXPECT_EQ(r.m.Load(r.Entry() + 8), 0x1800002u);                   // PGSNP, since the parent forces snooping
  EXPECT_EQ(r.m.Load(r.Entry() + 16), r.table[0]->pgt.root | 0x91); // SRE, WPE, EAFE
  r.Attach(r.Nested(1, 0, IMS_VTD_S1_WPE));
  EXPECT_EQ(r.m.Load(r.Entry() + 16), r.table[1]->pgt.root); // WPE is nothing without SRE
  auto first = static_cast<uint32_t>(r.c.Hwpt(r.id, r.ioas));
  r.Attach(first);
  EXPECT_EQ(r.m.Load(r.Entry()), 0x04du); // P, first stage, AW as Linux writes it
  EXPECT_EQ(r.m.Load(r.Entry() + 8), 0x1800002u);
  EXPECT_EQ(r.m.Load(r.Entry() + 16) & 0xfff, 4u); // 5 levels, for addresses of 57 bits
  for (int i = 3; i < 8; i++)
    EXPECT_EQ(r.m.Load(r.Entry() + 8 * i), 0u);
}

TEST(IommufdVtd, AFirstStageIsAccessedAndDirtyFromTheStart) {
  ims_vtd_config unit = Machine::UnitConfig();
  unit.mgaw = 47; // four levels
  Machine m;
  m.AddUnit(unit);
  ims_device *dev = m.AddDevice();
  Client c(m);
  ims_file *cdev = c.OpenDevice(dev);
  auto id = static_cast<uint32_t>(c.Bind(cdev));
  uint32_t ioas = c.Ioas();
  uint64_t va = c.Memory(2 * kPage);
  ASSERT_EQ(c.Map(ioas, 0x1000, va, kPage), 0);
  ASSERT_EQ(c.Map(ioas, 0x2000, va + kPage, kPage, IMS_IOAS_MAP_FIXED_IOVA | IMS_IOAS_MAP_READABLE), 0);
  ASSERT_GT(c.Attach(cdev, static_cast<uint32_t>(c.Hwpt(id, ioas))), 0);
  uint64_t at = m.Load((m.Load(ims_device_pasid_dir(dev)) & ~0xfffull) + 16) & ~0xfffull;
  for (int level = 4; level > 1; level--)
    at = m.Load(at) & 0xffffffffff000;
  EXPECT_EQ(m.Load(at + 8), c.Hpa(va) | 0x67);          // P, R/W, U/S, A, D
  EXPECT_EQ(m.Load(at + 16), c.Hpa(va + kPage) | 0x25); // P, U/S, A
  const uint64_t before = m.Load(at + 8);
  EXPECT_EQ(m.Dma(dev, 0x1000, IMS_ACC_W).status, IMS_STATUS_OK);
  EXPECT_EQ(m.Load(at + 8), before);
}

TEST(IommufdVtd, IdsOfDomains) {
  Rig r;
  uint32_t a = r.Nested(0), b = r.Nested(1), f = static_cast<uint32_t>(r.c.Hwpt(r.id, r.ioas, IMS_HWPT_PASID));
  auto did = [&](uint32_t pasid) { return r.m.Load(r.Entry(pasid) + 8) & 0xffff; };
  r.Attach(a);
  r.Attach(a, 5);
  r.Attach(b, 6);
  r.Attach(f, 7);
  EXPECT_EQ(did(0), 2u);
  EXPECT_EQ(did(5), 2u); // one for the domain, however often it is attached
  EXPECT_EQ(did(6), 3u);
  EXPECT_EQ(did(7), 4u);
  r.Detach(6); // given back
  r.Attach(f, 6);
  EXPECT_EQ(did(6), 4u);
  r.Attach(b, 8);
  EXPECT_EQ(did(8), 3u);
}

TEST(IommufdVtd, WhenThereAreNoMoreIds) {
  ims_vtd_config unit = Machine::UnitConfig();
  unit.nd = 0; // 16
  Machine m;
  m.AddUnit(unit);
  ims_device *dev = m.AddDevice();
  Client c(m);
  ims_file *cdev = c.OpenDevice(dev);
  auto id = static_cast<uint32_t>(c.Bind(cdev));
  uint32_t ioas = c.Ioas(), last = 0;
  for (uint32_t pasid = 1; pasid <= 14; pasid++) {
    last = static_cast<uint32_t>(c.Hwpt(id, ioas, IMS_HWPT_PASID));
    ASSERT_EQ(c.Attach(cdev, last, pasid), last);
  }
  auto one_more = static_cast<uint32_t>(c.Hwpt(id, ioas, IMS_HWPT_PASID));
  EXPECT_EQ(c.Attach(cdev, one_more, 15), -ENOSPC);
  EXPECT_EQ(c.Attach(cdev, one_more, 14), -ENOSPC); // in the place of another: both are needed for a moment
  EXPECT_EQ(c.Attach(cdev, last, 15), last);        // an id that is there
  EXPECT_EQ(c.Detach(cdev, 15), 0);
  EXPECT_EQ(c.Detach(cdev, 14), 0);
  EXPECT_EQ(c.Attach(cdev, one_more, 15), one_more);
}

// ---- Replacing ------------------------------------------------------------------------------------------------------

TEST(IommufdVtd, ReplacingForRequestsWithoutPasidGivesTheOldIdUpFirst) {
  for (const Options &o : kMachines) {
    Rig r(o);
    r.Attach(r.Nested(0));
    EXPECT_EQ(r.Reached(), r.Hpa(2 * kMB));
    EXPECT_EQ(r.Attach(r.Nested(1)), r.TornDown(2, 0) + kFill + r.Present(2, 0));
    EXPECT_EQ(r.Reached(), r.Hpa(3 * kMB));
    auto f = static_cast<uint32_t>(r.c.Hwpt(r.id, r.ioas));
    EXPECT_EQ(r.Attach(f), r.TornDown(2, 0) + kFill + r.Present(2, 0));
    EXPECT_EQ(r.Reached(), 0u);
    EXPECT_EQ(r.Reached(-1, 5 * kMB), r.Hpa(5 * kMB));
    EXPECT_EQ(r.Attach(f), Steps{}); // by itself
  }
}

TEST(IommufdVtd, ReplacingForAPasidKeepsTheOldEntryUntilTheNewOneIsReady) {
  for (const Options &o : kMachines) {
    Rig r(o);
    uint32_t a = r.Nested(0), b = r.Nested(1);
    r.Attach(a, 5);
    EXPECT_EQ(r.Reached(5), r.Hpa(2 * kMB));
    EXPECT_EQ(r.Attach(b, 5), r.TornDown(2, 5) + kFill + r.Present(3, 5)); // its id was taken before
    EXPECT_EQ(r.Reached(5), r.Hpa(3 * kMB));
    auto f = static_cast<uint32_t>(r.c.Hwpt(r.id, r.ioas, IMS_HWPT_PASID));
    EXPECT_EQ(r.Attach(f, 5), r.TornDown(3, 5) + kFill + r.Present(2, 5));
    EXPECT_EQ(r.Reached(5, 5 * kMB), r.Hpa(5 * kMB));
    EXPECT_EQ(r.c.Destroy(a), 0);
    EXPECT_EQ(r.c.Destroy(b), 0);
  }
}

TEST(IommufdVtd, AReplacementThatIsRefusedTouchesNothing) {
  for (int64_t pasid : {-1, 5}) {
    Rig r;
    uint32_t a = r.Nested(0);
    r.Attach(a, pasid);
    ims_iommu_hwpt_vtd_s1 s{};
    s.addr_width = 39;
    int64_t bad = r.c.Hwpt(r.id, r.parent, IMS_HWPT_PASID, IMS_HWPT_DATA_VTD_S1, &s);
    r.m.Clear();
    EXPECT_EQ(r.c.Attach(r.cdev, static_cast<uint32_t>(bad), pasid), -EINVAL);
    EXPECT_EQ(Did(r.m), Steps{});
    EXPECT_EQ(r.Reached(pasid), r.Hpa(2 * kMB));
    EXPECT_EQ(r.c.Destroy(static_cast<uint32_t>(bad)), 0);
    EXPECT_EQ(r.c.Destroy(a), -EBUSY);
  }
}

// ---- I: invalidation ------------------------------------------------------------------------------------------------

struct RangeCase {
  uint64_t addr, npages;
  uint32_t flags;
  const char *range, *dtlb, *pdtlb; // of the IOTLB; of the device TLB, without and with PASID
};

TEST(IommufdVtd, InvalidationsAreOneBlockThatHoldsTheRange) {
  const RangeCase cases[] = {
      {0x7000001000, 1, 0, " 7000001000/0", "7000001000", "7000001000"},
      {0x7000001000, 1, IMS_INVALIDATE_LEAF, " 7000001000/0 ih", "7000001000", "7000001000"},
      {0x7000000000, 2, 0, " 7000000000/1", "7000000001", "7000000800"},
      {0x7000001000, 2, 0, " 7000000000/2", "7000001001", "7000001800"}, // across a border: twice as large
      {0x7000000000, 512, IMS_INVALIDATE_LEAF, " 7000000000/9 ih", "70000ff001", "70000ff800"},
      {0x7000003000, 0, 0, " 7000002000/1", "7000002001", "7000002800"}, // Linux takes it so
      {0, ~0ull, 0, "", kAll, kAllPasid},
      {0, 1ull << 52, 0, "", kAll, kAllPasid},
      {0, 1ull << 51, 0, " 0/51", "3ffffffffffff001", "3ffffffffffff800"},
  };
  for (const RangeCase &t : cases)
    for (bool ats : {true, false}) {
      Options o;
      o.ats = o.pri = ats;
      Rig r(o);
      uint32_t h = r.Nested(0);
      EXPECT_EQ(r.Invalidate(h, t.addr, t.npages, t.flags), Steps{}); // nothing is attached
      r.Attach(h);
      Steps expected = {std::string("piotlb did 2 pasid 0") + t.range};
      if (ats)
        expected.push_back(std::string("dtlb 300 ") + t.dtlb);
      EXPECT_EQ(r.Invalidate(h, t.addr, t.npages, t.flags), expected + Steps{"wait"}) << t.range;
      r.Detach();
      r.Attach(h, 5);
      expected = {std::string("piotlb did 2 pasid 5") + t.range};
      if (ats)
        expected.push_back(std::string("pdtlb 300 pasid 5 ") + t.pdtlb);
      EXPECT_EQ(r.Invalidate(h, t.addr, t.npages, t.flags), expected + Steps{"wait"}) << t.range;
    }
}

TEST(IommufdVtd, AnInvalidationGoesWhereTheTableIsAttached) {
  Rig r;
  ims_device *two = r.m.AddDevice(Machine::DeviceConfig(0x400, 8));
  ims_file *d2 = r.c.OpenDevice(two);
  ASSERT_GT(r.c.Bind(d2), 0);
  uint32_t h = r.Nested(0), other = r.Nested(1);
  r.Attach(h);
  r.Attach(other, 6);
  r.Attach(h, 5);
  ASSERT_EQ(r.c.Attach(d2, h), h);
  EXPECT_EQ(r.Invalidate(h, Rig::kGva, 1),
            (Steps{"piotlb did 2 pasid 0 7000000000/0", "dtlb 300 7000000000", "piotlb did 2 pasid 5 7000000000/0",
                   "pdtlb 300 pasid 5 7000000000", "dtlb 400 7000000000", "wait"}));
}

TEST(IommufdVtd, WhatTheGuestChangesIsStaleUntilItSaysSo) {
  for (int64_t pasid : {-1, 5}) {
    Rig r;
    uint32_t h = r.Nested(0);
    r.Attach(h, pasid);
    for (uint64_t page = 0; page < 4; page++)
      EXPECT_EQ(r.Reached(pasid, Rig::kGva + page * kPage), r.Hpa(2 * kMB + page * kPage));
    r.table[0]->Unmap(Rig::kGva, 4 * kPage);
    r.table[0]->Map(Rig::kGva, 4 * kMB, 4 * kPage);
    EXPECT_EQ(r.Reached(pasid), r.Hpa(2 * kMB)); // the IOTLB
    r.Invalidate(h, Rig::kGva + kPage, 1, IMS_INVALIDATE_LEAF);
    EXPECT_EQ(r.Reached(pasid, Rig::kGva), r.Hpa(2 * kMB)); // what was not said is still there
    EXPECT_EQ(r.Reached(pasid, Rig::kGva + kPage), r.Hpa(4 * kMB + kPage));
    EXPECT_EQ(r.Reached(pasid, Rig::kGva + 3 * kPage), r.Hpa(2 * kMB + 3 * kPage));
    r.Invalidate(h, 0, ~0ull);
    for (uint64_t page = 0; page < 4; page++)
      EXPECT_EQ(r.Reached(pasid, Rig::kGva + page * kPage), r.Hpa(4 * kMB + page * kPage));
  }
}

TEST(IommufdVtd, TheDeviceTlbIsFlushedWithTheRest) {
  Rig r;
  Endpoints ends(r.m);
  Endpoint ep(ends, r.dev);
  uint32_t h = r.Nested(0);
  uint64_t value = 0, old = 0x1111, now = 0x2222;
  ASSERT_EQ(ims_vm_write(r.vm, 2 * kMB, &old, 8), IMS_ERR_OK);
  ASSERT_EQ(ims_vm_write(r.vm, 4 * kMB, &now, 8), IMS_ERR_OK);
  r.Attach(h);
  auto read = [&] {
    EXPECT_EQ(ep.Dma(Rig::kGva, IMS_ACC_R, -1, true, &value), IMS_DMA_DONE);
    return value;
  };
  EXPECT_EQ(read(), old);
  r.table[0]->Unmap(Rig::kGva, kPage);
  r.table[0]->Map(Rig::kGva, 4 * kMB, kPage);
  EXPECT_EQ(read(), old);
  r.Invalidate(h, Rig::kGva, 1);
  EXPECT_EQ(read(), now);
  // Another table in its place: nothing of the first one is left.
  r.Attach(r.Nested(1));
  value = 0;
  uint64_t third = 0x3333;
  ASSERT_EQ(ims_vm_write(r.vm, 3 * kMB, &third, 8), IMS_ERR_OK);
  EXPECT_EQ(read(), third);
  r.Detach();
  EXPECT_NE(ep.Dma(Rig::kGva), IMS_DMA_DONE);
}

// ---- Changes of the second stage ------------------------------------------------------------------------------------

TEST(IommufdVtd, AChangeOfTheParentConcernsAllThatIsNestedOnIt) {
  Rig r;
  uint64_t va = r.c.Memory(2 * kPage);
  ASSERT_EQ(r.c.Map(r.ioas, 64 * kMB, va, kPage), 0);
  r.table[0]->Map(Rig::kGva + kMB, 64 * kMB, kPage);
  r.Attach(r.Nested(0));
  r.Attach(r.Nested(1), 5);
  EXPECT_EQ(r.Reached(-1, Rig::kGva + kMB), r.c.Hpa(va));
  r.m.Clear();
  ASSERT_EQ(r.c.Unmap(r.ioas, 64 * kMB, kPage), 0);
  // By domain id, and the whole device TLB: which of its nested translations are concerned cannot be known. A table went
  // with the page, so not the leaf alone.
  EXPECT_EQ(Did(r.m), (Steps{"iotlb did 2 4000000/0", std::string("dtlb 300 ") + kAll, "iotlb did 3 4000000/0",
                             std::string("pdtlb 300 pasid 5 ") + kAllPasid, "wait"}));
  EXPECT_EQ(r.Reached(-1, Rig::kGva + kMB), 0u);
  // What becomes present costs nothing here.
  ASSERT_EQ(r.c.Map(r.ioas, 64 * kMB, va + kPage, kPage), 0);
  EXPECT_EQ(Did(r.m), Steps{});
  EXPECT_EQ(r.Reached(-1, Rig::kGva + kMB), r.c.Hpa(va + kPage));
}

TEST(IommufdVtd, NewMappingsInCachingModeAndWithWriteBuffers) {
  Options cm, rwbf;
  cm.cm = true;
  rwbf.rwbf = true;
  for (const Options &o : {cm, rwbf}) {
    Rig r(o);
    uint64_t va = r.c.Memory(2 * kPage);
    r.Attach(r.Nested(0));
    r.m.Clear();
    ASSERT_EQ(r.c.Map(r.ioas, 64 * kMB, va, 2 * kPage), 0);
    EXPECT_EQ(Did(r.m), o.cm ? (Steps{"iotlb did 2 4000000/1", "wait"}) : Steps{"write buffer"});
    r.Detach();
    // First-stage entries are never cached while they are not present.
    uint32_t ioas = r.c.Ioas();
    r.Attach(static_cast<uint32_t>(r.c.Hwpt(r.id, ioas)));
    r.m.Clear();
    ASSERT_EQ(r.c.Map(ioas, 64 * kMB, va, kPage), 0);
    EXPECT_EQ(Did(r.m), o.cm ? Steps{} : Steps{"write buffer"});
  }
}

TEST(IommufdVtd, UnmappingFromAFirstStageOfTheHost) {
  Rig r;
  uint32_t ioas = r.c.Ioas();
  uint64_t va = r.c.Memory(4 * kPage);
  for (uint64_t i = 0; i < 2; i++)
    ASSERT_EQ(r.c.Map(ioas, (0x100 + i) * kPage, va + i * kPage, kPage), 0);
  auto h = static_cast<uint32_t>(r.c.Hwpt(r.id, ioas, IMS_HWPT_PASID));
  r.Attach(h);
  r.Attach(h, 5);
  EXPECT_EQ(r.Reached(5, 0x100000), r.c.Hpa(va));
  r.m.Clear();
  ASSERT_EQ(r.c.Unmap(ioas, 0x100000, kPage), 0); // the other page keeps the table
  EXPECT_EQ(Did(r.m), (Steps{"piotlb did 2 pasid 0 100000/0 ih", "dtlb 300 100000", "piotlb did 2 pasid 5 100000/0 ih",
                             "pdtlb 300 pasid 5 100000", "wait"}));
  EXPECT_EQ(r.Reached(5, 0x100000), 0u);
  EXPECT_EQ(r.Reached(5, 0x101000), r.c.Hpa(va + kPage));
  ims_kernel_interrupts(r.m.kernel); // the fault
  r.m.Clear();
  ASSERT_EQ(r.c.Unmap(ioas, 0x101000, kPage), 0);
  ASSERT_FALSE(r.m.notes.empty());
  EXPECT_EQ(r.m.notes[0].what, "first-stage table entry");
  EXPECT_EQ(r.m.Dma(r.dev, 1ull << 56).status, IMS_STATUS_FAULT);
  EXPECT_EQ(r.c.Map(ioas, 1ull << 56, va, kPage), -EINVAL); // the upper half of canonical addresses is not the host's
}

} // namespace
