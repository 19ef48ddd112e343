// SPDX-License-Identifier: Apache-2.0
// The explanation tells what the engine did, no more and no less.
#include "tests/tools/program.h"
#include "tools/requests.h"
#include "tools/snapshot.h"
#include "trace/explain.h"
#include "trace/vtd_entries.h"

namespace {

ims_request request(uint64_t iova, unsigned access = IMS_ACC_R, int pasid = -1) {
  ims_request r = {};
  r.iova = iova;
  r.source = 0x18;
  r.access = static_cast<uint8_t>(access);
  r.has_pasid = pasid >= 0;
  r.pasid = pasid >= 0 ? static_cast<uint32_t>(pasid) : 0;
  return r;
}

} // namespace

TEST(Explain, StepByStepAndAtOnceGiveTheSameAnswers) {
  std::string folder = IMS_TEST_DATA_DIR "/corpus/linux-vtd-scalable-first-stage-b";
  std::vector<std::string> files = {folder + "/mem.elf", folder + "/iommu.regs"};
  ims::Snapshot told(files, {}, ims::Snapshot::CACHES_NONE), plain(files, {}, ims::Snapshot::CACHES_NONE);
  ims::RequestReader requests(folder + "/requests.tsv", 16);
  ims_request q;
  unsigned n = 0;
  while (requests.next(&q)) {
    ims::Explain e;
    ims_result a = ims::explain(told.iommu(), q, &e), b = {};
    ims_translate(plain.iommu(), &q, &b);
    std::string x, y;
    ims::append_answer(&x, a);
    ims::append_answer(&y, b);
    ASSERT_EQ(x, y) << requests.line();
    unsigned reads = 0;
    for (const ims::Explain::Step &s : e.steps)
      reads += s.kind == IMS_STEP_READ;
    ASSERT_EQ(reads, a.refs);
    n++;
  }
  EXPECT_EQ(n, 1322u);
  EXPECT_EQ(ims_mem_hash(told.memory()), ims_mem_hash(plain.memory()));
}

TEST(Explain, FieldsOfAPasidEntryHaveNamesAndMeanings) {
  TempDir dir;
  ims::Snapshot s(nested_machine().write(dir, scalable_registers), {}, ims::Snapshot::CACHES_NONE);
  ims::Explain e;
  ims::explain(s.iommu(), request(nested_iova, IMS_ACC_R, 5), &e);
  ASSERT_GT(e.steps.size(), 4u);
  std::map<std::string, std::string> fields;
  for (const ims::Field &f : e.steps[3].fields)
    fields[f.name] = f.text + " " + f.meaning;
  EXPECT_EQ(fields["PGTT"], "3 nested");
  EXPECT_EQ(fields["AW"], "2 48 bits, 4 levels");
  EXPECT_EQ(fields["SSPTPTR"], "0x10000 ");
  EXPECT_EQ(fields["FSPTPTR"], "0x5000 ");
  EXPECT_EQ(fields["DID"], "7 ");
  EXPECT_EQ(fields.count("FPD"), 0u); // zero
  EXPECT_EQ(e.steps[3].follows, "first stage, 4 levels at gpa 0x5000; second stage, 4 levels at 0x10000, domain 7");
}

TEST(Explain, RowsOfEachStructureDoNotOverlap) {
  using ims::VtdEntry;
  for (VtdEntry entry :
       {VtdEntry::LEGACY_ROOT, VtdEntry::SCALABLE_ROOT, VtdEntry::LEGACY_CONTEXT, VtdEntry::SCALABLE_CONTEXT,
        VtdEntry::PASID_DIR, VtdEntry::PASID_ENTRY, VtdEntry::FAULT_RECORD}) {
    unsigned next = 0;
    for (const ims::FieldRow &row : ims::vtd_fields(entry)) {
      EXPECT_GE(row.lsb, next) << row.name;
      next = row.lsb + row.width;
    }
    EXPECT_LE(next, ims::vtd_words(entry) * 64);
  }
}

TEST(Explain, AddressIsSplitByLevels) {
  ims::Explain::Stage five;
  five.levels = 5;
  five.in_bits = 57;
  five.sign = true;
  EXPECT_EQ(ims::address_split(five, 0xff80000000201abc),
            "      63     57 56     48 47     39 38     30 29     21 20     12 11      0\n"
            "     +---------+---------+---------+---------+---------+---------+---------+\n"
            "     |  0x7f   |  0x180  |  0x000  |  0x000  |  0x001  |  0x001  |  0xabc  |\n"
            "     +---------+---------+---------+---------+---------+---------+---------+\n"
            "        sign     level 5   level 4   level 3   level 2   level 1   offset\n");
  ims::Explain::Stage three;
  three.levels = 3;
  three.in_bits = 39;
  three.leaf = 3;
  EXPECT_EQ(ims::address_split(three, 0x7fffffffff), "      63       39 38     30 29         0\n"
                                                     "     +-----------+---------+------------+\n"
                                                     "     | 0x0000000 |  0x1ff  | 0x3fffffff |\n"
                                                     "     +-----------+---------+------------+\n"
                                                     "         zero      level 3     offset\n");
}

TEST(Explain, EveryFaultReasonHasItsNameAndSentence) {
  for (unsigned i = 0; const struct ims_vtd_fault_info *info = ims_vtd_faults(i); i++) {
    std::string text = ims::find_arch("vtd")->fault_text(info->code);
    EXPECT_NE(text.find("."), std::string::npos) << text;
    EXPECT_NE(text.find(info->sentence), std::string::npos) << text;
  }
  EXPECT_EQ(ims::find_arch("vtd")->fault_text(0xff), "unknown reason");
}

TEST(Explain, RequestsAreDescribed) {
  ims_request r = request(0x1000, IMS_ACC_R | IMS_ACC_X | IMS_ACC_PRIV, 7);
  EXPECT_EQ(ims::request_text(*ims::find_arch("vtd"), r),
            "a read with execute of iova 0x1000 by 00:03.0 with PASID 7, privileged");
  r = request(0x2000, IMS_ACC_W);
  r.type = IMS_TRANSLATION_REQUEST;
  EXPECT_EQ(ims::request_text(*ims::find_arch("vtd"), r),
            "a write of iova 0x2000 by 00:03.0 without PASID, a translation request");
}
