// SPDX-License-Identifier: Apache-2.0
// SMMUv3 registers, Arm IHI 0070 chapter 6: one row a register, one row a field. Masks, access behaviour, dumps, trace
// decoding and the table of docs/smmuv3.md come from here. The Non-secure programming interface; page 1 at 0x10000.
#pragma once

#include "iommu/regfile.h"

#ifdef __cplusplus
extern "C" {
#endif

// clang-format off
// X(name, offset, bytes, reset, section, sentence)
#define IMS_SMMUV3_REGS(X)                                                                                            \
  X(IDR0,            0x00000, 4, 0, "6.3.1",  "features")                                                             \
  X(IDR1,            0x00004, 4, 0, "6.3.2",  "sizes of streams, substreams and queues")                              \
  X(IDR2,            0x00008, 4, 0, "6.3.3",  "features of the virtual address translation interface")                \
  X(IDR3,            0x0000c, 4, 0, "6.3.4",  "features")                                                             \
  X(IDR4,            0x00010, 4, 0, "6.3.5",  "implementation defined")                                               \
  X(IDR5,            0x00014, 4, 0, "6.3.6",  "address sizes, granules, stalls")                                      \
  X(IIDR,            0x00018, 4, 0, "6.3.7",  "implementation")                                                       \
  X(AIDR,            0x0001c, 4, 0, "6.3.8",  "version of the architecture")                                          \
  X(CR0,             0x00020, 4, 0, "6.3.9",  "control")                                                              \
  X(CR0ACK,          0x00024, 4, 0, "6.3.10", "control in force")                                                     \
  X(CR1,             0x00028, 4, 0, "6.3.11", "attributes of accesses to tables and queues")                          \
  X(CR2,             0x0002c, 4, 0, "6.3.12", "control of less used features")                                        \
  X(STATUSR,         0x00040, 4, 0, "6.3.13", "power")                                                                \
  X(GBPA,            0x00044, 4, 0x1000, "6.3.14", "global bypass attributes")                                             \
  X(AGBPA,           0x00048, 4, 0, "6.3.15", "alternate global bypass attributes")                                   \
  X(IRQ_CTRL,        0x00050, 4, 0, "6.3.16", "interrupt enables")                                                    \
  X(IRQ_CTRLACK,     0x00054, 4, 0, "6.3.18", "interrupt enables in force")                                           \
  X(GERROR,          0x00060, 4, 0, "6.3.19", "global errors, toggled by hardware")                                   \
  X(GERRORN,         0x00064, 4, 0, "6.3.20", "global errors, acknowledged by software")                              \
  X(GERROR_IRQ_CFG0, 0x00068, 8, 0, "6.3.21", "global error interrupt: address")                                      \
  X(GERROR_IRQ_CFG1, 0x00070, 4, 0, "6.3.22", "global error interrupt: data")                                         \
  X(GERROR_IRQ_CFG2, 0x00074, 4, 0, "6.3.23", "global error interrupt: attributes")                                   \
  X(STRTAB_BASE,     0x00080, 8, 0, "6.3.24", "stream table address")                                                 \
  X(STRTAB_BASE_CFG, 0x00088, 4, 0, "6.3.25", "stream table format")                                                  \
  X(CMDQ_BASE,       0x00090, 8, 0, "6.3.26", "command queue address")                                                \
  X(CMDQ_PROD,       0x00098, 4, 0, "6.3.27", "command queue write index")                                            \
  X(CMDQ_CONS,       0x0009c, 4, 0, "6.3.28", "command queue read index and error")                                   \
  X(EVENTQ_BASE,     0x000a0, 8, 0, "6.3.29", "event queue address")                                                  \
  X(EVENTQ_IRQ_CFG0, 0x000b0, 8, 0, "6.3.30", "event queue interrupt: address")                                       \
  X(EVENTQ_IRQ_CFG1, 0x000b8, 4, 0, "6.3.31", "event queue interrupt: data")                                          \
  X(EVENTQ_IRQ_CFG2, 0x000bc, 4, 0, "6.3.32", "event queue interrupt: attributes")                                    \
  X(PRIQ_BASE,       0x000c0, 8, 0, "6.3.33", "page request queue address")                                           \
  X(PRIQ_IRQ_CFG0,   0x000d0, 8, 0, "6.3.34", "page request queue interrupt: address")                                \
  X(PRIQ_IRQ_CFG1,   0x000d8, 4, 0, "6.3.35", "page request queue interrupt: data")                                   \
  X(PRIQ_IRQ_CFG2,   0x000dc, 4, 0, "6.3.36", "page request queue interrupt: attributes")                             \
  X(EVENTQ_PROD,     0x100a8, 4, 0, "6.3.95", "event queue write index and overflow")                                 \
  X(EVENTQ_CONS,     0x100ac, 4, 0, "6.3.96", "event queue read index and overflow acknowledged")                     \
  X(PRIQ_PROD,       0x100c8, 4, 0, "6.3.97", "page request queue write index and overflow")                          \
  X(PRIQ_CONS,       0x100cc, 4, 0, "6.3.98", "page request queue read index and overflow acknowledged")

// F(register, field, high, low, access, sentence). The fields of IDR0, IDR1, IDR3, IDR5 and AIDR are IMS_SMMUV3_FEATURES in smmuv3.h.
#define IMS_SMMUV3_FIELDS(F)                                                                                          \
  F(IIDR,            PRODUCT,    31, 20, RO,  "product")                                                              \
  F(IIDR,            VARIANT,    19, 16, RO,  "variant")                                                              \
  F(IIDR,            REVISION,   15, 12, RO,  "revision")                                                             \
  F(IIDR,            IMPLEMENTER,11,  0, RO,  "JEP106 code of the implementer")                                       \
  F(CR0,             SMMUEN,      0,  0, RW,  "translation enabled")                                                  \
  F(CR0,             PRIQEN,      1,  1, RW,  "page request queue enabled")                                           \
  F(CR0,             EVENTQEN,    2,  2, RW,  "event queue enabled")                                                  \
  F(CR0,             CMDQEN,      3,  3, RW,  "command queue enabled")                                                \
  F(CR0,             ATSCHK,      4,  4, RW,  "translated traffic is checked against the STE")                        \
  F(CR0,             VMW,         8,  6, RW,  "low VMID bits that invalidations ignore")                              \
  F(CR0ACK,          SMMUEN,      0,  0, RO,  "translation enabled")                                                  \
  F(CR0ACK,          PRIQEN,      1,  1, RO,  "page request queue enabled")                                           \
  F(CR0ACK,          EVENTQEN,    2,  2, RO,  "event queue enabled")                                                  \
  F(CR0ACK,          CMDQEN,      3,  3, RO,  "command queue enabled")                                                \
  F(CR0ACK,          ATSCHK,      4,  4, RO,  "translated traffic is checked against the STE")                        \
  F(CR0ACK,          VMW,         8,  6, RO,  "low VMID bits that invalidations ignore")                              \
  F(CR1,             QUEUE_IC,    1,  0, RW,  "queues: inner cacheability")                                           \
  F(CR1,             QUEUE_OC,    3,  2, RW,  "queues: outer cacheability")                                           \
  F(CR1,             QUEUE_SH,    5,  4, RW,  "queues: shareability")                                                 \
  F(CR1,             TABLE_IC,    7,  6, RW,  "stream table: inner cacheability")                                     \
  F(CR1,             TABLE_OC,    9,  8, RW,  "stream table: outer cacheability")                                     \
  F(CR1,             TABLE_SH,   11, 10, RW,  "stream table: shareability")                                           \
  F(CR2,             E2H,         0,  0, RW,  "EL2 streams are of the EL2-E2H regime")                                \
  F(CR2,             RECINVSID,   1,  1, RW,  "C_BAD_STREAMID is recorded")                                           \
  F(CR2,             PTM,         2,  2, RW,  "broadcast TLB maintenance is ignored")                                 \
  F(CR2,             REC_CFG_ATS, 3,  3, RW,  "configuration faults of translation requests are recorded")            \
  F(STATUSR,         DORMANT,     0,  0, RO,  "nothing is cached")                                                    \
  F(GBPA,            MEMATTR,     3,  0, RW,  "memory type")                                                          \
  F(GBPA,            MTCFG,       4,  4, RW,  "memory type overrides")                                                \
  F(GBPA,            ALLOCCFG,   11,  8, RW,  "allocation hints")                                                     \
  F(GBPA,            SHCFG,      13, 12, RW,  "shareability: 1 as sent")                                              \
  F(GBPA,            PRIVCFG,    17, 16, RW,  "privilege: 2 unprivileged, 3 privileged")                              \
  F(GBPA,            INSTCFG,    19, 18, RW,  "2 data, 3 instruction")                                                \
  F(GBPA,            ABORT,      20, 20, RW,  "abort everything while translation is off")                            \
  F(GBPA,            UPDATE,     31, 31, CMD, "written with the others; clear when they are in force")                \
  F(IRQ_CTRL,        GERROR_IRQEN,0,  0, RW,  "global error interrupt enabled")                                       \
  F(IRQ_CTRL,        PRIQ_IRQEN,  1,  1, RW,  "page request queue interrupt enabled")                                 \
  F(IRQ_CTRL,        EVENTQ_IRQEN,2,  2, RW,  "event queue interrupt enabled")                                        \
  F(IRQ_CTRLACK,     GERROR_IRQEN,0,  0, RO,  "global error interrupt enabled")                                       \
  F(IRQ_CTRLACK,     PRIQ_IRQEN,  1,  1, RO,  "page request queue interrupt enabled")                                 \
  F(IRQ_CTRLACK,     EVENTQ_IRQEN,2,  2, RO,  "event queue interrupt enabled")                                        \
  F(GERROR,          CMDQ_ERR,    0,  0, RO,  "command queue stopped by an error: CMDQ_CONS.ERR")                     \
  F(GERROR,          EVENTQ_ABT,  2,  2, RO,  "event queue write aborted")                                            \
  F(GERROR,          PRIQ_ABT,    3,  3, RO,  "page request queue write aborted")                                     \
  F(GERROR,          MSI_CMDQ_ABT,4,  4, RO,  "MSI of a CMD_SYNC aborted")                                            \
  F(GERROR,          MSI_EVENTQ_ABT,5,5, RO,  "event queue MSI aborted")                                              \
  F(GERROR,          MSI_PRIQ_ABT,6,  6, RO,  "page request queue MSI aborted")                                       \
  F(GERROR,          MSI_GERROR_ABT,7,7, RO,  "global error MSI aborted")                                             \
  F(GERROR,          SFM,         8,  8, RO,  "service failure mode")                                                 \
  F(GERRORN,         CMDQ_ERR,    0,  0, RW,  "acknowledges")                                                         \
  F(GERRORN,         EVENTQ_ABT,  2,  2, RW,  "acknowledges")                                                         \
  F(GERRORN,         PRIQ_ABT,    3,  3, RW,  "acknowledges")                                                         \
  F(GERRORN,         MSI_CMDQ_ABT,4,  4, RW,  "acknowledges")                                                         \
  F(GERRORN,         MSI_EVENTQ_ABT,5,5, RW,  "acknowledges")                                                         \
  F(GERRORN,         MSI_PRIQ_ABT,6,  6, RW,  "acknowledges")                                                         \
  F(GERRORN,         MSI_GERROR_ABT,7,7, RW,  "acknowledges")                                                         \
  F(GERRORN,         SFM,         8,  8, RW,  "acknowledges")                                                         \
  F(GERROR_IRQ_CFG0, ADDR,       55,  2, RW,  "address; 0: no message")                                               \
  F(GERROR_IRQ_CFG1, DATA,       31,  0, RW,  "payload")                                                              \
  F(GERROR_IRQ_CFG2, MEMATTR,     3,  0, RW,  "memory type")                                                          \
  F(GERROR_IRQ_CFG2, SH,          5,  4, RW,  "shareability")                                                         \
  F(STRTAB_BASE,     ADDR,       55,  6, RW,  "address")                                                              \
  F(STRTAB_BASE,     RA,         62, 62, RW,  "read-allocate hint")                                                   \
  F(STRTAB_BASE_CFG, LOG2SIZE,    5,  0, RW,  "log2 of the StreamIDs that the table covers")                          \
  F(STRTAB_BASE_CFG, SPLIT,      10,  6, RW,  "StreamID bits of the second level: 6, 8, 10")                          \
  F(STRTAB_BASE_CFG, FMT,        17, 16, RW,  "0 linear, 1 two levels")                                               \
  F(CMDQ_BASE,       LOG2SIZE,    4,  0, RW,  "log2 of the entries")                                                  \
  F(CMDQ_BASE,       ADDR,       55,  5, RW,  "address")                                                              \
  F(CMDQ_BASE,       RA,         62, 62, RW,  "read-allocate hint")                                                   \
  F(CMDQ_PROD,       WR,         19,  0, RW,  "write index with its wrap bit")                                        \
  F(CMDQ_CONS,       RD,         19,  0, RW,  "read index with its wrap bit")                                         \
  F(CMDQ_CONS,       ERR,        30, 24, RW,  "1 illegal command, 2 fetch aborted, 3 ATC invalidation timed out")     \
  F(EVENTQ_BASE,     LOG2SIZE,    4,  0, RW,  "log2 of the entries")                                                  \
  F(EVENTQ_BASE,     ADDR,       55,  5, RW,  "address")                                                              \
  F(EVENTQ_BASE,     WA,         62, 62, RW,  "write-allocate hint")                                                  \
  F(EVENTQ_IRQ_CFG0, ADDR,       55,  2, RW,  "address; 0: no message")                                               \
  F(EVENTQ_IRQ_CFG1, DATA,       31,  0, RW,  "payload")                                                              \
  F(EVENTQ_IRQ_CFG2, MEMATTR,     3,  0, RW,  "memory type")                                                          \
  F(EVENTQ_IRQ_CFG2, SH,          5,  4, RW,  "shareability")                                                         \
  F(PRIQ_BASE,       LOG2SIZE,    4,  0, RW,  "log2 of the entries")                                                  \
  F(PRIQ_BASE,       ADDR,       55,  5, RW,  "address")                                                              \
  F(PRIQ_BASE,       WA,         62, 62, RW,  "write-allocate hint")                                                  \
  F(PRIQ_IRQ_CFG0,   ADDR,       55,  2, RW,  "address; 0: no message")                                               \
  F(PRIQ_IRQ_CFG1,   DATA,       31,  0, RW,  "payload")                                                              \
  F(PRIQ_IRQ_CFG2,   MEMATTR,     3,  0, RW,  "memory type")                                                          \
  F(PRIQ_IRQ_CFG2,   SH,          5,  4, RW,  "shareability")                                                         \
  F(PRIQ_IRQ_CFG2,   LO,         31, 31, RW,  "only for requests with Last")                                          \
  F(EVENTQ_PROD,     WR,         19,  0, RW,  "write index with its wrap bit")                                        \
  F(EVENTQ_PROD,     OVFLG,      31, 31, RW,  "toggled by an overflow")                                               \
  F(EVENTQ_CONS,     RD,         19,  0, RW,  "read index with its wrap bit")                                         \
  F(EVENTQ_CONS,     OVACKFLG,   31, 31, RW,  "overflow acknowledged when equal to OVFLG")                            \
  F(PRIQ_PROD,       WR,         19,  0, RW,  "write index with its wrap bit")                                        \
  F(PRIQ_PROD,       OVFLG,      31, 31, RW,  "toggled by an overflow")                                               \
  F(PRIQ_CONS,       RD,         19,  0, RW,  "read index with its wrap bit")                                         \
  F(PRIQ_CONS,       OVACKFLG,   31, 31, RW,  "overflow acknowledged when equal to OVFLG")
// clang-format on

enum ims_smmuv3_reg {
#define IMS_X(name, offset, bytes, reset, section, sentence) IMS_SMMUV3_##name,
  IMS_SMMUV3_REGS(IMS_X)
#undef IMS_X
      IMS_SMMUV3_REG_COUNT
};

// Offsets: IMS_SMMUV3_OFF_CR0 and so on.
enum {
#define IMS_X(name, offset, bytes, reset, section, sentence) IMS_SMMUV3_OFF_##name = (offset),
  IMS_SMMUV3_REGS(IMS_X)
#undef IMS_X
};

// Fields: IMS_SMMUV3_BITS(CR0_SMMUEN) is the mask; GET and PUT shift.
enum {
#define IMS_F(reg, field, high, low, access, sentence)                                                                 \
  IMS_SMMUV3_##reg##_##field##_MSB = (high), IMS_SMMUV3_##reg##_##field##_LSB = (low),
  IMS_SMMUV3_FIELDS(IMS_F)
#undef IMS_F
};
#define IMS_SMMUV3_BITS(f)       IMS_REG_BITS(IMS_SMMUV3_##f##_MSB, IMS_SMMUV3_##f##_LSB)
#define IMS_SMMUV3_GET(value, f) (((value)&IMS_SMMUV3_BITS(f)) >> IMS_SMMUV3_##f##_LSB)
#define IMS_SMMUV3_PUT(f, value) (((uint64_t)(value) << IMS_SMMUV3_##f##_LSB) & IMS_SMMUV3_BITS(f))

extern const struct ims_reg_info ims_smmuv3_regs[IMS_SMMUV3_REG_COUNT];
extern const struct ims_reg_field ims_smmuv3_fields[];
extern const unsigned ims_smmuv3_field_count;

#ifdef __cplusplus
}
#endif
