// SPDX-License-Identifier: Apache-2.0
// What a timed model needs of a unit: it has no queue, tells of invalidations, and translations may be given up.
#include "tests/iommu/smmuv2/world.h"

namespace smmu2 {
namespace {

TEST(QueueItems, AreNone) {
  World w;
  ims_queue_item item;
  EXPECT_FALSE(ims_queue_next(w.unit(), &item));
  EXPECT_EQ(IMS_QUEUE_EMPTY, item.kind);
  ims_queue_step(w.unit());
  EXPECT_GOES(w.request(dma(kFirst, kVa)), kPage);
}

TEST(Invalidated, IsToldByEachOperation) {
  World w;
  EXPECT_GOES(w.request(dma(kFirst, kVa)), kPage);
  struct Told {
    unsigned times = 0;
    uint32_t left = 0;
    ims_iommu *unit;
  } told;
  told.unit = w.unit();
  ims_iommu_bus bus = w.unit()->bus;
  w.unit()->bus.ctx = &told;
  w.unit()->bus.invalidated = [](void *ctx) {
    Told *t = static_cast<Told *>(ctx);
    t->times++;
    t->left = t->unit->cache[IMS_CACHE_IOTLB].present;
  };
  uint32_t bank = ims_smmuv2_cb_offset(&w.cfg, kBankFirst);
  EXPECT_EQ(1u, w.unit()->cache[IMS_CACHE_IOTLB].present);
  ims_iommu_write(w.unit(), bank + ims_smmuv2_cb_regs[IMS_SMMUV2_CB_TLBIASID].offset, 4, kAsidFirst);
  EXPECT_EQ(1u, told.times);
  EXPECT_EQ(0u, told.left);
  ims_iommu_write(w.unit(), ims_smmuv2_gr0_regs[IMS_SMMUV2_TLBIALLNSNH].offset, 4, 0);
  EXPECT_EQ(2u, told.times);
  uint32_t second = ims_smmuv2_cb_offset(&w.cfg, kBankSecond);
  ims_iommu_write(w.unit(), second + ims_smmuv2_cb_regs[IMS_SMMUV2_CB_TLBIIPAS2].offset, 8, kVa >> 12);
  EXPECT_EQ(3u, told.times);
  w.unit()->bus = bus;
}

std::string state(ims_iommu *u) {
  std::string s = std::to_string(u->count.faults) + " " + std::to_string(u->count.faults_recorded) + " " +
                  std::to_string(u->count.requests) + " " + std::to_string(ims_smmuv2_vmid_mismatches(u)) + "\n";
  ims_smmuv2_each(
      u,
      [](void *to, const char *name, uint64_t value) {
        *static_cast<std::string *>(to) += std::string(name) + " " + std::to_string(value) + "\n";
      },
      &s);
  ims_smmuv2_stalled stalled;
  for (unsigned i = 0; ims_smmuv2_stalled_at(u, i, &stalled); i++)
    s += "waits " + std::to_string(stalled.source) + "\n";
  return s;
}

// A nested stream whose banks disagree on the VMID and whose faults stall: begun and given up after n answers.
TEST(GivenUp, LeavesNothingBehind) {
  for (bool fault : {false, true}) {
    Config c = Config().no_caches();
    World w(c);
    w.put(IMS_SMMUV2_CBAR, kBankHost, kVmidBoth + 1);
    w.put(IMS_SMMUV2_CB_SCTLR, kBankBoth, kUsual | kCfcfg);
    ims_request r = dma(kBoth, fault ? kVa + 4096 : kVa);
    for (unsigned n = 0; n < 40; n++) {
      std::string before = state(w.unit());
      ims_xlate x;
      ims_result res;
      ims_xlate_begin(&x, w.unit(), &r, &res);
      ims_step_kind kind = ims_xlate_step(&x);
      for (unsigned i = 0; i < n && kind != IMS_STEP_DONE && kind != IMS_STEP_FAULT; i++) {
        ims_xlate_answer(&x, kind);
        kind = ims_xlate_step(&x);
      }
      ASSERT_EQ(before, state(w.unit())) << n;
    }
    EXPECT_EQ(fault ? IMS_STATUS_STALL : IMS_STATUS_OK, w.request(r).status);
    EXPECT_EQ(1u, ims_smmuv2_vmid_mismatches(w.unit()));
  }
}

} // namespace
} // namespace smmu2
