// SPDX-License-Identifier: Apache-2.0
// Generated bad input: files with bytes changed, cut and doubled are read or refused, never anything else; tables with
// random bits are walked and told.
#include "tests/tools/program.h"
#include "tools/config.h"
#include "tools/error.h"
#include "tools/requests.h"
#include "tools/snapshot.h"
#include "tools/system_config.h"
#include "trace/explain.h"

#include <random>

namespace {

std::string mutate(std::string text, std::mt19937_64 &random) {
  for (unsigned n = 1 + random() % 3; n; n--) {
    size_t at = text.empty() ? 0 : random() % text.size();
    switch (random() % 5) {
    case 0: text.insert(at, 1, static_cast<char>(random())); break;
    case 1: text.resize(at); break;
    case 2: text += text.substr(at, 20); break;
    case 3: text.insert(at, 1, "\t\n\r =#0x:.-{}[]\",/*p"[random() % 20]); break;
    default:
      if (!text.empty())
        text[at] = static_cast<char>(text[at] ^ 1 << random() % 8);
    }
  }
  return text;
}

// What a reader may do: take the text, or refuse it with one line.
template <class Read> void expect_taken_or_refused(const std::string &good, Read read, unsigned least) {
  std::mt19937_64 random(1);
  unsigned refused = 0;
  ASSERT_NO_THROW(read(good));
  for (int i = 0; i < 3000; i++) {
    std::string text = mutate(good, random);
    try {
      read(text);
    } catch (const ims::BadInput &e) {
      refused++;
      ASSERT_EQ(std::string(e.what()).find('\n'), std::string::npos) << e.what();
    }
  }
  EXPECT_GT(refused, least);
}

} // namespace

TEST(Hostile, RegisterFiles) {
  expect_taken_or_refused(
      "iommu = vtd\nVER = 0x10\nCAP = 0x81d2008c222f0606\n# x\nECAP = 0x880000f00f4e\nGSTS = 0xc7000000\nHAW = 48\n",
      [](const std::string &text) { ims::parse_registers(text, "x.regs"); }, 1000);
}

TEST(Hostile, Requests) {
  TempDir dir;
  std::string path = dir.path("r.tsv");
  expect_taken_or_refused(
      "source\tpasid\taccess\tiova\ttype\n00:03.0\t-\tr\t0x1000\tuntranslated\n0x18\t5\twp\t0x2000\ttranslated\n",
      [&](const std::string &text) {
        write_file(path, text);
        ims::RequestReader reader(path, 16);
        ims_request r;
        while (reader.next(&r))
          ASSERT_LE(r.source, 0xffffu);
      },
      1000);
}

TEST(Hostile, Configurations) {
  expect_taken_or_refused(
      "{\n  // small\n  \"vtd\": {\"iotlb_entries\": 64, \"haw\": 46, \"nest\": true}\n}\n",
      [](const std::string &text) {
        ims::SystemConfig c;
        ims::apply_json(c, text, "x.json");
      },
      1000);
}

TEST(Hostile, TablesWithRandomBitsAreToldToTheEnd) {
  std::mt19937_64 random(7);
  unsigned faults = 0;
  for (int i = 0; i < 400; i++) {
    Machine m = nested_machine();
    const uint64_t entries[] = {0x1000,  0x2300,  0x2308,  0x3000,  0x4140,   0x4148,   0x4150,   0x10000, 0x11000,
                                0x12000, 0x13028, 0x13038, 0x13048, 0x1057f0, 0x106000, 0x107488, 0x108a28};
    uint64_t &entry = m.at(entries[random() % (sizeof entries / sizeof entries[0])]);
    entry ^= 1ull << random() % 64;
    if (random() % 4 == 0)
      entry = random();
    TempDir dir;
    ims::Snapshot s(m.write(dir, scalable_registers), {},
                    i % 2 ? ims::Snapshot::CACHES_CONFIGURED : ims::Snapshot::CACHES_NONE);
    ims_request q = {};
    q.iova = nested_iova;
    q.source = 0x18;
    q.pasid = 5;
    q.has_pasid = true;
    q.access = IMS_ACC_W;
    ims::Explain e;
    ims_result r = ims::explain(s.iommu(), q, &e);
    std::ostringstream text;
    e.print(text, ims::ExplainStyle());
    for (const std::string &line : split(text.str(), '\n'))
      EXPECT_LE(line.size(), 110u) << line;
    const char *last = r.status == IMS_STATUS_FAULT ? "\nfault 0x" : "\nok  hpa 0x";
    EXPECT_NE(text.str().find(last), std::string::npos) << text.str();
    faults += r.status == IMS_STATUS_FAULT;
  }
  EXPECT_GT(faults, 150u);
  EXPECT_LT(faults, 400u);
}
