// SPDX-License-Identifier: Apache-2.0
// A program that drives the kernel's self-test (IOMMU_TEST_CMD): calls with their structures filled in. Each returns 0 or
// what it made, or -errno.
#pragma once

#include "tests/uapi/iommufd_client.h"
#include "uapi/selftest.h"

namespace uapi_test {

inline void SelftestOn(ims_kernel_config &c) { c.selftest = IMS_SELFTEST_7_2; }

class SelftestClient : public Client {
public:
  explicit SelftestClient(Machine &machine) : Client(machine) {}

  template <class T> long Test(uint32_t op, T *c) {
    static_assert(sizeof *c == 72);
    c->op = op;
    return Call(IMS_IOMMU_TEST_CMD, c);
  }

  struct Device {
    uint32_t stdev, hwpt, idev;
  };
  long Mock(uint32_t pt, Device *out = nullptr, uint32_t flags = 0) {
    ims_iommu_test_mock_domain c{};
    c.id = pt;
    c.dev_flags = flags;
    long ret = Test(flags ? IMS_TEST_OP_MOCK_DOMAIN_FLAGS : IMS_TEST_OP_MOCK_DOMAIN, &c);
    if (out)
      *out = {c.out_stdev_id, c.out_hwpt_id, c.out_idev_id};
    return ret;
  }
  int64_t Replace(uint32_t stdev, uint32_t pt) {
    ims_iommu_test_replace c{};
    c.id = stdev;
    c.pt_id = pt;
    long ret = Test(IMS_TEST_OP_MOCK_DOMAIN_REPLACE, &c);
    return ret ? ret : c.pt_id;
  }
  long Pasid(uint32_t op, uint32_t stdev, uint32_t pasid, uint32_t pt = 0) {
    ims_iommu_test_pasid c{};
    c.id = stdev;
    c.pasid = pasid;
    c.pt_id = pt;
    return Test(op, &c);
  }
  long PasidIs(uint32_t stdev, uint32_t pasid, uint32_t hwpt) {
    ims_iommu_test_pasid_check c{};
    c.id = stdev;
    c.pasid = pasid;
    c.hwpt_id = hwpt;
    return Test(IMS_TEST_OP_PASID_CHECK_HWPT, &c);
  }
  long Reserve(uint32_t ioas, uint64_t start, uint64_t length) {
    ims_iommu_test_add_reserved c{};
    c.id = ioas;
    c.start = start;
    c.length = length;
    return Test(IMS_TEST_OP_ADD_RESERVED, &c);
  }
  long CheckMap(uint32_t hwpt, uint64_t iova, uint64_t length, uint64_t uptr) {
    ims_iommu_test_check_map c{};
    c.id = hwpt;
    c.iova = iova;
    c.length = length;
    c.uptr = uptr;
    return Test(IMS_TEST_OP_MD_CHECK_MAP, &c);
  }
  long CheckRefs(uint64_t uptr, uint64_t length, uint32_t refs) {
    ims_iommu_test_check_refs c{};
    c.uptr = uptr;
    c.length = length;
    c.refs = refs;
    return Test(IMS_TEST_OP_MD_CHECK_REFS, &c);
  }
  // Its descriptor.
  int64_t Access(uint32_t ioas, uint32_t flags = IMS_MOCK_ACCESS_NEEDS_PIN_PAGES) {
    ims_iommu_test_create_access c{};
    c.id = ioas;
    c.flags = flags;
    long ret = Test(IMS_TEST_OP_CREATE_ACCESS, &c);
    return ret ? ret : c.out_access_fd;
  }
  // The number of what is pinned.
  int64_t Pin(uint32_t access, uint64_t iova, uint64_t length, uint64_t uptr, uint32_t flags = 0) {
    ims_iommu_test_access_pages c{};
    c.id = access;
    c.flags = flags;
    c.iova = iova;
    c.length = length;
    c.uptr = uptr;
    long ret = Test(IMS_TEST_OP_ACCESS_PAGES, &c);
    return ret ? ret : c.out_access_pages_id;
  }
  long Unpin(uint32_t access, uint32_t id) {
    ims_iommu_test_destroy_access_pages c{};
    c.id = access;
    c.access_pages_id = id;
    return Test(IMS_TEST_OP_DESTROY_ACCESS_PAGES, &c);
  }
  long Rw(uint32_t access, uint64_t iova, uint64_t length, uint64_t uptr, uint32_t flags) {
    ims_iommu_test_access_rw c{};
    c.id = access;
    c.iova = iova;
    c.length = length;
    c.uptr = uptr;
    c.flags = flags;
    return Test(IMS_TEST_OP_ACCESS_RW, &c);
  }
  long MoveAccess(uint32_t access, uint32_t ioas) {
    ims_iommu_test_access_replace c{};
    c.id = access;
    c.ioas_id = ioas;
    return Test(IMS_TEST_OP_ACCESS_REPLACE_IOAS, &c);
  }
  long Iotlb(uint32_t hwpt, uint32_t index, uint32_t word) {
    ims_iommu_test_check_iotlb c{};
    c.id = hwpt;
    c.iotlb_id = index;
    c.iotlb = word;
    return Test(IMS_TEST_OP_MD_CHECK_IOTLB, &c);
  }
  long Cache(uint32_t idev, uint32_t index, uint32_t word) {
    ims_iommu_test_check_cache c{};
    c.id = idev;
    c.cache_id = index;
    c.cache = word;
    return Test(IMS_TEST_OP_DEV_CHECK_CACHE, &c);
  }
  long Fault(uint32_t idev, uint32_t pasid, uint32_t group = 2) {
    ims_iommu_test_trigger_iopf c{};
    c.dev_id = idev;
    c.pasid = pasid;
    c.grpid = group;
    c.perm = IMS_PGFAULT_READ | IMS_PGFAULT_WRITE;
    c.addr = 0xdead1000;
    return Test(IMS_TEST_OP_TRIGGER_IOPF, &c);
  }
  long Event(uint32_t idev) {
    ims_iommu_test_trigger_vevent c{};
    c.dev_id = idev;
    return Test(IMS_TEST_OP_TRIGGER_VEVENT, &c);
  }
  int64_t Dmabuf(uint32_t length) {
    ims_iommu_test_dmabuf_get c{};
    c.length = length;
    return Test(IMS_TEST_OP_DMABUF_GET, &c);
  }
  long Revoke(uint32_t fd, bool revoked) {
    ims_iommu_test_dmabuf_revoke c{};
    c.dmabuf_fd = fd;
    c.revoked = revoked;
    return Test(IMS_TEST_OP_DMABUF_REVOKE, &c);
  }
  // A nested table of the mock's over a parent or a vIOMMU. The id.
  int64_t Nested(uint32_t idev, uint32_t pt, uint32_t flags = 0, uint32_t fault = 0,
                 uint32_t iotlb = IMS_MOCK_IOTLB_DEFAULT) {
    ims_iommu_hwpt_selftest data{};
    data.iotlb = iotlb;
    return Hwpt(idev, pt, flags, IMS_HWPT_DATA_SELFTEST, &data, fault);
  }
  // Entries of an invalidation; how many are done in `done`.
  template <class T>
  long Invalidate(uint32_t hwpt, const std::vector<T> &entries, uint32_t type = IMS_INVALIDATE_DATA_SELFTEST,
                  uint32_t len = sizeof(T)) {
    ims_iommu_hwpt_invalidate c{};
    c.hwpt_id = hwpt;
    c.data_type = type;
    c.entry_len = len;
    c.entry_num = static_cast<uint32_t>(entries.size());
    c.data_uptr = m.arena.PutBytes(entries.data(), entries.size() * sizeof(T), Arena::kBase + 1024);
    long ret = Call(IMS_IOMMU_HWPT_INVALIDATE, &c);
    done = c.entry_num;
    return ret;
  }
  int64_t Viommu(uint32_t idev, uint32_t hwpt, uint32_t type = IMS_VIOMMU_SELFTEST) {
    ims_iommu_viommu_alloc c{};
    c.type = type;
    c.dev_id = idev;
    c.hwpt_id = hwpt;
    long ret = Call(IMS_IOMMU_VIOMMU_ALLOC, &c);
    return ret ? ret : c.out_viommu_id;
  }
  int64_t Vdevice(uint32_t viommu, uint32_t idev, uint64_t virt_id) {
    ims_iommu_vdevice_alloc c{};
    c.viommu_id = viommu;
    c.dev_id = idev;
    c.virt_id = virt_id;
    long ret = Call(IMS_IOMMU_VDEVICE_ALLOC, &c);
    return ret ? ret : c.out_vdevice_id;
  }
  int64_t HwQueue(uint32_t viommu, uint32_t index, uint64_t iova, uint64_t length = kPage,
                  uint32_t type = IMS_HW_QUEUE_SELFTEST) {
    ims_iommu_hw_queue_alloc c{};
    c.viommu_id = viommu;
    c.type = type;
    c.index = index;
    c.nesting_parent_iova = iova;
    c.length = length;
    long ret = Call(IMS_IOMMU_HW_QUEUE_ALLOC, &c);
    return ret ? ret : c.out_hw_queue_id;
  }

  uint32_t done = 0;
};

} // namespace uapi_test
