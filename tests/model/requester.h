// SPDX-License-Identifier: Apache-2.0
// An initiator for tests: sends what it was told, when it was told, and notes when each request ended and how.
#pragma once

#include "mem/mem.h"
#include "model/extension.h"
#include "model/port.h"
#include "model/simulation.h"

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

struct Access {
  uint64_t address = 0;
  uint32_t bytes = 64;
  bool write = false, walk = false, ignore = false;
  ims::model::Ticks gap = 0; // in a chain: after the end of the one before
};

struct Bytes { // a memory of `size` bytes from address 0
  ims_mem mem;
  explicit Bytes(uint64_t size) {
    ims_mem_init(&mem);
    ims_mem_add_ram(&mem, 0, size);
  }
  ~Bytes() { ims_mem_fini(&mem); }
  operator ims_mem *() { return &mem; }
};

class Requester : public sc_core::sc_module {
public:
  using Ticks = ims::model::Ticks;
  using Payload = ims::model::Payload;
  struct Item {
    Access access;
    Ticks begin = 0, accepted = 0, end = 0;
    bool timed = true, chained = false, ended = false;
    tlm::tlm_response_status status = tlm::TLM_INCOMPLETE_RESPONSE;
    std::vector<unsigned char> data;
    Payload *payload = nullptr;
    void (*prepare)(Payload &) = nullptr;
    Ticks took() const { return end - begin; }
  };

  explicit Requester(sc_core::sc_module_name name)
      : sc_module(name), port("port", this, {&Requester::done, &Requester::accepted, &Requester::withdrawn}),
        agenda(ims::model::Agenda::of_simulation()) {}

  ims::model::RequestPort<Requester> port;
  ims::model::Agenda &agenda;
  std::vector<std::unique_ptr<Item>> items;
  std::vector<std::pair<uint64_t, uint64_t>> withdrawals;

  Item &plan(Ticks when, const Access &a, bool timed = true) {
    items.push_back(std::make_unique<Item>());
    Item &i = *items.back();
    i.access = a;
    i.timed = timed;
    i.data.resize(a.bytes);
    agenda.at<&Requester::issue>(when, this, items.size() - 1);
    return i;
  }

  // One after the other.
  void chain(const std::vector<Access> &list, bool timed) {
    for (const Access &a : list) {
      if (!items.empty()) {
        items.push_back(std::make_unique<Item>());
        items.back()->access = a;
        items.back()->timed = timed;
        items.back()->data.resize(a.bytes);
      } else {
        plan(a.gap, a, timed);
      }
      items.back()->chained = true;
    }
  }
  std::vector<Ticks> latencies() const {
    std::vector<Ticks> l;
    for (auto &i : items)
      l.push_back(i->ended ? i->took() : ~0ull);
    return l;
  }
  size_t payloads_in_use() const { return dmas_.in_use() + walks_.in_use(); }
  Ticks last_end() const {
    Ticks last = 0;
    for (auto &i : items)
      last = std::max(last, i->end);
    return last;
  }

private:
  void issue(uint64_t id) {
    Item &i = *items[id];
    const Access &a = i.access;
    i.begin = agenda.now();
    Payload &p = a.walk ? walks_.get() : dmas_.get();
    i.payload = &p;
    by_payload_[&p] = id;
    ims::model::set_payload(p,
                            a.ignore  ? tlm::TLM_IGNORE_COMMAND
                            : a.write ? tlm::TLM_WRITE_COMMAND
                                      : tlm::TLM_READ_COMMAND,
                            a.address, a.ignore ? nullptr : i.data.data(), a.ignore ? 0 : a.bytes);
    if (auto *dma = p.get_extension<ims::model::DmaExtension>()) {
      *dma = ims::model::DmaExtension();
      dma->access = a.write ? IMS_ACC_W : IMS_ACC_R;
      dma->bytes = a.bytes;
    } else {
      *p.get_extension<ims::model::WalkExtension>() = ims::model::WalkExtension();
    }
    if (i.prepare)
      i.prepare(p);
    if (i.timed) {
      port.send(p);
    } else {
      sc_core::sc_time t = agenda.annotation();
      port.socket->b_transport(p, t);
      agenda.at<&Requester::finish>(agenda.meant_by(t), this, id);
    }
  }
  void accepted(Payload &p) { items[by_payload_.at(&p)]->accepted = agenda.now(); }
  void done(Payload &p) { finish(by_payload_.at(&p)); }
  void withdrawn(uint64_t first, uint64_t last) { withdrawals.emplace_back(first, last); }
  void finish(uint64_t id) {
    Item &i = *items[id];
    i.end = agenda.now();
    i.ended = true;
    i.status = i.payload->get_response_status();
    by_payload_.erase(i.payload);
    i.payload->release();
    if (i.chained && id + 1 < items.size())
      agenda.at<&Requester::issue>(i.end + items[id + 1]->access.gap, this, id + 1);
  }

  ims::model::PayloadPool<ims::model::DmaExtension> dmas_;
  ims::model::PayloadPool<ims::model::WalkExtension> walks_;
  std::unordered_map<Payload *, size_t> by_payload_;
};
