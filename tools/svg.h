// SPDX-License-Identifier: Apache-2.0
// Pictures as SVG 1.1: rectangles, lines and text, in whole pixels, the same bytes for the same input.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ims {

class Svg {
public:
  enum Anchor { START, MIDDLE, END };
  struct Style {
    unsigned size = 12;
    const char *fill = "#222222";
    bool bold = false;
    Anchor anchor = START;
  };

  void rectangle(unsigned x, unsigned y, unsigned width, unsigned height, const char *fill);
  void line(unsigned x1, unsigned y1, unsigned x2, unsigned y2, const char *stroke);
  // `y`: of the base line.
  void text(unsigned x, unsigned y, const std::string &text, const Style &style);

  // How wide a text is at most in the fonts that viewers take for sans-serif.
  static unsigned width(const std::string &text, unsigned size);

  // The picture, on white. `title`, `sentence`: for those who hear it.
  std::string picture(unsigned width, unsigned height, const std::string &title, const std::string &sentence) const;

private:
  std::string body_;
};

// Grouped horizontal bars: groups from top to bottom with a heading now and then, some panels side by side, in each the
// same series. For bench walk and whoever else compares.
struct BarChart {
  struct Series {
    std::string name;
    const char *fill;
  };
  struct Panel {
    std::string title, unit; // "references a request"
  };
  struct Bar {
    bool there = false;
    uint64_t value = 0; // in thousandths of the unit
    std::string text;
  };
  struct Group {
    std::string heading; // of the groups from here on; empty: none
    std::string label;
    std::vector<std::vector<Bar>> bars; // by panel, by series
  };

  std::string title;
  std::vector<std::string> notes; // lines below the title
  std::vector<Series> series;
  std::vector<Panel> panels;
  std::vector<Group> groups;

  std::string svg() const;
};

} // namespace ims
