// SPDX-License-Identifier: Apache-2.0
// Calls of iommufd and of VFIO devices, DMA and page requests, chosen by a stream of bytes and made by two threads of one
// program: for random tests and for fuzzing. Most arguments are nearly right, some are noise, and memory may change between
// two looks of the kernel. The threads take turns (the kernel has one lock, as the shim has); the stream says when, so
// that an input does the same each time. What must hold whatever happens is checked here after each call.
#pragma once

#include "iommu/smmuv3/smmuv3.h"
#include "iommu/vtd/vtd.h"
#include "uapi/kernel.h"
#include "uapi/layout.h"
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace uapi_test {

class RandomIommufd {
public:
  static constexpr uint64_t kRam = 64 << 20, kPool = 1 << 20, kArena = 0x100000, kHeap = 0x10000000;
  static constexpr unsigned kDevices = 4, kPages = 32, kHighestFd = 24, kThreads = 2;

  RandomIommufd(const uint8_t *data, size_t size) {
    Stream config{data, data + (size < 16 ? size : 16)};
    s_ = &config;
    ims_mem_init(&mem_);
    Must(ims_mem_add_ram(&mem_, 0, kRam) == IMS_ERR_OK, "memory");
    ims_kernel_config c;
    ims_kernel_config_default(&c);
    c.mem = &mem_;
    c.pool_base = kPool;
    c.pool_size = kRam - kPool;
    uint8_t kinds = Byte();
    c.cpu_format = static_cast<uint8_t>(kinds & 4 ? IMS_CPU_ARM_4K : IMS_CPU_X86_64);
    Must(ims_kernel_new(&kernel_, &c) == IMS_ERR_OK, "kernel");
    for (int i = 0; i < 2; i++)
      AddUnit(kinds >> i & 1);
    for (unsigned i = 0; i < kDevices; i++) {
      ims_device_config d{};
      d.source = static_cast<uint16_t>(0x100 + i);
      d.unit = i == 3;
      d.group = i / 2; // the first two share a group
      d.pasid_bits = i == 2 ? 0 : 6;
      d.ats = d.pri = i != 1;
      d.stall = !d.ats;
      Must(ims_kernel_add_device(kernel_, &d, &device_[i]) == IMS_ERR_OK, "device");
    }
    process_ = NewProcess();
    const uint8_t *rest = config.end, *end = data + size, *middle = rest + (end - rest) / 2;
    stream_[0] = {rest, middle};
    stream_[1] = {middle, end};
  }
  ~RandomIommufd() {
    ims_kernel_free(kernel_);
    for (ims_iommu *u : units_)
      ims_iommu_free(u);
    ims_mem_fini(&mem_);
  }

  void Run() {
    std::thread threads[kThreads];
    for (unsigned i = 0; i < kThreads; i++)
      threads[i] = std::thread([this, i] { Thread(i); });
    for (std::thread &t : threads)
      t.join();
  }

  // Ends the program; what the kernel then has in use is what units and devices need.
  uint64_t Quiet() {
    Stream none{nullptr, nullptr};
    s_ = &none;
    ims_process_exit(process_);
    uint64_t left = ims_kernel_memory_in_use(kernel_);
    for (ims_device *d : device_)
      Must(ims_device_enable_ats(d, true) == 0, "a device is still attached after all files were closed");
    process_ = NewProcess();
    return left;
  }
  // Tables that the driver keeps for devices once they were used.
  uint64_t Allowance() const { return kDevices * ((8 << 10) + (64 << 10)); }

private:
  struct Stream {
    const uint8_t *at, *end;
  };

  static void Must(bool ok, const char *what) {
    if (!ok) {
      std::fprintf(stderr, "random iommufd calls: %s\n", what);
      std::abort();
    }
  }
  uint8_t Byte() { return s_->at < s_->end ? *s_->at++ : 0; }
  uint64_t Word() {
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
      v = v << 8 | Byte();
    return v;
  }

  void AddUnit(bool smmu) {
    ims_iommu_bus bus{};
    bus.ctx = this;
    bus.message = [](void *ctx, uint64_t addr, uint32_t msg) {
      ims_kernel_message(static_cast<RandomIommufd *>(ctx)->kernel_, addr, msg);
    };
    bus.ats_invalidate = [](void *ctx, const ims_ats_invalidation *) {
      return static_cast<RandomIommufd *>(ctx)->answers_;
    };
    ims_iommu *u = nullptr;
    uint8_t bits = Byte();
    if (!smmu) {
      ims_vtd_config v;
      ims_vtd_config_default(&v);
      v.cm = bits & 1;
      v.rwbf = bits >> 1 & 1;
      v.ssads = bits >> 2 & 1;
      v.nd = bits >> 3 & 1 ? 0 : 6;
      Must(ims_vtd_new(&u, &v, &mem_, &bus) == IMS_ERR_OK, "VT-d unit");
    } else {
      ims_smmuv3_config v;
      ims_smmuv3_config_default(&v);
      v.ril = bits & 1;
      v.httu = bits & 2 ? 2 : 0;
      v.cmdqs = bits & 4 ? 1 : 8;
      v.eventqs = bits & 8 ? 2 : 8;
      Must(ims_smmuv3_new(&u, &v, &mem_, &bus) == IMS_ERR_OK, "SMMUv3 unit");
    }
    units_.push_back(u);
    Must(ims_kernel_add_unit(kernel_, "unit", u, nullptr) == IMS_ERR_OK, "driver");
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
  bool In(uint64_t at, size_t len) const {
    return at >= kArena && at - kArena <= sizeof arena_ && sizeof arena_ - (at - kArena) >= len;
  }
  static bool Read(void *ctx, void *dst, uint64_t src, size_t len) {
    auto *r = static_cast<RandomIommufd *>(ctx);
    if (!r->In(src, len))
      return false;
    std::memcpy(dst, r->arena_ + (src - kArena), len);
    if (r->Byte() % 64 == 1) // somebody else writes meanwhile
      r->arena_[(r->Byte() * 8 + r->Byte()) % sizeof r->arena_] = r->Byte();
    return true;
  }
  static bool Write(void *ctx, uint64_t dst, const void *src, size_t len) {
    auto *r = static_cast<RandomIommufd *>(ctx);
    if (!r->In(dst, len))
      return false;
    std::memcpy(r->arena_ + (dst - kArena), src, len);
    return true;
  }

  // ---- Turns --------------------------------------------------------------------------------------------------------

  void Thread(unsigned me) {
    for (;;) {
      std::unique_lock<std::mutex> lock(lock_);
      changed_.wait(lock, [&] { return turn_ == me || done_[1 - me]; });
      s_ = &stream_[me];
      bool more = s_->at < s_->end;
      if (more)
        Step();
      else
        done_[me] = true;
      if (!more || Byte() % 2)
        turn_ = 1 - me;
      changed_.notify_all();
      if (!more)
        return;
    }
  }

  // ---- One step -----------------------------------------------------------------------------------------------------

  ims_file *AnyFile(unsigned kind) {
    unsigned start = Byte();
    for (unsigned i = 0; i < kHighestFd; i++) {
      ims_file *f = ims_process_file(process_, static_cast<int>((start + i) % kHighestFd));
      if (f && ims_file_kind(f) == kind)
        return f;
    }
    return nullptr;
  }

  static bool Is(const ims_uapi_field &f, const char *text) { return std::strstr(f.name, text) != nullptr; }

  // Numbers that mean something somewhere.
  uint64_t Likely(const ims_uapi_struct &s, const ims_uapi_field &f) {
    if (f.form == IMS_FORM_PAD || Is(f, "reserved"))
      return 0;
    if (!std::strcmp(f.name, "size") && f.offset == 0)
      return s.size;
    if (Is(f, "argsz"))
      return s.size;
    if (Is(f, "fd") || Is(f, "iommufd")) {
      ims_file *i = AnyFile(Byte() % 8 ? IMS_FILE_IOMMUFD : Byte() % IMS_FILE_KINDS);
      return i ? static_cast<uint64_t>(ims_file_fd(i)) : Byte() % 16;
    }
    if (Is(f, "user_va"))
      return kHeap + Byte() % kPages * 4096ull + (Byte() % 32 ? 0 : Byte() * 8ull);
    if (Is(f, "page_size"))
      return 4096ull << Byte() % 3;
    if (Is(f, "uptr") || Is(f, "allowed_iovas") || !std::strcmp(f.name, "data"))
      return kArena + 512 + Byte() % 4 * 64;
    if (Is(f, "iova") || !std::strcmp(f.name, "addr") || Is(f, "pgtbl_addr") || Is(f, "start") || Is(f, "last"))
      return Byte() % 64 * 4096ull - (Is(f, "last") ? 1 : 0);
    if (Is(f, "length"))
      return (1 + Byte() % 8) * 4096ull;
    if (Is(f, "npages"))
      return Byte() % 16 ? 1 + Byte() % 16 : ~0ull;
    if (Is(f, "addr_width"))
      return Byte() % 8 ? 48 : 57;
    if (Is(f, "depth"))
      return 1 + Byte() % 8;
    if (Is(f, "ste0"))
      return (Byte() % 8 ? 0xbull : 1ull) | Byte() % 16 * 4096ull;
    if (Is(f, "cmd0")) {
      static const uint8_t ops[] = {0x30, 0x10, 0x11, 0x12, 0x13, 0x05, 0x06, 0x40};
      return ops[Byte() % 8] | static_cast<uint64_t>(Byte() % 4) << 32;
    }
    if (f.form == IMS_FORM_ENUM)
      return Byte() % 4;
    if (f.form == IMS_FORM_FLAGS) { // some of them
      uint64_t flags = 0;
      for (const ims_uapi_value *v = f.values; v->name; v++)
        flags |= Byte() & 1 ? v->value : 0;
      return std::strcmp(s.name, "iommu_ioas_map") ? flags & (Byte() % 2 ? 0 : ~0ull) : flags | 6;
    }
    if (Is(f, "pasid"))
      return Byte() % 8;
    return 1 + Byte() % 12; // ids, counts
  }

  void Fill(const ims_uapi_struct &s, size_t at) {
    for (unsigned i = 0; i < s.fields; i++) {
      const ims_uapi_field &f = s.field[i];
      uint64_t v = Byte() % 48 ? Likely(s, f) : Word();
      if (at + f.offset + f.bytes <= sizeof arena_)
        std::memcpy(arena_ + at + f.offset, &v, f.bytes < 8 ? f.bytes : 8);
    }
  }

  void Ioctl() {
    if (rows_.empty())
      for (unsigned i = 0; const ims_uapi_ioctl *r = ims_uapi_row(i); i++)
        if (r->file == IMS_FILE_IOMMUFD || r->file == IMS_FILE_DEVICE)
          rows_.push_back(r);
    const ims_uapi_ioctl *row = rows_[Byte() % rows_.size()];
    ims_file *f = AnyFile(Byte() % 64 ? row->file : Byte() % IMS_FILE_KINDS);
    if (!f)
      return;
    std::memset(arena_, 0, sizeof arena_);
    Fill(*row->part[0].layout, 0);
    for (const ims_uapi_part &p : row->part) {
      if (!p.layout || !p.pointer)
        continue;
      unsigned n = 1 + Byte() % 4;
      for (unsigned i = 0; i < n; i++)
        Fill(*p.layout, 512 + i * p.layout->size);
      uint64_t where = kArena + 512;
      std::memcpy(arena_ + p.pointer, &where, 8);
      uint32_t length = p.layout->size;
      if (p.length)
        std::memcpy(arena_ + p.length, &length, 4);
      if (p.count)
        std::memcpy(arena_ + p.count, &n, 4);
    }
    if (row->granularity != 0xff)
      arena_[row->granularity_offset] = row->granularity;
    uint64_t arg = Byte() % 64 ? kArena : kArena + sizeof arena_ - Byte();
    uint32_t word = Byte() % 64 ? row->word : static_cast<uint32_t>(Word());
    long ret = ims_ioctl(f, word, arg);
    Must(ret >= -4095 && ret < 1 << 20, "an ioctl returned neither a small number nor an errno");
    Check();
  }

  void Check() {
    for (int fd = 0; fd < static_cast<int>(kHighestFd); fd++) {
      ims_file *f = ims_process_file(process_, fd);
      char why[256] = "";
      if (f && ims_file_kind(f) == IMS_FILE_IOMMUFD && !ims_iommufd_check(f, why, sizeof why))
        Must(false, why);
    }
  }

  void Step() {
    ims_device *dev = device_[Byte() % kDevices];
    const ims_device_config &dc = *ims_device_config_of(dev);
    ims_file *f = nullptr;
    switch (Byte() % 16) {
    case 0: {
      static const char *const path[] = {"/dev/iommu",
                                         "/dev/vfio/devices/vfio0",
                                         "/dev/vfio/devices/vfio1",
                                         "/dev/vfio/devices/vfio2",
                                         "/dev/vfio/devices/vfio3",
                                         "/dev/vfio/1"};
      ims_open(process_, path[Byte() % 6], &f);
      break;
    }
    case 1:
      f = Byte() % 4 ? nullptr : ims_process_file(process_, Byte() % kHighestFd);
      if (f)
        ims_close(f);
      Check();
      break;
    case 2:
      f = ims_process_file(process_, Byte() % kHighestFd);
      if (f)
        ims_file_share(f, process_, -1, &f);
      break;
    case 3: {
      uint64_t va = 0;
      ims_mmap(process_, kHeap + Byte() % kPages * 4096, (1 + Byte() % kPages) * 4096ull, 3, IMS_MMAP_FIXED, &va);
      break;
    }
    case 4: ims_munmap(process_, kHeap + Byte() % kPages * 4096, (1 + Byte() % 4) * 4096ull); break;
    case 5: {
      ims_request r{};
      r.iova = Byte() % 64 * 4096ull;
      r.source = dc.source;
      r.has_pasid = Byte() & 1;
      r.pasid = r.has_pasid ? Byte() % 8 : 0;
      r.access = Byte() & 1 ? IMS_ACC_W : IMS_ACC_R;
      ims_result res;
      ims_translate(units_[dc.unit], &r, &res);
      Must(res.status != IMS_STATUS_OK || res.output < kRam || res.output >> 12 == 0x8090, "a translation left memory");
      Must(res.status != IMS_STATUS_BYPASS, "a device passed by its IOMMU");
      break;
    }
    case 6: {
      ims_page_request r{};
      r.addr = Byte() % 64 * 4096ull;
      r.source = dc.source;
      uint8_t bits = Byte();
      r.has_pasid = bits & 1;
      r.last = bits & 6;
      r.read = bits & 8;
      r.write = bits & 16;
      r.pasid = r.has_pasid ? Byte() % 8 : 0;
      r.group = Byte() % 4;
      ims_request_page(units_[dc.unit], &r);
      break;
    }
    case 7: {
      f = ims_process_file(process_, Byte() % kHighestFd);
      if (!f)
        break;
      long n = ims_read(f, kArena + Byte(), Byte() * 8u, Byte() * 64u);
      Must(n >= -4095 && n <= 2048, "a read returned nonsense");
      ims_poll(f);
      break;
    }
    case 8: {
      f = AnyFile(Byte() % 4 ? IMS_FILE_FAULT_QUEUE : Byte() % IMS_FILE_KINDS);
      uint32_t answer[2] = {Byte() % 4u, Byte() % 2u};
      std::memcpy(arena_, answer, sizeof answer);
      if (f)
        ims_write(f, kArena, Byte() % 8 ? 8 : Byte(), 0);
      Check();
      break;
    }
    case 9: ims_kernel_interrupts(kernel_); break;
    case 10:
      if (Byte() % 8 == 0)
        answers_ = !answers_;
      break;
    case 11: { // what a guest may write: entries that are nearly right
      uint64_t w[8];
      for (uint64_t &e : w)
        e = (Byte() % 8 * 4096ull) | 0x743;
      ims_process_write(process_, kHeap + Byte() % kPages * 4096, w, sizeof w);
      break;
    }
    default:
      for (int i = 0; i < 4; i++)
        Ioctl();
    }
  }

  ims_mem mem_;
  ims_kernel *kernel_ = nullptr;
  std::vector<ims_iommu *> units_;
  ims_device *device_[kDevices];
  ims_process *process_ = nullptr;
  std::vector<const ims_uapi_ioctl *> rows_;
  uint8_t arena_[2048] = {};
  bool answers_ = true;

  std::mutex lock_;
  std::condition_variable changed_;
  Stream stream_[kThreads], *s_ = nullptr;
  unsigned turn_ = 0;
  bool done_[kThreads] = {};
};

} // namespace uapi_test
