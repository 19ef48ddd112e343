// SPDX-License-Identifier: Apache-2.0
// DMI and debug transport: translations that leave no trace. They walk the tables afresh by debug reads, look into no cache,
// set no bit, record no fault.
#include "model/iommu_impl.h"

#include <algorithm>

namespace ims::model {

// False where the translation faults, or would have to set a bit in a table first.
bool IommuImpl::look(const ims_request &r, ims_result *res) {
  ims_xlate x;
  ims_xlate_begin(&x, unit_, &r, res);
  for (;;) {
    switch (ims_xlate_step(&x)) {
    case IMS_STEP_PROBE: x.port.answer.hit = false; break;
    case IMS_STEP_FILL: break;
    case IMS_STEP_READ: {
      Payload &p = walk_payloads_.get();
      p.get_extension<WalkExtension>()->swap = false;
      set_payload(p, tlm::TLM_READ_COMMAND, x.port.step.hpa, x.port.answer.data, x.port.step.len);
      x.port.answer.ok = memory_.socket->transport_dbg(p) == x.port.step.len;
      p.release();
      break;
    }
    case IMS_STEP_DONE: return res->status == IMS_STATUS_OK || res->status == IMS_STATUS_BYPASS;
    default: return false;
    }
  }
}

// A page, as far as the memory behind it can be had directly. What it takes is what a hit in the IOTLB takes.
bool IommuImpl::device_dmi(unsigned, Payload &p, tlm::tlm_dmi &dmi) {
  const auto *e = p.get_extension<DmaExtension>();
  ims_request r;
  ims_result res;
  dmi.set_start_address(p.get_address());
  dmi.set_end_address(p.get_address());
  dmi.allow_none();
  take_request(p, e, &r);
  if (refuse_dmi_ || r.type == IMS_TRANSLATION_REQUEST || r.type == IMS_PAGE_REQUEST || !look(r, &res))
    return false;
  const uint64_t iova = p.get_address(), mask = (uint64_t{1} << std::max<unsigned>(res.shift, 12)) - 1;
  const uint64_t base = res.output - (iova & mask); // the page's hpa
  tlm::tlm_dmi behind;
  p.set_address(res.output);
  bool granted = memory_.socket->get_direct_mem_ptr(p, behind);
  p.set_address(iova);
  if (!granted || behind.get_start_address() > res.output || behind.get_end_address() < res.output)
    return false;
  const uint64_t first = std::max<uint64_t>(base, behind.get_start_address());
  const uint64_t last = std::min<uint64_t>(base + mask, behind.get_end_address());
  Ticks time = config_.request_ns + config_.response_ns;
  for (unsigned c : {IMS_CACHE_CONTEXT, IMS_CACHE_PASID, IMS_CACHE_IOTLB})
    if (unit_->caches >> c & 1)
      time += c == IMS_CACHE_IOTLB && has_first_level() ? config_.utlb_ns : look_cost_[look_up_of(c)];
  dmi.set_dmi_ptr(behind.get_dmi_ptr() + (first - behind.get_start_address()));
  dmi.set_start_address((iova & ~mask) + (first - base));
  dmi.set_end_address((iova & ~mask) + (last - base));
  dmi.set_read_latency(behind.get_read_latency() + to_sc(time));
  dmi.set_write_latency(behind.get_write_latency() + to_sc(time));
  // A read's translation may hold for writes by its rights, but their dirty bits are not set yet.
  if ((r.access & IMS_ACC_W) && behind.is_write_allowed()) {
    if ((res.rights & IMS_PERM_R) && behind.is_read_allowed())
      dmi.allow_read_write();
    else
      dmi.allow_write();
  } else if (!(r.access & IMS_ACC_W) && behind.is_read_allowed()) {
    dmi.allow_read();
  } else {
    return false;
  }
  dmi_out_ = true;
  count_.dmi_granted++;
  return true;
}

void IommuImpl::memory_withdrawn(uint64_t, uint64_t) {
  direct_valid_ = false;
  bus_invalidated(this);
}

// Page by page; stops where one does not translate.
unsigned IommuImpl::device_debug(unsigned, Payload &p) {
  const auto *e = p.get_extension<DmaExtension>();
  const uint64_t iova = p.get_address();
  unsigned char *data = p.get_data_ptr();
  const unsigned length = p.get_data_length();
  unsigned done = 0;
  while (done < length) {
    ims_request r;
    ims_result res;
    p.set_address(iova + done);
    take_request(p, e, &r);
    if (!look(r, &res))
      break;
    unsigned piece = std::min<unsigned>(length - done, 4096 - static_cast<unsigned>((iova + done) & 4095));
    p.set_address(res.output);
    p.set_data_ptr(data + done);
    p.set_data_length(piece);
    unsigned moved = memory_.socket->transport_dbg(p);
    done += moved;
    if (moved < piece)
      break;
  }
  p.set_address(iova);
  p.set_data_ptr(data);
  p.set_data_length(length);
  return done;
}

// What the unit itself reads and writes beside the steps of translations: its queue, its logs, words of completion.
bool IommuImpl::debug(tlm::tlm_command command, uint64_t hpa, void *data, size_t length) {
  Payload &p = fetch_payloads_.get();
  auto *w = p.get_extension<WalkExtension>();
  w->what = IMS_STRUCT_COUNT;
  w->level = 0;
  w->swap = false;
  auto *bytes = static_cast<unsigned char *>(data);
  bool ok = true;
  while (ok && length) { // a payload's length has 32 bits
    auto piece = static_cast<uint32_t>(std::min<size_t>(length, 1u << 30));
    set_payload(p, command, hpa, bytes, piece);
    ok = memory_.socket->transport_dbg(p) == piece;
    hpa += piece;
    bytes += piece;
    length -= piece;
  }
  p.release();
  return ok;
}

ims_mem_remote Iommu::behind() {
  ims_mem_remote r = {};
  r.ctx = impl_.get();
  r.read = [](void *ctx, uint64_t hpa, void *buf, size_t len) -> int {
    return static_cast<IommuImpl *>(ctx)->debug(tlm::TLM_READ_COMMAND, hpa, buf, len) ? IMS_ERR_OK : IMS_ERR_BUS;
  };
  r.write = [](void *ctx, uint64_t hpa, const void *buf, size_t len) -> int {
    return static_cast<IommuImpl *>(ctx)->debug(tlm::TLM_WRITE_COMMAND, hpa, const_cast<void *>(buf), len)
               ? IMS_ERR_OK
               : IMS_ERR_BUS;
  };
  return r;
}

} // namespace ims::model
