// SPDX-License-Identifier: Apache-2.0
#include "bench/vtd_machine.h"
#include "iommu/vtd/vtd.h"
#include "pasid/vtd.h"

namespace bench {

namespace {
constexpr uint16_t source = 0x0018; // 00:03.0
constexpr uint32_t pasid = 1;
constexpr uint16_t did = 1;
} // namespace

VtdMachine::VtdMachine(bool caches, unsigned pages) {
  ims_x86_fs_format(&fs_, 52, true, false);
  ims_vtd_ss_format(&ss_, 52, true, true, true, false);
  ims_pgt s1{}, s2{};
  s1.fmt = &fs_;
  s2.fmt = &ss_;
  s1.levels = s2.levels = 4;
  s1.in_bits = s2.in_bits = 48;
  build(s1, s2, pages, IMS_MAP_A | IMS_MAP_D, 0);

  ims_vtd_config config;
  ims_vtd_config_default(&config);
  if (!caches)
    config.iotlb_entries = config.nested_entries = config.s1_psc_entries = config.s2_psc_entries = 0;
  check(ims_vtd_new(&unit_, &config, &mem_, nullptr), "unit");

  uint64_t root = host_page(), contexts = host_page(), directory = host_page(), table = host_page();
  uint64_t entry[IMS_VTD_PE_WORDS] = {};
  ims_vtd_pe_set(entry, IMS_VTD_PE_PGTT, 3);
  ims_vtd_pe_set(entry, IMS_VTD_PE_AW, 2);
  ims_vtd_pe_set(entry, IMS_VTD_PE_SSPTPTR, s2_.root >> 12);
  ims_vtd_pe_set(entry, IMS_VTD_PE_DID, did);
  ims_vtd_pe_set(entry, IMS_VTD_PE_PWSNP, 1);
  ims_vtd_pe_set(entry, IMS_VTD_PE_FSPTPTR, s1_.root >> 12);
  ims_vtd_pe_set(entry, IMS_VTD_PE_P, 1);
  ims_mem_write(&mem_, table + ims_vtd_pasid_table_offset(pasid), entry, sizeof entry);
  ims_mem_store64(&mem_, directory, table | 1);
  ims_mem_store64(&mem_, contexts + (source & 127) * 32, directory | 1 << 3 | 1); // PASIDE, P
  ims_mem_store64(&mem_, root, contexts | 1);

  queue_ = host_page();
  status_ = host_page();
  ims_iommu_write(unit_, IMS_VTD_OFF_RTADDR, 8, root | IMS_VTD_PUT(RTADDR_TTM, 1));
  ims_iommu_write(unit_, IMS_VTD_OFF_GCMD, 4, IMS_VTD_BITS(GCMD_SRTP));
  ims_iommu_write(unit_, IMS_VTD_OFF_IQA, 8, queue_ | IMS_VTD_PUT(IQA_DW, 1));
  ims_iommu_write(unit_, IMS_VTD_OFF_GCMD, 4, IMS_VTD_BITS(GCMD_QIE));
  ims_iommu_write(unit_, IMS_VTD_OFF_GCMD, 4, IMS_VTD_BITS(GCMD_QIE) | IMS_VTD_BITS(GCMD_TE));
}

ims_request VtdMachine::request(uint64_t iova) const {
  ims_request r{};
  r.iova = iova;
  r.source = source;
  r.pasid = pasid;
  r.has_pasid = true;
  r.access = IMS_ACC_R;
  return r;
}

bool VtdMachine::invalidate_page(uint64_t iova) {
  const uint64_t descriptors[8] = {
      6 | 3 << 4 | uint64_t{did} << 16 | uint64_t{pasid} << 32,
      iova | 1 << 6,
      0,
      0, // P_IOTLB, page, IH
      5 | 1 << 5 | uint64_t{1} << 32,
      status_,
      0,
      0, // wait, status write
  };
  uint64_t status = 0;
  ims_mem_store64(&mem_, status_, 0);
  ims_mem_write(&mem_, queue_ + tail_, descriptors, sizeof descriptors);
  tail_ = (tail_ + sizeof descriptors) & 4095;
  ims_iommu_write(unit_, IMS_VTD_OFF_IQT, 8, tail_);
  ims_mem_load64(&mem_, status_, &status);
  return status == 1;
}

} // namespace bench
