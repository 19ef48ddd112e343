// SPDX-License-Identifier: Apache-2.0
// The machine from inside: where things lie in memory, how tables reach it, the ring of submissions, and what each
// architecture brings along.
#pragma once

#include "model/machine.h"
#include "pgtable/build.h"

#include <array>
#include <deque>
#include <map>

namespace ims::model {

[[noreturn]] void machine_error(const std::string &sentence);
void machine_check(int err, const char *what);

inline uint64_t round_up(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit * unit; }
// Sets a row of a unit's configuration to 0 if it is the size of a cache.
void without_cache(void *config, const ims_option &row);
unsigned log2_up(uint64_t value); // smallest n with 2^n >= value

// A part of physical memory that hands out units of 2^unit bytes: in order, or in a random one.
struct Area {
  uint64_t base = 0, count = 0;
  unsigned unit = 12, bits = 0; // scattered over 2^bits units
  uint64_t seed = 0;
  bool scatter = false;
  uint64_t used = 0; // of those that are handed out one after the other

  // Lays the area out from `at` on; returns its end.
  uint64_t place(uint64_t at, unsigned unit_log2, uint64_t units, bool scattered, uint64_t with_seed);
  uint64_t at(uint64_t index) const; // hpa of a unit
  uint64_t next();                   // throws when none is left
};

// A bijection of the numbers below 2^bits.
uint64_t shuffled(uint64_t index, unsigned bits, uint64_t seed);

// Of a second stage: where a tenant's guest memory lies behind it.
struct Tenant {
  ims_pgt s2 = {};
  std::vector<uint64_t>
      table_units;         // hpa of the pages that hold the guest's tables, in units of s2_table_page; 0: none
  uint64_t guest_used = 0; // bytes of the guest's table space, from its start
  std::map<unsigned, std::vector<uint64_t>> freed; // by log2 size
  uint64_t structures = 0;                         // PASID directory; CD table (gpa when nested)
};

struct Entry {
  std::array<uint64_t, 4> word{};
};
using Entries = std::vector<Entry>;

class MachineImpl {
public:
  MachineImpl(const MachineConfig &config);
  virtual ~MachineImpl();
  void build(); // once the object is complete

  // What an architecture brings along. First in this order:
  virtual void settle() = 0;           // checks, and sets the fields below up to `first_pasid`
  virtual void structures() = 0;       // what is there once
  virtual void tenant(unsigned t) = 0; // entries of a tenant, once its second stage stands; calls stream_entry
  virtual void stream_entry(unsigned t, unsigned p, uint64_t s1_root) = 0;

  virtual ims_iommu *make(const ims_iommu_bus *bus, bool caches) const = 0;
  virtual void start(ims_iommu *unit) = 0;

  virtual void invalidate(Entries &out, size_t stream, uint64_t first, uint64_t last, bool leaf_only) = 0;
  virtual void invalidate_tenant(Entries &out, unsigned tenant) = 0;
  virtual void invalidate_all(Entries &out) = 0;
  virtual void respond(Entries &out, const ims_page_request &r, unsigned code) = 0;
  virtual void resume(Entries &out, const LoggedFault &f, enum ims_resume_action action);
  virtual void wait(Entries &out, uint32_t ticket) = 0;
  virtual Mmio index_register() const = 0;
  virtual uint32_t index_of(uint64_t value) const = 0; // entries
  virtual Mmio acknowledge() const { return {}; }
  virtual bool can_interrupt() const { return true; }
  virtual bool drain_next(Drain &d, uint64_t read, Mmio *next) = 0;

  // The list to fill for a submission: one at a time.
  Entries &fresh() {
    entries_.clear();
    return entries_;
  }
  Doorbell submit(Entries &entries); // adds the wait
  bool completed(uint64_t ticket);
  void index_read(uint64_t value);
  unsigned room();
  unsigned free_entries() const; // of what is known so far

  // Memory for structures: `bytes`, aligned to their size, zeroed. In the guest's table space: a gpa of this tenant.
  uint64_t structure(uint64_t bytes);
  uint64_t guest_structure(unsigned tenant, uint64_t bytes);
  uint64_t behind(unsigned tenant, uint64_t gpa); // hpa of something in the guest's table space
  void store(uint64_t hpa, const void *words, size_t bytes);
  void store(uint64_t hpa, uint64_t word);
  uint64_t load(uint64_t hpa);

  uint64_t gpa_of(size_t stream, uint64_t offset) const;
  uint64_t frame_of(size_t stream, uint64_t offset) const;
  unsigned tenant_of(size_t stream) const { return static_cast<unsigned>(stream / cfg.pasids); }
  uint32_t pasid_of(size_t stream) const { return first_pasid + static_cast<uint32_t>(stream % cfg.pasids); }
  ims_pgt pgt_of(size_t stream) const; // of the stage that translates IOVAs
  ims_pgt_mem mem_of(size_t stream);
  int map(size_t stream, uint64_t iova, uint64_t bytes);
  bool clip(size_t stream, uint64_t iova, uint64_t bytes, uint64_t *first, uint64_t *size) const;
  bool has_s1() const { return cfg.translation == TRANSLATE_NESTED || one_s1(); }
  bool one_s1() const { return cfg.translation == TRANSLATE_FIRST || cfg.translation == TRANSLATE_SHADOW; }
  bool nested() const { return cfg.translation == TRANSLATE_NESTED; }
  bool has_s2() const { return nested() || cfg.translation == TRANSLATE_SECOND; }
  bool identity() const { return !has_s1() && !has_s2(); }
  unsigned s1_leaf() const; // level
  unsigned s2_leaf() const { return cfg.s2_page + 1; }
  unsigned s2_table_leaf() const { return cfg.s2_table_page ? cfg.s2_table_page : s2_leaf(); }

  MachineConfig cfg;
  ims_mem mem;
  std::vector<Stream> streams;
  std::vector<uint64_t> s1_roots; // by stream
  std::vector<Tenant> tenants;
  WalkShape shape;

  // By settle().
  ims_pgt_format s1_format = {}, s2_format = {};
  ims_pgt s1 = {}, s2 = {}; // all but their roots
  unsigned s1_flags = 0, s2_flags = 0;
  unsigned input_bits = 48;   // of IOVAs
  unsigned address_bits = 48; // of physical memory
  uint32_t first_pasid = 1;
  uint64_t structure_bytes = 0;       // bound, all in all
  uint64_t guest_structure_bytes = 0; // of a tenant, in its guest's memory
  uint32_t tail_register = 0;         // its offset
  unsigned ring_entry = 16;           // bytes
  bool ring_keeps_one_free = false;

  // Where things lie.
  Area table_area, unit_area, data_area;
  uint64_t structure_at = 0, structure_end = 0;
  uint64_t data_gpa = 0, guest_gpa = 0, guest_end = 0;
  unsigned leaf_log2 = 12;                     // of what translates IOVAs
  unsigned data_log2 = 12;                     // of what data memory is handed out in
  uint64_t window = 0;                         // bytes, whole pages
  uint64_t blocks = 0;                         // leaves a window
  unsigned block_bits = 0;                     // scattered over 2^bits blocks in a tenant's guest memory
  uint64_t units_stream = 0, units_tenant = 0; // of data memory

  uint64_t ring = 0, status = 0;
  bool completion_interrupt = false;
  ims_iommu *prober = nullptr; // without caches, for walk_addresses

private:
  void lay_out();
  void build_second_stage(unsigned t);
  void build_stream(unsigned t, unsigned p);
  void map_guest_unit(unsigned tenant, uint64_t unit);
  uint64_t tables_bound(const ims_pgt &p, uint64_t bytes, uint64_t ranges) const;

  static int host_load(void *ctx, uint64_t addr, uint64_t *value);
  static int host_store(void *ctx, uint64_t addr, uint64_t value);
  static int host_cas(void *ctx, uint64_t addr, uint64_t old, uint64_t desired, uint64_t *seen);
  static int host_alloc(void *ctx, unsigned log2size, uint64_t *addr);
  static void host_free(void *ctx, uint64_t addr, unsigned log2size);
  static int guest_load(void *ctx, uint64_t addr, uint64_t *value);
  static int guest_store(void *ctx, uint64_t addr, uint64_t value);
  static int guest_cas(void *ctx, uint64_t addr, uint64_t old, uint64_t desired, uint64_t *seen);
  static int guest_alloc(void *ctx, unsigned log2size, uint64_t *addr);
  static void guest_free(void *ctx, uint64_t addr, unsigned log2size);

  struct Guest {
    MachineImpl *machine;
    unsigned tenant;
  };
  Guest guest_{this, 0}; // whose memory mem_of() reaches; one at a time
  ims_pgt_mem host_mem();
  std::map<unsigned, std::vector<uint64_t>> freed_;

  struct Submission {
    uint64_t ticket, end; // the ring's tail behind it
  };
  std::deque<Submission> open_;
  Entries entries_;
  uint64_t head_ = 0, tail_ = 0; // entries ever
  uint64_t ticket_ = 0, done_ = 0;
  void reclaim();
};

std::unique_ptr<MachineImpl> machine_vtd(const MachineConfig &, const ims_vtd_config &);
std::unique_ptr<MachineImpl> machine_smmuv3(const MachineConfig &, const ims_smmuv3_config &);

// All at 64 MB and above; below lies what the architectures give a meaning of their own.
constexpr uint64_t interrupt_address = 0xfee00000;
enum : uint32_t { DATA_FAULT = 0x30, DATA_PAGE_REQUEST = 0x31, DATA_COMPLETION = 0x32, DATA_ERROR = 0x33 };

} // namespace ims::model
