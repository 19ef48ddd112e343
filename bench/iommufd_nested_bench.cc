// SPDX-License-Identifier: Apache-2.0
// A guest's first stage through iommufd on VT-d: a nested table made, attached, detached and destroyed; an invalidation of
// one page, and of 512 entries in one call. Beside each, what the unit alone takes for the same stores and descriptors,
// put into its queue by hand.
#include "bench/iommufd_program.h"
#include "bench/yardstick.h"
#include "iommu/vtd/regs.h"

namespace {

using bench::Against;
using bench::arg_at;
using bench::giga;
using bench::mega;
using bench::need;

constexpr unsigned entries = 512;

// A VMM with a device, a nesting parent over its guest's memory, and a nested table. Its memory: arguments, the first
// stage's data, entries of invalidations.
class Vmm : public bench::IommufdProgram {
public:
  Vmm() : IommufdProgram(giga, 20, arg_at + entries * sizeof(ims_iommu_hwpt_vtd_s1_invalidate)) {
    ims_iommu_hwpt_alloc parent{};
    parent.size = sizeof parent;
    parent.flags = IMS_HWPT_NEST_PARENT;
    parent.dev_id = device_;
    parent.pt_id = ioas_;
    need(call(iommu_, IMS_IOMMU_HWPT_ALLOC, &parent) == 0, "parent");
    nested_.size = sizeof nested_;
    nested_.dev_id = device_;
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
  ims_iommu_hwpt_alloc nested_{};
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
