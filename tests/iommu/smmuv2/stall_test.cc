// SPDX-License-Identifier: Apache-2.0
// Stalls: one held fault a bank, its end by RESUME, and what happens to the bank's other requests meanwhile.
#include "iommu/device.h"
#include "tests/iommu/smmuv2/world.h"

namespace smmu2 {
namespace {

constexpr uint32_t kSs = 1u << 30, kMulti = 1u << 31, kTf = 1 << 1;
constexpr uint64_t kHole = kVa + 0x1000;

struct StallWorld : World {
  explicit StallWorld(uint32_t sctlr = kUsual | kCfcfg | kCfie, const Config &config = Config()) : World(config) {
    put(IMS_SMMUV2_CB_SCTLR, kBankFirst, sctlr);
    stream_to(4, 0x50, kBankFirst);
  }
  void resume(bool terminate, unsigned bank = kBankFirst) { put(IMS_SMMUV2_CB_RESUME, bank, terminate); }
  std::vector<ims_smmuv2_stalled> waiting() {
    std::vector<ims_smmuv2_stalled> list;
    ims_smmuv2_stalled s;
    for (unsigned i = 0; ims_smmuv2_stalled_at(unit(), i, &s); i++)
      list.push_back(s);
    return list;
  }
  uint32_t fsr(unsigned bank = kBankFirst) { return fault(bank).fsr; }
};

TEST(Stall, HoldsTheRequest) {
  StallWorld w;
  ims_result r = w.request(dma(kFirst, kHole, IMS_ACC_W));
  EXPECT_EQ(IMS_STATUS_STALL, r.status);
  EXPECT_EQ(IMS_SMMUV2_TF, r.fault);
  EXPECT_TRUE(r.recorded);
  EXPECT_EQ((Fault{kTf | 2 << 9 | kSs, 3 | 1 << 4 | kBankFirst << 16, kHole, 0, 0, kFirst}), w.fault(kBankFirst));
  EXPECT_EQ(w.fault(kBankFirst).fsr, r.record[0] & 0xffffffff);
  EXPECT_EQ(1u, w.messages.size());
  ASSERT_EQ(1u, w.waiting().size());
  EXPECT_EQ(kFirst, w.waiting()[0].source);
  EXPECT_EQ(kBankFirst, w.waiting()[0].bank);
  EXPECT_EQ(r.stag, w.waiting()[0].stag);
  EXPECT_TRUE(w.waiting()[0].held);
  EXPECT_TRUE(w.resumes.empty());
}

TEST(Stall, Retry) {
  StallWorld w;
  ims_result r = w.request(dma(kFirst, kHole));
  w.first.map(kHole, kPage, kS1All);
  w.put(IMS_SMMUV2_CB_FSR, kBankFirst, 0xffffffff);
  EXPECT_EQ(kSs, w.fsr()) << "the stall is not cleared by FSR";
  w.resume(false);
  EXPECT_EQ(0u, w.fsr());
  ASSERT_EQ(1u, w.resumes.size());
  EXPECT_EQ(kFirst, w.resumes[0].source);
  EXPECT_EQ(r.stag, w.resumes[0].stag);
  EXPECT_EQ(IMS_RESUME_RETRY, w.resumes[0].action);
  EXPECT_TRUE(w.waiting().empty());
  EXPECT_GOES(w.request(dma(kFirst, kHole)), kPage);
}

// Ends as a fault that was not stalled: by CFRE.
TEST(Stall, Terminate) {
  for (bool abort : {true, false}) {
    StallWorld w(abort ? kUsual | kCfcfg : (kUsual | kCfcfg) & ~kCfre);
    w.request(dma(kFirst, kHole));
    w.resume(true);
    ASSERT_EQ(1u, w.resumes.size());
    EXPECT_EQ(abort ? IMS_RESUME_ABORT : IMS_RESUME_ZERO, w.resumes[0].action);
    EXPECT_EQ(kTf | 2 << 9, w.fsr()) << "the record stays";
  }
}

TEST(Stall, ResumeWithoutStall) {
  StallWorld w;
  w.resume(false);
  w.resume(true);
  EXPECT_TRUE(w.resumes.empty());
  w.request(dma(kFirst, kHole));
  w.resume(true, kBankSecond);
  EXPECT_TRUE(w.resumes.empty()) << "another bank's";
  EXPECT_EQ(1u, w.waiting().size());
  EXPECT_EQ(0u, w.get(IMS_SMMUV2_CB_RESUME, kBankFirst)) << "write only";
}

// As Linux does it: FSR first, then RESUME. A new fault may come between the two.
TEST(Stall, NewFaultBetweenClearingAndResuming) {
  StallWorld w;
  w.request(dma(kFirst, kHole));
  w.put(IMS_SMMUV2_CB_FSR, kBankFirst, w.fsr());
  ims_result r = w.request(dma(0x50, 0x1000));
  EXPECT_EQ(IMS_STATUS_STALL, r.status) << "waits like the first";
  EXPECT_TRUE(r.recorded);
  EXPECT_EQ(0x50u, w.fault(kBankFirst).cbfrsynra);
  EXPECT_EQ(2u, w.messages.size());
  w.resume(true);
  ASSERT_EQ(2u, w.resumes.size());
  EXPECT_EQ(kFirst, w.resumes[0].source);
  EXPECT_EQ(IMS_RESUME_ABORT, w.resumes[0].action);
  EXPECT_EQ(0x50u, w.resumes[1].source);
  EXPECT_EQ(IMS_RESUME_RETRY, w.resumes[1].action) << "one fault is held; the others are translated anew";
}

TEST(Stall, OthersAreServedWithHupcf) {
  StallWorld w;
  w.request(dma(kFirst, kHole));
  EXPECT_GOES(w.request(dma(0x50, kVa)), kPage);
  ims_result r = w.request(dma(0x50, kHole));
  EXPECT_EQ(IMS_STATUS_STALL, r.status);
  EXPECT_FALSE(r.recorded);
  EXPECT_EQ(kTf | 2 << 9 | kSs | kMulti, w.fsr());
  ASSERT_EQ(2u, w.waiting().size());
  EXPECT_FALSE(w.waiting()[1].held);
  EXPECT_NE(w.waiting()[0].stag, w.waiting()[1].stag);
}

TEST(Stall, OthersWaitWithoutHupcf) {
  StallWorld w((kUsual | kCfcfg) & ~kHupcf);
  EXPECT_GOES(w.request(dma(0x50, kVa)), kPage);
  w.request(dma(kFirst, kHole));
  ims_result r = w.request(dma(0x50, kVa));
  EXPECT_EQ(IMS_STATUS_STALL, r.status);
  EXPECT_EQ(0, r.fault);
  EXPECT_FALSE(r.recorded);
  EXPECT_EQ(0u, r.refs);
  EXPECT_EQ(kTf | 2 << 9 | kSs, w.fsr()) << "no fault, no MULTI";
  EXPECT_GOES(w.request(dma(kSecond, kVa)), kPage) << "other banks go on";
  w.resume(true);
  ASSERT_EQ(2u, w.resumes.size());
  EXPECT_EQ(IMS_RESUME_ABORT, w.resumes[0].action);
  EXPECT_EQ(IMS_RESUME_RETRY, w.resumes[1].action);
  EXPECT_GOES(w.request(dma(0x50, kVa)), kPage) << "the record alone holds up nobody where faults stall";
}

// Without stalls a fault outstanding terminates the bank's others, until software clears it.
TEST(Stall, OthersAreTerminatedWithoutHupcfAndCfcfg) {
  StallWorld w(kUsual & ~kHupcf);
  w.request(dma(kFirst, kHole));
  ims_result r = w.request(dma(0x50, kVa));
  EXPECT_EQ(IMS_STATUS_ABORT, r.status);
  EXPECT_EQ(IMS_CPL_UR, r.completion);
  EXPECT_EQ(kTf | 2 << 9, w.fsr());
  w.put(IMS_SMMUV2_CB_SCTLR, kBankFirst, kUsual & ~kHupcf & ~kCfre);
  EXPECT_EQ(IMS_CPL_ZERO, w.request(dma(0x50, kVa)).completion);
  w.put(IMS_SMMUV2_CB_FSR, kBankFirst, kTf);
  EXPECT_GOES(w.request(dma(0x50, kVa)), kPage);
}

TEST(Stall, ForbiddenGlobally) {
  StallWorld w;
  w.put(IMS_SMMUV2_sCR0, w.get(IMS_SMMUV2_sCR0) | 1 << 8); // STALLD
  ims_result r = w.request(dma(kFirst, kHole));
  EXPECT_EQ(IMS_STATUS_FAULT, r.status);
  EXPECT_EQ(IMS_CPL_UR, r.completion);
  EXPECT_EQ(kTf | 2 << 9, w.fsr());
}

TEST(Stall, UnreadableTablesDoNot) {
  StallWorld w;
  w.put(IMS_SMMUV2_CB_TTBR0, kBankFirst, kAbsent);
  EXPECT_EQ(IMS_STATUS_FAULT, w.request(dma(kFirst, kVa)).status);
  EXPECT_EQ(IMS_SMMUV2_EF, w.request(dma(kFirst, kVa)).fault);
}

// Nested: a stage-2 fault stalls by the stage-2 bank's CFCFG and ends by its RESUME; the stage-1 bank's others go on.
TEST(Stall, NestedInTheStageTwoBank) {
  StallWorld w;
  w.put(IMS_SMMUV2_CB_SCTLR, kBankHost, (kUsual | kCfcfg) & ~kHupcf);
  w.guest.map(kHole, 0x900000, kS1All); // an IPA that the host has not mapped
  ims_result r = w.request(dma(kBoth, kHole));
  EXPECT_EQ(IMS_STATUS_STALL, r.status);
  EXPECT_EQ(kTf | 2 << 9 | kSs, w.fsr(kBankHost));
  EXPECT_EQ(0x900000u, w.fault(kBankHost).ipafar);
  EXPECT_EQ(0u, w.fsr(kBankBoth));
  EXPECT_EQ(IMS_STATUS_STALL, w.request(dma(kBoth, kVa)).status) << "the stage-2 bank holds up all that use it";
  w.resume(false, kBankBoth);
  EXPECT_TRUE(w.resumes.empty());
  w.host.map(0x900000, kPage, kS2All);
  w.resume(false, kBankHost);
  EXPECT_EQ(2u, w.resumes.size());
  EXPECT_GOES(w.request(dma(kBoth, kHole)), kPage);
}

TEST(Stall, NoRoomTerminates) {
  Config c;
  c.waiting = 2;
  StallWorld w(kUsual | kCfcfg, c);
  EXPECT_EQ(IMS_STATUS_STALL, w.request(dma(kFirst, kHole)).status);
  EXPECT_EQ(IMS_STATUS_STALL, w.request(dma(kFirst, kHole)).status);
  ims_result r = w.request(dma(kFirst, kHole));
  EXPECT_EQ(IMS_STATUS_FAULT, r.status);
  EXPECT_EQ(IMS_CPL_UR, r.completion);
  EXPECT_EQ(2u, w.waiting().size());
}

// A device that repeats its request at once, before RESUME has returned: what waits again is not part of this resumption.
TEST(Stall, RetriedAtOnce) {
  StallWorld w;
  w.request(dma(kFirst, kHole));
  w.request(dma(0x50, kHole));
  unsigned tries[2] = {};
  w.on_resume = [&](unsigned half, const ims_resume &r) {
    ims_result res;
    ims_request again = dma(r.source, kHole);
    tries[half]++;
    ims_translate(w.unit(half), &again, &res);
    EXPECT_EQ(IMS_STATUS_STALL, res.status);
  };
  w.resume(false);
  EXPECT_EQ(2u, tries[0]);
  EXPECT_EQ(2u, tries[1]);
  ASSERT_EQ(2u, w.waiting().size());
  EXPECT_TRUE(w.waiting()[0].held);
  EXPECT_FALSE(w.waiting()[1].held);
  EXPECT_TRUE(w.fsr() & kSs);
}

// A device before the unit: its DMA waits, software maps the page, clears FSR and resumes, and the DMA arrives.
TEST(Stall, ADeviceGoesOn) {
  for (bool terminate : {false, true}) {
    StallWorld w;
    w.compare = false;
    ims_endpoint device;
    ims_endpoint_config config = {};
    config.source = kFirst;
    ASSERT_EQ(IMS_ERR_OK, ims_endpoint_init(&device, w.unit(), &config));
    uint8_t data[16] = "fifteen letters";
    ims_dma dma = {};
    dma.iova = kHole + 0x20, dma.len = sizeof data, dma.access = IMS_ACC_W, dma.data = data;
    ims_dma_end end = IMS_DMA_DONE;
    uint64_t done = 0;
    EXPECT_EQ(IMS_ERR_OK, ims_endpoint_dma(&device, &dma, nullptr, nullptr, &end, &done));
    EXPECT_EQ(IMS_DMA_STALLED, end);
    EXPECT_EQ(0u, done);
    w.on_resume = [&](unsigned half, const ims_resume &r) {
      if (half == 0) {
        EXPECT_EQ(IMS_ERR_OK, ims_endpoint_resume(&device, &r, nullptr, nullptr, &end, &done));
      }
    };
    w.first.map(kHole, kPage, kS1All);
    uint32_t at = ims_smmuv2_cb_offset(&w.cfg, kBankFirst);
    ims_iommu_write(w.unit(), at + IMS_SMMUV2_OFF_CB_FSR, 4, 0xffffffff);
    ims_iommu_write(w.unit(), at + IMS_SMMUV2_OFF_CB_RESUME, 4, terminate);
    EXPECT_EQ(terminate ? IMS_DMA_REFUSED : IMS_DMA_DONE, end);
    char there[16] = {};
    EXPECT_EQ(IMS_ERR_OK, ims_mem_read(w.mem(), kPage + 0x20, there, sizeof there));
    EXPECT_STREQ(terminate ? "" : "fifteen letters", there);
    ims_endpoint_fini(&device);
  }
}

TEST(Stall, ForgottenByTools) {
  StallWorld w;
  w.request(dma(kFirst, kHole));
  for (unsigned h = 0; h < 2; h++)
    ims_smmuv2_forget_faults(w.unit(h));
  EXPECT_TRUE(w.waiting().empty());
  EXPECT_EQ(0u, w.fsr());
  EXPECT_TRUE(w.resumes.empty());
}

} // namespace
} // namespace smmu2
