// SPDX-License-Identifier: Apache-2.0
// The event queue, global errors, and interrupts. Arm IHI 0070, 3.5 (queues), 3.18 (interrupts), 7.2 (recording), 7.3.1
// (merging), 7.4 (overflow), 7.5 (global errors).
#include "iommu/smmuv3/smmuv3_internal.h"

enum { EVENT_BYTES = 32 };

// There are no wired interrupts: without IDR0.MSI, or with address 0, nobody is told. Register and command fields for
// addresses are truncated to the output size (3.4.3), so no message aborts for its address being too large.
bool smmu_message(struct smmuv3 *s, uint64_t addr, uint32_t data) {
  addr &= IMS_REG_BITS(s->oas - 1, 2);
  if (!s->cfg.msi || !addr)
    return true;
  bool taken = ims_mem_write(s->base.mem, addr, &data, sizeof data) == IMS_ERR_OK || s->base.bus.message;
  if (s->base.bus.message)
    s->base.bus.message(s->base.bus.ctx, addr, data);
  return taken;
}

void smmu_interrupt(struct smmuv3 *s, enum ims_smmuv3_reg cfg0, uint64_t enable, uint64_t aborted) {
  if ((SMMU_REG(s, IRQ_CTRLACK) & enable) && !smmu_message(s, s->regs.reg[cfg0], (uint32_t)s->regs.reg[cfg0 + 1]))
    smmu_gerror(s, aborted);
}

void smmu_gerror(struct smmuv3 *s, uint64_t errors) {
  uint64_t inactive = errors & ~(SMMU_REG(s, GERROR) ^ SMMU_REG(s, GERRORN));
  SMMU_REG(s, GERROR) ^= inactive;
  if (inactive & ~IMS_SMMUV3_BITS(GERROR_MSI_GERROR_ABT)) // 7.5.1: its own message would abort again
    smmu_interrupt(s, IMS_SMMUV3_GERROR_IRQ_CFG0, IMS_SMMUV3_BITS(IRQ_CTRL_GERROR_IRQEN),
                   IMS_SMMUV3_BITS(GERROR_MSI_GERROR_ABT));
}

static bool accepts(const struct smmuv3 *s) {
  return (SMMU_REG(s, CR0ACK) & IMS_SMMUV3_BITS(CR0_EVENTQEN)) &&
         !((SMMU_REG(s, GERROR) ^ SMMU_REG(s, GERRORN)) & IMS_SMMUV3_BITS(GERROR_EVENTQ_ABT));
}

static unsigned log2_size(const struct smmuv3 *s) { return smmu_queue_log2(SMMU_REG(s, EVENTQ_BASE), s->cfg.eventqs); }
static uint32_t used(const struct smmuv3 *s) {
  return smmu_queue_used(SMMU_REG(s, EVENTQ_PROD), SMMU_REG(s, EVENTQ_CONS), log2_size(s));
}
static bool full(const struct smmuv3 *s) { return used(s) >> log2_size(s); }

static uint64_t place(const struct smmuv3 *s, uint32_t index) {
  unsigned n = log2_size(s);
  uint64_t offset = (uint64_t)(index & ((1u << n) - 1)) * EVENT_BYTES;
  return (smmu_queue_base(SMMU_REG(s, EVENTQ_BASE), n, EVENT_BYTES) + offset) & IMS_REG_BITS(s->oas - 1, 0); // 3.4.3
}

// The bytes of the next record, into a queue that has room. False: the write aborted, synchronously (7.2.2): the index
// stays, and software sees only what was written.
static bool put(struct smmuv3 *s, const uint64_t record[4]) {
  if (ims_mem_write(s->base.mem, place(s, (uint32_t)SMMU_REG(s, EVENTQ_PROD)), record, EVENT_BYTES) == IMS_ERR_OK)
    return true;
  smmu_gerror(s, IMS_SMMUV3_BITS(GERROR_EVENTQ_ABT));
  return false;
}

static void publish(struct smmuv3 *s) {
  uint32_t mask = smmu_queue_mask(log2_size(s));
  uint64_t prod = SMMU_REG(s, EVENTQ_PROD);
  bool empty = !used(s);
  SMMU_REG(s, EVENTQ_PROD) = (prod & IMS_SMMUV3_BITS(EVENTQ_PROD_OVFLG)) | ((prod + 1) & mask);
  if (empty)
    smmu_interrupt(s, IMS_SMMUV3_EVENTQ_IRQ_CFG0, IMS_SMMUV3_BITS(IRQ_CTRL_EVENTQ_IRQEN),
                   IMS_SMMUV3_BITS(GERROR_MSI_EVENTQ_ABT));
}

// Whether the newest unread record stands for this one too (7.3.1). The records themselves are all that is remembered;
// older ones are not looked at, since merging is for what comes in quick succession.
static bool merges(struct smmuv3 *s, const uint64_t record[4]) {
  const struct ims_smmuv3_event_info *info = ims_smmuv3_event_find(record[0] & 0xff);
  uint64_t last[4];
  if (!info || !used(s) ||
      ims_mem_read(s->base.mem, place(s, (uint32_t)SMMU_REG(s, EVENTQ_PROD) - 1), last, sizeof last))
    return false;
  bool has_input = info->fields & 1u << IMS_SMMUV3_EVENT_INPUT_FIELD;
  bool whole = info->number == IMS_SMMUV3_F_UUT || info->number == IMS_SMMUV3_F_BAD_ATS_TREQ;
  uint64_t ignored = has_input && !whole ? 0xfff : 0;
  return last[0] == record[0] && last[1] == record[1] && !((last[2] ^ record[2]) & ~ignored) && last[3] == record[3];
}

void smmu_event(struct smmuv3 *s, const uint64_t record[4], bool mev) {
  const struct ims_smmuv3_event_info *info = ims_smmuv3_event_find(record[0] & 0xff);
  bool stall = info && info->fields & 1u << IMS_SMMUV3_EVENT_STALL_FIELD &&
               ims_smmuv3_event_get(record, IMS_SMMUV3_EVENT_STALL_FIELD);
  if (stall) {
    struct smmu_stall *w = &s->stall[ims_smmuv3_event_get(record, IMS_SMMUV3_EVENT_STAG_FIELD)];
    w->epoch = s->base.epoch;
    memcpy(w->record, record, sizeof w->record);
    w->unrecorded = !accepts(s) || full(s) || !put(s, record);
    if (!w->unrecorded)
      publish(s);
    return;
  }
  if (!accepts(s) || (mev && s->cfg.merge_events && merges(s, record)))
    return;
  if (full(s)) {
    if (!((SMMU_REG(s, EVENTQ_PROD) ^ SMMU_REG(s, EVENTQ_CONS)) & IMS_SMMUV3_BITS(EVENTQ_PROD_OVFLG)))
      SMMU_REG(s, EVENTQ_PROD) ^= IMS_SMMUV3_BITS(EVENTQ_PROD_OVFLG);
  } else if (put(s, record)) {
    publish(s);
  }
}

static struct smmu_stall *oldest_unrecorded(struct smmuv3 *s) {
  struct smmu_stall *oldest = NULL;
  for (uint32_t i = 0; i < s->cfg.stall_max; i++)
    if (s->stall[i].unrecorded && (!oldest || s->stall[i].when < oldest->when))
      oldest = &s->stall[i];
  return oldest;
}

// 7.2.1: a stalled request whose record has waited while something was invalidated is tried again, which either goes
// through or faults anew. Where no bus would do that, its first record stands. An aborted write loses nothing that waits.
// A record whose stall has ended is never written: its tag may name another by then.
void smmu_eventq_drain(struct smmuv3 *s) {
  if (s->eventq_draining || !s->stalled)
    return;
  s->eventq_draining = true; // software may answer an interrupt while the loop below still runs: it goes on by itself
  struct smmu_stall *w;
  while (accepts(s) && !full(s) && (w = oldest_unrecorded(s))) {
    if (w->epoch != s->base.epoch && s->base.bus.resume) {
      w->unrecorded = false;
      smmu_resume(s, w->source, (uint16_t)(w - s->stall), IMS_RESUME_RETRY);
    } else if (put(s, w->record)) {
      w->unrecorded = false;
      publish(s);
    }
  }
  s->eventq_draining = false;
}
