// SPDX-License-Identifier: Apache-2.0
#include "model/vcd.h"

#include <algorithm>
#include <stdexcept>

namespace ims::model {

namespace {

// Short names of variables: numbers to the base of 94, of printable characters.
std::string identifier(size_t n) {
  std::string out;
  do {
    out += static_cast<char>('!' + n % 94);
    n /= 94;
  } while (n--);
  return out;
}

std::vector<std::string> scopes(const std::string &name) {
  std::vector<std::string> out;
  size_t at = 0;
  for (size_t dot; (dot = name.find('.', at)) != std::string::npos; at = dot + 1)
    out.push_back(name.substr(at, dot - at));
  return out;
}

} // namespace

// The four curves of a unit.
class Vcd::Unit : public IommuObserver {
public:
  Unit(Vcd &vcd, const std::string &name) : vcd_(vcd), first_(vcd.add(name + ".walkers", 32)) {
    vcd.add(name + ".pending", 32);
    vcd.add(name + ".hits", 64);
    vcd.add(name + ".misses", 64);
  }
  void state(Ticks t, unsigned walkers, unsigned pending, uint64_t hits, uint64_t misses) override {
    vcd_.set(t, first_, walkers);
    vcd_.set(t, first_ + 1, pending);
    vcd_.set(t, first_ + 2, hits);
    vcd_.set(t, first_ + 3, misses);
  }

private:
  Vcd &vcd_;
  size_t first_;
};

Vcd::Vcd(Writer writer, Window window) : write_(std::move(writer)), window_(window) {}

size_t Vcd::add(const std::string &name, unsigned bits) {
  if (headed_ || now_ || !bits || bits > 64)
    throw std::logic_error("iommusim: a variable of a VCD is declared too late, or has no or too many bits");
  variables_.push_back({plain_name(name), identifier(variables_.size()), bits, 0, 0});
  return variables_.size() - 1;
}

IommuObserver &Vcd::add_unit(const std::string &name) {
  units_.push_back(std::make_unique<Unit>(*this, name));
  return *units_.back();
}

void Vcd::set(Ticks t, size_t variable, uint64_t value) {
  if (finished_)
    return;
  if (t > now_) {
    settle();
    now_ = t;
  }
  Variable &v = variables_[variable];
  changed_ |= v.value != value;
  v.value = value;
}

void Vcd::finish(Ticks end) {
  if (finished_)
    return;
  settle();
  if (!begun_)
    begin();
  finished_ = true;
  Ticks last = std::max(std::min(end, window_.to), window_.from);
  if (last > written_)
    write_("#" + std::to_string(last) + "\n");
}

void Vcd::settle() {
  if (!changed_)
    return;
  changed_ = false;
  bool within = window_.holds(now_);
  if (within && now_ > window_.from && !begun_)
    begin();
  bool differ = std::any_of(variables_.begin(), variables_.end(), [](const Variable &v) { return v.value != v.shown; });
  if (within && begun_ && differ) {
    write_("#" + std::to_string(now_) + "\n");
    written_ = now_;
  }
  for (Variable &v : variables_) {
    bool differs = v.value != v.shown;
    if (now_ < window_.to)
      v.shown = v.value;
    if (within && begun_ && differs)
      put(v);
  }
  if (within && !begun_)
    begin(); // now_ is where the window begins
}

void Vcd::begin() {
  head();
  begun_ = true;
  written_ = window_.from;
  write_("#" + std::to_string(window_.from) + "\n$dumpvars\n");
  for (const Variable &v : variables_)
    put(v);
  write_("$end\n");
}

void Vcd::head() {
  headed_ = true;
  std::string text = "$version iommusim $end\n$timescale 1 ps $end\n";
  std::vector<std::string> open;
  auto close_to = [&](size_t depth) {
    for (; open.size() > depth; open.pop_back())
      text += "$upscope $end\n";
  };
  for (const Variable &v : variables_) {
    std::vector<std::string> path = scopes(v.name);
    size_t same = 0;
    while (same < open.size() && same < path.size() && open[same] == path[same])
      same++;
    close_to(same);
    for (; same < path.size(); same++) {
      text += "$scope module " + path[same] + " $end\n";
      open.push_back(path[same]);
    }
    text += "$var wire " + std::to_string(v.bits) + " " + v.id + " " + v.name.substr(v.name.rfind('.') + 1) + " $end\n";
  }
  close_to(0);
  write_(text + "$enddefinitions $end\n");
}

void Vcd::put(const Variable &v) {
  std::string text;
  for (unsigned bit = v.bits; bit--;) // without leading zeros, as the standard extends them
    if (v.shown >> bit & 1 || !text.empty() || !bit)
      text += v.shown >> bit & 1 ? '1' : '0';
  write_(v.bits == 1 ? text + v.id + "\n" : "b" + text + " " + v.id + "\n");
}

} // namespace ims::model
