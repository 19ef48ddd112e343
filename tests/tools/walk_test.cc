// SPDX-License-Identifier: Apache-2.0
// `walk`: one translation told, for a person and for a program.
#include "tests/tools/program.h"

#include <boost/json.hpp>

namespace {

std::vector<std::string> walk_line(const std::vector<std::string> &snapshot, const std::vector<std::string> &more) {
  std::vector<std::string> line = {"walk"};
  line.insert(line.end(), snapshot.begin(), snapshot.end());
  line.insert(line.end(), more.begin(), more.end());
  return line;
}

// Standard output of a walk that has to succeed.
std::string walk(const Machine &machine, const std::string &registers, const std::vector<std::string> &more) {
  TempDir dir;
  Ran r = run_program(walk_line(machine.write(dir, registers), more));
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(r.err, "");
  return r.out;
}

const std::vector<std::string> nested_write = {"--source", "00:03.0",        "--pasid",  "5",
                                               "--iova",   "0x7f0012345678", "--access", "w"};

std::vector<std::string> with(std::vector<std::string> line, const std::vector<std::string> &more) {
  line.insert(line.end(), more.begin(), more.end());
  return line;
}

void expect_words(const std::string &text, const std::vector<std::string> &words) {
  for (const std::string &word : words)
    EXPECT_NE(text.find(word), text.npos) << "missing: " << word << "\nin:\n" << text;
}

} // namespace

TEST(Walk, NestedFourByFourReadsTwentyEightEntriesInTheOrderOfTheSpecification) {
  std::string text = walk(nested_machine(), scalable_registers, with(nested_write, {"--refs-only"}));
  EXPECT_EQ(text, R"(Translating a write of iova 0x7f0012345678 by 00:03.0 with PASID 5
  1  root entry                                          hpa 0x1000
  2  context entry                                       hpa 0x2300
  3  PASID directory entry                               hpa 0x3000
  4  PASID table entry                                   hpa 0x4140
  5  second-stage level 4 for first-stage level 4 table  hpa 0x10000
  6  second-stage level 3 for first-stage level 4 table  hpa 0x11000
  7  second-stage level 2 for first-stage level 4 table  hpa 0x12000
  8  second-stage level 1 for first-stage level 4 table  hpa 0x13028
  9  first-stage level 4                                 gpa 0x57f0 -> hpa 0x1057f0
 10  second-stage level 4 for first-stage level 3 table  hpa 0x10000
 11  second-stage level 3 for first-stage level 3 table  hpa 0x11000
 12  second-stage level 2 for first-stage level 3 table  hpa 0x12000
 13  second-stage level 1 for first-stage level 3 table  hpa 0x13030
 14  first-stage level 3                                 gpa 0x6000 -> hpa 0x106000
 15  second-stage level 4 for first-stage level 2 table  hpa 0x10000
 16  second-stage level 3 for first-stage level 2 table  hpa 0x11000
 17  second-stage level 2 for first-stage level 2 table  hpa 0x12000
 18  second-stage level 1 for first-stage level 2 table  hpa 0x13038
 19  first-stage level 2                                 gpa 0x7488 -> hpa 0x107488
 20  second-stage level 4 for first-stage level 1 table  hpa 0x10000
 21  second-stage level 3 for first-stage level 1 table  hpa 0x11000
 22  second-stage level 2 for first-stage level 1 table  hpa 0x12000
 23  second-stage level 1 for first-stage level 1 table  hpa 0x13040
 24  first-stage level 1                                 gpa 0x8a28 -> hpa 0x108a28
 25  second-stage level 4 for the page                   hpa 0x10000
 26  second-stage level 3 for the page                   hpa 0x11000
 27  second-stage level 2 for the page                   hpa 0x12000
 28  second-stage level 1 for the page                   hpa 0x13048

ok  hpa 0x109678   page 4 KB   rights rw-
    28 references (4 configuration, 4 first stage, 20 second stage)
)");
}

TEST(Walk, NestedWalkIsToldInFull) {
  std::string text = walk(nested_machine(), scalable_registers, nested_write);
  EXPECT_EQ(text, read_text(IMS_TEST_DATA_DIR "/walk/nested_4x4.txt"));
  for (const std::string &line : split(text, '\n'))
    EXPECT_LE(line.size(), 100u) << line;
}

TEST(Walk, LegacyWalkIsToldInFull) {
  std::string text = walk(legacy_machine(), legacy_registers, {"--source", "0x18", "--iova", "0x212345"});
  EXPECT_EQ(text, read_text(IMS_TEST_DATA_DIR "/walk/legacy_2m.txt"));
}

TEST(Walk, FaultNamesReasonPlaceAndRecord) {
  std::string text =
      walk(legacy_machine(), legacy_registers, {"--source", "0x18", "--iova", "0x212345", "--access", "w"});
  expect_words(text, {"fault 0x5  LGN.2: write not permitted",
                      "where   second stage, level 2 entry, for iova 0x212345: write denied",
                      "record  8000000500000018:0000000000212000",
                      "FI 0x212000   SID 0x18 (00:03.0)   FR 0x5   T1 0 (write)   F 1",
                      "4 references (2 configuration, 2 second stage)"});
}

TEST(Walk, FaultOfTheSecondStageNamesTheTableItWasFor) {
  Machine m = nested_machine();
  m.store(0x13038, 0); // gpa 0x7000: the first-stage level 2 table
  std::string text = walk(m, scalable_registers, nested_write);
  expect_words(text,
               {" 18    second-stage level 1  0x000000013038  0x0000000000000000  -            not present",
                "fault 0x79  SSS.2: second stage permits nothing (R=W=0)",
                "where   second stage, level 1 entry, for gpa 0x7488 of the first-stage level 2 entry: not present",
                "PP 1", "PV 5"});
}

TEST(Walk, ReservedBitsAreNamed) {
  Machine m = nested_machine();
  m.at(0x105000 + 0x7f0) |= 1 << 7; // PS at level 4
  std::string text = walk(m, scalable_registers, nested_write);
  expect_words(text, {"reserved: 7", "fault 0x72  SFS.3: reserved bit in first-stage entry"});
}

TEST(Walk, ReservedBitsOfStructuresAreNamed) {
  Machine m = nested_machine();
  m.at(0x4148) |= 1 << 16;
  std::string text = walk(m, scalable_registers, nested_write);
  expect_words(text, {"reserved bits 80", "fault 0x5a  SPT.3: reserved bit in PASID table entry"});
}

TEST(Walk, AbsentMemoryIsABusError) {
  Machine m = nested_machine();
  m.store(0x1000, 0x80000001);
  std::string text = walk(m, scalable_registers, nested_write);
  expect_words(text, {"2  context entry", "no memory here: bus error", "fault 0x40  SCT.1: scalable context entry"});
}

TEST(Walk, TranslationOffIsABypass) {
  std::string text = walk(nested_machine(), "iommu = vtd\nGSTS = 0\n", {"--source", "1", "--iova", "0xabc"});
  expect_words(text, {"bypass  0xabc passes as it is   0 references"});
}

TEST(Walk, CachesTakePartWhenAsked) {
  std::string text = walk(nested_machine(), scalable_registers, with(nested_write, {"--caches"}));
  expect_words(text, {"miss  context cache", "keep  IOTLB", "miss  nested TLB"});
  text = walk(nested_machine(), scalable_registers, with(nested_write, {"--warm"}));
  expect_words(text, {"hit   context cache", "hit   IOTLB: 0x7f0012345678 -> 4 KB page 0x109000", "0 references"});
}

TEST(Walk, SettingsChangeTheUnit) {
  std::string text = walk(nested_machine(), scalable_registers, with(nested_write, {"--set", "vtd.nest=0"}));
  expect_words(text, {"fault 0x5b  SPT.4"});
}

TEST(Walk, JsonTellsEachStepWithItsFields) {
  std::string text = walk(nested_machine(), scalable_registers, with(nested_write, {"--format", "json"}));
  boost::json::value v = boost::json::parse(text);
  const boost::json::object &o = v.as_object();
  EXPECT_EQ(o.at("request").at("source").as_string(), "00:03.0");
  EXPECT_EQ(o.at("request").at("pasid").as_int64(), 5);
  EXPECT_EQ(o.at("result").at("status").as_string(), "ok");
  EXPECT_EQ(o.at("result").at("output").as_string(), "0x109678");
  EXPECT_EQ(o.at("result").at("refs").as_int64(), 28);
  const boost::json::array &steps = o.at("steps").as_array();
  ASSERT_EQ(steps.size(), 29u); // 28 reads and one update
  EXPECT_EQ(steps[3].at("fields").at("PGTT").as_string(), "3");
  EXPECT_EQ(steps[4].at("what").as_string(), "second-stage level 4 for first-stage level 4 table");
  EXPECT_EQ(steps[8].at("gpa").as_string(), "0x57f0");
  EXPECT_EQ(steps[24].at("kind").as_string(), "update");
  EXPECT_EQ(steps[24].at("new").as_string(), "0x9067");
}

TEST(Walk, TextForFilesHasNoColour) {
  EXPECT_EQ(walk(nested_machine(), scalable_registers, nested_write).find('\033'), std::string::npos);
}
