// SPDX-License-Identifier: Apache-2.0
// VT-d registers, rev 4.1 chapter 11: one row a register, one row a field. Masks, access behaviour, dumps, trace decoding
// and the table of docs/vtd.md come from here.
#pragma once

#include "iommu/regfile.h"

#ifdef __cplusplus
extern "C" {
#endif

// clang-format off
// X(name, offset, bytes, reset, section, sentence). Offsets of FRCD, IVA and IOTLB depend on CAP.FRO and ECAP.IRO; here
// they stand where this model's own units have them.
#define IMS_VTD_REGS(X)                                                                                               \
  X(VER,     0x000, 4, 0x40,       "11.4.1",  "version")                                                              \
  X(CAP,     0x008, 8, 0,          "11.4.2",  "capabilities")                                                         \
  X(ECAP,    0x010, 8, 0,          "11.4.3",  "extended capabilities")                                                \
  X(GCMD,    0x018, 4, 0,          "11.4.4",  "global command")                                                       \
  X(GSTS,    0x01c, 4, 0,          "11.4.5",  "global status")                                                        \
  X(RTADDR,  0x020, 8, 0,          "11.4.6",  "root table address")                                                   \
  X(CCMD,    0x028, 8, 0,          "11.4.7",  "context command")                                                      \
  X(FSTS,    0x034, 4, 0,          "11.4.9",  "fault status")                                                         \
  X(FECTL,   0x038, 4, 0x80000000, "11.4.10", "fault event control")                                                  \
  X(FEDATA,  0x03c, 4, 0,          "11.4.11", "fault event data")                                                     \
  X(FEADDR,  0x040, 4, 0,          "11.4.12", "fault event address")                                                  \
  X(FEUADDR, 0x044, 4, 0,          "11.4.13", "fault event upper address")                                            \
  X(AFLOG,   0x058, 8, 0,          "11.4.15", "advanced fault log")                                                   \
  X(PMEN,    0x064, 4, 0,          "11.4.16", "protected memory enable")                                              \
  X(PLMBASE, 0x068, 4, 0,          "11.4.17", "protected low memory base")                                            \
  X(PLMLIMIT,0x06c, 4, 0,          "11.4.18", "protected low memory limit")                                           \
  X(PHMBASE, 0x070, 8, 0,          "11.4.19", "protected high memory base")                                           \
  X(PHMLIMIT,0x078, 8, 0,          "11.4.20", "protected high memory limit")                                          \
  X(IQH,     0x080, 8, 0,          "11.4.21", "invalidation queue head")                                              \
  X(IQT,     0x088, 8, 0,          "11.4.22", "invalidation queue tail")                                              \
  X(IQA,     0x090, 8, 0,          "11.4.23", "invalidation queue address")                                           \
  X(ICS,     0x09c, 4, 0,          "11.4.24", "invalidation completion status")                                       \
  X(IECTL,   0x0a0, 4, 0x80000000, "11.4.25", "invalidation event control")                                           \
  X(IEDATA,  0x0a4, 4, 0,          "11.4.26", "invalidation event data")                                              \
  X(IEADDR,  0x0a8, 4, 0,          "11.4.27", "invalidation event address")                                           \
  X(IEUADDR, 0x0ac, 4, 0,          "11.4.28", "invalidation event upper address")                                     \
  X(IQERCD,  0x0b0, 8, 0,          "11.4.29", "invalidation queue error record")                                      \
  X(IRTA,    0x0b8, 8, 0,          "11.4.30", "interrupt remapping table address")                                    \
  X(PQH,     0x0c0, 8, 0,          "11.4.31", "page request queue head")                                              \
  X(PQT,     0x0c8, 8, 0,          "11.4.32", "page request queue tail")                                              \
  X(PQA,     0x0d0, 8, 0,          "11.4.33", "page request queue address")                                           \
  X(PRS,     0x0dc, 4, 0,          "11.4.34", "page request status")                                                  \
  X(PECTL,   0x0e0, 4, 0x80000000, "11.4.35", "page request event control")                                           \
  X(PEDATA,  0x0e4, 4, 0,          "11.4.36", "page request event data")                                              \
  X(PEADDR,  0x0e8, 4, 0,          "11.4.37", "page request event address")                                           \
  X(PEUADDR, 0x0ec, 4, 0,          "11.4.38", "page request event upper address")                                     \
  X(IVA,     0x200, 8, 0,          "11.4.8.2","invalidate address")                                                   \
  X(IOTLB,   0x208, 8, 0,          "11.4.8.1","IOTLB invalidate")                                                     \
  X(VCMD,    0xe00, 8, 0,          "11.4",    "virtual command")                                                      \
  X(VCRSP,   0xe10, 8, 0,          "11.4",    "virtual command response")                                             \
  X(VCCAP,   0xe30, 8, 0,          "11.4",    "virtual command capability")

// F(register, field, high, low, access, sentence). The fields of CAP and ECAP are IMS_VTD_FEATURES in vtd.h.
#define IMS_VTD_FIELDS(F)                                                                                             \
  F(VER,    MAJOR,  7,  4, RO,  "major version")                                                                      \
  F(VER,    MINOR,  3,  0, RO,  "minor version")                                                                      \
  F(GCMD,   TE,    31, 31, WO,  "translation enable")                                                                 \
  F(GCMD,   SRTP,  30, 30, WO,  "set root table pointer")                                                             \
  F(GCMD,   WBF,   27, 27, WO,  "write buffer flush")                                                                 \
  F(GCMD,   QIE,   26, 26, WO,  "queued invalidation enable")                                                         \
  F(GCMD,   IRE,   25, 25, WO,  "interrupt remapping enable")                                                         \
  F(GCMD,   SIRTP, 24, 24, WO,  "set interrupt remap table pointer")                                                  \
  F(GCMD,   CFI,   23, 23, WO,  "compatibility format interrupts")                                                    \
  F(GSTS,   TES,   31, 31, RO,  "translation enabled")                                                                \
  F(GSTS,   RTPS,  30, 30, RO,  "root table pointer set")                                                             \
  F(GSTS,   WBFS,  27, 27, RO,  "write buffer flush under way")                                                       \
  F(GSTS,   QIES,  26, 26, RO,  "queued invalidation enabled")                                                        \
  F(GSTS,   IRES,  25, 25, RO,  "interrupt remapping enabled")                                                        \
  F(GSTS,   IRTPS, 24, 24, RO,  "interrupt remap table pointer set")                                                  \
  F(GSTS,   CFIS,  23, 23, RO,  "compatibility format interrupts pass")                                               \
  F(RTADDR, RTA,   63, 12, RW,  "root table address")                                                                 \
  F(RTADDR, TTM,   11, 10, RW,  "translation table mode: 0 legacy, 1 scalable, 3 abort")                              \
  F(CCMD,   ICC,   63, 63, CMD, "invalidate context cache")                                                           \
  F(CCMD,   CIRG,  62, 61, RW,  "granularity asked: 1 global, 2 domain, 3 device")                                    \
  F(CCMD,   CAIG,  60, 59, RO,  "granularity done")                                                                   \
  F(CCMD,   FM,    33, 32, WO,  "function mask")                                                                      \
  F(CCMD,   SID,   31, 16, WO,  "source id")                                                                          \
  F(CCMD,   DID,   15,  0, RW,  "domain id")                                                                          \
  F(FSTS,   FRI,   15,  8, RO,  "fault record index")                                                                 \
  F(FSTS,   ITE,    6,  6, W1C, "invalidation time-out error")                                                        \
  F(FSTS,   ICE,    5,  5, W1C, "invalidation completion error")                                                      \
  F(FSTS,   IQE,    4,  4, W1C, "invalidation queue error")                                                           \
  F(FSTS,   APF,    3,  3, W1C, "advanced pending fault")                                                             \
  F(FSTS,   AFO,    2,  2, W1C, "advanced fault overflow")                                                            \
  F(FSTS,   PPF,    1,  1, RO,  "primary pending fault")                                                              \
  F(FSTS,   PFO,    0,  0, W1C, "primary fault overflow")                                                             \
  F(FECTL,  IM,    31, 31, RW,  "interrupt mask")                                                                     \
  F(FECTL,  IP,    30, 30, RO,  "interrupt pending")                                                                  \
  F(FEDATA, DATA,  31,  0, RW,  "message data")                                                                       \
  F(FEADDR, MA,    31,  2, RW,  "message address")                                                                    \
  F(FEUADDR,MUA,   31,  0, RW,  "message upper address")                                                              \
  F(PMEN,   EPM,   31, 31, RW,  "enable protected memory")                                                            \
  F(PMEN,   PRS,    0,  0, RO,  "protected region status")                                                            \
  F(PLMBASE,BASE,  31, 20, RW,  "base, 1 MB granules")                                                                \
  F(PLMLIMIT,LIMIT,31, 20, RW,  "limit, 1 MB granules")                                                               \
  F(PHMBASE,BASE,  63, 20, RW,  "base, 1 MB granules")                                                                \
  F(PHMLIMIT,LIMIT,63, 20, RW,  "limit, 1 MB granules")                                                               \
  F(IQH,    QH,    18,  4, RO,  "byte offset of the descriptor to be fetched next")                                   \
  F(IQT,    QT,    18,  4, RW,  "byte offset behind the last descriptor")                                             \
  F(IQA,    IQA,   63, 12, RW,  "queue base")                                                                         \
  F(IQA,    DW,    11, 11, RW,  "descriptor width: 0 128 bit, 1 256 bit")                                             \
  F(IQA,    QS,     2,  0, RW,  "queue size: 4 KB << QS")                                                             \
  F(ICS,    IWC,    0,  0, W1C, "wait descriptor complete")                                                           \
  F(IECTL,  IM,    31, 31, RW,  "interrupt mask")                                                                     \
  F(IECTL,  IP,    30, 30, RO,  "interrupt pending")                                                                  \
  F(IEDATA, DATA,  31,  0, RW,  "message data")                                                                       \
  F(IEADDR, MA,    31,  2, RW,  "message address")                                                                    \
  F(IEUADDR,MUA,   31,  0, RW,  "message upper address")                                                              \
  F(IQERCD, ICESID,63, 48, RO,  "source id of the unexpected completion")                                             \
  F(IQERCD, ITESID,47, 32, RO,  "source id of the time-out")                                                          \
  F(IQERCD, IQEI,   3,  0, RO,  "queue error: what was wrong")                                                        \
  F(IRTA,   IRTA,  63, 12, RW,  "interrupt remapping table")                                                          \
  F(IRTA,   EIME,  11, 11, RW,  "extended interrupt mode")                                                            \
  F(IRTA,   S,      3,  0, RW,  "table of 2^(S+1) entries")                                                           \
  F(PQH,    PQH,   18,  5, RW,  "byte offset of the request to be handled next")                                      \
  F(PQT,    PQT,   18,  5, RW,  "byte offset behind the newest request")                                              \
  F(PQA,    PQA,   63, 12, RW,  "queue base")                                                                         \
  F(PQA,    PQS,    2,  0, RW,  "queue size: 4 KB << PQS")                                                            \
  F(PRS,    PRO,    1,  1, W1C, "page request overflow")                                                              \
  F(PRS,    PPR,    0,  0, W1C, "pending page request")                                                               \
  F(PECTL,  IM,    31, 31, RW,  "interrupt mask")                                                                     \
  F(PECTL,  IP,    30, 30, RO,  "interrupt pending")                                                                  \
  F(PEDATA, DATA,  31,  0, RW,  "message data")                                                                       \
  F(PEADDR, MA,    31,  2, RW,  "message address")                                                                    \
  F(PEUADDR,MUA,   31,  0, RW,  "message upper address")                                                              \
  F(IVA,    ADDR,  63, 12, WO,  "address")                                                                            \
  F(IVA,    IH,     6,  6, WO,  "invalidation hint: only leaves changed")                                             \
  F(IVA,    AM,     5,  0, WO,  "address mask: 2^AM pages")                                                           \
  F(IOTLB,  IVT,   63, 63, CMD, "invalidate IOTLB")                                                                   \
  F(IOTLB,  IIRG,  61, 60, RW,  "granularity asked: 1 global, 2 domain, 3 page")                                      \
  F(IOTLB,  IAIG,  58, 57, RO,  "granularity done")                                                                   \
  F(IOTLB,  DR,    49, 49, RW,  "drain reads")                                                                        \
  F(IOTLB,  DW,    48, 48, RW,  "drain writes")                                                                       \
  F(IOTLB,  DID,   47, 32, RW,  "domain id")                                                                          \
  F(VCMD,   OP,    63, 16, RW,  "operand")                                                                            \
  F(VCMD,   CMD,    7,  0, RW,  "1 allocate a PASID, 2 free it")                                                      \
  F(VCRSP,  RSLT,  63, 16, RO,  "result")                                                                             \
  F(VCRSP,  SC,     7,  1, RO,  "status: 0 done, 16 no PASID left or invalid PASID")                                  \
  F(VCRSP,  IP,     0,  0, RO,  "under way")                                                                          \
  F(VCCAP,  PAS,    0,  0, RO,  "PASIDs can be allocated and freed")
// clang-format on

enum ims_vtd_reg {
#define IMS_X(name, offset, bytes, reset, section, sentence) IMS_VTD_##name,
  IMS_VTD_REGS(IMS_X)
#undef IMS_X
      IMS_VTD_REG_COUNT
};

// Offsets: IMS_VTD_OFF_GCMD and so on.
enum {
#define IMS_X(name, offset, bytes, reset, section, sentence) IMS_VTD_OFF_##name = (offset),
  IMS_VTD_REGS(IMS_X)
#undef IMS_X
      IMS_VTD_OFF_FRCD = 0x220, // fault recording registers, 16 bytes each
};

// Fields: IMS_VTD_BITS(GSTS_TES) is the mask; GET and PUT shift.
enum {
#define IMS_F(reg, field, high, low, access, sentence)                                                                 \
  IMS_VTD_##reg##_##field##_MSB = (high), IMS_VTD_##reg##_##field##_LSB = (low),
  IMS_VTD_FIELDS(IMS_F)
#undef IMS_F
};
#define IMS_VTD_BITS(f)       IMS_REG_BITS(IMS_VTD_##f##_MSB, IMS_VTD_##f##_LSB)
#define IMS_VTD_GET(value, f) (((value)&IMS_VTD_BITS(f)) >> IMS_VTD_##f##_LSB)
#define IMS_VTD_PUT(f, value) (((uint64_t)(value) << IMS_VTD_##f##_LSB) & IMS_VTD_BITS(f))

extern const struct ims_reg_info ims_vtd_regs[IMS_VTD_REG_COUNT];
extern const struct ims_reg_field ims_vtd_fields[];
extern const unsigned ims_vtd_field_count;

#ifdef __cplusplus
}
#endif
