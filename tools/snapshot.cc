// SPDX-License-Identifier: Apache-2.0
// Snapshots: which kind a file is, register files, memory, and the unit put together from them.
#include "tools/snapshot.h"
#include "mem/image.h"
#include "tools/error.h"
#include "tools/file.h"
#include "tools/system_config.h"
#include "trace/nearest.h"
#include "trace/number.h"

#include <algorithm>
#include <cinttypes>
#include <cstring>

namespace ims {

namespace {

std::string_view trimmed(std::string_view text) {
  size_t first = text.find_first_not_of(" \t\r");
  if (first == text.npos)
    return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

// What a value of this name may be; `high` 0: no such name.
struct Range {
  uint64_t low = 0, high = 0;
};

Range range_of(const Arch &arch, const std::string &name) {
  for (auto [fact, knob] : arch.facts)
    if (name == fact)
      return {arch.find_option(knob)->low, arch.find_option(knob)->high};
  int reg = arch.holds(name) ? arch.find_register(name) : -1;
  return {0, reg < 0 ? 0 : arch.registers[static_cast<size_t>(reg)].bytes == 8 ? ~0ull : 0xffffffffull};
}

std::vector<std::string> names_of(const Arch &arch) {
  std::vector<std::string> names;
  for (auto [fact, knob] : arch.facts)
    names.push_back(fact);
  for (const std::string &name : arch.register_names())
    if (arch.holds(name))
      names.push_back(name);
  return names;
}

struct File {
  std::string argument, path;
  enum Kind { REGISTERS, ELF, RAW } kind;
  uint64_t address; // RAW
};

bool ends_with(const std::string &text, const char *end) {
  size_t n = std::strlen(end);
  return text.size() >= n && text.compare(text.size() - n, n, end) == 0;
}

// The first word that is neither space nor comment, of a file that may be large.
bool begins_like_registers(const std::string &path) {
  FILE *file = std::fopen(path.c_str(), "rb");
  if (!file)
    return false;
  char block[4096];
  size_t n = std::fread(block, 1, sizeof block, file);
  std::fclose(file);
  std::string_view text(block, n);
  while (!text.empty()) {
    size_t end = text.find('\n');
    std::string_view line = trimmed(text.substr(0, end));
    if (!line.empty() && line[0] != '#')
      return line.substr(0, 5) == "iommu" && trimmed(line.substr(5)).substr(0, 1) == "=";
    text = end == text.npos ? std::string_view() : text.substr(end + 1);
  }
  return false;
}

File classify(const std::string &argument) {
  size_t at = argument.rfind('@');
  if (at != argument.npos && argument.find('/', at) == argument.npos) {
    File raw = {argument, argument.substr(0, at), File::RAW, 0};
    std::string address = argument.substr(at + 1);
    if (!parse_number(address, &raw.address))
      fail("%s: address behind @: found %s, expected a number (hexadecimal with 0x)", argument.c_str(),
           quoted(address).c_str());
    return raw;
  }
  FILE *file = std::fopen(argument.c_str(), "rb");
  if (!file)
    fail("%s: cannot be read: %s", argument.c_str(), std::strerror(errno));
  std::fclose(file);
  if (ends_with(argument, ".regs") || begins_like_registers(argument))
    return {argument, argument, File::REGISTERS, 0};
  if (ims_image_is_elf(argument.c_str()))
    return {argument, argument, File::ELF, 0};
  fail("%s: cannot tell what it is: found neither the ELF magic nor a first line `iommu = ...`, expected *.regs, an "
       "ELF64 core, or FILE@ADDRESS for raw memory",
       argument.c_str());
}

int load(ims_mem *mem, const File &file, ims_image_error *error) {
  return file.kind == File::ELF ? ims_image_load_elf(mem, file.path.c_str(), error)
                                : ims_image_load_raw(mem, file.path.c_str(), file.address, error);
}

// Memory of one file alone, to find out what it overlaps.
struct Alone {
  ims_mem mem;
  explicit Alone(const File &file) {
    ims_mem_init(&mem);
    load(&mem, file, nullptr);
  }
  ~Alone() { ims_mem_fini(&mem); }
};

[[noreturn]] void fail_overlap(const std::vector<File> &loaded, const File &file) {
  Alone b(file);
  for (const File &other : loaded) {
    Alone a(other);
    for (size_t i = 0; i < a.mem.regions; i++)
      for (size_t j = 0; j < b.mem.regions; j++) {
        const ims_mem_region &r = a.mem.region[i], &s = b.mem.region[j];
        uint64_t from = std::max(r.base, s.base), to = std::min(r.base + r.size, s.base + s.size);
        if (from < to)
          fail("%s: overlaps %s: both hold 0x%" PRIx64 "-0x%" PRIx64 ", expected each address in one file only",
               file.argument.c_str(), other.argument.c_str(), from, to - 1);
      }
  }
  fail("%s: overlaps memory of another file", file.argument.c_str());
}

} // namespace

const RegisterFile::Row *RegisterFile::find(const std::string &name) const {
  for (const Row &row : rows)
    if (row.name == name)
      return &row;
  return nullptr;
}

RegisterFile parse_registers(const std::string &text, const std::string &path) {
  RegisterFile file;
  file.path = path;
  unsigned number = 0;
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('\n', at), text.size());
    std::string_view whole(text.data() + at, end - at);
    at = end + 1;
    number++;
    std::string_view line = trimmed(whole.substr(0, whole.find('#')));
    if (line.empty())
      continue;

    const char *p = path.c_str();
    size_t equals = line.find('=');
    if (equals == line.npos)
      fail("%s:%u: found %s, expected NAME = VALUE", p, number, quoted(line).c_str());
    std::string name(trimmed(line.substr(0, equals)));
    std::string value(trimmed(line.substr(equals + 1)));
    if (!file.arch) {
      if (name != "iommu")
        fail("%s:%u: found %s, expected the first line to be `iommu = vtd`, `iommu = smmuv3` or `iommu = smmuv2`", p,
             number, quoted(name).c_str());
      file.arch = find_arch(value);
      if (!file.arch)
        fail("%s:%u: iommu: unknown architecture %s; the nearest is `%s`", p, number, quoted(value).c_str(),
             nearest(value, arch_names()).c_str());
      continue;
    }
    if (name == "iommu")
      fail("%s:%u: iommu: found a second time, expected once, in the first line", p, number);
    Range range = range_of(*file.arch, name);
    if (!range.high)
      fail("%s:%u: unknown register %s of %s; the nearest is `%s`", p, number, quoted(name).c_str(), file.arch->a_unit,
           nearest(name, names_of(*file.arch)).c_str());
    if (const RegisterFile::Row *before = file.find(name))
      fail("%s:%u: %s: found a second time, expected once (first in line %u)", p, number, name.c_str(), before->line);
    RegisterFile::Row row = {name, 0, number};
    if (!parse_number(value, &row.value))
      fail("%s:%u: %s: found %s, expected a number of up to 64 bits (hexadecimal with 0x, or decimal)", p, number,
           name.c_str(), quoted(value).c_str());
    if (row.value > range.high || row.value < range.low)
      fail("%s:%u: %s: found %s, expected a value from 0x%" PRIx64 " to 0x%" PRIx64, p, number, name.c_str(),
           value.c_str(), range.low, range.high);
    file.rows.push_back(row);
  }
  if (!file.arch)
    fail("%s:%u: found the end of the file, expected a first line `iommu = vtd`, `iommu = smmuv3` or `iommu = smmuv2`",
         path.c_str(), number + 1);
  return file;
}

Snapshot::Snapshot(const std::vector<std::string> &files, const ConfigSources &sources, Caches caches) {
  ims_mem_init(&mem_);
  try {
    load_files(files);
    make_unit(sources, caches);
  } catch (...) {
    ims_mem_fini(&mem_);
    throw;
  }
}

Snapshot::~Snapshot() {
  ims_iommu_free(iommu_);
  ims_mem_fini(&mem_);
}

void Snapshot::load_files(const std::vector<std::string> &files) {
  std::vector<File> memory;
  std::string registers;
  for (const std::string &argument : files) {
    File file = classify(argument);
    if (file.kind == File::REGISTERS) {
      if (!registers.empty())
        fail("%s: found a second register file, expected one (the first is %s)", argument.c_str(), registers.c_str());
      registers = argument;
      registers_ = parse_registers(read_file(file.path, 16 << 20), file.path);
      continue;
    }
    ims_image_error error = {};
    int rc = load(&mem_, file, &error);
    if (rc == IMS_ERR_OVERLAP)
      fail_overlap(memory, file);
    if (rc != IMS_ERR_OK)
      fail("%s: offset 0x%" PRIx64 ": %s (%s)", argument.c_str(), error.offset, error.detail, ims_strerror(rc));
    memory.push_back(file);
  }
  if (registers.empty())
    fail("snapshot: no register file among the %zu files, expected one *.regs", files.size());
  if (!mem_.regions)
    fail("snapshot: no memory in the %zu files, expected an ELF64 core or FILE@ADDRESS", files.size());
}

void Snapshot::make_unit(const ConfigSources &sources, Caches caches) {
  const Arch &arch = *registers_.arch;
  SystemConfig config;
  std::vector<const RegisterFile::Row *> state;
  for (const RegisterFile::Row &row : registers_.rows) {
    int reg = arch.find_register(row.name);
    auto fact = std::find_if(arch.facts.begin(), arch.facts.end(), [&](auto &f) { return row.name == f.first; });
    if (reg >= 0 && arch.registers[static_cast<size_t>(reg)].identifies)
      arch.identify(config, arch.registers[static_cast<size_t>(reg)], row.value);
    else if (fact == arch.facts.end())
      state.push_back(&row);
  }
  if (arch.settle)
    arch.settle(config);
  for (auto [name, knob] : arch.facts)
    if (const RegisterFile::Row *row = registers_.find(name))
      ims_option_set(arch.config(config), arch.find_option(knob), static_cast<uint32_t>(row->value));
  check_config(config, registers_.path);
  apply_sources(config, sources);
  if (caches == CACHES_NONE)
    for (const Knob &k : knobs())
      if (k.section == arch.name && ends_with(k.key, "_entries"))
        k.set(config, 0);

  int rc = arch.make(&iommu_, config, &mem_, nullptr);
  if (rc != IMS_ERR_OK)
    fail("%s: the unit cannot be made: %s", registers_.path.c_str(), ims_strerror(rc));
  for (const RegisterFile::Row *row : state) {
    rc = arch.restore(iommu_, row->name.c_str(), row->value);
    if (rc != IMS_ERR_OK)
      fail("%s:%u: %s: found 0x%" PRIx64 ": %s", registers_.path.c_str(), row->line, row->name.c_str(), row->value,
           ims_strerror(rc));
  }
  arch.restored(iommu_);
}

} // namespace ims
