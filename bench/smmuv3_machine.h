// SPDX-License-Identifier: Apache-2.0
// The benchmarks' machine with an SMMUv3: a linear stream table, a linear CD table behind the second stage.
#pragma once

#include "bench/nested_machine.h"
#include "pgtable/vmsa.h"

namespace bench {

class Smmuv3Machine : public NestedMachine {
public:
  Smmuv3Machine(bool caches, unsigned pages);
  ims_request request(uint64_t iova) const override;
  bool invalidate_page(uint64_t iova) override; // TLBI_NH_VA, leaf, and CMD_SYNC

private:
  ims_pgt_format s1_format_, s2_format_;
  uint64_t queue_, prod_ = 0;
};

} // namespace bench
