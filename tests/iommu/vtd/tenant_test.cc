// SPDX-License-Identifier: Apache-2.0
// Tenants that share a unit, and the two levels of its IOTLB, seen from requests.
#include "tests/iommu/vtd/world.h"

#include <gtest/gtest.h>

namespace vtd {
namespace {

constexpr unsigned kQuiet = 0x0210; // an even requester beside kDevice, an odd one
constexpr uint64_t kMany = 0x12340000000;

// Both devices have the same PASID directory; PASID 1 maps many pages.
struct Tenants : ScalableWorld {
  explicit Tenants(const Config &c) : ScalableWorld(c) {
    Context other;
    other.dir = load(context) & 0x3ffffffff000;
    other.rid_pasid = 5;
    set_context(kQuiet, other);
    for (unsigned i = 0; i < 256; i++)
      first.map(kMany + i * 4096, kPage + i * 4096, kFsAll);
  }
  uint32_t refs(unsigned source, unsigned i) {
    ims_result r = request(dma(source, 1, kMany + i * 4096, IMS_ACC_R));
    EXPECT_EQ(IMS_STATUS_OK, r.status);
    EXPECT_EQ(kPage + i * 4096, r.output);
    return r.refs;
  }
};

TEST(Tenants, ThrashEachOtherWhereTheyShare) {
  for (uint32_t parts : {1u, 2u}) {
    Config c;
    c.iotlb_entries = 64;
    c.iotlb_partitions = parts;
    Tenants w(c);
    for (unsigned i = 0; i < 8; i++)
      w.refs(kQuiet, i);
    for (unsigned i = 16; i < 256; i++)
      w.refs(kDevice, i);
    uint32_t walked = 0;
    for (unsigned i = 0; i < 8; i++)
      walked += w.refs(kQuiet, i);
    EXPECT_EQ(parts == 1, walked > 0) << "its part is its own";
  }
}

TEST(Tenants, ArePartedInOtherCachesToo) {
  Config c;
  c.context_entries = c.pasid_entries = 2;
  c.context_partitions = c.pasid_partitions = 2;
  c.s1_psc_partitions = 2;
  Tenants w(c);
  w.refs(kQuiet, 0);
  w.refs(kDevice, 1);
  EXPECT_EQ(1u, w.unit()->cache[IMS_CACHE_CONTEXT].entries / 2);
  w.drop_caches();
  EXPECT_EQ(4u + 4u, w.refs(kQuiet, 0)); // root, context, directory, PASID entry; four levels
  EXPECT_EQ(4u + 4u, w.refs(kDevice, 1)) << "the other's paging-structure caches are not its own";
  EXPECT_EQ(1u, w.refs(kQuiet, 2)) << "its own are";
}

// An invalidation reaches what each tenant has cached of the domain.
TEST(Tenants, AreInvalidatedTogether) {
  for (bool hash : {false, true}) {
    Config c;
    c.iotlb_partitions = hash ? 1 : 4;
    c.iotlb_hash_source = hash;
    Tenants w(c);
    w.refs(kQuiet, 3);
    w.refs(kDevice, 3);
    EXPECT_EQ(2u, w.unit()->cache[IMS_CACHE_IOTLB].present);
    EXPECT_EQ(0u, w.refs(kQuiet, 3));
    w.submit(inv::piotlb_page(1, 1, kMany + 3 * 4096));
    EXPECT_EQ(0u, w.unit()->cache[IMS_CACHE_IOTLB].present);
    EXPECT_LT(0u, w.refs(kQuiet, 3));
    EXPECT_LT(0u, w.refs(kDevice, 3));
  }
}

// Which level answered, as a stepped translation is told.
unsigned level_of(Tenants &w, unsigned i) {
  ims_request r = dma(kDevice, 1, kMany + i * 4096, IMS_ACC_R);
  ims_xlate x;
  ims_result res;
  unsigned level = 99;
  ims_xlate_begin(&x, w.unit(), &r, &res);
  for (ims_step_kind kind = ims_xlate_step(&x); kind < IMS_STEP_DONE; kind = ims_xlate_step(&x)) {
    ims_xlate_answer(&x, kind);
    if (kind == IMS_STEP_PROBE && x.port.step.cache == IMS_CACHE_IOTLB) {
      level = x.port.answer.cache_level + (x.port.answer.hit ? 0 : 10);
    } else if (kind == IMS_STEP_PROBE) {
      EXPECT_EQ(0u, x.port.answer.cache_level);
    }
  }
  ims_xlate_finish(&x);
  return level;
}

TEST(FirstLevel, SaysWhoAnswered) {
  Config c;
  c.utlb_entries = 2;
  Tenants w(c);
  EXPECT_EQ(12u, level_of(w, 0));
  EXPECT_EQ(1u, level_of(w, 0));
  level_of(w, 1), level_of(w, 2);
  EXPECT_EQ(2u, level_of(w, 0));
  EXPECT_EQ(1u, level_of(w, 0));
  Tenants plain((Config()));
  EXPECT_EQ(10u, level_of(plain, 0));
  EXPECT_EQ(0u, level_of(plain, 0));
}

TEST(FirstLevel, CountsByItself) {
  Config c;
  c.utlb_entries = 4;
  Tenants w(c);
  w.refs(kDevice, 0);
  w.refs(kDevice, 0);
  w.refs(kDevice, 0);
  const ims_cache &front = w.unit()->cache[IMS_CACHE_UTLB], &behind = w.unit()->cache[IMS_CACHE_IOTLB];
  EXPECT_EQ(2u, front.count.hits);
  EXPECT_EQ(1u, front.count.misses);
  EXPECT_EQ(0u, behind.count.hits);
  EXPECT_EQ(1u, behind.count.misses);
  EXPECT_EQ(1u, front.count.fills);
  w.submit(inv::iotlb(inv::kGlobal));
  EXPECT_EQ(0u, front.present + behind.present);
  EXPECT_EQ(1u, front.count.invalidated);
}

} // namespace
} // namespace vtd
