// SPDX-License-Identifier: Apache-2.0
// VT-d PASID entries: where each field lies, and that reading and writing one leaves the others alone.
#include "pasid/vtd.h"
#include <array>
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <set>
#include <string>

namespace {

using Entry = std::array<uint64_t, IMS_VTD_PE_WORDS>;

ims_pasid_field pe_field(int i) { return static_cast<ims_pasid_field>(i); }
ims_pasid_dir_field pde_field(int i) { return static_cast<ims_pasid_dir_field>(i); }

// hi:lo as the specification prints them.
const std::map<std::string, std::pair<int, int>> kPasidEntry = {
    {"P", {0, 0}},       {"FPD", {1, 1}},       {"AW", {4, 2}},       {"SSEE", {5, 5}},       {"PGTT", {8, 6}},
    {"SSADE", {9, 9}},   {"SSPTPTR", {63, 12}}, {"DID", {79, 64}},    {"PWSNP", {87, 87}},    {"PGSNP", {88, 88}},
    {"CD", {89, 89}},    {"EMTE", {90, 90}},    {"EMT", {93, 91}},    {"PWT", {94, 94}},      {"PCD", {95, 95}},
    {"PAT", {127, 96}},  {"SRE", {128, 128}},   {"ERE", {129, 129}},  {"FSPM", {131, 130}},   {"WPE", {132, 132}},
    {"NXE", {133, 133}}, {"SMEP", {134, 134}},  {"EAFE", {135, 135}}, {"FSPTPTR", {191, 140}}};

const std::map<std::string, std::pair<int, int>> kDirectoryEntry = {
    {"P", {0, 0}}, {"FPD", {1, 1}}, {"SMPTBLPTR", {63, 12}}};

TEST(VtdPasidEntry, FieldsLieWhereTheSpecificationHasThem) {
  ASSERT_EQ(static_cast<size_t>(IMS_VTD_PE_FIELD_COUNT), kPasidEntry.size());
  for (int i = 0; i < IMS_VTD_PE_FIELD_COUNT; i++) {
    const ims_vtd_field *f = ims_vtd_pe_field(pe_field(i));
    ASSERT_NE(f, nullptr);
    ASSERT_TRUE(kPasidEntry.count(f->name)) << f->name;
    EXPECT_EQ(f->lsb, kPasidEntry.at(f->name).second) << f->name;
    EXPECT_EQ(f->lsb + f->width - 1, kPasidEntry.at(f->name).first) << f->name;
  }
}

TEST(VtdPasidDirectoryEntry, FieldsLieWhereTheSpecificationHasThem) {
  ASSERT_EQ(static_cast<size_t>(IMS_VTD_PDE_FIELD_COUNT), kDirectoryEntry.size());
  for (int i = 0; i < IMS_VTD_PDE_FIELD_COUNT; i++) {
    const ims_vtd_field *f = ims_vtd_pde_field(pde_field(i));
    ASSERT_NE(f, nullptr);
    ASSERT_TRUE(kDirectoryEntry.count(f->name)) << f->name;
    EXPECT_EQ(f->lsb, kDirectoryEntry.at(f->name).second) << f->name;
    EXPECT_EQ(f->lsb + f->width - 1, kDirectoryEntry.at(f->name).first) << f->name;
  }
}

TEST(VtdPasidEntry, FieldsDoNotOverlapAndTheRestIsReserved) {
  Entry used = {};
  for (int i = 0; i < IMS_VTD_PE_FIELD_COUNT; i++) {
    const ims_vtd_field *f = ims_vtd_pe_field(pe_field(i));
    for (int bit = f->lsb; bit < f->lsb + f->width; bit++) {
      ASSERT_EQ(used[bit / 64] >> bit % 64 & 1, 0u) << f->name << " bit " << bit;
      used[bit / 64] |= 1ull << bit % 64;
    }
  }
  EXPECT_EQ(~used[0], IMS_VTD_PE0_RESERVED);
  EXPECT_EQ(~used[1], IMS_VTD_PE1_RESERVED);
  EXPECT_EQ(~used[2], IMS_VTD_PE2_RESERVED);
  for (int word = 3; word < IMS_VTD_PE_WORDS; word++)
    EXPECT_EQ(used[word], 0u) << word;
}

TEST(VtdPasidDirectoryEntry, FieldsDoNotOverlapAndTheRestIsReserved) {
  uint64_t used = 0;
  for (int i = 0; i < IMS_VTD_PDE_FIELD_COUNT; i++) {
    uint64_t one = 0;
    ims_vtd_pde_set(&one, pde_field(i), ~0ull);
    EXPECT_EQ(used & one, 0u);
    used |= one;
  }
  EXPECT_EQ(~used, IMS_VTD_PDE_RESERVED);
}

TEST(VtdPasidEntry, NamesAreDistinctAndEachHasASentence) {
  std::set<std::string> names;
  for (int i = 0; i < IMS_VTD_PE_FIELD_COUNT; i++) {
    names.insert(ims_vtd_pe_field_name(pe_field(i)));
    EXPECT_GT(std::string(ims_vtd_pe_field_sentence(pe_field(i))).size(), 5u) << ims_vtd_pe_field_name(pe_field(i));
  }
  EXPECT_EQ(names.size(), static_cast<size_t>(IMS_VTD_PE_FIELD_COUNT));
  EXPECT_STREQ(ims_vtd_pe_field_name(IMS_VTD_PE_PGTT), "PGTT");
  EXPECT_STREQ(ims_vtd_pde_field_name(IMS_VTD_PDE_SMPTBLPTR), "SMPTBLPTR");
  EXPECT_STREQ(ims_vtd_pde_field_sentence(IMS_VTD_PDE_P), "present");
}

TEST(VtdPasidEntry, WhatIsNoFieldIsHarmless) {
  Entry pe;
  pe.fill(0x5555);
  Entry before = pe;
  EXPECT_EQ(ims_vtd_pe_field(IMS_VTD_PE_FIELD_COUNT), nullptr);
  EXPECT_STREQ(ims_vtd_pe_field_name(IMS_VTD_PE_FIELD_COUNT), "?");
  EXPECT_STREQ(ims_vtd_pe_field_sentence(IMS_VTD_PE_FIELD_COUNT), "");
  EXPECT_STREQ(ims_vtd_pde_field_name(IMS_VTD_PDE_FIELD_COUNT), "?");
  EXPECT_EQ(ims_vtd_pe_get(pe.data(), IMS_VTD_PE_FIELD_COUNT), 0u);
  ims_vtd_pe_set(pe.data(), IMS_VTD_PE_FIELD_COUNT, ~0ull);
  EXPECT_EQ(pe, before);
  uint64_t pde = 0x5555;
  ims_vtd_pde_set(&pde, IMS_VTD_PDE_FIELD_COUNT, ~0ull);
  EXPECT_EQ(pde, 0x5555u);
  EXPECT_EQ(ims_vtd_pde_get(pde, IMS_VTD_PDE_FIELD_COUNT), 0u);
}

TEST(VtdPasidEntry, AFieldIsSetWithoutTouchingTheOthers) {
  for (uint64_t fill : {0ull, ~0ull, 0x123456789abcdef0ull}) {
    for (int i = 0; i < IMS_VTD_PE_FIELD_COUNT; i++) {
      const ims_vtd_field *f = ims_vtd_pe_field(pe_field(i));
      uint64_t most = f->width == 64 ? ~0ull : (1ull << f->width) - 1;
      for (uint64_t value : {uint64_t{0}, uint64_t{1}, most, most / 3, ~uint64_t{0}}) {
        Entry pe;
        pe.fill(fill);
        ims_vtd_pe_set(pe.data(), pe_field(i), value);
        EXPECT_EQ(ims_vtd_pe_get(pe.data(), pe_field(i)), value & most) << f->name;
        for (int bit = 0; bit < 512; bit++) {
          bool in = bit >= f->lsb && bit < f->lsb + f->width;
          uint64_t want = in ? value >> (bit - f->lsb) & 1 : fill >> bit % 64 & 1;
          ASSERT_EQ(pe[bit / 64] >> bit % 64 & 1, want) << f->name << " bit " << bit;
        }
      }
    }
  }
}

TEST(VtdPasidEntry, FieldsMayCrossWords) {
  std::mt19937_64 rng(17);
  for (int round = 0; round < 20000; round++) {
    unsigned width = 1 + static_cast<unsigned>(rng() % 64), lsb = static_cast<unsigned>(rng() % (513 - width));
    Entry pe, before;
    for (uint64_t &word : pe)
      word = rng();
    before = pe;
    uint64_t value = rng();
    ims_bits_set(pe.data(), lsb, width, value);
    uint64_t got = ims_bits_get(pe.data(), lsb, width);
    for (unsigned bit = 0; bit < 512; bit++) {
      bool in = bit >= lsb && bit < lsb + width;
      uint64_t want = in ? value >> (bit - lsb) & 1 : before[bit / 64] >> bit % 64 & 1;
      ASSERT_EQ(pe[bit / 64] >> bit % 64 & 1, want) << lsb << "+" << width << " bit " << bit;
      if (in) {
        ASSERT_EQ(got >> (bit - lsb) & 1, want) << lsb << "+" << width << " bit " << bit;
      }
    }
    ASSERT_EQ(width < 64 ? got >> width : 0, 0u);
  }
}

TEST(VtdPasidEntry, MasksOfTheHotPathAreThoseOfTheTable) {
  const std::map<std::string, std::pair<int, uint64_t>> masks = {{"P", {0, IMS_VTD_PE0_P}},
                                                                 {"FPD", {0, IMS_VTD_PE0_FPD}},
                                                                 {"AW", {0, IMS_VTD_PE0_AW}},
                                                                 {"SSEE", {0, IMS_VTD_PE0_SSEE}},
                                                                 {"PGTT", {0, IMS_VTD_PE0_PGTT}},
                                                                 {"SSADE", {0, IMS_VTD_PE0_SSADE}},
                                                                 {"SSPTPTR", {0, IMS_VTD_PE0_SSPTPTR}},
                                                                 {"DID", {1, IMS_VTD_PE1_DID}},
                                                                 {"PWSNP", {1, IMS_VTD_PE1_PWSNP}},
                                                                 {"PGSNP", {1, IMS_VTD_PE1_PGSNP}},
                                                                 {"CD", {1, IMS_VTD_PE1_CD}},
                                                                 {"EMTE", {1, IMS_VTD_PE1_EMTE}},
                                                                 {"EMT", {1, IMS_VTD_PE1_EMT}},
                                                                 {"PWT", {1, IMS_VTD_PE1_PWT}},
                                                                 {"PCD", {1, IMS_VTD_PE1_PCD}},
                                                                 {"PAT", {1, IMS_VTD_PE1_PAT}},
                                                                 {"SRE", {2, IMS_VTD_PE2_SRE}},
                                                                 {"ERE", {2, IMS_VTD_PE2_ERE}},
                                                                 {"FSPM", {2, IMS_VTD_PE2_FSPM}},
                                                                 {"WPE", {2, IMS_VTD_PE2_WPE}},
                                                                 {"NXE", {2, IMS_VTD_PE2_NXE}},
                                                                 {"SMEP", {2, IMS_VTD_PE2_SMEP}},
                                                                 {"EAFE", {2, IMS_VTD_PE2_EAFE}},
                                                                 {"FSPTPTR", {2, IMS_VTD_PE2_FSPTPTR}}};
  ASSERT_EQ(masks.size(), static_cast<size_t>(IMS_VTD_PE_FIELD_COUNT));
  for (int i = 0; i < IMS_VTD_PE_FIELD_COUNT; i++) {
    Entry pe = {}, want = {};
    ims_vtd_pe_set(pe.data(), pe_field(i), ~0ull);
    auto [word, mask] = masks.at(ims_vtd_pe_field_name(pe_field(i)));
    want[word] = mask;
    EXPECT_EQ(pe, want) << ims_vtd_pe_field_name(pe_field(i));
  }
  EXPECT_EQ(IMS_VTD_PDE_P_MASK, 1u);
  EXPECT_EQ(IMS_VTD_PDE_FPD_MASK, 2u);
  EXPECT_EQ(IMS_VTD_PDE_SMPTBLPTR_MASK, 0xfffffffffffff000u);
}

// First-stage entry as Linux writes it for a process: P, PGTT 1, DID 1, PWSNP, 5 levels, WPE, PGD at 0x123456000.
TEST(VtdPasidEntry, AnEntryOfADriverReadsAsItWasMeant) {
  const Entry pe = {0x41, 0x800001, 0x0000000123456014, 0, 0, 0, 0, 0};
  EXPECT_TRUE(ims_vtd_pe_present(pe.data()));
  EXPECT_FALSE(ims_vtd_pe_fpd(pe.data()));
  EXPECT_EQ(ims_vtd_pe_pgtt(pe.data()), static_cast<unsigned>(IMS_VTD_PGTT_FIRST));
  EXPECT_EQ(ims_vtd_pe_did(pe.data()), 1u);
  EXPECT_EQ(ims_vtd_pe_get(pe.data(), IMS_VTD_PE_PWSNP), 1u);
  EXPECT_EQ(ims_vtd_pe_get(pe.data(), IMS_VTD_PE_PGSNP), 0u);
  EXPECT_EQ(ims_vtd_pe_fspm(pe.data()), 1u);
  EXPECT_EQ(ims_vtd_pe_get(pe.data(), IMS_VTD_PE_WPE), 1u);
  EXPECT_EQ(ims_vtd_pe_fsptptr(pe.data()), 0x123456000u);
  EXPECT_EQ(ims_vtd_pe_get(pe.data(), IMS_VTD_PE_FSPTPTR), 0x123456u);
}

TEST(VtdPasidEntry, HotPathGettersAgreeWithTheTable) {
  std::mt19937_64 rng(23);
  for (int round = 0; round < 1000; round++) {
    Entry pe;
    for (uint64_t &word : pe)
      word = rng();
    EXPECT_EQ(ims_vtd_pe_present(pe.data()), ims_vtd_pe_get(pe.data(), IMS_VTD_PE_P) != 0);
    EXPECT_EQ(ims_vtd_pe_fpd(pe.data()), ims_vtd_pe_get(pe.data(), IMS_VTD_PE_FPD) != 0);
    EXPECT_EQ(ims_vtd_pe_aw(pe.data()), ims_vtd_pe_get(pe.data(), IMS_VTD_PE_AW));
    EXPECT_EQ(ims_vtd_pe_pgtt(pe.data()), ims_vtd_pe_get(pe.data(), IMS_VTD_PE_PGTT));
    EXPECT_EQ(ims_vtd_pe_ssptptr(pe.data()), ims_vtd_pe_get(pe.data(), IMS_VTD_PE_SSPTPTR) << 12);
    EXPECT_EQ(ims_vtd_pe_did(pe.data()), ims_vtd_pe_get(pe.data(), IMS_VTD_PE_DID));
    EXPECT_EQ(ims_vtd_pe_fspm(pe.data()), ims_vtd_pe_get(pe.data(), IMS_VTD_PE_FSPM));
    EXPECT_EQ(ims_vtd_pe_fsptptr(pe.data()), ims_vtd_pe_get(pe.data(), IMS_VTD_PE_FSPTPTR) << 12);
    EXPECT_EQ(ims_vtd_pde_present(pe[0]), ims_vtd_pde_get(pe[0], IMS_VTD_PDE_P) != 0);
    EXPECT_EQ(ims_vtd_pde_table(pe[0]), ims_vtd_pde_get(pe[0], IMS_VTD_PDE_SMPTBLPTR) << 12);
  }
}

TEST(VtdPasidIndex, APasidIsCutIntoDirectoryAndTableIndex) {
  EXPECT_EQ(ims_vtd_pasid_dir_index(0), 0u);
  EXPECT_EQ(ims_vtd_pasid_dir_index(63), 0u);
  EXPECT_EQ(ims_vtd_pasid_dir_index(64), 1u);
  EXPECT_EQ(ims_vtd_pasid_dir_index(0xfffff), 0x3fffu);
  EXPECT_EQ(ims_vtd_pasid_dir_index(0xfff00000), 0u); // bits above 19 are none of a PASID
  EXPECT_EQ(ims_vtd_pasid_table_index(0xfffff), 63u);
  EXPECT_EQ(ims_vtd_pasid_table_index(64), 0u);
  EXPECT_EQ(ims_vtd_pasid_dir_offset(0xfffff), 0x1fff8u);
  EXPECT_EQ(ims_vtd_pasid_table_offset(0xfffff), 0xfc0u);
  EXPECT_EQ(ims_vtd_pasid_dir_offset(0x12345) / 8 * 64 + ims_vtd_pasid_table_offset(0x12345) / 64, 0x12345u);
}

TEST(VtdPasidIndex, PdtsSizesTheDirectory) {
  EXPECT_EQ(ims_vtd_pasid_dir_entries(0), 128u);
  EXPECT_EQ(ims_vtd_pasid_limit(0), 8192u);
  EXPECT_EQ(ims_vtd_pasid_dir_entries(7), 16384u);
  EXPECT_EQ(ims_vtd_pasid_limit(7), 1u << 20);
  for (unsigned pdts = 0; pdts < 8; pdts++)
    EXPECT_EQ(ims_vtd_pasid_limit(pdts), ims_vtd_pasid_dir_entries(pdts) * IMS_VTD_PE_COUNT);
}

TEST(VtdPgtt, ValuesHaveNames) {
  EXPECT_STREQ(ims_vtd_pgtt_name(IMS_VTD_PGTT_FIRST), "first-stage");
  EXPECT_STREQ(ims_vtd_pgtt_name(2), "second-stage");
  EXPECT_STREQ(ims_vtd_pgtt_name(3), "nested");
  EXPECT_STREQ(ims_vtd_pgtt_name(4), "pass-through");
  for (unsigned pgtt : {0u, 5u, 6u, 7u, 1000u})
    EXPECT_STREQ(ims_vtd_pgtt_name(pgtt), "reserved");
}

} // namespace
