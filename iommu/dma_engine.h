// SPDX-License-Identifier: Apache-2.0
// A tiny DMA engine: registers and a window of data in one BAR, over an endpoint (iommu/device.h). A program that reaches
// the BAR moves bytes between the window and memory as the IOMMU translates it, with PASID, ATS and page requests as it
// wishes. A command runs when COMMAND is written and is over then, unless it stalls or waits for a page response.
#pragma once

#include "iommu/device.h"

#ifdef __cplusplus
extern "C" {
#endif

// All registers, once: X(name, offset, bytes, writable, sentence)
// clang-format off
#define IMS_DMA_ENGINE_REGS(X)                                                                                        \
  X(ID,      0x00, 4, false, "0x414d4449, \"IDMA\"")                                                                  \
  X(COMMAND, 0x04, 4, true,  "starts: bits 1:0: 1 memory to window, 2 window to memory, 3 an atomic operation on both; bit 2 by ATS; bit 3 privileged; bit 4 execute; bit 5 with ATS: asks for pages that are missing") \
  X(STATUS,  0x08, 4, false, "of the last command: 0 none, 1 done, 2 refused, 3 no right, 4 no memory, 5 stalled, 6 waits for a page response, 7 not a command") \
  X(DONE,    0x0c, 4, false, "bytes that arrived")                                                                    \
  X(IOVA,    0x10, 8, true,  "address in memory")                                                                     \
  X(LENGTH,  0x18, 4, true,  "bytes, 1 to 65536")                                                                     \
  X(PASID,   0x1c, 4, true,  "bit 31: with PASID; bits 19:0: which")                                                  \
  X(OFFSET,  0x20, 4, true,  "first byte of the window")
// clang-format on

enum {
#define IMS_X(name, offset, bytes, writable, sentence) IMS_DMA_ENGINE_##name = (offset),
  IMS_DMA_ENGINE_REGS(IMS_X)
#undef IMS_X
      IMS_DMA_ENGINE_REG_BYTES = 0x28,
  IMS_DMA_ENGINE_WINDOW = 0x10000, // where the window lies in the BAR, and its bytes
  IMS_DMA_ENGINE_BAR = 0x20000,    // bytes of the BAR
};

enum { // COMMAND
  IMS_DMA_ENGINE_READ = 1,
  IMS_DMA_ENGINE_WRITE = 2,
  IMS_DMA_ENGINE_ATS = 4,
  IMS_DMA_ENGINE_PRIV = 8,
  IMS_DMA_ENGINE_EXEC = 16,
  IMS_DMA_ENGINE_PRI = 32,
};
enum { // STATUS
  IMS_DMA_ENGINE_IDLE,
  IMS_DMA_ENGINE_DONE_ALL,
  IMS_DMA_ENGINE_REFUSED,
  IMS_DMA_ENGINE_NO_RIGHT,
  IMS_DMA_ENGINE_NO_MEMORY,
  IMS_DMA_ENGINE_STALLED,
  IMS_DMA_ENGINE_WAITS,
  IMS_DMA_ENGINE_BAD,
};
enum { IMS_DMA_ENGINE_VENDOR = 0x1b36, IMS_DMA_ENGINE_DEVICE = 0x10d1, IMS_DMA_ENGINE_CLASS = 0x088000 };

struct ims_dma_engine {
  struct ims_endpoint *endpoint; // not owned
  uint8_t reg[IMS_DMA_ENGINE_REG_BYTES];
  uint8_t *window;      // NULL until it is touched
  uint16_t stag, group; // valid while STATUS is STALLED, WAITS
};

void ims_dma_engine_init(struct ims_dma_engine *e, struct ims_endpoint *endpoint);
void ims_dma_engine_fini(struct ims_dma_engine *e);

// The BAR: naturally aligned accesses of 1, 2, 4 or 8 bytes (struct ims_device_regions of uapi/kernel.h). `engine`: a
// struct ims_dma_engine. What is beyond the BAR reads as ones.
uint64_t ims_dma_engine_read(void *engine, unsigned region, uint64_t offset, unsigned bytes);
void ims_dma_engine_write(void *engine, unsigned region, uint64_t offset, unsigned bytes, uint64_t value);

// What the unit sends, for whoever wires the machine. True: it was for a command of this engine, which goes on. A page
// response has to be given to the endpoint, too, and before; a resumption is given to the endpoint by this function.
bool ims_dma_engine_response(struct ims_dma_engine *e, const struct ims_page_response *resp);
bool ims_dma_engine_resume(struct ims_dma_engine *e, const struct ims_resume *resume);

#ifdef __cplusplus
}
#endif
