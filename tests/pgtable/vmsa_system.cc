// SPDX-License-Identifier: Apache-2.0
// See vmsa_system.h.
#include "tests/pgtable/vmsa_system.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <sstream>

namespace vmsa {

using vmsa_oracle::Cause;
using vmsa_oracle::During;
using vmsa_oracle::Request;
using vmsa_oracle::Result;

namespace {

constexpr uint64_t kRam = 2 * GB, kBig = 512 * MB, kPieces = 1536 * MB, kPool = 1664 * MB, kPoolSize = 256 * MB;

ims_granule granule_of(int kb) { return kb == 4 ? IMS_GRANULE_4K : kb == 16 ? IMS_GRANULE_16K : IMS_GRANULE_64K; }
unsigned page_of(int kb) { return kb == 4 ? 12 : kb == 16 ? 14 : 16; }

uint64_t reversed(uint64_t word) { return __builtin_bswap64(word); }

} // namespace

void Rules::set(const vmsa_oracle::Stage &r, bool second_stage) {
  rules = r;
  second = second_stage;
  ims_vmsa_format(&format, second ? IMS_PGT_VMSA_S2 : IMS_PGT_VMSA_S1, granule_of(r.granule), r.ds, r.lpa, r.xnx);
  pgt = {};
  pgt.fmt = &format;
  pgt.in_bits = static_cast<uint8_t>(r.input_bits);
  pgt.out_bits = static_cast<uint8_t>(r.output_bits);
  pgt.levels = static_cast<uint8_t>(4 - r.start_level);
  pgt.mair = r.mair;
  pgt.sh = static_cast<uint8_t>(r.sh);
  if (r.ha)
    pgt.a_bits = IMS_VMSA_AF;
  if (r.hd)
    pgt.d_bit = second ? IMS_VMSA_S2AP_W : IMS_VMSA_AP2;
  const std::pair<bool, unsigned> flags[] = {
      {r.upper, IMS_PGT_UPPER},     {r.big_endian, IMS_PGT_BE},
      {r.haft, IMS_PGT_HAFT},       {!r.ha && !r.affd, IMS_PGT_AF_FAULTS},
      {r.had, IMS_PGT_HAD},         {r.one_el, IMS_PGT_ONE_EL},
      {r.aarch32, IMS_PGT_AARCH32}, {r.wxn, IMS_PGT_WXN},
      {r.uwxn, IMS_PGT_UWXN},       {r.pan, IMS_PGT_PAN},
      {r.epan, IMS_PGT_EPAN},       {r.ptw, IMS_PGT_PTW},
      {r.fwb, IMS_PGT_FWB},         {r.takes_contiguous, IMS_PGT_CONTIGUOUS},
  };
  for (auto [on, flag] : flags)
    pgt.flags |= on ? flag : 0;
}

std::vector<Sizes> all_sizes(int granule, bool second) {
  std::vector<Sizes> all;
  unsigned page = page_of(granule), stride = page - 3, i = 0;
  for (unsigned in : {32u, 33u, 34u, 36u, 38u, 39u, 40u, 42u, 43u, 44u, 46u, 47u, 48u, 49u, 52u}) {
    static const unsigned outs[] = {48, 40, 36, 44, 42, 32};
    for (bool wide : {false, true}) {
      if (in > 48 && !wide)
        continue;
      unsigned out = wide && i % 3 != 1 ? 52 : outs[i % 6];
      i++;
      if (!second) {
        all.push_back({in, out, 0, wide});
        continue;
      }
      for (unsigned levels = 1; levels <= 5; levels++) {
        unsigned below = page + (levels - 1) * stride;
        unsigned most = granule == 4 ? 4 + wide : granule == 16 ? 3 + wide : 3;
        if (levels <= most && in > below && in <= below + stride + 4)
          all.push_back({in, out, levels, wide});
      }
    }
  }
  return all;
}

System::System(int first_granule, int second_granule, unsigned n, uint64_t seed, Runs runs)
    : has_first(first_granule), has_second(second_granule), random_(seed), runs_(runs), machine(4 * KB, 0, 4 * KB),
      guest(machine), driver(machine.mem) {
  if (has_second) {
    std::vector<Sizes> sizes = all_sizes(second_granule, true);
    second.set(random_rules(second_granule, sizes[n % sizes.size()], true), true);
  }
  if (has_first) {
    std::vector<Sizes> sizes = all_sizes(first_granule, false);
    first.set(random_rules(first_granule, sizes[(has_second ? n / 2 + pick(3) : n) % sizes.size()], false), false);
  }
  driver.shifts.clear();
  for (unsigned shift = 12; shift < 52; shift++)
    driver.shifts.push_back(shift);
  lay_out();
  if (has_second)
    map_second();
  if (has_first)
    map_first();
}

vmsa_oracle::Stage System::random_rules(int granule, const Sizes &sizes, bool second_stage) {
  vmsa_oracle::Stage r;
  r.granule = granule;
  r.input_bits = static_cast<int>(sizes.in_bits);
  r.output_bits = static_cast<int>(sizes.out_bits);
  r.ds = sizes.wide && granule != 64;
  r.lpa = sizes.wide && granule == 64;
  int stride = static_cast<int>(page_of(granule)) - 3, page = stride + 3;
  // The start level of stage 1 resolves what the levels below it leave over.
  r.start_level = second_stage ? 4 - static_cast<int>(sizes.levels) : 3 - (r.input_bits - 1 - page) / stride;
  r.big_endian = chance(15);
  r.ha = chance(60);
  r.hd = r.ha && chance(70);
  r.haft = r.ha && chance(30);
  r.affd = chance(30);
  r.takes_contiguous = chance(80);
  r.sh = static_cast<int>(pick(4));
  if (second_stage) {
    r.xnx = chance(50);
    r.ptw = chance(30);
    r.fwb = chance(40);
    return r;
  }
  r.upper = chance(40);
  r.had = chance(20);
  r.one_el = chance(15);
  r.aarch32 = chance(15);
  r.wxn = chance(25);
  r.uwxn = chance(40);
  r.pan = chance(25);
  r.epan = chance(50);
  for (int i = 0; i < 8; i++) {
    static const uint8_t types[] = {0x00, 0x04, 0x08, 0x0c, 0x44, 0xff, 0xbb, 0xee, 0x4f, 0xf4,
                                    0xaa, 0x7f, 0x35, 0x9d, 0x88, 0xcc, 0x77, 0x33, 0x1b, 0xb4};
    r.mair = r.mair << 8 | types[pick(sizeof types)];
  }
  return r;
}

void System::lay_out() {
  const Rules &last = has_second ? second : first;
  host_base_ = 1ull << (last.rules.output_bits - 1);
  guest_base_ =
      1ull << (std::min(has_first ? first.rules.output_bits : 52, has_second ? second.rules.input_bits : 52) - 1);
  // The pool that the machine came with is replaced by one beside the guest's pieces.
  ims_page_pool_fini(&machine.pool);
  EXPECT_EQ(ims_mem_add_ram(&machine.mem, host_base_, kRam), 0);
  EXPECT_EQ(ims_page_pool_init(&machine.pool, &machine.mem, host_base_ + kPool, kPoolSize), 0);
  machine.tables = ims_page_pool_pgt_mem(&machine.pool);

  if (!has_second)
    return;
  uint64_t middle = std::min<uint64_t>(second.size(2), 512 * MB), small = second.size(1);
  unsigned n = middle == 2 * MB ? 8 : middle == 32 * MB ? 4 : 2;
  auto add = [&](uint64_t offset, uint64_t to, uint64_t size) {
    guest.add(guest_base_ + offset, host_base_ + to, size);
    pieces_.push_back({guest_base_ + offset, size});
  };
  add(0, 0, kBig);
  for (unsigned i = 0; i < n; i++)
    add(kBig + i * middle, kBig + (i + n / 2) % n * middle, middle);
  for (unsigned i = 0; i < 64; i++)
    add(kPieces + i * small, kPieces + i * 37 % 64 * small, small);
}

// Tables of the guest lie in all sorts of pieces, also across several of them.
ims_pgt_mem System::guest_tables() {
  ims_pgt_mem m = guest.tables();
  m.ctx = this;
  m.load64 = [](void *ctx, uint64_t gpa, uint64_t *value) -> int {
    auto *s = static_cast<System *>(ctx);
    uint64_t hpa;
    return s->guest.find(gpa, hpa) ? ims_mem_load64(&s->machine.mem, hpa, value) : IMS_ERR_BUS;
  };
  m.store64 = [](void *ctx, uint64_t gpa, uint64_t value) -> int {
    auto *s = static_cast<System *>(ctx);
    uint64_t hpa;
    return s->guest.find(gpa, hpa) ? ims_mem_store64(&s->machine.mem, hpa, value) : IMS_ERR_BUS;
  };
  // All of it is zero still, and nothing is given back.
  m.alloc = [](void *ctx, unsigned log2size, uint64_t *gpa) -> int {
    auto *s = static_cast<System *>(ctx);
    uint64_t size = 1ull << log2size, small = 64 * s->second.size(1), middle = 128 * MB;
    auto take = [&](uint64_t &next, uint64_t base, uint64_t end) {
      uint64_t at = (next + size - 1) & ~(size - 1);
      if (at + size > end)
        return false;
      next = at + size;
      *gpa = s->guest_base_ + base + at;
      return true;
    };
    uint64_t where = s->pick(3);
    if (where == 0 && take(s->next_small_, kPieces, small))
      return 0;
    if (where == 1 && take(s->next_middle_, kBig, std::min<uint64_t>(middle, s->second.size(2) * 2)))
      return 0;
    return take(s->next_big_, 0, kBig) ? 0 : IMS_ERR_NOSPACE;
  };
  m.free = [](void *, uint64_t, unsigned) {};
  m.cas64 = nullptr;
  return m;
}

unsigned System::leaf_flags(const Rules &s, bool in_runs) {
  unsigned flags = IMS_MAP_ATTR(s.second ? pick(16) : pick(8));
  if (s.second && chance(80))
    flags = IMS_MAP_ATTR(s.rules.fwb ? 6 + pick(2) : 15);
  bool quiet = s.second && in_runs && runs_ == Runs::Quiet;
  if (quiet || chance(s.rules.ha || s.rules.affd ? 50 : s.second ? 96 : 93))
    flags |= IMS_MAP_A;
  if (chance(60))
    flags |= IMS_MAP_DBM;
  if (quiet || chance(40))
    flags |= IMS_MAP_D;
  if (!s.second && chance(50))
    flags |= IMS_MAP_NG;
  if (in_runs)
    flags |= IMS_MAP_CONTIGUOUS;
  return flags;
}

unsigned System::leaf_perm(const Rules &s) {
  if (chance(s.second ? 92 : 45))
    return IMS_PERM_ALL;
  unsigned perm = static_cast<unsigned>(pick(32)) | (s.second ? 0u : unsigned(IMS_PERM_R));
  return perm | (chance(60) ? unsigned(IMS_PERM_U) : 0u) | (chance(50) ? unsigned(IMS_PERM_W) : 0u);
}

void System::map_second() {
  EXPECT_EQ(ims_pgt_create(&second.pgt, &machine.tables), 0);
  second.root(second.pgt.root);
  for (const Piece &p : pieces_) {
    bool big = p.size == kBig;
    unsigned perm = big ? unsigned(IMS_PERM_ALL) : leaf_perm(second);
    // Where a piece is large, small leaves would be many.
    unsigned limit = p.size == second.size(1) || !chance(20) || p.size > 64 * MB ? 0 : 1;
    int err = ims_pgt_map(&second.pgt, &machine.tables, p.gpa, guest.hpa(p.gpa), p.size, perm,
                          leaf_flags(second, runs_ != Runs::None && chance(50)), limit);
    EXPECT_EQ(err, 0) << ims_strerror(err);
    mapped_.emplace_back(p.gpa, p.size);
  }
  // The rights of single pages, tables among them, splitting what is in the way.
  for (unsigned i = 0; i < 4; i++) {
    uint64_t gpa = guest_base_ + (chance(50) ? 256 * MB : 0) + pick(256) * second.size(1);
    if (ims_pgt_protect(&second.pgt, &machine.tables, gpa, second.size(1), leaf_perm(second), nullptr) == 0)
      mapped_.emplace_back(gpa, second.size(1));
  }
}

void System::map_first() {
  mapped_.clear();
  ims_pgt_mem mem = has_second ? guest_tables() : machine.tables;
  EXPECT_EQ(ims_pgt_create(&first.pgt, &mem), 0);
  first.root(first.pgt.root);
  const uint64_t page = first.size(1), space = 1ull << first.rules.input_bits;
  const uint64_t base = first.rules.upper ? ~0ull << first.rules.input_bits : 0;
  // A window that holds a few of the larger blocks; several mappings fall into one table.
  for (unsigned i = 0; i < 24; i++) {
    unsigned level = 1 + static_cast<unsigned>(pick(std::min<unsigned>(first.pgt.levels, 4)));
    while (level > 1 &&
           (!(first.format.leaf_levels >> level & 1) || first.size(level) > space / 2 ||
            first.size(level) > (has_second && !chance(10) ? kBig : 1ull << (first.rules.output_bits - 1))))
      level--;
    uint64_t unit = first.size(level), size = unit;
    if (level == 1 || (level == 2 && chance(30)))
      size = unit * (1 + pick(chance(30) ? 2u << first.format.contiguous[level] : 4));
    if (size > space / 2)
      size = unit;
    uint64_t in = base + pick(std::max<uint64_t>(1, std::min<uint64_t>(space / unit, 64) - size / unit + 1)) * unit;
    if (chance(30))
      in = base + (space - size - pick(8) * unit) % space / unit * unit;
    uint64_t out = has_second ? guest_base_ : host_base_;
    switch (pick(has_second ? 12 : 4)) {
    case 0:
    case 4:
    case 5: out += pick(kBig / page) * page; break;
    case 1:
    case 6:
    case 7: out += kBig + pick(64) * page; break;
    case 2:
    case 8:
    case 9:
    case 10: out += kPieces + pick(64) * page; break;
    default: out = pick(1ull << (first.rules.output_bits - first.page_bits())) * page; break;
    }
    if (chance(80))
      out = out / unit * unit;
    if (level > 1)
      out = out / unit * unit;
    uint64_t run = unit << first.format.contiguous[level];
    if (chance(60) && run <= (has_second ? kBig : run)) // in line with the input, as runs have to be
      out = (out & ~(run - 1)) | (in & (run - 1));
    int err = ims_pgt_map(&first.pgt, &mem, in, out, size, leaf_perm(first),
                          leaf_flags(first, runs_ != Runs::None && chance(50)), 0);
    EXPECT_TRUE(err == 0 || err == IMS_ERR_EXIST || err == IMS_ERR_RANGE) << ims_strerror(err);
    if (err == 0)
      mapped_.emplace_back(in, size);
  }
  restrict_tables(mem);
}

// Hierarchical attributes for some of the tables (D8.4.1.2), which no builder sets.
void System::restrict_tables(const ims_pgt_mem &mem) {
  struct Found {
    uint64_t at, entry;
  };
  std::vector<Found> tables;
  auto visit = [](void *ctx, const ims_pgt_visit *v) -> int {
    if (v->kind == IMS_PTE_TABLE)
      static_cast<std::vector<Found> *>(ctx)->push_back({v->entry_addr, v->entry});
    return v->level == 2 ? IMS_VISIT_SKIP : IMS_VISIT_ON;
  };
  EXPECT_EQ(ims_pgt_iterate(&first.pgt, &mem, 0, ~0ull, visit, &tables), 0);
  for (const Found &f : tables) {
    if (!chance(12))
      continue;
    uint64_t e = f.entry | pick(16) << 59;
    EXPECT_EQ(mem.store64(mem.ctx, f.at, first.rules.big_endian ? reversed(e) : e), 0);
  }
}

Request System::request() {
  Request q;
  if (!mapped_.empty() && !chance(8)) {
    auto [base, size] = mapped_[pick(mapped_.size())];
    q.addr = base + pick(size);
    if (chance(5))
      q.addr ^= 1ull << (12 + pick(45));
  } else {
    q.addr = random_() >> pick(64);
    if (has_first && first.rules.upper && chance(70))
      q.addr |= ~0ull << first.rules.input_bits;
  }
  unsigned kind = static_cast<unsigned>(pick(10));
  q.read = kind != 0;
  q.write = kind < 4;
  q.execute = !q.write && chance(35);
  q.privileged = chance(40);
  q.query = q.read && !q.execute && chance(15);
  q.structure = !has_first && chance(20);
  if (q.structure) {
    q.read = true;
    q.write = q.execute = q.query = false;
  }
  return q;
}

Result System::expected(const Request &q) {
  vmsa_oracle::Load load = [this](uint64_t hpa, uint64_t &value) {
    return ims_mem_load64(&machine.mem, hpa, &value) == 0;
  };
  return vmsa_oracle::translate(load, has_first ? &first.rules : nullptr, has_second ? &second.rules : nullptr, q);
}

pgt::Outcome System::walk(const Request &q) {
  oracle::Request plain;
  plain.addr = q.addr;
  plain.read = q.read;
  plain.write = q.write;
  plain.execute = q.execute;
  plain.privileged = q.privileged;
  plain.query = q.query;
  driver.purpose = q.structure ? IMS_STRUCT_CD : IMS_STRUCT_DATA;
  return driver.run(has_first ? &first.pgt : nullptr, has_second ? &second.pgt : nullptr, plain);
}

void System::damage(const std::vector<uint64_t> &descriptors) {
  uint64_t at = descriptors[pick(descriptors.size())], e;
  if (ims_mem_load64(&machine.mem, at, &e) != 0)
    return;
  const bool big = (has_first && first.rules.big_endian && chance(50)) || (has_second && second.rules.big_endian);
  if (big)
    e = reversed(e);
  const uint64_t page = ((1ull << 48) - 1) & ~0xffffull;
  switch (pick(9)) {
  case 0: e = (e & ~page) | (at & page); break;                                         // to itself
  case 1: e = (e & ~page) | (descriptors[pick(descriptors.size())] & page); break;      // another table of the walk
  case 2: e = (e & ~page) | ((host_base_ + kRam + pick(1024) * 65536) & page); break;   // absent memory
  case 3: e = (e & ~page) | ((guest_base_ + kPieces + pick(64) * 65536) & page); break; // somewhere in the guest
  case 4: e = random_(); break;
  case 5: e ^= 2; break; // a block where a table was, or the reverse
  default:               // some bits: the low ones, the address's uppermost, the high ones
    for (uint64_t n = 1 + pick(3); n > 0; n--)
      e ^= 1ull << (chance(50) ? pick(16) : chance(80) ? 44 + pick(20) : pick(64));
  }
  if (chance(50))
    e |= 1;
  e = big ? reversed(e) : e;
  if (runs_ == Runs::None) // whichever way the word is read
    e &= ~(1ull << 52 | (first.rules.big_endian || second.rules.big_endian ? 1ull << 12 : 0));
  ASSERT_EQ(ims_mem_store64(&machine.mem, at, e), 0);
}

std::string System::describe(const Request &q) const {
  std::ostringstream s;
  auto stage = [&](const char *name, const Rules &r) {
    const vmsa_oracle::Stage &o = r.rules;
    s << name << " " << o.granule << "K " << o.input_bits << "->" << o.output_bits << " from level " << o.start_level;
    const std::pair<bool, const char *> words[] = {{o.ds, "DS"},
                                                   {o.lpa, "LPA"},
                                                   {o.upper, "upper"},
                                                   {o.big_endian, "BE"},
                                                   {o.ha, "HA"},
                                                   {o.hd, "HD"},
                                                   {o.haft, "HAFT"},
                                                   {o.affd, "AFFD"},
                                                   {o.had, "HAD"},
                                                   {o.one_el, "one EL"},
                                                   {o.aarch32, "A32"},
                                                   {o.wxn, "WXN"},
                                                   {o.uwxn, "UWXN"},
                                                   {o.pan, "PAN"},
                                                   {o.epan, "EPAN"},
                                                   {o.xnx, "XNX"},
                                                   {o.ptw, "PTW"},
                                                   {o.fwb, "FWB"},
                                                   {o.takes_contiguous, "contiguous"}};
    for (auto [on, word] : words)
      s << (on ? " " : "") << (on ? word : "");
    s << "; ";
  };
  if (has_first)
    stage("S1", first);
  if (has_second)
    stage("S2", second);
  s << "0x" << std::hex << q.addr << " " << (q.read ? "r" : "") << (q.write ? "w" : "") << (q.execute ? "x" : "")
    << (q.privileged ? " privileged" : "") << (q.query ? " query" : "") << (q.structure ? " structure" : "");
  return s.str();
}

namespace {

Cause cause_of(unsigned cause) {
  switch (cause) {
  case IMS_WALK_OK: return Cause::None;
  case IMS_WALK_RANGE: return Cause::Range;
  case IMS_WALK_NOT_PRESENT: return Cause::Translation;
  case IMS_WALK_SIZE: return Cause::Size;
  case IMS_WALK_FLAG: return Cause::AccessFlag;
  case IMS_WALK_USER:
  case IMS_WALK_EXEC:
  case IMS_WALK_WRITE:
  case IMS_WALK_READ:
  case IMS_WALK_DEVICE: return Cause::Permission;
  default: return Cause::External;
  }
}

int level_of(unsigned level) { return level ? 4 - static_cast<int>(level) : vmsa_oracle::kNoLevel; }

// The outcome in the oracle's words.
Result translated(const pgt::Outcome &o, bool privileged) {
  const ims_walk &w = o.walk;
  Result r;
  for (const pgt::Read &read : o.reads)
    r.reads.push_back(read.hpa);
  r.written = o.written;
  if (!o.done) {
    r.cause = cause_of(w.fault.cause);
    r.stage = w.fault.stage;
    r.level = level_of(w.fault.level);
    r.start = w.fault.top;
    r.during = w.fault.during == IMS_FOR_TABLE    ? During::Table
               : w.fault.during == IMS_FOR_UPDATE ? During::Update
                                                  : During::Page;
    r.input = w.fault.addr;
    r.for_level = level_of(w.fault.s1_level);
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
  r.memory = vmsa_oracle::memory_name(IMS_ATTR_GET(w.attr, IMS_ATTR_MEM, 8), IMS_ATTR_GET(w.attr, IMS_ATTR_SH, 2));
  return r;
}

std::string text(const Result &r) {
  static const char *const causes[] = {"ok",          "translation", "range",   "address size",
                                       "access flag", "permission",  "external"};
  static const char *const during[] = {"table", "update", "page"};
  std::ostringstream s;
  s << causes[static_cast<int>(r.cause)];
  if (r.cause != Cause::None)
    s << " stage " << r.stage << " level " << r.level << (r.start ? " start" : "") << " during "
      << during[static_cast<int>(r.during)] << " for level " << r.for_level << std::hex << " input 0x" << r.input;
  else
    s << std::hex << " 0x" << r.out << " page 0x" << r.page << " " << (r.can_read ? "r" : "-")
      << (r.can_write ? "w" : "-") << (r.can_execute ? "x" : "-") << " dirty " << r.first_dirty << r.second_dirty << " "
      << r.memory;
  s << std::hex << "; reads";
  for (uint64_t addr : r.reads)
    s << " " << addr;
  s << "; written";
  for (auto [addr, value] : r.written)
    s << " " << addr << "=" << value;
  return s.str();
}

} // namespace

std::string difference(const Result &want, const pgt::Outcome &outcome, const Request &q, bool with_caches) {
  Result got = translated(outcome, q.privileged);
  std::string diff;
  auto check = [&](const char *what, bool same) {
    if (!same)
      diff += std::string(diff.empty() ? "" : ", ") + what;
  };
  check("cause", got.cause == want.cause);
  if (want.cause == Cause::None) {
    check("output", got.out == want.out);
    check("page", got.page == want.page);
    check("read right", got.can_read == want.can_read);
    check("write right", got.can_write == want.can_write);
    check("execute right", got.can_execute == want.can_execute);
    // A cached entry may not know yet that the state has changed since; that costs a walk and no more.
    check("stage 1 dirty", got.first_dirty == want.first_dirty || (with_caches && want.first_dirty));
    check("stage 2 dirty", got.second_dirty == want.second_dirty || (with_caches && want.second_dirty));
    check("memory type", got.memory == want.memory);
  } else {
    check("stage", got.stage == want.stage);
    check("during", got.during == want.during);
    check("input", got.input == want.input);
    check("for level", got.for_level == want.for_level);
    if (!with_caches) {
      check("level", got.level == want.level);
      check("start level", got.start == want.start);
    }
  }
  if (!with_caches) {
    check("reads", got.reads == want.reads);
    check("count of reads", outcome.refs == want.reads.size());
  }
  check("memory", got.written == want.written);
  return diff.empty() ? diff : diff + "\n  want " + text(want) + "\n  got  " + text(got);
}

} // namespace vmsa
