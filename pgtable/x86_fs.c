// SPDX-License-Identifier: Apache-2.0
// x86-64 first-stage tables: which bits are reserved at which level.
// VT-d rev 4.1, 3.6 (first-stage translation) and 9.7 ff. (first-stage paging entries).
#include "pgtable/format.h"

#define BITS(hi, lo) ((~0ull >> (63 - (hi))) & (~0ull << (lo)))

void ims_x86_fs_format(struct ims_pgt_format *f, unsigned haw, bool gb_pages, bool xd_rsvd) {
  uint64_t above = haw < 52 ? BITS(51, haw) : 0;
  if (xd_rsvd)
    above |= IMS_FS_XD;
  *f = (struct ims_pgt_format){
      .kind = IMS_PGT_X86_FS,
      .page_shift = 12,
      .shift = {0, 12, 21, 30, 39, 48},
      .index_bits = 9,
      .leaf_levels = (uint8_t)(1u << 1 | 1u << 2 | (gb_pages ? 1u << 3 : 0)),
      .addr_mask = BITS(51, 12),
      .present_mask = IMS_FS_P,
      .rsvd_table = {0, above, above, above, above, above},
      .rsvd_leaf = {0, above, above | BITS(20, 13), above | BITS(29, 13), above | IMS_FS_PS, above | IMS_FS_PS},
  };
  if (!gb_pages)
    f->rsvd_leaf[3] |= IMS_FS_PS;
}
