// SPDX-License-Identifier: Apache-2.0
// The documents say what the program does: the reference of events is the table, and the tutorial's commands print what
// stands there. With IMS_UPDATE_DOCS=1 both are written anew.
#include "tests/tools/program.h"
#include "trace/events.h"
#include "trace/stats.h"

#include <cstdlib>

namespace ims {
namespace {

const std::string docs = IMS_SOURCE_DIR "/docs/";

bool updating() {
  const char *update = std::getenv("IMS_UPDATE_DOCS");
  return update && *update;
}

TEST(Documentation, TheReferenceOfEventsIsTheTable) {
  std::string text = read_text(docs + "trace.md");
  size_t marker = text.find("<!-- Generated");
  ASSERT_NE(marker, std::string::npos);
  size_t at = text.find("\n\n", marker) + 2;
  std::string expected = text.substr(0, at) + events_markdown();
  if (updating())
    write_file(docs + "trace.md", expected);
  else
    EXPECT_EQ(text, expected);
}

TEST(Documentation, NamesEveryEventParameterAndOutput) {
  std::string text = read_text(docs + "trace.md");
  for (const EventInfo &e : events()) {
    size_t begin = text.find(std::string("### `") + e.name + "`\n");
    ASSERT_NE(begin, std::string::npos) << e.name;
    std::string section = text.substr(begin, text.find("\n### ", begin + 1) - begin);
    for (const ParamInfo &p : e.params)
      EXPECT_NE(section.find(std::string("| `") + p.name), std::string::npos) << e.name << " " << p.name;
    for (const OutputInfo &o : e.outputs)
      EXPECT_NE(section.find(std::string("`") + o.name + "` "), std::string::npos) << e.name << " " << o.name;
    EXPECT_NE(section.find(e.example), std::string::npos) << e.name;
  }
}

TEST(Documentation, NamesEveryAttribute) {
  std::string text = read_text(docs + "trace.md");
  std::string values = text.substr(0, text.find("## Grammar"));
  for (const AttributeInfo &a : attributes())
    EXPECT_NE(values.find(std::string("`") + a.name + "`"), std::string::npos) << a.name;
}

// What a shell prints for a command, run at the root of the repository with the program under test.
std::string shell(std::string command) {
  const std::string name = "build/release/bin/iommusim", program = IMS_PROGRAM;
  for (size_t at = 0; (at = command.find(name, at)) != command.npos; at += program.size()) // which may end in the name
    command.replace(at, name.size(), program);
  command = "cd '" IMS_SOURCE_DIR "' && {\n" + command + "\n} 2>&1";
  FILE *pipe = popen(command.c_str(), "r");
  std::string out;
  char block[4096];
  while (size_t n = pipe ? fread(block, 1, sizeof block, pipe) : 0)
    out.append(block, n);
  if (pipe)
    pclose(pipe);
  return out;
}

// Blocks that begin with ```console: lines with `$ ` are commands, `> ` goes on with one, what
// follows is what they print.
TEST(Documentation, TheTutorialsCommandsPrintWhatItSays) {
  std::istringstream in(read_text(docs + "tutorial.md"));
  std::string line, written;
  unsigned commands = 0;
  bool block = false;
  std::string command, printed;
  auto settle = [&] {
    if (command.empty())
      return;
    commands++;
    std::string out = shell(command);
    if (!updating()) {
      EXPECT_EQ(printed, out) << command;
    }
    written += out;
    command.clear();
    printed.clear();
  };
  while (std::getline(in, line)) {
    bool fence = line.compare(0, 3, "```") == 0;
    bool more = block && !command.empty() && printed.empty() && line.compare(0, 2, "> ") == 0;
    if (more) { // the command goes on
      command += "\n" + line.substr(2);
      written += line + "\n";
      continue;
    }
    if (block && (fence || line.compare(0, 2, "$ ") == 0))
      settle();
    if (block && !fence && line.compare(0, 2, "$ ") != 0) {
      printed += line + "\n";
      continue;
    }
    if (block && !fence)
      command = line.substr(2);
    block = fence ? line == "```console" : block;
    written += line + "\n";
  }
  EXPECT_GE(commands, 5u);
  if (updating())
    write_file(docs + "tutorial.md", written);
}

} // namespace
} // namespace ims
