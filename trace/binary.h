// SPDX-License-Identifier: Apache-2.0
// The binary form of a trace: zstd frames of records, and an index at the end. docs/trace-binary.md has it byte for byte.
// Here the parts: numbers and records within a frame (Encoder, Decoder), frames within a file (FrameWriter, FrameReader).
#pragma once

#include "trace/bytes.h"
#include "trace/record.h"
#include "trace/recorded.h"

#include <map>
#include <unordered_map>

namespace ims {

// Magic numbers of zstd's skippable frames (RFC 8878, 3.1.2); the last is that of the zstd seekable format.
enum : uint32_t {
  BINARY_HEADER = 0x184d2a50,
  BINARY_INDEX = 0x184d2a51,
  BINARY_SEEK_TABLE = 0x184d2a5e,
  BINARY_SEEK_FOOTER = 0x8f92eab1,
  ZSTD_FRAME = 0xfd2fb528,
};
enum { BINARY_VERSION = 1 };
enum : size_t {
  BINARY_FRAME = 256 << 10,   // bytes of a frame, about
  BINARY_LARGEST = 128u << 20 // what a frame may hold: one record may be large
};

struct FrameInfo {
  uint64_t offset = 0, packed = 0, size = 0; // in the file; bytes there, and of what it holds
  uint64_t event = 0, line = 0;              // of its first record: how many events and lines are before it
};

struct TraceTotals {
  uint64_t events = 0, lines = 0, calls = 0, pages = 0;
};

// ---- Within a frame -------------------------------------------------------------------------------------------------

// Records into a frame's bytes. Names are numbered anew in each frame, so that a frame can be read by itself.
class Encoder {
public:
  Encoder();
  // Text of whole lines: so many lines, so many of them events.
  void text(std::string_view lines, uint64_t line_count, uint64_t events);
  void call(const CallRecord &r);
  void page(const PageRecord &r);

  // A call by its pieces, which lie encoded already (piece()).
  struct CallHead {
    CallRecord::Op op;
    uint32_t word;
    uint64_t arg, len, offset, cookie;
    unsigned prot;
    bool shared, timed, has_cookie;
    uint64_t at, took;
  };
  void call(unsigned name, const CallHead &head, int64_t result, const std::vector<int64_t> &fds,
            std::string_view pieces);
  enum PieceKind : uint8_t { END, IN, OUT, IN_FAULT, OUT_FAULT, SEEN, STORED };
  static void piece(std::string *to, PieceKind kind, uint64_t base, uint64_t addr, const void *bytes, uint64_t size);
  unsigned name(std::string_view name); // its number in this frame

  const std::string &bytes() const { return bytes_; }
  const TraceTotals &totals() const { return totals_; } // since the start
  FrameInfo begins() const { return begins_; }
  void next_frame();                       // empty, after what was has gone out
  bool empty() const { return !records_; } // nothing has been put into this frame

private:
  std::string bytes_;
  std::unordered_map<std::string, unsigned> names_;
  TraceTotals totals_;
  FrameInfo begins_;
  uint64_t at_ = 0, frame_ = 0, records_ = 0;
};

// A frame's bytes as records. Any bytes are safe: what is wrong is told by a TraceError that names the frame.
class Decoder {
public:
  enum Kind { TEXT, CALL, PAGE, END };

  // `partial`: the end is missing; a record that does not end is then no error but the end.
  void begin(const std::string *bytes, const std::string &name, uint64_t frame, uint64_t offset, bool partial);
  uint64_t first_event() const { return begins_.event; }
  uint64_t first_line() const { return begins_.line; }
  Kind next();
  std::string_view text() const { return text_; }
  CallRecord &call() { return call_; }
  PageRecord &page() { return page_; }
  [[noreturn]] void fail(const std::string &message) const;

private:
  struct Short {};
  uint64_t number();
  int64_t signed_number();
  std::string_view take(uint64_t size);
  unsigned byte();
  const std::string &name();
  Kind record();
  void read_call();
  void read_page();

  const std::string *bytes_ = nullptr;
  std::string where_;
  size_t at_ = 0;
  bool partial_ = false;
  FrameInfo begins_;
  std::vector<std::string> names_;
  uint64_t time_ = 0;
  std::string_view text_;
  CallRecord call_;
  PageRecord page_;
};

// ---- Within a file --------------------------------------------------------------------------------------------------

class FrameWriter {
public:
  explicit FrameWriter(RecordSink *sink, int level) : sink_(sink), level_(level) {}
  bool put(const std::string &bytes, const FrameInfo &begins); // false: the sink does not take it
  bool finish(const TraceTotals &totals);
  bool good() const { return good_; }

private:
  bool write(const std::string &bytes);
  std::string pack(const std::string &bytes) const;

  RecordSink *sink_;
  int level_;
  bool good_ = true;
  uint64_t offset_ = 0;
  std::vector<FrameInfo> frames_;
  struct Listed {
    uint32_t packed, size;
  };
  std::vector<Listed> listed_; // all frames of the file, as the seek table has them
};

struct BinaryIndex {
  std::vector<FrameInfo> frames;
  TraceTotals totals;
};

class FrameReader {
public:
  // `recover`: damage ends the trace, instead of being an error.
  FrameReader(ByteSource *bytes, const std::string &name, bool recover)
      : source_(bytes), name_(name), recover_(recover) {}
  ~FrameReader();
  FrameReader(const FrameReader &) = delete;
  FrameReader &operator=(const FrameReader &) = delete;

  // The next frame's bytes; false: the file ended as it should, or where it is damaged.
  bool next(std::string *bytes);
  uint64_t number() const { return number_; } // of that frame, from 0 on
  uint64_t offset() const { return offset_; } // where it begins in the file
  bool partial() const { return partial_; }   // its end is missing (recover)
  const std::string &damage() const { return damage_; }
  const BinaryIndex *end() const { return at_end_ ? &index_ : nullptr; } // once the index has been reached

  // The index, by its place at the end. False: the source cannot go there. Reading then goes on with frame `number` after
  // go_to(). Throws TraceError: the file has no index, or a damaged one.
  bool read_index(BinaryIndex *index);
  void go_to(const BinaryIndex &index, uint64_t number);

private:
  struct Damage {
    std::string message;
    bool missing; // bytes are missing at the end
  };
  [[noreturn]] void damaged(const std::string &message, bool missing = false) const { throw Damage{message, missing}; }
  bool have(size_t bytes); // in the buffer from at_ on
  bool next_frame(std::string *bytes);
  void unpack(std::string *bytes);
  std::string skippable(uint32_t magic, size_t most);
  void read_header();
  void read_end();
  BinaryIndex parse_index(const std::string &packed) const;
  uint32_t word(size_t at) const;
  uint64_t here() const { return start_ + at_; }

  ByteSource *source_;
  std::string name_, buffer_;
  size_t at_ = 0;
  uint64_t start_ = 0; // of the buffer in the file
  bool recover_, begun_ = false, over_ = false, partial_ = false, jumped_ = false;
  uint64_t number_ = 0, offset_ = 0, frames_ = 0;
  std::vector<FrameInfo> seen_;
  BinaryIndex index_;
  bool at_end_ = false;
  std::string damage_;
  void *context_ = nullptr; // ZSTD_DCtx
};

} // namespace ims
