// SPDX-License-Identifier: Apache-2.0
// Events at the hardware: registers, descriptors, page requests, the log of faults.
#include "trace/player_internal.h"

#include <algorithm>
#include <cinttypes>

namespace ims {

// ---- Registers ------------------------------------------------------------------------------------------------------

uint32_t PlayerImpl::register_offset(Unit &u, const Value &v, unsigned *bytes, const RegisterInfo **reg) const {
  RegisterName name;
  register_by_name(*u.arch, v.text, &name);
  *reg = name.reg >= 0 && !name.offset ? &u.arch->registers[static_cast<size_t>(name.reg)] : nullptr;
  *bytes = *reg ? (*reg)->bytes : name.frcd >= 0 && name.offset % 8 == 0 ? 8 : 4;
  if (name.reg >= 0)
    return u.arch->register_offset(u.config, static_cast<unsigned>(name.reg), name.index) + name.offset;
  if (name.frcd < 0)
    return name.offset;
  uint64_t cap = ims_vtd_peek(u.iommu, IMS_VTD_CAP);
  if (static_cast<unsigned>(name.frcd) > (cap >> 40 & 255))
    fail(v.at, quote(u.name) + " has fault recording registers 0 to " + std::to_string(cap >> 40 & 255));
  return static_cast<uint32_t>((cap >> 24 & 0x3ff) * 16) + static_cast<uint32_t>(name.frcd) * 16 + name.offset;
}

static std::string fields_text(const RegisterInfo *reg, uint64_t value) {
  std::string words;
  for (const RegisterField &f : reg ? reg->fields : std::vector<RegisterField>())
    if (uint64_t v = value >> f.low & f.mask())
      words += (words.empty() ? "" : ", ") + std::string(f.name) +
               (f.high == f.low ? "" : " " + hex(f.is_address() ? v << f.low : v));
  return words.empty() ? "" : " (" + words + ")";
}

void PlayerImpl::mmio_write_event() {
  Unit &u = named(units);
  unsigned bytes;
  const RegisterInfo *reg;
  uint32_t offset = register_offset(u, *arg("REGISTER"), &bytes, &reg);
  uint64_t value = number("value");
  for (const Arg &a : event->args)
    if (const RegisterField *f = event->info->param(a.key) || !reg ? nullptr : reg->field(a.key)) {
      uint64_t v = eval(a.value);
      if (v & ~f->mask())
        fail(a.value.at, hex(v) + " does not fit the " + std::to_string(f->high - f->low + 1) + " bits of this field");
      value = (value & ~(f->mask() << f->low)) | v << f->low;
    }
  bytes = static_cast<unsigned>(number("bytes", bytes));
  if (bytes != 4 && bytes != 8)
    fail(arg("bytes")->at, "expected 4 or 8");
  begin(u.name + ": " + text("REGISTER") + " <- " + hex(value) + fields_text(reg, value));
  ims_iommu_write(u.iommu, offset, bytes, value);
}

void PlayerImpl::mmio_read_event() {
  Unit &u = named(units);
  unsigned bytes;
  const RegisterInfo *reg;
  uint32_t offset = register_offset(u, *arg("REGISTER"), &bytes, &reg);
  bytes = static_cast<unsigned>(number("bytes", bytes));
  if (bytes != 4 && bytes != 8)
    fail(arg("bytes")->at, "expected 4 or 8");
  begin(u.name + ": read " + text("REGISTER"));
  uint64_t value = ims_iommu_read(u.iommu, offset, bytes);
  put_number("value", value, true);
  for (const RegisterField &f : reg ? reg->fields : std::vector<RegisterField>())
    put_number(f.name, value >> f.low & f.mask(), f.high - f.low > 8);
  result("holds " + hex(value) + fields_text(reg, value));
}

// As a driver does (VT-d 6.5.2): the descriptor at the tail, then the tail.
void PlayerImpl::descriptor_event() {
  Unit &u = named(units);
  if (std::string(u.arch->name) != "vtd")
    fail(arg("NAME")->at,
         quote(u.name) + " is " + u.arch->a_unit + ": expected a VT-d unit; its commands are `command`");
  std::vector<uint64_t> words;
  for (const Sum &s : arg("words")->sums)
    words.push_back(eval(s));
  uint64_t iqa = ims_iommu_read(u.iommu, IMS_VTD_OFF_IQA, 8), tail = ims_iommu_read(u.iommu, IMS_VTD_OFF_IQT, 8);
  bool wide = iqa & IMS_VTD_BITS(IQA_DW);
  uint64_t size = 4096ull << IMS_VTD_GET(iqa, IQA_QS), step = wide ? 32 : 16;
  if (words.size() != step / 8)
    fail(arg("words")->at, format("this queue has descriptors of %u bits: expected %u words, found %zu",
                                  wide ? 256u : 128u, wide ? 4u : 2u, words.size()));
  std::string text;
  char note_words[256];
  ims_note note = {};
  note.kind = IMS_NOTE_DESCRIPTOR;
  note.words = static_cast<uint8_t>(words.size());
  std::copy(words.begin(), words.end(), note.word);
  ims_note_text(&note, note_words, sizeof note_words);
  begin(u.name + ": " + note_words);
  count.descriptors++;
  int err = ims_mem_write(&mem, (iqa >> 12 << 12) + tail, words.data(), step);
  if (!err)
    ims_iommu_write(u.iommu, IMS_VTD_OFF_IQT, 8, (tail + step) & (size - 1));
  put_number("head", ims_iommu_read(u.iommu, IMS_VTD_OFF_IQH, 8), true);
  put_number("tail", ims_iommu_read(u.iommu, IMS_VTD_OFF_IQT, 8), true);
  uint64_t fsts = ims_iommu_read(u.iommu, IMS_VTD_OFF_FSTS, 4);
  if (fsts & (IMS_VTD_BITS(FSTS_IQE) | IMS_VTD_BITS(FSTS_ITE) | IMS_VTD_BITS(FSTS_ICE)))
    result("the queue has stopped: FSTS " + hex(fsts) + fields_text(&u.arch->registers[IMS_VTD_FSTS], fsts), false);
  put_error(err);
}

// ---- Page requests and faults ---------------------------------------------------------------------------------------

const char *response_word(int code) {
  return code < 0 ? "none" : code == 0 ? "success" : code == 1 ? "invalid" : "failure";
}

void PlayerImpl::page_request_event() {
  Device &d = named(devices);
  std::string access = text("ACCESS");
  unsigned bits = access_bits(access);
  ims_endpoint_page_request r = {};
  r.addr = number("iova");
  r.read = bits & IMS_ACC_R;
  r.write = bits & IMS_ACC_W;
  r.exec = bits & IMS_ACC_X;
  r.priv = has("privileged");
  r.last = !has("more");
  if (const Value *v = arg("pasid")) {
    uint64_t pasid = eval(*v);
    if (pasid >> 20)
      fail(v->at, hex(pasid) + " is no PASID: expected 20 bits");
    r.has_pasid = true;
    r.pasid = static_cast<uint32_t>(pasid);
  }
  uint64_t given = number("group", 0xffff);
  if (has("group") && given > 511)
    fail(arg("group")->at, "expected a group of 0 to 511");
  auto group = static_cast<uint16_t>(given);
  begin(d.name + " asks for the page of iova " + hex(r.addr) + " to " +
        (access == "exec"     ? "execute"
         : access == "atomic" ? "read and write"
                              : access) +
        (r.has_pasid ? ", PASID " + std::to_string(r.pasid) : "") + (r.priv ? ", privileged" : "") +
        (has("group") ? ", group " + std::to_string(given) : "") + (r.last ? "" : ", more will follow"));
  d.response = -1;
  if (options.time)
    options.time->page_request(d.endpoint);
  int err = ims_endpoint_request_page(&d.endpoint, &r, &group);
  interrupts();
  if (group != 0xffff)
    put_number("group", group);
  const char *response = response_word(d.response);
  put_word("response", response);
  result("group " + std::to_string(group) + "; " +
             (d.response < 0 ? "no answer yet" : "answer: " + std::string(response)),
         d.response <= 0);
  // A refusal is an answer of the unit, not a mistake of the trace.
  put("error", Type::ERROR, static_cast<uint64_t>(static_cast<int64_t>(err)));
  if (err)
    result(std::string("the request was not taken: ") + ims_error_name(err), false);
}

void PlayerImpl::fault_log_event() {
  uint64_t total = ims_kernel_faults(kernel), back = number("back");
  begin("the kernel's log of DMA faults" + (back ? ", " + std::to_string(back) + " before the newest" : std::string()));
  put_number("count", total);
  ims_kernel_fault f = {};
  if (back >= total || !ims_kernel_fault_at(kernel, total - 1 - back, &f)) {
    result("holds nothing there", false);
    return;
  }
  static const char *const types[] = {"write", "page-request", "read", "atomic"};
  static const char *const kinds[] = {"untranslated", "translation-request", "translated", "reserved"};
  const Arch *arch = arches()[0];
  for (auto &u : units)
    if (u->driven && u->index == f.unit) {
      put("iommu", Type::NAME, 0).text = u->name;
      arch = u->arch;
    }
  put("reason", Type::FAULT, f.reason).arch = arch;
  put("source", Type::SOURCE, f.source);
  if (f.has_pasid)
    put_number("pasid", f.pasid);
  put_number("addr", f.addr, true);
  put_word("type", types[f.type & 3]);
  put_word("at", kinds[f.at & 3]);
  put_word("privileged", f.priv ? "yes" : "no");
  if (f.arch != IMS_ARCH_VTD) {
    put_word("s2", f.s2 ? "yes" : "no");
    if (f.s2)
      put_number("ipa", f.ipa, true);
  }
  put_list("record", std::vector<uint64_t>(f.word, f.word + (f.words ? f.words : 2)));
  std::string ipa = f.arch != IMS_ARCH_VTD && f.s2 ? ", at " + std::string(arch->say.between) + " " + hex(f.ipa) : "";
  result(format("%s of %s%s by %s%s: 0x%x %s", types[f.type & 3], hex(f.addr).c_str(),
                f.has_pasid ? format(" with %s %u", arch->say.substream, f.pasid).c_str() : "",
                source_text(f.source).c_str(), ipa.c_str(), f.reason, arch->fault_text(f.reason).c_str()));
}

} // namespace ims
