// SPDX-License-Identifier: Apache-2.0
// Mapping through iommufd: the ioctls IOAS_MAP and IOAS_UNMAP of one page, of 1 GiB in one page, and of 1 GiB in pages of
// 4 KB, with a VT-d unit below that the pages are pinned for, mapped in and invalidated in. Beside each, what the page table's
// builder takes for the same entries.
#include "bench/yardstick.h"
#include "iommu/vtd/vtd.h"
#include "pgtable/build.h"
#include "pgtable/pool.h"
#include "uapi/iommufd.h"
#include "uapi/kernel.h"
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

using bench::Against;

constexpr uint64_t mega = 1 << 20, giga = 1 << 30, ram = 4 * giga, arg_at = 0x1000;

void need(bool ok, const char *what) {
  if (ok)
    return;
  std::fprintf(stderr, "benchmark machine: %s failed\n", what);
  std::exit(1);
}

// A program with an address space, a device attached to it, and memory to map.
class Program {
public:
  Program(uint64_t size, unsigned flags) : size_(size) {
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
    ims_device *device = nullptr;
    need(ims_kernel_add_device(kernel_, &dev, &device) == IMS_ERR_OK, "device");

    ims_process *process = nullptr;
    ims_file *cdev = nullptr;
    need(ims_process_new(kernel_, &process) == IMS_ERR_OK, "process");
    ims_user user{};
    user.ctx = this;
    user.read = read;
    user.write = write;
    ims_process_set_user(process, &user);
    std::string node = "/dev/vfio/devices/vfio" + std::to_string(ims_device_cdev(device));
    need(ims_open(process, "/dev/iommu", &iommu_) >= 0 && ims_open(process, node.c_str(), &cdev) >= 0, "open");
    ims_vfio_device_bind_iommufd bind{};
    bind.argsz = sizeof bind;
    bind.iommufd = static_cast<uint32_t>(ims_file_fd(iommu_));
    need(call(cdev, IMS_VFIO_DEVICE_BIND_IOMMUFD, &bind) == 0, "bind");
    ims_iommu_ioas_alloc alloc{};
    alloc.size = sizeof alloc;
    need(call(iommu_, IMS_IOMMU_IOAS_ALLOC, &alloc) == 0, "address space");
    ims_vfio_device_attach_iommufd_pt attach{};
    attach.argsz = sizeof attach;
    attach.pt_id = ioas_ = alloc.out_ioas_id;
    need(call(cdev, IMS_VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach) == 0, "attach");
    need(ims_mmap(process, 0, size, IMS_PROT_READ | IMS_PROT_WRITE, IMS_MMAP_POPULATE | flags, &va_) == 0, "mmap");
  }
  ~Program() {
    ims_kernel_free(kernel_);
    ims_iommu_free(unit_);
    ims_mem_fini(&mem_);
  }
  Program(const Program &) = delete;
  Program &operator=(const Program &) = delete;

  bool map() {
    ims_iommu_ioas_map m{};
    m.size = sizeof m;
    m.flags = IMS_IOAS_MAP_FIXED_IOVA | IMS_IOAS_MAP_READABLE | IMS_IOAS_MAP_WRITEABLE;
    m.ioas_id = ioas_;
    m.user_va = va_;
    m.length = size_;
    m.iova = 64 * giga;
    return call(iommu_, IMS_IOMMU_IOAS_MAP, &m) == 0;
  }
  bool unmap() {
    ims_iommu_ioas_unmap u{};
    u.size = sizeof u;
    u.ioas_id = ioas_;
    u.iova = 64 * giga;
    u.length = size_;
    return call(iommu_, IMS_IOMMU_IOAS_UNMAP, &u) == 0;
  }

private:
  static bool inside(uint64_t at, size_t len) {
    return at >= arg_at && len <= sizeof arg_ && at - arg_at <= sizeof arg_ - len;
  }
  static bool read(void *, void *dst, uint64_t src, size_t len) {
    if (!inside(src, len))
      return false;
    std::memcpy(dst, arg_ + (src - arg_at), len);
    return true;
  }
  static bool write(void *, uint64_t dst, const void *src, size_t len) {
    if (!inside(dst, len))
      return false;
    std::memcpy(arg_ + (dst - arg_at), src, len);
    return true;
  }
  template <class T> long call(ims_file *f, uint32_t word, T *argument) {
    static_assert(sizeof(T) <= sizeof arg_, "room for the argument");
    std::memcpy(arg_, argument, sizeof *argument);
    long ret = ims_ioctl(f, word, arg_at);
    std::memcpy(argument, arg_, sizeof *argument);
    return ret;
  }

  uint64_t size_, va_ = 0;
  uint32_t ioas_ = 0;
  ims_mem mem_;
  ims_kernel *kernel_ = nullptr;
  ims_iommu *unit_ = nullptr;
  ims_file *iommu_ = nullptr;
  static inline unsigned char arg_[256];
};

void reap(void *pool, uint64_t table, unsigned log2size) {
  ims_page_pool_free(static_cast<ims_page_pool *>(pool), table, log2size);
}

// The same entries made and removed by the builder alone, in ns.
double builder_ns(uint64_t size, uint64_t page) {
  ims_mem mem;
  ims_page_pool pool;
  ims_pgt_format format;
  ims_pgt table{};
  ims_mem_init(&mem);
  need(ims_mem_add_ram(&mem, 0, 64 * mega) == IMS_ERR_OK &&
           ims_page_pool_init(&pool, &mem, mega, 63 * mega) == IMS_ERR_OK,
       "memory");
  ims_x86_fs_format(&format, 52, true, false);
  table.fmt = &format;
  table.levels = 4;
  table.in_bits = 48;
  ims_pgt_mem tables = ims_page_pool_pgt_mem(&pool);
  need(ims_pgt_create(&table, &tables) == IMS_ERR_OK, "table");
  const int rounds = size / page > 1000 ? 5 : 20000;
  double start = bench::cpu_ns();
  for (int i = 0; i < rounds; i++) {
    ims_pgt_gather gather{};
    gather.reap = reap;
    gather.ctx = &pool;
    // An output address as aligned as the page is, and no more.
    need(ims_pgt_map(&table, &tables, 64 * giga, 8 * giga + (page < giga ? page : 0), size, IMS_PERM_R | IMS_PERM_W, 0,
                     0) == IMS_ERR_OK &&
             ims_pgt_unmap(&table, &tables, 64 * giga, size, 0, &gather) == IMS_ERR_OK,
         "entries");
  }
  double ns = (bench::cpu_ns() - start) / rounds;
  ims_page_pool_fini(&pool);
  ims_mem_fini(&mem);
  return ns;
}

void map_unmap(benchmark::State &state, uint64_t size, uint64_t page) {
  Program p(size, page == giga ? unsigned(IMS_MMAP_1G) : 0u);
  Against yardstick(state, "builder_ns", builder_ns(size, page));
  for (auto _ : state) {
    if (!p.map() || !p.unmap()) {
      state.SkipWithError("a map or unmap failed");
      break;
    }
  }
}
BENCHMARK_CAPTURE(map_unmap, page, 4096, 4096)->Name("uapi/iommufd/map_4k");
BENCHMARK_CAPTURE(map_unmap, gigabyte, giga, giga)->Name("uapi/iommufd/map_1g");
BENCHMARK_CAPTURE(map_unmap, gigabyte_of_pages, giga, 4096)->Name("uapi/iommufd/map_1g/4k_pages");

} // namespace
