// SPDX-License-Identifier: Apache-2.0
// A unit's configuration for those who read and write it: one row a feature or knob, with its place in the unit's own
// struct, range and sentence. The rows come from the X-macros of vtd.h, smmuv3.h, smmuv2.h.
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
  bool feature; // shown in the unit's identification registers
};

static inline uint32_t ims_option_get(const void *config, const struct ims_option *o) {
  return *(const uint32_t *)(const void *)((const char *)config + o->offset);
}
static inline void ims_option_set(void *config, const struct ims_option *o, uint32_t value) {
  *(uint32_t *)(void *)((char *)config + o->offset) = value;
}

#ifdef __cplusplus
}
#endif
