// SPDX-License-Identifier: Apache-2.0
// A unit over real tables for the benchmarks: one device, one PASID, a guest page table of 4 KB pages nested on a second
// stage of 4 KB pages, 4 levels each, accessed bits set as after a first use. For VT-d and for SMMUv3 alike.
#pragma once

#include "iommu/iommu.h"
#include "pgtable/build.h"
#include "pgtable/pool.h"
#include <cstdint>
#include <memory>
#include <vector>

namespace bench {

enum class Arch { Vtd, Smmuv3 };

class NestedMachine {
public:
  virtual ~NestedMachine();
  NestedMachine(const NestedMachine &) = delete;
  NestedMachine &operator=(const NestedMachine &) = delete;

  const std::vector<uint64_t> &iovas() const { return iovas_; }
  virtual ims_request request(uint64_t iova) const = 0;
  ims_iommu *unit() { return unit_; }
  ims_mem *memory() { return &mem_; }

  // Where the 24 entries of a walk lie, in the order of their reading.
  std::vector<uint64_t> walk_addresses(uint64_t iova);

  // Invalidates the page through the unit's queue as a driver does, and looks for the completion.
  virtual bool invalidate_page(uint64_t iova) = 0;

protected:
  NestedMachine();
  // Maps `pages` neighbouring guest pages: s1 and s2 say all but their roots.
  void build(const ims_pgt &s1, const ims_pgt &s2, unsigned pages, unsigned flags1, unsigned flags2);
  uint64_t host_page(unsigned log2size = 12);
  uint64_t guest_page();
  uint64_t behind(uint64_t gpa); // hpa

  ims_mem mem_;
  ims_pgt s1_{}, s2_{};
  ims_iommu *unit_ = nullptr;

private:
  static int load(void *self, uint64_t gpa, uint64_t *value);
  static int store(void *self, uint64_t gpa, uint64_t value);
  static int alloc(void *self, unsigned log2size, uint64_t *gpa);
  static void release(void *self, uint64_t gpa, unsigned log2size);

  ims_page_pool pool_;
  ims_pgt_mem host_;
  unsigned flags2_ = 0;
  uint64_t next_gpa_ = 1ull << 32;
  std::vector<uint64_t> iovas_;
};

// `pages` are mapped at neighbouring guest addresses; iovas() has them in a random, fixed order. With caches == false only
// the caches of configuration structures are there, so that every translation walks its 24 entries.
std::unique_ptr<NestedMachine> nested_machine(Arch arch, bool caches, unsigned pages);

// Says what went wrong and ends the program, unless err is OK.
void check(int err, const char *what);

} // namespace bench
