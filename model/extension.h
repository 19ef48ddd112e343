// SPDX-License-Identifier: Apache-2.0
// What rides on a TLM generic payload here. A DMA carries a DmaExtension: who asks, and what became of it. What the IOMMU
// itself reads and writes (tables, configuration, queues) carries a WalkExtension: what it is, so that a memory can treat
// it apart. Both are ignorable: modules that do not know them work all the same.
#pragma once

#include "iommu/iommu.h"
#include "model/time.h"

#include <tlm>

namespace ims::model {

// Of a request to an IOMMU: a DMA, an ATS translation request (TLM_IGNORE_COMMAND; the answer is in `result`), a
// translated request, a page request (TLM_IGNORE_COMMAND, `page`).
//
// The payload says address (the iova), command, length and data. With TLM_IGNORE_COMMAND on an untranslated or translated
// request the access is `access`, of `bytes` bytes: it takes the time of a DMA and moves no data.
struct DmaExtension : tlm::tlm_extension<DmaExtension> {
  // Who asks, and how. Set by the initiator.
  uint32_t source = 0; // requester id or StreamID
  uint32_t pasid = 0;  // or SubstreamID, with has_pasid
  bool has_pasid = false;
  bool privileged = false, execute = false;
  bool atomic = false;   // reads and writes
  bool no_write = false; // NW of a translation request
  bool stall_returns =
      false; // a stall is an answer (IMS_STATUS_STALL); else the IOMMU holds the request until it is resumed
  uint8_t type = IMS_UNTRANSLATED; // enum ims_request_type
  uint8_t access = IMS_ACC_R;      // with TLM_IGNORE_COMMAND: IMS_ACC_R, W
  uint32_t bytes = 0;              // with TLM_IGNORE_COMMAND
  struct ims_page_request page = {};
  void *holder = nullptr; // of the IOMMU that has it in hand; nobody else's business
  Ticks issued = 0;       // by the device: where its latency is counted from

  // What became of it. Set by the IOMMU.
  struct ims_result result = {};
  bool dropped = false;    // the pending-translation buffer was full (policy drop): nothing was translated
  bool translated = false; // behind the IOMMU: the payload's address is an hpa

  tlm::tlm_extension_base *clone() const override { return new DmaExtension(*this); }
  void copy_from(const tlm::tlm_extension_base &other) override { *this = static_cast<const DmaExtension &>(other); }
};

// Of what an IOMMU reads or writes on its own account.
struct WalkExtension : tlm::tlm_extension<WalkExtension> {
  uint8_t what = 0;  // enum ims_structure; IMS_STRUCT_COUNT: a queue or a log
  uint8_t level = 0; // of a table entry, 1 = last

  // Compare-and-swap of 8 bytes, on a TLM_READ_COMMAND: a memory that knows this stores `desired` if it finds `expected`,
  // returns what it found as the data read, and sets `swapped_here`. Elsewhere it is a plain read, and a write follows.
  bool swap = false, swapped_here = false;
  uint64_t expected = 0, desired = 0;

  tlm::tlm_extension_base *clone() const override { return new WalkExtension(*this); }
  void copy_from(const tlm::tlm_extension_base &other) override { *this = static_cast<const WalkExtension &>(other); }
};

// From an IOMMU to a device, on a TLM_IGNORE_COMMAND to its message socket. The response to an invalidation is the device's
// answer: with TLM_OK it is done, anything else is no answer in time.
struct MessageExtension : tlm::tlm_extension<MessageExtension> {
  enum Kind : uint8_t { INVALIDATE, PAGE_RESPONSE, RESUME } kind = INVALIDATE;
  struct ims_ats_invalidation invalidate = {};
  struct ims_page_response response = {};
  struct ims_resume resume = {};

  tlm::tlm_extension_base *clone() const override { return new MessageExtension(*this); }
  void copy_from(const tlm::tlm_extension_base &other) override {
    *this = static_cast<const MessageExtension &>(other);
  }
};

// Payloads that are used again, each with an extension of its own that stays on it. get() returns one with reference
// count 1, reset to TLM_INCOMPLETE_RESPONSE, without data; release() of the last reference brings it back.
template <class Extension> class PayloadPool : public tlm::tlm_mm_interface {
public:
  ~PayloadPool() override {
    for (tlm::tlm_generic_payload *p : all_) {
      p->free_all_extensions();
      delete p;
    }
  }
  tlm::tlm_generic_payload &get() {
    if (free_.empty()) {
      all_.push_back(new tlm::tlm_generic_payload(this));
      all_.back()->set_extension(new Extension);
      free_.push_back(all_.back());
    }
    tlm::tlm_generic_payload *p = free_.back();
    free_.pop_back();
    p->acquire();
    p->set_response_status(tlm::TLM_INCOMPLETE_RESPONSE);
    p->set_byte_enable_ptr(nullptr);
    p->set_dmi_allowed(false);
    p->set_streaming_width(p->get_data_length());
    return *p;
  }
  void free(tlm::tlm_generic_payload *p) override { free_.push_back(p); }
  size_t in_use() const { return all_.size() - free_.size(); }

private:
  std::vector<tlm::tlm_generic_payload *> all_, free_;
};

// Sets what a transaction is, all at once.
inline void set_payload(tlm::tlm_generic_payload &p, tlm::tlm_command command, uint64_t address, void *data,
                        uint32_t bytes) {
  p.set_command(command);
  p.set_address(address);
  p.set_data_ptr(static_cast<unsigned char *>(data));
  p.set_data_length(bytes);
  p.set_streaming_width(bytes);
  p.set_response_status(tlm::TLM_INCOMPLETE_RESPONSE);
}

// How many bytes a transaction moves, whether it carries them or not.
inline uint32_t bytes_of(const tlm::tlm_generic_payload &p) {
  if (p.get_command() != tlm::TLM_IGNORE_COMMAND)
    return p.get_data_length();
  const auto *dma = p.get_extension<DmaExtension>();
  return dma ? dma->bytes : 0;
}

// Whether it writes: the command, or with TLM_IGNORE_COMMAND what the DMA would do.
inline bool writes(const tlm::tlm_generic_payload &p) {
  if (p.get_command() != tlm::TLM_IGNORE_COMMAND)
    return p.is_write();
  const auto *dma = p.get_extension<DmaExtension>();
  return dma && (dma->access & IMS_ACC_W);
}

} // namespace ims::model
