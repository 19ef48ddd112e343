// SPDX-License-Identifier: Apache-2.0
// The parser in its parts, each on top of the one before: what a trace has named so far (Scope), values by their types
// (Values), keys that the table of events does not fix (Fields). The lines of the text stand apart (Lines).
#pragma once

#include "trace/arch.h"
#include "trace/bytes.h"
#include "trace/events.h"
#include "trace/fields.h"
#include "trace/text.h"

#include <deque>
#include <map>
#include <set>

namespace ims {

struct Token {
  std::string_view text; // as it stands there
  Position at;
};

inline bool is_ident_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
inline bool is_ident(char c) { return is_ident_start(c) || (c >= '0' && c <= '9'); }
bool is_name(std::string_view text);

// The text, a line at a time, as words. No more of it is kept than the line at hand.
class Lines {
public:
  enum : size_t { LONGEST = 64 << 20 }; // bytes of a line with those that continue it

  Lines(ByteSource *bytes, const std::string &name, unsigned first = 1)
      : bytes_(bytes), name_(name), line_(first - 1) {}
  void first_line();
  // Tokens are valid until the next call.
  bool logical_line(std::vector<Token> *tokens);
  const std::string &source() const { return source_; } // of that line as it stands, ends of lines included
  unsigned first() const { return first_; }             // its number

private:
  bool physical_line(std::string_view *line);
  bool at_end();
  bool fill();
  void split(std::string_view line, std::vector<Token> *tokens) const;
  [[noreturn]] void fail(Position at, const std::string &message) const { throw TraceError(name_, at, message); }

  ByteSource *bytes_;
  std::string name_, block_, source_;
  size_t at_ = 0; // in the block
  bool end_ = false;
  std::deque<std::string> lines_; // what tokens point to
  unsigned line_, first_ = 0;
};

// What stands behind names.
class Scope {
protected:
  explicit Scope(const std::string &name) : name_(name) {}

  struct Object {
    unsigned kind;
    Position at;
    const Arch *arch = nullptr;              // of an IOMMU, of a device behind one, of a queue of its events
    ims_uapi_file file = IMS_FILE_CONTAINER; // of a file
  };

  [[noreturn]] void fail(Position at, const std::string &message) const { throw TraceError(name_, at, message); }
  [[noreturn]] void fail_word(Position at, const std::string &what, std::string_view found,
                              const std::vector<std::string> &names) const;
  const Object &object_of(std::string_view name, Position at, unsigned kinds) const;

  std::string name_;
  std::map<std::string, Object> objects_;
  std::set<std::string> variables_;
  const Arch *arch_ = nullptr; // of the `iommu` event at hand
  Dialect dialect_;
};

class Values : protected Scope {
protected:
  using Scope::Scope;

  // What a value may hold beyond its type.
  struct Want {
    Type type = Type::NUMBER;
    const char *words = nullptr;
    unsigned kinds = 0;                     // of NAME; of BITS: whose names may stand for numbers
    const Arch *arch = nullptr;             // whose registers
    const ims_uapi_value *values = nullptr; // names of BITS
    bool constants = false;                 // BITS: VFIO constants
    uint64_t low = 0, high = ~0ull;         // of a plain number
    std::string what;                       // "iova", for messages
  };

  static Position shifted(Position at, size_t by) { return {at.line, at.column + static_cast<unsigned>(by)}; }
  static std::vector<std::string> split_words(const char *words);
  Term parse_term(std::string_view text, Position at, const Want &want) const;
  static std::string expected_number(const Want &want);
  Sum parse_sum(std::string_view text, Position at, const Want &want) const;
  static std::string number_text(uint64_t value) { return value < 65536 ? std::to_string(value) : hex(value); }
  std::string parse_text(std::string_view text, Position at) const;
  std::string parse_bytes(std::string_view text, Position at) const;
  std::vector<Piece> parse_pieces(std::string_view text, Position at) const;
  void check_rights(std::string_view text, Position at) const;
  void parse_list(std::string_view text, Position at, char separator, const Want &want, Value *v) const;
  Value parse_value(std::string_view text, Position at, const Want &want) const;
};

class Fields : protected Values {
protected:
  using Values::Values;

  static Want want_of(const ParamInfo &p);
  static Want want_of(const OutputInfo &o);
  static Want want_of(const ims_uapi_field &f);
  const Arch &arch_of_event(const Event &e) const;
  static const RegisterField *register_field(const Arch &arch, std::string_view reg, std::string_view name,
                                             std::vector<std::string> *names);
  static std::vector<const ims_uapi_struct *> fault_layouts(const Event &e);
  ims_uapi_file file_of_event(const Event &e) const;
  bool dynamic_field(const Event &e, std::string_view key, bool output, Want *want,
                     std::vector<std::string> *names) const;
};

// Events, one after the other, and what they have made so far.
class Parser : Fields {
public:
  explicit Parser(const std::string &name) : Fields(name) {}

  Event parse(const std::vector<Token> &tokens);
  // The same for an event that was no text, of a call or a page: its names are checked.
  void admit(Event *event);

private:
  static bool split_key(const Token &t, std::string_view *key, std::string_view *value);
  void add_arg(std::vector<Arg> *list, std::string_view key, Value value, Position at) const;
  void parse_argument(const Token &t, size_t *place, Event *e);
  void output_names(const Event &e, std::vector<std::string> *names) const;
  bool want_output(const Event &e, std::string_view key, Want *want, std::vector<std::string> *names) const;
  void parse_expectation(const Token &t, Event *e);
  void parse_let(const Token &t, Event *e);
  void find_arch_word(const std::vector<Token> &tokens);
  void finish(Event *e, size_t place);
  void need_kernel(const Event &e) const;

  bool kernel_ = false;
};

} // namespace ims
