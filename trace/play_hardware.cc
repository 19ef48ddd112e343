// SPDX-License-Identifier: Apache-2.0
// Events at the hardware: registers, descriptors, DMA, page requests, the log of faults.
#include "trace/player_internal.h"

#include <algorithm>
#include <cinttypes>

namespace ims {

// ---- Registers ------------------------------------------------------------------------------------------------------

uint32_t PlayerImpl::register_offset(Unit &u, const Value &v, unsigned *bytes, int *reg) const {
  RegisterName name;
  register_by_name(v.text, &name);
  uint64_t cap = ims_vtd_peek(u.iommu, IMS_VTD_CAP);
  *reg = name.reg;
  *bytes = name.reg >= 0 ? ims_vtd_regs[name.reg].bytes : name.frcd >= 0 && name.offset % 8 == 0 ? 8 : 4;
  if (name.frcd < 0)
    return name.offset;
  if (static_cast<unsigned>(name.frcd) > (cap >> 40 & 255))
    fail(v.at, quote(u.name) + " has fault recording registers 0 to " + std::to_string(cap >> 40 & 255));
  return static_cast<uint32_t>((cap >> 24 & 0x3ff) * 16) + static_cast<uint32_t>(name.frcd) * 16 + name.offset;
}

static uint64_t field_mask(const struct ims_reg_field &f) { return ~0ull >> (63 - (f.high - f.low)); }

static const struct ims_reg_field *field_of(int reg, const std::string &name) {
  for (unsigned i = 0; reg >= 0 && i < ims_vtd_field_count; i++)
    if (ims_vtd_fields[i].reg == reg && name == ims_vtd_fields[i].name)
      return &ims_vtd_fields[i];
  return nullptr;
}

// Fields that hold the upper bits of an address are shown as that address.
static bool is_address(const struct ims_reg_field &f) {
  return (f.low >= 12 && f.high == 63) || (f.low == 2 && f.high == 31);
}

static std::string fields_text(int reg, uint64_t value) {
  std::string words;
  for (unsigned i = 0; reg >= 0 && i < ims_vtd_field_count; i++) {
    const struct ims_reg_field &f = ims_vtd_fields[i];
    uint64_t v = value >> f.low & field_mask(f);
    if (f.reg == reg && v)
      words += (words.empty() ? "" : ", ") + std::string(f.name) +
               (f.high == f.low ? ""
                : is_address(f) ? " " + hex(v << f.low)
                                : " " + hex(v));
  }
  return words.empty() ? "" : " (" + words + ")";
}

void PlayerImpl::mmio_write_event() {
  Unit &u = named(units);
  unsigned bytes;
  int reg;
  uint32_t offset = register_offset(u, *arg("REGISTER"), &bytes, &reg);
  uint64_t value = number("value");
  for (const Arg &a : event->args)
    if (const struct ims_reg_field *f = event->info->param(a.key) ? nullptr : field_of(reg, a.key)) {
      uint64_t v = eval(a.value);
      if (v & ~field_mask(*f))
        fail(a.value.at, hex(v) + " does not fit the " + std::to_string(f->high - f->low + 1) + " bits of this field");
      value = (value & ~(field_mask(*f) << f->low)) | v << f->low;
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
  int reg;
  uint32_t offset = register_offset(u, *arg("REGISTER"), &bytes, &reg);
  bytes = static_cast<unsigned>(number("bytes", bytes));
  if (bytes != 4 && bytes != 8)
    fail(arg("bytes")->at, "expected 4 or 8");
  begin(u.name + ": read " + text("REGISTER"));
  uint64_t value = ims_iommu_read(u.iommu, offset, bytes);
  put_number("value", value, true);
  for (unsigned i = 0; reg >= 0 && i < ims_vtd_field_count; i++) {
    const struct ims_reg_field &f = ims_vtd_fields[i];
    if (f.reg == reg)
      put_number(f.name, value >> f.low & field_mask(f), f.high - f.low > 8);
  }
  result("holds " + hex(value) + fields_text(reg, value));
}

// As a driver does (VT-d 6.5.2): the descriptor at the tail, then the tail.
void PlayerImpl::descriptor_event() {
  Unit &u = named(units);
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
    result("the queue has stopped: FSTS " + hex(fsts) + fields_text(IMS_VTD_FSTS, fsts), false);
  put_error(err);
}

// ---- DMA ------------------------------------------------------------------------------------------------------------

void PlayerImpl::on_translate(void *ctx, ims_iommu *unit, const ims_request *req, ims_result *res) {
  static_cast<PlayerImpl *>(ctx)->translate(unit, *req, res);
}

// The same steps as ims_translate() makes, so that they can be counted and told.
void PlayerImpl::translate(ims_iommu *unit, const ims_request &req, ims_result *res) {
  translations.emplace_back();
  Translation &t = translations.back();
  t.request = req;
  Explain told;
  bool tell = options.explain && (!options.explain_line || options.explain_line == event->at.line);
  ims_xlate x = {};
  ims_xlate_begin(&x, unit, &req, res);
  if (tell)
    told.begin(x);
  for (;;) {
    ims_step_kind kind = ims_xlate_step(&x);
    if (kind == IMS_STEP_DONE || kind == IMS_STEP_FAULT)
      break;
    ims_xlate_answer(&x, kind);
    if (kind == IMS_STEP_READ)
      t.reads[x.port.step.what]++;
    else if (kind == IMS_STEP_PROBE)
      (x.port.answer.hit ? t.hits : t.misses)[x.port.step.cache]++;
    if (tell)
      told.step(x, kind);
  }
  ims_xlate_finish(&x);
  t.result = *res;
  if (tell) {
    told.end(x);
    observer->told(told);
  }
  count.translations++;
  count.references += res->refs;
  count.references_max = std::max<uint64_t>(count.references_max, res->refs);
  count.configuration += t.configuration();
  count.first_stage += t.first_stage();
  count.second_stage += t.second_stage();
  if (res->status == IMS_STATUS_FAULT)
    count.faults[res->fault]++;
}

static unsigned access_of(const std::string &word) {
  return word == "read"    ? unsigned(IMS_ACC_R)
         : word == "write" ? unsigned(IMS_ACC_W)
         : word == "exec"  ? unsigned(IMS_ACC_R | IMS_ACC_X)
                           : unsigned(IMS_ACC_R | IMS_ACC_W);
}

static std::string verb_of(const std::string &word) {
  return word == "read"    ? "reads"
         : word == "write" ? "writes"
         : word == "exec"  ? "fetches code from"
                           : "does an atomic operation on";
}

static std::string rights_word(unsigned rights) {
  std::string text;
  for (auto [bit, letter] : {std::pair(IMS_PERM_R, 'r'), std::pair(IMS_PERM_W, 'w'), std::pair(IMS_PERM_X, 'x')})
    if (rights & static_cast<unsigned>(bit))
      text += letter;
  return text.empty() ? "none" : text;
}

namespace {

// What a DMA event comes to, over all its pieces.
struct DmaSum {
  PlayerImpl *player;
  Device *device;
  bool any = false;
  std::string status = "ok";
  bool reached = false; // hpa is that of the first piece
  uint64_t hpa = 0, fault_iova = 0, refs = 0, done = 0, translations = 0, faults = 0, page = 0;
  unsigned fault = 0, rights = 0;
  bool stopped = false, recorded = false;
  std::string from;
  std::vector<uint64_t> record;

  static void observe(void *ctx, const ims_dma_piece *p) { static_cast<DmaSum *>(ctx)->add(*p); }

  void add(const ims_dma_piece &p) {
    std::vector<Translation> &ts = player->translations;
    for (const Translation &t : ts) {
      refs += t.result.refs;
      translations++;
      faults += t.result.status == IMS_STATUS_FAULT;
    }
    if (!any)
      first(p, ts);
    any = true;
    if (p.end == IMS_DMA_DONE)
      done += p.len;
    else if (!stopped)
      stop(p);
    player->observer->piece(device->name, p, ts);
    ts.clear();
  }

  void first(const ims_dma_piece &p, const std::vector<Translation> &ts) {
    reached = p.end == IMS_DMA_DONE || p.end == IMS_DMA_NO_MEMORY;
    hpa = p.hpa;
    if (p.asked_valid) {
      page = p.asked.status == IMS_STATUS_OK ? 1ull << p.asked.shift : 0;
      rights = p.asked.rights;
      if (p.asked.status == IMS_STATUS_BYPASS)
        status = "bypass";
    }
    bool hit = !ts.empty() && ts[0].hits[IMS_CACHE_IOTLB];
    bool walked = !ts.empty() && (ts[0].first_stage() || ts[0].second_stage());
    from = p.path == IMS_DMA_ATC_HIT ? "atc" : walked ? "walk" : hit ? "iotlb" : "unit";
  }

  void stop(const ims_dma_piece &p) {
    stopped = true;
    const ims_result &r = p.used_valid && p.used.status != IMS_STATUS_OK ? p.used : p.asked;
    fault_iova = p.iova;
    fault = r.status == IMS_STATUS_FAULT ? r.fault : 0u;
    recorded = r.recorded;
    if (r.status == IMS_STATUS_FAULT && r.record_words >= 2)
      record = {r.record[0], r.record[1] | (recorded ? 1ull << 63 : 0)};
    status = p.end == IMS_DMA_NO_RIGHTS   ? "no-rights"
             : p.end == IMS_DMA_NO_MEMORY ? "no-memory"
             : fault                      ? "fault"
                                          : "abort";
  }
};

} // namespace

void PlayerImpl::dma_event() {
  Device &d = named(devices);
  std::string access = text("ACCESS"), data = text("data");
  bool reads = access != "write", ats = has("ats"), wants_data = expects("data");
  uint64_t iova = number("iova"), size = number("size", data.empty() ? 8 : data.size());
  uint64_t times = number("count", 1), repeat = number("repeat", 1), stride = number("stride", size);
  if (!size)
    fail(arg("size")->at, "a DMA has at least 1 byte");
  if (!data.empty() && data.size() != size)
    fail(arg("data")->at,
         format("data has %zu bytes, size says %llu", data.size(), static_cast<unsigned long long>(size)));
  unsigned __int128 pieces = static_cast<unsigned __int128>(times) * repeat * (size / 4096 + 1);
  if (pieces > options.max_dma)
    fail("this DMA has more pieces than are allowed here");
  ims_dma dma = {};
  dma.len = size;
  dma.access = static_cast<uint8_t>(access_of(access) | (has("privileged") ? unsigned(IMS_ACC_PRIV) : 0u));
  dma.ats = ats;
  if (const Value *v = arg("pasid")) {
    uint64_t pasid = eval(*v);
    if (pasid >> 20)
      fail(v->at, hex(pasid) + " is no PASID: expected 20 bits");
    dma.has_pasid = true;
    dma.pasid = static_cast<uint32_t>(pasid);
  }
  std::vector<uint8_t> room;
  if (!data.empty() || (reads && wants_data)) {
    if (size > 65536)
      fail("data of a DMA is 64K at most");
    room.assign(data.begin(), data.end());
    room.resize(size);
    dma.data = room.data();
  }

  std::string words = d.name + " " + verb_of(access) + " " + bytes_text(size) + " at iova " + hex(iova);
  if (dma.has_pasid)
    words += ", PASID " + std::to_string(dma.pasid);
  if (times != 1)
    words += ", " + std::to_string(times) + " times" + (stride == size ? "" : ", " + bytes_text(stride) + " apart");
  if (repeat != 1)
    words += ", all of it " + std::to_string(repeat) + " times";
  words += has("privileged") ? ", privileged" : "";
  words += ats ? ", by ATS" : "";
  begin(words);

  DmaSum sum;
  sum.player = this;
  sum.device = &d;
  translations.clear();
  for (uint64_t r = 0; r < repeat; r++)
    for (uint64_t i = 0; i < times; i++) {
      dma.iova = iova + i * stride;
      count.dmas++;
      int err = ims_endpoint_dma(&d.endpoint, &dma, DmaSum::observe, &sum, nullptr, nullptr);
      if (err)
        fail(err == IMS_ERR_RANGE ? "the DMA's addresses pass 2^64" : "this DMA cannot be sent");
    }

  put_word("status", sum.status);
  if (sum.reached) {
    put("hpa", Type::PLACE, sum.hpa);
    // The same address for the guest, when there is no doubt which.
    if (expects("gpa") && vms.size() == 1) {
      const Arg &x =
          *std::find_if(event->expects.begin(), event->expects.end(), [](const Arg &a) { return a.key == "gpa"; });
      uint64_t gpa = eval(x.value), hpa = 0;
      bool known = !vms[0]->vmm->exited && ims_vm_translate(vms[0]->vm, gpa, &hpa) == IMS_ERR_OK;
      if (known && hpa == sum.hpa)
        put_number("gpa", gpa, true);
      else
        put_word("gpa",
                 "hpa " + hex(sum.hpa) + (known ? ", but that gpa is hpa " + hex(hpa) : ", and nothing at that gpa"));
    }
  }
  if (expects("gpa") && vms.size() != 1)
    fail("`gpa` needs exactly one virtual machine; expect hpa=VM:ADDRESS instead");
  put("fault", Type::FAULT, sum.fault);
  if (sum.stopped)
    put_number("fault_iova", sum.fault_iova, true);
  if (!sum.record.empty())
    put_list("record", sum.record);
  put_word("recorded", sum.recorded ? "yes" : "no");
  put_number("refs", sum.refs);
  if (sum.page)
    put_number("page", sum.page);
  put_word("rights", rights_word(sum.rights));
  put_word("from", sum.from);
  put_number("done", sum.done);
  put_number("translations", sum.translations);
  put_number("faults", sum.faults);
  if (dma.data && reads)
    put("data", Type::BYTES, 0).text.assign(room.begin(), room.end());
}

void PlayerImpl::page_request_event() {
  Device &d = named(devices);
  std::string access = text("ACCESS");
  unsigned bits = access_of(access);
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
  int err = ims_endpoint_request_page(&d.endpoint, &r, &group);
  interrupts();
  if (group != 0xffff)
    put_number("group", group);
  const char *response = d.response < 0    ? "none"
                         : d.response == 0 ? "success"
                         : d.response == 1 ? "invalid"
                                           : "failure";
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
  put("reason", Type::FAULT, f.reason);
  for (auto &u : units)
    if (u->driven && u->index == f.unit)
      put("iommu", Type::NAME, 0).text = u->name;
  put("source", Type::SOURCE, f.source);
  if (f.has_pasid)
    put_number("pasid", f.pasid);
  put_number("addr", f.addr, true);
  put_word("type", types[f.type & 3]);
  put_word("at", kinds[f.at & 3]);
  put_word("privileged", f.priv ? "yes" : "no");
  put_list("record", {f.word[0], f.word[1]});
  result(format("%s of %s%s by %s: 0x%x %s", types[f.type & 3], hex(f.addr).c_str(),
                f.has_pasid ? format(" with PASID %u", f.pasid).c_str() : "", source_text(f.source).c_str(), f.reason,
                fault_text(f.reason).c_str()));
}

} // namespace ims
