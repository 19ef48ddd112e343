// SPDX-License-Identifier: Apache-2.0
// The knobs of caches, of all units: what each makes of the unit's caches.
#include "iommu/smmuv2/smmuv2.h"
#include "iommu/smmuv3/smmuv3.h"
#include "iommu/vtd/vtd.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

namespace {

// A unit of any architecture, and its knobs by name.
struct Arch {
  std::string name, context, pasid, nested, s1, s2; // context, pasid: "" where there is none
  const ims_option *(*rows)(unsigned);
  std::function<void(void *)> defaults;
  std::function<const char *(const void *)> check;
  std::function<int(ims_iommu **, const void *, ims_mem *)> make;
};

template <class Config, class Defaults, class Check, class Make>
Arch arch(std::vector<std::string> names, const ims_option *(*rows)(unsigned), Defaults defaults, Check check,
          Make make) {
  return {
      names[0],
      names[1],
      names[2],
      names[3],
      names[4],
      names[5],
      rows,
      [=](void *c) { defaults(static_cast<Config *>(c)); },
      [=](const void *c) { return check(static_cast<const Config *>(c)); },
      [=](ims_iommu **u, const void *c, ims_mem *m) { return make(u, static_cast<const Config *>(c), m, nullptr); }};
}

std::vector<Arch> arches() {
  return {arch<ims_vtd_config>({"vtd", "context", "pasid", "nested", "s1_psc", "s2_psc"}, ims_vtd_options,
                               ims_vtd_config_default, ims_vtd_config_check, ims_vtd_new),
          arch<ims_smmuv3_config>({"smmuv3", "ste", "cd", "ipa", "s1_walk", "s2_walk"}, ims_smmuv3_options,
                                  ims_smmuv3_config_default, ims_smmuv3_config_check, ims_smmuv3_new),
          arch<ims_smmuv2_config>({"smmuv2", "", "", "ipa", "s1_walk", "s2_walk"}, ims_smmuv2_options,
                                  ims_smmuv2_config_default, ims_smmuv2_config_check, ims_smmuv2_new)};
}

struct Unit {
  explicit Unit(const Arch &a) : arch_(a), config(4096) {
    ims_mem_init(&mem);
    a.defaults(config.data());
  }
  ~Unit() {
    ims_iommu_free(unit);
    ims_mem_fini(&mem);
  }
  Unit(const Unit &) = delete;
  Unit &operator=(const Unit &) = delete;
  Unit &set(const std::string &name, uint32_t value) {
    for (unsigned i = 0; const ims_option *o = arch_.rows(i); i++)
      if (name == o->name) {
        ims_option_set(config.data(), o, value);
        return *this;
      }
    ADD_FAILURE() << arch_.name << " has no " << name;
    return *this;
  }
  const char *wrong() { return arch_.check(config.data()); }
  const ims_cache &cache(unsigned id) {
    if (!unit) {
      EXPECT_EQ(IMS_ERR_OK, arch_.make(&unit, config.data(), &mem));
    }
    return unit->cache[id];
  }
  const Arch &arch_;
  alignas(8) std::vector<char> config;
  ims_mem mem;
  ims_iommu *unit = nullptr;
};

TEST(CacheKnobs, SizeEachLevelOfWalks) {
  for (const Arch &a : arches()) {
    Unit u(a);
    u.set(a.s1 + "_entries", 16).set(a.s1 + "_ways", 0).set("s1_l3_entries", 5).set(a.s2 + "_entries", 0);
    u.set("s2_l2_entries", 7).set(a.s2 + "_ways", 0);
    EXPECT_EQ(16u, u.cache(IMS_CACHE_S1_L2).entries) << a.name;
    EXPECT_EQ(5u, u.cache(IMS_CACHE_S1_L3).entries) << a.name;
    EXPECT_EQ(16u, u.cache(IMS_CACHE_S1_L5).entries) << a.name;
    EXPECT_EQ(7u, u.cache(IMS_CACHE_S2_L2).entries) << a.name;
    EXPECT_EQ(0u, u.cache(IMS_CACHE_S2_L3).entries) << a.name;
    EXPECT_EQ(1u << IMS_CACHE_S2_L2, u.unit->caches >> IMS_CACHE_S2_L2 << IMS_CACHE_S2_L2) << a.name;
  }
}

TEST(CacheKnobs, ChooseLevelsOfWalks) {
  for (const Arch &a : arches()) {
    Unit u(a);
    u.set(a.s1 + "_levels", 5).set(a.s2 + "_levels", 8).set("s1_l3_entries", 9);
    u.cache(0);
    EXPECT_EQ(5u, u.unit->caches >> IMS_CACHE_S1_L2 & 15) << a.name << ": a size does not bring back a level";
    EXPECT_EQ(8u, u.unit->caches >> IMS_CACHE_S2_L2 & 15) << a.name;
  }
}

TEST(CacheKnobs, ChooseReplacementByCache) {
  for (const Arch &a : arches()) {
    Unit u(a);
    u.set("replacement", IMS_REPLACE_FIFO).set("iotlb_replacement", IMS_REPLACE_RANDOM);
    u.set(a.nested + "_replacement", IMS_REPLACE_LRU).set(a.s2 + "_replacement", IMS_REPLACE_PLRU);
    u.set("utlb_entries", 4).set("utlb_replacement", IMS_REPLACE_PLRU);
    if (!a.context.empty()) {
      u.set(a.context + "_replacement", IMS_REPLACE_PLRU);
      EXPECT_EQ(IMS_REPLACE_PLRU, u.cache(IMS_CACHE_CONTEXT).replacement) << a.name;
      EXPECT_EQ(IMS_REPLACE_FIFO, u.cache(IMS_CACHE_PASID).replacement) << a.name;
    }
    EXPECT_EQ(IMS_REPLACE_RANDOM, u.cache(IMS_CACHE_IOTLB).replacement) << a.name;
    EXPECT_EQ(IMS_REPLACE_LRU, u.cache(IMS_CACHE_NESTED).replacement) << a.name;
    EXPECT_EQ(IMS_REPLACE_FIFO, u.cache(IMS_CACHE_S1_L3).replacement) << a.name << ": as all";
    EXPECT_EQ(IMS_REPLACE_PLRU, u.cache(IMS_CACHE_S2_L4).replacement) << a.name;
    EXPECT_EQ(IMS_REPLACE_PLRU, u.cache(IMS_CACHE_UTLB).replacement) << a.name;
  }
}

TEST(CacheKnobs, DivideCaches) {
  for (const Arch &a : arches()) {
    Unit u(a);
    u.set("iotlb_partitions", 4).set(a.s1 + "_partitions", 2);
    EXPECT_EQ(4u, u.cache(IMS_CACHE_IOTLB).partitions) << a.name;
    EXPECT_EQ(2048u, u.cache(IMS_CACHE_IOTLB).entries) << a.name;
    EXPECT_EQ(1u << IMS_CACHE_IOTLB | 15u << IMS_CACHE_S1_L2, u.unit->tenants) << a.name;
    ims_iommu_tenant(u.unit, 6);
    EXPECT_EQ(2u * 64, u.cache(IMS_CACHE_IOTLB).base) << a.name << ": the third of four parts, 64 sets each";
    EXPECT_EQ(0u, u.cache(IMS_CACHE_S1_L2).base) << a.name;
  }
}

TEST(CacheKnobs, SaltBothLevelsOfTheIotlb) {
  for (const Arch &a : arches()) {
    Unit u(a);
    u.set("iotlb_hash_source", 1).set("utlb_entries", 8);
    u.cache(0);
    EXPECT_EQ(1u << IMS_CACHE_IOTLB | 1u << IMS_CACHE_UTLB, u.unit->tenants) << a.name;
    ims_iommu_tenant(u.unit, 3);
    uint32_t salt = u.cache(IMS_CACHE_IOTLB).salt;
    ims_iommu_tenant(u.unit, 4);
    EXPECT_NE(salt, u.cache(IMS_CACHE_IOTLB).salt) << a.name;
  }
}

TEST(CacheKnobs, PutAFirstLevelBeforeTheIotlb) {
  for (const Arch &a : arches()) {
    Unit without(a);
    EXPECT_EQ(nullptr, without.cache(IMS_CACHE_IOTLB).front) << a.name;
    EXPECT_EQ(0u, without.unit->caches >> IMS_CACHE_UTLB & 1);
    EXPECT_EQ(0u, without.unit->tenants);
    Unit u(a);
    u.set("utlb_entries", 8).set("utlb_ways", 2);
    EXPECT_EQ(8u, u.cache(IMS_CACHE_UTLB).entries) << a.name;
    EXPECT_EQ(2u, u.cache(IMS_CACHE_UTLB).ways) << a.name;
    EXPECT_EQ(&u.cache(IMS_CACHE_UTLB), u.cache(IMS_CACHE_IOTLB).front) << a.name;
    EXPECT_EQ(1u, u.unit->caches >> IMS_CACHE_UTLB & 1);
  }
}

TEST(CacheKnobs, AreChecked) {
  for (const Arch &a : arches()) {
    EXPECT_EQ(nullptr, Unit(a).wrong());
    for (std::string name : {a.context, a.pasid, std::string("iotlb"), a.nested, a.s1, a.s2, std::string("utlb")}) {
      if (name.empty())
        continue;
      Unit u(a);
      EXPECT_EQ(nullptr, u.set(name + "_partitions", 65536).wrong()) << a.name << " " << name;
      EXPECT_NE(nullptr, u.set(name + "_partitions", 6).wrong()) << a.name << " " << name;
    }
    Unit u(a);
    EXPECT_NE(nullptr, u.set("iotlb_entries", 0).set("utlb_entries", 4).wrong()) << a.name;
    EXPECT_NE(nullptr, Unit(a).set("iotlb_replacement", IMS_REPLACE_COMMON + 1).wrong()) << a.name;
    EXPECT_NE(nullptr, Unit(a).set("replacement", IMS_REPLACE_COMMON).wrong()) << a.name;
  }
}

} // namespace
