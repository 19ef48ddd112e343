// SPDX-License-Identifier: Apache-2.0
#include "bench/nested_machine.h"
#include "pasid/vtd.h"
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace bench {
namespace {

constexpr uint64_t ram = 4ull << 30;
constexpr uint16_t source = 0x0018; // 00:03.0
constexpr uint32_t pasid = 1;
constexpr uint16_t did = 1;
constexpr uint64_t first_iova = 0x7f0000000000;

void check(int err, const char *what) {
  if (err == IMS_ERR_OK)
    return;
  std::fprintf(stderr, "benchmark machine: %s: %s\n", what, ims_strerror(err));
  std::exit(1);
}

} // namespace

NestedMachine::NestedMachine(bool caches, unsigned pages) {
  ims_mem_init(&mem_);
  check(ims_mem_add_ram(&mem_, 0, ram), "memory");
  check(ims_page_pool_init(&pool_, &mem_, 0x100000, ram - 0x100000), "pool");
  host_ = ims_page_pool_pgt_mem(&pool_);
  ims_x86_fs_format(&fs_format_, 52, true, false);
  ims_vtd_ss_format(&ss_format_, 52, true, true, true, false);
  fs_.fmt = &fs_format_;
  fs_.levels = 4;
  fs_.in_bits = 48;
  ss_.fmt = &ss_format_;
  ss_.levels = 4;
  ss_.in_bits = 48;
  check(ims_pgt_create(&ss_, &host_), "second stage");
  ims_pgt_mem guest{this, load, store, alloc, release, nullptr};
  check(ims_pgt_create(&fs_, &guest), "first stage");
  for (unsigned i = 0; i < pages; i++) {
    uint64_t iova = first_iova + 4096ull * i;
    check(ims_pgt_map(&fs_, &guest, iova, guest_page(), 4096, IMS_PERM_ALL, IMS_MAP_A | IMS_MAP_D, 1), "guest page");
    iovas_.push_back(iova);
  }
  std::mt19937_64 random(1);
  std::shuffle(iovas_.begin(), iovas_.end(), random);

  ims_vtd_config config;
  ims_vtd_config_default(&config);
  if (!caches)
    config.iotlb_entries = config.nested_entries = config.s1_psc_entries = config.s2_psc_entries = 0;
  check(ims_vtd_new(&unit_, &config, &mem_, nullptr), "unit");

  uint64_t root = host_page(), contexts = host_page(), directory = host_page(), table = host_page();
  uint64_t entry[IMS_VTD_PE_WORDS] = {};
  ims_vtd_pe_set(entry, IMS_VTD_PE_PGTT, 3);
  ims_vtd_pe_set(entry, IMS_VTD_PE_AW, 2);
  ims_vtd_pe_set(entry, IMS_VTD_PE_SSPTPTR, ss_.root >> 12);
  ims_vtd_pe_set(entry, IMS_VTD_PE_DID, did);
  ims_vtd_pe_set(entry, IMS_VTD_PE_PWSNP, 1);
  ims_vtd_pe_set(entry, IMS_VTD_PE_FSPTPTR, fs_.root >> 12);
  ims_vtd_pe_set(entry, IMS_VTD_PE_P, 1);
  ims_mem_write(&mem_, table + ims_vtd_pasid_table_offset(pasid), entry, sizeof entry);
  ims_mem_store64(&mem_, directory, table | 1);
  ims_mem_store64(&mem_, contexts + (source & 127) * 32, directory | 1 << 3 | 1); // PASIDE, P
  ims_mem_store64(&mem_, root, contexts | 1);

  queue_ = host_page();
  status_ = host_page();
  ims_iommu_write(unit_, IMS_VTD_OFF_RTADDR, 8, root | IMS_VTD_PUT(RTADDR_TTM, 1));
  ims_iommu_write(unit_, IMS_VTD_OFF_GCMD, 4, IMS_VTD_BITS(GCMD_SRTP));
  ims_iommu_write(unit_, IMS_VTD_OFF_IQA, 8, queue_ | IMS_VTD_PUT(IQA_DW, 1));
  ims_iommu_write(unit_, IMS_VTD_OFF_GCMD, 4, IMS_VTD_BITS(GCMD_QIE));
  ims_iommu_write(unit_, IMS_VTD_OFF_GCMD, 4, IMS_VTD_BITS(GCMD_QIE) | IMS_VTD_BITS(GCMD_TE));
}

NestedMachine::~NestedMachine() {
  ims_iommu_free(unit_);
  ims_page_pool_fini(&pool_);
  ims_mem_fini(&mem_);
}

uint64_t NestedMachine::host_page(unsigned log2size) {
  uint64_t hpa = 0;
  check(ims_page_pool_alloc(&pool_, log2size, &hpa), "host page");
  return hpa;
}

// A page of guest memory: the next GPA, backed by the next free host page, 4 KB at a time.
uint64_t NestedMachine::guest_page() {
  uint64_t gpa = next_gpa_;
  next_gpa_ += 4096;
  check(ims_pgt_map(&ss_, &host_, gpa, host_page(), 4096, IMS_PERM_R | IMS_PERM_W, 0, 1), "second stage");
  return gpa;
}

namespace {
uint64_t behind(const ims_pgt *ss, const ims_pgt_mem *host, uint64_t gpa) {
  ims_pgt_leaf leaf;
  check(ims_pgt_lookup(ss, host, gpa, &leaf), "guest memory");
  return leaf.out;
}
} // namespace

int NestedMachine::load(void *self, uint64_t gpa, uint64_t *value) {
  auto *m = static_cast<NestedMachine *>(self);
  return ims_mem_load64(&m->mem_, behind(&m->ss_, &m->host_, gpa), value);
}

int NestedMachine::store(void *self, uint64_t gpa, uint64_t value) {
  auto *m = static_cast<NestedMachine *>(self);
  return ims_mem_store64(&m->mem_, behind(&m->ss_, &m->host_, gpa), value);
}

int NestedMachine::alloc(void *self, unsigned, uint64_t *gpa) {
  *gpa = static_cast<NestedMachine *>(self)->guest_page();
  return IMS_ERR_OK;
}

void NestedMachine::release(void *, uint64_t, unsigned) {}

ims_request NestedMachine::request(uint64_t iova) const {
  ims_request r{};
  r.iova = iova;
  r.source = source;
  r.pasid = pasid;
  r.has_pasid = true;
  r.access = IMS_ACC_R;
  return r;
}

std::vector<uint64_t> NestedMachine::walk_addresses(uint64_t iova) {
  std::vector<uint64_t> addresses;
  ims_request req = request(iova);
  ims_result res;
  ims_xlate x;
  ims_xlate_begin(&x, unit_, &req, &res);
  for (ims_step_kind kind = ims_xlate_step(&x); kind < IMS_STEP_DONE; kind = ims_xlate_step(&x)) {
    const ims_step &s = x.port.step;
    if (kind == IMS_STEP_READ && (s.what == IMS_STRUCT_S1_TABLE || s.what == IMS_STRUCT_S2_TABLE))
      addresses.push_back(s.hpa);
    ims_xlate_answer(&x, kind);
  }
  ims_xlate_finish(&x);
  return addresses;
}

bool NestedMachine::invalidate_page(uint64_t iova) {
  const uint64_t descriptors[8] = {
      6 | 3 << 4 | uint64_t{did} << 16 | uint64_t{pasid} << 32,
      iova | 1 << 6,
      0,
      0, // P_IOTLB, page, IH
      5 | 1 << 5 | uint64_t{1} << 32,
      status_,
      0,
      0, // wait, status write
  };
  uint64_t status = 0;
  ims_mem_store64(&mem_, status_, 0);
  ims_mem_write(&mem_, queue_ + tail_, descriptors, sizeof descriptors);
  tail_ = (tail_ + sizeof descriptors) & 4095;
  ims_iommu_write(unit_, IMS_VTD_OFF_IQT, 8, tail_);
  ims_mem_load64(&mem_, status_, &status);
  return status == 1;
}

} // namespace bench
