// SPDX-License-Identifier: Apache-2.0
// A machine with an SMMUv3. Arm IHI 0070: stream table and STE 5.1, 5.2; CDs 5.3, 5.4; queues 3.5; commands chapter 4;
// events 7.3; page requests 8.1; registers 6.3. Tables by Arm DDI 0487 D8.
#include "iommu/smmuv3/commands.h"
#include "model/machine_internal.h"
#include "pasid/smmu.h"
#include "pgtable/vmsa.h"

#include <algorithm>

namespace ims::model {
namespace {

constexpr unsigned split = 8;           // StreamID bits of a leaf of the stream table
constexpr unsigned cd_leaf = 6;         // SubstreamID bits of a leaf of the CD table, 4 KB
constexpr unsigned range_commands = 64; // of single pages, before a whole ASID is cheaper

// Where the fields of a command lie, for the compiler to see.
constexpr struct {
  uint8_t low, bits;
} places[] = {
#define IMS_X(name, low, bits, sentence) {low, bits},
    IMS_SMMUV3_COMMAND_FIELDS(IMS_X)
#undef IMS_X
};

class Command {
public:
  explicit Command(enum ims_smmuv3_command op) { set(IMS_SMMUV3_COMMAND_OP_FIELD, op); }
  Command &set(enum ims_smmuv3_command_field field, uint64_t value) { // once a field
    entry.word[places[field].low / 64] |= (value & (~uint64_t{0} >> (64 - places[field].bits)))
                                          << places[field].low % 64;
    return *this;
  }
  Entry entry;
};

class SmmuMachine : public MachineImpl {
public:
  SmmuMachine(const MachineConfig &config, const ims_smmuv3_config &unit) : MachineImpl(config), smmu_(unit) {}

  void settle() override;
  void structures() override;
  void tenant(unsigned t) override;
  void stream_entry(unsigned t, unsigned p, uint64_t s1_root) override;
  ims_iommu *make(const ims_iommu_bus *bus, bool caches) const override;
  void start(ims_iommu *unit) override;
  void invalidate(Entries &out, size_t stream, uint64_t first, uint64_t last, bool leaf_only) override;
  void invalidate_tenant(Entries &out, unsigned tenant) override;
  void invalidate_all(Entries &out) override { out.push_back(Command(IMS_SMMUV3_CMD_TLBI_NSNH_ALL).entry); }
  void respond(Entries &out, const ims_page_request &r, unsigned code) override;
  void resume(Entries &out, const LoggedFault &f, enum ims_resume_action action) override;
  void wait(Entries &out, uint32_t ticket) override;
  Mmio index_register() const override { return {IMS_SMMUV3_OFF_CMDQ_CONS, 4, 0, false}; }
  uint32_t index_of(uint64_t value) const override {
    return static_cast<uint32_t>(value & ((uint64_t{2} << cfg.queue_log2) - 1));
  }
  bool can_interrupt() const override { return smmu_.msi; }
  bool drain_next(Drain &d, uint64_t read, Mmio *next) override;

private:
  // VMIDs tell tenants apart where there is a stage 2; else ASIDs do, all alone.
  uint16_t vmid(unsigned tenant) const { return static_cast<uint16_t>(cfg.tenants < 65536 ? tenant + 1 : tenant); }
  uint16_t asid(size_t stream) const { return static_cast<uint16_t>(smmu_.s2p ? stream % cfg.pasids + 1 : stream + 1); }
  void settle_s1();
  void settle_s2();
  uint64_t ste_at(unsigned t);
  void device_tlb(Entries &out, size_t stream, uint64_t first, uint64_t last) const;
  void read_event(Drain &d, uint64_t at);
  void read_request(Drain &d, uint64_t at);

  ims_smmuv3_config smmu_;
  ims_vmsa_formats formats_ = {};
  bool ds1_ = false, ds2_ = false, stall_ = false;
  unsigned sl0_ = 0, stream_log2_ = 0, cd_log2_ = 0;
  uint64_t stream_table_ = 0, events_ = 0, requests_ = 0;
  uint32_t events_head_ = 0, requests_head_ = 0;
  uint64_t acknowledged_[2] = {}; // overflows of the page request and the event queue
};

void need(bool supported, const char *sentence) {
  if (!supported)
    machine_error(sentence);
}

constexpr unsigned page_shift[] = {12, 14, 16}, tg_codes[] = {0, 2, 1};

// Input bits of a table of so many levels: as many as it resolves, but not more than the architecture has.
unsigned bits_of(unsigned granule, unsigned levels, unsigned most) {
  return std::min(page_shift[granule] + levels * (page_shift[granule] - 3), most);
}

void SmmuMachine::settle_s1() {
  need(smmu_.s1p, "stage 1 needs smmuv3.s1p");
  ds1_ = bits_of(cfg.granule, cfg.s1_levels, 52) > 48 &&
         ims_vmsa_s1_levels(static_cast<ims_granule>(cfg.granule), 48) < cfg.s1_levels;
  need(!ds1_ || (smmu_.ds && smmu_.vax && cfg.granule != 2),
       "that many levels of stage 1 need addresses of 52 bits: smmuv3.ds, smmuv3.vax, smmuv3.oas = 6");
  s1_format = (ds1_ ? formats_.s1_ds : formats_.s1)[cfg.granule];
  s1.fmt = &s1_format;
  s1.in_bits = static_cast<uint8_t>(bits_of(cfg.granule, cfg.s1_levels, ds1_ ? 52 : 48));
  s1.levels = static_cast<uint8_t>(ims_vmsa_s1_levels(static_cast<ims_granule>(cfg.granule), s1.in_bits));
  need(s1.levels == cfg.s1_levels, "stage 1 of this granule never has so many levels (s1_levels)");
  s1.out_bits = static_cast<uint8_t>(ims_smmuv3_oas(&smmu_));
  s1.sh = 3;
  s1_flags = IMS_MAP_NG;
  if (cfg.preset_ad)
    s1_flags |= IMS_MAP_A;
  if (cfg.hardware_ad && smmu_.httu >= 2)
    s1_flags |= cfg.preset_ad ? IMS_MAP_DBM | IMS_MAP_D : IMS_MAP_DBM;
  input_bits = s1.in_bits;

  // Substream 0 is there too; a two-level table has at least two leaves.
  cd_log2_ = std::max(1u, log2_up(uint64_t{first_pasid} + cfg.pasids));
  if (cfg.cd_table)
    cd_log2_ = std::max(cd_log2_, cd_leaf + 1);
  need(!cfg.cd_table || smmu_.cd2l, "two-level CD tables need smmuv3.cd2l");
  need(cd_log2_ <= smmu_.ssidsize, "pasids need more SubstreamID bits (smmuv3.ssidsize)");
  uint64_t most = smmu_.s2p ? cfg.pasids : uint64_t{cfg.tenants} * cfg.pasids;
  need(most < (smmu_.asid16 ? 65536 : 256), "the unit has not enough ASIDs (smmuv3.asid16, smmuv3.s2p)");
  shape.c = cfg.cd_table ? 2 : 1;
}

void SmmuMachine::settle_s2() {
  const auto granule = static_cast<ims_granule>(cfg.granule);
  const unsigned oas = ims_smmuv3_oas(&smmu_);
  need(smmu_.s2p, "stage 2 needs smmuv3.s2p");
  need(has_s1() || cfg.pasids == 1, "several PASIDs need a stage 1");
  ds2_ = cfg.s2_levels == 5 || (cfg.granule == 1 && cfg.s2_levels == 4);
  need(!ds2_ || smmu_.ds, "that many levels of stage 2 need addresses of 52 bits: smmuv3.ds, smmuv3.oas = 6");
  s2_format = (ds2_ ? formats_.s2_ds : formats_.s2)[cfg.granule];
  s2.fmt = &s2_format;
  s2.in_bits = static_cast<uint8_t>(std::min(bits_of(cfg.granule, cfg.s2_levels, ds2_ ? 52 : 48), oas));
  s2.out_bits = static_cast<uint8_t>(oas);
  s2.sh = 3;
  for (sl0_ = 0; sl0_ < 8; sl0_++)
    if (ims_vmsa_s2_levels(granule, sl0_, ds2_, false) == cfg.s2_levels)
      break;
  need(sl0_ < 8 && ims_vmsa_s2_consistent(granule, cfg.s2_levels, s2.in_bits, oas),
       "stage 2 of this granule and address size never has so many levels (s2_levels, smmuv3.oas)");
  s2.levels = static_cast<uint8_t>(cfg.s2_levels);
  s2_flags = cfg.preset_ad ? IMS_MAP_A : 0;
  if (cfg.hardware_ad && smmu_.httu >= 2)
    s2_flags |= cfg.preset_ad ? IMS_MAP_DBM | IMS_MAP_D : IMS_MAP_DBM;
  if (!has_s1())
    input_bits = s2.in_bits;
}

void SmmuMachine::settle() {
  const char *wrong = ims_smmuv3_config_check(&smmu_);
  need(!wrong, wrong);
  const bool granules[] = {smmu_.gran4k != 0, smmu_.gran16k != 0, smmu_.gran64k != 0};
  const unsigned oas = ims_smmuv3_oas(&smmu_);
  need(granules[cfg.granule], "the unit does not have this granule (smmuv3.gran4k, gran16k, gran64k)");
  need(oas >= 36, "machines need addresses of 36 bits (smmuv3.oas)");
  need(cfg.translation == TRANSLATE_OFF || smmu_.ttf & 2, "tables are those of AArch64 (smmuv3.ttf)");
  need(cfg.tenants <= (smmu_.vmid16 || !smmu_.s2p ? 65536u : 255u), "more tenants than VMIDs (smmuv3.vmid16)");
  need(!cfg.hardware_ad || smmu_.httu || identity(), "hardware_ad needs smmuv3.httu");
  need(!cfg.ats || smmu_.ats, "ats needs smmuv3.ats");
  need(!cfg.pri || (cfg.ats && smmu_.pri), "pri needs ats and smmuv3.pri");
  need(has_s1() || cfg.pasids == 1, "SMMUv3: several PASIDs need a stage 1");
  need(cfg.queue_log2 <= smmu_.cmdqs, "queue_log2 is more than the command queue may have (smmuv3.cmdqs)");
  need(cfg.log_log2 <= smmu_.eventqs, "log_log2 is more than the event queue may have (smmuv3.eventqs)");
  need(!cfg.pri || cfg.log_log2 <= smmu_.priqs, "log_log2 is more than the page request queue may have (smmuv3.priqs)");
  need(smmu_.msi || cfg.sync == SYNC_INDEX, "sync = message needs smmuv3.msi");
  stall_ = cfg.faults == FAULTS_STALL || smmu_.stall_model == 2;
  need(!stall_ || smmu_.stall_model != 1, "faults cannot stall on this unit (smmuv3.stall_model)");
  need(!stall_ || !cfg.ats || has_s1(), "a stream with ATS cannot stall at stage 2");
  stream_log2_ = std::max(log2_up(cfg.tenants), cfg.stream_table ? split + 1 : 6);
  need(stream_log2_ <= smmu_.sidsize, "tenants need more StreamID bits (smmuv3.sidsize)");
  need(!cfg.stream_table || smmu_.st_level, "two-level stream tables need smmuv3.st_level");

  ims_vmsa_caps caps = {};
  caps.oas = static_cast<uint8_t>(oas);
  caps.ds = smmu_.ds;
  caps.xnx = smmu_.xnx;
  ims_vmsa_formats_init(&formats_, &caps);
  if (has_s1())
    settle_s1();
  if (has_s2())
    settle_s2();
  address_bits = std::min(oas, 48u);
  shape.s = cfg.translation == TRANSLATE_OFF ? 0 : cfg.stream_table ? 2 : 1;
  tail_register = IMS_SMMUV3_OFF_CMDQ_PROD;
  ring_entry = 16;

  // A root is as large as its input needs, and aligned to that.
  uint64_t cds = (uint64_t{64} << cd_log2_) + 8192, roots1 = 0, roots2 = 0;
  if (has_s1())
    roots1 = uint64_t{2} << std::max(6u, ims_vmsa_root_log2(&s1));
  if (has_s2())
    roots2 = uint64_t{2} << std::max(6u, ims_vmsa_root_log2(&s2));
  structure_bytes = (uint64_t{256} << stream_log2_) + (uint64_t{96} << cfg.log_log2) + cfg.tenants * roots2;
  if (nested())
    guest_structure_bytes = 2 * cds + cfg.pasids * roots1;
  else if (has_s1())
    structure_bytes += cfg.tenants * (2 * cds + cfg.pasids * roots1);
}

void SmmuMachine::structures() {
  events_ = structure(uint64_t{32} << cfg.log_log2);
  requests_ = structure(uint64_t{16} << cfg.log_log2);
  stream_table_ = structure(cfg.stream_table ? uint64_t{8} << (stream_log2_ - split) : uint64_t{64} << stream_log2_);
}

uint64_t SmmuMachine::ste_at(unsigned t) {
  if (!cfg.stream_table)
    return ims_stream_linear_at(stream_table_, stream_log2_, t);
  uint64_t at = ims_stream_l1_at(stream_table_, stream_log2_, split, t), ste = 0;
  if (!load(at))
    store(at, structure(uint64_t{64} << split) | (split + 1));
  ims_stream_l2_at(load(at), split, t, &ste);
  return ste;
}

void SmmuMachine::tenant(unsigned t) {
  uint64_t e[IMS_STE_WORDS] = {};
  ims_ste_set(e, IMS_STE_V, 1);
  ims_ste_set(e, IMS_STE_CONFIG, 4u | has_s1() | has_s2() << 1);
  ims_ste_set(e, IMS_STE_SHCFG, 1);
  if (cfg.ats && !identity())
    ims_ste_set(e, IMS_STE_EATS, 1);
  if (smmu_.s2p && !identity())
    ims_ste_set(e, IMS_STE_S2VMID, vmid(t));
  if (has_s1()) {
    uint64_t bytes = cfg.cd_table ? uint64_t{8} << (cd_log2_ - cd_leaf) : uint64_t{64} << cd_log2_;
    tenants[t].structures = nested() ? guest_structure(t, bytes) : structure(bytes);
    ims_ste_set(e, IMS_STE_S1FMT, cfg.cd_table);
    ims_ste_set(e, IMS_STE_S1CDMAX, cd_log2_);
    ims_ste_set(e, IMS_STE_S1DSS, cfg.pasid_requests ? 0 : 2);
    ims_ste_set_address(e, IMS_STE_S1CONTEXTPTR, tenants[t].structures);
  }
  if (has_s2()) {
    ims_ste_set(e, IMS_STE_S2T0SZ, 64u - s2.in_bits);
    ims_ste_set(e, IMS_STE_S2SL0, sl0_ & 3);
    ims_ste_set(e, IMS_STE_S2SL0_2, sl0_ >> 2);
    ims_ste_set(e, IMS_STE_S2DS, ds2_);
    ims_ste_set(e, IMS_STE_S2TG, tg_codes[cfg.granule]);
    ims_ste_set(e, IMS_STE_S2PS, smmu_.oas);
    ims_ste_set(e, IMS_STE_S2SH0, 3);
    ims_ste_set(e, IMS_STE_S2AA64, 1);
    ims_ste_set(e, IMS_STE_S2R, 1);
    ims_ste_set(e, IMS_STE_S2S, smmu_.stall_model == 2 || (stall_ && !has_s1()));
    ims_ste_set(e, IMS_STE_S2AFFD, !cfg.hardware_ad);
    ims_ste_set(e, IMS_STE_S2HA, cfg.hardware_ad);
    ims_ste_set(e, IMS_STE_S2HD, cfg.hardware_ad && smmu_.httu >= 2);
    ims_ste_set_address(e, IMS_STE_S2TTB, tenants[t].s2.root);
  }
  store(ste_at(t), e, sizeof e);
}

void SmmuMachine::stream_entry(unsigned t, unsigned p, uint64_t s1_root) {
  if (!has_s1())
    return;
  const uint32_t ssid = first_pasid + p;
  auto hpa = [this, t](uint64_t at) { return nested() ? behind(t, at) : at; };
  uint64_t at;
  if (cfg.cd_table) {
    uint64_t l1 = hpa(ims_cd_l1_at(tenants[t].structures, 1, cd_log2_, ssid));
    if (!load(l1))
      store(l1, (nested() ? guest_structure(t, 4096) : structure(4096)) | 1);
    at = hpa(ims_cd_l2_at(load(l1), 1, ssid));
  } else {
    at = hpa(ims_cd_linear_at(tenants[t].structures, cd_log2_, ssid));
  }
  uint64_t cd[IMS_CD_WORDS] = {};
  ims_cd_set(cd, IMS_CD_T0SZ, 64u - s1.in_bits);
  ims_cd_set(cd, IMS_CD_TG0, tg_codes[cfg.granule]);
  ims_cd_set(cd, IMS_CD_SH0, 3);
  ims_cd_set(cd, IMS_CD_EPD1, 1);
  ims_cd_set(cd, IMS_CD_DS, ds1_);
  ims_cd_set(cd, IMS_CD_IPS, smmu_.oas);
  ims_cd_set(cd, IMS_CD_AFFD, !cfg.hardware_ad);
  ims_cd_set(cd, IMS_CD_HA, cfg.hardware_ad);
  ims_cd_set(cd, IMS_CD_HD, cfg.hardware_ad && smmu_.httu >= 2);
  ims_cd_set(cd, IMS_CD_AA64, 1);
  ims_cd_set(cd, IMS_CD_A, 1);
  ims_cd_set(cd, IMS_CD_R, 1);
  ims_cd_set(cd, IMS_CD_S, stall_);
  ims_cd_set(cd, IMS_CD_ASID, asid(size_t{t} * cfg.pasids + p));
  ims_cd_set(cd, IMS_CD_MAIR0, 0xff);
  ims_cd_set_address(cd, IMS_CD_TTB0, s1_root);
  ims_cd_set(cd, IMS_CD_V, 1);
  store(at, cd, sizeof cd);
}

ims_iommu *SmmuMachine::make(const ims_iommu_bus *bus, bool caches) const {
  ims_smmuv3_config c = smmu_;
  for (unsigned i = 0; !caches && ims_smmuv3_options(i); i++)
    without_cache(&c, *ims_smmuv3_options(i));
  ims_iommu *unit = nullptr;
  machine_check(ims_smmuv3_new(&unit, &c, const_cast<ims_mem *>(&mem), bus), "unit");
  return unit;
}

void SmmuMachine::start(ims_iommu *unit) {
  auto put = [unit](uint32_t offset, unsigned size, uint64_t value) { ims_iommu_write(unit, offset, size, value); };
  put(IMS_SMMUV3_OFF_CR1, 4, 0xd75); // tables and queues: inner shareable, write-back
  put(IMS_SMMUV3_OFF_CR2, 4, IMS_SMMUV3_BITS(CR2_RECINVSID) | IMS_SMMUV3_BITS(CR2_PTM));
  put(IMS_SMMUV3_OFF_STRTAB_BASE, 8, stream_table_);
  put(IMS_SMMUV3_OFF_STRTAB_BASE_CFG, 4,
      IMS_SMMUV3_PUT(STRTAB_BASE_CFG_LOG2SIZE, stream_log2_) |
          (cfg.stream_table ? IMS_SMMUV3_PUT(STRTAB_BASE_CFG_SPLIT, split) | IMS_SMMUV3_PUT(STRTAB_BASE_CFG_FMT, 1)
                            : 0));

  uint64_t enabled = IMS_SMMUV3_BITS(CR0_CMDQEN);
  put(IMS_SMMUV3_OFF_CMDQ_BASE, 8, ring | cfg.queue_log2);
  put(IMS_SMMUV3_OFF_CMDQ_PROD, 4, 0);
  put(IMS_SMMUV3_OFF_CMDQ_CONS, 4, 0);
  put(IMS_SMMUV3_OFF_CR0, 4, enabled);
  put(IMS_SMMUV3_OFF_EVENTQ_BASE, 8, events_ | cfg.log_log2);
  put(IMS_SMMUV3_OFF_EVENTQ_PROD, 4, 0);
  put(IMS_SMMUV3_OFF_EVENTQ_CONS, 4, 0);
  put(IMS_SMMUV3_OFF_CR0, 4, enabled |= IMS_SMMUV3_BITS(CR0_EVENTQEN));
  if (cfg.pri) {
    put(IMS_SMMUV3_OFF_PRIQ_BASE, 8, requests_ | cfg.log_log2);
    put(IMS_SMMUV3_OFF_PRIQ_PROD, 4, 0);
    put(IMS_SMMUV3_OFF_PRIQ_CONS, 4, 0);
    put(IMS_SMMUV3_OFF_CR0, 4, enabled |= IMS_SMMUV3_BITS(CR0_PRIQEN));
  }
  if (cfg.ats)
    put(IMS_SMMUV3_OFF_CR0, 4, enabled |= IMS_SMMUV3_BITS(CR0_ATSCHK));

  if (smmu_.msi) {
    put(IMS_SMMUV3_OFF_GERROR_IRQ_CFG0, 8, interrupt_address);
    put(IMS_SMMUV3_OFF_GERROR_IRQ_CFG1, 4, DATA_ERROR);
    put(IMS_SMMUV3_OFF_EVENTQ_IRQ_CFG0, 8, interrupt_address);
    put(IMS_SMMUV3_OFF_EVENTQ_IRQ_CFG1, 4, DATA_FAULT);
    if (cfg.pri) {
      put(IMS_SMMUV3_OFF_PRIQ_IRQ_CFG0, 8, interrupt_address);
      put(IMS_SMMUV3_OFF_PRIQ_IRQ_CFG1, 4, DATA_PAGE_REQUEST);
    }
    put(IMS_SMMUV3_OFF_IRQ_CTRL, 4,
        IMS_SMMUV3_BITS(IRQ_CTRL_GERROR_IRQEN) | IMS_SMMUV3_BITS(IRQ_CTRL_EVENTQ_IRQEN) |
            (cfg.pri ? IMS_SMMUV3_BITS(IRQ_CTRL_PRIQ_IRQEN) : 0));
  }
  if (cfg.translation != TRANSLATE_OFF)
    put(IMS_SMMUV3_OFF_CR0, 4, enabled | IMS_SMMUV3_BITS(CR0_SMMUEN));
}

// 4.5.1: the smallest aligned block of 2^n pages of 4 KB around the range.
void SmmuMachine::device_tlb(Entries &out, size_t stream, uint64_t first, uint64_t last) const {
  uint64_t differ = (first ^ last) >> 12;
  unsigned log2_pages = differ ? 64u - static_cast<unsigned>(__builtin_clzll(differ)) : 0;
  Command c(IMS_SMMUV3_CMD_ATC_INV);
  c.set(IMS_SMMUV3_COMMAND_SID_FIELD, tenant_of(stream)).set(IMS_SMMUV3_COMMAND_SIZE_FIELD, log2_pages);
  c.set(IMS_SMMUV3_COMMAND_ADDR_FIELD, first >> (12 + log2_pages) << log2_pages);
  if (streams[stream].has_pasid)
    c.set(IMS_SMMUV3_COMMAND_SSV_FIELD, 1).set(IMS_SMMUV3_COMMAND_SSID_FIELD, pasid_of(stream));
  out.push_back(c.entry);
}

void SmmuMachine::invalidate(Entries &out, size_t stream, uint64_t first, uint64_t last, bool leaf_only) {
  if (identity())
    return;
  const unsigned t = tenant_of(stream), shift = page_shift[cfg.granule];
  auto fill = [&](Command &c) {
    if (smmu_.s2p)
      c.set(IMS_SMMUV3_COMMAND_VMID_FIELD, vmid(t));
    if (has_s1())
      c.set(IMS_SMMUV3_COMMAND_ASID_FIELD, asid(stream));
  };
  auto by_address = [&](uint64_t at) {
    Command c(has_s1() ? IMS_SMMUV3_CMD_TLBI_NH_VA : IMS_SMMUV3_CMD_TLBI_S2_IPA);
    fill(c);
    return c.set(IMS_SMMUV3_COMMAND_LEAF_FIELD, leaf_only).set(IMS_SMMUV3_COMMAND_ADDR_FIELD, at >> 12);
  };
  // One command for each page or block, or for (NUM + 1) << SCALE pages.
  const bool leaves = first % (uint64_t{1} << leaf_log2) == 0 && (last + 1 - first) % (uint64_t{1} << leaf_log2) == 0;
  const uint64_t step = uint64_t{1} << (leaves ? leaf_log2 : shift), count = (last - first) / step + 1;
  if (count == 1) {
    out.push_back(by_address(first).entry);
  } else if (smmu_.ril) {
    uint64_t pages = (last - first + 1) >> shift;
    for (uint64_t at = first; pages;) {
      unsigned scale = static_cast<unsigned>(__builtin_ctzll(pages));
      uint64_t num = pages >> scale & 31;
      Command c = by_address(at);
      if (num << scale > 1)
        c.set(IMS_SMMUV3_COMMAND_NUM_FIELD, num - 1)
            .set(IMS_SMMUV3_COMMAND_SCALE_FIELD, scale)
            .set(IMS_SMMUV3_COMMAND_TG_FIELD, cfg.granule + 1);
      out.push_back(c.entry);
      pages -= num << scale;
      at += num << scale << shift;
    }
  } else if (count <= range_commands) {
    for (uint64_t at = first; at <= last; at += step)
      out.push_back(by_address(at).entry);
  } else {
    Command c(has_s1() ? IMS_SMMUV3_CMD_TLBI_NH_ASID : IMS_SMMUV3_CMD_TLBI_S12_VMALL);
    fill(c);
    out.push_back(c.entry);
  }
  if (cfg.ats) { // only when the SMMU cannot hand the old translation out again
    out.push_back(Command(IMS_SMMUV3_CMD_SYNC).entry);
    device_tlb(out, stream, first, last);
  }
}

void SmmuMachine::invalidate_tenant(Entries &out, unsigned tenant) {
  if (identity())
    return;
  const size_t first = size_t{tenant} * cfg.pasids;
  if (smmu_.s2p) {
    Command c(has_s2() ? IMS_SMMUV3_CMD_TLBI_S12_VMALL : IMS_SMMUV3_CMD_TLBI_NH_ALL);
    out.push_back(c.set(IMS_SMMUV3_COMMAND_VMID_FIELD, vmid(tenant)).entry);
  } else {
    for (unsigned p = 0; p < cfg.pasids; p++)
      out.push_back(Command(IMS_SMMUV3_CMD_TLBI_NH_ASID).set(IMS_SMMUV3_COMMAND_ASID_FIELD, asid(first + p)).entry);
  }
  if (!cfg.ats)
    return;
  out.push_back(Command(IMS_SMMUV3_CMD_SYNC).entry);
  for (unsigned p = 0; p < cfg.pasids; p++)
    device_tlb(out, first + p, streams[first + p].iova, streams[first + p].iova + window - 1);
}

void SmmuMachine::respond(Entries &out, const ims_page_request &r, unsigned code) {
  Command c(IMS_SMMUV3_CMD_PRI_RESP);
  c.set(IMS_SMMUV3_COMMAND_SID_FIELD, r.source).set(IMS_SMMUV3_COMMAND_PRG_FIELD, r.group);
  c.set(IMS_SMMUV3_COMMAND_RESP_FIELD, code == 0 ? 2 : code == 1 ? 1 : 0);
  if (r.has_pasid)
    c.set(IMS_SMMUV3_COMMAND_SSV_FIELD, 1).set(IMS_SMMUV3_COMMAND_SSID_FIELD, r.pasid);
  out.push_back(c.entry);
}

void SmmuMachine::resume(Entries &out, const LoggedFault &f, enum ims_resume_action action) {
  Command c(IMS_SMMUV3_CMD_RESUME);
  c.set(IMS_SMMUV3_COMMAND_SID_FIELD, f.source).set(IMS_SMMUV3_COMMAND_STAG_FIELD, f.stag);
  c.set(IMS_SMMUV3_COMMAND_AC_FIELD, action == IMS_RESUME_RETRY);
  c.set(IMS_SMMUV3_COMMAND_AB_FIELD, action == IMS_RESUME_ABORT);
  out.push_back(c.entry);
}

void SmmuMachine::wait(Entries &out, uint32_t ticket) {
  Command c(IMS_SMMUV3_CMD_SYNC);
  if (cfg.sync == SYNC_MESSAGE || completion_interrupt)
    c.set(IMS_SMMUV3_COMMAND_CS_FIELD, 1)
        .set(IMS_SMMUV3_COMMAND_MSH_FIELD, 3)
        .set(IMS_SMMUV3_COMMAND_MSIATTR_FIELD, 0xf)
        .set(IMS_SMMUV3_COMMAND_MSIDATA_FIELD, ticket)
        .set(IMS_SMMUV3_COMMAND_MSIADDR_FIELD, status >> 2);
  out.push_back(c.entry);
}

void SmmuMachine::read_event(Drain &d, uint64_t at) {
  const uint64_t w[4] = {load(at), load(at + 8), load(at + 16), load(at + 24)};
  const ims_smmuv3_event_info *info = ims_smmuv3_event_find(w[0] & 0xff);
  auto get = [&](enum ims_smmuv3_event_field f, uint64_t otherwise) {
    return info && info->fields >> f & 1 ? ims_smmuv3_event_get(w, f) : otherwise;
  };
  LoggedFault f;
  f.code = w[0] & 0xff;
  f.source = static_cast<uint32_t>(w[0] >> 32);
  f.has_pasid = get(IMS_SMMUV3_EVENT_SSV_FIELD, 0);
  f.pasid = static_cast<uint32_t>(f.has_pasid ? get(IMS_SMMUV3_EVENT_SSID_FIELD, 0) : 0);
  f.write = !get(IMS_SMMUV3_EVENT_RNW_FIELD, 1);
  f.stalled = get(IMS_SMMUV3_EVENT_STALL_FIELD, 0);
  f.stag = static_cast<uint16_t>(f.stalled ? get(IMS_SMMUV3_EVENT_STAG_FIELD, 0) : 0);
  f.iova = get(IMS_SMMUV3_EVENT_INPUT_FIELD, 0);
  d.faults.push_back(f);
}

void SmmuMachine::read_request(Drain &d, uint64_t at) {
  const uint64_t low = load(at), high = load(at + 8);
  ims_page_request r = {};
  r.source = static_cast<uint32_t>(low);
  r.has_pasid = low >> 63;
  r.pasid = r.has_pasid ? low >> 32 & 0xfffff : 0;
  r.priv = low >> 58 & 1;
  r.exec = low >> 59 & 1;
  r.read = low >> 60 & 1;
  r.write = low >> 61 & 1;
  r.last = low >> 62 & 1;
  r.group = high & 0x1ff;
  r.addr = high >> 12 << 12;
  d.pages.push_back(r);
}

// 3.5, 7.4: there is an interrupt only when a queue becomes non-empty, so the write index is read until nothing is new.
bool SmmuMachine::drain_next(Drain &d, uint64_t read, Mmio *next) {
  const bool faults = d.log == MachineLog::FAULTS;
  const uint64_t mask = (uint64_t{2} << cfg.log_log2) - 1;
  const uint32_t prod = faults ? IMS_SMMUV3_OFF_EVENTQ_PROD : IMS_SMMUV3_OFF_PRIQ_PROD;
  uint32_t &head = faults ? events_head_ : requests_head_;
  if (!faults && !cfg.pri)
    return false;
  if (d.state++ % 2 == 0) {
    *next = {prod, 4, 0, false};
    return true;
  }
  const uint64_t overflow = read & IMS_SMMUV3_BITS(EVENTQ_PROD_OVFLG), tail = read & mask;
  if (head == tail && overflow == acknowledged_[faults])
    return false;
  d.overflow |= overflow != acknowledged_[faults];
  acknowledged_[faults] = overflow;
  for (; head != tail; head = (head + 1) & mask) {
    uint64_t index = head & (mask >> 1);
    if (faults)
      read_event(d, events_ + index * 32);
    else
      read_request(d, requests_ + index * 16);
  }
  *next = {faults ? IMS_SMMUV3_OFF_EVENTQ_CONS : IMS_SMMUV3_OFF_PRIQ_CONS, 4, head | overflow, true};
  return true;
}

} // namespace

std::unique_ptr<MachineImpl> machine_smmuv3(const MachineConfig &config, const ims_smmuv3_config &smmu) {
  return std::make_unique<SmmuMachine>(config, smmu);
}

} // namespace ims::model
