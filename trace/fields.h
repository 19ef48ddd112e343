// SPDX-License-Identifier: Apache-2.0
// Fields of ioctl arguments as traces name them: which ioctl a name means in a dialect, which fields it has, and what else
// its call can be expected to give (the capabilities behind GET_INFO).
#pragma once

#include "trace/event.h"
#include "uapi/layout.h"

namespace ims {

struct Dialect {
  ims_dialect dialect = IMS_DIALECT_V7;
  ims_iommu_h iommu_h = IMS_IOMMU_H_AUTO;
};

// "NAME" or "NAME/VARIANT". NULL: none such; *names then are what there is in this dialect (the variants, when the name
// exists and needs one).
const ims_uapi_ioctl *find_ioctl(const Dialect &d, std::string_view text, std::vector<std::string> *names);

// Recorded calls: the words that are no ioctls; and an ioctl's number by its name alone, in whichever dialect it has that
// name. False: none has.
bool is_call_word(std::string_view text);
bool command_by_name(std::string_view name, uint64_t *word);

// Names of an ioctl's fields, in the order of their offsets.
std::vector<std::string> field_names(const ims_uapi_ioctl &row);
std::vector<std::string> field_names(const ims_uapi_struct &layout);
const ims_uapi_field *find_field(const ims_uapi_struct &layout, std::string_view name);

// Where a field named in a trace lies: in the argument, or in the index-th structure of a part that lies apart from it
// ("data.addr" is of the first, "data1.addr" of the second). field NULL: none such.
struct PlacedField {
  const ims_uapi_field *field = nullptr;
  const ims_uapi_part *part = nullptr;
  unsigned index = 0;
  unsigned offset() const { return (part->pointer ? 0u : part->offset) + field->offset; }
};
PlacedField place_field(const ims_uapi_ioctl &row, std::string_view name);
std::string field_name(const ims_uapi_part &part, unsigned index, const ims_uapi_field &f); // and back

// A field of a structure of the hardware that an argument hands over in words: "data.S1CDMAX" of a STE, "data1.ASID" of a
// command. part NULL: none such.
struct PlacedBits {
  const ims_uapi_part *part = nullptr;
  unsigned index = 0;
  unsigned low = 0, bits = 0;             // in the structure
  unsigned shift = 0;                     // addresses are given whole
  const ims_uapi_value *values = nullptr; // names: of commands
};
PlacedBits place_bits(const ims_uapi_ioctl &row, std::string_view name);
std::vector<std::string> bits_names(const ims_uapi_ioctl &row);

// Records of a file, the second and further with their number before the name: "addr", "1.addr".
const ims_uapi_field *find_record_field(const ims_uapi_struct &layout, std::string_view name, unsigned *index);

// Holds the number of a descriptor, which a trace may give by the file's name.
bool is_descriptor(const ims_uapi_field &f);

// What a field holds when a trace leaves it out, for the argument as a whole.
std::vector<uint8_t> default_argument(const ims_uapi_ioctl &row);

// The field that holds a descriptor which the ioctl makes, and what that is. NULL: it makes none.
const ims_uapi_field *made_descriptor(const ims_uapi_ioctl &row, ims_uapi_file *kind);

// What a file reads and writes in records; NULL: it does not.
const ims_uapi_struct *read_layout(ims_uapi_file kind);
const ims_uapi_struct *write_layout(ims_uapi_file kind);

// The layout of a page response in this dialect, and of what fault-read gives: by its type.
const ims_uapi_struct &page_response_layout(const Dialect &d);
const ims_uapi_struct &page_request_layout();
const ims_uapi_struct &unrecoverable_layout();

// GET_INFO's capabilities: outputs "iova_range.nr_iovas", "iova_range.0.start", "nesting.features" ... NULL: none such.
const ims_uapi_field *find_capability_field(const Dialect &d, std::string_view name);
std::vector<std::string> capability_field_names(const Dialect &d);

uint64_t get_field(const uint8_t *at, const ims_uapi_field &f);
void put_field(uint8_t *at, const ims_uapi_field &f, uint64_t value);

// A field's value as people read it: "READ|WRITE", "0x7f..", "20".
std::string field_text(const ims_uapi_field &f, uint64_t value);

struct NamedField {
  std::string name;
  const ims_uapi_field *field;
  uint64_t value;
};

// The capabilities found in what GET_INFO left in its buffer.
std::vector<NamedField> decode_capabilities(const Dialect &d, const std::vector<uint8_t> &buffer);

} // namespace ims
