// SPDX-License-Identifier: Apache-2.0
// The table of ioctls and structures, made of the rows of uapi/vfio.h, uapi/iommufd.h and uapi/selftest.h. Facts: VFIO
// vSVA series v1 to v7 (2020), SMMUv3 nested series v10 to v13 (2020, 2021), linux/iommu.h of 5.8/5.9 (A) and 5.10 (B).
#include "uapi/layout.h"
#include "uapi/selftest.h"
#include <string.h>

// Lists of values.
#define V(name, value) {#name, value},
#define IMS_X(list)    static const struct ims_uapi_value values_##list[] = {IMS_V_##list(V){NULL, 0}};
IMS_UAPI_VALUE_LISTS(IMS_X)
IMS_IOMMUFD_VALUE_LISTS(IMS_X)
IMS_SELFTEST_VALUE_LISTS(IMS_X)
#undef IMS_X
#undef V

// What a form means for the table.
#define FORM_DEC               IMS_FORM_DEC, NULL
#define FORM_HEX               IMS_FORM_HEX, NULL
#define FORM_FLAGS_group       IMS_FORM_FLAGS, values_FLAGS_group
#define FORM_FLAGS_info        IMS_FORM_FLAGS, values_FLAGS_info
#define FORM_FLAGS_nesting     IMS_FORM_FLAGS, values_FLAGS_nesting
#define FORM_FLAGS_map         IMS_FORM_FLAGS, values_FLAGS_map
#define FORM_FLAGS_unmap       IMS_FORM_FLAGS, values_FLAGS_unmap
#define FORM_FLAGS_pasid       IMS_FORM_FLAGS, values_FLAGS_pasid
#define FORM_FLAGS_bind        IMS_FORM_FLAGS, values_FLAGS_bind
#define FORM_ENUM_nesting_op   IMS_FORM_ENUM, values_ENUM_nesting_op
#define FORM_ENUM_format       IMS_FORM_ENUM, values_ENUM_format
#define FORM_FLAGS_gpasid      IMS_FORM_FLAGS, values_FLAGS_gpasid
#define FORM_FLAGS_gpasid_vtd  IMS_FORM_FLAGS, values_FLAGS_gpasid_vtd
#define FORM_FLAGS_cache       IMS_FORM_FLAGS, values_FLAGS_cache
#define FORM_ENUM_granularity  IMS_FORM_ENUM, values_ENUM_granularity
#define FORM_FLAGS_inv         IMS_FORM_FLAGS, values_FLAGS_inv
#define FORM_ENUM_fault_type   IMS_FORM_ENUM, values_ENUM_fault_type
#define FORM_ENUM_fault_reason IMS_FORM_ENUM, values_ENUM_fault_reason
#define FORM_FLAGS_prm         IMS_FORM_FLAGS, values_FLAGS_prm
#define FORM_FLAGS_unrecov     IMS_FORM_FLAGS, values_FLAGS_unrecov
#define FORM_FLAGS_perm        IMS_FORM_FLAGS, values_FLAGS_perm
#define FORM_FLAGS_resp        IMS_FORM_FLAGS, values_FLAGS_resp
#define FORM_ENUM_response     IMS_FORM_ENUM, values_ENUM_response
#define FORM_FLAGS_pasid_table IMS_FORM_FLAGS, values_FLAGS_pasid_table
#define FORM_ENUM_table_format IMS_FORM_ENUM, values_ENUM_table_format
#define FORM_ENUM_table_config IMS_FORM_ENUM, values_ENUM_table_config
#define FORM_FLAGS_msi         IMS_FORM_FLAGS, values_FLAGS_msi

#define FORM_FLAGS_ioas_map          IMS_FORM_FLAGS, values_FLAGS_ioas_map
#define FORM_ENUM_option             IMS_FORM_ENUM, values_ENUM_option
#define FORM_ENUM_option_op          IMS_FORM_ENUM, values_ENUM_option_op
#define FORM_ENUM_vfio_ioas_op       IMS_FORM_ENUM, values_ENUM_vfio_ioas_op
#define FORM_FLAGS_hwpt              IMS_FORM_FLAGS, values_FLAGS_hwpt
#define FORM_ENUM_hwpt_data          IMS_FORM_ENUM, values_ENUM_hwpt_data
#define FORM_FLAGS_hwpt_vtd_s1       IMS_FORM_FLAGS, values_FLAGS_hwpt_vtd_s1
#define FORM_FLAGS_hw_info           IMS_FORM_FLAGS, values_FLAGS_hw_info
#define FORM_ENUM_hw_info            IMS_FORM_ENUM, values_ENUM_hw_info
#define FORM_FLAGS_hw_caps           IMS_FORM_FLAGS, values_FLAGS_hw_caps
#define FORM_FLAGS_hw_info_vtd       IMS_FORM_FLAGS, values_FLAGS_hw_info_vtd
#define FORM_FLAGS_set_dirty         IMS_FORM_FLAGS, values_FLAGS_set_dirty
#define FORM_FLAGS_get_dirty         IMS_FORM_FLAGS, values_FLAGS_get_dirty
#define FORM_ENUM_invalidate_data    IMS_FORM_ENUM, values_ENUM_invalidate_data
#define FORM_FLAGS_vtd_s1_invalidate IMS_FORM_FLAGS, values_FLAGS_vtd_s1_invalidate
#define FORM_FLAGS_pgfault           IMS_FORM_FLAGS, values_FLAGS_pgfault
#define FORM_FLAGS_pgfault_perm      IMS_FORM_FLAGS, values_FLAGS_pgfault_perm
#define FORM_ENUM_page_response      IMS_FORM_ENUM, values_ENUM_page_response
#define FORM_ENUM_viommu             IMS_FORM_ENUM, values_ENUM_viommu
#define FORM_ENUM_veventq            IMS_FORM_ENUM, values_ENUM_veventq
#define FORM_ENUM_hw_queue           IMS_FORM_ENUM, values_ENUM_hw_queue
#define FORM_FLAGS_vevent            IMS_FORM_FLAGS, values_FLAGS_vevent
#define FORM_FLAGS_device_info       IMS_FORM_FLAGS, values_FLAGS_device_info
#define FORM_FLAGS_region_info       IMS_FORM_FLAGS, values_FLAGS_region_info
#define FORM_FLAGS_irq_info          IMS_FORM_FLAGS, values_FLAGS_irq_info
#define FORM_FLAGS_bind_iommufd      IMS_FORM_FLAGS, values_FLAGS_bind_iommufd
#define FORM_FLAGS_attach_pt         IMS_FORM_FLAGS, values_FLAGS_attach_pt

#define FORM_ENUM_test_op             IMS_FORM_ENUM, values_ENUM_test_op
#define FORM_FLAGS_test_device        IMS_FORM_FLAGS, values_FLAGS_test_device
#define FORM_FLAGS_test_create_access IMS_FORM_FLAGS, values_FLAGS_test_create_access
#define FORM_FLAGS_test_access        IMS_FORM_FLAGS, values_FLAGS_test_access
#define FORM_FLAGS_test_rw            IMS_FORM_FLAGS, values_FLAGS_test_rw
#define FORM_FLAGS_test_invalidate    IMS_FORM_FLAGS, values_FLAGS_test_invalidate
#define FORM_ENUM_test_pagetable      IMS_FORM_ENUM, values_ENUM_test_pagetable

#define F(bits, name, offset, form) {#name, offset, (bits) / 8, FORM_##form},
#define P(name, offset, length)     {#name, offset, length, IMS_FORM_PAD, NULL},
#define IMS_X(s, size, first)       static const struct ims_uapi_field fields_##s[] = {IMS_S_##s(F, P)};
IMS_UAPI_STRUCTS(IMS_X)
IMS_IOMMUFD_STRUCTS(IMS_X)
IMS_SELFTEST_STRUCTS(IMS_X)
#undef IMS_X
#undef F
#undef P

// The C structs have the size that their rows cover; tests/uapi compares the offsets.
#define CHECK(s, size, first) _Static_assert(sizeof(struct ims_##s) == (size) - (first), #s);
IMS_UAPI_STRUCTS(CHECK)
IMS_IOMMUFD_STRUCTS(CHECK)
IMS_SELFTEST_STRUCTS(CHECK)
#undef CHECK

enum struct_id {
#define IMS_X(s, size, first) S_##s,
  IMS_UAPI_STRUCTS(IMS_X) IMS_IOMMUFD_STRUCTS(IMS_X) IMS_SELFTEST_STRUCTS(IMS_X)
#undef IMS_X
};

static const struct ims_uapi_struct structs[] = {
#define IMS_X(s, size, first) {#s, size, sizeof fields_##s / sizeof *fields_##s, fields_##s},
    IMS_UAPI_STRUCTS(IMS_X) IMS_IOMMUFD_STRUCTS(IMS_X) IMS_SELFTEST_STRUCTS(IMS_X)
#undef IMS_X
};

// The rows of the ioctls. Bits of dialects.
enum {
  D1 = 1 << IMS_DIALECT_V1,
  D2 = 1 << IMS_DIALECT_V2,
  D3_7 = 0x7c,
  S10 = 1 << IMS_DIALECT_SMMUV3_V10,
  S13 = 1 << IMS_DIALECT_SMMUV3_V13,
  DALL = (1 << IMS_DIALECT_COUNT) - 1
};
#define ANY 0, 0, 0, 0xff // no choice between shapes

#define PART(prefix, offset, s)                                                                                        \
  { prefix, offset, &structs[S_##s], 0, 0, 0 }
// Apart: where the argument has its address, its length, and how many there are.
#define APART(prefix, s, pointer, length, count)                                                                       \
  { prefix, 0, &structs[S_##s], pointer, length, count }
#define SIMPLE(name, file, dialects, arg)                                                                              \
  {                                                                                                                    \
#    name, "", IMS_##name, IMS_FILE_##file, 0, IMS_ARG_##arg, dialects, ANY, 0, {                                      \
      { NULL, 0, NULL, 0, 0, 0 }                                                                                       \
    }                                                                                                                  \
  }
#define ONE(name, word, file, dialects, s, size)                                                                       \
  {                                                                                                                    \
    name, "", word, IMS_FILE_##file, 0, IMS_ARG_STRUCT, dialects, ANY, size, { PART("", 0, s) }                        \
  }
#define BIND(variant, word, name, head, dialects, h, mask, value, layout)                                              \
  {                                                                                                                    \
    name, variant, word, IMS_FILE_CONTAINER, h, IMS_ARG_STRUCT, dialects, mask, value, 0, 0xff, 8 + 72, {              \
      PART("", 0, head), PART("data.", 8, iommu_gpasid_bind_data_##layout)                                             \
    }                                                                                                                  \
  }
// The same with format 2, which its first byte says.
#define FORMAT_AT_a 8 + 4
#define FORMAT_AT_b 8 + 8
#define BIND2(variant, word, name, head, dialects, h, mask, value, layout)                                             \
  {                                                                                                                    \
    name, variant, word, IMS_FILE_CONTAINER, h, IMS_ARG_STRUCT, dialects, mask, value, FORMAT_AT_##layout,             \
        IMS_FORMAT_SMMUV2, 8 + 72, {                                                                                   \
      PART("", 0, head), PART("data.", 8, iommu_gpasid_bind_smmuv2_##layout)                                           \
    }                                                                                                                  \
  }
// Layout A has no argsz: the whole structure is read, whatever its granularity. B is read as far as argsz goes.
#define INV_BYTES_a(at, info) 8 + 48
#define INV_BYTES_b(at, info) 8 + (at) + (info)
#define INV0(variant, word, name, head, dialects, h, mask, value, layout, at, gran_at)                                 \
  {                                                                                                                    \
    name, variant, word, IMS_FILE_CONTAINER, h, IMS_ARG_STRUCT, dialects, mask, value, 8 + (gran_at), 0,               \
        INV_BYTES_##layout(at, 0), {                                                                                   \
      PART("", 0, head), PART("data.", 8, iommu_cache_invalidate_info_##layout)                                        \
    }                                                                                                                  \
  }
#define INVP(variant, word, name, head, dialects, h, mask, value, layout, at, gran_at)                                 \
  {                                                                                                                    \
    name, variant, word, IMS_FILE_CONTAINER, h, IMS_ARG_STRUCT, dialects, mask, value, 8 + (gran_at), 1,               \
        INV_BYTES_##layout(at, 16), {                                                                                  \
      PART("", 0, head), PART("data.", 8, iommu_cache_invalidate_info_##layout),                                       \
          PART("pasid_info.", 8 + (at), iommu_inv_pasid_info)                                                          \
    }                                                                                                                  \
  }
#define INVA(variant, word, name, head, dialects, h, mask, value, layout, at, gran_at)                                 \
  {                                                                                                                    \
    name, variant, word, IMS_FILE_CONTAINER, h, IMS_ARG_STRUCT, dialects, mask, value, 8 + (gran_at), 2,               \
        INV_BYTES_##layout(at, 40), {                                                                                  \
      PART("", 0, head), PART("data.", 8, iommu_cache_invalidate_info_##layout),                                       \
          PART("addr_info.", 8 + (at), iommu_inv_addr_info)                                                            \
    }                                                                                                                  \
  }
#define INV(prefix, word, name, head, dialects, h, mask, value, layout, at, gran_at)                                   \
  INVA(prefix "ADDR", word, name, head, dialects, h, mask, value, layout, at, gran_at),                                \
      INVP(prefix "PASID", word, name, head, dialects, h, mask, value, layout, at, gran_at),                           \
      INV0(prefix "DOMAIN", word, name, head, dialects, h, mask, value, layout, at, gran_at)
#define NESTING(word, dialects, h, layout, at, gran_at)                                                                \
  BIND("BIND_PGTBL", word, "VFIO_IOMMU_NESTING_OP", vfio_nesting_op, dialects, h, 0xffff, 0, layout),                  \
      BIND("UNBIND_PGTBL", word, "VFIO_IOMMU_NESTING_OP", vfio_nesting_op, dialects, h, 0xffff, 1, layout),            \
      INV("CACHE_INVLD.", word, "VFIO_IOMMU_NESTING_OP", vfio_nesting_op, dialects, h, 0xffff, 2, layout, at,          \
          gran_at),                                                                                                    \
      BIND2("BIND_PGTBL.SMMUV2", word, "VFIO_IOMMU_NESTING_OP", vfio_nesting_op, dialects, h, 0xffff, 0, layout),      \
      BIND2("UNBIND_PGTBL.SMMUV2", word, "VFIO_IOMMU_NESTING_OP", vfio_nesting_op, dialects, h, 0xffff, 1, layout)
#define V1(h, layout, at, gran_at)                                                                                     \
  BIND("BIND_GUEST_PGTBL", 0x3b7b, "VFIO_IOMMU_BIND", vfio_bind, D1, h, 3, 1, layout),                                 \
      BIND("UNBIND_GUEST_PGTBL", 0x3b7b, "VFIO_IOMMU_BIND", vfio_bind, D1, h, 3, 2, layout),                           \
      INV("", 0x3b7c, "VFIO_IOMMU_CACHE_INVALIDATE", vfio_cache_invalidate, D1, h, 0, 0, layout, at, gran_at),         \
      BIND2("BIND_GUEST_PGTBL.SMMUV2", 0x3b7b, "VFIO_IOMMU_BIND", vfio_bind, D1, h, 3, 1, layout),                     \
      BIND2("UNBIND_GUEST_PGTBL.SMMUV2", 0x3b7b, "VFIO_IOMMU_BIND", vfio_bind, D1, h, 3, 2, layout)
// The SMMUv3 series. UNSET does not look at the configuration.
#define TABLE(word, dialects, h, layout)                                                                               \
  {                                                                                                                    \
    "VFIO_IOMMU_SET_PASID_TABLE", "SET", word, IMS_FILE_CONTAINER, h, IMS_ARG_STRUCT, dialects, 3, 1, 0, 0xff, 8 + 32, \
    {                                                                                                                  \
      PART("", 0, vfio_set_pasid_table), PART("config.", 8, iommu_pasid_table_config_##layout)                         \
    }                                                                                                                  \
  }
#define SMMUV3(table, invalidate, msi, dialects, h, layout, at, gran_at)                                               \
  TABLE(table, dialects, h, layout), {"VFIO_IOMMU_SET_PASID_TABLE",                                                    \
                                      "UNSET",                                                                         \
                                      table,                                                                           \
                                      IMS_FILE_CONTAINER,                                                              \
                                      h,                                                                               \
                                      IMS_ARG_STRUCT,                                                                  \
                                      dialects,                                                                        \
                                      3,                                                                               \
                                      2,                                                                               \
                                      0,                                                                               \
                                      0xff,                                                                            \
                                      8,                                                                               \
                                      {PART("", 0, vfio_set_pasid_table)}},                                            \
      INV("", invalidate, "VFIO_IOMMU_CACHE_INVALIDATE", vfio_cache_invalidate, dialects, h, 0, 0, layout, at,         \
          gran_at),                                                                                                    \
      MSI("BIND", msi, dialects, h, 1), MSI("UNBIND", msi, dialects, h, 2)
#define MSI(variant, word, dialects, h, value)                                                                         \
  {                                                                                                                    \
    "VFIO_IOMMU_SET_MSI_BINDING", variant, word, IMS_FILE_CONTAINER, h, IMS_ARG_STRUCT, dialects, 3, value, 0, 0xff,   \
        32, {                                                                                                          \
      PART("", 0, vfio_set_msi_binding)                                                                                \
    }                                                                                                                  \
  }

// Commands of iommufd and of VFIO devices.
#define APART_NONE
#define APART_RANGES , APART("range.", iommu_iova_range, 16, 0, 8)
#define COMMAND(name, word, s, size, min, apart)                                                                       \
  {#name, "", word, IMS_FILE_IOMMUFD, 0, IMS_ARG_STRUCT, DALL, ANY, size, {PART("", 0, s) APART_##apart}},
#define DEVICE_COMMAND(name, word, s, size, min, apart)                                                                \
  {#name, "", word, IMS_FILE_DEVICE, 0, IMS_ARG_STRUCT, DALL, ANY, size, {PART("", 0, s) APART_##apart}},
// With data of a type, which the byte at `at` says.
#define TYPED(name, variant, word, s, size, at, type, part)                                                            \
  {                                                                                                                    \
    name, variant, word, IMS_FILE_IOMMUFD, 0, IMS_ARG_STRUCT, DALL, 0, 0, at, type, size, { PART("", 0, s), part }     \
  }
#define HWPT(variant, type, data)                                                                                      \
  TYPED("IOMMU_HWPT_ALLOC", variant, 0x3b89, iommu_hwpt_alloc, 48, 24, type, APART("data.", data, 32, 28, 0))
// A shape for each op of IOMMU_TEST_CMD, and one for what is none.
#define TEST_OTHER COMMAND(IOMMU_TEST_CMD, IMS_IOMMU_TEST_CMD, iommu_test_cmd, 72, 68, NONE)
#define TEST_OP(op, number, s)                                                                                         \
  {"IOMMU_TEST_CMD", #op, IMS_IOMMU_TEST_CMD, IMS_FILE_IOMMUFD, 0, IMS_ARG_STRUCT, DALL, ~0u, number, 0, 0xff, 72,     \
   {PART("", 0, s)}},
#define HW_INFO(variant, type, data)                                                                                   \
  TYPED("IOMMU_GET_HW_INFO", variant, 0x3b8a, iommu_hw_info, 40, 24, type, APART("data.", data, 16, 12, 0))
#define INVALIDATE(variant, type, data)                                                                                \
  TYPED("IOMMU_HWPT_INVALIDATE", variant, 0x3b8d, iommu_hwpt_invalidate, 32, 16, type, APART("data.", data, 8, 20, 24))

static const struct ims_uapi_ioctl rows[] = {
    HWPT("VTD_S1", IMS_HWPT_DATA_VTD_S1, iommu_hwpt_vtd_s1),
    HWPT("ARM_SMMUV3", IMS_HWPT_DATA_ARM_SMMUV3, iommu_hwpt_arm_smmuv3),
    HW_INFO("INTEL_VTD", IMS_HW_INFO_INTEL_VTD, iommu_hw_info_vtd),
    HW_INFO("ARM_SMMUV3", IMS_HW_INFO_ARM_SMMUV3, iommu_hw_info_arm_smmuv3),
    INVALIDATE("VTD_S1", IMS_INVALIDATE_DATA_VTD_S1, iommu_hwpt_vtd_s1_invalidate),
    INVALIDATE("ARM_SMMUV3", IMS_INVALIDATE_DATA_ARM_SMMUV3, iommu_viommu_arm_smmuv3_invalidate),
    IMS_SELFTEST_OPS(TEST_OP) TEST_OTHER IMS_IOMMUFD_COMMANDS(COMMAND) IMS_VFIO_DEVICE_COMMANDS(DEVICE_COMMAND)
        SIMPLE(VFIO_GET_API_VERSION, CONTAINER, DALL, NONE),
    SIMPLE(VFIO_CHECK_EXTENSION, CONTAINER, DALL, VALUE),
    SIMPLE(VFIO_SET_IOMMU, CONTAINER, DALL, VALUE),
    ONE("VFIO_GROUP_GET_STATUS", 0x3b67, GROUP, DALL, vfio_group_status, 8),
    SIMPLE(VFIO_GROUP_SET_CONTAINER, GROUP, DALL, FD_POINTER),
    SIMPLE(VFIO_GROUP_UNSET_CONTAINER, GROUP, DALL, NONE),
    ONE("VFIO_IOMMU_GET_INFO", 0x3b70, CONTAINER, DALL, vfio_iommu_type1_info, 24),
    ONE("VFIO_IOMMU_MAP_DMA", 0x3b71, CONTAINER, DALL, vfio_iommu_type1_dma_map, 32),
    ONE("VFIO_IOMMU_UNMAP_DMA", 0x3b72, CONTAINER, DALL, vfio_iommu_type1_dma_unmap, 24),
    ONE("VFIO_IOMMU_PASID_REQUEST", 0x3b7a, CONTAINER, D1, vfio_pasid_request_v1, 20),
    ONE("VFIO_IOMMU_PASID_REQUEST", 0x3b7a, CONTAINER, D2, vfio_pasid_request, 16),
    ONE("VFIO_IOMMU_PASID_REQUEST", 0x3b76, CONTAINER, D3_7, vfio_pasid_request, 16),
    V1(IMS_IOMMU_H_A, a, 8, 5),
    V1(IMS_IOMMU_H_B, b, 16, 9),
    NESTING(0x3b7b, D2, IMS_IOMMU_H_A, a, 8, 5),
    NESTING(0x3b7b, D2, IMS_IOMMU_H_B, b, 16, 9),
    NESTING(0x3b77, D3_7, IMS_IOMMU_H_A, a, 8, 5),
    NESTING(0x3b77, D3_7, IMS_IOMMU_H_B, b, 16, 9),
    SMMUV3(0x3b7a, 0x3b7b, 0x3b7c, S10, IMS_IOMMU_H_A, a, 8, 5),
    SMMUV3(0x3b7a, 0x3b7b, 0x3b7c, S10, IMS_IOMMU_H_B, b, 16, 9),
    SMMUV3(0x3b76, 0x3b77, 0x3b78, S13, IMS_IOMMU_H_A, a, 8, 5),
    SMMUV3(0x3b76, 0x3b77, 0x3b78, S13, IMS_IOMMU_H_B, b, 16, 9),
};

enum { ROWS = sizeof rows / sizeof *rows };

const struct ims_uapi_ioctl *ims_uapi_row(unsigned i) { return i < ROWS ? &rows[i] : NULL; }

enum ims_iommu_h ims_iommu_h_of(enum ims_dialect dialect, enum ims_iommu_h iommu_h) {
  if (iommu_h != IMS_IOMMU_H_AUTO)
    return iommu_h;
  return dialect <= IMS_DIALECT_V2 || dialect == IMS_DIALECT_SMMUV3_V10 ? IMS_IOMMU_H_A : IMS_IOMMU_H_B;
}

static bool applies(const struct ims_uapi_ioctl *r, enum ims_dialect dialect, enum ims_iommu_h iommu_h) {
  return (r->dialects >> dialect & 1) && (!r->iommu_h || r->iommu_h == ims_iommu_h_of(dialect, iommu_h));
}

static bool shape_is(const struct ims_uapi_ioctl *r, const void *arg, size_t len) {
  const uint8_t *b = (const uint8_t *)arg;
  if (r->flags_mask) {
    uint32_t flags;
    if (len < 8)
      return false;
    memcpy(&flags, b + 4, 4);
    if ((flags & r->flags_mask) != r->flags_value)
      return false;
  }
  return r->granularity == 0xff || (len > r->granularity_offset && b[r->granularity_offset] == r->granularity);
}

const struct ims_uapi_ioctl *ims_uapi_by_word(enum ims_dialect dialect, enum ims_iommu_h iommu_h,
                                              enum ims_uapi_file file, uint32_t word, const void *arg, size_t len) {
  const struct ims_uapi_ioctl *first = NULL, *match = NULL;
  for (unsigned i = 0; i < ROWS; i++) {
    const struct ims_uapi_ioctl *r = &rows[i];
    if (r->word != word || r->file != file || !applies(r, dialect, iommu_h))
      continue;
    if (!first)
      first = r;
    if (arg ? !shape_is(r, arg, len) : r->flags_mask || r->granularity != 0xff)
      continue;
    if (r->granularity != 0xff)
      return r;
    if (!match)
      match = r;
  }
  return match ? match : first;
}

const struct ims_uapi_ioctl *ims_uapi_by_name(enum ims_dialect dialect, enum ims_iommu_h iommu_h, const char *name,
                                              const char *variant) {
  for (unsigned i = 0; i < ROWS; i++)
    if (!strcmp(rows[i].name, name) && applies(&rows[i], dialect, iommu_h) &&
        (!variant || !*variant || !strcmp(rows[i].variant, variant)))
      return &rows[i];
  return NULL;
}

const struct ims_uapi_field *ims_uapi_field_of(const struct ims_uapi_ioctl *row, const char *name, unsigned *offset) {
  for (unsigned p = 0; p < IMS_UAPI_PARTS && row->part[p].layout; p++) {
    const struct ims_uapi_part *part = &row->part[p];
    if (part->pointer)
      continue;
    size_t n = strlen(part->prefix);
    if (strncmp(name, part->prefix, n))
      continue;
    for (unsigned i = 0; i < part->layout->fields; i++)
      if (!strcmp(part->layout->field[i].name, name + n)) {
        *offset = part->offset + part->layout->field[i].offset;
        return &part->layout->field[i];
      }
  }
  return NULL;
}

const struct ims_uapi_struct *ims_uapi_struct_row(unsigned i) {
  return i < sizeof structs / sizeof *structs ? &structs[i] : NULL;
}

const struct ims_uapi_struct *ims_uapi_struct_by_name(const char *name) {
  for (unsigned i = 0; i < sizeof structs / sizeof *structs; i++)
    if (!strcmp(structs[i].name, name))
      return &structs[i];
  return NULL;
}

static const char *const dialect_names[] = {
#define IMS_X(id, name) name,
    IMS_DIALECTS(IMS_X)
#undef IMS_X
};

const char *ims_dialect_name(enum ims_dialect dialect) {
  return (unsigned)dialect < IMS_DIALECT_COUNT ? dialect_names[dialect] : "?";
}

int ims_dialect_by_name(const char *name) {
  for (int i = 0; i < IMS_DIALECT_COUNT; i++)
    if (!strcmp(dialect_names[i], name))
      return i;
  return -1;
}
