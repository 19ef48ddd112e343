// SPDX-License-Identifier: Apache-2.0
// The text form of a trace, line by line: words, then values by the types of the event table, then what the names in them
// stand for. docs/trace.md has the grammar.
#include "iommu/smmuv3/commands.h"
#include "trace/events.h"
#include "trace/fields.h"
#include "trace/names.h"
#include "trace/nearest.h"
#include "trace/number.h"
#include "trace/structures.h"
#include "trace/text.h"

#include <algorithm>
#include <map>
#include <set>

namespace ims {

TraceError::TraceError(const std::string &file, Position at, const std::string &message)
    : std::runtime_error(format("%s:%u:%u: %s", file.c_str(), at.line, at.column, message.c_str())) {}

const Value *Event::find(std::string_view key) const {
  for (const Arg &a : args)
    if (a.key == key)
      return &a.value;
  return nullptr;
}

namespace {

struct Token {
  std::string_view text; // as it stands there
  Position at;
};

bool is_ident_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_ident(char c) { return is_ident_start(c) || (c >= '0' && c <= '9'); }

bool is_name(std::string_view text) {
  return !text.empty() && is_ident_start(text[0]) && std::all_of(text.begin(), text.end(), is_ident);
}

// Bytes of the UTF-8 character that begins here, 0 when none does.
size_t utf8_length(std::string_view s) {
  auto byte = [&](size_t i) { return i < s.size() ? static_cast<unsigned char>(s[i]) : 0u; };
  unsigned a = byte(0);
  size_t n = a < 0x80 ? 1 : a >= 0xc2 && a < 0xe0 ? 2 : a >= 0xe0 && a < 0xf0 ? 3 : a >= 0xf0 && a < 0xf5 ? 4 : 0;
  for (size_t i = 1; i < n; i++)
    if ((byte(i) & 0xc0) != 0x80)
      return 0;
  bool bad = (a == 0xe0 && byte(1) < 0xa0) || (a == 0xed && byte(1) > 0x9f) || (a == 0xf0 && byte(1) < 0x90) ||
             (a == 0xf4 && byte(1) > 0x8f);
  return bad ? 0 : n;
}

class Parser {
public:
  Parser(std::string_view text, const std::string &name) : text_(text) { trace_.name = name; }

  Trace run() {
    first_line();
    std::vector<Token> tokens;
    while (logical_line(&tokens))
      if (!tokens.empty())
        trace_.events.push_back(parse_event(tokens));
    return std::move(trace_);
  }

private:
  struct Object {
    unsigned kind;
    Position at;
    const Arch *arch = nullptr; // of an IOMMU, and of a device behind one
  };

  [[noreturn]] void fail(Position at, const std::string &message) const { throw TraceError(trace_.name, at, message); }

  [[noreturn]] void fail_word(Position at, const std::string &what, std::string_view found,
                              const std::vector<std::string> &names) const {
    std::string near = nearest(found, names);
    fail(at, what + " " + quote(found) + (near.empty() ? "" : "; the nearest is `" + near + "`"));
  }

  // ---- Lines and words ------------------------------------------------------------------------------------------

  bool physical_line(std::string_view *line) {
    if (at_ >= text_.size())
      return false;
    size_t end = text_.find('\n', at_);
    *line = text_.substr(at_, end == text_.npos ? text_.npos : end - at_);
    at_ = end == text_.npos ? text_.size() : end + 1;
    if (!line->empty() && line->back() == '\r')
      line->remove_suffix(1);
    line_++;
    return true;
  }

  void first_line() {
    std::string_view line;
    const char *expected = "expected `iommusim-trace 1`";
    std::vector<Token> tokens;
    if (!physical_line(&line))
      fail({1, 1}, std::string("the trace is empty; ") + expected + " as its first line");
    if (line.substr(0, 14) != "iommusim-trace")
      fail({1, 1}, "found " + quote(line) + ", " + expected + " as the first line");
    split(line, &tokens);
    if (tokens.empty() || tokens[0].text != "iommusim-trace")
      fail({1, 1}, "found " + quote(line) + ", " + expected + " as the first line");
    if (tokens.size() < 2)
      fail({1, 15}, std::string("no version; ") + expected);
    if (tokens[1].text != "1")
      fail(tokens[1].at, "version " + quote(tokens[1].text) + " is not known; expected 1");
    if (tokens.size() > 2)
      fail(tokens[2].at, "found " + quote(tokens[2].text) + " behind the version, expected the end of the line");
  }

  // Words of a line; a comment ends it.
  void split(std::string_view line, std::vector<Token> *tokens) const {
    Position at = {line_, 1};
    size_t i = 0;
    bool comment = false;
    auto advance = [&](size_t bytes) {
      i += bytes;
      at.column++;
    };
    while (i < line.size()) {
      char c = line[i];
      if (comment) {
        size_t n = utf8_length(line.substr(i));
        if (!n)
          fail(at, format("byte 0x%02x is no UTF-8", static_cast<unsigned char>(c)));
        advance(n);
        continue;
      }
      if (c == ' ' || c == '\t') {
        advance(1);
        continue;
      }
      if (c == '#') {
        comment = true;
        continue;
      }
      size_t start = i;
      Position from = at;
      bool quoted = false;
      Position quote_at = at;
      while (i < line.size() && (quoted || (line[i] != ' ' && line[i] != '\t'))) {
        unsigned char u = static_cast<unsigned char>(line[i]);
        size_t n = utf8_length(line.substr(i));
        if (!n)
          fail(at, format("byte 0x%02x is no UTF-8", u));
        if (n > 1 && !quoted)
          fail(at, "a character beyond ASCII stands outside quotes and comments");
        if (u < 0x20 || u == 0x7f)
          fail(at, format("control character 0x%02x", u));
        if (u == '"') {
          quote_at = at;
          quoted = !quoted;
        }
        bool escape = quoted && u == '\\' && i + 1 < line.size();
        advance(n);
        if (escape && (line[i] == '"' || line[i] == '\\'))
          advance(1);
      }
      if (quoted)
        fail(quote_at, "this quote is not closed on its line");
      tokens->push_back({line.substr(start, i - start), from});
    }
  }

  // A line with those that continue it: a backslash as the last word.
  bool logical_line(std::vector<Token> *tokens) {
    tokens->clear();
    std::string_view line;
    bool any = false;
    while (physical_line(&line)) {
      any = true;
      split(line, tokens);
      if (tokens->empty() || tokens->back().text != "\\")
        return true;
      Position at = tokens->back().at;
      tokens->pop_back();
      if (at_ >= text_.size())
        fail(at, "a line is to follow behind `\\`, but the trace ends");
    }
    return any;
  }

  // ---- Values ---------------------------------------------------------------------------------------------------

  // What a value may hold beyond its type.
  struct Want {
    Type type = Type::NUMBER;
    const char *words = nullptr;
    unsigned kinds = 0;
    const Arch *arch = nullptr;             // whose registers
    const ims_uapi_value *values = nullptr; // names of BITS
    bool constants = false;                 // BITS: VFIO constants
    uint64_t low = 0, high = ~0ull;         // of a plain number
    std::string what;                       // "iova", for messages
  };

  static Position shifted(Position at, size_t by) { return {at.line, at.column + static_cast<unsigned>(by)}; }

  static std::vector<std::string> split_words(const char *words) {
    std::vector<std::string> list(1);
    for (const char *c = words; *c; c++) {
      if (*c == '|')
        list.emplace_back();
      else
        list.back() += *c;
    }
    return list;
  }

  const Object &object_of(std::string_view name, Position at, unsigned kinds) const {
    auto found = objects_.find(std::string(name));
    if (found == objects_.end()) {
      std::vector<std::string> names;
      for (const auto &[n, o] : objects_)
        if (o.kind & kinds)
          names.push_back(n);
      if (names.empty())
        fail(at, "unknown name " + quote(name) + ", expected " + kind_text(kinds) + "; there is none so far");
      fail_word(at, "unknown name", name, names);
    }
    if (!(found->second.kind & kinds))
      fail(at, quote(name) + " is " + kind_text(found->second.kind) + ", expected " + kind_text(kinds));
    return found->second;
  }

  Term parse_term(std::string_view text, Position at, const Want &want) const {
    Term t;
    t.at = at;
    if (text.empty())
      fail(at, "found nothing, expected " + expected_number(want));
    if (text[0] == '$') {
      t.kind = Term::VARIABLE;
      t.name = text.substr(1);
      if (!is_name(t.name))
        fail(at, "found " + quote(text) + ", expected the name of a variable behind `$`");
      if (!variables_.count(t.name)) {
        std::vector<std::string> names;
        for (const auto &v : variables_)
          names.push_back("$" + v);
        fail_word(at, "unknown variable", text, names);
      }
      return t;
    }
    if (parse_size(text, &t.number)) {
      t.form = text.size() > 1 && (text[1] == 'x' || text[1] == 'X') ? Form::HEX : Form::DEC;
      switch (t.form == Form::HEX ? '0' : text.back()) {
      case 'K': t.form = Form::K; break;
      case 'M': t.form = Form::M; break;
      case 'G': t.form = Form::G; break;
      case 'T': t.form = Form::T; break;
      default: break;
      }
      return t;
    }
    size_t dot = text.find('.');
    if (dot != text.npos && is_name(text.substr(0, dot))) {
      t.kind = Term::ATTRIBUTE;
      t.name = text.substr(0, dot);
      t.attribute = text.substr(dot + 1);
      unsigned with = 0;
      for (const AttributeInfo &a : attributes())
        with |= a.kind;
      const Object &o = object_of(t.name, at, with);
      std::vector<std::string> names;
      for (const AttributeInfo &a : attributes()) {
        if (!(a.kind & o.kind))
          continue;
        if (t.attribute == a.name)
          return t;
        names.push_back(t.name + "." + a.name);
      }
      fail_word(at, "unknown attribute", text, names);
    }
    uint64_t constant;
    if (want.constants && vfio_constant(text, &constant)) {
      t.kind = Term::WORD;
      t.name = text;
      return t;
    }
    if (want.values)
      for (const ims_uapi_value *v = want.values; v->name; v++)
        if (text == v->name) {
          t.kind = Term::WORD;
          t.name = text;
          return t;
        }
    std::string message = "found " + quote(text) + ", expected " + expected_number(want);
    std::vector<std::string> names = want.constants ? vfio_constants() : std::vector<std::string>();
    if (want.values)
      for (const ims_uapi_value *v = want.values; v->name; v++)
        names.push_back(v->name);
    if (!names.empty() && is_name(text))
      message += "; the nearest name is `" + nearest(text, names) + "`";
    fail(at, message);
  }

  static std::string expected_number(const Want &want) {
    if (want.type == Type::SOURCE)
      return "a requester (bb:dd.f) or a number";
    return want.type == Type::BITS && (want.values || want.constants)
               ? "a number, a $variable or a name that this field knows"
               : "a number (decimal, 0x hexadecimal, 4K 2M 1G), a $variable or OBJECT.ATTRIBUTE";
  }

  // A sum: terms joined by + and -.
  Sum parse_sum(std::string_view text, Position at, const Want &want) const {
    Sum sum;
    size_t i = 0;
    bool minus = false;
    if (!text.empty() && text[0] == '-') {
      minus = true;
      i = 1;
    }
    for (;;) {
      size_t end = text.find_first_of("+-", i);
      Term t = parse_term(text.substr(i, end == text.npos ? text.npos : end - i), shifted(at, i), want);
      t.minus = minus;
      sum.push_back(t);
      if (end == text.npos)
        break;
      minus = text[end] == '-';
      i = end + 1;
    }
    if (sum.size() == 1 && sum[0].kind == Term::NUMBER && !sum[0].minus &&
        (sum[0].number < want.low || sum[0].number > want.high))
      fail(at, "found " + std::string(text) + ", expected a number from " + number_text(want.low) + " to " +
                   number_text(want.high));
    return sum;
  }

  static std::string number_text(uint64_t value) { return value < 65536 ? std::to_string(value) : hex(value); }

  std::string parse_text(std::string_view text, Position at) const {
    if (text.size() < 2 || text.front() != '"' || text.find('"', 1) == text.npos)
      fail(at, "found " + quote(text) + ", expected text in quotes");
    std::string out;
    size_t i = 1;
    for (; i < text.size() && text[i] != '"'; i++) {
      if (text[i] != '\\') {
        out += text[i];
        continue;
      }
      char c = i + 1 < text.size() ? text[i + 1] : '\0';
      if (c != '"' && c != '\\' && c != 'n' && c != 't')
        fail(shifted(at, i), "unknown escape, expected \\\" \\\\ \\n or \\t");
      out += c == 'n' ? '\n' : c == 't' ? '\t' : c;
      i++;
    }
    if (i + 1 != text.size())
      fail(shifted(at, i + 1), "found " + quote(text.substr(i + 1)) + " behind the closing quote");
    return out;
  }

  std::string parse_bytes(std::string_view text, Position at) const {
    std::string out;
    int high = -1;
    for (size_t i = 0; i < text.size(); i++) {
      char c = text[i];
      if (c == '_' && high < 0)
        continue;
      int d = c >= '0' && c <= '9'   ? c - '0'
              : c >= 'a' && c <= 'f' ? c - 'a' + 10
              : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                     : -1;
      if (d < 0)
        fail(shifted(at, i), "found " + quote(std::string(1, c)) + ", expected hexadecimal digits, two a byte");
      if (high < 0) {
        high = d;
      } else {
        out += static_cast<char>(high << 4 | d);
        high = -1;
      }
    }
    if (high >= 0)
      fail(at, "an odd number of digits, expected two a byte");
    return out;
  }

  void check_rights(std::string_view text, Position at) const {
    if (text == "none" || text == "-")
      return;
    std::string seen;
    for (size_t i = 0; i < text.size(); i++) {
      char c = text[i];
      if (std::string_view("rwxu").find(c) == std::string_view::npos || seen.find(c) != seen.npos)
        fail(shifted(at, i), "found " + quote(text) + ", expected rights: r, w, x, u joined, or none");
      seen += c;
    }
    if (text.empty())
      fail(at, "found nothing, expected rights: r, w, x, u joined, or none");
  }

  void parse_list(std::string_view text, Position at, char separator, const Want &want, Value *v) const {
    size_t i = 0;
    for (;;) {
      size_t end = text.find(separator, i);
      v->sums.push_back(parse_sum(text.substr(i, end == text.npos ? text.npos : end - i), shifted(at, i), want));
      if (end == text.npos)
        return;
      i = end + 1;
    }
  }

  Value parse_value(std::string_view text, Position at, const Want &want) const {
    Value v;
    v.type = want.type;
    v.at = at;
    switch (want.type) {
    case Type::NUMBER: v.sums.push_back(parse_sum(text, at, want)); break;
    case Type::SOURCE: {
      uint64_t source;
      if (text.find(':') == 2 && text.size() == 7 && parse_source(text, &source)) { // bb:dd.f
        Term t;
        t.number = source;
        t.form = Form::BDF;
        t.at = at;
        v.sums.push_back({t});
      } else {
        Want w = want;
        w.high = 0xffffffff;
        v.sums.push_back(parse_sum(text, at, w));
      }
      break;
    }
    case Type::BITS: parse_list(text, at, '|', want, &v); break;
    case Type::LIST: parse_list(text, at, ',', want, &v); break;
    case Type::WORD: {
      v.text = text;
      if (!want.words) {
        check_rights(text, at);
        break;
      }
      std::vector<std::string> words = split_words(want.words);
      if (std::find(words.begin(), words.end(), v.text) == words.end()) {
        std::string list;
        for (const std::string &w : words)
          list += (list.empty() ? "" : ", ") + w;
        fail(at, want.what + ": found " + quote(text) + ", expected one of " + list + "; the nearest is `" +
                     nearest(text, words) + "`");
      }
      break;
    }
    case Type::FLAG: break;
    case Type::NEW_NAME: {
      v.text = text;
      if (!is_name(text) || text == "hpa")
        fail(at, "found " + quote(text) + ", expected a new name: letters, digits and _, a letter first");
      auto found = objects_.find(v.text);
      if (found != objects_.end())
        fail(at, quote(text) + " is " + kind_text(found->second.kind) + " already, since line " +
                     std::to_string(found->second.at.line));
      break;
    }
    case Type::NAME:
      v.text = text;
      object_of(text, at, want.kinds);
      break;
    case Type::PLACE: {
      size_t colon = text.find(':');
      if (colon != text.npos) {
        v.text = text.substr(0, colon);
        if (v.text != "hpa")
          object_of(v.text, at, KIND_VM | KIND_PROCESS | KIND_POOL);
        v.sums.push_back(parse_sum(text.substr(colon + 1), shifted(at, colon + 1), want));
      } else {
        v.sums.push_back(parse_sum(text, at, want));
      }
      break;
    }
    case Type::BYTES: v.text = parse_bytes(text, at); break;
    case Type::TEXT: v.text = parse_text(text, at); break;
    case Type::REGISTER: {
      RegisterName r;
      v.text = text;
      if (!register_by_name(*want.arch, text, &r))
        fail_word(at, "unknown register of " + std::string(want.arch->a_unit), text, register_names(*want.arch));
      break;
    }
    case Type::IOCTL: {
      std::vector<std::string> names;
      v.text = text;
      if (find_ioctl(dialect_, text, &names))
        break;
      bool shapes = !names.empty() && names[0].substr(0, names[0].find('/')) == text.substr(0, text.find('/'));
      if (shapes && text.find('/') == text.npos) {
        std::string list;
        for (const std::string &n : names)
          list += (list.empty() ? "" : ", ") + n;
        fail(at, quote(text) + " has several shapes, expected one of " + list);
      }
      fail_word(at, std::string("unknown ioctl in dialect ") + ims_dialect_name(dialect_.dialect), text, names);
    }
    case Type::PATH:
      v.text = text;
      if (text.empty() || text[0] != '/')
        fail(at, "found " + quote(text) + ", expected a path: /dev/vfio/vfio or /dev/vfio/GROUP");
      break;
    case Type::FAULT: {
      unsigned code;
      const Arch *arch;
      v.text = text;
      if (fault_by_name(text, &arch, &code))
        break;
      if (is_ident_start(text.empty() ? '0' : text[0]) && text.find('$') == text.npos)
        fail_word(at, "unknown fault reason", text, fault_names());
      v.text.clear();
      v.sums.push_back(parse_sum(text, at, want));
      break;
    }
    case Type::ERRNO:
      v.text = text;
      if (text != "OK" && errno_by_name(text) < 0)
        fail_word(at, "unknown errno", text, errno_names());
      break;
    case Type::ERROR: {
      int number;
      v.text = text;
      if (!error_by_name(text, &number))
        fail_word(at, "unknown error", text, error_names());
      break;
    }
    }
    return v;
  }

  // ---- Keys that the table does not fix -------------------------------------------------------------------------

  static Want want_of(const ParamInfo &p) {
    Want w;
    w.type = p.type;
    w.words = p.words;
    w.kinds = p.kinds;
    w.what = p.name;
    w.constants = p.type == Type::BITS;
    return w;
  }

  static Want want_of(const OutputInfo &o) {
    Want w;
    w.type = o.type;
    w.words = o.words;
    w.what = o.name;
    w.kinds = o.type == Type::NAME ? unsigned(KIND_IOMMU) : 0;
    return w;
  }

  static Want want_of(const ims_uapi_field &f) {
    Want w;
    w.type = Type::BITS;
    w.values = f.values;
    w.what = f.name;
    if (f.bytes < 8)
      w.high = (1ull << f.bytes * 8) - 1;
    return w;
  }

  // The unit that an event names first.
  const Arch &arch_of_event(const Event &e) const {
    const Value *name = e.find("NAME");
    auto o = name ? objects_.find(name->text) : objects_.end();
    return o != objects_.end() && o->second.arch ? *o->second.arch : *arches()[0];
  }

  static const RegisterField *register_field(const Arch &arch, std::string_view reg, std::string_view name,
                                             std::vector<std::string> *names) {
    RegisterName r;
    if (!register_by_name(arch, reg, &r) || r.reg < 0 || r.offset)
      return nullptr;
    const RegisterInfo &info = arch.registers[static_cast<size_t>(r.reg)];
    for (const RegisterField &f : info.fields)
      names->push_back(f.name);
    return info.field(name);
  }

  static std::vector<const ims_uapi_struct *> fault_layouts(const Event &e) {
    for (const Arg &a : e.expects)
      if (a.key == "type" && a.value.sums[0][0].name == "DMA_UNRECOV")
        return {&unrecoverable_layout(), &page_request_layout()};
    return {&page_request_layout(), &unrecoverable_layout()};
  }

  bool dynamic_field(const Event &e, std::string_view key, bool output, Want *want,
                     std::vector<std::string> *names) const {
    auto field = [&](const ims_uapi_field *f) {
      if (f)
        *want = want_of(*f);
      return f != nullptr;
    };
    auto merge = [&](const std::vector<std::string> &more) { names->insert(names->end(), more.begin(), more.end()); };
    switch (e.info->id) {
    case EventId::IOMMU:
      if (output)
        return false;
      for (unsigned i = 0; const ims_option *o = arch_->option(i); i++) {
        names->push_back(o->name);
        if (key == o->name) {
          want->low = o->low;
          want->high = o->high;
          want->what = o->name;
          return true;
        }
      }
      return false;
    case EventId::IOCTL: {
      const Value *name = e.find("IOCTL");
      std::vector<std::string> none;
      const ims_uapi_ioctl *row = name ? find_ioctl(dialect_, name->text, &none) : nullptr;
      if (!row)
        return false;
      unsigned offset;
      if (field(ims_uapi_field_of(row, std::string(key).c_str(), &offset)))
        return true;
      merge(field_names(*row));
      if (!output || row->word != IMS_VFIO_IOMMU_GET_INFO)
        return false;
      merge(capability_field_names(dialect_));
      return field(find_capability_field(dialect_, key));
    }
    case EventId::FAULT_READ:
      // Both kinds have flags, each its own: `type` says which, when it is expected before.
      for (const ims_uapi_struct *layout : fault_layouts(e)) {
        merge(field_names(*layout));
        if (output && field(find_field(*layout, key)))
          return true;
      }
      return false;
    case EventId::PAGE_RESPONSE:
      if (output)
        return false;
      merge(field_names(page_response_layout(dialect_)));
      return field(find_field(page_response_layout(dialect_), key));
    case EventId::MMIO_WRITE:
    case EventId::MMIO_READ: {
      if (output != (e.info->id == EventId::MMIO_READ))
        return false;
      const Value *reg = e.find("REGISTER");
      const RegisterField *f = reg ? register_field(arch_of_event(e), reg->text, key, names) : nullptr;
      if (f) {
        want->what = f->name;
        want->high = f->mask();
      }
      return f;
    }
    case EventId::ENTRY: {
      const Value *kind = e.find("KIND");
      const StructureInfo *info = output || !kind ? nullptr : find_structure(kind->text);
      for (const FieldRow &row : info ? *info->rows : std::vector<FieldRow>()) {
        names->push_back(row.name);
        if (key != row.name)
          continue;
        want->what = row.name;
        if (row.width + row.address_lsb < 64)
          want->high = (1ull << (row.width + (row.pointer ? row.address_lsb : 0))) - 1;
        return true;
      }
      return false;
    }
    case EventId::COMMAND: {
      const Value *name = e.find("COMMAND");
      if (output || !name)
        return false;
      for (unsigned i = 0; const ims_smmuv3_command_info *c = ims_smmuv3_commands(i); i++)
        for (unsigned f = 0; name->text == c->name && f < IMS_SMMUV3_COMMAND_FIELD_COUNT; f++) {
          if (!(c->fields >> f & 1) || f == IMS_SMMUV3_COMMAND_OP_FIELD)
            continue;
          const ims_smmuv3_command_place &p = ims_smmuv3_command_places[f];
          names->push_back(p.name);
          if (key != p.name)
            continue;
          want->what = p.name;
          if (p.bits < 50) // wider ones hold addresses
            want->high = (1ull << p.bits) - 1;
          return true;
        }
      return false;
    }
    case EventId::EVENT_READ:
    case EventId::DMA:
    case EventId::OUTCOME:
      if (!output || !arch_of_event(e).event_fields)
        return false;
      for (const ims_smmuv3_event_place &p : ims_smmuv3_event_places) {
        names->push_back(p.name);
        if (key == p.name)
          return true;
      }
      return false;
    case EventId::LET: return !output && is_name(key);
    default: return false;
    }
  }

  // ---- Events ---------------------------------------------------------------------------------------------------

  // KEY=VALUE, the equals sign outside quotes. False: the token has no key.
  static bool split_key(const Token &t, std::string_view *key, std::string_view *value) {
    size_t i = 0;
    while (i < t.text.size() && (is_ident(t.text[i]) || t.text[i] == '.' || t.text[i] == '-'))
      i++;
    if (i == 0 || i >= t.text.size() || t.text[i] != '=')
      return false;
    *key = t.text.substr(0, i);
    *value = t.text.substr(i + 1);
    return true;
  }

  void add_arg(std::vector<Arg> *list, std::string_view key, Value value, Position at) const {
    for (const Arg &a : *list)
      if (a.key == key)
        fail(at, quote(key) + " is given twice");
    list->push_back({std::string(key), std::move(value), at});
  }

  static std::vector<std::string> key_names(const EventInfo &info) {
    std::vector<std::string> names;
    for (const ParamInfo &p : info.params)
      if (p.need != ParamInfo::PLACE)
        names.push_back(p.name);
    return names;
  }

  void parse_argument(const Token &t, size_t *place, Event *e) {
    const EventInfo &info = *e->info;
    const ParamInfo *next =
        *place < info.params.size() && info.params[*place].need == ParamInfo::PLACE ? &info.params[*place] : nullptr;
    if (next) {
      Want want = want_of(*next);
      want.arch = &arch_of_event(*e);
      add_arg(&e->args, next->name, parse_value(t.text, t.at, want), t.at);
      ++*place;
      return;
    }
    std::string_view key, value;
    std::vector<std::string> names = key_names(info);
    if (!split_key(t, &key, &value)) {
      const ParamInfo *p = info.param(t.text);
      if (p && p->type == Type::FLAG) {
        add_arg(&e->args, p->name, parse_value({}, t.at, want_of(*p)), t.at);
        return;
      }
      if (p && p->need != ParamInfo::PLACE)
        fail(t.at, quote(t.text) + " needs a value: " + std::string(t.text) + "=...");
      if (names.empty() && !info.dynamic)
        fail(t.at, "found " + quote(t.text) + ", expected the end of the line, `expect` or `let`");
      std::vector<std::string> known = names;
      known.insert(known.end(), {"expect", "let"});
      fail_word(t.at, std::string("`") + info.name + "` does not know", t.text, known);
    }
    Position value_at = shifted(t.at, key.size() + 1);
    const ParamInfo *p = info.param(key);
    if (p && p->need == ParamInfo::PLACE)
      p = nullptr;
    if (p && p->type == Type::FLAG)
      fail(t.at, quote(key) + " stands alone, without a value");
    if (p) {
      add_arg(&e->args, key, parse_value(value, value_at, want_of(*p)), t.at);
      return;
    }
    Want want;
    if (!dynamic_field(*e, key, false, &want, &names)) {
      if (info.id == EventId::LET)
        fail(t.at, "found " + quote(key) + ", expected a name: letters, digits and _, a letter first");
      if (names.empty())
        fail(t.at, std::string("`") + info.name + "` takes no parameter " + quote(key));
      fail_word(t.at, std::string("`") + info.name + "` has no parameter", key, names);
    }
    add_arg(&e->args, key, parse_value(value, value_at, want), t.at);
  }

  void output_names(const Event &e, std::vector<std::string> *names) const {
    for (const OutputInfo &o : e.info->outputs)
      names->push_back(o.name);
  }

  bool want_output(const Event &e, std::string_view key, Want *want, std::vector<std::string> *names) const {
    if (const OutputInfo *o = e.info->output(key)) {
      *want = want_of(*o);
      return true;
    }
    output_names(e, names);
    return dynamic_field(e, key, true, want, names);
  }

  void parse_expectation(const Token &t, Event *e) {
    std::string_view key, value;
    if (!split_key(t, &key, &value))
      fail(t.at, "found " + quote(t.text) + ", expected OUTPUT=VALUE behind `expect`");
    Want want;
    std::vector<std::string> names;
    if (!want_output(*e, key, &want, &names)) {
      if (names.empty())
        fail(t.at, std::string("`") + e->info->name + "` has no outputs to expect");
      fail_word(t.at, std::string("`") + e->info->name + "` has no output", key, names);
    }
    add_arg(&e->expects, key, parse_value(value, shifted(t.at, key.size() + 1), want), t.at);
  }

  void parse_let(const Token &t, Event *e) {
    std::string_view key, value;
    if (!split_key(t, &key, &value) || !is_name(key))
      fail(t.at, "found " + quote(t.text) + ", expected NAME=OUTPUT behind `let`");
    Want want;
    std::vector<std::string> names;
    Position at = shifted(t.at, key.size() + 1);
    if (!want_output(*e, value, &want, &names)) {
      if (names.empty())
        fail(at, std::string("`") + e->info->name + "` has no outputs to name");
      fail_word(at, std::string("`") + e->info->name + "` has no output", value, names);
    }
    if (want.type != Type::NUMBER && want.type != Type::BITS && want.type != Type::PLACE && want.type != Type::LIST &&
        want.type != Type::SOURCE)
      fail(at, quote(value) + " is no number");
    e->lets.push_back({std::string(key), std::string(value), t.at});
  }

  Event parse_event(const std::vector<Token> &tokens) {
    Event e;
    e.at = tokens[0].at;
    std::vector<std::string> names;
    for (const EventInfo &info : events()) {
      if (tokens[0].text == info.name)
        e.info = &info;
      names.push_back(info.name);
    }
    if (!e.info)
      fail_word(e.at, "unknown event", tokens[0].text, names);
    if (e.info->needs_kernel && !kernel_)
      fail(e.at, std::string("`") + e.info->name + "` needs a kernel, and there is none so far (event `kernel`)");

    if (e.info->id == EventId::IOMMU)
      find_arch_word(tokens);
    enum { ARGS, EXPECT, LETS } part = ARGS;
    size_t place = 0;
    Position last = e.at;
    bool empty = false;
    for (size_t i = 1; i < tokens.size(); i++) {
      const Token &t = tokens[i];
      if (t.text == "expect" || t.text == "let") {
        if (empty)
          fail(t.at, "nothing stands behind `" + std::string(part == EXPECT ? "expect" : "let") + "`");
        part = t.text == "expect" ? EXPECT : LETS;
        empty = true;
        last = t.at;
        continue;
      }
      empty = false;
      if (part == ARGS)
        parse_argument(t, &place, &e);
      else if (part == EXPECT)
        parse_expectation(t, &e);
      else
        parse_let(t, &e);
    }
    if (empty)
      fail(last, "nothing stands behind `" + std::string(part == EXPECT ? "expect" : "let") + "`");
    finish(&e, place);
    return e;
  }

  // Which architecture an `iommu` event has, before its capabilities are looked up.
  void find_arch_word(const std::vector<Token> &tokens) {
    arch_ = arches()[0];
    for (const Token &t : tokens)
      if (t.text.substr(0, 5) == "arch=")
        if (const Arch *a = find_arch(t.text.substr(5)))
          arch_ = a;
  }

  void finish(Event *e, size_t place) {
    const EventInfo &info = *e->info;
    for (size_t i = 0; i < info.params.size(); i++) {
      const ParamInfo &p = info.params[i];
      if (p.need == ParamInfo::PLACE && i >= place)
        fail(e->at, std::string("`") + info.name + "` lacks " + p.name + ": " + p.sentence +
                        " (for example: " + info.example + ")");
      if (p.need == ParamInfo::REQUIRED && !e->find(p.name))
        fail(e->at, std::string("`") + info.name + "` lacks " + p.name + "=: " + p.sentence);
    }
    auto rank = [&](const Arg &a) {
      const ParamInfo *p = info.param(a.key);
      return p ? static_cast<size_t>(p - info.params.data()) : info.params.size();
    };
    std::stable_sort(e->args.begin(), e->args.end(), [&](const Arg &a, const Arg &b) { return rank(a) < rank(b); });

    // What the event brings into the world.
    for (const ParamInfo &p : info.params)
      if (p.type == Type::NEW_NAME) {
        const Value *v = e->find(p.name);
        objects_[v->text] = {p.kinds, v->at, p.kinds == KIND_IOMMU ? arch_ : nullptr};
      }
    switch (info.id) {
    case EventId::KERNEL:
      if (kernel_)
        fail(e->at, "there is a kernel already");
      kernel_ = true;
      if (const Value *v = e->find("dialect"))
        dialect_.dialect = static_cast<ims_dialect>(ims_dialect_by_name(v->text.c_str()));
      if (const Value *v = e->find("iommu_h"))
        dialect_.iommu_h = v->text == "a" ? IMS_IOMMU_H_A : v->text == "b" ? IMS_IOMMU_H_B : IMS_IOMMU_H_AUTO;
      break;
    case EventId::DEVICE: {
      const Arch *arch = objects_[e->find("iommu")->text].arch;
      objects_[e->find("NAME")->text].arch = arch;
      const Value *source = e->find("source");
      const Sum &sum = source->sums[0];
      if (sum.size() == 1 && sum[0].kind == Term::NUMBER && arch && sum[0].number >> arch->source_bits)
        fail(source->at, "found " + hex(sum[0].number) + ", expected a requester id of " +
                             std::to_string(arch->source_bits) + " bits");
      break;
    }
    case EventId::CLOSE:
    case EventId::SVA_UNBIND: objects_.erase(e->find("NAME")->text); break;
    case EventId::LET:
      if (e->args.empty())
        fail(e->at, "nothing stands behind `let`, expected NAME=NUMBER");
      for (const Arg &a : e->args)
        variables_.insert(a.key);
      break;
    case EventId::DMA:
      if (e->find("privileged") && !e->find("pasid"))
        fail(e->at, "a privileged request needs pasid=");
      break;
    default: break;
    }
    for (const Let &l : e->lets)
      variables_.insert(l.name);
  }

  std::string_view text_;
  size_t at_ = 0;
  unsigned line_ = 0;
  Trace trace_;
  std::map<std::string, Object> objects_;
  std::set<std::string> variables_;
  bool kernel_ = false;
  const Arch *arch_ = nullptr; // of the `iommu` event at hand
  Dialect dialect_;
};

} // namespace

Trace parse_trace(std::string_view text, const std::string &name) { return Parser(text, name).run(); }

} // namespace ims
