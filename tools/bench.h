// SPDX-License-Identifier: Apache-2.0
// What the subcommands of `iommusim bench` share.
#pragma once

#include "tools/options.h"
#include "tools/system_config.h"

#include <string>

namespace ims {

int cmd_bench_dma(int argc, char **argv);
int cmd_bench_walk(int argc, char **argv);

// A number from `low` to `high` that an option of `command` says: "bench walk: --requests: found ..., expected ...".
uint64_t number_option(const Options &o, const char *command, const char *name, uint64_t low, uint64_t high);
model::Timing timing_option(const Options &o, const char *command, const char *name);

// Sets a knob of the configuration to what an option says, if it was given, as --set would.
void knob_option(const Options &o, const char *command, const char *name, const char *key, SystemConfig *c);

// Whether --config or --set say something of a key.
bool is_set(const Options &o, const char *key);

// "12 345.6": ps as ns with one decimal. And thousandths of a unit, "4.712".
std::string ns_text(uint64_t sum_ps, uint64_t count);
std::string millions_text(uint64_t n); // "4.712" of 4712345

// An output folder, made if it is not there.
void make_output_folder(const std::string &path);
void write_output(const std::string &path, const std::string &text); // whole or not at all

} // namespace ims
