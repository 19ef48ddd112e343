// SPDX-License-Identifier: Apache-2.0
#include "tests/support/smmuv2_machine.h"

#include <cstdio>
#include <cstring>

namespace smmu2 {

namespace {

using u64 = uint64_t;

std::string hex(u64 v) {
  char s[32];
  snprintf(s, sizeof s, "0x%llx", static_cast<unsigned long long>(v));
  return s;
}

unsigned pages_of(u64 bytes) { return bytes < 4096 ? 1 : static_cast<unsigned>(bytes / 4096); }

} // namespace

Config::Config() { ims_smmuv2_config_default(this); }

Config &Config::no_caches() {
  const std::string size = "_entries";
  for (unsigned i = 0; const ims_option *o = ims_smmuv2_options(i); i++) {
    std::string name = o->name;
    if (name.size() > size.size() && name.compare(name.size() - size.size(), size.size(), size) == 0)
      ims_option_set(static_cast<ims_smmuv2_config *>(this), o, 0);
  }
  return *this;
}

bool Fault::operator==(const Fault &o) const {
  return fsr == o.fsr && fsynr0 == o.fsynr0 && far_ == o.far_ && ipafar == o.ipafar && fsynr1 == o.fsynr1 &&
         cbfrsynra == o.cbfrsynra;
}

bool Global::operator==(const Global &o) const {
  return gfsr == o.gfsr && gfsynr0 == o.gfsynr0 && gfar == o.gfar && gfsynr1 == o.gfsynr1 && gfsynr2 == o.gfsynr2;
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
      static_cast<Half *>(ctx)->messages.push_back({addr, data});
    };
    bus.resume = [](void *ctx, const ims_resume *r) {
      Half *half = static_cast<Half *>(ctx);
      half->resumes.push_back(*r);
      if (half->owner->on_resume)
        half->owner->on_resume(half->number, *r);
    };
    EXPECT_EQ(IMS_ERR_OK, ims_smmuv2_new(&h.unit, &cfg, &h.mem, &bus)) << ims_smmuv2_config_check(&cfg);
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

u64 Machine::get(ims_smmuv2_gr0 r, unsigned n) {
  return read(ims_smmuv2_gr0_regs[r].offset + 4 * n, ims_smmuv2_gr0_regs[r].bytes);
}
void Machine::put(ims_smmuv2_gr0 r, unsigned n, u64 v) {
  write(ims_smmuv2_gr0_regs[r].offset + 4 * n, ims_smmuv2_gr0_regs[r].bytes, v);
}
u64 Machine::get(ims_smmuv2_gr1 r, unsigned bank) {
  return read(ims_smmuv2_gr1_offset(&cfg) + ims_smmuv2_gr1_regs[r].offset + 4 * bank, 4);
}
void Machine::put(ims_smmuv2_gr1 r, unsigned bank, u64 v) {
  write(ims_smmuv2_gr1_offset(&cfg) + ims_smmuv2_gr1_regs[r].offset + 4 * bank, 4, v);
}
u64 Machine::get(ims_smmuv2_cb r, unsigned bank) {
  return read(bank_offset(bank) + ims_smmuv2_cb_regs[r].offset, ims_smmuv2_cb_regs[r].bytes);
}
void Machine::put(ims_smmuv2_cb r, unsigned bank, u64 v) {
  write(bank_offset(bank) + ims_smmuv2_cb_regs[r].offset, ims_smmuv2_cb_regs[r].bytes, v);
}

void Machine::start() { put(IMS_SMMUV2_sCR0, 1 << 1 | 1 << 2 | 1 << 10 | 1 << 21); }

void Machine::stream(unsigned group, unsigned sid, uint32_t s2cr, unsigned mask) {
  put(IMS_SMMUV2_SMR, group, 1u << 31 | mask << 16 | sid);
  put(IMS_SMMUV2_S2CR, group, s2cr);
}

void Machine::stage1(unsigned bank, const Tree &lower, const Stage1 &how) {
  uint32_t type = how.stage2 < 0 ? 1u << 16 : 3u << 16 | static_cast<uint32_t>(how.stage2) << 8;
  uint32_t tcr = lower.tcr(0) | (how.upper ? how.upper->tcr(1) : 1u << 23);
  put(IMS_SMMUV2_CBA2R, bank, lower.shape.aarch32 ? 0 : 1);
  put(IMS_SMMUV2_CBAR, bank, type | (how.vmid & 0xff));
  put(IMS_SMMUV2_CB_TCR2, bank, how.tcr2);
  put(IMS_SMMUV2_CB_TCR, bank, tcr);
  put(IMS_SMMUV2_CB_TTBR0, bank, lower.root | u64(how.asid) << 48);
  put(IMS_SMMUV2_CB_TTBR1, bank, how.upper ? how.upper->root : 0);
  put(IMS_SMMUV2_CB_MAIR0, bank, how.mair & 0xffffffff);
  put(IMS_SMMUV2_CB_MAIR1, bank, how.mair >> 32);
  put(IMS_SMMUV2_CB_SCTLR, bank, how.sctlr | (lower.shape.big_endian ? kBigEndian : 0));
}

void Machine::stage2(unsigned bank, const Tree &tree, unsigned vmid, uint32_t sctlr) {
  put(IMS_SMMUV2_CBA2R, bank, tree.shape.aarch32 ? 0 : 1);
  put(IMS_SMMUV2_CBAR, bank, vmid & 0xff);
  put(IMS_SMMUV2_CB_TCR, bank, tree.tcr());
  put(IMS_SMMUV2_CB_TTBR0, bank, tree.root);
  put(IMS_SMMUV2_CB_SCTLR, bank, sctlr | (tree.shape.big_endian ? kBigEndian : 0));
}

ims_result Machine::step_through(const ims_request &r,
                                 const std::function<void(ims_step_kind, const ims_step &)> &before) {
  ims_xlate x;
  ims_result res;
  memset(static_cast<void *>(&x), 0xa5, sizeof x); // nothing may depend on what lay there
  memset(static_cast<void *>(&res), 0xa5, sizeof res);
  std::vector<ims_step> seen;
  ims_xlate_begin(&x, half_[1].unit, &r, &res);
  for (int n = 0;; n++) {
    ims_step_kind kind = ims_xlate_step(&x);
    if (kind == IMS_STEP_DONE || kind == IMS_STEP_FAULT)
      break;
    if (kind == IMS_STEP_READ)
      seen.push_back(x.port.step);
    EXPECT_NE(IMS_STEP_UPDATE, kind) << "there are no hardware updates";
    if (before)
      before(kind, x.port.step);
    ims_xlate_answer(&x, kind);
    if (n > 10000) {
      ADD_FAILURE() << "a translation without end";
      break;
    }
  }
  ims_xlate_finish(&x);
  reads = seen;
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
  EXPECT_EQ(a.refs, reads.size());
  if (compare)
    expect_same();
  return a;
}

ims_result Machine::stepped(const ims_request &r, const std::function<void(ims_step_kind, const ims_step &)> &before) {
  return step_through(r, before);
}

void Machine::drop_caches() {
  for (Half &h : half_)
    ims_iommu_drop_caches(h.unit);
}

void Machine::collect() {
  Half &a = half_[0], &b = half_[1];
  EXPECT_EQ(a.messages, b.messages);
  EXPECT_EQ(a.resumes.size(), b.resumes.size());
  for (size_t i = 0; i < a.resumes.size() && i < b.resumes.size(); i++) {
    EXPECT_EQ(a.resumes[i].source, b.resumes[i].source);
    EXPECT_EQ(a.resumes[i].stag, b.resumes[i].stag);
    EXPECT_EQ(a.resumes[i].action, b.resumes[i].action);
  }
  messages.insert(messages.end(), a.messages.begin(), a.messages.end());
  resumes.insert(resumes.end(), a.resumes.begin(), a.resumes.end());
  for (Half &h : half_) {
    h.messages.clear();
    h.resumes.clear();
  }
}

void Machine::expect_same() {
  const u64 base[2] = {0, kGuestBase}, used[2] = {next_, next_guest_};
  for (int r = 0; r < 2; r++) {
    const uint8_t *a = ims_mem_ptr(&half_[0].mem, base[r], used[r]), *b = ims_mem_ptr(&half_[1].mem, base[r], used[r]);
    ASSERT_TRUE(a && b);
    EXPECT_EQ(0, memcmp(a, b, used[r])) << "memory of the two ways differs";
  }
  std::string values[2];
  for (int h = 0; h < 2; h++)
    ims_smmuv2_each(
        half_[h].unit,
        [](void *ctx, const char *name, u64 value) {
          *static_cast<std::string *>(ctx) += std::string(name) + "=" + hex(value) + " ";
        },
        &values[h]);
  EXPECT_EQ(values[0], values[1]) << "registers of the two ways differ";
}

Fault Machine::fault(unsigned bank) {
  return {static_cast<uint32_t>(get(IMS_SMMUV2_CB_FSR, bank)),
          static_cast<uint32_t>(get(IMS_SMMUV2_CB_FSYNR0, bank)),
          get(IMS_SMMUV2_CB_FAR, bank),
          get(IMS_SMMUV2_CB_IPAFAR, bank),
          static_cast<uint32_t>(get(IMS_SMMUV2_CB_FSYNR1, bank)),
          static_cast<uint32_t>(get(IMS_SMMUV2_CBFRSYNRA, bank))};
}

Global Machine::global() {
  return {static_cast<uint32_t>(get(IMS_SMMUV2_sGFSR)), static_cast<uint32_t>(get(IMS_SMMUV2_sGFSYNR0)),
          get(IMS_SMMUV2_sGFAR), static_cast<uint32_t>(get(IMS_SMMUV2_sGFSYNR1)),
          static_cast<uint32_t>(get(IMS_SMMUV2_sGFSYNR2))};
}

void Machine::clear_faults() {
  put(IMS_SMMUV2_sGFSR, get(IMS_SMMUV2_sGFSR));
  for (unsigned n = 0; n < cfg.numcb; n++)
    put(IMS_SMMUV2_CB_FSR, n, get(IMS_SMMUV2_CB_FSR, n));
}

void Machine::tlbi_va(unsigned bank, ims_smmuv2_cb op, u64 va, unsigned asid) {
  bool aarch64 = get(IMS_SMMUV2_CBA2R, bank) & 1;
  put(op, bank, aarch64 ? (va >> 12 & 0xfffffffffff) | u64(asid) << 48 : (va & 0xfffff000) | asid);
}

void Machine::tlbi_ipa(unsigned bank, u64 ipa, bool leaf) {
  put(leaf ? IMS_SMMUV2_CB_TLBIIPAS2L : IMS_SMMUV2_CB_TLBIIPAS2, bank, ipa >> 12);
}

bool Machine::sync(int bank) {
  if (bank < 0) {
    put(IMS_SMMUV2_sTLBGSYNC, 0);
    return !(get(IMS_SMMUV2_sTLBGSTATUS) & 1);
  }
  put(IMS_SMMUV2_CB_TLBSYNC, static_cast<unsigned>(bank), 0);
  return !(get(IMS_SMMUV2_CB_TLBSTATUS, static_cast<unsigned>(bank)) & 1);
}

Tree::Tree(Machine &m, const Shape &s) : shape(s), root(0), start(s.start), m_(m) {
  unsigned spare = shape.stage2 ? 4 : 0;
  if (start == -2)
    for (start = 3; shape.in_bits > shift(start) + stride() + spare; start--)
      ;
  u64 bytes = shape.in_bits > shift(start) ? u64(8) << (shape.in_bits - shift(start)) : 8;
  unsigned pages = pages_of(bytes);
  root = shape.in_guest ? m_.guest_alloc(pages, pages) : m_.alloc(pages, pages);
}

u64 Tree::load(u64 hpa) const { return shape.big_endian ? __builtin_bswap64(m_.load(hpa)) : m_.load(hpa); }
void Tree::store(u64 hpa, u64 e) { m_.store(hpa, shape.big_endian ? __builtin_bswap64(e) : e); }

u64 Tree::index(u64 in, int level) const {
  u64 low = in & ((u64(1) << shape.in_bits) - 1);
  return level == start ? low >> shift(level) : low >> shift(level) & ((u64(1) << stride()) - 1);
}

u64 Tree::table(u64 in, int level) {
  u64 table = root, size = u64(1) << page();
  for (int l = start; l < level; l++) {
    u64 e = host(table) + index(in, l) * 8;
    if (!load(e)) {
      unsigned pages = pages_of(size);
      store(e, (shape.in_guest ? m_.guest_alloc(pages, pages) : m_.alloc(pages, pages)) | 3);
    }
    table = load(e) & 0x0000ffffffffffff & ~(size - 1);
  }
  return table;
}

u64 Tree::at(u64 in, int level) { return host(table(in, level)) + index(in, level) * 8; }

void Tree::map(u64 in, u64 out, u64 bits, int level) { store(at(in, level), out | bits | (level == 3 ? 3 : 1)); }

void Tree::map_range(u64 in, u64 out, u64 bytes, u64 bits, int level) {
  for (u64 done = 0; done < bytes; done += size(level))
    map(in + done, out + done, bits, level);
}

bool Tree::reach(u64 in, int level, u64 &entry) const {
  u64 table = root;
  for (int l = start;; l++) {
    entry = host(table) + index(in, l) * 8;
    if (l == level)
      return true;
    u64 e = load(entry);
    if ((e & 3) != 3)
      return false;
    table = e & 0x0000ffffffffffff & ~((u64(1) << page()) - 1);
  }
}

uint32_t Tree::tcr(unsigned side) const {
  static const unsigned tg[2][3] = {{0, 2, 1}, {2, 1, 3}};
  if (shape.stage2 && shape.aarch32) // T0SZ has a sign; its copy is bit 4
    return 1u << 31 | ((32 - shape.in_bits) & 15) | (shape.in_bits > 32 ? 1u << 4 : 0) |
           static_cast<uint32_t>(2 - start) << 6;
  unsigned tsz = (shape.aarch32 ? 32 : 64) - shape.in_bits, g = shape.aarch32 ? 0 : tg[side][shape.granule];
  if (shape.stage2)
    return 1u << 31 | 5u << 16 | g << 14 | tsz |
           static_cast<uint32_t>(shape.granule == k4K ? 2 - start : 3 - start) << 6;
  if (shape.aarch32)
    return 1u << 31 | (side ? tsz << 16 : tsz);
  return side ? g << 30 | tsz << 16 : g << 14 | tsz;
}

ims_request dma(uint32_t sid, u64 iova, unsigned access) {
  ims_request r = {};
  r.iova = iova;
  r.source = sid;
  r.access = static_cast<uint8_t>(access);
  return r;
}

testing::AssertionResult goes(const ims_result &r, u64 output) {
  if (r.status == IMS_STATUS_OK && r.output == output)
    return testing::AssertionSuccess();
  return testing::AssertionFailure() << "expected " << hex(output) << ", found " << text(r);
}

std::string text(const ims_result &r) {
  std::string s = "status " + std::to_string(r.status) + " completion " + std::to_string(r.completion) + " refs " +
                  std::to_string(r.refs) + " stag " + std::to_string(r.stag);
  if (r.status == IMS_STATUS_FAULT || r.status == IMS_STATUS_STALL) {
    s += " fault " + std::to_string(r.fault) + (r.recorded ? " recorded" : " silent");
    for (uint64_t w : r.record)
      s += " " + hex(w);
    if (r.walk.cause)
      s += " cause " + std::to_string(r.walk.cause) + " stage " + std::to_string(r.walk.stage) + " level " +
           std::to_string(r.walk.level) + " during " + std::to_string(r.walk.during) + " addr " + hex(r.walk.addr);
  } else {
    s += " output " + hex(r.output) + " shift " + std::to_string(r.shift) + " rights " + std::to_string(r.rights) +
         " attr " + hex(r.attr);
  }
  return s;
}

std::string text(const Fault &f) {
  return "FSR " + hex(f.fsr) + " FSYNR0 " + hex(f.fsynr0) + " FAR " + hex(f.far_) + " IPAFAR " + hex(f.ipafar) +
         " FSYNR1 " + hex(f.fsynr1) + " CBFRSYNRA " + hex(f.cbfrsynra);
}

std::string text(const Global &f) {
  return "sGFSR " + hex(f.gfsr) + " sGFSYNR0 " + hex(f.gfsynr0) + " sGFAR " + hex(f.gfar) + " sGFSYNR1 " +
         hex(f.gfsynr1) + " sGFSYNR2 " + hex(f.gfsynr2);
}

} // namespace smmu2
