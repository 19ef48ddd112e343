// SPDX-License-Identifier: Apache-2.0
// SMMUv3's structures in words.
#include "trace/smmu_entries.h"
#include "iommu/smmuv3/events.h"
#include "pasid/smmu.h"
#include "pgtable/vmsa.h"
#include "trace/text.h"

#include <algorithm>
#include <cinttypes>
#include <cstring>

namespace ims {

namespace {

bool is(const FieldRow &row, const char *name) { return !std::strcmp(row.name, name); }

bool begins(const FieldRow &row, const char *name) { return !std::strncmp(row.name, name, std::strlen(name)); }

bool any_of(const FieldRow &row, std::initializer_list<const char *> names) {
  return std::any_of(names.begin(), names.end(), [&](const char *n) { return is(row, n); });
}

// Lowest bit of the address that a field holds, by its name; 0: no address.
unsigned address_lsb(SmmuEntry entry, const char *name) {
  FieldRow row = {name, "", 0, 0, false, 0};
  if (is(row, "L2PTR"))
    return entry == SmmuEntry::CD_L1 ? 12 : 6;
  if (is(row, "S1CONTEXTPTR"))
    return 6;
  if (is(row, "VMSPTR"))
    return 12;
  return any_of(row, {"S2TTB", "S_S2TTB", "TTB0", "TTB1"}) ? 4 : 0;
}

template <size_t N> std::vector<FieldRow> rows_of(SmmuEntry entry, const ims_smmu_field (&fields)[N]) {
  std::vector<FieldRow> rows;
  for (const ims_smmu_field &f : fields) {
    unsigned lsb = address_lsb(entry, f.name);
    rows.push_back({f.name, f.sentence, f.lsb, f.width, lsb != 0, lsb});
  }
  return rows;
}

const char *const granules[] = {"4 KB", "64 KB", "16 KB", "reserved"};  // S2TG, TG0
const char *const granules1[] = {"reserved", "16 KB", "4 KB", "64 KB"}; // TG1

ims_granule granule_of(uint64_t tg) { return tg == 1 ? IMS_GRANULE_64K : tg == 2 ? IMS_GRANULE_16K : IMS_GRANULE_4K; }
ims_granule granule1_of(uint64_t tg) { return tg == 1 ? IMS_GRANULE_16K : tg == 3 ? IMS_GRANULE_64K : IMS_GRANULE_4K; }

std::string output_bits(uint64_t code) {
  static const unsigned bits[] = {32, 36, 40, 42, 44, 48, 52, 56};
  return format("%u bits", bits[code & 7]);
}

// What a field says does not count, given the others.
bool ignored_in_ste(const FieldRow &row, const uint64_t *w) {
  unsigned config = static_cast<unsigned>(IMS_STE_GET(w, CONFIG));
  if (any_of(row, {"V", "CONFIG", "SW_RESERVED", "CONT"}))
    return false;
  if (!IMS_STE_GET(w, V) || config < 4)
    return true;
  bool s1 = config & 1, s2 = config & 2;
  if (is(row, "STRW"))
    return config != 5;
  if (is(row, "EATS"))
    return config == 4;
  if (is(row, "S1DSS") || is(row, "S1FMT"))
    return !s1 || !IMS_STE_GET(w, S1CDMAX);
  if (is(row, "S2VMID"))
    return false;
  if (is(row, "S2AFFD") && IMS_STE_GET(w, S2HA))
    return true;
  return begins(row, "S1") ? !s1 : begins(row, "S2") || begins(row, "S_S2") ? !s2 : false;
}

bool ignored_in_cd(const FieldRow &row, const uint64_t *w) {
  if (is(row, "V"))
    return false;
  if (!IMS_CD_GET(w, V))
    return true;
  if (IMS_CD_GET(w, EPD0) &&
      any_of(row, {"T0SZ", "TG0", "IR0", "OR0", "SH0", "TBI0", "HAD0", "E0PD0", "TTB0", "NSCFG0"}))
    return true;
  if (IMS_CD_GET(w, EPD1) &&
      any_of(row, {"T1SZ", "TG1", "IR1", "OR1", "SH1", "TBI1", "HAD1", "E0PD1", "TTB1", "NSCFG1"}))
    return true;
  if (!IMS_CD_GET(w, AA64) && any_of(row, {"TG0", "TG1", "HA", "HD", "HAFT", "TBI0", "TBI1", "IPS"}))
    return true;
  if (is(row, "UWXN"))
    return IMS_CD_GET(w, AA64);
  return is(row, "AFFD") && IMS_CD_GET(w, HA);
}

std::string ste_meaning(const FieldRow &row, uint64_t v, const uint64_t *w) {
  static const char *const config[] = {"abort",  "abort",   "abort",   "abort",
                                       "bypass", "stage 1", "stage 2", "stages 1 and 2"};
  static const char *const fmt[] = {"linear", "two levels, leaves of 4 KB", "two levels, leaves of 64 KB", "linear"};
  static const char *const dss[] = {"without: terminate", "without: bypass stage 1", "without: substream 0",
                                    "without: terminate"};
  static const char *const eats[] = {"", "full", "split-stage", "full, with permission table"};
  static const char *const world[] = {"EL1", "EL3", "EL2", "reserved"};
  static const char *const cfg[] = {"as incoming", "reserved", "", ""};
  bool aa64 = IMS_STE_GET(w, S2AA64);
  if (is(row, "CONFIG"))
    return config[v & 7];
  if (is(row, "S1FMT"))
    return fmt[v & 3];
  if (is(row, "S1CDMAX"))
    return format("%u CDs", 1u << (v & 31));
  if (is(row, "S1DSS"))
    return dss[v & 3];
  if (is(row, "EATS"))
    return eats[v & 3];
  if (is(row, "STRW"))
    return world[v & 3];
  if (is(row, "SHCFG"))
    return v == 1 ? "as incoming" : v == 2 ? "outer" : v == 3 ? "inner" : "";
  if (is(row, "PRIVCFG"))
    return v == 2 ? "unprivileged" : v == 3 ? "privileged" : cfg[v & 3];
  if (is(row, "INSTCFG"))
    return v == 2 ? "data" : v == 3 ? "instruction" : cfg[v & 3];
  if (is(row, "S2T0SZ") && aa64)
    return format("%u bits", 64 - static_cast<unsigned>(v));
  if (is(row, "S2TG") && aa64)
    return granules[v & 3];
  if (is(row, "S2PS"))
    return output_bits(v);
  if (is(row, "S2SL0") && aa64) {
    bool ds = IMS_STE_GET(w, S2DS);
    unsigned sl0 = static_cast<unsigned>(v | (ds ? IMS_STE_GET(w, S2SL0_2) << 2 : 0));
    unsigned levels = ims_vmsa_s2_levels(granule_of(IMS_STE_GET(w, S2TG)), sl0, ds, true);
    return levels ? format("level %d", ims_vmsa_level(levels)) : "reserved";
  }
  return {};
}

std::string cd_meaning(const FieldRow &row, uint64_t v, const uint64_t *w) {
  bool aa64 = IMS_CD_GET(w, AA64);
  if ((is(row, "T0SZ") || is(row, "T1SZ")) && aa64)
    return format("%u bits", 64 - static_cast<unsigned>(v));
  if (is(row, "TG0"))
    return granules[v & 3];
  if (is(row, "TG1"))
    return granules1[v & 3];
  if (is(row, "IPS"))
    return output_bits(v);
  return {};
}

// The stage-2 part of an STE.
std::string stage2_text(const uint64_t *w) {
  uint64_t ttb = ims_ste_address(w, IMS_STE_S2TTB);
  unsigned vmid = static_cast<unsigned>(IMS_STE_GET(w, S2VMID));
  if (!IMS_STE_GET(w, S2AA64))
    return format("stage 2, AArch32 long descriptors, table at 0x%" PRIx64 ", VMID %u", ttb, vmid);
  bool ds = IMS_STE_GET(w, S2DS);
  unsigned sl0 = static_cast<unsigned>(IMS_STE_GET(w, S2SL0) | (ds ? IMS_STE_GET(w, S2SL0_2) << 2 : 0));
  unsigned levels = ims_vmsa_s2_levels(granule_of(IMS_STE_GET(w, S2TG)), sl0, ds, true);
  return format("stage 2, %u bits of IPA, granule %s, ", 64 - static_cast<unsigned>(IMS_STE_GET(w, S2T0SZ)),
                granules[IMS_STE_GET(w, S2TG)]) +
         (levels ? format("level %d", ims_vmsa_level(levels)) : std::string("no such start level")) +
         format(" at 0x%" PRIx64 ", VMID %u", ttb, vmid);
}

std::string substream_text(const uint64_t *w, const SmmuContext &c) {
  unsigned dss = static_cast<unsigned>(IMS_STE_GET(w, S1DSS));
  if (c.request->has_pasid)
    return format("CD %u", c.request->pasid);
  return dss == 1   ? "no SubstreamID: stage 1 is bypassed"
         : dss == 2 ? "no SubstreamID: CD 0"
                    : "no SubstreamID: refused";
}

std::string stage1_text(const uint64_t *w, const SmmuContext &c) {
  uint64_t ptr = ims_ste_address(w, IMS_STE_S1CONTEXTPTR);
  bool ipa = IMS_STE_GET(w, CONFIG) == 7;
  unsigned max = static_cast<unsigned>(IMS_STE_GET(w, S1CDMAX)), fmt = static_cast<unsigned>(IMS_STE_GET(w, S1FMT));
  std::string at = format("at %s0x%" PRIx64, ipa ? "ipa " : "", ptr);
  if (!max)
    return "stage 1, one CD " + at;
  return "stage 1, " + std::string(ims_cd_split(fmt) ? "two-level" : "linear") + " CD table " + at + ", " +
         substream_text(w, c);
}

// Which half of a CD an address falls to: 1 for TTB1.
unsigned side_of(const uint64_t *w, uint64_t iova) { return IMS_CD_GET(w, AA64) ? iova >> 55 & 1 : 0; }

std::string cd_text(const uint64_t *w, const SmmuContext &c) {
  unsigned asid = static_cast<unsigned>(IMS_CD_GET(w, ASID)), side = side_of(w, c.request->iova);
  uint64_t ttb = ims_cd_address(w, side ? IMS_CD_TTB1 : IMS_CD_TTB0);
  std::string name = format("TTB%u", side),
              at = format("at %s0x%" PRIx64 ", ASID %u", c.nested ? "ipa " : "", ttb, asid);
  if (!IMS_CD_GET(w, AA64))
    return "AArch32 long descriptors, " + name + " " + at;
  if (side ? IMS_CD_GET(w, EPD1) : IMS_CD_GET(w, EPD0))
    return format("EPD%u: no walks for this half of the addresses", side);
  unsigned in_bits = 64 - static_cast<unsigned>(side ? IMS_CD_GET(w, T1SZ) : IMS_CD_GET(w, T0SZ));
  uint64_t tg = side ? IMS_CD_GET(w, TG1) : IMS_CD_GET(w, TG0);
  unsigned levels = ims_vmsa_s1_levels(side ? granule1_of(tg) : granule_of(tg), in_bits);
  return format("%s: %u bits, granule %s, level %d %s", name.c_str(), in_bits, (side ? granules1 : granules)[tg],
                ims_vmsa_level(levels), at.c_str());
}

} // namespace

const std::vector<FieldRow> &smmu_fields(SmmuEntry entry) {
  static const std::vector<FieldRow> all[] = {
      rows_of(SmmuEntry::STREAM_L1, ims_stream_l1_fields), rows_of(SmmuEntry::STE, ims_ste_fields),
      rows_of(SmmuEntry::CD_L1, ims_cd_l1_fields), rows_of(SmmuEntry::CD, ims_cd_fields)};
  return all[static_cast<size_t>(entry)];
}

unsigned smmu_words(SmmuEntry entry) { return entry == SmmuEntry::STE || entry == SmmuEntry::CD ? 8 : 1; }

std::vector<Field> decode_smmu_entry(SmmuEntry entry, const uint64_t *words) {
  DecodeStyle style;
  style.meaning = [&](const FieldRow &row, uint64_t value) -> std::string {
    bool ste = entry == SmmuEntry::STE, cd = entry == SmmuEntry::CD;
    if ((ste && ignored_in_ste(row, words)) || (cd && ignored_in_cd(row, words)))
      return "ignored";
    return ste ? ste_meaning(row, value, words) : cd ? cd_meaning(row, value, words) : std::string();
  };
  style.always = [](const FieldRow &row) { return any_of(row, {"V", "CONFIG", "SPAN"}); };
  style.in_hex = [](const FieldRow &row) {
    return begins(row, "MAIR") || begins(row, "AMAIR") || begins(row, "PII") || is(row, "S2POI") || is(row, "MEMATTR");
  };
  return decode_fields(smmu_fields(entry), words, smmu_words(entry), style);
}

std::string smmu_entry_leads_to(SmmuEntry entry, const uint64_t *w, const SmmuContext &c) {
  switch (entry) {
  case SmmuEntry::STREAM_L1: {
    int log2 = ims_stream_l2_log2(w[0], c.split);
    uint32_t index = ims_stream_l2_index(c.split, c.request->source);
    if (log2 < 0)
      return format("no leaf (Span %u)", static_cast<unsigned>(w[0] & 31));
    std::string leaf =
        format("leaf of %u STEs at 0x%" PRIx64, 1u << log2, ims_stream_l2_base(w[0], static_cast<unsigned>(log2)));
    return leaf + format(index >> log2 ? "; STE %u is beyond it" : ", STE %u", index);
  }
  case SmmuEntry::STE: {
    unsigned config = static_cast<unsigned>(IMS_STE_GET(w, CONFIG));
    if (!IMS_STE_GET(w, V))
      return "not valid";
    if (config < 4)
      return "abort: terminated, without an event";
    if (config == 4)
      return "bypass: addresses pass as they are";
    std::string text = config & 1 ? stage1_text(w, c) : "";
    if (config & 2)
      text += (text.empty() ? "" : "; ") + stage2_text(w);
    else
      text += format(", VMID %u", static_cast<unsigned>(IMS_STE_GET(w, S2VMID)));
    return text;
  }
  case SmmuEntry::CD_L1:
    if (!ims_cd_l1_valid(w[0]))
      return "not valid";
    return format("leaf of CDs at %s0x%" PRIx64, c.nested ? "ipa " : "", ims_cd_l2_base(w[0], 1));
  case SmmuEntry::CD: break;
  }
  return IMS_CD_GET(w, V) ? cd_text(w, c) : "not valid";
}

unsigned smmu_event_shift(unsigned field) {
  return field == IMS_SMMUV3_EVENT_IPA_FIELD || field == IMS_SMMUV3_EVENT_INPUT_PAGE_FIELD ? 12
         : field == IMS_SMMUV3_EVENT_FETCH_FIELD                                           ? 3
                                                                                           : 0;
}

std::vector<Field> decode_smmu_event(const uint64_t record[4]) {
  static const char *const classes[] = {"CD", "translation table", "input address", "reserved"};
  std::vector<Field> out;
  const ims_smmuv3_event_info *info = ims_smmuv3_event_find(static_cast<unsigned>(record[0] & 255));
  for (unsigned i = 0; i < IMS_SMMUV3_EVENT_FIELD_COUNT; i++) {
    const ims_smmuv3_event_place &p = ims_smmuv3_event_places[i];
    auto field = static_cast<ims_smmuv3_event_field>(i);
    if (info ? !(info->fields >> i & 1) : i != IMS_SMMUV3_EVENT_ID_FIELD && i != IMS_SMMUV3_EVENT_SID_FIELD)
      continue;
    uint64_t value = ims_smmuv3_event_get(record, field);
    std::string meaning;
    bool always = false, in_hex = false;
    switch (field) {
    case IMS_SMMUV3_EVENT_ID_FIELD:
      meaning = info ? info->name : "unknown";
      always = in_hex = true;
      break;
    case IMS_SMMUV3_EVENT_SID_FIELD:
      meaning = value > 0xffff ? std::string() : source_text(static_cast<uint32_t>(value));
      always = in_hex = true;
      break;
    case IMS_SMMUV3_EVENT_S2_FIELD:
      meaning = value ? "stage 2" : "stage 1";
      always = true;
      break;
    case IMS_SMMUV3_EVENT_CLASS_FIELD:
      meaning = classes[value & 3];
      always = true;
      break;
    case IMS_SMMUV3_EVENT_RNW_FIELD:
      meaning = value ? "read" : "write";
      always = true;
      break;
    case IMS_SMMUV3_EVENT_STALL_FIELD: meaning = "waits"; break;
    case IMS_SMMUV3_EVENT_STAG_FIELD: always = ims_smmuv3_event_get(record, IMS_SMMUV3_EVENT_STALL_FIELD); break;
    case IMS_SMMUV3_EVENT_SSID_FIELD: always = ims_smmuv3_event_get(record, IMS_SMMUV3_EVENT_SSV_FIELD); break;
    case IMS_SMMUV3_EVENT_INPUT_FIELD: always = in_hex = true; break;
    case IMS_SMMUV3_EVENT_INPUT_PAGE_FIELD:
    case IMS_SMMUV3_EVENT_IPA_FIELD: in_hex = true; break;
    case IMS_SMMUV3_EVENT_FETCH_FIELD: always = in_hex = true; break;
    default: break;
    }
    if (field == IMS_SMMUV3_EVENT_IPA_FIELD)
      always = ims_smmuv3_event_get(record, IMS_SMMUV3_EVENT_S2_FIELD);
    if (!value && !always)
      continue;
    value <<= smmu_event_shift(i);
    out.push_back({p.name, value, format(in_hex ? "0x%" PRIx64 : "%" PRIu64, value), meaning});
  }
  return out;
}

std::string memory_text(unsigned attr) {
  static const char *const device[] = {"Device-nGnRnE", "Device-nGnRE", "Device-nGRE", "Device-GRE"};
  auto cache = [](unsigned nibble) -> std::string {
    if (nibble == 4)
      return "NC";
    std::string policy = nibble & 4 ? "WB" : "WT";
    return policy + (nibble & 8 ? "" : " transient");
  };
  if (!(attr & 0xf0))
    return attr & 3 ? format("memory type 0x%02x", attr) : device[attr >> 2 & 3];
  std::string outer = cache(attr >> 4 & 15), inner = cache(attr & 15);
  return "Normal " + (outer == inner ? outer : "outer " + outer + ", inner " + inner);
}

const char *shareability_text(unsigned sh) {
  static const char *const names[] = {"NSH", "reserved shareability", "OSH", "ISH"};
  return names[sh & 3];
}

} // namespace ims
