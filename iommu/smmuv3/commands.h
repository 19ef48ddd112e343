// SPDX-License-Identifier: Apache-2.0
// Commands of SMMUv3, Arm IHI 0070 chapter 4: one row each, with the fields that it has and what it needs; and where those
// fields lie. The hardware, drivers, traces, the explanation and the table of docs/smmuv3.md read these rows.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// clang-format off
// Fields of a command, 16 bytes. X(name, lowest bit, bits, sentence). Every command has OP.
#define IMS_SMMUV3_COMMAND_FIELDS(X)                                                                  \
  X(OP,          0,  8, "opcode")                                                                     \
  X(GLOBAL,      9,  1, "ATC_INV with SSV: all PASIDs")                                               \
  X(SSEC,       10,  1, "the StreamID is Secure")                                                     \
  X(SSV,        11,  1, "SubstreamID valid")                                                          \
  X(SSID,       12, 20, "SubstreamID")                                                                \
  X(NUM,        12,  5, "range: granules, less one")                                                  \
  X(AC,         12,  1, "1 retry, 0 terminate")                                                       \
  X(AB,         13,  1, "terminate: 1 abort, 0 reads give zeros and writes vanish")                   \
  X(CS,         12,  2, "completion: 0 none, 1 interrupt, 2 event")                                   \
  X(SCALE,      20,  6, "range: log2 by which NUM + 1 is multiplied")                                 \
  X(MSH,        22,  2, "shareability of the message")                                                \
  X(MSIATTR,    24,  4, "memory type of the message")                                                 \
  X(SID,        32, 32, "StreamID")                                                                   \
  X(VMID,       32, 16, "VMID")                                                                       \
  X(MSIDATA,    32, 32, "payload of the message")                                                     \
  X(ASID,       48, 16, "ASID")                                                                       \
  X(LEAF,       64,  1, "the last level only")                                                        \
  X(RANGE,      64,  5, "2^(RANGE + 1) StreamIDs; 31: all")                                           \
  X(COUNT,      64,  5, "prefetch: log2 of the translations")                                         \
  X(SIZE,       64,  6, "log2 of the pages of 4 KB; 52: all")                                         \
  X(PRG,        64,  9, "page request group index")                                                   \
  X(STAG,       64, 16, "stall tag")                                                                  \
  X(MSIADDR,    66, 54, "address of the message, bits 55:2; 0: none")                                 \
  X(STRIDE,     69,  5, "prefetch: log2 of the pages of 4 KB from one to the next")                   \
  X(TTL128,     71,  1, "the level is of 128-bit descriptors")                                        \
  X(TTL,        72,  2, "level of the leaf; 0: any")                                                  \
  X(TG,         74,  2, "granule: 0 any, and no range; 1 4 KB, 2 16 KB, 3 64 KB")                     \
  X(ADDR,       76, 52, "address, bits 63:12")                                                        \
  X(RESP,       76,  2, "0 failure, 1 invalid request, 2 success")

// Groups of fields for the rows below.
#define IMS_SMMUV3_CF(name) (1u << IMS_SMMUV3_COMMAND_##name##_FIELD)
#define IMS_SMMUV3_CF_STREAM (IMS_SMMUV3_CF(SSEC) | IMS_SMMUV3_CF(SID))
#define IMS_SMMUV3_CF_SUB    (IMS_SMMUV3_CF(SSV) | IMS_SMMUV3_CF(SSID))
#define IMS_SMMUV3_CF_PAGES  (IMS_SMMUV3_CF(NUM) | IMS_SMMUV3_CF(SCALE) | IMS_SMMUV3_CF(LEAF) | IMS_SMMUV3_CF(TTL128) | \
                              IMS_SMMUV3_CF(TTL) | IMS_SMMUV3_CF(TG) | IMS_SMMUV3_CF(ADDR))

// X(opcode, name, section, needs, fields, sentence). needs: enum ims_smmuv3_command_needs; without it CERROR_ILL.
#define IMS_SMMUV3_COMMANDS(X)                                                                                            \
  X(0x01, PREFETCH_CONFIG, "4.2.1", NOTHING, IMS_SMMUV3_CF_STREAM | IMS_SMMUV3_CF_SUB, "STE and CD may be fetched")       \
  X(0x02, PREFETCH_ADDR,   "4.2.2", NOTHING, IMS_SMMUV3_CF_STREAM | IMS_SMMUV3_CF_SUB | IMS_SMMUV3_CF(COUNT) |            \
    IMS_SMMUV3_CF(STRIDE) | IMS_SMMUV3_CF(ADDR), "translations may be fetched")                                           \
  X(0x03, CFGI_STE,        "4.3.1", NOTHING, IMS_SMMUV3_CF_STREAM | IMS_SMMUV3_CF(LEAF), "STE of a stream, and its CDs")  \
  X(0x04, CFGI_STE_RANGE,  "4.3.2", NOTHING, IMS_SMMUV3_CF_STREAM | IMS_SMMUV3_CF(RANGE), "STEs of streams, and their CDs") \
  X(0x05, CFGI_CD,         "4.3.3", S1,      IMS_SMMUV3_CF_STREAM | IMS_SMMUV3_CF(SSID) | IMS_SMMUV3_CF(LEAF), "one CD")  \
  X(0x06, CFGI_CD_ALL,     "4.3.4", S1,      IMS_SMMUV3_CF_STREAM, "all CDs of a stream")                                 \
  X(0x07, CFGI_VMS_PIDM,   "4.3.5", MPAM,    IMS_SMMUV3_CF(SSEC) | IMS_SMMUV3_CF(VMID), "PARTID map of a VMID")           \
  X(0x10, TLBI_NH_ALL,     "4.4.2.1", S1,    IMS_SMMUV3_CF(VMID), "EL1: a VMID")                                          \
  X(0x11, TLBI_NH_ASID,    "4.4.2.2", S1,    IMS_SMMUV3_CF(VMID) | IMS_SMMUV3_CF(ASID), "EL1: an ASID of a VMID")         \
  X(0x12, TLBI_NH_VA,      "4.4.2.4", S1,    IMS_SMMUV3_CF(VMID) | IMS_SMMUV3_CF(ASID) | IMS_SMMUV3_CF_PAGES, "EL1: addresses of an ASID") \
  X(0x13, TLBI_NH_VAA,     "4.4.2.3", S1,    IMS_SMMUV3_CF(VMID) | IMS_SMMUV3_CF_PAGES, "EL1: addresses of all ASIDs of a VMID") \
  X(0x18, TLBI_EL3_ALL,    "4.4.2.5", SECURE, 0, "EL3")                                                                   \
  X(0x1a, TLBI_EL3_VA,     "4.4.2.6", SECURE, IMS_SMMUV3_CF_PAGES, "EL3: addresses")                                      \
  X(0x20, TLBI_EL2_ALL,    "4.4.2.7", HYP,   0, "EL2")                                                                    \
  X(0x21, TLBI_EL2_ASID,   "4.4.2.10", HYP,  IMS_SMMUV3_CF(ASID), "EL2-E2H: an ASID")                                     \
  X(0x22, TLBI_EL2_VA,     "4.4.2.8", HYP,   IMS_SMMUV3_CF(ASID) | IMS_SMMUV3_CF_PAGES, "EL2: addresses; E2H: of an ASID") \
  X(0x23, TLBI_EL2_VAA,    "4.4.2.9", HYP,   IMS_SMMUV3_CF_PAGES, "EL2: addresses of all ASIDs")                          \
  X(0x28, TLBI_S12_VMALL,  "4.4.3.2", S2,    IMS_SMMUV3_CF(VMID), "both stages of a VMID")                                \
  X(0x2a, TLBI_S2_IPA,     "4.4.3.1", S2,    IMS_SMMUV3_CF(VMID) | IMS_SMMUV3_CF_PAGES, "stage 2: addresses of a VMID")   \
  X(0x30, TLBI_NSNH_ALL,   "4.4.4.1", NOTHING, 0, "everything but EL2")                                                   \
  X(0x40, ATC_INV,         "4.5.1", ATS,     IMS_SMMUV3_CF(SID) | IMS_SMMUV3_CF_SUB | IMS_SMMUV3_CF(GLOBAL) |             \
    IMS_SMMUV3_CF(SIZE) | IMS_SMMUV3_CF(ADDR), "translations in a device")                                                \
  X(0x41, PRI_RESP,        "4.5.2", PRI,     IMS_SMMUV3_CF(SID) | IMS_SMMUV3_CF_SUB | IMS_SMMUV3_CF(PRG) |                \
    IMS_SMMUV3_CF(RESP), "answer to a page request group")                                                                \
  X(0x44, RESUME,          "4.7.1", STALLS,  IMS_SMMUV3_CF_STREAM | IMS_SMMUV3_CF(AC) | IMS_SMMUV3_CF(AB) |               \
    IMS_SMMUV3_CF(STAG), "ends a stall")                                                                                  \
  X(0x45, STALL_TERM,      "4.7.2", STALLS,  IMS_SMMUV3_CF_STREAM, "ends the stalls of a stream")                         \
  X(0x46, SYNC,            "4.7.3", NOTHING, IMS_SMMUV3_CF(CS) | IMS_SMMUV3_CF(MSH) | IMS_SMMUV3_CF(MSIATTR) |            \
    IMS_SMMUV3_CF(MSIDATA) | IMS_SMMUV3_CF(MSIADDR), "what stands before has been done")                                  \
  X(0x50, TLBI_S_EL2_ALL,  "4.4.2.11", SECURE, 0, "Secure EL2")                                                           \
  X(0x51, TLBI_S_EL2_ASID, "4.4.2.14", SECURE, IMS_SMMUV3_CF(ASID), "Secure EL2-E2H: an ASID")                            \
  X(0x52, TLBI_S_EL2_VA,   "4.4.2.12", SECURE, IMS_SMMUV3_CF(ASID) | IMS_SMMUV3_CF_PAGES, "Secure EL2: addresses")        \
  X(0x53, TLBI_S_EL2_VAA,  "4.4.2.13", SECURE, IMS_SMMUV3_CF_PAGES, "Secure EL2: addresses of all ASIDs")                 \
  X(0x58, TLBI_S_S12_VMALL,"4.4.3.4", SECURE, IMS_SMMUV3_CF(VMID), "Secure: both stages of a VMID")                       \
  X(0x5a, TLBI_S_S2_IPA,   "4.4.3.3", SECURE, IMS_SMMUV3_CF(VMID) | IMS_SMMUV3_CF_PAGES, "Secure stage 2: addresses of a VMID") \
  X(0x60, TLBI_SNH_ALL,    "4.4.4.2", SECURE, 0, "everything Secure but EL2")                                             \
  X(0x70, DPTI_ALL,        "4.6",   DPT,     0, "device permission table")                                                \
  X(0x73, DPTI_PA,         "4.6",   DPT,     IMS_SMMUV3_CF_PAGES, "device permission table: addresses")
// clang-format on

enum ims_smmuv3_command {
#define IMS_X(opcode, name, section, needs, fields, sentence) IMS_SMMUV3_CMD_##name = (opcode),
  IMS_SMMUV3_COMMANDS(IMS_X)
#undef IMS_X
};

// Why a command can be unknown to a unit.
enum ims_smmuv3_command_needs {
  IMS_SMMUV3_NEEDS_NOTHING,
  IMS_SMMUV3_NEEDS_S1,     // IDR0.S1P
  IMS_SMMUV3_NEEDS_S2,     // IDR0.S2P
  IMS_SMMUV3_NEEDS_HYP,    // IDR0.Hyp
  IMS_SMMUV3_NEEDS_ATS,    // IDR0.ATS
  IMS_SMMUV3_NEEDS_PRI,    // IDR0.PRI
  IMS_SMMUV3_NEEDS_STALLS, // IDR0.STALL_MODEL is not 1
  IMS_SMMUV3_NEEDS_MPAM,   // IDR3.MPAM
  IMS_SMMUV3_NEEDS_DPT,    // IDR3.DPT
  IMS_SMMUV3_NEEDS_SECURE, // the Secure command queue
};

enum ims_smmuv3_command_field {
#define IMS_X(name, low, bits, sentence) IMS_SMMUV3_COMMAND_##name##_FIELD,
  IMS_SMMUV3_COMMAND_FIELDS(IMS_X)
#undef IMS_X
      IMS_SMMUV3_COMMAND_FIELD_COUNT
};

struct ims_smmuv3_command_info {
  const char *name, *section, *sentence;
  uint8_t opcode, needs; // needs: enum ims_smmuv3_command_needs
  uint32_t fields;       // bit per enum ims_smmuv3_command_field: those it has, OP included
};
const struct ims_smmuv3_command_info *ims_smmuv3_commands(unsigned i);          // by row; NULL behind the last
const struct ims_smmuv3_command_info *ims_smmuv3_command_find(unsigned opcode); // NULL: reserved

struct ims_smmuv3_command_place {
  const char *name, *sentence;
  uint8_t low, bits;
};
extern const struct ims_smmuv3_command_place ims_smmuv3_command_places[IMS_SMMUV3_COMMAND_FIELD_COUNT];

// One field of a command of two words; set() replaces it, and cuts the value to the field's bits.
uint64_t ims_smmuv3_command_get(const uint64_t command[2], enum ims_smmuv3_command_field field);
void ims_smmuv3_command_set(uint64_t command[2], enum ims_smmuv3_command_field field, uint64_t value);

#ifdef __cplusplus
}
#endif
