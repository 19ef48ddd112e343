// SPDX-License-Identifier: Apache-2.0
// A unit's configuration for those who read and write it: one row a feature or knob, with its place in the unit's own
// struct, range, unit and sentence. The rows come from the X-macros of vtd.h, smmuv3.h, smmuv2.h, and from whoever else
// has numbers that people set.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ims_option {
  const char *name, *sentence;
  size_t offset; // of a uint32_t in the unit's configuration
  uint32_t low, high, def;
  // Shown in the unit's identification registers: `bits` bits from `lsb` on of the register numbered `reg`.
  bool feature;
  uint8_t reg, lsb, bits;
  const char *unit;         // "entries", "ns"; NULL or empty: none
  const char *const *words; // names of the values from `low` on, ended by NULL; NULL: it is a number
  uint32_t scale;           // 1000: kept in thousandths of the unit, and written as a decimal number; 0, 1: as it is
};

// Names of values that several have.
extern const char *const ims_words_replacement[];     // enum ims_replacement
extern const char *const ims_words_own_replacement[]; // and "common" at the end
extern const char *const ims_words_off_on[];

static inline uint32_t ims_option_get(const void *config, const struct ims_option *o) {
  return *(const uint32_t *)(const void *)((const char *)config + o->offset);
}
static inline void ims_option_set(void *config, const struct ims_option *o, uint32_t value) {
  *(uint32_t *)(void *)((char *)config + o->offset) = value;
}

// Rows out of the X-macros of a unit whose configuration is `struct config`.
#define IMS_OPTION_FEATURE(config, name_, reg_, lsb_, bits_, def_, sentence_)                                          \
  {.name = #name_,                                                                                                     \
   .sentence = (sentence_),                                                                                            \
   .offset = offsetof(struct config, name_),                                                                           \
   .high = (1u << (bits_)) - 1,                                                                                        \
   .def = (def_),                                                                                                      \
   .unit = "",                                                                                                         \
   .feature = true,                                                                                                    \
   .reg = (reg_),                                                                                                      \
   .lsb = (lsb_),                                                                                                      \
   .bits = (bits_)},
#define IMS_OPTION_KNOB(config, name_, def_, low_, high_, unit_, words_, sentence_)                                    \
  {.name = #name_,                                                                                                     \
   .sentence = (sentence_),                                                                                            \
   .offset = offsetof(struct config, name_),                                                                           \
   .low = (low_),                                                                                                      \
   .high = (high_),                                                                                                    \
   .def = (def_),                                                                                                      \
   .unit = (unit_),                                                                                                    \
   .words = (words_)},

static inline void ims_options_default(void *config, const struct ims_option *rows, size_t count) {
  for (size_t i = 0; i < count; i++)
    ims_option_set(config, &rows[i], rows[i].def);
}

// An identification register as the features make it (0: no row is of this register), and the features out of one.
static inline uint64_t ims_options_show(const void *config, const struct ims_option *rows, size_t count, unsigned reg) {
  uint64_t value = 0;
  for (size_t i = 0; i < count; i++)
    if (rows[i].feature && rows[i].reg == reg)
      value |= (uint64_t)(ims_option_get(config, &rows[i]) & ((1u << rows[i].bits) - 1)) << rows[i].lsb;
  return value;
}

static inline void ims_options_take(void *config, const struct ims_option *rows, size_t count, unsigned reg,
                                    uint64_t value) {
  for (size_t i = 0; i < count; i++)
    if (rows[i].feature && rows[i].reg == reg)
      ims_option_set(config, &rows[i], (uint32_t)(value >> rows[i].lsb) & ((1u << rows[i].bits) - 1));
}

// The row whose value is out of its range, or NULL.
static inline const struct ims_option *ims_options_check(const void *config, const struct ims_option *rows,
                                                         size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint32_t value = ims_option_get(config, &rows[i]);
    if (value < rows[i].low || value > rows[i].high)
      return &rows[i];
  }
  return NULL;
}

#ifdef __cplusplus
}
#endif
