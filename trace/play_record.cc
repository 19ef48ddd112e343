// SPDX-License-Identifier: Apache-2.0
// Recorded programs: calls as they were made, with what the kernel saw of the program, and what it has to see again.
#include "trace/player_internal.h"
#include "trace/recorded.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace ims {

// ---- What lies behind a program's addresses -------------------------------------------------------------------------

// The range has this answer from now on, whatever was said before.
void AnswerMap::put(uint64_t start, uint64_t size, const Answer &a) {
  uint64_t end = size > ~start ? ~0ull : start + size;
  if (start == end)
    return;
  auto it = ranges_.upper_bound(start);
  if (it != ranges_.begin()) {
    auto before = std::prev(it);
    Range old = before->second;
    if (old.end > start) {
      before->second.end = start;
      if (old.end > end)
        ranges_[end] = {old.end, before->first, old.answer};
      if (before->first == start)
        ranges_.erase(before);
    }
  }
  for (it = ranges_.lower_bound(start); it != ranges_.end() && it->first < end;) {
    Range old = it->second;
    it = ranges_.erase(it);
    if (old.end > end)
      it = ranges_.emplace(end, old).first;
  }
  ranges_[start] = {end, start, a};
}

const Answer *AnswerMap::find(uint64_t at, uint64_t *hpa, uint64_t *left) const {
  auto it = ranges_.upper_bound(at);
  if (it == ranges_.begin())
    return nullptr;
  --it;
  const Range &r = it->second;
  if (at >= r.end)
    return nullptr;
  uint64_t offset = at - r.origin; // of the range as it was put
  *hpa = r.answer.hpa + offset;
  *left = r.answer.page ? std::min(r.answer.page - offset % r.answer.page, r.end - at) : r.end - at;
  return &r.answer;
}

int Outside::page(const AnswerMap *map, uint64_t at, bool write, uint64_t *hpa, uint64_t *left) {
  const Answer *a = map[1].find(at, hpa, left);
  if (!write && (!a || a->error)) // what may be written may be read
    a = map[0].find(at, hpa, left);
  return !a ? -EFAULT : -a->error;
}

// ---- Hooks of such a process ----------------------------------------------------------------------------------------

int PlayerImpl::on_user_page(void *ctx, uint64_t va, bool write, uint64_t *hpa, uint64_t *left) {
  auto *p = static_cast<Process *>(ctx);
  return Outside::page(p->outside->pages, va, write, hpa, left);
}

int PlayerImpl::on_user_file_open(void *ctx, int fd, uint64_t *file) {
  auto *p = static_cast<Process *>(ctx);
  auto it = p->outside->opens.find(fd);
  if (it == p->outside->opens.end())
    return -EBADF;
  *file = it->second.second;
  return -it->second.first;
}

int PlayerImpl::on_user_file_page(void *ctx, uint64_t file, uint64_t offset, bool write, uint64_t *hpa,
                                  uint64_t *left) {
  auto *p = static_cast<Process *>(ctx);
  auto it = p->outside->files.find(file);
  return it == p->outside->files.end() ? -EINVAL : Outside::page(it->second.data(), offset, write, hpa, left);
}

// Counted, since the kernel's self-test asks.
void PlayerImpl::on_user_pin(void *ctx, uint64_t hpa, uint64_t size, bool on) {
  auto &pins = static_cast<Process *>(ctx)->player->outside_pins;
  for (uint64_t page = hpa & ~4095ull; page < hpa + size; page += 4096) {
    if (on)
      pins[page]++;
    else if (auto it = pins.find(page); it != pins.end() && !--it->second)
      pins.erase(it);
  }
}

uint32_t PlayerImpl::on_user_pins(void *ctx, uint64_t hpa) {
  auto &pins = static_cast<Process *>(ctx)->player->outside_pins;
  auto it = pins.find(hpa & ~4095ull);
  return it == pins.end() ? 0 : it->second;
}

int PlayerImpl::on_user_fd_new(void *ctx) {
  auto *p = static_cast<Process *>(ctx);
  Calling *c = p->player->calling;
  if (!c || c->fds.empty())
    return -EMFILE;
  int64_t fd = c->fds.front();
  c->fds.erase(c->fds.begin());
  return static_cast<int>(fd);
}

static bool outside_read(void *ctx, void *dst, uint64_t src, size_t len) {
  return PlayerImpl::on_user_read(static_cast<Process *>(ctx)->player, dst, src, len);
}
static bool outside_write(void *ctx, uint64_t dst, const void *src, size_t len) {
  return PlayerImpl::on_user_write(static_cast<Process *>(ctx)->player, dst, src, len);
}

// The hooks of a process of the trace; of one outside all of them.
void PlayerImpl::set_user(Process &p) {
  ims_user user = {};
  if (p.outside) {
    user.ctx = &p;
    user.read = outside_read;
    user.write = outside_write;
    user.page = on_user_page;
    user.file_open = on_user_file_open;
    user.file_page = on_user_file_page;
    user.file_close = [](void *, uint64_t) {};
    user.pin = on_user_pin;
    user.pins = on_user_pins;
    user.fd_new = on_user_fd_new;
    user.fd_drop = [](void *, int) {};
    ims_mem_remote behind = {on_remote_read, on_remote_write, this};
    ims_mem_set_remote(&mem, &behind);
  } else {
    user.ctx = this;
    user.read = on_user_read;
    user.write = on_user_write;
  }
  if (options.recorder) {
    p.recorded = options.recorder->known_process(p.name);
    user = options.recorder->user(p.recorded, &user, &p.recording);
  }
  ims_process_set_user(p.process, &user);
}

// ---- Memory of programs that devices reach --------------------------------------------------------------------------

int PlayerImpl::on_remote_read(void *ctx, uint64_t hpa, void *buf, size_t len) {
  auto *self = static_cast<PlayerImpl *>(ctx);
  uint64_t at, left;
  if (!self->outside_memory.find(hpa, &at, &left))
    return IMS_ERR_BUS;
  Calling *c = self->calling;
  const Piece *p = c ? c->take_seen(hpa, len) : nullptr;
  if (p)
    std::memcpy(buf, p->bytes.data() + (hpa - p->addr), len);
  else
    self->remote.read(hpa, buf, len);
  if (self->options.recorder)
    self->options.recorder->seen(hpa, buf, len);
  return IMS_ERR_OK;
}

int PlayerImpl::on_remote_write(void *ctx, uint64_t hpa, const void *buf, size_t len) {
  auto *self = static_cast<PlayerImpl *>(ctx);
  uint64_t at, left;
  if (!self->outside_memory.find(hpa, &at, &left))
    return IMS_ERR_BUS;
  self->remote.write(hpa, buf, len);
  if (Calling *c = self->calling) {
    c->stored.emplace_back();
    c->stored.back().addr = hpa;
    c->stored.back().bytes.assign(static_cast<const char *>(buf), len);
  }
  if (self->options.recorder)
    self->options.recorder->stored(hpa, buf, len);
  return IMS_ERR_OK;
}

void RemoteMemory::read(uint64_t hpa, void *buf, size_t len) const {
  auto *to = static_cast<uint8_t *>(buf);
  while (len) {
    size_t n = std::min<size_t>(len, PAGE - hpa % PAGE);
    auto it = pages_.find(hpa / PAGE);
    if (it == pages_.end())
      std::memset(to, 0, n);
    else
      std::memcpy(to, it->second.data() + hpa % PAGE, n);
    to += n;
    hpa += n;
    len -= n;
  }
}

void RemoteMemory::write(uint64_t hpa, const void *buf, size_t len) {
  auto *from = static_cast<const uint8_t *>(buf);
  while (len) {
    size_t n = std::min<size_t>(len, PAGE - hpa % PAGE);
    std::vector<uint8_t> &page = pages_[hpa / PAGE];
    page.resize(PAGE);
    std::memcpy(page.data() + hpa % PAGE, from, n);
    from += n;
    hpa += n;
    len -= n;
  }
}

// ---- Calls ----------------------------------------------------------------------------------------------------------

static bool covers(const Piece &p, uint64_t addr, size_t len) {
  return !p.fault && addr >= p.addr && addr - p.addr <= p.bytes.size() && len <= p.bytes.size() - (addr - p.addr);
}

const Piece *Calling::take_seen(uint64_t hpa, size_t len) {
  for (size_t i = 0; seen && i < seen->size(); i++) {
    const Piece &p = (*seen)[(seen_next + i) % seen->size()];
    if (covers(p, hpa, len)) {
      seen_next = (seen_next + i + 1) % seen->size();
      return &p;
    }
  }
  return nullptr;
}

// From the record, in its order where that fits; else from the process's simulated memory.
bool PlayerImpl::call_read(void *dst, uint64_t src, size_t len) {
  Calling &c = *calling;
  const std::vector<Piece> none, &in = c.in ? *c.in : none;
  if (c.in_next < in.size() && in[c.in_next].addr == src && in[c.in_next].size() == len) {
    const Piece &p = in[c.in_next++];
    if (p.fault)
      return false;
    std::memcpy(dst, p.bytes.data(), len);
    return true;
  }
  const Piece *found = nullptr;
  for (size_t i = 0; i < in.size() && !found; i++) { // what comes next is likelier than what was
    const Piece &p = in[(c.in_next + i) % in.size()];
    if (covers(p, src, len))
      found = &p;
  }
  if (found) {
    std::memcpy(dst, found->bytes.data() + (src - found->addr), len);
    return true;
  }
  bool fault = std::any_of(in.begin(), in.end(), [&](const Piece &p) { return p.fault && p.addr == src; });
  return !fault && !c.process->outside && ims_process_read(c.process->process, src, dst, len) == 0;
}

bool PlayerImpl::call_write(uint64_t dst, const void *src, size_t len) {
  Calling &c = *calling;
  bool known = false, good = true;
  for (size_t i = 0; c.expected && i < c.expected->size(); i++) {
    const Piece &p = (*c.expected)[i];
    known = known || p.addr == dst;
    good = good && !(p.fault && p.addr == dst && p.missing == len);
  }
  bool simulated = good && !c.process->outside && ims_process_write(c.process->process, dst, src, len) == 0;
  good = good && (known || simulated);
  Piece came;
  came.addr = dst;
  came.fault = !good;
  if (good)
    came.bytes.assign(static_cast<const char *>(src), len);
  else
    came.missing = len;
  c.out.push_back(std::move(came));
  return good;
}

static const std::vector<Piece> *expected_pieces(const Event &e, const char *key) {
  for (const Arg &a : e.expects)
    if (a.key == key)
      return &a.value.pieces;
  return nullptr;
}

// The calls themselves, recorded if the run is.
long PlayerImpl::kernel_ioctl(File &f, uint32_t word, uint64_t argument) {
  if (options.recorder)
    options.recorder->ioctl(f.recorded, word, argument);
  long ret = ims_ioctl(f.file, word, argument);
  if (options.recorder)
    options.recorder->end(ret);
  return ret;
}

long PlayerImpl::kernel_read(File &f, uint64_t buf, size_t len, uint64_t offset) {
  if (options.recorder)
    options.recorder->read(f.recorded, buf, len, offset);
  long ret = ims_read(f.file, buf, len, offset);
  if (options.recorder)
    options.recorder->end(ret);
  return ret;
}

long PlayerImpl::kernel_write(File &f, uint64_t buf, size_t len, uint64_t offset) {
  if (options.recorder)
    options.recorder->write(f.recorded, buf, len, offset);
  long ret = ims_write(f.file, buf, len, offset);
  if (options.recorder)
    options.recorder->end(ret);
  return ret;
}

// *cookie: what the record calls the mapping, which is ours by another number.
long PlayerImpl::make_call(File &f, const std::string &call, uint32_t word, uint64_t *cookie) {
  uint64_t argument = number("arg"), len = number("len"), offset = number("offset");
  Recorder *r = options.recorder;
  long ret = 0;
  if (call == "read")
    return kernel_read(f, argument, len, offset);
  if (call == "write")
    return kernel_write(f, argument, len, offset);
  if (call == "mmap") {
    unsigned prot = prot_of(text("prot", "none"));
    if (r)
      r->mmap(f.recorded, offset, len, prot, has("shared"));
    uint64_t came = 0;
    ret = ims_file_mmap(f.file, offset, len, prot, has("shared"), &came);
    if (ret >= 0)
      cookies[*cookie] = came;
  } else if (call == "munmap") {
    if (r)
      r->munmap(f.recorded, argument);
    auto it = cookies.find(argument);
    ret = it == cookies.end() ? -EINVAL : ims_file_munmap(f.file, it->second);
    if (ret >= 0)
      cookies.erase(it);
  } else {
    return kernel_ioctl(f, word, argument);
  }
  if (r)
    r->end(ret, *cookie);
  return ret;
}

void PlayerImpl::call_event() {
  File &f = file_named();
  const Value &call = *arg("CALL");
  uint64_t word = 0, cookie = 0;
  if (!call.sums.empty())
    word = eval(call);
  else if (!is_call_word(call.text))
    command_by_name(call.text, &word);
  if (word >> 32)
    fail(call.at, "a command has 32 bits");
  if (observer->wants_words()) {
    CallRecord record;
    record.file = f.name;
    bool known = call_of(*event, &record);
    begin(f.name + ": " + (known ? call_words(record, dialect, f.kind) : print_value(call)));
  }
  Calling c;
  c.process = f.process;
  if (const Value *v = arg("in"))
    c.in = &v->pieces;
  if (const Value *v = arg("seen"))
    c.seen = &v->pieces;
  if (const Value *v = arg("fds"))
    for (const Sum &s : v->sums)
      c.fds.push_back(static_cast<int64_t>(eval(s)));
  c.expected = expected_pieces(*event, "out");
  for (const Arg &a : event->expects)
    if (a.key == "cookie")
      cookie = eval(a.value);
  calling = &c;
  long ret = make_call(f, call.text, static_cast<uint32_t>(word), &cookie);
  calling = nullptr;
  put("out", Type::PIECES, 0).pieces = std::move(c.out);
  put("stored", Type::PIECES, 0).pieces = std::move(c.stored);
  if (call.text == "mmap" && ret >= 0)
    put_number("cookie", cookie, true);
  put_result(ret);
}

void PlayerImpl::share_event() {
  File &of = file_named("FILE");
  auto f = std::make_unique<File>();
  f->name = text("NAME");
  f->process = &process_named("process");
  begin(f->process->name + ": another descriptor of " + of.name + ", called " + f->name);
  uint64_t fd = number("fd", ~0ull);
  int ret = ims_file_share(of.file, f->process->process, fd > 0x7fffffff ? -1 : static_cast<int>(fd), &f->file);
  if (ret >= 0) {
    f->fd = ret;
    f->kind = of.kind;
    add_file(std::move(f));
  }
  put_result(ret);
}

void PlayerImpl::adopt_event() {
  auto f = std::make_unique<File>();
  f->name = text("NAME");
  f->process = &process_named("process");
  uint64_t fd = number("fd");
  begin(f->process->name + ": descriptor " + std::to_string(fd) + ", called " + f->name);
  f->file = fd > 0x7fffffff ? nullptr : ims_process_file(f->process->process, static_cast<int>(fd));
  int ret = f->file ? static_cast<int>(fd) : -EBADF;
  if (f->file) {
    f->fd = ret;
    f->kind = static_cast<uint8_t>(ims_file_kind(f->file));
    add_file(std::move(f));
  }
  put_result(ret);
}

// ---- Pages ----------------------------------------------------------------------------------------------------------

Process &PlayerImpl::outside_named() const {
  Process &p = process_named();
  if (!p.outside)
    fail(arg("NAME")->at, quote(p.name) + " is a simulated process; expected one that was begun with `outside`");
  return p;
}

void PlayerImpl::page_event() {
  Process &p = outside_named();
  bool of_file = event->info->id == EventId::FILE_PAGE, write = word_is("access", "write");
  uint64_t at = number(of_file ? "offset" : "va"), size = number("size");
  Answer a;
  a.hpa = number("hpa");
  a.page = number("page");
  if (const Value *v = arg("result"))
    a.error = v->text == "OK" ? 0 : errno_by_name(v->text);
  if (has("page") && (!a.page || a.page & (a.page - 1) || size % a.page))
    fail(arg("page")->at, "expected a power of two, and a size that is a multiple of it");
  if (!a.error && !has("hpa"))
    fail("`" + std::string(event->info->name) + "` lacks hpa= (or result=, of a page that is not to be had)");
  std::string file = of_file ? "file " + std::to_string(number("file")) + " " : "";
  begin(p.name + ": " + file + hex(at) + " (" + bytes_text(size) + ") " +
        (a.error ? "is not to be had: " + errno_name(a.error) : "is hpa " + hex(a.hpa)) + (write ? ", to write" : ""));
  AnswerMap *maps = of_file ? p.outside->files[number("file")].data() : p.outside->pages;
  maps[write].put(at, size, a);
  if (!a.error)
    outside_memory.put(a.hpa, size, a);
}

void PlayerImpl::file_open_event() {
  Process &p = outside_named();
  uint64_t fd = number("fd"), file = number("file");
  int error = 0;
  if (const Value *v = arg("result"))
    error = v->text == "OK" ? 0 : errno_by_name(v->text);
  if (fd > 0x7fffffff)
    fail(arg("fd")->at, "expected a descriptor");
  begin(p.name + ": descriptor " + std::to_string(fd) + " is " +
        (error ? "no file of memory: " + errno_name(error) : "file " + std::to_string(file)));
  p.outside->opens[static_cast<int>(fd)] = {error, file};
}

} // namespace ims
