// SPDX-License-Identifier: Apache-2.0
// Structures written field by field, as a driver or a guest writes them: STEs, CDs, PASID table entries and what leads to
// them; and what a page table means for one.
#include "pgtable/vmsa.h"
#include "trace/player_internal.h"
#include "trace/structures.h"

#include <algorithm>
#include <cstring>

namespace ims {

namespace {

struct Setting {
  const char *name;
  uint64_t value;
};

unsigned size_code(unsigned bits) {
  static const unsigned sizes[] = {32, 36, 40, 42, 44, 48, 52};
  unsigned code = 0;
  while (code < 6 && sizes[code] < bits)
    code++;
  return code;
}

// The fields by which a CD or an STE finds this table.
std::vector<Setting> table_fields(const std::string &kind, const Table &t) {
  const ims_pgt &p = t.pgt;
  unsigned granule = p.fmt->page_shift; // 12, 14, 16
  uint64_t tg = granule == 12 ? 0 : granule == 14 ? 2 : 1, size = 64u - p.in_bits;
  if (kind == "CD" && p.fmt->kind == IMS_PGT_VMSA_S1) {
    uint64_t tg1 = granule == 12 ? 2 : granule == 14 ? 1 : 3;
    std::vector<Setting> all = {{"AA64", 1}, {"IPS", size_code(p.out_bits)}, {"DS", p.fmt->ds}};
    if (p.flags & IMS_PGT_UPPER)
      all.insert(all.end(), {{"TTB1", p.root}, {"T1SZ", size}, {"TG1", tg1}});
    else
      all.insert(all.end(), {{"TTB0", p.root}, {"T0SZ", size}, {"TG0", tg}});
    return all;
  }
  if (kind == "STE" && p.fmt->kind == IMS_PGT_VMSA_S2) {
    unsigned sl0 = 0; // the code of this start level
    while (sl0 < 8 &&
           ims_vmsa_s2_levels(static_cast<ims_granule>((granule - 12) / 2), sl0, p.fmt->ds, true) != p.levels)
      sl0++;
    return {{"S2AA64", 1},       {"S2TTB", p.root},          {"S2T0SZ", size},    {"S2TG", tg},
            {"S2SL0", sl0 & 3u}, {"S2SL0_2", sl0 >> 2 & 1u}, {"S2DS", p.fmt->ds}, {"S2PS", size_code(p.out_bits)}};
  }
  if (kind == "PASID" && p.fmt->kind == IMS_PGT_X86_FS)
    return {{"FSPTPTR", p.root}, {"FSPM", p.levels - 4u}};
  if (kind == "PASID" && p.fmt->kind == IMS_PGT_VTD_SS)
    return {{"SSPTPTR", p.root}, {"AW", p.levels - 2u}};
  return {};
}

} // namespace

void PlayerImpl::entry_event() {
  const Value &at = *arg("AT");
  uint64_t addr = eval(at);
  std::string kind = text("KIND"), said;
  const StructureInfo &info = *find_structure(kind);
  uint64_t words[8] = {};
  int err = has("keep") ? access_place(at, addr, words, info.words * 8, false) : IMS_ERR_OK;
  auto set = [&](const char *name, uint64_t value, Position where) {
    auto row = std::find_if(info.rows->begin(), info.rows->end(),
                            [&](const FieldRow &r) { return !std::strcmp(r.name, name); });
    unsigned shift = row->pointer ? row->address_lsb : 0;
    uint64_t low = value & ((1ull << shift) - 1), stored = value >> shift;
    if (low || (row->width < 64 && stored >> row->width))
      fail(where, hex(value) + (low ? " is not aligned to " + bytes_text(1ull << shift)
                                    : format(" does not fit the %u bits of ", row->width + shift) + quote(name)));
    ims_bits_set(words, row->lsb, row->width, stored);
    if (value)
      said += (said.empty() ? "" : ", ") + std::string(name) + " " +
              (shift || value > 65535 ? hex(value) : std::to_string(value));
  };
  for (const char *key : {"table", "table2"})
    if (has(key)) {
      Table &t = named(tables, key);
      std::vector<Setting> fields = table_fields(kind, t);
      if (fields.empty())
        fail(arg(key)->at, "a table of this format has no place in " + quote(kind));
      for (const Setting &s : fields)
        set(s.name, s.value, arg(key)->at);
    }
  for (const Arg &a : event->args)
    if (!event->info->param(a.key))
      set(a.key.c_str(), eval(a.value), a.value.at);
  begin(kind + " at " + place_text(at, addr) + (said.empty() ? ": zeros" : ": " + said));
  if (!err)
    err = access_place(at, addr, words, info.words * 8, true);
  put_error(err);
}

} // namespace ims
