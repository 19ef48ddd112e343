// SPDX-License-Identifier: Apache-2.0
// Playing machines with SMMUs: mistakes that show when the trace runs, units of several kinds side by side, knobs and
// statistics under their own names. The flows themselves are the traces of traces/, which run_test.cc plays.
#include "trace/player.h"
#include "trace/stats.h"

#include <algorithm>
#include <gtest/gtest.h>

namespace ims {
namespace {

struct Seen : PlayObserver {
  std::vector<std::string> failures, results;
  void failure(const Failure &f) override {
    failures.push_back(std::to_string(f.at.line) + ": " + f.output + "=" + f.expected + ", came " + f.came);
  }
  void result(const std::string &words, bool) override { results.push_back(words); }
};

struct Played {
  Seen seen;
  std::string error;
  PlayCounters counters;
  std::vector<std::string> keys; // of the statistics
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
  for (const Statistic &s : collect_statistics(player))
    run.keys.push_back(s.key());
  return run;
}

// A unit with its queues, nothing translated yet; lines 2 to 7.
const std::string unit = "memory hpa=0 size=64M\n"
                         "iommu smmu0 arch=smmuv3\n"
                         "device dev0 iommu=smmu0 source=00:03.0\n"
                         "mmio-write smmu0 CMDQ_BASE value=0x8000 LOG2SIZE=1\n"
                         "mmio-write smmu0 EVENTQ_BASE value=0x9000 LOG2SIZE=1\n"
                         "pool p hpa=1M size=1M\n";

struct Mistake {
  const char *line, *words;
};

TEST(SmmuMistakes, EndTheRunWithTheirPlace) {
  const std::vector<Mistake> cases = {
      {"descriptor smmu0 words=1,0", "t:8:12: `smmu0` is an SMMUv3: expected a VT-d unit"},
      {"command smmu0 SYNC\ncommand smmu0 SYNC\ncommand smmu0 SYNC", "t:10:1: the command queue is full"},
      {"command smmu0 RAW words=1", "t:8:25: a command has 2 words, found 1"},
      {"command smmu0 TLBI_NH_VA ADDR=0x123", "t:8:31: 0x123 is not aligned to 4 KB"},
      {"let big=32\ncommand smmu0 CFGI_STE_RANGE RANGE=$big", "t:9:36: 0x20 does not fit the 5 bits of this field"},
      {"entry hpa:0x10000 STE S1CONTEXTPTR=0x1010", "t:8:36: 0x1010 is not aligned to 64 bytes"},
      {"entry hpa:0x10000 L1CD L2PTR=0x800", "t:8:30: 0x800 is not aligned to 4 KB"},
      {"let bits=4\nentry hpa:0x10000 STE S1FMT=$bits", "t:9:29: 0x4 does not fit the 2 bits of `S1FMT`"},
      {"table t in=p format=s2\nentry hpa:0x10000 CD table=t", "t:9:28: a table of this format has no place in `CD`"},
      {"entry hpa:0x8000000 STE V=1", "t:8:1: `entry` failed"},
      {"table t in=p format=s1 bits=60", "t:8:29: expected 16 to 52 bits"},
      {"table t in=p format=s1 out=20", "t:8:28: expected 32 to 52 bits"},
      {"table t in=p format=s1 levels=2", "t:8:31: a stage-1 table of 48 bits has 4 levels"},
      {"table t in=p format=s2 bits=40 levels=5", "t:8:39: a stage-2 table of 40 bits has no 5 levels"},
      {"table t in=p format=s2 upper", "t:8:24: stage 2 has no upper half"},
      {"table t in=p granule=64K", "t:8:22: `granule` is for tables of format s1 and s2"},
      {"table t in=p format=s1 granule=64K\nmap t va=0 to=0 size=64K page=2M", "t:9:31: table `t` has no leaves of 2M"},
      {"table t in=p\nmap t va=0 to=0 size=4K contiguous", "t:9:25: `contiguous` is for tables of format s1 and s2"},
      {"table t in=p format=s2\nmap t va=0 to=0 size=4K global", "t:9:25: `global` is for tables of format s1"},
      {"table t in=p format=s1\nmap t va=0 to=0 size=4K attr=8", "t:9:30: expected an AttrIndx of 0 to 7"},
      {"let x=smmu0.cap", "t:8:7: `smmu0` is an SMMUv3, which has no `cap`"},
      {"iommu s arch=smmuv3 sidsize=10 st_level=0", "sidsize of 7 and more needs two-level stream tables"},
      {"iommu s arch=smmuv2 oas=6", "oas"},
  };
  for (const Mistake &c : cases) {
    Played run = play(unit + c.line + "\n");
    EXPECT_NE(run.error.find(c.words), std::string::npos) << c.line << "\n" << run.error;
  }
}

TEST(SmmuMistakes, KernelsTakeWhatTheyCanDrive) {
  const std::string kernel = "memory hpa=0 size=1G\nkernel pool=128M pool_size=128M cpu=arm-4K\niommu s arch=smmuv3\n";
  EXPECT_NE(play(kernel + "device d iommu=s source=0x10000\n").error.find("the kernel's devices have ids of 16 bits"),
            std::string::npos);
  EXPECT_NE(play(kernel + "device d iommu=s source=1 stall\n").error.find("expected `platform` beside `stall`"),
            std::string::npos);
  EXPECT_EQ(play(kernel + "device d iommu=s source=1 platform stall\n").error, "");
}

TEST(SmmuUnits, OfAllKindsStandSideBySide) {
  Played run = play("memory hpa=0 size=64M\n"
                    "iommu a\niommu b arch=smmuv3\niommu c arch=smmuv2\n"
                    "device da iommu=a source=1\ndevice db iommu=b source=1\ndevice dc iommu=c source=1\n"
                    "dma da read iova=0x1000 expect status=bypass\n"
                    "dma db read iova=0x1000 expect status=bypass\n"
                    "dma dc read iova=0x1000 expect status=bypass\n"
                    "mmio-write b CR0 SMMUEN=1\n"
                    "mmio-write b CR2 RECINVSID=1\n"
                    "mmio-write c sCR0 CLIENTPD=0 USFCFG=1 GFRE=1\n"
                    "dma db read iova=0x1000 expect fault=C_BAD_STREAMID SID=1\n"
                    "dma dc read iova=0x1000 expect fault=USF\n"
                    "mmio-read c sGFSR expect USF=1\n"
                    "dma dc read iova=0x1000 expect fault=0x11 recorded=no\n");
  EXPECT_EQ(run.error, "");
  EXPECT_EQ(run.seen.failures, (std::vector<std::string>{}));
  for (const char *key : {"a.IOTLB.entries", "b.STE.entries", "b.CD.entries", "b.IPA.entries", "b.S1_L2.entries",
                          "b.S1_L-1.entries", "c.IPA.entries", "fault.C_BAD_STREAMID.requests", "fault.USF.requests"})
    EXPECT_NE(std::find(run.keys.begin(), run.keys.end(), key), run.keys.end()) << key;
}

// The same number means something else elsewhere: a name expects its own architecture's.
TEST(SmmuUnits, NamesOfFaultsBelongToTheirArchitecture) {
  Played run = play("memory hpa=0 size=64M\niommu b arch=smmuv3\ndevice db iommu=b source=1\n"
                    "mmio-write b STRTAB_BASE value=0x10000\nmmio-write b STRTAB_BASE_CFG LOG2SIZE=4\n"
                    "mmio-write b CR0 SMMUEN=1\n"
                    "dma db read iova=0 expect fault=0x4\n"
                    "dma db read iova=0 expect fault=C_BAD_STE\n"
                    "dma db read iova=0 expect fault=LGN.1\n"); // VT-d's 0x4
  ASSERT_EQ(run.seen.failures.size(), 1u);
  EXPECT_EQ(run.seen.failures[0].substr(0, 13), "10: fault=0x4");
}

TEST(SmmuUnits, KnobsAreThoseOfTheirArchitecture) {
  PlayOptions options;
  options.knobs = {{"smmuv3", "stall_max", 7}, {"vtd", "iotlb_entries", 0}};
  Played run = play("memory hpa=0 size=64M\niommu b arch=smmuv3\nmmio-read b IDR5 expect value=0x70075\n", options);
  EXPECT_EQ(run.error, "");
  EXPECT_EQ(run.seen.failures, (std::vector<std::string>{}));
}

TEST(SmmuQueues, EventsAreReadOnceAndOverflowIsAcknowledged) {
  Played run = play(unit + "mmio-write smmu0 CR2 RECINVSID=1\n"
                           "mmio-write smmu0 CR0 EVENTQEN=1 SMMUEN=1\n"
                           "dma dev0 read iova=0x1000 repeat=3 expect fault=C_BAD_STREAMID faults=3\n"
                           "event-read smmu0 expect event=C_BAD_STREAMID SID=0x18 left=1 overflow=yes\n" // two fit
                           "event-read smmu0 expect event=C_BAD_STREAMID left=0 overflow=no\n"
                           "event-read smmu0 expect event=none left=0 overflow=no\n");
  EXPECT_EQ(run.error, "");
  EXPECT_EQ(run.seen.failures, (std::vector<std::string>{}));
  EXPECT_EQ(run.counters.expectations, 12u);
}

} // namespace
} // namespace ims
