// SPDX-License-Identifier: Apache-2.0
// Virtual SMMUs of iommufd: a guest's STEs over a nesting parent, what the unit then translates, and in which steps the
// driver gets there (Facts 3.6, 4.2).
#include "tests/uapi/iommufd_smmu.h"
#include <random>

namespace uapi_test {
namespace {

using Steps = std::vector<std::string>;

uint64_t Field(const Ste &s, ims_ste_field f) { return ims_ste_get(s.data(), f); }

TEST(VirtualSmmuTable, SubstreamsLeadThroughTheGuestsTables) {
  for (ims_granule g : {IMS_GRANULE_4K, IMS_GRANULE_16K, IMS_GRANULE_64K})
    for (unsigned fmt : {0u, 1u, 2u}) {
      SCOPED_TRACE(testing::Message() << "granule " << g << " fmt " << fmt);
      VirtualSmmu s;
      s.Vdevice();
      const unsigned bits = fmt == 2 ? 12 : 8;
      const uint32_t far = (1u << bits) - 1;
      GuestCds cds(s.vm, bits, fmt);
      GuestArmTable zero(s.vm, g), one(s.vm, g), two(s.vm, g);
      const uint64_t page = 1ull << one.pgt.fmt->page_shift, va = 16 * page;
      zero.Map(va, 4 * page, page);
      one.Map(va, 8 * page, page);
      two.Map(va, 12 * page, page, IMS_PERM_R);
      cds.Set(0, zero, 10);
      cds.Set(1, one, 11);
      cds.Set(far, two, 12);
      s.Attach(VTranslate(cds));
      EXPECT_EQ(s.m.Dma(s.dev, va + 0x123).output, s.Hpa(4 * page) + 0x123);
      EXPECT_EQ(s.m.Dma(s.dev, va + page - 8, IMS_ACC_W, 1).output, s.Hpa(9 * page - 8));
      EXPECT_EQ(s.m.Dma(s.dev, va, IMS_ACC_R, far).output, s.Hpa(12 * page));
      EXPECT_EQ(s.m.Dma(s.dev, va, IMS_ACC_W, far).fault, IMS_SMMUV3_F_PERMISSION);
      EXPECT_EQ(s.m.Dma(s.dev, 2 * va, IMS_ACC_R, 1).fault, IMS_SMMUV3_F_TRANSLATION);
      EXPECT_EQ(s.m.Dma(s.dev, va, IMS_ACC_R, far + 1).fault, IMS_SMMUV3_C_BAD_SUBSTREAMID);
      EXPECT_EQ(s.m.Dma(s.dev, va, IMS_ACC_R, 2).fault, IMS_SMMUV3_C_BAD_CD);
      EXPECT_EQ(s.c->Detach(s.cdev), 0);
      EXPECT_EQ(s.m.Dma(s.dev, va).status, IMS_STATUS_ABORT);
    }
}

TEST(VirtualSmmuTable, RequestsWithoutASubstreamDoWhatTheGuestSays) {
  struct {
    unsigned dss;
    uint64_t status, fault;
  } rows[] = {{0, IMS_STATUS_FAULT, IMS_SMMUV3_F_STREAM_DISABLED}, {1, IMS_STATUS_OK, 0}, {2, IMS_STATUS_OK, 0}};
  for (const auto &row : rows) {
    VirtualSmmu s;
    s.Vdevice();
    GuestCds cds(s.vm, 4);
    GuestArmTable t(s.vm);
    t.Map(0x7000, 0x10000, kPage);
    cds.Set(0, t, 5);
    s.Attach(VTranslate(cds, row.dss));
    ims_result r = s.m.Dma(s.dev, 0x7000);
    EXPECT_EQ(r.status, row.status) << row.dss;
    if (row.fault) {
      EXPECT_EQ(r.fault, row.fault);
    } else {
      EXPECT_EQ(r.output, s.Hpa(row.dss == 1 ? 0x7000 : 0x10000)) << row.dss;
    }
  }
}

// ---- The physical STE -----------------------------------------------------------------------------------------------

TEST(VirtualSmmuSte, IsTheParentsWithTheGuestsFieldsOverIt) {
  VirtualSmmu s;
  s.Vdevice();
  GuestCds cds(s.vm, 12, 2);
  s.Attach(VBypass());
  const Ste s2 = s.Physical();
  EXPECT_EQ(Field(s2, IMS_STE_CONFIG), 6u);
  EXPECT_EQ(Field(s2, IMS_STE_S2VMID), 2u);
  EXPECT_EQ(Field(s2, IMS_STE_EATS), 1u);
  EXPECT_EQ(Field(s2, IMS_STE_MEV), 0u);
  VSte v = VTranslate(cds, 1);
  s.Attach(v);
  const Ste nested = s.Physical();
  EXPECT_EQ(nested[0], v.ste0 | 7 << 1); // S1ContextPtr stays a guest's address
  EXPECT_EQ(nested[1], s2[1] | v.ste1 | 1ull << (IMS_STE_MEV_LSB - 64));
  for (int i = 2; i < 8; i++)
    EXPECT_EQ(nested[i], s2[i]) << i;
  s.Attach(VAbort());
  EXPECT_EQ(s.Physical()[0], 1u);
  s.Attach(VSte(0xfffffffffffffffe, ~0ull)); // V=0: nothing else counts
  EXPECT_EQ(s.Physical()[0], 1u);
  EXPECT_EQ(s.m.Dma(s.dev, 0x1000).status, IMS_STATUS_ABORT);
}

TEST(VirtualSmmuSte, EachBitIsTheGuestsOrRefused) {
  VirtualSmmu s;
  const uint64_t allowed[2] = {1 | 7ull << 1 | 3ull << 4 | 0x000fffffffffffc0 | 31ull << 59,
                               0xff | 1ull << 27 | 3ull << 28};
  for (int bit = 1; bit < 128; bit++) {
    uint64_t w[2] = {0x1, 0}; // V, Config abort
    w[bit / 64] |= 1ull << bit % 64;
    bool config = bit >= 1 && bit <= 3, eats = bit == 64 + 29;
    int64_t want = !(allowed[bit / 64] >> bit % 64 & 1) || eats ? -EIO : 0;
    if (config)
      want = bit == 3 ? 0 : -EIO; // 4 is bypass; 1 and 2 are nothing
    int64_t got = s.Nested(VSte(w[0], w[1]));
    EXPECT_EQ(got < 0 ? got : 0, want) << bit;
    if (got > 0) {
      EXPECT_EQ(s.c->Destroy(static_cast<uint32_t>(got)), 0);
    }
    w[0] &= ~1ull;
    got = s.Nested(VSte(w[0], w[1]));
    ASSERT_GT(got, 0) << bit; // not valid: whatever it says
    EXPECT_EQ(s.c->Destroy(static_cast<uint32_t>(got)), 0);
  }
  for (uint64_t config = 0; config < 8; config++) {
    int64_t got = s.Nested(VSte(1 | config << 1));
    EXPECT_EQ(got < 0 ? got : 0, config == 0 || config == 4 || config == 5 ? 0 : -EIO) << config;
  }
  for (uint64_t eats = 0; eats < 4; eats++) {
    int64_t got = s.Nested(VSte(0xb, eats << 28));
    EXPECT_EQ(got < 0 ? got : 0, eats < 2 ? 0 : -EIO) << eats;
  }
}

// ---- The way there --------------------------------------------------------------------------------------------------

TEST(VirtualSmmuSteps, EachChangeTakesTheStoresItNeeds) {
  VirtualSmmu s;
  s.Vdevice();
  GuestCds cds(s.vm, 4), other(s.vm, 4), wide(s.vm, 12, 2);
  const Steps prefetch{"01"}, atc{"40", "40", "46"};
  auto change = [&](const VSte &v) {
    uint32_t n = VirtualSmmu::Id(s.Nested(v));
    s.m.Clear();
    EXPECT_EQ(s.c->Attach(s.cdev, n), n);
    return s.Steps();
  };
  auto with = [&](Steps steps, bool ats = true) {
    steps.insert(steps.end(), prefetch.begin(), prefetch.end());
    if (ats)
      steps.insert(steps.end(), atc.begin(), atc.end());
    return steps;
  };
  // What an aborted stream does not look at goes first; then one word says it all.
  EXPECT_EQ(change(VBypass()), with({"STE 1", "STE 2", "STE 3", "03", "46", "STE 0", "03", "46"}));
  // Words 0 and 1 are looked at before and after: the entry is broken in between.
  EXPECT_EQ(change(VTranslate(cds)), with({"STE 0 zero", "03", "46", "STE 1", "03", "46", "STE 0", "03", "46"}));
  // Another table of the same shape: one store. S1CDMax and S1Fmt are in the same word.
  EXPECT_EQ(change(VTranslate(other)), with({"STE 0", "03", "46"}));
  EXPECT_EQ(change(VTranslate(wide)), with({"STE 0", "03", "46"}));
  // The same table with another S1DSS: one store of the other word.
  EXPECT_EQ(change(VTranslate(wide, 0)), with({"STE 1", "03", "46"}));
  // Nothing changes, and nobody waits but for the device's cache.
  EXPECT_EQ(change(VTranslate(wide, 0)), with({}));
  // Abort: word 0 alone; then what nobody looks at is cleared.
  EXPECT_EQ(change(VAbort()), with({"STE 0", "03", "46", "STE 1 zero", "STE 2 zero", "STE 3 zero", "03", "46"}));
  EXPECT_EQ(change(VTranslate(cds)), with({"STE 1", "STE 2", "STE 3", "03", "46", "STE 0", "03", "46"}));
  s.m.Clear();
  EXPECT_EQ(s.c->Detach(s.cdev), 0);
  EXPECT_EQ(s.Steps(), with({"STE 0", "03", "46", "STE 1 zero", "STE 2 zero", "STE 3 zero", "03", "46"}));
  // No TLBI anywhere: the tags are the VMID and the guest's ASIDs.
}

// At each store and command of an edit the device's request is translated as before or as after; aborted only while the
// entry is broken.
TEST(VirtualSmmuSteps, RequestsMeetTheOldEntryOrTheNew) {
  VirtualSmmu s;
  s.Vdevice();
  GuestCds a(s.vm, 4), b(s.vm, 4);
  GuestArmTable ta(s.vm), tb(s.vm);
  ta.Map(0x7000, 0x10000, kPage);
  tb.Map(0x7000, 0x20000, kPage);
  a.Set(0, ta, 5);
  b.Set(0, tb, 6);
  std::map<std::string, unsigned> met;
  auto look = [&](const Note &n) {
    if (n.note.kind != IMS_NOTE_TABLE && n.note.kind != IMS_NOTE_DESCRIPTOR)
      return;
    ims_result r = s.m.Dma(s.dev, 0x7000);
    met[r.status != IMS_STATUS_OK    ? "stopped"
        : r.output == s.Hpa(0x7000)  ? "stage 2"
        : r.output == s.Hpa(0x10000) ? "a"
        : r.output == s.Hpa(0x20000) ? "b"
                                     : "elsewhere"]++;
  };
  auto change = [&](const VSte &v) {
    uint32_t n = VirtualSmmu::Id(s.Nested(v));
    met.clear();
    s.m.on_note = look;
    EXPECT_EQ(s.c->Attach(s.cdev, n), n);
    s.m.on_note = nullptr;
  };
  s.Attach(VBypass());
  change(VTranslate(a));
  EXPECT_GT(met["stopped"], 0u); // two words differ
  EXPECT_GT(met["a"], 0u);
  EXPECT_EQ(met["elsewhere"], 0u);
  EXPECT_EQ(met["b"], 0u);
  change(VTranslate(b));
  EXPECT_EQ(met["stopped"], 0u);
  EXPECT_GT(met["b"], 0u);
  EXPECT_EQ(met["elsewhere"], 0u);
  EXPECT_EQ(met["stage 2"], 0u);
  EXPECT_EQ(s.m.Dma(s.dev, 0x7000).output, s.Hpa(0x20000));
}

TEST(VirtualSmmuSteps, FromAndToTablesOfTheHostsOwn) {
  VirtualSmmu s;
  s.Vdevice();
  GuestCds cds(s.vm, 4);
  GuestArmTable t(s.vm);
  t.Map(0x7000, 0x10000, kPage);
  cds.Set(0, t, 5);
  uint32_t own = VirtualSmmu::Id(s.c->Hwpt(s.id, s.ioas)), nested = VirtualSmmu::Id(s.Nested(VTranslate(cds)));
  ASSERT_EQ(s.c->Attach(s.cdev, own), own);
  EXPECT_EQ(Field(s.Physical(), IMS_STE_CONFIG), 5u);
  EXPECT_EQ(s.m.Dma(s.dev, 0x10000).output, s.Hpa(0x10000));
  EXPECT_EQ(s.HostCd()[0] >> 31 & 1, 1u);
  ASSERT_EQ(s.c->Attach(s.cdev, nested), nested);
  EXPECT_EQ(s.m.Dma(s.dev, 0x7000).output, s.Hpa(0x10000));
  EXPECT_EQ(s.HostCd()[0], 0u); // gone, with the table it names
  ASSERT_EQ(s.c->Attach(s.cdev, s.parent), s.parent);
  EXPECT_EQ(Field(s.Physical(), IMS_STE_CONFIG), 6u);
  EXPECT_EQ(Field(s.Physical(), IMS_STE_S2VMID), 2u); // the nested table had the same
  EXPECT_EQ(s.m.Dma(s.dev, 0x7000).output, s.Hpa(0x7000));
  ASSERT_EQ(s.c->Attach(s.cdev, own), own);
  EXPECT_EQ(s.m.Dma(s.dev, 0x10000).output, s.Hpa(0x10000));
  // From one table of the host's to another, the CD is broken: ASID and table cannot change in one store.
  uint32_t second = VirtualSmmu::Id(s.c->Hwpt(s.id, s.ioas));
  s.m.Clear();
  ASSERT_EQ(s.c->Attach(s.cdev, second), second);
  Steps steps = s.Steps();
  ASSERT_GE(steps.size(), 3u);
  EXPECT_EQ(Steps(steps.begin(), steps.begin() + 3), (Steps{"CD 0 zero", "05", "46"}));
  EXPECT_EQ(s.m.Dma(s.dev, 0x10000).output, s.Hpa(0x10000));
}

// ---- ATS ------------------------------------------------------------------------------------------------------------

void Told(void *machine, ims_device *, bool on) {
  auto *m = static_cast<Machine *>(machine);
  if (m->on_ats)
    m->on_ats(on);
}

TEST(VirtualSmmuAts, IsOffBeforeTheSteForbidsItAndOnAfterItAllowsIt) {
  VirtualSmmu s(Machine::SmmuConfig(), Machine::DeviceConfig(), [](ims_kernel_config &k) { k.hooks.ats = Told; });
  s.Vdevice();
  Steps seen;
  s.m.on_ats = [&](bool on) { seen.push_back(on ? "on" : "off"); };
  s.m.on_note = [&](const Note &n) {
    if (n.note.kind == IMS_NOTE_TABLE && n.what == "STE")
      seen.push_back("STE");
    else if (n.note.kind == IMS_NOTE_DESCRIPTOR && (n.note.word[0] & 0xff) == 0x40)
      seen.push_back("ATC_INV");
  };
  GuestCds cds(s.vm, 4);
  auto tail = [&] { // one STE for the stores between
    Steps out;
    for (const std::string &w : seen)
      if (out.empty() || out.back() != w)
        out.push_back(w);
    seen.clear();
    return out;
  };
  s.Attach(VTranslate(cds, 2, true));
  EXPECT_EQ(tail(), (Steps{"STE", "ATC_INV", "on"}));
  EXPECT_EQ(Field(s.Physical(), IMS_STE_EATS), 1u);
  s.Attach(VTranslate(cds, 2, false)); // the guest would not say what it invalidates
  EXPECT_EQ(tail(), (Steps{"off", "STE", "ATC_INV"}));
  EXPECT_EQ(Field(s.Physical(), IMS_STE_EATS), 0u);
  s.Attach(VTranslate(cds, 1, false));
  EXPECT_EQ(tail(), (Steps{"STE"}));
  // A change of stage 2 has nothing to say to the device.
  ASSERT_EQ(s.c->Unmap(s.ioas, 0, VirtualSmmu::kRam), 0);
  EXPECT_EQ(tail(), Steps{});
  s.Attach(VBypass()); // the host decides
  EXPECT_EQ(tail(), (Steps{"STE", "ATC_INV", "on"}));
  s.Attach(VAbort());
  EXPECT_EQ(tail(), (Steps{"STE", "ATC_INV"}));
  EXPECT_EQ(s.c->Detach(s.cdev), 0);
  EXPECT_EQ(tail(), (Steps{"off", "ATC_INV"})); // the entry says abort already;
}

// ---- Stage 2 below --------------------------------------------------------------------------------------------------

TEST(VirtualSmmuParent, AChangeReachesWhatIsCombinedWithTheGuestsStage) {
  VirtualSmmu s;
  s.Vdevice();
  GuestCds cds(s.vm, 0);
  GuestArmTable t(s.vm);
  cds.Set(0, t, 5);
  uint64_t va = s.c->Memory(kPage), other = s.c->Memory(kPage);
  ASSERT_EQ(s.c->Map(s.ioas, 0x80000000, va, kPage), 0);
  t.Map(0x7000, 0x80000000, kPage);
  s.Attach(VTranslate(cds));
  ASSERT_EQ(s.m.Dma(s.dev, 0x7000).output, s.c->Hpa(va));
  s.m.Clear();
  ASSERT_EQ(s.c->Unmap(s.ioas, 0x80000000, kPage), 0);
  auto said = s.Commands();
  ASSERT_EQ(said.size(), 4u);
  EXPECT_EQ(said[0][0] & 0xff, 0x2au); // by IPA
  EXPECT_EQ(said[0][0] >> 32 & 0xffff, 2u);
  EXPECT_EQ(said[1], VmAll(2));       // which need not find combined entries
  EXPECT_EQ(said[2][1] & 0x3f, 52u);  // all that the device keeps, without and
  EXPECT_EQ(said[3][0] >> 9 & 1, 1u); // with substreams
  EXPECT_EQ(s.Syncs(), 2u);
  ims_result r = s.m.Dma(s.dev, 0x7000);
  EXPECT_EQ(r.fault, IMS_SMMUV3_F_TRANSLATION);
  EXPECT_EQ(ims_smmuv3_event_get(r.record, IMS_SMMUV3_EVENT_S2_FIELD), 1u);
  ASSERT_EQ(s.c->Map(s.ioas, 0x80000000, other, kPage), 0);
  EXPECT_EQ(s.m.Dma(s.dev, 0x7000).output, s.c->Hpa(other));
}

TEST(VirtualSmmuParent, ItsVmidLivesFromItsMakingToItsEnd) {
  VirtualSmmu s;
  s.Vdevice();
  uint32_t ioas = s.c->Ioas(), second = VirtualSmmu::Id(s.c->Hwpt(s.id, ioas, IMS_HWPT_NEST_PARENT));
  ASSERT_EQ(s.c->Attach(s.cdev, second), second);
  EXPECT_EQ(s.Vmid(), 3u); // 2 is the first one's, attached or not
  uint32_t n = VirtualSmmu::Id(s.Nested(VBypass()));
  ASSERT_EQ(s.c->Attach(s.cdev, n), n);
  EXPECT_EQ(s.Vmid(), 2u);
  s.m.Clear();
  EXPECT_EQ(s.c->Destroy(second), 0);
  EXPECT_EQ(s.Commands(), (std::vector<Command>{{0x28 | 3ull << 32, 0}})); // nobody after it finds what it left
  uint32_t third = VirtualSmmu::Id(s.c->Hwpt(s.id, ioas, IMS_HWPT_NEST_PARENT));
  ASSERT_EQ(s.c->Attach(s.cdev, third), third);
  EXPECT_EQ(s.Vmid(), 3u);
}

TEST(VirtualSmmuParent, SeveralTablesOfOneParentShareItsVmid) {
  VirtualSmmu s(Machine::SmmuConfig(), Machine::DeviceConfig(0x300, 7));
  ims_device *two = s.m.AddDevice(Machine::DeviceConfig(0x400, 8));
  ims_file *cdev = s.c->OpenDevice(two);
  uint32_t id = VirtualSmmu::Id(s.c->Bind(cdev));
  s.Vdevice();
  EXPECT_GT(s.Vdevice(id, 0x18), 0);
  GuestCds a(s.vm, 0), b(s.vm, 0);
  GuestArmTable ta(s.vm), tb(s.vm);
  ta.Map(0x7000, 0x10000, kPage);
  tb.Map(0x7000, 0x20000, kPage);
  a.Set(0, ta, 5);
  b.Set(0, tb, 6);
  s.Attach(VTranslate(a));
  VSte v = VTranslate(b);
  uint32_t n = VirtualSmmu::Id(s.c->Hwpt(id, s.viommu, 0, IMS_HWPT_DATA_ARM_SMMUV3, &v));
  ASSERT_EQ(s.c->Attach(cdev, n), n);
  EXPECT_EQ(Field(s.Physical(0x300), IMS_STE_S2VMID), Field(s.Physical(0x400), IMS_STE_S2VMID));
  EXPECT_EQ(s.m.Dma(s.dev, 0x7000).output, s.Hpa(0x10000));
  EXPECT_EQ(s.m.Dma(two, 0x7000).output, s.Hpa(0x20000));
  s.m.Clear();
  ASSERT_EQ(s.c->Unmap(s.ioas, 0, VirtualSmmu::kRam), 0);
  // One VMID, two devices.
  unsigned tlbi = 0, atc = 0;
  for (const Command &c : s.Commands())
    ((c[0] & 0xff) == 0x40 ? atc : tlbi)++;
  EXPECT_EQ(tlbi, 2u);
  EXPECT_EQ(atc, 4u);
  EXPECT_EQ(s.m.Dma(two, 0x7000).status, IMS_STATUS_FAULT);
}

// ---- Any order ------------------------------------------------------------------------------------------------------

// Two devices go from table to table at random. After each step the unit does for each what its table says, and in the end
// nothing is left of it all.
TEST(VirtualSmmuRandom, EachAttachmentIsWhatTheUnitDoes) {
  for (unsigned seed = 1; seed <= 4; seed++) {
    SCOPED_TRACE(seed);
    VirtualSmmu s;
    std::minstd_rand random(seed);
    auto pick = [&](size_t n) { return random() % n; };
    struct Dev {
      ims_device *dev;
      ims_file *cdev;
      uint32_t id, sid;
      int now;
    } devices[2] = {{s.dev, s.cdev, s.id, 0x300, -1},
                    {s.m.AddDevice(Machine::DeviceConfig(0x400, 8)), nullptr, 0, 0x400, -1}};
    devices[1].cdev = s.c->OpenDevice(devices[1].dev);
    devices[1].id = VirtualSmmu::Id(s.c->Bind(devices[1].cdev));
    GuestCds a(s.vm, 4), b(s.vm, 12, 2);
    GuestArmTable ta(s.vm), tb(s.vm, IMS_GRANULE_16K);
    ta.Map(0x7000, 0x10000, kPage);
    tb.Map(0x4000, 0x20000, 0x4000);
    a.Set(0, ta, 5);
    b.Set(0, tb, 6);
    // What each table makes of address 0x7000 without a substream: an output, or nothing.
    struct Table {
      uint32_t id;
      bool ok;
      uint64_t out;
    };
    auto nested = [&](const VSte &v) { return VirtualSmmu::Id(s.Nested(v)); };
    const uint64_t pages = s.c->Memory(kPage);
    uint32_t other = s.c->Ioas();
    EXPECT_EQ(s.c->Map(other, 0x7000, pages, kPage), 0);
    s.Vdevice();
    const uint32_t second = VirtualSmmu::Id(s.Vdevice(devices[1].id, 0x99));
    const uint64_t before = ims_kernel_memory_in_use(s.m.kernel);
    const std::vector<Table> tables{
        {nested(VAbort()), false, 0},
        {nested(VBypass()), true, s.Hpa(0x7000)},
        {nested(VTranslate(a)), true, s.Hpa(0x10000)},
        {nested(VTranslate(a, 2, false)), true, s.Hpa(0x10000)},
        {nested(VTranslate(a, 1)), true, s.Hpa(0x7000)},
        {nested(VTranslate(a, 0)), false, 0},
        {nested(VTranslate(b)), true, s.Hpa(0x23000)},
        {s.parent, true, s.Hpa(0x7000)},
        {VirtualSmmu::Id(s.c->Hwpt(s.id, other)), true, s.c->Hpa(pages)},
        {VirtualSmmu::Id(s.c->Hwpt(s.id, s.ioas, IMS_HWPT_PASID)), true, s.Hpa(0x7000)},
    };
    for (unsigned step = 0; step < 150; step++) {
      Dev &d = devices[pick(2)];
      if (pick(8) == 0) {
        EXPECT_EQ(s.c->Detach(d.cdev), 0);
        d.now = -1;
      } else {
        d.now = static_cast<int>(pick(tables.size()));
        ASSERT_EQ(s.c->Attach(d.cdev, tables[d.now].id), tables[d.now].id) << step;
      }
      for (const Dev &e : devices) {
        ims_result r = s.m.Dma(e.dev, 0x7000);
        bool ok = e.now >= 0 && tables[e.now].ok;
        EXPECT_EQ(r.status == IMS_STATUS_OK, ok) << step << " table " << e.now;
        if (ok) {
          EXPECT_EQ(r.output, tables[e.now].out) << step << " table " << e.now;
        }
      }
    }
    for (const Dev &d : devices) {
      EXPECT_EQ(s.c->Detach(d.cdev), 0);
      EXPECT_EQ(s.Physical(d.sid), (Ste{1}));
    }
    for (const Table &t : tables)
      if (t.id != s.parent) {
        EXPECT_EQ(s.c->Destroy(t.id), 0);
      }
    EXPECT_EQ(s.c->Destroy(second), 0);
    // CD tables stay with their devices: a first level and a leaf each, at most.
    EXPECT_LE(ims_kernel_memory_in_use(s.m.kernel) - before, 2 * (8 * 1024u + 64 * 1024u));
  }
}

// ---- errno ----------------------------------------------------------------------------------------------------------

TEST(VirtualSmmuErrno, HwptAlloc) {
  VirtualSmmu s;
  s.m.AddSmmu();
  ims_device *far = s.m.AddDevice(Machine::DeviceConfig(0x300, 9, 1));
  ims_file *fd = s.c->OpenDevice(far);
  const uint32_t far_id = VirtualSmmu::Id(s.c->Bind(fd));
  struct {
    const char *what;
    long want;
    std::function<void(ims_iommu_hwpt_alloc &)> change;
  } rows[] = {
      {"as it is", 0, [](ims_iommu_hwpt_alloc &) {}},
      {"with a parent's flag", -EOPNOTSUPP, [](ims_iommu_hwpt_alloc &a) { a.flags = IMS_HWPT_NEST_PARENT; }},
      {"with dirty tracking", -EOPNOTSUPP, [](ims_iommu_hwpt_alloc &a) { a.flags = IMS_HWPT_DIRTY_TRACKING; }},
      {"for PASIDs", -EOPNOTSUPP, [](ims_iommu_hwpt_alloc &a) { a.flags = IMS_HWPT_PASID; }},
      {"unknown flag", -EOPNOTSUPP, [](ims_iommu_hwpt_alloc &a) { a.flags = 16; }},
      {"reserved", -EOPNOTSUPP, [](ims_iommu_hwpt_alloc &a) { a.reserved = 1; }},
      {"no data", -EINVAL, [](ims_iommu_hwpt_alloc &a) { a.data_len = 0; }},
      {"no data and no type", -EOPNOTSUPP, [](ims_iommu_hwpt_alloc &a) { a.data_len = a.data_type = 0; }},
      {"VT-d's data", -EINVAL, [](ims_iommu_hwpt_alloc &a) { a.data_type = IMS_HWPT_DATA_VTD_S1; }},
      {"shorter", -EINVAL, [](ims_iommu_hwpt_alloc &a) { a.data_len = 15; }},
      {"longer", -EINVAL, [](ims_iommu_hwpt_alloc &a) { a.data_len = 17; }},
      {"bad pointer", -EFAULT, [](ims_iommu_hwpt_alloc &a) { a.data_uptr = 8; }},
      {"no such device", -ENOENT, [](ims_iommu_hwpt_alloc &a) { a.dev_id = 99; }},
      {"device of another SMMU", -EINVAL, [&](ims_iommu_hwpt_alloc &a) { a.dev_id = far_id; }},
      {"over the paging table itself", -EOPNOTSUPP, [&](ims_iommu_hwpt_alloc &a) { a.pt_id = s.parent; }},
      {"no such table", -EINVAL, [](ims_iommu_hwpt_alloc &a) { a.pt_id = 99; }},
  };
  const VSte ste = VBypass();
  const uint32_t next = static_cast<uint32_t>(s.Nested(ste));
  ASSERT_EQ(s.c->Destroy(next), 0);
  for (const auto &row : rows) {
    ims_iommu_hwpt_alloc a{};
    a.dev_id = s.id;
    a.pt_id = s.viommu;
    a.data_type = IMS_HWPT_DATA_ARM_SMMUV3;
    a.data_len = sizeof ste;
    a.data_uptr = s.m.arena.Put(ste, Arena::kBase + 1024);
    row.change(a);
    EXPECT_EQ(s.c->Call(IMS_IOMMU_HWPT_ALLOC, &a), row.want) << row.what;
    if (!row.want) {
      EXPECT_EQ(a.out_hwpt_id, next);
      EXPECT_EQ(s.c->Destroy(next), 0);
    }
  }
  EXPECT_EQ(s.c->Destroy(s.viommu), 0); // what failed left nothing behind
}

TEST(VirtualSmmuErrno, PagingTables) {
  struct {
    uint32_t flags;
    int64_t want;
  } rows[] = {
      {0, 0},
      {IMS_HWPT_NEST_PARENT, 0},
      {IMS_HWPT_PASID, 0},
      {IMS_HWPT_DIRTY_TRACKING, 0},
      {IMS_HWPT_DIRTY_TRACKING | IMS_HWPT_PASID, 0},
      {IMS_HWPT_NEST_PARENT | IMS_HWPT_DIRTY_TRACKING, -EOPNOTSUPP},
      {IMS_HWPT_NEST_PARENT | IMS_HWPT_PASID, -EOPNOTSUPP},
  };
  for (const auto &row : rows) {
    VirtualSmmu s;
    int64_t got = s.c->Hwpt(s.id, s.ioas, row.flags);
    EXPECT_EQ(got < 0 ? got : 0, row.want) << row.flags;
  }
  auto with = [](void (*change)(ims_smmuv3_config &), uint32_t flags) {
    ims_smmuv3_config c = Machine::SmmuConfig();
    change(c);
    Machine m(IMS_DIALECT_V7, ArmCpu);
    m.AddSmmu(c);
    ims_device *dev = m.AddDevice();
    Client client(m);
    ims_file *cdev = client.OpenDevice(dev);
    int64_t id = client.Bind(cdev);
    int64_t got = id < 0 ? id : client.Hwpt(static_cast<uint32_t>(id), client.Ioas(), flags);
    return got < 0 ? got : 0;
  };
  auto no_s1 = [](ims_smmuv3_config &c) { c.s1p = c.ats = c.pri = 0; };
  auto no_s2 = [](ims_smmuv3_config &c) { c.s2p = 0; };
  auto no_hd = [](ims_smmuv3_config &c) { c.httu = 1; };
  auto incoherent = [](ims_smmuv3_config &c) { c.cohacc = 0; };
  EXPECT_EQ(with(no_s1, 0), 0);
  EXPECT_EQ(with(no_s1, IMS_HWPT_PASID), -EOPNOTSUPP);
  EXPECT_EQ(with(no_s1, IMS_HWPT_DIRTY_TRACKING), -EOPNOTSUPP);
  EXPECT_EQ(with(no_s1, IMS_HWPT_NEST_PARENT), -EOPNOTSUPP);
  EXPECT_EQ(with(no_s2, IMS_HWPT_NEST_PARENT), -EOPNOTSUPP);
  EXPECT_EQ(with(no_s2, 0), 0);
  EXPECT_EQ(with(no_hd, IMS_HWPT_DIRTY_TRACKING), -EOPNOTSUPP);
  EXPECT_EQ(with(incoherent, IMS_HWPT_DIRTY_TRACKING), -EINVAL); // such a device is not bound
  // Pages of processes are 4 KB: a unit that cannot have those is none for them.
  auto only_16k = [](ims_smmuv3_config &c) { c.gran4k = c.gran64k = 0; };
  EXPECT_EQ(with(only_16k, 0), -EINVAL);
}

TEST(VirtualSmmuErrno, Attach) {
  VirtualSmmu s;
  GuestCds cds(s.vm, 4);
  const uint32_t translate = VirtualSmmu::Id(s.Nested(VTranslate(cds))), bypass = VirtualSmmu::Id(s.Nested(VBypass())),
                 abort = VirtualSmmu::Id(s.Nested(VAbort())), invalid = VirtualSmmu::Id(s.Nested(VSte(0)));
  EXPECT_EQ(s.c->Attach(s.cdev, translate), -ENOENT); // no vDEVICE
  EXPECT_EQ(s.m.Dma(s.dev, 0x1000).status, IMS_STATUS_ABORT);
  for (uint32_t t : {bypass, abort, invalid})
    EXPECT_EQ(s.c->Attach(s.cdev, t), t); // GBPA's way
  ASSERT_EQ(s.c->Attach(s.cdev, bypass), bypass);
  EXPECT_EQ(s.c->Attach(s.cdev, translate), -ENOENT);
  EXPECT_EQ(s.m.Dma(s.dev, 0x1000).output, s.Hpa(0x1000)); // what was there stays
  uint32_t v = s.Vdevice();
  EXPECT_EQ(s.c->Attach(s.cdev, translate), translate);
  EXPECT_EQ(s.c->Destroy(translate), -EBUSY);
  EXPECT_EQ(s.c->Destroy(s.viommu), -EBUSY);
  EXPECT_EQ(s.c->Destroy(s.parent), -EBUSY);
  EXPECT_EQ(s.c->Destroy(v), 0); // the guest's id may go while the table is in use
  EXPECT_EQ(s.c->Detach(s.cdev), 0);
  EXPECT_EQ(s.c->Attach(s.cdev, translate), -ENOENT);
  // Substreams of the host's own are in the way of a second stage.
  ims_process *p = s.m.AddProcess();
  ims_sva *sva = nullptr;
  ASSERT_EQ(ims_sva_bind(s.dev, p, &sva), 0);
  EXPECT_EQ(s.c->Attach(s.cdev, bypass), -EBUSY);
  ims_sva_unbind(sva);
  EXPECT_EQ(s.c->Attach(s.cdev, bypass), bypass);
  // And the other way round.
  EXPECT_EQ(ims_sva_bind(s.dev, p, &sva), -EINVAL);
}

TEST(VirtualSmmuErrno, AnotherSmmusParent) {
  VirtualSmmu s;
  s.m.AddSmmu();
  ims_device *far = s.m.AddDevice(Machine::DeviceConfig(0x300, 9, 1));
  ims_file *fd = s.c->OpenDevice(far);
  const uint32_t far_id = VirtualSmmu::Id(s.c->Bind(fd)), bypass = VirtualSmmu::Id(s.Nested(VBypass()));
  EXPECT_EQ(s.c->Attach(fd, bypass), -EINVAL);
  EXPECT_EQ(s.c->Attach(fd, s.parent), -EINVAL);
  EXPECT_EQ(s.Viommu(far_id, s.parent), -EINVAL);
  EXPECT_EQ(s.Vdevice(far_id, 1), -EINVAL);
}

// ---- Substreams of tables of the host's -----------------------------------------------------------------------------

TEST(SmmuPasidTables, SubstreamsHaveTheirOwnTablesAndAsids) {
  for (uint8_t bits : {6, 16}) {
    ims_device_config d = Machine::DeviceConfig();
    d.pasid_bits = bits;
    VirtualSmmu s(Machine::SmmuConfig(), d);
    uint32_t a = s.c->Ioas(), b = s.c->Ioas();
    uint64_t va = s.c->Memory(2 * kPage);
    ASSERT_EQ(s.c->Map(a, 0x1000, va, kPage), 0);
    ASSERT_EQ(s.c->Map(b, 0x1000, va + kPage, kPage), 0);
    uint32_t ha = VirtualSmmu::Id(s.c->Hwpt(s.id, a, IMS_HWPT_PASID)),
             hb = VirtualSmmu::Id(s.c->Hwpt(s.id, b, IMS_HWPT_PASID));
    const int64_t far = (1 << bits) - 1;
    ASSERT_EQ(s.c->Attach(s.cdev, ha), ha);
    ASSERT_EQ(s.c->Attach(s.cdev, ha, 3), ha);
    ASSERT_EQ(s.c->Attach(s.cdev, hb, far), hb);
    EXPECT_EQ(s.m.Dma(s.dev, 0x1000).output, s.c->Hpa(va));
    EXPECT_EQ(s.m.Dma(s.dev, 0x1000, IMS_ACC_R, 3).output, s.c->Hpa(va));
    EXPECT_EQ(s.m.Dma(s.dev, 0x1000, IMS_ACC_R, far).output, s.c->Hpa(va + kPage));
    s.m.Clear();
    ASSERT_EQ(s.c->Attach(s.cdev, hb, 3), hb); // in place of the other
    EXPECT_EQ(s.m.Dma(s.dev, 0x1000, IMS_ACC_R, 3).output, s.c->Hpa(va + kPage));
    EXPECT_EQ(s.m.Dma(s.dev, 0x1000).output, s.c->Hpa(va));
    ASSERT_EQ(s.c->Unmap(b, 0x1000, kPage), 0);
    EXPECT_EQ(s.m.Dma(s.dev, 0x1000, IMS_ACC_R, far).fault, IMS_SMMUV3_F_TRANSLATION);
    EXPECT_EQ(s.c->Detach(s.cdev, far), 0);
    EXPECT_EQ(s.m.Dma(s.dev, 0x1000, IMS_ACC_R, far).fault, IMS_SMMUV3_C_BAD_CD);
    EXPECT_EQ(s.c->Detach(s.cdev, 3), 0);
    EXPECT_EQ(s.m.Dma(s.dev, 0x1000).output, s.c->Hpa(va));
  }
}

} // namespace
} // namespace uapi_test
