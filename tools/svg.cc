// SPDX-License-Identifier: Apache-2.0
#include "tools/svg.h"

#include <algorithm>

namespace ims {

static std::string escaped(const std::string &text) {
  std::string out;
  for (char c : text) {
    switch (c) {
    case '&': out += "&amp;"; break;
    case '<': out += "&lt;"; break;
    case '>': out += "&gt;"; break;
    case '"': out += "&quot;"; break;
    default: out += c;
    }
  }
  return out;
}

static std::string attribute(const char *name, uint64_t value) {
  return std::string(" ") + name + "=\"" + std::to_string(value) + "\"";
}
static std::string attribute(const char *name, const std::string &value) {
  return std::string(" ") + name + "=\"" + escaped(value) + "\"";
}

void Svg::rectangle(unsigned x, unsigned y, unsigned width, unsigned height, const char *fill) {
  body_ += "<rect" + attribute("x", x) + attribute("y", y) + attribute("width", width) + attribute("height", height) +
           attribute("fill", std::string(fill)) + "/>\n";
}

void Svg::line(unsigned x1, unsigned y1, unsigned x2, unsigned y2, const char *stroke) {
  body_ += "<line" + attribute("x1", x1) + attribute("y1", y1) + attribute("x2", x2) + attribute("y2", y2) +
           attribute("stroke", std::string(stroke)) + "/>\n";
}

void Svg::text(unsigned x, unsigned y, const std::string &text, const Style &style) {
  static const char *const anchors[] = {"start", "middle", "end"};
  body_ += "<text" + attribute("x", x) + attribute("y", y) + attribute("font-size", style.size) +
           attribute("fill", std::string(style.fill));
  if (style.anchor != START)
    body_ += attribute("text-anchor", std::string(anchors[style.anchor]));
  if (style.bold)
    body_ += attribute("font-weight", std::string("bold"));
  body_ += ">" + escaped(text) + "</text>\n";
}

unsigned Svg::width(const std::string &text, unsigned size) {
  return static_cast<unsigned>((text.size() * size * 62 + 99) / 100);
}

std::string Svg::picture(unsigned width, unsigned height, const std::string &title, const std::string &sentence) const {
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\"" +
         attribute("width", width) + attribute("height", height) + " viewBox=\"0 0 " + std::to_string(width) + " " +
         std::to_string(height) + "\" font-family=\"DejaVu Sans, Verdana, Arial, sans-serif\">\n<title>" +
         escaped(title) + "</title>\n<desc>" + escaped(sentence) + "</desc>\n<rect width=\"100%\" height=\"100%\"" +
         " fill=\"#ffffff\"/>\n" + body_ + "</svg>\n";
}

// Bars.

namespace {

enum : unsigned { MARGIN = 20, FONT = 12, BAR = 13, GAP = 9, BARS = 210, HEADING = 34, PANEL_GAP = 28 };

// The next larger of 1, 2, 5 times a power of ten, in units; four or five of them are an axis.
uint64_t step_of(uint64_t most) {
  uint64_t step = 1;
  for (unsigned i = 0; step * 5 < most; i++)
    step = i % 3 == 1 ? step / 2 * 5 : step * 2;
  return step;
}

} // namespace

std::string BarChart::svg() const {
  Svg s;
  Svg::Style plain, bold, faint, right, number;
  plain.size = right.size = FONT;
  bold.size = 13;
  bold.bold = true;
  faint.size = number.size = 11;
  faint.fill = "#666666";
  faint.anchor = Svg::MIDDLE;
  right.anchor = Svg::END;

  unsigned label = 0;
  std::vector<uint64_t> most(panels.size(), 0);
  std::vector<unsigned> room(panels.size(), 0); // of the numbers behind bars
  for (const Group &g : groups) {
    label = std::max({label, Svg::width(g.label, FONT), Svg::width(g.heading, 13)});
    for (size_t p = 0; p < panels.size(); p++)
      for (const Bar &b : g.bars[p]) {
        most[p] = std::max(most[p], b.value);
        room[p] = std::max(room[p], Svg::width(b.text, number.size));
      }
  }

  unsigned y = MARGIN + 18, width = 0;
  Svg::Style large = bold;
  large.size = 17;
  s.text(MARGIN, y, title, large);
  width = Svg::width(title, 18);
  for (const std::string &note : notes) {
    s.text(MARGIN, y += 19, note, plain);
    width = std::max(width, Svg::width(note, FONT));
  }
  y += 28;
  unsigned x = MARGIN;
  for (const Series &entry : series) {
    s.rectangle(x, y - 11, 14, 12, entry.fill);
    s.text(x + 20, y, entry.name, plain);
    x += 20 + Svg::width(entry.name, FONT) + 30;
  }
  width = std::max(width, x);
  y += 34;

  const unsigned bars_high = static_cast<unsigned>(series.size()) * (BAR + 1), group_high = bars_high + GAP;
  unsigned high = 0;
  for (const Group &g : groups)
    high += group_high + (g.heading.empty() ? 0u : unsigned{HEADING});

  // Axes first, so that bars lie over them.
  std::vector<unsigned> left(panels.size());
  std::vector<uint64_t> full(panels.size());
  x = MARGIN + label + 14;
  for (size_t p = 0; p < panels.size(); p++) {
    left[p] = x;
    uint64_t step = step_of((most[p] + 999) / 1000);
    full[p] = std::max<uint64_t>(1, ((most[p] + 999) / 1000 + step - 1) / step) * step * 1000;
    s.text(x, y - 20, panels[p].title + ", " + panels[p].unit, bold);
    for (uint64_t v = 0; v * 1000 <= full[p]; v += step) {
      unsigned at = x + static_cast<unsigned>(v * 1000 * BARS / full[p]);
      s.line(at, y, at, y + high, v ? "#dddddd" : "#888888");
      s.text(at, y - 4, std::to_string(v), faint);
    }
    x += std::max<unsigned>(BARS + room[p] + 6, Svg::width(panels[p].title + ", " + panels[p].unit, 13)) + PANEL_GAP;
  }
  width = std::max(width, x);

  for (const Group &g : groups) {
    if (!g.heading.empty()) {
      s.text(MARGIN, y + HEADING - 10, g.heading, bold);
      s.line(MARGIN, y + HEADING - 5, width, y + HEADING - 5, "#bbbbbb");
      y += HEADING;
    }
    s.text(MARGIN + label, y + bars_high / 2 + FONT / 2 - 1, g.label, right);
    for (size_t p = 0; p < panels.size(); p++)
      for (size_t i = 0; i < g.bars[p].size(); i++) {
        const Bar &b = g.bars[p][i];
        if (!b.there)
          continue;
        unsigned top = y + static_cast<unsigned>(i) * (BAR + 1);
        unsigned long_ = static_cast<unsigned>(b.value * BARS / full[p]);
        if (long_)
          s.rectangle(left[p], top, long_, BAR, series[i].fill);
        s.text(left[p] + long_ + 4, top + BAR - 2, b.text, number);
      }
    y += group_high;
  }
  return s.picture(width + MARGIN, y + MARGIN, title, notes.empty() ? title : notes.front());
}

} // namespace ims
