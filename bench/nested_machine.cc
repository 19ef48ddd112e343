// SPDX-License-Identifier: Apache-2.0
#include "bench/nested_machine.h"
#include "bench/smmuv3_machine.h"
#include "bench/vtd_machine.h"
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace bench {

namespace {
constexpr uint64_t ram = 4ull << 30;
constexpr uint64_t first_iova = 0x7f0000000000;
} // namespace

void check(int err, const char *what) {
  if (err == IMS_ERR_OK)
    return;
  std::fprintf(stderr, "benchmark machine: %s: %s\n", what, ims_strerror(err));
  std::exit(1);
}

NestedMachine::NestedMachine() {
  ims_mem_init(&mem_);
  check(ims_mem_add_ram(&mem_, 0, ram), "memory");
  check(ims_page_pool_init(&pool_, &mem_, 0x100000, ram - 0x100000), "pool");
  host_ = ims_page_pool_pgt_mem(&pool_);
}

void NestedMachine::build(const ims_pgt &s1, const ims_pgt &s2, unsigned pages, unsigned flags1, unsigned flags2) {
  s1_ = s1;
  s2_ = s2;
  flags2_ = flags2;
  check(ims_pgt_create(&s2_, &host_), "second stage");
  ims_pgt_mem guest{this, load, store, alloc, release, nullptr};
  check(ims_pgt_create(&s1_, &guest), "first stage");
  for (unsigned i = 0; i < pages; i++) {
    uint64_t iova = (first_iova & ((uint64_t{1} << (s1_.in_bits - 1)) - 1)) + 4096ull * i;
    check(ims_pgt_map(&s1_, &guest, iova, guest_page(), 4096, IMS_PERM_ALL, flags1, 1), "guest page");
    iovas_.push_back(iova);
  }
  std::mt19937_64 random(1);
  std::shuffle(iovas_.begin(), iovas_.end(), random);
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
  check(ims_pgt_map(&s2_, &host_, gpa, host_page(), 4096, IMS_PERM_R | IMS_PERM_W, flags2_, 1), "second stage");
  return gpa;
}

uint64_t NestedMachine::behind(uint64_t gpa) {
  ims_pgt_leaf leaf;
  check(ims_pgt_lookup(&s2_, &host_, gpa, &leaf), "guest memory");
  return leaf.out;
}

int NestedMachine::load(void *self, uint64_t gpa, uint64_t *value) {
  auto *m = static_cast<NestedMachine *>(self);
  return ims_mem_load64(&m->mem_, m->behind(gpa), value);
}

int NestedMachine::store(void *self, uint64_t gpa, uint64_t value) {
  auto *m = static_cast<NestedMachine *>(self);
  return ims_mem_store64(&m->mem_, m->behind(gpa), value);
}

int NestedMachine::alloc(void *self, unsigned, uint64_t *gpa) {
  *gpa = static_cast<NestedMachine *>(self)->guest_page();
  return IMS_ERR_OK;
}

void NestedMachine::release(void *, uint64_t, unsigned) {}

std::vector<uint64_t> NestedMachine::walk_addresses(uint64_t iova) {
  std::vector<uint64_t> addresses;
  ims_request req = request(iova);
  ims_result res;
  ims_translate(unit_, &req, &res); // the structures are cached now
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

std::unique_ptr<NestedMachine> nested_machine(Arch arch, bool caches, unsigned pages) {
  if (arch == Arch::Vtd)
    return std::make_unique<VtdMachine>(caches, pages);
  return std::make_unique<Smmuv3Machine>(caches, pages);
}

} // namespace bench
