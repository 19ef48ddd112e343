// SPDX-License-Identifier: Apache-2.0
// One SMMUv3 after power-on over a little memory, and what it sends: for tests of registers and of the event queue, which
// set up by themselves what they need.
#pragma once

#include "iommu/smmuv3/smmuv3.h"

#include <gtest/gtest.h>

#include <functional>
#include <vector>

namespace smmuv3 {

constexpr uint64_t kMemory = 16 << 20; // memory is [0, 16 MB)
constexpr uint64_t kAbsent = 1ull << 33;

struct Features : ims_smmuv3_config {
  Features() { ims_smmuv3_config_default(this); }
};

struct Message {
  uint64_t addr;
  uint32_t data;
  bool operator==(const Message &o) const { return addr == o.addr && data == o.data; }
};

struct Resume {
  uint32_t source;
  uint16_t stag;
  uint8_t action;
  bool operator==(const Resume &o) const { return source == o.source && stag == o.stag && action == o.action; }
};

class BareUnit {
public:
  explicit BareUnit(const Features &features = Features(), bool with_bus = true) : cfg(features) {
    ims_mem_init(&mem);
    EXPECT_EQ(IMS_ERR_OK, ims_mem_add_ram(&mem, 0, kMemory));
    ims_iommu_bus bus = {};
    bus.ctx = this;
    bus.message = [](void *self, uint64_t addr, uint32_t data) {
      auto *t = static_cast<BareUnit *>(self);
      t->messages.push_back({addr, data});
      if (t->on_message)
        t->on_message();
    };
    bus.resume = [](void *self, const ims_resume *r) {
      static_cast<BareUnit *>(self)->resumed.push_back({r->source, r->stag, r->action});
    };
    EXPECT_EQ(IMS_ERR_OK, ims_smmuv3_new(&unit, &cfg, &mem, with_bus ? &bus : nullptr));
  }
  ~BareUnit() {
    ims_iommu_free(unit);
    ims_mem_fini(&mem);
  }
  BareUnit(const BareUnit &) = delete;
  BareUnit &operator=(const BareUnit &) = delete;

  uint64_t read(uint32_t offset, unsigned size) { return ims_iommu_read(unit, offset, size); }
  void write(uint32_t offset, unsigned size, uint64_t value) { ims_iommu_write(unit, offset, size, value); }
  uint64_t get(ims_smmuv3_reg r) { return read(ims_smmuv3_regs[r].offset, ims_smmuv3_regs[r].bytes); }
  void put(ims_smmuv3_reg r, uint64_t value) { write(ims_smmuv3_regs[r].offset, ims_smmuv3_regs[r].bytes, value); }
  uint64_t raw(ims_smmuv3_reg r) const { return ims_smmuv3_peek(unit, r); }

  uint64_t load(uint64_t hpa) {
    uint64_t value = 0;
    EXPECT_EQ(IMS_ERR_OK, ims_mem_load64(&mem, hpa, &value));
    return value;
  }
  void store(uint64_t hpa, uint64_t value) { EXPECT_EQ(IMS_ERR_OK, ims_mem_store64(&mem, hpa, value)); }

  ims_result request(uint32_t source, uint64_t iova, unsigned access = IMS_ACC_R) {
    ims_request r = {};
    r.source = source;
    r.iova = iova;
    r.access = static_cast<uint8_t>(access);
    ims_result res;
    ims_translate(unit, &r, &res);
    return res;
  }

  const Features cfg;
  ims_mem mem;
  ims_iommu *unit = nullptr;
  std::vector<Message> messages;
  std::vector<Resume> resumed;
  std::function<void()> on_message; // while the unit sends it
};

} // namespace smmuv3
