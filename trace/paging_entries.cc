// SPDX-License-Identifier: Apache-2.0
// Page-table entries in words. VT-d rev 4.1, 9.7 and 9.8; Arm DDI 0487, D8.3 to D8.6.
#include "trace/paging_entries.h"
#include "pgtable/vmsa.h"
#include "trace/smmu_entries.h"
#include "trace/text.h"

namespace ims {

namespace {

void add(std::string *text, const std::string &word) {
  if (!word.empty())
    *text += (text->empty() ? "" : " ") + word;
}

// ---- x86 -----------------------------------------------------------------------------------------------------------

struct Bit {
  unsigned bit;
  const char *name;
  bool shown;
};

// Names of the bits that are set and mean something in this entry.
std::string x86_bits(const ims_pgt &p, unsigned level, uint64_t e) {
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
  auto put = [&](const Bit &b) {
    if (b.shown && e >> b.bit & 1)
      add(&text, b.name);
  };
  if (p.fmt->kind == IMS_PGT_X86_FS)
    for (const Bit &b : fs)
      put(b);
  else
    for (const Bit &b : ss)
      put(b);
  return text;
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

// ---- VMSA ----------------------------------------------------------------------------------------------------------

// Hierarchical attributes bind everything below; stage 2 has none.
std::string vmsa_table_bits(const ims_pgt &p, uint64_t e) {
  std::string text;
  if (p.fmt->kind == IMS_PGT_VMSA_S1) {
    std::string limits;
    for (auto [bit, name] : {std::pair(IMS_VMSA_AP0_TABLE, "APTable[0]"), std::pair(IMS_VMSA_AP1_TABLE, "APTable[1]"),
                             std::pair(IMS_VMSA_XN_TABLE, "XNTable"), std::pair(IMS_VMSA_PXN_TABLE, "PXNTable")})
      if (e & bit)
        add(&limits, name);
    if (!limits.empty() && (p.flags & IMS_PGT_HAD))
      limits += " (ignored)";
    add(&text, limits);
  }
  if ((p.flags & IMS_PGT_HAFT) && (e & IMS_VMSA_AF))
    add(&text, "AF");
  return text;
}

std::string s2_memory_text(const ims_pgt &p, uint64_t e) {
  static const char *const device[] = {"Dev-nGnRnE", "Dev-nGnRE", "Dev-nGRE", "Dev-GRE"};
  static const char *const cache[] = {"", "NC", "WT", "WB"};
  unsigned attr = ims_vmsa_s2_memory(&p, e) & 15;
  if (p.flags & IMS_PGT_FWB) {
    static const char *const forced[] = {"?", "NC", "WB", "as-S1"}; // MemAttr[2] = 1
    return attr & 4 ? forced[attr & 3] : device[attr & 3];
  }
  if (!(attr & 12))
    return device[attr & 3];
  std::string outer = cache[attr >> 2], inner = cache[attr & 3];
  return outer == inner ? outer : outer + "/" + (inner.empty() ? "?" : inner);
}

std::string vmsa_leaf_bits(const ims_pgt &p, uint64_t e) {
  bool first = p.fmt->kind == IMS_PGT_VMSA_S1;
  std::string text;
  if (first) {
    bool one_el = p.flags & IMS_PGT_ONE_EL;
    add(&text, e & IMS_VMSA_AP2 ? "RO" : "RW");
    if ((e & IMS_VMSA_AP1) && !one_el)
      add(&text, "EL0");
    if (e & IMS_VMSA_UXN)
      add(&text, one_el || (p.flags & IMS_PGT_AARCH32) ? "XN" : "UXN");
    if ((e & IMS_VMSA_PXN) && !one_el)
      add(&text, "PXN");
  } else {
    static const char *const rights[] = {"--", "R-", "-W", "RW"};
    static const char *const exec[] = {"", "XN:EL1", "XN", "XN:EL0"};
    add(&text, rights[e >> 6 & 3]);
    add(&text, exec[e >> 53 & (p.fmt->xnx ? 3u : 2u)]);
  }
  if (e & IMS_VMSA_AF)
    add(&text, "AF");
  if (first && (e & IMS_VMSA_NG))
    add(&text, "nG");
  if (!p.fmt->ds)
    add(&text, shareability_text(e >> 8 & 3));
  add(&text, first ? format("Attr%u", static_cast<unsigned>(e >> 2 & 7)) : s2_memory_text(p, e));
  if (e & IMS_VMSA_CONTIGUOUS)
    add(&text, "Cont");
  if (e & IMS_VMSA_DBM)
    add(&text, "DBM");
  return text;
}

std::string vmsa_empty_text(const ims_pgt &p, unsigned level, uint64_t e) {
  (void)p;
  if (!(e & IMS_VMSA_VALID))
    return "not valid";
  return level == 1 ? "not valid: bit 1 is 0 at the last level"
                    : format("not valid: no block at level %d", ims_vmsa_level(level));
}

} // namespace

PagingEntry describe_paging_entry(const ims_pgt &p, unsigned level, uint64_t e, const std::string &middle) {
  PagingEntry out;
  bool vmsa = ims_pgt_is_vmsa(&p);
  std::string address = (middle.empty() ? "" : middle + " ") + hex(ims_pgt_addr(&p, e));
  ims_pte_kind kind = ims_pgt_decode(&p, level, e);
  out.bad = kind == IMS_PTE_EMPTY || kind == IMS_PTE_RESERVED;
  if (!vmsa) {
    out.bits = x86_bits(p, level, e);
    if (out.bits.empty())
      out.bits = "-";
  } else if (kind == IMS_PTE_TABLE) {
    out.bits = vmsa_table_bits(p, e);
  } else if (kind == IMS_PTE_LEAF) {
    out.bits = vmsa_leaf_bits(p, e);
  }
  switch (kind) {
  case IMS_PTE_EMPTY: out.follows = vmsa ? vmsa_empty_text(p, level, e) : "not present"; return out;
  case IMS_PTE_RESERVED:
    out.follows = vmsa ? address + format(": beyond %u bits", p.out_bits) : reserved_bits(p, level, e);
    return out;
  case IMS_PTE_TABLE: out.follows = "-> " + address; return out;
  case IMS_PTE_LEAF: break;
  }
  std::string size = size_text(ims_pgt_shift(p.fmt, level)), page = hex(ims_pgt_page(&p, level, e));
  out.follows = size + (middle.empty() ? (vmsa && level > 1 ? " block " : " page ") : ", " + middle + " ") + page;
  if (vmsa && ims_pgt_af_faults(&p, e))
    out.bad = true;
  return out;
}

std::string update_text(const ims_pgt &p, uint64_t before, uint64_t after) {
  uint64_t set = after & ~before, cleared = before & ~after;
  std::string text;
  auto put = [&](bool changed, const char *name) {
    if (changed)
      add(&text, name);
  };
  switch (p.fmt->kind) {
  case IMS_PGT_X86_FS:
    put(set & IMS_FS_A, "A");
    put(set & IMS_FS_D, "D");
    put(set & IMS_FS_EA, "EA");
    break;
  case IMS_PGT_VTD_SS:
    put(set & IMS_SS_A, "A");
    put(set & IMS_SS_D, "D");
    break;
  case IMS_PGT_VMSA_S1:
    put(set & IMS_VMSA_AF, "AF");
    put(cleared & IMS_VMSA_AP2, "writable");
    break;
  case IMS_PGT_VMSA_S2:
    put(set & IMS_VMSA_AF, "AF");
    put(set & IMS_VMSA_S2AP_W, "writable");
    break;
  }
  return text;
}

} // namespace ims
