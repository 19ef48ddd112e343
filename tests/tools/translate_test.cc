// SPDX-License-Identifier: Apache-2.0
// `translate` and the snapshot formats, on small machines.
#include "tests/tools/program.h"

#include <algorithm>

namespace {

const char header[] = "source\tpasid\taccess\tiova\n";

Ran translate(const std::vector<std::string> &snapshot, const std::string &requests,
              const std::vector<std::string> &more = {}) {
  std::vector<std::string> line = {"translate", "-r", "-"};
  line.insert(line.end(), snapshot.begin(), snapshot.end());
  line.insert(line.end(), more.begin(), more.end());
  return run_program(line, requests);
}

// The answers' columns behind the request's, a line each.
std::vector<std::string> answers(const Ran &r) {
  EXPECT_EQ(r.status, 0) << r.err;
  std::vector<std::string> out;
  for (const std::string &line : split(r.out, '\n'))
    out.push_back(line.substr(line.find("\tiova\t") == line.npos ? line.find("0x7f") : 0));
  return out;
}

} // namespace

TEST(Translate, AnswersRepeatTheRequestAndAddSixColumns) {
  TempDir dir;
  Ran r = translate(nested_machine().write(dir, scalable_registers),
                    std::string(header) + "00:03.0\t5\tw\t0x7f0012345678\n");
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(r.out, "source\tpasid\taccess\tiova\tstatus\toutput\tpage\tfault\trecord\trefs\n"
                   "00:03.0\t5\tw\t0x7f0012345678\tok\t0x109678\t4096\t-\t-\t28\n");
}

TEST(Translate, EachWayToNameTheRequesterIsTheSameRequester) {
  TempDir dir;
  std::string requests = header;
  for (const char *source : {"00:03.0", "0000:00:03.0", "0x18", "24"})
    requests += std::string(source) + "\t5\tw\t0x7f0012345678\n";
  std::vector<std::string> got = answers(translate(nested_machine().write(dir, scalable_registers), requests));
  ASSERT_EQ(got.size(), 5u);
  for (size_t i = 1; i < 5; i++)
    EXPECT_EQ(got[i], "0x7f0012345678\tok\t0x109678\t4096\t-\t-\t28");
}

TEST(Translate, ColumnsMayStandInAnyOrder) {
  TempDir dir;
  Ran r = translate(nested_machine().write(dir, scalable_registers),
                    "iova\ttype\taccess\tsource\tpasid\n0x7f0012345678\tuntranslated\tr\t0x18\t5\n");
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_NE(r.out.find("\n0x7f0012345678\tuntranslated\tr\t0x18\t5\tok\t0x109678\t"), std::string::npos) << r.out;
}

TEST(Translate, CarriageReturnsAndEmptyLinesAtTheEndAreNoMatter) {
  TempDir dir;
  Ran r = translate(nested_machine().write(dir, scalable_registers),
                    "source\tpasid\taccess\tiova\r\n0x18\t5\tr\t0x7f0012345678\r\n\r\n\n");
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(split(r.out, '\n').size(), 2u);
  EXPECT_EQ(r.out.find('\r'), std::string::npos);
}

TEST(Translate, HeaderAloneIsAnEmptyList) {
  TempDir dir;
  Ran r = translate(nested_machine().write(dir, scalable_registers), header);
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(split(r.out, '\n').size(), 1u);
}

TEST(Translate, LastLineNeedsNoLineFeed) {
  TempDir dir;
  Ran r = translate(nested_machine().write(dir, scalable_registers), "source\tpasid\taccess\tiova\n0x18\t5\tr\t0");
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(split(r.out, '\n').size(), 2u);
}

TEST(Translate, FaultRecordHasItsHighWordFirst) {
  TempDir dir;
  Ran r = translate(legacy_machine().write(dir, legacy_registers), std::string(header) + "0x18\t-\tw\t0x212345\n");
  EXPECT_EQ(split(r.out, '\n').at(1), "0x18\t-\tw\t0x212345\tfault\t-\t-\t0x5\t8000000500000018:0000000000212000\t4");
}

TEST(Translate, LargePageCoversItsSize) {
  TempDir dir;
  Ran r = translate(legacy_machine().write(dir, legacy_registers), std::string(header) + "0x18\t-\tr\t0x212345\n");
  EXPECT_EQ(split(r.out, '\n').at(1), "0x18\t-\tr\t0x212345\tok\t0x412345\t2097152\t-\t-\t4");
}

TEST(Translate, SuppressedFaultHasNoRecord) {
  TempDir dir;
  Machine m = legacy_machine();
  m.at(0x2000 + 24 * 16) |= 2; // FPD
  Ran r = translate(m.write(dir, legacy_registers), std::string(header) + "0x18\t-\tw\t0x212345\n");
  EXPECT_EQ(split(r.out, '\n').at(1), "0x18\t-\tw\t0x212345\tfault\t-\t-\t0x5\t-\t4");
}

TEST(Translate, TranslationOffPassesTheAddress) {
  TempDir dir;
  Ran r =
      translate(legacy_machine().write(dir, "iommu = vtd\nGSTS = 0\n"), std::string(header) + "0x18\t-\tw\t0x212345\n");
  EXPECT_EQ(split(r.out, '\n').at(1), "0x18\t-\tw\t0x212345\tbypass\t0x212345\t-\t-\t-\t0");
}

TEST(Translate, AccessedAndDirtyBitsChangeNoLaterAnswer) {
  TempDir dir;
  std::string requests = header;
  for (const char *access : {"r", "w", "r", "w"})
    requests += std::string("0x18\t5\t") + access + "\t0x7f0012345678\n";
  std::vector<std::string> got = answers(translate(nested_machine().write(dir, scalable_registers), requests));
  for (size_t i = 1; i < got.size(); i++)
    EXPECT_EQ(got[i], "0x7f0012345678\tok\t0x109678\t4096\t-\t-\t28");
}

TEST(Translate, WarmCachesServeTheSecondRequest) {
  TempDir dir;
  std::string requests = std::string(header) + "0x18\t5\tw\t0x7f0012345678\n0x18\t5\tw\t0x7f0012345abc\n";
  std::vector<std::string> got =
      answers(translate(nested_machine().write(dir, scalable_registers), requests, {"--warm"}));
  EXPECT_EQ(got.at(2), "0x7f0012345abc\tok\t0x109abc\t4096\t-\t-\t0");
}

TEST(Translate, OutputFileReplacesTheOldOneAndNothingElseIsLeft) {
  TempDir dir;
  std::vector<std::string> snapshot = nested_machine().write(dir, scalable_registers);
  std::string out = dir.path("answers.tsv");
  write_file(out, "old\n");
  Ran bad = translate(snapshot, std::string(header) + "0x18\n", {"-o", out});
  EXPECT_EQ(bad.status, 2);
  EXPECT_EQ(read_text(out), "old\n");
  Ran good = translate(snapshot, std::string(header) + "0x18\t5\tr\t0x7f0012345678\n", {"-o", out});
  EXPECT_EQ(good.status, 0) << good.err;
  EXPECT_EQ(good.out, "");
  EXPECT_EQ(split(read_text(out), '\n').size(), 2u);
}

TEST(Translate, ManyRequestsStreamThrough) {
  TempDir dir;
  std::string requests = header;
  for (int i = 0; i < 200000; i++)
    requests += "0x18\t-\tr\t0x" + std::to_string(200000 + i % 1000) + "\n";
  Ran r = translate(legacy_machine().write(dir, legacy_registers), requests);
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(std::count(r.out.begin(), r.out.end(), '\n'), 200001);
}

TEST(Snapshot, FilesMayStandInAnyOrderAndElfGoesWithRaw) {
  TempDir dir;
  std::vector<std::string> files = nested_machine().write(dir, scalable_registers);
  std::string guest = read_text(files[1].substr(0, files[1].find('@')));
  ElfCore core;
  core.add(Machine::guest_base, guest);
  std::string elf = dir.path("guest.core");
  write_file(elf, core.settle().image());
  std::string requests = std::string(header) + "0x18\t5\tw\t0x7f0012345678\n";
  std::string wanted = answers(translate(files, requests)).at(1);
  EXPECT_EQ(answers(translate({files[2], elf, files[0]}, requests)).at(1), wanted);
  EXPECT_EQ(answers(translate({elf, files[0], files[2]}, requests)).at(1), wanted);
}

TEST(Snapshot, RegisterFileIsKnownByItsContentToo) {
  TempDir dir;
  std::vector<std::string> files = nested_machine().write(dir, scalable_registers);
  std::string other = dir.path("machine.txt");
  write_file(other, "# captured\r\n\r\niommu = vtd # not smmu\r\nGSTS = 0xc0000000\r\nRTADDR=0x1400\r\n");
  std::string requests = std::string(header) + "0x18\t5\tw\t0x7f0012345678\n";
  EXPECT_EQ(answers(translate({files[0], files[1], other}, requests)).at(1),
            "0x7f0012345678\tok\t0x109678\t4096\t-\t-\t28");
}

TEST(Snapshot, CapabilitiesOfTheFileDecide) {
  TempDir dir;
  std::vector<std::string> files = nested_machine().write(dir, std::string(scalable_registers) +
                                                                   "CAP = 0x81d2008c222f0606\nECAP = 0x880000f00f4e\n");
  Ran r = translate(files, std::string(header) + "0x18\t5\tw\t0x7f0012345678\n");
  // That machine has no PASIDs: PASIDE is a reserved bit there.
  EXPECT_EQ(split(split(r.out, '\n').at(1), '\t').at(7), "0x42");
}

TEST(Snapshot, CapabilitiesOfRealUnitsAreTaken) {
  // A client of the 2.x era, whose NEST is that of the withdrawn extended mode; one that stops at legacy mode; a server
  // that has PDS without PRS.
  for (const char *caps :
       {"CAP = 0x1c0000c40660462\nECAP = 0x19e2ff0505e\n", "CAP = 0xd2008c40660462\nECAP = 0xf050da\n",
        "CAP = 0x9ed008c40780c66\nECAP = 0x3ee9e86f050df\n"}) {
    TempDir dir;
    Machine m = legacy_machine(); // none of them has 3 levels
    m.at(0x2000 + 24 * 16 + 8) = 2 | 9 << 8;
    m.store(0x11000, 0x12003);
    m.store(0x12008, 0x400081);
    Ran r =
        translate(m.write(dir, std::string(legacy_registers) + caps), std::string(header) + "0x18\t-\tr\t0x212345\n");
    EXPECT_EQ(r.status, 0) << r.err;
    EXPECT_EQ(split(split(r.out, '\n').at(1), '\t').at(5), "0x412345") << caps;
  }
}

TEST(Snapshot, HostAddressWidthIsANameOfItsOwn) {
  TempDir dir;
  Machine m = nested_machine();
  m.at(0x13048) = 1ull << 40 | 3; // the page, beyond 39 bits
  std::string requests = std::string(header) + "0x18\t5\tr\t0x7f0012345678\n";
  Ran narrow = translate(m.write(dir, std::string(scalable_registers) + "HAW = 39\n"), requests);
  EXPECT_EQ(split(split(narrow.out, '\n').at(1), '\t').at(7), "0x7a");
  Ran wide = translate(m.write(dir, std::string(scalable_registers) + "HAW = 46\n"), requests);
  EXPECT_EQ(split(split(wide.out, '\n').at(1), '\t').at(5), "0x10000000678");
}

TEST(Snapshot, AddressesInNoFileAreABusError) {
  TempDir dir;
  std::vector<std::string> files = nested_machine().write(dir, scalable_registers);
  Ran r = translate({files[0], files[2]}, std::string(header) + "0x18\t5\tr\t0x7f0012345678\n");
  EXPECT_EQ(split(split(r.out, '\n').at(1), '\t').at(7), "0x73"); // the first-stage root table
}

TEST(Program, HelpAndVersionAndExamplesEverywhere) {
  EXPECT_EQ(run_program({"--version"}).out.rfind("iommusim ", 0), 0u);
  Ran help = run_program({"--help"});
  EXPECT_EQ(help.status, 0);
  for (const char *command : {"translate", "walk", "config"}) {
    EXPECT_NE(help.out.find(std::string("\n  ") + command), std::string::npos);
    for (const char *option : {"--help", "-h"}) {
      Ran r = run_program({command, option});
      EXPECT_EQ(r.status, 0);
      EXPECT_EQ(r.out.rfind(std::string("Usage: iommusim ") + command, 0), 0u);
      EXPECT_NE(r.out.find("Example:\n  iommusim "), std::string::npos);
    }
  }
}

TEST(Program, NothingToDoIsABadCommandLine) {
  Ran r = run_program({});
  EXPECT_EQ(r.status, 2);
  EXPECT_EQ(r.out, "");
  EXPECT_NE(r.err.find("Usage:"), std::string::npos);
}
