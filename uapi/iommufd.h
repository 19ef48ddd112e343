// SPDX-License-Identifier: Apache-2.0
// The binary interface of /dev/iommu (iommufd) and of VFIO devices as character devices (/dev/vfio/devices/vfioN), as Linux
// 7.3 has it: command words, structures as they lie in user memory, flag values. All is 64-bit little endian. Rows as in
// uapi/vfio.h; the C structs, the checks of the kernel and the table of uapi/layout.h come from them. Facts 3.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// clang-format off
// Commands of /dev/iommu, by number. X(name, word, structure, its bytes, the fewest a caller may say, what lies apart)
#define IMS_IOMMUFD_COMMANDS(X)                                                              \
  X(IOMMU_DESTROY,                 0x3b80, iommu_destroy, 8, 8, NONE)                              \
  X(IOMMU_IOAS_ALLOC,              0x3b81, iommu_ioas_alloc, 12, 12, NONE)                         \
  X(IOMMU_IOAS_ALLOW_IOVAS,        0x3b82, iommu_ioas_allow_iovas, 24, 24, RANGES)                   \
  X(IOMMU_IOAS_COPY,               0x3b83, iommu_ioas_copy, 40, 40, NONE)                          \
  X(IOMMU_IOAS_IOVA_RANGES,        0x3b84, iommu_ioas_iova_ranges, 32, 32, RANGES)                   \
  X(IOMMU_IOAS_MAP,                0x3b85, iommu_ioas_map, 40, 40, NONE)                           \
  X(IOMMU_IOAS_UNMAP,              0x3b86, iommu_ioas_unmap, 24, 24, NONE)                         \
  X(IOMMU_OPTION,                  0x3b87, iommu_option, 24, 24, NONE)                             \
  X(IOMMU_VFIO_IOAS,               0x3b88, iommu_vfio_ioas, 12, 12, NONE)                          \
  X(IOMMU_HWPT_ALLOC,              0x3b89, iommu_hwpt_alloc, 48, 24, NONE)                         \
  X(IOMMU_GET_HW_INFO,             0x3b8a, iommu_hw_info, 40, 32, NONE)                            \
  X(IOMMU_HWPT_SET_DIRTY_TRACKING, 0x3b8b, iommu_hwpt_set_dirty_tracking, 16, 16, NONE)            \
  X(IOMMU_HWPT_GET_DIRTY_BITMAP,   0x3b8c, iommu_hwpt_get_dirty_bitmap, 48, 48, NONE)              \
  X(IOMMU_HWPT_INVALIDATE,         0x3b8d, iommu_hwpt_invalidate, 32, 32, NONE)                    \
  X(IOMMU_FAULT_QUEUE_ALLOC,       0x3b8e, iommu_fault_alloc, 16, 16, NONE)                        \
  X(IOMMU_IOAS_MAP_FILE,           0x3b8f, iommu_ioas_map_file, 40, 40, NONE)                      \
  X(IOMMU_VIOMMU_ALLOC,            0x3b90, iommu_viommu_alloc, 40, 24, NONE)                       \
  X(IOMMU_VDEVICE_ALLOC,           0x3b91, iommu_vdevice_alloc, 24, 24, NONE)                      \
  X(IOMMU_IOAS_CHANGE_PROCESS,     0x3b92, iommu_ioas_change_process, 8, 8, NONE)                  \
  X(IOMMU_VEVENTQ_ALLOC,           0x3b93, iommu_veventq_alloc, 32, 28, NONE)                      \
  X(IOMMU_HW_QUEUE_ALLOC,          0x3b94, iommu_hw_queue_alloc, 40, 40, NONE)                     \
  X(IOMMU_IOAS_NOIOMMU_GET_PA,     0x3b95, iommu_ioas_noiommu_get_pa, 40, 40, NONE)

// Of a device. The words 0x3b76 to 0x3b78 mean other things on a container (uapi/vfio.h).
#define IMS_VFIO_DEVICE_COMMANDS(X)                                                          \
  X(VFIO_DEVICE_GET_INFO,            0x3b6b, vfio_device_info, 24, 16, NONE)                       \
  X(VFIO_DEVICE_GET_REGION_INFO,     0x3b6c, vfio_region_info, 32, 32, NONE)                       \
  X(VFIO_DEVICE_GET_IRQ_INFO,        0x3b6d, vfio_irq_info, 16, 16, NONE)                          \
  X(VFIO_DEVICE_BIND_IOMMUFD,        0x3b76, vfio_device_bind_iommufd, 24, 16, NONE)               \
  X(VFIO_DEVICE_ATTACH_IOMMUFD_PT,   0x3b77, vfio_device_attach_iommufd_pt, 16, 12, NONE)          \
  X(VFIO_DEVICE_DETACH_IOMMUFD_PT,   0x3b78, vfio_device_detach_iommufd_pt, 12, 8, NONE)

#define IMS_S_iommu_destroy(F, P) /* 8 */                  \
  F(32, size, 0, DEC)                                      \
  F(32, id, 4, DEC)

#define IMS_S_iommu_ioas_alloc(F, P) /* 12 */              \
  F(32, size, 0, DEC)                                      \
  F(32, flags, 4, HEX)                                     \
  F(32, out_ioas_id, 8, DEC)

#define IMS_S_iommu_iova_range(F, P) /* 16 */              \
  F(64, start, 0, HEX)                                     \
  F(64, last, 8, HEX)

#define IMS_S_iommu_ioas_iova_ranges(F, P) /* 32 */        \
  F(32, size, 0, DEC)                                      \
  F(32, ioas_id, 4, DEC)                                   \
  F(32, num_iovas, 8, DEC)                                 \
  F(32, reserved, 12, HEX)                                 \
  F(64, allowed_iovas, 16, HEX)                            \
  F(64, out_iova_alignment, 24, HEX)

#define IMS_S_iommu_ioas_allow_iovas(F, P) /* 24 */        \
  F(32, size, 0, DEC)                                      \
  F(32, ioas_id, 4, DEC)                                   \
  F(32, num_iovas, 8, DEC)                                 \
  F(32, reserved, 12, HEX)                                 \
  F(64, allowed_iovas, 16, HEX)

#define IMS_S_iommu_ioas_map(F, P) /* 40 */                \
  F(32, size, 0, DEC)                                      \
  F(32, flags, 4, FLAGS_ioas_map)                          \
  F(32, ioas_id, 8, DEC)                                   \
  F(32, reserved, 12, HEX)                                 \
  F(64, user_va, 16, HEX)                                  \
  F(64, length, 24, HEX)                                   \
  F(64, iova, 32, HEX)

#define IMS_S_iommu_ioas_map_file(F, P) /* 40 */           \
  F(32, size, 0, DEC)                                      \
  F(32, flags, 4, FLAGS_ioas_map)                          \
  F(32, ioas_id, 8, DEC)                                   \
  F(32, fd, 12, DEC)                                       \
  F(64, start, 16, HEX)                                    \
  F(64, length, 24, HEX)                                   \
  F(64, iova, 32, HEX)

#define IMS_S_iommu_ioas_copy(F, P) /* 40 */               \
  F(32, size, 0, DEC)                                      \
  F(32, flags, 4, FLAGS_ioas_map)                          \
  F(32, dst_ioas_id, 8, DEC)                               \
  F(32, src_ioas_id, 12, DEC)                              \
  F(64, length, 16, HEX)                                   \
  F(64, dst_iova, 24, HEX)                                 \
  F(64, src_iova, 32, HEX)

#define IMS_S_iommu_ioas_unmap(F, P) /* 24 */              \
  F(32, size, 0, DEC)                                      \
  F(32, ioas_id, 4, DEC)                                   \
  F(64, iova, 8, HEX)                                      \
  F(64, length, 16, HEX)

#define IMS_S_iommu_option(F, P) /* 24 */                  \
  F(32, size, 0, DEC)                                      \
  F(32, option_id, 4, ENUM_option)                         \
  F(16, op, 8, ENUM_option_op)                             \
  F(16, reserved, 10, HEX)                                 \
  F(32, object_id, 12, DEC)                                \
  F(64, val64, 16, DEC)

#define IMS_S_iommu_vfio_ioas(F, P) /* 12 */               \
  F(32, size, 0, DEC)                                      \
  F(32, ioas_id, 4, DEC)                                   \
  F(16, op, 8, ENUM_vfio_ioas_op)                          \
  F(16, reserved, 10, HEX)

#define IMS_S_iommu_hwpt_alloc(F, P) /* 48 */              \
  F(32, size, 0, DEC)                                      \
  F(32, flags, 4, FLAGS_hwpt)                              \
  F(32, dev_id, 8, DEC)                                    \
  F(32, pt_id, 12, DEC)                                    \
  F(32, out_hwpt_id, 16, DEC)                              \
  F(32, reserved, 20, HEX)                                 \
  F(32, data_type, 24, ENUM_hwpt_data)                     \
  F(32, data_len, 28, DEC)                                 \
  F(64, data_uptr, 32, HEX)                                \
  F(32, fault_id, 40, DEC)                                 \
  F(32, reserved2, 44, HEX)

#define IMS_S_iommu_hwpt_vtd_s1(F, P) /* 24 */             \
  F(64, flags, 0, FLAGS_hwpt_vtd_s1)                       \
  F(64, pgtbl_addr, 8, HEX)                                \
  F(32, addr_width, 16, DEC)                               \
  F(32, reserved, 20, HEX)

#define IMS_S_iommu_hwpt_arm_smmuv3(F, P) /* 16 */         \
  F(64, ste0, 0, HEX)                                      \
  F(64, ste1, 8, HEX)

#define IMS_S_iommu_hw_info(F, P) /* 40 */                 \
  F(32, size, 0, DEC)                                      \
  F(32, flags, 4, FLAGS_hw_info)                           \
  F(32, dev_id, 8, DEC)                                    \
  F(32, data_len, 12, DEC)                                 \
  F(64, data_uptr, 16, HEX)                                \
  F(32, data_type, 24, ENUM_hw_info) /* in with INPUT_TYPE, and out */ \
  F(8, out_max_pasid_log2, 28, DEC)                        \
  P(reserved, 29, 3)                                       \
  F(64, out_capabilities, 32, FLAGS_hw_caps)

#define IMS_S_iommu_hw_info_vtd(F, P) /* 24 */             \
  F(32, flags, 0, FLAGS_hw_info_vtd)                       \
  F(32, reserved, 4, HEX)                                  \
  F(64, cap_reg, 8, HEX)                                   \
  F(64, ecap_reg, 16, HEX)

#define IMS_S_iommu_hw_info_arm_smmuv3(F, P) /* 40 */      \
  F(32, flags, 0, HEX)                                     \
  F(32, reserved, 4, HEX)                                  \
  F(32, idr0, 8, HEX)                                      \
  F(32, idr1, 12, HEX)                                     \
  F(32, idr2, 16, HEX)                                     \
  F(32, idr3, 20, HEX)                                     \
  F(32, idr4, 24, HEX)                                     \
  F(32, idr5, 28, HEX)                                     \
  F(32, iidr, 32, HEX)                                     \
  F(32, aidr, 36, HEX)

#define IMS_S_iommu_hwpt_set_dirty_tracking(F, P) /* 16 */ \
  F(32, size, 0, DEC)                                      \
  F(32, flags, 4, FLAGS_set_dirty)                         \
  F(32, hwpt_id, 8, DEC)                                   \
  F(32, reserved, 12, HEX)

#define IMS_S_iommu_hwpt_get_dirty_bitmap(F, P) /* 48 */   \
  F(32, size, 0, DEC)                                      \
  F(32, hwpt_id, 4, DEC)                                   \
  F(32, flags, 8, FLAGS_get_dirty)                         \
  F(32, reserved, 12, HEX)                                 \
  F(64, iova, 16, HEX)                                     \
  F(64, length, 24, HEX)                                   \
  F(64, page_size, 32, HEX)                                \
  F(64, data, 40, HEX)

#define IMS_S_iommu_hwpt_invalidate(F, P) /* 32 */         \
  F(32, size, 0, DEC)                                      \
  F(32, hwpt_id, 4, DEC) /* or a vIOMMU's */               \
  F(64, data_uptr, 8, HEX)                                 \
  F(32, data_type, 16, ENUM_invalidate_data)               \
  F(32, entry_len, 20, DEC)                                \
  F(32, entry_num, 24, DEC)                                \
  F(32, reserved, 28, HEX)

#define IMS_S_iommu_hwpt_vtd_s1_invalidate(F, P) /* 24 */  \
  F(64, addr, 0, HEX)                                      \
  F(64, npages, 8, DEC)                                    \
  F(32, flags, 16, FLAGS_vtd_s1_invalidate)                \
  F(32, reserved, 20, HEX)

#define IMS_S_iommu_viommu_arm_smmuv3_invalidate(F, P) /* 16 */ \
  F(64, cmd0, 0, HEX)                                      \
  F(64, cmd1, 8, HEX)

#define IMS_S_iommu_fault_alloc(F, P) /* 16 */             \
  F(32, size, 0, DEC)                                      \
  F(32, flags, 4, HEX)                                     \
  F(32, out_fault_id, 8, DEC)                              \
  F(32, out_fault_fd, 12, DEC)

#define IMS_S_iommu_hwpt_pgfault(F, P) /* 40: read from a fault queue */ \
  F(32, flags, 0, FLAGS_pgfault)                           \
  F(32, dev_id, 4, DEC)                                    \
  F(32, pasid, 8, DEC)                                     \
  F(32, grpid, 12, DEC)                                    \
  F(32, perm, 16, FLAGS_pgfault_perm)                      \
  F(32, reserved, 20, HEX)                                 \
  F(64, addr, 24, HEX)                                     \
  F(32, length, 32, DEC)                                   \
  F(32, cookie, 36, DEC)

#define IMS_S_iommu_hwpt_page_response(F, P) /* 8: written to a fault queue */ \
  F(32, cookie, 0, DEC)                                    \
  F(32, code, 4, ENUM_page_response)

#define IMS_S_iommu_viommu_alloc(F, P) /* 40 */            \
  F(32, size, 0, DEC)                                      \
  F(32, flags, 4, HEX)                                     \
  F(32, type, 8, ENUM_viommu)                              \
  F(32, dev_id, 12, DEC)                                   \
  F(32, hwpt_id, 16, DEC)                                  \
  F(32, out_viommu_id, 20, DEC)                            \
  F(32, data_len, 24, DEC)                                 \
  F(32, reserved, 28, HEX)                                 \
  F(64, data_uptr, 32, HEX)

#define IMS_S_iommu_vdevice_alloc(F, P) /* 24 */           \
  F(32, size, 0, DEC)                                      \
  F(32, viommu_id, 4, DEC)                                 \
  F(32, dev_id, 8, DEC)                                    \
  F(32, out_vdevice_id, 12, DEC)                           \
  F(64, virt_id, 16, HEX)

#define IMS_S_iommu_ioas_change_process(F, P) /* 8 */      \
  F(32, size, 0, DEC)                                      \
  F(32, reserved, 4, HEX)

#define IMS_S_iommu_veventq_alloc(F, P) /* 32 */           \
  F(32, size, 0, DEC)                                      \
  F(32, flags, 4, HEX)                                     \
  F(32, viommu_id, 8, DEC)                                 \
  F(32, type, 12, ENUM_veventq)                            \
  F(32, veventq_depth, 16, DEC)                            \
  F(32, out_veventq_id, 20, DEC)                           \
  F(32, out_veventq_fd, 24, DEC)                           \
  F(32, reserved, 28, HEX)

#define IMS_S_iommufd_vevent_header(F, P) /* 8, then the event */ \
  F(32, flags, 0, FLAGS_vevent)                            \
  F(32, sequence, 4, DEC)

#define IMS_S_iommu_vevent_arm_smmuv3(F, P) /* 32 */       \
  F(64, evt0, 0, HEX)                                      \
  F(64, evt1, 8, HEX)                                      \
  F(64, evt2, 16, HEX)                                     \
  F(64, evt3, 24, HEX)

#define IMS_S_iommu_hw_queue_alloc(F, P) /* 40 */          \
  F(32, size, 0, DEC)                                      \
  F(32, flags, 4, HEX)                                     \
  F(32, viommu_id, 8, DEC)                                 \
  F(32, type, 12, ENUM_hw_queue)                           \
  F(32, index, 16, DEC)                                    \
  F(32, out_hw_queue_id, 20, DEC)                          \
  F(64, nesting_parent_iova, 24, HEX)                      \
  F(64, length, 32, HEX)

#define IMS_S_iommu_ioas_noiommu_get_pa(F, P) /* 40 */     \
  F(32, size, 0, DEC)                                      \
  F(32, flags, 4, HEX)                                     \
  F(32, ioas_id, 8, DEC)                                   \
  F(32, reserved, 12, HEX)                                 \
  F(64, iova, 16, HEX)                                     \
  F(64, length, 24, HEX)                                   \
  F(64, out_phys, 32, HEX)

#define IMS_S_vfio_device_info(F, P) /* 24 */              \
  F(32, argsz, 0, DEC)                                     \
  F(32, flags, 4, FLAGS_device_info)                       \
  F(32, num_regions, 8, DEC)                               \
  F(32, num_irqs, 12, DEC)                                 \
  F(32, cap_offset, 16, DEC)                               \
  P(pad, 20, 4)

#define IMS_S_vfio_region_info(F, P) /* 32 */              \
  F(32, argsz, 0, DEC)                                     \
  F(32, flags, 4, FLAGS_region_info)                       \
  F(32, index, 8, DEC)                                     \
  F(32, cap_offset, 12, DEC)                               \
  F(64, size, 16, HEX)                                     \
  F(64, offset, 24, HEX)

#define IMS_S_vfio_irq_info(F, P) /* 16 */                 \
  F(32, argsz, 0, DEC)                                     \
  F(32, flags, 4, FLAGS_irq_info)                          \
  F(32, index, 8, DEC)                                     \
  F(32, count, 12, DEC)

#define IMS_S_vfio_device_bind_iommufd(F, P) /* 24 */      \
  F(32, argsz, 0, DEC)                                     \
  F(32, flags, 4, FLAGS_bind_iommufd)                      \
  F(32, iommufd, 8, DEC)                                   \
  F(32, out_devid, 12, DEC)                                \
  F(64, token_uuid_ptr, 16, HEX)

#define IMS_S_vfio_device_attach_iommufd_pt(F, P) /* 16 */ \
  F(32, argsz, 0, DEC)                                     \
  F(32, flags, 4, FLAGS_attach_pt)                         \
  F(32, pt_id, 8, DEC)                                     \
  F(32, pasid, 12, DEC)

#define IMS_S_vfio_device_detach_iommufd_pt(F, P) /* 12 */ \
  F(32, argsz, 0, DEC)                                     \
  F(32, flags, 4, FLAGS_attach_pt)                         \
  F(32, pasid, 8, DEC)

// X(struct, bytes its rows cover, first byte its rows cover)
#define IMS_IOMMUFD_STRUCTS(X)                 \
  X(iommu_destroy, 8, 0)                       \
  X(iommu_ioas_alloc, 12, 0)                   \
  X(iommu_iova_range, 16, 0)                   \
  X(iommu_ioas_iova_ranges, 32, 0)             \
  X(iommu_ioas_allow_iovas, 24, 0)             \
  X(iommu_ioas_map, 40, 0)                     \
  X(iommu_ioas_map_file, 40, 0)                \
  X(iommu_ioas_copy, 40, 0)                    \
  X(iommu_ioas_unmap, 24, 0)                   \
  X(iommu_option, 24, 0)                       \
  X(iommu_vfio_ioas, 12, 0)                    \
  X(iommu_hwpt_alloc, 48, 0)                   \
  X(iommu_hwpt_vtd_s1, 24, 0)                  \
  X(iommu_hwpt_arm_smmuv3, 16, 0)              \
  X(iommu_hw_info, 40, 0)                      \
  X(iommu_hw_info_vtd, 24, 0)                  \
  X(iommu_hw_info_arm_smmuv3, 40, 0)           \
  X(iommu_hwpt_set_dirty_tracking, 16, 0)      \
  X(iommu_hwpt_get_dirty_bitmap, 48, 0)        \
  X(iommu_hwpt_invalidate, 32, 0)              \
  X(iommu_hwpt_vtd_s1_invalidate, 24, 0)       \
  X(iommu_viommu_arm_smmuv3_invalidate, 16, 0) \
  X(iommu_fault_alloc, 16, 0)                  \
  X(iommu_hwpt_pgfault, 40, 0)                 \
  X(iommu_hwpt_page_response, 8, 0)            \
  X(iommu_viommu_alloc, 40, 0)                 \
  X(iommu_vdevice_alloc, 24, 0)                \
  X(iommu_ioas_change_process, 8, 0)           \
  X(iommu_veventq_alloc, 32, 0)                \
  X(iommufd_vevent_header, 8, 0)               \
  X(iommu_vevent_arm_smmuv3, 32, 0)            \
  X(iommu_hw_queue_alloc, 40, 0)               \
  X(iommu_ioas_noiommu_get_pa, 40, 0)          \
  X(vfio_device_info, 24, 0)                   \
  X(vfio_region_info, 32, 0)                   \
  X(vfio_irq_info, 16, 0)                      \
  X(vfio_device_bind_iommufd, 24, 0)           \
  X(vfio_device_attach_iommufd_pt, 16, 0)      \
  X(vfio_device_detach_iommufd_pt, 12, 0)

// Values. V(name, value). FLAGS lists: bits.
#define IMS_V_FLAGS_ioas_map(V)      V(FIXED_IOVA, 1) V(WRITEABLE, 2) V(READABLE, 4)
#define IMS_V_ENUM_option(V)         V(RLIMIT_MODE, 0) V(HUGE_PAGES, 1)
#define IMS_V_ENUM_option_op(V)      V(SET, 0) V(GET, 1)
#define IMS_V_ENUM_vfio_ioas_op(V)   V(GET, 0) V(SET, 1) V(CLEAR, 2)
#define IMS_V_FLAGS_hwpt(V)          V(NEST_PARENT, 1) V(DIRTY_TRACKING, 2) V(FAULT_ID_VALID, 4) V(PASID, 8)
#define IMS_V_ENUM_hwpt_data(V)      V(NONE, 0) V(VTD_S1, 1) V(ARM_SMMUV3, 2) V(AMD_GUEST, 3)
#define IMS_V_FLAGS_hwpt_vtd_s1(V)   V(SRE, 1) V(EAFE, 2) V(WPE, 4)
#define IMS_V_FLAGS_hw_info(V)       V(INPUT_TYPE, 1)
#define IMS_V_ENUM_hw_info(V)        V(NONE, 0) V(INTEL_VTD, 1) V(ARM_SMMUV3, 2) V(TEGRA241_CMDQV, 3) V(AMD, 4)
#define IMS_V_FLAGS_hw_caps(V)       V(DIRTY_TRACKING, 1) V(PASID_EXEC, 2) V(PASID_PRIV, 4) V(ATS_NOT_SUPPORTED, 8)
#define IMS_V_FLAGS_hw_info_vtd(V)   V(ERRATA_772415_SPR17, 1)
#define IMS_V_FLAGS_set_dirty(V)     V(ENABLE, 1)
#define IMS_V_FLAGS_get_dirty(V)     V(NO_CLEAR, 1)
#define IMS_V_ENUM_invalidate_data(V) V(VTD_S1, 0) V(ARM_SMMUV3, 1)
#define IMS_V_FLAGS_vtd_s1_invalidate(V) V(LEAF, 1)
#define IMS_V_FLAGS_pgfault(V)       V(PASID_VALID, 1) V(LAST_PAGE, 2)
#define IMS_V_FLAGS_pgfault_perm(V)  V(READ, 1) V(WRITE, 2) V(EXEC, 4) V(PRIV, 8)
#define IMS_V_ENUM_page_response(V)  V(SUCCESS, 0) V(INVALID, 1)
#define IMS_V_ENUM_viommu(V)         V(DEFAULT, 0) V(ARM_SMMUV3, 1) V(TEGRA241_CMDQV, 2)
#define IMS_V_ENUM_veventq(V)        V(DEFAULT, 0) V(ARM_SMMUV3, 1) V(TEGRA241_CMDQV, 2)
#define IMS_V_ENUM_hw_queue(V)       V(DEFAULT, 0) V(TEGRA241_CMDQV, 1)
#define IMS_V_FLAGS_vevent(V)        V(LOST_EVENTS, 1)
#define IMS_V_FLAGS_device_info(V)   V(RESET, 1) V(PCI, 2) V(PLATFORM, 4)
#define IMS_V_FLAGS_region_info(V)   V(READ, 1) V(WRITE, 2) V(MMAP, 4) V(CAPS, 8)
#define IMS_V_FLAGS_irq_info(V)      V(EVENTFD, 1) V(MASKABLE, 2) V(AUTOMASKED, 4) V(NORESIZE, 8)
#define IMS_V_FLAGS_bind_iommufd(V)  V(TOKEN, 1)
#define IMS_V_FLAGS_attach_pt(V)     V(PASID, 1)

// X(list, form)
#define IMS_IOMMUFD_VALUE_LISTS(X)                                                                               \
  X(FLAGS_ioas_map) X(ENUM_option) X(ENUM_option_op) X(ENUM_vfio_ioas_op) X(FLAGS_hwpt) X(ENUM_hwpt_data)         \
  X(FLAGS_hwpt_vtd_s1) X(FLAGS_hw_info) X(ENUM_hw_info) X(FLAGS_hw_caps) X(FLAGS_hw_info_vtd) X(FLAGS_set_dirty)  \
  X(FLAGS_get_dirty) X(ENUM_invalidate_data) X(FLAGS_vtd_s1_invalidate) X(FLAGS_pgfault) X(FLAGS_pgfault_perm)    \
  X(ENUM_page_response) X(ENUM_viommu) X(ENUM_veventq) X(ENUM_hw_queue) X(FLAGS_vevent) X(FLAGS_device_info)      \
  X(FLAGS_region_info) X(FLAGS_irq_info) X(FLAGS_bind_iommufd) X(FLAGS_attach_pt)
// clang-format on

enum {
#define IMS_X(name, word, s, size, min, apart) IMS_##name = (word),
  IMS_IOMMUFD_COMMANDS(IMS_X) IMS_VFIO_DEVICE_COMMANDS(IMS_X)
#undef IMS_X
};

// The values as constants: IMS_IOAS_MAP_FIXED_IOVA, IMS_HWPT_NEST_PARENT ...
enum {
#define V(name, value) IMS_IOAS_MAP_##name = (value),
  IMS_V_FLAGS_ioas_map(V)
#undef V
#define V(name, value) IMS_OPTION_##name = (value),
      IMS_V_ENUM_option(V) IMS_V_ENUM_option_op(V)
#undef V
#define V(name, value) IMS_VFIO_IOAS_##name = (value),
          IMS_V_ENUM_vfio_ioas_op(V)
#undef V
#define V(name, value) IMS_HWPT_##name = (value),
              IMS_V_FLAGS_hwpt(V)
#undef V
#define V(name, value) IMS_HWPT_DATA_##name = (value),
                  IMS_V_ENUM_hwpt_data(V)
#undef V
#define V(name, value) IMS_VTD_S1_##name = (value),
                      IMS_V_FLAGS_hwpt_vtd_s1(V)
#undef V
#define V(name, value) IMS_HW_INFO_##name = (value),
                          IMS_V_ENUM_hw_info(V) IMS_V_FLAGS_hw_info(V)
#undef V
#define V(name, value) IMS_HW_CAP_##name = (value),
                              IMS_V_FLAGS_hw_caps(V)
#undef V
#define V(name, value) IMS_HW_INFO_VTD_##name = (value),
                                  IMS_V_FLAGS_hw_info_vtd(V)
#undef V
#define V(name, value) IMS_SET_DIRTY_##name = (value),
                                      IMS_V_FLAGS_set_dirty(V)
#undef V
#define V(name, value) IMS_GET_DIRTY_##name = (value),
                                          IMS_V_FLAGS_get_dirty(V)
#undef V
#define V(name, value) IMS_INVALIDATE_DATA_##name = (value),
                                              IMS_V_ENUM_invalidate_data(V)
#undef V
#define V(name, value) IMS_INVALIDATE_##name = (value),
                                                  IMS_V_FLAGS_vtd_s1_invalidate(V)
#undef V
#define V(name, value) IMS_PGFAULT_##name = (value),
                                                      IMS_V_FLAGS_pgfault(V) IMS_V_FLAGS_pgfault_perm(V)
#undef V
#define V(name, value) IMS_PAGE_RESPONSE_##name = (value),
                                                          IMS_V_ENUM_page_response(V)
#undef V
#define V(name, value) IMS_VIOMMU_##name = (value),
                                                              IMS_V_ENUM_viommu(V)
#undef V
#define V(name, value) IMS_VEVENT_##name = (value),
                                                                  IMS_V_FLAGS_vevent(V)
#undef V
#define V(name, value) IMS_DEVICE_INFO_##name = (value),
                                                                      IMS_V_FLAGS_device_info(V)
#undef V
#define V(name, value) IMS_REGION_INFO_##name = (value),
                                                                          IMS_V_FLAGS_region_info(V)
#undef V
#define V(name, value) IMS_BIND_IOMMUFD_##name = (value),
                                                                              IMS_V_FLAGS_bind_iommufd(V)
#undef V
#define V(name, value) IMS_ATTACH_PT_##name = (value),
                                                                                  IMS_V_FLAGS_attach_pt(V)
#undef V
};

// struct ims_iommu_ioas_map and so on.
#define IMS_F(bits, name, offset, form) uint##bits##_t name;
#define IMS_P(name, offset, bytes)      uint8_t name[bytes];
#define IMS_X(s, size, first)                                                                                          \
  struct ims_##s {                                                                                                     \
    IMS_S_##s(IMS_F, IMS_P)                                                                                            \
  };
IMS_IOMMUFD_STRUCTS(IMS_X)
#undef IMS_X
#undef IMS_F
#undef IMS_P

#ifdef __cplusplus
}
#endif
