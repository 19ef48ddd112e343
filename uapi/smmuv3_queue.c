// SPDX-License-Identifier: Apache-2.0
// The command queue from software's side: commands (Arm IHI 0070, chapter 4), submission, completion of CMD_SYNC in memory or
// by the read index (4.7.3), errors of the queue (7.1). Like Linux, a CMD_SYNC that is told by a message has its own place
// in the queue as the message's address: its first word becomes 0 there.
#include "uapi/smmuv3_internal.h"

enum { CMD_BYTES = 16, CS_NONE = 0, CS_IRQ = 1, ALL_PAGES = 52 };
enum { CERROR_NONE = 0, CERROR_ILL = 1, CERROR_ABT = 2, CERROR_ATC = 3 };
enum { REFETCHES = 3 }; // after an aborted fetch

#define FIELD(name) IMS_SMMUV3_COMMAND_##name##_FIELD

// ---- Commands -------------------------------------------------------------------------------------------------------

struct v3_cmd ims_v3_cmd(unsigned opcode) {
  struct v3_cmd c = {{0}};
  ims_smmuv3_command_set(c.q, FIELD(OP), opcode);
  return c;
}

void ims_v3_cmd_set(struct v3_cmd *c, enum ims_smmuv3_command_field field, uint64_t value) {
  ims_smmuv3_command_set(c->q, field, value);
}

struct v3_cmd ims_v3_cfgi_ste(uint32_t sid, bool leaf) {
  struct v3_cmd c = ims_v3_cmd(IMS_SMMUV3_CMD_CFGI_STE);
  ims_v3_cmd_set(&c, FIELD(SID), sid);
  ims_v3_cmd_set(&c, FIELD(LEAF), leaf);
  return c;
}

struct v3_cmd ims_v3_cfgi_cd(uint32_t sid, uint32_t ssid, bool leaf) {
  struct v3_cmd c = ims_v3_cmd(IMS_SMMUV3_CMD_CFGI_CD);
  ims_v3_cmd_set(&c, FIELD(SID), sid);
  ims_v3_cmd_set(&c, FIELD(SSID), ssid);
  ims_v3_cmd_set(&c, FIELD(LEAF), leaf);
  return c;
}

struct v3_cmd ims_v3_tlbi(unsigned opcode, uint16_t vmid, uint16_t asid) {
  struct v3_cmd c = ims_v3_cmd(opcode);
  uint32_t fields = ims_smmuv3_command_find(opcode)->fields;
  if (fields & IMS_SMMUV3_CF(VMID))
    ims_v3_cmd_set(&c, FIELD(VMID), vmid);
  if (fields & IMS_SMMUV3_CF(ASID))
    ims_v3_cmd_set(&c, FIELD(ASID), asid);
  return c;
}

// 4.5.1. The span is a power of two of pages, aligned to itself.
struct v3_cmd ims_v3_atc_inv(const struct ims_device *dev, uint32_t ssid, uint64_t first, uint64_t last) {
  struct v3_cmd c = ims_v3_cmd(IMS_SMMUV3_CMD_ATC_INV);
  uint64_t differ = (first ^ last) >> IMS_PAGE_SHIFT;
  unsigned order = differ ? 64u - (unsigned)__builtin_clzll(differ) : 0;
  ims_v3_cmd_set(&c, FIELD(SID), dev->cfg.source);
  ims_v3_cmd_set(&c, FIELD(SSV), ssid != 0);
  ims_v3_cmd_set(&c, FIELD(GLOBAL), ssid == ~0u);
  ims_v3_cmd_set(&c, FIELD(SSID), ssid == ~0u ? 0 : ssid);
  ims_v3_cmd_set(&c, FIELD(SIZE), order < ALL_PAGES ? order : ALL_PAGES);
  ims_v3_cmd_set(&c, FIELD(ADDR), order < ALL_PAGES ? first >> (IMS_PAGE_SHIFT + order) << order : 0);
  return c;
}

// ---- The queue ------------------------------------------------------------------------------------------------------

int ims_v3_queue_init(struct host_unit *u) {
  return ims_pool_page(u->k, u->smmuv3.cmdq_log2 + 4u, &u->smmuv3.cmdq) ? -ENOMEM : 0;
}

static uint32_t entries(const struct host_unit *u) { return 1u << u->smmuv3.cmdq_log2; }
static uint32_t wrap(const struct host_unit *u, uint32_t i) { return i & (2 * entries(u) - 1); }
static uint64_t slot(const struct host_unit *u, uint32_t i) {
  return u->smmuv3.cmdq + (uint64_t)(i & (entries(u) - 1)) * CMD_BYTES;
}

static uint32_t room(const struct host_unit *u) { return entries(u) - wrap(u, u->smmuv3.prod - u->smmuv3.cons); }

static uint32_t read_index(struct host_unit *u) {
  return wrap(u, (uint32_t)IMS_SMMUV3_GET(V3_READ(u, CMDQ_CONS), CMDQ_CONS_RD));
}

static int put(struct host_unit *u, uint32_t i, const struct v3_cmd *c) {
  u->k->count.descriptors++;
  if (u->k->cfg.hooks.observe)
    ims_note(u->k, &(struct ims_note){.kind = IMS_NOTE_DESCRIPTOR,
                                      .arch = IMS_ARCH_SMMUV3,
                                      .unit = (uint16_t)u->index,
                                      .source = ~0u,
                                      .what = "command",
                                      .addr = slot(u, i),
                                      .words = 2,
                                      .bytes = CMD_BYTES,
                                      .word = {c->q[0], c->q[1]}});
  return ims_mem_write(u->k->mem, slot(u, i), c->q, CMD_BYTES);
}

// 7.1: the queue stands at the command in error until GERRORN says that software knows. 0: it goes on. -EINVAL: an illegal
// command was replaced by a CMD_SYNC. -EIO: the queue cannot be read.
static int queue_error(struct host_unit *u, unsigned *refetches) {
  uint64_t errors = V3_READ(u, GERROR) ^ V3_READ(u, GERRORN);
  if (!(errors & IMS_SMMUV3_BITS(GERROR_CMDQ_ERR)))
    return 0;
  uint64_t cons = V3_READ(u, CMDQ_CONS);
  unsigned code = (unsigned)IMS_SMMUV3_GET(cons, CMDQ_CONS_ERR);
  uint32_t at = wrap(u, (uint32_t)IMS_SMMUV3_GET(cons, CMDQ_CONS_RD));
  int result = 0;
  u->k->count.queue_errors++;
  ims_log(u->k, IMS_LOG_ERROR, u, "command queue error %u (%s) at command %u", code,
          code == CERROR_ILL   ? "illegal command"
          : code == CERROR_ABT ? "fetch aborted"
          : code == CERROR_ATC ? "a device did not answer an ATC invalidation"
                               : "unknown",
          at & (entries(u) - 1));
  if (code == CERROR_ILL) {
    struct v3_cmd sync = ims_v3_cmd(IMS_SMMUV3_CMD_SYNC);
    result = put(u, at, &sync) ? -EIO : -EINVAL;
  } else if (code == CERROR_ABT && ++*refetches > REFETCHES) {
    return -EIO; // acknowledging it would only bring it back
  }
  V3_WRITE(u, GERRORN, V3_READ(u, GERRORN) ^ IMS_SMMUV3_BITS(GERROR_CMDQ_ERR));
  return result;
}

static int wait_for_room(struct host_unit *u, int *refused) {
  unsigned refetches = 0;
  for (unsigned looks = 0; !room(u); looks++) {
    u->smmuv3.cons = read_index(u);
    if (room(u))
      break;
    int err = queue_error(u, &refetches);
    if (err == -EINVAL)
      *refused = err;
    if (err == -EIO || !ims_unit_relax(u, looks))
      return -ETIMEDOUT; // earlier commands are still there
  }
  return 0;
}

// As many at a time as there is room for. -EINVAL: one was refused meanwhile.
static int push(struct host_unit *u, const struct v3_cmd *c, unsigned n) {
  struct smmuv3_driver *v = &u->smmuv3;
  int refused = 0;
  while (n) {
    int err = wait_for_room(u, &refused);
    if (err)
      return err;
    unsigned fit = room(u) < n ? room(u) : n;
    for (unsigned i = 0; i < fit; i++)
      if (put(u, v->prod + i, &c[i]))
        return -EIO;
    v->prod = wrap(u, v->prod + fit);
    V3_WRITE(u, CMDQ_PROD, v->prod);
    c += fit;
    n -= fit;
  }
  return refused;
}

int ims_v3_send(struct host_unit *u, const struct v3_cmd *c, unsigned n) {
  if (u->k->units_gone)
    return -ENODEV;
  unsigned refetches = 0;
  int err = push(u, c, n);
  int bad = queue_error(u, &refetches);
  return err ? err : bad;
}

// Whether the CMD_SYNC at `at` has been consumed, `word` being the first one of its place as it was written.
static bool completed(struct host_unit *u, uint32_t at, uint32_t next) {
  if (u->smmuv3.msi) {
    uint32_t word = 1;
    return !ims_mem_read(u->k->mem, slot(u, at), &word, sizeof word) && !word;
  }
  u->smmuv3.cons = read_index(u);
  return wrap(u, u->smmuv3.cons - next) < entries(u); // it stands at or behind the next one
}

int ims_v3_submit(struct host_unit *u, const struct v3_cmd *c, unsigned n) {
  struct smmuv3_driver *v = &u->smmuv3;
  struct v3_cmd all[V3_BATCH_MAX + 1], *sync = &all[n];
  if (u->k->units_gone)
    return -ENODEV;
  memcpy(all, c, n * sizeof *c);
  *sync = ims_v3_cmd(IMS_SMMUV3_CMD_SYNC);
  uint32_t at = wrap(u, v->prod + n), next = wrap(u, at + 1);
  if (v->msi) {
    ims_v3_cmd_set(sync, FIELD(CS), CS_IRQ);
    ims_v3_cmd_set(sync, FIELD(MSH), 3);
    ims_v3_cmd_set(sync, FIELD(MSIATTR), 15);
    ims_v3_cmd_set(sync, FIELD(MSIADDR), slot(u, at) >> 2);
  }
  u->k->count.waits++;
  int result = push(u, all, n + 1);
  unsigned refetches = 0;
  for (unsigned looks = 0; !result || result == -EINVAL; looks++) {
    if (completed(u, at, next))
      break;
    int err = queue_error(u, &refetches);
    if (err)
      result = err;
    if (err == -EIO)
      return err;
    if (completed(u, at, next))
      break;
    if (!ims_unit_relax(u, looks)) {
      ims_log(u->k, IMS_LOG_ERROR, u, "CMD_SYNC does not complete");
      return -ETIMEDOUT;
    }
  }
  if (result && result != -EINVAL)
    return result;
  v->cons = next;
  if (u->k->cfg.hooks.observe)
    ims_note(u->k, &(struct ims_note){.kind = IMS_NOTE_COMPLETE,
                                      .arch = IMS_ARCH_SMMUV3,
                                      .unit = (uint16_t)u->index,
                                      .source = ~0u,
                                      .what = "CMD_SYNC",
                                      .addr = v->msi ? slot(u, at) : IMS_SMMUV3_OFF_CMDQ_CONS,
                                      .words = 1,
                                      .bytes = 4,
                                      .word = {v->msi ? 0 : next}});
  return result;
}

// The interrupt of global errors. An error of the command queue is whoever waits for it to see to; here only when nobody
// does.
void ims_v3_gerror(struct host_unit *u) {
  uint64_t errors = V3_READ(u, GERROR) ^ V3_READ(u, GERRORN);
  unsigned refetches = 0;
  if (errors & IMS_SMMUV3_BITS(GERROR_CMDQ_ERR))
    queue_error(u, &refetches);
  errors &= ~IMS_SMMUV3_BITS(GERROR_CMDQ_ERR);
  if (!errors)
    return;
  u->k->count.queue_errors++;
  ims_log(u->k, IMS_LOG_ERROR, u, "global error 0x%llx", (unsigned long long)errors);
  if (errors & IMS_SMMUV3_BITS(GERROR_EVENTQ_ABT))
    ims_log(u->k, IMS_LOG_ERROR, u, "event queue write aborted: events may have been lost");
  if (errors & IMS_SMMUV3_BITS(GERROR_PRIQ_ABT))
    ims_log(u->k, IMS_LOG_ERROR, u, "page request queue write aborted: requests may have been lost");
  V3_WRITE(u, GERRORN, V3_READ(u, GERROR));
}
