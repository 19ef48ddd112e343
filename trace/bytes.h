// SPDX-License-Identifier: Apache-2.0
// Where the bytes of a trace come from, a block at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace ims {

class ByteSource {
public:
  virtual ~ByteSource() = default;
  // Up to `most` bytes; 0 is the end. Throws TraceError when they cannot be read.
  virtual size_t read(char *to, size_t most) = 0;
  // Goes to a byte counted from the start. False: it cannot (a pipe).
  virtual bool seek(uint64_t offset) = 0;
  // Bytes in all; false: nobody knows.
  virtual bool size(uint64_t *bytes) = 0;
};

class TextSource : public ByteSource {
public:
  explicit TextSource(std::string_view text) : text_(text) {} // not owned
  size_t read(char *to, size_t most) override;
  bool seek(uint64_t offset) override;
  bool size(uint64_t *bytes) override;

private:
  std::string_view text_;
  size_t at_ = 0;
};

// A file; "-" is standard input. Throws TraceError: it cannot be opened.
std::unique_ptr<ByteSource> open_bytes(const std::string &path);

} // namespace ims
