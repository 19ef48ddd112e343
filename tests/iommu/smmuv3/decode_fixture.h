// SPDX-License-Identifier: Apache-2.0
// For the tests of decoded STEs and CDs: a unit with features of choice, and structures that are legal until edited.
#pragma once

#include "iommu/smmuv3/smmuv3.h"
#include "mem/mem.h"
#include "pasid/smmu.h"
#include <array>
#include <gtest/gtest.h>
#include <string>
#include <utility>
#include <vector>

// The unit's inside is C: structs and functions may share a name there.
#define _Static_assert static_assert
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
extern "C" {
#include "iommu/smmuv3/smmuv3_internal.h"
}
#pragma GCC diagnostic pop
#undef _Static_assert

namespace smmuv3_decode {

using C = ims_smmuv3_config;
using Words = std::array<uint64_t, 8>;
using Features = std::vector<std::pair<uint32_t C::*, uint32_t>>;
using SteEdits = std::vector<std::pair<ims_ste_field, uint64_t>>;
using CdEdits = std::vector<std::pair<ims_cd_field, uint64_t>>;

enum { kBypass = 4, kS1 = 5, kS2 = 6, kNested = 7 };
constexpr unsigned kLegal = 0, kBadSte = IMS_SMMUV3_C_BAD_STE, kBadCd = IMS_SMMUV3_C_BAD_CD;
constexpr uint64_t kCds = 0x100000, kS2Table = 0x200000, kTable0 = 0x300000, kTable1 = 0x400000;

// A unit with the default features but for some. Both table formats are there.
class Unit {
public:
  explicit Unit(const Features &features = {}) {
    C config;
    ims_smmuv3_config_default(&config);
    config.ttf = 3;
    for (const auto &[feature, value] : features)
      config.*feature = value;
    EXPECT_EQ(ims_smmuv3_config_check(&config), nullptr) << ims_smmuv3_config_check(&config);
    EXPECT_EQ(ims_smmuv3_new(&unit_, &config, nullptr, nullptr), IMS_ERR_OK);
  }
  Unit(const Unit &) = delete;
  Unit &operator=(const Unit &) = delete;
  ~Unit() { ims_iommu_free(unit_); }

  Unit &set(const char *reg, uint64_t value) {
    EXPECT_EQ(ims_smmuv3_restore(unit_, reg, value), IMS_ERR_OK);
    ims_smmuv3_restored(unit_);
    return *this;
  }
  unsigned decode(const Words &w, smmu_ste *ste) const { return smmu_decode_ste(smmu_of(unit_), w.data(), ste); }
  unsigned decode(const smmu_ste &ste, const Words &w, smmu_cd *cd) const {
    return smmu_decode_cd(smmu_of(unit_), &ste, w.data(), cd);
  }
  const smmuv3 *inside() const { return smmu_of(unit_); }

private:
  ims_iommu *unit_ = nullptr;
};

constexpr uint64_t kAtschk = 1 << 4, kE2h = 1;

// An STE that every configuration accepts: stage 2 of 40 bits in 4 KB pages from level 1 on, two tables concatenated.
inline Words an_ste(unsigned config, const SteEdits &edits = {}) {
  Words w = {};
  ims_ste_set(w.data(), IMS_STE_V, 1);
  ims_ste_set(w.data(), IMS_STE_CONFIG, config);
  ims_ste_set_address(w.data(), IMS_STE_S1CONTEXTPTR, kCds);
  ims_ste_set(w.data(), IMS_STE_SHCFG, 1);
  ims_ste_set(w.data(), IMS_STE_S2VMID, 7);
  ims_ste_set(w.data(), IMS_STE_S2T0SZ, 24);
  ims_ste_set(w.data(), IMS_STE_S2SL0, 1);
  ims_ste_set(w.data(), IMS_STE_S2PS, 5);
  ims_ste_set(w.data(), IMS_STE_S2AA64, 1);
  ims_ste_set(w.data(), IMS_STE_S2R, 1);
  ims_ste_set_address(w.data(), IMS_STE_S2TTB, kS2Table);
  for (const auto &[field, value] : edits)
    ims_ste_set(w.data(), field, value);
  return w;
}

// A CD of two halves of 48 bits in 4 KB pages.
inline Words a_cd(const CdEdits &edits = {}) {
  Words w = {};
  ims_cd_set(w.data(), IMS_CD_V, 1);
  ims_cd_set(w.data(), IMS_CD_AA64, 1);
  ims_cd_set(w.data(), IMS_CD_T0SZ, 16);
  ims_cd_set(w.data(), IMS_CD_T1SZ, 16);
  ims_cd_set(w.data(), IMS_CD_TG1, 2);
  ims_cd_set(w.data(), IMS_CD_IPS, 5);
  ims_cd_set(w.data(), IMS_CD_A, 1);
  ims_cd_set(w.data(), IMS_CD_R, 1);
  ims_cd_set(w.data(), IMS_CD_ASID, 5);
  ims_cd_set_address(w.data(), IMS_CD_TTB0, kTable0);
  ims_cd_set_address(w.data(), IMS_CD_TTB1, kTable1);
  for (const auto &[field, value] : edits)
    ims_cd_set(w.data(), field, value);
  return w;
}

} // namespace smmuv3_decode
