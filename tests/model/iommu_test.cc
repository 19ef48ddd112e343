// SPDX-License-Identifier: Apache-2.0
// The Iommu module: what a request takes, and what happens when resources are short.
#include "tests/model/rig.h"

#include <gtest/gtest.h>
#include <random>

using namespace ims::model;

namespace {

MachineConfig machine_of(unsigned arch, unsigned translation = TRANSLATE_NESTED) {
  MachineConfig m;
  m.arch = arch;
  m.translation = translation;
  return m;
}

// The closed formula: the same request stepped by hand on a twin of the machine, each step charged from the knobs.
struct Charged {
  Ticks time = 0;
  unsigned reads = 0;
};
Charged charge(ims_iommu *unit, const Stream &s, uint64_t iova, const IommuConfig &c, const MemoryConfig &m) {
  ims_request r = {};
  r.iova = iova;
  r.source = s.source;
  r.pasid = s.pasid;
  r.has_pasid = s.has_pasid;
  r.access = IMS_ACC_R;
  ims_result res = {};
  ims_xlate x;
  ims_xlate_begin(&x, unit, &r, &res);
  Charged sum;
  unsigned group = 0; // the paging-structure caches of a stage that were looked up just before
  for (;;) {
    ims_step_kind kind = ims_xlate_step(&x);
    if (kind >= IMS_STEP_DONE)
      break;
    ims_xlate_answer(&x, kind);
    unsigned cache = x.port.step.cache, now = 0;
    switch (kind) {
    case IMS_STEP_READ:
      sum.time += c.walker_ns + m.read_ns;
      sum.reads++;
      break;
    case IMS_STEP_UPDATE: sum.time += c.walker_ns + m.read_ns; break;
    case IMS_STEP_PROBE:
      if (cache == IMS_CACHE_CONTEXT)
        sum.time += c.context_ns;
      else if (cache == IMS_CACHE_PASID)
        sum.time += c.pasid_ns;
      else if (cache == IMS_CACHE_IOTLB)
        sum.time += c.iotlb_ns;
      else if (cache == IMS_CACHE_NESTED)
        sum.time += c.nested_ns;
      else {
        now = cache <= IMS_CACHE_S1_L5 ? 1 : 2;
        if (now != group)
          sum.time += now == 1 ? c.s1_psc_ns : c.s2_psc_ns;
      }
      break;
    default: break;
    }
    if (kind != IMS_STEP_FILL)
      group = now;
  }
  ims_xlate_finish(&x);
  EXPECT_TRUE(res.status == IMS_STATUS_OK || res.status == IMS_STATUS_BYPASS);
  sum.time += c.request_ns + c.response_ns + m.read_ns; // and the DMA itself
  return sum;
}

struct Twin { // the same machine, without time
  explicit Twin(const MachineConfig &m, const ims_vtd_config &v, const ims_smmuv3_config &s) : machine(m, v, s) {
    ims_iommu_bus none = {};
    unit = machine.maker()(&none);
    machine.start(unit);
  }
  ~Twin() { ims_iommu_free(unit); }
  Machine machine;
  ims_iommu *unit;
};

IommuConfig random_times(std::mt19937 &random) {
  IommuConfig c;
  auto pick = [&](uint32_t most) { return random() % (most * 1000); };
  c.request_ns = pick(9);
  c.response_ns = pick(9);
  c.context_ns = pick(7);
  c.pasid_ns = pick(7);
  c.iotlb_ns = pick(7);
  c.nested_ns = pick(7);
  c.s1_psc_ns = pick(7);
  c.s2_psc_ns = pick(7);
  c.walker_ns = pick(4);
  return c;
}

} // namespace

// Every combination of caches, both architectures, several shapes, random latencies: cold, warm, and a neighbour.
TEST(IommuTime, UnloadedLatencyIsTheSumOfTheSteps) {
  std::mt19937 random(4);
  unsigned formulas = 0;
  for (unsigned arch : {ARCH_VTD, ARCH_SMMUV3})
    for (unsigned translation : {TRANSLATE_NESTED, TRANSLATE_FIRST, TRANSLATE_SECOND, TRANSLATE_PASS_THROUGH})
      for (unsigned bits = 0; bits < 64; bits += 1 + random() % 4) {
        MachineConfig m = machine_of(arch, translation);
        m.s1_levels = 3 + random() % (arch == ARCH_VTD ? 3 : 2);
        if (arch == ARCH_VTD && m.s1_levels == 3)
          m.s1_levels = 4;
        m.s2_levels = 3 + random() % 2;
        m.preset_ad = random() % 2;
        ims_vtd_config v = caches_of(vtd_config(), bits);
        ims_smmuv3_config s = caches_of(smmuv3_config(), bits);
        v.psc_gpa = s.walk_ipa = random() % 2;
        IommuConfig c = random_times(random);
        MemoryConfig mem;
        mem.read_ns = 1000 + random() % 90000;
        Rig at(m, c, v, s, mem);
        Twin twin(m, v, s);
        SCOPED_TRACE(testing::Message() << "arch " << arch << " translation " << translation << " caches " << bits);
        const uint64_t pages[] = {0, 0, 1, 5, 0};
        for (unsigned i = 0; i < 5; i++)
          at.device.send(i * MS, at.stream(), at.page(pages[i]) + 64 * i);
        at.simulation.run();
        for (unsigned i = 0; i < 5; i++) {
          Charged want = charge(twin.unit, at.stream(), at.page(pages[i]) + 64 * i, c, mem);
          ASSERT_TRUE(at.device.sent[i].done);
          ASSERT_TRUE(at.device.sent[i].ok());
          EXPECT_EQ(at.device.sent[i].took(), want.time) << "approximately timed, request " << i;
          EXPECT_EQ(at.device.sent[i].result().refs, want.reads);
          formulas++;
        }
        EXPECT_TRUE(at.idle());
        {
          Rig lt(m, c, v, s, mem);
          for (unsigned i = 0; i < 5; i++)
            lt.device.call(i * MS, lt.stream(), lt.page(pages[i]) + 64 * i);
          lt.simulation.run();
          for (unsigned i = 0; i < 5; i++) {
            ASSERT_TRUE(lt.device.sent[i].ok());
            EXPECT_EQ(lt.device.sent[i].took(), at.device.sent[i].took()) << "loosely timed, request " << i;
          }
        }
      }
  EXPECT_GT(formulas, 700u);
}

TEST(IommuTime, ColdWalkOf28And36ReadsByArithmetic) {
  for (unsigned arch : {ARCH_VTD, ARCH_SMMUV3}) {
    MachineConfig m = machine_of(arch);
    m.stream_table = m.cd_table = 1; // two levels
    IommuConfig c;
    c.walker_ns = 3 * NS;
    MemoryConfig mem;
    mem.read_ns = 70 * NS;
    Rig rig(m, c, bare(vtd_config()), bare(smmuv3_config()), mem);
    auto &x = rig.device.send(0, rig.stream(), rig.page(3));
    rig.simulation.run();
    const unsigned reads = arch == ARCH_VTD ? 28 : 36;
    EXPECT_EQ(x.result().refs, reads);
    EXPECT_EQ(x.took(), 1 * NS + reads * 73 * NS + 1 * NS + 70 * NS);
    EXPECT_EQ(rig.memory.counters().walker_reads, reads);
    EXPECT_EQ(rig.iommu.counters().walk_reads, reads);
    EXPECT_EQ(x.result().output, rig.machine.frame(0, rig.page(3)));
  }
}

// Walks that read memory directly take the same time, and find the same; the memory sees nothing of it.
TEST(IommuTime, WalksByDirectAccessTakeTheSameTime) {
  for (unsigned arch : {ARCH_VTD, ARCH_SMMUV3}) {
    Ticks took[2];
    for (unsigned direct : {0, 1}) {
      IommuConfig c;
      c.walk_dmi = direct;
      Rig rig(machine_of(arch), c, bare(vtd_config()), bare(smmuv3_config()));
      rig.device.call(0, rig.stream(), rig.page(3));
      auto &x = rig.device.call(MS, rig.stream(), rig.page(5));
      rig.simulation.run();
      took[direct] = x.took();
      EXPECT_EQ(x.result().output, rig.machine.frame(0, rig.page(5)));
      EXPECT_EQ(rig.iommu.counters().walk_reads, 2 * x.result().refs);
      EXPECT_EQ(rig.memory.counters().walker_reads, direct ? 0 : 2 * x.result().refs);
    }
    EXPECT_EQ(took[0], took[1]);
  }
}

// The IOTLB is filled at the end of the walk: a look-up that ends then hits, and one that ends 1 ps earlier does not.
TEST(IommuTime, AnEntryIsReadyAtItsTimeAndNotBefore) {
  for (Ticks early : {0, 1}) {
    IommuConfig c;
    c.merge = 0;
    Rig rig(machine_of(ARCH_VTD), c);
    auto &first = rig.device.send(0, rig.stream(), rig.page(0));
    rig.simulation.run();
    const Ticks data = 60 * NS, filled = first.took() - data - c.response_ns;
    Rig again(machine_of(ARCH_VTD), c);
    again.device.send(0, again.stream(), again.page(0));
    const Ticks look = c.request_ns + c.context_ns + c.pasid_ns + c.iotlb_ns;
    auto &second = again.device.send(filled - look - early, again.stream(), again.page(0) + 64);
    again.simulation.run();
    EXPECT_EQ(again.iommu.counters().hits, early ? 0u : 1u);
    EXPECT_EQ(second.result().refs == 0, early == 0);
  }
}

TEST(IommuResources, ThroughputIsThatOfTheWalkers) {
  for (unsigned walkers : {1, 2, 5}) {
    IommuConfig c;
    c.walkers = walkers;
    c.pending = 0;
    Rig rig(machine_of(ARCH_VTD), c, bare(vtd_config(), true));
    const unsigned n = 400;
    rig.device.send(0, rig.stream(), rig.page(0)); // configuration structures are cached behind it
    for (unsigned i = 0; i < n; i++)
      rig.device.send(MS, rig.stream(), rig.page(i % 16));
    rig.simulation.run();
    ASSERT_TRUE(rig.device.all_done());
    Ticks last = 0;
    for (auto &s : rig.device.sent)
      last = std::max(last, s.done_at);
    last -= MS;
    const double bound = static_cast<double>(24 * 60 * NS) / walkers;
    EXPECT_NEAR(static_cast<double>(last) / n, bound, bound * 0.02);
    EXPECT_GT(rig.iommu.counters().walker_waits, n / 2);
    EXPECT_TRUE(rig.idle());
  }
}

TEST(IommuResources, MissesToOnePageAreOneWalk) {
  for (bool merge : {false, true}) {
    IommuConfig c;
    c.merge = merge;
    c.walkers = 0;
    Rig rig(machine_of(ARCH_SMMUV3), c);
    for (unsigned i = 0; i < 10; i++)
      rig.device.send(i, rig.stream(), rig.page(2) + 64 * i);
    rig.device.send(0, rig.stream(), rig.page(7));
    rig.simulation.run();
    EXPECT_TRUE(rig.device.all_done());
    EXPECT_EQ(rig.iommu.counters().merged, merge ? 9u : 0u);
    unsigned walks = 0;
    for (auto &s : rig.device.sent) {
      EXPECT_TRUE(s.ok());
      walks += s.result().refs > 0;
    }
    EXPECT_EQ(walks, merge ? 2u : 11u);
    EXPECT_EQ(rig.iommu.counters().requests, 11u);
    EXPECT_EQ(rig.iommu.counters().hits + rig.iommu.counters().misses, 11u);
    EXPECT_TRUE(rig.idle());
  }
}

// Without an IOTLB there is nothing to find behind another's walk.
TEST(IommuResources, WithoutAnIotlbNothingIsMerged) {
  Rig rig(machine_of(ARCH_VTD), {}, bare(vtd_config()));
  for (unsigned i = 0; i < 10; i++)
    rig.device.send(0, rig.stream(), rig.page(0));
  rig.simulation.run();
  EXPECT_TRUE(rig.device.all_done());
  EXPECT_EQ(rig.iommu.counters().merged, 0u);
}

// Those who waited for a walk that faults walk themselves, and fault too; each is recorded.
TEST(IommuResources, FollowersOfAFaultWalkThemselves) {
  Rig rig(machine_of(ARCH_VTD));
  ASSERT_EQ(rig.machine.unmap(0, rig.page(1), 4096), 0);
  for (unsigned i = 0; i < 5; i++)
    rig.device.send(i, rig.stream(), rig.page(1));
  rig.simulation.run();
  EXPECT_TRUE(rig.device.all_done());
  for (auto &s : rig.device.sent) {
    EXPECT_FALSE(s.ok());
    EXPECT_EQ(s.result().fault, IMS_VTD_FR_SFS_2);
  }
  EXPECT_EQ(rig.iommu.counters().faulted, 5u);
  EXPECT_TRUE(rig.idle());
}

TEST(IommuResources, AHitUnderAMissWaitsOnlyWhereItHasTo) {
  for (bool under : {false, true}) {
    IommuConfig c;
    c.hit_under_miss = under;
    Rig rig(machine_of(ARCH_VTD), c);
    rig.device.send(0, rig.stream(), rig.page(0));
    auto &miss = rig.device.send(100 * US, rig.stream(), rig.page(1));
    auto &hit = rig.device.send(100 * US + 10 * NS, rig.stream(), rig.page(0));
    rig.simulation.run();
    EXPECT_EQ(hit.done_at > miss.done_at - 60 * NS, !under);
    EXPECT_EQ(rig.iommu.counters().hits_waited, under ? 0u : 1u);
    EXPECT_EQ(hit.done_at < miss.done_at, under);
  }
}

TEST(IommuResources, OrderIsKeptWithinAStreamOnly) {
  MachineConfig m = machine_of(ARCH_VTD);
  m.tenants = 2;
  for (unsigned order : {ORDER_NONE, ORDER_PASID, ORDER_SOURCE, ORDER_ALL}) {
    IommuConfig c;
    c.ordering = order;
    Rig rig(m, c);
    rig.device.send(0, rig.stream(0), rig.page(0, 0));
    rig.device.send(0, rig.stream(1), rig.page(0, 1));
    auto &miss = rig.device.send(100 * US, rig.stream(0), rig.page(9, 0));
    auto &same = rig.device.send(100 * US + 1, rig.stream(0), rig.page(0, 0));
    auto &other = rig.device.send(100 * US + 2, rig.stream(1), rig.page(0, 1));
    rig.simulation.run();
    ASSERT_TRUE(rig.device.all_done());
    EXPECT_EQ(same.done_at >= miss.done_at, order != ORDER_NONE) << order;
    EXPECT_EQ(other.done_at >= miss.done_at, order == ORDER_ALL) << order;
    EXPECT_TRUE(rig.idle());
  }
}

TEST(IommuResources, APendingBufferThatIsFullHoldsTheDoorOrDrops) {
  for (unsigned policy : {FULL_WAIT, FULL_DROP}) {
    IommuConfig c;
    c.pending = 2;
    c.pending_full = policy;
    Rig rig(machine_of(ARCH_VTD), c);
    for (unsigned i = 0; i < 6; i++)
      rig.device.send(0, rig.stream(), rig.page(i));
    rig.simulation.run();
    ASSERT_TRUE(rig.device.all_done());
    unsigned dropped = 0;
    for (auto &s : rig.device.sent) {
      dropped += s.extension->dropped;
      EXPECT_EQ(s.ok(), !s.extension->dropped);
    }
    EXPECT_EQ(dropped, policy == FULL_DROP ? 4u : 0u);
    EXPECT_EQ(rig.iommu.counters().dropped, dropped);
    EXPECT_EQ(rig.iommu.counters().waited_at_door, policy == FULL_WAIT ? 2u : 0u); // they leave in pairs
    EXPECT_TRUE(rig.idle());
  }
}

TEST(IommuResources, LookUpsTakeTurnsWhereSlotsAreShort) {
  IommuConfig c;
  c.iotlb_slots = 1;
  c.iotlb_ns = 10 * NS;
  Rig rig(machine_of(ARCH_VTD), c);
  rig.device.send(0, rig.stream(), rig.page(0)); // so that the others hit
  for (unsigned i = 0; i < 8; i++)
    rig.device.send(100 * US, rig.stream(), rig.page(0));
  rig.simulation.run();
  const Ticks first = rig.device.sent[1].done_at;
  for (unsigned i = 0; i < 8; i++)
    EXPECT_EQ(rig.device.sent[1 + i].done_at, first + i * 10 * NS);
  EXPECT_TRUE(rig.idle());
}

// Prefetch.

TEST(IommuPrefetch, TheNextPageIsThereWhenItIsAskedFor) {
  for (unsigned policy : {PREFETCH_NONE, PREFETCH_NEXT, PREFETCH_STRIDE}) {
    IommuConfig c;
    c.prefetch = policy;
    Rig rig(machine_of(ARCH_VTD), c);
    for (unsigned i = 0; i < 8; i++)
      rig.device.send(i * 100 * US, rig.stream(), rig.page(i));
    rig.simulation.run();
    // Stride: pages 0, 1 and 2 make the stride known.
    const uint64_t hits = policy == PREFETCH_NONE ? 0 : policy == PREFETCH_NEXT ? 4 : 2;
    EXPECT_EQ(rig.iommu.counters().hits, hits) << policy;
    EXPECT_TRUE(rig.idle());
  }
}

TEST(IommuPrefetch, WhatWouldFaultOrSetABitIsGivenUp) {
  MachineConfig m = machine_of(ARCH_VTD);
  m.preset_ad = 0;
  IommuConfig c;
  c.prefetch = PREFETCH_NEXT;
  Rig rig(m, c);
  rig.device.send(0, rig.stream(), rig.page(3));         // the accessed bit of page 4 is not set
  rig.device.send(100 * US, rig.stream(), rig.page(15)); // nothing is mapped behind it
  rig.simulation.run();
  EXPECT_EQ(rig.iommu.counters().prefetches, 2u);
  EXPECT_EQ(rig.iommu.counters().prefetches_dropped, 2u);
  EXPECT_EQ(rig.iommu.counters().faulted, 0u);
  EXPECT_EQ(rig.iommu.unit()->count.faults, 0u);
  EXPECT_EQ(rig.machine.drain(MachineLog::FAULTS, rig.iommu.unit()).faults.size(), 0u);
  EXPECT_TRUE(rig.idle());
}

TEST(IommuPrefetch, TheTenantWhoComesNextIsTranslatedAhead) {
  MachineConfig m = machine_of(ARCH_VTD);
  m.tenants = 4;
  ims_vtd_config v = vtd_config();
  v.iotlb_entries = 2; // too small for four tenants in turn
  v.iotlb_ways = 2;
  uint64_t hits[2];
  for (unsigned on : {0, 1}) {
    IommuConfig c;
    c.prefetch = on ? PREFETCH_TENANT : PREFETCH_NONE;
    Rig rig(m, c, v);
    for (unsigned i = 0; i < 40; i++)
      rig.device.send(i * 100 * US, rig.stream(i % 4), rig.page(0, i % 4));
    rig.simulation.run();
    hits[on] = rig.iommu.counters().hits;
    EXPECT_TRUE(rig.idle());
  }
  EXPECT_EQ(hits[0], 0u);
  EXPECT_GT(hits[1], 30u);
}
