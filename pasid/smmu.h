// SPDX-License-Identifier: Apache-2.0
// Arm SMMUv3: stream table entries (STE) and context descriptors (CD) as they lie in memory, the descriptors of first-level
// tables that lead to them, and where an entry is found. Arm IHI 0070, 5.1 (level-1 stream table descriptor), 5.2 (STE),
// 5.3 (level-1 CD), 5.4 (CD), 6.3.24 and 6.3.25 (stream table base).
//
// Fields of optional features are rows like the others: a structure is printed and edited whole, whatever the SMMU that
// reads it implements. Fields that share their bits with another (128-bit descriptors: DisCH, SKL) are not.
#pragma once

#include "pasid/bits.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// All fields, once: name (the specification's, in capitals), lowest bit, width in bits, sentence. What no row names is
// reserved or implementation defined. Address fields lie in their word where the address has these bits.
// clang-format off
#define IMS_STE_FIELDS(X)                                                                                          \
  X(V,             0,  1, "valid")                                                                                 \
  X(CONFIG,        1,  3, "0 to 3 abort, 4 bypass, 5 stage 1, 6 stage 2, 7 both")                                  \
  X(S1FMT,         4,  2, "CD table: 0 linear, 1 two levels with leaves of 4 KB, 2 with leaves of 64 KB")          \
  X(S1CONTEXTPTR,  6, 50, "CD or CD table, address bits 55:6; an IPA with stage 2")                                \
  X(S1CDMAX,      59,  5, "log2 of the number of CDs; 0: one CD, no substreams")                                   \
  X(S1DSS,        64,  2, "without SubstreamID: 0 terminate, 1 bypass stage 1, 2 use substream 0")                 \
  X(S1CIR,        66,  2, "inner cacheability of CD reads")                                                        \
  X(S1COR,        68,  2, "outer cacheability of CD reads")                                                        \
  X(S1CSH,        70,  2, "shareability of CD reads")                                                              \
  X(S2HWU59,      72,  1, "stage 2 descriptor bit 59 is the hardware's")                                           \
  X(S2HWU60,      73,  1, "stage 2 descriptor bit 60 is the hardware's")                                           \
  X(S2HWU61,      74,  1, "stage 2 descriptor bit 61 is the hardware's")                                           \
  X(S2HWU62,      75,  1, "stage 2 descriptor bit 62 is the hardware's")                                           \
  X(DRE,          76,  1, "destructive reads are permitted")                                                       \
  X(CONT,         77,  4, "contiguous hint: 2^CONT neighbouring STEs are equal")                                   \
  X(DCP,          81,  1, "directed cache prefetches are permitted")                                               \
  X(PPAR,         82,  1, "automatic page responses have a PASID")                                                 \
  X(MEV,          83,  1, "similar events may be merged")                                                          \
  X(SW_RESERVED,  84,  4, "software's own")                                                                        \
  X(S1PIE,        88,  1, "CDs may use permission indirection")                                                    \
  X(S2FWB,        89,  1, "stage 2 forces memory types")                                                           \
  X(S1MPAM,       90,  1, "PARTID and PMG come from the CD")                                                       \
  X(S1STALLD,     91,  1, "CDs may not stall")                                                                     \
  X(EATS,         92,  2, "ATS: 0 refused, 1 full, 2 split-stage, 3 full with permission table")                   \
  X(STRW,         94,  2, "StreamWorld of stage 1: 0 EL1, 2 EL2")                                                  \
  X(MEMATTR,      96,  4, "memory type that replaces the incoming one (MTCFG)")                                    \
  X(MTCFG,       100,  1, "MemAttr replaces the incoming memory type")                                             \
  X(ALLOCCFG,    101,  4, "0b1RWT replaces the incoming allocation hints")                                         \
  X(SHCFG,       108,  2, "shareability: 0 none, 1 as incoming, 2 outer, 3 inner")                                 \
  X(NSCFG,       110,  2, "security of a Secure or Realm stream")                                                  \
  X(PRIVCFG,     112,  2, "privilege: 0 as incoming, 2 unprivileged, 3 privileged")                                \
  X(INSTCFG,     114,  2, "reads are: 0 as incoming, 2 data, 3 instruction")                                       \
  X(S2VMID,      128, 16, "VMID, the tag of what is cached")                                                       \
  X(S2T0SZ,      160,  6, "stage 2: input size is 64 - S2T0SZ bits (AArch32: 32 - the signed low 4 bits)")         \
  X(S2SL0,       166,  2, "stage 2: start level")                                                                  \
  X(S2IR0,       168,  2, "stage 2: inner cacheability of walks")                                                  \
  X(S2OR0,       170,  2, "stage 2: outer cacheability of walks")                                                  \
  X(S2SH0,       172,  2, "stage 2: shareability of walks, and of pages with S2DS")                                \
  X(S2TG,        174,  2, "stage 2: granule, 0 4 KB, 1 64 KB, 2 16 KB")                                            \
  X(S2PS,        176,  3, "stage 2: output size, 0 to 7 = 32, 36, 40, 42, 44, 48, 52, 56 bits")                    \
  X(S2AA64,      179,  1, "stage 2: AArch64 descriptors, else AArch32 long descriptors")                           \
  X(S2ENDI,      180,  1, "stage 2: big-endian descriptors")                                                       \
  X(S2AFFD,      181,  1, "stage 2: no faults of the access flag")                                                 \
  X(S2PTW,       182,  1, "stage 2: walks and CD reads through Device memory are refused")                         \
  X(S2HD,        183,  1, "stage 2: hardware updates the dirty state")                                             \
  X(S2HA,        184,  1, "stage 2: hardware updates the access flag")                                             \
  X(S2S,         185,  1, "stage 2: faults stall")                                                                 \
  X(S2R,         186,  1, "stage 2: faults are recorded")                                                          \
  X(S2HAFT,      187,  1, "stage 2: hardware updates the access flag of tables")                                   \
  X(S2PIE,       188,  1, "stage 2: permission indirection")                                                       \
  X(S2POE,       189,  1, "stage 2: permission overlays")                                                          \
  X(DPT_VMATCH,  190,  2, "how the device permission table compares the VMID")                                     \
  X(S2NSW,       192,  1, "Secure stream: walks of Non-secure IPAs are Non-secure")                                \
  X(S2NSA,       193,  1, "Secure stream: Non-secure IPAs become Non-secure PAs")                                  \
  X(S2SL0_2,     194,  1, "stage 2: bit 2 of S2SL0 (S2DS with 4 KB)")                                              \
  X(S2DS,        195,  1, "stage 2: 52-bit addresses with granules of 4 and 16 KB")                                \
  X(S2TTB,       196, 48, "stage 2: translation table, address bits 51:4")                                         \
  X(S2SKL,       253,  2, "stage 2, 128-bit descriptors: levels skipped")                                          \
  X(PARTID,      272, 16, "MPAM partition")                                                                        \
  X(S_S2T0SZ,    288,  6, "Secure IPA space: as S2T0SZ")                                                           \
  X(S_S2SL0,     294,  2, "Secure IPA space: as S2SL0")                                                            \
  X(S_S2TG,      302,  2, "Secure IPA space: as S2TG")                                                             \
  X(MECID,       304, 16, "memory encryption context of a Realm stream")                                           \
  X(PMG,         320,  8, "MPAM performance monitoring group")                                                     \
  X(MPAM_NS,     328,  1, "PARTID is a Non-secure one")                                                            \
  X(ASSUREDONLY, 329,  1, "stage 2: AssuredOnly checks")                                                           \
  X(TL0,         330,  1, "stage 2: TopLevel 0 checks")                                                            \
  X(TL1,         331,  1, "stage 2: TopLevel 1 checks")                                                            \
  X(VMSPTR,      332, 44, "virtual machine structure, address bits 55:12")                                         \
  X(S2SW,        384,  1, "Secure stream: walks of Secure IPAs are Non-secure")                                    \
  X(S2SA,        385,  1, "Secure stream: Secure IPAs become Non-secure PAs")                                      \
  X(S_S2SL0_2,   386,  1, "Secure IPA space: as S2SL0_2")                                                          \
  X(S_S2TTB,     388, 48, "Secure IPA space: as S2TTB")                                                            \
  X(S_S2SKL,     445,  2, "Secure IPA space: as S2SKL")                                                            \
  X(S2POI,       448, 64, "stage 2 permission overlays, sixteen entries of 4 bits")

#define IMS_CD_FIELDS(X)                                                                                           \
  X(T0SZ,          0,  6, "TTB0: input size is 64 - T0SZ bits (AArch32: 32 - the low 3 bits)")                     \
  X(TG0,           6,  2, "TTB0: granule, 0 4 KB, 1 64 KB, 2 16 KB")                                               \
  X(IR0,           8,  2, "TTB0: inner cacheability of walks")                                                     \
  X(OR0,          10,  2, "TTB0: outer cacheability of walks")                                                     \
  X(SH0,          12,  2, "TTB0: shareability of walks, and of pages with DS")                                     \
  X(EPD0,         14,  1, "TTB0: no walks")                                                                        \
  X(ENDI,         15,  1, "big-endian descriptors")                                                                \
  X(T1SZ,         16,  6, "TTB1: as T0SZ")                                                                         \
  X(TG1,          22,  2, "TTB1: granule, 1 16 KB, 2 4 KB, 3 64 KB")                                               \
  X(IR1,          24,  2, "TTB1: inner cacheability of walks")                                                     \
  X(OR1,          26,  2, "TTB1: outer cacheability of walks")                                                     \
  X(SH1,          28,  2, "TTB1: shareability of walks, and of pages with DS")                                     \
  X(EPD1,         30,  1, "TTB1: no walks")                                                                        \
  X(V,            31,  1, "valid")                                                                                 \
  X(IPS,          32,  3, "output size, 0 to 7 = 32, 36, 40, 42, 44, 48, 52, 56 bits")                             \
  X(AFFD,         35,  1, "no faults of the access flag")                                                          \
  X(WXN,          36,  1, "writable memory is not executable")                                                     \
  X(UWXN,         37,  1, "AArch32: memory writable unprivileged is not executable privileged")                    \
  X(TBI0,         38,  1, "TTB0: the top byte of addresses is ignored")                                            \
  X(TBI1,         39,  1, "TTB1: the top byte of addresses is ignored")                                            \
  X(PAN,          40,  1, "privileged data accesses to unprivileged memory are refused")                           \
  X(AA64,         41,  1, "AArch64 descriptors, else AArch32 long descriptors")                                    \
  X(HD,           42,  1, "hardware updates the dirty state")                                                      \
  X(HA,           43,  1, "hardware updates the access flag")                                                      \
  X(S,            44,  1, "faults stall")                                                                          \
  X(R,            45,  1, "faults are recorded")                                                                   \
  X(A,            46,  1, "terminated accesses abort, else they read as zero and write nothing")                   \
  X(ASET,         47,  1, "the ASID is the SMMU's own, not shared with processors")                                \
  X(ASID,         48, 16, "ASID, the tag of what is cached")                                                       \
  X(NSCFG0,       64,  1, "TTB0, Secure stream: the first table is Non-secure")                                    \
  X(HAD0,         65,  1, "TTB0: hierarchical attributes do not count")                                            \
  X(E0PD0,        66,  1, "TTB0: unprivileged accesses fault")                                                     \
  X(HAFT,         67,  1, "hardware updates the access flag of tables")                                            \
  X(TTB0,         68, 48, "translation table of the lower addresses, bits 51:4; an IPA with stage 2")              \
  X(PNCH,        122,  1, "protected attribute instead of the contiguous hint")                                    \
  X(EPAN,        123,  1, "PAN covers memory that is executable unprivileged")                                     \
  X(HWU059,      124,  1, "TTB0: descriptor bit 59 is the hardware's")                                             \
  X(HWU060,      125,  1, "TTB0: descriptor bit 60 is the hardware's")                                             \
  X(HWU061,      126,  1, "TTB0: descriptor bit 61 is the hardware's")                                             \
  X(HWU062,      127,  1, "TTB0: descriptor bit 62 is the hardware's")                                             \
  X(NSCFG1,      128,  1, "TTB1, Secure stream: the first table is Non-secure")                                    \
  X(HAD1,        129,  1, "TTB1: hierarchical attributes do not count")                                            \
  X(E0PD1,       130,  1, "TTB1: unprivileged accesses fault")                                                     \
  X(AIE,         131,  1, "four bits of attribute index")                                                          \
  X(TTB1,        132, 48, "translation table of the upper addresses, bits 51:4; an IPA with stage 2")              \
  X(DS,          186,  1, "52-bit addresses with granules of 4 and 16 KB")                                         \
  X(PIE,         187,  1, "permission indirection")                                                                \
  X(HWU159,      188,  1, "TTB1: descriptor bit 59 is the hardware's")                                             \
  X(HWU160,      189,  1, "TTB1: descriptor bit 60 is the hardware's")                                             \
  X(HWU161,      190,  1, "TTB1: descriptor bit 61 is the hardware's")                                             \
  X(HWU162,      191,  1, "TTB1: descriptor bit 62 is the hardware's")                                             \
  X(MAIR0,       192, 32, "memory attributes 0 to 3, a byte each")                                                 \
  X(MAIR1,       224, 32, "memory attributes 4 to 7, a byte each")                                                 \
  X(AMAIR0,      256, 32, "auxiliary memory attributes 0 to 3")                                                    \
  X(AMAIR1,      288, 32, "auxiliary memory attributes 4 to 7")                                                    \
  X(PARTID,      352, 16, "MPAM partition")                                                                        \
  X(PMG,         368,  8, "MPAM performance monitoring group")                                                     \
  X(PIIU,        384, 48, "unprivileged permissions by index, sixteen entries of 3 bits")                          \
  X(PIIP,        448, 48, "privileged permissions by index, sixteen entries of 3 bits")

#define IMS_STREAM_L1_FIELDS(X)                                                                                    \
  X(SPAN,          0,  5, "the leaf has 2^(Span - 1) STEs; 0: no leaf")                                            \
  X(L2PTR,         6, 50, "leaf of the stream table, address bits 55:6")

#define IMS_CD_L1_FIELDS(X)                                                                                        \
  X(V,             0,  1, "valid")                                                                                 \
  X(L2PTR,        12, 44, "leaf of the CD table, address bits 55:12; an IPA with stage 2")
// clang-format on

#define IMS_STE_BYTES       64
#define IMS_STE_WORDS       8
#define IMS_CD_BYTES        64
#define IMS_CD_WORDS        8
#define IMS_STREAM_L1_BYTES 8
#define IMS_CD_L1_BYTES     8

// Fields by number: IMS_STE_CONFIG ..., IMS_CD_TTB0 ..., IMS_STREAM_L1_SPAN, IMS_CD_L1_V ...
enum ims_ste_field {
#define IMS_X(name, lsb, width, sentence) IMS_STE_##name,
  IMS_STE_FIELDS(IMS_X)
#undef IMS_X
      IMS_STE_FIELD_COUNT
};

enum ims_cd_field {
#define IMS_X(name, lsb, width, sentence) IMS_CD_##name,
  IMS_CD_FIELDS(IMS_X)
#undef IMS_X
      IMS_CD_FIELD_COUNT
};

enum ims_stream_l1_field {
#define IMS_X(name, lsb, width, sentence) IMS_STREAM_L1_##name,
  IMS_STREAM_L1_FIELDS(IMS_X)
#undef IMS_X
      IMS_STREAM_L1_FIELD_COUNT
};

enum ims_cd_l1_field {
#define IMS_X(name, lsb, width, sentence) IMS_CD_L1_##name,
  IMS_CD_L1_FIELDS(IMS_X)
#undef IMS_X
      IMS_CD_L1_FIELD_COUNT
};

// Positions as constants: IMS_STE_S2VMID_LSB, IMS_STE_S2VMID_WIDTH ...
enum ims_smmu_position {
#define IMS_X(name, lsb, width, sentence) IMS_STE_##name##_LSB = (lsb), IMS_STE_##name##_WIDTH = (width),
  IMS_STE_FIELDS(IMS_X)
#undef IMS_X
#define IMS_X(name, lsb, width, sentence) IMS_CD_##name##_LSB = (lsb), IMS_CD_##name##_WIDTH = (width),
      IMS_CD_FIELDS(IMS_X)
#undef IMS_X
#define IMS_X(name, lsb, width, sentence) IMS_STREAM_L1_##name##_LSB = (lsb), IMS_STREAM_L1_##name##_WIDTH = (width),
          IMS_STREAM_L1_FIELDS(IMS_X)
#undef IMS_X
#define IMS_X(name, lsb, width, sentence) IMS_CD_L1_##name##_LSB = (lsb), IMS_CD_L1_##name##_WIDTH = (width),
              IMS_CD_L1_FIELDS(IMS_X)
#undef IMS_X
};

// One row of a table.
struct ims_smmu_field {
  const char *name, *sentence;
  uint16_t lsb;
  uint8_t width;
};

// The rows by number. A number that is no field reads as 0 below, and changes nothing.
extern const struct ims_smmu_field ims_ste_fields[IMS_STE_FIELD_COUNT];
extern const struct ims_smmu_field ims_cd_fields[IMS_CD_FIELD_COUNT];
extern const struct ims_smmu_field ims_stream_l1_fields[IMS_STREAM_L1_FIELD_COUNT];
extern const struct ims_smmu_field ims_cd_l1_fields[IMS_CD_L1_FIELD_COUNT];

// The value of a field, as a number from bit 0 on; set() drops what does not fit the field and leaves other bits alone.
uint64_t ims_ste_get(const uint64_t ste[IMS_STE_WORDS], enum ims_ste_field field);
void ims_ste_set(uint64_t ste[IMS_STE_WORDS], enum ims_ste_field field, uint64_t value);
uint64_t ims_cd_get(const uint64_t cd[IMS_CD_WORDS], enum ims_cd_field field);
void ims_cd_set(uint64_t cd[IMS_CD_WORDS], enum ims_cd_field field, uint64_t value);
uint64_t ims_stream_l1_get(uint64_t l1, enum ims_stream_l1_field field);
void ims_stream_l1_set(uint64_t *l1, enum ims_stream_l1_field field, uint64_t value);
uint64_t ims_cd_l1_get(uint64_t l1, enum ims_cd_l1_field field);
void ims_cd_l1_set(uint64_t *l1, enum ims_cd_l1_field field, uint64_t value);

// The same of an address field (S1CONTEXTPTR, S2TTB, VMSPTR, TTB0, TTB1, L2PTR ...) as the address in bytes. Bits that
// the field does not have are dropped.
uint64_t ims_ste_address(const uint64_t ste[IMS_STE_WORDS], enum ims_ste_field field);
void ims_ste_set_address(uint64_t ste[IMS_STE_WORDS], enum ims_ste_field field, uint64_t address);
uint64_t ims_cd_address(const uint64_t cd[IMS_CD_WORDS], enum ims_cd_field field);
void ims_cd_set_address(uint64_t cd[IMS_CD_WORDS], enum ims_cd_field field, uint64_t address);

// Fields named in the source, without a look at the rows: IMS_STE_GET(words, S2VMID), IMS_CD_GET(words, TG0).
#define IMS_STE_GET(words, name) ims_bits_get((words), IMS_STE_##name##_LSB, IMS_STE_##name##_WIDTH)
#define IMS_CD_GET(words, name)  ims_bits_get((words), IMS_CD_##name##_LSB, IMS_CD_##name##_WIDTH)

// An address whose low n bits count as zero; n may be 64 and more.
static inline uint64_t ims_smmu_align(uint64_t address, unsigned n) { return n < 64 ? address >> n << n : 0; }

// Stream tables (6.3.24, 6.3.25). `base` is STRTAB_BASE.ADDR as an address, `log2size` and `split` are the fields of
// STRTAB_BASE_CFG as written: the alignment of the base goes by these, also beyond the bits that a StreamID has. The
// caller has checked the StreamID against them.

// Bits of a StreamID that select within a leaf; reserved codes act as 6.
static inline unsigned ims_stream_split(unsigned split) { return split == 8 || split == 10 ? split : 6; }

// Linear table: the STE.
static inline uint64_t ims_stream_linear_at(uint64_t base, unsigned log2size, uint32_t sid) {
  return ims_smmu_align(base, log2size + 6) + (uint64_t)sid * IMS_STE_BYTES;
}

// Two-level table: entries of the upper level as log2, the index, and the level-1 descriptor.
static inline unsigned ims_stream_l1_log2(unsigned log2size, unsigned split) {
  split = ims_stream_split(split);
  return log2size > split ? log2size - split : 0;
}
static inline uint32_t ims_stream_l1_index(unsigned split, uint32_t sid) { return sid >> ims_stream_split(split); }
static inline uint64_t ims_stream_l1_at(uint64_t base, unsigned log2size, unsigned split, uint32_t sid) {
  unsigned bytes = ims_stream_l1_log2(log2size, split) + 3;
  return ims_smmu_align(base, bytes < 6 ? 6 : bytes) + (uint64_t)ims_stream_l1_index(split, sid) * IMS_STREAM_L1_BYTES;
}

// Leaf: its entries as log2 by Span, or -1 where there is none (5.1: Span 0 or reserved, or beyond the split).
static inline int ims_stream_l2_log2(uint64_t l1, unsigned split) {
  unsigned span = (unsigned)(l1 & 31);
  return span >= 1 && span <= 11 && span <= ims_stream_split(split) + 1 ? (int)span - 1 : -1;
}
static inline uint32_t ims_stream_l2_index(unsigned split, uint32_t sid) {
  return sid & ((1u << ims_stream_split(split)) - 1);
}
static inline uint64_t ims_stream_l2_base(uint64_t l1, unsigned log2) {
  return ims_smmu_align(l1 & 0x00ffffffffffffc0ull, log2 + 6);
}

// The STE that a level-1 descriptor leads to; false: the StreamID is outside (C_BAD_STREAMID).
static inline bool ims_stream_l2_at(uint64_t l1, unsigned split, uint32_t sid, uint64_t *ste) {
  int log2 = ims_stream_l2_log2(l1, split);
  uint32_t index = ims_stream_l2_index(split, sid);
  if (log2 < 0 || index >> log2)
    return false;
  *ste = ims_stream_l2_base(l1, (unsigned)log2) + (uint64_t)index * IMS_STE_BYTES;
  return true;
}

// CD tables (5.2, S1Fmt; 5.3). `ptr` is S1ContextPtr as an address; bits of it below the table's size count as zero.
// The caller has checked the SubstreamID against S1CDMax.

// Bits of a SubstreamID that select within a leaf: 6 with 4 KB, 10 with 64 KB; 0: the table is linear.
static inline unsigned ims_cd_split(unsigned s1fmt) { return s1fmt == 1 ? 6 : s1fmt == 2 ? 10 : 0; }

// Linear table, or the single CD of S1CDMax = 0: the CD.
static inline uint64_t ims_cd_linear_at(uint64_t ptr, unsigned s1cdmax, uint32_t ssid) {
  return ims_smmu_align(ptr, s1cdmax + 6) + (uint64_t)ssid * IMS_CD_BYTES;
}

// Two-level table: entries of the upper level as log2, the index, and the level-1 descriptor.
static inline unsigned ims_cd_l1_log2(unsigned s1fmt, unsigned s1cdmax) {
  unsigned split = ims_cd_split(s1fmt);
  return s1cdmax > split ? s1cdmax - split : 0;
}
static inline uint32_t ims_cd_l1_index(unsigned s1fmt, uint32_t ssid) { return ssid >> ims_cd_split(s1fmt); }
static inline uint64_t ims_cd_l1_at(uint64_t ptr, unsigned s1fmt, unsigned s1cdmax, uint32_t ssid) {
  unsigned bytes = ims_cd_l1_log2(s1fmt, s1cdmax) + 3;
  return ims_smmu_align(ptr, bytes < 6 ? 6 : bytes) + (uint64_t)ims_cd_l1_index(s1fmt, ssid) * IMS_CD_L1_BYTES;
}

// The level-1 descriptor, and the CD in the leaf that it leads to.
static inline bool ims_cd_l1_valid(uint64_t l1) { return l1 & 1; }
static inline uint32_t ims_cd_l2_index(unsigned s1fmt, uint32_t ssid) {
  return ssid & ((1u << ims_cd_split(s1fmt)) - 1);
}
static inline uint64_t ims_cd_l2_base(uint64_t l1, unsigned s1fmt) {
  return ims_smmu_align(l1 & 0x00fffffffffff000ull, ims_cd_split(s1fmt) + 6);
}
static inline uint64_t ims_cd_l2_at(uint64_t l1, unsigned s1fmt, uint32_t ssid) {
  return ims_cd_l2_base(l1, s1fmt) + (uint64_t)ims_cd_l2_index(s1fmt, ssid) * IMS_CD_BYTES;
}

#ifdef __cplusplus
}
#endif
