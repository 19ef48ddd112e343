// SPDX-License-Identifier: Apache-2.0
// DMA: sending it, summing up what its pieces come to, and going on with what was stalled.
#include "trace/player_internal.h"

#include <algorithm>
#include <cinttypes>

namespace ims {

void PlayerImpl::on_translate(void *device, ims_iommu *, const ims_request *req, ims_result *res) {
  auto *d = static_cast<const Device *>(device);
  d->unit->player->translate(*d, *req, res);
}

// The same steps as ims_translate() makes, so that they can be counted and told.
void PlayerImpl::translate_untimed(ims_iommu *unit, Translation *t) {
  Explain told;
  bool tell = options.explain && (!options.explain_line || options.explain_line == event->at.line);
  ims_xlate x = {};
  ims_xlate_begin(&x, unit, &t->request, &t->result);
  if (tell)
    told.begin(x);
  for (;;) {
    ims_step_kind kind = ims_xlate_step(&x);
    if (kind == IMS_STEP_DONE || kind == IMS_STEP_FAULT)
      break;
    ims_xlate_answer(&x, kind);
    if (kind == IMS_STEP_READ)
      t->reads[x.port.step.what]++;
    else if (kind == IMS_STEP_PROBE)
      (x.port.answer.hit ? t->hits : t->misses)[x.port.step.cache]++;
    if (tell)
      told.step(x, kind);
  }
  ims_xlate_finish(&x);
  if (tell) {
    told.end(x);
    observer->told(told);
  }
}

void PlayerImpl::translate(const Device &d, const ims_request &req, ims_result *res) {
  Translation t;
  t.arch = d.unit->arch;
  t.request = req;
  if (options.time)
    options.time->translate(d.endpoint, req, &t);
  else
    translate_untimed(d.unit->iommu, &t);
  *res = t.result;
  translations.push_back(t);
  count.translations++;
  count.references += res->refs;
  count.references_max = std::max<uint64_t>(count.references_max, res->refs);
  count.configuration += t.configuration();
  count.first_stage += t.first_stage();
  count.second_stage += t.second_stage();
  if (res->status == IMS_STATUS_FAULT || res->status == IMS_STATUS_STALL)
    count.faults[{t.arch, res->fault}]++;
}

unsigned access_bits(const std::string &word) {
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

void DmaSum::observe(void *ctx, const ims_dma_piece *p) { static_cast<DmaSum *>(ctx)->add(*p); }

void DmaSum::add(const ims_dma_piece &p) {
  std::vector<Translation> &ts = player->translations;
  for (const Translation &t : ts) {
    refs += t.result.refs;
    translations++;
    faults += t.result.status == IMS_STATUS_FAULT || t.result.status == IMS_STATUS_STALL;
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

void DmaSum::first(const ims_dma_piece &p, const std::vector<Translation> &ts) {
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

void DmaSum::stop(const ims_dma_piece &p) {
  stopped = true;
  const ims_result &r = p.used_valid && p.used.status != IMS_STATUS_OK ? p.used : p.asked;
  bool stalled = r.status == IMS_STATUS_STALL;
  fault_iova = p.iova;
  fault = r.status == IMS_STATUS_FAULT || stalled ? r.fault : 0u;
  recorded = r.recorded;
  stag = stalled ? r.stag : -1;
  if (fault && r.record_words >= 2)
    record.assign(r.record, r.record + r.record_words);
  if (record.size() == 2)
    record[1] |= recorded ? 1ull << 63 : 0; // as the register holds it
  status = p.end == IMS_DMA_NO_RIGHTS   ? "no-rights"
           : p.end == IMS_DMA_NO_MEMORY ? "no-memory"
           : p.end == IMS_DMA_STALLED   ? "stalled"
           : fault                      ? "fault"
                                        : "abort";
}

// What an event that looked at a DMA puts out.
void PlayerImpl::put_dma(const DmaSum &sum) {
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
  put("fault", Type::FAULT, sum.fault).arch = sum.device->unit->arch;
  if (sum.stopped)
    put_number("fault_iova", sum.fault_iova, true);
  if (!sum.record.empty())
    put_list("record", sum.record);
  if (sum.record.size() == 4)
    put_event_fields(sum.record.data());
  put_word("recorded", sum.recorded ? "yes" : "no");
  if (sum.stag >= 0)
    put_number("stag", static_cast<uint64_t>(sum.stag));
  put_number("refs", sum.refs);
  if (sum.page)
    put_number("page", sum.page);
  put_word("rights", rights_word(sum.rights));
  put_word("from", sum.from);
  put_number("done", sum.done);
  put_number("translations", sum.translations);
  put_number("faults", sum.faults);
}

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
  dma.access = static_cast<uint8_t>(access_bits(access) | (has("privileged") ? unsigned(IMS_ACC_PRIV) : 0u));
  dma.ats = ats;
  if (const Value *v = arg("pasid")) {
    uint64_t pasid = eval(*v);
    if (pasid >> 20)
      fail(v->at, hex(pasid) + " is no PASID: expected 20 bits");
    dma.has_pasid = true;
    dma.pasid = static_cast<uint32_t>(pasid);
  }
  auto room = std::make_shared<std::vector<uint8_t>>();
  if (!data.empty() || (reads && wants_data) || (reads && has("keep"))) {
    if (size > 65536)
      fail("data of a DMA is 64K at most");
    room->assign(data.begin(), data.end());
    room->resize(size);
    dma.data = room->data();
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
      if (sum.stag >= 0 && dma.data && reads)
        d.waiting[static_cast<unsigned>(sum.stag)] = room; // what it brings comes when it is resumed
    }
  put_dma(sum);
  if (dma.data && reads && sum.stag < 0)
    put("data", Type::BYTES, 0).text.assign(room->begin(), room->end());
}

// A stall of this device ends: its DMA goes on, or is given up. The event that brought that about goes on too; what came of
// the DMA is kept for `outcome`.
void PlayerImpl::resume(Device &d, const ims_resume &r) {
  DmaSum sum;
  sum.player = this;
  sum.device = &d;
  std::vector<Translation> before;
  before.swap(translations);
  auto room = d.waiting.find(r.stag);
  std::shared_ptr<std::vector<uint8_t>> data = room == d.waiting.end() ? nullptr : room->second;
  d.waiting.erase(r.stag);
  int err = ims_endpoint_resume(&d.endpoint, &r, DmaSum::observe, &sum, nullptr, nullptr);
  translations.swap(before);
  if (err) // nothing of this device waits under this STAG
    return;
  if (!sum.any) // given up without another request
    sum.status = r.action == IMS_RESUME_ABORT ? "abort" : "ok";
  if (sum.stag >= 0 && data)
    d.waiting[static_cast<unsigned>(sum.stag)] = data;
  d.outcome = sum;
  d.outcome_data = data;
  d.resumed++;
}

void PlayerImpl::outcome_event() {
  Device &d = named(devices);
  begin(d.answered ? "what " + d.name + " has been answered"
                   : "what became of the DMA of " + d.name + " that was stalled");
  put_number("resumed", d.resumed);
  put_number("answered", d.answered);
  if (d.answered) {
    put_word("response", response_word(d.response));
    result("groups of page requests answered: " + std::to_string(d.answered) +
               ", the last: " + response_word(d.response),
           d.response == 0);
    d.answered = 0;
  }
  if (!d.resumed) {
    if (!output("response"))
      result("nothing of it has been resumed", false);
    return;
  }
  put_dma(d.outcome);
  if (d.outcome_data && d.outcome.stag < 0)
    put("data", Type::BYTES, 0).text.assign(d.outcome_data->begin(), d.outcome_data->end());
  result(d.outcome.status + (d.outcome.reached ? " at hpa " + hex(d.outcome.hpa) : ""));
  d.resumed = 0;
  d.outcome_data.reset();
}

} // namespace ims
