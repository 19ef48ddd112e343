// SPDX-License-Identifier: Apache-2.0
#include "tools/progress.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string_view>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utility>

namespace ims {

namespace {

enum : uint64_t { QUIET_MS = 500, BETWEEN_MS = 100 };

// Three digits that count: "987", "1.25 k", "42.0 M".
std::string amount(uint64_t n) {
  static const char *const scales[] = {"", " k", " M", " G", " T", " P", " E"};
  unsigned scale = 0;
  uint64_t unit = 1;
  while (scale + 1 < std::size(scales) && n / unit >= 1000) {
    unit *= 1000;
    scale++;
  }
  uint64_t whole = n / unit;
  std::string text = std::to_string(whole);
  if (scale && whole < 100) {
    std::string decimals = std::to_string(1000 + n % unit / (unit / 1000)).substr(1);
    text += "." + decimals.substr(0, whole < 10 ? 2 : 1);
  }
  return text + scales[scale];
}

std::string duration(uint64_t s) {
  auto two = [](uint64_t n) { return (n < 10 ? "0" : "") + std::to_string(n); };
  if (s < 60)
    return std::to_string(s) + " s";
  if (s < 3600)
    return std::to_string(s / 60) + ":" + two(s % 60) + " min";
  return std::to_string(s / 3600) + ":" + two(s / 60 % 60) + " h";
}

bool is_screen(int fd) {
  const char *term = std::getenv("TERM");
  return isatty(fd) && !(term && std::string_view(term) == "dumb");
}

// A terminal that is gone is no reason to end the run.
void put(int fd, const std::string &text) {
  if (write(fd, text.data(), text.size()) < 0)
    return;
}

} // namespace

uint64_t Progress::host_clock() {
  using namespace std::chrono;
  return static_cast<uint64_t>(duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count());
}

Progress::Progress(std::string what, uint64_t total, int fd, Clock clock)
    : what_(std::move(what)), total_(total), fd_(fd), clock_(clock), shows_(is_screen(fd)) {
  if (shows_) {
    start_ = clock_();
    next_ = start_ + QUIET_MS;
  }
}

Progress::~Progress() { clear(); }

void Progress::clear() {
  if (drawn_)
    put(fd_, "\r\x1b[K");
  drawn_ = false;
}

void Progress::show(uint64_t done) {
  uint64_t now = clock_();
  if (now < next_)
    return;
  next_ = now + BETWEEN_MS;
  std::string text = progress_text(what_, done, total_, now - start_);
  winsize size = {};
  if (ioctl(fd_, TIOCGWINSZ, &size) == 0 && size.ws_col && text.size() >= size.ws_col)
    text.resize(size.ws_col - 1u); // a line that wraps could not be overwritten
  put(fd_, "\r" + text + "\x1b[K");
  drawn_ = true;
}

std::string progress_text(const std::string &what, uint64_t done, uint64_t total, uint64_t ms) {
  std::string text;
  // Of an estimate for a person: doubles are good enough here.
  double rate = ms ? std::min(1e18, static_cast<double>(done) * 1000 / static_cast<double>(ms)) : 0;
  if (total) {
    double percent = std::min(100.0, static_cast<double>(done) * 100 / static_cast<double>(total));
    std::string number = std::to_string(static_cast<unsigned>(percent));
    text = std::string(3 - number.size(), ' ') + number + " %  " + amount(done) + " of " + amount(total);
  } else {
    text = amount(done);
  }
  text += " " + what + ", " + amount(static_cast<uint64_t>(rate)) + "/s";
  if (total > done && rate > 0) {
    double left = static_cast<double>(total - done) / rate;
    text += ", " + (left < 360000000 ? duration(static_cast<uint64_t>(left + 0.999)) : "long") + " left";
  }
  return text;
}

} // namespace ims
