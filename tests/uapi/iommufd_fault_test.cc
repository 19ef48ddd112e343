// SPDX-License-Identifier: Apache-2.0
// Fault queues of iommufd: the object and its file, tables that name one, and the whole loop from the device's request to
// its retry (Facts 3.8, 4.1 B5 and T6).
#include "tests/uapi/arm_guest.h"
#include "tests/uapi/endpoint.h"

namespace uapi_test {
namespace {

constexpr size_t kRecord = sizeof(ims_iommu_hwpt_pgfault);
constexpr uint32_t kSuccess = IMS_PAGE_RESPONSE_SUCCESS, kInvalid = IMS_PAGE_RESPONSE_INVALID;

// How a device says that a page is missing.
struct Way {
  const char *name;
  bool smmu, stall;
  int64_t pasid;
};
const Way kPri{"VtdRequestsWithoutPasid", false, false, -1};
const Way kPriPasid{"VtdRequestsWithPasid", false, false, 5};
const Way kSmmuPri{"Smmuv3PageRequests", true, false, -1};
const Way kStall{"Smmuv3Stalls", true, true, -1};

// A device attached to a table with a fault queue, over an empty address space.
struct Rig {
  explicit Rig(const Way &w = kPri)
      : way(w), m(IMS_DIALECT_V7, w.smmu ? std::function<void(ims_kernel_config &)>(ArmCpu) : nullptr) {
    if (way.smmu)
      m.AddSmmu();
    else
      m.AddUnit();
    dev = m.AddDevice(Config(0x300, 7));
    ep = std::make_unique<Endpoint>(ends, dev);
    cdev = c.OpenDevice(dev);
    id = static_cast<uint32_t>(c.Bind(cdev));
    ioas = c.Ioas();
    queue = std::make_unique<FaultQueue>(c);
    hwpt = Table();
    EXPECT_EQ(c.Attach(cdev, hwpt, way.pasid), hwpt);
    va = c.Memory(64 * kPage);
  }
  ims_device_config Config(uint16_t source, uint32_t group) const {
    ims_device_config d = Machine::DeviceConfig(source, group);
    d.stall = d.not_pci = way.stall;
    if (way.stall)
      d.ats = d.pri = false;
    return d;
  }
  uint32_t Table() {
    uint32_t flags = way.pasid >= 0 ? unsigned(IMS_HWPT_PASID) : 0u;
    int64_t t = c.Hwpt<int>(id, ioas, flags | IMS_HWPT_FAULT_ID_VALID, 0, nullptr, queue->id);
    EXPECT_GT(t, 0);
    return static_cast<uint32_t>(t);
  }
  // The device meets a missing page and says so.
  void Miss(uint64_t iova, unsigned access = IMS_ACC_R) {
    if (way.stall) {
      EXPECT_EQ(ep->Dma(iova, access, way.pasid, false), IMS_DMA_STALLED);
    } else {
      EXPECT_EQ(ep->Dma(iova, access, way.pasid), IMS_DMA_NO_RIGHTS);
      ep->Ask(iova, access & IMS_ACC_W, way.pasid);
    }
  }
  // What its DMA comes to after the answer.
  ims_dma_end After(uint64_t iova, unsigned access = IMS_ACC_R) {
    if (!way.stall)
      return ep->Dma(iova, access, way.pasid);
    EXPECT_FALSE(ep->outcomes.empty());
    return ep->outcomes.empty() ? IMS_DMA_STALLED : ep->outcomes.back();
  }
  // Answers that the device has had, and the code of the newest.
  size_t Answers() const { return way.stall ? m.resumes.size() : ep->responses.size(); }
  unsigned Code() const {
    return way.stall ? unsigned(m.resumes.back().action == IMS_RESUME_RETRY ? 0 : 1)
                     : unsigned(ep->responses.back().code);
  }

  Way way;
  Machine m;
  Endpoints ends{m};
  Client c{m};
  ims_device *dev = nullptr;
  std::unique_ptr<Endpoint> ep;
  ims_file *cdev = nullptr;
  std::unique_ptr<FaultQueue> queue;
  uint32_t id = 0, ioas = 0, hwpt = 0;
  uint64_t va = 0;
};

// ---- The whole loop, by each way ------------------------------------------------------------------------------------

struct FaultLoop : testing::TestWithParam<Way>, Rig {
  FaultLoop() : Rig(GetParam()) {}
};

TEST_P(FaultLoop, AMissingPageIsAskedForMappedAnsweredAndReached) {
  EXPECT_EQ(ims_poll(queue->file), unsigned(IMS_POLLOUT));
  Miss(0x10000000, IMS_ACC_W);
  EXPECT_EQ(ims_poll(queue->file), unsigned(IMS_POLLOUT) | IMS_POLLIN);
  auto r = queue->Read();
  ASSERT_EQ(r.size(), 1u);
  EXPECT_EQ(r[0].flags, unsigned(IMS_PGFAULT_LAST_PAGE) | (way.pasid >= 0 ? unsigned(IMS_PGFAULT_PASID_VALID) : 0u));
  EXPECT_EQ(r[0].dev_id, id);
  EXPECT_EQ(r[0].pasid, way.pasid >= 0 ? 5u : 0u);
  EXPECT_EQ(r[0].perm, unsigned(IMS_PGFAULT_WRITE));
  EXPECT_EQ(r[0].addr, 0x10000000u);
  EXPECT_EQ(r[0].length, 0u);
  EXPECT_EQ(r[0].cookie, 1u);
  EXPECT_FALSE(queue->Waiting());
  EXPECT_EQ(Answers(), 0u);
  ASSERT_EQ(c.Map(ioas, 0x10000000, va, kPage), 0);
  EXPECT_EQ(queue->Answer(r[0].cookie), 8);
  ASSERT_EQ(Answers(), 1u);
  EXPECT_EQ(Code(), 0u);
  EXPECT_EQ(After(0x10000000, IMS_ACC_W), IMS_DMA_DONE);
  EXPECT_EQ(queue->Answer(r[0].cookie), -EINVAL); // once
  EXPECT_EQ(Answers(), 1u);
}

TEST_P(FaultLoop, AnAnswerOfInvalidEndsTheAccess) {
  Miss(0x20000000);
  auto r = queue->Read();
  ASSERT_EQ(r.size(), 1u);
  EXPECT_EQ(r[0].perm, unsigned(IMS_PGFAULT_READ));
  EXPECT_EQ(queue->Answer(r[0].cookie, kInvalid), 8);
  ASSERT_EQ(Answers(), 1u);
  EXPECT_EQ(Code(), 1u);
  EXPECT_NE(After(0x20000000), IMS_DMA_DONE);
}

// Success without the page: a stalled access meets the same again, and asks again.
TEST_P(FaultLoop, SuccessWithoutThePageAsksAgain) {
  Miss(0x30000000);
  EXPECT_EQ(queue->Answer(queue->Read().at(0).cookie), 8);
  if (way.stall)
    EXPECT_EQ(ep->outcomes, (std::vector<ims_dma_end>{IMS_DMA_STALLED}));
  else
    Miss(0x30000000);
  auto again = queue->Read();
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].cookie, 1u); // free again
  ASSERT_EQ(c.Map(ioas, 0x30000000, va, kPage), 0);
  EXPECT_EQ(queue->Answer(1), 8);
  EXPECT_EQ(After(0x30000000), IMS_DMA_DONE);
}

TEST_P(FaultLoop, DetachAnswersWhatIsReadAndWhatIsNot) {
  Miss(0x1000);
  ASSERT_EQ(queue->Read().size(), 1u);
  Miss(0x2000);
  EXPECT_TRUE(queue->Waiting());
  EXPECT_EQ(c.Detach(cdev, way.pasid), 0);
  EXPECT_EQ(Answers(), 2u);
  EXPECT_EQ(Code(), 1u);
  EXPECT_FALSE(queue->Waiting());
  EXPECT_EQ(queue->ReadRaw(10 * kRecord), 0);
  EXPECT_EQ(queue->Answer(1), -EINVAL);
  EXPECT_EQ(Answers(), 2u);
  EXPECT_EQ(ep->e.count.unexpected_responses, 0u);
  EXPECT_EQ(ep->e.outstanding, 0u);
}

// What the unit has put into its queue and nobody has looked at yet.
TEST_P(FaultLoop, DetachAnswersWhatIsStillInTheUnitsQueue) {
  Miss(0x1000);
  Miss(0x2000);
  Miss(0x3000);
  EXPECT_EQ(c.Detach(cdev, way.pasid), 0);
  EXPECT_EQ(Answers(), 3u);
  EXPECT_EQ(ep->e.outstanding, 0u);
  EXPECT_EQ(queue->ReadRaw(kRecord), 0);
}

TEST_P(FaultLoop, ReplaceAnswersForTheOldTableAndServesTheNew) {
  Miss(0x1000);
  ASSERT_EQ(queue->Read().size(), 1u);
  FaultQueue other(c);
  uint32_t flags = way.pasid >= 0 ? unsigned(IMS_HWPT_PASID) : 0u;
  int64_t fresh = c.Hwpt<int>(id, ioas, flags | IMS_HWPT_FAULT_ID_VALID, 0, nullptr, other.id);
  ASSERT_GT(fresh, 0);
  ASSERT_EQ(c.Attach(cdev, static_cast<uint32_t>(fresh), way.pasid), fresh);
  EXPECT_EQ(Answers(), 1u);
  EXPECT_EQ(Code(), 1u);
  EXPECT_EQ(queue->Answer(1), -EINVAL);
  Miss(0x5000);
  EXPECT_EQ(queue->ReadRaw(kRecord), 0);
  ASSERT_EQ(other.Read().size(), 1u);
  ASSERT_EQ(c.Map(ioas, 0x5000, va, kPage), 0);
  EXPECT_EQ(other.Answer(1), 8);
  EXPECT_EQ(After(0x5000), IMS_DMA_DONE);
}

TEST_P(FaultLoop, ClosingTheDeviceAnswers) {
  Miss(0x1000);
  ASSERT_EQ(queue->Read().size(), 1u);
  Miss(0x2000);
  ims_close(cdev);
  EXPECT_EQ(Answers(), 2u);
  EXPECT_EQ(queue->Answer(1), -EINVAL);
  EXPECT_EQ(queue->ReadRaw(kRecord), 0);
}

TEST_P(FaultLoop, ClosingTheQueueAnswersNothingUntilTheDetach) {
  Miss(0x1000);
  ASSERT_EQ(queue->Read().size(), 1u);
  Miss(0x2000);
  ims_close(queue->file);
  EXPECT_EQ(Answers(), 0u);
  EXPECT_EQ(c.Destroy(queue->id), -EBUSY); // its table
  EXPECT_EQ(c.Detach(cdev, way.pasid), 0);
  EXPECT_EQ(Answers(), 2u);
  EXPECT_EQ(c.Destroy(hwpt), 0);
  EXPECT_EQ(c.Destroy(queue->id), 0);
}

TEST_P(FaultLoop, TheEndOfTheProcessAnswers) {
  Miss(0x1000);
  ASSERT_EQ(queue->Read().size(), 1u);
  Miss(0x2000);
  ims_process_exit(c.process);
  EXPECT_EQ(Answers(), 2u);
  EXPECT_EQ(ep->e.outstanding, 0u);
}

TEST_P(FaultLoop, ATableWithoutAQueueHasItsRequestsRefused) {
  uint32_t flags = way.pasid >= 0 ? unsigned(IMS_HWPT_PASID) : 0u;
  int64_t plain = c.Hwpt(id, ioas, flags);
  ASSERT_GT(plain, 0);
  ASSERT_EQ(c.Detach(cdev, way.pasid), 0);
  ASSERT_EQ(c.Attach(cdev, static_cast<uint32_t>(plain), way.pasid), plain);
  Miss(0x1000);
  EXPECT_EQ(queue->ReadRaw(kRecord), 0);
  ASSERT_EQ(Answers(), 1u);
  EXPECT_EQ(Code(), 1u);
}

TEST_P(FaultLoop, TwoDevicesShareAQueue) {
  ims_device *dev2 = m.AddDevice(Config(0x500, 9));
  Endpoint second(ends, dev2);
  ims_file *cdev2 = c.OpenDevice(dev2);
  auto id2 = static_cast<uint32_t>(c.Bind(cdev2));
  ASSERT_EQ(c.Attach(cdev2, hwpt, way.pasid), hwpt);
  Miss(0x1000);
  if (way.stall) {
    EXPECT_EQ(second.Dma(0x2000, IMS_ACC_R, way.pasid, false), IMS_DMA_STALLED);
  } else {
    second.Ask(0x2000, false, way.pasid);
  }
  auto r = queue->Read();
  ASSERT_EQ(r.size(), 2u);
  EXPECT_EQ(r[0].dev_id, id);
  EXPECT_EQ(r[1].dev_id, id2);
  EXPECT_EQ(r[0].cookie, 1u);
  EXPECT_EQ(r[1].cookie, 2u);
  m.Clear();
  EXPECT_EQ(queue->Answer(2, kInvalid), 8);
  ASSERT_EQ(way.stall ? m.resumes.size() : m.responses.size(), 1u);
  EXPECT_EQ(way.stall ? m.resumes[0].source : m.responses[0].source, 0x500u);
  // One goes; the other's request goes on waiting.
  EXPECT_EQ(c.Detach(cdev2, way.pasid), 0);
  ASSERT_EQ(c.Map(ioas, 0x1000, va, kPage), 0);
  EXPECT_EQ(queue->Answer(1), 8);
  EXPECT_EQ(After(0x1000), IMS_DMA_DONE);
}

INSTANTIATE_TEST_SUITE_P(Ways, FaultLoop, testing::Values(kPri, kPriPasid, kSmmuPri, kStall),
                         [](const testing::TestParamInfo<Way> &i) { return std::string(i.param.name); });

// ---- Groups ---------------------------------------------------------------------------------------------------------

struct Groups : testing::TestWithParam<Way>, Rig {
  Groups() : Rig(GetParam()) {}
  int Part(uint64_t addr, bool last, uint16_t *group) { return ep->Ask(addr, false, way.pasid, last, group); }
};

TEST_P(Groups, GroupsThatInterleaveAreReadWholeInTheOrderTheyClose) {
  uint16_t a = 0xffff, b = 0xffff;
  EXPECT_EQ(Part(0x1000, false, &a), 0);
  EXPECT_EQ(Part(0x9000, false, &b), 0);
  EXPECT_EQ(Part(0x2000, false, &a), 0);
  EXPECT_EQ(Part(0xa000, true, &b), 0);
  EXPECT_TRUE(queue->Waiting());
  EXPECT_EQ(Part(0x3000, true, &a), 0);
  auto r = queue->Read();
  ASSERT_EQ(r.size(), 5u);
  std::vector<uint64_t> addr;
  std::vector<uint32_t> cookie, flags, group;
  for (const auto &f : r) {
    addr.push_back(f.addr);
    cookie.push_back(f.cookie);
    flags.push_back(f.flags & IMS_PGFAULT_LAST_PAGE);
    group.push_back(f.grpid);
  }
  EXPECT_EQ(addr, (std::vector<uint64_t>{0x9000, 0xa000, 0x1000, 0x2000, 0x3000}));
  EXPECT_EQ(cookie, (std::vector<uint32_t>{1, 1, 2, 2, 2}));
  EXPECT_EQ(flags, (std::vector<uint32_t>{0, 2, 0, 0, 2}));
  EXPECT_EQ(group, (std::vector<uint32_t>{b, b, a, a, a}));
  EXPECT_EQ(queue->Answer(2), 8);
  ASSERT_EQ(ep->responses.size(), 1u);
  EXPECT_EQ(ep->responses[0].group, a);
  EXPECT_EQ(ep->responses[0].has_pasid, way.pasid >= 0);
  EXPECT_EQ(queue->Answer(1, kInvalid), 8);
  EXPECT_EQ(ep->responses.at(1).group, b);
  EXPECT_EQ(ep->e.count.unexpected_responses, 0u);
}

TEST_P(Groups, TheSameNumberUnderTwoPasidsIsTwoGroups) {
  if (way.pasid < 0)
    return;
  ASSERT_EQ(c.Attach(cdev, hwpt, 6), hwpt);
  // Numbers are the device's to give; this one uses the same twice.
  auto send = [&](uint32_t pasid, uint64_t addr, bool last) {
    ims_page_request r{};
    r.addr = addr;
    r.source = 0x300;
    r.pasid = pasid;
    r.has_pasid = r.read = true;
    r.last = last;
    r.group = 3;
    EXPECT_TRUE(ims_request_page(m.units[0], &r));
  };
  send(5, 0x1000, false);
  send(6, 0x2000, true);
  send(5, 0x3000, true);
  auto r = queue->Read();
  ASSERT_EQ(r.size(), 3u);
  EXPECT_EQ(r[0].pasid, 6u);
  EXPECT_EQ(r[1].pasid, 5u);
  EXPECT_EQ(r[1].addr, 0x1000u);
  EXPECT_EQ(r[2].addr, 0x3000u);
  EXPECT_EQ(r[1].cookie, r[2].cookie);
}

// The last request never comes: nothing is told, nothing is answered, and a detach takes what was kept.
TEST_P(Groups, WithoutItsLastRequestAGroupIsNeverToldOf) {
  uint16_t g = 0xffff;
  EXPECT_EQ(Part(0x1000, false, &g), 0);
  EXPECT_FALSE(queue->Waiting());
  EXPECT_EQ(c.Detach(cdev, way.pasid), 0);
  EXPECT_EQ(ep->responses.size(), 0u);
  ASSERT_EQ(c.Attach(cdev, hwpt, way.pasid), hwpt);
  EXPECT_EQ(Part(0x2000, true, &g), 0); // now it does: all that is left of its group
  auto r = queue->Read();
  ASSERT_EQ(r.size(), 1u);
  EXPECT_EQ(r[0].addr, 0x2000u);
  EXPECT_EQ(queue->Answer(r[0].cookie), 8);
  EXPECT_EQ(ep->e.outstanding, 0u);
}

TEST_P(Groups, RequestsBeforeTheAttachAreNotTheNewOwners) {
  EXPECT_EQ(c.Detach(cdev, way.pasid), 0);
  uint16_t g = 0xffff;
  Part(0x1000, false, &g);
  ims_kernel_interrupts(m.kernel);
  ASSERT_EQ(c.Attach(cdev, hwpt, way.pasid), hwpt);
  EXPECT_EQ(Part(0x2000, true, &g), 0);
  EXPECT_EQ(queue->Read().size(), 1u);
}

TEST_P(Groups, StopMarkersEndWithTheKernel) {
  if (way.smmu && way.pasid < 0) // 8.2: a marker has a PASID
    return;
  ims_page_request r{};
  r.source = 0x300;
  r.has_pasid = way.pasid >= 0;
  r.pasid = way.pasid >= 0 ? 5 : 0;
  r.last = true;
  r.group = 4;
  EXPECT_TRUE(ims_request_page(m.units[0], &r));
  EXPECT_TRUE(ims_kernel_interrupts(m.kernel));
  EXPECT_FALSE(queue->Waiting());
  EXPECT_TRUE(m.responses.empty());
}

TEST_P(Groups, APasidThatNothingIsAttachedToIsRefused) {
  ep->Ask(0x1000, false, 77);
  ims_kernel_interrupts(m.kernel);
  EXPECT_EQ(queue->ReadRaw(kRecord), 0);
  ASSERT_EQ(ep->responses.size(), 1u);
  EXPECT_EQ(ep->responses[0].code, 1u);
  EXPECT_EQ(ep->responses[0].pasid, 77u);
}

// Many, none answered until all are there; each once.
TEST_P(Groups, FiveHundredGroupsOfThree) {
  Endpoint *d = ep.get();
  d->e.config.page_requests = 4096;
  for (uint64_t i = 0; i < 500; i++) {
    uint16_t g = 0xffff;
    for (uint64_t n = 0; n < 3; n++)
      ASSERT_EQ(Part((i * 3 + n) << 12, n == 2, &g), 0);
    if (i % 100 == 99)
      ims_kernel_interrupts(m.kernel);
  }
  std::vector<uint32_t> cookies;
  uint64_t expected = 0;
  for (auto r = queue->Read(); !r.empty(); r = queue->Read())
    for (const auto &f : r) {
      EXPECT_EQ(f.addr, expected << 12);
      expected++;
      if (f.flags & IMS_PGFAULT_LAST_PAGE)
        cookies.push_back(f.cookie);
    }
  EXPECT_EQ(expected, 1500u);
  ASSERT_EQ(cookies.size(), 500u);
  for (size_t i = 0; i < cookies.size(); i++)
    EXPECT_EQ(cookies[i], i + 1);
  for (size_t i = cookies.size(); i-- > 0;)
    EXPECT_EQ(queue->Answer(cookies[i], i % 3 ? kSuccess : kInvalid), 8);
  EXPECT_EQ(d->e.count.responses, 500u);
  EXPECT_EQ(d->e.count.response_codes[1], 167u);
  EXPECT_EQ(d->e.count.unexpected_responses, 0u);
  EXPECT_EQ(d->e.outstanding, 0u);
}

// The unit's queue overflows: it answers itself what it cannot take, software what it could; groups of which requests were
// lost are not mixed with what comes later.
TEST_P(Groups, OverflowOfTheUnitsQueueLosesNoGroup) {
  Endpoint *d = ep.get();
  d->e.config.page_requests = 1 << 20;
  uint64_t groups = 0, refused = 0;
  bool full = false;
  for (int i = 0; i < 480; i++, groups++) { // of three requests each: more than 1024 places
    uint16_t g = 0xffff;
    for (int n = 0; n < 3; n++) {
      int err = Part(0x1000u * static_cast<unsigned>(n), n == 2, &g);
      ASSERT_TRUE(err == IMS_ERR_OK || err == IMS_ERR_IO);
      full |= err != IMS_ERR_OK;
      refused += n == 2 && err != IMS_ERR_OK;
    }
  }
  ASSERT_TRUE(full);
  EXPECT_EQ(d->e.count.responses, refused); // by the unit, with success
  EXPECT_EQ(d->e.count.response_codes[0], refused);
  uint64_t told = 0;
  for (auto r = queue->Read(); !r.empty(); r = queue->Read())
    for (const auto &f : r)
      if (f.flags & IMS_PGFAULT_LAST_PAGE) {
        told++;
        EXPECT_EQ(queue->Answer(f.cookie), 8);
      }
  EXPECT_EQ(told + refused, groups);
  EXPECT_EQ(d->e.count.responses, groups);
  EXPECT_EQ(d->e.outstanding, 0u);
  EXPECT_EQ(d->e.count.unexpected_responses, 0u);
  // The unit listens again.
  Miss(0x7000);
  EXPECT_EQ(queue->Read().size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(Ways, Groups, testing::Values(kPri, kPriPasid, kSmmuPri),
                         [](const testing::TestParamInfo<Way> &i) { return std::string(i.param.name); });

// ---- Stalls beyond the event queue ----------------------------------------------------------------------------------

TEST(FaultStalls, AFullEventQueueLosesNoStall) {
  Rig r(kStall);
  // Events of another device, which does not stall, fill the queue while nobody looks.
  ims_device_config plain = r.Config(0x301, 11);
  plain.stall = false;
  ims_device *other = r.m.AddDevice(plain);
  ims_file *cdev = r.c.OpenDevice(other);
  ASSERT_GT(r.c.Bind(cdev), 0);
  ASSERT_EQ(r.c.Attach(cdev, r.hwpt), r.hwpt);
  uint64_t before = ims_kernel_faults(r.m.kernel);
  auto overflow = [&] { return ims_iommu_read(r.m.units[0], IMS_SMMUV3_OFF_EVENTQ_PROD, 4) >> 31; };
  uint64_t sent = 0;
  for (; sent < 1 << 20 && !overflow(); sent++)
    EXPECT_EQ(r.m.Dma(other, 0x9000).status, IMS_STATUS_FAULT);
  ASSERT_TRUE(overflow());
  r.Miss(0x1000);
  r.Miss(0x2000);
  auto f = r.queue->Read();
  EXPECT_EQ(f.size(), 2u);
  for (const auto &one : f)
    EXPECT_EQ(r.queue->Answer(one.cookie, kInvalid), 8);
  EXPECT_EQ(r.m.resumes.size(), 2u);
  EXPECT_EQ(ims_kernel_faults(r.m.kernel), before + sent - 1); // but for the one that did not fit
  uint64_t prod = ims_iommu_read(r.m.units[0], IMS_SMMUV3_OFF_EVENTQ_PROD, 4);
  uint64_t cons = ims_iommu_read(r.m.units[0], IMS_SMMUV3_OFF_EVENTQ_CONS, 4);
  EXPECT_EQ(prod, cons); // empty, and the overflow acknowledged
}

// ---- The object and its file ----------------------------------------------------------------------------------------

TEST(FaultQueueAlloc, Errors) {
  Machine m;
  m.AddUnit();
  Client c(m);
  struct {
    const char *what;
    std::function<void(ims_iommu_fault_alloc &)> change;
    uint64_t at;
    long expected;
  } const rows[] = {
      {"flags", [](auto &a) { a.flags = 1; }, Arena::kBase, -EOPNOTSUPP},
      {"size below the minimum", [](auto &a) { a.size = 15; }, Arena::kBase, -EINVAL},
      {"a tail that is not zero", [](auto &a) { a.size = 24; }, Arena::kBase, -E2BIG},
      {"half of it unreadable", [](auto &) {}, m.arena.Tail(8), -EFAULT},
  };
  for (const auto &row : rows) {
    ims_iommu_fault_alloc a{};
    a.size = sizeof a;
    row.change(a);
    m.arena.Put<uint64_t>(1, Arena::kBase + 16);
    if (row.at == Arena::kBase)
      m.arena.Put(a);
    else
      m.arena.PutBytes(&a, 8, row.at);
    EXPECT_EQ(ims_ioctl(c.iommu, IMS_IOMMU_FAULT_QUEUE_ALLOC, row.at), row.expected) << row.what;
  }
  // The answer cannot be written: no object, no descriptor.
  ims_iommu_fault_alloc a{};
  a.size = sizeof a;
  m.arena.Put(a);
  m.arena.read_only = true;
  EXPECT_EQ(ims_ioctl(c.iommu, IMS_IOMMU_FAULT_QUEUE_ALLOC, Arena::kBase), -EFAULT);
  m.arena.read_only = false;
  EXPECT_EQ(ims_process_file(c.process, ims_file_fd(c.iommu) + 1), nullptr);
  FaultQueue q(c);
  EXPECT_EQ(q.id, 1u);
  EXPECT_EQ(ims_file_fd(q.file), ims_file_fd(c.iommu) + 1);
  EXPECT_EQ(ims_file_kind(q.file), unsigned(IMS_FILE_FAULT_QUEUE));
}

TEST(FaultQueueAlloc, LivesAsLongAsItsFileAndItsTables) {
  Rig r;
  EXPECT_EQ(r.c.Destroy(r.queue->id), -EBUSY);
  ims_close(r.queue->file);
  EXPECT_EQ(r.c.Destroy(r.queue->id), -EBUSY);
  EXPECT_EQ(r.c.Detach(r.cdev), 0);
  EXPECT_EQ(r.c.Destroy(r.hwpt), 0);
  EXPECT_EQ(r.c.Destroy(r.queue->id), 0);
  EXPECT_EQ(r.c.Destroy(r.queue->id), -ENOENT);
}

TEST(FaultQueueAlloc, TheFileKeepsTheIommufd) {
  Rig r;
  r.Miss(0x1000);
  ims_close(r.c.iommu);
  auto f = r.queue->Read();
  ASSERT_EQ(f.size(), 1u);
  EXPECT_EQ(r.queue->Answer(f[0].cookie, kInvalid), 8);
  ims_close(r.cdev);
  EXPECT_EQ(r.queue->ReadRaw(kRecord), 0);
  ims_close(r.queue->file);
  ims_kernel_interrupts(r.m.kernel);
}

struct FaultFile : testing::Test, Rig {
  uint16_t Group(unsigned requests) {
    uint16_t g = 0xffff;
    for (unsigned i = 0; i < requests; i++)
      EXPECT_EQ(ep->Ask(0x1000 * i, false, -1, i + 1 == requests, &g), 0);
    return g;
  }
};

TEST_F(FaultFile, ReadRules) {
  struct {
    size_t len;
    uint64_t offset;
    long empty, one, three; // with nothing, a group of 1, a group of 3 in the queue
  } const rows[] = {
      {0, 0, 0, -EINVAL, -EINVAL},
      {1, 0, -ESPIPE, -ESPIPE, -ESPIPE},
      {39, 0, -ESPIPE, -ESPIPE, -ESPIPE},
      {41, 0, -ESPIPE, -ESPIPE, -ESPIPE},
      {40, 40, -ESPIPE, -ESPIPE, -ESPIPE},
      {80, 0, 0, 40, -EINVAL},
      {120, 0, 0, 40, 120},
      {400, 0, 0, 40, 120},
  };
  for (const auto &row : rows) {
    auto read = [&] { return ims_read(queue->file, FaultQueue::kBuf, row.len, row.offset); };
    auto clear = [&] {
      for (const auto &f : queue->Read())
        if (f.flags & IMS_PGFAULT_LAST_PAGE)
          queue->Answer(f.cookie);
      for (uint32_t cookie = 1; cookie < 3; cookie++)
        queue->Answer(cookie);
    };
    EXPECT_EQ(read(), row.empty) << row.len << " at " << row.offset;
    Group(1);
    EXPECT_EQ(read(), row.one) << row.len << " at " << row.offset;
    clear();
    Group(3);
    EXPECT_EQ(read(), row.three) << row.len << " at " << row.offset;
    clear();
    EXPECT_EQ(ep->e.outstanding, 0u);
  }
}

TEST_F(FaultFile, WholeGroupsAsManyAsFit) {
  Group(2);
  Group(3);
  Group(1);
  EXPECT_EQ(queue->ReadRaw(4 * kRecord), long(2 * kRecord)); // the second would be cut
  EXPECT_TRUE(queue->Waiting());
  EXPECT_EQ(queue->ReadRaw(2 * kRecord), -EINVAL);
  EXPECT_EQ(queue->ReadRaw(4 * kRecord), long(4 * kRecord));
  EXPECT_FALSE(queue->Waiting());
  EXPECT_EQ(m.arena.Get<ims_iommu_hwpt_pgfault>(FaultQueue::kBuf).cookie, 2u);
  EXPECT_EQ(m.arena.Get<ims_iommu_hwpt_pgfault>(FaultQueue::kBuf + 3 * kRecord).cookie, 3u);
}

TEST_F(FaultFile, ABadBufferLeavesTheGroupItMeets) {
  Group(2);
  Group(2);
  EXPECT_EQ(queue->ReadRaw(2 * kRecord, m.arena.Tail(kRecord)), -EFAULT);
  EXPECT_EQ(queue->Answer(1), -EINVAL);                                                 // its cookie was not given out
  EXPECT_EQ(queue->ReadRaw(4 * kRecord, m.arena.Tail(3 * kRecord)), long(2 * kRecord)); // what came before counts
  EXPECT_TRUE(queue->Waiting());
  auto rest = queue->Read();
  ASSERT_EQ(rest.size(), 2u);
  EXPECT_EQ(rest[0].cookie, 2u);
  EXPECT_EQ(queue->Answer(2), 8);
  EXPECT_EQ(queue->Answer(1), 8);
  EXPECT_EQ(ep->e.outstanding, 0u);
}

TEST_F(FaultFile, WriteRules) {
  struct {
    const char *what;
    std::vector<ims_iommu_hwpt_page_response> put;
    size_t len;
    uint64_t offset;
    long expected;
    size_t answered;
  } const rows[] = {
      {"nothing", {}, 0, 0, 0, 0},
      {"half a response", {{1, 0}}, 4, 0, -ESPIPE, 0},
      {"one and a half", {{1, 0}, {2, 0}}, 12, 0, -ESPIPE, 0},
      {"at an offset", {{1, 0}}, 8, 8, -ESPIPE, 0},
      {"cookie 0", {{0, 0}}, 8, 0, -EINVAL, 0},
      {"a cookie of nobody", {{4, 0}}, 8, 0, -EINVAL, 0},
      {"a cookie far away", {{0xffffffff, 0}}, 8, 0, -EINVAL, 0},
      {"a code that is none", {{1, 2}}, 8, 0, -EINVAL, 0},
      {"both", {{1, 0}, {2, 1}}, 16, 0, 16, 2},
      {"the second is bad", {{1, 0}, {9, 0}, {2, 0}}, 24, 0, 8, 1},
      {"the second's code is bad", {{1, 1}, {2, 15}}, 16, 0, 8, 1},
      {"twice the same", {{2, 0}, {2, 0}}, 16, 0, 8, 1},
  };
  for (const auto &row : rows) {
    Group(1);
    Group(1);
    ASSERT_EQ(queue->Read().size(), 2u);
    ep->responses.clear();
    for (size_t i = 0; i < row.put.size(); i++)
      m.arena.Put(row.put[i], FaultQueue::kBuf + 8 * i);
    EXPECT_EQ(ims_write(queue->file, FaultQueue::kBuf, row.len, row.offset), row.expected) << row.what;
    EXPECT_EQ(ep->responses.size(), row.answered) << row.what;
    queue->Answer(1);
    queue->Answer(2);
    EXPECT_EQ(ep->e.outstanding, 0u) << row.what;
  }
  Group(1);
  ASSERT_EQ(queue->Read().size(), 1u);
  m.arena.Put(ims_iommu_hwpt_page_response{1, 0}, m.arena.Tail(8));
  EXPECT_EQ(ims_write(queue->file, m.arena.Tail(8), 16, 0), 8); // the second lies outside
  Group(1);
  ASSERT_EQ(queue->Read().size(), 1u);
  EXPECT_EQ(ims_write(queue->file, m.arena.Tail(8) + 8, 8, 0), -EFAULT);
  EXPECT_EQ(ims_ioctl(queue->file, IMS_IOMMU_DESTROY, Arena::kBase), -ENOTTY);
}

// The lowest free cookie is given out first.
TEST_F(FaultFile, CookiesAreReused) {
  for (int i = 0; i < 40; i++)
    Group(1);
  auto r = queue->Read();
  ASSERT_EQ(r.size(), 40u);
  EXPECT_EQ(r[39].cookie, 40u);
  EXPECT_EQ(queue->Answer(17), 8);
  EXPECT_EQ(queue->Answer(5), 8);
  for (int i = 0; i < 3; i++)
    Group(1);
  r = queue->Read();
  ASSERT_EQ(r.size(), 3u);
  EXPECT_EQ(r[0].cookie, 5u);
  EXPECT_EQ(r[1].cookie, 17u);
  EXPECT_EQ(r[2].cookie, 41u);
}

// ---- Tables and devices ---------------------------------------------------------------------------------------------

TEST(FaultHwpt, AllocErrors) {
  Rig r;
  auto alloc = [&](uint32_t flags, uint32_t fault) { return r.c.Hwpt<int>(r.id, r.ioas, flags, 0, nullptr, fault); };
  EXPECT_EQ(alloc(IMS_HWPT_FAULT_ID_VALID, 99), -ENOENT);
  EXPECT_EQ(alloc(IMS_HWPT_FAULT_ID_VALID, r.ioas), -ENOENT);
  EXPECT_EQ(alloc(IMS_HWPT_FAULT_ID_VALID, 0), -ENOENT);
  EXPECT_EQ(alloc(IMS_HWPT_FAULT_ID_VALID | IMS_HWPT_NEST_PARENT, r.queue->id), -EOPNOTSUPP);
  EXPECT_GT(alloc(0, 99), 0); // without the flag the field does not count
  EXPECT_GT(alloc(IMS_HWPT_FAULT_ID_VALID, r.queue->id), 0);
}

TEST(FaultHwpt, ADeviceThatCannotAskIsNotAttached) {
  for (bool has_pri : {false, true}) {
    Machine m;
    m.AddUnit();
    ims_device_config config = Machine::DeviceConfig();
    config.pri = has_pri;
    ims_device *dev = m.AddDevice(config);
    ims_device_enable_pri(dev, false); // what it may have is off
    Client c(m);
    ims_file *cdev = c.OpenDevice(dev);
    auto id = static_cast<uint32_t>(c.Bind(cdev));
    uint32_t ioas = c.Ioas();
    FaultQueue q(c);
    int64_t t = c.Hwpt<int>(id, ioas, IMS_HWPT_FAULT_ID_VALID, 0, nullptr, q.id), plain = c.Hwpt(id, ioas);
    EXPECT_EQ(c.Attach(cdev, static_cast<uint32_t>(t)), -ENODEV);
    ASSERT_EQ(c.Attach(cdev, static_cast<uint32_t>(plain)), plain);
    EXPECT_EQ(c.Attach(cdev, static_cast<uint32_t>(t)), -ENODEV); // replace: what was there stays
    uint64_t va = c.Memory(kPage);
    ASSERT_EQ(c.Map(ioas, 0x1000, va, kPage), 0);
    EXPECT_EQ(m.Dma(dev, 0x1000).status, IMS_STATUS_OK);
    EXPECT_EQ(c.Destroy(static_cast<uint32_t>(t)), 0);
  }
}

// The SMMUv3 driver takes a device that neither stalls nor asks: it may have its own way.
TEST(FaultHwpt, AnSmmuTakesADeviceThatCannotAsk) {
  Machine m(IMS_DIALECT_V7, ArmCpu);
  m.AddSmmu();
  ims_device_config config = Machine::DeviceConfig();
  config.ats = config.pri = false;
  ims_device *dev = m.AddDevice(config);
  Client c(m);
  ims_file *cdev = c.OpenDevice(dev);
  auto id = static_cast<uint32_t>(c.Bind(cdev));
  FaultQueue q(c);
  int64_t t = c.Hwpt<int>(id, c.Ioas(), IMS_HWPT_FAULT_ID_VALID, 0, nullptr, q.id);
  EXPECT_EQ(c.Attach(cdev, static_cast<uint32_t>(t)), t);
}

// A guest's own first stage: requests carry guest addresses, and the guest's table gets the page.
TEST(FaultHwpt, NestedTranslation) {
  Machine m;
  m.AddUnit();
  Endpoints ends(m);
  ims_device *dev = m.AddDevice();
  Endpoint ep(ends, dev);
  Client c(m);
  ims_file *cdev = c.OpenDevice(dev);
  auto id = static_cast<uint32_t>(c.Bind(cdev));
  uint32_t ioas = c.Ioas();
  int64_t parent = c.Hwpt(id, ioas, IMS_HWPT_NEST_PARENT);
  ims_vm *vm = c.Guest(ioas, 16 * kMB);
  GuestTable t(vm);
  FaultQueue q(c);
  ims_iommu_hwpt_vtd_s1 s1{};
  s1.pgtbl_addr = t.pgt.root;
  s1.addr_width = 48;
  int64_t nested = c.Hwpt(id, static_cast<uint32_t>(parent), IMS_HWPT_FAULT_ID_VALID, IMS_HWPT_DATA_VTD_S1, &s1, q.id);
  ASSERT_GT(nested, 0);
  ASSERT_EQ(c.Attach(cdev, static_cast<uint32_t>(nested)), nested);
  EXPECT_EQ(ep.Dma(0x7000000000, IMS_ACC_W), IMS_DMA_NO_RIGHTS);
  ep.Ask(0x7000000000, true);
  auto r = q.Read();
  ASSERT_EQ(r.size(), 1u);
  EXPECT_EQ(r[0].addr, 0x7000000000u);
  t.Map(0x7000000000, 2 * kMB, kPage);
  EXPECT_EQ(q.Answer(r[0].cookie), 8);
  uint64_t word = 0x1122334455667788, got = 0;
  EXPECT_EQ(ep.Dma(0x7000000010, IMS_ACC_W, -1, true, &word), IMS_DMA_DONE);
  ASSERT_EQ(ims_vm_read(vm, 2 * kMB + 0x10, &got, 8), IMS_ERR_OK);
  EXPECT_EQ(got, word);
  EXPECT_EQ(c.Destroy(q.id), -EBUSY);
  EXPECT_EQ(c.Detach(cdev), 0);
  EXPECT_EQ(c.Destroy(static_cast<uint32_t>(nested)), 0);
  ims_close(q.file);
  EXPECT_EQ(c.Destroy(q.id), 0);
}

} // namespace
} // namespace uapi_test
