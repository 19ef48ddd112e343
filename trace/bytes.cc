// SPDX-License-Identifier: Apache-2.0
#include "trace/bytes.h"
#include "trace/event.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace ims {

size_t TextSource::read(char *to, size_t most) {
  size_t n = std::min(most, text_.size() - at_);
  if (n)
    std::memcpy(to, text_.data() + at_, n);
  at_ += n;
  return n;
}

bool TextSource::seek(uint64_t offset) {
  at_ = static_cast<size_t>(std::min<uint64_t>(offset, text_.size()));
  return true;
}

bool TextSource::size(uint64_t *bytes) {
  *bytes = text_.size();
  return true;
}

namespace {

class FileSource : public ByteSource {
public:
  FileSource(int fd, bool own, const std::string &path) : fd_(fd), own_(own), path_(path) {}
  ~FileSource() override {
    if (own_)
      ::close(fd_);
  }
  size_t read(char *to, size_t most) override {
    for (;;) {
      ssize_t n = ::read(fd_, to, most);
      if (n >= 0)
        return static_cast<size_t>(n);
      if (errno != EINTR)
        throw TraceError(path_ + ": cannot be read: " + std::strerror(errno));
    }
  }
  bool seek(uint64_t offset) override {
    return offset <= INT64_MAX && ::lseek(fd_, static_cast<off_t>(offset), SEEK_SET) >= 0;
  }
  bool size(uint64_t *bytes) override {
    struct stat st = {};
    if (fstat(fd_, &st) != 0 || !S_ISREG(st.st_mode))
      return false;
    *bytes = static_cast<uint64_t>(st.st_size);
    return true;
  }

private:
  int fd_;
  bool own_;
  std::string path_;
};

} // namespace

std::unique_ptr<ByteSource> open_bytes(const std::string &path) {
  if (path == "-")
    return std::make_unique<FileSource>(STDIN_FILENO, false, "standard input");
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    throw TraceError(path + ": cannot be read: " + std::strerror(errno));
  return std::make_unique<FileSource>(fd, true, path);
}

} // namespace ims
