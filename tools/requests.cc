// SPDX-License-Identifier: Apache-2.0
// Requests and answers as TSV.
#include "tools/requests.h"
#include "tools/error.h"
#include "trace/arch.h"
#include "trace/nearest.h"
#include "trace/number.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

namespace ims {

namespace {

struct Column {
  const char *name;
  bool required;
};
const Column columns[] = {
#define IMS_X(name, required) {#name, required},
    IMS_REQUEST_COLUMNS(IMS_X)
#undef IMS_X
};
enum {
#define IMS_X(name, required) COLUMN_##name,
  IMS_REQUEST_COLUMNS(IMS_X)
#undef IMS_X
      COLUMNS
};

constexpr size_t longest_line = 4096;

const char *const types[] = {"untranslated", "translation-request", "translated"};

} // namespace

std::string parse_source_field(std::string_view text, unsigned source_bits, ims_request *r) {
  uint64_t value;
  if (!parse_source(text, &value))
    return "bb:dd.f, ssss:bb:dd.f or a number";
  if (value >> source_bits)
    return "an id of " + std::to_string(source_bits) + " bits";
  r->source = static_cast<uint32_t>(value);
  return {};
}

std::string parse_pasid_field(std::string_view text, ims_request *r) {
  uint64_t value = 0;
  r->has_pasid = text != "-";
  if (r->has_pasid && !parse_number(text, &value))
    return "a number or -";
  if (value >> 20)
    return "a PASID of 20 bits";
  r->pasid = static_cast<uint32_t>(value);
  return {};
}

std::string parse_access_field(std::string_view text, ims_request *r) {
  static const char wanted[] = "r, w or x, with p behind it when privileged";
  if (text.empty() || text.size() > 2 || (text.size() == 2 && text[1] != 'p'))
    return wanted;
  switch (text[0]) {
  case 'r': r->access = IMS_ACC_R; break;
  case 'w': r->access = IMS_ACC_W; break;
  case 'x': r->access = IMS_ACC_R | IMS_ACC_X; break;
  default: return wanted;
  }
  if (text.size() == 2)
    r->access |= IMS_ACC_PRIV;
  return {};
}

std::string parse_iova_field(std::string_view text, ims_request *r) {
  return parse_number(text, &r->iova) ? "" : "an address of up to 64 bits";
}

std::string parse_type_field(std::string_view text, ims_request *r) {
  for (unsigned i = 0; i < 3; i++)
    if (text == types[i]) {
      r->type = static_cast<uint8_t>(i);
      return {};
    }
  return "untranslated, translation-request or translated";
}

std::string access_text(unsigned access) {
  std::string text = access & IMS_ACC_X ? "x" : "";
  if (text.empty())
    text = std::string(access & IMS_ACC_R ? "r" : "") + (access & IMS_ACC_W ? "w" : "");
  return access & IMS_ACC_PRIV ? text + "p" : text;
}

const char *type_text(unsigned type) { return type < 3 ? types[type] : "?"; }

RequestReader::RequestReader(const std::string &path, unsigned source_bits)
    : name_(path == "-" ? "standard input" : path), block_(1 << 16), source_bits_(source_bits) {
  file_ = path == "-" ? stdin : std::fopen(path.c_str(), "rb");
  if (!file_)
    fail("%s: cannot be read: %s", path.c_str(), std::strerror(errno));
  try {
    read_header();
  } catch (...) {
    if (file_ != stdin)
      std::fclose(file_);
    throw;
  }
}

RequestReader::~RequestReader() {
  if (file_ != stdin)
    std::fclose(file_);
}

void RequestReader::read_header() {
  if (!read_line())
    fail("%s:1: found the end of the file, expected a header line (source, pasid, access, iova)", name_.c_str());
  header_ = line_;
  unsigned seen[COLUMNS] = {};
  std::vector<std::string> names;
  for (const Column &c : columns)
    names.push_back(c.name);
  for (size_t at = 0; at <= header_.size();) {
    size_t end = std::min(header_.find('\t', at), header_.size());
    std::string word = header_.substr(at, end - at);
    size_t which = static_cast<size_t>(std::find(names.begin(), names.end(), word) - names.begin());
    if (which == COLUMNS)
      fail_line("unknown column " + quoted(word) + "; the nearest is `" + nearest(word, names) + "`");
    if (seen[which]++)
      fail_line("column `" + word + "`: found a second time, expected once");
    columns_.push_back(static_cast<unsigned>(which));
    at = end + 1;
  }
  for (unsigned i = 0; i < COLUMNS; i++)
    if (columns[i].required && !seen[i])
      fail_line("column `" + names[i] + "`: not found, expected source, pasid, access, iova and perhaps type");
}

void RequestReader::fail_line(const std::string &why) const { fail("%s:%lu: %s", name_.c_str(), number_, why.c_str()); }

bool RequestReader::fill_block() {
  block_at_ = 0;
  block_end_ = std::fread(block_.data(), 1, block_.size(), file_);
  if (std::ferror(file_))
    fail("%s: cannot be read: %s", name_.c_str(), std::strerror(errno));
  return block_end_ != 0;
}

bool RequestReader::read_line() {
  line_.clear();
  bool any = false;
  for (;;) {
    if (block_at_ == block_end_ && !fill_block())
      break;
    if (!any) {
      any = true;
      number_++;
    }
    const char *from = block_.data() + block_at_;
    size_t left = block_end_ - block_at_;
    const void *end = std::memchr(from, '\n', left);
    size_t n = end ? static_cast<size_t>(static_cast<const char *>(end) - from) : left;
    line_.append(from, n);
    if (line_.size() > longest_line)
      fail_line("found a line of more than " + std::to_string(longest_line) + " bytes, expected a few fields");
    block_at_ += n;
    if (end) {
      block_at_++;
      break;
    }
  }
  if (!line_.empty() && line_.back() == '\r')
    line_.pop_back();
  return any;
}

bool RequestReader::next(ims_request *r) {
  if (!read_line())
    return false;
  if (line_.empty()) {
    // Lines that are empty may end the file, but not stand between requests: answers keep the place of their request.
    unsigned long empty = number_;
    while (read_line())
      if (!line_.empty())
        fail("%s:%lu: found an empty line, expected %zu fields", name_.c_str(), empty, columns_.size());
    return false;
  }
  *r = ims_request();
  std::string_view rest = line_;
  size_t fields = 1 + static_cast<size_t>(std::count(rest.begin(), rest.end(), '\t'));
  if (fields != columns_.size())
    fail_line("found " + std::to_string(fields) + " fields, expected " + std::to_string(columns_.size()) +
              " as in the header, a tab between each");
  for (unsigned column : columns_) {
    size_t end = std::min(rest.find('\t'), rest.size());
    std::string_view text = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    std::string wanted;
    switch (column) {
    case COLUMN_source: wanted = parse_source_field(text, source_bits_, r); break;
    case COLUMN_pasid: wanted = parse_pasid_field(text, r); break;
    case COLUMN_access: wanted = parse_access_field(text, r); break;
    case COLUMN_iova: wanted = parse_iova_field(text, r); break;
    default: wanted = parse_type_field(text, r); break;
    }
    if (!wanted.empty())
      fail_line(std::string(columns[column].name) + ": found " + quoted(text) + ", expected " + wanted);
  }
  return true;
}

const char answer_columns[] = "\tstatus\toutput\tpage\tfault\trecord\trefs";

static void append_number(std::string *out, uint64_t value, int base) {
  char digits[24];
  auto [end, error] = std::to_chars(digits, digits + sizeof digits, value, base);
  (void)error; // 24 characters hold any
  if (base == 16)
    *out += "0x";
  out->append(digits, end);
}

static void append_record(std::string *out, const ims_result &r) {
  if (!r.recorded || !r.record_words)
    *out += '-';
  else
    append_record_words(out, r);
}

std::string record_text(const ims_result &r) {
  std::string text;
  append_record(&text, r);
  return text;
}

void append_answer(std::string *out, const ims_result &r) {
  static const char *const names[] = {"ok", "bypass", "abort", "fault", "fault"}; // a stall is a recorded fault
  bool ok = r.status == IMS_STATUS_OK;
  *out += '\t';
  *out += names[r.status % 5];
  *out += '\t';
  if (ok || r.status == IMS_STATUS_BYPASS)
    append_number(out, r.output, 16);
  else
    *out += '-';
  *out += '\t';
  if (ok && r.shift < 64)
    append_number(out, 1ull << r.shift, 10);
  else
    *out += '-';
  *out += '\t';
  if (r.status == IMS_STATUS_FAULT || r.status == IMS_STATUS_STALL)
    append_number(out, r.fault, 16);
  else
    *out += '-';
  *out += '\t';
  append_record(out, r);
  *out += '\t';
  append_number(out, r.refs, 10);
}

} // namespace ims
