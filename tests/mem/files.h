// SPDX-License-Identifier: Apache-2.0
// Files for the tests of mem/: a folder that goes away, and ELF cores written field by field.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <elf.h>
#include <fstream>
#include <stdexcept>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

// A folder of its own for one test.
class TempDir {
public:
  TempDir() {
    const char *base = std::getenv("TMPDIR");
    name_ = std::string(base ? base : "/tmp") + "/ims_mem_XXXXXX";
    if (!mkdtemp(name_.data()))
      throw std::runtime_error("mkdtemp");
  }
  TempDir(const TempDir &) = delete;
  TempDir &operator=(const TempDir &) = delete;
  ~TempDir() {
    for (const std::string &path : made_)
      unlink(path.c_str());
    rmdir(name_.c_str());
  }
  std::string path(const std::string &file) {
    made_.push_back(name_ + "/" + file);
    return made_.back();
  }
  const std::string &name() const { return name_; }

private:
  std::string name_;
  std::vector<std::string> made_;
};

inline void write_file(const std::string &path, const std::string &bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!out.flush())
    throw std::runtime_error("cannot write " + path);
}

inline uint64_t file_size(const std::string &path) {
  struct stat st = {};
  if (stat(path.c_str(), &st) != 0)
    throw std::runtime_error("cannot stat " + path);
  return static_cast<uint64_t>(st.st_size);
}

// An ELF64 core to be written. Fields can be bent before write(); the layout is header, section header 0 (if wanted),
// program headers, bytes.
struct ElfCore {
  Elf64_Ehdr header = {};
  Elf64_Shdr section = {};
  std::vector<Elf64_Phdr> segments;
  std::string bytes; // p_offset as add() gives it counts from the start of the file
  bool with_section = false;

  ElfCore() {
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_type = ET_CORE;
    header.e_version = EV_CURRENT;
    header.e_ehsize = sizeof header;
    header.e_phentsize = sizeof(Elf64_Phdr);
  }

  // A segment whose bytes are `content`, followed by `zeros` bytes of zero memory.
  Elf64_Phdr &add(uint64_t hpa, const std::string &content, uint64_t zeros = 0) {
    Elf64_Phdr p = {};
    p.p_type = PT_LOAD;
    p.p_paddr = hpa;
    p.p_offset = bytes.size(); // settle() adds what lies before
    p.p_filesz = content.size();
    p.p_memsz = content.size() + zeros;
    bytes += content;
    segments.push_back(p);
    return segments.back();
  }

  // Gives the header its counts and the segments their offsets in the file. Fields bent afterwards stay bent.
  ElfCore &settle(bool xnum = false) {
    with_section = xnum;
    header.e_phoff = sizeof header + (xnum ? sizeof section : 0);
    header.e_phnum = xnum ? PN_XNUM : static_cast<Elf64_Half>(segments.size());
    if (xnum) {
      header.e_shoff = sizeof header;
      header.e_shentsize = sizeof section;
      header.e_shnum = 1;
      section.sh_info = static_cast<Elf64_Word>(segments.size());
    }
    for (Elf64_Phdr &p : segments)
      p.p_offset += header.e_phoff + segments.size() * sizeof p;
    return *this;
  }

  std::string image() const {
    std::string out(reinterpret_cast<const char *>(&header), sizeof header);
    if (with_section)
      out.append(reinterpret_cast<const char *>(&section), sizeof section);
    out.append(reinterpret_cast<const char *>(segments.data()), segments.size() * sizeof(Elf64_Phdr));
    return out + bytes;
  }
};
