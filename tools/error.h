// SPDX-License-Identifier: Apache-2.0
// Bad input and bad command lines: thrown where they are found, printed once by main(), exit status 2.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace ims {

// What statuses the program ends with (formats.md).
enum ExitStatus { EXIT_HELD = 0, EXIT_EXPECTATION = 1, EXIT_INPUT = 2 };

// The message names the file, line or offset, the field, what was found and what was expected.
class BadInput : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

// Throws BadInput with a message put together as printf does.
[[noreturn]] void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

// A word of the input as it may stand in a message: in quotes, control characters escaped, long ones cut.
std::string quoted(std::string_view word);

} // namespace ims
