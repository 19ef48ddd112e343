// SPDX-License-Identifier: Apache-2.0
// The rows of all units' configurations: names, ranges, units and words hold together.
#include "iommu/cache.h"
#include "iommu/smmuv2/smmuv2.h"
#include "iommu/smmuv3/smmuv3.h"
#include "iommu/vtd/vtd.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace {

using Rows = const ims_option *(*)(unsigned);
constexpr Rows kUnits[] = {ims_vtd_options, ims_smmuv3_options, ims_smmuv2_options};

const ims_option *find(Rows rows, const std::string &name) {
  for (unsigned i = 0; const ims_option *o = rows(i); i++)
    if (name == o->name)
      return o;
  return nullptr;
}

TEST(Options, HoldTogether) {
  for (Rows rows : kUnits) {
    std::set<std::string> names;
    for (unsigned i = 0; const ims_option *o = rows(i); i++) {
      EXPECT_TRUE(names.insert(o->name).second) << o->name;
      EXPECT_LE(o->low, o->def) << o->name;
      EXPECT_LE(o->def, o->high) << o->name;
      EXPECT_NE(nullptr, o->unit) << o->name;
      EXPECT_LE(o->scale, 1u) << o->name;
      if (!o->words)
        continue;
      uint32_t words = 0;
      while (o->words[words])
        words++;
      EXPECT_EQ(o->high - o->low + 1, words) << o->name << ": a word for each value";
    }
  }
}

TEST(Options, SayTheirUnits) {
  for (Rows rows : kUnits) {
    EXPECT_STREQ("entries", find(rows, "iotlb_entries")->unit);
    EXPECT_STREQ("ways", find(rows, "iotlb_ways")->unit);
    EXPECT_STREQ("off", find(rows, "rights_from_cache")->words[0]);
    EXPECT_EQ(nullptr, find(rows, "iotlb_entries")->words);
  }
  EXPECT_STREQ("bits", find(ims_vtd_options, "haw")->unit);
}

TEST(Options, NameReplacementPolicies) {
  for (Rows rows : kUnits) {
    const ims_option *o = find(rows, "replacement");
    EXPECT_STREQ("lru", o->words[IMS_REPLACE_LRU]);
    EXPECT_STREQ("plru", o->words[IMS_REPLACE_PLRU]);
    EXPECT_STREQ("fifo", o->words[IMS_REPLACE_FIFO]);
    EXPECT_STREQ("random", o->words[IMS_REPLACE_RANDOM]);
  }
}

} // namespace
