// SPDX-License-Identifier: Apache-2.0
#include "tests/support/smmu_machine.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>

namespace smmu {

namespace {

using u64 = uint64_t;

std::string hex(u64 v) {
  char s[32];
  snprintf(s, sizeof s, "0x%llx", static_cast<unsigned long long>(v));
  return s;
}

enum : u64 { kSmmuen = 1, kPriqen = 2, kEventqen = 4, kCmdqen = 8, kAtschk = 16 };

unsigned pages_of(u64 bytes) { return static_cast<unsigned>((bytes + 4095) / 4096); }

} // namespace

Config::Config() { ims_smmuv3_config_default(this); }

Config &Config::no_caches() {
  const std::string size = "_entries";
  for (unsigned i = 0; const ims_option *o = ims_smmuv3_options(i); i++) {
    std::string name = o->name;
    if (name.size() > size.size() && name.compare(name.size() - size.size(), size.size(), size) == 0)
      ims_option_set(static_cast<ims_smmuv3_config *>(this), o, 0);
  }
  return *this;
}

Ste::Ste(unsigned config) {
  set(IMS_STE_V, 1).set(IMS_STE_CONFIG, config).set(IMS_STE_SHCFG, 1);
  set(IMS_STE_S2AA64, 1).set(IMS_STE_S2PS, 5).set(IMS_STE_S2R, 1);
}
Ste &Ste::set(ims_ste_field f, u64 value) {
  ims_ste_set(word, f, value);
  return *this;
}
Ste &Ste::at(ims_ste_field f, u64 address) {
  ims_ste_set_address(word, f, address);
  return *this;
}

Cd::Cd(unsigned asid) {
  set(IMS_CD_V, 1).set(IMS_CD_AA64, 1).set(IMS_CD_A, 1).set(IMS_CD_R, 1).set(IMS_CD_IPS, 5).set(IMS_CD_ASID, asid);
  set(IMS_CD_EPD0, 1).set(IMS_CD_EPD1, 1).set(IMS_CD_MAIR0, 0x04ff);
}
Cd &Cd::set(ims_cd_field f, u64 value) {
  ims_cd_set(word, f, value);
  return *this;
}
Cd &Cd::at(ims_cd_field f, u64 address) {
  ims_cd_set_address(word, f, address);
  return *this;
}

Event &Event::bits(unsigned low, u64 value) {
  word[low / 64] |= value << low % 64;
  return *this;
}
Event &Event::stage2(Class what, u64 ipa) {
  word[1] &= ~(u64(3) << 40);
  return bits(103, 1).bits(104, what).bits(204, ipa >> 12 & ((u64(1) << 44) - 1));
}
Event &Event::stalled(unsigned stag) { return bits(95, 1).bits(64, stag); }
Event &Event::fetched(u64 address) { return bits(195, address >> 3 & ((u64(1) << 53) - 1)); }
bool Event::operator==(const Event &o) const { return !memcmp(word, o.word, sizeof word); }

Event event(unsigned id, const ims_request &r) {
  Event e = {};
  e.bits(0, id).bits(32, r.source);
  if (r.has_pasid)
    e.bits(11, 1).bits(12, r.pasid);
  return e;
}

Event fault(unsigned id, const ims_request &r) {
  Event e = event(id, r);
  bool write = r.access & IMS_ACC_W;
  e.bits(97, (r.access & IMS_ACC_PRIV) != 0).bits(98, (r.access & IMS_ACC_X) && !write).bits(99, !write);
  return e.bits(104, kIn).bits(128, r.iova);
}

PageEntry page_entry(const ims_page_request &r) {
  PageEntry e = {{r.source, (r.addr & ~u64(0xfff)) | r.group}};
  e.word[0] |= u64(r.read) << 60 | u64(r.write) << 61 | u64(r.last) << 62;
  if (r.has_pasid)
    e.word[0] |= u64(r.pasid) << 32 | u64(r.priv) << 58 | u64(r.exec) << 59 | u64(1) << 63;
  return e;
}

Machine::Machine(const Config &config) : cfg(config) {
  for (Half &h : half_) {
    h.owner = this;
    h.number = static_cast<unsigned>(&h - half_);
    ims_mem_init(&h.mem);
    EXPECT_EQ(IMS_ERR_OK, ims_mem_add_ram(&h.mem, 0, kHostSize));
    EXPECT_EQ(IMS_ERR_OK, ims_mem_add_ram(&h.mem, kGuestBase, kGuestSize));
    ims_iommu_bus bus = {};
    bus.ctx = &h;
    bus.message = [](void *ctx, u64 addr, uint32_t data) {
      Half *half = static_cast<Half *>(ctx);
      half->messages.push_back({addr, data});
      if (half->owner->on_message)
        half->owner->on_message(half->number);
    };
    bus.ats_invalidate = [](void *ctx, const ims_ats_invalidation *i) {
      Half *half = static_cast<Half *>(ctx);
      half->ats.push_back(*i);
      return !half->owner->mute.count(i->source);
    };
    bus.page_response = [](void *ctx, const ims_page_response *r) {
      static_cast<Half *>(ctx)->responses.push_back(*r);
    };
    bus.resume = [](void *ctx, const ims_resume *r) {
      Half *half = static_cast<Half *>(ctx);
      half->resumes.push_back(*r);
      if (half->owner->on_resume)
        half->owner->on_resume(half->number, *r);
    };
    const char *wrong = ims_smmuv3_config_check(&cfg);
    EXPECT_EQ(IMS_ERR_OK, ims_smmuv3_new(&h.unit, &cfg, &h.mem, &bus)) << (wrong ? wrong : "");
  }
}

Machine::~Machine() {
  for (Half &h : half_) {
    ims_iommu_free(h.unit);
    ims_mem_fini(&h.mem);
  }
}

u64 Machine::alloc(unsigned pages, unsigned align) {
  u64 unit = align * 4 * KB, at = (next_ + unit - 1) / unit * unit;
  next_ = at + pages * 4 * KB;
  EXPECT_LE(next_, kHostSize) << "the machine is full";
  return at;
}

u64 Machine::guest_alloc(unsigned pages, unsigned align) {
  u64 unit = align * 4 * KB, at = (next_guest_ + unit - 1) / unit * unit;
  next_guest_ = at + pages * 4 * KB;
  EXPECT_LE(next_guest_, kGuestSize) << "the guest is full";
  return at;
}

u64 Machine::load(u64 hpa) {
  u64 value[2] = {};
  for (int i = 0; i < 2; i++)
    EXPECT_EQ(IMS_ERR_OK, ims_mem_load64(&half_[i].mem, hpa, &value[i])) << hex(hpa);
  EXPECT_EQ(value[0], value[1]) << "both halves at " << hex(hpa);
  return value[0];
}

void Machine::store(u64 hpa, u64 value) {
  for (Half &h : half_)
    EXPECT_EQ(IMS_ERR_OK, ims_mem_store64(&h.mem, hpa, value)) << hex(hpa);
}

void Machine::expect_same_memory() {
  const u64 base[2] = {0, kGuestBase}, used[2] = {next_, next_guest_};
  for (int r = 0; r < 2; r++) {
    const uint8_t *a = ims_mem_ptr(&half_[0].mem, base[r], used[r]), *b = ims_mem_ptr(&half_[1].mem, base[r], used[r]);
    ASSERT_TRUE(a && b);
    if (memcmp(a, b, used[r]) == 0)
      continue;
    u64 i = 0;
    while (a[i] == b[i])
      i++;
    ADD_FAILURE() << "memory of the two ways differs at " << hex(base[r] + i);
  }
}

u64 Machine::read(uint32_t offset, unsigned size) {
  u64 a = ims_iommu_read(half_[0].unit, offset, size), b = ims_iommu_read(half_[1].unit, offset, size);
  EXPECT_EQ(a, b) << "register at " << hex(offset);
  return a;
}

void Machine::write(uint32_t offset, unsigned size, u64 value) {
  for (Half &h : half_)
    ims_iommu_write(h.unit, offset, size, value);
  collect();
}

u64 Machine::get(ims_smmuv3_reg r) { return read(ims_smmuv3_regs[r].offset, ims_smmuv3_regs[r].bytes); }
void Machine::put(ims_smmuv3_reg r, u64 v) { write(ims_smmuv3_regs[r].offset, ims_smmuv3_regs[r].bytes, v); }

void Machine::collect() {
  Half &a = half_[0], &b = half_[1];
  EXPECT_EQ(a.messages, b.messages);
  EXPECT_EQ(a.ats.size(), b.ats.size());
  EXPECT_EQ(a.responses.size(), b.responses.size());
  EXPECT_EQ(a.resumes.size(), b.resumes.size());
  for (const Message &m : a.messages)
    if (!status_ || m.addr != status_)
      messages.push_back(m);
  ats.insert(ats.end(), a.ats.begin(), a.ats.end());
  responses.insert(responses.end(), a.responses.begin(), a.responses.end());
  resumes.insert(resumes.end(), a.resumes.begin(), a.resumes.end());
  for (Half &h : half_) {
    h.messages.clear();
    h.ats.clear();
    h.responses.clear();
    h.resumes.clear();
  }
}

void Machine::set_stream_table(const Layout &s) {
  setup_ = s;
  unsigned entries = s.two_level ? s.log2size - s.split : s.log2size;
  unsigned pages = pages_of((u64(1) << entries) * (s.two_level ? 8 : 64));
  stream_table = alloc(pages, pages);
  put(IMS_SMMUV3_STRTAB_BASE, stream_table);
  put(IMS_SMMUV3_STRTAB_BASE_CFG, s.log2size | u64(s.two_level ? s.split : 0) << 6 | u64(s.two_level) << 16);
}

void Machine::set_queues(const Layout &s) {
  auto make = [this](unsigned log2, unsigned entry) {
    unsigned pages = pages_of((u64(1) << log2) * entry);
    return alloc(pages, pages);
  };
  cmdq_log2 = s.cmdq;
  cmdq = make(s.cmdq, 16);
  put(IMS_SMMUV3_CMDQ_BASE, cmdq | s.cmdq);
  put(IMS_SMMUV3_CMDQ_PROD, prod = 0);
  put(IMS_SMMUV3_CMDQ_CONS, 0);
  eventq_log2 = s.eventq;
  eventq = make(s.eventq, 32);
  put(IMS_SMMUV3_EVENTQ_BASE, eventq | s.eventq);
  put(IMS_SMMUV3_EVENTQ_PROD, 0);
  put(IMS_SMMUV3_EVENTQ_CONS, 0);
  if (!cfg.pri)
    return;
  priq_log2 = s.priq;
  priq = make(s.priq, 16);
  put(IMS_SMMUV3_PRIQ_BASE, priq | s.priq);
  put(IMS_SMMUV3_PRIQ_PROD, 0);
  put(IMS_SMMUV3_PRIQ_CONS, 0);
}

void Machine::start(const Layout &s) {
  set_stream_table(s);
  set_queues(s);
  u64 cr0 = kSmmuen | kEventqen | kCmdqen | (cfg.pri ? u64(kPriqen) : 0) | (cfg.ats ? u64(kAtschk) : 0);
  put(IMS_SMMUV3_CR0, cr0);
  EXPECT_EQ(cr0, get(IMS_SMMUV3_CR0ACK));
}

u64 Machine::l1std_at(uint32_t sid) { return stream_table + (sid >> setup_.split) * 8; }

u64 Machine::ste_at(uint32_t sid) {
  if (!setup_.two_level)
    return stream_table + u64(sid) * 64;
  u64 l1 = l1std_at(sid);
  if (!(load(l1) & 31)) {
    unsigned pages = pages_of((u64(1) << setup_.split) * 64);
    store(l1, alloc(pages, pages) | (setup_.split + 1));
  }
  return (load(l1) & 0x00ffffffffffffc0) + (sid & ((1u << setup_.split) - 1)) * 64;
}

u64 Machine::host(const u64 *ste, u64 address) const {
  return address + (ims_ste_get(ste, IMS_STE_CONFIG) == kNested ? kGuestBase : 0);
}

void Machine::make_cd_table(Ste &e, unsigned cdmax, unsigned s1fmt) {
  unsigned split = s1fmt == 1 ? 6 : 10, entries = s1fmt ? (cdmax > split ? cdmax - split : 0) : cdmax;
  unsigned pages = pages_of((u64(1) << entries) * (s1fmt ? 8 : 64));
  u64 at = e.get(IMS_STE_CONFIG) == kNested ? guest_alloc(pages, pages) : alloc(pages, pages);
  e.set(IMS_STE_S1FMT, s1fmt).set(IMS_STE_S1CDMAX, cdmax).at(IMS_STE_S1CONTEXTPTR, at);
}

u64 Machine::cd_l1_at(uint32_t sid, uint32_t ssid) {
  u64 w[IMS_STE_WORDS];
  for (unsigned i = 0; i < IMS_STE_WORDS; i++)
    w[i] = load(ste_at(sid) + i * 8);
  unsigned split = ims_ste_get(w, IMS_STE_S1FMT) == 1 ? 6 : 10;
  return host(w, ims_ste_address(w, IMS_STE_S1CONTEXTPTR)) + (ssid >> split) * 8;
}

u64 Machine::cd_at(uint32_t sid, uint32_t ssid) {
  u64 w[IMS_STE_WORDS];
  for (unsigned i = 0; i < IMS_STE_WORDS; i++)
    w[i] = load(ste_at(sid) + i * 8);
  u64 fmt = ims_ste_get(w, IMS_STE_S1FMT);
  if (!ims_ste_get(w, IMS_STE_S1CDMAX) || !fmt)
    return host(w, ims_ste_address(w, IMS_STE_S1CONTEXTPTR)) + u64(ssid) * 64;
  unsigned split = fmt == 1 ? 6 : 10, pages = fmt == 1 ? 1 : 16;
  u64 l1 = cd_l1_at(sid, ssid);
  if (!(load(l1) & 1)) {
    bool nested = ims_ste_get(w, IMS_STE_CONFIG) == kNested;
    store(l1, (nested ? guest_alloc(pages, pages) : alloc(pages, pages)) | 1);
  }
  return host(w, load(l1) & 0x00fffffffffff000) + (ssid & ((1u << split) - 1)) * 64;
}

void Machine::set_ste(uint32_t sid, const Ste &e) {
  for (int i = IMS_STE_WORDS - 1; i >= 0; i--)
    store(ste_at(sid) + unsigned(i) * 8, e.word[i]);
}

void Machine::set_cd(uint32_t sid, uint32_t ssid, const Cd &c) {
  for (int i = IMS_CD_WORDS - 1; i >= 0; i--)
    store(cd_at(sid, ssid) + unsigned(i) * 8, c.word[i]);
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

u64 Machine::command_at(uint32_t index) const { return cmdq + (index & ((1u << cmdq_log2) - 1)) * 16; }

void Machine::place(const Command &c) {
  store(command_at(prod), c.word[0]);
  store(command_at(prod) + 8, c.word[1]);
  prod = (prod + 1) & ((2u << cmdq_log2) - 1);
}

void Machine::ring() { put(IMS_SMMUV3_CMDQ_PROD, prod); }

void Machine::submit(const std::vector<Command> &list) {
  for (const Command &c : list)
    place(c);
  ring();
}

bool Machine::wait() {
  if (!status_)
    status_ = alloc();
  submit(cmd::sync_message(status_, ++ticket_));
  return (load(status_) & 0xffffffff) == ticket_;
}

u64 Machine::errors() { return get(IMS_SMMUV3_GERROR) ^ get(IMS_SMMUV3_GERRORN); }

CommandError Machine::command_error() {
  return errors() & 1 ? static_cast<CommandError>(get(IMS_SMMUV3_CMDQ_CONS) >> 24 & 0x7f) : kNone;
}

void Machine::acknowledge(u64 bits) { put(IMS_SMMUV3_GERRORN, get(IMS_SMMUV3_GERRORN) ^ bits); }

template <class Entry>
std::vector<Entry> Machine::drain(u64 base, unsigned log2, ims_smmuv3_reg prod_reg, ims_smmuv3_reg cons_reg) {
  std::vector<Entry> found;
  u64 mask = (u64(2) << log2) - 1, wr = get(prod_reg) & mask, cons = get(cons_reg), rd = cons & mask;
  for (; rd != wr; rd = (rd + 1) & mask) {
    Entry e;
    for (unsigned i = 0; i < sizeof e / 8; i++)
      e.word[i] = load(base + (rd & mask >> 1) * sizeof e + i * 8);
    found.push_back(e);
    if (found.size() > mask) {
      ADD_FAILURE() << "more entries than the queue has";
      break;
    }
  }
  put(cons_reg, (cons & ~u64(0xfffff)) | rd);
  return found;
}

std::vector<Event> Machine::events() {
  return drain<Event>(eventq, eventq_log2, IMS_SMMUV3_EVENTQ_PROD, IMS_SMMUV3_EVENTQ_CONS);
}
std::vector<PageEntry> Machine::page_entries() {
  return drain<PageEntry>(priq, priq_log2, IMS_SMMUV3_PRIQ_PROD, IMS_SMMUV3_PRIQ_CONS);
}

// A stage 2 of n levels has at most 16 tables side by side at its top (DDI 0487 D8.2.2).
Tree::Tree(Machine &m, const Shape &s) : shape(s), root(0), start(s.start), m_(m) {
  unsigned spare = shape.stage2 ? 4 : 0;
  if (start == -2)
    for (start = 3; shape.in_bits > shift(start) + stride() + spare; start--)
      ;
  u64 bytes = shape.in_bits > shift(start) ? u64(8) << (shape.in_bits - shift(start)) : 8;
  unsigned pages = pages_of(bytes);
  root = shape.in_guest ? m_.guest_alloc(pages, pages) : m_.alloc(pages, pages);
}

u64 Tree::descriptor(u64 address, u64 bits) const {
  if (shape.granule == k64K)
    return (address & 0x0000ffffffff0000) | (address >> 48 & 15) << 12 | bits;
  if (shape.ds) // shareability has given its bits to the address
    return (address & 0x0003fffffffff000) | (address >> 50 & 3) << 8 | (bits & ~u64(0x300));
  return address | bits;
}

u64 Tree::table(u64 in, int level) {
  u64 table = root, size = u64(1) << page(), low = in & ((u64(1) << shape.in_bits) - 1);
  for (int l = start; l < level; l++) {
    u64 index = l == start ? low >> shift(l) : low >> shift(l) & ((u64(1) << stride()) - 1),
        e = host(table) + index * 8;
    if (!m_.load(e)) {
      unsigned pages = pages_of(size);
      m_.store(e, descriptor(shape.in_guest ? m_.guest_alloc(pages, pages) : m_.alloc(pages, pages), 3));
    }
    table = m_.load(e) & 0x0000ffffffffffff & ~(size - 1); // tables lie below 48 bits
  }
  return table;
}

u64 Tree::at(u64 in, int level) {
  u64 low = in & ((u64(1) << shape.in_bits) - 1);
  u64 index = level == start ? low >> shift(level) : low >> shift(level) & ((u64(1) << stride()) - 1);
  return host(table(in, level)) + index * 8;
}

void Tree::map(u64 in, u64 out, u64 bits, int level) {
  m_.store(at(in, level), descriptor(out, bits | (level == 3 ? 3 : 1)));
}

void Tree::map_range(u64 in, u64 out, u64 bytes, u64 bits, int level) {
  for (u64 done = 0; done < bytes; done += size(level))
    map(in + done, out + done, bits, level);
}

void Tree::describe(Cd &c, unsigned side) const {
  static const unsigned tg[2][3] = {{0, 2, 1}, {2, 1, 3}};
  unsigned tsz = 64 - shape.in_bits, g = tg[side][shape.granule];
  if (side)
    c.set(IMS_CD_T1SZ, tsz).set(IMS_CD_TG1, g).at(IMS_CD_TTB1, root).set(IMS_CD_EPD1, 0);
  else
    c.set(IMS_CD_T0SZ, tsz).set(IMS_CD_TG0, g).at(IMS_CD_TTB0, root).set(IMS_CD_EPD0, 0);
  if (shape.ds)
    c.set(IMS_CD_DS, 1);
}

void Tree::describe(Ste &e) const {
  static const unsigned tg[3] = {0, 2, 1};
  unsigned code = shape.granule == k4K ? (start == 3    ? 3u
                                          : start == -1 ? 4u
                                                        : static_cast<unsigned>(2 - start))
                                       : static_cast<unsigned>(3 - start);
  e.set(IMS_STE_S2T0SZ, 64 - shape.in_bits).set(IMS_STE_S2TG, tg[shape.granule]).at(IMS_STE_S2TTB, root);
  e.set(IMS_STE_S2SL0, code & 3).set(IMS_STE_S2SL0_2, code >> 2).set(IMS_STE_S2DS, shape.ds);
}

ims_request dma(uint32_t sid, u64 iova, unsigned access) {
  ims_request r = {};
  r.iova = iova;
  r.source = sid;
  r.access = static_cast<uint8_t>(access);
  return r;
}

ims_request dma(uint32_t sid, uint32_t ssid, u64 iova, unsigned access) {
  ims_request r = dma(sid, iova, access);
  r.pasid = ssid;
  r.has_pasid = true;
  return r;
}

ims_request as(ims_request r, ims_request_type type) {
  r.type = static_cast<uint8_t>(type);
  return r;
}

ims_page_request page(uint32_t sid, u64 addr, unsigned group, bool last) {
  ims_page_request r = {};
  r.addr = addr;
  r.source = sid;
  r.last = last;
  r.read = true;
  r.group = static_cast<uint16_t>(group);
  return r;
}

ims_page_request page(uint32_t sid, uint32_t ssid, u64 addr, unsigned group, bool last) {
  ims_page_request r = page(sid, addr, group, last);
  r.pasid = ssid;
  r.has_pasid = true;
  return r;
}

std::string text(const ims_result &r) {
  std::string s = "status " + std::to_string(r.status) + " completion " + std::to_string(r.completion) + " refs " +
                  std::to_string(r.refs);
  if (r.status == IMS_STATUS_FAULT || r.status == IMS_STATUS_STALL) {
    s += " fault " + hex(r.fault) + (r.recorded ? " recorded" : " silent");
    for (u64 w : r.record)
      s += " " + hex(w);
    if (r.status == IMS_STATUS_STALL)
      s += " stag " + std::to_string(r.stag);
    if (r.walk.cause)
      s += " cause " + std::to_string(r.walk.cause) + " stage " + std::to_string(r.walk.stage) + " level " +
           std::to_string(r.walk.level) + " during " + std::to_string(r.walk.during) + " s1 " +
           std::to_string(r.walk.s1_level) + " addr " + hex(r.walk.addr);
  } else if (r.status != IMS_STATUS_ABORT) {
    s += " output " + hex(r.output) + (r.output_ipa ? " (IPA)" : "") + " shift " + std::to_string(r.shift) +
         " rights " + std::to_string(r.rights) + " attr " + hex(r.attr);
  }
  return s;
}

std::string text(const Event &e) {
  const ims_smmuv3_event_info *info = ims_smmuv3_event_find(e.id());
  std::string s = info ? info->name : "event " + hex(e.id());
  for (u64 w : e.word)
    s += " " + hex(w);
  return s;
}

namespace cmd {

namespace {

Command on_stream(unsigned op, uint32_t sid) { return {{op | u64(sid) << 32, 0}}; }

Command by_pages(unsigned op, unsigned vmid, unsigned asid, const Pages &p) {
  return {{op | u64(p.num) << 12 | u64(p.scale) << 20 | u64(vmid) << 32 | u64(asid) << 48,
           u64(p.leaf) | u64(p.ttl) << 8 | u64(p.tg) << 10 | (p.addr & ~u64(0xfff))}};
}

Command with_pasid(Command c, uint32_t ssid) {
  c.word[0] |= u64(1) << 11 | u64(ssid) << 12;
  return c;
}

} // namespace

Command prefetch_config(uint32_t sid) { return on_stream(0x01, sid); }
Command prefetch_addr(uint32_t sid, u64 addr) { return {{0x02 | u64(sid) << 32, addr & ~u64(0xfff)}}; }
Command cfgi_ste(uint32_t sid, bool leaf) { return {{0x03 | u64(sid) << 32, leaf}}; }
Command cfgi_ste_range(uint32_t sid, unsigned range) { return {{0x04 | u64(sid) << 32, range}}; }
Command cfgi_all() { return cfgi_ste_range(0, 31); }
Command cfgi_cd(uint32_t sid, uint32_t ssid, bool leaf) { return {{0x05 | u64(ssid) << 12 | u64(sid) << 32, leaf}}; }
Command cfgi_cd_all(uint32_t sid) { return on_stream(0x06, sid); }
Command nh_all(unsigned vmid) { return {{0x10 | u64(vmid) << 32, 0}}; }
Command nh_asid(unsigned vmid, unsigned asid) { return {{0x11 | u64(vmid) << 32 | u64(asid) << 48, 0}}; }
Command nh_va(unsigned vmid, unsigned asid, const Pages &p) { return by_pages(0x12, vmid, asid, p); }
Command nh_vaa(unsigned vmid, const Pages &p) { return by_pages(0x13, vmid, 0, p); }
Command el2_all() { return {{0x20, 0}}; }
Command el2_asid(unsigned asid) { return {{0x21 | u64(asid) << 48, 0}}; }
Command el2_va(unsigned asid, const Pages &p) { return by_pages(0x22, 0, asid, p); }
Command el2_vaa(const Pages &p) { return by_pages(0x23, 0, 0, p); }
Command s12_vmall(unsigned vmid) { return {{0x28 | u64(vmid) << 32, 0}}; }
Command s2_ipa(unsigned vmid, const Pages &p) { return by_pages(0x2a, vmid, 0, p); }
Command nsnh_all() { return {{0x30, 0}}; }
Command atc_inv(uint32_t sid, u64 addr, unsigned size) {
  return {{0x40 | u64(sid) << 32, (addr & ~u64(0xfff)) | size}};
}
Command atc_inv_pasid(uint32_t sid, uint32_t ssid, u64 addr, unsigned size, bool global) {
  Command c = with_pasid(atc_inv(sid, addr, size), ssid);
  c.word[0] |= u64(global) << 9;
  return c;
}
Command pri_resp(uint32_t sid, unsigned group, unsigned resp) {
  return {{0x41 | u64(sid) << 32, group | u64(resp) << 12}};
}
Command pri_resp_pasid(uint32_t sid, uint32_t ssid, unsigned group, unsigned resp) {
  return with_pasid(pri_resp(sid, group, resp), ssid);
}
Command resume_retry(uint32_t sid, unsigned stag) { return {{0x44 | 1 << 12 | u64(sid) << 32, stag}}; }
Command resume_terminate(uint32_t sid, unsigned stag, bool abort) {
  return {{0x44 | u64(abort) << 13 | u64(sid) << 32, stag}};
}
Command stall_term(uint32_t sid) { return on_stream(0x45, sid); }
Command sync() { return {{0x46, 0}}; }
Command sync_message(u64 addr, uint32_t data) {
  return {{0x46 | 1 << 12 | 3 << 22 | 0xf << 24 | u64(data) << 32, addr}};
}
Command sync_event() { return {{0x46 | 2 << 12, 0}}; }

} // namespace cmd

} // namespace smmu
