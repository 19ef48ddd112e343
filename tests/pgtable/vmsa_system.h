// SPDX-License-Identifier: Apache-2.0
// A machine with VMSAv8-64 tables made at random: one stage or two, of any granules and sizes, with the oracle beside.
//
// Host memory is 2 GB at the middle of what stage 2 (or stage 1, alone) can hold: pieces that the guest has, then a pool
// of tables. Guest memory is 2 GB at the middle of what stage 1 can hold and stage 2 can take: one piece of 512 MB, some
// of the size of a stage-2 block, and 64 of the size of its page, the smaller ones out of order.
#pragma once

#include "pgtable/vmsa.h"
#include "tests/pgtable/harness.h"
#include "tests/pgtable/vmsa_oracle.h"

#include <random>

namespace vmsa {

using pgt::GB;
using pgt::KB;
using pgt::MB;

// A stage as the oracle and as the product see it.
struct Rules {
  vmsa_oracle::Stage rules;
  ims_pgt_format format = {};
  ims_pgt pgt = {};
  bool second = false;

  Rules() = default;
  Rules(const Rules &) = delete;
  Rules &operator=(const Rules &) = delete;
  void set(const vmsa_oracle::Stage &r, bool second_stage);
  void root(uint64_t addr) { pgt.root = rules.root = addr; }
  unsigned page_bits() const { return format.page_shift; }
  uint64_t size(unsigned level) const { return 1ull << format.shift[level]; }
};

struct Sizes {
  unsigned in_bits, out_bits, levels; // levels 0: of stage 1
  bool wide;                          // DS or LPA
};

// What a stage of this granule may have, for inputs of 32 bits and more.
std::vector<Sizes> all_sizes(int granule, bool second);

// Runs under the contiguous hint: none; in stage 2, whose translations are cached as a whole, only such as hardware finds
// nothing to note in (a cached run spares the other entries their updates); or any.
enum class Runs { None, Quiet, Any };

class System {
public:
  // Granules in KB; 0: no such stage. `n` counts through all sizes.
  System(int first_granule, int second_granule, unsigned n, uint64_t seed, Runs runs);

  uint64_t pick(uint64_t below) { return random_() % below; }
  bool chance(unsigned percent) { return pick(100) < percent; }

  vmsa_oracle::Request request();
  vmsa_oracle::Result expected(const vmsa_oracle::Request &q);
  pgt::Outcome walk(const vmsa_oracle::Request &q);
  // Damages one of the descriptors at these addresses.
  void damage(const std::vector<uint64_t> &descriptors);
  std::string describe(const vmsa_oracle::Request &q) const;

  bool has_first, has_second;

private:
  std::mt19937_64 random_;
  Runs runs_;

public:
  pgt::Machine machine;
  pgt::Guest guest;
  Rules first, second;
  pgt::Driver driver;

private:
  struct Piece {
    uint64_t gpa, size;
  };

  vmsa_oracle::Stage random_rules(int granule, const Sizes &sizes, bool second_stage);
  void lay_out();
  ims_pgt_mem guest_tables();
  unsigned leaf_flags(const Rules &s, bool in_runs);
  unsigned leaf_perm(const Rules &s);
  void map_second();
  void map_first();
  void restrict_tables(const ims_pgt_mem &mem);

  uint64_t guest_base_ = 0, host_base_ = 0;
  uint64_t next_small_ = 0, next_middle_ = 0, next_big_ = 256 * MB;
  std::vector<Piece> pieces_;
  std::vector<std::pair<uint64_t, uint64_t>> mapped_;
};

// What differs between the two, or nothing. With caches the reads, and the place of a descriptor that was not read, are
// not compared.
std::string difference(const vmsa_oracle::Result &want, const pgt::Outcome &got, const vmsa_oracle::Request &q,
                       bool with_caches);

} // namespace vmsa
