// SPDX-License-Identifier: Apache-2.0
// The rows of events.h as tables, and the fields of records.
#include "iommu/smmuv3/events.h"
#include <stddef.h>

#define IMS_F(name) (1u << IMS_SMMUV3_EVENT_##name##_FIELD)

// As enumerators: what a table's initialiser may use.
enum {
#define IMS_X(kind, fields) FIELDS_##kind = (fields),
  IMS_SMMUV3_EVENT_KINDS(IMS_X)
#undef IMS_X
};

static const struct ims_smmuv3_event_info events[] = {
#define IMS_X(number_, name_, kind_, section_, sentence_)                                                              \
  {.name = #name_,                                                                                                     \
   .section = (section_),                                                                                              \
   .sentence = (sentence_),                                                                                            \
   .number = (number_),                                                                                                \
   .kind = IMS_SMMUV3_EVENT_##kind_,                                                                                   \
   .fields = IMS_F(ID) | IMS_F(SID) | FIELDS_##kind_},
    IMS_SMMUV3_EVENTS(IMS_X)
#undef IMS_X
};

const struct ims_smmuv3_event_place ims_smmuv3_event_places[IMS_SMMUV3_EVENT_FIELD_COUNT] = {
#define IMS_X(name_, low_, bits_, sentence_) {.name = #name_, .sentence = (sentence_), .low = (low_), .bits = (bits_)},
    IMS_SMMUV3_EVENT_FIELDS(IMS_X)
#undef IMS_X
};

const struct ims_smmuv3_event_info *ims_smmuv3_events(unsigned i) {
  return i < sizeof events / sizeof events[0] ? &events[i] : NULL;
}

const struct ims_smmuv3_event_info *ims_smmuv3_event_find(unsigned event) {
  for (unsigned i = 0; i < sizeof events / sizeof events[0]; i++)
    if (events[i].number == event)
      return &events[i];
  return NULL;
}

// No field crosses a word.
static uint64_t mask_of(const struct ims_smmuv3_event_place *p) { return (~0ull >> (64 - p->bits)) << (p->low % 64); }

uint64_t ims_smmuv3_event_get(const uint64_t record[4], enum ims_smmuv3_event_field field) {
  const struct ims_smmuv3_event_place *p = &ims_smmuv3_event_places[field];
  return (record[p->low / 64] & mask_of(p)) >> (p->low % 64);
}

void ims_smmuv3_event_set(uint64_t record[4], enum ims_smmuv3_event_field field, uint64_t value) {
  const struct ims_smmuv3_event_place *p = &ims_smmuv3_event_places[field];
  uint64_t *w = &record[p->low / 64];
  *w = (*w & ~mask_of(p)) | (value << (p->low % 64) & mask_of(p));
}
