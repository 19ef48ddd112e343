// SPDX-License-Identifier: Apache-2.0
// A device before a unit that the test plays itself: what it sends, what it keeps, what it does with what comes back.
#include "iommu/device.h"

#include <functional>
#include <gtest/gtest.h>
#include <map>
#include <vector>

namespace {

// A unit that translates page by page out of a map, and writes down what it was asked.
struct FakeUnit {
  struct Page {
    uint64_t hpa;
    unsigned rights = IMS_PERM_R | IMS_PERM_W, shift = 12;
    bool untranslated_only = false;
  };
  struct Base : ims_iommu { // what the device holds
    FakeUnit *unit;
  } base = {};
  ims_mem mem;
  std::map<uint64_t, Page> pages; // by iova / 4096
  std::vector<ims_request> asked;
  std::vector<ims_page_request> page_requests;
  bool takes_page_requests = true;
  ims_completion refusal = IMS_CPL_R0;    // of translation requests for pages that are not there
  bool stalls = false;                    // untranslated requests for pages that are not there wait
  bool reads_zeros = false;               // or are completed as RAZ/WI
  uint16_t stag = 40;                     // of the next stall
  std::function<void(uint16_t)> on_stall; // software that is told before the unit returns

  FakeUnit() {
    static const ims_iommu_ops ops = [] {
      ims_iommu_ops o = {};
      o.arch = "fake";
      o.translate = translate;
      o.page_request = page_request;
      return o;
    }();
    base.ops = &ops;
    base.unit = this;
    ims_mem_init(&mem);
    EXPECT_EQ(ims_mem_add_ram(&mem, 0, 1 << 20), IMS_ERR_OK);
    base.mem = &mem;
  }
  ~FakeUnit() { ims_mem_fini(&mem); }

  static FakeUnit &of(ims_iommu *u) { return *static_cast<Base *>(u)->unit; }

  static void translate(ims_iommu *u, const ims_request *req, ims_result *res) {
    FakeUnit &f = of(u);
    f.asked.push_back(*req);
    *res = {};
    if (req->type == IMS_TRANSLATED) {
      res->status = IMS_STATUS_OK;
      res->output = req->iova;
      return;
    }
    auto page = f.pages.end();
    for (auto it = f.pages.begin(); it != f.pages.end(); ++it)
      if (it->first << 12 >> it->second.shift == req->iova >> it->second.shift)
        page = it;
    if (page == f.pages.end()) {
      res->status = IMS_STATUS_FAULT;
      res->fault = 0x71;
      res->completion = req->type == IMS_TRANSLATION_REQUEST ? f.refusal : f.reads_zeros ? IMS_CPL_ZERO : IMS_CPL_UR;
      if (f.stalls && req->type == IMS_UNTRANSLATED) {
        res->status = IMS_STATUS_STALL;
        res->stag = f.stag++;
        if (f.on_stall)
          f.on_stall(res->stag);
      }
      return;
    }
    uint64_t mask = (1ull << page->second.shift) - 1;
    res->status = IMS_STATUS_OK;
    res->output = page->second.hpa + (req->iova & mask);
    res->shift = static_cast<uint8_t>(page->second.shift);
    res->rights = static_cast<uint8_t>(page->second.rights);
    res->untranslated_only = page->second.untranslated_only && req->type == IMS_TRANSLATION_REQUEST;
  }

  static bool page_request(ims_iommu *u, const ims_page_request *r) {
    of(u).page_requests.push_back(*r);
    return of(u).takes_page_requests;
  }
};
struct Device : testing::Test {
  FakeUnit unit;
  ims_endpoint device = {};

  void start(uint32_t atc_entries, bool mute = false, uint32_t page_requests = 0) {
    ims_endpoint_config c = {};
    c.source = 0x18;
    c.atc_entries = atc_entries;
    c.page_requests = page_requests;
    c.ignores_invalidations = mute;
    ASSERT_EQ(ims_endpoint_init(&device, &unit.base, &c), IMS_ERR_OK);
  }
  void TearDown() override { ims_endpoint_fini(&device); }

  std::vector<ims_dma_piece> pieces;
  ims_dma_end end = IMS_DMA_DONE;
  uint64_t done = 0;

  int send(uint64_t iova, uint64_t len, unsigned access, bool ats = false, int pasid = -1, void *data = nullptr) {
    ims_dma d = {};
    d.iova = iova;
    d.len = len;
    d.access = static_cast<uint8_t>(access);
    d.ats = ats;
    d.has_pasid = pasid >= 0;
    d.pasid = pasid >= 0 ? static_cast<uint32_t>(pasid) : 0;
    d.data = data;
    pieces.clear();
    return ims_endpoint_dma(
        &device, &d, [](void *p, const ims_dma_piece *piece) { static_cast<Device *>(p)->pieces.push_back(*piece); },
        this, &end, &done);
  }

  int resume(unsigned stag, ims_resume_action action) {
    ims_resume r = {0x18, static_cast<uint16_t>(stag), static_cast<uint8_t>(action)};
    pieces.clear();
    return ims_endpoint_resume(
        &device, &r, [](void *p, const ims_dma_piece *piece) { static_cast<Device *>(p)->pieces.push_back(*piece); },
        this, &end, &done);
  }
  std::string memory(uint64_t hpa, size_t len) {
    std::string s(len, '?');
    EXPECT_EQ(ims_mem_read(&unit.mem, hpa, &s[0], len), IMS_ERR_OK);
    return s;
  }

  ims_ats_invalidation invalidation(uint64_t first, uint64_t last, int pasid = -1) {
    ims_ats_invalidation inv = {};
    inv.source = 0x18;
    inv.addr = first;
    inv.last = last;
    inv.has_pasid = pasid >= 0;
    inv.pasid = pasid >= 0 ? static_cast<uint32_t>(pasid) : 0;
    return inv;
  }
};

TEST_F(Device, CutsADmaAtEveryBorderOf4KB) {
  start(0);
  unit.pages = {{1, {0x10000}}, {2, {0x20000}}, {3, {0x30000}}};
  ASSERT_EQ(send(0x1ffc, 0x1008, IMS_ACC_R), IMS_ERR_OK);
  ASSERT_EQ(pieces.size(), 3u);
  EXPECT_EQ(pieces[0].hpa, 0x10ffcu);
  EXPECT_EQ(pieces[0].len, 4u);
  EXPECT_EQ(pieces[1].hpa, 0x20000u);
  EXPECT_EQ(pieces[1].len, 0x1000u);
  EXPECT_EQ(pieces[2].hpa, 0x30000u);
  EXPECT_EQ(pieces[2].len, 4u);
  EXPECT_EQ(done, 0x1008u);
  EXPECT_EQ(device.count.pieces, 3u);
  EXPECT_EQ(device.count.bytes, 0x1008u);
}

TEST_F(Device, SaysWhoItIsInEveryRequest) {
  start(0);
  unit.pages = {{1, {0x10000}}};
  send(0x1000, 4, IMS_ACC_W | IMS_ACC_PRIV, false, 77);
  ASSERT_EQ(unit.asked.size(), 1u);
  EXPECT_EQ(unit.asked[0].source, 0x18u);
  EXPECT_EQ(unit.asked[0].pasid, 77u);
  EXPECT_TRUE(unit.asked[0].has_pasid);
  EXPECT_EQ(unit.asked[0].access, IMS_ACC_W | IMS_ACC_PRIV);
  EXPECT_EQ(unit.asked[0].type, IMS_UNTRANSLATED);
}

TEST_F(Device, StopsAtTheFirstPieceThatIsRefused) {
  start(0);
  unit.pages = {{1, {0x10000}}, {3, {0x30000}}};
  EXPECT_EQ(send(0x1800, 0x2800, IMS_ACC_W), IMS_ERR_OK);
  EXPECT_EQ(end, IMS_DMA_REFUSED);
  EXPECT_EQ(done, 0x800u);
  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_EQ(pieces[1].asked.fault, 0x71);
  EXPECT_EQ(device.count.refused, 1u);
}

TEST_F(Device, MovesDataBothWays) {
  start(0);
  unit.pages = {{1, {0x10000}}, {2, {0x30000}}};
  char out[] = "across a border", in[sizeof out] = {};
  EXPECT_EQ(send(0x1ffa, sizeof out, IMS_ACC_W, false, -1, out), IMS_ERR_OK);
  EXPECT_EQ(send(0x1ffa, sizeof in, IMS_ACC_R, false, -1, in), IMS_ERR_OK);
  EXPECT_STREQ(in, out);
  char there[10] = {};
  ASSERT_EQ(ims_mem_read(&unit.mem, 0x30000, there, 9), IMS_ERR_OK);
  EXPECT_STREQ(there, " a border");
}

TEST_F(Device, AnAtomicReturnsWhatWasThereBefore) {
  start(0);
  unit.pages = {{1, {0x10000}}};
  ASSERT_EQ(ims_mem_store64(&unit.mem, 0x10000, 41), IMS_ERR_OK);
  uint64_t word = 42, now;
  send(0x1000, 8, IMS_ACC_R | IMS_ACC_W, false, -1, &word);
  EXPECT_EQ(word, 41u);
  ASSERT_EQ(ims_mem_load64(&unit.mem, 0x10000, &now), IMS_ERR_OK);
  EXPECT_EQ(now, 42u);
}

TEST_F(Device, MeetsAbsentMemoryOnlyWithDataToMove) {
  start(0);
  unit.pages = {{1, {0x4000000}}};
  uint32_t word = 0;
  send(0x1000, 4, IMS_ACC_R, false, -1, &word);
  EXPECT_EQ(end, IMS_DMA_NO_MEMORY);
  EXPECT_EQ(device.count.no_memory, 1u);
  send(0x1000, 4, IMS_ACC_R);
  EXPECT_EQ(end, IMS_DMA_DONE);
}

TEST_F(Device, RefusesSenselessDmas) {
  start(0);
  EXPECT_EQ(send(0x1000, 0, IMS_ACC_R), IMS_ERR_INVAL);
  EXPECT_EQ(send(0x1000, 4, 0), IMS_ERR_INVAL);
  EXPECT_EQ(send(~0ull, 2, IMS_ACC_R), IMS_ERR_RANGE);
  EXPECT_TRUE(unit.asked.empty());
  unit.pages = {{~0ull >> 12, {0x1000}}};
  EXPECT_EQ(send(~0ull, 1, IMS_ACC_R), IMS_ERR_OK); // the last byte there is
}

// ---- Device TLB -----------------------------------------------------------------------------------------------------

TEST_F(Device, AsksOnceAndThenSendsTranslatedRequests) {
  start(16);
  unit.pages = {{1, {0x10000}}};
  send(0x1010, 4, IMS_ACC_W, true, 5);
  EXPECT_EQ(pieces[0].path, IMS_DMA_ATC_MISS);
  send(0x1020, 4, IMS_ACC_W, true, 5);
  EXPECT_EQ(pieces[0].path, IMS_DMA_ATC_HIT);
  EXPECT_EQ(pieces[0].hpa, 0x10020u);
  ASSERT_EQ(unit.asked.size(), 3u);
  EXPECT_EQ(unit.asked[0].type, IMS_TRANSLATION_REQUEST);
  EXPECT_EQ(unit.asked[1].type, IMS_TRANSLATED);
  EXPECT_EQ(unit.asked[1].iova, 0x10010u);
  EXPECT_EQ(unit.asked[2].type, IMS_TRANSLATED);
  EXPECT_EQ(device.count.atc_hits + device.count.atc_misses, 2u);
}

TEST_F(Device, KeepsALargePageAsOneEntry) {
  start(16);
  unit.pages = {{0x200, {0x0, IMS_PERM_R | IMS_PERM_W, 21}}};
  send(0x201000, 4, IMS_ACC_R, true);
  send(0x3ff000, 4, IMS_ACC_R, true);
  EXPECT_EQ(pieces[0].path, IMS_DMA_ATC_HIT);
  EXPECT_EQ(pieces[0].hpa, 0x1ff000u);
}

TEST_F(Device, TellsByReadsThatItWillNotWrite) {
  start(16);
  unit.pages = {{1, {0x10000}}};
  send(0x1000, 4, IMS_ACC_R, true);
  EXPECT_TRUE(unit.asked[0].no_write);
  send(0x1000, 4, IMS_ACC_W, true, 3);
  EXPECT_FALSE(unit.asked[2].no_write);
}

TEST_F(Device, AsksAgainForARightThatTheEntryLacks) {
  start(16);
  unit.pages = {{1, {0x10000, IMS_PERM_R}}};
  send(0x1000, 4, IMS_ACC_R, true);
  send(0x1000, 4, IMS_ACC_W, true);
  EXPECT_EQ(end, IMS_DMA_NO_RIGHTS);
  EXPECT_EQ(device.count.no_rights, 1u);
  unit.pages[1].rights |= IMS_PERM_W;
  send(0x1000, 4, IMS_ACC_W, true);
  EXPECT_EQ(end, IMS_DMA_DONE);
}

TEST_F(Device, TellsAnAnswerWithoutRightsFromARefusal) {
  start(16);
  send(0x5000, 4, IMS_ACC_R, true);
  EXPECT_EQ(end, IMS_DMA_NO_RIGHTS);
  unit.refusal = IMS_CPL_UR;
  send(0x5000, 4, IMS_ACC_R, true);
  EXPECT_EQ(end, IMS_DMA_REFUSED);
}

TEST_F(Device, SendsUntranslatedWhereTheAnswerSaysSo) {
  start(16);
  unit.pages = {{1, {0x10000, IMS_PERM_W, 12, true}}};
  send(0x1000, 4, IMS_ACC_W, true);
  EXPECT_EQ(end, IMS_DMA_DONE);
  ASSERT_EQ(unit.asked.size(), 2u);
  EXPECT_EQ(unit.asked[1].type, IMS_UNTRANSLATED);
  EXPECT_EQ(device.count.atc_fills, 0u);
}

TEST_F(Device, KeepsPasidsAndPrivilegesApart) {
  start(16);
  unit.pages = {{1, {0x10000}}};
  for (unsigned access : {unsigned(IMS_ACC_R), unsigned(IMS_ACC_R | IMS_ACC_PRIV)})
    for (int pasid : {-1, 0, 5}) {
      if (pasid < 0 && (access & IMS_ACC_PRIV))
        continue;
      send(0x1000, 4, access, true, pasid);
      EXPECT_EQ(pieces[0].path, IMS_DMA_ATC_MISS) << pasid << " " << access;
      send(0x1000, 4, access, true, pasid);
      EXPECT_EQ(pieces[0].path, IMS_DMA_ATC_HIT) << pasid << " " << access;
    }
}

TEST_F(Device, InvalidationsTakeWhatTheyNameAndNothingElse) {
  start(16);
  unit.pages = {{1, {0x10000}}, {2, {0x20000}}};
  auto hit = [&](uint64_t iova, int pasid, unsigned access = IMS_ACC_R) {
    send(iova, 4, access, true, pasid);
    return pieces[0].path == IMS_DMA_ATC_HIT;
  };
  auto fill = [&] {
    for (int pasid : {-1, 5, 6})
      for (uint64_t iova : {0x1000, 0x2000})
        hit(iova, pasid);
    hit(0x1000, 5, IMS_ACC_R | IMS_ACC_PRIV);
  };

  fill();
  ims_ats_invalidation inv = invalidation(0x1000, 0x1fff, 5);
  EXPECT_TRUE(ims_endpoint_invalidate(&device, &inv));
  EXPECT_TRUE(hit(0x2000, 5));
  EXPECT_TRUE(hit(0x1000, 6));
  EXPECT_TRUE(hit(0x1000, -1));
  EXPECT_FALSE(hit(0x1000, 5));
  EXPECT_FALSE(hit(0x1000, 5, IMS_ACC_R | IMS_ACC_PRIV)); // either privilege

  fill();
  inv = invalidation(0, ~0ull);
  EXPECT_TRUE(ims_endpoint_invalidate(&device, &inv));
  EXPECT_FALSE(hit(0x1000, -1));
  EXPECT_TRUE(hit(0x1000, 5)); // those with a PASID are named by theirs

  fill();
  inv = invalidation(0, ~0ull, 0);
  inv.all_pasids = true;
  EXPECT_TRUE(ims_endpoint_invalidate(&device, &inv));
  EXPECT_FALSE(hit(0x1000, 5));
  EXPECT_FALSE(hit(0x2000, 6));
  EXPECT_TRUE(hit(0x1000, -1));
  EXPECT_EQ(device.count.invalidations, 3u);
}

TEST_F(Device, APageOfALargeEntryTakesTheWholeEntry) {
  start(16);
  unit.pages = {{0x200, {0x0, IMS_PERM_R, 21}}};
  send(0x200000, 4, IMS_ACC_R, true);
  ims_ats_invalidation inv = invalidation(0x234000, 0x234fff);
  ims_endpoint_invalidate(&device, &inv);
  EXPECT_EQ(device.count.invalidated, 1u);
  send(0x3ff000, 4, IMS_ACC_R, true);
  EXPECT_EQ(pieces[0].path, IMS_DMA_ATC_MISS);
}

TEST_F(Device, AMuteOneNeitherObeysNorAnswers) {
  start(16, true);
  unit.pages = {{1, {0x10000}}};
  send(0x1000, 4, IMS_ACC_R, true);
  ims_ats_invalidation inv = invalidation(0, ~0ull);
  EXPECT_FALSE(ims_endpoint_invalidate(&device, &inv));
  send(0x1000, 4, IMS_ACC_R, true);
  EXPECT_EQ(pieces[0].path, IMS_DMA_ATC_HIT);
}

TEST_F(Device, WithoutATlbItAsksEachTime) {
  start(0);
  unit.pages = {{1, {0x10000}}};
  for (int i = 0; i < 3; i++)
    send(0x1000, 4, IMS_ACC_R, true);
  EXPECT_EQ(device.count.translation_requests, 3u);
  EXPECT_EQ(device.count.atc_misses, 3u);
  EXPECT_EQ(device.count.atc_fills, 0u);
}

// ---- Page requests --------------------------------------------------------------------------------------------------

ims_endpoint_page_request want(uint64_t addr, bool last = true, int pasid = 5) {
  ims_endpoint_page_request r = {};
  r.addr = addr;
  r.has_pasid = pasid >= 0;
  r.pasid = pasid >= 0 ? static_cast<uint32_t>(pasid) : 0;
  r.write = true;
  r.last = last;
  return r;
}

ims_page_response answer(uint16_t group, unsigned code = 0, int pasid = 5) {
  ims_page_response r = {};
  r.source = 0x18;
  r.has_pasid = pasid >= 0;
  r.pasid = pasid >= 0 ? static_cast<uint32_t>(pasid) : 0;
  r.group = group;
  r.code = static_cast<uint8_t>(code);
  return r;
}

TEST_F(Device, APageRequestNamesThePageAndAGroupOfItsOwn) {
  start(0);
  uint16_t a = 0xffff, b = 0xffff;
  auto r = want(0x1234);
  ASSERT_EQ(ims_endpoint_request_page(&device, &r, &a), IMS_ERR_OK);
  ASSERT_EQ(ims_endpoint_request_page(&device, &r, &b), IMS_ERR_OK);
  EXPECT_NE(a, b);
  ASSERT_EQ(unit.page_requests.size(), 2u);
  EXPECT_EQ(unit.page_requests[0].addr, 0x1000u);
  EXPECT_EQ(unit.page_requests[0].source, 0x18u);
  EXPECT_TRUE(unit.page_requests[0].write);
  EXPECT_FALSE(unit.page_requests[0].read);
  EXPECT_TRUE(unit.page_requests[0].last);
  EXPECT_EQ(device.outstanding, 2u);
}

TEST_F(Device, AGroupTakesMoreUntilItsLastRequest) {
  start(0);
  uint16_t group = 0xffff;
  auto first = want(0x1000, false), second = want(0x2000), late = want(0x3000);
  ASSERT_EQ(ims_endpoint_request_page(&device, &first, &group), IMS_ERR_OK);
  auto early = answer(group);
  EXPECT_FALSE(ims_endpoint_response(&device, &early)); // it has not been asked to the end
  auto other = want(0x2000, true, 6);
  EXPECT_EQ(ims_endpoint_request_page(&device, &other, &group), IMS_ERR_NOENT); // not this PASID's group
  ASSERT_EQ(ims_endpoint_request_page(&device, &second, &group), IMS_ERR_OK);
  EXPECT_EQ(ims_endpoint_request_page(&device, &late, &group), IMS_ERR_NOENT);
  EXPECT_EQ(device.outstanding_requests, 2u);
  EXPECT_TRUE(ims_endpoint_response(&device, &early));
  EXPECT_EQ(device.outstanding_requests, 0u);
  EXPECT_EQ(device.outstanding, 0u);
}

TEST_F(Device, CountsAnswersItDidNotAskFor) {
  start(0);
  uint16_t group = 0xffff;
  auto r = want(0x1000);
  ASSERT_EQ(ims_endpoint_request_page(&device, &r, &group), IMS_ERR_OK);
  auto wrong_pasid = answer(group, 0, 6), right = answer(group, 1);
  EXPECT_FALSE(ims_endpoint_response(&device, &wrong_pasid));
  EXPECT_TRUE(ims_endpoint_response(&device, &right));
  EXPECT_FALSE(ims_endpoint_response(&device, &right)); // only once
  EXPECT_EQ(device.count.unexpected_responses, 2u);
  EXPECT_EQ(device.count.response_codes[1], 1u);
}

TEST_F(Device, HasOnlySoManyRequestsOutstanding) {
  start(0, false, 2);
  uint16_t groups[3] = {0xffff, 0xffff, 0xffff};
  auto r = want(0x1000);
  EXPECT_EQ(ims_endpoint_request_page(&device, &r, &groups[0]), IMS_ERR_OK);
  EXPECT_EQ(ims_endpoint_request_page(&device, &r, &groups[1]), IMS_ERR_OK);
  EXPECT_EQ(ims_endpoint_request_page(&device, &r, &groups[2]), IMS_ERR_NOSPACE);
  auto first = answer(groups[0]);
  EXPECT_TRUE(ims_endpoint_response(&device, &first));
  EXPECT_EQ(ims_endpoint_request_page(&device, &r, &groups[2]), IMS_ERR_OK);
}

TEST_F(Device, UsesEveryGroupNumberBeforeOneComesAgain) {
  start(0, false, 10000);
  auto r = want(0x1000);
  std::vector<bool> seen(512);
  for (unsigned i = 0; i < 512; i++) {
    uint16_t group = 0xffff;
    ASSERT_EQ(ims_endpoint_request_page(&device, &r, &group), IMS_ERR_OK);
    ASSERT_LT(group, 512);
    EXPECT_FALSE(seen[group]);
    seen[group] = true;
  }
  uint16_t group = 0xffff;
  EXPECT_EQ(ims_endpoint_request_page(&device, &r, &group), IMS_ERR_NOSPACE);
  auto free = answer(300);
  EXPECT_TRUE(ims_endpoint_response(&device, &free));
  EXPECT_EQ(ims_endpoint_request_page(&device, &r, &group), IMS_ERR_OK);
  EXPECT_EQ(group, 300);
}

TEST_F(Device, AResponseFailureEndsPageRequests) {
  start(0);
  uint16_t group = 0xffff;
  auto r = want(0x1000);
  ASSERT_EQ(ims_endpoint_request_page(&device, &r, &group), IMS_ERR_OK);
  auto failure = answer(group, 15);
  EXPECT_TRUE(ims_endpoint_response(&device, &failure));
  group = 0xffff;
  EXPECT_EQ(ims_endpoint_request_page(&device, &r, &group), IMS_ERR_PERM);
  ims_endpoint_enable_page_requests(&device);
  EXPECT_EQ(ims_endpoint_request_page(&device, &r, &group), IMS_ERR_OK);
}

TEST_F(Device, AResponseFailureMayComeWithoutThePasid) {
  start(0);
  uint16_t group = 0xffff;
  auto r = want(0x1000);
  ASSERT_EQ(ims_endpoint_request_page(&device, &r, &group), IMS_ERR_OK);
  auto success = answer(group, 0), failure = answer(group, 15);
  success.has_pasid = failure.has_pasid = false;
  EXPECT_FALSE(ims_endpoint_response(&device, &success));
  EXPECT_TRUE(ims_endpoint_response(&device, &failure));
  EXPECT_EQ(device.outstanding, 0u);
  EXPECT_TRUE(device.page_requests_off);
}

TEST_F(Device, ARefusedRequestIsCountedAndMayBeAnsweredStill) {
  start(0);
  unit.takes_page_requests = false;
  uint16_t group = 0xffff;
  auto r = want(0x1000);
  EXPECT_EQ(ims_endpoint_request_page(&device, &r, &group), IMS_ERR_IO);
  EXPECT_EQ(device.count.page_requests_refused, 1u);
  auto late = answer(group);
  EXPECT_TRUE(ims_endpoint_response(&device, &late));
}

// Stalls: the unit holds a request, and a resumption names it.

TEST_F(Device, AStalledDmaEndsAtThePieceThatIsHeld) {
  start(0);
  unit.stalls = true;
  unit.pages = {{1, {0x10000}}};
  std::string data = "ab";
  ASSERT_EQ(send(0x1fff, 2, IMS_ACC_W, false, -1, &data[0]), IMS_ERR_OK);
  EXPECT_EQ(end, IMS_DMA_STALLED);
  EXPECT_EQ(done, 1u);
  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_EQ(pieces[0].end, IMS_DMA_DONE);
  EXPECT_EQ(pieces[1].end, IMS_DMA_STALLED);
  EXPECT_EQ(pieces[1].asked.stag, 40u);
  EXPECT_EQ(device.count.stalls, 1u);
  EXPECT_EQ(device.count.pieces, 1u) << "the other one has not ended";
  EXPECT_EQ(device.count.refused, 0u);
  EXPECT_STREQ(ims_dma_end_name(IMS_DMA_STALLED), "stalled");
}

TEST_F(Device, ARetriedDmaGoesOnFromThePieceThatWasHeld) {
  start(0);
  unit.stalls = true;
  unit.pages = {{1, {0x10000}}, {3, {0x30000}}};
  std::string data(0x2001, 'x');
  data[0] = 'a', data[0x1000] = 'b', data[0x2000] = 'c';
  ASSERT_EQ(send(0x1000, 0x2001, IMS_ACC_W, false, -1, &data[0]), IMS_ERR_OK);
  ASSERT_EQ(end, IMS_DMA_STALLED);
  ASSERT_EQ(done, 0x1000u);
  unit.pages[2] = {0x20000};
  unit.asked.clear();
  ASSERT_EQ(resume(40, IMS_RESUME_RETRY), IMS_ERR_OK);
  EXPECT_EQ(end, IMS_DMA_DONE);
  EXPECT_EQ(done, 0x2001u);
  ASSERT_EQ(unit.asked.size(), 2u) << "what arrived before is not sent again";
  EXPECT_EQ(unit.asked[0].iova, 0x2000u);
  EXPECT_EQ(unit.asked[0].access, IMS_ACC_W);
  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_EQ(pieces[0].iova, 0x2000u);
  EXPECT_EQ(memory(0x10000, 1) + memory(0x20000, 1) + memory(0x30000, 1), "abc");
  EXPECT_EQ(device.count.stalls, 1u);
  EXPECT_EQ(device.count.resumes, 1u);
  EXPECT_EQ(device.count.pieces, 3u);
  EXPECT_EQ(device.count.dmas, 1u);
  EXPECT_EQ(device.count.bytes, 0x2001u);
  EXPECT_EQ(resume(40, IMS_RESUME_RETRY), IMS_ERR_NOENT) << "it waits no longer";
}

TEST_F(Device, ARetryMayStallAgainUnderAnotherTag) {
  start(0);
  unit.stalls = true;
  char data[4] = {1, 2, 3, 4};
  send(0x5000, 4, IMS_ACC_W, false, -1, data);
  ASSERT_EQ(resume(40, IMS_RESUME_RETRY), IMS_ERR_OK);
  EXPECT_EQ(end, IMS_DMA_STALLED);
  EXPECT_EQ(done, 0u);
  EXPECT_EQ(resume(40, IMS_RESUME_RETRY), IMS_ERR_NOENT);
  unit.pages = {{5, {0x50000}}};
  ASSERT_EQ(resume(41, IMS_RESUME_RETRY), IMS_ERR_OK);
  EXPECT_EQ(end, IMS_DMA_DONE);
  EXPECT_EQ(memory(0x50000, 4), std::string("\1\2\3\4"));
  EXPECT_EQ(device.count.stalls, 2u);
  EXPECT_EQ(device.count.resumes, 2u);
}

TEST_F(Device, AnAbortedStallEndsTheDmaAsRefused) {
  start(0);
  unit.stalls = true;
  unit.pages = {{6, {0x60000}}};
  char data[0x1004] = {1};
  send(0x5000, sizeof data, IMS_ACC_W, false, -1, data);
  unit.asked.clear();
  ASSERT_EQ(resume(40, IMS_RESUME_ABORT), IMS_ERR_OK);
  EXPECT_EQ(end, IMS_DMA_REFUSED);
  EXPECT_EQ(done, 0u);
  EXPECT_TRUE(unit.asked.empty()) << "neither again nor further";
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_EQ(pieces[0].end, IMS_DMA_REFUSED);
  EXPECT_EQ(device.count.refused, 1u);
}

TEST_F(Device, AReadThatIsTerminatedWithoutErrorGivesZerosAndGoesOn) {
  start(0);
  unit.stalls = true;
  unit.pages = {{6, {0x60000}}};
  ASSERT_EQ(ims_mem_fill(&unit.mem, 0x60000, 'm', 4), IMS_ERR_OK);
  std::string data(8, '?');
  send(0x5ffc, 8, IMS_ACC_R, false, -1, &data[0]);
  EXPECT_EQ(data, "????????");
  ASSERT_EQ(resume(40, IMS_RESUME_ZERO), IMS_ERR_OK);
  EXPECT_EQ(end, IMS_DMA_DONE);
  EXPECT_EQ(done, 8u);
  EXPECT_EQ(data, std::string(4, '\0') + "mmmm");
  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_TRUE(pieces[0].zero);
  EXPECT_EQ(pieces[0].end, IMS_DMA_DONE);
  EXPECT_FALSE(pieces[1].zero);
}

TEST_F(Device, AWriteThatIsTerminatedWithoutErrorVanishes) {
  start(0);
  unit.stalls = true;
  uint64_t before = ims_mem_hash(&unit.mem);
  char data[4] = {1, 2, 3, 4};
  send(0, 4, IMS_ACC_W, false, -1, data);
  ASSERT_EQ(resume(40, IMS_RESUME_ZERO), IMS_ERR_OK);
  EXPECT_EQ(end, IMS_DMA_DONE);
  EXPECT_EQ(done, 4u);
  EXPECT_EQ(ims_mem_hash(&unit.mem), before);
}

TEST_F(Device, RefusalWithoutErrorReadsZerosAndWritesNothing) {
  start(0);
  unit.reads_zeros = true;
  unit.pages = {{6, {0x60000}}};
  ASSERT_EQ(ims_mem_fill(&unit.mem, 0, 'm', 16), IMS_ERR_OK); // where an output of 0 would lead
  std::string data(8, '?');
  ASSERT_EQ(send(0x5ffc, 8, IMS_ACC_R, false, -1, &data[0]), IMS_ERR_OK);
  EXPECT_EQ(end, IMS_DMA_DONE);
  EXPECT_EQ(data, std::string(8, '\0'));
  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_TRUE(pieces[0].zero);
  EXPECT_FALSE(pieces[1].zero);
  data = "write it";
  ASSERT_EQ(send(0x5ffc, 8, IMS_ACC_W, false, -1, &data[0]), IMS_ERR_OK);
  EXPECT_EQ(end, IMS_DMA_DONE);
  EXPECT_EQ(memory(0, 4), "mmmm");
  EXPECT_EQ(memory(0x60000, 4), "e it");
  EXPECT_EQ(device.count.refused, 0u);
}

TEST_F(Device, WhatAStalledWriteSendsWasCopied) {
  start(0);
  unit.stalls = true;
  std::string data = "held";
  send(0x5000, 4, IMS_ACC_W, false, -1, &data[0]);
  data = "else";
  unit.pages = {{5, {0x50000}}};
  ASSERT_EQ(resume(40, IMS_RESUME_RETRY), IMS_ERR_OK);
  EXPECT_EQ(memory(0x50000, 4), "held");
  EXPECT_EQ(data, "else");
}

TEST_F(Device, AStalledAtomicWritesItsCopyAndReadsIntoTheBuffer) {
  start(0);
  unit.stalls = true;
  std::string data = "new!";
  send(0x5000, 4, IMS_ACC_R | IMS_ACC_W, false, -1, &data[0]);
  unit.pages = {{5, {0x50000}}};
  ASSERT_EQ(ims_mem_write(&unit.mem, 0x50000, "old!", 4), IMS_ERR_OK);
  ASSERT_EQ(resume(40, IMS_RESUME_RETRY), IMS_ERR_OK);
  EXPECT_EQ(memory(0x50000, 4), "new!");
  EXPECT_EQ(data, "old!");
}

TEST_F(Device, StallsOfSeveralDmasEndInAnyOrder) {
  start(0);
  unit.stalls = true;
  char data[3] = {'a', 'b', 'c'};
  for (unsigned i = 0; i < 3; i++)
    send(0x5000 + i * 0x1000, 1, IMS_ACC_W, false, -1, &data[i]);
  unit.pages = {{5, {0x50000}}, {6, {0x60000}}, {7, {0x70000}}};
  EXPECT_EQ(resume(42, IMS_RESUME_RETRY), IMS_ERR_OK);
  EXPECT_EQ(memory(0x50000, 1) + memory(0x60000, 1) + memory(0x70000, 1), std::string("\0\0c", 3));
  EXPECT_EQ(resume(40, IMS_RESUME_ABORT), IMS_ERR_OK);
  EXPECT_EQ(resume(41, IMS_RESUME_RETRY), IMS_ERR_OK);
  EXPECT_EQ(memory(0x50000, 1) + memory(0x60000, 1) + memory(0x70000, 1), std::string("\0bc", 3));
  EXPECT_EQ(resume(43, IMS_RESUME_RETRY), IMS_ERR_NOENT);
  EXPECT_EQ(resume(39, IMS_RESUME_RETRY), IMS_ERR_NOENT);
}

// Software may be called while the unit still answers the request that stalls, and answer itself.
TEST_F(Device, AStallThatIsResumedBeforeTheUnitReturnsIsNeverSeen) {
  start(0);
  unit.stalls = true;
  unit.on_stall = [this](uint16_t stag) {
    unit.pages[5] = {0x50000};
    ims_resume r = {0x18, stag, IMS_RESUME_RETRY};
    ims_dma_end told = IMS_DMA_DONE;
    EXPECT_EQ(ims_endpoint_resume(&device, &r, nullptr, nullptr, &told, nullptr), IMS_ERR_OK);
    EXPECT_EQ(told, IMS_DMA_STALLED);
  };
  std::string data = "fast";
  ASSERT_EQ(send(0x5000, 4, IMS_ACC_W, false, -1, &data[0]), IMS_ERR_OK);
  EXPECT_EQ(end, IMS_DMA_DONE);
  EXPECT_EQ(memory(0x50000, 4), "fast");
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_EQ(device.count.stalls, 1u);
  EXPECT_EQ(device.count.resumes, 1u);
  unit.on_stall = nullptr;
  EXPECT_EQ(resume(40, IMS_RESUME_RETRY), IMS_ERR_NOENT);
}

TEST_F(Device, AStallThatIsTerminatedBeforeTheUnitReturnsEndsSo) {
  start(0);
  unit.stalls = true;
  ims_resume_action action = IMS_RESUME_ABORT;
  unit.on_stall = [&](uint16_t stag) {
    ims_resume wrong = {0x18, static_cast<uint16_t>(stag + 7), IMS_RESUME_RETRY};
    ims_resume r = {0x18, stag, static_cast<uint8_t>(action)};
    ims_endpoint_resume(&device, &wrong, nullptr, nullptr, nullptr, nullptr);
    ims_endpoint_resume(&device, &r, nullptr, nullptr, nullptr, nullptr);
  };
  std::string data = "data";
  ASSERT_EQ(send(0x5000, 4, IMS_ACC_R, false, -1, &data[0]), IMS_ERR_OK);
  EXPECT_EQ(end, IMS_DMA_REFUSED);
  EXPECT_EQ(data, "data");
  action = IMS_RESUME_ZERO;
  ASSERT_EQ(send(0x5000, 4, IMS_ACC_R, false, -1, &data[0]), IMS_ERR_OK);
  EXPECT_EQ(end, IMS_DMA_DONE);
  EXPECT_EQ(data, std::string(4, '\0'));
  unit.on_stall = nullptr;
  EXPECT_EQ(resume(47, IMS_RESUME_RETRY), IMS_ERR_NOENT) << "a resumption that matched nothing is not kept";
}

TEST_F(Device, GoesAwayWithDmasWaiting) {
  start(0);
  unit.stalls = true;
  char data[4] = {};
  send(0x5000, 4, IMS_ACC_W, false, -1, data);
  send(0x6000, 4, IMS_ACC_R, false, -1, data);
  EXPECT_EQ(end, IMS_DMA_STALLED); // TearDown releases them
}

} // namespace
