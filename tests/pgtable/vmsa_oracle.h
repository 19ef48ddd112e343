// SPDX-License-Identifier: Apache-2.0
// The oracle of VMSAv8-64: what one translation has to give, worked out the slow way from Arm DDI 0487 (D8.1 to D8.7,
// D8.15, and the pseudocode of J1.1.4 and J1.2.4) and, for translation requests, from IHI 0070. Levels are the
// architecture's, -1 to 3. It shares nothing with pgtable/: no constants, no types, no code. There are no caches here.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace vmsa_oracle {

// One word of memory as it lies there, or false where there is none.
using Load = std::function<bool(uint64_t addr, uint64_t &value)>;

struct Stage {
  uint64_t root = 0;
  int granule = 4; // KB
  int start_level = 0;
  int input_bits = 48, output_bits = 48;
  bool ds = false, lpa = false; // 52 bits with 4 and 16 KB, with 64 KB
  bool upper = false, big_endian = false;
  bool ha = false, hd = false, affd = false, haft = false;
  bool takes_contiguous = true;
  int sh = 0; // of leaves with DS
  // Stage 1.
  bool had = false, one_el = false, aarch32 = false;
  bool wxn = false, uwxn = false, pan = false, epan = false;
  uint64_t mair = 0;
  // Stage 2.
  bool xnx = false, ptw = false, fwb = false;
};

struct Request {
  uint64_t addr = 0;
  bool read = true, write = false, execute = false; // execute alone: an instruction
  bool privileged = false;
  bool query = false;     // a translation request: missing rights are no faults
  bool structure = false; // what is read through stage 2 alone is a context descriptor
};

enum class Cause { None, Translation, Range, Size, AccessFlag, Permission, External };
enum class During { Table, Update, Page };

constexpr int kNoLevel = 99;

struct Result {
  Cause cause = Cause::None;
  // Of a fault.
  int stage = 0, level = kNoLevel, for_level = kNoLevel; // for_level: of stage 1, when stage 2 is at fault
  bool start = false;                                    // at the start level of its stage
  During during = During::Page;
  uint64_t input = 0;
  // Of a success.
  uint64_t out = 0, page = 0;
  bool can_read = false, can_write = false, can_execute = false;
  bool first_dirty = true, second_dirty = true;
  std::string memory; // "Device-nGnRnE", or Normal as inner, outer and shareability: "iWB-RW oNC OSH"
  // Of both. Memory after the walk: the words that changed, as they lie there.
  std::vector<uint64_t> reads;
  std::map<uint64_t, uint64_t> written;
};

// Either stage may be null, not both.
Result translate(const Load &load, const Stage *first, const Stage *second, const Request &request);

// A memory type as a MAIR byte and SH, in the words of Result::memory.
std::string memory_name(unsigned mair, unsigned sh);

} // namespace vmsa_oracle
