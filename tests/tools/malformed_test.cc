// SPDX-License-Identifier: Apache-2.0
// Bad command lines and bad files: each ends with status 2, one message that says where, what was found and what was
// expected, and nothing half-written.
#include "tests/tools/program.h"

#include <algorithm>
#include <dirent.h>
#include <unistd.h>

namespace {

// A case of a table: what is wrong, and words of the message.
struct Case {
  const char *name;
  std::string input;
  std::vector<std::string> words;
};

void PrintTo(const Case &c, std::ostream *out) { *out << c.name; }

std::string name_of(const testing::TestParamInfo<Case> &info) { return info.param.name; }

void expect_refused(const Ran &r, const std::vector<std::string> &words, const std::string &input) {
  EXPECT_EQ(r.status, 2) << input << "\n" << r.err;
  EXPECT_EQ(r.out, "") << input;
  EXPECT_EQ(r.err.rfind("iommusim: ", 0), 0u) << r.err;
  EXPECT_EQ(std::count(r.err.begin(), r.err.end(), '\n'), 1) << r.err;
  for (const std::string &word : words)
    EXPECT_NE(r.err.find(word), std::string::npos) << "missing: " << word << "\nin: " << r.err;
}

bool exists(const std::string &path) { return access(path.c_str(), F_OK) == 0; }

// How many files a folder holds: temporary ones would be left in it.
size_t files_in(const std::string &folder) {
  size_t n = 0;
  DIR *dir = opendir(folder.c_str());
  while (const dirent *entry = readdir(dir))
    n += entry->d_name[0] != '.';
  closedir(dir);
  return n;
}

const char good_requests[] = "source\tpasid\taccess\tiova\n00:03.0\t5\tw\t0x7f0012345678\n";

} // namespace

// Register files.

class Registers : public testing::TestWithParam<Case> {};

TEST_P(Registers, AreRefused) {
  TempDir dir;
  std::string answers = dir.path("answers.tsv"), requests = dir.path("requests.tsv");
  write_file(requests, good_requests);
  std::vector<std::string> line = {"translate", "-o", answers, "-r", requests};
  for (const std::string &argument : nested_machine().write(dir, GetParam().input))
    line.push_back(argument);
  size_t before = files_in(dir.name());
  expect_refused(run_program(line), GetParam().words, GetParam().input);
  EXPECT_FALSE(exists(answers));
  EXPECT_EQ(files_in(dir.name()), before);
}

INSTANTIATE_TEST_SUITE_P(
    Malformed, Registers,
    testing::Values(
        Case{"Empty", "", {"iommu.regs:1:", "end of the file", "expected a first line `iommu = vtd`"}},
        Case{"OnlyComments", "# nothing\n\n", {"iommu.regs:3:", "expected a first line"}},
        Case{"FirstLineMissing", "GSTS = 0\n", {"iommu.regs:1:", "found `GSTS`", "iommu = vtd"}},
        Case{"UnknownArchitecture", "iommu = vt\n", {":1: iommu:", "unknown architecture `vt`", "nearest is `vtd`"}},
        Case{"Smmuv3UnknownRegister",
             "iommu = smmuv3\nSTRTABBASE = 0\n",
             {":2:", "unknown register `STRTABBASE` of an SMMUv3", "nearest is `STRTAB_BASE`"}},
        Case{"Smmuv3RegisterOfVtd", "iommu = smmuv3\nRTADDR = 0\n", {":2:", "unknown register `RTADDR`", "nearest is"}},
        Case{"Smmuv3FactOfVtd", "iommu = smmuv3\nHAW = 40\n", {":2:", "unknown register `HAW`"}},
        Case{"Smmuv3MoreThan32Bits", "iommu = smmuv3\nCR0 = 0x100000000\n", {":2: CR0:", "to 0xffffffff"}},
        Case{"Smmuv2UnknownRegister",
             "iommu = smmuv2\nSMRR3 = 0\n",
             {":2:", "unknown register `SMRR3` of an SMMUv2", "nearest is `SMR0`"}},
        Case{"Smmuv2BankWithoutNumber", "iommu = smmuv2\nCB_TCR = 0\n", {":2:", "unknown register `CB_TCR`"}},
        Case{"Smmuv2BankBeyondTheUnit", "iommu = smmuv2\nCB200_TCR = 0\n", {":2: CB200_TCR:", "found 0x0"}},
        Case{"Smmuv2WriteOnly", "iommu = smmuv2\nTLBIALLH = 0\n", {":2:", "unknown register `TLBIALLH`"}},
        Case{"Smmuv2Twice", "iommu = smmuv2\nSMR3 = 0\nSMR3 = 1\n", {":3: SMR3:", "second time"}},
        Case{"Smmuv3IdsThatContradict",
             "iommu = smmuv3\nIDR0 = 0\n",
             {"iommu.regs: the SMMUv3 configuration does not hold:", "s1p or s2p"}},
        Case{"ArchitectureTwice", "iommu = vtd\niommu = vtd\n", {":2: iommu:", "second time"}},
        Case{"NoEqualsSign", "iommu = vtd\nGSTS 5\n", {":2:", "found `GSTS 5`", "expected NAME = VALUE"}},
        Case{"UnknownRegister", "iommu = vtd\nRTADR = 0\n", {":2:", "unknown register `RTADR`", "nearest is `RTADDR`"}},
        Case{"LowerCase", "iommu = vtd\nrtaddr = 0\n", {":2:", "unknown register `rtaddr`", "nearest is `RTADDR`"}},
        Case{"RegisterOfAnotherArchitecture",
             "iommu = vtd\nSTRTAB_BASE = 0\n",
             {":2:", "unknown register `STRTAB_BASE`", "nearest is"}},
        Case{"NoName", "iommu = vtd\n= 5\n", {":2:", "unknown register ``"}},
        Case{"Twice", "iommu = vtd\nGSTS = 0\n\nGSTS = 0\n", {":4: GSTS:", "second time", "first in line 2"}},
        Case{"NoValue", "iommu = vtd\nGSTS =\n", {":2: GSTS:", "found ``", "expected a number"}},
        Case{"NoNumber", "iommu = vtd\nGSTS = on\n", {":2: GSTS:", "found `on`", "expected a number"}},
        Case{"HexWithoutPrefix", "iommu = vtd\nRTADDR = 24a6400\n", {":2: RTADDR:", "found `24a6400`"}},
        Case{"TwoValues", "iommu = vtd\nGSTS = 1 2\n", {":2: GSTS:", "found `1 2`"}},
        Case{"Negative", "iommu = vtd\nGSTS = -1\n", {":2: GSTS:", "found `-1`"}},
        Case{"MoreThan64Bits", "iommu = vtd\nRTADDR = 0x10000000000000000\n", {":2: RTADDR:", "up to 64 bits"}},
        Case{"MoreThan32Bits", "iommu = vtd\nGSTS = 0x100000000\n", {":2: GSTS:", "0x100000000", "to 0xffffffff"}},
        Case{"WidthTooSmall", "iommu = vtd\nHAW = 12\n", {":2: HAW:", "found 12", "from 0x20 to 0x34"}},
        Case{"WidthTooLarge", "iommu = vtd\nHAW = 64\n", {":2: HAW:", "found 64", "from 0x20 to 0x34"}},
        Case{"CapabilitiesThatContradict",
             "iommu = vtd\nCAP = 0x2f0607\n", // ND = 7
             {"iommu.regs: the VT-d configuration does not hold:", "nd = 7"}},
        Case{"Binary", std::string("iommu = vtd\nGS\0TS = 1\n", 23), {":2:", "unknown register `GS\\x00TS`"}}),
    name_of);

// The files of a snapshot and the command line around them. `input` is the arguments, a space between each; @H, @G, @R stand
// for the host memory, the guest memory and the register file, @D for their folder.

class CommandLine : public testing::TestWithParam<Case> {};

TEST_P(CommandLine, IsRefused) {
  TempDir dir;
  std::vector<std::string> snapshot = nested_machine().write(dir, scalable_registers);
  write_file(dir.path("requests.tsv"), good_requests);
  write_file(dir.path("text.txt"), "hello\n");
  write_file(dir.path("empty"), "");
  write_file(dir.path("cut.elf"), "\177ELF");
  write_file(dir.path("more.regs"), scalable_registers);
  dir.path("answers.tsv");
  std::vector<std::string> line;
  for (std::string word : split(GetParam().input, ' ')) {
    if (word.rfind("@H", 0) == 0)
      word = snapshot[0];
    else if (word.rfind("@G", 0) == 0)
      word = snapshot[1];
    else if (word.rfind("@R", 0) == 0)
      word = snapshot[2];
    else if (word.rfind("@D", 0) == 0)
      word = dir.name() + word.substr(2);
    line.push_back(word);
  }
  size_t before = files_in(dir.name());
  expect_refused(run_program(line), GetParam().words, GetParam().input);
  EXPECT_FALSE(exists(dir.name() + "/answers.tsv"));
  EXPECT_EQ(files_in(dir.name()), before);
}

#define TRANSLATE "translate -o @D/answers.tsv -r @D/requests.tsv "
#define WALK      "walk @H @G @R --source 0x18 --iova 0 "

INSTANTIATE_TEST_SUITE_P(
    Malformed, CommandLine,
    testing::Values(
        Case{"UnknownCommand", "tranlate", {"unknown command `tranlate`", "nearest is translate"}},
        Case{"UnknownProgramOption", "--versoin", {"unknown option `--versoin`", "nearest is --version"}},
        Case{"UnknownOption", "walk --iovas 0", {"walk: unknown option `--iovas`", "nearest is --iova"}},
        Case{"UnknownOptionOfTranslate", "translate --request x", {"`--request`", "nearest is --requests"}},
        Case{"OptionWithoutValue", "translate @H --requests", {"translate:", "requests"}},
        Case{"OptionTwice", WALK "--iova 1", {"walk:", "iova", "more than once"}},
        Case{"WordTooMany", "config hello", {"config: too many words", "iommusim config"}},
        Case{"NoSnapshot", "translate -r @D/requests.tsv", {"translate: no snapshot", "*.regs"}},
        Case{"NoRequests", "translate @H @G @R", {"translate: no --requests"}},
        Case{"NoRegisterFile", TRANSLATE "@H @G", {"no register file among the 2 files", "*.regs"}},
        Case{"TwoRegisterFiles", TRANSLATE "@R @H @D/more.regs", {"more.regs", "second register file", "iommu.regs"}},
        Case{"NoMemory", TRANSLATE "@R", {"no memory in the 1 files"}},
        Case{"MissingFile", TRANSLATE "@R @D/nowhere.elf", {"nowhere.elf", "No such file"}},
        Case{"MissingRawFile", TRANSLATE "@R @D/nowhere@0", {"nowhere@0", "No such file"}},
        Case{"NeitherKind", TRANSLATE "@R @D/text.txt", {"text.txt", "cannot tell what it is", "FILE@ADDRESS"}},
        Case{"EmptyFile", TRANSLATE "@R @D/empty", {"empty: cannot tell what it is"}},
        Case{"EmptyRawFile", TRANSLATE "@R @D/empty@0x1000", {"empty@0x1000", "found 0 bytes"}},
        Case{"Folder", TRANSLATE "@R @D", {"cannot tell what it is"}},
        Case{"CutElf", TRANSLATE "@R @D/cut.elf", {"cut.elf", "offset 0x"}},
        Case{"AddressIsNoNumber", TRANSLATE "@R @D/host.raw@here", {"host.raw@here", "found `here`"}},
        Case{"NoAddress", TRANSLATE "@R @D/host.raw@", {"host.raw@", "found ``", "expected a number"}},
        Case{"AddressBeyond52Bits", TRANSLATE "@R @D/host.raw@0xfffffffffffff000", {"host.raw", "52 bits"}},
        Case{"Overlap",
             TRANSLATE "@R @H @D/guest.raw@0x1f000",
             {"guest.raw@0x1f000: overlaps", "host.raw@0: both hold 0x1f000-0x1ffff"}},
        Case{"SameFileTwice", TRANSLATE "@R @H @H", {"host.raw@0: overlaps", "0x0-0x1ffff"}},
        Case{"MissingRequests", "translate @H @G @R -o @D/answers.tsv -r @D/none.tsv", {"none.tsv", "No such file"}},
        Case{"RequestsAreAFolder", "translate @H @G @R -o @D/answers.tsv -r @D", {"cannot be read"}},
        Case{"OutputIsAFolder", "translate @H @G @R -r @D/requests.tsv -o @D", {"found a directory"}},
        Case{"OutputNowhere",
             "translate @H @G @R -r @D/requests.tsv -o @D/no/answers.tsv",
             {"no/answers.tsv", "No such file"}},
        Case{"MissingConfiguration", TRANSLATE "@H @G @R --config @D/none.json", {"none.json", "No such file"}},
        Case{"WalkWithoutSource", "walk @H @G @R --iova 0", {"no --source", "requester"}},
        Case{"WalkWithoutAddress", "walk @H @G @R --source 1", {"no --iova", "address"}},
        Case{"WalkSourceTooLarge", "walk @H @G @R --source 0x10000 --iova 0", {"--source: found `0x10000`", "16 bits"}},
        Case{"WalkSourceDeviceTooLarge", "walk @H @G @R --source 00:20.0 --iova 0", {"--source: found `00:20.0`"}},
        Case{"WalkAddress", "walk @H @G @R --source 1 --iova 12ab", {"--iova: found `12ab`", "an address"}},
        Case{"WalkAccess", WALK "--access q", {"--access: found `q`", "r, w or x"}},
        Case{"WalkPasid", WALK "--pasid 0x100000", {"--pasid: found `0x100000`", "20 bits"}},
        Case{"WalkType", WALK "--type dma", {"--type: found `dma`", "translation-request"}},
        Case{"WalkFormat", WALK "--format xml", {"--format: found `xml`", "text or json"}},
        Case{"WalkJsonOfReferences", WALK "--format json --refs-only", {"--refs-only"}},
        Case{"SettingWithoutValue", WALK "--set vtd.nest", {"--set: found `vtd.nest`", "KEY=VALUE"}},
        Case{"SettingOfUnknownKey",
             WALK "--set vtd.iotlb_entrys=4",
             {"unknown key `vtd.iotlb_entrys`", "nearest is `vtd.iotlb_entries`"}},
        Case{"SettingWithoutSection", WALK "--set iotlb_entries=4", {"`iotlb_entries`", "`vtd.iotlb_entries`"}},
        Case{"SettingOutOfRange", WALK "--set vtd.haw=53", {"key `vtd.haw`", "found `53`", "from 32 to 52"}},
        Case{"SettingIsNoNumber", WALK "--set vtd.haw=wide", {"key `vtd.haw`", "found `wide`", "a number"}},
        Case{"SettingsThatContradict", WALK "--set vtd.fsts=0", {"--set: the VT-d configuration does not hold"}},
        Case{"DescribeUnknownKey", "config --describe vtd.hwa", {"unknown key `vtd.hwa`", "nearest is `vtd.haw`"}},
        Case{"UnknownArchitectureOfConfig", "config --arch amd", {"unknown architecture `amd`"}},
        Case{"KeyOfAnotherArchitecture", WALK "--set smmuv3.cm=1", {"unknown key `smmuv3.cm`", "nearest is `smmuv3."}},
        Case{"SmmuSettingOutOfRange", WALK "--set smmuv3.oas=8", {"key `smmuv3.oas`", "found `8`", "from 0 to 7"}},
        Case{"SmmuSettingsThatContradict",
             WALK "--set smmuv3.ds=1",
             {"--set: the SMMUv3 configuration does not hold: ds needs oas = 6"}},
        Case{"Smmuv2SettingsThatContradict", WALK "--set smmuv2.oas=6", {"--set: the SMMUv2 configuration"}},
        Case{"TwoThingsAtOnce", "config --list --schema", {"found --list and --schema"}},
        Case{"SettingWithoutPrint", "config --list --set vtd.nd=1", {"--config and --set go with --print"}}),
    name_of);

// Requests.

class Requests : public testing::TestWithParam<Case> {};

TEST_P(Requests, AreRefused) {
  TempDir dir;
  std::string answers = dir.path("answers.tsv"), requests = dir.path("requests.tsv");
  write_file(requests, GetParam().input);
  std::vector<std::string> line = {"translate", "-o", answers, "-r", requests};
  for (const std::string &argument : nested_machine().write(dir, scalable_registers))
    line.push_back(argument);
  size_t before = files_in(dir.name());
  expect_refused(run_program(line), GetParam().words, GetParam().input);
  EXPECT_FALSE(exists(answers));
  EXPECT_EQ(files_in(dir.name()), before);

  // From standard input likewise, under that name.
  line = {"translate", "-o", answers, "-r", "-"};
  for (const std::string &argument : nested_machine().write(dir, scalable_registers))
    line.push_back(argument);
  Ran r = run_program(line, GetParam().input);
  EXPECT_EQ(r.status, 2);
  EXPECT_NE(r.err.find("standard input:"), std::string::npos) << r.err;
}

#define HEADER "source\tpasid\taccess\tiova\n"
#define TYPED  "source\tpasid\taccess\tiova\ttype\n"

INSTANTIATE_TEST_SUITE_P(
    Malformed, Requests,
    testing::Values(
        Case{"Empty", "", {"requests.tsv:1:", "expected a header line"}},
        Case{"NoHeader", "0x18\t-\tr\t0x1000\n", {":1:", "unknown column `0x18`"}},
        Case{"UnknownColumn", "sorce\tpasid\taccess\tiova\n", {":1:", "unknown column `sorce`", "nearest is `source`"}},
        Case{"UpperCaseColumn", "Source\tpasid\taccess\tiova\n", {":1:", "unknown column `Source`", "`source`"}},
        Case{"ColumnTwice", "source\tpasid\taccess\tiova\tiova\n", {":1:", "column `iova`", "second time"}},
        Case{"ColumnMissing", "source\taccess\tiova\n", {":1:", "column `pasid`: not found"}},
        Case{"SpacesForTabs", "source pasid access iova\n", {":1:", "unknown column `source pasid access iova`"}},
        Case{"EmptyHeader", "\n0x18\n", {":1:", "unknown column ``"}},
        Case{"FieldMissing", HEADER "0x18\t-\tr\n", {":2:", "found 3 fields, expected 4"}},
        Case{"FieldTooMany", HEADER "0x18\t-\tr\t0\t0\n", {":2:", "found 5 fields, expected 4"}},
        Case{"EmptyLineBetween", HEADER "0x18\t-\tr\t0\n\n0x18\t-\tr\t0\n", {":3:", "found an empty line"}},
        Case{"SourceIsNoId", HEADER "nic\t-\tr\t0\n", {":2: source:", "found `nic`", "bb:dd.f"}},
        Case{"SourceTooLarge", HEADER "65536\t-\tr\t0\n", {":2: source:", "found `65536`", "16 bits"}},
        Case{"SourceDevice", HEADER "00:20.0\t-\tr\t0\n", {":2: source:", "found `00:20.0`"}},
        Case{"SourceFunction", HEADER "00:03.8\t-\tr\t0\n", {":2: source:", "found `00:03.8`"}},
        Case{"SourceBus", HEADER "100:03.0\t-\tr\t0\n", {":2: source:", "found `100:03.0`"}},
        Case{"SourceSegment", HEADER "00000:00:03.0\t-\tr\t0\n", {":2: source:", "found `00000:00:03.0`"}},
        Case{"SourceWithoutFunction", HEADER "00:03\t-\tr\t0\n", {":2: source:", "found `00:03`"}},
        Case{"SourceEmpty", HEADER "\t-\tr\t0\n", {":2: source:", "found ``"}},
        Case{"PasidIsNoNumber", HEADER "0x18\tnone\tr\t0\n", {":2: pasid:", "found `none`", "a number or -"}},
        Case{"PasidTooLarge", HEADER "0x18\t1048576\tr\t0\n", {":2: pasid:", "found `1048576`", "20 bits"}},
        Case{"AccessUnknown", HEADER "0x18\t-\ta\t0\n", {":2: access:", "found `a`", "r, w or x"}},
        Case{"AccessTwo", HEADER "0x18\t-\trw\t0\n", {":2: access:", "found `rw`", "r, w or x"}},
        Case{"AccessPrivilegeAlone", HEADER "0x18\t-\tp\t0\n", {":2: access:", "found `p`"}},
        Case{"AddressIsNoNumber", HEADER "0x18\t-\tr\tzero\n", {":2: iova:", "found `zero`", "64 bits"}},
        Case{"AddressTooLarge", HEADER "0x18\t-\tr\t0x10000000000000000\n", {":2: iova:", "64 bits"}},
        Case{"AddressHexWithoutPrefix", HEADER "0x18\t-\tr\tff00\n", {":2: iova:", "found `ff00`"}},
        Case{"AddressIsPrefix", HEADER "0x18\t-\tr\t0x\n", {":2: iova:", "found `0x`"}},
        Case{"TypeUnknown", TYPED "0x18\t-\tr\t0\tats\n", {":2: type:", "found `ats`", "translation-request"}},
        Case{"TypeEmpty", TYPED "0x18\t-\tr\t0\t\n", {":2: type:", "found ``"}},
        Case{"BadLineBehindGoodOnes", HEADER "0x18\t-\tr\t0\n0x18\t-\tr\t0\n0x18\t-\tr\n", {":4:", "found 3 fields"}},
        Case{"LongLine", HEADER + std::string(100000, 'x') + "\n", {":2:", "more than 4096 bytes"}},
        Case{"Binary", std::string("\0\1\2\3\n", 5), {":1:", "unknown column `\\x00\\x01\\x02\\x03`"}}),
    name_of);

// Configurations.

class Configurations : public testing::TestWithParam<Case> {};

TEST_P(Configurations, AreRefused) {
  TempDir dir;
  std::string path = dir.path("config.json");
  write_file(path, GetParam().input);
  expect_refused(run_program({"config", "--print", "--config", path}), GetParam().words, GetParam().input);
}

INSTANTIATE_TEST_SUITE_P(
    Malformed, Configurations,
    testing::Values(
        Case{"Empty", "", {"config.json:1:1: no JSON"}}, Case{"Cut", "{\"vtd\": {", {"config.json:1:", "no JSON"}},
        Case{"Text", "iotlb_entries = 5\n", {"config.json:1:", "no JSON"}},
        Case{"MoreBehind", "{}\n{}\n", {"config.json:2:1: found more text"}},
        Case{"Array", "[]", {"found an array", "an object"}}, Case{"Number", "5", {"found 5", "an object"}},
        Case{"UnknownSection", "{\"vdt\": {}}", {":1: unknown key `vdt`", "nearest is `vtd`"}},
        Case{"UnknownTopKey", "{\n\"timing\": 5}", {":2: unknown key `timing`", "nearest is"}},
        Case{"SectionIsNumber", "{\"vtd\": 5}", {"key `vtd`: found 5", "an object of its knobs"}},
        Case{"UnknownKey",
             "{\"vtd\": {\n\n\"iotlb_entires\": 4}}",
             {":3: unknown key `vtd.iotlb_entires`", "nearest is `vtd.iotlb_entries`"}},
        Case{"KeyTwice", "{\"vtd\": {\"nd\": 1,\n\"nd\": 1}}", {":2: key `vtd.nd`: found a second time"}},
        Case{"SectionTwice", "{\"vtd\": {}, \"vtd\": {}}", {"key `vtd`: found a second time"}},
        Case{"String", "{\"vtd\": {\"nd\": \"6\"}}", {"key `vtd.nd`: found the string `6`", "number from 0 to 7"}},
        Case{"Fraction", "{\"vtd\": {\"nd\": 1.5}}", {"key `vtd.nd`: found a number that is no integer"}},
        Case{"Null", "{\"vtd\": {\"nd\": null}}", {"key `vtd.nd`: found null"}},
        Case{"List", "{\"vtd\": {\"nd\": [1]}}", {"key `vtd.nd`: found an array"}},
        Case{"Object", "{\"vtd\": {\"nd\": {}}}", {"key `vtd.nd`: found an object"}},
        Case{"Negative", "{\"vtd\": {\"nd\": -1}}", {"key `vtd.nd`: found -1", "from 0 to 7"}},
        Case{"TooLarge", "{\"vtd\": {\"nd\": 8}}", {"key `vtd.nd`: found 8", "from 0 to 7"}},
        Case{"Huge", "{\"vtd\": {\"nd\": 18446744073709551615}}", {"key `vtd.nd`: found 18446744073709551615"}},
        Case{"TooSmall", "{\"vtd\": {\"haw\": 31}}", {"key `vtd.haw`: found 31", "from 32 to 52"}},
        Case{"BooleanForNumber", "{\"vtd\": {\"nd\": true}}", {"key `vtd.nd`: found true", "a number"}},
        Case{"Contradiction", "{\"vtd\": {\"dt\": 0}}", {"config.json: the VT-d configuration does not hold"}},
        Case{"DeepNesting", std::string(100, '['), {"config.json:1", "found an array"}}),
    name_of);
