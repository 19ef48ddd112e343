// SPDX-License-Identifier: Apache-2.0
// One translation told step by step: collected while the engine runs, then printed for a person or read by a program. It
// drives nothing itself: whoever steps a translation hands the steps over.
#pragma once

#include "trace/arch.h"
#include "trace/structure.h"
#include <iosfwd>

namespace ims {

struct ExplainStyle {
  bool colour = false;
  bool refs_only = false; // the reads and the answer, nothing else
  unsigned width = 100;   // columns
};

struct Explain {
  // A step as it was answered.
  struct Step {
    ims_step_kind kind; // READ, UPDATE, PROBE, FILL
    ims_step step;
    bool ok, hit;
    unsigned ref;      // reads: the running count of references
    std::string title; // "second-stage level 3 for first-stage level 4 table"
    std::vector<uint64_t> words;
    std::vector<Field> fields; // of structures
    std::string bits;          // of paging entries: "P RW US A"; of updates, what they did
    std::string follows;       // "-> 0x5000", "4 KB page 0x7000", "not present"
    bool bad = false;          // of paging entries: the walk ends here
    ims_tlb_value value;       // of a probe that hit, or a fill
  };

  const Arch *arch = nullptr;
  ims_request request = {};
  ims_result result = {};
  std::vector<Step> steps;
  std::vector<std::string> preamble; // what registers decide before anything is read: a line each

  // Stages of the walk, once there was one (levels == 0: no such stage); leaf: the level the first stage ended at, or 0.
  struct Stage {
    unsigned levels = 0, in_bits = 0, leaf = 0;
    bool sign = false;     // upper bits repeat the topmost one
    bool ones = false;     // upper bits are ones (TTB1)
    bool top_byte = false; // the topmost byte is ignored
    bool big_endian = false;
    const ims_pgt_format *format = nullptr;  // the unit's; NULL: 9 bits a level and pages of 4 KB
    int (*number)(unsigned level) = nullptr; // how the architecture counts; NULL: as the walk does
    unsigned shift(unsigned level) const;
    int name(unsigned level) const { return number ? number(level) : static_cast<int>(level); }
  } first, second;

  void begin(const ims_xlate &x);                    // behind ims_xlate_begin
  void step(const ims_xlate &x, ims_step_kind kind); // each step, when it has been answered
  void end(const ims_xlate &x);                      // behind ims_xlate_finish

  void print(std::ostream &out, const ExplainStyle &style) const;

  unsigned reads(unsigned structure) const; // how many reads of enum ims_structure

  // Two stages: a step of the second serves the first, or a structure behind it.
  bool nested() const { return nested_; }

private:
  void read(const ims_xlate &x, Step *t);
  std::string title(const ims_step &s) const;
  bool nested_ = false;
};

// Translates, and tells: begin, step, answer, finish. Returns what ims_translate would.
ims_result explain(ims_iommu *u, const ims_request &request, Explain *told);

// "a read of iova 0x... by 00:03.0 with PASID 5, privileged"
std::string request_text(const Arch &arch, const ims_request &request);

// How a requester is called: "00:03.0", "stream 0x18 (00:03.0)".
std::string requester_text(const Arch &arch, uint32_t source);

// What a fault comes to, in a sentence or two: whose table is at fault. Empty where the architecture's own words say it all.
std::string verdict(const Explain &told);

// The bits of an address as a stage takes them apart, drawn as a box of four lines. `stage.leaf`: the level whose entry is
// the page; below it, bits belong to the offset.
std::string address_split(const Explain::Stage &stage, uint64_t address);

} // namespace ims
