// SPDX-License-Identifier: Apache-2.0
#include "tools/save.h"
#include "mem/image.h"
#include "tools/error.h"
#include "tools/output.h"
#include "trace/text.h"

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstring>
#include <memory>
#include <sys/stat.h>

namespace ims {

namespace {

void write_file(const std::string &path, const std::string &text) {
  Output out(path);
  out.write(text);
  out.commit();
}

uint64_t read_at(const UnitView &u, const char *name) {
  const Arch &a = *u.arch;
  auto row = static_cast<unsigned>(a.find_register(name));
  return ims_iommu_read(u.unit, a.register_offset(*u.config, row, 0), a.registers[row].bytes);
}

// A unit of the same configuration, to ask which registers can be given back.
struct Scratch {
  explicit Scratch(const UnitView &u) {
    ims_mem_init(&mem);
    if (u.arch->make(&unit, *u.config, &mem, nullptr) != IMS_ERR_OK)
      unit = nullptr;
  }
  ~Scratch() {
    ims_iommu_free(unit);
    ims_mem_fini(&mem);
  }
  Scratch(const Scratch &) = delete;
  Scratch &operator=(const Scratch &) = delete;
  ims_mem mem;
  ims_iommu *unit = nullptr;
};

std::string row(const std::string &name, uint64_t value) { return name + " = " + hex(value) + "\n"; }

// A ring in memory: first entry, bytes of one, how many, and which are taken.
struct Ring {
  const char *name;
  uint64_t base, entry, entries, head, tail, waiting;
};

std::string ring_text(const UnitView &u, const Ring &r, ims_mem *memory) {
  std::string text = format("%s.%s base=%s entries=%" PRIu64 " head=%" PRIu64 " tail=%" PRIu64 " waiting=%" PRIu64 "\n",
                            u.name.c_str(), r.name, hex(r.base).c_str(), r.entries, r.head, r.tail, r.waiting);
  for (uint64_t i = 0; i < r.waiting; i++) {
    uint64_t index = (r.head + i) % r.entries;
    text += format("%s.%s[%" PRIu64 "]", u.name.c_str(), r.name, index);
    for (uint64_t at = 0; at < r.entry; at += 8) {
      uint64_t word = 0;
      if (ims_mem_load64(memory, r.base + index * r.entry + at, &word) != IMS_ERR_OK) {
        text += " absent";
        break;
      }
      text += format(" %016" PRIx64, word);
    }
    text += "\n";
  }
  return text;
}

// VT-d rev 4.1, 6.5.2, 7.5.1: head and tail are byte offsets.
void vtd_queues(const UnitView &u, ims_mem *memory, std::string *text) {
  uint64_t iqa = read_at(u, "IQA"), pqa = read_at(u, "PQA");
  constexpr uint64_t page = ~0xfffull;
  Ring iq = {"invalidations", iqa & page, iqa >> 11 & 1 ? 32u : 16u, 0, 0, 0, 0};
  iq.entries = (4096ull << (iqa & 7)) / iq.entry;
  Ring pq = {"page-requests", pqa & page, 32, (4096ull << (pqa & 31)) / 32, 0, 0, 0};
  for (auto [ring, head, tail] : {std::tuple(&iq, "IQH", "IQT"), std::tuple(&pq, "PQH", "PQT")}) {
    if (!ring->base)
      continue;
    ring->head = read_at(u, head) / ring->entry % ring->entries;
    ring->tail = read_at(u, tail) / ring->entry % ring->entries;
    ring->waiting = (ring->tail + ring->entries - ring->head) % ring->entries;
    *text += ring_text(u, *ring, memory);
  }
  // Fault recording registers that hold something (11.4.14).
  uint64_t cap = read_at(u, "CAP"), at = (cap >> 24 & 0x3ff) * 16, count = (cap >> 40 & 0xff) + 1;
  for (uint64_t i = 0; i < count; i++) {
    uint64_t low = ims_iommu_read(u.unit, static_cast<uint32_t>(at + i * 16), 8);
    uint64_t high = ims_iommu_read(u.unit, static_cast<uint32_t>(at + i * 16 + 8), 8);
    if (low || high)
      *text += format("%s.faults[%" PRIu64 "] %016" PRIx64 " %016" PRIx64 "\n", u.name.c_str(), i, low, high);
  }
}

// Arm IHI 0070 3.5.1: indexes with a bit for the lap above them.
void smmuv3_queues(const UnitView &u, ims_mem *memory, std::string *text) {
  struct {
    const char *name, *reg;
    uint64_t entry;
  } queues[] = {{"commands", "CMDQ", 16}, {"events", "EVENTQ", 32}, {"page-requests", "PRIQ", 16}};
  for (const auto &q : queues) {
    std::string reg = q.reg;
    uint64_t base = read_at(u, (reg + "_BASE").c_str());
    Ring r = {q.name, base & 0xfffffffffffe0ull, q.entry, 1ull << std::min<uint64_t>(base & 31, 19), 0, 0, 0};
    if (!r.base)
      continue;
    uint64_t prod = read_at(u, (reg + "_PROD").c_str()), cons = read_at(u, (reg + "_CONS").c_str());
    r.head = cons % r.entries;
    r.tail = prod % r.entries;
    r.waiting = std::min((prod - cons) & (2 * r.entries - 1), r.entries);
    *text += ring_text(u, r, memory);
  }
}

} // namespace

void make_folder(const std::string &path) {
  if (mkdir(path.c_str(), 0777) == 0 || errno == EEXIST) {
    struct stat st = {};
    if (stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode))
      return;
    fail("%s: found a file, expected a folder to write to", path.c_str());
  }
  fail("%s: cannot be made: %s", path.c_str(), std::strerror(errno));
}

std::string registers_text(const UnitView &u) {
  const Arch &a = *u.arch;
  std::string text = std::string("iommu = ") + a.name + "\n";
  Config config = *u.config;
  for (auto [name, knob] : a.facts)
    text += row(name, ims_option_get(a.config(config), a.find_option(knob)));
  Scratch scratch(u);
  for (unsigned i = 0; i < a.registers.size(); i++) {
    const RegisterInfo &r = a.registers[i];
    if (r.kind != RegisterInfo::PLAIN)
      continue;
    if (r.identifies) {
      text += row(r.name, ims_iommu_read(u.unit, a.register_offset(config, i, 0), r.bytes));
      continue;
    }
    uint64_t value = a.peek ? a.peek(u.unit, i) : 0;
    if (a.peek && value != r.reset && scratch.unit && a.restore(scratch.unit, r.name, value) == IMS_ERR_OK)
      text += row(r.name, value);
  }
  if (!a.peek) { // an SMMUv2, whose groups and banks have registers of their own
    auto visit = [](void *to, const char *name, uint64_t value) {
      if (std::strncmp(name, "IDR", 3) != 0) // they stand there already
        *static_cast<std::string *>(to) += row(name, value);
    };
    ims_smmuv2_each(u.unit, visit, &text);
  }
  return text;
}

std::string queues_text(const UnitView &u, ims_mem *memory) {
  std::string text;
  if (!std::strcmp(u.arch->name, "vtd"))
    vtd_queues(u, memory, &text);
  else if (!std::strcmp(u.arch->name, "smmuv3"))
    smmuv3_queues(u, memory, &text);
  return text;
}

void save_machine(Player &player, const std::string &folder) {
  make_folder(folder);
  std::string image = folder + "/memory.elf", queues;
  int err = ims_image_save_elf(player.memory(), image.c_str());
  if (err != IMS_ERR_OK)
    fail("%s: cannot be written: %s", image.c_str(), ims_strerror(err));
  for (const UnitView &u : player.units()) {
    write_file(folder + "/" + u.name + ".regs", registers_text(u));
    queues += queues_text(u, player.memory());
  }
  write_file(folder + "/queues.txt", queues);
}

} // namespace ims
