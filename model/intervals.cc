// SPDX-License-Identifier: Apache-2.0
#include "model/intervals.h"

#include <stdexcept>
#include <utility>

namespace ims::model {

Intervals::Intervals(Ticks every, Writer writer) : every_(every), write_(std::move(writer)) {
  if (!every)
    throw std::invalid_argument("iommusim: intervals of no length");
}

void Intervals::add(const std::string &name, const std::string &unit, Read read) {
  counters_.push_back({plain_name(name), plain_name(unit), std::move(read), 0});
}

void Intervals::start() {
  std::string heading = "time_ns";
  for (Counter &c : counters_) {
    heading += "," + c.name + " [" + c.unit + "]";
    c.last = c.read();
  }
  write_(heading + "\n");
  Agenda &agenda = Agenda::of_simulation();
  last_ = agenda.now();
  agenda.at<&Intervals::tick>(last_ + every_, this);
}

void Intervals::tick(uint64_t) {
  Agenda &agenda = Agenda::of_simulation();
  row(agenda.now());
  if (!agenda.idle() || sc_core::sc_pending_activity())
    agenda.at<&Intervals::tick>(agenda.now() + every_, this);
}

void Intervals::finish() {
  Ticks now = Agenda::of_simulation().now();
  if (now > last_)
    row(now);
}

void Intervals::row(Ticks now) {
  std::string line = decimal(now, 3);
  for (Counter &c : counters_) {
    uint64_t value = c.read();
    line += "," + std::to_string(value - c.last);
    c.last = value;
  }
  write_(line + "\n");
  last_ = now;
}

} // namespace ims::model
