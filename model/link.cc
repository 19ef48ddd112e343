// SPDX-License-Identifier: Apache-2.0
#include "model/link.h"

#include <algorithm>

namespace ims::model {

IMS_MODEL_PART(LinkConfig, "link", "the PCI Express link of devices", IMS_MODEL_LINK_KNOBS)

static uint64_t word(const void *p) { return reinterpret_cast<uint64_t>(p); }

// Of one lane: ps = bytes * time / per.
static const struct {
  uint64_t time, per;
} byte_times[] = {{0, 1}, {4000, 1}, {2000, 1}, {130000, 128}, {65000, 128}, {32500, 128}, {125 * 256, 236}};

static constexpr unsigned FLIT_GENERATION = 6;

Link::Link(sc_core::sc_module_name name, const LinkConfig &config)
    : sc_module(name), port("port", this, {&Link::b_transport, &Link::arrive, &Link::dmi, &Link::debug}),
      root("root", this, {&Link::done, &Link::accepted, &Link::withdrawn}),
      message_port("message_port", this,
                   {&Link::message_b_transport, &Link::message_arrive, nullptr, &Link::message_debug}),
      message("message", this, {&Link::message_done, nullptr, nullptr}), config_(config),
      agenda_(Agenda::of_simulation()), byte_time_(byte_times[config.generation].time),
      per_(byte_times[config.generation].per * config.lanes), up_delay_(config.generation ? config.up_ns : 0),
      down_delay_(config.generation ? config.down_ns : 0) {
  if (!config.generation)
    config_.posted_headers = config_.posted_data = config_.nonposted_headers = 0;
  if (config.generation >= FLIT_GENERATION)
    config_.framing = config_.dllp = 0;
}

void Link::collect(StatisticSink &sink) const { IMS_STATISTIC_TELL(sink, name(), count_, IMS_MODEL_LINK_STATISTICS) }

// TLPs.

static uint64_t blocks(uint64_t address, uint64_t bytes, uint64_t size) {
  return (address + std::max<uint64_t>(bytes, 1) - 1) / size - address / size + 1;
}
static uint64_t whole_words(uint64_t bytes) { return (bytes + 3) & ~3ull; }

Link::Kind Link::kind_of(const Payload &p) const {
  const auto *dma = p.get_extension<DmaExtension>();
  if (!dma)
    return p.is_write() ? POSTED : p.is_read() ? READ : OTHER;
  if (dma->type == IMS_TRANSLATION_REQUEST)
    return TRANSLATION;
  if (dma->type == IMS_PAGE_REQUEST)
    return PAGE_REQUEST;
  if (dma->atomic)
    return ATOMIC;
  return writes(p) ? POSTED : READ;
}

Link::Tlps Link::up(const Payload &p, Kind kind) const {
  uint64_t n = bytes_of(p), tlps = 1, payload = 0;
  if (kind == READ)
    tlps = blocks(p.get_address(), n, config_.max_read_request);
  else if (kind == POSTED || kind == ATOMIC)
    tlps = blocks(p.get_address(), n, config_.max_payload), payload = whole_words(n);
  return {tlps, config_.request_header, payload};
}

Link::Tlps Link::down(const Payload &p, Kind kind) const {
  Tlps t = {1, config_.completion_header, kind == TRANSLATION ? 8u : 0u};
  if (!p.is_response_ok() || (kind != READ && kind != ATOMIC))
    return p.is_response_ok() ? t : Tlps{1, config_.completion_header, 0};
  uint64_t first = p.get_address(), end = first + std::max(bytes_of(p), 1u);
  t.count = 0;
  t.payload = whole_words(end - first);
  while (first < end) { // request by request, completion by completion
    uint64_t request_end = std::min(end, (first / config_.max_read_request + 1) * config_.max_read_request);
    while (first < request_end) {
      uint64_t cut =
          (first + config_.max_payload) / config_.read_completion_boundary * config_.read_completion_boundary;
      first = std::min(request_end, cut > first ? cut : first + config_.max_payload);
      t.count++;
    }
  }
  return t;
}

Ticks Link::wire_time(uint64_t tlps, uint64_t headers, uint64_t payload) const {
  uint64_t bytes = payload + tlps * (headers + config_.framing + config_.dllp);
  return (bytes * byte_time_ + per_ - 1) / per_;
}

Ticks Link::count_up(const Tlps &t) {
  Ticks time = wire_time(t.count, t.headers, t.payload);
  count_.up_tlps += t.count;
  count_.up_payload += t.payload;
  count_.up_bytes += t.payload + t.count * (t.headers + config_.framing + config_.dllp);
  count_.up_busy_ps += time;
  return time;
}

Ticks Link::count_down(const Tlps &t) {
  Ticks time = wire_time(t.count, t.headers, t.payload);
  count_.down_tlps += t.count;
  count_.down_payload += t.payload;
  count_.down_bytes += t.payload + t.count * (t.headers + config_.framing + config_.dllp);
  count_.down_busy_ps += time;
  return time;
}

void Link::count(Kind kind) {
  switch (kind) {
  case POSTED: count_.posted++; break;
  case TRANSLATION: count_.translations++; break;
  case PAGE_REQUEST: count_.page_requests++; break;
  default: count_.reads++; break;
  }
}

// Loosely timed.

void Link::b_transport(unsigned, Payload &p, sc_core::sc_time &t) {
  Kind kind = kind_of(p);
  count(kind);
  t += to_sc(count_up(up(p, kind)));
  if (kind != POSTED) {
    t += to_sc(up_delay_);
    root.socket->b_transport(p, t);
    t += to_sc(count_down(down(p, kind)) + down_delay_);
    return;
  }
  sc_core::sc_time after = t + to_sc(up_delay_);
  auto *dma = p.get_extension<DmaExtension>();
  struct ims_result before = dma ? dma->result : ims_result{};
  root.socket->b_transport(p, after);
  if (dma && dma->result.status == IMS_STATUS_STALL)
    return;
  count_.posted_lost += !p.is_response_ok();
  p.set_response_status(tlm::TLM_OK_RESPONSE);
  if (dma) {
    dma->result = before;
    dma->dropped = false;
  }
}

// Approximately timed.

Link::Job *Link::new_job(unsigned from, Payload &p, Kind kind) {
  if (free_jobs_.empty()) {
    jobs_.emplace_back();
    free_jobs_.push_back(&jobs_.back());
  }
  Job *j = free_jobs_.back();
  free_jobs_.pop_back();
  *j = {&p, from, kind, 0, 0};
  in_flight_++;
  return j;
}

void Link::free_job(Job *j) {
  free_jobs_.push_back(j);
  in_flight_--;
}

// More than there is at all is no reason to wait for ever.
bool Link::credit(const Job &j) const {
  auto room = [](uint64_t taken, uint64_t wanted, uint64_t limit) {
    return !limit || taken + wanted <= limit || (wanted > limit && !taken);
  };
  if (j.kind == POSTED)
    return room(posted_headers_, j.headers, config_.posted_headers) && room(posted_data_, j.data, config_.posted_data);
  return room(nonposted_headers_, j.headers, config_.nonposted_headers);
}

Arrival Link::arrive(unsigned from, Payload &p, Ticks *when) {
  Kind kind = kind_of(p);
  count(kind);
  Job *j = new_job(from, p, kind);
  Tlps t = up(p, kind);
  j->headers = static_cast<uint32_t>(t.count);
  j->data = static_cast<uint32_t>(t.payload);
  // Behind a write that waits; a read behind reads, too.
  if (!credit(*j) || waiting_posted_ || (kind != POSTED && !waiting_.empty())) {
    count_.credit_waits++;
    waiting_.push_back(j);
    waiting_posted_ += kind == POSTED;
    return Arrival::TAKEN;
  }
  Ticks left = start(j);
  if (kind != POSTED)
    return Arrival::TAKEN;
  p.set_response_status(tlm::TLM_OK_RESPONSE);
  *when = left;
  return Arrival::FINISHED;
}

// From here on the job's payload is a copy, which stays when the device goes on.
void Link::post(Job *j) {
  const Payload &p = *j->payload;
  Payload &q = copies_.get();
  auto *posted = q.get_extension<Posted>();
  posted->job = j;
  const auto *from = p.get_extension<DmaExtension>();
  auto *dma = q.get_extension<DmaExtension>();
  if (!dma)
    q.set_extension(dma = new DmaExtension);
  *dma = from ? *from : DmaExtension();
  unsigned char *data = nullptr;
  if (p.get_command() != tlm::TLM_IGNORE_COMMAND) {
    posted->bytes.assign(p.get_data_ptr(), p.get_data_ptr() + p.get_data_length());
    data = posted->bytes.data();
  }
  set_payload(q, p.get_command(), p.get_address(), data, p.get_data_length());
  q.set_streaming_width(p.get_streaming_width());
  j->payload = &q;
}

// Onto the wire. Returns when the last byte has left.
Ticks Link::start(Job *j) {
  (j->kind == POSTED ? posted_headers_ : nonposted_headers_) += j->headers;
  if (j->kind == POSTED)
    posted_data_ += j->data;
  Ticks time = count_up({j->headers, config_.request_header, j->data});
  up_free_ = std::max(agenda_.now(), up_free_) + time;
  if (j->kind == POSTED)
    post(j);
  agenda_.at<&Link::forward>(up_free_ + up_delay_, this, word(j));
  return up_free_;
}

void Link::start_waiting() {
  bool read_waits = false;
  for (auto i = waiting_.begin(); i != waiting_.end() && (!read_waits || waiting_posted_);) {
    Job *j = *i;
    bool posted = j->kind == POSTED;
    if ((!posted && read_waits) || !credit(*j)) {
      if (posted)
        return;
      read_waits = true;
      ++i;
      continue;
    }
    i = waiting_.erase(i);
    waiting_posted_ -= posted;
    Payload &p = *j->payload;
    unsigned from = j->from;
    Ticks left = start(j);
    if (posted) {
      p.set_response_status(tlm::TLM_OK_RESPONSE);
      agenda_.at<&Link::respond_job>(left, this, word(new_job(from, p, POSTED)));
    }
  }
}

void Link::forward(uint64_t job) {
  auto *j = reinterpret_cast<Job *>(job);
  if (j->kind != POSTED)
    jobs_by_payload_[j->payload] = j;
  root.send(*j->payload);
}

// The root complex has room again.
void Link::accepted(Payload &p) {
  if (!config_.posted_headers && !config_.posted_data && !config_.nonposted_headers)
    return;
  auto *posted = p.get_extension<Posted>();
  const Job *j = posted && posted->job->payload == &p ? posted->job : jobs_by_payload_[&p];
  agenda_.at<&Link::credits_back>(agenda_.now() + down_delay_, this,
                                  uint64_t{j->kind == POSTED} << 63 | uint64_t{j->headers} << 32 | j->data);
}

void Link::credits_back(uint64_t packed) {
  uint64_t headers = packed << 1 >> 33, data = packed & 0xffffffff;
  if (packed >> 63) {
    posted_headers_ -= headers;
    posted_data_ -= data;
  } else {
    nonposted_headers_ -= headers;
  }
  start_waiting();
}

void Link::done(Payload &p) {
  if (auto *posted = p.get_extension<Posted>(); posted && posted->job->payload == &p) {
    const auto *dma = p.get_extension<DmaExtension>();
    count_.posted_lost += !p.is_response_ok() && dma->result.status != IMS_STATUS_STALL;
    free_job(posted->job);
    p.release();
    return;
  }
  auto found = jobs_by_payload_.find(&p);
  Job *j = found->second;
  jobs_by_payload_.erase(found);
  Ticks time = count_down(down(p, j->kind));
  down_free_ = std::max(agenda_.now(), down_free_) + time;
  agenda_.at<&Link::respond_job>(down_free_ + down_delay_, this, word(j));
}

void Link::respond_job(uint64_t job) {
  auto *j = reinterpret_cast<Job *>(job);
  Payload &p = *j->payload;
  unsigned from = j->from;
  free_job(j);
  port.respond(from, p);
}

// Messages to devices.

static MessageExtension::Kind message_kind(const Payload &p) {
  const auto *m = p.get_extension<MessageExtension>();
  return m ? m->kind : MessageExtension::PAGE_RESPONSE;
}

void Link::message_b_transport(unsigned, Payload &p, sc_core::sc_time &t) {
  MessageExtension::Kind kind = message_kind(p);
  count_.messages++;
  if (kind != MessageExtension::RESUME)
    t += to_sc(count_down(single(8)) + down_delay_);
  message.socket->b_transport(p, t);
  if (kind == MessageExtension::INVALIDATE)
    t += to_sc(count_up(single(0)) + up_delay_);
}

Arrival Link::message_arrive(unsigned from, Payload &p, Ticks *) {
  count_.messages++;
  Ticks when = agenda_.now();
  if (message_kind(p) != MessageExtension::RESUME) {
    down_free_ = std::max(when, down_free_) + count_down(single(8));
    when = down_free_ + down_delay_;
  }
  agenda_.at<&Link::deliver_message>(when, this, word(new_job(from, p, OTHER)));
  return Arrival::TAKEN;
}

void Link::deliver_message(uint64_t job) {
  auto *j = reinterpret_cast<Job *>(job);
  jobs_by_payload_[j->payload] = j;
  message.send(*j->payload);
}

void Link::message_done(Payload &p) {
  auto found = jobs_by_payload_.find(&p);
  Job *j = found->second;
  jobs_by_payload_.erase(found);
  Ticks when = agenda_.now();
  if (message_kind(p) == MessageExtension::INVALIDATE) {
    up_free_ = std::max(when, up_free_) + count_up(single(0));
    when = up_free_ + up_delay_;
  }
  agenda_.at<&Link::answer_message>(when, this, word(j));
}

void Link::answer_message(uint64_t job) {
  auto *j = reinterpret_cast<Job *>(job);
  Payload &p = *j->payload;
  unsigned from = j->from;
  free_job(j);
  message_port.respond(from, p);
}

} // namespace ims::model
