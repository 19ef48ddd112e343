// SPDX-License-Identifier: Apache-2.0
// A DMA engine of somebody else's. What makes its transactions DMAs to the IOMMU is one extension of the payload, which
// says who asks; what became of the translation comes back in it.
#pragma once

#include "model/extension.h"

#include <systemc>
#include <tlm_utils/simple_initiator_socket.h>

class Dma : public sc_core::sc_module, tlm::tlm_mm_interface {
public:
  tlm_utils::simple_initiator_socket<Dma> socket;

  Dma(sc_core::sc_module_name name, uint32_t source, uint32_t pasid)
      : sc_module(name), socket("socket"), source_(source), pasid_(pasid) {
    socket.register_nb_transport_bw(this, &Dma::nb_transport_bw);
  }

  struct Outcome {
    bool ok;
    ims_result result; // the IOMMU's: status, fault, hpa, how many reads it took
    sc_core::sc_time took;
  };

  // Called by a thread, which waits for the end. `timed`: nb_transport, where resources are finite; else b_transport.
  Outcome access(bool write, uint64_t iova, void *data, unsigned bytes, bool timed = true) {
    tlm::tlm_generic_payload p(this);
    ims::model::DmaExtension who;
    who.source = source_;
    who.pasid = pasid_;
    who.has_pasid = true;
    p.set_extension(&who);
    p.set_command(write ? tlm::TLM_WRITE_COMMAND : tlm::TLM_READ_COMMAND);
    p.set_address(iova);
    p.set_data_ptr(static_cast<unsigned char *>(data));
    p.set_data_length(bytes);
    p.set_streaming_width(bytes);
    p.acquire();
    sc_core::sc_time begin = sc_core::sc_time_stamp();
    if (timed)
      transport(p);
    else {
      sc_core::sc_time t = sc_core::SC_ZERO_TIME;
      socket->b_transport(p, t);
      sc_core::wait(t);
    }
    while (p.get_ref_count() > 1) // others let go of it within this instant
      sc_core::wait(sc_core::SC_ZERO_TIME);
    p.clear_extension(&who);
    return {p.is_response_ok(), who.result, sc_core::sc_time_stamp() - begin};
  }

private:
  void transport(tlm::tlm_generic_payload &p) {
    tlm::tlm_phase phase = tlm::BEGIN_REQ;
    sc_core::sc_time t = sc_core::SC_ZERO_TIME;
    if (socket->nb_transport_fw(p, phase, t) == tlm::TLM_COMPLETED)
      sc_core::wait(t);
    else
      sc_core::wait(answered_); // nb_transport_bw hears of it
  }
  tlm::tlm_sync_enum nb_transport_bw(tlm::tlm_generic_payload &, tlm::tlm_phase &phase, sc_core::sc_time &t) {
    if (phase != tlm::BEGIN_RESP)
      return tlm::TLM_ACCEPTED; // END_REQ: it has only one request under way
    answered_.notify(t);
    return tlm::TLM_COMPLETED;
  }
  void free(tlm::tlm_generic_payload *) override {}

  uint32_t source_, pasid_;
  sc_core::sc_event answered_;
};
