// SPDX-License-Identifier: Apache-2.0
// `walk` and `translate` on SMMUs: what a person reads of stream tables, CDs, Arm's page tables and events.
#include "tests/tools/program.h"

#include <boost/json.hpp>

namespace {

Ran run_walk(const Machine &machine, const std::string &registers, std::vector<std::string> more) {
  TempDir dir;
  std::vector<std::string> line = {"walk"};
  for (const std::string &argument : machine.write(dir, registers))
    line.push_back(argument);
  line.insert(line.end(), more.begin(), more.end());
  return run_program(line);
}

std::string walk(const Machine &machine, std::vector<std::string> more, const std::string &registers = smmu_registers) {
  Ran r = run_walk(machine, registers, std::move(more));
  EXPECT_EQ(r.status, 0) << r.err;
  for (const std::string &line : split(r.out, '\n'))
    EXPECT_LE(line.size(), 100u) << line;
  return r.out;
}

std::vector<std::string> of(const std::string &iova, const std::string &pasid = "5", const std::string &access = "r") {
  return {"--source", "0x18", "--pasid", pasid, "--iova", iova, "--access", access};
}

// Spaces and lines do not count: sentences are wrapped.
std::string flat(const std::string &text) {
  std::istringstream in(text);
  std::string out;
  for (std::string word; in >> word;)
    out += (out.empty() ? "" : " ") + word;
  return out;
}

void expect_words(const std::string &text, const std::vector<std::string> &words) {
  for (const std::string &word : words)
    EXPECT_NE(flat(text).find(flat(word)), text.npos) << "missing: " << word << "\nin:\n" << text;
}

const char there[] = "0x7f0012345678";

uint64_t &ste(Machine &m, unsigned word) { return m.at(0x10600 + 8 * word); }
uint64_t &cd(Machine &m, unsigned word) { return m.at(0x104140 + 8 * word); }
uint64_t &leaf(Machine &m) { return m.at(0x108000 + (nested_iova >> 12 & 511) * 8); }

} // namespace

TEST(SmmuWalk, NestedIsToldAsTheGoldenFileHasIt) {
  std::string text = walk(nested_smmu_machine(), of(there, "5", "w"));
  EXPECT_EQ(text, read_text(IMS_TEST_DATA_DIR "/walk/smmuv3_nested_4x4.txt"));
}

TEST(SmmuWalk, TheMachinesOfTheTutorialAreTheOnesOfTheTests) {
  const std::string folder = IMS_TEST_DATA_DIR "/nested/";
  Ran arm = run_program({"walk", folder + "smmuv3.regs", folder + "smmuv3.elf", "--source", "0x18", "--pasid", "5",
                         "--iova", there, "--access", "w"});
  EXPECT_EQ(arm.out, walk(nested_smmu_machine(), of(there, "5", "w")));
  Ran x86 = run_program({"walk", folder + "vtd.regs", folder + "vtd.elf", "--source", "0x18", "--pasid", "5", "--iova",
                         there, "--access", "w"});
  EXPECT_EQ(x86.out, walk(nested_machine(), of(there, "5", "w"), scalable_registers));
}

TEST(SmmuWalk, LevelsAreNumberedAsTheArchitectureDoes) {
  std::vector<std::string> line = of(there);
  line.push_back("--refs-only");
  std::vector<std::string> lines = split(walk(nested_smmu_machine(), line), '\n');
  EXPECT_EQ(lines[1].substr(0, 34), "  1  stream table entry (STE)     ");
  expect_words(lines[2], {"  2  stage-2 level 0 for the context descriptor (CD)", "hpa 0x18000"});
  expect_words(lines[6], {"  6  context descriptor (CD)", "ipa 0x4140 -> hpa 0x104140"});
  expect_words(lines[11], {" 11  stage-1 level 0", "ipa 0x57f0 -> hpa 0x1057f0"});
  expect_words(lines[26], {" 26  stage-1 level 3", "ipa 0x8a28"});
  expect_words(lines[30], {" 30  stage-2 level 3 for the page", "hpa 0x1b048"});
}

TEST(SmmuWalk, HolesOfTheGuestAndOfTheHostAreToldApart) {
  Machine m = nested_smmu_machine();
  expect_words(walk(m, of("0x7f0012346000", "5", "w")),
               {"event 0x10  F_TRANSLATION: no translation",
                "where   stage 1, level 3 descriptor, for iova 0x7f0012346000: not present", "device  aborted",
                "SSV 1   SSID 5   SID 0x18 (00:03.0)   RNW 0 (write)", "S2 0 (stage 1)   CLASS 2 (input address)",
                "means   The guest has not mapped 0x7f0012346000 in stage 1."});
  m.at(0x1b000 + 9 * 8) = 0; // the page
  expect_words(walk(m, of(there)),
               {"where   stage 2, level 3 descriptor, for ipa 0x9678: not present", "S2 1 (stage 2)   CLASS 2",
                "IPA 0x9000", "means   The hypervisor has not mapped ipa 0x9678, where the page lies, in stage 2."});
  m.at(0x1b000 + 7 * 8) = 0; // the stage-1 level 2 table
  expect_words(walk(m, of(there)), {"of the stage-1 level 2 descriptor: not present", "CLASS 1 (translation table)",
                                    "where the guest's stage-1 level 2 descriptor lies"});
  m.at(0x1b000 + 4 * 8) = 0; // the CDs
  expect_words(walk(m, of(there)), {"CLASS 0 (CD)", "IPA 0x4000", "where the guest's CD lies"});
}

TEST(SmmuWalk, RightsAndFlagsAreSaidInWords) {
  Machine m = nested_smmu_machine();
  leaf(m) |= 1 << 7; // AP[2]
  expect_words(walk(m, of(there, "5", "w")),
               {"RO EL0 AF nG ISH Attr0", "event 0x13  F_PERMISSION", "Stage 1 has 0x7f0012345678 read-only"});
  leaf(m) = 0x9b43; // AF clear
  expect_words(walk(m, of(there)), {"event 0x12  F_ACCESS", "AF clear, and hardware is not to set it"});
  leaf(m) = 0x9f03; // EL1 only
  expect_words(walk(m, of(there)), {"event 0x13  F_PERMISSION", "Stage 1 keeps 0x7f0012345678 from this privilege"});
  expect_words(walk(m, of(there, "5", "rp")), {"ok  hpa 0x109678"});
  m = nested_smmu_machine();
  m.at(0x1b000 + 9 * 8) = 0x10977f; // S2AP: read only
  expect_words(walk(m, of(there, "5", "w")), {"4 KB page 0x109000", "R- AF ISH WB",
                                              "Stage 2 does not let ipa 0x9678, where the page lies, be written."});
}

TEST(SmmuWalk, HierarchicalAttributesAreNamedAndSaidToBeIgnored) {
  Machine m = nested_smmu_machine();
  m.at(0x106000 + (nested_iova >> 30 & 511) * 8) |= 1ull << 62 | 1ull << 60;
  expect_words(walk(m, of(there, "5", "w")), {"APTable[1] XNTable", "event 0x13"});
  cd(m, 1) |= 1ull << 1; // HAD0
  expect_words(walk(m, of(there, "5", "w")), {"APTable[1] XNTable (ignored)", "ok  hpa 0x109678"});
}

TEST(SmmuWalk, HardwareUpdatesAreShown) {
  Machine m = nested_smmu_machine();
  leaf(m) = 0x9bc3 | 1ull << 51;       // AF clear, read-only with DBM
  cd(m, 0) |= 1ull << 42 | 1ull << 43; // HD, HA
  expect_words(walk(m, of(there, "5", "w")), {"RO EL0 nG ISH Attr0 DBM", "set AF writable", "0x0008000000009f43"});
}

TEST(SmmuWalk, BlocksAndContiguousRuns) {
  Machine m = nested_smmu_machine();
  leaf(m) |= 1ull << 52;
  expect_words(walk(m, of(there)), {"Cont"});
  m.at(0x1b000 + 4 * 8) = 0;
  m.at(0x1a000) = 0x7fd; // the whole of the guest in one block of 2 MB at hpa 0
  m.at(0x4140) = cd(m, 0);
  m.at(0x4148) = cd(m, 1);
  m.at(0x4158) = 0xff;
  expect_words(walk(m, of(there)), {"2 MB block 0x0", "stage 1, level 0 descriptor"});
}

TEST(SmmuWalk, BigEndianDescriptorsAreTurned) {
  Machine m = nested_smmu_machine();
  cd(m, 0) |= 1 << 15; // ENDI
  for (uint64_t at : {0x105000 + (nested_iova >> 39 & 511) * 8, 0x106000 + (nested_iova >> 30 & 511) * 8,
                      0x107000 + (nested_iova >> 21 & 511) * 8, 0x108000 + (nested_iova >> 12 & 511) * 8})
    m.at(at) = __builtin_bswap64(m.at(at));
  expect_words(walk(m, of(there)), {"0x0000000000006003  -> ipa 0x6000", "ok  hpa 0x109678", "stage 1 is big-endian"});
}

TEST(SmmuWalk, UpperHalfAndIgnoredTopByte) {
  Machine m = nested_smmu_machine();
  cd(m, 0) = (cd(m, 0) & ~(1ull << 30)) | 25ull << 16 | 2ull << 22 | 1ull << 39; // T1SZ 25, TG1 4 KB, TBI1
  cd(m, 2) = 0x6000ull;                                                          // TTB1
  m.at(0x106000) = 0x7003;
  m.at(0x107000) = 0x8003;
  m.at(0x108000) = 0x9f43;
  expect_words(walk(m, of("0x12ffff8000000010")), {"TTB1: 39 bits, granule 4 KB, level 1 at ipa 0x6000, ASID 9",
                                                   "ignored", "ones", "0x12", "ok  hpa 0x109010"});
}

TEST(SmmuWalk, FieldsThatDoNotCountSaySo) {
  Machine m = nested_smmu_machine();
  ste(m, 0) = (ste(m, 0) & ~0xeull) | 4ull << 1; // bypass
  Ran r = run_walk(m, smmu_registers, {"--source", "0x18", "--iova", "0x1234"});
  expect_words(r.out, {"CONFIG 4 (bypass)", "S1CDMAX 4 (ignored)", "S2T0SZ 16 (ignored)", "S2VMID 7",
                       "bypass: addresses pass as they are", "bypass  0x1234 passes as it is"});
  ste(m, 0) &= ~0xeull;
  expect_words(walk(m, {"--source", "0x18", "--iova", "0"}),
               {"=> abort: terminated, without an event", "abort  terminated by configuration"});
}

TEST(SmmuWalk, ConfigurationErrorsHaveNamesAndReasons) {
  Machine m = nested_smmu_machine();
  expect_words(walk(m, of(there, "16")), {"event 0x8  C_BAD_SUBSTREAMID", "SSID 16", "means"});
  expect_words(walk(m, of(there, "6")), {"V 0", "=> not valid", "event 0xa  C_BAD_CD"});
  expect_words(walk(m, {"--source", "0x19", "--iova", "0"}), {"event 0x4  C_BAD_STE", "record  "});
  expect_words(walk(m, {"--source", "0x10000", "--iova", "0"}), {"by stream 0x10000 without", "C_BAD_STREAMID"});
  expect_words(walk(m, {"--source", "0x18", "--iova", "0"}), {"no SubstreamID: refused", "F_STREAM_DISABLED"});
}

TEST(SmmuWalk, StallsAreToldWithTheirTag) {
  Machine m = nested_smmu_machine();
  cd(m, 0) |= 1ull << 44; // S
  std::string text = walk(m, of("0x7f0012346000"));
  expect_words(text, {"stall 0x10  F_TRANSLATION", "waits until CMD_RESUME names its STAG, 0", "STALL 1 (waits)"});
}

TEST(SmmuWalk, CachesHaveArmsNames) {
  std::vector<std::string> line = of(there);
  line.push_back("--caches");
  expect_words(walk(nested_smmu_machine(), line), {"miss  STE cache", "keep  CD cache", "IPA cache",
                                                   "stage-1 walk cache, level 0", "stage-2 walk cache, level 2"});
  line.back() = "--warm";
  expect_words(walk(nested_smmu_machine(), line),
               {"hit   IOTLB: 0x7f0012345678 -> 4 KB page 0x109000", "0 references"});
}

TEST(SmmuWalk, JsonHasStepsFieldsAndTheRecord) {
  std::vector<std::string> line = of("0x7f0012346000", "5", "w");
  line.insert(line.end(), {"--format", "json"});
  Ran r = run_walk(nested_smmu_machine(), smmu_registers, line);
  ASSERT_EQ(r.status, 0) << r.err;
  boost::json::value v = boost::json::parse(r.out);
  const boost::json::array &steps = v.at("steps").as_array();
  EXPECT_EQ(steps[0].at("fields").at("CONFIG").as_string(), "7");
  EXPECT_EQ(steps[1].at("level").as_int64(), 0);
  EXPECT_EQ(steps[5].at("ipa").as_string(), "0x4140");
  const boost::json::value &result = v.at("result");
  EXPECT_EQ(result.at("fault").as_string(), "0x10");
  EXPECT_EQ(result.at("record").as_string(), "0000001800005810:0000020000000000:00007f0012346000:0000000000000000");
  EXPECT_EQ(result.at("fields").at("CLASS").as_string(), "2");
}

TEST(SmmuTranslate, StreamIdsHave32BitsAndStallsDoNotPileUp) {
  TempDir dir;
  Machine m = nested_smmu_machine();
  cd(m, 0) |= 1ull << 44; // S
  std::string requests = "source\tpasid\taccess\tiova\n0xffffffff\t-\tr\t0\n";
  for (int i = 0; i < 100; i++)
    requests += "00:03.0\t5\tw\t0x7f0012346000\n";
  write_file(dir.path("requests.tsv"), requests);
  std::vector<std::string> line = {"translate", "-r", dir.path("requests.tsv")};
  for (const std::string &argument : m.write(dir, smmu_registers))
    line.push_back(argument);
  Ran r = run_program(line);
  ASSERT_EQ(r.status, 0) << r.err;
  std::vector<std::string> lines = split(r.out, '\n');
  ASSERT_EQ(lines.size(), 102u);
  EXPECT_EQ(split(lines[1], '\t')[7], "0x2");
  for (size_t i = 2; i < lines.size(); i++)
    EXPECT_EQ(lines[i], "00:03.0\t5\tw\t0x7f0012346000\tfault\t-\t-\t0x10\t"
                        "0000001800005810:0000020080000000:00007f0012346000:0000000000000000\t26");
}

// An SMMUv2: stream 0x18 by SMR1 to bank 2, nested in bank 5, and the same two tables as above.
namespace {
const char smmuv2_registers[] =
    "iommu = smmuv2\nsCR0 = 0x80000402\nSMR1 = 0x80000018\nS2CR1 = 0x2\n"
    "CBAR2 = 0x30500\nCBA2R2 = 0x70001\nCBAR5 = 0x0\nCBA2R5 = 0x70001\n"
    "CB2_SCTLR = 0x61\nCB2_TTBR0 = 0x9000000005000\nCB2_TCR = 0x800010\nCB2_TCR2 = 0x38005\n"
    "CB2_MAIR0 = 0xff\nCB5_SCTLR = 0x61\nCB5_TTBR0 = 0x18000\nCB5_TCR = 0x50090\n";
}

TEST(Smmuv2Walk, TellsTheMatchAndTheBanks) {
  expect_words(walk(nested_smmu_machine(), {"--source", "0x18", "--iova", there}, smmuv2_registers),
               {"Translating a read of iova 0x7f0012345678 by stream 0x18 (00:03.0)\n",
                "SMR1 0x80000018 matches stream 0x18", "S2CR1 0x2: translate, context bank 2",
                "bank 2: nested, VMID 7; 48 bits, TTBR0 0x5000", "bank 5, its stage 2: 48 bits, TTBR0 0x18000",
                "ok  hpa 0x109678", "24 references (4 stage 1, 20 stage 2)"});
}

TEST(Smmuv2Walk, FaultsHaveTheRegistersFields) {
  expect_words(walk(nested_smmu_machine(), {"--source", "0x18", "--iova", "0x7f0012346000"}, smmuv2_registers),
               {"fault 0x1  TF:", "where   stage 1, level 3 descriptor", "FSR 0x", "FAR 0x7f0012346000", "PLVL 3",
                "CBFRSYNRA 0x18"});
  expect_words(walk(nested_smmu_machine(), {"--source", "0x19", "--iova", "0"}, smmuv2_registers),
               {"no stream match for 0x19: sCR0.USFCFG 1, fault", "fault 0x11  USF:"});
  expect_words(walk(nested_smmu_machine(), of(there), smmuv2_registers), {"fault 0x18  UUT:"});
}

TEST(Smmuv2Translate, EachRequestMeetsAUnitWithoutFaults) {
  TempDir dir;
  write_file(dir.path("requests.tsv"), "source\tpasid\taccess\tiova\n0x18\t-\tr\t0x7f0012346000\n0x18\t-\tw\t0x1000\n"
                                       "0x18\t-\tr\t0x7f0012345678\n");
  std::vector<std::string> line = {"translate", "-r", dir.path("requests.tsv")};
  for (const std::string &argument : nested_smmu_machine().write(dir, smmuv2_registers))
    line.push_back(argument);
  Ran r = run_program(line);
  ASSERT_EQ(r.status, 0) << r.err;
  std::vector<std::string> lines = split(r.out, '\n');
  for (int i : {1, 2}) {
    std::vector<std::string> f = split(lines[static_cast<size_t>(i)], '\t');
    EXPECT_EQ(f[4], "fault");
    EXPECT_EQ(f[7], "0x1");
    EXPECT_NE(f[8], "-") << "recorded: nothing stands there from before";
  }
  EXPECT_EQ(split(lines[3], '\t')[5], "0x109678");
}
