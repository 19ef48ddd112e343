// SPDX-License-Identifier: Apache-2.0
// Events of SMMUv3, Arm IHI 0070 7.3: one row each, with the fields that its record has; and where those fields lie. The
// hardware, the explanation, the trace and the table of docs/smmuv3.md read these rows.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// clang-format off
// Fields of an event record, 32 bytes, little-endian. X(name, lowest bit, bits, sentence). ID and SID are in every record.
// The text has no figure for F_BAD_ATS_TREQ: its Span is taken to lie where E_PAGE_REQUEST has it, and its R, X and P
// where other records have RnW, InD and PnU.
#define IMS_SMMUV3_EVENT_FIELDS(X)                                                                    \
  X(ID,          0,  8, "event number")                                                               \
  X(SSV,        11,  1, "SubstreamID valid")                                                          \
  X(SSID,       12, 20, "SubstreamID")                                                                \
  X(SID,        32, 32, "StreamID")                                                                   \
  X(STAG,       64, 16, "stall tag")                                                                  \
  X(REASON,     64, 16, "implementation defined reason")                                              \
  X(STALL,      95,  1, "the transaction waits for CMD_RESUME")                                       \
  X(PNU,        97,  1, "privileged")                                                                 \
  X(IND,        98,  1, "instruction")                                                                \
  X(RNW,        99,  1, "read")                                                                       \
  X(NSIPA,     102,  1, "the IPA is Non-secure (0 outside Secure)")                                   \
  X(S2,        103,  1, "stage 2 faulted")                                                            \
  X(CLASS,     104,  2, "what for: 0 CD, 1 translation table, 2 the input address")                   \
  X(TTRNW,     108,  1, "CLASS=TT: 1 the table was read, 0 hardware was to update it")                \
  X(ATS_P,      97,  1, "privileged")                                                                 \
  X(ATS_X,      98,  1, "execution asked for")                                                        \
  X(ATS_R,      99,  1, "read asked for")                                                             \
  X(ATS_W,     100,  1, "write asked for")                                                            \
  X(PAGE_UX,    97,  1, "unprivileged execution expected")                                            \
  X(PAGE_UW,    98,  1, "unprivileged write expected")                                                \
  X(PAGE_UR,    99,  1, "unprivileged read expected")                                                 \
  X(PAGE_PX,   101,  1, "privileged execution expected")                                              \
  X(PAGE_PW,   102,  1, "privileged write expected")                                                  \
  X(PAGE_PR,   103,  1, "privileged read expected")                                                   \
  X(SPAN,      108,  8, "pages of 4 KB expected; translation requests: units of the smallest size")   \
  X(INPUT,     128, 64, "input address")                                                              \
  X(INPUT_PAGE,140, 52, "input address, bits 63:12")                                                  \
  X(IPA,       204, 44, "intermediate physical address, bits 55:12")                                  \
  X(FETCH,     195, 53, "address of the structure or descriptor, bits 55:3")

// Which fields a record has. X(kind, fields beside ID and SID). NONE and FORBIDDEN tell nothing of a SubstreamID, and that
// of SSID is always valid (7.3.7, 7.3.8, 7.3.9).
#define IMS_SMMUV3_EVENT_KINDS(X)                                                                     \
  X(NONE,       0)                                                                                    \
  X(SSID,       IMS_F(SSID))                                                                          \
  X(SUB,        IMS_F(SSV) | IMS_F(SSID))                                                             \
  X(CONFLICT,   IMS_F(SSV) | IMS_F(SSID) | IMS_F(REASON))                                             \
  X(UUT,        IMS_F(SSV) | IMS_F(SSID) | IMS_F(REASON) | IMS_F(PNU) | IMS_F(IND) | IMS_F(RNW) | IMS_F(INPUT)) \
  X(FETCH,      IMS_F(SSV) | IMS_F(SSID) | IMS_F(REASON) | IMS_F(FETCH))                              \
  X(ATS,        IMS_F(SSV) | IMS_F(SSID) | IMS_F(ATS_P) | IMS_F(ATS_X) | IMS_F(ATS_R) | IMS_F(ATS_W) | IMS_F(SPAN) | \
                IMS_F(INPUT))                                                                         \
  X(FORBIDDEN,  IMS_F(RNW) | IMS_F(INPUT))                                                            \
  X(WALK,       IMS_F(SSV) | IMS_F(SSID) | IMS_F(REASON) | IMS_F(PNU) | IMS_F(IND) | IMS_F(RNW) | IMS_F(S2) | \
                IMS_F(CLASS) | IMS_F(INPUT) | IMS_F(FETCH))                                           \
  X(FAULT,      IMS_F(SSV) | IMS_F(SSID) | IMS_F(STAG) | IMS_F(STALL) | IMS_F(PNU) | IMS_F(IND) | IMS_F(RNW) | \
                IMS_F(NSIPA) | IMS_F(S2) | IMS_F(CLASS) | IMS_F(INPUT) | IMS_F(IPA))                  \
  X(PERMISSION, IMS_F(SSV) | IMS_F(SSID) | IMS_F(STAG) | IMS_F(STALL) | IMS_F(PNU) | IMS_F(IND) | IMS_F(RNW) | \
                IMS_F(NSIPA) | IMS_F(S2) | IMS_F(CLASS) | IMS_F(TTRNW) | IMS_F(INPUT) | IMS_F(IPA))   \
  X(TLB,        IMS_F(SSV) | IMS_F(SSID) | IMS_F(REASON) | IMS_F(PNU) | IMS_F(IND) | IMS_F(RNW) | IMS_F(NSIPA) | \
                IMS_F(S2) | IMS_F(INPUT) | IMS_F(IPA))                                                \
  X(PAGE,       IMS_F(SSV) | IMS_F(SSID) | IMS_F(PAGE_UX) | IMS_F(PAGE_UW) | IMS_F(PAGE_UR) | IMS_F(PAGE_PX) | \
                IMS_F(PAGE_PW) | IMS_F(PAGE_PR) | IMS_F(SPAN) | IMS_F(INPUT_PAGE))

// X(number, name, kind, section, sentence)
#define IMS_SMMUV3_EVENTS(X)                                                                          \
  X(0x01, F_UUT,              UUT,        "7.3.2",  "unsupported upstream transaction")               \
  X(0x02, C_BAD_STREAMID,     SUB,        "7.3.3",  "StreamID beyond the stream table")               \
  X(0x03, F_STE_FETCH,        FETCH,      "7.3.4",  "STE or level-1 descriptor unreadable")           \
  X(0x04, C_BAD_STE,          SUB,        "7.3.5",  "STE not valid or illegal")                       \
  X(0x05, F_BAD_ATS_TREQ,     ATS,        "7.3.6",  "translation request not permitted")              \
  X(0x06, F_STREAM_DISABLED,  NONE,       "7.3.7",  "transaction without SubstreamID refused by S1DSS") \
  X(0x07, F_TRANSL_FORBIDDEN, FORBIDDEN,  "7.3.8",  "translated transaction not permitted")           \
  X(0x08, C_BAD_SUBSTREAMID,  SSID,       "7.3.9",  "SubstreamID beyond the CD table")                \
  X(0x09, F_CD_FETCH,         FETCH,      "7.3.10", "CD or level-1 descriptor unreadable")            \
  X(0x0a, C_BAD_CD,           SUB,        "7.3.11", "CD not valid or illegal")                        \
  X(0x0b, F_WALK_EABT,        WALK,       "7.3.12", "translation table unreadable")                   \
  X(0x10, F_TRANSLATION,      FAULT,      "7.3.13", "no translation")                                 \
  X(0x11, F_ADDR_SIZE,        FAULT,      "7.3.14", "address beyond the output size")                 \
  X(0x12, F_ACCESS,           FAULT,      "7.3.15", "access flag clear")                              \
  X(0x13, F_PERMISSION,       PERMISSION, "7.3.16", "not permitted")                                  \
  X(0x20, F_TLB_CONFLICT,     TLB,        "7.3.17", "several TLB entries match")                      \
  X(0x21, F_CFG_CONFLICT,     CONFLICT,   "7.3.18", "several cached configurations match")            \
  X(0x24, E_PAGE_REQUEST,     PAGE,       "7.3.19", "speculative page request")                       \
  X(0x25, F_VMS_FETCH,        FETCH,      "7.3.20", "VMS unreadable")
// clang-format on

enum ims_smmuv3_event {
#define IMS_X(number, name, kind, section, sentence) IMS_SMMUV3_##name = (number),
  IMS_SMMUV3_EVENTS(IMS_X)
#undef IMS_X
};

enum ims_smmuv3_event_kind {
#define IMS_X(kind, fields) IMS_SMMUV3_EVENT_##kind,
  IMS_SMMUV3_EVENT_KINDS(IMS_X)
#undef IMS_X
};

enum ims_smmuv3_event_field {
#define IMS_X(name, low, bits, sentence) IMS_SMMUV3_EVENT_##name##_FIELD,
  IMS_SMMUV3_EVENT_FIELDS(IMS_X)
#undef IMS_X
      IMS_SMMUV3_EVENT_FIELD_COUNT
};

struct ims_smmuv3_event_info {
  const char *name, *section, *sentence;
  uint8_t number, kind;
  uint32_t fields; // bit per enum ims_smmuv3_event_field: those of its record, ID and SID included
};
const struct ims_smmuv3_event_info *ims_smmuv3_events(unsigned i);         // by row; NULL behind the last
const struct ims_smmuv3_event_info *ims_smmuv3_event_find(unsigned event); // NULL: no such event

struct ims_smmuv3_event_place {
  const char *name, *sentence;
  uint8_t low, bits;
};
extern const struct ims_smmuv3_event_place ims_smmuv3_event_places[IMS_SMMUV3_EVENT_FIELD_COUNT];

// One field of a record of four words; set() replaces it.
uint64_t ims_smmuv3_event_get(const uint64_t record[4], enum ims_smmuv3_event_field field);
void ims_smmuv3_event_set(uint64_t record[4], enum ims_smmuv3_event_field field, uint64_t value);

#ifdef __cplusplus
}
#endif
