// SPDX-License-Identifier: Apache-2.0
#include "bench/smmuv3_machine.h"
#include "iommu/smmuv3/smmuv3.h"
#include "pasid/smmu.h"

namespace bench {

namespace {
constexpr uint32_t stream = 3, substream = 1;
constexpr uint16_t vmid = 1, asid = 1;
constexpr unsigned queue_log2 = 8;
} // namespace

Smmuv3Machine::Smmuv3Machine(bool caches, unsigned pages) {
  ims_vmsa_format(&s1_format_, IMS_PGT_VMSA_S1, IMS_GRANULE_4K, false, false, true);
  ims_vmsa_format(&s2_format_, IMS_PGT_VMSA_S2, IMS_GRANULE_4K, false, false, true);
  ims_pgt s1{}, s2{};
  s1.fmt = &s1_format_;
  s2.fmt = &s2_format_;
  s1.levels = s2.levels = 4;
  s1.in_bits = s2.in_bits = s1.out_bits = s2.out_bits = 48;
  build(s1, s2, pages, IMS_MAP_A | IMS_MAP_NG, IMS_MAP_A);

  ims_smmuv3_config config;
  ims_smmuv3_config_default(&config);
  if (!caches)
    config.iotlb_entries = config.ipa_entries = config.s1_walk_entries = config.s2_walk_entries = 0;
  check(ims_smmuv3_new(&unit_, &config, &mem_, nullptr), "unit");

  uint64_t streams = host_page(), cds = guest_page();
  uint64_t ste[IMS_STE_WORDS] = {}, cd[IMS_CD_WORDS] = {};
  ims_ste_set(ste, IMS_STE_CONFIG, 7);
  ims_ste_set(ste, IMS_STE_S1CDMAX, 4);
  ims_ste_set_address(ste, IMS_STE_S1CONTEXTPTR, cds);
  ims_ste_set(ste, IMS_STE_S2VMID, vmid);
  ims_ste_set(ste, IMS_STE_S2T0SZ, 16);
  ims_ste_set(ste, IMS_STE_S2SL0, 2);
  ims_ste_set(ste, IMS_STE_S2PS, 5);
  ims_ste_set(ste, IMS_STE_S2AA64, 1);
  ims_ste_set(ste, IMS_STE_S2R, 1);
  ims_ste_set_address(ste, IMS_STE_S2TTB, s2_.root);
  ims_ste_set(ste, IMS_STE_V, 1);
  ims_cd_set(cd, IMS_CD_T0SZ, 16);
  ims_cd_set(cd, IMS_CD_EPD1, 1);
  ims_cd_set(cd, IMS_CD_IPS, 5);
  ims_cd_set(cd, IMS_CD_AA64, 1);
  ims_cd_set(cd, IMS_CD_A, 1);
  ims_cd_set(cd, IMS_CD_R, 1);
  ims_cd_set(cd, IMS_CD_ASID, asid);
  ims_cd_set(cd, IMS_CD_MAIR0, 0xff);
  ims_cd_set_address(cd, IMS_CD_TTB0, s1_.root);
  ims_cd_set(cd, IMS_CD_V, 1);
  ims_mem_write(&mem_, streams + stream * sizeof ste, ste, sizeof ste);
  ims_mem_write(&mem_, behind(cds) + substream * sizeof cd, cd, sizeof cd);

  queue_ = host_page();
  ims_iommu_write(unit_, IMS_SMMUV3_OFF_STRTAB_BASE, 8, streams);
  ims_iommu_write(unit_, IMS_SMMUV3_OFF_STRTAB_BASE_CFG, 4, 6); // 64 streams
  ims_iommu_write(unit_, IMS_SMMUV3_OFF_CMDQ_BASE, 8, queue_ | queue_log2);
  ims_iommu_write(unit_, IMS_SMMUV3_OFF_CR0, 4, IMS_SMMUV3_BITS(CR0_CMDQEN));
  ims_iommu_write(unit_, IMS_SMMUV3_OFF_CR0, 4, IMS_SMMUV3_BITS(CR0_CMDQEN) | IMS_SMMUV3_BITS(CR0_SMMUEN));
}

ims_request Smmuv3Machine::request(uint64_t iova) const {
  ims_request r{};
  r.iova = iova;
  r.source = stream;
  r.pasid = substream;
  r.has_pasid = true;
  r.access = IMS_ACC_R;
  return r;
}

bool Smmuv3Machine::invalidate_page(uint64_t iova) {
  const uint64_t commands[4] = {
      0x12 | uint64_t{vmid} << 32 | uint64_t{asid} << 48, iova | 1, // TLBI_NH_VA, leaf
      0x46, 0,                                                      // SYNC
  };
  uint64_t mask = (2u << queue_log2) - 1;
  ims_mem_write(&mem_, queue_ + (prod_ & (mask >> 1)) * 16, commands, sizeof commands);
  prod_ = (prod_ + 2) & mask;
  ims_iommu_write(unit_, IMS_SMMUV3_OFF_CMDQ_PROD, 4, prod_);
  return ims_iommu_read(unit_, IMS_SMMUV3_OFF_CMDQ_CONS, 4) == prod_;
}

} // namespace bench
