// SPDX-License-Identifier: Apache-2.0
// VT-d second-stage tables: which bits are reserved at which level.
// VT-d rev 4.1, 3.7 (second-stage translation) and 9.8 ff. (second-stage paging entries).
#include "pgtable/format.h"

#define BITS(hi, lo) ((~0ull >> (63 - (hi))) & (~0ull << (lo)))

void ims_vtd_ss_format(struct ims_pgt_format *f, unsigned haw, bool mb2, bool gb1, bool snp, bool exec) {
  uint64_t above = (haw < 52 ? BITS(51, haw) : 0) | IMS_SS_TM;
  uint64_t table = above | IMS_SS_SNP; // SNP has no meaning in a table entry
  uint64_t leaf = above | (snp ? 0 : IMS_SS_SNP);
  *f = (struct ims_pgt_format){
      .kind = IMS_PGT_VTD_SS,
      .page_shift = 12,
      .shift = {0, 12, 21, 30, 39, 48},
      .index_bits = 9,
      .leaf_levels = (uint8_t)(1u << 1 | (mb2 ? 1u << 2 : 0) | (gb1 ? 1u << 3 : 0)),
      .addr_mask = BITS(51, 12),
      .present_mask = IMS_SS_R | IMS_SS_W | (exec ? IMS_SS_X : 0),
      .rsvd_table = {0, table, table, table, table, table},
      .rsvd_leaf = {0, leaf, leaf | BITS(20, 12), leaf | BITS(29, 12), leaf | IMS_SS_PS, leaf | IMS_SS_PS},
  };
  if (!mb2)
    f->rsvd_leaf[2] |= IMS_SS_PS;
  if (!gb1)
    f->rsvd_leaf[3] |= IMS_SS_PS;
}
