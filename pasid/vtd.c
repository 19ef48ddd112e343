// SPDX-License-Identifier: Apache-2.0
// VT-d PASID structures: rows of the field tables in vtd.h, and access to fields by number.
#include "pasid/vtd.h"

#define IMS_X(name, lsb, width, sentence) {#name, (lsb), (width), sentence},
static const struct ims_vtd_field pe_fields[] = {IMS_VTD_PE_FIELDS(IMS_X)};
static const struct ims_vtd_field pde_fields[] = {IMS_VTD_PDE_FIELDS(IMS_X)};
#undef IMS_X

// A field lies within its entry, and those with a mask of the hot path within one word of it.
#define IMS_X(name, lsb, width, sentence)                                                                              \
  _Static_assert((width) >= 1 && (width) <= 64 && (lsb) + (width) <= 64 * IMS_VTD_PE_WORDS, #name);                    \
  _Static_assert((lsb) / 64 == ((lsb) + (width)-1) / 64, #name);
IMS_VTD_PE_FIELDS(IMS_X)
#undef IMS_X
#define IMS_X(name, lsb, width, sentence) _Static_assert((width) >= 1 && (lsb) + (width) <= 64, #name);
IMS_VTD_PDE_FIELDS(IMS_X)
#undef IMS_X

const struct ims_vtd_field *ims_vtd_pe_field(enum ims_pasid_field field) {
  return (unsigned)field < IMS_VTD_PE_FIELD_COUNT ? &pe_fields[field] : NULL;
}

const struct ims_vtd_field *ims_vtd_pde_field(enum ims_pasid_dir_field field) {
  return (unsigned)field < IMS_VTD_PDE_FIELD_COUNT ? &pde_fields[field] : NULL;
}

const char *ims_vtd_pe_field_name(enum ims_pasid_field field) {
  const struct ims_vtd_field *f = ims_vtd_pe_field(field);
  return f ? f->name : "?";
}

const char *ims_vtd_pe_field_sentence(enum ims_pasid_field field) {
  const struct ims_vtd_field *f = ims_vtd_pe_field(field);
  return f ? f->sentence : "";
}

const char *ims_vtd_pde_field_name(enum ims_pasid_dir_field field) {
  const struct ims_vtd_field *f = ims_vtd_pde_field(field);
  return f ? f->name : "?";
}

const char *ims_vtd_pde_field_sentence(enum ims_pasid_dir_field field) {
  const struct ims_vtd_field *f = ims_vtd_pde_field(field);
  return f ? f->sentence : "";
}

const char *ims_vtd_pgtt_name(unsigned pgtt) {
  switch (pgtt) {
  case IMS_VTD_PGTT_FIRST: return "first-stage";
  case IMS_VTD_PGTT_SECOND: return "second-stage";
  case IMS_VTD_PGTT_NESTED: return "nested";
  case IMS_VTD_PGTT_PASS_THROUGH: return "pass-through";
  default: return "reserved";
  }
}

uint64_t ims_vtd_pe_get(const uint64_t pe[IMS_VTD_PE_WORDS], enum ims_pasid_field field) {
  const struct ims_vtd_field *f = ims_vtd_pe_field(field);
  return f ? ims_bits_get(pe, f->lsb, f->width) : 0;
}

void ims_vtd_pe_set(uint64_t pe[IMS_VTD_PE_WORDS], enum ims_pasid_field field, uint64_t value) {
  const struct ims_vtd_field *f = ims_vtd_pe_field(field);
  if (f)
    ims_bits_set(pe, f->lsb, f->width, value);
}

uint64_t ims_vtd_pde_get(uint64_t pde, enum ims_pasid_dir_field field) {
  const struct ims_vtd_field *f = ims_vtd_pde_field(field);
  return f ? ims_bits_of(pde, f->lsb, f->width) : 0;
}

void ims_vtd_pde_set(uint64_t *pde, enum ims_pasid_dir_field field, uint64_t value) {
  const struct ims_vtd_field *f = ims_vtd_pde_field(field);
  if (f)
    ims_bits_set(pde, f->lsb, f->width, value);
}
