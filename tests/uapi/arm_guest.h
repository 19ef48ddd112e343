// SPDX-License-Identifier: Apache-2.0
// What a guest on an Arm machine sets up in its memory: page tables, CD tables. Put together by its own code here.
#pragma once

#include "pasid/smmu.h"
#include "pgtable/vmsa.h"
#include "tests/uapi/machine.h"

namespace uapi_test {

// A stage-1 table, 48-bit addresses, in guest memory; addresses in it are gpa.
class GuestArmTable {
public:
  explicit GuestArmTable(ims_vm *vm, ims_granule granule = IMS_GRANULE_4K, unsigned in_bits = 48)
      : mem_(ims_vm_pgt_mem(vm)), granule_(granule) {
    ims_vmsa_format(&fmt_, IMS_PGT_VMSA_S1, granule, false, false, false);
    pgt.fmt = &fmt_;
    pgt.in_bits = static_cast<uint8_t>(in_bits);
    pgt.out_bits = 48;
    pgt.levels = static_cast<uint8_t>(ims_vmsa_s1_levels(granule, in_bits));
    EXPECT_EQ(ims_pgt_create(&pgt, &mem_), IMS_ERR_OK);
  }
  void Map(uint64_t gva, uint64_t gpa, uint64_t size, unsigned perm = IMS_PERM_R | IMS_PERM_W) {
    EXPECT_EQ(ims_pgt_map(&pgt, &mem_, gva, gpa, size, perm | IMS_PERM_U | IMS_PERM_X, IMS_MAP_A | IMS_MAP_NG, 0),
              IMS_ERR_OK);
  }
  void Unmap(uint64_t gva, uint64_t size) { EXPECT_EQ(ims_pgt_unmap(&pgt, &mem_, gva, size, 0, nullptr), IMS_ERR_OK); }
  // TCR.TG0, CD.TG0.
  unsigned Tg0() const { return granule_ == IMS_GRANULE_4K ? 0 : granule_ == IMS_GRANULE_64K ? 1 : 2; }
  ims_pgt pgt{};

private:
  ims_pgt_format fmt_;
  ims_pgt_mem mem_;
  ims_granule granule_;
};

// A linear CD table of the guest's, 2^bits descriptors; or one of two levels with leaves of 4 KB (fmt 1) or 64 KB (2).
class GuestCds {
public:
  GuestCds(ims_vm *vm, unsigned bits, unsigned fmt = 0) : vm_(vm), bits_(bits), fmt_(fmt) {
    unsigned log2 = fmt ? bits - ims_cd_split(fmt) + 3 : bits + 6;
    EXPECT_EQ(ims_vm_alloc(vm, log2, &base), IMS_ERR_OK);
  }
  uint64_t At(uint32_t ssid) {
    if (!fmt_)
      return base + ssid * 64ull;
    uint64_t l1_at = base + (ssid >> ims_cd_split(fmt_)) * 8ull, l1 = 0;
    EXPECT_EQ(ims_vm_read(vm_, l1_at, &l1, 8), IMS_ERR_OK);
    if (!(l1 & 1)) {
      EXPECT_EQ(ims_vm_alloc(vm_, ims_cd_split(fmt_) + 6, &l1), IMS_ERR_OK);
      l1 |= 1;
      EXPECT_EQ(ims_vm_write(vm_, l1_at, &l1, 8), IMS_ERR_OK);
    }
    return (l1 & ~0xfffull) + (ssid & ((1u << ims_cd_split(fmt_)) - 1)) * 64ull;
  }
  void Set(uint32_t ssid, const GuestArmTable &t, uint16_t asid, bool stall = false) {
    uint64_t cd[IMS_CD_WORDS] = {0};
    ims_cd_set(cd, IMS_CD_V, 1);
    ims_cd_set(cd, IMS_CD_AA64, 1);
    ims_cd_set(cd, IMS_CD_T0SZ, 64u - t.pgt.in_bits);
    ims_cd_set(cd, IMS_CD_TG0, t.Tg0());
    ims_cd_set(cd, IMS_CD_EPD1, 1);
    ims_cd_set(cd, IMS_CD_IPS, 5);
    ims_cd_set(cd, IMS_CD_A, 1);
    ims_cd_set(cd, IMS_CD_R, 1);
    ims_cd_set(cd, IMS_CD_S, stall);
    ims_cd_set(cd, IMS_CD_ASID, asid);
    ims_cd_set_address(cd, IMS_CD_TTB0, t.pgt.root);
    ims_cd_set(cd, IMS_CD_MAIR0, 0xff);
    EXPECT_EQ(ims_vm_write(vm_, At(ssid), cd, sizeof cd), IMS_ERR_OK);
  }
  void Clear(uint32_t ssid) {
    uint64_t zero = 0;
    EXPECT_EQ(ims_vm_write(vm_, At(ssid), &zero, 8), IMS_ERR_OK);
  }
  uint64_t base = 0;
  unsigned bits() const { return bits_; }
  unsigned fmt() const { return fmt_; }

private:
  ims_vm *vm_;
  unsigned bits_, fmt_;
};

// Words of the SMMUv3 dialects.
struct SmmuWords {
  uint32_t table, invalidate, msi;
};
inline SmmuWords WordsOf(ims_dialect d) {
  return d == IMS_DIALECT_SMMUV3_V10 ? SmmuWords{0x3b7a, 0x3b7b, 0x3b7c} : SmmuWords{0x3b76, 0x3b77, 0x3b78};
}

#pragma pack(push, 1)
struct TableA {
  uint32_t argsz = 40, flags = 1;
  ims_iommu_pasid_table_config_a config{};
};
struct TableB {
  uint32_t argsz = 40, flags = 1;
  ims_iommu_pasid_table_config_b config{};
};
struct InvSmmuB { // by PASID or by domain, layout B
  uint32_t argsz = 40, flags = 0;
  ims_iommu_cache_invalidate_info_b data{};
  ims_iommu_inv_pasid_info pasid{};
};
#pragma pack(pop)

enum { kTranslate = 1, kBypass = 2, kAbort = 3 };

inline TableB MakeTable(uint8_t config, uint64_t base = 0, unsigned bits = 0, unsigned fmt = 0, unsigned dss = 0) {
  TableB t;
  t.config.argsz = 32;
  t.config.version = 1;
  t.config.base_ptr = base;
  t.config.format = 1;
  t.config.pasid_bits = static_cast<uint8_t>(bits);
  t.config.config = config;
  t.config.smmuv3_version = 1;
  t.config.s1fmt = static_cast<uint8_t>(fmt);
  t.config.s1dss = static_cast<uint8_t>(dss);
  return t;
}
inline TableA MakeTableA(uint8_t config, uint64_t base = 0, unsigned bits = 0, unsigned fmt = 0, unsigned dss = 0) {
  TableA t;
  t.config.version = 1;
  t.config.base_ptr = base;
  t.config.format = 1;
  t.config.pasid_bits = static_cast<uint8_t>(bits);
  t.config.config = config;
  t.config.smmuv3_version = 1;
  t.config.s1fmt = static_cast<uint8_t>(fmt);
  t.config.s1dss = static_cast<uint8_t>(dss);
  return t;
}
// By address, of an ASID.
inline InvB MakeInvAsid(uint16_t asid, uint64_t addr, uint64_t pages, uint64_t granule = 4096, bool leaf = false) {
  InvB i;
  i.data.argsz = 56;
  i.data.version = 1;
  i.data.cache = 1;
  i.data.granularity = 2;
  i.addr.flags = leaf ? 6 : 2;
  i.addr.archid = asid;
  i.addr.addr = addr;
  i.addr.granule_size = granule;
  i.addr.nb_granules = pages;
  return i;
}
// All of an ASID, or (granularity 0) everything.
inline InvSmmuB MakeInvWhole(uint8_t granularity, uint16_t asid = 0) {
  InvSmmuB i;
  i.data.argsz = granularity ? 32 : 16;
  i.data.version = 1;
  i.data.cache = 1;
  i.data.granularity = granularity;
  i.pasid.flags = 2;
  i.pasid.archid = asid;
  return i;
}

inline void ArmCpu(ims_kernel_config &c) { c.cpu_format = IMS_CPU_ARM_4K; }

// A stage-2 nesting container on an SMMUv3, with guest memory [0, 64 MB).
struct NestedSmmu {
  explicit NestedSmmu(ims_dialect dialect = IMS_DIALECT_SMMUV3_V13,
                      const ims_smmuv3_config &smmu = Machine::SmmuConfig(),
                      const ims_device_config &device = Machine::DeviceConfig(),
                      std::function<void(ims_kernel_config &)> tune = ArmCpu)
      : words(WordsOf(dialect)), m(dialect, tune) {
    m.AddSmmu(smmu);
    dev = m.AddDevice(device);
    v = std::make_unique<Vmm>(m);
    EXPECT_EQ(v->set_iommu, 0);
    vm = v->Guest(64 * kMB);
  }
  long SetTable(const TableB &t) { return v->Ioctl(words.table, t); }
  long Unset() { return v->Ioctl(words.table, ims_vfio_set_pasid_table{8, 2}); }
  template <class T> long Invalidate(const T &i) { return v->Ioctl(words.invalidate, i); }
  uint64_t Hpa(uint64_t gpa) {
    uint64_t hpa = 0;
    EXPECT_EQ(ims_vm_translate(vm, gpa, &hpa), IMS_ERR_OK);
    return hpa;
  }
  std::vector<unsigned> Opcodes() {
    std::vector<unsigned> out;
    for (uint64_t d : m.Descriptors())
      out.push_back(d & 0xff);
    return out;
  }
  SmmuWords words;
  Machine m;
  ims_device *dev = nullptr;
  std::unique_ptr<Vmm> v;
  ims_vm *vm = nullptr;
};

} // namespace uapi_test
