// SPDX-License-Identifier: Apache-2.0
// Structures in memory as a person reads them: rows of fields, and what of them is told.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace ims {

struct Field {
  std::string name;
  uint64_t value;      // pointers: the address
  std::string text;    // as printed: "0x5000", "3"
  std::string meaning; // "nested"; often empty
};

// Where a field lies. `pointer`: it holds the upper bits of an address, which is what is shown; the address's own lowest
// bit is then `address_lsb`.
struct FieldRow {
  const char *name, *sentence;
  unsigned lsb, width;
  bool pointer;
  unsigned address_lsb;
};

struct DecodeStyle {
  std::function<std::string(const FieldRow &, uint64_t)> meaning;
  std::function<bool(const FieldRow &)> always; // shown even when it is zero
  std::function<bool(const FieldRow &)> in_hex;
};

// Fields that are not zero, and those that are always shown, in the order of the rows. Bits that no row names and that are
// set come last, as `reserved`.
std::vector<Field> decode_fields(const std::vector<FieldRow> &rows, const uint64_t *words, unsigned count,
                                 const DecodeStyle &style);

// A field as it stands in a line: "PGTT 3 (nested)".
std::string field_words(const Field &f);

} // namespace ims
