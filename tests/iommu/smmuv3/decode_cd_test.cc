// SPDX-License-Identifier: Apache-2.0
// CDs: each condition that makes one illegal beside a legal neighbour, each field that does not count where it is said
// not to, and what the legal ones say. IHI 0070, 5.4, 5.4.2, 5.5; start levels by DDI 0487 D8.2.1.
#include "decode_fixture.h"
#include <random>

namespace {

using namespace smmuv3_decode;

// A CD behind an STE of this configuration; the STE is legal.
struct CdRow {
  const char *name;
  Features features;
  unsigned config;
  SteEdits ste_edits;
  CdEdits edits;
  unsigned event;
};

void check(const std::vector<CdRow> &rows) {
  for (const CdRow &r : rows) {
    SCOPED_TRACE(r.name);
    Unit unit(r.features);
    smmu_ste ste;
    smmu_cd cd;
    ASSERT_EQ(unit.decode(an_ste(r.config, r.ste_edits), &ste), kLegal);
    EXPECT_EQ(unit.decode(ste, a_cd(r.edits), &cd), r.event);
  }
}

// Decoded with the features given; the CD is legal.
smmu_cd decoded_cd(const CdEdits &edits = {}, const Features &features = {}) {
  Unit unit(features);
  smmu_ste ste;
  smmu_cd cd;
  EXPECT_EQ(unit.decode(an_ste(kS1), &ste), kLegal);
  EXPECT_EQ(unit.decode(ste, a_cd(edits), &cd), kLegal);
  cd.side[0].fmt = cd.side[1].fmt = nullptr;
  return cd;
}

TEST(SmmuCdLegality, ValidityAndFaultModel) {
  const Features no_stall = {{&C::stall_model, 1}}, forced = {{&C::stall_model, 2}}, term = {{&C::term_model, 1}};
  const CdEdits stall = {{IMS_CD_S, 1}};
  check({
      {"valid", {}, kS1, {}, {}, kLegal},
      {"V = 0", {}, kS1, {}, {{IMS_CD_V, 0}}, kBadCd},
      {"nested", {}, kNested, {}, {}, kLegal},
      {"stall", {}, kS1, {}, stall, kLegal},
      {"stall, disabled by the STE", {}, kS1, {{IMS_STE_S1STALLD, 1}}, stall, kBadCd},
      {"no stall, disabled by the STE", {}, kS1, {{IMS_STE_S1STALLD, 1}}, {}, kLegal},
      {"stall, none implemented", no_stall, kS1, {}, stall, kBadCd},
      {"no stall, none implemented", no_stall, kS1, {}, {}, kLegal},
      {"stall, forced", forced, kS1, {}, stall, kLegal},
      {"no stall, forced", forced, kS1, {}, {}, kBadCd},
      {"zero on faults", {}, kS1, {}, {{IMS_CD_A, 0}}, kLegal},
      {"zero on faults, not implemented", term, kS1, {}, {{IMS_CD_A, 0}}, kBadCd},
      {"abort on faults, nothing else implemented", term, kS1, {}, {}, kLegal},
  });
}

TEST(SmmuCdLegality, Endianness) {
  const Features little = {{&C::ttendian, 2}}, big = {{&C::ttendian, 3}};
  const CdEdits be = {{IMS_CD_ENDI, 1}};
  const SteEdits el2 = {{IMS_STE_STRW, 2}};
  check({
      {"big", {}, kS1, {}, be, kLegal},
      {"big, little only", little, kS1, {}, be, kBadCd},
      {"little, big only", big, kS1, {}, {}, kBadCd},
      {"big, big only", big, kS1, {}, be, kLegal},
      {"half 0 walks", little, kS1, {}, {{IMS_CD_ENDI, 1}, {IMS_CD_EPD1, 1}}, kBadCd},
      {"half 1 walks", little, kS1, {}, {{IMS_CD_ENDI, 1}, {IMS_CD_EPD0, 1}}, kBadCd},
      {"no half walks: ignored", little, kS1, {}, {{IMS_CD_ENDI, 1}, {IMS_CD_EPD0, 1}, {IMS_CD_EPD1, 1}}, kLegal},
      {"EL2 walks always", little, kS1, el2, {{IMS_CD_ENDI, 1}, {IMS_CD_EPD0, 1}, {IMS_CD_EPD1, 1}}, kBadCd},
  });
}

TEST(SmmuCdLegality, Format) {
  const Features only32 = {{&C::ttf, 1}}, only64 = {{&C::ttf, 2}};
  const CdEdits aarch32 = {{IMS_CD_AA64, 0}};
  const SteEdits s2_32 = {{IMS_STE_S2AA64, 0}, {IMS_STE_S2T0SZ, 8}};
  check({
      {"AArch32", {}, kS1, {}, aarch32, kLegal},
      {"AArch32, not implemented", only64, kS1, {}, aarch32, kBadCd},
      {"AArch64, not implemented", only32, kS1, {}, {}, kBadCd},
      {"AArch64 above AArch32", {}, kNested, s2_32, {}, kBadCd},
      {"AArch32 above AArch32", {}, kNested, s2_32, aarch32, kLegal},
      {"AArch32 above AArch64", {}, kNested, {}, aarch32, kLegal},
      {"AArch64, S2AA64 does not count", {}, kS1, s2_32, {}, kLegal},
      {"AArch32, EL2", {}, kS1, {{IMS_STE_STRW, 2}}, aarch32, kLegal},
  });
  Unit unit;
  unit.set("CR2", kE2h);
  smmu_ste ste;
  smmu_cd cd;
  ASSERT_EQ(unit.decode(an_ste(kS1, {{IMS_STE_STRW, 2}}), &ste), kLegal);
  EXPECT_EQ(unit.decode(ste, a_cd(), &cd), kLegal);
  EXPECT_EQ(unit.decode(ste, a_cd(aarch32), &cd), kBadCd) << "AArch32 has no E2H";
}

TEST(SmmuCdLegality, HardwareUpdates) {
  const Features httu0 = {{&C::httu, 0}}, httu1 = {{&C::httu, 1}}, httu3 = {{&C::httu, 3}, {&C::version, 4}};
  check({
      {"access flag", {}, kS1, {}, {{IMS_CD_HA, 1}}, kLegal},
      {"access flag, not implemented", httu0, kS1, {}, {{IMS_CD_HA, 1}}, kBadCd},
      {"dirty, not implemented", httu0, kS1, {}, {{IMS_CD_HD, 1}}, kBadCd},
      {"access flag, it alone implemented", httu1, kS1, {}, {{IMS_CD_HA, 1}}, kLegal},
      {"dirty, access flag implemented", httu1, kS1, {}, {{IMS_CD_HA, 1}, {IMS_CD_HD, 1}}, kBadCd},
      {"dirty", {}, kS1, {}, {{IMS_CD_HA, 1}, {IMS_CD_HD, 1}}, kLegal},
      {"dirty without access flag", {}, kS1, {}, {{IMS_CD_HD, 1}}, kLegal},
      {"tables", httu3, kS1, {}, {{IMS_CD_HA, 1}, {IMS_CD_HAFT, 1}}, kLegal},
      {"tables without leaves", httu3, kS1, {}, {{IMS_CD_HAFT, 1}}, kBadCd},
      {"tables without leaves, not implemented", {}, kS1, {}, {{IMS_CD_HAFT, 1}}, kLegal},
      {"AArch32 ignores them", httu0, kS1, {}, {{IMS_CD_AA64, 0}, {IMS_CD_HA, 1}, {IMS_CD_HD, 1}}, kLegal},
      {"AArch32 ignores HAFT", httu3, kS1, {}, {{IMS_CD_AA64, 0}, {IMS_CD_HAFT, 1}}, kLegal},
  });
}

TEST(SmmuCdLegality, Asid) {
  const Features narrow = {{&C::asid16, 0}};
  check({
      {"16 bits", {}, kS1, {}, {{IMS_CD_ASID, 0x100}}, kLegal},
      {"8 bits", narrow, kS1, {}, {{IMS_CD_ASID, 0xff}}, kLegal},
      {"8 bits, 9 used", narrow, kS1, {}, {{IMS_CD_ASID, 0x100}}, kBadCd},
      {"8 bits, AArch32", narrow, kS1, {}, {{IMS_CD_AA64, 0}, {IMS_CD_ASID, 0x100}}, kBadCd},
      {"8 bits, EL2: ignored", narrow, kS1, {{IMS_STE_STRW, 2}}, {{IMS_CD_ASID, 0x100}}, kLegal},
  });
  Unit unit(narrow);
  unit.set("CR2", kE2h);
  smmu_ste ste;
  smmu_cd cd;
  ASSERT_EQ(unit.decode(an_ste(kS1, {{IMS_STE_STRW, 2}}), &ste), kLegal);
  EXPECT_EQ(unit.decode(ste, a_cd({{IMS_CD_ASID, 0x100}}), &cd), kBadCd) << "EL2 with E2H has ASIDs";
}

TEST(SmmuCdLegality, Granules) {
  // TG0 and TG1 have codes of their own.
  check({
      {"TG0 64 KB", {}, kS1, {}, {{IMS_CD_TG0, 1}}, kLegal},
      {"TG0 16 KB", {}, kS1, {}, {{IMS_CD_TG0, 2}}, kLegal},
      {"TG0 reserved", {}, kS1, {}, {{IMS_CD_TG0, 3}}, kBadCd},
      {"TG1 reserved", {}, kS1, {}, {{IMS_CD_TG1, 0}}, kBadCd},
      {"TG1 16 KB", {}, kS1, {}, {{IMS_CD_TG1, 1}}, kLegal},
      {"TG1 64 KB", {}, kS1, {}, {{IMS_CD_TG1, 3}}, kLegal},
      {"TG0 reserved, no walks: ignored", {}, kS1, {}, {{IMS_CD_TG0, 3}, {IMS_CD_EPD0, 1}}, kLegal},
      {"TG1 reserved, no walks: ignored", {}, kS1, {}, {{IMS_CD_TG1, 0}, {IMS_CD_EPD1, 1}}, kLegal},
      {"TG1 reserved, half 0 does not walk", {}, kS1, {}, {{IMS_CD_TG1, 0}, {IMS_CD_EPD0, 1}}, kBadCd},
      {"TG1 reserved, EL2: ignored", {}, kS1, {{IMS_STE_STRW, 2}}, {{IMS_CD_TG1, 0}}, kLegal},
      {"TG0 reserved, EL2, EPD0 ignored", {}, kS1, {{IMS_STE_STRW, 2}}, {{IMS_CD_TG0, 3}, {IMS_CD_EPD0, 1}}, kBadCd},
      {"TG0 4 KB, none", {{&C::gran4k, 0}}, kS1, {}, {{IMS_CD_TG1, 1}}, kBadCd},
      {"TG1 4 KB, none", {{&C::gran4k, 0}}, kS1, {}, {{IMS_CD_TG0, 1}}, kBadCd},
      {"TG0 and TG1 others", {{&C::gran4k, 0}}, kS1, {}, {{IMS_CD_TG0, 1}, {IMS_CD_TG1, 1}}, kLegal},
      {"TG0 64 KB, none", {{&C::gran64k, 0}}, kS1, {}, {{IMS_CD_TG0, 1}}, kBadCd},
      {"TG1 16 KB, none", {{&C::gran16k, 0}}, kS1, {}, {{IMS_CD_TG1, 1}}, kBadCd},
      {"AArch32 ignores both",
       {{&C::gran4k, 0}},
       kS1,
       {},
       {{IMS_CD_AA64, 0}, {IMS_CD_TG0, 3}, {IMS_CD_TG1, 0}},
       kLegal},
  });
}

TEST(SmmuCdLegality, InputSizes) {
  const Features stt0 = {{&C::stt, 0}}, vax = {{&C::vax, 1}}, v0 = {{&C::version, 0}};
  const Features ds = {{&C::oas, 6}, {&C::ds, 1}, {&C::vax, 1}}, ds_48 = {{&C::oas, 6}, {&C::ds, 1}};
  const SteEdits el2 = {{IMS_STE_STRW, 2}};
  check({
      {"T0SZ 39", stt0, kS1, {}, {{IMS_CD_T0SZ, 39}}, kLegal},
      {"T0SZ 40, no small tables", stt0, kS1, {}, {{IMS_CD_T0SZ, 40}}, kBadCd},
      {"T1SZ 40, no small tables", stt0, kS1, {}, {{IMS_CD_T1SZ, 40}}, kBadCd},
      {"T0SZ 48", {}, kS1, {}, {{IMS_CD_T0SZ, 48}}, kLegal},
      {"T0SZ 49", {}, kS1, {}, {{IMS_CD_T0SZ, 49}}, kBadCd},
      {"T1SZ 48", {}, kS1, {}, {{IMS_CD_T1SZ, 48}}, kLegal},
      {"T1SZ 49", {}, kS1, {}, {{IMS_CD_T1SZ, 49}}, kBadCd},
      {"T0SZ 47, 64 KB", {}, kS1, {}, {{IMS_CD_T0SZ, 47}, {IMS_CD_TG0, 1}}, kLegal},
      {"T0SZ 48, 64 KB", {}, kS1, {}, {{IMS_CD_T0SZ, 48}, {IMS_CD_TG0, 1}}, kBadCd},
      {"T0SZ 48, 16 KB", {}, kS1, {}, {{IMS_CD_T0SZ, 48}, {IMS_CD_TG0, 2}}, kLegal},
      {"T0SZ 16", {}, kS1, {}, {{IMS_CD_T0SZ, 16}}, kLegal},
      {"T0SZ 15", {}, kS1, {}, {{IMS_CD_T0SZ, 15}}, kBadCd},
      {"T1SZ 15", {}, kS1, {}, {{IMS_CD_T1SZ, 15}}, kBadCd},
      {"T0SZ 15, version 0", v0, kS1, {}, {{IMS_CD_T0SZ, 15}}, kBadCd},
      {"T0SZ 12, 64 KB, 52 bits", vax, kS1, {}, {{IMS_CD_T0SZ, 12}, {IMS_CD_TG0, 1}}, kLegal},
      {"T0SZ 11, 64 KB, 52 bits", vax, kS1, {}, {{IMS_CD_T0SZ, 11}, {IMS_CD_TG0, 1}}, kBadCd},
      {"T0SZ 15, 4 KB, 52 bits", vax, kS1, {}, {{IMS_CD_T0SZ, 15}}, kBadCd},
      {"T0SZ 12, 64 KB, 48 bits", {}, kS1, {}, {{IMS_CD_T0SZ, 12}, {IMS_CD_TG0, 1}}, kBadCd},
      {"T0SZ 12, DS", ds, kS1, {}, {{IMS_CD_T0SZ, 12}, {IMS_CD_DS, 1}}, kLegal},
      {"T1SZ 12, 16 KB, DS", ds, kS1, {}, {{IMS_CD_T1SZ, 12}, {IMS_CD_TG1, 1}, {IMS_CD_DS, 1}}, kLegal},
      {"T0SZ 11, DS", ds, kS1, {}, {{IMS_CD_T0SZ, 11}, {IMS_CD_DS, 1}}, kBadCd},
      {"T0SZ 12, DS off", ds, kS1, {}, {{IMS_CD_T0SZ, 12}}, kBadCd},
      {"T0SZ 12, DS, 48 bits", ds_48, kS1, {}, {{IMS_CD_T0SZ, 12}, {IMS_CD_DS, 1}}, kBadCd},
      {"T0SZ 12, DS not implemented", vax, kS1, {}, {{IMS_CD_T0SZ, 12}, {IMS_CD_DS, 1}}, kBadCd},
      {"T0SZ 0, no walks: ignored", {}, kS1, {}, {{IMS_CD_T0SZ, 0}, {IMS_CD_EPD0, 1}}, kLegal},
      {"T1SZ 63, no walks: ignored", {}, kS1, {}, {{IMS_CD_T1SZ, 63}, {IMS_CD_EPD1, 1}}, kLegal},
      {"T1SZ 63, half 0 does not walk", {}, kS1, {}, {{IMS_CD_T1SZ, 63}, {IMS_CD_EPD0, 1}}, kBadCd},
      {"T1SZ 0, EL2: ignored", {}, kS1, el2, {{IMS_CD_T1SZ, 0}}, kLegal},
      {"T0SZ 0, EL2", {}, kS1, el2, {{IMS_CD_T0SZ, 0}}, kBadCd},
      {"T0SZ 0, EL2, EPD0 ignored", {}, kS1, el2, {{IMS_CD_T0SZ, 0}, {IMS_CD_EPD0, 1}}, kBadCd},
      {"AArch32 takes all", {}, kS1, {}, {{IMS_CD_AA64, 0}, {IMS_CD_T0SZ, 63}, {IMS_CD_T1SZ, 0}}, kLegal},
  });
}

TEST(SmmuCdLegality, Tables) {
  const Features oas52 = {{&C::oas, 6}}, ds = {{&C::oas, 6}, {&C::ds, 1}}, v0 = {{&C::version, 0}};
  const SteEdits el2 = {{IMS_STE_STRW, 2}};
  auto ttb = [](ims_cd_field field, unsigned bit, unsigned ips, CdEdits more = {}) {
    CdEdits edits = {{field, 1ull << (bit - 4)}, {IMS_CD_IPS, ips}};
    edits.insert(edits.end(), more.begin(), more.end());
    return edits;
  };
  const auto t0 = IMS_CD_TTB0, t1 = IMS_CD_TTB1;
  check({
      {"TTB0 below 32 bits", {}, kS1, {}, ttb(t0, 31, 0), kLegal},
      {"TTB0 beyond 32 bits", {}, kS1, {}, ttb(t0, 32, 0), kBadCd},
      {"TTB1 below 32 bits", {}, kS1, {}, ttb(t1, 31, 0), kLegal},
      {"TTB1 beyond 32 bits", {}, kS1, {}, ttb(t1, 32, 0), kBadCd},
      {"TTB0 below 48 bits", {}, kS1, {}, ttb(t0, 47, 5), kLegal},
      {"TTB0 beyond 48 bits", {}, kS1, {}, ttb(t0, 48, 5), kBadCd},
      {"TTB0, capped to the output size", {}, kS1, {}, ttb(t0, 48, 6), kBadCd},
      {"TTB0 beyond 48 bits, 4 KB", oas52, kS1, {}, ttb(t0, 48, 6), kBadCd},
      {"TTB0 beyond 48 bits, 64 KB", oas52, kS1, {}, ttb(t0, 51, 6, {{IMS_CD_TG0, 1}}), kLegal},
      {"TTB0 beyond 48 bits, half 1 has 64 KB", oas52, kS1, {}, ttb(t0, 51, 6, {{IMS_CD_TG1, 3}}), kBadCd},
      {"TTB1 beyond 48 bits, 64 KB", oas52, kS1, {}, ttb(t1, 51, 6, {{IMS_CD_TG1, 3}}), kLegal},
      {"TTB0 beyond 48 bits, DS", ds, kS1, {}, ttb(t0, 51, 6, {{IMS_CD_DS, 1}}), kLegal},
      {"TTB1 beyond 48 bits, DS off", ds, kS1, {}, ttb(t1, 51, 6), kBadCd},
      {"TTB0 beyond 48 bits, DS not implemented", oas52, kS1, {}, ttb(t0, 51, 6, {{IMS_CD_DS, 1}}), kBadCd},
      {"TTB0 beyond 48 bits, version 0 has none", v0, kS1, {}, ttb(t0, 51, 5), kLegal},
      {"TTB0, no walks: ignored", {}, kS1, {}, ttb(t0, 51, 0, {{IMS_CD_EPD0, 1}}), kLegal},
      {"TTB1, no walks: ignored", {}, kS1, {}, ttb(t1, 51, 0, {{IMS_CD_EPD1, 1}}), kLegal},
      {"TTB1, EL2: ignored", {}, kS1, el2, ttb(t1, 51, 0), kLegal},
      {"TTB0, EL2", {}, kS1, el2, ttb(t0, 51, 0, {{IMS_CD_EPD0, 1}}), kBadCd},
      {"TTB0, AArch32, below 40 bits", {}, kS1, {}, ttb(t0, 39, 0, {{IMS_CD_AA64, 0}}), kLegal},
      {"TTB0, AArch32, beyond", {}, kS1, {}, ttb(t0, 40, 5, {{IMS_CD_AA64, 0}}), kBadCd},
      {"TTB1, AArch32, beyond", {}, kS1, {}, ttb(t1, 40, 5, {{IMS_CD_AA64, 0}}), kBadCd},
  });
}

TEST(SmmuCdLegality, PermissionIndirection) {
  const Features pi = {{&C::s1pi, 1}};
  const SteEdits allowed = {{IMS_STE_S1PIE, 1}}, el2 = {{IMS_STE_S1PIE, 1}, {IMS_STE_STRW, 2}};
  auto pie = [](uint64_t priv, uint64_t user) {
    return CdEdits{{IMS_CD_PIE, 1}, {IMS_CD_PIIP, priv}, {IMS_CD_PIIU, user}};
  };
  check({
      {"legal", pi, kS1, allowed, pie(05 << 9 | 03, 03 | 07 << 3), kLegal},
      {"reserved 4, privileged", pi, kS1, allowed, pie(04, 0), kBadCd},
      {"reserved 6, privileged, the last", pi, kS1, allowed, pie(06ull << 45, 0), kBadCd},
      {"reserved 4, unprivileged", pi, kS1, allowed, pie(0, 04 << 3), kBadCd},
      {"reserved 6, unprivileged", pi, kS1, allowed, pie(0, 06 << 3), kBadCd},
      {"reserved 6, unprivileged, EL2: ignored", pi, kS1, el2, pie(0, 06 << 3), kLegal},
      {"execution and unprivileged writes", pi, kS1, allowed, pie(03, 05), kBadCd},
      {"execution and unprivileged writes of another index", pi, kS1, allowed, pie(03, 05 << 3), kLegal},
      {"execution and unprivileged reads", pi, kS1, allowed, pie(03, 01), kLegal},
      {"not enabled by the CD", pi, kS1, allowed, {{IMS_CD_PIIP, 04}}, kLegal},
      {"not enabled by the STE", pi, kS1, {}, pie(04, 0), kLegal},
      {"not implemented", {}, kS1, allowed, pie(04, 0), kLegal},
      {"AArch32 has none", pi, kS1, allowed, {{IMS_CD_AA64, 0}, {IMS_CD_PIE, 1}, {IMS_CD_PIIP, 04}}, kLegal},
  });
}

// ---- CD: what it says

TEST(SmmuCd, FaultsAndTags) {
  smmu_cd cd = decoded_cd();
  EXPECT_TRUE(cd.a && cd.r);
  EXPECT_FALSE(cd.s || cd.aset);
  EXPECT_EQ(cd.asid, 5);
  EXPECT_TRUE(cd.aarch64 && cd.two_sides);
  cd = decoded_cd({{IMS_CD_A, 0}, {IMS_CD_R, 0}, {IMS_CD_S, 1}, {IMS_CD_ASET, 1}, {IMS_CD_ASID, 0xbeef}});
  EXPECT_FALSE(cd.a || cd.r);
  EXPECT_TRUE(cd.s && cd.aset);
  EXPECT_EQ(cd.asid, 0xbeef);
}

TEST(SmmuCd, HalvesWithTheirOwnGranules) {
  Unit unit;
  smmu_ste ste;
  smmu_cd cd;
  ASSERT_EQ(unit.decode(an_ste(kS1), &ste), kLegal);
  ASSERT_EQ(unit.decode(ste, a_cd({{IMS_CD_TG0, 2}, {IMS_CD_T0SZ, 28}, {IMS_CD_TG1, 3}, {IMS_CD_T1SZ, 21}}), &cd),
            kLegal);
  EXPECT_EQ(cd.side[0].fmt, &unit.inside()->formats.s1[IMS_GRANULE_16K]);
  EXPECT_EQ(cd.side[0].in_bits, 36);
  EXPECT_EQ(cd.side[0].levels, 2);
  EXPECT_EQ(cd.side[0].root, kTable0);
  EXPECT_EQ(cd.side[0].out_bits, 48);
  EXPECT_EQ(cd.side[1].fmt, &unit.inside()->formats.s1[IMS_GRANULE_64K]);
  EXPECT_EQ(cd.side[1].in_bits, 43);
  EXPECT_EQ(cd.side[1].levels, 3);
  EXPECT_EQ(cd.side[1].root, kTable1);
  EXPECT_FALSE(cd.epd[0] || cd.epd[1]);
}

// D8.2.1: the start level by T0SZ.
TEST(SmmuCd, StartLevels) {
  struct {
    unsigned tg, ds, first, last;
    int level;
  } rows[] = {
      {0, 0, 16, 24, 0}, {0, 0, 25, 33, 1}, {0, 0, 34, 42, 2}, {0, 0, 43, 48, 3}, {0, 1, 12, 15, -1}, {0, 1, 16, 24, 0},
      {2, 0, 16, 16, 0}, {2, 0, 17, 27, 1}, {2, 0, 28, 38, 2}, {2, 0, 39, 48, 3}, {2, 1, 12, 16, 0},  {2, 1, 17, 27, 1},
      {1, 0, 12, 21, 1}, {1, 0, 22, 34, 2}, {1, 0, 35, 47, 3}, {1, 1, 12, 21, 1},
  };
  Unit unit({{&C::oas, 6}, {&C::ds, 1}, {&C::vax, 1}});
  smmu_ste ste;
  ASSERT_EQ(unit.decode(an_ste(kS1), &ste), kLegal);
  const ims_vmsa_formats &f = unit.inside()->formats;
  const ims_granule granules[] = {IMS_GRANULE_4K, IMS_GRANULE_64K, IMS_GRANULE_16K};
  for (const auto &r : rows)
    for (unsigned t0sz = r.first; t0sz <= r.last; t0sz++) {
      smmu_cd cd;
      ASSERT_EQ(unit.decode(ste, a_cd({{IMS_CD_T0SZ, t0sz}, {IMS_CD_TG0, r.tg}, {IMS_CD_DS, r.ds}}), &cd), kLegal)
          << r.tg << " " << t0sz;
      EXPECT_EQ(ims_vmsa_level(cd.side[0].levels), r.level) << r.tg << " " << t0sz;
      EXPECT_EQ(cd.side[0].in_bits, 64 - t0sz);
      ims_granule g = granules[r.tg];
      EXPECT_EQ(cd.side[0].fmt, r.ds && g != IMS_GRANULE_64K ? &f.s1_ds[g] : &f.s1[g]);
    }
}

TEST(SmmuCd, OutputSizes) {
  const unsigned expected[8] = {32, 36, 40, 42, 44, 48, 52, 52};
  for (unsigned ips = 0; ips < 8; ips++) {
    smmu_cd cd = decoded_cd({{IMS_CD_IPS, ips}}, {{&C::oas, 6}});
    EXPECT_EQ(cd.side[0].out_bits, expected[ips]);
    EXPECT_EQ(cd.side[1].out_bits, expected[ips]);
    EXPECT_EQ(decoded_cd({{IMS_CD_IPS, ips}}, {{&C::oas, 1}}).side[0].out_bits, ips ? 36 : 32);
    EXPECT_EQ(decoded_cd({{IMS_CD_IPS, ips}}, {{&C::oas, 6}, {&C::version, 0}}).side[0].out_bits,
              expected[ips] < 48 ? expected[ips] : 48);
    EXPECT_EQ(decoded_cd({{IMS_CD_IPS, ips}, {IMS_CD_AA64, 0}}).side[0].out_bits, 40);
  }
}

TEST(SmmuCd, RootsAreAlignedToTheirTables) {
  const uint64_t all = 0xfffffffffff0 >> 4;
  auto root = [&](unsigned t0sz, unsigned tg, unsigned ips) {
    return decoded_cd({{IMS_CD_T0SZ, t0sz}, {IMS_CD_TG0, tg}, {IMS_CD_IPS, ips}, {IMS_CD_TTB0, all}}, {{&C::oas, 6}})
        .side[0]
        .root;
  };
  EXPECT_EQ(root(16, 0, 5), 0xfffffffff000u); // a whole table
  EXPECT_EQ(root(24, 0, 5), 0xfffffffffff0u); // 40 bits: two entries
  EXPECT_EQ(root(22, 0, 5), 0xffffffffffc0u); // eight
  EXPECT_EQ(root(24, 0, 6), 0xffffffffffc0u); // 52-bit outputs: 64 bytes at least
  EXPECT_EQ(root(17, 2, 5), 0xffffffffc000u); // 16 KB
  EXPECT_EQ(root(22, 1, 5), 0xffffffff0000u); // 64 KB
  EXPECT_EQ(root(35, 1, 5), 0xffffffff0000u); // 64 KB, 29 bits: one full table of level 3
  smmu_cd cd = decoded_cd({{IMS_CD_T1SZ, 22}, {IMS_CD_TTB1, all}});
  EXPECT_EQ(cd.side[1].root, 0xffffffffffc0u);
}

TEST(SmmuCd, Flags) {
  const uint32_t usual = IMS_PGT_AF_FAULTS | IMS_PGT_CONTIGUOUS;
  const Features httu3 = {{&C::httu, 3}, {&C::version, 4}};
  struct {
    CdEdits edits;
    uint32_t flags[2];
    unsigned a_bits, d_bit;
    Features features;
  } rows[] = {
      {{}, {usual, usual}, 0, 0, {}},
      {{}, {IMS_PGT_AF_FAULTS, IMS_PGT_AF_FAULTS}, 0, 0, {{&C::contiguous, 0}}},
      {{{IMS_CD_AFFD, 1}}, {IMS_PGT_CONTIGUOUS, IMS_PGT_CONTIGUOUS}, 0, 0, {}},
      {{{IMS_CD_HA, 1}}, {IMS_PGT_CONTIGUOUS, IMS_PGT_CONTIGUOUS}, IMS_VMSA_AF, 0, {}},
      {{{IMS_CD_HA, 1}, {IMS_CD_HD, 1}}, {IMS_PGT_CONTIGUOUS, IMS_PGT_CONTIGUOUS}, IMS_VMSA_AF, IMS_VMSA_AP2, {}},
      {{{IMS_CD_HD, 1}}, {usual, usual}, 0, 0, {}}, // acts as neither
      {{{IMS_CD_HA, 1}, {IMS_CD_HAFT, 1}},
       {IMS_PGT_CONTIGUOUS | IMS_PGT_HAFT, IMS_PGT_CONTIGUOUS | IMS_PGT_HAFT},
       IMS_VMSA_AF,
       0,
       httu3},
      {{{IMS_CD_HAFT, 1}}, {usual, usual}, 0, 0, {}}, // not implemented
      {{{IMS_CD_HAD0, 1}}, {usual | IMS_PGT_HAD, usual}, 0, 0, {}},
      {{{IMS_CD_HAD1, 1}}, {usual, usual | IMS_PGT_HAD}, 0, 0, {}},
      {{{IMS_CD_HAD0, 1}, {IMS_CD_HAD1, 1}}, {usual, usual}, 0, 0, {{&C::had, 0}}},
      {{{IMS_CD_WXN, 1}}, {usual | IMS_PGT_WXN, usual | IMS_PGT_WXN}, 0, 0, {}},
      {{{IMS_CD_UWXN, 1}}, {usual, usual}, 0, 0, {}}, // of AArch32
      {{{IMS_CD_PAN, 1}}, {usual | IMS_PGT_PAN, usual | IMS_PGT_PAN}, 0, 0, {}},
      {{{IMS_CD_EPAN, 1}}, {usual | IMS_PGT_EPAN, usual | IMS_PGT_EPAN}, 0, 0, {}},
      {{{IMS_CD_EPAN, 1}}, {usual, usual}, 0, 0, {{&C::epan, 0}}},
      {{{IMS_CD_ENDI, 1}}, {usual | IMS_PGT_BE, usual | IMS_PGT_BE}, 0, 0, {}},
  };
  for (const auto &r : rows) {
    SCOPED_TRACE(&r - rows);
    smmu_cd cd = decoded_cd(r.edits, r.features);
    for (unsigned i = 0; i < 2; i++) {
      EXPECT_EQ(cd.side[i].flags, r.flags[i] | (i ? uint32_t{IMS_PGT_UPPER} : 0)) << "half " << i;
      EXPECT_EQ(cd.side[i].a_bits, r.a_bits);
      EXPECT_EQ(cd.side[i].d_bit, r.d_bit);
    }
  }
}

TEST(SmmuCd, TopByteAndE0pd) {
  smmu_cd cd = decoded_cd({{IMS_CD_TBI0, 1}, {IMS_CD_E0PD1, 1}});
  EXPECT_TRUE(cd.tbi[0] && cd.e0pd[1]);
  EXPECT_FALSE(cd.tbi[1] || cd.e0pd[0]);
  cd = decoded_cd({{IMS_CD_TBI1, 1}, {IMS_CD_E0PD0, 1}});
  EXPECT_TRUE(cd.tbi[1] && cd.e0pd[0]);
  EXPECT_FALSE(cd.tbi[0] || cd.e0pd[1]);
  cd = decoded_cd({{IMS_CD_E0PD0, 1}, {IMS_CD_E0PD1, 1}}, {{&C::e0pd, 0}});
  EXPECT_FALSE(cd.e0pd[0] || cd.e0pd[1]);
}

TEST(SmmuCd, ADisabledHalfHasNoTable) {
  Unit unit;
  smmu_ste ste;
  smmu_cd cd;
  ASSERT_EQ(unit.decode(an_ste(kS1), &ste), kLegal);
  ASSERT_EQ(unit.decode(ste, a_cd({{IMS_CD_EPD0, 1}}), &cd), kLegal);
  EXPECT_TRUE(cd.epd[0] && !cd.epd[1] && cd.two_sides);
  EXPECT_EQ(cd.side[0].fmt, nullptr);
  EXPECT_NE(cd.side[1].fmt, nullptr);
  ASSERT_EQ(unit.decode(ste, a_cd({{IMS_CD_EPD1, 1}}), &cd), kLegal);
  EXPECT_TRUE(!cd.epd[0] && cd.epd[1] && cd.two_sides);
  EXPECT_NE(cd.side[0].fmt, nullptr);
  EXPECT_EQ(cd.side[1].fmt, nullptr);
}

TEST(SmmuCd, El2HasOneTableAndNoUnprivilegedSide) {
  const CdEdits edits = {{IMS_CD_EPD0, 1}, {IMS_CD_EPD1, 1}, {IMS_CD_TBI0, 1},  {IMS_CD_TBI1, 1},
                         {IMS_CD_PAN, 1},  {IMS_CD_EPAN, 1}, {IMS_CD_E0PD0, 1}, {IMS_CD_E0PD1, 1},
                         {IMS_CD_WXN, 1},  {IMS_CD_UWXN, 1}, {IMS_CD_HAD0, 1},  {IMS_CD_ASET, 1}};
  Unit unit;
  smmu_ste ste;
  smmu_cd cd;
  ASSERT_EQ(unit.decode(an_ste(kS1, {{IMS_STE_STRW, 2}}), &ste), kLegal);
  ASSERT_EQ(unit.decode(ste, a_cd(edits), &cd), kLegal);
  EXPECT_FALSE(cd.two_sides || cd.epd[0] || cd.tbi[1] || cd.e0pd[0] || cd.e0pd[1]);
  EXPECT_TRUE(cd.tbi[0] && cd.epd[1]); // nothing walks where there is no table
  EXPECT_EQ(cd.asid, 0);
  EXPECT_EQ(cd.side[1].fmt, nullptr);
  EXPECT_EQ(cd.side[0].fmt, &unit.inside()->formats.s1[0]);
  EXPECT_EQ(cd.side[0].flags, 0u | IMS_PGT_AF_FAULTS | IMS_PGT_CONTIGUOUS | IMS_PGT_ONE_EL | IMS_PGT_WXN | IMS_PGT_HAD);

  // AArch32: T1SZ does not choose a side either.
  ASSERT_EQ(unit.decode(ste, a_cd({{IMS_CD_AA64, 0}, {IMS_CD_T0SZ, 2}, {IMS_CD_T1SZ, 1}}), &cd), kLegal);
  EXPECT_TRUE(cd.epd[1] && !cd.two_sides);
  EXPECT_EQ(cd.t0sz, 2);
  EXPECT_EQ(cd.t1sz, 0);
  EXPECT_EQ(cd.side[1].fmt, nullptr);

  // With E2H it is like EL1.
  unit.set("CR2", kE2h);
  ASSERT_EQ(unit.decode(an_ste(kS1, {{IMS_STE_STRW, 2}}), &ste), kLegal);
  ASSERT_EQ(unit.decode(ste, a_cd({{IMS_CD_PAN, 1}, {IMS_CD_E0PD0, 1}}), &cd), kLegal);
  EXPECT_TRUE(cd.two_sides && cd.e0pd[0]);
  EXPECT_EQ(cd.asid, 5);
  EXPECT_NE(cd.side[1].fmt, nullptr);
  EXPECT_EQ(cd.side[0].flags, 0u | IMS_PGT_AF_FAULTS | IMS_PGT_CONTIGUOUS | IMS_PGT_PAN);
}

TEST(SmmuCd, AArch32) {
  const CdEdits edits = {
      {IMS_CD_AA64, 0}, {IMS_CD_T0SZ, 0x3a}, {IMS_CD_T1SZ, 1},  {IMS_CD_HA, 1},
      {IMS_CD_HD, 1},   {IMS_CD_TBI0, 1},    {IMS_CD_E0PD0, 1}, {IMS_CD_EPAN, 1},
      {IMS_CD_PAN, 1},  {IMS_CD_UWXN, 1},    {IMS_CD_HAD1, 1},  {IMS_CD_IPS, 0},
      {IMS_CD_HAFT, 1}, {IMS_CD_DS, 1},      {IMS_CD_WXN, 1},   {IMS_CD_TTB0, (kTable0 | 0xff0) >> 4},
      {IMS_CD_ENDI, 1}};
  Unit unit({{&C::httu, 3}, {&C::version, 4}});
  smmu_ste ste;
  smmu_cd cd;
  ASSERT_EQ(unit.decode(an_ste(kS1), &ste), kLegal);
  ASSERT_EQ(unit.decode(ste, a_cd(edits), &cd), kLegal);
  EXPECT_FALSE(cd.aarch64 || cd.tbi[0] || cd.e0pd[0]);
  EXPECT_TRUE(cd.two_sides);
  EXPECT_EQ(cd.t0sz, 2); // 3 bits
  EXPECT_EQ(cd.t1sz, 1);
  const uint32_t flags =
      IMS_PGT_AARCH32 | IMS_PGT_AF_FAULTS | IMS_PGT_CONTIGUOUS | IMS_PGT_PAN | IMS_PGT_UWXN | IMS_PGT_WXN | IMS_PGT_BE;
  EXPECT_EQ(cd.side[0].flags, flags);
  EXPECT_EQ(cd.side[1].flags, flags | IMS_PGT_HAD | IMS_PGT_UPPER);
  for (const ims_pgt &p : cd.side) {
    EXPECT_EQ(p.fmt, &unit.inside()->formats_v7.s1[0]);
    EXPECT_EQ(p.out_bits, 40);
    EXPECT_EQ(p.a_bits, 0);
    EXPECT_EQ(p.d_bit, 0);
  }
  EXPECT_EQ(cd.side[0].in_bits, 30);
  EXPECT_EQ(cd.side[0].levels, 2); // from level 2 on
  EXPECT_EQ(cd.side[0].root, kTable0);
  EXPECT_EQ(cd.side[1].in_bits, 31);
  EXPECT_EQ(cd.side[1].levels, 3);
}

TEST(SmmuCd, MemoryAttributes) {
  smmu_cd cd = decoded_cd({{IMS_CD_MAIR0, 0x0cff4404}, {IMS_CD_MAIR1, 0xbb00f477}});
  EXPECT_EQ(cd.side[0].mair, 0xbb00f4770cff4404u);
  EXPECT_EQ(cd.side[1].mair, 0xbb00f4770cff4404u);
  // What VMSAv8-64 has no meaning for: Device with low bits, and an inner nibble of zero.
  cd = decoded_cd({{IMS_CD_MAIR0, 0x0f0b0601}, {IMS_CD_MAIR1, 0xf0401000}});
  EXPECT_EQ(cd.side[0].mair, 0xf34313000c080400u);
}

TEST(SmmuCd, Shareability) {
  const unsigned expected[4] = {0, 0, 2, 3}; // 1 is reserved
  for (unsigned sh = 0; sh < 4; sh++) {
    smmu_cd cd = decoded_cd({{IMS_CD_SH0, sh}, {IMS_CD_SH1, 3 - sh}});
    EXPECT_EQ(cd.side[0].sh, expected[sh]);
    EXPECT_EQ(cd.side[1].sh, expected[3 - sh]);
  }
}

// Whatever lies in memory: a stage that comes out legal is one that a walk can use.
void expect_walkable(const ims_pgt &p, unsigned oas) {
  ASSERT_NE(p.fmt, nullptr);
  ASSERT_GE(p.levels, 1);
  ASSERT_LE(p.levels, IMS_PGT_MAX_LEVELS);
  ASSERT_LE(p.in_bits, 52);
  ASSERT_GT(p.in_bits, p.fmt->shift[p.levels]);                          // the first table resolves something
  ASSERT_LE(p.in_bits, p.fmt->shift[p.levels] + p.fmt->index_bits + 4u); // sixteen tables at most
  ASSERT_LE(p.out_bits, p.flags & IMS_PGT_AARCH32 ? 40 : oas);
  ASSERT_EQ(p.root >> p.out_bits, 0u);
  ASSERT_EQ(p.root & ((1ull << ims_vmsa_root_log2(&p)) - 1), 0u);
}

TEST(SmmuDecode, RandomStructuresAreIllegalOrWalkable) {
  std::mt19937_64 random(7);
  unsigned legal_stes = 0, legal_cds = 0;
  for (const Features &features : {Features{}, Features{{&C::oas, 6}, {&C::ds, 1}, {&C::vax, 1}},
                                   Features{{&C::oas, 0}}, Features{{&C::httu, 3}, {&C::version, 4}}}) {
    Unit unit(features);
    const unsigned oas = unit.inside()->oas;
    for (unsigned i = 0; i < 100000; i++) {
      Words ste_words, cd_words;
      for (unsigned word = 0; word < 8; word++) {
        ste_words[word] = random();
        cd_words[word] = random();
      }
      // Half of them with addresses and VMIDs that have a chance.
      if (i & 1) {
        ims_ste_set_address(ste_words.data(), IMS_STE_S1CONTEXTPTR, random() & 0xffffffff);
        ims_ste_set_address(ste_words.data(), IMS_STE_S2TTB, random() & 0xffffffff);
        ims_ste_set(ste_words.data(), IMS_STE_S1CDMAX, random() & 15);
        ims_ste_set(ste_words.data(), IMS_STE_EATS, 0);
        ims_cd_set_address(cd_words.data(), IMS_CD_TTB0, random() & 0xffffffff);
        ims_cd_set_address(cd_words.data(), IMS_CD_TTB1, random() & 0xffffffff);
      }
      smmu_ste ste;
      if (unit.decode(ste_words, &ste))
        continue;
      legal_stes++;
      ASSERT_EQ(ste.s2.fmt != nullptr, ste.has_s2);
      if (ste.has_s2) {
        ASSERT_NO_FATAL_FAILURE(expect_walkable(ste.s2, oas));
      }
      smmu_cd cd;
      if (!ste.has_s1 || unit.decode(ste, cd_words, &cd))
        continue;
      legal_cds++;
      for (unsigned side = 0; side < 2; side++) {
        ASSERT_EQ(cd.side[side].fmt == nullptr, cd.epd[side]);
        if (!cd.epd[side]) {
          ASSERT_NO_FATAL_FAILURE(expect_walkable(cd.side[side], oas));
        }
      }
    }
  }
  EXPECT_GT(legal_stes, 10000u);
  EXPECT_GT(legal_cds, 1000u);
}

} // namespace
