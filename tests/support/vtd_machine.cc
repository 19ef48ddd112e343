// SPDX-License-Identifier: Apache-2.0
#include "tests/support/vtd_machine.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>

namespace vtd {

namespace {

enum : uint64_t { kAddress = ~uint64_t(0xfff) };

std::string hex(uint64_t v) {
  char s[32];
  snprintf(s, sizeof s, "0x%llx", static_cast<unsigned long long>(v));
  return s;
}

} // namespace

Config::Config() {
  ims_vtd_config_default(this);
  haw = kHaw;
}

Config &Config::no_caches() {
  const std::string size = "_entries";
  for (unsigned i = 0; const ims_option *o = ims_vtd_options(i); i++) {
    std::string name = o->name;
    if (name.size() > size.size() && name.compare(name.size() - size.size(), size.size(), size) == 0)
      ims_option_set(static_cast<ims_vtd_config *>(this), o, 0);
  }
  return *this;
}

Machine::Machine(const Config &config) : cfg(config) {
  for (Half &h : half_) {
    h.owner = this;
    ims_mem_init(&h.mem);
    EXPECT_EQ(IMS_ERR_OK, ims_mem_add_ram(&h.mem, 0, kHostSize));
    EXPECT_EQ(IMS_ERR_OK, ims_mem_add_ram(&h.mem, kGuestBase, kGuestSize));
    ims_iommu_bus bus = {};
    bus.ctx = &h;
    bus.message = [](void *ctx, uint64_t addr, uint32_t data) {
      static_cast<Half *>(ctx)->messages.push_back({addr, data});
    };
    bus.ats_invalidate = [](void *ctx, const ims_ats_invalidation *i) {
      Half *half = static_cast<Half *>(ctx);
      half->ats.push_back(*i);
      return !half->owner->mute.count(i->source);
    };
    bus.page_response = [](void *ctx, const ims_page_response *r) {
      static_cast<Half *>(ctx)->responses.push_back(*r);
    };
    EXPECT_EQ(IMS_ERR_OK, ims_vtd_new(&h.unit, &cfg, &h.mem, &bus)) << ims_vtd_config_check(&cfg);
  }
}

Machine::~Machine() {
  for (Half &h : half_) {
    ims_iommu_free(h.unit);
    ims_mem_fini(&h.mem);
  }
}

uint64_t Machine::alloc(unsigned pages) {
  uint64_t at = next_;
  next_ += pages * 4 * KB;
  EXPECT_LE(next_, kHostSize) << "the machine is full";
  return at;
}

uint64_t Machine::guest_alloc(unsigned pages) {
  uint64_t at = next_guest_;
  next_guest_ += pages * 4 * KB;
  EXPECT_LE(next_guest_, kGuestSize) << "the guest is full";
  return at;
}

uint64_t Machine::load(uint64_t hpa) {
  uint64_t value[2] = {};
  for (int i = 0; i < 2; i++)
    EXPECT_EQ(IMS_ERR_OK, ims_mem_load64(&half_[i].mem, hpa, &value[i])) << hex(hpa);
  EXPECT_EQ(value[0], value[1]) << "both halves at " << hex(hpa);
  return value[0];
}

void Machine::store(uint64_t hpa, uint64_t value) {
  for (Half &h : half_)
    EXPECT_EQ(IMS_ERR_OK, ims_mem_store64(&h.mem, hpa, value)) << hex(hpa);
}

void Machine::point(uint64_t hpa, uint64_t address) { store(hpa, (load(hpa) & ~kAddress) | (address & kAddress)); }

void Machine::expect_same_memory() {
  const uint64_t base[2] = {0, kGuestBase}, used[2] = {next_, next_guest_};
  for (int r = 0; r < 2; r++) {
    const uint8_t *a = ims_mem_ptr(&half_[0].mem, base[r], used[r]), *b = ims_mem_ptr(&half_[1].mem, base[r], used[r]);
    ASSERT_TRUE(a && b);
    if (memcmp(a, b, used[r]) == 0)
      continue;
    uint64_t i = 0;
    while (a[i] == b[i])
      i++;
    ADD_FAILURE() << "memory of the two ways differs at " << hex(base[r] + i);
  }
}

uint64_t Machine::read(uint32_t offset, unsigned size) {
  uint64_t a = ims_iommu_read(half_[0].unit, offset, size), b = ims_iommu_read(half_[1].unit, offset, size);
  EXPECT_EQ(a, b) << "register at " << hex(offset);
  return a;
}

void Machine::write(uint32_t offset, unsigned size, uint64_t value) {
  for (Half &h : half_)
    ims_iommu_write(h.unit, offset, size, value);
  collect();
}

uint64_t Machine::get(ims_vtd_reg r) { return read(ims_vtd_regs[r].offset, ims_vtd_regs[r].bytes); }
void Machine::put(ims_vtd_reg r, uint64_t v) { write(ims_vtd_regs[r].offset, ims_vtd_regs[r].bytes, v); }

void Machine::collect() {
  Half &a = half_[0], &b = half_[1];
  EXPECT_EQ(a.messages, b.messages);
  EXPECT_EQ(a.ats.size(), b.ats.size());
  EXPECT_EQ(a.responses.size(), b.responses.size());
  messages.insert(messages.end(), a.messages.begin(), a.messages.end());
  ats.insert(ats.end(), a.ats.begin(), a.ats.end());
  responses.insert(responses.end(), a.responses.begin(), a.responses.end());
  for (Half &h : half_) {
    h.messages.clear();
    h.ats.clear();
    h.responses.clear();
  }
}

void Machine::command(uint32_t bit, bool on) {
  uint64_t levels = get(IMS_VTD_GSTS) & 0x96ffffff;
  put(IMS_VTD_GCMD, on ? levels | bit : levels & ~uint64_t(bit));
}

void Machine::set_root_table(Mode mode) {
  mode_ = mode;
  if (!root)
    root = alloc();
  put(IMS_VTD_RTADDR, root | uint64_t(mode) << 10);
  command(1u << 30);
  EXPECT_TRUE(get(IMS_VTD_GSTS) >> 30 & 1);
}

void Machine::start_queue(bool wide, unsigned qs) {
  queue = alloc(1u << qs);
  queue_bytes = 4096u << qs;
  descriptor_bytes = wide ? 32 : 16;
  tail = 0;
  put(IMS_VTD_IQT, 0);
  put(IMS_VTD_IQA, queue | uint64_t(wide) << 11 | qs);
  command(1u << 26);
  EXPECT_TRUE(get(IMS_VTD_GSTS) >> 26 & 1);
}

void Machine::start(Mode mode) {
  set_root_table(mode);
  if (cfg.qi)
    start_queue(mode != kLegacy);
  command(1u << 31);
}

uint64_t Machine::root_entry(unsigned source) {
  return root + (source >> 8) * 16 + (mode_ != kLegacy && (source & 128) ? 8 : 0);
}

uint64_t Machine::context_entry(unsigned source) {
  uint64_t e = root_entry(source);
  if (!(load(e) & 1))
    store(e, alloc() | 1);
  uint64_t table = load(e) & kAddress;
  return mode_ == kLegacy ? table + (source & 255) * 16 : table + (source & 127) * 32;
}

void Machine::set_context(unsigned source, Context c) {
  uint64_t e = context_entry(source);
  if (!c.dir)
    c.dir = load(e) & 1 ? load(e) & kAddress : alloc(((1u << (c.pdts + 7)) * 8 + 4095) / 4096);
  store(e + 8, c.rid_pasid | uint64_t(c.rid_priv) << 20);
  store(e, c.p | c.fpd << 1 | c.dte << 2 | c.paside << 3 | c.pre << 4 | c.pdts << 9 | c.dir);
}

void Machine::set_context(unsigned source, const LegacyContext &c) {
  uint64_t e = context_entry(source);
  store(e + 8, c.aw | uint64_t(c.did) << 8);
  store(e, c.p | c.fpd << 1 | c.tt << 2 | c.ss);
}

uint64_t Machine::directory_entry(unsigned source, uint32_t p) {
  return (load(context_entry(source)) & kAddress) + (p >> 6) * 8;
}

uint64_t Machine::pasid_entry(unsigned source, uint32_t p) {
  uint64_t e = directory_entry(source, p);
  if (!(load(e) & 1))
    store(e, alloc() | 1);
  return (load(e) & kAddress) + (p & 63) * 64;
}

void Machine::set_pasid(unsigned source, uint32_t pasid, const PasidEntry &e) {
  uint64_t at = pasid_entry(source, pasid), w[3] = {};
  w[0] = e.p | e.fpd << 1 | e.aw << 2 | e.ssee << 5 | e.pgtt << 6 | e.ssade << 9 | e.ss;
  w[1] = e.did | uint64_t(e.pwsnp) << 23 | uint64_t(e.pgsnp) << 24;
  w[2] = e.sre | e.ere << 1 | e.fspm << 2 | e.wpe << 4 | e.nxe << 5 | e.smep << 6 | e.eafe << 7 | e.fs;
  for (int i = 2; i >= 0; i--)
    store(at + i * 8, w[i]);
}

ims_result Machine::step_through(const ims_request &r,
                                 const std::function<void(ims_step_kind, const ims_step &)> &before) {
  ims_xlate x;
  ims_result res;
  memset(static_cast<void *>(&x), 0xa5, sizeof x); // nothing may depend on what lay there
  memset(static_cast<void *>(&res), 0xa5, sizeof res);
  reads.clear();
  updates = 0;
  ims_xlate_begin(&x, half_[1].unit, &r, &res);
  for (int n = 0;; n++) {
    ims_step_kind kind = ims_xlate_step(&x);
    if (kind == IMS_STEP_DONE || kind == IMS_STEP_FAULT)
      break;
    if (kind == IMS_STEP_READ)
      reads.push_back(x.port.step);
    updates += kind == IMS_STEP_UPDATE;
    if (before)
      before(kind, x.port.step);
    ims_xlate_answer(&x, kind);
    if (n > 10000) {
      ADD_FAILURE() << "a translation without end";
      break;
    }
  }
  ims_xlate_finish(&x);
  return res;
}

ims_result Machine::request(const ims_request &r) {
  ims_result a, b;
  memset(static_cast<void *>(&a), 0x5a, sizeof a);
  ims_translate(half_[0].unit, &r, &a);
  b = step_through(r, nullptr);
  collect();
  if (text(a) != text(b))
    ADD_FAILURE() << "the two ways differ\n  at once " << text(a) << "\n  by step " << text(b);
  if (compare_memory)
    expect_same_memory();
  return a;
}

ims_result Machine::stepped(const ims_request &r, const std::function<void(ims_step_kind, const ims_step &)> &before) {
  return step_through(r, before);
}

bool Machine::page_request(const ims_page_request &r) {
  bool a = ims_request_page(half_[0].unit, &r), b = ims_request_page(half_[1].unit, &r);
  EXPECT_EQ(a, b);
  collect();
  return a;
}

void Machine::drop_caches() {
  for (Half &h : half_)
    ims_iommu_drop_caches(h.unit);
}

void Machine::place(const Descriptor &d) {
  for (unsigned i = 0; i < descriptor_bytes / 8; i++)
    store(queue + tail + i * 8, d.word[i]);
  tail = (tail + descriptor_bytes) % queue_bytes;
}

void Machine::ring() { put(IMS_VTD_IQT, tail); }

bool Machine::wait() {
  if (!status_)
    status_ = alloc();
  submit(inv::wait_status(status_, ++ticket_));
  return (load(status_) & 0xffffffff) == ticket_;
}

std::vector<Record> Machine::faults() {
  std::vector<Record> found;
  uint64_t cap = get(IMS_VTD_CAP), fsts = get(IMS_VTD_FSTS);
  uint32_t count = (cap >> 40 & 0xff) + 1, base = static_cast<uint32_t>(cap >> 24 & 0x3ff) * 16;
  if (fsts >> 1 & 1) {
    for (uint32_t n = 0, i = fsts >> 8 & 0xff; n < count; n++, i = (i + 1) % count) {
      Record r = {read(base + i * 16, 8), read(base + i * 16 + 8, 8)};
      if (!(r.high >> 63))
        continue;
      found.push_back(r);
      write(base + i * 16 + 12, 4, 1u << 31);
    }
    EXPECT_FALSE(get(IMS_VTD_FSTS) & 2) << "PPF stays although every F is clear";
  }
  put(IMS_VTD_FSTS, fsts & 1);
  return found;
}

Tree::Tree(Machine &m, unsigned levels_, uint64_t table_bits, bool in_guest)
    : root(in_guest ? m.guest_alloc() : m.alloc()), levels(levels_), m_(m), bits_(table_bits),
      base_(in_guest ? kGuestBase : 0) {}

uint64_t Tree::table(uint64_t in, unsigned level) {
  uint64_t table = root;
  for (unsigned l = levels; l > level; l--) {
    uint64_t e = base_ + table + (in >> (12 + 9 * (l - 1)) & 511) * 8;
    if (!m_.load(e))
      m_.store(e, (base_ ? m_.guest_alloc() : m_.alloc()) | bits_);
    table = m_.load(e) & 0x000ffffffffff000;
  }
  return table;
}

uint64_t Tree::at(uint64_t in, unsigned level) {
  return base_ + table(in, level) + (in >> (12 + 9 * (level - 1)) & 511) * 8;
}

void Tree::map(uint64_t in, uint64_t out, uint64_t bits, unsigned level) {
  m_.store(at(in, level), out | bits | (level > 1 ? IMS_FS_PS : 0));
}

ims_request dma(unsigned source, uint64_t iova, unsigned access) {
  ims_request r = {};
  r.iova = iova;
  r.source = source;
  r.access = static_cast<uint8_t>(access);
  return r;
}

ims_request dma(unsigned source, uint32_t pasid, uint64_t iova, unsigned access) {
  ims_request r = dma(source, iova, access);
  r.pasid = pasid;
  r.has_pasid = true;
  return r;
}

ims_request as(ims_request r, ims_request_type type) {
  r.type = static_cast<uint8_t>(type);
  return r;
}

Record record(unsigned reason, const ims_request &r) {
  unsigned t1, t2, at = r.type == IMS_TRANSLATION_REQUEST ? 1 : r.type == IMS_TRANSLATED ? 2 : 0;
  bool write = r.access & IMS_ACC_W, read = !write || (r.access & IMS_ACC_R);
  if (r.type == IMS_PAGE_REQUEST)
    t1 = 0, t2 = 1;
  else
    t1 = read, t2 = read && write;
  Record want = {r.iova & kAddress, 0};
  want.high = (r.source & 0xffff) | uint64_t(t2) << 28 | uint64_t(reason) << 32 | uint64_t(at) << 60 |
              uint64_t(t1) << 62 | uint64_t(1) << 63;
  if (r.has_pasid)
    want.high |= uint64_t((r.access & IMS_ACC_PRIV) != 0) << 29 | uint64_t((r.access & IMS_ACC_X) != 0) << 30 |
                 uint64_t(1) << 31 | uint64_t(r.pasid) << 40;
  return want;
}

std::string text(const ims_result &r) {
  std::string s = "status " + std::to_string(r.status) + " completion " + std::to_string(r.completion) + " refs " +
                  std::to_string(r.refs);
  if (r.status == IMS_STATUS_FAULT) {
    s +=
        " fault " + hex(r.fault) + (r.recorded ? " recorded " : " silent ") + hex(r.record[0]) + ":" + hex(r.record[1]);
    if (r.walk.cause)
      s += " cause " + std::to_string(r.walk.cause) + " stage " + std::to_string(r.walk.stage) + " level " +
           std::to_string(r.walk.level) + " top " + std::to_string(r.walk.top) + " during " +
           std::to_string(r.walk.during) + " s1 " + std::to_string(r.walk.s1_level) + " addr " + hex(r.walk.addr);
  } else {
    s += " output " + hex(r.output) + " shift " + std::to_string(r.shift) + " rights " + std::to_string(r.rights) +
         " snoop " + std::to_string(r.snoop) + " U " + std::to_string(r.untranslated_only);
  }
  return s;
}

std::string text(const Record &r) {
  return hex(r.low) + ":" + hex(r.high) + " (reason " + hex(r.high >> 32 & 0xff) + ")";
}

namespace inv {
using u64 = uint64_t;
Descriptor context(unsigned g, unsigned did, unsigned source, unsigned fm) {
  return {{1 | u64(g) << 4 | u64(did) << 16 | u64(source) << 32 | u64(fm) << 48, 0, 0, 0}};
}
Descriptor iotlb(unsigned g, unsigned did, u64 addr, unsigned am, bool ih) {
  return {{2 | u64(g) << 4 | u64(did) << 16, addr | u64(ih) << 6 | am, 0, 0}};
}
Descriptor piotlb(unsigned did, uint32_t pasid) { return {{6 | 2 << 4 | u64(did) << 16 | u64(pasid) << 32, 0, 0, 0}}; }
Descriptor piotlb_page(unsigned did, uint32_t pasid, u64 addr, unsigned am, bool ih) {
  return {{6 | 3 << 4 | u64(did) << 16 | u64(pasid) << 32, addr | u64(ih) << 6 | am, 0, 0}};
}
Descriptor pasid_cache_global() { return {{7 | 3 << 4, 0, 0, 0}}; }
Descriptor pasid_cache_domain(unsigned did) { return {{7 | u64(did) << 16, 0, 0, 0}}; }
Descriptor pasid_cache(unsigned did, uint32_t pasid) {
  return {{7 | 1 << 4 | u64(did) << 16 | u64(pasid) << 32, 0, 0, 0}};
}
Descriptor device_tlb(unsigned source, u64 addr, bool s) { return {{3 | u64(source) << 32, addr | s, 0, 0}}; }
Descriptor pasid_device_tlb(unsigned source, uint32_t pasid, u64 addr, bool s, bool global) {
  return {{8 | u64(source) << 16 | u64(pasid) << 32, addr | u64(s) << 11 | global, 0, 0}};
}
Descriptor interrupt_entry_cache(bool index, unsigned im, unsigned iidx) {
  return {{4 | u64(index) << 4 | u64(im) << 27 | u64(iidx) << 32, 0, 0, 0}};
}
Descriptor wait_status(u64 addr, uint32_t data, bool interrupt, bool fence, bool drain) {
  return {{5 | u64(interrupt) << 4 | 1 << 5 | u64(fence) << 6 | u64(drain) << 7 | u64(data) << 32, addr, 0, 0}};
}
Descriptor wait_interrupt() { return {{5 | 1 << 4, 0, 0, 0}}; }
Descriptor page_response(unsigned source, uint32_t pasid, bool has_pasid, unsigned group, unsigned code, bool last) {
  return {{9 | u64(has_pasid) << 4 | u64(code) << 12 | u64(source) << 16 | u64(pasid) << 32,
           u64(last) << 2 | u64(group) << 3, 0, 0}};
}
} // namespace inv

} // namespace vtd
