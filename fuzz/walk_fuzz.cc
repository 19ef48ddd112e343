// SPDX-License-Identifier: Apache-2.0
// Fuzz target: translations over memory that the input chose, down to every structure. Two units over two copies of it, one
// translating at once, one step by step, must agree in answer, references and memory; a third one without caches bounds
// what a walk may cost.
//
// The input: four bytes of shape, then requests of 16 bytes until a byte of 0, then words of memory. A word's low bits say
// what becomes of it, so that random bytes make tables that lead somewhere.
#include "fuzz/fuzz.h"
#include "iommu/vtd/vtd.h"

#include <initializer_list>
#include <vector>

namespace {

constexpr uint64_t kPages = 32, kSize = kPages * 4096;

using fuzz::same, fuzz::step_through, fuzz::wrong;

// One word of memory out of five bytes: where it goes (page, index), and a pointer to some page with twelve flag bits.
void poke(ims_mem *mem, const uint8_t *p) {
  uint64_t at = (p[0] % kPages) * 4096 + (p[1] % 64) * 8 + (p[1] & 64 ? 511 * 8 - (p[1] % 8) * 8 - 64 : 0);
  uint64_t value = uint64_t(p[2] % kPages) << 12 | p[3] | uint64_t(p[4] & 15) << 8;
  if (p[4] & 0x80)
    value ^= uint64_t(1) << (p[2] % 64); // a bit anywhere
  if (p[4] & 0x40)
    value = p[2] | uint64_t(p[3]) << 16 | uint64_t(1) << 23; // the second word of a PASID entry
  ims_mem_store64(mem, at, value);
}

ims_iommu *unit(ims_mem *mem, const ims_vtd_config &cfg, unsigned mode) {
  ims_iommu *u = nullptr;
  if (ims_vtd_new(&u, &cfg, mem, nullptr))
    wrong();
  ims_iommu_write(u, IMS_VTD_OFF_RTADDR, 8, uint64_t(mode) << 10);
  ims_iommu_write(u, IMS_VTD_OFF_GCMD, 4, 1u << 30);
  ims_iommu_write(u, IMS_VTD_OFF_GCMD, 4, 1u << 31);
  return u;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 5)
    return 0;
  ims_vtd_config cfg;
  ims_vtd_config_default(&cfg);
  cfg.haw = 40;
  cfg.revision = data[0] & 1 ? 3 : 4;
  cfg.ers = cfg.revision == 3;
  cfg.cm = data[0] >> 1 & 1;
  cfg.psc_gpa = data[0] >> 2 & 1;
  cfg.rights_from_cache = data[0] >> 3 & 1;
  cfg.sslps = data[0] >> 4 & 3;
  cfg.fs1gp = data[0] >> 6 & 1;
  cfg.context_entries = data[1] & 3, cfg.pasid_entries = data[1] >> 2 & 3, cfg.iotlb_entries = data[1] >> 4 & 7;
  cfg.nested_entries = data[2] & 3, cfg.s1_psc_entries = data[2] >> 2 & 3, cfg.s2_psc_entries = data[2] >> 4 & 3;
  cfg.replacement = data[2] >> 6;
  unsigned mode = data[3] & 1;
  data += 4, size -= 4;

  std::vector<ims_request> requests;
  while (size >= 16 && data[0] && requests.size() < 32) {
    ims_request r = {};
    r.access = data[0] & 31;
    r.type = (data[0] >> 5) % 3;
    r.has_pasid = data[1] & 1;
    r.no_write = data[1] >> 1 & 1;
    r.source = data[2] % 4;
    r.pasid = data[3];
    memcpy(&r.iova, data + 8, 8);
    requests.push_back(r);
    data += 16, size -= 16;
  }

  ims_mem mem[3];
  for (ims_mem &m : mem) {
    ims_mem_init(&m);
    if (ims_mem_add_ram(&m, 0, kSize))
      wrong();
    for (size_t i = 1; i + 5 <= size; i += 5)
      poke(&m, data + i);
  }
  ims_vtd_config bare = cfg;
  bare.context_entries = bare.pasid_entries = bare.iotlb_entries = 0;
  bare.nested_entries = bare.s1_psc_entries = bare.s2_psc_entries = 0;
  ims_iommu *at_once = unit(&mem[0], cfg, mode), *by_step = unit(&mem[1], cfg, mode),
            *plain = unit(&mem[2], bare, mode);
  for (const ims_request &r : requests) {
    ims_result a, b, c;
    ims_translate(at_once, &r, &a);
    step_through(by_step, r, &b);
    if (!same(a, b))
      wrong();
    // A/D bits that hardware sets in memory that serves as two structures at once may change what comes later, so only
    // the cost is compared: 39 reads, and as many again for each lost compare-and-swap.
    ims_translate(plain, &r, &c);
    if (c.refs > 39 * (IMS_WALK_RETRIES + 1))
      wrong();
    if (c.status == IMS_STATUS_FAULT && !ims_vtd_fault_find(c.fault))
      wrong();
  }
  if (ims_mem_hash(&mem[0]) != ims_mem_hash(&mem[1]))
    wrong();
  for (ims_iommu *u : {at_once, by_step, plain})
    ims_iommu_free(u);
  for (ims_mem &m : mem)
    ims_mem_fini(&m);
  return 0;
}
