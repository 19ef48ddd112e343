// SPDX-License-Identifier: Apache-2.0
// A memory as any platform has one: TLM-2.0 base protocol, plain tlm_utils, bytes in a std::vector. It knows nothing of
// iommusim, and any other memory would do: all that the IOMMU reads and writes comes to it as transactions.
#pragma once

#include <cstring>
#include <deque>
#include <systemc>
#include <tlm>
#include <tlm_utils/peq_with_cb_and_phase.h>
#include <tlm_utils/simple_target_socket.h>
#include <vector>

class Ram : public sc_core::sc_module {
public:
  tlm_utils::simple_target_socket<Ram> socket;
  unsigned transactions = 0;

  Ram(sc_core::sc_module_name name, size_t size, sc_core::sc_time latency)
      : sc_module(name), socket("socket"), bytes_(size), latency_(latency), queue_(this, &Ram::phase) {
    socket.register_b_transport(this, &Ram::b_transport);
    socket.register_nb_transport_fw(this, &Ram::nb_transport_fw);
    socket.register_transport_dbg(this, &Ram::transport_dbg);
  }

private:
  using Payload = tlm::tlm_generic_payload;

  // Moves the bytes; how many were moved.
  unsigned transport_dbg(Payload &p) {
    uint64_t at = p.get_address();
    unsigned n = p.get_data_length();
    if (at >= bytes_.size() || n > bytes_.size() - at)
      return 0;
    if (p.is_read())
      memcpy(p.get_data_ptr(), &bytes_[at], n);
    else if (p.is_write())
      memcpy(&bytes_[at], p.get_data_ptr(), n);
    return n;
  }
  void access(Payload &p) {
    transactions++;
    bool ok = !p.get_byte_enable_ptr() && transport_dbg(p) == p.get_data_length();
    p.set_response_status(ok ? tlm::TLM_OK_RESPONSE : tlm::TLM_ADDRESS_ERROR_RESPONSE);
  }

  // Loosely timed.
  void b_transport(Payload &p, sc_core::sc_time &t) {
    access(p);
    t += latency_;
  }

  // Approximately timed, in four phases: the request is taken at once, the response begins when the latency is over, and
  // the next response when the initiator has ended the one before.
  tlm::tlm_sync_enum nb_transport_fw(Payload &p, tlm::tlm_phase &phase, sc_core::sc_time &t) {
    if (phase == tlm::BEGIN_REQ)
      p.acquire();
    queue_.notify(p, phase, t);
    return tlm::TLM_ACCEPTED;
  }
  void phase(Payload &p, const tlm::tlm_phase &phase) {
    if (phase == tlm::BEGIN_REQ) {
      access(p);
      tlm::tlm_phase taken = tlm::END_REQ;
      sc_core::sc_time now = sc_core::SC_ZERO_TIME;
      socket->nb_transport_bw(p, taken, now);
      queue_.notify(p, tlm::BEGIN_RESP, latency_);
    } else if (phase == tlm::BEGIN_RESP) {
      ready_.push_back(&p);
      if (ready_.size() == 1)
        respond();
    } else if (phase == tlm::END_RESP) {
      ready_.front()->release();
      ready_.pop_front();
      if (!ready_.empty())
        respond();
    }
  }
  void respond() {
    tlm::tlm_phase phase = tlm::BEGIN_RESP;
    sc_core::sc_time now = sc_core::SC_ZERO_TIME;
    if (socket->nb_transport_bw(*ready_.front(), phase, now) == tlm::TLM_COMPLETED)
      queue_.notify(*ready_.front(), tlm::END_RESP, now);
  }

  std::vector<unsigned char> bytes_;
  sc_core::sc_time latency_;
  tlm_utils::peq_with_cb_and_phase<Ram> queue_;
  std::deque<Payload *> ready_;
};
