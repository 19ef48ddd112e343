// SPDX-License-Identifier: Apache-2.0
// Sentences put together, for note.c and note_smmu.c.
#pragma once

#include "uapi/kernel.h"

struct text {
  char *buf;
  size_t size, len;
};

void ims_say(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

// A field with its name: one bit by name alone, addresses in hex with the bits below the field as zeros. `first` is
// cleared: what comes next needs a comma.
void ims_say_field(struct text *t, bool *first, const char *name, unsigned width, uint64_t value,
                   unsigned address_shift);

// Of SMMUv3 and SMMUv2 (note_smmu.c).
void ims_note_smmu(struct text *t, const struct ims_note *n);
