// SPDX-License-Identifier: Apache-2.0
// Lines and words of a trace.
#include "trace/parse_internal.h"
#include "trace/text.h"

#include <algorithm>

namespace ims {

bool is_name(std::string_view text) {
  return !text.empty() && is_ident_start(text[0]) && std::all_of(text.begin(), text.end(), is_ident);
}

namespace {

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

} // namespace

bool Lines::physical_line(std::string_view *line) {
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

void Lines::first_line() {
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
void Lines::split(std::string_view line, std::vector<Token> *tokens) const {
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
bool Lines::logical_line(std::vector<Token> *tokens) {
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

} // namespace ims
