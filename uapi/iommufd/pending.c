// SPDX-License-Identifier: Apache-2.0
// Commands that are not there yet.
#include "uapi/iommufd/internal.h"

#define PENDING(s)                                                                                                     \
  long ims_cmd_##s(struct ucmd *u, struct ims_##s *c) {                                                                \
    (void)u;                                                                                                           \
    (void)c;                                                                                                           \
    return -EOPNOTSUPP;                                                                                                \
  }
PENDING(iommu_ioas_allow_iovas)
PENDING(iommu_ioas_copy)
PENDING(iommu_ioas_iova_ranges)
PENDING(iommu_option)
PENDING(iommu_vfio_ioas)
PENDING(iommu_ioas_map_file)
PENDING(iommu_ioas_change_process)
PENDING(iommu_ioas_noiommu_get_pa)

long ims_vfio_compat_ioctl(struct ims_file *f, uint32_t cmd, uint64_t arg) {
  (void)f;
  (void)cmd;
  (void)arg;
  return -ENOTTY;
}
