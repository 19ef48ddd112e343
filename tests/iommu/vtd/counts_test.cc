// SPDX-License-Identifier: Apache-2.0
// How many references a translation costs: cold, for every pair of levels and leaf sizes, and warm, by which caches the
// unit has. Each number stands here as the architecture gives it; VT-d rev 4.1, 3.4 to 3.8, 6.2.
#include "tests/iommu/vtd/world.h"

#include <gtest/gtest.h>

namespace vtd {
namespace {

constexpr uint64_t kGuestPage = 0x2000000; // 32 MB in the guest: not where its tables are, but in the same 1 GB

// A nested PASID 1 with tables of these heights and leaves; the host maps tables and data with the same leaf size.
struct NestedWorld : Machine {
  NestedWorld(unsigned fs_levels, unsigned ss_levels, unsigned guest_leaf, unsigned host_leaf,
              const Config &config = Config().no_caches())
      : Machine(config), guest(*this, fs_levels, kFsAll | IMS_FS_A, true), host(*this, ss_levels, kSsAll) {
    start(kScalable);
    set_context(kDevice, Context());
    uint64_t gpa = guest_leaf == 3 ? 0 : kGuestPage;
    va = guest_leaf == 3 ? kVa & ~(GB - 1) : guest_leaf == 2 ? kVa & ~(2 * MB - 1) : kVa;
    guest.map(va, gpa, kFsAll | IMS_FS_A | IMS_FS_D, guest_leaf);
    va += 0x678;
    out = kGuestBase + gpa + 0x678;
    if (host_leaf == 3)
      host.map(0, kGuestBase, kSsAll, 3);
    else if (host_leaf == 2)
      for (uint64_t a = 0; a < kGuestSize; a += 2 * MB)
        host.map(a, kGuestBase + a, kSsAll, 2);
    else
      for (uint64_t a = 0; a < kGuestSize; a += 4 * KB)
        if (a < 2 * MB || a == (gpa & ~uint64_t(0xfff)))
          host.map(a, kGuestBase + a, kSsAll, 1);
    PasidEntry e;
    e.pgtt = kNested, e.fspm = fs_levels - 4, e.aw = ss_levels - 2, e.fs = guest.root, e.ss = host.root;
    set_pasid(kDevice, 1, e);
  }
  uint32_t refs() {
    ims_result res = request(dma(kDevice, 1, va, IMS_ACC_R));
    EXPECT_EQ(IMS_STATUS_OK, res.status) << text(res);
    EXPECT_EQ(out, res.output);
    EXPECT_EQ(res.refs, reads.size());
    EXPECT_EQ(0u, updates);
    return res.refs;
  }
  Tree guest, host;
  uint64_t va, out;
};

struct NestedRow {
  unsigned fs, ss, guest_leaf;
  uint32_t with_structures[3]; // host leaf 4 KB, 2 MB, 1 GB
};

// The walk alone is 4 less: root, context, PASID directory, PASID entry.
const NestedRow kNestedRows[] = {
    {4, 3, 1, {23, 18, 13}}, {4, 3, 2, {19, 15, 11}}, {4, 3, 3, {15, 12, 9}},  {4, 4, 1, {28, 23, 18}},
    {4, 4, 2, {23, 19, 15}}, {4, 4, 3, {18, 15, 12}}, {4, 5, 1, {33, 28, 23}}, {4, 5, 2, {27, 23, 19}},
    {4, 5, 3, {21, 18, 15}}, {5, 3, 1, {27, 21, 15}}, {5, 3, 2, {23, 18, 13}}, {5, 3, 3, {19, 15, 11}},
    {5, 4, 1, {33, 27, 21}}, {5, 4, 2, {28, 23, 18}}, {5, 4, 3, {23, 19, 15}}, {5, 5, 1, {39, 33, 27}},
    {5, 5, 2, {33, 28, 23}}, {5, 5, 3, {27, 23, 19}},
};

TEST(ColdCounts, Nested) {
  for (const NestedRow &k : kNestedRows)
    for (unsigned host_leaf = 1; host_leaf <= 3; host_leaf++) {
      SCOPED_TRACE(std::to_string(k.fs) + " x " + std::to_string(k.ss) + " levels, guest leaf " +
                   std::to_string(k.guest_leaf) + ", host leaf " + std::to_string(host_leaf));
      NestedWorld w(k.fs, k.ss, k.guest_leaf, host_leaf);
      EXPECT_EQ(k.with_structures[host_leaf - 1], w.refs());
      unsigned structures = 0;
      for (const ims_step &s : w.reads)
        structures += s.what < IMS_STRUCT_S1_TABLE;
      EXPECT_EQ(4u, structures);
    }
}

// The general table: n first-stage reads, m second-stage reads, (n+1)(m+1)-1 in all. No first stage has n = 1: four
// levels with 1 GB leaves have 2.
TEST(ColdCounts, GeneralTable) {
  const uint32_t table[5][5] = {
      {0, 0, 0, 0, 0}, {0, 12, 15, 18, 21}, {0, 15, 19, 23, 27}, {0, 18, 23, 28, 33}, {0, 21, 27, 33, 39},
  };
  // n = 2..5 and m = 2..5: five levels with leaves at 1 to 3, four with 3.
  for (unsigned n = 2; n <= 5; n++)
    for (unsigned m = 2; m <= 5; m++) {
      unsigned fs = n == 5 ? 5 : 4, ss = m == 5 ? 5 : 4;
      NestedWorld w(fs, ss, fs - n + 1, ss - m + 1);
      EXPECT_EQ(table[n - 1][m - 1], w.refs()) << n << " x " << m;
    }
  // m = 1: three second-stage levels and 1 GB leaves.
  const uint32_t column[4] = {9, 11, 13, 15};
  for (unsigned n = 2; n <= 5; n++) {
    NestedWorld w(n == 5 ? 5 : 4, 3, (n == 5 ? 5 : 4) - n + 1, 3);
    EXPECT_EQ(column[n - 2], w.refs()) << n << " x 1";
  }
}

// Tables in 4 KB pages of the host, data in a 2 MB page: each second-stage walk counts for itself.
TEST(ColdCounts, MixedHostLeaves) {
  NestedWorld w(4, 4, 1, 1);
  w.host.map(kGuestPage, kGuestBase + kGuestPage, kSsAll, 2);
  EXPECT_EQ(4u + 4 + 4 * 4 + 3, w.refs());
  // The guest's last table in a 2 MB page too.
  uint64_t far = 0x600000, old = w.guest.table(w.va, 1);
  for (unsigned i = 0; i < 512; i++)
    w.store(kGuestBase + far + i * 8, w.load(kGuestBase + old + i * 8));
  w.point(w.guest.at(w.va, 2), far);
  w.host.map(far, kGuestBase + far, kSsAll, 2);
  EXPECT_EQ(4u + 4 + 3 * 4 + 3 + 3, w.refs());
}

TEST(ColdCounts, GoldenOrderOfThe28Reads) {
  NestedWorld w(4, 4, 1, 1);
  EXPECT_EQ(28u, w.refs());
  std::string order;
  for (const ims_step &s : w.reads)
    switch (s.what) {
    case IMS_STRUCT_ROOT_ENTRY: order += "ROOT "; break;
    case IMS_STRUCT_CONTEXT_ENTRY: order += "CTX "; break;
    case IMS_STRUCT_PASID_DIR: order += "PDIR "; break;
    case IMS_STRUCT_PASID_ENTRY: order += "PTE "; break;
    case IMS_STRUCT_S1_TABLE: order += "FS" + std::to_string(s.level) + " "; break;
    default:
      order +=
          "SS" + std::to_string(s.level) + (s.for_what == IMS_STRUCT_DATA ? "d" : std::to_string(s.for_level)) + " ";
    }
  EXPECT_EQ("ROOT CTX PDIR PTE "
            "SS44 SS34 SS24 SS14 FS4 SS43 SS33 SS23 SS13 FS3 SS42 SS32 SS22 SS12 FS2 SS41 SS31 SS21 SS11 FS1 "
            "SS4d SS3d SS2d SS1d ",
            order);
  // And where: each read lies where the tables say.
  EXPECT_EQ(w.root_entry(kDevice), w.reads[0].hpa);
  EXPECT_EQ(16u, w.reads[0].len);
  EXPECT_EQ(w.context_entry(kDevice), w.reads[1].hpa);
  EXPECT_EQ(32u, w.reads[1].len);
  EXPECT_EQ(w.directory_entry(kDevice, 1), w.reads[2].hpa);
  EXPECT_EQ(8u, w.reads[2].len);
  EXPECT_EQ(w.pasid_entry(kDevice, 1), w.reads[3].hpa);
  EXPECT_EQ(64u, w.reads[3].len);
  for (unsigned level = 4, i = 4; level >= 1; level--, i += 5) {
    uint64_t gpa = w.guest.at(w.va, level) - kGuestBase;
    for (unsigned ss = 4; ss >= 1; ss--)
      EXPECT_EQ(w.host.at(gpa, ss), w.reads[i + 4 - ss].hpa);
    EXPECT_EQ(w.guest.at(w.va, level), w.reads[i + 4].hpa);
    EXPECT_EQ(gpa, w.reads[i + 4].gpa);
  }
  for (unsigned ss = 4; ss >= 1; ss--)
    EXPECT_EQ(w.host.at(kGuestPage, ss), w.reads[28 - ss].hpa);
}

TEST(ColdCounts, FirstStageAlone) {
  for (unsigned levels : {4u, 5u})
    for (unsigned leaf = 1; leaf <= 3; leaf++) {
      Machine m(Config().no_caches());
      m.start(kScalable);
      Context c;
      c.rid_pasid = 9;
      m.set_context(kDevice, c);
      Tree t(m, levels, kFsAll);
      t.map(0x40000000, 0x40000000, kFsAll, leaf);
      PasidEntry e;
      e.fspm = levels - 4, e.fs = t.root;
      m.set_pasid(kDevice, 9, e);
      EXPECT_EQ(4 + levels - leaf + 1, m.request(dma(kDevice, 9, 0x40000000, IMS_ACC_R)).refs);
      EXPECT_EQ(4 + levels - leaf + 1, m.request(dma(kDevice, 0x40000000)).refs) << "by RID_PASID";
    }
}

TEST(ColdCounts, SecondStageAlone) {
  for (unsigned levels : {3u, 4u, 5u})
    for (unsigned leaf = 1; leaf <= 3; leaf++) {
      Machine m(Config().no_caches());
      m.start(kScalable);
      m.set_context(kDevice, Context());
      Tree t(m, levels, kSsAll);
      t.map(0x40000000, 0x40000000, kSsAll, leaf);
      PasidEntry e;
      e.pgtt = kSecond, e.aw = levels - 2, e.ss = t.root;
      m.set_pasid(kDevice, 1, e);
      EXPECT_EQ(4 + levels - leaf + 1, m.request(dma(kDevice, 1, 0x40000000, IMS_ACC_R)).refs);
    }
}

TEST(ColdCounts, LegacyAndPassThrough) {
  for (unsigned levels : {3u, 4u, 5u})
    for (unsigned leaf = 1; leaf <= 3; leaf++) {
      Machine m(Config().no_caches());
      m.start(kLegacy);
      Tree t(m, levels, kSsAll);
      t.map(0x40000000, 0x40000000, kSsAll, leaf);
      LegacyContext c;
      c.aw = levels - 2, c.ss = t.root;
      m.set_context(kDevice, c);
      EXPECT_EQ(2 + levels - leaf + 1, m.request(dma(kDevice, 0x40000000)).refs);
      c.tt = 2;
      m.set_context(kDevice, c);
      EXPECT_EQ(2u, m.request(dma(kDevice, 0x40000000)).refs);
    }
  ScalableWorld w(Config().no_caches());
  EXPECT_EQ(4u, w.request(dma(kDevice, 4, kPage, IMS_ACC_R)).refs);
}

// Updates of A and D are no references.
TEST(ColdCounts, UpdatesAreNotCounted) {
  ScalableWorld w(Config().no_caches());
  w.set(w.pasid(3), IMS_SS_D); // SSADE, which has that bit's place
  ims_result res = w.request(dma(kDevice, 3, kVa, IMS_ACC_W));
  EXPECT_EQ(28u, res.refs);
  // 4 first-stage entries; 3 upper second-stage entries and 4 leaves (A), the leaf of the page with D; D for each leaf
  // over a first-stage table, when it is written.
  EXPECT_GT(w.updates, 8u);
  EXPECT_EQ(28u, w.request(dma(kDevice, 3, kVa, IMS_ACC_W)).refs);
  EXPECT_EQ(0u, w.updates);
}

// Warm. A world whose caches have the entries given, nothing else; one translation to warm it, then another.
Config only(uint32_t Config::*field) {
  Config c;
  c.no_caches();
  if (field)
    c.*field = 64;
  return c;
}
uint32_t warm(Config c) {
  NestedWorld w(4, 4, 1, 1, c);
  EXPECT_LE(w.refs(), 28u);
  return w.refs();
}
Config with_structures() {
  Config c;
  c.no_caches();
  c.context_entries = c.pasid_entries = 16;
  return c;
}

TEST(WarmCounts, StructuresCached) {
  Config c;
  c.no_caches();
  EXPECT_EQ(28u, warm(c));
  c.context_entries = 16;
  EXPECT_EQ(26u, warm(c)) << "root and context";
  c.context_entries = 0, c.pasid_entries = 16;
  EXPECT_EQ(26u, warm(c)) << "directory and PASID entry";
  EXPECT_EQ(24u, warm(with_structures()));
}

// The unit keeps the requester seen last at hand. A translation request of another PASID looks into the cache between two
// of its requests, so the requester is the older of the two no more: the third PASID takes the other's place.
TEST(WarmCounts, AgesInThePasidCacheDoNotDependOnTheRequesterSeenLast) {
  Config c = with_structures();
  c.pasid_entries = c.pasid_ways = 2;
  Machine m(c);
  m.start(kScalable);
  m.set_context(kDevice, Context());
  PasidEntry e;
  e.pgtt = kPassThrough;
  for (uint32_t pasid = 1; pasid <= 3; pasid++)
    m.set_pasid(kDevice, pasid, e);
  auto refs = [&](uint32_t pasid, ims_request_type type = IMS_UNTRANSLATED) {
    ims_request r = dma(kDevice, pasid, 0x5000, IMS_ACC_R);
    r.type = type;
    return m.request(r).refs;
  };
  EXPECT_EQ(4u, refs(1));
  EXPECT_EQ(0u, refs(1)); // seen last
  EXPECT_EQ(2u, refs(2, IMS_TRANSLATION_REQUEST));
  EXPECT_EQ(0u, refs(1)); // seen last again
  EXPECT_EQ(0u, refs(2, IMS_TRANSLATION_REQUEST));
  EXPECT_EQ(0u, refs(1)); // the younger of the two
  EXPECT_EQ(2u, refs(3)); // takes the place of 2
  EXPECT_EQ(0u, refs(1));
  EXPECT_EQ(2u, refs(2));
}

TEST(WarmCounts, IotlbHit) {
  Config c = with_structures();
  c.iotlb_entries = 16;
  EXPECT_EQ(0u, warm(c));
  c.context_entries = c.pasid_entries = 0;
  EXPECT_EQ(4u, warm(c));
}

TEST(WarmCounts, NestedTlb) {
  Config c = with_structures();
  c.nested_entries = 64;
  EXPECT_EQ(4u, warm(c)) << "n: tables and the page";
  // Without the page: n + m.
  NestedWorld w(4, 4, 1, 1, c);
  w.refs();
  w.submit(inv::iotlb(inv::kPage, 1, kGuestPage));
  EXPECT_EQ(8u, w.refs());
}

TEST(WarmCounts, SecondStagePagingStructureCache) {
  // A cold walk whose first second-stage walk warms the last level: m + n + n. All pages lie in one 2 MB region.
  Config c = with_structures();
  c.s2_psc_entries = 64;
  NestedWorld w(4, 4, 1, 1, c);
  w.point(w.guest.at(w.va), 0x1ff000);
  w.host.map(0x1ff000, kGuestBase + 0x1ff000, kSsAll);
  w.out = kGuestBase + 0x1ff678;
  w.refs(); // warms context and PASID too
  w.submit(inv::iotlb(inv::kGlobal));
  EXPECT_EQ(12u, w.refs());
  EXPECT_EQ(9u, w.refs()) << "all second-stage walks by one read each: n + n + 1";
}

TEST(WarmCounts, FirstStagePagingStructureCache) {
  for (unsigned gpa : {0u, 1u}) {
    Config c = with_structures();
    c.s1_psc_entries = 16, c.psc_gpa = gpa;
    // j first-stage reads are left when the entry of level j+1 is cached.
    const uint32_t as_gpa[3] = {9, 14, 19}, as_hpa[3] = {5, 10, 15};
    for (unsigned j = 1; j <= 3; j++) {
      NestedWorld w(4, 4, 1, 1, c);
      w.refs();
      // Another address that shares the tables down to level j+1 only.
      uint64_t other = w.va ^ (uint64_t(1) << (12 + 9 * (j - 1)));
      w.guest.map(other & ~uint64_t(0xfff), kGuestPage, kFsAll | IMS_FS_A | IMS_FS_D);
      ims_result res = w.request(dma(kDevice, 1, other, IMS_ACC_R));
      EXPECT_EQ(w.out, res.output);
      // j(m+1)+m, and an HPA saves the second-stage walk of the table it points to.
      EXPECT_EQ(gpa ? as_gpa[j - 1] : as_hpa[j - 1], res.refs) << "j = " << j;
    }
  }
}

TEST(WarmCounts, LastTableByHpaAndNestedTlbForThePage) {
  Config c = with_structures();
  c.s1_psc_entries = 16, c.nested_entries = 64;
  EXPECT_EQ(1u, warm(c));
}

TEST(WarmCounts, EachCacheAlone) {
  EXPECT_EQ(26u, warm(only(&Config::context_entries)));
  EXPECT_EQ(26u, warm(only(&Config::pasid_entries)));
  EXPECT_EQ(4u, warm(only(&Config::iotlb_entries)));
  EXPECT_EQ(8u, warm(only(&Config::nested_entries)));
  EXPECT_EQ(9u, warm(only(&Config::s1_psc_entries))) << "structures, FS1 by HPA, and the page";
  EXPECT_EQ(4u + 4 + 5, warm(only(&Config::s2_psc_entries)));
}

TEST(WarmCounts, AllCachesThenDropped) {
  NestedWorld w(4, 4, 1, 1, Config());
  // Four structures; the root table of the guest by 4 + 1; its three other tables by 1 + 1, level 2 of the host being
  // cached by then; and the page, which lies below another level-2 entry, by 2.
  EXPECT_EQ(4u + 5 + 3 * 2 + 2, w.refs());
  EXPECT_EQ(0u, w.refs());
  w.drop_caches();
  EXPECT_EQ(17u, w.refs());
}

} // namespace
} // namespace vtd
