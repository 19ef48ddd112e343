// SPDX-License-Identifier: Apache-2.0
// Records within a frame of the binary form: docs/trace-binary.md, "Records".
#include "trace/binary.h"
#include "trace/text.h"

#include <cinttypes>

namespace ims {

namespace {

enum RecordKind : uint8_t { R_TEXT = 1, R_NAME, R_CALL, R_PAGE };

// Bits of a call's second byte, beside the operation.
enum : unsigned { C_OP = 7, C_TIMED = 8, C_SHARED = 16, C_COOKIE = 32, C_FDS = 64 };
enum : unsigned { P_WRITE = 1, P_HPA = 2, P_FILE = 4 };

void put_number(std::string *to, uint64_t v) {
  char digits[10];
  size_t n = 0;
  for (; v >= 0x80; v >>= 7)
    digits[n++] = static_cast<char>(v | 0x80);
  digits[n++] = static_cast<char>(v);
  to->append(digits, n);
}

uint64_t zigzag(int64_t v) { return static_cast<uint64_t>(v) << 1 ^ static_cast<uint64_t>(v >> 63); }
int64_t unzigzag(uint64_t v) { return static_cast<int64_t>(v >> 1 ^ (0 - (v & 1))); }
void put_signed(std::string *to, int64_t v) { put_number(to, zigzag(v)); }

// Addresses near the argument are small numbers.
void put_near(std::string *to, uint64_t base, uint64_t addr) { put_signed(to, static_cast<int64_t>(addr - base)); }

void put_head(std::string *to, uint64_t frame, const FrameInfo &begins) {
  put_number(to, frame);
  put_number(to, begins.event);
  put_number(to, begins.line);
}

bool is_good_name(std::string_view text) {
  auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  if (text.empty() || !letter(text[0]))
    return false;
  for (char c : text)
    if (!letter(c) && !(c >= '0' && c <= '9'))
      return false;
  return true;
}

} // namespace

// ---- Encoder --------------------------------------------------------------------------------------------------------

Encoder::Encoder() { put_head(&bytes_, 0, begins_); }

void Encoder::next_frame() {
  frame_++;
  bytes_.clear();
  names_.clear();
  at_ = 0;
  begins_ = {};
  begins_.event = totals_.events;
  begins_.line = totals_.lines;
  records_ = 0;
  put_head(&bytes_, frame_, begins_);
}

unsigned Encoder::name(std::string_view name) {
  auto [it, made] = names_.try_emplace(std::string(name), static_cast<unsigned>(names_.size()));
  if (made) {
    bytes_ += static_cast<char>(R_NAME);
    put_number(&bytes_, name.size());
    bytes_ += name;
  }
  return it->second;
}

void Encoder::text(std::string_view lines, uint64_t line_count, uint64_t events) {
  bytes_ += static_cast<char>(R_TEXT);
  put_number(&bytes_, lines.size());
  bytes_ += lines;
  totals_.lines += line_count;
  totals_.events += events;
  records_++;
}

void Encoder::piece(std::string *to, PieceKind kind, uint64_t base, uint64_t addr, const void *bytes, uint64_t size) {
  *to += static_cast<char>(kind);
  put_near(to, kind >= SEEN ? 0 : base, addr);
  put_number(to, size);
  if (kind != IN_FAULT && kind != OUT_FAULT)
    to->append(static_cast<const char *>(bytes), size);
}

void Encoder::call(unsigned name, const CallHead &h, int64_t result, const std::vector<int64_t> &fds,
                   std::string_view pieces) {
  unsigned flags = h.op | (h.timed ? unsigned(C_TIMED) : 0u) | (h.shared ? unsigned(C_SHARED) : 0u) |
                   (h.has_cookie ? unsigned(C_COOKIE) : 0u) | (fds.empty() ? 0u : unsigned(C_FDS));
  std::string &b = bytes_;
  b += static_cast<char>(R_CALL);
  b += static_cast<char>(flags);
  put_number(&b, name);
  if (h.op == CallRecord::IOCTL)
    put_number(&b, h.word);
  if (h.op != CallRecord::MMAP)
    put_number(&b, h.arg);
  if (h.op == CallRecord::READ || h.op == CallRecord::WRITE || h.op == CallRecord::MMAP) {
    put_number(&b, h.len);
    put_number(&b, h.offset);
  }
  if (h.op == CallRecord::MMAP)
    b += static_cast<char>(h.prot);
  if (h.timed) {
    put_signed(&b, static_cast<int64_t>(h.at - at_));
    put_number(&b, h.took);
    at_ = h.at;
  }
  put_signed(&b, result);
  if (h.has_cookie)
    put_number(&b, h.cookie);
  if (!fds.empty()) {
    put_number(&b, fds.size());
    for (int64_t fd : fds)
      put_signed(&b, fd);
  }
  b += pieces;
  b += static_cast<char>(END);
  totals_.events++;
  totals_.lines++;
  totals_.calls++;
  records_++;
}

void Encoder::call(const CallRecord &r) {
  std::string pieces;
  auto put = [&](const std::vector<Piece> &list, PieceKind kind, PieceKind fault) {
    for (const Piece &p : list)
      piece(&pieces, p.fault ? fault : kind, r.arg, p.addr, p.bytes.data(), p.size());
  };
  put(r.in, IN, IN_FAULT);
  put(r.seen, SEEN, SEEN);
  put(r.out, OUT, OUT_FAULT);
  put(r.stored, STORED, STORED);
  call(name(r.file),
       {r.op, r.word, r.arg, r.len, r.offset, r.cookie, r.prot, r.shared, r.timed, r.has_cookie, r.at, r.took},
       r.result, r.fds, pieces);
}

void Encoder::page(const PageRecord &r) {
  unsigned process = name(r.process);
  std::string &b = bytes_;
  b += static_cast<char>(R_PAGE);
  b += static_cast<char>((r.write ? unsigned(P_WRITE) : 0u) | (r.has_hpa ? unsigned(P_HPA) : 0u) |
                         (r.of_file ? unsigned(P_FILE) : 0u));
  put_number(&b, process);
  if (r.of_file)
    put_number(&b, r.file);
  put_number(&b, r.at);
  put_number(&b, r.size);
  put_number(&b, r.page);
  if (r.has_hpa)
    put_number(&b, r.hpa);
  put_number(&b, r.error);
  totals_.events++;
  totals_.lines++;
  totals_.pages++;
  records_++;
}

// ---- Decoder --------------------------------------------------------------------------------------------------------

void Decoder::fail(const std::string &message) const { throw TraceError(where_ + ": " + message); }

void Decoder::begin(const std::string *bytes, const std::string &name, uint64_t frame, uint64_t offset, bool partial) {
  bytes_ = bytes;
  where_ = format("%s: frame %" PRIu64 " at offset %" PRIu64, name.c_str(), frame, offset);
  at_ = 0;
  partial_ = partial;
  names_.clear();
  time_ = 0;
  begins_ = {};
  try {
    uint64_t own = number();
    if (own != frame)
      fail(format("it says that it is frame %" PRIu64 ": frames are missing, or in another order", own));
    begins_.event = number();
    begins_.line = number();
  } catch (const Short &) {
    if (!partial)
      fail("its head is cut short");
    at_ = bytes_->size();
  }
}

uint64_t Decoder::number() {
  uint64_t v = 0;
  for (unsigned shift = 0; shift < 70; shift += 7) {
    unsigned b = byte();
    if (shift == 63 && b > 1)
      break;
    v |= static_cast<uint64_t>(b & 0x7f) << shift;
    if (b < 0x80)
      return v;
  }
  fail(format("byte %zu: a number of more than 64 bits", at_));
}

int64_t Decoder::signed_number() { return unzigzag(number()); }

unsigned Decoder::byte() {
  if (at_ >= bytes_->size())
    throw Short();
  return static_cast<unsigned char>((*bytes_)[at_++]);
}

std::string_view Decoder::take(uint64_t size) {
  if (size > bytes_->size() - at_)
    throw Short();
  std::string_view part(bytes_->data() + at_, static_cast<size_t>(size));
  at_ += static_cast<size_t>(size);
  return part;
}

const std::string &Decoder::name() {
  uint64_t index = number();
  if (index >= names_.size())
    fail(format("byte %zu: name %" PRIu64 " of %zu", at_, index, names_.size()));
  return names_[static_cast<size_t>(index)];
}

Decoder::Kind Decoder::next() {
  size_t start = at_;
  try {
    return record();
  } catch (const Short &) {
    if (partial_)
      return END;
    at_ = start;
    fail(format("byte %zu: a record that does not end", start));
  }
}

Decoder::Kind Decoder::record() {
  while (at_ < bytes_->size()) {
    size_t start = at_;
    unsigned kind = byte();
    switch (kind) {
    case R_TEXT: text_ = take(number()); return TEXT;
    case R_NAME: {
      std::string_view text = take(number());
      if (!is_good_name(text))
        fail(format("byte %zu: found %s, expected a name: letters, digits and _, a letter first", start,
                    quote(text).c_str()));
      names_.emplace_back(text);
      break;
    }
    case R_CALL: read_call(); return CALL;
    case R_PAGE: read_page(); return PAGE;
    default: fail(format("byte %zu: record of unknown kind %u", start, kind));
    }
  }
  return END;
}

void Decoder::read_call() {
  CallRecord &r = call_;
  unsigned flags = byte();
  unsigned op = flags & C_OP;
  bool map = op == CallRecord::MMAP;
  if (op >= CallRecord::OPS || flags >> 7 || (!map && flags & (C_SHARED | C_COOKIE)))
    fail(format("byte %zu: a call with unknown flags 0x%x", at_ - 1, flags));
  r.file = name();
  r.op = static_cast<CallRecord::Op>(op);
  uint64_t word = r.op == CallRecord::IOCTL ? number() : 0;
  if (word >> 32)
    fail(format("byte %zu: a command of more than 32 bits", at_));
  r.word = static_cast<uint32_t>(word);
  r.arg = map ? 0 : number();
  bool ranged = map || op == CallRecord::READ || op == CallRecord::WRITE;
  r.len = ranged ? number() : 0;
  r.offset = ranged ? number() : 0;
  r.prot = map ? byte() : 0;
  if (r.prot > 7)
    fail(format("byte %zu: unknown rights 0x%x", at_ - 1, r.prot));
  r.shared = flags & C_SHARED;
  r.timed = flags & C_TIMED;
  r.at = r.took = 0;
  if (r.timed) {
    r.at = time_ += static_cast<uint64_t>(signed_number());
    r.took = number();
  }
  r.result = signed_number();
  r.has_cookie = flags & C_COOKIE;
  r.cookie = r.has_cookie ? number() : 0;
  r.fds.clear();
  if (flags & C_FDS) {
    uint64_t count = number();
    if (!count)
      fail(format("byte %zu: a list of no descriptors", at_));
    while (count--) // each takes a byte: a count that is too large ends with the frame
      r.fds.push_back(signed_number());
  }
  r.in.clear();
  r.out.clear();
  r.seen.clear();
  r.stored.clear();
  while (unsigned kind = byte()) {
    if (kind > Encoder::STORED)
      fail(format("byte %zu: piece of unknown kind %u", at_ - 1, kind));
    Piece p;
    p.addr = (kind >= Encoder::SEEN ? 0 : r.arg) + static_cast<uint64_t>(signed_number());
    uint64_t size = number();
    p.fault = kind == Encoder::IN_FAULT || kind == Encoder::OUT_FAULT;
    if (p.fault)
      p.missing = size;
    else
      p.bytes = take(size);
    (kind == Encoder::IN || kind == Encoder::IN_FAULT     ? r.in
     : kind == Encoder::OUT || kind == Encoder::OUT_FAULT ? r.out
     : kind == Encoder::SEEN                              ? r.seen
                                                          : r.stored)
        .push_back(std::move(p));
  }
}

void Decoder::read_page() {
  PageRecord &r = page_;
  unsigned flags = byte();
  if (flags > 7)
    fail(format("byte %zu: a page with unknown flags 0x%x", at_ - 1, flags));
  r.process = name();
  r.of_file = flags & P_FILE;
  r.file = r.of_file ? number() : 0;
  r.at = number();
  r.size = number();
  r.page = number();
  r.write = flags & P_WRITE;
  r.has_hpa = flags & P_HPA;
  r.hpa = r.has_hpa ? number() : 0;
  uint64_t error = number();
  if (error && !is_named_errno(static_cast<int64_t>(error)))
    fail(format("byte %zu: found %" PRIu64 ", expected an errno", at_, error));
  r.error = static_cast<uint32_t>(error);
}

} // namespace ims
