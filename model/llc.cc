// SPDX-License-Identifier: Apache-2.0
#include "model/llc.h"

#include <algorithm>
#include <new>

namespace ims::model {

IMS_MODEL_PART(LlcConfig, "llc", "the last-level cache in front of the memory", IMS_MODEL_LLC_KNOBS)

static uint64_t word(const void *p) { return reinterpret_cast<uint64_t>(p); }

Llc::Llc(sc_core::sc_module_name name, const LlcConfig &config)
    : sc_module(name), port("port", this, {&Llc::b_transport, &Llc::arrive, &Llc::dmi, &Llc::debug}),
      memory("memory", this, {&Llc::done, nullptr, &Llc::withdrawn}), config_(config), agenda_(Agenda::of_simulation()),
      split_(config.dma_ways && config.dma_ways < config.ways), main_(), dma_() {
  uint32_t sets = 1;
  while (config.size_kb && uint64_t{sets} * config.ways * LINE < uint64_t{config.size_kb} * 1024)
    sets <<= 1;
  uint32_t dma_ways = split_ ? config.dma_ways : 0;
  auto init = [&](Array &a, uint32_t ways) {
    ims_cache_config c = {};
    c.entries = config.size_kb ? sets * ways : 0;
    c.ways = ways;
    c.value_size = 1;
    if (ims_cache_init(&a.cache, &c))
      throw std::bad_alloc();
    a.slot.resize(size_t{a.cache.sets} * a.cache.groups * 8);
  };
  init(main_, config.ways - dma_ways);
  init(dma_, dma_ways);
}

Llc::~Llc() {
  ims_cache_fini(&main_.cache);
  ims_cache_fini(&dma_.cache);
}

void Llc::collect(StatisticSink &sink) const { IMS_STATISTIC_TELL(sink, name(), count_, IMS_MODEL_LLC_STATISTICS) }

// Tags.

static bool in(const ims_cache &c, uint64_t line) { return c.entries && ims_cache_find(&c, ims_tag_key(line), 1) >= 0; }

bool Llc::present(uint64_t line) const { return in(main_.cache, line) || in(dma_.cache, line); }
bool Llc::holds(uint64_t hpa) const { return present(hpa / LINE); }

// The array that has the line, its way in `last`; ages.
Llc::Array *Llc::find(uint64_t line) {
  ims_tag tag = {ims_tag_key(line), 1};
  if (ims_cache_lookup(&main_.cache, &tag))
    return &main_;
  if (ims_cache_lookup(&dma_.cache, &tag))
    return &dma_;
  return nullptr;
}

void Llc::fill(uint64_t line, bool dma, bool dirty) {
  Array &a = dma && split_ ? dma_ : main_;
  ims_tag tag = {ims_tag_key(line), 1};
  uint64_t evictions = a.cache.count.evictions;
  uint8_t nothing = 0;
  ims_cache_fill(&a.cache, &tag, 0, &nothing);
  Array::Slot &s = a.slot[a.cache.last], old = s;
  s = {line, dirty};
  count_.allocations++;
  if (a.cache.count.evictions != evictions && old.dirty)
    write_back(old.line);
}

void Llc::warm(uint64_t hpa) {
  ims_tag tag = {ims_tag_key(hpa / LINE), 1};
  if (!config_.size_kb || ims_cache_lookup(&main_.cache, &tag))
    return;
  uint8_t nothing = 0;
  ims_cache_fill(&main_.cache, &tag, 0, &nothing);
  main_.slot[main_.cache.last] = {hpa / LINE, false};
}

Llc::Range Llc::range_of(const Payload &p) const {
  Range r;
  auto *walk = p.get_extension<WalkExtension>();
  r.first = p.get_address() / LINE;
  r.last = (p.get_address() + std::max(bytes_of(p), 1u) - 1) / LINE;
  r.walk = walk != nullptr;
  r.write = writes(p);
  r.swap = walk && walk->swap && p.is_read();
  r.allocate = r.walk ? config_.walks_allocate : r.write ? config_.dma_writes_allocate : config_.dma_reads_allocate;
  for (uint64_t n = 0; n <= r.last - r.first; n++) {
    uint64_t line = r.first + n;
    if (present(line))
      continue;
    r.complete = false;
    if (!under_way_.empty() && under_way_.count(line))
      continue;
    r.missing_first = std::min(r.missing_first, line);
    r.missing_last = line;
  }
  return r;
}

Llc::Outcome Llc::outcome(const Range &r) const {
  if (r.complete)
    return HIT;
  if (r.write)
    return r.allocate ? HIT : PASS;
  return MISS;
}

// Moves the data, counts, and does to the tags what needs no fetch. False: the memory has to see the request itself.
bool Llc::serve(Payload &p, const Range &r, Outcome o) {
  if (o == PASS)
    return false;
  if (p.get_command() != tlm::TLM_IGNORE_COMMAND && memory.socket->transport_dbg(p) != p.get_data_length())
    return false;
  p.set_response_status(tlm::TLM_OK_RESPONSE);
  p.set_dmi_allowed(false);
  for (uint64_t n = 0; n <= r.last - r.first; n++) {
    Array *a = find(r.first + n);
    (r.walk ? (a ? count_.walk_hits : count_.walk_misses) : (a ? count_.dma_hits : count_.dma_misses))++;
    if (a && (r.write || r.swap))
      a->slot[a->cache.last].dirty = true;
    if (!a && r.write)
      fill(r.first + n, !r.walk, true);
  }
  return true;
}

// What goes to the memory.

void Llc::write_back(uint64_t line) {
  Payload &p = dma_pool_.get();
  auto *f = p.get_extension<Fetch>();
  f->owner = this;
  f->write_back = true;
  auto *dma = p.get_extension<DmaExtension>();
  if (!dma)
    p.set_extension(dma = new DmaExtension);
  dma->access = IMS_ACC_W;
  dma->bytes = LINE;
  dma->translated = true;
  set_payload(p, tlm::TLM_IGNORE_COMMAND, line * LINE, nullptr, 0);
  count_.write_backs++;
  if (timed_) {
    memory.send(p);
  } else {
    sc_core::sc_time unused;
    memory.socket->b_transport(p, unused);
    p.release();
  }
}

Payload &Llc::new_fetch(const Payload &p, const Range &r) {
  Payload &q = (r.walk ? walk_pool_ : dma_pool_).get();
  auto *f = q.get_extension<Fetch>();
  f->owner = this;
  f->write_back = false;
  f->allocate = r.allocate;
  f->dma = !r.walk;
  f->dirty = r.swap;
  f->first = r.missing_first;
  f->last = r.missing_last;
  f->bytes.resize((r.missing_last - r.missing_first + 1) * LINE);
  if (r.walk) {
    auto *from = p.get_extension<WalkExtension>(), *walk = q.get_extension<WalkExtension>();
    if (!walk)
      q.set_extension(walk = new WalkExtension);
    walk->what = from->what;
    walk->level = from->level;
  } else {
    auto *from = p.get_extension<DmaExtension>();
    auto *dma = q.get_extension<DmaExtension>();
    if (!dma)
      q.set_extension(dma = new DmaExtension);
    dma->source = from ? from->source : 0;
    dma->translated = true;
  }
  set_payload(q, tlm::TLM_READ_COMMAND, f->first * LINE, f->bytes.data(), static_cast<uint32_t>(f->bytes.size()));
  count_.fetches++;
  return q;
}

// The lines of a fetch are here.
void Llc::fetched(const Fetch &f) {
  for (uint64_t line = f.first; f.allocate && line <= f.last; line++)
    if (!present(line))
      fill(line, f.dma, f.dirty);
}

// Loosely timed.

void Llc::b_transport(unsigned, Payload &p, sc_core::sc_time &t) {
  if (!config_.size_kb) {
    memory.socket->b_transport(p, t);
    return;
  }
  timed_ = false;
  Range r = range_of(p);
  Outcome o = outcome(r);
  if (!serve(p, r, o)) {
    count_.passed++;
    t += to_sc(config_.miss_ns);
    memory.socket->b_transport(p, t);
  } else if (o == HIT) {
    t += to_sc(config_.hit_ns);
  } else {
    t += to_sc(config_.miss_ns);
    if (!r.must_fetch())
      return; // an approximately timed request is fetching them
    Payload &q = new_fetch(p, r);
    memory.socket->b_transport(q, t);
    fetched(*q.get_extension<Fetch>());
    q.release();
  }
}

// Approximately timed.

Llc::Job *Llc::new_job(unsigned from, Payload &p) {
  if (free_jobs_.empty()) {
    jobs_.emplace_back();
    free_jobs_.push_back(&jobs_.back());
  }
  Job *j = free_jobs_.back();
  free_jobs_.pop_back();
  *j = {from, &p, 0, agenda_.now() + config_.miss_ns};
  return j;
}

Arrival Llc::arrive(unsigned from, Payload &p, Ticks *when) {
  if (!config_.size_kb) {
    pass(from, p);
    return Arrival::TAKEN;
  }
  Range r = range_of(p);
  Outcome o = outcome(r);
  if (o == MISS && r.must_fetch() && config_.miss_slots && fetching_ >= config_.miss_slots) {
    count_.slot_waits++;
    door_.push_back(new_job(from, p));
    return Arrival::NO_ROOM;
  }
  return take(from, p, r, o, when);
}

Arrival Llc::take(unsigned from, Payload &p, const Range &r, Outcome o, Ticks *when) {
  timed_ = true;
  if (!serve(p, r, o)) {
    count_.passed++;
    pass(from, p);
    return Arrival::TAKEN;
  }
  if (o == HIT) {
    *when = agenda_.now() + config_.hit_ns;
    return Arrival::FINISHED;
  }
  miss(new_job(from, p), r);
  return Arrival::TAKEN;
}

void Llc::miss(Job *job, const Range &r) {
  for (uint64_t n = 0; !under_way_.empty() && n <= r.last - r.first; n++) {
    auto it = under_way_.find(r.first + n);
    if (it == under_way_.end())
      continue;
    Fetch *f = it->second;
    if (!f->waiting.empty() && f->waiting.back() == job)
      continue;
    f->waiting.push_back(job);
    f->allocate |= r.allocate;
    f->dirty |= r.swap;
    f->dma &= !r.walk;
    job->left++;
    count_.merges++;
  }
  if (!r.must_fetch())
    return;
  Payload &q = new_fetch(*job->payload, r);
  auto *f = q.get_extension<Fetch>();
  f->waiting.push_back(job);
  job->left++;
  fetching_++;
  for (uint64_t line = f->first; line <= f->last; line++)
    if (!present(line))
      under_way_.emplace(line, f); // unless another fetch has it already
  agenda_.at<&Llc::issue>(job->ready, this, word(&q));
}

void Llc::issue(uint64_t payload) { memory.send(*reinterpret_cast<Payload *>(payload)); }

void Llc::pass(unsigned from, Payload &p) {
  if (port.size() > 1)
    passing_[&p] = from;
  memory.send(p);
}

void Llc::respond_job(uint64_t job) {
  auto *j = reinterpret_cast<Job *>(job);
  free_jobs_.push_back(j);
  port.respond(j->from, *j->payload);
}

void Llc::done(Payload &p) {
  timed_ = true;
  auto *f = p.get_extension<Fetch>();
  if (!f || f->owner != this) { // somebody else's, that only passed
    unsigned from = 0;
    if (auto it = passing_.find(&p); it != passing_.end()) {
      from = it->second;
      passing_.erase(it);
    }
    if (config_.size_kb && config_.miss_ns)
      agenda_.at<&Llc::respond_job>(agenda_.now() + config_.miss_ns, this, word(new_job(from, p)));
    else
      port.respond(from, p);
    return;
  }
  if (!f->write_back) {
    fetched(*f);
    for (uint64_t line = f->first; line <= f->last; line++)
      if (auto it = under_way_.find(line); it != under_way_.end() && it->second == f)
        under_way_.erase(it);
    fetching_--;
    for (Job *j : f->waiting)
      if (!--j->left) {
        if (j->ready > agenda_.now())
          agenda_.at<&Llc::respond_job>(j->ready, this, word(j));
        else
          respond_job(word(j));
      }
    f->waiting.clear();
    open_door();
  }
  p.release();
}

// A miss slot is free: those that wait for one are looked at again.
void Llc::open_door() {
  while (!door_.empty()) {
    Job *j = door_.front();
    Range r = range_of(*j->payload);
    Outcome o = outcome(r);
    if (o == MISS && r.must_fetch() && fetching_ >= config_.miss_slots)
      return;
    door_.pop_front();
    free_jobs_.push_back(j);
    unsigned from = j->from;
    Payload &p = *j->payload;
    port.take(from, p);
    Ticks when = 0;
    if (take(from, p, r, o, &when) == Arrival::FINISHED)
      agenda_.at<&Llc::respond_job>(when, this, word(new_job(from, p)));
  }
}

// Direct and debug access.

bool Llc::dmi(unsigned, Payload &p, tlm::tlm_dmi &dmi) {
  if (!config_.size_kb)
    return memory.socket->get_direct_mem_ptr(p, dmi);
  dmi.set_start_address(0);
  dmi.set_end_address(~0ull);
  return false;
}

unsigned Llc::debug(unsigned, Payload &p) { return memory.socket->transport_dbg(p); }

} // namespace ims::model
