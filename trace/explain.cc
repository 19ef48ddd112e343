// SPDX-License-Identifier: Apache-2.0
// Collecting the steps of a translation and saying what each entry means.
#include "trace/explain.h"
#include "trace/paging_entries.h"
#include "trace/smmu_entries.h"
#include "trace/text.h"
#include "trace/vtd_entries.h"

#include <cinttypes>

namespace ims {

namespace {

bool is_paging(unsigned structure) { return structure == IMS_STRUCT_S1_TABLE || structure == IMS_STRUCT_S2_TABLE; }

bool is_cd(unsigned structure) { return structure == IMS_STRUCT_CD || structure == IMS_STRUCT_CD_L1; }

Explain::Stage stage_of(const ims_pgt &p, int (*number)(unsigned)) {
  Explain::Stage s;
  s.levels = p.levels;
  s.in_bits = p.in_bits;
  s.sign = p.fmt->kind == IMS_PGT_X86_FS;
  s.ones = ims_pgt_is_vmsa(&p) && (p.flags & IMS_PGT_UPPER);
  s.big_endian = ims_pgt_is_vmsa(&p) && (p.flags & IMS_PGT_BE);
  s.format = p.fmt;
  s.number = number;
  return s;
}

bool is_scalable(const ims_iommu *u) { return IMS_VTD_GET(ims_vtd_peek(u, IMS_VTD_RTADDR), RTADDR_TTM) == 1; }

SmmuEntry smmu_entry_of(unsigned structure) {
  switch (structure) {
  case IMS_STRUCT_STREAM_L1: return SmmuEntry::STREAM_L1;
  case IMS_STRUCT_STE: return SmmuEntry::STE;
  case IMS_STRUCT_CD_L1: return SmmuEntry::CD_L1;
  default: return SmmuEntry::CD;
  }
}

} // namespace

unsigned Explain::Stage::shift(unsigned level) const { return format ? format->shift[level] : 12 + 9 * (level - 1); }

// Levels are named as the architecture numbers them.
std::string Explain::title(const ims_step &s) const {
  const Vocabulary &say = arch->say;
  std::string level = std::to_string(arch->level(s.level));
  if (s.what == IMS_STRUCT_S1_TABLE)
    return say.first_ + std::string(" level ") + level;
  if (s.what != IMS_STRUCT_S2_TABLE)
    return ims_structure_name(s.what);
  std::string text = say.second_ + std::string(" level ") + level;
  if (s.for_what == IMS_STRUCT_S1_TABLE)
    return text + " for " + say.first_ + " level " + std::to_string(arch->level(s.for_level)) + " table";
  if (is_cd(s.for_what))
    return text + " for the " + ims_structure_name(s.for_what);
  return nested_ ? text + " for the page" : text;
}

void Explain::begin(const ims_xlate &x) {
  *this = Explain();
  arch = &arch_of(x.iommu);
  request = *x.req;
  if (arch->preamble)
    preamble = arch->preamble(x.iommu, request);
}

void Explain::read(const ims_xlate &x, Step *t) {
  const ims_step &s = t->step;
  const ims_answer &a = x.port.answer;
  t->ref = x.port.refs;
  if (!a.ok) {
    t->follows = "no memory here: bus error";
    t->bad = true;
    return;
  }
  if (is_paging(s.what)) {
    const ims_pgt &p = s.what == IMS_STRUCT_S1_TABLE ? x.walk.s1 : x.walk.s2;
    uint64_t e = ims_pgt_swap(&p, a.data[0]);
    bool guest = nested_ && s.what == IMS_STRUCT_S1_TABLE;
    PagingEntry entry = describe_paging_entry(p, s.level, e, guest ? arch->say.between : "");
    t->words = {e};
    t->bits = entry.bits;
    t->follows = entry.follows;
    t->bad = entry.bad;
    if (ims_pgt_decode(&p, s.level, e) == IMS_PTE_LEAF)
      (s.what == IMS_STRUCT_S1_TABLE ? first : second).leaf = s.level;
    return;
  }
  t->words.assign(a.data, a.data + s.len / 8);
  if (s.what < IMS_STRUCT_STREAM_L1) {
    VtdEntry entry = vtd_entry_of(s.what, s.len, is_scalable(x.iommu));
    t->fields = decode_vtd_entry(entry, a.data, s.len / 8);
    t->follows = vtd_entry_leads_to(entry, a.data, *x.req);
    return;
  }
  SmmuEntry entry = smmu_entry_of(s.what);
  SmmuContext c;
  c.request = x.req;
  c.split = static_cast<unsigned>(
      IMS_SMMUV3_GET(ims_smmuv3_peek(x.iommu, IMS_SMMUV3_STRTAB_BASE_CFG), STRTAB_BASE_CFG_SPLIT));
  c.nested = nested_;
  t->fields = decode_smmu_entry(entry, a.data);
  t->follows = smmu_entry_leads_to(entry, a.data, c);
}

void Explain::step(const ims_xlate &x, ims_step_kind kind) {
  if (kind == IMS_STEP_DONE || kind == IMS_STEP_FAULT)
    return;
  const ims_step &s = x.port.step;
  const ims_answer &a = x.port.answer;
  Step t = {};
  t.kind = kind;
  t.step = s;
  t.ok = a.ok;
  t.hit = a.hit;
  if (is_paging(s.what)) {
    // The walk holds its stages once it asks about them.
    nested_ |= (x.walk.s1.fmt && x.walk.s2.fmt) || is_cd(s.for_what);
    if (x.walk.s1.fmt && !first.levels) {
      first = stage_of(x.walk.s1, arch->level);
      first.top_byte = (x.walk.in ^ request.iova) >> 56 != 0;
    }
    if (x.walk.s2.fmt && !second.levels)
      second = stage_of(x.walk.s2, arch->level);
  }
  t.title = title(s);
  if (kind == IMS_STEP_PROBE && a.hit)
    t.value = a.value;
  if (kind == IMS_STEP_FILL)
    t.value = s.value;
  if (kind == IMS_STEP_READ)
    read(x, &t);
  if (kind == IMS_STEP_UPDATE) {
    const ims_pgt &p = s.what == IMS_STRUCT_S1_TABLE ? x.walk.s1 : x.walk.s2;
    t.step.old = ims_pgt_swap(&p, s.old);
    t.step.desired = ims_pgt_swap(&p, s.desired);
    t.bits = update_text(p, t.step.old, t.step.desired);
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

std::string requester_text(const Arch &arch, uint32_t source) {
  if (!arch.vmsa)
    return source_text(source);
  return "stream " + hex(source) + (source > 0xffff ? "" : " (" + source_text(source) + ")");
}

std::string request_text(const Arch &arch, const ims_request &r) {
  std::string text = r.access & IMS_ACC_X                               ? "a read with execute"
                     : (r.access & IMS_ACC_R) && (r.access & IMS_ACC_W) ? "an atomic access"
                     : r.access & IMS_ACC_W                             ? "a write"
                                                                        : "a read";
  const char *substream = arch.say.substream;
  text += " of iova " + hex(r.iova) + " by " + requester_text(arch, r.source);
  if (*substream)
    text += r.has_pasid ? format(" with %s %u", substream, r.pasid) : format(" without %s", substream);
  if (r.access & IMS_ACC_PRIV)
    text += ", privileged";
  if (r.type == IMS_TRANSLATION_REQUEST)
    text += ", a translation request";
  if (r.type == IMS_TRANSLATED)
    text += ", already translated";
  return text;
}

} // namespace ims
