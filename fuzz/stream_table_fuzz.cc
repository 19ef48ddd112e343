// SPDX-License-Identifier: Apache-2.0
// Fuzz target: an SMMUv3 over stream tables, CDs and translation tables that the input chose. Two units over two copies of
// memory, one translating at once, one step by step, must agree in answer, references and memory; a third one without
// caches bounds what a translation may cost.
//
// The input: shape, then requests of 16 bytes until a byte of 0, then memory in pieces of six bytes. A piece puts a legal
// STE or CD with one bit turned, a level-1 descriptor, or a translation table descriptor, so that random bytes make
// tables that lead somewhere.
#include "fuzz/fuzz.h"
#include "iommu/smmuv3/smmuv3.h"
#include "pasid/smmu.h"

#include <initializer_list>
#include <vector>

namespace {

using fuzz::same, fuzz::step_through, fuzz::wrong;

constexpr uint64_t kPages = 32, kSize = kPages * 4096;

uint64_t page(uint8_t n) { return n % kPages * 4096; }

void put_words(ims_mem *mem, uint64_t at, const uint64_t *words, unsigned bit) {
  uint64_t copy[8];
  memcpy(copy, words, sizeof copy);
  if (bit < 512)
    copy[bit / 64] ^= uint64_t(1) << bit % 64;
  ims_mem_write(mem, at, copy, sizeof copy);
}

void put_ste(ims_mem *mem, const uint8_t *p) {
  uint64_t ste[8] = {};
  ims_ste_set(ste, IMS_STE_V, 1);
  ims_ste_set(ste, IMS_STE_CONFIG, 4 | (p[2] & 3));
  ims_ste_set(ste, IMS_STE_S1FMT, (p[2] >> 2) % 3);
  ims_ste_set(ste, IMS_STE_S1CDMAX, p[2] >> 4);
  ims_ste_set(ste, IMS_STE_S1DSS, (p[3] & 3) % 3);
  ims_ste_set_address(ste, IMS_STE_S1CONTEXTPTR, page(p[3] >> 3));
  ims_ste_set(ste, IMS_STE_S2AA64, 1);
  ims_ste_set(ste, IMS_STE_S2VMID, p[3] >> 6);
  ims_ste_set(ste, IMS_STE_S2TG, (p[5] & 3) % 3);
  ims_ste_set(ste, IMS_STE_S2T0SZ, p[5] & 4 ? 25 : 34);
  ims_ste_set(ste, IMS_STE_S2SL0, p[5] >> 3 & 3);
  ims_ste_set(ste, IMS_STE_S2PS, 2);
  ims_ste_set(ste, IMS_STE_S2R, 1);
  ims_ste_set(ste, IMS_STE_S2HA, p[5] >> 6 & 1);
  ims_ste_set(ste, IMS_STE_S2HD, p[5] >> 7);
  ims_ste_set_address(ste, IMS_STE_S2TTB, page(p[4]));
  ims_ste_set(ste, IMS_STE_EATS, p[4] >> 7);
  put_words(mem, page(p[1]) + (p[1] >> 5) * 64, ste, p[4] & 32 ? p[3] + (p[2] & 1) * 256u : 512);
}

void put_cd(ims_mem *mem, const uint8_t *p) {
  uint64_t cd[8] = {};
  ims_cd_set(cd, IMS_CD_V, 1);
  ims_cd_set(cd, IMS_CD_AA64, 1);
  ims_cd_set(cd, IMS_CD_T0SZ, 16 + (p[2] & 31));
  ims_cd_set(cd, IMS_CD_TG0, (p[2] >> 5 & 3) % 3);
  ims_cd_set(cd, IMS_CD_T1SZ, 25);
  ims_cd_set(cd, IMS_CD_TG1, 2);
  ims_cd_set(cd, IMS_CD_EPD1, p[2] >> 7);
  ims_cd_set(cd, IMS_CD_IPS, 2);
  ims_cd_set(cd, IMS_CD_A, p[5] & 1);
  ims_cd_set(cd, IMS_CD_R, p[5] >> 1 & 1);
  ims_cd_set(cd, IMS_CD_S, p[5] >> 2 & 1);
  ims_cd_set(cd, IMS_CD_HA, p[5] >> 3 & 1);
  ims_cd_set(cd, IMS_CD_HD, p[5] >> 4 & 1);
  ims_cd_set(cd, IMS_CD_TBI0, p[5] >> 5 & 1);
  ims_cd_set(cd, IMS_CD_WXN, p[5] >> 6 & 1);
  ims_cd_set(cd, IMS_CD_PAN, p[5] >> 7);
  ims_cd_set(cd, IMS_CD_ASID, p[3] & 3);
  ims_cd_set(cd, IMS_CD_MAIR0, 0x00ff4400);
  ims_cd_set_address(cd, IMS_CD_TTB0, page(p[3] >> 2));
  ims_cd_set_address(cd, IMS_CD_TTB1, page(p[4]));
  put_words(mem, page(p[1]) + (p[1] >> 5) * 64, cd, p[4] & 32 ? p[3] + (p[4] >> 6) * 256u : 512);
}

void poke(ims_mem *mem, const uint8_t *p) {
  uint64_t slot = page(p[1]) + (p[2] % 512u) * 8;
  switch (p[0] % 8) {
  case 0: put_ste(mem, p); break;
  case 1: put_cd(mem, p); break;
  case 2: ims_mem_store64(mem, page(p[1]) + (p[2] & 7) * 8u, page(p[3]) | (p[4] & 31)); break; // level 1
  case 3: {                                                                                    // any word
    uint64_t value = 0;
    memcpy(&value, p + 2, 4);
    ims_mem_store64(mem, page(p[1]) + (p[5] & 127) * 8u, value << (p[5] >> 7) * 32);
    break;
  }
  default: // a descriptor: attributes, and now and then a high bit
    ims_mem_store64(mem, slot,
                    page(p[3]) | p[4] | uint64_t(p[5] & 15) << 8 | (p[5] & 16 ? uint64_t(1) << (48 + p[5] % 16) : 0));
  }
}

ims_iommu *unit(ims_mem *mem, const ims_smmuv3_config &cfg, uint8_t how) {
  ims_iommu *u = nullptr;
  if (ims_smmuv3_new(&u, &cfg, mem, nullptr))
    wrong();
  ims_iommu_write(u, IMS_SMMUV3_OFF_STRTAB_BASE, 8, 0);
  ims_iommu_write(u, IMS_SMMUV3_OFF_STRTAB_BASE_CFG, 4, how & 1 ? 9 | 6 << 6 | 1 << 16 : 4);
  ims_iommu_write(u, IMS_SMMUV3_OFF_CR2, 4, how >> 1 & 10);
  ims_iommu_write(u, IMS_SMMUV3_OFF_CR0, 4, 1 | (how >> 2 & 1) << 4);
  return u;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 5)
    return 0;
  ims_smmuv3_config cfg;
  ims_smmuv3_config_default(&cfg);
  cfg.ttf = data[0] & 1 ? 3 : 2;
  cfg.httu = data[0] >> 1 & 1 ? 2 : 0;
  cfg.walk_ipa = data[0] >> 2 & 1;
  cfg.rights_from_cache = data[0] >> 3 & 1;
  cfg.contiguous = data[0] >> 4 & 1;
  cfg.oas = data[0] & 32 ? 5 : 1;
  cfg.sidsize = 9;
  cfg.stall_max = 2;
  cfg.version = data[0] & 64 ? 3 : 0;
  cfg.ste_entries = data[1] & 3, cfg.cd_entries = data[1] >> 2 & 3, cfg.iotlb_entries = data[1] >> 4 & 7;
  cfg.ipa_entries = data[2] & 3, cfg.s1_walk_entries = data[2] >> 2 & 3, cfg.s2_walk_entries = data[2] >> 4 & 3;
  cfg.replacement = data[2] >> 6;
  uint8_t how = data[3];
  data += 4, size -= 4;

  std::vector<ims_request> requests;
  while (size >= 16 && data[0] && requests.size() < 32) {
    ims_request r = {};
    r.access = data[0] & 31;
    r.type = (data[0] >> 5) % 3;
    r.has_pasid = data[1] & 1;
    r.no_write = data[1] >> 1 & 1;
    r.source = data[2] % 4 + (data[1] & 128u ? 64u : 0u);
    r.pasid = data[3];
    memcpy(&r.iova, data + 8, 8);
    if (data[1] & 4) // an address that a small table covers
      r.iova &= 0x3fffffff;
    requests.push_back(r);
    data += 16, size -= 16;
  }

  ims_mem mem[3];
  for (ims_mem &m : mem) {
    ims_mem_init(&m);
    if (ims_mem_add_ram(&m, 0, kSize))
      wrong();
    for (size_t i = 1; i + 6 <= size; i += 6)
      poke(&m, data + i);
  }
  ims_smmuv3_config bare = cfg;
  bare.ste_entries = bare.cd_entries = bare.iotlb_entries = 0;
  bare.ipa_entries = bare.s1_walk_entries = bare.s2_walk_entries = 0;
  ims_iommu *at_once = unit(&mem[0], cfg, how), *by_step = unit(&mem[1], cfg, how), *plain = unit(&mem[2], bare, how);
  for (const ims_request &r : requests) {
    ims_result a, b, c;
    ims_translate(at_once, &r, &a);
    step_through(by_step, r, &b);
    if (!same(a, b))
      wrong();
    // What hardware sets in memory that serves as two structures at once may change what comes later, so only the cost
    // is compared: two STEs, two CDs and five levels over five, and as many again for each lost compare-and-swap.
    ims_translate(plain, &r, &c);
    if (c.refs > 49 * (IMS_WALK_RETRIES + 1))
      wrong();
    if ((c.status == IMS_STATUS_FAULT || c.status == IMS_STATUS_STALL) && !ims_smmuv3_event_find(c.fault))
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
