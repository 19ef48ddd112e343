// SPDX-License-Identifier: Apache-2.0
// VT-d's structures in words. Rows of root and context entries and of the fault record stand here; those of the PASID
// structures come from pasid/vtd.h.
#include "trace/vtd_entries.h"
#include "trace/text.h"

#include <cinttypes>
#include <cstring>

namespace ims {

namespace {

// name, lowest bit, width, sentence
const ims_vtd_field legacy_root[] = {
    {"P", 0, 1, "present"},
    {"CTP", 12, 52, "context table pointer"},
};
const ims_vtd_field scalable_root[] = {
    {"LP", 0, 1, "lower half present: devices 00 to 0f"},
    {"LCTP", 12, 52, "context table pointer of the lower half"},
    {"UP", 64, 1, "upper half present: devices 10 to 1f"},
    {"UCTP", 76, 52, "context table pointer of the upper half"},
};
const ims_vtd_field legacy_context[] = {
    {"P", 0, 1, "present"},           {"FPD", 1, 1, "fault processing disabled"},
    {"TT", 2, 2, "translation type"}, {"SSPTPTR", 12, 52, "second-stage page-table pointer"},
    {"AW", 64, 3, "address width"},   {"IGN", 67, 4, "ignored"},
    {"DID", 72, 16, "domain id"},
};
const ims_vtd_field scalable_context[] = {
    {"P", 0, 1, "present"},
    {"FPD", 1, 1, "fault processing disabled"},
    {"DTE", 2, 1, "device TLB enable"},
    {"PASIDE", 3, 1, "requests with PASID enable"},
    {"PRE", 4, 1, "page requests enable"},
    {"PDTS", 9, 3, "PASID directory size"},
    {"PASIDDIRPTR", 12, 52, "PASID directory pointer"},
    {"RID_PASID", 64, 20, "PASID of requests without PASID"},
    {"RID_PRIV", 84, 1, "requests without PASID are privileged"},
};
const ims_vtd_field fault_record[] = {
    {"FI", 12, 52, "page of the address asked for"},
    {"SID", 64, 16, "source id"},
    {"T2", 92, 1, "type, second bit"},
    {"PRIV", 93, 1, "privileged"},
    {"EXE", 94, 1, "execute"},
    {"PP", 95, 1, "PASID present"},
    {"FR", 96, 8, "fault reason"},
    {"PV", 104, 20, "PASID"},
    {"AT", 124, 2, "address type"},
    {"T1", 126, 1, "type, first bit"},
    {"F", 127, 1, "this register holds a fault"},
};

const char *const request_kinds[] = {"write", "page request", "read", "atomic"}; // by T1, T2

// Pointers of VT-d are bits 63:12 of an address.
FieldRow row_of(const ims_vtd_field &f) { return {f.name, f.sentence, f.lsb, f.width, f.width == 52, 12}; }

template <size_t N> std::vector<FieldRow> rows_of(const ims_vtd_field (&rows)[N]) {
  std::vector<FieldRow> out;
  for (const ims_vtd_field &row : rows)
    out.push_back(row_of(row));
  return out;
}

std::string width_of(uint64_t aw) {
  return aw >= 1 && aw <= 3
             ? format("%u bits, %u levels", static_cast<unsigned>(30 + 9 * aw), static_cast<unsigned>(2 + aw))
             : "reserved";
}

std::string meaning_of(VtdEntry entry, const std::string &name, uint64_t value) {
  static const char *const types[] = {"untranslated requests", "all requests", "pass-through", "reserved"};
  static const char *const at[] = {"untranslated", "translation request", "translated", "reserved"};
  if (name == "AW")
    return width_of(value);
  if (name == "PGTT")
    return ims_vtd_pgtt_name(static_cast<unsigned>(value));
  if (name == "FSPM")
    return value == 0 ? "4 levels" : value == 1 ? "5 levels" : "reserved";
  if (name == "TT")
    return types[value & 3];
  if (name == "PDTS")
    return format("%u entries", ims_vtd_pasid_dir_entries(static_cast<unsigned>(value)));
  if (name == "SID")
    return source_text(static_cast<uint32_t>(value));
  if (entry == VtdEntry::FAULT_RECORD && name == "AT")
    return at[value & 3];
  return {};
}

} // namespace

const std::vector<FieldRow> &vtd_fields(VtdEntry entry) {
  static const std::vector<std::vector<FieldRow>> all = [] {
    std::vector<FieldRow> dir, pe;
    for (int i = 0; i < IMS_VTD_PDE_FIELD_COUNT; i++)
      dir.push_back(row_of(*ims_vtd_pde_field(static_cast<ims_pasid_dir_field>(i))));
    for (int i = 0; i < IMS_VTD_PE_FIELD_COUNT; i++)
      pe.push_back(row_of(*ims_vtd_pe_field(static_cast<ims_pasid_field>(i))));
    return std::vector<std::vector<FieldRow>>{
        rows_of(legacy_root), rows_of(scalable_root), rows_of(legacy_context), rows_of(scalable_context), dir, pe,
        rows_of(fault_record)}; // as enum VtdEntry
  }();
  return all[static_cast<size_t>(entry)];
}

unsigned vtd_words(VtdEntry entry) {
  static const unsigned words[] = {2, 2, 2, 4, 1, 8, 2};
  return words[static_cast<size_t>(entry)];
}

std::vector<Field> decode_vtd_entry(VtdEntry entry, const uint64_t *words, unsigned count) {
  DecodeStyle style;
  style.meaning = [&](const FieldRow &row, uint64_t value) -> std::string {
    if (!std::strcmp(row.name, "T1"))
      return request_kinds[value << 1 | ims_bits_get(words, 92, 1)];
    return meaning_of(entry, row.name, value);
  };
  style.always = [](const FieldRow &row) {
    return !row.lsb || !std::strcmp(row.name, "T1") || !std::strcmp(row.name, "F");
  };
  style.in_hex = [](const FieldRow &row) {
    return !std::strcmp(row.name, "FR") || !std::strcmp(row.name, "SID") || !std::strcmp(row.name, "PAT");
  };
  return decode_fields(vtd_fields(entry), words, count, style);
}

VtdEntry vtd_entry_of(unsigned structure, unsigned len, bool scalable) {
  switch (structure) {
  case IMS_STRUCT_ROOT_ENTRY: return scalable ? VtdEntry::SCALABLE_ROOT : VtdEntry::LEGACY_ROOT;
  case IMS_STRUCT_CONTEXT_ENTRY: return len == 32 ? VtdEntry::SCALABLE_CONTEXT : VtdEntry::LEGACY_CONTEXT;
  case IMS_STRUCT_PASID_DIR: return VtdEntry::PASID_DIR;
  default: return VtdEntry::PASID_ENTRY;
  }
}

std::string vtd_entry_leads_to(VtdEntry entry, const uint64_t *words, const ims_request &req) {
  auto bits = [&](unsigned lsb, unsigned width) { return ims_bits_get(words, lsb, width); };
  unsigned half = entry == VtdEntry::SCALABLE_ROOT && (req.source & 0x80) ? 64 : 0;
  if (!bits(half, 1))
    return half ? "not present (UP = 0)" : "not present";
  uint64_t pointer = bits(half + 12, 52) << 12;
  unsigned bus = req.source >> 8 & 255;
  switch (entry) {
  case VtdEntry::LEGACY_ROOT: return format("context table of bus %02x at 0x%" PRIx64, bus, pointer);
  case VtdEntry::SCALABLE_ROOT:
    return format("context table of %02x:%s at 0x%" PRIx64, bus, half ? "10.0-1f.7" : "00.0-0f.7", pointer);
  case VtdEntry::LEGACY_CONTEXT:
    if (bits(2, 2) == 2)
      return format("pass-through, domain %u", static_cast<unsigned>(bits(72, 16)));
    return format("second stage, %s, table at 0x%" PRIx64 ", domain %u", width_of(bits(64, 3)).c_str(), pointer,
                  static_cast<unsigned>(bits(72, 16)));
  case VtdEntry::SCALABLE_CONTEXT:
    if (req.has_pasid)
      return format("PASID directory at 0x%" PRIx64 ", entry %u for PASID %u", pointer,
                    ims_vtd_pasid_dir_index(req.pasid), req.pasid);
    return format("PASID directory at 0x%" PRIx64 ", entry %u for RID_PASID %u", pointer,
                  ims_vtd_pasid_dir_index(static_cast<uint32_t>(bits(64, 20))), static_cast<unsigned>(bits(64, 20)));
  case VtdEntry::PASID_DIR: return format("PASID table at 0x%" PRIx64, pointer);
  case VtdEntry::PASID_ENTRY: break;
  case VtdEntry::FAULT_RECORD: return {};
  }
  unsigned pgtt = ims_vtd_pe_pgtt(words), did = ims_vtd_pe_did(words);
  unsigned levels = 4 + ims_vtd_pe_fspm(words);
  std::string first = format("first stage, %u levels at %s0x%" PRIx64, levels,
                             pgtt == IMS_VTD_PGTT_NESTED ? "gpa " : "", ims_vtd_pe_fsptptr(words));
  std::string second =
      format("second stage, %u levels at 0x%" PRIx64, ims_vtd_pe_aw(words) + 2, ims_vtd_pe_ssptptr(words));
  std::string domain = format(", domain %u", did);
  switch (pgtt) {
  case IMS_VTD_PGTT_FIRST: return first + domain;
  case IMS_VTD_PGTT_SECOND: return second + domain;
  case IMS_VTD_PGTT_NESTED: return first + "; " + second + domain;
  case IMS_VTD_PGTT_PASS_THROUGH: return "pass-through" + domain;
  default: return "PGTT is reserved";
  }
}

} // namespace ims
