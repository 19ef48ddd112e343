// SPDX-License-Identifier: Apache-2.0
// Simulated memory: what is there, what is a bus error, and that region borders never show.
#include "mem/mem.h"
#include <algorithm>
#include <array>
#include <cstdint>
#include <fstream>
#include <gtest/gtest.h>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <unistd.h>
#include <vector>

namespace {

constexpr uint64_t kEnd = 1ull << IMS_MEM_ADDR_BITS;
constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

class Mem : public ::testing::Test {
protected:
  Mem() { ims_mem_init(&m); }
  ~Mem() override { ims_mem_fini(&m); }
  int read(uint64_t hpa, size_t len) {
    std::vector<uint8_t> buf(len);
    return ims_mem_read(&m, hpa, buf.data(), len);
  }
  uint64_t load(uint64_t hpa) {
    uint64_t v = 0;
    EXPECT_EQ(ims_mem_load64(&m, hpa, &v), IMS_ERR_OK) << std::hex << hpa;
    return v;
  }
  ims_mem m;
};

// Resident memory of this process in bytes.
uint64_t resident() {
  std::ifstream in("/proc/self/statm");
  uint64_t total = 0, pages = 0;
  in >> total >> pages;
  return pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

TEST_F(Mem, EmptyMemoryAnswersBusErrorEverywhere) {
  uint64_t v = 0;
  for (uint64_t hpa : {uint64_t{0}, uint64_t{0x1000}, kEnd - 8, kEnd, kMax - 7, kMax}) {
    EXPECT_EQ(ims_mem_load64(&m, hpa, &v), IMS_ERR_BUS);
    EXPECT_EQ(ims_mem_store64(&m, hpa, 1), IMS_ERR_BUS);
    EXPECT_EQ(ims_mem_cas64(&m, hpa, 0, 1, &v), IMS_ERR_BUS);
    EXPECT_EQ(ims_mem_fill(&m, hpa, 1, 1), IMS_ERR_BUS);
    EXPECT_EQ(ims_mem_find(&m, hpa), nullptr);
  }
}

TEST_F(Mem, FreshMemoryReadsZero) {
  ASSERT_EQ(ims_mem_add_ram(&m, 0x1000, 0x2000), IMS_ERR_OK);
  EXPECT_EQ(load(0x1000), 0u);
  EXPECT_EQ(load(0x2ff8), 0u);
}

TEST_F(Mem, EveryByteOfABorderCounts) {
  ASSERT_EQ(ims_mem_add_ram(&m, 0x1003, 0x100), IMS_ERR_OK); // [0x1003, 0x1103)
  EXPECT_EQ(read(0x1002, 1), IMS_ERR_BUS);
  EXPECT_EQ(read(0x1003, 1), IMS_ERR_OK);
  EXPECT_EQ(read(0x1102, 1), IMS_ERR_OK);
  EXPECT_EQ(read(0x1103, 1), IMS_ERR_BUS);
  for (unsigned d = 1; d < 8; d++) {
    EXPECT_EQ(read(0x1003 - d, 8), IMS_ERR_BUS) << d;
    EXPECT_EQ(read(0x1103 - d, 8), IMS_ERR_BUS) << d;
  }
  EXPECT_EQ(read(0x1003, 8), IMS_ERR_OK);
  EXPECT_EQ(read(0x1103 - 8, 8), IMS_ERR_OK);
  EXPECT_EQ(read(0x1003, 0x100), IMS_ERR_OK);
  EXPECT_EQ(read(0x1003, 0x101), IMS_ERR_BUS);
}

TEST_F(Mem, SumsThatWrapAreBusErrors) {
  ASSERT_EQ(ims_mem_add_ram(&m, 0, 0x1000), IMS_ERR_OK);
  ASSERT_EQ(ims_mem_add_ram(&m, kEnd - 0x1000, 0x1000), IMS_ERR_OK);
  load(0); // hot
  EXPECT_EQ(read(kMax - 3, 8), IMS_ERR_BUS);
  EXPECT_EQ(read(kMax, 1), IMS_ERR_BUS);
  EXPECT_EQ(ims_mem_fill(&m, 0x800, 0, kMax), IMS_ERR_BUS);
  EXPECT_EQ(ims_mem_fill(&m, 0x800, 0, kMax - 0x7ff), IMS_ERR_BUS);
  EXPECT_EQ(ims_mem_ptr(&m, 0x10, std::numeric_limits<size_t>::max()), nullptr);
  EXPECT_EQ(ims_mem_ptr(&m, 0x10, std::numeric_limits<size_t>::max() - 0xf), nullptr);
  load(kEnd - 8);
  EXPECT_EQ(read(kEnd - 4, 8), IMS_ERR_BUS);
  EXPECT_EQ(ims_mem_remove(&m, kEnd - 0x800, kMax), IMS_ERR_OK);
  EXPECT_EQ(read(kEnd - 0x1000, 0x800), IMS_ERR_OK);
  EXPECT_EQ(read(kEnd - 0x800, 1), IMS_ERR_BUS);
}

TEST_F(Mem, RangesBeyond52BitsAreRefused) {
  EXPECT_EQ(ims_mem_add_ram(&m, 0, 0), IMS_ERR_RANGE);
  EXPECT_EQ(ims_mem_add_ram(&m, kEnd, 1), IMS_ERR_RANGE);
  EXPECT_EQ(ims_mem_add_ram(&m, kEnd - 1, 2), IMS_ERR_RANGE);
  EXPECT_EQ(ims_mem_add_ram(&m, 0x1000, kMax), IMS_ERR_RANGE);
  EXPECT_EQ(ims_mem_add_ram(&m, kMax, 1), IMS_ERR_RANGE);
  EXPECT_EQ(ims_mem_add_ram(&m, kEnd - 1, 1), IMS_ERR_OK);
  EXPECT_EQ(m.regions, 1u);
}

TEST_F(Mem, MoreThanTheHostCanAddressIsOutOfMemory) {
  EXPECT_EQ(ims_mem_add_ram(&m, 0, kEnd), IMS_ERR_NOMEM);
  EXPECT_EQ(m.regions, 0u);
  EXPECT_EQ(ims_mem_add_ram(&m, 0, 0x1000), IMS_ERR_OK);
}

TEST_F(Mem, OverlapsAreRefusedAndNeighboursAreNot) {
  ASSERT_EQ(ims_mem_add_ram(&m, 0x2000, 0x1000), IMS_ERR_OK);
  for (auto [hpa, size] : std::vector<std::pair<uint64_t, uint64_t>>{{0x2000, 0x1000},
                                                                     {0x1000, 0x1001},
                                                                     {0x2fff, 1},
                                                                     {0x2fff, 0x1000},
                                                                     {0x1000, 0x4000},
                                                                     {0x2400, 8},
                                                                     {0x2000, 1}})
    EXPECT_EQ(ims_mem_add_ram(&m, hpa, size), IMS_ERR_OVERLAP) << std::hex << hpa;
  EXPECT_EQ(ims_mem_add_ram(&m, 0x1000, 0x1000), IMS_ERR_OK);
  EXPECT_EQ(ims_mem_add_ram(&m, 0x3000, 0x1000), IMS_ERR_OK);
  EXPECT_EQ(read(0x1000, 0x3000), IMS_ERR_OK);
}

TEST_F(Mem, AccessesAcrossRegionsReadAndWriteRight) {
  for (uint64_t hpa = 0x1000; hpa < 0x1000 + 3 * 21; hpa += 3) // 21 regions of three bytes
    ASSERT_EQ(ims_mem_add_ram(&m, hpa, 3), IMS_ERR_OK);
  std::array<uint8_t, 63> out = {}, in = {};
  for (size_t i = 0; i < out.size(); i++)
    out[i] = static_cast<uint8_t>(i + 1);
  ASSERT_EQ(ims_mem_write(&m, 0x1000, out.data(), out.size()), IMS_ERR_OK);
  ASSERT_EQ(ims_mem_read(&m, 0x1000, in.data(), in.size()), IMS_ERR_OK);
  EXPECT_EQ(in, out);
  EXPECT_EQ(load(0x1000), 0x0807060504030201u);
  EXPECT_EQ(load(0x1001), 0x0908070605040302u);
  ASSERT_EQ(ims_mem_store64(&m, 0x1002, 0x1122334455667788), IMS_ERR_OK);
  EXPECT_EQ(load(0x1002), 0x1122334455667788u);
  EXPECT_EQ(load(0x1000), 0x3344556677880201u);
}

TEST_F(Mem, AWriteThatMeetsAHoleWritesNothing) {
  ASSERT_EQ(ims_mem_add_ram(&m, 0x1000, 16), IMS_ERR_OK);
  ASSERT_EQ(ims_mem_add_ram(&m, 0x1011, 16), IMS_ERR_OK); // 0x1010 is absent
  std::array<uint8_t, 24> ones;
  ones.fill(0xff);
  EXPECT_EQ(ims_mem_write(&m, 0x1008, ones.data(), ones.size()), IMS_ERR_BUS);
  EXPECT_EQ(ims_mem_fill(&m, 0x1008, 0xff, ones.size()), IMS_ERR_BUS);
  EXPECT_EQ(ims_mem_store64(&m, 0x100c, kMax), IMS_ERR_BUS);
  EXPECT_EQ(load(0x1008), 0u);
  EXPECT_EQ(load(0x1011), 0u);
}

TEST_F(Mem, NothingIsTouchedByALengthOfZero) {
  EXPECT_EQ(ims_mem_read(&m, 0x1000, nullptr, 0), IMS_ERR_OK);
  EXPECT_EQ(ims_mem_write(&m, kMax, nullptr, 0), IMS_ERR_OK);
  EXPECT_EQ(ims_mem_fill(&m, 0, 0, 0), IMS_ERR_OK);
  EXPECT_EQ(ims_mem_remove(&m, 0, 0), IMS_ERR_OK);
}

TEST_F(Mem, CompareAndSwapSwapsOnlyWhatItExpected) {
  ASSERT_EQ(ims_mem_add_ram(&m, 0x1000, 0x1004), IMS_ERR_OK);
  ASSERT_EQ(ims_mem_add_ram(&m, 0x2004, 0x1000), IMS_ERR_OK);
  for (uint64_t hpa : {0x1000, 0x2000}) { // within a region, across two
    uint64_t seen = 99;
    ASSERT_EQ(ims_mem_cas64(&m, hpa, 0, 0xaaaabbbbccccdddd, &seen), IMS_ERR_OK);
    EXPECT_EQ(seen, 0u);
    EXPECT_EQ(load(hpa), 0xaaaabbbbccccddddu);
    ASSERT_EQ(ims_mem_cas64(&m, hpa, 0, 1, &seen), IMS_ERR_OK);
    EXPECT_EQ(seen, 0xaaaabbbbccccddddu);
    EXPECT_EQ(load(hpa), 0xaaaabbbbccccddddu);
  }
  uint64_t seen = 99;
  EXPECT_EQ(ims_mem_cas64(&m, 0x3000, 0, 1, &seen), IMS_ERR_BUS);
  EXPECT_EQ(seen, 99u);
}

TEST_F(Mem, RemovingFromTheMiddleSplitsARegion) {
  ASSERT_EQ(ims_mem_add_ram(&m, 0x10000, 0x10000), IMS_ERR_OK);
  ASSERT_EQ(ims_mem_store64(&m, 0x13ff8, 11), IMS_ERR_OK);
  ASSERT_EQ(ims_mem_store64(&m, 0x15001, 22), IMS_ERR_OK);
  ASSERT_EQ(ims_mem_remove(&m, 0x14000, 0x1001), IMS_ERR_OK);
  EXPECT_EQ(m.regions, 2u);
  EXPECT_EQ(load(0x13ff8), 11u);
  EXPECT_EQ(load(0x15001), 22u);
  EXPECT_EQ(read(0x13fff, 1), IMS_ERR_OK);
  EXPECT_EQ(read(0x14000, 1), IMS_ERR_BUS);
  EXPECT_EQ(read(0x15000, 1), IMS_ERR_BUS);
  EXPECT_EQ(read(0x13ff9, 8), IMS_ERR_BUS);
  EXPECT_EQ(ims_mem_find(&m, 0x14fff), nullptr);
  // Memory plugged in again is new memory.
  ASSERT_EQ(ims_mem_add_ram(&m, 0x14000, 0x1001), IMS_ERR_OK);
  EXPECT_EQ(load(0x14800), 0u);
  EXPECT_EQ(read(0x10000, 0x10000), IMS_ERR_OK);
}

TEST_F(Mem, RemovingSpansManyRegionsAndHoles) {
  for (uint64_t i = 0; i < 8; i++)
    ASSERT_EQ(ims_mem_add_ram(&m, i * 0x2000, 0x1000), IMS_ERR_OK);
  ASSERT_EQ(ims_mem_remove(&m, 0x2800, 0x8000), IMS_ERR_OK); // to 0xa800
  EXPECT_EQ(read(0x2000, 0x800), IMS_ERR_OK);
  EXPECT_EQ(read(0x2800, 1), IMS_ERR_BUS);
  for (uint64_t hpa : {0x4000, 0x6000, 0x8000, 0xa000, 0xa7ff})
    EXPECT_EQ(read(hpa, 1), IMS_ERR_BUS) << std::hex << hpa;
  EXPECT_EQ(read(0xa800, 0x800), IMS_ERR_OK);
  EXPECT_EQ(m.regions, 5u);
  ASSERT_EQ(ims_mem_remove(&m, 0, kMax), IMS_ERR_OK);
  EXPECT_EQ(m.regions, 0u);
  EXPECT_EQ(m.backing, nullptr);
}

TEST_F(Mem, HotPluggingForEverDoesNotEatTheAddressSpace) {
  for (int i = 0; i < 2000; i++) { // 2000 x 2^40 bytes, sixteen times what a host can address
    ASSERT_EQ(ims_mem_add_ram(&m, 0x1000, 1ull << 40), IMS_ERR_OK) << i;
    ASSERT_EQ(ims_mem_store64(&m, 0x1000, 1), IMS_ERR_OK);
    ASSERT_EQ(ims_mem_remove(&m, 0x1000, 1ull << 40), IMS_ERR_OK);
  }
}

TEST_F(Mem, ATerabyteCostsWhatIsTouched) {
  uint64_t before = resident();
  ASSERT_EQ(ims_mem_add_ram(&m, 0, 1ull << 40), IMS_ERR_OK);
  for (uint64_t i = 0; i < 16; i++)
    ASSERT_EQ(ims_mem_store64(&m, i << 36, i + 1), IMS_ERR_OK);
  EXPECT_EQ(load(15ull << 36), 16u);
  EXPECT_LT(resident(), before + (128ull << 20)); // huge pages of 2 MiB included
}

TEST_F(Mem, LargeFillsWithZeroGiveHostPagesBack) {
  constexpr uint64_t kSize = 64ull << 20;
  ASSERT_EQ(ims_mem_add_ram(&m, 0x123, kSize), IMS_ERR_OK);
  ASSERT_EQ(ims_mem_fill(&m, 0x123, 0x5a, kSize), IMS_ERR_OK);
  EXPECT_EQ(load(0x123), 0x5a5a5a5a5a5a5a5au);
  uint64_t full = resident();
  ASSERT_EQ(ims_mem_fill(&m, 0x200, 0, kSize - 0x200), IMS_ERR_OK);
  EXPECT_LT(resident(), full - kSize / 2);
  EXPECT_EQ(load(0x123), 0x5a5a5a5a5a5a5a5au);
  EXPECT_EQ(load(0x1f8), 0x5a5a5a5a5a5a5a5au);
  EXPECT_EQ(load(0x200), 0u);
  EXPECT_EQ(load(kSize - 8), 0u);
  EXPECT_EQ(load(kSize), 0x5a5a5a5a5a5a5a5au);
  std::vector<uint8_t> all(kSize - 0x200, 1);
  ASSERT_EQ(ims_mem_read(&m, 0x200, all.data(), all.size()), IMS_ERR_OK);
  EXPECT_EQ(std::count(all.begin(), all.end(), 0), static_cast<long>(all.size()));
}

TEST_F(Mem, EqualMemoriesHaveEqualSumsHoweverTheyWereMade) {
  ims_mem other;
  ims_mem_init(&other);
  ASSERT_EQ(ims_mem_add_ram(&m, 0x1000, 0x10000), IMS_ERR_OK);
  for (uint64_t hpa = 0x1000; hpa < 0x11000; hpa += 0x7ff) // odd pieces, the last one shorter
    ASSERT_EQ(ims_mem_add_ram(&other, hpa, std::min<uint64_t>(0x7ff, 0x11000 - hpa)), IMS_ERR_OK);
  EXPECT_EQ(ims_mem_hash(&m), ims_mem_hash(&other));

  uint64_t zero = ims_mem_hash(&m);
  ASSERT_EQ(ims_mem_store64(&m, 0x2ffc, 0x8000000000000001), IMS_ERR_OK);
  EXPECT_NE(ims_mem_hash(&m), zero);
  ASSERT_EQ(ims_mem_store64(&other, 0x2ffc, 0x8000000000000001), IMS_ERR_OK);
  EXPECT_EQ(ims_mem_hash(&m), ims_mem_hash(&other));

  // Touched zeros are zeros.
  ASSERT_EQ(ims_mem_store64(&m, 0x8000, 7), IMS_ERR_OK);
  EXPECT_NE(ims_mem_hash(&m), ims_mem_hash(&other));
  ASSERT_EQ(ims_mem_store64(&m, 0x8000, 0), IMS_ERR_OK);
  EXPECT_EQ(ims_mem_hash(&m), ims_mem_hash(&other));

  // The borders count, and so does the place of what is in there.
  ASSERT_EQ(ims_mem_remove(&other, 0x10fff, 1), IMS_ERR_OK);
  EXPECT_NE(ims_mem_hash(&m), ims_mem_hash(&other));
  ASSERT_EQ(ims_mem_add_ram(&other, 0x10fff, 1), IMS_ERR_OK);
  ASSERT_EQ(ims_mem_store64(&other, 0x2ffc, 0), IMS_ERR_OK);
  ASSERT_EQ(ims_mem_store64(&other, 0x3ffc, 0x8000000000000001), IMS_ERR_OK);
  EXPECT_NE(ims_mem_hash(&m), ims_mem_hash(&other));
  ims_mem_fini(&other);
}

TEST_F(Mem, TheSumOfSixtyFourGigabytesTouchesNothing) {
  ASSERT_EQ(ims_mem_add_ram(&m, 0, 64ull << 30), IMS_ERR_OK);
  ASSERT_EQ(ims_mem_store64(&m, 33ull << 30, 1), IMS_ERR_OK);
  uint64_t before = resident(), sum = ims_mem_hash(&m);
  EXPECT_LT(resident(), before + (64ull << 20));
  ASSERT_EQ(ims_mem_store64(&m, 33ull << 30, 0), IMS_ERR_OK);
  EXPECT_NE(ims_mem_hash(&m), sum);
}

TEST_F(Mem, TwoMemoriesLiveApart) {
  ims_mem other;
  ims_mem_init(&other);
  ASSERT_EQ(ims_mem_add_ram(&m, 0x1000, 0x1000), IMS_ERR_OK);
  ASSERT_EQ(ims_mem_add_ram(&other, 0x1000, 0x1000), IMS_ERR_OK);
  ASSERT_EQ(ims_mem_store64(&m, 0x1000, 1), IMS_ERR_OK);
  uint64_t v = 9;
  ASSERT_EQ(ims_mem_load64(&other, 0x1000, &v), IMS_ERR_OK);
  EXPECT_EQ(v, 0u);
  ims_mem_fini(&other);
  EXPECT_EQ(other.regions, 0u);
  EXPECT_EQ(load(0x1000), 1u);
}

// A small piece of address space at random against a map from address to byte, which knows nothing of regions.
TEST_F(Mem, RandomOperationsAgreeWithAMapOfBytes) {
  constexpr uint64_t kBase = 0x7fff000, kSpace = 600;
  std::map<uint64_t, uint8_t> oracle;
  std::mt19937_64 rng(20200422);
  auto pick = [&](uint64_t n) { return rng() % n; };
  auto there = [&](uint64_t hpa, uint64_t len) {
    for (uint64_t i = 0; i < len; i++)
      if (!oracle.count(hpa + i))
        return false;
    return true;
  };
  for (int step = 0; step < 60000; step++) {
    uint64_t hpa = kBase + pick(kSpace), len = 1 + pick(pick(4) ? 20 : 200);
    SCOPED_TRACE(step);
    switch (pick(8)) {
    case 0: {
      bool free = oracle.lower_bound(hpa) == oracle.end() || oracle.lower_bound(hpa)->first >= hpa + len;
      ASSERT_EQ(ims_mem_add_ram(&m, hpa, len), free ? IMS_ERR_OK : IMS_ERR_OVERLAP);
      for (uint64_t i = 0; free && i < len; i++)
        oracle[hpa + i] = 0;
      break;
    }
    case 1:
      if (pick(3))
        break;
      ASSERT_EQ(ims_mem_remove(&m, hpa, len), IMS_ERR_OK);
      oracle.erase(oracle.lower_bound(hpa), oracle.lower_bound(hpa + len));
      break;
    case 2: {
      uint8_t value = static_cast<uint8_t>(pick(3));
      ASSERT_EQ(ims_mem_fill(&m, hpa, value, len), there(hpa, len) ? IMS_ERR_OK : IMS_ERR_BUS);
      for (uint64_t i = 0; i < len && there(hpa, len); i++)
        oracle[hpa + i] = value;
      break;
    }
    case 3: {
      std::vector<uint8_t> buf(len);
      for (uint8_t &b : buf)
        b = static_cast<uint8_t>(rng());
      bool ok = there(hpa, len);
      ASSERT_EQ(ims_mem_write(&m, hpa, buf.data(), len), ok ? IMS_ERR_OK : IMS_ERR_BUS);
      for (uint64_t i = 0; ok && i < len; i++)
        oracle[hpa + i] = buf[i];
      break;
    }
    case 4: {
      std::vector<uint8_t> buf(len);
      bool ok = there(hpa, len);
      ASSERT_EQ(ims_mem_read(&m, hpa, buf.data(), len), ok ? IMS_ERR_OK : IMS_ERR_BUS);
      for (uint64_t i = 0; ok && i < len; i++)
        ASSERT_EQ(buf[i], oracle[hpa + i]) << i;
      break;
    }
    case 5: {
      uint64_t value = rng();
      bool ok = there(hpa, 8);
      ASSERT_EQ(ims_mem_store64(&m, hpa, value), ok ? IMS_ERR_OK : IMS_ERR_BUS);
      for (uint64_t i = 0; ok && i < 8; i++)
        oracle[hpa + i] = static_cast<uint8_t>(value >> 8 * i);
      break;
    }
    case 6: {
      uint64_t value = 0, want = 0;
      bool ok = there(hpa, 8);
      ASSERT_EQ(ims_mem_load64(&m, hpa, &value), ok ? IMS_ERR_OK : IMS_ERR_BUS);
      for (uint64_t i = 0; ok && i < 8; i++)
        want |= static_cast<uint64_t>(oracle[hpa + i]) << 8 * i;
      if (ok) {
        ASSERT_EQ(value, want);
      }
      break;
    }
    default: {
      const uint8_t *p = ims_mem_ptr(&m, hpa, len); // may be NULL for a range that is there, in several regions
      if (p) {
        ASSERT_TRUE(there(hpa, len));
      }
      for (uint64_t i = 0; p && i < len; i++)
        ASSERT_EQ(p[i], oracle[hpa + i]) << i;
      ASSERT_EQ(ims_mem_find(&m, hpa) != nullptr, oracle.count(hpa) != 0);
    }
    }
    for (size_t i = 1; i < m.regions; i++)
      ASSERT_LE(m.region[i - 1].base + m.region[i - 1].size, m.region[i].base);
  }
  uint64_t bytes = 0;
  for (size_t i = 0; i < m.regions; i++)
    bytes += m.region[i].size;
  EXPECT_EQ(bytes, oracle.size());
}

TEST_F(Mem, FortyThousandPlugsInAnyOrder) {
  std::vector<uint64_t> order(40000);
  for (size_t i = 0; i < order.size(); i++)
    order[i] = i;
  std::shuffle(order.begin(), order.end(), std::mt19937_64(1));
  for (uint64_t i : order)
    ASSERT_EQ(ims_mem_add_ram(&m, i * 0x2000, 0x1000), IMS_ERR_OK);
  EXPECT_EQ(m.regions, order.size());
  for (uint64_t i : order)
    ASSERT_EQ(ims_mem_store64(&m, i * 0x2000 + 0xff8, i), IMS_ERR_OK);
  for (size_t i = 0; i < order.size(); i++)
    ASSERT_EQ(load(i * 0x2000 + 0xff8), i);
}

} // namespace
