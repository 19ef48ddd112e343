// SPDX-License-Identifier: Apache-2.0
// A SystemC simulation of its own, so that one process can run several, one after the other: construct a Simulation, then
// modules, bind and run them; destroy the modules before it. Platforms that have an sc_main need none of this.
#pragma once

#include "model/agenda.h"

namespace ims::model {

class Simulation {
public:
  Simulation();
  ~Simulation();
  Simulation(const Simulation &) = delete;
  Simulation &operator=(const Simulation &) = delete;

  void run();               // until nothing is left to do; the agenda runs ahead of the kernel
  void run(Ticks duration); // no further than that from now; the agenda stays with the kernel

private:
  sc_core::sc_simcontext *context_, *outer_;
  Agenda *outer_agenda_;
  sc_core::sc_simcontext *outer_agenda_context_;
};

} // namespace ims::model
