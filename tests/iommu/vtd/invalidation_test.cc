// SPDX-License-Identifier: Apache-2.0
// What each invalidation removes, and what it leaves. A unit with one cache only is warmed; the structure behind the cache
// is changed; the invalidation is sent; then the old answer or the new one tells whether the cached item was still there.
// VT-d rev 4.1, 6.5.
#include "tests/iommu/vtd/world.h"

#include <gtest/gtest.h>

#include <memory>

namespace vtd {
namespace {

using inv::kDevice;
using inv::kDomain;
using inv::kGlobal;
using inv::kPage;

constexpr unsigned kSource = 0x0123;
constexpr uint64_t kNewPage = 0x2346000;

enum Cache {
  CTX,         // context entry
  PASIDC,      // PASID entry
  TLB_FS,      // IOTLB, first-stage
  TLB_SS,      // IOTLB, second-stage
  TLB_NEST,    // IOTLB, nested
  TLB_FS_2M,   // IOTLB, a 2 MB page of the first stage
  TLB_SS_2M,   // IOTLB, a 2 MB page of the second stage
  PSC_FS,      // first-stage paging-structure cache
  PSC_SS,      // second-stage paging-structure cache
  PSC_NEST,    // first-stage paging-structure cache under a second stage
  PSC_NEST_SS, // second-stage paging-structure cache of the data page under nesting
  NTLB,        // nested TLB of the data page
  kCaches
};
const char *const kName[] = {"context",     "PASID",  "IOTLB FS", "IOTLB SS",   "IOTLB nested",  "IOTLB FS 2M",
                             "IOTLB SS 2M", "FS PSC", "SS PSC",   "nested PSC", "nested SS PSC", "nested TLB"};

uint32_t Config::*field(Cache c) {
  switch (c) {
  case CTX: return &Config::context_entries;
  case PASIDC: return &Config::pasid_entries;
  case PSC_FS:
  case PSC_NEST: return &Config::s1_psc_entries;
  case PSC_SS:
  case PSC_NEST_SS: return &Config::s2_psc_entries;
  case NTLB: return &Config::nested_entries;
  default: return &Config::iotlb_entries;
  }
}
unsigned pasid_of(Cache c) {
  switch (c) {
  case TLB_SS:
  case TLB_SS_2M:
  case PSC_SS: return 2;
  case TLB_NEST:
  case PSC_NEST:
  case PSC_NEST_SS:
  case NTLB: return 3;
  default: return 1;
  }
}

// A world with this cache alone, its item in it, and the structure behind it changed. DID = PASID = PGTT.
struct Stale : ScalableWorld {
  explicit Stale(Cache c, bool psc_gpa = false) : ScalableWorld(config(c, psc_gpa)), pasid_id(pasid_of(c)) {
    bool large = c == TLB_FS_2M || c == TLB_SS_2M;
    if (large)
      (c == TLB_FS_2M ? first : second).map(kVa & ~(2 * MB - 1), 0x2200000, c == TLB_FS_2M ? kFsAll : kSsAll, 2);
    before = look();
    Tree &t = c == TLB_SS || c == TLB_SS_2M || c == PSC_SS ? second : c == PSC_NEST || c == TLB_NEST ? guest : first;
    switch (c) {
    case CTX: { // another directory, with another entry
      Context other;
      other.dir = alloc();
      store(other.dir, alloc() | 1);
      Tree fresh(*this, 4, kFsAll);
      fresh.map(kVa, kNewPage, kFsAll);
      set_context(kSource, other);
      PasidEntry e;
      e.fs = fresh.root;
      set_pasid(kSource, 1, e);
      break;
    }
    case PASIDC: {
      Tree fresh(*this, 4, kFsAll);
      fresh.map(kVa, kNewPage, kFsAll);
      point(pasid(1) + 16, fresh.root);
      break;
    }
    case PSC_FS:
    case PSC_SS:
    case PSC_NEST: { // another table behind the level-2 entry
      uint64_t table = c == PSC_NEST ? guest_alloc() : alloc(), base = c == PSC_NEST ? kGuestBase : 0;
      store(base + table + (kVa >> 12 & 511) * 8, kNewPage | 3 | kFsAll);
      if (c == PSC_NEST)
        host.map(kNewPage, kNewPage, kSsAll);
      point(t.at(kVa, 2), table);
      break;
    }
    case PSC_NEST_SS: {
      uint64_t table = alloc();
      store(table + (vtd::kPage >> 12 & 511) * 8, kNewPage | kSsAll);
      point(host.at(vtd::kPage, 2), table);
      break;
    }
    case NTLB: point(host.at(vtd::kPage), kNewPage); break;
    case TLB_NEST:
      host.map(kNewPage, kNewPage, kSsAll);
      point(t.at(kVa), kNewPage);
      break;
    case TLB_FS_2M:
    case TLB_SS_2M: store(t.at(kVa, 2), (load(t.at(kVa, 2)) & 0xfff) | 0x2400000); break;
    default: point(t.at(kVa), kNewPage);
    }
    EXPECT_EQ(before, look()) << "the cached item serves until it is removed";
  }
  static Config config(Cache c, bool psc_gpa) {
    Config cfg;
    cfg.no_caches();
    cfg.*field(c) = 64;
    cfg.psc_gpa = psc_gpa;
    return cfg;
  }
  uint64_t look() {
    ims_result res = request(dma(kSource, pasid_id, kVa, IMS_ACC_R));
    EXPECT_EQ(IMS_STATUS_OK, res.status) << text(res);
    return res.output;
  }
  bool gone() { return look() != before; }
  unsigned pasid_id;
  uint64_t before;
};

constexpr unsigned bit(Cache c) { return 1u << c; }
constexpr unsigned kIotlbs = bit(TLB_FS) | bit(TLB_SS) | bit(TLB_NEST) | bit(TLB_FS_2M) | bit(TLB_SS_2M);
constexpr unsigned kPscs = bit(PSC_FS) | bit(PSC_SS) | bit(PSC_NEST) | bit(PSC_NEST_SS) | bit(NTLB);
constexpr unsigned kOfDid1 = bit(TLB_FS) | bit(TLB_FS_2M) | bit(PSC_FS);
constexpr unsigned kOfDid2 = bit(TLB_SS) | bit(TLB_SS_2M) | bit(PSC_SS);
constexpr unsigned kOfDid3 = bit(TLB_NEST) | bit(PSC_NEST) | bit(PSC_NEST_SS) | bit(NTLB);

struct Row {
  const char *what;
  Descriptor d;
  unsigned removes; // exactly these
};

// Page addresses beside kVa: in the same 2 MB, and in the next.
constexpr uint64_t kNextPage = kVa + 4 * KB, kNext2M = kVa + 2 * MB;

const Row kMatrix[] = {
    {"context global", inv::context(kGlobal), bit(CTX)},
    {"context domain: in scalable mode an entry has no domain", inv::context(kDomain, 77), bit(CTX)},
    {"context device", inv::context(kDevice, 0, kSource), bit(CTX)},
    {"context device, another function", inv::context(kDevice, 0, kSource ^ 1), 0},
    {"context device, another bus", inv::context(kDevice, 0, kSource ^ 0x100), 0},
    {"context device, FM 1 masks bit 2", inv::context(kDevice, 0, kSource ^ 4, 1), bit(CTX)},
    {"context device, FM 1 does not mask bit 1", inv::context(kDevice, 0, kSource ^ 2, 1), 0},
    {"context device, FM 2 masks bits 2:1", inv::context(kDevice, 0, kSource ^ 6, 2), bit(CTX)},
    {"context device, FM 2 does not mask bit 0", inv::context(kDevice, 0, kSource ^ 1, 2), 0},
    {"context device, FM 3 masks bits 2:0", inv::context(kDevice, 0, kSource ^ 7, 3), bit(CTX)},
    {"context device, FM 3 does not mask bit 3", inv::context(kDevice, 0, kSource ^ 8, 3), 0},

    {"PASID cache global", inv::pasid_cache_global(), bit(PASIDC)},
    {"PASID cache domain", inv::pasid_cache_domain(1), bit(PASIDC)},
    {"PASID cache, another domain", inv::pasid_cache_domain(2), 0},
    {"PASID cache PASID", inv::pasid_cache(1, 1), bit(PASIDC)},
    {"PASID cache, another PASID", inv::pasid_cache(1, 2), 0},
    {"PASID cache, its PASID in another domain", inv::pasid_cache(2, 1), 0},

    {"IOTLB global", inv::iotlb(kGlobal), kIotlbs | kPscs},
    {"IOTLB domain 1", inv::iotlb(kDomain, 1), kOfDid1},
    {"IOTLB domain 2", inv::iotlb(kDomain, 2), kOfDid2},
    {"IOTLB domain 3", inv::iotlb(kDomain, 3), kOfDid3},
    {"IOTLB domain 9", inv::iotlb(kDomain, 9), 0},

    // Second-stage addresses; first-stage translations stay.
    {"IOTLB page, domain 1", inv::iotlb(kPage, 1, kVa), 0},
    {"IOTLB page, domain 2", inv::iotlb(kPage, 2, kVa), kOfDid2},
    {"IOTLB page, domain 2, IH", inv::iotlb(kPage, 2, kVa, 0, true), bit(TLB_SS) | bit(TLB_SS_2M)},
    {"IOTLB next page, domain 2", inv::iotlb(kPage, 2, kNextPage), bit(TLB_SS_2M) | bit(PSC_SS)},
    {"IOTLB next page, domain 2, IH", inv::iotlb(kPage, 2, kNextPage, 0, true), bit(TLB_SS_2M)},
    {"IOTLB next 2 MB, domain 2", inv::iotlb(kPage, 2, kNext2M), 0},
    {"IOTLB page, AM 18: the low bits of the address do not count", inv::iotlb(kPage, 2, kNext2M, 18), kOfDid2},
    {"IOTLB page, AM 1: two pages", inv::iotlb(kPage, 2, kNextPage, 1), kOfDid2},
    {"IOTLB page, AM 3 beside", inv::iotlb(kPage, 2, kVa + 8 * 4 * KB, 3), bit(TLB_SS_2M) | bit(PSC_SS)},
    // Nested: guest-physical addresses; what cannot be found by GPA goes with the domain.
    {"IOTLB page, domain 3, the guest page", inv::iotlb(kPage, 3, vtd::kPage), kOfDid3},
    {"IOTLB page, domain 3, the guest page, IH", inv::iotlb(kPage, 3, vtd::kPage, 0, true),
     bit(TLB_NEST) | bit(PSC_NEST) | bit(NTLB)},
    {"IOTLB page, domain 3, another page", inv::iotlb(kPage, 3, 0x40000000), bit(TLB_NEST) | bit(PSC_NEST)},

    {"P_IOTLB PASID 1", inv::piotlb(1, 1), kOfDid1},
    {"P_IOTLB PASID 1 of another domain", inv::piotlb(2, 1), 0},
    {"P_IOTLB another PASID", inv::piotlb(1, 2), 0},
    {"P_IOTLB PASID 2: second-stage translations stay", inv::piotlb(2, 2), 0},
    {"P_IOTLB PASID 0 of domain 2", inv::piotlb(2, 0), 0},
    {"P_IOTLB PASID 3", inv::piotlb(3, 3), bit(TLB_NEST) | bit(PSC_NEST)},

    {"P_IOTLB page", inv::piotlb_page(1, 1, kVa), kOfDid1},
    {"P_IOTLB page, IH", inv::piotlb_page(1, 1, kVa, 0, true), bit(TLB_FS) | bit(TLB_FS_2M)},
    {"P_IOTLB next page", inv::piotlb_page(1, 1, kNextPage), bit(TLB_FS_2M) | bit(PSC_FS)},
    {"P_IOTLB next page, IH", inv::piotlb_page(1, 1, kNextPage, 0, true), bit(TLB_FS_2M)},
    {"P_IOTLB next 2 MB", inv::piotlb_page(1, 1, kNext2M), 0},
    {"P_IOTLB next 2 MB, AM 18", inv::piotlb_page(1, 1, kNext2M, 18), kOfDid1},
    {"P_IOTLB AM 63: everything", inv::piotlb_page(1, 1, 0, 63), kOfDid1},
    {"P_IOTLB AM 52", inv::piotlb_page(1, 1, 0, 52), kOfDid1},
    {"P_IOTLB AM 51: the lower half", inv::piotlb_page(1, 1, 0, 51), kOfDid1},
    {"P_IOTLB AM 51: the upper half", inv::piotlb_page(1, 1, uint64_t(1) << 63, 51), 0},
    {"P_IOTLB page of another PASID", inv::piotlb_page(1, 2, kVa), 0},
    {"P_IOTLB page of another domain", inv::piotlb_page(2, 1, kVa), 0},
    {"P_IOTLB page, nested", inv::piotlb_page(3, 3, kVa), bit(TLB_NEST) | bit(PSC_NEST)},
    {"P_IOTLB page, nested, IH", inv::piotlb_page(3, 3, kVa, 0, true), bit(TLB_NEST)},
    {"P_IOTLB next page, nested", inv::piotlb_page(3, 3, kNextPage), bit(PSC_NEST)},

    {"device TLB", inv::device_tlb(kSource, kVa, false), 0},
    {"PASID device TLB", inv::pasid_device_tlb(kSource, 1, kVa, false), 0},
    {"interrupt entries", inv::interrupt_entry_cache(), 0},
    {"wait", inv::wait_interrupt(), 0},
    {"page response", inv::page_response(kSource, 1, true, 3, 0, true), 0},
};

TEST(Invalidation, Matrix) {
  for (int c = 0; c < kCaches; c++)
    for (const Row &row : kMatrix) {
      SCOPED_TRACE(std::string(row.what) + " against " + kName[c]);
      Stale w(static_cast<Cache>(c));
      w.submit(row.d);
      EXPECT_EQ(0u, w.get(IMS_VTD_FSTS));
      EXPECT_EQ(row.removes >> c & 1, unsigned(w.gone()));
    }
}

// First-stage paging-structure caches that keep GPAs: a second-stage change does not concern the pointer, yet the table
// lets nested ones go with the domain.
TEST(Invalidation, NestedPagingStructureCacheByGpa) {
  for (const Row &row : kMatrix) {
    SCOPED_TRACE(row.what);
    Stale w(PSC_NEST, true);
    w.submit(row.d);
    EXPECT_EQ(row.removes >> PSC_NEST & 1, unsigned(w.gone()));
  }
}

// ESRTPS, on by default: all caches go with a new root table.
TEST(Invalidation, NewRootTable) {
  for (int c = 0; c < kCaches; c++) {
    SCOPED_TRACE(kName[c]);
    Stale w(static_cast<Cache>(c));
    w.set_root_table(kScalable);
    EXPECT_TRUE(w.gone());
  }
}

// ESRTPS=0: the caches stay, software invalidates. TE off and on: they stay.
TEST(Invalidation, CachesSurviveSrtpWithoutEsrtpsAndTranslationEnable) {
  Config cfg;
  cfg.esrtps = 0;
  ScalableWorld w(cfg);
  ims_request r = dma(kSource, 1, kVa, IMS_ACC_R);
  w.request(r);
  w.point(w.first.at(kVa), kNewPage);
  w.set_root_table(kScalable);
  EXPECT_EQ(vtd::kPage, w.request(r).output);
  w.command(1u << 31, false);
  w.command(1u << 31, true);
  EXPECT_EQ(vtd::kPage, w.request(r).output);
  w.submit(inv::context(kGlobal));
  w.submit(inv::pasid_cache_global());
  EXPECT_EQ(vtd::kPage, w.request(r).output);
  w.submit(inv::iotlb(kGlobal));
  EXPECT_EQ(kNewPage, w.request(r).output);
}

// Two PASIDs and two sources of one domain share second-stage translations; one command removes them for all.
TEST(Invalidation, SecondStageTranslationsBelongToTheDomain) {
  Config cfg;
  cfg.no_caches();
  cfg.iotlb_entries = 64;
  ScalableWorld w(cfg);
  PasidEntry e;
  e.pgtt = kSecond, e.did = 2, e.ss = w.second.root;
  w.set_pasid(kSource, 7, e);
  EXPECT_EQ(8u, w.request(dma(kSource, 2, kVa, IMS_ACC_R)).refs);
  EXPECT_EQ(4u, w.request(dma(kSource, 7, kVa, IMS_ACC_R)).refs) << "a hit: only the structures are read";
  w.submit(inv::iotlb(kPage, 2, kVa));
  EXPECT_EQ(8u, w.request(dma(kSource, 7, kVa, IMS_ACC_R)).refs);
}

// Two PASIDs of one domain with first stages of their own do not meet.
TEST(Invalidation, FirstStageTranslationsBelongToDomainAndPasid) {
  Config cfg;
  ScalableWorld w(cfg);
  Tree other(w, 4, kFsAll);
  other.map(kVa, kNewPage, kFsAll);
  PasidEntry e;
  e.did = 1, e.fs = other.root;
  w.set_pasid(kSource, 7, e);
  for (int round = 0; round < 2; round++) {
    EXPECT_EQ(vtd::kPage, w.request(dma(kSource, 1, kVa, IMS_ACC_R)).output);
    EXPECT_EQ(kNewPage, w.request(dma(kSource, 7, kVa, IMS_ACC_R)).output);
  }
}

// 6.1: with CM=1 what is not present may be cached, and must be removed by the commands that make it present: software
// names the new domain.
TEST(CachingMode, PasidEntryBecomesPresent) {
  for (unsigned how = 0; how < 3; how++) {
    Config cfg;
    cfg.cm = 1;
    ScalableWorld w(cfg);
    ims_request r = dma(kSource, 9, kVa, IMS_ACC_R);
    EXPECT_EQ(0x59, w.request(r).fault);
    PasidEntry e;
    e.did = 6, e.fs = w.first.root;
    w.set_pasid(kSource, 9, e);
    w.submit(how == 0 ? inv::pasid_cache(6, 9) : how == 1 ? inv::pasid_cache_domain(6) : inv::pasid_cache_global());
    w.submit(inv::piotlb(6, 9));
    EXPECT_EQ(vtd::kPage, w.request(r).output) << how;
  }
}

TEST(CachingMode, NotPresentIsKeptUntilThen) {
  Config cfg;
  cfg.cm = 1;
  ScalableWorld w(cfg);
  ims_request r = dma(kSource, 9, kVa, IMS_ACC_R);
  EXPECT_EQ(0x59, w.request(r).fault);
  PasidEntry e;
  e.did = 6, e.fs = w.first.root;
  w.set_pasid(kSource, 9, e);
  EXPECT_EQ(0x59, w.request(r).fault);
  w.submit(inv::pasid_cache(6, 8)); // another PASID
  EXPECT_EQ(0x59, w.request(r).fault);
  EXPECT_EQ(3u, w.faults().size());
}

TEST(CachingMode, ContextEntryBecomesPresent) {
  Config cfg;
  cfg.cm = 1;
  LegacyWorld w(cfg);
  ims_request r = dma(0x0124, kVa);
  EXPECT_EQ(0x02, w.request(r).fault);
  LegacyContext c;
  c.did = 2, c.ss = w.second.root;
  w.set_context(0x0124, c);
  EXPECT_EQ(0x02, w.request(r).fault);
  w.submit(inv::context(kDevice, 0, 0x0124));
  EXPECT_EQ(vtd::kPage, w.request(r).output);
}

TEST(CachingMode, FirstStageEntriesAreNeverCachedWhileNotPresent) {
  Config cfg;
  cfg.cm = 1;
  ScalableWorld w(cfg);
  w.clear(w.first.at(kVa, 2), 1);
  EXPECT_EQ(0x71, w.request(dma(kSource, 1, kVa, IMS_ACC_R)).fault);
  w.set(w.first.at(kVa, 2), 1);
  EXPECT_EQ(vtd::kPage, w.request(dma(kSource, 1, kVa, IMS_ACC_R)).output);
}

TEST(CachingMode, OffNothingNotPresentIsCached) {
  ScalableWorld w;
  ims_request r = dma(kSource, 9, kVa, IMS_ACC_R);
  EXPECT_EQ(0x59, w.request(r).fault);
  PasidEntry e;
  e.did = 6, e.fs = w.first.root;
  w.set_pasid(kSource, 9, e);
  EXPECT_EQ(vtd::kPage, w.request(r).output);
}

// A right that the cached entry lacks: the tables decide, or with the knob the entry does.
TEST(RightsMiss, WalksAgainOrFaults) {
  for (unsigned knob : {0u, 1u}) {
    Config cfg;
    cfg.rights_from_cache = knob;
    ScalableWorld w(cfg);
    w.clear(w.first.at(kVa), IMS_FS_RW);
    EXPECT_EQ(0, w.request(dma(kSource, 1, kVa, IMS_ACC_R)).fault);
    w.set(w.first.at(kVa), IMS_FS_RW);
    EXPECT_EQ(knob ? 0x85 : 0, w.request(dma(kSource, 1, kVa, IMS_ACC_W)).fault);
    w.submit(inv::piotlb_page(1, 1, kVa, 0, true));
    EXPECT_EQ(0, w.request(dma(kSource, 1, kVa, IMS_ACC_W)).fault);
  }
}

// A cached page whose dirty bit is clear must be walked for a write, so that the bit is set; then no more.
TEST(DirtyBit, IsSetThoughThePageIsCached) {
  ScalableWorld w;
  w.set(w.pasid(2), 1 << 9); // SSADE
  for (unsigned pasid : {1u, 2u}) {
    uint64_t leaf = pasid == 1 ? w.first.at(kVa) : w.second.at(kVa);
    uint64_t d = pasid == 1 ? uint64_t(IMS_FS_D) : uint64_t(IMS_SS_D);
    w.request(dma(kSource, pasid, kVa, IMS_ACC_R));
    EXPECT_FALSE(w.load(leaf) & d);
    EXPECT_NE(0u, w.request(dma(kSource, pasid, kVa, IMS_ACC_W)).refs);
    EXPECT_TRUE(w.load(leaf) & d);
    EXPECT_EQ(0u, w.request(dma(kSource, pasid, kVa, IMS_ACC_W)).refs);
    // Cleared by software without an invalidation: no new D may come. With it, it must.
    w.clear(leaf, d);
    w.request(dma(kSource, pasid, kVa, IMS_ACC_W));
    EXPECT_FALSE(w.load(leaf) & d);
    w.submit(pasid == 1 ? inv::piotlb_page(1, 1, kVa, 0, true) : inv::iotlb(kPage, 2, kVa, 0, true));
    w.request(dma(kSource, pasid, kVa, IMS_ACC_W));
    EXPECT_TRUE(w.load(leaf) & d);
  }
}

// An invalidation while a translation is in flight: what was read before must not be cached after.
TEST(Invalidation, FillsOfAWalkInFlightAreDropped) {
  ScalableWorld w;
  ims_iommu *u = w.unit(1);
  w.compare_memory = false;
  bool sent = false;
  uint32_t iqt = ims_vtd_regs[IMS_VTD_IQT].offset;
  ims_request r = dma(kSource, 1, kVa, IMS_ACC_R);
  uint64_t leaf = w.first.at(kVa);
  w.place(inv::iotlb(kGlobal));
  ims_result res = w.stepped(r, [&](ims_step_kind kind, const ims_step &s) {
    if (kind == IMS_STEP_FILL && s.cache == IMS_CACHE_IOTLB && !sent) {
      sent = true; // the leaf has been read; now software changes it and invalidates
      ASSERT_EQ(IMS_ERR_OK, ims_mem_store64(w.mem(1), leaf, 0));
      ims_iommu_write(u, iqt, 8, w.tail);
    }
  });
  EXPECT_TRUE(sent);
  EXPECT_EQ(vtd::kPage, res.output) << "this one was before";
  EXPECT_EQ(0x71, w.stepped(r, nullptr).fault) << "the next one is after";
}

// The register-based commands (6.5.1): legacy mode, queue off.
struct RegisterWorld : LegacyWorld {
  explicit RegisterWorld(const Config &c = Config()) : LegacyWorld(c) { command(1u << 26, false); }
  // Returns CAIG or IAIG; the command bit must have gone.
  unsigned ccmd(unsigned cirg, unsigned did, unsigned source, unsigned fm) {
    put(IMS_VTD_CCMD, uint64_t(1) << 63 | uint64_t(cirg) << 61 | uint64_t(fm) << 32 | uint64_t(source) << 16 | did);
    uint64_t now = get(IMS_VTD_CCMD);
    EXPECT_FALSE(now >> 63);
    EXPECT_EQ(0u, now & 0x3ffff0000) << "SID and FM read 0";
    EXPECT_EQ(did, now & 0xffff);
    return now >> 59 & 3;
  }
  unsigned iotlb(unsigned iirg, unsigned did, uint64_t addr = 0, unsigned am = 0, bool ih = false) {
    put(IMS_VTD_IVA, addr | uint64_t(ih) << 6 | am);
    EXPECT_EQ(0u, get(IMS_VTD_IVA));
    put(IMS_VTD_IOTLB, uint64_t(1) << 63 | uint64_t(iirg) << 60 | uint64_t(did) << 32);
    uint64_t now = get(IMS_VTD_IOTLB);
    EXPECT_FALSE(now >> 63);
    return now >> 57 & 3;
  }
  uint64_t look() { return request(dma(vtd::kDevice, kVa)).output; }
};

TEST(RegisterInvalidation, ContextCommand) {
  struct Case {
    unsigned cirg, did, source, fm, caig;
    bool gone;
  };
  const Case cases[] = {
      {0, 0, 0, 0, 0, false},     {1, 0, 0, 0, 1, true},       {2, 2, 0, 0, 2, true},      {2, 3, 0, 0, 2, false},
      {3, 0, 0x0123, 0, 3, true}, {3, 0, 0x0122, 0, 3, false}, {3, 0, 0x0127, 1, 3, true}, {3, 0, 0x0125, 2, 3, true},
      {3, 0, 0x0124, 3, 3, true}, {3, 0, 0x012b, 3, 3, false},
  };
  for (const Case &k : cases) {
    SCOPED_TRACE(std::to_string(k.cirg) + " " + std::to_string(k.did) + " " + std::to_string(k.source));
    Config cfg;
    cfg.no_caches();
    cfg.context_entries = 64;
    RegisterWorld w(cfg);
    EXPECT_EQ(vtd::kPage, w.look());
    Tree fresh(w, 4, kSsAll);
    fresh.map(kVa, kNewPage, kSsAll);
    w.point(w.context, fresh.root);
    EXPECT_EQ(vtd::kPage, w.look());
    EXPECT_EQ(k.caig, w.ccmd(k.cirg, k.did, k.source, k.fm));
    EXPECT_EQ(k.gone ? kNewPage : vtd::kPage, w.look());
  }
}

TEST(RegisterInvalidation, IotlbCommand) {
  struct Case {
    unsigned iirg, did;
    uint64_t addr;
    unsigned am, iaig;
    bool gone;
  };
  const Case cases[] = {
      {0, 2, kVa, 0, 0, false},       {1, 0, 0, 0, 1, true},    {2, 2, 0, 0, 2, true},
      {2, 1, 0, 0, 2, false},         {3, 2, kVa, 0, 3, true},  {3, 2, kNextPage, 0, 3, false},
      {3, 2, kNextPage, 1, 3, true},  {3, 1, kVa, 0, 3, false}, {3, 2, kNext2M, 18, 3, true},
      {3, 2, kNextPage, 19, 2, true}, // AM beyond MAMV: done for the domain
  };
  for (const Case &k : cases) {
    SCOPED_TRACE(std::to_string(k.iirg) + " " + std::to_string(k.did) + " " + std::to_string(k.am));
    Config cfg;
    cfg.no_caches();
    cfg.iotlb_entries = 64;
    RegisterWorld w(cfg);
    EXPECT_EQ(vtd::kPage, w.look());
    w.point(w.second.at(kVa), kNewPage);
    EXPECT_EQ(vtd::kPage, w.look());
    EXPECT_EQ(k.iaig, w.iotlb(k.iirg, k.did, k.addr, k.am));
    EXPECT_EQ(k.gone ? kNewPage : vtd::kPage, w.look());
  }
}

TEST(RegisterInvalidation, PageSelectiveWithoutPsiIsDoneForTheDomain) {
  Config cfg;
  cfg.psi = 0;
  RegisterWorld w(cfg);
  w.look();
  w.point(w.second.at(kVa), kNewPage);
  EXPECT_EQ(2u, w.iotlb(3, 2, kNext2M));
  EXPECT_EQ(kNewPage, w.look());
}

TEST(RegisterInvalidation, HintKeepsThePagingStructures) {
  for (bool ih : {true, false}) {
    Config cfg;
    cfg.no_caches();
    cfg.s2_psc_entries = 64;
    RegisterWorld w(cfg);
    w.look();
    uint64_t table = w.alloc();
    w.store(table + (kVa >> 12 & 511) * 8, kNewPage | kSsAll);
    w.point(w.second.at(kVa, 2), table);
    w.iotlb(3, 2, kVa, 0, ih);
    EXPECT_EQ(ih ? vtd::kPage : kNewPage, w.look());
  }
}

TEST(RegisterInvalidation, IsNotForScalableModeNorBesideTheQueue) {
  LegacyWorld w; // the queue is on
  ims_request r = dma(vtd::kDevice, kVa);
  w.request(r);
  w.point(w.second.at(kVa), kNewPage);
  w.put(IMS_VTD_IOTLB, uint64_t(1) << 63 | uint64_t(1) << 60);
  EXPECT_EQ(0u, w.get(IMS_VTD_IOTLB) >> 57 & 3);
  EXPECT_FALSE(w.get(IMS_VTD_IOTLB) >> 63);
  EXPECT_EQ(vtd::kPage, w.request(r).output);

  ScalableWorld s;
  s.command(1u << 26, false);
  s.put(IMS_VTD_CCMD, uint64_t(1) << 63 | uint64_t(1) << 61);
  EXPECT_EQ(0u, s.get(IMS_VTD_CCMD) >> 59 & 3);
}

TEST(RegisterInvalidation, CommandsStartWhenTheHighHalfIsWritten) {
  RegisterWorld w;
  w.look();
  w.point(w.second.at(kVa), kNewPage);
  uint32_t iotlb = ims_vtd_regs[IMS_VTD_IOTLB].offset;
  w.write(iotlb, 4, 0xffffffff);
  EXPECT_EQ(vtd::kPage, w.look());
  w.write(iotlb + 4, 4, 1u << 31 | 2u << 28 | 2); // domain 2
  EXPECT_EQ(2u << 25 | 2u << 28 | 2, w.read(iotlb + 4, 4));
  EXPECT_EQ(kNewPage, w.look());
}

// Legacy mode through the queue: domain-selective context invalidation looks at the DID.
TEST(Invalidation, LegacyContextByDomain) {
  for (unsigned did : {2u, 3u}) {
    Config cfg;
    cfg.no_caches();
    cfg.context_entries = 64;
    LegacyWorld w(cfg);
    ims_request r = dma(vtd::kDevice, kVa);
    w.request(r);
    Tree fresh(w, 4, kSsAll);
    fresh.map(kVa, kNewPage, kSsAll);
    w.point(w.context, fresh.root);
    w.submit(inv::context(kDomain, did));
    EXPECT_EQ(did == 2 ? kNewPage : vtd::kPage, w.request(r).output);
  }
}

} // namespace
} // namespace vtd
