// SPDX-License-Identifier: Apache-2.0
// Reading whole small files.
#include "tools/file.h"
#include "tools/error.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace ims {

std::string read_file(const std::string &path, size_t most) {
  FILE *file = std::fopen(path.c_str(), "rb");
  if (!file)
    fail("%s: cannot be read: %s", path.c_str(), std::strerror(errno));
  std::string text;
  char block[65536];
  size_t n;
  while ((n = std::fread(block, 1, sizeof block, file)) > 0 && text.size() <= most)
    text.append(block, n);
  int error = std::ferror(file) ? errno : 0;
  std::fclose(file);
  if (error)
    fail("%s: cannot be read: %s", path.c_str(), std::strerror(error));
  if (text.size() > most)
    fail("%s: file size: found more than %zu bytes, expected a text of a few lines", path.c_str(), most);
  return text;
}

} // namespace ims
