// SPDX-License-Identifier: Apache-2.0
// Events back into their text.
#include "trace/events.h"
#include "trace/names.h"
#include "trace/text.h"

#include <algorithm>

namespace ims {

namespace {

std::string term_text(const Term &t) {
  switch (t.kind) {
  case Term::VARIABLE: return "$" + t.name;
  case Term::ATTRIBUTE: return t.name + "." + t.attribute;
  case Term::WORD: return t.name;
  case Term::NUMBER: break;
  }
  switch (t.form) {
  case Form::HEX: return hex(t.number);
  case Form::K: return std::to_string(t.number >> 10) + "K";
  case Form::M: return std::to_string(t.number >> 20) + "M";
  case Form::G: return std::to_string(t.number >> 30) + "G";
  case Form::T: return std::to_string(t.number >> 40) + "T";
  case Form::BDF: return source_text(static_cast<uint32_t>(t.number));
  case Form::DEC: break;
  }
  return std::to_string(t.number);
}

std::string sums_text(const std::vector<Sum> &sums, const char *separator) {
  std::string text;
  for (const Sum &s : sums) {
    text += text.empty() ? "" : separator;
    for (size_t i = 0; i < s.size(); i++)
      text += (s[i].minus ? "-" : i ? "+" : "") + term_text(s[i]);
  }
  return text;
}

std::string quoted_text(const std::string &s) {
  std::string out = "\"";
  for (char c : s)
    out += c == '"' ? "\\\"" : c == '\\' ? "\\\\" : c == '\n' ? "\\n" : c == '\t' ? "\\t" : std::string(1, c);
  return out + "\"";
}

void append_hex(std::string *out, std::string_view bytes) {
  static const char digits[] = "0123456789abcdef";
  for (char c : bytes) {
    *out += digits[static_cast<unsigned char>(c) >> 4];
    *out += digits[c & 15];
  }
}

std::string bytes_hex(const std::string &bytes) {
  std::string out;
  append_hex(&out, bytes);
  return out;
}

bool same(const Sum &a, const Sum &b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Term &x, const Term &y) {
    return x.kind == y.kind && x.minus == y.minus && x.form == y.form && x.number == y.number && x.name == y.name &&
           x.attribute == y.attribute;
  });
}

bool same(const std::vector<Arg> &a, const std::vector<Arg> &b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Arg &x, const Arg &y) { return x.key == y.key && ims::same(x.value, y.value); });
}

} // namespace

bool same(const Value &a, const Value &b) {
  return a.type == b.type && a.text == b.text && a.pieces == b.pieces &&
         std::equal(a.sums.begin(), a.sums.end(), b.sums.begin(), b.sums.end(),
                    [](const Sum &x, const Sum &y) { return same(x, y); });
}

bool same(const Event &a, const Event &b) {
  return a.info == b.info && same(a.args, b.args) && same(a.expects, b.expects) &&
         std::equal(a.lets.begin(), a.lets.end(), b.lets.begin(), b.lets.end(),
                    [](const Let &x, const Let &y) { return x.name == y.name && x.output == y.output; });
}

std::string print_value(const Value &v) {
  switch (v.type) {
  case Type::NUMBER:
  case Type::SOURCE:
  case Type::LIST: return sums_text(v.sums, ",");
  case Type::BITS: return sums_text(v.sums, "|");
  case Type::PLACE: return (v.text.empty() ? "" : v.text + ":") + sums_text(v.sums, ",");
  case Type::BYTES: return bytes_hex(v.text);
  case Type::TEXT: return quoted_text(v.text);
  case Type::FAULT:
  case Type::CALL: return v.text.empty() ? sums_text(v.sums, ",") : v.text;
  case Type::PIECES: return print_pieces(v.pieces);
  default: return v.text;
  }
}

std::string print_pieces(const std::vector<Piece> &pieces) {
  std::string out;
  for (const Piece &p : pieces) {
    out += (out.empty() ? "" : ",") + hex(p.addr) + ":";
    if (p.fault)
      out += "!" + std::to_string(p.missing);
    else
      append_hex(&out, p.bytes);
  }
  return out;
}

std::string print_event(const Event &e) {
  std::string text = e.info->name;
  for (const Arg &a : e.args) {
    const ParamInfo *p = e.info->param(a.key);
    if (a.value.type == Type::FLAG)
      text += " " + a.key;
    else if (p && p->need == ParamInfo::PLACE)
      text += " " + print_value(a.value);
    else
      text += " " + a.key + "=" + print_value(a.value);
  }
  for (size_t i = 0; i < e.expects.size(); i++)
    text += (i ? " " : " expect ") + e.expects[i].key + "=" + print_value(e.expects[i].value);
  for (size_t i = 0; i < e.lets.size(); i++)
    text += (i ? " " : " let ") + e.lets[i].name + "=" + e.lets[i].output;
  return text;
}

std::string print_trace(const Trace &trace) {
  std::string text = format("iommusim-trace %d\n", static_cast<int>(TRACE_VERSION));
  for (const Event &e : trace.events)
    text += print_event(e) + "\n";
  return text;
}

} // namespace ims
