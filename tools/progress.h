// SPDX-License-Identifier: Apache-2.0
// How far a long run is: one line on a terminal, with rate and remaining time, overwritten up to ten times a second and
// cleared at the end. Nothing where standard error is no terminal. The only reader of the host's clock; none of it gets
// into results.
#pragma once

#include <cstdint>
#include <string>

namespace ims {

class Progress {
public:
  using Clock = uint64_t (*)(); // milliseconds that only grow
  static uint64_t host_clock();

  // `total` of `what` ("DMAs") are to be done; 0: nobody knows. Nothing is shown during the first half second.
  Progress(std::string what, uint64_t total, int fd = 2, Clock clock = host_clock);
  ~Progress(); // clears
  Progress(const Progress &) = delete;
  Progress &operator=(const Progress &) = delete;

  // `done` so far. Reads the clock: to be called every thousand rather than every one of what takes nanoseconds.
  void at(uint64_t done) {
    if (shows_)
      show(done);
  }
  void clear(); // before something else is written to the terminal

private:
  void show(uint64_t done);

  std::string what_;
  uint64_t total_, start_ = 0, next_ = 0;
  int fd_;
  Clock clock_;
  bool shows_, drawn_ = false;
};

// The line itself: " 42 %  4.20 M of 10.0 M DMAs, 1.25 M/s, 5 s left", after `ms` of host time.
std::string progress_text(const std::string &what, uint64_t done, uint64_t total, uint64_t ms);

} // namespace ims
