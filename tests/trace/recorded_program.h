// SPDX-License-Identifier: Apache-2.0
// A program outside the simulation, and a recorder between it and the kernel, as the shim has them.
#pragma once

#include "trace/player.h"
#include "trace/record.h"
#include "trace/stream.h"
#include "uapi/iommufd.h"

#include <cerrno>
#include <cstring>
#include <gtest/gtest.h>

namespace ims {

class StringSink : public RecordSink {
public:
  bool write(const void *bytes, size_t size) override {
    text.append(static_cast<const char *>(bytes), size);
    return !full;
  }
  std::string text;
  bool full = false;
};

// Memory of the program: 64 pages, of which the last may not be written, and nothing else. Its pages lie at hpas from 2^48 on, in
// an order of their own, the first four side by side.
class OutsideProgram {
public:
  static constexpr uint64_t base = 0x7f1200000000, page = 4096, pages = 64, hpa_base = 1ull << 48;

  OutsideProgram() : memory(pages * page) {}

  ims_user user() {
    ims_user u = {};
    u.ctx = this;
    u.read = [](void *ctx, void *dst, uint64_t src, size_t len) {
      auto *self = static_cast<OutsideProgram *>(ctx);
      if (!inside(src, len))
        return false;
      std::memcpy(dst, &self->memory[src - base], len);
      return true;
    };
    u.write = [](void *ctx, uint64_t dst, const void *src, size_t len) {
      auto *self = static_cast<OutsideProgram *>(ctx);
      if (!inside(dst, len) || dst + len > base + (pages - 1) * page)
        return false;
      std::memcpy(&self->memory[dst - base], src, len);
      return true;
    };
    u.page = [](void *, uint64_t va, bool write, uint64_t *hpa, uint64_t *left) {
      if (!inside(va, 1) || (write && va >= base + (pages - 1) * page))
        return -EFAULT;
      *hpa = hpa_of(va);
      *left = page - va % page;
      return 0;
    };
    u.file_open = [](void *, int fd, uint64_t *file) {
      *file = 17;
      return fd == 6 ? 0 : -EBADF;
    };
    u.file_page = [](void *, uint64_t, uint64_t offset, bool, uint64_t *hpa, uint64_t *left) {
      *hpa = hpa_base + (1 << 30) + offset;
      *left = page - offset % page;
      return offset < pages * page ? 0 : -EINVAL;
    };
    u.file_close = [](void *, uint64_t) {};
    u.pin = [](void *, uint64_t, uint64_t, bool) {};
    u.fd_new = [](void *ctx) { return static_cast<OutsideProgram *>(ctx)->next_fd++; };
    u.fd_drop = [](void *, int) {};
    return u;
  }
  static bool inside(uint64_t va, size_t len) {
    return va >= base && va - base <= pages * page && len <= pages * page - (va - base);
  }
  static uint64_t hpa_of(uint64_t va) {
    uint64_t n = (va - base) / page;
    return hpa_base + (n < 4 ? n : n * 7 % 60 + 4) * page + va % page;
  }
  template <class T> T &at(uint64_t offset) { return *reinterpret_cast<T *>(&memory[offset]); }

  std::vector<uint8_t> memory;
  int next_fd = 20;
};

inline const char recorded_machine[] = "iommusim-trace 1\n"
                                       "# the machine that the program runs on\n"
                                       "memory hpa=0x0 size=64M\n"
                                       "kernel pool=1M pool_size=63M\n"
                                       "iommu iommu0\n"
                                       "device dev0 iommu=iommu0   source=00:03.0 group=7 pasid_bits=20\n";

// Calls through a recorder.
class Recording {
public:
  explicit Recording(const RecordOptions &options = {})
      : trace(parse_trace(recorded_machine, "machine")), player(trace, {}, &nobody), recorder(&sink, options) {
    player.run();
    kernel = const_cast<ims_kernel *>(player.kernel());
    recorder.text(recorded_machine);
    process = recorder.process();
    EXPECT_EQ(ims_process_new(kernel, &mm), 0);
    ims_user inner = program.user(), user = recorder.user(process, &inner, &keep);
    ims_process_set_user(mm, &user);
  }

  int open(const char *path, ims_file **out) {
    int fd = ims_open(mm, path, out);
    return recorder.open(process, path, fd);
  }
  long ioctl(int number, ims_file *f, uint32_t word, uint64_t arg) {
    recorder.ioctl(number, word, arg);
    long ret = ims_ioctl(f, word, arg);
    recorder.end(ret);
    return ret;
  }
  template <class T> long call(int number, ims_file *f, uint32_t word, T *arg, uint64_t at = 0x100) {
    std::memcpy(&program.memory[at], arg, sizeof *arg);
    long ret = ioctl(number, f, word, OutsideProgram::base + at);
    std::memcpy(arg, &program.memory[at], sizeof *arg);
    return ret;
  }

  PlayObserver nobody;
  Trace trace;
  Player player;
  StringSink sink;
  Recorder recorder;
  OutsideProgram program;
  RecordedUser keep;
  ims_kernel *kernel = nullptr;
  ims_process *mm = nullptr;
  int process = -1;
};

// What a trace of either form says, as text; and the other way round.
inline std::string convert(const std::string &from, TraceForm to, const TraceReadOptions &options = {}) {
  auto reader = read_trace(std::make_unique<TextSource>(from), "t", options);
  StringSink sink;
  auto writer = write_trace(&sink, to);
  TraceItem item;
  while (reader->next(&item))
    writer->put(item);
  writer->finish();
  return sink.text;
}

} // namespace ims
