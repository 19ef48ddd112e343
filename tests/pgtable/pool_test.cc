// SPDX-License-Identifier: Apache-2.0
// Pages handed out of simulated memory.
#include "pgtable/pool.h"

#include <gtest/gtest.h>

namespace {

class Pool : public testing::Test {
protected:
  Pool() {
    ims_mem_init(&mem);
    EXPECT_EQ(ims_mem_add_ram(&mem, 0, 1 << 20), 0);
    EXPECT_EQ(ims_page_pool_init(&pool, &mem, 0x3000, 0x10000), 0);
  }
  ~Pool() override {
    ims_page_pool_fini(&pool);
    ims_mem_fini(&mem);
  }
  uint64_t alloc(unsigned log2size) {
    uint64_t hpa = ~0ull;
    EXPECT_EQ(ims_page_pool_alloc(&pool, log2size, &hpa), 0);
    return hpa;
  }
  ims_mem mem;
  ims_page_pool pool;
};

TEST_F(Pool, LowestFreeBlockFirst) {
  EXPECT_EQ(alloc(12), 0x3000u);
  EXPECT_EQ(alloc(12), 0x4000u);
  EXPECT_EQ(alloc(12), 0x5000u);
  EXPECT_EQ(ims_page_pool_free(&pool, 0x4000, 12), 0);
  EXPECT_EQ(alloc(12), 0x4000u);
  EXPECT_EQ(alloc(3), 0x6000u) << "a page is the smallest block";
  EXPECT_EQ(pool.in_use, 4u * 4096);
}

TEST_F(Pool, BlocksAreAlignedByAddress) {
  EXPECT_EQ(alloc(14), 0x4000u);
  EXPECT_EQ(alloc(12), 0x3000u);
  EXPECT_EQ(alloc(15), 0x8000u);
  EXPECT_EQ(alloc(12), 0x10000u);
  EXPECT_EQ(pool.in_use, (4u + 1 + 8 + 1) * 4096);
}

TEST_F(Pool, PagesComeBackZeroed) {
  uint64_t page = alloc(12), value;
  ASSERT_EQ(ims_mem_store64(&mem, page + 8, 77), 0);
  ASSERT_EQ(ims_page_pool_free(&pool, page, 12), 0);
  ASSERT_EQ(alloc(12), page);
  ASSERT_EQ(ims_mem_load64(&mem, page + 8, &value), 0);
  EXPECT_EQ(value, 0u);
}

TEST_F(Pool, FullPoolSaysSo) {
  for (int i = 0; i < 16; i++)
    alloc(12);
  uint64_t hpa = 1;
  EXPECT_EQ(ims_page_pool_alloc(&pool, 12, &hpa), IMS_ERR_NOSPACE);
  EXPECT_EQ(ims_page_pool_alloc(&pool, 63, &hpa), IMS_ERR_NOSPACE);
  EXPECT_EQ(hpa, 1u);
  EXPECT_EQ(ims_page_pool_free(&pool, 0x12000, 12), 0);
  EXPECT_EQ(ims_page_pool_alloc(&pool, 13, &hpa), IMS_ERR_NOSPACE);
  EXPECT_EQ(alloc(12), 0x12000u);
}

TEST_F(Pool, WrongFreesAreIgnoredAndCounted) {
  uint64_t page = alloc(12);
  EXPECT_EQ(ims_page_pool_free(&pool, page + 8, 12), IMS_ERR_INVAL);
  EXPECT_EQ(ims_page_pool_free(&pool, page + 0x1000, 12), IMS_ERR_INVAL);
  EXPECT_EQ(ims_page_pool_free(&pool, 0x2000, 12), IMS_ERR_INVAL);
  EXPECT_EQ(ims_page_pool_free(&pool, 0x13000, 12), IMS_ERR_INVAL);
  EXPECT_EQ(ims_page_pool_free(&pool, page, 13), IMS_ERR_INVAL);
  EXPECT_EQ(ims_page_pool_free(&pool, page, 12), 0);
  EXPECT_EQ(ims_page_pool_free(&pool, page, 12), IMS_ERR_INVAL);
  EXPECT_EQ(pool.bad_frees, 6u);
  EXPECT_EQ(pool.in_use, 0u);
}

TEST_F(Pool, AbsentMemoryIsNotHandedOut) {
  ims_page_pool beyond;
  ASSERT_EQ(ims_page_pool_init(&beyond, &mem, (1 << 20) - 0x1000, 0x2000), 0);
  uint64_t hpa;
  EXPECT_EQ(ims_page_pool_alloc(&beyond, 12, &hpa), 0);
  EXPECT_EQ(ims_page_pool_alloc(&beyond, 12, &hpa), IMS_ERR_BUS);
  EXPECT_EQ(beyond.in_use, 4096u);
  ims_page_pool_fini(&beyond);
}

TEST_F(Pool, RangeIsChecked) {
  ims_page_pool p;
  EXPECT_EQ(ims_page_pool_init(&p, &mem, 0x800, 0x1000), IMS_ERR_INVAL);
  EXPECT_EQ(ims_page_pool_init(&p, &mem, 0x1000, 0), IMS_ERR_INVAL);
  EXPECT_EQ(ims_page_pool_init(&p, &mem, 1ull << 52, 0x1000), IMS_ERR_RANGE);
  EXPECT_EQ(ims_page_pool_init(&p, &mem, ~0xfffull, 0x2000), IMS_ERR_RANGE);
}

} // namespace
