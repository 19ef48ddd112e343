// SPDX-License-Identifier: Apache-2.0
// ELF cores as memory: sound ones of every kind, written here byte by byte.
#include "mem/image.h"
#include "tests/mem/files.h"
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace {

class Elf : public ::testing::Test {
protected:
  Elf() { ims_mem_init(&m); }
  ~Elf() override { ims_mem_fini(&m); }
  int load(const std::string &image) {
    std::string path = dir.path("core" + std::to_string(files++));
    write_file(path, image);
    return ims_image_load_elf(&m, path.c_str(), &err);
  }
  uint64_t word(uint64_t hpa) {
    uint64_t v = 0;
    EXPECT_EQ(ims_mem_load64(&m, hpa, &v), IMS_ERR_OK) << std::hex << hpa;
    return v;
  }
  std::string text(uint64_t hpa, size_t len) {
    std::string s(len, '?');
    EXPECT_EQ(ims_mem_read(&m, hpa, s.data(), len), IMS_ERR_OK) << std::hex << hpa;
    return s;
  }
  bool absent(uint64_t hpa) { return ims_mem_find(&m, hpa) == nullptr; }
  TempDir dir;
  ims_mem m;
  ims_image_error err = {};
  int files = 0;
};

TEST_F(Elf, SegmentsLieAtTheirPhysicalAddressAndTailsAreZero) {
  ElfCore core;
  core.add(0x40000000, "hello", 0x1000 - 5);
  core.add(0x1003, "abc"); // no alignment anywhere
  core.add(0x9000, "", 0x2000);
  ASSERT_EQ(load(core.settle().image()), IMS_ERR_OK) << err.detail;
  EXPECT_EQ(text(0x40000000, 8), std::string("hello\0\0\0", 8));
  EXPECT_EQ(text(0x1003, 3), "abc");
  EXPECT_EQ(word(0x40000ff8), 0u);
  EXPECT_EQ(word(0xaff8), 0u);
  for (uint64_t hpa : {0x1002, 0x1006, 0x8fff, 0xb000, 0x3fffffff, 0x40001000})
    EXPECT_TRUE(absent(hpa)) << std::hex << hpa;
}

TEST_F(Elf, StoresReachTheMemoryAndNeverTheFile) {
  ElfCore core;
  core.add(0x1000, std::string(0x2000, 'x'), 0x1000);
  std::string image = core.settle().image();
  ASSERT_EQ(load(image), IMS_ERR_OK);
  ASSERT_EQ(ims_mem_fill(&m, 0x1000, 0, 0x2000), IMS_ERR_OK);
  ASSERT_EQ(ims_mem_store64(&m, 0x3000, 7), IMS_ERR_OK);
  EXPECT_EQ(word(0x1000), 0u);
  EXPECT_EQ(word(0x3000), 7u);
  std::ifstream in(dir.name() + "/core0", std::ios::binary);
  std::string now((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  EXPECT_EQ(now, image);
}

TEST_F(Elf, ZerosFilledOverALargePieceOfTheFileStayZeros) {
  ElfCore core;
  core.add(0x100000, std::string(1 << 20, 'x'));
  ASSERT_EQ(load(core.settle().image()), IMS_ERR_OK);
  ASSERT_EQ(ims_mem_fill(&m, 0x100000, 0, 1 << 20), IMS_ERR_OK); // giving pages back would show the file again
  EXPECT_EQ(text(0x100000, 1 << 20), std::string(1 << 20, '\0'));
}

TEST_F(Elf, OtherKindsOfSegmentsAreNotMemory) {
  ElfCore core;
  core.add(0x1000, "memory");
  core.add(0x2000, "a note").p_type = PT_NOTE;
  core.add(~0ull, "").p_type = PT_NULL;
  core.add(~0ull, ""); // empty PT_LOAD: nothing, wherever
  ASSERT_EQ(load(core.settle().image()), IMS_ERR_OK) << err.detail;
  EXPECT_EQ(m.regions, 1u);
  EXPECT_TRUE(absent(0x2000));
}

TEST_F(Elf, ASegmentOfZerosNeedsNoOffset) {
  ElfCore core;
  core.add(0x1000, "", 0x1000);
  core.settle();
  core.segments[0].p_offset = ~0ull;
  ASSERT_EQ(load(core.image()), IMS_ERR_OK) << err.detail;
  EXPECT_EQ(word(0x1ff8), 0u);
}

TEST_F(Elf, TheFirstOfOverlappingSegmentsCounts) {
  ElfCore core;
  core.add(0x1010, "BBBBBBBBBBBBBBBB");           // 0x1010..0x1020
  core.add(0x1018, "CCCCCCCCCCCCCCCC");           // 0x1018..0x1028: only its second half
  core.add(0x1000, std::string(0x20, 'D'), 0x20); // 0x1000..0x1040: around both, zeros from 0x1020
  core.add(0x1038, "EEEEEEEEEEEEEEEE");           // 0x1038..0x1048: only its second half
  core.add(0x1012, "FF");                         // nothing of it
  ASSERT_EQ(load(core.settle().image()), IMS_ERR_OK) << err.detail;
  EXPECT_EQ(text(0x1000, 0x48), std::string(16, 'D') + std::string(16, 'B') + std::string(8, 'C') +
                                    std::string(24, '\0') + std::string(8, 'E'));
}

TEST_F(Elf, EqualSegmentsCountOnce) {
  ElfCore core;
  for (int i = 0; i < 3; i++) // as a dump with paging has them: one memory, several virtual addresses, the same bytes
    core.add(0x1000, i ? "" : "page");
  core.settle();
  core.segments[1] = core.segments[2] = core.segments[0];
  ASSERT_EQ(load(core.image()), IMS_ERR_OK) << err.detail;
  EXPECT_EQ(m.regions, 1u);
  EXPECT_EQ(text(0x1000, 4), "page");
}

TEST_F(Elf, SegmentsThatShareBytesOfTheFileAreMemoryOfTheirOwn) {
  for (size_t size : {size_t{0x1000}, size_t{0x40000}}) { // copied; mapped once more
    ElfCore core;
    for (uint64_t i = 0; i < 4; i++)
      core.add(0x10000000 + i * 0x100000, i ? "" : std::string(size, 's'));
    core.settle();
    for (uint64_t i = 1; i < 4; i++) {
      core.segments[i].p_offset = core.segments[0].p_offset + i; // shifted against each other
      core.segments[i].p_filesz = core.segments[i].p_memsz = size - i;
    }
    ASSERT_EQ(load(core.image()), IMS_ERR_OK) << err.detail;
    for (uint64_t i = 0; i < 4; i++)
      ASSERT_EQ(ims_mem_store64(&m, 0x10000100 + i * 0x100000, i), IMS_ERR_OK);
    for (uint64_t i = 0; i < 4; i++) {
      EXPECT_EQ(word(0x10000100 + i * 0x100000), i);
      EXPECT_EQ(text(0x10000108 + i * 0x100000, 16), std::string(16, 's'));
      EXPECT_TRUE(absent(0x10000000 + i * 0x100000 + size - i));
    }
    ims_mem_fini(&m);
  }
}

TEST_F(Elf, NeighboursInFileAndMemoryBecomeOneRegion) {
  ElfCore core;
  for (uint64_t i = 0; i < 100; i++)
    core.add(0x1000 + i * 16, std::string(16, static_cast<char>('a' + i % 26)));
  for (uint64_t i = 0; i < 100; i++)
    core.add(0x100000 + i * 0x1000, "", 0x1000);
  ASSERT_EQ(load(core.settle().image()), IMS_ERR_OK) << err.detail;
  EXPECT_EQ(m.regions, 2u);
  EXPECT_EQ(text(0x1000 + 27 * 16, 16), std::string(16, 'b'));
  EXPECT_EQ(text(0x100000, 100 * 0x1000), std::string(100 * 0x1000, '\0'));
}

TEST_F(Elf, FortyThousandSegmentsInAnyOrder) {
  constexpr uint64_t kSegments = 40000;
  ElfCore core;
  std::vector<uint64_t> order(kSegments);
  for (uint64_t i = 0; i < kSegments; i++)
    order[i] = i;
  std::shuffle(order.begin(), order.end(), std::mt19937_64(7));
  for (uint64_t i : order) { // bytes, zeros, hole, one after the other
    uint64_t value = i * 0x9e3779b97f4a7c15;
    core.add(i * 0x3000, std::string(reinterpret_cast<const char *>(&value), 8), 0x1ff8);
  }
  auto begin = std::chrono::steady_clock::now();
  ASSERT_EQ(load(core.settle().image()), IMS_ERR_OK) << err.detail;
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5)); // some 10 ms, unless quadratic
  EXPECT_EQ(m.regions, 2 * kSegments);
  for (uint64_t i = 0; i < kSegments; i++) {
    ASSERT_EQ(word(i * 0x3000), i * 0x9e3779b97f4a7c15);
    ASSERT_EQ(word(i * 0x3000 + 4), i * 0x9e3779b97f4a7c15 >> 32); // half bytes, half zeros: two regions
    ASSERT_EQ(word(i * 0x3000 + 0x1ff8), 0u);
    ASSERT_TRUE(absent(i * 0x3000 + 0x2000));
    ASSERT_EQ(ims_mem_store64(&m, i * 0x3000 + 0x1000, i), IMS_ERR_OK);
  }
  for (uint64_t i = 0; i < kSegments; i++)
    ASSERT_EQ(word(i * 0x3000 + 0x1000), i);
}

TEST_F(Elf, SeventyThousandSegmentsAreCountedInSectionHeaderZero) {
  constexpr uint64_t kSegments = 70000;
  ElfCore core;
  for (uint64_t i = 0; i < kSegments; i++)
    core.add(0x100000 + i * 0x20, std::string(8, static_cast<char>(i)), 8);
  ASSERT_EQ(load(core.settle(true).image()), IMS_ERR_OK) << err.detail;
  EXPECT_EQ(word(0x100000 + 69999 * 0x20), (69999 & 0xff) * 0x0101010101010101u);
  EXPECT_TRUE(absent(0x100000 + 70000 * 0x20));
  EXPECT_EQ(m.regions, 2 * kSegments);
}

TEST_F(Elf, ACoreWithoutSegmentsAddsNothing) {
  ElfCore core;
  ASSERT_EQ(load(core.settle().image()), IMS_ERR_OK) << err.detail;
  EXPECT_EQ(m.regions, 0u);
}

TEST_F(Elf, MemoryThatWasThereBeforeIsNotOverwritten) {
  ASSERT_EQ(ims_mem_add_ram(&m, 0x5000, 0x1000), IMS_ERR_OK);
  ElfCore core;
  core.add(0x1000, "one");
  core.add(0x4000, "two", 0x1000);
  core.add(0x5fff, "three");
  ASSERT_EQ(load(core.settle().image()), IMS_ERR_OVERLAP);
  EXPECT_NE(std::string(err.detail).find("program header 1"), std::string::npos) << err.detail;
  EXPECT_NE(std::string(err.detail).find("no memory there already"), std::string::npos) << err.detail;
  EXPECT_EQ(m.regions, 1u);
  EXPECT_TRUE(absent(0x1000));
  EXPECT_EQ(word(0x5000), 0u);
}

TEST_F(Elf, SeveralFilesMakeOneMemory) {
  ElfCore low, high;
  low.add(0x1000, "low", 0xffd);
  high.add(0x2000, "high", 0xffc);
  ASSERT_EQ(load(high.settle().image()), IMS_ERR_OK);
  ASSERT_EQ(load(low.settle().image()), IMS_ERR_OK);
  EXPECT_EQ(text(0x1000, 0x1004), "low" + std::string(0xffd, '\0') + "high");
}

TEST_F(Elf, SegmentsOfTheFileAreRemovedLikeAnyMemory) {
  ElfCore core;
  core.add(0x10000, std::string(0x8000, 'f'), 0x8000);
  ASSERT_EQ(load(core.settle().image()), IMS_ERR_OK);
  ASSERT_EQ(ims_mem_remove(&m, 0x14000, 0x8000), IMS_ERR_OK);
  EXPECT_EQ(text(0x10000, 0x4000), std::string(0x4000, 'f'));
  EXPECT_EQ(text(0x1c000, 0x4000), std::string(0x4000, '\0'));
  EXPECT_TRUE(absent(0x14000));
  ASSERT_EQ(ims_mem_remove(&m, 0, ~0ull), IMS_ERR_OK);
  EXPECT_EQ(m.backing, nullptr);
}

TEST_F(Elf, ASparseCoreOfSixtyFourGigabytesIsMappedNotRead) {
  constexpr uint64_t kSize = 64ull << 30;
  ElfCore core;
  core.add(0x100000000, "");
  core.settle();
  core.segments[0].p_filesz = kSize;
  core.segments[0].p_memsz = kSize + (1ull << 40);
  std::string path = dir.path("sparse");
  write_file(path, core.image());
  uint64_t head = file_size(path);
  ASSERT_EQ(truncate(path.c_str(), static_cast<off_t>(head + kSize)), 0);
  ASSERT_EQ(ims_image_load_elf(&m, path.c_str(), &err), IMS_ERR_OK) << err.detail;
  ASSERT_EQ(ims_mem_store64(&m, 0x100000000 + kSize - 4, 0x1122334455667788), IMS_ERR_OK); // half file, half zeros
  EXPECT_EQ(word(0x100000000 + kSize - 4), 0x1122334455667788u);
  EXPECT_EQ(word(0x100000000), 0u);
  EXPECT_EQ(word(0x100000000 + kSize + (1ull << 40) - 8), 0u);
  EXPECT_TRUE(absent(0x100000000 + kSize + (1ull << 40)));
}

TEST_F(Elf, RandomOverlapsAgreeWithSegmentsPaintedInReverse) {
  std::mt19937_64 rng(4);
  for (int round = 0; round < 400; round++) {
    ElfCore core;
    size_t n = 1 + rng() % 30;
    for (size_t i = 0; i < n; i++)
      core.add(0x1000 + rng() % 300, std::string(rng() % 60, static_cast<char>(1 + i)), rng() % 40);
    std::map<uint64_t, char> oracle;
    for (size_t i = n; i-- > 0;)
      for (uint64_t k = 0; k < core.segments[i].p_memsz; k++)
        oracle[core.segments[i].p_paddr + k] = k < core.segments[i].p_filesz ? static_cast<char>(1 + i) : '\0';
    ASSERT_EQ(load(core.settle().image()), IMS_ERR_OK) << err.detail;
    for (uint64_t hpa = 0xff0; hpa < 0x1200; hpa++) {
      char byte = 0;
      int want = oracle.count(hpa) ? IMS_ERR_OK : IMS_ERR_BUS;
      ASSERT_EQ(ims_mem_read(&m, hpa, &byte, 1), want) << "round " << round << " hpa " << hpa;
      if (want == IMS_ERR_OK) {
        ASSERT_EQ(byte, oracle[hpa]) << "round " << round << " hpa " << hpa;
      }
    }
    ims_mem_fini(&m);
  }
}

TEST_F(Elf, TheMagicTellsACoreFromRawMemory) {
  std::string core = dir.path("core"), raw = dir.path("raw"), tiny = dir.path("tiny");
  write_file(core, ElfCore().settle().image());
  write_file(raw, std::string(4096, '\0'));
  write_file(tiny, "\x7f"
                   "EL");
  EXPECT_TRUE(ims_image_is_elf(core.c_str()));
  EXPECT_FALSE(ims_image_is_elf(raw.c_str()));
  EXPECT_FALSE(ims_image_is_elf(tiny.c_str()));
  EXPECT_FALSE(ims_image_is_elf((dir.name() + "/none").c_str()));
  EXPECT_FALSE(ims_image_is_elf(dir.name().c_str()));
}

// Memory of captured machines: 256 MiB without a hole, tables among zeros.
TEST_F(Elf, CoresOfCapturedMachinesLoad) {
  std::filesystem::path corpus = std::filesystem::path(IMS_SHARED_DIR) / "corpus";
  if (std::string(IMS_SHARED_DIR).empty() || !std::filesystem::is_directory(corpus))
    GTEST_SKIP() << "no corpus";
  int seen = 0;
  for (const auto &entry : std::filesystem::directory_iterator(corpus)) {
    std::filesystem::path core = entry.path() / "mem.elf";
    if (!std::filesystem::exists(core))
      continue;
    SCOPED_TRACE(core.string());
    seen++;
    EXPECT_TRUE(ims_image_is_elf(core.c_str()));
    ASSERT_EQ(ims_image_load_elf(&m, core.c_str(), &err), IMS_ERR_OK) << err.detail;
    uint64_t base = core.string().find("smmu") != std::string::npos ? 0x40000000 : 0;
    std::vector<uint8_t> all(256 << 20);
    EXPECT_EQ(ims_mem_read(&m, base, all.data(), all.size()), IMS_ERR_OK);
    EXPECT_TRUE(absent(base + all.size()));
    EXPECT_GT(all.size() - static_cast<size_t>(std::count(all.begin(), all.end(), 0)), 1000u);
    ims_mem_fini(&m);
  }
  EXPECT_GT(seen, 0);
}

} // namespace
