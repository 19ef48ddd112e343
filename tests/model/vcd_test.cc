// SPDX-License-Identifier: Apache-2.0
// Waves are read back, and say what they were told.
#include "model/vcd.h"

#include <gtest/gtest.h>
#include <map>
#include <sstream>

using namespace ims::model;

namespace {

// A VCD read back: by full name, the values by time.
struct Waves {
  std::map<std::string, unsigned> bits;
  std::map<std::string, std::map<Ticks, uint64_t>> changes;
  Ticks first = ~0ull, last = 0;
  std::vector<std::string> keywords;
};

Waves read_back(const std::string &text) {
  Waves waves;
  std::map<std::string, std::string> names;
  std::vector<std::string> scopes;
  std::istringstream in(text);
  std::string word;
  Ticks now = ~0ull;
  auto change = [&](const std::string &id, const std::string &binary) {
    ASSERT_TRUE(names.count(id)) << id;
    EXPECT_FALSE(waves.changes[names[id]].count(now)) << names[id] << " changes twice at " << now;
    waves.changes[names[id]][now] = std::stoull(binary, nullptr, 2);
  };
  while (in >> word) {
    if (word == "$var") {
      std::string type, width, id, name, end;
      in >> type >> width >> id >> name >> end;
      EXPECT_EQ(end, "$end");
      EXPECT_EQ(type, "wire");
      std::string full;
      for (const std::string &s : scopes)
        full += s + ".";
      EXPECT_TRUE(names.emplace(id, full + name).second) << id;
      waves.bits[full + name] = static_cast<unsigned>(std::stoul(width));
    } else if (word == "$scope") {
      std::string type, name;
      in >> type >> name >> word;
      scopes.push_back(name);
    } else if (word == "$upscope") {
      scopes.pop_back();
    } else if (word[0] == '$') {
      waves.keywords.push_back(word);
      if (word == "$timescale") {
        std::string n, unit;
        in >> n >> unit;
        EXPECT_EQ(n + unit, "1ps");
      }
      if (word == "$version")
        in >> word;
    } else if (word[0] == '#') {
      Ticks t = std::stoull(word.substr(1));
      EXPECT_TRUE(now == ~0ull || t > now) << t;
      now = t;
      waves.first = std::min(waves.first, t);
      waves.last = t;
    } else if (word[0] == 'b') {
      std::string id;
      in >> id;
      change(id, word.substr(1));
    } else {
      change(word.substr(1), word.substr(0, 1));
    }
  }
  EXPECT_TRUE(scopes.empty());
  return waves;
}

using Changes = std::map<Ticks, uint64_t>;

TEST(Vcd, SaysWhatItWasTold) {
  std::string text;
  Vcd vcd([&](std::string_view s) { text += s; });
  size_t depth = vcd.add("link0.tx.depth", 8), busy = vcd.add("link0.busy", 1), all = vcd.add("memory.bytes", 64);
  vcd.set(1000, depth, 5);
  vcd.set(1000, busy, 1);
  vcd.set(2500, all, ~0ull);
  vcd.set(4000, depth, 0);
  vcd.finish(9000);
  Waves w = read_back(text);
  EXPECT_EQ(w.bits, (std::map<std::string, unsigned>{{"link0.busy", 1}, {"link0.tx.depth", 8}, {"memory.bytes", 64}}));
  EXPECT_EQ(w.changes["link0.tx.depth"], (Changes{{0, 0}, {1000, 5}, {4000, 0}}));
  EXPECT_EQ(w.changes["link0.busy"], (Changes{{0, 0}, {1000, 1}}));
  EXPECT_EQ(w.changes["memory.bytes"], (Changes{{0, 0}, {2500, ~0ull}}));
  EXPECT_EQ(w.last, 9000u);
}

TEST(Vcd, HasNoDateOfTheHost) {
  std::string text;
  Vcd vcd([&](std::string_view s) { text += s; });
  vcd.add("x", 1);
  vcd.finish(10);
  EXPECT_EQ(text, "$version iommusim $end\n$timescale 1 ps $end\n$var wire 1 ! x $end\n$enddefinitions $end\n"
                  "#0\n$dumpvars\n0!\n$end\n#10\n");
}

TEST(Vcd, WhatChangesSeveralTimesAtOneTimeChangesOnceOrNotAtAll) {
  std::string text;
  Vcd vcd([&](std::string_view s) { text += s; });
  size_t a = vcd.add("a", 4), b = vcd.add("b", 4);
  vcd.set(10, a, 1);
  vcd.set(10, b, 1);
  vcd.set(10, a, 2);
  vcd.set(10, b, 0);
  vcd.set(15, b, 1);
  vcd.set(15, b, 0); // and back
  vcd.set(20, a, 2); // no change
  vcd.finish(30);
  Waves w = read_back(text);
  EXPECT_EQ(w.changes["a"], (Changes{{0, 0}, {10, 2}}));
  EXPECT_EQ(w.changes["b"], (Changes{{0, 0}}));
  EXPECT_EQ(text.find("#15"), std::string::npos);
  EXPECT_EQ(text.find("#20"), std::string::npos);
}

TEST(Vcd, AWindowBeginsWithTheValuesOfThatTime) {
  auto waves = [](Window window) {
    std::string text;
    Vcd vcd([&](std::string_view s) { text += s; }, window);
    size_t a = vcd.add("a", 16);
    for (Ticks t = 100; t <= 1000; t += 100)
      vcd.set(t, a, t);
    vcd.finish(1000);
    return read_back(text);
  };
  Waves w = waves({250, 500});
  EXPECT_EQ(w.changes["a"], (Changes{{250, 200}, {300, 300}, {400, 400}}));
  EXPECT_EQ(w.last, 500u);
  EXPECT_EQ(waves({300, 500}).changes["a"], (Changes{{300, 300}, {400, 400}}));
  EXPECT_EQ(waves({301, 302}).changes["a"], (Changes{{301, 300}}));
  EXPECT_EQ(waves({5000, 6000}).changes["a"], (Changes{{5000, 1000}}));
}

TEST(Vcd, TimeNeverGoesBack) {
  std::string text;
  Vcd vcd([&](std::string_view s) { text += s; });
  size_t a = vcd.add("a", 8);
  vcd.set(100, a, 1);
  vcd.set(50, a, 2); // a loosely timed caller that lags behind another
  vcd.finish(100);
  EXPECT_EQ(read_back(text).changes["a"], (Changes{{0, 0}, {100, 2}}));
}

TEST(Vcd, HundredsOfVariablesHaveNamesOfTheirOwn) {
  std::string text;
  Vcd vcd([&](std::string_view s) { text += s; });
  for (unsigned i = 0; i < 300; i++)
    vcd.add("queue" + std::to_string(i) + ".depth", 32);
  for (unsigned i = 0; i < 300; i++)
    vcd.set(i + 1, i, i + 7);
  vcd.finish(400);
  Waves w = read_back(text);
  ASSERT_EQ(w.bits.size(), 300u);
  for (unsigned i = 0; i < 300; i++)
    EXPECT_EQ(w.changes["queue" + std::to_string(i) + ".depth"], (Changes{{0, 0}, {i + 1, i + 7}}));
}

TEST(Vcd, AUnitShowsWalkersRequestsHitsAndMisses) {
  std::string text;
  Vcd vcd([&](std::string_view s) { text += s; });
  IommuObserver &unit = vcd.add_unit("iommu0");
  unit.state(1000, 1, 3, 0, 1);
  unit.state(1000, 2, 3, 0, 2);
  unit.state(7000, 0, 1, 5, 2);
  vcd.finish(8000);
  Waves w = read_back(text);
  EXPECT_EQ(w.changes["iommu0.walkers"], (Changes{{0, 0}, {1000, 2}, {7000, 0}}));
  EXPECT_EQ(w.changes["iommu0.pending"], (Changes{{0, 0}, {1000, 3}, {7000, 1}}));
  EXPECT_EQ(w.changes["iommu0.hits"], (Changes{{0, 0}, {7000, 5}}));
  EXPECT_EQ(w.changes["iommu0.misses"], (Changes{{0, 0}, {1000, 2}}));
}

TEST(Vcd, VariablesOfNoOrTooManyBitsAndLateOnesAreRefused) {
  Vcd vcd([](std::string_view) {});
  EXPECT_THROW(vcd.add("none", 0), std::logic_error);
  EXPECT_THROW(vcd.add("many", 65), std::logic_error);
  vcd.set(1, vcd.add("a", 1), 1);
  EXPECT_THROW(vcd.add("late", 1), std::logic_error);
}

} // namespace
