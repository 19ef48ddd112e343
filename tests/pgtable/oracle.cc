// SPDX-License-Identifier: Apache-2.0
// The oracle of the walk tests; see oracle.h. Rules stand where they are applied, in the order of the specification.
#include "tests/pgtable/oracle.h"

#include <algorithm>

namespace oracle {
namespace {

bool bit(uint64_t word, int n) { return (word >> n) & 1; }

// Is any of the bits high..low set?
bool any(uint64_t word, int high, int low) {
  for (int n = low; n <= high; n++)
    if (bit(word, n))
      return true;
  return false;
}

uint64_t page_size(int level) {
  uint64_t size = 4096;
  for (int l = 1; l < level; l++)
    size *= 512;
  return size;
}

uint64_t page_number(uint64_t entry) { return entry / 4096 % (uint64_t(1) << 40) * 4096; }

struct Fault {
  Cause cause;
  int stage, level;
  bool top;
  During during;
  uint64_t input;
  int first_stage_level;
};

struct Again {};

// What the second stage says of one guest address.
struct Mapping {
  uint64_t out = 0, size = 0;
  bool r = true, w = true, x = true;
  uint64_t leaf_addr = 0, leaf = 0;
  bool dirty = true;
  bool snoop = false;
};

class Walk {
public:
  Walk(const Load &load, const FirstStage *first, const SecondStage *second, const Request &request)
      : load_(load), first_(first), second_(second), request_(request) {}

  Result run() {
    // A lost compare-and-swap starts the walk again; here only the walk itself can have changed the word, so a few
    // rounds settle it.
    for (int round = 0;; round++) {
      try {
        translate();
        return result_;
      } catch (const Fault &f) {
        result_.cause = f.cause;
        result_.stage = f.stage;
        result_.level = f.level;
        result_.top = f.top;
        result_.during = f.during;
        result_.input = f.input;
        result_.first_stage_level = f.first_stage_level;
        return result_;
      } catch (const Again &) {
        if (round == 8) {
          result_.cause = Cause::UpdateFailed;
          return result_;
        }
      }
    }
  }

private:
  bool look(uint64_t addr, uint64_t &value) {
    auto it = result_.written.find(addr);
    if (it == result_.written.end())
      return load_(addr, value);
    value = it->second;
    return true;
  }

  bool read(uint64_t addr, uint64_t &value) {
    result_.reads.push_back(addr);
    return look(addr, value);
  }

  void set_bits(uint64_t addr, uint64_t seen, uint64_t bits) {
    uint64_t now = 0;
    look(addr, now);
    if (now != seen)
      throw Again{};
    result_.written[addr] = seen | bits;
  }

  bool forbidden(uint64_t out) const {
    return out >= request_.forbidden_base && out - request_.forbidden_base < request_.forbidden_size;
  }

  void translate() {
    wants_write_ = request_.write;
    result_.can_read = result_.can_write = true;
    result_.can_execute = second_ && second_->execute; // a right to execute is granted where one is judged
    result_.first_dirty = result_.second_dirty = true;
    result_.snoop = false;
    result_.page = uint64_t(1) << 63;
    uint64_t out = request_.addr;
    if (first_)
      out = first_stage(request_.addr);
    if (second_) {
      Mapping m = second_stage(out, request_.read, wants_write_, request_.execute, request_.query, During::Page, 0);
      out = m.out;
      result_.page = std::min(result_.page, m.size);
      result_.can_read = result_.can_read && m.r;
      result_.can_write = result_.can_write && m.w;
      result_.can_execute = result_.can_execute && (m.x || !second_->execute);
      result_.second_dirty = m.dirty;
      result_.snoop = m.snoop;
    } else if (forbidden(out)) {
      throw Fault{Cause::Output, 1, 0, false, During::Page, request_.addr, 0};
    }
    result_.out = out;
  }

  // 3.6. Returns the output address, a GPA under a second stage.
  uint64_t first_stage(uint64_t addr) {
    // Canonical: all bits from the top one of the width upwards are equal.
    int top_bit = first_->levels == 5 ? 56 : 47;
    for (int n = top_bit; n < 64; n++)
      if (bit(addr, n) != bit(addr, top_bit))
        throw Fault{Cause::Range, 1, 0, false, During::Page, addr, 0};
    return first_level(addr, first_->levels, first_->root, true, true, false);
  }

  uint64_t first_level(uint64_t addr, int level, uint64_t table, bool writable, bool user, bool xd) {
    auto fault = [&](Cause cause, During during) {
      return Fault{cause, 1, level, level == first_->levels, during, addr, 0};
    };
    uint64_t where = table + addr / page_size(level) % 512 * 8;
    Mapping home;
    home.out = where;
    if (second_)
      home = second_stage(where, true, false, false, false, During::Table, level);

    uint64_t entry = 0;
    if (!read(home.out, entry))
      throw fault(Cause::Access, During::Table);
    if (!bit(entry, 0))
      throw fault(Cause::NotPresent, During::Table);

    bool ps = level > 1 && bit(entry, 7);
    bool leaf = level == 1 || ps;
    bool reserved = first_->address_width < 52 && any(entry, 51, first_->address_width);
    if (ps && level >= 4)
      reserved = true;
    if (ps && level == 3)
      reserved = reserved || !first_->pages_1g || any(entry, 29, 13);
    if (ps && level == 2)
      reserved = reserved || any(entry, 20, 13);
    if (first_->xd_reserved && bit(entry, 63))
      reserved = true;
    if (reserved)
      throw fault(Cause::Reserved, During::Table);

    writable = writable && bit(entry, 1);
    user = user && bit(entry, 2);
    xd = xd || bit(entry, 63);

    uint64_t accessed = 0;
    if (first_->accessed_dirty)
      accessed = 1 << 5;
    if (first_->accessed_dirty && first_->extended_accessed)
      accessed |= 1 << 10;

    if (!leaf) {
      update(fault(Cause::None, During::Update), home, entry, accessed);
      return first_level(addr, level - 1, page_number(entry), writable, user, xd);
    }

    // Rights, over all levels.
    if (!request_.privileged && !user)
      throw fault(Cause::User, During::Page);
    bool may_write = writable || (request_.privileged && !first_->write_protect);
    bool may_execute = !(first_->nxe && xd) && !(request_.privileged && first_->smep && user);
    if (request_.query) {
      wants_write_ = wants_write_ && may_write;
    } else {
      if (request_.execute && first_->execute_requests && !may_execute)
        throw fault(Cause::Execute, During::Page);
      if (request_.write && !may_write)
        throw fault(Cause::Write, During::Page);
    }
    result_.can_write = may_write;
    result_.can_execute = first_->execute_requests && may_execute;

    uint64_t dirty = first_->accessed_dirty ? 1 << 6 : 0;
    uint64_t set = accessed | (wants_write_ ? dirty : 0);
    update(fault(Cause::None, During::Update), home, entry, set);
    result_.first_dirty = !first_->accessed_dirty || bit(entry | set, 6);
    uint64_t size = page_size(level);
    result_.page = size;
    return page_number(entry) / size * size + addr % size;
  }

  // 3.6.3, and 3.8.2 for the guest's page: reading a first-stage table needs R of the second stage; setting bits in it is
  // a write and needs W as well, and makes the page dirty.
  void update(Fault f, const Mapping &home, uint64_t entry, uint64_t bits) {
    if ((entry & bits) == bits)
      return;
    if (!first_->snooped) {
      f.cause = Cause::NoSnoop;
      throw f;
    }
    if (second_) {
      int leaf_level = home.size == page_size(1) ? 1 : home.size == page_size(2) ? 2 : 3;
      Fault second{Cause::Write, 2, leaf_level, leaf_level == second_->levels, During::Update, 0, f.level};
      second.input = guest_where_;
      if (!home.w)
        throw second;
      if (!home.dirty) {
        if (!second_->snooped) {
          second.cause = Cause::NoSnoop;
          throw second;
        }
        set_bits(home.leaf_addr, home.leaf, 1 << 9);
      }
    }
    set_bits(home.out, entry, bits);
  }

  // 3.7. first_stage_level: on behalf of which table the address is translated; 0: the page.
  Mapping second_stage(uint64_t gpa, bool r, bool w, bool x, bool query, During during, int first_stage_level) {
    guest_where_ = gpa;
    for (int n = second_->input_width; n < 64; n++)
      if (bit(gpa, n))
        throw Fault{Cause::Range, 2, 0, false, during, gpa, first_stage_level};
    Mapping all;
    return second_level(gpa, second_->levels, second_->root, all, r, w, x, query, during, first_stage_level);
  }

  Mapping second_level(uint64_t gpa, int level, uint64_t table, Mapping m, bool r, bool w, bool x, bool query,
                       During during, int first_stage_level) {
    auto fault = [&](Cause cause) {
      return Fault{cause, 2, level, level == second_->levels, during, gpa, first_stage_level};
    };
    uint64_t where = table + gpa / page_size(level) % 512 * 8;
    uint64_t entry = 0;
    if (!read(where, entry))
      throw fault(Cause::Access);
    if (!bit(entry, 0) && !bit(entry, 1) && !(second_->execute && bit(entry, 2)))
      throw fault(Cause::NotPresent);

    bool ps = level > 1 && bit(entry, 7);
    bool leaf = level == 1 || ps;
    bool reserved = bit(entry, 62) || (second_->address_width < 52 && any(entry, 51, second_->address_width));
    if (ps && level >= 4)
      reserved = true;
    if (ps && level == 3)
      reserved = reserved || !second_->pages_1g || any(entry, 29, 12);
    if (ps && level == 2)
      reserved = reserved || !second_->pages_2m || any(entry, 20, 12);
    if (bit(entry, 11) && (!leaf || !second_->snoop_control))
      reserved = true;
    if (reserved)
      throw fault(Cause::Reserved);

    m.r = m.r && bit(entry, 0);
    m.w = m.w && bit(entry, 1);
    m.x = m.x && bit(entry, 2);
    uint64_t accessed = second_->accessed_dirty ? 1 << 8 : 0;

    if (!leaf) {
      // A right that is missing here does not stop the walk: it is judged at the leaf.
      if (accessed & ~entry) {
        if (!second_->snooped)
          throw fault(Cause::NoSnoop);
        set_bits(where, entry, accessed);
      }
      return second_level(gpa, level - 1, page_number(entry), m, r, w, x, query, during, first_stage_level);
    }

    if (!m.r && !m.w && !(second_->execute && m.x))
      throw fault(Cause::NotPresent);
    if (query) {
      // Nothing is demanded; a write counts where it is granted.
      r = x = false;
      w = w && m.w;
    }
    if (w && !m.w)
      throw fault(Cause::Write);
    bool harmless = during == During::Page && request_.zero_length && second_->zero_length_reads;
    if (r && !m.r && !harmless)
      throw fault(Cause::Read);
    if (x && second_->execute && !m.x)
      throw fault(Cause::Execute);

    uint64_t size = page_size(level);
    m.size = size;
    m.out = page_number(entry) / size * size + gpa % size;
    if (during == During::Page && forbidden(m.out))
      throw fault(Cause::Output);

    uint64_t set = accessed;
    if (w && second_->accessed_dirty)
      set |= 1 << 9;
    set &= ~entry;
    if (set) {
      if (!second_->snooped)
        throw fault(Cause::NoSnoop);
      set_bits(where, entry, set);
    }
    m.leaf_addr = where;
    m.leaf = entry | set;
    m.dirty = !second_->accessed_dirty || bit(m.leaf, 9);
    m.snoop = bit(entry, 11);
    return m;
  }

  const Load &load_;
  const FirstStage *first_;
  const SecondStage *second_;
  const Request &request_;
  Result result_;
  bool wants_write_ = false;
  uint64_t guest_where_ = 0; // the guest address translated last
};

} // namespace

Result translate(const Load &load, const FirstStage *first, const SecondStage *second, const Request &request) {
  return Walk(load, first, second, request).run();
}

} // namespace oracle
