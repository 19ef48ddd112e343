// SPDX-License-Identifier: Apache-2.0
// The inside of the kernel's self-test of iommufd (Facts 6.2; Linux 7.x, iommufd/selftest.c).
//
//   selftest.c         IOMMU_TEST_CMD: the ops
//   selftest_mock.c    the mock driver: devices without hardware, behind struct host_ops
//   selftest_table.c   its page tables, which are lists
//   selftest_viommu.c  its vIOMMUs, HW queues and nested tables
//   access.c           in-kernel users of an address space, and the ops on them
#pragma once

#include "uapi/iommufd/iommufd_internal.h"
#include "uapi/selftest.h"

// ---- Page tables ----------------------------------------------------------------------------------------------------

// `huge`: leaves of 4 KB and 1 MB and the whole address space; else of all powers of two from 2 KB on, and the aperture.
// `split`: what is mapped as one page of 4 KB makes two leaves. -ENOMEM.
int ims_mock_table_init(struct paging *out, bool huge, bool split);
// Marks the leaf at iova as written. False: nothing is mapped there.
bool ims_mock_table_touch(struct paging *p, uint64_t iova);

// ---- Devices --------------------------------------------------------------------------------------------------------

struct mock_device {
  struct ims_device dev;
  struct ims_group group; // of its own
  uint32_t flags;         // IMS_MOCK_DEVICE_*
  uint32_t cache[IMS_MOCK_CACHES];
  bool fail_next;        // of IMS_MOCK_PASID_FAILING
  struct viommu *viommu; // of the nested table that its requests are attached to, with its number there
  uint64_t virt_id;
};

extern const struct host_ops ims_mock_host_ops;

// NULL: no memory.
struct mock_device *ims_mock_device_new(struct ims_kernel *k, uint32_t flags);
void ims_mock_device_free(struct mock_device *m);
struct mock_device *ims_mock_device(const struct ims_device *dev); // NULL: it is none

// ---- Nested tables and vIOMMUs: hooks of struct host_ops ---------------------------------------------------------------

// The cached words of a nested mock domain; NULL: it is another driver's.
uint32_t *ims_mock_iotlb(const struct hdomain *d);
int ims_mock_nested_new(struct ims_device *dev, struct hdomain *parent, uint32_t flags, const struct user_data *data,
                        struct hdomain **out);
int ims_mock_invalidate(struct hdomain *d, struct user_array *a);
bool ims_mock_has_viommu(const struct ims_device *dev, uint32_t type);
int ims_mock_viommu_init(struct viommu *v, struct ims_device *dev, const struct user_data *data);

// ---- The object that IOMMU_TEST_OP_MOCK_DOMAIN makes -----------------------------------------------------------------

struct selftest {
  struct object obj;
  struct mock_device *mock;
  struct idev *idev;
};

// ---- Ops on accesses (access.c) -------------------------------------------------------------------------------------

long ims_test_create_access(struct ucmd *u, struct ims_iommu_test_create_access *c);
long ims_test_access_replace(struct ucmd *u, struct ims_iommu_test_access_replace *c);
long ims_test_access_pages(struct ucmd *u, struct ims_iommu_test_access_pages *c);
long ims_test_destroy_access_pages(struct ucmd *u, struct ims_iommu_test_destroy_access_pages *c);
long ims_test_access_rw(struct ucmd *u, struct ims_iommu_test_access_rw *c);
