// SPDX-License-Identifier: Apache-2.0
// The tables of docs/smmuv2.md are those of the code. With IMS_UPDATE_DOCS=1 they are written anew.
#include "iommu/smmuv2/smmuv2.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace smmu2 {
namespace {

const std::string kPage = IMS_SOURCE_DIR "/docs/smmuv2.md";

std::string hex(uint64_t v) {
  char s[32];
  snprintf(s, sizeof s, "0x%llx", static_cast<unsigned long long>(v));
  return s;
}

// The part of the page between `<!-- NAME -->` and `<!-- end -->`.
void expect_generated(const std::string &name, const std::string &table) {
  std::ifstream in(kPage);
  std::stringstream all;
  all << in.rdbuf();
  std::string text = all.str(), begin = "<!-- " + name + " -->\n";
  size_t at = text.find(begin), end = text.find("<!-- end -->", at == text.npos ? 0 : at);
  ASSERT_TRUE(at != text.npos && end != text.npos) << "no place for " << name;
  at += begin.size();
  const char *update = std::getenv("IMS_UPDATE_DOCS");
  if (update && *update)
    std::ofstream(kPage) << text.substr(0, at) + table + text.substr(end);
  else
    EXPECT_EQ(table, text.substr(at, end - at));
}

TEST(Documentation, Faults) {
  std::string table = "| code | bit | of | what it means |\n|---|---|---|---|\n";
  for (unsigned i = 0; const ims_smmuv2_fault_info *f = ims_smmuv2_faults(i); i++)
    table += "| " + std::to_string(f->code) + " | " + f->name + " | " + (f->global ? "sGFSR" : "FSR") + " | " +
             f->sentence + " |\n";
  expect_generated("faults", table);
}

std::string rows(const ims_reg_info *regs, unsigned count, const ims_reg_field *fields, unsigned field_count) {
  static const char *const access[] = {"RO", "RW", "WO", "W1C", "CMD"};
  std::string table;
  for (unsigned r = 0; r < count; r++) {
    table += std::string("| ") + regs[r].section + " | " + hex(regs[r].offset) + " | " + regs[r].name + ", " +
             regs[r].sentence + " | " + std::to_string(regs[r].bytes) + " | " + hex(regs[r].reset) + " |";
    const char *between = " ";
    for (unsigned i = 0; i < field_count; i++) {
      const ims_reg_field &f = fields[i];
      if (f.reg != r)
        continue;
      table += between + std::string(f.name) + " " + std::to_string(f.high) +
               (f.high == f.low ? "" : ":" + std::to_string(f.low)) + " " + access[f.access];
      between = ", ";
    }
    table += " |\n";
  }
  return table;
}

TEST(Documentation, Registers) {
  expect_generated(
      "registers",
      "| page | offset | register | bytes | reset | fields |\n|---|---|---|---|---|---|\n" +
          rows(ims_smmuv2_gr0_regs, IMS_SMMUV2_GR0_COUNT, ims_smmuv2_gr0_fields, ims_smmuv2_gr0_field_count) +
          rows(ims_smmuv2_gr1_regs, IMS_SMMUV2_GR1_COUNT, ims_smmuv2_gr1_fields, ims_smmuv2_gr1_field_count) +
          rows(ims_smmuv2_cb_regs, IMS_SMMUV2_CB_COUNT, ims_smmuv2_cb_fields, ims_smmuv2_cb_field_count));
}

} // namespace
} // namespace smmu2
