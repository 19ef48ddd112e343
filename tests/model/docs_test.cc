// SPDX-License-Identifier: Apache-2.0
// The tables of docs/model.md are those of the code. With IMS_UPDATE_DOCS=1 they are written anew.
#include "model/device.h"
#include "model/host.h"
#include "model/iommu.h"
#include "model/iommu_counters.h"
#include "model/link.h"
#include "model/llc.h"
#include "model/machine.h"
#include "model/memory.h"
#include "model/window.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

using namespace ims::model;

namespace {

const std::string page = IMS_SOURCE_DIR "/docs/model.md";

// The part of the page between `<!-- NAME -->` and `<!-- end -->`.
void expect_generated(const std::string &name, const std::string &table) {
  std::ifstream in(page);
  std::stringstream all;
  all << in.rdbuf();
  std::string text = all.str(), begin = "<!-- " + name + " -->\n";
  size_t at = text.find(begin), end = text.find("<!-- end -->", at == text.npos ? 0 : at);
  ASSERT_TRUE(at != text.npos && end != text.npos) << "no place for " << name;
  at += begin.size();
  const char *update = std::getenv("IMS_UPDATE_DOCS");
  if (update && *update)
    std::ofstream(page) << text.substr(0, at) + table + text.substr(end);
  else
    EXPECT_EQ(table, text.substr(at, end - at)) << name << ": IMS_UPDATE_DOCS=1 writes it anew";
}

// A number that may be kept in thousandths of its unit.
std::string number(const ims_option &o, uint32_t value) {
  if (o.scale != 1000 || value % 1000 == 0)
    return std::to_string(o.scale == 1000 ? value / 1000 : value);
  std::string s = decimal(value, 3);
  return s.substr(0, s.find_last_not_of('0') + 1);
}

std::string knobs(const Part &part) {
  std::string t = "| knob | default | range | what it says |\n|---|---|---|---|\n";
  for (const ims_option &o : part.rows) {
    std::string def = number(o, o.def), range = number(o, o.low) + " to " + number(o, o.high);
    if (o.words) {
      def = o.words[o.def - o.low];
      range.clear();
      for (unsigned i = 0; o.words[i]; i++)
        range += (i ? ", " : "") + std::string(o.words[i]);
    } else if (o.unit && *o.unit) {
      range += std::string(" ") + o.unit;
    }
    t += "| `" + std::string(part.name) + "." + o.name + "` | " + def + " | " + range + " | " + o.sentence + " |\n";
  }
  return t;
}

struct Row {
  const char *name, *unit, *sentence;
};

std::string statistics(const std::vector<Row> &rows) {
  std::string t = "| counter | unit | what is counted |\n|---|---|---|\n";
  for (const Row &r : rows)
    t += "| `" + std::string(r.name) + "` | " + r.unit + " | " + r.sentence + " |\n";
  return t;
}

#define ROW(name, unit, sentence) {#name, unit, sentence},

TEST(Documentation, KnobsOfTheModelAreTheRows) {
  const Part *const parts[] = {&IommuConfig::part(),  &MemoryConfig::part(), &LlcConfig::part(),    &LinkConfig::part(),
                               &DeviceConfig::part(), &HostConfig::part(),   &MachineConfig::part()};
  for (const Part *p : parts)
    expect_generated("knobs of " + std::string(p->name), knobs(*p));
}

TEST(Documentation, StatisticsOfTheModelAreTheRows) {
  expect_generated("statistics of iommu", statistics({IMS_MODEL_IOMMU_STATISTICS(ROW)}));
  expect_generated("statistics of memory", statistics({IMS_MODEL_MEMORY_STATISTICS(ROW)}));
  expect_generated("statistics of llc", statistics({IMS_MODEL_LLC_STATISTICS(ROW)}));
  expect_generated("statistics of link", statistics({IMS_MODEL_LINK_STATISTICS(ROW)}));
  expect_generated("statistics of device", statistics({IMS_MODEL_DEVICE_STATISTICS(ROW)}));
  expect_generated("statistics of host", statistics({IMS_MODEL_HOST_STATISTICS(ROW)}));
}

TEST(Documentation, CountersByHardwaresNamesAreTheRows) {
  for (const HardwareCounters &h : hardware_counters()) {
    std::string t = "| counter | unit | what is counted | from |\n|---|---|---|---|\n";
    for (const HardwareCounter &c : h.rows)
      t += "| `" + std::string(c.name) + "` | " + c.unit + " | " + c.sentence + " | " + c.from + " |\n";
    expect_generated("counters of " + std::string(h.object), t);
  }
}

} // namespace
