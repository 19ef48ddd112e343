// SPDX-License-Identifier: Apache-2.0
// Events that edit page tables and memory.
#include "trace/number.h"
#include "trace/player_internal.h"

#include <algorithm>
#include <cstring>

namespace ims {

// x stands for execution at either privilege where a format tells them apart: unprivileged with u, privileged without.
unsigned PlayerImpl::perm_of(const Table &t, const std::string &letters) const {
  unsigned perm = 0;
  for (char c : letters == "none" || letters == "-" ? std::string() : letters)
    perm |= c == 'r' ? IMS_PERM_R : c == 'w' ? IMS_PERM_W : c == 'x' ? IMS_PERM_X : IMS_PERM_U;
  if (t.format.kind == IMS_PGT_VMSA_S1 && (perm & IMS_PERM_X) && !(perm & IMS_PERM_U))
    perm ^= IMS_PERM_X | IMS_PERM_PX;
  if (t.format.kind == IMS_PGT_VMSA_S2 && (perm & IMS_PERM_X))
    perm |= IMS_PERM_PX;
  return perm;
}

// The level whose leaves have this size, or 0: none has.
static unsigned page_level(const ims_pgt_format &f, const std::string &page) {
  uint64_t bytes = 0;
  parse_size(page, &bytes);
  for (unsigned level = 1; level <= IMS_PGT_MAX_LEVELS; level++)
    if (f.shift[level] && 1ull << f.shift[level] == bytes && (level == 1 || f.leaf_levels >> level & 1))
      return level;
  return 0;
}

static std::string range_text(const Table &t, uint64_t va, uint64_t size) {
  return (t.guest ? "guest va " : "") + hex(va) + " (" + bytes_text(size) + ")";
}

void PlayerImpl::map_event() {
  Table &t = named(tables);
  uint64_t va = number("va"), to = number("to"), size = number("size");
  std::string perm = text("perm", "rwu"), page = text("page");
  bool vmsa = t.format.kind >= IMS_PGT_VMSA_S1, first = t.format.kind == IMS_PGT_VMSA_S1;
  unsigned flags = 0, level = page.empty() ? 1 : page_level(t.format, page);
  if (!level)
    fail(arg("page")->at, "table " + quote(t.name) + " has no leaves of " + page);
  for (const char *key : {"fresh", "global", "dbm", "contiguous", "attr"})
    if (!vmsa && has(key))
      fail(arg(key)->at, quote(key) + " is for tables of format s1 and s2");
  if (!first && has("global"))
    fail(arg("global")->at, quote("global") + " is for tables of format s1");
  if (has("accessed") || (vmsa && !has("fresh")))
    flags |= IMS_MAP_A;
  flags |= has("dirty") ? unsigned(IMS_MAP_D) : 0u;
  flags |= first && !has("global") ? unsigned(IMS_MAP_NG) : 0u;
  flags |= has("dbm") ? unsigned(IMS_MAP_DBM) : 0u;
  flags |= has("contiguous") ? unsigned(IMS_MAP_CONTIGUOUS) : 0u;
  if (has("attr")) {
    if (number("attr") > (first ? 7u : 15u))
      fail(arg("attr")->at, first ? "expected an AttrIndx of 0 to 7" : "expected a MemAttr of 0 to 15");
    flags |= IMS_MAP_ATTR(static_cast<unsigned>(number("attr")));
  }
  begin(t.name + ": " + range_text(t, va, size) + " -> " + (t.guest ? "gpa " : "") + hex(to) + ", " + perm +
        (level == 1 ? "" : ", pages up to " + page));
  put_error(ims_pgt_map(&t.pgt, &t.mem, va, to, size, perm_of(t, perm), flags, level));
}

void PlayerImpl::unmap_event() {
  Table &t = named(tables);
  uint64_t va = number("va"), size = number("size");
  begin(t.name + ": " + range_text(t, va, size) + " is unmapped");
  ims_pgt_gather gather = {};
  int err = ims_pgt_unmap(&t.pgt, &t.mem, va, size, has("keep_tables") ? unsigned(IMS_UNMAP_KEEP) : 0u, &gather);
  put_number("unmapped", gather.unmapped);
  put_error(err);
}

void PlayerImpl::protect_event() {
  Table &t = named(tables);
  uint64_t va = number("va"), size = number("size");
  std::string perm = text("perm");
  begin(t.name + ": " + range_text(t, va, size) + " becomes " + perm);
  put_error(ims_pgt_protect(&t.pgt, &t.mem, va, size, perm_of(t, perm), nullptr));
}

// ---- Memory ---------------------------------------------------------------------------------------------------------

static int of_errno(int ret) { return ret < 0 ? IMS_ERR_BUS : IMS_ERR_OK; }

int PlayerImpl::access_place(const Value &place, uint64_t addr, void *buf, size_t len, bool write) {
  if (Vm *vm = lookup(vms, place.text)) {
    if (vm->vmm->exited)
      return IMS_ERR_BUS;
    return write ? ims_vm_write(vm->vm, addr, buf, len) : ims_vm_read(vm->vm, addr, buf, len);
  }
  if (Process *p = lookup(processes, place.text)) {
    if (p->exited)
      return IMS_ERR_BUS;
    return of_errno(write ? ims_process_write(p->process, addr, buf, len)
                          : ims_process_read(p->process, addr, buf, len));
  }
  return write ? ims_mem_write(&mem, addr, buf, len) : ims_mem_read(&mem, addr, buf, len);
}

std::string PlayerImpl::place_text(const Value &place, uint64_t addr) const {
  if (place.text.empty() || place.text == "hpa" || lookup(pools, place.text))
    return "hpa " + hex(addr);
  return place.text + (lookup(vms, place.text) ? "'s gpa " : "'s va ") + hex(addr);
}

static void append(std::string *bytes, uint64_t value, size_t size) {
  for (size_t i = 0; i < size; i++)
    *bytes += static_cast<char>(value >> (8 * i));
}

void PlayerImpl::write_event() {
  const Value &at = *arg("AT");
  uint64_t addr = eval(at);
  std::string bytes;
  for (auto [key, size] : {std::pair("u64", size_t(8)), std::pair("u32", size_t(4))})
    if (const Value *v = arg(key))
      for (const Sum &s : v->sums)
        append(&bytes, eval(s), size);
  bytes += text("bytes");
  bytes += text("text");
  if (bytes.empty())
    fail("`write` lacks what is to be written: u64=, u32=, bytes= or text=");
  std::string words = bytes_text(bytes.size()) + " to " + place_text(at, addr);
  if (bytes.size() == 8 && has("u64"))
    words = hex(eval(*arg("u64"))) + " to " + place_text(at, addr);
  begin("write " + words);
  put_error(access_place(at, addr, bytes.data(), bytes.size(), true));
}

void PlayerImpl::fill_event() {
  const Value &at = *arg("AT");
  uint64_t addr = eval(at), size = number("size"), value = number("value");
  if (size > 1u << 30)
    fail(arg("size")->at, "expected at most 1G");
  if (value > 255)
    fail(arg("value")->at, "expected a byte: 0 to 255");
  begin("fill " + bytes_text(size) + " at " + place_text(at, addr) + " with " + hex(value));
  int err = IMS_ERR_OK;
  std::vector<uint8_t> block(std::min<uint64_t>(size, 65536), static_cast<uint8_t>(value));
  for (uint64_t done = 0; done < size && !err; done += block.size())
    err = access_place(at, addr + done, block.data(), std::min<uint64_t>(block.size(), size - done), true);
  put_error(err);
}

void PlayerImpl::read_event() {
  const Value &at = *arg("AT");
  uint64_t addr = eval(at), size = 8;
  for (const Arg &x : event->expects) {
    if (x.key == "u64" || x.key == "u32")
      size = std::max<uint64_t>(size, x.value.sums.size() * (x.key == "u64" ? 8 : 4));
    if (x.key == "bytes")
      size = x.value.text.size();
  }
  size = number("size", size);
  if (size > 1 << 20)
    fail(arg("size")->at, "expected at most 1M");
  begin("read " + bytes_text(size) + " at " + place_text(at, addr));
  std::vector<uint8_t> bytes(size + 8);
  int err = access_place(at, addr, bytes.data(), size, false);
  if (!err) {
    std::vector<uint64_t> u64, u32;
    for (size_t i = 0; i + 8 <= size; i += 8) {
      uint64_t w;
      std::memcpy(&w, &bytes[i], 8);
      u64.push_back(w);
    }
    for (size_t i = 0; i + 4 <= size; i += 4) {
      uint32_t w;
      std::memcpy(&w, &bytes[i], 4);
      u32.push_back(w);
    }
    // As many words as are expected, so that a list of any length can be compared.
    for (const Arg &x : event->expects) {
      if (x.key == "u64" && u64.size() > x.value.sums.size())
        u64.resize(x.value.sums.size());
      if (x.key == "u32" && u32.size() > x.value.sums.size())
        u32.resize(x.value.sums.size());
    }
    std::string words;
    if (has("size") || expects("bytes")) // bytes, then: as many as fit a line
      for (size_t i = 0; i < size && i < 32; i++)
        words += format("%s%02x", i && i % 4 == 0 ? " " : "", bytes[i]);
    if (words.empty())
      for (size_t i = 0; i < u64.size() && i < 4; i++)
        words += (i ? " " : "") + hex(u64[i]);
    if (!words.empty())
      result("holds " + words + (size > 32 ? " ..." : ""));
    put_list("u64", u64);
    put_list("u32", u32);
    put("bytes", Type::BYTES, 0).text.assign(reinterpret_cast<char *>(bytes.data()), size);
    uint64_t hpa;
    if (place_hpa(at.text, addr, &hpa))
      put_number("hpa", hpa, true);
  }
  put_error(err);
}

} // namespace ims
