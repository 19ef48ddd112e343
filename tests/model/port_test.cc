// SPDX-License-Identifier: Apache-2.0
// Both ports against modules written without them, with every phase of the base protocol said explicitly and late, and
// which complain when the rules of exclusion are broken (IEEE 1666-2011, 15.2.6).
#define SC_INCLUDE_DYNAMIC_PROCESSES // sc_spawn
#include "model/port.h"
#include "requester.h"

#include <deque>
#include <gtest/gtest.h>
#include <random>
#include <tlm_utils/peq_with_get.h>
#include <tlm_utils/simple_initiator_socket.h>
#include <tlm_utils/simple_target_socket.h>

using namespace ims::model;

namespace {

enum Manner { FOUR_PHASES, END_REQ_AT_ONCE, RESPONSE_AT_ONCE, COMPLETED, NO_END_REQ };

// A target with a thread; requests take `accept` until END_REQ, then `serve` until BEGIN_RESP.
class ForeignTarget : public sc_core::sc_module {
public:
  tlm_utils::simple_target_socket<ForeignTarget> socket{"socket"};
  ForeignTarget(sc_core::sc_module_name name, Manner manner, Ticks accept, Ticks serve)
      : sc_module(name), manner_(manner), accept_(accept), serve_(serve) {
    socket.register_nb_transport_fw(this, &ForeignTarget::forward);
    sc_core::sc_spawn([this] { requests(); });
    sc_core::sc_spawn([this] { responses(); });
  }
  std::vector<Ticks> begun, ended; // when requests began and responses ended
  unsigned broken = 0;             // rules

private:
  tlm::tlm_sync_enum forward(Payload &p, tlm::tlm_phase &phase, sc_core::sc_time &t) {
    if (phase == tlm::END_RESP) {
      broken += responding_ != &p;
      response_ended_.notify(t);
      return tlm::TLM_COMPLETED;
    }
    broken += phase != tlm::BEGIN_REQ || request_ != nullptr;
    begun.push_back(sc_core::sc_time_stamp().value() + t.value());
    p.set_response_status(tlm::TLM_OK_RESPONSE);
    switch (manner_) {
    case COMPLETED: t += to_sc(serve_); return tlm::TLM_COMPLETED;
    case RESPONSE_AT_ONCE:
      phase = tlm::BEGIN_RESP;
      t += to_sc(serve_);
      responding_ = &p;
      return tlm::TLM_UPDATED;
    case END_REQ_AT_ONCE:
      phase = tlm::END_REQ;
      p.acquire();
      answers_.notify(p, t + to_sc(serve_));
      return tlm::TLM_UPDATED;
    default:
      request_ = &p;
      p.acquire();
      requests_.notify(p, t + to_sc(accept_));
      return tlm::TLM_ACCEPTED;
    }
  }
  void requests() {
    for (;;) {
      sc_core::wait(requests_.get_event());
      while (Payload *p = requests_.get_next_transaction()) {
        if (manner_ == FOUR_PHASES) {
          tlm::tlm_phase phase = tlm::END_REQ;
          sc_core::sc_time t = sc_core::SC_ZERO_TIME;
          request_ = nullptr;
          socket->nb_transport_bw(*p, phase, t);
        }
        answers_.notify(*p, to_sc(serve_));
      }
    }
  }
  void responses() {
    for (;;) {
      sc_core::wait(answers_.get_event());
      while (Payload *p = answers_.get_next_transaction()) {
        tlm::tlm_phase phase = tlm::BEGIN_RESP;
        sc_core::sc_time t = sc_core::SC_ZERO_TIME;
        if (manner_ == NO_END_REQ)
          request_ = nullptr;
        responding_ = p;
        tlm::tlm_sync_enum s = socket->nb_transport_bw(*p, phase, t);
        if (s == tlm::TLM_COMPLETED || (s == tlm::TLM_UPDATED && phase == tlm::END_RESP))
          sc_core::wait(t);
        else
          sc_core::wait(response_ended_);
        ended.push_back(sc_core::sc_time_stamp().value());
        responding_ = nullptr;
        p->release();
      }
    }
  }
  Manner manner_;
  Ticks accept_, serve_;
  Payload *request_ = nullptr, *responding_ = nullptr;
  tlm_utils::peq_with_get<Payload> requests_{"requests"}, answers_{"answers"};
  sc_core::sc_event response_ended_;
};

// An initiator with threads: sends a request as soon as the one before was taken, or later by `late`; ends each response
// `hold` after it began, by a call of its own.
class ForeignInitiator : public sc_core::sc_module {
public:
  tlm_utils::simple_initiator_socket<ForeignInitiator> socket{"socket"};
  ForeignInitiator(sc_core::sc_module_name name, unsigned count, Ticks ahead, Ticks hold)
      : sc_module(name), count_(count), ahead_(ahead), hold_(hold) {
    socket.register_nb_transport_bw(this, &ForeignInitiator::backward);
    sc_core::sc_spawn([this] { send(); });
    sc_core::sc_spawn([this] { end(); });
  }
  std::vector<Ticks> taken, answered; // END_REQ; BEGIN_RESP, in the order in which they came
  unsigned broken = 0;
  PayloadPool<DmaExtension> pool;

private:
  void send() {
    for (unsigned n = 0; n < count_; n++) {
      Payload &p = pool.get();
      set_payload(p, tlm::TLM_IGNORE_COMMAND, n * 64, nullptr, 0);
      tlm::tlm_phase phase = tlm::BEGIN_REQ;
      sc_core::sc_time t = to_sc(ahead_);
      request_ = &p;
      switch (socket->nb_transport_fw(p, phase, t)) {
      case tlm::TLM_COMPLETED:
        request_ = nullptr;
        taken.push_back(sc_core::sc_time_stamp().value() + ahead_);
        answered.push_back(sc_core::sc_time_stamp().value() + t.value());
        p.release();
        continue;
      case tlm::TLM_UPDATED:
        broken += phase != tlm::END_REQ;
        sc_core::wait(t);
        request_ = nullptr;
        taken.push_back(sc_core::sc_time_stamp().value());
        continue;
      default:
        if (request_)
          sc_core::wait(request_ended_);
      }
    }
  }
  tlm::tlm_sync_enum backward(Payload &p, tlm::tlm_phase &phase, sc_core::sc_time &t) {
    Ticks when = sc_core::sc_time_stamp().value() + t.value();
    bool first = phase == tlm::END_REQ || request_ == &p; // BEGIN_RESP says that the request was taken, too
    if (first) {
      broken += request_ != &p;
      request_ = nullptr;
      taken.push_back(when);
      request_ended_.notify(t);
    }
    if (phase == tlm::END_REQ)
      return tlm::TLM_ACCEPTED;
    broken += phase != tlm::BEGIN_RESP || response_ != nullptr;
    response_ = &p;
    answered.push_back(when);
    responses_.notify(p, t + to_sc(hold_));
    return tlm::TLM_ACCEPTED;
  }
  void end() {
    for (;;) {
      sc_core::wait(responses_.get_event());
      while (Payload *p = responses_.get_next_transaction()) {
        tlm::tlm_phase phase = tlm::END_RESP;
        sc_core::sc_time t = sc_core::SC_ZERO_TIME;
        response_ = nullptr;
        socket->nb_transport_fw(*p, phase, t);
        p->release();
      }
    }
  }
  unsigned count_;
  Ticks ahead_, hold_;
  Payload *request_ = nullptr, *response_ = nullptr;
  sc_core::sc_event request_ended_;
  tlm_utils::peq_with_get<Payload> responses_{"responses"};
};

// What a module with a ResponsePort may do: finish at once, take, or make wait.
class Server : public sc_core::sc_module {
public:
  ResponsePort<Server> port;
  Server(sc_core::sc_module_name name, Arrival manner, Ticks accept, Ticks serve)
      : sc_module(name), port("port", this, {nullptr, &Server::arrive, nullptr, nullptr}),
        agenda_(Agenda::of_simulation()), manner_(manner), accept_(accept), serve_(serve) {}
  std::vector<Ticks> arrived;

private:
  Arrival arrive(unsigned from, Payload &p, Ticks *when) {
    arrived.push_back(agenda_.now());
    p.set_response_status(tlm::TLM_OK_RESPONSE);
    from_[&p] = from;
    *when = agenda_.now() + serve_;
    if (manner_ == Arrival::TAKEN)
      agenda_.at<&Server::respond>(agenda_.now() + serve_, this, reinterpret_cast<uint64_t>(&p));
    if (manner_ == Arrival::NO_ROOM)
      agenda_.at<&Server::take>(agenda_.now() + accept_, this, reinterpret_cast<uint64_t>(&p));
    return manner_;
  }
  void take(uint64_t w) {
    auto *p = reinterpret_cast<Payload *>(w);
    port.take(from_.at(p), *p);
    agenda_.at<&Server::respond>(agenda_.now() + serve_, this, w);
  }
  void respond(uint64_t w) {
    auto *p = reinterpret_cast<Payload *>(w);
    port.respond(from_.at(p), *p);
  }
  Agenda &agenda_;
  Arrival manner_;
  Ticks accept_, serve_;
  std::unordered_map<Payload *, unsigned> from_;
};

std::vector<Ticks> ends(const Requester &r) {
  std::vector<Ticks> e;
  for (auto &i : r.items)
    e.push_back(i->end);
  return e;
}
std::vector<Ticks> accepted(const Requester &r) {
  std::vector<Ticks> e;
  for (auto &i : r.items)
    e.push_back(i->accepted);
  return e;
}

using Times = std::vector<Ticks>;

Times ns(std::initializer_list<Ticks> list) {
  Times t(list);
  for (Ticks &x : t)
    x *= NS;
  return t;
}

struct WithTarget {
  Simulation sim;
  Requester requester{"requester"};
  ForeignTarget target;
  WithTarget(Manner m, Ticks accept, Ticks serve) : target("target", m, accept, serve) {
    requester.port.socket.bind(target.socket);
  }
  void three() {
    for (unsigned n = 0; n < 3; n++)
      requester.plan(0, {n * 64});
    sim.run();
    EXPECT_EQ(target.broken, 0u);
    for (auto &i : requester.items)
      EXPECT_EQ(i->status, tlm::TLM_OK_RESPONSE);
  }
};

} // namespace

TEST(RequestPort, FourPhasesWithALateEndOfRequest) {
  WithTarget s(FOUR_PHASES, 10 * NS, 25 * NS);
  s.three();
  EXPECT_EQ(s.target.begun, ns({0, 10, 20}));
  EXPECT_EQ(accepted(s.requester), ns({10, 20, 30}));
  EXPECT_EQ(ends(s.requester), ns({35, 45, 55}));
  EXPECT_EQ(s.target.ended, ns({35, 45, 55}));
}

TEST(RequestPort, EndOfRequestReturnedAtOnce) {
  WithTarget s(END_REQ_AT_ONCE, 0, 25 * NS);
  s.three();
  EXPECT_EQ(s.target.begun, ns({0, 0, 0}));
  EXPECT_EQ(ends(s.requester), ns({25, 25, 25}));
}

TEST(RequestPort, ResponseReturnedAtOnceIsEndedByACall) {
  WithTarget s(RESPONSE_AT_ONCE, 0, 25 * NS);
  s.three();
  EXPECT_EQ(s.target.begun, ns({0, 25, 50})) << "the response says that the request was taken";
  EXPECT_EQ(ends(s.requester), ns({25, 50, 75}));
}

TEST(RequestPort, CompletedAtOnceLeavesRoomForTheNext) {
  WithTarget s(COMPLETED, 0, 25 * NS);
  s.three();
  EXPECT_EQ(s.target.begun, ns({0, 0, 0}));
  EXPECT_EQ(accepted(s.requester), ns({0, 0, 0}));
  EXPECT_EQ(ends(s.requester), ns({25, 25, 25}));
}

TEST(RequestPort, AResponseWithoutAnEndOfRequestSaysBoth) {
  WithTarget s(NO_END_REQ, 10 * NS, 25 * NS);
  s.three();
  EXPECT_EQ(s.target.begun, ns({0, 35, 70}));
  EXPECT_EQ(accepted(s.requester), ns({35, 70, 105}));
  EXPECT_EQ(ends(s.requester), ns({35, 70, 105}));
}

TEST(RequestPort, GivesItsPayloadsBack) {
  for (Manner m : {FOUR_PHASES, END_REQ_AT_ONCE, RESPONSE_AT_ONCE, COMPLETED, NO_END_REQ}) {
    WithTarget s(m, 1 * NS, 2 * NS);
    s.three();
    EXPECT_EQ(s.requester.port.waiting(), 0u);
    EXPECT_EQ(s.requester.payloads_in_use(), 0u);
  }
}

TEST(ResponsePort, TakenAtOnceAndAnsweredLater) {
  Simulation sim;
  Server server("server", Arrival::TAKEN, 0, 20 * NS);
  ForeignInitiator foreign("foreign", 3, 0, 0);
  foreign.socket.bind(server.port.socket);
  sim.run();
  EXPECT_EQ(server.arrived, ns({0, 0, 0}));
  EXPECT_EQ(foreign.taken, ns({0, 0, 0}));
  EXPECT_EQ(foreign.answered, ns({20, 20, 20}));
  EXPECT_EQ(foreign.broken, 0u);
  EXPECT_EQ(foreign.pool.in_use(), 0u);
}

TEST(ResponsePort, ALateEndOfResponseHoldsUpTheNextOne) {
  Simulation sim;
  Server server("server", Arrival::TAKEN, 0, 20 * NS);
  ForeignInitiator foreign("foreign", 3, 0, 7 * NS);
  foreign.socket.bind(server.port.socket);
  sim.run();
  EXPECT_EQ(foreign.answered, ns({20, 27, 34}));
  EXPECT_EQ(foreign.broken, 0u);
  EXPECT_EQ(foreign.pool.in_use(), 0u);
}

TEST(ResponsePort, ALateEndOfRequestHoldsUpTheNextOne) {
  Simulation sim;
  Server server("server", Arrival::NO_ROOM, 5 * NS, 20 * NS);
  ForeignInitiator foreign("foreign", 3, 0, 7 * NS);
  foreign.socket.bind(server.port.socket);
  sim.run();
  EXPECT_EQ(server.arrived, ns({0, 5, 10}));
  EXPECT_EQ(foreign.taken, ns({5, 10, 15}));
  EXPECT_EQ(foreign.answered, ns({25, 32, 39}));
  EXPECT_EQ(foreign.broken, 0u);
  EXPECT_EQ(foreign.pool.in_use(), 0u);
}

TEST(ResponsePort, FinishedAtOnceIsOneCall) {
  Simulation sim;
  Server server("server", Arrival::FINISHED, 0, 20 * NS);
  ForeignInitiator foreign("foreign", 3, 0, 7 * NS);
  foreign.socket.bind(server.port.socket);
  sim.run();
  EXPECT_EQ(foreign.answered, ns({20, 20, 20}));
  EXPECT_EQ(foreign.pool.in_use(), 0u);
}

// The initiator is ahead of the kernel: its requests arrive when their annotation says.
TEST(ResponsePort, AnAnnotatedRequestArrivesLater) {
  for (Arrival manner : {Arrival::TAKEN, Arrival::NO_ROOM, Arrival::FINISHED}) {
    Simulation sim;
    Server server("server", manner, 5 * NS, 20 * NS);
    ForeignInitiator foreign("foreign", 2, 30 * NS, 0);
    foreign.socket.bind(server.port.socket);
    sim.run();
    ASSERT_EQ(server.arrived.size(), 2u);
    EXPECT_EQ(server.arrived[0], 30 * NS);
    Ticks wait = manner == Arrival::NO_ROOM ? 5 * NS : 0;
    EXPECT_EQ(foreign.taken[0], 30 * NS + wait);
    EXPECT_EQ(foreign.answered[0], 50 * NS + wait);
    EXPECT_EQ(server.arrived[1], foreign.taken[0] + 30 * NS) << "as soon as the first is taken";
    EXPECT_EQ(foreign.broken, 0u);
    EXPECT_EQ(foreign.pool.in_use(), 0u);
  }
}

TEST(Ports, AnyMannersTogetherEndEveryRequest) {
  std::mt19937_64 random(21);
  for (unsigned round = 0; round < 30; round++) {
    Simulation sim;
    Server server("server", static_cast<Arrival>(random() % 3), random() % 9000, random() % 30000);
    ForeignInitiator a("a", 50, random() % 2 * 3 * NS, random() % 9000);
    ForeignInitiator b("b", 50, random() % 2 * 3 * NS, 1 + random() % 9000);
    Requester own("own");
    a.socket.bind(server.port.socket);
    b.socket.bind(server.port.socket);
    own.port.socket.bind(server.port.socket);
    for (unsigned n = 0; n < 50; n++)
      own.plan(random() % (1 * US), {n * 64});
    sim.run();
    EXPECT_EQ(server.arrived.size(), 150u);
    EXPECT_EQ(a.answered.size() + b.answered.size(), 100u);
    EXPECT_EQ(a.broken + b.broken, 0u);
    EXPECT_EQ(a.pool.in_use() + b.pool.in_use(), 0u);
    for (auto &i : own.items)
      EXPECT_TRUE(i->ended);
    EXPECT_EQ(own.port.waiting(), 0u);
  }
}

TEST(Ports, TheSameBetweenTwoOfOurs) {
  Simulation sim;
  Server server("server", Arrival::NO_ROOM, 5 * NS, 20 * NS);
  Requester own("own");
  own.port.socket.bind(server.port.socket);
  for (unsigned n = 0; n < 3; n++)
    own.plan(0, {n * 64});
  sim.run();
  EXPECT_EQ(accepted(own), ns({5, 10, 15}));
  EXPECT_EQ(ends(own), ns({25, 30, 35}));
}
