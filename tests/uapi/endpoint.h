// SPDX-License-Identifier: Apache-2.0
// Device functions with a device TLB and page requests (iommu/device.h), wired to the units of a test machine, and a fault
// queue as a VMM uses it.
#pragma once

#include "iommu/device.h"
#include "tests/uapi/iommufd_client.h"
#include <map>

namespace uapi_test {

class Endpoints;

class Endpoint {
public:
  Endpoint(Endpoints &all, ims_device *dev, uint32_t page_requests = 512);
  ~Endpoint();
  Endpoint(const Endpoint &) = delete;
  Endpoint &operator=(const Endpoint &) = delete;

  // PASID < 0: none.
  ims_dma_end Dma(uint64_t iova, unsigned access = IMS_ACC_R, int64_t pasid = -1, bool ats = true, void *data = nullptr,
                  uint64_t len = 8) {
    ims_dma d{};
    d.iova = iova;
    d.len = len;
    d.has_pasid = pasid >= 0;
    d.pasid = pasid < 0 ? 0 : static_cast<uint32_t>(pasid);
    d.access = static_cast<uint8_t>(access);
    d.ats = ats;
    d.data = data;
    ims_dma_end end = IMS_DMA_REFUSED;
    EXPECT_EQ(ims_endpoint_dma(&e, &d, nullptr, nullptr, &end, nullptr), IMS_ERR_OK);
    return end;
  }
  // group: 0xffff opens one and becomes it. An enum ims_error.
  int Ask(uint64_t addr, bool write, int64_t pasid, bool last, uint16_t *group) {
    ims_endpoint_page_request r{};
    r.addr = addr;
    r.has_pasid = pasid >= 0;
    r.pasid = pasid < 0 ? 0 : static_cast<uint32_t>(pasid);
    r.read = !write;
    r.write = write;
    r.last = last;
    return ims_endpoint_request_page(&e, &r, group);
  }
  // A group of one request; the group's number.
  uint16_t Ask(uint64_t addr, bool write = false, int64_t pasid = -1) {
    uint16_t group = 0xffff;
    EXPECT_EQ(Ask(addr, write, pasid, true, &group), IMS_ERR_OK);
    return group;
  }

  ims_endpoint e{};
  ims_device *dev;
  std::vector<ims_page_response> responses;
  std::vector<ims_dma_end> outcomes; // of DMAs that had stalled
private:
  friend class Endpoints;
  Endpoints &all_;
};

// Hands what the units send to the function whose it is. Lives shorter than the machine.
class Endpoints {
public:
  explicit Endpoints(Machine &machine) : m(machine) {
    m.on_invalidate = [this](const ims_ats_invalidation &inv) {
      auto at = of_.find(inv.source);
      return at == of_.end() || ims_endpoint_invalidate(&at->second->e, &inv);
    };
    m.on_response = [this](const ims_page_response &r) {
      auto at = of_.find(r.source);
      if (at == of_.end())
        return;
      at->second->responses.push_back(r);
      ims_endpoint_response(&at->second->e, &r);
    };
    m.on_resume = [this](const ims_resume &r) {
      auto at = of_.find(r.source);
      ims_dma_end end = IMS_DMA_REFUSED;
      if (at != of_.end() && ims_endpoint_resume(&at->second->e, &r, nullptr, nullptr, &end, nullptr) == IMS_ERR_OK)
        at->second->outcomes.push_back(end);
    };
  }
  ~Endpoints() {
    m.on_invalidate = nullptr;
    m.on_response = nullptr;
    m.on_resume = nullptr;
  }
  Machine &m;

private:
  friend class Endpoint;
  std::map<uint32_t, Endpoint *> of_; // by source: tests give each function of a machine its own
};

inline Endpoint::Endpoint(Endpoints &all, ims_device *d, uint32_t page_requests) : dev(d), all_(all) {
  const ims_device_config *c = ims_device_config_of(d);
  ims_endpoint_config config{};
  config.source = c->source;
  config.atc_entries = 64;
  config.page_requests = page_requests;
  EXPECT_EQ(ims_endpoint_init(&e, all.m.units.at(c->unit), &config), IMS_ERR_OK);
  EXPECT_TRUE(all.of_.emplace(c->source, this).second);
}
inline Endpoint::~Endpoint() {
  all_.of_.erase(e.config.source);
  ims_endpoint_fini(&e);
}

// A fault queue and its file.
class FaultQueue {
public:
  explicit FaultQueue(Client &client) : c(client) {
    ims_iommu_fault_alloc a{};
    EXPECT_EQ(c.Call(IMS_IOMMU_FAULT_QUEUE_ALLOC, &a), 0);
    id = a.out_fault_id;
    file = ims_process_file(c.process, static_cast<int>(a.out_fault_fd));
    EXPECT_NE(file, nullptr);
  }
  static constexpr uint64_t kBuf = Arena::kBase + 2048; // room for 51 records
  long ReadRaw(size_t bytes, uint64_t buf = kBuf) { return ims_read(file, buf, bytes, 0); }
  std::vector<ims_iommu_hwpt_pgfault> Read(size_t most = 51) {
    long n = ReadRaw(most * sizeof(ims_iommu_hwpt_pgfault));
    EXPECT_GE(n, 0);
    std::vector<ims_iommu_hwpt_pgfault> out;
    for (long at = 0; at < n; at += static_cast<long>(sizeof out[0]))
      out.push_back(c.m.arena.Get<ims_iommu_hwpt_pgfault>(kBuf + static_cast<uint64_t>(at)));
    return out;
  }
  long Answer(uint32_t cookie, uint32_t code = IMS_PAGE_RESPONSE_SUCCESS) {
    return ims_write(file, c.m.arena.Put(ims_iommu_hwpt_page_response{cookie, code}, kBuf), 8, 0);
  }
  bool Waiting() { return ims_poll(file) & IMS_POLLIN; }

  Client &c;
  uint32_t id = 0;
  ims_file *file = nullptr;
};

} // namespace uapi_test
