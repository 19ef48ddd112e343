// SPDX-License-Identifier: Apache-2.0
// Reading whole small files.
#pragma once

#include <string>

namespace ims {

// The bytes of a file. Throws BadInput: cannot be read, a directory, or larger than `most` bytes.
std::string read_file(const std::string &path, size_t most);

} // namespace ims
