// SPDX-License-Identifier: Apache-2.0
// Calls, DMA, page requests and edits of all kinds, chosen by a stream of bytes: for random tests and for fuzzing. Most
// arguments are nearly right, some are noise. What must hold whatever happens is checked here.
#pragma once

#include "iommu/vtd/vtd.h"
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
    c.pasid_quota = 8;
    c.dma_entry_limit = 5;
    dialect_ = static_cast<ims_dialect>(c.dialect);
    iommu_h_ = static_cast<ims_iommu_h>(c.iommu_h);
    Must(ims_kernel_new(&kernel_, &c) == IMS_ERR_OK, "kernel");
    for (int i = 0; i < 2; i++) {
      ims_vtd_config v;
      ims_vtd_config_default(&v);
      v.cm = Byte() & 1;
      v.rwbf = Byte() & 1;
      v.nd = i ? 6 : 0; // one of them has few domain ids
      ims_iommu_bus bus{};
      bus.ctx = this;
      bus.message = [](void *ctx, uint64_t addr, uint32_t msg) {
        ims_kernel_message(static_cast<RandomCalls *>(ctx)->kernel_, addr, msg);
      };
      bus.ats_invalidate = [](void *ctx, const ims_ats_invalidation *) {
        auto *r = static_cast<RandomCalls *>(ctx);
        return r->answers_;
      };
      ims_iommu *u = nullptr;
      Must(ims_vtd_new(&u, &v, &mem_, &bus) == IMS_ERR_OK, "unit");
      units_.push_back(u);
      Must(ims_kernel_add_unit(kernel_, "dmar", u, nullptr) == IMS_ERR_OK, "driver");
    }
    for (unsigned i = 0; i < kDevices; i++) {
      ims_device_config d{};
      d.source = static_cast<uint16_t>(0x100 + i);
      d.unit = i == 2;
      d.group = i;
      d.pasid_bits = 20;
      d.ats = d.pri = true;
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

private:
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
    ims_user u = {this, Read, Write};
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
    if (!std::strcmp(f.name, "version"))
      return 1;
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
      if ((r->dialects >> dialect_ & 1) && (!r->iommu_h || r->iommu_h == ims_iommu_h_of(dialect_, iommu_h_)))
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
      Must(res.status != IMS_STATUS_OK || res.output < kRam, "a translation left memory");
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
