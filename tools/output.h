// SPDX-License-Identifier: Apache-2.0
// Where results go: standard output, or a file that appears whole or not at all.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

namespace ims {

class Output {
public:
  // Empty: standard output. Else a temporary file beside `path`, which commit() renames; without commit() it goes away.
  // What exists and is no regular file (/dev/null, a pipe) is written to directly. Throws BadInput.
  explicit Output(const std::string &path);
  ~Output();
  Output(const Output &) = delete;
  Output &operator=(const Output &) = delete;

  void write(std::string_view text); // throws BadInput when the file cannot take it
  void commit();                     // flushes, and renames the file into place; throws BadInput

private:
  [[noreturn]] void give_up();
  std::string path_, temporary_;
  FILE *file_;
};

} // namespace ims
