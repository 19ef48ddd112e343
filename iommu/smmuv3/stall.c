// SPDX-License-Identifier: Apache-2.0
// Transactions that wait after a fault: Arm IHI 0070 3.12.2 (stall model), 4.7.1 (CMD_RESUME), 4.7.2 (CMD_STALL_TERM). The
// transaction itself stays with the device that sent it; the unit keeps its StreamID under the STAG.
#include "iommu/smmuv3/smmuv3_internal.h"

bool smmu_stall(struct smmuv3 *s, uint32_t source, uint16_t *stag) {
  for (uint32_t i = 0; i < s->cfg.stall_max; i++) {
    if (s->stall[i].used)
      continue;
    s->stall[i] = (struct smmu_stall){.used = true, .source = source, .when = s->stalls++};
    s->stalled++;
    *stag = (uint16_t)i;
    return true;
  }
  return false;
}

// The STAG is free before the device hears of it: its request may stall again at once.
static void end_stall(struct smmuv3 *s, uint32_t stag, enum ims_resume_action action) {
  struct ims_resume r = {.source = s->stall[stag].source, .stag = (uint16_t)stag, .action = (uint8_t)action};
  s->stall[stag] = (struct smmu_stall){0};
  s->stalled--;
  if (s->base.bus.resume)
    s->base.bus.resume(s->base.bus.ctx, &r);
}

void smmu_resume(struct smmuv3 *s, uint32_t source, uint16_t stag, enum ims_resume_action action) {
  if (stag < s->cfg.stall_max && s->stall[stag].used && s->stall[stag].source == source)
    end_stall(s, stag, action);
}

// The oldest that waits, of one source or of any; cfg.stall_max: none.
static uint32_t oldest(const struct smmuv3 *s, const uint32_t *source, uint64_t from) {
  uint32_t found = s->cfg.stall_max;
  for (uint32_t i = 0; s->stalled && i < s->cfg.stall_max; i++) {
    const struct smmu_stall *st = &s->stall[i];
    if (st->used && st->when >= from && (!source || st->source == *source) &&
        (found == s->cfg.stall_max || st->when < s->stall[found].when))
      found = i;
  }
  return found;
}

// Those that wait now, oldest first. What stalls meanwhile, because a device goes on, is not among them.
static void terminate(struct smmuv3 *s, const uint32_t *source) {
  uint64_t end = s->stalls;
  for (;;) {
    uint32_t i = oldest(s, source, 0);
    if (i == s->cfg.stall_max || s->stall[i].when >= end)
      return;
    end_stall(s, i, IMS_RESUME_ABORT);
  }
}

void smmu_stall_term(struct smmuv3 *s, uint32_t source) { terminate(s, &source); }

void smmu_stall_end_all(struct smmuv3 *s) { terminate(s, NULL); }

bool ims_smmuv3_stalled_at(const struct ims_iommu *u, unsigned i, struct ims_smmuv3_stalled *out) {
  const struct smmuv3 *s = (const struct smmuv3 *)u;
  uint32_t stag = oldest(s, NULL, 0);
  for (; i && stag != s->cfg.stall_max; i--)
    stag = oldest(s, NULL, s->stall[stag].when + 1);
  if (stag == s->cfg.stall_max)
    return false;
  *out = (struct ims_smmuv3_stalled){.source = s->stall[stag].source, .stag = (uint16_t)stag};
  return true;
}
