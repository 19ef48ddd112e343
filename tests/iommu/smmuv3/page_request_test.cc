// SPDX-License-Identifier: Apache-2.0
// Page requests: the PRI queue, its interrupt, its overflow, and what the SMMU answers by itself. Arm IHI 0070 chapter 8,
// 6.3.36.
#include "tests/support/smmu_machine.h"

#include <gtest/gtest.h>

#include <memory>

namespace smmu {
namespace {

constexpr uint64_t kSmmuen = 1, kPriqen = 2;
constexpr uint64_t kPriqAbt = 1 << 3;
constexpr uint64_t kOvflg = uint64_t(1) << 31;
constexpr uint64_t kCBadStreamid = 0x02, kFSteFetch = 0x03, kCBadSte = 0x04;
enum { kSuccess = 0, kFailure = 15 };

ims_page_request stop_marker(uint32_t sid, uint32_t ssid) {
  ims_page_request r = page(sid, ssid, 0, 0, true);
  r.read = false;
  return r;
}

struct PageRequests : testing::Test {
  Config config;
  std::unique_ptr<Machine> machine;
  Machine &start(unsigned log2 = 2) {
    machine.reset(new Machine(config));
    Layout l;
    l.priq = log2;
    machine->start(l);
    return *machine;
  }
  bool overflow() { return (machine->get(IMS_SMMUV3_PRIQ_PROD) ^ machine->get(IMS_SMMUV3_PRIQ_CONS)) & kOvflg; }
  void acknowledge_overflow() { machine->put(IMS_SMMUV3_PRIQ_CONS, machine->get(IMS_SMMUV3_PRIQ_CONS) ^ kOvflg); }
  // Four requests that fill the queue, of a group without end.
  void fill() {
    for (unsigned i = 0; i < 4; i++)
      ASSERT_TRUE(machine->page_request(page(9, i << 12, 5, false)));
  }
  // The only answer, which is forgotten.
  ims_page_response answer() {
    EXPECT_EQ(1u, machine->responses.size());
    ims_page_response r = machine->responses.empty() ? ims_page_response{} : machine->responses[0];
    machine->responses.clear();
    return r;
  }
};

TEST_F(PageRequests, LieInTheQueueAsTheyCame) {
  Machine &m = start(4);
  std::vector<ims_page_request> sent;
  sent.push_back(page(0x1234, 0xfffffedcba987000, 0x1ff, true));
  sent.push_back(page(0x1234, 0xabcde, 0x7000, 1, false));
  for (unsigned bit = 0; bit < 5; bit++) {
    ims_page_request r = page(3, 1, 0x1000, bit, false);
    r.read = bit == 0;
    r.write = bit == 1;
    r.exec = bit == 2;
    r.priv = bit == 3;
    r.last = bit == 4;
    sent.push_back(r); // the last one is a stop marker
  }
  std::vector<PageEntry> want;
  for (const ims_page_request &r : sent) {
    EXPECT_TRUE(m.page_request(r));
    want.push_back(page_entry(r));
  }
  EXPECT_EQ(want, m.page_entries());
  EXPECT_TRUE(m.responses.empty());
  EXPECT_EQ(0xabcde00001234u | uint64_t(1) << 60 | uint64_t(1) << 63, want[1].word[0]);
  EXPECT_EQ(0xfffffedcba9871ffu, want[0].word[1]);
}

TEST_F(PageRequests, WithoutPasidHaveNeitherExecutionNorPrivilege) {
  Machine &m = start();
  ims_page_request r = page(3, 0x1000, 1, true);
  r.exec = r.priv = true;
  m.page_request(r);
  r.exec = r.priv = false;
  EXPECT_EQ(std::vector<PageEntry>{page_entry(r)}, m.page_entries());
}

TEST_F(PageRequests, WrapWithTheirQueue) {
  for (unsigned log2 : {0u, 1u, 3u}) {
    Machine &m = start(log2);
    for (unsigned i = 0; i < (5u << log2); i++) {
      ims_page_request r = page(7, uint64_t(i) << 12, i & 0x1ff, true);
      ASSERT_TRUE(m.page_request(r));
      ASSERT_EQ(std::vector<PageEntry>{page_entry(r)}, m.page_entries());
    }
    EXPECT_FALSE(overflow());
  }
}

TEST_F(PageRequests, AreTakenWhateverTheStreamTableSays) {
  Machine &m = start(); // 8.2: neither EATS nor ATSCHK matters, nor whether there is a stream
  EXPECT_TRUE(m.page_request(page(0x99, 0, 1, true)));
  EXPECT_TRUE(m.page_request(page(0xffffff, 0, 1, true)));
  EXPECT_TRUE(m.events().empty());
}

TEST_F(PageRequests, HaveNoSubstreamWhereThereAreNone) {
  config.ssidsize = 0;
  Machine &m = start();
  EXPECT_TRUE(m.page_request(page(3, 0x12345, 0x1000, 1, true)));
  EXPECT_EQ(std::vector<PageEntry>{page_entry(page(3, 0x1000, 1, true))}, m.page_entries());
}

TEST_F(PageRequests, QueueIsNoLargerThanIdr1Says) {
  config.priqs = 1;
  Machine &m = start(1);
  m.disable(kPriqen);
  m.put(IMS_SMMUV3_PRIQ_BASE, m.priq | 9);
  m.enable(kPriqen);
  EXPECT_TRUE(m.page_request(page(3, 0, 1, false)));
  EXPECT_TRUE(m.page_request(page(3, 0, 1, false)));
  EXPECT_FALSE(m.page_request(page(3, 0, 1, false)));
}

// The interrupt, 6.3.36.

struct PageInterrupt : PageRequests {
  Machine &with_interrupt(bool lo) {
    Machine &m = start();
    m.put(IMS_SMMUV3_PRIQ_IRQ_CFG0, kAbsent);
    m.put(IMS_SMMUV3_PRIQ_IRQ_CFG1, 0x33);
    m.put(IMS_SMMUV3_PRIQ_IRQ_CFG2, uint64_t(lo) << 31);
    m.put(IMS_SMMUV3_IRQ_CTRL, 2);
    return m;
  }
  size_t sent() {
    size_t n = machine->messages.size();
    for (const Message &x : machine->messages)
      EXPECT_EQ((Message{kAbsent, 0x33}), x);
    machine->messages.clear();
    return n;
  }
};

TEST_F(PageInterrupt, ComesWhenTheQueueIsNoLongerEmpty) {
  Machine &m = with_interrupt(false);
  m.page_request(page(3, 0, 1, false));
  EXPECT_EQ(1u, sent());
  m.page_request(page(3, 0, 1, true));
  EXPECT_EQ(0u, sent());
  m.page_entries();
  m.page_request(page(3, 0, 1, false));
  EXPECT_EQ(1u, sent());
}

TEST_F(PageInterrupt, ComesWithTheLastOfAGroupIfSoChosen) {
  Machine &m = with_interrupt(true);
  m.page_request(page(3, 0, 1, false));
  EXPECT_EQ(0u, sent());
  m.page_request(page(3, 0, 1, true));
  EXPECT_EQ(1u, sent());
  m.page_request(page(3, 0, 2, true));
  EXPECT_EQ(1u, sent());
  m.page_request(page(3, 0, 3, false));
  EXPECT_EQ(0u, sent());
  m.page_request(page(3, 0, 3, false)); // overflow
  EXPECT_EQ(0u, sent());
  m.page_request(page(3, 0, 3, true));
  EXPECT_EQ(1u, sent()) << "also when overflow discards it";
  m.disable(kPriqen);
  m.page_request(page(3, 0, 3, true));
  EXPECT_EQ(0u, sent()) << "but not when it is discarded for another reason";
}

TEST_F(PageInterrupt, ComesAfterTheEntryIsThere) {
  Machine &m = with_interrupt(false);
  uint64_t prod[2] = {}, entry[2] = {};
  m.on_message = [&](unsigned half) {
    prod[half] = ims_iommu_read(m.unit(half), IMS_SMMUV3_OFF_PRIQ_PROD, 4);
    ims_mem_load64(m.mem(half), m.priq, &entry[half]);
  };
  m.page_request(page(3, 0, 1, true));
  for (int half = 0; half < 2; half++) {
    EXPECT_EQ(1u, prod[half]);
    EXPECT_EQ(page_entry(page(3, 0, 1, true)).word[0], entry[half]);
  }
}

TEST_F(PageInterrupt, NeedsItsEnable) {
  Machine &m = with_interrupt(false);
  m.put(IMS_SMMUV3_IRQ_CTRL, 0);
  m.page_request(page(3, 0, 1, true));
  EXPECT_EQ(0u, sent());
}

// Overflow, 8.1.

TEST_F(PageRequests, OverflowIsToldOnce) {
  Machine &m = start();
  fill();
  EXPECT_FALSE(overflow()) << "a full queue alone is none";
  EXPECT_FALSE(m.page_request(page(3, 0, 1, false)));
  EXPECT_TRUE(overflow());
  EXPECT_FALSE(m.page_request(page(3, 0, 1, false)));
  EXPECT_TRUE(overflow()) << "the flag is not toggled back";
  EXPECT_EQ(4u, m.page_entries().size());
  EXPECT_TRUE(m.responses.empty());
}

TEST_F(PageRequests, OverflowKeepsRequestsOutUntilItIsAcknowledged) {
  Machine &m = start();
  fill();
  m.page_request(page(3, 0, 1, false));
  m.page_entries(); // there is room again
  EXPECT_FALSE(m.page_request(page(3, 0, 1, true)));
  EXPECT_TRUE(m.page_entries().empty());
  acknowledge_overflow();
  EXPECT_FALSE(overflow());
  EXPECT_TRUE(m.page_request(page(3, 0x5000, 2, true)));
  EXPECT_EQ(std::vector<PageEntry>{page_entry(page(3, 0x5000, 2, true))}, m.page_entries());
}

TEST_F(PageRequests, OverflowMayHappenAgainAndAgain) {
  Machine &m = start();
  for (int i = 0; i < 3; i++) {
    fill();
    EXPECT_FALSE(overflow());
    m.page_request(page(3, 0, 1, false));
    EXPECT_TRUE(overflow());
    m.page_entries();
    acknowledge_overflow();
  }
}

TEST_F(PageRequests, OverflowAnswersTheLastOfAGroupWithSuccess) {
  Machine &m = start();
  fill();
  EXPECT_FALSE(m.page_request(page(0x77, 0x5000, 0x123, true)));
  ims_page_response r = answer();
  EXPECT_EQ(0x77u, r.source);
  EXPECT_EQ(0x123u, r.group);
  EXPECT_EQ(kSuccess, r.code);
  EXPECT_FALSE(r.has_pasid);
  m.page_request(page(0x77, 0x5000, 0x123, false));
  EXPECT_TRUE(m.responses.empty());
}

TEST_F(PageRequests, OverflowDropsStopMarkersInSilence) {
  Machine &m = start();
  fill();
  EXPECT_FALSE(m.page_request(stop_marker(3, 1)));
  EXPECT_TRUE(m.responses.empty());
  ims_page_request no_marker = stop_marker(3, 1);
  no_marker.has_pasid = false; // L W R = 1 0 0 without PASID is a request like others
  m.page_request(no_marker);
  EXPECT_EQ(kSuccess, answer().code);
}

TEST_F(PageRequests, AnIndexThatContradictsCountsAsAFullQueue) {
  Machine &m = start();
  m.put(IMS_SMMUV3_PRIQ_CONS, 1);
  EXPECT_FALSE(m.page_request(page(3, 0, 1, true)));
  EXPECT_TRUE(overflow());
  EXPECT_EQ(kSuccess, answer().code);
}

TEST_F(PageRequests, OverflowAnswersWithThePasidWhereTheSmmuAlwaysDoes) {
  Machine &m = start(); // IDR3.PPS; there is no such stream
  fill();
  m.page_request(page(0x77, 0xabcde, 0x5000, 1, true));
  ims_page_response r = answer();
  EXPECT_EQ(kSuccess, r.code);
  EXPECT_TRUE(r.has_pasid);
  EXPECT_EQ(0xabcdeu, r.pasid);
}

TEST_F(PageRequests, OverflowAnswersWithThePasidIfTheSteSaysSo) {
  config.pps = 0;
  Machine &m = start();
  for (unsigned ppar = 0; ppar < 2; ppar++)
    m.set_ste(ppar, Ste(kBypass).set(IMS_STE_PPAR, ppar));
  fill();
  for (unsigned ppar = 0; ppar < 2; ppar++) {
    m.page_request(page(ppar, 0xabcde, 0x5000, 1, true));
    ims_page_response r = answer();
    EXPECT_EQ(kSuccess, r.code);
    EXPECT_EQ(ppar == 1, r.has_pasid);
    EXPECT_EQ(ppar ? 0xabcdeu : 0u, r.pasid);
    m.page_request(page(ppar, 0x5000, 1, true));
    EXPECT_FALSE(answer().has_pasid) << "a request without PASID has an answer without";
  }
}

TEST_F(PageRequests, OverflowFailsThoseWhoseSteCannotBeRead) {
  config.pps = 0;
  for (bool rec_ats : {false, true}) {
    for (bool recinvsid : {false, true}) {
      Machine &m = start();
      m.put(IMS_SMMUV3_CR0, m.get(IMS_SMMUV3_CR0) & ~kSmmuen);
      m.put(IMS_SMMUV3_CR2, unsigned(recinvsid) << 1 | unsigned(rec_ats) << 3);
      m.put(IMS_SMMUV3_CR0, m.get(IMS_SMMUV3_CR0) | kSmmuen);
      fill();
      const ims_page_request not_valid = page(5, 1, 0x5000, 1, true), beyond = page(0x100, 1, 0x5000, 1, true);
      for (const ims_page_request &r : {not_valid, beyond}) {
        m.page_request(r);
        ims_page_response answered = answer();
        EXPECT_EQ(kFailure, answered.code);
        EXPECT_FALSE(answered.has_pasid);
      }
      std::vector<Event> want;
      if (rec_ats)
        want.push_back(event(kCBadSte, dma(5, 1, 0x5000, IMS_ACC_R)));
      if (rec_ats && recinvsid)
        want.push_back(event(kCBadStreamid, dma(0x100, 1, 0x5000, IMS_ACC_R)));
      EXPECT_EQ(want, m.events());
    }
  }
}

TEST_F(PageRequests, OverflowTellsWhereTheSteIsNot) {
  config.pps = 0;
  Machine &m = start();
  m.put(IMS_SMMUV3_CR0, m.get(IMS_SMMUV3_CR0) & ~kSmmuen);
  m.put(IMS_SMMUV3_CR2, 1 << 3);
  m.put(IMS_SMMUV3_STRTAB_BASE, kAbsent);
  m.put(IMS_SMMUV3_CR0, m.get(IMS_SMMUV3_CR0) | kSmmuen);
  fill();
  m.page_request(page(5, 1, 0x5000, 1, true));
  EXPECT_EQ(kFailure, answer().code);
  EXPECT_EQ(std::vector<Event>{event(kFSteFetch, dma(5, 1, 0x5000, IMS_ACC_R)).fetched(kAbsent + 5 * 64)}, m.events());
}

// 8.2: no queue.

TEST_F(PageRequests, WithoutTheirQueueAllFailWithoutPasid) {
  Machine &m = start();
  for (uint64_t bit : {kPriqen, kSmmuen}) {
    m.disable(bit);
    for (bool last : {false, true}) {
      EXPECT_FALSE(m.page_request(page(0x42, 0x12345, 0x5000, 9, last)));
      ims_page_response r = answer();
      EXPECT_EQ(0x42u, r.source);
      EXPECT_EQ(9u, r.group);
      EXPECT_EQ(kFailure, r.code);
      EXPECT_FALSE(r.has_pasid);
    }
    EXPECT_FALSE(m.page_request(stop_marker(3, 1)));
    EXPECT_TRUE(m.responses.empty());
    EXPECT_FALSE(overflow());
    m.enable(bit);
  }
  EXPECT_TRUE(m.page_request(page(0x42, 0x5000, 9, true)));
}

TEST_F(PageRequests, AreRefusedByAUnitWithoutThem) {
  config.pri = 0;
  Machine &m = start();
  m.enable(kPriqen);
  EXPECT_FALSE(m.page_request(page(3, 0, 1, true)));
  EXPECT_EQ(kFailure, answer().code);
}

TEST_F(PageRequests, AnAbortedWriteIsAGlobalError) {
  Machine &m = start();
  m.disable(kPriqen);
  m.put(IMS_SMMUV3_PRIQ_BASE, kAbsent | 2);
  m.enable(kPriqen);
  EXPECT_FALSE(m.page_request(page(3, 1, 0x1000, 1, false)));
  EXPECT_EQ(kPriqAbt, m.errors());
  EXPECT_EQ(0u, m.get(IMS_SMMUV3_PRIQ_PROD)) << "no entry, no overflow";
  ims_page_response r = answer();
  EXPECT_EQ(kFailure, r.code);
  EXPECT_FALSE(r.has_pasid);

  m.disable(kPriqen);
  m.put(IMS_SMMUV3_PRIQ_BASE, m.priq | 2);
  m.enable(kPriqen);
  EXPECT_FALSE(m.page_request(page(3, 1, 0x1000, 1, true))) << "the error is active still";
  EXPECT_EQ(kFailure, answer().code);
  EXPECT_TRUE(m.page_entries().empty());
  m.acknowledge(kPriqAbt);
  EXPECT_TRUE(m.page_request(page(3, 1, 0x1000, 1, true)));
  EXPECT_EQ(1u, m.page_entries().size());
}

// The whole way: requests of a group, and the answer that software gives.
TEST_F(PageRequests, AreAnsweredByACommand) {
  Machine &m = start();
  ims_page_request first = page(0x18, 7, 0x1000, 3, false), last = page(0x18, 7, 0x2000, 3, true);
  m.page_request(first);
  m.page_request(last);
  EXPECT_EQ((std::vector<PageEntry>{page_entry(first), page_entry(last)}), m.page_entries());
  m.submit(cmd::pri_resp_pasid(0x18, 7, 3, 2));
  ims_page_response r = answer();
  EXPECT_EQ(0x18u, r.source);
  EXPECT_EQ(7u, r.pasid);
  EXPECT_EQ(3u, r.group);
  EXPECT_EQ(kSuccess, r.code);
}

} // namespace
} // namespace smmu
