// SPDX-License-Identifier: Apache-2.0
// A snapshot: the registers of an IOMMU and the memory it reads, from any number of files in any order (formats.md).
//   *.regs         text, NAME = VALUE a line, first line `iommu = vtd`, `smmuv3` or `smmuv2`
//   ELF64 cores    known by their content
//   FILE@ADDRESS   raw memory
#pragma once

#include "tools/config.h"
#include "trace/arch.h"
#include <string>
#include <vector>

namespace ims {

// A register file, as it stands there.
struct RegisterFile {
  struct Row {
    std::string name;
    uint64_t value;
    unsigned line;
  };
  std::string path;
  const Arch *arch = nullptr;
  std::vector<Row> rows;
  const Row *find(const std::string &name) const; // NULL: not there
};

// Parses the text of a register file: form, known names, values that fit. Throws BadInput with path:line.
RegisterFile parse_registers(const std::string &text, const std::string &path);

// Memory and one IOMMU over it. What walks set (accessed and dirty bits) stays in this memory and never reaches the files.
class Snapshot {
public:
  enum Caches { CACHES_NONE, CACHES_CONFIGURED };

  // Loads the files. The configuration starts as the identification registers of the register file say (the model's
  // default where they are left out), then `sources` change it. CACHES_NONE: every cache has 0 entries, so that each translation is
  // cold, also within itself. Throws BadInput.
  Snapshot(const std::vector<std::string> &files, const ConfigSources &sources, Caches caches);
  ~Snapshot();
  Snapshot(const Snapshot &) = delete;
  Snapshot &operator=(const Snapshot &) = delete;

  ims_iommu *iommu() { return iommu_; }
  ims_mem *memory() { return &mem_; }
  const Arch &arch() const { return *registers_.arch; }

private:
  void load_files(const std::vector<std::string> &files);
  void make_unit(const ConfigSources &sources, Caches caches);

  ims_mem mem_;
  RegisterFile registers_;
  ims_iommu *iommu_ = nullptr;
};

} // namespace ims
