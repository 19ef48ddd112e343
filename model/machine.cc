// SPDX-License-Identifier: Apache-2.0
// What machines of all architectures share: the layout of memory, tables of tenants, the ring.
#include "model/machine_internal.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace ims::model {

const char *const machine_archs[] = {"vtd", "smmuv3", nullptr};
const char *const machine_translations[] = {"nested", "first", "second", "shadow", "pass-through", "off", nullptr};
const char *const machine_granules[] = {"4k", "16k", "64k", nullptr};
const char *const machine_pages[] = {"4k", "2m", "1g", nullptr};
const char *const machine_table_pages[] = {"same", "4k", "2m", "1g", nullptr};
const char *const machine_tables[] = {"linear", "two-level", nullptr};
const char *const machine_syncs[] = {"message", "index", nullptr};
const char *const machine_faults[] = {"terminate", "stall", nullptr};
IMS_MODEL_PART(MachineConfig, "machine", "memory, tables and queues that software has set up", IMS_MODEL_MACHINE_KNOBS)

namespace {

constexpr uint64_t first_byte = 4ull << 30; // behind the addresses of interrupts
constexpr unsigned host_bits = 46;          // what the host has room for
constexpr uint64_t most_streams = 1 << 22;

} // namespace

void machine_error(const std::string &sentence) { throw std::runtime_error("machine: " + sentence); }

void machine_check(int err, const char *what) {
  if (err != IMS_ERR_OK)
    machine_error(std::string(what) + ": " + ims_strerror(err));
}

void without_cache(void *config, const ims_option &row) {
  const std::string name = row.name, suffix = "_entries";
  if (!row.feature && name.size() > suffix.size() && !name.compare(name.size() - suffix.size(), suffix.size(), suffix))
    ims_option_set(config, &row, 0);
}

unsigned log2_up(uint64_t value) {
  unsigned n = 0;
  while (n < 63 && uint64_t{1} << n < value)
    n++;
  return n;
}

// Each round multiplies by an odd number and folds the upper half into the lower: both can be undone.
uint64_t shuffled(uint64_t index, unsigned bits, uint64_t seed) {
  if (!bits)
    return index;
  uint64_t mask = (uint64_t{1} << bits) - 1, x = index, key = seed * 0x9e3779b97f4a7c15 + 0x2545f4914f6cdd1d;
  for (int round = 0; round < 3; round++) {
    x = (x * (key | 1) + (key >> 32)) & mask;
    x ^= x >> (bits / 2 + 1);
    key = key * 0xd1342543de82ef95 + 0x9e3779b97f4a7c15;
  }
  return x;
}

uint64_t Area::place(uint64_t start, unsigned unit_log2, uint64_t units, bool scattered, uint64_t with_seed) {
  unit = unit_log2;
  scatter = scattered;
  seed = with_seed;
  bits = log2_up(units);
  count = scatter ? uint64_t{1} << bits : units;
  base = round_up(start, uint64_t{1} << unit);
  return base + (count << unit);
}

uint64_t Area::at(uint64_t index) const { return base + ((scatter ? shuffled(index, bits, seed) : index) << unit); }

uint64_t Area::next() {
  if (used == count)
    machine_error("no memory is left for tables");
  return at(used++);
}

MachineImpl::MachineImpl(const MachineConfig &config) : cfg(config) { ims_mem_init(&mem); }
MachineImpl::~MachineImpl() {
  ims_iommu_free(prober);
  ims_mem_fini(&mem);
}

// A shadow holds what both stages say together: the smaller page.
unsigned MachineImpl::s1_leaf() const {
  return (cfg.translation == TRANSLATE_SHADOW ? std::min(cfg.s1_page, cfg.s2_page) : cfg.s1_page) + 1;
}

// Tables beside the root for `bytes` in so many ranges, mapped with the smallest pages.
uint64_t MachineImpl::tables_bound(const ims_pgt &p, uint64_t bytes, uint64_t ranges) const {
  uint64_t tables = 1;
  for (unsigned level = 1; level < p.levels; level++)
    tables += (bytes >> p.fmt->shift[level + 1]) + 2 * ranges;
  return tables;
}

void MachineImpl::lay_out() {
  const uint64_t tenants_n = cfg.tenants, streams_n = tenants_n * cfg.pasids;
  const unsigned page = has_s1() ? s1_format.page_shift : has_s2() ? s2_format.page_shift : 12;
  const bool scatter = cfg.scatter && !identity();
  leaf_log2 = has_s1() ? s1_format.shift[s1_leaf()] : has_s2() ? s2_format.shift[s2_leaf()] : page;
  window = round_up(uint64_t{cfg.window_kb} << 10, uint64_t{1} << page);
  blocks = round_up(window, uint64_t{1} << leaf_log2) >> leaf_log2;
  const uint64_t reach = blocks << leaf_log2; // of a window, whole leaves

  // The guest's memory: its data, then its tables.
  uint64_t guest_bytes = 0, region = 0;
  unsigned unit_log2 = page;
  data_log2 = leaf_log2;
  units_stream = blocks;
  units_tenant = blocks * cfg.pasids;
  if (nested()) {
    data_log2 = s2_format.shift[s2_leaf()];
    unit_log2 = s2_format.shift[s2_table_leaf()];
    block_bits = log2_up(blocks * cfg.pasids);
    region = (scatter ? uint64_t{1} << block_bits : blocks * cfg.pasids) << leaf_log2;
    region = round_up(region, uint64_t{1} << data_log2);
    // Of large leaves of the guest only what the windows use is there.
    units_stream = round_up(window, uint64_t{1} << data_log2) >> data_log2;
    units_tenant = data_log2 >= leaf_log2 ? region >> data_log2 : units_stream * cfg.pasids;
    uint64_t tables = tables_bound(s1, reach, 1) * cfg.pasids << s1_format.page_shift;
    guest_bytes = round_up(guest_structure_bytes + 2 * tables, uint64_t{1} << unit_log2);
    const unsigned gpa_bits = std::min<unsigned>(s2.in_bits, 48); // more than first-stage entries may hold
    data_gpa = round_up(uint64_t{1} << (gpa_bits - 2), uint64_t{1} << std::max(data_log2, leaf_log2));
    guest_gpa = round_up(data_gpa + region, uint64_t{1} << unit_log2);
    guest_end = guest_gpa + guest_bytes;
    if (guest_end > uint64_t{1} << gpa_bits)
      machine_error("a tenant's memory does not fit the second stage's " + std::to_string(gpa_bits) + " bits");
  }

  // Physical memory: tables, structures, pages that hold guests' tables, data.
  uint64_t tables = 64;
  if (has_s2()) {
    uint64_t bytes = nested() ? std::min(region, units_tenant << data_log2) : reach;
    uint64_t ranges = nested() && data_log2 < leaf_log2 ? blocks * cfg.pasids : 1;
    tables += tenants_n * (tables_bound(s2, bytes, ranges) + (nested() ? tables_bound(s2, guest_bytes, 1) : 0));
  }
  if (one_s1())
    tables += streams_n * tables_bound(s1, reach, 1);
  unsigned frame = has_s2() ? s2_format.page_shift : page;
  uint64_t at = table_area.place(first_byte, frame, 2 * tables, scatter, cfg.seed);
  structure_at = round_up(at, 1 << 20);
  structure_end = at = round_up(structure_at + structure_bytes + (64 << 20), 1 << 20);
  if (nested())
    at = unit_area.place(at, unit_log2, tenants_n * (guest_bytes >> unit_log2), scatter, cfg.seed + 1);
  if (identity())
    data_log2 = page;
  at = data_area.place(at, data_log2, identity() ? streams_n * (window >> page) : tenants_n * units_tenant, scatter,
                       cfg.seed + 2);
  if (at > uint64_t{1} << std::min(address_bits, host_bits))
    machine_error("its memory is beyond 2^" + std::to_string(std::min(address_bits, host_bits)) +
                  " bytes; fewer tenants, smaller windows or smaller pages are needed");
  machine_check(ims_mem_add_ram(&mem, 0, at), "memory");

  // Windows.
  uint64_t stride = cfg.same_iova ? 0 : reach, origin = uint64_t{1} << (input_bits - 2);
  origin = round_up(origin, uint64_t{1} << leaf_log2);
  if (identity()) {
    origin = data_area.base;
    stride = window;
  } else if (origin + (streams_n - 1) * stride + reach > uint64_t{1} << (input_bits - 1)) {
    machine_error("the windows of " + std::to_string(streams_n) + " streams do not fit " + std::to_string(input_bits) +
                  " bits of address");
  }
  streams.reserve(streams_n);
  for (uint64_t i = 0; i < streams_n; i++) {
    bool has_pasid = cfg.pasid_requests && (has_s1() || cfg.arch == ARCH_VTD);
    streams.push_back({tenant_of(i), has_pasid ? pasid_of(i) : 0, has_pasid, origin + i * stride, window});
  }
}

void MachineImpl::build() {
  if (!cfg.pasid_requests && cfg.pasids > 1)
    machine_error("pasids > 1 needs pasid_requests");
  if (uint64_t{cfg.tenants} * cfg.pasids > most_streams)
    machine_error("tenants times pasids is " + std::to_string(most_streams) + " at most");
  first_pasid = cfg.pasid_requests ? 1 : 0;
  settle();
  const char *stage = nullptr;
  if (has_s1() && (s1_leaf() > s1.levels || !(s1_format.leaf_levels >> s1_leaf() & 1)))
    stage = "s1_page: the first stage has no leaf of that level";
  else if (has_s2() && (s2_leaf() > s2.levels || !(s2_format.leaf_levels >> s2_leaf() & 1)))
    stage = "s2_page: the second stage has no leaf of that level";
  else if (nested() && (s2_table_leaf() > s2.levels || !(s2_format.leaf_levels >> s2_table_leaf() & 1)))
    stage = "s2_table_page: the second stage has no leaf of that level";
  if (stage)
    machine_error(stage);
  if (has_s1())
    shape.n = s1.levels - s1_leaf() + 1;
  if (has_s2())
    shape.md = s2.levels - s2_leaf() + 1;
  if (nested())
    shape.mt = s2.levels - s2_table_leaf() + 1;

  lay_out();
  ring = structure(uint64_t{ring_entry} << cfg.queue_log2);
  status = structure(4096);
  structures();
  tenants.resize(cfg.tenants);
  s1_roots.resize(has_s1() ? streams.size() : 0);
  for (unsigned t = 0; t < cfg.tenants; t++) {
    if (has_s2())
      build_second_stage(t);
    if (cfg.translation != TRANSLATE_OFF)
      tenant(t);
    for (unsigned p = 0; p < cfg.pasids; p++)
      build_stream(t, p);
  }
}

void MachineImpl::build_second_stage(unsigned t) {
  Tenant &tenant = tenants[t];
  ims_pgt_mem host = host_mem();
  tenant.s2 = s2;
  machine_check(ims_pgt_create(&tenant.s2, &host), "second stage");
  if (!nested())
    return; // it maps windows: build_stream
  auto map_units = [&](uint64_t gpa, uint64_t index, uint64_t count) {
    uint64_t step = data_area.scatter ? 1 : count;
    for (uint64_t i = 0; i < count; i += step)
      machine_check(ims_pgt_map(&tenant.s2, &host, gpa + (i << data_log2), data_area.at(t * units_tenant + index + i),
                                step << data_log2, IMS_PERM_R | IMS_PERM_W, s2_flags, s2_leaf()),
                    "guest memory");
  };
  if (data_log2 >= leaf_log2) {
    map_units(data_gpa, 0, units_tenant);
    return;
  }
  // Leaves of the guest are larger than pages behind it.
  for (unsigned p = 0; p < cfg.pasids; p++) {
    size_t stream = size_t{t} * cfg.pasids + p;
    for (uint64_t offset = 0; offset < window; offset += uint64_t{1} << leaf_log2) {
      uint64_t part = std::min(window - offset, uint64_t{1} << leaf_log2);
      map_units(gpa_of(stream, offset), p * units_stream + (offset >> data_log2),
                round_up(part, uint64_t{1} << data_log2) >> data_log2);
    }
  }
}

void MachineImpl::build_stream(unsigned t, unsigned p) {
  size_t stream = size_t{t} * cfg.pasids + p;
  uint64_t root = 0;
  if (has_s1()) {
    ims_pgt pgt = s1;
    ims_pgt_mem m = mem_of(stream);
    machine_check(ims_pgt_create(&pgt, &m), "first stage");
    root = s1_roots[stream] = pgt.root;
  }
  if (cfg.translation != TRANSLATE_OFF)
    stream_entry(t, p, root);
  if (cfg.premap && !identity())
    machine_check(map(stream, streams[stream].iova, window), "window");
}

// Where data lie.

uint64_t MachineImpl::gpa_of(size_t stream, uint64_t offset) const {
  uint64_t block = (stream % cfg.pasids) * blocks + (offset >> leaf_log2);
  if (cfg.scatter)
    block = shuffled(block, block_bits, cfg.seed + 3 + tenant_of(stream));
  return data_gpa + (block << leaf_log2) + (offset & ((uint64_t{1} << leaf_log2) - 1));
}

uint64_t MachineImpl::frame_of(size_t stream, uint64_t offset) const {
  uint64_t low = (uint64_t{1} << data_log2) - 1;
  if (identity())
    return streams[stream].iova + offset;
  if (!nested())
    return data_area.at(stream * units_stream + (offset >> data_log2)) + (offset & low);
  uint64_t first = tenant_of(stream) * units_tenant;
  if (data_log2 >= leaf_log2) {
    uint64_t at = gpa_of(stream, offset) - data_gpa;
    return data_area.at(first + (at >> data_log2)) + (at & low);
  }
  return data_area.at(first + (stream % cfg.pasids) * units_stream + (offset >> data_log2)) + (offset & low);
}

ims_pgt MachineImpl::pgt_of(size_t stream) const {
  ims_pgt p = has_s1() ? s1 : s2;
  p.root = has_s1() ? s1_roots[stream] : tenants[tenant_of(stream)].s2.root;
  return p;
}

bool MachineImpl::clip(size_t stream, uint64_t iova, uint64_t bytes, uint64_t *first, uint64_t *size) const {
  if (stream >= streams.size())
    return false;
  const Stream &s = streams[stream];
  if (iova < s.iova || iova - s.iova >= s.bytes || !bytes || bytes > s.bytes - (iova - s.iova))
    return false;
  uint64_t page = uint64_t{1} << (has_s1() ? s1_format.page_shift : has_s2() ? s2_format.page_shift : 12);
  *first = iova / page * page;
  *size = round_up(iova + bytes, page) - *first;
  return true;
}

int MachineImpl::map(size_t stream, uint64_t iova, uint64_t bytes) {
  uint64_t first, size;
  if (!clip(stream, iova, bytes, &first, &size))
    return IMS_ERR_RANGE;
  if (identity())
    return IMS_ERR_OK;
  const uint64_t leaf = uint64_t{1} << leaf_log2, window_at = streams[stream].iova, last = window_at + window;
  ims_pgt p = pgt_of(stream);
  ims_pgt_mem m = mem_of(stream);
  const unsigned flags = has_s1() ? s1_flags : s2_flags, level = has_s1() ? s1_leaf() : s2_leaf(),
                 perm = has_s1() ? IMS_PERM_ALL : IMS_PERM_R | IMS_PERM_W;
  // The last leaf, mapped as a whole, sticks out of a window that is no multiple of it.
  bool whole = first + size == last && window_at + ((blocks - 1) << leaf_log2) >= first;
  uint64_t end = whole ? window_at + (blocks << leaf_log2) : first + size;
  for (uint64_t at = first; at < end;) {
    uint64_t next = cfg.scatter ? std::min(end, (at / leaf + 1) * leaf) : end, offset = at - window_at;
    uint64_t out = nested() ? gpa_of(stream, offset) : frame_of(stream, offset);
    int err = ims_pgt_map(&p, &m, at, out, next - at, perm, flags, level);
    if (err) {
      if (at > first)
        ims_pgt_unmap(&p, &m, first, at - first, IMS_UNMAP_KEEP, nullptr);
      return err;
    }
    at = next;
  }
  return IMS_ERR_OK;
}

// Memory.

uint64_t MachineImpl::structure(uint64_t bytes) {
  uint64_t unit = uint64_t{1} << std::max(6u, log2_up(bytes));
  uint64_t at = round_up(structure_at, unit);
  if (at + bytes > structure_end)
    machine_error("no memory is left for structures");
  structure_at = at + bytes;
  return at;
}

uint64_t MachineImpl::guest_structure(unsigned tenant, uint64_t bytes) {
  uint64_t unit = uint64_t{1} << std::max(6u, log2_up(bytes));
  uint64_t at = round_up(guest_gpa + tenants[tenant].guest_used, unit);
  if (at + bytes > guest_end)
    machine_error("no guest memory is left for tables");
  tenants[tenant].guest_used = at + bytes - guest_gpa;
  for (uint64_t u = (at - guest_gpa) >> unit_area.unit; u <= (at + bytes - 1 - guest_gpa) >> unit_area.unit; u++)
    map_guest_unit(tenant, u);
  return at;
}

void MachineImpl::map_guest_unit(unsigned tenant, uint64_t unit) {
  Tenant &t = tenants[tenant];
  if (t.table_units.size() <= unit)
    t.table_units.resize(unit + 1);
  if (t.table_units[unit])
    return;
  ims_pgt_mem host = host_mem();
  t.table_units[unit] = unit_area.next();
  machine_check(ims_pgt_map(&t.s2, &host, guest_gpa + (unit << unit_area.unit), t.table_units[unit],
                            uint64_t{1} << unit_area.unit, IMS_PERM_R | IMS_PERM_W, s2_flags, s2_table_leaf()),
                "guest memory");
}

uint64_t MachineImpl::behind(unsigned tenant, uint64_t gpa) {
  uint64_t offset = gpa - guest_gpa, unit = offset >> unit_area.unit;
  const Tenant &t = tenants[tenant];
  if (gpa < guest_gpa || unit >= t.table_units.size() || !t.table_units[unit])
    return UINT64_MAX;
  return t.table_units[unit] + (offset & ((uint64_t{1} << unit_area.unit) - 1));
}

void MachineImpl::store(uint64_t hpa, uint64_t word) {
  if (ims_mem_store64(&mem, hpa, word) != IMS_ERR_OK)
    machine_error("a store outside memory");
}

void MachineImpl::store(uint64_t hpa, const void *words, size_t bytes) {
  machine_check(ims_mem_write(&mem, hpa, words, bytes), "memory");
}

uint64_t MachineImpl::load(uint64_t hpa) {
  uint64_t word = 0;
  if (ims_mem_load64(&mem, hpa, &word) != IMS_ERR_OK)
    machine_error("a load outside memory");
  return word;
}

ims_pgt_mem MachineImpl::host_mem() { return {this, host_load, host_store, host_alloc, host_free, host_cas}; }

ims_pgt_mem MachineImpl::mem_of(size_t stream) {
  if (!nested())
    return host_mem();
  guest_.tenant = tenant_of(stream);
  return {&guest_, guest_load, guest_store, guest_alloc, guest_free, guest_cas};
}

int MachineImpl::host_load(void *ctx, uint64_t addr, uint64_t *value) {
  return ims_mem_load64(&static_cast<MachineImpl *>(ctx)->mem, addr, value);
}
int MachineImpl::host_store(void *ctx, uint64_t addr, uint64_t value) {
  return ims_mem_store64(&static_cast<MachineImpl *>(ctx)->mem, addr, value);
}
int MachineImpl::host_cas(void *ctx, uint64_t addr, uint64_t old, uint64_t desired, uint64_t *seen) {
  return ims_mem_cas64(&static_cast<MachineImpl *>(ctx)->mem, addr, old, desired, seen);
}

namespace {

// A block that was given back, if there is one of this size.
bool take_back(std::map<unsigned, std::vector<uint64_t>> &freed, unsigned log2size, uint64_t *addr) {
  auto it = freed.find(log2size);
  if (it == freed.end() || it->second.empty())
    return false;
  *addr = it->second.back();
  it->second.pop_back();
  return true;
}

} // namespace

int MachineImpl::host_alloc(void *ctx, unsigned log2size, uint64_t *addr) {
  auto *m = static_cast<MachineImpl *>(ctx);
  if (take_back(m->freed_, log2size, addr))
    return ims_mem_fill(&m->mem, *addr, 0, uint64_t{1} << log2size);
  if (log2size == m->table_area.unit ? m->table_area.used == m->table_area.count
                                     : m->structure_at + (2ull << log2size) > m->structure_end)
    return IMS_ERR_NOSPACE;
  *addr = log2size == m->table_area.unit ? m->table_area.next() : m->structure(uint64_t{1} << log2size);
  return IMS_ERR_OK;
}

void MachineImpl::host_free(void *ctx, uint64_t addr, unsigned log2size) {
  static_cast<MachineImpl *>(ctx)->freed_[log2size].push_back(addr);
}

int MachineImpl::guest_load(void *ctx, uint64_t addr, uint64_t *value) {
  auto *g = static_cast<Guest *>(ctx);
  return ims_mem_load64(&g->machine->mem, g->machine->behind(g->tenant, addr), value);
}
int MachineImpl::guest_store(void *ctx, uint64_t addr, uint64_t value) {
  auto *g = static_cast<Guest *>(ctx);
  return ims_mem_store64(&g->machine->mem, g->machine->behind(g->tenant, addr), value);
}
int MachineImpl::guest_cas(void *ctx, uint64_t addr, uint64_t old, uint64_t desired, uint64_t *seen) {
  auto *g = static_cast<Guest *>(ctx);
  return ims_mem_cas64(&g->machine->mem, g->machine->behind(g->tenant, addr), old, desired, seen);
}

int MachineImpl::guest_alloc(void *ctx, unsigned log2size, uint64_t *addr) {
  auto *g = static_cast<Guest *>(ctx);
  MachineImpl &m = *g->machine;
  Tenant &t = m.tenants[g->tenant];
  if (take_back(t.freed, log2size, addr)) { // units may lie apart: word by word
    for (uint64_t i = 0; i < uint64_t{1} << log2size; i += 8)
      ims_mem_store64(&m.mem, m.behind(g->tenant, *addr + i), 0);
    return IMS_ERR_OK;
  }
  if (m.guest_gpa + t.guest_used + (2ull << log2size) > m.guest_end)
    return IMS_ERR_NOSPACE;
  try { // no exception may pass the C code that asks
    *addr = m.guest_structure(g->tenant, uint64_t{1} << log2size);
  } catch (const std::runtime_error &) {
    return IMS_ERR_NOSPACE;
  }
  return IMS_ERR_OK;
}

void MachineImpl::guest_free(void *ctx, uint64_t addr, unsigned log2size) {
  auto *g = static_cast<Guest *>(ctx);
  g->machine->tenants[g->tenant].freed[log2size].push_back(addr);
}

// The ring.

// Waits are done in their order, and each writes its ticket over the one before.
void MachineImpl::reclaim() {
  if (cfg.sync == SYNC_MESSAGE) {
    uint32_t written = 0; // as it was written: 4 bytes
    memcpy(&written, ims_mem_ptr(&mem, status, sizeof written), sizeof written);
    uint32_t behind_by = static_cast<uint32_t>(ticket_) - written;
    done_ = std::max(done_, behind_by <= ticket_ ? ticket_ - behind_by : 0);
  }
  for (; !open_.empty() && open_.front().ticket <= done_; open_.pop_front())
    head_ = std::max(head_, open_.front().end);
}

unsigned MachineImpl::free_entries() const {
  return static_cast<unsigned>((uint64_t{1} << cfg.queue_log2) - (tail_ - head_) - ring_keeps_one_free);
}

unsigned MachineImpl::room() {
  reclaim();
  return free_entries();
}

Doorbell MachineImpl::submit(Entries &all) {
  wait(all, static_cast<uint32_t>(ticket_ + 1));
  if (all.size() > free_entries() && all.size() > room())
    return {};
  uint64_t mask = (uint64_t{1} << cfg.queue_log2) - 1;
  for (const Entry &e : all) {
    uint64_t at = ring + (tail_++ & mask) * ring_entry;
    for (unsigned i = 0; i < ring_entry / 8; i++)
      store(at + i * 8, e.word[i]);
  }
  open_.push_back({++ticket_, tail_});
  const bool vtd = cfg.arch == ARCH_VTD;
  const uint64_t value = vtd ? (tail_ & mask) * ring_entry : tail_ & (2 * mask + 1);
  return {tail_register, vtd ? 8u : 4u, value, ticket_, static_cast<unsigned>(all.size())};
}

bool MachineImpl::completed(uint64_t ticket) {
  reclaim();
  return ticket <= done_;
}

void MachineImpl::index_read(uint64_t value) {
  uint64_t mask = ring_keeps_one_free ? (uint64_t{1} << cfg.queue_log2) - 1 : (uint64_t{2} << cfg.queue_log2) - 1;
  uint64_t ahead = (index_of(value) - head_) & mask;
  if (ahead <= tail_ - head_) // else it was read before one that is known already
    head_ += ahead;
  for (; !open_.empty() && open_.front().end <= head_; open_.pop_front())
    done_ = open_.front().ticket;
}

void MachineImpl::resume(Entries &, const LoggedFault &, enum ims_resume_action) {}

// The machine.

namespace {

std::unique_ptr<MachineImpl> made(const MachineConfig &config, const ims_vtd_config *vtd,
                                  const ims_smmuv3_config *smmu) {
  const ims_option *bad =
      ims_options_check(&config, MachineConfig::part().rows.data(), MachineConfig::part().rows.size());
  if (bad)
    machine_error(std::string(bad->name) + " = " + std::to_string(ims_option_get(&config, bad)) + " is not within " +
                  std::to_string(bad->low) + " to " + std::to_string(bad->high));
  ims_vtd_config v;
  ims_smmuv3_config s;
  ims_vtd_config_default(&v);
  ims_smmuv3_config_default(&s);
  auto impl = config.arch == ARCH_VTD ? machine_vtd(config, vtd ? *vtd : v) : machine_smmuv3(config, smmu ? *smmu : s);
  impl->build();
  return impl;
}

} // namespace

Machine::Machine(const MachineConfig &config, const ims_vtd_config &vtd, const ims_smmuv3_config &smmu)
    : impl_(made(config, &vtd, &smmu)) {}
Machine::Machine(const MachineConfig &config) : impl_(made(config, nullptr, nullptr)) {}
Machine::~Machine() = default;

const MachineConfig &Machine::config() const { return impl_->cfg; }
ims_mem *Machine::memory() { return &impl_->mem; }
bool Machine::shadow() const { return impl_->cfg.translation == TRANSLATE_SHADOW; }
std::function<ims_iommu *(const ims_iommu_bus *)> Machine::maker() const {
  return [impl = impl_.get()](const ims_iommu_bus *bus) { return impl->make(bus, true); };
}
void Machine::start(ims_iommu *unit) { impl_->start(unit); }

const std::vector<Stream> &Machine::streams() const { return impl_->streams; }

int64_t Machine::find(uint32_t source, uint32_t pasid, bool has_pasid) const {
  const MachineImpl &m = *impl_;
  if (source >= m.cfg.tenants)
    return -1;
  size_t first = size_t{source} * m.cfg.pasids, p = has_pasid ? pasid - m.first_pasid : 0;
  if (has_pasid != m.streams[first].has_pasid || p >= m.cfg.pasids)
    return -1;
  return static_cast<int64_t>(first + p);
}

bool Machine::in_window(size_t stream, uint64_t iova, uint64_t bytes) const {
  uint64_t first, size;
  return impl_->clip(stream, iova, bytes, &first, &size);
}

unsigned Machine::references(const Stream &) const { return impl_->shape.references(); }
const WalkShape &Machine::shape() const { return impl_->shape; }
uint64_t Machine::frame(size_t stream, uint64_t iova) const {
  return impl_->frame_of(stream, iova - impl_->streams[stream].iova);
}

std::vector<uint64_t> Machine::walk_addresses(uint64_t iova, const Stream &stream, bool structures) {
  std::vector<uint64_t> addresses;
  if (!impl_->prober)
    impl_->start(impl_->prober = impl_->make(nullptr, false));
  ims_request req = {};
  req.iova = iova;
  req.source = stream.source;
  req.pasid = stream.pasid;
  req.has_pasid = stream.has_pasid;
  req.access = IMS_ACC_R;
  ims_result res;
  ims_xlate x;
  ims_xlate_begin(&x, impl_->prober, &req, &res);
  for (ims_step_kind kind = ims_xlate_step(&x); kind < IMS_STEP_DONE; kind = ims_xlate_step(&x)) {
    const ims_step &s = x.port.step;
    bool table = s.what == IMS_STRUCT_S1_TABLE || s.what == IMS_STRUCT_S2_TABLE;
    if (kind == IMS_STEP_READ && (table || structures))
      addresses.push_back(s.hpa);
    if (kind == IMS_STEP_UPDATE) { // as if it were done
      x.port.answer.ok = true;
      x.port.answer.data[0] = s.old;
    } else {
      ims_xlate_answer(&x, kind);
    }
  }
  return addresses; // the translation is abandoned: nothing is recorded
}

int Machine::map(size_t stream, uint64_t iova, uint64_t bytes) { return impl_->map(stream, iova, bytes); }

int Machine::unmap(size_t stream, uint64_t iova, uint64_t bytes) {
  uint64_t first, size;
  if (!impl_->clip(stream, iova, bytes, &first, &size))
    return IMS_ERR_RANGE;
  if (impl_->identity())
    return IMS_ERR_OK;
  ims_pgt p = impl_->pgt_of(stream);
  ims_pgt_mem m = impl_->mem_of(stream);
  const Stream &s = impl_->streams[stream];
  if (first + size == s.iova + s.bytes) // the last leaf sticks out
    size = s.iova + (impl_->blocks << impl_->leaf_log2) - first;
  return ims_pgt_unmap(&p, &m, first, size, IMS_UNMAP_KEEP, nullptr);
}

bool Machine::mapped(size_t stream, uint64_t iova) const {
  uint64_t first, size;
  if (!impl_->clip(stream, iova, 1, &first, &size))
    return false;
  if (impl_->identity())
    return true;
  ims_pgt p = impl_->pgt_of(stream);
  ims_pgt_mem m = impl_->mem_of(stream);
  ims_pgt_leaf leaf;
  return ims_pgt_lookup(&p, &m, iova, &leaf) == IMS_ERR_OK;
}

uint64_t Machine::page_bytes() const {
  return uint64_t{1} << (impl_->has_s1()   ? impl_->s1_format.page_shift
                         : impl_->has_s2() ? impl_->s2_format.page_shift
                                           : 12);
}

uint64_t Machine::entries_for(uint64_t bytes) const {
  uint64_t leaf = uint64_t{1} << impl_->leaf_log2;
  return bytes >= leaf ? (bytes + leaf - 1) / leaf : (bytes + page_bytes() - 1) / page_bytes();
}

Doorbell Machine::invalidate(size_t stream, uint64_t iova, uint64_t bytes, bool leaf_only) {
  Entries &e = impl_->fresh();
  uint64_t page = page_bytes(), first = iova / page * page;
  if (bytes)
    impl_->invalidate(e, stream, first, round_up(iova + bytes, page) - 1, leaf_only);
  return impl_->submit(e);
}

Doorbell Machine::invalidate_tenant(size_t stream) {
  Entries &e = impl_->fresh();
  impl_->invalidate_tenant(e, impl_->tenant_of(stream));
  return impl_->submit(e);
}

Doorbell Machine::invalidate_all() {
  Entries &e = impl_->fresh();
  impl_->invalidate_all(e);
  return impl_->submit(e);
}

Doorbell Machine::respond(const ims_page_request &request, unsigned code) {
  Entries &e = impl_->fresh();
  impl_->respond(e, request, code);
  return impl_->submit(e);
}

Doorbell Machine::resume(const LoggedFault &stalled, enum ims_resume_action action) {
  Entries &e = impl_->fresh();
  impl_->resume(e, stalled, action);
  return impl_->submit(e);
}

Doorbell Machine::synchronize() { return impl_->submit(impl_->fresh()); }
unsigned Machine::room() const { return impl_->room(); }
bool Machine::completed(uint64_t ticket) { return impl_->completed(ticket); }
Mmio Machine::index_register() const { return impl_->index_register(); }
void Machine::index_read(uint64_t value) { impl_->index_read(value); }
void Machine::interrupt_on_completion(bool on) {
  if (on && !impl_->can_interrupt())
    machine_error("interrupts need smmuv3.msi");
  impl_->completion_interrupt = on;
}
Mmio Machine::acknowledge_completion() const { return impl_->acknowledge(); }

Interrupt Machine::interrupt(uint64_t address, uint32_t data) const {
  if (address == impl_->status)
    return Interrupt::COMPLETION;
  if (address != interrupt_address)
    return Interrupt::NONE;
  switch (data) {
  case DATA_FAULT: return Interrupt::FAULT;
  case DATA_PAGE_REQUEST: return Interrupt::PAGE_REQUEST;
  case DATA_COMPLETION: return Interrupt::COMPLETION;
  default: return Interrupt::NONE;
  }
}

bool Machine::drain_next(Drain &drain, uint64_t read, Mmio *next) { return impl_->drain_next(drain, read, next); }

Drain Machine::drain(MachineLog log, ims_iommu *unit) {
  Drain d(log);
  Mmio next;
  uint64_t read = 0;
  while (drain_next(d, read, &next)) {
    if (next.write)
      ims_iommu_write(unit, next.offset, next.size, next.value);
    else
      read = ims_iommu_read(unit, next.offset, next.size);
  }
  return d;
}

} // namespace ims::model
