// SPDX-License-Identifier: Apache-2.0
// What to translate ahead. A prefetcher sees requests as they have been translated, and says what might come next; the
// Iommu module translates that when a walker is idle, and gives up what would fault or set a bit in a table.
//
// To add one: a word in `prefetchers`, a number in PrefetchPolicy, a case in Prefetcher::suggest.
#pragma once

#include "iommu/iommu.h"

#include <unordered_map>
#include <vector>

namespace ims::model {

class Prefetcher {
public:
  Prefetcher(unsigned policy, unsigned degree) : policy_(policy), degree_(degree) {}

  bool on() const { return policy_ != 0; }

  // `r` was translated (2^shift bytes at a time), with a miss or not. Appends what to ask for.
  void suggest(const ims_request &r, unsigned shift, bool missed, std::vector<ims_request> *out);

private:
  struct Last {
    uint64_t iova = 0;
    int64_t stride = 0;
    bool seen = false;
  };
  struct Tenant {
    ims_request last = {};
    uint64_t successor = 0; // who came next the last time
    bool known = false;
  };
  void stride(const ims_request &r, std::vector<ims_request> *out);
  void tenant(const ims_request &r, std::vector<ims_request> *out);

  unsigned policy_, degree_;
  std::unordered_map<uint64_t, Last> last_; // by stream; looked up only
  std::unordered_map<uint64_t, Tenant> tenants_;
  uint64_t before_ = 0;
  bool any_ = false;
};

} // namespace ims::model
