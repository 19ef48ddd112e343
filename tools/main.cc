// SPDX-License-Identifier: Apache-2.0
// The program: picks the subcommand, and turns bad input into one message and exit status 2.
#include "tools/commands.h"
#include "tools/error.h"
#include "trace/nearest.h"

#include <csignal>
#include <cstdio>
#include <cstring>
#include <new>
#include <vector>

namespace {

const ims::Command commands[] = {
#define IMS_X(name, sentence) {#name, sentence, ims::cmd_##name},
    IMS_COMMANDS(IMS_X)
#undef IMS_X
};

void print_help(FILE *to) {
  std::fprintf(to, "Usage: iommusim [--version|--help] COMMAND ...\n\n"
                   "Simulates IOMMUs whose tables lie as bytes in simulated memory.\n\nCommands:\n");
  for (const ims::Command &c : commands)
    std::fprintf(to, "  %-10s %s\n", c.name, c.sentence);
  std::fprintf(to, "\nEach has a --help of its own.\n\nExit status: 0 done and all expectations held; "
                   "1 an expectation or a check failed;\n2 bad command line or bad input.\n\n"
                   "Example:\n  iommusim walk mem.elf iommu.regs --source 00:03.0 --iova 0xfffb0e78\n");
}

int run(int argc, char **argv) {
  if (argc < 2) {
    print_help(stderr);
    return ims::EXIT_INPUT;
  }
  const char *word = argv[1];
  if (!std::strcmp(word, "--help") || !std::strcmp(word, "-h")) {
    print_help(stdout);
    return 0;
  }
  if (!std::strcmp(word, "--version")) {
    std::printf("iommusim %s\n", IMS_VERSION);
    return 0;
  }
  std::vector<std::string> names;
  for (const ims::Command &c : commands) {
    if (!std::strcmp(word, c.name))
      return c.run(argc - 1, argv + 1);
    names.push_back(c.name);
  }
  if (word[0] == '-')
    ims::fail("unknown option %s; the nearest is %s", ims::quoted(word).c_str(),
              ims::nearest(word, {"--help", "--version"}).c_str());
  ims::fail("unknown command %s; the nearest is %s (see iommusim --help)", ims::quoted(word).c_str(),
            ims::nearest(word, names).c_str());
}

} // namespace

int main(int argc, char **argv) {
  std::signal(SIGPIPE, SIG_IGN); // a reader that went away is a write error like any other
  try {
    int status = run(argc, argv);
    if (std::fflush(stdout) != 0 && status == 0)
      ims::fail("standard output: cannot be written");
    return status;
  } catch (const ims::BadInput &e) {
    std::fprintf(stderr, "iommusim: %s\n", e.what());
  } catch (const std::bad_alloc &) {
    std::fprintf(stderr, "iommusim: out of memory\n");
  } catch (const std::exception &e) {
    std::fprintf(stderr, "iommusim: %s\n", e.what());
  }
  return ims::EXIT_INPUT;
}
