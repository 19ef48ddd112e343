// SPDX-License-Identifier: Apache-2.0
#include "trace/record.h"
#include "trace/binary.h"
#include "trace/names.h"
#include "trace/parse_internal.h"
#include "trace/text.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <map>
#include <unistd.h>

namespace ims {

uint64_t record_clock() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec);
}

bool DescriptorSink::write(const void *bytes, size_t size) {
  auto *at = static_cast<const char *>(bytes);
  while (size) {
    ssize_t n = ::write(fd_, at, size);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return false;
    at += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

void count_lines(std::string_view text, bool first, uint64_t *lines, uint64_t *events) {
  TextSource bytes(text);
  Lines reader(&bytes, "");
  *events = 0;
  *lines = static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n'));
  try {
    if (first)
      reader.first_line();
    std::vector<Token> tokens;
    while (reader.logical_line(&tokens))
      *events += !tokens.empty();
  } catch (const TraceError &) {} // told when it is read
}

namespace {

// Object numbers that names are made of: the lowest that is free.
class Numbers {
public:
  int take(std::string name) {
    size_t i = free_.empty() ? names_.size() : 0;
    if (!free_.empty()) {
      auto lowest = std::min_element(free_.begin(), free_.end());
      i = *lowest;
      free_.erase(lowest);
      names_[i] = {};
    } else {
      names_.emplace_back();
    }
    names_[i] = std::move(name);
    return static_cast<int>(i);
  }
  int next() const {
    return static_cast<int>(free_.empty() ? names_.size() : *std::min_element(free_.begin(), free_.end()));
  }
  void drop(int i) {
    if (there(i)) {
      names_[static_cast<size_t>(i)].clear();
      free_.push_back(static_cast<size_t>(i));
    }
  }
  bool there(int i) const {
    return i >= 0 && static_cast<size_t>(i) < names_.size() && !names_[static_cast<size_t>(i)].empty();
  }
  const std::string &operator[](int i) const { return names_[static_cast<size_t>(i)]; }

private:
  std::vector<std::string> names_;
  std::vector<size_t> free_;
};

bool is_plain_path(std::string_view path) {
  return !path.empty() && path[0] == '/' && std::all_of(path.begin(), path.end(), [](char c) {
    return c > 0x20 && c < 0x7f && c != '"' && c != '#' && c != '\\';
  });
}

std::string expectation(long result) {
  if (result >= 0)
    return format(" expect ret=%ld\n", result);
  std::string name = errno_name(static_cast<int>(-result));
  return errno_by_name(name) >= 0 ? " expect errno=" + name + "\n" : format(" expect ret=%ld\n", result);
}

} // namespace

class RecorderImpl {
public:
  RecorderImpl(RecordSink *sink, const RecordOptions &o) : options(o), frames(sink, o.level) {
    start = o.clock ? o.clock() : 0;
  }

  void line(const std::string &text) { put_text(text); }
  void put_text(std::string_view text) {
    if (over || text.empty())
      return;
    settle_pages();
    bool first = !begun;
    begun = true;
    if (first && text.substr(0, 14) != "iommusim-trace") {
      encoder.text("iommusim-trace 1\n", 1, 0);
      first = false;
    }
    uint64_t lines, events;
    std::string whole;
    if (text.back() != '\n') {
      whole = std::string(text) + "\n";
      text = whole;
    }
    count_lines(text, first, &lines, &events);
    encoder.text(text, lines, events);
    full();
  }
  void full() {
    if (encoder.bytes().size() >= options.frame && !calling)
      flush();
  }
  void flush() {
    if (over || calling)
      return;
    settle_pages();
    if (encoder.empty())
      return;
    frames.put(encoder.bytes(), encoder.begins());
    encoder.next_frame();
  }
  void finish() {
    if (over)
      return;
    calling = false;
    if (!begun)
      put_text("iommusim-trace 1\n");
    flush();
    frames.finish(encoder.totals());
    over = true;
  }
  // A merged run of pages goes out before whatever comes next.
  void settle_pages() {
    if (!pages_waiting)
      return;
    pages_waiting = false;
    encoder.page(run);
  }
  void page(PageRecord record, int process);

  void begin(int file, const Encoder::CallHead &h) {
    if (over)
      return;
    calling = true;
    call_file = file;
    head = h;
    pieces.clear();
    fds.clear();
    last_size = 0;
    last_end = ~size_t(0);
    if (options.clock) {
      head.timed = true;
      head.at = options.clock() - start;
    }
  }
  // False: too much for one record, which then lacks the rest.
  bool room(size_t size) const { return calling && size + pieces.size() < MOST; }
  void piece(Encoder::PieceKind kind, uint64_t addr, const void *bytes, uint64_t size) {
    bool fault = kind == Encoder::IN_FAULT || kind == Encoder::OUT_FAULT;
    if (!calling)
      return;
    if (!room(fault ? 0 : size)) {
      cut = true;
      return;
    }
    Encoder::piece(&pieces, kind, head.arg, addr, bytes, size);
  }

  enum : size_t { MOST = 64u << 20, CACHE = 1024 };

  RecordOptions options;
  FrameWriter frames;
  Encoder encoder;
  Numbers processes, files;
  std::map<int, std::pair<unsigned, uint64_t>> rights; // of processes that have not all, and no limit
  bool begun = false, over = false, calling = false, cut = false;
  uint64_t start = 0, calls = 0;

  int call_file = -1;
  Encoder::CallHead head = {};
  std::string pieces;
  std::vector<int64_t> fds;
  size_t last_at = 0, last_end = 0; // the newest of what the kernel read, in `pieces`
  uint64_t last_addr = 0;
  std::string_view::size_type last_size = 0;

  bool pages_waiting = false;
  int run_process = -1;
  PageRecord run;
  struct Known { // answers told already, by page
    int process = -1;
    bool write = false, of_file = false;
    uint64_t file = 0, at = 0, size = 0, hpa = 0;
    uint32_t error = 0;
  };
  std::vector<Known> known;
};

void RecorderImpl::page(PageRecord r, int process) {
  if (over || !processes.there(process))
    return;
  if (r.error && !is_named_errno(r.error))
    r.error = EFAULT; // what the kernel makes of it
  constexpr uint64_t small = 4096;
  uint64_t end = r.at + r.size;
  if (r.size < small && end % small == 0) { // somewhere in a small page: the whole of it
    r.hpa -= r.has_hpa ? small - r.size : 0;
    r.at = end - small;
    r.size = small;
  }
  if (known.empty())
    known.resize(CACHE);
  uint64_t key = (r.at / small) * 0x9e3779b97f4a7c15 + r.file * 31 + static_cast<uint64_t>(process) * 7 + r.write;
  Known &k = known[key >> 54 & (CACHE - 1)];
  Known now = {process, r.write, r.of_file, r.file, r.at, r.size, r.hpa, r.error};
  if (k.process == now.process && k.write == now.write && k.of_file == now.of_file && k.file == now.file &&
      k.at == now.at && k.size == now.size && k.hpa == now.hpa && k.error == now.error)
    return;
  k = now;
  if (pages_waiting && run_process == process && run.of_file == r.of_file && run.file == r.file &&
      run.write == r.write && run.error == r.error && run.has_hpa == r.has_hpa && r.has_hpa && r.size == small &&
      (run.page == small || (!run.page && run.size == small)) && run.at + run.size == r.at &&
      run.hpa + run.size == r.hpa) {
    run.page = small;
    run.size += small;
    return;
  }
  settle_pages();
  if (!begun)
    put_text("iommusim-trace 1\n");
  run = r;
  run.process = processes[process];
  run_process = process;
  pages_waiting = true;
  full();
}

Recorder::Recorder(RecordSink *sink, const RecordOptions &options)
    : impl_(std::make_unique<RecorderImpl>(sink, options)) {}
Recorder::~Recorder() { impl_->finish(); }

void Recorder::text(std::string_view lines) { impl_->put_text(lines); }

int Recorder::process() {
  int p = impl_->processes.next();
  impl_->processes.take("p" + std::to_string(p));
  impl_->line("process " + impl_->processes[p] + " outside\n");
  return p;
}

void Recorder::exit(int process) {
  if (!impl_->processes.there(process))
    return;
  impl_->line("exit " + impl_->processes[process] + "\n");
}

void Recorder::rights(int process, unsigned caps, uint64_t memlock) {
  constexpr unsigned all = IMS_CAP_IPC_LOCK | IMS_CAP_SYS_RESOURCE | IMS_CAP_SYS_RAWIO;
  if (!impl_->processes.there(process))
    return;
  auto &was = impl_->rights.try_emplace(process, all, ~uint64_t{0}).first->second;
  if (was == std::make_pair(caps, memlock))
    return;
  was = {caps, memlock};
  auto word = [caps](unsigned cap) { return caps & cap ? "on" : "off"; };
  impl_->line("process-set " + impl_->processes[process] + " ipc_lock=" + word(IMS_CAP_IPC_LOCK) + " sys_resource=" +
              word(IMS_CAP_SYS_RESOURCE) + " sys_rawio=" + word(IMS_CAP_SYS_RAWIO) + " memlock=" + hex(memlock) + "\n");
}

int Recorder::known_process(std::string_view name) { return impl_->processes.take(std::string(name)); }
int Recorder::known_file(std::string_view name) { return impl_->files.take(std::string(name)); }
void Recorder::forget_file(int file) { impl_->files.drop(file); }

int Recorder::open(int process, std::string_view path, long result) {
  if (!impl_->processes.there(process) || !is_plain_path(path))
    return -1;
  int f = impl_->files.next();
  impl_->files.take("f" + std::to_string(f));
  std::string line = "open " + impl_->files[f] + " " + std::string(path) + " process=" + impl_->processes[process];
  impl_->line(line + (result >= 0 ? " fd=" + std::to_string(result) : "") + expectation(result));
  if (result >= 0)
    return f;
  return -1;
}

int Recorder::share(int file, int process, int fd) {
  if (!impl_->processes.there(process) || !impl_->files.there(file))
    return -1;
  int f = impl_->files.next();
  impl_->files.take("f" + std::to_string(f));
  impl_->line("share " + impl_->files[f] + " " + impl_->files[file] + " process=" + impl_->processes[process] +
              " fd=" + std::to_string(fd) + expectation(fd));
  return f;
}

int Recorder::adopt(int process, int fd) {
  if (!impl_->processes.there(process))
    return -1;
  int f = impl_->files.next();
  impl_->files.take("f" + std::to_string(f));
  impl_->line("adopt " + impl_->files[f] + " process=" + impl_->processes[process] + " fd=" + std::to_string(fd) +
              expectation(fd));
  return f;
}

void Recorder::close(int file) {
  if (!impl_->files.there(file))
    return;
  impl_->line("close " + impl_->files[file] + " expect ret=0\n");
  impl_->files.drop(file);
}

void Recorder::ioctl(int file, uint32_t word, uint64_t arg) {
  Encoder::CallHead h = {};
  h.op = CallRecord::IOCTL;
  h.word = word;
  h.arg = arg;
  impl_->begin(file, h);
}

void Recorder::read(int file, uint64_t buf, uint64_t len, uint64_t offset) {
  Encoder::CallHead h = {};
  h.op = CallRecord::READ;
  h.arg = buf;
  h.len = len;
  h.offset = offset;
  impl_->begin(file, h);
}

void Recorder::write(int file, uint64_t buf, uint64_t len, uint64_t offset) {
  Encoder::CallHead h = {};
  h.op = CallRecord::WRITE;
  h.arg = buf;
  h.len = len;
  h.offset = offset;
  impl_->begin(file, h);
}

void Recorder::mmap(int file, uint64_t offset, uint64_t len, unsigned prot, bool shared) {
  Encoder::CallHead h = {};
  h.op = CallRecord::MMAP;
  h.len = len;
  h.offset = offset;
  h.prot = prot & 7;
  h.shared = shared;
  impl_->begin(file, h);
}

void Recorder::munmap(int file, uint64_t cookie) {
  Encoder::CallHead h = {};
  h.op = CallRecord::MUNMAP;
  h.arg = cookie;
  impl_->begin(file, h);
}

void Recorder::end(long result, uint64_t cookie) {
  RecorderImpl &r = *impl_;
  if (!r.calling)
    return;
  if (r.head.timed)
    r.head.took = r.options.clock() - r.start - r.head.at;
  r.calling = false;
  if (!r.files.there(r.call_file))
    return;
  if (!r.begun)
    r.put_text("iommusim-trace 1\n");
  r.settle_pages();
  if (r.head.op == CallRecord::MMAP && result >= 0) {
    r.head.has_cookie = true;
    r.head.cookie = cookie;
  }
  unsigned name = r.encoder.name(r.files[r.call_file]);
  r.encoder.call(name, r.head, result, r.fds, r.pieces);
  r.calls++;
  if (r.cut) {
    r.cut = false;
    r.put_text("# the call above is not complete: more than 64 MB went in and out\n");
  }
  r.full();
}

void Recorder::in(uint64_t va, const void *bytes, size_t size) {
  RecorderImpl &r = *impl_;
  // A structure's size is read first, then all of it: once is enough.
  if (r.last_end == r.pieces.size() && r.last_addr == va && r.last_size <= size && r.calling &&
      !std::memcmp(r.pieces.data() + r.pieces.size() - r.last_size, bytes, r.last_size))
    r.pieces.resize(r.last_at);
  r.last_at = r.pieces.size();
  r.piece(Encoder::IN, va, bytes, size);
  r.last_addr = va;
  r.last_size = size;
  r.last_end = r.pieces.size() > r.last_at ? r.pieces.size() : ~size_t(0);
}
void Recorder::out(uint64_t va, const void *bytes, size_t size) { impl_->piece(Encoder::OUT, va, bytes, size); }
void Recorder::in_fault(uint64_t va, size_t size) { impl_->piece(Encoder::IN_FAULT, va, nullptr, size); }
void Recorder::out_fault(uint64_t va, size_t size) { impl_->piece(Encoder::OUT_FAULT, va, nullptr, size); }
void Recorder::seen(uint64_t hpa, const void *bytes, size_t size) { impl_->piece(Encoder::SEEN, hpa, bytes, size); }
void Recorder::stored(uint64_t hpa, const void *bytes, size_t size) { impl_->piece(Encoder::STORED, hpa, bytes, size); }

void Recorder::page(int process, uint64_t va, bool write, int result, uint64_t hpa, uint64_t size) {
  PageRecord r;
  r.at = va;
  r.size = result ? 1 : size;
  r.write = write;
  r.has_hpa = !result;
  r.hpa = result ? 0 : hpa;
  r.error = static_cast<uint32_t>(-result);
  if (result) // the whole page is not to be had
    r.size = 4096 - (va & 4095);
  impl_->page(r, process);
}

void Recorder::file_open(int process, int fd, int result, uint64_t file) {
  if (!impl_->processes.there(process))
    return;
  std::string line = "file-open " + impl_->processes[process] + " fd=" + std::to_string(fd);
  impl_->line(
      line +
      (result ? " result=" + errno_name(is_named_errno(-result) ? -result : EBADF) : " file=" + std::to_string(file)) +
      "\n");
}

void Recorder::file_page(int process, uint64_t file, uint64_t offset, bool write, int result, uint64_t hpa,
                         uint64_t size) {
  PageRecord r;
  r.of_file = true;
  r.file = file;
  r.at = offset;
  r.size = result ? 4096 - (offset & 4095) : size;
  r.write = write;
  r.has_hpa = !result;
  r.hpa = result ? 0 : hpa;
  r.error = static_cast<uint32_t>(-result);
  impl_->page(r, process);
}

void Recorder::fd(int number) {
  if (impl_->calling)
    impl_->fds.push_back(number);
}

// ---- Hooks ----------------------------------------------------------------------------------------------------------

namespace {

RecordedUser &of(void *ctx) { return *static_cast<RecordedUser *>(ctx); }

bool user_read(void *ctx, void *dst, uint64_t src, size_t len) {
  RecordedUser &u = of(ctx);
  bool good = u.inner.read(u.inner.ctx, dst, src, len);
  if (good)
    u.recorder->in(src, dst, len);
  else
    u.recorder->in_fault(src, len);
  return good;
}

bool user_write(void *ctx, uint64_t dst, const void *src, size_t len) {
  RecordedUser &u = of(ctx);
  bool good = u.inner.write(u.inner.ctx, dst, src, len);
  if (good)
    u.recorder->out(dst, src, len);
  else
    u.recorder->out_fault(dst, len);
  return good;
}

int user_page(void *ctx, uint64_t va, bool write, uint64_t *hpa, uint64_t *left) {
  RecordedUser &u = of(ctx);
  int result = u.inner.page(u.inner.ctx, va, write, hpa, left);
  u.recorder->page(u.process, va, write, result, result ? 0 : *hpa, result ? 0 : *left);
  return result;
}

int user_file_open(void *ctx, int fd, uint64_t *file) {
  RecordedUser &u = of(ctx);
  int result = u.inner.file_open(u.inner.ctx, fd, file);
  u.recorder->file_open(u.process, fd, result, result ? 0 : *file);
  return result;
}

int user_file_page(void *ctx, uint64_t file, uint64_t offset, bool write, uint64_t *hpa, uint64_t *left) {
  RecordedUser &u = of(ctx);
  int result = u.inner.file_page(u.inner.ctx, file, offset, write, hpa, left);
  u.recorder->file_page(u.process, file, offset, write, result, result ? 0 : *hpa, result ? 0 : *left);
  return result;
}

void user_file_close(void *ctx, uint64_t file) {
  RecordedUser &u = of(ctx);
  u.inner.file_close(u.inner.ctx, file);
}

void user_pin(void *ctx, uint64_t hpa, uint64_t size, bool on) {
  RecordedUser &u = of(ctx);
  u.inner.pin(u.inner.ctx, hpa, size, on);
}

uint32_t user_pins(void *ctx, uint64_t hpa) {
  RecordedUser &u = of(ctx);
  return u.inner.pins(u.inner.ctx, hpa);
}

int user_fd_new(void *ctx) {
  RecordedUser &u = of(ctx);
  int fd = u.inner.fd_new(u.inner.ctx);
  u.recorder->fd(fd);
  return fd;
}

void user_fd_drop(void *ctx, int fd) {
  RecordedUser &u = of(ctx);
  u.inner.fd_drop(u.inner.ctx, fd);
}

int remote_read(void *ctx, uint64_t hpa, void *buf, size_t len) {
  auto &r = *static_cast<RecordedRemote *>(ctx);
  int err = r.inner.read(r.inner.ctx, hpa, buf, len);
  if (!err)
    r.recorder->seen(hpa, buf, len);
  return err;
}

int remote_write(void *ctx, uint64_t hpa, const void *buf, size_t len) {
  auto &r = *static_cast<RecordedRemote *>(ctx);
  int err = r.inner.write(r.inner.ctx, hpa, buf, len);
  if (!err)
    r.recorder->stored(hpa, buf, len);
  return err;
}

} // namespace

ims_user Recorder::user(int process, const ims_user *inner, RecordedUser *keep) {
  keep->recorder = this;
  keep->process = process;
  keep->inner = *inner;
  ims_user user = {};
  user.ctx = keep;
  user.read = inner->read ? user_read : nullptr;
  user.write = inner->write ? user_write : nullptr;
  user.page = inner->page ? user_page : nullptr;
  user.file_open = inner->file_open ? user_file_open : nullptr;
  user.file_page = inner->file_page ? user_file_page : nullptr;
  user.file_close = inner->file_close ? user_file_close : nullptr;
  user.pin = inner->pin ? user_pin : nullptr;
  user.pins = inner->pins ? user_pins : nullptr;
  user.fd_new = inner->fd_new ? user_fd_new : nullptr;
  user.fd_drop = inner->fd_drop ? user_fd_drop : nullptr;
  return user;
}

ims_mem_remote Recorder::remote(const ims_mem_remote *inner, RecordedRemote *keep) {
  keep->recorder = this;
  keep->inner = *inner;
  ims_mem_remote remote = {};
  remote.ctx = keep;
  remote.read = inner->read ? remote_read : nullptr;
  remote.write = inner->write ? remote_write : nullptr;
  return remote;
}

uint64_t Recorder::calls() const { return impl_->calls; }
bool Recorder::good() const { return impl_->frames.good(); }
void Recorder::flush() { impl_->flush(); }
void Recorder::finish() { impl_->finish(); }

} // namespace ims
