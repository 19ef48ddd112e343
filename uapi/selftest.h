// SPDX-License-Identifier: Apache-2.0
// IOMMU_TEST_CMD: how the kernel's own tests of iommufd (tools/testing/selftests/iommu, Linux 7.2 and 7.3) reach the mock
// driver behind it. Structures as rows, as in uapi/iommufd.h; what the mock hardware is. Facts 6.2.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IMS_IOMMU_TEST_CMD     0x3ba0u
#define IMS_IOMMU_TEST_CMD_MIN 68u // bytes that a caller must say at least

// clang-format off
// X(name, number, structure): the word `op` chooses the shape. All shapes are 72 bytes.
#define IMS_SELFTEST_OPS(X)                                   \
  X(ADD_RESERVED,          1, iommu_test_add_reserved)        \
  X(MOCK_DOMAIN,           2, iommu_test_mock_domain)         \
  X(MD_CHECK_MAP,          3, iommu_test_check_map)           \
  X(MD_CHECK_REFS,         4, iommu_test_check_refs)          \
  X(CREATE_ACCESS,         5, iommu_test_create_access)       \
  X(DESTROY_ACCESS_PAGES,  6, iommu_test_destroy_access_pages) \
  X(ACCESS_PAGES,          7, iommu_test_access_pages)        \
  X(ACCESS_RW,             8, iommu_test_access_rw)           \
  X(SET_TEMP_MEMORY_LIMIT, 9, iommu_test_memory_limit)        \
  X(MOCK_DOMAIN_REPLACE,  10, iommu_test_replace)             \
  X(ACCESS_REPLACE_IOAS,  11, iommu_test_access_replace)      \
  X(MOCK_DOMAIN_FLAGS,    12, iommu_test_mock_domain)         \
  X(DIRTY,                13, iommu_test_dirty)               \
  X(MD_CHECK_IOTLB,       14, iommu_test_check_iotlb)         \
  X(TRIGGER_IOPF,         15, iommu_test_trigger_iopf)        \
  X(DEV_CHECK_CACHE,      16, iommu_test_check_cache)         \
  X(TRIGGER_VEVENT,       17, iommu_test_trigger_vevent)      \
  X(PASID_ATTACH,         18, iommu_test_pasid)               \
  X(PASID_REPLACE,        19, iommu_test_pasid)               \
  X(PASID_DETACH,         20, iommu_test_pasid)               \
  X(PASID_CHECK_HWPT,     21, iommu_test_pasid_check)         \
  X(DMABUF_GET,           22, iommu_test_dmabuf_get)          \
  X(DMABUF_REVOKE,        23, iommu_test_dmabuf_revoke)

// What all shapes begin and end with; `at`: where the bytes begin that the shape does not use.
#define IMS_TEST_HEAD(F, P)                                \
  F(32, size, 0, DEC)                                      \
  F(32, op, 4, ENUM_test_op)                               \
  F(32, id, 8, DEC)                                        \
  F(32, reserved, 12, HEX)
#define IMS_TEST_TAIL(F, P)                                \
  F(32, last, 64, HEX)                                     \
  P(padding, 68, 4)

#define IMS_S_iommu_test_cmd(F, P) /* 72: any op */        \
  IMS_TEST_HEAD(F, P)                                      \
  P(body, 16, 48)                                          \
  IMS_TEST_TAIL(F, P)

#define IMS_S_iommu_test_add_reserved(F, P) /* id: IOAS */ \
  IMS_TEST_HEAD(F, P)                                      \
  F(64, start, 16, HEX)                                    \
  F(64, length, 24, HEX)                                   \
  P(unused, 32, 32)                                        \
  IMS_TEST_TAIL(F, P)

#define IMS_S_iommu_test_mock_domain(F, P) /* id: IOAS or HWPT */ \
  IMS_TEST_HEAD(F, P)                                      \
  F(32, out_stdev_id, 16, DEC)                             \
  F(32, out_hwpt_id, 20, DEC)                              \
  F(32, out_idev_id, 24, DEC)                              \
  F(32, dev_flags, 28, FLAGS_test_device)                  \
  P(unused, 32, 32)                                        \
  IMS_TEST_TAIL(F, P)

#define IMS_S_iommu_test_check_map(F, P) /* id: HWPT */    \
  IMS_TEST_HEAD(F, P)                                      \
  F(64, iova, 16, HEX)                                     \
  F(64, length, 24, HEX)                                   \
  F(64, uptr, 32, HEX)                                     \
  P(unused, 40, 24)                                        \
  IMS_TEST_TAIL(F, P)

#define IMS_S_iommu_test_check_refs(F, P)                  \
  IMS_TEST_HEAD(F, P)                                      \
  F(64, length, 16, HEX)                                   \
  F(64, uptr, 24, HEX)                                     \
  F(32, refs, 32, DEC)                                     \
  P(unused, 36, 28)                                        \
  IMS_TEST_TAIL(F, P)

#define IMS_S_iommu_test_create_access(F, P) /* id: IOAS */ \
  IMS_TEST_HEAD(F, P)                                      \
  F(32, out_access_fd, 16, DEC)                            \
  F(32, flags, 20, FLAGS_test_create_access)               \
  P(unused, 24, 40)                                        \
  IMS_TEST_TAIL(F, P)

#define IMS_S_iommu_test_destroy_access_pages(F, P) /* id: the access' descriptor */ \
  IMS_TEST_HEAD(F, P)                                      \
  F(32, access_pages_id, 16, DEC)                          \
  P(unused, 20, 44)                                        \
  IMS_TEST_TAIL(F, P)

#define IMS_S_iommu_test_access_pages(F, P) /* id: the access' descriptor */ \
  IMS_TEST_HEAD(F, P)                                      \
  F(32, flags, 16, FLAGS_test_access)                      \
  F(32, out_access_pages_id, 20, DEC)                      \
  F(64, iova, 24, HEX)                                     \
  F(64, length, 32, HEX)                                   \
  F(64, uptr, 40, HEX)                                     \
  P(unused, 48, 16)                                        \
  IMS_TEST_TAIL(F, P)

#define IMS_S_iommu_test_access_rw(F, P) /* id: the access' descriptor */ \
  IMS_TEST_HEAD(F, P)                                      \
  F(64, iova, 16, HEX)                                     \
  F(64, length, 24, HEX)                                   \
  F(64, uptr, 32, HEX)                                     \
  F(32, flags, 40, FLAGS_test_rw)                          \
  P(unused, 44, 20)                                        \
  IMS_TEST_TAIL(F, P)

#define IMS_S_iommu_test_memory_limit(F, P)                \
  IMS_TEST_HEAD(F, P)                                      \
  F(32, limit, 16, DEC)                                    \
  P(unused, 20, 44)                                        \
  IMS_TEST_TAIL(F, P)

#define IMS_S_iommu_test_replace(F, P) /* id: mock device */ \
  IMS_TEST_HEAD(F, P)                                      \
  F(32, pt_id, 16, DEC)                                    \
  P(unused, 20, 44)                                        \
  IMS_TEST_TAIL(F, P)

#define IMS_S_iommu_test_access_replace(F, P) /* id: the access' descriptor */ \
  IMS_TEST_HEAD(F, P)                                      \
  F(32, ioas_id, 16, DEC)                                  \
  P(unused, 20, 44)                                        \
  IMS_TEST_TAIL(F, P)

#define IMS_S_iommu_test_dirty(F, P) /* id: HWPT */        \
  IMS_TEST_HEAD(F, P)                                      \
  F(32, flags, 16, HEX)                                    \
  P(hole, 20, 4)                                           \
  F(64, iova, 24, HEX)                                     \
  F(64, length, 32, HEX)                                   \
  F(64, page_size, 40, HEX)                                \
  F(64, uptr, 48, HEX)                                     \
  F(64, out_nr_dirty, 56, DEC)                             \
  IMS_TEST_TAIL(F, P)

#define IMS_S_iommu_test_check_iotlb(F, P) /* id: nested HWPT */ \
  IMS_TEST_HEAD(F, P)                                      \
  F(32, iotlb_id, 16, DEC)                                 \
  F(32, iotlb, 20, HEX)                                    \
  P(unused, 24, 40)                                        \
  IMS_TEST_TAIL(F, P)

#define IMS_S_iommu_test_trigger_iopf(F, P)                \
  IMS_TEST_HEAD(F, P)                                      \
  F(32, dev_id, 16, DEC)                                   \
  F(32, pasid, 20, DEC)                                    \
  F(32, grpid, 24, DEC)                                    \
  F(32, perm, 28, FLAGS_pgfault_perm)                      \
  F(64, addr, 32, HEX)                                     \
  P(unused, 40, 24)                                        \
  IMS_TEST_TAIL(F, P)

#define IMS_S_iommu_test_check_cache(F, P) /* id: device */ \
  IMS_TEST_HEAD(F, P)                                      \
  F(32, cache_id, 16, DEC)                                 \
  F(32, cache, 20, HEX)                                    \
  P(unused, 24, 40)                                        \
  IMS_TEST_TAIL(F, P)

#define IMS_S_iommu_test_trigger_vevent(F, P)              \
  IMS_TEST_HEAD(F, P)                                      \
  F(32, dev_id, 16, DEC)                                   \
  P(unused, 20, 44)                                        \
  IMS_TEST_TAIL(F, P)

#define IMS_S_iommu_test_pasid(F, P) /* id: mock device; DETACH does not look at pt_id */ \
  IMS_TEST_HEAD(F, P)                                      \
  F(32, pasid, 16, DEC)                                    \
  F(32, pt_id, 20, DEC)                                    \
  P(unused, 24, 40)                                        \
  IMS_TEST_TAIL(F, P)

#define IMS_S_iommu_test_pasid_check(F, P) /* id: mock device */ \
  IMS_TEST_HEAD(F, P)                                      \
  F(32, pasid, 16, DEC)                                    \
  F(32, hwpt_id, 20, DEC) /* 0: nothing is attached */     \
  P(unused, 24, 40)                                        \
  IMS_TEST_TAIL(F, P)

#define IMS_S_iommu_test_dmabuf_get(F, P) /* answers the descriptor */ \
  IMS_TEST_HEAD(F, P)                                      \
  F(32, length, 16, DEC)                                   \
  F(32, open_flags, 20, HEX)                               \
  P(unused, 24, 40)                                        \
  IMS_TEST_TAIL(F, P)

#define IMS_S_iommu_test_dmabuf_revoke(F, P)               \
  IMS_TEST_HEAD(F, P)                                      \
  F(32, dmabuf_fd, 16, DEC)                                \
  F(32, revoked, 20, DEC)                                  \
  P(unused, 24, 40)                                        \
  IMS_TEST_TAIL(F, P)

// The mock driver's own data, in ioctls of iommufd.
#define IMS_S_iommu_test_hw_info(F, P) /* 8 */             \
  F(32, flags, 0, HEX)                                     \
  F(32, test_reg, 4, HEX)

#define IMS_S_iommu_hwpt_selftest(F, P) /* 8 */            \
  F(32, iotlb, 0, HEX)                                     \
  F(32, pagetable_type, 4, ENUM_test_pagetable)

#define IMS_S_iommu_hwpt_invalidate_selftest(F, P) /* 8 */ \
  F(32, flags, 0, FLAGS_test_invalidate)                   \
  F(32, iotlb_id, 4, DEC)

#define IMS_S_iommu_viommu_selftest(F, P) /* 24 */         \
  F(32, in_data, 0, HEX)                                   \
  F(32, out_data, 4, HEX)                                  \
  F(64, out_mmap_offset, 8, HEX)                           \
  F(64, out_mmap_length, 16, HEX)

#define IMS_S_iommu_viommu_invalidate_selftest(F, P) /* 12 */ \
  F(32, flags, 0, FLAGS_test_invalidate)                   \
  F(32, vdev_id, 4, HEX)                                   \
  F(32, cache_id, 8, DEC)

#define IMS_S_iommu_viommu_event_selftest(F, P) /* 4 */    \
  F(32, virt_id, 0, HEX)

// X(struct, bytes its rows cover, first byte its rows cover)
#define IMS_SELFTEST_STRUCTS(X)                  \
  X(iommu_test_cmd, 72, 0)                       \
  X(iommu_test_add_reserved, 72, 0)              \
  X(iommu_test_mock_domain, 72, 0)               \
  X(iommu_test_check_map, 72, 0)                 \
  X(iommu_test_check_refs, 72, 0)                \
  X(iommu_test_create_access, 72, 0)             \
  X(iommu_test_destroy_access_pages, 72, 0)      \
  X(iommu_test_access_pages, 72, 0)              \
  X(iommu_test_access_rw, 72, 0)                 \
  X(iommu_test_memory_limit, 72, 0)              \
  X(iommu_test_replace, 72, 0)                   \
  X(iommu_test_access_replace, 72, 0)            \
  X(iommu_test_dirty, 72, 0)                     \
  X(iommu_test_check_iotlb, 72, 0)               \
  X(iommu_test_trigger_iopf, 72, 0)              \
  X(iommu_test_check_cache, 72, 0)               \
  X(iommu_test_trigger_vevent, 72, 0)            \
  X(iommu_test_pasid, 72, 0)                     \
  X(iommu_test_pasid_check, 72, 0)               \
  X(iommu_test_dmabuf_get, 72, 0)                \
  X(iommu_test_dmabuf_revoke, 72, 0)             \
  X(iommu_test_hw_info, 8, 0)                    \
  X(iommu_hwpt_selftest, 8, 0)                   \
  X(iommu_hwpt_invalidate_selftest, 8, 0)        \
  X(iommu_viommu_selftest, 24, 0)                \
  X(iommu_viommu_invalidate_selftest, 12, 0)     \
  X(iommu_viommu_event_selftest, 4, 0)

// Values. V(name, value). FLAGS lists: bits.
#define IMS_V_ENUM_test_op(V)                                                                                      \
  V(ADD_RESERVED, 1) V(MOCK_DOMAIN, 2) V(MD_CHECK_MAP, 3) V(MD_CHECK_REFS, 4) V(CREATE_ACCESS, 5)                 \
  V(DESTROY_ACCESS_PAGES, 6) V(ACCESS_PAGES, 7) V(ACCESS_RW, 8) V(SET_TEMP_MEMORY_LIMIT, 9)                       \
  V(MOCK_DOMAIN_REPLACE, 10) V(ACCESS_REPLACE_IOAS, 11) V(MOCK_DOMAIN_FLAGS, 12) V(DIRTY, 13)                     \
  V(MD_CHECK_IOTLB, 14) V(TRIGGER_IOPF, 15) V(DEV_CHECK_CACHE, 16) V(TRIGGER_VEVENT, 17) V(PASID_ATTACH, 18)      \
  V(PASID_REPLACE, 19) V(PASID_DETACH, 20) V(PASID_CHECK_HWPT, 21) V(DMABUF_GET, 22) V(DMABUF_REVOKE, 23)
#define IMS_V_FLAGS_test_device(V)        V(NO_DIRTY, 1) V(PASID, 4)
#define IMS_V_FLAGS_test_create_access(V) V(NEEDS_PIN_PAGES, 1)
#define IMS_V_FLAGS_test_access(V)        V(WRITE, 1)
#define IMS_V_FLAGS_test_rw(V)            V(WRITE, 1) V(SLOW_PATH, 4)
#define IMS_V_FLAGS_test_invalidate(V)    V(ALL, 1)
#define IMS_V_ENUM_test_pagetable(V)      V(DEFAULT, 0) V(HUGE, 1)

#define IMS_SELFTEST_VALUE_LISTS(X)                                                                              \
  X(ENUM_test_op) X(FLAGS_test_device) X(FLAGS_test_create_access) X(FLAGS_test_access) X(FLAGS_test_rw)          \
  X(FLAGS_test_invalidate) X(ENUM_test_pagetable)
// clang-format on

enum {
#define IMS_X(name, number, s) IMS_TEST_OP_##name = (number),
  IMS_SELFTEST_OPS(IMS_X)
#undef IMS_X
#define V(name, value) IMS_MOCK_DEVICE_##name = (value),
      IMS_V_FLAGS_test_device(V)
#undef V
#define V(name, value) IMS_MOCK_ACCESS_##name = (value),
          IMS_V_FLAGS_test_create_access(V) IMS_V_FLAGS_test_access(V)
#undef V
#define V(name, value) IMS_MOCK_RW_##name = (value),
              IMS_V_FLAGS_test_rw(V)
#undef V
#define V(name, value) IMS_MOCK_INVALIDATE_##name = (value),
                  IMS_V_FLAGS_test_invalidate(V)
#undef V
#define V(name, value) IMS_MOCK_PAGETABLE_##name = (value),
                      IMS_V_ENUM_test_pagetable(V)
#undef V
};

// The mock hardware. The aperture and the page are those of page tables of the default kind.
enum {
  IMS_MOCK_APERTURE_FIRST = 1 << 24,
  IMS_MOCK_APERTURE_LAST = 0x7fffffff,
  IMS_MOCK_PAGE = 2048,
  IMS_MOCK_HUGE_PAGE = 512 * IMS_MOCK_PAGE,
  IMS_MOCK_IOTLBS = 4,           // words of a nested table, and
  IMS_MOCK_CACHES = 4,           // of a device, that invalidations set to 0
  IMS_MOCK_PASID_BITS = 20,      // of devices with the flag PASID
  IMS_MOCK_PASID_FAILING = 1024, // attaching to it fails every second time, in a row, with -ENOMEM
  IMS_MOCK_HW_QUEUES = 2,        // of a vIOMMU
};
#define IMS_MOCK_IOTLB_DEFAULT 0xbadbeefu // what programs put there
#define IMS_MOCK_CACHE_DEFAULT 0xbaddadu

// Types of data: of hw_info, of HWPT_ALLOC and HWPT_INVALIDATE, of vIOMMUs and what belongs to them.
#define IMS_HW_INFO_SELFTEST         0xfeedbeefu
#define IMS_HW_INFO_SELFTEST_REG     0xdeadbeefu
#define IMS_HWPT_DATA_SELFTEST       0xdeadu
#define IMS_INVALIDATE_DATA_SELFTEST 0xdeadbeefu
#define IMS_VIOMMU_SELFTEST          0xdeadbeefu
#define IMS_VEVENTQ_SELFTEST         0xbeefbeefu
#define IMS_HW_QUEUE_SELFTEST        0xdeadbeefu

// struct ims_iommu_test_mock_domain and so on.
#define IMS_F(bits, name, offset, form) uint##bits##_t name;
#define IMS_P(name, offset, bytes)      uint8_t name[bytes];
#define IMS_X(s, size, first)                                                                                          \
  struct ims_##s {                                                                                                     \
    IMS_S_##s(IMS_F, IMS_P)                                                                                            \
  };
IMS_SELFTEST_STRUCTS(IMS_X)
#undef IMS_X
#undef IMS_F
#undef IMS_P

#ifdef __cplusplus
}
#endif
