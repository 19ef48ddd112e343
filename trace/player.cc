// SPDX-License-Identifier: Apache-2.0
// The player: values, outputs, expectations, and the loop over the events.
#include "trace/player_internal.h"

#include <algorithm>
#include <cinttypes>

namespace ims {

unsigned Translation::configuration() const {
  unsigned n = 0;
  for (unsigned i = 0; i < IMS_STRUCT_COUNT; i++)
    n += i == IMS_STRUCT_S1_TABLE || i == IMS_STRUCT_S2_TABLE ? 0 : reads[i];
  return n;
}

Player::Player(EventStream *events, const PlayOptions &options, PlayObserver *observer)
    : impl_(std::make_unique<PlayerImpl>(events, options, observer)) {}
Player::Player(const Trace &trace, const PlayOptions &options, PlayObserver *observer)
    : own_(std::make_unique<TraceEvents>(trace)), impl_(std::make_unique<PlayerImpl>(own_.get(), options, observer)) {}
Player::~Player() = default;
void Player::run() { impl_->run(); }
const PlayCounters &Player::counters() const { return impl_->count; }
const ims_kernel *Player::kernel() const { return impl_->kernel; }
ims_mem *Player::memory() { return &impl_->mem; }

std::vector<UnitView> Player::units() const {
  std::vector<UnitView> list;
  for (const auto &u : impl_->units)
    list.push_back({u->name, u->iommu, u->arch, &u->config});
  return list;
}

std::vector<DeviceView> Player::devices() const {
  std::vector<DeviceView> list;
  for (const auto &d : impl_->devices)
    list.push_back({d->name, &d->endpoint});
  return list;
}

PlayerImpl::PlayerImpl(EventStream *e, const PlayOptions &o, PlayObserver *obs) : events(e), options(o), observer(obs) {
  ims_mem_init(&mem);
}

PlayerImpl::~PlayerImpl() {
  over = true;             // what shutting down does is no part of the story
  ims_kernel_free(kernel); // turns the units off
  for (auto &d : devices) {
    ims_endpoint_fini(&d->endpoint);
    ims_dma_engine_fini(&d->engine);
  }
  for (auto &u : units)
    ims_iommu_free(u->iommu);
  for (auto &p : pools)
    ims_page_pool_fini(&p->pool);
  ims_mem_fini(&mem);
}

void PlayerImpl::fail(Position at, const std::string &message) const { throw TraceError(events->name(), at, message); }

// ---- Values ---------------------------------------------------------------------------------------------------------

uint64_t PlayerImpl::attribute(const Term &t) const {
  const std::string &name = t.name, &a = t.attribute;
  if (auto *o = lookup(tables, name))
    return o->pgt.root;
  if (auto *o = lookup(processes, name)) {
    if (o->exited)
      fail(t.at, quote(name) + " has ended");
    return a == "pgd" ? ims_process_pgd(o->process) : ims_process_pasid(o->process);
  }
  if (auto *o = lookup(devices, name))
    return a == "source" ? o->endpoint.config.source : o->host ? ims_device_pasid_dir(o->host) : 0;
  if (auto *o = lookup(units, name)) {
    for (const UnitAttribute &u : o->arch->attributes)
      if (a == u.name)
        return o->arch->peek(o->iommu, static_cast<unsigned>(o->arch->find_register(u.reg))) & u.mask;
    fail(t.at, quote(name) + " is " + o->arch->a_unit + ", which has no " + quote(a));
  }
  if (auto *o = lookup(files, name))
    return static_cast<uint64_t>(o->fd);
  if (auto *o = lookup(svas, name))
    return ims_sva_pasid(o->sva);
  fail(t.at, quote(name) + " was not made: the event that was to make it failed");
}

uint64_t PlayerImpl::eval(const Sum &sum, const ims_uapi_value *values) const {
  uint64_t total = 0;
  for (const Term &t : sum) {
    uint64_t value = t.number;
    if (t.kind == Term::VARIABLE) {
      auto v = variables.find(t.name);
      if (v == variables.end())
        fail(t.at, "variable " + quote("$" + t.name) + " has no value: the event that was to give it brought none");
      value = v->second;
    } else if (t.kind == Term::ATTRIBUTE) {
      value = attribute(t);
    } else if (t.kind == Term::WORD) {
      value = 0;
      bool constant = vfio_constant(t.name, &value);
      for (const ims_uapi_value *v = values; !constant && v && v->name; v++)
        if (t.name == v->name)
          value = v->value;
      if (!constant && !values) { // a file; one that could not be opened has no number
        auto *f = lookup(files, t.name);
        value = f ? static_cast<uint32_t>(f->fd) : ~0u;
      }
    }
    total += t.minus ? 0 - value : value;
  }
  return total;
}

uint64_t PlayerImpl::eval(const Value &v) const {
  uint64_t total = 0;
  for (const Sum &s : v.sums)
    total |= eval(s);
  return total;
}

uint64_t PlayerImpl::number(const char *key, uint64_t def) const {
  const Value *v = arg(key);
  return v ? eval(*v) : def;
}

bool PlayerImpl::word_is(const char *key, const char *word) const {
  const Value *v = arg(key);
  return v && v->text == word;
}

std::string PlayerImpl::text(const char *key, const char *def) const {
  const Value *v = arg(key);
  return v ? v->text : def;
}

Process &PlayerImpl::process_named(const char *key) const {
  Process &p = named(processes, key);
  if (p.exited)
    fail(arg(key)->at, quote(p.name) + " has ended");
  return p;
}

File &PlayerImpl::file_named(const char *key) const {
  File &f = named(files, key);
  if (f.process->exited)
    fail(arg(key)->at, "process " + quote(f.process->name) + ", whose file this is, has ended");
  return f;
}

ims_device *PlayerImpl::host_device(Device &d) const {
  if (!d.host)
    fail("the kernel does not know " + quote(d.name) + ": its unit has no driver");
  return d.host;
}

// ---- Outputs --------------------------------------------------------------------------------------------------------

Outcome &PlayerImpl::put(const char *name, Type type, uint64_t n) {
  outputs.emplace_back();
  Outcome &o = outputs.back();
  o.name = name;
  o.type = type;
  o.number = n;
  return o;
}

Outcome &PlayerImpl::put_number(const char *name, uint64_t n, bool hexadecimal) {
  Outcome &o = put(name, Type::NUMBER, n);
  o.hexadecimal = hexadecimal;
  return o;
}

void PlayerImpl::put_word(const char *name, const std::string &word) { put(name, Type::WORD, 0).text = word; }

void PlayerImpl::put_list(const char *name, const std::vector<uint64_t> &list) { put(name, Type::LIST, 0).list = list; }

bool PlayerImpl::expects(const char *name) const {
  return std::any_of(event->expects.begin(), event->expects.end(), [&](const Arg &a) { return a.key == name; });
}

void PlayerImpl::put_error(int err) {
  put("error", Type::ERROR, static_cast<uint64_t>(static_cast<int64_t>(err)));
  if (err && !expects("error"))
    fail(std::string("`") + event->info->name + "` failed: " + ims_strerror(err) + " (error " + ims_error_name(err) +
         ")");
  if (err)
    result(std::string("fails: ") + ims_strerror(err) + " (" + ims_error_name(err) + ")", false);
}

void PlayerImpl::put_result(long ret, const std::string &more) {
  put_number("ret", static_cast<uint64_t>(static_cast<int64_t>(ret))).is_signed = true;
  put("errno", Type::ERRNO, ret < 0 ? static_cast<uint64_t>(-ret) : 0);
  std::string words = ret < 0 ? "-" + errno_name(static_cast<int>(-ret)) : std::to_string(ret);
  result("returns " + words + (more.empty() ? "" : "; " + more), ret >= 0);
}

const Outcome *PlayerImpl::output(const std::string &name) const {
  for (const Outcome &o : outputs)
    if (o.name == name)
      return &o;
  return nullptr;
}

static std::string hex_bytes(const std::string &bytes) {
  std::string out;
  for (char c : bytes)
    out += format("%02x", static_cast<unsigned char>(c));
  return out;
}

std::string Outcome::print() const {
  switch (type) {
  case Type::ERRNO: return errno_name(static_cast<int>(number));
  case Type::ERROR: return ims_error_name(static_cast<int>(static_cast<int64_t>(number)));
  case Type::FAULT:
    return number ? format("0x%" PRIx64, number) + (arch ? " " + arch->fault_text(static_cast<unsigned>(number)) : "")
                  : "none";
  case Type::SOURCE: return source_text(static_cast<uint32_t>(number));
  case Type::PLACE: return hex(number);
  case Type::BITS: return field ? field_text(*field, number) : hex(number);
  case Type::LIST: {
    std::string words;
    for (uint64_t v : list)
      words += (words.empty() ? "" : ",") + hex(v);
    return words;
  }
  case Type::BYTES: return hex_bytes(text);
  case Type::PIECES: return print_pieces(pieces);
  case Type::NUMBER:
    if (hexadecimal)
      return hex(number);
    if (is_signed && static_cast<int64_t>(number) < 0)
      return "-" + errno_name(static_cast<int>(-static_cast<int64_t>(number)));
    return std::to_string(number);
  default: return text;
  }
}

// hpa of an address in a space. False: nothing lies there.
bool PlayerImpl::place_hpa(const std::string &space, uint64_t addr, uint64_t *hpa) const {
  if (Vm *vm = lookup(vms, space))
    return ims_vm_translate(vm->vm, addr, hpa) == IMS_ERR_OK;
  if (Process *p = lookup(processes, space))
    return !p->exited && ims_process_translate(p->process, addr, hpa) == IMS_ERR_OK;
  *hpa = addr; // hpa, and pools, whose addresses are hpa
  return true;
}

// The first of them that differs goes into the texts.
static bool same_pieces(const std::vector<Piece> &want, const std::vector<Piece> &came, std::string *expected,
                        std::string *got) {
  size_t i = 0;
  while (i < want.size() && i < came.size() && want[i] == came[i])
    i++;
  if (i == want.size() && i == came.size())
    return true;
  auto shortened = [](const std::vector<Piece> &list, size_t at) {
    if (at >= list.size())
      return std::string("nothing");
    constexpr size_t most = 200;
    std::string words = print_pieces({list[at]});
    return words.size() > most ? words.substr(0, most) + "..." : words;
  };
  *expected = shortened(want, i);
  *got = shortened(came, i);
  return false;
}

// One expectation against what came.
bool PlayerImpl::holds(const Arg &x, const Outcome *came, std::string *expected, std::string *got) const {
  const Value &v = x.value;
  if (v.type == Type::PIECES) // may be long
    return same_pieces(v.pieces, came ? came->pieces : std::vector<Piece>(), expected, got);
  *expected = print_value(v);
  *got = came ? came->print() : "nothing";
  switch (v.type) {
  case Type::NUMBER:
  case Type::SOURCE: {
    uint64_t want = eval(v);
    // The value behind $names is what a reader wants to see.
    if (v.sums.size() == 1 && (v.sums[0].size() > 1 || v.sums[0][0].kind != Term::NUMBER))
      *expected += " (" + (came && came->hexadecimal ? hex(want) : std::to_string(want)) + ")";
    return came && came->number == want;
  }
  case Type::BITS: {
    uint64_t want = 0;
    for (const Sum &s : v.sums)
      want |= eval(s, came && came->field ? came->field->values : nullptr);
    return came && came->number == want;
  }
  case Type::PLACE: {
    uint64_t addr = eval(v.sums[0]), want;
    if (!place_hpa(v.text, addr, &want)) {
      *expected += ", where nothing is mapped";
      return false;
    }
    if (!v.text.empty() && v.text != "hpa")
      *expected += " (hpa " + hex(want) + ")";
    return came && came->number == want;
  }
  case Type::LIST: {
    std::vector<uint64_t> want;
    for (const Sum &s : v.sums)
      want.push_back(eval(s));
    return came && came->list == want;
  }
  case Type::FAULT: {
    unsigned code = 0;
    const Arch *arch = nullptr;
    if (v.text.empty())
      code = static_cast<unsigned>(eval(v));
    else
      fault_by_name(v.text, &arch, &code);
    const Arch *whose = arch ? arch : came ? came->arch : nullptr;
    if (code)
      *expected = format("0x%x", code) + (whose ? " " + whose->fault_text(code) : "");
    return came && came->number == code && (!arch || came->arch == arch);
  }
  case Type::ERRNO: return came && came->number == static_cast<uint64_t>(v.text == "OK" ? 0 : errno_by_name(v.text));
  case Type::ERROR: {
    int want;
    error_by_name(v.text, &want);
    return came && static_cast<int64_t>(came->number) == want;
  }
  default: return came && came->text == v.text;
  }
}

// Interrupts that came are handled before the event ends.
void PlayerImpl::interrupts() {
  for (unsigned i = 0; kernel && i < 1000 && ims_kernel_interrupts(kernel); i++)
    ;
}

void PlayerImpl::finish() {
  unsigned failed = 0;
  for (const Arg &x : event->expects) {
    std::string expected, came;
    count.expectations++;
    if (holds(x, output(x.key), &expected, &came))
      continue;
    count.failed++;
    failed++;
    // Why it did not come, where the event says so.
    if (!output(x.key))
      for (const Outcome &o : outputs)
        if ((o.type == Type::FAULT || o.type == Type::ERRNO || o.type == Type::ERROR) && o.number)
          came += " (" + o.name + " " + o.print() + ")";
    observer->failure({x.at, event->info->name, x.key, expected, came});
  }
  for (const Let &l : event->lets) {
    const Outcome *o = output(l.output);
    if (!o || (o->type == Type::LIST && o->list.empty()))
      variables.erase(l.name);
    else
      variables[l.name] = o->type == Type::LIST ? o->list[0] : o->number;
  }
  observer->outcomes(*event, outputs);
  record_event();
  observer->end(*event, static_cast<unsigned>(event->expects.size()), failed);
}

void PlayerImpl::play(const Event &e) {
  event = &e;
  outputs.clear();
  count.events++;
  if (options.time)
    options.time->begin(e);
  switch (e.info->id) {
  case EventId::MEMORY: memory_event(); break;
  case EventId::KERNEL: kernel_event(); break;
  case EventId::IOMMU: iommu_event(); break;
  case EventId::DEVICE: device_event(); break;
  case EventId::PROCESS: process_event(); break;
  case EventId::VM: vm_event(); break;
  case EventId::SLOT: slot_event(); break;
  case EventId::GUEST_POOL: guest_pool_event(); break;
  case EventId::POOL: pool_event(); break;
  case EventId::TABLE: table_event(); break;
  case EventId::ALLOC: alloc_event(); break;
  case EventId::MMAP: mmap_event(); break;
  case EventId::MEMFD: memfd_event(); break;
  case EventId::MUNMAP: munmap_event(); break;
  case EventId::MPROTECT: mprotect_event(); break;
  case EventId::EXIT: exit_event(); break;
  case EventId::OPEN: open_event(); break;
  case EventId::CLOSE: close_event(); break;
  case EventId::IOCTL: ioctl_event(); break;
  case EventId::IOCTL_RAW: ioctl_raw_event(); break;
  case EventId::FAULT_READ: fault_read_event(); break;
  case EventId::PAGE_RESPONSE: page_response_event(); break;
  case EventId::READ_FILE: read_file_event(); break;
  case EventId::WRITE_FILE: write_file_event(); break;
  case EventId::POLL: poll_event(); break;
  case EventId::SVA_BIND: sva_bind_event(); break;
  case EventId::SVA_UNBIND: sva_unbind_event(); break;
  case EventId::PASID_QUOTA: pasid_quota_event(); break;
  case EventId::DEVICE_SET: device_set_event(); break;
  case EventId::PROCESS_SET: process_set_event(); break;
  case EventId::CALL: call_event(); break;
  case EventId::SHARE: share_event(); break;
  case EventId::ADOPT: adopt_event(); break;
  case EventId::PAGE: page_event(); break;
  case EventId::FILE_OPEN: file_open_event(); break;
  case EventId::FILE_PAGE: page_event(); break;
  case EventId::MAP: map_event(); break;
  case EventId::UNMAP: unmap_event(); break;
  case EventId::PROTECT: protect_event(); break;
  case EventId::WRITE: write_event(); break;
  case EventId::ENTRY: entry_event(); break;
  case EventId::FILL: fill_event(); break;
  case EventId::READ: read_event(); break;
  case EventId::MMIO_WRITE: mmio_write_event(); break;
  case EventId::MMIO_READ: mmio_read_event(); break;
  case EventId::DESCRIPTOR: descriptor_event(); break;
  case EventId::COMMAND: command_event(); break;
  case EventId::EVENT_READ: event_read_event(); break;
  case EventId::REQUEST_READ: request_read_event(); break;
  case EventId::DMA: dma_event(); break;
  case EventId::OUTCOME: outcome_event(); break;
  case EventId::PAGE_REQUEST: page_request_event(); break;
  case EventId::FAULT_LOG: fault_log_event(); break;
  case EventId::DROP_CACHES: drop_caches_event(); break;
  case EventId::BARRIER: barrier_event(); break;
  case EventId::LET: let_event(); break;
  case EventId::SAY: say_event(); break;
  case EventId::COUNT: break;
  }
  interrupts();
  if (options.time)
    options.time->end();
  finish();
}

// ---- Recording ------------------------------------------------------------------------------------------------------

// Events that called the kernel through a file are recorded as that call, all others by their words. Behind a call stand the
// names that the event has given: to numbers, and to a descriptor that it made.
void PlayerImpl::record_event() {
  Recorder *r = options.recorder;
  if (!r)
    return;
  if (r->calls() == calls_before) {
    r->text(print_event(*event) + "\n");
    return;
  }
  calls_before = r->calls();
  for (const Let &l : event->lets) {
    auto v = variables.find(l.name);
    if (v != variables.end())
      r->text("let " + l.name + "=" + hex(v->second) + "\n");
  }
  const Value *made = event->info->id == EventId::IOCTL ? arg("file") : nullptr;
  File *f = made ? lookup(files, made->text) : nullptr;
  if (f && f->recorded >= 0)
    r->text("adopt " + f->name + " process=" + f->process->name + " fd=" + std::to_string(f->fd) + "\n");
}

void PlayerImpl::run() {
  while (const Event *e = events->next())
    play(*e);
}

} // namespace ims
