// SPDX-License-Identifier: Apache-2.0
// Machines that the tests of translation start from: one stream with a page mapped, everything in order. A test breaks one
// thing, or looks at what the walk reads. Structures and tables lie apart from each other, each in its own 64 KB, so that
// stage 2 can tell them apart whatever its granule.
#pragma once

#include "tests/support/smmu_machine.h"

namespace smmu {

constexpr uint32_t kStream = 0x47;      // not in the first leaf of a two-level stream table
constexpr uint32_t kSub = 70;           // not in the first leaf of a two-level CD table
constexpr uint64_t kGuestTop = 32 * MB; // the guest has a page here that nothing else uses
constexpr uint64_t kAlias = 1ull << 44; // kAlias + IPA is a second place for guest memory, mapped by move()

struct Plan {
  unsigned config = kNested;
  Shape s1, s2;             // in_guest and stage2 follow from config
  int leaf1 = 3, leaf2 = 3; // levels of the leaves
  bool stream_two_level = false;
  bool substreams = false; // CD table, requests have SubstreamID kSub; else one CD and none
  unsigned s1fmt = 0;      // of that table: 1 and 2 have two levels
  uint64_t bits1 = kS1All, bits2 = kS2All;
  bool upper = false; // stage 1 by TTB1
  uint64_t cr2 = 0;   // written before translation is enabled
};

Plan nested4k(); // 4 x 4 levels, 4 KB, both tables with two levels: the 36 references
Plan s1_only();
Plan s2_only();

// The nested, stage-1 or stage-2 stream kStream. With stage 2, IPA 0 ... 64 MB is guest memory, and only what is used of
// it is mapped.
struct World : Machine {
  explicit World(const Plan &plan = nested4k(), const Config &config = Config().no_caches());
  const Plan plan;
  Ste ste;
  Cd cd;
  Tree s1, s2;
  uint64_t va, ipa, out; // byte asked for, in the three spaces; the same offset within the page

  bool has_s1() const { return plan.config & 1; }
  bool has_s2() const { return plan.config & 2; }
  ims_request ask(unsigned access = IMS_ACC_R) const;
  ims_request ask(unsigned access, uint64_t at) const;
  void update_ste() { set_ste(kStream, ste); }
  void update_cd() { set_cd(kStream, plan.substreams ? kSub : 0, cd); }
  uint64_t cd_hpa() { return cd_at(kStream, plan.substreams ? kSub : 0); }
  uint64_t leaf1() { return s1.at(va, plan.leaf1); } // hpa of the descriptors that map the page
  uint64_t leaf2() { return s2.at(ipa, plan.leaf2); }
  void map_guest(uint64_t ipa, uint64_t bits);            // one leaf of stage 2
  void map_all();                                         // all guest memory that is used so far
  void off(ims_smmuv3_reg r, uint64_t value);             // writes a register that wants translation to be off
  ims_result ok(unsigned access = IMS_ACC_R);             // the request goes through to `out`
  ims_result fails(const ims_request &r, const Event &e); // recorded, as this and nothing else; aborted

  // What stage 2 is asked for on the way, in order: L1CD, CD, the tables of stage 1 from the top, the page.
  struct Target {
    std::string name;
    Class what;
    uint64_t ipa;
    int level; // of the stage-1 table; else 0
  };
  std::vector<Target> targets();
  // Lets the pointer to the i-th target lead to the same memory at kAlias, which stage 2 maps for it alone.
  void move(unsigned i);
};

} // namespace smmu
