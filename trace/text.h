// SPDX-License-Identifier: Apache-2.0
// Small pieces of text; hex() and format() stand in names.h.
#pragma once

#include "trace/names.h"

namespace ims {

std::string size_text(unsigned shift);    // 2^shift bytes: "4 KB", "2 MB", "1 GB"
std::string source_text(uint32_t source); // "00:03.0" for ids of 16 bits, else hexadecimal

} // namespace ims
