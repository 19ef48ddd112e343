// SPDX-License-Identifier: Apache-2.0
// The tiny DMA engine: registers, commands, and how they go on after a stall or a page response.
#include "iommu/dma_engine.h"
#include <stdlib.h>
#include <string.h>

enum { ID = 0x414d4449, PASID_VALID = 1u << 31, PASID_MASK = 0xfffff, COMMANDS = 63 };

static uint64_t get(const struct ims_dma_engine *e, unsigned reg, unsigned bytes) {
  uint64_t value = 0;
  for (unsigned i = 0; i < bytes; i++)
    value |= (uint64_t)e->reg[reg + i] << 8 * i;
  return value;
}

static void put(struct ims_dma_engine *e, unsigned reg, uint64_t value) {
  for (unsigned i = 0; i < 4; i++)
    e->reg[reg + i] = (uint8_t)(value >> 8 * i);
}

static uint32_t status(const struct ims_dma_engine *e) { return (uint32_t)get(e, IMS_DMA_ENGINE_STATUS, 4); }
static uint32_t command(const struct ims_dma_engine *e) { return (uint32_t)get(e, IMS_DMA_ENGINE_COMMAND, 4); }

void ims_dma_engine_init(struct ims_dma_engine *e, struct ims_endpoint *endpoint) {
  *e = (struct ims_dma_engine){.endpoint = endpoint};
  put(e, IMS_DMA_ENGINE_ID, ID);
}

static bool window(struct ims_dma_engine *e) {
  if (!e->window)
    e->window = calloc(1, IMS_DMA_ENGINE_WINDOW);
  return e->window;
}

void ims_dma_engine_fini(struct ims_dma_engine *e) {
  free(e->window);
  e->window = NULL;
}

// ---- Commands -------------------------------------------------------------------------------------------------------

// The stall tag lies in the last piece's answer.
static void watch(void *ctx, const struct ims_dma_piece *p) {
  struct ims_dma_engine *e = ctx;
  if (p->end == IMS_DMA_STALLED)
    e->stag = p->used_valid ? p->used.stag : p->asked.stag;
}

static struct ims_dma dma_of(const struct ims_dma_engine *e) {
  uint32_t c = command(e), pasid = (uint32_t)get(e, IMS_DMA_ENGINE_PASID, 4);
  return (struct ims_dma){
      .iova = get(e, IMS_DMA_ENGINE_IOVA, 8),
      .len = get(e, IMS_DMA_ENGINE_LENGTH, 4),
      .pasid = pasid & PASID_MASK,
      .has_pasid = pasid & PASID_VALID,
      .access = (uint8_t)((c & IMS_DMA_ENGINE_READ ? IMS_ACC_R : 0) | (c & IMS_DMA_ENGINE_WRITE ? IMS_ACC_W : 0) |
                          (c & IMS_DMA_ENGINE_PRIV ? IMS_ACC_PRIV : 0) | (c & IMS_DMA_ENGINE_EXEC ? IMS_ACC_X : 0)),
      .ats = c & IMS_DMA_ENGINE_ATS,
      .data = e->window + get(e, IMS_DMA_ENGINE_OFFSET, 4),
  };
}

static bool ask_for_page(struct ims_dma_engine *e, const struct ims_dma *d, uint64_t done) {
  const struct ims_endpoint_page_request r = {.addr = d->iova + done,
                                              .pasid = d->pasid,
                                              .has_pasid = d->has_pasid,
                                              .read = d->access & IMS_ACC_R,
                                              .write = d->access & IMS_ACC_W,
                                              .exec = d->access & IMS_ACC_X,
                                              .priv = d->access & IMS_ACC_PRIV,
                                              .last = true};
  uint16_t group = 0xffff;
  put(e, IMS_DMA_ENGINE_STATUS, IMS_DMA_ENGINE_WAITS);
  int err = ims_endpoint_request_page(e->endpoint, &r, &group);
  e->group = group;
  return err == IMS_ERR_OK;
}

static void ended(struct ims_dma_engine *e, enum ims_dma_end end, uint64_t done) {
  static const uint8_t codes[] = {[IMS_DMA_DONE] = IMS_DMA_ENGINE_DONE_ALL,
                                  [IMS_DMA_REFUSED] = IMS_DMA_ENGINE_REFUSED,
                                  [IMS_DMA_NO_RIGHTS] = IMS_DMA_ENGINE_NO_RIGHT,
                                  [IMS_DMA_NO_MEMORY] = IMS_DMA_ENGINE_NO_MEMORY,
                                  [IMS_DMA_STALLED] = IMS_DMA_ENGINE_STALLED};
  put(e, IMS_DMA_ENGINE_DONE, done);
  put(e, IMS_DMA_ENGINE_STATUS, codes[end]);
}

static void run(struct ims_dma_engine *e) {
  uint32_t c = command(e);
  uint64_t len = get(e, IMS_DMA_ENGINE_LENGTH, 4), off = get(e, IMS_DMA_ENGINE_OFFSET, 4), done = 0;
  enum ims_dma_end end = IMS_DMA_REFUSED;
  if (!(c & (IMS_DMA_ENGINE_READ | IMS_DMA_ENGINE_WRITE)) || (c & ~(uint32_t)COMMANDS) || !len ||
      off + len > IMS_DMA_ENGINE_WINDOW || !window(e)) {
    put(e, IMS_DMA_ENGINE_DONE, 0);
    put(e, IMS_DMA_ENGINE_STATUS, IMS_DMA_ENGINE_BAD);
    return;
  }
  const struct ims_dma d = dma_of(e);
  if (ims_endpoint_dma(e->endpoint, &d, watch, e, &end, &done))
    end = IMS_DMA_REFUSED;
  ended(e, end, done);
  if (end == IMS_DMA_NO_RIGHTS && (c & IMS_DMA_ENGINE_PRI) && !ask_for_page(e, &d, done))
    put(e, IMS_DMA_ENGINE_STATUS, IMS_DMA_ENGINE_NO_RIGHT);
}

static bool busy(const struct ims_dma_engine *e) {
  return status(e) == IMS_DMA_ENGINE_STALLED || status(e) == IMS_DMA_ENGINE_WAITS;
}

// The whole of it again: pages before the missing one are still there.
bool ims_dma_engine_response(struct ims_dma_engine *e, const struct ims_page_response *resp) {
  if (status(e) != IMS_DMA_ENGINE_WAITS || resp->group != e->group)
    return false;
  if (resp->code)
    put(e, IMS_DMA_ENGINE_STATUS, IMS_DMA_ENGINE_REFUSED);
  else
    run(e);
  return true;
}

bool ims_dma_engine_resume(struct ims_dma_engine *e, const struct ims_resume *resume) {
  enum ims_dma_end end = IMS_DMA_REFUSED;
  uint64_t done = 0;
  if (status(e) != IMS_DMA_ENGINE_STALLED || resume->stag != e->stag)
    return false;
  if (ims_endpoint_resume(e->endpoint, resume, watch, e, &end, &done))
    end = IMS_DMA_REFUSED;
  ended(e, end, done);
  return true;
}

// ---- The BAR --------------------------------------------------------------------------------------------------------

static bool writable(unsigned offset) {
  static const struct {
    uint8_t offset, bytes;
    bool writable;
  } rows[] = {
#define IMS_X(name, offset, bytes, writable, sentence) {offset, bytes, writable},
      IMS_DMA_ENGINE_REGS(IMS_X)
#undef IMS_X
  };
  for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
    if (offset >= rows[i].offset && offset < rows[i].offset + rows[i].bytes)
      return rows[i].writable;
  return false;
}

uint64_t ims_dma_engine_read(void *engine, unsigned region, uint64_t offset, unsigned bytes) {
  const struct ims_dma_engine *e = engine;
  uint64_t value = 0;
  if (region || offset >= IMS_DMA_ENGINE_BAR || bytes > 8)
    return ~0ull;
  if (offset >= IMS_DMA_ENGINE_WINDOW && !e->window)
    value = 0;
  else if (offset >= IMS_DMA_ENGINE_WINDOW)
    memcpy(&value, e->window + (offset - IMS_DMA_ENGINE_WINDOW), bytes);
  else if (offset < IMS_DMA_ENGINE_REG_BYTES)
    value = get(e, (unsigned)offset, bytes);
  return value;
}

// While a command is on its way the engine takes no other, and keeps its registers.
void ims_dma_engine_write(void *engine, unsigned region, uint64_t offset, unsigned bytes, uint64_t value) {
  struct ims_dma_engine *e = engine;
  if (region || offset >= IMS_DMA_ENGINE_BAR || bytes > 8)
    return;
  if (offset >= IMS_DMA_ENGINE_WINDOW) {
    if (window(e))
      memcpy(e->window + (offset - IMS_DMA_ENGINE_WINDOW), &value, bytes);
    return;
  }
  if (busy(e) || offset >= IMS_DMA_ENGINE_REG_BYTES)
    return;
  for (unsigned i = 0; i < bytes; i++)
    if (writable((unsigned)offset + i))
      e->reg[offset + i] = (uint8_t)(value >> 8 * i);
  if (offset < IMS_DMA_ENGINE_COMMAND + 4 && offset + bytes > IMS_DMA_ENGINE_COMMAND)
    run(e);
}
