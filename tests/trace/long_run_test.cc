// SPDX-License-Identifier: Apache-2.0
// A million calls (in debug a tenth) of a program that nobody wrote, recorded and played again: the same results, memory,
// registers and queues; and what reading them keeps in memory does not grow with them.
#include "tests/mem/files.h"
#include "tests/trace/recorded_program.h"
#include "tools/save.h"
#include "tools/trace_sink.h"
#include "trace/events.h"
#include "trace/stats.h"

#include <random>
#include <sys/resource.h>

namespace ims {
namespace {

#ifdef NDEBUG
constexpr uint64_t calls = 1000000;
#else
constexpr uint64_t calls = 100000;
#endif

const char machine[] = "iommusim-trace 1\n"
                       "memory hpa=0x0 size=256M\n"
                       "kernel pool=1M pool_size=255M\n"
                       "iommu iommu0\n"
                       "device dev0 iommu=iommu0 source=00:03.0 group=7 pasid_bits=20\n"
                       "process vmm\n"
                       "mmap vmm va=0x7f0000000000 size=4M populate\n"
                       "open i0 /dev/iommu process=vmm\n"
                       "open d0 /dev/vfio/devices/vfio0 process=vmm\n"
                       "ioctl d0 VFIO_DEVICE_BIND_IOMMUFD iommufd=i0 expect ret=0\n"
                       "ioctl i0 IOMMU_IOAS_ALLOC expect ret=0 let ioas=out_ioas_id\n"
                       "ioctl d0 VFIO_DEVICE_ATTACH_IOMMUFD_PT pt_id=$ioas expect ret=0\n";

// Maps and unmaps in 64 places, now and then something else: an address space that comes and goes, a DMA, and mistakes.
class Program : public EventStream {
public:
  explicit Program(uint64_t count) : trace_(parse_trace(machine, "program")), left_(count) {}
  const std::string &name() const override { return trace_.name; }
  const Event *next() override {
    if (at_ < trace_.events.size())
      return &trace_.events[at_++];
    if (!left_)
      return nullptr;
    left_--;
    unsigned what = random_() % 64, place = random_() % 64;
    if (what == 0)
      return dma(0x100000 + place * 0x10000ull);
    if (what == 1)
      return raw(IMS_IOMMU_IOAS_ALLOC, std::string("\x0c\0\0\0\0\0\0\0\0\0\0\0", 12));
    if (what == 2)
      return raw(0x3bff, "");
    if (what == 3)
      return raw(IMS_IOMMU_IOAS_ALLOC, "12"); // too short a buffer
    if (what == 4) {
      ims_iommu_destroy d{};
      d.size = sizeof d;
      d.id = static_cast<uint32_t>(random_() % 4000);
      return raw(IMS_IOMMU_DESTROY, bytes_of(d));
    }
    if (what < 36) {
      ims_iommu_ioas_map m{};
      m.size = sizeof m;
      m.flags = IMS_IOAS_MAP_FIXED_IOVA | IMS_IOAS_MAP_READABLE | IMS_IOAS_MAP_WRITEABLE;
      m.ioas_id = 2;
      m.length = 4096 * (1 + random_() % 16);
      m.iova = 0x100000 + place * 0x10000ull;
      m.user_va = 0x7f0000000000 + 4096 * (random_() % 1024); // beyond the end of the memory, too
      return raw(IMS_IOMMU_IOAS_MAP, bytes_of(m));
    }
    ims_iommu_ioas_unmap u{};
    u.size = sizeof u;
    u.ioas_id = 2;
    u.iova = 0x100000 + place * 0x10000ull;
    u.length = 0x10000;
    return raw(IMS_IOMMU_IOAS_UNMAP, bytes_of(u));
  }

private:
  template <class T> static std::string bytes_of(const T &t) { return {reinterpret_cast<const char *>(&t), sizeof t}; }
  static Sum number(uint64_t n) {
    Term t;
    t.number = n;
    t.form = Form::HEX;
    return {t};
  }
  Value &add(const char *key, Type type) {
    event_.args.emplace_back();
    event_.args.back().key = key;
    event_.args.back().value.type = type;
    return event_.args.back().value;
  }
  const Event *raw(uint32_t word, const std::string &bytes) {
    event_ = {};
    event_.info = &event_info(EventId::IOCTL_RAW);
    add("NAME", Type::NAME).text = "i0";
    add("WORD", Type::NUMBER).sums.push_back(number(word));
    add("bytes", Type::BYTES).text = bytes;
    return &event_;
  }
  const Event *dma(uint64_t iova) {
    event_ = {};
    event_.info = &event_info(EventId::DMA);
    add("NAME", Type::NAME).text = "dev0";
    add("ACCESS", Type::WORD).text = "write";
    add("iova", Type::NUMBER).sums.push_back(number(iova));
    add("data", Type::BYTES).text = "12345678";
    return &event_;
  }

  Trace trace_;
  size_t at_ = 0;
  uint64_t left_;
  std::minstd_rand random_;
  Event event_;
};

struct Quiet : PlayObserver {
  bool wants_words() const override { return false; }
  void failure(const Failure &f) override {
    if (failures.size() < 3)
      failures.push_back(f.event + " " + f.output + ": expected " + f.expected + ", came " + f.came);
  }
  std::vector<std::string> failures;
};

// All that a run leaves behind.
struct Left {
  explicit Left(Player &player) : memory(ims_mem_hash(player.memory())), counters(player.counters()) {
    for (const UnitView &u : player.units()) {
      registers += registers_text(u);
      queues += queues_text(u, player.memory());
    }
    for (const Statistic &s : collect_statistics(player))
      if (!s.object.empty()) // of the run as such: events, expectations
        statistics += s.object + "." + s.name + " " + std::to_string(s.count) + "\n";
    in_use = ims_kernel_memory_in_use(player.kernel());
  }
  uint64_t memory, in_use;
  std::string registers, queues, statistics;
  PlayCounters counters;
};

[[maybe_unused]] uint64_t most_memory() { // KB
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss);
}

TEST(LongRun, IsPlayedAgainWithTheSameResultsAndMachine) {
  TempDir dir;
  std::string path = dir.path("run.zst");
  uint64_t recorded;
  Quiet first, second;
  std::unique_ptr<Left> was;
  {
    Program program(calls);
    OutputSink sink(path);
    Recorder recorder(&sink);
    PlayOptions options;
    options.recorder = &recorder;
    Player player(&program, options, &first);
    player.run();
    recorder.finish();
    sink.commit();
    recorded = recorder.calls();
    was = std::make_unique<Left>(player);
  }
  EXPECT_GT(recorded, calls * 97 / 100);
  EXPECT_GT(was->counters.dmas, calls / 100);
  [[maybe_unused]] uint64_t memory_before = most_memory();
  auto reader = open_trace(path);
  ReadEvents events(reader.get());
  Player player(&events, {}, &second);
  player.run();
  EXPECT_EQ(second.failures, std::vector<std::string>());
  EXPECT_EQ(reader->summary().calls, recorded);
  EXPECT_GT(player.counters().expectations, recorded * 5 / 4); // results, and bytes where any were written
  Left is(player);
  EXPECT_EQ(is.memory, was->memory);
  EXPECT_EQ(is.registers, was->registers);
  EXPECT_EQ(is.queues, was->queues);
  EXPECT_EQ(is.statistics, was->statistics);
  EXPECT_EQ(is.in_use, was->in_use);
#ifndef __SANITIZE_ADDRESS__ // it keeps what is given back for a while
  // The second machine is as large as the first, which has gone; the trace is not kept.
  EXPECT_LT(most_memory() - memory_before, 64u << 10);
#endif
}

} // namespace
} // namespace ims
