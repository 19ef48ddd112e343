// SPDX-License-Identifier: Apache-2.0
#include "model/host.h"

#include <cstring>

namespace ims::model {

const char *const flush_policies[] = {"strict", "deferred", nullptr};
const char *const completion_ways[] = {"poll", "interrupt", nullptr};
IMS_MODEL_PART(HostConfig, "host", "the software of the host: drivers, and the service of faults", IMS_MODEL_HOST_KNOBS)

namespace {

constexpr Ticks us(uint32_t knob) { return Ticks{knob} * NS; } // a knob in us is kept in ns

constexpr unsigned page_success = 0, page_invalid = 1;
constexpr unsigned no_translation = 0x10; // F_TRANSLATION: a stall that a mapping can end

} // namespace

Host::Host(sc_core::sc_module_name name, Machine &machine, const HostConfig &config, Timing timing)
    : sc_module(name), registers("registers", this, {&Host::register_done, nullptr, nullptr}),
      interrupts("interrupts", this, {&Host::interrupt_b_transport, &Host::interrupt_arrive, nullptr, nullptr}),
      machine_(machine), config_(config), timing_(timing), cores_(config.cores), traps_(config.trap_slots),
      deferred_(machine.config().tenants), random_(config.seed) {
  machine_.interrupt_on_completion(config.completion == COMPLETION_INTERRUPT);
}

// Jobs.

Host::Job &Host::new_job(Kind kind) {
  if (free_.empty()) {
    free_.push_back(static_cast<uint32_t>(jobs_.size()));
    jobs_.emplace_back();
    jobs_.back().number = free_.back();
  }
  uint32_t number = free_.back();
  free_.pop_back();
  Job &job = jobs_[number];
  job.kind = kind;
  job.phase = SOFTWARE;
  job.ok = true;
  job.asked = agenda_.now();
  job.done = {};
  job.bell = {};
  live_++;
  return job;
}

void Host::end(Job &job) {
  free_.push_back(job.number);
  live_--;
}

void Host::begin(Job &job, Ticks cost) {
  job.wait = cost;
  if (cores_.take()) {
    run(job);
  } else {
    count_.core_waits++;
    cores_.wait(job);
  }
}

void Host::run(Job &job) {
  job.running_since = agenda_.now();
  agenda_.at<&Host::step>(agenda_.now() + job.wait, this, job.number);
}

void Host::stop(Job &job) {
  count_.busy_ps += agenda_.now() - job.running_since;
  if (Job *next = cores_.give())
    run(*next);
}

void Host::step(uint64_t number) {
  Job &job = jobs_[number];
  switch (job.phase) {
  case SOFTWARE: software_done(job); break;
  case SUBMIT: submit(job); break;
  case FULL: machine_.config().sync == SYNC_INDEX ? access(job, machine_.index_register()) : submit(job); break;
  case POLL: queue_look(job); break;
  case NOTICED: go_on(job); break;
  default: break;
  }
}

void Host::finish(Job &job) {
  Ticks took = agenda_.now() - job.asked;
  stop(job);
  if (job.kind == MAP || job.kind == UNMAP) {
    if (job.ok)
      (job.kind == MAP ? map_latency_ : unmap_latency_).add(took);
    (job.ok ? job.kind == MAP ? count_.maps : count_.unmaps : count_.failed)++;
  } else if ((job.kind == SERVE_PAGE || job.kind == SERVE_STALL) && job.bell) {
    service_latency_.add(took);
  }
  Done done = job.done;
  bool ok = job.ok;
  end(job);
  done(ok);
}

// Registers.

void Host::access(Job &job, const Mmio &mmio) {
  job.access = mmio;
  job.trapped = config_.trapped;
  if (!job.trapped) {
    do_access(job.number);
    return;
  }
  count_.traps++;
  if (traps_.take()) {
    agenda_.at<&Host::do_access>(agenda_.now() + us(config_.trap_us), this, job.number);
  } else {
    count_.trap_waits++;
    traps_.wait(job);
  }
}

void Host::do_access(uint64_t number) {
  Job &job = jobs_[number];
  const Mmio &m = job.access;
  count_.register_accesses++;
  job.word = m.write ? m.value : 0;
  Payload &p = payloads_.get();
  p.get_extension<RegisterAccess>()->job = &job;
  set_payload(p, m.write ? tlm::TLM_WRITE_COMMAND : tlm::TLM_READ_COMMAND, m.offset, &job.word, m.size);
  if (timing_ == Timing::LT) {
    sc_core::sc_time t = agenda_.annotation();
    registers.socket->b_transport(p, t);
    if (!p.is_response_ok())
      SC_REPORT_ERROR(name(), "a register access was refused");
    agenda_.at<&Host::accessed>(agenda_.meant_by(t), this, number);
  } else {
    registers.send(p);
  }
  p.release();
}

void Host::register_done(Payload &p) {
  if (!p.is_response_ok())
    SC_REPORT_ERROR(name(), "a register access was refused");
  accessed(p.get_extension<RegisterAccess>()->job->number);
}

void Host::accessed(uint64_t number) {
  Job &job = jobs_[number];
  if (job.trapped) {
    job.trapped = false;
    if (Job *next = traps_.give())
      agenda_.at<&Host::do_access>(agenda_.now() + us(config_.trap_us), this, next->number);
  }
  switch (job.phase) {
  case FULL:
    machine_.index_read(job.word);
    submit(job);
    break;
  case RUNG:
    if (job.kind == COMPLETION)
      queue_look(job);
    else if (job.kind == SERVE_PAGE || job.kind == SERVE_STALL)
      finish(job); // nobody waits for an answer to be sent
    else
      look(job);
    break;
  case POLLED:
    machine_.index_read(job.word);
    job.kind == COMPLETION ? scan(job) : look(job);
    break;
  case DRAINS: drain_on(job); break;
  default: break;
  }
}

// The queue.

void Host::submit_soon(Job &job) {
  job.phase = SUBMIT;
  agenda_.at<&Host::step>(agenda_.now() + us(config_.invalidate_us), this, job.number);
}

Doorbell Host::submission(Job &job) {
  switch (job.kind) {
  case UNMAP: return machine_.invalidate(job.stream, job.iova, job.bytes);
  case FLUSH: return machine_.invalidate_tenant(job.tenants.back());
  case SERVE_PAGE: return machine_.respond(job.page, job.ok ? page_success : page_invalid);
  default: return machine_.resume(job.fault, job.ok ? IMS_RESUME_RETRY : IMS_RESUME_ABORT);
  }
}

// Who finds the queue full stands in line, and tries again: an answer to a device is not overtaken for ever.
void Host::submit(Job &job) {
  const bool in_line = job.phase == FULL;
  const bool turn = in_line ? in_line_.front() == job.number : in_line_.empty();
  job.bell = turn ? submission(job) : Doorbell();
  if (!job.bell) {
    count_.queue_full++;
    if (!in_line)
      in_line_.push_back(job.number);
    job.phase = FULL;
    agenda_.at<&Host::step>(agenda_.now() + config_.poll_ns, this, job.number);
    return;
  }
  if (in_line)
    in_line_.pop_front();
  count_.submissions++;
  count_.descriptors += job.bell.entries;
  if (job.kind == FLUSH) {
    count_.flushes++;
    job.tenants.pop_back();
  } else if (job.kind == SERVE_PAGE) {
    count_.responses++;
  }
  job.phase = RUNG;
  access(job, {job.bell.offset, job.bell.size, job.bell.value, true});
}

void Host::look(Job &job) {
  if (machine_.completed(job.bell.ticket)) {
    go_on(job);
    return;
  }
  if (config_.completion == COMPLETION_INTERRUPT) {
    job.phase = SLEEPING;
    asleep_.push_back(&job);
    stop(job);
    return;
  }
  count_.polls++;
  job.phase = POLL;
  agenda_.at<&Host::step>(agenda_.now() + config_.poll_ns, this, job.number);
}

// Memory is looked at for nothing; the index register has to be read.
void Host::queue_look(Job &job) {
  if (machine_.config().sync == SYNC_INDEX) {
    job.phase = POLLED;
    access(job, machine_.index_register());
  } else {
    job.kind == COMPLETION ? scan(job) : look(job);
  }
}

void Host::go_on(Job &job) {
  if (job.kind == FLUSH && !job.tenants.empty())
    submit_soon(job);
  else
    finish(job);
}

// Mapping.

Ticks Host::table_cost(uint64_t bytes) {
  if (!machine_.shadow())
    return 0;
  uint64_t entries = machine_.entries_for(bytes);
  count_.traps += entries;
  return entries * us(config_.shadow_us);
}

void Host::map(size_t stream, uint64_t iova, uint64_t bytes, Done done) {
  Job &job = new_job(MAP);
  job.stream = stream;
  job.iova = iova;
  job.bytes = bytes;
  job.done = done;
  bool nothing = machine_.config().translation >= TRANSLATE_PASS_THROUGH;
  begin(job, nothing ? 0 : us(config_.map_us) + table_cost(bytes));
}

void Host::unmap(size_t stream, uint64_t iova, uint64_t bytes, Done done) {
  Job &job = new_job(UNMAP);
  job.stream = stream;
  job.iova = iova;
  job.bytes = bytes;
  job.done = done;
  bool nothing = machine_.config().translation >= TRANSLATE_PASS_THROUGH;
  begin(job, nothing ? 0 : us(config_.unmap_us) + table_cost(bytes));
}

void Host::before(const Stream &stream, uint64_t iova, uint64_t bytes, Done done) {
  map(static_cast<size_t>(machine_.find(stream.source, stream.pasid, stream.has_pasid)), iova, bytes, done);
}

void Host::after(const Stream &stream, uint64_t iova, uint64_t bytes, Done done) {
  unmap(static_cast<size_t>(machine_.find(stream.source, stream.pasid, stream.has_pasid)), iova, bytes, done);
}

void Host::software_done(Job &job) {
  switch (job.kind) {
  case MAP:
    job.ok = machine_.map(job.stream, job.iova, job.bytes) == IMS_ERR_OK;
    finish(job);
    break;
  case UNMAP:
    job.ok = machine_.unmap(job.stream, job.iova, job.bytes) == IMS_ERR_OK;
    if (!job.ok || machine_.config().translation >= TRANSLATE_PASS_THROUGH) {
      finish(job);
    } else if (config_.policy == FLUSH_STRICT) {
      submit_soon(job);
    } else {
      defer(job.stream);
      finish(job);
    }
    break;
  case FLUSH: go_on(job); break;
  case DRAIN:
    job.phase = DRAINS;
    job.word = 0;
    drain_on(job);
    break;
  case COMPLETION: {
    Mmio acknowledge = machine_.acknowledge_completion();
    job.phase = RUNG;
    if (acknowledge.size)
      access(job, acknowledge);
    else
      queue_look(job);
    break;
  }
  case SERVE_PAGE: serve_page(job); break;
  case SERVE_STALL: serve_stall(job); break;
  }
}

// What is unmapped but not invalidated, tenant by tenant, as each domain has a flush queue of its own.

void Host::defer(size_t stream) {
  size_t tenant = stream / machine_.config().pasids;
  Deferred &d = deferred_[tenant];
  d.stream = stream;
  deferred_unmaps_++;
  if (++d.unmaps >= config_.deferred_batch)
    start_flush({stream}, {});
  else if (d.unmaps == 1)
    agenda_.at<&Host::deferred_timer>(agenda_.now() + us(config_.deferred_us), this,
                                      uint64_t{tenant} << 32 | (d.generation & 0xffffffff));
}

void Host::deferred_timer(uint64_t key) {
  const Deferred &d = deferred_[key >> 32];
  if (d.unmaps && (d.generation & 0xffffffff) == (key & 0xffffffff))
    start_flush({d.stream}, {});
}

void Host::flush(Done done) {
  std::vector<size_t> tenants;
  for (size_t i = deferred_.size(); i-- > 0;)
    if (deferred_[i].unmaps)
      tenants.push_back(deferred_[i].stream);
  start_flush(std::move(tenants), done);
}

void Host::start_flush(std::vector<size_t> tenants, Done done) {
  for (size_t stream : tenants) {
    Deferred &d = deferred_[stream / machine_.config().pasids];
    deferred_unmaps_ -= d.unmaps;
    d.unmaps = 0;
    d.generation++;
  }
  Job &job = new_job(FLUSH);
  job.done = done;
  job.tenants = std::move(tenants);
  job.phase = job.tenants.empty() ? SOFTWARE : SUBMIT;
  begin(job, job.tenants.empty() ? 0 : us(config_.invalidate_us));
}

// Interrupts.

Arrival Host::interrupt_arrive(unsigned, Payload &p, Ticks *when) {
  interrupted(p);
  *when = agenda_.now();
  return Arrival::FINISHED;
}

void Host::interrupt_b_transport(unsigned, Payload &p, sc_core::sc_time &) { interrupted(p); }

void Host::interrupted(Payload &p) {
  uint32_t data = 0;
  if (p.get_data_length() == sizeof data && p.get_data_ptr())
    memcpy(&data, p.get_data_ptr(), sizeof data);
  p.set_response_status(tlm::TLM_OK_RESPONSE);
  Interrupt what = machine_.interrupt(p.get_address(), data);
  // An SMMU sends the same message to those who poll for it.
  if (what == Interrupt::NONE || (what == Interrupt::COMPLETION && config_.completion == COMPLETION_POLL))
    return;
  count_.interrupts++;
  handle(what);
}

void Host::handle(Interrupt what) {
  auto i = static_cast<size_t>(what);
  again_[i] = handling_[i];
  if (handling_[i])
    return;
  handling_[i] = true;
  Job &job = new_job(what == Interrupt::COMPLETION ? COMPLETION : DRAIN);
  if (job.kind == DRAIN)
    job.drain = Drain(what == Interrupt::FAULT ? MachineLog::FAULTS : MachineLog::PAGE_REQUESTS);
  begin(job, us(config_.interrupt_us));
}

void Host::handled(Job &job, Interrupt what) {
  auto i = static_cast<size_t>(what);
  stop(job);
  end(job);
  handling_[i] = false;
  if (again_[i])
    handle(what);
}

void Host::scan(Job &job) {
  std::deque<Job *> asleep;
  asleep.swap(asleep_);
  for (Job *sleeper : asleep) {
    if (machine_.completed(sleeper->bell.ticket)) {
      sleeper->phase = NOTICED;
      begin(*sleeper, 0);
    } else {
      asleep_.push_back(sleeper);
    }
  }
  handled(job, Interrupt::COMPLETION);
}

void Host::drain_on(Job &job) {
  Mmio next;
  if (machine_.drain_next(job.drain, job.word, &next)) {
    access(job, next);
    return;
  }
  Drain drain = std::move(job.drain);
  Ticks since = job.asked;
  count_.overflows += drain.overflow;
  count_.faults += drain.faults.size();
  for (const ims_page_request &r : drain.pages) {
    if (!r.read && !r.write)
      continue; // the end of a PASID's use: no answer is due
    Group &g = groups_[{r.source, r.pasid, r.has_pasid, r.group}];
    g.open++;
    g.last |= r.last;
  }
  for (const ims_page_request &r : drain.pages) {
    if (!r.read && !r.write)
      continue;
    Job &service = new_job(SERVE_PAGE);
    service.page = r;
    service.asked = since;
    begin(service, us(config_.service_us));
  }
  for (const LoggedFault &f : drain.faults) {
    if (!f.stalled)
      continue;
    Job &service = new_job(SERVE_STALL);
    service.fault = f;
    service.asked = since;
    begin(service, us(config_.service_us));
  }
  handled(job, drain.log == MachineLog::FAULTS ? Interrupt::FAULT : Interrupt::PAGE_REQUEST);
}

// Faults that software can mend.

bool Host::refuses() { return config_.fail_per_mille && random_.below(1000) < config_.fail_per_mille; }

void Host::serve_page(Job &job) {
  const ims_page_request &r = job.page;
  count_.page_requests++;
  int64_t stream = machine_.find(r.source, r.pasid, r.has_pasid);
  bool ok = !refuses() && stream >= 0;
  if (ok) {
    int err = machine_.map(static_cast<size_t>(stream), r.addr, 1);
    ok = err == IMS_ERR_OK || err == IMS_ERR_EXIST; // another request may have been faster
  }
  count_.page_requests_refused += !ok;
  auto it = groups_.find({r.source, r.pasid, r.has_pasid, r.group});
  Group &g = it->second;
  g.refused |= !ok;
  if (--g.open || !g.last) {
    job.bell = {};
    finish(job);
    return;
  }
  job.ok = !g.refused;
  groups_.erase(it);
  submit_soon(job);
}

void Host::serve_stall(Job &job) {
  const LoggedFault &f = job.fault;
  count_.stalls++;
  int64_t stream = machine_.find(f.source, f.pasid, f.has_pasid);
  job.ok = !refuses() && stream >= 0 && f.code == no_translation;
  if (job.ok) {
    int err = machine_.map(static_cast<size_t>(stream), f.iova, 1);
    job.ok = err == IMS_ERR_OK || err == IMS_ERR_EXIST;
  }
  count_.stalls_refused += !job.ok;
  submit_soon(job);
}

// Statistics.

void Host::collect(StatisticSink &sink) const {
  IMS_STATISTIC_TELL(sink, name(), count_, IMS_MODEL_HOST_STATISTICS)
  sink.histogram(name(), "map_latency", "ps", "from the call to map a buffer until it is mapped", map_latency_);
  sink.histogram(name(), "unmap_latency", "ps", "from the call to unmap a buffer until it is done", unmap_latency_);
  sink.histogram(name(), "service_latency", "ps", "from the interrupt of a page request or stall until it is answered",
                 service_latency_);
}

Host::Occupancy Host::occupancy() const {
  return {live_, cores_.used(), traps_.used(), groups_.size(), deferred_unmaps_};
}

} // namespace ims::model
