// SPDX-License-Identifier: Apache-2.0
// The architectures. Rows of registers, options and faults come from their own headers.
#include "trace/arch.h"
#include "pgtable/vmsa.h"
#include "trace/smmu_entries.h"
#include "trace/smmuv2_text.h"
#include "trace/vtd_entries.h"

#include <cstring>

namespace ims {

Config::Config() {
  ims_vtd_config_default(&vtd);
  ims_smmuv3_config_default(&smmuv3);
  ims_smmuv2_config_default(&smmuv2);
}

bool RegisterField::is_address() const {
  return (low >= 12 && high == 63) || (low == 2 && high == 31) || (low >= 2 && low <= 6 && (high == 51 || high == 55));
}

const RegisterField *RegisterInfo::field(std::string_view wanted) const {
  for (const RegisterField &f : fields)
    if (wanted == f.name)
      return &f;
  return nullptr;
}

// The number at the start of a text, which is cut off. False: there is none.
static bool take_number(std::string_view *text, unsigned *value) {
  size_t n = 0;
  *value = 0;
  while (n < text->size() && n < 4 && (*text)[n] >= '0' && (*text)[n] <= '9')
    *value = *value * 10 + static_cast<unsigned>((*text)[n++] - '0');
  text->remove_prefix(n);
  return n;
}

int Arch::find_register(std::string_view wanted, unsigned *index) const {
  unsigned which = 0;
  for (size_t i = 0; i < registers.size(); i++) {
    const RegisterInfo &r = registers[i];
    std::string_view rest = wanted, own = r.name;
    if (r.kind == RegisterInfo::BANK) {
      if (rest.substr(0, 2) != "CB")
        continue;
      rest.remove_prefix(2);
      if (!take_number(&rest, &which) || rest.substr(0, 1) != "_" || rest.substr(1) != own)
        continue;
    } else if (r.kind == RegisterInfo::ARRAY) {
      if (rest.substr(0, own.size()) != own)
        continue;
      rest.remove_prefix(own.size());
      if (!take_number(&rest, &which) || !rest.empty())
        continue;
    } else if (rest != own) {
      continue;
    }
    if (index)
      *index = which;
    return static_cast<int>(i);
  }
  return -1;
}

uint32_t Arch::register_offset(const Config &c, unsigned row, unsigned index) const {
  const RegisterInfo &r = registers[row];
  uint32_t at = r.offset + (r.kind == RegisterInfo::ARRAY ? index * r.bytes : 0);
  return r.page == 2   ? at + ims_smmuv2_cb_offset(&c.smmuv2, index)
         : r.page == 1 ? at + ims_smmuv2_gr1_offset(&c.smmuv2)
                       : at;
}

std::vector<std::string> Arch::register_names() const {
  std::vector<std::string> names;
  for (const RegisterInfo &r : registers)
    names.push_back(r.kind == RegisterInfo::BANK    ? std::string("CB0_") + r.name
                    : r.kind == RegisterInfo::ARRAY ? std::string(r.name) + "0"
                                                    : std::string(r.name));
  return names;
}

const FaultInfo *Arch::find_fault(unsigned code) const {
  for (const FaultInfo &f : faults)
    if (f.code == code)
      return &f;
  return nullptr;
}

const ims_option *Arch::find_option(std::string_view wanted) const {
  for (unsigned i = 0; const ims_option *o = option(i); i++)
    if (wanted == o->name)
      return o;
  return nullptr;
}

std::string Arch::fault_text(unsigned code) const {
  const FaultInfo *f = find_fault(code);
  return f ? f->name + ": " + f->sentence : "unknown reason";
}

namespace {

template <class Info, class Fields>
std::vector<RegisterInfo> registers_of(const Info *info, size_t count, const Fields *fields, size_t field_count,
                                       bool (*identifies)(std::string_view)) {
  std::vector<RegisterInfo> rows;
  for (size_t i = 0; i < count; i++) {
    RegisterInfo r = {info[i].name,
                      info[i].section,
                      info[i].sentence,
                      info[i].offset,
                      info[i].bytes,
                      info[i].reset,
                      identifies(info[i].name),
                      {},
                      RegisterInfo::PLAIN,
                      0};
    for (size_t f = 0; f < field_count; f++)
      if (fields[f].reg == i)
        r.fields.push_back({fields[f].name, fields[f].sentence, fields[f].high, fields[f].low, fields[f].access});
    rows.push_back(std::move(r));
  }
  return rows;
}

std::string dotted(std::string name) {
  for (char &c : name)
    c = c == '_' ? '.' : c;
  return name;
}

int same_level(unsigned level) { return static_cast<int>(level); }

// ---- VT-d ----------------------------------------------------------------------------------------------------------

// NEST as revision 2.x had it, PDS without PRS (Sapphire Rapids).
void settle_vtd(Config &c) {
  c.vtd.nest &= c.vtd.fsts & c.vtd.ssts;
  c.vtd.prs &= c.vtd.dt;
  c.vtd.pds &= c.vtd.prs;
}

void identify_vtd(Config &c, const RegisterInfo &reg, uint64_t value) {
  bool cap = !std::strcmp(reg.name, "CAP");
  ims_vtd_config_from_caps(&c.vtd, cap ? value : ims_vtd_cap(&c.vtd), cap ? ims_vtd_ecap(&c.vtd) : value);
}

Arch make_vtd() {
  Arch a = {};
  a.name = "vtd";
  a.title = "VT-d";
  a.a_unit = "a VT-d unit";
  a.identification = "CAP and ECAP";
  a.source_bits = 16;
  a.say = {"first stage", "second stage", "first-stage", "second-stage", "gpa", "entry", "PASID", "fault"};
  a.numbered_records = true;
  a.registers = registers_of(ims_vtd_regs, IMS_VTD_REG_COUNT, ims_vtd_fields, ims_vtd_field_count,
                             [](std::string_view name) { return name == "CAP" || name == "ECAP"; });
  for (unsigned i = 0; const struct ims_vtd_fault_info *f = ims_vtd_faults(i); i++)
    a.faults.push_back({f->code, dotted(f->name), f->sentence});
  a.attributes = {{"root", "RTADDR", ~0xfffull}, {"cap", "CAP", ~0ull}, {"ecap", "ECAP", ~0ull}};
  a.facts = {{"HAW", "haw"}}; // host address width, from the ACPI DMAR table
  a.option = ims_vtd_options;
  a.config = [](Config &c) -> void * { return &c.vtd; };
  a.check = [](const Config &c) { return ims_vtd_config_check(&c.vtd); };
  a.identify = identify_vtd;
  a.settle = settle_vtd;
  a.make = [](ims_iommu **out, const Config &c, ims_mem *mem, const ims_iommu_bus *bus) {
    return ims_vtd_new(out, &c.vtd, mem, bus);
  };
  a.restore = ims_vtd_restore;
  a.restored = ims_vtd_restored;
  a.peek = [](const ims_iommu *u, unsigned reg) { return ims_vtd_peek(u, static_cast<ims_vtd_reg>(reg)); };
  a.level = same_level;
  a.record = [](const ims_result &r) { return decode_vtd_entry(VtdEntry::FAULT_RECORD, r.record, 2); };
  return a;
}

// ---- SMMU ----------------------------------------------------------------------------------------------------------

constexpr Vocabulary arm_words = {"stage 1", "stage 2",    "stage-1",     "stage-2",
                                  "ipa",     "descriptor", "SubstreamID", "event"};

Arch make_smmuv3() {
  Arch a = {};
  a.name = "smmuv3";
  a.title = "SMMUv3";
  a.a_unit = "an SMMUv3";
  a.identification = "IDR0 to IDR5 and AIDR";
  a.source_bits = 32;
  a.say = arm_words;
  a.vmsa = true;
  a.event_fields = true;
  a.plain_abort = true;
  a.caches = {{IMS_CACHE_CONTEXT, "STE cache"}, {IMS_CACHE_PASID, "CD cache"}, {IMS_CACHE_NESTED, "IPA cache"}};
  a.registers = registers_of(
      ims_smmuv3_regs, IMS_SMMUV3_REG_COUNT, ims_smmuv3_fields, ims_smmuv3_field_count, [](std::string_view name) {
        return name == "IDR0" || name == "IDR1" || name == "IDR3" || name == "IDR5" || name == "AIDR";
      });
  for (unsigned i = 0; const struct ims_smmuv3_event_info *e = ims_smmuv3_events(i); i++)
    a.faults.push_back({e->number, e->name, e->sentence});
  a.attributes = {{"root", "STRTAB_BASE", IMS_SMMUV3_BITS(STRTAB_BASE_ADDR)}};
  a.option = ims_smmuv3_options;
  a.config = [](Config &c) -> void * { return &c.smmuv3; };
  a.check = [](const Config &c) { return ims_smmuv3_config_check(&c.smmuv3); };
  a.identify = [](Config &c, const RegisterInfo &reg, uint64_t value) {
    for (unsigned i = 0; i < IMS_SMMUV3_REG_COUNT; i++)
      if (!std::strcmp(reg.name, ims_smmuv3_regs[i].name))
        ims_smmuv3_config_from_id(&c.smmuv3, static_cast<ims_smmuv3_reg>(i), static_cast<uint32_t>(value));
  };
  a.settle = [](Config &c) { c.smmuv3.pri &= c.smmuv3.ats; };
  a.make = [](ims_iommu **out, const Config &c, ims_mem *mem, const ims_iommu_bus *bus) {
    return ims_smmuv3_new(out, &c.smmuv3, mem, bus);
  };
  a.restore = ims_smmuv3_restore;
  a.restored = ims_smmuv3_restored;
  a.peek = [](const ims_iommu *u, unsigned reg) { return ims_smmuv3_peek(u, static_cast<ims_smmuv3_reg>(reg)); };
  // A request that waits would keep a place; translation off and on again ends it (3.12.2).
  a.forget = [](ims_iommu *u, const ims_result &r) {
    uint64_t cr0 = ims_iommu_read(u, IMS_SMMUV3_OFF_CR0, 4);
    if (r.status != IMS_STATUS_STALL)
      return;
    ims_iommu_write(u, IMS_SMMUV3_OFF_CR0, 4, cr0 & ~IMS_SMMUV3_BITS(CR0_SMMUEN));
    ims_iommu_write(u, IMS_SMMUV3_OFF_CR0, 4, cr0);
  };
  a.level = ims_vmsa_level;
  a.record = [](const ims_result &r) { return decode_smmu_event(r.record); };
  return a;
}

Arch make_smmuv2() {
  Arch a = {};
  a.name = "smmuv2";
  a.title = "SMMUv2";
  a.a_unit = "an SMMUv2";
  a.identification = "IDR0 to IDR7";
  a.source_bits = 16;
  a.say = arm_words;
  a.say.substream = ""; // there are none
  a.say.fault = "fault";
  a.vmsa = true;
  a.plain_abort = true;
  a.caches = {{IMS_CACHE_NESTED, "IPA cache"}};
  auto add = [&](std::vector<RegisterInfo> rows, unsigned page) {
    for (RegisterInfo &r : rows) {
      bool array = page == 1 || !std::strcmp(r.name, "SMR") || !std::strcmp(r.name, "S2CR");
      r.kind = page == 2 ? RegisterInfo::BANK : array ? RegisterInfo::ARRAY : RegisterInfo::PLAIN;
      r.page = page;
      a.registers.push_back(r);
    }
  };
  auto id = [](std::string_view name) { return name.substr(0, 3) == "IDR"; };
  add(registers_of(ims_smmuv2_gr0_regs, IMS_SMMUV2_GR0_COUNT, ims_smmuv2_gr0_fields, ims_smmuv2_gr0_field_count, id),
      0);
  add(registers_of(ims_smmuv2_gr1_regs, IMS_SMMUV2_GR1_COUNT, ims_smmuv2_gr1_fields, ims_smmuv2_gr1_field_count, id),
      1);
  add(registers_of(ims_smmuv2_cb_regs, IMS_SMMUV2_CB_COUNT, ims_smmuv2_cb_fields, ims_smmuv2_cb_field_count, id), 2);
  for (unsigned i = 0; const struct ims_smmuv2_fault_info *f = ims_smmuv2_faults(i); i++)
    a.faults.push_back({f->code, f->name, f->sentence});
  a.option = ims_smmuv2_options;
  a.config = [](Config &c) -> void * { return &c.smmuv2; };
  a.check = [](const Config &c) { return ims_smmuv2_config_check(&c.smmuv2); };
  a.identify = [](Config &c, const RegisterInfo &reg, uint64_t value) {
    for (unsigned i = 0; i < IMS_SMMUV2_GR0_COUNT; i++)
      if (!std::strcmp(reg.name, ims_smmuv2_gr0_regs[i].name))
        ims_smmuv2_config_from_id(&c.smmuv2, static_cast<ims_smmuv2_gr0>(i), static_cast<uint32_t>(value));
  };
  a.make = [](ims_iommu **out, const Config &c, ims_mem *mem, const ims_iommu_bus *bus) {
    return ims_smmuv2_new(out, &c.smmuv2, mem, bus);
  };
  a.restore = ims_smmuv2_restore;
  a.restored = ims_smmuv2_restored;
  a.register_bytes = ims_smmuv2_reg_bytes;
  a.forget = [](ims_iommu *u, const ims_result &) { ims_smmuv2_forget_faults(u); };
  a.preamble = smmuv2_preamble;
  a.level = ims_vmsa_level;
  a.record = [](const ims_result &r) { return decode_smmuv2_record(r); };
  return a;
}

} // namespace

const std::vector<const Arch *> &arches() {
  static const Arch vtd = make_vtd(), smmuv3 = make_smmuv3(), smmuv2 = make_smmuv2();
  static const std::vector<const Arch *> all = {&vtd, &smmuv3, &smmuv2};
  return all;
}

void append_record_words(std::string *out, const ims_result &r) {
  for (unsigned i = 0; i < r.record_words; i++) {
    uint64_t word = r.record[r.record_words == 2 ? 1 - i : i];
    char digits[18];
    char *p = digits;
    if (i)
      *p++ = ':';
    for (int shift = 60; shift >= 0; shift -= 4)
      *p++ = "0123456789abcdef"[word >> shift & 15];
    out->append(digits, p);
  }
}

const Arch *find_arch(std::string_view name) {
  for (const Arch *a : arches())
    if (name == a->name)
      return a;
  return nullptr;
}

const Arch &arch_of(const ims_iommu *u) { return *find_arch(u->ops->arch); }

std::vector<std::string> arch_names() {
  std::vector<std::string> names;
  for (const Arch *a : arches())
    names.push_back(a->name);
  return names;
}

} // namespace ims
