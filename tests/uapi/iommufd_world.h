// SPDX-License-Identifier: Apache-2.0
// A machine in which every ioctl of iommufd and of VFIO devices can be made to work, for tables of cases: two units, bound
// devices, an address space; and steps that add more, by name.
#pragma once

#include "tests/uapi/call_table.h"
#include "tests/uapi/iommufd_client.h"

namespace uapi_test {

enum class Arch { VTD, SMMUV3 };

class World {
public:
  explicit World(Arch arch)
      : m(IMS_DIALECT_V7,
          [arch](ims_kernel_config &config) {
            if (arch == Arch::SMMUV3)
              config.cpu_format = IMS_CPU_ARM_4K;
          }),
        arch_(arch) {
    for (int i = 0; i < 2; i++) {
      if (arch == Arch::VTD) {
        ims_vtd_config v = Machine::UnitConfig();
        v.ssads = true;
        m.AddUnit(v);
      } else {
        ims_smmuv3_config v = Machine::SmmuConfig();
        v.httu = 2;
        m.AddSmmu(v);
      }
    }
    AddDevice("dev", 0x0300, 7, 0, true);
    AddDevice("dev2", 0x0400, 8, 1, true);    // behind the other unit
    AddDevice("dev3", 0x0500, 9, 0, true);    // stays unbound
    AddDevice("plain", 0x0600, 10, 0, false); // a platform device: no PASID, ATS, PRI
    c = std::make_unique<Client>(m);
    for (const char *name : {"dev", "dev2", "plain"})
      s[name] = static_cast<uint64_t>(c->Bind(files[name] = c->OpenDevice(devices[name])));
    files["dev3"] = c->OpenDevice(devices["dev3"]);
    files["iommufd"] = c->iommu;
    s["ioas"] = c->Ioas();
    s["ioas2"] = c->Ioas();
    s["memory"] = c->Memory(1 * kMB);
    uint64_t read_only = 0;
    EXPECT_EQ(ims_mmap(c->process, 0, 16 * kPage, IMS_PROT_READ, IMS_MMAP_POPULATE, &read_only), 0);
    s["read_only"] = read_only;
    s["hole"] = 0x5000000000;
    s["bad"] = 0x10;
    s["nobody"] = 999; // an id that nothing has
    s["fd"] = static_cast<uint64_t>(ims_file_fd(c->iommu));
    ims_file *container = nullptr, *memfd = nullptr;
    s["memfd"] = static_cast<uint64_t>(ims_memfd_create(c->process, 1 * kMB, 0, &memfd));
    EXPECT_GE(ims_open(c->process, "/dev/vfio/vfio", &container), 3);
    s["container"] = static_cast<uint64_t>(ims_file_fd(container));
  }

  // Makes the call on the file that its kind says, or `file`.
  long Call(const std::string &ioctl, const std::string &text, const std::string &file = "") {
    size_t slash = ioctl.find('/');
    const ims_uapi_ioctl *row = ims_uapi_by_name(IMS_DIALECT_V7, IMS_IOMMU_H_AUTO, ioctl.substr(0, slash).c_str(),
                                                 slash == ioctl.npos ? "" : ioctl.c_str() + slash + 1);
    for (unsigned i = 0; slash == ioctl.npos && ims_uapi_row(i); i++) // the shape without a variant
      if (ioctl == ims_uapi_row(i)->name && !*ims_uapi_row(i)->variant)
        row = ims_uapi_row(i);
    if (!row) {
      ADD_FAILURE() << "no such ioctl: " << ioctl;
      return 0;
    }
    std::string on = !file.empty() ? file : row->file == IMS_FILE_DEVICE ? "dev" : "iommufd";
    return MakeCall(m, files.at(on), row->word, BuildCall(*row, text, s));
  }
  uint32_t Out(unsigned offset) { return m.arena.Get<uint32_t>(Arena::kBase + offset); }

  // A step that a case needs before it, or several, by name.
  void Prepare(const std::string &steps) {
    std::istringstream in(steps);
    for (std::string step; in >> step;)
      Step(step);
  }

  Machine m;
  std::unique_ptr<Client> c;
  Symbols s;
  std::map<std::string, ims_file *> files;
  std::map<std::string, ims_device *> devices;

private:
  void AddDevice(const char *name, uint16_t source, uint32_t group, uint16_t unit, bool able) {
    ims_device_config d = Machine::DeviceConfig(source, group, unit);
    if (!able) {
      d.pasid_bits = 0;
      d.ats = d.pri = false;
      d.not_pci = true;
    }
    devices[name] = m.AddDevice(d);
  }
  void Must(const std::string &ioctl, const std::string &text, const std::string &file = "") {
    long ret = Call(ioctl, text, file);
    EXPECT_EQ(ret, 0) << "preparing: " << ioctl << " " << text;
  }
  void Made(const char *name, unsigned offset) { s[name] = Out(offset); }
  void Step(const std::string &step) {
    enum { OUT_HWPT = 16, OUT_FAULT = 8, OUT_VIOMMU = 20, OUT_VDEVICE = 12, OUT_VEVENTQ = 20 };
    if (step == "map") {
      Must("IOMMU_IOAS_MAP", "flags=7 ioas_id=ioas user_va=memory length=0x10000 iova=0x100000");
    } else if (step == "map_read_only") {
      Must("IOMMU_IOAS_MAP", "flags=5 ioas_id=ioas user_va=memory length=0x10000 iova=0x100000");
    } else if (step == "map_hole") {
      Must("IOMMU_IOAS_MAP", "flags=7 ioas_id=ioas user_va=hole length=0x10000 iova=0x100000");
    } else if (step == "map_high") {
      Must("IOMMU_IOAS_MAP", "flags=7 ioas_id=ioas user_va=memory length=0x1000 iova=0x1000000000000000");
    } else if (step == "map_msi") {
      Must("IOMMU_IOAS_MAP", "flags=7 ioas_id=ioas user_va=memory length=0x1000 iova=0xfee00000");
    } else if (step == "map_odd") {
      Must("IOMMU_IOAS_MAP", "flags=7 ioas_id=ioas user_va=memory+0x800 length=0x800 iova=0x100800");
    } else if (step == "allow_page") {
      Must("IOMMU_IOAS_ALLOW_IOVAS", "ioas_id=ioas range.start=0x100000 range.last=0x100fff");
    } else if (step == "hwpt") {
      Must("IOMMU_HWPT_ALLOC", "dev_id=dev pt_id=ioas");
      Made("hwpt", OUT_HWPT);
    } else if (step == "hwpt_pasid") {
      Must("IOMMU_HWPT_ALLOC", "flags=8 dev_id=dev pt_id=ioas");
      Made("hwpt_pasid", OUT_HWPT);
    } else if (step == "parent") {
      Must("IOMMU_HWPT_ALLOC", "flags=1 dev_id=dev pt_id=ioas");
      Made("parent", OUT_HWPT);
    } else if (step == "dirty") {
      Must("IOMMU_HWPT_ALLOC", "flags=2 dev_id=dev pt_id=ioas");
      Made("dirty", OUT_HWPT);
    } else if (step == "nested") {
      if (arch_ == Arch::VTD)
        Must("IOMMU_HWPT_ALLOC/VTD_S1", "dev_id=dev pt_id=parent data.addr_width=48");
      else
        Must("IOMMU_HWPT_ALLOC/ARM_SMMUV3", "dev_id=dev pt_id=viommu data.ste0=0xb");
      Made("nested", OUT_HWPT);
    } else if (step == "attach") {
      Must("VFIO_DEVICE_ATTACH_IOMMUFD_PT", "pt_id=ioas");
    } else if (step == "attach_hwpt") {
      Must("VFIO_DEVICE_ATTACH_IOMMUFD_PT", "pt_id=hwpt");
    } else if (step == "attach_pasid_table") {
      Must("VFIO_DEVICE_ATTACH_IOMMUFD_PT", "pt_id=hwpt_pasid");
    } else if (step == "attach_pasid") {
      Must("VFIO_DEVICE_ATTACH_IOMMUFD_PT", "flags=1 pt_id=hwpt_pasid pasid=5");
    } else if (step == "attach_nested") {
      Must("VFIO_DEVICE_ATTACH_IOMMUFD_PT", "pt_id=nested");
    } else if (step == "fault") {
      Must("IOMMU_FAULT_QUEUE_ALLOC", "");
      Made("fault", OUT_FAULT);
    } else if (step == "viommu") {
      Must("IOMMU_VIOMMU_ALLOC", "type=1 dev_id=dev hwpt_id=parent");
      Made("viommu", OUT_VIOMMU);
    } else if (step == "vdevice") {
      Must("IOMMU_VDEVICE_ALLOC", "viommu_id=viommu dev_id=dev virt_id=5");
      Made("vdevice", OUT_VDEVICE);
    } else if (step == "veventq") {
      Must("IOMMU_VEVENTQ_ALLOC", "viommu_id=viommu type=1 veventq_depth=16");
      Made("veventq", OUT_VEVENTQ);
    } else if (step == "compat") {
      Must("IOMMU_VFIO_IOAS", "op=1 ioas_id=ioas");
    } else if (step == "no_rights") {
      ims_process_set_caps(c->process, 0);
    } else if (step == "no_locked_memory") {
      ims_process_set_caps(c->process, 0);
      ims_process_set_memlock(c->process, 4096);
    } else if (step == "open_group") { // of the unbound device
      ims_file *f = nullptr;
      EXPECT_EQ(ims_close(files["dev3"]), 0);
      EXPECT_GE(ims_open(c->process, "/dev/vfio/9", &f), 3);
    } else {
      ADD_FAILURE() << "no such step: " << step;
    }
  }

  const Arch arch_;
};

} // namespace uapi_test
