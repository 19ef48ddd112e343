// SPDX-License-Identifier: Apache-2.0
// The parser in its parts, each on top of the one before: what a trace has named so far (Scope), values by their types
// (Values), keys that the table of events does not fix (Fields). The lines of the text stand apart (Lines).
#pragma once

#include "trace/arch.h"
#include "trace/events.h"
#include "trace/fields.h"
#include "trace/text.h"

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

// The text, a line at a time, as words.
class Lines {
public:
  Lines(std::string_view text, const std::string &name) : text_(text), name_(name) {}
  void first_line();
  bool logical_line(std::vector<Token> *tokens);

private:
  bool physical_line(std::string_view *line);
  void split(std::string_view line, std::vector<Token> *tokens) const;
  [[noreturn]] void fail(Position at, const std::string &message) const { throw TraceError(name_, at, message); }

  std::string_view text_;
  std::string name_;
  size_t at_ = 0;
  unsigned line_ = 0;
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

} // namespace ims
