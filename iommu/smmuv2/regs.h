// SPDX-License-Identifier: Apache-2.0
// SMMUv2 registers (Arm IHI 0062): one row a register, one row a field. Masks, access behaviour, dumps, trace decoding
// and the tables of docs/smmuv2.md come from here. The Non-secure programming interface.
//
// Three kinds of page. GR0: page 0. GR1: page 1. Bank n: page NUMPAGE + n. A page has 4 or 64 KB (IDR1.PAGESIZE), NUMPAGE
// is 2^(IDR1.NUMPAGENDXB + 1). Offsets are those within the page. SMR, S2CR, CBAR, CBFRSYNRA and CBA2R are arrays of
// 4-byte registers that begin there.
#pragma once

#include "iommu/regfile.h"

#ifdef __cplusplus
extern "C" {
#endif

// clang-format off
// X(name, offset, bytes, reset, page, sentence)
#define IMS_SMMUV2_GR0_REGS(X)                                                                                        \
  X(sCR0,          0x000, 4, 1,          "GR0", "control")                                                            \
  X(sCR1,          0x004, 4, 0,          "GR0", "Secure resources")                                                   \
  X(sCR2,          0x008, 4, 0,          "GR0", "bypass VMID")                                                        \
  X(sACR,          0x010, 4, 0,          "GR0", "auxiliary control (MMU-500's)")                                      \
  X(IDR0,          0x020, 4, 0,          "GR0", "features")                                                           \
  X(IDR1,          0x024, 4, 0,          "GR0", "context banks and pages")                                            \
  X(IDR2,          0x028, 4, 0,          "GR0", "address sizes and formats")                                          \
  X(IDR3,          0x02c, 4, 0,          "GR0", "reserved")                                                           \
  X(IDR4,          0x030, 4, 0,          "GR0", "implementation defined")                                             \
  X(IDR5,          0x034, 4, 0,          "GR0", "implementation defined")                                             \
  X(IDR6,          0x038, 4, 0,          "GR0", "implementation defined")                                             \
  X(IDR7,          0x03c, 4, 0,          "GR0", "revision")                                                           \
  X(sGFAR,         0x040, 8, 0,          "GR0", "global fault: address")                                              \
  X(sGFSR,         0x048, 4, 0,          "GR0", "global fault: status")                                               \
  X(sGFSRRESTORE,  0x04c, 4, 0,          "GR0", "global fault: sets sGFSR")                                           \
  X(sGFSYNR0,      0x050, 4, 0,          "GR0", "global fault: syndrome")                                             \
  X(sGFSYNR1,      0x054, 4, 0,          "GR0", "global fault: source")                                               \
  X(sGFSYNR2,      0x058, 4, 0,          "GR0", "global fault: implementation defined")                               \
  X(STLBIALL,      0x060, 4, 0,          "GR0", "invalidates all Secure entries")                                     \
  X(TLBIVMID,      0x064, 4, 0,          "GR0", "invalidates all entries of a VMID")                                  \
  X(TLBIALLNSNH,   0x068, 4, 0,          "GR0", "invalidates all entries but those of hypervisor banks")              \
  X(TLBIALLH,      0x06c, 4, 0,          "GR0", "invalidates all entries of hypervisor banks")                        \
  X(sTLBGSYNC,     0x070, 4, 0,          "GR0", "waits for all invalidations")                                        \
  X(sTLBGSTATUS,   0x074, 4, 0,          "GR0", "whether any is under way")                                           \
  X(TLBIVAH,       0x078, 4, 0,          "GR0", "invalidates hypervisor entries of an address, AArch32")              \
  X(TLBIVALH64,    0x0b0, 8, 0,          "GR0", "invalidates hypervisor entries of an address, last level")           \
  X(TLBIVMIDS1,    0x0b8, 4, 0,          "GR0", "invalidates stage-1 and nested entries of a VMID")                   \
  X(TLBIVAH64,     0x0c0, 8, 0,          "GR0", "invalidates hypervisor entries of an address")                       \
  X(SMR,           0x800, 4, 0,          "GR0", "stream match, one a group")                                          \
  X(S2CR,          0xc00, 4, 0x00020000, "GR0", "stream to context, one a group")

#define IMS_SMMUV2_GR1_REGS(X)                                                                                        \
  X(CBAR,          0x000, 4, 0x00020000, "GR1", "what a bank does, one a bank")                                       \
  X(CBFRSYNRA,     0x400, 4, 0,          "GR1", "source of a bank's fault, one a bank")                               \
  X(CBA2R,         0x800, 4, 0,          "GR1", "format and VMID of a bank, one a bank")

#define IMS_SMMUV2_CB_REGS(X)                                                                                         \
  X(SCTLR,         0x000, 4, 0x100,      "bank", "control")                                                           \
  X(ACTLR,         0x004, 4, 0,          "bank", "auxiliary control (MMU-500's)")                                     \
  X(RESUME,        0x008, 4, 0,          "bank", "ends a stall")                                                      \
  X(TCR2,          0x010, 4, 0,          "bank", "translation control, stage 1")                                      \
  X(TTBR0,         0x020, 8, 0,          "bank", "table of the lower addresses, or of stage 2")                       \
  X(TTBR1,         0x028, 8, 0,          "bank", "table of the upper addresses")                                      \
  X(TCR,           0x030, 4, 0,          "bank", "translation control")                                               \
  X(CONTEXTIDR,    0x034, 4, 0,          "bank", "ASID of short descriptors")                                         \
  X(MAIR0,         0x038, 4, 0,          "bank", "memory attributes 0 to 3")                                          \
  X(MAIR1,         0x03c, 4, 0,          "bank", "memory attributes 4 to 7")                                          \
  X(FSR,           0x058, 4, 0,          "bank", "fault: status")                                                     \
  X(FSRRESTORE,    0x05c, 4, 0,          "bank", "fault: sets FSR")                                                   \
  X(FAR,           0x060, 8, 0,          "bank", "fault: address")                                                    \
  X(FSYNR0,        0x068, 4, 0,          "bank", "fault: syndrome")                                                   \
  X(FSYNR1,        0x06c, 4, 0,          "bank", "fault: implementation defined")                                     \
  X(IPAFAR,        0x070, 8, 0,          "bank", "fault of stage 2: IPA")                                             \
  X(TLBIVA,        0x600, 8, 0,          "bank", "invalidates an address of an ASID")                                 \
  X(TLBIVAA,       0x608, 8, 0,          "bank", "invalidates an address of all ASIDs")                               \
  X(TLBIASID,      0x610, 4, 0,          "bank", "invalidates an ASID")                                               \
  X(TLBIALL,       0x618, 4, 0,          "bank", "invalidates what the bank's stage has under its VMID")              \
  X(TLBIVAL,       0x620, 8, 0,          "bank", "invalidates an address of an ASID, last level")                     \
  X(TLBIVAAL,      0x628, 8, 0,          "bank", "invalidates an address of all ASIDs, last level")                   \
  X(TLBIIPAS2,     0x630, 8, 0,          "bank", "invalidates an IPA")                                                \
  X(TLBIIPAS2L,    0x638, 8, 0,          "bank", "invalidates an IPA, last level")                                    \
  X(TLBSYNC,       0x7f0, 4, 0,          "bank", "waits for the bank's invalidations")                                \
  X(TLBSTATUS,     0x7f4, 4, 0,          "bank", "whether one is under way")

// F(register, field, high, low, access, sentence). The fields of the IDRs are IMS_SMMUV2_FEATURES in smmuv2.h.
#define IMS_SMMUV2_GR0_FIELDS(F)                                                                                      \
  F(sCR0,         CLIENTPD,      0,  0, RW,  "everything bypasses")                                                   \
  F(sCR0,         GFRE,          1,  1, RW,  "global faults abort; else reads give zeros, writes vanish")             \
  F(sCR0,         GFIE,          2,  2, RW,  "global faults interrupt")                                               \
  F(sCR0,         EXIDENABLE,    3,  3, RW,  "stream ids of 16 bits")                                                 \
  F(sCR0,         GCFGFRE,       4,  4, RW,  "configuration access faults abort (none here)")                         \
  F(sCR0,         GCFGFIE,       5,  5, RW,  "configuration access faults interrupt (none here)")                     \
  F(sCR0,         TRANSIENTCFG,  7,  6, RW,  "bypass: transient allocation (no effect)")                              \
  F(sCR0,         STALLD,        8,  8, RW,  "no fault stalls")                                                       \
  F(sCR0,         GSE,           9,  9, RW,  "a stall holds all banks (no effect)")                                   \
  F(sCR0,         USFCFG,       10, 10, RW,  "a stream that matches nothing: 1 faults, 0 bypasses")                   \
  F(sCR0,         VMIDPNE,      11, 11, RW,  "private VMIDs (no effect)")                                             \
  F(sCR0,         PTM,          12, 12, RW,  "broadcast TLB maintenance is ignored (no effect)")                      \
  F(sCR0,         FB,           13, 13, RW,  "broadcast of barriers (no effect)")                                     \
  F(sCR0,         BSU,          15, 14, RW,  "barrier shareability upgrade (no effect)")                              \
  F(sCR0,         MEMATTR,      19, 16, RW,  "bypass: memory type")                                                   \
  F(sCR0,         MTCFG,        20, 20, RW,  "bypass: MEMATTR replaces the incoming type")                            \
  F(sCR0,         SMCFCFG,      21, 21, RW,  "a stream that matches twice: 1 faults, 0 takes the lowest")             \
  F(sCR0,         SHCFG,        23, 22, RW,  "bypass: shareability: 0 incoming, 1 outer, 2 inner, 3 none")            \
  F(sCR0,         RACFG,        25, 24, RW,  "bypass: read allocation (no effect)")                                   \
  F(sCR0,         WACFG,        27, 26, RW,  "bypass: write allocation (no effect)")                                  \
  F(sCR0,         VMID16EN,     31, 31, RW,  "VMIDs of 16 bits, in CBA2R")                                            \
  F(sCR2,         BPVMID,        7,  0, RW,  "VMID of bypassing streams (no effect)")                                 \
  F(sACR,         SMTNMB_TLBEN,  8,  8, RW,  "stream match misses are cached (no effect)")                            \
  F(sACR,         S2CRB_TLBEN,  10, 10, RW,  "bypassing streams are cached (no effect)")                              \
  F(sACR,         CACHE_LOCK,   26, 26, RW,  "sACR and ACTLR are locked (no effect)")                                 \
  F(sGFAR,        FADDR,        63,  0, RW,  "address as it came in")                                                 \
  F(sGFSR,        ICF,           0,  0, W1C, "invalid context")                                                       \
  F(sGFSR,        USF,           1,  1, W1C, "unidentified stream")                                                   \
  F(sGFSR,        SMCF,          2,  2, W1C, "stream match conflict")                                                 \
  F(sGFSR,        UCBF,          3,  3, W1C, "unimplemented context bank")                                            \
  F(sGFSR,        UCIF,          4,  4, W1C, "unimplemented context interrupt")                                       \
  F(sGFSR,        CAF,           5,  5, W1C, "configuration access")                                                  \
  F(sGFSR,        EF,            6,  6, W1C, "external")                                                              \
  F(sGFSR,        PF,            7,  7, W1C, "permission")                                                            \
  F(sGFSR,        UUT,           8,  8, W1C, "unsupported upstream transaction")                                      \
  F(sGFSR,        MULTI,        31, 31, W1C, "others followed")                                                       \
  F(sGFSRRESTORE, FAULTS,        8,  0, WO,  "as in sGFSR")                                                           \
  F(sGFSRRESTORE, MULTI,        31, 31, WO,  "as in sGFSR")                                                           \
  F(sGFSYNR0,     NESTED,        0,  0, RW,  "in the stage-2 bank of a nested bank")                                  \
  F(sGFSYNR0,     WNR,           1,  1, RW,  "write")                                                                 \
  F(sGFSYNR0,     PNU,           2,  2, RW,  "privileged")                                                            \
  F(sGFSYNR0,     IND,           3,  3, RW,  "instruction")                                                           \
  F(sGFSYNR0,     NSSTATE,       4,  4, RW,  "Non-secure source")                                                     \
  F(sGFSYNR0,     NSATTR,        5,  5, RW,  "Non-secure access")                                                     \
  F(sGFSYNR0,     ATS,           6,  6, RW,  "translation request")                                                   \
  F(sGFSYNR1,     STREAMID,     15,  0, RW,  "stream id")                                                             \
  F(sGFSYNR1,     SSD_INDEX,    30, 16, RW,  "security state index")                                                  \
  F(STLBIALL,     ANY,          31,  0, WO,  "any value")                                                             \
  F(TLBIVMID,     VMID,         15,  0, WO,  "VMID")                                                                  \
  F(TLBIALLNSNH,  ANY,          31,  0, WO,  "any value")                                                             \
  F(TLBIALLH,     ANY,          31,  0, WO,  "any value")                                                             \
  F(sTLBGSYNC,    ANY,          31,  0, WO,  "any value")                                                             \
  F(sTLBGSTATUS,  GSACTIVE,      0,  0, RO,  "under way")                                                             \
  F(TLBIVAH,      ADDR,         31, 12, WO,  "address bits 31:12")                                                    \
  F(TLBIVALH64,   ADDR,         43,  0, WO,  "address bits 55:12")                                                    \
  F(TLBIVMIDS1,   VMID,         15,  0, WO,  "VMID")                                                                  \
  F(TLBIVAH64,    ADDR,         43,  0, WO,  "address bits 55:12")                                                    \
  F(SMR,          ID,           14,  0, RW,  "stream id (15:0 with EXIDENABLE)")                                      \
  F(SMR,          MASK,         30, 16, RW,  "bits of it that do not count (31:16 with EXIDENABLE)")                  \
  F(SMR,          VALID,        31, 31, RW,  "in use (S2CR.EXIDVALID with EXIDENABLE)")                               \
  F(S2CR,         CBNDX,         7,  0, RW,  "TYPE 0: context bank; TYPE 1: VMID (no effect)")                        \
  F(S2CR,         SHCFG,         9,  8, RW,  "bypass: shareability, as in sCR0")                                      \
  F(S2CR,         EXIDVALID,    10, 10, RW,  "in use, with EXIDENABLE")                                               \
  F(S2CR,         MTCFG,        11, 11, RW,  "bypass: MEMATTR replaces the incoming type")                            \
  F(S2CR,         MEMATTR,      15, 12, RW,  "bypass: memory type")                                                   \
  F(S2CR,         TYPE,         17, 16, RW,  "0 translate, 1 bypass, 2 fault")                                        \
  F(S2CR,         NSCFG,        19, 18, RW,  "security state (no effect)")                                            \
  F(S2CR,         RACFG,        21, 20, RW,  "read allocation (no effect)")                                           \
  F(S2CR,         WACFG,        23, 22, RW,  "write allocation (no effect)")                                          \
  F(S2CR,         PRIVCFG,      25, 24, RW,  "0 and 1 as sent, 2 unprivileged, 3 privileged")                         \
  F(S2CR,         INSTCFG,      27, 26, RW,  "0 and 1 as sent, 2 data, 3 instruction (reads only)")                   \
  F(S2CR,         TRANSIENTCFG, 29, 28, RW,  "transient allocation (no effect)")

#define IMS_SMMUV2_GR1_FIELDS(F)                                                                                      \
  F(CBAR,         VMID,          7,  0, RW,  "VMID, without VMID16EN")                                                \
  F(CBAR,         CBNDX,        15,  8, RW,  "TYPE 3: the stage-2 bank; TYPE 1: BPSHCFG 9:8, HYPC 10, FB 11, MEMATTR 15:12") \
  F(CBAR,         TYPE,         17, 16, RW,  "0 stage 2, 1 stage 1, 2 stage 1 with fault, 3 nested")                  \
  F(CBAR,         BSU,          19, 18, RW,  "barrier shareability upgrade (no effect)")                              \
  F(CBAR,         RACFG,        21, 20, RW,  "read allocation (no effect)")                                           \
  F(CBAR,         WACFG,        23, 22, RW,  "write allocation (no effect)")                                          \
  F(CBFRSYNRA,    STREAMID,     15,  0, RW,  "stream id")                                                             \
  F(CBFRSYNRA,    SSD_INDEX,    30, 16, RW,  "security state index")                                                  \
  F(CBA2R,        VA64,          0,  0, RW,  "AArch64 format")                                                        \
  F(CBA2R,        MONC,          1,  1, RW,  "monitor context (no effect)")                                           \
  F(CBA2R,        VMID16,       31, 16, RW,  "VMID, with VMID16EN")

#define IMS_SMMUV2_CB_FIELDS(F)                                                                                       \
  F(SCTLR,        M,             0,  0, RW,  "this stage is on")                                                      \
  F(SCTLR,        TRE,           1,  1, RW,  "short descriptors: type remap (no effect)")                             \
  F(SCTLR,        AFE,           2,  2, RW,  "short descriptors: access flag (no effect)")                            \
  F(SCTLR,        AFFD,          3,  3, RW,  "no access flag faults")                                                 \
  F(SCTLR,        E,             4,  4, RW,  "big-endian tables")                                                     \
  F(SCTLR,        CFRE,          5,  5, RW,  "faults abort; else reads give zeros, writes vanish")                    \
  F(SCTLR,        CFIE,          6,  6, RW,  "faults interrupt")                                                      \
  F(SCTLR,        CFCFG,         7,  7, RW,  "faults: 1 stall, 0 terminate")                                          \
  F(SCTLR,        HUPCF,         8,  8, RW,  "others are served while a fault is outstanding")                        \
  F(SCTLR,        WXN,           9,  9, RW,  "writable memory is not executable")                                     \
  F(SCTLR,        UWXN,         10, 10, RW,  "AArch32: unprivileged-writable memory is not privileged-executable")    \
  F(SCTLR,        ASIDPNE,      12, 12, RW,  "private ASIDs (no effect)")                                             \
  F(SCTLR,        PTW,          13, 13, RW,  "stage 2: walks through Device memory fault")                            \
  F(SCTLR,        TRANSIENTCFG, 15, 14, RW,  "stage off: transient allocation (no effect)")                           \
  F(SCTLR,        MEMATTR,      19, 16, RW,  "stage off: memory type")                                                \
  F(SCTLR,        MTCFG,        20, 20, RW,  "stage off: MEMATTR replaces the incoming type")                         \
  F(SCTLR,        FB,           21, 21, RW,  "broadcast (no effect)")                                                 \
  F(SCTLR,        SHCFG,        23, 22, RW,  "stage off: shareability, as in sCR0")                                   \
  F(SCTLR,        RACFG,        25, 24, RW,  "stage off: read allocation (no effect)")                                \
  F(SCTLR,        WACFG,        27, 26, RW,  "stage off: write allocation (no effect)")                               \
  F(SCTLR,        NSCFG,        29, 28, RW,  "security state (no effect)")                                            \
  F(ACTLR,        CMTLB,         0,  0, RW,  "main TLB (no effect)")                                                  \
  F(ACTLR,        CPRE,          1,  1, RW,  "prefetch (no effect)")                                                  \
  F(RESUME,       TNR,           0,  0, WO,  "1 terminate, 0 retry")                                                  \
  F(TCR2,         PASIZE,        2,  0, RW,  "width of stage-1 outputs: 0 to 5 = 32, 36, 40, 42, 44, 48")             \
  F(TCR2,         AS,            4,  4, RW,  "ASIDs of 16 bits")                                                      \
  F(TCR2,         TBI0,          5,  5, RW,  "top byte ignored, lower addresses")                                     \
  F(TCR2,         TBI1,          6,  6, RW,  "top byte ignored, upper addresses")                                     \
  F(TCR2,         SEP,          17, 15, RW,  "sign bit: 0 to 5 = 31, 35, 39, 41, 43, 47; 7 by the upstream bus")      \
  F(TTBR0,        BADDR,        47,  0, RW,  "table")                                                                 \
  F(TTBR0,        ASID,         63, 48, RW,  "ASID, with A1=0")                                                       \
  F(TTBR1,        BADDR,        47,  0, RW,  "table")                                                                 \
  F(TTBR1,        ASID,         63, 48, RW,  "ASID, with A1=1")                                                       \
  F(TCR,          T0SZ,          5,  0, RW,  "input bits, from the top")                                              \
  F(TCR,          SL0,           7,  6, RW,  "stage 2: start level; stage 1: 7 EPD0, no walks of TTBR0")              \
  F(TCR,          IRGN0,         9,  8, RW,  "walks: inner cacheability (no effect)")                                 \
  F(TCR,          ORGN0,        11, 10, RW,  "walks: outer cacheability (no effect)")                                 \
  F(TCR,          SH0,          13, 12, RW,  "walks: shareability (no effect)")                                       \
  F(TCR,          TG0,          15, 14, RW,  "granule: 0 4 KB, 1 64 KB, 2 16 KB")                                     \
  F(TCR,          T1SZ,         21, 16, RW,  "input bits of TTBR1; stage 2: 18:16 PS, width of the output")           \
  F(TCR,          A1,           22, 22, RW,  "the ASID is TTBR1's")                                                   \
  F(TCR,          EPD1,         23, 23, RW,  "no walks of TTBR1")                                                     \
  F(TCR,          IRGN1,        25, 24, RW,  "walks of TTBR1 (no effect)")                                            \
  F(TCR,          ORGN1,        27, 26, RW,  "walks of TTBR1 (no effect)")                                            \
  F(TCR,          SH1,          29, 28, RW,  "walks of TTBR1 (no effect)")                                            \
  F(TCR,          TG1,          31, 30, RW,  "granule: 1 16 KB, 2 4 KB, 3 64 KB; AArch32: 31 EAE, long descriptors")  \
  F(CONTEXTIDR,   PROCID,       31,  0, RW,  "process (no effect)")                                                   \
  F(MAIR0,        ATTRS,        31,  0, RW,  "a byte each")                                                           \
  F(MAIR1,        ATTRS,        31,  0, RW,  "a byte each")                                                           \
  F(FSR,          TF,            1,  1, W1C, "translation")                                                           \
  F(FSR,          AFF,           2,  2, W1C, "access flag")                                                           \
  F(FSR,          PF,            3,  3, W1C, "permission")                                                            \
  F(FSR,          EF,            4,  4, W1C, "external")                                                              \
  F(FSR,          TLBMCF,        5,  5, W1C, "TLB match conflict")                                                    \
  F(FSR,          TLBLKF,        6,  6, W1C, "TLB lock")                                                              \
  F(FSR,          ASF,           7,  7, W1C, "address size")                                                          \
  F(FSR,          UUT,           8,  8, W1C, "unsupported upstream transaction")                                      \
  F(FSR,          FORMAT,       10,  9, RO,  "of the bank: 0 short, 1 long, 2 AArch64")                               \
  F(FSR,          SS,           30, 30, RO,  "stalled")                                                               \
  F(FSR,          MULTI,        31, 31, W1C, "others followed")                                                       \
  F(FSRRESTORE,   FAULTS,       10,  1, WO,  "as in FSR")                                                             \
  F(FSRRESTORE,   MULTI,        31, 31, WO,  "as in FSR")                                                             \
  F(FAR,          FADDR,        63,  0, RW,  "address as it came in")                                                 \
  F(FSYNR0,       PLVL,          1,  0, RW,  "level of the walk")                                                     \
  F(FSYNR0,       WNR,           4,  4, RW,  "write")                                                                 \
  F(FSYNR0,       PNU,           5,  5, RW,  "privileged")                                                            \
  F(FSYNR0,       IND,           6,  6, RW,  "instruction")                                                           \
  F(FSYNR0,       NSATTR,        8,  8, RW,  "Non-secure access (0 here)")                                            \
  F(FSYNR0,       ATOF,          9,  9, RW,  "of an address translation operation (0 here)")                          \
  F(FSYNR0,       PTWF,         10, 10, RW,  "stage 2, on behalf of a stage-1 table")                                 \
  F(FSYNR0,       AFR,          11, 11, RW,  "asynchronous (0 here)")                                                 \
  F(FSYNR0,       S1CBNDX,      23, 16, RW,  "the stage-1 bank")                                                      \
  F(FSYNR1,       ANY,          31,  0, RW,  "implementation defined (0 here)")                                       \
  F(IPAFAR,       FADDR,        63,  0, RW,  "intermediate physical address")                                         \
  F(TLBIVA,       ADDR,         43,  0, WO,  "address bits 55:12 (AArch32: 31:12 there, ASID 7:0)")                   \
  F(TLBIVA,       ASID,         63, 48, WO,  "ASID")                                                                  \
  F(TLBIVAA,      ADDR,         43,  0, WO,  "address, as in TLBIVA")                                                 \
  F(TLBIASID,     ASID,         15,  0, WO,  "ASID")                                                                  \
  F(TLBIALL,      ANY,          31,  0, WO,  "any value")                                                             \
  F(TLBIVAL,      ADDR,         43,  0, WO,  "address, as in TLBIVA")                                                 \
  F(TLBIVAL,      ASID,         63, 48, WO,  "ASID")                                                                  \
  F(TLBIVAAL,     ADDR,         43,  0, WO,  "address, as in TLBIVA")                                                 \
  F(TLBIIPAS2,    ADDR,         35,  0, WO,  "address bits 47:12")                                                    \
  F(TLBIIPAS2L,   ADDR,         35,  0, WO,  "address bits 47:12")                                                    \
  F(TLBSYNC,      ANY,          31,  0, WO,  "any value")                                                             \
  F(TLBSTATUS,    SACTIVE,       0,  0, RO,  "under way")
// clang-format on

enum ims_smmuv2_gr0 {
#define IMS_X(name, offset, bytes, reset, page, sentence) IMS_SMMUV2_##name,
  IMS_SMMUV2_GR0_REGS(IMS_X)
#undef IMS_X
      IMS_SMMUV2_GR0_COUNT
};
enum ims_smmuv2_gr1 {
#define IMS_X(name, offset, bytes, reset, page, sentence) IMS_SMMUV2_##name,
  IMS_SMMUV2_GR1_REGS(IMS_X)
#undef IMS_X
      IMS_SMMUV2_GR1_COUNT
};
enum ims_smmuv2_cb {
#define IMS_X(name, offset, bytes, reset, page, sentence) IMS_SMMUV2_CB_##name,
  IMS_SMMUV2_CB_REGS(IMS_X)
#undef IMS_X
      IMS_SMMUV2_CB_COUNT
};

// Offsets within the page: IMS_SMMUV2_OFF_sCR0, IMS_SMMUV2_OFF_CBAR, IMS_SMMUV2_OFF_CB_SCTLR and so on.
enum {
#define IMS_X(name, offset, bytes, reset, page, sentence) IMS_SMMUV2_OFF_##name = (offset),
  IMS_SMMUV2_GR0_REGS(IMS_X) IMS_SMMUV2_GR1_REGS(IMS_X)
#undef IMS_X
#define IMS_X(name, offset, bytes, reset, page, sentence) IMS_SMMUV2_OFF_CB_##name = (offset),
      IMS_SMMUV2_CB_REGS(IMS_X)
#undef IMS_X
};

// Fields: IMS_SMMUV2_BITS(sCR0_CLIENTPD), IMS_SMMUV2_BITS(SCTLR_M) are masks; GET and PUT shift.
enum {
#define IMS_F(reg, field, high, low, access, sentence)                                                                 \
  IMS_SMMUV2_##reg##_##field##_MSB = (high), IMS_SMMUV2_##reg##_##field##_LSB = (low),
  IMS_SMMUV2_GR0_FIELDS(IMS_F) IMS_SMMUV2_GR1_FIELDS(IMS_F) IMS_SMMUV2_CB_FIELDS(IMS_F)
#undef IMS_F
};
#define IMS_SMMUV2_BITS(f)       IMS_REG_BITS(IMS_SMMUV2_##f##_MSB, IMS_SMMUV2_##f##_LSB)
#define IMS_SMMUV2_GET(value, f) (((value)&IMS_SMMUV2_BITS(f)) >> IMS_SMMUV2_##f##_LSB)
#define IMS_SMMUV2_PUT(f, value) (((uint64_t)(value) << IMS_SMMUV2_##f##_LSB) & IMS_SMMUV2_BITS(f))

// Where a field means something else: bits of TCR and CBAR by the bank's type.
#define IMS_SMMUV2_TCR_EPD0  (1u << 7)  // stage 1
#define IMS_SMMUV2_TCR_PS    (7u << 16) // stage 2
#define IMS_SMMUV2_TCR_EAE   (1u << 31) // stage 1, AArch32
#define IMS_SMMUV2_CBAR_HYPC (1u << 10) // TYPE 1
enum { IMS_SMMUV2_S2CR_TRANSLATE, IMS_SMMUV2_S2CR_BYPASS, IMS_SMMUV2_S2CR_FAULT };
enum { IMS_SMMUV2_CBAR_S2, IMS_SMMUV2_CBAR_S1, IMS_SMMUV2_CBAR_S1_FAULT, IMS_SMMUV2_CBAR_NESTED };

// One table of registers and one of fields for each kind of page. In struct ims_reg_info, `section` holds the page.
extern const struct ims_reg_info ims_smmuv2_gr0_regs[IMS_SMMUV2_GR0_COUNT];
extern const struct ims_reg_info ims_smmuv2_gr1_regs[IMS_SMMUV2_GR1_COUNT];
extern const struct ims_reg_info ims_smmuv2_cb_regs[IMS_SMMUV2_CB_COUNT];
extern const struct ims_reg_field ims_smmuv2_gr0_fields[], ims_smmuv2_gr1_fields[], ims_smmuv2_cb_fields[];
extern const unsigned ims_smmuv2_gr0_field_count, ims_smmuv2_gr1_field_count, ims_smmuv2_cb_field_count;

#ifdef __cplusplus
}
#endif
