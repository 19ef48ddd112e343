// SPDX-License-Identifier: Apache-2.0
// Stalled transactions: what stalls, under which tag, how CMD_RESUME and CMD_STALL_TERM end it, and what a device makes of
// that. Arm IHI 0070 3.12, 4.7.1, 4.7.2, 5.5.
#include "iommu/device.h"
#include "tests/support/smmu_machine.h"

#include <gtest/gtest.h>

#include <memory>

namespace smmu {
namespace {

constexpr uint64_t kSmmuen = 1;
constexpr uint64_t kHole = 0x40000000; // nothing is mapped there
constexpr unsigned kFTranslation = 0x10;

// Streams 1 and 2: stage 1, faults stall; 3: stage 2, likewise; 4: nested, both stall; 5: stage 1 terminates with RAZ/WI.
struct Stalls {
  Machine m;
  Tree s1, s2, guest;

  static Shape in_guest() {
    Shape s;
    s.in_guest = true;
    return s;
  }

  explicit Stalls(const Config &c = Config()) : m(c), s1(m, {k4K, 48}), s2(m, {k4K, 48, true}), guest(m, in_guest()) {
    m.start();
    s2.map_range(0, kGuestBase, 8 * MB, kS2All, 2);
    for (uint32_t sid : {1u, 2u, 5u})
      stage1(sid, Cd(sid).set(IMS_CD_S, sid != 5).set(IMS_CD_A, sid != 5));
    Ste e(kS2);
    s2.describe(e);
    m.set_ste(3, e.set(IMS_STE_S2S, 1).set(IMS_STE_S2VMID, 3));
    Ste n(kNested);
    s2.describe(n);
    m.make_cd_table(n);
    m.set_ste(4, n.set(IMS_STE_S2S, 1).set(IMS_STE_S2VMID, 4));
    Cd g(4);
    guest.describe(g);
    m.set_cd(4, g.set(IMS_CD_S, 1));
  }

  void stage1(uint32_t sid, Cd c) {
    Ste e(kS1);
    m.make_cd_table(e);
    m.set_ste(sid, e);
    s1.describe(c);
    m.set_cd(sid, c);
  }

  // A request that stalls; its tag.
  unsigned stall(uint32_t sid, uint64_t iova = kHole, unsigned access = IMS_ACC_R) {
    ims_result r = m.request(dma(sid, iova, access));
    EXPECT_EQ(IMS_STATUS_STALL, r.status) << text(r);
    return r.stag;
  }
  // (StreamID, tag) of those that wait, oldest first.
  std::vector<std::pair<unsigned, unsigned>> waiting() {
    std::vector<std::pair<unsigned, unsigned>> v;
    ims_smmuv3_stalled s;
    for (unsigned i = 0; ims_smmuv3_stalled_at(m.unit(), i, &s); i++)
      v.push_back({s.source, s.stag});
    return v;
  }
  // The resumptions sent since the last call: (StreamID, tag, action).
  std::vector<std::tuple<unsigned, unsigned, unsigned>> resumed() {
    std::vector<std::tuple<unsigned, unsigned, unsigned>> v;
    for (const ims_resume &r : m.resumes)
      v.push_back({r.source, r.stag, r.action});
    m.resumes.clear();
    return v;
  }
};

using Waiting = std::vector<std::pair<unsigned, unsigned>>;
using Resumed = std::vector<std::tuple<unsigned, unsigned, unsigned>>;

// What stalls.

TEST(Stall, OfStage1IsRecordedWithItsTag) {
  Stalls s;
  EXPECT_EQ(0u, s.stall(1, kHole + 0x123, IMS_ACC_W));
  EXPECT_EQ(std::vector<Event>{fault(kFTranslation, dma(1, kHole + 0x123, IMS_ACC_W)).stalled(0)}, s.m.events());
  EXPECT_EQ((Waiting{{1, 0}}), s.waiting());
}

TEST(Stall, OfStage2IsRecordedWithItsTag) {
  Stalls s;
  EXPECT_EQ(0u, s.stall(3));
  EXPECT_EQ(std::vector<Event>{fault(kFTranslation, dma(3, kHole)).stage2(kIn, kHole).stalled(0)}, s.m.events());
}

TEST(Stall, HappensOnEitherStageOfANestedStream) {
  Stalls s;
  EXPECT_EQ(0u, s.stall(4));
  s.guest.map(kHole, 3 * GB, kS1All);
  EXPECT_EQ(1u, s.stall(4));
  EXPECT_EQ((std::vector<Event>{fault(kFTranslation, dma(4, kHole)).stalled(0),
                                fault(kFTranslation, dma(4, kHole)).stage2(kIn, 3 * GB).stalled(1)}),
            s.m.events());
}

TEST(Stall, IsRecordedEvenWithRecordingOff) {
  Stalls s;
  Cd c(9);
  s.stage1(9, c.set(IMS_CD_S, 1).set(IMS_CD_R, 0));
  s.stall(9);
  EXPECT_EQ(1u, s.m.events().size());
}

TEST(Stall, DoesNotHappenToTranslationRequests) {
  Stalls s;
  Ste e(kS1);
  s.m.make_cd_table(e);
  s.m.set_ste(9, e.set(IMS_STE_EATS, 1));
  Cd c(9);
  s.s1.describe(c);
  s.m.set_cd(9, c.set(IMS_CD_S, 1));
  ims_result r = s.m.request(as(dma(9, kHole), IMS_TRANSLATION_REQUEST));
  EXPECT_EQ(IMS_STATUS_FAULT, r.status);
  EXPECT_EQ(IMS_CPL_R0, r.completion);
  EXPECT_TRUE(s.m.events().empty());
  EXPECT_EQ(Waiting{}, s.waiting());
}

TEST(Stall, DoesNotHappenToConfigurationErrors) {
  Stalls s;
  ims_result r = s.m.request(dma(1, 3, kHole, IMS_ACC_R)); // there are no substreams
  EXPECT_EQ(IMS_STATUS_FAULT, r.status);
  ASSERT_EQ(1u, s.m.events().size());
  EXPECT_EQ(Waiting{}, s.waiting());
}

// Tags.

TEST(StallTag, IsTheLowestThatIsFree) {
  Stalls s;
  for (unsigned i = 0; i < 4; i++)
    EXPECT_EQ(i, s.stall(1 + i % 2));
  s.m.submit({cmd::resume_retry(2, 1), cmd::resume_retry(1, 2)});
  EXPECT_EQ((Waiting{{1, 0}, {2, 3}}), s.waiting());
  EXPECT_EQ(1u, s.stall(3));
  EXPECT_EQ(2u, s.stall(1));
  EXPECT_EQ(4u, s.stall(1));
  EXPECT_EQ((Waiting{{1, 0}, {2, 3}, {3, 1}, {1, 2}, {1, 4}}), s.waiting());
}

TEST(StallTag, WhenNoneIsFreeTheFaultTerminates) {
  Config c;
  c.stall_max = 2;
  Stalls s(c);
  s.stall(1);
  s.stall(2);
  ims_result r = s.m.request(dma(1, kHole));
  EXPECT_EQ(IMS_STATUS_FAULT, r.status);
  EXPECT_EQ(IMS_CPL_UR, r.completion);
  std::vector<Event> events = s.m.events();
  ASSERT_EQ(3u, events.size());
  EXPECT_EQ(fault(kFTranslation, dma(1, kHole)), events[2]) << "recorded with Stall=0";
  s.m.submit(cmd::resume_retry(1, 0));
  EXPECT_EQ(0u, s.stall(1));
}

// CMD_RESUME.

TEST(Resume, EndsTheStallThatItNames) {
  Stalls s;
  s.stall(1);
  s.stall(1);
  s.m.submit(cmd::resume_retry(1, 1));
  EXPECT_EQ((Resumed{{1, 1, IMS_RESUME_RETRY}}), s.resumed());
  EXPECT_EQ((Waiting{{1, 0}}), s.waiting());
}

TEST(Resume, TerminatesWithAnAbortOrWithZeros) {
  Stalls s;
  s.stall(1);
  s.stall(2);
  s.m.submit({cmd::resume_terminate(1, 0, true), cmd::resume_terminate(2, 1, false)});
  EXPECT_EQ((Resumed{{1, 0, IMS_RESUME_ABORT}, {2, 1, IMS_RESUME_ZERO}}), s.resumed());
}

TEST(Resume, RetryIgnoresTheAbortBit) {
  Stalls s;
  s.stall(1);
  Command c = cmd::resume_retry(1, 0);
  c.word[0] |= 1 << 13;
  s.m.submit(c);
  EXPECT_EQ((Resumed{{1, 0, IMS_RESUME_RETRY}}), s.resumed());
}

TEST(Resume, AlwaysAbortsWhereTheSmmuKnowsNothingElse) {
  Config c;
  c.term_model = 1;
  Machine m(c);
  m.start();
  Tree s2(m, {k4K, 48, true});
  Ste e(kS2);
  s2.describe(e);
  m.set_ste(3, e.set(IMS_STE_S2S, 1));
  EXPECT_EQ(IMS_STATUS_STALL, m.request(dma(3, kHole)).status);
  m.submit(cmd::resume_terminate(3, 0, false));
  ASSERT_EQ(1u, m.resumes.size());
  EXPECT_EQ(IMS_RESUME_ABORT, m.resumes[0].action);
}

TEST(Resume, OfWhatDoesNotWaitDoesNothing) {
  Stalls s;
  s.stall(1);
  s.m.submit({cmd::resume_retry(2, 0),        // another stream's
              cmd::resume_retry(1, 1),        // a free tag
              cmd::resume_retry(1, 0xffff)}); // no tag
  EXPECT_EQ(kNone, s.m.command_error());
  EXPECT_EQ(Resumed{}, s.resumed());
  EXPECT_EQ((Waiting{{1, 0}}), s.waiting());
  s.m.submit({cmd::resume_retry(1, 0), cmd::resume_retry(1, 0)});
  EXPECT_EQ((Resumed{{1, 0, IMS_RESUME_RETRY}}), s.resumed()) << "once";
}

TEST(Resume, TerminatesAFaultOfStage2WithZerosToo) {
  Stalls s; // 4.7.1: what STE.S2S says of terminating does not limit it
  s.stall(3);
  s.m.submit(cmd::resume_terminate(3, 0, false));
  EXPECT_EQ((Resumed{{3, 0, IMS_RESUME_ZERO}}), s.resumed());
}

// CMD_STALL_TERM and SMMUEN.

TEST(StallTerm, AbortsAllOfAStreamOldestFirst) {
  Stalls s;
  for (uint32_t sid : {1u, 2u, 1u, 1u})
    s.stall(sid);
  s.m.submit(cmd::resume_retry(1, 0));
  s.stall(1); // tag 0 again, now the youngest
  s.resumed();
  s.m.submit(cmd::stall_term(1));
  EXPECT_EQ((Resumed{{1, 2, IMS_RESUME_ABORT}, {1, 3, IMS_RESUME_ABORT}, {1, 0, IMS_RESUME_ABORT}}), s.resumed());
  EXPECT_EQ((Waiting{{2, 1}}), s.waiting());
  s.m.submit(cmd::stall_term(1));
  EXPECT_EQ(Resumed{}, s.resumed());
}

TEST(StallTerm, DoesNotReachWhatStallsMeanwhile) {
  Stalls s;
  s.stall(1);
  unsigned again = 0;
  s.m.on_resume = [&](unsigned half, const ims_resume &) { // the device goes on at once
    ims_request r = dma(1, kHole);
    ims_result res;
    ims_translate(s.m.unit(half), &r, &res);
    EXPECT_EQ(IMS_STATUS_STALL, res.status);
    again++;
  };
  s.m.submit(cmd::stall_term(1));
  EXPECT_EQ(2u, again) << "once in each half";
  EXPECT_EQ((Waiting{{1, 0}}), s.waiting());
}

TEST(StallTerm, KeepsRecordsThatWaitedFromBeingWritten) {
  Stalls s;
  for (int i = 0; i < 64; i++) // the event queue is full
    s.m.request(dma(100, kHole));
  s.stall(1);
  s.stall(2);
  s.m.submit(cmd::stall_term(1));
  EXPECT_EQ(64u, s.m.events().size());
  EXPECT_EQ(std::vector<Event>{fault(kFTranslation, dma(2, kHole)).stalled(1)}, s.m.events());
}

TEST(Stall, EndsWhenTranslationIsSwitchedOff) {
  Stalls s;
  for (uint32_t sid : {2u, 1u, 3u})
    s.stall(sid);
  s.m.submit(cmd::resume_retry(2, 0));
  s.stall(4);
  s.resumed();
  s.m.disable(kSmmuen);
  EXPECT_EQ((Resumed{{1, 1, IMS_RESUME_ABORT}, {3, 2, IMS_RESUME_ABORT}, {4, 0, IMS_RESUME_ABORT}}), s.resumed());
  EXPECT_EQ(Waiting{}, s.waiting());
}

// With a device in each half.

struct WithDevice : testing::Test {
  Stalls s;
  Machine &m = s.m;
  ims_endpoint device[2] = {};
  std::string buffer[2];
  ims_dma_end end[2] = {}, resumed_end[2] = {};
  uint64_t resumed_done[2] = {};
  int resume_error[2] = {};

  void attach(uint32_t sid) {
    for (unsigned half = 0; half < 2; half++) {
      ims_endpoint_config c = {};
      c.source = sid;
      ASSERT_EQ(IMS_ERR_OK, ims_endpoint_init(&device[half], m.unit(half), &c));
    }
    m.on_resume = [this](unsigned half, const ims_resume &r) {
      resume_error[half] =
          ims_endpoint_resume(&device[half], &r, nullptr, nullptr, &resumed_end[half], &resumed_done[half]);
    };
  }
  void TearDown() override {
    for (ims_endpoint &e : device)
      ims_endpoint_fini(&e);
  }

  void send(uint64_t iova, std::string data, unsigned access) {
    for (unsigned half = 0; half < 2; half++) {
      buffer[half] = data;
      ims_dma d = {};
      d.iova = iova;
      d.len = data.size();
      d.access = static_cast<uint8_t>(access);
      d.data = &buffer[half][0];
      ASSERT_EQ(IMS_ERR_OK, ims_endpoint_dma(&device[half], &d, nullptr, nullptr, &end[half], nullptr));
    }
    EXPECT_EQ(end[0], end[1]);
  }
  std::string memory(uint64_t hpa, size_t len) {
    std::string text[2];
    for (unsigned half = 0; half < 2; half++) {
      text[half].resize(len);
      EXPECT_EQ(IMS_ERR_OK, ims_mem_read(m.mem(half), hpa, &text[half][0], len));
    }
    EXPECT_EQ(text[0], text[1]);
    return text[0];
  }
  void expect_resumed(ims_dma_end how, uint64_t done) {
    for (unsigned half = 0; half < 2; half++) {
      EXPECT_EQ(IMS_ERR_OK, resume_error[half]);
      EXPECT_EQ(how, resumed_end[half]);
      EXPECT_EQ(done, resumed_done[half]);
    }
  }
};

TEST_F(WithDevice, AWriteArrivesOnceItsPageIsThereAndItIsRetried) {
  attach(1);
  uint64_t page = m.alloc(2);
  s.s1.map(kHole, page, kS1All);
  send(kHole + 0xffc, "lefthole", IMS_ACC_W);
  EXPECT_EQ(IMS_DMA_STALLED, end[0]);
  EXPECT_EQ(memory(page + 0xffc, 4), "left");
  ASSERT_EQ(1u, m.events().size());
  s.s1.map(kHole + 0x1000, page + 0x1000, kS1All);
  m.submit(cmd::resume_retry(1, 0));
  expect_resumed(IMS_DMA_DONE, 8);
  EXPECT_EQ(memory(page + 0xffc, 8), "lefthole");
  EXPECT_EQ(Waiting{}, s.waiting());
  EXPECT_TRUE(m.events().empty());
}

TEST_F(WithDevice, ARetryInVainStallsAndIsRecordedAgain) {
  attach(1);
  send(kHole, "x", IMS_ACC_W);
  ASSERT_EQ(1u, m.events().size());
  m.submit(cmd::resume_retry(1, 0));
  expect_resumed(IMS_DMA_STALLED, 0);
  EXPECT_EQ((Waiting{{1, 0}}), s.waiting()) << "the tag was free again";
  EXPECT_EQ(std::vector<Event>{fault(kFTranslation, dma(1, kHole, IMS_ACC_W)).stalled(0)}, m.events());
}

TEST_F(WithDevice, ATerminatedReadGivesZerosOrAnError) {
  attach(1);
  send(kHole, "junk", IMS_ACC_R);
  m.submit(cmd::resume_terminate(1, 0, false));
  expect_resumed(IMS_DMA_DONE, 4);
  for (unsigned half = 0; half < 2; half++)
    EXPECT_EQ(std::string(4, '\0'), buffer[half]);
  send(kHole, "junk", IMS_ACC_R);
  m.submit(cmd::resume_terminate(1, 0, true));
  expect_resumed(IMS_DMA_REFUSED, 0);
  EXPECT_EQ("junk", buffer[0]);
}

TEST_F(WithDevice, StallTermEndsItsDmaWithAnError) {
  attach(1);
  send(kHole, "a", IMS_ACC_W);
  send(kHole, "b", IMS_ACC_W);
  m.submit(cmd::stall_term(1));
  expect_resumed(IMS_DMA_REFUSED, 0);
  EXPECT_EQ(2u, device[0].count.resumes);
  EXPECT_EQ(2u, device[0].count.refused);
}

// 5.5: A=0 without a stall.
TEST_F(WithDevice, AFaultThatDoesNotAbortReadsZerosAndWritesNothing) {
  attach(5);
  send(kHole, "junk", IMS_ACC_R);
  EXPECT_EQ(IMS_DMA_DONE, end[0]);
  EXPECT_EQ(std::string(4, '\0'), buffer[0]);
  EXPECT_EQ(1u, m.events().size());
  ASSERT_EQ(memory(0, 4), std::string(4, '\0')); // where an output of 0 would lead
  send(kHole, "junk", IMS_ACC_W);
  EXPECT_EQ(IMS_DMA_DONE, end[0]);
  EXPECT_EQ(memory(0, 4), std::string(4, '\0'));
  EXPECT_EQ(1u, m.events().size());
}

// A driver that answers the event's interrupt at once: the device has not even been told of the stall yet.
TEST_F(WithDevice, SoftwareMayAnswerWithinTheInterrupt) {
  attach(1);
  uint64_t page = m.alloc();
  uint64_t leaf = s.s1.at(kHole);
  m.put(IMS_SMMUV3_EVENTQ_IRQ_CFG0, kAbsent);
  m.put(IMS_SMMUV3_IRQ_CTRL, 4);
  unsigned calls = 0;
  m.place(cmd::resume_retry(1, 0));
  m.on_message = [&](unsigned half) {
    calls++;
    ASSERT_EQ(IMS_ERR_OK, ims_mem_store64(m.mem(half), leaf, page | kS1All | 3));
    ims_iommu_write(m.unit(half), IMS_SMMUV3_OFF_CMDQ_PROD, 4, 1);
  };
  send(kHole + 4, "fast", IMS_ACC_W);
  EXPECT_EQ(2u, calls);
  EXPECT_EQ(IMS_DMA_DONE, end[0]);
  EXPECT_EQ(memory(page + 4, 4), "fast");
  EXPECT_EQ(Waiting{}, s.waiting());
  for (const ims_endpoint &e : device) {
    EXPECT_EQ(1u, e.count.stalls);
    EXPECT_EQ(1u, e.count.resumes);
  }
}

} // namespace
} // namespace smmu
