// SPDX-License-Identifier: Apache-2.0
// An IOMMU module between a memory and a requester that sends what the test says when it says it.
#pragma once

#include "model/iommu.h"
#include "model/machine.h"
#include "model/memory.h"
#include "model/simulation.h"

#include <deque>
#include <optional>

namespace ims::model {

inline ims_vtd_config vtd_config() {
  ims_vtd_config c;
  ims_vtd_config_default(&c);
  return c;
}
inline ims_smmuv3_config smmuv3_config() {
  ims_smmuv3_config c;
  ims_smmuv3_config_default(&c);
  return c;
}
// The caches of a unit, whatever its architecture calls them.
struct CacheSizes {
  uint32_t &context, &pasid, &iotlb, &nested, &s1, &s2;
};
inline CacheSizes sizes(ims_vtd_config &c) {
  return {c.context_entries, c.pasid_entries, c.iotlb_entries, c.nested_entries, c.s1_psc_entries, c.s2_psc_entries};
}
inline CacheSizes sizes(ims_smmuv3_config &c) {
  return {c.ste_entries, c.cd_entries, c.iotlb_entries, c.ipa_entries, c.s1_walk_entries, c.s2_walk_entries};
}
// Only those whose bit is set: context, pasid, s1, s2, nested, iotlb.
template <class C> C caches_of(C c, unsigned bits) {
  CacheSizes s = sizes(c);
  uint32_t *const all[] = {&s.context, &s.pasid, &s.s1, &s.s2, &s.nested, &s.iotlb};
  for (unsigned i = 0; i < 6; i++)
    if (!(bits >> i & 1))
      *all[i] = 0;
  return c;
}
// Without any cache but, if wanted, those of configuration structures.
template <class C> C bare(C c, bool structures = false) { return caches_of(c, structures ? 3 : 0); }

class Requester : public sc_core::sc_module {
public:
  struct Sent {
    Payload *payload = nullptr;
    DmaExtension *extension = nullptr;
    Ticks at = 0, done_at = 0;
    bool done = false;
    std::array<unsigned char, 64> data{};
    bool ok() const { return payload->is_response_ok(); }
    Ticks took() const { return done_at - at; }
    const ims_result &result() const { return extension->result; }
  };

  explicit Requester(sc_core::sc_module_name name)
      : sc_module(name), port("port", this, {&Requester::done, nullptr, nullptr}) {}
  ~Requester() override {
    for (Sent &s : sent)
      s.payload->release();
  }

  RequestPort<Requester> port;
  std::deque<Sent> sent;

  // A DMA of 64 bytes, approximately timed, at `when`.
  Sent &send(Ticks when, const Stream &s, uint64_t iova, bool write = false) {
    Sent &x = prepare(s, iova, write);
    x.at = when;
    agenda_.at<&Requester::go>(when, this, sent.size() - 1);
    return x;
  }
  // The same, loosely timed.
  Sent &call(Ticks when, const Stream &s, uint64_t iova, bool write = false) {
    Sent &x = prepare(s, iova, write);
    x.at = when;
    agenda_.at<&Requester::transport>(when, this, sent.size() - 1);
    return x;
  }
  Sent &prepare(const Stream &s, uint64_t iova, bool write) {
    sent.emplace_back();
    Sent &x = sent.back();
    x.payload = &pool_.get();
    x.extension = x.payload->get_extension<DmaExtension>();
    *x.extension = DmaExtension();
    x.extension->source = s.source;
    x.extension->pasid = s.pasid;
    x.extension->has_pasid = s.has_pasid;
    set_payload(*x.payload, write ? tlm::TLM_WRITE_COMMAND : tlm::TLM_READ_COMMAND, iova, x.data.data(), 64);
    return x;
  }
  void start_at(Ticks when, Sent &x) { // of a prepared one
    x.at = when;
    for (size_t i = 0; i < sent.size(); i++)
      if (&sent[i] == &x)
        agenda_.at<&Requester::go>(when, this, i);
  }
  bool all_done() const {
    for (const Sent &s : sent)
      if (!s.done)
        return false;
    return true;
  }

private:
  void transport(uint64_t i) {
    Sent &x = sent[i];
    sc_core::sc_time t = sc_core::SC_ZERO_TIME;
    port.socket->b_transport(*x.payload, t);
    x.done_at = x.at + t.value();
    x.done = true;
  }
  void go(uint64_t i) { port.send(*sent[i].payload); }
  void done(Payload &p) {
    for (Sent &s : sent)
      if (s.payload == &p) {
        s.done = true;
        s.done_at = agenda_.now();
      }
  }
  Agenda &agenda_ = Agenda::of_simulation();
  PayloadPool<DmaExtension> pool_;
};

struct Rig {
  explicit Rig(const MachineConfig &m, const IommuConfig &c = {}, const ims_vtd_config &v = vtd_config(),
               const ims_smmuv3_config &s = smmuv3_config(), const MemoryConfig &mem = {})
      : machine(m, v, s), memory("memory", machine.memory(), mem), iommu("iommu0", machine.maker(), c),
        device("device") {
    iommu.memory.bind(memory.port.socket);
    device.port.socket.bind(iommu.device);
    machine.start(iommu);
  }

  const Stream &stream(size_t i = 0) const { return machine.streams()[i]; }
  uint64_t page(uint64_t n, size_t s = 0) const { return stream(s).iova + n * 4096; }
  bool idle() const {
    Iommu::Occupancy o = iommu.occupancy();
    return o.pending + o.walkers + o.at_door + o.merged + o.stalled + o.prefetches + o.messages + o.look_ups == 0;
  }

  Simulation simulation;
  Machine machine;
  Memory memory;
  Iommu iommu;
  Requester device;
};

} // namespace ims::model
