// SPDX-License-Identifier: Apache-2.0
// Machines that several VT-d tests start from, with everything in them in order.
#pragma once

#include "tests/support/vtd_machine.h"

namespace vtd {

constexpr unsigned kDevice = 0x0123;      // bus 1, devfn 0x23: lower half of the scalable root entry
constexpr unsigned kOtherDevice = 0x01a3; // the same bus, upper half
constexpr uint64_t kVa = 0x12345678000;   // mapped in all stages that take it
constexpr uint64_t kPage = 0x2345000;     // where it leads

// Scalable mode, translation on. kDevice has, by PASID = PGTT: 1 first-stage, 2 second-stage, 3 nested, 4 pass-through,
// each in the domain of that number; and RID_PASID 5, first-stage, domain 5. kVa leads to kPage, by 4 KB pages.
struct ScalableWorld : Machine {
  explicit ScalableWorld(const Config &config = Config());
  Tree first, second, guest, host;        // PASID 1, 2, 3 (guest: first stage, host: second stage)
  Tree rid;                               // PASID 5
  uint64_t root_word, context, directory; // hpa of the entries of kDevice
  uint64_t pasid(unsigned p) { return pasid_entry(kDevice, p); }
  ims_request ask(unsigned p, unsigned access = IMS_ACC_R, uint64_t va = kVa) { return dma(kDevice, p, va, access); }
};

// Legacy mode, translation on: kDevice has four second-stage levels (domain 2), kOtherDevice is passed through, and
// source 0x0200 has a device TLB (TT=01, domain 2, the same tables).
struct LegacyWorld : Machine {
  explicit LegacyWorld(const Config &config = Config());
  static constexpr unsigned kAtsDevice = 0x0200;
  Tree second;
  uint64_t root_word, context;
};

// What `second` of the guest's memory maps: gpa 0 .. kGuestSize to hpa kGuestBase, in leaves of this level.
void map_guest(Tree &host, unsigned level = 1, uint64_t bytes = kGuestSize);

} // namespace vtd
