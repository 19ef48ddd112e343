// SPDX-License-Identifier: Apache-2.0
// The configuration: every key from one table, out and in again.
#include "tests/tools/program.h"
#include "tools/config.h"

#include <boost/json.hpp>

namespace json = boost::json;

TEST(Config, DefaultIsPrintedAsJsonAndReadsBackTheSame) {
  ims::Config c;
  for (const ims::Knob &k : ims::knobs())
    k.set(c, k.low);
  ims::apply_json(c, ims::config_json(ims::Config()), "default.json");
  for (const ims::Knob &k : ims::knobs())
    EXPECT_EQ(k.get(c), k.def) << k.key;
}

TEST(Config, EveryRowHasARangeAroundItsDefaultAndASentence) {
  for (const ims::Knob &k : ims::knobs()) {
    EXPECT_LE(k.low, k.def) << k.key;
    EXPECT_GE(k.high, k.def) << k.key;
    EXPECT_GT(std::string(k.sentence).size(), 2u) << k.key;
  }
  EXPECT_GT(ims::knobs().size(), 50u);
}

TEST(Config, CommentsAndTrailingCommasAndBooleansAreRead) {
  ims::Config c;
  ims::apply_json(c, "// small\n{\"vtd\": {\"iotlb_entries\": 64, /* none */ \"nest\": false, \"pt\": true,},}\n", "x");
  EXPECT_EQ(c.vtd.iotlb_entries, 64u);
  EXPECT_EQ(c.vtd.nest, 0u);
  EXPECT_EQ(c.vtd.pt, 1u);
}

TEST(Config, SettingsAreDecimalHexadecimalOrBoolean) {
  ims::Config c;
  ims::apply_setting(c, "vtd.iotlb_entries=0x40");
  ims::apply_setting(c, "vtd.haw=46");
  ims::apply_setting(c, "vtd.cm=true");
  EXPECT_EQ(c.vtd.iotlb_entries, 64u);
  EXPECT_EQ(c.vtd.haw, 46u);
  EXPECT_EQ(c.vtd.cm, 1u);
}

TEST(Config, SettingsComeBehindTheFile) {
  TempDir dir;
  std::string path = dir.path("c.json");
  write_file(path, "{\"$schema\": \"iommusim.schema.json\", \"vtd\": {\"haw\": 40, \"mamv\": 9}}");
  ims::Config c;
  ims::apply_sources(c, {path, {"vtd.haw=44"}});
  EXPECT_EQ(c.vtd.haw, 44u);
  EXPECT_EQ(c.vtd.mamv, 9u);
}

TEST(Config, SchemaDescribesEveryKey) {
  Ran r = run_program({"config", "--schema"});
  ASSERT_EQ(r.status, 0) << r.err;
  json::object schema = json::parse(r.out).as_object();
  EXPECT_EQ(schema.at("$schema").as_string(), "https://json-schema.org/draft/2020-12/schema");
  size_t keys = 0;
  for (const ims::Arch *a : ims::arches())
    keys += schema.at("properties").at(a->name).at("properties").as_object().size();
  EXPECT_EQ(keys, ims::knobs().size());
  for (const ims::Knob &k : ims::knobs()) {
    const json::object &row = schema.at("properties").at(k.section).at("properties").at(k.name).as_object();
    EXPECT_EQ(row.at("default").to_number<uint32_t>(), k.def) << k.key;
    EXPECT_EQ(row.at("minimum").to_number<uint32_t>(), k.low) << k.key;
    EXPECT_EQ(row.at("maximum").to_number<uint32_t>(), k.high) << k.key;
    EXPECT_EQ(row.at("description").as_string(), k.sentence) << k.key;
  }
}

TEST(Config, ListNamesEveryKey) {
  Ran r = run_program({"config"});
  EXPECT_EQ(r.status, 0);
  for (const ims::Knob &k : ims::knobs())
    EXPECT_NE(r.out.find("\n" + k.key + " "), std::string::npos) << k.key;
}

TEST(Config, DescriptionShowsHowToSetTheKey) {
  Ran r = run_program({"config", "--describe", "vtd.iotlb_entries"});
  EXPECT_EQ(r.status, 0);
  EXPECT_NE(r.out.find("--set vtd.iotlb_entries=2048"), std::string::npos) << r.out;
  EXPECT_NE(r.out.find("0..16777216"), std::string::npos) << r.out;
}

TEST(Config, PrintShowsWhatFileAndSettingsComeTo) {
  Ran r = run_program({"config", "--print", "--set", "vtd.iotlb_ways=2"});
  ASSERT_EQ(r.status, 0) << r.err;
  EXPECT_EQ(json::parse(r.out).at("vtd").at("iotlb_ways").as_int64(), 2);
  Ran d = run_program({"config", "--print-default"});
  EXPECT_EQ(json::parse(d.out).at("vtd").at("iotlb_ways").as_int64(), 8);
}
