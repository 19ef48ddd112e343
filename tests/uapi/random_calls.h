// SPDX-License-Identifier: Apache-2.0
// Calls, DMA, page requests and edits of all kinds, chosen by a stream of bytes: for random tests and for fuzzing. Most
// arguments are nearly right, some are noise. What must hold whatever happens is checked here.
#pragma once

#include "iommu/smmuv2/smmuv2.h"
#include "iommu/smmuv3/smmuv3.h"
#include "iommu/vtd/vtd.h"
#include "pasid/smmu.h"
#include "uapi/kernel.h"
#include "uapi/layout.h"
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace uapi_test {

class RandomCalls {
public:
  static constexpr uint64_t kRam = 32 << 20, kPool = 1 << 20, kArena = 0x100000;
  static constexpr unsigned kDevices = 3, kProcesses = 2, kFiles = 6;

  RandomCalls(const uint8_t *data, size_t size) : at_(data), end_(data + size) {
    ims_mem_init(&mem_);
    Must(ims_mem_add_ram(&mem_, 0, kRam) == IMS_ERR_OK, "memory");
    ims_kernel_config c;
    ims_kernel_config_default(&c);
    c.mem = &mem_;
    c.pool_base = kPool;
    c.pool_size = kRam - kPool;
    c.dialect = static_cast<uint8_t>(Byte() % IMS_DIALECT_COUNT);
    c.iommu_h = static_cast<uint8_t>(Byte() % 3);
    c.legacy = Byte() % 16 == 0;
    uint8_t kinds = Byte(); // of the units
    c.cpu_format = static_cast<uint8_t>(Byte() & 1 ? IMS_CPU_ARM_4K : IMS_CPU_X86_64);
    c.pasid_quota = 8;
    c.dma_entry_limit = 5;
    dialect_ = static_cast<ims_dialect>(c.dialect);
    iommu_h_ = static_cast<ims_iommu_h>(c.iommu_h);
    Must(ims_kernel_new(&kernel_, &c) == IMS_ERR_OK, "kernel");
    for (int i = 0; i < 2; i++) {
      ims_iommu_bus bus{};
      bus.ctx = this;
      bus.message = [](void *ctx, uint64_t addr, uint32_t msg) {
        ims_kernel_message(static_cast<RandomCalls *>(ctx)->kernel_, addr, msg);
      };
      bus.ats_invalidate = [](void *ctx, const ims_ats_invalidation *) {
        auto *r = static_cast<RandomCalls *>(ctx);
        return r->answers_;
      };
      ims_iommu *u = NewUnit(i, kinds >> i & 1 ? 1 + (kinds >> (4 + i) & 1) : 0, bus);
      units_.push_back(u);
      Must(ims_kernel_add_unit(kernel_, "dmar", u, nullptr) == IMS_ERR_OK, "driver");
    }
    for (unsigned i = 0; i < kDevices; i++) {
      ims_device_config d{};
      d.source = static_cast<uint16_t>(0x100 + i);
      d.unit = i == 2;
      d.group = i;
      d.pasid_bits = 20;
      d.ats = d.pri = i != 1 || !(kinds & 4);
      d.stall = !d.ats;
      Must(ims_kernel_add_device(kernel_, &d, &device_[i]) == IMS_ERR_OK, "device");
    }
    for (ims_process *&p : process_)
      p = NewProcess();
  }

  ~RandomCalls() {
    ims_kernel_free(kernel_);
    for (ims_iommu *u : units_)
      ims_iommu_free(u);
    ims_mem_fini(&mem_);
  }

  void Run() {
    while (at_ < end_)
      Step();
  }

  // Ends all that programs hold; what the kernel then has in use is what units and devices need.
  uint64_t Quiet() {
    for (ims_sva *&s : sva_)
      Release(s);
    for (ims_process *&p : process_) {
      ForgetFilesOf(p);
      ims_process_exit(p);
      p = nullptr;
    }
    uint64_t left = ims_kernel_memory_in_use(kernel_);
    for (ims_device *d : device_) // nothing is attached any more
      Must(ims_device_enable_ats(d, true) == 0, "a device is still attached after all files were closed");
    for (ims_process *&p : process_)
      p = NewProcess();
    return left;
  }

  // Bytes that the driver may keep for its devices once they have been used: VT-d a PASID table each, SMMUv3 the upper
  // level of a CD table and one leaf.
  uint64_t Allowance() const { return kDevices * ((8 << 10) + (64 << 10)); }

private:
  ims_iommu *NewUnit(int i, int kind, const ims_iommu_bus &bus) {
    ims_iommu *u = nullptr;
    if (kind == 0) {
      ims_vtd_config v;
      ims_vtd_config_default(&v);
      v.cm = Byte() & 1;
      v.rwbf = Byte() & 1;
      v.nd = i ? 6 : 0; // one of them has few domain ids
      Must(ims_vtd_new(&u, &v, &mem_, &bus) == IMS_ERR_OK, "VT-d unit");
    } else if (kind == 1) {
      ims_smmuv3_config v;
      ims_smmuv3_config_default(&v);
      uint8_t bits = Byte();
      v.ril = bits & 1;
      v.msi = bits >> 1 & 1;
      v.vmid16 = bits >> 2 & 1;
      v.asid16 = bits >> 3 & 1;
      v.httu = bits >> 4 & 2;
      v.cd2l = bits >> 6 & 1;
      v.cmdqs = bits & 128 ? 1 : 8;
      v.eventqs = bits & 64 ? 2 : 8;
      if (!v.cd2l)
        v.ssidsize = 6;
      Must(ims_smmuv3_new(&u, &v, &mem_, &bus) == IMS_ERR_OK, "SMMUv3 unit");
    } else {
      ims_smmuv2_config v;
      ims_smmuv2_config_default(&v);
      v.numcb = 1 + Byte() % 4;
      Must(ims_smmuv2_new(&u, &v, &mem_, &bus) == IMS_ERR_OK, "SMMUv2 unit");
    }
    return u;
  }
  static void Must(bool ok, const char *what) {
    if (!ok) {
      std::fprintf(stderr, "random calls: %s\n", what);
      std::abort();
    }
  }
  uint8_t Byte() { return at_ < end_ ? *at_++ : 0; }
  uint64_t Word() {
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
      v = v << 8 | Byte();
    return v;
  }

  ims_process *NewProcess() {
    ims_process *p = nullptr;
    Must(ims_process_new(kernel_, &p) == IMS_ERR_OK, "process");
    ims_user u{};
    u.ctx = this;
    u.read = Read;
    u.write = Write;
    ims_process_set_user(p, &u);
    return p;
  }
  static bool Read(void *ctx, void *dst, uint64_t src, size_t len) {
    auto *r = static_cast<RandomCalls *>(ctx);
    if (src < kArena || src - kArena > sizeof r->arena_ || sizeof r->arena_ - (src - kArena) < len)
      return false;
    std::memcpy(dst, r->arena_ + (src - kArena), len);
    return true;
  }
  static bool Write(void *ctx, uint64_t dst, const void *src, size_t len) {
    auto *r = static_cast<RandomCalls *>(ctx);
    if (dst < kArena || dst - kArena > sizeof r->arena_ || sizeof r->arena_ - (dst - kArena) < len)
      return false;
    std::memcpy(r->arena_ + (dst - kArena), src, len);
    return true;
  }

  struct Open {
    ims_file *file = nullptr;
    ims_process *owner = nullptr;
    bool group = false;
  };
  void ForgetFilesOf(const ims_process *p) {
    for (Open &o : file_)
      if (o.owner == p)
        o = Open{};
  }
  void Release(ims_sva *&s) {
    if (s)
      ims_sva_unbind(s);
    s = nullptr;
  }

  // Small numbers that mean something somewhere: PASIDs, pages of user memory, roots.
  uint64_t Likely(const ims_uapi_field &f) {
    if (f.form == IMS_FORM_PAD)
      return 0;
    if (std::strstr(f.name, "version"))
      return 1;
    if (!std::strcmp(f.name, "smmuv2_tcr"))
      return 16;
    if (!std::strcmp(f.name, "gpa"))
      return 0x9000000 + Byte() % 4 * 4096;
    if (!std::strcmp(f.name, "granule_size"))
      return 4096;
    if (!std::strcmp(f.name, "nb_granules"))
      return 1 + Byte() % 40;
    if (!std::strcmp(f.name, "format"))
      return 1 + Byte() % 2;
    if (!std::strcmp(f.name, "argsz"))
      return 128;
    if (!std::strcmp(f.name, "addr_width"))
      return Byte() & 1 ? 48 : 57;
    if (f.form == IMS_FORM_ENUM)
      return f.values[0].value + (Byte() % 8 == 0);
    if (f.values) // one or two flags
      return Byte() & 3 & (Byte() % 2 ? 1 : 3);
    if (std::strstr(f.name, "pasid") || !std::strcmp(f.name, "min") || !std::strcmp(f.name, "max"))
      return Byte() % 8;
    if (!std::strcmp(f.name, "vaddr"))
      return 0x10000000 + Byte() % 16 * 4096ull;
    if (f.bytes == 8)
      return Byte() % 8 * 4096ull;
    return Byte() % 4;
  }

  void Ioctl() {
    // A call of this dialect on a file of the right kind, as a rule.
    std::vector<const ims_uapi_ioctl *> rows;
    for (unsigned i = 0; const ims_uapi_ioctl *r = ims_uapi_row(i); i++)
      if (r->file <= IMS_FILE_GROUP && (r->dialects >> dialect_ & 1) &&
          (!r->iommu_h || r->iommu_h == ims_iommu_h_of(dialect_, iommu_h_)))
        rows.push_back(r);
    const ims_uapi_ioctl *row = rows[Byte() % rows.size()];
    bool any = Byte() % 32 == 0;
    unsigned start = Byte();
    Open *found = nullptr;
    for (unsigned i = 0; i < kFiles && !found; i++) {
      Open &candidate = file_[(start + i) % kFiles];
      if (candidate.file && (any || candidate.group == (row->file == IMS_FILE_GROUP)))
        found = &candidate;
    }
    if (!found)
      return;
    Open &o = *found;
    uint64_t arg = kArena;
    for (uint8_t &b : arena_)
      b = 0;
    if (row->arg == IMS_ARG_VALUE) {
      arg = Byte() % 4 ? 6 : Byte() % 8;
    } else if (row->arg == IMS_ARG_FD_POINTER) {
      int32_t fd = -1;
      for (const Open &c : file_)
        if (c.file && !c.group && c.owner == o.owner)
          fd = ims_file_fd(c.file);
      if (Byte() % 16 == 0)
        fd = Byte();
      std::memcpy(arena_, &fd, sizeof fd);
    } else if (row->arg == IMS_ARG_STRUCT) {
      for (const ims_uapi_part &part : row->part) {
        for (unsigned i = 0; part.layout && i < part.layout->fields; i++) {
          const ims_uapi_field &f = part.layout->field[i];
          uint64_t v = Byte() % 32 ? Likely(f) : Word();
          std::memcpy(arena_ + part.offset + f.offset, &v, f.bytes < 8 ? f.bytes : 8);
        }
        if (!part.layout)
          break;
      }
      if (row->flags_mask)
        std::memcpy(arena_ + 4, &row->flags_value, 4);
      if (row->granularity != 0xff)
        arena_[row->granularity_offset] = row->granularity;
      if (Byte() % 64 == 0)
        arg = kArena + sizeof arena_ - Byte();
    }
    uint32_t word = Byte() % 64 ? row->word : static_cast<uint32_t>(Word());
    long result = ims_ioctl(o.file, word, arg);
    Must(result >= -4095 && result < 1 << 20, "an ioctl returned neither a PASID nor an errno");
  }

  void Step() {
    ims_process *p = process_[Byte() % kProcesses];
    ims_device *dev = device_[Byte() % kDevices];
    switch (Byte() % 16) {
    case 0: {
      Open &o = file_[Byte() % kFiles];
      if (Byte() % 4)
        break;
      if (o.file)
        ims_close(o.file);
      o = Open{};
      break;
    }
    case 1:
    case 2: {
      static const char *const path[] = {"/dev/vfio/vfio", "/dev/vfio/0", "/dev/vfio/1", "/dev/vfio/2"};
      Open &o = file_[Byte() % kFiles];
      if (o.file)
        break;
      unsigned which = Byte() % 4;
      if (ims_open(p, path[which], &o.file) >= 0) {
        o.owner = p;
        o.group = which > 0;
      }
      break;
    }
    case 3: {
      uint64_t va = 0;
      if (Byte() & 1) { // all of it
        ims_mmap(p, 0x10000000, 16 * 4096, 3, IMS_MMAP_FIXED, &va);
        break;
      }
      ims_mmap(p, 0x10000000 + Byte() % 16 * 4096, (1 + Byte() % 4) * 4096ull, Byte() & 7,
               IMS_MMAP_FIXED | (Byte() & 1), &va);
      break;
    }
    case 4: ims_munmap(p, 0x10000000 + Byte() % 16 * 4096, (1 + Byte() % 4) * 4096ull); break;
    case 5: ims_mprotect(p, 0x10000000 + Byte() % 16 * 4096, (1 + Byte() % 4) * 4096ull, Byte() & 7); break;
    case 6: {
      ims_sva *&s = sva_[Byte() % 4];
      if (s)
        Release(s);
      else
        ims_sva_bind(dev, p, &s);
      break;
    }
    case 7: {
      ims_request r{};
      r.iova = Byte() & 1 ? 0x10000000 + Byte() % 16 * 4096 : Byte() % 32 * 4096ull;
      r.source = ims_device_config_of(dev)->source;
      r.has_pasid = Byte() & 1;
      r.pasid = Byte() % 8;
      r.access = Byte() & 1 ? IMS_ACC_W : IMS_ACC_R;
      ims_result res;
      ims_translate(units_[ims_device_config_of(dev)->unit], &r, &res);
      Must(res.status != IMS_STATUS_OK || res.output < kRam || res.output >> 12 == 0x8090, "a translation left memory");
      Must(res.status != IMS_STATUS_BYPASS, "a device passed by its IOMMU");
      break;
    }
    case 8: {
      ims_page_request r{};
      r.addr = 0x10000000 + Byte() % 16 * 4096;
      r.source = ims_device_config_of(dev)->source;
      uint8_t bits = Byte();
      r.has_pasid = bits & 1;
      r.last = bits & 2;
      r.read = bits & 4;
      r.write = bits & 8;
      r.exec = bits & 16;
      r.priv = (bits & 0xe0) == 0xe0;
      r.pasid = r.has_pasid ? Byte() % 8 : 0;
      r.group = Byte() % 4;
      ims_request_page(units_[ims_device_config_of(dev)->unit], &r);
      break;
    }
    case 9: ims_kernel_interrupts(kernel_); break;
    case 10: {
      Open &o = file_[Byte() % kFiles];
      ims_iommu_fault_page_request f;
      if (o.file && !o.group && ims_container_read_fault(o.file, &f) == 64) {
        uint32_t b[6] = {24, 1, f.flags & 1, f.pasid, f.grpid, Byte() % 4u};
        bool old = ims_iommu_h_of(dialect_, iommu_h_) == IMS_IOMMU_H_A;
        std::memcpy(arena_, b + (old ? 1 : 0), old ? 20 : 24);
        ims_container_page_response(o.file, kArena);
      }
      break;
    }
    case 11:
      if (Byte() % 8 == 0)
        answers_ = !answers_;
      break;
    case 12: {
      if (Byte() % 16)
        break;
      ims_process *&victim = process_[Byte() % kProcesses];
      ForgetFilesOf(victim);
      ims_process_exit(victim); // devices may still be bound to it
      victim = NewProcess();
      break;
    }
    case 13: { // what a guest may write: descriptors and table entries that are nearly right
      uint64_t w[8] = {};
      uint64_t table = Byte() % 8 * 4096ull;
      if (Byte() & 1) {
        ims_cd_set(w, IMS_CD_V, 1);
        ims_cd_set(w, IMS_CD_AA64, 1);
        ims_cd_set(w, IMS_CD_T0SZ, 16 + Byte() % 4 * 9);
        ims_cd_set(w, IMS_CD_EPD1, 1);
        ims_cd_set(w, IMS_CD_IPS, 5);
        ims_cd_set(w, IMS_CD_A, 1);
        ims_cd_set(w, IMS_CD_R, 1);
        ims_cd_set(w, IMS_CD_S, Byte() & 1);
        ims_cd_set(w, IMS_CD_ASID, Byte() % 4);
        ims_cd_set_address(w, IMS_CD_TTB0, table);
      } else {
        for (uint64_t &e : w)
          e = (Byte() % 8 * 4096ull) | 0x743;
      }
      ims_process_write(p, 0x10000000 + Byte() % 16 * 4096 + Byte() % 8 * 64, w, sizeof w);
      break;
    }
    default:
      for (int i = 0; i < 4; i++)
        Ioctl();
    }
  }

  const uint8_t *at_, *end_;
  ims_mem mem_;
  ims_kernel *kernel_ = nullptr;
  ims_dialect dialect_;
  ims_iommu_h iommu_h_;
  std::vector<ims_iommu *> units_;
  ims_device *device_[kDevices];
  ims_process *process_[kProcesses];
  Open file_[kFiles];
  ims_sva *sva_[4] = {};
  uint8_t arena_[512] = {};
  bool answers_ = true;
};

} // namespace uapi_test
