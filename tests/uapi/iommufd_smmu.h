// SPDX-License-Identifier: Apache-2.0
// A VMM on an SMMUv3 with a virtual SMMU: nesting parent over guest memory, vIOMMU, a device with its virtual StreamID.
#pragma once

#include "iommu/smmuv3/commands.h"
#include "tests/uapi/arm_guest.h"
#include "tests/uapi/endpoint.h"

namespace uapi_test {

using Ste = std::array<uint64_t, 8>;

// Words 0 and 1 of a guest's STE.
struct VSte : ims_iommu_hwpt_arm_smmuv3 {
  VSte(uint64_t w0, uint64_t w1 = 0) : ims_iommu_hwpt_arm_smmuv3{w0, w1} {}
};
inline VSte VAbort() { return {1, 0}; }
inline VSte VBypass() { return {9, 0}; }
inline VSte VTranslate(GuestCds &cds, unsigned dss = 2, bool ats = true) {
  uint64_t ste[IMS_STE_WORDS] = {0};
  ims_ste_set(ste, IMS_STE_V, 1);
  ims_ste_set(ste, IMS_STE_CONFIG, 5);
  ims_ste_set(ste, IMS_STE_S1FMT, cds.fmt());
  ims_ste_set_address(ste, IMS_STE_S1CONTEXTPTR, cds.base);
  ims_ste_set(ste, IMS_STE_S1CDMAX, cds.bits());
  ims_ste_set(ste, IMS_STE_S1DSS, dss);
  ims_ste_set(ste, IMS_STE_S1CIR, 1);
  ims_ste_set(ste, IMS_STE_S1COR, 1);
  ims_ste_set(ste, IMS_STE_S1CSH, 3);
  ims_ste_set(ste, IMS_STE_S1STALLD, 1);
  ims_ste_set(ste, IMS_STE_EATS, ats);
  return {ste[0], ste[1]};
}

// Commands as a guest writes them.
using Command = std::array<uint64_t, 2>;
inline Command VmAll(uint16_t vmid = 0) { return {0x10 | uint64_t(vmid) << 32, 0}; }
inline Command Asid(uint16_t asid) { return {0x11 | uint64_t(asid) << 48, 0}; }
inline Command Va(uint16_t asid, uint64_t va, bool leaf = true) {
  return {0x12 | uint64_t(asid) << 48, va | uint64_t(leaf)};
}
inline Command CfgiCd(uint32_t sid, uint32_t ssid) { return {0x05 | uint64_t(ssid) << 12 | uint64_t(sid) << 32, 1}; }
inline Command CfgiCdAll(uint32_t sid) { return {0x06 | uint64_t(sid) << 32, 0}; }
inline Command AtcInv(uint32_t sid, uint64_t addr, unsigned log2pages = 0) {
  return {0x40 | uint64_t(sid) << 32, addr | log2pages};
}
inline Command AtcInv(uint32_t sid, uint32_t ssid, uint64_t addr, unsigned log2pages) {
  return {0x40 | 1ull << 11 | uint64_t(ssid) << 12 | uint64_t(sid) << 32, addr | log2pages};
}

struct VirtualSmmu {
  static constexpr uint32_t kSid = 0x300, kVsid = 0x17;
  static constexpr uint64_t kRam = 64 * kMB;
  explicit VirtualSmmu(const ims_smmuv3_config &smmu = Machine::SmmuConfig(),
                       const ims_device_config &device = Machine::DeviceConfig(),
                       std::function<void(ims_kernel_config &)> tune = {})
      : m(IMS_DIALECT_V7, [&](ims_kernel_config &k) {
          k.cpu_format = IMS_CPU_ARM_4K;
          if (tune)
            tune(k);
        }) {
    m.AddSmmu(smmu);
    dev = m.AddDevice(device);
    c = std::make_unique<Client>(m);
    cdev = c->OpenDevice(dev);
    id = static_cast<uint32_t>(c->Bind(cdev));
    ioas = c->Ioas();
    parent = Id(c->Hwpt(id, ioas, IMS_HWPT_NEST_PARENT));
    vm = c->Guest(ioas, kRam);
    viommu = Id(Viommu(id, parent));
  }
  static uint32_t Id(int64_t result) {
    EXPECT_GT(result, 0);
    return static_cast<uint32_t>(result);
  }
  int64_t Viommu(uint32_t device, uint32_t hwpt, uint32_t type = IMS_VIOMMU_ARM_SMMUV3, uint32_t flags = 0) {
    ims_iommu_viommu_alloc a{};
    a.flags = flags;
    a.type = type;
    a.dev_id = device;
    a.hwpt_id = hwpt;
    long ret = c->Call(IMS_IOMMU_VIOMMU_ALLOC, &a);
    return ret ? ret : a.out_viommu_id;
  }
  int64_t Vdevice(uint32_t device, uint64_t virt_id) {
    ims_iommu_vdevice_alloc a{};
    a.viommu_id = viommu;
    a.dev_id = device;
    a.virt_id = virt_id;
    long ret = c->Call(IMS_IOMMU_VDEVICE_ALLOC, &a);
    return ret ? ret : a.out_vdevice_id;
  }
  uint32_t Vdevice() { return Id(Vdevice(id, kVsid)); }
  int64_t Nested(const ims_iommu_hwpt_arm_smmuv3 &ste, uint32_t flags = 0) {
    return c->Hwpt(id, viommu, flags, IMS_HWPT_DATA_ARM_SMMUV3, &ste);
  }
  // Makes a nested table and attaches it, in place of what is there.
  uint32_t Attach(const ims_iommu_hwpt_arm_smmuv3 &ste) {
    uint32_t n = Id(Nested(ste));
    EXPECT_EQ(c->Attach(cdev, n), n);
    return n;
  }
  // HWPT_INVALIDATE of the vIOMMU; `done` is what came back.
  long Invalidate(const std::vector<Command> &commands) {
    ims_iommu_hwpt_invalidate a{};
    a.hwpt_id = viommu;
    a.data_uptr = m.arena.PutBytes(commands.data(), commands.size() * sizeof(Command), Arena::kBase + 1024);
    a.data_type = IMS_INVALIDATE_DATA_ARM_SMMUV3;
    a.entry_len = sizeof(Command);
    a.entry_num = static_cast<uint32_t>(commands.size());
    long ret = c->Call(IMS_IOMMU_HWPT_INVALIDATE, &a);
    done = a.entry_num;
    return ret;
  }
  uint64_t Hpa(uint64_t gpa) {
    uint64_t hpa = 0;
    EXPECT_EQ(ims_vm_translate(vm, gpa, &hpa), IMS_ERR_OK);
    return hpa;
  }
  uint64_t SteAt(uint32_t sid = kSid) {
    return (m.Load(ims_kernel_unit_root(m.kernel, 0) + sid / 256 * 8) & 0x00ffffffffffffc0) + sid % 256 * 64;
  }
  Ste Physical(uint32_t sid = kSid) {
    Ste s{};
    EXPECT_EQ(ims_mem_read(&m.mem, SteAt(sid), s.data(), sizeof s), IMS_ERR_OK);
    return s;
  }
  // The host's CD 0 of the device, whose table has two levels.
  Ste HostCd() {
    Ste cd{};
    EXPECT_EQ(ims_mem_read(&m.mem, m.Load(ims_device_pasid_dir(dev)) & 0x00fffffffffff000, cd.data(), sizeof cd),
              IMS_ERR_OK);
    return cd;
  }
  // Stores to STEs and CDs and commands since the last Clear(), in order: "STE 0 zero", "03" ...
  std::vector<std::string> Steps() {
    std::vector<std::string> out;
    char op[3];
    for (const Note &n : m.notes)
      if (n.note.kind == IMS_NOTE_TABLE && (n.what == "STE" || n.what == "CD")) {
        out.push_back(n.what + " " + std::to_string(n.note.addr / 8 % 8) + (n.note.word[0] ? "" : " zero"));
      } else if (n.note.kind == IMS_NOTE_DESCRIPTOR) {
        std::snprintf(op, sizeof op, "%02x", unsigned(n.note.word[0] & 0xff));
        out.push_back(op);
      }
    return out;
  }
  // The commands, without CMD_SYNC.
  std::vector<Command> Commands() {
    std::vector<Command> out;
    for (const Note &n : m.notes)
      if (n.note.kind == IMS_NOTE_DESCRIPTOR && (n.note.word[0] & 0xff) != 0x46)
        out.push_back({n.note.word[0], n.note.word[1]});
    return out;
  }
  unsigned Syncs() {
    unsigned n = 0;
    for (uint64_t d : m.Descriptors())
      n += (d & 0xff) == 0x46;
    return n;
  }
  uint16_t Vmid() { return static_cast<uint16_t>(ims_ste_get(Physical().data(), IMS_STE_S2VMID)); }

  Machine m;
  ims_device *dev = nullptr;
  std::unique_ptr<Client> c;
  ims_file *cdev = nullptr;
  uint32_t id = 0, ioas = 0, parent = 0, viommu = 0, done = 0;
  ims_vm *vm = nullptr;
};

// An event queue of a vIOMMU and its file.
class EventQueue {
public:
  explicit EventQueue(VirtualSmmu &s, uint32_t depth = 16) : c(*s.c) {
    ims_iommu_veventq_alloc a{};
    a.viommu_id = s.viommu;
    a.type = 1;
    a.veventq_depth = depth;
    EXPECT_EQ(c.Call(IMS_IOMMU_VEVENTQ_ALLOC, &a), 0);
    id = a.out_veventq_id;
    file = ims_process_file(c.process, static_cast<int>(a.out_veventq_fd));
    EXPECT_NE(file, nullptr);
  }
  struct Event {
    uint32_t flags, sequence;
    std::array<uint64_t, 4> record;
    unsigned id() const { return record[0] & 0xff; }
    uint32_t sid() const { return static_cast<uint32_t>(record[0] >> 32); }
  };
  static constexpr uint64_t kBuf = Arena::kBase + 2048;
  long ReadRaw(size_t bytes, uint64_t buf = kBuf, uint64_t offset = 0) { return ims_read(file, buf, bytes, offset); }
  std::vector<Event> Read() {
    long n = ReadRaw(2048);
    EXPECT_GE(n, 0);
    std::vector<Event> out;
    for (uint64_t at = 0; at < static_cast<uint64_t>(n);) {
      auto h = c.m.arena.Get<ims_iommufd_vevent_header>(kBuf + at);
      at += sizeof h;
      Event e{h.flags, h.sequence, {}};
      if (!(h.flags & IMS_VEVENT_LOST_EVENTS)) {
        e.record = c.m.arena.Get<std::array<uint64_t, 4>>(kBuf + at);
        at += 32;
      }
      out.push_back(e);
    }
    return out;
  }
  bool Waiting() { return ims_poll(file) & IMS_POLLIN; }

  Client &c;
  uint32_t id = 0;
  ims_file *file = nullptr;
};

} // namespace uapi_test
