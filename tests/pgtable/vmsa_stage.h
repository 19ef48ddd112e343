// SPDX-License-Identifier: Apache-2.0
// VMSAv8-64 stages for tests: tables in a memory of their own, at the top of the physical addresses that the stage can
// hold, so that each bit of an address has to find its place.
#pragma once

#include "mem/mem.h"
#include "pgtable/build.h"
#include "pgtable/pool.h"
#include "pgtable/vmsa.h"

#include <gtest/gtest.h>
#include <ostream>
#include <string>
#include <vector>

namespace vmsa {

constexpr uint64_t KB = 1024, MB = 1024 * KB, GB = 1024 * MB;

struct Spec {
  std::string name;
  bool second;
  ims_granule granule;
  unsigned in_bits;
  unsigned out_bits = 48;
  unsigned levels = 0; // 0: what stage 1 takes for in_bits
  bool ds = false, lpa = false, upper = false, big_endian = false, one_el = false, xnx = false;
};

inline std::ostream &operator<<(std::ostream &s, const Spec &spec) { return s << spec.name; }

constexpr unsigned kRW = IMS_PERM_R | IMS_PERM_W | IMS_PERM_X | IMS_PERM_U;
constexpr unsigned kRO = IMS_PERM_R | IMS_PERM_X | IMS_PERM_U;

class Stage {
public:
  static constexpr uint64_t kPool = 16 * MB;

  explicit Stage(const Spec &s) : spec(s) {
    ims_vmsa_format(&format, s.second ? IMS_PGT_VMSA_S2 : IMS_PGT_VMSA_S1, s.granule, s.ds, s.lpa, s.xnx);
    pgt.fmt = &format;
    pgt.in_bits = static_cast<uint8_t>(s.in_bits);
    pgt.out_bits = static_cast<uint8_t>(s.out_bits);
    pgt.levels = static_cast<uint8_t>(s.levels ? s.levels : ims_vmsa_s1_levels(s.granule, s.in_bits));
    pgt.flags = (s.upper ? unsigned(IMS_PGT_UPPER) : 0u) | (s.big_endian ? unsigned(IMS_PGT_BE) : 0u) |
                (s.one_el ? unsigned(IMS_PGT_ONE_EL) : 0u) | IMS_PGT_CONTIGUOUS;
    pgt.sh = 3;
    ims_mem_init(&memory);
    pool_base = (1ull << s.out_bits) - kPool;
    EXPECT_EQ(ims_mem_add_ram(&memory, pool_base, kPool), 0);
    EXPECT_EQ(ims_page_pool_init(&pool, &memory, pool_base, kPool), 0);
    mem = ims_page_pool_pgt_mem(&pool);
    EXPECT_EQ(ims_pgt_create(&pgt, &mem), 0);
    root_bytes = pool.in_use;
  }
  ~Stage() {
    if (pgt.root)
      destroy();
    ims_page_pool_fini(&pool);
    ims_mem_fini(&memory);
  }
  Stage(const Stage &) = delete;
  Stage &operator=(const Stage &) = delete;

  void destroy() {
    ims_pgt_mem quiet = ims_page_pool_pgt_mem(&pool);
    ims_pgt_destroy(&pgt, &quiet);
    EXPECT_EQ(pool.in_use, 0u) << "tables leaked";
    EXPECT_EQ(pool.bad_frees, 0u) << "tables freed twice, or with another size";
  }

  unsigned page_bits() const { return 12 + 2 * static_cast<unsigned>(spec.granule); }
  uint64_t size(unsigned level) const { return 1ull << (page_bits() + (level - 1) * (page_bits() - 3)); }
  uint64_t page() const { return size(1); }
  unsigned entries() const { return 1u << (page_bits() - 3); }
  // Entries that a contiguous hint binds: typed in from D8.7.1, by level from the last.
  unsigned run(unsigned level) const {
    static const unsigned n[3][3] = {{16, 16, 16}, {128, 32, 1}, {32, 32, 1}};
    return level <= 3 ? n[spec.granule][level - 1] : 1;
  }
  // Blocks: typed in from D8.3.1.
  bool block_at(unsigned level) const {
    switch (spec.granule) {
    case IMS_GRANULE_4K: return level <= 3 || (level == 4 && spec.ds);
    case IMS_GRANULE_16K: return level <= 2 || (level == 3 && spec.ds);
    default: return level <= 2 || (level == 3 && spec.lpa);
    }
  }
  uint64_t base() const { return spec.upper ? ~0ull << spec.in_bits : 0; }
  uint64_t last() const { return spec.upper ? ~0ull : (1ull << spec.in_bits) - 1; }
  // A place to map to whose address bits are set up to the width, aligned to a gigabyte and more where there is room.
  uint64_t target() const { return 1ull << (spec.out_bits - 1); }

  int map(uint64_t in, uint64_t out, uint64_t bytes, unsigned perm = kRW, unsigned flags = 0, unsigned limit = 0) {
    return ims_pgt_map(&pgt, &mem, in, out, bytes, perm, flags, limit);
  }
  int unmap(uint64_t in, uint64_t bytes, unsigned how = 0, ims_pgt_gather *g = nullptr) {
    return ims_pgt_unmap(&pgt, &mem, in, bytes, how, g);
  }
  int protect(uint64_t in, uint64_t bytes, unsigned perm, uint64_t *changed = nullptr) {
    return ims_pgt_protect(&pgt, &mem, in, bytes, perm, changed);
  }
  int lookup(uint64_t in, ims_pgt_leaf *leaf) { return ims_pgt_lookup(&pgt, &mem, in, leaf); }
  // 0 where nothing is mapped; no test maps to 0.
  uint64_t out(uint64_t in) {
    ims_pgt_leaf leaf;
    return lookup(in, &leaf) == 0 ? leaf.out : 0;
  }
  unsigned level(uint64_t in) {
    ims_pgt_leaf leaf;
    return lookup(in, &leaf) == 0 ? leaf.level : 0;
  }
  ims_pgt_leaf leaf(uint64_t in) {
    ims_pgt_leaf l = {};
    EXPECT_EQ(lookup(in, &l), 0) << std::hex << in;
    return l;
  }
  bool hinted(uint64_t in) { return leaf(in).entry >> 52 & 1; }
  // The root included.
  uint64_t tables() const { return 1 + (pool.in_use - root_bytes) / page(); }
  uint64_t hash() { return ims_mem_hash(&memory); }
  // Words as a little-endian stage would have them.
  uint64_t load(uint64_t at) {
    uint64_t e = 0;
    EXPECT_EQ(ims_mem_load64(&memory, at, &e), 0) << std::hex << at;
    return spec.big_endian ? __builtin_bswap64(e) : e;
  }
  void store(uint64_t at, uint64_t e) {
    EXPECT_EQ(ims_mem_store64(&memory, at, spec.big_endian ? __builtin_bswap64(e) : e), 0) << std::hex << at;
  }
  std::vector<ims_pgt_visit> list(uint64_t first = 0, uint64_t to = ~0ull) {
    std::vector<ims_pgt_visit> all;
    auto visit = [](void *ctx, const ims_pgt_visit *v) -> int {
      static_cast<std::vector<ims_pgt_visit> *>(ctx)->push_back(*v);
      return IMS_VISIT_ON;
    };
    EXPECT_EQ(ims_pgt_iterate(&pgt, &mem, first, to, visit, &all), 0);
    return all;
  }
  // The address bits of a descriptor: D8.3.1, D8.3.2.
  uint64_t address_bits(uint64_t a) const {
    if (spec.ds && spec.granule != IMS_GRANULE_64K)
      return (a & ((1ull << 50) - 1)) | (a >> 50 & 3) << 8;
    if (spec.lpa && spec.granule == IMS_GRANULE_64K)
      return (a & ((1ull << 48) - 1)) | (a >> 48 & 15) << 12;
    return a;
  }
  bool has_sh() const { return !(spec.ds && spec.granule != IMS_GRANULE_64K); }

  Spec spec;
  ims_pgt_format format = {};
  ims_pgt pgt = {};
  ims_mem memory = {};
  ims_page_pool pool = {};
  ims_pgt_mem mem = {};
  uint64_t pool_base = 0, root_bytes = 0;
};

} // namespace vmsa
