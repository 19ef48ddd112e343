// SPDX-License-Identifier: Apache-2.0
#include "trace/statistic.h"

#include <algorithm>
#include <utility>

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
    return s.numbers()[0].value;
  std::string out = "{";
  size_t prefix = s.key().size() + 1;
  for (const Statistic::Number &n : s.numbers())
    out += json_string(n.key.substr(prefix)) + ": " + n.value + ", ";
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

std::vector<Statistic::Number> Statistic::numbers() const {
  std::string k = key();
  switch (kind) {
  case COUNT: return {{k, number(count), unit}};
  case MEAN: return {{k, mean_text(count, of), unit}};
  case HISTOGRAM: break;
  }
  const HistogramSummary &h = histogram;
  return {{k + ".count", number(h.count), "values"},
          {k + ".min", number(h.min), unit},
          {k + ".mean", mean_text(h.sum, h.count), unit},
          {k + ".p50", number(h.p50), unit},
          {k + ".p90", number(h.p90), unit},
          {k + ".p99", number(h.p99), unit},
          {k + ".p99.9", number(h.p999), unit},
          {k + ".max", number(h.max), unit}};
}

std::string statistics_text(const std::vector<Statistic> &all, bool interrupted) {
  std::vector<std::pair<Statistic::Number, const char *>> rows; // with their sentences
  size_t keys = 40, values = 14, units = 12;
  for (const Statistic &s : all)
    for (Statistic::Number &n : s.numbers()) {
      keys = std::max(keys, n.key.size());
      values = std::max(values, n.value.size());
      units = std::max(units, n.unit.size());
      rows.emplace_back(std::move(n), s.sentence);
    }
  std::string out;
  if (interrupted)
    out += "# interrupted: the run was cut short, and these are the numbers until then\n";
  for (const auto &[n, sentence] : rows) {
    std::string line = n.key;
    pad(&line, keys + 1 + values - n.value.size());
    line += n.value + "  " + n.unit;
    pad(&line, keys + values + units + 5);
    out += line + "# " + sentence + "\n";
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
    for (const Statistic::Number &n : s.numbers())
      out += csv_field(n.key) + "," + n.value + "," + csv_field(n.unit) + "\n";
  return out;
}

} // namespace ims
