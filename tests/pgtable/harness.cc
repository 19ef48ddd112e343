// SPDX-License-Identifier: Apache-2.0
// See harness.h.
#include "tests/pgtable/harness.h"

#include <cstring>
#include <gtest/gtest.h>
#include <sstream>

namespace pgt {

Machine::Machine(uint64_t ram, uint64_t pool_base, uint64_t pool_size) {
  ims_mem_init(&mem);
  EXPECT_EQ(ims_mem_add_ram(&mem, 0, ram), 0);
  EXPECT_EQ(ims_page_pool_init(&pool, &mem, pool_base, pool_size), 0);
  tables = ims_page_pool_pgt_mem(&pool);
}

Machine::~Machine() {
  EXPECT_EQ(pool.bad_frees, 0u);
  ims_page_pool_fini(&pool);
  ims_mem_fini(&mem);
}

uint64_t Machine::load(uint64_t hpa) {
  uint64_t value = 0;
  EXPECT_EQ(ims_mem_load64(&mem, hpa, &value), 0) << std::hex << hpa;
  return value;
}

void Machine::store(uint64_t hpa, uint64_t value) {
  EXPECT_EQ(ims_mem_store64(&mem, hpa, value), 0) << std::hex << hpa;
}

bool Guest::find(uint64_t gpa, uint64_t &hpa) const {
  auto it = piece_.upper_bound(gpa);
  if (it == piece_.begin())
    return false;
  --it;
  hpa = it->second.hpa + (gpa - it->first);
  return gpa - it->first < it->second.size;
}

uint64_t Guest::hpa(uint64_t gpa) const {
  uint64_t hpa = 0;
  EXPECT_TRUE(find(gpa, hpa)) << std::hex << gpa;
  return hpa;
}

ims_pgt_mem Guest::tables() {
  ims_pgt_mem m = {};
  m.ctx = this;
  m.load64 = [](void *ctx, uint64_t gpa, uint64_t *value) -> int {
    auto *g = static_cast<Guest *>(ctx);
    uint64_t hpa;
    return g->find(gpa, hpa) ? ims_mem_load64(&g->machine_.mem, hpa, value) : IMS_ERR_BUS;
  };
  m.store64 = [](void *ctx, uint64_t gpa, uint64_t value) -> int {
    auto *g = static_cast<Guest *>(ctx);
    uint64_t hpa;
    return g->find(gpa, hpa) ? ims_mem_store64(&g->machine_.mem, hpa, value) : IMS_ERR_BUS;
  };
  m.alloc = [](void *ctx, unsigned log2size, uint64_t *gpa) -> int {
    auto *g = static_cast<Guest *>(ctx);
    uint64_t hpa;
    *gpa = g->place();
    return g->find(*gpa, hpa) ? ims_mem_fill(&g->machine_.mem, hpa, 0, 1ull << log2size) : IMS_ERR_NOSPACE;
  };
  m.free = [](void *, uint64_t, unsigned) {};
  return m;
}

FirstStage::FirstStage(const oracle::FirstStage &r) : rules(r), format(), pgt() {
  ims_x86_fs_format(&format, static_cast<unsigned>(r.address_width), r.pages_1g, r.xd_reserved);
  pgt.fmt = &format;
  pgt.root = r.root;
  pgt.levels = static_cast<uint8_t>(r.levels);
  pgt.in_bits = r.levels == 5 ? 57 : 48;
  if (r.accessed_dirty) {
    pgt.a_bits = IMS_FS_A | (r.extended_accessed ? IMS_FS_EA : 0);
    pgt.d_bit = IMS_FS_D;
  }
  pgt.flags = static_cast<uint8_t>((r.write_protect ? IMS_PGT_WPE : 0) | (r.nxe ? IMS_PGT_NXE : 0) |
                                   (r.smep ? IMS_PGT_SMEP : 0) | (r.execute_requests ? IMS_PGT_EXEC : 0) |
                                   (r.snooped ? 0 : IMS_PGT_NOSNOOP));
}

SecondStage::SecondStage(const oracle::SecondStage &r) : rules(r), format(), pgt() {
  ims_vtd_ss_format(&format, static_cast<unsigned>(r.address_width), r.pages_2m, r.pages_1g, r.snoop_control,
                    r.execute);
  pgt.fmt = &format;
  pgt.root = r.root;
  pgt.levels = static_cast<uint8_t>(r.levels);
  pgt.in_bits = static_cast<uint8_t>(r.input_width);
  if (r.accessed_dirty) {
    pgt.a_bits = IMS_SS_A;
    pgt.d_bit = IMS_SS_D;
  }
  pgt.flags = static_cast<uint8_t>((r.execute ? IMS_PGT_EXEC : 0) | (r.snooped ? 0 : IMS_PGT_NOSNOOP) |
                                   (r.zero_length_reads ? IMS_PGT_ZLR : 0));
}

Outcome Driver::run(const ims_pgt *s1, const ims_pgt *s2, const oracle::Request &request) {
  Outcome o;
  ims_port port;
  std::memset(static_cast<void *>(&o.walk), junk, sizeof o.walk);
  std::memset(static_cast<void *>(&port), junk, sizeof port);
  ims_walk &w = o.walk;
  w.s1 = s1 ? *s1 : ims_pgt{};
  w.s2 = s2 ? *s2 : ims_pgt{};
  w.in = request.addr;
  w.id1 = 11;
  w.id2 = 22;
  w.deny_base = request.forbidden_base;
  w.deny_size = request.forbidden_size;
  w.caches = caches;
  w.access = static_cast<uint8_t>((request.read ? IMS_ACC_R : 0) | (request.write ? IMS_ACC_W : 0) |
                                  (request.execute ? IMS_ACC_X : 0) | (request.privileged ? IMS_ACC_PRIV : 0) |
                                  (request.zero_length ? IMS_ACC_ZLR : 0) | (request.query ? IMS_ACC_QUERY : 0));
  w.psc_gpa = psc_gpa;
  port.refs = 0;
  ims_walk_begin(&w);
  w.purpose = static_cast<uint8_t>(purpose);

  for (int steps = 0; steps < 2000; steps++) {
    ims_step_kind kind = ims_walk_step(&w, &port);
    const ims_step &q = port.step;
    if (kind == IMS_STEP_DONE || kind == IMS_STEP_FAULT) {
      o.done = kind == IMS_STEP_DONE;
      o.refs = port.refs;
      for (auto &[hpa, value] : o.written)
        EXPECT_EQ(ims_mem_load64(&mem, hpa, &value), 0);
      return o;
    }
    if (before)
      before(kind, q);
    switch (kind) {
    case IMS_STEP_READ:
      EXPECT_EQ(q.len, 8);
      o.reads.push_back({q.what, q.level, q.for_what, q.for_level, q.hpa});
      port.answer.ok = ims_mem_load64(&mem, q.hpa, &port.answer.data[0]) == 0;
      break;
    case IMS_STEP_UPDATE:
      o.updates++;
      port.answer.ok = ims_mem_cas64(&mem, q.hpa, q.old, q.desired, &port.answer.data[0]) == 0;
      if (port.answer.ok && port.answer.data[0] == q.old)
        o.written[q.hpa] = 0; // read back at the end
      break;
    case IMS_STEP_PROBE: {
      EXPECT_TRUE(caches >> q.cache & 1) << ims_cache_name(q.cache);
      EXPECT_EQ(q.tag.id, id_of(q.cache));
      port.answer.hit = false;
      for (unsigned shift : shifts) {
        // The nested TLB is asked with the bare address: the size of the page is not known yet.
        uint64_t addr = q.cache == IMS_CACHE_NESTED ? ims_tag_addr(q.tag.addr, shift) : q.tag.addr;
        auto it = cache.find(Key{q.cache, addr, q.tag.id});
        if (it != cache.end()) {
          port.answer.hit = true;
          port.answer.value = it->second;
          break;
        }
      }
      break;
    }
    case IMS_STEP_FILL:
      EXPECT_TRUE(caches >> q.cache & 1) << ims_cache_name(q.cache);
      EXPECT_EQ(q.tag.id, id_of(q.cache));
      cache[Key{q.cache, q.tag.addr, q.tag.id}] = q.value;
      break;
    default: break;
    }
  }
  ADD_FAILURE() << "the walk does not end";
  return o;
}

oracle::Cause cause_of(unsigned cause) {
  using oracle::Cause;
  switch (cause) {
  case IMS_WALK_RANGE: return Cause::Range;
  case IMS_WALK_ACCESS: return Cause::Access;
  case IMS_WALK_NOT_PRESENT: return Cause::NotPresent;
  case IMS_WALK_RESERVED: return Cause::Reserved;
  case IMS_WALK_USER: return Cause::User;
  case IMS_WALK_EXEC: return Cause::Execute;
  case IMS_WALK_WRITE: return Cause::Write;
  case IMS_WALK_READ: return Cause::Read;
  case IMS_WALK_AD_NOSNOOP: return Cause::NoSnoop;
  case IMS_WALK_AD_FAILED: return Cause::UpdateFailed;
  case IMS_WALK_OUTPUT: return Cause::Output;
  default: return Cause::None;
  }
}

static std::string during_name(oracle::During d) {
  return d == oracle::During::Table ? "table" : d == oracle::During::Update ? "update" : "page";
}

std::string text(const oracle::Result &r) {
  static const char *const names[] = {"ok",      "range", "access", "not present", "reserved",      "user",
                                      "execute", "write", "read",   "no snoop",    "update failed", "output"};
  std::ostringstream s;
  s << names[static_cast<int>(r.cause)] << std::hex;
  if (r.cause != oracle::Cause::None)
    s << " stage " << r.stage << " level " << r.level << (r.top ? " top" : "") << " during " << during_name(r.during)
      << " for level " << r.first_stage_level << " input 0x" << r.input;
  else
    s << " 0x" << r.out << " page 0x" << r.page << " " << (r.can_read ? "r" : "-") << (r.can_write ? "w" : "-")
      << (r.can_execute ? "x" : "-") << " dirty " << r.first_dirty << r.second_dirty << " snoop " << r.snoop;
  s << "; reads";
  for (uint64_t addr : r.reads)
    s << " " << addr;
  s << "; written";
  for (auto [addr, value] : r.written)
    s << " " << addr << "=" << value;
  return s.str();
}

// The outcome in the oracle's words.
static oracle::Result translated(const Outcome &o, bool privileged) {
  const ims_walk &w = o.walk;
  oracle::Result r;
  for (const Read &read : o.reads)
    r.reads.push_back(read.hpa);
  r.written = o.written;
  if (!o.done) {
    r.cause = cause_of(w.fault.cause);
    r.stage = w.fault.stage;
    r.level = w.fault.level;
    r.top = w.fault.top;
    r.during = w.fault.during == IMS_FOR_TABLE    ? oracle::During::Table
               : w.fault.during == IMS_FOR_UPDATE ? oracle::During::Update
                                                  : oracle::During::Page;
    r.input = w.fault.addr;
    r.first_stage_level = w.fault.s1_level;
    return r;
  }
  unsigned rights = ims_walk_rights(&w.s1, &w.s2, w.perm1, w.perm2, privileged);
  r.out = w.out;
  r.page = 1ull << w.shift;
  r.can_read = rights & IMS_PERM_R;
  r.can_write = rights & IMS_PERM_W;
  r.can_execute = rights & IMS_PERM_X;
  r.first_dirty = w.flags & IMS_TLB_S1_DIRTY;
  r.second_dirty = w.flags & IMS_TLB_S2_DIRTY;
  r.snoop = w.flags & IMS_TLB_SNOOP;
  return r;
}

std::string text(const Outcome &o) { return text(translated(o, o.walk.access & IMS_ACC_PRIV)); }

std::string difference(const oracle::Result &want, const Outcome &got_, bool privileged, bool with_caches) {
  oracle::Result got = translated(got_, privileged);
  std::string diff;
  auto check = [&](const char *what, bool same) {
    if (!same)
      diff += std::string(diff.empty() ? "" : ", ") + what;
  };
  check("cause", got.cause == want.cause);
  if (want.cause == oracle::Cause::None) {
    check("output", got.out == want.out);
    check("page", got.page == want.page);
    check("read right", got.can_read == want.can_read);
    check("write right", got.can_write == want.can_write);
    check("execute right", got.can_execute == want.can_execute);
    // A cached entry may not know yet that the bit has been set since; that costs a walk and no more.
    check("first stage dirty", got.first_dirty == want.first_dirty || (with_caches && want.first_dirty));
    check("second stage dirty", got.second_dirty == want.second_dirty || (with_caches && want.second_dirty));
    check("snoop", got.snoop == want.snoop);
  } else {
    check("stage", got.stage == want.stage);
    check("during", got.during == want.during);
    check("input", got.input == want.input);
    check("for level", got.first_stage_level == want.first_stage_level);
    // No entry is at fault when the result lies where none may.
    if (want.cause != oracle::Cause::Output && !with_caches) {
      check("level", got.level == want.level);
      check("top", got.top == want.top);
    }
  }
  if (!with_caches) {
    check("reads", got.reads == want.reads);
    check("count of reads", got_.refs == want.reads.size());
  }
  check("memory", got.written == want.written);
  return diff.empty() ? diff : diff + "\n  want " + text(want) + "\n  got  " + text(got);
}

} // namespace pgt
