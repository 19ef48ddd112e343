// SPDX-License-Identifier: Apache-2.0
#include "model/iommu.h"
#include "model/iommu_impl.h"

#include <stdexcept>

namespace ims::model {

const char *const full_policies[] = {"wait", "drop", nullptr};
const char *const orderings[] = {"none", "pasid", "source", "all", nullptr};
const char *const prefetchers[] = {"none", "next", "stride", "tenant", nullptr};

IMS_MODEL_PART(IommuConfig, "iommu", "what each step of the IOMMU takes, and how many may be under way",
               IMS_MODEL_IOMMU_KNOBS)

LookUp look_up_of(unsigned cache) {
  switch (cache) {
  case IMS_CACHE_CONTEXT: return LOOK_CONTEXT;
  case IMS_CACHE_PASID: return LOOK_PASID;
  case IMS_CACHE_IOTLB: return LOOK_IOTLB;
  case IMS_CACHE_NESTED: return LOOK_NESTED;
  default: return cache <= IMS_CACHE_S1_L5 ? LOOK_PSC1 : LOOK_PSC2;
  }
}

IommuImpl::IommuImpl(Iommu &module, const Iommu::MakeUnit &make, const IommuConfig &config)
    : module_(module), config_(config), agenda_(Agenda::of_simulation()), owns_(static_cast<bool>(make)),
      device_("device", this,
              {&IommuImpl::device_b_transport, &IommuImpl::device_arrive, &IommuImpl::device_dmi,
               &IommuImpl::device_debug}),
      registers_("registers", this,
                 {&IommuImpl::register_b_transport, &IommuImpl::register_arrive, nullptr, &IommuImpl::register_debug}),
      memory_("memory", this, {&IommuImpl::memory_done, nullptr, &IommuImpl::memory_withdrawn}),
      interrupt_("interrupt", this, {&IommuImpl::interrupt_done, nullptr, nullptr}),
      message_("message", this, {&IommuImpl::message_done, nullptr, nullptr}), walkers_(config.walkers),
      prefetcher_(config.prefetch, config.prefetch_degree) {
  look_cost_[LOOK_CONTEXT] = config.context_ns;
  look_cost_[LOOK_PASID] = config.pasid_ns;
  look_cost_[LOOK_IOTLB] = config.iotlb_ns;
  look_cost_[LOOK_NESTED] = config.nested_ns;
  look_cost_[LOOK_PSC1] = config.s1_psc_ns;
  look_cost_[LOOK_PSC2] = config.s2_psc_ns;
  look_slots_[LOOK_CONTEXT] = Slots<Flight>(config.context_slots);
  look_slots_[LOOK_PASID] = Slots<Flight>(config.pasid_slots);
  look_slots_[LOOK_IOTLB] = Slots<Flight>(config.iotlb_slots);
  look_slots_[LOOK_NESTED] = Slots<Flight>(config.nested_slots);
  look_slots_[LOOK_PSC1] = Slots<Flight>(config.psc_slots);
  look_slots_[LOOK_PSC2] = Slots<Flight>(config.psc_slots);

  lt_walk_ = &walk_payloads_.get();
  lt_extension_ = static_cast<FlightWalk *>(lt_walk_->get_extension<WalkExtension>());
  if (!owns_) {
    hold_queue_ = false;
    refuse_dmi_ = true;
    return;
  }
  ims_iommu_bus bus = {};
  bus.ctx = this;
  bus.message = bus_message;
  bus.ats_invalidate = bus_ats_invalidate;
  bus.page_response = bus_page_response;
  bus.resume = bus_resume;
  bus.invalidated = bus_invalidated;
  unit_ = make(&bus);
  if (!unit_)
    throw std::invalid_argument(std::string(module.name()) + ": no unit was made");
  unit_->queue_held = true;
}

IommuImpl::~IommuImpl() {
  lt_walk_->release();
  if (owns_)
    ims_iommu_free(unit_);
}

void IommuImpl::attach(ims_iommu *unit) {
  if (unit_)
    throw std::logic_error(std::string(module_.name()) + ": it has a unit already");
  unit_ = unit;
}

// Interrupts: a write of 4 bytes to the address of the message.

namespace {

struct InterruptData : tlm::tlm_extension<InterruptData> {
  uint32_t data = 0;
  tlm::tlm_extension_base *clone() const override { return new InterruptData(*this); }
  void copy_from(const tlm::tlm_extension_base &other) override { *this = static_cast<const InterruptData &>(other); }
};

} // namespace

void IommuImpl::bus_message(void *self, uint64_t addr, uint32_t data) {
  auto &me = *static_cast<IommuImpl *>(self);
  if (!me.interrupt_.bound())
    return;
  Payload &p = me.interrupt_payloads_.get();
  auto *word = p.get_extension<InterruptData>();
  if (!word)
    p.set_extension(word = new InterruptData);
  word->data = data;
  set_payload(p, tlm::TLM_WRITE_COMMAND, addr, &word->data, 4);
  me.interrupt_.send(p);
  p.release();
}

void IommuImpl::interrupt_done(Payload &) {}

// Registers.

void IommuImpl::access_register(Payload &p) {
  uint64_t value = 0;
  uint32_t length = p.get_data_length();
  bool legal = (length == 4 || length == 8) && p.get_address() % length == 0 && p.get_address() <= 0xffffffff &&
               !p.get_byte_enable_ptr() && p.get_command() != tlm::TLM_IGNORE_COMMAND;
  if (!legal) {
    p.set_response_status(length == 4 || length == 8 ? tlm::TLM_ADDRESS_ERROR_RESPONSE : tlm::TLM_BURST_ERROR_RESPONSE);
    return;
  }
  if (p.is_write()) {
    memcpy(&value, p.get_data_ptr(), length);
    ims_iommu_write(unit_, static_cast<uint32_t>(p.get_address()), length, value);
  } else {
    value = ims_iommu_read(unit_, static_cast<uint32_t>(p.get_address()), length);
    memcpy(p.get_data_ptr(), &value, length);
  }
  p.set_response_status(tlm::TLM_OK_RESPONSE);
  kick_queue();
}

void IommuImpl::register_b_transport(unsigned, Payload &p, sc_core::sc_time &t) {
  access_register(p);
  t += to_sc(config_.register_ns);
}

Arrival IommuImpl::register_arrive(unsigned, Payload &p, Ticks *when) {
  access_register(p);
  *when = agenda_.now() + config_.register_ns;
  return Arrival::FINISHED;
}

unsigned IommuImpl::register_debug(unsigned, Payload &p) {
  if (!p.is_read() || p.get_address() > 0xffffffff || (p.get_data_length() != 4 && p.get_data_length() != 8))
    return 0;
  uint64_t value = ims_iommu_read(unit_, static_cast<uint32_t>(p.get_address()), p.get_data_length());
  memcpy(p.get_data_ptr(), &value, p.get_data_length());
  return p.get_data_length();
}

// Statistics.

void IommuImpl::count_result(const ims_request &r, const ims_result &res, bool missed, Ticks latency) {
  bool refused = res.status == IMS_STATUS_FAULT || res.status == IMS_STATUS_ABORT;
  if (res.status == IMS_STATUS_STALL) {
    count_.stalled++;
    return;
  }
  (refused ? count_.faulted : count_.translated)++;
  (missed ? count_.misses : count_.hits)++;
  if (r.type != IMS_UNTRANSLATED) {
    ats_requests_ += r.type == IMS_TRANSLATION_REQUEST;
    ats_passed_ += r.type == IMS_TRANSLATED && !refused;
  }
  (missed ? latency_miss_ : latency_hit_).add(latency);
  if (res.refs)
    reads_.add(res.refs);
  if (res.status == IMS_STATUS_FAULT)
    faults_[res.fault]++;
  auto add = [&](By &by) {
    by.requests++;
    by.misses += missed;
    by.faults += refused;
    by.latency_ps += latency;
  };
  if (config_.by_source)
    add(source_[r.source]);
  if (config_.by_pasid && r.has_pasid)
    add(pasid_[{r.source, r.pasid}]);
}

void IommuImpl::collect(StatisticSink &s) const {
  const std::string me = module_.name();
  IMS_STATISTIC_TELL(s, me, count_, IMS_MODEL_IOMMU_STATISTICS)
  s.histogram(me, "latency_hit", "ps", "of a translation without a walker, from arrival until it is ready",
              latency_hit_);
  s.histogram(me, "latency_miss", "ps", "of a translation with a walk", latency_miss_);
  s.histogram(me, "reads", "reads", "of a translation that read at all", reads_);
  for (unsigned what = 0; what < IMS_STRUCT_COUNT; what++)
    for (unsigned level = 0; level < 8; level++)
      if (reads_by_[what][level]) {
        std::string name = std::string(ims_structure_name(what)) + (level ? " level " + std::to_string(level) : "");
        for (char &c : name)
          c = c == ' ' ? '_' : c;
        s.count(me + ".reads." + name, "reads", "reads", "of this structure, levels counted from the leaf = 1",
                reads_by_[what][level]);
      }
  for (const auto &[code, n] : faults_)
    s.count(me + ".fault." + std::to_string(code), "requests", "requests", "that ended with this fault", n);
  auto tell = [&](const std::string &object, const By &by) {
    s.count(object, "requests", "requests", "translated or refused", by.requests);
    s.count(object, "misses", "requests", "of these, with a walk", by.misses);
    s.count(object, "faults", "requests", "of these, refused", by.faults);
    s.mean(object, "latency", "ps", "of a translation", by.latency_ps, by.requests);
  };
  for (const auto &[source, by] : source_)
    tell(me + ".source." + std::to_string(source), by);
  for (const auto &[who, by] : pasid_)
    tell(me + ".source." + std::to_string(who.first) + ".pasid." + std::to_string(who.second), by);
  for (unsigned c = 0; owns_ && c < IMS_CACHE_COUNT; c++) {
    const ims_cache &cache = unit_->cache[c];
    if (!cache.entries)
      continue;
    std::string name = ims_cache_name(c);
    for (char &ch : name)
      ch = ch == ' ' ? '_' : ch;
    const std::string object = me + "." + name;
    s.count(object, "hits", "look-ups", "that found what they looked for", cache.count.hits);
    s.count(object, "misses", "look-ups", "that did not", cache.count.misses);
    s.count(object, "fills", "entries", "put in", cache.count.fills);
    s.count(object, "evictions", "entries", "that had to go for others", cache.count.evictions);
    s.count(object, "invalidated", "entries", "that invalidations removed", cache.count.invalidated);
  }
  collect_hardware(s);
}

// The module.

Iommu::Iommu(sc_core::sc_module_name name, const MakeUnit &make, const IommuConfig &config)
    : sc_module(name), impl_(std::make_unique<IommuImpl>(*this, make, config)), device(impl_->device_.socket),
      registers(impl_->registers_.socket), memory(impl_->memory_.socket), interrupt(impl_->interrupt_.socket),
      message(impl_->message_.socket) {}

Iommu::Iommu(sc_core::sc_module_name name, const IommuConfig &config) : Iommu(name, MakeUnit(), config) {}

Iommu::~Iommu() = default;

void Iommu::attach(ims_iommu *unit) { impl_->attach(unit); }

ims_iommu *Iommu::unit() const { return impl_->unit_; }
const IommuConfig &Iommu::config() const { return impl_->config_; }
const IommuCounters &Iommu::counters() const { return impl_->count_; }

void Iommu::hold_queue(bool hold) {
  impl_->hold_queue_ = hold;
  impl_->unit_->queue_held = hold;
}

void Iommu::refuse_dmi(bool refuse) {
  impl_->refuse_dmi_ = refuse;
  if (refuse)
    IommuImpl::bus_invalidated(impl_.get());
}

void Iommu::observe(IommuObserver *observer) { impl_->observer_ = observer; }

void Iommu::collect(StatisticSink &sink) const { impl_->collect(sink); }

Iommu::Occupancy Iommu::occupancy() const {
  const IommuImpl &i = *impl_;
  size_t looking = 0;
  for (const auto &slots : i.look_slots_)
    looking += slots.used();
  return {i.pending_,
          i.walkers_.used(),
          i.door_.size(),
          i.merged_,
          i.stalled_count_,
          i.prefetching_,
          i.messages_ + i.page_requests_.size(),
          looking};
}

} // namespace ims::model
