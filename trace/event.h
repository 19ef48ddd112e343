// SPDX-License-Identifier: Apache-2.0
// The trace format: events as typed values, apart from any execution. The text form is parsed into these and printed from
// them (docs/trace.md); other forms of the same events may follow.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace ims {

// Where something stands in the text, both from 1; columns count characters.
struct Position {
  unsigned line = 0, column = 0;
};

// A trace that cannot be understood, or that cannot be carried out: "file:line:column: message".
class TraceError : public std::runtime_error {
public:
  TraceError(const std::string &file, Position at, const std::string &message);
  explicit TraceError(const std::string &message) : std::runtime_error(message) {} // of the file as a whole
};

// What kind of value a parameter or an output has.
enum class Type : uint8_t {
  NUMBER,   // a sum of numbers, $variables and attributes of objects
  SOURCE,   // requester id: bb:dd.f or a number
  BITS,     // numbers and names joined by |, as the field's list of values says
  WORD,     // one of the parameter's words
  FLAG,     // there or not there
  NEW_NAME, // the name of an object that the event makes
  NAME,     // the name of an object
  PLACE,    // an address in a space: hpa:0x1000, vm0:0x1000 (gpa), p0:0x1000 (va)
  LIST,     // numbers joined by commas
  BYTES,    // hexadecimal digits, two a byte; _ may stand between bytes
  TEXT,     // "in quotes"
  REGISTER, // a register's name, name+offset, or a number
  IOCTL,    // NAME or NAME/VARIANT
  PATH,     // /dev/vfio/7
  FAULT,    // fault reason: number, name, or none
  ERRNO,    // EINVAL, or OK
  ERROR,    // error of the library: EXIST, or OK
  CALL,     // a recorded call: the command's number or name, or read, write, mmap, munmap
  PIECES,   // bytes at addresses: 0x1000:00ff,0x2000:!16 (16 bytes that could not be reached)
};

// How a number was written, which is how it is printed.
enum class Form : uint8_t { DEC, HEX, K, M, G, T, BDF };

struct Term {
  enum Kind : uint8_t { NUMBER, VARIABLE, ATTRIBUTE, WORD } kind = NUMBER;
  bool minus = false;
  Form form = Form::DEC;
  uint64_t number = 0;
  std::string name, attribute; // of VARIABLE, ATTRIBUTE, WORD
  Position at;
};
using Sum = std::vector<Term>;

// Bytes of PIECES, or so many that could not be reached.
struct Piece {
  uint64_t addr = 0;
  bool fault = false;
  uint64_t missing = 0; // bytes, of a fault
  std::string bytes;

  uint64_t size() const { return fault ? missing : bytes.size(); }
};
inline bool operator==(const Piece &a, const Piece &b) {
  return a.addr == b.addr && a.fault == b.fault && a.missing == b.missing && a.bytes == b.bytes;
}

struct Value {
  Type type = Type::NUMBER;
  std::string text;      // words, names, texts; BYTES: the bytes; PLACE: the space, empty when none was named
  std::vector<Sum> sums; // numbers; BITS: a term each; CALL: empty when it is a word
  Position at;
  std::vector<Piece> pieces;
};

struct Arg {
  std::string key;
  Value value;
  Position at;
};

// let NAME=OUTPUT behind an event
struct Let {
  std::string name, output;
  Position at;
};

struct EventInfo;

struct Event {
  const EventInfo *info = nullptr;
  Position at;
  std::vector<Arg> args; // in the order of the table, then those it does not fix, as they were written
  std::vector<Arg> expects;
  std::vector<Let> lets;

  const Value *find(std::string_view key) const; // NULL: not given
};

struct Trace {
  std::string name;
  std::vector<Event> events;
};

enum { TRACE_VERSION = 1 };

// Parses the whole text, for short traces; trace/stream.h has them an event at a time, and in either form; `name` stands in messages. Names, kinds, fields and variables are checked here, so that what a
// trace does wrong is told before anything runs. Any bytes are safe. Throws TraceError.
Trace parse_trace(std::string_view text, const std::string &name);

// One event as canonical text, without a newline; and the whole trace, first line included. Parsing it gives the same.
std::string print_event(const Event &event);
std::string print_trace(const Trace &trace);
std::string print_value(const Value &value);
std::string print_pieces(const std::vector<Piece> &pieces);

bool same(const Value &a, const Value &b);
bool same(const Event &a, const Event &b); // but for positions

} // namespace ims
