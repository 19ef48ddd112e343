// SPDX-License-Identifier: Apache-2.0
// The machine that most SMMUv2 tests start from, with everything in it in order.
#pragma once

#include "tests/support/smmuv2_machine.h"

namespace smmu2 {

// Streams, and their banks.
constexpr unsigned kFirst = 0x10, kSecond = 0x20, kBoth = 0x30;
constexpr unsigned kBankFirst = 4, kBankSecond = 1, kBankBoth = 5, kBankHost = 2;
constexpr unsigned kAsidFirst = 7, kVmidFirst = 3, kVmidSecond = 2, kAsidBoth = 8, kVmidBoth = 9;
constexpr uint64_t kVa = 0x12345678000; // mapped for all of them
constexpr uint64_t kPage = 0x2345000;   // where it leads

// Maps the first `bytes` of the guest's memory to where they lie, in leaves of this level.
void map_guest(Tree &host, uint64_t bytes = 8 * MB, int level = 3);

// kFirst: stage 1. kSecond: stage 2. kBoth: nested, with kBankHost for stage 2. AArch64, 48 bits each, 4 KB unless said
// otherwise. kVa leads to kPage (in kBoth through the same IPA), by pages of the granule.
struct World : Machine {
  explicit World(const Config &config = Config(), Granule g1 = k4K, Granule g2 = k4K);
  Tree first, second, guest, host;
};

} // namespace smmu2
