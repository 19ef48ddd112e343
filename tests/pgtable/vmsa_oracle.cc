// SPDX-License-Identifier: Apache-2.0
// See vmsa_oracle.h. Rules stand where they are applied, in the order of D8.15.4 and D8.15.5.
#include "tests/pgtable/vmsa_oracle.h"

#include <algorithm>

namespace vmsa_oracle {
namespace {

bool bit(uint64_t word, int n) { return word >> n & 1; }

uint64_t bits(uint64_t word, int high, int low) {
  uint64_t value = 0;
  for (int n = high; n >= low; n--)
    value = value * 2 + bit(word, n);
  return value;
}

uint64_t reversed(uint64_t word) {
  uint64_t value = 0;
  for (int i = 0; i < 8; i++)
    value = value * 256 + bits(word, 8 * i + 7, 8 * i);
  return value;
}

uint64_t power(int n) { return n >= 64 ? 0 : uint64_t(1) << n; }

int page_bits(const Stage &s) { return s.granule == 4 ? 12 : s.granule == 16 ? 14 : 16; }
// log2 of what a descriptor at this level stands for: each level below the last adds the bits of one table of words.
int size_bits(const Stage &s, int level) { return page_bits(s) + (3 - level) * (page_bits(s) - 3); }

bool block_allowed(const Stage &s, int level) {
  if (s.granule == 4)
    return level == 1 || level == 2 || (level == 0 && s.ds);
  if (s.granule == 16)
    return level == 2 || (level == 1 && s.ds);
  return level == 2 || (level == 1 && s.lpa);
}

// How many neighbours a contiguous hint binds, as log2. D8.7.1.
int run_bits(const Stage &s, int level) {
  if (s.granule == 4)
    return level >= 1 ? 4 : 0;
  if (s.granule == 16)
    return level == 3 ? 7 : level == 2 ? 5 : 0;
  return level >= 2 ? 5 : 0;
}

// The address in a descriptor, of which `low` bits are not part.
uint64_t address(const Stage &s, uint64_t d, int low) {
  uint64_t a = bits(d, 47, low) << low;
  if (s.granule == 64 && s.lpa)
    a += bits(d, 15, 12) << 48;
  if (s.granule != 64 && s.ds)
    a += (bits(d, 49, 48) << 48) + (bits(d, 9, 8) << 50);
  return a;
}

// Memory types.

struct Cacheability {
  enum Kind { NC, WT, WB } kind = NC;
  bool transient = false;
  unsigned hints = 0; // read-allocate 2, write-allocate 1
};

struct Memory {
  bool device = false;
  unsigned type = 0; // nGnRnE, nGnRE, nGRE, GRE
  Cacheability inner, outer;
  unsigned sh = 0; // 0 non-, 1 inner, 2 outer shareable
};

Cacheability mair_nibble(unsigned n) {
  Cacheability c;
  if (n == 4)
    return c;
  c.kind = n & 4 ? Cacheability::WB : Cacheability::WT;
  c.transient = !(n & 8);
  c.hints = n & 3;
  return c;
}

unsigned sh_of(unsigned field) { return field == 2 ? 2 : field == 3 ? 1 : 0; }

// EffectiveShareability. Under a stage 2 it may be taken of stage 1's result too, or not (S1Translate): here it is.
Memory effective(Memory m) {
  if (m.device || (m.inner.kind == Cacheability::NC && m.outer.kind == Cacheability::NC))
    m.sh = 2;
  return m;
}

Memory from_mair(unsigned byte, unsigned sh) {
  Memory m;
  m.sh = sh_of(sh);
  if (byte < 16) {
    m.device = true;
    m.type = byte / 4;
  } else {
    m.outer = mair_nibble(byte / 16);
    m.inner = mair_nibble(byte % 16);
  }
  return effective(m);
}

Cacheability stage2_cache(unsigned field) {
  Cacheability c;
  c.kind = field == 3 ? Cacheability::WB : field == 2 ? Cacheability::WT : Cacheability::NC;
  c.hints = field == 1 ? 0 : 3;
  return c;
}

Cacheability weakest(const Cacheability &first, const Cacheability &second) {
  Cacheability c = first;
  c.kind = std::min(first.kind, second.kind);
  if (c.kind == Cacheability::NC)
    c = {};
  return c;
}

Cacheability forced_write_back(const Memory &first, const Cacheability &c) {
  Cacheability wb;
  wb.kind = Cacheability::WB;
  wb.hints = 3;
  if (!first.device && c.kind != Cacheability::NC) {
    wb.hints = c.hints;
    wb.transient = c.transient;
  }
  return wb;
}

// D8.6.5, D8.6.6. `first`: null where stage 1 says nothing.
Memory combined(const Stage &s, const Memory *first, uint64_t leaf) {
  unsigned attr = static_cast<unsigned>(bits(leaf, 5, 2));
  unsigned sh = s.ds ? static_cast<unsigned>(s.sh) : static_cast<unsigned>(bits(leaf, 9, 8));
  Memory m;
  if (s.fwb) {
    Memory none = from_mair(0xff, 0);
    const Memory &one = first ? *first : none;
    if (!(attr & 4)) {
      m.device = true;
      m.type = one.device ? std::min(one.type, attr & 3) : attr & 3;
    } else if ((attr & 3) == 3) {
      m = one;
    } else if ((attr & 3) == 2) {
      m.inner = forced_write_back(one, one.inner);
      m.outer = forced_write_back(one, one.outer);
    } else if (one.device) {
      m = one;
    }
  } else {
    Memory two;
    if (attr < 4) {
      two.device = true;
      two.type = attr;
    } else {
      two.outer = stage2_cache(attr / 4);
      two.inner = stage2_cache(attr % 4);
    }
    if (!first) {
      m = two;
    } else if (first->device && two.device) {
      m.device = true;
      m.type = std::min(first->type, two.type);
    } else if (first->device || two.device) {
      m = first->device ? *first : two;
    } else {
      m.inner = weakest(first->inner, two.inner);
      m.outer = weakest(first->outer, two.outer);
    }
  }
  m.sh = std::max(first ? first->sh : 0, sh_of(sh));
  return effective(m);
}

std::string name_of(const Memory &m) {
  static const char *const devices[] = {"Device-nGnRnE", "Device-nGnRE", "Device-nGRE", "Device-GRE"};
  static const char *const sh[] = {"NSH", "ISH", "OSH"};
  if (m.device)
    return devices[m.type];
  auto cache = [](const Cacheability &c) {
    if (c.kind == Cacheability::NC)
      return std::string("NC");
    return std::string(c.kind == Cacheability::WB ? "WB" : "WT") + (c.transient ? "t" : "") + (c.hints & 2 ? "R" : "") +
           (c.hints & 1 ? "W" : "");
  };
  return "i" + cache(m.inner) + " o" + cache(m.outer) + " " + sh[m.sh];
}

struct Fault {
  Cause cause;
  int stage, level;
  bool start;
  During during;
  uint64_t input;
  int for_level;
};

struct Again {};

// What stage 2 says of one address.
struct Mapping {
  uint64_t out = 0, size = 0;
  int level = kNoLevel;
  bool r = true, w = true, x = true, px = true;
  uint64_t leaf_addr = 0, leaf = 0;
  bool dirty = true;
};

class Walk {
public:
  Walk(const Load &load, const Stage *first, const Stage *second, const Request &request)
      : load_(load), one_(first), two_(second), q_(request) {}

  Result run() {
    // An update that finds another word starts the walk again; only the walk itself can have changed it here.
    for (int round = 0; round < 8; round++) {
      try {
        translate();
        return r_;
      } catch (const Fault &f) {
        r_.cause = f.cause;
        r_.stage = f.stage;
        r_.level = f.level;
        r_.start = f.start;
        r_.during = f.during;
        r_.input = f.input;
        r_.for_level = f.for_level;
        return r_;
      } catch (const Again &) {}
    }
    r_.cause = Cause::External;
    return r_;
  }

private:
  bool look(uint64_t addr, uint64_t &value) {
    auto it = r_.written.find(addr);
    if (it == r_.written.end())
      return load_(addr, value);
    value = it->second;
    return true;
  }

  bool read(const Stage &s, uint64_t addr, uint64_t &value) {
    r_.reads.push_back(addr);
    if (!look(addr, value))
      return false;
    if (s.big_endian)
      value = reversed(value);
    return true;
  }

  void write(const Stage &s, uint64_t addr, uint64_t seen, uint64_t desired) {
    uint64_t now = 0;
    look(addr, now);
    if (now != (s.big_endian ? reversed(seen) : seen))
      throw Again{};
    r_.written[addr] = s.big_endian ? reversed(desired) : desired;
  }

  // The place of the descriptor for an input at this level.
  static uint64_t place(const Stage &s, int level, uint64_t table, uint64_t in) {
    uint64_t within = s.input_bits < 64 ? in % power(s.input_bits) : in; // the upper side counts from its own start
    uint64_t index = within >> size_bits(s, level);
    if (level != s.start_level)
      index %= power(page_bits(s) - 3);
    return table + 8 * index;
  }

  static bool in_range(const Stage &s, uint64_t in) {
    for (int n = s.input_bits; n < 64; n++)
      if (bit(in, n) != s.upper)
        return false;
    return true;
  }

  enum Kind { Invalid, Table, Leaf };
  static Kind kind_of(const Stage &s, int level, uint64_t d) {
    if (!bit(d, 0))
      return Invalid;
    if (level == 3)
      return bit(d, 1) ? Leaf : Invalid;
    if (bit(d, 1))
      return Table;
    return block_allowed(s, level) ? Leaf : Invalid;
  }

  static bool too_large(const Stage &s, uint64_t a) { return s.output_bits < 64 && a >= power(s.output_bits); }

  // What one translation covers: the leaf, or the run that the hint tells of, if that can be one at all.
  static uint64_t covered(const Stage &s, int level, uint64_t d, uint64_t in, uint64_t out) {
    int leaf = std::min(size_bits(s, level), s.output_bits), run = size_bits(s, level) + run_bits(s, level);
    if (!s.takes_contiguous || !bit(d, 52) || run_bits(s, level) == 0 || run > s.input_bits || run > s.output_bits)
      return power(leaf);
    uint64_t in_place = in % power(run) / power(leaf), out_place = out % power(run) / power(leaf);
    return in_place == out_place ? power(run) : power(leaf);
  }

  void translate() {
    wants_write_ = q_.write;
    r_.first_dirty = r_.second_dirty = true;
    r_.page = power(63);
    r_.can_read = r_.can_write = r_.can_execute = true;
    uint64_t out = q_.addr;
    Memory memory;
    if (one_)
      out = stage1(memory);
    if (two_) {
      Mapping m = stage2(out, q_.read, wants_write_, q_.execute, q_.query, During::Page, kNoLevel);
      out = m.out;
      r_.page = std::min(r_.page, m.size);
      r_.can_read = r_.can_read && m.r;
      r_.can_write = r_.can_write && m.w;
      r_.can_execute = r_.can_execute && (q_.privileged ? m.px : m.x);
      r_.second_dirty = m.dirty;
      r_.memory = name_of(combined(*two_, one_ ? &memory : nullptr, m.leaf));
    } else {
      r_.memory = name_of(memory);
    }
    r_.out = out;
  }

  uint64_t stage1(Memory &memory) {
    const Stage &s = *one_;
    uint64_t va = q_.addr;
    if (!in_range(s, va))
      throw Fault{Cause::Range, 1, kNoLevel, false, During::Page, va, kNoLevel};

    bool table_ro = false, table_priv = false, table_xn = false, table_pxn = false;
    uint64_t table = s.root;
    for (int level = s.start_level;; level++) {
      auto fault = [&](Cause cause, During during) {
        return Fault{cause, 1, level, level == s.start_level, during, va, kNoLevel};
      };
      uint64_t where = place(s, level, table, va);
      Mapping home;
      home.out = where;
      if (two_)
        home = stage2(where, true, false, false, false, During::Table, level);

      uint64_t d = 0;
      if (!read(s, home.out, d))
        throw fault(Cause::External, During::Table);
      Kind kind = kind_of(s, level, d);
      if (kind == Invalid)
        throw fault(Cause::Translation, During::Table);
      if (kind == Table) {
        uint64_t next = address(s, d, page_bits(s));
        if (too_large(s, next))
          throw fault(Cause::Size, During::Table);
        if (!s.had) {
          table_pxn = table_pxn || bit(d, 59);
          table_xn = table_xn || bit(d, 60);
          table_priv = table_priv || bit(d, 61);
          table_ro = table_ro || bit(d, 62);
        }
        if (s.ha && s.haft)
          update(home, where, level, d, d | power(10));
        table = next;
        continue;
      }

      int low = size_bits(s, level);
      uint64_t base = address(s, d, low);
      if (too_large(s, base + va % power(low))) // a block may be larger than the output
        throw fault(Cause::Size, During::Table);
      if (!bit(d, 10) && !s.ha && !s.affd)
        throw fault(Cause::AccessFlag, During::Page);

      bool ap2 = bit(d, 7) && !(bit(d, 51) && s.hd);
      bool pr = true, pw = !ap2 && !table_ro;
      bool ur = bit(d, 6) && !table_priv, uw = ur && pw;
      bool ux = !bit(d, 54) && !table_xn, px = !bit(d, 53) && !table_pxn;
      bool data_r, data_w, x;
      if (s.one_el) {
        data_r = true;
        data_w = pw;
        x = ux && !(s.wxn && pw);
      } else {
        if (s.aarch32) {
          px = px && ux && !(uw && s.uwxn) && !(pw && s.wxn);
          ux = ux && ur && !(uw && s.wxn);
        } else {
          px = px && !uw && !(pw && s.wxn);
          ux = ux && !(uw && s.wxn);
        }
        // Only data accesses are denied for what unprivileged software may do; EPAN looks at XN itself.
        bool user_exec = !bit(d, 54) && !table_xn;
        bool denied = s.pan && (ur || uw || (s.epan && user_exec));
        data_r = q_.privileged ? pr && !denied : ur;
        data_w = q_.privileged ? pw && !denied : uw;
        x = q_.privileged ? px : ux;
      }
      if (q_.query) {
        if (!data_r)
          throw fault(Cause::Permission, During::Page);
        wants_write_ = wants_write_ && data_w;
      } else if (q_.execute) {
        if (!x)
          throw fault(Cause::Permission, During::Page);
      } else if (!data_r || (q_.write && !data_w)) {
        throw fault(Cause::Permission, During::Page);
      }
      r_.can_read = data_r;
      r_.can_write = data_w;
      r_.can_execute = x;

      uint64_t now = d;
      if (s.ha)
        now |= power(10);
      if (wants_write_ && s.hd && bit(d, 51))
        now &= ~power(7);
      update(home, where, level, d, now);
      r_.first_dirty = !(s.hd && bit(now, 51) && bit(now, 7));
      unsigned sh = s.ds ? static_cast<unsigned>(s.sh) : static_cast<unsigned>(bits(d, 9, 8));
      // Stage 2 is given the effective shareability; the architecture leaves that choice (S1Translate).
      memory = effective(from_mair(static_cast<unsigned>(bits(s.mair, static_cast<int>(8 * bits(d, 4, 2) + 7),
                                                              static_cast<int>(8 * bits(d, 4, 2)))),
                                   sh));
      r_.page = covered(s, level, d, va, base);
      return base + va % power(low);
    }
  }

  // D8.5.2, RBDJJL: a stage-1 descriptor changes only where stage 2 lets its page be written, and that is a write to it.
  void update(const Mapping &home, uint64_t where, int level, uint64_t d, uint64_t now) {
    if (d == now)
      return;
    if (two_) {
      if (!home.w)
        throw Fault{Cause::Permission, 2, home.level, home.level == two_->start_level, During::Update, where, level};
      if (!home.dirty)
        write(*two_, home.leaf_addr, home.leaf, home.leaf | power(7));
    }
    write(*one_, home.out, d, now);
  }

  Mapping stage2(uint64_t ipa, bool r, bool w, bool x, bool query, During during, int for_level) {
    const Stage &s = *two_;
    if (!in_range(s, ipa))
      throw Fault{Cause::Range, 2, kNoLevel, false, during, ipa, for_level};
    uint64_t table = s.root;
    for (int level = s.start_level;; level++) {
      auto fault = [&](Cause cause) { return Fault{cause, 2, level, level == s.start_level, during, ipa, for_level}; };
      uint64_t where = place(s, level, table, ipa), d = 0;
      if (!read(s, where, d))
        throw fault(Cause::External);
      Kind kind = kind_of(s, level, d);
      if (kind == Invalid)
        throw fault(Cause::Translation);
      if (kind == Table) {
        table = address(s, d, page_bits(s));
        if (too_large(s, table))
          throw fault(Cause::Size);
        if (s.ha && s.haft && !bit(d, 10))
          write(s, where, d, d | power(10));
        continue;
      }
      int low = size_bits(s, level);
      uint64_t base = address(s, d, low);
      if (too_large(s, base + ipa % power(low)))
        throw fault(Cause::Size);
      if (!bit(d, 10) && !s.ha && !s.affd)
        throw fault(Cause::AccessFlag);

      Mapping m;
      m.r = bit(d, 6);
      m.w = bit(d, 7) || (bit(d, 51) && s.hd);
      unsigned xn = static_cast<unsigned>(bits(d, 54, 53));
      if (!s.xnx)
        xn &= 2;
      m.x = xn == 0 || xn == 1;
      m.px = xn == 0 || xn == 3;
      // PTW: neither tables nor context descriptors come out of Device memory.
      bool device = s.fwb ? !bit(d, 4) : !bit(d, 5) && !bit(d, 4);
      bool structure = during != During::Page || q_.structure;
      if (s.ptw && structure && device)
        throw fault(Cause::Permission);
      if (query) {
        r = x = false;
        w = w && m.w;
      }
      if (x ? !(q_.privileged ? m.px : m.x) : (w && !m.w) || (r && !m.r))
        throw fault(Cause::Permission);

      uint64_t now = d;
      if (s.ha)
        now |= power(10);
      if (w && s.hd && bit(d, 51))
        now |= power(7);
      if (now != d)
        write(s, where, d, now);
      m.level = level;
      m.leaf_addr = where;
      m.leaf = now;
      m.dirty = !(s.hd && bit(now, 51) && !bit(now, 7));
      m.size = covered(s, level, d, ipa, base);
      m.out = base + ipa % power(low);
      return m;
    }
  }

  const Load &load_;
  const Stage *one_, *two_;
  const Request &q_;
  Result r_;
  bool wants_write_ = false;
};

} // namespace

Result translate(const Load &load, const Stage *first, const Stage *second, const Request &request) {
  return Walk(load, first, second, request).run();
}

std::string memory_name(unsigned mair, unsigned sh) { return name_of(from_mair(mair, sh)); }

} // namespace vmsa_oracle
