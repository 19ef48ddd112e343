// SPDX-License-Identifier: Apache-2.0
// The configuration: every key from one table, out and in again; files and presets over each other.
#include "tests/tools/program.h"
#include "tools/config.h"
#include "tools/config_preset.h"
#include "tools/error.h"
#include "tools/system_config.h"

#include <boost/json.hpp>
#include <random>
#include <set>

namespace json = boost::json;

static std::string refusal(const std::function<void()> &what) {
  try {
    what();
  } catch (const ims::BadInput &e) {
    return e.what();
  }
  return "taken";
}

// What a file's text, or a setting, makes of the default configuration.
static uint32_t read(const std::string &text, const std::string &key) {
  ims::SystemConfig c;
  ims::apply_json(c, text, "x.json");
  return ims::find_knob(key, "test").get(c);
}
static uint32_t set(const std::string &setting) {
  ims::SystemConfig c;
  ims::apply_setting(c, setting);
  return ims::find_knob(setting.substr(0, setting.find('=')), "test").get(c);
}

TEST(Config, DefaultIsPrintedAsJsonAndReadsBackTheSame) {
  ims::SystemConfig c;
  for (const ims::Knob &k : ims::knobs())
    k.set(c, k.low);
  ims::apply_json(c, ims::config_json(ims::SystemConfig()), "default.json");
  for (const ims::Knob &k : ims::knobs())
    EXPECT_EQ(k.get(c), k.def) << k.key;
}

TEST(Config, AnyConfigurationReadsBackTheSame) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 50; round++) {
    ims::SystemConfig c, back;
    for (const ims::Knob &k : ims::knobs()) {
      uint64_t span = static_cast<uint64_t>(k.high) - k.low + 1;
      uint64_t from_low = round == 0   ? 0
                          : round == 1 ? span - 1
                                       : random() % (round % 2 ? span : std::min<uint64_t>(span, 5000));
      k.set(c, static_cast<uint32_t>(k.low + from_low));
    }
    ims::apply_json(back, ims::config_json(c), "x.json");
    for (const ims::Knob &k : ims::knobs())
      ASSERT_EQ(k.get(back), k.get(c)) << k.key;
  }
}

TEST(Config, EveryRowHasARangeAroundItsDefaultAndASentence) {
  std::set<std::string> keys;
  for (const ims::Knob &k : ims::knobs()) {
    EXPECT_LE(k.low, k.def) << k.key;
    EXPECT_GE(k.high, k.def) << k.key;
    EXPECT_GT(std::string(k.sentence).size(), 2u) << k.key;
    EXPECT_TRUE(keys.insert(k.key).second) << k.key;
  }
  EXPECT_GT(ims::knobs().size(), 50u);
}

TEST(Config, StructsBeginWithWhatTheirRowsSay) {
  ims::SystemConfig c;
  for (const ims::Knob &k : ims::knobs())
    EXPECT_EQ(k.get(c), k.def) << k.key;
}

TEST(Config, CommentsAndTrailingCommasAndBooleansAreRead) {
  ims::SystemConfig c;
  ims::apply_json(c, "// small\n{\"vtd\": {\"iotlb_entries\": 64, /* none */ \"nest\": false, \"pt\": true,},}\n", "x");
  EXPECT_EQ(c.vtd.iotlb_entries, 64u);
  EXPECT_EQ(c.vtd.nest, 0u);
  EXPECT_EQ(c.vtd.pt, 1u);
}

TEST(Config, SettingsAreNumbersInEitherBaseWithSuffixesOrBooleans) {
  EXPECT_EQ(set("vtd.iotlb_entries=0x40"), 64u);
  EXPECT_EQ(set("vtd.iotlb_entries=4K"), 4096u);
  EXPECT_EQ(set("vtd.iotlb_entries=1M"), 1048576u);
  EXPECT_EQ(set("vtd.haw=46"), 46u);
  for (const char *on : {"1", "on", "true", "0x1"})
    EXPECT_EQ(set(std::string("vtd.cm=") + on), 1u) << on;
  for (const char *off : {"0", "off", "false"})
    EXPECT_EQ(set(std::string("vtd.qi=") + off), 0u) << off;
}

TEST(Config, WordsAreReadByNameOrNumber) {
  EXPECT_EQ(set("vtd.replacement=fifo"), 2u);
  EXPECT_EQ(set("vtd.replacement=3"), 3u);
  EXPECT_EQ(read("{\"vtd\": {\"replacement\": \"plru\"}}", "vtd.replacement"), 1u);
  EXPECT_EQ(read("{\"vtd\": {\"replacement\": 2}}", "vtd.replacement"), 2u);
  EXPECT_EQ(read("{\"vtd\": {\"psc_gpa\": \"on\"}}", "vtd.psc_gpa"), 1u);
  EXPECT_EQ(read("{\"vtd\": {\"psc_gpa\": true}}", "vtd.psc_gpa"), 1u);
}

TEST(Config, TimesAreDecimalsOfTheirUnit) {
  EXPECT_EQ(set("iommu.iotlb_ns=2.5"), 2500u); // in ps
  EXPECT_EQ(read("{\"iommu\": {\"iotlb_ns\": 2.3}}", "iommu.iotlb_ns"), 2300u);
  EXPECT_EQ(read("{\"iommu\": {\"iotlb_ns\": 0.001}}", "iommu.iotlb_ns"), 1u);
  EXPECT_EQ(read("{\"host\": {\"service_us\": 4000000}}", "host.service_us"), 4000000000u);
  ims::SystemConfig c;
  c.iommu.iotlb_ns = 2300;
  EXPECT_NE(ims::config_json(c, {"iommu"}).find("\"iotlb_ns\": 2.3,"), std::string::npos);
  EXPECT_EQ(refusal([] { read("{\"iommu\": {\n\"iotlb_ns\": 2.3456}}", ""); }),
            "x.json:2: key `iommu.iotlb_ns`: found 2.3456, expected a number from 0 to 100000 ns, with 3 decimals at "
            "most");
}

TEST(Config, WordsThatAreUnknownAreToldWhichThereAre) {
  EXPECT_EQ(refusal([] { set("vtd.replacement=belady"); }),
            "--set: key `vtd.replacement`: found `belady`, expected one of lru, plru, fifo, random");
  EXPECT_EQ(refusal([] { read("{\n\"vtd\": {\n\"replacement\": \"LRU\"}}", ""); }),
            "x.json:3: key `vtd.replacement`: found the string `LRU`, expected one of lru, plru, fifo, random");
  EXPECT_EQ(refusal([] { read("{\"vtd\": {\"replacement\": true}}", ""); }),
            "x.json:1: key `vtd.replacement`: found true, expected one of lru, plru, fifo, random");
  EXPECT_EQ(refusal([] { set("vtd.replacement=4"); }),
            "--set: key `vtd.replacement`: found `4`, expected one of lru, plru, fifo, random");
}

TEST(Config, MessagesNameRangeAndUnit) {
  EXPECT_EQ(refusal([] { set("vtd.haw=53"); }),
            "--set: key `vtd.haw`: found `53`, expected a number from 32 to 52 bits");
  EXPECT_EQ(refusal([] { set("vtd.iotlb_entries=17M"); }),
            "--set: key `vtd.iotlb_entries`: found `17M`, expected a number from 0 to 16777216 entries");
  EXPECT_EQ(refusal([] { read("{\"vtd\": {\n\"haw\": 1e9}}", ""); }),
            "x.json:2: key `vtd.haw`: found a number that is no integer, expected a number from 32 to 52 bits");
  EXPECT_EQ(refusal([] { set("vtd.qi=maybe"); }),
            "--set: key `vtd.qi`: found `maybe`, expected a number from 0 to 1, or false or true");
}

TEST(Config, UnknownKeysAreToldTheNearest) {
  EXPECT_EQ(refusal([] { set("vtd.iotlb_entires=1"); }),
            "--set: unknown key `vtd.iotlb_entires`; the nearest is `vtd.iotlb_entries`");
  EXPECT_EQ(refusal([] { set("iotlb_entries=1"); }),
            "--set: unknown key `iotlb_entries`; the nearest is `vtd.iotlb_entries`");
  EXPECT_EQ(refusal([] { set("smmu3=1"); }), "--set: unknown key `smmu3`; the nearest is `smmuv3`");
  EXPECT_EQ(refusal([] { read("// one\n{\"smuv3\": {}}", ""); }),
            "x.json:2: unknown key `smuv3`; the nearest is `smmuv3`");
  EXPECT_EQ(refusal([] { read("{\"vtd\": {\"haw\": 46,\n\n\"hawk\": 1}}", ""); }),
            "x.json:3: unknown key `vtd.hawk`; the nearest is `vtd.haw`");
}

TEST(Config, FilesGoOverEachOtherAndSettingsOverAll) {
  TempDir dir;
  std::string one = dir.path("one.json"), two = dir.path("two.json");
  write_file(one, "{\"$schema\": \"iommusim.schema.json\", \"vtd\": {\"haw\": 40, \"mamv\": 9, \"nd\": 5}}");
  write_file(two, "{\"vtd\": {\"haw\": 42, \"mamv\": 10}}");
  ims::SystemConfig c;
  ims::apply_sources(c, {{one, two}, {"vtd.haw=44", "vtd.iotlb_ways=1", "vtd.iotlb_ways=2"}});
  EXPECT_EQ(c.vtd.haw, 44u);
  EXPECT_EQ(c.vtd.mamv, 10u);
  EXPECT_EQ(c.vtd.nd, 5u);
  EXPECT_EQ(c.vtd.iotlb_ways, 2u);
  ims::SystemConfig other;
  ims::apply_sources(other, {{two, one}, {}});
  EXPECT_EQ(other.vtd.haw, 40u);
  Ran r = run_program({"config", "--config", one, "--config", two, "--set", "vtd.haw=44"});
  ASSERT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(json::parse(r.out).at("vtd").at("mamv").as_int64(), 10);
}

TEST(Config, SourcesTellOnlyWhatTheyName) {
  TempDir dir;
  std::string path = dir.path("c.json");
  write_file(path, "{\"smmuv3\": {\"ste_ways\": 2}, \"vtd\": {\"haw\": 52}}");
  std::vector<ims::Setting> named = ims::read_sources({{path}, {"vtd.haw=52", "vtd.nd=1"}});
  ASSERT_EQ(named.size(), 3u);
  EXPECT_EQ(named[0].knob->key, "vtd.nd");
  EXPECT_EQ(named[1].knob->key, "vtd.haw"); // although it is the default
  EXPECT_EQ(named[2].knob->key, "smmuv3.ste_ways");
}

// Presets.

TEST(Presets, AllLoadHoldAndDifferFromTheDefault) {
  ASSERT_FALSE(ims::presets().empty());
  std::string before = ims::config_json(ims::SystemConfig());
  for (const ims::Preset &p : ims::presets()) {
    ims::SystemConfig c;
    ASSERT_NO_THROW(ims::apply_sources(c, {{p.name}, {}})) << p.name;
    EXPECT_NE(ims::config_json(c), before) << p.name;
    EXPECT_EQ(p.text.rfind("// ", 0), 0u) << p.name;
    EXPECT_GT(p.title().size(), 10u) << p.name;
  }
}

TEST(Presets, AreTheFilesOfTheFolderByteForByte) {
  for (const char *name : {"xeon", "mmu600", "gem5-smmuv3", "hypersio", "hypersio-partitioned", "pcie-bench"}) {
    ASSERT_NE(ims::find_preset(name), nullptr) << name;
    EXPECT_EQ(ims::find_preset(name)->text, read_text(std::string(IMS_SOURCE_DIR "/configs/") + name + ".json"))
        << name;
  }
}

TEST(Presets, MergeIntoOneAnother) {
  ims::SystemConfig base, both;
  ims::apply_sources(base, {{"hypersio"}, {}});
  ims::apply_sources(both, {{"hypersio", "hypersio-partitioned"}, {}});
  EXPECT_EQ(base.vtd.s2_psc_partitions, 1u);
  EXPECT_EQ(both.vtd.s2_psc_partitions, 32u);
  EXPECT_EQ(both.vtd.s2_l2_entries, base.vtd.s2_l2_entries);
  EXPECT_EQ(both.device.gap_ns, 20333u); // 61 ns for three requests, in ps
  EXPECT_EQ(both.memory.read_ns, 50000u);
}

// S1L2 of gem5, which counts levels from the top, is the second from the last.
TEST(Presets, LevelsOfGem5AreCountedFromTheLast) {
  ims::SystemConfig c;
  ims::apply_sources(c, {{"gem5-smmuv3"}, {}});
  EXPECT_EQ(c.smmuv3.s1_l2_entries, 348u);
  EXPECT_EQ(c.smmuv3.s1_l4_entries, 4u);
  EXPECT_EQ(c.smmuv3.s2_l2_entries, 92u);
  EXPECT_EQ(c.smmuv3.s1_walk_levels, 7u);
}

TEST(Presets, UnknownOnesAreToldTheNearest) {
  Ran r = run_program({"config", "--config", "xeno"});
  EXPECT_EQ(r.status, 2);
  EXPECT_EQ(r.err, "iommusim: --config: found no file and no preset `xeno`; the nearest preset is `xeon`\n");
  r = run_program({"config", "--config", "xeon.json"}); // a file by its ending
  EXPECT_EQ(r.status, 2);
  EXPECT_NE(r.err.find("xeon.json: cannot be read"), std::string::npos) << r.err;
  r = run_program({"config", "--describe", "hypersoi"});
  EXPECT_EQ(r.status, 2);
  EXPECT_NE(r.err.find("unknown preset `hypersoi`; the nearest is `hypersio`"), std::string::npos) << r.err;
}

TEST(Presets, AreDescribedWithTheirReasons) {
  Ran r = run_program({"config", "--describe", "xeon"});
  EXPECT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(r.out, read_text(IMS_SOURCE_DIR "/configs/xeon.json"));
}

TEST(Presets, GoUnderWhatComesBehindThem) {
  ims::SystemConfig c;
  ims::apply_sources(c, {{"mmu600"}, {"smmuv3.ste_entries=7"}});
  EXPECT_EQ(c.smmuv3.ste_entries, 7u);
  EXPECT_EQ(c.smmuv3.cd_entries, 256u);
}

// The command.

TEST(ConfigCommand, SchemaDescribesEveryKey) {
  Ran r = run_program({"config", "--schema"});
  ASSERT_EQ(r.status, 0) << r.err;
  json::object schema = json::parse(r.out).as_object();
  EXPECT_EQ(schema.at("$schema").as_string(), "https://json-schema.org/draft/2020-12/schema");
  size_t keys = 0;
  for (const ims::Section &s : ims::sections()) {
    EXPECT_FALSE(schema.at("properties").at(s.name).at("additionalProperties").as_bool());
    keys += schema.at("properties").at(s.name).at("properties").as_object().size();
  }
  EXPECT_EQ(keys, ims::knobs().size());
  for (const ims::Knob &k : ims::knobs()) {
    const json::object &row = schema.at("properties").at(k.section).at("properties").at(k.name).as_object();
    EXPECT_EQ(row.at("description").as_string(), k.sentence) << k.key;
    if (k.unit && *k.unit) {
      EXPECT_EQ(row.at("x-unit").as_string(), k.unit) << k.key;
    }
    if (k.words) {
      for (uint32_t v = k.low; v <= k.high; v++)
        EXPECT_EQ(row.at("enum").as_array().at(v - k.low).as_string(), k.words[v - k.low]) << k.key;
      EXPECT_EQ(row.at("default").as_string(), k.words[k.def - k.low]) << k.key;
    } else if (k.scale > 1) {
      EXPECT_EQ(row.at("type").as_string(), "number") << k.key;
      EXPECT_DOUBLE_EQ(row.at("multipleOf").to_number<double>(), 0.001) << k.key;
      EXPECT_DOUBLE_EQ(row.at("minimum").to_number<double>() * k.scale, k.low) << k.key;
      EXPECT_DOUBLE_EQ(row.at("maximum").to_number<double>() * k.scale, k.high) << k.key;
      EXPECT_DOUBLE_EQ(row.at("default").to_number<double>() * k.scale, k.def) << k.key;
    } else {
      EXPECT_EQ(row.at("default").to_number<uint32_t>(), k.def) << k.key;
      EXPECT_EQ(row.at("minimum").to_number<uint32_t>(), k.low) << k.key;
      EXPECT_EQ(row.at("maximum").to_number<uint32_t>(), k.high) << k.key;
    }
  }
}

TEST(ConfigCommand, ListNamesEveryKeyAndPreset) {
  for (const std::vector<std::string> &line : {std::vector<std::string>{"config"}, {"config", "--list"}}) {
    Ran r = run_program(line);
    EXPECT_EQ(r.status, 0);
    for (const ims::Knob &k : ims::knobs())
      EXPECT_NE(r.out.find("\n" + k.key + " "), std::string::npos) << k.key;
    for (const ims::Preset &p : ims::presets()) {
      size_t row = r.out.find("\n" + p.name + " ");
      ASSERT_NE(row, std::string::npos) << p.name;
      EXPECT_NE(r.out.find(p.title() + "\n", row), std::string::npos) << p.name;
    }
  }
}

TEST(ConfigCommand, ListOfAnArchitectureIsThatAlone) {
  Ran r = run_program({"config", "--list", "--arch", "smmuv2"});
  EXPECT_EQ(r.status, 0);
  EXPECT_NE(r.out.find("\nsmmuv2.iotlb_entries "), std::string::npos);
  EXPECT_EQ(r.out.find("\nvtd."), std::string::npos);
  EXPECT_EQ(r.out.find("presets"), std::string::npos);
}

TEST(ConfigCommand, DescriptionShowsHowToSetTheKey) {
  Ran r = run_program({"config", "--describe", "vtd.iotlb_entries"});
  EXPECT_EQ(r.status, 0);
  EXPECT_NE(r.out.find("--set vtd.iotlb_entries=2048"), std::string::npos) << r.out;
  EXPECT_NE(r.out.find("0..16777216"), std::string::npos) << r.out;
  EXPECT_NE(r.out.find("unit     entries"), std::string::npos) << r.out;
  r = run_program({"config", "--describe", "vtd.replacement"});
  EXPECT_NE(r.out.find("words    lru, plru, fifo, random"), std::string::npos) << r.out;
  EXPECT_NE(r.out.find("{\"vtd\": {\"replacement\": \"lru\"}}"), std::string::npos) << r.out;
}

TEST(ConfigCommand, PartsAreDescribedByTheirRows) {
  for (const ims::Section &s : ims::sections()) {
    Ran r = run_program({"config", "--describe", s.name});
    EXPECT_EQ(r.status, 0) << r.err;
    for (const ims::Knob &k : ims::knobs())
      EXPECT_EQ(r.out.find("\n" + k.key + " ") != std::string::npos, k.section == s.name) << k.key;
  }
}

TEST(ConfigCommand, PrintShowsWhatFileAndSettingsComeTo) {
  Ran r = run_program({"config", "--print", "--set", "vtd.iotlb_ways=2"});
  ASSERT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(json::parse(r.out).at("vtd").at("iotlb_ways").as_int64(), 2);
  EXPECT_EQ(run_program({"config", "--set", "vtd.iotlb_ways=2"}).out, r.out);
  Ran d = run_program({"config", "--print-default"});
  EXPECT_EQ(json::parse(d.out).at("vtd").at("iotlb_ways").as_int64(), 8);
  EXPECT_EQ(run_program({"config", "--print"}).out, d.out);
}
