// SPDX-License-Identifier: Apache-2.0
// The progress line, on a terminal (the far end of a pty) and elsewhere; and SIGINT.
#include "tools/interrupt.h"
#include "tools/progress.h"

#include <cstdlib>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <unistd.h>

using namespace ims;

namespace {

uint64_t now_ms;
uint64_t test_clock() { return now_ms; }

// A terminal, and what has been written to it.
class Terminal {
public:
  explicit Terminal(unsigned short columns = 80) {
    near_ = posix_openpt(O_RDWR | O_NOCTTY);
    grantpt(near_);
    unlockpt(near_);
    far_ = open(ptsname(near_), O_RDWR | O_NOCTTY);
    winsize size = {24, columns, 0, 0};
    ioctl(far_, TIOCSWINSZ, &size);
    setenv("TERM", "xterm", 1);
    now_ms = 5000;
  }
  ~Terminal() {
    close(far_);
    close(near_);
  }
  int fd() const { return far_; }
  std::string written() {
    // The kernel passes it on when it likes, but in order.
    const std::string mark = "<that was all>";
    std::string text;
    char buffer[4096];
    if (write(far_, mark.data(), mark.size()) < 0)
      return "the terminal does not work";
    while (text.size() < mark.size() || text.compare(text.size() - mark.size(), mark.size(), mark) != 0) {
      ssize_t n = read(near_, buffer, sizeof(buffer));
      if (n <= 0)
        return "the terminal does not work";
      text.append(buffer, static_cast<size_t>(n));
    }
    return text.substr(0, text.size() - mark.size());
  }

private:
  int near_, far_;
};

size_t count(const std::string &text, const std::string &what) {
  size_t n = 0;
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size())
    n++;
  return n;
}

const std::string cleared = "\r\x1b[K";

TEST(Progress, ShowsRateAndRemainingTimeAndClearsTheLineAtTheEnd) {
  Terminal terminal;
  {
    Progress progress("DMAs", 10000000, terminal.fd(), test_clock);
    now_ms += 2000;
    progress.at(2500000);
    EXPECT_EQ(terminal.written(), "\r 25 %  2.50 M of 10.0 M DMAs, 1.25 M/s, 6 s left\x1b[K");
  }
  EXPECT_EQ(terminal.written(), cleared);
}

TEST(Progress, IsDrawnAtMostTenTimesASecondAndNotForShortRuns) {
  Terminal terminal;
  Progress progress("DMAs", 100000, terminal.fd(), test_clock);
  for (uint64_t i = 0; i < 500; i++, now_ms++)
    progress.at(i);
  EXPECT_EQ(terminal.written(), "");
  for (uint64_t i = 0; i < 1000; i++, now_ms++)
    progress.at(500 + i);
  size_t drawn = count(terminal.written(), "DMAs");
  EXPECT_LE(drawn, 10u);
  EXPECT_GE(drawn, 9u);
}

TEST(Progress, NothingIsClearedWhereNothingWasDrawn) {
  Terminal terminal;
  { Progress progress("DMAs", 100, terminal.fd(), test_clock); }
  EXPECT_EQ(terminal.written(), "");
}

TEST(Progress, FitsTheTerminal) {
  Terminal terminal(20);
  Progress progress("DMAs", 10000000, terminal.fd(), test_clock);
  now_ms += 2000;
  progress.at(2500000);
  EXPECT_EQ(terminal.written(), "\r 25 %  2.50 M of 10\x1b[K");
}

TEST(Progress, MakesRoomForMessages) {
  Terminal terminal;
  Progress progress("DMAs", 100, terminal.fd(), test_clock);
  now_ms += 1000;
  progress.at(1);
  terminal.written();
  progress.clear();
  EXPECT_EQ(terminal.written(), cleared);
  progress.clear();
  EXPECT_EQ(terminal.written(), "");
}

TEST(Progress, IsSilentWhereThereIsNoTerminal) {
  int pipes[2];
  ASSERT_EQ(pipe2(pipes, O_NONBLOCK), 0);
  now_ms = 0;
  {
    Progress progress("DMAs", 100, pipes[1], test_clock);
    now_ms += 5000;
    progress.at(50);
  }
  char c;
  EXPECT_EQ(read(pipes[0], &c, 1), -1);
  close(pipes[0]);
  close(pipes[1]);
}

TEST(Progress, IsSilentOnADumbTerminal) {
  Terminal terminal;
  setenv("TERM", "dumb", 1);
  {
    Progress progress("DMAs", 100, terminal.fd(), test_clock);
    now_ms += 5000;
    progress.at(50);
  }
  EXPECT_EQ(terminal.written(), "");
}

TEST(ProgressText, HasThreeDigitsThatCount) {
  EXPECT_EQ(progress_text("DMAs", 0, 0, 0), "0 DMAs, 0/s");
  EXPECT_EQ(progress_text("DMAs", 999, 0, 1000), "999 DMAs, 999/s");
  EXPECT_EQ(progress_text("DMAs", 1234, 0, 1000), "1.23 k DMAs, 1.23 k/s");
  EXPECT_EQ(progress_text("DMAs", 12345, 0, 1000), "12.3 k DMAs, 12.3 k/s");
  EXPECT_EQ(progress_text("DMAs", 1005000000, 0, 1000000), "1.00 G DMAs, 1.00 M/s");
  EXPECT_EQ(progress_text("DMAs", 1, 1000, 1000), "  0 %  1 of 1.00 k DMAs, 1/s, 16:39 min left");
  EXPECT_EQ(progress_text("DMAs", 1, 7201, 1000), "  0 %  1 of 7.20 k DMAs, 1/s, 2:00 h left");
  EXPECT_EQ(progress_text("DMAs", 100, 100, 1000), "100 %  100 of 100 DMAs, 100/s");
  EXPECT_EQ(progress_text("DMAs", ~0ull, 1, 1), "100 %  18.4 E of 1 DMAs, 1.00 E/s");
}

// In processes of their own: signals are the whole process's.
TEST(Interrupt, TheFirstIsNotedAndTheSecondKills) {
  EXPECT_EXIT(
      {
        CatchInterrupt guard;
        if (interrupted())
          _exit(1);
        raise(SIGINT);
        _exit(interrupted() ? 42 : 2);
      },
      testing::ExitedWithCode(42), "");
  EXPECT_EXIT(
      {
        CatchInterrupt guard;
        raise(SIGINT);
        raise(SIGINT);
        _exit(3);
      },
      testing::KilledBySignal(SIGINT), "");
}

TEST(Interrupt, IsAsBeforeAfterwards) {
  EXPECT_EXIT(
      {
        { CatchInterrupt guard; }
        raise(SIGINT);
        _exit(3);
      },
      testing::KilledBySignal(SIGINT), "");
  EXPECT_EXIT(
      {
        signal(SIGINT, SIG_IGN);
        CatchInterrupt guard;
        raise(SIGINT);
        _exit(interrupted() ? 3 : 42);
      },
      testing::ExitedWithCode(42), "");
}

} // namespace
