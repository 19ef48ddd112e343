// SPDX-License-Identifier: Apache-2.0
// A guest's first stage through iommufd on VT-d: a nested table made, attached, detached and destroyed; an invalidation of
// one page, and of 512 entries in one call. Beside each, what the unit alone takes for the same stores and descriptors,
// put into its queue by hand.
#include "bench/yardstick.h"
#include "iommu/vtd/regs.h"
#include "iommu/vtd/vtd.h"
#include "uapi/iommufd.h"
#include "uapi/kernel.h"
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

using bench::Against;

constexpr uint64_t mega = 1 << 20, giga = 1 << 30, arg_at = 0x1000;
constexpr unsigned entries = 512;

void need(bool ok, const char *what) {
  if (ok)
    return;
  std::fprintf(stderr, "benchmark machine: %s failed\n", what);
  std::exit(1);
}

// A VMM with a device, a nesting parent over its guest's memory, and a nested table.
class Vmm {
public:
  Vmm() : arg_(arg_at + entries * sizeof(ims_iommu_hwpt_vtd_s1_invalidate)) {
    ims_mem_init(&mem_);
    need(ims_mem_add_ram(&mem_, 0, giga) == IMS_ERR_OK, "memory");
    ims_kernel_config config;
    ims_kernel_config_default(&config);
    config.mem = &mem_;
    config.pool_base = mega;
    config.pool_size = giga - mega;
    need(ims_kernel_new(&kernel_, &config) == IMS_ERR_OK, "kernel");
    ims_iommu_bus bus{};
    bus.ctx = kernel_;
    bus.message = ims_kernel_message;
    ims_vtd_config vtd;
    ims_vtd_config_default(&vtd);
    need(ims_vtd_new(&unit_, &vtd, &mem_, &bus) == IMS_ERR_OK, "unit");
    unsigned index = 0;
    need(ims_kernel_add_unit(kernel_, "iommu0", unit_, &index) == IMS_ERR_OK, "driver");
    ims_device_config dev{};
    dev.source = 0x0018;
    dev.group = 7;
    dev.pasid_bits = 20;
    ims_device *device = nullptr;
    need(ims_kernel_add_device(kernel_, &dev, &device) == IMS_ERR_OK, "device");
    ims_process *process = nullptr;
    need(ims_process_new(kernel_, &process) == IMS_ERR_OK, "process");
    ims_user user{};
    user.ctx = this;
    user.read = read;
    user.write = write;
    ims_process_set_user(process, &user);
    std::string node = "/dev/vfio/devices/vfio" + std::to_string(ims_device_cdev(device));
    need(ims_open(process, "/dev/iommu", &iommu_) >= 0 && ims_open(process, node.c_str(), &cdev_) >= 0, "open");
    ims_vfio_device_bind_iommufd bind{};
    bind.argsz = sizeof bind;
    bind.iommufd = static_cast<uint32_t>(ims_file_fd(iommu_));
    need(call(cdev_, IMS_VFIO_DEVICE_BIND_IOMMUFD, &bind) == 0, "bind");
    ims_iommu_ioas_alloc ioas{};
    ioas.size = sizeof ioas;
    need(call(iommu_, IMS_IOMMU_IOAS_ALLOC, &ioas) == 0, "address space");
    ims_iommu_hwpt_alloc parent{};
    parent.size = sizeof parent;
    parent.flags = IMS_HWPT_NEST_PARENT;
    parent.dev_id = bind.out_devid;
    parent.pt_id = ioas.out_ioas_id;
    need(call(iommu_, IMS_IOMMU_HWPT_ALLOC, &parent) == 0, "parent");
    nested_.size = sizeof nested_;
    nested_.dev_id = bind.out_devid;
    nested_.pt_id = parent.out_hwpt_id;
    nested_.data_type = IMS_HWPT_DATA_VTD_S1;
    nested_.data_len = sizeof(ims_iommu_hwpt_vtd_s1);
    nested_.data_uptr = arg_at + 256;
    ims_iommu_hwpt_vtd_s1 s1{};
    s1.addr_width = 48;
    std::memcpy(&arg_[256], &s1, sizeof s1);
    for (unsigned i = 0; i < entries; i++) {
      ims_iommu_hwpt_vtd_s1_invalidate e{0x7f0000000000 + i * 4096ull, 1, IMS_INVALIDATE_LEAF, 0};
      std::memcpy(&arg_[arg_at + i * sizeof e], &e, sizeof e);
    }
  }
  ~Vmm() {
    ims_kernel_free(kernel_);
    ims_iommu_free(unit_);
    ims_mem_fini(&mem_);
  }
  Vmm(const Vmm &) = delete;
  Vmm &operator=(const Vmm &) = delete;

  bool bind() {
    ims_vfio_device_attach_iommufd_pt attach{};
    if (call(iommu_, IMS_IOMMU_HWPT_ALLOC, &nested_) != 0)
      return false;
    attach.argsz = sizeof attach;
    attach.pt_id = nested_.out_hwpt_id;
    return call(cdev_, IMS_VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach) == 0;
  }
  bool unbind() {
    ims_vfio_device_detach_iommufd_pt detach{sizeof detach, 0, 0};
    ims_iommu_destroy destroy{sizeof destroy, nested_.out_hwpt_id};
    return call(cdev_, IMS_VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach) == 0 &&
           call(iommu_, IMS_IOMMU_DESTROY, &destroy) == 0;
  }
  bool invalidate(unsigned n) {
    ims_iommu_hwpt_invalidate i{};
    i.size = sizeof i;
    i.hwpt_id = nested_.out_hwpt_id;
    i.data_uptr = 2 * arg_at;
    i.entry_len = sizeof(ims_iommu_hwpt_vtd_s1_invalidate);
    i.entry_num = n;
    return call(iommu_, IMS_IOMMU_HWPT_INVALIDATE, &i) == 0 && i.entry_num == n;
  }

private:
  bool inside(uint64_t at, size_t len) const {
    return at >= arg_at && len <= arg_.size() && at - arg_at <= arg_.size() - len;
  }
  static bool read(void *self, void *dst, uint64_t src, size_t len) {
    auto *v = static_cast<Vmm *>(self);
    if (!v->inside(src, len))
      return false;
    std::memcpy(dst, &v->arg_[src - arg_at], len);
    return true;
  }
  static bool write(void *self, uint64_t dst, const void *src, size_t len) {
    auto *v = static_cast<Vmm *>(self);
    if (!v->inside(dst, len))
      return false;
    std::memcpy(&v->arg_[dst - arg_at], src, len);
    return true;
  }
  template <class T> long call(ims_file *f, uint32_t word, T *argument) {
    std::memcpy(arg_.data(), argument, sizeof *argument);
    long ret = ims_ioctl(f, word, arg_at);
    std::memcpy(argument, arg_.data(), sizeof *argument);
    return ret;
  }

  std::vector<unsigned char> arg_; // the program's memory: arguments, the first stage's data, entries of invalidations
  ims_iommu_hwpt_alloc nested_{};
  ims_mem mem_;
  ims_kernel *kernel_ = nullptr;
  ims_iommu *unit_ = nullptr;
  ims_file *iommu_ = nullptr, *cdev_ = nullptr;
};

// A unit with nobody but us before it.
class Engine {
public:
  Engine() {
    ims_mem_init(&mem_);
    need(ims_mem_add_ram(&mem_, 0, mega) == IMS_ERR_OK, "memory");
    ims_vtd_config vtd;
    ims_vtd_config_default(&vtd);
    ims_iommu_bus bus{};
    need(ims_vtd_new(&unit_, &vtd, &mem_, &bus) == IMS_ERR_OK, "unit");
    ims_iommu_write(unit_, IMS_VTD_OFF_RTADDR, 8, root | IMS_VTD_PUT(RTADDR_TTM, 1));
    ims_iommu_write(unit_, IMS_VTD_OFF_GCMD, 4, IMS_VTD_BITS(GCMD_SRTP));
    ims_iommu_write(unit_, IMS_VTD_OFF_IQA, 8, queue | IMS_VTD_PUT(IQA_DW, 1) | IMS_VTD_PUT(IQA_QS, 1));
    ims_iommu_write(unit_, IMS_VTD_OFF_GCMD, 4, IMS_VTD_BITS(GCMD_QIE));
  }
  ~Engine() {
    ims_iommu_free(unit_);
    ims_mem_fini(&mem_);
  }
  Engine(const Engine &) = delete;
  Engine &operator=(const Engine &) = delete;

  // One descriptor and the wait behind it.
  void submit(uint64_t q0, uint64_t q1) {
    uint32_t done = 0;
    need(ims_mem_write(&mem_, status, &done, 4) == IMS_ERR_OK, "status");
    put(q0, q1);
    put(5 | 1 << 5 | 2ull << 32, status);
    ims_iommu_write(unit_, IMS_VTD_OFF_IQT, 8, tail_ * 32);
    need(ims_mem_read(&mem_, status, &done, 4) == IMS_ERR_OK && done == 2, "wait");
  }
  void stores(unsigned n) {
    for (unsigned i = 0; i < n; i++)
      need(ims_mem_store64(&mem_, table + i % 8 * 8, i) == IMS_ERR_OK, "store");
  }

private:
  static constexpr uint64_t root = 0x10000, queue = 0x20000, status = 0x30000, table = 0x40000;
  void put(uint64_t q0, uint64_t q1) {
    const uint64_t words[4] = {q0, q1, 0, 0};
    need(ims_mem_write(&mem_, queue + tail_ * 32, words, sizeof words) == IMS_ERR_OK, "descriptor");
    tail_ = (tail_ + 1) % 256;
  }
  ims_mem mem_;
  ims_iommu *unit_ = nullptr;
  uint64_t tail_ = 0;
};

template <class F> double engine_ns(F what) {
  constexpr int rounds = 20000;
  Engine e;
  double start = bench::cpu_ns();
  for (int i = 0; i < rounds; i++)
    what(e);
  return (bench::cpu_ns() - start) / rounds;
}

void page_invalidation(Engine &e) { e.submit(6 | 3 << 4 | 2 << 16, 0x7f0000000040); }

void bind_unbind(benchmark::State &state) {
  Vmm v;
  Against yardstick(state, "engine_ns", engine_ns([](Engine &e) {
                      e.stores(12 + 1 + 8); // the entry filled, P cleared, the entry cleared
                      e.submit(7 | 1 << 4 | 2 << 16, 0);
                      e.submit(2 | 2 << 4 | 2 << 16, 0);
                    }));
  for (auto _ : state)
    if (!v.bind() || !v.unbind()) {
      state.SkipWithError("a bind or unbind failed");
      break;
    }
}
BENCHMARK(bind_unbind)->Name("uapi/iommufd/bind_unbind");

void invalidate(benchmark::State &state, unsigned n) {
  Vmm v;
  need(v.bind(), "bind");
  Against yardstick(state, "engine_ns", engine_ns(page_invalidation) * n);
  for (auto _ : state)
    if (!v.invalidate(n)) {
      state.SkipWithError("an invalidation failed");
      break;
    }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * n);
}
BENCHMARK_CAPTURE(invalidate, page, 1)->Name("uapi/iommufd/invalidate_page");
BENCHMARK_CAPTURE(invalidate, entries, entries)->Name("uapi/iommufd/invalidate_512");

} // namespace
