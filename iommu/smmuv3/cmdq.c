// SPDX-License-Identifier: Apache-2.0
// The command queue: Arm IHI 0070 3.5 (queues), chapter 4 (commands), 7.1 (errors).
//
// Where the architecture leaves a choice: reserved fields are ignored (4.1.5), prefetches fetch nothing (4.2), indexes that
// contradict each other stop the queue (3.5.1), an ATC_INV larger than everything is illegal (4.5.1).
#include "iommu/smmuv3/commands.h"
#include "iommu/smmuv3/smmuv3_internal.h"

enum { CERROR_ILL = 1, CERROR_ABT = 2, CERROR_ATC_INV_SYNC = 3 };

#define GET(c, field) ims_smmuv3_command_get(c, IMS_SMMUV3_COMMAND_##field##_FIELD)

static bool has(const struct smmuv3 *s, unsigned needs) {
  switch (needs) {
  case IMS_SMMUV3_NEEDS_NOTHING: return true;
  case IMS_SMMUV3_NEEDS_S1: return s->cfg.s1p;
  case IMS_SMMUV3_NEEDS_S2: return s->cfg.s2p;
  case IMS_SMMUV3_NEEDS_HYP: return s->cfg.hyp;
  case IMS_SMMUV3_NEEDS_ATS: return s->cfg.ats;
  case IMS_SMMUV3_NEEDS_PRI: return s->cfg.pri;
  case IMS_SMMUV3_NEEDS_STALLS: return s->cfg.stall_model != 1;
  default: return false; // not modelled, or of the Secure queue
  }
}

// The range of a TLBI (4.4.1.1). TTL128 is reserved without 128-bit descriptors. False: a reserved combination.
static bool pages(const struct smmuv3 *s, const uint64_t c[2], bool ipa, struct smmu_tlbi *t) {
  static const uint8_t page_shift[4] = {12, 12, 14, 16};
  t->tg = s->cfg.ril ? (uint8_t)GET(c, TG) : 0;
  t->ttl = t->tg ? (uint8_t)GET(c, TTL) : 0;
  t->leaf = GET(c, LEAF);
  t->addr = GET(c, ADDR) << 12 & (ipa ? IMS_REG_BITS(55, 12) : ~0ull);
  if (t->tg == 2 && t->ttl == 1 && !s->cfg.ds) // blocks of 16 KB tables at level 1 are of 52-bit addresses
    t->ttl = 0;
  if (!t->tg) {
    t->last = t->addr | 0xfff;
    return true;
  }
  uint64_t num = GET(c, NUM), scale = GET(c, SCALE) & (s->cfg.ds ? 63 : 31);
  if (!num && !scale && !t->ttl)
    return false;
  // At most 32 << 39 << 16 bytes: from the lower half of the address space that does not reach the upper. None wraps.
  uint64_t more = ((num + 1) << (scale > 39 ? 39 : scale) << page_shift[t->tg]) - 1;
  t->last = more > ~t->addr ? ~0ull : t->addr + more;
  return true;
}

// The numbers that a legal command needs beyond single fields.
struct decoded {
  const struct ims_smmuv3_command_info *info;
  struct smmu_tlbi tlbi;
};

static bool decode(const struct smmuv3 *s, const uint64_t c[2], struct decoded *d) {
  *d = (struct decoded){.info = ims_smmuv3_command_find((unsigned)GET(c, OP))};
  const struct ims_smmuv3_command_info *info = d->info;
  if (!info || !has(s, info->needs))
    return false;
  if (info->fields & IMS_SMMUV3_CF(SSEC) && GET(c, SSEC))
    return false;
  if (info->fields & IMS_SMMUV3_CF(VMID))
    d->tlbi.vmid = (uint16_t)GET(c, VMID);
  if (info->fields & IMS_SMMUV3_CF(ASID))
    d->tlbi.asid = (uint16_t)GET(c, ASID);
  if (info->fields & IMS_SMMUV3_CF(TG))
    return pages(s, c, info->opcode == IMS_SMMUV3_CMD_TLBI_S2_IPA, &d->tlbi);
  switch (info->opcode) {
  case IMS_SMMUV3_CMD_SYNC: return GET(c, CS) != 3;
  case IMS_SMMUV3_CMD_PRI_RESP: return GET(c, RESP) != 3;
  case IMS_SMMUV3_CMD_ATC_INV: return GET(c, SIZE) <= 52;
  default: return true;
  }
}

static void cfgi_range(struct smmuv3 *s, const uint64_t c[2]) {
  uint64_t more = (2ull << GET(c, RANGE)) - 1;
  uint32_t first = (uint32_t)(GET(c, SID) & ~more);
  smmu_cfgi_ste(s, first, first | (uint32_t)more);
}

// 4.5.1. That the device has done it is known at the next SYNC.
static void atc_inv(struct smmuv3 *s, const uint64_t c[2]) {
  uint64_t shift = 12 + GET(c, SIZE);
  uint64_t low = shift >= 64 ? ~0ull : (1ull << shift) - 1;
  bool pasid = GET(c, SSV) && s->cfg.ssidsize;
  struct ims_ats_invalidation inv = {.source = (uint32_t)GET(c, SID),
                                     .pasid = pasid ? (uint32_t)GET(c, SSID) : 0,
                                     .has_pasid = pasid,
                                     .all_pasids = pasid && GET(c, GLOBAL),
                                     .addr = GET(c, ADDR) << 12 & ~low};
  inv.last = inv.addr | low;
  if (s->base.bus.ats_invalidate && !s->base.bus.ats_invalidate(s->base.bus.ctx, &inv))
    s->atc_timed_out = true;
}

static void pri_resp(struct smmuv3 *s, const uint64_t c[2]) {
  static const uint8_t code[3] = {15, 1, 0}; // PCIe: response failure, invalid request, success
  bool pasid = GET(c, SSV) && s->cfg.ssidsize;
  struct ims_page_response resp = {.source = (uint32_t)GET(c, SID),
                                   .pasid = pasid ? (uint32_t)GET(c, SSID) : 0,
                                   .has_pasid = pasid,
                                   .group = (uint16_t)GET(c, PRG),
                                   .code = code[GET(c, RESP)]};
  if (s->base.bus.page_response)
    s->base.bus.page_response(s->base.bus.ctx, &resp);
}

static void resume(struct smmuv3 *s, const uint64_t c[2]) {
  enum ims_resume_action terminate = GET(c, AB) || s->cfg.term_model ? IMS_RESUME_ABORT : IMS_RESUME_ZERO;
  smmu_resume(s, (uint32_t)GET(c, SID), (uint16_t)GET(c, STAG), GET(c, AC) ? IMS_RESUME_RETRY : terminate);
}

// The signal of a SYNC: a message, which software may poll for in memory. Wired interrupts and events have no receiver.
static void sync_done(struct smmuv3 *s, const uint64_t c[2]) {
  enum { NONE, IRQ, SEV };
  bool signals = GET(c, CS) == IRQ && s->cfg.msi;
  if (signals && !smmu_message(s, GET(c, MSIADDR) << 2, (uint32_t)GET(c, MSIDATA)))
    smmu_gerror(s, IMS_SMMUV3_BITS(GERROR_MSI_CMDQ_ABT));
}

static void execute(struct smmuv3 *s, const uint64_t c[2], const struct decoded *d) {
  uint32_t sid = (uint32_t)GET(c, SID);
  bool enabled = SMMU_FIELD(s, CR0, SMMUEN);
  switch (d->info->opcode) {
  case IMS_SMMUV3_CMD_PREFETCH_CONFIG:
  case IMS_SMMUV3_CMD_PREFETCH_ADDR: break;
  case IMS_SMMUV3_CMD_CFGI_STE: smmu_cfgi_ste(s, sid, sid); break;
  case IMS_SMMUV3_CMD_CFGI_STE_RANGE: cfgi_range(s, c); break;
  case IMS_SMMUV3_CMD_CFGI_CD: smmu_cfgi_cd(s, sid, (uint32_t)GET(c, SSID)); break;
  case IMS_SMMUV3_CMD_CFGI_CD_ALL: smmu_cfgi_cd_all(s, sid); break;
  case IMS_SMMUV3_CMD_ATC_INV:
    if (enabled)
      atc_inv(s, c);
    break;
  case IMS_SMMUV3_CMD_PRI_RESP:
    if (enabled)
      pri_resp(s, c);
    break;
  case IMS_SMMUV3_CMD_RESUME: resume(s, c); break;
  case IMS_SMMUV3_CMD_STALL_TERM: smmu_stall_term(s, sid); break;
  case IMS_SMMUV3_CMD_SYNC: sync_done(s, c); break;
  default: smmu_tlbi(s, d->info->opcode, &d->tlbi); break;
  }
}

static void command_error(struct smmuv3 *s, unsigned code) {
  SMMU_REG(s, CMDQ_CONS) =
      (SMMU_REG(s, CMDQ_CONS) & ~IMS_SMMUV3_BITS(CMDQ_CONS_ERR)) | IMS_SMMUV3_PUT(CMDQ_CONS_ERR, code);
  smmu_gerror(s, IMS_SMMUV3_BITS(GERROR_CMDQ_ERR));
}

// The queue as the registers describe it now.
struct queue {
  unsigned log2;
  uint32_t rd, used; // used > 2^log2: the indexes contradict each other
};

static struct queue queue_of(const struct smmuv3 *s) {
  unsigned n = smmu_queue_log2(SMMU_REG(s, CMDQ_BASE), s->cfg.cmdqs);
  return (struct queue){.log2 = n,
                        .rd = (uint32_t)SMMU_REG(s, CMDQ_CONS) & smmu_queue_mask(n),
                        .used = smmu_queue_used(SMMU_REG(s, CMDQ_PROD), SMMU_REG(s, CMDQ_CONS), n)};
}

static bool runs(const struct smmuv3 *s, const struct queue *q) {
  uint64_t errors = SMMU_REG(s, GERROR) ^ SMMU_REG(s, GERRORN);
  return SMMU_FIELD(s, CR0, CMDQEN) && !(errors & IMS_SMMUV3_BITS(GERROR_CMDQ_ERR)) && q->used &&
         q->used <= 1u << q->log2;
}

enum { COMMAND_BYTES = 16 };

static uint64_t head(const struct smmuv3 *s, const struct queue *q) {
  return smmu_queue_base(SMMU_REG(s, CMDQ_BASE), q->log2, COMMAND_BYTES) +
         (q->rd & ((1u << q->log2) - 1)) * (uint64_t)COMMAND_BYTES;
}

// The command at the head, or why there is none: 0 or an error.
static unsigned fetch(struct smmuv3 *s, const struct queue *q, uint64_t c[2], struct decoded *d) {
  if (ims_mem_read(s->base.mem, head(s, q), c, COMMAND_BYTES) != IMS_ERR_OK)
    return CERROR_ABT;
  if (!decode(s, c, d))
    return CERROR_ILL;
  return d->info->opcode == IMS_SMMUV3_CMD_SYNC && s->atc_timed_out ? CERROR_ATC_INV_SYNC : 0;
}

static unsigned kind_of(unsigned opcode) {
  switch (opcode) {
  case IMS_SMMUV3_CMD_PREFETCH_CONFIG:
  case IMS_SMMUV3_CMD_PREFETCH_ADDR: return IMS_QUEUE_OTHER;
  case IMS_SMMUV3_CMD_ATC_INV: return IMS_QUEUE_DEVICE_TLB;
  case IMS_SMMUV3_CMD_PRI_RESP:
  case IMS_SMMUV3_CMD_RESUME:
  case IMS_SMMUV3_CMD_STALL_TERM: return IMS_QUEUE_RESPONSE;
  case IMS_SMMUV3_CMD_SYNC: return IMS_QUEUE_WAIT;
  default: return IMS_QUEUE_INVALIDATE;
  }
}

bool smmu_queue_next(struct ims_iommu *u, struct ims_queue_item *item) {
  struct smmuv3 *s = smmu_of(u);
  struct queue q = queue_of(s);
  uint64_t c[2];
  struct decoded d;
  if (!runs(s, &q))
    return false;
  unsigned kind = fetch(s, &q, c, &d) ? (unsigned)IMS_QUEUE_OTHER : kind_of(d.info->opcode);
  *item = (struct ims_queue_item){.kind = (uint8_t)kind, .len = COMMAND_BYTES, .hpa = head(s, &q)};
  return true;
}

// One command. The read index moves before it takes effect, so that whoever is told sees it as consumed (3.18); after an
// error it stays (7.1).
void smmu_queue_step(struct ims_iommu *u) {
  struct smmuv3 *s = smmu_of(u);
  struct queue q = queue_of(s);
  uint64_t c[2];
  struct decoded d;
  if (s->cmdq_running || !runs(s, &q))
    return;
  s->cmdq_running = true;
  unsigned error = fetch(s, &q, c, &d);
  if (error) {
    if (error == CERROR_ATC_INV_SYNC)
      s->atc_timed_out = false; // told once: the SYNC may be repeated (3.9.1.4)
    command_error(s, error);
  } else {
    uint64_t next = (q.rd + 1) & smmu_queue_mask(q.log2);
    SMMU_REG(s, CMDQ_CONS) = (SMMU_REG(s, CMDQ_CONS) & ~IMS_SMMUV3_BITS(CMDQ_CONS_RD)) | next;
    execute(s, c, &d);
  }
  s->cmdq_running = false;
}

// What a command sets off may write registers: they are looked at anew for each one.
void smmu_cmdq_run(struct smmuv3 *s) {
  if (s->cmdq_running)
    return;
  for (struct queue q = queue_of(s); !s->base.queue_held && runs(s, &q); q = queue_of(s))
    smmu_queue_step(&s->base);
}
