// SPDX-License-Identifier: Apache-2.0
// Every ioctl of iommufd and of VFIO devices times every way in which it can fail (Facts 3.1, 3.4 to 3.9): the rules of the
// dispatcher are made from the table of ioctls, the others stand in the table below. For each ioctl there is a call that
// succeeds; a case changes something in it.
#include "tests/uapi/iommufd_world.h"

using namespace uapi_test;

namespace {

enum Where { BOTH = 3, VTD = 1, SMMU = 2 };

struct Good {
  const char *ioctl;
  Where where;
  const char *prepare;
  const char *fields;
  const char *file = "";
};

const Good kGood[] = {
    {"IOMMU_DESTROY", BOTH, "", "id=ioas"},
    {"IOMMU_IOAS_ALLOC", BOTH, "", ""},
    {"IOMMU_IOAS_ALLOW_IOVAS", BOTH, "", "ioas_id=ioas range.start=0x100000 range.last=0x1fffff"},
    {"IOMMU_IOAS_IOVA_RANGES", BOTH, "", "ioas_id=ioas"},
    {"IOMMU_IOAS_MAP", BOTH, "", "flags=7 ioas_id=ioas user_va=memory length=0x1000 iova=0x200000"},
    {"IOMMU_IOAS_MAP_FILE", BOTH, "", "flags=7 ioas_id=ioas fd=memfd length=0x1000 iova=0x200000"},
    {"IOMMU_IOAS_COPY", BOTH, "map",
     "flags=7 dst_ioas_id=ioas2 src_ioas_id=ioas length=0x1000 dst_iova=0x200000 src_iova=0x100000"},
    {"IOMMU_IOAS_UNMAP", BOTH, "map", "ioas_id=ioas iova=0x100000 length=0x10000"},
    {"IOMMU_OPTION", BOTH, "", "option_id=1 op=1 object_id=ioas"},
    {"IOMMU_VFIO_IOAS", BOTH, "", "op=1 ioas_id=ioas"},
    {"IOMMU_HWPT_ALLOC", BOTH, "", "dev_id=dev pt_id=ioas"},
    {"IOMMU_HWPT_ALLOC/VTD_S1", VTD, "parent", "dev_id=dev pt_id=parent data.addr_width=48"},
    {"IOMMU_HWPT_ALLOC/ARM_SMMUV3", SMMU, "parent viommu", "dev_id=dev pt_id=viommu data.ste0=0xb"},
    {"IOMMU_GET_HW_INFO", BOTH, "", "dev_id=dev"},
    {"IOMMU_GET_HW_INFO/INTEL_VTD", VTD, "", "dev_id=dev"},
    {"IOMMU_GET_HW_INFO/ARM_SMMUV3", SMMU, "", "dev_id=dev"},
    {"IOMMU_HWPT_SET_DIRTY_TRACKING", BOTH, "dirty", "hwpt_id=dirty flags=1"},
    {"IOMMU_HWPT_GET_DIRTY_BITMAP", BOTH, "map dirty",
     "hwpt_id=dirty iova=0x100000 length=0x10000 page_size=0x1000 data=0x100800"},
    {"IOMMU_HWPT_INVALIDATE/VTD_S1", VTD, "parent nested", "hwpt_id=nested data.addr=0x1000 data.npages=1"},
    {"IOMMU_HWPT_INVALIDATE/ARM_SMMUV3", SMMU, "parent viommu", "hwpt_id=viommu data.cmd0=0x30"},
    {"IOMMU_FAULT_QUEUE_ALLOC", BOTH, "", ""},
    {"IOMMU_VIOMMU_ALLOC", SMMU, "parent", "type=1 dev_id=dev hwpt_id=parent"},
    {"IOMMU_VDEVICE_ALLOC", SMMU, "parent viommu", "viommu_id=viommu dev_id=dev virt_id=5"},
    {"IOMMU_IOAS_CHANGE_PROCESS", BOTH, "", ""},
    {"IOMMU_VEVENTQ_ALLOC", SMMU, "parent viommu", "viommu_id=viommu type=1 veventq_depth=16"},
    {"VFIO_DEVICE_GET_INFO", BOTH, "", ""},
    {"VFIO_DEVICE_BIND_IOMMUFD", BOTH, "", "iommufd=fd", "dev3"},
    {"VFIO_DEVICE_ATTACH_IOMMUFD_PT", BOTH, "hwpt", "pt_id=hwpt"},
    {"VFIO_DEVICE_DETACH_IOMMUFD_PT", BOTH, "hwpt attach_hwpt", ""},
};

// What an ioctl answers when the good call is changed like this. `prepare` comes after that of the good call.
struct Case {
  const char *ioctl;
  const char *what;
  const char *changes;
  int err;
  const char *prepare = "";
  Where where = BOTH;
  const char *file = "";
};

const Case kCases[] = {
    {"IOMMU_DESTROY", "no such id", "id=nobody", ENOENT},
    {"IOMMU_DESTROY", "id 0", "id=0", ENOENT},
    {"IOMMU_DESTROY", "a bound device", "id=dev", EBUSY},
    {"IOMMU_DESTROY", "an address space with a table", "", EBUSY, "hwpt"},
    {"IOMMU_DESTROY", "an attached table", "id=hwpt", EBUSY, "hwpt attach_hwpt"},
    {"IOMMU_DESTROY", "a parent", "id=parent", EBUSY, "parent nested", VTD},
    {"IOMMU_DESTROY", "the parent of a vIOMMU", "id=parent", EBUSY, "parent viommu", SMMU},
    {"IOMMU_DESTROY", "a vIOMMU with a nested table", "id=viommu", EBUSY, "parent viommu nested", SMMU},
    {"IOMMU_DESTROY", "a vIOMMU with a device", "id=viommu", EBUSY, "parent viommu vdevice", SMMU},
    {"IOMMU_DESTROY", "a vIOMMU with an event queue", "id=viommu", EBUSY, "parent viommu veventq", SMMU},
    {"IOMMU_DESTROY", "an open fault queue", "id=fault", EBUSY, "fault"},
    {"IOMMU_DESTROY", "an open event queue", "id=veventq", EBUSY, "parent viommu veventq", SMMU},
    {"IOMMU_DESTROY", "the address space of the VFIO calls: they have none then", "", 0, "compat"},

    {"IOMMU_IOAS_ALLOC", "a flag", "flags=1", EOPNOTSUPP},

    {"IOMMU_IOAS_IOVA_RANGES", "reserved", "reserved=1", EOPNOTSUPP},
    {"IOMMU_IOAS_IOVA_RANGES", "no such id", "ioas_id=nobody", ENOENT},
    {"IOMMU_IOAS_IOVA_RANGES", "a device's id", "ioas_id=dev", ENOENT},
    {"IOMMU_IOAS_IOVA_RANGES", "no room", "num_iovas=0", EMSGSIZE},
    {"IOMMU_IOAS_IOVA_RANGES", "a bad pointer", "allowed_iovas=bad", EFAULT},

    {"IOMMU_IOAS_ALLOW_IOVAS", "reserved", "reserved=1", EOPNOTSUPP},
    {"IOMMU_IOAS_ALLOW_IOVAS", "no such id", "ioas_id=nobody", ENOENT},
    {"IOMMU_IOAS_ALLOW_IOVAS", "an end before the start", "range.last=0xfffff", EINVAL},
    {"IOMMU_IOAS_ALLOW_IOVAS", "one byte", "range.last=0x100000", EINVAL},
    {"IOMMU_IOAS_ALLOW_IOVAS", "ranges that overlap", "range1.start=0x180000 range1.last=0x2fffff", EINVAL},
    {"IOMMU_IOAS_ALLOW_IOVAS", "a reserved range", "range.start=0xfee00000 range.last=0xfee0ffff", EADDRINUSE, "attach",
     VTD},
    {"IOMMU_IOAS_ALLOW_IOVAS", "a bad pointer", "allowed_iovas=bad", EFAULT},
    {"IOMMU_IOAS_ALLOW_IOVAS", "none: the list is cleared", "num_iovas=0", 0},

    {"IOMMU_IOAS_MAP", "an unknown flag", "flags=0xf", EOPNOTSUPP},
    {"IOMMU_IOAS_MAP", "reserved", "reserved=1", EOPNOTSUPP},
    {"IOMMU_IOAS_MAP", "iova 2^64-1", "iova=-1", EOVERFLOW},
    {"IOMMU_IOAS_MAP", "length 2^64-1", "length=-1", EOVERFLOW},
    {"IOMMU_IOAS_MAP", "no right", "flags=1", EINVAL},
    {"IOMMU_IOAS_MAP", "no such id", "ioas_id=nobody", ENOENT},
    {"IOMMU_IOAS_MAP", "a device's id", "ioas_id=dev", ENOENT},
    {"IOMMU_IOAS_MAP", "length 0", "length=0", EINVAL},
    {"IOMMU_IOAS_MAP", "half a page", "length=0x800", EINVAL, "attach"},
    {"IOMMU_IOAS_MAP", "half a page without a domain", "length=0x800", 0},
    {"IOMMU_IOAS_MAP", "iova within a page", "iova=0x200800", EINVAL, "attach"},
    {"IOMMU_IOAS_MAP", "a page offset of the memory", "user_va=memory+0x800", EINVAL, "attach"},
    {"IOMMU_IOAS_MAP", "iova + length too large", "iova=0xfffffffffffff000 length=0x2000", EOVERFLOW},
    {"IOMMU_IOAS_MAP", "user_va + length too large", "user_va=0xfffffffffffff000 length=0x2000", EOVERFLOW},
    {"IOMMU_IOAS_MAP", "a reserved range", "iova=0xfee00000", EINVAL, "attach", VTD},
    {"IOMMU_IOAS_MAP", "beyond the aperture", "iova=0x1000000000000000", EINVAL, "attach"},
    {"IOMMU_IOAS_MAP", "something is mapped there", "iova=0x108000", EEXIST, "map"},
    {"IOMMU_IOAS_MAP", "no memory there", "user_va=hole", EFAULT, "attach"},
    {"IOMMU_IOAS_MAP", "no memory there, and nobody who needs it", "user_va=hole", 0},
    {"IOMMU_IOAS_MAP", "memory that must not be written", "user_va=read_only", EFAULT, "attach"},
    {"IOMMU_IOAS_MAP", "read-only memory to read", "user_va=read_only flags=5", 0, "attach"},
    {"IOMMU_IOAS_MAP", "read-only under a nesting parent", "flags=5", EINVAL, "parent", VTD},
    {"IOMMU_IOAS_MAP", "half of all addresses, anywhere", "flags=6 length=0x8000000000000000 user_va=0", EOVERFLOW},
    {"IOMMU_IOAS_MAP", "no room where it is allowed", "flags=6 length=0x10000", ENOSPC, "allow_page"},
    {"IOMMU_IOAS_MAP", "more locked memory than permitted", "length=0x10000", ENOMEM, "attach no_locked_memory"},
    {"IOMMU_IOAS_MAP", "anywhere", "flags=6 iova=0", 0},

    {"IOMMU_IOAS_MAP_FILE", "an unknown flag", "flags=0xf", EOPNOTSUPP},
    {"IOMMU_IOAS_MAP_FILE", "no right", "flags=1", EINVAL},
    {"IOMMU_IOAS_MAP_FILE", "no such id", "ioas_id=nobody", ENOENT},
    {"IOMMU_IOAS_MAP_FILE", "iova 2^64-1", "iova=-1", EOVERFLOW},
    {"IOMMU_IOAS_MAP_FILE", "length 2^64-1", "length=-1", EOVERFLOW},
    {"IOMMU_IOAS_MAP_FILE", "length 0", "length=0", EINVAL},
    {"IOMMU_IOAS_MAP_FILE", "start + length too large", "start=0xfffffffffffff000 length=0x2000", EOVERFLOW},
    {"IOMMU_IOAS_MAP_FILE", "a descriptor that is not open", "fd=nobody", EBADF},
    {"IOMMU_IOAS_MAP_FILE", "not a file of memory", "fd=container", EINVAL, "attach"},
    {"IOMMU_IOAS_MAP_FILE", "beyond the end of the file", "start=0x200000", EINVAL, "attach"},
    {"IOMMU_IOAS_MAP_FILE", "beyond the end, and nobody who needs it", "start=0x200000", 0},
    {"IOMMU_IOAS_MAP_FILE", "something is mapped there", "iova=0x108000", EEXIST, "map"},

    {"IOMMU_IOAS_COPY", "an unknown flag", "flags=0xf", EOPNOTSUPP},
    {"IOMMU_IOAS_COPY", "no right", "flags=1", EINVAL},
    {"IOMMU_IOAS_COPY", "no such source", "src_ioas_id=nobody", ENOENT},
    {"IOMMU_IOAS_COPY", "no such destination", "dst_ioas_id=nobody", ENOENT},
    {"IOMMU_IOAS_COPY", "length 2^64-1", "length=-1", EOVERFLOW},
    {"IOMMU_IOAS_COPY", "source 2^64-1", "src_iova=-1", EOVERFLOW},
    {"IOMMU_IOAS_COPY", "destination 2^64-1", "dst_iova=-1", EOVERFLOW},
    {"IOMMU_IOAS_COPY", "length 0", "length=0", EINVAL},
    {"IOMMU_IOAS_COPY", "nothing mapped", "src_iova=0x500000", ENOENT},
    {"IOMMU_IOAS_COPY", "more than is mapped", "length=0x20000", ENOENT},
    {"IOMMU_IOAS_COPY", "taken", "dst_ioas_id=ioas dst_iova=0x108000", EEXIST},
    {"IOMMU_IOAS_COPY", "into the same address space", "dst_ioas_id=ioas", 0},

    {"IOMMU_IOAS_UNMAP", "no such id", "ioas_id=nobody", ENOENT},
    {"IOMMU_IOAS_UNMAP", "iova 2^64-1", "iova=-1", EOVERFLOW},
    {"IOMMU_IOAS_UNMAP", "length 2^64-1", "length=-1", EOVERFLOW},
    {"IOMMU_IOAS_UNMAP", "too far", "iova=0xfffffffffffff000 length=0x2000", EOVERFLOW},
    {"IOMMU_IOAS_UNMAP", "length 0", "length=0", EINVAL},
    {"IOMMU_IOAS_UNMAP", "a part of a mapping", "length=0x1000", ENOENT},
    {"IOMMU_IOAS_UNMAP", "nothing there", "iova=0x500000", ENOENT},
    {"IOMMU_IOAS_UNMAP", "everything", "iova=0 length=-1", 0},
    {"IOMMU_IOAS_UNMAP", "everything of nothing", "ioas_id=ioas2 iova=0 length=-1", 0},

    {"IOMMU_OPTION", "no such option", "option_id=9", EOPNOTSUPP},
    {"IOMMU_OPTION", "no such operation", "op=2", EOPNOTSUPP},
    {"IOMMU_OPTION", "reserved", "reserved=1", EOPNOTSUPP},
    {"IOMMU_OPTION", "no such id", "object_id=nobody", ENOENT},
    {"IOMMU_OPTION", "large pages: 2", "op=0 val64=2", EINVAL},
    {"IOMMU_OPTION", "large pages off, mapped in a domain", "op=0 val64=0", EINVAL, "map attach"},
    {"IOMMU_OPTION", "large pages off, half a page mapped", "op=0 val64=0", EADDRINUSE, "map_odd"},
    {"IOMMU_OPTION", "large pages off", "op=0 val64=0", 0},
    {"IOMMU_OPTION", "accounting has no object", "option_id=0", EOPNOTSUPP},
    {"IOMMU_OPTION", "accounting", "option_id=0 object_id=0", 0},
    {"IOMMU_OPTION", "accounting changed too late", "option_id=0 object_id=0 op=0 val64=1", EBUSY},

    {"IOMMU_VFIO_IOAS", "reserved", "reserved=1", EOPNOTSUPP},
    {"IOMMU_VFIO_IOAS", "no such operation", "op=3", EOPNOTSUPP},
    {"IOMMU_VFIO_IOAS", "there is none", "op=0", ENODEV},
    {"IOMMU_VFIO_IOAS", "no such id", "ioas_id=nobody", ENOENT},
    {"IOMMU_VFIO_IOAS", "a device's id", "ioas_id=dev", ENOENT},
    {"IOMMU_VFIO_IOAS", "cleared", "op=2", 0, "compat"},

    {"IOMMU_HWPT_ALLOC", "reserved", "reserved=1", EOPNOTSUPP},
    {"IOMMU_HWPT_ALLOC", "data without a type", "data_len=8 data_uptr=0x100400", EINVAL},
    {"IOMMU_HWPT_ALLOC", "a type without data", "data_type=1", EINVAL},
    {"IOMMU_HWPT_ALLOC", "no such device", "dev_id=nobody", ENOENT},
    {"IOMMU_HWPT_ALLOC", "not a device", "dev_id=ioas", ENOENT},
    {"IOMMU_HWPT_ALLOC", "no such parent", "pt_id=nobody", EINVAL},
    {"IOMMU_HWPT_ALLOC", "a device as parent", "pt_id=dev", EINVAL},
    {"IOMMU_HWPT_ALLOC", "an unknown flag", "flags=0x10", EOPNOTSUPP},
    {"IOMMU_HWPT_ALLOC", "faults of a parent", "flags=5", EOPNOTSUPP, "fault"},
    {"IOMMU_HWPT_ALLOC", "no such fault queue", "flags=4 fault_id=nobody", ENOENT},
    {"IOMMU_HWPT_ALLOC", "not a fault queue", "flags=4 fault_id=ioas", ENOENT},
    {"IOMMU_HWPT_ALLOC", "memory that is not there", "", EFAULT, "map_hole"},
    {"IOMMU_HWPT_ALLOC", "a mapping beyond the aperture", "", EADDRINUSE, "map_high"},
    {"IOMMU_HWPT_ALLOC", "a parent with dirty tracking", "flags=3", EOPNOTSUPP, "", SMMU},
    {"IOMMU_HWPT_ALLOC", "a parent for PASIDs", "flags=9", EOPNOTSUPP, "", SMMU},
    {"IOMMU_HWPT_ALLOC", "a mapping of half a page", "", EADDRINUSE, "map_odd"},

    {"IOMMU_HWPT_ALLOC/VTD_S1", "a parent's flag", "flags=1", EOPNOTSUPP},
    {"IOMMU_HWPT_ALLOC/VTD_S1", "dirty tracking", "flags=2", EOPNOTSUPP},
    {"IOMMU_HWPT_ALLOC/VTD_S1", "over a table that is no parent", "pt_id=hwpt", EINVAL, "hwpt"},
    {"IOMMU_HWPT_ALLOC/VTD_S1", "over an address space", "pt_id=ioas", EOPNOTSUPP},
    {"IOMMU_HWPT_ALLOC/VTD_S1", "over a nested table", "pt_id=nested", EINVAL, "nested"},
    {"IOMMU_HWPT_ALLOC/VTD_S1", "too little data", "data_len=16", EINVAL},
    {"IOMMU_HWPT_ALLOC/VTD_S1", "too much data", "data_len=32", EINVAL},
    {"IOMMU_HWPT_ALLOC/VTD_S1", "a bad pointer", "data_uptr=bad", EFAULT},
    {"IOMMU_HWPT_ALLOC/VTD_S1", "another unit's data", "data_type=2", EOPNOTSUPP},
    {"IOMMU_HWPT_ALLOC/VTD_S1", "a width that no attach will take", "data.addr_width=39", 0},

    {"IOMMU_HWPT_ALLOC/ARM_SMMUV3", "over the parent itself", "pt_id=parent", EOPNOTSUPP},
    {"IOMMU_HWPT_ALLOC/ARM_SMMUV3", "for PASIDs", "flags=8", EOPNOTSUPP},
    {"IOMMU_HWPT_ALLOC/ARM_SMMUV3", "a device behind another SMMU", "dev_id=dev2", EINVAL},
    {"IOMMU_HWPT_ALLOC/ARM_SMMUV3", "a bit of word 0 that is the host's", "data.ste0=0x10000000000000b", EIO},
    {"IOMMU_HWPT_ALLOC/ARM_SMMUV3", "a bit of word 1 that is the host's", "data.ste1=0x100", EIO},
    {"IOMMU_HWPT_ALLOC/ARM_SMMUV3", "Config 6", "data.ste0=0xd", EIO},
    {"IOMMU_HWPT_ALLOC/ARM_SMMUV3", "EATS 2", "data.ste1=0x20000000", EIO},
    {"IOMMU_HWPT_ALLOC/ARM_SMMUV3", "not valid: nothing else counts", "data.ste0=0xc", 0},
    {"IOMMU_HWPT_ALLOC/ARM_SMMUV3", "too little data", "data_len=8", EINVAL},
    {"IOMMU_HWPT_ALLOC/ARM_SMMUV3", "a bad pointer", "data_uptr=bad", EFAULT},

    {"IOMMU_GET_HW_INFO", "an unknown flag", "flags=2", EOPNOTSUPP},
    {"IOMMU_GET_HW_INFO", "reserved", "reserved=1", EOPNOTSUPP},
    {"IOMMU_GET_HW_INFO", "no such device", "dev_id=nobody", ENOENT},
    {"IOMMU_GET_HW_INFO", "a type that it is not", "flags=1 data_type=4", EOPNOTSUPP},
    {"IOMMU_GET_HW_INFO", "a bad pointer", "data_uptr=bad data_len=64", EFAULT},
    {"IOMMU_GET_HW_INFO/INTEL_VTD", "the other type", "flags=1 data_type=2", EOPNOTSUPP},
    {"IOMMU_GET_HW_INFO/INTEL_VTD", "by its type", "flags=1", 0},
    {"IOMMU_GET_HW_INFO/ARM_SMMUV3", "the other type", "flags=1 data_type=1", EOPNOTSUPP},
    {"IOMMU_GET_HW_INFO/ARM_SMMUV3", "by its type", "flags=1", 0},

    {"IOMMU_HWPT_SET_DIRTY_TRACKING", "an unknown flag", "flags=2", EOPNOTSUPP},
    {"IOMMU_HWPT_SET_DIRTY_TRACKING", "no such table", "hwpt_id=nobody", ENOENT},
    {"IOMMU_HWPT_SET_DIRTY_TRACKING", "an address space", "hwpt_id=ioas", ENOENT},
    {"IOMMU_HWPT_SET_DIRTY_TRACKING", "a table without", "hwpt_id=hwpt", EOPNOTSUPP, "hwpt"},

    {"IOMMU_HWPT_GET_DIRTY_BITMAP", "an unknown flag", "flags=2", EOPNOTSUPP},
    {"IOMMU_HWPT_GET_DIRTY_BITMAP", "reserved", "reserved=1", EOPNOTSUPP},
    {"IOMMU_HWPT_GET_DIRTY_BITMAP", "no such table", "hwpt_id=nobody", ENOENT},
    {"IOMMU_HWPT_GET_DIRTY_BITMAP", "a table without", "hwpt_id=hwpt", EOPNOTSUPP, "hwpt"},
    {"IOMMU_HWPT_GET_DIRTY_BITMAP", "too far", "iova=0xfffffffffffff000 length=0x2000", EOVERFLOW},
    {"IOMMU_HWPT_GET_DIRTY_BITMAP", "within a page", "iova=0x100800", EINVAL},
    {"IOMMU_HWPT_GET_DIRTY_BITMAP", "an end within a page", "length=0x800", EINVAL},
    {"IOMMU_HWPT_GET_DIRTY_BITMAP", "no page size", "page_size=0", EINVAL},
    {"IOMMU_HWPT_GET_DIRTY_BITMAP", "not a multiple of the page size", "page_size=0x20000", EINVAL},

    {"IOMMU_HWPT_INVALIDATE/VTD_S1", "reserved", "reserved=1", EOPNOTSUPP},
    {"IOMMU_HWPT_INVALIDATE/VTD_S1", "no data", "data_uptr=0", EINVAL},
    {"IOMMU_HWPT_INVALIDATE/VTD_S1", "entries of nothing", "entry_len=0", EINVAL},
    {"IOMMU_HWPT_INVALIDATE/VTD_S1", "entries of more than a page", "entry_len=0x1001", EINVAL},
    {"IOMMU_HWPT_INVALIDATE/VTD_S1", "too many", "entry_num=0x80001", EINVAL},
    {"IOMMU_HWPT_INVALIDATE/VTD_S1", "no such object", "hwpt_id=nobody", ENOENT},
    {"IOMMU_HWPT_INVALIDATE/VTD_S1", "a parent", "hwpt_id=parent", EINVAL},
    {"IOMMU_HWPT_INVALIDATE/VTD_S1", "an address space", "hwpt_id=ioas", EINVAL},
    {"IOMMU_HWPT_INVALIDATE/VTD_S1", "another unit's entries", "data_type=1", EINVAL},
    {"IOMMU_HWPT_INVALIDATE/VTD_S1", "short entries", "entry_len=16", EINVAL},
    {"IOMMU_HWPT_INVALIDATE/VTD_S1", "long entries", "entry_len=32", EINVAL},
    {"IOMMU_HWPT_INVALIDATE/VTD_S1", "an unknown flag", "data.flags=2", EOPNOTSUPP},
    {"IOMMU_HWPT_INVALIDATE/VTD_S1", "reserved of an entry", "data.reserved=1", EOPNOTSUPP},
    {"IOMMU_HWPT_INVALIDATE/VTD_S1", "within a page", "data.addr=0x800", EINVAL},
    {"IOMMU_HWPT_INVALIDATE/VTD_S1", "everything from somewhere", "data.npages=-1", EINVAL},
    {"IOMMU_HWPT_INVALIDATE/VTD_S1", "everything", "data.npages=-1 data.addr=0", 0},
    {"IOMMU_HWPT_INVALIDATE/VTD_S1", "a bad pointer", "data_uptr=bad", EFAULT},
    {"IOMMU_HWPT_INVALIDATE/VTD_S1", "nothing: a question", "entry_num=0", 0},

    {"IOMMU_HWPT_INVALIDATE/ARM_SMMUV3", "reserved", "reserved=1", EOPNOTSUPP},
    {"IOMMU_HWPT_INVALIDATE/ARM_SMMUV3", "another unit's entries", "data_type=0", EINVAL},
    {"IOMMU_HWPT_INVALIDATE/ARM_SMMUV3", "nothing: no question", "entry_num=0", EINVAL},
    {"IOMMU_HWPT_INVALIDATE/ARM_SMMUV3", "a nested table, not the vIOMMU", "hwpt_id=nested", EOPNOTSUPP, "nested"},
    {"IOMMU_HWPT_INVALIDATE/ARM_SMMUV3", "a paging table", "hwpt_id=parent", EINVAL},
    {"IOMMU_HWPT_INVALIDATE/ARM_SMMUV3", "CMD_SYNC", "data.cmd0=0x46", EIO},
    {"IOMMU_HWPT_INVALIDATE/ARM_SMMUV3", "CFGI_STE", "data.cmd0=0x03", EIO},
    {"IOMMU_HWPT_INVALIDATE/ARM_SMMUV3", "a StreamID that no vDEVICE has", "data.cmd0=0x7700000005", EIO},
    {"IOMMU_HWPT_INVALIDATE/ARM_SMMUV3", "a bad pointer", "data_uptr=bad", EFAULT},

    {"IOMMU_FAULT_QUEUE_ALLOC", "a flag", "flags=1", EOPNOTSUPP},

    {"IOMMU_VIOMMU_ALLOC", "a flag", "flags=1", EOPNOTSUPP},
    {"IOMMU_VIOMMU_ALLOC", "no type", "type=0", EOPNOTSUPP},
    {"IOMMU_VIOMMU_ALLOC", "another type", "type=2", EOPNOTSUPP},
    {"IOMMU_VIOMMU_ALLOC", "no such device", "dev_id=nobody", ENOENT},
    {"IOMMU_VIOMMU_ALLOC", "no such table", "hwpt_id=nobody", ENOENT},
    {"IOMMU_VIOMMU_ALLOC", "a table that is no parent", "hwpt_id=hwpt", EINVAL, "hwpt"},
    {"IOMMU_VIOMMU_ALLOC", "a device behind another SMMU", "dev_id=dev2", EINVAL},

    {"IOMMU_VDEVICE_ALLOC", "no such vIOMMU", "viommu_id=nobody", ENOENT},
    {"IOMMU_VDEVICE_ALLOC", "no such device", "dev_id=nobody", ENOENT},
    {"IOMMU_VDEVICE_ALLOC", "the device has one", "virt_id=6", EEXIST, "vdevice"},
    {"IOMMU_VDEVICE_ALLOC", "the id is taken", "dev_id=plain", EEXIST, "vdevice"},
    {"IOMMU_VDEVICE_ALLOC", "a device behind another SMMU", "dev_id=dev2", EINVAL},

    {"IOMMU_VEVENTQ_ALLOC", "a flag", "flags=1", EOPNOTSUPP},
    {"IOMMU_VEVENTQ_ALLOC", "reserved", "reserved=1", EOPNOTSUPP},
    {"IOMMU_VEVENTQ_ALLOC", "no type", "type=0", EOPNOTSUPP},
    {"IOMMU_VEVENTQ_ALLOC", "no depth", "veventq_depth=0", EINVAL},
    {"IOMMU_VEVENTQ_ALLOC", "too deep", "veventq_depth=0x80001", EINVAL},
    {"IOMMU_VEVENTQ_ALLOC", "no such vIOMMU", "viommu_id=nobody", ENOENT},
    {"IOMMU_VEVENTQ_ALLOC", "a second one", "", EEXIST, "veventq"},

    {"IOMMU_IOAS_CHANGE_PROCESS", "reserved", "reserved=1", EOPNOTSUPP},
    {"IOMMU_IOAS_CHANGE_PROCESS", "memory of the process is mapped", "", EINVAL, "map"},

    {"VFIO_DEVICE_GET_INFO", "too short", "argsz=8", EINVAL},
    {"VFIO_DEVICE_GET_INFO", "before it is bound", "", EINVAL, "", BOTH, "dev3"},

    {"VFIO_DEVICE_BIND_IOMMUFD", "too short", "argsz=12", EINVAL},
    {"VFIO_DEVICE_BIND_IOMMUFD", "no descriptor", "iommufd=-1", EINVAL},
    {"VFIO_DEVICE_BIND_IOMMUFD", "an unknown flag", "flags=2", EINVAL},
    {"VFIO_DEVICE_BIND_IOMMUFD", "a token that it does not have", "flags=1 token_uuid_ptr=0x100800", EINVAL},
    {"VFIO_DEVICE_BIND_IOMMUFD", "a token that is not there", "flags=1 token_uuid_ptr=bad", EFAULT},
    {"VFIO_DEVICE_BIND_IOMMUFD", "a descriptor that is not open", "iommufd=nobody", EBADF},
    {"VFIO_DEVICE_BIND_IOMMUFD", "a descriptor of something else", "iommufd=container", EBADFD},
    {"VFIO_DEVICE_BIND_IOMMUFD", "twice", "", EINVAL, "", BOTH, "dev"},

    {"VFIO_DEVICE_ATTACH_IOMMUFD_PT", "too short", "argsz=8", EINVAL},
    {"VFIO_DEVICE_ATTACH_IOMMUFD_PT", "an unknown flag", "flags=2", EINVAL},
    {"VFIO_DEVICE_ATTACH_IOMMUFD_PT", "no room for the PASID", "flags=1 argsz=12", EINVAL},
    {"VFIO_DEVICE_ATTACH_IOMMUFD_PT", "no such table", "pt_id=nobody", ENOENT},
    {"VFIO_DEVICE_ATTACH_IOMMUFD_PT", "a device", "pt_id=dev", EINVAL},
    {"VFIO_DEVICE_ATTACH_IOMMUFD_PT", "PASID 0", "flags=1 pasid=0 pt_id=hwpt_pasid", EINVAL, "hwpt_pasid"},
    {"VFIO_DEVICE_ATTACH_IOMMUFD_PT", "a PASID too large", "flags=1 pasid=0x100000 pt_id=hwpt_pasid", EINVAL,
     "hwpt_pasid"},
    {"VFIO_DEVICE_ATTACH_IOMMUFD_PT", "a table that is not for PASIDs", "flags=1 pasid=5", EINVAL},
    {"VFIO_DEVICE_ATTACH_IOMMUFD_PT", "an address space to a PASID", "flags=1 pasid=5 pt_id=ioas", EINVAL},
    {"VFIO_DEVICE_ATTACH_IOMMUFD_PT", "a PASID beside a table that is not for PASIDs",
     "flags=1 pasid=5 pt_id=hwpt_pasid", EINVAL, "attach_hwpt hwpt_pasid"},
    {"VFIO_DEVICE_ATTACH_IOMMUFD_PT", "a table that is not for PASIDs beside a PASID", "", EINVAL,
     "hwpt_pasid attach_pasid_table attach_pasid"},
    {"VFIO_DEVICE_ATTACH_IOMMUFD_PT", "a PASID", "flags=1 pasid=5 pt_id=hwpt_pasid", 0,
     "hwpt_pasid attach_pasid_table"},
    {"VFIO_DEVICE_ATTACH_IOMMUFD_PT", "before it is bound", "", EINVAL, "", BOTH, "dev3"},

    {"VFIO_DEVICE_DETACH_IOMMUFD_PT", "too short", "argsz=4", EINVAL},
    {"VFIO_DEVICE_DETACH_IOMMUFD_PT", "an unknown flag", "flags=2", EINVAL},
    {"VFIO_DEVICE_DETACH_IOMMUFD_PT", "no room for the PASID", "flags=1 argsz=8", EINVAL},
    {"VFIO_DEVICE_DETACH_IOMMUFD_PT", "a PASID that nothing is attached to", "flags=1 pasid=9", 0},
};

// Cases whose ioctl has no good call here: no driver of the machine takes them.
const Case kAlone[] = {
    {"IOMMU_HW_QUEUE_ALLOC", "a flag", "viommu_id=viommu type=1 length=0x1000 flags=1", EOPNOTSUPP, "parent viommu",
     SMMU},
    {"IOMMU_HW_QUEUE_ALLOC", "no type", "viommu_id=viommu length=0x1000", EOPNOTSUPP, "parent viommu", SMMU},
    {"IOMMU_HW_QUEUE_ALLOC", "no length", "viommu_id=viommu type=1", EINVAL, "parent viommu", SMMU},
    {"IOMMU_HW_QUEUE_ALLOC", "too far", "viommu_id=viommu type=1 length=2 nesting_parent_iova=-1", EOVERFLOW,
     "parent viommu", SMMU},
    {"IOMMU_HW_QUEUE_ALLOC", "no such vIOMMU", "viommu_id=nobody type=1 length=0x1000", ENOENT, "", BOTH},
    {"IOMMU_HW_QUEUE_ALLOC", "a vIOMMU without queues", "viommu_id=viommu type=1 length=0x1000", EOPNOTSUPP,
     "parent viommu", SMMU},
    {"IOMMU_VIOMMU_ALLOC", "on VT-d", "type=1 dev_id=dev hwpt_id=parent", EOPNOTSUPP, "parent", VTD},
    {"IOMMU_HWPT_ALLOC/ARM_SMMUV3", "on VT-d", "dev_id=dev pt_id=parent data.ste0=0xb", EOPNOTSUPP, "parent", VTD},
    {"IOMMU_HWPT_ALLOC/VTD_S1", "on SMMUv3", "dev_id=dev pt_id=parent data.addr_width=48", EOPNOTSUPP, "parent", SMMU},
    {"IOMMU_IOAS_NOIOMMU_GET_PA", "without the right to", "ioas_id=ioas iova=0x100000 length=0x1000", EPERM,
     "map no_rights"},
    {"IOMMU_IOAS_NOIOMMU_GET_PA", "a flag", "ioas_id=ioas iova=0x100000 length=0x1000 flags=1", EOPNOTSUPP, "map"},
    {"IOMMU_IOAS_NOIOMMU_GET_PA", "length 0", "ioas_id=ioas iova=0x100000", EINVAL, "map"},
    {"IOMMU_IOAS_NOIOMMU_GET_PA", "iova 2^64-1", "ioas_id=ioas iova=-1 length=1", EOVERFLOW, "map"},
    {"IOMMU_IOAS_NOIOMMU_GET_PA", "no such id", "ioas_id=nobody iova=0x100000 length=1", ENOENT, "map"},
    {"IOMMU_IOAS_NOIOMMU_GET_PA", "nothing mapped", "ioas_id=ioas iova=0x500000 length=1", ENOENT, "map"},
    {"IOMMU_IOAS_NOIOMMU_GET_PA", "no device without an IOMMU", "ioas_id=ioas iova=0x100000 length=1", EOPNOTSUPP,
     "map"},
    {"IOMMU_OPTION", "accounting changed without the right to", "option_id=0 op=0 val64=1", EPERM, "no_rights"},
    {"VFIO_DEVICE_ATTACH_IOMMUFD_PT", "a nested table of the SMMU to a PASID", "flags=1 pasid=5 pt_id=nested", EINVAL,
     "parent viommu vdevice nested", SMMU},
    {"VFIO_DEVICE_ATTACH_IOMMUFD_PT", "a guest's CD table without a vDEVICE", "pt_id=nested", ENOENT,
     "parent viommu nested", SMMU},
    {"VFIO_DEVICE_ATTACH_IOMMUFD_PT", "a PASID of a platform device", "flags=1 pasid=5 pt_id=hwpt_pasid", EOPNOTSUPP,
     "hwpt_pasid", BOTH, "plain"},
    {"VFIO_DEVICE_ATTACH_IOMMUFD_PT", "a mapping in the interrupt range", "pt_id=ioas", EADDRINUSE, "map_msi", VTD},
};

std::vector<Arch> ArchsOf(Where where) {
  std::vector<Arch> out;
  if (where & VTD)
    out.push_back(Arch::VTD);
  if (where & SMMU)
    out.push_back(Arch::SMMUV3);
  return out;
}

const char *NameOf(Arch a) { return a == Arch::VTD ? "VT-d" : "SMMUv3"; }

TEST(IommufdMatrix, EveryGoodCallSucceeds) {
  for (const Good &g : kGood)
    for (Arch a : ArchsOf(g.where)) {
      World w(a);
      w.Prepare(g.prepare);
      EXPECT_EQ(w.Call(g.ioctl, g.fields, g.file), 0) << g.ioctl << " on " << NameOf(a);
    }
}

TEST(IommufdMatrix, EveryErrorOfTheFacts) {
  for (const Case &c : kCases) {
    bool found = false;
    for (const Good &g : kGood) {
      if (std::string(g.ioctl) != c.ioctl)
        continue;
      found = true;
      for (Arch a : ArchsOf(static_cast<Where>(g.where & c.where))) {
        World w(a);
        w.Prepare(g.prepare);
        w.Prepare(c.prepare);
        EXPECT_EQ(w.Call(c.ioctl, std::string(g.fields) + " " + c.changes, *c.file ? c.file : g.file), -c.err)
            << c.ioctl << " on " << NameOf(a) << ": " << c.what << " (" << c.changes << ")";
      }
    }
    EXPECT_TRUE(found) << c.ioctl << " has no good call";
  }
  for (const Case &c : kAlone)
    for (Arch a : ArchsOf(c.where)) {
      World w(a);
      w.Prepare(c.prepare);
      EXPECT_EQ(w.Call(c.ioctl, c.changes, c.file), -c.err) << c.ioctl << " on " << NameOf(a) << ": " << c.what;
    }
}

// ---- The dispatcher's rules, for every command ----------------------------------------------------------------------

struct Rule {
  const char *name;
  uint32_t word, size, min;
};
const Rule kCommands[] = {
#define IMS_X(name, word, s, size, min, apart) {#name, word, size, min},
    IMS_IOMMUFD_COMMANDS(IMS_X)
#undef IMS_X
};

const Good *GoodOf(const std::string &name) {
  for (const Good &g : kGood)
    if (name == g.ioctl)
      return &g;
  return nullptr;
}

class Bytes {
public:
  Bytes(World &w, const Rule &r) : w_(w) {
    const Good *g = GoodOf(r.name);
    const ims_uapi_ioctl *row = nullptr;
    for (unsigned i = 0; ims_uapi_row(i); i++)
      if (!std::strcmp(r.name, ims_uapi_row(i)->name) && !*ims_uapi_row(i)->variant)
        row = ims_uapi_row(i);
    call_ = BuildCall(*row, g ? g->fields : "", w.s);
    for (const CallBytes::Blob &b : call_.apart)
      w.m.arena.PutBytes(b.bytes.data(), b.bytes.size(), b.at);
  }
  // The structure said to be `size` bytes long, `more` behind it, at the arena's start or so that only `reach` bytes of it can be
  // reached.
  long Make(uint32_t word, uint32_t size, std::vector<uint8_t> more = {}, size_t reach = ~size_t{0}) {
    std::vector<uint8_t> bytes = call_.argument;
    std::memcpy(bytes.data(), &size, 4);
    bytes.insert(bytes.end(), more.begin(), more.end());
    uint64_t at = reach == ~size_t{0} ? Arena::kBase : w_.m.arena.Tail(reach);
    w_.m.arena.PutBytes(bytes.data(), std::min(bytes.size(), reach), at);
    return ims_ioctl(w_.files["iommufd"], word, at);
  }

private:
  World &w_;
  CallBytes call_;
};

Arch ArchFor(const Rule &r) {
  const Good *g = GoodOf(r.name);
  return g && !(g->where & VTD) ? Arch::SMMUV3 : Arch::VTD;
}

TEST(IommufdMatrix, EveryCommandObeysTheDispatcher) {
  for (const Rule &r : kCommands) {
    SCOPED_TRACE(r.name);
    const Good *g = GoodOf(r.name);
    auto fresh = [&](auto &&what) {
      World w(ArchFor(r));
      if (g)
        w.Prepare(g->prepare);
      Bytes b(w, r);
      what(w, b);
    };
    fresh([&](World &w, Bytes &b) {
      EXPECT_EQ(ims_ioctl(w.files["iommufd"], r.word, 0x10), -EFAULT) << "nothing there";
      EXPECT_EQ(b.Make(r.word, r.size, {}, 3), -EFAULT) << "a part of the size";
      // The size is read before the word is looked at.
      EXPECT_EQ(ims_ioctl(w.files["iommufd"], r.word | 0x40000000, 0x10), -EFAULT);
      EXPECT_EQ(b.Make(r.word | 0x40000000, r.size), -ENOTTY) << "a direction";
      EXPECT_EQ(b.Make(r.word | r.size << 16, r.size), -ENOTTY) << "a size in the word";
      EXPECT_EQ(b.Make(r.word, 0), -EINVAL) << "no size";
      EXPECT_EQ(b.Make(r.word, 4), -EINVAL) << "the size alone";
      EXPECT_EQ(b.Make(r.word, r.min - 1), -EINVAL) << "one byte less than the least";
      EXPECT_EQ(b.Make(r.word, r.size, {}, r.size - 1), -EFAULT) << "the last byte";
      std::vector<uint8_t> tail(8);
      tail[7] = 1;
      EXPECT_EQ(b.Make(r.word, r.size + 8, tail), -E2BIG) << "something behind what is known";
      EXPECT_EQ(b.Make(r.word, r.size + 8, {}, r.size), -EFAULT) << "nothing behind what is known";
    });
    if (g) {
      fresh([&](World &, Bytes &b) { EXPECT_EQ(b.Make(r.word, r.size + 16, std::vector<uint8_t>(16)), 0) << "zeros"; });
      fresh([&](World &, Bytes &b) { EXPECT_EQ(b.Make(r.word, r.min), 0) << "the least"; });
    }
  }
}

TEST(IommufdMatrix, NumbersThatAreNoCommand) {
  World w(Arch::VTD);
  for (uint32_t word : {0x3b00u, 0x3b63u, 0x3b96u, 0x3b9fu, 0x3ba0u, 0x3bffu})
    EXPECT_EQ(ims_ioctl(w.files["iommufd"], word, Arena::kBase), -ENOTTY) << std::hex << word;
  for (uint32_t word : {0x3b00u, 0x3b64u, 0x3b70u, 0x3b81u, 0x3bffu})
    EXPECT_EQ(ims_ioctl(w.files["dev"], word, Arena::kBase), -ENOTTY) << std::hex << word;
}

// An ioctl that cannot tell its result has done nothing: as many objects as before, and memory as before.
TEST(IommufdMatrix, WhatCannotBeToldIsUndone) {
  static const char *const kMaking[] = {"IOMMU_IOAS_ALLOC",        "IOMMU_HWPT_ALLOC",   "IOMMU_HWPT_ALLOC/VTD_S1",
                                        "IOMMU_FAULT_QUEUE_ALLOC", "IOMMU_VIOMMU_ALLOC", "IOMMU_VDEVICE_ALLOC",
                                        "IOMMU_VEVENTQ_ALLOC"};
  for (const char *ioctl : kMaking) {
    const Good &g = *GoodOf(ioctl);
    for (Arch a : ArchsOf(g.where)) {
      World w(a);
      w.Prepare(g.prepare);
      uint64_t before = ims_kernel_memory_in_use(w.m.kernel);
      w.m.arena.read_only = true;
      EXPECT_EQ(w.Call(g.ioctl, g.fields), -EFAULT) << ioctl << " on " << NameOf(a);
      w.m.arena.read_only = false;
      EXPECT_EQ(ims_kernel_memory_in_use(w.m.kernel), before) << ioctl << " on " << NameOf(a);
      // The id is free again: the next object gets it.
      uint32_t first = w.c->Ioas();
      EXPECT_EQ(w.c->Destroy(first), 0);
      EXPECT_EQ(w.c->Ioas(), first);
      char why[256] = "";
      EXPECT_TRUE(ims_iommufd_check(w.files["iommufd"], why, sizeof why)) << why;
    }
  }
}

} // namespace
