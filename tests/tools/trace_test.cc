// SPDX-License-Identifier: Apache-2.0
// iommusim trace, iommusim diff, and what a run leaves behind for them, as people start them.
#include "tests/tools/program.h"

#include <algorithm>
#include <filesystem>

namespace {

const std::string traces = IMS_SOURCE_DIR "/traces/", flow = traces + "vsva-2020.trace";

// The trace with one word put in place of another.
std::string changed(const std::string &from, const std::string &to) {
  std::string text = read_text(flow);
  size_t at = text.find(from);
  EXPECT_NE(at, text.npos) << from;
  return text.replace(at, from.size(), to);
}

bool has(const std::string &text, const std::string &part) { return text.find(part) != text.npos; }

TEST(TraceCommand, ConvertsThereAndBackThroughFilesAndPipes) {
  TempDir dir;
  std::string binary = dir.path("t.zst"), text = dir.path("t.trace");
  Ran ran = run_program({"trace", "convert", flow, binary});
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(ran.out + ran.err, "");
  ASSERT_EQ(run_program({"trace", "convert", binary, text}).status, 0);
  EXPECT_EQ(read_text(text), read_text(flow));
  Ran piped = run_program({"trace", "convert", "-"}, read_text(binary));
  EXPECT_EQ(piped.out, read_text(flow));
  EXPECT_EQ(run_program({"trace", "convert", flow, "--to", "text"}).out, read_text(flow));
  EXPECT_EQ(run_program({"trace", "convert", flow, "-"}).out, read_text(binary));
}

TEST(TraceCommand, ABinaryTraceRunsLikeItsText) {
  TempDir dir;
  std::string binary = dir.path("t.zst");
  ASSERT_EQ(run_program({"trace", "convert", flow, binary}).status, 0);
  Ran text = run_program({"run", flow}), same = run_program({"run", binary}),
      piped = run_program({"run", "-"}, read_text(binary)), timed = run_program({"run", "--timing", "at", binary});
  EXPECT_EQ(text.status, 0);
  EXPECT_EQ(same.out, text.out);
  EXPECT_EQ(piped.out, text.out);
  EXPECT_EQ(timed.out, run_program({"run", "--timing", "at", flow}).out);
}

TEST(TraceCommand, PrintsCallsByTheirFields) {
  TempDir dir;
  std::string record = dir.path("r.zst");
  ASSERT_EQ(run_program({"run", "-q", flow, "--record", record}).status, 0);
  Ran all = run_program({"trace", "print", record});
  EXPECT_EQ(all.status, 0) << all.err;
  EXPECT_TRUE(has(
      all.out, "c0: VFIO_IOMMU_MAP_DMA: argsz 32, flags READ|WRITE, vaddr 0x7f0000000000, size 0x4000000: returns 0\n"))
      << all.out;
  EXPECT_TRUE(has(all.out, "VFIO_IOMMU_BIND/BIND_GUEST_PGTBL: argsz 80"));
  EXPECT_TRUE(has(all.out, ": returns -E"));
  EXPECT_TRUE(has(all.out, "\n     2  memory hpa="));
  Ran part = run_program({"trace", "print", record, "--from", "20", "--count", "2"});
  EXPECT_EQ(split(part.out, '\n').size(), 2u) << part.out;
  EXPECT_TRUE(has(all.out, part.out));
  Ran text = run_program({"trace", "print", record, "--text", "--from", "20", "--count", "1"});
  EXPECT_TRUE(has(text.out, "    20  call c0 0x3b71 arg=0x6f")) << text.out;
  EXPECT_TRUE(has(text.out, " expect ret=0\n"));
}

TEST(TraceCommand, InfoCounts) {
  TempDir dir;
  std::string record = dir.path("r.zst");
  ASSERT_EQ(run_program({"run", "-q", flow, "--record", record}).status, 0);
  Ran info = run_program({"trace", "info", record});
  EXPECT_EQ(info.status, 0) << info.err;
  EXPECT_TRUE(has(info.out, "form          binary, version 1\n")) << info.out;
  EXPECT_TRUE(has(info.out, "  dma                          23\n"));
  EXPECT_TRUE(has(info.out, "  VFIO_IOMMU_BIND/BIND_GUEST_PGTBL              7, 5 failed\n"));
  Ran quick = run_program({"trace", "info", record, "--quick"});
  EXPECT_EQ(quick.status, 0) << quick.err;
  EXPECT_EQ(info.out.compare(0, quick.out.size(), quick.out), 0) << quick.out << info.out;
  EXPECT_EQ(run_program({"trace", "info", flow, "--quick"}).status, 2);
}

TEST(TraceCommand, DiffNamesTheFirstAndCountsByField) {
  TempDir dir;
  std::string other = dir.path("o.trace"), binary = dir.path("o.zst");
  write_file(other, changed("refs=28", "refs=29"));
  ASSERT_EQ(run_program({"trace", "convert", other, binary}).status, 0);
  for (const std::string &b : {other, binary}) {
    Ran ran = run_program({"trace", "diff", flow, b});
    EXPECT_EQ(ran.status, 1);
    EXPECT_TRUE(has(ran.out, " is the first that differs: expect refs\n- dma dev0 write")) << ran.out;
    EXPECT_TRUE(has(ran.out, "         1  dma expect refs\n"));
    EXPECT_TRUE(has(ran.out, "1 of 96 events differ\n"));
    EXPECT_EQ(run_program({"trace", "diff", flow, b, "--ignore", "refs"}).status, 0);
  }
  // Comments and blanks do not count.
  write_file(other, read_text(flow) + "# the end\n");
  EXPECT_EQ(run_program({"trace", "diff", flow, other}).status, 0);
  write_file(other, read_text(flow) + "barrier\nbarrier\n");
  Ran more = run_program({"trace", "diff", flow, other});
  EXPECT_EQ(more.status, 1);
  EXPECT_TRUE(has(more.out, other + " has 2 events more\n")) << more.out;
}

TEST(TraceCommand, DamageIsNamedAndWhatPrecedesItComesBack) {
  TempDir dir;
  std::string binary = dir.path("t.zst"), cut = dir.path("cut.zst");
  ASSERT_EQ(run_program({"trace", "convert", flow, binary}).status, 0);
  std::string bytes = read_text(binary);
  write_file(cut, bytes.substr(0, bytes.size() - 20)); // in the seek table: all of the frame is there
  for (const char *word : {"print", "info", "convert"}) {
    Ran ran = run_program({"trace", word, cut});
    EXPECT_EQ(ran.status, 2) << word;
    EXPECT_TRUE(has(ran.err, cut + ": frame 1 at offset ")) << ran.err;
    EXPECT_EQ(run_program({"trace", word, cut, "--recover"}).status, 0);
  }
  Ran run = run_program({"run", "-q", cut});
  EXPECT_EQ(run.status, 2);
  EXPECT_TRUE(has(run.err, cut + ": frame 1 at offset ")) << run.err;
  Ran recovered = run_program({"run", "-q", "--recover", cut});
  EXPECT_EQ(recovered.status, 0);
  EXPECT_TRUE(has(recovered.err, "; what precedes it was played\n")) << recovered.err;
  EXPECT_EQ(run_program({"trace", "convert", cut, "-", "--recover"}).out, read_text(flow));
  bytes[200] = static_cast<char>(bytes[200] ^ 0x55);
  write_file(cut, bytes);
  Ran flipped = run_program({"run", "-q", cut});
  EXPECT_EQ(flipped.status, 2);
  EXPECT_TRUE(has(flipped.err, cut + ": frame 0 at offset 28: ")) << flipped.err;
}

TEST(TraceCommand, MistakesAreNamed) {
  for (const auto &[words, message] : {
           std::pair(std::vector<std::string>{"trace", "pint", flow}, "the nearest is print"),
           {{"trace", "diff", flow}, "expected two traces"},
           {{"trace", "print"}, "no trace, expected a file"},
           {{"trace", "print", "/nowhere"}, "/nowhere: cannot be read"},
           {{"trace", "convert", flow, "-", "--to", "word"}, "expected text or binary"},
           {{"trace", "convert", flow, "-", "--level", "20"}, "expected 1 to 19"},
           {{"trace", "print", flow, "--from", "0"}, "expected 1 or more"},
           {{"diff", "/nowhere", "/nowhere"}, "no such file or folder"},
           {{"diff", flow, flow}, "expected two files of a kind"},
           {{"diff", flow}, "expected two folders or files"},
           {{"diff", flow, "/"}, "found a folder and a file"},
       }) {
    Ran ran = run_program(words);
    EXPECT_EQ(ran.status, 2) << ran.err;
    EXPECT_TRUE(has(ran.err, message)) << message << ": " << ran.err;
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1);
  }
  EXPECT_EQ(run_program({"trace"}).status, 2);
  for (const char *word : {"convert", "print", "info", "diff"})
    EXPECT_TRUE(has(run_program({"trace", word, "--help"}).out, std::string("Usage: iommusim trace ") + word));
}

// ---- Recording and diff ---------------------------------------------------------------------------------------------

std::vector<std::string> bundled() {
  std::vector<std::string> names;
  for (const auto &entry : std::filesystem::directory_iterator(traces))
    if (entry.path().extension() == ".trace")
      names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

class RecordedRun : public testing::TestWithParam<std::string> {};

TEST_P(RecordedRun, IsPlayedAgainWithTheSameMachineAtItsEnd) {
  TempDir dir;
  std::string record = dir.path("r.zst"), a = dir.path("a"), b = dir.path("b");
  Ran first = run_program({"run", "-q", traces + GetParam(), "--record", record, "--save", a});
  ASSERT_EQ(first.status, 0) << first.err;
  Ran second = run_program({"run", "-q", record, "--save", b});
  EXPECT_EQ(second.status, 0) << second.err;
  Ran diff = run_program({"diff", a, b});
  EXPECT_EQ(diff.status, 0) << diff.out << diff.err;
  EXPECT_TRUE(has(diff.out, "memory: equal; queues: equal"));
}

std::string test_name(const testing::TestParamInfo<std::string> &trace) {
  std::string name = trace.param.substr(0, trace.param.find('.'));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}
INSTANTIATE_TEST_SUITE_P(Program, RecordedRun, testing::ValuesIn(bundled()), test_name);

TEST(DiffCommand, EachKindOfDifferenceIsNamed) {
  TempDir dir;
  std::string a = dir.path("a"), b = dir.path("b"), other = dir.path("o.trace");
  ASSERT_EQ(run_program({"run", "-q", flow, "-o", a, "--save", a}).status, 0);
  ASSERT_EQ(run_program({"run", "-q", flow, "-o", b, "--save", b}).status, 0);
  Ran equal = run_program({"diff", a, b});
  EXPECT_EQ(equal.status, 0) << equal.out;
  EXPECT_EQ(equal.out, "answers: equal; configuration (config): equal; registers of iommu0: equal; memory: equal; "
                       "queues: equal; statistics: equal\n");
  // More at the end: a word in memory, a DMA that faults.
  write_file(other, read_text(flow) + "write hpa:0x3000000 u64=0x1122,0x3344\ndma dev0 read iova=0x123000\n");
  ASSERT_EQ(run_program({"run", "-q", other, "-o", b, "--save", b}).status, 0);
  Ran ran = run_program({"diff", a, b});
  EXPECT_EQ(ran.status, 1);
  EXPECT_TRUE(has(ran.out, "answers: event 98 (line ")) << ran.out;
  EXPECT_TRUE(has(ran.out, ", dma): nothing | status="));
  EXPECT_TRUE(has(ran.out, "memory: first word that differs, at hpa 0x3000000 (of 2 in 1 page): 0x0 | 0x1122\n"));
  EXPECT_TRUE(has(ran.out, "queues: iommu0.faults["));
  EXPECT_TRUE(has(ran.out, "statistics: events: 96 | 98\n"));
  EXPECT_TRUE(has(ran.out, "registers of iommu0: FSTS: "));
  // An answer that is another one, of the same event.
  ASSERT_EQ(run_program({"run", "-q", flow, "-o", b, "--save", b, "--set", "vtd.iotlb_entries=0"}).status, 1);
  Ran cold = run_program({"diff", a, b, "--most", "2"});
  EXPECT_EQ(cold.status, 1);
  EXPECT_TRUE(has(cold.out, ", dma) status: ok | fault\n")) << cold.out;
  EXPECT_TRUE(has(cold.out, "answers: ... and "));
  EXPECT_TRUE(has(cold.out, "configuration (config): vtd.iotlb_entries: "));
  // Files by themselves.
  EXPECT_EQ(run_program({"diff", a + "/memory.elf", b + "/memory.elf"}).status, 0);
  EXPECT_EQ(run_program({"diff", a + "/stats.json", b + "/stats.json"}).status, 1);
  std::filesystem::remove(b + "/iommu0.regs");
  EXPECT_TRUE(has(run_program({"diff", a, b}).out, "registers of iommu0: iommu0.regs: there | nothing\n"));
}

TEST(SavedMachine, IsASnapshotThatWalkReads) {
  TempDir dir;
  std::string a = dir.path("a");
  std::string text = read_text(flow);
  size_t unbind = text.find("say \"The guest unmaps"); // with the guest's table bound
  ASSERT_NE(unbind, text.npos);
  write_file(dir.path("t.trace"), text.substr(0, unbind));
  ASSERT_EQ(run_program({"run", "-q", dir.path("t.trace"), "--save", a}).status, 0);
  Ran walk = run_program({"walk", a + "/iommu0.regs", a + "/memory.elf", "--source", "00:03.0", "--pasid", "1",
                          "--iova", "0x500000000000"});
  EXPECT_EQ(walk.status, 0) << walk.err;
  EXPECT_TRUE(has(walk.out, "28 references")) << walk.out;
  // As the traces leave them: nothing is attached any more.
  for (auto [name, end] : {std::pair("smmuv3-nested", "=> abort: terminated"), std::pair("smmuv2-nested", "(ICF)")}) {
    ASSERT_EQ(run_program({"run", "-q", traces + name + ".trace", "--save", a}).status, 0);
    Ran arm = run_program({"walk", a + "/smmu0.regs", a + "/memory.elf", "--source", "0x18", "--iova", "0x1000"});
    EXPECT_EQ(arm.err, "") << name;
    EXPECT_TRUE(has(arm.out, end)) << arm.out;
  }
}

} // namespace
