// SPDX-License-Identifier: Apache-2.0
// iommusim config: what can be set, what presets there are, and what a configuration comes to.
#include "tools/commands.h"
#include "tools/config.h"
#include "tools/config_preset.h"
#include "tools/config_value.h"
#include "tools/error.h"
#include "tools/options.h"
#include "tools/system_config.h"
#include "trace/nearest.h"

#include <algorithm>
#include <cstdio>

namespace po = boost::program_options;

namespace ims {

static void print_row(const std::string &key, const std::string &def, const std::string &range, const char *sentence) {
  std::printf("%-28s %8s  %-30s  %s\n", key.c_str(), def.c_str(), range.c_str(), sentence);
}

static void print_section(const Section &s) {
  const Knob *before = nullptr;
  for (const Knob &k : knobs()) {
    if (k.part != &s)
      continue;
    if (!before || before->feature != k.feature) {
      if (k.feature)
        std::printf("\n%s: features (%s; a snapshot states them in its registers)\n", s.title.c_str(),
                    s.arch->identification);
      else if (s.arch)
        std::printf("\n%s: knobs (what the registers do not say)\n", s.title.c_str());
      else
        std::printf("\n%s: %s\n", s.name.c_str(), s.title.c_str());
    }
    before = &k;
    std::string unit = k.unit && *k.unit ? std::string(" ") + k.unit : "";
    print_row(k.key, value_text(k, k.def), range_text(k) + unit, k.sentence);
  }
}

static void print_presets() {
  std::printf("\npresets (--config NAME; --describe NAME shows where the numbers come from)\n");
  for (const Preset &p : presets())
    std::printf("%-28s %s\n", p.name.c_str(), p.title().c_str());
}

static void print_knob(const Knob &k) {
  std::string def = value_text(k, k.def);
  std::printf("%s\n  %s\n", k.key.c_str(), k.sentence);
  std::printf("  %-8s %s%s\n", k.words ? "words" : "range", range_text(k).c_str(),
              is_flag(k) && !k.words ? " (or false, true)" : "");
  if (k.unit && *k.unit)
    std::printf("  unit     %s%s\n", k.unit, is_decimal(k) ? ", to three decimals" : "");
  std::printf("  default  %s\n", def.c_str());
  std::printf("  kind     %s\n", k.feature ? "feature: a capability of the hardware" : "knob");
  std::printf("  set by   --set %s=%s   or   {\"%s\": {\"%s\": %s}}\n", k.key.c_str(), def.c_str(), k.section.c_str(),
              k.name, value_json(k, k.def).c_str());
}

static void describe(const std::string &word) {
  if (const Knob *k = known_knob(word))
    return print_knob(*k);
  for (const Section &s : sections())
    if (s.name == word) {
      print_row("key", "default", "range", "what it is");
      return print_section(s);
    }
  if (const Preset *p = find_preset(word)) {
    std::fputs(p->text.c_str(), stdout);
    return;
  }
  std::vector<std::string> names;
  for (const Preset &p : presets())
    names.push_back(p.name);
  std::string near = nearest(word, names);
  if (edit_distance(word, near) <= 2)
    fail("config: unknown preset %s; the nearest is `%s`", quoted(word).c_str(), near.c_str());
  fail("config: %s", unknown_key(word).c_str());
}

int cmd_config(int argc, char **argv) {
  Options o(
      "config [--list|--describe NAME|--print-default|--schema|--print]",
      "What can be set: every feature and knob with its range, default, unit and sentence; the presets; and what\n"
      "files, presets and settings come to together.",
      "  iommusim config --describe vtd.iotlb_entries\n"
      "  iommusim config --config xeon --config mine.json --set vtd.iotlb_entries=64 > all.json");
  o.add()("list", "table of all keys and presets (what happens without an option)")                              //
      ("describe", po::value<std::string>()->value_name("NAME"),                                                 //
       "a key in full, all keys of a part (vtd), or a preset with its reasons")                                  //
      ("print-default", "the default configuration as JSON")                                                     //
      ("schema", "JSON Schema (draft 2020-12) of the configuration")                                             //
      ("print", "the configuration that --config and --set come to, checked, as JSON; they alone mean the same") //
      ("arch", po::value<std::string>()->value_name("NAME"),
       "list and schema: this architecture only (vtd, smmuv3, smmuv2)");
  add_config_options(o, "the default configuration");
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
  std::vector<std::string> only;
  if (o.has("arch"))
    only.push_back(o.text("arch"));
  if (o.has("arch") && !find_arch(only[0]))
    fail("config: --arch: unknown architecture %s; the nearest is `%s`", quoted(only[0]).c_str(),
         nearest(only[0], arch_names()).c_str());
  bool sources = o.has("config") || o.has("set");
  if (chosen.empty())
    chosen = sources ? "print" : "list";
  if (chosen != "print" && sources)
    fail("config: --config and --set go with --print");

  if (chosen == "describe") {
    describe(o.text("describe"));
  } else if (chosen == "print-default") {
    std::fputs(config_json(SystemConfig()).c_str(), stdout);
  } else if (chosen == "schema") {
    std::fputs(config_schema(only).c_str(), stdout);
  } else if (chosen == "print") {
    SystemConfig c;
    apply_sources(c, config_sources(o));
    std::fputs(config_json(c).c_str(), stdout);
  } else {
    print_row("key", "default", "range", "what it is");
    for (const Section &s : sections())
      if (only.empty() || s.name == only[0])
        print_section(s);
    if (only.empty())
      print_presets();
  }
  return 0;
}

} // namespace ims
