// SPDX-License-Identifier: Apache-2.0
// Events that describe the machine, and words: building memory, kernel, IOMMUs, devices, processes, VMs, tables.
#include "pgtable/vmsa.h"
#include "trace/player_internal.h"

#include <algorithm>

namespace ims {

void PlayerImpl::memory_event() {
  uint64_t hpa = number("hpa"), size = number("size");
  begin(bytes_text(size) + " of physical memory at " + hex(hpa));
  put_error(ims_mem_add_ram(&mem, hpa, size));
}

void PlayerImpl::on_note(void *ctx, const ims_note *note) {
  auto *self = static_cast<PlayerImpl *>(ctx);
  if (self->over)
    return;
  if (self->options.time)
    self->options.time->note(*note);
  self->observer->note(*note);
}

void PlayerImpl::kernel_event() {
  ims_kernel_config c;
  ims_kernel_config_default(&c);
  c.mem = &mem;
  c.pool_base = number("pool");
  c.pool_size = number("pool_size");
  if (has("dialect"))
    dialect.dialect = static_cast<ims_dialect>(ims_dialect_by_name(text("dialect").c_str()));
  dialect.iommu_h = word_is("iommu_h", "a")   ? IMS_IOMMU_H_A
                    : word_is("iommu_h", "b") ? IMS_IOMMU_H_B
                                              : IMS_IOMMU_H_AUTO;
  c.dialect = static_cast<uint8_t>(dialect.dialect);
  c.iommu_h = static_cast<uint8_t>(dialect.iommu_h);
  c.legacy = word_is("mode", "legacy");
  c.cpu_format = word_is("cpu", "arm-4K")    ? IMS_CPU_ARM_4K
                 : word_is("cpu", "arm-16K") ? IMS_CPU_ARM_16K
                 : word_is("cpu", "arm-64K") ? IMS_CPU_ARM_64K
                                             : IMS_CPU_X86_64;
  c.selftest = word_is("selftest", "7.2")   ? IMS_SELFTEST_7_2
               : word_is("selftest", "7.3") ? IMS_SELFTEST_7_3
                                            : IMS_SELFTEST_OFF;
  c.smmu_bypass = has("smmu_bypass");
  c.msi_doorbell = number("doorbell", c.msi_doorbell);
  uint64_t cpu = number("cpu_levels", c.cpu_levels), s2 = number("s2_levels", c.s2_levels);
  c.cpu_levels = static_cast<uint8_t>(cpu > 255 ? 255 : cpu);
  c.s2_levels = static_cast<uint8_t>(s2 > 255 ? 255 : s2);
  c.pasid_quota = static_cast<uint32_t>(number("pasid_quota", c.pasid_quota));
  c.dma_entry_limit = static_cast<uint32_t>(number("mappings", c.dma_entry_limit));
  c.hooks.ctx = this;
  c.hooks.observe = on_note;
  begin(format("a kernel that speaks %s%s, with %s at %s for itself", ims_dialect_name(dialect.dialect),
               c.legacy ? " in legacy mode" : "", bytes_text(c.pool_size).c_str(), hex(c.pool_base).c_str()));
  put_error(ims_kernel_new(&kernel, &c));
}

void PlayerImpl::on_message(void *ctx, uint64_t addr, uint32_t data) {
  auto *u = static_cast<Unit *>(ctx);
  if (u->driven)
    ims_kernel_message(u->player->kernel, addr, data);
  else if (!u->player->over)
    u->player->observer->interrupt(u->name, addr, data);
}

bool PlayerImpl::on_ats_invalidate(void *ctx, const ims_ats_invalidation *inv) {
  auto *u = static_cast<Unit *>(ctx);
  for (auto &d : u->player->devices)
    if (d->unit == u && d->endpoint.config.source == inv->source)
      return ims_endpoint_invalidate(&d->endpoint, inv);
  return false; // nobody there to answer
}

void PlayerImpl::on_page_response(void *ctx, const ims_page_response *resp) {
  auto *u = static_cast<Unit *>(ctx);
  for (auto &d : u->player->devices)
    if (d->unit == u && d->endpoint.config.source == resp->source) {
      ims_endpoint_response(&d->endpoint, resp);
      if (ims_dma_engine_response(&d->engine, resp))
        u->player->translations.clear();
      d->response = resp->code;
      d->answered++;
    }
}

// The device's own DMA goes on; what it comes to is what the event `outcome` looks at.
void PlayerImpl::on_resume(void *ctx, const ims_resume *resume) {
  auto *u = static_cast<Unit *>(ctx);
  for (auto &d : u->player->devices)
    if (d->unit == u && d->endpoint.config.source == resume->source) {
      if (ims_dma_engine_resume(&d->engine, resume))
        u->player->translations.clear();
      else
        u->player->resume(*d, *resume);
    }
}

// The device as a program sees it: a tiny DMA engine. Nobody looks at what its DMA comes to but the program.
static uint64_t region_read(void *device, unsigned region, uint64_t offset, unsigned bytes) {
  return ims_dma_engine_read(&static_cast<Device *>(device)->engine, region, offset, bytes);
}

void PlayerImpl::on_region_write(void *device, unsigned region, uint64_t offset, unsigned bytes, uint64_t value) {
  auto *d = static_cast<Device *>(device);
  ims_dma_engine_write(&d->engine, region, offset, bytes, value);
  d->unit->player->translations.clear();
}

void PlayerImpl::iommu_event() {
  auto u = std::make_unique<Unit>();
  u->name = text("NAME");
  u->player = this;
  u->arch = has("arch") ? find_arch(text("arch")) : arches()[0];
  std::string words;
  auto set = [&](const std::string &name, uint64_t value) {
    const ims_option *o = u->arch->find_option(name);
    if (value < o->low || value > o->high)
      fail(format("%s=%llu: expected a number from %u to %u", o->name, static_cast<unsigned long long>(value), o->low,
                  o->high));
    ims_option_set(u->arch->config(u->config), o, static_cast<uint32_t>(value));
    if (value != o->def)
      words += format(", %s=%llu", o->name, static_cast<unsigned long long>(value));
  };
  for (const Arg &a : event->args)
    if (!event->info->param(a.key))
      set(a.key, eval(a.value));
  for (const PlayOptions::Knob &k : options.knobs)
    if (k.arch == u->arch->name)
      set(k.name, k.value);
  bool driven = kernel && !word_is("driver", "no");
  begin(u->name + ": " + u->arch->a_unit + (driven ? ", driven by the kernel" : "") + words);
  if (const char *wrong = u->arch->check(u->config))
    fail(quote(u->name) + ": " + wrong);
  ims_iommu_bus bus = {u.get(), on_message, on_ats_invalidate, on_page_response, on_resume, nullptr};
  int err = u->arch->make(&u->iommu, u->config, &mem, &bus);
  if (err) {
    put_error(err);
    return;
  }
  Unit *unit = u.get();
  units.push_back(std::move(u)); // the kernel may call back from here on
  unit->driven = driven;
  if (driven && (err = ims_kernel_add_unit(kernel, unit->name.c_str(), unit->iommu, &unit->index))) {
    unit->driven = false;
    ims_iommu_free(unit->iommu);
    units.pop_back();
  } else if (options.time) {
    options.time->made(*event, unit->iommu);
  }
  put_error(err);
}

void PlayerImpl::device_event() {
  auto d = std::make_unique<Device>();
  d->name = text("NAME");
  d->unit = &named(units, "iommu");
  bool ats = has("ats"), pri = has("pri");
  uint64_t source = number("source"), group = number("group", IMS_NO_GROUP), bits = number("pasid_bits");
  uint64_t atc = number("atc", ats ? 64 : 0);
  if (source >> d->unit->arch->source_bits)
    fail(arg("source")->at, format("a requester id has %u bits", d->unit->arch->source_bits));
  if (bits > 20)
    fail(arg("pasid_bits")->at, "a PASID has 20 bits at most");
  if (atc > 1 << 24)
    fail(arg("atc")->at, "expected at most 16777216 entries");
  ims_endpoint_config c = {};
  c.source = static_cast<uint32_t>(source);
  c.atc_entries = static_cast<uint32_t>(atc);
  c.atc_ways = static_cast<uint32_t>(number("atc_ways"));
  c.page_requests = static_cast<uint32_t>(number("requests"));
  c.ignores_invalidations = has("mute");
  begin(d->name + ": " + requester_text(*d->unit->arch, c.source) + " behind " + d->unit->name +
        (has("group") ? ", IOMMU group " + std::to_string(group) : "") +
        (bits ? format(", PASIDs of %u bits", static_cast<unsigned>(bits)) : "") +
        (ats ? format(", ATS with %u entries", c.atc_entries) : "") + (pri ? ", page requests" : "") +
        (has("mute") ? ", deaf to invalidations" : "") + (has("platform") ? ", not PCI" : "") +
        (has("stall") ? ", may stall" : ""));
  int err = ims_endpoint_init(&d->endpoint, d->unit->iommu, &c);
  if (err) {
    put_error(err);
    return;
  }
  d->endpoint.translate = on_translate;
  d->endpoint.translate_ctx = d.get();
  Device *device = d.get();
  devices.push_back(std::move(d));
  if (device->unit->driven) {
    ims_device_config h = {};
    h.source = static_cast<uint16_t>(source);
    h.unit = static_cast<uint16_t>(device->unit->index);
    h.group = static_cast<uint32_t>(group);
    h.pasid_bits = static_cast<uint8_t>(bits);
    h.ats = ats;
    h.pri = pri;
    h.pasid_exec = has("pasid_exec");
    h.pasid_priv = has("pasid_priv");
    h.not_pci = has("platform");
    h.stall = has("stall");
    ims_dma_engine_init(&device->engine, &device->endpoint);
    device->regions.ctx = device;
    device->regions.size[0] = IMS_DMA_ENGINE_BAR;
    device->regions.read = region_read;
    device->regions.write = on_region_write;
    device->regions.vendor = IMS_DMA_ENGINE_VENDOR;
    device->regions.device = IMS_DMA_ENGINE_DEVICE;
    device->regions.class_code = IMS_DMA_ENGINE_CLASS;
    h.regions = &device->regions;
    if (source > 0xffff)
      fail(arg("source")->at, "the kernel's devices have ids of 16 bits");
    if (h.stall && !h.not_pci)
      fail(arg("stall")->at, "PCI devices never stall: expected `platform` beside `stall`");
    err = ims_kernel_add_device(kernel, &h, &device->host);
    if (err) {
      ims_endpoint_fini(&device->endpoint);
      devices.pop_back();
    }
  }
  if (!err && options.time)
    options.time->made(*event, &device->endpoint);
  put_error(err);
}

void PlayerImpl::process_event() {
  auto p = std::make_unique<Process>();
  p->name = text("NAME");
  p->player = this;
  if (has("outside"))
    p->outside = std::make_unique<Outside>();
  begin("process " + p->name + (has("outside") ? ", as it was recorded" : "") + (has("user") ? ", not root's" : "") +
        (has("memlock") ? ", which may pin " + bytes_text(number("memlock")) : ""));
  int err = ims_process_new(kernel, &p->process);
  if (!err) {
    set_user(*p);
    if (has("user"))
      ims_process_set_caps(p->process, p->caps = 0);
    if (has("memlock"))
      ims_process_set_memlock(p->process, number("memlock"));
    processes.push_back(std::move(p));
  }
  put_error(err);
}

void PlayerImpl::vm_event() {
  auto vm = std::make_unique<Vm>();
  vm->name = text("NAME");
  vm->vmm = &process_named("process");
  begin("virtual machine " + vm->name + " of process " + vm->vmm->name);
  int err = ims_vm_new(vm->vmm->process, &vm->vm);
  if (!err)
    vms.push_back(std::move(vm));
  put_error(err);
}

static void check_alive(const PlayerImpl &p, const Vm &vm) {
  if (vm.vmm->exited)
    p.fail("process " + quote(vm.vmm->name) + ", whose virtual machine this is, has ended");
}

void PlayerImpl::slot_event() {
  Vm &vm = named(vms);
  check_alive(*this, vm);
  uint64_t gpa = number("gpa"), va = number("va"), size = number("size");
  begin(vm.name + " gets " + bytes_text(size) + " at gpa " + hex(gpa) + ": " + vm.vmm->name + "'s memory at " +
        hex(va));
  put_error(ims_vm_add_slot(vm.vm, gpa, va, size));
}

void PlayerImpl::guest_pool_event() {
  Vm &vm = named(vms);
  check_alive(*this, vm);
  uint64_t gpa = number("gpa"), size = number("size");
  begin("the guest allocates from " + bytes_text(size) + " at gpa " + hex(gpa));
  put_error(ims_vm_set_pool(vm.vm, gpa, size));
}

void PlayerImpl::pool_event() {
  auto p = std::make_unique<Pool>();
  p->name = text("NAME");
  uint64_t hpa = number("hpa"), size = number("size");
  begin("pool " + p->name + ": " + bytes_text(size) + " at " + hex(hpa));
  int err = ims_page_pool_init(&p->pool, &mem, hpa, size);
  if (!err)
    pools.push_back(std::move(p));
  put_error(err);
}

// The format of an x86 or VT-d table, and how deep it is.
static void set_x86_table(const PlayerImpl &p, Table *t) {
  bool second = p.word_is("format", "vtd-ss");
  uint64_t levels = p.number("levels", 4);
  if (levels < (second ? 3u : 4u) || levels > 5)
    p.fail(p.arg("levels")->at, second ? "expected 3 to 5 levels" : "expected 4 or 5 levels");
  for (const char *key : {"granule", "bits", "out", "upper", "ha", "hd", "big_endian"})
    if (p.has(key))
      p.fail(p.arg(key)->at, quote(key) + " is for tables of format s1 and s2");
  if (second)
    ims_vtd_ss_format(&t->format, 52, true, true, true, false);
  else
    ims_x86_fs_format(&t->format, 52, true, false);
  t->pgt.levels = static_cast<uint8_t>(levels);
  t->pgt.in_bits = static_cast<uint8_t>(12 + 9 * levels);
}

// Of a VMSAv8-64 table (Arm DDI 0487 D8.2).
static void set_vmsa_table(const PlayerImpl &p, Table *t) {
  bool second = p.word_is("format", "s2");
  ims_granule granule = p.word_is("granule", "16K")   ? IMS_GRANULE_16K
                        : p.word_is("granule", "64K") ? IMS_GRANULE_64K
                                                      : IMS_GRANULE_4K;
  uint64_t bits = p.number("bits", 48), out = p.number("out", 48);
  if (bits < 16 || bits > 52)
    p.fail(p.arg("bits")->at, "expected 16 to 52 bits");
  if (out < 32 || out > 52)
    p.fail(p.arg("out")->at, "expected 32 to 52 bits");
  bool ds = granule != IMS_GRANULE_64K && (bits > 48 || out > 48);
  ims_vmsa_format(&t->format, second ? IMS_PGT_VMSA_S2 : IMS_PGT_VMSA_S1, granule, ds, out > 48, true);
  unsigned most = ims_vmsa_s1_levels(granule, static_cast<unsigned>(bits)), levels = most;
  if (second) { // as few as sixteen concatenated tables allow
    while (levels > 1 &&
           ims_vmsa_s2_consistent(granule, levels - 1, static_cast<unsigned>(bits), static_cast<unsigned>(out)))
      levels--;
    levels = static_cast<unsigned>(std::min<uint64_t>(p.number("levels", levels), 255));
    if (!ims_vmsa_s2_consistent(granule, levels, static_cast<unsigned>(bits), static_cast<unsigned>(out)))
      p.fail(
          p.has("levels") ? p.arg("levels")->at : p.event->at,
          format("a stage-2 table of %u bits has no %u levels with this granule", static_cast<unsigned>(bits), levels));
    if (p.has("upper"))
      p.fail(p.arg("upper")->at, "stage 2 has no upper half");
  } else if (p.has("levels") && p.number("levels") != levels) {
    p.fail(p.arg("levels")->at,
           format("a stage-1 table of %u bits has %u levels with this granule", static_cast<unsigned>(bits), levels));
  }
  t->pgt.levels = static_cast<uint8_t>(levels);
  t->pgt.in_bits = static_cast<uint8_t>(bits);
  t->pgt.out_bits = static_cast<uint8_t>(out);
  t->pgt.sh = 3;
  t->pgt.flags = (p.has("upper") ? unsigned(IMS_PGT_UPPER) : 0u) | (p.has("big_endian") ? unsigned(IMS_PGT_BE) : 0u) |
                 (p.has("ha") ? 0u : unsigned(IMS_PGT_AF_FAULTS));
  t->pgt.a_bits = p.has("ha") ? IMS_VMSA_AF : 0;
  t->pgt.d_bit = p.has("hd") ? second ? IMS_VMSA_S2AP_W : IMS_VMSA_AP2 : 0;
}

void PlayerImpl::table_event() {
  auto t = std::make_unique<Table>();
  t->name = text("NAME");
  bool vmsa = word_is("format", "s1") || word_is("format", "s2"),
       second = word_is("format", "vtd-ss") || word_is("format", "s2");
  if (vmsa)
    set_vmsa_table(*this, t.get());
  else
    set_x86_table(*this, t.get());
  Vm *vm = lookup(vms, text("in"));
  if (vm) {
    check_alive(*this, *vm);
    t->mem = ims_vm_pgt_mem(vm->vm);
  } else {
    t->mem = ims_page_pool_pgt_mem(&named(pools, "in").pool);
  }
  t->guest = vm;
  t->pgt.fmt = &t->format;
  int err = ims_pgt_create(&t->pgt, &t->mem);
  std::string what = vmsa
                         ? format("%s table of %u bits, granule %s, %u levels", second ? "stage-2" : "stage-1",
                                  t->pgt.in_bits, text("granule", "4K").c_str(), t->pgt.levels)
                         : format("%s page table of %u levels", second ? "second-stage" : "first-stage", t->pgt.levels);
  begin(t->name + ": a " + what + " in " + text("in") + ", root at " + (vm ? "gpa " : "") + hex(t->pgt.root));
  if (!err) {
    put_number("root", t->pgt.root, true);
    tables.push_back(std::move(t));
  }
  put_error(err);
}

void PlayerImpl::alloc_event() {
  uint64_t size = number("size", 4096), addr = 0;
  unsigned shift = 12;
  while (shift < 40 && 1ull << shift < size)
    shift++;
  if (1ull << shift != size)
    fail(arg("size")->at, "expected a power of two from 4K on");
  Vm *vm = lookup(vms, text("NAME"));
  if (vm)
    check_alive(*this, *vm);
  int err = vm ? ims_vm_alloc(vm->vm, shift, &addr) : ims_page_pool_alloc(&named(pools).pool, shift, &addr);
  begin(bytes_text(size) + " from " + text("NAME") + (err ? "" : ", at " + std::string(vm ? "gpa " : "") + hex(addr)));
  if (!err)
    put_number("addr", addr, true);
  put_error(err);
}

void PlayerImpl::drop_caches_event() {
  if (Device *d = lookup(devices, text("NAME"))) {
    begin(d->name + " forgets all translations");
    ims_endpoint_drop_atc(&d->endpoint);
    return;
  }
  Unit &u = named(units);
  begin(u.name + " forgets everything: what follows is cold");
  ims_iommu_drop_caches(u.iommu);
}

void PlayerImpl::barrier_event() { begin("barrier"); }

void PlayerImpl::let_event() {
  std::string words;
  for (const Arg &a : event->args) {
    uint64_t v = eval(a.value);
    variables[a.key] = v;
    words += (words.empty() ? "$" : ", $") + a.key + " = " +
             (a.value.sums[0][0].form == Form::DEC && v < 65536 ? std::to_string(v) : hex(v));
  }
  begin(words);
}

void PlayerImpl::say_event() { observer->heading(text("TEXT")); }

} // namespace ims
