// SPDX-License-Identifier: Apache-2.0
// The registers as software sees them: access classes from the field table, widths, commands, capabilities.
// VT-d rev 4.1, chapter 11.
#include "tests/iommu/vtd/world.h"

#include <gtest/gtest.h>

namespace vtd {
namespace {

constexpr uint64_t bit(unsigned n) { return uint64_t(1) << n; }

uint64_t mask_of(const struct ims_reg_field &f) { return (~uint64_t(0) >> (63 - f.high)) & (~uint64_t(0) << f.low); }

uint64_t mask_of(unsigned reg, unsigned access) {
  uint64_t m = 0;
  for (unsigned i = 0; i < ims_vtd_field_count; i++)
    if (ims_vtd_fields[i].reg == reg && ims_vtd_fields[i].access == access)
      m |= mask_of(ims_vtd_fields[i]);
  return m;
}

Config everything() {
  Config c;
  c.plmr = c.phmr = c.vcs = c.eim = 1;
  return c;
}

TEST(RegisterTable, FieldsFitAndDoNotOverlap) {
  for (unsigned r = 0; r < IMS_VTD_REG_COUNT; r++) {
    uint64_t seen = 0;
    for (unsigned i = 0; i < ims_vtd_field_count; i++) {
      const auto &f = ims_vtd_fields[i];
      if (f.reg != r)
        continue;
      EXPECT_LE(f.low, f.high) << f.name;
      EXPECT_LT(f.high, ims_vtd_regs[r].bytes * 8) << ims_vtd_regs[r].name << "." << f.name;
      EXPECT_FALSE(seen & mask_of(f)) << ims_vtd_regs[r].name << "." << f.name;
      seen |= mask_of(f);
    }
    EXPECT_FALSE(ims_vtd_regs[r].reset & ~seen) << ims_vtd_regs[r].name << " resets bits without a field";
  }
}

TEST(RegisterTable, RegistersDoNotOverlapAndAreAligned) {
  std::set<uint32_t> used;
  for (const auto &r : ims_vtd_regs) {
    EXPECT_TRUE(r.bytes == 4 || r.bytes == 8) << r.name;
    EXPECT_EQ(0u, r.offset % r.bytes) << r.name;
    for (uint32_t b = 0; b < r.bytes; b += 4)
      EXPECT_TRUE(used.insert(r.offset + b).second) << r.name;
  }
  Config c;
  uint32_t fro = static_cast<uint32_t>(ims_vtd_cap(&c) >> 24 & 0x3ff) * 16;
  for (uint32_t b = 0; b < 64 * 16; b += 4)
    EXPECT_FALSE(used.count(fro + b)) << "room for the fault recording registers";
  uint32_t iro = static_cast<uint32_t>(ims_vtd_ecap(&c) >> 8 & 0x3ff) * 16;
  EXPECT_EQ(iro, ims_vtd_regs[IMS_VTD_IVA].offset);
  EXPECT_EQ(iro + 8, ims_vtd_regs[IMS_VTD_IOTLB].offset);
}

// The offsets and positions of the manual, for the fields that drivers rely on.
TEST(RegisterTable, WhereDriversExpectThem) {
  const struct {
    unsigned reg, offset, bytes;
  } regs[] = {
      {IMS_VTD_VER, 0x00, 4},      {IMS_VTD_CAP, 0x08, 8},     {IMS_VTD_ECAP, 0x10, 8},     {IMS_VTD_GCMD, 0x18, 4},
      {IMS_VTD_GSTS, 0x1c, 4},     {IMS_VTD_RTADDR, 0x20, 8},  {IMS_VTD_CCMD, 0x28, 8},     {IMS_VTD_FSTS, 0x34, 4},
      {IMS_VTD_FECTL, 0x38, 4},    {IMS_VTD_FEDATA, 0x3c, 4},  {IMS_VTD_FEADDR, 0x40, 4},   {IMS_VTD_FEUADDR, 0x44, 4},
      {IMS_VTD_PMEN, 0x64, 4},     {IMS_VTD_PLMBASE, 0x68, 4}, {IMS_VTD_PLMLIMIT, 0x6c, 4}, {IMS_VTD_PHMBASE, 0x70, 8},
      {IMS_VTD_PHMLIMIT, 0x78, 8}, {IMS_VTD_IQH, 0x80, 8},     {IMS_VTD_IQT, 0x88, 8},      {IMS_VTD_IQA, 0x90, 8},
      {IMS_VTD_ICS, 0x9c, 4},      {IMS_VTD_IECTL, 0xa0, 4},   {IMS_VTD_IEDATA, 0xa4, 4},   {IMS_VTD_IEADDR, 0xa8, 4},
      {IMS_VTD_IEUADDR, 0xac, 4},  {IMS_VTD_IQERCD, 0xb0, 8},  {IMS_VTD_IRTA, 0xb8, 8},     {IMS_VTD_PQH, 0xc0, 8},
      {IMS_VTD_PQT, 0xc8, 8},      {IMS_VTD_PQA, 0xd0, 8},     {IMS_VTD_PRS, 0xdc, 4},      {IMS_VTD_PECTL, 0xe0, 4},
      {IMS_VTD_PEDATA, 0xe4, 4},   {IMS_VTD_PEADDR, 0xe8, 4},  {IMS_VTD_PEUADDR, 0xec, 4},
  };
  for (const auto &k : regs) {
    EXPECT_EQ(k.offset, ims_vtd_regs[k.reg].offset) << ims_vtd_regs[k.reg].name;
    EXPECT_EQ(k.bytes, ims_vtd_regs[k.reg].bytes) << ims_vtd_regs[k.reg].name;
  }
}

// After power-on: reset values; and every bit pattern written leaves what the access classes say.
TEST(Register, AccessClasses) {
  // Registers whose write sets something off are tested by name.
  const std::set<unsigned> acts = {IMS_VTD_GCMD, IMS_VTD_CCMD, IMS_VTD_IOTLB, IMS_VTD_VCMD, IMS_VTD_PMEN, IMS_VTD_IQT};
  for (unsigned r = 0; r < IMS_VTD_REG_COUNT; r++) {
    SCOPED_TRACE(ims_vtd_regs[r].name);
    ims_vtd_reg reg = static_cast<ims_vtd_reg>(r);
    Machine m(everything());
    uint64_t before = m.get(reg);
    if (r != IMS_VTD_CAP && r != IMS_VTD_ECAP && r != IMS_VTD_VCCAP) {
      EXPECT_EQ(ims_vtd_regs[r].reset & ~mask_of(r, IMS_REG_WO), before);
    }
    if (acts.count(r))
      continue;
    uint64_t rw = mask_of(r, IMS_REG_RW);
    for (uint64_t v : {~uint64_t(0), uint64_t(0), uint64_t(0x5a5aa5a55a5aa5a5), uint64_t(0xa5a55a5aa5a55a5a)}) {
      m.put(reg, v);
      EXPECT_EQ((before & ~rw) | (v & rw), m.get(reg)) << std::hex << v;
    }
    // By halves.
    if (ims_vtd_regs[r].bytes == 8) {
      uint32_t at = ims_vtd_regs[r].offset;
      m.put(reg, 0);
      m.write(at + 4, 4, 0xffffffff);
      EXPECT_EQ((before & ~rw) | (rw & 0xffffffff00000000), m.read(at, 8));
      m.write(at, 4, 0xffffffff);
      EXPECT_EQ((before & ~rw) | rw, m.read(at, 8));
      EXPECT_EQ(((before & ~rw) | rw) & 0xffffffff, m.read(at, 4));
      EXPECT_EQ(((before & ~rw) | rw) >> 32, m.read(at + 4, 4));
    }
  }
}

TEST(Register, TwoByOneAccess) {
  Machine m(everything());
  m.write(0x38, 8, 0x1234567880000000); // FECTL and FEDATA
  EXPECT_EQ(0x80000000, m.get(IMS_VTD_FECTL));
  EXPECT_EQ(0x12345678u, m.get(IMS_VTD_FEDATA));
  EXPECT_EQ(0x1234567880000000, m.read(0x38, 8));
  EXPECT_EQ(m.get(IMS_VTD_GSTS) << 32, m.read(0x18, 8));
}

TEST(Register, OddAccessesReadZeroAndWriteNothing) {
  Machine m(everything());
  for (unsigned size : {1u, 2u, 3u, 5u, 16u}) {
    EXPECT_EQ(0u, m.read(0x08, size));
    m.write(0x3c, size, ~uint64_t(0));
  }
  EXPECT_EQ(0u, m.read(0x0a, 4));
  EXPECT_EQ(0u, m.read(0x0c, 8));
  m.write(0x3e, 4, ~uint64_t(0));
  EXPECT_EQ(0u, m.get(IMS_VTD_FEDATA));
  for (uint32_t offset : {0x1000u, 0x1008u, 0xfffffff8u}) {
    EXPECT_EQ(0u, m.read(offset, 8));
    m.write(offset, 8, ~uint64_t(0));
    m.write(offset + 4, 4, ~uint64_t(0));
  }
}

// Every offset of the page: reserved ones read 0 and swallow writes.
TEST(Register, ReservedOffsets) {
  std::set<uint32_t> used;
  for (const auto &r : ims_vtd_regs)
    for (uint32_t b = 0; b < r.bytes; b += 4)
      used.insert(r.offset + b);
  Machine m(everything());
  uint32_t frcd = static_cast<uint32_t>(m.get(IMS_VTD_CAP) >> 24 & 0x3ff) * 16;
  for (uint32_t o = 0; o < 0x1000; o += 4) {
    if (used.count(o) || (o >= frcd && o < frcd + (m.cfg.nfr + 1) * 16))
      continue;
    m.write(o, 4, 0xffffffff);
    EXPECT_EQ(0u, m.read(o, 4)) << std::hex << o;
  }
  for (uint32_t o = frcd; o < frcd + (m.cfg.nfr + 1) * 16; o += 4) {
    m.write(o, 4, 0xffffffff);
    EXPECT_EQ(0u, m.read(o, 4)) << "a fault record is the hardware's to write";
  }
}

TEST(Register, AbsentOnesReadZero) {
  struct Case {
    unsigned reg;
    void (*configure)(Config &);
  };
  const Case cases[] = {
      {IMS_VTD_PMEN, [](Config &c) { c.plmr = c.phmr = 0; }},
      {IMS_VTD_PLMBASE, [](Config &c) { c.plmr = 0; }},
      {IMS_VTD_PHMLIMIT, [](Config &c) { c.phmr = 0; }},
      {IMS_VTD_VCMD, [](Config &c) { c.vcs = 0; }},
      {IMS_VTD_PQA, [](Config &c) { c.prs = c.pds = 0; }},
      {IMS_VTD_PECTL, [](Config &c) { c.prs = c.pds = 0; }},
      {IMS_VTD_IRTA, [](Config &c) { c.ir = 0; }},
      {IMS_VTD_IQA, [](Config &c) { c.qi = c.ir = c.smts = 0; }},
      {IMS_VTD_IECTL, [](Config &c) { c.qi = c.ir = c.smts = 0; }},
  };
  for (const Case &k : cases) {
    Config c = everything();
    k.configure(c);
    Machine m(c);
    ims_vtd_reg r = static_cast<ims_vtd_reg>(k.reg);
    m.put(r, ~uint64_t(0));
    EXPECT_EQ(0u, m.get(r)) << ims_vtd_regs[r].name;
  }
}

// GCMD: levels follow GSTS, one-shot commands act once; and the driver's handshake.
TEST(Register, GlobalCommand) {
  Machine m;
  EXPECT_EQ(0u, m.get(IMS_VTD_GCMD));
  m.put(IMS_VTD_GCMD, 0xffffffff);
  EXPECT_EQ(0u, m.get(IMS_VTD_GCMD));
  // TES, RTPS, QIES, IRES, IRTPS, CFIS; WBFS is over at once; SFL and EAFL do not exist.
  EXPECT_EQ(bit(31) | bit(30) | bit(26) | bit(25) | bit(24) | bit(23), m.get(IMS_VTD_GSTS));
  m.put(IMS_VTD_GCMD, 0);
  EXPECT_EQ(bit(30) | bit(24), m.get(IMS_VTD_GSTS)) << "pointers once set stay set";
  m.put(IMS_VTD_GSTS, 0xffffffff);
  EXPECT_EQ(bit(30) | bit(24), m.get(IMS_VTD_GSTS));
}

TEST(Register, WithoutInterruptRemapping) {
  Config c;
  c.ir = 0;
  Machine m(c);
  m.put(IMS_VTD_GCMD, bit(25) | bit(24) | bit(23));
  EXPECT_EQ(0u, m.get(IMS_VTD_GSTS));
}

// RTADDR alone does nothing, nor do TE off and on: SRTP latches it, the mode with it.
TEST(Register, RootTableIsLatchedBySrtp) {
  ScalableWorld w;
  ims_request r = dma(kDevice, 1, kVa, IMS_ACC_R);
  EXPECT_EQ(kPage, w.request(r).output);
  w.put(IMS_VTD_RTADDR, w.alloc()); // an empty table, legacy mode
  w.drop_caches();
  EXPECT_EQ(kPage, w.request(r).output);
  w.command(1u << 31, false);
  w.command(1u << 31, true);
  w.drop_caches();
  EXPECT_EQ(kPage, w.request(r).output);
  w.command(1u << 30);
  EXPECT_EQ(0x31, w.request(r).fault) << "legacy mode now";
  EXPECT_EQ(0x01, w.request(dma(kDevice, kVa)).fault);
}

// Several bits at once: the root table is set before translation goes on.
TEST(Register, SrtpAndTeAtOnce) {
  Machine m;
  m.put(IMS_VTD_RTADDR, m.alloc());
  m.put(IMS_VTD_GCMD, bit(31) | bit(30));
  EXPECT_EQ(0x01, m.request(dma(kDevice, kVa)).fault);
}

TEST(Register, ProtectedMemory) {
  Machine m(everything());
  m.put(IMS_VTD_PLMBASE, 0x00300000);
  m.put(IMS_VTD_PLMLIMIT, 0x00400000);
  m.put(IMS_VTD_PHMBASE, 0x200000000);
  m.put(IMS_VTD_PHMLIMIT, 0x2fff00000);
  auto blocked = [&](uint64_t addr) { return m.request(dma(kDevice, addr)).status == IMS_STATUS_ABORT; };
  EXPECT_FALSE(blocked(0x300000));
  m.put(IMS_VTD_PMEN, bit(31));
  EXPECT_EQ(bit(31) | 1, m.get(IMS_VTD_PMEN)) << "PRS follows EPM";
  EXPECT_FALSE(blocked(0x2fffff));
  EXPECT_TRUE(blocked(0x300000));
  EXPECT_TRUE(blocked(0x4fffff)) << "the granule of the limit belongs to it";
  EXPECT_FALSE(blocked(0x500000));
  EXPECT_FALSE(blocked(0x1ffffffff));
  EXPECT_TRUE(blocked(0x200000000));
  EXPECT_TRUE(blocked(0x2ffffffff));
  EXPECT_FALSE(blocked(0x300000000));
  m.put(IMS_VTD_PMEN, 0);
  EXPECT_EQ(0u, m.get(IMS_VTD_PMEN));
  EXPECT_FALSE(blocked(0x300000));
}

TEST(Register, ProtectedMemoryBehindATranslation) {
  ScalableWorld w(everything());
  w.put(IMS_VTD_PLMBASE, kPage & ~(MB - 1));
  w.put(IMS_VTD_PLMLIMIT, kPage & ~(MB - 1));
  w.put(IMS_VTD_PMEN, bit(31));
  for (unsigned pasid = 1; pasid <= 4; pasid++)
    for (int warm = 0; warm < 2; warm++) {
      ims_result res = w.request(dma(kDevice, pasid, pasid == 4 ? kPage : kVa, IMS_ACC_R));
      EXPECT_EQ(IMS_STATUS_ABORT, res.status) << pasid;
      EXPECT_EQ(IMS_CPL_UR, res.completion);
    }
  EXPECT_EQ(IMS_STATUS_ABORT, w.request(as(dma(kDevice, kPage), IMS_TRANSLATED)).status);
  EXPECT_TRUE(w.faults().empty()) << "no record";
}

// 11.4.43: PASIDs for a guest.
TEST(Register, VirtualCommands) {
  Config c = everything();
  c.pss = 1; // 2 bits: PASIDs 1 to 3, 0 is not handed out
  Machine m(c);
  EXPECT_EQ(1u, m.get(IMS_VTD_VCCAP));
  auto result = [&] { return m.get(IMS_VTD_VCRSP) >> IMS_VTD_VCRSP_RSLT_LSB & 0xfffff; };
  auto status = [&] { return IMS_VTD_GET(m.get(IMS_VTD_VCRSP), VCRSP_SC); };
  std::set<uint64_t> pasids;
  for (int i = 0; i < 3; i++) {
    m.put(IMS_VTD_VCMD, 1);
    EXPECT_EQ(0u, status());
    EXPECT_EQ(0u, m.get(IMS_VTD_VCRSP) & 1) << "done";
    pasids.insert(result());
  }
  EXPECT_EQ((std::set<uint64_t>{1, 2, 3}), pasids);
  m.put(IMS_VTD_VCMD, 1);
  EXPECT_NE(0u, status()) << "none left";
  m.put(IMS_VTD_VCMD, 2 | 2 << 16);
  EXPECT_EQ(0u, status());
  m.put(IMS_VTD_VCMD, 2 | 2 << 16);
  EXPECT_NE(0u, status()) << "not allocated";
  m.put(IMS_VTD_VCMD, 1);
  EXPECT_EQ(2u, result());
  m.put(IMS_VTD_VCMD, 7);
  EXPECT_NE(0u, status()) << "no such command";
}

// As Linux reads the response register where the registers lie as here (rev 3.3 on): IP 0, SC 7:1, RSLT 63:16, and
// status 16 for both refusals.
TEST(Register, VirtualCommandResponseAsLinuxReadsIt) {
  Config c = everything();
  c.pss = 0; // PASID 1 only
  Machine m(c);
  m.put(IMS_VTD_VCMD, 1);
  uint64_t r = m.get(IMS_VTD_VCRSP);
  EXPECT_EQ(0u, (r & 0xff) >> 1);
  EXPECT_EQ(1u, r >> 16 & 0xfffff);
  m.put(IMS_VTD_VCMD, 1);
  EXPECT_EQ(16u, (m.get(IMS_VTD_VCRSP) & 0xff) >> 1);
  m.put(IMS_VTD_VCMD, 2 | 5 << 16);
  EXPECT_EQ(16u, (m.get(IMS_VTD_VCRSP) & 0xff) >> 1);
}

// Capabilities.

TEST(Capabilities, RoundTrip) {
  for (unsigned i = 0;; i++) {
    const ims_option *o = ims_vtd_options(i);
    if (!o)
      break;
    if (!o->feature)
      continue;
    for (uint32_t v : {o->low, o->high}) {
      Config a;
      *reinterpret_cast<uint32_t *>(reinterpret_cast<char *>(static_cast<ims_vtd_config *>(&a)) + o->offset) = v;
      Config b;
      ims_vtd_config_from_caps(&b, ims_vtd_cap(&a), ims_vtd_ecap(&a));
      EXPECT_EQ(ims_vtd_cap(&a), ims_vtd_cap(&b)) << o->name;
      EXPECT_EQ(ims_vtd_ecap(&a), ims_vtd_ecap(&b)) << o->name;
      EXPECT_EQ(v,
                *reinterpret_cast<uint32_t *>(reinterpret_cast<char *>(static_cast<ims_vtd_config *>(&b)) + o->offset))
          << o->name;
    }
  }
}

TEST(Capabilities, PositionsOfTheManual) {
  Config zero;
  for (unsigned i = 0; ims_vtd_options(i); i++)
    if (ims_vtd_options(i)->feature)
      *reinterpret_cast<uint32_t *>(reinterpret_cast<char *>(static_cast<ims_vtd_config *>(&zero)) +
                                    ims_vtd_options(i)->offset) = 0;
  const uint64_t cap0 = ims_vtd_cap(&zero), ecap0 = ims_vtd_ecap(&zero);
  auto cap = [&](uint32_t ims_vtd_config::*f, uint32_t v) {
    Config c = zero;
    c.*f = v;
    return ims_vtd_cap(&c) ^ cap0;
  };
  auto ecap = [&](uint32_t ims_vtd_config::*f, uint32_t v) {
    Config c = zero;
    c.*f = v;
    return ims_vtd_ecap(&c) ^ ecap0;
  };
  using C = ims_vtd_config;
  EXPECT_EQ(6u, cap(&C::nd, 6));
  EXPECT_EQ(bit(4), cap(&C::rwbf, 1));
  EXPECT_EQ(bit(7), cap(&C::cm, 1));
  EXPECT_EQ(bit(9) | bit(10) | bit(11), cap(&C::sagaw, 14));
  EXPECT_EQ(uint64_t(56) << 16, cap(&C::mgaw, 56));
  EXPECT_EQ(bit(34) | bit(35), cap(&C::sslps, 3));
  EXPECT_EQ(bit(39), cap(&C::psi, 1));
  EXPECT_EQ(uint64_t(7) << 40, cap(&C::nfr, 7));
  EXPECT_EQ(uint64_t(18) << 48, cap(&C::mamv, 18));
  EXPECT_EQ(bit(56), cap(&C::fs1gp, 1));
  EXPECT_EQ(bit(60), cap(&C::fs5lp, 1));
  EXPECT_EQ(bit(63), cap(&C::esrtps, 1));
  EXPECT_EQ(bit(1), ecap(&C::qi, 1));
  EXPECT_EQ(bit(2), ecap(&C::dt, 1));
  EXPECT_EQ(bit(6), ecap(&C::pt, 1));
  EXPECT_EQ(bit(7), ecap(&C::sc, 1));
  EXPECT_EQ(bit(26), ecap(&C::nest, 1));
  EXPECT_EQ(bit(29), ecap(&C::prs, 1));
  EXPECT_EQ(bit(31), ecap(&C::srs, 1));
  EXPECT_EQ(uint64_t(19) << 35, ecap(&C::pss, 19));
  EXPECT_EQ(bit(40), ecap(&C::pasid, 1));
  EXPECT_EQ(bit(43), ecap(&C::smts, 1));
  EXPECT_EQ(bit(45), ecap(&C::ssads, 1));
  EXPECT_EQ(bit(46), ecap(&C::ssts, 1));
  EXPECT_EQ(bit(47), ecap(&C::fsts, 1));
  EXPECT_EQ(bit(49), ecap(&C::rps, 1));
  EXPECT_EQ(bit(52), ecap(&C::adms, 1));
}

TEST(Capabilities, UnitShowsThem) {
  Machine m;
  EXPECT_EQ(ims_vtd_cap(&m.cfg), m.get(IMS_VTD_CAP));
  EXPECT_EQ(ims_vtd_ecap(&m.cfg), m.get(IMS_VTD_ECAP));
  EXPECT_LT(m.get(IMS_VTD_VER) >> 4, 6u) << "register-based invalidation exists";
}

TEST(Capabilities, SenselessConfigurationsAreRefused) {
  struct Case {
    uint32_t ims_vtd_config::*field;
    uint32_t value;
  };
  using C = ims_vtd_config;
  const Case cases[] = {{&C::nd, 7},   {&C::nd, 8},    {&C::nfr, 64},     {&C::qi, 0},          {&C::fsts, 0},
                        {&C::ssts, 0}, {&C::dt, 0},    {&C::prs, 0},      {&C::ers, 1},         {&C::haw, 31},
                        {&C::haw, 53}, {&C::mgaw, 64}, {&C::revision, 2}, {&C::replacement, 4}, {&C::pss, 32}};
  ims_mem mem;
  ims_mem_init(&mem);
  for (const Case &k : cases) {
    Config c;
    c.*k.field = k.value;
    EXPECT_NE(nullptr, ims_vtd_config_check(&c)) << k.value;
    ims_iommu *u = reinterpret_cast<ims_iommu *>(&mem);
    EXPECT_EQ(IMS_ERR_INVAL, ims_vtd_new(&u, &c, &mem, nullptr));
    EXPECT_EQ(nullptr, u);
  }
  ims_mem_fini(&mem);
}

// Two units over one memory: each has its own tables, caches, queue and log.
TEST(SeveralUnits, DoNotDisturbEachOther) {
  ScalableWorld w;
  Config c;
  ims_iommu *other = nullptr;
  ASSERT_EQ(IMS_ERR_OK, ims_vtd_new(&other, &c, w.mem(0), nullptr));
  EXPECT_EQ(kPage, w.request(dma(kDevice, 1, kVa, IMS_ACC_R)).output);
  ims_request r = dma(kDevice, 1, kVa, IMS_ACC_R);
  ims_result res;
  ims_translate(other, &r, &res);
  EXPECT_EQ(IMS_STATUS_BYPASS, res.status);
  ims_iommu_write(other, IMS_VTD_OFF_GCMD, 4, bit(31)); // root table 0, legacy
  ims_translate(other, &r, &res);
  EXPECT_EQ(0x31, res.fault);
  EXPECT_TRUE(w.faults().empty());
  EXPECT_TRUE(ims_iommu_read(other, IMS_VTD_OFF_FSTS, 4) & 2);
  EXPECT_EQ(0u, w.request(dma(kDevice, 1, kVa, IMS_ACC_R)).refs) << "its caches are its own";
  ims_iommu_free(other);
  EXPECT_EQ(kPage, w.request(dma(kDevice, 1, kVa, IMS_ACC_R)).output);
}

// A snapshot: registers set by name, then the hidden state follows.
TEST(Restore, GoesOnWhereTheSnapshotWasTaken) {
  ScalableWorld w;
  w.request(dma(kDevice, 9, kVa, IMS_ACC_R));
  ims_iommu *copy = nullptr;
  ASSERT_EQ(IMS_ERR_OK, ims_vtd_new(&copy, &w.cfg, w.mem(0), nullptr));
  for (unsigned r = 0; r < IMS_VTD_REG_COUNT; r++) {
    ims_vtd_reg reg = static_cast<ims_vtd_reg>(r);
    if (r == IMS_VTD_CAP || r == IMS_VTD_ECAP)
      EXPECT_EQ(IMS_ERR_NOENT, ims_vtd_restore(copy, ims_vtd_regs[r].name, 0));
    else
      EXPECT_EQ(IMS_ERR_OK, ims_vtd_restore(copy, ims_vtd_regs[r].name, w.get(reg)));
  }
  EXPECT_EQ(IMS_ERR_NOENT, ims_vtd_restore(copy, "NOSUCH", 0));
  EXPECT_EQ(IMS_ERR_RANGE, ims_vtd_restore(copy, "GSTS", bit(32)));
  ims_vtd_restored(copy);
  ims_request r = dma(kDevice, 3, kVa, IMS_ACC_R);
  ims_result res;
  ims_translate(copy, &r, &res);
  EXPECT_EQ(kPage, res.output);
  EXPECT_EQ(w.get(IMS_VTD_GSTS), ims_vtd_peek(copy, IMS_VTD_GSTS));
  ims_iommu_free(copy);
}

} // namespace
} // namespace vtd
