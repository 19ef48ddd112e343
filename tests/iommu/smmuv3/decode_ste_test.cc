// SPDX-License-Identifier: Apache-2.0
// STEs: each condition that makes one illegal beside a legal neighbour, each field that does not count where it is
// said not to, and what the legal ones say. IHI 0070, 5.2, 5.2.2, 5.5, 3.4; start levels by DDI 0487 D8.2.2.
#include "decode_fixture.h"

namespace {

using namespace smmuv3_decode;

struct SteRow {
  const char *name;
  Features features;
  unsigned config;
  SteEdits edits;
  unsigned event;
};

void check(const std::vector<SteRow> &rows) {
  for (const SteRow &r : rows) {
    SCOPED_TRACE(r.name);
    Unit unit(r.features);
    smmu_ste ste;
    EXPECT_EQ(unit.decode(an_ste(r.config, r.edits), &ste), r.event);
  }
}

// Decoded with the features given; the structure is legal.
smmu_ste decoded_ste(unsigned config, const SteEdits &edits = {}, const Features &features = {}) {
  Unit unit(features);
  smmu_ste ste;
  EXPECT_EQ(unit.decode(an_ste(config, edits), &ste), kLegal);
  ste.s2.fmt = nullptr; // went with the unit
  return ste;
}

// ---- STE: which stages

TEST(SmmuSteLegality, ValidityAndConfig) {
  check({
      {"valid", {}, kNested, {}, kLegal},
      {"V = 0", {}, kNested, {{IMS_STE_V, 0}}, kBadSte},
      {"V = 0 of an aborting one", {}, 0, {{IMS_STE_V, 0}}, kBadSte},
      {"abort", {}, 0, {}, kLegal},
      {"abort, reserved code 3, stages missing", {{&C::s2p, 0}}, 3, {}, kLegal},
      {"abort looks at no field", {}, 0, {{IMS_STE_S2TG, 3}, {IMS_STE_EATS, 2}, {IMS_STE_S1CDMAX, 31}}, kLegal},
      {"stage 1 missing", {{&C::s1p, 0}, {&C::ns1ats, 1}}, kS1, {}, kBadSte},
      {"stage 1 missing, nested", {{&C::s1p, 0}, {&C::ns1ats, 1}}, kNested, {}, kBadSte},
      {"stage 1 missing, stage 2", {{&C::s1p, 0}, {&C::ns1ats, 1}}, kS2, {}, kLegal},
      {"stage 2 missing", {{&C::s2p, 0}}, kS2, {}, kBadSte},
      {"stage 2 missing, nested", {{&C::s2p, 0}}, kNested, {}, kBadSte},
      {"stage 2 missing, stage 1", {{&C::s2p, 0}}, kS1, {}, kLegal},
      {"stage 2 missing, bypass", {{&C::s2p, 0}}, kBypass, {}, kLegal},
  });
}

TEST(SmmuSteLegality, Ats) {
  const Features none = {{&C::ats, 0}, {&C::pri, 0}}, whole = {{&C::ns1ats, 1}}, dpt = {{&C::dpt, 1}};
  check({
      {"full, stage 1", {}, kS1, {{IMS_STE_EATS, 1}}, kLegal},
      {"full, nested", {}, kNested, {{IMS_STE_EATS, 1}}, kLegal},
      {"full, nested, stage 2 stalls", {}, kNested, {{IMS_STE_EATS, 1}, {IMS_STE_S2S, 1}}, kBadSte},
      {"full, stage 2, it stalls", {}, kS2, {{IMS_STE_EATS, 1}, {IMS_STE_S2S, 1}}, kBadSte},
      {"full, stage 1: S2S does not count", {}, kS1, {{IMS_STE_EATS, 1}, {IMS_STE_S2S, 1}}, kLegal},
      {"split, nested", {}, kNested, {{IMS_STE_EATS, 2}}, kLegal},
      {"split, nested, stage 2 stalls", {}, kNested, {{IMS_STE_EATS, 2}, {IMS_STE_S2S, 1}}, kBadSte},
      {"split, stage 1", {}, kS1, {{IMS_STE_EATS, 2}}, kBadSte},
      {"split, stage 2", {}, kS2, {{IMS_STE_EATS, 2}}, kBadSte},
      {"split, not supported", whole, kNested, {{IMS_STE_EATS, 2}}, kBadSte},
      {"full where split is not supported", whole, kNested, {{IMS_STE_EATS, 1}}, kLegal},
      {"split, bypass: ignored", {}, kBypass, {{IMS_STE_EATS, 2}}, kLegal},
      {"split, no ATS: ignored", none, kS1, {{IMS_STE_EATS, 2}}, kLegal},
      {"full and stalling, no ATS: ignored", none, kNested, {{IMS_STE_EATS, 1}, {IMS_STE_S2S, 1}}, kLegal},
      {"permission table, none: reserved", {}, kS1, {{IMS_STE_EATS, 3}, {IMS_STE_STRW, 2}}, kLegal},
      {"permission table, EL1", dpt, kS1, {{IMS_STE_EATS, 3}}, kLegal},
      {"permission table, EL2", dpt, kS1, {{IMS_STE_EATS, 3}, {IMS_STE_STRW, 2}}, kBadSte},
      {"permission table, STRW ignored", dpt, kNested, {{IMS_STE_EATS, 3}, {IMS_STE_STRW, 2}}, kLegal},
      {"permission table, stage 2 stalls", dpt, kNested, {{IMS_STE_EATS, 3}, {IMS_STE_S2S, 1}}, kBadSte},
  });
}

TEST(SmmuSteLegality, StreamWorld) {
  check({
      {"EL1", {}, kS1, {{IMS_STE_STRW, 0}}, kLegal},
      {"reserved 1", {}, kS1, {{IMS_STE_STRW, 1}}, kBadSte},
      {"EL2", {}, kS1, {{IMS_STE_STRW, 2}}, kLegal},
      {"reserved 3", {}, kS1, {{IMS_STE_STRW, 3}}, kBadSte},
      {"no EL2: ignored", {{&C::hyp, 0}}, kS1, {{IMS_STE_STRW, 3}}, kLegal},
      {"nested: ignored", {}, kNested, {{IMS_STE_STRW, 1}}, kLegal},
      {"stage 2: ignored", {}, kS2, {{IMS_STE_STRW, 3}}, kLegal},
      {"bypass: ignored", {}, kBypass, {{IMS_STE_STRW, 3}}, kLegal},
  });
}

TEST(SmmuSteLegality, Vmid) {
  const Features narrow = {{&C::vmid16, 0}};
  check({
      {"16 bits", {}, kNested, {{IMS_STE_S2VMID, 0x100}}, kLegal},
      {"8 bits", narrow, kNested, {{IMS_STE_S2VMID, 0xff}}, kLegal},
      {"8 bits, 9 used", narrow, kNested, {{IMS_STE_S2VMID, 0x100}}, kBadSte},
      {"8 bits, stage 2", narrow, kS2, {{IMS_STE_S2VMID, 0x8000}}, kBadSte},
      {"8 bits, stage 1 is tagged too", narrow, kS1, {{IMS_STE_S2VMID, 0x100}}, kBadSte},
      {"8 bits, EL2 is not", narrow, kS1, {{IMS_STE_S2VMID, 0x100}, {IMS_STE_STRW, 2}}, kLegal},
      {"8 bits, bypass", narrow, kBypass, {{IMS_STE_S2VMID, 0x100}}, kLegal},
      {"8 bits, no stage 2", {{&C::vmid16, 0}, {&C::s2p, 0}}, kS1, {{IMS_STE_S2VMID, 0x100}}, kLegal},
  });
}

TEST(SmmuSteLegality, MpamStructure) {
  const Features mpam = {{&C::mpam, 1}};
  const uint64_t above = 1ull << (48 - 12);
  check({
      {"in range", mpam, kNested, {{IMS_STE_S1MPAM, 1}, {IMS_STE_VMSPTR, above - 1}}, kLegal},
      {"beyond the output size", mpam, kNested, {{IMS_STE_S1MPAM, 1}, {IMS_STE_VMSPTR, above}}, kBadSte},
      {"not used", mpam, kNested, {{IMS_STE_S1MPAM, 0}, {IMS_STE_VMSPTR, above}}, kLegal},
      {"stage 1 alone", mpam, kS1, {{IMS_STE_S1MPAM, 1}, {IMS_STE_VMSPTR, above}}, kLegal},
      {"no MPAM", {}, kNested, {{IMS_STE_S1MPAM, 1}, {IMS_STE_VMSPTR, above}}, kLegal},
  });
}

// ---- STE: stage 1

TEST(SmmuSteLegality, Stage1) {
  const Features none = {{&C::ssidsize, 0}}, small = {{&C::ssidsize, 6}}, linear = {{&C::cd2l, 0}};
  const Features no_stall = {{&C::stall_model, 1}}, forced = {{&C::stall_model, 2}};
  const uint64_t cds_at_48 = 1ull << (48 - 6), cds_at_40 = 1ull << (40 - 6);
  check({
      {"stalls disabled", {}, kS1, {{IMS_STE_S1STALLD, 1}}, kLegal},
      {"stalls disabled where there are none", no_stall, kS1, {{IMS_STE_S1STALLD, 1}}, kBadSte},
      {"stalls disabled where they are forced", forced, kS1, {{IMS_STE_S1STALLD, 1}}, kBadSte},
      {"stalls disabled, nested", no_stall, kNested, {{IMS_STE_S1STALLD, 1}}, kBadSte},
      {"stalls disabled, stage 2: ignored", no_stall, kS2, {{IMS_STE_S1STALLD, 1}}, kLegal},
      {"no stalls, none disabled", no_stall, kS1, {}, kLegal},

      {"substreams, as many as there are", {}, kS1, {{IMS_STE_S1CDMAX, 20}}, kLegal},
      {"substreams, more", {}, kS1, {{IMS_STE_S1CDMAX, 21}}, kBadSte},
      {"6 bits of substreams", small, kNested, {{IMS_STE_S1CDMAX, 6}}, kLegal},
      {"7 bits of substreams", small, kNested, {{IMS_STE_S1CDMAX, 7}}, kBadSte},
      {"no substreams: ignored", none, kS1, {{IMS_STE_S1CDMAX, 31}}, kLegal},
      {"stage 2: ignored", small, kS2, {{IMS_STE_S1CDMAX, 31}}, kLegal},
      {"bypass: ignored", small, kBypass, {{IMS_STE_S1CDMAX, 31}}, kLegal},

      {"two levels of 4 KB", {}, kS1, {{IMS_STE_S1CDMAX, 8}, {IMS_STE_S1FMT, 1}}, kLegal},
      {"two levels of 4 KB, not supported", linear, kS1, {{IMS_STE_S1CDMAX, 8}, {IMS_STE_S1FMT, 1}}, kBadSte},
      {"two levels of 64 KB, not supported", linear, kS1, {{IMS_STE_S1CDMAX, 8}, {IMS_STE_S1FMT, 2}}, kBadSte},
      {"linear", linear, kS1, {{IMS_STE_S1CDMAX, 8}, {IMS_STE_S1FMT, 0}}, kLegal},
      {"reserved acts as linear", linear, kS1, {{IMS_STE_S1CDMAX, 8}, {IMS_STE_S1FMT, 3}}, kLegal},
      {"two levels of one CD: ignored", linear, kS1, {{IMS_STE_S1CDMAX, 0}, {IMS_STE_S1FMT, 1}}, kLegal},
      {"two levels, stage 2: ignored", linear, kS2, {{IMS_STE_S1CDMAX, 8}, {IMS_STE_S1FMT, 1}}, kLegal},
      {"two levels, no substreams: ignored",
       {{&C::cd2l, 0}, {&C::ssidsize, 0}},
       kS1,
       {{IMS_STE_S1CDMAX, 8}, {IMS_STE_S1FMT, 1}},
       kLegal},

      {"CDs below 2^48", {}, kS1, {{IMS_STE_S1CONTEXTPTR, cds_at_48 - 1}}, kLegal},
      {"CDs beyond", {}, kS1, {{IMS_STE_S1CONTEXTPTR, cds_at_48}}, kBadSte},
      {"CDs beyond, version 0", {{&C::version, 0}}, kS1, {{IMS_STE_S1CONTEXTPTR, cds_at_48}}, kBadSte},
      {"CDs beyond, nested", {}, kNested, {{IMS_STE_S1CONTEXTPTR, cds_at_48}}, kBadSte},
      {"CDs beyond, stage 2: ignored", {}, kS2, {{IMS_STE_S1CONTEXTPTR, cds_at_48}}, kLegal},
      {"CDs beyond 36 bits", {{&C::oas, 1}}, kS1, {{IMS_STE_S1CONTEXTPTR, 1ull << 30}}, kBadSte},
  });
  // Nested, the pointer is an intermediate address: AArch32 gives it 40 bits even where physical ones have 36.
  const SteEdits fits_36 = {{IMS_STE_S2T0SZ, 28}, {IMS_STE_S2PS, 1}};
  auto nested = [&](uint64_t ptr) {
    SteEdits edits = fits_36;
    edits.push_back({IMS_STE_S1CONTEXTPTR, ptr});
    return edits;
  };
  check({
      {"intermediate, 40 bits", {{&C::oas, 1}}, kNested, nested(cds_at_40 - 1), kLegal},
      {"intermediate, beyond", {{&C::oas, 1}}, kNested, nested(cds_at_40), kBadSte},
      {"intermediate, no AArch32: 36 bits", {{&C::oas, 1}, {&C::ttf, 2}}, kNested, nested((1ull << 30) - 1), kLegal},
      {"intermediate, no AArch32: beyond", {{&C::oas, 1}, {&C::ttf, 2}}, kNested, nested(1ull << 30), kBadSte},
  });
}

// ---- STE: stage 2

TEST(SmmuSteLegality, Stage2Controls) {
  const Features no_stall = {{&C::stall_model, 1}}, forced = {{&C::stall_model, 2}};
  const Features only32 = {{&C::ttf, 1}}, only64 = {{&C::ttf, 2}};
  const Features httu0 = {{&C::httu, 0}}, httu1 = {{&C::httu, 1}}, httu3 = {{&C::httu, 3}, {&C::version, 4}};
  const Features little = {{&C::ttendian, 2}}, big = {{&C::ttendian, 3}};
  auto aarch32 = [](SteEdits more = {}) { // 40 bits from level 1 on
    SteEdits edits = {{IMS_STE_S2AA64, 0}, {IMS_STE_S2T0SZ, 8}};
    edits.insert(edits.end(), more.begin(), more.end());
    return edits;
  };
  check({
      {"AArch32", {}, kNested, aarch32(), kLegal},
      {"AArch32, not implemented", only64, kNested, aarch32(), kBadSte},
      {"AArch64, not implemented", only32, kNested, {}, kBadSte},
      {"AArch64, not implemented, stage 1: ignored", only32, kS1, {}, kLegal},
      {"AArch32, not implemented, stage 1: ignored", only64, kS1, aarch32(), kLegal},

      {"FWB", {}, kS2, {{IMS_STE_S2FWB, 1}}, kLegal},
      {"FWB, AArch32", {}, kS2, aarch32({{IMS_STE_S2FWB, 1}}), kBadSte},
      {"FWB, AArch32, not implemented", {{&C::fwb, 0}}, kS2, aarch32({{IMS_STE_S2FWB, 1}}), kLegal},
      {"FWB, stage 1: ignored", {}, kS1, aarch32({{IMS_STE_S2FWB, 1}}), kLegal},

      {"stall", {}, kS2, {{IMS_STE_S2S, 1}}, kLegal},
      {"stall, none implemented", no_stall, kS2, {{IMS_STE_S2S, 1}}, kBadSte},
      {"no stall, none implemented", no_stall, kS2, {}, kLegal},
      {"stall, forced", forced, kNested, {{IMS_STE_S2S, 1}}, kLegal},
      {"no stall, forced", forced, kNested, {}, kBadSte},
      {"no stall, forced, stage 1: ignored", forced, kS1, {}, kLegal},
      {"stall, none implemented, stage 1: ignored", no_stall, kS1, {{IMS_STE_S2S, 1}}, kLegal},

      {"access flag", {}, kS2, {{IMS_STE_S2HA, 1}}, kLegal},
      {"access flag, not implemented", httu0, kS2, {{IMS_STE_S2HA, 1}}, kBadSte},
      {"access flag, AArch32", {}, kS2, aarch32({{IMS_STE_S2HA, 1}}), kBadSte},
      {"access flag, not implemented, stage 1: ignored", httu0, kS1, {{IMS_STE_S2HA, 1}}, kLegal},
      {"dirty", {}, kS2, {{IMS_STE_S2HA, 1}, {IMS_STE_S2HD, 1}}, kLegal},
      {"dirty without access flag", {}, kS2, {{IMS_STE_S2HD, 1}}, kLegal},
      {"dirty, access flag implemented", httu1, kS2, {{IMS_STE_S2HA, 1}, {IMS_STE_S2HD, 1}}, kBadSte},
      {"access flag, it alone implemented", httu1, kS2, {{IMS_STE_S2HA, 1}}, kLegal},
      {"dirty, nothing implemented", httu0, kS2, {{IMS_STE_S2HD, 1}}, kBadSte},
      {"dirty, AArch32", {}, kS2, aarch32({{IMS_STE_S2HD, 1}}), kBadSte},
      {"tables", httu3, kS2, {{IMS_STE_S2HAFT, 1}, {IMS_STE_S2HA, 1}}, kLegal},
      {"tables without leaves", httu3, kS2, {{IMS_STE_S2HAFT, 1}}, kBadSte},
      {"tables without leaves, not implemented", {}, kS2, {{IMS_STE_S2HAFT, 1}}, kLegal},

      {"big-endian", {}, kS2, {{IMS_STE_S2ENDI, 1}}, kLegal},
      {"big-endian, little only", little, kS2, {{IMS_STE_S2ENDI, 1}}, kBadSte},
      {"little-endian, little only", little, kS2, {}, kLegal},
      {"little-endian, big only", big, kS2, {}, kBadSte},
      {"big-endian, big only", big, kS2, {{IMS_STE_S2ENDI, 1}}, kLegal},
      {"little-endian, big only, stage 1: ignored", big, kS1, {}, kLegal},
  });
}

TEST(SmmuSteLegality, Stage2PermissionSchemes) {
  const Features pi = {{&C::s2pi, 1}}, both = {{&C::s2pi, 1}, {&C::s2po, 1}};
  const Features all = {{&C::s2pi, 1}, {&C::s2po, 1}, {&C::pbha, 1}};
  const SteEdits aarch32 = {{IMS_STE_S2AA64, 0}, {IMS_STE_S2T0SZ, 8}, {IMS_STE_S2PIE, 1}};
  auto poe = [](ims_ste_field field, uint64_t value) {
    return SteEdits{{IMS_STE_S2PIE, 1}, {IMS_STE_S2POE, 1}, {field, value}};
  };
  check({
      {"indirection", pi, kS2, {{IMS_STE_S2PIE, 1}}, kLegal},
      {"indirection, AArch32", pi, kS2, aarch32, kBadSte},
      {"indirection, AArch32, not implemented", {}, kS2, aarch32, kLegal},
      {"overlay", both, kS2, poe(IMS_STE_S2POI, 0xfedcba9876432200), kLegal},
      {"overlay without indirection", both, kS2, {{IMS_STE_S2POE, 1}}, kBadSte},
      {"overlay without indirection, not implemented", pi, kS2, {{IMS_STE_S2POE, 1}}, kLegal},
      {"overlay, reserved 1", both, kS2, poe(IMS_STE_S2POI, 0x10), kBadSte},
      {"overlay, reserved 5", both, kS2, poe(IMS_STE_S2POI, 5ull << 60), kBadSte},
      {"overlay with hardware bits", all, kS2, poe(IMS_STE_S2HWU60, 1), kBadSte},
      {"overlay with hardware bits, not implemented", both, kS2, poe(IMS_STE_S2HWU60, 1), kLegal},
      {"hardware bits", all, kS2, {{IMS_STE_S2HWU60, 1}}, kLegal},
      {"reserved overlay, stage 1: ignored", both, kS1, poe(IMS_STE_S2POI, 1), kLegal},
  });
}

TEST(SmmuSteLegality, Stage2Granule) {
  auto tg = [](unsigned code) { return SteEdits{{IMS_STE_S2TG, code}, {IMS_STE_S2SL0, 1}, {IMS_STE_S2T0SZ, 30}}; };
  check({
      {"4 KB", {}, kS2, tg(0), kLegal},
      {"64 KB", {}, kS2, tg(1), kLegal},
      {"16 KB", {}, kS2, tg(2), kLegal},
      {"reserved", {}, kS2, tg(3), kBadSte},
      {"no 4 KB", {{&C::gran4k, 0}}, kS2, tg(0), kBadSte},
      {"no 64 KB", {{&C::gran64k, 0}}, kS2, tg(1), kBadSte},
      {"no 16 KB", {{&C::gran16k, 0}}, kS2, tg(2), kBadSte},
      {"reserved, stage 1: ignored", {}, kS1, tg(3), kLegal},
      {"reserved, AArch32: ignored",
       {{&C::gran4k, 0}},
       kS2,
       {{IMS_STE_S2TG, 3}, {IMS_STE_S2AA64, 0}, {IMS_STE_S2T0SZ, 8}},
       kLegal},
  });
}

TEST(SmmuSteLegality, Stage2InputSize) {
  const Features stt0 = {{&C::stt, 0}}, oas40 = {{&C::oas, 2}}, oas36 = {{&C::oas, 1}}, v0 = {{&C::version, 0}};
  const Features oas52 = {{&C::oas, 6}}, ds = {{&C::oas, 6}, {&C::ds, 1}};
  const Features only64 = {{&C::oas, 1}, {&C::ttf, 2}};
  auto s2 = [](unsigned t0sz, unsigned sl0, unsigned tg = 0, SteEdits more = {}) {
    SteEdits edits = {{IMS_STE_S2T0SZ, t0sz}, {IMS_STE_S2SL0, sl0}, {IMS_STE_S2TG, tg}, {IMS_STE_S2PS, 6}};
    edits.insert(edits.end(), more.begin(), more.end());
    return edits;
  };
  check({
      {"39", stt0, kS2, s2(39, 0), kLegal},
      {"40, no small tables", stt0, kS2, s2(40, 0), kBadSte},
      {"40, small tables", {}, kS2, s2(40, 0), kLegal},
      {"48, small tables", {}, kS2, s2(48, 3), kLegal},
      {"49, small tables", {}, kS2, s2(49, 3), kBadSte},
      {"47, 64 KB", {}, kS2, s2(47, 0, 1), kLegal},
      {"48, 64 KB", {}, kS2, s2(48, 0, 1), kBadSte},
      {"48, 16 KB", {}, kS2, s2(48, 0, 2), kLegal},
      {"start level 3, no small tables", stt0, kS2, s2(39, 3), kBadSte},
      {"start level 3, small tables", {}, kS2, s2(39, 3), kLegal},

      {"16", {}, kS2, s2(16, 2), kLegal},
      {"15", oas52, kS2, s2(15, 2), kBadSte},
      {"15, DS", ds, kS2, s2(15, 2, 0, {{IMS_STE_S2DS, 1}}), kLegal},
      {"12, DS", ds, kS2, s2(12, 2, 0, {{IMS_STE_S2DS, 1}}), kLegal},
      {"11, DS", ds, kS2, s2(11, 2, 0, {{IMS_STE_S2DS, 1}}), kBadSte},
      {"15, DS not implemented", oas52, kS2, s2(15, 2, 0, {{IMS_STE_S2DS, 1}}), kBadSte},
      {"12, 64 KB", oas52, kS2, s2(12, 2, 1), kLegal},
      {"11, 64 KB", oas52, kS2, s2(11, 2, 1), kBadSte},
      {"15, 64 KB, 48 bits", {}, kS2, s2(15, 2, 1), kBadSte},
      {"24, 40 bits", oas40, kS2, s2(24, 1), kLegal},
      {"23, 40 bits", oas40, kS2, s2(23, 1), kBadSte},
      {"24, 36 bits, AArch32 gives 40", oas36, kS2, s2(24, 1), kLegal},
      {"28, 36 bits", only64, kS2, s2(28, 1), kLegal},
      {"27, 36 bits", only64, kS2, s2(27, 1), kBadSte},
      {"version 0, 16", v0, kS2, s2(16, 2), kLegal},
      {"version 0, 15", v0, kS2, s2(15, 2), kBadSte},

      {"out of range, stage 1: ignored", stt0, kS1, s2(63, 3), kLegal},
  });
}

// DDI 0487 D8.2.2: the input sizes of each start level, the longest with sixteen tables concatenated.
TEST(SmmuSteLegality, Stage2StartLevelsAgreeWithInputSizes) {
  struct {
    unsigned tg, sl, ds, first, last; // S2T0SZ
    int level;
  } rows[] = {
      {0, 0, 0, 30, 42, 2},  {0, 1, 0, 21, 33, 1}, {0, 2, 0, 16, 24, 0}, {0, 3, 0, 39, 48, 3}, //
      {0, 4, 0, 30, 42, 2},  {0, 5, 0, 21, 33, 1}, {0, 6, 0, 16, 24, 0}, {0, 7, 0, 39, 48, 3}, // without DS: no bit 2
      {0, 0, 1, 30, 42, 2},  {0, 1, 1, 21, 33, 1}, {0, 2, 1, 12, 24, 0}, {0, 3, 1, 39, 48, 3}, //
      {0, 4, 1, 12, 15, -1}, {0, 5, 1, 1, 0, 0},   {0, 6, 1, 1, 0, 0},   {0, 7, 1, 1, 0, 0},   // 5 to 7: reserved
      {2, 0, 0, 35, 48, 3},  {2, 1, 0, 24, 38, 2}, {2, 2, 0, 16, 27, 1}, {2, 3, 0, 1, 0, 0},   //
      {2, 0, 1, 35, 48, 3},  {2, 1, 1, 24, 38, 2}, {2, 2, 1, 13, 27, 1}, {2, 3, 1, 12, 16, 0}, //
      {2, 4, 1, 35, 48, 3},  {1, 0, 0, 31, 47, 3}, {1, 1, 0, 18, 34, 2}, {1, 2, 0, 12, 21, 1}, //
      {1, 3, 0, 1, 0, 0},    {1, 2, 1, 12, 21, 1}, {1, 6, 1, 12, 21, 1},                       //
  };
  Unit unit({{&C::oas, 6}, {&C::ds, 1}});
  for (const auto &r : rows)
    for (unsigned t0sz = 0; t0sz < 64; t0sz++) {
      smmu_ste ste;
      unsigned event = unit.decode(an_ste(kS2, {{IMS_STE_S2T0SZ, t0sz},
                                                {IMS_STE_S2TG, r.tg},
                                                {IMS_STE_S2SL0, r.sl & 3},
                                                {IMS_STE_S2SL0_2, r.sl >> 2},
                                                {IMS_STE_S2DS, r.ds},
                                                {IMS_STE_S2PS, 6},
                                                {IMS_STE_S2TTB, 0}}),
                                   &ste);
      bool legal = r.first <= t0sz && t0sz <= r.last;
      ASSERT_EQ(event, legal ? kLegal : kBadSte)
          << "TG " << r.tg << " SL " << r.sl << " DS " << r.ds << " T0SZ " << t0sz;
      if (legal) {
        ASSERT_EQ(ims_vmsa_level(ste.s2.levels), r.level) << "TG " << r.tg << " SL " << r.sl << " T0SZ " << t0sz;
        ASSERT_EQ(ste.s2.in_bits, 64 - t0sz);
      }
    }
}

TEST(SmmuSteLegality, Stage2StartLevelsNeedOutputSizes) {
  auto s2 = [](unsigned tg, unsigned sl0, unsigned t0sz) {
    return SteEdits{{IMS_STE_S2TG, tg}, {IMS_STE_S2SL0, sl0}, {IMS_STE_S2T0SZ, t0sz}};
  };
  const Features oas40 = {{&C::oas, 2}}, oas42 = {{&C::oas, 3}}, oas44 = {{&C::oas, 4}};
  check({
      {"4 KB, level 0, 44 bits", oas44, kS2, s2(0, 2, 24), kLegal},
      {"4 KB, level 0, 42 bits", oas42, kS2, s2(0, 2, 24), kBadSte},
      {"4 KB, level 1, 42 bits", oas42, kS2, s2(0, 1, 24), kLegal},
      {"16 KB, level 1, 42 bits", oas42, kS2, s2(2, 2, 24), kLegal},
      {"16 KB, level 1, 40 bits", oas40, kS2, s2(2, 2, 24), kBadSte},
      {"64 KB, level 1, 44 bits", oas44, kS2, s2(1, 2, 21), kLegal},
  });
}

// AArch32: 4-bit signed sizes, two start levels.
TEST(SmmuSteLegality, Stage2AArch32Sizes) {
  Unit unit;
  for (unsigned sl0 = 0; sl0 < 4; sl0++)
    for (unsigned t0sz = 0; t0sz < 64; t0sz++) {
      smmu_ste ste;
      unsigned event = unit.decode(
          an_ste(kS2, {{IMS_STE_S2AA64, 0}, {IMS_STE_S2T0SZ, t0sz}, {IMS_STE_S2SL0, sl0}, {IMS_STE_S2PS, 0}}), &ste);
      unsigned low = t0sz & 15; // bits 5:4 are ignored
      unsigned bits = low < 8 ? 32 - low : 48 - low;
      bool legal = sl0 == 0 ? bits <= 34 : sl0 == 1 && bits >= 31;
      ASSERT_EQ(event, legal ? kLegal : kBadSte) << sl0 << " " << t0sz;
      if (legal) {
        ASSERT_EQ(ste.s2.in_bits, bits);
        ASSERT_EQ(ste.s2.out_bits, 40); // whatever S2PS says
        ASSERT_EQ(ims_vmsa_level(ste.s2.levels), sl0 == 0 ? 2 : 1);
        ASSERT_EQ(ste.s2.fmt, &unit.inside()->formats_v7.s2[0]);
      }
    }
}

TEST(SmmuSteLegality, Stage2Table) {
  const Features oas52 = {{&C::oas, 6}}, ds = {{&C::oas, 6}, {&C::ds, 1}}, v0 = {{&C::version, 0}};
  const Features only64 = {{&C::oas, 1}, {&C::ttf, 2}};
  auto at = [](unsigned bit, unsigned ps, SteEdits more = {}) {
    SteEdits edits = {{IMS_STE_S2TTB, 1ull << (bit - 4)}, {IMS_STE_S2PS, ps}};
    edits.insert(edits.end(), more.begin(), more.end());
    return edits;
  };
  const SteEdits aarch32 = {{IMS_STE_S2AA64, 0}, {IMS_STE_S2T0SZ, 8}};
  const SteEdits pages64k = {{IMS_STE_S2TG, 1}, {IMS_STE_S2T0SZ, 30}};
  check({
      {"below 32 bits", {}, kS2, at(31, 0), kLegal},
      {"beyond 32 bits", {}, kS2, at(32, 0), kBadSte},
      {"below 36 bits", {}, kS2, at(35, 1), kLegal},
      {"beyond 36 bits", {}, kS2, at(36, 1), kBadSte},
      {"beyond 40 bits", {}, kS2, at(40, 2), kBadSte},
      {"below 48 bits", {}, kS2, at(47, 5), kLegal},
      {"beyond 48 bits", {}, kS2, at(48, 5), kBadSte},
      {"capped to the output size", {}, kS2, at(48, 6), kBadSte},
      {"capped to an output size of 36 bits", only64, kS2, at(36, 5, {{IMS_STE_S2T0SZ, 30}}), kBadSte},
      {"beyond 48 bits, 4 KB", oas52, kS2, at(48, 6), kBadSte},
      {"beyond 48 bits, 64 KB", oas52, kS2, at(51, 6, pages64k), kLegal},
      {"beyond 48 bits, 64 KB, of 48", oas52, kS2, at(48, 5, pages64k), kBadSte},
      {"beyond 48 bits, DS", ds, kS2, at(51, 6, {{IMS_STE_S2DS, 1}}), kLegal},
      {"beyond 48 bits, 4 KB, DS off", ds, kS2, at(48, 6), kBadSte},
      {"beyond 48 bits, DS not implemented", oas52, kS2, at(48, 6, {{IMS_STE_S2DS, 1}}), kBadSte},
      {"reserved size acts as 52 bits", oas52, kS2, at(51, 7, pages64k), kLegal},
      {"version 0 has no such bits", v0, kS2, at(48, 5), kLegal},
      {"AArch32, below 40 bits", {}, kS2, at(39, 0, aarch32), kLegal},
      {"AArch32, beyond", {}, kS2, at(40, 5, aarch32), kBadSte},
      {"out of range, stage 1: ignored", {}, kS1, at(51, 0), kLegal},
      {"out of range, bypass: ignored", {}, kBypass, at(51, 0), kLegal},
  });
}

// ---- STE: what it says

TEST(SmmuSte, Abort) {
  for (unsigned config = 0; config < 4; config++) {
    smmu_ste ste = decoded_ste(config);
    EXPECT_EQ(ste.config, SMMU_CONFIG_ABORT);
    EXPECT_FALSE(ste.has_s1 || ste.has_s2);
  }
}

TEST(SmmuSte, Stages) {
  for (unsigned config = 4; config < 8; config++) {
    smmu_ste ste = decoded_ste(config);
    EXPECT_EQ(ste.config, config);
    EXPECT_EQ(ste.has_s1, config == kS1 || config == kNested);
    EXPECT_EQ(ste.has_s2, config == kS2 || config == kNested);
    EXPECT_EQ(ste.ias, 48);
    EXPECT_EQ(ste.s1ctxptr, ste.has_s1 ? kCds : 0);
    EXPECT_EQ(ste.s2r, ste.has_s2);
    EXPECT_EQ(ste.vmid, config == kBypass ? 0 : 7);
    EXPECT_EQ(ste.s2.levels, ste.has_s2 ? 3 : 0);
  }
}

TEST(SmmuSte, IntermediateSize) {
  EXPECT_EQ(decoded_ste(kBypass, {}, {{&C::oas, 1}, {&C::ttf, 2}}).ias, 36);
  EXPECT_EQ(decoded_ste(kBypass, {}, {{&C::oas, 1}, {&C::ttf, 3}}).ias, 40);
  EXPECT_EQ(decoded_ste(kBypass, {}, {{&C::oas, 5}, {&C::ttf, 1}}).ias, 40);
  EXPECT_EQ(decoded_ste(kBypass, {}, {{&C::oas, 6}}).ias, 52);
}

TEST(SmmuSte, Substreams) {
  smmu_ste ste = decoded_ste(kS1, {{IMS_STE_S1CDMAX, 12}, {IMS_STE_S1FMT, 2}, {IMS_STE_S1DSS, 1}});
  EXPECT_EQ(ste.s1cdmax, 12);
  EXPECT_EQ(ste.s1fmt, 2);
  EXPECT_EQ(ste.s1dss, SMMU_S1DSS_BYPASS);
  ste = decoded_ste(kS1, {{IMS_STE_S1CDMAX, 3}, {IMS_STE_S1FMT, 3}, {IMS_STE_S1DSS, 3}}); // both reserved
  EXPECT_EQ(ste.s1fmt, 0);
  EXPECT_EQ(ste.s1dss, SMMU_S1DSS_TERMINATE);
  ste = decoded_ste(kS1, {{IMS_STE_S1CDMAX, 0}, {IMS_STE_S1FMT, 1}, {IMS_STE_S1DSS, 2}});
  EXPECT_EQ(ste.s1fmt, 0);
  EXPECT_EQ(ste.s1dss, 0);
  ste = decoded_ste(kS1, {{IMS_STE_S1CDMAX, 31}, {IMS_STE_S1FMT, 1}}, {{&C::ssidsize, 0}});
  EXPECT_EQ(ste.s1cdmax, 0);
  EXPECT_EQ(ste.s1fmt, 0);
}

TEST(SmmuSte, EffectiveAts) {
  struct {
    unsigned config, eats, expected;
    uint64_t cr0;
    Features features;
  } rows[] = {
      {kS1, 0, SMMU_EATS_NONE, kAtschk, {}},
      {kS1, 1, SMMU_EATS_FULL, kAtschk, {}},
      {kS1, 1, SMMU_EATS_FULL, 0, {}},
      {kNested, 2, SMMU_EATS_SPLIT, kAtschk, {}},
      {kNested, 2, SMMU_EATS_NONE, 0, {}}, // translated traffic must be checked
      {kNested, 3, SMMU_EATS_NONE, kAtschk, {}},
      {kBypass, 1, SMMU_EATS_NONE, kAtschk, {}},
      {kS1, 1, SMMU_EATS_NONE, kAtschk, {{&C::ats, 0}, {&C::pri, 0}}},
  };
  for (const auto &r : rows) {
    Unit unit(r.features);
    unit.set("CR0", r.cr0);
    smmu_ste ste;
    ASSERT_EQ(unit.decode(an_ste(r.config, {{IMS_STE_EATS, r.eats}}), &ste), kLegal);
    EXPECT_EQ(ste.eats, r.expected) << r.config << " " << r.eats << " " << r.cr0;
  }
}

TEST(SmmuSte, WorldsAndTheirVmid) {
  struct {
    unsigned config, strw;
    uint64_t cr2;
    unsigned world, vmid;
    Features features;
  } rows[] = {
      {kS1, 0, kE2h, SMMU_EL1, 7, {}},
      {kS1, 2, 0, SMMU_EL2, 0, {}},
      {kS1, 2, kE2h, SMMU_EL2_E2H, 0, {}},
      {kNested, 2, kE2h, SMMU_EL1, 7, {}},
      {kS2, 2, 0, SMMU_EL1, 7, {}},
      {kS1, 2, kE2h, SMMU_EL1, 7, {{&C::hyp, 0}}},
      {kS1, 0, 0, SMMU_EL1, 0, {{&C::s2p, 0}}},
  };
  for (const auto &r : rows) {
    Unit unit(r.features);
    unit.set("CR2", r.cr2);
    smmu_ste ste;
    ASSERT_EQ(unit.decode(an_ste(r.config, {{IMS_STE_STRW, r.strw}}), &ste), kLegal);
    EXPECT_EQ(ste.world, r.world) << r.config << " " << r.strw << " " << r.cr2;
    EXPECT_EQ(ste.vmid, r.vmid) << r.config << " " << r.strw << " " << r.cr2;
  }
}

TEST(SmmuSte, OverridesOfAttributes) {
  const SteEdits edits = {{IMS_STE_MTCFG, 1},   {IMS_STE_MEMATTR, 5}, {IMS_STE_ALLOCCFG, 0xd}, {IMS_STE_SHCFG, 3},
                          {IMS_STE_PRIVCFG, 2}, {IMS_STE_INSTCFG, 3}, {IMS_STE_S1STALLD, 1},   {IMS_STE_MEV, 1}};
  smmu_ste ste = decoded_ste(kBypass, edits);
  EXPECT_EQ(ste.mtcfg, 1);
  EXPECT_EQ(ste.memattr, 5);
  EXPECT_EQ(ste.alloccfg, 0xd);
  EXPECT_EQ(ste.shcfg, 3);
  EXPECT_EQ(ste.privcfg, 2);
  EXPECT_EQ(ste.instcfg, 3);
  EXPECT_TRUE(ste.mev);
  EXPECT_FALSE(ste.s1stalld);
  ste = decoded_ste(kBypass, edits, {{&C::attr_types_ovr, 0}});
  EXPECT_EQ(ste.mtcfg, 0);
  EXPECT_EQ(ste.memattr, 0);
  EXPECT_EQ(ste.alloccfg, 0);
  EXPECT_EQ(ste.shcfg, 1); // as incoming
  EXPECT_EQ(ste.privcfg, 2);
  ste = decoded_ste(kBypass, edits, {{&C::attr_perms_ovr, 0}});
  EXPECT_EQ(ste.shcfg, 3);
  EXPECT_EQ(ste.privcfg, 0);
  EXPECT_EQ(ste.instcfg, 0);
  ste = decoded_ste(kBypass, {{IMS_STE_MTCFG, 0},
                              {IMS_STE_MEMATTR, 5},
                              {IMS_STE_ALLOCCFG, 7},
                              {IMS_STE_SHCFG, 0},
                              {IMS_STE_PRIVCFG, 1},
                              {IMS_STE_INSTCFG, 1}});
  EXPECT_EQ(ste.memattr, 0);
  EXPECT_EQ(ste.alloccfg, 0); // bit 3 says that it counts
  EXPECT_EQ(ste.shcfg, 0);
  EXPECT_EQ(ste.privcfg, 0); // reserved
  EXPECT_EQ(ste.instcfg, 0); // reserved
  for (unsigned reserved : {4u, 8u, 12u})
    EXPECT_EQ(decoded_ste(kS1, {{IMS_STE_MTCFG, 1}, {IMS_STE_MEMATTR, reserved}}).memattr, 0);
}

TEST(SmmuSte, AnswersOfThePageRequestQueue) {
  const Features none = {{&C::pps, 0}};
  EXPECT_TRUE(decoded_ste(kS1).ppar); // PPS
  EXPECT_FALSE(decoded_ste(kS1, {}, none).ppar);
  EXPECT_TRUE(decoded_ste(kS1, {{IMS_STE_PPAR, 1}}, none).ppar);
  EXPECT_FALSE(decoded_ste(kS1, {{IMS_STE_PPAR, 1}}, {{&C::pri, 0}}).ppar);
  EXPECT_FALSE(decoded_ste(kS1, {{IMS_STE_PPAR, 1}}, {{&C::ssidsize, 0}}).ppar);
}

TEST(SmmuSte, DestructiveReadsAndPrefetchesSinceVersion1) {
  const SteEdits edits = {{IMS_STE_DRE, 1}, {IMS_STE_DCP, 1}};
  EXPECT_TRUE(decoded_ste(kS1, edits).dre && decoded_ste(kS1, edits).dcp);
  EXPECT_FALSE(decoded_ste(kS1).dre || decoded_ste(kS1).dcp);
  smmu_ste old = decoded_ste(kS1, edits, {{&C::version, 0}});
  EXPECT_FALSE(old.dre || old.dcp);
}

TEST(SmmuSte, FaultModel) {
  smmu_ste ste = decoded_ste(kNested, {{IMS_STE_S2S, 1}, {IMS_STE_S1STALLD, 1}});
  EXPECT_TRUE(ste.s2s && ste.s2r && ste.s1stalld);
  ste = decoded_ste(kS2, {{IMS_STE_S2R, 0}, {IMS_STE_S1STALLD, 1}});
  EXPECT_FALSE(ste.s2s || ste.s2r || ste.s1stalld);
}

TEST(SmmuSte, Stage2OutputSize) {
  const unsigned expected[8] = {32, 36, 40, 42, 44, 48, 52, 52};
  for (unsigned ps = 0; ps < 8; ps++) {
    EXPECT_EQ(decoded_ste(kS2, {{IMS_STE_S2PS, ps}}, {{&C::oas, 6}}).s2.out_bits, expected[ps]);
    unsigned of_40 = expected[ps] < 40 ? expected[ps] : 40;
    EXPECT_EQ(decoded_ste(kS2, {{IMS_STE_S2PS, ps}}, {{&C::oas, 2}}).s2.out_bits, of_40);
    unsigned of_48 = expected[ps] < 48 ? expected[ps] : 48;
    EXPECT_EQ(decoded_ste(kS2, {{IMS_STE_S2PS, ps}}, {{&C::oas, 6}, {&C::version, 0}}).s2.out_bits, of_48);
  }
}

TEST(SmmuSte, Stage2RootIsAlignedToItsTables) {
  const uint64_t all = 0xfffffffffff0;
  struct {
    unsigned t0sz, sl0, tg, ps;
    uint64_t root;
  } rows[] = {
      {24, 1, 0, 5, 0xffffffffe000}, // 40 bits from level 1: two tables of 4 KB
      {25, 1, 0, 5, 0xfffffffff000}, // 39 bits: one
      {21, 1, 0, 5, 0xffffffff0000}, // 43 bits: sixteen
      {30, 0, 0, 5, 0xffffffff0000}, // 34 bits from level 2: sixteen
      {33, 1, 0, 5, 0xfffffffffff0}, // 31 bits from level 1: two entries
      {33, 1, 0, 6, 0xffffffffffc0}, // 52-bit outputs: 64 bytes at least
      {27, 1, 2, 5, 0xffffffff8000}, // 16 KB, 37 bits from level 2: two
      {31, 0, 1, 5, 0xfffffff00000}, // 64 KB, 33 bits from level 3: sixteen
  };
  for (const auto &r : rows)
    EXPECT_EQ(decoded_ste(kS2,
                          {{IMS_STE_S2T0SZ, r.t0sz},
                           {IMS_STE_S2SL0, r.sl0},
                           {IMS_STE_S2TG, r.tg},
                           {IMS_STE_S2PS, r.ps},
                           {IMS_STE_S2TTB, all >> 4}},
                          {{&C::oas, 6}})
                  .s2.root,
              r.root)
        << r.t0sz << " " << r.sl0 << " " << r.tg;
  EXPECT_EQ(decoded_ste(kS2, {{IMS_STE_S2TTB, 0xf00000020000 >> 4 | 1ull << 46}}, {{&C::version, 0}}).s2.root,
            0xf00000020000u); // bits above 47 do not exist
}

TEST(SmmuSte, Stage2Flags) {
  const uint32_t usual = IMS_PGT_AF_FAULTS | IMS_PGT_CONTIGUOUS;
  struct {
    unsigned config;
    SteEdits edits;
    uint32_t flags;
    unsigned a_bits, d_bit;
    Features features;
  } rows[] = {
      {kS2, {}, usual, 0, 0, {}},
      {kS2, {}, IMS_PGT_AF_FAULTS, 0, 0, {{&C::contiguous, 0}}},
      {kS2, {{IMS_STE_S2AFFD, 1}}, IMS_PGT_CONTIGUOUS, 0, 0, {}},
      {kS2, {{IMS_STE_S2HA, 1}}, IMS_PGT_CONTIGUOUS, IMS_VMSA_AF, 0, {}},
      {kS2, {{IMS_STE_S2HA, 1}, {IMS_STE_S2HD, 1}}, IMS_PGT_CONTIGUOUS, IMS_VMSA_AF, IMS_VMSA_S2AP_W, {}},
      {kS2, {{IMS_STE_S2HD, 1}}, usual, 0, 0, {}}, // acts as neither
      {kS2,
       {{IMS_STE_S2HA, 1}, {IMS_STE_S2HAFT, 1}},
       IMS_PGT_CONTIGUOUS | IMS_PGT_HAFT,
       IMS_VMSA_AF,
       0,
       {{&C::httu, 3}, {&C::version, 4}}},
      {kS2, {{IMS_STE_S2HA, 1}, {IMS_STE_S2HAFT, 1}}, IMS_PGT_CONTIGUOUS, IMS_VMSA_AF, 0, {}},
      {kS2, {{IMS_STE_S2FWB, 1}}, usual | IMS_PGT_FWB, 0, 0, {}},
      {kS2, {{IMS_STE_S2FWB, 1}}, usual, 0, 0, {{&C::fwb, 0}}},
      {kS2, {{IMS_STE_S2ENDI, 1}}, usual | IMS_PGT_BE, 0, 0, {}},
      {kNested, {{IMS_STE_S2PTW, 1}}, usual | IMS_PGT_PTW, 0, 0, {}},
      {kS2, {{IMS_STE_S2PTW, 1}}, usual, 0, 0, {}}, // of nested streams only
      {kS2, {{IMS_STE_S2AA64, 0}, {IMS_STE_S2T0SZ, 8}}, usual | IMS_PGT_AARCH32, 0, 0, {}},
  };
  for (const auto &r : rows) {
    SCOPED_TRACE(&r - rows);
    smmu_ste ste = decoded_ste(r.config, r.edits, r.features);
    EXPECT_EQ(ste.s2.flags, r.flags);
    EXPECT_EQ(ste.s2.a_bits, r.a_bits);
    EXPECT_EQ(ste.s2.d_bit, r.d_bit);
  }
}

TEST(SmmuSte, Stage2Formats) {
  Unit unit({{&C::oas, 6}, {&C::ds, 1}});
  const smmuv3 *s = unit.inside();
  auto format = [&](const SteEdits &edits) {
    smmu_ste ste;
    EXPECT_EQ(unit.decode(an_ste(kS2, edits), &ste), kLegal);
    return ste.s2.fmt;
  };
  EXPECT_EQ(format({}), &s->formats.s2[IMS_GRANULE_4K]);
  EXPECT_EQ(format({{IMS_STE_S2TG, 2}}), &s->formats.s2[IMS_GRANULE_16K]);
  EXPECT_EQ(format({{IMS_STE_S2TG, 1}, {IMS_STE_S2T0SZ, 24}}), &s->formats.s2[IMS_GRANULE_64K]);
  EXPECT_EQ(format({{IMS_STE_S2DS, 1}}), &s->formats.s2_ds[IMS_GRANULE_4K]);
  EXPECT_EQ(format({{IMS_STE_S2DS, 1}, {IMS_STE_S2TG, 2}}), &s->formats.s2_ds[IMS_GRANULE_16K]);
  EXPECT_EQ(format({{IMS_STE_S2DS, 1}, {IMS_STE_S2TG, 1}}), &s->formats.s2[IMS_GRANULE_64K]); // DS does not count
}

TEST(SmmuSte, Stage2Shareability) {
  const unsigned expected[4] = {0, 0, 2, 3}; // 1 is reserved
  for (unsigned sh = 0; sh < 4; sh++)
    EXPECT_EQ(decoded_ste(kS2, {{IMS_STE_S2SH0, sh}}).s2.sh, expected[sh]);
}

} // namespace
