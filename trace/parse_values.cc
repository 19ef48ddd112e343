// SPDX-License-Identifier: Apache-2.0
// Values by the types of the event table, and what the names in them stand for.
#include "trace/names.h"
#include "trace/nearest.h"
#include "trace/number.h"
#include "trace/parse_internal.h"
#include "trace/text.h"

#include <algorithm>

namespace ims {

void Scope::fail_word(Position at, const std::string &what, std::string_view found,
                      const std::vector<std::string> &names) const {
  std::string near = nearest(found, names);
  fail(at, what + " " + quote(found) + (near.empty() ? "" : "; the nearest is `" + near + "`"));
}

const Scope::Object &Scope::object_of(std::string_view name, Position at, unsigned kinds) const {
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

std::vector<std::string> Values::split_words(const char *words) {
  std::vector<std::string> list(1);
  for (const char *c = words; *c; c++) {
    if (*c == '|')
      list.emplace_back();
    else
      list.back() += *c;
  }
  return list;
}

Term Values::parse_term(std::string_view text, Position at, const Want &want) const {
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
  if (want.type == Type::BITS && want.kinds && is_name(text)) {
    object_of(text, at, want.kinds);
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

std::string Values::expected_number(const Want &want) {
  if (want.type == Type::SOURCE)
    return "a requester (bb:dd.f) or a number";
  return want.type == Type::BITS && (want.values || want.constants)
             ? "a number, a $variable or a name that this field knows"
             : "a number (decimal, 0x hexadecimal, 4K 2M 1G), a $variable or OBJECT.ATTRIBUTE";
}

// A sum: terms joined by + and -.
Sum Values::parse_sum(std::string_view text, Position at, const Want &want) const {
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

std::string Values::parse_text(std::string_view text, Position at) const {
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

std::string Values::parse_bytes(std::string_view text, Position at) const {
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

// ADDRESS:BYTES or ADDRESS:!COUNT, joined by commas.
std::vector<Piece> Values::parse_pieces(std::string_view text, Position at) const {
  std::vector<Piece> list;
  for (size_t i = 0;;) {
    size_t end = std::min(text.find(',', i), text.size());
    std::string_view one = text.substr(i, end - i);
    Position here = shifted(at, i);
    size_t colon = one.find(':');
    Piece p;
    if (colon == one.npos || !parse_number(one.substr(0, colon), &p.addr))
      fail(here, "found " + quote(one) + ", expected ADDRESS:BYTES, or ADDRESS:!COUNT for what could not be reached");
    std::string_view rest = one.substr(colon + 1);
    if (!rest.empty() && rest[0] == '!') {
      p.fault = true;
      if (!parse_number(rest.substr(1), &p.missing))
        fail(shifted(here, colon + 2), "found " + quote(rest.substr(1)) + ", expected a number of bytes");
    } else {
      p.bytes = parse_bytes(rest, shifted(here, colon + 1));
    }
    list.push_back(std::move(p));
    if (end == text.size())
      return list;
    i = end + 1;
  }
}

void Values::check_rights(std::string_view text, Position at) const {
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

void Values::parse_list(std::string_view text, Position at, char separator, const Want &want, Value *v) const {
  size_t i = 0;
  for (;;) {
    size_t end = text.find(separator, i);
    v->sums.push_back(parse_sum(text.substr(i, end == text.npos ? text.npos : end - i), shifted(at, i), want));
    if (end == text.npos)
      return;
    i = end + 1;
  }
}

Value Values::parse_value(std::string_view text, Position at, const Want &want) const {
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
      fail(at, "found " + quote(text) +
                   ", expected a path: /dev/iommu, /dev/vfio/vfio, /dev/vfio/GROUP or /dev/vfio/devices/vfioN");
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
  case Type::CALL: {
    uint64_t word;
    if (is_call_word(text) || command_by_name(text, &word)) {
      v.text = text;
    } else if (is_ident_start(text.empty() ? '0' : text[0])) {
      std::vector<std::string> names = {"read", "write", "mmap", "munmap"};
      for (unsigned i = 0; const ims_uapi_ioctl *row = ims_uapi_row(i); i++)
        names.push_back(row->name);
      fail_word(at, "unknown call", text, names);
    } else {
      Want w = want;
      w.high = 0xffffffff;
      v.sums.push_back(parse_sum(text, at, w));
    }
    break;
  }
  case Type::PIECES: v.pieces = parse_pieces(text, at); break;
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

} // namespace ims
