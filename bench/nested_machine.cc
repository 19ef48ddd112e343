// SPDX-License-Identifier: Apache-2.0
#include "bench/nested_machine.h"
#include <algorithm>
#include <random>

namespace bench {

using namespace ims::model;

namespace {

MachineConfig machine_of(Arch arch, unsigned pages) {
  MachineConfig c;
  c.arch = arch == Arch::Vtd ? ARCH_VTD : ARCH_SMMUV3;
  c.window_kb = pages * 4;
  c.hardware_ad = 0;
  c.sync = arch == Arch::Vtd ? SYNC_MESSAGE : SYNC_INDEX;
  return c;
}

ims_vtd_config vtd_of(bool caches) {
  ims_vtd_config c;
  ims_vtd_config_default(&c);
  if (!caches)
    c.iotlb_entries = c.nested_entries = c.s1_psc_entries = c.s2_psc_entries = 0;
  return c;
}

ims_smmuv3_config smmuv3_of(bool caches) {
  ims_smmuv3_config c;
  ims_smmuv3_config_default(&c);
  if (!caches)
    c.iotlb_entries = c.ipa_entries = c.s1_walk_entries = c.s2_walk_entries = 0;
  return c;
}

} // namespace

NestedMachine::NestedMachine(Arch arch, bool caches, unsigned pages)
    : machine_(machine_of(arch, pages), vtd_of(caches), smmuv3_of(caches)), unit_(machine_.maker()(nullptr)) {
  machine_.start(unit_);
  for (unsigned i = 0; i < pages; i++)
    iovas_.push_back(machine_.streams()[0].iova + 4096ull * i);
  std::mt19937_64 random(1);
  std::shuffle(iovas_.begin(), iovas_.end(), random);
}

NestedMachine::~NestedMachine() { ims_iommu_free(unit_); }

ims_request NestedMachine::request(uint64_t iova) const {
  const Stream &s = machine_.streams()[0];
  ims_request r{};
  r.iova = iova;
  r.source = s.source;
  r.pasid = s.pasid;
  r.has_pasid = s.has_pasid;
  r.access = IMS_ACC_R;
  return r;
}

// On Arm the walk that finds the CD comes first: it is cached here.
std::vector<uint64_t> NestedMachine::walk_addresses(uint64_t iova) {
  auto at = machine_.walk_addresses(iova, machine_.streams()[0]);
  return {at.end() - 24, at.end()};
}

bool NestedMachine::invalidate_page(uint64_t iova) {
  Doorbell d = machine_.invalidate(0, iova, 4096);
  ims_iommu_write(unit_, d.offset, d.size, d.value);
  if (machine_.config().sync == SYNC_INDEX) {
    Mmio index = machine_.index_register();
    machine_.index_read(ims_iommu_read(unit_, index.offset, index.size));
  }
  return machine_.completed(d.ticket);
}

std::unique_ptr<NestedMachine> nested_machine(Arch arch, bool caches, unsigned pages) {
  return std::make_unique<NestedMachine>(arch, caches, pages);
}

} // namespace bench
