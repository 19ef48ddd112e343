// SPDX-License-Identifier: Apache-2.0
// The invalidation queue: what is legal, where it stops, how it goes on, and what it sends. VT-d rev 4.1, 6.5.2, 11.4.8.
#include "tests/iommu/vtd/world.h"

#include <gtest/gtest.h>

namespace vtd {
namespace {

constexpr uint64_t bit(unsigned n) { return uint64_t(1) << n; }
constexpr uint32_t kQie = 1u << 26;

unsigned fsts(Machine &m) { return static_cast<unsigned>(m.get(IMS_VTD_FSTS)); }
unsigned iqei(Machine &m) { return m.get(IMS_VTD_IQERCD) & 15; }
constexpr unsigned IQE = 1 << 4, ITE = 1 << 6;

// A machine with nothing but its queue, and the mode set.
struct QueueWorld : Machine {
  explicit QueueWorld(Mode mode = kScalable, const Config &c = Config()) : Machine(c) { start(mode); }
};

// Repairs the descriptor at the head, acknowledges, and expects the rest to be done.
void repair_and_go_on(Machine &m) {
  uint64_t head = m.get(IMS_VTD_IQH);
  Descriptor good = inv::interrupt_entry_cache();
  for (unsigned i = 0; i < m.descriptor_bytes / 8; i++)
    m.store(m.queue + head + i * 8, good.word[i]);
  m.put(IMS_VTD_FSTS, IQE);
  EXPECT_EQ(0u, fsts(m));
  EXPECT_EQ(m.get(IMS_VTD_IQT), m.get(IMS_VTD_IQH));
}

// The queue stops at the second of three descriptors: the first is done, the third is not.
void expect_error(Machine &m, const Descriptor &bad, unsigned code) {
  uint64_t status = m.alloc();
  m.place(inv::wait_status(status, 11));
  uint64_t at = m.tail;
  m.place(bad);
  m.place(inv::wait_status(status + 4, 22));
  m.ring();
  EXPECT_EQ(IQE, fsts(m));
  EXPECT_EQ(code, iqei(m));
  EXPECT_EQ(at, m.get(IMS_VTD_IQH)) << "the head stays on the bad descriptor";
  EXPECT_EQ(11u, m.load(status));
  repair_and_go_on(m);
  EXPECT_EQ(11u | uint64_t(22) << 32, m.load(status)) << "and behind it all is done";
}

TEST(Queue, TypesThatAreNone) {
  for (bool wide : {false, true})
    for (unsigned type = 0; type < 128; type++) {
      bool legal = type >= 1 && type <= (wide ? 9u : 5u);
      if (legal)
        continue;
      SCOPED_TRACE("type " + std::to_string(type) + (wide ? ", scalable" : ", legacy"));
      QueueWorld m(wide ? kScalable : kLegacy);
      // Otherwise a legal descriptor of type 1: global.
      expect_error(m, {{(type & 15) | uint64_t(type >> 4) << 9 | 1 << 4, 0, 0, 0}}, 3);
    }
}

TEST(Queue, TypesThatNeedACapability) {
  struct Case {
    Descriptor d;
    void (*configure)(Config &);
  };
  const Case cases[] = {
      {inv::device_tlb(0x123, 0x1000, false), [](Config &c) { c.dt = c.prs = c.pds = 0; }},
      {inv::pasid_device_tlb(0x123, 1, 0x1000, false), [](Config &c) { c.dt = c.prs = c.pds = 0; }},
      {inv::page_response(0x123, 1, true, 1, 0, true), [](Config &c) { c.prs = c.pds = 0; }},
      {inv::interrupt_entry_cache(), [](Config &c) { c.ir = 0; }},
  };
  for (const Case &k : cases) {
    Config cfg;
    k.configure(cfg);
    QueueWorld m(kScalable, cfg);
    m.submit(k.d);
    EXPECT_EQ(IQE, fsts(m));
    EXPECT_EQ(3u, iqei(m));
  }
}

struct Legal {
  const char *what;
  Descriptor d;
  uint64_t meaning[2]; // bits that say something, as the manual's figures have them
};

const Legal kLegal[] = {
    {"context", inv::context(1), {0x0003ffffffff003f, 0}},
    {"IOTLB", inv::iotlb(1), {0xffff00ff, 0xfffffffffffff07f}},
    {"device TLB", inv::device_tlb(0x123, 0, false), {0xfff0ffff001ff00f, 0xfffffffffffff001}},
    {"interrupt entries", inv::interrupt_entry_cache(), {0x0000fffff800001f, 0}},
    {"wait", inv::wait_interrupt(), {0xffffffff000000ff, ~uint64_t(3)}},
    {"P_IOTLB", inv::piotlb(1, 1), {0x000fffffffff003f, 0xfffffffffffff07f}},
    {"PASID cache", inv::pasid_cache_global(), {0x000fffffffff003f, 0}},
    {"P device TLB", inv::pasid_device_tlb(0x123, 1, 0, false), {~uint64_t(0), 0xfffffffffffff801}},
    {"page response", inv::page_response(0x123, 1, true, 1, 0, true), {0x000ffffffffff01f, 0xffc}},
};

// Each bit of each descriptor: reserved ones stop the queue with code 4, bits 11:9 change the type.
TEST(Queue, ReservedBits) {
  for (const Legal &k : kLegal)
    for (unsigned n = 0; n < 256; n++) {
      unsigned word = n / 64, b = n % 64;
      if (word == 0 && (b < 4 || (b >= 9 && b <= 11)))
        continue; // the type
      bool reserved = word >= 2 || !(k.meaning[word] >> b & 1);
      if (!reserved)
        continue;
      SCOPED_TRACE(std::string(k.what) + " bit " + std::to_string(n));
      QueueWorld m;
      Descriptor d = k.d;
      d.word[word] ^= bit(b);
      m.submit(d);
      EXPECT_EQ(IQE, fsts(m));
      EXPECT_EQ(4u, iqei(m));
    }
}

TEST(Queue, MeaningfulBitsAreAccepted) {
  for (const Legal &k : kLegal) {
    SCOPED_TRACE(k.what);
    unsigned type = k.d.word[0] & 15;
    for (unsigned n = 12; n < 128; n++) {
      if (!(k.meaning[n / 64] >> (n % 64) & 1))
        continue;
      if (type == 2 && n >= 64 && n < 70)
        continue; // AM has bounds
      QueueWorld m;
      Descriptor d = k.d;
      d.word[n / 64] |= bit(n % 64);
      m.submit(d);
      EXPECT_EQ(0u, fsts(m)) << "bit " << n << " IQEI " << iqei(m);
    }
  }
}

TEST(Queue, Values) {
  struct Case {
    const char *what;
    Descriptor d;
    bool legal;
    void (*configure)(Config &);
  };
  auto none = [](Config &) {};
  const Case cases[] = {
      {"context granularity 0", inv::context(0), false, none},
      {"IOTLB granularity 0", inv::iotlb(0), false, none},
      {"P_IOTLB granularity 0", {{6, 0, 0, 0}}, false, none},
      {"P_IOTLB granularity 1", {{6 | 1 << 4, 0, 0, 0}}, false, none},
      {"PASID cache granularity 2", {{7 | 2 << 4, 0, 0, 0}}, false, none},
      {"IOTLB page AM=MAMV", inv::iotlb(3, 1, 0, 18), true, none},
      {"IOTLB page AM>MAMV", inv::iotlb(3, 1, 0, 19), false, none},
      {"IOTLB domain AM>MAMV: only pages have a mask", inv::iotlb(2, 1, 0, 19), true, none},
      {"IOTLB page without PSI", inv::iotlb(3, 1, 0, 0), false, [](Config &c) { c.psi = 0; }},
      {"P_IOTLB page without PSI", inv::piotlb_page(1, 1, 0, 63), true, [](Config &c) { c.psi = 0; }},
      {"interrupt entries IM=MHMV", inv::interrupt_entry_cache(true, 5), true, [](Config &c) { c.mhmv = 5; }},
      {"interrupt entries IM>MHMV", inv::interrupt_entry_cache(true, 6), false, [](Config &c) { c.mhmv = 5; }},
      {"interrupt entries global", inv::interrupt_entry_cache(false, 6), true, [](Config &c) { c.mhmv = 5; }},
      {"wait PD", {{5 | 1 << 7, 0, 0, 0}}, true, none},
      {"wait PD without PDS", {{5 | 1 << 7, 0, 0, 0}}, false, [](Config &c) { c.pds = 0; }},
      {"wait with no flag", {{5, 0, 0, 0}}, true, none},
  };
  for (const Case &k : cases) {
    SCOPED_TRACE(k.what);
    Config cfg;
    k.configure(cfg);
    QueueWorld m(kScalable, cfg);
    m.submit(k.d);
    EXPECT_EQ(k.legal ? 0u : IQE, fsts(m));
    EXPECT_EQ(k.legal ? 0u : 4u, iqei(m));
  }
}

// Rev 3.x: private data come back in the upper half of a page group response.
TEST(Queue, PrivateDataOfAPageResponse) {
  for (unsigned revision : {3u, 4u}) {
    Config cfg;
    cfg.revision = revision;
    QueueWorld m(kScalable, cfg);
    Descriptor d = inv::page_response(0x123, 1, true, 1, 0, true);
    d.word[0] |= 1 << 5; // PDP
    d.word[2] = 1, d.word[3] = 2;
    m.submit(d);
    EXPECT_EQ(revision == 3 ? 0u : IQE, fsts(m));
  }
}

TEST(Queue, TailBeyondTheQueue) {
  QueueWorld m;
  m.put(IMS_VTD_IQT, 4096);
  EXPECT_EQ(IQE, fsts(m));
  EXPECT_EQ(1u, iqei(m));
  EXPECT_EQ(0u, m.get(IMS_VTD_IQH));
  m.put(IMS_VTD_IQT, 0); // repaired; not acted upon while IQE=1
  EXPECT_EQ(IQE, fsts(m));
  m.put(IMS_VTD_FSTS, IQE);
  EXPECT_EQ(0u, fsts(m));
  EXPECT_TRUE(m.wait());
}

TEST(Queue, DescriptorThatCannotBeRead) {
  for (uint64_t base : {kAbsent, bit(kHaw)}) {
    QueueWorld m;
    m.command(kQie, false);
    m.put(IMS_VTD_IQA, base | 1 << 11);
    m.command(kQie, true);
    m.put(IMS_VTD_IQT, 32);
    EXPECT_EQ(IQE, fsts(m));
    EXPECT_EQ(2u, iqei(m));
    EXPECT_EQ(0u, m.get(IMS_VTD_IQH));
  }
}

// All 32 bytes of a wide descriptor must be there.
TEST(Queue, HalfADescriptor) {
  QueueWorld m;
  for (unsigned half : {0u, 1u})
    ASSERT_EQ(IMS_ERR_OK, ims_mem_remove(m.mem(half), m.queue + 16, 16));
  m.put(IMS_VTD_IQT, 32);
  EXPECT_EQ(2u, iqei(m));
}

TEST(Queue, DescriptorWidth) {
  struct Case {
    Mode mode;
    bool wide;
    void (*configure)(Config &);
    unsigned code;
  };
  auto none = [](Config &) {};
  const Case cases[] = {
      {kScalable, false, none, 5},
      {kAbort, false, none, 5},
      {kAbort, true, none, 0},
      {kLegacy, true, none, 0},
      {kLegacy, false, none, 0},
      {kLegacy, true, [](Config &c) { c.smts = c.adms = 0; }, 5},
      {kLegacy, true, [](Config &c) { c.smts = 0; }, 0},
      {kScalable, true, [](Config &c) { c.smts = 0; }, 7},
      {kScalable, false, [](Config &c) { c.smts = 0; }, 7},
      {kAbort, true, [](Config &c) { c.adms = 0; }, 7},
      {Mode(2), true, none, 7},
  };
  for (const Case &k : cases) {
    SCOPED_TRACE("mode " + std::to_string(k.mode) + (k.wide ? " wide" : " narrow"));
    Config cfg;
    k.configure(cfg);
    Machine m(cfg);
    m.set_root_table(k.mode);
    m.start_queue(k.wide);
    m.submit(inv::context(1));
    EXPECT_EQ(k.code, iqei(m));
    EXPECT_EQ(k.code ? IQE : 0u, fsts(m));
  }
}

// A wide descriptor padded with zeros does in legacy mode what a narrow one does.
TEST(Queue, WideDescriptorsInLegacyMode) {
  LegacyWorld w;
  w.command(kQie, false);
  w.start_queue(true);
  ims_request r = dma(kDevice, kVa);
  w.request(r);
  w.point(w.second.at(kVa), 0x2346000);
  w.submit(inv::iotlb(3, 2, kVa));
  EXPECT_EQ(0x2346000u, w.request(r).output);
  w.submit(inv::piotlb(1, 1));
  EXPECT_EQ(3u, iqei(w)) << "PASID commands need scalable mode";
}

TEST(Queue, TailBit4WithWideDescriptors) {
  QueueWorld m;
  m.put(IMS_VTD_IQT, 48);
  EXPECT_EQ(32u, m.get(IMS_VTD_IQT)) << "the bit reads back 0";
  EXPECT_EQ(IQE, fsts(m));
  EXPECT_EQ(6u, iqei(m));
  EXPECT_EQ(0u, m.get(IMS_VTD_IQH)) << "nothing was fetched";
}

TEST(Queue, PrecedenceOfErrors) {
  // Mode before width before type before reserved bits.
  Config cfg;
  cfg.smts = 0;
  QueueWorld m(kScalable, cfg);
  m.descriptor_bytes = 32;
  m.submit({{0, ~uint64_t(0), 0, 0}});
  EXPECT_EQ(7u, iqei(m));
  QueueWorld narrow;
  narrow.command(kQie, false);
  narrow.start_queue(false);
  narrow.submit({{0, ~uint64_t(0), 0, 0}});
  EXPECT_EQ(5u, iqei(narrow));
  QueueWorld type;
  type.submit({{10, ~uint64_t(0), ~uint64_t(0), 0}});
  EXPECT_EQ(3u, iqei(type));
  QueueWorld granularity;
  granularity.submit({{1, 1, 0, 0}});
  EXPECT_EQ(4u, iqei(granularity));
}

TEST(Queue, TailIsOnlyStoredWhileAnErrorIsPending) {
  QueueWorld m;
  m.submit({{0, 0, 0, 0}});
  ASSERT_EQ(IQE, fsts(m));
  uint64_t status = m.alloc();
  m.submit(inv::wait_status(status, 5));
  EXPECT_EQ(64u, m.get(IMS_VTD_IQT));
  EXPECT_EQ(0u, m.get(IMS_VTD_IQH));
  EXPECT_EQ(0u, m.load(status));
  m.put(IMS_VTD_FSTS, IQE); // not repaired: it stops at once again
  EXPECT_EQ(IQE, fsts(m));
  repair_and_go_on(m);
  EXPECT_EQ(5u, m.load(status));
}

TEST(Queue, EmptyIsNeverFetched) {
  QueueWorld m;
  for (unsigned half : {0u, 1u})
    ASSERT_EQ(IMS_ERR_OK, ims_mem_remove(m.mem(half), m.queue, 4096));
  m.put(IMS_VTD_IQT, 0);
  EXPECT_EQ(0u, fsts(m));
}

TEST(Queue, Wraps) {
  for (unsigned qs : {0u, 2u})
    for (bool wide : {false, true}) {
      Machine m;
      m.set_root_table(wide ? kScalable : kLegacy);
      m.start_queue(wide, qs);
      uint64_t status = m.alloc();
      uint32_t slots = m.queue_bytes / m.descriptor_bytes;
      for (uint32_t i = 1; i <= 2 * slots + 3; i++) {
        m.submit(inv::wait_status(status, i));
        ASSERT_EQ(i, m.load(status));
        ASSERT_EQ(i % slots * m.descriptor_bytes, m.get(IMS_VTD_IQH));
      }
      // As many as fit at once, over the border: one slot stays free.
      for (uint32_t i = 0; i < slots - 1; i++)
        m.place(inv::wait_status(status, 1000 + i));
      m.ring();
      EXPECT_EQ(1000 + slots - 2, m.load(status));
      EXPECT_EQ(m.tail, m.get(IMS_VTD_IQH));
    }
}

TEST(Queue, EnableAndDisable) {
  QueueWorld m;
  EXPECT_TRUE(m.wait());
  EXPECT_NE(0u, m.get(IMS_VTD_IQH));
  m.put(IMS_VTD_IQA, 0x5000); // ignored while the queue runs
  EXPECT_EQ(m.queue | 1 << 11, m.get(IMS_VTD_IQA));
  m.command(kQie, false);
  EXPECT_EQ(0u, m.get(IMS_VTD_IQH));
  EXPECT_FALSE(m.get(IMS_VTD_GSTS) & kQie);
  uint64_t status = m.alloc();
  m.tail = 0;
  m.put(IMS_VTD_IQT, 0);
  m.submit(inv::wait_status(status, 7));
  EXPECT_EQ(0u, m.load(status)) << "a queue that is off fetches nothing";
  m.command(kQie, true);
  EXPECT_EQ(7u, m.load(status)) << "a tail that is not 0 when it starts is processed at once";
}

TEST(Queue, WithoutQueuedInvalidationThereIsNone) {
  Config cfg;
  cfg.qi = cfg.ir = cfg.smts = 0;
  Machine m(cfg);
  m.put(IMS_VTD_GCMD, kQie);
  EXPECT_EQ(0u, m.get(IMS_VTD_GSTS));
  m.put(IMS_VTD_IQA, 0x5000);
  EXPECT_EQ(0u, m.get(IMS_VTD_IQA));
}

// Waits.

TEST(Wait, WritesItsStatusWord) {
  QueueWorld m;
  uint64_t status = m.alloc();
  m.store(status, ~uint64_t(0));
  m.submit(inv::wait_status(status + 4, 0x12345678));
  EXPECT_EQ(0x12345678ffffffff, m.load(status));
  m.submit(inv::wait_status(status, 0, false, true, true)); // fence, drain
  EXPECT_EQ(0x1234567800000000, m.load(status));
  EXPECT_EQ(0u, m.get(IMS_VTD_ICS));
  m.submit(inv::wait_status(kAbsent, 1)); // nobody is there to see it
  EXPECT_EQ(0u, fsts(m));
  EXPECT_TRUE(m.wait());
}

TEST(Wait, Interrupt) {
  QueueWorld m;
  m.put(IMS_VTD_IEDATA, 0x41);
  m.put(IMS_VTD_IEADDR, 0xfee01000);
  m.submit(inv::wait_interrupt());
  EXPECT_EQ(1u, m.get(IMS_VTD_ICS));
  EXPECT_EQ(0xc0000000, m.get(IMS_VTD_IECTL)) << "masked: pending";
  EXPECT_TRUE(m.messages.empty());
  m.put(IMS_VTD_IECTL, 0); // unmasking sends it
  EXPECT_EQ((std::vector<Message>{{0xfee01000, 0x41}}), m.messages);
  EXPECT_EQ(0u, m.get(IMS_VTD_IECTL));
  m.submit(inv::wait_interrupt()); // IWC is still 1: no new event
  EXPECT_EQ(1u, m.messages.size());
  m.put(IMS_VTD_ICS, 1);
  EXPECT_EQ(0u, m.get(IMS_VTD_ICS));
  m.submit(inv::wait_interrupt());
  EXPECT_EQ(2u, m.messages.size());
}

TEST(Wait, StatusIsWrittenBeforeTheInterrupt) {
  // The interrupt handler would find the status word in place: the message carries no order of its own here, so look at
  // memory from within it.
  struct Spy {
    ims_mem mem;
    uint64_t seen = 0;
  } spy;
  ims_mem_init(&spy.mem);
  ASSERT_EQ(IMS_ERR_OK, ims_mem_add_ram(&spy.mem, 0, 1 * MB));
  ims_iommu_bus bus = {};
  bus.ctx = &spy;
  bus.message = [](void *ctx, uint64_t, uint32_t) {
    Spy *s = static_cast<Spy *>(ctx);
    ims_mem_load64(&s->mem, 0x3000, &s->seen);
  };
  Config cfg;
  ims_iommu *u = nullptr;
  ASSERT_EQ(IMS_ERR_OK, ims_vtd_new(&u, &cfg, &spy.mem, &bus));
  ims_iommu_write(u, IMS_VTD_OFF_IECTL, 4, 0);
  ims_iommu_write(u, IMS_VTD_OFF_IQA, 8, 0x1000);
  ims_iommu_write(u, IMS_VTD_OFF_GCMD, 4, kQie);
  Descriptor d = inv::wait_status(0x3000, 99, true);
  ASSERT_EQ(IMS_ERR_OK, ims_mem_write(&spy.mem, 0x1000, d.word, 16));
  ims_iommu_write(u, IMS_VTD_OFF_IQT, 8, 16);
  EXPECT_EQ(99u, spy.seen);
  ims_iommu_free(u);
  ims_mem_fini(&spy.mem);
}

TEST(Wait, AcknowledgedBeforeItIsUnmaskedNothingIsSent) {
  QueueWorld m;
  m.submit(inv::wait_interrupt());
  m.put(IMS_VTD_ICS, 1);
  EXPECT_EQ(0x80000000, m.get(IMS_VTD_IECTL));
  m.put(IMS_VTD_IECTL, 0);
  EXPECT_TRUE(m.messages.empty());
}

// Device TLBs.

TEST(DeviceTlb, Ranges) {
  struct Case {
    uint64_t addr;
    bool s;
    uint64_t first, last;
  };
  const Case cases[] = {
      {0x12345000, false, 0x12345000, 0x12345fff},
      {0x12344000, true, 0x12344000, 0x12345fff},  // bit 12 zero: 8 KB
      {0x12345000, true, 0x12344000, 0x12347fff},  // bit 12 one, 13 zero: 16 KB
      {0x120ff000, true, 0x12000000, 0x121fffff},  // bits 19:12 ones: 2 MB
      {0x7ffffffffffff000, true, 0, ~uint64_t(0)}, // everything
      {0x3ffffffffffff000, true, 0, 0x7fffffffffffffff},
      {0xfffffffffffff000, true, 0, ~uint64_t(0)},
  };
  for (const Case &k : cases)
    for (bool pasid : {false, true}) {
      QueueWorld m;
      m.submit(pasid ? inv::pasid_device_tlb(0x123, 0xabcde, k.addr, k.s) : inv::device_tlb(0x123, k.addr, k.s));
      ASSERT_EQ(1u, m.ats.size());
      EXPECT_EQ(0x123u, m.ats[0].source);
      EXPECT_EQ(pasid, m.ats[0].has_pasid);
      EXPECT_FALSE(m.ats[0].all_pasids);
      if (pasid) {
        EXPECT_EQ(0xabcdeu, m.ats[0].pasid);
      }
      EXPECT_EQ(k.first, m.ats[0].addr) << k.addr;
      EXPECT_EQ(k.last, m.ats[0].last) << k.addr;
    }
  QueueWorld m;
  m.submit(inv::pasid_device_tlb(0x123, 0, 0x1000, false, true));
  EXPECT_TRUE(m.ats[0].all_pasids);
}

// A device that does not answer: ITE, what was fetched behind it is dropped, and the queue stands until it is cleared.
TEST(DeviceTlb, NoAnswerInTime) {
  for (bool pasid : {false, true}) {
    QueueWorld m;
    m.mute.insert(0x456);
    m.put(IMS_VTD_FECTL, 0);
    uint64_t status = m.alloc();
    m.place(inv::wait_status(status, 1));
    m.place(pasid ? inv::pasid_device_tlb(0x456, 1, 0, false) : inv::device_tlb(0x456, 0, false));
    m.place(inv::wait_status(status + 4, 2));
    m.ring();
    EXPECT_EQ(ITE, fsts(m));
    EXPECT_EQ(0x456u, m.get(IMS_VTD_IQERCD) >> 32 & 0xffff);
    EXPECT_EQ(1u, m.load(status)) << "the wait behind it is aborted";
    EXPECT_EQ(1u, m.messages.size());
    uint64_t old = m.load(status);
    m.submit(inv::wait_status(status + 4, 3));
    EXPECT_EQ(old, m.load(status)) << "fetch stands while ITE=1";
    m.put(IMS_VTD_FSTS, ITE);
    EXPECT_EQ(0u, fsts(m));
    EXPECT_EQ(3u, m.load(status) >> 32);
    m.mute.clear();
    EXPECT_TRUE(m.wait());
  }
}

// The fault event and its status bits.

TEST(FaultEvent, MaskedPendingAndSent) {
  ScalableWorld w;
  w.put(IMS_VTD_FEDATA, 0x4041);
  w.put(IMS_VTD_FEADDR, 0xfee00ff3); // bits 1:0 are not there
  w.put(IMS_VTD_FEUADDR, 0x12);
  EXPECT_EQ(0x80000000, w.get(IMS_VTD_FECTL)) << "masked at reset";
  ims_request bad = dma(kDevice, 9, kVa, IMS_ACC_R);
  w.request(bad);
  EXPECT_EQ(0xc0000000, w.get(IMS_VTD_FECTL));
  EXPECT_EQ(2u, fsts(w) & 3);
  EXPECT_TRUE(w.messages.empty());
  w.put(IMS_VTD_FECTL, 0x80000000); // IP is read-only
  EXPECT_EQ(0xc0000000, w.get(IMS_VTD_FECTL));
  w.put(IMS_VTD_FECTL, 0);
  EXPECT_EQ((std::vector<Message>{{0xfee00ff0, 0x4041}}), w.messages) << "without EIM the upper address is unused";
  EXPECT_EQ(0u, w.get(IMS_VTD_FECTL));
  w.request(bad); // PPF is set already: no further event
  EXPECT_EQ(1u, w.messages.size());
  EXPECT_EQ(2u, w.faults().size());
  w.request(bad);
  EXPECT_EQ(2u, w.messages.size());
}

TEST(FaultEvent, UpperAddressWithEim) {
  Config cfg;
  cfg.eim = 1;
  ScalableWorld w(cfg);
  w.put(IMS_VTD_FEADDR, 0xfee00000);
  w.put(IMS_VTD_FEUADDR, 0x12);
  w.put(IMS_VTD_FECTL, 0);
  w.request(dma(kDevice, 9, kVa, IMS_ACC_R));
  EXPECT_EQ((std::vector<Message>{{0x12fee00000, 0}}), w.messages);
}

TEST(FaultEvent, PendingIsForgottenWhenAllStatusIsClear) {
  ScalableWorld w;
  w.request(dma(kDevice, 9, kVa, IMS_ACC_R));
  EXPECT_EQ(0xc0000000, w.get(IMS_VTD_FECTL));
  w.faults();
  EXPECT_EQ(0x80000000, w.get(IMS_VTD_FECTL));
  w.put(IMS_VTD_FECTL, 0);
  EXPECT_TRUE(w.messages.empty());
}

TEST(FaultEvent, OneForAllStatusBits) {
  ScalableWorld w;
  w.put(IMS_VTD_FECTL, 0);
  w.submit({{0, 0, 0, 0}}); // IQE
  EXPECT_EQ(1u, w.messages.size());
  w.request(dma(kDevice, 9, kVa, IMS_ACC_R)); // PPF while IQE is pending
  EXPECT_EQ(1u, w.messages.size());
  w.put(IMS_VTD_FSTS, IQE); // the descriptor is still bad, so IQE comes again, beside PPF
  EXPECT_EQ(1u, w.messages.size());
  EXPECT_EQ(IQE | 2, fsts(w) & 0xff);
}

TEST(FaultLog, CircularWithOverflow) {
  Config cfg;
  cfg.nfr = 3;
  ScalableWorld w(cfg);
  std::vector<Record> want;
  auto fault = [&](unsigned i) {
    ims_request r = dma(kDevice, 9, kVa + i * 4096, i & 1 ? IMS_ACC_W : IMS_ACC_R);
    w.request(r);
    return record(0x59, r);
  };
  for (unsigned i = 0; i < 4; i++)
    want.push_back(fault(i));
  EXPECT_EQ(2u, fsts(w) & 0xff);
  EXPECT_EQ(0u, fsts(w) >> 8 & 0xff) << "FRI";
  fault(4); // no register is free
  EXPECT_EQ(3u, fsts(w) & 0xff);
  // A free register does not help while PFO=1.
  uint32_t frcd = static_cast<uint32_t>(w.get(IMS_VTD_CAP) >> 24 & 0x3ff) * 16;
  w.write(frcd + 8, 8, ~uint64_t(0)); // F of the first one; all else is read-only
  EXPECT_EQ(want[0].high & ~bit(63), w.read(frcd + 8, 8));
  EXPECT_EQ(want[0].low, w.read(frcd, 8));
  fault(5);
  EXPECT_EQ(3u, fsts(w) & 0xff) << "three records are still pending";
  w.put(IMS_VTD_FSTS, 1);
  EXPECT_EQ(2u, fsts(w) & 0xff);
  want.push_back(fault(6));
  EXPECT_EQ(want[4].high, w.read(frcd + 8, 8)) << "the hardware goes on in a circle";
  // Clearing all F clears PPF; a write of 0 does nothing.
  for (unsigned i = 0; i < 4; i++) {
    w.write(frcd + i * 16 + 8, 8, 0);
    EXPECT_EQ(2u, fsts(w) & 0xff);
    w.write(frcd + i * 16 + 12, 4, 1u << 31);
  }
  EXPECT_EQ(0u, fsts(w) & 0xff);
  // The next one starts at register 1.
  Record next = fault(7);
  EXPECT_EQ(1u, fsts(w) >> 8 & 0xff);
  EXPECT_EQ(next.high, w.read(frcd + 16 + 8, 8));
}

TEST(FaultLog, PpfAndFriAreReadOnly) {
  ScalableWorld w;
  w.request(dma(kDevice, 9, kVa, IMS_ACC_R));
  w.put(IMS_VTD_FSTS, 0xffffffff);
  EXPECT_EQ(2u, fsts(w));
}

TEST(FaultLog, Compression) {
  for (unsigned knob : {0u, 1u}) {
    Config cfg;
    cfg.fault_compression = knob;
    ScalableWorld w(cfg);
    Context c;
    c.dir = w.load(w.context) & ~uint64_t(0xfff);
    w.set_context(kOtherDevice, c);
    w.request(dma(kDevice, 9, kVa, IMS_ACC_R));
    w.request(dma(kDevice, 9, kVa + 4096, IMS_ACC_R));
    w.request(dma(kOtherDevice, 9, kVa, IMS_ACC_R));
    EXPECT_EQ(knob ? 2u : 3u, w.faults().size());
    w.request(dma(kDevice, 9, kVa, IMS_ACC_R));
    EXPECT_EQ(1u, w.faults().size()) << "after the record was read it counts again";
  }
}

TEST(FaultLog, NoFaultIsLoggedForAnErrorOfTheQueue) {
  QueueWorld m;
  m.submit({{0, 0, 0, 0}});
  EXPECT_TRUE(m.faults().empty());
}

} // namespace
} // namespace vtd
