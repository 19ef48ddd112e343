// SPDX-License-Identifier: Apache-2.0
// Binary layouts against the offsets that the headers and postings give, written down here a second time.
#include "uapi/layout.h"
#include "uapi/selftest.h"
#include <cstring>
#include <gtest/gtest.h>
#include <set>
#include <string>

namespace {

#define AT(s, field, offset) static_assert(offsetof(struct ims_##s, field) == (offset), #s "." #field)
#define SIZE(s, size)        static_assert(sizeof(struct ims_##s) == (size), #s)

SIZE(vfio_pasid_request_v1, 20);
AT(vfio_pasid_request_v1, min, 8);
AT(vfio_pasid_request_v1, max, 12);
AT(vfio_pasid_request_v1, result, 16);
SIZE(vfio_pasid_request, 16);
AT(vfio_pasid_request, min, 8);
AT(vfio_pasid_request, max, 12);
SIZE(vfio_iommu_type1_info, 24);
AT(vfio_iommu_type1_info, iova_pgsizes, 8);
AT(vfio_iommu_type1_info, cap_offset, 16);
SIZE(vfio_info_cap_header, 8);
AT(vfio_info_cap_header, version, 2);
AT(vfio_info_cap_header, next, 4);
SIZE(vfio_iommu_type1_dma_map, 32);
AT(vfio_iommu_type1_dma_map, vaddr, 8);
AT(vfio_iommu_type1_dma_map, iova, 16);
AT(vfio_iommu_type1_dma_map, size, 24);
SIZE(vfio_iommu_type1_dma_unmap, 24);
AT(vfio_iommu_type1_dma_unmap, iova, 8);
AT(vfio_iommu_type1_dma_unmap, size, 16);
SIZE(iommu_nesting_info, 56);
AT(iommu_nesting_info, format, 8);
AT(iommu_nesting_info, features, 12);
AT(iommu_nesting_info, addr_width, 16);
AT(iommu_nesting_info, pasid_bits, 18);
AT(iommu_nesting_info, vtd_flags, 32);
AT(iommu_nesting_info, vtd_cap_reg, 40);
AT(iommu_nesting_info, vtd_ecap_reg, 48);
SIZE(vfio_set_pasid_table, 8);
SIZE(vfio_set_msi_binding, 32);
AT(vfio_set_msi_binding, iova, 8);
AT(vfio_set_msi_binding, gpa, 16);
AT(vfio_set_msi_binding, size, 24);
SIZE(iommu_pasid_table_config_a, 32);
AT(iommu_pasid_table_config_a, format, 4);
AT(iommu_pasid_table_config_a, base_ptr, 8);
AT(iommu_pasid_table_config_a, pasid_bits, 16);
AT(iommu_pasid_table_config_a, config, 17);
AT(iommu_pasid_table_config_a, smmuv3_version, 24);
SIZE(iommu_pasid_table_config_b, 32);
AT(iommu_pasid_table_config_b, version, 4);
AT(iommu_pasid_table_config_b, base_ptr, 8);
AT(iommu_pasid_table_config_b, format, 16);
AT(iommu_pasid_table_config_b, pasid_bits, 20);
AT(iommu_pasid_table_config_b, config, 21);
AT(iommu_pasid_table_config_b, smmuv3_version, 24);
AT(iommu_pasid_table_config_b, s1fmt, 28);
AT(iommu_pasid_table_config_b, s1dss, 29);
SIZE(iommu_gpasid_bind_smmuv2_a, 72);
AT(iommu_gpasid_bind_smmuv2_a, addr_width, 40);
AT(iommu_gpasid_bind_smmuv2_a, smmuv2_tcr, 56);
AT(iommu_gpasid_bind_smmuv2_a, smmuv2_asid, 60);
AT(iommu_gpasid_bind_smmuv2_a, smmuv2_mair, 64);
SIZE(iommu_gpasid_bind_smmuv2_b, 72);
AT(iommu_gpasid_bind_smmuv2_b, addr_width, 12);
AT(iommu_gpasid_bind_smmuv2_b, smmuv2_tcr, 56);
AT(iommu_gpasid_bind_smmuv2_b, smmuv2_mair, 64);
SIZE(iommu_gpasid_bind_data_a, 72);
AT(iommu_gpasid_bind_data_a, version, 0);
AT(iommu_gpasid_bind_data_a, format, 4);
AT(iommu_gpasid_bind_data_a, flags, 8);
AT(iommu_gpasid_bind_data_a, gpgd, 16);
AT(iommu_gpasid_bind_data_a, hpasid, 24);
AT(iommu_gpasid_bind_data_a, gpasid, 32);
AT(iommu_gpasid_bind_data_a, addr_width, 40);
AT(iommu_gpasid_bind_data_a, padding, 44);
AT(iommu_gpasid_bind_data_a, vtd_flags, 56);
AT(iommu_gpasid_bind_data_a, vtd_pat, 64);
AT(iommu_gpasid_bind_data_a, vtd_emt, 68);
SIZE(iommu_gpasid_bind_data_b, 72);
AT(iommu_gpasid_bind_data_b, argsz, 0);
AT(iommu_gpasid_bind_data_b, version, 4);
AT(iommu_gpasid_bind_data_b, format, 8);
AT(iommu_gpasid_bind_data_b, addr_width, 12);
AT(iommu_gpasid_bind_data_b, flags, 16);
AT(iommu_gpasid_bind_data_b, gpgd, 24);
AT(iommu_gpasid_bind_data_b, hpasid, 32);
AT(iommu_gpasid_bind_data_b, gpasid, 40);
AT(iommu_gpasid_bind_data_b, padding, 48);
AT(iommu_gpasid_bind_data_b, vtd_flags, 56);
SIZE(iommu_cache_invalidate_info_a, 8);
AT(iommu_cache_invalidate_info_a, cache, 4);
AT(iommu_cache_invalidate_info_a, granularity, 5);
SIZE(iommu_cache_invalidate_info_b, 16);
AT(iommu_cache_invalidate_info_b, version, 4);
AT(iommu_cache_invalidate_info_b, cache, 8);
AT(iommu_cache_invalidate_info_b, granularity, 9);
SIZE(iommu_inv_pasid_info, 16);
AT(iommu_inv_pasid_info, archid, 4);
AT(iommu_inv_pasid_info, pasid, 8);
SIZE(iommu_inv_addr_info, 40);
AT(iommu_inv_addr_info, addr, 16);
AT(iommu_inv_addr_info, granule_size, 24);
AT(iommu_inv_addr_info, nb_granules, 32);
SIZE(iommu_fault_page_request, 64);
AT(iommu_fault_page_request, flags, 8);
AT(iommu_fault_page_request, pasid, 12);
AT(iommu_fault_page_request, grpid, 16);
AT(iommu_fault_page_request, perm, 20);
AT(iommu_fault_page_request, addr, 24);
AT(iommu_fault_page_request, private_data0, 32);
SIZE(iommu_fault_unrecoverable, 64);
AT(iommu_fault_unrecoverable, reason, 8);
AT(iommu_fault_unrecoverable, pasid, 16);
AT(iommu_fault_unrecoverable, addr, 24);
AT(iommu_fault_unrecoverable, fetch_addr, 32);
SIZE(iommu_page_response_a, 20);
AT(iommu_page_response_a, code, 16);
SIZE(iommu_page_response_b, 24);
AT(iommu_page_response_b, code, 20);

SIZE(iommu_test_add_reserved, 72);
AT(iommu_test_add_reserved, start, 16);
AT(iommu_test_add_reserved, length, 24);
SIZE(iommu_test_mock_domain, 72);
AT(iommu_test_mock_domain, out_stdev_id, 16);
AT(iommu_test_mock_domain, out_hwpt_id, 20);
AT(iommu_test_mock_domain, out_idev_id, 24);
AT(iommu_test_mock_domain, dev_flags, 28);
SIZE(iommu_test_check_map, 72);
AT(iommu_test_check_map, iova, 16);
AT(iommu_test_check_map, length, 24);
AT(iommu_test_check_map, uptr, 32);
SIZE(iommu_test_check_refs, 72);
AT(iommu_test_check_refs, length, 16);
AT(iommu_test_check_refs, uptr, 24);
AT(iommu_test_check_refs, refs, 32);
SIZE(iommu_test_create_access, 72);
AT(iommu_test_create_access, out_access_fd, 16);
AT(iommu_test_create_access, flags, 20);
SIZE(iommu_test_destroy_access_pages, 72);
AT(iommu_test_destroy_access_pages, access_pages_id, 16);
SIZE(iommu_test_access_pages, 72);
AT(iommu_test_access_pages, flags, 16);
AT(iommu_test_access_pages, out_access_pages_id, 20);
AT(iommu_test_access_pages, iova, 24);
AT(iommu_test_access_pages, length, 32);
AT(iommu_test_access_pages, uptr, 40);
SIZE(iommu_test_access_rw, 72);
AT(iommu_test_access_rw, iova, 16);
AT(iommu_test_access_rw, length, 24);
AT(iommu_test_access_rw, uptr, 32);
AT(iommu_test_access_rw, flags, 40);
SIZE(iommu_test_memory_limit, 72);
AT(iommu_test_memory_limit, limit, 16);
SIZE(iommu_test_replace, 72);
AT(iommu_test_replace, pt_id, 16);
SIZE(iommu_test_access_replace, 72);
AT(iommu_test_access_replace, ioas_id, 16);
SIZE(iommu_test_dirty, 72);
AT(iommu_test_dirty, flags, 16);
AT(iommu_test_dirty, iova, 24);
AT(iommu_test_dirty, length, 32);
AT(iommu_test_dirty, page_size, 40);
AT(iommu_test_dirty, uptr, 48);
AT(iommu_test_dirty, out_nr_dirty, 56);
SIZE(iommu_test_check_iotlb, 72);
AT(iommu_test_check_iotlb, iotlb_id, 16);
AT(iommu_test_check_iotlb, iotlb, 20);
SIZE(iommu_test_trigger_iopf, 72);
AT(iommu_test_trigger_iopf, dev_id, 16);
AT(iommu_test_trigger_iopf, pasid, 20);
AT(iommu_test_trigger_iopf, grpid, 24);
AT(iommu_test_trigger_iopf, perm, 28);
AT(iommu_test_trigger_iopf, addr, 32);
SIZE(iommu_test_check_cache, 72);
AT(iommu_test_check_cache, cache_id, 16);
AT(iommu_test_check_cache, cache, 20);
SIZE(iommu_test_trigger_vevent, 72);
AT(iommu_test_trigger_vevent, dev_id, 16);
SIZE(iommu_test_pasid, 72);
AT(iommu_test_pasid, pasid, 16);
AT(iommu_test_pasid, pt_id, 20);
SIZE(iommu_test_pasid_check, 72);
AT(iommu_test_pasid_check, pasid, 16);
AT(iommu_test_pasid_check, hwpt_id, 20);
SIZE(iommu_test_dmabuf_get, 72);
AT(iommu_test_dmabuf_get, length, 16);
AT(iommu_test_dmabuf_get, open_flags, 20);
SIZE(iommu_test_dmabuf_revoke, 72);
AT(iommu_test_dmabuf_revoke, dmabuf_fd, 16);
AT(iommu_test_dmabuf_revoke, revoked, 20);
AT(iommu_test_cmd, last, 64);
SIZE(iommu_hwpt_selftest, 8);
SIZE(iommu_hwpt_invalidate_selftest, 8);
AT(iommu_viommu_selftest, out_mmap_offset, 8);
SIZE(iommu_viommu_selftest, 24);
SIZE(iommu_viommu_invalidate_selftest, 12);

TEST(Layout, FieldsOfEveryStructureFillItWithoutGapOrOverlap) {
  for (unsigned i = 0; const ims_uapi_struct *s = ims_uapi_struct_row(i); i++) {
    ASSERT_GT(s->fields, 0) << s->name;
    unsigned at = s->field[0].offset; // those behind a capability header begin at 8
    EXPECT_TRUE(at == 0 || at == 8) << s->name;
    for (unsigned f = 0; f < s->fields; f++) {
      EXPECT_EQ(s->field[f].offset, at) << s->name << "." << s->field[f].name;
      at += s->field[f].bytes;
    }
    EXPECT_EQ(at, s->size) << s->name;
  }
}

TEST(Layout, FlagsAndEnumsHaveTheirValues) {
  const ims_uapi_struct *s = ims_uapi_struct_by_name("iommu_gpasid_bind_data_b");
  ASSERT_NE(s, nullptr);
  const ims_uapi_field *vtd = &s->field[s->fields - 3];
  ASSERT_STREQ(vtd->name, "vtd_flags");
  EXPECT_EQ(vtd->form, IMS_FORM_FLAGS);
  const char *const names[] = {"SRE", "EAFE", "PCD", "PWT", "EMTE", "CD"};
  for (unsigned i = 0; i < 6; i++) {
    EXPECT_STREQ(vtd->values[i].name, names[i]);
    EXPECT_EQ(vtd->values[i].value, 1ull << i);
  }
  EXPECT_EQ(vtd->values[6].name, nullptr);
  EXPECT_EQ(ims_uapi_struct_by_name("nonsense"), nullptr);
}

// The meaning of a word depends on the posting.
TEST(Layout, WordsMeanWhatTheDialectSays) {
  auto name = [](ims_dialect d, uint32_t word) -> std::string {
    const ims_uapi_ioctl *r = ims_uapi_by_word(d, IMS_IOMMU_H_AUTO, IMS_FILE_CONTAINER, word, nullptr, 0);
    return r ? r->name : "";
  };
  EXPECT_EQ(name(IMS_DIALECT_V1, 0x3b7a), "VFIO_IOMMU_PASID_REQUEST");
  EXPECT_EQ(name(IMS_DIALECT_V1, 0x3b7b), "VFIO_IOMMU_BIND");
  EXPECT_EQ(name(IMS_DIALECT_V1, 0x3b7c), "VFIO_IOMMU_CACHE_INVALIDATE");
  EXPECT_EQ(name(IMS_DIALECT_V2, 0x3b7a), "VFIO_IOMMU_PASID_REQUEST");
  EXPECT_EQ(name(IMS_DIALECT_V2, 0x3b7b), "VFIO_IOMMU_NESTING_OP");
  EXPECT_EQ(name(IMS_DIALECT_V2, 0x3b7c), "");
  for (ims_dialect d : {IMS_DIALECT_V3, IMS_DIALECT_V4, IMS_DIALECT_V5, IMS_DIALECT_V6, IMS_DIALECT_V7}) {
    EXPECT_EQ(name(d, 0x3b76), "VFIO_IOMMU_PASID_REQUEST");
    EXPECT_EQ(name(d, 0x3b77), "VFIO_IOMMU_NESTING_OP");
    EXPECT_EQ(name(d, 0x3b7b), "");
  }
  EXPECT_EQ(name(IMS_DIALECT_SMMUV3_V10, 0x3b7a), "VFIO_IOMMU_SET_PASID_TABLE");
  EXPECT_EQ(name(IMS_DIALECT_SMMUV3_V10, 0x3b7b), "VFIO_IOMMU_CACHE_INVALIDATE");
  EXPECT_EQ(name(IMS_DIALECT_SMMUV3_V10, 0x3b7c), "VFIO_IOMMU_SET_MSI_BINDING");
  EXPECT_EQ(name(IMS_DIALECT_SMMUV3_V10, 0x3b76), "");
  EXPECT_EQ(name(IMS_DIALECT_SMMUV3_V13, 0x3b76), "VFIO_IOMMU_SET_PASID_TABLE");
  EXPECT_EQ(name(IMS_DIALECT_SMMUV3_V13, 0x3b77), "VFIO_IOMMU_CACHE_INVALIDATE");
  EXPECT_EQ(name(IMS_DIALECT_SMMUV3_V13, 0x3b78), "VFIO_IOMMU_SET_MSI_BINDING");
  EXPECT_EQ(name(IMS_DIALECT_SMMUV3_V13, 0x3b7a), "");
  EXPECT_EQ(name(IMS_DIALECT_SMMUV3_V13, 0x3b71), "VFIO_IOMMU_MAP_DMA");
  EXPECT_EQ(name(IMS_DIALECT_V7, 0x3b67), ""); // a group's
  EXPECT_EQ(name(IMS_DIALECT_V7, 0x3b71), "VFIO_IOMMU_MAP_DMA");
}

TEST(Layout, AShapeForEachOpOfTheSelfTest) {
  uint8_t arg[72] = {0};
  auto variant = [&](uint8_t op) -> std::string {
    arg[4] = op;
    const ims_uapi_ioctl *r =
        ims_uapi_by_word(IMS_DIALECT_V7, IMS_IOMMU_H_AUTO, IMS_FILE_IOMMUFD, IMS_IOMMU_TEST_CMD, arg, sizeof arg);
    return r && r->size == 72 ? r->variant : "none";
  };
  EXPECT_EQ(variant(1), "ADD_RESERVED");
  EXPECT_EQ(variant(2), "MOCK_DOMAIN");
  EXPECT_EQ(variant(13), "DIRTY");
  EXPECT_EQ(variant(23), "DMABUF_REVOKE");
  EXPECT_EQ(variant(0), ""); // whatever it is
  EXPECT_EQ(variant(24), "");
  const ims_uapi_ioctl *r = ims_uapi_by_name(IMS_DIALECT_V7, IMS_IOMMU_H_AUTO, "IOMMU_TEST_CMD", "CREATE_ACCESS");
  ASSERT_NE(r, nullptr);
  EXPECT_EQ(r->flags_value, 5u);
  unsigned at = 0;
  ASSERT_NE(ims_uapi_field_of(r, "out_access_fd", &at), nullptr);
  EXPECT_EQ(at, 16u);
}

TEST(Layout, ShapeFollowsTheArgument) {
  uint8_t arg[64] = {0};
  arg[4] = 2;     // CACHE_INVLD
  arg[8 + 9] = 1; // granularity PASID
  const ims_uapi_ioctl *r =
      ims_uapi_by_word(IMS_DIALECT_V7, IMS_IOMMU_H_AUTO, IMS_FILE_CONTAINER, 0x3b77, arg, sizeof arg);
  ASSERT_NE(r, nullptr);
  EXPECT_STREQ(r->variant, "CACHE_INVLD.PASID");
  EXPECT_EQ(r->size, 8 + 16 + 16);
  unsigned at = 0;
  const ims_uapi_field *f = ims_uapi_field_of(r, "pasid_info.pasid", &at);
  ASSERT_NE(f, nullptr);
  EXPECT_EQ(at, 8u + 16 + 8);
  EXPECT_EQ(f->bytes, 8);
  EXPECT_EQ(ims_uapi_field_of(r, "addr_info.addr", &at), nullptr);
  arg[8 + 9] = 2;
  r = ims_uapi_by_word(IMS_DIALECT_V7, IMS_IOMMU_H_AUTO, IMS_FILE_CONTAINER, 0x3b77, arg, sizeof arg);
  EXPECT_STREQ(r->variant, "CACHE_INVLD.ADDR");
  EXPECT_EQ(r->size, 8 + 56);
  arg[4] = 1;
  r = ims_uapi_by_word(IMS_DIALECT_V7, IMS_IOMMU_H_AUTO, IMS_FILE_CONTAINER, 0x3b77, arg, sizeof arg);
  EXPECT_STREQ(r->variant, "UNBIND_PGTBL");
  EXPECT_EQ(r->size, 80);
  ASSERT_NE(ims_uapi_field_of(r, "data.addr_width", &at), nullptr);
  EXPECT_EQ(at, 8u + 12); // layout B
  arg[8 + 8] = 2;         // format: the shape without PASID
  r = ims_uapi_by_word(IMS_DIALECT_V7, IMS_IOMMU_H_AUTO, IMS_FILE_CONTAINER, 0x3b77, arg, sizeof arg);
  EXPECT_STREQ(r->variant, "UNBIND_PGTBL.SMMUV2");
  EXPECT_EQ(ims_uapi_field_of(r, "data.vtd_flags", &at), nullptr);
  ASSERT_NE(ims_uapi_field_of(r, "data.smmuv2_tcr", &at), nullptr);
  EXPECT_EQ(at, 8u + 56);
  arg[4] = 2;
  r = ims_uapi_by_word(IMS_DIALECT_SMMUV3_V13, IMS_IOMMU_H_AUTO, IMS_FILE_CONTAINER, 0x3b76, arg, sizeof arg);
  EXPECT_STREQ(r->variant, "UNSET");
  EXPECT_EQ(r->size, 8);
  r = ims_uapi_by_name(IMS_DIALECT_SMMUV3_V10, IMS_IOMMU_H_AUTO, "VFIO_IOMMU_SET_PASID_TABLE", "");
  EXPECT_STREQ(r->variant, "SET");
  EXPECT_EQ(r->size, 40);
  ASSERT_NE(ims_uapi_field_of(r, "config.format", &at), nullptr);
  EXPECT_EQ(at, 8u + 4); // layout A
  r = ims_uapi_by_name(IMS_DIALECT_V2, IMS_IOMMU_H_AUTO, "VFIO_IOMMU_NESTING_OP", "BIND_PGTBL");
  ASSERT_NE(ims_uapi_field_of(r, "data.addr_width", &at), nullptr);
  EXPECT_EQ(at, 8u + 40); // layout A
}

TEST(Layout, RowsAreDistinctAndDialectsHaveNames) {
  std::set<std::string> seen;
  for (unsigned i = 0; const ims_uapi_ioctl *r = ims_uapi_row(i); i++)
    EXPECT_TRUE(seen.insert(std::string(r->name) + r->variant + "/" + std::to_string(r->dialects) + "/" +
                            std::to_string(r->iommu_h))
                    .second)
        << r->name;
  EXPECT_GT(seen.size(), 25u);
  EXPECT_EQ(ims_dialect_by_name("vsva-v4"), IMS_DIALECT_V4);
  EXPECT_EQ(ims_dialect_by_name("vsva-v8"), -1);
  EXPECT_STREQ(ims_dialect_name(IMS_DIALECT_V1), "vsva-v1");
}

} // namespace
