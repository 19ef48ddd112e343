// SPDX-License-Identifier: Apache-2.0
// Snapshots: which kind a file is, register files, memory, and the unit put together from them.
#include "tools/snapshot.h"
#include "mem/image.h"
#include "tools/error.h"
#include "tools/file.h"
#include "trace/nearest.h"
#include "trace/number.h"

#include <algorithm>
#include <cinttypes>
#include <cstring>

namespace ims {

namespace {

// Names of a register file that are no registers.
constexpr char haw_name[] = "HAW"; // host address width, from the ACPI DMAR table

std::string_view trimmed(std::string_view text) {
  size_t first = text.find_first_not_of(" \t\r");
  if (first == text.npos)
    return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

// What a value of this name may be at most; 0: no such name.
uint64_t largest(const std::string &name) {
  if (name == haw_name)
    return find_knob("vtd.haw", "").high;
  for (const auto &info : ims_vtd_regs)
    if (name == info.name)
      return info.bytes == 8 ? ~0ull : 0xffffffffull;
  return 0;
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

const RegisterFile::Row *RegisterFile::find(const char *name) const {
  for (const Row &row : rows)
    if (row.name == name)
      return &row;
  return nullptr;
}

RegisterFile parse_registers(const std::string &text, const std::string &path) {
  static const std::vector<std::string> arches = {"vtd", "smmuv3", "smmuv2"};
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
    if (file.arch.empty()) {
      if (name != "iommu")
        fail("%s:%u: found %s, expected the first line to be `iommu = vtd`, `iommu = smmuv3` or `iommu = smmuv2`", p,
             number, quoted(name).c_str());
      if (std::find(arches.begin(), arches.end(), value) == arches.end())
        fail("%s:%u: iommu: unknown architecture %s; the nearest is `%s`", p, number, quoted(value).c_str(),
             nearest(value, arches).c_str());
      if (value != "vtd")
        fail("%s:%u: iommu: found `%s`, which is not modelled yet; expected `vtd`", p, number, value.c_str());
      file.arch = value;
      continue;
    }
    if (name == "iommu")
      fail("%s:%u: iommu: found a second time, expected once, in the first line", p, number);
    uint64_t most = largest(name);
    if (!most) {
      std::vector<std::string> names = {haw_name};
      for (const auto &info : ims_vtd_regs)
        names.push_back(info.name);
      fail("%s:%u: unknown register %s; the nearest is `%s`", p, number, quoted(name).c_str(),
           nearest(name, names).c_str());
    }
    if (const RegisterFile::Row *before = file.find(name.c_str()))
      fail("%s:%u: %s: found a second time, expected once (first in line %u)", p, number, name.c_str(), before->line);
    RegisterFile::Row row = {name, 0, number};
    if (!parse_number(value, &row.value))
      fail("%s:%u: %s: found %s, expected a number of up to 64 bits (hexadecimal with 0x, or decimal)", p, number,
           name.c_str(), quoted(value).c_str());
    uint64_t least = name == haw_name ? find_knob("vtd.haw", "").low : 0;
    if (row.value > most || row.value < least)
      fail("%s:%u: %s: found %s, expected a value from 0x%" PRIx64 " to 0x%" PRIx64, p, number, name.c_str(),
           value.c_str(), least, most);
    file.rows.push_back(row);
  }
  if (file.arch.empty())
    fail("%s:%u: found the end of the file, expected a first line `iommu = vtd`", path.c_str(), number + 1);
  return file;
}

Snapshot::Snapshot(const std::vector<std::string> &files, const ConfigSources &sources, Caches caches) {
  ims_mem_init(&mem_);
  try {
    load_files(files);
    make_vtd(sources, caches);
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

// Real units show bits whose partners they lack, which then mean nothing: NEST as revision 2.x had it, PDS without PRS
// (Sapphire Rapids). A configuration made here may not (ims_vtd_config_check), so these go.
static void drop_idle_features(ims_vtd_config *c) {
  c->nest &= c->fsts & c->ssts;
  c->prs &= c->dt;
  c->pds &= c->prs;
}

void Snapshot::make_vtd(const ConfigSources &sources, Caches caches) {
  Config config;
  const RegisterFile::Row *cap = registers_.find("CAP"), *ecap = registers_.find("ECAP");
  if (cap || ecap) {
    ims_vtd_config_from_caps(&config.vtd, cap ? cap->value : ims_vtd_cap(&config.vtd),
                             ecap ? ecap->value : ims_vtd_ecap(&config.vtd));
    drop_idle_features(&config.vtd);
  }
  if (const RegisterFile::Row *haw = registers_.find(haw_name))
    config.vtd.haw = static_cast<uint32_t>(haw->value);
  check_config(config, registers_.path);
  apply_sources(config, sources);
  if (caches == CACHES_NONE)
    for (const Knob &k : knobs())
      if (k.section == "vtd" && ends_with(k.key, "_entries"))
        k.set(config, 0);

  int rc = ims_vtd_new(&iommu_, &config.vtd, &mem_, nullptr);
  if (rc != IMS_ERR_OK)
    fail("%s: the unit cannot be made: %s", registers_.path.c_str(), ims_strerror(rc));
  for (const RegisterFile::Row &row : registers_.rows) {
    if (&row == cap || &row == ecap || row.name == haw_name)
      continue;
    rc = ims_vtd_restore(iommu_, row.name.c_str(), row.value);
    if (rc != IMS_ERR_OK)
      fail("%s:%u: %s: found 0x%" PRIx64 ": %s", registers_.path.c_str(), row.line, row.name.c_str(), row.value,
           ims_strerror(rc));
  }
  ims_vtd_restored(iommu_);
}

} // namespace ims
