// SPDX-License-Identifier: Apache-2.0
// The ioctls of 2020 down to descriptors and table bytes: vSVA series v7 against a VT-d unit, the SMMUv3 nested series v13
// against an SMMUv3.
#include "bench/nested_machine.h"
#include "bench/yardstick.h"
#include "iommu/smmuv3/smmuv3.h"
#include "iommu/vtd/vtd.h"
#include "pasid/smmu.h"
#include "pgtable/vmsa.h"
#include "uapi/kernel.h"
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

using bench::Against;
using bench::Arch;

constexpr uint64_t mega = 1 << 20, ram = 512 * mega, guest_size = 64 * mega, iova = 0x7f0000001000;
constexpr uint64_t arg_at = 0x1000; // where the program keeps its ioctl arguments

// A VMM with a device and a guest page table, ready to bind.
class Vmm {
public:
  explicit Vmm(Arch arch) : arch_(arch) {
    ims_mem_init(&mem_);
    need(ims_mem_add_ram(&mem_, 0, ram) == IMS_ERR_OK, "memory");
    ims_kernel_config config;
    ims_kernel_config_default(&config);
    config.mem = &mem_;
    config.pool_base = mega;
    config.pool_size = ram - mega;
    if (arch == Arch::Smmuv3) {
      config.dialect = IMS_DIALECT_SMMUV3_V13;
      config.cpu_format = IMS_CPU_ARM_4K;
    }
    need(ims_kernel_new(&kernel_, &config) == IMS_ERR_OK, "kernel");
    ims_iommu_bus bus{};
    bus.ctx = kernel_;
    bus.message = ims_kernel_message;
    if (arch == Arch::Vtd) {
      ims_vtd_config vtd;
      ims_vtd_config_default(&vtd);
      need(ims_vtd_new(&unit_, &vtd, &mem_, &bus) == IMS_ERR_OK, "unit");
    } else {
      ims_smmuv3_config smmu;
      ims_smmuv3_config_default(&smmu);
      need(ims_smmuv3_new(&unit_, &smmu, &mem_, &bus) == IMS_ERR_OK, "unit");
    }
    unsigned index = 0;
    need(ims_kernel_add_unit(kernel_, "iommu0", unit_, &index) == IMS_ERR_OK, "driver");
    ims_device_config dev{};
    dev.source = 0x0018;
    dev.group = 7;
    dev.pasid_bits = 20;
    ims_device *device = nullptr;
    need(ims_kernel_add_device(kernel_, &dev, &device) == IMS_ERR_OK, "device");

    ims_process *process = nullptr;
    ims_file *group = nullptr;
    need(ims_process_new(kernel_, &process) == IMS_ERR_OK, "process");
    ims_user user{};
    user.ctx = this;
    user.read = read;
    user.write = write;
    ims_process_set_user(process, &user);
    need(ims_open(process, "/dev/vfio/vfio", &container_) >= 0, "container");
    need(ims_open(process, "/dev/vfio/7", &group) >= 0, "group");
    int32_t fd = ims_file_fd(container_);
    std::memcpy(arg_, &fd, sizeof fd);
    need(ims_ioctl(group, IMS_VFIO_GROUP_SET_CONTAINER, arg_at) == 0, "SET_CONTAINER");
    need(ims_ioctl(container_, IMS_VFIO_SET_IOMMU, IMS_VFIO_TYPE1_NESTING_IOMMU) == 0, "SET_IOMMU");

    uint64_t va = 0;
    ims_vm *vm = nullptr;
    need(ims_mmap(process, 0, guest_size, IMS_PROT_READ | IMS_PROT_WRITE, IMS_MMAP_POPULATE | IMS_MMAP_2M, &va) == 0,
         "mmap");
    need(ims_vm_new(process, &vm) == IMS_ERR_OK && ims_vm_add_slot(vm, 0, va, guest_size) == IMS_ERR_OK, "guest");
    need(ims_vm_set_pool(vm, guest_size / 2, guest_size / 2) == IMS_ERR_OK, "guest memory");
    need(call(IMS_VFIO_IOMMU_MAP_DMA, ims_vfio_iommu_type1_dma_map{32, 3, va, 0, guest_size}) == 0, "MAP_DMA");

    if (arch == Arch::Vtd)
      ims_x86_fs_format(&format_, 52, true, false);
    else
      ims_vmsa_format(&format_, IMS_PGT_VMSA_S1, IMS_GRANULE_4K, false, false, true);
    table_.fmt = &format_;
    table_.levels = 4;
    table_.in_bits = table_.out_bits = 48;
    ims_pgt_mem guest = ims_vm_pgt_mem(vm);
    unsigned flags = arch == Arch::Vtd ? 0u : unsigned(IMS_MAP_A | IMS_MAP_NG);
    need(ims_pgt_create(&table_, &guest) == IMS_ERR_OK, "guest table");
    need(ims_pgt_map(&table_, &guest, iova, 0x5000, 4096, IMS_PERM_ALL, flags, 1) == IMS_ERR_OK, "guest page");
    if (arch == Arch::Smmuv3) {
      need(ims_vm_alloc(vm, 12, &attach_.config.base_ptr) == IMS_ERR_OK, "CD table");
      return;
    }
    long pasid = call(IMS_V3_VFIO_IOMMU_PASID_REQUEST, ims_vfio_pasid_request{16, 1, 1, 1000});
    need(pasid > 0, "PASID_REQUEST");
    bind_.data.hpasid = invalidate_.addr.pasid = static_cast<uint64_t>(pasid);
    bind_.data.gpgd = table_.root;
  }
  ~Vmm() {
    ims_kernel_free(kernel_);
    ims_iommu_free(unit_);
    ims_mem_fini(&mem_);
  }
  Vmm(const Vmm &) = delete;
  Vmm &operator=(const Vmm &) = delete;

  // The guest's page table, or its CD table.
  long bind() {
    if (arch_ == Arch::Smmuv3) {
      attach_.flags = 1;
      return call(IMS_V13_VFIO_IOMMU_SET_PASID_TABLE, attach_);
    }
    bind_.flags = 0;
    return call(IMS_V3_VFIO_IOMMU_NESTING_OP, bind_);
  }
  long unbind() {
    if (arch_ == Arch::Smmuv3) {
      attach_.flags = 2;
      return call(IMS_V13_VFIO_IOMMU_SET_PASID_TABLE, attach_);
    }
    bind_.flags = 1;
    return call(IMS_V3_VFIO_IOMMU_NESTING_OP, bind_);
  }
  long invalidate() {
    if (arch_ == Arch::Smmuv3)
      return call(IMS_V13_VFIO_IOMMU_CACHE_INVALIDATE, by_asid_);
    return call(IMS_V3_VFIO_IOMMU_NESTING_OP, invalidate_);
  }

private:
  static void need(bool ok, const char *what) {
    if (ok)
      return;
    std::fprintf(stderr, "benchmark machine: %s failed\n", what);
    std::exit(1);
  }
  static bool inside(uint64_t at, size_t len) {
    return at >= arg_at && len <= sizeof arg_ && at - arg_at <= sizeof arg_ - len;
  }
  static bool read(void *self, void *dst, uint64_t src, size_t len) {
    if (!inside(src, len))
      return false;
    std::memcpy(dst, static_cast<Vmm *>(self)->arg_ + (src - arg_at), len);
    return true;
  }
  static bool write(void *self, uint64_t dst, const void *src, size_t len) {
    if (!inside(dst, len))
      return false;
    std::memcpy(static_cast<Vmm *>(self)->arg_ + (dst - arg_at), src, len);
    return true;
  }
  template <class T> long call(uint32_t word, const T &argument) {
    static_assert(sizeof(T) <= sizeof arg_, "room for the argument");
    std::memcpy(arg_, &argument, sizeof argument);
    return ims_ioctl(container_, word, arg_at);
  }

  struct Bind {
    uint32_t argsz = 80, flags = 0;
    ims_iommu_gpasid_bind_data_b data{};
    Bind() {
      data.argsz = sizeof data;
      data.version = 1;
      data.format = 1;
      data.addr_width = 48;
    }
  };
  struct SetTable {
    uint32_t argsz = 40, flags = 1;
    ims_iommu_pasid_table_config_b config{};
    SetTable() {
      config.argsz = sizeof config;
      config.version = 1;
      config.format = 1;
      config.pasid_bits = 4;
      config.config = 1;
      config.smmuv3_version = 1;
    }
  };
  struct Invalidate {
    uint32_t argsz = 64, flags = 2;
    ims_iommu_cache_invalidate_info_b data{};
    ims_iommu_inv_addr_info addr{};
    Invalidate() {
      data.argsz = 56;
      data.version = 1;
      data.cache = 1;
      data.granularity = 2;
      addr.flags = 1;
      addr.addr = iova;
      addr.granule_size = 4096;
      addr.nb_granules = 1;
    }
  };

  Arch arch_;
  static Invalidate by_asid() {
    Invalidate i;
    i.flags = 0;
    i.addr.flags = 2; // ARCHID
    i.addr.archid = 1;
    return i;
  }

  ims_mem mem_;
  ims_kernel *kernel_ = nullptr;
  ims_iommu *unit_ = nullptr;
  ims_file *container_ = nullptr;
  ims_pgt_format format_;
  ims_pgt table_{};
  Bind bind_;
  SetTable attach_;
  Invalidate invalidate_, by_asid_{by_asid()};
  static inline unsigned char arg_[256];
};

// A guest page table bound to a PASID, or a guest CD table to a stream, and unbound again: entry written, cleared, caches invalidated, waits answered.
void bind_unbind(benchmark::State &state, Arch arch) {
  Vmm vmm(arch);
  Against yardstick(state, "hash_lookup_ns", bench::hash_ns());
  for (auto _ : state) {
    if (vmm.bind() != 0 || vmm.unbind() != 0) {
      state.SkipWithError("a bind or unbind failed");
      break;
    }
  }
}
BENCHMARK_CAPTURE(bind_unbind, vtd, Arch::Vtd)->Name("uapi/bind_unbind");
BENCHMARK_CAPTURE(bind_unbind, smmuv3, Arch::Smmuv3)->Name("uapi/bind_unbind/smmuv3");

// One page of a bound PASID: ioctl, descriptor, wait.
void invalidate_page(benchmark::State &state, Arch arch) {
  Vmm vmm(arch);
  if (vmm.bind() != 0) {
    state.SkipWithError("the bind failed");
    return;
  }
  Against yardstick(state, "hash_lookup_ns", bench::hash_ns());
  for (auto _ : state) {
    if (vmm.invalidate() != 0) {
      state.SkipWithError("an invalidation failed");
      break;
    }
  }
}
BENCHMARK_CAPTURE(invalidate_page, vtd, Arch::Vtd)->Name("uapi/invalidate_page");
BENCHMARK_CAPTURE(invalidate_page, smmuv3, Arch::Smmuv3)->Name("uapi/invalidate_page/smmuv3");

} // namespace
