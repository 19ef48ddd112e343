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
// Fields of an event record, 32 bytes. X(name, lowest bit, bits, sentence). id and StreamID are in every record.
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
  X(TTRNW,     108,  1, "F_PERMISSION, CLASS=TT: 1 the table was read, 0 hardware was to update it")  \
  X(SPAN,       64,  8, "of the address asked for, pages")                                            \
  X(ATS_R,      99,  1, "read asked for")                                                             \
  X(ATS_W,     100,  1, "write asked for")                                                            \
  X(ATS_X,      98,  1, "execution asked for")                                                        \
  X(ATS_P,      97,  1, "privileged")                                                                 \
  X(PAGE_UX,    96,  1, "unprivileged execution")                                                     \
  X(PAGE_UR,    97,  1, "unprivileged read")                                                          \
  X(PAGE_UW,    98,  1, "unprivileged write")                                                         \
  X(PAGE_PX,    99,  1, "privileged execution")                                                       \
  X(PAGE_PR,   100,  1, "privileged read")                                                            \
  X(PAGE_PW,   101,  1, "privileged write")                                                           \
  X(INPUT,     128, 64, "input address")                                                              \
  X(IPA,       204, 44, "intermediate physical address, bits 55:12")                                  \
  X(FETCH,     195, 53, "address of the structure, bits 55:3")

// X(number, name, kind, section, sentence). kind: SILENT no fields beyond those of ID and SID; SUB with SubstreamID;
// FETCH a structure could not be read; WALK a table could not be read; FAULT a translation fault; ATS, FORBIDDEN, UUT.
#define IMS_SMMUV3_EVENTS(X)                                                                          \
  X(0x01, F_UUT,              UUT,       "7.3.1",  "unsupported upstream transaction")                \
  X(0x02, C_BAD_STREAMID,     SUB,       "7.3.2",  "StreamID beyond the stream table")                \
  X(0x03, F_STE_FETCH,        FETCH,     "7.3.3",  "STE or level-1 descriptor unreadable")            \
  X(0x04, C_BAD_STE,          SUB,       "7.3.4",  "STE not valid or illegal")                        \
  X(0x05, F_BAD_ATS_TREQ,     ATS,       "7.3.5",  "translation request not permitted")               \
  X(0x06, F_STREAM_DISABLED,  SUB,       "7.3.6",  "transaction without SubstreamID refused by S1DSS")\
  X(0x07, F_TRANSL_FORBIDDEN, FORBIDDEN, "7.3.7",  "translated transaction not permitted")            \
  X(0x08, C_BAD_SUBSTREAMID,  SUB,       "7.3.8",  "SubstreamID beyond the CD table")                 \
  X(0x09, F_CD_FETCH,         FETCH,     "7.3.9",  "CD or level-1 descriptor unreadable")             \
  X(0x0a, C_BAD_CD,           SUB,       "7.3.10", "CD not valid or illegal")                         \
  X(0x0b, F_WALK_EABT,        WALK,      "7.3.11", "translation table unreadable")                    \
  X(0x10, F_TRANSLATION,      FAULT,     "7.3.12", "no translation")                                  \
  X(0x11, F_ADDR_SIZE,        FAULT,     "7.3.13", "address beyond the output size")                  \
  X(0x12, F_ACCESS,           FAULT,     "7.3.14", "access flag clear")                               \
  X(0x13, F_PERMISSION,       FAULT,     "7.3.15", "not permitted")                                   \
  X(0x20, F_TLB_CONFLICT,     FAULT,     "7.3.16", "several TLB entries match")                       \
  X(0x21, F_CFG_CONFLICT,     SUB,       "7.3.17", "several cached configurations match")             \
  X(0x24, E_PAGE_REQUEST,     PAGE,      "7.3.18", "speculative page request")                        \
  X(0x25, F_VMS_FETCH,        FETCH,     "7.3.19", "VMS unreadable")
// clang-format on

enum ims_smmuv3_event {
#define IMS_X(number, name, kind, section, sentence) IMS_SMMUV3_##name = (number),
  IMS_SMMUV3_EVENTS(IMS_X)
#undef IMS_X
};

enum ims_smmuv3_event_kind {
  IMS_SMMUV3_EVENT_SUB,
  IMS_SMMUV3_EVENT_FETCH,
  IMS_SMMUV3_EVENT_WALK,
  IMS_SMMUV3_EVENT_FAULT,
  IMS_SMMUV3_EVENT_ATS,
  IMS_SMMUV3_EVENT_FORBIDDEN,
  IMS_SMMUV3_EVENT_UUT,
  IMS_SMMUV3_EVENT_PAGE,
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
  uint32_t fields; // bit per enum ims_smmuv3_event_field: those of its record
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
