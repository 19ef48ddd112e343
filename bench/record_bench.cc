// SPDX-License-Identifier: Apache-2.0
// What recording costs a call: a clock read twice, the argument in and out, compression included; and what it takes to read the
// recording again. Bytes a call as they lie in the file.
#include "trace/record.h"
#include "trace/stream.h"

#include <benchmark/benchmark.h>
#include <cstring>

namespace {

class Sink : public ims::RecordSink {
public:
  bool write(const void *bytes, size_t size) override {
    if (keep)
      text.append(static_cast<const char *>(bytes), size);
    written += size;
    return true;
  }
  bool keep = false;
  std::string text;
  uint64_t written = 0;
};

// A program that maps and unmaps: 40 bytes in and out, an address that moves on.
class Program {
public:
  explicit Program(ims::RecordSink *sink, const ims::RecordOptions &options) : recorder(sink, options) {
    recorder.text("iommusim-trace 1\nmemory hpa=0x0 size=64M\nkernel pool=1M pool_size=32M\n");
    process = recorder.process();
    file = recorder.open(process, "/dev/iommu", 3);
  }
  void call() {
    uint64_t arg = 0x7ffd12340000;
    std::memcpy(&bytes[16], &n, 8);
    std::memcpy(&bytes[32], &n, 8);
    recorder.ioctl(file, 0x3b85, arg);
    recorder.in(arg, bytes, 4);
    recorder.in(arg, bytes, sizeof bytes);
    recorder.out(arg, bytes, sizeof bytes);
    recorder.end(0);
    n += 4096;
  }
  ims::Recorder recorder;
  int process, file;
  uint64_t n = 0x7f0000000000;
  uint8_t bytes[40] = {40, 0, 0, 0, 7, 0, 0, 0, 2};
};

void record_call(benchmark::State &state) {
  Sink sink;
  ims::RecordOptions options;
  options.clock = ims::record_clock;
  Program program(&sink, options);
  for (auto _ : state)
    program.call();
  program.recorder.finish();
  state.counters["bytes"] = benchmark::Counter(static_cast<double>(sink.written), benchmark::Counter::kAvgIterations);
}

void record_page(benchmark::State &state) {
  Sink sink;
  Program program(&sink, {});
  uint64_t va = 0;
  for (auto _ : state) {
    program.recorder.page(program.process, va, true, 0, (1ull << 48) + (va ^ 0x5000), 4096);
    va += 4096;
  }
}

void read_call(benchmark::State &state) {
  Sink sink;
  sink.keep = true;
  ims::RecordOptions options;
  options.clock = ims::record_clock;
  Program program(&sink, options);
  for (unsigned i = 0; i < 100000; i++)
    program.call();
  program.recorder.finish();
  std::unique_ptr<ims::TraceReader> reader;
  ims::TraceItem item;
  for (auto _ : state)
    if (!reader || !reader->next(&item))
      reader = ims::read_trace(std::make_unique<ims::TextSource>(sink.text), "bench");
}

BENCHMARK(record_call)->Name("record/call");
BENCHMARK(record_page)->Name("record/page");
BENCHMARK(read_call)->Name("record/read_call");

} // namespace
