// SPDX-License-Identifier: Apache-2.0
// A program that speaks iommufd: an open /dev/iommu, and calls with their structures filled in.
#pragma once

#include "tests/uapi/machine.h"

namespace uapi_test {

class Client {
public:
  explicit Client(Machine &machine) : m(machine), process(machine.AddProcess()) {
    EXPECT_GE(ims_open(process, "/dev/iommu", &iommu), 3);
  }

  // The structure goes out with its size, and what came back stands in it afterwards.
  template <class T> long Call(ims_file *f, uint32_t word, T *arg) {
    long ret = ims_ioctl(f, word, m.arena.Put(*arg));
    *arg = m.arena.Get<T>();
    return ret;
  }
  template <class T> long Call(uint32_t word, T *arg) {
    arg->size = sizeof *arg;
    return Call(iommu, word, arg);
  }

  uint32_t Ioas() {
    ims_iommu_ioas_alloc a{};
    EXPECT_EQ(Call(IMS_IOMMU_IOAS_ALLOC, &a), 0);
    return a.out_ioas_id;
  }
  long Destroy(uint32_t id) {
    ims_iommu_destroy d{};
    d.id = id;
    return Call(IMS_IOMMU_DESTROY, &d);
  }
  long Map(uint32_t ioas, uint64_t iova, uint64_t va, uint64_t length,
           uint32_t flags = IMS_IOAS_MAP_FIXED_IOVA | IMS_IOAS_MAP_READABLE | IMS_IOAS_MAP_WRITEABLE) {
    ims_iommu_ioas_map c{};
    c.flags = flags;
    c.ioas_id = ioas;
    c.user_va = va;
    c.length = length;
    c.iova = iova;
    long ret = Call(IMS_IOMMU_IOAS_MAP, &c);
    mapped_at = c.iova;
    return ret;
  }
  long Unmap(uint32_t ioas, uint64_t iova, uint64_t length) {
    ims_iommu_ioas_unmap c{};
    c.ioas_id = ioas;
    c.iova = iova;
    c.length = length;
    long ret = Call(IMS_IOMMU_IOAS_UNMAP, &c);
    unmapped = c.length;
    return ret;
  }
  // flags, and a structure of the type; out: the id, or -errno.
  template <class T>
  int64_t Hwpt(uint32_t dev, uint32_t pt, uint32_t flags, uint32_t type, const T *data, uint32_t fault = 0) {
    ims_iommu_hwpt_alloc c{};
    c.flags = flags;
    c.dev_id = dev;
    c.pt_id = pt;
    c.fault_id = fault;
    c.data_type = type;
    if (data) {
      c.data_len = sizeof *data;
      c.data_uptr = m.arena.Put(*data, Arena::kBase + 1024);
    }
    long ret = Call(IMS_IOMMU_HWPT_ALLOC, &c);
    return ret ? ret : c.out_hwpt_id;
  }
  int64_t Hwpt(uint32_t dev, uint32_t pt, uint32_t flags = 0) { return Hwpt<int>(dev, pt, flags, 0, nullptr); }

  ims_file *OpenDevice(const ims_device *d) {
    ims_file *f = nullptr;
    EXPECT_GE(ims_open(process, ("/dev/vfio/devices/vfio" + std::to_string(ims_device_cdev(d))).c_str(), &f), 3);
    return f;
  }
  // The device's id, or -errno.
  int64_t Bind(ims_file *cdev) {
    ims_vfio_device_bind_iommufd b{};
    b.argsz = sizeof b;
    b.iommufd = static_cast<uint32_t>(ims_file_fd(iommu));
    long ret = Call(cdev, IMS_VFIO_DEVICE_BIND_IOMMUFD, &b);
    return ret ? ret : b.out_devid;
  }
  // pasid < 0: the device's requests without. The table's id, or -errno.
  int64_t Attach(ims_file *cdev, uint32_t pt, int64_t pasid = -1) {
    ims_vfio_device_attach_iommufd_pt a{};
    a.argsz = sizeof a;
    a.flags = pasid < 0 ? 0u : unsigned(IMS_ATTACH_PT_PASID);
    a.pt_id = pt;
    a.pasid = pasid < 0 ? 0 : static_cast<uint32_t>(pasid);
    long ret = Call(cdev, IMS_VFIO_DEVICE_ATTACH_IOMMUFD_PT, &a);
    return ret ? ret : a.pt_id;
  }
  long Detach(ims_file *cdev, int64_t pasid = -1) {
    ims_vfio_device_detach_iommufd_pt a{};
    a.argsz = sizeof a;
    a.flags = pasid < 0 ? 0u : unsigned(IMS_ATTACH_PT_PASID);
    a.pasid = pasid < 0 ? 0 : static_cast<uint32_t>(pasid);
    return Call(cdev, IMS_VFIO_DEVICE_DETACH_IOMMUFD_PT, &a);
  }

  // User memory. The arena answers for the arguments alone; pages come from the simulated address space.
  uint64_t Memory(uint64_t size, unsigned flags = IMS_MMAP_POPULATE) {
    uint64_t va = 0;
    EXPECT_EQ(ims_mmap(process, 0, size, IMS_PROT_READ | IMS_PROT_WRITE, flags, &va), 0);
    return va;
  }
  // Guest memory [0, size), mapped one to one in an address space.
  ims_vm *Guest(uint32_t ioas, uint64_t size) {
    uint64_t va = Memory(size, IMS_MMAP_POPULATE | IMS_MMAP_2M);
    ims_vm *vm = nullptr;
    EXPECT_EQ(ims_vm_new(process, &vm), IMS_ERR_OK);
    EXPECT_EQ(ims_vm_add_slot(vm, 0, va, size), IMS_ERR_OK);
    EXPECT_EQ(ims_vm_set_pool(vm, size / 2, size / 2), IMS_ERR_OK);
    EXPECT_EQ(Map(ioas, 0, va, size), 0);
    return vm;
  }
  uint64_t Hpa(uint64_t va) {
    uint64_t hpa = 0;
    EXPECT_EQ(ims_process_translate(process, va, &hpa), IMS_ERR_OK);
    return hpa;
  }

  Machine &m;
  ims_process *process;
  ims_file *iommu = nullptr;
  uint64_t mapped_at = 0, unmapped = 0;
};

} // namespace uapi_test
