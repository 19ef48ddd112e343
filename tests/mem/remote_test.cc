// SPDX-License-Identifier: Apache-2.0
// Memory whose other part lies elsewhere: what goes there, in which pieces, and what its errors become.
#include "mem/mem.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace {

constexpr uint64_t kEnd = uint64_t(1) << IMS_MEM_ADDR_BITS;

// Local: [0x1000, 0x2000) and [0x3000, 0x4000). Elsewhere: 64 KB from 0, that note each access.
struct World {
  World() {
    ims_mem_init(&mem);
    EXPECT_EQ(IMS_ERR_OK, ims_mem_add_ram(&mem, 0x1000, 0x1000));
    EXPECT_EQ(IMS_ERR_OK, ims_mem_add_ram(&mem, 0x3000, 0x1000));
    ims_mem_remote r = {};
    r.ctx = this;
    r.read = [](void *ctx, uint64_t hpa, void *buf, size_t len) {
      World *w = static_cast<World *>(ctx);
      w->log.push_back("r " + std::to_string(hpa) + " " + std::to_string(len));
      if (!w->there(hpa, len))
        return 5;
      memcpy(buf, &w->bytes[hpa], len);
      return 0;
    };
    r.write = [](void *ctx, uint64_t hpa, const void *buf, size_t len) {
      World *w = static_cast<World *>(ctx);
      w->log.push_back("w " + std::to_string(hpa) + " " + std::to_string(len));
      if (!w->there(hpa, len))
        return -1;
      memcpy(&w->bytes[hpa], buf, len);
      return 0;
    };
    ims_mem_set_remote(&mem, &r);
  }
  ~World() { ims_mem_fini(&mem); }
  World(const World &) = delete;
  World &operator=(const World &) = delete;
  bool there(uint64_t hpa, size_t len) const { return hpa <= bytes.size() && len <= bytes.size() - hpa; }
  ims_mem mem;
  std::vector<uint8_t> bytes = std::vector<uint8_t>(0x10000);
  std::vector<std::string> log;
};

using Log = std::vector<std::string>;

TEST(Remote, TakesWhatNoRegionHolds) {
  World w;
  EXPECT_EQ(IMS_ERR_OK, ims_mem_store64(&w.mem, 0x5000, 0x1122334455667788));
  EXPECT_EQ(0x88, w.bytes[0x5000]);
  uint64_t value = 0;
  EXPECT_EQ(IMS_ERR_OK, ims_mem_load64(&w.mem, 0x5000, &value));
  EXPECT_EQ(0x1122334455667788u, value);
  EXPECT_EQ((Log{"w 20480 8", "r 20480 8"}), w.log);
}

TEST(Remote, IsNotAskedForRegions) {
  World w;
  uint64_t value = 7;
  EXPECT_EQ(IMS_ERR_OK, ims_mem_store64(&w.mem, 0x1ff8, 9));
  EXPECT_EQ(IMS_ERR_OK, ims_mem_load64(&w.mem, 0x1ff8, &value));
  EXPECT_EQ(9u, value);
  EXPECT_TRUE(w.log.empty());
  EXPECT_EQ(0, w.bytes[0x1ff8]);
}

// From before the first region to behind the second: there, here, there, here, there.
TEST(Remote, TakesThePiecesBetweenRegions) {
  World w;
  std::vector<uint8_t> out(0x4000), in(0x4000);
  for (size_t i = 0; i < out.size(); i++)
    out[i] = static_cast<uint8_t>(i * 31 + (i >> 8));
  EXPECT_EQ(IMS_ERR_OK, ims_mem_write(&w.mem, 0x800, out.data(), out.size()));
  EXPECT_EQ((Log{"w 2048 2048", "w 8192 4096", "w 16384 2048"}), w.log);
  EXPECT_EQ(IMS_ERR_OK, ims_mem_read(&w.mem, 0x800, in.data(), in.size()));
  EXPECT_EQ(out, in);
  EXPECT_EQ(0, w.bytes[0x1000]) << "what a region holds is not there";
  EXPECT_EQ(out[0x800], *ims_mem_ptr(&w.mem, 0x1000, 1));
  EXPECT_EQ(out[0x1800], w.bytes[0x2000]);
}

TEST(Remote, ErrorsAreBusErrors) {
  World w;
  uint64_t value = 3, seen = 4;
  EXPECT_EQ(IMS_ERR_BUS, ims_mem_load64(&w.mem, 0x20000, &value));
  EXPECT_EQ(IMS_ERR_BUS, ims_mem_store64(&w.mem, 0x20000, 1));
  EXPECT_EQ(IMS_ERR_BUS, ims_mem_cas64(&w.mem, 0x20000, 0, 1, &seen));
  EXPECT_EQ(4u, seen);
  ims_mem_remote none = {};
  ims_mem_set_remote(&w.mem, &none);
  EXPECT_EQ(IMS_ERR_BUS, ims_mem_load64(&w.mem, 0x5000, &value));
  EXPECT_EQ(IMS_ERR_BUS, ims_mem_store64(&w.mem, 0x5000, 1));
}

TEST(Remote, EndsWhereAddressesEnd) {
  World w;
  uint8_t buf[16];
  for (uint64_t hpa : {kEnd - 8, kEnd, ~uint64_t(0) - 3}) {
    EXPECT_EQ(IMS_ERR_BUS, ims_mem_read(&w.mem, hpa, buf, 16)) << hpa;
    EXPECT_EQ(IMS_ERR_BUS, ims_mem_write(&w.mem, hpa, buf, 16)) << hpa;
  }
  EXPECT_TRUE(w.log.empty()) << "nobody is asked";
  EXPECT_EQ(IMS_ERR_BUS, ims_mem_read(&w.mem, kEnd - 16, buf, 16));
  EXPECT_EQ(1u, w.log.size());
}

TEST(Remote, ComparesAndSwapsByReadAndWrite) {
  World w;
  w.bytes[0x5000] = 5;
  uint64_t seen = 0;
  EXPECT_EQ(IMS_ERR_OK, ims_mem_cas64(&w.mem, 0x5000, 4, 9, &seen));
  EXPECT_EQ(5u, seen);
  EXPECT_EQ((Log{"r 20480 8"}), w.log) << "not equal: nothing is written";
  EXPECT_EQ(IMS_ERR_OK, ims_mem_cas64(&w.mem, 0x5000, 5, 9, &seen));
  EXPECT_EQ(5u, seen);
  EXPECT_EQ(9, w.bytes[0x5000]);
  EXPECT_EQ((Log{"r 20480 8", "r 20480 8", "w 20480 8"}), w.log);
}

TEST(Remote, GoesAgain) {
  World w;
  ims_mem_set_remote(&w.mem, nullptr);
  uint64_t value;
  EXPECT_EQ(IMS_ERR_BUS, ims_mem_load64(&w.mem, 0x5000, &value));
  EXPECT_TRUE(w.log.empty());
  World fresh;
  ims_mem_fini(&fresh.mem);
  EXPECT_EQ(IMS_ERR_BUS, ims_mem_load64(&fresh.mem, 0x5000, &value)) << "an empty memory has nobody elsewhere";
}

TEST(Remote, IsNotFilledOrSummed) {
  World w;
  uint64_t sum = ims_mem_hash(&w.mem);
  EXPECT_EQ(IMS_ERR_BUS, ims_mem_fill(&w.mem, 0x1800, 1, 0x1000));
  EXPECT_EQ(IMS_ERR_OK, ims_mem_store64(&w.mem, 0x5000, 1));
  EXPECT_EQ(sum, ims_mem_hash(&w.mem));
  EXPECT_EQ(nullptr, ims_mem_ptr(&w.mem, 0x5000, 1));
}

} // namespace
