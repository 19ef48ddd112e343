// SPDX-License-Identifier: Apache-2.0
// The text form: what a line means, what is said about one that means nothing, and back into text.
#include "trace/events.h"
#include "trace/fields.h"

#include <fstream>
#include <gtest/gtest.h>
#include <set>
#include <sstream>

namespace ims {
namespace {

// A machine with everything that lines below refer to.
const char *const before = "iommusim-trace 1\n"
                           "memory hpa=0 size=1G\n"
                           "kernel pool=128M pool_size=128M dialect=vsva-v1\n"
                           "iommu iommu0\n"
                           "device dev0 iommu=iommu0 source=00:03.0\n"
                           "process vmm\n"
                           "vm vm0 process=vmm\n"
                           "pool tables hpa=1M size=1M\n"
                           "table gpt in=vm0\n"
                           "iommu smmu0 arch=smmuv3\n"
                           "device arm iommu=smmu0 source=0x12345\n"
                           "table s2 in=tables format=s2\n"
                           "open c0 /dev/vfio/vfio process=vmm\n"
                           "let x=5\n";
constexpr unsigned line_of_case = 15;

std::string message_of(const std::string &text) {
  try {
    parse_trace(text, "t");
  } catch (const TraceError &e) {
    return e.what();
  }
  return "";
}

struct Malformed {
  const char *line;
  unsigned column;
  const char *words; // that the message has to hold
};

void PrintTo(const Malformed &m, std::ostream *out) { *out << m.line; }

class MalformedLine : public testing::TestWithParam<Malformed> {};

TEST_P(MalformedLine, IsToldWithItsPlaceAndWhatWasExpected) {
  const Malformed &m = GetParam();
  std::string message = message_of(std::string(before) + m.line + "\n");
  std::string place = "t:" + std::to_string(line_of_case) + ":" + std::to_string(m.column) + ": ";
  EXPECT_EQ(message.substr(0, place.size()), place) << message;
  EXPECT_NE(message.find(m.words), std::string::npos) << message;
}

const Malformed malformed[] = {
    // Events and their parameters.
    {"frobnicate", 1, "unknown event `frobnicate`"},
    {"dam dev0 read iova=0", 1, "nearest is `dma`"},
    {"Dma dev0 read iova=0", 1, "nearest is `dma`"},
    {"  mmapp vmm size=4K", 3, "nearest is `mmap`"},
    {"memory hpa=0", 1, "`memory` lacks size="},
    {"memory size=4K", 1, "`memory` lacks hpa="},
    {"memory hpa=0 size=4K hpa=1", 22, "`hpa` is given twice"},
    {"memory hpa=0 siez=4K", 14, "nearest is `size`"},
    {"memory hpa=0 size=4K extra", 22, "does not know `extra`"},
    {"barrier now", 9, "expected the end of the line"},
    {"barrier a=1", 9, "takes no parameter `a`"},
    {"dma", 1, "`dma` lacks NAME"},
    {"dma dev0", 1, "`dma` lacks ACCESS"},
    {"dma dev0 read", 1, "`dma` lacks iova="},
    {"dma dev0 raed iova=0", 10, "nearest is `read`"},
    {"dma dev0 read iova", 15, "`iova` needs a value"},
    {"dma dev0 read iova=0 ats=1", 22, "stands alone"},
    {"dma dev0 read iova=0 atc", 22, "does not know `atc`; the nearest is `ats`"},
    {"dma dev0 read iova=0 privileged", 1, "needs pasid="},
    {"kernel pool=0 pool_size=4K", 1, "there is a kernel already"},
    {"kernel pool=0 pool_size=4K dialect=vsva-v8", 36, "found `vsva-v8`, expected one of vsva-v1"},
    // Numbers.
    {"memory hpa= size=4K", 12, "found nothing, expected a number"},
    {"memory hpa=0x size=4K", 12, "found `0x`, expected a number"},
    {"memory hpa=12Q size=4K", 12, "found `12Q`, expected a number"},
    {"memory hpa=0xfffffffffffffffff size=4K", 12, "expected a number"},
    {"memory hpa=18446744073709551616 size=4K", 12, "expected a number"},
    {"memory hpa=99999999999T size=4K", 12, "expected a number"},
    {"memory hpa=0x1K size=4K", 12, "expected a number"},
    {"memory hpa=1+ size=4K", 14, "found nothing"},
    {"memory hpa=1++2 size=4K", 14, "found nothing"},
    {"memory hpa=$ size=4K", 12, "expected the name of a variable"},
    {"memory hpa=$y size=4K", 12, "unknown variable `$y`; the nearest is `$x`"},
    {"memory hpa=1+$zz size=4K", 14, "unknown variable `$zz`"},
    {"memory hpa=gpt.rot size=4K", 12, "nearest is `gpt.root`"},
    {"memory hpa=gtp.root size=4K", 12, "unknown name `gtp`; the nearest is `gpt`"},
    {"memory hpa=vm0.root size=4K", 12, "`vm0` is a virtual machine"},
    {"memory hpa=0,1 size=4K", 12, "found `0,1`"},
    {"device d iommu=iommu0 source=00:20.0", 30, "expected a requester"},
    {"device d iommu=iommu0 source=0x10000", 30, "found 0x10000, expected a requester id of 16 bits"},
    {"device d iommu=smmu0 source=0x100000000", 29, "expected a number from 0 to 0xffffffff"},
    {"iommu s arch=smmu3", 14, "expected one of vtd, smmuv3"},
    {"iommu s iotlb_entrees=4 arch=smmuv3", 9, "the nearest is `iotlb_entries`"},
    {"iommu s arch=smmuv3 cm=1", 21, "`iommu` has no parameter `cm`"},
    {"iommu s arch=smmuv3 stall_model=4", 33, "expected a number from 0 to 3"},
    {"mmio-write smmu0 GCMD TE=1", 18, "unknown register of an SMMUv3 `GCMD`"},
    {"mmio-write iommu0 CR0 value=1", 19, "unknown register of a VT-d unit `CR0`"},
    {"mmio-write smmu0 FRCD0 value=1", 18, "unknown register of an SMMUv3"},
    {"mmio-write smmu0 CR0 SMMUENA=1", 22, "nearest is `SMMUEN`"},
    {"mmio-write smmu0 CR0 SMMUEN=2", 29, "expected a number from 0 to 1"},
    {"mmio-read smmu0 GERROR expect CMDQ_ER=1", 31, "nearest is `CMDQ_ERR`"},
    {"command smmu0 TLBI_NH_VAX", 15, "the nearest is `TLBI_NH_VA`"},
    {"command smmu0 TLBI_NH_ALL ASID=1", 27, "`command` has no parameter `ASID`"},
    {"command smmu0 CFGI_STE SID=0x100000000", 28, "expected a number from 0 to 0xffffffff"},
    {"command smmu0 RESUME STAG=65536", 27, "expected a number from 0 to 65535"},
    {"command dev0 SYNC", 9, "`dev0` is a device, expected an IOMMU"},
    {"command smmu0", 1, "`command` lacks COMMAND"},
    {"event-read smmu0 expect S3=1", 25, "nearest is `S2`"},
    {"event-read smmu0 expect event=F_TRANSLATON", 31,
     "unknown fault reason `F_TRANSLATON`; the nearest is `F_TRANSLATION`"},
    {"event-read smmu0 expect left=x", 30, "expected a number"},
    {"request-read smmu0 expect PRGI=1", 27, "nearest is `PRG`"},
    {"dma arm read iova=0 expect S2=x", 31, "expected a number"},
    {"dma dev0 read iova=0 expect S2=1", 29, "`dma` has no output `S2`"},
    {"dma arm read iova=0 expect status=stall", 35, "nearest is `stalled`"},
    {"outcome iommu0", 9, "`iommu0` is an IOMMU, expected a device"},
    {"outcome arm expect stat=ok", 20, "nearest is `status`"},
    {"entry hpa:0 SET V=1", 13, "nearest is `STE`"},
    {"entry hpa:0 STE VALID=1", 17, "`entry` has no parameter `VALID`"},
    {"entry hpa:0 STE CONFIG=8", 24, "expected a number from 0 to 7"},
    {"entry hpa:0 L1STD SPAN=32", 24, "expected a number from 0 to 31"},
    {"entry nowhere:0 STE", 7, "unknown name `nowhere`"},
    {"entry hpa:0 STE table=vm0", 23, "`vm0` is a virtual machine, expected a table"},
    {"entry hpa:0", 1, "`entry` lacks KIND"},
    {"table t in=tables format=s3", 26, "nearest is `s1`"},
    {"table t in=tables format=s1 granule=8K", 37, "expected one of 4K, 16K, 64K"},
    {"map s2 va=0 to=0 size=4K page=3M", 31, "expected one of 4K, 16K, 64K, 2M"},
    {"iommu u iotlb_entires=3", 9, "nearest is `iotlb_entries`"},
    {"iommu u nest=2", 14, "expected a number from 0 to 1"},
    {"iommu u arch=smmuv9", 14, "expected one of vtd"},
    // Names.
    {"process vmm", 9, "`vmm` is a process already, since line 6"},
    {"process 1st", 9, "expected a new name"},
    {"process a-b", 9, "expected a new name"},
    {"process hpa", 9, "expected a new name"},
    {"dma iommu0 read iova=0", 5, "`iommu0` is an IOMMU, expected a device"},
    {"dma dev1 read iova=0", 5, "unknown name `dev1`; the nearest is `dev0`"},
    {"sva-unbind s0", 12, "there is none so far"},
    {"map vm0 va=0 to=0 size=4K", 5, "expected a table"},
    {"open f vfio process=vmm", 8, "expected a path"},
    // Places, lists, bytes, texts.
    {"read vm1:0", 6, "unknown name `vm1`"},
    {"read dev0:0", 6, "`dev0` is a device"},
    {"read vm0:", 10, "found nothing"},
    {"write hpa:0 u64=1,,2", 19, "found nothing"},
    {"write hpa:0 bytes=012", 19, "odd number of digits"},
    {"write hpa:0 bytes=01xy", 21, "found `x`, expected hexadecimal digits"},
    {"write hpa:0 bytes=0_1", 20, "expected hexadecimal digits"},
    {"write hpa:0 text=word", 18, "expected text in quotes"},
    {"say \"never closed", 5, "this quote is not closed"},
    {"say \"a\\q\"", 7, "unknown escape"},
    {"say \"a\"b", 8, "behind the closing quote"},
    {"say word", 5, "expected text in quotes"},
    {"map gpt va=0 to=0 size=4K perm=rrw", 33, "expected rights"},
    {"map gpt va=0 to=0 size=4K perm=q", 32, "expected rights"},
    // Ioctls, registers, errors, faults.
    {"ioctl c0 VFIO_IOMMU_BINT/BIND_GUEST_PGTBL", 10, "unknown ioctl in dialect vsva-v1"},
    {"ioctl c0 VFIO_IOMMU_NESTING_OP/BIND_PGTBL", 10, "unknown ioctl in dialect vsva-v1"},
    {"ioctl c0 VFIO_IOMMU_BIND", 10, "has several shapes, expected one of VFIO_IOMMU_BIND/BIND_GUEST_PGTBL"},
    {"ioctl c0 VFIO_IOMMU_BIND/BIND_GEST_PGTBL", 10, "nearest is `VFIO_IOMMU_BIND/BIND_GUEST_PGTBL`"},
    {"ioctl c0 VFIO_IOMMU_MAP_DMA flag=READ", 29, "nearest is `flags`"},
    {"ioctl c0 VFIO_IOMMU_MAP_DMA flags=REED", 35, "the nearest name is `READ`"},
    {"ioctl c0 VFIO_IOMMU_MAP_DMA flags=READ|", 40, "found nothing"},
    {"ioctl c0 VFIO_IOMMU_MAP_DMA argsz=0x100000000", 35, "expected a number from 0 to 0xffffffff"},
    {"ioctl c0 VFIO_SET_IOMMU value=VFIO_TYPE2_IOMMU", 31, "nearest name is `VFIO_TYPE1_IOMMU`"},
    {"ioctl c0 VFIO_IOMMU_MAP_DMA expect rett=0", 36, "nearest is `ret`"},
    {"ioctl c0 VFIO_IOMMU_MAP_DMA expect errno=EBUZY", 42, "nearest is `EBUSY`"},
    {"mmio-write iommu0 GCDM value=1", 19, "nearest is `GCMD`"},
    {"mmio-write iommu0 GCMD TEE=1", 24, "nearest is `TE`"},
    {"mmio-write iommu0 GCMD TE=2", 27, "expected a number from 0 to 1"},
    {"mmio-read iommu0 FRCD0+16", 18, "unknown register"},
    {"dma dev0 read iova=0 expect fault=SFS.77", 35, "unknown fault reason"},
    {"process p expect error=EXISTS", 24, "nearest is `EXIST`"},
    // Expectations and names of what came.
    {"barrier expect", 9, "nothing stands behind `expect`"},
    {"dma dev0 read iova=0 expect let a=hpa", 29, "nothing stands behind `expect`"},
    {"dma dev0 read iova=0 let", 22, "nothing stands behind `let`"},
    {"dma dev0 read iova=0 expect hpa", 29, "expected OUTPUT=VALUE"},
    {"dma dev0 read iova=0 expect page=4K page=4K", 37, "given twice"},
    {"dma dev0 read iova=0 expect hpaa=0", 29, "nearest is `hpa`"},
    {"dma dev0 read iova=0 expect from=cache", 34, "expected one of atc, iotlb, walk, unit"},
    {"dma dev0 read iova=0 let a=status", 28, "`status` is no number"},
    {"dma dev0 read iova=0 let 1=hpa", 26, "expected NAME=OUTPUT"},
    {"exit vmm expect ret=0", 17, "has no outputs to expect"},
    {"let", 1, "nothing stands behind `let`"},
    {"let 5=6", 5, "found `5`, expected a name"},
    {"let a.b=6", 5, "found `a.b`, expected a name"},
    // Characters.
    {"say \"\xff\"", 6, "byte 0xff is no UTF-8"},
    {"# \xc3(", 3, "byte 0xc3 is no UTF-8"},
    {"# \xed\xa0\x80", 3, "is no UTF-8"}, // a surrogate
    {"barri\xc3\xa9re", 6, "outside quotes"},
    {"say \"a\x01\"", 7, "control character 0x01"},
    {"barrier \\", 9, "but the trace ends"},
};

INSTANTIATE_TEST_SUITE_P(Parser, MalformedLine, testing::ValuesIn(malformed));

TEST(Parser, WantsItsFirstLine) {
  EXPECT_EQ(message_of(""), "t:1:1: the trace is empty; expected `iommusim-trace 1` as its first line");
  EXPECT_EQ(message_of("\n"), "t:1:1: found ``, expected `iommusim-trace 1` as the first line");
  EXPECT_EQ(message_of("# iommusim-trace 1\n"),
            "t:1:1: found `# iommusim-trace 1`, expected `iommusim-trace 1` as the first line");
  EXPECT_EQ(message_of("iommusim-trace\n"), "t:1:15: no version; expected `iommusim-trace 1`");
  EXPECT_EQ(message_of("iommusim-trace 2\n"), "t:1:16: version `2` is not known; expected 1");
  EXPECT_NE(message_of("iommusim-trace 1 x\n").find("t:1:18: found `x`"), std::string::npos);
  EXPECT_NE(message_of("iommusim-traces 1\n").find("t:1:1: "), std::string::npos);
  EXPECT_NE(message_of("\xef\xbb\xbfiommusim-trace 1\n").find("t:1:1: "), std::string::npos);
  EXPECT_EQ(message_of("iommusim-trace 1"), "");
  EXPECT_EQ(message_of("iommusim-trace 1  # a comment\r\n"), "");
}

TEST(Parser, NeedsAKernelForWhatAKernelDoes) {
  EXPECT_EQ(message_of("iommusim-trace 1\nprocess p\n"),
            "t:2:1: `process` needs a kernel, and there is none so far (event `kernel`)");
}

TEST(Parser, CountsColumnsInCharacters) {
  EXPECT_NE(message_of(std::string(before) + "say \"h\xc3\xa9llo \xe2\x82\xac\" x\n").find("t:15:15: "),
            std::string::npos);
}

TEST(Parser, JoinsLinesAtABackslashAndKeepsPlaces) {
  Trace t = parse_trace(std::string(before) + "dma dev0 read \\\n  iova=0x1000 \\\n  size=4\nbarrier\n", "t");
  const Event &e = t.events[t.events.size() - 2];
  EXPECT_EQ(print_event(e), "dma dev0 read iova=0x1000 size=4");
  EXPECT_EQ(e.at.line, line_of_case);
  EXPECT_EQ(e.find("size")->at.line, line_of_case + 2);
  EXPECT_EQ(t.events.back().at.line, line_of_case + 3);
  EXPECT_NE(message_of(std::string(before) + "dma dev0 read \\\n  iova=q\n").find("t:16:8: "), std::string::npos);
}

TEST(Parser, SkipsCommentsAndEmptyLines) {
  Trace t = parse_trace("iommusim-trace 1\n\n# nothing\n   \t \n  # indented\nbarrier # behind an event\n", "t");
  ASSERT_EQ(t.events.size(), 1u);
  EXPECT_EQ(t.events[0].at.line, 6u);
}

TEST(Parser, KnowsValuesByTheirTypes) {
  Trace t = parse_trace(std::string(before) + "write vm0:0x1000+4K u64=1,$x,0x10-1 text=\"a \\\"b\\\\\"\n", "t");
  const Event &e = t.events.back();
  EXPECT_EQ(e.info->id, EventId::WRITE);
  const Value *at = e.find("AT");
  EXPECT_EQ(at->text, "vm0");
  ASSERT_EQ(at->sums[0].size(), 2u);
  EXPECT_EQ(at->sums[0][1].number, 4096u);
  EXPECT_EQ(at->sums[0][1].form, Form::K);
  const Value *words = e.find("u64");
  ASSERT_EQ(words->sums.size(), 3u);
  EXPECT_EQ(words->sums[1][0].kind, Term::VARIABLE);
  EXPECT_TRUE(words->sums[2][1].minus);
  EXPECT_EQ(e.find("text")->text, "a \"b\\");
}

TEST(Parser, ForgetsNamesThatWereClosed) {
  std::string text = std::string(before) + "close c0\nopen c0 /dev/vfio/vfio process=vmm\n";
  EXPECT_EQ(message_of(text), "");
  EXPECT_NE(message_of(std::string(before) + "close c0\nclose c0\n").find("t:16:7: "), std::string::npos);
}

TEST(Parser, FieldsFollowTheDialect) {
  auto with = [&](const char *dialect, const char *line) {
    return message_of(std::string("iommusim-trace 1\nkernel pool=0 pool_size=4K dialect=") + dialect +
                      "\nprocess p\nopen c /dev/vfio/vfio process=p\n" + line + "\n");
  };
  const char *v1 = "ioctl c VFIO_IOMMU_PASID_REQUEST flags=ALLOC min=1 max=2 expect result=1";
  EXPECT_EQ(with("vsva-v1", v1), "");
  EXPECT_NE(with("vsva-v7", v1).find("has no output `result`"), std::string::npos);
  const char *v7 = "ioctl c VFIO_IOMMU_NESTING_OP/BIND_PGTBL data.argsz=72 data.version=1";
  EXPECT_EQ(with("vsva-v7", v7), "");
  EXPECT_NE(with("vsva-v2", v7).find("has no parameter `data.argsz`"), std::string::npos); // layout A
  EXPECT_EQ(with("vsva-v2 iommu_h=b", v7), "");
  EXPECT_EQ(with("vsva-v1", "ioctl c VFIO_IOMMU_GET_INFO expect nesting.stage1_formats=1"), "");
  EXPECT_EQ(with("vsva-v7", "ioctl c VFIO_IOMMU_GET_INFO expect nesting.pasid_bits=20 iova_range.1.start=0"), "");
  EXPECT_NE(with("vsva-v7", "ioctl c VFIO_IOMMU_GET_INFO expect nesting.stage1_formats=1"), "");
}

// ---- Back into text -------------------------------------------------------------------------------------------------

TEST(Printer, WritesOneWayOfSayingIt) {
  auto printed = [&](const std::string &line) {
    return print_event(parse_trace(std::string(before) + line + "\n", "t").events.back());
  };
  EXPECT_EQ(printed("memory  size=0x1000   hpa=4096"), "memory hpa=4096 size=0x1000"); // the order of the table
  EXPECT_EQ(printed("memory hpa=0X00FF size=2G # why"), "memory hpa=0xff size=2G");
  EXPECT_EQ(printed("dma dev0 write iova=-4096+$x ats pasid=1 let a=hpa b=refs expect refs=1"),
            "dma dev0 write iova=-4096+$x pasid=1 ats expect refs=1 let a=hpa b=refs");
  EXPECT_EQ(printed("write hpa:1 bytes=AB_cd"), "write hpa:1 bytes=abcd");
  EXPECT_EQ(printed("device d iommu=iommu0 source=0A:1f.7"), "device d iommu=iommu0 source=0a:1f.7");
  EXPECT_EQ(printed("iommu u cm=1 nest=0"), "iommu u cm=1 nest=0");
  EXPECT_EQ(printed("say \"a\\tb \\\" \\\\ \\n\""), "say \"a\\tb \\\" \\\\ \\n\"");
  EXPECT_EQ(printed("ioctl c0 VFIO_IOMMU_MAP_DMA flags=READ|WRITE|4 size=4K"),
            "ioctl c0 VFIO_IOMMU_MAP_DMA flags=READ|WRITE|4 size=4K");
  EXPECT_EQ(printed("dma dev0 read iova=0 expect fault=sfs_2 hpa=vm0:0x10"),
            "dma dev0 read iova=0 expect fault=sfs_2 hpa=vm0:0x10");
  EXPECT_EQ(printed("let a=1 b=$x"), "let a=1 b=$x");
}

std::string file(const std::string &path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

class RoundTrip : public testing::TestWithParam<const char *> {};

TEST_P(RoundTrip, BundledTracesComeBackAsTheyWere) {
  std::string path = std::string(IMS_SOURCE_DIR "/traces/") + GetParam() + ".trace";
  Trace once = parse_trace(file(path), path);
  ASSERT_GT(once.events.size(), 20u);
  std::string text = print_trace(once);
  Trace twice = parse_trace(text, "printed");
  ASSERT_EQ(twice.events.size(), once.events.size());
  for (size_t i = 0; i < once.events.size(); i++)
    EXPECT_TRUE(same(once.events[i], twice.events[i])) << print_event(once.events[i]);
  EXPECT_EQ(print_trace(twice), text);
}

INSTANTIATE_TEST_SUITE_P(Printer, RoundTrip,
                         testing::Values("vsva-2020", "vsva-v7", "sva-process", "legacy", "raw-registers",
                                         "two-units"));

TEST(Printer, EqualEventsAreEqualAndOthersAreNot) {
  auto event = [&](const std::string &line) {
    return parse_trace(std::string(before) + line + "\n", "t").events.back();
  };
  Event e = event("dma dev0 read iova=0x10 expect refs=1 let a=hpa");
  EXPECT_TRUE(same(e, event("  dma dev0   read iova=0x10 expect refs=1 let a=hpa # same")));
  for (const char *other :
       {"dma dev0 write iova=0x10 expect refs=1 let a=hpa", "dma dev0 read iova=16 expect refs=1 let a=hpa",
        "dma dev0 read iova=0x10 expect refs=2 let a=hpa", "dma dev0 read iova=0x10 let a=hpa",
        "dma dev0 read iova=0x10 expect refs=1 let b=hpa", "dma dev0 read iova=0x10 ats expect refs=1 let a=hpa"})
    EXPECT_FALSE(same(e, event(other))) << other;
}

// ---- The table ------------------------------------------------------------------------------------------------------

TEST(Events, StandInTheOrderOfTheirNumbersAndHaveNamesOfTheirOwn) {
  std::set<std::string> names;
  ASSERT_EQ(events().size(), static_cast<size_t>(EventId::COUNT));
  for (size_t i = 0; i < events().size(); i++) {
    const EventInfo &e = events()[i];
    EXPECT_EQ(static_cast<size_t>(e.id), i) << e.name;
    EXPECT_TRUE(names.insert(e.name).second) << e.name;
    bool placed = true;
    for (const ParamInfo &p : e.params) {
      EXPECT_TRUE(placed || p.need != ParamInfo::PLACE) << e.name << ": parameters with a place come first";
      placed = p.need == ParamInfo::PLACE;
      EXPECT_STRNE(p.sentence, "") << e.name << " " << p.name;
    }
  }
}

TEST(Events, ExamplesAreLinesThatAreUnderstood) {
  for (const EventInfo &e : events()) {
    std::string needed = before;
    if (e.id == EventId::KERNEL)
      needed = "iommusim-trace 1\n";
    needed += e.id == EventId::SVA_UNBIND ? "process app\nsva-bind s0 device=dev0 process=app\n" : "";
    if (e.id == EventId::MUNMAP || e.id == EventId::MPROTECT || e.id == EventId::EXIT || e.id == EventId::SVA_BIND)
      needed += "process app\n";
    if (e.id == EventId::READ_FILE || e.id == EventId::WRITE_FILE || e.id == EventId::POLL)
      needed += "open i0 /dev/iommu process=vmm\nopen d0 /dev/vfio/devices/vfio0 process=vmm\n"
                "ioctl i0 IOMMU_FAULT_QUEUE_ALLOC file=q0\n";
    if (std::string(e.section) == "Recorded calls")
      needed += "process p0 outside\nprocess p1 outside\nopen f0 /dev/iommu process=p0\n";
    needed += "let pasid=1 grp=1 bar0=0\n";
    std::string example = e.example;
    // Names that exist already get a second one.
    for (auto [old, now] : {std::pair("iommu iommu0", "iommu iommu9"), std::pair("device dev0 i", "device dev9 i"),
                            std::pair("process vmm", "process vmm9"), std::pair("vm vm0 p", "vm vm9 p"),
                            std::pair("pool tables h", "pool tables9 h"), std::pair("table gpt", "table gpt9"),
                            std::pair("open c0", "open c9")})
      if (example.compare(0, std::string(old).size(), old) == 0)
        example.replace(0, std::string(old).size(), now);
    EXPECT_EQ(message_of(needed + example + "\n"), "") << e.name;
  }
}

TEST(Fields, AreReadAndWrittenByName) {
  Dialect d;
  d.dialect = IMS_DIALECT_V7;
  std::vector<std::string> names;
  const ims_uapi_ioctl *row = find_ioctl(d, "VFIO_IOMMU_NESTING_OP/CACHE_INVLD.ADDR", &names);
  ASSERT_TRUE(row);
  std::vector<uint8_t> bytes = default_argument(*row);
  ASSERT_EQ(bytes.size(), row->size);
  unsigned offset = 0;
  auto value = [&](const char *name) {
    const ims_uapi_field *f = ims_uapi_field_of(row, name, &offset);
    return f ? get_field(&bytes[offset], *f) : ~0ull;
  };
  EXPECT_EQ(value("argsz"), 64u);
  EXPECT_EQ(value("flags"), 2u);
  EXPECT_EQ(value("data.argsz"), 56u);
  EXPECT_EQ(value("data.granularity"), 2u);
  EXPECT_EQ(value("addr_info.pasid"), 0u);
  const ims_uapi_field *flags = ims_uapi_field_of(row, "addr_info.flags", &offset);
  ASSERT_TRUE(flags);
  EXPECT_EQ(field_text(*flags, 5), "PASID|LEAF");
  EXPECT_EQ(field_text(*flags, 0x81), "PASID|0x80");
  EXPECT_EQ(field_text(*flags, 0), "0");
}

} // namespace
} // namespace ims
