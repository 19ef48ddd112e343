// SPDX-License-Identifier: Apache-2.0
// The machine of the experiments: what is mapped is what the IOMMU finds, in as many reads as the formula says; what is
// unmapped and invalidated is gone; logs and answers go round.
#include "model/machine.h"

#include <gtest/gtest.h>

#include <set>
#include <stdexcept>

using namespace ims::model;

namespace {

// A machine with its unit, running without time.
class Running {
public:
  explicit Running(const MachineConfig &config) : Running(config, vtd(), smmu()) {}
  Running(const MachineConfig &config, const ims_vtd_config &v, const ims_smmuv3_config &s) : machine(config, v, s) {
    ims_iommu_bus bus = {};
    bus.ctx = this;
    bus.message = [](void *ctx, uint64_t addr, uint32_t data) {
      auto *self = static_cast<Running *>(ctx);
      self->interrupts.push_back(self->machine.interrupt(addr, data));
    };
    bus.page_response = [](void *ctx, const ims_page_response *r) {
      static_cast<Running *>(ctx)->responses.push_back(*r);
    };
    bus.resume = [](void *ctx, const ims_resume *r) { static_cast<Running *>(ctx)->resumes.push_back(*r); };
    bus.ats_invalidate = [](void *ctx, const ims_ats_invalidation *i) {
      static_cast<Running *>(ctx)->invalidations.push_back(*i);
      return true;
    };
    unit = machine.maker()(&bus);
    machine.start(unit);
  }
  ~Running() { ims_iommu_free(unit); }

  static ims_vtd_config vtd() {
    ims_vtd_config c;
    ims_vtd_config_default(&c);
    return c;
  }
  static ims_smmuv3_config smmu() {
    ims_smmuv3_config c;
    ims_smmuv3_config_default(&c);
    return c;
  }

  ims_result access(size_t stream, uint64_t iova, unsigned access = IMS_ACC_R, unsigned type = IMS_UNTRANSLATED) {
    const Stream &s = machine.streams()[stream];
    ims_request r = {};
    r.iova = iova;
    r.source = s.source;
    r.pasid = s.pasid;
    r.has_pasid = s.has_pasid;
    r.access = static_cast<uint8_t>(access);
    r.type = static_cast<uint8_t>(type);
    ims_result res = {};
    ims_translate(unit, &r, &res);
    return res;
  }
  // Nothing is cached, not even within one walk: a unit without caches.
  static ims_vtd_config vtd_cold() {
    ims_vtd_config c = vtd();
    c.context_entries = c.pasid_entries = c.iotlb_entries = c.nested_entries = c.s1_psc_entries = c.s2_psc_entries = 0;
    return c;
  }
  static ims_smmuv3_config smmu_cold() {
    ims_smmuv3_config c = smmu();
    c.ste_entries = c.cd_entries = c.iotlb_entries = c.ipa_entries = c.s1_walk_entries = c.s2_walk_entries = 0;
    return c;
  }
  ims_result cold(size_t stream, uint64_t iova, unsigned a = IMS_ACC_R) {
    ims_iommu_drop_caches(unit);
    return access(stream, iova, a);
  }
  // Rings, and looks whether it is done.
  bool ring(const Doorbell &d) {
    if (!d)
      return false;
    ims_iommu_write(unit, d.offset, d.size, d.value);
    if (machine.config().sync == SYNC_INDEX) {
      Mmio r = machine.index_register();
      machine.index_read(ims_iommu_read(unit, r.offset, r.size));
    }
    return machine.completed(d.ticket);
  }

  Machine machine;
  ims_iommu *unit = nullptr;
  std::vector<Interrupt> interrupts;
  std::vector<ims_page_response> responses;
  std::vector<ims_resume> resumes;
  std::vector<ims_ats_invalidation> invalidations;
};

std::string text(const MachineConfig &c) {
  std::string s;
  for (const ims_option &o : MachineConfig::part().rows)
    if (ims_option_get(&c, &o) != o.def)
      s += std::string(o.name) + "=" + std::to_string(ims_option_get(&c, &o)) + " ";
  return s;
}

// First, last and a middle page of each stream; reads of cold walks.
void check_windows(Running &r, const std::string &what) {
  SCOPED_TRACE(what);
  Machine &m = r.machine;
  bool bypass = m.config().translation == TRANSLATE_OFF ||
                (m.config().translation == TRANSLATE_PASS_THROUGH && m.config().arch == ARCH_SMMUV3);
  for (size_t i = 0; i < m.streams().size(); i++) {
    const Stream &s = m.streams()[i];
    for (uint64_t offset : {uint64_t{0x123}, s.bytes / 2 + 0x40, s.bytes - 8}) {
      ims_result res = r.cold(i, s.iova + offset, offset & 8 ? IMS_ACC_R : IMS_ACC_R | IMS_ACC_W);
      ASSERT_EQ(bypass ? IMS_STATUS_BYPASS : IMS_STATUS_OK, res.status)
          << "stream " << i << " offset " << offset << " fault " << res.fault << " cause " << +res.walk.cause;
      ASSERT_EQ(m.frame(i, s.iova + offset), res.output) << "stream " << i << " offset " << offset;
      ASSERT_EQ(m.references(s), res.refs);
      ASSERT_EQ(m.references(s), m.walk_addresses(s.iova + offset, s, true).size());
    }
  }
}

MachineConfig config(unsigned arch, unsigned translation) {
  MachineConfig c;
  c.arch = arch;
  c.translation = translation;
  return c;
}

ims_smmuv3_config wide_smmu() { // 52 bits of everything
  ims_smmuv3_config s = Running::smmu_cold();
  s.oas = 6;
  s.ds = s.vax = 1;
  return s;
}

} // namespace

TEST(Machine, EveryLegalShapeTranslatesInAsManyReadsAsTheFormulaSays) {
  unsigned built = 0, refused = 0;
  for (unsigned arch : {ARCH_VTD, ARCH_SMMUV3})
    for (unsigned translation = TRANSLATE_NESTED; translation <= TRANSLATE_OFF; translation++)
      for (unsigned granule = 0; granule < (arch == ARCH_VTD ? 1u : 3u); granule++)
        for (unsigned n = 2; n <= 5; n++)
          for (unsigned m = 2; m <= 5; m++)
            for (unsigned p1 = 0; p1 < 3; p1++)
              for (unsigned p2 = 0; p2 < 3; p2++)
                for (unsigned tables = 0; tables < 2; tables++) {
                  MachineConfig c = config(arch, translation);
                  bool s1 = translation == TRANSLATE_NESTED || translation == TRANSLATE_FIRST,
                       s2 = translation == TRANSLATE_NESTED || translation == TRANSLATE_SECOND,
                       shadow = translation == TRANSLATE_SHADOW;
                  if ((!s1 && !shadow && (n != 4 || p1)) || (!s2 && (m != 4 || tables)) || (!s2 && !shadow && p2))
                    continue; // says nothing new
                  c.granule = granule;
                  c.s1_levels = n;
                  c.s2_levels = m;
                  c.s1_page = p1;
                  c.s2_page = p2;
                  c.s2_table_page = tables;
                  c.tenants = 2;
                  c.pasids = s1 || shadow ? 2 : 1;
                  c.window_kb = 256;
                  c.scatter = (n + m + p1) & 1;
                  c.same_iova = m & 1;
                  c.cd_table = c.stream_table = p2 & 1;
                  std::unique_ptr<Running> r;
                  try {
                    r = std::make_unique<Running>(c, Running::vtd_cold(), wide_smmu());
                  } catch (const std::runtime_error &e) {
                    std::string why = e.what();
                    EXPECT_TRUE(why.find("levels") != why.npos || why.find("leaf") != why.npos ||
                                why.find("does not fit") != why.npos)
                        << why << text(c); // 1 GB pages in 1 GB
                    refused++;
                    continue;
                  }
                  built++;
                  check_windows(*r, text(c));
                  if (HasFatalFailure())
                    return;
                }
  EXPECT_GT(built, 400u);
  EXPECT_GT(refused, 100u);
}

// The table of counts: 24 reads of tables for 4 levels nested on 4, 35 for 5 on 5; structures come before.
TEST(Machine, AnchorsOfTheCounts) {
  auto references = [](MachineConfig c, const ims_smmuv3_config &s) {
    c.window_kb = 16;
    Running r(c, Running::vtd_cold(), s);
    return r.cold(0, r.machine.streams()[0].iova).refs;
  };
  MachineConfig c = config(ARCH_VTD, TRANSLATE_NESTED);
  EXPECT_EQ(28u, references(c, Running::smmu_cold()));
  c.s1_levels = c.s2_levels = 5;
  EXPECT_EQ(39u, references(c, Running::smmu_cold()));
  c.s2_levels = 3;
  c.s1_page = c.s2_page = 1;
  EXPECT_EQ(18u, references(c, Running::smmu_cold())); // 5 x 3, 2 MB on 2 MB
  c = config(ARCH_VTD, TRANSLATE_NESTED);
  c.s2_page = 2;
  EXPECT_EQ(18u, references(c, Running::smmu_cold())); // 4 x 4, 4 KB on 1 GB
  c.s2_table_page = 1;
  EXPECT_EQ(4u + 4 * 5 + 2, references(c, Running::smmu_cold())); // tables in 4 KB pages, data in 1 GB ones
  EXPECT_EQ(8u, references(config(ARCH_VTD, TRANSLATE_FIRST), Running::smmu_cold()));
  EXPECT_EQ(8u, references(config(ARCH_VTD, TRANSLATE_SECOND), Running::smmu_cold()));
  EXPECT_EQ(4u, references(config(ARCH_VTD, TRANSLATE_PASS_THROUGH), Running::smmu_cold()));
  EXPECT_EQ(0u, references(config(ARCH_VTD, TRANSLATE_OFF), Running::smmu_cold()));

  c = config(ARCH_SMMUV3, TRANSLATE_NESTED);
  EXPECT_EQ(30u, references(c, Running::smmu_cold()));
  c.stream_table = c.cd_table = 1;
  EXPECT_EQ(36u, references(c, Running::smmu_cold()));
  c.s1_levels = c.s2_levels = 5;
  EXPECT_EQ(49u, references(c, wide_smmu()));
  c = config(ARCH_SMMUV3, TRANSLATE_NESTED);
  c.stream_table = c.cd_table = 1;
  c.granule = 2;
  c.s1_levels = c.s2_levels = 3;
  EXPECT_EQ(25u, references(c, Running::smmu_cold())); // 64 KB, 3 x 3
  EXPECT_EQ(6u, references(config(ARCH_SMMUV3, TRANSLATE_FIRST), Running::smmu_cold()));
  EXPECT_EQ(5u, references(config(ARCH_SMMUV3, TRANSLATE_SECOND), Running::smmu_cold()));
  EXPECT_EQ(1u, references(config(ARCH_SMMUV3, TRANSLATE_PASS_THROUGH), Running::smmu_cold()));
}

TEST(Machine, TablesOfAWalkLieWhereTheEngineReadsThem) {
  for (unsigned arch : {ARCH_VTD, ARCH_SMMUV3}) {
    Machine m(config(arch, TRANSLATE_NESTED));
    const Stream &s = m.streams()[0];
    auto at = m.walk_addresses(s.iova, s);
    EXPECT_EQ(arch == ARCH_VTD ? 24u : 28u, at.size()); // Arm: the CD's address is translated, too
    EXPECT_EQ(at, m.walk_addresses(s.iova, s));
    for (uint64_t hpa : at) {
      uint64_t entry = 0;
      ASSERT_EQ(IMS_ERR_OK, ims_mem_load64(m.memory(), hpa, &entry));
      EXPECT_NE(0u, entry & 1);
    }
  }
}

class MachineOf : public testing::TestWithParam<unsigned> {};
INSTANTIATE_TEST_SUITE_P(Archs, MachineOf, testing::Values(0u, 1u),
                         [](const auto &p) { return machine_archs[p.param]; });

TEST_P(MachineOf, WhatIsUnmappedFaultsOnceItIsInvalidated) {
  for (unsigned translation : {TRANSLATE_NESTED, TRANSLATE_FIRST, TRANSLATE_SECOND, TRANSLATE_SHADOW})
    for (unsigned sync : {SYNC_MESSAGE, SYNC_INDEX})
      for (unsigned page = 0; page < 2; page++) {
        MachineConfig c = config(GetParam(), translation);
        c.tenants = 3;
        c.pasids = translation == TRANSLATE_SECOND ? 1 : 2;
        c.sync = sync;
        c.s1_page = c.s2_page = page;
        c.window_kb = page ? 16384 : 64;
        SCOPED_TRACE(text(c));
        Running r(c);
        Machine &m = r.machine;
        const Stream &s = m.streams()[1];
        uint64_t size = page ? 2 << 20 : 4096, hole = s.iova + 2 * size;
        ASSERT_EQ(IMS_STATUS_OK, r.access(1, hole).status);
        ASSERT_EQ(IMS_STATUS_OK, r.access(1, hole + 2 * size).status);
        ASSERT_EQ(IMS_ERR_OK, m.unmap(1, hole, 2 * size));
        EXPECT_FALSE(m.mapped(1, hole));
        EXPECT_TRUE(m.mapped(1, hole + 2 * size));
        EXPECT_EQ(0u, r.access(1, hole).refs) << "stale, as in hardware";
        EXPECT_EQ(IMS_STATUS_OK, r.access(1, hole).status);
        ASSERT_TRUE(r.ring(m.invalidate(1, hole, 2 * size)));
        EXPECT_EQ(IMS_STATUS_FAULT, r.access(1, hole).status);
        EXPECT_EQ(IMS_STATUS_FAULT, r.access(1, hole + 2 * size - 1).status);
        EXPECT_EQ(IMS_STATUS_OK, r.access(1, s.iova).status);
        EXPECT_EQ(0u, r.access(1, hole + 2 * size).refs) << "nothing else was invalidated";
        EXPECT_EQ(IMS_STATUS_OK, r.access(2, m.streams()[2].iova + size).status) << "another stream";
        ASSERT_EQ(IMS_ERR_OK, m.map(1, hole, 2 * size));
        EXPECT_EQ(IMS_ERR_EXIST, m.map(1, hole, size));
        EXPECT_EQ(m.frame(1, hole), r.access(1, hole).output);
        EXPECT_EQ(IMS_ERR_RANGE, m.map(1, s.iova + s.bytes, size));
        EXPECT_EQ(IMS_ERR_RANGE, m.unmap(1, s.iova - 4096, size));
      }
}

TEST_P(MachineOf, TenantsWithTheSameAddressesReachMemoryOfTheirOwn) {
  for (unsigned translation : {TRANSLATE_NESTED, TRANSLATE_FIRST}) {
    MachineConfig c = config(GetParam(), translation);
    c.tenants = 300;
    c.pasids = 3;
    c.window_kb = 8;
    c.stream_table = 1;
    c.scatter = 1;
    Running r(c);
    std::set<uint64_t> frames;
    for (size_t i = 0; i < r.machine.streams().size(); i++) {
      const Stream &s = r.machine.streams()[i];
      EXPECT_EQ(r.machine.streams()[0].iova, s.iova);
      EXPECT_EQ(static_cast<int64_t>(i), r.machine.find(s.source, s.pasid, s.has_pasid));
      for (uint64_t offset : {0, 4096}) {
        ims_result res = r.access(i, s.iova + offset);
        ASSERT_EQ(IMS_STATUS_OK, res.status);
        ASSERT_EQ(r.machine.frame(i, s.iova + offset), res.output);
        frames.insert(res.output);
      }
    }
    EXPECT_EQ(1800u, frames.size());
    EXPECT_EQ(-1, r.machine.find(300, 1, true));
    EXPECT_EQ(-1, r.machine.find(0, 4, true));

    // One tenant's flush leaves the others'.
    ASSERT_EQ(IMS_STATUS_OK, r.access(899, r.machine.streams()[899].iova).status);
    ASSERT_EQ(IMS_ERR_OK, r.machine.unmap(899, r.machine.streams()[899].iova, 4096));
    ASSERT_TRUE(r.ring(r.machine.invalidate_tenant(0)));
    EXPECT_EQ(IMS_STATUS_OK, r.access(899, r.machine.streams()[899].iova).status);
    ASSERT_TRUE(r.ring(r.machine.invalidate_tenant(897)));
    EXPECT_EQ(IMS_STATUS_FAULT, r.access(899, r.machine.streams()[899].iova).status);
    r.access(0, r.machine.streams()[0].iova);
    ASSERT_EQ(IMS_ERR_OK, r.machine.unmap(0, r.machine.streams()[0].iova, 4096));
    ASSERT_TRUE(r.ring(r.machine.invalidate_all()));
    EXPECT_EQ(IMS_STATUS_FAULT, r.access(0, r.machine.streams()[0].iova).status);
  }
}

TEST_P(MachineOf, TheRingWrapsAndSaysWhenItIsFull) {
  MachineConfig c = config(GetParam(), TRANSLATE_NESTED);
  c.queue_log2 = 7;
  Running r(c);
  uint64_t iova = r.machine.streams()[0].iova;
  for (int i = 0; i < 1000; i++)
    ASSERT_TRUE(r.ring(r.machine.invalidate(0, iova + i % 16 * 4096, 4096))) << i;
  r.unit->queue_held = true;
  std::vector<Doorbell> placed;
  for (;;) {
    Doorbell d = r.machine.invalidate(0, iova, 4096);
    if (!d)
      break;
    EXPECT_EQ(2u, d.entries);
    placed.push_back(d);
    ASSERT_LE(placed.size(), 64u);
  }
  EXPECT_EQ(GetParam() == ARCH_VTD ? 63u : 64u, placed.size());
  EXPECT_LT(r.machine.room(), 2u);
  ims_iommu_write(r.unit, placed.back().offset, placed.back().size, placed.back().value);
  EXPECT_FALSE(r.machine.completed(placed[0].ticket));
  ims_queue_step(r.unit); // the invalidation
  ims_queue_step(r.unit); // its wait
  EXPECT_TRUE(r.machine.completed(placed[0].ticket));
  EXPECT_FALSE(r.machine.completed(placed[1].ticket));
  EXPECT_EQ(2u + (GetParam() == ARCH_VTD), r.machine.room());
  ims_queue_item item;
  while (ims_queue_next(r.unit, &item))
    ims_queue_step(r.unit);
  EXPECT_TRUE(r.machine.completed(placed.back().ticket));
}

TEST_P(MachineOf, PageRequestsAreReadServedAndAnswered) {
  MachineConfig c = config(GetParam(), TRANSLATE_NESTED);
  c.tenants = 2;
  c.pasids = 2;
  c.ats = c.pri = 1;
  c.premap = 0;
  c.log_log2 = 7;
  Running r(c);
  Machine &m = r.machine;
  const Stream s = m.streams()[3];
  for (unsigned round = 0; round < 300; round++) { // more than the queue has entries
    ims_page_request p = {};
    p.source = s.source;
    p.pasid = s.pasid;
    p.has_pasid = true;
    p.read = p.write = p.last = true;
    p.group = static_cast<uint16_t>(round % 512);
    p.addr = s.iova + round % 16 * 4096;
    ASSERT_EQ(IMS_CPL_R0, r.access(3, p.addr, IMS_ACC_R, IMS_TRANSLATION_REQUEST).completion);
    ASSERT_TRUE(ims_request_page(r.unit, &p));
    ASSERT_EQ(1u, r.interrupts.size());
    ASSERT_EQ(Interrupt::PAGE_REQUEST, r.interrupts[0]);
    r.interrupts.clear();
    Drain d = m.drain(MachineLog::PAGE_REQUESTS, r.unit);
    ASSERT_EQ(1u, d.pages.size());
    EXPECT_FALSE(d.overflow);
    EXPECT_EQ(p.addr, d.pages[0].addr);
    EXPECT_EQ(p.group, d.pages[0].group);
    EXPECT_EQ(s.pasid, d.pages[0].pasid);
    EXPECT_TRUE(d.pages[0].last && d.pages[0].read && d.pages[0].write);
    int64_t stream = m.find(d.pages[0].source, d.pages[0].pasid, d.pages[0].has_pasid);
    ASSERT_EQ(3, stream);
    ASSERT_EQ(IMS_ERR_OK, m.map(3, d.pages[0].addr, 4096));
    ASSERT_TRUE(r.ring(m.respond(d.pages[0], 0)));
    ASSERT_EQ(1u, r.responses.size());
    EXPECT_EQ(0u, r.responses[0].code);
    EXPECT_EQ(p.group, r.responses[0].group);
    r.responses.clear();
    ims_result res = r.access(3, p.addr, IMS_ACC_R, IMS_TRANSLATION_REQUEST);
    ASSERT_EQ(IMS_STATUS_OK, res.status);
    EXPECT_EQ(m.frame(3, p.addr), res.output);
    ASSERT_EQ(IMS_ERR_OK, m.unmap(3, p.addr, 4096));
    r.invalidations.clear();
    ASSERT_TRUE(r.ring(m.invalidate(3, p.addr, 4096)));
    ASSERT_EQ(1u, r.invalidations.size());
    EXPECT_EQ(p.addr, r.invalidations[0].addr);
    EXPECT_EQ(p.addr + 4095, r.invalidations[0].last);
    EXPECT_EQ(s.source, r.invalidations[0].source);
    EXPECT_EQ(s.pasid, r.invalidations[0].pasid);
    r.interrupts.clear();
  }
  ASSERT_TRUE(r.ring(m.respond(ims_page_request{}, 1)));
  EXPECT_EQ(1u, r.responses.back().code);
  ASSERT_TRUE(r.ring(m.respond(ims_page_request{}, 15)));
  EXPECT_EQ(15u, r.responses.back().code);
}

TEST_P(MachineOf, AFullPageRequestQueueIsNoticed) {
  MachineConfig c = config(GetParam(), TRANSLATE_FIRST);
  c.ats = c.pri = 1;
  c.premap = 0;
  c.log_log2 = 7;
  Running r(c);
  const Stream s = r.machine.streams()[0];
  ims_page_request p = {};
  p.source = s.source;
  p.pasid = s.pasid;
  p.has_pasid = p.read = p.last = true;
  p.addr = s.iova;
  unsigned taken = 0;
  while (ims_request_page(r.unit, &p) && taken < 1000)
    taken++;
  EXPECT_EQ(GetParam() == ARCH_VTD ? 127u : 128u, taken);
  Drain d = r.machine.drain(MachineLog::PAGE_REQUESTS, r.unit);
  EXPECT_EQ(taken, d.pages.size());
  EXPECT_TRUE(d.overflow);
  EXPECT_TRUE(ims_request_page(r.unit, &p)) << "there is room again";
  d = r.machine.drain(MachineLog::PAGE_REQUESTS, r.unit);
  EXPECT_EQ(1u, d.pages.size());
  EXPECT_FALSE(d.overflow);
}

TEST_P(MachineOf, FaultsAreReadFromTheLog) {
  MachineConfig c = config(GetParam(), TRANSLATE_NESTED);
  c.tenants = 4;
  Running r(c);
  for (unsigned round = 0; round < 10; round++) {
    for (unsigned i = 0; i < 3; i++) {
      const Stream &s = r.machine.streams()[i];
      ASSERT_EQ(IMS_STATUS_FAULT, r.access(i, s.iova + s.bytes + 4096 * i, i == 1 ? IMS_ACC_W : IMS_ACC_R).status);
    }
    ASSERT_EQ(1u, r.interrupts.size());
    ASSERT_EQ(Interrupt::FAULT, r.interrupts[0]);
    r.interrupts.clear();
    Drain d = r.machine.drain(MachineLog::FAULTS, r.unit);
    ASSERT_EQ(3u, d.faults.size());
    EXPECT_FALSE(d.overflow);
    for (unsigned i = 0; i < 3; i++) {
      const Stream &s = r.machine.streams()[i];
      EXPECT_EQ(s.source, d.faults[i].source);
      EXPECT_EQ(s.pasid, d.faults[i].pasid);
      EXPECT_EQ(s.iova + s.bytes + 4096 * i, d.faults[i].iova);
      EXPECT_EQ(i == 1, d.faults[i].write);
      EXPECT_FALSE(d.faults[i].stalled);
      EXPECT_EQ(GetParam() == ARCH_VTD ? 0x71u : 0x10u, d.faults[i].code);
    }
  }
  for (unsigned i = 0; i < 2000; i++)
    r.access(0, r.machine.streams()[0].iova - 8);
  Drain d = r.machine.drain(MachineLog::FAULTS, r.unit);
  EXPECT_TRUE(d.overflow);
  EXPECT_EQ(GetParam() == ARCH_VTD ? 8u : 512u, d.faults.size());
  d = r.machine.drain(MachineLog::FAULTS, r.unit);
  EXPECT_EQ(0u, d.faults.size());
  EXPECT_FALSE(d.overflow);
  r.access(0, r.machine.streams()[0].iova - 8);
  EXPECT_EQ(1u, r.machine.drain(MachineLog::FAULTS, r.unit).faults.size());
}

TEST(Machine, AStalledAccessGoesOnOnceSoftwareHasMappedThePage) {
  for (unsigned translation : {TRANSLATE_FIRST, TRANSLATE_NESTED, TRANSLATE_SECOND}) {
    MachineConfig c = config(ARCH_SMMUV3, translation);
    c.faults = FAULTS_STALL;
    c.premap = 0;
    Running r(c);
    const Stream &s = r.machine.streams()[0];
    ims_result res = r.access(0, s.iova + 0x40, IMS_ACC_W);
    ASSERT_EQ(IMS_STATUS_STALL, res.status);
    Drain d = r.machine.drain(MachineLog::FAULTS, r.unit);
    ASSERT_EQ(1u, d.faults.size());
    EXPECT_TRUE(d.faults[0].stalled && d.faults[0].write);
    EXPECT_EQ(res.stag, d.faults[0].stag);
    ASSERT_EQ(IMS_ERR_OK, r.machine.map(0, d.faults[0].iova, 1));
    ASSERT_TRUE(r.ring(r.machine.resume(d.faults[0], IMS_RESUME_RETRY)));
    ASSERT_EQ(1u, r.resumes.size());
    EXPECT_EQ(res.stag, r.resumes[0].stag);
    EXPECT_EQ(IMS_RESUME_RETRY, r.resumes[0].action);
    EXPECT_EQ(IMS_STATUS_OK, r.access(0, s.iova + 0x40, IMS_ACC_W).status);

    res = r.access(0, s.iova + s.bytes);
    ASSERT_EQ(IMS_STATUS_STALL, res.status);
    d = r.machine.drain(MachineLog::FAULTS, r.unit);
    ASSERT_TRUE(r.ring(r.machine.resume(d.faults.at(0), IMS_RESUME_ABORT)));
    EXPECT_EQ(IMS_RESUME_ABORT, r.resumes.at(1).action);
  }
}

TEST_P(MachineOf, CompletionsInterruptWhenAskedTo) {
  Running r(config(GetParam(), TRANSLATE_NESTED));
  r.machine.interrupt_on_completion(true);
  for (int i = 0; i < 3; i++) {
    ASSERT_TRUE(r.ring(r.machine.synchronize()));
    ASSERT_EQ(1u, r.interrupts.size()) << i;
    EXPECT_EQ(Interrupt::COMPLETION, r.interrupts[0]);
    r.interrupts.clear();
    Mmio m = r.machine.acknowledge_completion();
    if (m.size)
      ims_iommu_write(r.unit, m.offset, m.size, m.value);
  }
}

TEST_P(MachineOf, RequestsWithoutPasidReachTheirOneStream) {
  for (unsigned translation : {TRANSLATE_NESTED, TRANSLATE_FIRST}) {
    MachineConfig c = config(GetParam(), translation);
    c.pasid_requests = 0;
    c.tenants = 3;
    Running counted(c, Running::vtd_cold(), Running::smmu_cold()), r(c);
    check_windows(counted, text(c));
    EXPECT_FALSE(r.machine.streams()[1].has_pasid);
    r.access(1, r.machine.streams()[1].iova);
    ASSERT_EQ(IMS_ERR_OK, r.machine.unmap(1, r.machine.streams()[1].iova, 4096));
    ASSERT_TRUE(r.ring(r.machine.invalidate(1, r.machine.streams()[1].iova, 4096)));
    EXPECT_EQ(IMS_STATUS_FAULT, r.access(1, r.machine.streams()[1].iova).status);
  }
}

// Bits that are not there yet cost an update each, at the first use only.
TEST_P(MachineOf, AccessedAndDirtyBitsAreSetByHardwareUnlessTheyArePreset) {
  for (unsigned preset = 0; preset < 2; preset++)
    for (unsigned hardware = 0; hardware < 2; hardware++) {
      MachineConfig c = config(GetParam(), TRANSLATE_NESTED);
      c.preset_ad = preset;
      c.hardware_ad = hardware;
      Running r(c);
      uint64_t before = r.unit->count.updates;
      ASSERT_EQ(IMS_STATUS_OK, r.access(0, r.machine.streams()[0].iova, IMS_ACC_W).status) << preset << hardware;
      uint64_t updates = r.unit->count.updates - before;
      bool expected = !preset && (hardware || GetParam() == ARCH_VTD); // VT-d's first stage has no switch
      EXPECT_EQ(expected, updates != 0) << preset << hardware;
    }
}

TEST(Machine, FourThousandTenantsAreBuiltWithoutTouchingTheirData) {
  MachineConfig c;
  c.tenants = 4096;
  c.window_kb = 64;
  Machine m(c);
  EXPECT_EQ(4096u, m.streams().size());
  c.s2_page = 2; // of 1 GB each: address space, no memory
  Machine big(c);
  EXPECT_EQ(18u, big.references(big.streams()[4095]));
}

TEST(Machine, TheSameSeedGivesTheSameBytes) {
  for (unsigned arch : {ARCH_VTD, ARCH_SMMUV3}) {
    MachineConfig c = config(arch, TRANSLATE_NESTED);
    c.tenants = 3;
    c.scatter = 1;
    Machine a(c), b(c);
    EXPECT_EQ(ims_mem_hash(a.memory()), ims_mem_hash(b.memory()));
    c.seed = 2;
    Machine other(c);
    EXPECT_NE(a.frame(0, a.streams()[0].iova), other.frame(0, other.streams()[0].iova));
  }
}

TEST(Machine, WhatCannotBeIsRefusedWithASentence) {
  auto refusal = [](const MachineConfig &c, const ims_vtd_config &v, const ims_smmuv3_config &s) -> std::string {
    try {
      Machine m(c, v, s);
    } catch (const std::runtime_error &e) {
      return e.what();
    }
    return "";
  };
  ims_vtd_config v = Running::vtd();
  ims_smmuv3_config s = Running::smmu();
  MachineConfig c;
  EXPECT_EQ("", refusal(c, v, s));
  c.s1_levels = 3;
  EXPECT_EQ("machine: VT-d's first stage has 4 or 5 levels (s1_levels)", refusal(c, v, s));
  c = MachineConfig();
  c.s1_levels = 6;
  EXPECT_EQ("machine: s1_levels = 6 is not within 2 to 5", refusal(c, v, s));
  c = MachineConfig();
  v.nest = 0;
  EXPECT_EQ("machine: first-stage and nested translation need vtd.fsts and vtd.nest", refusal(c, v, s));
  v = Running::vtd();
  v.sslps = 1;
  c.s2_page = 2;
  EXPECT_EQ("machine: s2_page: the second stage has no leaf of that level", refusal(c, v, s));
  c = config(ARCH_SMMUV3, TRANSLATE_SECOND);
  c.pasids = 2;
  EXPECT_EQ("machine: SMMUv3: several PASIDs need a stage 1", refusal(c, v, s));
  c = config(ARCH_SMMUV3, TRANSLATE_NESTED);
  c.s1_levels = 5;
  EXPECT_NE(std::string::npos, refusal(c, v, s).find("52 bits"));
  c = MachineConfig();
  v = Running::vtd();
  c.tenants = 65536;
  c.s1_page = c.s2_page = 2;
  c.pasids = 64;
  EXPECT_NE(std::string::npos, refusal(c, v, s).find("fewer tenants"));
}
