// SPDX-License-Identifier: Apache-2.0
// The command queue: which commands are legal, how they are consumed, what an error stops, and what the commands do that
// leave the unit. Arm IHI 0070 3.5, chapter 4, 7.1. What invalidations remove stands in invalidation_test.cc.
#include "tests/support/smmu_machine.h"

#include <gtest/gtest.h>

#include <map>

namespace smmu {
namespace {

constexpr uint64_t kCmdqErr = 1, kMsiCmdqAbt = 1 << 4;
constexpr uint64_t kSmmuen = 1, kCmdqen = 8;

uint64_t consumed(Machine &m) { return m.get(IMS_SMMUV3_CMDQ_CONS) & 0xfffff; }

// Does the queue accept the command? An illegal one is taken back afterwards.
bool legal(Machine &m, const Command &c) {
  uint32_t before = m.prod;
  m.submit(c);
  CommandError error = m.command_error();
  if (error == kNone) {
    EXPECT_EQ(m.prod, consumed(m));
    return true;
  }
  EXPECT_EQ(kIll, error);
  EXPECT_EQ(before, consumed(m)) << "RD stays on the command";
  m.prod = before;
  m.ring();
  m.acknowledge(kCmdqErr);
  return false;
}

// The table of commands.

TEST(Commands, StandInTheTableByTheirOpcodes) {
  const std::map<unsigned, const char *> all = {
      {0x01, "PREFETCH_CONFIG"},
      {0x02, "PREFETCH_ADDR"},
      {0x03, "CFGI_STE"},
      {0x04, "CFGI_STE_RANGE"},
      {0x05, "CFGI_CD"},
      {0x06, "CFGI_CD_ALL"},
      {0x07, "CFGI_VMS_PIDM"},
      {0x10, "TLBI_NH_ALL"},
      {0x11, "TLBI_NH_ASID"},
      {0x12, "TLBI_NH_VA"},
      {0x13, "TLBI_NH_VAA"},
      {0x18, "TLBI_EL3_ALL"},
      {0x1a, "TLBI_EL3_VA"},
      {0x20, "TLBI_EL2_ALL"},
      {0x21, "TLBI_EL2_ASID"},
      {0x22, "TLBI_EL2_VA"},
      {0x23, "TLBI_EL2_VAA"},
      {0x28, "TLBI_S12_VMALL"},
      {0x2a, "TLBI_S2_IPA"},
      {0x30, "TLBI_NSNH_ALL"},
      {0x40, "ATC_INV"},
      {0x41, "PRI_RESP"},
      {0x44, "RESUME"},
      {0x45, "STALL_TERM"},
      {0x46, "SYNC"},
      {0x50, "TLBI_S_EL2_ALL"},
      {0x51, "TLBI_S_EL2_ASID"},
      {0x52, "TLBI_S_EL2_VA"},
      {0x53, "TLBI_S_EL2_VAA"},
      {0x58, "TLBI_S_S12_VMALL"},
      {0x5a, "TLBI_S_S2_IPA"},
      {0x60, "TLBI_SNH_ALL"},
      {0x70, "DPTI_ALL"},
      {0x73, "DPTI_PA"},
  };
  for (unsigned op = 0; op < 300; op++) {
    const ims_smmuv3_command_info *info = ims_smmuv3_command_find(op);
    auto want = all.find(op);
    ASSERT_EQ(want != all.end(), info != nullptr) << op;
    if (info) {
      EXPECT_STREQ(want->second, info->name);
      EXPECT_EQ(op, info->opcode);
    }
  }
  unsigned rows = 0;
  while (ims_smmuv3_commands(rows))
    rows++;
  EXPECT_EQ(all.size(), rows);
}

TEST(Commands, HaveFieldsThatDoNotOverlap) {
  for (unsigned i = 0; const ims_smmuv3_command_info *info = ims_smmuv3_commands(i); i++) {
    uint64_t used[2] = {};
    EXPECT_TRUE(info->fields & 1u << IMS_SMMUV3_COMMAND_OP_FIELD) << info->name;
    for (unsigned f = 0; f < IMS_SMMUV3_COMMAND_FIELD_COUNT; f++) {
      if (!(info->fields >> f & 1))
        continue;
      uint64_t bits[2] = {};
      ims_smmuv3_command_set(bits, static_cast<ims_smmuv3_command_field>(f), ~uint64_t(0));
      EXPECT_EQ(0u, used[0] & bits[0]) << info->name << " " << ims_smmuv3_command_places[f].name;
      EXPECT_EQ(0u, used[1] & bits[1]) << info->name << " " << ims_smmuv3_command_places[f].name;
      used[0] |= bits[0];
      used[1] |= bits[1];
    }
  }
}

TEST(Commands, KeepTheirFieldsWhereTheManualHasThem) {
  using F = ims_smmuv3_command_field;
  struct Row {
    Command c;
    std::map<F, uint64_t> want;
  };
  const Row rows[] = {
      {cmd::cfgi_cd(0x12345678, 0xabcde, true),
       {{IMS_SMMUV3_COMMAND_OP_FIELD, 5},
        {IMS_SMMUV3_COMMAND_SID_FIELD, 0x12345678},
        {IMS_SMMUV3_COMMAND_SSID_FIELD, 0xabcde},
        {IMS_SMMUV3_COMMAND_LEAF_FIELD, 1}}},
      {cmd::nh_va(0x1234, 0x5678, {0xffff876543210000, true, 2, 31, 20, 3}),
       {{IMS_SMMUV3_COMMAND_VMID_FIELD, 0x1234},
        {IMS_SMMUV3_COMMAND_ASID_FIELD, 0x5678},
        {IMS_SMMUV3_COMMAND_ADDR_FIELD, 0xffff876543210},
        {IMS_SMMUV3_COMMAND_LEAF_FIELD, 1},
        {IMS_SMMUV3_COMMAND_TG_FIELD, 2},
        {IMS_SMMUV3_COMMAND_NUM_FIELD, 31},
        {IMS_SMMUV3_COMMAND_SCALE_FIELD, 20},
        {IMS_SMMUV3_COMMAND_TTL_FIELD, 3}}},
      {cmd::atc_inv_pasid(7, 0x12345, 0x7000, 52, true),
       {{IMS_SMMUV3_COMMAND_SSV_FIELD, 1},
        {IMS_SMMUV3_COMMAND_SSID_FIELD, 0x12345},
        {IMS_SMMUV3_COMMAND_GLOBAL_FIELD, 1},
        {IMS_SMMUV3_COMMAND_SIZE_FIELD, 52},
        {IMS_SMMUV3_COMMAND_ADDR_FIELD, 7}}},
      {cmd::pri_resp(7, 0x1ff, 2), {{IMS_SMMUV3_COMMAND_PRG_FIELD, 0x1ff}, {IMS_SMMUV3_COMMAND_RESP_FIELD, 2}}},
      {cmd::resume_terminate(7, 0xfedc, true),
       {{IMS_SMMUV3_COMMAND_AC_FIELD, 0}, {IMS_SMMUV3_COMMAND_AB_FIELD, 1}, {IMS_SMMUV3_COMMAND_STAG_FIELD, 0xfedc}}},
      {cmd::sync_message(0xfedcba98765430, 0x89abcdef),
       {{IMS_SMMUV3_COMMAND_CS_FIELD, 1},
        {IMS_SMMUV3_COMMAND_MSIDATA_FIELD, 0x89abcdef},
        {IMS_SMMUV3_COMMAND_MSH_FIELD, 3},
        {IMS_SMMUV3_COMMAND_MSIATTR_FIELD, 15},
        {IMS_SMMUV3_COMMAND_MSIADDR_FIELD, 0xfedcba98765430 >> 2}}},
  };
  for (const Row &r : rows) {
    const ims_smmuv3_command_info *info = ims_smmuv3_command_find(r.c.word[0] & 0xff);
    Command again = {};
    for (auto [field, value] : r.want) {
      EXPECT_EQ(value, ims_smmuv3_command_get(r.c.word, field))
          << info->name << " " << ims_smmuv3_command_places[field].name;
      EXPECT_TRUE(field == IMS_SMMUV3_COMMAND_OP_FIELD || info->fields >> field & 1) << info->name;
    }
    for (unsigned f = 0; f < IMS_SMMUV3_COMMAND_FIELD_COUNT; f++)
      if (info->fields >> f & 1)
        ims_smmuv3_command_set(again.word, static_cast<F>(f), ims_smmuv3_command_get(r.c.word, static_cast<F>(f)));
    EXPECT_EQ(r.c.word[0], again.word[0]) << info->name;
    EXPECT_EQ(r.c.word[1], again.word[1]) << info->name;
  }
}

// Which commands are legal.

TEST(CommandQueue, TakesEveryCommandOfTheNonSecureQueue) {
  Machine m;
  m.start();
  const std::set<unsigned> taken = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x10, 0x11, 0x12, 0x13, 0x20,
                                    0x21, 0x22, 0x23, 0x28, 0x2a, 0x30, 0x40, 0x41, 0x44, 0x45, 0x46};
  for (unsigned op = 0; op < 256; op++)
    EXPECT_EQ(taken.count(op) != 0, legal(m, {{op, 0}})) << "opcode " << op;
  EXPECT_TRUE(m.events().empty());
}

struct Feature {
  const char *name;
  uint32_t ims_smmuv3_config::*field;
  uint32_t value;
  std::set<unsigned> gone;
};

class Without : public testing::TestWithParam<Feature> {};

TEST_P(Without, TheCommandsOfAFeatureAreIllegal) {
  const Feature &f = GetParam();
  Config c;
  c.*f.field = f.value;
  if (!c.s1p)
    c.ns1ats = 1;
  if (!c.ats)
    c.pri = 0;
  Machine m(c);
  m.start();
  Machine full;
  full.start();
  for (unsigned op = 0; op < 256; op++)
    EXPECT_EQ(legal(full, {{op, 0}}) && !f.gone.count(op), legal(m, {{op, 0}})) << "opcode " << op;
}

INSTANTIATE_TEST_SUITE_P(
    Feature, Without,
    testing::Values(Feature{"S1P", &ims_smmuv3_config::s1p, 0, {0x05, 0x06, 0x10, 0x11, 0x12, 0x13}},
                    Feature{"S2P", &ims_smmuv3_config::s2p, 0, {0x28, 0x2a}},
                    Feature{"Hyp", &ims_smmuv3_config::hyp, 0, {0x20, 0x21, 0x22, 0x23}},
                    Feature{"ATS", &ims_smmuv3_config::ats, 0, {0x40, 0x41}},
                    Feature{"PRI", &ims_smmuv3_config::pri, 0, {0x41}},
                    Feature{"Stalls", &ims_smmuv3_config::stall_model, 1, {0x44, 0x45}}),
    [](const auto &row) { return row.param.name; });

TEST(CommandQueue, ForcedStallsStillHaveTheirCommands) {
  Config c;
  c.stall_model = 2;
  Machine m(c);
  m.start();
  EXPECT_TRUE(legal(m, cmd::resume_retry(1, 0)));
  EXPECT_TRUE(legal(m, cmd::stall_term(1)));
}

TEST(CommandQueue, RefusesSecureStreams) {
  Machine m;
  m.start();
  const std::set<unsigned> have_ssec = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x44, 0x45};
  for (unsigned op : {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x10, 0x11, 0x12, 0x13, 0x20,
                      0x21, 0x22, 0x23, 0x28, 0x2a, 0x30, 0x40, 0x41, 0x44, 0x45, 0x46})
    EXPECT_EQ(!have_ssec.count(op), legal(m, {{op | 1u << 10, 0}})) << "opcode " << op;
}

TEST(CommandQueue, RefusesReservedValues) {
  Machine m;
  m.start();
  EXPECT_FALSE(legal(m, {{0x46 | 3 << 12, 0}})) << "SYNC with CS=3";
  EXPECT_TRUE(legal(m, {{0x46 | 2 << 12, 0}}));
  for (unsigned resp = 0; resp < 4; resp++)
    EXPECT_EQ(resp != 3, legal(m, cmd::pri_resp(1, 0, resp))) << "Resp " << resp;
  for (unsigned size = 0; size < 64; size++)
    EXPECT_EQ(size <= 52, legal(m, cmd::atc_inv(1, 0, size))) << "Size " << size;
}

TEST(CommandQueue, IgnoresReservedFields) {
  Machine m;
  m.start();
  EXPECT_TRUE(legal(m, {{0x30 | ~uint64_t(0xff), ~uint64_t(0)}})) << "NSNH_ALL has no fields";
  EXPECT_TRUE(legal(m, {{0x06 | 1u << 11 | 0xfffffu << 12, ~uint64_t(0)}})) << "CFGI_CD_ALL has a StreamID only";
}

// 4.4.1.1: naming a granule without range or level is reserved.
TEST(CommandQueue, RefusesAGranuleWithoutPurpose) {
  Machine m;
  m.start();
  for (auto by : {&cmd::nh_vaa, &cmd::s2_ipa}) {
    for (unsigned tg = 1; tg < 4; tg++) {
      EXPECT_FALSE(legal(m, by(0, {0, false, tg, 0, 0, 0}))) << "TG " << tg;
      EXPECT_TRUE(legal(m, by(0, {0, false, tg, 1, 0, 0}))) << "TG " << tg;
      EXPECT_TRUE(legal(m, by(0, {0, false, tg, 0, 1, 0}))) << "TG " << tg;
      EXPECT_TRUE(legal(m, by(0, {0, false, tg, 0, 0, 2}))) << "TG " << tg;
      EXPECT_TRUE(legal(m, by(0, {0, false, tg, 0, 0, 3}))) << "TG " << tg;
      EXPECT_EQ(tg != 2, legal(m, by(0, {0, false, tg, 0, 0, 1}))) << "TG " << tg << ": 16 KB has no level-1 blocks";
    }
    EXPECT_TRUE(legal(m, by(0, {0, false, 0, 0, 0, 0})));
    EXPECT_TRUE(legal(m, by(0, {0, false, 0, 0, 0, 3}))) << "without TG the level is reserved, and ignored";
    EXPECT_FALSE(legal(m, by(0, {0, false, 1, 0, 32, 0}))) << "without DS bit 25 does not belong to SCALE";
  }
}

TEST(CommandQueue, WithDsScaleHasSixBitsAnd16KbBlocksAtLevel1) {
  Config c;
  c.ds = 1;
  c.oas = 6;
  Machine m(c);
  m.start();
  EXPECT_TRUE(legal(m, cmd::nh_vaa(0, {0, false, 1, 0, 32, 0})));
  EXPECT_TRUE(legal(m, cmd::nh_vaa(0, {0, false, 1, 0, 63, 0}))) << "acts as 39";
  EXPECT_TRUE(legal(m, cmd::nh_vaa(0, {0, false, 2, 0, 0, 1})));
  EXPECT_FALSE(legal(m, cmd::nh_vaa(0, {0, false, 2, 0, 0, 0})));
}

TEST(CommandQueue, WithoutRangesTheirFieldsAreReserved) {
  Config c;
  c.ril = 0;
  Machine m(c);
  m.start();
  for (unsigned tg = 0; tg < 4; tg++)
    EXPECT_TRUE(legal(m, cmd::nh_vaa(0, {0, false, tg, 0, 0, 0}))) << "TG " << tg;
}

// Consumption.

TEST(CommandQueue, WrapsAtEverySize) {
  for (unsigned log2 : {0u, 1u, 3u, 6u, 10u}) {
    Machine m;
    Layout l;
    l.cmdq = log2;
    m.start(l);
    for (unsigned i = 0; i < (5u << log2) && i < 2500; i++) {
      ASSERT_TRUE(m.wait()) << "command " << i << " of a queue of " << (1u << log2);
      ASSERT_EQ(m.prod, consumed(m));
    }
  }
}

TEST(CommandQueue, DrainsAFullQueueAtOnce) {
  Machine m;
  Layout l;
  l.cmdq = 3;
  m.start(l);
  uint64_t seen = m.alloc();
  m.submit(std::vector<Command>(5, cmd::sync()));
  for (uint32_t i = 0; i < 8; i++) // over the wrap
    m.place(cmd::sync_message(seen + i * 8, 100 + i));
  m.ring();
  EXPECT_EQ(13u, consumed(m));
  for (uint32_t i = 0; i < 8; i++)
    EXPECT_EQ(100 + i, m.load(seen + i * 8));
}

TEST(CommandQueue, IsNoLargerThanIdr1Says) {
  Config c;
  c.cmdqs = 2;
  Machine m(c);
  Layout l;
  l.cmdq = 2;
  m.start(l);
  m.disable(kCmdqen);
  m.put(IMS_SMMUV3_CMDQ_BASE, m.cmdq | 7); // counts as 2
  m.enable(kCmdqen);
  for (unsigned i = 0; i < 11; i++)
    ASSERT_TRUE(m.wait()) << i;
}

TEST(CommandQueue, HasABaseAlignedToItsSize) {
  Machine m;
  m.start(); // 64 entries: 1 KB
  m.disable(kCmdqen);
  m.put(IMS_SMMUV3_CMDQ_BASE, m.cmdq | 0x3e0 | 6);
  m.enable(kCmdqen);
  EXPECT_TRUE(m.wait());
}

TEST(CommandQueue, StandsStillWhileItIsDisabled) {
  Machine m;
  m.start();
  m.disable(kCmdqen);
  uint64_t seen = m.alloc();
  m.submit(cmd::sync_message(seen, 7));
  EXPECT_EQ(0u, consumed(m));
  EXPECT_EQ(0u, m.load(seen));
  m.enable(kCmdqen);
  EXPECT_EQ(1u, consumed(m));
  EXPECT_EQ(7u, m.load(seen));
}

TEST(CommandQueue, WorksWhileTranslationIsOff) {
  Machine m;
  m.start();
  m.disable(kSmmuen);
  EXPECT_TRUE(m.wait());
}

// 3.5.1: PROD beyond CONS by more than the queue has.
TEST(CommandQueue, StandsStillWhileItsIndexesContradictEachOther) {
  Machine m;
  m.start();
  uint64_t seen = m.alloc();
  for (unsigned i = 0; i < 64; i++) {
    m.store(m.command_at(i), cmd::sync_message(seen, 9).word[0]);
    m.store(m.command_at(i) + 8, cmd::sync_message(seen, 9).word[1]);
  }
  m.put(IMS_SMMUV3_CMDQ_PROD, 64 + 5);
  EXPECT_EQ(0u, consumed(m));
  EXPECT_EQ(0u, m.load(seen));
  EXPECT_EQ(kNone, m.command_error());
  m.put(IMS_SMMUV3_CMDQ_PROD, 64);
  EXPECT_EQ(64u, consumed(m));
  EXPECT_EQ(9u, m.load(seen));
}

// Errors, 7.1.

struct Stopped : testing::Test {
  Machine m;
  uint64_t before = 0, after = 0;
  void SetUp() override {
    m.start();
    before = m.alloc();
    after = m.alloc();
  }
  // Something good, the bad one, something good.
  void around(const Command &bad) { m.submit({cmd::sync_message(before, 1), bad, cmd::sync_message(after, 2)}); }
};

TEST_F(Stopped, AnErrorStopsTheQueueAtTheCommand) {
  around({{0xff, 0}});
  EXPECT_EQ(kIll, m.command_error());
  EXPECT_EQ(1u, consumed(m));
  EXPECT_EQ(1u, m.load(before));
  EXPECT_EQ(0u, m.load(after)) << "commands behind it have no effect";
  EXPECT_EQ(kCmdqErr, m.errors());
  m.ring();
  EXPECT_EQ(1u, consumed(m)) << "a write of PROD starts nothing while the error is active";
}

TEST_F(Stopped, GoesOnOnceTheErrorIsAcknowledged) {
  around({{0xff, 0}});
  m.store(m.command_at(1), cmd::sync().word[0]); // repaired: it is fetched again
  m.acknowledge(kCmdqErr);
  EXPECT_EQ(kNone, m.command_error());
  EXPECT_EQ(3u, consumed(m));
  EXPECT_EQ(2u, m.load(after));
}

TEST_F(Stopped, StopsAgainWhenNothingWasRepaired) {
  around({{0xff, 0}});
  uint64_t gerror = m.get(IMS_SMMUV3_GERROR);
  m.acknowledge(kCmdqErr);
  EXPECT_EQ(kIll, m.command_error());
  EXPECT_EQ(1u, consumed(m));
  EXPECT_EQ(gerror ^ kCmdqErr, m.get(IMS_SMMUV3_GERROR)) << "a new error toggles the bit";
}

TEST_F(Stopped, CommandsMayBeTakenBack) {
  around({{0xff, 0}});
  m.prod = 1;
  m.ring();
  m.acknowledge(kCmdqErr);
  EXPECT_EQ(kNone, m.command_error());
  EXPECT_EQ(1u, consumed(m));
  EXPECT_TRUE(m.wait());
  EXPECT_EQ(0u, m.load(after));
}

TEST_F(Stopped, InterruptsWithTheErrorCodeVisible) {
  m.put(IMS_SMMUV3_GERROR_IRQ_CFG0, kAbsent);
  m.put(IMS_SMMUV3_GERROR_IRQ_CFG1, 0x55);
  m.put(IMS_SMMUV3_IRQ_CTRL, 1);
  uint64_t cons[2] = {}, gerror[2] = {};
  m.on_message = [&](unsigned half) {
    cons[half] = ims_smmuv3_peek(m.unit(half), IMS_SMMUV3_CMDQ_CONS);
    gerror[half] = ims_smmuv3_peek(m.unit(half), IMS_SMMUV3_GERROR);
  };
  m.submit({cmd::cfgi_all(), {{0xff, 0}}});
  ASSERT_EQ(1u, m.messages.size());
  EXPECT_EQ((Message{kAbsent, 0x55}), m.messages[0]);
  for (int half = 0; half < 2; half++) {
    EXPECT_EQ(1u | kIll << 24, cons[half]);
    EXPECT_EQ(kCmdqErr, gerror[half]);
  }
}

TEST_F(Stopped, ByAnAbortWhenTheQueueIsNotThere) {
  uint64_t hole = m.cmdq & ~uint64_t(0xfff);
  m.submit(cmd::sync());
  for (unsigned half = 0; half < 2; half++)
    ASSERT_EQ(IMS_ERR_OK, ims_mem_remove(m.mem(half), hole, 4096));
  m.put(IMS_SMMUV3_CMDQ_PROD, 2);
  EXPECT_EQ(kAbt, m.command_error());
  EXPECT_EQ(1u, consumed(m));
  m.compare_memory = false;
  for (unsigned half = 0; half < 2; half++)
    ASSERT_EQ(IMS_ERR_OK, ims_mem_add_ram(m.mem(half), hole, 4096));
  m.prod = 1;
  m.place(cmd::sync_message(after, 4));
  m.acknowledge(kCmdqErr);
  EXPECT_EQ(kNone, m.command_error());
  EXPECT_EQ(2u, consumed(m));
  EXPECT_EQ(4u, m.load(after));
}

// CMD_SYNC, 4.7.3.

struct Sync : testing::Test {
  Machine m;
  void SetUp() override { m.start(); }
};

TEST_F(Sync, WritesItsMessageIntoMemory) {
  uint64_t at = m.alloc();
  m.store(at, 0x1111111122222222);
  m.submit(cmd::sync_message(at + 4, 0xabcdef01));
  EXPECT_EQ(0xabcdef0122222222, m.load(at)) << "32 bits, no more";
}

TEST_F(Sync, SendsItsMessageIntoTheMachine) {
  m.submit(cmd::sync_message(kAbsent, 0x77));
  ASSERT_EQ(1u, m.messages.size());
  EXPECT_EQ((Message{kAbsent, 0x77}), m.messages[0]);
  EXPECT_EQ(0u, m.errors());
}

TEST_F(Sync, SendsNothingUnlessAskedTo) {
  uint64_t at = m.alloc();
  Command none = cmd::sync_message(at, 5), event = none;
  none.word[0] &= ~uint64_t(3 << 12);
  event.word[0] ^= 3 << 12; // CS=2
  m.submit({none, event, cmd::sync_message(0, 5)});
  EXPECT_EQ(3u, consumed(m));
  EXPECT_EQ(0u, m.load(at));
  EXPECT_EQ(0u, m.load(0)) << "address 0 is none";
  EXPECT_TRUE(m.messages.empty());
}

TEST_F(Sync, SendsNothingWithoutMessages) {
  Config c;
  c.msi = 0;
  Machine quiet(c);
  quiet.start();
  uint64_t at = quiet.alloc();
  quiet.submit({cmd::sync_message(at, 5), cmd::sync_message(kAbsent, 5)});
  EXPECT_EQ(2u, consumed(quiet));
  EXPECT_EQ(0u, quiet.load(at));
  EXPECT_TRUE(quiet.messages.empty());
}

TEST_F(Sync, CutsTheAddressToTheOutputSize) {
  uint64_t at = m.alloc();
  m.submit(cmd::sync_message(at | uint64_t(1) << 50, 6)); // OAS is 48 bits
  EXPECT_EQ(6u, m.load(at));
}

TEST_F(Sync, IsConsumedForWhoeverSeesItsMessage) {
  uint64_t seen[2] = {};
  m.on_message = [&](unsigned half) { seen[half] = ims_iommu_read(m.unit(half), IMS_SMMUV3_OFF_CMDQ_CONS, 4); };
  m.submit({cmd::cfgi_all(), cmd::sync_message(kAbsent, 1), cmd::cfgi_all()});
  EXPECT_EQ(2u, seen[0]);
  EXPECT_EQ(2u, seen[1]);
}

TEST_F(Sync, AMessageThatNobodyTakesIsAnError) {
  ims_mem mem;
  ims_mem_init(&mem);
  ASSERT_EQ(IMS_ERR_OK, ims_mem_add_ram(&mem, 0, 1 * MB));
  Config c;
  ims_iommu *u = nullptr;
  ASSERT_EQ(IMS_ERR_OK, ims_smmuv3_new(&u, &c, &mem, nullptr));
  Command s = cmd::sync_message(kAbsent, 1);
  ASSERT_EQ(IMS_ERR_OK, ims_mem_write(&mem, 0x1000, s.word, 16));
  ims_iommu_write(u, IMS_SMMUV3_OFF_CMDQ_BASE, 8, 0x1000 | 4);
  ims_iommu_write(u, IMS_SMMUV3_OFF_CR0, 4, kCmdqen);
  ims_iommu_write(u, IMS_SMMUV3_OFF_CMDQ_PROD, 4, 1);
  EXPECT_EQ(kMsiCmdqAbt, ims_iommu_read(u, IMS_SMMUV3_OFF_GERROR, 4));
  EXPECT_EQ(1u, ims_iommu_read(u, IMS_SMMUV3_OFF_CMDQ_CONS, 4)) << "the SYNC is complete all the same";
  ims_iommu_free(u);
  ims_mem_fini(&mem);
}

// Software that answers a message at once may write registers while the queue runs.

TEST_F(Sync, CommandsAddedFromAMessageFollowInOrder) {
  uint64_t at = m.alloc();
  for (uint32_t i = 0; i < 4; i++)
    m.place(i < 2 ? cmd::sync_message(kAbsent + i * 4, i) : cmd::sync_message(at + i * 8, i));
  std::vector<uint32_t> order[2];
  m.on_message = [&](unsigned half) {
    order[half].push_back(static_cast<uint32_t>(ims_smmuv3_peek(m.unit(half), IMS_SMMUV3_CMDQ_CONS)));
    if (order[half].size() == 1) {
      ims_iommu_write(m.unit(half), IMS_SMMUV3_OFF_CMDQ_PROD, 4, 4);
      EXPECT_EQ(1u, ims_smmuv3_peek(m.unit(half), IMS_SMMUV3_CMDQ_CONS)) << "not within the command";
    }
  };
  m.put(IMS_SMMUV3_CMDQ_PROD, 1);
  EXPECT_EQ(4u, consumed(m));
  EXPECT_EQ(2u, m.load(at + 16));
  EXPECT_EQ(3u, m.load(at + 24));
  for (int half = 0; half < 2; half++)
    EXPECT_EQ((std::vector<uint32_t>{1, 2, 3, 4}), order[half]);
}

TEST_F(Sync, TheQueueMayBeStoppedFromAMessage) {
  m.on_message = [&](unsigned half) {
    uint64_t cr0 = ims_iommu_read(m.unit(half), IMS_SMMUV3_OFF_CR0, 4);
    ims_iommu_write(m.unit(half), IMS_SMMUV3_OFF_CR0, 4, cr0 & ~kCmdqen);
  };
  m.submit({cmd::sync_message(kAbsent, 1), cmd::sync_message(kAbsent, 2)});
  EXPECT_EQ(1u, consumed(m));
  EXPECT_EQ(1u, m.messages.size());
  m.on_message = nullptr;
  m.enable(kCmdqen);
  EXPECT_EQ(2u, consumed(m));
  EXPECT_EQ(2u, m.messages.size());
}

// CMD_ATC_INV, 4.5.1 and 3.9.1.4.

struct AtcInv : testing::Test {
  Machine m;
  void SetUp() override { m.start(); }
};

TEST_F(AtcInv, NamesTheRangeAlignedToItsSize) {
  struct Row {
    unsigned size;
    uint64_t addr, first, last;
  };
  const Row rows[] = {{0, 0x12345000, 0x12345000, 0x12345fff},
                      {1, 0x12345000, 0x12344000, 0x12345fff},
                      {9, 0x12345000, 0x12200000, 0x123fffff},
                      {51, 0xffffffff12345000, 0x8000000000000000, ~uint64_t(0)},
                      {52, 0xffffffff12345000, 0, ~uint64_t(0)}};
  for (const Row &r : rows) {
    m.ats.clear();
    m.submit(cmd::atc_inv(0x42, r.addr, r.size));
    ASSERT_EQ(1u, m.ats.size());
    EXPECT_EQ(0x42u, m.ats[0].source);
    EXPECT_FALSE(m.ats[0].has_pasid);
    EXPECT_FALSE(m.ats[0].all_pasids);
    EXPECT_EQ(r.first, m.ats[0].addr) << r.size;
    EXPECT_EQ(r.last, m.ats[0].last) << r.size;
  }
}

TEST_F(AtcInv, MayNameAPasidOrAllOfThem) {
  m.submit({cmd::atc_inv_pasid(3, 0xabcde, 0x1000, 0), cmd::atc_inv_pasid(3, 0xabcde, 0x1000, 0, true)});
  ASSERT_EQ(2u, m.ats.size());
  for (int i = 0; i < 2; i++) {
    EXPECT_TRUE(m.ats[i].has_pasid);
    EXPECT_EQ(0xabcdeu, m.ats[i].pasid);
    EXPECT_EQ(i == 1, m.ats[i].all_pasids);
  }
  Command global_alone = cmd::atc_inv(3, 0x1000, 0);
  global_alone.word[0] |= 1 << 9;
  m.submit(global_alone);
  ASSERT_EQ(3u, m.ats.size());
  EXPECT_FALSE(m.ats[2].all_pasids) << "Global is ignored without a PASID";
}

TEST_F(AtcInv, HasNoPasidWhereThereAreNoSubstreams) {
  Config c;
  c.ssidsize = 0;
  Machine plain(c);
  plain.start();
  plain.submit(cmd::atc_inv_pasid(3, 1, 0x1000, 0, true));
  ASSERT_EQ(1u, plain.ats.size());
  EXPECT_FALSE(plain.ats[0].has_pasid);
  EXPECT_FALSE(plain.ats[0].all_pasids);
}

TEST_F(AtcInv, IsIgnoredWhileTranslationIsOff) {
  m.mute = {3};
  m.disable(kSmmuen);
  m.submit({cmd::atc_inv(3, 0, 52), cmd::sync()});
  EXPECT_TRUE(m.ats.empty());
  EXPECT_EQ(2u, consumed(m));
  EXPECT_FALSE(legal(m, cmd::atc_inv(3, 0, 53))) << "illegal comes before ignored";
}

TEST_F(AtcInv, ATimeOutIsToldAtTheSync) {
  m.mute = {3};
  uint64_t at = m.alloc();
  m.submit({cmd::atc_inv(3, 0, 0), cmd::atc_inv(4, 0, 0)});
  EXPECT_EQ(kNone, m.command_error());
  EXPECT_EQ(2u, consumed(m)) << "an ATC_INV is consumed before it is complete";
  m.submit({cmd::nsnh_all(), cmd::sync_message(at, 1)});
  EXPECT_EQ(kAtcInvSync, m.command_error());
  EXPECT_EQ(3u, consumed(m)) << "RD stays on the SYNC";
  EXPECT_EQ(0u, m.load(at)) << "which has not completed";
  m.acknowledge(kCmdqErr); // the SYNC is repeated, and waits for nothing any more
  EXPECT_EQ(kNone, m.command_error());
  EXPECT_EQ(4u, consumed(m));
  EXPECT_EQ(1u, m.load(at));
  m.submit({cmd::atc_inv(4, 0, 0), cmd::sync()});
  EXPECT_EQ(kNone, m.command_error());
}

TEST_F(AtcInv, AnIllegalSyncIsIllegalEvenAfterATimeOut) {
  m.mute = {3};
  m.submit({cmd::atc_inv(3, 0, 0), {{0x46 | 3 << 12, 0}}});
  EXPECT_EQ(kIll, m.command_error());
  m.store(m.command_at(1), cmd::sync().word[0]);
  m.acknowledge(kCmdqErr);
  EXPECT_EQ(kAtcInvSync, m.command_error());
}

// CMD_PRI_RESP, 4.5.2.

TEST(PriResp, AnswersAGroupWithTheCodesOfPcie) {
  Machine m;
  m.start();
  const uint8_t codes[3] = {15, 1, 0}; // failure, invalid request, success
  for (unsigned resp = 0; resp < 3; resp++) {
    m.submit({cmd::pri_resp(0x18, 0x1f0 + resp, resp), cmd::pri_resp_pasid(0x18, 0x54321, 7, resp)});
    ASSERT_EQ(2u, m.responses.size());
    EXPECT_EQ(0x18u, m.responses[0].source);
    EXPECT_EQ(0x1f0 + resp, m.responses[0].group);
    EXPECT_EQ(codes[resp], m.responses[0].code);
    EXPECT_FALSE(m.responses[0].has_pasid);
    EXPECT_TRUE(m.responses[1].has_pasid);
    EXPECT_EQ(0x54321u, m.responses[1].pasid);
    EXPECT_EQ(codes[resp], m.responses[1].code);
    m.responses.clear();
  }
}

TEST(PriResp, IsIgnoredWhileTranslationIsOff) {
  Machine m;
  m.start();
  m.disable(kSmmuen);
  m.submit(cmd::pri_resp(0x18, 1, 2));
  EXPECT_TRUE(m.responses.empty());
  EXPECT_EQ(1u, consumed(m));
}

// 4.2: prefetching is a hint; what it cannot do is no error.
TEST(Prefetch, RecordsNothingAndFetchesNothing) {
  Machine m;
  m.start();
  m.put(IMS_SMMUV3_CR0, 0);
  m.put(IMS_SMMUV3_CR2, 2); // RECINVSID
  m.put(IMS_SMMUV3_CR0, 0x1f);
  m.submit({cmd::prefetch_config(1), cmd::prefetch_config(0xffffffff), cmd::prefetch_addr(1, 0x1000),
            cmd::prefetch_addr(0xffffffff, ~uint64_t(0))});
  EXPECT_EQ(4u, consumed(m));
  EXPECT_TRUE(m.events().empty());
}

} // namespace
} // namespace smmu
