// SPDX-License-Identifier: Apache-2.0
#include "model/intervals.h"
#include "model/simulation.h"

#include <gtest/gtest.h>

using namespace ims::model;

namespace {

// Counts one every `step`, `times` times.
struct Worker {
  Agenda &agenda = Agenda::of_simulation();
  Ticks step;
  uint64_t times, done = 0;
  Ticks ended = 0;

  Worker(Ticks s, uint64_t n) : step(s), times(n) { agenda.at<&Worker::work>(step, this); }
  void work(uint64_t) {
    ended = agenda.now();
    if (++done < times)
      agenda.at<&Worker::work>(agenda.now() + step, this);
  }
};

TEST(Intervals, EachLineSaysWhatHasBeenAddedSince) {
  Simulation simulation;
  Worker worker(290, 10); // at 290, 580, ... 2900 ps
  std::string text;
  Intervals intervals(1000, [&](std::string_view s) { text += s; });
  intervals.add("worker", "steps", [&] { return worker.done; });
  intervals.add("twice", "steps", [&] { return 100 + 2 * worker.done; });
  intervals.start();
  simulation.run();
  intervals.finish();
  EXPECT_EQ(text, "time_ns,worker [steps],twice [steps]\n"
                  "1.000,3,6\n"
                  "2.000,3,6\n"
                  "3.000,4,8\n");
}

TEST(Intervals, DoNotKeepARunGoing) {
  Simulation simulation;
  Worker worker(700, 3);
  std::string text;
  Intervals intervals(1000, [&](std::string_view s) { text += s; });
  intervals.add("worker", "steps", [&] { return worker.done; });
  intervals.start();
  simulation.run();
  intervals.finish();
  EXPECT_EQ(worker.ended, 2100u);
  EXPECT_EQ(text, "time_ns,worker [steps]\n1.000,1\n2.000,1\n3.000,1\n");
}

TEST(Intervals, ARunThatIsCutShortEndsWithAShorterInterval) {
  Simulation simulation;
  Worker worker(90, 1000);
  std::string text;
  Intervals intervals(1000, [&](std::string_view s) { text += s; });
  intervals.add("worker", "steps", [&] { return worker.done; });
  intervals.start();
  simulation.run(1450);
  intervals.finish();
  EXPECT_EQ(text, "time_ns,worker [steps]\n1.000,11\n1.450,5\n");
}

TEST(Intervals, GoOnWhileTheKernelHasSomethingToDo) {
  Simulation simulation;
  struct Clocked : sc_core::sc_module {
    SC_HAS_PROCESS(Clocked);
    uint64_t done = 0;
    explicit Clocked(sc_core::sc_module_name name) : sc_module(name) { SC_METHOD(work); }
    void work() {
      if (++done < 4)
        next_trigger(sc_core::sc_time(1600, sc_core::SC_PS));
    }
  } clocked("clocked");
  std::string text;
  Intervals intervals(1000, [&](std::string_view s) { text += s; });
  intervals.add("clocked", "steps", [&] { return clocked.done; });
  intervals.start();
  simulation.run();
  EXPECT_EQ(clocked.done, 4u);
  EXPECT_EQ(text, "time_ns,clocked [steps]\n1.000,1\n2.000,1\n3.000,0\n4.000,1\n5.000,1\n");
}

TEST(Intervals, OfNoLengthAreRefused) {
  EXPECT_THROW(Intervals(0, [](std::string_view) {}), std::invalid_argument);
}

} // namespace
