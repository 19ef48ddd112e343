// SPDX-License-Identifier: Apache-2.0
// The two forms of a trace: text comes back to the byte, frames can be read alone, and damage is named, whatever it is.
#include "tests/mem/files.h"
#include "tests/tools/program.h"
#include "tests/trace/recorded_program.h"
#include "trace/binary.h"
#include "trace/events.h"

#include <filesystem>
#include <zstd.h>

namespace ims {
namespace {

const std::string traces = IMS_SOURCE_DIR "/traces/";

// What reading it through says; empty: nothing is wrong.
std::string wrong_with(const std::string &bytes, const TraceReadOptions &options = {},
                       TraceSummary *summary = nullptr) {
  try {
    auto reader = read_trace(std::make_unique<TextSource>(bytes), "t", options);
    TraceItem item;
    while (reader->next(&item))
      ;
    if (summary)
      *summary = reader->summary();
    return reader->damage();
  } catch (const TraceError &e) {
    return e.what();
  }
}

std::string little_trace(const std::string &lines) {
  return "iommusim-trace 1\nmemory hpa=0x0 size=64M\nkernel pool=1M pool_size=32M\nprocess p0 outside\n"
         "open f0 /dev/iommu process=p0 fd=3\n" +
         lines;
}

// Calls enough for several frames: their bytes do not repeat.
std::string long_trace(unsigned calls, unsigned digits = 1024) {
  std::string text = little_trace("");
  uint64_t x = 1;
  for (unsigned i = 0; i < calls; i++) {
    text += "call f0 0x3b81 arg=0x1000 in=0x1000:";
    for (unsigned n = 0; n < digits; n++) {
      x = x * 6364136223846793005 + 1442695040888963407;
      text += "0123456789abcdef"[x >> 60];
    }
    text += " expect errno=EINVAL\n";
  }
  return text;
}

TEST(BinaryTrace, EveryBundledTraceComesBackToTheByte) {
  for (const auto &entry : std::filesystem::directory_iterator(traces)) {
    if (entry.path().extension() != ".trace")
      continue;
    std::string text = read_text(entry.path().string());
    std::string binary = convert(text, TraceForm::BINARY);
    EXPECT_EQ(convert(binary, TraceForm::TEXT), text) << entry.path();
    EXPECT_LT(binary.size(), text.size()) << entry.path();
  }
}

TEST(BinaryTrace, SpellingOfLinesIsKept) {
  for (const std::string &text :
       {std::string("iommusim-trace 1"), std::string("iommusim-trace 1\n"),
        std::string("iommusim-trace   1 # head\n\n\n"),
        little_trace("  call f0   0x3b81 arg=0x1000 expect ret=0 # blanks\n"),
        little_trace("call f0 0x3b81 \\\n  arg=0x1000 expect ret=0\r\n"),
        little_trace("call f0 0x3B81 arg=4096 expect ret=0\n"), little_trace("call f0 0x3b81 arg=4K expect ret=0\n"),
        little_trace("call f0 0x3b81 expect ret=0"), // no end of the line
        little_trace("call f0 0x3b81 in=0x0:AB expect ret=0\n"), little_trace("call f0 0x3b81 expect errno=OK\n"),
        little_trace("call f0 IOMMU_IOAS_ALLOC expect ret=0\n"), little_trace("call f0 0x3b81\n"),
        little_trace("call f0 0x3b81 at=5 expect ret=0\n"),
        little_trace("let x=5\ncall f0 0x3b81 arg=$x expect ret=$x let y=ret\n"),
        little_trace("page p0 size=0x1000 va=0x0 hpa=0x0\n"), little_trace("page p0 va=0 size=4K hpa=0x0\n"),
        little_trace("page p0 va=0x0 size=0x1000 hpa=0x0 access=read\n"),
        little_trace("page p0 va=0x0 size=0x1000 hpa=0x0 result=OK\n"),
        little_trace("say \"\xc3\xa4\" # \xe2\x82\xac\n\t\n#\n")})
    EXPECT_EQ(convert(convert(text, TraceForm::BINARY), TraceForm::TEXT), text);
}

TEST(BinaryTrace, BothFormsAreTheSameEvents) {
  std::string text = read_text(traces + "vsva-2020.trace");
  Trace parsed = parse_trace(text, "t");
  std::string binary = convert(text, TraceForm::BINARY);
  auto reader = read_trace(std::make_unique<TextSource>(binary), "t");
  ReadEvents events(reader.get());
  for (const Event &e : parsed.events) {
    const Event *other = events.next();
    ASSERT_TRUE(other);
    EXPECT_TRUE(same(e, *other));
    EXPECT_EQ(e.at.line, other->at.line);
    EXPECT_EQ(e.at.column, other->at.column);
  }
  EXPECT_EQ(events.next(), nullptr);
}

TEST(BinaryTrace, PlainZstdReadsItToo) {
  std::string binary = convert(little_trace("# comment\n"), TraceForm::BINARY);
  // Its only frame of data lies behind the head of 28 bytes.
  std::string content(1000, '\0');
  size_t n = ZSTD_findFrameCompressedSize(&binary[28], binary.size() - 28);
  ASSERT_FALSE(ZSTD_isError(n));
  size_t size = ZSTD_decompress(content.data(), content.size(), &binary[28], n);
  ASSERT_FALSE(ZSTD_isError(size));
  EXPECT_NE(content.find("# comment\n"), content.npos);
}

TEST(BinaryTrace, FramesAreReadAlone) {
  std::string text = long_trace(2000), binary = convert(text, TraceForm::BINARY);
  TraceReadOptions unchecked;
  unchecked.check = false;
  auto open = [&] { return read_trace(std::make_unique<TextSource>(binary), "t", unchecked); };
  TraceSummary index;
  ASSERT_TRUE(open()->read_index(&index));
  EXPECT_EQ(index.events, 2004u);
  EXPECT_EQ(index.lines, 2005u);
  EXPECT_EQ(index.calls, 2000u);
  EXPECT_GE(index.frames, 3u);
  TraceItem item, other;
  for (uint64_t event : {0u, 1u, 4u, 500u, 1234u, 2003u}) {
    auto all = open(), part = open();
    while (all->summary().events <= event)
      ASSERT_TRUE(all->next(&item));
    ASSERT_TRUE(part->read_index(&index));
    ASSERT_TRUE(part->go_to_event(event));
    EXPECT_LE(part->summary().events, event);
    while (part->summary().events <= event)
      ASSERT_TRUE(part->next(&other));
    EXPECT_EQ(item.source(), other.source());
    while (part->next(&other)) // to the end, which is checked
      ;
    EXPECT_EQ(part->summary().events, 2004u);
  }
  auto beyond = open();
  ASSERT_TRUE(beyond->read_index(&index));
  EXPECT_FALSE(beyond->go_to_event(2004));
}

TEST(BinaryTrace, EveryTruncationIsNoticedAndWhatIsThereComesBack) {
  std::string text = long_trace(10, 64), binary = convert(text, TraceForm::BINARY);
  TraceReadOptions recover;
  recover.recover = true;
  for (size_t size = 4; size < binary.size(); size++) {
    std::string cut = binary.substr(0, size), wrong = wrong_with(cut);
    EXPECT_NE(wrong, "") << size;
    EXPECT_EQ(wrong.compare(0, 9, "t: frame "), 0) << wrong;
    std::string back = convert(cut, TraceForm::TEXT, recover);
    EXPECT_EQ(text.compare(0, back.size(), back), 0) << size;
    EXPECT_EQ(wrong_with(cut, recover), wrong);
  }
}

TEST(BinaryTrace, TruncationLosesOnlyTheFrameItIsIn) {
  std::string text = long_trace(2000), binary = convert(text, TraceForm::BINARY);
  TraceReadOptions recover;
  recover.recover = true;
  std::string cut = binary.substr(0, binary.size() * 2 / 3);
  TraceSummary summary;
  std::string wrong = wrong_with(cut, recover, &summary);
  EXPECT_NE(wrong.find(": is cut short: "), wrong.npos) << wrong;
  // Even of the last frame, what was unpacked before it ends.
  EXPECT_GT(summary.events, 2000u * 55 / 100);
  EXPECT_LT(summary.events, 2000u * 67 / 100);
  std::string back = convert(cut, TraceForm::TEXT, recover);
  EXPECT_EQ(text.compare(0, back.size(), back), 0);
}

// There are bits that a zstd frame does not use.
TEST(BinaryTrace, EveryFlippedBitIsNoticedOrChangesNothing) {
  std::string text = long_trace(3, 64), binary = convert(text, TraceForm::BINARY);
  TraceReadOptions recover;
  recover.recover = true;
  unsigned silent = 0;
  for (size_t at = 4; at < binary.size(); at++) // the first four say that it is binary
    for (unsigned bit = 0; bit < 8; bit++) {
      std::string bad = binary;
      bad[at] = static_cast<char>(bad[at] ^ 1 << bit);
      std::string back = convert(bad, TraceForm::TEXT, recover);
      EXPECT_EQ(text.compare(0, back.size(), back), 0) << at << "." << bit;
      bool noticed = !wrong_with(bad).empty();
      EXPECT_TRUE(noticed || back == text) << at << "." << bit;
      silent += !noticed;
    }
  EXPECT_LT(silent, 10u);
}

TEST(BinaryTrace, FramesThatAreMissingOrTwiceAreNoticed) {
  std::string binary = convert(long_trace(2000), TraceForm::BINARY);
  std::vector<std::string> frames;
  size_t at = 28;
  for (size_t n; binary.compare(at, 4, "\x28\xb5\x2f\xfd") == 0; at += n) {
    n = ZSTD_findFrameCompressedSize(&binary[at], binary.size() - at);
    frames.push_back(binary.substr(at, n));
  }
  ASSERT_GE(frames.size(), 3u);
  std::string head = binary.substr(0, 28), end = binary.substr(at);
  auto put_together = [&](std::vector<size_t> order) {
    std::string all = head;
    for (size_t i : order)
      all += frames[i];
    return all + end;
  };
  EXPECT_NE(wrong_with(put_together({0, 2})).find("it says that it is frame 2"), std::string::npos);
  EXPECT_NE(wrong_with(put_together({0, 0, 1})).find("t: frame 1 at offset "), std::string::npos);
  EXPECT_NE(wrong_with(put_together({0, 1})).find("frames before it, found 2"), std::string::npos);
  EXPECT_NE(wrong_with(binary + "x").find("bytes behind the end of the trace"), std::string::npos);
}

// Frames that are sound as frames, and hold what no writer writes.
TEST(BinaryTrace, HostileRecordsAreNamed) {
  auto with = [](const std::string &records) {
    StringSink sink;
    FrameWriter frames(&sink, 1);
    std::string first = std::string("\0\0\0\x01", 4);
    std::string head = little_trace("");
    EXPECT_LT(head.size(), 16384u);
    first += static_cast<char>(head.size() | 0x80);
    first += static_cast<char>(head.size() >> 7);
    frames.put(first + head + records, {});
    frames.finish({4, 5, 0, 0});
    return wrong_with(sink.text);
  };
  struct {
    std::string records;
    const char *message;
  } cases[] = {
      {"\x07", "record of unknown kind 7"},
      {std::string("\0", 1), "record of unknown kind 0"},
      {"\x01\x7f", "a record that does not end"},
      {"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "a record that does not end"},
      {"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "a number of more than 64 bits"},
      {"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "a number of more than 64 bits"},
      {std::string("\x03\0\0", 3), "name 0 of 0"},
      {"\x02\x02"
       "f0\x03\x00\x05",
       "a record that does not end"},
      {std::string("\x02\x02"
                   "f0\x03\0\x01",
                   7),
       "name 1 of 1"},
      {"\x02\x02"
       "f-",
       "expected a name"},
      {"\x03\x85", "a call with unknown flags 0x85"},
      {"\x03\x10", "a call with unknown flags 0x10"},
      {std::string("\x02\x02"
                   "f0\x03\0\0\xff\xff\xff\xff\x1f",
                   12),
       "a command of more than 32 bits"},
      {std::string("\x02\x02"
                   "f0\x03\0\0\0\0\0\x07",
                   11),
       "piece of unknown kind 7"},
      {std::string("\x02\x02"
                   "f0\x03\x40\0\0\0\0\0",
                   11),
       "a list of no descriptors"},
      {std::string("\x02\x02"
                   "f0\x03\x03\0\0\0\x08",
                   10),
       "unknown rights 0x8"},
      {"\x04\x08", "a page with unknown flags 0x8"},
      {std::string("\x02\x02"
                   "p0\x04\0\0\0\0\0\x80\x40",
                   12),
       "expected an errno"},
      // A name that is sound, and stands for nothing, or for something else.
      {std::string("\x02\x02"
                   "f9\x03\0\0\0\0\0\0",
                   11),
       "unknown name `f9`"},
      {std::string("\x02\x02"
                   "p0\x03\0\0\0\0\0\0",
                   11),
       "`p0` is a process, expected an open file"},
      {"\x01\x05say x", "expected text in quotes"},
      {std::string("\x01\x01#\x01\x01#", 6), "the line before this record does not end"},
  };
  EXPECT_EQ(with(""), "");
  for (const auto &c : cases) {
    std::string message = with(c.records);
    EXPECT_NE(message.find(c.message), message.npos) << c.message << ": " << message;
  }
}

TEST(BinaryTrace, AnIndexThatLiesIsNoticed) {
  auto with = [](const TraceTotals &totals, const FrameInfo &begins) {
    StringSink sink;
    FrameWriter frames(&sink, 1);
    frames.put(std::string("\0\0\0\x01\x11", 5) + "iommusim-trace 1\n", begins);
    frames.finish(totals);
    return sink.text;
  };
  EXPECT_EQ(wrong_with(with({0, 1, 0, 0}, {})), "");
  FrameInfo begins;
  begins.event = 5;
  EXPECT_EQ(wrong_with(with({0, 1, 0, 0}, begins)),
            "t: the index says that 5 events and 0 lines are before frame 0, found 0 and 0");
  EXPECT_EQ(wrong_with(with({7, 1, 0, 0}, {})), "t: the index says that there are 7 events and 1 lines, found 0 and 1");
}

TEST(BinaryTrace, WhatIsNoTraceIsSaidToBeNone) {
  EXPECT_NE(wrong_with("\x28\xb5\x2f\xfdxxxxxxxxxxxxxxxxxxxx").find("its head is missing"), std::string::npos);
  EXPECT_NE(wrong_with("").find("the trace is empty"), std::string::npos);
  std::string binary = convert("iommusim-trace 1\n", TraceForm::BINARY);
  binary[8 + 15] = 2;
  EXPECT_EQ(wrong_with(binary), "t: frame 0 at offset 0: version 2 of the binary form is not known; expected 1");
}

// A source that hands out little at a time, and none of it twice.
class Trickle : public ByteSource {
public:
  explicit Trickle(std::string text) : text_(std::move(text)) {}
  size_t read(char *to, size_t most) override {
    size_t n = std::min<size_t>({most, 1 + at_ % 7, text_.size() - at_});
    text_.copy(to, n, at_);
    at_ += n;
    return n;
  }
  bool seek(uint64_t) override { return false; }
  bool size(uint64_t *) override { return false; }

private:
  std::string text_;
  size_t at_ = 0;
};

TEST(BinaryTrace, ComesThroughAPipe) {
  std::string text = long_trace(300, 64), binary = convert(text, TraceForm::BINARY);
  for (const std::string &from : {text, binary}) {
    auto reader = read_trace(std::make_unique<Trickle>(from), "t");
    TraceSummary index;
    EXPECT_FALSE(reader->read_index(&index));
    std::string all;
    TraceItem item;
    while (reader->next(&item))
      all += item.source();
    EXPECT_EQ(all, text);
  }
}

} // namespace
} // namespace ims
