// SPDX-License-Identifier: Apache-2.0
// How often a pure walk of VMSAv8-64 tables reads memory: n levels of stage 1 over m of stage 2 take (n+1)(m+1)-1 reads,
// whatever the granules, and less where blocks end a stage early.
#include "tests/pgtable/harness.h"
#include "tests/pgtable/vmsa_stage.h"

namespace {

using namespace vmsa;

struct Shape {
  ims_granule granule;
  unsigned levels;
};

// Every number of levels that a granule has.
std::vector<Shape> shapes() {
  std::vector<Shape> all;
  for (unsigned levels = 1; levels <= 5; levels++) {
    all.push_back({IMS_GRANULE_4K, levels});
    if (levels <= 4)
      all.push_back({IMS_GRANULE_16K, levels});
    if (levels <= 3)
      all.push_back({IMS_GRANULE_64K, levels});
  }
  return all;
}

unsigned page_bits(ims_granule g) { return 12 + 2 * static_cast<unsigned>(g); }

// An input size that takes so many levels, as large as one start table can resolve, and at most 52 bits.
unsigned in_bits(const Shape &s) {
  unsigned page = page_bits(s.granule);
  return std::min(page + s.levels * (page - 3), 52u);
}

Spec spec(const Shape &s, bool second) {
  Spec spec = {};
  spec.name = std::string(second ? "S2" : "S1");
  spec.second = second;
  spec.granule = s.granule;
  spec.in_bits = in_bits(s);
  spec.levels = s.levels;
  bool wide = spec.in_bits > 48;
  spec.ds = wide && s.granule != IMS_GRANULE_64K;
  spec.lpa = wide && s.granule == IMS_GRANULE_64K;
  spec.out_bits = 40;
  return spec;
}

pgt::Outcome walk(ims_mem &memory, const ims_pgt *s1, const ims_pgt *s2, uint64_t in) {
  pgt::Driver driver(memory);
  oracle::Request q;
  q.addr = in;
  q.privileged = true;
  return driver.run(s1, s2, q);
}

TEST(VmsaCounts, OneStage) {
  for (bool second : {false, true}) {
    for (const Shape &shape : shapes()) {
      Stage s(spec(shape, second));
      ASSERT_EQ(s.pgt.levels, shape.levels);
      ASSERT_EQ(s.map(0, 0, s.page(), kRW, IMS_MAP_A), 0);
      pgt::Outcome o = walk(s.memory, second ? nullptr : &s.pgt, second ? &s.pgt : nullptr, 5);
      ASSERT_TRUE(o.done) << text(o);
      EXPECT_EQ(o.walk.out, 5u);
      EXPECT_EQ(o.refs, shape.levels);
    }
  }
}

// Both stages lie in one memory, which stage 2 maps to itself page by page: small inputs of stage 2 hold little, so the
// memory is at the bottom.
class Nested {
public:
  Nested(const Shape &first, const Shape &second, bool large) {
    ims_mem_init(&memory);
    EXPECT_EQ(ims_mem_add_ram(&memory, 0, 64 * MB), 0);
    Spec two = spec(second, true), one = spec(first, false);
    ims_vmsa_format(&format2, IMS_PGT_VMSA_S2, two.granule, two.ds, two.lpa, false);
    ims_vmsa_format(&format1, IMS_PGT_VMSA_S1, one.granule, one.ds, one.lpa, false);
    // Tables of stage 1 from 1 MB on, of stage 2 from 32 MB on. A small stage 2 reaches what lies below 2 MB.
    EXPECT_EQ(ims_page_pool_init(&guest, &memory, 1 * MB, 1 * MB), 0);
    EXPECT_EQ(ims_page_pool_init(&host, &memory, 32 * MB, 32 * MB), 0);
    ims_pgt_mem guest_mem = ims_page_pool_pgt_mem(&guest), host_mem = ims_page_pool_pgt_mem(&host);
    s2.fmt = &format2;
    s2.levels = static_cast<uint8_t>(two.levels);
    s2.in_bits = static_cast<uint8_t>(two.in_bits);
    s2.out_bits = 40;
    s1.fmt = &format1;
    s1.levels = static_cast<uint8_t>(one.levels);
    s1.in_bits = static_cast<uint8_t>(one.in_bits);
    s1.out_bits = 40;
    EXPECT_EQ(ims_pgt_create(&s2, &host_mem), 0);
    EXPECT_EQ(ims_pgt_create(&s1, &guest_mem), 0);
    uint64_t block = 1ull << format2.shift[2];
    EXPECT_EQ(ims_pgt_map(&s2, &host_mem, 0, 0, large ? block : 2 * MB, IMS_PERM_ALL, IMS_MAP_A, large ? 2 : 1), 0);
    uint64_t page = 1ull << format1.page_shift;
    EXPECT_EQ(ims_pgt_map(&s1, &guest_mem, 0, 64 * KB, page, IMS_PERM_ALL, IMS_MAP_A, 0), 0);
  }
  ~Nested() {
    ims_page_pool_fini(&guest);
    ims_page_pool_fini(&host);
    ims_mem_fini(&memory);
  }
  uint32_t refs() {
    pgt::Outcome o = walk(memory, &s1, &s2, 0x123);
    EXPECT_TRUE(o.done) << text(o);
    EXPECT_EQ(o.walk.out, 64 * KB + 0x123);
    return o.refs;
  }

  ims_mem memory = {};
  ims_page_pool guest = {}, host = {};
  ims_pgt_format format1 = {}, format2 = {};
  ims_pgt s1 = {}, s2 = {};
};

TEST(VmsaCounts, TwoStages) {
  for (const Shape &first : shapes())
    for (const Shape &second : shapes()) {
      SCOPED_TRACE("stage 1 " + std::to_string(4u << 2 * first.granule) + "K, " + std::to_string(first.levels) +
                   " levels; stage 2 " + std::to_string(4u << 2 * second.granule) + "K, " +
                   std::to_string(second.levels) + " levels");
      unsigned n = first.levels, m = second.levels;
      EXPECT_EQ(Nested(first, second, false).refs(), (n + 1) * (m + 1) - 1);
      // A block in stage 2 spares each of its walks a level.
      if (m > 1) {
        EXPECT_EQ(Nested(first, second, true).refs(), (n + 1) * m - 1);
      }
    }
}

// Concatenated start tables take a level away: 40 bits of 4 KB pages are 3 levels and not 4.
TEST(VmsaCounts, Concatenation) {
  const struct {
    ims_granule granule;
    unsigned in_bits, plain, concatenated;
  } rows[] = {
      {IMS_GRANULE_4K, 40, 4, 3},  {IMS_GRANULE_4K, 43, 4, 3},  {IMS_GRANULE_4K, 34, 3, 2},
      {IMS_GRANULE_16K, 40, 3, 2}, {IMS_GRANULE_16K, 48, 4, 3}, {IMS_GRANULE_64K, 46, 3, 2},
      {IMS_GRANULE_64K, 33, 2, 1},
  };
  for (const auto &row : rows)
    for (unsigned levels : {row.plain, row.concatenated}) {
      SCOPED_TRACE("granule " + std::to_string(row.granule) + " " + std::to_string(row.in_bits) + " bits");
      Spec s = {};
      s.second = true;
      s.granule = row.granule;
      s.in_bits = row.in_bits;
      s.levels = levels;
      Stage stage(s);
      uint64_t last = stage.last() & ~(stage.page() - 1);
      ASSERT_EQ(stage.map(last, 64 * KB, stage.page(), kRW, IMS_MAP_A), 0);
      pgt::Outcome o = walk(stage.memory, nullptr, &stage.pgt, last + 1);
      ASSERT_TRUE(o.done) << text(o);
      EXPECT_EQ(o.walk.out, 64 * KB + 1);
      EXPECT_EQ(o.refs, levels);
      EXPECT_EQ(o.reads[0].hpa, stage.pgt.root + (1ull << (row.in_bits - stage.pgt.fmt->shift[levels])) * 8 - 8)
          << "the last entry of the last table";
    }
}

} // namespace
