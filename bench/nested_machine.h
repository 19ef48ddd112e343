// SPDX-License-Identifier: Apache-2.0
// A VT-d unit over real tables for the benchmarks: one device, one PASID, a guest page table of 4 KB pages nested on a
// second stage of 4 KB pages, 4 levels each, accessed bits set as after a first use.
#pragma once

#include "iommu/vtd/vtd.h"
#include "pgtable/pool.h"
#include <cstdint>
#include <vector>

namespace bench {

class NestedMachine {
public:
  // `pages` are mapped at neighbouring guest addresses; iovas() has them in a random, fixed order. With caches == false
  // only the context cache and the PASID cache are there, so that every translation walks its 24 entries.
  NestedMachine(bool caches, unsigned pages);
  ~NestedMachine();
  NestedMachine(const NestedMachine &) = delete;
  NestedMachine &operator=(const NestedMachine &) = delete;

  const std::vector<uint64_t> &iovas() const { return iovas_; }
  ims_request request(uint64_t iova) const;
  ims_iommu *unit() { return unit_; }
  ims_mem *memory() { return &mem_; }

  // Where the 24 entries of a walk lie, in the order of their reading.
  std::vector<uint64_t> walk_addresses(uint64_t iova);

  // Puts a page-selective PASID-based IOTLB invalidation and a wait into the queue, and looks for the status.
  bool invalidate_page(uint64_t iova);

private:
  static int load(void *self, uint64_t gpa, uint64_t *value);
  static int store(void *self, uint64_t gpa, uint64_t value);
  static int alloc(void *self, unsigned log2size, uint64_t *gpa);
  static void release(void *self, uint64_t gpa, unsigned log2size);
  uint64_t host_page(unsigned log2size = 12);
  uint64_t guest_page();

  ims_mem mem_;
  ims_page_pool pool_;
  ims_pgt_mem host_{};
  ims_pgt_format fs_format_, ss_format_;
  ims_pgt fs_{}, ss_{};
  ims_iommu *unit_ = nullptr;
  uint64_t next_gpa_ = 1ull << 32, queue_ = 0, status_ = 0, tail_ = 0;
  std::vector<uint64_t> iovas_;
};

} // namespace bench
