// SPDX-License-Identifier: Apache-2.0
// Nearest known word: the restricted Damerau-Levenshtein distance, in three rows.
#include "trace/nearest.h"

#include <algorithm>
#include <cctype>

namespace ims {

static char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

static bool begins_with(std::string_view name, std::string_view word) {
  return !word.empty() && word.size() < name.size() &&
         std::equal(word.begin(), word.end(), name.begin(), [](char a, char b) { return lower(a) == lower(b); });
}

unsigned edit_distance(std::string_view a, std::string_view b) {
  std::vector<unsigned> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); j++)
    row[j] = static_cast<unsigned>(j);
  for (size_t i = 1; i <= a.size(); i++) {
    before.swap(last);
    last.swap(row);
    row[0] = static_cast<unsigned>(i);
    for (size_t j = 1; j <= b.size(); j++) {
      bool same = lower(a[i - 1]) == lower(b[j - 1]);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (same ? 0 : 1)});
      if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]))
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row[b.size()];
}

std::string nearest(std::string_view word, const std::vector<std::string> &names) {
  constexpr size_t longest = 256; // nobody means a known name with more than this, and the distance is quadratic
  const std::string *best = nullptr;
  unsigned fewest = 0;
  word = word.substr(0, longest);
  for (const std::string &name : names) {
    unsigned edits = begins_with(name, word) ? 1 : edit_distance(word, name);
    if (!best || edits < fewest) {
      best = &name;
      fewest = edits;
    }
  }
  return best ? *best : std::string();
}

} // namespace ims
