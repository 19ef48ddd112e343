// SPDX-License-Identifier: Apache-2.0
// The DMA engine, its device TLB (PCIe ATS) and its page requests (PCIe PRI).
#include "model/device.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace ims::model {

const char *const device_maps[] = {"static", "stream", nullptr};
IMS_MODEL_PART(DeviceConfig, "device", "a device and what it does", IMS_MODEL_DEVICE_KNOBS)

#define COPY(name, ...)   to.name = name;
#define COPY_N(name, ...) COPY(name)
PatternConfig DeviceConfig::pattern_config() const {
  PatternConfig to;
  IMS_MODEL_PATTERN_KNOBS(COPY_N, COPY_N, COPY_N, COPY_N)
  return to;
}
#undef COPY_N
#undef COPY

enum { PAGE_GROUPS = IMS_PAGE_GROUPS, RESPONSE_SUCCESS = 0, RESPONSE_FAILURE = 15 };
// What each DMA passes through, loosely timed and with direct access.
#define HOT __attribute__((always_inline)) inline

enum { AHEAD = 64 };                                     // accesses that are asked of the pattern at once
enum { TRANSLATION_BYTES = 8, PAGE_REQUEST_BYTES = 16 }; // what such a message carries

// Set-up.

const DeviceConfig &Device::checked(const DeviceConfig &config) {
  const Part &part = DeviceConfig::part();
  const ims_option *row = ims_options_check(&config, part.rows.data(), part.rows.size());
  if (row)
    throw std::invalid_argument(std::string("device.") + row->name + ": found " +
                                std::to_string(ims_option_get(&config, row)) + ", expected " +
                                std::to_string(row->low) + " to " + std::to_string(row->high));
  return config;
}

Device::Device(sc_core::sc_module_name name, const DeviceConfig &config, std::vector<Stream> streams,
               std::unique_ptr<Pattern> pattern, Timing timing)
    : sc_module(name), port("port", this, {&Device::done, nullptr, &Device::withdrawn}),
      messages("messages", this, {&Device::message, &Device::message_arrives, nullptr, &Device::will_answer}),
      config_(checked(config)), streams_(std::move(streams)), pattern_(std::move(pattern)), lt_(timing == Timing::LT),
      agenda_(Agenda::of_simulation()), tags_(config.tags), ahead_(AHEAD), path_latency_(PATHS) {
  if (streams_.empty())
    throw std::invalid_argument("device: found no stream, expected at least one");
  for (const Stream &s : streams_) {
    if (s.iova % Pattern::PAGE)
      throw std::invalid_argument("device: found a stream at iova " + std::to_string(s.iova) +
                                  ", expected a multiple of 4096");
    function_.push_back({s.source, false});
    ids_.push_back(ims_atc_id(s.source, s.has_pasid, s.pasid, false));
  }
  auto before = [](const Function &a, const Function &b) { return a.source < b.source; };
  auto same = [](const Function &a, const Function &b) { return a.source == b.source; };
  std::sort(function_.begin(), function_.end(), before);
  function_.erase(std::unique(function_.begin(), function_.end(), same), function_.end());
  for (const Stream &s : streams_)
    function_of_.push_back(static_cast<uint32_t>(function(s.source) - function_.data()));
  if (config_.data)
    data_.resize(size_t{config_.tags} * Pattern::PAGE);
  if (config_.ats) {
    struct ims_cache_config c = {};
    c.entries = config_.atc_entries;
    c.ways = config_.atc_ways;
    c.value_size = sizeof(struct ims_tlb_value);
    c.sized = true;
    c.replacement = static_cast<ims_replacement>(config_.atc_replacement);
    c.seed = config_.seed;
    if (ims_cache_init(&atc_, &c) != IMS_ERR_OK)
      throw std::bad_alloc();
    translation_.resize(config_.tags);
    for (uint32_t i = config_.tags; i--;)
      free_translation_.push_back(i);
    size_t buckets = 1;
    while (buckets < config_.tags)
      buckets *= 2;
    buckets_.assign(buckets, NONE);
    group_.resize(PAGE_GROUPS);
  }
  if (config_.dmi && lt_ && !config_.ats) {
    size_t pages = 1;
    while (pages < config_.dmi_pages)
      pages *= 2;
    direct_.resize(pages);
  }
}

Device::~Device() { ims_cache_fini(&atc_); }

Device::Function *Device::function(uint32_t source) {
  auto f = std::lower_bound(function_.begin(), function_.end(), source,
                            [](const Function &a, uint32_t b) { return a.source < b; });
  return f != function_.end() && f->source == source ? &*f : nullptr;
}

void Device::start_of_simulation() {
  if (!by_hand_)
    start();
}

void Device::start() { agenda_.at<&Device::begin>(agenda_.now(), this); }

// The ends of what is loosely timed.

HOT void Device::Ends::put(Ticks when, Payload *payload, uint32_t tag) {
  if (__builtin_expect(ring_first_ != ring_last_ && ring_[(ring_last_ - 1) & mask_].when > when, 0)) {
    heap_.push_back({when, order_++, payload, tag});
    std::push_heap(heap_.begin(), heap_.end(), later);
    return;
  }
  if (__builtin_expect(ring_last_ - ring_first_ > mask_, 0))
    grow();
  Item &item = ring_[ring_last_++ & mask_];
  item.when = when;
  item.order = order_++;
  item.payload = payload;
  item.tag = tag;
}

void Device::Ends::grow() {
  std::vector<Item> bigger(ring_.size() * 2);
  for (size_t i = ring_first_; i != ring_last_; i++)
    bigger[i & (bigger.size() - 1)] = ring_[i & mask_];
  ring_ = std::move(bigger);
  mask_ = ring_.size() - 1;
}

HOT Payload *Device::Ends::take(uint32_t *tag) {
  if (__builtin_expect(from_ring(), 1)) {
    const Item &item = ring_[ring_first_++ & mask_];
    *tag = item.tag;
    return item.payload;
  }
  std::pop_heap(heap_.begin(), heap_.end(), later);
  Item item = heap_.back();
  heap_.pop_back();
  *tag = item.tag;
  return item.payload;
}

// What is written: each eight bytes are the address that they are meant for.
inline void Device::fill(unsigned char *data, const Tag &t) {
  for (uint32_t i = 0; i < t.access.bytes; i += 8) {
    uint64_t word = t.iova + i;
    memcpy(data + i, &word, 8); // the buffer is a page, so that the last word has room
  }
}

// Direct access, if there is a grant for it.
HOT bool Device::direct(uint32_t tag) {
  Tag &t = tags_[tag];
  const Access &a = t.access;
  const DirectPage &d = direct_page(t.iova / Pattern::PAGE, a.stream);
  if (d.page != t.iova / Pattern::PAGE || d.stream != a.stream || !(a.write ? d.write : d.read))
    return false;
  count_.dmi_hits++;
  if (config_.data) {
    unsigned char *at = d.bytes + t.iova % Pattern::PAGE, *data = buffer(tag);
    if (a.write) {
      fill(data, t);
      memcpy(at, data, a.bytes);
    } else {
      memcpy(data, at, a.bytes);
    }
  }
  ends_.put(now() + (a.write ? d.write_time : d.read_time), nullptr, tag);
  if (!in_turn_)
    wake(ends_.earliest());
  return true;
}

// The life of a tag.

// The next access of the pattern; false: there are no more.
HOT bool Device::take(uint32_t tag, Access *a) {
  if (config_.count && taken_ == config_.count)
    return false;
  if (__builtin_expect(ahead_first_ < ahead_count_, 1)) {
    const Access &next = ahead_[ahead_first_++]; // member by member, as it was written
    a->offset = next.offset;
    a->bytes = next.bytes;
    a->stream = next.stream;
    a->write = next.write;
    a->when = next.when;
  } else if (pattern_->chains()) {
    if (!pattern_->next_of(tag, a))
      return false;
  } else {
    ahead_count_ = pattern_->next(ahead_.data(), ahead_.size());
    ahead_first_ = 1;
    if (!ahead_count_)
      return false;
    *a = ahead_[0];
  }
  if (__builtin_expect(a->stream >= streams_.size(), 0))
    throw std::out_of_range("device: the pattern names stream " + std::to_string(a->stream) + " of " +
                            std::to_string(streams_.size()));
  taken_++;
  return true;
}

// The tag is free: it takes the next access, if there is one.
HOT void Device::next(uint32_t tag) {
  Tag &t = tags_[tag];
  if (__builtin_expect(!take(tag, &t.access), 0)) {
    stop();
    return;
  }
  if (__builtin_expect(config_.gap_ns || t.access.when, 0)) {
    tell_time();
    Ticks when = std::max(due_, started_ + t.access.when), now = agenda_.now();
    due_ = when + config_.gap_ns;
    if (when > now) {
      agenda_.at<&Device::due>(when, this, tag);
      return;
    }
    count_.late += when < now;
  }
  issue(tag);
}

// There are no more; the last tag to find out ends it.
void Device::stop() {
  tell_time();
  if (!--busy_)
    agenda_.at<&Device::finish>(agenda_.now(), this);
}

HOT void Device::issue(uint32_t tag) {
  Tag &t = tags_[tag];
  count_.issued++;
  in_use_++;
  t.issued = now();
  t.iova = streams_[t.access.stream].iova + t.access.offset;
  if (__builtin_expect(mapper_ != nullptr, 0))
    map(tag);
  else
    depart(tag);
}

HOT void Device::depart(uint32_t tag) {
  Tag &t = tags_[tag];
  if (config_.ats) {
    t.id = ids_[t.access.stream];
    t.path = ATC_HIT;
    t.page_tries = 0;
    look_up(tag);
  } else if (direct_.empty() || !direct(tag)) {
    tell_time();
    send_dma(tag, t.iova, IMS_UNTRANSLATED, 0);
  }
}

void Device::begin(uint64_t) {
  if (config_.map == MAP_STREAM && !mapper_)
    throw std::logic_error("device: map = stream without a mapper");
  started_ = due_ = counted_from_ = last_ = agenda_.now();
  uint32_t tags = config_.tags;
  if (pattern_->chains())
    tags = std::min(tags, pattern_->chains());
  busy_ = tags;
  for (uint32_t i = 0; i < tags; i++)
    next(i);
}

void Device::due(uint64_t tag) { issue(static_cast<uint32_t>(tag)); }

// From the beginning, after something came in between.
void Device::go(uint32_t tag) {
  if (config_.ats)
    look_up(tag);
  else
    send_dma(tag, tags_[tag].iova, IMS_UNTRANSLATED, 0);
}

void Device::retry(uint32_t tag) {
  count_.retried++;
  tags_[tag].state = SENT;
  agenda_.at<&Device::go_again>(agenda_.now() + config_.retry_ns, this, tag);
}

// The DMA has arrived.
HOT void Device::end(uint32_t tag) {
  Tag &t = tags_[tag];
  last_ = now();
  (t.access.write ? count_.bytes_written : count_.bytes_read) += t.access.bytes;
  if (__builtin_expect(++count_.done > config_.warmup, 1)) {
    latency_.add(last_ - t.issued);
    if (config_.ats)
      path_latency_[t.path].add(last_ - t.issued);
    if (__builtin_expect(mapper_ != nullptr, 0))
      dma_latency_.add(last_ - t.mapped);
  } else {
    counted_from_ = last_;
    warmup_bytes_ = count_.bytes_read + count_.bytes_written;
  }
  over(tag);
}

void Device::fail(uint32_t tag, uint64_t DeviceCounters::*cause) {
  count_.failed++;
  count_.*cause += 1;
  over(tag);
}

// Arrived or not: the tag is free, once software has unmapped what it had mapped.
HOT void Device::over(uint32_t tag) {
  if (__builtin_expect(tags_[tag].mapped_now, 0)) {
    unmap(tag);
    return;
  }
  tags_[tag].state = IDLE;
  in_use_--;
  next(tag);
}

void Device::finish(uint64_t) {
  finished_ = true;
  if (on_finished_)
    on_finished_();
}

// Streaming.

void Device::use_mapper(DmaMapper *mapper) {
  if (config_.map != MAP_STREAM)
    return;
  page_bytes_ = mapper->page_bytes();
  for (const Stream &s : streams_)
    if (slots(s) < config_.tags)
      throw std::invalid_argument("device.tags: found " + std::to_string(config_.tags) + ", expected at most " +
                                  std::to_string(slots(s)) + ", the pages of " + std::to_string(page_bytes_) +
                                  " bytes in a window: with map = stream each tag needs its own");
  mapper_ = mapper;
}

// Pages of a window.
uint64_t Device::slots(const Stream &s) const {
  uint64_t window = config_.window_kib ? uint64_t{config_.window_kib} * 1024 : s.bytes;
  return std::min(window, s.bytes) / page_bytes_;
}

void Device::map(uint32_t tag) {
  Tag &t = tags_[tag];
  const Stream &s = streams_[t.access.stream];
  uint64_t rounds = slots(s) / config_.tags; // of this tag's pages in this window
  uint64_t page = tag + config_.tags * (t.slot++ % rounds);
  t.iova = s.iova + page * page_bytes_ + t.access.offset % page_bytes_;
  t.state = MAPPING;
  tell_time();
  mapper_->before(s, t.iova, t.access.bytes, DmaMapper::done<&Device::mapped>(this, tag));
}

void Device::mapped(uint64_t w, bool ok) {
  uint32_t tag = static_cast<uint32_t>(w);
  Tag &t = tags_[tag];
  t.mapped_now = ok;
  t.mapped = agenda_.now();
  if (ok)
    depart(tag);
  else
    fail(tag, &DeviceCounters::not_mapped);
}

void Device::unmap(uint32_t tag) {
  Tag &t = tags_[tag];
  t.state = MAPPING;
  t.mapped_now = false;
  tell_time();
  mapper_->after(streams_[t.access.stream], t.iova, t.access.bytes, DmaMapper::done<&Device::unmapped>(this, tag));
}

void Device::unmapped(uint64_t tag, bool) { over(static_cast<uint32_t>(tag)); }

// Requests.

Payload &Device::request(Kind kind, uint32_t index, uint32_t stream, uint8_t type, uint8_t access, uint32_t bytes) {
  Payload &p = pool_.get();
  Request &x = *static_cast<Request *>(p.get_extension<DmaExtension>());
  const Stream &s = streams_[stream];
  x.kind = kind;
  x.index = index;
  x.source = s.source;
  x.pasid = type == IMS_TRANSLATED ? 0 : s.pasid; // what has been translated has no PASID
  x.has_pasid = type != IMS_TRANSLATED && s.has_pasid;
  x.no_write = false;
  x.stall_returns = lt_;
  x.type = type;
  x.access = access;
  x.bytes = bytes;
  x.issued = agenda_.now();
  x.result.status = IMS_STATUS_OK;
  x.result.completion = IMS_CPL_SUCCESS;
  x.dropped = x.translated = false;
  return p;
}

void Device::send_dma(uint32_t tag, uint64_t address, uint8_t type, Ticks delay) {
  Tag &t = tags_[tag];
  const Access &a = t.access;
  (type == IMS_TRANSLATED ? count_.translated : count_.untranslated)++;
  t.state = type == IMS_TRANSLATED ? TRANSLATED : SENT;
  t.until = 0;
  Payload &p = request(DMA, tag, a.stream, type, a.write ? IMS_ACC_W : IMS_ACC_R, a.bytes);
  p.get_extension<DmaExtension>()->issued = t.issued;
  if (!config_.data) {
    set_payload(p, tlm::TLM_IGNORE_COMMAND, address, nullptr, 0);
  } else {
    unsigned char *data = buffer(tag);
    if (a.write)
      fill(data, t);
    set_payload(p, a.write ? tlm::TLM_WRITE_COMMAND : tlm::TLM_READ_COMMAND, address, data, a.bytes);
  }
  send(p, delay);
}

void Device::send(Payload &p, Ticks delay) {
  if (!lt_) {
    if (delay)
      agenda_.at<&Device::send_now>(agenda_.now() + delay, this, reinterpret_cast<uint64_t>(&p));
    else
      port.send(p);
    return;
  }
  sc_core::sc_time t = agenda_.annotation(agenda_.now() + delay);
  sending_++;
  port.socket->b_transport(p, t);
  sending_--;
  Ticks when = agenda_.meant_by(t);
  const Request &x = *static_cast<const Request *>(p.get_extension<DmaExtension>());
  if (x.kind == DMA) {
    Tag &tag = tags_[x.index];
    tag.until = when;
    if (__builtin_expect(x.result.status == IMS_STATUS_STALL, 0))
      hold(tag, x);
  }
  if (!sending_)
    early_.clear();
  ends_.put(when, &p, 0);
  if (!in_turn_)
    wake(ends_.earliest());
}

// Loosely timed: takes note of a stall. Software may have ended it already, while the request was under way.
void Device::hold(Tag &tag, const Request &x) {
  tag.held = true;
  tag.stag = x.result.stag;
  tag.resume = 0;
  for (size_t i = 0; i < early_.size(); i++) {
    if (early_[i].source == x.source && early_[i].stag == tag.stag) {
      tag.resume = static_cast<uint8_t>(1 + early_[i].action);
      early_.erase(early_.begin() + static_cast<std::ptrdiff_t>(i));
      return;
    }
  }
}

void Device::wake(Ticks when) {
  if (when >= turn_at_)
    return;
  turn_at_ = when;
  agenda_.at<&Device::turn>(when, this);
}

// Until when nobody but this device has anything to do, if it calls nobody. Not for long, so that what comes from outside
// the simulation is seen.
Ticks Device::quiet_until() const {
  if (direct_.empty() || !agenda_.idle() || agenda_.now() == agenda_.kernel_now())
    return 0;
  Ticks now = agenda_.now(), kernel = sc_core::sc_time_to_pending_activity().value();
  return std::min(now + 100 * US, kernel > NEVER - now ? NEVER : agenda_.kernel_now() + kernel);
}

// The agenda's time becomes the device's, which was ahead: somebody will look.
void Device::tell_time() {
  if (!quiet_)
    return;
  quiet_ = 0;
  agenda_.skip_to(now_);
}

// Loosely timed: something has ended by now.
void Device::turn(uint64_t) {
  if (turn_at_ != agenda_.now())
    return; // an earlier turn has done it
  turn_at_ = NEVER;
  in_turn_ = true;
  while (!ends_.empty()) {
    Ticks when = ends_.earliest();
    if (when < quiet_) {
      now_ = when;
    } else if (when > agenda_.now()) {
      tell_time();
      if (!agenda_.skip_to(when)) {
        wake(when);
        break;
      }
      now_ = when;
      quiet_ = quiet_until();
    }
    uint32_t tag;
    if (Payload *p = ends_.take(&tag)) {
      tell_time();
      done(*p);
    } else {
      end(tag);
    }
  }
  tell_time();
  in_turn_ = false;
}

// The answer to a request is here, now.
void Device::done(Payload &p) {
  Request &x = *static_cast<Request *>(p.get_extension<DmaExtension>());
  if (__builtin_expect(x.kind == DMA, 1))
    dma_done(x.index, p, x);
  else if (x.kind == TRANSLATION)
    translation_done(x.index, p, x);
  else
    page_done(x.index, x, p.is_response_ok());
  p.release();
}

void Device::dma_done(uint32_t tag, Payload &p, const Request &x) {
  Tag &t = tags_[tag];
  if (x.type == IMS_TRANSLATED && invalidations_waiting_)
    settle(t);
  if (__builtin_expect(x.dropped, 0)) {
    retry(tag);
  } else if (__builtin_expect(t.held, 0)) {
    count_.stalls++;
    t.state = STALLED;
    if (t.resume)
      resumed(tag);
  } else if (__builtin_expect(p.is_response_ok(), 1)) {
    if (x.result.status == IMS_STATUS_FAULT)
      count_.zeroed++;
    else if (!direct_.empty() && p.is_dmi_allowed())
      ask_direct(t, p);
    end(tag);
  } else {
    bool refused = x.result.status == IMS_STATUS_FAULT || x.result.status == IMS_STATUS_ABORT;
    fail(tag, refused ? &DeviceCounters::refused : &DeviceCounters::no_memory);
  }
}

// Direct access.

void Device::ask_direct(const Tag &t, Payload &p) {
  tlm::tlm_dmi dmi;
  p.set_address(t.iova); // whoever passed it on may have changed it
  if (!port.socket->get_direct_mem_ptr(p, dmi))
    return;
  uint64_t first = t.iova / Pattern::PAGE * Pattern::PAGE, last = first + Pattern::PAGE - 1;
  if (dmi.get_start_address() > first || dmi.get_end_address() < last)
    return;
  count_.dmi_granted++;
  DirectPage &d = direct_page(first / Pattern::PAGE, t.access.stream);
  d.page = first / Pattern::PAGE;
  d.stream = t.access.stream;
  d.read = dmi.is_read_allowed();
  d.write = dmi.is_write_allowed();
  d.bytes = dmi.get_dmi_ptr() + (first - dmi.get_start_address());
  d.read_time = dmi.get_read_latency().value();
  d.write_time = dmi.get_write_latency().value();
}

void Device::withdrawn(uint64_t first, uint64_t last) {
  for (DirectPage &d : direct_) {
    if (d.page == NEVER || d.page < first / Pattern::PAGE || d.page > last / Pattern::PAGE)
      continue;
    d.page = NEVER;
    count_.dmi_withdrawn++;
  }
}

// ATS.

void Device::look_up(uint32_t tag) {
  Tag &t = tags_[tag];
  unsigned wanted = t.access.write ? IMS_PERM_W : IMS_PERM_R;
  const auto *known = static_cast<const struct ims_tlb_value *>(ims_cache_lookup_sized(&atc_, t.iova, t.id));
  if (known && (known->perm1 & wanted)) {
    count_.atc_hits++;
    use(tag, known->addr | (t.iova & ((1ull << known->shift) - 1)), known->shift, config_.atc_ns);
    return;
  }
  count_.atc_misses++;
  if (t.path == ATC_HIT)
    t.path = ATC_MISS;
  translate(tag, config_.atc_ns);
}

// Sends the DMA itself, to where a translation says.
void Device::use(uint32_t tag, uint64_t address, unsigned shift, Ticks delay) {
  Tag &t = tags_[tag];
  t.shift = static_cast<uint8_t>(shift);
  t.sent = sent_++;
  send_dma(tag, address, IMS_TRANSLATED, delay);
}

// Asks for the translation, or waits for who asks already. The look-up has taken `delay` until then.
void Device::translate(uint32_t tag, Ticks delay) {
  Tag &t = tags_[tag];
  uint64_t page = t.iova / Pattern::PAGE * Pattern::PAGE;
  uint32_t &first = bucket(page, t.id);
  for (uint32_t i = first; i != NONE; i = translation_[i].next) {
    Translation &r = translation_[i];
    if (r.page == page && r.id == t.id) {
      count_.atc_merged++;
      append(r.tags, tag);
      return;
    }
  }
  size_t under_way = translation_.size() - free_translation_.size();
  if (config_.translations && under_way >= config_.translations) {
    count_.atc_waited++;
    append(blocked_, tag);
    return;
  }
  uint32_t i = free_translation_.back();
  free_translation_.pop_back();
  Translation &r = translation_[i];
  r.page = page;
  r.id = t.id;
  r.write = t.access.write;
  r.first = NEVER;
  r.last = 0;
  r.stream = t.access.stream;
  r.next = first;
  first = i;
  append(r.tags, tag);
  send_translation(i, delay);
}

void Device::send_translation(uint32_t i, Ticks delay) {
  const Translation &r = translation_[i];
  count_.translation_requests++;
  Payload &p =
      request(TRANSLATION, i, r.stream, IMS_TRANSLATION_REQUEST, r.write ? IMS_ACC_W : IMS_ACC_R, TRANSLATION_BYTES);
  p.get_extension<DmaExtension>()->no_write = !r.write;              // who only reads leaves the dirty bit alone
  p.get_extension<DmaExtension>()->result.status = IMS_STATUS_ABORT; // who does not know translations answers nothing
  set_payload(p, tlm::TLM_IGNORE_COMMAND, r.page, nullptr, 0);
  send(p, delay);
}

void Device::translation_done(uint32_t i, Payload &p, const Request &x) {
  Translation &r = translation_[i];
  if (x.dropped) {
    count_.retried++;
    agenda_.at<&Device::send_translation_again>(agenda_.now() + config_.retry_ns, this, i);
    return;
  }
  uint32_t *link = &bucket(r.page, r.id);
  while (*link != i)
    link = &translation_[*link].next;
  *link = r.next;
  List tags = r.tags;
  r.tags = {};
  free_translation_.push_back(i);
  Translation asked = r; // its place may be taken by what follows

  const struct ims_result &answer_ = x.result;
  bool usable = p.is_response_ok() && answer_.status == IMS_STATUS_OK && !answer_.untranslated_only;
  uint64_t reach = usable ? (1ull << answer_.shift) - 1 : 0;
  bool overtaken = usable && asked.first <= (asked.page | reach) && asked.last >= (asked.page & ~reach);
  if (overtaken) {
    count_.atc_discarded++;
  } else if (usable && answer_.rights && atc_.entries) {
    count_.atc_fills++;
    ims_atc_fill(&atc_, asked.page, asked.id, &answer_);
  }
  while (tags.first != NONE) {
    uint32_t tag = take_first(tags);
    if (overtaken)
      translate(tag, 0);
    else
      answer(tag, answer_, p.is_response_ok(), asked.write);
  }
  while (blocked_.first != NONE && translation_.size() - free_translation_.size() < config_.translations)
    look_up(take_first(blocked_)); // this answer may be its own
}

// What the answer means to one of those that waited for it.
void Device::answer(uint32_t tag, const struct ims_result &r, bool arrived, bool asked_to_write) {
  Tag &t = tags_[tag];
  bool without_rights = r.status == IMS_STATUS_FAULT && r.completion == IMS_CPL_R0;
  unsigned wanted = t.access.write ? IMS_PERM_W : IMS_PERM_R;
  if (!without_rights && (r.status != IMS_STATUS_OK || !arrived))
    fail(tag, &DeviceCounters::refused);
  else if (!without_rights && r.untranslated_only)
    send_dma(tag, t.iova, IMS_UNTRANSLATED, 0);
  else if (!without_rights && (r.rights & wanted))
    use(tag, r.output >> r.shift << r.shift | (t.iova & ((1ull << r.shift) - 1)), r.shift, 0);
  else if (t.access.write && !asked_to_write && !without_rights)
    translate(tag, 0); // the other one did not ask to write
  else
    ask_page(tag);
}

// PRI.

void Device::ask_page(uint32_t tag) {
  Tag &t = tags_[tag];
  if (!config_.pri || function_[function_of_[t.access.stream]].page_requests_off ||
      (config_.page_tries && t.page_tries >= config_.page_tries)) {
    fail(tag, &DeviceCounters::no_rights);
    return;
  }
  t.path = PAGED;
  uint64_t page = t.iova / Pattern::PAGE * Pattern::PAGE;
  for (Group &g : group_) {
    if (g.used && g.page == page && g.id == t.id && (g.write || !t.access.write)) {
      t.page_tries++;
      count_.page_merged++;
      append(g.tags, tag);
      return;
    }
  }
  if (groups_ >= config_.page_requests) {
    count_.page_waited++;
    append(page_blocked_, tag);
    return;
  }
  while (group_[next_group_].used)
    next_group_ = (next_group_ + 1) % PAGE_GROUPS;
  uint32_t group = next_group_;
  next_group_ = (next_group_ + 1) % PAGE_GROUPS;
  groups_++;
  t.page_tries++;
  Group &g = group_[group];
  g = {true, t.access.write, page, t.id, t.access.stream, {}};
  append(g.tags, tag);
  send_page(group);
}

void Device::send_page(uint64_t group) {
  const Group &g = group_[group];
  const Stream &s = streams_[g.stream];
  count_.page_requests++;
  Payload &p = request(PAGE, static_cast<uint32_t>(group), g.stream, IMS_PAGE_REQUEST, g.write ? IMS_ACC_W : IMS_ACC_R,
                       PAGE_REQUEST_BYTES);
  struct ims_page_request &r = p.get_extension<DmaExtension>()->page;
  r = {};
  r.addr = g.page;
  r.source = s.source;
  r.pasid = s.pasid;
  r.has_pasid = s.has_pasid;
  r.last = true;
  r.read = !g.write;
  r.write = g.write;
  r.group = static_cast<uint16_t>(group);
  set_payload(p, tlm::TLM_IGNORE_COMMAND, g.page, nullptr, 0);
  send(p, 0);
}

// The request has been taken, or not: in that case, too, a response follows, which the IOMMU makes itself (VT-d 7.4,
// SMMUv3 8.2). It may be here already.
void Device::page_done(uint32_t group, const Request &x, bool ok) {
  if (x.dropped) {
    count_.retried++;
    agenda_.at<&Device::send_page>(agenda_.now() + config_.retry_ns, this, group);
  } else if (!ok) {
    count_.page_refused++;
  }
}

void Device::responded(uint64_t word) {
  uint32_t group = word & 0xffff, code = static_cast<uint32_t>(word >> 16);
  Group &g = group_[group];
  if (!g.used) { // of two responses at one time the second
    count_.page_unexpected++;
    return;
  }
  (code == RESPONSE_SUCCESS   ? count_.page_success
   : code == RESPONSE_FAILURE ? count_.page_failure
                              : count_.page_invalid)++;
  if (code == RESPONSE_FAILURE) // PCIe: the function stops asking
    function_[function_of_[g.stream]].page_requests_off = true;
  List tags = g.tags;
  g.tags = {};
  g.used = false;
  groups_--;
  while (tags.first != NONE) {
    uint32_t tag = take_first(tags);
    if (code == RESPONSE_SUCCESS)
      look_up(tag);
    else
      fail(tag, &DeviceCounters::no_rights);
  }
  while (page_blocked_.first != NONE && groups_ < config_.page_requests)
    ask_page(take_first(page_blocked_));
}

// Messages.

// All that a message does at once; with an invalidation, *match says what it removes. False: it was refused.
bool Device::handle(Payload &p, const MessageExtension *m, Ticks at, struct ims_cache_match *match) {
  p.set_response_status(tlm::TLM_OK_RESPONSE);
  if (!m) {
    p.set_response_status(tlm::TLM_COMMAND_ERROR_RESPONSE);
    return false;
  }
  switch (m->kind) {
  case MessageExtension::INVALIDATE: return invalidate(p, m->invalidate, match);
  case MessageExtension::PAGE_RESPONSE: {
    const struct ims_page_response &r = m->response;
    // Some responses come without the PASID (SMMUv3: PPAR, or an IOMMU that cannot tell it).
    bool ours = r.group < group_.size() && group_[r.group].used;
    if (ours) {
      const Stream &s = streams_[group_[r.group].stream];
      ours = s.source == r.source && (!r.has_pasid || (s.has_pasid && s.pasid == r.pasid));
    }
    if (ours)
      agenda_.at<&Device::responded>(at, this, r.group | uint64_t{r.code} << 16);
    else
      count_.page_unexpected++;
    return true;
  }
  default:
    if (lt_) // approximately timed it is the IOMMU that holds requests
      resume(m->resume, at);
    return true;
  }
}

bool Device::invalidate(Payload &p, const struct ims_ats_invalidation &inv, struct ims_cache_match *match) {
  count_.invalidations++;
  if (config_.ignore_invalidations || !function(inv.source)) {
    p.set_response_status(config_.ignore_invalidations ? tlm::TLM_GENERIC_ERROR_RESPONSE
                                                       : tlm::TLM_ADDRESS_ERROR_RESPONSE);
    return false;
  }
  *match = ims_atc_match(inv.source, &inv);
  match->id_mask |= ims_atc_id(0, true, 0, true) & ~ims_atc_id(0, true, 0, false); // nothing here is privileged
  if (atc_.entries)
    count_.invalidated += ims_cache_invalidate(&atc_, match);
  for (Translation &r : translation_) { // answers that are on their way are older than the invalidation
    if (r.tags.first == NONE || (r.id & match->id_mask) != match->id)
      continue;
    r.first = std::min(r.first, match->first);
    r.last = std::max(r.last, match->last);
  }
  return true;
}

// Whether this DMA uses what the invalidation removes.
bool Device::uses(const Tag &t, const struct ims_cache_match &m) {
  uint64_t reach = (1ull << t.shift) - 1;
  return t.state == TRANSLATED && (t.id & m.id_mask) == m.id && (t.iova & ~reach) <= m.last &&
         (t.iova | reach) >= m.first;
}

// The debug transport of a message: 1 if the device is one of ours and will answer.
unsigned Device::will_answer(unsigned, Payload &p) {
  const auto *m = p.get_extension<MessageExtension>();
  if (!m)
    return 0;
  return m->kind != MessageExtension::INVALIDATE || (!config_.ignore_invalidations && function(m->invalidate.source));
}

// Loosely timed, or from a sender that is. The time at which loosely timed DMAs arrive is known.
void Device::message(unsigned, Payload &p, sc_core::sc_time &t) {
  Ticks at = std::max(agenda_.meant_by(t), agenda_.now());
  const auto *m = p.get_extension<MessageExtension>();
  struct ims_cache_match match = {};
  if (!handle(p, m, at, &match) || m->kind != MessageExtension::INVALIDATE)
    return;
  Ticks until = at;
  if (lt_)
    for (const Tag &tag : tags_)
      if (uses(tag, match))
        until = std::max(until, tag.until);
  count_.invalidations_waited += until > at;
  t = agenda_.annotation(until + config_.invalidate_ns);
}

Arrival Device::message_arrives(unsigned from, Payload &p, Ticks *when) {
  const auto *m = p.get_extension<MessageExtension>();
  struct ims_cache_match match = {};
  if (!handle(p, m, agenda_.now(), &match) || m->kind != MessageExtension::INVALIDATE)
    return Arrival::FINISHED;
  uint32_t using_it = 0;
  for (const Tag &tag : tags_)
    using_it += uses(tag, match);
  if (!using_it) {
    *when += config_.invalidate_ns;
    return Arrival::FINISHED;
  }
  count_.invalidations_waited++;
  if (free_invalidation_.empty()) {
    free_invalidation_.push_back(static_cast<uint32_t>(invalidation_.size()));
    invalidation_.emplace_back();
  }
  invalidation_[free_invalidation_.back()] = {match, sent_, using_it, from, &p};
  free_invalidation_.pop_back();
  invalidations_waiting_++;
  return Arrival::TAKEN;
}

// A translated request has arrived: invalidations may have waited for it.
void Device::settle(const Tag &t) {
  for (uint32_t i = 0; i < invalidation_.size(); i++) {
    Invalidation &v = invalidation_[i];
    if (v.left && t.sent < v.before && uses(t, v.match) && !--v.left)
      agenda_.at<&Device::answer_invalidation>(agenda_.now() + config_.invalidate_ns, this, i);
  }
}

void Device::answer_invalidation(uint64_t i) {
  Invalidation &v = invalidation_[i];
  Payload &p = *v.payload;
  v.payload = nullptr;
  free_invalidation_.push_back(static_cast<uint32_t>(i));
  invalidations_waiting_--;
  messages.respond(v.from, p);
}

// Loosely timed stalls.

void Device::resume(const struct ims_resume &r, Ticks at) {
  for (uint32_t i = 0; i < tags_.size(); i++) {
    Tag &t = tags_[i];
    if (!t.held || t.resume || t.stag != r.stag || streams_[t.access.stream].source != r.source)
      continue;
    t.resume = static_cast<uint8_t>(1 + r.action);
    if (t.state == STALLED)
      agenda_.at<&Device::resumed>(at, this, i);
    return;
  }
  if (sending_)
    early_.push_back(r);
}

void Device::resumed(uint64_t w) {
  uint32_t tag = static_cast<uint32_t>(w);
  Tag &t = tags_[tag];
  unsigned action = t.resume - 1u;
  t.held = false;
  t.resume = 0;
  t.state = SENT;
  count_.resumed++;
  if (action == IMS_RESUME_RETRY) {
    go(tag);
  } else {
    count_.zeroed += action == IMS_RESUME_ZERO;
    if (action == IMS_RESUME_ZERO)
      end(tag);
    else
      fail(tag, &DeviceCounters::refused);
  }
}

// Lists of tags.

void Device::append(List &list, uint32_t tag) {
  tags_[tag].state = WAITING;
  tags_[tag].next = NONE;
  (list.last == NONE ? list.first : tags_[list.last].next) = tag;
  list.last = tag;
  waiting_++;
}

uint32_t Device::take_first(List &list) {
  uint32_t tag = list.first;
  list.first = tags_[tag].next;
  if (list.first == NONE)
    list.last = NONE;
  waiting_--;
  return tag;
}

// Telling.

Device::Counted Device::counted() const {
  Counted c;
  c.dmas = count_.done > config_.warmup ? count_.done - config_.warmup : 0;
  c.bytes = count_.bytes_read + count_.bytes_written - warmup_bytes_;
  c.from = counted_from_;
  c.to = last_;
  return c;
}

Device::Occupancy Device::occupancy() const {
  return {in_use_,       translation_.size() - free_translation_.size(), groups_, waiting_, invalidations_waiting_,
          pool_.in_use()};
}

void Device::collect(StatisticSink &sink) const {
  IMS_STATISTIC_TELL(sink, name(), count_, IMS_MODEL_DEVICE_STATISTICS)
  const std::string object = name();
  Counted n = counted();
  Ticks elapsed = n.to - n.from;
  sink.mean(object, "rate", "DMA/us", "that arrived, after the warm-up", n.dmas * US, elapsed);
  sink.mean(object, "bandwidth", "Gb/s", "of DMAs that arrived, after the warm-up", n.bytes * 8 * NS, elapsed);
  sink.histogram(object, "latency", "ps", "of DMAs, from issue to arrival, after the warm-up", latency_);
  if (mapper_)
    sink.histogram(object, "dma_latency", "ps", "of these, from when they were mapped to arrival", dma_latency_);
  static const struct {
    const char *name, *sentence;
  } paths[PATHS] = {
      {"latency_untranslated", "of those that the IOMMU translated"},
      {"latency_atc_hit", "of those that the device TLB translated"},
      {"latency_atc_miss", "of those that waited for a translation request"},
      {"latency_paged", "of those that waited for a page"},
  };
  for (unsigned i = 0; i < PATHS; i++)
    if (path_latency_[i].count())
      sink.histogram(object, paths[i].name, "ps", paths[i].sentence, path_latency_[i]);
}

} // namespace ims::model
