// SPDX-License-Identifier: Apache-2.0
// SMMUv3 structures in memory: where each field lies, that reading and writing one leaves the others alone, and where
// entries of stream tables and CD tables are found.
#include "pasid/smmu.h"
#include <array>
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <set>
#include <string>

namespace {

using Words = std::array<uint64_t, 8>;
using Positions = std::map<std::string, std::pair<int, int>>;

// hi:lo as the specification prints them.
const Positions kSte = {
    {"V", {0, 0}},           {"CONFIG", {3, 1}},          {"S1FMT", {5, 4}},         {"S1CONTEXTPTR", {55, 6}},
    {"S1CDMAX", {63, 59}},   {"S1DSS", {65, 64}},         {"S1CIR", {67, 66}},       {"S1COR", {69, 68}},
    {"S1CSH", {71, 70}},     {"S2HWU59", {72, 72}},       {"S2HWU60", {73, 73}},     {"S2HWU61", {74, 74}},
    {"S2HWU62", {75, 75}},   {"DRE", {76, 76}},           {"CONT", {80, 77}},        {"DCP", {81, 81}},
    {"PPAR", {82, 82}},      {"MEV", {83, 83}},           {"SW_RESERVED", {87, 84}}, {"S1PIE", {88, 88}},
    {"S2FWB", {89, 89}},     {"S1MPAM", {90, 90}},        {"S1STALLD", {91, 91}},    {"EATS", {93, 92}},
    {"STRW", {95, 94}},      {"MEMATTR", {99, 96}},       {"MTCFG", {100, 100}},     {"ALLOCCFG", {104, 101}},
    {"SHCFG", {109, 108}},   {"NSCFG", {111, 110}},       {"PRIVCFG", {113, 112}},   {"INSTCFG", {115, 114}},
    {"S2VMID", {143, 128}},  {"S2T0SZ", {165, 160}},      {"S2SL0", {167, 166}},     {"S2IR0", {169, 168}},
    {"S2OR0", {171, 170}},   {"S2SH0", {173, 172}},       {"S2TG", {175, 174}},      {"S2PS", {178, 176}},
    {"S2AA64", {179, 179}},  {"S2ENDI", {180, 180}},      {"S2AFFD", {181, 181}},    {"S2PTW", {182, 182}},
    {"S2HD", {183, 183}},    {"S2HA", {184, 184}},        {"S2S", {185, 185}},       {"S2R", {186, 186}},
    {"S2HAFT", {187, 187}},  {"S2PIE", {188, 188}},       {"S2POE", {189, 189}},     {"DPT_VMATCH", {191, 190}},
    {"S2NSW", {192, 192}},   {"S2NSA", {193, 193}},       {"S2SL0_2", {194, 194}},   {"S2DS", {195, 195}},
    {"S2TTB", {243, 196}},   {"S2SKL", {254, 253}},       {"PARTID", {287, 272}},    {"S_S2T0SZ", {293, 288}},
    {"S_S2SL0", {295, 294}}, {"S_S2TG", {303, 302}},      {"MECID", {319, 304}},     {"PMG", {327, 320}},
    {"MPAM_NS", {328, 328}}, {"ASSUREDONLY", {329, 329}}, {"TL0", {330, 330}},       {"TL1", {331, 331}},
    {"VMSPTR", {375, 332}},  {"S2SW", {384, 384}},        {"S2SA", {385, 385}},      {"S_S2SL0_2", {386, 386}},
    {"S_S2TTB", {435, 388}}, {"S_S2SKL", {446, 445}},     {"S2POI", {511, 448}}};

const Positions kCd = {{"T0SZ", {5, 0}},       {"TG0", {7, 6}},        {"IR0", {9, 8}},        {"OR0", {11, 10}},
                       {"SH0", {13, 12}},      {"EPD0", {14, 14}},     {"ENDI", {15, 15}},     {"T1SZ", {21, 16}},
                       {"TG1", {23, 22}},      {"IR1", {25, 24}},      {"OR1", {27, 26}},      {"SH1", {29, 28}},
                       {"EPD1", {30, 30}},     {"V", {31, 31}},        {"IPS", {34, 32}},      {"AFFD", {35, 35}},
                       {"WXN", {36, 36}},      {"UWXN", {37, 37}},     {"TBI0", {38, 38}},     {"TBI1", {39, 39}},
                       {"PAN", {40, 40}},      {"AA64", {41, 41}},     {"HD", {42, 42}},       {"HA", {43, 43}},
                       {"S", {44, 44}},        {"R", {45, 45}},        {"A", {46, 46}},        {"ASET", {47, 47}},
                       {"ASID", {63, 48}},     {"NSCFG0", {64, 64}},   {"HAD0", {65, 65}},     {"E0PD0", {66, 66}},
                       {"HAFT", {67, 67}},     {"TTB0", {115, 68}},    {"PNCH", {122, 122}},   {"EPAN", {123, 123}},
                       {"HWU059", {124, 124}}, {"HWU060", {125, 125}}, {"HWU061", {126, 126}}, {"HWU062", {127, 127}},
                       {"NSCFG1", {128, 128}}, {"HAD1", {129, 129}},   {"E0PD1", {130, 130}},  {"AIE", {131, 131}},
                       {"TTB1", {179, 132}},   {"DS", {186, 186}},     {"PIE", {187, 187}},    {"HWU159", {188, 188}},
                       {"HWU160", {189, 189}}, {"HWU161", {190, 190}}, {"HWU162", {191, 191}}, {"MAIR0", {223, 192}},
                       {"MAIR1", {255, 224}},  {"AMAIR0", {287, 256}}, {"AMAIR1", {319, 288}}, {"PARTID", {367, 352}},
                       {"PMG", {375, 368}},    {"PIIU", {431, 384}},   {"PIIP", {495, 448}}};

const Positions kStreamL1 = {{"SPAN", {4, 0}}, {"L2PTR", {55, 6}}};
const Positions kCdL1 = {{"V", {0, 0}}, {"L2PTR", {55, 12}}};

// The four structures, each with the functions of its own.
struct Structure {
  const char *name;
  const ims_smmu_field *rows;
  unsigned count, bits;
  const Positions &positions;
  uint64_t (*get)(const Words &, unsigned);
  void (*set)(Words &, unsigned, uint64_t);
};

const Structure kStructures[] = {
    {"Ste", ims_ste_fields, IMS_STE_FIELD_COUNT, 512, kSte,
     [](const Words &w, unsigned f) { return ims_ste_get(w.data(), static_cast<ims_ste_field>(f)); },
     [](Words &w, unsigned f, uint64_t v) { ims_ste_set(w.data(), static_cast<ims_ste_field>(f), v); }},
    {"Cd", ims_cd_fields, IMS_CD_FIELD_COUNT, 512, kCd,
     [](const Words &w, unsigned f) { return ims_cd_get(w.data(), static_cast<ims_cd_field>(f)); },
     [](Words &w, unsigned f, uint64_t v) { ims_cd_set(w.data(), static_cast<ims_cd_field>(f), v); }},
    {"StreamL1", ims_stream_l1_fields, IMS_STREAM_L1_FIELD_COUNT, 64, kStreamL1,
     [](const Words &w, unsigned f) { return ims_stream_l1_get(w[0], static_cast<ims_stream_l1_field>(f)); },
     [](Words &w, unsigned f, uint64_t v) { ims_stream_l1_set(&w[0], static_cast<ims_stream_l1_field>(f), v); }},
    {"CdL1", ims_cd_l1_fields, IMS_CD_L1_FIELD_COUNT, 64, kCdL1,
     [](const Words &w, unsigned f) { return ims_cd_l1_get(w[0], static_cast<ims_cd_l1_field>(f)); },
     [](Words &w, unsigned f, uint64_t v) { ims_cd_l1_set(&w[0], static_cast<ims_cd_l1_field>(f), v); }},
};

class SmmuStructure : public testing::TestWithParam<Structure> {};

INSTANTIATE_TEST_SUITE_P(All, SmmuStructure, testing::ValuesIn(kStructures),
                         [](const auto &row) { return std::string(row.param.name); });

TEST_P(SmmuStructure, FieldsLieWhereTheSpecificationHasThem) {
  const Structure &s = GetParam();
  ASSERT_EQ(s.count, s.positions.size());
  for (unsigned i = 0; i < s.count; i++) {
    ASSERT_TRUE(s.positions.count(s.rows[i].name)) << s.rows[i].name;
    EXPECT_EQ(s.rows[i].lsb, s.positions.at(s.rows[i].name).second) << s.rows[i].name;
    EXPECT_EQ(s.rows[i].lsb + s.rows[i].width - 1, s.positions.at(s.rows[i].name).first) << s.rows[i].name;
  }
}

TEST_P(SmmuStructure, FieldsDoNotOverlap) {
  const Structure &s = GetParam();
  Words used = {};
  for (unsigned i = 0; i < s.count; i++) {
    Words one = {};
    s.set(one, i, ~0ull);
    unsigned bits = 0;
    for (unsigned word = 0; word < 8; word++) {
      EXPECT_EQ(used[word] & one[word], 0u) << s.rows[i].name;
      used[word] |= one[word];
      bits += static_cast<unsigned>(__builtin_popcountll(one[word]));
    }
    EXPECT_EQ(bits, s.rows[i].width) << s.rows[i].name;
  }
}

TEST_P(SmmuStructure, FieldsReadBackAndLeaveTheOthersAlone) {
  const Structure &s = GetParam();
  std::mt19937_64 random(3);
  for (unsigned i = 0; i < s.count; i++) {
    Words w = {};
    for (unsigned word = 0; word < s.bits / 64; word++)
      w[word] = random();
    const Words before = w;
    uint64_t value = random();
    s.set(w, i, value);
    EXPECT_EQ(s.get(w, i), value & (~0ull >> (64 - s.rows[i].width))) << s.rows[i].name;
    for (unsigned j = 0; j < s.count; j++)
      if (j != i) {
        EXPECT_EQ(s.get(w, j), s.get(before, j)) << s.rows[i].name << " changed " << s.rows[j].name;
      }
    s.set(w, i, s.get(before, i));
    EXPECT_EQ(w, before) << s.rows[i].name; // reserved bits as well
  }
}

TEST_P(SmmuStructure, NamesAreDistinctAndEachHasASentence) {
  const Structure &s = GetParam();
  std::set<std::string> names;
  for (unsigned i = 0; i < s.count; i++) {
    EXPECT_TRUE(names.insert(s.rows[i].name).second) << s.rows[i].name;
    EXPECT_STRNE(s.rows[i].sentence, "") << s.rows[i].name;
  }
}

TEST_P(SmmuStructure, ANumberThatIsNoFieldReadsZeroAndChangesNothing) {
  const Structure &s = GetParam();
  Words w;
  w.fill(~0ull);
  const Words before = w;
  EXPECT_EQ(s.get(w, s.count), 0u);
  s.set(w, s.count, 0);
  EXPECT_EQ(w, before);
}

TEST(SmmuSte, FieldsByNameInTheSourceAreThoseOfTheRows) {
  Words w;
  std::mt19937_64 random(5);
  for (uint64_t &word : w)
    word = random();
#define IMS_X(name, lsb, width, sentence) EXPECT_EQ(IMS_STE_GET(w.data(), name), ims_ste_get(w.data(), IMS_STE_##name));
  IMS_STE_FIELDS(IMS_X)
#undef IMS_X
#define IMS_X(name, lsb, width, sentence) EXPECT_EQ(IMS_CD_GET(w.data(), name), ims_cd_get(w.data(), IMS_CD_##name));
  IMS_CD_FIELDS(IMS_X)
#undef IMS_X
}

TEST(SmmuSte, AddressesAreInBytes) {
  Words w = {};
  ims_ste_set_address(w.data(), IMS_STE_S1CONTEXTPTR, 0x00123456789abcc0);
  EXPECT_EQ(w[0], 0x00123456789abcc0u);
  EXPECT_EQ(ims_ste_address(w.data(), IMS_STE_S1CONTEXTPTR), 0x00123456789abcc0u);
  ims_ste_set_address(w.data(), IMS_STE_S2TTB, 0x000f23456789abc0);
  EXPECT_EQ(w[3], 0x000f23456789abc0u);
  EXPECT_EQ(ims_ste_address(w.data(), IMS_STE_S2TTB), 0x000f23456789abc0u);
  ims_ste_set_address(w.data(), IMS_STE_VMSPTR, 0x00ff000000001000);
  EXPECT_EQ(ims_ste_address(w.data(), IMS_STE_VMSPTR), 0x00ff000000001000u);
  // Beyond the field, on either end.
  ims_ste_set_address(w.data(), IMS_STE_S2TTB, 0xfff000000000000f);
  EXPECT_EQ(ims_ste_address(w.data(), IMS_STE_S2TTB), 0u);
  EXPECT_EQ(w[3], 0u);
}

TEST(SmmuCd, AddressesAreInBytes) {
  Words w = {};
  ims_cd_set_address(w.data(), IMS_CD_TTB0, 0x000f23456789a000);
  ims_cd_set_address(w.data(), IMS_CD_TTB1, 0x000123456789b010);
  EXPECT_EQ(w[1], 0x000f23456789a000u);
  EXPECT_EQ(w[2], 0x000123456789b010u);
  EXPECT_EQ(ims_cd_address(w.data(), IMS_CD_TTB0), 0x000f23456789a000u);
  EXPECT_EQ(ims_cd_address(w.data(), IMS_CD_TTB1), 0x000123456789b010u);
}

// Where the entry of a stream lies. 6.3.24, 6.3.25, 5.1.
TEST(SmmuStreamTable, LinearEntriesFollowTheAlignedBase) {
  struct {
    uint64_t base;
    unsigned log2size;
    uint32_t sid;
    uint64_t at;
  } rows[] = {
      {0x10000, 0, 0, 0x10000},
      {0x10000, 4, 15, 0x103c0},
      {0x10040, 0, 0, 0x10040},                    // one entry: aligned to itself
      {0x10040, 1, 1, 0x10040},                    // two entries: bits 6:0 count as zero
      {0x123400, 8, 0xff, 0x120000 + 0xff * 0x40}, // 16 KB
      {0x123400, 60, 3, 0xc0},                     // a table larger than the address space
  };
  for (const auto &r : rows)
    EXPECT_EQ(ims_stream_linear_at(r.base, r.log2size, r.sid), r.at) << std::hex << r.base << " " << r.log2size;
}

TEST(SmmuStreamTable, SplitsAreSixEightAndTen) {
  for (unsigned split = 0; split < 32; split++)
    EXPECT_EQ(ims_stream_split(split), split == 8 ? 8u : split == 10 ? 10u : 6u) << split;
}

TEST(SmmuStreamTable, LevelOneDescriptorsByTheUpperBits) {
  struct {
    uint64_t base;
    unsigned log2size, split;
    uint32_t sid;
    uint64_t at;
  } rows[] = {
      {0x10000, 16, 6, 0x0000, 0x10000},
      {0x10000, 16, 6, 0x003f, 0x10000},
      {0x10000, 16, 6, 0x0040, 0x10008},
      {0x10000, 16, 6, 0xffff, 0x10000 + 1023 * 8},
      {0x11fff, 16, 6, 0x0000, 0x10000}, // 1024 descriptors: aligned to 8 KB
      {0x10000, 16, 8, 0x0100, 0x10008},
      {0x10000, 16, 8, 0xffff, 0x10000 + 255 * 8},
      {0x10000, 16, 10, 0x0400, 0x10008},
      {0x10000, 16, 7, 0x0040, 0x10008},                   // reserved: acts as 6
      {0x10048, 6, 6, 0x003f, 0x10040},                    // one descriptor: aligned to 64 bytes
      {0x100c0, 9, 6, 0x0040, 0x100c8},                    // eight descriptors: 64 bytes
      {0x100c0, 10, 6, 0x0040, 0x10088},                   // sixteen: 128
      {0x100c0, 4, 10, 0x000f, 0x100c0},                   // the split is above the size: one descriptor
      {1ull << 40, 32, 6, ~0u, (1ull << 40) + 0x1ffffff8}, // 2^26 descriptors
  };
  for (const auto &r : rows)
    EXPECT_EQ(ims_stream_l1_at(r.base, r.log2size, r.split, r.sid), r.at)
        << std::hex << r.base << " " << r.log2size << " " << r.split << " " << r.sid;
}

TEST(SmmuStreamTable, LeavesHaveTheEntriesThatSpanSays) {
  const uint64_t leaf = 0x0012345678900000;
  struct {
    unsigned span, split;
    uint32_t sid;
    bool found;
    uint64_t offset;
  } rows[] = {
      {0, 6, 0, false, 0},            // no leaf
      {1, 6, 0x40, true, 0},          // one entry
      {1, 6, 0x41, false, 0},         //
      {4, 6, 0x07, true, 7 * 64},     // eight entries
      {4, 6, 0x08, false, 0},         //
      {7, 6, 0xffff, true, 63 * 64},  // all of a split of 6
      {8, 6, 0, false, 0},            // more than the split has
      {9, 8, 0x1ff, true, 255 * 64},  //
      {10, 8, 0, false, 0},           //
      {11, 10, 0x3ff, true, 0xffc0},  //
      {11, 8, 0, false, 0},           //
      {12, 10, 0, false, 0},          // reserved
      {31, 10, 0, false, 0},          //
      {8, 7, 0, false, 0},            // reserved split: acts as 6
      {7, 7, 0x7f, true, 0x3f * 64},  //
      {11, 10, 0x7bff, true, 0xffc0}, // upper bits belong to the level above
  };
  for (const auto &r : rows) {
    uint64_t l1 = 0, at = 0;
    ims_stream_l1_set(&l1, IMS_STREAM_L1_SPAN, r.span);
    ims_stream_l1_set(&l1, IMS_STREAM_L1_L2PTR, leaf >> 6);
    ASSERT_EQ(ims_stream_l2_at(l1, r.split, r.sid, &at), r.found) << r.span << " " << r.split << " " << r.sid;
    if (r.found) {
      EXPECT_EQ(at, leaf + r.offset) << r.span << " " << r.split << " " << r.sid;
    }
  }
}

TEST(SmmuStreamTable, ALeafIsAlignedToItsSize) {
  uint64_t at = 0, l1 = 0xff00000000003fc0 | 7; // 64 entries, 4 KB; bits 63:56 are no address
  ASSERT_TRUE(ims_stream_l2_at(l1, 6, 1, &at));
  EXPECT_EQ(at, 0x3040u);
  l1 = 0x3fc0 | 1;
  ASSERT_TRUE(ims_stream_l2_at(l1, 6, 0, &at));
  EXPECT_EQ(at, 0x3fc0u);
}

// Where the CD of a substream lies. 5.2 (S1Fmt), 5.3.
TEST(SmmuCdTable, LinearEntriesFollowTheAlignedBase) {
  EXPECT_EQ(ims_cd_linear_at(0x12345c0, 0, 0), 0x12345c0u);
  EXPECT_EQ(ims_cd_linear_at(0x12345c0, 1, 1), 0x12345c0u); // two CDs: 128 bytes
  EXPECT_EQ(ims_cd_linear_at(0x1000000, 10, 0x3ff), 0x100ffc0u);
  EXPECT_EQ(ims_cd_linear_at(0x40000000, 20, 0xfffff), 0x40000000u + 0x3ffffc0u);
}

TEST(SmmuCdTable, TwoLevels) {
  struct {
    unsigned fmt, s1cdmax;
    uint32_t ssid;
    uint64_t l1_at, l2_at;
  } rows[] = {
      {1, 1, 1, 0, 0x40},                                 // up to 6 bits: one descriptor
      {1, 6, 63, 0, 63 * 64},                             //
      {1, 7, 64, 8, 0},                                   //
      {1, 10, 0x3ff, 15 * 8, 63 * 64},                    //
      {1, 20, 0xfffff, 16383 * 8, 63 * 64},               // 128 KB of descriptors
      {1, 20, 0x12345, (0x12345 >> 6) * 8, 5 * 64},       //
      {2, 10, 0x3ff, 0, 0xffc0},                          // up to 10 bits: one descriptor
      {2, 11, 0x400, 8, 0},                               //
      {2, 20, 0xfffff, 1023 * 8, 0xffc0},                 // 8 KB of descriptors
      {2, 20, 0x12345, (0x12345 >> 10) * 8, 0x345 * 64u}, //
  };
  const uint64_t table = 0x80000000, leaf = 0x90000000;
  for (const auto &r : rows) {
    EXPECT_EQ(ims_cd_l1_at(table, r.fmt, r.s1cdmax, r.ssid), table + r.l1_at) << r.fmt << " " << r.ssid;
    uint64_t l1 = 0;
    ims_cd_l1_set(&l1, IMS_CD_L1_V, 1);
    ims_cd_l1_set(&l1, IMS_CD_L1_L2PTR, leaf >> 12);
    EXPECT_TRUE(ims_cd_l1_valid(l1));
    EXPECT_EQ(ims_cd_l2_at(l1, r.fmt, r.ssid), leaf + r.l2_at) << r.fmt << " " << r.ssid;
  }
  EXPECT_FALSE(ims_cd_l1_valid(leaf));
}

TEST(SmmuCdTable, TheUpperLevelIsAlignedToItsSizeOr64Bytes) {
  EXPECT_EQ(ims_cd_l1_at(0x100c0, 1, 9, 0), 0x100c0u);   // eight descriptors
  EXPECT_EQ(ims_cd_l1_at(0x100c0, 1, 10, 0), 0x10080u);  // sixteen
  EXPECT_EQ(ims_cd_l1_at(0x100c0, 2, 13, 0), 0x100c0u);  // eight
  EXPECT_EQ(ims_cd_l1_at(0x100c0, 2, 14, 0), 0x10080u);  // sixteen
  EXPECT_EQ(ims_cd_l1_at(0x3ffc0, 1, 20, 0), 0x20000u);  // 128 KB
  EXPECT_EQ(ims_cd_l1_at(0x100c0, 1, 2, 0x3), 0x100c0u); // one descriptor
}

TEST(SmmuCdTable, LeavesAreAlignedToTheirSize) {
  const uint64_t l1 = 0xff0000000001ff01; // bits 63:56 and 11:1 are no address
  EXPECT_EQ(ims_cd_l2_at(l1, 1, 0), 0x1f000u);
  EXPECT_EQ(ims_cd_l2_at(l1, 2, 0), 0x10000u); // bits 15:12 as well
}

} // namespace
