// SPDX-License-Identifier: Apache-2.0
// The known word nearest to one that a person typed: commands, options, keys, registers, columns, event fields.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ims {

// Edits (insert, delete, replace, swap of neighbours) from one word to the other; letters of either case are equal.
unsigned edit_distance(std::string_view a, std::string_view b);

// The name with the fewest edits from `word`, the first of them when several are equal; a name that begins with the word
// counts as one edit away. Empty when there are no names.
std::string nearest(std::string_view word, const std::vector<std::string> &names);

} // namespace ims
