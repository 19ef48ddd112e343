// SPDX-License-Identifier: Apache-2.0
// The SMMUv3 nested series: whole CD tables of guests, invalidations by ASID, doorbells, faults; each errno.
#include "iommu/smmuv3/commands.h"
#include "tests/uapi/arm_guest.h"

namespace uapi_test {
namespace {

TEST(GuestCdTable, SubstreamsLeadThroughTheirOwnTables) {
  for (unsigned fmt : {0u, 1u, 2u}) {
    NestedSmmu s;
    unsigned bits = fmt == 2 ? 12 : 8;
    GuestCds cds(s.vm, bits, fmt);
    GuestArmTable zero(s.vm), one(s.vm), two(s.vm);
    uint32_t far = (1u << bits) - 1;
    zero.Map(0x7000, 0x10000, kPage);
    one.Map(0x7000, 0x20000, kPage);
    two.Map(0x7000, 0x30000, kPage, IMS_PERM_R);
    cds.Set(0, zero, 10);
    cds.Set(1, one, 11);
    cds.Set(far, two, 12);
    // Until the guest's stage 1 is there, its addresses are guest physical ones.
    EXPECT_EQ(s.m.Dma(s.dev, 0x20000).output, s.Hpa(0x20000));
    ASSERT_EQ(s.SetTable(MakeTable(kTranslate, cds.base, bits, fmt, 2)), 0);
    EXPECT_EQ(s.m.Dma(s.dev, 0x7123).output, s.Hpa(0x10000) + 0x123) << fmt;
    EXPECT_EQ(s.m.Dma(s.dev, 0x7123, IMS_ACC_W, 1).output, s.Hpa(0x20000) + 0x123);
    EXPECT_EQ(s.m.Dma(s.dev, 0x7123, IMS_ACC_R, far).output, s.Hpa(0x30000) + 0x123);
    EXPECT_EQ(s.m.Dma(s.dev, 0x7123, IMS_ACC_W, far).fault, IMS_SMMUV3_F_PERMISSION);
    EXPECT_EQ(s.m.Dma(s.dev, 0x8000, IMS_ACC_R, 1).fault, IMS_SMMUV3_F_TRANSLATION);
    EXPECT_EQ(s.m.Dma(s.dev, 0x7000, IMS_ACC_R, 0).fault, IMS_SMMUV3_F_STREAM_DISABLED); // S1DSS 2 takes it
    EXPECT_EQ(s.m.Dma(s.dev, 0x7000, IMS_ACC_R, far + 1).fault, IMS_SMMUV3_C_BAD_SUBSTREAMID);
    EXPECT_EQ(s.m.Dma(s.dev, 0x7000, IMS_ACC_R, 2).fault, // an empty CD
              IMS_SMMUV3_C_BAD_CD);
    ASSERT_EQ(s.Unset(), 0);
    EXPECT_EQ(s.m.Dma(s.dev, 0x20000).output, s.Hpa(0x20000));
    EXPECT_EQ(s.m.Dma(s.dev, 0x7000, IMS_ACC_R, 1).fault, IMS_SMMUV3_C_BAD_SUBSTREAMID);
  }
}

TEST(GuestCdTable, SingleCdWithoutSubstreams) {
  NestedSmmu s;
  GuestCds cds(s.vm, 0);
  GuestArmTable t(s.vm);
  t.Map(0x7000, 0x10000, kPage);
  cds.Set(0, t, 5);
  ASSERT_EQ(s.SetTable(MakeTable(kTranslate, cds.base)), 0);
  EXPECT_EQ(s.m.Dma(s.dev, 0x7000).output, s.Hpa(0x10000));
}

TEST(GuestCdTable, GuestsOfAllGranules) {
  for (ims_granule g : {IMS_GRANULE_4K, IMS_GRANULE_16K, IMS_GRANULE_64K}) {
    NestedSmmu s;
    GuestCds cds(s.vm, 4);
    GuestArmTable t(s.vm, g);
    uint64_t page = 1ull << t.pgt.fmt->page_shift;
    t.Map(16 * page, 4 * page, page);
    cds.Set(3, t, 5);
    ASSERT_EQ(s.SetTable(MakeTable(kTranslate, cds.base, 4)), 0);
    EXPECT_EQ(s.m.Dma(s.dev, 17 * page - 8, IMS_ACC_R, 3).output, s.Hpa(5 * page - 8));
    t.Unmap(16 * page, page);
    ASSERT_EQ(s.Invalidate(MakeInvAsid(5, 16 * page, 1, page, true)), 0);
    EXPECT_EQ(s.m.Dma(s.dev, 16 * page, IMS_ACC_R, 3).fault, IMS_SMMUV3_F_TRANSLATION);
  }
}

TEST(GuestCdTable, SteIsThatOfTheSecondStageWithTheGuestsFieldsOverIt) {
  NestedSmmu s;
  GuestCds cds(s.vm, 6);
  uint64_t before[8], after[8];
  uint64_t at = (s.m.Load(ims_kernel_unit_root(s.m.kernel, 0) + 0x300 / 256 * 8) & ~0x3full) + 0x300 % 256 * 64;
  ASSERT_EQ(ims_mem_read(&s.m.mem, at, before, sizeof before), IMS_ERR_OK);
  ASSERT_EQ(s.SetTable(MakeTable(kTranslate, cds.base, 6, 0, 1)), 0);
  ASSERT_EQ(ims_mem_read(&s.m.mem, at, after, sizeof after), IMS_ERR_OK);
  EXPECT_EQ(ims_ste_get(after, IMS_STE_CONFIG), 7u);
  EXPECT_EQ(ims_ste_address(after, IMS_STE_S1CONTEXTPTR), cds.base);
  EXPECT_EQ(ims_ste_get(after, IMS_STE_S1CDMAX), 6u);
  EXPECT_EQ(ims_ste_get(after, IMS_STE_S1FMT), 0u);
  EXPECT_EQ(ims_ste_get(after, IMS_STE_S1DSS), 1u);
  EXPECT_EQ(ims_ste_get(after, IMS_STE_MEV), 1u);
  EXPECT_EQ(after[2], before[2]);
  EXPECT_EQ(after[3], before[3]);
  ASSERT_EQ(s.Unset(), 0);
  ASSERT_EQ(ims_mem_read(&s.m.mem, at, after, sizeof after), IMS_ERR_OK);
  for (int i = 0; i < 8; i++)
    EXPECT_EQ(after[i], before[i]) << i;
}

TEST(GuestCdTable, InstallBreaksTheEntryAndNeedsNoTlbInvalidation) {
  NestedSmmu s;
  GuestCds cds(s.vm, 6);
  s.m.Clear();
  ASSERT_EQ(s.SetTable(MakeTable(kTranslate, cds.base, 6)), 0);
  std::vector<std::string> stores;
  for (const Note &n : s.m.notes)
    if (n.note.kind == IMS_NOTE_TABLE)
      stores.push_back(n.what + " " + std::to_string(n.note.addr / 8 % 8) + (n.note.word[0] ? "" : " zero"));
  EXPECT_EQ(stores, (std::vector<std::string>{"STE 0 zero", "STE 1", "STE 0"}));
  // CFGI_STE and SYNC after each step; a prefetch that nobody waits for; the device's own cache.
  EXPECT_EQ(s.Opcodes(), (std::vector<unsigned>{0x03, 0x46, 0x03, 0x46, 0x03, 0x46, 0x01, 0x40, 0x40, 0x46}));
}

TEST(GuestCdTable, BypassAndAbort) {
  NestedSmmu s;
  GuestCds cds(s.vm, 2);
  GuestArmTable t(s.vm);
  t.Map(0x7000, 0x10000, kPage);
  cds.Set(1, t, 5);
  ASSERT_EQ(s.SetTable(MakeTable(kAbort)), 0);
  EXPECT_EQ(s.m.Dma(s.dev, 0x20000).status, IMS_STATUS_ABORT);
  ASSERT_EQ(s.SetTable(MakeTable(kBypass)), 0);
  EXPECT_EQ(s.m.Dma(s.dev, 0x20000).output, s.Hpa(0x20000));
  ASSERT_EQ(s.SetTable(MakeTable(kTranslate, cds.base, 2)), 0);
  EXPECT_EQ(s.m.Dma(s.dev, 0x7000, IMS_ACC_R, 1).output, s.Hpa(0x10000));
  EXPECT_EQ(s.SetTable(MakeTable(kTranslate, cds.base, 2)), -EINVAL); // not from one table to the next
  EXPECT_EQ(s.m.Dma(s.dev, 0x7000, IMS_ACC_R, 1).output, s.Hpa(0x10000));
  ASSERT_EQ(s.SetTable(MakeTable(kAbort)), 0);
  EXPECT_EQ(s.m.Dma(s.dev, 0x7000, IMS_ACC_R, 1).status, IMS_STATUS_ABORT);
  ASSERT_EQ(s.SetTable(MakeTable(kTranslate, cds.base, 2)), 0);
  EXPECT_EQ(s.m.Dma(s.dev, 0x7000, IMS_ACC_R, 1).output, s.Hpa(0x10000));
}

// What the guest changes shows after the invalidation and, with what is cached, not before.
TEST(GuestInvalidation, ByAddressIsNeededAndSufficient) {
  for (uint32_t ril : {0u, 1u}) {
    ims_smmuv3_config c = Machine::SmmuConfig();
    c.ril = ril;
    NestedSmmu s(IMS_DIALECT_SMMUV3_V13, c);
    GuestCds cds(s.vm, 4);
    GuestArmTable t(s.vm), other(s.vm);
    t.Map(0x100000, 0x100000, 64 * kPage);
    other.Map(0x100000, 0x200000, kPage);
    cds.Set(1, t, 5);
    cds.Set(2, other, 6);
    ASSERT_EQ(s.SetTable(MakeTable(kTranslate, cds.base, 4)), 0);
    for (unsigned i = 0; i < 64; i++)
      ASSERT_EQ(s.m.Dma(s.dev, 0x100000 + i * kPage, IMS_ACC_R, 1).status, IMS_STATUS_OK);
    ASSERT_EQ(s.m.Dma(s.dev, 0x100000, IMS_ACC_R, 2).status, IMS_STATUS_OK);
    t.Unmap(0x103000, 37 * kPage);
    other.Unmap(0x100000, kPage);
    EXPECT_EQ(s.m.Dma(s.dev, 0x103000, IMS_ACC_R, 1).status, IMS_STATUS_OK); // stale
    s.m.Clear();
    ASSERT_EQ(s.Invalidate(MakeInvAsid(5, 0x103000, 37, 4096, true)), 0);
    // 37 = 5 + 1 * 32: two ranges. The device's cache by all its tags.
    std::vector<unsigned> want = ril ? std::vector<unsigned>{0x12, 0x12} : std::vector<unsigned>(37, 0x12);
    want.insert(want.end(), {0x46, 0x40, 0x40, 0x46});
    EXPECT_EQ(s.Opcodes(), want);
    for (unsigned i = 0; i < 64; i++)
      EXPECT_EQ(s.m.Dma(s.dev, 0x100000 + i * kPage, IMS_ACC_R, 1).status,
                i >= 3 && i < 40 ? IMS_STATUS_FAULT : IMS_STATUS_OK)
          << i;
    EXPECT_EQ(s.m.Dma(s.dev, 0x100000, IMS_ACC_R, 2).status, IMS_STATUS_OK); // another ASID: still stale
    ASSERT_EQ(s.Invalidate(MakeInvWhole(1, 6)), 0);
    EXPECT_EQ(s.m.Dma(s.dev, 0x100000, IMS_ACC_R, 2).fault, IMS_SMMUV3_F_TRANSLATION);
  }
}

TEST(GuestInvalidation, GranularitiesBecomeTheirCommands) {
  ims_device_config d = Machine::DeviceConfig();
  d.ats = d.pri = false;
  NestedSmmu s(IMS_DIALECT_SMMUV3_V13, Machine::SmmuConfig(), d);
  GuestCds cds(s.vm, 0);
  ASSERT_EQ(s.SetTable(MakeTable(kTranslate, cds.base)), 0);
  auto said = [&](long result) {
    EXPECT_EQ(result, 0);
    std::vector<uint64_t> words;
    for (const Note &n : s.m.notes)
      if (n.note.kind == IMS_NOTE_DESCRIPTOR && (n.note.word[0] & 0xff) != 0x46)
        words.insert(words.end(), {n.note.word[0], n.note.word[1]});
    s.m.Clear();
    return words;
  };
  s.m.Clear();
  EXPECT_EQ(said(s.Invalidate(MakeInvWhole(0))), (std::vector<uint64_t>{0x30, 0}));
  EXPECT_EQ(said(s.Invalidate(MakeInvWhole(1, 0x77))), (std::vector<uint64_t>{0x11 | 2ull << 32 | 0x77ull << 48, 0}));
  // One page and any level has no range form.
  EXPECT_EQ(said(s.Invalidate(MakeInvAsid(0x77, 0x5000, 1))),
            (std::vector<uint64_t>{0x12 | 2ull << 32 | 0x77ull << 48, 0x5000}));
  EXPECT_EQ(said(s.Invalidate(MakeInvAsid(0x77, 0x5000, 1, 4096, true))),
            (std::vector<uint64_t>{0x12 | 2ull << 32 | 0x77ull << 48, 0x5001}));
  // 512 pages: NUM 0, SCALE 9, TG 1.
  EXPECT_EQ(said(s.Invalidate(MakeInvAsid(0x77, 0x200000, 1, 0x200000))),
            (std::vector<uint64_t>{0x12 | 9ull << 20 | 2ull << 32 | 0x77ull << 48, 0x200000 | 1 << 10}));
  InvB no_asid = MakeInvAsid(0, 0x5000, 1);
  no_asid.addr.flags = 0;
  EXPECT_EQ(said(s.Invalidate(no_asid)), (std::vector<uint64_t>{0x30, 0}));
  // More than there is: all of the ASID.
  EXPECT_EQ(said(s.Invalidate(MakeInvAsid(0x77, 0x5000, ~0ull))),
            (std::vector<uint64_t>{0x11 | 2ull << 32 | 0x77ull << 48, 0}));
}

TEST(GuestInvalidation, ChangeOfTheSecondStageReachesCombinedEntries) {
  NestedSmmu s;
  GuestCds cds(s.vm, 0);
  GuestArmTable t(s.vm);
  t.Map(0x7000, 0x10000, kPage);
  cds.Set(0, t, 5);
  ASSERT_EQ(s.SetTable(MakeTable(kTranslate, cds.base)), 0);
  ASSERT_EQ(s.m.Dma(s.dev, 0x7000).status, IMS_STATUS_OK);
  s.m.Clear();
  ASSERT_EQ(s.v->Unmap(0, 64 * kMB), 0);
  ims_result r = s.m.Dma(s.dev, 0x7000);
  EXPECT_EQ(r.fault, IMS_SMMUV3_F_TRANSLATION);
  EXPECT_EQ(ims_smmuv3_event_get(r.record, IMS_SMMUV3_EVENT_S2_FIELD), 1u);
  EXPECT_EQ(ims_smmuv3_event_get(r.record, IMS_SMMUV3_EVENT_CLASS_FIELD), 1u); // of the table; the CD is cached
  // The device's cache goes whole: what is concerned there cannot be known.
  ASSERT_FALSE(s.m.invalidations.empty());
  for (const ims_ats_invalidation &i : s.m.invalidations) {
    EXPECT_EQ(i.addr, 0u);
    EXPECT_EQ(i.last, ~0ull);
  }
}

TEST(GuestCdTable, ReplacedByWayOfBypassDropsCds) {
  NestedSmmu s;
  GuestCds cds(s.vm, 2);
  GuestArmTable a(s.vm), b(s.vm);
  a.Map(0x7000, 0x10000, kPage);
  b.Map(0x7000, 0x20000, kPage);
  cds.Set(1, a, 5);
  ASSERT_EQ(s.SetTable(MakeTable(kTranslate, cds.base, 2)), 0);
  ASSERT_EQ(s.m.Dma(s.dev, 0x7000, IMS_ACC_R, 1).output, s.Hpa(0x10000));
  cds.Set(1, b, 6);
  EXPECT_EQ(s.m.Dma(s.dev, 0x7000, IMS_ACC_R, 1).output, s.Hpa(0x10000)); // the CD is cached
  ASSERT_EQ(s.SetTable(MakeTable(kBypass)), 0);
  ASSERT_EQ(s.SetTable(MakeTable(kTranslate, cds.base, 2)), 0);
  EXPECT_EQ(s.m.Dma(s.dev, 0x7000, IMS_ACC_R, 1).output, s.Hpa(0x20000));
}

// ---- errno ----------------------------------------------------------------------------------------------------------

struct Errno : testing::TestWithParam<ims_dialect> {
  NestedSmmu s{GetParam()};
  bool b = GetParam() == IMS_DIALECT_SMMUV3_V13;
  // The same table in the layout of the dialect.
  long Set(const std::function<void(TableB &)> &change) {
    TableB t = MakeTable(kTranslate, 0x100000, 4);
    change(t);
    if (b)
      return s.v->Ioctl(s.words.table, t);
    TableA a = MakeTableA(t.config.config, t.config.base_ptr, t.config.pasid_bits, t.config.s1fmt, t.config.s1dss);
    a.argsz = t.argsz;
    a.flags = t.flags;
    a.config.version = t.config.version;
    a.config.format = t.config.format;
    a.config.smmuv3_version = t.config.smmuv3_version;
    a.config.padding[0] = t.config.padding[0];
    a.config.smmuv3_padding[0] = t.config.smmuv3_padding[0];
    return s.v->Ioctl(s.words.table, a);
  }
};

TEST_P(Errno, SetPasidTable) {
  struct {
    const char *what;
    long want;
    std::function<void(TableB &)> change;
  } rows[] = {
      {"argsz", -EINVAL, [](TableB &t) { t.argsz = 7; }},
      {"no flag", -EINVAL, [](TableB &t) { t.flags = 0; }},
      {"both flags", -EINVAL, [](TableB &t) { t.flags = 3; }},
      {"unknown flag", -EINVAL, [](TableB &t) { t.flags = 4; }},
      {"version", -EINVAL, [](TableB &t) { t.config.version = 2; }},
      {"format", -EINVAL, [](TableB &t) { t.config.format = 2; }},
      {"config 0", -EINVAL, [](TableB &t) { t.config.config = 0; }},
      {"config 4", -EINVAL, [](TableB &t) { t.config.config = 4; }},
      {"padding", -EINVAL, [](TableB &t) { t.config.padding[0] = 1; }},
      {"SMMUv3 version", -EINVAL, [](TableB &t) { t.config.smmuv3_version = 0; }},
      {"SMMUv3 padding", -EINVAL, [](TableB &t) { t.config.smmuv3_padding[0] = 1; }},
      {"more substreams than the unit has", -EINVAL, [](TableB &t) { t.config.pasid_bits = 21; }},
      {"format of the CD table", -EINVAL, [](TableB &t) { t.config.s1fmt = 3; }},
      {"S1DSS", -EINVAL, [](TableB &t) { t.config.s1dss = 3; }},
      {"base beyond the second stage", -EINVAL, [](TableB &t) { t.config.base_ptr = 1ull << 48; }},
      {"base not aligned", -EINVAL, [](TableB &t) { t.config.base_ptr = 0x100020; }},
      {"bypass looks at no table", 0,
       [](TableB &t) {
         t.config.config = kBypass;
         t.config.base_ptr = 1ull << 60;
         t.config.s1fmt = 3;
       }},
      {"right", 0, [](TableB &) {}},
      {"table over table", -EINVAL, [](TableB &) {}},
      {"abort over table", 0, [](TableB &t) { t.config.config = kAbort; }},
      {"unset", 0, [](TableB &t) { t.flags = 2; }},
      {"unset again", 0, [](TableB &t) { t.flags = 2; }},
  };
  for (const auto &row : rows)
    EXPECT_EQ(Set(row.change), row.want) << row.what;
}

TEST_P(Errno, BadPointers) {
  Arena &a = s.m.arena;
  EXPECT_EQ(ims_ioctl(s.v->container, s.words.table, 8), -EFAULT);
  EXPECT_EQ(ims_ioctl(s.v->container, s.words.invalidate, 8), -EFAULT);
  EXPECT_EQ(ims_ioctl(s.v->container, s.words.msi, 8), -EFAULT);
  TableB t = MakeTable(kTranslate, 0x100000, 4);
  uint64_t at = a.Tail(8 + 8);
  a.PutBytes(&t, 16, at);
  EXPECT_EQ(ims_ioctl(s.v->container, s.words.table, at), -EFAULT);
  InvB i = MakeInvAsid(1, 0, 1);
  at = a.Tail(8);
  a.PutBytes(&i, 8, at);
  EXPECT_EQ(ims_ioctl(s.v->container, s.words.invalidate, at), -EFAULT);
}

TEST_P(Errno, OtherIoctlsOfTheContainer) {
  for (uint32_t word = 0x3b73; word < 0x3b80; word++)
    if (word != s.words.table && word != s.words.invalidate && word != s.words.msi) {
      EXPECT_EQ(ims_ioctl(s.v->container, word, 0), -ENOTTY) << std::hex << word;
    }
  EXPECT_EQ(ims_ioctl(s.v->container, IMS_VFIO_CHECK_EXTENSION, 9), 0);
}

TEST_P(Errno, MsiBinding) {
  ims_vfio_set_msi_binding good = {32, 1, 0xfffff000, 0x8090000, 4096};
  auto with = [&](const std::function<void(ims_vfio_set_msi_binding &)> &change) {
    ims_vfio_set_msi_binding m = good;
    change(m);
    return s.v->Ioctl(s.words.msi, m);
  };
  EXPECT_EQ(with([](auto &m) { m.argsz = 31; }), -EINVAL);
  EXPECT_EQ(with([](auto &m) { m.flags = 0; }), -EINVAL);
  EXPECT_EQ(with([](auto &m) { m.flags = 3; }), -EINVAL);
  EXPECT_EQ(with([](auto &m) { m.flags = 4; }), -EINVAL);
  EXPECT_EQ(with([](auto &m) { m.size = 8192; }), -EINVAL);
  EXPECT_EQ(with([](auto &m) { m.size = 0; }), -EINVAL);
  EXPECT_EQ(with([](auto &m) { m.gpa = 0x1000; }), -EEXIST); // guest memory
  EXPECT_EQ(with([](auto &) {}), 0);
  EXPECT_EQ(with([](auto &m) { m.gpa = 0x9990000; }), 0); // the same giova again: nothing happens
  EXPECT_EQ(with([](auto &m) { m.flags = 2; }), 0);
  EXPECT_EQ(with([](auto &m) { m.flags = 2; }), 0); // and unbinding what is not bound
}

INSTANTIATE_TEST_SUITE_P(Dialects, Errno, testing::Values(IMS_DIALECT_SMMUV3_V10, IMS_DIALECT_SMMUV3_V13));

TEST(SmmuErrno, TableSizesOfLayoutB) {
  NestedSmmu s;
  TableB t = MakeTable(kTranslate, 0x100000, 4);
  t.config.argsz = 23;
  EXPECT_EQ(s.SetTable(t), -EINVAL);
  t.config.argsz = 31;
  EXPECT_EQ(s.SetTable(t), -EINVAL);
  t.config.argsz = 64; // longer than known: not looked at
  EXPECT_EQ(s.SetTable(t), 0);
}

TEST(SmmuErrno, InvalidationsThatTheDriverRefuses) {
  NestedSmmu s;
  GuestCds cds(s.vm, 0);
  ASSERT_EQ(s.SetTable(MakeTable(kTranslate, cds.base)), 0);
  auto with = [&](const std::function<void(InvB &)> &change) {
    InvB i = MakeInvAsid(5, 0x1000, 1);
    change(i);
    return s.Invalidate(i);
  };
  EXPECT_EQ(with([](InvB &) {}), 0);
  EXPECT_EQ(with([](InvB &i) { i.argsz = 7; }), -EINVAL);
  EXPECT_EQ(with([](InvB &i) { i.flags = 1; }), -EINVAL);
  EXPECT_EQ(with([](InvB &i) { i.data.argsz = 15; }), -EINVAL);
  EXPECT_EQ(with([](InvB &i) { i.data.argsz = 55; }), -EINVAL);
  EXPECT_EQ(with([](InvB &i) { i.data.version = 2; }), -EINVAL);
  EXPECT_EQ(with([](InvB &i) { i.data.cache = 8; }), -EINVAL);
  EXPECT_EQ(with([](InvB &i) { i.data.granularity = 3; }), -EINVAL);
  EXPECT_EQ(with([](InvB &i) { i.data.padding[0] = 1; }), -EINVAL);
  EXPECT_EQ(with([](InvB &i) { i.addr.flags = 8; }), -EINVAL);
  EXPECT_EQ(with([](InvB &i) { i.data.cache = 4; }), -EINVAL); // PASID cache by address: the core refuses
  EXPECT_EQ(with([](InvB &i) { i.data.cache = 2; }), -ENOENT);
  EXPECT_EQ(with([](InvB &i) { i.data.cache = 3; }), -ENOENT);
  EXPECT_EQ(with([](InvB &i) { i.data.cache = 0; }), -EINVAL);
  EXPECT_EQ(with([](InvB &i) { i.addr.flags = 3; }), -ENOENT);
  EXPECT_EQ(with([](InvB &i) { i.addr.granule_size = 0x3000; }), -EINVAL);
  EXPECT_EQ(with([](InvB &i) { i.addr.granule_size = 0; }), -EINVAL);
  EXPECT_EQ(with([](InvB &i) { i.addr.nb_granules = 0; }), -EINVAL);
  auto whole = [&](uint8_t granularity, const std::function<void(InvSmmuB &)> &change) {
    InvSmmuB i = MakeInvWhole(granularity, 5);
    change(i);
    return s.Invalidate(i);
  };
  EXPECT_EQ(whole(1, [](InvSmmuB &) {}), 0);
  EXPECT_EQ(whole(1, [](InvSmmuB &i) { i.pasid.flags = 1; }), -ENOENT);
  EXPECT_EQ(whole(1, [](InvSmmuB &i) { i.pasid.flags = 3; }), -ENOENT);
  EXPECT_EQ(whole(1, [](InvSmmuB &i) { i.pasid.flags = 0; }), -EINVAL);
  EXPECT_EQ(whole(1, [](InvSmmuB &i) { i.data.cache = 4; }), -ENOENT);
  EXPECT_EQ(whole(0, [](InvSmmuB &i) { i.data.cache = 4; }), -ENOENT);
  EXPECT_EQ(whole(0, [](InvSmmuB &i) { i.data.cache = 2; }), -EINVAL); // the core again
  EXPECT_EQ(whole(0, [](InvSmmuB &) {}), 0);
}

TEST(SmmuErrno, ContainersThatAreNotNested) {
  Machine m(IMS_DIALECT_SMMUV3_V13, ArmCpu);
  m.AddSmmu();
  m.AddDevice();
  Vmm v(m, IMS_VFIO_TYPE1v2_IOMMU);
  EXPECT_EQ(v.Ioctl(0x3b76, MakeTable(kTranslate, 0x1000)), -EINVAL);
  EXPECT_EQ(v.Ioctl(0x3b77, MakeInvAsid(5, 0x1000, 1)), -EINVAL);
  EXPECT_EQ(v.Ioctl(0x3b78, ims_vfio_set_msi_binding{32, 1, 0, 0x8090000, 4096}), -EINVAL);
  EXPECT_EQ(v.Ioctl(0x3b76, ims_vfio_set_pasid_table{8, 2}), 0);
}

TEST(SmmuErrno, UnitsOfOtherKindsHaveNoSuchOperation) {
  Machine m(IMS_DIALECT_SMMUV3_V13);
  m.AddUnit();
  m.AddDevice();
  Vmm v(m);
  ASSERT_EQ(v.set_iommu, 0);
  EXPECT_EQ(v.Ioctl(0x3b76, MakeTable(kTranslate, 0x1000)), -ENODEV);
  EXPECT_EQ(v.Ioctl(0x3b77, MakeInvAsid(5, 0x1000, 1)), -ENODEV);
  EXPECT_EQ(v.Ioctl(0x3b78, ims_vfio_set_msi_binding{32, 1, 0, 0x8090000, 4096}), -EINVAL);
}

TEST(SmmuErrno, VsvaDialectsFindNothingToBindAPasidTo) {
  for (ims_dialect d : {IMS_DIALECT_V1, IMS_DIALECT_V7}) {
    Machine m(d, ArmCpu);
    m.AddSmmu();
    m.AddDevice();
    Vmm v(m);
    ASSERT_EQ(v.set_iommu, 0);
    uint8_t info[256] = {};
    uint32_t argsz = sizeof info;
    std::memcpy(info, &argsz, 4);
    m.arena.PutBytes(info, sizeof info);
    EXPECT_EQ(ims_ioctl(v.container, IMS_VFIO_IOMMU_GET_INFO, Arena::kBase), -ENOENT); // an empty nesting information
    if (d == IMS_DIALECT_V1)
      EXPECT_EQ(v.Ioctl(0x3b7b, MakeBindA(1, 1, 0x1000)), -ENODEV);
    else
      EXPECT_EQ(v.Ioctl(0x3b77, MakeBindB(0, 1, 0x1000)), -EOPNOTSUPP);
  }
}

TEST(SmmuErrno, UnitsWithOneStageCannotNest) {
  ims_smmuv3_config c = Machine::SmmuConfig();
  c.s2p = 0;
  Machine m(IMS_DIALECT_SMMUV3_V13, ArmCpu);
  m.AddSmmu(c);
  m.AddDevice();
  EXPECT_EQ(Vmm(m).set_iommu, -ENODEV);
}

// ---- Doorbells, faults ----------------------------------------------------------------------------------------------

TEST(GuestDoorbell, MessagesGoThroughBothStagesToThePhysicalOne) {
  NestedSmmu s;
  GuestCds cds(s.vm, 0);
  GuestArmTable t(s.vm);
  t.Map(0xfffff000, 0x8090000, kPage);
  cds.Set(0, t, 5);
  ASSERT_EQ(s.SetTable(MakeTable(kTranslate, cds.base)), 0);
  ims_result r = s.m.Dma(s.dev, 0xfffff040, IMS_ACC_W);
  EXPECT_EQ(r.fault, IMS_SMMUV3_F_TRANSLATION);
  EXPECT_EQ(ims_smmuv3_event_get(r.record, IMS_SMMUV3_EVENT_S2_FIELD), 1u);
  ASSERT_EQ(s.v->Ioctl(s.words.msi, ims_vfio_set_msi_binding{32, 1, 0xfffff000, 0x8090000, 4096}), 0);
  r = s.m.Dma(s.dev, 0xfffff040, IMS_ACC_W);
  EXPECT_EQ(r.status, IMS_STATUS_OK);
  EXPECT_EQ(r.output, 0x8090040u);
  ASSERT_EQ(s.v->Ioctl(s.words.msi, ims_vfio_set_msi_binding{32, 2, 0xfffff000, 0, 0}), 0);
  EXPECT_EQ(s.m.Dma(s.dev, 0xfffff040, IMS_ACC_W).fault, IMS_SMMUV3_F_TRANSLATION);
}

TEST(GuestFaults, UnrecoverableOnesOfItsOwnStageGoToTheVmm) {
  NestedSmmu s;
  GuestCds cds(s.vm, 4);
  GuestArmTable t(s.vm);
  t.Map(0x7000, 0x10000, kPage, IMS_PERM_R);
  t.Map(0x9000, 0x80000000, kPage); // no memory of the guest's
  cds.Set(1, t, 5);
  ASSERT_EQ(s.SetTable(MakeTable(kTranslate, cds.base, 4)), 0);
  ims_iommu_fault_page_request raw;
  EXPECT_EQ(ims_container_read_fault(s.v->container, &raw), 0);
  struct {
    uint64_t addr;
    unsigned access;
    uint32_t pasid, reason, flags, perm;
  } rows[] = {
      {0x8010, IMS_ACC_R, 1, 5, 3, 1},  // PTE_FETCH
      {0x7020, IMS_ACC_W, 1, 6, 3, 2},  // PERMISSION
      {0x7000, IMS_ACC_R, 2, 2, 1, 0},  // BAD_PASID_ENTRY
      {0x7000, IMS_ACC_R, 99, 3, 1, 0}, // PASID_INVALID
      {0x8000, IMS_ACC_R | IMS_ACC_PRIV, 1, 5, 3, 9},
  };
  for (const auto &row : rows) {
    ASSERT_EQ(s.m.Dma(s.dev, row.addr, row.access, row.pasid).status, IMS_STATUS_FAULT);
    ASSERT_EQ(ims_container_read_fault(s.v->container, &raw), 64);
    ims_iommu_fault_unrecoverable u;
    std::memcpy(&u, &raw, sizeof u);
    EXPECT_EQ(u.type, 1u);
    EXPECT_EQ(u.reason, row.reason);
    EXPECT_EQ(u.flags & 3, row.flags);
    EXPECT_EQ(u.pasid, row.pasid);
    if (row.flags & 2) {
      EXPECT_EQ(u.addr, row.addr);
      EXPECT_EQ(u.perm, row.perm);
    }
  }
  EXPECT_EQ(ims_kernel_faults(s.m.kernel), 0u);
  // Of the second stage the guest knows nothing.
  EXPECT_EQ(s.m.Dma(s.dev, 0x9000, IMS_ACC_R, 1).fault, IMS_SMMUV3_F_TRANSLATION);
  EXPECT_EQ(ims_container_read_fault(s.v->container, &raw), 0);
  ims_kernel_fault f{};
  ASSERT_TRUE(ims_kernel_fault_at(s.m.kernel, 0, &f));
  EXPECT_EQ(f.reason, IMS_SMMUV3_F_TRANSLATION);
  EXPECT_TRUE(f.s2);
  EXPECT_EQ(f.ipa, 0x80000000u);
  EXPECT_EQ(f.addr, 0x9000u);
  EXPECT_EQ(f.pasid, 1u);
}

TEST(GuestFaults, RingHolds512) {
  NestedSmmu s;
  GuestCds cds(s.vm, 4);
  ASSERT_EQ(s.SetTable(MakeTable(kTranslate, cds.base, 4)), 0);
  for (unsigned i = 0; i < 600; i++) {
    s.m.Dma(s.dev, 0x1000, IMS_ACC_R, 1);
    ims_kernel_interrupts(s.m.kernel);
  }
  ims_iommu_fault_page_request raw;
  unsigned n = 0;
  while (ims_container_read_fault(s.v->container, &raw) == 64)
    n++;
  EXPECT_EQ(n, 512u);
  s.m.Dma(s.dev, 0x1000, IMS_ACC_R, 1);
  EXPECT_EQ(ims_container_read_fault(s.v->container, &raw), 64);
}

TEST(GuestFaults, StalledTransactionIsAPageRequestWithItsTag) {
  ims_device_config d = Machine::DeviceConfig();
  d.ats = d.pri = false;
  d.stall = true;
  NestedSmmu s(IMS_DIALECT_SMMUV3_V13, Machine::SmmuConfig(), d);
  GuestCds cds(s.vm, 4);
  GuestArmTable t(s.vm);
  t.Map(0x100000, 0x10000, kPage);
  cds.Set(1, t, 5, true);
  ASSERT_EQ(s.SetTable(MakeTable(kTranslate, cds.base, 4)), 0);
  ims_result r = s.m.Dma(s.dev, 0x8010, IMS_ACC_W, 1);
  ASSERT_EQ(r.status, IMS_STATUS_STALL);
  ims_iommu_fault_page_request q;
  ASSERT_EQ(ims_container_read_fault(s.v->container, &q), 64);
  EXPECT_EQ(q.type, 2u);
  EXPECT_EQ(q.flags, 3u); // PASID, last
  EXPECT_EQ(q.pasid, 1u);
  EXPECT_EQ(q.grpid, r.stag);
  EXPECT_EQ(q.perm, 2u);
  EXPECT_EQ(q.addr, 0x8010u);
  t.Map(0x8000, 0x20000, kPage);
  ims_iommu_page_response_b answer = {24, 1, 1, 1, q.grpid, 0};
  ASSERT_EQ(ims_container_page_response(s.v->container, s.m.arena.Put(answer)), 0);
  ASSERT_EQ(s.m.resumes.size(), 1u);
  EXPECT_EQ(s.m.resumes[0].action, IMS_RESUME_RETRY);
  EXPECT_EQ(s.m.resumes[0].stag, r.stag);
  EXPECT_EQ(s.m.Dma(s.dev, 0x8010, IMS_ACC_W, 1).output, s.Hpa(0x20000) + 0x10);
  EXPECT_EQ(ims_container_page_response(s.v->container, s.m.arena.Put(answer)), -EINVAL); // nothing waits
  // What still waits when the table goes is aborted.
  ASSERT_EQ(s.m.Dma(s.dev, 0xa000, IMS_ACC_R, 1).status, IMS_STATUS_STALL);
  s.m.resumes.clear();
  ASSERT_EQ(s.Unset(), 0);
  ASSERT_EQ(s.m.resumes.size(), 1u);
  EXPECT_EQ(s.m.resumes[0].action, IMS_RESUME_ABORT);
}

TEST(GuestFaults, PageRequestsOfTheDeviceGoToTheVmm) {
  NestedSmmu s;
  GuestCds cds(s.vm, 4);
  ASSERT_EQ(s.SetTable(MakeTable(kTranslate, cds.base, 4)), 0);
  ims_page_request p{};
  p.addr = 0x8000;
  p.source = 0x300;
  p.pasid = 3;
  p.has_pasid = p.read = p.last = true;
  p.group = 17;
  ASSERT_TRUE(ims_request_page(s.m.units[0], &p));
  ims_iommu_fault_page_request q;
  ASSERT_EQ(ims_container_read_fault(s.v->container, &q), 64);
  EXPECT_EQ(q.grpid, 17u);
  EXPECT_EQ(q.pasid, 3u);
  ims_iommu_page_response_b answer = {24, 1, 1, 3, 17, 1};
  ASSERT_EQ(ims_container_page_response(s.v->container, s.m.arena.Put(answer)), 0);
  ASSERT_EQ(s.m.responses.size(), 1u);
  EXPECT_EQ(s.m.responses[0].code, 1);
  EXPECT_EQ(s.m.responses[0].group, 17);
}

TEST(GuestCdTable, CloseOfTheContainerLeavesNothing) {
  NestedSmmu s;
  GuestCds cds(s.vm, 4);
  GuestArmTable t(s.vm);
  t.Map(0x7000, 0x10000, kPage);
  cds.Set(1, t, 5);
  uint64_t before = ims_kernel_memory_in_use(s.m.kernel);
  ASSERT_EQ(s.SetTable(MakeTable(kTranslate, cds.base, 4)), 0);
  ASSERT_EQ(s.m.Dma(s.dev, 0x7000, IMS_ACC_R, 1).status, IMS_STATUS_OK);
  EXPECT_EQ(ims_kernel_memory_in_use(s.m.kernel), before);
  ASSERT_EQ(ims_close(s.v->group[0]), 0);
  EXPECT_EQ(s.m.Dma(s.dev, 0x7000, IMS_ACC_R, 1).status, IMS_STATUS_ABORT);
  ims_file *again = nullptr; // the group can be used anew
  EXPECT_GE(ims_open(s.v->process, "/dev/vfio/7", &again), 3);
}

TEST(GuestCdTable, TwoDevicesOfAContainerGetTheSameTable) {
  Machine m(IMS_DIALECT_SMMUV3_V13, ArmCpu);
  m.AddSmmu();
  ims_device *a = m.AddDevice(Machine::DeviceConfig(0x300, 7)), *b = m.AddDevice(Machine::DeviceConfig(0x400, 8));
  Vmm v(m, IMS_VFIO_TYPE1_NESTING_IOMMU, {7, 8});
  ASSERT_EQ(v.set_iommu, 0);
  ims_vm *vm = v.Guest(16 * kMB);
  GuestCds cds(vm, 0);
  GuestArmTable t(vm);
  t.Map(0x7000, 0x10000, kPage);
  cds.Set(0, t, 5);
  ASSERT_EQ(v.Ioctl(0x3b76, MakeTable(kTranslate, cds.base)), 0);
  EXPECT_EQ(m.Dma(a, 0x7000).status, IMS_STATUS_OK);
  EXPECT_EQ(m.Dma(b, 0x7000).output, m.Dma(a, 0x7000).output);
  t.Unmap(0x7000, kPage);
  ASSERT_EQ(v.Ioctl(0x3b77, MakeInvAsid(5, 0x7000, 1)), 0);
  EXPECT_EQ(m.Dma(a, 0x7000).fault, IMS_SMMUV3_F_TRANSLATION);
  EXPECT_EQ(m.Dma(b, 0x7000).fault, IMS_SMMUV3_F_TRANSLATION);
}

} // namespace
} // namespace uapi_test
