// SPDX-License-Identifier: Apache-2.0
// Page requests under random interleavings: devices ask (in whole and in cut groups, under PASIDs of a queue, of a process
// and of nobody) and stall, units overflow, a VMM reads and answers, and attachments come, go and are replaced at any
// moment. Whatever happens, each group that a device has closed, and each access that was stalled, gets one answer; the
// VMM is told of each request once; and an answer of the VMM's is the one that the device gets.
#include "tests/uapi/arm_guest.h"
#include "tests/uapi/endpoint.h"
#include <random>
#include <set>

namespace uapi_test {
namespace {

constexpr uint32_t kOwnPasid = 50, kNobodysPasid = 77; // the processes' are the lowest

enum Kind { VTD, SMMU, KINDS };

class Traffic {
public:
  Traffic(Kind kind, uint64_t seed) : kind_(kind), random_(seed), m_(IMS_DIALECT_V7, Tune(kind, this), 64 * kMB) {
    if (kind == SMMU) {
      ims_smmuv3_config c = Machine::SmmuConfig();
      c.priqs = Below(2) ? 4 : 10; // small ones overflow
      c.eventqs = Below(2) ? 2 : 8;
      m_.AddSmmu(c);
    } else {
      m_.AddUnit();
    }
    Watch();
    for (uint16_t i = 0; i < 3; i++)
      AddDevice(i);
    for (int i = 0; i < 2; i++) {
      queue_.push_back(std::make_unique<FaultQueue>(c_));
      table_.push_back(Table(queue_.back().get()));
      open_.push_back(true);
    }
    table_.push_back(Table(nullptr));
    process_ = m_.AddProcess();
    EXPECT_EQ(ims_mmap(process_, 0x10000000, 64 * kPage, 3, IMS_MMAP_FIXED, &area_), 0);
    for (Dev &d : dev_)
      Attach(d);
    armed_ = true;
  }

  void Steps(int n) {
    for (int i = 0; i < n; i++)
      Step();
  }

  // All ends, one way or another; then nothing may wait any more.
  void End() {
    switch (Below(3)) {
    case 0:
      ims_process_exit(c_.process);
      exited_ = true;
      break;
    case 1:
      for (Dev &d : dev_)
        ims_close(d.cdev);
      break;
    default:
      for (Dev &d : dev_)
        for (uint32_t pasid : {0u, kOwnPasid})
          Detach(d, pasid);
    }
    if (process_ && Below(2)) {
      ims_process_exit(process_);
      process_ = nullptr;
    }
    for (Dev &d : dev_)
      while (!d.sva.empty())
        Unbind(d);
    armed_ = false;
    while (ims_kernel_interrupts(m_.kernel)) {}
    Check();
  }

  uint64_t told = 0, answered = 0, refused = 0, dropped = 0, automatic = 0, stalls = 0;

private:
  struct Dev {
    std::unique_ptr<Endpoint> ep;
    ims_device *dev;
    ims_file *cdev;
    uint32_t id;
    bool stall;
    std::map<uint32_t, uint32_t> attached; // table by PASID
    std::vector<ims_sva *> sva;
    std::vector<std::pair<uint16_t, uint32_t>> open; // groups, with their PASID
    std::map<uint16_t, uint64_t> instance;           // which of the groups of this number it is now
  };
  struct Waiting {
    size_t dev;
    uint32_t pasid, group;
    bool stall;
    uint64_t instance;
  };
  enum Moment { IDLE, SENDING, ANSWERING };

  // While the driver is at work, between any two of its steps, devices go on.
  static std::function<void(ims_kernel_config &)> Tune(Kind kind, Traffic *t) {
    return [kind, t](ims_kernel_config &c) {
      c.hooks.ctx = t;
      c.hooks.observe = [](void *ctx, const ims_note *) { static_cast<Traffic *>(ctx)->Amidst(); };
      c.pool_size = 48 * kMB;
      if (kind == SMMU)
        ArmCpu(c);
    };
  }
  uint64_t Below(uint64_t n) { return random_() % n; }

  // ---- Devices and tables

  void AddDevice(uint16_t i) {
    ims_device_config config = Machine::DeviceConfig(static_cast<uint16_t>(0x300 + i), 10u + i);
    Dev d{};
    d.stall = kind_ == SMMU && i == 2;
    if (d.stall) {
      config.ats = config.pri = false;
      config.stall = config.not_pci = true;
    }
    d.dev = m_.AddDevice(config);
    d.ep = std::make_unique<Endpoint>(ends_, d.dev, 4096);
    Open(&d);
    dev_.push_back(std::move(d));
  }
  void Open(Dev *d) {
    d->cdev = c_.OpenDevice(d->dev);
    int64_t id = c_.Bind(d->cdev);
    ASSERT_GT(id, 0);
    d->id = static_cast<uint32_t>(id);
    d->attached.clear();
  }
  uint32_t Table(const FaultQueue *q) {
    if (!ioas_)
      ioas_ = c_.Ioas();
    uint32_t flags = (kind_ == VTD ? unsigned(IMS_HWPT_PASID) : 0u) | (q ? unsigned(IMS_HWPT_FAULT_ID_VALID) : 0u);
    int64_t t = c_.Hwpt<int>(dev_[0].id, ioas_, flags, 0, nullptr, q ? q->id : 0);
    EXPECT_GT(t, 0);
    return static_cast<uint32_t>(t);
  }

  // ---- What units send

  void Watch() {
    auto response = m_.on_response;
    m_.on_response = [this, response](const ims_page_response &r) {
      Response(r);
      response(r);
    };
    auto resume = m_.on_resume;
    m_.on_resume = [this, resume](const ims_resume &r) {
      ims_kernel_counters n;
      ims_kernel_count(m_.kernel, &n);
      if (n.page_responses ==
          responses_ + resumes_) { // the unit's own: no room for the record, and then an invalidation
        EXPECT_EQ(r.action, IMS_RESUME_RETRY);
        retries_++;
        resume(r);
        return;
      }
      resumes_++;
      if (moment_ == ANSWERING) {
        EXPECT_EQ(r.source, expected_.source);
        EXPECT_EQ(r.stag, expected_.group);
        EXPECT_EQ(r.action, expected_.code ? unsigned(IMS_RESUME_ABORT) : unsigned(IMS_RESUME_RETRY));
        expected_.seen++;
        moment_ = IDLE; // what the device does then is its own business
      } else {
        EXPECT_TRUE(r.action == IMS_RESUME_ABORT || Serves(r.source)) << "an answer that nobody gave";
      }
      resume(r);
    };
  }
  void Response(const ims_page_response &r) {
    if (moment_ == SENDING) { // of the unit itself
      automatic++;
      return;
    }
    responses_++;
    if (moment_ == ANSWERING) {
      EXPECT_EQ(r.source, expected_.source);
      EXPECT_EQ(r.group, expected_.group);
      EXPECT_EQ(r.has_pasid ? r.pasid : 0, expected_.pasid);
      EXPECT_EQ(r.code, expected_.code);
      expected_.seen++;
      moment_ = IDLE; // the call handles interrupts, too
      return;
    }
    bool sva = r.has_pasid && r.pasid != kOwnPasid && r.pasid != kNobodysPasid;
    EXPECT_TRUE(r.code == 1 || (r.code == 0 && sva)) << "code " << int(r.code) << " that nobody gave";
    dropped += !sva;
  }
  bool Serves(uint32_t source) const { // a process, also while it is being bound
    const Dev &d = dev_.at(source - 0x300);
    return !d.sva.empty() || binding_ == &d;
  }

  // ---- Steps

  void Amidst() {
    if (!armed_ || Below(24))
      return;
    Moment before = moment_;
    armed_ = false;
    Dev &d = dev_[Below(dev_.size())];
    d.stall ? Stall(d) : Ask(d);
    moment_ = before;
    armed_ = true;
  }
  void Step() {
    Dev &d = dev_[Below(dev_.size())];
    switch (Below(16)) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4: return d.stall ? Stall(d) : Ask(d);
    case 5: return d.stall ? Stall(d) : Burst(d);
    case 6: ims_kernel_interrupts(m_.kernel); return;
    case 7:
    case 8: return Read(Below(2));
    case 9:
    case 10: return Answer(Below(2));
    case 11: return Attach(d);
    case 12:
      if (Below(3) == 0)
        Detach(d, RandomPasid() == kOwnPasid ? kOwnPasid : 0);
      return;
    case 13: return Below(2) ? Bind(d) : Unbind(d);
    case 14:
      if (Below(4) == 0)
        Reopen(d);
      return;
    default:
      if (Below(30) == 0)
        CloseQueue(Below(2));
      else if (Below(20) == 0 && process_)
        Replaced();
    }
  }

  uint32_t RandomPasid() {
    static const uint32_t pasids[] = {0, 0, kOwnPasid, 1, 2, kNobodysPasid};
    return pasids[Below(6)];
  }

  void Ask(Dev &d) {
    uint16_t group = 0xffff;
    uint32_t pasid = RandomPasid();
    size_t which = 0;
    if (!d.open.empty() && Below(2)) { // goes on with a group
      which = Below(d.open.size());
      group = d.open[which].first;
      pasid = d.open[which].second;
    }
    bool fresh = group == 0xffff, last = Below(2), write = Below(2), was_armed = armed_;
    uint64_t addr = NextAddress(d, pasid);
    if (fresh)
      d.ep->e.next_group = static_cast<uint32_t>(Below(6)); // numbers come again soon
    armed_ = false;
    moment_ = SENDING;
    int err = d.ep->Ask(addr, write, pasid ? int64_t(pasid) : -1, last, &group);
    moment_ = IDLE;
    armed_ = was_armed;
    if (fresh)
      d.instance[group] = ++instances_;
    if (auto who = asked_.find(addr); who != asked_.end())
      who->second.instance = d.instance[group];
    if (err == IMS_ERR_PERM || err == IMS_ERR_NOSPACE)
      return; // it asks no more
    ASSERT_TRUE(err == IMS_ERR_OK || err == IMS_ERR_IO) << err;
    if (last && !fresh)
      d.open.erase(d.open.begin() + static_cast<long>(which));
    else if (!last && fresh)
      d.open.push_back({group, pasid});
  }
  void Burst(Dev &d) {
    for (uint64_t n = Below(24); n-- > 0;)
      Ask(d);
    if (kind_ == VTD && Below(100) == 0) // its queue has 1024 places
      for (int n = 0; n < 1100; n++)
        Ask(d);
  }
  void Stall(Dev &d) {
    uint32_t pasid = Below(2) ? 0 : 1 + static_cast<uint32_t>(Below(2));
    uint64_t addr = NextAddress(d, pasid);
    if (d.ep->Dma(addr, Below(2) ? IMS_ACC_R : IMS_ACC_W, pasid ? int64_t(pasid) : -1, false) == IMS_DMA_STALLED)
      stalls++;
  }
  // Each request has its own page, so that it is known again.
  uint64_t NextAddress(const Dev &d, uint32_t pasid) {
    if (pasid == 1 || pasid == 2)
      return Below(2) ? area_ + Below(64) * kPage : 0x1000;
    uint64_t addr = 0x400000000 + (serial_++ << 12);
    asked_[addr] = {static_cast<size_t>(&d - dev_.data()), pasid, 0, d.stall, 0};
    return addr;
  }

  void Read(size_t q) {
    if (!open_[q])
      return;
    uint64_t instance = 0; // of the group that is being read
    long n = queue_[q]->ReadRaw((1 + Below(12)) * sizeof(ims_iommu_hwpt_pgfault));
    if (n == -EINVAL)
      return; // a group of more requests
    ASSERT_GE(n, 0);
    uint64_t at = FaultQueue::kBuf;
    for (; n > 0; n -= static_cast<long>(sizeof(ims_iommu_hwpt_pgfault)), at += sizeof(ims_iommu_hwpt_pgfault)) {
      auto f = m_.arena.Get<ims_iommu_hwpt_pgfault>(at);
      told++;
      auto who = asked_.find(f.addr);
      ASSERT_NE(who, asked_.end()) << "never asked for";
      const Dev &d = dev_[who->second.dev];
      if (!who->second.stall) {
        EXPECT_TRUE(told_.insert(f.addr).second) << "told twice";
        EXPECT_EQ(f.pasid, who->second.pasid);
      }
      EXPECT_EQ(f.dev_id, d.id);
      EXPECT_EQ(table_[q], d.attached.count(f.pasid) ? d.attached.at(f.pasid) : 0) << "somebody else's";
      EXPECT_EQ(who->second.instance, instance ? instance : who->second.instance) << "of an older group";
      instance = who->second.instance;
      if (f.flags & IMS_PGFAULT_LAST_PAGE) {
        instance = 0;
        EXPECT_TRUE(
            waiting_[q].emplace(f.cookie, Waiting{who->second.dev, f.pasid, f.grpid, who->second.stall, 0}).second);
      }
    }
  }
  void Answer(size_t q) {
    if (!open_[q])
      return;
    uint32_t cookie = static_cast<uint32_t>(Below(8)), code = Below(3) ? 0 : 1;
    if (!waiting_[q].empty() && Below(8)) {
      auto at = waiting_[q].begin();
      std::advance(at, static_cast<long>(Below(waiting_[q].size())));
      cookie = at->first;
    }
    while (ims_kernel_interrupts(m_.kernel)) {}
    auto w = waiting_[q].find(cookie);
    bool known = w != waiting_[q].end();
    if (known) {
      expected_ = {0x300u + static_cast<uint32_t>(w->second.dev), w->second.group, w->second.pasid, code, 0};
      moment_ = ANSWERING;
    }
    long ret = queue_[q]->Answer(cookie, code);
    moment_ = IDLE;
    EXPECT_EQ(ret, known ? 8 : -EINVAL) << "cookie " << cookie;
    if (!known)
      return;
    EXPECT_EQ(expected_.seen, 1u);
    answered++;
    refused += code;
    waiting_[q].erase(w);
  }

  void Forget(const Dev &d, uint32_t pasid) {
    for (auto &q : waiting_)
      for (auto at = q.begin(); at != q.end();)
        at = &dev_[at->second.dev] == &d && at->second.pasid == pasid ? q.erase(at) : std::next(at);
  }
  void Attach(Dev &d) {
    uint32_t pasid = kind_ == VTD && Below(2) ? kOwnPasid : 0, t = table_[Below(table_.size())];
    int64_t ret = c_.Attach(d.cdev, t, pasid ? int64_t(pasid) : -1);
    auto was = d.attached.find(pasid);
    if (ret == t) {
      if (was == d.attached.end() || was->second != t)
        Forget(d, pasid);
      d.attached[pasid] = t;
      return;
    }
    EXPECT_TRUE(ret == -EBUSY || ret == -EINVAL) << ret; // processes are bound (SMMUv3)
  }
  void Detach(Dev &d, uint32_t pasid) {
    if (pasid && kind_ != VTD)
      return;
    EXPECT_EQ(c_.Detach(d.cdev, pasid ? int64_t(pasid) : -1), 0);
    Forget(d, pasid);
    d.attached.erase(pasid);
  }
  void Reopen(Dev &d) {
    if (!d.sva.empty()) // whose device it then is not to give away
      return;
    ims_close(d.cdev);
    for (uint32_t pasid : {0u, kOwnPasid})
      Forget(d, pasid);
    Open(&d);
  }
  void CloseQueue(size_t q) {
    if (open_[q])
      ims_close(queue_[q]->file);
    open_[q] = false;
  }
  void Bind(Dev &d) {
    ims_sva *s = nullptr;
    binding_ = &d;
    if (process_ && ims_sva_bind(d.dev, process_, &s) == 0)
      d.sva.push_back(s);
    binding_ = nullptr;
  }
  void Unbind(Dev &d) {
    if (d.sva.empty())
      return;
    ims_sva_unbind(d.sva.back());
    d.sva.pop_back();
  }
  // The process ends while devices are bound to it, and another comes.
  void Replaced() {
    ims_process_exit(process_);
    process_ = m_.AddProcess();
    EXPECT_EQ(ims_mmap(process_, 0x10000000, 64 * kPage, 3, IMS_MMAP_FIXED, &area_), 0);
  }

  // ---- The count

  void Check() {
    uint64_t kernel = 0;
    for (const Dev &d : dev_) {
      const ims_endpoint &e = d.ep->e;
      EXPECT_EQ(e.count.unexpected_responses, 0u);
      for (uint32_t i = 0; i < e.outstanding; i++)
        EXPECT_FALSE(e.group[i].closed) << "group " << e.group[i].group << " was never answered";
      EXPECT_EQ(e.outstanding, d.open.size());
      EXPECT_EQ(e.stalled, nullptr) << "stalled for ever";
      EXPECT_EQ(e.count.stalls, e.count.resumes);
      kernel += e.count.responses + e.count.resumes;
    }
    // No answer of the driver's met nothing.
    ims_kernel_counters n;
    ims_kernel_count(m_.kernel, &n);
    EXPECT_EQ(n.page_responses, kernel - automatic - retries_);
    EXPECT_EQ(responses_ + resumes_ + automatic + retries_, kernel);
    EXPECT_EQ(ims_iommu_read(m_.units[0], IMS_VTD_OFF_PRS, 4) & (kind_ == VTD ? 2u : 0u), 0u);
    for (size_t q = 0; q < 2; q++)
      EXPECT_EQ(exited_ || !open_[q] ? 0 : queue_[q]->ReadRaw(51 * sizeof(ims_iommu_hwpt_pgfault)), 0);
  }

  bool armed_ = false; // before the machine, which asks
  Kind kind_;
  std::mt19937_64 random_;
  Machine m_;
  Endpoints ends_{m_};
  Client c_{m_};
  std::vector<Dev> dev_;
  std::vector<std::unique_ptr<FaultQueue>> queue_;
  std::vector<uint32_t> table_; // the first two have queues
  std::vector<bool> open_;
  ims_process *process_ = nullptr;
  uint64_t area_ = 0, serial_ = 0, instances_ = 0, responses_ = 0, resumes_ = 0, retries_ = 0;
  uint32_t ioas_ = 0;
  bool exited_ = false;
  const Dev *binding_ = nullptr;
  Moment moment_ = IDLE;
  struct {
    uint32_t source, group, pasid, code;
    unsigned seen;
  } expected_{};
  std::map<uint64_t, Waiting> asked_;
  std::set<uint64_t> told_;
  std::map<uint32_t, Waiting> waiting_[2];
};

struct IopfProperty : testing::TestWithParam<Kind> {};

TEST_P(IopfProperty, EachRequestIsAnsweredOnce) {
  uint64_t told = 0, answered = 0, refused = 0, dropped = 0, automatic = 0, stalls = 0;
  for (uint64_t seed = 1; seed <= 1000; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Traffic run(GetParam(), seed);
    run.Steps(80);
    run.End();
    told += run.told;
    answered += run.answered;
    refused += run.refused;
    dropped += run.dropped;
    automatic += run.automatic;
    stalls += run.stalls;
    if (HasFailure())
      break;
  }
  // That all of it occurred.
  EXPECT_GT(told, 2000u);
  EXPECT_GT(answered, 1000u);
  EXPECT_GT(refused, 300u);
  EXPECT_GT(dropped, 2000u);
  EXPECT_GT(automatic, 100u);
  EXPECT_GE(stalls, GetParam() == SMMU ? 1000u : 0u);
}

INSTANTIATE_TEST_SUITE_P(Units, IopfProperty, testing::Values(VTD, SMMU), [](const testing::TestParamInfo<Kind> &i) {
  return std::string(i.param == VTD ? "Vtd" : "Smmuv3");
});

} // namespace
} // namespace uapi_test
