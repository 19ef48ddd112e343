// SPDX-License-Identifier: Apache-2.0
// What becomes of an event: the queue, its overflow, records that wait, merging, aborts, global errors and interrupts.
// Arm IHI 0070, 3.5, 3.18, 7.2 to 7.5.
#include "tests/iommu/smmuv3/bare_unit.h"

#include <array>
#include <set>

namespace smmuv3 {
namespace {

using Record = std::array<uint64_t, 4>;

constexpr uint64_t kTable = 0x8000, kEmptyRoot = 0x9000, kQueue = 0x20000, kCommands = 0x30000;
constexpr uint64_t kSmmuEn = 1, kEventqEn = 4, kCmdqEn = 8;
constexpr uint64_t kOverflow = uint64_t(1) << 31;
constexpr uint64_t kEventqAbt = 1 << 2, kMsiEventqAbt = 1 << 5, kMsiGerrorAbt = 1 << 7;

// Streams of the test: stage 2 alone, with no page mapped; and what is no stream, since the table has 16 entries.
enum Stream : uint32_t { kTerminates = 1, kMerges = 2, kStalls = 3, kNotValid = 4, kUnknown = 100 };

Features with_merging() {
  Features f;
  f.merge_events = 1;
  return f;
}

uint64_t field(const Record &r, ims_smmuv3_event_field f) { return ims_smmuv3_event_get(r.data(), f); }
unsigned id(const Record &r) { return static_cast<unsigned>(field(r, IMS_SMMUV3_EVENT_ID_FIELD)); }
uint32_t sid(const Record &r) { return static_cast<uint32_t>(field(r, IMS_SMMUV3_EVENT_SID_FIELD)); }

class Unit : public BareUnit {
public:
  explicit Unit(unsigned log2size = 2, const Features &f = Features(), bool with_bus = true) : BareUnit(f, with_bus) {
    stream(kTerminates, false, false);
    stream(kMerges, true, false);
    stream(kStalls, false, true);
    put(IMS_SMMUV3_STRTAB_BASE, kTable);
    put(IMS_SMMUV3_STRTAB_BASE_CFG, 4);
    put(IMS_SMMUV3_CR2, 2); // RECINVSID
    put(IMS_SMMUV3_CMDQ_BASE, kCommands | 4);
    put(IMS_SMMUV3_EVENTQ_BASE, kQueue | log2size);
    put(IMS_SMMUV3_CR0, kSmmuEn | kEventqEn | kCmdqEn);
  }

  void stream(uint32_t s, bool mev, bool stalls) {
    store(kTable + s * 64, 1 | 6 << 1);                           // V, Config: stage 2
    store(kTable + s * 64 + 8, uint64_t(mev) << 19 | 1ull << 44); // MEV, SHCFG
    store(kTable + s * 64 + 16, 1 | 25ull << 32 | 1ull << 38 | 5ull << 48 | 1ull << 51 | uint64_t(stalls) << 57 |
                                    1ull << 58); // VMID, T0SZ, SL0, PS, AA64, S, R
    store(kTable + s * 64 + 24, kEmptyRoot);     // TTB
  }

  uint64_t prod() { return get(IMS_SMMUV3_EVENTQ_PROD); }
  uint64_t cons() { return get(IMS_SMMUV3_EVENTQ_CONS); }
  bool overflow() { return (prod() ^ cons()) & kOverflow; }
  unsigned log2size() { return static_cast<unsigned>(get(IMS_SMMUV3_EVENTQ_BASE) & 31); }
  uint64_t wrap_mask() { return (2ull << log2size()) - 1; }
  unsigned unread() { return static_cast<unsigned>((prod() - cons()) & wrap_mask()); }

  Record at(unsigned slot) {
    Record r;
    for (unsigned i = 0; i < 4; i++)
      r[i] = load(kQueue + slot * 32 + i * 8);
    return r;
  }
  // Takes the oldest record, as a driver does; the overflow stays unacknowledged.
  Record take() {
    EXPECT_NE(0u, unread());
    Record r = at(static_cast<unsigned>(cons() & (wrap_mask() >> 1)));
    put(IMS_SMMUV3_EVENTQ_CONS, (cons() & kOverflow) | ((cons() + 1) & wrap_mask()));
    return r;
  }
  std::vector<uint32_t> take_all() {
    std::vector<uint32_t> sids;
    while (unread())
      sids.push_back(sid(take()));
    return sids;
  }
  void acknowledge_overflow() { put(IMS_SMMUV3_EVENTQ_CONS, (cons() & ~kOverflow) | (prod() & kOverflow)); }

  void unknown(uint32_t s) { EXPECT_EQ(IMS_STATUS_FAULT, request(s, 0).status); } // C_BAD_STREAMID
  uint16_t stall(uint64_t iova = 0x5000) {
    ims_result r = request(kStalls, iova);
    EXPECT_EQ(IMS_STATUS_STALL, r.status);
    return r.stag;
  }
  void command(uint64_t low, uint64_t high = 0) {
    uint64_t prod = get(IMS_SMMUV3_CMDQ_PROD);
    store(kCommands + prod % 16 * 16, low);
    store(kCommands + prod % 16 * 16 + 8, high);
    put(IMS_SMMUV3_CMDQ_PROD, (prod + 1) % 32);
    EXPECT_EQ((prod + 1) % 32, get(IMS_SMMUV3_CMDQ_CONS) & 31) << "the command was refused";
  }
  void sync() { command(0x46); }
  void interrupts(uint64_t gerror, uint64_t eventq) {
    put(IMS_SMMUV3_IRQ_CTRL, 0);
    put(IMS_SMMUV3_GERROR_IRQ_CFG0, gerror);
    put(IMS_SMMUV3_GERROR_IRQ_CFG1, 0x11);
    put(IMS_SMMUV3_EVENTQ_IRQ_CFG0, eventq);
    put(IMS_SMMUV3_EVENTQ_IRQ_CFG1, 0x22);
    put(IMS_SMMUV3_IRQ_CTRL, 5);
  }
};

constexpr uint64_t kGerrorDoorbell = 0x8000000000, kEventqDoorbell = 0x8000000040;
const Message kGerrorMessage = {kGerrorDoorbell, 0x11}, kEventqMessage = {kEventqDoorbell, 0x22};
using Messages = std::vector<Message>;
using Sids = std::vector<uint32_t>;

// The table of events.

TEST(EventTable, NumbersAreOnceAndFound) {
  std::set<unsigned> numbers;
  for (unsigned i = 0; const ims_smmuv3_event_info *e = ims_smmuv3_events(i); i++) {
    EXPECT_TRUE(numbers.insert(e->number).second) << e->name;
    EXPECT_EQ(e, ims_smmuv3_event_find(e->number));
    EXPECT_EQ(0u, std::string(e->section).find("7.3."));
  }
  EXPECT_EQ((std::set<unsigned>{0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x10, 0x11, 0x12,
                                0x13, 0x20, 0x21, 0x24, 0x25}),
            numbers);
  EXPECT_EQ(nullptr, ims_smmuv3_event_find(0));
  EXPECT_EQ(nullptr, ims_smmuv3_event_find(0x14));
  EXPECT_EQ(nullptr, ims_smmuv3_event_find(0x110));
}

TEST(EventTable, FieldsOfARecordDoNotOverlap) {
  for (unsigned i = 0; const ims_smmuv3_event_info *e = ims_smmuv3_events(i); i++) {
    uint64_t seen[4] = {};
    for (unsigned f = 0; f < IMS_SMMUV3_EVENT_FIELD_COUNT; f++) {
      if (!(e->fields >> f & 1))
        continue;
      const ims_smmuv3_event_place &p = ims_smmuv3_event_places[f];
      ASSERT_EQ(p.low / 64, (p.low + p.bits - 1) / 64) << p.name << " crosses a word";
      uint64_t mask = IMS_REG_BITS(p.low % 64 + p.bits - 1, p.low % 64);
      EXPECT_FALSE(seen[p.low / 64] & mask) << e->name << "." << p.name;
      seen[p.low / 64] |= mask;
    }
    EXPECT_EQ(0xffffffff000000ffu, seen[0] & 0xffffffff000000ff) << e->name << ": number and StreamID";
  }
}

TEST(EventTable, SettingAFieldReplacesItAndNothingElse) {
  for (unsigned f = 0; f < IMS_SMMUV3_EVENT_FIELD_COUNT; f++) {
    auto which = static_cast<ims_smmuv3_event_field>(f);
    const ims_smmuv3_event_place &p = ims_smmuv3_event_places[f];
    Record ones, zeros = {};
    ones.fill(~uint64_t(0));
    ims_smmuv3_event_set(ones.data(), which, 0);
    ims_smmuv3_event_set(zeros.data(), which, ~uint64_t(0));
    for (unsigned w = 0; w < 4; w++) {
      uint64_t mask = w == p.low / 64 ? IMS_REG_BITS(p.low % 64 + p.bits - 1, p.low % 64) : 0;
      EXPECT_EQ(~mask, ones[w]) << p.name;
      EXPECT_EQ(mask, zeros[w]) << p.name;
    }
    EXPECT_EQ(IMS_REG_BITS(p.bits - 1, 0), ims_smmuv3_event_get(zeros.data(), which)) << p.name;
    EXPECT_EQ(0u, ims_smmuv3_event_get(ones.data(), which)) << p.name;
  }
}

// Bits as Linux has them in arm-smmu-v3.h, and as 7.3 shows them where it has a figure.
TEST(EventTable, PositionsOfTheManual) {
  const struct {
    ims_smmuv3_event_field field;
    unsigned high, low;
  } cases[] = {
      {IMS_SMMUV3_EVENT_ID_FIELD, 7, 0},          {IMS_SMMUV3_EVENT_SSV_FIELD, 11, 11},
      {IMS_SMMUV3_EVENT_SSID_FIELD, 31, 12},      {IMS_SMMUV3_EVENT_SID_FIELD, 63, 32},
      {IMS_SMMUV3_EVENT_STAG_FIELD, 79, 64},      {IMS_SMMUV3_EVENT_REASON_FIELD, 79, 64},
      {IMS_SMMUV3_EVENT_STALL_FIELD, 95, 95},     {IMS_SMMUV3_EVENT_PNU_FIELD, 97, 97},
      {IMS_SMMUV3_EVENT_IND_FIELD, 98, 98},       {IMS_SMMUV3_EVENT_RNW_FIELD, 99, 99},
      {IMS_SMMUV3_EVENT_S2_FIELD, 103, 103},      {IMS_SMMUV3_EVENT_CLASS_FIELD, 105, 104},
      {IMS_SMMUV3_EVENT_TTRNW_FIELD, 108, 108},   {IMS_SMMUV3_EVENT_INPUT_FIELD, 191, 128},
      {IMS_SMMUV3_EVENT_IPA_FIELD, 247, 204},     {IMS_SMMUV3_EVENT_FETCH_FIELD, 247, 195},
      {IMS_SMMUV3_EVENT_SPAN_FIELD, 115, 108},    {IMS_SMMUV3_EVENT_INPUT_PAGE_FIELD, 191, 140},
      {IMS_SMMUV3_EVENT_PAGE_PR_FIELD, 103, 103}, {IMS_SMMUV3_EVENT_PAGE_PW_FIELD, 102, 102},
      {IMS_SMMUV3_EVENT_PAGE_PX_FIELD, 101, 101}, {IMS_SMMUV3_EVENT_PAGE_UR_FIELD, 99, 99},
      {IMS_SMMUV3_EVENT_PAGE_UW_FIELD, 98, 98},   {IMS_SMMUV3_EVENT_PAGE_UX_FIELD, 97, 97},
  };
  for (const auto &c : cases) {
    const ims_smmuv3_event_place &p = ims_smmuv3_event_places[c.field];
    EXPECT_EQ(c.low, p.low) << p.name;
    EXPECT_EQ(c.high, p.low + p.bits - 1u) << p.name;
  }
}

TEST(EventTable, WhichEventsSayWhat) {
  auto has = [](unsigned event, ims_smmuv3_event_field f) {
    return (ims_smmuv3_event_find(event)->fields >> f & 1) != 0;
  };
  for (unsigned e : {0x10, 0x11, 0x12, 0x13}) {
    EXPECT_TRUE(has(e, IMS_SMMUV3_EVENT_STALL_FIELD)) << e;
    EXPECT_TRUE(has(e, IMS_SMMUV3_EVENT_IPA_FIELD)) << e;
    EXPECT_EQ(e == 0x13, has(e, IMS_SMMUV3_EVENT_TTRNW_FIELD)) << e;
  }
  for (unsigned e : {0x03, 0x09, 0x0b, 0x25})
    EXPECT_TRUE(has(e, IMS_SMMUV3_EVENT_FETCH_FIELD)) << e;
  for (unsigned e : {0x01, 0x02, 0x03, 0x04, 0x05, 0x09, 0x0a, 0x0b, 0x10, 0x24})
    EXPECT_TRUE(has(e, IMS_SMMUV3_EVENT_SSV_FIELD)) << e;
  EXPECT_FALSE(has(0x08, IMS_SMMUV3_EVENT_SSV_FIELD)) << "its SubstreamID is always valid";
  EXPECT_TRUE(has(0x08, IMS_SMMUV3_EVENT_SSID_FIELD));
  for (unsigned e : {0x06, 0x07})
    EXPECT_FALSE(has(e, IMS_SMMUV3_EVENT_SSID_FIELD)) << e;
  EXPECT_FALSE(has(0x0b, IMS_SMMUV3_EVENT_STALL_FIELD)) << "never stalls";
}

// The queue.

TEST(EventQueue, RecordsFollowEachOtherAroundTheQueue) {
  Unit u(2);
  for (uint32_t i = 0; i < 11; i++) {
    u.unknown(kUnknown + i);
    EXPECT_EQ((i + 1) % 8, u.prod()) << "two bits of index and the wrap bit";
    Record r = u.take();
    EXPECT_EQ(0x02u, id(r));
    EXPECT_EQ(kUnknown + i, sid(r));
    EXPECT_EQ((Record{0x02 | uint64_t(kUnknown + i) << 32, 0, 0, 0}), r) << "the rest is reserved";
  }
}

TEST(EventQueue, HoldsAsManyAsItsSize) {
  for (unsigned n : {0u, 1u, 2u, 5u}) {
    Unit u(n);
    Sids sids;
    for (uint32_t i = 0; i < 1u << n; i++) {
      EXPECT_FALSE(u.overflow());
      u.unknown(kUnknown + i);
      sids.push_back(kUnknown + i);
    }
    EXPECT_EQ(1u << n, u.unread());
    EXPECT_FALSE(u.overflow()) << "full, but nothing is lost";
    EXPECT_EQ(sids, u.take_all()) << n;
  }
}

TEST(EventQueue, IsNoLargerThanTheUnitAllows) {
  Features f;
  f.eventqs = 1;
  Unit u(19, f);
  for (uint32_t i = 0; i < 3; i++)
    u.unknown(kUnknown + i);
  EXPECT_EQ(2u | kOverflow, u.prod()) << "one bit of index and the wrap bit";
  EXPECT_EQ(kUnknown, sid(u.at(0)));
  EXPECT_EQ(kUnknown + 1, sid(u.at(1)));
  EXPECT_EQ(0u, u.at(2)[0]);
}

TEST(EventQueue, ItsBaseIsAlignedToItsSize) {
  Unit u(2);
  u.put(IMS_SMMUV3_CR0, kSmmuEn);
  u.put(IMS_SMMUV3_EVENTQ_BASE, (kQueue + 0x60) | 2); // 128 bytes
  u.put(IMS_SMMUV3_CR0, kSmmuEn | kEventqEn);
  u.unknown(kUnknown);
  EXPECT_EQ(kUnknown, sid(u.at(0)));
  u.put(IMS_SMMUV3_CR0, kSmmuEn);
  u.put(IMS_SMMUV3_EVENTQ_BASE, (kQueue + 0x60) | 0); // one record of 32 bytes
  u.put(IMS_SMMUV3_EVENTQ_PROD, 0);
  u.put(IMS_SMMUV3_EVENTQ_CONS, 0);
  u.put(IMS_SMMUV3_CR0, kSmmuEn | kEventqEn);
  u.unknown(kUnknown + 1);
  EXPECT_EQ(kUnknown + 1, sid(u.at(3)));
}

TEST(EventQueue, IndexBitsAboveTheWrapBitAreIgnored) {
  Unit u(2);
  u.put(IMS_SMMUV3_EVENTQ_CONS, 0xffff8); // 0 in three bits
  u.unknown(kUnknown);
  EXPECT_EQ(1u, u.prod());
  u.put(IMS_SMMUV3_EVENTQ_CONS, 0xffff1);
  for (uint32_t i = 0; i < 4; i++)
    u.unknown(kUnknown + 1 + i);
  EXPECT_EQ(5u, u.prod());
  EXPECT_EQ(0u, u.prod() & kOverflow);
}

// 3.5.1 leaves it open; here such a queue counts as full.
TEST(EventQueue, ContradictingIndexesAreAFullQueue) {
  Unit u(2);
  u.put(IMS_SMMUV3_EVENTQ_CONS, 1); // ahead of PROD, within the same lap
  u.unknown(kUnknown);
  EXPECT_EQ(0u | kOverflow, u.prod());
  u.put(IMS_SMMUV3_EVENTQ_CONS, kOverflow);
  u.unknown(kUnknown);
  EXPECT_EQ(1u | kOverflow, u.prod());
}

TEST(EventQueue, TakesNothingWhileItIsOff) {
  Unit u(2);
  u.unknown(kUnknown);
  u.put(IMS_SMMUV3_CR0, kSmmuEn);
  for (uint32_t i = 1; i < 8; i++)
    u.unknown(kUnknown + i);
  EXPECT_EQ(1u, u.prod()) << "neither records nor an overflow";
  u.put(IMS_SMMUV3_CR0, kSmmuEn | kEventqEn);
  EXPECT_EQ(1u, u.prod());
  u.unknown(kUnknown + 9);
  EXPECT_EQ((Sids{kUnknown, kUnknown + 9}), u.take_all());
}

// Overflow.

TEST(EventOverflow, IsToldOnceUntilItIsAcknowledged) {
  Unit u(1);
  for (uint32_t i = 0; i < 2; i++)
    u.unknown(kUnknown + i);
  EXPECT_EQ(2u, u.prod());
  for (uint32_t i = 2; i < 5; i++) {
    u.unknown(kUnknown + i);
    EXPECT_EQ(2u | kOverflow, u.prod()) << "toggled by the first that is lost";
  }
  EXPECT_EQ((Sids{kUnknown, kUnknown + 1}), u.take_all()) << "those that were there are whole";
  u.acknowledge_overflow();
  EXPECT_FALSE(u.overflow());
  for (uint32_t i = 5; i < 8; i++)
    u.unknown(kUnknown + i);
  EXPECT_EQ(0u, u.prod()) << "the next overflow toggles it back; both indexes went around";
  EXPECT_TRUE(u.overflow());
  EXPECT_EQ((Sids{kUnknown + 5, kUnknown + 6}), u.take_all());
}

TEST(EventOverflow, DoesNotKeepOutNewRecords) {
  Unit u(1);
  for (uint32_t i = 0; i < 3; i++)
    u.unknown(kUnknown + i);
  EXPECT_TRUE(u.overflow());
  u.take();
  u.unknown(kUnknown + 7);
  EXPECT_TRUE(u.overflow()) << "not acknowledged";
  EXPECT_EQ((Sids{kUnknown + 1, kUnknown + 7}), u.take_all());
}

// Stalled requests: their records wait.

TEST(StalledRecord, IsWrittenAtOnceWhereThereIsRoom) {
  Unit u(2);
  uint16_t stag = u.stall(0x5678);
  ASSERT_EQ(1u, u.unread());
  Record r = u.take();
  EXPECT_EQ(0x10u, id(r));
  EXPECT_EQ(kStalls, sid(r));
  EXPECT_EQ(1u, field(r, IMS_SMMUV3_EVENT_STALL_FIELD));
  EXPECT_EQ(stag, field(r, IMS_SMMUV3_EVENT_STAG_FIELD));
  EXPECT_EQ(0x5678u, field(r, IMS_SMMUV3_EVENT_INPUT_FIELD));
  EXPECT_EQ(0u, u.unread()) << "once";
}

TEST(StalledRecord, WaitsForRoomAndIsNoOverflow) {
  Unit u(1);
  u.unknown(kUnknown);
  u.unknown(kUnknown + 1);
  std::vector<uint64_t> stags = {u.stall(), u.stall(), u.stall()};
  EXPECT_EQ(2u, u.prod());
  EXPECT_FALSE(u.overflow());
  std::vector<uint64_t> seen;
  EXPECT_EQ(kUnknown, sid(u.take()));
  EXPECT_EQ(2u, u.unread()) << "the oldest took the place";
  EXPECT_EQ(kUnknown + 1, sid(u.take()));
  while (u.unread())
    seen.push_back(field(u.take(), IMS_SMMUV3_EVENT_STAG_FIELD));
  EXPECT_EQ(stags, seen) << "oldest first, none lost";
  EXPECT_FALSE(u.overflow());
}

TEST(StalledRecord, OthersMayBeLostMeanwhile) {
  Unit u(0);
  u.stall();
  u.stall();
  u.unknown(kUnknown);
  EXPECT_TRUE(u.overflow()) << "a record that cannot wait";
  EXPECT_EQ((Sids{kStalls, kStalls}), u.take_all());
}

TEST(StalledRecord, WaitsForTheQueueToBeOn) {
  Unit u(2);
  u.put(IMS_SMMUV3_CR0, kSmmuEn | kCmdqEn);
  uint16_t stag = u.stall();
  EXPECT_EQ(0u, u.prod());
  u.put(IMS_SMMUV3_CR0, kSmmuEn | kCmdqEn | kEventqEn);
  ASSERT_EQ(1u, u.unread());
  EXPECT_EQ(stag, field(u.take(), IMS_SMMUV3_EVENT_STAG_FIELD));
}

TEST(StalledRecord, ComesOfEqualAgeByOrderNotByTag) {
  Unit u(0);
  uint16_t first = u.stall(), second = u.stall();
  EXPECT_EQ(first, field(u.take(), IMS_SMMUV3_EVENT_STAG_FIELD));
  u.command(0x44 | uint64_t(kStalls) << 32 | 1 << 12, first); // CMD_RESUME, retry: the tag is free
  uint16_t third = u.stall();
  EXPECT_EQ(first, third) << "the tag is used again";
  EXPECT_EQ(second, field(u.take(), IMS_SMMUV3_EVENT_STAG_FIELD));
  EXPECT_EQ(third, field(u.take(), IMS_SMMUV3_EVENT_STAG_FIELD));
}

TEST(StalledRecord, GoesWithItsStall) {
  Unit u(0);
  u.unknown(kUnknown);
  u.stall();
  u.stall();
  u.command(0x45 | uint64_t(kStalls) << 32); // CMD_STALL_TERM
  EXPECT_EQ(2u, u.resumed.size());
  EXPECT_EQ((Sids{kUnknown}), u.take_all()) << "the tags may name others by now";
  uint16_t stag = u.stall();
  ASSERT_EQ(1u, u.unread());
  EXPECT_EQ(stag, field(u.take(), IMS_SMMUV3_EVENT_STAG_FIELD));
}

// 6.3.9.6
TEST(StalledRecord, GoesWhenTranslationIsTurnedOff) {
  Unit u(0);
  u.unknown(kUnknown);
  uint16_t first = u.stall(), second = u.stall();
  u.put(IMS_SMMUV3_CR0, kEventqEn | kCmdqEn);
  EXPECT_EQ((std::vector<Resume>{{kStalls, first, IMS_RESUME_ABORT}, {kStalls, second, IMS_RESUME_ABORT}}), u.resumed);
  EXPECT_EQ((Sids{kUnknown}), u.take_all());
  u.put(IMS_SMMUV3_CR0, kSmmuEn | kEventqEn | kCmdqEn);
  u.put(IMS_SMMUV3_CR0, kEventqEn | kCmdqEn);
  EXPECT_EQ(2u, u.resumed.size()) << "once";
}

// 7.2.1: a request whose record has waited over an invalidation is tried again instead.
TEST(StalledRecord, ARequestIsTriedAgainAfterAnInvalidation) {
  Unit u(0);
  u.unknown(kUnknown);
  uint16_t before = u.stall();
  u.command(0x28 | uint64_t(1) << 32); // CMD_TLBI_S12_VMALL
  u.sync();
  uint16_t after = u.stall();
  EXPECT_TRUE(u.resumed.empty()) << "not before there is room";
  EXPECT_EQ(kUnknown, sid(u.take()));
  EXPECT_EQ((std::vector<Resume>{{kStalls, before, IMS_RESUME_RETRY}}), u.resumed);
  ASSERT_EQ(1u, u.unread());
  EXPECT_EQ(after, field(u.take(), IMS_SMMUV3_EVENT_STAG_FIELD)) << "the younger one waited for less";
  EXPECT_EQ(0u, u.unread());
}

TEST(StalledRecord, WithoutABusTheFirstRecordStands) {
  Unit u(0, Features(), false);
  u.unknown(kUnknown);
  uint16_t stag = u.stall();
  u.command(0x28 | uint64_t(1) << 32);
  u.sync();
  u.take();
  ASSERT_EQ(1u, u.unread());
  EXPECT_EQ(stag, field(u.take(), IMS_SMMUV3_EVENT_STAG_FIELD));
}

// Merging.

TEST(EventMerging, IsOffByDefault) {
  Unit u(2);
  u.request(kMerges, 0x5000);
  u.request(kMerges, 0x5000);
  EXPECT_EQ(2u, u.unread());
}

TEST(EventMerging, OneRecordStandsForEqualOnes) {
  Unit u(2, with_merging());
  u.request(kMerges, 0x5008);
  u.request(kMerges, 0x5008);
  u.request(kMerges, 0x5fff);
  ASSERT_EQ(1u, u.unread()) << "InputAddr[11:0] is ignored";
  EXPECT_EQ(0x5008u, field(u.at(0), IMS_SMMUV3_EVENT_INPUT_FIELD));
  u.request(kMerges, 0x6000);
  EXPECT_EQ(2u, u.unread()) << "another page";
  u.request(kMerges, 0x6000, IMS_ACC_W);
  EXPECT_EQ(3u, u.unread()) << "a write";
  u.request(kMerges, 0x5000);
  EXPECT_EQ(4u, u.unread()) << "only with the newest: these are for what comes in quick succession";
}

TEST(EventMerging, NotWithARecordThatWasRead) {
  Unit u(2, with_merging());
  u.request(kMerges, 0x5000);
  u.take();
  u.request(kMerges, 0x5000);
  EXPECT_EQ(1u, u.unread());
}

TEST(EventMerging, StreamsChoose) {
  Unit u(2, with_merging());
  u.request(kTerminates, 0x5000);
  u.request(kTerminates, 0x5000);
  EXPECT_EQ(2u, u.unread()) << "STE.MEV=0";
  u.request(kMerges, 0x5000);
  EXPECT_EQ(3u, u.unread()) << "another stream";
}

TEST(EventMerging, NeverOfStalls) {
  Unit u(2, with_merging());
  u.stream(kStalls, true, true);
  u.stall();
  u.stall();
  EXPECT_EQ(2u, u.unread());
}

TEST(EventMerging, IntoAFullQueueLosesNothing) {
  Unit u(0, with_merging());
  u.request(kMerges, 0x5000);
  u.request(kMerges, 0x5000);
  EXPECT_FALSE(u.overflow());
  u.request(kMerges, 0x6000);
  EXPECT_TRUE(u.overflow());
}

TEST(EventMerging, WrapsWithTheQueue) {
  Unit u(1, with_merging());
  for (unsigned i = 0; i < 5; i++) {
    u.request(kMerges, 0x5000 + i * 0x1000);
    u.request(kMerges, 0x5000 + i * 0x1000);
    EXPECT_EQ(1u, u.unread());
    u.take();
  }
}

// An access to the queue that aborts.

class AbortedQueue : public testing::Test {
protected:
  AbortedQueue() {
    u.put(IMS_SMMUV3_CR0, kSmmuEn | kCmdqEn);
    u.put(IMS_SMMUV3_EVENTQ_BASE, kAbsent | 2);
    u.interrupts(kGerrorDoorbell, kEventqDoorbell);
    u.put(IMS_SMMUV3_CR0, kSmmuEn | kCmdqEn | kEventqEn);
  }
  void repair() { ASSERT_EQ(IMS_ERR_OK, ims_mem_add_ram(&u.mem, kAbsent, 4096)); }
  Unit u;
};

TEST_F(AbortedQueue, IsAGlobalErrorAndTheIndexStays) {
  u.unknown(kUnknown);
  EXPECT_EQ(kEventqAbt, u.get(IMS_SMMUV3_GERROR));
  EXPECT_EQ(0u, u.prod());
  EXPECT_EQ((Messages{kGerrorMessage}), u.messages) << "the queue stays empty";
}

TEST_F(AbortedQueue, TakesNothingUntilItIsAcknowledged) {
  u.unknown(kUnknown);
  repair();
  u.unknown(kUnknown + 1);
  EXPECT_EQ(0u, u.prod()) << "neither a record nor an overflow";
  EXPECT_EQ(kEventqAbt, u.get(IMS_SMMUV3_GERROR));
  u.put(IMS_SMMUV3_GERRORN, kEventqAbt);
  u.unknown(kUnknown + 2);
  EXPECT_EQ(1u, u.prod());
  EXPECT_EQ(0x02 | uint64_t(kUnknown + 2) << 32, u.load(kAbsent));
  EXPECT_EQ((Messages{kGerrorMessage, kEventqMessage}), u.messages);
}

TEST_F(AbortedQueue, TheNextErrorTogglesBack) {
  u.unknown(kUnknown);
  u.put(IMS_SMMUV3_GERRORN, kEventqAbt);
  u.unknown(kUnknown);
  EXPECT_EQ(0u, u.get(IMS_SMMUV3_GERROR));
  EXPECT_EQ(kEventqAbt, u.get(IMS_SMMUV3_GERRORN));
  EXPECT_EQ(2u, u.messages.size()) << "each activation is told";
  u.put(IMS_SMMUV3_GERRORN, 0);
  EXPECT_EQ(0u, u.get(IMS_SMMUV3_GERROR));
}

TEST_F(AbortedQueue, StalledRecordsWaitForIt) {
  uint16_t first = u.stall(), second = u.stall();
  EXPECT_EQ(kEventqAbt, u.get(IMS_SMMUV3_GERROR));
  u.put(IMS_SMMUV3_GERRORN, kEventqAbt);
  EXPECT_EQ(0u, u.get(IMS_SMMUV3_GERROR)) << "tried again, aborted again";
  EXPECT_EQ(0u, u.prod());
  repair();
  u.put(IMS_SMMUV3_GERRORN, 0);
  EXPECT_EQ(2u, u.prod());
  EXPECT_EQ(first, u.load(kAbsent + 8) & 0xffff);
  EXPECT_EQ(second, u.load(kAbsent + 32 + 8) & 0xffff);
}

TEST_F(AbortedQueue, ARecordHalfOverTheEdgeIsNotWritten) {
  ASSERT_EQ(IMS_ERR_OK, ims_mem_add_ram(&u.mem, kAbsent, 16));
  u.unknown(kUnknown);
  EXPECT_EQ(kEventqAbt, u.get(IMS_SMMUV3_GERROR));
  EXPECT_EQ(0u, u.load(kAbsent));
}

// Interrupts.

TEST(Interrupt, TellsOfAnEmptyQueueThatHasARecord) {
  Unit u(2);
  u.interrupts(kGerrorDoorbell, kEventqDoorbell);
  u.unknown(kUnknown);
  EXPECT_EQ((Messages{kEventqMessage}), u.messages);
  u.unknown(kUnknown + 1);
  EXPECT_EQ(1u, u.messages.size()) << "it was not empty";
  u.take();
  u.unknown(kUnknown + 2);
  EXPECT_EQ(1u, u.messages.size());
  u.take_all();
  u.unknown(kUnknown + 3);
  EXPECT_EQ(2u, u.messages.size());
  for (uint32_t i = 0; i < 6; i++)
    u.unknown(kUnknown + i);
  EXPECT_TRUE(u.overflow());
  EXPECT_EQ(2u, u.messages.size()) << "overflow is not told";
}

TEST(Interrupt, IsNotSentWhileDisabledNorLater) {
  Unit u(2);
  u.interrupts(kGerrorDoorbell, kEventqDoorbell);
  u.put(IMS_SMMUV3_IRQ_CTRL, 1);
  u.unknown(kUnknown);
  u.put(IMS_SMMUV3_IRQ_CTRL, 5);
  EXPECT_TRUE(u.messages.empty()) << "what happened before is not told";
  u.take();
  u.unknown(kUnknown);
  EXPECT_EQ((Messages{kEventqMessage}), u.messages);
}

TEST(Interrupt, AddressZeroSendsNone) {
  Unit u(2);
  u.interrupts(0, 0);
  u.unknown(kUnknown);
  EXPECT_TRUE(u.messages.empty());
  EXPECT_EQ(0u, u.get(IMS_SMMUV3_GERROR));
  EXPECT_EQ(0u, u.load(0)) << "nor into memory";
}

TEST(Interrupt, ThereAreNoWires) {
  Features f;
  f.msi = 0;
  Unit u(2, f);
  u.interrupts(kGerrorDoorbell, kEventqDoorbell);
  u.unknown(kUnknown);
  EXPECT_EQ(1u, u.unread());
  EXPECT_TRUE(u.messages.empty());
}

TEST(Interrupt, TheRecordIsThereWhenItIsTold) {
  Unit u(2);
  u.interrupts(kGerrorDoorbell, kEventqDoorbell);
  unsigned unread = 0;
  u.on_message = [&] { unread = u.unread(); };
  u.unknown(kUnknown);
  EXPECT_EQ(1u, unread);
}

TEST(Interrupt, MayBeAWordInMemory) {
  Unit u(2);
  u.store(0x40000, ~uint64_t(0));
  u.interrupts(kGerrorDoorbell, 0x40004);
  u.unknown(kUnknown);
  EXPECT_EQ(0x00000022ffffffffu, u.load(0x40000)) << "32 bits";
  EXPECT_EQ((Messages{{0x40004, 0x22}}), u.messages) << "and the bus sees it";
}

TEST(Interrupt, OneThatNothingTakesAborts) {
  Unit u(2, Features(), false);
  u.interrupts(0x40000, kEventqDoorbell);
  u.unknown(kUnknown);
  EXPECT_EQ(kMsiEventqAbt, u.get(IMS_SMMUV3_GERROR));
  EXPECT_EQ(0x11u, u.load(0x40000)) << "which is told";
  EXPECT_EQ(1u, u.unread()) << "the record stays";
  u.store(0x40000, 0);
  u.take();
  u.unknown(kUnknown);
  EXPECT_EQ(kMsiEventqAbt, u.get(IMS_SMMUV3_GERROR)) << "an active error is not toggled";
  EXPECT_EQ(0u, u.load(0x40000)) << "nor told again";
  u.put(IMS_SMMUV3_GERRORN, kMsiEventqAbt);
  u.take();
  u.unknown(kUnknown);
  EXPECT_EQ(0u, u.get(IMS_SMMUV3_GERROR));
  EXPECT_EQ(0x11u, u.load(0x40000));
}

TEST(Interrupt, OneOfAGlobalErrorThatAbortsIsNotTold) {
  Unit u(2, Features(), false);
  u.put(IMS_SMMUV3_CR0, kSmmuEn);
  u.put(IMS_SMMUV3_EVENTQ_BASE, kAbsent);
  u.interrupts(kGerrorDoorbell, 0);
  u.put(IMS_SMMUV3_CR0, kSmmuEn | kEventqEn);
  u.unknown(kUnknown);
  EXPECT_EQ(kEventqAbt | kMsiGerrorAbt, u.get(IMS_SMMUV3_GERROR));
}

TEST(Interrupt, GlobalErrorsAreNotToldWhileDisabled) {
  Unit u(2);
  u.interrupts(kGerrorDoorbell, kEventqDoorbell);
  u.put(IMS_SMMUV3_IRQ_CTRL, 4);
  u.put(IMS_SMMUV3_CR0, kSmmuEn);
  u.put(IMS_SMMUV3_EVENTQ_BASE, kAbsent);
  u.put(IMS_SMMUV3_CR0, kSmmuEn | kEventqEn);
  u.unknown(kUnknown);
  EXPECT_EQ(kEventqAbt, u.get(IMS_SMMUV3_GERROR));
  EXPECT_TRUE(u.messages.empty());
}

// Software that answers within the interrupt: it empties the queue, which lets waiting records in.
TEST(Interrupt, AHandlerMayEmptyTheQueueAtOnce) {
  Unit u(0);
  std::vector<uint64_t> stags;
  u.put(IMS_SMMUV3_CR0, kSmmuEn | kCmdqEn);
  for (unsigned i = 0; i < 60; i++)
    u.stall();
  u.interrupts(kGerrorDoorbell, kEventqDoorbell);
  u.on_message = [&] {
    while (u.unread())
      stags.push_back(field(u.take(), IMS_SMMUV3_EVENT_STAG_FIELD));
  };
  u.put(IMS_SMMUV3_CR0, kSmmuEn | kCmdqEn | kEventqEn);
  ASSERT_EQ(60u, stags.size());
  for (unsigned i = 0; i < 60; i++)
    EXPECT_EQ(i, stags[i]);
  EXPECT_EQ(60u, u.messages.size());
}

} // namespace
} // namespace smmuv3
