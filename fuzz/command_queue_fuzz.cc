// SPDX-License-Identifier: Apache-2.0
// Fuzz target: an SMMUv3 whose command queue and registers the input drives. Each operation is a byte and what it needs:
// commands into the queue, register writes of either size on both pages, translations, page requests. Whatever comes, the
// read index stays within the queue, an error leaves it where it stopped, and the unit answers at the end as a fresh one.
#include "fuzz/fuzz.h"
#include "iommu/smmuv3/smmuv3.h"

#include <initializer_list>

namespace {

using fuzz::Input, fuzz::wrong;

constexpr uint64_t kStreams = 0x2000, kCommands = 0x10000, kEvents = 0x20000, kRequests = 0x30000, kSize = 0x40000;
constexpr unsigned kLog2 = 4;

uint32_t get(ims_iommu *u, uint32_t offset) { return static_cast<uint32_t>(ims_iommu_read(u, offset, 4)); }

bool answer(void *ctx, const ims_ats_invalidation *inv) {
  if (inv->addr > inv->last)
    wrong();
  return (++*static_cast<unsigned *>(ctx) & 7) != 0;
}

void check(ims_iommu *u) {
  uint32_t prod = get(u, IMS_SMMUV3_OFF_CMDQ_PROD), cons = get(u, IMS_SMMUV3_OFF_CMDQ_CONS);
  uint32_t active = get(u, IMS_SMMUV3_OFF_GERROR) ^ get(u, IMS_SMMUV3_OFF_GERRORN);
  unsigned log2 = static_cast<unsigned>(ims_iommu_read(u, IMS_SMMUV3_OFF_CMDQ_BASE, 8)) & 31;
  uint32_t mask = (2u << (log2 < 10 ? log2 : 10)) - 1;
  bool on = get(u, IMS_SMMUV3_OFF_CR0ACK) >> 3 & 1;
  uint32_t used = (prod - cons) & mask;
  if (on && !(active & 1) && used && used <= (mask + 1) / 2) // indexes further apart than the queue is long say nothing
    wrong();                                                 // a queue that runs is empty when nobody is looking
  fuzz::check_caches(u);
  // Stalls are told apart.
  ims_smmuv3_stalled one, other;
  for (unsigned i = 0; i < 8 && ims_smmuv3_stalled_at(u, i, &one); i++)
    for (unsigned j = 0; j < i && ims_smmuv3_stalled_at(u, j, &other); j++)
      if (one.stag == other.stag)
        wrong();
}

void set_up(ims_iommu *u) {
  ims_iommu_write(u, IMS_SMMUV3_OFF_STRTAB_BASE, 8, kStreams);
  ims_iommu_write(u, IMS_SMMUV3_OFF_STRTAB_BASE_CFG, 4, 4); // 16 streams, linear
  ims_iommu_write(u, IMS_SMMUV3_OFF_CMDQ_BASE, 8, kCommands | kLog2);
  ims_iommu_write(u, IMS_SMMUV3_OFF_EVENTQ_BASE, 8, kEvents | kLog2);
  ims_iommu_write(u, IMS_SMMUV3_OFF_PRIQ_BASE, 8, kRequests | kLog2);
  ims_iommu_write(u, IMS_SMMUV3_OFF_IRQ_CTRL, 4, 7);
  ims_iommu_write(u, IMS_SMMUV3_OFF_CR0, 4, 0x1f);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  Input in = {data, size};
  ims_smmuv3_config cfg;
  ims_smmuv3_config_default(&cfg);
  uint8_t shape = static_cast<uint8_t>(in.take(1));
  cfg.stall_model = shape & 1 ? 2 : 0;
  cfg.stall_max = 2;
  cfg.ril = shape >> 1 & 1;
  cfg.hyp = shape >> 2 & 1;
  cfg.merge_events = shape >> 3 & 1;
  cfg.ste_entries = cfg.cd_entries = cfg.iotlb_entries = shape >> 5 & 1 ? 3 : 16;
  cfg.ipa_entries = cfg.s1_walk_entries = cfg.s2_walk_entries = shape >> 6 & 1 ? 2 : 8;
  cfg.replacement = shape >> 6;

  ims_mem mem;
  ims_mem_init(&mem);
  if (ims_mem_add_ram(&mem, 0, kSize))
    wrong();
  unsigned answers = 0;
  ims_iommu_bus bus = {};
  bus.ctx = &answers;
  bus.ats_invalidate = answer;
  ims_iommu *u = nullptr;
  if (ims_smmuv3_new(&u, &cfg, &mem, &bus))
    wrong();
  set_up(u);

  while (!in.empty()) {
    switch (in.take(1) % 8) {
    case 0: { // a command at the write index, and the index moved
      uint64_t base = ims_iommu_read(u, IMS_SMMUV3_OFF_CMDQ_BASE, 8);
      unsigned log2 = static_cast<unsigned>(base & 31);
      uint32_t prod = get(u, IMS_SMMUV3_OFF_CMDQ_PROD), count = 1u << (log2 < 10 ? log2 : 10);
      uint64_t command[2] = {in.take(8), in.take(8)};
      ims_mem_write(&mem, (base & 0xffffffffffe0) + (prod & (count - 1)) * 16ull, command, sizeof command);
      ims_iommu_write(u, IMS_SMMUV3_OFF_CMDQ_PROD, 4, (prod + 1) & (2 * count - 1));
      break;
    }
    case 1: { // a register of either page
      uint64_t where = in.take(2);
      uint32_t offset = (static_cast<uint32_t>(where) & 0xfff) | (where >> 15 ? 0x10000u : 0);
      unsigned bytes = in.take(1) & 1 ? 8 : 4;
      ims_iommu_write(u, offset & ~(bytes - 1), bytes, in.take(bytes));
      ims_iommu_read(u, offset & ~(bytes - 1), bytes);
      break;
    }
    case 2: // memory
      ims_mem_store64(&mem, in.take(3) % (kSize - 8), in.take(8));
      break;
    case 3:
    case 4: {
      ims_request r = {};
      uint8_t kind = static_cast<uint8_t>(in.take(1));
      r.access = kind & 31;
      r.type = (kind >> 5) % 3;
      r.has_pasid = in.take(1) & 1;
      r.source = static_cast<uint32_t>(in.take(1));
      r.pasid = static_cast<uint32_t>(in.take(3)) & 0xfffff;
      r.iova = in.take(8);
      ims_result res;
      ims_translate(u, &r, &res);
      if (res.status == IMS_STATUS_FAULT && !ims_smmuv3_event_find(res.fault))
        wrong();
      break;
    }
    case 5: {
      ims_page_request r = {};
      r.source = static_cast<uint32_t>(in.take(1));
      r.pasid = static_cast<uint32_t>(in.take(3)) & 0xfffff;
      uint8_t bits = static_cast<uint8_t>(in.take(1));
      r.has_pasid = bits & 1, r.last = bits & 2, r.read = bits & 4, r.write = bits & 8;
      r.addr = in.take(8);
      ims_request_page(u, &r);
      break;
    }
    case 6: // repair: a CMD_SYNC in the place of what is wrong, and acknowledge
      ims_iommu_write(u, IMS_SMMUV3_OFF_GERRORN, 4, get(u, IMS_SMMUV3_OFF_GERROR));
      break;
    default: // the command queue off and on, or the event queue read
      if (in.take(1) & 1)
        ims_iommu_write(u, IMS_SMMUV3_OFF_CR0, 4, get(u, IMS_SMMUV3_OFF_CR0) ^ 8);
      else
        ims_iommu_write(u, IMS_SMMUV3_OFF_EVENTQ_CONS, 4, get(u, IMS_SMMUV3_OFF_EVENTQ_PROD));
    }
    check(u);
  }

  // After all that, power-on caches and the tables anew: what it answers is what a fresh unit answers.
  ims_iommu *fresh = nullptr;
  if (ims_smmuv3_new(&fresh, &cfg, &mem, nullptr))
    wrong();
  ims_result answers_of[2];
  unsigned n = 0;
  for (ims_iommu *x : {u, fresh}) {
    ims_iommu_write(x, IMS_SMMUV3_OFF_CR0, 4, 0);
    ims_iommu_write(x, IMS_SMMUV3_OFF_CR2, 4, 0);
    ims_iommu_write(x, IMS_SMMUV3_OFF_STRTAB_BASE, 8, kStreams);
    ims_iommu_write(x, IMS_SMMUV3_OFF_STRTAB_BASE_CFG, 4, 4);
    ims_iommu_write(x, IMS_SMMUV3_OFF_CR0, 4, 1);
    ims_iommu_drop_caches(x);
    ims_request r = {};
    r.source = 3;
    r.iova = 0x12345678;
    r.access = IMS_ACC_R;
    ims_translate(x, &r, &answers_of[n++]);
  }
  const ims_result &a = answers_of[0], &b = answers_of[1];
  if (a.fault != b.fault || a.output != b.output || a.refs != b.refs)
    wrong();
  ims_iommu_free(fresh);
  ims_iommu_free(u);
  ims_mem_fini(&mem);
  return 0;
}
