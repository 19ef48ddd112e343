// SPDX-License-Identifier: Apache-2.0
// Captured machines: `translate` gives the answers of the reference, request by request.
#include "tests/tools/program.h"

#include <algorithm>
#include <dirent.h>

namespace {

// Machines of an architecture below a folder.
std::vector<std::string> corpora(const std::string &root, const std::string &arch) {
  std::vector<std::string> found;
  DIR *dir = opendir(root.c_str());
  if (!dir)
    return found;
  while (const dirent *entry = readdir(dir)) {
    std::string folder = root + "/" + entry->d_name;
    if (read_text(folder + "/iommu.regs").rfind("iommu = " + arch + "\n", 0) == 0)
      found.push_back(folder);
  }
  closedir(dir);
  std::sort(found.begin(), found.end());
  return found;
}

const std::vector<std::string> architectures = {"vtd", "smmuv3"};

// What the reference's record is in the words of the specification: F is set once a register holds a fault (11.4.14),
// and a scalable context entry that is not present is 0x41, for which the reference writes the legacy 0x2. Events of SMMUv3
// have four words, which the reference fills as the specification does in all that these machines raise.
std::string specified(const std::string &record) {
  if (record.size() != 33)
    return record;
  uint64_t high = std::stoull(record.substr(0, 16), nullptr, 16);
  high |= 1ull << 63;
  if ((high >> 32 & 0xff) == 0x02)
    high ^= (0x02ull ^ 0x41ull) << 32;
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(high));
  return text + record.substr(16);
}

void expect_reference_answers(const std::string &folder, const std::vector<std::string> &more = {}) {
  TempDir dir;
  std::string answers = dir.path("answers.tsv");
  std::vector<std::string> arguments = {
      "translate", folder + "/iommu.regs", folder + "/mem.elf", "--requests", folder + "/requests.tsv", "-o", answers};
  arguments.insert(arguments.end(), more.begin(), more.end());
  Ran r = run_program(arguments);
  ASSERT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(r.out, "");
  std::vector<std::string> got = split(read_text(answers), '\n');
  std::vector<std::string> asked = split(read_text(folder + "/requests.tsv"), '\n');
  std::vector<std::string> wanted = split(read_text(folder + "/expected.tsv"), '\n');
  ASSERT_EQ(wanted[0], "status\toutput\tpage\tfault\trecord");
  EXPECT_EQ(got[0], asked[0] + "\t" + wanted[0] + "\trefs");
  ASSERT_EQ(got.size(), asked.size());
  ASSERT_EQ(got.size(), wanted.size());
  ASSERT_GT(got.size(), 1000u);
  unsigned faults = 0;
  for (size_t i = 1; i < got.size(); i++) {
    std::vector<std::string> a = split(got[i], '\t'), q = split(asked[i], '\t'), w = split(wanted[i], '\t');
    ASSERT_EQ(a.size(), q.size() + w.size() + 1) << got[i];
    SCOPED_TRACE(folder + " line " + std::to_string(i + 1));
    EXPECT_EQ(got[i].rfind(asked[i] + "\t", 0), 0u);
    for (size_t j = 0; j < 4; j++)
      EXPECT_EQ(a[q.size() + j], w[j]);
    EXPECT_EQ(a[q.size() + 4], specified(w[4]));
    faults += w[0] == "fault";
  }
  EXPECT_GT(faults, 50u);
}

} // namespace

TEST(Corpus, EveryBundledMachineAnswersAsTheReference) {
  for (const std::string &arch : architectures) {
    std::vector<std::string> folders = corpora(IMS_TEST_DATA_DIR "/corpus", arch);
    ASSERT_EQ(folders.size(), 2u) << arch;
    for (const std::string &folder : folders)
      expect_reference_answers(folder);
  }
}

TEST(Corpus, WarmCachesChangeNoAnswer) {
  for (const std::string &arch : architectures)
    for (const std::string &folder : corpora(IMS_TEST_DATA_DIR "/corpus", arch))
      expect_reference_answers(folder, {"--warm"});
}

TEST(Corpus, EverySharedMachineAnswersAsTheReference) {
  std::string shared = IMS_SHARED_DIR;
  if (shared.empty())
    GTEST_SKIP() << "no directory of reference data beside the checkout";
  for (const std::string &arch : architectures)
    for (const std::string &folder : corpora(shared + "/corpus", arch))
      expect_reference_answers(folder);
}

// L1STD, STE and CD; four levels of 4 KB pages.
TEST(Corpus, ColdTranslationsOfStage1ReadSevenEntriesEach) {
  std::string folder = IMS_TEST_DATA_DIR "/corpus/linux-smmuv3-stage1-a";
  Ran r = run_program({"translate", folder + "/iommu.regs", folder + "/mem.elf", "-r", folder + "/requests.tsv"});
  ASSERT_EQ(r.status, 0) << r.err;
  unsigned ok = 0;
  for (const std::string &line : split(r.out, '\n')) {
    std::vector<std::string> fields = split(line, '\t');
    if (fields[4] != "ok")
      continue;
    EXPECT_EQ(fields[9], "7") << line;
    ok++;
  }
  EXPECT_EQ(ok, 952u);
}

TEST(Corpus, ColdTranslationsOfFirstStageReadEightEntriesEach) {
  std::string folder = IMS_TEST_DATA_DIR "/corpus/linux-vtd-scalable-first-stage-a";
  Ran r = run_program({"translate", folder + "/iommu.regs", folder + "/mem.elf", "-r", folder + "/requests.tsv"});
  ASSERT_EQ(r.status, 0) << r.err;
  unsigned ok = 0;
  for (const std::string &line : split(r.out, '\n')) {
    std::vector<std::string> fields = split(line, '\t');
    if (fields[4] != "ok")
      continue;
    EXPECT_EQ(fields[9], "8") << line;
    ok++;
  }
  EXPECT_EQ(ok, 1147u);
}

TEST(Corpus, WarmCachesSaveReferences) {
  std::string folder = IMS_TEST_DATA_DIR "/corpus/linux-vtd-scalable-first-stage-a";
  unsigned long refs[2] = {};
  for (int warm = 0; warm < 2; warm++) {
    std::vector<std::string> line = {"translate", folder + "/iommu.regs", folder + "/mem.elf", "-r",
                                     folder + "/requests.tsv"};
    if (warm)
      line.push_back("--warm");
    Ran r = run_program(line);
    ASSERT_EQ(r.status, 0) << r.err;
    std::vector<std::string> lines = split(r.out, '\n');
    for (size_t i = 1; i < lines.size(); i++)
      refs[warm] += std::stoul(split(lines[i], '\t').back());
  }
  EXPECT_LT(refs[1] * 4, refs[0]);
}
