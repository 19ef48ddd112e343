// SPDX-License-Identifier: Apache-2.0
#define SC_INCLUDE_DYNAMIC_PROCESSES // sc_spawn
#include "model/agenda.h"
#include "model/simulation.h"

#include <gtest/gtest.h>
#include <random>
#include <string>
#include <vector>

using namespace ims::model;

namespace {

struct Log {
  Agenda &agenda = Agenda::of_simulation();
  std::vector<std::pair<Ticks, uint64_t>> seen;
  void note(uint64_t what) { seen.emplace_back(agenda.now(), what); }

  // Puts itself on the agenda again, `step` later, until 1 us.
  Ticks step = 0;
  void again(uint64_t what) {
    note(what);
    if (agenda.now() + step <= 1 * US)
      agenda.at<&Log::again>(agenda.now() + step, this, what);
  }
  uint64_t skipped = 0;
  void skip(uint64_t what) {
    note(what);
    while (agenda.now() + step <= 1 * US && agenda.skip_to(agenda.now() + step)) {
      skipped++;
      note(what);
    }
    if (agenda.now() + step <= 1 * US)
      agenda.at<&Log::skip>(agenda.now() + step, this, what);
  }
};

using Seen = std::vector<std::pair<Ticks, uint64_t>>;

bool ordered(const Seen &s) {
  for (size_t i = 1; i < s.size(); i++)
    if (s[i].first < s[i - 1].first)
      return false;
  return true;
}

} // namespace

TEST(Agenda, RunsByTimeAndAtOneTimeInTheOrderOfPutting) {
  Simulation sim;
  Log log;
  log.agenda.at<&Log::note>(5 * NS, &log, 1);
  log.agenda.at<&Log::note>(3 * NS, &log, 2);
  log.agenda.at<&Log::note>(5 * NS, &log, 3);
  log.agenda.at<&Log::note>(5 * NS, &log, 4);
  log.agenda.at<&Log::note>(0, &log, 5);
  sim.run();
  EXPECT_EQ(log.seen, (Seen{{0, 5}, {3 * NS, 2}, {5 * NS, 1}, {5 * NS, 3}, {5 * NS, 4}}));
  EXPECT_TRUE(log.agenda.idle());
  EXPECT_EQ(log.agenda.actions(), 5u);
}

TEST(Agenda, AnActionMayPutOneAtItsOwnTime) {
  Simulation sim;
  struct Two : Log {
    void first(uint64_t) {
      agenda.at<&Log::note>(agenda.now(), static_cast<Log *>(this), 3);
      note(1);
    }
  } log;
  log.agenda.at<&Two::first>(7, &log);
  log.agenda.at<&Log::note>(7, static_cast<Log *>(&log), 2);
  sim.run();
  EXPECT_EQ(log.seen, (Seen{{7, 1}, {7, 2}, {7, 3}}));
}

TEST(Agenda, TheEndOfATimeIsBehindWhatIsPutThereLater) {
  Simulation sim;
  struct Two : Log {
    void first(uint64_t) {
      note(1);
      agenda.at<&Log::note>(agenda.now(), static_cast<Log *>(this), 2);
    }
  } log;
  log.agenda.at_end_of<&Log::note>(7, static_cast<Log *>(&log), 3);
  log.agenda.at<&Two::first>(7, &log);
  log.agenda.at<&Log::note>(8, static_cast<Log *>(&log), 4);
  sim.run();
  EXPECT_EQ(log.seen, (Seen{{7, 1}, {7, 2}, {7, 3}, {8, 4}}));
}

TEST(Agenda, ManyActionsInRandomOrderRunInTheOrderOfAStableSort) {
  Simulation sim;
  Log log;
  std::mt19937 random(1);
  Seen expected;
  for (uint64_t n = 0; n < 5000; n++) {
    expected.emplace_back(random() % 700, n);
    log.agenda.at<&Log::note>(expected.back().first, &log, n);
  }
  std::stable_sort(expected.begin(), expected.end(), [](auto &a, auto &b) { return a.first < b.first; });
  sim.run();
  EXPECT_EQ(log.seen, expected);
}

TEST(Agenda, RunsAheadOfAnIdleKernelWithOneWakeup) {
  Simulation sim;
  Log log;
  log.step = 1 * NS;
  log.agenda.at<&Log::again>(0, &log, 1);
  sim.run();
  EXPECT_EQ(log.seen.size(), 1001u);
  EXPECT_LE(log.agenda.wakeups(), 2u); // the second: the kernel's clock follows
  EXPECT_EQ(log.agenda.now(), 1 * US);
  EXPECT_EQ(sc_core::sc_time_stamp().value(), 1 * US);
}

TEST(Agenda, StaysWithTheKernelWhenItMayNotRunAhead) {
  Simulation sim;
  Log log;
  log.step = 10 * NS;
  log.agenda.at<&Log::again>(0, &log, 1);
  sim.run(95 * NS);
  EXPECT_EQ(log.seen.size(), 10u);
  EXPECT_EQ(sc_core::sc_time_stamp().value(), 95 * NS);
  sim.run(10 * NS);
  EXPECT_EQ(log.seen.size(), 11u);
  EXPECT_EQ(log.seen.back().first, 100 * NS);
}

// Processes of the kernel and actions, of both ways to go on, see one order of time; with a process that sleeps for
// irregular times.
TEST(Agenda, NeverOvertakesWhatTheKernelHasToDo) {
  for (bool ahead : {false, true}) {
    Simulation sim;
    Log log;
    log.step = 2 * NS;
    log.agenda.at<&Log::again>(0, &log, 1);
    log.agenda.at<&Log::skip>(1, &log, 2);
    sc_core::sc_spawn([&] {
      std::mt19937 random(3);
      while (sc_core::sc_time_stamp().value() < 1 * US) {
        sc_core::wait(to_sc(1 + random() % 17000));
        EXPECT_EQ(log.agenda.now(), sc_core::sc_time_stamp().value());
        log.seen.emplace_back(sc_core::sc_time_stamp().value(), 3);
      }
    });
    if (ahead)
      sim.run();
    else
      sim.run(2 * US);
    EXPECT_TRUE(ordered(log.seen));
    EXPECT_EQ(std::count_if(log.seen.begin(), log.seen.end(), [](auto &s) { return s.second == 1; }), 501);
    EXPECT_EQ(std::count_if(log.seen.begin(), log.seen.end(), [](auto &s) { return s.second == 2; }), 500);
    EXPECT_GT(std::count_if(log.seen.begin(), log.seen.end(), [](auto &s) { return s.second == 3; }), 60);
  }
}

TEST(Agenda, WakesAProcessAtTheTimeOfTheAction) {
  Simulation sim;
  struct Waker : Log {
    sc_core::sc_event event;
    void wake(uint64_t) { agenda.notify(event); }
  } log;
  sc_core::sc_spawn([&] {
    for (;;) {
      sc_core::wait(log.event);
      log.seen.emplace_back(sc_core::sc_time_stamp().value(), 9);
    }
  });
  log.agenda.at<&Log::note>(30 * NS, static_cast<Log *>(&log), 1);
  log.agenda.at<&Waker::wake>(40 * NS, &log);
  log.agenda.at<&Log::note>(41 * NS, static_cast<Log *>(&log), 2);
  log.agenda.at<&Waker::wake>(70 * NS, &log);
  log.agenda.at<&Log::note>(90 * NS, static_cast<Log *>(&log), 3);
  sim.run();
  EXPECT_EQ(log.seen, (Seen{{30 * NS, 1}, {40 * NS, 9}, {41 * NS, 2}, {70 * NS, 9}, {90 * NS, 3}}));
}

TEST(Agenda, AProcessMayPutActionsBeforeThoseThatWait) {
  Simulation sim;
  Log log;
  log.agenda.at<&Log::note>(100 * NS, &log, 1);
  sc_core::sc_spawn([&] {
    sc_core::wait(to_sc(20 * NS));
    log.agenda.at<&Log::note>(50 * NS, &log, 2);
    log.agenda.at<&Log::note>(20 * NS, &log, 3);
  });
  sim.run();
  EXPECT_EQ(log.seen, (Seen{{20 * NS, 3}, {50 * NS, 2}, {100 * NS, 1}}));
}

TEST(Agenda, SkipsOnlyWhereNothingElseHappens) {
  Simulation sim;
  Log log;
  log.step = 10 * NS;
  log.agenda.at<&Log::skip>(0, &log, 1);
  log.agenda.at<&Log::note>(50 * NS, &log, 2);
  sim.run();
  EXPECT_TRUE(ordered(log.seen));
  EXPECT_EQ(log.seen.size(), 102u);
  EXPECT_EQ(log.skipped, 99u); // all but the step to 50 ns
  EXPECT_EQ(log.seen[5], (std::pair<Ticks, uint64_t>(50 * NS, 2)));
  EXPECT_EQ(log.seen[6], (std::pair<Ticks, uint64_t>(50 * NS, 1)));
}

TEST(Agenda, ForgetsEverythingWhenCleared) {
  Simulation sim;
  struct Clearer : Log {
    void clear(uint64_t) { agenda.clear(); }
  } log;
  log.agenda.at<&Log::note>(10, static_cast<Log *>(&log), 1);
  log.agenda.at<&Clearer::clear>(20, &log);
  log.agenda.at<&Log::note>(30, static_cast<Log *>(&log), 2);
  sim.run();
  EXPECT_EQ(log.seen, (Seen{{10, 1}}));
  EXPECT_TRUE(log.agenda.idle());
}

TEST(Agenda, EachSimulationBeginsAtZeroWithItsOwn) {
  for (unsigned n = 0; n < 3; n++) {
    Simulation sim;
    Log log;
    log.agenda.at<&Log::note>(10 * NS, &log, n);
    sim.run();
    EXPECT_EQ(log.seen, (Seen{{10 * NS, n}}));
    EXPECT_EQ(log.agenda.actions(), 1u);
  }
}
