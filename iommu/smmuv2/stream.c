// SPDX-License-Identifier: Apache-2.0
// From a stream id to its group: stream matching and stream indexing. Arm IHI 0062, stream identification.
#include "iommu/smmuv2/smmuv2_internal.h"

static bool matches(uint32_t smr, uint32_t s2cr, bool exid, uint32_t sid) {
  uint32_t id = exid ? smr & 0xffff : smr & 0x7fff;
  uint32_t mask = exid ? smr >> 16 : smr >> 16 & 0x7fff;
  bool valid = exid ? s2cr & IMS_SMMUV2_BITS(S2CR_EXIDVALID) : smr & IMS_SMMUV2_BITS(SMR_VALID);
  return valid && ((sid ^ id) & ~mask) == 0;
}

int smmu2_match(const struct smmuv2 *s, uint32_t sid) {
  if (!s->cfg.sms)
    return sid < s->groups ? (int)sid : SMMU2_UNMATCHED;
  bool exid = SMMU2_FIELD(s, sCR0, EXIDENABLE);
  int found = SMMU2_UNMATCHED;
  for (unsigned i = 0; i < s->groups; i++) {
    if (!matches(s->smr[i], s->s2cr[i], exid, sid))
      continue;
    if (found >= 0)
      return SMMU2_FIELD(s, sCR0, SMCFCFG) ? SMMU2_CONFLICT : found;
    found = (int)i;
  }
  return found;
}
