// SPDX-License-Identifier: Apache-2.0
// The benchmarks' machine with a VT-d unit in scalable mode.
#pragma once

#include "bench/nested_machine.h"

namespace bench {

class VtdMachine : public NestedMachine {
public:
  VtdMachine(bool caches, unsigned pages);
  ims_request request(uint64_t iova) const override;
  bool invalidate_page(uint64_t iova) override; // P_IOTLB and a wait

private:
  ims_pgt_format fs_, ss_;
  uint64_t queue_, status_, tail_ = 0;
};

} // namespace bench
