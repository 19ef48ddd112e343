// SPDX-License-Identifier: Apache-2.0
// Intel VT-d, scalable mode: PASID directory entry and PASID table entry as they lie in memory. VT-d specification,
// "Scalable-Mode PASID Directory Entry" and "Scalable-Mode PASID Table Entry" (names of revision 4.x: first and second
// stage). Fields that 4.x has withdrawn are in the table with their 3.x meaning.
//
// A PASID selects a directory entry of 8 bytes by its bits 19:6, and in the table that points to an entry of 64 bytes by
// its bits 5:0. An entry is an array of little-endian 64-bit words; bit n of it is bit n % 64 of word n / 64.
#pragma once

#include "mem/error.h"
#include "pasid/bits.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// All fields, once: name, lowest bit, width in bits, sentence. What no row names is reserved.
// clang-format off
#define IMS_VTD_PE_FIELDS(X)                                                                                       \
  X(P,         0,  1, "present")                                                                                   \
  X(FPD,       1,  1, "fault processing disabled: faults of this entry are not recorded")                          \
  X(AW,        2,  3, "address width of the second stage: 1 = 39 bits, 2 = 48 bits, 3 = 57 bits")                      \
  X(SSEE,      5,  1, "second-stage execute enable (reserved in 4.x)")                                             \
  X(PGTT,      6,  3, "translation type: 1 = first stage, 2 = second stage, 3 = nested, 4 = pass-through")         \
  X(SSADE,     9,  1, "second-stage accessed and dirty bits enable")                                               \
  X(SSPTPTR,  12, 52, "second-stage page-table pointer, bits 63:12 of its address")                                \
  X(DID,      64, 16, "domain id, the tag of what is cached")                                                      \
  X(PWSNP,    87,  1, "page-walk snoop: walks snoop the processor caches")                                         \
  X(PGSNP,    88,  1, "page snoop: accesses to pages snoop the processor caches")                                  \
  X(CD,       89,  1, "cache disable of the page attribute computation")                                           \
  X(EMTE,     90,  1, "extended memory type enable")                                                               \
  X(EMT,      91,  3, "extended memory type (reserved in 4.x)")                                                    \
  X(PWT,      94,  1, "page-level write-through of the first-stage root table (reserved in 4.x)")                  \
  X(PCD,      95,  1, "page-level cache disable of the first-stage root table (reserved in 4.x)")                  \
  X(PAT,      96, 32, "page attribute table, eight entries of 4 bits")                                             \
  X(SRE,     128,  1, "supervisor requests enable")                                                                \
  X(ERE,     129,  1, "execute requests enable (reserved in 4.x)")                                                 \
  X(FSPM,    130,  2, "first-stage paging mode: 0 = 4 levels, 1 = 5 levels")                                       \
  X(WPE,     132,  1, "write protect enable: supervisor writes honour R/W")                                        \
  X(NXE,     133,  1, "no-execute enable (ignored in 4.x)")                                                        \
  X(SMEP,    134,  1, "supervisor-mode execute prevention (ignored in 4.x)")                                       \
  X(EAFE,    135,  1, "extended accessed flag enable in first-stage entries")                                      \
  X(FSPTPTR, 140, 52, "first-stage page-table pointer, bits 63:12 of its address")

#define IMS_VTD_PDE_FIELDS(X)                                                                                      \
  X(P,          0,  1, "present")                                                                                  \
  X(FPD,        1,  1, "fault processing disabled: faults of the PASID table below are not recorded")              \
  X(SMPTBLPTR, 12, 52, "PASID table pointer, bits 63:12 of its address")
// clang-format on

#define IMS_VTD_PE_BYTES   64 // PASID table entry
#define IMS_VTD_PE_WORDS   8
#define IMS_VTD_PE_COUNT   64 // entries of a PASID table: one page
#define IMS_VTD_PDE_BYTES  8  // directory entry
#define IMS_VTD_PASID_BITS 20

// Fields of the PASID table entry (IMS_VTD_PE_P ...) and of the directory entry (IMS_VTD_PDE_P ...).
enum ims_pasid_field {
#define IMS_X(name, lsb, width, sentence) IMS_VTD_PE_##name,
  IMS_VTD_PE_FIELDS(IMS_X)
#undef IMS_X
      IMS_VTD_PE_FIELD_COUNT
};

enum ims_pasid_dir_field {
#define IMS_X(name, lsb, width, sentence) IMS_VTD_PDE_##name,
  IMS_VTD_PDE_FIELDS(IMS_X)
#undef IMS_X
      IMS_VTD_PDE_FIELD_COUNT
};

// Positions as constants, for the masks below: IMS_VTD_PE_PGTT_LSB, IMS_VTD_PE_PGTT_WIDTH ...
enum ims_vtd_pasid_position {
#define IMS_X(name, lsb, width, sentence) IMS_VTD_PE_##name##_LSB = (lsb), IMS_VTD_PE_##name##_WIDTH = (width),
  IMS_VTD_PE_FIELDS(IMS_X)
#undef IMS_X
#define IMS_X(name, lsb, width, sentence) IMS_VTD_PDE_##name##_LSB = (lsb), IMS_VTD_PDE_##name##_WIDTH = (width),
      IMS_VTD_PDE_FIELDS(IMS_X)
#undef IMS_X
};

// PASID granular translation type (field PGTT).
enum ims_vtd_pgtt {
  IMS_VTD_PGTT_FIRST = 1,
  IMS_VTD_PGTT_SECOND = 2,
  IMS_VTD_PGTT_NESTED = 3,
  IMS_VTD_PGTT_PASS_THROUGH = 4,
};

// One row of the table.
struct ims_vtd_field {
  const char *name;
  uint16_t lsb, width;
  const char *sentence;
};

// The row of a field, or NULL for a number that is none. Static storage.
const struct ims_vtd_field *ims_vtd_pe_field(enum ims_pasid_field field);
const struct ims_vtd_field *ims_vtd_pde_field(enum ims_pasid_dir_field field);
const char *ims_vtd_pe_field_name(enum ims_pasid_field field);      // "PGTT"; "?" for none
const char *ims_vtd_pe_field_sentence(enum ims_pasid_field field);  // "" for none
const char *ims_vtd_pde_field_name(enum ims_pasid_dir_field field); // likewise
const char *ims_vtd_pde_field_sentence(enum ims_pasid_dir_field field);
const char *ims_vtd_pgtt_name(unsigned pgtt); // "first-stage" ...; "reserved" for other values

// The value of a field, as a number from bit 0 on: of a pointer that is its page number. 0 for a number that is no field.
uint64_t ims_vtd_pe_get(const uint64_t pe[IMS_VTD_PE_WORDS], enum ims_pasid_field field);
uint64_t ims_vtd_pde_get(uint64_t pde, enum ims_pasid_dir_field field);

// Puts a value into a field and leaves the other bits alone. Bits of the value beyond the width of the field are
// dropped. A number that is no field changes nothing.
void ims_vtd_pe_set(uint64_t pe[IMS_VTD_PE_WORDS], enum ims_pasid_field field, uint64_t value);
void ims_vtd_pde_set(uint64_t *pde, enum ims_pasid_dir_field field, uint64_t value);

// Where a PASID is found. Offsets are in bytes from PASIDDIRPTR and from SMPTBLPTR.
static inline uint32_t ims_vtd_pasid_dir_index(uint32_t pasid) { return pasid >> 6 & 0x3fff; }
static inline uint32_t ims_vtd_pasid_table_index(uint32_t pasid) { return pasid & 63; }
static inline uint64_t ims_vtd_pasid_dir_offset(uint32_t pasid) {
  return (uint64_t)ims_vtd_pasid_dir_index(pasid) * IMS_VTD_PDE_BYTES;
}
static inline uint64_t ims_vtd_pasid_table_offset(uint32_t pasid) {
  return (uint64_t)ims_vtd_pasid_table_index(pasid) * IMS_VTD_PE_BYTES;
}

// What PDTS (3 bits of the context entry) says: entries of the directory, and the first PASID beyond it.
static inline uint32_t ims_vtd_pasid_dir_entries(unsigned pdts) { return 1u << ((pdts & 7) + 7); }
static inline uint32_t ims_vtd_pasid_limit(unsigned pdts) { return 1u << ((pdts & 7) + 13); }

// Masks for the hot path, in word lsb / 64 of the entry; the number after PE is that word.
#define IMS_VTD_FIELD_MASK(field) ((~0ull >> (64 - field##_WIDTH)) << (field##_LSB & 63))

#define IMS_VTD_PE0_P       IMS_VTD_FIELD_MASK(IMS_VTD_PE_P)
#define IMS_VTD_PE0_FPD     IMS_VTD_FIELD_MASK(IMS_VTD_PE_FPD)
#define IMS_VTD_PE0_AW      IMS_VTD_FIELD_MASK(IMS_VTD_PE_AW)
#define IMS_VTD_PE0_SSEE    IMS_VTD_FIELD_MASK(IMS_VTD_PE_SSEE)
#define IMS_VTD_PE0_PGTT    IMS_VTD_FIELD_MASK(IMS_VTD_PE_PGTT)
#define IMS_VTD_PE0_SSADE   IMS_VTD_FIELD_MASK(IMS_VTD_PE_SSADE)
#define IMS_VTD_PE0_SSPTPTR IMS_VTD_FIELD_MASK(IMS_VTD_PE_SSPTPTR)
#define IMS_VTD_PE1_DID     IMS_VTD_FIELD_MASK(IMS_VTD_PE_DID)
#define IMS_VTD_PE1_PWSNP   IMS_VTD_FIELD_MASK(IMS_VTD_PE_PWSNP)
#define IMS_VTD_PE1_PGSNP   IMS_VTD_FIELD_MASK(IMS_VTD_PE_PGSNP)
#define IMS_VTD_PE1_CD      IMS_VTD_FIELD_MASK(IMS_VTD_PE_CD)
#define IMS_VTD_PE1_EMTE    IMS_VTD_FIELD_MASK(IMS_VTD_PE_EMTE)
#define IMS_VTD_PE1_EMT     IMS_VTD_FIELD_MASK(IMS_VTD_PE_EMT)
#define IMS_VTD_PE1_PWT     IMS_VTD_FIELD_MASK(IMS_VTD_PE_PWT)
#define IMS_VTD_PE1_PCD     IMS_VTD_FIELD_MASK(IMS_VTD_PE_PCD)
#define IMS_VTD_PE1_PAT     IMS_VTD_FIELD_MASK(IMS_VTD_PE_PAT)
#define IMS_VTD_PE2_SRE     IMS_VTD_FIELD_MASK(IMS_VTD_PE_SRE)
#define IMS_VTD_PE2_ERE     IMS_VTD_FIELD_MASK(IMS_VTD_PE_ERE)
#define IMS_VTD_PE2_FSPM    IMS_VTD_FIELD_MASK(IMS_VTD_PE_FSPM)
#define IMS_VTD_PE2_WPE     IMS_VTD_FIELD_MASK(IMS_VTD_PE_WPE)
#define IMS_VTD_PE2_NXE     IMS_VTD_FIELD_MASK(IMS_VTD_PE_NXE)
#define IMS_VTD_PE2_SMEP    IMS_VTD_FIELD_MASK(IMS_VTD_PE_SMEP)
#define IMS_VTD_PE2_EAFE    IMS_VTD_FIELD_MASK(IMS_VTD_PE_EAFE)
#define IMS_VTD_PE2_FSPTPTR IMS_VTD_FIELD_MASK(IMS_VTD_PE_FSPTPTR)

#define IMS_VTD_PDE_P_MASK         IMS_VTD_FIELD_MASK(IMS_VTD_PDE_P)
#define IMS_VTD_PDE_FPD_MASK       IMS_VTD_FIELD_MASK(IMS_VTD_PDE_FPD)
#define IMS_VTD_PDE_SMPTBLPTR_MASK IMS_VTD_FIELD_MASK(IMS_VTD_PDE_SMPTBLPTR)

// Bits no field has, word by word: reserved in every revision. Words 3 to 7 are reserved whole.
#define IMS_VTD_PE0_RESERVED 0x0000000000000c00ull // 11:10
#define IMS_VTD_PE1_RESERVED 0x00000000007f0000ull // 86:80
#define IMS_VTD_PE2_RESERVED 0x0000000000000f00ull // 139:136
#define IMS_VTD_PDE_RESERVED 0x0000000000000ffcull // 11:2

// What a translation asks for each time. Pointers are addresses here: page number times 4096.
static inline bool ims_vtd_pde_present(uint64_t pde) { return (pde & IMS_VTD_PDE_P_MASK) != 0; }
static inline uint64_t ims_vtd_pde_table(uint64_t pde) { return pde & IMS_VTD_PDE_SMPTBLPTR_MASK; }
static inline bool ims_vtd_pe_present(const uint64_t *pe) { return (pe[0] & IMS_VTD_PE0_P) != 0; }
static inline bool ims_vtd_pe_fpd(const uint64_t *pe) { return (pe[0] & IMS_VTD_PE0_FPD) != 0; }
static inline unsigned ims_vtd_pe_aw(const uint64_t *pe) { return (unsigned)(pe[0] >> IMS_VTD_PE_AW_LSB) & 7; }
static inline unsigned ims_vtd_pe_pgtt(const uint64_t *pe) { return (unsigned)(pe[0] >> IMS_VTD_PE_PGTT_LSB) & 7; }
static inline uint64_t ims_vtd_pe_ssptptr(const uint64_t *pe) { return pe[0] & IMS_VTD_PE0_SSPTPTR; }
static inline uint32_t ims_vtd_pe_did(const uint64_t *pe) { return (uint32_t)(pe[1] & IMS_VTD_PE1_DID); }
static inline unsigned ims_vtd_pe_fspm(const uint64_t *pe) {
  return (unsigned)(pe[2] >> (IMS_VTD_PE_FSPM_LSB & 63)) & 3;
}
static inline uint64_t ims_vtd_pe_fsptptr(const uint64_t *pe) { return pe[2] & IMS_VTD_PE2_FSPTPTR; }

#ifdef __cplusplus
}
#endif
