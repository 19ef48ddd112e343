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

// More of the text behind what is left of the block. False: there is none.
bool Lines::fill() {
  if (end_)
    return false;
  block_.erase(0, at_);
  at_ = 0;
  size_t old = block_.size();
  constexpr size_t more = 64 << 10;
  block_.resize(old + more);
  size_t n = bytes_->read(&block_[old], more);
  block_.resize(old + n);
  end_ = n == 0;
  return n != 0;
}

bool Lines::at_end() { return at_ >= block_.size() && !fill(); }

bool Lines::physical_line(std::string_view *line) {
  if (at_end())
    return false;
  size_t end, from = 0; // from the line's start on
  while ((end = block_.find('\n', at_ + from)) == block_.npos) {
    from = block_.size() - at_;
    if (from + source_.size() > LONGEST)
      fail({line_ + 1, 1}, "a line of more than 64 MB");
    if (!fill())
      break;
  }
  end = end == block_.npos ? block_.size() : end + 1;
  std::string_view whole(&block_[at_], end - at_);
  source_ += whole;
  at_ = end;
  if (whole.back() == '\n')
    whole.remove_suffix(1);
  if (!whole.empty() && whole.back() == '\r')
    whole.remove_suffix(1);
  lines_.emplace_back(whole);
  *line = lines_.back();
  line_++;
  return true;
}

void Lines::first_line() {
  std::string_view line;
  const char *expected = "expected `iommusim-trace 1`";
  std::vector<Token> tokens;
  source_.clear();
  lines_.clear();
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
  source_.clear();
  lines_.clear();
  first_ = line_ + 1;
  std::string_view line;
  bool any = false;
  while (physical_line(&line)) {
    any = true;
    split(line, tokens);
    if (tokens->empty() || tokens->back().text != "\\")
      return true;
    Position at = tokens->back().at;
    tokens->pop_back();
    if (at_end())
      fail(at, "a line is to follow behind `\\`, but the trace ends");
  }
  return any;
}

} // namespace ims
