// SPDX-License-Identifier: Apache-2.0
// Files as streams: where traces and logs go that are too long to be kept.
#pragma once

#include "tools/output.h"
#include "trace/record.h"

#include <streambuf>

namespace ims {

class OutputSink : public RecordSink {
public:
  explicit OutputSink(const std::string &path) : out_(path) {}
  bool write(const void *bytes, size_t size) override {
    out_.write({static_cast<const char *>(bytes), size}); // throws
    return true;
  }
  void commit() { out_.commit(); }

private:
  Output out_;
};

class OutputBuffer : public std::streambuf {
public:
  explicit OutputBuffer(const std::string &path) : out_(path) {}
  void commit() { out_.commit(); }

protected:
  std::streamsize xsputn(const char *text, std::streamsize size) override {
    out_.write({text, static_cast<size_t>(size)});
    return size;
  }
  int_type overflow(int_type c) override {
    char text = traits_type::to_char_type(c);
    if (!traits_type::eq_int_type(c, traits_type::eof()))
      out_.write({&text, 1});
    return traits_type::not_eof(c);
  }

private:
  Output out_;
};

} // namespace ims
