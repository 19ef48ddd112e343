// SPDX-License-Identifier: Apache-2.0
// STE edits while the hardware looks: after each single store and after each command, what a stream's transactions give is
// what the old entry gave, or what the new one gives, or they abort. With caches and without.
#include "pasid/smmu.h"
#include "pgtable/pool.h"
#include "tests/uapi/arm_guest.h"
#include "uapi/smmuv3_ste.h"
#include <array>
#include <random>

namespace uapi_test {
namespace {

constexpr uint32_t kSid = 5;
constexpr uint64_t kTable = 0x100000, kQueue = 0x200000;

struct Seen {
  uint8_t status;
  uint64_t output;
  uint16_t fault;
  uint32_t attr;
  bool operator==(const Seen &o) const {
    return status == o.status && output == o.output && fault == o.fault && attr == o.attr;
  }
};

// An SMMUv3 with a linear stream table, tables of both stages in two versions, and no driver but this one.
class Bench {
public:
  explicit Bench(bool caches) {
    ims_mem_init(&mem);
    EXPECT_EQ(ims_mem_add_ram(&mem, 0, 64 * kMB), IMS_ERR_OK);
    EXPECT_EQ(ims_page_pool_init(&pool, &mem, 16 * kMB, 48 * kMB), IMS_ERR_OK);
    pgt_mem = ims_page_pool_pgt_mem(&pool);
    ims_smmuv3_config c;
    ims_smmuv3_config_default(&c);
    if (!caches)
      c.ste_entries = c.cd_entries = c.iotlb_entries = c.ipa_entries = c.s1_walk_entries = c.s2_walk_entries = 0;
    ims_iommu_bus bus{};
    EXPECT_EQ(ims_smmuv3_new(&unit, &c, &mem, &bus), IMS_ERR_OK);
    Write(IMS_SMMUV3_OFF_STRTAB_BASE, kTable, 8);
    Write(IMS_SMMUV3_OFF_STRTAB_BASE_CFG, 8);
    Write(IMS_SMMUV3_OFF_CMDQ_BASE, kQueue | 8, 8);
    Write(IMS_SMMUV3_OFF_CR0, 9);
    for (int v = 0; v < 2; v++) {
      // Stage 2: IPA [0, 48 MB) to itself, shifted by a page in version 1. Stage 1: VA 1 GB on, to IPA from 1 MB or 2 MB.
      s2[v] = Stage(IMS_PGT_VMSA_S2, s2_fmt[v]);
      uint64_t shift = v * kPage;
      EXPECT_EQ(ims_pgt_map(&s2[v], &pgt_mem, 0, 0, 64 * kMB, 3, IMS_MAP_A, 1), IMS_ERR_OK);
      EXPECT_EQ(ims_pgt_unmap(&s2[v], &pgt_mem, 0x400000, 0x100000, 0, nullptr), IMS_ERR_OK);
      EXPECT_EQ(ims_pgt_map(&s2[v], &pgt_mem, 0x400000, 0x500000 + shift, 0x100000, 3, IMS_MAP_A, 1), IMS_ERR_OK);
      s1[v] = Stage(IMS_PGT_VMSA_S1, s1_fmt[v]);
      EXPECT_EQ(ims_pgt_map(&s1[v], &pgt_mem, kGB, 0x400000 + shift, 0x10000, 31, IMS_MAP_A | IMS_MAP_NG, 1),
                IMS_ERR_OK);
      EXPECT_EQ(ims_page_pool_alloc(&pool, 16, &cds[v]), IMS_ERR_OK);
      for (unsigned ssid = 0; ssid < 4; ssid++) {
        uint64_t cd[8] = {0};
        ims_cd_set(cd, IMS_CD_V, 1);
        ims_cd_set(cd, IMS_CD_AA64, 1);
        ims_cd_set(cd, IMS_CD_T0SZ, 16);
        ims_cd_set(cd, IMS_CD_EPD1, 1);
        ims_cd_set(cd, IMS_CD_IPS, 5);
        ims_cd_set(cd, IMS_CD_A, 1);
        ims_cd_set(cd, IMS_CD_R, 1);
        ims_cd_set(cd, IMS_CD_ASID, 1 + v * 4 + ssid);
        ims_cd_set(cd, IMS_CD_MAIR0, 0xff);
        ims_cd_set_address(cd, IMS_CD_TTB0, s1[v].root);
        EXPECT_EQ(ims_mem_write(&mem, cds[v] + ssid * 64, cd, sizeof cd), IMS_ERR_OK);
      }
    }
  }
  ~Bench() {
    ims_iommu_free(unit);
    ims_page_pool_fini(&pool);
    ims_mem_fini(&mem);
  }

  ims_pgt Stage(ims_pgt_kind kind, ims_pgt_format &fmt) {
    ims_vmsa_format(&fmt, kind, IMS_GRANULE_4K, false, false, true);
    ims_pgt p{};
    p.fmt = &fmt;
    p.levels = 4;
    p.in_bits = 48;
    p.out_bits = 48;
    EXPECT_EQ(ims_pgt_create(&p, &pgt_mem), IMS_ERR_OK);
    return p;
  }

  void Write(uint32_t reg, uint64_t value, unsigned bytes = 4) { ims_iommu_write(unit, reg, bytes, value); }
  void Store(unsigned word, uint64_t value) {
    EXPECT_EQ(ims_mem_store64(&mem, kTable + kSid * 64 + word * 8, value), IMS_ERR_OK);
  }
  void Command(uint64_t q0, uint64_t q1 = 0) {
    ims_mem_store64(&mem, kQueue + (prod & 255) * 16, q0);
    ims_mem_store64(&mem, kQueue + (prod & 255) * 16 + 8, q1);
    prod = (prod + 1) & 511;
    Write(IMS_SMMUV3_OFF_CMDQ_PROD, prod);
  }
  void Cfgi() { Command(0x03 | uint64_t(kSid) << 32, 1); }
  void Sync() { Command(0x46); }
  void Tlbi() { Command(0x30); }

  // Requests with and without substream, to addresses of either stage.
  std::vector<Seen> Probe() {
    std::vector<Seen> out;
    const uint64_t addresses[] = {0x400010, 0x300010, kGB + 0x2010};
    for (int ssid : {-1, 0, 1, 3})
      for (uint64_t a : addresses)
        for (unsigned access : {unsigned(IMS_ACC_R), unsigned(IMS_ACC_W | IMS_ACC_PRIV)}) {
          ims_request r{};
          r.iova = a;
          r.source = kSid;
          r.has_pasid = ssid >= 0;
          r.pasid = ssid >= 0 ? unsigned(ssid) : 0;
          r.access = static_cast<uint8_t>(access);
          ims_result res{};
          ims_translate(unit, &r, &res);
          out.push_back({res.status, res.status == IMS_STATUS_OK || res.status == IMS_STATUS_BYPASS ? res.output : 0,
                         res.fault, res.status == IMS_STATUS_OK || res.status == IMS_STATUS_BYPASS ? res.attr : 0});
        }
    return out;
  }

  ims_mem mem;
  ims_page_pool pool;
  ims_pgt_mem pgt_mem;
  ims_iommu *unit = nullptr;
  ims_pgt_format s1_fmt[2], s2_fmt[2];
  ims_pgt s1[2], s2[2];
  uint64_t cds[2];
  uint32_t prod = 0;
};

using Words = std::array<uint64_t, 8>;

Words RandomSte(const Bench &b, std::mt19937_64 &rng) {
  static const unsigned configs[] = {0, 4, 5, 6, 7};
  Words w{};
  unsigned config = configs[rng() % 5], v = rng() & 1;
  if (rng() % 12 == 0)
    return w; // not valid
  auto set = [&](ims_ste_field f, uint64_t value) { ims_ste_set(w.data(), f, value); };
  set(IMS_STE_V, 1);
  set(IMS_STE_CONFIG, config);
  bool junk = rng() % 4 == 0; // fields that the configuration does not look at
  if (config == 5 || config == 7 || junk) {
    ims_ste_set_address(w.data(), IMS_STE_S1CONTEXTPTR, b.cds[v]);
    set(IMS_STE_S1CDMAX, rng() % 2 ? 2 : 0);
    set(IMS_STE_S1DSS, rng() % 3);
    set(IMS_STE_S1CIR, rng() % 4);
    set(IMS_STE_S1COR, rng() % 4);
    set(IMS_STE_S1STALLD, rng() % 2);
    if (config == 5 || junk)
      set(IMS_STE_STRW, 0);
  }
  if (config == 6 || config == 7 || junk) {
    v = rng() & 1;
    set(IMS_STE_S2VMID, 1 + v);
    set(IMS_STE_S2T0SZ, 16);
    set(IMS_STE_S2SL0, 2);
    set(IMS_STE_S2PS, 5);
    set(IMS_STE_S2AA64, 1);
    set(IMS_STE_S2R, rng() & 1);
    set(IMS_STE_S2PTW, rng() & 1);
    ims_ste_set_address(w.data(), IMS_STE_S2TTB, b.s2[v].root);
  } else {
    set(IMS_STE_S2VMID, rng() % 3 ? 0 : 3);
  }
  set(IMS_STE_EATS, rng() % 2);
  set(IMS_STE_SHCFG, rng() % 4);
  if (rng() % 2) {
    set(IMS_STE_MTCFG, 1);
    set(IMS_STE_MEMATTR, rng() % 16);
  }
  set(IMS_STE_MEV, rng() % 2);
  set(IMS_STE_PRIVCFG, rng() % 3 ? 0 : 2 + rng() % 2);
  set(IMS_STE_INSTCFG, rng() % 3 ? 0 : 2 + rng() % 2);
  return w;
}

bool Aborts(const Seen &s) { return s.status == IMS_STATUS_ABORT || s.fault == IMS_SMMUV3_C_BAD_STE; }

// One edit. Probes after every store, after CFGI and after SYNC. The TLB's entries carry VMID and ASID: in the tables here
// each version has its own, so that none needs to go.
struct Edit {
  Bench &b;
  std::vector<Seen> before, after;
  unsigned stores = 0, syncs = 0;
  bool aborted = false;
  std::string failure;

  void Check(const char *where) {
    auto now = b.Probe();
    for (size_t i = 0; i < now.size() && failure.empty(); i++) {
      aborted |= Aborts(now[i]);
      if (!(now[i] == before[i]) && !(now[i] == after[i]) && !Aborts(now[i])) {
        char text[200];
        snprintf(text, sizeof text, "%s, store %u: probe %zu gives status %u fault 0x%x output 0x%llx", where, stores,
                 i, now[i].status, now[i].fault, static_cast<unsigned long long>(now[i].output));
        failure = text;
      }
    }
  }
  static int Store(void *ctx, unsigned word, uint64_t value) {
    auto *e = static_cast<Edit *>(ctx);
    e->b.Store(word, value);
    e->stores++;
    e->Check("after a store");
    return 0;
  }
  static int Sync(void *ctx) {
    auto *e = static_cast<Edit *>(ctx);
    e->b.Cfgi();
    e->Check("after CFGI_STE");
    e->b.Sync();
    e->Check("after SYNC");
    e->syncs++;
    return 0;
  }
};

std::vector<Seen> Fresh(Bench &b, const Words &w) {
  for (unsigned i = 0; i < 8; i++)
    b.Store(i, w[i]);
  b.Cfgi();
  b.Tlbi();
  b.Sync();
  return b.Probe();
}

std::string Text(const Words &w) {
  std::string s;
  for (uint64_t x : w) {
    char t[24];
    snprintf(t, sizeof t, "%llx ", static_cast<unsigned long long>(x));
    s += t;
  }
  return s;
}

TEST(SteEdit, EveryIntermediateStateIsOldNewOrAbort) {
  for (bool caches : {false, true}) {
    Bench b(caches);
    std::mt19937_64 rng(caches ? 1 : 2);
    unsigned broken = 0;
    for (int round = 0; round < 1500; round++) {
      Words old = RandomSte(b, rng), now = RandomSte(b, rng);
      if (rng() % 3 == 0) // neighbours: one or two fields differ
        for (now = old; now == old;)
          ims_ste_set(now.data(),
                      std::array{IMS_STE_S1DSS, IMS_STE_EATS, IMS_STE_S2VMID, IMS_STE_SHCFG, IMS_STE_PRIVCFG,
                                 IMS_STE_S2R, IMS_STE_CONFIG}[rng() % 7],
                      rng() % 3);
      Edit e{b, {}, {}, 0, 0, false, {}};
      e.after = Fresh(b, now);
      e.before = Fresh(b, old);
      ims_ste_editor editor = {&e, Edit::Store, Edit::Sync};
      ASSERT_EQ(ims_ste_edit(old.data(), now.data(), &editor), 0);
      ASSERT_EQ(e.failure, "") << "round " << round << (caches ? " cached" : "") << "\n old " << Text(old) << "\n new "
                               << Text(now);
      for (unsigned i = 0; i < 8; i++)
        ASSERT_EQ(ims_mem_load64(&b.mem, kTable + kSid * 64 + i * 8, &old[i]), IMS_ERR_OK);
      ASSERT_EQ(old, now);
      b.Tlbi();
      b.Sync();
      ASSERT_EQ(b.Probe(), e.after);
      broken += e.aborted;
    }
    EXPECT_GT(broken, 100u);
    EXPECT_LT(broken, 1500u);
  }
}

// What the hardware reads may be any mixture of words of before and after one phase, since it takes 8 bytes at once.
TEST(SteEdit, MixturesOfAPhaseAreNoWorse) {
  Bench b(false);
  std::mt19937_64 rng(7);
  for (int round = 0; round < 300; round++) {
    Words old = RandomSte(b, rng), now = RandomSte(b, rng);
    auto after = Fresh(b, now), before = Fresh(b, old);
    struct Phases {
      Words at;
      std::vector<Words> state; // at the end of each phase
    } p{old, {old}};
    ims_ste_editor editor = {&p,
                             [](void *ctx, unsigned word, uint64_t value) {
                               static_cast<Phases *>(ctx)->at[word] = value;
                               return 0;
                             },
                             [](void *ctx) {
                               auto *q = static_cast<Phases *>(ctx);
                               q->state.push_back(q->at);
                               return 0;
                             }};
    ASSERT_EQ(ims_ste_edit(old.data(), now.data(), &editor), 0);
    ASSERT_EQ(p.state.back(), now);
    for (size_t i = 0; i + 1 < p.state.size(); i++)
      for (int pick = 0; pick < 8; pick++) {
        Words mix;
        for (unsigned w = 0; w < 8; w++)
          mix[w] = rng() & 1 ? p.state[i][w] : p.state[i + 1][w];
        auto seen = Fresh(b, mix);
        for (size_t k = 0; k < seen.size(); k++)
          ASSERT_TRUE(seen[k] == before[k] || seen[k] == after[k] || Aborts(seen[k]))
              << "phase " << i << "\n old " << Text(old) << "\n new " << Text(now) << "\n mix " << Text(mix);
      }
  }
}

std::vector<std::string> Steps(const Words &old, const Words &now) {
  std::vector<std::string> out;
  ims_ste_editor editor = {&out,
                           [](void *ctx, unsigned word, uint64_t) {
                             static_cast<std::vector<std::string> *>(ctx)->push_back(std::to_string(word));
                             return 0;
                           },
                           [](void *ctx) {
                             static_cast<std::vector<std::string> *>(ctx)->push_back("sync");
                             return 0;
                           }};
  EXPECT_EQ(ims_ste_edit(old.data(), now.data(), &editor), 0);
  return out;
}

TEST(SteEdit, Sequences) {
  using S = std::vector<std::string>;
  Words abort{1}, bypass{9, 1ull << 44}, s1{0xb | 0x40000, 0xd6}, s2{0xd, 1ull << 44, 0x1234, 0x5000};
  EXPECT_EQ(Steps(abort, abort), S{});
  // Abort looks at nothing but its configuration: the rest first, then the word that counts.
  EXPECT_EQ(Steps(abort, s2), (S{"1", "2", "3", "sync", "0", "sync"}));
  EXPECT_EQ(Steps(s2, abort), (S{"0", "sync", "1", "2", "3", "sync"}));
  EXPECT_EQ(Steps(abort, bypass), (S{"1", "sync", "0", "sync"}));
  // A second stage does not look at the fields of the first.
  Words nested = s2;
  nested[0] = 0xf | 0x40000;
  nested[1] |= 0xd6;
  EXPECT_EQ(Steps(s2, nested), (S{"1", "sync", "0", "sync"}));
  // But at MEV it does. Two words in use differ: the entry is broken.
  nested[1] |= 1 << 19;
  EXPECT_EQ(Steps(s2, nested), (S{"0", "sync", "1", "sync", "0", "sync"}));
  // One word in use: one store.
  Words dss = s1;
  dss[1] = 0xd5; // S1DSS
  EXPECT_EQ(Steps(s1, dss), (S{"1", "sync"}));
  // What nobody looks at is just written.
  Words quiet = abort;
  quiet[3] = 0x7000;
  EXPECT_EQ(Steps(abort, quiet), (S{"3", "sync"}));
}

TEST(SteEdit, ErrorsOfStoreAndSyncComeBack) {
  Words abort{1}, s2{0xd, 1ull << 44, 0x1234, 0x5000};
  int calls = 0;
  ims_ste_editor editor = {&calls, [](void *, unsigned, uint64_t) { return 0; },
                           [](void *ctx) { return ++*static_cast<int *>(ctx) == 1 ? -ETIMEDOUT : 0; }};
  EXPECT_EQ(ims_ste_edit(abort.data(), s2.data(), &editor), -ETIMEDOUT);
  EXPECT_EQ(calls, 2); // it goes on to the end
}

} // namespace
} // namespace uapi_test
