// SPDX-License-Identifier: Apache-2.0
// A machine with a VT-d unit in scalable mode. Structures: VT-d rev 4.1, 9.1 to 9.6; queued invalidation: 6.5.2; page
// requests: 7.4 to 7.11; fault records: 11.4.14; registers: chapter 11.
#include "model/machine_internal.h"
#include "pasid/vtd.h"

#include <algorithm>

namespace ims::model {
namespace {

enum : uint64_t { CONTEXT_P = 1, CONTEXT_DTE = 1 << 2, CONTEXT_PASIDE = 1 << 3, CONTEXT_PRE = 1 << 4 };

class VtdMachine : public MachineImpl {
public:
  VtdMachine(const MachineConfig &config, const ims_vtd_config &unit) : MachineImpl(config), vtd_(unit) {}

  void settle() override;
  void structures() override;
  void tenant(unsigned t) override;
  void stream_entry(unsigned t, unsigned p, uint64_t s1_root) override;
  ims_iommu *make(const ims_iommu_bus *bus, bool caches) const override;
  void start(ims_iommu *unit) override;
  void invalidate(Entries &out, size_t stream, uint64_t first, uint64_t last, bool leaf_only) override;
  void invalidate_tenant(Entries &out, unsigned tenant) override;
  void invalidate_all(Entries &out) override { out.push_back({{2 | 1 << 4, 0}}); }
  void respond(Entries &out, const ims_page_request &r, unsigned code) override;
  void wait(Entries &out, uint32_t ticket) override;
  Mmio index_register() const override { return {IMS_VTD_OFF_IQH, 8, 0, false}; }
  uint32_t index_of(uint64_t value) const override {
    return static_cast<uint32_t>((value & (ring_entry * (uint64_t{1} << cfg.queue_log2) - 1)) / ring_entry);
  }
  Mmio acknowledge() const override {
    return completion_interrupt ? Mmio{IMS_VTD_OFF_ICS, 4, IMS_VTD_BITS(ICS_IWC), true} : Mmio{};
  }
  bool drain_next(Drain &d, uint64_t read, Mmio *next) override;

private:
  uint16_t did(unsigned tenant) const { return static_cast<uint16_t>(cfg.tenants < 65536 ? tenant + 1 : tenant); }
  void device_tlb(Entries &out, size_t stream, uint64_t first, unsigned log2_pages) const;
  bool drain_pages(Drain &d, uint64_t read, Mmio *next);
  bool drain_faults(Drain &d, uint64_t read, Mmio *next) const;

  ims_vtd_config vtd_;
  uint64_t root_ = 0, requests_ = 0;
  uint32_t requests_head_ = 0; // bytes
};

void need(bool supported, const char *sentence) {
  if (!supported)
    machine_error(sentence);
}

void VtdMachine::settle() {
  const char *wrong = ims_vtd_config_check(&vtd_);
  need(!wrong, wrong);
  need(cfg.granule == 0, "VT-d has tables of 4 KB only (granule)");
  need(vtd_.qi, "a driver needs queued invalidation (vtd.qi)");
  need(cfg.translation == TRANSLATE_OFF || vtd_.smts, "VT-d machines are in scalable mode (vtd.smts)");
  need(cfg.tenants <= 1u << (4 + 2 * vtd_.nd), "more tenants than domain ids (vtd.nd)");
  need(cfg.pasid_requests ? vtd_.pasid && cfg.pasids < 2u << vtd_.pss : vtd_.rps,
       "the unit has no such PASIDs (vtd.pasid, vtd.pss, vtd.rps)");
  need(!cfg.ats || vtd_.dt, "ats needs vtd.dt");
  need(!cfg.pri || (cfg.ats && vtd_.prs), "pri needs ats and vtd.prs");
  need(cfg.translation != TRANSLATE_PASS_THROUGH || vtd_.pt, "pass-through needs vtd.pt");
  if (has_s1()) {
    need(vtd_.fsts && (!nested() || vtd_.nest), "first-stage and nested translation need vtd.fsts and vtd.nest");
    need(cfg.s1_levels == 4 || cfg.s1_levels == 5, "VT-d's first stage has 4 or 5 levels (s1_levels)");
    need(cfg.s1_levels == 4 || vtd_.fs5lp, "5 levels of the first stage need vtd.fs5lp");
    need(s1_leaf() < 3 || vtd_.fs1gp, "first-stage pages of 1 GB need vtd.fs1gp");
    ims_x86_fs_format(&s1_format, nested() ? 52 : vtd_.haw, vtd_.fs1gp, vtd_.revision < 4);
    s1.fmt = &s1_format;
    s1.levels = static_cast<uint8_t>(cfg.s1_levels);
    s1.in_bits = static_cast<uint8_t>(12 + 9 * cfg.s1_levels);
    s1_flags = cfg.preset_ad ? IMS_MAP_A | IMS_MAP_D : 0;
    input_bits = s1.in_bits;
  }
  if (has_s2()) {
    need(vtd_.ssts, "second-stage translation needs vtd.ssts");
    need(cfg.translation != TRANSLATE_SECOND || cfg.pasids == 1, "several PASIDs need a first stage");
    need(cfg.s2_levels >= 3, "VT-d's second stage has 3 to 5 levels (s2_levels)");
    need(vtd_.sagaw >> (cfg.s2_levels - 2) & 1, "the unit has no second stage of so many levels (vtd.sagaw)");
    need(!cfg.hardware_ad || vtd_.ssads, "hardware_ad needs vtd.ssads");
    ims_vtd_ss_format(&s2_format, vtd_.haw, vtd_.sslps & 1, vtd_.sslps & 2, vtd_.sc, false);
    s2.fmt = &s2_format;
    s2.levels = static_cast<uint8_t>(cfg.s2_levels);
    s2.in_bits = static_cast<uint8_t>(std::min(12 + 9 * cfg.s2_levels, vtd_.mgaw + 1));
    s2_flags = cfg.preset_ad && cfg.hardware_ad ? IMS_MAP_A | IMS_MAP_D : 0;
    if (!has_s1())
      input_bits = s2.in_bits;
  }
  address_bits = vtd_.haw;
  shape.s = cfg.translation == TRANSLATE_OFF ? 0 : 4;
  tail_register = IMS_VTD_OFF_IQT;
  ring_entry = 32;
  ring_keeps_one_free = true;
  structure_bytes =
      (64ull << cfg.log_log2) + 4096 * (512 + uint64_t{cfg.tenants} * (2 + cfg.pasids / IMS_VTD_PE_COUNT + 1));
}

void VtdMachine::structures() {
  root_ = structure(4096);
  requests_ = structure(32ull << cfg.log_log2);
}

// Context tables have 128 entries of 32 bytes in scalable mode.
void VtdMachine::tenant(unsigned t) {
  uint64_t root_entry = root_ + t / 128 * 8;
  if (!load(root_entry))
    store(root_entry, structure(4096) | 1);
  uint64_t context = (load(root_entry) & ~uint64_t{0xfff}) + t % 128 * 32;
  tenants[t].structures = structure(4096); // 128 entries: PASIDs up to 8191
  store(context, CONTEXT_P | (cfg.ats ? uint64_t{CONTEXT_DTE} : 0) | (cfg.pri ? uint64_t{CONTEXT_PRE} : 0) |
                     (cfg.pasid_requests ? uint64_t{CONTEXT_PASIDE} : 0) | tenants[t].structures);
}

void VtdMachine::stream_entry(unsigned t, unsigned p, uint64_t s1_root) {
  const uint32_t pasid = first_pasid + p;
  uint64_t directory = tenants[t].structures + ims_vtd_pasid_dir_offset(pasid), pde = load(directory);
  if (!ims_vtd_pde_present(pde))
    store(directory, pde = structure(4096) | 1);
  uint64_t e[IMS_VTD_PE_WORDS] = {};
  ims_vtd_pe_set(e, IMS_VTD_PE_P, 1);
  ims_vtd_pe_set(e, IMS_VTD_PE_DID, did(t));
  ims_vtd_pe_set(e, IMS_VTD_PE_PGTT,
                 nested()                              ? IMS_VTD_PGTT_NESTED
                 : has_s1()                            ? IMS_VTD_PGTT_FIRST
                 : cfg.translation == TRANSLATE_SECOND ? IMS_VTD_PGTT_SECOND
                                                       : IMS_VTD_PGTT_PASS_THROUGH);
  if (vtd_.smpwcs)
    ims_vtd_pe_set(e, IMS_VTD_PE_PWSNP, 1);
  if (has_s2()) {
    ims_vtd_pe_set(e, IMS_VTD_PE_AW, s2.levels - 2);
    ims_vtd_pe_set(e, IMS_VTD_PE_SSPTPTR, tenants[t].s2.root >> 12);
    ims_vtd_pe_set(e, IMS_VTD_PE_SSADE, cfg.hardware_ad);
  } else { // 9.6: pass-through, too, names a width that the unit has
    ims_vtd_pe_set(e, IMS_VTD_PE_AW, vtd_.sagaw & 4 ? 2 : vtd_.sagaw & 2 ? 1 : 3);
  }
  if (has_s1()) {
    ims_vtd_pe_set(e, IMS_VTD_PE_FSPM, s1.levels - 4);
    ims_vtd_pe_set(e, IMS_VTD_PE_FSPTPTR, s1_root >> 12);
  }
  store(ims_vtd_pde_table(pde) + ims_vtd_pasid_table_offset(pasid), e, sizeof e);
}

ims_iommu *VtdMachine::make(const ims_iommu_bus *bus, bool caches) const {
  ims_vtd_config c = vtd_;
  for (unsigned i = 0; !caches && ims_vtd_options(i); i++)
    without_cache(&c, *ims_vtd_options(i));
  ims_iommu *unit = nullptr;
  machine_check(ims_vtd_new(&unit, &c, const_cast<ims_mem *>(&mem), bus), "unit");
  return unit;
}

void VtdMachine::start(ims_iommu *unit) {
  auto put = [unit](uint32_t offset, unsigned size, uint64_t value) { ims_iommu_write(unit, offset, size, value); };
  uint32_t enabled = IMS_VTD_BITS(GCMD_QIE);
  put(IMS_VTD_OFF_RTADDR, 8, root_ | IMS_VTD_PUT(RTADDR_TTM, 1));
  put(IMS_VTD_OFF_GCMD, 4, IMS_VTD_BITS(GCMD_SRTP));
  put(IMS_VTD_OFF_IQT, 8, 0);
  put(IMS_VTD_OFF_IQA, 8, ring | IMS_VTD_PUT(IQA_DW, 1) | IMS_VTD_PUT(IQA_QS, cfg.queue_log2 - 7));
  put(IMS_VTD_OFF_GCMD, 4, enabled);
  const struct {
    uint32_t data, address, control, value;
  } interrupts[] = {{IMS_VTD_OFF_FEDATA, IMS_VTD_OFF_FEADDR, IMS_VTD_OFF_FECTL, DATA_FAULT},
                    {IMS_VTD_OFF_IEDATA, IMS_VTD_OFF_IEADDR, IMS_VTD_OFF_IECTL, DATA_COMPLETION},
                    {IMS_VTD_OFF_PEDATA, IMS_VTD_OFF_PEADDR, IMS_VTD_OFF_PECTL, DATA_PAGE_REQUEST}};
  for (const auto &i : interrupts) {
    put(i.data, 4, i.value);
    put(i.address, 4, interrupt_address);
    put(i.control, 4, 0);
  }
  if (cfg.pri) {
    put(IMS_VTD_OFF_PQH, 8, 0);
    put(IMS_VTD_OFF_PQT, 8, 0);
    put(IMS_VTD_OFF_PQA, 8, requests_ | IMS_VTD_PUT(PQA_PQS, cfg.log_log2 - 7));
  }
  if (cfg.translation != TRANSLATE_OFF)
    put(IMS_VTD_OFF_GCMD, 4, enabled | IMS_VTD_BITS(GCMD_TE));
}

// The smallest aligned block of 2^n pages around a range.
unsigned pages_around(uint64_t first, uint64_t last) {
  uint64_t differ = (first ^ last) >> 12;
  return differ ? 64u - static_cast<unsigned>(__builtin_clzll(differ)) : 0;
}

// Its size is told by the lowest zero bit of the address (6.5.2.5).
void VtdMachine::device_tlb(Entries &out, size_t stream, uint64_t first, unsigned log2_pages) const {
  uint64_t source = tenant_of(stream), addr = first >> (12 + log2_pages) << (12 + log2_pages);
  if (log2_pages)
    addr |= ((uint64_t{1} << (log2_pages - 1)) - 1) << 12;
  if (streams[stream].has_pasid)
    out.push_back({{8 | source << 16 | uint64_t{pasid_of(stream)} << 32, addr | uint64_t{log2_pages != 0} << 11}});
  else
    out.push_back({{3 | source << 32, addr | uint64_t{log2_pages != 0}}});
}

void VtdMachine::invalidate(Entries &out, size_t stream, uint64_t first, uint64_t last, bool leaf_only) {
  enum : uint64_t { WAIT_FENCE = 5 | 1 << 6 };
  const unsigned am = pages_around(first, last), t = tenant_of(stream);
  const uint64_t page = (first >> (12 + am) << (12 + am)) | uint64_t{leaf_only} << 6 | am, domain = did(t);
  if (cfg.translation == TRANSLATE_OFF)
    return;
  if (has_s1()) {
    uint64_t pasid = uint64_t{pasid_of(stream)} << 32;
    if (am <= vtd_.mamv)
      out.push_back({{6 | 3 << 4 | domain << 16 | pasid, page}});
    else
      out.push_back({{6 | 2 << 4 | domain << 16 | pasid, 0}});
  } else if (has_s2() && vtd_.psi && am <= vtd_.mamv) {
    out.push_back({{2 | 3 << 4 | domain << 16, page}});
  } else {
    out.push_back({{2 | 2 << 4 | domain << 16, 0}});
  }
  if (cfg.ats) { // only when the IOMMU cannot hand the old translation out again
    out.push_back({{WAIT_FENCE, 0}});
    device_tlb(out, stream, first, am);
  }
}

void VtdMachine::invalidate_tenant(Entries &out, unsigned tenant) {
  if (cfg.translation == TRANSLATE_OFF)
    return;
  out.push_back({{2 | 2 << 4 | uint64_t{did(tenant)} << 16, 0}});
  if (!cfg.ats)
    return;
  out.push_back({{5 | 1 << 6, 0}});
  for (unsigned p = 0; p < cfg.pasids; p++) {
    size_t stream = size_t{tenant} * cfg.pasids + p;
    device_tlb(out, stream, streams[stream].iova,
               pages_around(streams[stream].iova, streams[stream].iova + window - 1));
  }
}

void VtdMachine::respond(Entries &out, const ims_page_request &r, unsigned code) {
  out.push_back({{9 | uint64_t{r.has_pasid} << 4 | uint64_t{code & 15} << 12 | uint64_t{r.source & 0xffff} << 16 |
                      uint64_t{r.has_pasid ? r.pasid & 0xfffff : 0} << 32,
                  uint64_t{r.group & 0x1ffu} << 3}});
}

void VtdMachine::wait(Entries &out, uint32_t ticket) {
  out.push_back({{5 | uint64_t{completion_interrupt} << 4 | 1 << 5 | uint64_t{ticket} << 32, status}});
}

// 7.11: the pending flag goes first, so that a request that comes meanwhile raises an interrupt of its own.
bool VtdMachine::drain_pages(Drain &d, uint64_t read, Mmio *next) {
  const uint64_t mask = (32ull << cfg.log_log2) - 1;
  switch (d.state++) {
  case 0: *next = {IMS_VTD_OFF_PRS, 4, IMS_VTD_BITS(PRS_PPR), true}; return true;
  case 1: *next = {IMS_VTD_OFF_PQT, 8, 0, false}; return true;
  case 2:
    for (read &= mask; requests_head_ != read; requests_head_ = (requests_head_ + 32) & mask) {
      uint64_t low = load(requests_ + requests_head_), high = load(requests_ + requests_head_ + 8);
      ims_page_request r = {};
      r.has_pasid = low >> 8 & 1;
      r.source = low >> 16 & 0xffff;
      r.pasid = low >> 32 & 0xfffff;
      r.exec = low >> 52 & 1;
      r.priv = low >> 53 & 1;
      r.read = high & 1;
      r.write = high >> 1 & 1;
      r.last = high >> 2 & 1;
      r.group = high >> 3 & 0x1ff;
      r.addr = high >> 12 << 12;
      if (low >> 9 & 1) {
        r.private_data[0] = load(requests_ + requests_head_ + 16);
        r.private_data[1] = load(requests_ + requests_head_ + 24);
      }
      d.pages.push_back(r);
    }
    *next = {IMS_VTD_OFF_PQH, 8, requests_head_, true};
    return true;
  case 3: *next = {IMS_VTD_OFF_PRS, 4, 0, false}; return true;
  case 4:
    if (!(read & IMS_VTD_BITS(PRS_PRO)))
      return false;
    d.overflow = true;
    *next = {IMS_VTD_OFF_PRS, 4, IMS_VTD_BITS(PRS_PRO), true};
    return true;
  default: return false;
  }
}

// 11.4.9, 11.4.14: from the record that FRI names on, until one is free.
bool VtdMachine::drain_faults(Drain &d, uint64_t read, Mmio *next) const {
  enum { START, STATUS, HIGH, LOW, CLEARED, END };
  const uint32_t record = IMS_VTD_OFF_FRCD + d.index * 16;
  switch (d.state) {
  case START:
    d.state = STATUS;
    *next = {IMS_VTD_OFF_FSTS, 4, 0, false};
    return true;
  case STATUS:
    d.overflow = read & IMS_VTD_BITS(FSTS_PFO);
    d.left = read & IMS_VTD_BITS(FSTS_PPF) ? vtd_.nfr + 1 : 0;
    d.index = static_cast<unsigned>(IMS_VTD_GET(read, FSTS_FRI));
    break;
  case HIGH:
    if (!(read >> 63)) {
      d.left = 0;
      break;
    }
    d.word = read;
    d.state = LOW;
    *next = {record, 8, 0, false};
    return true;
  case LOW: {
    LoggedFault f;
    f.iova = read >> 12 << 12;
    f.source = d.word & 0xffff;
    f.has_pasid = d.word >> 31 & 1;
    f.pasid = f.has_pasid ? d.word >> 40 & 0xfffff : 0;
    f.code = d.word >> 32 & 0xff;
    f.write = !(d.word >> 62 & 1);
    d.faults.push_back(f);
    d.state = CLEARED;
    *next = {record + 12, 4, uint64_t{1} << 31, true};
    return true;
  }
  case CLEARED:
    d.left--;
    d.index = (d.index + 1) % (vtd_.nfr + 1);
    break;
  default: return false;
  }
  if (d.left) {
    d.state = HIGH;
    *next = {IMS_VTD_OFF_FRCD + d.index * 16 + 8, 8, 0, false};
    return true;
  }
  d.state = END;
  *next = {IMS_VTD_OFF_FSTS, 4, IMS_VTD_BITS(FSTS_PFO), true};
  return d.overflow;
}

bool VtdMachine::drain_next(Drain &d, uint64_t read, Mmio *next) {
  if (d.log == MachineLog::FAULTS)
    return drain_faults(d, read, next);
  return cfg.pri && drain_pages(d, read, next);
}

} // namespace

std::unique_ptr<MachineImpl> machine_vtd(const MachineConfig &config, const ims_vtd_config &vtd) {
  return std::make_unique<VtdMachine>(config, vtd);
}

} // namespace ims::model
