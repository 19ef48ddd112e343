// SPDX-License-Identifier: Apache-2.0
// Output files: temporary file, then rename.
#include "tools/output.h"
#include "tools/error.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sys/stat.h>
#include <unistd.h>

namespace ims {

Output::Output(const std::string &path) : path_(path), file_(stdout) {
  if (path.empty()) {
    path_ = "standard output";
    return;
  }
  struct stat st = {};
  if (stat(path.c_str(), &st) == 0 && !S_ISREG(st.st_mode)) {
    if (S_ISDIR(st.st_mode))
      fail("%s: found a directory, expected a file to write to", path.c_str());
    file_ = std::fopen(path.c_str(), "w");
  } else {
    temporary_ = path + ".XXXXXX";
    int fd = mkstemp(temporary_.data());
    if (fd < 0) {
      temporary_.clear();
      fail("%s: cannot be written: %s", path.c_str(), std::strerror(errno));
    }
    mode_t mask = umask(0);
    umask(mask);
    fchmod(fd, 0666 & ~mask);
    file_ = fdopen(fd, "w");
  }
  if (!file_)
    give_up();
}

Output::~Output() {
  if (file_ && file_ != stdout)
    std::fclose(file_);
  if (!temporary_.empty())
    unlink(temporary_.c_str());
}

void Output::give_up() { fail("%s: cannot be written: %s", path_.c_str(), std::strerror(errno)); }

void Output::write(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), file_) != text.size())
    give_up();
}

void Output::commit() {
  if (std::fflush(file_) != 0)
    give_up();
  if (file_ == stdout)
    return;
  FILE *file = file_;
  file_ = nullptr;
  if (std::fclose(file) != 0)
    give_up();
  if (!temporary_.empty() && std::rename(temporary_.c_str(), path_.c_str()) != 0)
    give_up();
  temporary_.clear();
}

} // namespace ims
