// SPDX-License-Identifier: Apache-2.0
// Recorded programs: what is recorded, that it is played again with the same results and the same machine, and that a machine
// that answers otherwise is noticed.
#include "tests/trace/recorded_program.h"
#include "trace/events.h"
#include "trace/recorded.h"

namespace ims {
namespace {

struct Failures : PlayObserver {
  void failure(const Failure &f) override {
    list.push_back(std::to_string(f.at.line) + ": " + f.output + " expected " + f.expected + ", came " + f.came);
  }
  std::vector<std::string> list;
};

struct Replayed {
  std::vector<std::string> failures;
  uint64_t memory = 0, in_use = 0;
  PlayCounters count;
};

Replayed replay(const std::string &bytes) {
  auto reader = read_trace(std::make_unique<TextSource>(bytes), "t");
  ReadEvents events(reader.get());
  Failures failures;
  Player player(&events, {}, &failures);
  player.run();
  return {failures.list, ims_mem_hash(player.memory()), ims_kernel_memory_in_use(player.kernel()), player.counters()};
}

// An address space with pages of the program, a device attached to it, calls that fail, and a queue.
void run_iommufd(Recording *r) {
  ims_file *iommu, *dev;
  int fi = r->open("/dev/iommu", &iommu), fd = r->open("/dev/vfio/devices/vfio0", &dev);
  ASSERT_EQ(fi, 0);
  ASSERT_EQ(fd, 1);
  ims_file *none;
  EXPECT_EQ(r->open("/dev/vfio/99", &none), -1);
  ims_vfio_device_bind_iommufd bind{};
  bind.argsz = sizeof bind;
  bind.iommufd = static_cast<uint32_t>(ims_file_fd(iommu));
  EXPECT_EQ(r->call(fd, dev, IMS_VFIO_DEVICE_BIND_IOMMUFD, &bind), 0);
  ims_iommu_ioas_alloc alloc{};
  alloc.size = sizeof alloc;
  EXPECT_EQ(r->call(fi, iommu, IMS_IOMMU_IOAS_ALLOC, &alloc), 0);
  EXPECT_EQ(alloc.out_ioas_id, 2u);
  ims_vfio_device_attach_iommufd_pt attach{};
  attach.argsz = sizeof attach;
  attach.pt_id = alloc.out_ioas_id;
  EXPECT_EQ(r->call(fd, dev, IMS_VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach), 0);
  ims_iommu_ioas_map map{};
  map.size = sizeof map;
  map.flags = IMS_IOAS_MAP_FIXED_IOVA | IMS_IOAS_MAP_READABLE | IMS_IOAS_MAP_WRITEABLE;
  map.ioas_id = alloc.out_ioas_id;
  map.user_va = OutsideProgram::base;
  map.length = 8 * 4096;
  map.iova = 0x100000;
  EXPECT_EQ(r->call(fi, iommu, IMS_IOMMU_IOAS_MAP, &map), 0);
  EXPECT_EQ(r->call(fi, iommu, IMS_IOMMU_IOAS_MAP, &map), -EEXIST);
  map.iova = 0x200000;
  map.user_va = OutsideProgram::base + 60 * 4096; // the last page may not be written
  map.length = 4 * 4096;
  EXPECT_EQ(r->call(fi, iommu, IMS_IOMMU_IOAS_MAP, &map), -EFAULT);
  EXPECT_EQ(r->ioctl(fi, iommu, IMS_IOMMU_IOAS_ALLOC, 16), -EFAULT); // a bad pointer
  ims_file *twin = nullptr;
  EXPECT_EQ(ims_file_share(iommu, r->mm, 33, &twin), 33);
  int ft = r->recorder.share(fi, r->process, 33);
  ims_close(iommu);
  r->recorder.close(fi);
  ims_iommu_ioas_unmap unmap{};
  unmap.size = sizeof unmap;
  unmap.ioas_id = alloc.out_ioas_id;
  unmap.iova = 0x100000;
  unmap.length = 8 * 4096;
  EXPECT_EQ(r->call(ft, twin, IMS_IOMMU_IOAS_UNMAP, &unmap), 0);
  map.iova = 0x300000;
  map.user_va = OutsideProgram::base + 4096;
  map.length = 4096;
  EXPECT_EQ(r->call(ft, twin, IMS_IOMMU_IOAS_MAP, &map), 0);
  r->recorder.finish();
}

TEST(Recorder, AProgramIsPlayedAgainAndNothingDiffers) {
  Recording r;
  run_iommufd(&r);
  EXPECT_EQ(r.recorder.calls(), 9u);
  Replayed again = replay(r.sink.text);
  EXPECT_EQ(again.failures, std::vector<std::string>());
  EXPECT_EQ(again.memory, ims_mem_hash(r.player.memory()));
  EXPECT_EQ(again.in_use, ims_kernel_memory_in_use(r.kernel));
  EXPECT_GT(again.count.expectations, 2 * r.recorder.calls() - 6);
  // Its text does the same.
  Replayed text = replay(convert(r.sink.text, TraceForm::TEXT));
  EXPECT_EQ(text.failures, std::vector<std::string>());
  EXPECT_EQ(text.memory, again.memory);
}

TEST(Recorder, WhatAProgramMayIsPartOfIt) {
  Recording r;
  ims_file *iommu, *dev;
  int fi = r.open("/dev/iommu", &iommu), fd = r.open("/dev/vfio/devices/vfio0", &dev);
  ims_vfio_device_bind_iommufd bind{};
  bind.argsz = sizeof bind;
  bind.iommufd = static_cast<uint32_t>(ims_file_fd(iommu));
  EXPECT_EQ(r.call(fd, dev, IMS_VFIO_DEVICE_BIND_IOMMUFD, &bind), 0);
  ims_iommu_ioas_alloc alloc{};
  alloc.size = sizeof alloc;
  EXPECT_EQ(r.call(fi, iommu, IMS_IOMMU_IOAS_ALLOC, &alloc), 0);
  ims_vfio_device_attach_iommufd_pt attach{};
  attach.argsz = sizeof attach;
  attach.pt_id = alloc.out_ioas_id;
  EXPECT_EQ(r.call(fd, dev, IMS_VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach), 0);
  ims_iommu_ioas_map map{};
  map.size = sizeof map;
  map.flags = IMS_IOAS_MAP_FIXED_IOVA | IMS_IOAS_MAP_READABLE;
  map.ioas_id = alloc.out_ioas_id;
  map.user_va = OutsideProgram::base;
  map.length = 2 * 4096;
  auto may = [&](unsigned caps, uint64_t memlock) {
    ims_process_set_caps(r.mm, caps);
    ims_process_set_memlock(r.mm, memlock);
    r.recorder.rights(r.process, caps, memlock);
  };
  may(IMS_CAP_SYS_RESOURCE, 4096);
  EXPECT_EQ(r.call(fi, iommu, IMS_IOMMU_IOAS_MAP, &map), -ENOMEM);
  may(IMS_CAP_SYS_RESOURCE, 4096); // as before: not told again
  may(IMS_CAP_IPC_LOCK, 4096);
  EXPECT_EQ(r.call(fi, iommu, IMS_IOMMU_IOAS_MAP, &map), 0);
  r.recorder.finish();
  std::string text = convert(r.sink.text, TraceForm::TEXT);
  const std::string first = "process-set p0 ipc_lock=off sys_resource=on sys_rawio=off memlock=0x1000\n";
  size_t at = text.find(first);
  ASSERT_NE(at, text.npos) << text;
  EXPECT_EQ(text.find(first, at + 1), text.npos);
  EXPECT_EQ(replay(r.sink.text).failures, std::vector<std::string>());
}

TEST(Recorder, TheTextSaysWhatWasCalled) {
  Recording r;
  run_iommufd(&r);
  std::string text = convert(r.sink.text, TraceForm::TEXT);
  EXPECT_EQ(text.compare(0, sizeof recorded_machine - 1, recorded_machine), 0); // to the blank
  for (const char *line : {
           "process p0 outside\n",
           "open f0 /dev/iommu process=p0 fd=20 expect ret=20\n",
           "open f1 /dev/vfio/devices/vfio0 process=p0 fd=21 expect ret=21\n",
           "open f2 /dev/vfio/99 process=p0 expect errno=ENOENT\n",
           "call f0 0x3b81 arg=0x7f1200000100 in=0x7f1200000100:0c0000000000000000000000 expect ret=0 "
           "out=0x7f1200000100:0c0000000000000002000000\n",
           "call f0 0x3b81 arg=0x10 in=0x10:!4 expect errno=EFAULT\n",
           "page p0 va=0x7f1200000000 size=0x4000 page=0x1000 hpa=0x1000000000000 access=write\n",
           "page p0 va=0x7f120003f000 size=0x1000 access=write result=EFAULT\n",
           "share f3 f0 process=p0 fd=33 expect ret=33\n",
           "close f0 expect ret=0\n",
       })
    EXPECT_NE(text.find(line), text.npos) << line << text;
  // Text, binary, text.
  std::string binary = convert(text, TraceForm::BINARY);
  EXPECT_EQ(convert(binary, TraceForm::TEXT), text);
  EXPECT_EQ(convert(binary, TraceForm::BINARY), binary);
}

TEST(Recorder, AnotherMachineIsNoticed) {
  Recording r;
  run_iommufd(&r);
  std::string text = convert(r.sink.text, TraceForm::TEXT);
  auto changed = [&](const std::string &from, const std::string &to) {
    std::string t = text;
    size_t at = t.find(from);
    EXPECT_NE(at, t.npos) << from;
    return replay(t.replace(at, from.size(), to)).failures;
  };
  // A result, a byte that came back, a page that lies elsewhere.
  EXPECT_EQ(changed("expect errno=EEXIST", "expect errno=EINVAL").size(), 1u);
  std::vector<std::string> out =
      changed("out=0x7f1200000100:0c0000000000000002", "out=0x7f1200000100:0c0000000000000009");
  ASSERT_EQ(out.size(), 1u);
  EXPECT_NE(out[0].find("out expected 0x7f1200000100:0c0000000000000009000000, came 0x7f1200000100:0c0000000000000002"),
            std::string::npos)
      << out[0];
  std::string elsewhere = text, from = "hpa=0x1000000000000 ";
  elsewhere.replace(elsewhere.find(from), from.size(), "hpa=0x1000100000000 ");
  Replayed other = replay(elsewhere);
  EXPECT_EQ(other.failures, std::vector<std::string>());
  EXPECT_NE(other.memory, ims_mem_hash(r.player.memory()));
}

TEST(Recorder, TimesAreThoseOfTheClock) {
  RecordOptions options;
  static uint64_t now;
  now = 1000;
  options.clock = [] { return now += 10; };
  Recording r(options);
  ims_file *iommu;
  int f = r.open("/dev/iommu", &iommu);
  ims_iommu_ioas_alloc alloc{};
  alloc.size = sizeof alloc;
  r.call(f, iommu, IMS_IOMMU_IOAS_ALLOC, &alloc);
  r.call(f, iommu, IMS_IOMMU_IOAS_ALLOC, &alloc);
  r.recorder.finish();
  std::string text = convert(r.sink.text, TraceForm::TEXT);
  EXPECT_NE(text.find(" at=10 took=10 in="), text.npos) << text;
  EXPECT_NE(text.find(" at=30 took=10 in="), text.npos) << text;
}

TEST(Recorder, ASinkThatIsFullEndsTheRecordingOnly) {
  Recording r;
  r.sink.full = true;
  ims_file *iommu;
  int f = r.open("/dev/iommu", &iommu);
  ims_iommu_ioas_alloc alloc{};
  alloc.size = sizeof alloc;
  EXPECT_EQ(r.call(f, iommu, IMS_IOMMU_IOAS_ALLOC, &alloc), 0);
  EXPECT_TRUE(r.recorder.good());
  r.recorder.flush();
  EXPECT_FALSE(r.recorder.good());
  EXPECT_EQ(r.call(f, iommu, IMS_IOMMU_IOAS_ALLOC, &alloc), 0);
  r.recorder.finish();
}

TEST(Recorder, WithoutAnythingItIsAnEmptyTrace) {
  StringSink sink;
  { Recorder r(&sink); }
  EXPECT_EQ(convert(sink.text, TraceForm::TEXT), "iommusim-trace 1\n");
}

// Every kind of call and every kind of piece, there and back.
TEST(RecordedCalls, EventAndRecordSayTheSame) {
  for (const char *line : {
           "call f0 0x3b81 expect ret=0",
           "call f0 0x3b81 arg=0x1000 at=0 took=0 expect ret=-4096",
           "call f0 0x3b81 arg=0x1000 expect ret=-530",
           "call f0 0x3b81 arg=0x1000 at=18446744073709551615 took=18446744073709551615 expect errno=EINVAL",
           "call f0 read arg=0x1000 len=0x40 offset=0xffffffffffffffff expect ret=64 out=0x1000:00ff,0x2000:!62",
           "call f0 write arg=0x1000 len=0x2 in=0x1000:abcd expect ret=2 stored=0x1000000000000:abcd",
           "call f0 mmap len=0x1000 offset=0x1000 prot=rw shared expect ret=0 cookie=0x10",
           "call f0 mmap len=0x1000 expect errno=ENXIO",
           "call f0 munmap arg=0x10 expect ret=0",
           "call f0 0xffffffff arg=0xffffffffffffffff fds=3,-24 in=0x0:!8,0xffffffffffffffff:00 "
           "seen=0xffffffffff000:0102 expect ret=9223372036854775807",
           "page p0 va=0x0 size=0x1000 hpa=0x0",
           "page p0 va=0xffffffffffffffff size=0x1 page=0x1000 hpa=0xffffffffffffffff access=write",
           "page p0 va=0x1000 size=0x1000 access=write result=ENOMEM",
           "file-page p0 file=18446744073709551615 offset=0x1000 size=0x200000 hpa=0x1000000000000",
       }) {
    std::string text = "iommusim-trace 1\nkernel pool=0x0 pool_size=1M\nprocess p0\nopen f0 /dev/iommu process=p0\n" +
                       std::string(line) + "\n";
    Trace t = parse_trace(text, "t");
    CallRecord call;
    PageRecord page;
    const Event &e = t.events.back();
    if (e.info == &event_info(EventId::CALL)) {
      ASSERT_TRUE(call_of(e, &call)) << line;
      EXPECT_EQ(print_event(event_of(call)), line);
    } else {
      ASSERT_TRUE(page_of(e, &page)) << line;
      EXPECT_EQ(print_event(event_of(page)), line);
    }
    auto reader = read_trace(std::make_unique<TextSource>(text), "t");
    TraceItem item;
    std::string binary = convert(text, TraceForm::BINARY);
    reader = read_trace(std::make_unique<TextSource>(binary), "t");
    while (reader->next(&item))
      if (reader->summary().events == 4) {
        EXPECT_EQ(item.text, "") << line; // no text: a record of its own
      }
    EXPECT_EQ(reader->summary().calls + reader->summary().pages, 1u);
    EXPECT_EQ(convert(binary, TraceForm::TEXT), text);
  }
}

} // namespace
} // namespace ims
