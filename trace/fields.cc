// SPDX-License-Identifier: Apache-2.0
// Fields of ioctl arguments by name, on top of uapi/layout.h.
#include "trace/fields.h"
#include "iommu/smmuv3/commands.h"
#include "trace/names.h"
#include "trace/number.h"
#include "trace/structures.h"
#include "trace/text.h"

#include <algorithm>
#include <cstring>

namespace ims {

static bool applies(const ims_uapi_ioctl &r, const Dialect &d) {
  return (r.dialects >> d.dialect & 1) && (!r.iommu_h || r.iommu_h == ims_iommu_h_of(d.dialect, d.iommu_h));
}

const ims_uapi_ioctl *find_ioctl(const Dialect &d, std::string_view text, std::vector<std::string> *names) {
  names->clear();
  size_t slash = text.find('/');
  std::string name(text.substr(0, slash));
  std::string variant(slash == text.npos ? "" : text.substr(slash + 1));
  std::vector<std::string> variants, others;
  for (unsigned i = 0; const ims_uapi_ioctl *r = ims_uapi_row(i); i++) {
    if (!applies(*r, d))
      continue;
    if (name == r->name && variant == r->variant)
      return r;
    (name == r->name ? variants : others).push_back(*r->variant ? std::string(r->name) + "/" + r->variant : r->name);
  }
  *names = variants.empty() ? others : variants;
  return nullptr;
}

std::vector<std::string> field_names(const ims_uapi_struct &layout) {
  std::vector<std::string> names;
  for (unsigned i = 0; i < layout.fields; i++)
    names.push_back(layout.field[i].name);
  return names;
}

bool is_call_word(std::string_view text) {
  return text == "read" || text == "write" || text == "mmap" || text == "munmap";
}

bool command_by_name(std::string_view name, uint64_t *word) {
  for (unsigned i = 0; const ims_uapi_ioctl *row = ims_uapi_row(i); i++)
    if (name == row->name) {
      *word = row->word;
      return true;
    }
  return false;
}

std::vector<std::string> field_names(const ims_uapi_ioctl &row) {
  std::vector<std::string> names;
  for (const ims_uapi_part &p : row.part) {
    if (!p.layout)
      break;
    for (const std::string &n : field_names(*p.layout))
      names.push_back(p.prefix + n);
  }
  return names;
}

const ims_uapi_field *find_field(const ims_uapi_struct &layout, std::string_view name) {
  for (unsigned i = 0; i < layout.fields; i++)
    if (name == layout.field[i].name)
      return &layout.field[i];
  return nullptr;
}

uint64_t get_field(const uint8_t *at, const ims_uapi_field &f) {
  uint64_t value = 0;
  std::memcpy(&value, at, std::min<size_t>(f.bytes, 8));
  return value;
}

void put_field(uint8_t *at, const ims_uapi_field &f, uint64_t value) {
  std::memset(at, 0, f.bytes);
  std::memcpy(at, &value, std::min<size_t>(f.bytes, 8));
}

// Splits the digits off that text begins with: a number from 1 to 4095 without leading zeros. False: others.
static bool take_index(std::string_view *text, unsigned *index) {
  size_t n = 0;
  *index = 0;
  for (; n < text->size() && n < 5 && (*text)[n] >= '0' && (*text)[n] <= '9'; n++)
    *index = *index * 10 + static_cast<unsigned>((*text)[n] - '0');
  bool good = n && (*text)[0] != '0' && *index < 4096;
  text->remove_prefix(n);
  return good;
}

// Splits what a part's names begin with off, "data." or of several structures "data1." too. False: another part's.
static bool take_prefix(const ims_uapi_part &p, std::string_view *name, unsigned *index) {
  std::string_view prefix = p.prefix;
  *index = 0;
  bool several = p.pointer && p.count && !prefix.empty();
  if (several)
    prefix.remove_suffix(1);
  if (name->substr(0, prefix.size()) != prefix)
    return false;
  name->remove_prefix(prefix.size());
  if (!several)
    return true;
  if ((name->substr(0, 1) != "." && !take_index(name, index)) || name->substr(0, 1) != ".")
    return false;
  name->remove_prefix(1);
  return true;
}

PlacedField place_field(const ims_uapi_ioctl &row, std::string_view name) {
  PlacedField placed;
  for (const ims_uapi_part &p : row.part) {
    if (!p.layout)
      break;
    std::string_view rest = name;
    if (!take_prefix(p, &rest, &placed.index))
      continue;
    placed.part = &p;
    if ((placed.field = find_field(*p.layout, rest)))
      return placed;
  }
  placed.field = nullptr;
  return placed;
}

// The hardware's fields in the words of a structure of the uAPI.
struct NamedBits {
  const char *name;
  unsigned low, bits, shift;
  const ims_uapi_value *values;
};

static std::vector<NamedBits> ste_bits() {
  std::vector<NamedBits> all;
  for (const FieldRow &f : *find_structure("STE")->rows)
    if (f.lsb + f.width <= 128)
      all.push_back({f.name, f.lsb, f.width, f.pointer ? f.address_lsb : 0, nullptr});
  return all;
}

static std::vector<NamedBits> command_bits() {
  static const std::vector<ims_uapi_value> opcodes = [] {
    std::vector<ims_uapi_value> list;
    for (unsigned i = 0; const ims_smmuv3_command_info *c = ims_smmuv3_commands(i); i++)
      list.push_back({c->name, c->opcode});
    list.push_back({nullptr, 0});
    return list;
  }();
  std::vector<NamedBits> all;
  for (unsigned i = 0; i < IMS_SMMUV3_COMMAND_FIELD_COUNT; i++) {
    const ims_smmuv3_command_place &p = ims_smmuv3_command_places[i];
    bool op = i == IMS_SMMUV3_COMMAND_OP_FIELD, address = !std::strcmp(p.name, "ADDR");
    if (std::strncmp(p.name, "MSI", 3)) // CMD_SYNC is the host's
      all.push_back({p.name, p.low, p.bits, address ? 12u : 0u, op ? opcodes.data() : nullptr});
  }
  return all;
}

static const std::vector<NamedBits> &bits_of(const ims_uapi_struct &layout) {
  static const std::vector<NamedBits> ste = ste_bits(), command = command_bits(), none;
  return !std::strcmp(layout.name, "iommu_hwpt_arm_smmuv3")                ? ste
         : !std::strcmp(layout.name, "iommu_viommu_arm_smmuv3_invalidate") ? command
                                                                           : none;
}

PlacedBits place_bits(const ims_uapi_ioctl &row, std::string_view name) {
  for (const ims_uapi_part &p : row.part) {
    std::string_view rest = name;
    PlacedBits placed;
    if (!p.layout)
      break;
    if (!take_prefix(p, &rest, &placed.index))
      continue;
    for (const NamedBits &b : bits_of(*p.layout))
      if (rest == b.name) {
        placed.part = &p;
        placed.low = b.low;
        placed.bits = b.bits;
        placed.shift = b.shift;
        placed.values = b.values;
        return placed;
      }
  }
  return {};
}

std::vector<std::string> bits_names(const ims_uapi_ioctl &row) {
  std::vector<std::string> names;
  for (const ims_uapi_part &p : row.part)
    for (const NamedBits &b : p.layout ? bits_of(*p.layout) : std::vector<NamedBits>())
      names.push_back(std::string(p.prefix) + b.name);
  return names;
}

std::string field_name(const ims_uapi_part &part, unsigned index, const ims_uapi_field &f) {
  std::string prefix = part.prefix;
  if (index)
    prefix = prefix.substr(0, prefix.size() - 1) + std::to_string(index) + ".";
  return prefix + f.name;
}

const ims_uapi_field *find_record_field(const ims_uapi_struct &layout, std::string_view name, unsigned *index) {
  *index = 0;
  if (!name.empty() && name[0] >= '0' && name[0] <= '9') {
    if (!take_index(&name, index) || name.substr(0, 1) != ".")
      return nullptr;
    name.remove_prefix(1);
  }
  return find_field(layout, name);
}

bool is_descriptor(const ims_uapi_field &f) { return !std::strcmp(f.name, "iommufd") || !std::strcmp(f.name, "fd"); }

const ims_uapi_field *made_descriptor(const ims_uapi_ioctl &row, ims_uapi_file *kind) {
  *kind = row.word == IMS_IOMMU_VEVENTQ_ALLOC ? IMS_FILE_EVENT_QUEUE : IMS_FILE_FAULT_QUEUE;
  return row.word == IMS_IOMMU_FAULT_QUEUE_ALLOC ? find_field(*row.part[0].layout, "out_fault_fd")
         : row.word == IMS_IOMMU_VEVENTQ_ALLOC   ? find_field(*row.part[0].layout, "out_veventq_fd")
                                                 : nullptr;
}

const ims_uapi_struct *read_layout(ims_uapi_file kind) {
  return kind == IMS_FILE_FAULT_QUEUE ? ims_uapi_struct_by_name("iommu_hwpt_pgfault") : nullptr;
}

const ims_uapi_struct *write_layout(ims_uapi_file kind) {
  return kind == IMS_FILE_FAULT_QUEUE ? ims_uapi_struct_by_name("iommu_hwpt_page_response") : nullptr;
}

std::vector<uint8_t> default_argument(const ims_uapi_ioctl &row) {
  std::vector<uint8_t> bytes(row.size, 0);
  for (const ims_uapi_part &p : row.part) {
    if (!p.layout)
      break;
    if (const ims_uapi_field *f = find_field(*p.layout, "argsz"))
      put_field(&bytes[p.offset + f->offset], *f, row.size - p.offset);
  }
  const ims_uapi_struct *head = row.part[0].layout;
  if (row.file == IMS_FILE_IOMMUFD && head) // its commands begin with their size
    put_field(bytes.data(), head->field[0], row.size);
  if (row.flags_mask && bytes.size() >= 8)
    std::memcpy(&bytes[4], &row.flags_value, 4);
  if (row.granularity != 0xff && row.granularity_offset < bytes.size())
    bytes[row.granularity_offset] = row.granularity;
  return bytes;
}

const ims_uapi_struct &page_response_layout(const Dialect &d) {
  bool a = ims_iommu_h_of(d.dialect, d.iommu_h) == IMS_IOMMU_H_A;
  return *ims_uapi_struct_by_name(a ? "iommu_page_response_a" : "iommu_page_response_b");
}

const ims_uapi_struct &page_request_layout() { return *ims_uapi_struct_by_name("iommu_fault_page_request"); }
const ims_uapi_struct &unrecoverable_layout() { return *ims_uapi_struct_by_name("iommu_fault_unrecoverable"); }

// The layout of the nesting capability, and where it begins: v1's rows count from the capability's header on; v2 and v3
// put a flags word before the information, v4 flags and padding, the later ones nothing.
static const ims_uapi_struct &nesting_layout(const Dialect &d) {
  return *ims_uapi_struct_by_name(d.dialect == IMS_DIALECT_V1 ? "vfio_cap_nesting_v1" : "iommu_nesting_info");
}

static unsigned nesting_id(const Dialect &d) { return d.dialect <= IMS_DIALECT_V2 ? 2 : 3; }

static size_t nesting_head(const Dialect &d) {
  return d.dialect == IMS_DIALECT_V1 ? 0 : d.dialect <= IMS_DIALECT_V3 ? 12 : d.dialect == IMS_DIALECT_V4 ? 16 : 8;
}

// Splits "iova_range.3.start": the index and what follows.
static bool range_index(std::string_view name, uint64_t *index, std::string_view *rest) {
  size_t dot = name.find('.');
  *rest = dot == name.npos ? std::string_view() : name.substr(dot + 1);
  return dot != name.npos && parse_size(name.substr(0, dot), index) && *index < 4096;
}

const ims_uapi_field *find_capability_field(const Dialect &d, std::string_view name) {
  constexpr std::string_view nesting = "nesting.", ranges = "iova_range.";
  if (name.substr(0, nesting.size()) == nesting)
    return find_field(nesting_layout(d), name.substr(nesting.size()));
  if (name.substr(0, ranges.size()) != ranges)
    return nullptr;
  name.remove_prefix(ranges.size());
  uint64_t index;
  std::string_view rest;
  if (range_index(name, &index, &rest))
    return find_field(*ims_uapi_struct_by_name("vfio_iova_range"), rest);
  return find_field(*ims_uapi_struct_by_name("vfio_cap_iova_range"), name);
}

std::vector<std::string> capability_field_names(const Dialect &d) {
  std::vector<std::string> names = {"iova_range.nr_iovas", "iova_range.0.start", "iova_range.0.end"};
  for (const std::string &n : field_names(nesting_layout(d)))
    names.push_back("nesting." + n);
  return names;
}

std::vector<NamedField> decode_capabilities(const Dialect &d, const std::vector<uint8_t> &buffer) {
  std::vector<NamedField> out;
  auto u32 = [&](size_t at) {
    uint32_t v = 0;
    if (at + 4 <= buffer.size())
      std::memcpy(&v, &buffer[at], 4);
    return v;
  };
  auto fields = [&](const ims_uapi_struct &layout, const std::string &prefix, size_t at) {
    for (unsigned i = 0; i < layout.fields; i++) {
      const ims_uapi_field &f = layout.field[i];
      if (f.form != IMS_FORM_PAD && at + f.offset + f.bytes <= buffer.size())
        out.push_back({prefix + f.name, &f, get_field(&buffer[at + f.offset], f)});
    }
  };
  size_t at = u32(16);
  for (unsigned n = 0; at && at + 8 <= buffer.size() && n < 16; n++) {
    unsigned id = u32(at) & 0xffff;
    if (id == IMS_VFIO_INFO_CAP_IOVA_RANGE) {
      fields(*ims_uapi_struct_by_name("vfio_cap_iova_range"), "iova_range.", at);
      uint32_t count = u32(at + 8);
      for (uint32_t i = 0; i < count && at + 16 + (i + 1) * size_t(16) <= buffer.size(); i++)
        fields(*ims_uapi_struct_by_name("vfio_iova_range"), "iova_range." + std::to_string(i) + ".", at + 16 + i * 16u);
    } else if (id == nesting_id(d)) {
      fields(nesting_layout(d), "nesting.", at + nesting_head(d));
    }
    at = u32(at + 4);
  }
  return out;
}

std::string field_text(const ims_uapi_field &f, uint64_t value) {
  switch (f.form) {
  case IMS_FORM_HEX: return hex(value);
  case IMS_FORM_ENUM:
    for (const ims_uapi_value *v = f.values; v->name; v++)
      if (v->value == value)
        return v->name;
    return hex(value);
  case IMS_FORM_FLAGS: {
    std::string text;
    for (const ims_uapi_value *v = f.values; v->name; v++)
      if (v->value && (value & v->value) == v->value) {
        text += (text.empty() ? "" : "|") + std::string(v->name);
        value &= ~v->value;
      }
    if (value || text.empty())
      text += (text.empty() ? "" : "|") + (value ? hex(value) : std::string("0"));
    return text;
  }
  default: return std::to_string(value);
  }
}

} // namespace ims
