// SPDX-License-Identifier: Apache-2.0
// Any bytes as a trace: a result or an error with its place, and what is printed is understood again. Short traces that
// are well-formed are played, too: their ioctls reach the kernel, their descriptors and registers the hardware.
#include "trace/events.h"
#include "trace/player.h"

#include <cstdio>
#include <cstdlib>

namespace {

[[noreturn]] void broken(const char *what, const std::string &text) {
  std::fprintf(stderr, "%s:\n%s\n", what, text.c_str());
  std::abort();
}

// Numbers that would only cost time or memory.
bool is_modest(const ims::Trace &trace) {
  if (trace.events.size() > 64)
    return false;
  for (const ims::Event &e : trace.events)
    for (const ims::Arg &a : e.args) {
      bool costs = a.key == "size" || a.key == "pool_size" || a.key == "atc" || a.key == "buffer" ||
                   a.key.find("_entries") != std::string::npos;
      for (const ims::Sum &s : a.value.sums)
        for (const ims::Term &t : s)
          if (costs && (t.kind != ims::Term::NUMBER || t.minus || t.number > (64u << 20)))
            return false;
    }
  return true;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::string text(reinterpret_cast<const char *>(data), size);
  ims::Trace trace;
  try {
    trace = ims::parse_trace(text, "fuzz");
  } catch (const ims::TraceError &e) {
    if (std::string(e.what()).compare(0, 5, "fuzz:") != 0)
      broken("an error without its place", e.what());
    return 0;
  }
  std::string printed = ims::print_trace(trace);
  try {
    ims::Trace again = ims::parse_trace(printed, "printed");
    if (again.events.size() != trace.events.size() || ims::print_trace(again) != printed)
      broken("printed twice, not the same", printed);
    for (size_t i = 0; i < trace.events.size(); i++)
      if (!ims::same(trace.events[i], again.events[i]))
        broken("an event changed", ims::print_event(trace.events[i]));
  } catch (const ims::TraceError &e) {
    broken(e.what(), printed);
  }
  if (!is_modest(trace))
    return 0;
  ims::PlayObserver nobody;
  ims::PlayOptions options;
  options.max_dma = 4096;
  try {
    ims::Player player(trace, options, &nobody);
    player.run();
  } catch (const ims::TraceError &) {}
  return 0;
}
