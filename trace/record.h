// SPDX-License-Identifier: Apache-2.0
// Recording what programs ask of the simulated kernel, as a trace of the binary form (docs/trace-binary.md) that `iommusim
// run` replays and `iommusim trace` prints and compares.
//
// A call is recorded with all that went into it and all that came of it: the command and its argument, every byte that the
// kernel read from the program's memory and wrote to it, the descriptors and pages that the program's side handed out, the
// result, and when. So a replay needs no program: memory, pages and numbers come from the record.
//
//   Recorder r(&sink);
//   r.text(system_file);                       // the machine, in the words of the text form
//   int p = r.process();
//   ims_user user = r.user(p, &program, &hooks); // hooks that record; give it to ims_process_set_user()
//   int f = r.open(p, "/dev/iommu", ims_open(...));
//   r.ioctl(f, cmd, arg);  long ret = ims_ioctl(...);  r.end(ret);
//   r.close(f);
//   r.finish();
//
// One thread at a time: callers lock. No globals, no threads, no memory but through operator new (and libzstd's malloc
// within flush() only), so that an object in memory that processes share can be used by all of them, in turns. Nothing here
// throws but bad_alloc. Less than 1 us a call; frames are compressed when they are full.
#pragma once

#include "mem/mem.h"
#include "uapi/kernel.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ims {

// Where the bytes go. Called with whole frames, a few times a second.
class RecordSink {
public:
  virtual ~RecordSink() = default;
  // All of it, or false: nothing more is written then.
  virtual bool write(const void *bytes, size_t size) = 0;
};

struct RecordOptions {
  // Nanoseconds since whenever; only differences count. NULL: calls have no times, and equal runs give equal bytes.
  uint64_t (*clock)() = nullptr;
  size_t frame = 256 << 10; // bytes of a frame before it is compressed: what is lost when the program is killed
  int level = 1;            // of zstd
};
uint64_t record_clock(); // CLOCK_MONOTONIC, for `clock`

class Recorder;

// What Recorder::user() makes hooks of. It stays where it is as long as the process has them.
struct RecordedUser {
  Recorder *recorder = nullptr;
  int process = -1;
  ims_user inner = {};
};
struct RecordedRemote {
  Recorder *recorder = nullptr;
  ims_mem_remote inner = {};
};

class RecorderImpl;

class Recorder {
public:
  // `sink` is not owned.
  explicit Recorder(RecordSink *sink, const RecordOptions &options = {});
  ~Recorder(); // finish()
  Recorder(const Recorder &) = delete;
  Recorder &operator=(const Recorder &) = delete;

  // Lines of a trace as they stand, newlines included: the machine, comments. The first call brings the first line,
  // `iommusim-trace 1`, with it. They are not checked here.
  void text(std::string_view lines);

  // Processes and descriptors get numbers here, from 0 on; in the trace they are p0, p1 ... and f0, f1 ...; the text is
  // not to use these names.
  int process();
  void exit(int process);
  // What it may: IMS_CAP_*, and the bytes that it may pin. Written where that differs from what it was (all, and no limit).
  void rights(int process, unsigned caps, uint64_t memlock);

  // The same for those that the text has made itself, under its own names.
  int known_process(std::string_view name);
  int known_file(std::string_view name);
  void forget_file(int file);

  // What ims_open() (and what the program's side made of the number) returned: the descriptor's number or -errno. Returns
  // the file, or -1 when there is none.
  int open(int process, std::string_view path, long result);
  // Another descriptor of the same open file: dup (the same process), fork (another).
  int share(int file, int process, int fd);
  // A descriptor that a call made (fault queue, event queue): behind end() of that call.
  int adopt(int process, int fd);
  void close(int file);

  // A call begins. What the kernel does through the hooks until end() is recorded with it. Only one at a time.
  void ioctl(int file, uint32_t word, uint64_t arg);
  void read(int file, uint64_t buf, uint64_t len, uint64_t offset);
  void write(int file, uint64_t buf, uint64_t len, uint64_t offset);
  void mmap(int file, uint64_t offset, uint64_t len, unsigned prot, bool shared);
  void munmap(int file, uint64_t cookie);
  // And ends, with 0 or more, or -errno. cookie: of mmap.
  void end(long result, uint64_t cookie = 0);

  // Hooks that record and then ask `inner`, which is copied. Functions that `inner` lacks are lacking in the result.
  ims_user user(int process, const ims_user *inner, RecordedUser *keep);
  // The same for the memory behind the machine's (ims_mem_set_remote): what devices found in pages of programs, and put there.
  ims_mem_remote remote(const ims_mem_remote *inner, RecordedRemote *keep);

  // What the hooks call; for those who have other ones. Between the start of a call and end(), but `page` and `file_page`
  // anywhere.
  void in(uint64_t va, const void *bytes, size_t size);  // the kernel read memory of the program
  void out(uint64_t va, const void *bytes, size_t size); // and wrote it
  void in_fault(uint64_t va, size_t size);               // or tried to
  void out_fault(uint64_t va, size_t size);
  void seen(uint64_t hpa, const void *bytes, size_t size);   // a device read a program's page
  void stored(uint64_t hpa, const void *bytes, size_t size); // and wrote it
  // Which hpa a page of the program has; from va on `size` bytes to the end of the page. result: 0 or -errno.
  void page(int process, uint64_t va, bool write, int result, uint64_t hpa, uint64_t size);
  // The same for files that the program names by a descriptor: file_open gave `file`, or -errno.
  void file_open(int process, int fd, int result, uint64_t file);
  void file_page(int process, uint64_t file, uint64_t offset, bool write, int result, uint64_t hpa, uint64_t size);
  void fd(int number); // a number for a descriptor that the call makes, or -errno

  uint64_t calls() const;
  bool good() const; // the sink took everything so far

  void flush();  // what is there becomes a frame; nothing when a call is under way
  void finish(); // flush, and the index: the file is complete. What comes later is not recorded

private:
  std::unique_ptr<RecorderImpl> impl_;
};

// A sink on a file descriptor, which is not owned.
class DescriptorSink : public RecordSink {
public:
  explicit DescriptorSink(int fd) : fd_(fd) {}
  bool write(const void *bytes, size_t size) override;

private:
  int fd_;
};

} // namespace ims
