// SPDX-License-Identifier: Apache-2.0
// A unit over real tables for the benchmarks: one device, one PASID, a guest page table of 4 KB pages nested on a second
// stage of 4 KB pages, 4 levels each, accessed bits set as after a first use. For VT-d and for SMMUv3 alike.
#pragma once

#include "iommu/iommu.h"
#include "model/machine.h"
#include <cstdint>
#include <memory>
#include <vector>

namespace bench {

enum class Arch { Vtd, Smmuv3 };

class NestedMachine {
public:
  NestedMachine(Arch arch, bool caches, unsigned pages);
  ~NestedMachine();
  NestedMachine(const NestedMachine &) = delete;
  NestedMachine &operator=(const NestedMachine &) = delete;

  const std::vector<uint64_t> &iovas() const { return iovas_; }
  ims_request request(uint64_t iova) const;
  ims_iommu *unit() { return unit_; }
  ims_mem *memory() { return machine_.memory(); }

  // Where the 24 entries of a walk lie, in the order of their reading.
  std::vector<uint64_t> walk_addresses(uint64_t iova);

  // Invalidates the page through the unit's queue as a driver does, and looks for the completion.
  bool invalidate_page(uint64_t iova);

private:
  ims::model::Machine machine_;
  ims_iommu *unit_;
  std::vector<uint64_t> iovas_;
};

// `pages` are mapped at neighbouring guest addresses; iovas() has them in a random, fixed order. With caches == false only
// the caches of configuration structures are there, so that every translation walks its 24 entries.
std::unique_ptr<NestedMachine> nested_machine(Arch arch, bool caches, unsigned pages);

} // namespace bench
