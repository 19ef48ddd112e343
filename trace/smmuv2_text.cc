// SPDX-License-Identifier: Apache-2.0
#include "trace/smmuv2_text.h"
#include "iommu/smmuv2/smmuv2.h"
#include "trace/text.h"

#include <cinttypes>

namespace ims {

namespace {

uint64_t peek(const ims_iommu *u, const std::string &name) {
  uint64_t value = 0;
  ims_smmuv2_peek(u, name.c_str(), &value);
  return value;
}

// The stage that a bank walks, by its own registers.
std::string bank_stage(const ims_iommu *u, unsigned bank) {
  std::string cb = "CB" + std::to_string(bank) + "_";
  uint64_t sctlr = peek(u, cb + "SCTLR"), tcr = peek(u, cb + "TCR");
  if (!(sctlr & IMS_SMMUV2_BITS(SCTLR_M)))
    return "SCTLR.M 0: this stage is off";
  bool va64 = peek(u, "CBA2R" + std::to_string(bank)) & IMS_SMMUV2_BITS(CBA2R_VA64);
  std::string text =
      va64 ? format("%u bits, ", 64 - static_cast<unsigned>(IMS_SMMUV2_GET(tcr, TCR_T0SZ))) : "AArch32, ";
  return text +
         format("TTBR0 0x%" PRIx64, static_cast<uint64_t>(peek(u, cb + "TTBR0") & IMS_SMMUV2_BITS(TTBR0_BADDR))) +
         (sctlr & IMS_SMMUV2_BITS(SCTLR_CFCFG) ? ", faults stall" : "");
}

// Groups that match a stream id.
std::vector<unsigned> matches(const ims_iommu *u, uint32_t sid) {
  const ims_smmuv2_config *c = ims_smmuv2_config_of(u);
  bool exid = peek(u, "sCR0") & IMS_SMMUV2_BITS(sCR0_EXIDENABLE);
  std::vector<unsigned> found;
  if (!c->sms) {
    if (sid < ims_smmuv2_groups(c))
      found.push_back(sid);
    return found;
  }
  for (unsigned i = 0; i < ims_smmuv2_groups(c); i++) {
    std::string n = std::to_string(i);
    uint64_t smr = peek(u, "SMR" + n), mask = exid ? 0xffff : 0x7fff;
    bool valid = exid ? peek(u, "S2CR" + n) & IMS_SMMUV2_BITS(S2CR_EXIDVALID) : smr & IMS_SMMUV2_BITS(SMR_VALID);
    if (valid && !((smr ^ sid) & ~(smr >> 16) & mask))
      found.push_back(i);
  }
  return found;
}

} // namespace

std::vector<std::string> smmuv2_preamble(const ims_iommu *u, const ims_request &r) {
  static const char *const types[] = {"translate", "bypass", "fault", "reserved"};
  static const char *const banks[] = {"stage 2", "stage 1", "stage 1, stage-2 fault", "nested"};
  std::vector<std::string> out;
  uint64_t cr0 = peek(u, "sCR0");
  if (cr0 & IMS_SMMUV2_BITS(sCR0_CLIENTPD))
    return {"sCR0.CLIENTPD 1: everything bypasses"};
  std::vector<unsigned> found = matches(u, r.source);
  if (found.empty())
    return {format("no stream match for 0x%x: sCR0.USFCFG %u, %s", r.source,
                   static_cast<unsigned>(IMS_SMMUV2_GET(cr0, sCR0_USFCFG)),
                   cr0 & IMS_SMMUV2_BITS(sCR0_USFCFG) ? "fault" : "bypass")};
  std::string n = std::to_string(found[0]), more;
  for (size_t i = 1; i < found.size(); i++)
    more += " SMR" + std::to_string(found[i]);
  uint64_t s2cr = peek(u, "S2CR" + n), smr = peek(u, "SMR" + n);
  auto type = static_cast<unsigned>(IMS_SMMUV2_GET(s2cr, S2CR_TYPE));
  out.push_back(format("SMR%s 0x%" PRIx64 " matches stream 0x%x%s", n.c_str(), smr, r.source,
                       more.empty() ? "" : (", and so does" + more).c_str()));
  auto bank = static_cast<unsigned>(IMS_SMMUV2_GET(s2cr, S2CR_CBNDX));
  out.push_back(format("S2CR%s 0x%" PRIx64 ": %s", n.c_str(), s2cr, types[type]) +
                (type ? std::string() : format(", context bank %u", bank)));
  if (type)
    return out;
  uint64_t cbar = peek(u, "CBAR" + std::to_string(bank)), cba2r = peek(u, "CBA2R" + std::to_string(bank));
  auto kind = static_cast<unsigned>(IMS_SMMUV2_GET(cbar, CBAR_TYPE));
  uint64_t vmid =
      cr0 & IMS_SMMUV2_BITS(sCR0_VMID16EN) ? IMS_SMMUV2_GET(cba2r, CBA2R_VMID16) : IMS_SMMUV2_GET(cbar, CBAR_VMID);
  out.push_back(
      format("bank %u: %s, VMID %u; %s", bank, banks[kind], static_cast<unsigned>(vmid), bank_stage(u, bank).c_str()));
  if (kind == IMS_SMMUV2_CBAR_NESTED) {
    auto second = static_cast<unsigned>(IMS_SMMUV2_GET(cbar, CBAR_CBNDX));
    out.push_back(format("bank %u, its stage 2: %s", second, bank_stage(u, second).c_str()));
  }
  return out;
}

std::vector<Field> decode_smmuv2_record(const ims_result &r) {
  const ims_smmuv2_fault_info *info = ims_smmuv2_fault_find(r.fault);
  bool global = info && info->global;
  uint64_t status = r.record[0] & 0xffffffff, syndrome = r.record[0] >> 32;
  std::vector<Field> out;
  auto add = [&](const char *name, uint64_t value, bool in_hex, const char *meaning = "") {
    out.push_back({name, value, format(in_hex ? "0x%" PRIx64 : "%" PRIu64, value), meaning});
  };
  add(global ? "sGFSR" : "FSR", status, true, info ? info->name : "");
  add(global ? "sGFAR" : "FAR", r.record[1], true);
  if (global) {
    add("WNR", IMS_SMMUV2_GET(syndrome, sGFSYNR0_WNR), false);
    add("STREAMID", IMS_SMMUV2_GET(r.record[3], sGFSYNR1_STREAMID), true);
    return out;
  }
  bool write = IMS_SMMUV2_GET(syndrome, FSYNR0_WNR);
  add("WNR", write, false, write ? "write" : "read");
  add("PLVL", IMS_SMMUV2_GET(syndrome, FSYNR0_PLVL), false);
  if (IMS_SMMUV2_GET(syndrome, FSYNR0_PTWF))
    add("PTWF", 1, false, "on behalf of a stage-1 table");
  if (IMS_SMMUV2_GET(syndrome, FSYNR0_S1CBNDX))
    add("S1CBNDX", IMS_SMMUV2_GET(syndrome, FSYNR0_S1CBNDX), false);
  if (r.walk.stage == 2)
    add("IPAFAR", r.record[2], true);
  add("CBFRSYNRA", r.record[3] >> 32, true);
  return out;
}

} // namespace ims
