// SPDX-License-Identifier: Apache-2.0
// Playing: machines out of traces, expectations that hold and fail, mistakes that show only when the trace runs.
#include "trace/events.h"
#include "trace/player.h"
#include "trace/stats.h"

#include <fstream>
#include <gtest/gtest.h>
#include <set>
#include <sstream>

namespace ims {
namespace {

struct Seen : PlayObserver {
  std::vector<Failure> failures;
  std::vector<std::string> begun, results, log;
  unsigned descriptors = 0, pieces = 0, told_steps = 0;
  void begin(const Event &, const std::string &words) override { begun.push_back(words); }
  void result(const std::string &words, bool) override { results.push_back(words); }
  void failure(const Failure &f) override { failures.push_back(f); }
  void note(const ims_note &n) override {
    descriptors += n.kind == IMS_NOTE_DESCRIPTOR;
    if (n.kind == IMS_NOTE_LOG)
      log.push_back(n.text);
  }
  void piece(const std::string &, const ims_dma_piece &, const std::vector<Translation> &) override { pieces++; }
  void told(const Explain &e) override { told_steps += static_cast<unsigned>(e.steps.size()); }
};

struct Played {
  Seen seen;
  PlayCounters counters;
  std::vector<Statistic> statistics;
  std::string error; // of a run that could not go on
};

Played play(const std::string &text, const PlayOptions &options = {}) {
  Played run;
  Trace trace = parse_trace("iommusim-trace 1\n" + text, "t");
  Player player(trace, options, &run.seen);
  try {
    player.run();
  } catch (const TraceError &e) {
    run.error = e.what();
  }
  run.counters = player.counters();
  run.statistics = collect_statistics(player);
  return run;
}

// All expectations hold, and the run gets to its end.
void held(const std::string &text, const PlayOptions &options = {}) {
  Played run = play(text, options);
  EXPECT_EQ(run.error, "");
  for (const Failure &f : run.seen.failures)
    ADD_FAILURE() << "line " << f.at.line << ": expected " << f.output << "=" << f.expected << ", came " << f.came;
  EXPECT_GT(run.counters.expectations, 0u);
}

uint64_t statistic(const Played &run, const std::string &key) {
  for (const Statistic &s : run.statistics)
    if (s.key() == key)
      return s.count;
  ADD_FAILURE() << "no statistic " << key;
  return 0;
}

// A guest with one page of buffer at va 0x5000_0000_0000, bound to PASID $pasid; lines 2 to 18 of the text.
const char *const bound = "memory hpa=0 size=1G\n"
                          "kernel pool=128M pool_size=128M dialect=vsva-v7\n"
                          "iommu iommu0 s1_psc_entries=0 s2_psc_entries=0 nested_entries=0\n"
                          "device dev0 iommu=iommu0 source=00:03.0 group=7 pasid_bits=20 ats pri\n"
                          "process vmm\n"
                          "mmap vmm va=0x7f0000000000 size=8M prot=rw populate\n"
                          "vm vm0 process=vmm\n"
                          "slot vm0 gpa=0 va=0x7f0000000000 size=8M\n"
                          "guest-pool vm0 gpa=1M size=1M\n"
                          "open c0 /dev/vfio/vfio process=vmm\n"
                          "open g7 /dev/vfio/7 process=vmm\n"
                          "ioctl g7 VFIO_GROUP_SET_CONTAINER fd=c0\n"
                          "ioctl c0 VFIO_SET_IOMMU value=VFIO_TYPE1_NESTING_IOMMU\n"
                          "ioctl c0 VFIO_IOMMU_MAP_DMA flags=READ|WRITE vaddr=0x7f0000000000 iova=0 size=8M\n"
                          "ioctl c0 VFIO_IOMMU_PASID_REQUEST flags=ALLOC min=1 max=100 let pasid=ret\n"
                          "table gpt in=vm0\n"
                          "map gpt va=0x500000000000 to=2M size=4K\n"
                          "ioctl c0 VFIO_IOMMU_NESTING_OP/BIND_PGTBL data.version=1 data.format=INTEL_VTD "
                          "data.addr_width=48 data.gpgd=gpt.root data.hpasid=$pasid expect ret=0\n";

// ---- Expectations ---------------------------------------------------------------------------------------------------

TEST(Expectations, HoldWhenWhatIsExpectedComes) {
  held(std::string(bound) +
       "drop-caches iommu0\n"
       "dma dev0 write iova=0x500000000010 pasid=$pasid data=01020304 expect status=ok gpa=0x200010 refs=28 page=4K "
       "fault=none rights=rw from=walk done=4 translations=1 faults=0 recorded=no\n"
       "dma dev0 read iova=0x500000000010 pasid=$pasid size=4 expect hpa=vm0:0x200010 data=01020304 from=iotlb\n"
       "dma dev0 read iova=0x500000000010 pasid=$pasid expect hpa=vmm:0x7f0000200010\n"
       "read vmm:0x7f0000200010 expect u32=0x04030201 let h=hpa\n"
       "read hpa:$h expect bytes=01020304\n"
       "dma dev0 read iova=0x500000000010 pasid=$pasid expect hpa=$h\n");
}

TEST(Expectations, FailAloneAndTheRunGoesOn) {
  Played run = play(std::string(bound) + "dma dev0 read iova=0x500000000000 pasid=$pasid expect gpa=0x201000 refs=3\n"
                                         "read vm0:0x200000 expect u64=7 error=OK\n"
                                         "dma dev0 read iova=0x500000000000 pasid=$pasid expect fault=SFS.2 refs=0\n");
  EXPECT_EQ(run.error, "");
  ASSERT_EQ(run.seen.failures.size(), 4u);
  EXPECT_EQ(run.counters.failed, 4u);
  EXPECT_EQ(run.counters.expectations, 7u);
  const Failure &gpa = run.seen.failures[0];
  EXPECT_EQ(gpa.output, "gpa");
  EXPECT_EQ(gpa.at.line, 20u);
  EXPECT_EQ(gpa.at.column, 55u);
  EXPECT_EQ(gpa.expected, "0x201000");
  EXPECT_NE(gpa.came.find("but that gpa is hpa"), std::string::npos) << gpa.came;
  EXPECT_EQ(run.seen.failures[1].came, "28");
  EXPECT_EQ(run.seen.failures[2].came, "0x0");
  EXPECT_EQ(run.seen.failures[3].expected, "0x71 SFS.2: first-stage entry not present");
  EXPECT_EQ(run.seen.failures[3].came, "none");
}

TEST(Expectations, SayWhyNothingCame) {
  Played run = play(std::string(bound) + "dma dev0 read iova=0x600000000000 pasid=$pasid expect hpa=0x1000\n");
  ASSERT_EQ(run.seen.failures.size(), 1u);
  EXPECT_EQ(run.seen.failures[0].came, "nothing (fault 0x71 SFS.2: first-stage entry not present)");
}

// Each output is compared and not just accepted: a wrong value of each kind fails.
class WrongValue : public testing::TestWithParam<const char *> {};

TEST_P(WrongValue, IsNoticed) {
  Played run = play(std::string(bound) + GetParam() + "\n");
  EXPECT_EQ(run.error, "");
  EXPECT_EQ(run.seen.failures.size(), 1u) << GetParam();
}

INSTANTIATE_TEST_SUITE_P(
    Expectations, WrongValue,
    testing::Values("dma dev0 read iova=0x500000000000 pasid=$pasid expect status=fault",
                    "dma dev0 read iova=0x500000000000 pasid=$pasid expect hpa=vm0:0x200008",
                    "dma dev0 read iova=0x500000000000 pasid=$pasid expect hpa=vm0:0x9000000", // no memory there
                    "dma dev0 read iova=0x500000000000 pasid=$pasid expect page=2M",
                    "dma dev0 read iova=0x500000000000 pasid=$pasid expect rights=r",
                    "dma dev0 read iova=0x500000000000 pasid=$pasid expect from=atc",
                    "dma dev0 read iova=0x500000000000 pasid=$pasid expect done=7",
                    "dma dev0 read iova=0x500000000000 pasid=$pasid expect translations=2",
                    "dma dev0 read iova=0x500000000000 pasid=$pasid expect fault=0x71",
                    "dma dev0 read iova=0x500000000000 pasid=$pasid size=2 expect data=0001",
                    "dma dev0 read iova=0x600000000000 pasid=$pasid expect fault_iova=0x600000001000",
                    "dma dev0 read iova=0x600000000000 pasid=$pasid expect record=0x600000000000,0x1",
                    "dma dev0 read iova=0x600000000000 pasid=$pasid expect recorded=no",
                    "dma dev0 read iova=0x600000000000 pasid=$pasid expect faults=0",
                    "ioctl c0 VFIO_GET_API_VERSION expect ret=1", "ioctl c0 VFIO_GET_API_VERSION expect errno=EINVAL",
                    "ioctl c0 VFIO_SET_IOMMU value=77 expect errno=OK",
                    "ioctl g7 VFIO_GROUP_GET_STATUS expect flags=VIABLE",
                    "ioctl c0 VFIO_IOMMU_GET_INFO buffer=256 argsz=256 expect nesting.pasid_bits=19",
                    "read vm0:0x200000 expect bytes=01", "read vm0:0x9000000 expect error=OK",
                    "map gpt va=0x500000000000 to=0 size=4K expect error=OK", "mmio-read iommu0 GSTS expect TES=0",
                    "mmio-read iommu0 VER expect value=0", "fault-log expect count=1", "fault-log expect reason=none",
                    "page-request dev0 read iova=0 pasid=$pasid expect response=success",
                    "mmap vmm size=4K expect va=0x1000", "fault-read c0 expect ret=64"));

// ---- Naming what came -----------------------------------------------------------------------------------------------

TEST(Names, StandForWhatCame) {
  held(std::string(bound) + "let a=0x10 b=$pasid+2\n"
                            "let c=$a-$b+gpt.root\n"
                            "ioctl c0 VFIO_IOMMU_PASID_REQUEST flags=ALLOC min=$b max=$b expect ret=$b let d=ret\n"
                            "read hpa:0 expect error=OK\n"
                            "map gpt va=$c-gpt.root-13+0x500000001000 to=0 size=4K expect error=OK\n"
                            "mmio-read iommu0 CAP expect value=iommu0.cap\n"
                            "mmio-read iommu0 RTADDR expect RTA=iommu0.root-iommu0.root+0x8000\n");
}

TEST(Names, OfWhatNeverCameAreNoValues) {
  Played run = play(std::string(bound) + "dma dev0 read iova=0 pasid=$pasid let h=hpa\nread hpa:$h\n");
  EXPECT_EQ(run.error, "t:21:10: variable `$h` has no value: the event that was to give it brought none");
}

TEST(Names, OfObjectsThatCouldNotBeMade) {
  Played run = play(std::string(bound) + "open f /dev/vfio/8 process=vmm expect errno=ENOENT\nclose f\n");
  EXPECT_EQ(run.error, "t:21:7: `f` was not made: the event that was to make it failed");
}

// ---- Mistakes -------------------------------------------------------------------------------------------------------

TEST(Mistakes, EndTheRunWithTheirPlace) {
  struct {
    const char *text, *message;
  } const cases[] = {
      {"memory hpa=0 size=0\n", "t:2:1: `memory` failed: address or size out of range (error RANGE)"},
      {"memory hpa=0 size=1M\nmemory hpa=4K size=4K\n", "t:3:1: `memory` failed: overlaps what is there already"},
      {"kernel pool=0 pool_size=1M\n", "t:2:1: `kernel` failed: no memory at this address"},
      {"iommu u smts=1 qi=0\n", "t:2:1: `u`: smts needs qi"},
      {"iommu u\ndevice d iommu=u source=0 pasid_bits=21\n", "t:3:38: a PASID has 20 bits at most"},
      {"iommu u\ndevice d iommu=u source=0\ndma d read iova=0 size=0\n", "t:4:24: a DMA has at least 1 byte"},
      {"iommu u\ndevice d iommu=u source=0\ndma d read iova=-1 size=2\n", "t:4:1: the DMA's addresses pass 2^64"},
      {"iommu u\ndevice d iommu=u source=0\ndma d read iova=0 pasid=0x100000\n", "t:4:25: 0x100000 is no PASID"},
      {"iommu u\ndevice d iommu=u source=0\ndma d write iova=0 size=3 data=01\n",
       "t:4:32: data has 1 bytes, size says 3"},
      {"iommu u\ndevice d iommu=u source=0\ndma d read iova=0 expect gpa=0\n",
       "t:4:1: `gpa` needs exactly one virtual"},
      {"iommu u\nmmio-read u FRCD8\n", "t:3:13: `u` has fault recording registers 0 to 7"},
      {"iommu u\nmmio-read u GSTS bytes=2\n", "t:3:24: expected 4 or 8"},
      {"iommu u\nmmio-write u GCMD TE=1+1\n", "t:3:22: 0x2 does not fit the 1 bits of this field"},
      {"iommu u\ndescriptor u words=1,2,3\n", "t:3:20: this queue has descriptors of 128 bits: expected 2 words"},
      {"memory hpa=0 size=1M\nwrite hpa:0\n", "t:3:1: `write` lacks what is to be written"},
      {"memory hpa=0 size=1M\nfill hpa:0 size=2G\n", "t:3:17: expected at most 1G"},
      {"memory hpa=0 size=1M\nfill hpa:0 size=2 value=256\n", "t:3:25: expected a byte"},
      {"memory hpa=0 size=1M\npool p hpa=0 size=1M\nalloc p size=5000\n", "t:4:14: expected a power of two"},
      {"memory hpa=0 size=1M\npool p hpa=0 size=1M\ntable t in=p levels=6\n", "t:4:21: expected 4 or 5 levels"},
      {"memory hpa=0 size=1M\npool p hpa=0 size=8K\nalloc p size=16K\n", "t:4:1: `alloc` failed: no space left"},
  };
  for (const auto &c : cases) {
    std::string error = play(c.text).error;
    EXPECT_EQ(error.substr(0, std::string(c.message).size()), c.message) << c.text;
  }
}

TEST(Mistakes, ThatAreExpectedAreNone) {
  held("memory hpa=0 size=1M\nmemory hpa=4K size=4K expect error=OVERLAP\nread hpa:1M expect error=BUS\n"
       "kernel pool=1G pool_size=1M expect error=BUS\n");
}

TEST(Mistakes, WithProcessesThatEnded) {
  Played run = play(std::string(bound) + "exit vmm\nioctl c0 VFIO_GET_API_VERSION\n");
  EXPECT_EQ(run.error, "t:21:7: process `vmm`, whose file this is, has ended");
  EXPECT_EQ(play(std::string(bound) + "exit vmm\nmmap vmm size=4K\n").error, "t:21:6: `vmm` has ended");
  EXPECT_EQ(play(std::string(bound) + "exit vmm\nread vm0:0 expect error=BUS\n").error, "");
}

TEST(Mistakes, MoreDmaThanIsAllowed) {
  PlayOptions few;
  few.max_dma = 1000;
  Played run =
      play("iommu u\ndevice d iommu=u source=0\ndma d read iova=0 count=1000000000000 repeat=1000000000000\n", few);
  EXPECT_EQ(run.error, "t:4:1: this DMA has more pieces than are allowed here");
}

// ---- User memory and raw ioctls -------------------------------------------------------------------------------------

TEST(UserMemory, IsJustAsLongAsTheBuffer) {
  held(std::string(bound) +
       "ioctl c0 VFIO_IOMMU_GET_INFO buffer=8 argsz=24 expect errno=EFAULT\n"
       "ioctl c0 VFIO_IOMMU_GET_INFO buffer=24 argsz=4096 expect errno=EFAULT\n" // capabilities run out of the buffer
       "ioctl c0 VFIO_IOMMU_MAP_DMA buffer=31 expect errno=EFAULT\n"
       "ioctl c0 VFIO_IOMMU_MAP_DMA buffer=0 expect errno=EFAULT\n"
       "ioctl c0 VFIO_IOMMU_MAP_DMA arg=-1 expect errno=EFAULT\n"
       "ioctl c0 VFIO_IOMMU_MAP_DMA argsz=31 expect errno=EINVAL\n"
       "ioctl g7 VFIO_GROUP_UNSET_CONTAINER expect ret=0\n"
       "ioctl g7 VFIO_GROUP_SET_CONTAINER buffer=3 fd=c0 expect errno=EFAULT\n"
       "ioctl g7 VFIO_GROUP_SET_CONTAINER fd=g7 expect errno=EINVAL\n");
}

TEST(UserMemory, IsTheProcessesOwnWhereNoBufferIs) {
  // The argument of MAP_DMA laid by hand into the VMM's memory.
  held(std::string(bound) + "write vmm:0x7f0000001000 u32=32,3\n"
                            "write vmm:0x7f0000001008 u64=0x7f0000000000,0x40000000,0x1000\n"
                            "ioctl c0 VFIO_IOMMU_MAP_DMA arg=0x7f0000001000 expect ret=0\n"
                            "dma dev0 read iova=0x40000000 expect hpa=vmm:0x7f0000000000\n"
                            "ioctl-raw c0 0x3b72 bytes=18000000_00000000_0000004000000000_0010000000000000 "
                            "expect ret=0 bytes=1800000000000000_0000004000000000_0010000000000000\n"
                            "dma dev0 read iova=0x40000000 expect fault=SSS.2\n");
}

TEST(RawIoctls, MeanWhatTheDialectSays) {
  held(std::string(bound) + "ioctl-raw c0 0x3b64 expect ret=0\n"
                            "ioctl-raw c0 0x3b65 value=6 expect ret=1\n"
                            "ioctl-raw c0 0x3b7b expect errno=ENOTTY\n" // BIND of v1
                            "ioctl-raw c0 0x3b76 bytes=10000000_01000000_32000000_32000000 expect ret=50\n"
                            "ioctl-raw c0 0x3b76 bytes=10000000_01000000_32000000_32000000 expect errno=ENOSPC\n"
                            "ioctl-raw c0 0x3b76 bytes=100000000100000032 expect errno=EFAULT\n"
                            "ioctl-raw g7 0x3b70 expect errno=ENOTTY\n"
                            "ioctl-raw g7 0x3b67 bytes=0800000000000000 expect ret=0 bytes=0800000003000000\n");
}

// ---- Options --------------------------------------------------------------------------------------------------------

TEST(Options, KnobsGoOverWhatTheTraceSays) {
  std::string text = std::string(bound) + "dma dev0 read iova=0x500000000000 pasid=$pasid\n"
                                          "dma dev0 read iova=0x500000000000 pasid=$pasid\n";
  EXPECT_EQ(play(text).counters.references, 28u);
  PlayOptions none;
  none.knobs = {{"vtd", "iotlb_entries", 0}};
  EXPECT_EQ(play(text, none).counters.references, 28u + 24u);
  PlayOptions all;
  all.knobs = {{"vtd", "nested_entries", 64}, {"vtd", "s2_psc_entries", 32}};
  EXPECT_LT(play(text, all).counters.references, 28u);
}

TEST(Options, ExplainTellsTheStepsOfALine) {
  std::string text = std::string(bound) + "dma dev0 read iova=0x500000000000 pasid=$pasid\n"
                                          "dma dev0 read iova=0x600000000000 pasid=$pasid\n";
  PlayOptions o;
  EXPECT_EQ(play(text, o).seen.told_steps, 0u);
  o.explain = true;
  unsigned both = play(text, o).seen.told_steps;
  o.explain_line = 20;
  unsigned first = play(text, o).seen.told_steps;
  o.explain_line = 21;
  unsigned second = play(text, o).seen.told_steps;
  EXPECT_GT(first, 28u); // its reads, and probes and fills besides
  EXPECT_EQ(both, first + second);
}

// ---- Devices and units ----------------------------------------------------------------------------------------------

TEST(Dma, CountsAndStrides) {
  held(std::string(bound) + "map gpt va=0x500000001000 to=3M size=60K\n"
                            "dma dev0 read iova=0x500000000000 size=8 count=16 stride=4K pasid=$pasid "
                            "expect translations=16 done=128 refs=388\n"
                            "dma dev0 read iova=0x500000000000 size=8 count=16 stride=4K repeat=3 pasid=$pasid "
                            "expect translations=48 refs=0\n"
                            "dma dev0 read iova=0x500000000ffc size=8 pasid=$pasid expect translations=2 done=8\n");
}

TEST(Dma, TellsTheFirstFaultOfSeveral) {
  held(std::string(bound) + "dma dev0 read iova=0x500000000000 size=8 count=3 stride=4K pasid=$pasid "
                            "expect status=fault fault=SFS.2 fault_iova=0x500000001000 faults=2 done=8 gpa=0x200000\n");
}

TEST(Dma, AMuteDeviceTimesTheQueueOut) {
  Played run = play("memory hpa=0 size=1G\nkernel pool=128M pool_size=128M\niommu iommu0\n"
                    "device dev0 iommu=iommu0 source=00:03.0 group=7 pasid_bits=20 ats mute\n"
                    "process app\nmmap app va=0x500000000000 size=4K populate\n"
                    "sva-bind s device=dev0 process=app let pasid=pasid\n"
                    "munmap app va=0x500000000000 size=4K expect ret=0\n");
  EXPECT_EQ(run.error, "");
  ASSERT_FALSE(run.seen.log.empty());
  EXPECT_NE(run.seen.log[0].find("time-out"), std::string::npos) << run.seen.log[0];
}

TEST(Dma, UnitsWithoutADriverAreLeftAlone) {
  Played run = play("memory hpa=0 size=1G\nkernel pool=128M pool_size=128M\niommu iommu0 driver=no\n"
                    "device dev0 iommu=iommu0 source=0\nmmio-read iommu0 GSTS expect value=0\n"
                    "dma dev0 read iova=0x1234 expect status=bypass hpa=0x1234\n"
                    "process p\nsva-bind s device=dev0 process=p\n");
  EXPECT_TRUE(run.seen.failures.empty());
  EXPECT_EQ(run.error, "t:9:1: the kernel does not know `dev0`: its unit has no driver");
}

// ---- Statistics -----------------------------------------------------------------------------------------------------

TEST(Statistics, HaveNamesOfTheirOwnAndAddUp) {
  Played run = play(std::string(bound) + "dma dev0 read iova=0x500000000000 pasid=$pasid count=4 stride=1K\n"
                                         "dma dev0 read iova=0x500000000000 pasid=$pasid ats repeat=2\n"
                                         "dma dev0 read iova=0x600000000000 pasid=$pasid\n");
  std::set<std::string> keys;
  for (const Statistic &s : run.statistics)
    EXPECT_TRUE(keys.insert(s.key()).second) << s.key();
  EXPECT_EQ(statistic(run, "translations"), statistic(run, "iommu0.requests"));
  EXPECT_EQ(statistic(run, "references"), statistic(run, "iommu0.references"));
  EXPECT_EQ(statistic(run, "references"), statistic(run, "references_configuration") +
                                              statistic(run, "references_first_stage") +
                                              statistic(run, "references_second_stage"));
  EXPECT_EQ(statistic(run, "dev0.untranslated") + statistic(run, "dev0.translation_requests") +
                statistic(run, "dev0.translated"),
            statistic(run, "translations"));
  EXPECT_EQ(statistic(run, "dev0.atc_hits"), 1u);
  EXPECT_EQ(statistic(run, "dev0.atc_misses"), 1u);
  EXPECT_EQ(statistic(run, "fault.SFS.2.requests"), 1u);
  EXPECT_EQ(statistic(run, "faults"), 1u);
  EXPECT_EQ(statistic(run, "references_max"), 28u);
  EXPECT_EQ(statistic(run, "iommu0.IOTLB.hits") + statistic(run, "iommu0.IOTLB.misses"), 4u + 1u + 1u);
  EXPECT_EQ(statistic(run, "kernel.descriptors") >= statistic(run, "kernel.waits"), true);
}

// ---- The bundled traces ---------------------------------------------------------------------------------------------

class Bundled : public testing::TestWithParam<const char *> {};

TEST_P(Bundled, HoldsAllItsExpectations) {
  std::ifstream in(std::string(IMS_SOURCE_DIR "/traces/") + GetParam() + ".trace", std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  Trace trace = parse_trace(text.str(), GetParam());
  Seen seen;
  Player player(trace, {}, &seen);
  player.run();
  for (const Failure &f : seen.failures)
    ADD_FAILURE() << GetParam() << ":" << f.at.line << ": expected " << f.output << "=" << f.expected << ", came "
                  << f.came;
  EXPECT_GT(player.counters().expectations, 30u);
  // Everything that can be expected is: only what builds the machine or edits it goes without.
  const std::set<EventId> silent = {EventId::MEMORY,      EventId::KERNEL,     EventId::IOMMU,   EventId::DEVICE,
                                    EventId::PROCESS,     EventId::VM,         EventId::SLOT,    EventId::GUEST_POOL,
                                    EventId::POOL,        EventId::TABLE,      EventId::ALLOC,   EventId::MAP,
                                    EventId::UNMAP,       EventId::PROTECT,    EventId::WRITE,   EventId::FILL,
                                    EventId::EXIT,        EventId::SVA_UNBIND, EventId::BARRIER, EventId::LET,
                                    EventId::DROP_CACHES, EventId::MMIO_WRITE, EventId::SAY,     EventId::DESCRIPTOR};
  for (const Event &e : trace.events) {
    if (!silent.count(e.info->id)) {
      EXPECT_FALSE(e.expects.empty()) << GetParam() << ":" << e.at.line << ": " << print_event(e);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Traces, Bundled,
                         testing::Values("vsva-2020", "vsva-v7", "sva-process", "legacy", "raw-registers",
                                         "two-units"));

// ---- iommufd --------------------------------------------------------------------------------------------------------

const std::string device = "memory hpa=0x0 size=1G\n"
                           "kernel pool=256M pool_size=256M\n"
                           "iommu iommu0\n"
                           "device dev0 iommu=iommu0 source=00:03.0 group=7 pasid_bits=20\n";
const std::string iommufd = device +
                            "process vmm\n"
                            "mmap vmm va=0x7f0000000000 size=8M prot=rw populate\n"
                            "open d0 /dev/vfio/devices/vfio0 process=vmm expect ret=3\n"
                            "open i0 /dev/iommu process=vmm expect ret=4\n"
                            "ioctl i0 IOMMU_IOAS_ALLOC expect ret=0 size=12 out_ioas_id=1 let ioas=out_ioas_id\n";

TEST(PlayIommufd, DescriptorsInArgumentsAreFilesByName) {
  held(iommufd + "ioctl d0 VFIO_DEVICE_BIND_IOMMUFD iommufd=i0 expect ret=0 iommufd=4 out_devid=2\n");
  held(iommufd + "ioctl d0 VFIO_DEVICE_BIND_IOMMUFD iommufd=i0.fd expect ret=0 iommufd=i0\n");
  held(iommufd + "ioctl d0 VFIO_DEVICE_BIND_IOMMUFD iommufd=99 expect errno=EBADF\n");
  held(iommufd + "ioctl d0 VFIO_DEVICE_BIND_IOMMUFD iommufd=d0 expect errno=EBADFD\n");
  // A file that could not be opened has no number.
  held(iommufd + "open gone /dev/vfio/devices/vfio9 process=vmm expect errno=ENOENT\n"
                 "ioctl d0 VFIO_DEVICE_BIND_IOMMUFD iommufd=gone expect errno=EINVAL\n");
}

TEST(PlayIommufd, TheArgumentHasItsSizeAndLiesInABufferOfIt) {
  held(iommufd + "ioctl i0 IOMMU_DESTROY id=$ioas size=7 expect errno=EINVAL\n"
                 "ioctl i0 IOMMU_DESTROY id=$ioas size=9 expect errno=EFAULT\n"
                 "ioctl i0 IOMMU_DESTROY id=$ioas size=12 buffer=12 expect ret=0\n"
                 "ioctl i0 IOMMU_DESTROY arg=0x10 expect errno=EFAULT\n");
}

TEST(PlayIommufd, TellsWhatACallWasGivenButNotWhatIsFilledIn) {
  Played run = play(iommufd + "ioctl d0 VFIO_DEVICE_BIND_IOMMUFD iommufd=i0\n"
                              "ioctl i0 IOMMU_HWPT_ALLOC/VTD_S1 dev_id=2 pt_id=$ioas data.pgtbl_addr=0x5000\n");
  EXPECT_EQ(run.error, "");
  EXPECT_EQ(run.seen.begun[run.seen.begun.size() - 2], "d0: VFIO_DEVICE_BIND_IOMMUFD: iommufd 4");
  EXPECT_EQ(run.seen.begun.back(),
            "i0: IOMMU_HWPT_ALLOC/VTD_S1: dev_id 2, pt_id 1, data_type VTD_S1, data.pgtbl_addr 0x5000");
}

TEST(PlayIommufd, WhatAnArgumentPointsToLiesApart) {
  const std::string nested =
      iommufd + "vm vm0 process=vmm\nslot vm0 gpa=0 va=0x7f0000000000 size=8M\nguest-pool vm0 gpa=1M size=1M\n"
                "table gpt in=vm0\nmap gpt va=0x500000000000 to=3M size=8K\n"
                "ioctl d0 VFIO_DEVICE_BIND_IOMMUFD iommufd=i0 let dev=out_devid\n"
                "ioctl i0 IOMMU_HWPT_ALLOC flags=NEST_PARENT dev_id=$dev pt_id=$ioas let parent=out_hwpt_id\n"
                "ioctl i0 IOMMU_IOAS_MAP ioas_id=$ioas flags=FIXED_IOVA|READABLE|WRITEABLE user_va=0x7f0000000000 "
                "length=8M expect ret=0\n";
  held(nested +
       "ioctl i0 IOMMU_HWPT_ALLOC/VTD_S1 dev_id=$dev pt_id=$parent data.pgtbl_addr=gpt.root data.addr_width=48 "
       "expect ret=0 data_type=VTD_S1 data_len=24 data.addr_width=48 let s1=out_hwpt_id\n"
       "ioctl d0 VFIO_DEVICE_ATTACH_IOMMUFD_PT pt_id=$s1 expect ret=0\n"
       "dma dev0 write iova=0x500000001000 expect gpa=0x301000\n");
  // Length and pointer as the trace says, and a buffer that is as long as it says.
  held(nested + "ioctl i0 IOMMU_HWPT_ALLOC/VTD_S1 dev_id=$dev pt_id=$parent data_len=23 expect errno=EINVAL\n"
                "ioctl i0 IOMMU_HWPT_ALLOC/VTD_S1 dev_id=$dev pt_id=$parent data_uptr=0x10 expect errno=EFAULT\n");
}

TEST(PlayIommufd, WordsOfTheHardwareByTheirFields) {
  const std::string smmu =
      "memory hpa=0 size=1G\nkernel pool=256M pool_size=256M cpu=arm-4K\niommu smmu0 arch=smmuv3\nprocess p\n"
      "open i0 /dev/iommu process=p\n";
  // What went in stands in the words, whether the call is good or not.
  held(smmu +
       "ioctl i0 IOMMU_HWPT_ALLOC/ARM_SMMUV3 data.V=1 data.CONFIG=5 data.S1FMT=2 data.S1CONTEXTPTR=0x123456000 "
       "data.S1CDMAX=10 "
       "data.S1DSS=2 data.EATS=1 expect data.ste0=0x500000012345602b data.ste1=0x10000002\n"
       "ioctl i0 IOMMU_HWPT_ALLOC/ARM_SMMUV3 data.ste0=0xff data.CONFIG=0 expect data.ste0=0xf1 data.ste1=0\n"
       "ioctl i0 IOMMU_HWPT_INVALIDATE/ARM_SMMUV3 data.OP=TLBI_NH_VA data.ASID=5 data.ADDR=0x7f0012345000 data.LEAF=1 "
       "data1.OP=CFGI_CD data1.SID=8 data1.SSV=1 data1.SSID=5 data2.OP=0x30 "
       "expect data.cmd0=0x0005000000000012 data.cmd1=0x7f0012345001 data1.cmd0=0x800005805 data1.cmd1=0 "
       "data2.cmd0=0x30\n");
  auto error = [&](const std::string &line) { return play(smmu + line).error; };
  EXPECT_NE(error("let x=0x800\nioctl i0 IOMMU_HWPT_INVALIDATE/ARM_SMMUV3 data.ADDR=$x\n")
                .find("0x800 is not aligned to 4 KB"),
            std::string::npos);
  EXPECT_NE(error("let x=8\nioctl i0 IOMMU_HWPT_ALLOC/ARM_SMMUV3 data.CONFIG=$x\n").find("0x8 does not fit the 3 bits"),
            std::string::npos);
  for (const char *line : {"data.CONFIG=8", "data.S2VMID=1 data.S2VMIDX=1", "data.OP=TLBI_NH_VA", "data1.V=1"})
    EXPECT_THROW(parse_trace("iommusim-trace 1\n" + smmu + "ioctl i0 IOMMU_HWPT_ALLOC/ARM_SMMUV3 " + line + "\n", "t"),
                 TraceError)
        << line;
}

TEST(PlayIommufd, OnePageByAddressAndByFile) {
  held(iommufd +
       "memfd ram process=vmm size=2M expect ret=5\n"
       "mmap vmm va=0x7f1000000000 size=2M prot=rw file=ram expect ret=0\n"
       "mmap vmm va=0x7f2000000000 size=4K prot=rw file=ram offset=0x3000 expect ret=0\n"
       "mmap vmm size=4K file=i0 expect errno=ENODEV\n"
       "write vmm:0x7f1000003000 u64=0x1122\n"
       "read vmm:0x7f2000000000 expect u64=0x1122\n"
       "ioctl d0 VFIO_DEVICE_BIND_IOMMUFD iommufd=i0 expect ret=0\n"
       "ioctl d0 VFIO_DEVICE_ATTACH_IOMMUFD_PT pt_id=$ioas expect ret=0\n"
       "ioctl i0 IOMMU_IOAS_MAP_FILE ioas_id=$ioas fd=ram flags=FIXED_IOVA|READABLE|WRITEABLE length=1M iova=0x100000 "
       "start=0x2000 expect ret=0\n"
       "dma dev0 read iova=0x101000 size=8 expect hpa=vmm:0x7f2000000000 data=2211000000000000\n"
       "ioctl i0 IOMMU_IOAS_MAP_FILE ioas_id=$ioas fd=99 flags=FIXED_IOVA|READABLE length=4K expect errno=EBADF\n");
}

TEST(PlayIommufd, ALimitOnWhatAProcessPins) {
  const std::string
      text = device + "process poor user memlock=64K\n"
                      "mmap poor va=0x7f0000000000 size=1M populate\n"
                      "open i0 /dev/iommu process=poor\nopen d0 /dev/vfio/devices/vfio0 process=poor\n"
                      "ioctl d0 VFIO_DEVICE_BIND_IOMMUFD iommufd=i0 expect ret=0\n"
                      "ioctl i0 IOMMU_IOAS_ALLOC let ioas=out_ioas_id\n"
                      "ioctl d0 VFIO_DEVICE_ATTACH_IOMMUFD_PT pt_id=$ioas expect ret=0\n",
      map = "ioctl i0 IOMMU_IOAS_MAP ioas_id=$ioas flags=FIXED_IOVA|READABLE user_va=0x7f0000000000 iova=0 ";
  held(text + map + "length=64K expect ret=0\n");
  held(text + map + "length=68K expect errno=ENOMEM\n");
  // Changed while it runs.
  held(text + "process-set poor ipc_lock=on\n" + map + "length=68K expect ret=0\n");
  held(text + "process-set poor memlock=1M\n" + map + "length=68K expect ret=0\n");
  held(text + "process-set poor ipc_lock=on\nprocess-set poor sys_rawio=on\nprocess-set poor ipc_lock=off\n" + map +
       "length=68K expect errno=ENOMEM\n");
}

TEST(ParseIommufd, ChecksNamesOfFieldsAndFiles) {
  auto error = [](const std::string &line) -> std::string {
    try {
      parse_trace("iommusim-trace 1\n" + iommufd + line, "t");
    } catch (const TraceError &e) {
      return e.what();
    }
    return "";
  };
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"ioctl d0 VFIO_DEVICE_BIND_IOMMUFD iommufd=i1", "unknown name `i1`; the nearest is `i0`"},
      {"ioctl d0 VFIO_DEVICE_BIND_IOMMUFD iommufd=vmm", "`vmm` is a process, expected an open file"},
      {"ioctl i0 IOMMU_HWPT_ALLOC/VTD_S1 data.adr_width=48", "`data.addr_width`"},
      {"ioctl i0 IOMMU_HWPT_ALLOC/VTD_S1 data1.addr_width=48", "has no parameter `data1.addr_width`"}, // there is one
      {"ioctl i0 IOMMU_HWPT_INVALIDATE/VTD_S1 data1.addr=1 data01.addr=1", "has no parameter `data01.addr`"},
      {"ioctl i0 IOMMU_HWPT_INVALIDATE/VTD_S1 data4096.addr=1", "has no parameter `data4096.addr`"},
      {"ioctl i0 IOMMU_HWPT_INVALIDATE/VTD_S1 dataX.addr=1", "has no parameter `dataX.addr`"},
      {"ioctl i0 IOMMU_HWPT_ALLOC/VTD_S2 dev_id=1", "the nearest is `IOMMU_HWPT_ALLOC/VTD_S1`"},
      {"ioctl i0 IOMMU_IOAS_ALLOC file=q0", "makes no descriptor"},
      {"ioctl i0 IOMMU_FAULT_QUEUE_ALLOC file=d0", "`d0` is an open file already"},
      {"fault-read q0", "unknown name `q0`"},
      {"ioctl i0 IOMMU_FAULT_QUEUE_ALLOC file=q0\nfault-read q0 expect cooky=1", "the nearest is `cookie`"},
      {"ioctl i0 IOMMU_FAULT_QUEUE_ALLOC file=q0\npage-response q0 grpid=1", "has no parameter `grpid`"},
      {"read-file i0 expect u16=1", "has no output `u16`"},
  };
  for (const auto &[line, words] : cases)
    EXPECT_NE(error(line).find(words), std::string::npos) << line << "\n" << error(line);
  EXPECT_EQ(error("ioctl i0 IOMMU_FAULT_QUEUE_ALLOC file=q0\nfault-read q0 count=2 expect cookie=1 1.addr=0x1000 let "
                  "c=1.cookie\n"
                  "page-response q0 cookie=$c code=SUCCESS 1.cookie=2 1.code=INVALID\nclose q0\n"),
            "");
}

TEST(ParseIommufd, PrintsWhatItParses) {
  const std::string lines =
      "open d0 /dev/vfio/devices/vfio0 process=vmm\n"
      "open i0 /dev/iommu process=vmm\n"
      "ioctl d0 VFIO_DEVICE_BIND_IOMMUFD iommufd=i0\n"
      "ioctl i0 IOMMU_FAULT_QUEUE_ALLOC file=q0 let id=out_fault_id\n"
      "ioctl i0 IOMMU_IOAS_MAP_FILE fd=i0 ioas_id=1 length=1M\n"
      "ioctl i0 IOMMU_HWPT_INVALIDATE/VTD_S1 hwpt_id=1 data.npages=-1 data1.addr=0x5000 expect entry_num=2\n"
      "ioctl i0 IOMMU_HWPT_GET_DIRTY_BITMAP bitmap=ff00 hwpt_id=1 expect bitmap=0000000000000000\n"
      "read-file d0 size=4 offset=0x10 expect u32=1\n"
      "write-file d0 u32=1,2 offset=0x10\n"
      "poll q0 expect in=no out=yes\n";
  std::string start = "iommusim-trace 1\nkernel pool=0 pool_size=256M\nprocess vmm\n";
  Trace trace = parse_trace(start + lines, "t");
  std::string text = print_trace(trace);
  Trace again = parse_trace(text, "t");
  ASSERT_EQ(again.events.size(), trace.events.size());
  for (size_t i = 0; i < trace.events.size(); i++)
    EXPECT_TRUE(same(trace.events[i], again.events[i])) << print_event(trace.events[i]);
  EXPECT_EQ(print_trace(again), text);
}

} // namespace
} // namespace ims
