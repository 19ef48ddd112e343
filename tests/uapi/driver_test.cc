// SPDX-License-Identifier: Apache-2.0
// The VT-d driver: which stores, register writes and descriptors, in which order (bind, invalidate, tear-down; global commands),
// and what it does when the unit does not play along.
#include "tests/uapi/machine.h"

namespace uapi_test {
namespace {

using Lines = std::vector<std::string>;
constexpr unsigned kWrites = 1 << IMS_NOTE_MMIO_WRITE | 1 << IMS_NOTE_TABLE | 1 << IMS_NOTE_DESCRIPTOR;
constexpr unsigned kQueue = 1 << IMS_NOTE_DESCRIPTOR;

// Addresses and the values that hold them differ from layout to layout: cut what follows " at 0x" or " to 0x".
Lines Plain(Lines lines) {
  for (std::string &l : lines) {
    for (const char *cut : {" at 0x", ", status 0x"}) {
      size_t at = l.find(cut);
      if (at == std::string::npos)
        continue;
      size_t fields = l.find(": ", at);
      l = l.substr(0, at) + (fields == std::string::npos ? "" : l.substr(fields));
    }
  }
  return lines;
}

struct Driver {
  explicit Driver(ims_vtd_config unit = Machine::UnitConfig(), ims_device_config device = Machine::DeviceConfig()) {
    m.AddUnit(unit);
    dev = m.AddDevice(device);
    v = std::make_unique<Vmm>(m);
    vm = v->Guest(16 * kMB);
    table = std::make_unique<GuestTable>(vm);
    table->Map(0x1000, 0x5000, kPage);
    EXPECT_EQ(v->Ioctl(0x3b76, ims_vfio_pasid_request{16, 1, 1, 1}), 1);
    m.Clear();
  }
  long Bind(uint32_t pasid = 1) { return v->Ioctl(0x3b77, MakeBindB(0, pasid, table->pgt.root)); }
  long Unbind(uint32_t pasid = 1) { return v->Ioctl(0x3b77, MakeBindB(1, pasid, 0)); }
  uint64_t Entry(uint32_t pasid) {
    return (m.Load(ims_device_pasid_dir(dev) + pasid / 64 * 8) & ~0xfffull) + pasid % 64 * 64;
  }
  Machine m;
  ims_device *dev;
  std::unique_ptr<Vmm> v;
  ims_vm *vm;
  std::unique_ptr<GuestTable> table;
};

// ---- Bringing a unit up ---------------------------------------------------------------------------------------------

Lines Registers(Machine &m) {
  Lines out;
  for (const Note &n : m.notes)
    if (n.note.kind == IMS_NOTE_MMIO_WRITE)
      out.push_back(n.what);
    else if (n.note.kind == IMS_NOTE_DESCRIPTOR)
      out.push_back("descriptor " + std::to_string(n.note.word[0] & 15));
  return out;
}

TEST(BringUp, QueueThenRootThenInterruptsThenTranslation) {
  Machine m;
  m.AddUnit();
  EXPECT_EQ(Registers(m), (Lines{"IQT", "IQA", "GCMD", "RTADDR", "GCMD", "PEDATA", "PEADDR", "PEUADDR", "PECTL", "PQH",
                                 "PQT", "PQA", "FEDATA", "FEADDR", "FEUADDR", "FECTL", "GCMD"}));
  EXPECT_EQ(ims_iommu_read(m.units[0], IMS_VTD_OFF_GSTS, 4), 0xc4000000u);   // TES, RTPS, QIES
  EXPECT_EQ(ims_iommu_read(m.units[0], IMS_VTD_OFF_IQA, 8) & 0xfff, 0x801u); // 256 descriptors of 32 bytes
  EXPECT_EQ(ims_iommu_read(m.units[0], IMS_VTD_OFF_RTADDR, 8),
            ims_kernel_unit_root(m.kernel, 0) | 0x400); // scalable mode
}

TEST(BringUp, WithoutEsrtpsTheDriverFlushesEverythingTopDown) {
  ims_vtd_config c = Machine::UnitConfig();
  c.esrtps = 0;
  Machine m;
  m.AddUnit(c);
  EXPECT_EQ(m.DescriptorTypes(), (std::vector<unsigned>{1, 5, 7, 5, 2, 5}));
  EXPECT_EQ(Plain(m.Said(kQueue))[0], "queue context-cache invalidation, global");
  EXPECT_EQ(Plain(m.Said(kQueue))[2], "queue PASID-cache invalidation global");
  EXPECT_EQ(Plain(m.Said(kQueue))[4], "queue IOTLB invalidation, global");
}

TEST(BringUp, LegacyModeHasNarrowDescriptorsAndNoPageRequests) {
  Machine m(IMS_DIALECT_V7, [](ims_kernel_config &c) { c.legacy = true; });
  ims_vtd_config c = Machine::UnitConfig();
  c.esrtps = 0;
  m.AddUnit(c);
  EXPECT_EQ(ims_iommu_read(m.units[0], IMS_VTD_OFF_IQA, 8) & 0xfff, 0u);
  EXPECT_EQ(ims_iommu_read(m.units[0], IMS_VTD_OFF_RTADDR, 8) & 0xfff, 0u);
  EXPECT_EQ(m.DescriptorTypes(), (std::vector<unsigned>{1, 5, 2, 5}));
  EXPECT_EQ(ims_iommu_read(m.units[0], IMS_VTD_OFF_PQA, 8), 0u);
}

TEST(BringUp, UnitThatIsOnIsTakenOver) {
  Machine m;
  ims_iommu_bus bus{};
  ims_vtd_config c = Machine::UnitConfig();
  ims_iommu *u = nullptr;
  ASSERT_EQ(ims_vtd_new(&u, &c, &m.mem, &bus), IMS_ERR_OK);
  m.units.push_back(u);
  ims_iommu_write(u, IMS_VTD_OFF_IQA, 8, 0x1000);
  ims_iommu_write(u, IMS_VTD_OFF_GCMD, 4, 1u << 26);
  ims_iommu_write(u, IMS_VTD_OFF_RTADDR, 8, 0x2000);
  ims_iommu_write(u, IMS_VTD_OFF_GCMD, 4, 1u << 26 | 1u << 30);
  ims_iommu_write(u, IMS_VTD_OFF_GCMD, 4, 1u << 26 | 1u << 31);
  ASSERT_EQ(ims_kernel_add_unit(m.kernel, "dmar0", u, nullptr), IMS_ERR_OK);
  EXPECT_EQ(m.notes[0].sentence, "write GCMD (0x18) = 0x4000000: QIE"); // TE off first
  EXPECT_EQ(m.notes[1].sentence, "write GCMD (0x18) = 0x0");
  EXPECT_EQ(ims_iommu_read(u, IMS_VTD_OFF_GSTS, 4), 0xc4000000u);
}

TEST(BringUp, UnitWithoutTheQueueIsRefused) {
  Machine m;
  ims_vtd_config c = Machine::UnitConfig();
  c.qi = c.smts = c.dt = c.prs = c.pds = c.dit = c.ir = c.adms = 0;
  c.pasid = c.nest = c.ssts = c.fsts = c.ssads = c.rps = c.rprivs = c.smpwcs = c.srs = c.eafs = c.fs5lp = c.fs1gp = 0;
  c.nwfs = c.pss = c.eim = 0;
  ASSERT_EQ(ims_vtd_config_check(&c), nullptr);
  ims_iommu *u = nullptr;
  ASSERT_EQ(ims_vtd_new(&u, &c, &m.mem, nullptr), IMS_ERR_OK);
  m.units.push_back(u);
  EXPECT_EQ(ims_kernel_add_unit(m.kernel, "dmar0", u, nullptr), IMS_ERR_UNSUP);
}

TEST(BringUp, ShutdownTurnsTranslationOff) {
  ims_iommu *u;
  {
    Machine m;
    m.AddUnit();
    u = m.units[0];
    ims_kernel_free(m.kernel);
    m.kernel = nullptr;
    EXPECT_EQ(ims_iommu_read(u, IMS_VTD_OFF_GSTS, 4) & 0x84000000u, 0u);
  }
}

// ---- B: nested bind -------------------------------------------------------------------------------------------------

TEST(Bind, EntryIsZeroedFilledAndMadePresentLast) {
  Driver d;
  ASSERT_EQ(d.Bind(), 0);
  Lines said = Plain(d.m.Said(kWrites));
  ASSERT_EQ(said.size(), 12u);
  for (int i = 0; i < 8; i++)
    EXPECT_EQ(said[i], "store PASID table entry of 03:00.0");
  char root[32];
  snprintf(root, sizeof root, "0x%llx", (unsigned long long)d.table->pgt.root);
  EXPECT_EQ(said[8], std::string("store PASID table entry of 03:00.0: FSPTPTR ") + root);
  EXPECT_EQ(said[9], "store PASID table entry of 03:00.0: DID 3, PWSNP, PGSNP");
  EXPECT_EQ(said[10].substr(0, 54), "store PASID table entry of 03:00.0: AW 2, PGTT nested,");
  EXPECT_EQ(said[11].substr(0, 57), "store PASID table entry of 03:00.0: P, AW 2, PGTT nested,");
  // P is set by one store of the word that already had all the rest.
  const auto &n = d.m.notes;
  EXPECT_EQ(n[n.size() - 1].note.word[0], n[n.size() - 2].note.word[0] | 1);
}

TEST(Bind, EntryInMemory) {
  Driver d;
  ASSERT_EQ(d.Bind(), 0);
  uint64_t e = d.Entry(1), rid = d.Entry(0);
  EXPECT_EQ(d.m.Load(e) & 0xfff, 0x0c9u);                        // P, AW 48, nested
  EXPECT_EQ(d.m.Load(e) & ~0xfffull, d.m.Load(rid) & ~0xfffull); // the parent's tables
  EXPECT_EQ(d.m.Load(e + 8), 0x1800003u);                        // DID 3, PWSNP, PGSNP
  EXPECT_EQ(d.m.Load(e + 16), d.table->pgt.root);                // 4 levels
  EXPECT_EQ(d.m.Load(rid) & 0xfff, 0x089u);                      // P, AW 48, second stage
  EXPECT_EQ(d.m.Load(rid + 8), 0x800002u);
  for (int i = 3; i < 8; i++)
    EXPECT_EQ(d.m.Load(e + 8 * i), 0u);
}

TEST(Bind, CapabilitiesShapeTheEntry) {
  ims_vtd_config c = Machine::UnitConfig();
  c.sc = c.smpwcs = 0;
  Driver d(c);
  ASSERT_EQ(d.Bind(), 0);
  EXPECT_EQ(d.m.Load(d.Entry(1) + 8), 3u); // neither walk nor page snoop
}

TEST(Bind, CachingModeInvalidatesWhatWasNotPresent) {
  ims_vtd_config c = Machine::UnitConfig();
  c.cm = 1;
  Driver d(c);
  ASSERT_EQ(d.Bind(), 0);
  EXPECT_EQ(Plain(d.m.Said(kQueue)), (Lines{
                                         "queue PASID-cache invalidation of a PASID, domain 3, PASID 1",
                                         "queue invalidation wait",
                                         "queue PASID-based IOTLB invalidation of domain 3, PASID 1",
                                         "queue invalidation wait",
                                     }));
  EXPECT_EQ(d.m.Dma(d.dev, 0x1000, IMS_ACC_R, 1).status, IMS_STATUS_OK);
}

TEST(Bind, CachingModeWithFaultsCachedBeforehand) {
  ims_vtd_config c = Machine::UnitConfig();
  c.cm = 1;
  Driver d(c);
  EXPECT_EQ(d.m.Dma(d.dev, 0x1000, IMS_ACC_R, 1).fault, 0x59);
  ASSERT_EQ(d.Bind(), 0);
  EXPECT_EQ(d.m.Dma(d.dev, 0x1000, IMS_ACC_R, 1).status, IMS_STATUS_OK);
}

TEST(Bind, WriteBufferIsFlushedWhereTheUnitAsksForIt) {
  ims_vtd_config c = Machine::UnitConfig();
  c.rwbf = 1;
  Driver d(c);
  ASSERT_EQ(d.Bind(), 0);
  EXPECT_EQ(d.m.Said(kWrites).back(), "write GCMD (0x18) = 0x8c000000: TE, WBF, QIE");
  EXPECT_TRUE(d.m.Descriptors().empty());
}

TEST(Bind, DomainIdsRunOut) {
  ims_vtd_config c = Machine::UnitConfig();
  c.nd = 0; // 16 ids: 0 and 1 are taken, 2 is the second stage's
  Driver d(c);
  for (uint32_t pasid = 2; pasid <= 20; pasid++)
    ASSERT_EQ(d.v->Ioctl(0x3b76, ims_vfio_pasid_request{16, 1, pasid, pasid}), pasid);
  for (uint32_t pasid = 1; pasid <= 13; pasid++)
    EXPECT_EQ(d.Bind(pasid), 0) << pasid;
  EXPECT_EQ(d.Bind(14), -ENOSPC);
  EXPECT_EQ(d.Unbind(5), 0);
  EXPECT_EQ(d.Bind(14), 0);
  EXPECT_EQ(d.m.Load(d.Entry(14) + 8) & 0xffff, 7u); // the lowest free one again
}

// ---- I: invalidation ------------------------------------------------------------------------------------------------

TEST(Flush, NestedDomainIotlbThenDeviceTlbThenOneWait) {
  Driver d;
  ASSERT_EQ(d.Bind(), 0);
  d.m.Clear();
  ASSERT_EQ(d.v->Ioctl(0x3b77, MakeInvB(1, 0x1000, 1)), 0);
  EXPECT_EQ(Plain(d.m.Said(kWrites)),
            (Lines{"queue PASID-based IOTLB invalidation of domain 3, PASID 1, 1 page from 0x1000",
                   "queue PASID-based device-TLB invalidation of 03:00.0, PASID 1, 1 page from 0x1000",
                   "queue invalidation wait", "write IQT (0x88) = 0x60: QT 0x60"}));
}

TEST(Flush, SecondStageChangeGoesToEveryDomainThatStandsOnIt) {
  Driver d;
  ASSERT_EQ(d.v->Ioctl(0x3b76, ims_vfio_pasid_request{16, 1, 2, 2}), 2);
  ASSERT_EQ(d.Bind(1), 0);
  ASSERT_EQ(d.Bind(2), 0);
  uint64_t va = 0;
  ASSERT_EQ(ims_mmap(d.v->process, 0, 4 * kPage, 3, 0, &va), 0);
  ASSERT_EQ(d.v->Map(kGB, va, 4 * kPage), 0);
  ASSERT_EQ(d.v->Map(kGB + 4 * kPage, va, kPage), 0);
  d.m.Clear();
  ASSERT_EQ(d.v->Unmap(kGB, 4 * kPage), 0); // the table stays: leaves only
  EXPECT_EQ(Plain(d.m.Said(kQueue)),
            (Lines{"queue IOTLB invalidation of domain 2, 4 pages from 0x40000000, leaves only",
                   "queue device-TLB invalidation of 03:00.0, 4 pages from 0x40000000",
                   "queue IOTLB invalidation of domain 3, 4 pages from 0x40000000, leaves only",
                   "queue PASID-based device-TLB invalidation of 03:00.0, PASID 1, all addresses",
                   "queue IOTLB invalidation of domain 4, 4 pages from 0x40000000, leaves only",
                   "queue PASID-based device-TLB invalidation of 03:00.0, PASID 2, all addresses",
                   "queue invalidation wait"}));
  d.m.Clear();
  ASSERT_EQ(d.v->Unmap(kGB + 4 * kPage, kPage), 0); // now the table goes too
  EXPECT_EQ(Plain(d.m.Said(kQueue))[0], "queue IOTLB invalidation of domain 2, 1 page from 0x40004000");
  ASSERT_EQ(d.Unbind(1), 0);
  ASSERT_EQ(d.v->Map(kGB, va, kPage), 0);
  d.m.Clear();
  ASSERT_EQ(d.v->Unmap(kGB, kPage), 0);
  EXPECT_EQ(d.m.DescriptorTypes(), (std::vector<unsigned>{2, 3, 2, 8, 5})); // PASID 1 has no share in it any more
}

TEST(Flush, RangeTooLargeForTheUnitBecomesTheDomain) {
  ims_vtd_config c = Machine::UnitConfig();
  c.mamv = 9; // 2 MB
  for (unsigned psi : {1u, 0u}) {
    c.psi = psi;
    if (!psi)
      c.mamv = 0;
    Driver d(c);
    uint64_t va = 0;
    ASSERT_EQ(ims_mmap(d.v->process, 0, 4 * kMB, 3, IMS_MMAP_2M, &va), 0);
    ASSERT_EQ(d.v->Map(kGB, va, 4 * kMB), 0);
    d.m.Clear();
    ASSERT_EQ(d.v->Unmap(kGB, 4 * kMB), 0);
    EXPECT_EQ(Plain(d.m.Said(kQueue))[0], "queue IOTLB invalidation of domain 2");
  }
}

TEST(Flush, MappingCostsSomethingOnlyInCachingMode) {
  for (unsigned cm : {0u, 1u}) {
    ims_vtd_config c = Machine::UnitConfig();
    c.cm = cm;
    Driver d(c);
    uint64_t va = 0;
    ASSERT_EQ(ims_mmap(d.v->process, 0, kPage, 3, 0, &va), 0);
    EXPECT_EQ(d.m.Dma(d.dev, kGB).fault, 0x79);
    d.m.Clear();
    ASSERT_EQ(d.v->Map(kGB, va, kPage), 0);
    EXPECT_EQ(d.m.DescriptorTypes(), cm ? (std::vector<unsigned>{2, 5}) : std::vector<unsigned>{});
    EXPECT_EQ(d.m.Dma(d.dev, kGB).status, IMS_STATUS_OK);
  }
}

// ---- T: tear-down ---------------------------------------------------------------------------------------------------

TEST(TearDown, StepsInTheirOrder) {
  Driver d;
  ASSERT_EQ(d.Bind(), 0);
  uint64_t e = d.Entry(1), word = d.m.Load(e);
  d.m.Clear();
  ASSERT_EQ(d.Unbind(), 0);
  const auto &n = d.m.notes;
  EXPECT_EQ(n[0].note.addr, e); // only P goes
  EXPECT_EQ(n[0].note.word[0], word & ~1ull);
  EXPECT_EQ(
      Plain(d.m.Said(kQueue)),
      (Lines{"queue PASID-cache invalidation of a PASID, domain 3, PASID 1", "queue invalidation wait",
             "queue IOTLB invalidation of domain 3", "queue invalidation wait",
             "queue PASID-based device-TLB invalidation of 03:00.0, PASID 1, all addresses", "queue invalidation wait",
             "queue invalidation wait, fence", "queue PASID-based IOTLB invalidation of domain 3, PASID 1",
             "queue PASID-based device-TLB invalidation of 03:00.0, PASID 1, all addresses",
             "queue invalidation wait, page-request drain"}));
  // The entry is zeroed after the device TLB has answered and before the drain.
  size_t zeroed = 0, dev_tlb = 0, fence = 0;
  for (size_t i = 1; i < n.size(); i++) {
    if (n[i].note.kind == IMS_NOTE_TABLE && !zeroed)
      zeroed = i;
    if (n[i].note.kind == IMS_NOTE_DESCRIPTOR && (n[i].note.word[0] & 15) == 8 && !dev_tlb)
      dev_tlb = i;
    if (n[i].sentence == "queue invalidation wait, fence")
      fence = i;
  }
  EXPECT_LT(dev_tlb, zeroed);
  EXPECT_LT(zeroed, fence);
  for (int i = 0; i < 8; i++)
    EXPECT_EQ(d.m.Load(e + 8 * i), 0u);
}

TEST(TearDown, WithoutAtsAndPageRequests) {
  ims_device_config c = Machine::DeviceConfig();
  c.ats = c.pri = false;
  Driver d(Machine::UnitConfig(), c);
  ASSERT_EQ(d.Bind(), 0);
  d.m.Clear();
  ASSERT_EQ(d.Unbind(), 0);
  EXPECT_EQ(d.m.DescriptorTypes(), (std::vector<unsigned>{7, 5, 2, 5}));
}

TEST(TearDown, SecondStageOfTheDevice) {
  Driver d;
  ims_close(d.v->group[0]);
  EXPECT_EQ(d.m.DescriptorTypes(), (std::vector<unsigned>{7, 5, 2, 5, 3, 5, 5, 2, 3, 5}));
  EXPECT_EQ(Plain(d.m.Said(kQueue))[4], "queue device-TLB invalidation of 03:00.0, all addresses");
  ASSERT_FALSE(d.m.invalidations.empty());
  EXPECT_FALSE(d.m.invalidations[0].has_pasid);
  EXPECT_EQ(d.m.invalidations[0].addr, 0u);
  EXPECT_EQ(d.m.invalidations[0].last, ~0ull);
}

// ---- Trouble --------------------------------------------------------------------------------------------------------

TEST(Trouble, DeviceThatDoesNotAnswer) {
  Driver d;
  ASSERT_EQ(d.Bind(), 0);
  d.m.device_answers = false;
  d.m.Clear();
  EXPECT_EQ(d.v->Ioctl(0x3b77, MakeInvB(1, 0x1000, 1)), 0);                             // the series hides it
  EXPECT_EQ(d.m.DescriptorTypes(), (std::vector<unsigned>{6, 8, 5, 6, 8, 5, 6, 8, 5})); // three tries
  Lines log = d.m.Said(1 << IMS_NOTE_LOG);
  ASSERT_EQ(log.size(), 3u);
  EXPECT_EQ(log[0], "kernel: invalidation time-out, device 03:00.0");
  EXPECT_EQ(ims_iommu_read(d.m.units[0], IMS_VTD_OFF_FSTS, 4), 0u);
  d.m.device_answers = true;
  d.m.Clear();
  EXPECT_EQ(d.v->Ioctl(0x3b77, MakeInvB(1, 0x1000, 1)), 0);
  EXPECT_EQ(d.m.DescriptorTypes(), (std::vector<unsigned>{6, 8, 5}));
  ims_kernel_counters c;
  ims_kernel_count(d.m.kernel, &c);
  EXPECT_EQ(c.queue_errors, 3u);
}

TEST(Trouble, RefusedDescriptorIsReplacedAndTheQueueGoesOn) {
  // A unit that shows ATS to the driver and then refuses a reserved bit: here the queue is spoilt from outside.
  Driver d;
  ASSERT_EQ(d.Bind(), 0);
  uint64_t queue = ims_iommu_read(d.m.units[0], IMS_VTD_OFF_IQA, 8) & ~0xfffull;
  uint64_t tail = ims_iommu_read(d.m.units[0], IMS_VTD_OFF_IQT, 8);
  ASSERT_EQ(ims_mem_store64(&d.m.mem, queue + tail, 0xf), IMS_ERR_OK); // no such type
  ims_iommu_write(d.m.units[0], IMS_VTD_OFF_IQT, 8, tail + 32);
  EXPECT_EQ(ims_iommu_read(d.m.units[0], IMS_VTD_OFF_FSTS, 4) & 0x10, 0x10u);
  EXPECT_EQ(d.v->Ioctl(0x3b77, MakeInvB(1, 0x1000, 1)), 0);
  EXPECT_EQ(ims_iommu_read(d.m.units[0], IMS_VTD_OFF_FSTS, 4) & 0x10, 0u);
  EXPECT_EQ(ims_iommu_read(d.m.units[0], IMS_VTD_OFF_IQH, 8), ims_iommu_read(d.m.units[0], IMS_VTD_OFF_IQT, 8));
}

TEST(Trouble, QueueMemoryGoneIsAnErrorAndNoEndlessLoop) {
  Driver d;
  ASSERT_EQ(d.Bind(), 0);
  uint64_t queue = ims_iommu_read(d.m.units[0], IMS_VTD_OFF_IQA, 8) & ~0xfffull;
  ASSERT_EQ(ims_mem_remove(&d.m.mem, queue, 2 * kPage), IMS_ERR_OK);
  EXPECT_EQ(d.v->Unmap(0, 16 * kMB), 0);
  EXPECT_EQ(d.Unbind(), 0);
  ims_sva *s = nullptr;
  EXPECT_EQ(ims_sva_bind(d.dev, d.v->process, &s), 0); // needs no descriptor
  ims_sva_unbind(s);
}

TEST(Trouble, DriverStopsWaitingWhenToldTo) {
  struct Counter {
    int left = 5;
    static bool Relax(void *ctx) { return static_cast<Counter *>(ctx)->left-- > 0; }
  } counter;
  Machine m(IMS_DIALECT_V7, [&](ims_kernel_config &c) {
    c.hooks.relax = Counter::Relax;
    c.hooks.ctx = &counter;
    c.hooks.observe = nullptr;
  });
  ims_vtd_config c = Machine::UnitConfig();
  ims_iommu *u = nullptr;
  ASSERT_EQ(ims_vtd_new(&u, &c, &m.mem, nullptr), IMS_ERR_OK);
  m.units.push_back(u);
  ASSERT_EQ(ims_kernel_add_unit(m.kernel, "dmar0", u, nullptr), IMS_ERR_OK);
  EXPECT_EQ(counter.left, 5); // everything was there at the first look
}

TEST(Devices, SwitchingAtsChangesTheContextEntry) {
  Machine m;
  m.AddUnit();
  ims_device *dev = m.AddDevice();
  uint64_t root = ims_kernel_unit_root(m.kernel, 0);
  uint64_t context = m.Load(root + 3 * 16) & ~0xfffull; // bus 3, lower half
  EXPECT_EQ(m.Load(context) & 0xfff, 0xe1du);           // P DTE PASIDE PRE, PDTS 7
  EXPECT_EQ(m.Load(context) & ~0xfffull, ims_device_pasid_dir(dev));
  m.Clear();
  EXPECT_EQ(ims_device_enable_ats(dev, false), 0);
  EXPECT_EQ(m.Load(context) & 0xfff, 0xe09u);
  EXPECT_EQ(m.DescriptorTypes(), (std::vector<unsigned>{1, 3, 5}));
  Vmm v(m);
  EXPECT_EQ(ims_device_enable_ats(dev, true), -EBUSY);
}

TEST(Devices, UpperHalfOfABusAndOddConfigurations) {
  Machine m;
  m.AddUnit();
  ims_device *d = nullptr;
  ims_device_config c = Machine::DeviceConfig(0x03ff, 1);
  c.pasid_bits = 0;
  ASSERT_EQ(ims_kernel_add_device(m.kernel, &c, &d), IMS_ERR_OK);
  uint64_t context = m.Load(ims_kernel_unit_root(m.kernel, 0) + 3 * 16 + 8) & ~0xfffull;
  EXPECT_EQ(m.Load(context + 127 * 32) & 0xfff, 0x015u); // no PASIDE, PDTS 0
  EXPECT_EQ(ims_kernel_add_device(m.kernel, &c, &d), IMS_ERR_EXIST);
  c.source = 1;
  c.unit = 5;
  EXPECT_EQ(ims_kernel_add_device(m.kernel, &c, &d), IMS_ERR_INVAL);
  c.unit = 0;
  c.pasid_bits = 21;
  EXPECT_EQ(ims_kernel_add_device(m.kernel, &c, &d), IMS_ERR_INVAL);
}

} // namespace
} // namespace uapi_test
