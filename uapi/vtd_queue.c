// SPDX-License-Identifier: Apache-2.0
// The invalidation queue from software's side: descriptors (VT-d rev 4.1, 6.5.2), submission, completion by a status
// word in memory, errors of the queue (6.5.2.10). The encodings are those of 6.5.2.1 to 6.5.2.11.
#include "uapi/vtd_internal.h"

enum { STATUS_IN_USE = 1, STATUS_DONE = 2, STATUS_ABORT = 3 };
enum { RESUBMISSIONS = 3 };
enum { WAIT = 5, WAIT_SW = 1 << 5, WAIT_FN = 1 << 6, WAIT_PD = 1 << 7 };

int ims_vtdd_queue_init(struct host_unit *u) {
  int err = ims_pool_page(u->k, u->vtd.width == 32 ? 13 : 12, &u->vtd.queue);
  if (!err)
    err = ims_pool_page(u->k, IMS_PAGE_SHIFT, &u->vtd.status);
  return err ? -ENOMEM : 0;
}

void ims_vtdd_queue_fini(struct host_unit *u) {
  if (u->vtd.queue)
    ims_pool_free(u->k, u->vtd.queue, u->vtd.width == 32 ? 13 : 12);
  if (u->vtd.status)
    ims_pool_free(u->k, u->vtd.status, IMS_PAGE_SHIFT);
  u->vtd.queue = u->vtd.status = 0;
}

static uint64_t slot_hpa(const struct host_unit *u, uint32_t i) { return u->vtd.queue + (uint64_t)i * u->vtd.width; }

static int put(struct host_unit *u, uint32_t i, const struct vtd_desc *d) {
  uint64_t words[4] = {d->q[0], d->q[1]};
  u->k->count.descriptors++;
  if (u->k->cfg.hooks.observe) {
    struct ims_note n = {.kind = IMS_NOTE_DESCRIPTOR,
                         .unit = (uint16_t)u->index,
                         .source = ~0u,
                         .what = "descriptor",
                         .addr = slot_hpa(u, i),
                         .words = (uint8_t)(u->vtd.width / 8),
                         .bytes = u->vtd.width,
                         .word = {words[0], words[1], words[2], words[3]}};
    ims_note(u->k, &n);
  }
  return ims_mem_write(u->k->mem, slot_hpa(u, i), words, u->vtd.width);
}

static int set_status(struct host_unit *u, uint32_t i, uint32_t value) {
  return ims_mem_write(u->k->mem, u->vtd.status + 4ull * i, &value, 4);
}

// What FSTS says while we wait for place `wait`. -EINVAL: a descriptor was refused; it has been replaced by a wait, so
// that the queue goes on. -EAGAIN: the wait was dropped with others when a device did not answer.
static int check_errors(struct host_unit *u, uint32_t wait, const struct vtd_desc *wait_desc) {
  uint32_t fsts = (uint32_t)VTD_READ(u, FSTS);
  if (fsts & IMS_VTD_BITS(FSTS_IQE)) {
    uint32_t head = (uint32_t)VTD_READ(u, IQH) / u->vtd.width;
    u->k->count.queue_errors++;
    ims_log(u->k, IMS_LOG_ERROR, u, "invalidation queue error %u at descriptor %u",
            (unsigned)IMS_VTD_GET(VTD_READ(u, IQERCD), IQERCD_IQEI), head);
    // The wait of the first attempt may stand behind it and be done twice; both write the same status.
    int bad = put(u, head, wait_desc);
    VTD_WRITE(u, FSTS, IMS_VTD_BITS(FSTS_IQE));
    return bad ? -EIO : -EINVAL;
  }
  if (fsts & IMS_VTD_BITS(FSTS_ITE)) {
    uint16_t source = (uint16_t)IMS_VTD_GET(VTD_READ(u, IQERCD), IQERCD_ITESID);
    u->k->count.queue_errors++;
    ims_log(u->k, IMS_LOG_ERROR, u, "invalidation time-out, device %02x:%02x.%x", source >> 8, source >> 3 & 31,
            source & 7);
    VTD_WRITE(u, FSTS, IMS_VTD_BITS(FSTS_ITE));
    uint32_t status = 0;
    ims_mem_read(u->k->mem, u->vtd.status + 4ull * wait, &status, 4);
    if (status == STATUS_DONE)
      return 0;
    set_status(u, wait, STATUS_ABORT);
    return ims_kernel_device(u->k, u->index, source) ? -EAGAIN : -ETIMEDOUT;
  }
  if (fsts & IMS_VTD_BITS(FSTS_ICE)) {
    u->k->count.queue_errors++;
    VTD_WRITE(u, FSTS, IMS_VTD_BITS(FSTS_ICE));
  }
  return 0;
}

static uint32_t room(const struct host_unit *u) {
  return (u->vtd.head - u->vtd.tail - 1) % VTD_QUEUE_LENGTH; // one place stays free: full is not empty
}

static int submit_once(struct host_unit *u, const struct vtd_desc *d, unsigned n, unsigned how) {
  struct vtd_driver *v = &u->vtd;
  if (room(u) < n + 1)
    v->head = (uint32_t)VTD_READ(u, IQH) / v->width;
  if (room(u) < n + 1)
    return -ETIMEDOUT; // earlier descriptors are still there
  uint32_t wait = (v->tail + n) % VTD_QUEUE_LENGTH, next = (wait + 1) % VTD_QUEUE_LENGTH;
  bool drain = (how & VTD_DRAIN) && v->caps.pds;
  struct vtd_desc w = {
      {WAIT | WAIT_SW | (drain ? WAIT_PD : 0u) | (uint64_t)STATUS_DONE << 32, v->status + 4ull * wait}};
  int bad = set_status(u, wait, STATUS_IN_USE);
  for (unsigned i = 0; i < n && !bad; i++)
    bad = put(u, (v->tail + i) % VTD_QUEUE_LENGTH, &d[i]);
  if (bad || put(u, wait, &w))
    return -EIO;
  u->k->count.waits++;
  v->tail = next;
  VTD_WRITE(u, IQT, (uint64_t)next * v->width);

  int result = 0;
  unsigned refused = 0;
  for (unsigned looks = 0;; looks++) {
    uint32_t status = 0;
    if (ims_mem_read(u->k->mem, v->status + 4ull * wait, &status, 4))
      return -EIO;
    if (status == STATUS_DONE)
      break;
    int err = check_errors(u, wait, &w);
    if (err == -EINVAL && refused++ <= n) {
      result = -EINVAL;
      continue;
    }
    if (err)
      return err;
    if (!ims_unit_relax(u, looks)) {
      ims_log(u->k, IMS_LOG_ERROR, u, "invalidation queue does not complete");
      return -ETIMEDOUT;
    }
  }
  v->head = next;
  if (u->k->cfg.hooks.observe)
    ims_note(u->k, &(struct ims_note){.kind = IMS_NOTE_COMPLETE,
                                      .unit = (uint16_t)u->index,
                                      .source = ~0u,
                                      .what = "invalidation wait",
                                      .addr = v->status + 4ull * wait,
                                      .words = 1,
                                      .bytes = 4,
                                      .word = {STATUS_DONE}});
  return result;
}

int ims_vtdd_submit(struct host_unit *u, const struct vtd_desc *d, unsigned n, unsigned how) {
  if (u->k->units_gone)
    return -ENODEV;
  int err = -EAGAIN;
  for (unsigned tries = 0; tries < RESUBMISSIONS && err == -EAGAIN; tries++)
    err = submit_once(u, d, n, how);
  return err == -EAGAIN ? -ETIMEDOUT : err;
}

// ---- Descriptors ----------------------------------------------------------------------------------------------------

struct vtd_desc ims_desc_context(unsigned granularity, uint16_t did, uint16_t sid) {
  return (struct vtd_desc){{1 | granularity << 4 | (uint64_t)did << 16 | (uint64_t)sid << 32, 0}};
}

struct vtd_desc ims_desc_pasid_cache(uint16_t did, uint32_t pasid) {
  return (struct vtd_desc){{7 | 1 << 4 | (uint64_t)did << 16 | (uint64_t)pasid << 32, 0}};
}

struct vtd_desc ims_desc_pasid_cache_global(void) {
  return (struct vtd_desc){{7 | 3 << 4, 0}};
}

struct vtd_desc ims_desc_iotlb_global(void) {
  return (struct vtd_desc){{2 | 1 << 4, 0}};
}

// Reads and writes that still use what is dropped are drained where the unit can.
static uint64_t drains(const struct host_unit *u) {
  return (uint64_t)u->vtd.caps.dwd << 6 | (uint64_t)u->vtd.caps.drd << 7;
}

struct vtd_desc ims_desc_iotlb_domain(const struct host_unit *u, uint16_t did) {
  return (struct vtd_desc){{2 | 2 << 4 | drains(u) | (uint64_t)did << 16, 0}};
}

struct vtd_desc ims_desc_iotlb_page(const struct host_unit *u, uint16_t did, uint64_t addr, unsigned order, bool ih) {
  return (struct vtd_desc){{2 | 3 << 4 | drains(u) | (uint64_t)did << 16, addr | (uint64_t)ih << 6 | order}};
}

struct vtd_desc ims_desc_piotlb(uint16_t did, uint32_t pasid) {
  return (struct vtd_desc){{6 | 2 << 4 | (uint64_t)did << 16 | (uint64_t)pasid << 32, 0}};
}

struct vtd_desc ims_desc_piotlb_page(uint16_t did, uint32_t pasid, uint64_t addr, unsigned order, bool ih) {
  return (struct vtd_desc){
      {6 | 3 << 4 | (uint64_t)did << 16 | (uint64_t)pasid << 32, addr | (uint64_t)ih << 6 | order}};
}

// 2^order pages from addr: the address carries the size, ones up to the bit below the size's own, which is zero.
static uint64_t sized(uint64_t addr, unsigned order, uint64_t s) {
  if (!order)
    return addr;
  uint64_t size_bit = 1ull << (IMS_PAGE_SHIFT + order - 1);
  return ((addr | (size_bit - 1)) & ~size_bit & ~(IMS_PAGE_SIZE - 1)) | s;
}

static uint64_t pfsid(const struct ims_device *dev) {
  uint64_t id = dev->unit->vtd.caps.dit ? dev->cfg.pfsid : 0;
  return (id & 15) << 12 | (id >> 4 & 0xfff) << 52;
}

struct vtd_desc ims_desc_device_tlb(const struct ims_device *dev, uint64_t addr, unsigned order) {
  return (struct vtd_desc){{3 | pfsid(dev) | (uint64_t)(dev->cfg.ats_qdep & 31) << 16 | (uint64_t)dev->cfg.source << 32,
                            sized(addr, order, 1)}};
}

struct vtd_desc ims_desc_device_tlb_pasid(const struct ims_device *dev, uint32_t pasid, uint64_t addr, unsigned order) {
  return (struct vtd_desc){{8 | pfsid(dev) | (uint64_t)(dev->cfg.ats_qdep & 31) << 4 | (uint64_t)dev->cfg.source << 16 |
                                (uint64_t)pasid << 32,
                            sized(addr, order, 1 << 11)}};
}

struct vtd_desc ims_desc_device_tlb_of(const struct ims_device *dev, uint32_t pasid, uint64_t addr, unsigned order) {
  return pasid ? ims_desc_device_tlb_pasid(dev, pasid, addr, order) : ims_desc_device_tlb(dev, addr, order);
}

struct vtd_desc ims_desc_wait_fence(void) {
  return (struct vtd_desc){{WAIT | WAIT_FN, 0}};
}

struct vtd_desc ims_desc_page_response(const struct ims_device *dev, uint32_t pasid, bool has_pasid, uint16_t group,
                                       unsigned code) {
  uint64_t rc = code == 0 ? 0 : code == 1 ? 1 : 15;
  return (struct vtd_desc){{9 | (uint64_t)has_pasid << 4 | rc << 12 | (uint64_t)dev->cfg.source << 16 |
                                (has_pasid ? (uint64_t)pasid << 32 : 0),
                            1 << 2 | (uint64_t)group << 3}};
}
