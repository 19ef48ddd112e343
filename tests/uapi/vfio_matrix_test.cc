// SPDX-License-Identifier: Apache-2.0
// Every ioctl of the containers of 2020 times every way in which it can fail, in each posting of the series (Facts 1.1, 1.2,
// 1.2b, 1.4, 1.5). For each ioctl there is a call that succeeds; a case changes something in it.
#include "tests/uapi/call_table.h"

using namespace uapi_test;

namespace {

constexpr unsigned Bit(ims_dialect d) { return 1u << d; }
constexpr unsigned V1 = Bit(IMS_DIALECT_V1), V2_7 = 0x7e, VSVA = V1 | V2_7;
constexpr unsigned V3_7 = 0x7c, LAYOUT_A = V1 | Bit(IMS_DIALECT_V2), LAYOUT_B = V3_7;
constexpr unsigned SMMU10 = Bit(IMS_DIALECT_SMMUV3_V10), SMMU13 = Bit(IMS_DIALECT_SMMUV3_V13), SMMU = SMMU10 | SMMU13;
constexpr unsigned ALL = VSVA | SMMU;

// A VMM with a nesting container and one device; VT-d for the vSVA series, SMMUv3 for the other one.
class LegacyWorld {
public:
  explicit LegacyWorld(ims_dialect dialect)
      : m(dialect,
          [dialect](ims_kernel_config &c) {
            if (Bit(dialect) & SMMU)
              c.cpu_format = IMS_CPU_ARM_4K;
            c.dma_entry_limit = 3;
            c.pasid_quota = 4;
          }),
        dialect_(dialect) {
    if (Bit(dialect) & SMMU)
      m.AddSmmu();
    else
      m.AddUnit();
    m.AddDevice();
    m.AddDevice(Machine::DeviceConfig(0x0400, 8));
    v = std::make_unique<Vmm>(m);
    uint64_t va = 0, read_only = 0;
    EXPECT_EQ(ims_mmap(v->process, 0, kMB, IMS_PROT_READ | IMS_PROT_WRITE, IMS_MMAP_POPULATE, &va), 0);
    EXPECT_EQ(ims_mmap(v->process, 0, kMB, IMS_PROT_READ, IMS_MMAP_POPULATE, &read_only), 0);
    EXPECT_GE(ims_open(v->process, "/dev/vfio/8", &other_group), 3);
    s["memory"] = va;
    s["read_only"] = read_only;
    s["hole"] = 0x5000000000;
    s["bad"] = 0x10;
    s["container"] = static_cast<uint64_t>(ims_file_fd(v->container));
    s["group"] = static_cast<uint64_t>(ims_file_fd(other_group));
  }

  const ims_uapi_ioctl *Row(const std::string &ioctl) const {
    size_t slash = ioctl.find('/');
    return ims_uapi_by_name(dialect_, IMS_IOMMU_H_AUTO, ioctl.substr(0, slash).c_str(),
                            slash == ioctl.npos ? "" : ioctl.c_str() + slash + 1);
  }
  long Call(const std::string &ioctl, const std::string &text) {
    const ims_uapi_ioctl *row = Row(ioctl);
    if (!row) {
      ADD_FAILURE() << "no such ioctl in " << ims_dialect_name(dialect_) << ": " << ioctl;
      return 0;
    }
    ims_file *f = row->file == IMS_FILE_GROUP ? v->group[0] : v->container;
    return MakeCall(m, f, row->word, BuildCall(*row, text, s));
  }
  void Prepare(const std::string &steps) {
    std::istringstream in(steps);
    for (std::string step; in >> step;)
      Step(step);
  }

  Machine m;
  std::unique_ptr<Vmm> v;
  ims_file *other_group = nullptr;
  Symbols s;

private:
  void Must(const std::string &ioctl, const std::string &text) {
    EXPECT_GE(Call(ioctl, text), 0) << "preparing: " << ioctl << " " << text;
  }
  void Step(const std::string &step) {
    if (step == "map") {
      Must("VFIO_IOMMU_MAP_DMA", "flags=3 vaddr=memory iova=0x100000 size=0x10000");
    } else if (step == "map_three") {
      for (const char *iova : {"0x100000", "0x200000", "0x300000"})
        Must("VFIO_IOMMU_MAP_DMA", std::string("flags=3 vaddr=memory size=0x10000 iova=") + iova);
    } else if (step == "pasid") { // number 1
      Must("VFIO_IOMMU_PASID_REQUEST", "flags=1 min=1 max=1");
    } else if (step == "all_pasids") {
      for (int i = 0; i < 4; i++)
        Must("VFIO_IOMMU_PASID_REQUEST", "flags=1 min=1 max=100");
    } else if (step == "bind") {
      Must(Bit(dialect_) & V1 ? "VFIO_IOMMU_BIND/BIND_GUEST_PGTBL" : "VFIO_IOMMU_NESTING_OP/BIND_PGTBL",
           "data.version=1 data.format=1 data.addr_width=48 data.hpasid=1");
    } else if (step == "table") {
      Must("VFIO_IOMMU_SET_PASID_TABLE/SET",
           "config.version=1 config.format=1 config.config=1 config.smmuv3_version=1 config.s1dss=2");
    } else if (step == "leave") { // no device any more
      EXPECT_EQ(ims_ioctl(v->group[0], IMS_VFIO_GROUP_UNSET_CONTAINER, 0), 0);
    } else {
      ADD_FAILURE() << "no such step: " << step;
    }
  }
  const ims_dialect dialect_;
};

struct Good {
  const char *ioctl;
  unsigned dialects;
  const char *prepare, *fields;
};

#define BIND_FIELDS "data.version=1 data.format=1 data.addr_width=48 data.hpasid=1 data.gpgd=0x3000"
#define TABLE_FIELDS                                                                                                   \
  "config.version=1 config.format=1 config.config=1 config.smmuv3_version=1 config.s1dss=2 config.base_ptr=0x3000"

const Good kGood[] = {
    {"VFIO_GROUP_GET_STATUS", ALL, "", ""},
    {"VFIO_IOMMU_GET_INFO", ALL & ~SMMU, "", ""},
    {"VFIO_IOMMU_MAP_DMA", ALL, "", "flags=3 vaddr=memory iova=0x400000 size=0x1000"},
    {"VFIO_IOMMU_UNMAP_DMA", ALL, "map", "iova=0x100000 size=0x10000"},
    {"VFIO_IOMMU_PASID_REQUEST", VSVA, "", "flags=1 min=1 max=100"},
    {"VFIO_IOMMU_BIND/BIND_GUEST_PGTBL", V1, "pasid", BIND_FIELDS},
    {"VFIO_IOMMU_BIND/UNBIND_GUEST_PGTBL", V1, "pasid bind", BIND_FIELDS},
    {"VFIO_IOMMU_CACHE_INVALIDATE/PASID", V1, "pasid bind",
     "data.version=1 data.cache=1 pasid_info.flags=1 pasid_info.pasid=1"},
    {"VFIO_IOMMU_CACHE_INVALIDATE/ADDR", V1, "pasid bind",
     "data.version=1 data.cache=1 addr_info.flags=1 addr_info.pasid=1 addr_info.granule_size=0x1000 "
     "addr_info.nb_granules=1"},
    {"VFIO_IOMMU_NESTING_OP/BIND_PGTBL", V2_7, "pasid", BIND_FIELDS},
    {"VFIO_IOMMU_NESTING_OP/UNBIND_PGTBL", V2_7, "pasid bind", BIND_FIELDS},
    {"VFIO_IOMMU_NESTING_OP/CACHE_INVLD.PASID", V2_7, "pasid bind",
     "data.version=1 data.cache=1 pasid_info.flags=1 pasid_info.pasid=1"},
    {"VFIO_IOMMU_SET_PASID_TABLE/SET", SMMU, "", TABLE_FIELDS},
    {"VFIO_IOMMU_SET_PASID_TABLE/UNSET", SMMU, "table", ""},
    {"VFIO_IOMMU_CACHE_INVALIDATE/PASID", SMMU, "table",
     "data.version=1 data.cache=1 pasid_info.flags=2 pasid_info.archid=5"},
    {"VFIO_IOMMU_CACHE_INVALIDATE/ADDR", SMMU, "table",
     "data.version=1 data.cache=1 addr_info.flags=2 addr_info.archid=5 addr_info.granule_size=0x1000 "
     "addr_info.nb_granules=1"},
    {"VFIO_IOMMU_SET_MSI_BINDING/BIND", SMMU, "", "iova=0x7000 gpa=0x9000000 size=0x1000"},
    {"VFIO_IOMMU_SET_MSI_BINDING/UNBIND", SMMU, "", "iova=0x7000"},
};

struct Case {
  const char *ioctl, *what, *changes;
  int err;
  unsigned dialects = ALL;
  const char *prepare = "";
};

const Case kCases[] = {
    {"VFIO_GROUP_GET_STATUS", "too short", "argsz=4", EINVAL},

    {"VFIO_IOMMU_GET_INFO", "too short", "argsz=8", EINVAL},
    {"VFIO_IOMMU_GET_INFO", "the least", "argsz=16", 0},

    {"VFIO_IOMMU_MAP_DMA", "too short", "argsz=24", EINVAL},
    {"VFIO_IOMMU_MAP_DMA", "an unknown flag", "flags=7", EINVAL},
    {"VFIO_IOMMU_MAP_DMA", "no right", "flags=0", EINVAL},
    {"VFIO_IOMMU_MAP_DMA", "size 0", "size=0", EINVAL},
    {"VFIO_IOMMU_MAP_DMA", "half a page", "size=0x800", EINVAL},
    {"VFIO_IOMMU_MAP_DMA", "iova within a page", "iova=0x400800", EINVAL},
    {"VFIO_IOMMU_MAP_DMA", "vaddr within a page", "vaddr=memory+0x800", EINVAL},
    {"VFIO_IOMMU_MAP_DMA", "beyond all addresses", "iova=0xfffffffffffff000 size=0x2000", EINVAL},
    {"VFIO_IOMMU_MAP_DMA", "memory beyond all addresses", "vaddr=0xfffffffffffff000 size=0x2000", EINVAL},
    {"VFIO_IOMMU_MAP_DMA", "the interrupt range", "iova=0xfee00000", EINVAL, VSVA},
    {"VFIO_IOMMU_MAP_DMA", "the doorbell window", "iova=0x8000000", EINVAL, SMMU},
    {"VFIO_IOMMU_MAP_DMA", "beyond the second stage", "iova=0x1000000000000", EINVAL},
    {"VFIO_IOMMU_MAP_DMA", "taken", "iova=0x108000", EEXIST, ALL, "map"},
    {"VFIO_IOMMU_MAP_DMA", "one more than permitted", "", ENOSPC, ALL, "map_three"},
    {"VFIO_IOMMU_MAP_DMA", "no memory there", "vaddr=hole", EFAULT},
    {"VFIO_IOMMU_MAP_DMA", "memory that must not be written", "vaddr=read_only", EFAULT},
    {"VFIO_IOMMU_MAP_DMA", "without a device", "", EINVAL, ALL, "leave"},

    {"VFIO_IOMMU_UNMAP_DMA", "too short", "argsz=16", EINVAL},
    {"VFIO_IOMMU_UNMAP_DMA", "an unknown flag", "flags=4", EINVAL},
    {"VFIO_IOMMU_UNMAP_DMA", "dirty pages, which nobody logs", "flags=1", EINVAL},
    {"VFIO_IOMMU_UNMAP_DMA", "size 0", "size=0", EINVAL},
    {"VFIO_IOMMU_UNMAP_DMA", "half a page", "size=0x800", EINVAL},
    {"VFIO_IOMMU_UNMAP_DMA", "iova within a page", "iova=0x100800", EINVAL},
    {"VFIO_IOMMU_UNMAP_DMA", "beyond all addresses", "iova=0xfffffffffffff000 size=0x2000", EINVAL},
    {"VFIO_IOMMU_UNMAP_DMA", "the front of a mapping", "size=0x1000", EINVAL},
    {"VFIO_IOMMU_UNMAP_DMA", "the end of a mapping", "iova=0x108000 size=0x8000", EINVAL},
    {"VFIO_IOMMU_UNMAP_DMA", "nothing there", "iova=0x500000", 0},

    {"VFIO_IOMMU_PASID_REQUEST", "neither", "flags=0", EINVAL},
    {"VFIO_IOMMU_PASID_REQUEST", "both", "flags=3", EINVAL},
    {"VFIO_IOMMU_PASID_REQUEST", "an unknown flag", "flags=4", EINVAL},
    {"VFIO_IOMMU_PASID_REQUEST", "too short", "argsz=4", EINVAL},
    {"VFIO_IOMMU_PASID_REQUEST", "too short for the range", "argsz=12", EINVAL, V2_7},
    {"VFIO_IOMMU_PASID_REQUEST", "an end before the start", "min=9 max=1", EINVAL, V2_7},
    {"VFIO_IOMMU_PASID_REQUEST", "beyond 2^31", "max=0x80000001", EINVAL, V2_7},
    {"VFIO_IOMMU_PASID_REQUEST", "taken: every failure is this", "min=1 max=1", EFAULT, V1, "pasid"},
    {"VFIO_IOMMU_PASID_REQUEST", "taken", "min=1 max=1", ENOSPC, V2_7, "pasid"},
    {"VFIO_IOMMU_PASID_REQUEST", "more than the quota", "", EFAULT, V1, "all_pasids"},
    {"VFIO_IOMMU_PASID_REQUEST", "more than the quota", "", ENOSPC, V2_7, "all_pasids"},
    {"VFIO_IOMMU_PASID_REQUEST", "freed without having been allocated", "flags=2 min=77", ENOENT, V1},
    {"VFIO_IOMMU_PASID_REQUEST", "freed without having been allocated", "flags=2 min=77 max=99", 0, V2_7},

#define BIND_CASES(ioctl, dialects)                                                                                    \
  {ioctl, "no version", "data.version=0", EINVAL, dialects},                                                           \
      {ioctl, "a later version", "data.version=2", EINVAL, dialects},                                                  \
      {ioctl, "no format", "data.format=0", EINVAL, dialects},                                                         \
      {ioctl, "a later format", "data.format=3", EINVAL, dialects},                                                    \
      {ioctl, "an unknown flag", "data.flags=2", EINVAL, dialects},                                                    \
      {ioctl, "padding", "data.padding=1", EINVAL, dialects},                                                          \
      {ioctl, "an unknown VT-d flag", "data.vtd_flags=0x40", EINVAL, dialects},                                        \
      {ioctl, "PASID 0", "data.hpasid=0", EINVAL, dialects},                                                           \
      {ioctl, "a PASID of 21 bits", "data.hpasid=0x100000", EINVAL, dialects},                                         \
      {ioctl, "a PASID that nobody allocated", "data.hpasid=77", ENOENT, dialects},                                    \
      {ioctl, "bound already", "", EBUSY, dialects, "bind"},                                                           \
      {ioctl, "a width of 39", "data.addr_width=39", EINVAL, dialects},                                                \
      {ioctl, "a table beyond the second stage", "data.gpgd=0x1000000000000", EINVAL, dialects},                       \
      {ioctl, "a memory type: PCD", "data.vtd_flags=4", EINVAL, dialects}, {                                           \
    ioctl, "a memory type: EMTE", "data.vtd_flags=16", EINVAL, dialects                                                \
  }
    BIND_CASES("VFIO_IOMMU_BIND/BIND_GUEST_PGTBL", V1),
    BIND_CASES("VFIO_IOMMU_NESTING_OP/BIND_PGTBL", V2_7),
#undef BIND_CASES
    {"VFIO_IOMMU_BIND/BIND_GUEST_PGTBL", "both", "flags=3", EINVAL, V1},
    {"VFIO_IOMMU_BIND/BIND_GUEST_PGTBL", "neither", "flags=0", EINVAL, V1},
    {"VFIO_IOMMU_BIND/BIND_GUEST_PGTBL", "too short", "argsz=4", EINVAL, V1},
    {"VFIO_IOMMU_BIND/UNBIND_GUEST_PGTBL", "a PASID that nobody allocated", "data.hpasid=77", ENOENT, V1},
    {"VFIO_IOMMU_NESTING_OP/BIND_PGTBL", "no such operation", "flags=3", EINVAL, V2_7},
    {"VFIO_IOMMU_NESTING_OP/BIND_PGTBL", "a flag above the operation", "flags=0x10000", EINVAL, V2_7},
    {"VFIO_IOMMU_NESTING_OP/BIND_PGTBL", "too short", "argsz=4", EINVAL, V2_7},
    {"VFIO_IOMMU_NESTING_OP/BIND_PGTBL", "data too short", "data.argsz=55", EINVAL, LAYOUT_B},
    {"VFIO_IOMMU_NESTING_OP/BIND_PGTBL", "data without the VT-d part", "data.argsz=56", EINVAL, LAYOUT_B},
    // Unbinding and invalidating do not tell what went wrong.
    {"VFIO_IOMMU_NESTING_OP/UNBIND_PGTBL", "a PASID that nobody allocated", "data.hpasid=77", 0, V2_7},
    {"VFIO_IOMMU_NESTING_OP/CACHE_INVLD.PASID", "an unknown cache", "data.cache=8", 0, V2_7},

    {"VFIO_IOMMU_CACHE_INVALIDATE/PASID", "flags", "flags=1", EINVAL, V1 | SMMU},
    {"VFIO_IOMMU_CACHE_INVALIDATE/PASID", "too short", "argsz=4", EINVAL, V1 | SMMU},
    {"VFIO_IOMMU_CACHE_INVALIDATE/PASID", "no version", "data.version=0", EINVAL, V1 | SMMU},
    {"VFIO_IOMMU_CACHE_INVALIDATE/PASID", "an unknown cache", "data.cache=8", EINVAL, V1 | SMMU},
    {"VFIO_IOMMU_CACHE_INVALIDATE/PASID", "an unknown granularity", "data.granularity=3", EINVAL, V1 | SMMU},
    {"VFIO_IOMMU_CACHE_INVALIDATE/PASID", "padding", "data.padding=1", EINVAL, V1 | SMMU},
    {"VFIO_IOMMU_CACHE_INVALIDATE/PASID", "an unknown flag", "pasid_info.flags=8", EINVAL, V1 | SMMU},
    {"VFIO_IOMMU_CACHE_INVALIDATE/ADDR", "an unknown flag", "addr_info.flags=8", EINVAL, V1 | SMMU},
    {"VFIO_IOMMU_CACHE_INVALIDATE/ADDR", "the PASID cache by address", "data.cache=4", EINVAL, V1},
    {"VFIO_IOMMU_CACHE_INVALIDATE/PASID", "the device's cache of a domain", "data.cache=2 data.granularity=0", EINVAL,
     V1},
    {"VFIO_IOMMU_CACHE_INVALIDATE/PASID", "the IOTLB of a domain: nothing is done", "data.granularity=0", 0, V1},
    {"VFIO_IOMMU_CACHE_INVALIDATE/PASID", "the PASID cache: nothing is done", "data.cache=4", 0, V1},
    {"VFIO_IOMMU_CACHE_INVALIDATE/PASID", "the PASID cache", "data.cache=4", ENOENT, SMMU},
    {"VFIO_IOMMU_CACHE_INVALIDATE/PASID", "the device's cache", "data.cache=2", ENOENT, SMMU},
    {"VFIO_IOMMU_CACHE_INVALIDATE/PASID", "no cache", "data.cache=0", EINVAL, SMMU},
    {"VFIO_IOMMU_CACHE_INVALIDATE/PASID", "by PASID", "pasid_info.flags=1", ENOENT, SMMU},
    {"VFIO_IOMMU_CACHE_INVALIDATE/PASID", "without an ASID", "pasid_info.flags=0", EINVAL, SMMU},
    {"VFIO_IOMMU_CACHE_INVALIDATE/ADDR", "a granule that is no power of two", "addr_info.granule_size=0x1800", EINVAL,
     SMMU},
    {"VFIO_IOMMU_CACHE_INVALIDATE/ADDR", "without an ASID: everything", "addr_info.flags=0", 0, SMMU},

    {"VFIO_IOMMU_SET_PASID_TABLE/SET", "neither", "flags=0", EINVAL, SMMU},
    {"VFIO_IOMMU_SET_PASID_TABLE/SET", "both", "flags=3", EINVAL, SMMU},
    {"VFIO_IOMMU_SET_PASID_TABLE/SET", "too short", "argsz=4", EINVAL, SMMU},
    {"VFIO_IOMMU_SET_PASID_TABLE/SET", "no version", "config.version=0", EINVAL, SMMU},
    {"VFIO_IOMMU_SET_PASID_TABLE/SET", "no format", "config.format=0", EINVAL, SMMU},
    {"VFIO_IOMMU_SET_PASID_TABLE/SET", "no configuration", "config.config=0", EINVAL, SMMU},
    {"VFIO_IOMMU_SET_PASID_TABLE/SET", "an unknown configuration", "config.config=4", EINVAL, SMMU},
    {"VFIO_IOMMU_SET_PASID_TABLE/SET", "padding", "config.padding=1", EINVAL, SMMU},
    {"VFIO_IOMMU_SET_PASID_TABLE/SET", "data too short", "config.argsz=20", EINVAL, SMMU13},
    {"VFIO_IOMMU_SET_PASID_TABLE/SET", "from one table to another", "", EINVAL, SMMU, "table"},
    {"VFIO_IOMMU_SET_PASID_TABLE/SET", "from a table to bypass", "config.config=2", 0, SMMU, "table"},

    {"VFIO_IOMMU_SET_MSI_BINDING/BIND", "neither", "flags=0", EINVAL, SMMU},
    {"VFIO_IOMMU_SET_MSI_BINDING/BIND", "both", "flags=3", EINVAL, SMMU},
    {"VFIO_IOMMU_SET_MSI_BINDING/BIND", "too short", "argsz=24", EINVAL, SMMU},
    {"VFIO_IOMMU_SET_MSI_BINDING/BIND", "more than a page", "size=0x2000", EINVAL, SMMU},
};

TEST(VfioMatrix, EveryGoodCallSucceeds) {
  for (const Good &g : kGood)
    for (unsigned d = 0; d < IMS_DIALECT_COUNT; d++) {
      if (!(g.dialects >> d & 1))
        continue;
      LegacyWorld w(static_cast<ims_dialect>(d));
      w.Prepare(g.prepare);
      EXPECT_GE(w.Call(g.ioctl, g.fields), 0) << g.ioctl << " in " << ims_dialect_name(static_cast<ims_dialect>(d));
    }
}

TEST(VfioMatrix, EveryErrorOfTheFacts) {
  for (const Case &c : kCases) {
    unsigned ran = 0;
    for (const Good &g : kGood)
      for (unsigned d = 0; d < IMS_DIALECT_COUNT; d++) {
        if (std::string(g.ioctl) != c.ioctl || !(g.dialects & c.dialects & 1u << d))
          continue;
        ran++;
        LegacyWorld w(static_cast<ims_dialect>(d));
        w.Prepare(g.prepare);
        w.Prepare(c.prepare);
        EXPECT_EQ(w.Call(c.ioctl, std::string(g.fields) + " " + c.changes), -c.err)
            << c.ioctl << " in " << ims_dialect_name(static_cast<ims_dialect>(d)) << ": " << c.what << " (" << c.changes
            << ")";
      }
    EXPECT_GT(ran, 0u) << c.ioctl << ": " << c.what;
  }
}

// Every structure, in every dialect: not there at all, and there but for its last byte.
TEST(VfioMatrix, BadPointers) {
  for (const Good &g : kGood)
    for (unsigned d = 0; d < IMS_DIALECT_COUNT; d++) {
      if (!(g.dialects >> d & 1))
        continue;
      LegacyWorld w(static_cast<ims_dialect>(d));
      w.Prepare(g.prepare);
      const ims_uapi_ioctl *row = w.Row(g.ioctl);
      ims_file *f = row->file == IMS_FILE_GROUP ? w.v->group[0] : w.v->container;
      EXPECT_EQ(ims_ioctl(f, row->word, 0x10), -EFAULT) << g.ioctl;
      CallBytes call = BuildCall(*row, g.fields, w.s);
      // GET_INFO must have 16 bytes; the padding at its end is never touched.
      size_t most = std::strcmp(g.ioctl, "VFIO_IOMMU_GET_INFO") ? call.argument.size() - 1 : 15;
      uint64_t at = w.m.arena.Tail(most);
      w.m.arena.PutBytes(call.argument.data(), most, at);
      long ret = ims_ioctl(f, row->word, at);
      const bool silent = std::strstr(g.ioctl, "UNBIND_PGTBL") || std::strstr(g.ioctl, "CACHE_INVLD"); // like free()
      EXPECT_TRUE(ret == -EFAULT || (silent && ret == 0)) << g.ioctl << " gave " << ret;
    }
}

} // namespace
