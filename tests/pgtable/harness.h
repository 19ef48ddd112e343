// SPDX-License-Identifier: Apache-2.0
// What the walk and builder tests share: a small machine with tables in simulated memory, guest memory behind a second
// stage, and a driver that answers the questions of a walk out of memory and plain maps.
#pragma once

#include "mem/mem.h"
#include "pgtable/build.h"
#include "pgtable/pool.h"
#include "pgtable/walk.h"
#include "tests/pgtable/oracle.h"

#include <functional>
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <tuple>
#include <vector>

namespace pgt {

constexpr uint64_t KB = 1024, MB = 1024 * KB, GB = 1024 * MB;

// Memory of a machine with a pool for tables in it.
struct Machine {
  Machine(uint64_t ram, uint64_t pool_base, uint64_t pool_size);
  ~Machine();
  Machine(const Machine &) = delete;
  Machine &operator=(const Machine &) = delete;

  uint64_t load(uint64_t hpa); // fails the test where memory is absent
  void store(uint64_t hpa, uint64_t value);

  ims_mem mem;
  ims_page_pool pool;
  ims_pgt_mem tables; // over the pool
};

// Guest-physical memory: pieces of the machine's. Tables are placed where the test says next.
class Guest {
public:
  explicit Guest(Machine &machine) : machine_(machine) {}
  void add(uint64_t gpa, uint64_t hpa, uint64_t size) { piece_[gpa] = {hpa, size}; }
  bool find(uint64_t gpa, uint64_t &hpa) const;
  uint64_t hpa(uint64_t gpa) const; // fails the test where there is none
  ims_pgt_mem tables();             // valid while the guest stays where it is

  std::function<uint64_t()> place; // gpa of the next table page

private:
  struct Piece {
    uint64_t hpa, size;
  };
  Machine &machine_;
  std::map<uint64_t, Piece> piece_;
};

// A first or second stage with its format; `pgt()` points into it, so it must stay where it is.
struct FirstStage {
  oracle::FirstStage rules;
  ims_pgt_format format;
  ims_pgt pgt;
  explicit FirstStage(const oracle::FirstStage &rules_);
  void root(uint64_t addr) { pgt.root = rules.root = addr; }
};

struct SecondStage {
  oracle::SecondStage rules;
  ims_pgt_format format;
  ims_pgt pgt;
  explicit SecondStage(const oracle::SecondStage &rules_);
  void root(uint64_t addr) { pgt.root = rules.root = addr; }
};

struct Read {
  unsigned what, level, for_what, for_level;
  uint64_t hpa;
};

// What came of a walk.
struct Outcome {
  bool done = false;
  ims_walk walk;
  uint32_t refs = 0;
  std::vector<Read> reads;
  unsigned updates = 0; // compare-and-swaps asked for
  std::map<uint64_t, uint64_t> written;
};

// Answers from memory, and from caches that never forget.
struct Driver {
  explicit Driver(ims_mem &memory) : mem(memory) {}

  using Key = std::tuple<unsigned, uint64_t, uint64_t>; // cache, tag
  ims_mem &mem;
  std::map<Key, ims_tlb_value> cache;
  std::function<void(ims_step_kind, const ims_step &)> before; // each question is answered
  uint32_t caches = 0;
  std::vector<unsigned> shifts = {12, 21, 30}; // of pages in the nested TLB, the one looked for first at the front
  unsigned purpose = IMS_STRUCT_DATA;
  bool psc_gpa = false;
  int junk = 1; // what each byte of the walk holds before it is set up: nothing may depend on it

  Outcome run(const ims_pgt *s1, const ims_pgt *s2, const oracle::Request &request);
  void drop(unsigned cache_id, uint64_t addr, unsigned shift) {
    cache.erase(Key{cache_id, ims_tag_addr(addr, shift), id_of(cache_id)});
  }
  // The two stages are told apart by their tags.
  static uint64_t id_of(unsigned cache_id) {
    return cache_id == IMS_CACHE_NESTED || cache_id >= IMS_CACHE_S2_L2 ? 22 : 11;
  }
};

oracle::Cause cause_of(unsigned cause);
std::string text(const oracle::Result &r);
std::string text(const Outcome &o);

// What differs between the two, or nothing. With caches the reads, and the place of an entry that was not read, are not
// compared.
std::string difference(const oracle::Result &want, const Outcome &got, bool privileged, bool with_caches);

} // namespace pgt
