// SPDX-License-Identifier: Apache-2.0
// Both ends of a TLM-2.0 base-protocol socket, so that modules need not know its rules (IEEE 1666-2011, 15.2): request and
// response exclusion, early completion, phases that imply others, annotated time. A module with a RequestPort says send()
// and is told when it is done; one with a ResponsePort is told what arrives and says respond(). Both work with any module
// that keeps the base protocol.
#pragma once

#include "model/agenda.h"

#include <deque>
#include <tlm>
#include <tlm_utils/multi_passthrough_target_socket.h>
#include <vector>

namespace ims::model {

using Payload = tlm::tlm_generic_payload;

// The initiator's end; `socket` is bound to one target. With SC_ZERO_OR_MORE_BOUND it may stay unbound (bound()).
template <class Owner, sc_core::sc_port_policy POLICY = sc_core::SC_ONE_OR_MORE_BOUND>
class RequestPort : tlm::tlm_bw_transport_if<> {
public:
  using Socket = tlm::tlm_initiator_socket<32, tlm::tlm_base_protocol_types, 1, POLICY>;

  struct Hooks {
    void (Owner::*done)(Payload &) = nullptr;     // the response is here (approximately timed); an action of its own
    void (Owner::*accepted)(Payload &) = nullptr; // the target took the request; may be NULL
    void (Owner::*withdrawn)(uint64_t first, uint64_t last) = nullptr; // DMI; may be NULL
  };

  RequestPort(const char *name, Owner *owner, Hooks hooks)
      : socket(name), owner_(owner), hooks_(hooks), agenda_(Agenda::of_simulation()) {
    socket.bind(*static_cast<tlm::tlm_bw_transport_if<> *>(this));
  }

  Socket socket;

  bool bound() const { return socket.get_base_port().size() > 0; }

  // Sends a request, now or when the target has taken those before. The payload has to have a memory manager; it is held
  // until it is done.
  void send(Payload &p) {
    p.acquire();
    if (open_ || !waiting_.empty())
      waiting_.push_back(&p);
    else
      begin(p);
  }

  size_t waiting() const { return waiting_.size(); } // behind one that the target has not taken

private:
  void begin(Payload &p) {
    tlm::tlm_phase phase = tlm::BEGIN_REQ;
    sc_core::sc_time t = agenda_.annotation();
    open_ = &p;
    switch (socket->nb_transport_fw(p, phase, t)) {
    case tlm::TLM_COMPLETED: // the exclusion of requests is one of calls, not of annotated times
      open_ = nullptr;
      agenda_.at<&RequestPort::finish>(agenda_.meant_by(t), this, word(p));
      if (hooks_.accepted)
        (owner_->*hooks_.accepted)(p);
      break;
    case tlm::TLM_UPDATED: progress(p, phase, t); break;
    default: break;
    }
  }

  // The target went on to this phase.
  void progress(Payload &p, tlm::tlm_phase phase, const sc_core::sc_time &t) {
    if (phase == tlm::END_REQ)
      agenda_.at<&RequestPort::taken>(agenda_.meant_by(t), this, word(p));
    else if (phase == tlm::BEGIN_RESP)
      agenda_.at<&RequestPort::finish_with_end>(agenda_.meant_by(t), this, word(p));
  }

  void taken(uint64_t w) {
    Payload &p = *payload(w);
    if (open_ != &p)
      return;
    open_ = nullptr;
    if (hooks_.accepted)
      (owner_->*hooks_.accepted)(p);
    next();
  }
  void next() {
    while (!open_ && !waiting_.empty()) {
      Payload *p = waiting_.front();
      waiting_.pop_front();
      begin(*p);
    }
  }

  // The owner is told last: it may let time go on (Agenda::skip_to).
  void finish(uint64_t w) {
    Payload &p = *payload(w);
    if (open_ == &p) { // a response says that the request was taken, too
      open_ = nullptr;
      if (hooks_.accepted)
        (owner_->*hooks_.accepted)(p);
      next();
    }
    (owner_->*hooks_.done)(p);
    p.release();
  }
  void finish_with_end(uint64_t w) {
    tlm::tlm_phase phase = tlm::END_RESP;
    sc_core::sc_time t = agenda_.annotation();
    socket->nb_transport_fw(*payload(w), phase, t);
    finish(w);
  }

  tlm::tlm_sync_enum nb_transport_bw(Payload &p, tlm::tlm_phase &phase, sc_core::sc_time &t) override {
    if (phase == tlm::END_REQ) {
      agenda_.at<&RequestPort::taken>(agenda_.meant_by(t), this, word(p));
      return tlm::TLM_ACCEPTED;
    }
    if (phase != tlm::BEGIN_RESP)
      return tlm::TLM_ACCEPTED;
    agenda_.at<&RequestPort::finish>(agenda_.meant_by(t), this, word(p));
    phase = tlm::END_RESP;
    return tlm::TLM_COMPLETED;
  }
  void invalidate_direct_mem_ptr(sc_dt::uint64 first, sc_dt::uint64 last) override {
    if (hooks_.withdrawn)
      (owner_->*hooks_.withdrawn)(first, last);
  }

  static uint64_t word(Payload &p) { return reinterpret_cast<uint64_t>(&p); }
  static Payload *payload(uint64_t w) { return reinterpret_cast<Payload *>(w); }

  Owner *owner_;
  Hooks hooks_;
  Agenda &agenda_;
  Payload *open_ = nullptr; // between BEGIN_REQ and END_REQ
  std::deque<Payload *> waiting_;
};

// What becomes of a request that arrives.
enum class Arrival {
  TAKEN,    // respond() will follow
  NO_ROOM,  // take() will follow; until then the initiator can send nothing else through this binding
  FINISHED, // the response leaves at *when: no more to be said
};

// The target's end, for any number of initiators; `from` is the number of the binding.
template <class Owner, sc_core::sc_port_policy POLICY = sc_core::SC_ONE_OR_MORE_BOUND> class ResponsePort {
public:
  using Socket = tlm_utils::multi_passthrough_target_socket<ResponsePort, 32, tlm::tlm_base_protocol_types, 0, POLICY>;

  struct Hooks {
    void (Owner::*b_transport)(unsigned from, Payload &, sc_core::sc_time &) = nullptr;
    // Approximately timed: a request is here at agenda.now(). May be called in the middle of the initiator's action: what
    // takes time goes onto the agenda (no skip_to).
    Arrival (Owner::*arrive)(unsigned from, Payload &, Ticks *when) = nullptr;
    bool (Owner::*dmi)(unsigned from, Payload &, tlm::tlm_dmi &) = nullptr; // NULL: none is granted
    unsigned (Owner::*debug)(unsigned from, Payload &) = nullptr;           // NULL: 0 bytes
  };

  ResponsePort(const char *name, Owner *owner, Hooks hooks)
      : socket(name), owner_(owner), hooks_(hooks), agenda_(Agenda::of_simulation()) {
    socket.register_b_transport(this, &ResponsePort::b_transport);
    socket.register_nb_transport_fw(this, &ResponsePort::nb_transport_fw);
    socket.register_get_direct_mem_ptr(this, &ResponsePort::get_direct_mem_ptr);
    socket.register_transport_dbg(this, &ResponsePort::transport_dbg);
  }

  Socket socket;

  // The request that found no room is taken now.
  void take(unsigned from, Payload &p) {
    tlm::tlm_phase phase = tlm::END_REQ;
    sc_core::sc_time t = agenda_.annotation();
    socket[static_cast<int>(from)]->nb_transport_bw(p, phase, t);
  }

  // Answers a request that was taken, now or when the initiator has taken the answers before.
  void respond(unsigned from, Payload &p) {
    Binding &b = binding(from);
    if (b.open)
      b.waiting.push_back(&p);
    else
      begin_response(from, p);
  }

  // Withdraws DMI from all initiators.
  void withdraw(uint64_t first, uint64_t last) {
    for (unsigned i = 0; i < socket.size(); i++)
      socket[static_cast<int>(i)]->invalidate_direct_mem_ptr(first, last);
  }

  unsigned size() { return socket.size(); }

private:
  struct Binding {
    bool open = false; // between BEGIN_RESP and END_RESP
    std::deque<Payload *> waiting;
  };
  Binding &binding(unsigned from) {
    while (bindings_.size() <= from)
      bindings_.emplace_back();
    return bindings_[from];
  }

  void b_transport(int from, Payload &p, sc_core::sc_time &t) {
    (owner_->*hooks_.b_transport)(static_cast<unsigned>(from), p, t);
  }

  tlm::tlm_sync_enum nb_transport_fw(int from, Payload &p, tlm::tlm_phase &phase, sc_core::sc_time &t) {
    unsigned id = static_cast<unsigned>(from);
    if (phase == tlm::END_RESP) {
      agenda_.at<&ResponsePort::ended>(agenda_.meant_by(t), this, id);
      return tlm::TLM_COMPLETED;
    }
    if (phase != tlm::BEGIN_REQ)
      return tlm::TLM_ACCEPTED;
    Ticks arrival = agenda_.meant_by(t), when = arrival;
    if (arrival > agenda_.now()) {
      p.acquire();
      agenda_.at<&ResponsePort::arrive_later>(arrival, this, later(id, p));
      return tlm::TLM_ACCEPTED;
    }
    switch ((owner_->*hooks_.arrive)(id, p, &when)) {
    case Arrival::FINISHED: t = agenda_.annotation(when); return tlm::TLM_COMPLETED;
    case Arrival::TAKEN:
      p.acquire();
      phase = tlm::END_REQ;
      return tlm::TLM_UPDATED;
    default: p.acquire(); return tlm::TLM_ACCEPTED;
    }
  }
  void arrive_later(uint64_t token) {
    auto [id, p] = pending_[token];
    free_.push_back(token);
    Ticks when = agenda_.now();
    switch ((owner_->*hooks_.arrive)(id, *p, &when)) {
    case Arrival::FINISHED:
      agenda_.at<&ResponsePort::respond_later>(when, this, later(id, *p));
      if (when > agenda_.now())
        take(id, *p); // or the initiator could send nothing until the response
      break;
    case Arrival::TAKEN: take(id, *p); break;
    default: break;
    }
  }
  void respond_later(uint64_t token) {
    auto [id, p] = pending_[token];
    free_.push_back(token);
    respond(id, *p);
  }

  void begin_response(unsigned from, Payload &p) {
    tlm::tlm_phase phase = tlm::BEGIN_RESP;
    sc_core::sc_time t = agenda_.annotation();
    tlm::tlm_sync_enum s = socket[static_cast<int>(from)]->nb_transport_bw(p, phase, t);
    if (s == tlm::TLM_COMPLETED || (s == tlm::TLM_UPDATED && phase == tlm::END_RESP)) {
      if (agenda_.meant_by(t) > agenda_.now()) {
        binding(from).open = true;
        agenda_.at<&ResponsePort::ended>(agenda_.meant_by(t), this, from);
      }
    } else {
      binding(from).open = true;
    }
    p.release();
  }
  void ended(uint64_t from) {
    Binding &b = binding(static_cast<unsigned>(from));
    b.open = false;
    if (!b.waiting.empty()) {
      Payload *p = b.waiting.front();
      b.waiting.pop_front();
      begin_response(static_cast<unsigned>(from), *p);
    }
  }

  bool get_direct_mem_ptr(int from, Payload &p, tlm::tlm_dmi &dmi) {
    return hooks_.dmi && (owner_->*hooks_.dmi)(static_cast<unsigned>(from), p, dmi);
  }
  unsigned transport_dbg(int from, Payload &p) {
    return hooks_.debug ? (owner_->*hooks_.debug)(static_cast<unsigned>(from), p) : 0;
  }

  uint64_t later(unsigned id, Payload &p) {
    if (free_.empty()) {
      pending_.emplace_back();
      free_.push_back(pending_.size() - 1);
    }
    uint64_t token = free_.back();
    free_.pop_back();
    pending_[token] = {id, &p};
    return token;
  }

  Owner *owner_;
  Hooks hooks_;
  Agenda &agenda_;
  std::deque<Binding> bindings_;
  std::vector<std::pair<unsigned, Payload *>> pending_;
  std::vector<uint64_t> free_;
};

} // namespace ims::model
