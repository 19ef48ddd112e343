// SPDX-License-Identifier: Apache-2.0
// What invalidation commands remove, and what they leave: every command against every kind of cached item, ranges, levels,
// granules, VMID wildcards. Arm IHI 0070 3.17, 4.3, 4.4. Whether something is cached is told by what a request reads.
#include "tests/support/smmu_machine.h"

#include <gtest/gtest.h>

#include <memory>

namespace smmu {
namespace {

constexpr uint64_t kSmmuen = 1;

Config associative() {
  Config c; // so that nothing is evicted
  c.ste_ways = c.cd_ways = c.iotlb_ways = c.ipa_ways = c.s1_walk_ways = c.s2_walk_ways = 0;
  return c;
}

bool read_table(const Machine &m, unsigned what, unsigned from_level) {
  for (const ims_step &s : m.reads)
    if (s.what == what && s.level >= from_level)
      return true;
  return false;
}

bool read_any(const Machine &m, unsigned what) { return read_table(m, what, 0); }

// Does the IOTLB serve it?
bool hits(Machine &m, const ims_request &r) {
  ims_result res = m.request(r);
  EXPECT_EQ(IMS_STATUS_OK, res.status) << text(res);
  return !read_any(m, IMS_STRUCT_S1_TABLE) && !read_any(m, IMS_STRUCT_S2_TABLE);
}

// Virtual addresses of every stage 1 here, 4 KB pages under four levels of tables. Only the first three are used before
// the command under test: the others find out which tables are cached.
constexpr uint64_t kPage = 0x123456789000;
constexpr uint64_t kOther = kPage + 0x1000;
constexpr uint64_t kGlobal = kPage + 0x2000;
constexpr uint64_t kSame2 = kPage + 0x3000; // another page of the same last table
constexpr uint64_t kSame3 = kPage + 2 * MB; // of the next last table
constexpr uint64_t kSame4 = kPage + 1 * GB; // of the next table but one
constexpr uint64_t kAlias = kPage + 0x4000; // maps where kPage maps
constexpr uint64_t kUnused = kPage + 512 * GB;

// IPAs of the streams with stage 2. Below 64 MB lies what the guest's tables need.
constexpr uint64_t kIpa = 1 * GB;
constexpr uint64_t kIpaOther = kIpa + 0x1000;
constexpr uint64_t kIpaSame2 = kIpa + 0x2000;
constexpr uint64_t kIpaSame3 = kIpa + 2 * MB;
constexpr uint64_t kIpaSame4 = kIpa + 1 * GB;
constexpr uint64_t kIpaOfPage = kIpa + 0x8000;

// Streams: stage 1 alone (VMID 1), nested and stage 2 alone (VMID 2), and both once more with another VMID.
enum Stream : uint32_t { kA = 1, kA2, kA9, kB, kB2, kC, kC9 };

struct World {
  Machine m;
  std::vector<std::unique_ptr<Tree>> trees;

  explicit World(const Config &c = associative(), bool touch = true) : m(c) {
    Layout l;
    l.two_level = true;
    m.start(l);
    stage1(kA, 1, 10);
    stage1(kA2, 1, 11);
    stage1(kA9, 9, 10);
    Tree &s2 = *trees.emplace_back(new Tree(m, {k4K, 48, true}));
    s2.map_range(0, kGuestBase, 64 * MB, kS2All, 2);
    for (uint64_t ipa :
         {kIpa, kIpaOther, kIpaSame2, kIpaSame3, kIpaSame4, kIpaOfPage, kIpaOfPage + 0x1000, kIpaOfPage + 0x2000})
      s2.map(ipa, 0x2000000 + (ipa & 0xffff), kS2All);
    nested(s2, kB, 10);
    nested(s2, kB2, 11);
    stage2(s2, kC, 2);
    stage2(s2, kC9, 9);
    if (!touch)
      return;
    for (Stream s : {kA, kA2, kA9, kB, kB2})
      for (uint64_t va : {kPage, kOther, kGlobal})
        use(dma(s, 1, va, IMS_ACC_R));
    for (Stream s : {kC, kC9})
      for (uint64_t ipa : {kIpa, kIpaOther})
        use(dma(s, ipa));
  }

  void use(const ims_request &r) {
    ims_result res = m.request(r);
    EXPECT_EQ(IMS_STATUS_OK, res.status) << text(res);
  }

  void map_pages(Tree &t, uint64_t page, uint64_t step) {
    t.map(kPage, page, kS1All);
    t.map(kAlias, page, kS1All);
    t.map(kOther, page + step, kS1All);
    t.map(kGlobal, page + 2 * step, kS1Global);
    for (uint64_t va : {kSame2, kSame3, kSame4})
      t.map(va, page + step, kS1All);
  }

  void stage1(Stream s, unsigned vmid, unsigned asid) {
    Tree &t = *trees.emplace_back(new Tree(m, {k4K, 48}));
    map_pages(t, 0x3000000, 0x1000);
    Ste e(kS1);
    m.make_cd_table(e, 8, 1);
    m.set_ste(s, e.set(IMS_STE_S2VMID, vmid));
    Cd c(asid);
    t.describe(c);
    m.set_cd(s, 1, c);
    m.set_cd(s, 2, c);
  }

  void nested(const Tree &s2, Stream s, unsigned asid) {
    Shape in_guest;
    in_guest.in_guest = true;
    Tree &t = *trees.emplace_back(new Tree(m, in_guest));
    map_pages(t, kIpaOfPage, 0x1000);
    Ste e(kNested);
    s2.describe(e);
    m.make_cd_table(e, 8, 1);
    m.set_ste(s, e.set(IMS_STE_S2VMID, 2));
    Cd c(asid);
    t.describe(c);
    m.set_cd(s, 1, c);
  }

  void stage2(const Tree &s2, Stream s, unsigned vmid) {
    Ste e(kS2);
    s2.describe(e);
    m.set_ste(s, e.set(IMS_STE_S2VMID, vmid));
  }

  bool hit(Stream s, uint64_t va) { return hits(m, dma(s, 1, va, IMS_ACC_R)); }
  bool hit_ipa(Stream s, uint64_t ipa) { return hits(m, dma(s, ipa)); }
  // Is a descriptor of this level (2: the one above the last table) cached? The address shares it, and nothing below.
  bool table(Stream s, unsigned level) {
    static const uint64_t va[5] = {0, 0, kSame2, kSame3, kSame4};
    EXPECT_FALSE(hit(s, va[level])) << "the page itself was cached";
    return !read_table(m, IMS_STRUCT_S1_TABLE, level);
  }
  bool table2(Stream s, unsigned level) {
    static const uint64_t ipa[5] = {0, 0, kIpaSame2, kIpaSame3, kIpaSame4};
    EXPECT_FALSE(hit_ipa(s, ipa[level])) << "the page itself was cached";
    return !read_table(m, IMS_STRUCT_S2_TABLE, level);
  }
  // Is the whole stage 2 of kPage's IPA cached for nested walks?
  bool ipa_of_page() {
    use(dma(kB, 1, kAlias, IMS_ACC_R));
    for (const ims_step &s : m.reads)
      if (s.what == IMS_STRUCT_S2_TABLE && s.for_what == IMS_STRUCT_DATA)
        return false;
    return true;
  }
  bool ste(Stream s) {
    m.request(s >= kC ? dma(s, kIpa) : dma(s, 1, kPage, IMS_ACC_R));
    return !read_any(m, IMS_STRUCT_STE);
  }
  bool cd(Stream s, uint32_t ssid = 1) {
    m.request(dma(s, ssid, kPage, IMS_ACC_R));
    return !read_any(m, IMS_STRUCT_CD);
  }
};

// One thing that is cached once a World has been used.
struct Item {
  const char *name;
  bool (*present)(World &);
};

const Item items[] = {
    {"A page", [](World &w) { return w.hit(kA, kPage); }},
    {"A other page", [](World &w) { return w.hit(kA, kOther); }},
    {"A global", [](World &w) { return w.hit(kA, kGlobal); }},
    {"A table 2", [](World &w) { return w.table(kA, 2); }},
    {"A table 3", [](World &w) { return w.table(kA, 3); }},
    {"A table 4", [](World &w) { return w.table(kA, 4); }},
    {"A ASID 11 page", [](World &w) { return w.hit(kA2, kPage); }},
    {"A ASID 11 table 2", [](World &w) { return w.table(kA2, 2); }},
    {"A ASID 11 table 4", [](World &w) { return w.table(kA2, 4); }},
    {"A VMID 9 page", [](World &w) { return w.hit(kA9, kPage); }},
    {"A VMID 9 global", [](World &w) { return w.hit(kA9, kGlobal); }},
    {"A VMID 9 table 2", [](World &w) { return w.table(kA9, 2); }},
    {"B page", [](World &w) { return w.hit(kB, kPage); }},
    {"B other page", [](World &w) { return w.hit(kB, kOther); }},
    {"B global", [](World &w) { return w.hit(kB, kGlobal); }},
    {"B table 2", [](World &w) { return w.table(kB, 2); }},
    {"B table 3", [](World &w) { return w.table(kB, 3); }},
    {"B table 4", [](World &w) { return w.table(kB, 4); }},
    {"B ASID 11 page", [](World &w) { return w.hit(kB2, kPage); }},
    {"B ASID 11 table 2", [](World &w) { return w.table(kB2, 2); }},
    {"B IPA", [](World &w) { return w.ipa_of_page(); }},
    {"C page", [](World &w) { return w.hit_ipa(kC, kIpa); }},
    {"C other page", [](World &w) { return w.hit_ipa(kC, kIpaOther); }},
    {"C table 2", [](World &w) { return w.table2(kC, 2); }},
    {"C table 3", [](World &w) { return w.table2(kC, 3); }},
    {"C table 4", [](World &w) { return w.table2(kC, 4); }},
    {"C VMID 9 page", [](World &w) { return w.hit_ipa(kC9, kIpa); }},
    {"C VMID 9 table 2", [](World &w) { return w.table2(kC9, 2); }},
    {"A STE", [](World &w) { return w.ste(kA); }},
    {"A CD", [](World &w) { return w.cd(kA); }},
    {"A ASID 11 STE", [](World &w) { return w.ste(kA2); }},
    {"A ASID 11 CD", [](World &w) { return w.cd(kA2); }},
    {"B STE", [](World &w) { return w.ste(kB); }},
    {"B CD", [](World &w) { return w.cd(kB); }},
    {"C VMID 9 STE", [](World &w) { return w.ste(kC9); }},
};

using Names = std::set<std::string>;

Names operator+(Names a, const Names &b) {
  a.insert(b.begin(), b.end());
  return a;
}

const Names kTablesA = {"A table 2", "A table 3", "A table 4"};
const Names kTablesA11 = {"A ASID 11 table 2", "A ASID 11 table 4"};
const Names kTablesB = {"B table 2", "B table 3", "B table 4"};
const Names kTablesC = {"C table 2", "C table 3", "C table 4"};
const Names kAllA1 = kTablesA + kTablesA11 + Names{"A page", "A other page", "A global", "A ASID 11 page"};
const Names kAllA9 = {"A VMID 9 page", "A VMID 9 global", "A VMID 9 table 2"};
const Names kAllB = kTablesB + Names{"B page", "B other page", "B global", "B ASID 11 page", "B ASID 11 table 2"};
const Names kAllC2 = kTablesC + Names{"C page", "C other page", "B IPA"};
const Names kAllC9 = {"C VMID 9 page", "C VMID 9 table 2"};
const Names kStes = {"A STE", "A ASID 11 STE", "B STE", "C VMID 9 STE"};
const Names kCds = {"A CD", "A ASID 11 CD", "B CD"};

struct Row {
  const char *name;
  Command command;
  Names gone;
};

const Row rows[] = {
    {"NhAll", cmd::nh_all(1), kAllA1},
    {"NhAllNested", cmd::nh_all(2), kAllB},
    {"NhAllOfNoVmid", cmd::nh_all(3), {}},
    {"NhAsid", cmd::nh_asid(1, 10), kTablesA + Names{"A page", "A other page"}},
    {"NhAsidNested", cmd::nh_asid(2, 10), kTablesB + Names{"B page", "B other page"}},
    {"NhAsidOther", cmd::nh_asid(1, 11), kTablesA11 + Names{"A ASID 11 page"}},
    {"NhAsidOfNobody", cmd::nh_asid(1, 12), {}},
    {"NhVa", cmd::nh_va(1, 10, {kPage}), kTablesA + Names{"A page"}},
    {"NhVaAnyByteOfThePage", cmd::nh_va(1, 10, {kPage + 0xfff}), kTablesA + Names{"A page"}},
    {"NhVaLeaf", cmd::nh_va(1, 10, {kPage, true}), {"A page"}},
    {"NhVaNested", cmd::nh_va(2, 10, {kPage}), kTablesB + Names{"B page"}},
    {"NhVaNestedLeaf", cmd::nh_va(2, 10, {kPage, true}), {"B page"}},
    {"NhVaGlobalByAnotherAsid", cmd::nh_va(1, 11, {kGlobal}), kTablesA11 + Names{"A global"}},
    {"NhVaGlobalLeafByNoAsid", cmd::nh_va(1, 77, {kGlobal, true}), {"A global"}},
    {"NhVaGlobalNested", cmd::nh_va(2, 77, {kGlobal, true}), {"B global"}},
    {"NhVaElsewhere", cmd::nh_va(1, 10, {kUnused}), {}},
    {"NhVaNextTable", cmd::nh_va(1, 10, {kSame3}), {"A table 3", "A table 4"}},
    {"NhVaa", cmd::nh_vaa(1, {kPage}), kTablesA + kTablesA11 + Names{"A page", "A ASID 11 page"}},
    {"NhVaaLeaf", cmd::nh_vaa(1, {kPage, true}), {"A page", "A ASID 11 page"}},
    {"NhVaaGlobalLeaf", cmd::nh_vaa(1, {kGlobal, true}), {"A global"}},
    {"NhVaaNestedLeaf", cmd::nh_vaa(2, {kPage, true}), {"B page", "B ASID 11 page"}},
    {"Leaf1OfThreePages", cmd::nh_va(1, 10, {kPage, true, 1, 2, 0, 3}), {"A page", "A other page", "A global"}},
    {"S12Vmall", cmd::s12_vmall(2), kAllB + kAllC2},
    {"S12VmallOfStage1Alone", cmd::s12_vmall(1), kAllA1},
    {"S12VmallOfBoth", cmd::s12_vmall(9), kAllA9 + kAllC9},
    {"S2Ipa", cmd::s2_ipa(2, {kIpa}), kTablesC + Names{"C page"}},
    {"S2IpaLeaf", cmd::s2_ipa(2, {kIpa, true}), {"C page"}},
    {"S2IpaOfPageLeaf", cmd::s2_ipa(2, {kIpaOfPage, true}), {"B IPA"}},
    {"S2IpaIgnoresUpperBits", cmd::s2_ipa(2, {kIpa | 0xff00000000000000, true}), {"C page"}},
    {"S2IpaOtherVmid", cmd::s2_ipa(9, {kIpa}), kAllC9},
    {"S2IpaNoVmid", cmd::s2_ipa(3, {kIpa}), {}},
    {"NsnhAll", cmd::nsnh_all(), kAllA1 + kAllA9 + kAllB + kAllC2 + kAllC9},
    {"CfgiSte", cmd::cfgi_ste(kA), {"A STE", "A CD"}},
    {"CfgiSteWithL1", cmd::cfgi_ste(kA, false), {"A STE", "A CD"}},
    {"CfgiSteRange", cmd::cfgi_ste_range(kA2, 0), {"A ASID 11 STE", "A ASID 11 CD"}}, // 2 and 3
    {"CfgiSteRangeOfFour", cmd::cfgi_ste_range(kA9, 1), {"A STE", "A CD", "A ASID 11 STE", "A ASID 11 CD"}},
    {"CfgiSteRangeElsewhere", cmd::cfgi_ste_range(64, 5), {}},
    {"CfgiSteRangeLargest", cmd::cfgi_ste_range(0, 30), kStes + kCds},
    {"CfgiAll", cmd::cfgi_ste_range(0xffffffff, 31), kStes + kCds},
    {"CfgiCd", cmd::cfgi_cd(kA, 1), {"A CD"}},
    {"CfgiCdWithL1", cmd::cfgi_cd(kA, 1, false), {"A CD"}},
    {"CfgiCdOfAnotherSubstream", cmd::cfgi_cd(kA, 3), {}},
    {"CfgiCdAll", cmd::cfgi_cd_all(kB), {"B CD"}},
    {"Prefetch", cmd::prefetch_addr(kA, kPage), {}},
    {"Sync", cmd::sync(), {}},
    {"AtcInv", cmd::atc_inv(kA, 0, 52), {}},
    {"El2All", cmd::el2_all(), {}},
    {"El2Va", cmd::el2_va(10, {kPage}), {}},
};

TEST(InvalidationMatrix, EverythingIsCachedToBeginWith) {
  for (const Item &i : items) {
    World w;
    EXPECT_TRUE(i.present(w)) << i.name;
    World cold(associative(), false);
    EXPECT_FALSE(i.present(cold)) << i.name << " cannot be told from what is not cached";
  }
}

class InvalidationMatrix : public testing::TestWithParam<Row> {};

TEST_P(InvalidationMatrix, RemovesWhatItMustAndNothingElse) {
  const Row &r = GetParam();
  for (const Item &i : items) {
    World w;
    w.m.submit(r.command);
    ASSERT_EQ(kNone, w.m.command_error());
    EXPECT_EQ(!r.gone.count(i.name), i.present(w)) << i.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Commands, InvalidationMatrix, testing::ValuesIn(rows),
                         [](const auto &row) { return row.param.name; });

// EL2: STRW=2, by CR2.E2H with ASIDs or without. Entries of both worlds are made by turning E2H over.

struct El2World {
  Machine m{associative()};
  std::vector<std::unique_ptr<Tree>> trees;
  enum : uint32_t { kEl1 = 1, kEl2, kE2h, kE2hOther };

  El2World() {
    m.start();
    e2h(false);
    stream(kEl1, 0, 10);
    stream(kEl2, 2, 10);
    stream(kE2h, 2, 10);
    stream(kE2hOther, 2, 11);
    touch(kEl1);
    touch(kEl2);
    e2h(true);
    touch(kE2h);
    touch(kE2hOther);
  }

  void e2h(bool on) {
    m.disable(kSmmuen);
    m.put(IMS_SMMUV3_CR2, on);
    m.enable(kSmmuen);
    m.submit(cmd::cfgi_all()); // it may be cached with the STE
  }

  void stream(uint32_t s, unsigned strw, unsigned asid) {
    Tree &t = *trees.emplace_back(new Tree(m, {k4K, 48}));
    t.map(kPage, 0x3000000, kS1All);
    t.map(kGlobal, 0x3001000, kS1Global);
    t.map(kSame2, 0x3002000, kS1All);
    Ste e(kS1);
    m.make_cd_table(e);
    m.set_ste(s, e.set(IMS_STE_STRW, strw));
    Cd c(asid);
    t.describe(c);
    m.set_cd(s, c.set(IMS_CD_ASET, asid & 1)); // so that global entries are of one stream
  }

  void touch(uint32_t s) {
    m.request(dma(s, kPage, IMS_ACC_R | IMS_ACC_PRIV));
    m.request(dma(s, kGlobal, IMS_ACC_R | IMS_ACC_PRIV));
  }

  // What is there still, as letters: page, global page, table.
  std::string left(uint32_t s) {
    e2h(s >= kE2h);
    std::string found;
    for (auto [va, letter] : {std::pair<uint64_t, char>{kPage, 'p'}, {kGlobal, 'g'}})
      if (hits(m, dma(s, va, IMS_ACC_R | IMS_ACC_PRIV)))
        found += letter;
    EXPECT_FALSE(hits(m, dma(s, kSame2, IMS_ACC_R | IMS_ACC_PRIV)));
    // After a miss above the table has come back, unless both hit.
    if (found == "pg" && !read_table(m, IMS_STRUCT_S1_TABLE, 2))
      found += 't';
    return found;
  }
  std::vector<std::string> all() {
    std::vector<std::string> v;
    for (uint32_t s : {kEl1, kEl2, kE2h, kE2hOther})
      v.push_back(left(s));
    return v;
  }
};

using Left = std::vector<std::string>;

TEST(El2, KeepsItsTwoWorldsApart) {
  El2World w;
  EXPECT_EQ((Left{"pgt", "pgt", "pgt", "pgt"}), w.all());
}

TEST(El2, AllRemovesBothWorlds) {
  El2World w;
  w.m.submit(cmd::el2_all());
  EXPECT_EQ((Left{"pgt", "", "", ""}), w.all());
}

TEST(El2, NsnhAllLeavesEl2) {
  El2World w;
  w.m.submit(cmd::nsnh_all());
  EXPECT_EQ((Left{"", "pgt", "pgt", "pgt"}), w.all());
}

TEST(El2, CommandsOfEl1LeaveEl2) {
  El2World w;
  w.m.submit({cmd::nh_all(0), cmd::s12_vmall(0), cmd::nh_asid(0, 10), cmd::nh_vaa(0, {kPage})});
  EXPECT_EQ((Left{"", "pgt", "pgt", "pgt"}), w.all());
}

TEST(El2, AsidRemovesNonGlobalEntriesOfE2hOnly) {
  {
    El2World w;
    w.m.submit(cmd::el2_asid(10));
    EXPECT_EQ((Left{"pgt", "pgt", "g", "pgt"}), w.all());
  }
  {
    El2World w;
    w.e2h(false); // 4.4.2.10 does not ask CR2.E2H
    w.m.submit(cmd::el2_asid(11));
    EXPECT_EQ((Left{"pgt", "pgt", "pgt", "g"}), w.all());
  }
}

TEST(El2, VaWithE2hGoesByAsidAndTakesGlobalEntries) {
  {
    El2World w;
    w.m.submit(cmd::el2_va(10, {kPage, true}));
    EXPECT_EQ((Left{"pgt", "pgt", "g", "pgt"}), w.all());
  }
  {
    El2World w;
    w.m.submit(cmd::el2_va(99, {kGlobal, true}));
    EXPECT_EQ((Left{"pgt", "pgt", "p", "p"}), w.all()) << "whatever their ASID and ASET";
  }
}

TEST(El2, VaWithoutE2hHasNoAsid) {
  El2World w;
  w.e2h(false);
  w.m.submit(cmd::el2_va(99, {kPage, true}));
  EXPECT_EQ((Left{"pgt", "g", "pgt", "pgt"}), w.all());
}

TEST(El2, VaaGoesByTheWorldOfCr2) {
  {
    El2World w;
    w.m.submit(cmd::el2_vaa({kPage, true}));
    EXPECT_EQ((Left{"pgt", "pgt", "g", "g"}), w.all());
  }
  {
    El2World w;
    w.e2h(false);
    w.m.submit(cmd::el2_vaa({kPage, true}));
    EXPECT_EQ((Left{"pgt", "g", "pgt", "pgt"}), w.all());
  }
}

// VMIDs and ASIDs.

// One stream of stage 1 alone for each VMID; which of them still hit?
struct Vmids {
  Machine m;
  std::vector<std::unique_ptr<Tree>> trees;
  std::vector<unsigned> vmids;

  Vmids(const Config &c, std::vector<unsigned> v) : m(c), vmids(std::move(v)) {
    m.start();
    for (unsigned i = 0; i < vmids.size(); i++) {
      Tree &t = *trees.emplace_back(new Tree(m, {k4K, 48}));
      t.map(kPage, 0x3000000, kS1All);
      Ste e(kS1);
      m.make_cd_table(e);
      m.set_ste(i, e.set(IMS_STE_S2VMID, vmids[i]));
      Cd cd(10);
      t.describe(cd);
      m.set_cd(i, cd);
      m.request(dma(i, kPage));
    }
  }
  std::vector<unsigned> left() {
    std::vector<unsigned> v;
    for (unsigned i = 0; i < vmids.size(); i++)
      if (hits(m, dma(i, kPage)))
        v.push_back(vmids[i]);
    return v;
  }
};

using Ids = std::vector<unsigned>;

TEST(VmidWildcard, IgnoresLowBitsOnInvalidationOnly) {
  const Ids vmids = {0x20, 0x21, 0x22, 0x23, 0x24, 0x27, 0x28, 0x2f, 0x30};
  const Ids left[8] = {
      {0x20, 0x21, 0x22, 0x24, 0x27, 0x28, 0x2f, 0x30},
      {0x20, 0x21, 0x24, 0x27, 0x28, 0x2f, 0x30},
      {0x24, 0x27, 0x28, 0x2f, 0x30},
      {0x28, 0x2f, 0x30},
      {0x30},
      {0x20, 0x21, 0x22, 0x24, 0x27, 0x28, 0x2f, 0x30}, // reserved: no wildcard
      {0x20, 0x21, 0x22, 0x24, 0x27, 0x28, 0x2f, 0x30},
      {0x20, 0x21, 0x22, 0x24, 0x27, 0x28, 0x2f, 0x30},
  };
  for (unsigned vmw = 0; vmw < 8; vmw++) {
    for (const Command &c : {cmd::nh_all(0x23), cmd::nh_asid(0x23, 10), cmd::nh_va(0x23, 10, {kPage, true}),
                             cmd::nh_vaa(0x23, {kPage, true}), cmd::s12_vmall(0x23)}) {
      Vmids v(associative(), vmids);
      v.m.put(IMS_SMMUV3_CR0, (v.m.get(IMS_SMMUV3_CR0) & ~uint64_t(7 << 6)) | vmw << 6);
      EXPECT_EQ(vmids, v.left()) << "look-ups compare all bits";
      v.m.submit(c);
      EXPECT_EQ(left[vmw], v.left()) << "VMW " << vmw << " opcode " << (c.word[0] & 0xff);
    }
  }
}

TEST(VmidWildcard, HoldsForStage2ByIpa) {
  Machine m(associative());
  m.start();
  Tree s2(m, {k4K, 48, true});
  s2.map(kIpa, 0x3000000, kS2All);
  for (unsigned vmid = 4; vmid < 8; vmid++) {
    Ste e(kS2);
    s2.describe(e);
    m.set_ste(vmid, e.set(IMS_STE_S2VMID, vmid));
    m.request(dma(vmid, kIpa));
  }
  m.put(IMS_SMMUV3_CR0, m.get(IMS_SMMUV3_CR0) | 1 << 6);
  m.submit(cmd::s2_ipa(5, {kIpa}));
  EXPECT_FALSE(hits(m, dma(4, kIpa)));
  EXPECT_FALSE(hits(m, dma(5, kIpa)));
  EXPECT_TRUE(hits(m, dma(6, kIpa)));
  EXPECT_TRUE(hits(m, dma(7, kIpa)));
}

TEST(Vmid, IsNotComparedWithoutStage2) {
  Config c = associative();
  c.s2p = 0;
  Vmids v(c, {0});
  v.m.submit(cmd::nh_all(7));
  EXPECT_EQ(Ids{}, v.left());
}

TEST(Vmid, Above8BitsMatchesNothingWhereThereAreOnly8) {
  Config c = associative();
  c.vmid16 = 0;
  Vmids v(c, {1, 2});
  v.m.submit({cmd::nh_all(0x101), cmd::nh_asid(0x101, 10), cmd::nh_vaa(0x101, {kPage}), cmd::s12_vmall(0x101)});
  EXPECT_EQ((Ids{1, 2}), v.left());
  v.m.submit(cmd::nh_all(1));
  EXPECT_EQ(Ids{2}, v.left());
}

TEST(Asid, Above8BitsMatchesNothingWhereThereAreOnly8) {
  Config c = associative();
  c.asid16 = 0;
  Vmids v(c, {1});
  v.trees[0]->map(kGlobal, 0x3000000, kS1Global);
  v.m.request(dma(0, kGlobal));
  v.m.submit({cmd::nh_asid(1, 0x10a), cmd::nh_va(1, 0x10a, {kPage}), cmd::nh_va(1, 0x10a, {kGlobal})});
  EXPECT_EQ(Ids{1}, v.left());
  EXPECT_TRUE(hits(v.m, dma(0, kGlobal)));
  v.m.submit(cmd::nh_asid(1, 10));
  EXPECT_EQ(Ids{}, v.left());
}

// 0 is an ASID like others, and not that of global entries.
TEST(Asid, ZeroLeavesGlobalEntries) {
  Machine m(associative());
  m.start();
  Tree t(m, {k4K, 48});
  t.map(kPage, 0x3000000, kS1All);
  t.map(kGlobal, 0x3001000, kS1Global);
  Ste e(kS1);
  m.make_cd_table(e);
  m.set_ste(1, e);
  Cd c(0);
  t.describe(c);
  m.set_cd(1, c);
  m.request(dma(1, kPage));
  m.request(dma(1, kGlobal));
  m.submit(cmd::nh_asid(0, 0));
  EXPECT_FALSE(hits(m, dma(1, kPage)));
  EXPECT_TRUE(hits(m, dma(1, kGlobal)));
}

// Global entries of one VMID, of the SMMU's own address spaces and of shared ones: ASET does not limit a TLBI (4.4).
TEST(Asid, CommandsReachEntriesOfEitherAset) {
  for (const Command &c : {cmd::nh_va(0, 99, {kGlobal, true}), cmd::nh_vaa(0, {kGlobal, true}), cmd::nh_all(0)}) {
    Machine m(associative());
    m.start();
    Tree t(m, {k4K, 48});
    t.map(kGlobal, 0x3000000, kS1Global);
    for (unsigned aset = 0; aset < 2; aset++) {
      Ste e(kS1);
      m.make_cd_table(e);
      m.set_ste(aset, e);
      Cd cd(10 + aset);
      t.describe(cd);
      m.set_cd(aset, cd.set(IMS_CD_ASET, aset));
      m.request(dma(aset, kGlobal));
    }
    m.submit(c);
    EXPECT_FALSE(hits(m, dma(0, kGlobal)));
    m.drop_caches();
    m.request(dma(0, kGlobal));
    m.request(dma(1, kGlobal));
    m.submit(c);
    EXPECT_FALSE(hits(m, dma(1, kGlobal)));
  }
}

// Addresses, ranges, granules and levels (4.4.1.1).

// Stage 1 alone, ASID 10, both halves of the address space.
struct Space {
  Machine m{associative()};
  Tree low, high;
  explicit Space(Granule g = k4K, unsigned bits = 48) : low(m, {g, bits}), high(m, {g, bits}) {
    m.start();
    Ste e(kS1);
    m.make_cd_table(e);
    m.set_ste(1, e);
    Cd c(10);
    low.describe(c);
    high.describe(c, 1);
    m.set_cd(1, c);
  }
  void use(uint64_t va) {
    ims_result r = m.request(dma(1, va));
    EXPECT_EQ(IMS_STATUS_OK, r.status) << text(r);
  }
  bool hit(uint64_t va) { return hits(m, dma(1, va)); }
};

struct Span {
  Granule granule;
  unsigned num, scale;
  uint64_t pages;
};

class Range : public testing::TestWithParam<Span> {};

TEST_P(Range, ReachesFromItsAddressToItsLastByte) {
  const Span &p = GetParam();
  Space s(p.granule);
  uint64_t page = s.low.size(3), base = 0x10000000, bytes = p.pages * page;
  // The pages at both borders of the range, and one in it.
  const std::set<uint64_t> inside = {base, base + p.pages / 2 * page, base + bytes - page};
  const std::set<uint64_t> outside = {base - page, base + bytes};
  for (uint64_t va : inside)
    s.low.map(va, 0x200000, kS1All);
  for (uint64_t va : outside)
    s.low.map(va, 0x200000, kS1All);
  for (bool leaf : {true, false}) {
    for (uint64_t va : inside)
      s.use(va);
    for (uint64_t va : outside)
      s.use(va);
    unsigned tg = p.granule == k4K ? 1 : p.granule == k16K ? 2 : 3;
    s.m.submit(cmd::nh_va(0, 10, {base, leaf, tg, p.num, p.scale, 3}));
    for (uint64_t va : outside)
      EXPECT_TRUE(s.hit(va)) << std::hex << va;
    for (uint64_t va : inside)
      EXPECT_FALSE(s.hit(va)) << std::hex << va;
  }
}

INSTANTIATE_TEST_SUITE_P(Spans, Range,
                         testing::Values(Span{k4K, 0, 0, 1}, Span{k4K, 1, 0, 2}, Span{k4K, 31, 0, 32},
                                         Span{k4K, 0, 5, 32}, Span{k4K, 2, 3, 24}, Span{k4K, 7, 9, 4096},
                                         Span{k4K, 31, 20, 32 << 20}, Span{k16K, 0, 0, 1}, Span{k16K, 4, 2, 20},
                                         Span{k64K, 0, 0, 1}, Span{k64K, 30, 1, 62}, Span{k64K, 0, 10, 1024}));

TEST(Range, FromTheLowerHalfDoesNotReachTheUpper) {
  Space s;
  uint64_t high = 0xffff800000001000;
  s.low.map(kPage, 0x200000, kS1All);
  s.high.map(high, 0x200000, kS1All);
  s.use(kPage);
  s.use(high);
  s.m.submit(cmd::nh_va(0, 10, {0x1000, true, 3, 31, 31, 0}));
  EXPECT_TRUE(s.hit(kPage)) << "another granule";
  s.m.submit(cmd::nh_va(0, 10, {0x1000, true, 1, 31, 31, 0}));
  EXPECT_FALSE(s.hit(kPage));
  EXPECT_TRUE(s.hit(high));
  s.use(kPage);
  s.m.submit(cmd::nh_va(0, 10, {0xffff800000000000, true, 1, 31, 31, 0}));
  EXPECT_TRUE(s.hit(kPage)) << "a range does not wrap";
  EXPECT_FALSE(s.hit(high));
}

TEST(Range, LargestScalesActAs39) {
  constexpr uint64_t kEnd = uint64_t(1) << 51; // of 2^39 pages
  Config c = associative();
  c.ds = 1;
  c.oas = 6;
  c.vax = 1;
  Machine m(c);
  m.start();
  Shape wide;
  wide.in_bits = 52;
  wide.ds = true;
  Tree t(m, wide);
  Ste e(kS1);
  m.make_cd_table(e);
  m.set_ste(1, e);
  Cd cd(10);
  t.describe(cd);
  m.set_cd(1, cd);
  for (unsigned scale : {39u, 40u, 63u}) {
    for (uint64_t va : {uint64_t(0x1000), kEnd - 0x1000, kEnd}) {
      t.map(va, 0x200000, kS1All);
      ims_result r = m.request(dma(1, va));
      ASSERT_EQ(IMS_STATUS_OK, r.status) << text(r);
    }
    m.submit(cmd::nh_va(0, 10, {0, true, 1, 0, scale, 0}));
    EXPECT_FALSE(hits(m, dma(1, 0x1000)));
    EXPECT_FALSE(hits(m, dma(1, kEnd - 0x1000)));
    EXPECT_TRUE(hits(m, dma(1, kEnd))) << scale;
  }
}

TEST(Range, WithoutRilOnePageIsMeant) {
  Config c = associative();
  c.ril = 0;
  Machine m(c);
  m.start();
  Tree t(m, {k4K, 48});
  Ste e(kS1);
  m.make_cd_table(e);
  m.set_ste(1, e);
  Cd cd(10);
  t.describe(cd);
  m.set_cd(1, cd);
  for (uint64_t va : {kPage, kOther}) {
    t.map(va, 0x200000, kS1All);
    m.request(dma(1, va));
  }
  m.submit(cmd::nh_va(0, 10, {kPage, true, 3, 31, 0, 1})); // range, granule and level are reserved
  EXPECT_FALSE(hits(m, dma(1, kPage)));
  EXPECT_TRUE(hits(m, dma(1, kOther)));
}

TEST(Granule, OfACommandMustBeThatOfTheTable) {
  for (unsigned tg = 1; tg < 4; tg++) {
    Machine m(associative());
    m.start();
    std::vector<std::unique_ptr<Tree>> trees;
    for (unsigned g = 0; g < 3; g++) {
      Tree &t = *trees.emplace_back(new Tree(m, {static_cast<Granule>(g), 48}));
      t.map(0x40000000, 0x200000, kS1All);
      t.map(0x40010000, 0x200000, kS1All);
      Ste e(kS1);
      m.make_cd_table(e);
      m.set_ste(g, e);
      Cd cd(10 + g);
      t.describe(cd);
      m.set_cd(g, cd);
      m.request(dma(g, 0x40000000));
    }
    m.submit(cmd::nh_vaa(0, {0x40000000, false, tg, 3, 0, 3}));
    for (unsigned g = 0; g < 3; g++) {
      EXPECT_EQ(g + 1 != tg, hits(m, dma(g, 0x40000000))) << "granule " << g << " TG " << tg;
      if (g + 1 != tg) {
        EXPECT_FALSE(hits(m, dma(g, 0x40010000)));
        EXPECT_FALSE(read_table(m, IMS_STRUCT_S1_TABLE, 2)) << "tables of another granule stay too";
      }
    }
  }
}

TEST(Granule, OfStage2IsComparedToo) {
  for (unsigned g = 0; g < 3; g++) {
    for (unsigned tg = 1; tg < 4; tg++) {
      Machine m(associative());
      m.start();
      Tree s2(m, {static_cast<Granule>(g), 48, true});
      for (uint64_t ipa : {0x40000000, 0x40010000})
        s2.map(ipa, 0x2000000, kS2All);
      Ste e(kS2);
      s2.describe(e);
      m.set_ste(1, e.set(IMS_STE_S2VMID, 5));
      m.request(dma(1, 0x40000000));
      m.submit(cmd::s2_ipa(5, {0x40000000, false, tg, 1, 0, 0}));
      EXPECT_EQ(g + 1 != tg, hits(m, dma(1, 0x40000000))) << "granule " << g << " TG " << tg;
      if (g + 1 != tg) {
        EXPECT_FALSE(hits(m, dma(1, 0x40010000)));
        EXPECT_FALSE(read_table(m, IMS_STRUCT_S2_TABLE, 2)) << "tables of another granule stay too";
      }
    }
  }
}

// Leaves of every level that the granule has; TTL removes one kind, and the tables above it.
TEST(Level, OfACommandNamesTheLeavesThatGo) {
  const Granule granules[] = {k4K, k16K, k64K};
  for (Granule g : granules) {
    unsigned tg = g == k4K ? 1 : g == k16K ? 2 : 3;
    for (unsigned ttl = 0; ttl < 4; ttl++) {
      Space s(g);
      std::vector<std::pair<int, uint64_t>> leaves; // by level
      for (int level = g == k4K ? 1 : 2; level <= 3; level++) {
        uint64_t va = 0x200000000000 + s.low.size(level) * (level == 3 ? 3 : 4 - level);
        s.low.map(va, s.low.size(level), kS1All, level);
        s.use(va);
        leaves.push_back({level, va});
      }
      bool any = ttl == 0 || (g == k16K && ttl == 1); // reserved with 16 KB: any level
      s.m.submit(cmd::nh_va(0, 10, {0x200000000000, true, tg, 31, 20, ttl}));
      ASSERT_EQ(kNone, s.m.command_error());
      for (auto [level, va] : leaves)
        EXPECT_EQ(!any && static_cast<unsigned>(level) != ttl, s.hit(va))
            << "granule " << g << " level " << level << " TTL " << ttl;
    }
  }
}

TEST(Level, OfACommandLeavesTablesAtAndBelowIt) {
  for (unsigned ttl = 1; ttl < 4; ttl++) {
    for (unsigned cached = 2; cached <= 4; cached++) { // the table descriptor under test, 2: at level 2, 4: at level 0
      World w;
      w.m.submit(cmd::nh_va(1, 10, {kPage, false, 1, 0, 0, ttl}));
      unsigned arch_level = 4 - cached;
      EXPECT_EQ(arch_level >= ttl, w.table(kA, cached)) << "TTL " << ttl << " table of level " << arch_level;
    }
    World w;
    w.m.submit(cmd::nh_va(1, 10, {kPage, false, 1, 0, 0, ttl}));
    EXPECT_EQ(ttl != 3, w.hit(kA, kPage));
  }
}

TEST(Level, HoldsForStage2Too) {
  for (unsigned ttl = 0; ttl < 4; ttl++) {
    Machine m(associative());
    m.start();
    Tree s2(m, {k4K, 48, true});
    s2.map(1 * GB, 1 * GB, kS2All, 1);
    s2.map(2 * GB, 2 * MB, kS2All, 2);
    s2.map(3 * GB, 4 * KB, kS2All, 3);
    Ste e(kS2);
    s2.describe(e);
    m.set_ste(1, e.set(IMS_STE_S2VMID, 5));
    for (uint64_t ipa = 1 * GB; ipa <= 3 * GB; ipa += 1 * GB)
      m.request(dma(1, ipa));
    m.submit(cmd::s2_ipa(5, {0, true, 1, 31, 20, ttl}));
    for (unsigned level = 1; level < 4; level++)
      EXPECT_EQ(ttl && ttl != level, hits(m, dma(1, level * GB))) << "level " << level << " TTL " << ttl;
  }
}

// Blocks and runs.

TEST(Block, GoesByAnyAddressInIt) {
  Space s;
  s.low.map(1 * GB, 1 * GB, kS1All, 1);
  s.low.map(2 * GB, 2 * MB, kS1All, 2);
  s.use(1 * GB);
  s.use(2 * GB);
  s.m.submit(cmd::nh_va(0, 10, {1 * GB + 0x12345000, true}));
  EXPECT_FALSE(s.hit(1 * GB));
  EXPECT_TRUE(s.hit(2 * GB));
  s.m.submit(cmd::nh_va(0, 10, {2 * GB + 2 * MB - 1, true}));
  EXPECT_FALSE(s.hit(2 * GB));
}

// A stage-1 block over small stage-2 pages is cached in pieces; they go together.
TEST(Block, CachedInPiecesGoesAsAWhole) {
  for (const Pages &p : {Pages{2 * GB + 0x5000, true}, Pages{2 * GB, true, 1, 0, 0, 2}}) {
    Machine m(associative());
    m.start();
    Tree s2(m, {k4K, 48, true});
    Shape in_guest;
    in_guest.in_guest = true;
    Tree s1(m, in_guest);
    s2.map_range(0, kGuestBase, 8 * MB, kS2All, 2);
    s2.map_range(1 * GB, 0x2000000, 2 * MB, kS2All);
    s2.map_range(1 * GB + 2 * MB, 0x2000000, 2 * MB, kS2All);
    s1.map(2 * GB, 1 * GB, kS1All, 2);
    s1.map(2 * GB + 2 * MB, 1 * GB + 2 * MB, kS1All, 2);
    Ste e(kNested);
    s2.describe(e);
    m.make_cd_table(e);
    m.set_ste(1, e.set(IMS_STE_S2VMID, 5));
    Cd c(10);
    s1.describe(c);
    m.set_cd(1, c);
    for (uint64_t va : {2 * GB, 2 * GB + 0x9000, 2 * GB + 2 * MB - 0x1000, 2 * GB + 2 * MB}) {
      ims_result r = m.request(dma(1, va));
      EXPECT_EQ(12, r.shift) << text(r);
    }
    m.submit(cmd::nh_va(5, 10, p));
    EXPECT_TRUE(hits(m, dma(1, 2 * GB + 2 * MB)));
    for (uint64_t va : {2 * GB, 2 * GB + 0x9000, 2 * GB + 2 * MB - 0x1000})
      EXPECT_FALSE(hits(m, dma(1, va))) << std::hex << va;
  }
}

TEST(Block, OfStage2GoesFromTheIpaCache) {
  Machine m(associative());
  m.start();
  Tree s2(m, {k4K, 48, true});
  Shape in_guest;
  in_guest.in_guest = true;
  Tree s1(m, in_guest);
  s2.map_range(0, kGuestBase, 8 * MB, kS2All, 2);
  s2.map(1 * GB, 2 * MB, kS2All, 2);
  for (uint64_t i = 0; i < 4; i++)
    s1.map(kPage + i * 0x1000, 1 * GB + i * 0x10000, kS1All);
  Ste e(kNested);
  s2.describe(e);
  m.make_cd_table(e);
  m.set_ste(1, e.set(IMS_STE_S2VMID, 5));
  Cd c(10);
  s1.describe(c);
  m.set_cd(1, c);
  m.request(dma(1, kPage));
  m.request(dma(1, kPage + 0x1000));
  EXPECT_FALSE(read_any(m, IMS_STRUCT_S2_TABLE)) << "the block is known already";
  m.submit(cmd::s2_ipa(5, {1 * GB + 0x123000, true}));
  m.request(dma(1, kPage + 0x2000));
  EXPECT_TRUE(read_any(m, IMS_STRUCT_S2_TABLE));
  EXPECT_TRUE(hits(m, dma(1, kPage))) << "combined translations are not found by IPA";
}

TEST(ContiguousRun, GoesByAnyAddressInIt) {
  Space s;
  for (uint64_t i = 0; i < 16; i++)
    s.low.map(0x40000000 + i * 0x1000, 0x200000 + i * 0x1000, kS1All | kContiguous);
  s.use(0x40000000);
  EXPECT_TRUE(s.hit(0x4000f000)) << "one entry for the run";
  s.m.submit(cmd::nh_va(0, 10, {0x40010000, true}));
  EXPECT_TRUE(s.hit(0x40000000));
  s.m.submit(cmd::nh_va(0, 10, {0x40007000, true, 1, 0, 0, 3}));
  EXPECT_FALSE(s.hit(0x40000000));
}

// Structures.

TEST(Cfgi, ReachesTheSubstreamsOfAStream) {
  World w;
  w.use(dma(kA, 2, kPage, IMS_ACC_R));
  w.m.submit(cmd::cfgi_cd(kA, 2));
  EXPECT_TRUE(w.cd(kA, 1));
  EXPECT_FALSE(w.cd(kA, 2));
  w.m.submit(cmd::cfgi_cd_all(kA));
  EXPECT_TRUE(w.ste(kA));
  EXPECT_FALSE(w.cd(kA, 2));
  w.m.submit(cmd::cfgi_cd_all(kA));
  EXPECT_FALSE(w.cd(kA, 1));
}

TEST(Cfgi, MakesAChangedStreamTableVisible) {
  World w;
  Ste e(kAbort);
  w.m.set_ste(kA, e);
  EXPECT_TRUE(w.hit(kA, kPage)) << "the old STE is cached still";
  w.m.submit({cmd::cfgi_ste(kA), cmd::sync()});
  EXPECT_EQ(IMS_STATUS_ABORT, w.m.request(dma(kA, 1, kPage, IMS_ACC_R)).status);
}

// A translation whose walk was overtaken by an invalidation must not leave behind what it read before.
TEST(Race, WhatATlbiOvertookIsNotKept) {
  for (unsigned cache : {IMS_CACHE_IOTLB, IMS_CACHE_S1_L2}) {
    Space s;
    s.low.map(kPage, 0x200000, kS1All);
    s.m.place(cmd::nh_all(0));
    bool done = false;
    s.m.stepped(dma(1, kPage), [&](ims_step_kind kind, const ims_step &step) {
      if (done || kind != IMS_STEP_FILL || step.cache != cache)
        return;
      done = true;
      ims_iommu_write(s.m.unit(1), IMS_SMMUV3_OFF_CMDQ_PROD, 4, 1);
    });
    EXPECT_TRUE(done);
    s.m.stepped(dma(1, kPage), nullptr);
    EXPECT_TRUE(read_table(s.m, IMS_STRUCT_S1_TABLE, cache == IMS_CACHE_IOTLB ? 1 : 2)) << ims_cache_name(cache);
  }
}

TEST(Race, AnSteThatACfgiOvertookIsNotKept) {
  Space s;
  s.low.map(kPage, 0x200000, kS1All);
  s.m.place(cmd::cfgi_all());
  bool done = false;
  s.m.stepped(dma(1, kPage), [&](ims_step_kind kind, const ims_step &step) {
    if (done || kind != IMS_STEP_FILL || step.cache != IMS_CACHE_CONTEXT)
      return;
    done = true;
    ims_iommu_write(s.m.unit(1), IMS_SMMUV3_OFF_CMDQ_PROD, 4, 1);
  });
  EXPECT_TRUE(done);
  s.m.stepped(dma(1, kPage), nullptr);
  EXPECT_TRUE(read_any(s.m, IMS_STRUCT_STE));
}

} // namespace
} // namespace smmu
