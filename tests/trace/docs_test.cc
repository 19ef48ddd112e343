// SPDX-License-Identifier: Apache-2.0
// The documents say what the program does: references are the tables of the code, and the tutorial's commands print what
// stands there. With IMS_UPDATE_DOCS=1 they are written anew.
#include "iommu/dma_engine.h"
#include "iommu/smmuv3/commands.h"
#include "iommu/vtd/vtd.h"
#include "tests/tools/program.h"
#include "trace/arch.h"
#include "trace/events.h"
#include "trace/stats.h"
#include "trace/structures.h"
#include "trace/text.h"
#include "uapi/layout.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <regex>
#include <set>

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

// ---- docs/uapi.md ---------------------------------------------------------------------------------------------------

std::string fields_text(const ims_uapi_struct &layout) {
  std::string text;
  for (unsigned i = 0; i < layout.fields; i++)
    text += format("%s%u %s:%u", i ? ", " : "", layout.field[i].offset, layout.field[i].name, layout.field[i].bytes);
  return text;
}

struct Command {
  const char *name;
  unsigned word, size, least;
  const ims_uapi_struct *layout;
};

std::vector<Command> commands() {
  std::vector<Command> all;
#define IMS_X(name, word, s, size, least, apart) all.push_back({#name, word, size, least, ims_uapi_struct_by_name(#s)});
  IMS_IOMMUFD_COMMANDS(IMS_X)
  IMS_VFIO_DEVICE_COMMANDS(IMS_X)
#undef IMS_X
  return all;
}

TEST(Documentation, CommandsOfIommufdAreTheTable) {
  std::string table = "| word | command | bytes | fields |\n|---|---|---|---|\n";
  for (const Command &c : commands()) {
    std::string least = c.least < c.size ? format(" (%u)", c.least) : "";
    table +=
        format("| 0x%x | `%s` | %u%s | %s |\n", c.word, c.name, c.size, least.c_str(), fields_text(*c.layout).c_str());
  }
  expect_generated("uapi.md", "ioctls", table);

  table = "| structure | bytes | fields |\n|---|---|---|\n";
  std::set<std::string> known;
  for (const Command &c : commands())
    known.insert(c.layout->name);
#define IMS_X(s, size, first)                                                                                          \
  if (!known.count(#s))                                                                                                \
    table += format("| `%s` | %u | %s |\n", #s, size, fields_text(*ims_uapi_struct_by_name(#s)).c_str());
  IMS_IOMMUFD_STRUCTS(IMS_X)
#undef IMS_X
  expect_generated("uapi.md", "structures", table);

  // Each list once, under the first field that has it.
  table = "| of | values |\n|---|---|\n";
  std::set<const ims_uapi_value *> seen;
  auto add = [&](const ims_uapi_struct &layout) {
    for (unsigned i = 0; i < layout.fields; i++) {
      const ims_uapi_field &f = layout.field[i];
      if (!f.values || !seen.insert(f.values).second)
        continue;
      std::string values;
      for (const ims_uapi_value *v = f.values; v->name; v++)
        values += format("%s%s %llu", values.empty() ? "" : ", ", v->name, static_cast<unsigned long long>(v->value));
      table += format("| `%s.%s` | %s |\n", layout.name, f.name, values.c_str());
    }
  };
#define IMS_X(s, size, first) add(*ims_uapi_struct_by_name(#s));
  IMS_IOMMUFD_STRUCTS(IMS_X)
#undef IMS_X
  expect_generated("uapi.md", "values", table);
}

// The table of errors names every errno that the matrix of tests/uapi asks for.
TEST(Documentation, ErrorsOfIommufdAreThoseOfTheMatrix) {
  std::string text = read_text(docs + "uapi.md"),
              matrix = read_text(IMS_SOURCE_DIR "/tests/uapi/iommufd_matrix_test.cc");
  size_t begin = text.find("<!-- errors -->");
  ASSERT_NE(begin, std::string::npos);
  std::map<std::string, std::string> rows; // by call: what the page says, with the rows `- ...` below
  std::string call;
  for (const std::string &line : split(text.substr(begin, text.find("<!-- end -->", begin) - begin), '\n')) {
    if (line.compare(0, 3, "| `") == 0)
      call = line.substr(3, line.find('`', 3) - 3);
    rows[call] += line + "\n";
  }
  const std::regex row("\\{\"([A-Z_0-9]+)(/[A-Z_0-9]+)?\",\\s*\"([^\"]*)\",\\s*\"[^\"]*\",\\s*(E[A-Z0-9]+)");
  unsigned cases = 0;
  for (std::sregex_iterator m(matrix.begin(), matrix.end(), row), end; m != end; ++m, cases++) {
    std::string name = (*m)[1], what = (*m)[3], error = (*m)[4];
    ASSERT_TRUE(rows.count(name)) << name;
    EXPECT_TRUE(std::regex_search(rows[name], std::regex("\\b" + error + "\\b")))
        << name << " " << error << ": " << what;
  }
  EXPECT_GT(cases, 150u);
}

TEST(Documentation, RegistersOfTheDmaEngineAreTheTable) {
  std::string table = "| offset | register | bytes | access | what it is |\n|---|---|---|---|---|\n";
#define IMS_X(name, offset, bytes, writable, sentence)                                                                 \
  table += format("| 0x%02x | %s | %u | %s | %s |\n", offset, #name, bytes, writable ? "RW" : "RO", sentence);
  IMS_DMA_ENGINE_REGS(IMS_X)
#undef IMS_X
  expect_generated("uapi.md", "dma engine", table);
}

// Where a field of a call ends up: names that both tables know, positions from them.
struct Byte {
  const char *from; // structure.field of the uAPI, or words for what no field says
  const char *bits; // of it, "" all
  const char *to;   // field of the hardware's structure
  const char *words;
};

std::string byte_table(const char *structure, const std::vector<Byte> &bytes) {
  const StructureInfo &info = *find_structure(structure);
  std::string table = format("| from | bits | %s | bits | how |\n|---|---|---|---|---|\n", structure);
  for (const Byte &b : bytes) {
    std::string from = b.from;
    if (size_t dot = from.find('.'); dot != from.npos) {
      const ims_uapi_struct *layout = ims_uapi_struct_by_name(from.substr(0, dot).c_str());
      EXPECT_NE(layout, nullptr) << from;
      bool known = false;
      for (unsigned i = 0; layout && i < layout->fields; i++)
        known |= from.substr(dot + 1) == layout->field[i].name;
      EXPECT_TRUE(known) << from;
      from = "`" + from + "`";
    }
    std::string to, places;
    std::istringstream names(b.to);
    for (std::string name; names >> name;) {
      auto row = std::find_if(info.rows->begin(), info.rows->end(), [&](const FieldRow &r) { return name == r.name; });
      EXPECT_NE(row, info.rows->end()) << name;
      if (row == info.rows->end())
        continue;
      to += (to.empty() ? "" : ", ") + name;
      places += (places.empty() ? "" : ", ") + bits_text(row->lsb + row->width - 1, row->lsb);
    }
    table += format("| %s | %s | %s | %s | %s |\n", from.c_str(), b.bits, to.c_str(), places.c_str(), b.words);
  }
  return table;
}

TEST(Documentation, BytesOfABindEndUpWhereItSays) {
  expect_generated(
      "uapi.md", "bytes of vtd",
      byte_table(
          "PASID",
          {
              {"iommu_hwpt_vtd_s1.pgtbl_addr", "63:12", "FSPTPTR",
               "a guest physical address: every table of stage 1 is found through stage 2 (3.8)"},
              {"iommu_hwpt_vtd_s1.addr_width", "", "FSPM", "48: 0, 57: 1; else EINVAL"},
              {"iommu_hwpt_vtd_s1.flags", "SRE", "SRE", "supervisor requests; needs ECAP.SRS"},
              {"iommu_hwpt_vtd_s1.flags", "WPE", "WPE", "write protection for supervisors; with SRE only"},
              {"iommu_hwpt_vtd_s1.flags", "EAFE", "EAFE", "the extended accessed flag; needs ECAP.EAFS"},
              {"iommu_hwpt_alloc.pt_id", "", "SSPTPTR AW", "the parent's table and its levels"},
              {"iommu_hwpt_set_dirty_tracking.flags", "ENABLE", "SSADE", "of the parent: A and D in stage 2"},
              {"vfio_device_attach_iommufd_pt.pasid", "", "", "which entry; without the flag PASID that of RID_PASID"},
              {"what is attached", "", "PGTT", "nested 3, second stage 2, first stage 1"},
              {"the kernel", "", "DID", "a domain id of its own for each nested table on each unit"},
              {"the kernel", "", "PWSNP PGSNP", "table walks are snooped; pages too where the parent forces it"},
              {"the kernel", "", "P FPD", "P in the last store, FPD 0"},
          }));
  expect_generated(
      "uapi.md", "bytes of smmuv3",
      byte_table(
          "STE",
          {
              {"iommu_hwpt_arm_smmuv3.ste0", "0", "V", "0: the stream aborts; else the kernel's own 1"},
              {"iommu_hwpt_arm_smmuv3.ste0", "3:1", "CONFIG", "5 (stage 1) becomes 7 (both); 4 becomes 6; 0 is 0"},
              {"iommu_hwpt_arm_smmuv3.ste0", "5:4", "S1FMT", "as it is"},
              {"iommu_hwpt_arm_smmuv3.ste0", "51:6", "S1CONTEXTPTR",
               "as it is: an address in the guest, translated by stage 2"},
              {"iommu_hwpt_arm_smmuv3.ste0", "63:59", "S1CDMAX", "as it is"},
              {"iommu_hwpt_arm_smmuv3.ste1", "1:0", "S1DSS", "as it is"},
              {"iommu_hwpt_arm_smmuv3.ste1", "7:2", "S1CIR S1COR S1CSH", "as they are"},
              {"iommu_hwpt_arm_smmuv3.ste1", "27", "S1STALLD", "as it is"},
              {"iommu_hwpt_arm_smmuv3.ste1", "29:28", "EATS",
               "1: ATS is wanted; the kernel sets it where the device can"},
              {"iommu_viommu_alloc.hwpt_id", "", "S2TTB S2VMID S2T0SZ S2SL0 S2IR0 S2OR0 S2SH0 S2TG S2PS",
               "the parent's stage 2"},
              {"iommu_vdevice_alloc.virt_id", "", "", "not in the STE: by it invalidations and events are renamed"},
              {"the kernel", "", "S2AA64 S2PTW S2R S2S", "of the parent, S2S with a device that may stall"},
              {"the kernel", "", "MEV SHCFG S2FWB", "events may be merged; memory attributes as of any stage 2"},
          }));
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

std::string tutorial_name(const testing::TestParamInfo<const char *> &page) {
  static const char *const names[] = {"FirstWalk", "Arm", "Uapi"};
  return names[page.index];
}

INSTANTIATE_TEST_SUITE_P(Documentation, Tutorial, testing::Values("tutorial.md", "tutorial-arm.md", "tutorial-uapi.md"),
                         tutorial_name);

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
