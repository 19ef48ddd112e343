// SPDX-License-Identifier: Apache-2.0
// Raw images, and memory saved as a core and read back.
#include "mem/image.h"
#include "tests/mem/files.h"
#include <filesystem>
#include <gtest/gtest.h>
#include <random>
#include <string>
#include <vector>

namespace {

class Image : public ::testing::Test {
protected:
  Image() {
    ims_mem_init(&m);
    ims_mem_init(&back);
  }
  ~Image() override {
    ims_mem_fini(&m);
    ims_mem_fini(&back);
  }
  // Saves `m` and loads it into `back`; both must be the same memory.
  void round_trip() {
    path = dir.path("saved");
    ASSERT_EQ(ims_image_save_elf(&m, path.c_str()), IMS_ERR_OK);
    EXPECT_TRUE(ims_image_is_elf(path.c_str()));
    ASSERT_EQ(ims_image_load_elf(&back, path.c_str(), &err), IMS_ERR_OK) << err.detail;
    EXPECT_EQ(ims_mem_hash(&m), ims_mem_hash(&back));
    // Nothing but the file is left behind.
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.name()), {}), 1);
  }
  std::vector<Elf64_Phdr> headers() {
    std::ifstream in(path, std::ios::binary);
    Elf64_Ehdr h = {};
    in.read(reinterpret_cast<char *>(&h), sizeof h);
    uint64_t n = h.e_phnum;
    if (n == PN_XNUM) {
      Elf64_Shdr s = {};
      in.seekg(static_cast<std::streamoff>(h.e_shoff));
      in.read(reinterpret_cast<char *>(&s), sizeof s);
      n = s.sh_info;
    }
    std::vector<Elf64_Phdr> p(n);
    in.seekg(static_cast<std::streamoff>(h.e_phoff));
    in.read(reinterpret_cast<char *>(p.data()), static_cast<std::streamsize>(n * sizeof(Elf64_Phdr)));
    EXPECT_TRUE(in.good());
    return p;
  }
  void store(uint64_t hpa, uint64_t value) { ASSERT_EQ(ims_mem_store64(&m, hpa, value), IMS_ERR_OK); }
  uint64_t word(ims_mem &from, uint64_t hpa) {
    uint64_t v = 0;
    EXPECT_EQ(ims_mem_load64(&from, hpa, &v), IMS_ERR_OK) << std::hex << hpa;
    return v;
  }
  TempDir dir;
  std::string path;
  ims_mem m, back;
  ims_image_error err = {};
};

TEST_F(Image, RawMemoryLiesWhereItIsPut) {
  std::string raw = dir.path("raw");
  write_file(raw, "0123456789");
  ASSERT_EQ(ims_image_load_raw(&m, raw.c_str(), 0x12345, &err), IMS_ERR_OK);
  std::string s(10, '?');
  ASSERT_EQ(ims_mem_read(&m, 0x12345, s.data(), 10), IMS_ERR_OK);
  EXPECT_EQ(s, "0123456789");
  EXPECT_EQ(ims_mem_read(&m, 0x12345, s.data(), 11), IMS_ERR_BUS);
  EXPECT_EQ(ims_mem_read(&m, 0x12344, s.data(), 1), IMS_ERR_BUS);
  store(0x12345, 0);
  std::ifstream in(raw);
  std::getline(in, s);
  EXPECT_EQ(s, "0123456789");
}

TEST_F(Image, RawMemoryIsCheckedBeforeItIsMapped) {
  std::string raw = dir.path("raw"), empty = dir.path("empty");
  write_file(raw, std::string(0x1000, 'r'));
  write_file(empty, "");
  EXPECT_EQ(ims_image_load_raw(&m, empty.c_str(), 0, &err), IMS_ERR_FORMAT);
  EXPECT_NE(std::string(err.detail).find("file size: found 0 bytes"), std::string::npos) << err.detail;
  EXPECT_EQ(ims_image_load_raw(&m, raw.c_str(), (1ull << 52) - 0xfff, &err), IMS_ERR_RANGE);
  EXPECT_NE(std::string(err.detail).find("0xffffffffff001"), std::string::npos) << err.detail;
  EXPECT_EQ(ims_image_load_raw(&m, raw.c_str(), ~0ull, nullptr), IMS_ERR_RANGE);
  EXPECT_EQ(ims_image_load_raw(&m, (dir.name() + "/none").c_str(), 0, &err), IMS_ERR_IO);
  EXPECT_EQ(m.regions, 0u);
  EXPECT_EQ(ims_image_load_raw(&m, raw.c_str(), (1ull << 52) - 0x1000, &err), IMS_ERR_OK);
  EXPECT_EQ(ims_image_load_raw(&m, raw.c_str(), (1ull << 52) - 0x1fff, &err), IMS_ERR_OVERLAP);
  EXPECT_NE(std::string(err.detail).find("overlap"), std::string::npos) << err.detail;
  EXPECT_EQ(m.regions, 1u);
}

TEST_F(Image, ARawFileLargerThanTheHostsMemoryIsMapped) {
  std::string raw = dir.path("raw");
  write_file(raw, "begin");
  ASSERT_EQ(truncate(raw.c_str(), 64ll << 30), 0);
  ASSERT_EQ(ims_image_load_raw(&m, raw.c_str(), 0x1000, &err), IMS_ERR_OK) << err.detail;
  store((64ull << 30) + 0x1000 - 8, 42);
  EXPECT_EQ(word(m, (64ull << 30) + 0x1000 - 8), 42u);
  EXPECT_EQ(word(m, 0x1000), 0x6e69676562u);
}

TEST_F(Image, AnEmptyMemoryIsSavedAndReadBack) {
  round_trip();
  EXPECT_EQ(back.regions, 0u);
}

TEST_F(Image, BytesZerosAndHolesComeBack) {
  ASSERT_EQ(ims_mem_add_ram(&m, 0x1003, 0x10ffd), IMS_ERR_OK); // borders that are no page borders
  ASSERT_EQ(ims_mem_add_ram(&m, 0x40000000, 0x10000000), IMS_ERR_OK);
  ASSERT_EQ(ims_mem_add_ram(&m, (1ull << 52) - 0x1001, 0x1001), IMS_ERR_OK);
  store(0x1003, 0x1111111111111111);
  store(0x11ff8, 0x2222222222222222);
  store(0x44444444, 0x4444444444444444);
  store((1ull << 52) - 8, 0x5555555555555555);
  round_trip();
  EXPECT_EQ(word(back, 0x1003), 0x1111111111111111u);
  EXPECT_EQ(word(back, 0x11ff8), 0x2222222222222222u);
  EXPECT_EQ(word(back, 0x44444444), 0x4444444444444444u);
  EXPECT_EQ(word(back, 0x44444444 + 8), 0u);
  EXPECT_EQ(word(back, (1ull << 52) - 8), 0x5555555555555555u);
  EXPECT_EQ(ims_mem_find(&back, 0x1002), nullptr);
  EXPECT_EQ(ims_mem_find(&back, 0x12000), nullptr);
  EXPECT_EQ(ims_mem_find(&back, 0x50000000), nullptr);
  EXPECT_LT(file_size(path), 0x40000u);
}

TEST_F(Image, LongZerosAreMemoryWithoutBytes) {
  ASSERT_EQ(ims_mem_add_ram(&m, 0, 1ull << 30), IMS_ERR_OK);
  store(0x10000000, 1); // zeros before, and 1 MiB on, and short zeros
  store(0x10100000, 2);
  store(0x10102000, 3); // one page of zeros between: stays in the file
  round_trip();
  std::vector<Elf64_Phdr> p = headers();
  ASSERT_EQ(p.size(), 3u);
  EXPECT_EQ(p[0].p_paddr, 0u);
  EXPECT_EQ(p[0].p_filesz, 0u);
  EXPECT_EQ(p[0].p_memsz, 0x10000000u);
  EXPECT_EQ(p[1].p_paddr, 0x10000000u);
  EXPECT_EQ(p[1].p_filesz, 0x1000u);
  EXPECT_EQ(p[1].p_memsz, 0x100000u);
  EXPECT_EQ(p[2].p_paddr, 0x10100000u);
  EXPECT_EQ(p[2].p_filesz, 0x3000u);
  EXPECT_EQ(p[2].p_paddr + p[2].p_memsz, 1ull << 30);
  for (size_t i = 1; i < p.size(); i++)
    EXPECT_EQ(p[i].p_offset % 4096, p[i].p_paddr % 4096) << i;
}

TEST_F(Image, MoreSegmentsThanFitTheHeaderAreCountedInASection) {
  constexpr uint64_t kSegments = 66000;
  std::string raw = dir.path("stuff"); // one mapping under all regions
  write_file(raw, "");
  ASSERT_EQ(truncate(raw.c_str(), static_cast<off_t>(kSegments * 32)), 0);
  ASSERT_EQ(ims_image_load_raw(&m, raw.c_str(), 0x1000, &err), IMS_ERR_OK);
  unlink(raw.c_str());
  for (uint64_t i = 0; i < kSegments; i++) {
    store(0x1000 + i * 32, i);
    ASSERT_EQ(ims_mem_remove(&m, 0x1000 + i * 32 + 16, 16), IMS_ERR_OK);
  }
  round_trip();
  EXPECT_EQ(headers().size(), kSegments);
  for (uint64_t i = 0; i < kSegments; i++)
    ASSERT_EQ(word(back, 0x1000 + i * 32), i);
}

TEST_F(Image, RandomMemoriesComeBack) {
  std::mt19937_64 rng(3);
  for (int round = 0; round < 40; round++) {
    for (int i = 0; i < 12; i++)
      ims_mem_add_ram(&m, rng() % 0x400000, 1 + rng() % 0x80000); // overlaps are refused
    for (size_t i = 0; i < m.regions; i++)
      for (uint64_t n = rng() % 6; n > 0; n--)
        ims_mem_fill(&m, m.region[i].base + rng() % m.region[i].size, static_cast<uint8_t>(rng()), 1 + rng() % 9000);
    round_trip();
    std::vector<uint8_t> a(0x480000), b(0x480000);
    for (size_t i = 0; i < m.regions; i++) {
      const ims_mem_region r = m.region[i];
      ASSERT_EQ(ims_mem_read(&m, r.base, a.data(), r.size), IMS_ERR_OK);
      ASSERT_EQ(ims_mem_read(&back, r.base, b.data(), r.size), IMS_ERR_OK);
      ASSERT_TRUE(std::equal(a.begin(), a.begin() + static_cast<long>(r.size), b.begin()));
    }
    ims_mem_fini(&m);
    ims_mem_fini(&back);
  }
}

TEST_F(Image, ACoreCanBeSavedOverTheFileItCameFrom) {
  ASSERT_EQ(ims_mem_add_ram(&m, 0, 0x4000), IMS_ERR_OK);
  store(0x1000, 1);
  round_trip();
  ASSERT_EQ(ims_mem_store64(&back, 0x2000, 2), IMS_ERR_OK);
  ASSERT_EQ(ims_image_save_elf(&back, path.c_str()), IMS_ERR_OK);
  EXPECT_EQ(word(back, 0x1000), 1u);
  ims_mem again;
  ims_mem_init(&again);
  ASSERT_EQ(ims_image_load_elf(&again, path.c_str(), &err), IMS_ERR_OK) << err.detail;
  EXPECT_EQ(ims_mem_hash(&again), ims_mem_hash(&back));
  ims_mem_fini(&again);
}

TEST_F(Image, SavingWhereNothingCanBeWrittenLeavesNothing) {
  ASSERT_EQ(ims_mem_add_ram(&m, 0, 0x4000), IMS_ERR_OK);
  EXPECT_EQ(ims_image_save_elf(&m, (dir.name() + "/none/core").c_str()), IMS_ERR_IO);
  std::string folder = dir.name() + "/folder";
  ASSERT_EQ(mkdir(folder.c_str(), 0700), 0);
  EXPECT_EQ(ims_image_save_elf(&m, folder.c_str()), IMS_ERR_IO); // a folder is in the way of the rename
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.name()), {}), 1);
  rmdir(folder.c_str());
}

} // namespace
