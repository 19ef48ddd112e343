// SPDX-License-Identifier: Apache-2.0
// Fuzz target: an SMMUv2 whose registers and tables the input drives. Each operation is a byte and what it needs: a write to
// a register by page and offset, a word of memory, a request. Two units over two copies of the memory, one translating at
// once, one step by step, must agree; a fault has a row, and is what the registers hold; the units answer at the end as
// fresh ones with the same registers do.
#include "fuzz/fuzz.h"
#include "iommu/smmuv2/smmuv2.h"

#include <initializer_list>

namespace {

using fuzz::Input, fuzz::same, fuzz::step_through, fuzz::wrong;

constexpr uint64_t kPages = 32, kSize = kPages * 4096;

// What a request came to.
void check(ims_iommu *u, const ims_result &res) {
  if (res.refs > 24)
    wrong(); // nothing costs more than a nested walk of four levels over four
  if (res.status == IMS_STATUS_FAULT && !ims_smmuv2_fault_find(res.fault))
    wrong();
  if (res.status == IMS_STATUS_FAULT && res.recorded && ims_smmuv2_fault_find(res.fault)->global) {
    uint64_t gfsr = 0;
    if (ims_smmuv2_peek(u, "sGFSR", &gfsr) || !(gfsr >> (res.fault - IMS_SMMUV2_GLOBAL) & 1))
      wrong();
  }
  ims_smmuv2_stalled s;
  for (unsigned i = 0; ims_smmuv2_stalled_at(u, i, &s); i++)
    if (i >= ims_smmuv2_config_of(u)->waiting || s.bank >= ims_smmuv2_config_of(u)->numcb)
      wrong();
}

void copy_register(void *ctx, const char *name, uint64_t value) {
  int err = ims_smmuv2_restore(static_cast<ims_iommu *>(ctx), name, value);
  if (err && strncmp(name, "IDR", 3) != 0)
    wrong();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  Input in = {data, size};
  ims_smmuv2_config cfg;
  ims_smmuv2_config_default(&cfg);
  uint8_t shape = static_cast<uint8_t>(in.take(1)), shape2 = static_cast<uint8_t>(in.take(1));
  cfg.numcb = 8, cfg.numsmrg = 8, cfg.numpagendxb = 2, cfg.numirpt = 4, cfg.waiting = 3;
  cfg.oas = shape & 1 ? 2 : 5;
  cfg.sms = !(shape >> 1 & 1);
  cfg.exids = shape >> 2 & 1;
  cfg.pagesize = shape >> 3 & 1;
  cfg.nums2cb = shape >> 4 & 1;
  cfg.ubs = shape >> 5 & 1 ? 2 : 5;
  cfg.contiguous = shape >> 6 & 1;
  cfg.rights_from_cache = shape >> 7;
  cfg.iotlb_entries = shape2 & 7, cfg.ipa_entries = shape2 >> 3 & 1, cfg.s1_walk_entries = shape2 >> 4 & 1;
  cfg.s2_walk_entries = shape2 >> 5 & 1, cfg.walk_ipa = shape2 >> 6 & 1;
  cfg.replacement = shape2 >> 6;

  ims_mem mem[2];
  ims_iommu *u[2] = {};
  for (int i = 0; i < 2; i++) {
    ims_mem_init(&mem[i]);
    if (ims_mem_add_ram(&mem[i], 0, kSize) || ims_smmuv2_new(&u[i], &cfg, &mem[i], nullptr))
      wrong();
    ims_iommu_write(u[i], IMS_SMMUV2_OFF_sCR0, 4, 0x200402);
    for (unsigned n = 0; n < 8; n++) { // stream n goes to bank n
      ims_iommu_write(u[i], IMS_SMMUV2_OFF_SMR + 4 * n, 4, 1u << 31 | n);
      ims_iommu_write(u[i], IMS_SMMUV2_OFF_S2CR + 4 * n, 4, n);
    }
  }

  const uint32_t page = cfg.pagesize ? 0x10000 : 0x1000;
  while (!in.empty()) {
    switch (in.take(1) % 6) {
    case 0: { // a register of a bank, by its row
      unsigned bank = in.take(1) % 8, row = in.take(1) % IMS_SMMUV2_CB_COUNT;
      uint64_t value = in.take(ims_smmuv2_cb_regs[row].bytes);
      for (ims_iommu *x : u)
        ims_iommu_write(x, ims_smmuv2_cb_offset(&cfg, bank) + ims_smmuv2_cb_regs[row].offset,
                        ims_smmuv2_cb_regs[row].bytes, value);
      break;
    }
    case 1: { // anywhere
      unsigned bytes = in.take(1) & 1 ? 8 : 4;
      uint32_t at = static_cast<uint32_t>(in.take(1)) % 18 * page + (static_cast<uint32_t>(in.take(2)) & 0xfff);
      at &= ~(bytes - 1);
      uint64_t value = in.take(bytes);
      for (ims_iommu *x : u)
        ims_iommu_write(x, at, bytes, value);
      if (ims_iommu_read(u[0], at, bytes) != ims_iommu_read(u[1], at, bytes))
        wrong();
      break;
    }
    case 2: { // a descriptor: where, whither, flags
      uint64_t at = in.take(1) % kPages * 4096 + in.take(1) % 64 * 8, to = in.take(1) % kPages * 4096;
      uint64_t e = to | (in.take(2) & 0xfff) | in.take(1) << 51;
      for (ims_mem &m : mem)
        ims_mem_store64(&m, at, e);
      break;
    }
    case 3: { // what a bank does: CBAR and CBA2R
      unsigned bank = in.take(1) % 8;
      uint64_t cbar = in.take(3), cba2r = in.take(1);
      for (ims_iommu *x : u) {
        ims_iommu_write(x, page + IMS_SMMUV2_OFF_CBAR + 4 * bank, 4, cbar);
        ims_iommu_write(x, page + IMS_SMMUV2_OFF_CBA2R + 4 * bank, 4, cba2r);
      }
      break;
    }
    default: { // a request
      ims_request r = {};
      uint8_t kind = static_cast<uint8_t>(in.take(1));
      r.access = kind & 31;
      r.type = kind >> 5 == 7 ? IMS_TRANSLATION_REQUEST : kind >> 5 == 6 ? IMS_TRANSLATED : IMS_UNTRANSLATED;
      r.has_pasid = kind >> 5 == 5;
      r.source = static_cast<uint32_t>(in.take(1)) % 9;
      r.iova = in.take(8);
      ims_result a, b;
      ims_translate(u[0], &r, &a);
      step_through(u[1], r, &b);
      if (!same(a, b))
        wrong();
      check(u[0], a);
    }
    }
  }

  // Fresh units with the same registers answer as these do once their caches and faults are gone.
  ims_iommu *fresh = nullptr;
  if (ims_smmuv2_new(&fresh, &cfg, &mem[0], nullptr))
    wrong();
  ims_smmuv2_each(u[0], copy_register, fresh);
  ims_smmuv2_restored(fresh);
  ims_iommu_drop_caches(u[0]);
  for (unsigned sid = 0; sid < 8; sid++) {
    ims_request r = {};
    r.source = sid;
    r.iova = 0x1000 + sid * 8;
    r.access = IMS_ACC_R;
    ims_result a, b;
    ims_smmuv2_forget_faults(u[0]);
    ims_smmuv2_forget_faults(fresh);
    ims_translate(u[0], &r, &a);
    ims_translate(fresh, &r, &b);
    if (a.status != b.status || a.fault != b.fault || a.output != b.output || a.refs != b.refs)
      wrong();
  }
  ims_iommu_free(fresh);
  for (int i = 0; i < 2; i++) {
    ims_iommu_free(u[i]);
    ims_mem_fini(&mem[i]);
  }
  return 0;
}
