// SPDX-License-Identifier: Apache-2.0
// What the drivers of SMMUv3 and SMMUv2 share: the translation tables that the host makes for its devices, and the page that
// interrupt messages go to. Arm DDI 0487, D8.2; Linux 7.x, io-pgtable-arm.c.
#include "uapi/kernel_internal.h"

bool ims_arm_granule(const struct ims_kernel *k, const bool has[3], uint8_t *granule) {
  unsigned cpu = k->cfg.cpu_format == IMS_CPU_X86_64 ? 0 : k->cfg.cpu_format - IMS_CPU_ARM_4K;
  for (unsigned g = cpu + 1; g-- > 0;)
    if (has[g]) {
      *granule = (uint8_t)g;
      return true;
    }
  for (unsigned g = cpu; g < 3; g++)
    if (has[g]) {
      *granule = (uint8_t)g;
      return true;
    }
  return false;
}

bool ims_arm_paging_format(enum ims_granule granule, unsigned in_bits, unsigned out_bits, unsigned max_levels, bool s2,
                           bool nest, bool xnx, bool fwb, struct paging *out) {
  *out = (struct paging){.nest = nest, .s1 = !s2, .snoop = true};
  ims_vmsa_format(&out->fmt, s2 ? IMS_PGT_VMSA_S2 : IMS_PGT_VMSA_S1, granule, false, false, xnx);
  struct ims_pgt *p = &out->pgt;
  p->out_bits = (uint8_t)out_bits;
  p->sh = 3;
  if (!s2) {
    p->in_bits = (uint8_t)in_bits;
    p->levels = (uint8_t)ims_vmsa_s1_levels(granule, in_bits);
    p->mair = IMS_ARM_MAIR;
    // Devices are unprivileged; nothing keeps them from executing.
    out->map_flags = IMS_MAP_A | IMS_MAP_NG;
    out->map_perm = IMS_PERM_U | IMS_PERM_X | IMS_PERM_PX;
    return true;
  }
  // As few levels as sixteen concatenated tables permit, and no more than is wanted; a smaller space then.
  for (unsigned levels = 1; levels <= max_levels && levels <= 4; levels++) {
    unsigned reach = out->fmt.shift[levels] + out->fmt.index_bits + 4;
    bool last = levels == max_levels || levels == 4;
    unsigned bits = reach < in_bits ? reach : in_bits;
    if ((reach < in_bits && !last) || !ims_vmsa_s2_consistent(granule, levels, bits, out_bits))
      continue;
    p->levels = (uint8_t)levels;
    p->in_bits = (uint8_t)bits;
    p->flags = fwb ? (uint32_t)IMS_PGT_FWB : 0;
    out->map_flags = IMS_MAP_A;
    out->map_perm = IMS_PERM_U | IMS_PERM_X | IMS_PERM_PX;
    return true;
  }
  return false;
}

// A message is a write to memory: the page of the doorbell must not be given out, where there is memory behind it at all.
int ims_doorbell_reserve(struct ims_kernel *k) {
  struct ims_page_pool *pool = &k->pool;
  uint64_t page = (k->cfg.msi_doorbell - pool->base) >> IMS_PAGE_SHIFT;
  if (k->cfg.msi_doorbell < pool->base || page >= pool->size >> IMS_PAGE_SHIFT || k->doorbell_reserved)
    return IMS_ERR_OK;
  if (pool->used[page / 64] >> page % 64 & 1)
    return IMS_ERR_NOSPACE;
  pool->used[page / 64] |= 1ull << page % 64;
  k->doorbell_reserved = true;
  return IMS_ERR_OK;
}
