// SPDX-License-Identifier: Apache-2.0
// Running the real program in tests, and small machines to hand to it.
#pragma once

#include "tests/mem/files.h"
#include <cstdint>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <map>
#include <spawn.h>
#include <sstream>
#include <string>
#include <sys/wait.h>
#include <vector>

extern char **environ;

inline std::string read_text(const std::string &path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

struct Ran {
  int status; // exit status; 128 + signal
  std::string out, err;
};

// Runs the program with these arguments; `input` is its standard input.
inline Ran run_program(const std::vector<std::string> &arguments, const std::string &input = "") {
  TempDir dir;
  std::string in = dir.path("in"), out = dir.path("out"), err = dir.path("err");
  write_file(in, input);
  std::vector<char *> argv = {const_cast<char *>(IMS_PROGRAM)};
  for (const std::string &a : arguments)
    argv.push_back(const_cast<char *>(a.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, in.c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_addopen(&files, 2, err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  pid_t pid = 0;
  int rc = posix_spawn(&pid, IMS_PROGRAM, &files, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  if (rc != 0)
    throw std::runtime_error("cannot run " IMS_PROGRAM);
  int status = 0;
  waitpid(pid, &status, 0);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_text(out), read_text(err)};
}

inline std::vector<std::string> split(const std::string &text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);)
    parts.push_back(part);
  return parts;
}

// A machine of VT-d structures, stored word by word: host structures from 0 on, the guest's memory from 1 MB on.
class Machine {
public:
  static constexpr uint64_t guest_base = 0x100000;

  void store(uint64_t hpa, uint64_t word) { words_[hpa] = word; }
  uint64_t &at(uint64_t hpa) { return words_[hpa]; }

  // Writes both memories and the register file. The arguments that name them, as the program takes them.
  std::vector<std::string> write(TempDir &dir, const std::string &registers) const {
    std::string host(0x20000, '\0'), guest(0x20000, '\0');
    for (const auto &[hpa, word] : words_) {
      std::string &room = hpa >= guest_base ? guest : host;
      std::memcpy(&room[hpa >= guest_base ? hpa - guest_base : hpa], &word, sizeof word);
    }
    std::string h = dir.path("host.raw"), g = dir.path("guest.raw"), r = dir.path("iommu.regs");
    write_file(h, host);
    write_file(g, guest);
    write_file(r, registers);
    return {h + "@0", g + "@0x100000", r};
  }

private:
  std::map<uint64_t, uint64_t> words_;
};

inline const char scalable_registers[] = "iommu = vtd\nGSTS = 0xc0000000\nRTADDR = 0x1400\n";
inline const char legacy_registers[] = "iommu = vtd\nGSTS = 0xc0000000\nRTADDR = 0x1000\n";

constexpr uint64_t nested_iova = 0x7f0012345678;

// Device 00:03.0 with PASID 5, nested, 4 levels of 4 KB pages in either stage. First-stage tables at gpa 0x5000 (level 4)
// to 0x8000 (level 1), the page at gpa 0x9000; guest page n lies at hpa 0x100000 + n. The leaf has neither A nor D yet.
inline Machine nested_machine() {
  Machine m;
  m.store(0x1000, 0x2001);           // root entry of bus 0: LCTP, LP
  m.store(0x2000 + 24 * 32, 0x3009); // context entry of 00:03.0: PASIDE
  m.store(0x3000, 0x4001);
  m.store(0x4140, 0x10000 | 3 << 6 | 2 << 2 | 1); // PASID 5: nested, AW 2
  m.store(0x4148, 7 | 1 << 23);                   // DID 7, PWSNP
  m.store(0x4150, 0x5000);
  m.store(0x10000, 0x11003); // second stage
  m.store(0x11000, 0x12003);
  m.store(0x12000, 0x13003);
  for (uint64_t page = 5; page <= 9; page++)
    m.store(0x13000 + page * 8, (0x100000 + page * 0x1000) | 3);
  m.store(0x105000 + (nested_iova >> 39 & 511) * 8, 0x6027); // first stage
  m.store(0x106000 + (nested_iova >> 30 & 511) * 8, 0x7027);
  m.store(0x107000 + (nested_iova >> 21 & 511) * 8, 0x8027);
  m.store(0x108000 + (nested_iova >> 12 & 511) * 8, 0x9007);
  return m;
}

// Device 00:03.0 in legacy mode, 3 levels, a 2 MB page for iova 0x200000 to hpa 0x400000, read-only.
inline Machine legacy_machine() {
  Machine m;
  m.store(0x1000, 0x2001);
  m.store(0x2000 + 24 * 16, 0x10001);
  m.store(0x2000 + 24 * 16 + 8, 1 | 9 << 8); // AW 1: 39 bits; DID 9
  m.store(0x10000, 0x11003);
  m.store(0x11008, 0x400081);
  return m;
}

// SMMUv3 registers for the machine below: a linear stream table of 64 streams at 0x10000, events recorded.
inline const char smmu_registers[] =
    "iommu = smmuv3\nCR0 = 0xd\nCR2 = 0x2\nSTRTAB_BASE = 0x10000\nSTRTAB_BASE_CFG = 0x6\n";

// Stream 0x18 with SubstreamID 5, nested, 4 levels of 4 KB pages in either stage, and the same addresses as in
// nested_machine(): a linear CD table of 16 at ipa 0x4000, stage-1 tables at ipa 0x5000 (level 0) to 0x8000 (level 3), the
// page at ipa 0x9000; ipa n lies at hpa 0x100000 + n. Events are recorded, and abort.
inline Machine nested_smmu_machine() {
  Machine m;
  m.store(0x10600, 0x400f | 4ull << 59); // V, Config 7, S1ContextPtr 0x4000, S1CDMax 4
  m.store(0x10608, 1ull << 44);          // SHCFG: as incoming
  m.store(0x10610,
          7 | 16ull << 32 | 2ull << 38 | 5ull << 48 | 1ull << 51 | 1ull << 58); // VMID 7, T0SZ 16, SL0 2, PS, AA64, R
  m.store(0x10618, 0x18000);                                                    // S2TTB
  m.store(0x18000, 0x19003);                                                    // stage 2
  m.store(0x19000, 0x1a003);
  m.store(0x1a000, 0x1b003);
  for (uint64_t page = 4; page <= 9; page++)
    m.store(0x1b000 + page * 8, (0x100000 + page * 0x1000) | 0x7ff);
  m.store(0x104000 + 5 * 64, 16 | 1ull << 30 | 1ull << 31 | 5ull << 32 | 1ull << 41 | 3ull << 45 | 9ull << 48);
  m.store(0x104000 + 5 * 64 + 8, 0x5000);                    // TTB0
  m.store(0x104000 + 5 * 64 + 24, 0xff);                     // MAIR0
  m.store(0x105000 + (nested_iova >> 39 & 511) * 8, 0x6003); // stage 1
  m.store(0x106000 + (nested_iova >> 30 & 511) * 8, 0x7003);
  m.store(0x107000 + (nested_iova >> 21 & 511) * 8, 0x8003);
  m.store(0x108000 + (nested_iova >> 12 & 511) * 8, 0x9f43); // AF, ISH, nG, EL0
  return m;
}
