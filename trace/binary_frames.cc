// SPDX-License-Identifier: Apache-2.0
// Frames of the binary form within a file: docs/trace-binary.md, "Frames". Compression, checksums, and the index.
#include "trace/binary.h"
#include "trace/text.h"

#include <algorithm>
#include <cinttypes>
#include <cstring>
#include <zstd.h>

namespace ims {

namespace {

const char header_text[] = "iommusim-trace"; // with its zero: 15 bytes
enum : size_t {
  HEADER_BYTES = sizeof header_text + 1 + 4, // text, version, reserved
  LARGEST_INDEX = 64u << 20,
  BLOCK = 64 << 10,
  TABLE_FOOTER = 9,
  TABLE_ROW = 8,
};

void put32(std::string *to, uint32_t v) {
  for (unsigned i = 0; i < 4; i++)
    *to += static_cast<char>(v >> (8 * i));
}

void put_number(std::string *to, uint64_t v) {
  for (; v >= 0x80; v >>= 7)
    *to += static_cast<char>(v | 0x80);
  *to += static_cast<char>(v);
}

std::string skippable_frame(uint32_t magic, const std::string &content) {
  std::string frame;
  put32(&frame, magic);
  put32(&frame, static_cast<uint32_t>(content.size()));
  return frame + content;
}

} // namespace

// ---- Writing --------------------------------------------------------------------------------------------------------

std::string FrameWriter::pack(const std::string &bytes) const {
  std::string packed(ZSTD_compressBound(bytes.size()), '\0');
  ZSTD_CCtx *context = ZSTD_createCCtx();
  if (!context)
    throw std::bad_alloc();
  ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level_);
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  size_t n = ZSTD_compress2(context, packed.data(), packed.size(), bytes.data(), bytes.size());
  ZSTD_freeCCtx(context);
  if (ZSTD_isError(n))
    throw std::bad_alloc(); // nothing else can go wrong: the room is enough
  packed.resize(n);
  return packed;
}

bool FrameWriter::write(const std::string &bytes) {
  if (good_ && !sink_->write(bytes.data(), bytes.size()))
    good_ = false;
  offset_ += bytes.size();
  return good_;
}

bool FrameWriter::put(const std::string &bytes, const FrameInfo &begins) {
  if (!offset_) {
    std::string content(header_text, sizeof header_text);
    content += static_cast<char>(BINARY_VERSION);
    put32(&content, 0);
    std::string frame = skippable_frame(BINARY_HEADER, content);
    listed_.push_back({static_cast<uint32_t>(frame.size()), 0});
    write(frame);
  }
  std::string packed = pack(bytes);
  FrameInfo info = begins;
  info.offset = offset_;
  info.packed = packed.size();
  info.size = bytes.size();
  frames_.push_back(info);
  listed_.push_back({static_cast<uint32_t>(packed.size()), static_cast<uint32_t>(bytes.size())});
  return write(packed);
}

bool FrameWriter::finish(const TraceTotals &totals) {
  std::string index;
  put_number(&index, frames_.size());
  for (const FrameInfo &f : frames_) {
    put_number(&index, f.packed);
    put_number(&index, f.size);
    put_number(&index, f.event);
    put_number(&index, f.line);
  }
  for (uint64_t n : {totals.events, totals.lines, totals.calls, totals.pages})
    put_number(&index, n);
  std::string frame = skippable_frame(BINARY_INDEX, pack(index));
  listed_.push_back({static_cast<uint32_t>(frame.size()), 0});
  write(frame);
  std::string table;
  for (const Listed &l : listed_) {
    put32(&table, l.packed);
    put32(&table, l.size);
  }
  put32(&table, static_cast<uint32_t>(listed_.size()));
  table += '\0'; // rows without checksums: the frames have their own
  put32(&table, BINARY_SEEK_FOOTER);
  return write(skippable_frame(BINARY_SEEK_TABLE, table));
}

// ---- Reading --------------------------------------------------------------------------------------------------------

FrameReader::~FrameReader() { ZSTD_freeDCtx(static_cast<ZSTD_DCtx *>(context_)); }

bool FrameReader::have(size_t bytes) {
  while (buffer_.size() - at_ < bytes) {
    start_ += at_;
    buffer_.erase(0, at_);
    at_ = 0;
    size_t old = buffer_.size();
    buffer_.resize(old + BLOCK);
    size_t n = source_->read(&buffer_[old], BLOCK);
    buffer_.resize(old + n);
    if (!n)
      return false;
  }
  return true;
}

uint32_t FrameReader::word(size_t at) const {
  uint32_t v = 0;
  for (unsigned i = 0; i < 4; i++)
    v |= static_cast<uint32_t>(static_cast<unsigned char>(buffer_[at_ + at + i])) << (8 * i);
  return v;
}

// What a skippable frame holds, that begins here.
std::string FrameReader::skippable(uint32_t magic, size_t most) {
  if (!have(8))
    damaged("is cut short", true);
  if (word(0) != magic)
    damaged(format("found 0x%08x, expected 0x%08x as its first 4 bytes", word(0), magic));
  size_t size = word(4);
  if (size > most)
    damaged(format("says that it has %zu bytes, expected at most %zu", size, most));
  if (!have(8 + size))
    damaged(format("is cut short: it should have %zu bytes", size + 8), true);
  std::string content = buffer_.substr(at_ + 8, size);
  at_ += 8 + size;
  return content;
}

void FrameReader::read_header() {
  std::string content = skippable(BINARY_HEADER, 4096);
  if (content.size() < HEADER_BYTES || content.compare(0, sizeof header_text, header_text, sizeof header_text) != 0)
    damaged("is no head of a trace");
  unsigned version = static_cast<unsigned char>(content[sizeof header_text]);
  if (version != BINARY_VERSION)
    damaged(format("version %u of the binary form is not known; expected %d", version, int(BINARY_VERSION)));
  for (size_t i = sizeof header_text + 1; i < content.size(); i++)
    if (content[i])
      damaged("bytes that mean nothing in this version are not zero");
}

void FrameReader::unpack(std::string *bytes) {
  bytes->clear();
  have(18); // the longest head of a frame
  size_t there = buffer_.size() - at_;
  unsigned long long size = ZSTD_getFrameContentSize(&buffer_[at_], there);
  if (there < 18 && size == ZSTD_CONTENTSIZE_ERROR)
    damaged("is cut short", true);
  if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN)
    damaged("does not say how much it holds");
  if (size > BINARY_LARGEST)
    damaged(format("says that it holds %llu bytes, expected at most %zu", size, size_t(BINARY_LARGEST)));
  if (there < 5 || !(buffer_[at_ + 4] & 4))
    damaged("has no checksum");
  if (!context_)
    context_ = ZSTD_createDCtx();
  auto *context = static_cast<ZSTD_DCtx *>(context_);
  if (!context)
    throw std::bad_alloc();
  ZSTD_DCtx_reset(context, ZSTD_reset_session_only);
  std::string room(128 << 10, '\0');
  for (;;) {
    ZSTD_inBuffer in = {buffer_.data() + at_, buffer_.size() - at_, 0};
    ZSTD_outBuffer out = {room.data(), room.size(), 0};
    size_t left = ZSTD_decompressStream(context, &out, &in);
    at_ += in.pos;
    if (ZSTD_isError(left)) {
      bytes->clear();
      damaged(std::string("is damaged: ") + ZSTD_getErrorName(left));
    }
    bytes->append(room, 0, out.pos);
    if (bytes->size() > size) {
      bytes->clear();
      damaged("holds more than it says");
    }
    if (!left)
      break;
    if (at_ == buffer_.size() && out.pos < room.size() && !have(1))
      damaged(format("is cut short: %zu of its %llu bytes are there", bytes->size(), size), true);
  }
  if (bytes->size() != size)
    damaged("holds less than it says");
}

BinaryIndex FrameReader::parse_index(const std::string &packed) const {
  unsigned long long size = ZSTD_getFrameContentSize(packed.data(), packed.size());
  if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN || size > LARGEST_INDEX)
    damaged("does not say how much it holds, or too much");
  std::string bytes(static_cast<size_t>(size), '\0');
  size_t n = ZSTD_decompress(bytes.data(), bytes.size(), packed.data(), packed.size());
  if (ZSTD_isError(n))
    damaged(std::string("is damaged: ") + ZSTD_getErrorName(n));
  size_t at = 0;
  auto number = [&] {
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (at >= n)
        damaged("ends within a number");
      auto b = static_cast<unsigned char>(bytes[at++]);
      v |= static_cast<uint64_t>(b & 0x7f) << shift;
      if (b < 0x80)
        return v;
    }
    damaged("has a number of more than 64 bits");
  };
  BinaryIndex index;
  uint64_t count = number(), offset = 8 + HEADER_BYTES;
  if (count > n / 4)
    damaged(format("says that there are %" PRIu64 " frames, which it has no room for", count));
  for (uint64_t i = 0; i < count; i++) {
    FrameInfo f;
    f.offset = offset;
    f.packed = number();
    f.size = number();
    f.event = number();
    f.line = number();
    offset += f.packed;
    index.frames.push_back(f);
  }
  for (uint64_t *total : {&index.totals.events, &index.totals.lines, &index.totals.calls, &index.totals.pages})
    *total = number();
  if (at != n)
    damaged(format("has %zu bytes too many", n - at));
  return index;
}

// The index agrees with the frames that were read, and the seek table with both.
void FrameReader::read_end() {
  uint64_t index_at = here();
  index_ = parse_index(skippable(BINARY_INDEX, LARGEST_INDEX));
  const BinaryIndex &index = index_;
  uint64_t index_bytes = here() - index_at;
  if (!jumped_ && index.frames.size() != seen_.size())
    damaged(format("says that there are %zu frames before it, found %zu", index.frames.size(), seen_.size()));
  for (size_t i = 0; !jumped_ && i < seen_.size(); i++)
    if (index.frames[i].offset != seen_[i].offset || index.frames[i].packed != seen_[i].packed ||
        index.frames[i].size != seen_[i].size)
      damaged(format("says something else of frame %zu than it is", i));
  offset_ = here();
  std::string table = skippable(BINARY_SEEK_TABLE, LARGEST_INDEX);
  std::string expected;
  auto row = [&](uint64_t packed, uint64_t size) {
    put32(&expected, static_cast<uint32_t>(packed));
    put32(&expected, static_cast<uint32_t>(size));
  };
  row(8 + HEADER_BYTES, 0);
  for (const FrameInfo &f : index.frames)
    row(f.packed, f.size);
  row(index_bytes, 0);
  put32(&expected, static_cast<uint32_t>(index.frames.size() + 2));
  expected += '\0';
  put32(&expected, BINARY_SEEK_FOOTER);
  if (table != expected)
    damaged("the seek table does not agree with the index");
  offset_ = here();
  if (have(1))
    damaged("bytes behind the end of the trace");
  at_end_ = true;
}

bool FrameReader::next_frame(std::string *bytes) {
  if (!begun_) {
    read_header();
    begun_ = true;
  }
  offset_ = here();
  if (!have(4))
    damaged("the file ends without its index: it was cut short, or its recording was", true);
  if (word(0) == BINARY_INDEX) {
    read_end();
    return false;
  }
  if (word(0) != ZSTD_FRAME)
    damaged(format("found 0x%08x, expected 0x%08x as its first 4 bytes", word(0), uint32_t(ZSTD_FRAME)));
  unpack(bytes);
  FrameInfo info;
  info.offset = offset_;
  info.packed = here() - offset_;
  info.size = bytes->size();
  seen_.push_back(info);
  number_ = frames_++;
  return true;
}

bool FrameReader::next(std::string *bytes) {
  bytes->clear();
  if (over_)
    return false;
  try {
    bool more = next_frame(bytes);
    over_ = !more;
    return more;
  } catch (const Damage &d) {
    over_ = true;
    damage_ =
        format("%s: frame %" PRIu64 " at offset %" PRIu64 ": %s", name_.c_str(), frames_, offset_, d.message.c_str());
    if (!recover_)
      throw TraceError(damage_);
    partial_ = d.missing && !bytes->empty();
    number_ = frames_;
    return partial_;
  }
}

bool FrameReader::read_index(BinaryIndex *index) {
  uint64_t size = 0;
  if (!source_->size(&size) || !source_->seek(0))
    return false;
  try {
    offset_ = 0;
    read_header();
    begun_ = true;
    uint64_t after_header = here();
    auto jump = [&](uint64_t to) {
      source_->seek(to);
      buffer_.clear();
      at_ = 0;
      start_ = offset_ = to;
    };
    const char *cut = "the file ends without its index: it was cut short, or its recording was";
    if (size < after_header + 8 + TABLE_FOOTER)
      damaged(cut, true);
    jump(size - TABLE_FOOTER);
    if (!have(TABLE_FOOTER) || word(5) != BINARY_SEEK_FOOTER)
      damaged(cut, true);
    uint64_t rows = word(0), table = 8 + rows * TABLE_ROW + TABLE_FOOTER;
    if (rows < 2 || table > size - after_header)
      damaged("the seek table is larger than the file");
    jump(size - table);
    std::string content = skippable(BINARY_SEEK_TABLE, LARGEST_INDEX);
    if (content.size() + 8 != table)
      damaged("the seek table has another size than its last bytes say");
    uint64_t last = 0;
    for (unsigned i = 0; i < 4; i++)
      last |= static_cast<uint64_t>(static_cast<unsigned char>(content[(rows - 1) * TABLE_ROW + i])) << (8 * i);
    if (last > size - table)
      damaged("the seek table names an index that is larger than the file");
    jump(size - table - last);
    *index = parse_index(skippable(BINARY_INDEX, LARGEST_INDEX));
    jump(0);
    begun_ = false;
    return true;
  } catch (const Damage &d) {
    throw TraceError(format("%s: offset %" PRIu64 ": %s", name_.c_str(), offset_, d.message.c_str()));
  }
}

void FrameReader::go_to(const BinaryIndex &index, uint64_t number) {
  const FrameInfo &f = index.frames[static_cast<size_t>(number)];
  source_->seek(f.offset);
  buffer_.clear();
  at_ = 0;
  start_ = f.offset;
  frames_ = number;
  begun_ = jumped_ = true;
}

} // namespace ims
