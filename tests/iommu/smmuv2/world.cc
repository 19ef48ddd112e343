// SPDX-License-Identifier: Apache-2.0
#include "tests/iommu/smmuv2/world.h"

namespace smmu2 {

namespace {

Shape stage1(Granule g, bool in_guest) {
  Shape s;
  s.granule = g;
  s.in_guest = in_guest;
  return s;
}

Shape stage2(Granule g) {
  Shape s;
  s.granule = g;
  s.stage2 = true;
  return s;
}

} // namespace

void map_guest(Tree &host, uint64_t bytes, int level) {
  for (uint64_t ipa = 0; ipa < bytes; ipa += host.size(level))
    host.map(ipa, kGuestBase + ipa, kS2All, level);
}

World::World(const Config &config, Granule g1, Granule g2)
    : Machine(config), first(*this, smmu2::stage1(g1, false)), second(*this, smmu2::stage2(g2)),
      guest(*this, smmu2::stage1(g1, true)), host(*this, smmu2::stage2(g2)) {
  const uint64_t size1 = first.size(3), size2 = second.size(3);
  first.map(kVa & ~(size1 - 1), kPage & ~(size1 - 1), kS1All);
  second.map(kVa & ~(size2 - 1), kPage & ~(size2 - 1), kS2All);
  guest.map(kVa & ~(size1 - 1), kPage & ~(size1 - 1), kS1All);
  map_guest(host);
  for (uint64_t at = 0; at < (size1 > size2 ? size1 : size2); at += size2)
    host.map((kPage & ~(size1 - 1) & ~(size2 - 1)) + at, (kPage & ~(size1 - 1) & ~(size2 - 1)) + at, kS2All);

  stream_to(0, kFirst, kBankFirst);
  stream_to(1, kSecond, kBankSecond);
  stream_to(2, kBoth, kBankBoth);
  Stage1 s1;
  s1.asid = kAsidFirst, s1.vmid = kVmidFirst;
  Machine::stage1(kBankFirst, first, s1);
  Machine::stage2(kBankSecond, second, kVmidSecond);
  s1.asid = kAsidBoth, s1.vmid = kVmidBoth, s1.stage2 = static_cast<int>(kBankHost);
  Machine::stage1(kBankBoth, guest, s1);
  Machine::stage2(kBankHost, host, kVmidBoth);
  start();
}

} // namespace smmu2
