// SPDX-License-Identifier: Apache-2.0
// The documents say what the program does: references are the tables of the code, and the tutorial's commands print what
// stands there. With IMS_UPDATE_DOCS=1 they are written anew.
#include "iommu/smmuv3/commands.h"
#include "iommu/vtd/vtd.h"
#include "tests/tools/program.h"
#include "trace/arch.h"
#include "trace/events.h"
#include "trace/stats.h"
#include "trace/text.h"

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

// The part of a page between `<!-- NAME -->` and `<!-- end -->`.
void expect_generated(const char *page, const std::string &name, const std::string &table) {
  std::string text = read_text(docs + page), begin = "<!-- " + name + " -->\n";
  size_t at = text.find(begin), end = text.find("<!-- end -->", at == text.npos ? 0 : at);
  ASSERT_TRUE(at != text.npos && end != text.npos) << page << " has no place for " << name;
  at += begin.size();
  if (updating())
    write_file(docs + page, text.substr(0, at) + table + text.substr(end));
  else
    EXPECT_EQ(text.substr(at, end - at), table);
}

std::string bits_text(unsigned high, unsigned low) {
  return high == low ? std::to_string(low) : std::to_string(high) + ":" + std::to_string(low);
}

std::string register_table(const Arch &arch) {
  static const char *const access[] = {"RO", "RW", "WO", "W1C", "CMD"};
  std::string table = "| offset | register | bytes | reset | fields |\n|---|---|---|---|---|\n";
  for (const RegisterInfo &reg : arch.registers) {
    table += format("| 0x%x | %s, %s (%s) | %u | %s |", reg.offset, reg.name, reg.sentence, reg.section, reg.bytes,
                    hex(reg.reset).c_str());
    const char *between = " ";
    for (const RegisterField &f : reg.fields) {
      table += format("%s%s %s %s", between, f.name, bits_text(f.high, f.low).c_str(), access[f.access]);
      between = ", ";
    }
    table += " |\n";
  }
  return table;
}

TEST(Documentation, RegistersAreTheTables) {
  expect_generated("vtd.md", "registers", register_table(*find_arch("vtd")));
  expect_generated("smmuv3.md", "registers", register_table(*find_arch("smmuv3")));
}

TEST(Documentation, EventsOfSmmuv3AreTheTable) {
  std::string table = "| event | name | section | fields beside ID and SID | what it means |\n|---|---|---|---|---|\n";
  for (unsigned i = 0; const ims_smmuv3_event_info *e = ims_smmuv3_events(i); i++) {
    std::string fields;
    for (unsigned f = 0; f < IMS_SMMUV3_EVENT_FIELD_COUNT; f++)
      if ((e->fields >> f & 1) && f != IMS_SMMUV3_EVENT_ID_FIELD && f != IMS_SMMUV3_EVENT_SID_FIELD)
        fields += (fields.empty() ? "" : ", ") + std::string(ims_smmuv3_event_places[f].name);
    table += format("| 0x%02x | %s | %s | %s | %s |\n", e->number, e->name, e->section, fields.c_str(), e->sentence);
  }
  expect_generated("smmuv3.md", "events", table);
  table = "| field | bits | what it says |\n|---|---|---|\n";
  for (const ims_smmuv3_event_place &p : ims_smmuv3_event_places)
    table += format("| %s | %s | %s |\n", p.name, bits_text(p.low + p.bits - 1u, p.low).c_str(), p.sentence);
  expect_generated("smmuv3.md", "event fields", table);
}

TEST(Documentation, CommandsOfSmmuv3AreTheTable) {
  std::string table = "| opcode | command | section | fields | what it is for |\n|---|---|---|---|---|\n";
  for (unsigned i = 0; const ims_smmuv3_command_info *c = ims_smmuv3_commands(i); i++) {
    std::string fields;
    for (unsigned f = 0; f < IMS_SMMUV3_COMMAND_FIELD_COUNT; f++)
      if ((c->fields >> f & 1) && f != IMS_SMMUV3_COMMAND_OP_FIELD) {
        const ims_smmuv3_command_place &p = ims_smmuv3_command_places[f];
        fields += format("%s%s %s", fields.empty() ? "" : ", ", p.name, bits_text(p.low + p.bits - 1u, p.low).c_str());
      }
    table += format("| 0x%02x | %s | %s | %s | %s%s |\n", c->opcode, c->name, c->section, fields.c_str(), c->sentence,
                    c->needs == IMS_SMMUV3_NEEDS_SECURE ? " (illegal here)" : "");
  }
  expect_generated("smmuv3.md", "commands", table);
}

TEST(Documentation, FaultReasonsOfVtdAreTheTable) {
  static const char *const ats[] = {"", "no rights", "UR", "CA"};
  std::string table =
      "| reason | name | recorded with FPD | translation request | what it means |\n|---|---|---|---|---|\n";
  for (unsigned i = 0; const ims_vtd_fault_info *f = ims_vtd_faults(i); i++) {
    std::string name = f->name;
    for (char &c : name)
      c = c == '_' ? '.' : c;
    table += format("| 0x%02x | %s | %s | %s | %s |\n", f->code, name.c_str(), f->qualified ? "no" : "yes", ats[f->ats],
                    f->sentence);
  }
  expect_generated("vtd.md", "fault reasons", table);
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
class Tutorial : public testing::TestWithParam<const char *> {};

INSTANTIATE_TEST_SUITE_P(Documentation, Tutorial, testing::Values("tutorial.md", "tutorial-arm.md"),
                         [](const testing::TestParamInfo<const char *> &page) {
                           return page.index ? std::string("Arm") : std::string("FirstWalk");
                         });

TEST_P(Tutorial, CommandsPrintWhatItSays) {
  std::istringstream in(read_text(docs + GetParam()));
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
    write_file(docs + GetParam(), written);
}

} // namespace
} // namespace ims
