// SPDX-License-Identifier: Apache-2.0
// Collecting the steps of a translation and saying what each entry means.
#include "trace/explain.h"
#include "iommu/vtd/vtd.h"
#include "trace/text.h"

#include <cinttypes>
#include <cstring>

namespace ims {

namespace {

bool is_paging(unsigned structure) { return structure == IMS_STRUCT_S1_TABLE || structure == IMS_STRUCT_S2_TABLE; }

std::string title_of(const ims_step &s, bool nested) {
  std::string level = std::to_string(s.level);
  if (s.what == IMS_STRUCT_S1_TABLE)
    return "first-stage level " + level;
  if (s.what != IMS_STRUCT_S2_TABLE)
    return ims_structure_name(s.what);
  std::string title = "second-stage level " + level;
  if (!nested)
    return title;
  return title + (s.for_what == IMS_STRUCT_S1_TABLE ? " for first-stage level " + std::to_string(s.for_level) + " table"
                                                    : " for the page");
}

// Names of the bits that are set and mean something in this entry.
std::string bits_of(const ims_pgt &p, unsigned level, uint64_t e) {
  struct Bit {
    unsigned bit;
    const char *name;
    bool shown;
  };
  bool leaf = level == 1 || (e & IMS_FS_PS), large = level > 1;
  const Bit fs[] = {
      {0, "P", true},
      {1, "RW", true},
      {2, "US", true},
      {3, "PWT", true},
      {4, "PCD", true},
      {5, "A", true},
      {6, "D", leaf},
      {7, "PS", large},
      {7, "PAT", !large},
      {8, "G", leaf},
      {10, "EA", (p.a_bits & IMS_FS_EA) != 0},
      {12, "PAT", leaf && large},
      {63, "XD", (p.flags & IMS_PGT_NXE) != 0},
  };
  bool exec = p.flags & IMS_PGT_EXEC, ad = p.a_bits != 0;
  const Bit ss[] = {
      {0, "R", true}, {1, "W", true},       {2, "X", exec},    {7, "PS", large},
      {8, "A", ad},   {9, "D", ad && leaf}, {11, "SNP", true}, {62, "TM", true},
  };
  std::string text;
  auto add = [&](const Bit &b) {
    if (b.shown && e >> b.bit & 1)
      text += (text.empty() ? "" : " ") + std::string(b.name);
  };
  if (p.fmt->kind == IMS_PGT_X86_FS)
    for (const Bit &b : fs)
      add(b);
  else
    for (const Bit &b : ss)
      add(b);
  return text.empty() ? "-" : text;
}

std::string reserved_bits(const ims_pgt &p, unsigned level, uint64_t e) {
  bool leaf = level == 1 || (e & IMS_FS_PS);
  uint64_t bad = e & (leaf ? p.fmt->rsvd_leaf[level] : p.fmt->rsvd_table[level]);
  std::string text = "reserved:";
  for (unsigned i = 0; i < 64; i++)
    if (bad >> i & 1)
      text += " " + std::to_string(i);
  return text;
}

std::string leads_to(const ims_pgt &p, unsigned level, uint64_t e, bool guest) {
  switch (ims_pgt_decode(&p, level, e)) {
  case IMS_PTE_EMPTY: return "not present";
  case IMS_PTE_RESERVED: return reserved_bits(p, level, e);
  case IMS_PTE_TABLE: return "-> " + std::string(guest ? "gpa " : "") + hex(ims_pgt_addr(&p, e));
  case IMS_PTE_LEAF: break;
  }
  return size_text(ims_pgt_shift(p.fmt, level)) + (guest ? ", gpa " : " page ") + hex(ims_pgt_page(&p, level, e));
}

bool is_scalable(const ims_xlate &x) {
  return std::strcmp(x.iommu->ops->arch, "vtd") == 0 &&
         IMS_VTD_GET(ims_vtd_peek(x.iommu, IMS_VTD_RTADDR), RTADDR_TTM) == 1;
}

Explain::Stage stage_of(const ims_pgt &p) {
  Explain::Stage s;
  s.levels = p.levels;
  s.in_bits = p.in_bits;
  s.sign = p.fmt->kind == IMS_PGT_X86_FS;
  return s;
}

} // namespace

void Explain::begin(const ims_xlate &x) {
  *this = Explain();
  request = *x.req;
}

void Explain::step(const ims_xlate &x, ims_step_kind kind) {
  if (kind == IMS_STEP_DONE || kind == IMS_STEP_FAULT)
    return;
  const ims_step &s = x.port.step;
  const ims_answer &a = x.port.answer;
  bool nested = x.walk.s1.fmt && x.walk.s2.fmt;
  Step t = {};
  t.kind = kind;
  t.step = s;
  t.ok = a.ok;
  t.hit = a.hit;
  t.title = title_of(s, nested);
  if (is_paging(s.what)) {
    // The walk holds its stages once it asks about them.
    if (x.walk.s1.fmt && !first.levels)
      first = stage_of(x.walk.s1);
    if (x.walk.s2.fmt && !second.levels)
      second = stage_of(x.walk.s2);
  }
  if (kind == IMS_STEP_PROBE && a.hit)
    t.value = a.value;
  if (kind == IMS_STEP_FILL)
    t.value = s.value;
  if (kind == IMS_STEP_READ) {
    t.ref = x.port.refs;
    if (!a.ok) {
      t.follows = "no memory here: bus error";
    } else if (is_paging(s.what)) {
      const ims_pgt &p = s.what == IMS_STRUCT_S1_TABLE ? x.walk.s1 : x.walk.s2;
      uint64_t e = a.data[0];
      t.words = {e};
      t.bits = bits_of(p, s.level, e);
      t.follows = leads_to(p, s.level, e, nested && s.what == IMS_STRUCT_S1_TABLE);
      if (ims_pgt_decode(&p, s.level, e) == IMS_PTE_LEAF)
        (s.what == IMS_STRUCT_S1_TABLE ? first : second).leaf = s.level;
    } else {
      t.words.assign(a.data, a.data + s.len / 8);
      VtdEntry entry = vtd_entry_of(s.what, s.len, is_scalable(x));
      t.fields = decode_vtd_entry(entry, a.data, s.len / 8);
      t.follows = vtd_entry_leads_to(entry, a.data, *x.req);
    }
  }
  steps.push_back(t);
}

void Explain::end(const ims_xlate &x) { result = *x.res; }

unsigned Explain::reads(unsigned structure) const {
  unsigned n = 0;
  for (const Step &s : steps)
    n += s.kind == IMS_STEP_READ && s.step.what == structure;
  return n;
}

ims_result explain(ims_iommu *u, const ims_request &request, Explain *told) {
  ims_xlate x = {};
  ims_result result = {};
  ims_xlate_begin(&x, u, &request, &result);
  told->begin(x);
  for (;;) {
    ims_step_kind kind = ims_xlate_step(&x);
    if (kind == IMS_STEP_DONE || kind == IMS_STEP_FAULT)
      break;
    ims_xlate_answer(&x, kind);
    told->step(x, kind);
  }
  ims_xlate_finish(&x);
  told->end(x);
  return result;
}

std::string fault_text(unsigned code) {
  const struct ims_vtd_fault_info *info = ims_vtd_fault_find(code);
  if (!info)
    return "unknown reason";
  std::string name = info->name;
  for (char &c : name)
    c = c == '_' ? '.' : c;
  return name + ": " + info->sentence;
}

std::string request_text(const ims_request &r) {
  std::string text = r.access & IMS_ACC_X                               ? "a read with execute"
                     : (r.access & IMS_ACC_R) && (r.access & IMS_ACC_W) ? "an atomic access"
                     : r.access & IMS_ACC_W                             ? "a write"
                                                                        : "a read";
  text += " of iova " + hex(r.iova) + " by " + source_text(r.source);
  text += r.has_pasid ? " with PASID " + std::to_string(r.pasid) : std::string(" without PASID");
  if (r.access & IMS_ACC_PRIV)
    text += ", privileged";
  if (r.type == IMS_TRANSLATION_REQUEST)
    text += ", a translation request";
  if (r.type == IMS_TRANSLATED)
    text += ", already translated";
  return text;
}

} // namespace ims
