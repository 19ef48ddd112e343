// SPDX-License-Identifier: Apache-2.0
// Mapping through iommufd: the ioctls IOAS_MAP and IOAS_UNMAP of one page, of 1 GiB in one page, and of 1 GiB in pages of
// 4 KB, with a VT-d unit below that the pages are pinned for, mapped in and invalidated in. Beside each, what the page table's
// builder takes for the same entries.
#include "bench/iommufd_program.h"
#include "bench/yardstick.h"
#include "pgtable/build.h"
#include "pgtable/pool.h"

namespace {

using bench::Against;
using bench::giga;
using bench::mega;
using bench::need;

constexpr uint64_t ram = 4 * giga;

// A program whose device is attached to its address space, and memory to map.
class Program : public bench::IommufdProgram {
public:
  Program(uint64_t size, unsigned flags) : IommufdProgram(ram, 0, 256), size_(size) {
    ims_vfio_device_attach_iommufd_pt attach{};
    attach.argsz = sizeof attach;
    attach.pt_id = ioas_;
    need(call(cdev_, IMS_VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach) == 0, "attach");
    need(ims_mmap(process_, 0, size, IMS_PROT_READ | IMS_PROT_WRITE, IMS_MMAP_POPULATE | flags, &va_) == 0, "mmap");
  }

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
  uint64_t size_, va_ = 0;
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
