// SPDX-License-Identifier: Apache-2.0
// Page requests: into the queue, back as a response, and what goes wrong between. VT-d rev 4.1, 7.4 to 7.11.
#include "tests/iommu/vtd/world.h"

#include <gtest/gtest.h>

namespace vtd {
namespace {

constexpr unsigned kPpr = 1, kPro = 2;

ims_page_request want(uint32_t pasid, uint64_t addr = kVa, bool write = false, bool last = true, unsigned group = 7) {
  ims_page_request r = {};
  r.source = kDevice;
  r.pasid = pasid;
  r.has_pasid = true;
  r.addr = addr;
  r.read = true;
  r.write = write;
  r.last = last;
  r.group = static_cast<uint16_t>(group);
  return r;
}

// A page request queue of one page: 128 entries, one of which stays free.
struct PrqWorld : ScalableWorld {
  explicit PrqWorld(const Config &c = Config()) : ScalableWorld(c), prq(alloc()) {
    put(IMS_VTD_PQA, prq);
    put(IMS_VTD_PEDATA, 0x51);
    put(IMS_VTD_PEADDR, 0xfee02000);
    EXPECT_EQ(0x80000000, get(IMS_VTD_PECTL)) << "masked at reset";
    put(IMS_VTD_PECTL, 0);
  }
  std::vector<uint64_t> entry(unsigned i) {
    return {load(prq + i * 32), load(prq + i * 32 + 8), load(prq + i * 32 + 16), load(prq + i * 32 + 24)};
  }
  unsigned prs() { return static_cast<unsigned>(get(IMS_VTD_PRS)); }
  uint64_t prq;
};

TEST(PageRequest, Layout) {
  PrqWorld w;
  ims_page_request r = want(0x00fed, 0x123456789abc, true, true, 0x1a5);
  r.priv = r.exec = true;
  r.private_data[0] = 1; // rev 4 has none
  ASSERT_TRUE(w.page_request(r));
  EXPECT_EQ((std::vector<uint64_t>{1 | 1 << 8 | uint64_t(kDevice) << 16 | uint64_t(0xfed) << 32 | uint64_t(1) << 52 |
                                       uint64_t(1) << 53,
                                   1 | 2 | 4 | 0x1a5 << 3 | 0x123456789000, 0, 0}),
            w.entry(0));
  EXPECT_EQ(32u, w.get(IMS_VTD_PQT));
  EXPECT_EQ(0u, w.get(IMS_VTD_PQH));
  EXPECT_EQ(kPpr, w.prs());
  EXPECT_EQ((std::vector<Message>{{0xfee02000, 0x51}}), w.messages);
  EXPECT_TRUE(w.responses.empty());

  r = want(0, kVa, false, false, 1); // without PASID
  r.has_pasid = false;
  ASSERT_TRUE(w.page_request(r));
  EXPECT_EQ((std::vector<uint64_t>{1 | uint64_t(kDevice) << 16, 1 | 1 << 3 | kVa, 0, 0}), w.entry(1));
  EXPECT_EQ(1u, w.messages.size()) << "PPR was set already";
  EXPECT_TRUE(w.faults().empty());
}

TEST(PageRequest, PrivateDataOfRev3) {
  Config c;
  c.revision = 3;
  PrqWorld w(c);
  ims_page_request r = want(1);
  r.private_data[0] = 0x1111, r.private_data[1] = 0x2222;
  ASSERT_TRUE(w.page_request(r));
  EXPECT_TRUE(w.entry(0)[0] >> 9 & 1);
  EXPECT_EQ(0x1111u, w.entry(0)[2]);
  EXPECT_EQ(0x2222u, w.entry(0)[3]);
}

TEST(PageRequest, WrapsAndOverflows) {
  PrqWorld w;
  for (unsigned i = 0; i < 127; i++)
    ASSERT_TRUE(w.page_request(want(1, uint64_t(i) << 12, false, false, i)));
  EXPECT_EQ(127u * 32, w.get(IMS_VTD_PQT));
  EXPECT_EQ(kPpr, w.prs());
  // Full: one slot is free. A request that is not the last of its group vanishes.
  EXPECT_FALSE(w.page_request(want(1, kVa, false, false)));
  EXPECT_EQ(kPpr | kPro, w.prs());
  EXPECT_TRUE(w.responses.empty());
  EXPECT_EQ(1u, w.messages.size()) << "PPR was set: no new event";
  // The last one is answered with success, so that the device repeats.
  EXPECT_FALSE(w.page_request(want(1, kVa, false, true, 9)));
  ASSERT_EQ(1u, w.responses.size());
  EXPECT_EQ(0u, w.responses[0].code);
  EXPECT_EQ(9u, w.responses[0].group);
  EXPECT_EQ(unsigned(kDevice), w.responses[0].source);
  EXPECT_TRUE(w.responses[0].has_pasid);
  EXPECT_EQ(1u, w.responses[0].pasid);
  // Room alone does not help while PRO=1.
  w.put(IMS_VTD_PQH, w.get(IMS_VTD_PQT));
  EXPECT_FALSE(w.page_request(want(1)));
  w.put(IMS_VTD_PRS, kPpr);
  EXPECT_EQ(kPro, w.prs());
  w.put(IMS_VTD_PRS, kPro);
  EXPECT_EQ(0u, w.prs());
  ASSERT_TRUE(w.page_request(want(1, 0xabc000)));
  EXPECT_EQ(0u, w.get(IMS_VTD_PQT)) << "wrapped";
  EXPECT_EQ(0xabc000u, w.entry(127)[1] & ~uint64_t(0xfff));
  EXPECT_EQ(2u, w.messages.size());
}

TEST(PageRequest, OverflowRaisesTheEvent) {
  PrqWorld w;
  w.put(IMS_VTD_PQH, 32); // full from the start
  EXPECT_FALSE(w.page_request(want(1)));
  EXPECT_EQ(kPro, w.prs());
  EXPECT_EQ(1u, w.messages.size());
}

TEST(PageRequest, EventMaskedThenSent) {
  PrqWorld w;
  w.put(IMS_VTD_PECTL, 0x80000000);
  w.page_request(want(1));
  EXPECT_EQ(0xc0000000, w.get(IMS_VTD_PECTL));
  w.put(IMS_VTD_PECTL, 0);
  EXPECT_EQ(1u, w.messages.size());
  w.put(IMS_VTD_PECTL, 0x80000000);
  w.put(IMS_VTD_PRS, kPpr);
  w.page_request(want(1));
  w.put(IMS_VTD_PRS, kPpr); // acknowledged while masked
  EXPECT_EQ(0x80000000, w.get(IMS_VTD_PECTL));
}

TEST(PageRequest, QueueSize) {
  PrqWorld w;
  w.alloc(1);
  w.put(IMS_VTD_PQA, w.prq | 1); // 8 KB
  for (unsigned i = 0; i < 255; i++)
    ASSERT_TRUE(w.page_request(want(1)));
  EXPECT_FALSE(w.page_request(want(1)));
}

TEST(PageRequest, QueueInAbsentMemoryOverflows) {
  PrqWorld w;
  w.put(IMS_VTD_PQA, kAbsent);
  EXPECT_FALSE(w.page_request(want(1)));
  EXPECT_EQ(kPro, w.prs());
  ASSERT_EQ(1u, w.responses.size());
  EXPECT_EQ(0u, w.responses[0].code);
}

// R=W=0 with LPIG=1: queued like a request, never answered.
TEST(PageRequest, StopMarker) {
  PrqWorld w;
  ims_page_request stop = want(1);
  stop.read = false;
  ASSERT_TRUE(w.page_request(stop));
  EXPECT_EQ(4u | 7 << 3 | kVa, w.entry(0)[1]);
  stop.pasid = 9000; // refused, but not answered
  EXPECT_FALSE(w.page_request(stop));
  w.put(IMS_VTD_PQH, 64);
  stop.pasid = 1;
  EXPECT_FALSE(w.page_request(stop));
  EXPECT_TRUE(w.responses.empty());
}

TEST(PageRequest, RefusedOnes) {
  struct Case {
    const char *what;
    uint32_t pasid;
    void (*break_it)(ScalableWorld &);
    unsigned code;
  };
  const Case cases[] = {
      {"PRE=0", 1, [](ScalableWorld &w) { w.clear(w.context, 1 << 4); }, 0x47},
      {"PASIDE=0", 1, [](ScalableWorld &w) { w.clear(w.context, 1 << 3); }, 0x45},
      {"PASID too large", 8192, [](ScalableWorld &) {}, 0x46},
      {"context entry P=0", 1, [](ScalableWorld &w) { w.clear(w.context, 1); }, 0x41},
      {"root entry P=0", 1, [](ScalableWorld &w) { w.clear(w.root_word, 1); }, 0x39},
      {"legacy mode", 1,
       [](ScalableWorld &w) {
         w.put(IMS_VTD_RTADDR, w.root);
         w.command(1u << 30);
       },
       0x32},
  };
  for (const Case &k : cases)
    for (bool last : {true, false}) {
      SCOPED_TRACE(k.what);
      PrqWorld w;
      k.break_it(w);
      ims_page_request r = want(k.pasid, kVa, true, last);
      EXPECT_FALSE(w.page_request(r));
      ims_request as_request = as(dma(kDevice, k.pasid, kVa, IMS_ACC_R | IMS_ACC_W), IMS_PAGE_REQUEST);
      EXPECT_EQ(std::vector<Record>{record(k.code, as_request)}, w.faults());
      EXPECT_EQ(last ? 1u : 0u, w.responses.size());
      if (last) {
        EXPECT_EQ(15u, w.responses[0].code) << "response failure";
      }
      EXPECT_EQ(0u, w.prs());
      EXPECT_EQ(0u, w.get(IMS_VTD_PQT));
    }
}

TEST(PageRequest, WithTranslationOff) {
  PrqWorld w;
  w.command(1u << 31, false);
  EXPECT_FALSE(w.page_request(want(1)));
  ASSERT_EQ(1u, w.responses.size());
  EXPECT_EQ(15u, w.responses[0].code);
  EXPECT_TRUE(w.faults().empty());
}

TEST(PageRequest, ThePasidEntryIsNotRead) {
  PrqWorld w;
  w.clear(w.pasid(1), 1);
  EXPECT_TRUE(w.page_request(want(1)));
}

// A page request drops what is cached of its page: the device found it missing.
TEST(PageRequest, ForgetsThePage) {
  for (unsigned pasid : {1u, 3u}) {
    PrqWorld w;
    ims_request r = dma(kDevice, pasid, kVa, IMS_ACC_R);
    Tree &t = pasid == 1 ? w.first : w.guest;
    EXPECT_EQ(kPage, w.request(r).output);
    w.host.map(0x2346000, 0x2346000, kSsAll);
    w.point(t.at(kVa), 0x2346000);
    EXPECT_EQ(kPage, w.request(r).output);
    w.page_request(want(pasid, kVa + 4096));
    EXPECT_EQ(kPage, w.request(r).output) << "another page";
    w.page_request(want(pasid == 1 ? 3 : 1));
    EXPECT_EQ(kPage, w.request(r).output) << "another PASID";
    w.page_request(want(pasid));
    EXPECT_EQ(0x2346000u, w.request(r).output);
  }
}

// Without a PASID it is RID_PASID whose page it is.
TEST(PageRequest, ForgetsThePageOfRidPasid) {
  PrqWorld w;
  ims_request r = dma(kDevice, kVa);
  EXPECT_EQ(kPage, w.request(r).output);
  w.point(w.rid.at(kVa), 0x2346000);
  EXPECT_EQ(kPage, w.request(r).output);
  ims_page_request p = want(0);
  p.has_pasid = false;
  EXPECT_TRUE(w.page_request(p));
  EXPECT_EQ(0x2346000u, w.request(r).output);
}

TEST(PageRequest, ResponseDescriptor) {
  PrqWorld w;
  w.submit(inv::page_response(0x0456, 0xabcde, true, 0x1ff, 1, true));
  w.submit(inv::page_response(0x0457, 0, false, 3, 15, true));
  ASSERT_EQ(2u, w.responses.size());
  EXPECT_EQ(0x456u, w.responses[0].source);
  EXPECT_EQ(0xabcdeu, w.responses[0].pasid);
  EXPECT_TRUE(w.responses[0].has_pasid);
  EXPECT_EQ(0x1ffu, w.responses[0].group);
  EXPECT_EQ(1u, w.responses[0].code);
  EXPECT_FALSE(w.responses[1].has_pasid);
  EXPECT_EQ(15u, w.responses[1].code);
}

} // namespace
} // namespace vtd
