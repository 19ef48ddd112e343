// SPDX-License-Identifier: Apache-2.0
// The binary interface of VFIO type1, of the vSVA series (March to September 2020) and of the SMMUv3 nested series (March
// 2020 to 2021): ioctl words, structures as they lie in user memory, flag values. All is 64-bit little endian.
//
// Guests' first stages on SMMUs: SMMUv3 binds a whole CD table, VFIO_IOMMU_SET_PASID_TABLE. SMMUv2 has neither PASIDs nor a
// table of them; no series had it, and the thread of April 2020 settled that such users ride on the bind of a page table.
// Here they do: BIND (v1) and NESTING_OP (v2 to v7) take format 2, ARM_SMMUV2, which means "no PASID": hpasid and gpasid
// must be 0 and GPASID_VAL clear, no PASID has to be allocated before, and the vendor part has TCR, ASID and MAIR. An
// invalidation names an ASID (ARCHID) in the place of the PASID. The nesting information says format 2 with 0 PASID bits.
//
// One command word may mean different things in different postings of the series: the kernel's dialect decides, not the
// word. Structures are declared once, in rows of {type, field, offset, form}; the C structs, the decoding in the kernel,
// and the table by which a trace prints and parses them (uapi/layout.h) come from these rows.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Postings of the series; of the SMMUv3 one, v11 and v12 are as v13. X(id, name)
#define IMS_DIALECTS(X)                                                                                                \
  X(V1, "vsva-v1")                                                                                                     \
  X(V2, "vsva-v2")                                                                                                     \
  X(V3, "vsva-v3")                                                                                                     \
  X(V4, "vsva-v4")                                                                                                     \
  X(V5, "vsva-v5")                                                                                                     \
  X(V6, "vsva-v6")                                                                                                     \
  X(V7, "vsva-v7")                                                                                                     \
  X(SMMUV3_V10, "smmuv3-v10")                                                                                          \
  X(SMMUV3_V13, "smmuv3-v13")

enum ims_dialect {
#define IMS_X(id, name) IMS_DIALECT_##id,
  IMS_DIALECTS(IMS_X)
#undef IMS_X
      IMS_DIALECT_COUNT
};

// The two forms of linux/iommu.h: A as in 5.8 and 5.9, B with argsz as from 5.10 on. AUTO: A for vSVA v1, v2 and SMMUv3
// v10, else B.
enum ims_iommu_h { IMS_IOMMU_H_AUTO, IMS_IOMMU_H_A, IMS_IOMMU_H_B };

// clang-format off
// Command words: type ';' (0x3b), no direction, no size. X(name, word)
#define IMS_VFIO_WORDS(X)                     \
  X(VFIO_GET_API_VERSION,         0x3b64)     \
  X(VFIO_CHECK_EXTENSION,         0x3b65)     \
  X(VFIO_SET_IOMMU,               0x3b66)     \
  X(VFIO_GROUP_GET_STATUS,        0x3b67)     \
  X(VFIO_GROUP_SET_CONTAINER,     0x3b68)     \
  X(VFIO_GROUP_UNSET_CONTAINER,   0x3b69)     \
  X(VFIO_IOMMU_GET_INFO,          0x3b70)     \
  X(VFIO_IOMMU_MAP_DMA,           0x3b71)     \
  X(VFIO_IOMMU_UNMAP_DMA,         0x3b72)     \
  X(V1_VFIO_IOMMU_PASID_REQUEST,  0x3b7a)     \
  X(V1_VFIO_IOMMU_BIND,           0x3b7b)     \
  X(V1_VFIO_IOMMU_CACHE_INVALIDATE, 0x3b7c)   \
  X(V2_VFIO_IOMMU_PASID_REQUEST,  0x3b7a)     \
  X(V2_VFIO_IOMMU_NESTING_OP,     0x3b7b)     \
  X(V3_VFIO_IOMMU_PASID_REQUEST,  0x3b76)     \
  X(V3_VFIO_IOMMU_NESTING_OP,     0x3b77)     \
  X(V10_VFIO_IOMMU_SET_PASID_TABLE,  0x3b7a)  \
  X(V10_VFIO_IOMMU_CACHE_INVALIDATE, 0x3b7b)  \
  X(V10_VFIO_IOMMU_SET_MSI_BINDING,  0x3b7c)  \
  X(V13_VFIO_IOMMU_SET_PASID_TABLE,  0x3b76)  \
  X(V13_VFIO_IOMMU_CACHE_INVALIDATE, 0x3b77)  \
  X(V13_VFIO_IOMMU_SET_MSI_BINDING,  0x3b78)

// Structures. For each: rows F(bits, field, offset, form), padding P(field, offset, bytes), then the size.
// Forms: HEX, DEC, or the name of a list of values below (FLAGS lists are ORed, ENUM lists stand alone).
#define IMS_S_vfio_group_status(F, P) /* 8 */              \
  F(32, argsz, 0, DEC)                                     \
  F(32, flags, 4, FLAGS_group)

#define IMS_S_vfio_iommu_type1_info(F, P) /* 24 */         \
  F(32, argsz, 0, DEC)                                     \
  F(32, flags, 4, FLAGS_info)                              \
  F(64, iova_pgsizes, 8, HEX)                              \
  F(32, cap_offset, 16, DEC)                               \
  P(pad, 20, 4)

#define IMS_S_vfio_info_cap_header(F, P) /* 8 */           \
  F(16, id, 0, DEC)                                        \
  F(16, version, 2, DEC)                                   \
  F(32, next, 4, DEC)

#define IMS_S_vfio_iova_range(F, P) /* 16 */               \
  F(64, start, 0, HEX)                                     \
  F(64, end, 8, HEX)

#define IMS_S_vfio_cap_iova_range(F, P) /* 16, then ranges */ \
  F(32, nr_iovas, 8, DEC)                                  \
  P(reserved, 12, 4)

#define IMS_S_vfio_cap_nesting_v1(F, P) /* 16 with the header */ \
  F(32, nesting_capabilities, 8, HEX)                      \
  F(32, stage1_formats, 12, DEC)

#define IMS_S_iommu_nesting_info(F, P) /* 56 with the VT-d part */ \
  F(32, argsz, 0, DEC)                                     \
  F(32, flags, 4, HEX)                                     \
  F(32, format, 8, ENUM_format)                            \
  F(32, features, 12, FLAGS_nesting)                       \
  F(16, addr_width, 16, DEC)                               \
  F(16, pasid_bits, 18, DEC)                               \
  P(padding, 20, 12)                                       \
  F(32, vtd_flags, 32, HEX)                                \
  P(vtd_padding, 36, 4)                                    \
  F(64, vtd_cap_reg, 40, HEX)                              \
  F(64, vtd_ecap_reg, 48, HEX)

#define IMS_S_vfio_iommu_type1_dma_map(F, P) /* 32 */      \
  F(32, argsz, 0, DEC)                                     \
  F(32, flags, 4, FLAGS_map)                               \
  F(64, vaddr, 8, HEX)                                     \
  F(64, iova, 16, HEX)                                     \
  F(64, size, 24, HEX)

#define IMS_S_vfio_iommu_type1_dma_unmap(F, P) /* 24 */    \
  F(32, argsz, 0, DEC)                                     \
  F(32, flags, 4, FLAGS_unmap)                             \
  F(64, iova, 8, HEX)                                      \
  F(64, size, 16, HEX)

#define IMS_S_vfio_pasid_request_v1(F, P) /* 20 */         \
  F(32, argsz, 0, DEC)                                     \
  F(32, flags, 4, FLAGS_pasid)                             \
  F(32, min, 8, DEC) /* also free_pasid */                 \
  F(32, max, 12, DEC)                                      \
  F(32, result, 16, DEC)

#define IMS_S_vfio_pasid_request(F, P) /* 16 */            \
  F(32, argsz, 0, DEC)                                     \
  F(32, flags, 4, FLAGS_pasid)                             \
  F(32, min, 8, DEC)                                       \
  F(32, max, 12, DEC)

#define IMS_S_vfio_bind(F, P) /* 8, then data */           \
  F(32, argsz, 0, DEC)                                     \
  F(32, flags, 4, FLAGS_bind)

#define IMS_S_vfio_cache_invalidate(F, P) /* 8, then data */ \
  F(32, argsz, 0, DEC)                                     \
  F(32, flags, 4, HEX)

#define IMS_S_vfio_nesting_op(F, P) /* 8, then data */     \
  F(32, argsz, 0, DEC)                                     \
  F(32, flags, 4, ENUM_nesting_op)

#define IMS_S_iommu_gpasid_bind_data_a(F, P) /* 72 */      \
  F(32, version, 0, DEC)                                   \
  F(32, format, 4, ENUM_format)                            \
  F(64, flags, 8, FLAGS_gpasid)                            \
  F(64, gpgd, 16, HEX)                                     \
  F(64, hpasid, 24, DEC)                                   \
  F(64, gpasid, 32, DEC)                                   \
  F(32, addr_width, 40, DEC)                               \
  P(padding, 44, 12)                                       \
  F(64, vtd_flags, 56, FLAGS_gpasid_vtd)                   \
  F(32, vtd_pat, 64, HEX)                                  \
  F(32, vtd_emt, 68, HEX)

#define IMS_S_iommu_gpasid_bind_data_b(F, P) /* 72 */      \
  F(32, argsz, 0, DEC)                                     \
  F(32, version, 4, DEC)                                   \
  F(32, format, 8, ENUM_format)                            \
  F(32, addr_width, 12, DEC)                               \
  F(64, flags, 16, FLAGS_gpasid)                           \
  F(64, gpgd, 24, HEX)                                     \
  F(64, hpasid, 32, DEC)                                   \
  F(64, gpasid, 40, DEC)                                   \
  P(padding, 48, 8)                                        \
  F(64, vtd_flags, 56, FLAGS_gpasid_vtd)                   \
  F(32, vtd_pat, 64, HEX)                                  \
  F(32, vtd_emt, 68, HEX)

#define IMS_S_iommu_gpasid_bind_smmuv2_a(F, P) /* 72: format 2 */ \
  F(32, version, 0, DEC)                                   \
  F(32, format, 4, ENUM_format)                            \
  F(64, flags, 8, FLAGS_gpasid)                            \
  F(64, gpgd, 16, HEX)                                     \
  F(64, hpasid, 24, DEC)                                   \
  F(64, gpasid, 32, DEC)                                   \
  F(32, addr_width, 40, DEC)                               \
  P(padding, 44, 12)                                       \
  F(32, smmuv2_tcr, 56, HEX)                               \
  F(16, smmuv2_asid, 60, DEC)                              \
  P(smmuv2_padding, 62, 2)                                 \
  F(64, smmuv2_mair, 64, HEX)

#define IMS_S_iommu_gpasid_bind_smmuv2_b(F, P) /* 72: format 2 */ \
  F(32, argsz, 0, DEC)                                     \
  F(32, version, 4, DEC)                                   \
  F(32, format, 8, ENUM_format)                            \
  F(32, addr_width, 12, DEC)                               \
  F(64, flags, 16, FLAGS_gpasid)                           \
  F(64, gpgd, 24, HEX)                                     \
  F(64, hpasid, 32, DEC)                                   \
  F(64, gpasid, 40, DEC)                                   \
  P(padding, 48, 8)                                        \
  F(32, smmuv2_tcr, 56, HEX)                               \
  F(16, smmuv2_asid, 60, DEC)                              \
  P(smmuv2_padding, 62, 2)                                 \
  F(64, smmuv2_mair, 64, HEX)

#define IMS_S_vfio_set_pasid_table(F, P) /* 8, then config */ \
  F(32, argsz, 0, DEC)                                     \
  F(32, flags, 4, FLAGS_pasid_table)

#define IMS_S_iommu_pasid_table_config_a(F, P) /* 32 with the SMMUv3 part */ \
  F(32, version, 0, DEC)                                   \
  F(32, format, 4, ENUM_table_format)                      \
  F(64, base_ptr, 8, HEX)                                  \
  F(8, pasid_bits, 16, DEC)                                \
  F(8, config, 17, ENUM_table_config)                      \
  P(padding, 18, 6)                                        \
  F(32, smmuv3_version, 24, DEC)                           \
  F(8, s1fmt, 28, DEC)                                     \
  F(8, s1dss, 29, DEC)                                     \
  P(smmuv3_padding, 30, 2)

#define IMS_S_iommu_pasid_table_config_b(F, P) /* 32 with the SMMUv3 part */ \
  F(32, argsz, 0, DEC)                                     \
  F(32, version, 4, DEC)                                   \
  F(64, base_ptr, 8, HEX)                                  \
  F(32, format, 16, ENUM_table_format)                     \
  F(8, pasid_bits, 20, DEC)                                \
  F(8, config, 21, ENUM_table_config)                      \
  P(padding, 22, 2)                                        \
  F(32, smmuv3_version, 24, DEC)                           \
  F(8, s1fmt, 28, DEC)                                     \
  F(8, s1dss, 29, DEC)                                     \
  P(smmuv3_padding, 30, 2)

#define IMS_S_vfio_set_msi_binding(F, P) /* 32 */          \
  F(32, argsz, 0, DEC)                                     \
  F(32, flags, 4, FLAGS_msi)                               \
  F(64, iova, 8, HEX)                                      \
  F(64, gpa, 16, HEX)                                      \
  F(64, size, 24, HEX)

#define IMS_S_iommu_cache_invalidate_info_a(F, P) /* 48 with the largest union member */ \
  F(32, version, 0, DEC)                                   \
  F(8, cache, 4, FLAGS_cache)                              \
  F(8, granularity, 5, ENUM_granularity)                   \
  P(padding, 6, 2)

#define IMS_S_iommu_cache_invalidate_info_b(F, P) /* 56 with the largest union member */ \
  F(32, argsz, 0, DEC)                                     \
  F(32, version, 4, DEC)                                   \
  F(8, cache, 8, FLAGS_cache)                              \
  F(8, granularity, 9, ENUM_granularity)                   \
  P(padding, 10, 6)

#define IMS_S_iommu_inv_pasid_info(F, P) /* 16 */          \
  F(32, flags, 0, FLAGS_inv)                               \
  F(32, archid, 4, DEC)                                    \
  F(64, pasid, 8, DEC)

#define IMS_S_iommu_inv_addr_info(F, P) /* 40 */           \
  F(32, flags, 0, FLAGS_inv)                               \
  F(32, archid, 4, DEC)                                    \
  F(64, pasid, 8, DEC)                                     \
  F(64, addr, 16, HEX)                                     \
  F(64, granule_size, 24, HEX)                             \
  F(64, nb_granules, 32, DEC)

#define IMS_S_iommu_fault_page_request(F, P) /* 64: iommu_fault with a page request */ \
  F(32, type, 0, ENUM_fault_type)                          \
  P(padding, 4, 4)                                         \
  F(32, flags, 8, FLAGS_prm)                               \
  F(32, pasid, 12, DEC)                                    \
  F(32, grpid, 16, DEC)                                    \
  F(32, perm, 20, FLAGS_perm)                              \
  F(64, addr, 24, HEX)                                     \
  F(64, private_data0, 32, HEX)                            \
  F(64, private_data1, 40, HEX)                            \
  P(padding2, 48, 16)

#define IMS_S_iommu_fault_unrecoverable(F, P) /* 64: iommu_fault with an unrecoverable fault */ \
  F(32, type, 0, ENUM_fault_type)                          \
  P(padding, 4, 4)                                         \
  F(32, reason, 8, ENUM_fault_reason)                      \
  F(32, flags, 12, FLAGS_unrecov)                          \
  F(32, pasid, 16, DEC)                                    \
  F(32, perm, 20, FLAGS_perm)                              \
  F(64, addr, 24, HEX)                                     \
  F(64, fetch_addr, 32, HEX)                               \
  P(padding2, 40, 24)

#define IMS_S_iommu_page_response_a(F, P) /* 20 */         \
  F(32, version, 0, DEC)                                   \
  F(32, flags, 4, FLAGS_resp)                              \
  F(32, pasid, 8, DEC)                                     \
  F(32, grpid, 12, DEC)                                    \
  F(32, code, 16, ENUM_response)

#define IMS_S_iommu_page_response_b(F, P) /* 24 */         \
  F(32, argsz, 0, DEC)                                     \
  F(32, version, 4, DEC)                                   \
  F(32, flags, 8, FLAGS_resp)                              \
  F(32, pasid, 12, DEC)                                    \
  F(32, grpid, 16, DEC)                                    \
  F(32, code, 20, ENUM_response)

// X(struct, bytes its rows cover, first byte its rows cover)
#define IMS_UAPI_STRUCTS(X)                 \
  X(vfio_group_status, 8, 0)                \
  X(vfio_iommu_type1_info, 24, 0)           \
  X(vfio_info_cap_header, 8, 0)             \
  X(vfio_iova_range, 16, 0)                 \
  X(vfio_cap_iova_range, 16, 8)             \
  X(vfio_cap_nesting_v1, 16, 8)             \
  X(iommu_nesting_info, 56, 0)              \
  X(vfio_iommu_type1_dma_map, 32, 0)        \
  X(vfio_iommu_type1_dma_unmap, 24, 0)      \
  X(vfio_pasid_request_v1, 20, 0)           \
  X(vfio_pasid_request, 16, 0)              \
  X(vfio_bind, 8, 0)                        \
  X(vfio_cache_invalidate, 8, 0)            \
  X(vfio_nesting_op, 8, 0)                  \
  X(iommu_gpasid_bind_data_a, 72, 0)        \
  X(iommu_gpasid_bind_data_b, 72, 0)        \
  X(iommu_gpasid_bind_smmuv2_a, 72, 0)      \
  X(iommu_gpasid_bind_smmuv2_b, 72, 0)      \
  X(vfio_set_pasid_table, 8, 0)             \
  X(iommu_pasid_table_config_a, 32, 0)      \
  X(iommu_pasid_table_config_b, 32, 0)      \
  X(vfio_set_msi_binding, 32, 0)            \
  X(iommu_cache_invalidate_info_a, 8, 0)    \
  X(iommu_cache_invalidate_info_b, 16, 0)   \
  X(iommu_inv_pasid_info, 16, 0)            \
  X(iommu_inv_addr_info, 40, 0)             \
  X(iommu_fault_page_request, 64, 0)        \
  X(iommu_fault_unrecoverable, 64, 0)       \
  X(iommu_page_response_a, 20, 0)           \
  X(iommu_page_response_b, 24, 0)

// Values. V(name, value). FLAGS lists: bits.
#define IMS_V_FLAGS_group(V)      V(VIABLE, 1) V(CONTAINER_SET, 2)
#define IMS_V_FLAGS_info(V)       V(PGSIZES, 1) V(CAPS, 2)
#define IMS_V_FLAGS_nesting(V)    V(SYSWIDE_PASID, 1) V(BIND_PGTBL, 2) V(CACHE_INVLD, 4)
#define IMS_V_FLAGS_map(V)        V(READ, 1) V(WRITE, 2)
#define IMS_V_FLAGS_unmap(V)      V(GET_DIRTY_BITMAP, 1) V(ALL, 2)
#define IMS_V_FLAGS_pasid(V)      V(ALLOC, 1) V(FREE, 2)
#define IMS_V_FLAGS_bind(V)       V(BIND_GUEST_PGTBL, 1) V(UNBIND_GUEST_PGTBL, 2)
#define IMS_V_ENUM_nesting_op(V)  V(BIND_PGTBL, 0) V(UNBIND_PGTBL, 1) V(CACHE_INVLD, 2)
#define IMS_V_ENUM_format(V)      V(INTEL_VTD, 1) V(ARM_SMMUV2, 2)
#define IMS_V_FLAGS_pasid_table(V) V(SET, 1) V(UNSET, 2)
#define IMS_V_ENUM_table_format(V) V(SMMUV3, 1)
#define IMS_V_ENUM_table_config(V) V(TRANSLATE, 1) V(BYPASS, 2) V(ABORT, 3)
#define IMS_V_FLAGS_msi(V)        V(BIND, 1) V(UNBIND, 2)
#define IMS_V_FLAGS_gpasid(V)     V(GPASID_VAL, 1)
#define IMS_V_FLAGS_gpasid_vtd(V) V(SRE, 1) V(EAFE, 2) V(PCD, 4) V(PWT, 8) V(EMTE, 16) V(CD, 32)
#define IMS_V_FLAGS_cache(V)      V(IOTLB, 1) V(DEV_IOTLB, 2) V(PASID, 4)
#define IMS_V_ENUM_granularity(V) V(DOMAIN, 0) V(PASID, 1) V(ADDR, 2)
#define IMS_V_FLAGS_inv(V)        V(PASID, 1) V(ARCHID, 2) V(LEAF, 4)
#define IMS_V_ENUM_fault_type(V)  V(DMA_UNRECOV, 1) V(PAGE_REQ, 2)
#define IMS_V_ENUM_fault_reason(V)                                                                          \
  V(UNKNOWN, 0) V(PASID_FETCH, 1) V(BAD_PASID_ENTRY, 2) V(PASID_INVALID, 3) V(WALK_EABT, 4) V(PTE_FETCH, 5) \
  V(PERMISSION, 6) V(ACCESS, 7) V(OOR_ADDRESS, 8)
#define IMS_V_FLAGS_prm(V)        V(PASID_VALID, 1) V(LAST_PAGE, 2) V(PRIV_DATA, 4)
#define IMS_V_FLAGS_unrecov(V)    V(PASID_VALID, 1) V(ADDR_VALID, 2) V(FETCH_ADDR_VALID, 4)
#define IMS_V_FLAGS_perm(V)       V(READ, 1) V(WRITE, 2) V(EXEC, 4) V(PRIV, 8)
#define IMS_V_FLAGS_resp(V)       V(PASID_VALID, 1)
#define IMS_V_ENUM_response(V)    V(SUCCESS, 0) V(INVALID, 1) V(FAILURE, 2)

// X(list)
#define IMS_UAPI_VALUE_LISTS(X)                                                                              \
  X(FLAGS_group) X(FLAGS_info) X(FLAGS_nesting) X(FLAGS_map) X(FLAGS_unmap) X(FLAGS_pasid) X(FLAGS_bind)      \
  X(ENUM_nesting_op) X(ENUM_format) X(FLAGS_gpasid) X(FLAGS_gpasid_vtd) X(FLAGS_cache) X(ENUM_granularity)    \
  X(FLAGS_inv) X(ENUM_fault_type) X(ENUM_fault_reason) X(FLAGS_prm) X(FLAGS_unrecov) X(FLAGS_perm)            \
  X(FLAGS_resp) X(ENUM_response) X(FLAGS_pasid_table) X(ENUM_table_format) X(ENUM_table_config) X(FLAGS_msi)
// clang-format on

enum {
#define IMS_X(name, word) IMS_##name = (word),
  IMS_VFIO_WORDS(IMS_X)
#undef IMS_X
};

enum {
  IMS_VFIO_TYPE1_IOMMU = 1, // values of CHECK_EXTENSION and SET_IOMMU
  IMS_VFIO_TYPE1v2_IOMMU = 3,
  IMS_VFIO_DMA_CC_IOMMU = 4,
  IMS_VFIO_TYPE1_NESTING_IOMMU = 6,
  IMS_VFIO_NESTING_IOMMU_UAPI = 9, // CHECK_EXTENSION of v1
  IMS_VFIO_INFO_CAP_IOVA_RANGE = 1,
  IMS_IOMMU_UAPI_VERSION = 1,
  IMS_FORMAT_VTD = 1, // of struct iommu_gpasid_bind_data
  IMS_FORMAT_SMMUV2 = 2,
};

// The structures themselves, for users in C and C++: struct ims_vfio_iommu_type1_dma_map and so on. Those whose rows
// begin behind a capability header do not have the header.
#define IMS_F(bits, name, offset, form) uint##bits##_t name;
#define IMS_P(name, offset, bytes)      uint8_t name[bytes];
#define IMS_X(s, size, first)                                                                                          \
  struct ims_##s {                                                                                                     \
    IMS_S_##s(IMS_F, IMS_P)                                                                                            \
  };
IMS_UAPI_STRUCTS(IMS_X)
#undef IMS_X
#undef IMS_F
#undef IMS_P

#ifdef __cplusplus
}
#endif
