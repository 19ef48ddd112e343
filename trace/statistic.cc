// SPDX-License-Identifier: Apache-2.0
#include "trace/statistic.h"

#include <algorithm>

namespace ims {

namespace {

__extension__ typedef unsigned __int128 Wide; // a sum times a thousand

std::string number(uint64_t n) { return std::to_string(n); }

void pad(std::string *line, size_t width) {
  if (line->size() < width)
    line->append(width - line->size(), ' ');
}

std::string json_string(const std::string &text) {
  static const char digits[] = "0123456789abcdef";
  std::string out = "\"";
  for (char c : text) {
    unsigned char u = static_cast<unsigned char>(c);
    if (u < 0x20) {
      out += "\\u00";
      out += digits[u >> 4];
      out += digits[u & 15];
      continue;
    }
    if (c == '"' || c == '\\')
      out += '\\';
    out += c;
  }
  return out + "\"";
}

std::string json_value(const Statistic &s) {
  if (s.kind != Statistic::HISTOGRAM)
    return s.values()[0].second;
  std::string out = "{";
  size_t prefix = s.key().size() + 1;
  for (const auto &[key, value] : s.values())
    out += json_string(key.substr(prefix)) + ": " + value + ", ";
  out += "\"bins\": [";
  const char *comma = "";
  for (const HistogramSummary::Bin &b : s.histogram.bins) {
    out += comma + ("[" + number(b.first)) + ", " + number(b.last) + ", " + number(b.count) + "]";
    comma = ", ";
  }
  return out + "]}";
}

std::string csv_field(const std::string &text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos)
    return text;
  std::string out = "\"";
  for (char c : text) {
    if (c == '"')
      out += c;
    out += c;
  }
  return out + "\"";
}

} // namespace

std::string mean_text(uint64_t sum, uint64_t count) {
  if (!count)
    return "0.000";
  Wide thousandths = (static_cast<Wide>(sum) * 1000 + count / 2) / count;
  std::string decimals = number(static_cast<uint64_t>(thousandths % 1000));
  return number(static_cast<uint64_t>(thousandths / 1000)) + "." + std::string(3 - decimals.size(), '0') + decimals;
}

std::string Statistic::key() const { return object.empty() ? name : object + "." + name; }

std::vector<std::pair<std::string, std::string>> Statistic::values() const {
  std::string k = key();
  switch (kind) {
  case COUNT: return {{k, number(count)}};
  case MEAN: return {{k, mean_text(count, of)}};
  case HISTOGRAM: break;
  }
  const HistogramSummary &h = histogram;
  return {{k + ".count", number(h.count)}, {k + ".min", number(h.min)}, {k + ".mean", mean_text(h.sum, h.count)},
          {k + ".p50", number(h.p50)},     {k + ".p90", number(h.p90)}, {k + ".p99", number(h.p99)},
          {k + ".p99.9", number(h.p999)},  {k + ".max", number(h.max)}};
}

std::string statistics_text(const std::vector<Statistic> &all, bool interrupted) {
  struct Row {
    std::string key, value;
    const Statistic *of;
  };
  std::vector<Row> rows;
  size_t keys = 40, values = 14, units = 12;
  for (const Statistic &s : all) {
    units = std::max(units, std::string_view(s.unit).size());
    for (auto &[key, value] : s.values()) {
      keys = std::max(keys, key.size());
      values = std::max(values, value.size());
      rows.push_back({key, value, &s});
    }
  }
  std::string out;
  if (interrupted)
    out += "# interrupted: the run was cut short, and these are the numbers until then\n";
  for (const Row &r : rows) {
    std::string line = r.key;
    pad(&line, keys + 1 + values - r.value.size());
    line += r.value + "  " + r.of->unit;
    pad(&line, keys + values + units + 5);
    out += line + "# " + r.of->sentence + "\n";
  }
  return out;
}

std::string statistics_json(const std::vector<Statistic> &all, uint64_t seed, bool interrupted) {
  std::string out = "{\n  \"format\": \"iommusim-statistics 1\",\n  \"seed\": " + number(seed);
  if (interrupted)
    out += ",\n  \"interrupted\": true";
  for (const Statistic &s : all)
    out += ",\n  " + json_string(s.key()) + ": " + json_value(s);
  return out + "\n}\n";
}

std::string statistics_csv(const std::vector<Statistic> &all, bool interrupted) {
  std::string out = "key,value,unit\n";
  if (interrupted)
    out += "interrupted,true,\n";
  for (const Statistic &s : all)
    for (const auto &[key, value] : s.values())
      out += csv_field(key) + "," + value + "," + csv_field(s.unit) + "\n";
  return out;
}

} // namespace ims
