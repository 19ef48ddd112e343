// SPDX-License-Identifier: Apache-2.0
#include "tests/iommu/vtd/world.h"

namespace vtd {

void map_guest(Tree &host, unsigned level, uint64_t bytes) {
  uint64_t size = uint64_t(1) << (12 + 9 * (level - 1));
  for (uint64_t gpa = 0; gpa < bytes; gpa += size)
    host.map(gpa, kGuestBase + gpa, kSsAll, level);
}

ScalableWorld::ScalableWorld(const Config &config)
    : Machine(config), first(*this, 4, kFsAll), second(*this, 4, kSsAll), guest(*this, 4, kFsAll, true),
      host(*this, 4, kSsAll), rid(*this, 4, kFsAll) {
  start(kScalable);
  Context c;
  c.rid_pasid = 5;
  set_context(kDevice, c);
  root_word = root_entry(kDevice);
  context = context_entry(kDevice);
  directory = directory_entry(kDevice, 1);

  first.map(kVa, kPage, kFsAll);
  rid.map(kVa, kPage, kFsAll);
  second.map(kVa, kPage, kSsAll);
  guest.map(kVa, kPage, kFsAll);
  map_guest(host, 1, 8 * MB); // 4 KB pages for the guest's tables
  host.map(kPage, kPage, kSsAll);

  PasidEntry e;
  e.pgtt = kFirst, e.did = 1, e.fs = first.root;
  set_pasid(kDevice, 1, e);
  e.did = 5, e.fs = rid.root;
  set_pasid(kDevice, 5, e);
  e = PasidEntry();
  e.pgtt = kSecond, e.did = 2, e.ss = second.root;
  set_pasid(kDevice, 2, e);
  e.pgtt = kNested, e.did = 3, e.ss = host.root, e.fs = guest.root;
  set_pasid(kDevice, 3, e);
  e = PasidEntry();
  e.pgtt = kPassThrough, e.did = 4;
  set_pasid(kDevice, 4, e);
}

LegacyWorld::LegacyWorld(const Config &config) : Machine(config), second(*this, 4, kSsAll) {
  start(kLegacy);
  second.map(kVa, kPage, kSsAll);
  LegacyContext c;
  c.did = 2, c.ss = second.root;
  set_context(kDevice, c);
  c.tt = 1;
  set_context(kAtsDevice, c);
  c.tt = 2, c.ss = 0, c.did = 4;
  set_context(kOtherDevice, c);
  root_word = root_entry(kDevice);
  context = context_entry(kDevice);
}

} // namespace vtd
