// SPDX-License-Identifier: Apache-2.0
// One row for each fault reason that a structure can raise: what is wrong, which request meets it, and what the unit says
// of it. VT-d rev 4.1, chapter 7. The same rows, two at once, show the order of the checks (3.4 to 3.8).
#include "tests/iommu/vtd/world.h"

#include <gtest/gtest.h>

#include <map>

namespace vtd {
namespace {

// How a refused translation request is completed (4.1, column T), and whether FPD hides the record (column Q).
enum Qualified { kQualified, kAlways };
struct Law {
  unsigned code;
  Qualified qualified;
  ims_completion ats;
};
const Law kLaw[] = {
    {0x01, kAlways, IMS_CPL_UR},    {0x02, kQualified, IMS_CPL_UR}, {0x03, kQualified, IMS_CPL_CA},
    {0x04, kQualified, IMS_CPL_R0}, {0x05, kQualified, IMS_CPL_R0}, {0x06, kQualified, IMS_CPL_R0},
    {0x07, kQualified, IMS_CPL_CA}, {0x08, kAlways, IMS_CPL_CA},    {0x09, kAlways, IMS_CPL_CA},
    {0x0a, kAlways, IMS_CPL_CA},    {0x0b, kQualified, IMS_CPL_CA}, {0x0c, kQualified, IMS_CPL_CA},
    {0x0d, kQualified, IMS_CPL_UR}, {0x0e, kQualified, IMS_CPL_UR}, {0x29, kAlways, IMS_CPL_UR},
    {0x30, kAlways, IMS_CPL_UR},    {0x31, kAlways, IMS_CPL_UR},    {0x32, kAlways, IMS_CPL_UR},
    {0x38, kAlways, IMS_CPL_CA},    {0x39, kAlways, IMS_CPL_UR},    {0x3a, kAlways, IMS_CPL_CA},
    {0x40, kAlways, IMS_CPL_CA},    {0x41, kQualified, IMS_CPL_UR}, {0x42, kQualified, IMS_CPL_CA},
    {0x43, kQualified, IMS_CPL_CA}, {0x44, kQualified, IMS_CPL_UR}, {0x45, kQualified, IMS_CPL_UR},
    {0x46, kQualified, IMS_CPL_UR}, {0x47, kQualified, IMS_CPL_UR}, {0x50, kAlways, IMS_CPL_CA},
    {0x51, kQualified, IMS_CPL_R0}, {0x52, kQualified, IMS_CPL_CA}, {0x58, kAlways, IMS_CPL_CA},
    {0x59, kQualified, IMS_CPL_R0}, {0x5a, kQualified, IMS_CPL_CA}, {0x5b, kQualified, IMS_CPL_CA},
    {0x5c, kQualified, IMS_CPL_R0}, {0x5d, kQualified, IMS_CPL_R0}, {0x70, kQualified, IMS_CPL_R0},
    {0x71, kQualified, IMS_CPL_R0}, {0x72, kQualified, IMS_CPL_R0}, {0x73, kQualified, IMS_CPL_R0},
    {0x74, kQualified, IMS_CPL_R0}, {0x75, kQualified, IMS_CPL_R0}, {0x76, kQualified, IMS_CPL_R0},
    {0x77, kQualified, IMS_CPL_R0}, {0x78, kQualified, IMS_CPL_CA}, {0x79, kQualified, IMS_CPL_R0},
    {0x7a, kQualified, IMS_CPL_CA}, {0x7b, kQualified, IMS_CPL_CA}, {0x7c, kQualified, IMS_CPL_CA},
    {0x7d, kQualified, IMS_CPL_CA}, {0x80, kQualified, IMS_CPL_R0}, {0x81, kQualified, IMS_CPL_R0},
    {0x82, kQualified, IMS_CPL_R0}, {0x83, kQualified, IMS_CPL_UR}, {0x84, kQualified, IMS_CPL_R0},
    {0x85, kQualified, IMS_CPL_R0}, {0x86, kQualified, IMS_CPL_R0}, {0x87, kQualified, IMS_CPL_UR},
    {0x90, kQualified, IMS_CPL_CA}, {0x91, kQualified, IMS_CPL_CA},
};

const Law &law(unsigned code) {
  for (const Law &l : kLaw)
    if (l.code == code)
      return l;
  ADD_FAILURE() << "no law for " << code;
  return kLaw[0];
}

// What a translation request makes of the same defect.
enum Ats { kSame, kNoFault, kNotAsked };

constexpr unsigned R = IMS_ACC_R, W = IMS_ACC_W, X = IMS_ACC_X, PRIV = IMS_ACC_PRIV;

uint64_t bit(unsigned n) { return uint64_t(1) << n; }

// Scalable mode.
struct ScalableRow {
  unsigned code;
  const char *what;
  ims_request request;
  Ats ats;
  void (*break_it)(ScalableWorld &);
  void (*configure)(Config &) = nullptr;
};

ims_request with(unsigned pasid, unsigned access = R, uint64_t va = kVa) { return dma(kDevice, pasid, va, access); }
ims_request without(unsigned access = R, uint64_t va = kVa) { return dma(kDevice, va, access); }
ims_request page(ims_request r) { return as(r, IMS_PAGE_REQUEST); }

void rev3(Config &c) { c.revision = 3, c.ers = 1; }
void no_scalable_mode(Config &c) { c.smts = 0; }
void no_gigabyte_pages(Config &c) { c.fs1gp = 0, c.sslps = 0; }

using World = ScalableWorld;

// Within one request the rows stand in the order in which the checks are made.
const ScalableRow kScalable_[] = {
    // Root table. A unit without SMTS has no mode for TTM=01.
    {0x29, "read of the interrupt range", without(R, 0xfee00000), kNotAsked, [](World &) {}},
    {0x29, "atomic in the interrupt range", without(R | W, 0xfeeffff8), kNotAsked, [](World &) {}},
    {0x30, "TTM=01 without SMTS", with(1), kSame, [](World &) {}, no_scalable_mode},
    {0x30, "TTM=10", with(1), kSame,
     [](World &w) {
       w.put(IMS_VTD_RTADDR, w.root | 2 << 10);
       w.command(1u << 30);
     }},
    {0x38, "root table in absent memory", with(1), kSame,
     [](World &w) {
       w.put(IMS_VTD_RTADDR, kAbsent | kScalable << 10);
       w.command(1u << 30);
     }},
    {0x38, "root table above the host width", with(1), kSame,
     [](World &w) {
       w.put(IMS_VTD_RTADDR, bit(kHaw) | w.root | kScalable << 10);
       w.command(1u << 30);
     }},
    {0x39, "root entry LP=0", with(1), kSame, [](World &w) { w.clear(w.root_word, 1); }},
    {0x3a, "root entry bit 1", with(1), kSame, [](World &w) { w.set(w.root_word, bit(1)); }},
    {0x3a, "LCTP above the host width", with(1), kSame, [](World &w) { w.set(w.root_word, bit(kHaw)); }},
    // Context entry.
    {0x40, "context table in absent memory", with(1), kSame, [](World &w) { w.point(w.root_word, kAbsent); }},
    {0x41, "context entry P=0", with(1), kSame, [](World &w) { w.clear(w.context, 1); }},
    {0x42, "context entry bit 5", with(1), kSame, [](World &w) { w.set(w.context, bit(5)); }},
    {0x42, "context entry bit 127", with(1), kSame, [](World &w) { w.set(w.context + 8, bit(63)); }},
    {0x42, "context entry bit 255", with(1), kSame, [](World &w) { w.set(w.context + 24, bit(63)); }},
    {0x43, "RID_PASID beyond the directory", with(1), kSame, [](World &w) { w.set(w.context + 8, 8192); }},
    {0x44, "translation request, DTE=0", as(with(1), IMS_TRANSLATION_REQUEST), kSame,
     [](World &w) { w.clear(w.context, bit(2)); }},
    {0x44, "translated request, DTE=0", as(without(W), IMS_TRANSLATED), kNotAsked,
     [](World &w) { w.clear(w.context, bit(2)); }},
    {0x83, "translated request above the host width", as(without(W, bit(kHaw)), IMS_TRANSLATED), kNotAsked,
     [](World &) {}},
    {0x87, "translated request to the interrupt range", as(without(W, 0xfee01000), IMS_TRANSLATED), kNotAsked,
     [](World &) {}},
    {0x47, "page request, PRE=0", page(with(1)), kNotAsked, [](World &w) { w.clear(w.context, bit(4)); }},
    {0x45, "PASIDE=0", with(1), kSame, [](World &w) { w.clear(w.context, bit(3)); }},
    {0x45, "page request, PASIDE=0", page(with(1)), kNotAsked, [](World &w) { w.clear(w.context, bit(3)); }},
    {0x46, "PASID beyond the directory", with(8192), kSame, [](World &) {}},
    {0x46, "page request with such a PASID", page(with(8192)), kNotAsked, [](World &) {}},
    // PASID directory.
    {0x50, "directory in absent memory", with(1), kSame, [](World &w) { w.point(w.context, kAbsent); }},
    {0x51, "directory entry P=0", with(1), kSame, [](World &w) { w.clear(w.directory, 1); }},
    {0x52, "directory entry bit 2", with(1), kSame, [](World &w) { w.set(w.directory, bit(2)); }},
    {0x52, "directory entry bit 11", with(1), kSame, [](World &w) { w.set(w.directory, bit(11)); }},
    {0x52, "SMPTBLPTR above the host width", with(1), kSame, [](World &w) { w.set(w.directory, bit(kHaw)); }},
    // PASID entry.
    {0x58, "PASID table in absent memory", with(1), kSame, [](World &w) { w.point(w.directory, kAbsent); }},
    {0x59, "PASID entry P=0", with(1), kSame, [](World &w) { w.clear(w.pasid(1), 1); }},
    {0x5a, "PASID entry bit 10", with(1), kSame, [](World &w) { w.set(w.pasid(1), bit(10)); }},
    {0x5a, "PASID entry bit 511", with(1), kSame, [](World &w) { w.set(w.pasid(1) + 56, bit(63)); }},
    {0x5a, "FSPTPTR above the host width", with(1), kSame, [](World &w) { w.set(w.pasid(1) + 16, bit(kHaw)); }},
    {0x5b, "PGTT 0", with(1), kSame, [](World &w) { w.clear(w.pasid(1), 7 << 6); }},
    {0x5b, "FSPM 2", with(1), kSame, [](World &w) { w.set(w.pasid(1) + 16, 2 << 2); }},
    {0x5b, "AW 0 of a second stage", with(2), kSame, [](World &w) { w.clear(w.pasid(2), 7 << 2); }},
    {0x5c, "execute request, ERE=0", with(1, R | X), kNotAsked, [](World &) {}, rev3},
    {0x5d, "privileged request, SRE=0", with(1, R | PRIV), kSame, [](World &w) { w.clear(w.pasid(1) + 16, 1); }},
    {0x5d, "RID_PRIV, SRE=0", without(), kSame,
     [](World &w) {
       w.set(w.context + 8, bit(20));
       w.clear(w.pasid(5) + 16, 1);
     }},
    // Pass-through.
    {0x83, "pass-through above the host width", with(4, R, bit(kHaw)), kSame, [](World &) {}},
    {0x87, "pass-through to the interrupt range", with(4, W, 0xfee00000), kSame, [](World &) {}},
    // First stage.
    {0x80, "not canonical, 4 levels", with(1, R, bit(47)), kSame, [](World &) {}},
    {0x73, "FSPTPTR to absent memory", with(1), kSame, [](World &w) { w.point(w.pasid(1) + 16, kAbsent); }},
    {0x71, "PML4 entry P=0", with(1), kSame, [](World &w) { w.clear(w.first.at(kVa, 4), 1); }},
    {0x72, "PML4 entry PS=1", with(1), kSame, [](World &w) { w.set(w.first.at(kVa, 4), bit(7)); }},
    {0x90, "PML4 entry A=0, walk not snooped", with(1), kSame, [](World &w) { w.clear(w.pasid(1) + 8, bit(23)); }},
    {0x70, "page directory in absent memory", with(1), kSame, [](World &w) { w.point(w.first.at(kVa, 3), kAbsent); }},
    {0x71, "page P=0", with(1, W), kSame, [](World &w) { w.clear(w.first.at(kVa), 1); }},
    {0x72, "page above the host width", with(1, R | W), kSame, [](World &w) { w.set(w.first.at(kVa), bit(kHaw)); }},
    {0x72, "1 GB page without FS1GP", with(1), kSame, [](World &w) { w.set(w.first.at(kVa, 3), bit(7)); },
     no_gigabyte_pages},
    {0x81, "user request, U/S=0", with(1), kSame, [](World &w) { w.clear(w.first.at(kVa, 2), IMS_FS_US); }},
    {0x82, "execution of an XD page", with(1, R | X), kNotAsked,
     [](World &w) {
       w.set(w.pasid(1) + 16, bit(1) | bit(5)); // ERE, NXE
       w.set(w.first.at(kVa), IMS_FS_XD);
     },
     rev3},
    {0x85, "write, R/W=0", with(1, W), kNoFault, [](World &w) { w.clear(w.first.at(kVa, 3), IMS_FS_RW); }},
    {0x85, "atomic, R/W=0", with(1, R | W), kNoFault, [](World &w) { w.clear(w.first.at(kVa), IMS_FS_RW); }},
    {0x85, "privileged write, R/W=0, WPE=1", with(1, W | PRIV), kNoFault,
     [](World &w) { w.clear(w.first.at(kVa), IMS_FS_RW); }},
    {0x87, "page in the interrupt range", with(1), kSame, [](World &w) { w.point(w.first.at(kVa), 0xfee00000); }},
    // Second stage.
    {0x84, "above AW", with(2, R, bit(48)), kSame, [](World &) {}},
    {0x7b, "SSPTPTR to absent memory", with(2), kSame, [](World &w) { w.point(w.pasid(2), kAbsent); }},
    {0x79, "SS-PML4 entry R=W=0", with(2), kSame, [](World &w) { w.clear(w.second.at(kVa, 4), 3); }},
    {0x7a, "SS-PML4 entry PS=1", with(2), kSame, [](World &w) { w.set(w.second.at(kVa, 4), bit(7)); }},
    {0x7c, "A=0, PWSNP=0", with(2), kSame,
     [](World &w) {
       w.set(w.pasid(2), bit(9)); // SSADE
       w.clear(w.pasid(2) + 8, bit(23));
     }},
    {0x78, "page directory in absent memory", with(2), kSame, [](World &w) { w.point(w.second.at(kVa, 3), kAbsent); }},
    {0x7a, "SNP in a table entry", with(2), kSame, [](World &w) { w.set(w.second.at(kVa, 2), IMS_SS_SNP); }},
    {0x7a, "1 GB page without SSLPS", with(2), kSame, [](World &w) { w.set(w.second.at(kVa, 3), bit(7)); },
     no_gigabyte_pages},
    {0x79, "page R=W=0", with(2, W), kSame, [](World &w) { w.clear(w.second.at(kVa), 3); }},
    {0x79, "R above, W below", with(2), kSame,
     [](World &w) {
       w.clear(w.second.at(kVa, 3), IMS_SS_W);
       w.clear(w.second.at(kVa), IMS_SS_R);
     }},
    {0x85, "write, W=0 above", with(2, W), kNoFault, [](World &w) { w.clear(w.second.at(kVa, 3), IMS_SS_W); }},
    {0x85, "atomic, W=0", with(2, R | W), kNoFault, [](World &w) { w.clear(w.second.at(kVa), IMS_SS_W); }},
    {0x86, "read, R=0", with(2), kNoFault, [](World &w) { w.clear(w.second.at(kVa), IMS_SS_R); }},
    {0x86, "atomic, R=0", with(2, R | W), kNoFault, [](World &w) { w.clear(w.second.at(kVa, 2), IMS_SS_R); }},
    {0x87, "page in the interrupt range", with(2, W), kSame, [](World &w) { w.point(w.second.at(kVa), 0xfeeff000); }},
    {0x82, "execution, X=0", with(2, R | X), kNotAsked, [](World &w) { w.set(w.pasid(2), bit(5)); }, rev3},
    // Nested. What the walk asks of the second stage for the guest's tables.
    {0x80, "not canonical, nested", with(3, R, bit(47)), kSame, [](World &) {}},
    {0x74, "FSPTPTR above AW", with(3), kSame, [](World &w) { w.point(w.pasid(3) + 16, bit(48)); }},
    {0x7b, "second-stage root absent, nested", with(3), kSame, [](World &w) { w.point(w.pasid(3), kAbsent); }},
    {0x79, "guest root table not mapped", with(3), kSame, [](World &w) { w.clear(w.host.at(w.guest.root), 3); }},
    {0x75, "guest root table write-only", with(3), kSame, [](World &w) { w.clear(w.host.at(w.guest.root), IMS_SS_R); }},
    {0x73, "guest root table leads to absent memory", with(3), kSame,
     [](World &w) { w.point(w.host.at(w.guest.root), kAbsent); }},
    {0x77, "guest root table read-only, A=0", with(3), kSame,
     [](World &w) { w.clear(w.host.at(w.guest.root), IMS_SS_W); }},
    {0x74, "guest table above AW", with(3), kSame, [](World &w) { w.point(w.guest.at(kVa, 3), bit(50)); }},
    {0x7a, "reserved bit over a guest table", with(3), kSame,
     [](World &w) { w.set(w.host.at(w.guest.table(kVa, 2)), bit(62)); }},
    {0x76, "guest page table write-only", with(3), kSame,
     [](World &w) { w.clear(w.host.at(w.guest.table(kVa, 1)), IMS_SS_R); }},
    {0x70, "guest page table leads to absent memory", with(3), kSame,
     [](World &w) { w.point(w.host.at(w.guest.table(kVa, 1)), kAbsent); }},
    {0x71, "guest page P=0", with(3), kSame, [](World &w) { w.clear(w.guest.at(kVa), 1); }},
    {0x77, "guest page table read-only, D=0", with(3, W), kSame,
     [](World &w) { w.clear(w.host.at(w.guest.table(kVa, 1)), IMS_SS_W); }},
    {0x84, "guest page above AW", with(3), kSame, [](World &w) { w.point(w.guest.at(kVa), bit(48)); }},
    {0x79, "guest page not mapped", with(3), kSame, [](World &w) { w.clear(w.host.at(kPage), 3); }},
    {0x85, "guest page read-only in the host", with(3, W), kNoFault,
     [](World &w) { w.clear(w.host.at(kPage), IMS_SS_W); }},
    {0x86, "guest page write-only in the host", with(3), kNoFault,
     [](World &w) { w.clear(w.host.at(kPage), IMS_SS_R); }},
    {0x87, "nested result in the interrupt range", with(3), kSame,
     [](World &w) { w.point(w.host.at(kPage), 0xfee00000); }},
};

struct LegacyRow {
  unsigned code;
  const char *what;
  ims_request request;
  Ats ats;
  void (*break_it)(LegacyWorld &);
  void (*configure)(Config &) = nullptr;
};

ims_request plain(unsigned access = R, uint64_t va = kVa) { return dma(kDevice, va, access); }
ims_request passed(unsigned access, uint64_t va) { return dma(kOtherDevice, va, access); }
ims_request ats_device(ims_request_type t, uint64_t va = kVa) { return as(dma(LegacyWorld::kAtsDevice, va, R), t); }

const LegacyRow kLegacy_[] = {
    {0x31, "request with PASID", dma(kDevice, 1, kVa, R), kSame, [](LegacyWorld &) {}},
    {0x32, "page request", as(plain(), IMS_PAGE_REQUEST), kNotAsked, [](LegacyWorld &) {}},
    {0x08, "root table in absent memory", plain(), kSame,
     [](LegacyWorld &w) {
       w.put(IMS_VTD_RTADDR, kAbsent);
       w.command(1u << 30);
     }},
    {0x01, "root entry P=0", plain(), kSame, [](LegacyWorld &w) { w.clear(w.root_word, 1); }},
    {0x0a, "root entry bit 11", plain(), kSame, [](LegacyWorld &w) { w.set(w.root_word, bit(11)); }},
    {0x0a, "root entry bit 64", plain(), kSame, [](LegacyWorld &w) { w.set(w.root_word + 8, 1); }},
    {0x09, "context table in absent memory", plain(), kSame, [](LegacyWorld &w) { w.point(w.root_word, kAbsent); }},
    {0x02, "context entry P=0", plain(), kSame, [](LegacyWorld &w) { w.clear(w.context, 1); }},
    {0x0b, "context entry bit 4", plain(), kSame, [](LegacyWorld &w) { w.set(w.context, bit(4)); }},
    {0x0b, "context entry bit 71", plain(), kSame, [](LegacyWorld &w) { w.set(w.context + 8, bit(7)); }},
    {0x0b, "SSPTPTR above the host width", plain(), kSame, [](LegacyWorld &w) { w.set(w.context, bit(kHaw)); }},
    {0x03, "TT=11", plain(), kSame, [](LegacyWorld &w) { w.set(w.context, 3 << 2); }},
    {0x0d, "translation request, TT=00", as(plain(), IMS_TRANSLATION_REQUEST), kSame, [](LegacyWorld &) {}},
    {0x0d, "translated request, TT=00", as(plain(W), IMS_TRANSLATED), kNotAsked, [](LegacyWorld &) {}},
    {0x04, "translated request above the host width", ats_device(IMS_TRANSLATED, bit(kHaw)), kNotAsked,
     [](LegacyWorld &) {}},
    {0x0e, "translated request to the interrupt range", ats_device(IMS_TRANSLATED, 0xfee00000), kNotAsked,
     [](LegacyWorld &) {}},
    {0x03, "AW 0", plain(), kNotAsked, [](LegacyWorld &w) { w.clear(w.context + 8, 7); }},
    {0x04, "pass-through above the host width", passed(R, bit(kHaw)), kNotAsked, [](LegacyWorld &) {}},
    {0x04, "above AW", plain(R, bit(48)), kNotAsked, [](LegacyWorld &) {}},
    {0x03, "SSPTPTR to absent memory", plain(), kNotAsked, [](LegacyWorld &w) { w.point(w.context, kAbsent); }},
    {0x07, "table in absent memory", plain(), kNotAsked, [](LegacyWorld &w) { w.point(w.second.at(kVa, 3), kAbsent); }},
    {0x06, "read, R=W=0", plain(), kNotAsked, [](LegacyWorld &w) { w.clear(w.second.at(kVa, 2), 3); }},
    {0x0c, "SNP in a table entry", plain(), kNotAsked, [](LegacyWorld &w) { w.set(w.second.at(kVa, 2), IMS_SS_SNP); }},
    {0x05, "write, R=W=0", plain(W), kNotAsked, [](LegacyWorld &w) { w.clear(w.second.at(kVa), 3); }},
    {0x05, "write, W=0", plain(W), kNotAsked, [](LegacyWorld &w) { w.clear(w.second.at(kVa), IMS_SS_W); }},
    {0x06, "read, R=0", plain(), kNotAsked, [](LegacyWorld &w) { w.clear(w.second.at(kVa), IMS_SS_R); }},
    {0x0e, "page in the interrupt range", plain(), kNotAsked,
     [](LegacyWorld &w) { w.point(w.second.at(kVa), 0xfee00000); }},
    // The same as translation requests of a device that may send them.
    {0x04, "ATS, above AW", ats_device(IMS_TRANSLATION_REQUEST, bit(48)), kSame, [](LegacyWorld &) {}},
    {0x06, "ATS, R=W=0", ats_device(IMS_TRANSLATION_REQUEST), kSame,
     [](LegacyWorld &w) { w.clear(w.second.at(kVa), 3); }},
    {0x0c, "ATS, reserved bit", ats_device(IMS_TRANSLATION_REQUEST), kSame,
     [](LegacyWorld &w) { w.set(w.second.at(kVa), bit(62)); }},
    {0x0e, "ATS, interrupt range", ats_device(IMS_TRANSLATION_REQUEST), kSame,
     [](LegacyWorld &w) { w.point(w.second.at(kVa), 0xfee00000); }},
};

// Raised only when a compare-and-swap fails, which no bytes in memory can bring about; tested by stepping (below).
// The rows of ims_vtd_faults() that no table above can reach, with the reason.
const std::map<unsigned, const char *> kElsewhere = {
    {0x7d, "an update that fails: memory must change within a walk (UpdateThatFails)"},
    {0x91, "an update that fails: memory must change within a walk (UpdateThatFails)"},
};

template <class W, class Row> Config config_of(const Row &row) {
  Config c;
  if (row.configure)
    row.configure(c);
  return c;
}

// Runs the request and compares all that can be seen: the result, the registers, what a second look finds.
void expect_fault(Machine &m, const ims_request &r, unsigned code, bool recorded, ims_completion completion) {
  ims_result res = m.request(r);
  ASSERT_EQ(IMS_STATUS_FAULT, res.status) << text(res);
  EXPECT_EQ(code, res.fault) << text(res);
  EXPECT_EQ(recorded, res.recorded) << text(res);
  EXPECT_EQ(completion, res.completion) << text(res);
  Record want = record(code, r);
  EXPECT_EQ(2, res.record_words);
  EXPECT_EQ(want, (Record{res.record[0], res.record[1]}));
  EXPECT_EQ(recorded ? std::vector<Record>{want} : std::vector<Record>{}, m.faults());
}

TEST(Fault, LawAndTableAgree) {
  unsigned n = 0;
  for (const ims_vtd_fault_info *f; (f = ims_vtd_faults(n)) != nullptr; n++) {
    const Law &l = law(f->code);
    EXPECT_EQ(l.qualified == kQualified, f->qualified) << f->name;
    EXPECT_EQ(l.ats, f->ats) << f->name;
    EXPECT_EQ(f, ims_vtd_fault_find(f->code));
  }
  EXPECT_EQ(sizeof kLaw / sizeof kLaw[0], n);
  EXPECT_EQ(nullptr, ims_vtd_fault_find(0));
  EXPECT_EQ(nullptr, ims_vtd_fault_find(0x88));
}

TEST(Fault, EveryReasonHasARow) {
  std::set<unsigned> seen;
  for (const ScalableRow &r : kScalable_)
    seen.insert(r.code);
  for (const LegacyRow &r : kLegacy_)
    seen.insert(r.code);
  const ims_vtd_fault_info *f;
  for (unsigned i = 0; (f = ims_vtd_faults(i)) != nullptr; i++) {
    EXPECT_TRUE(seen.count(f->code) || kElsewhere.count(f->code)) << f->name << ": " << f->sentence;
    EXPECT_FALSE(seen.count(f->code) && kElsewhere.count(f->code)) << f->name;
  }
}

TEST(Fault, Scalable) {
  for (const ScalableRow &row : kScalable_) {
    SCOPED_TRACE(row.what);
    ScalableWorld w(config_of<ScalableWorld>(row));
    row.break_it(w);
    bool query = row.request.type == IMS_TRANSLATION_REQUEST;
    ims_completion cpl = query ? law(row.code).ats : IMS_CPL_UR;
    expect_fault(w, row.request, row.code, cpl != IMS_CPL_R0, cpl);
    expect_fault(w, row.request, row.code, cpl != IMS_CPL_R0, cpl); // and again, with warm caches
  }
}

TEST(Fault, Legacy) {
  for (const LegacyRow &row : kLegacy_) {
    SCOPED_TRACE(row.what);
    LegacyWorld w(config_of<LegacyWorld>(row));
    row.break_it(w);
    bool query = row.request.type == IMS_TRANSLATION_REQUEST;
    ims_completion cpl = query ? law(row.code).ats : IMS_CPL_UR;
    expect_fault(w, row.request, row.code, cpl != IMS_CPL_R0, cpl);
    expect_fault(w, row.request, row.code, cpl != IMS_CPL_R0, cpl);
  }
}

// FPD in the context entry, the PASID directory entry or the PASID entry hides what is qualified and comes behind it.
TEST(Fault, ScalableFpd) {
  for (const ScalableRow &row : kScalable_) {
    SCOPED_TRACE(row.what);
    bool query = row.request.type == IMS_TRANSLATION_REQUEST;
    if (query && law(row.code).ats == IMS_CPL_R0)
      continue; // never recorded
    ims_completion cpl = query ? law(row.code).ats : IMS_CPL_UR;
    bool qualified = law(row.code).qualified == kQualified;
    // Which of the three has been read when this fault is met?
    bool translated = row.request.type == IMS_TRANSLATED;
    bool directory_read = row.code >= 0x51 && !translated, entry_read = row.code >= 0x59 && !translated;
    unsigned pasid = row.request.has_pasid && row.request.pasid < 8192 ? row.request.pasid : 5;
    for (int where = 0; where < 3; where++) {
      SCOPED_TRACE(where);
      ScalableWorld w(config_of<ScalableWorld>(row));
      w.set(where == 0 ? w.context : where == 1 ? w.directory : w.pasid(pasid), 2);
      row.break_it(w);
      bool counts = where == 0 || (where == 1 ? directory_read : entry_read);
      expect_fault(w, row.request, row.code, !(qualified && counts), cpl);
      expect_fault(w, row.request, row.code, !(qualified && counts), cpl);
    }
  }
}

TEST(Fault, LegacyFpd) {
  for (const LegacyRow &row : kLegacy_) {
    SCOPED_TRACE(row.what);
    bool query = row.request.type == IMS_TRANSLATION_REQUEST;
    if (query && law(row.code).ats == IMS_CPL_R0)
      continue;
    LegacyWorld w(config_of<LegacyWorld>(row));
    w.set(w.context, 2);
    w.set(w.context_entry(kOtherDevice), 2);
    w.set(w.context_entry(LegacyWorld::kAtsDevice), 2);
    row.break_it(w);
    bool qualified = law(row.code).qualified == kQualified;
    ims_completion cpl = query ? law(row.code).ats : IMS_CPL_UR;
    expect_fault(w, row.request, row.code, !qualified, cpl);
    expect_fault(w, row.request, row.code, !qualified, cpl);
  }
}

// The same defects met by a translation request: R0 leaves no record.
template <class W, class Row> void as_translation_request(const Row &row) {
  SCOPED_TRACE(row.what);
  if (row.ats == kNotAsked || row.request.type != IMS_UNTRANSLATED)
    return;
  W w(config_of<W>(row));
  row.break_it(w);
  ims_request r = as(row.request, IMS_TRANSLATION_REQUEST);
  if (row.ats == kNoFault) {
    ims_result res = w.request(r);
    EXPECT_EQ(IMS_STATUS_OK, res.status) << text(res);
    EXPECT_TRUE(w.faults().empty());
    return;
  }
  ims_completion cpl = law(row.code).ats;
  expect_fault(w, r, row.code, cpl != IMS_CPL_R0, cpl);
}

TEST(Fault, AsTranslationRequest) {
  for (const ScalableRow &row : kScalable_)
    as_translation_request<ScalableWorld>(row);
  for (const LegacyRow &row : kLegacy_)
    if (row.ats == kSame && row.code != 0x02 && row.code != 0x03 && row.code != 0x0b)
      as_translation_request<LegacyWorld>(row);
}

bool same_request(const ims_request &a, const ims_request &b) {
  return a.iova == b.iova && a.source == b.source && a.pasid == b.pasid && a.has_pasid == b.has_pasid &&
         a.access == b.access && a.type == b.type;
}

// Two defects at once: the first in the order of the rows wins.
// Pairs of missing second-stage rights are left out: they lie in the same bits and add up to something else.
bool is_right(unsigned code) { return code == 0x79 || (code >= 0x75 && code <= 0x77) || code == 0x85 || code == 0x86; }

template <class W, class Row, size_t N> unsigned both_at_once(const Row (&rows)[N]) {
  unsigned pairs = 0;
  for (size_t i = 0; i < N; i++)
    for (size_t j = i + 1; j < N; j++) {
      const Row &a = rows[i], &b = rows[j];
      if (!same_request(a.request, b.request) || a.code == b.code || a.configure || b.configure ||
          (is_right(a.code) && is_right(b.code)))
        continue;
      SCOPED_TRACE(std::string(a.what) + " and " + b.what);
      W w;
      // The defect found later is made first: it lies behind tables that the other one may cut off.
      b.break_it(w);
      a.break_it(w);
      ims_result res = w.request(a.request);
      EXPECT_EQ(a.code, res.fault) << text(res);
      pairs++;
    }
  return pairs;
}

TEST(FaultOrder, Scalable) { EXPECT_GT(both_at_once<ScalableWorld>(kScalable_), 300u); }

TEST(FaultOrder, Legacy) { EXPECT_GT(both_at_once<LegacyWorld>(kLegacy_), 60u); }

TEST(FaultOrder, KindOfRequestComesAfterTheContextEntry) {
  ScalableWorld w;
  w.clear(w.context, bit(2) | bit(3) | bit(4)); // DTE, PASIDE, PRE
  EXPECT_EQ(0x44, w.request(as(with(9000), IMS_TRANSLATION_REQUEST)).fault);
  EXPECT_EQ(0x47, w.request(page(with(9000))).fault);
  EXPECT_EQ(0x45, w.request(with(9000)).fault);
  EXPECT_EQ(0, w.request(without()).fault) << "PASIDE does not concern requests without PASID";
}

TEST(FaultOrder, RightsAreJudgedWhenTheTranslationIsValid) {
  // First stage: U/S=0 above, P=0 below (2x 3.6.1: no valid translation comes first).
  ScalableWorld w;
  w.clear(w.first.at(kVa, 4), IMS_FS_US);
  w.clear(w.first.at(kVa), 1);
  EXPECT_EQ(0x71, w.request(with(1)).fault);
  EXPECT_TRUE(w.load(w.first.at(kVa, 4)) & IMS_FS_A) << "the walk went on and marked its way";
  // User before write.
  w.set(w.first.at(kVa), 1);
  w.clear(w.first.at(kVa), IMS_FS_RW);
  w.request(with(1, W));
  EXPECT_EQ(0x81, w.request(with(1, W)).fault);
  EXPECT_FALSE(w.load(w.first.at(kVa)) & (IMS_FS_A | IMS_FS_D)) << "a refused page is not marked";
}

TEST(FaultOrder, SecondStageAtomicWithoutEitherRight) {
  ScalableWorld w;
  w.clear(w.second.at(kVa, 2), IMS_SS_R | IMS_SS_W);
  EXPECT_EQ(0x79, w.request(with(2, R | W)).fault);
}

// 3.7: parent and leaf rights of the second stage, all sixteen pairs, reads and writes.
TEST(Fault, SecondStageRightsOfParentAndLeaf) {
  for (unsigned parent = 0; parent < 4; parent++)
    for (unsigned leaf = 0; leaf < 4; leaf++)
      for (unsigned access : {R, W, R | W}) {
        ScalableWorld w;
        w.clear(w.second.at(kVa, 3), 3);
        w.set(w.second.at(kVa, 3), parent);
        w.clear(w.second.at(kVa), 3);
        w.set(w.second.at(kVa), leaf);
        unsigned have = parent & leaf, want = access == R ? 1u : access == W ? 2u : 3u;
        unsigned code = have == 0 ? 0x79 : (want & 2) > (have & 2) ? 0x85 : (want & 1) > (have & 1) ? 0x86 : 0;
        EXPECT_EQ(code, w.request(with(2, access)).fault) << parent << " over " << leaf << " for " << access;
      }
}

// A privileged write may pass a read-only page when WPE=0.
TEST(Fault, SupervisorWriteWithoutWpe) {
  ScalableWorld w;
  w.clear(w.first.at(kVa), IMS_FS_RW | IMS_FS_US);
  w.clear(w.pasid(1) + 16, bit(4));
  EXPECT_EQ(0, w.request(with(1, W | PRIV)).fault);
  EXPECT_EQ(IMS_FS_A | IMS_FS_D, w.load(w.first.at(kVa)) & (IMS_FS_A | IMS_FS_D));
  EXPECT_EQ(0x81, w.request(with(1, R)).fault);
}

TEST(Fault, SupervisorExecutionOfAUserPageUnderSmep) {
  Config c;
  rev3(c);
  ScalableWorld w(c);
  w.set(w.pasid(1) + 16, bit(1) | bit(5) | bit(6)); // ERE, NXE, SMEP
  EXPECT_EQ(0, w.request(with(1, R | X)).fault);
  EXPECT_EQ(0x82, w.request(with(1, R | X | PRIV)).fault);
  w.clear(w.first.at(kVa), IMS_FS_US);
  w.submit(inv::piotlb(1, 1));
  EXPECT_EQ(0, w.request(with(1, R | X | PRIV)).fault);
  EXPECT_EQ(0x81, w.request(with(1, R | X)).fault);
}

// Rev 4 knows no execute requests: what carries the flag is a read.
TEST(Fault, ExecuteIsARead) {
  ScalableWorld w;
  EXPECT_EQ(0, w.request(with(1, X)).fault);
  w.clear(w.second.at(kVa), IMS_SS_R);
  EXPECT_EQ(0x86, w.request(with(2, R | X)).fault);
  EXPECT_EQ(0x86, w.request(with(2, X)).fault);
}

TEST(Fault, ZeroLengthReadOfAWriteOnlyPage) {
  for (unsigned zlr : {0u, 1u}) {
    Config c;
    c.zlr = zlr;
    ScalableWorld w(c);
    w.clear(w.second.at(kVa), IMS_SS_R);
    EXPECT_EQ(0x86, w.request(with(2, R)).fault);
    EXPECT_EQ(zlr ? 0 : 0x86, w.request(with(2, R | IMS_ACC_ZLR)).fault);
  }
}

// A 1 GB page over the interrupt range serves every other address in it.
TEST(Fault, LargePageOverTheInterruptRange) {
  ScalableWorld w;
  w.second.map(0x40000000, 0xc0000000, kSsAll, 3);
  for (int warm = 0; warm < 2; warm++) {
    EXPECT_EQ(0xfedff000, w.request(with(2, R, 0x7edff000)).output);
    EXPECT_EQ(0x87, w.request(with(2, R, 0x7ee00000)).fault);
    EXPECT_EQ(0x87, w.request(with(2, R, 0x7eefffff)).fault);
    EXPECT_EQ(0xfef00000, w.request(with(2, R, 0x7ef00000)).output);
  }
}

TEST(Fault, InterruptRangeOnInput) {
  ScalableWorld w;
  ims_result res = w.request(without(W, 0xfee00018)); // an interrupt message: no DMA
  EXPECT_EQ(IMS_STATUS_BYPASS, res.status);
  EXPECT_EQ(0xfee00018, res.output);
  EXPECT_EQ(0u, res.refs);
  w.first.map(0xfee00000, kPage, kFsAll); // with PASID an address like any other
  EXPECT_EQ(kPage + 0x18, w.request(with(1, W, 0xfee00018)).output);
}

TEST(Fault, AbortModeLeavesNoRecord) {
  ScalableWorld w;
  w.put(IMS_VTD_RTADDR, w.root | 3 << 10);
  w.command(1u << 30);
  for (const ims_request &r : {with(1), without(), as(with(1), IMS_TRANSLATION_REQUEST)}) {
    ims_result res = w.request(r);
    EXPECT_EQ(IMS_STATUS_ABORT, res.status);
    EXPECT_EQ(IMS_CPL_UR, res.completion);
    EXPECT_EQ(0u, res.refs);
  }
  EXPECT_TRUE(w.faults().empty());
}

TEST(Fault, TranslationOffPassesEverything) {
  ScalableWorld w;
  w.command(1u << 31, false);
  ims_result res = w.request(without(W, 0xfedcba9876543210));
  EXPECT_EQ(IMS_STATUS_BYPASS, res.status);
  EXPECT_EQ(0xfedcba9876543210, res.output);
  EXPECT_EQ(0u, res.refs);
  EXPECT_EQ(IMS_CPL_UR, w.request(as(without(), IMS_TRANSLATION_REQUEST)).completion);
  EXPECT_TRUE(w.faults().empty());
}

// The entry changes each time the walk has read it, so that the compare-and-swap never wins (3.4, 3.6.3: a bound is the
// implementation's), and the entry vanishes between read and update.
struct UpdateThatFails : ::testing::TestWithParam<std::tuple<unsigned, unsigned, bool>> {};

TEST_P(UpdateThatFails, IsItsOwnFault) {
  auto [pgtt, stage, vanish] = GetParam();
  ScalableWorld w(Config().no_caches());
  w.compare_memory = false;
  if (stage == 2)
    w.set(w.pasid(pgtt), bit(9)); // SSADE
  unsigned tries = 0;
  ims_request r = with(pgtt);
  ims_result res = w.stepped(r, [&, stage = stage, vanish = vanish](ims_step_kind kind, const ims_step &s) {
    if (kind != IMS_STEP_UPDATE || (s.what == IMS_STRUCT_S2_TABLE) != (stage == 2))
      return;
    tries++;
    uint64_t now = 0;
    if (vanish) {
      ASSERT_EQ(IMS_ERR_OK, ims_mem_remove(w.mem(1), s.hpa & ~uint64_t(0xfff), 4096));
    } else {
      ASSERT_EQ(IMS_ERR_OK, ims_mem_load64(w.mem(1), s.hpa, &now));
      ASSERT_EQ(IMS_ERR_OK, ims_mem_store64(w.mem(1), s.hpa, now ^ bit(52))); // an ignored bit
    }
  });
  EXPECT_EQ(IMS_STATUS_FAULT, res.status);
  EXPECT_EQ(stage == 1 ? 0x91 : 0x7d, res.fault) << text(res);
  EXPECT_TRUE(res.recorded);
  EXPECT_EQ(vanish ? 1u : unsigned(IMS_WALK_RETRIES) + 1, tries);
  EXPECT_EQ(record(res.fault, r), (Record{res.record[0], res.record[1]}));
}

INSTANTIATE_TEST_SUITE_P(Stages, UpdateThatFails,
                         ::testing::Values(std::make_tuple(1u, 1u, false), std::make_tuple(1u, 1u, true),
                                           std::make_tuple(2u, 2u, false), std::make_tuple(2u, 2u, true),
                                           std::make_tuple(3u, 1u, false), std::make_tuple(3u, 1u, true),
                                           std::make_tuple(3u, 2u, false), std::make_tuple(3u, 2u, true)));

// A lost compare-and-swap judges the entry anew.
TEST(Update, LostRaceSeesTheNewEntry) {
  ScalableWorld w(Config().no_caches());
  w.compare_memory = false;
  uint64_t leaf = w.first.at(kVa);
  bool done = false;
  ims_result res = w.stepped(with(1, W), [&](ims_step_kind kind, const ims_step &s) {
    if (kind == IMS_STEP_UPDATE && s.hpa == leaf && !done) {
      done = true;
      ASSERT_EQ(IMS_ERR_OK, ims_mem_store64(w.mem(1), leaf, 0));
    }
  });
  EXPECT_TRUE(done);
  EXPECT_EQ(0x71, res.fault);
  uint64_t now = 1;
  ASSERT_EQ(IMS_ERR_OK, ims_mem_load64(w.mem(1), leaf, &now));
  EXPECT_EQ(0u, now) << "hardware does not bring an entry back";
}

} // namespace
} // namespace vtd
