// SPDX-License-Identifier: Apache-2.0
// The command queue worked off item by item, as a timed model does: the same code as at once, the same state at the end;
// what is told of an invalidation; translations that are given up on the way.
#include "tests/iommu/smmuv3/world.h"

#include <gtest/gtest.h>

#include <random>

namespace smmu {
namespace {

using Random = std::mt19937_64;
constexpr uint64_t kCmdqErr = 1;

// All that software or a later request could see of a unit.
std::string state(ims_iommu *u) {
  std::string s;
  for (unsigned r = 0; r < IMS_SMMUV3_REG_COUNT; r++)
    s += std::string(ims_smmuv3_regs[r].name) + " " +
         std::to_string(ims_smmuv3_peek(u, static_cast<ims_smmuv3_reg>(r))) + "\n";
  s += "epoch " + std::to_string(u->epoch) + " faults " + std::to_string(u->count.faults) + " recorded " +
       std::to_string(u->count.faults_recorded) + " requests " + std::to_string(u->count.requests) + "\n";
  ims_smmuv3_stalled stalled;
  for (unsigned i = 0; ims_smmuv3_stalled_at(u, i, &stalled); i++)
    s += "stalled " + std::to_string(stalled.source) + "/" + std::to_string(stalled.stag) + "\n";
  for (unsigned c = 0; c < IMS_CACHE_COUNT; c++) {
    s += std::string(ims_cache_name(c)) + " " + std::to_string(u->cache[c].count.invalidated) + ":";
    ims_cache_each(
        &u->cache[c],
        [](void *to, const ims_tag *tag, uint64_t aux, const void *) {
          *static_cast<std::string *>(to) +=
              " " + std::to_string(tag->addr) + "/" + std::to_string(tag->id) + "/" + std::to_string(aux);
          return true;
        },
        &s);
    s += "\n";
  }
  return s;
}

Plan stalling() {
  Plan p = nested4k();
  p.substreams = true;
  return p;
}

// The first half runs its queue at once, the second item by item.
struct TwoWays : World {
  unsigned items = 0, failed = 0;
  std::vector<unsigned> kinds;

  TwoWays() : World(stalling(), Config()) {
    cd.set(IMS_CD_S, 1);
    update_cd();
    unit(1)->queue_held = true;
  }

  void put_both(ims_smmuv3_reg r, uint64_t value) {
    for (unsigned h = 0; h < 2; h++)
      ims_iommu_write(unit(h), ims_smmuv3_regs[r].offset, ims_smmuv3_regs[r].bytes, value);
    ims_queue_item item;
    for (unsigned n = 0;; n++) {
      std::string before = state(unit(1));
      bool more = ims_queue_next(unit(1), &item);
      ASSERT_EQ(before, state(unit(1))) << "a look changes nothing";
      if (!more)
        break;
      ASSERT_LT(n, 1000u);
      uint64_t head = ims_smmuv3_peek(unit(1), IMS_SMMUV3_CMDQ_CONS) & 0xfffff;
      EXPECT_EQ(command_at(static_cast<uint32_t>(head)), item.hpa);
      EXPECT_EQ(16u, item.len);
      EXPECT_NE(IMS_QUEUE_EMPTY, item.kind);
      kinds.push_back(item.kind);
      items++;
      ims_queue_step(unit(1));
      uint64_t active = ims_smmuv3_peek(unit(1), IMS_SMMUV3_GERROR) ^ ims_smmuv3_peek(unit(1), IMS_SMMUV3_GERRORN);
      if (active & kCmdqErr) {
        failed++;
        EXPECT_EQ(IMS_QUEUE_OTHER, item.kind);
        EXPECT_EQ(head, ims_smmuv3_peek(unit(1), IMS_SMMUV3_CMDQ_CONS) & 0xfffff) << "the index stays";
      }
    }
    EXPECT_EQ(IMS_QUEUE_EMPTY, item.kind);
    std::string same = state(unit(1));
    ims_queue_step(unit(1));
    ASSERT_EQ(same, state(unit(1))) << "where nothing is to be done, nothing is";
    write(IMS_SMMUV3_OFF_IDR0, 4, 0); // compares what both have sent
    ASSERT_EQ(state(unit(0)), state(unit(1)));
    expect_same_memory();
  }
};

Command any(Random &random, const World &w) {
  Pages p = {w.va + (random() % 4) * 4096};
  p.leaf = random() % 2;
  if (random() % 2)
    p.tg = 1 + random() % 3, p.num = random() % 32, p.scale = random() % 4, p.ttl = random() % 4;
  unsigned vmid = random() % 2, asid = random() % 3;
  Command c = {{random(), random()}};
  switch (random() % 20) {
  case 0: c = cmd::prefetch_config(kStream); break;
  case 1: c = cmd::prefetch_addr(kStream, w.va); break;
  case 2: c = cmd::cfgi_ste(kStream); break;
  case 3: c = cmd::cfgi_ste_range(kStream, random() % 8); break;
  case 4: c = cmd::cfgi_cd(kStream, kSub); break;
  case 5: c = cmd::cfgi_cd_all(kStream); break;
  case 6: c = cmd::nh_all(vmid); break;
  case 7: c = cmd::nh_asid(vmid, asid); break;
  case 8: c = cmd::nh_va(vmid, asid, p); break;
  case 9: c = cmd::s12_vmall(vmid); break;
  case 10: c = cmd::s2_ipa(vmid, p); break;
  case 11: c = cmd::nsnh_all(); break;
  case 12: c = cmd::atc_inv(kStream + random() % 4, w.va, random() % 53); break;
  case 13: c = cmd::pri_resp(kStream, random() % 512, random() % 3); break;
  case 14: c = cmd::resume_retry(kStream, random() % 3); break;
  case 15: c = cmd::resume_terminate(kStream, random() % 3, random() % 2); break;
  case 16: c = random() % 4 ? cmd::sync() : cmd::stall_term(kStream); break;
  case 17: c = cmd::sync(); break;
  case 18: c = cmd::sync_message(60 * MB + random() % 4 * 4, static_cast<uint32_t>(random())); break;
  default: break; // no sense
  }
  if (random() % 16 == 0)
    c.word[random() % 2] ^= uint64_t(1) << random() % 64;
  return c;
}

TEST(QueueItems, EndInTheStateOfARunAtOnce) {
  unsigned items = 0, failed = 0;
  for (unsigned seed = 1; seed <= 12; seed++) {
    Random random(seed);
    TwoWays w;
    w.compare_memory = false;
    w.mute.insert(kStream + 3); // CERROR_ATC_INV_SYNC
    for (int round = 0; round < 40 && !testing::Test::HasFailure(); round++) {
      for (int i = 0; i < 3; i++)
        w.request(w.ask(IMS_ACC_R, i ? w.va : w.va + 4096));
      w.events();
      for (unsigned n = random() % 8; n; n--)
        w.place(any(random, w));
      w.put_both(IMS_SMMUV3_CMDQ_PROD, w.prod);
      for (unsigned tries = 0; w.errors() & kCmdqErr; tries++) { // what it cannot take is replaced
        ASSERT_LT(tries, 100u);
        uint64_t at = w.command_at(static_cast<uint32_t>(w.get(IMS_SMMUV3_CMDQ_CONS) & 0xfffff));
        Command good = cmd::prefetch_config(kStream);
        w.store(at, good.word[0]), w.store(at + 8, good.word[1]);
        w.put_both(IMS_SMMUV3_GERRORN, w.get(IMS_SMMUV3_GERRORN) ^ kCmdqErr);
      }
    }
    items += w.items;
    failed += w.failed;
  }
  EXPECT_GT(items, 1000u);
  EXPECT_GT(failed, 50u);
}

TEST(QueueItems, AreToldByKind) {
  TwoWays w;
  for (const Command &c :
       {cmd::cfgi_ste(kStream), cmd::cfgi_all(), cmd::cfgi_cd(kStream, 0), cmd::nh_all(0), cmd::s2_ipa(0, {0}),
        cmd::nsnh_all(), cmd::prefetch_config(kStream), cmd::atc_inv(kStream, 0, 0), cmd::pri_resp(kStream, 1, 2),
        cmd::resume_retry(kStream, 0), cmd::stall_term(kStream), cmd::sync(), Command{{0, 0}}})
    w.place(c);
  w.put_both(IMS_SMMUV3_CMDQ_PROD, w.prod);
  EXPECT_EQ((std::vector<unsigned>{IMS_QUEUE_INVALIDATE, IMS_QUEUE_INVALIDATE, IMS_QUEUE_INVALIDATE,
                                   IMS_QUEUE_INVALIDATE, IMS_QUEUE_INVALIDATE, IMS_QUEUE_INVALIDATE, IMS_QUEUE_OTHER,
                                   IMS_QUEUE_DEVICE_TLB, IMS_QUEUE_RESPONSE, IMS_QUEUE_RESPONSE, IMS_QUEUE_RESPONSE,
                                   IMS_QUEUE_WAIT, IMS_QUEUE_OTHER}),
            w.kinds);
}

TEST(QueueItems, WaitWhenTheQueueIsEnabledWhileHeld) {
  World w(nested4k(), Config());
  for (unsigned h = 0; h < 2; h++)
    w.unit(h)->queue_held = true;
  w.disable(8); // CMDQEN
  uint64_t word = w.alloc();
  w.place(cmd::sync_message(word, 5));
  w.ring();
  ims_queue_item item;
  EXPECT_FALSE(ims_queue_next(w.unit(), &item));
  w.enable(8);
  EXPECT_EQ(0u, w.load(word));
  ASSERT_TRUE(ims_queue_next(w.unit(), &item));
  EXPECT_EQ(IMS_QUEUE_WAIT, item.kind);
  for (unsigned h = 0; h < 2; h++)
    ims_queue_step(w.unit(h));
  EXPECT_EQ(5u, w.load(word));
  EXPECT_FALSE(ims_queue_next(w.unit(), &item));
}

// What the bus is told, with the caches as they are by then.
struct Told {
  ims_iommu *unit = nullptr;
  unsigned times = 0;
  uint32_t left = 0;
  static void tell(void *ctx) {
    Told *t = static_cast<Told *>(ctx);
    t->times++;
    t->left = t->unit->cache[IMS_CACHE_IOTLB].present;
  }
};

TEST(Invalidated, IsToldByEachCommandThatDrops) {
  World w(nested4k(), Config());
  w.ok();
  Told told;
  told.unit = w.unit();
  ims_iommu_bus bus = w.unit()->bus;
  const std::pair<Command, unsigned> kinds[] = {
      {cmd::cfgi_ste(kStream), 1},
      {cmd::cfgi_cd(kStream, 0), 1},
      {cmd::cfgi_cd_all(kStream), 1},
      {cmd::nh_va(0, 0, {0}), 1},
      {cmd::s2_ipa(0, {0}), 1},
      {cmd::prefetch_config(kStream), 0},
      {cmd::sync(), 0},
      {cmd::nsnh_all(), 1},
  };
  for (auto &k : kinds) {
    w.place(k.first);
    told.times = 0;
    w.unit()->bus.ctx = &told;
    w.unit()->bus.invalidated = Told::tell;
    ims_iommu_write(w.unit(), IMS_SMMUV3_OFF_CMDQ_PROD, 4, w.prod);
    w.unit()->bus = bus;
    EXPECT_EQ(k.second, told.times) << "opcode " << (k.first.word[0] & 255);
  }
  EXPECT_EQ(0u, told.left) << "the caches are empty by then";
}

// A translation begun and given up after n answers.
void give_up(ims_iommu *u, const ims_request &r, unsigned n) {
  ims_xlate x;
  ims_result res;
  ims_xlate_begin(&x, u, &r, &res);
  for (; n; n--) {
    ims_step_kind kind = ims_xlate_step(&x);
    if (kind == IMS_STEP_DONE || kind == IMS_STEP_FAULT)
      return;
    ims_xlate_answer(&x, kind);
  }
  ims_xlate_step(&x);
}

TEST(GivenUp, LeavesNothingBehind) {
  for (bool fault : {false, true}) {
    World w;
    w.cd.set(IMS_CD_S, 1); // a fault would stall
    w.update_cd();
    ims_request r = w.ask(IMS_ACC_R, fault ? w.va + 4096 : w.va);
    for (unsigned n = 0; n < 45; n++) {
      std::string before = state(w.unit());
      give_up(w.unit(), r, n);
      ASSERT_EQ(before, state(w.unit())) << n;
    }
    EXPECT_TRUE(w.events().empty());
    EXPECT_EQ(fault ? IMS_STATUS_STALL : IMS_STATUS_OK, w.request(r).status);
    EXPECT_EQ(fault ? 1u : 0u, w.events().size());
  }
}

} // namespace
} // namespace smmu
