// SPDX-License-Identifier: Apache-2.0
// Translation requests and translated requests of a device with a TLB of its own. VT-d rev 4.1, 3.4, 4; PCIe ATS.
#include "tests/iommu/vtd/world.h"

#include <gtest/gtest.h>

namespace vtd {
namespace {

constexpr unsigned R = IMS_PERM_R, W = IMS_PERM_W;

ims_request query(unsigned pasid, bool no_write = false, unsigned access = IMS_ACC_R, uint64_t va = kVa) {
  ims_request r = as(dma(kDevice, pasid, va, access), IMS_TRANSLATION_REQUEST);
  r.no_write = no_write;
  return r;
}
unsigned rw(const ims_result &r) { return r.rights & (R | W); }

// Rights of the page and how the walk's marks follow from the answer.
TEST(Ats, GrantsWhatTheTablesGive) {
  for (unsigned pasid : {1u, 2u, 3u})
    for (bool page_writable : {true, false})
      for (bool no_write : {true, false})
        for (bool warm : {false, true}) {
          SCOPED_TRACE("PGTT " + std::to_string(pasid) + (page_writable ? " rw" : " ro") + (no_write ? " NW" : "") +
                       (warm ? " warm" : ""));
          ScalableWorld w;
          if (pasid != 1)
            w.set(w.pasid(pasid), 1 << 9); // SSADE
          uint64_t leaf = pasid == 1 ? w.first.at(kVa) : pasid == 2 ? w.second.at(kVa) : w.guest.at(kVa);
          uint64_t writable = pasid == 2 ? uint64_t(IMS_SS_W) : uint64_t(IMS_FS_RW);
          uint64_t d = pasid == 2 ? uint64_t(IMS_SS_D) : uint64_t(IMS_FS_D);
          if (!page_writable)
            w.clear(leaf, writable);
          if (warm)
            w.request(dma(kDevice, pasid, kVa, IMS_ACC_R));
          ims_result res = w.request(query(pasid, no_write));
          EXPECT_EQ(IMS_STATUS_OK, res.status) << text(res);
          EXPECT_EQ(IMS_CPL_SUCCESS, res.completion);
          EXPECT_EQ(kPage, res.output);
          EXPECT_EQ(12, res.shift);
          EXPECT_EQ(R | (page_writable && !no_write ? W : 0), rw(res));
          EXPECT_EQ(page_writable && !no_write, (w.load(leaf) & d) != 0) << "D is set for what W was granted";
          EXPECT_FALSE(res.untranslated_only);
          EXPECT_TRUE(w.faults().empty());
          if (pasid == 3) { // the data page's own second-stage leaf
            EXPECT_EQ(page_writable && !no_write, (w.load(w.host.at(kPage)) & IMS_SS_D) != 0);
          }
        }
}

TEST(Ats, NoWriteNeedsNwfs) {
  Config c;
  c.nwfs = 0;
  ScalableWorld w(c);
  EXPECT_EQ(R | W, rw(w.request(query(1, true))));
}

TEST(Ats, SecondStageMayWithholdARight) {
  ScalableWorld w;
  w.clear(w.host.at(kPage), IMS_SS_W);
  EXPECT_EQ(R, rw(w.request(query(3))));
  w.clear(w.host.at(kPage), IMS_SS_R);
  w.set(w.host.at(kPage), IMS_SS_W);
  w.submit(inv::iotlb(inv::kDomain, 3));
  EXPECT_EQ(W, rw(w.request(query(3)))) << "write-only";
}

TEST(Ats, UserAndPrivilegedAnswers) {
  ScalableWorld w;
  w.clear(w.first.at(kVa), IMS_FS_US);
  ims_result res = w.request(query(1));
  EXPECT_EQ(IMS_CPL_R0, res.completion);
  EXPECT_EQ(0x81, res.fault);
  EXPECT_TRUE(w.faults().empty());
  EXPECT_EQ(R | W, rw(w.request(query(1, false, IMS_ACC_R | IMS_ACC_PRIV))));
  w.clear(w.first.at(kVa), IMS_FS_RW);
  w.submit(inv::piotlb(1, 1));
  EXPECT_EQ(R, rw(w.request(query(1, false, IMS_ACC_R | IMS_ACC_PRIV)))) << "WPE binds the supervisor";
  w.clear(w.pasid(1) + 16, 1 << 4);
  w.submit(inv::pasid_cache(1, 1));
  EXPECT_EQ(R | W, rw(w.request(query(1, false, IMS_ACC_R | IMS_ACC_PRIV))));
}

TEST(Ats, SizeIsThatOfTheSmallerPage) {
  ScalableWorld w;
  w.first.map(kVa & ~(2 * MB - 1), 0x40000000, kFsAll, 2);
  EXPECT_EQ(21, w.request(query(1)).shift);
  w.second.map(kVa & ~(GB - 1), 0x40000000, kSsAll, 3);
  EXPECT_EQ(30, w.request(query(2)).shift);
  w.guest.map(kVa & ~(2 * MB - 1), 0x2200000, kFsAll, 2); // over 4 KB pages of the host
  w.host.map(0x2200000 | (kVa & (2 * MB - 1) & ~uint64_t(0xfff)), 0x5000000, kSsAll);
  ims_result res = w.request(query(3));
  EXPECT_EQ(12, res.shift);
  EXPECT_EQ(0x5000000u, res.output);
}

TEST(Ats, PassThroughAndSnoop) {
  ScalableWorld w;
  ims_result res = w.request(query(4, false, IMS_ACC_R, kPage));
  EXPECT_EQ(kPage, res.output);
  EXPECT_EQ(R | W, rw(res));
  EXPECT_FALSE(res.snoop);
  w.set(w.pasid(4) + 8, 1 << 24); // PGSNP
  w.submit(inv::pasid_cache(4, 4));
  EXPECT_TRUE(w.request(query(4, false, IMS_ACC_R, kPage)).snoop);
  EXPECT_FALSE(w.request(query(2)).snoop);
  w.set(w.second.at(kVa), IMS_SS_SNP);
  w.submit(inv::iotlb(inv::kPage, 2, kVa));
  for (int warm = 0; warm < 2; warm++)
    EXPECT_TRUE(w.request(query(2)).snoop);
}

TEST(Ats, InterruptRange) {
  ScalableWorld w;
  ims_result res = w.request(as(dma(kDevice, 0xfee12000), IMS_TRANSLATION_REQUEST));
  EXPECT_EQ(IMS_STATUS_OK, res.status);
  EXPECT_TRUE(res.untranslated_only);
  EXPECT_EQ(W, rw(res));
  EXPECT_EQ(20, res.shift);
  EXPECT_EQ(0u, res.refs);
}

TEST(Ats, RidPasid) {
  ScalableWorld w;
  ims_result res = w.request(as(dma(kDevice, kVa), IMS_TRANSLATION_REQUEST));
  EXPECT_EQ(kPage, res.output);
  EXPECT_EQ(R | W, rw(res));
}

// The accessed bit of a guest's table that the second stage lets nobody write: no translation, and no record.
TEST(Ats, GuestTableThatMayNotBeMarked) {
  ScalableWorld w;
  w.clear(w.host.at(w.guest.root), IMS_SS_W);
  ims_result res = w.request(query(3));
  EXPECT_EQ(0x77, res.fault);
  EXPECT_EQ(IMS_CPL_R0, res.completion);
  EXPECT_FALSE(res.recorded);
}

TEST(TranslatedRequest, IsTakenAsAHostAddress) {
  ScalableWorld w;
  for (bool with_pasid : {false, true}) {
    ims_request r = with_pasid ? dma(kDevice, 1, 0x123456789, IMS_ACC_W) : dma(kDevice, 0x123456789, IMS_ACC_W);
    w.drop_caches();
    ims_result res = w.request(as(r, IMS_TRANSLATED));
    EXPECT_EQ(IMS_STATUS_OK, res.status) << text(res);
    EXPECT_EQ(0x123456789u, res.output);
    EXPECT_EQ(2u, res.refs) << "root and context, nothing beyond";
  }
  EXPECT_EQ((uint64_t(1) << kHaw) - 1, w.request(as(dma(kDevice, (uint64_t(1) << kHaw) - 1), IMS_TRANSLATED)).output);
}

TEST(LegacyAts, TranslationTypeAll) {
  LegacyWorld w;
  ims_result res = w.request(as(dma(LegacyWorld::kAtsDevice, kVa), IMS_TRANSLATION_REQUEST));
  EXPECT_EQ(kPage, res.output);
  EXPECT_EQ(R | W, rw(res));
  EXPECT_EQ(kPage, w.request(as(dma(LegacyWorld::kAtsDevice, kPage), IMS_TRANSLATED)).output);
  EXPECT_EQ(kPage, w.request(dma(LegacyWorld::kAtsDevice, kVa, IMS_ACC_W)).output);
  EXPECT_FALSE(w.load(w.second.at(kVa)) & (IMS_SS_A | IMS_SS_D)) << "legacy mode marks nothing";
  w.clear(w.second.at(kVa), IMS_SS_W);
  w.submit(inv::iotlb(inv::kDomain, 2));
  EXPECT_EQ(R, rw(w.request(as(dma(LegacyWorld::kAtsDevice, kVa), IMS_TRANSLATION_REQUEST))));
}

} // namespace
} // namespace vtd
