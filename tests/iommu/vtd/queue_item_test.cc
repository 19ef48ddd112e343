// SPDX-License-Identifier: Apache-2.0
// The invalidation queue worked off item by item, as a timed model does: the same code as at once, the same state at the
// end; what is told of an invalidation; translations that are given up on the way.
#include "tests/iommu/vtd/world.h"

#include <gtest/gtest.h>

#include <random>

namespace vtd {
namespace {

using Random = std::mt19937_64;

// All that software or a later request could see of a unit.
std::string state(ims_iommu *u) {
  std::string s;
  for (unsigned r = 0; r < IMS_VTD_REG_COUNT; r++)
    s += std::string(ims_vtd_regs[r].name) + " " + std::to_string(ims_vtd_peek(u, static_cast<ims_vtd_reg>(r))) + "\n";
  s += "epoch " + std::to_string(u->epoch) + " faults " + std::to_string(u->count.faults) + " recorded " +
       std::to_string(u->count.faults_recorded) + " requests " + std::to_string(u->count.requests) + "\n";
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

// The first half runs its queue at once, the second item by item.
struct TwoWays : ScalableWorld {
  unsigned items = 0, errors = 0;
  std::vector<unsigned> kinds;

  TwoWays() { unit(1)->queue_held = true; }

  void put_both(ims_vtd_reg r, uint64_t value) {
    for (unsigned h = 0; h < 2; h++)
      ims_iommu_write(unit(h), ims_vtd_regs[r].offset, ims_vtd_regs[r].bytes, value);
    ims_queue_item item;
    for (unsigned n = 0;; n++) {
      std::string before = state(unit(1));
      bool more = ims_queue_next(unit(1), &item);
      ASSERT_EQ(before, state(unit(1))) << "a look changes nothing";
      if (!more)
        break;
      ASSERT_LT(n, 1000u);
      uint64_t head = ims_vtd_peek(unit(1), IMS_VTD_IQH);
      EXPECT_EQ(queue + head, item.hpa);
      kinds.push_back(item.kind);
      items++;
      ims_queue_step(unit(1));
      if (ims_vtd_peek(unit(1), IMS_VTD_FSTS) & 0x10) {
        errors++;
        EXPECT_EQ(IMS_QUEUE_OTHER, item.kind);
        EXPECT_EQ(head, ims_vtd_peek(unit(1), IMS_VTD_IQH)) << "the head stays";
      } else {
        EXPECT_EQ(32u, item.len);
        EXPECT_NE(IMS_QUEUE_EMPTY, item.kind);
      }
    }
    EXPECT_EQ(IMS_QUEUE_EMPTY, item.kind);
    std::string same = state(unit(1));
    ims_queue_step(unit(1));
    ASSERT_EQ(same, state(unit(1))) << "where nothing is to be done, nothing is";
    write(IMS_VTD_OFF_VER, 4, 0); // compares what both have sent
    ASSERT_EQ(state(unit(0)), state(unit(1)));
    expect_same_memory();
  }
};

Descriptor any(Random &random) {
  uint64_t addr = kVa + (random() % 4) * 4096;
  unsigned did = 1 + random() % 5, p = 1 + random() % 5;
  Descriptor d = {{random(), random(), 0, 0}};
  switch (random() % 14) {
  case 0: d = inv::context(1 + random() % 3, did, kDevice); break;
  case 1: d = inv::iotlb(1 + random() % 3, did, addr, random() % 10, random() % 2); break;
  case 2: d = inv::piotlb(did, p); break;
  case 3: d = inv::piotlb_page(did, p, addr, random() % 10, random() % 2); break;
  case 4: d = inv::pasid_cache_domain(did); break;
  case 5: d = inv::pasid_cache(did, p); break;
  case 6: d = inv::device_tlb(kDevice + random() % 4, addr, random() % 2); break;
  case 7: d = inv::pasid_device_tlb(kDevice + random() % 4, p, addr, random() % 2); break;
  case 8: d = inv::interrupt_entry_cache(); break;
  case 9: d = inv::wait_status(60 * MB + random() % 4 * 4, static_cast<uint32_t>(random()), random() % 2); break;
  case 10: d = inv::wait_interrupt(); break;
  case 11: d = inv::page_response(kDevice, p, true, random() % 512, 0, true); break;
  case 12: d = inv::wait_status(kAbsent, 1); break;
  default: break; // no sense
  }
  if (random() % 12 == 0)
    d.word[random() % 4] ^= uint64_t(1) << random() % 64;
  return d;
}

TEST(QueueItems, EndInTheStateOfARunAtOnce) {
  unsigned items = 0, errors = 0;
  for (unsigned seed = 1; seed <= 12; seed++) {
    Random random(seed);
    TwoWays w;
    w.compare_memory = false;
    w.mute.insert(kDevice + 3); // ITE
    for (int round = 0; round < 40 && !testing::Test::HasFailure(); round++) {
      w.put_both(IMS_VTD_ICS, 1);
      w.put_both(IMS_VTD_IECTL, random() % 2 ? 0x80000000 : 0);
      for (int i = 0; i < 6; i++)
        w.request(w.ask(1 + random() % 3, IMS_ACC_R, kVa));
      for (unsigned n = random() % 8; n; n--)
        w.place(any(random));
      w.put_both(IMS_VTD_IQT, random() % 20 ? w.tail : 4096 + 32);
      while (w.get(IMS_VTD_FSTS) & 0x10) { // what it cannot take is replaced
        Descriptor good = inv::interrupt_entry_cache();
        for (unsigned i = 0; i < 4; i++)
          w.store(w.queue + w.get(IMS_VTD_IQH) + i * 8, good.word[i]);
        w.put_both(IMS_VTD_IQT, w.tail);
        w.put_both(IMS_VTD_FSTS, 0x10);
      }
      w.put_both(IMS_VTD_FSTS, 0x40);
    }
    items += w.items;
    errors += w.errors;
  }
  EXPECT_GT(items, 1000u);
  EXPECT_GT(errors, 50u);
}

TEST(QueueItems, AreToldByKind) {
  TwoWays w;
  for (const Descriptor &d :
       {inv::context(1), inv::iotlb(1), inv::piotlb(1, 1), inv::pasid_cache_global(), inv::interrupt_entry_cache(),
        inv::device_tlb(kDevice, 0, false), inv::pasid_device_tlb(kDevice, 1, 0, false), inv::wait_interrupt(),
        inv::page_response(kDevice, 1, true, 1, 0, true), Descriptor{{0, 0, 0, 0}}})
    w.place(d);
  w.put_both(IMS_VTD_IQT, w.tail);
  EXPECT_EQ((std::vector<unsigned>{IMS_QUEUE_INVALIDATE, IMS_QUEUE_INVALIDATE, IMS_QUEUE_INVALIDATE,
                                   IMS_QUEUE_INVALIDATE, IMS_QUEUE_INVALIDATE, IMS_QUEUE_DEVICE_TLB,
                                   IMS_QUEUE_DEVICE_TLB, IMS_QUEUE_WAIT, IMS_QUEUE_RESPONSE, IMS_QUEUE_OTHER}),
            w.kinds);
}

TEST(QueueItems, LieWhereTheyAreUntilTheyAreStepped) {
  ScalableWorld w;
  uint64_t status = w.alloc();
  for (unsigned h = 0; h < 2; h++)
    w.unit(h)->queue_held = true;
  w.place(inv::wait_status(status, 7));
  w.ring();
  EXPECT_EQ(0u, w.get(IMS_VTD_IQH));
  EXPECT_EQ(0u, w.load(status));
  for (unsigned h = 0; h < 2; h++)
    ims_queue_step(w.unit(h));
  EXPECT_EQ(32u, w.get(IMS_VTD_IQH));
  EXPECT_EQ(7u, w.load(status));
  w.place(inv::wait_status(status, 8));
  w.ring();
  for (unsigned h = 0; h < 2; h++)
    w.unit(h)->queue_held = false;
  EXPECT_EQ(7u, w.load(status)) << "let go, it waits for the next write";
  w.ring();
  EXPECT_EQ(8u, w.load(status));
}

TEST(QueueItems, OfAQueueThatIsOffAreNone) {
  ScalableWorld w;
  for (unsigned h = 0; h < 2; h++)
    w.unit(h)->queue_held = true;
  w.place(inv::wait_interrupt());
  w.ring();
  ims_queue_item item;
  EXPECT_TRUE(ims_queue_next(w.unit(), &item));
  w.command(1u << 26, false);
  EXPECT_FALSE(ims_queue_next(w.unit(), &item));
  EXPECT_EQ(IMS_QUEUE_EMPTY, item.kind);
}

// What the bus is told, with the caches as they are by then.
struct Told {
  ims_iommu *unit = nullptr;
  unsigned times = 0;
  uint32_t left = 0;
  static void tell(void *ctx) {
    Told *t = static_cast<Told *>(ctx);
    t->times++;
    t->left = 0;
    for (unsigned c = 0; c < IMS_CACHE_COUNT; c++)
      t->left += t->unit->cache[c].present;
  }
};

TEST(Invalidated, IsToldOnceTheCachesAreEmpty) {
  ScalableWorld w;
  Told told;
  told.unit = w.unit();
  auto fill = [&] { EXPECT_EQ(IMS_STATUS_OK, w.request(w.ask(3)).status); };
  fill();
  ims_iommu_bus bus = w.unit()->bus;
  w.unit()->bus.ctx = &told;
  w.unit()->bus.invalidated = Told::tell;
  uint64_t epoch = w.unit()->epoch;
  EXPECT_EQ(0u, told.times) << "requests invalidate nothing";
  ims_iommu_write(w.unit(), IMS_VTD_OFF_GCMD, 4, 1u << 31 | 1u << 30 | 1u << 26); // SRTP with ESRTPS
  EXPECT_EQ(1u, told.times);
  EXPECT_EQ(0u, told.left);
  EXPECT_EQ(epoch + 1, w.unit()->epoch);
  ims_iommu_drop_caches(w.unit());
  EXPECT_EQ(2u, told.times);
  w.unit()->bus = bus;
}

TEST(Invalidated, EachKindOfDescriptorTells) {
  ScalableWorld w;
  Told told;
  told.unit = w.unit();
  const std::pair<Descriptor, unsigned> kinds[] = {
      {inv::context(1), 1},        {inv::iotlb(1), 1},         {inv::iotlb(2, 1), 1},
      {inv::iotlb(3, 1), 1},       {inv::piotlb(1, 1), 1},     {inv::piotlb_page(1, 1, kVa), 1},
      {inv::pasid_cache(1, 1), 1}, {inv::wait_interrupt(), 0}, {inv::interrupt_entry_cache(), 0},
  };
  ims_iommu_bus bus = w.unit()->bus;
  for (auto &k : kinds) {
    w.place(k.first);
    told.times = 0;
    w.unit()->bus.ctx = &told;
    w.unit()->bus.invalidated = Told::tell;
    ims_iommu_write(w.unit(), IMS_VTD_OFF_IQT, 8, w.tail);
    w.unit()->bus = bus;
    EXPECT_EQ(k.second, told.times) << "type " << (k.first.word[0] & 15);
  }
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
    Config c;
    c.no_caches();
    ScalableWorld w(c);
    ims_request r = w.ask(3, IMS_ACC_R, fault ? kVa + 4096 : kVa);
    for (unsigned n = 0; n < 30; n++) {
      std::string before = state(w.unit());
      give_up(w.unit(), r, n);
      ASSERT_EQ(before, state(w.unit())) << n;
      EXPECT_TRUE(w.faults().empty());
    }
    EXPECT_EQ(fault ? IMS_STATUS_FAULT : IMS_STATUS_OK, w.request(r).status);
    EXPECT_EQ(fault ? 1u : 0u, w.faults().size());
  }
}

} // namespace
} // namespace vtd
