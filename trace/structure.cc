// SPDX-License-Identifier: Apache-2.0
#include "trace/structure.h"
#include "pasid/bits.h"
#include "trace/text.h"

#include <cinttypes>

namespace ims {

std::vector<Field> decode_fields(const std::vector<FieldRow> &rows, const uint64_t *words, unsigned count,
                                 const DecodeStyle &style) {
  std::vector<Field> out;
  std::vector<uint64_t> left(words, words + count);
  for (const FieldRow &row : rows) {
    uint64_t value = ims_bits_get(words, row.lsb, row.width);
    ims_bits_set(left.data(), row.lsb, row.width, 0);
    if (!value && !(style.always && style.always(row)))
      continue;
    std::string meaning = style.meaning ? style.meaning(row, value) : std::string();
    if (row.pointer)
      value <<= row.address_lsb;
    bool in_hex = row.pointer || (style.in_hex && style.in_hex(row));
    out.push_back({row.name, value, format(in_hex ? "0x%" PRIx64 : "%" PRIu64, value), meaning});
  }
  std::string bits;
  unsigned set = 0;
  for (unsigned i = 0; i < count * 64; i++)
    if (left[i / 64] >> i % 64 & 1 && ++set <= 8)
      bits += (bits.empty() ? "" : ",") + std::to_string(i);
  if (set)
    out.push_back({"reserved", set, "bits " + bits + (set > 8 ? ",..." : ""), ""});
  return out;
}

std::string field_words(const Field &f) {
  return f.name + " " + f.text + (f.meaning.empty() ? "" : " (" + f.meaning + ")");
}

} // namespace ims
