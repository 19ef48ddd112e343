// SPDX-License-Identifier: Apache-2.0
// Fields of structures that are arrays of little-endian 64-bit words: bit n is bit n % 64 of word n / 64. PASID entries,
// stream table entries and context descriptors are such.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// `width` bits from bit `lsb` on, across a border of words too; 1 <= width <= 64. The caller answers for the array being
// long enough.
static inline uint64_t ims_bits_get(const uint64_t *words, unsigned lsb, unsigned width) {
  unsigned word = lsb / 64, shift = lsb % 64;
  uint64_t value = words[word] >> shift;
  if (shift + width > 64)
    value |= words[word + 1] << (64 - shift);
  return value & (~0ull >> (64 - width));
}

// The same of a single word, which the field does not leave.
static inline uint64_t ims_bits_of(uint64_t word, unsigned lsb, unsigned width) {
  return word >> lsb & (~0ull >> (64 - width));
}

// Replaces them, and leaves the other bits alone. Bits of the value beyond `width` are dropped.
static inline void ims_bits_set(uint64_t *words, unsigned lsb, unsigned width, uint64_t value) {
  unsigned word = lsb / 64, shift = lsb % 64;
  uint64_t ones = ~0ull >> (64 - width);
  value &= ones;
  words[word] = (words[word] & ~(ones << shift)) | value << shift;
  if (shift + width > 64) {
    unsigned low = 64 - shift; // bits that went into the first word
    words[word + 1] = (words[word + 1] & ~(ones >> low)) | value >> low;
  }
}

#ifdef __cplusplus
}
#endif
