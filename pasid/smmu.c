// SPDX-License-Identifier: Apache-2.0
// SMMUv3 structures: rows of the field tables in smmu.h, and access to fields by number.
#include "pasid/smmu.h"

#define IMS_X(name, lsb, width, sentence) {#name, sentence, (lsb), (width)},
const struct ims_smmu_field ims_ste_fields[IMS_STE_FIELD_COUNT] = {IMS_STE_FIELDS(IMS_X)};
const struct ims_smmu_field ims_cd_fields[IMS_CD_FIELD_COUNT] = {IMS_CD_FIELDS(IMS_X)};
const struct ims_smmu_field ims_stream_l1_fields[IMS_STREAM_L1_FIELD_COUNT] = {IMS_STREAM_L1_FIELDS(IMS_X)};
const struct ims_smmu_field ims_cd_l1_fields[IMS_CD_L1_FIELD_COUNT] = {IMS_CD_L1_FIELDS(IMS_X)};
#undef IMS_X

// A field lies within its structure, and within one word of it: so an address field is a mask of its word.
#define IMS_X(name, lsb, width, sentence)                                                                              \
  _Static_assert((width) >= 1 && (lsb) + (width) <= 512 && (lsb) / 64 == ((lsb) + (width)-1) / 64, #name);
IMS_STE_FIELDS(IMS_X)
IMS_CD_FIELDS(IMS_X)
#undef IMS_X
#define IMS_X(name, lsb, width, sentence) _Static_assert((width) >= 1 && (lsb) + (width) <= 64, #name);
IMS_STREAM_L1_FIELDS(IMS_X)
IMS_CD_L1_FIELDS(IMS_X)
#undef IMS_X

static uint64_t get(const struct ims_smmu_field *rows, unsigned count, unsigned i, const uint64_t *words) {
  return i < count ? ims_bits_get(words, rows[i].lsb, rows[i].width) : 0;
}

static uint64_t get_word(const struct ims_smmu_field *rows, unsigned count, unsigned i, uint64_t word) {
  return i < count ? ims_bits_of(word, rows[i].lsb, rows[i].width) : 0;
}

static void set(const struct ims_smmu_field *rows, unsigned count, unsigned i, uint64_t *words, uint64_t value) {
  if (i < count)
    ims_bits_set(words, rows[i].lsb, rows[i].width, value);
}

static unsigned address_shift(const struct ims_smmu_field *rows, unsigned count, unsigned i) {
  return i < count ? rows[i].lsb % 64 : 0;
}

uint64_t ims_ste_get(const uint64_t ste[IMS_STE_WORDS], enum ims_ste_field field) {
  return get(ims_ste_fields, IMS_STE_FIELD_COUNT, field, ste);
}

void ims_ste_set(uint64_t ste[IMS_STE_WORDS], enum ims_ste_field field, uint64_t value) {
  set(ims_ste_fields, IMS_STE_FIELD_COUNT, field, ste, value);
}

uint64_t ims_cd_get(const uint64_t cd[IMS_CD_WORDS], enum ims_cd_field field) {
  return get(ims_cd_fields, IMS_CD_FIELD_COUNT, field, cd);
}

void ims_cd_set(uint64_t cd[IMS_CD_WORDS], enum ims_cd_field field, uint64_t value) {
  set(ims_cd_fields, IMS_CD_FIELD_COUNT, field, cd, value);
}

uint64_t ims_stream_l1_get(uint64_t l1, enum ims_stream_l1_field field) {
  return get_word(ims_stream_l1_fields, IMS_STREAM_L1_FIELD_COUNT, field, l1);
}

void ims_stream_l1_set(uint64_t *l1, enum ims_stream_l1_field field, uint64_t value) {
  set(ims_stream_l1_fields, IMS_STREAM_L1_FIELD_COUNT, field, l1, value);
}

uint64_t ims_cd_l1_get(uint64_t l1, enum ims_cd_l1_field field) {
  return get_word(ims_cd_l1_fields, IMS_CD_L1_FIELD_COUNT, field, l1);
}

void ims_cd_l1_set(uint64_t *l1, enum ims_cd_l1_field field, uint64_t value) {
  set(ims_cd_l1_fields, IMS_CD_L1_FIELD_COUNT, field, l1, value);
}

uint64_t ims_ste_address(const uint64_t ste[IMS_STE_WORDS], enum ims_ste_field field) {
  return ims_ste_get(ste, field) << address_shift(ims_ste_fields, IMS_STE_FIELD_COUNT, field);
}

void ims_ste_set_address(uint64_t ste[IMS_STE_WORDS], enum ims_ste_field field, uint64_t address) {
  ims_ste_set(ste, field, address >> address_shift(ims_ste_fields, IMS_STE_FIELD_COUNT, field));
}

uint64_t ims_cd_address(const uint64_t cd[IMS_CD_WORDS], enum ims_cd_field field) {
  return ims_cd_get(cd, field) << address_shift(ims_cd_fields, IMS_CD_FIELD_COUNT, field);
}

void ims_cd_set_address(uint64_t cd[IMS_CD_WORDS], enum ims_cd_field field, uint64_t address) {
  ims_cd_set(cd, field, address >> address_shift(ims_cd_fields, IMS_CD_FIELD_COUNT, field));
}
