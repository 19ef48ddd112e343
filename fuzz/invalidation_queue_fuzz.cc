// SPDX-License-Identifier: Apache-2.0
// Fuzz target: a VT-d unit whose invalidation queue and registers the input drives. Each operation is a byte and what it
// needs: descriptors into the queue, register writes of either size, a translation, a page request. Whatever comes, the
// head stays within the queue, an error leaves it where it stopped, and the unit answers at the end as a fresh one does.
#include "fuzz/fuzz.h"
#include "iommu/vtd/vtd.h"

#include <initializer_list>

namespace {

using fuzz::Input, fuzz::wrong;

constexpr uint64_t kRoot = 0x1000, kQueue = 0x10000, kPrq = 0x20000, kSize = 0x40000;

uint64_t get(ims_iommu *u, uint32_t offset) { return ims_iommu_read(u, offset, 8); }

// Answers to device-TLB invalidations: some do not come.
bool answer(void *ctx, const ims_ats_invalidation *inv) {
  if (inv->addr > inv->last)
    wrong();
  return (++*static_cast<unsigned *>(ctx) & 7) != 0;
}

void check(ims_iommu *u) {
  uint64_t iqa = get(u, IMS_VTD_OFF_IQA), size = uint64_t(4096) << (iqa & 7);
  uint64_t head = get(u, IMS_VTD_OFF_IQH), tail = get(u, IMS_VTD_OFF_IQT);
  uint32_t fsts = static_cast<uint32_t>(ims_iommu_read(u, IMS_VTD_OFF_FSTS, 4));
  uint32_t gsts = static_cast<uint32_t>(ims_iommu_read(u, IMS_VTD_OFF_GSTS, 4));
  bool on = gsts >> 26 & 1, stopped = fsts & (1 << 4 | 1 << 6);
  if (head & ~uint64_t(0x7fff0) || (on && head >= size && size > 4096 && !stopped))
    wrong();
  if (on && !stopped && head != tail)
    wrong(); // a queue that runs is empty when nobody is looking
  fuzz::check_caches(u);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  Input in = {data, size};
  ims_vtd_config cfg;
  ims_vtd_config_default(&cfg);
  uint8_t shape = static_cast<uint8_t>(in.take(1));
  cfg.haw = 46;
  cfg.cm = shape & 1;
  cfg.revision = shape & 2 ? 3 : 4;
  cfg.nfr = shape >> 2 & 3;
  cfg.psi = shape >> 4 & 1;
  cfg.context_entries = cfg.pasid_entries = cfg.iotlb_entries = shape >> 5 & 1 ? 3 : 16;
  cfg.nested_entries = cfg.s1_psc_entries = cfg.s2_psc_entries = shape >> 6 & 1 ? 2 : 8;
  cfg.replacement = shape >> 6;

  ims_mem mem;
  ims_mem_init(&mem);
  if (ims_mem_add_ram(&mem, 0, kSize))
    wrong();
  unsigned answers = 0;
  ims_iommu_bus bus = {};
  bus.ctx = &answers;
  bus.ats_invalidate = answer;
  ims_iommu *u = nullptr;
  if (ims_vtd_new(&u, &cfg, &mem, &bus))
    wrong();
  ims_iommu_write(u, IMS_VTD_OFF_RTADDR, 8, kRoot | 1 << 10);
  ims_iommu_write(u, IMS_VTD_OFF_IQA, 8, kQueue | 1 << 11);
  ims_iommu_write(u, IMS_VTD_OFF_PQA, 8, kPrq);
  ims_iommu_write(u, IMS_VTD_OFF_GCMD, 4, 1u << 30 | 1u << 26);
  ims_iommu_write(u, IMS_VTD_OFF_GCMD, 4, 1u << 31 | 1u << 26);

  while (!in.empty()) {
    switch (in.take(1) % 8) {
    case 0: { // a descriptor behind the tail, and the tail moved
      uint64_t iqa = get(u, IMS_VTD_OFF_IQA), bytes = iqa >> 11 & 1 ? 32 : 16, tail = get(u, IMS_VTD_OFF_IQT);
      uint64_t d[4] = {in.take(8), in.take(8), 0, 0};
      ims_mem_write(&mem, (iqa & ~uint64_t(0xfff)) + tail, d, bytes);
      ims_iommu_write(u, IMS_VTD_OFF_IQT, 8, (tail + bytes) & ((uint64_t(4096) << (iqa & 7)) - 1));
      break;
    }
    case 1: { // a register
      uint32_t offset = static_cast<uint32_t>(in.take(2)) & 0xfff;
      unsigned bytes = in.take(1) & 1 ? 8 : 4;
      ims_iommu_write(u, offset & ~(bytes - 1), bytes, in.take(bytes));
      ims_iommu_read(u, offset & ~(bytes - 1), bytes);
      break;
    }
    case 2: { // memory
      uint64_t at = in.take(3) % (kSize - 8);
      ims_mem_store64(&mem, at, in.take(8));
      break;
    }
    case 3:
    case 4: { // a request
      ims_request r = {};
      uint8_t kind = static_cast<uint8_t>(in.take(1));
      r.access = kind & 31;
      r.type = (kind >> 5) % 3;
      r.has_pasid = in.take(1) & 1;
      r.source = static_cast<uint32_t>(in.take(2));
      r.pasid = static_cast<uint32_t>(in.take(3)) & 0xfffff;
      r.iova = in.take(8);
      ims_result res;
      ims_translate(u, &r, &res);
      break;
    }
    case 5: {
      ims_page_request r = {};
      r.source = static_cast<uint32_t>(in.take(2));
      r.pasid = static_cast<uint32_t>(in.take(3)) & 0xfffff;
      uint8_t bits = static_cast<uint8_t>(in.take(1));
      r.has_pasid = bits & 1, r.last = bits & 2, r.read = bits & 4, r.write = bits & 8;
      r.addr = in.take(8);
      ims_request_page(u, &r);
      break;
    }
    case 6: // repair: acknowledge, and skip to the tail
      ims_iommu_write(u, IMS_VTD_OFF_FSTS, 4, 0xff);
      break;
    default: { // off and on
      uint32_t gsts = static_cast<uint32_t>(ims_iommu_read(u, IMS_VTD_OFF_GSTS, 4)) & 0x96ffffff;
      ims_iommu_write(u, IMS_VTD_OFF_GCMD, 4, gsts ^ 1u << 26);
    }
    }
    check(u);
  }

  // After all that, power-on caches and a new root table: what it answers is what a fresh unit answers.
  ims_iommu *fresh = nullptr;
  if (ims_vtd_new(&fresh, &cfg, &mem, nullptr))
    wrong();
  for (ims_iommu *x : {u, fresh}) {
    ims_iommu_write(x, IMS_VTD_OFF_PMEN, 4, 0);
    ims_iommu_write(x, IMS_VTD_OFF_GCMD, 4, 0);
    ims_iommu_write(x, IMS_VTD_OFF_RTADDR, 8, kRoot | 1 << 10);
    ims_iommu_write(x, IMS_VTD_OFF_GCMD, 4, 1u << 30);
    ims_iommu_write(x, IMS_VTD_OFF_GCMD, 4, 1u << 31);
    ims_iommu_drop_caches(x);
  }
  ims_request r = {};
  r.source = 0x123;
  r.iova = 0x12345678;
  r.access = IMS_ACC_R;
  ims_result a, b;
  ims_translate(u, &r, &a);
  ims_translate(fresh, &r, &b);
  if (a.status != b.status || a.fault != b.fault || a.output != b.output || a.refs != b.refs)
    wrong();
  ims_iommu_free(fresh);
  ims_iommu_free(u);
  ims_mem_fini(&mem);
  return 0;
}
