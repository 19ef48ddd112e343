// SPDX-License-Identifier: Apache-2.0
// iommusim config: what can be set, and what a configuration comes to.
#include "tools/commands.h"
#include "tools/config.h"
#include "tools/error.h"
#include "tools/options.h"
#include "trace/nearest.h"

#include <boost/json.hpp>
#include <cstdio>

namespace po = boost::program_options;
namespace json = boost::json;

namespace ims {

static std::string range_text(const Knob &k) { return std::to_string(k.low) + ".." + std::to_string(k.high); }

static void print_list(const std::string &arch) {
  const char *format = "%-24s %8s  %-12s %s\n";
  std::printf(format, "key", "default", "range", "what it is");
  const Knob *before = nullptr;
  for (const Knob &k : knobs()) {
    if (!arch.empty() && k.section != arch)
      continue;
    const Arch &a = *find_arch(k.section);
    if (!before || before->feature != k.feature || before->section != k.section) {
      if (k.feature)
        std::printf("\n%s: features (%s; a snapshot states them in its registers)\n", a.title, a.identification);
      else
        std::printf("\n%s: knobs (what the registers do not say)\n", a.title);
    }
    before = &k;
    std::printf(format, k.key.c_str(), std::to_string(k.def).c_str(), range_text(k).c_str(), k.sentence);
  }
}

static void print_description(const Knob &k) {
  std::printf(
      "%s\n  %s\n  range    %s%s\n  default  %u\n  kind     %s\n  set by   --set %s=%u   or   {\"%s\": {\"%s\": %u}}\n",
      k.key.c_str(), k.sentence, range_text(k).c_str(), k.low == 0 && k.high == 1 ? " (or false, true)" : "", k.def,
      k.feature ? "feature: a capability of the hardware" : "knob", k.key.c_str(), k.def, k.section.c_str(), k.name,
      k.def);
}

// Indented, keys in the order of the rows; Boost.JSON itself prints one line.
static void print_pretty(const json::value &v, const std::string &indent) {
  if (!v.is_object()) {
    std::fputs(json::serialize(v).c_str(), stdout);
    return;
  }
  const char *separator = "{\n";
  for (const auto &member : v.get_object()) {
    std::printf("%s%s  %s: ", separator, indent.c_str(), json::serialize(json::value(member.key())).c_str());
    print_pretty(member.value(), indent + "  ");
    separator = ",\n";
  }
  std::printf("\n%s}", indent.c_str());
}

static void print_schema(const std::string &arch) {
  json::object sections;
  for (const Knob &k : knobs()) {
    if (!arch.empty() && k.section != arch)
      continue;
    json::object row;
    row["description"] = k.sentence;
    if (k.low == 0 && k.high == 1)
      row["type"] = json::array{"integer", "boolean"};
    else
      row["type"] = "integer";
    row["minimum"] = k.low;
    row["maximum"] = k.high;
    row["default"] = k.def;
    json::value &section = sections[k.section];
    if (section.is_null())
      section = json::object{{"type", "object"}, {"additionalProperties", false}, {"properties", json::object()}};
    section.as_object()["properties"].as_object()[k.name] = row;
  }
  sections["$schema"] = json::object{{"type", "string"}, {"description", "for editors; not looked at"}};
  print_pretty(json::object{{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                            {"title", "iommusim configuration"},
                            {"type", "object"},
                            {"additionalProperties", false},
                            {"properties", sections}},
               "");
  std::printf("\n");
}

int cmd_config(int argc, char **argv) {
  Options o("config [--list|--describe KEY|--print-default|--schema|--print]",
            "What can be set: every feature and knob with its range, default and sentence.",
            "  iommusim config --describe vtd.iotlb_entries\n"
            "  iommusim config --print --set vtd.iotlb_entries=64 > small.json");
  o.add()("list", "table of all keys (what happens without an option)")                //
      ("describe", po::value<std::string>()->value_name("KEY"), "one key in full")     //
      ("print-default", "the default configuration as JSON")                           //
      ("schema", "JSON Schema (draft 2020-12) of the configuration")                   //
      ("print", "the configuration that --config and --set come to, checked, as JSON") //
      ("arch", po::value<std::string>()->value_name("NAME"),
       "list and schema: this architecture only (vtd, smmuv3, smmuv2)")                                //
      ("config", po::value<std::string>()->value_name("FILE"), "with --print: JSON, comments allowed") //
      ("set", po::value<std::vector<std::string>>()->value_name("KEY=VALUE"), "with --print: one key; may be repeated");
  if (!o.parse(argc, argv))
    return 0;

  std::string chosen;
  for (const char *action : {"list", "describe", "print-default", "schema", "print"}) {
    if (!o.has(action))
      continue;
    if (!chosen.empty())
      fail("config: found --%s and --%s, expected one of them", chosen.c_str(), action);
    chosen = action;
  }
  std::string arch = o.text("arch");
  if (o.has("arch") && !find_arch(arch))
    fail("config: --arch: unknown architecture %s; the nearest is `%s`", quoted(arch).c_str(),
         nearest(arch, arch_names()).c_str());
  if (chosen != "print" && (o.has("config") || o.has("set")))
    fail("config: --config and --set go with --print");

  if (chosen == "describe") {
    print_description(find_knob(o.text("describe"), "config"));
  } else if (chosen == "print-default") {
    std::fputs(config_json(Config()).c_str(), stdout);
  } else if (chosen == "schema") {
    print_schema(arch);
  } else if (chosen == "print") {
    Config c;
    apply_sources(c, {o.text("config"), o.list("set")});
    std::fputs(config_json(c).c_str(), stdout);
  } else {
    print_list(arch);
  }
  return 0;
}

} // namespace ims
