// SPDX-License-Identifier: Apache-2.0
// The subcommands: a row each. A new one is a file with `int cmd_NAME(int argc, char **argv)` in namespace ims and a row
// here. argv[0] is the name of the command. The result is the exit status; BadInput is caught by main() and becomes 2.
#pragma once

namespace ims {

// X(name, sentence)
// clang-format off
#define IMS_COMMANDS(X)                                                                  \
  X(run,       "plays a trace, tells what happened, and checks what it expects")           \
  X(trace,     "converts, prints and compares traces, text or binary")                     \
  X(diff,      "compares two runs: answers, statistics, memory, registers, queues")        \
  X(translate, "answers a list of translation requests out of a snapshot")               \
  X(walk,      "tells one translation step by step, for a person")                       \
  X(bench,     "runs experiments in simulated time: one device, the page walk")        \
  X(config,    "lists every knob: range, default, sentence; prints and checks settings")
// clang-format on

#define IMS_X(name, sentence) int cmd_##name(int argc, char **argv);
IMS_COMMANDS(IMS_X)
#undef IMS_X

struct Command {
  const char *name, *sentence;
  int (*run)(int argc, char **argv);
};

} // namespace ims
