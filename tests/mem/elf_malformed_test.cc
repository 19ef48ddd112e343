// SPDX-License-Identifier: Apache-2.0
// ELF files that are wrong: each is refused, and the message names the field, what was found and what was expected.
#include "mem/image.h"
#include "tests/mem/files.h"
#include <functional>
#include <gtest/gtest.h>
#include <random>
#include <string>
#include <vector>

namespace {

struct Bad {
  const char *name;
  std::function<void(ElfCore &)> bend; // after settle()
  uint64_t offset;                     // where the message points
  std::vector<std::string> words;      // all in the detail
  size_t length = std::string::npos;   // of the file, when cut short
};

constexpr uint64_t kPhdr1 = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr);

ElfCore sound() {
  ElfCore core;
  core.add(0x1000, std::string(0x100, 'x'), 0x100);
  core.add(0x8000, std::string(0x100, 'y'), 0x100);
  return core.settle();
}

void with_xnum(ElfCore &core) {
  core = ElfCore();
  core.add(0x1000, "x");
  core.settle(true);
}

std::vector<Bad> bad_files() {
  return {
      {"EmptyFile", [](ElfCore &) {}, 0, {"e_ident", "no ELF magic", "7f 45 4c 46"}, 0},
      {"Magic", [](ElfCore &c) { c.header.e_ident[1] = 'e'; }, 0, {"e_ident", "no ELF magic"}},
      {"TruncatedHeader", [](ElfCore &) {}, 63, {"ELF header", "63 bytes", "at least 64"}, 63},
      {"OnlyTheMagic", [](ElfCore &) {}, 4, {"ELF header", "4 bytes", "at least 64"}, 4},
      {"Elf32", [](ElfCore &c) { c.header.e_ident[EI_CLASS] = 1; }, 4, {"EI_CLASS", "1 (ELF32)", "2 (ELF64)"}},
      {"NoClass", [](ElfCore &c) { c.header.e_ident[EI_CLASS] = 9; }, 4, {"EI_CLASS", "found 9", "2 (ELF64)"}},
      {"BigEndian", [](ElfCore &c) { c.header.e_ident[EI_DATA] = 2; }, 5, {"EI_DATA", "2 (big-endian)", "1 (little"}},
      {"Version", [](ElfCore &c) { c.header.e_ident[EI_VERSION] = 0; }, 6, {"EI_VERSION", "found 0", "expected 1"}},
      {"ObjectFile", [](ElfCore &c) { c.header.e_type = ET_REL; }, 16, {"e_type", "found 1", "4 (core)"}},
      {"EntrySize", [](ElfCore &c) { c.header.e_phentsize = 55; }, 54, {"e_phentsize", "found 55", "expected 56"}},
      {"TableBeyondFile", [](ElfCore &c) { c.header.e_phoff = 0x100000; }, 32, {"e_phoff", "0x100000", "within"}},
      {"TableWraps", [](ElfCore &c) { c.header.e_phoff = ~0ull - 10; }, 32, {"e_phoff", "0xfffffffffffffff5"}},
      {"TableCutShort", [](ElfCore &) {}, 32, {"e_phoff", "2 program headers", "0xaf bytes"}, 64 + 2 * 56 - 1},
      {"TooManyHeaders", [](ElfCore &c) { c.header.e_phnum = 0xfffe; }, 32, {"65534 program headers", "within"}},
      {"OffsetBeyondFile",
       [](ElfCore &c) { c.segments[1].p_offset = 0x10000; },
       kPhdr1 + 8,
       {"program header 1", "p_offset", "0x10000", "0x2b0 bytes"}},
      {"OffsetAtTheEnd",
       [](ElfCore &c) { c.segments[1].p_offset = 0x2b0; },
       kPhdr1 + 8,
       {"program header 1", "p_offset", "found 0x2b0", "0x2b0 bytes"}},
      {"OffsetWraps",
       [](ElfCore &c) { c.segments[1].p_offset = ~0ull - 0x7f; },
       kPhdr1 + 8,
       {"program header 1", "p_offset", "0xffffffffffffff80"}},
      {"OneByteTooLong",
       [](ElfCore &c) { c.segments[1].p_filesz++; },
       kPhdr1 + 32,
       {"program header 1", "p_filesz", "0x101", "0x2b0 bytes"}},
      {"FileSizeWraps",
       [](ElfCore &c) {
         c.segments[1].p_filesz = (1ull << 52) - 0x8000;
         c.segments[1].p_memsz = (1ull << 52) - 0x8000;
       },
       kPhdr1 + 32,
       {"program header 1", "p_filesz", "0xfffffffff8000"}},
      {"MemoryShorterThanFile",
       [](ElfCore &c) { c.segments[1].p_memsz = 0xff; },
       kPhdr1 + 40,
       {"program header 1", "p_memsz", "found 0xff", "p_filesz 0x100"}},
      {"MemorySizeZero",
       [](ElfCore &c) { c.segments[0].p_memsz = 0; },
       64 + 40,
       {"program header 0", "p_memsz", "found 0x0", "p_filesz 0x100"}},
      {"AddressBeyond52Bits",
       [](ElfCore &c) { c.segments[1].p_paddr = 1ull << 52; },
       kPhdr1 + 24,
       {"program header 1", "p_paddr", "0x10000000000000", "52 bits"}},
      {"AddressAllOnes",
       [](ElfCore &c) { c.segments[1].p_paddr = ~0ull; },
       kPhdr1 + 24,
       {"program header 1", "p_paddr", "0xffffffffffffffff", "52 bits"}},
      {"EndBeyond52Bits",
       [](ElfCore &c) { c.segments[1].p_paddr = (1ull << 52) - 0x1ff; },
       kPhdr1 + 40,
       {"program header 1", "p_memsz", "0x200", "0xffffffffffe01", "52 bits"}},
      {"MemorySizeWraps",
       [](ElfCore &c) { c.segments[1].p_memsz = ~0ull; },
       kPhdr1 + 40,
       {"program header 1", "p_memsz", "0xffffffffffffffff", "52 bits"}},
      {"XnumWithoutSection",
       [](ElfCore &c) {
         with_xnum(c);
         c.header.e_shoff = 0;
       },
       40,
       {"e_shoff", "found 0x0", "PN_XNUM", "section header"}},
      {"XnumSectionBeyondFile",
       [](ElfCore &c) {
         with_xnum(c);
         c.header.e_shoff = ~0ull - 63;
       },
       40,
       {"e_shoff", "0xffffffffffffffc0", "PN_XNUM"}},
      {"XnumSectionSize",
       [](ElfCore &c) {
         with_xnum(c);
         c.header.e_shentsize = 40;
       },
       58,
       {"e_shentsize", "found 40", "expected 64"}},
      {"XnumCountZero",
       [](ElfCore &c) {
         with_xnum(c);
         c.section.sh_info = 0;
       },
       64 + 44,
       {"sh_info", "found 0", "number of program headers"}},
      {"XnumCountBeyondFile",
       [](ElfCore &c) {
         with_xnum(c);
         c.section.sh_info = ~0u;
       },
       32,
       {"e_phoff", "4294967295 program headers"}},
  };
}

TEST(ElfMalformed, EveryFieldIsCheckedAndNamed) {
  TempDir dir;
  std::string path = dir.path("bad");
  for (const Bad &bad : bad_files()) {
    SCOPED_TRACE(bad.name);
    ElfCore core = sound();
    bad.bend(core);
    write_file(path, core.image().substr(0, bad.length));
    ims_mem m;
    ims_mem_init(&m);
    ims_image_error err = {~0ull, ""};
    EXPECT_EQ(ims_image_load_elf(&m, path.c_str(), &err), IMS_ERR_FORMAT);
    for (const std::string &word : bad.words)
      EXPECT_NE(std::string(err.detail).find(word), std::string::npos) << "no \"" << word << "\" in: " << err.detail;
    EXPECT_EQ(err.offset, bad.offset) << err.detail;
    EXPECT_LT(std::strlen(err.detail), sizeof err.detail - 1) << "cut short: " << err.detail;
    EXPECT_EQ(ims_image_load_elf(&m, path.c_str(), nullptr), IMS_ERR_FORMAT);
    EXPECT_EQ(m.regions, 0u);
    EXPECT_EQ(m.backing, nullptr);
    ims_mem_fini(&m);
  }
}

TEST(ElfMalformed, TheSoundFileTheOthersAreBentFromLoads) {
  TempDir dir;
  std::string path = dir.path("sound");
  write_file(path, sound().image());
  ASSERT_EQ(file_size(path), 0x2b0u);
  ims_mem m;
  ims_mem_init(&m);
  EXPECT_EQ(ims_image_load_elf(&m, path.c_str(), nullptr), IMS_ERR_OK);
  EXPECT_EQ(m.regions, 4u);
  ims_mem_fini(&m);
}

TEST(ElfMalformed, WhatIsNoFileIsAnInputError) {
  TempDir dir;
  ims_mem m;
  ims_mem_init(&m);
  ims_image_error err = {};
  EXPECT_EQ(ims_image_load_elf(&m, (dir.name() + "/none").c_str(), &err), IMS_ERR_IO);
  EXPECT_NE(std::string(err.detail).find("No such file"), std::string::npos) << err.detail;
  EXPECT_EQ(ims_image_load_elf(&m, dir.name().c_str(), &err), IMS_ERR_IO);
  EXPECT_NE(std::string(err.detail).find("regular file"), std::string::npos) << err.detail;
  std::string fifo = dir.path("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_EQ(ims_image_load_elf(&m, fifo.c_str(), &err), IMS_ERR_IO); // and does not wait for a writer
  EXPECT_EQ(ims_image_load_raw(&m, fifo.c_str(), 0, &err), IMS_ERR_IO);
  ims_mem_fini(&m);
}

// No random damage does harm: the file loads or is refused, and the memory then is sound or untouched.
TEST(ElfMalformed, RandomDamageNeverHurts) {
  TempDir dir;
  std::string path = dir.path("damaged");
  std::mt19937_64 rng(11);
  int loaded = 0, refused = 0;
  for (int round = 0; round < 3000; round++) {
    std::string image = sound().image();
    size_t header = rng() % 2 ? sizeof(Elf64_Ehdr) : sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr);
    for (size_t hits = 1 + rng() % 3; hits > 0; hits--) {
      size_t at = 16 + rng() % (header - 16);
      image[at] = static_cast<char>(rng() % 3 ? rng() : (rng() % 2 ? 0xff : 0));
    }
    write_file(path, image);
    ims_mem m;
    ims_mem_init(&m);
    ims_image_error err = {};
    int rc = ims_image_load_elf(&m, path.c_str(), &err);
    if (rc == IMS_ERR_OK) {
      loaded++;
      for (size_t i = 0; i < m.regions; i++) {
        ASSERT_LE(m.region[i].base + m.region[i].size, 1ull << 52);
        uint64_t v;
        ims_mem_load64(&m, m.region[i].base, &v);
        ims_mem_load64(&m, m.region[i].base + m.region[i].size - 8, &v);
      }
    } else {
      refused++;
      ASSERT_TRUE(rc == IMS_ERR_FORMAT || rc == IMS_ERR_NOMEM) << rc;
      ASSERT_NE(err.detail[0], '\0');
      ASSERT_EQ(m.regions, 0u);
    }
    ims_mem_fini(&m);
  }
  EXPECT_GT(loaded, 100);
  EXPECT_GT(refused, 100);
}

} // namespace
