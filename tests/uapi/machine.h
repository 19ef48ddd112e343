// SPDX-License-Identifier: Apache-2.0
// A small machine for the tests of the kernel: memory, IOMMU units, devices, a process with an arena of user memory for
// ioctl arguments, and a record of what the driver did.
#pragma once

#include "iommu/smmuv2/smmuv2.h"
#include "iommu/smmuv3/smmuv3.h"
#include "iommu/vtd/vtd.h"
#include "pgtable/vmsa.h"
#include "uapi/kernel.h"
#include "uapi/layout.h"
#include <cerrno>
#include <cstring>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <vector>

namespace uapi_test {

constexpr uint64_t kPage = 4096, kMB = 1 << 20, kGB = 1 << 30;

// User memory of a process: one arena; every other address is a bad pointer.
class Arena {
public:
  static constexpr uint64_t kBase = 0x100000;
  explicit Arena(size_t size = 4096) : bytes_(size) {}
  ims_user user() {
    ims_user u{};
    u.ctx = this;
    u.read = Read;
    u.write = Write;
    return u;
  }
  template <class T> uint64_t Put(const T &value, uint64_t at = kBase) {
    std::memcpy(&bytes_.at(at - kBase), &value, sizeof value);
    return at;
  }
  template <class T> T Get(uint64_t at = kBase) const {
    T value;
    std::memcpy(&value, &bytes_.at(at - kBase), sizeof value);
    return value;
  }
  uint64_t PutBytes(const void *data, size_t len, uint64_t at = kBase) {
    std::memcpy(bytes_.data() + (at - kBase), data, len);
    return at;
  }
  // An address at which only `len` bytes can be reached.
  uint64_t Tail(size_t len) const { return kBase + bytes_.size() - len; }
  bool read_only = false;
  std::function<void()> after_read; // for memory that changes between two reads

private:
  bool In(uint64_t at, size_t len) const {
    return at >= kBase && at - kBase <= bytes_.size() && bytes_.size() - (at - kBase) >= len;
  }
  static bool Read(void *ctx, void *dst, uint64_t src, size_t len) {
    auto *a = static_cast<Arena *>(ctx);
    if (!a->In(src, len))
      return false;
    std::memcpy(dst, a->bytes_.data() + (src - kBase), len);
    if (a->after_read)
      a->after_read();
    return true;
  }
  static bool Write(void *ctx, uint64_t dst, const void *src, size_t len) {
    auto *a = static_cast<Arena *>(ctx);
    if (!a->In(dst, len) || a->read_only)
      return false;
    std::memcpy(a->bytes_.data() + (dst - kBase), src, len);
    return true;
  }
  std::vector<uint8_t> bytes_;
};

struct Note {
  ims_note note;
  std::string what, text, sentence;
};

class Machine {
public:
  explicit Machine(ims_dialect dialect = IMS_DIALECT_V7, std::function<void(ims_kernel_config &)> tune = {},
                   uint64_t ram = 512 * kMB) {
    ims_mem_init(&mem);
    EXPECT_EQ(ims_mem_add_ram(&mem, 0, ram), IMS_ERR_OK);
    ims_kernel_config c;
    ims_kernel_config_default(&c);
    c.mem = &mem;
    c.pool_base = 1 * kMB;
    c.pool_size = ram - 1 * kMB;
    c.dialect = dialect;
    c.hooks.ctx = this;
    c.hooks.observe = Observe;
    if (tune)
      tune(c);
    EXPECT_EQ(ims_kernel_new(&kernel, &c), IMS_ERR_OK);
  }
  ~Machine() {
    ims_kernel_free(kernel);
    for (ims_iommu *u : units)
      ims_iommu_free(u);
    ims_mem_fini(&mem);
  }
  Machine(const Machine &) = delete;
  Machine &operator=(const Machine &) = delete;

  static ims_vtd_config UnitConfig() {
    ims_vtd_config c;
    ims_vtd_config_default(&c);
    return c;
  }
  unsigned AddUnit(const ims_vtd_config &config = UnitConfig()) {
    ims_iommu_bus bus = Bus();
    ims_iommu *u = nullptr;
    EXPECT_EQ(ims_vtd_new(&u, &config, &mem, &bus), IMS_ERR_OK) << ims_vtd_config_check(&config);
    return Driven("dmar", u);
  }
  static ims_smmuv3_config SmmuConfig() {
    ims_smmuv3_config c;
    ims_smmuv3_config_default(&c);
    return c;
  }
  unsigned AddSmmu(const ims_smmuv3_config &config = SmmuConfig()) {
    ims_iommu_bus bus = Bus();
    ims_iommu *u = nullptr;
    EXPECT_EQ(ims_smmuv3_new(&u, &config, &mem, &bus), IMS_ERR_OK) << ims_smmuv3_config_check(&config);
    return Driven("smmu", u);
  }
  static ims_smmuv2_config Smmuv2Config() {
    ims_smmuv2_config c;
    ims_smmuv2_config_default(&c);
    return c;
  }
  unsigned AddSmmuv2(const ims_smmuv2_config &config = Smmuv2Config()) {
    ims_iommu_bus bus = Bus();
    ims_iommu *u = nullptr;
    EXPECT_EQ(ims_smmuv2_new(&u, &config, &mem, &bus), IMS_ERR_OK) << ims_smmuv2_config_check(&config);
    return Driven("smmuv2", u);
  }
  unsigned Driven(const char *name, ims_iommu *u) {
    units.push_back(u);
    unsigned index = ~0u;
    EXPECT_EQ(ims_kernel_add_unit(kernel, name, u, &index), IMS_ERR_OK);
    return index;
  }
  static ims_device_config DeviceConfig(uint16_t source = 0x0300, uint32_t group = 7, uint16_t unit = 0) {
    ims_device_config d{};
    d.source = source;
    d.unit = unit;
    d.group = group;
    d.pasid_bits = 20;
    d.ats = d.pri = true;
    d.ats_qdep = 8;
    return d;
  }
  ims_device *AddDevice(const ims_device_config &config = DeviceConfig()) {
    ims_device *d = nullptr;
    EXPECT_EQ(ims_kernel_add_device(kernel, &config, &d), IMS_ERR_OK);
    return d;
  }
  ims_process *AddProcess() {
    ims_process *p = nullptr;
    EXPECT_EQ(ims_process_new(kernel, &p), IMS_ERR_OK);
    ims_user u = arena.user();
    ims_process_set_user(p, &u);
    return p;
  }

  ims_result Dma(ims_device *dev, uint64_t iova, unsigned access = IMS_ACC_R, int64_t pasid = -1) {
    const ims_device_config *c = ims_device_config_of(dev);
    ims_request r{};
    r.iova = iova;
    r.source = c->source;
    r.has_pasid = pasid >= 0;
    r.pasid = pasid >= 0 ? static_cast<uint32_t>(pasid) : 0;
    r.access = static_cast<uint8_t>(access);
    ims_result res;
    ims_translate(units.at(c->unit), &r, &res);
    return res;
  }
  uint64_t Load(uint64_t hpa) {
    uint64_t v = 0;
    EXPECT_EQ(ims_mem_load64(&mem, hpa, &v), IMS_ERR_OK) << std::hex << hpa;
    return v;
  }

  // What the driver did since the last Clear(), as sentences; kinds as bits of 1 << ims_note_kind.
  std::vector<std::string> Said(unsigned kinds) const {
    std::vector<std::string> out;
    for (const Note &n : notes)
      if (kinds >> n.note.kind & 1)
        out.push_back(n.sentence);
    return out;
  }
  std::vector<uint64_t> Descriptors() const { // the first word of each
    std::vector<uint64_t> out;
    for (const Note &n : notes)
      if (n.note.kind == IMS_NOTE_DESCRIPTOR)
        out.push_back(n.note.word[0]);
    return out;
  }
  std::vector<unsigned> DescriptorTypes() const {
    std::vector<unsigned> out;
    for (uint64_t d : Descriptors())
      out.push_back(d & 15);
    return out;
  }
  void Clear() {
    notes.clear();
    invalidations.clear();
    responses.clear();
    resumes.clear();
  }

  ims_mem mem;
  ims_kernel *kernel = nullptr;
  std::vector<ims_iommu *> units;
  Arena arena;
  std::vector<Note> notes;
  std::vector<ims_ats_invalidation> invalidations;
  std::vector<ims_page_response> responses;
  std::vector<ims_resume> resumes;
  bool device_answers = true;
  std::function<void(const Note &)> on_note;
  std::function<void(bool)> on_ats; // by whoever sets hooks.ats
  // What units send to devices, besides the records above; the answer of on_invalidate is the device's.
  std::function<bool(const ims_ats_invalidation &)> on_invalidate;
  std::function<void(const ims_page_response &)> on_response;
  std::function<void(const ims_resume &)> on_resume;

private:
  ims_iommu_bus Bus() { return {this, Message, AtsInvalidate, PageResponse, Resume, nullptr}; }
  static void Observe(void *ctx, const ims_note *note) {
    auto *m = static_cast<Machine *>(ctx);
    char text[512];
    ims_note_text(note, text, sizeof text);
    m->notes.push_back({*note, note->what ? note->what : "", note->text ? note->text : "", text});
    if (m->on_note)
      m->on_note(m->notes.back());
  }
  static void Message(void *ctx, uint64_t addr, uint32_t data) {
    ims_kernel_message(static_cast<Machine *>(ctx)->kernel, addr, data);
  }
  static bool AtsInvalidate(void *ctx, const ims_ats_invalidation *inv) {
    auto *m = static_cast<Machine *>(ctx);
    m->invalidations.push_back(*inv);
    return m->on_invalidate ? m->on_invalidate(*inv) : m->device_answers;
  }
  static void PageResponse(void *ctx, const ims_page_response *resp) {
    auto *m = static_cast<Machine *>(ctx);
    m->responses.push_back(*resp);
    if (m->on_response)
      m->on_response(*resp);
  }
  static void Resume(void *ctx, const ims_resume *resume) {
    auto *m = static_cast<Machine *>(ctx);
    m->resumes.push_back(*resume);
    if (m->on_resume)
      m->on_resume(*resume);
  }
};

// A process that has a device in its container: what a VMM does before it can use the series.
class Vmm {
public:
  explicit Vmm(Machine &machine, uint64_t type = IMS_VFIO_TYPE1_NESTING_IOMMU, std::vector<uint32_t> groups = {7})
      : m(machine), process(machine.AddProcess()) {
    EXPECT_GE(ims_open(process, "/dev/vfio/vfio", &container), 3);
    for (uint32_t g : groups) {
      ims_file *f = nullptr;
      EXPECT_GE(ims_open(process, ("/dev/vfio/" + std::to_string(g)).c_str(), &f), 3);
      group.push_back(f);
      m.arena.Put<int32_t>(ims_file_fd(container));
      join = ims_ioctl(f, IMS_VFIO_GROUP_SET_CONTAINER, Arena::kBase);
    }
    set_iommu = type ? ims_ioctl(container, IMS_VFIO_SET_IOMMU, type) : 0;
  }

  template <class T> long Ioctl(uint32_t word, const T &arg) { return ims_ioctl(container, word, m.arena.Put(arg)); }
  long Map(uint64_t iova, uint64_t vaddr, uint64_t size, uint32_t flags = 3) {
    return Ioctl(IMS_VFIO_IOMMU_MAP_DMA, ims_vfio_iommu_type1_dma_map{32, flags, vaddr, iova, size});
  }
  long Unmap(uint64_t iova, uint64_t size) {
    return Ioctl(IMS_VFIO_IOMMU_UNMAP_DMA, ims_vfio_iommu_type1_dma_unmap{24, 0, iova, size});
  }
  // Guest memory [0, size) backed by the process and mapped for the device one to one.
  ims_vm *Guest(uint64_t size, unsigned flags = IMS_MMAP_POPULATE | IMS_MMAP_2M) {
    uint64_t va = 0;
    ims_vm *vm = nullptr;
    EXPECT_EQ(ims_mmap(process, 0, size, IMS_PROT_READ | IMS_PROT_WRITE, flags, &va), 0);
    EXPECT_EQ(ims_vm_new(process, &vm), IMS_ERR_OK);
    EXPECT_EQ(ims_vm_add_slot(vm, 0, va, size), IMS_ERR_OK);
    EXPECT_EQ(ims_vm_set_pool(vm, size / 2, size / 2), IMS_ERR_OK);
    EXPECT_EQ(Map(0, va, size), 0);
    memory = va;
    return vm;
  }

  Machine &m;
  ims_process *process;
  ims_file *container = nullptr;
  std::vector<ims_file *> group;
  long join = 0, set_iommu = 0;
  uint64_t memory = 0;
};

// Words of the dialect.
inline uint32_t PasidWord(ims_dialect d) { return d <= IMS_DIALECT_V2 ? 0x3b7a : 0x3b76; }
inline uint32_t NestingWord(ims_dialect d) { return d == IMS_DIALECT_V2 ? 0x3b7b : 0x3b77; }

#pragma pack(push, 1)
struct BindA {
  uint32_t argsz = 80, flags = 0;
  ims_iommu_gpasid_bind_data_a data{};
};
struct BindB {
  uint32_t argsz = 80, flags = 0;
  ims_iommu_gpasid_bind_data_b data{};
};
struct InvA {
  uint32_t argsz = 56, flags = 0;
  ims_iommu_cache_invalidate_info_a data{};
  ims_iommu_inv_addr_info addr{};
};
struct InvB {
  uint32_t argsz = 64, flags = 0;
  ims_iommu_cache_invalidate_info_b data{};
  ims_iommu_inv_addr_info addr{};
};
#pragma pack(pop)

inline BindA MakeBindA(uint32_t flags, uint32_t pasid, uint64_t gpgd) {
  BindA b;
  b.flags = flags;
  b.data.version = 1;
  b.data.format = 1;
  b.data.addr_width = 48;
  b.data.hpasid = pasid;
  b.data.gpgd = gpgd;
  return b;
}
inline BindB MakeBindB(uint32_t op, uint32_t pasid, uint64_t gpgd) {
  BindB b;
  b.flags = op;
  b.data.argsz = 72;
  b.data.version = 1;
  b.data.format = 1;
  b.data.addr_width = 48;
  b.data.hpasid = pasid;
  b.data.gpgd = gpgd;
  return b;
}
// By address: `pages` of 4 KB.
inline InvB MakeInvB(uint32_t pasid, uint64_t addr, uint64_t pages, uint8_t cache = 1) {
  InvB i;
  i.flags = 2;
  i.data.argsz = 56;
  i.data.version = 1;
  i.data.cache = cache;
  i.data.granularity = 2;
  i.addr.flags = 1;
  i.addr.pasid = pasid;
  i.addr.addr = addr;
  i.addr.granule_size = 4096;
  i.addr.nb_granules = pages;
  return i;
}

// A page table of the guest, 4 levels, in guest memory.
class GuestTable {
public:
  explicit GuestTable(ims_vm *vm, unsigned levels = 4) : mem_(ims_vm_pgt_mem(vm)) {
    ims_x86_fs_format(&fmt_, 52, true, false);
    pgt.fmt = &fmt_;
    pgt.levels = static_cast<uint8_t>(levels);
    pgt.in_bits = static_cast<uint8_t>(12 + 9 * levels);
    pgt.a_bits = IMS_FS_A;
    pgt.d_bit = IMS_FS_D;
    EXPECT_EQ(ims_pgt_create(&pgt, &mem_), IMS_ERR_OK);
  }
  void Map(uint64_t gva, uint64_t gpa, uint64_t size, unsigned perm = IMS_PERM_R | IMS_PERM_W | IMS_PERM_U) {
    EXPECT_EQ(ims_pgt_map(&pgt, &mem_, gva, gpa, size, perm | IMS_PERM_X, 0, 0), IMS_ERR_OK);
  }
  void Unmap(uint64_t gva, uint64_t size) { EXPECT_EQ(ims_pgt_unmap(&pgt, &mem_, gva, size, 0, nullptr), IMS_ERR_OK); }
  ims_pgt pgt{};

private:
  ims_pgt_format fmt_;
  ims_pgt_mem mem_;
};

} // namespace uapi_test
