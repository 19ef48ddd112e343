// SPDX-License-Identifier: Apache-2.0
// The oracle: what one translation has to give, worked out the slow way from the rules of VT-d rev 4.1, sections 3.6 to
// 3.8 and 9.7 ff. It shares nothing with pgtable/: no constants, no types, no code. It recurses, allocates, and keeps
// every step it took. There are no caches here.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

namespace oracle {

// One word of memory, or false where there is none.
using Load = std::function<bool(uint64_t addr, uint64_t &value)>;

struct FirstStage {
  uint64_t root = 0;
  int levels = 4;
  int address_width = 52; // of what entries hold: HAW, or 52 for a nested first stage
  bool pages_1g = true;
  bool accessed_dirty = true;
  bool extended_accessed = false;
  bool snooped = true; // walks are: else no update is possible
  bool write_protect = false;
  // Rev 3.x only.
  bool execute_requests = false; // ERE
  bool xd_reserved = false;      // NXE=0
  bool nxe = false;
  bool smep = false;
};

struct SecondStage {
  uint64_t root = 0;
  int levels = 4;
  int input_width = 48;
  int address_width = 52;
  bool pages_2m = true, pages_1g = true;
  bool accessed_dirty = false;
  bool snooped = true;
  bool snoop_control = true;
  bool zero_length_reads = false;
  bool execute = false; // SSEE, rev 3.x
};

struct Request {
  uint64_t addr = 0;
  bool read = true, write = false, execute = false;
  bool privileged = false;
  bool zero_length = false;
  bool query = false;                              // an ATS translation request
  uint64_t forbidden_base = 0, forbidden_size = 0; // where no result may lie
};

enum class Cause {
  None,
  Range,
  Access,
  NotPresent,
  Reserved,
  User,
  Execute,
  Write,
  Read,
  NoSnoop,
  UpdateFailed,
  Output,
};

enum class During { Table, Update, Page };

struct Result {
  Cause cause = Cause::None;
  // Of a fault.
  int stage = 0, level = 0, first_stage_level = 0;
  bool top = false; // in the root table of its stage
  During during = During::Page;
  uint64_t input = 0; // of the stage at fault
  // Of a success.
  uint64_t out = 0, page = 0;                                    // byte, and bytes of the smaller page
  bool can_read = false, can_write = false, can_execute = false; // for requests of this privilege
  bool first_dirty = false, second_dirty = false, snoop = false;
  // Of both. Memory after the walk: the words that changed.
  std::vector<uint64_t> reads;
  std::map<uint64_t, uint64_t> written;
};

// Either stage may be null, not both.
Result translate(const Load &load, const FirstStage *first, const SecondStage *second, const Request &request);

} // namespace oracle
