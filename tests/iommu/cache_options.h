// SPDX-License-Identifier: Apache-2.0
// The knobs that all units' caches have in common, at random, by their names.
#pragma once

#include "iommu/cache.h"
#include "iommu/option.h"

#include <random>
#include <string>

// Policies, parts, salting, levels and a first-level IOTLB. What sizes the unit's caches have already is left alone.
inline void random_cache_options(void *config, const ims_option *(*rows)(unsigned), std::mt19937_64 &random) {
  auto ends = [](const std::string &name, const std::string &with) {
    return name.size() > with.size() && name.compare(name.size() - with.size(), with.size(), with) == 0;
  };
  auto one_of = [&](std::initializer_list<uint32_t> values) { return values.begin()[random() % values.size()]; };
  uint32_t iotlb = 0;
  for (unsigned i = 0; const ims_option *o = rows(i); i++) {
    std::string name = o->name;
    uint32_t value = ims_option_get(config, o);
    if (name == "iotlb_entries")
      iotlb = value;
    else if (ends(name, "_replacement"))
      value = static_cast<uint32_t>(random() % (IMS_REPLACE_COMMON + 1));
    else if (ends(name, "_partitions"))
      value = one_of({0, 1, 2, 4, 16});
    else if (name == "iotlb_hash_source" || name == "iotlb_hash_domain")
      value = random() % 2;
    else if (ends(name, "_levels"))
      value = one_of({15, 15, 1, 5, 10, 0});
    else if (name.size() == 13 && ends(name, "_entries") && name[3] == 'l') // s1_l2_entries and so on
      value = one_of({0, 0, 1, 4, 9});
    else if (name == "utlb_entries")
      value = iotlb ? one_of({0, 1, 2, 4, 8}) : 0;
    else if (name == "utlb_ways")
      value = static_cast<uint32_t>(random() % 3);
    ims_option_set(config, o, value);
  }
}
