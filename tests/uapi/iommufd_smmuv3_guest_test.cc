// SPDX-License-Identifier: Apache-2.0
// What a guest with a virtual SMMU says and hears: its invalidation commands, its events; and dirty bits of tables of the
// host's (Facts 3.7, 3.8, 4.2 I).
#include "tests/uapi/iommufd_smmu.h"

namespace uapi_test {
namespace {

uint32_t Id(int64_t result) { return VirtualSmmu::Id(result); }

// Three substreams of two ASIDs, all mapped and cached.
struct Guest : testing::Test {
  VirtualSmmu s;
  std::unique_ptr<GuestCds> cds;
  std::unique_ptr<GuestArmTable> five, six;
  static constexpr uint64_t kVa = 0x100000;
  void SetUp() override {
    s.Vdevice();
    cds = std::make_unique<GuestCds>(s.vm, 4);
    five = std::make_unique<GuestArmTable>(s.vm);
    six = std::make_unique<GuestArmTable>(s.vm);
    five->Map(kVa, 0x200000, 8 * kPage);
    six->Map(kVa, 0x300000, 8 * kPage);
    cds->Set(0, *five, 5);
    cds->Set(1, *five, 5);
    cds->Set(2, *six, 6);
    s.Attach(VTranslate(*cds));
    Fill();
  }
  void Fill() {
    for (unsigned p = 0; p < 8; p++)
      for (int64_t ssid : {-1, 1, 2})
        EXPECT_EQ(s.m.Dma(s.dev, kVa + p * kPage, IMS_ACC_R, ssid).status, IMS_STATUS_OK);
  }
  bool Reaches(int64_t ssid, unsigned page) {
    return s.m.Dma(s.dev, kVa + page * kPage, IMS_ACC_R, ssid).status == IMS_STATUS_OK;
  }
  void UnmapAll() {
    five->Unmap(kVa, 8 * kPage);
    six->Unmap(kVa, 8 * kPage);
  }
};

TEST_F(Guest, WhatItUnmapsStaysUntilItSaysSo) {
  UnmapAll();
  EXPECT_TRUE(Reaches(1, 3));
  EXPECT_TRUE(Reaches(2, 3));
  ASSERT_EQ(s.Invalidate({Va(5, kVa + 3 * kPage)}), 0);
  EXPECT_EQ(s.done, 1u);
  EXPECT_FALSE(Reaches(1, 3));
  EXPECT_FALSE(Reaches(-1, 3)); // the same ASID
  EXPECT_TRUE(Reaches(1, 4));
  EXPECT_TRUE(Reaches(2, 3));                                  // another ASID
  ASSERT_EQ(s.Invalidate({{0x13, (kVa + 4 * kPage) | 1}}), 0); // of any ASID
  EXPECT_FALSE(Reaches(1, 4));
  EXPECT_FALSE(Reaches(2, 4));
  EXPECT_TRUE(Reaches(2, 5));
  ASSERT_EQ(s.Invalidate({Asid(5)}), 0);
  EXPECT_FALSE(Reaches(1, 5));
  EXPECT_TRUE(Reaches(2, 5));
  ASSERT_EQ(s.Invalidate({VmAll(0xffff)}), 0); // whatever VMID it thinks it has
  EXPECT_FALSE(Reaches(2, 5));
}

// NUM and SCALE: (NUM+1) * 2^SCALE pages.
TEST_F(Guest, RangesAreItsOwnBusiness) {
  UnmapAll();
  const uint64_t tg = 1 << 10, ttl = 3 << 8;
  ASSERT_EQ(s.Invalidate({{0x12 | 2ull << 12 | 5ull << 48, (kVa + kPage) | tg | ttl | 1}}), 0); // 3 pages
  for (unsigned p = 0; p < 8; p++)
    EXPECT_EQ(Reaches(1, p), p < 1 || p > 3) << p;
  ASSERT_EQ(s.Invalidate({{0x12 | 1ull << 20 | 5ull << 48, (kVa + 6 * kPage) | tg | ttl | 1}}), 0); // 2 pages
  EXPECT_FALSE(Reaches(1, 6));
  EXPECT_FALSE(Reaches(1, 7));
  EXPECT_TRUE(Reaches(1, 5));
}

TEST_F(Guest, EverythingOfItsOwnIsItsVmid) {
  UnmapAll();
  ASSERT_TRUE(Reaches(2, 0));
  s.m.Clear();
  ASSERT_EQ(s.Invalidate({{0x30, 0xffffffffffffffff}}), 0); // NSNH_ALL
  EXPECT_EQ(s.Commands(), (std::vector<Command>{{0x10 | 2ull << 32, 0}}));
  EXPECT_FALSE(Reaches(2, 0));
  EXPECT_FALSE(Reaches(1, 0));
}

TEST_F(Guest, CommandsGoOnWithTheHostsIds) {
  const uint64_t vmid = 2ull << 32, sid = uint64_t(VirtualSmmu::kSid) << 32;
  const uint32_t vsid = VirtualSmmu::kVsid;
  struct {
    Command in, out;
  } rows[] = {
      {{0x10 | 7ull << 32, 0}, {0x10 | vmid, 0}},
      {{0x11 | 7ull << 32 | 9ull << 48, 0}, {0x11 | vmid | 9ull << 48, 0}},
      // NUM, SCALE, TTL, TG, Leaf and the address are the guest's.
      {{0x12 | 3ull << 12 | 2ull << 20 | 7ull << 32 | 9ull << 48, 0x5000 | 1 << 10 | 3 << 8 | 1},
       {0x12 | 3ull << 12 | 2ull << 20 | vmid | 9ull << 48, 0x5000 | 1 << 10 | 3 << 8 | 1}},
      {{0x13, 0x6001}, {0x13 | vmid, 0x6001}},
      {CfgiCd(vsid, 3), {0x05 | 3ull << 12 | sid, 1}},
      {CfgiCdAll(vsid), {0x06 | sid, 0}},
      {AtcInv(vsid, 0x7000, 2), {0x40 | sid, 0x7002}},
      {AtcInv(vsid, 3, 0, 52), {0x40 | 1 << 11 | 3ull << 12 | sid, 52}},
  };
  for (const auto &row : rows) {
    s.m.Clear();
    ASSERT_EQ(s.Invalidate({row.in}), 0);
    EXPECT_EQ(s.Commands(), (std::vector<Command>{row.out})) << std::hex << row.in[0];
    EXPECT_EQ(s.Syncs(), 1u);
  }
}

TEST_F(Guest, ACdIsReadAnewWhenItSaysSo) {
  cds->Set(1, *six, 6);
  EXPECT_EQ(s.m.Dma(s.dev, kVa, IMS_ACC_R, 1).output, s.Hpa(0x200000)); // the old one is cached
  ASSERT_EQ(s.Invalidate({CfgiCd(VirtualSmmu::kVsid, 2)}), 0);          // another one
  EXPECT_EQ(s.m.Dma(s.dev, kVa, IMS_ACC_R, 1).output, s.Hpa(0x200000));
  ASSERT_EQ(s.Invalidate({CfgiCd(VirtualSmmu::kVsid, 1)}), 0);
  EXPECT_EQ(s.m.Dma(s.dev, kVa, IMS_ACC_R, 1).output, s.Hpa(0x300000));
  ASSERT_TRUE(Reaches(2, 0)); // read again
  cds->Clear(2);
  EXPECT_TRUE(Reaches(2, 0));
  ASSERT_EQ(s.Invalidate({CfgiCdAll(VirtualSmmu::kVsid)}), 0);
  EXPECT_EQ(s.m.Dma(s.dev, kVa, IMS_ACC_R, 2).fault, IMS_SMMUV3_C_BAD_CD);
  EXPECT_EQ(s.m.Dma(s.dev, kVa, IMS_ACC_R, 3).fault, IMS_SMMUV3_C_BAD_CD);
}

// Substreams whose L1 CD descriptor was invalid when it was read, and then filled.
TEST(GuestTwoLevels, ANewLeafIsFoundAfterCfgiCdWithoutLeaf) {
  for (unsigned fmt : {1u, 2u}) {
    VirtualSmmu s;
    s.Vdevice();
    GuestCds cds(s.vm, 12, fmt);
    GuestArmTable t(s.vm);
    t.Map(0x7000, 0x10000, kPage);
    cds.Set(0, t, 5);
    s.Attach(VTranslate(cds));
    EXPECT_EQ(s.m.Dma(s.dev, 0x7000, IMS_ACC_R, 4000).fault, IMS_SMMUV3_C_BAD_SUBSTREAMID);
    cds.Set(4000, t, 6);
    Command whole = CfgiCd(VirtualSmmu::kVsid, 4000);
    whole[1] = 0;
    ASSERT_EQ(s.Invalidate({whole}), 0);
    EXPECT_EQ(s.m.Dma(s.dev, 0x7000, IMS_ACC_R, 4000).output, s.Hpa(0x10000)) << fmt;
  }
}

TEST(GuestAtc, WhatTheDeviceKeepsGoesByAtcInv) {
  VirtualSmmu s;
  Endpoints ends(s.m);
  Endpoint ep(ends, s.dev);
  s.Vdevice();
  GuestCds cds(s.vm, 4);
  GuestArmTable t(s.vm);
  t.Map(0x7000, 0x10000, 2 * kPage);
  cds.Set(1, t, 5);
  s.Attach(VTranslate(cds));
  ASSERT_EQ(ep.Dma(0x7000, IMS_ACC_R, 1), IMS_DMA_DONE);
  ASSERT_EQ(ep.Dma(0x8000, IMS_ACC_R, 1), IMS_DMA_DONE);
  t.Unmap(0x7000, 2 * kPage);
  ASSERT_EQ(s.Invalidate({Va(5, 0x7000), Va(5, 0x8000)}), 0);
  EXPECT_EQ(ep.Dma(0x7000, IMS_ACC_R, 1), IMS_DMA_DONE); // translated already
  ASSERT_EQ(s.Invalidate({AtcInv(VirtualSmmu::kVsid, 1, 0x7000, 0)}), 0);
  EXPECT_NE(ep.Dma(0x7000, IMS_ACC_R, 1), IMS_DMA_DONE);
  EXPECT_EQ(ep.Dma(0x8000, IMS_ACC_R, 1), IMS_DMA_DONE);
  // Replacing the guest's STE flushes what is left.
  s.Attach(VTranslate(cds));
  EXPECT_NE(ep.Dma(0x8000, IMS_ACC_R, 1), IMS_DMA_DONE);
}

TEST(GuestIsolation, AVirtualSmmuReachesItsOwnTagsAndDevicesAlone) {
  VirtualSmmu s;
  ims_device *two = s.m.AddDevice(Machine::DeviceConfig(0x400, 8));
  ims_file *f = s.c->OpenDevice(two);
  const uint32_t id = Id(s.c->Bind(f)), ioas = s.c->Ioas(), parent = Id(s.c->Hwpt(id, ioas, IMS_HWPT_NEST_PARENT));
  ims_vm *vm = s.c->Guest(ioas, 16 * kMB);
  s.Vdevice();
  const uint32_t first = s.viommu;
  s.viommu = Id(s.Viommu(id, parent));
  EXPECT_GT(s.Vdevice(id, VirtualSmmu::kVsid), 0); // the same virtual id in another vIOMMU
  const uint32_t second = s.viommu;
  auto build = [&](ims_vm *of, GuestCds &cds, GuestArmTable &t) {
    t.Map(0x7000, 0x10000, kPage);
    cds.Set(0, t, 5);
    return of;
  };
  GuestCds ca(s.vm, 0), cb(vm, 0);
  GuestArmTable ta(s.vm), tb(vm);
  build(s.vm, ca, ta);
  build(vm, cb, tb);
  VSte v = VTranslate(cb);
  const uint32_t n = Id(s.c->Hwpt(id, second, 0, IMS_HWPT_DATA_ARM_SMMUV3, &v));
  ASSERT_EQ(s.c->Attach(f, n), n);
  s.viommu = first;
  s.Attach(VTranslate(ca));
  ASSERT_EQ(s.m.Dma(s.dev, 0x7000).status, IMS_STATUS_OK);
  ASSERT_EQ(s.m.Dma(two, 0x7000).status, IMS_STATUS_OK);
  ta.Unmap(0x7000, kPage);
  tb.Unmap(0x7000, kPage);
  s.viommu = second;
  ASSERT_EQ(s.Invalidate({{0x30, 0}, VmAll(2), Asid(5), Va(5, 0x7000)}), 0); // 2 is the other's VMID
  EXPECT_EQ(s.m.Dma(two, 0x7000).status, IMS_STATUS_FAULT);
  EXPECT_EQ(s.m.Dma(s.dev, 0x7000).status, IMS_STATUS_OK);
  s.m.Clear();
  ASSERT_EQ(s.Invalidate({CfgiCd(VirtualSmmu::kVsid, 0)}), 0);
  EXPECT_EQ(s.Commands()[0][0] >> 32, 0x400u);
  s.viommu = first;
  s.m.Clear();
  ASSERT_EQ(s.Invalidate({CfgiCd(VirtualSmmu::kVsid, 0), VmAll()}), 0);
  EXPECT_EQ(s.Commands()[0][0] >> 32, 0x300u);
  EXPECT_EQ(s.m.Dma(s.dev, 0x7000).status, IMS_STATUS_FAULT);
}

// ---- Batches and errors ---------------------------------------------------------------------------------------------

TEST_F(Guest, LongListsAreIssuedInBatches) {
  s.m.Clear();
  ASSERT_EQ(s.Invalidate(std::vector<Command>(130, Asid(5))), 0);
  EXPECT_EQ(s.done, 130u);
  EXPECT_EQ(s.Commands().size(), 130u);
  EXPECT_EQ(s.Syncs(), 3u); // 63, 63, 4
  std::vector<unsigned> types;
  for (uint64_t d : s.m.Descriptors())
    types.push_back(d & 0xff);
  EXPECT_EQ(types[63], 0x46u);
  EXPECT_EQ(types[127], 0x46u);
}

TEST_F(Guest, ARefusedCommandCountsThoseBeforeItAlthoughTheirBatchWasNotIssued) {
  std::vector<Command> c(100, Asid(5));
  c[70] = {0x46, 0};
  UnmapAll();
  s.m.Clear();
  EXPECT_EQ(s.Invalidate(c), -EIO);
  EXPECT_EQ(s.done, 70u);
  EXPECT_EQ(s.Commands().size(), 63u);
  EXPECT_EQ(s.Syncs(), 1u);
  s.m.Clear();
  EXPECT_EQ(s.Invalidate({Asid(6), {0x03, 0}}), -EIO);
  EXPECT_EQ(s.done, 1u); // but
  EXPECT_TRUE(s.Commands().empty());
  EXPECT_TRUE(Reaches(2, 0));
  EXPECT_EQ(s.Invalidate({{0x03, 0}, Asid(6)}), -EIO);
  EXPECT_EQ(s.done, 0u);
}

TEST_F(Guest, OtherCommandsAndStreamsAreRefused) {
  const std::vector<unsigned> known{0x05, 0x06, 0x10, 0x11, 0x12, 0x13, 0x30, 0x40};
  for (unsigned op = 0; op < 256; op++) {
    bool ok = std::find(known.begin(), known.end(), op) != known.end();
    EXPECT_EQ(s.Invalidate({{op | uint64_t(VirtualSmmu::kVsid) << 32, 0x5001}}), ok ? 0 : -EIO) << std::hex << op;
    EXPECT_EQ(s.done, ok ? 1u : 0u) << std::hex << op;
  }
  for (unsigned op : {0x05u, 0x06u, 0x40u})
    for (uint64_t sid : {0x16ull, 0x300ull, 0xffffffffull})
      EXPECT_EQ(s.Invalidate({{op | sid << 32, 0}}), -EIO) << std::hex << op << " " << sid;
}

// The unit calls it illegal, and the guest does not hear of it; the commands beside it are done.
TEST_F(Guest, ACommandThatTheUnitRefusesIsLeftOut) {
  five->Unmap(kVa, 2 * kPage);
  Command reserved = Va(5, kVa);
  reserved[1] |= 1 << 10; // TG, and NUM = SCALE = TTL = 0
  s.m.Clear();
  EXPECT_EQ(s.Invalidate({Va(5, kVa), reserved, Va(5, kVa + kPage)}), 0);
  EXPECT_EQ(s.done, 3u);
  EXPECT_FALSE(Reaches(1, 0));
  EXPECT_FALSE(Reaches(1, 1));
  EXPECT_FALSE(s.m.Said(1u << IMS_NOTE_LOG).empty());
}

TEST_F(Guest, InvalidateErrno) {
  using A = ims_iommu_hwpt_invalidate;
  const uint32_t nested = Id(s.Nested(VBypass()));
  struct {
    const char *what;
    long want;
    uint32_t done;
    std::function<void(A &)> change;
  } rows[] = {
      {"as it is", 0, 2, [](A &) {}},
      {"reserved", -EOPNOTSUPP, 0, [](A &a) { a.reserved = 1; }},
      {"no pointer", -EINVAL, 0, [](A &a) { a.data_uptr = 0; }},
      {"bad pointer", -EFAULT, 0, [](A &a) { a.data_uptr = 8; }},
      {"the second beyond memory", -EFAULT, 0, [this](A &a) { a.data_uptr = s.m.arena.Tail(16); }},
      {"entries of nothing", -EINVAL, 0, [](A &a) { a.entry_len = 0; }},
      {"entries beyond a page", -EINVAL, 0, [](A &a) { a.entry_len = 4097; }},
      {"too many", -EINVAL, 0, [](A &a) { a.entry_num = (1 << 19) + 1; }},
      {"none", -EINVAL, 0, [](A &a) { a.entry_num = 0; }},
      {"VT-d's type", -EINVAL, 0, [](A &a) { a.data_type = IMS_INVALIDATE_DATA_VTD_S1; }},
      {"none of VT-d's type", -EINVAL, 0, [](A &a) { a.data_type = a.entry_num = 0; }},
      {"no such object", -ENOENT, 0, [](A &a) { a.hwpt_id = 99; }},
      {"a device", -EINVAL, 0, [this](A &a) { a.hwpt_id = s.id; }},
      {"a paging table", -EINVAL, 0, [this](A &a) { a.hwpt_id = s.parent; }},
      {"a nested table", -EOPNOTSUPP, 0, [&](A &a) { a.hwpt_id = nested; }},
      // Lengths: shorter ones are filled up with zeros, longer ones must be zero there.
      {"first words alone", 0, 4, [](A &a) { a.entry_len = 8, a.entry_num = 4; }},
      {"longer and not zero", -E2BIG, 0, [](A &a) { a.entry_len = 24, a.entry_num = 1; }},
      {"longer and zero", 0, 1, [](A &a) { a.entry_len = 32, a.entry_num = 1, a.data_uptr += 16; }},
  };
  for (const auto &row : rows) {
    // NH_ALL four times, where words are read for commands; 16 zero bytes behind.
    const uint64_t words[8] = {0x10, 0x10, 0x10, 0x10, 0, 0, 0, 0};
    A a{};
    a.hwpt_id = s.viommu;
    a.data_uptr = s.m.arena.PutBytes(words, sizeof words, Arena::kBase + 1024);
    a.data_type = IMS_INVALIDATE_DATA_ARM_SMMUV3;
    a.entry_len = 16;
    a.entry_num = 2;
    row.change(a);
    EXPECT_EQ(s.c->Call(IMS_IOMMU_HWPT_INVALIDATE, &a), row.want) << row.what;
    EXPECT_EQ(a.entry_num, row.done) << row.what;
  }
}

// ---- Events ---------------------------------------------------------------------------------------------------------

TEST_F(Guest, HearsOfItsOwnFaultsUnderItsOwnNames) {
  EventQueue q(s);
  const uint64_t before = ims_kernel_faults(s.m.kernel);
  five->Map(0x900000, 0x400000, kPage, IMS_PERM_R);
  struct {
    unsigned want;
    uint64_t iova;
    unsigned access;
    int64_t ssid;
  } rows[] = {
      {IMS_SMMUV3_F_TRANSLATION, 0x800000, IMS_ACC_R, 1}, {IMS_SMMUV3_F_PERMISSION, 0x900000, IMS_ACC_W, 1},
      {IMS_SMMUV3_C_BAD_CD, kVa, IMS_ACC_R, 9},           {IMS_SMMUV3_C_BAD_SUBSTREAMID, kVa, IMS_ACC_R, 16},
      {IMS_SMMUV3_F_STREAM_DISABLED, kVa, IMS_ACC_R, 0}, // S1DSS 2
  };
  for (const auto &row : rows) {
    ims_result r = s.m.Dma(s.dev, row.iova, row.access, row.ssid);
    ASSERT_EQ(r.fault, row.want);
    auto e = q.Read();
    ASSERT_EQ(e.size(), 1u) << row.want;
    EXPECT_EQ(e[0].id(), row.want);
    EXPECT_EQ(e[0].sid(), VirtualSmmu::kVsid);
    EXPECT_EQ(e[0].record[0] & 0xffffffff, r.record[0] & 0xffffffff);
    for (int w = 1; w < 4; w++)
      EXPECT_EQ(e[0].record[w], r.record[w]);
  }
  EXPECT_EQ(ims_kernel_faults(s.m.kernel), before);
}

TEST_F(Guest, FaultsOfTheHostsStageAreTheHosts) {
  EventQueue q(s);
  const uint64_t before = ims_kernel_faults(s.m.kernel);
  five->Map(0xa00000, 0x7ff0000000, kPage); // no such guest memory
  ims_result r = s.m.Dma(s.dev, 0xa00000, IMS_ACC_R, 1);
  ASSERT_EQ(r.fault, IMS_SMMUV3_F_TRANSLATION);
  ASSERT_EQ(ims_smmuv3_event_get(r.record, IMS_SMMUV3_EVENT_S2_FIELD), 1u);
  EXPECT_FALSE(q.Waiting());
  EXPECT_EQ(ims_kernel_faults(s.m.kernel), before + 1);
  // So are those of a device that the guest does not have any more, and those that no queue is there for.
  ASSERT_EQ(s.c->Detach(s.cdev), 0);
  ASSERT_EQ(s.c->Attach(s.cdev, s.parent), s.parent);
  EXPECT_EQ(s.m.Dma(s.dev, 0x7ff0001000).status, IMS_STATUS_FAULT);
  ims_kernel_interrupts(s.m.kernel);
  EXPECT_FALSE(q.Waiting());
  EXPECT_EQ(ims_kernel_faults(s.m.kernel), before + 2);
  s.Attach(VTranslate(*cds));
  ASSERT_EQ(ims_close(q.file), 0);
  ASSERT_EQ(s.c->Destroy(q.id), 0);
  EXPECT_EQ(s.m.Dma(s.dev, 0xb00000, IMS_ACC_R, 1).fault, IMS_SMMUV3_F_TRANSLATION);
  ims_kernel_interrupts(s.m.kernel);
  EXPECT_EQ(ims_kernel_faults(s.m.kernel), before + 3);
}

TEST(GuestEvents, AStreamWithoutAVdeviceHasNoName) {
  VirtualSmmu s;
  EventQueue q(s);
  s.Attach(VBypass());
  EXPECT_EQ(s.m.Dma(s.dev, 0x1000, IMS_ACC_R, 3).fault, IMS_SMMUV3_C_BAD_SUBSTREAMID);
  EXPECT_FALSE(q.Waiting());
  s.Vdevice();
  EXPECT_EQ(s.m.Dma(s.dev, 0x1000, IMS_ACC_R, 4).fault, IMS_SMMUV3_C_BAD_SUBSTREAMID);
  EXPECT_FALSE(q.Waiting()); // it gets one when it is attached
  s.Attach(VBypass());
  EXPECT_EQ(s.m.Dma(s.dev, 0x1000, IMS_ACC_R, 5).fault, IMS_SMMUV3_C_BAD_SUBSTREAMID);
  auto e = q.Read();
  ASSERT_EQ(e.size(), 1u);
  EXPECT_EQ(e[0].sid(), VirtualSmmu::kVsid);
}

TEST(GuestEvents, StalledOnesGoToTheFaultQueue) {
  ims_device_config d = Machine::DeviceConfig();
  d.ats = d.pri = false;
  d.stall = d.not_pci = true;
  VirtualSmmu s(Machine::SmmuConfig(), d);
  Endpoints ends(s.m);
  Endpoint ep(ends, s.dev);
  s.Vdevice();
  EventQueue q(s);
  FaultQueue f(*s.c);
  GuestCds cds(s.vm, 4);
  GuestArmTable t(s.vm);
  t.Map(0x8000, 0x20000, kPage);
  cds.Set(1, t, 5, true);
  VSte v = VTranslate(cds, 2, false);
  v.ste1 &= ~(1ull << 27); // S1STALLD
  const uint32_t n = Id(s.c->Hwpt(s.id, s.viommu, IMS_HWPT_FAULT_ID_VALID, IMS_HWPT_DATA_ARM_SMMUV3, &v, f.id));
  ASSERT_EQ(s.c->Attach(s.cdev, n), n);
  EXPECT_EQ(ep.Dma(0x7000, IMS_ACC_R, 1, false), IMS_DMA_STALLED);
  auto faults = f.Read();
  ASSERT_EQ(faults.size(), 1u);
  EXPECT_EQ(faults[0].addr, 0x7000u);
  EXPECT_EQ(faults[0].pasid, 1u);
  EXPECT_FALSE(q.Waiting());
  t.Map(0x7000, 0x10000, kPage);
  EXPECT_EQ(f.Answer(faults[0].cookie), 8);
  ims_kernel_interrupts(s.m.kernel);
  EXPECT_EQ(ep.outcomes, (std::vector<ims_dma_end>{IMS_DMA_DONE}));
  // In the second stage nobody completes anything.
  t.Map(0x9000, 0x7ff0000000, kPage);
  EXPECT_EQ(ep.Dma(0x9000, IMS_ACC_R, 1, false), IMS_DMA_STALLED);
  ims_kernel_interrupts(s.m.kernel);
  EXPECT_EQ(ep.outcomes.size(), 2u);
  EXPECT_NE(ep.outcomes.back(), IMS_DMA_DONE);
  EXPECT_TRUE(f.Read().empty());
}

TEST(GuestEvents, PageRequestsOfAllSubstreamsGoToTheFaultQueueOfTheTable) {
  VirtualSmmu s;
  Endpoints ends(s.m);
  Endpoint ep(ends, s.dev);
  s.Vdevice();
  EventQueue q(s);
  FaultQueue f(*s.c);
  GuestCds cds(s.vm, 4);
  GuestArmTable t(s.vm);
  t.Map(0x8000, 0x20000, kPage);
  cds.Set(1, t, 5);
  VSte v = VTranslate(cds);
  const uint32_t n = Id(s.c->Hwpt(s.id, s.viommu, IMS_HWPT_FAULT_ID_VALID, IMS_HWPT_DATA_ARM_SMMUV3, &v, f.id));
  ASSERT_EQ(s.c->Attach(s.cdev, n), n);
  EXPECT_EQ(ep.Dma(0x7000, IMS_ACC_R, 1), IMS_DMA_NO_RIGHTS);
  const uint16_t group = ep.Ask(0x7000, false, 1);
  ims_kernel_interrupts(s.m.kernel);
  auto faults = f.Read();
  ASSERT_EQ(faults.size(), 1u);
  EXPECT_EQ(faults[0].pasid, 1u);
  EXPECT_EQ(faults[0].addr, 0x7000u);
  EXPECT_EQ(faults[0].dev_id, s.id);
  t.Map(0x7000, 0x10000, kPage);
  EXPECT_EQ(f.Answer(faults[0].cookie), 8);
  ims_kernel_interrupts(s.m.kernel);
  ASSERT_EQ(ep.responses.size(), 1u);
  EXPECT_EQ(ep.responses[0].group, group);
  EXPECT_EQ(ep.Dma(0x7000, IMS_ACC_R, 1), IMS_DMA_DONE);
  EXPECT_FALSE(q.Waiting());
}

// ---- Hardware information -------------------------------------------------------------------------------------------

TEST(SmmuHwInfo, SaysWhatTheRegistersSay) {
  VirtualSmmu s;
  ims_iommu_hw_info a{};
  a.dev_id = s.id;
  a.data_len = sizeof(ims_iommu_hw_info_arm_smmuv3);
  a.data_uptr = Arena::kBase + 1024;
  ASSERT_EQ(s.c->Call(IMS_IOMMU_GET_HW_INFO, &a), 0);
  EXPECT_EQ(a.data_type, unsigned(IMS_HW_INFO_ARM_SMMUV3));
  EXPECT_EQ(a.data_len, 40u);
  EXPECT_EQ(a.out_max_pasid_log2, 20u);
  EXPECT_EQ(a.out_capabilities & IMS_HW_CAP_DIRTY_TRACKING, unsigned(IMS_HW_CAP_DIRTY_TRACKING));
  auto info = s.m.arena.Get<ims_iommu_hw_info_arm_smmuv3>(Arena::kBase + 1024);
  auto reg = [&](unsigned offset) { return static_cast<uint32_t>(ims_iommu_read(s.m.units[0], offset, 4)); };
  EXPECT_EQ(info.flags, 0u);
  const uint32_t idr[6] = {info.idr0, info.idr1, info.idr2, info.idr3, info.idr4, info.idr5};
  for (unsigned i = 0; i < 6; i++)
    EXPECT_EQ(idr[i], reg(4 * i)) << i;
  EXPECT_NE(info.idr0, 0u);
  EXPECT_EQ(info.iidr, reg(0x18));
  EXPECT_EQ(info.aidr, reg(0x1c));
  a.flags = IMS_HW_INFO_INPUT_TYPE;
  a.data_type = IMS_HW_INFO_INTEL_VTD;
  EXPECT_EQ(s.c->Call(IMS_IOMMU_GET_HW_INFO, &a), -EOPNOTSUPP);
}

// ---- Dirty bits -----------------------------------------------------------------------------------------------------

struct Dirty : testing::Test {
  VirtualSmmu s;
  uint32_t ioas = s.c->Ioas(), hwpt = 0;
  uint64_t va = 0;
  static constexpr uint64_t kIova = 0x40000000;
  void SetUp() override {
    va = s.c->Memory(4 * kMB, IMS_MMAP_POPULATE | IMS_MMAP_2M);
    ASSERT_EQ(s.c->Map(ioas, kIova, va, 64 * kPage), 0);
    ASSERT_EQ(s.c->Map(ioas, kIova + 2 * kMB, va + 2 * kMB, 2 * kMB), 0);
    hwpt = Id(s.c->Hwpt(s.id, ioas, IMS_HWPT_DIRTY_TRACKING));
    ASSERT_EQ(s.c->Attach(s.cdev, hwpt), hwpt);
  }
  long Track(bool on) {
    ims_iommu_hwpt_set_dirty_tracking a{};
    a.hwpt_id = hwpt;
    a.flags = on;
    return s.c->Call(IMS_IOMMU_HWPT_SET_DIRTY_TRACKING, &a);
  }
  // Pages of [iova, iova+64 pages) that were written.
  uint64_t Bits(uint64_t iova = kIova, uint32_t flags = 0) {
    ims_iommu_hwpt_get_dirty_bitmap a{};
    a.hwpt_id = hwpt;
    a.flags = flags;
    a.iova = iova;
    a.length = 64 * kPage;
    a.page_size = kPage;
    a.data = s.m.arena.Put<uint64_t>(0, Arena::kBase + 1024);
    EXPECT_EQ(s.c->Call(IMS_IOMMU_HWPT_GET_DIRTY_BITMAP, &a), 0);
    return s.m.arena.Get<uint64_t>(Arena::kBase + 1024);
  }
  void Write(uint64_t iova) { EXPECT_EQ(s.m.Dma(s.dev, iova, IMS_ACC_W).status, IMS_STATUS_OK); }
};

TEST_F(Dirty, TheCdSaysThatHardwareKeepsTheFlags) {
  EXPECT_EQ(ims_cd_get(s.HostCd().data(), IMS_CD_HA), 1u);
  EXPECT_EQ(ims_cd_get(s.HostCd().data(), IMS_CD_HD), 1u);
  const uint32_t plain = Id(s.c->Hwpt(s.id, ioas));
  ASSERT_EQ(s.c->Attach(s.cdev, plain), plain);
  EXPECT_EQ(ims_cd_get(s.HostCd().data(), IMS_CD_V), 1u);
  EXPECT_EQ(ims_cd_get(s.HostCd().data(), IMS_CD_HD), 0u);
}

TEST_F(Dirty, PagesThatTheDeviceWroteAreFoundOnceAndAgain) {
  ASSERT_EQ(Track(true), 0);
  EXPECT_EQ(Bits(), 0u);
  Write(kIova + 3 * kPage + 8);
  Write(kIova + 63 * kPage);
  EXPECT_EQ(s.m.Dma(s.dev, kIova + 5 * kPage).status, IMS_STATUS_OK); // read
  EXPECT_EQ(Bits(kIova, IMS_GET_DIRTY_NO_CLEAR), 1ull << 3 | 1ull << 63);
  s.m.Clear();
  EXPECT_EQ(Bits(), 1ull << 3 | 1ull << 63);
  // What was cached as written must be looked up again: a flush, by ASID and address, and the device's.
  std::vector<unsigned> types;
  for (uint64_t d : s.m.Descriptors())
    types.push_back(d & 0xff);
  EXPECT_EQ(std::count(types.begin(), types.end(), 0x40u), 1);
  EXPECT_GE(std::count(types.begin(), types.end(), 0x12u), 1);
  EXPECT_EQ(Bits(), 0u);
  Write(kIova + 3 * kPage);
  EXPECT_EQ(Bits(), 1ull << 3);
  EXPECT_EQ(Track(false), 0);
  EXPECT_EQ(Bits(), 0u);
}

TEST_F(Dirty, ALargeLeafIsDirtyWhole) {
  ASSERT_EQ(Track(true), 0);
  Write(kIova + 2 * kMB + 100 * kPage);
  EXPECT_EQ(Bits(kIova + 2 * kMB, IMS_GET_DIRTY_NO_CLEAR), ~0ull);
  EXPECT_EQ(Bits(kIova + 2 * kMB + 64 * kPage), ~0ull);
  EXPECT_EQ(Bits(kIova + 2 * kMB), 0u);
  EXPECT_EQ(Bits(), 0u);
}

TEST_F(Dirty, MappingsStartDirtyAndTrackingStartsClean) {
  EXPECT_EQ(Bits(kIova, IMS_GET_DIRTY_NO_CLEAR), ~0ull); // nobody knows better
  ASSERT_EQ(Track(true), 0);
  EXPECT_EQ(Bits(), 0u);
}

TEST_F(Dirty, SubstreamsWriteToo) {
  const uint32_t t = Id(s.c->Hwpt(s.id, ioas, IMS_HWPT_DIRTY_TRACKING | IMS_HWPT_PASID));
  hwpt = t;
  ASSERT_EQ(s.c->Attach(s.cdev, t), t);
  ASSERT_EQ(s.c->Attach(s.cdev, t, 7), t);
  ASSERT_EQ(Track(true), 0);
  EXPECT_EQ(s.m.Dma(s.dev, kIova + kPage, IMS_ACC_W, 7).status, IMS_STATUS_OK);
  EXPECT_EQ(Bits(), 2u);
}

} // namespace
} // namespace uapi_test
