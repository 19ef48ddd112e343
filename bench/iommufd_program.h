// SPDX-License-Identifier: Apache-2.0
// A program that has opened /dev/iommu and a device behind VT-d, bound it, and made an address space: where the benchmarks
// of iommufd begin.
#pragma once

#include "iommu/vtd/vtd.h"
#include "uapi/iommufd.h"
#include "uapi/kernel.h"
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace bench {

constexpr uint64_t mega = 1 << 20, giga = 1 << 30, arg_at = 0x1000;

inline void need(bool ok, const char *what) {
  if (ok)
    return;
  std::fprintf(stderr, "benchmark machine: %s failed\n", what);
  std::exit(1);
}

class IommufdProgram {
public:
  // `memory`: bytes of the program from arg_at on, the arguments of its calls first.
  IommufdProgram(uint64_t ram, uint8_t pasid_bits, size_t memory) : arg_(memory) {
    ims_mem_init(&mem_);
    need(ims_mem_add_ram(&mem_, 0, ram) == IMS_ERR_OK, "memory");
    ims_kernel_config config;
    ims_kernel_config_default(&config);
    config.mem = &mem_;
    config.pool_base = mega;
    config.pool_size = ram - mega;
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
    dev.pasid_bits = pasid_bits;
    ims_device *device = nullptr;
    need(ims_kernel_add_device(kernel_, &dev, &device) == IMS_ERR_OK, "device");
    need(ims_process_new(kernel_, &process_) == IMS_ERR_OK, "process");
    ims_user user{};
    user.ctx = this;
    user.read = read;
    user.write = write;
    ims_process_set_user(process_, &user);
    std::string node = "/dev/vfio/devices/vfio" + std::to_string(ims_device_cdev(device));
    need(ims_open(process_, "/dev/iommu", &iommu_) >= 0 && ims_open(process_, node.c_str(), &cdev_) >= 0, "open");
    ims_vfio_device_bind_iommufd bind{};
    bind.argsz = sizeof bind;
    bind.iommufd = static_cast<uint32_t>(ims_file_fd(iommu_));
    need(call(cdev_, IMS_VFIO_DEVICE_BIND_IOMMUFD, &bind) == 0, "bind");
    device_ = bind.out_devid;
    ims_iommu_ioas_alloc alloc{};
    alloc.size = sizeof alloc;
    need(call(iommu_, IMS_IOMMU_IOAS_ALLOC, &alloc) == 0, "address space");
    ioas_ = alloc.out_ioas_id;
  }
  ~IommufdProgram() {
    ims_kernel_free(kernel_);
    ims_iommu_free(unit_);
    ims_mem_fini(&mem_);
  }
  IommufdProgram(const IommufdProgram &) = delete;
  IommufdProgram &operator=(const IommufdProgram &) = delete;

protected:
  template <class T> long call(ims_file *f, uint32_t word, T *argument) {
    std::memcpy(arg_.data(), argument, sizeof *argument);
    long ret = ims_ioctl(f, word, arg_at);
    std::memcpy(argument, arg_.data(), sizeof *argument);
    return ret;
  }

  std::vector<unsigned char> arg_;
  uint32_t device_ = 0, ioas_ = 0;
  ims_file *iommu_ = nullptr, *cdev_ = nullptr;
  ims_process *process_ = nullptr;

private:
  bool inside(uint64_t at, size_t len) const {
    return at >= arg_at && len <= arg_.size() && at - arg_at <= arg_.size() - len;
  }
  static bool read(void *self, void *dst, uint64_t src, size_t len) {
    auto *p = static_cast<IommufdProgram *>(self);
    if (!p->inside(src, len))
      return false;
    std::memcpy(dst, &p->arg_[src - arg_at], len);
    return true;
  }
  static bool write(void *self, uint64_t dst, const void *src, size_t len) {
    auto *p = static_cast<IommufdProgram *>(self);
    if (!p->inside(dst, len))
      return false;
    std::memcpy(&p->arg_[dst - arg_at], src, len);
    return true;
  }

  ims_mem mem_;
  ims_kernel *kernel_ = nullptr;
  ims_iommu *unit_ = nullptr;
};

} // namespace bench
