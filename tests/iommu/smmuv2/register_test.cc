// SPDX-License-Identifier: Apache-2.0
// Registers: the tables themselves, access classes, the address map, identification, snapshots.
#include "tests/iommu/smmuv2/world.h"

#include <map>
#include <set>

namespace smmu2 {
namespace {

struct Page {
  const char *name;
  const ims_reg_info *regs;
  unsigned count;
  const ims_reg_field *fields;
  unsigned field_count;
};
const Page kPages[] = {
    {"GR0", ims_smmuv2_gr0_regs, IMS_SMMUV2_GR0_COUNT, ims_smmuv2_gr0_fields, ims_smmuv2_gr0_field_count},
    {"GR1", ims_smmuv2_gr1_regs, IMS_SMMUV2_GR1_COUNT, ims_smmuv2_gr1_fields, ims_smmuv2_gr1_field_count},
    {"bank", ims_smmuv2_cb_regs, IMS_SMMUV2_CB_COUNT, ims_smmuv2_cb_fields, ims_smmuv2_cb_field_count},
};

uint64_t bits(const ims_reg_field &f) { return IMS_REG_BITS(f.high, f.low); }
uint64_t mask_of(const Page &p, unsigned reg, unsigned access) {
  uint64_t m = 0;
  for (unsigned i = 0; i < p.field_count; i++)
    if (p.fields[i].reg == reg && p.fields[i].access == access)
      m |= bits(p.fields[i]);
  return m;
}

// All that can be had.
Config everything() {
  Config c;
  c.exids = c.vmid16s = 1;
  return c;
}

TEST(RegisterTable, FieldsLieWithinAndDoNotOverlap) {
  for (const Page &p : kPages)
    for (unsigned r = 0; r < p.count; r++) {
      uint64_t seen = 0;
      for (unsigned i = 0; i < p.field_count; i++) {
        const ims_reg_field &f = p.fields[i];
        if (f.reg != r)
          continue;
        EXPECT_LE(f.low, f.high) << p.regs[r].name << "." << f.name;
        EXPECT_LT(f.high, p.regs[r].bytes * 8) << p.regs[r].name << "." << f.name;
        EXPECT_FALSE(seen & bits(f)) << p.regs[r].name << "." << f.name;
        seen |= bits(f);
      }
      EXPECT_FALSE(p.regs[r].reset & ~seen) << p.regs[r].name << " resets bits without a field";
    }
}

TEST(RegisterTable, RegistersDoNotOverlapAndAreAligned) {
  for (const Page &p : kPages) {
    std::set<uint32_t> used;
    for (unsigned r = 0; r < p.count; r++) {
      EXPECT_EQ(std::string(p.name), p.regs[r].section);
      EXPECT_EQ(0u, p.regs[r].offset % p.regs[r].bytes) << p.regs[r].name;
      for (uint32_t b = 0; b < p.regs[r].bytes; b += 4)
        EXPECT_TRUE(used.insert(p.regs[r].offset + b).second) << p.regs[r].name;
    }
  }
}

// The offsets that drivers use.
TEST(RegisterTable, WhereDriversExpectThem) {
  const struct {
    uint32_t found, wanted;
  } offsets[] = {
      {IMS_SMMUV2_OFF_sCR0, 0x0},         {IMS_SMMUV2_OFF_IDR0, 0x20},          {IMS_SMMUV2_OFF_IDR7, 0x3c},
      {IMS_SMMUV2_OFF_sGFSR, 0x48},       {IMS_SMMUV2_OFF_sGFSYNR0, 0x50},      {IMS_SMMUV2_OFF_sGFSYNR2, 0x58},
      {IMS_SMMUV2_OFF_TLBIVMID, 0x64},    {IMS_SMMUV2_OFF_TLBIALLNSNH, 0x68},   {IMS_SMMUV2_OFF_TLBIALLH, 0x6c},
      {IMS_SMMUV2_OFF_sTLBGSYNC, 0x70},   {IMS_SMMUV2_OFF_sTLBGSTATUS, 0x74},   {IMS_SMMUV2_OFF_SMR, 0x800},
      {IMS_SMMUV2_OFF_S2CR, 0xc00},       {IMS_SMMUV2_OFF_CBAR, 0x0},           {IMS_SMMUV2_OFF_CBFRSYNRA, 0x400},
      {IMS_SMMUV2_OFF_CBA2R, 0x800},      {IMS_SMMUV2_OFF_CB_SCTLR, 0x0},       {IMS_SMMUV2_OFF_CB_ACTLR, 0x4},
      {IMS_SMMUV2_OFF_CB_RESUME, 0x8},    {IMS_SMMUV2_OFF_CB_TCR2, 0x10},       {IMS_SMMUV2_OFF_CB_TTBR0, 0x20},
      {IMS_SMMUV2_OFF_CB_TTBR1, 0x28},    {IMS_SMMUV2_OFF_CB_TCR, 0x30},        {IMS_SMMUV2_OFF_CB_CONTEXTIDR, 0x34},
      {IMS_SMMUV2_OFF_CB_MAIR0, 0x38},    {IMS_SMMUV2_OFF_CB_MAIR1, 0x3c},      {IMS_SMMUV2_OFF_CB_FSR, 0x58},
      {IMS_SMMUV2_OFF_CB_FAR, 0x60},      {IMS_SMMUV2_OFF_CB_FSYNR0, 0x68},     {IMS_SMMUV2_OFF_CB_IPAFAR, 0x70},
      {IMS_SMMUV2_OFF_CB_TLBIVA, 0x600},  {IMS_SMMUV2_OFF_CB_TLBIASID, 0x610},  {IMS_SMMUV2_OFF_CB_TLBIALL, 0x618},
      {IMS_SMMUV2_OFF_CB_TLBIVAL, 0x620}, {IMS_SMMUV2_OFF_CB_TLBIIPAS2, 0x630}, {IMS_SMMUV2_OFF_CB_TLBIIPAS2L, 0x638},
      {IMS_SMMUV2_OFF_CB_TLBSYNC, 0x7f0}, {IMS_SMMUV2_OFF_CB_TLBSTATUS, 0x7f4},
  };
  for (const auto &o : offsets)
    EXPECT_EQ(o.wanted, o.found) << &o - offsets;
}

// After power-on: reset values; and every bit pattern written leaves what the access classes say.
void expect_classes(Machine &m, const Page &p, unsigned r, uint32_t offset, uint64_t reset, uint64_t rw) {
  SCOPED_TRACE(p.regs[r].name);
  unsigned bytes = p.regs[r].bytes;
  EXPECT_EQ(reset, m.read(offset, bytes));
  for (uint64_t v : {~uint64_t(0), uint64_t(0), uint64_t(0x5a5aa5a55a5aa5a5), uint64_t(0xa5a55a5aa5a55a5a)}) {
    m.write(offset, bytes, v);
    EXPECT_EQ((reset & ~rw) | (v & rw), m.read(offset, bytes)) << std::hex << v;
  }
  if (bytes == 8) {
    m.write(offset, 8, 0);
    m.write(offset + 4, 4, 0xffffffff);
    EXPECT_EQ((reset & ~rw) | (rw & 0xffffffff00000000), m.read(offset, 8));
    m.write(offset, 4, 0xffffffff);
    EXPECT_EQ((reset & ~rw) | rw, m.read(offset, 8));
    EXPECT_EQ(((reset & ~rw) | rw) >> 32, m.read(offset + 4, 4));
  }
}

TEST(Register, AccessClasses) {
  for (unsigned pagesize : {0u, 1u}) {
    Config c = everything();
    c.pagesize = pagesize;
    uint32_t bytes = pagesize ? 0x10000 : 0x1000;
    Machine m(c);
    for (unsigned r = 0; r < IMS_SMMUV2_SMR; r++) {
      const Page &p = kPages[0];
      uint64_t reset = p.regs[r].reset | ims_smmuv2_id(&c, static_cast<ims_smmuv2_gr0>(r));
      expect_classes(m, p, r, p.regs[r].offset, reset, mask_of(p, r, IMS_REG_RW));
    }
    m.put(IMS_SMMUV2_sCR0, 1);
    for (unsigned n : {0u, 5u, 63u}) {
      expect_classes(m, kPages[0], IMS_SMMUV2_SMR, 0x800 + 4 * n, 0, mask_of(kPages[0], IMS_SMMUV2_SMR, IMS_REG_RW));
      expect_classes(m, kPages[0], IMS_SMMUV2_S2CR, 0xc00 + 4 * n, 0x20000,
                     mask_of(kPages[0], IMS_SMMUV2_S2CR, IMS_REG_RW));
    }
    for (unsigned n : {0u, 7u, 31u}) {
      for (unsigned r = 0; r < IMS_SMMUV2_GR1_COUNT; r++)
        expect_classes(m, kPages[1], r, bytes + kPages[1].regs[r].offset + 4 * n, kPages[1].regs[r].reset,
                       mask_of(kPages[1], r, IMS_REG_RW));
      for (unsigned r = 0; r < IMS_SMMUV2_CB_COUNT; r++) {
        if (r == IMS_SMMUV2_CB_FSRRESTORE)
          continue; // sets FSR
        expect_classes(m, kPages[2], r, (64 + n) * bytes + kPages[2].regs[r].offset, kPages[2].regs[r].reset,
                       mask_of(kPages[2], r, IMS_REG_RW));
      }
    }
  }
}

// Reserved offsets of all pages read 0 and swallow writes; so does what lies beyond.
TEST(Register, ReservedOffsets) {
  Config c = everything();
  c.numcb = 3, c.numsmrg = 2, c.numpagendxb = 1; // 4 pages a half
  Machine m(c);
  std::set<uint32_t> used;
  for (const Page &p : kPages)
    for (unsigned r = 0; r < p.count; r++)
      for (uint32_t b = 0; b < p.regs[r].bytes; b += 4) {
        uint32_t at = p.regs[r].offset + b;
        if (&p == &kPages[0] && r >= IMS_SMMUV2_SMR)
          used.insert({at, at + 4});
        else if (&p == &kPages[0])
          used.insert(at);
        else if (&p == &kPages[1])
          used.insert({0x1000 + at, 0x1000 + at + 4, 0x1000 + at + 8});
        else
          used.insert({0x4000 + at, 0x5000 + at, 0x6000 + at});
      }
  EXPECT_EQ(0x8000u, ims_smmuv2_span(&c));
  for (uint32_t o = 0; o < ims_smmuv2_span(&c) + 0x2000; o += 4) {
    if (used.count(o))
      continue;
    m.write(o, 4, 0xffffffff);
    ASSERT_EQ(0u, m.read(o, 4)) << std::hex << o;
  }
  m.write(0xfffffff8, 8, ~uint64_t(0));
  EXPECT_EQ(0u, m.read(0xfffffff8, 8));
}

TEST(Register, OddAccessesReadZeroAndWriteNothing) {
  Machine m;
  for (unsigned size : {1u, 2u, 3u, 16u}) {
    EXPECT_EQ(0u, m.read(0x20, size));
    m.write(0x800, size, 0xffffffff);
  }
  m.write(0x802, 4, 0xffffffff);
  EXPECT_EQ(0u, m.get(IMS_SMMUV2_SMR));
}

// Eight bytes over two registers.
TEST(Register, TwoByOneAccess) {
  Machine m;
  m.write(0x800, 8, 0x8001000280030004);
  EXPECT_EQ(0x80030004u, m.get(IMS_SMMUV2_SMR, 0));
  EXPECT_EQ(0x80010002u, m.get(IMS_SMMUV2_SMR, 1));
  EXPECT_EQ(0x8001000280030004u, m.read(0x800, 8));
  uint32_t bank = ims_smmuv2_cb_offset(&m.cfg, 3);
  m.write(bank + 0x38, 8, 0x1122334455667788);
  EXPECT_EQ(0x55667788u, m.get(IMS_SMMUV2_CB_MAIR0, 3));
  EXPECT_EQ(0x11223344u, m.get(IMS_SMMUV2_CB_MAIR1, 3));
  EXPECT_EQ(0x1122334455667788u, m.read(bank + 0x38, 8));
}

TEST(Register, FieldsOfFeaturesThatAreNotThere) {
  Config c;
  c.vmid16s = 0, c.gran4k = c.gran16k = c.gran64k = 0;
  Machine m(c);
  m.put(IMS_SMMUV2_sCR0, 0xffffffff);
  EXPECT_EQ(0u, m.get(IMS_SMMUV2_sCR0) & (1u << 31 | 1u << 3));
  m.put(IMS_SMMUV2_CBA2R, 0, 0xffffffff);
  EXPECT_EQ(2u, m.get(IMS_SMMUV2_CBA2R, 0));
}

TEST(Register, SyncIsDoneAtOnce) {
  World w;
  EXPECT_TRUE(w.sync());
  EXPECT_TRUE(w.sync(kBankFirst));
}

// Identification: those of an MMU-500, and what becomes of what is not modelled.
TEST(Identification, FromRegistersAndBack) {
  Config c;
  ims_smmuv2_config_from_id(&c, IMS_SMMUV2_IDR0, 0xfc013e40);
  ims_smmuv2_config_from_id(&c, IMS_SMMUV2_IDR1, 0x40001f20);
  ims_smmuv2_config_from_id(&c, IMS_SMMUV2_IDR2, 0x5555);
  ims_smmuv2_config_from_id(&c, IMS_SMMUV2_IDR7, 0x21);
  EXPECT_EQ(nullptr, ims_smmuv2_config_check(&c));
  EXPECT_EQ(64u, c.numsmrg);
  EXPECT_EQ(15u, c.numsidb);
  EXPECT_EQ(1u, c.numirpt);
  EXPECT_TRUE(c.s1ts && c.s2ts && c.nts && c.sms);
  EXPECT_EQ(32u, c.numcb);
  EXPECT_EQ(4u, c.numpagendxb);
  EXPECT_EQ(48u, ims_smmuv2_oas(&c));
  EXPECT_EQ(48u, ims_smmuv2_ias(&c));
  EXPECT_EQ(49u, ims_smmuv2_ubs(&c));
  EXPECT_TRUE(c.gran4k && !c.gran16k && c.gran64k && !c.vmid16s);
  EXPECT_EQ(0xfd013e40u, ims_smmuv2_id(&c, IMS_SMMUV2_IDR0)) << "long descriptors only";
  EXPECT_EQ(0x40001f20u, ims_smmuv2_id(&c, IMS_SMMUV2_IDR1));
  EXPECT_EQ(0x5555u, ims_smmuv2_id(&c, IMS_SMMUV2_IDR2));
  EXPECT_EQ(0x21u, ims_smmuv2_id(&c, IMS_SMMUV2_IDR7));
  EXPECT_EQ(0u, ims_smmuv2_id(&c, IMS_SMMUV2_IDR3));
  Machine m(c);
  EXPECT_EQ(0xfd013e40u, m.get(IMS_SMMUV2_IDR0));
  EXPECT_EQ(0x5555u, m.get(IMS_SMMUV2_IDR2));
  EXPECT_EQ(0x20000u, ims_smmuv2_cb_offset(&c, 0));
  EXPECT_EQ(0x40000u, ims_smmuv2_span(&c));
}

TEST(Identification, Checks) {
  Config good;
  EXPECT_EQ(nullptr, ims_smmuv2_config_check(&good));
  void (*const wrong[])(Config &) = {
      [](Config &c) { c.s1ts = c.s2ts = c.nts = 0; },
      [](Config &c) { c.s2ts = 0; },
      [](Config &c) { c.ptfs = 0; },
      [](Config &c) { c.ptfs = 3; },
      [](Config &c) { c.atosns = 0; },
      [](Config &c) { c.hafdbs = 1; },
      [](Config &c) { c.oas = 6; },
      [](Config &c) { c.ubs = 7; },
      [](Config &c) { c.numsmrg = 0; },
      [](Config &c) { c.numsmrg = 129; },
      [](Config &c) { c.numcb = 0; },
      [](Config &c) { c.numcb = 129, c.numpagendxb = 7; },
      [](Config &c) { c.numpagendxb = 3; },
      [](Config &c) { c.nums2cb = 33; },
      [](Config &c) { c.numirpt = 0; },
      [](Config &c) { c.waiting = 0; },
      [](Config &c) { c.replacement = 4; },
      [](Config &c) { c.ptfs = 2, c.gran4k = c.gran16k = c.gran64k = 0; },
      [](Config &c) { c.numcb = 1000; },
  };
  for (const auto &w : wrong) {
    Config c;
    w(c);
    EXPECT_NE(nullptr, ims_smmuv2_config_check(&c)) << &w - wrong;
    ims_iommu *u = reinterpret_cast<ims_iommu *>(1);
    ims_mem mem;
    ims_mem_init(&mem);
    EXPECT_EQ(IMS_ERR_INVAL, ims_smmuv2_new(&u, &c, &mem, nullptr));
    EXPECT_EQ(nullptr, u);
    ims_mem_fini(&mem);
  }
  std::set<std::string> names;
  for (unsigned i = 0; const ims_option *o = ims_smmuv2_options(i); i++) {
    EXPECT_TRUE(names.insert(o->name).second) << o->name;
    EXPECT_LE(o->low, o->def);
    EXPECT_LE(o->def, o->high);
    EXPECT_EQ(o->def, ims_option_get(&good, o));
  }
}

// Snapshots: a unit's registers by name, into another one, which answers alike.
TEST(Snapshot, NamesAndBytes) {
  const std::map<std::string, unsigned> known = {
      {"sCR0", 4},   {"IDR0", 4},    {"sGFAR", 8},      {"SMR0", 4},      {"SMR127", 4},     {"S2CR5", 4},
      {"CBAR12", 4}, {"CBA2R12", 4}, {"CBFRSYNRA0", 4}, {"CB0_SCTLR", 4}, {"CB31_TTBR0", 8}, {"CB7_IPAFAR", 8},
  };
  for (const auto &[name, bytes] : known)
    EXPECT_EQ(bytes, ims_smmuv2_reg_bytes(name.c_str())) << name;
  for (const char *name : {"", "SMR", "SMR01", "SMR1x", "S2CR", "CBAR", "CB_SCTLR", "CB0_", "CB0SCTLR", "CB0_sCR0",
                           "SCTLR", "TLBIVMID", "CB0_TLBIVA", "CB0_RESUME", "sTLBGSYNC", "CBA2R", "SMR12345", "GCMD"})
    EXPECT_EQ(0u, ims_smmuv2_reg_bytes(name)) << name;
}

TEST(Snapshot, Restore) {
  World w;
  w.request(dma(0x7777, 0x1000));
  w.first.map(kVa + 0x1000, kPage, kS1All & ~kS1Af);
  w.request(dma(kFirst, kVa + 0x1000));
  std::map<std::string, uint64_t> values;
  ims_smmuv2_each(
      w.unit(),
      [](void *ctx, const char *name, uint64_t value) {
        (*static_cast<std::map<std::string, uint64_t> *>(ctx))[name] = value;
      },
      &values);
  EXPECT_EQ(kBankFirst, values["S2CR0"]);
  EXPECT_EQ(w.first.root | uint64_t(kAsidFirst) << 48, values["CB4_TTBR0"]);
  ims_iommu *u = nullptr;
  unsigned told = 0;
  ims_iommu_bus bus = {};
  bus.ctx = &told;
  bus.message = [](void *ctx, uint64_t, uint32_t) { ++*static_cast<unsigned *>(ctx); };
  ASSERT_EQ(IMS_ERR_OK, ims_smmuv2_new(&u, &w.cfg, w.mem(), &bus));
  for (const auto &[name, value] : values)
    EXPECT_EQ(name.substr(0, 3) == "IDR" ? IMS_ERR_NOENT : IMS_ERR_OK, ims_smmuv2_restore(u, name.c_str(), value))
        << name;
  ims_smmuv2_restored(u);
  EXPECT_EQ(0u, told) << "what is pending is known";
  for (const auto &[name, value] : values) {
    uint64_t found = 0;
    EXPECT_EQ(IMS_ERR_OK, ims_smmuv2_peek(u, name.c_str(), &found)) << name;
    EXPECT_EQ(value, found) << name;
  }
  for (unsigned sid : {kFirst, kSecond, kBoth}) {
    ims_request r = dma(sid, kVa);
    ims_result res;
    ims_translate(u, &r, &res);
    EXPECT_GOES(res, kPage);
  }
  EXPECT_EQ(IMS_ERR_RANGE, ims_smmuv2_restore(u, "sCR0", uint64_t(1) << 32));
  EXPECT_EQ(IMS_ERR_NOENT, ims_smmuv2_restore(u, "SMR64", 0)) << "no such group in this unit";
  EXPECT_EQ(IMS_ERR_NOENT, ims_smmuv2_restore(u, "CB32_SCTLR", 0));
  EXPECT_EQ(IMS_ERR_NOENT, ims_smmuv2_restore(u, "CBAR32", 0));
  EXPECT_EQ(IMS_ERR_NOENT, ims_smmuv2_restore(u, "CB0_TLBIALL", 0));
  uint64_t value;
  EXPECT_EQ(IMS_ERR_NOENT, ims_smmuv2_peek(u, "CB32_SCTLR", &value));
  EXPECT_EQ(std::string("smmuv2"), u->ops->arch);
  ims_iommu_free(u);
}

} // namespace
} // namespace smmu2
