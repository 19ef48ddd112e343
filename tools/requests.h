// SPDX-License-Identifier: Apache-2.0
// Lists of translation requests, and their answers: TSV as formats.md has it, line by line, so that any number of them
// takes no memory.
#pragma once

#include "iommu/iommu.h"
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace ims {

// The columns of a request. X(name, required)
// clang-format off
#define IMS_REQUEST_COLUMNS(X) \
  X(source, true)              \
  X(pasid,  true)              \
  X(access, true)              \
  X(iova,   true)              \
  X(type,   false)
// clang-format on

// Words of one field. Each returns what was expected instead, or an empty string. `source_bits`: width of a requester id.
std::string parse_source_field(std::string_view text, unsigned source_bits, ims_request *r);
std::string parse_pasid_field(std::string_view text, ims_request *r);
std::string parse_access_field(std::string_view text, ims_request *r);
std::string parse_iova_field(std::string_view text, ims_request *r);
std::string parse_type_field(std::string_view text, ims_request *r);

// The words back: "r", "wp", "translation-request".
std::string access_text(unsigned access);
const char *type_text(unsigned type);

class RequestReader {
public:
  // `path` "-" reads standard input. Reads the header. Throws BadInput.
  RequestReader(const std::string &path, unsigned source_bits);
  ~RequestReader();
  RequestReader(const RequestReader &) = delete;
  RequestReader &operator=(const RequestReader &) = delete;

  // The header as it stands there, and the line of the request read last; valid until the next call.
  const std::string &header() const { return header_; }
  std::string_view line() const { return line_; }

  // The next request. False at the end. Throws BadInput with path:line.
  bool next(ims_request *r);

private:
  void read_header();
  bool fill_block();
  bool read_line();
  [[noreturn]] void fail_line(const std::string &why) const;

  std::string name_, header_, line_;
  FILE *file_;
  std::vector<char> block_;             // of the file
  size_t block_at_ = 0, block_end_ = 0; // what of it is still to be read
  unsigned source_bits_;
  unsigned long number_ = 0;
  std::vector<unsigned> columns_; // which column stands at each place
};

// Appends status, output, page, fault, record, refs, each behind a tab.
void append_answer(std::string *out, const ims_result &r);

// The names of these columns, likewise.
extern const char answer_columns[];

// The record as in answers: words joined by ':', or '-'.
std::string record_text(const ims_result &r);

} // namespace ims
