// SPDX-License-Identifier: Apache-2.0
// Events that call ioctls: the argument put together of fields, the call, what came back taken apart.
#include "trace/player_internal.h"

#include <algorithm>
#include <cstring>
#include <set>

namespace ims {

namespace {

enum : size_t { MOST = 1 << 20 }; // bytes of a buffer

// Structures that lie apart from an argument: one or several, one after the other.
struct Apart {
  const ims_uapi_part *part;
  size_t stride, count;
  std::vector<uint8_t> bytes, before;
  int buffer = -1; // which of the player's; -1: the trace gives the pointer
};

uint64_t get32(const std::vector<uint8_t> &bytes, size_t at) {
  uint32_t v = 0;
  if (at + 4 <= bytes.size())
    std::memcpy(&v, &bytes[at], 4);
  return v;
}

void put_at(std::vector<uint8_t> *bytes, size_t at, uint64_t value, size_t size) {
  if (at + size <= bytes->size())
    std::memcpy(bytes->data() + at, &value, size);
}

// A field whose value the player fills in: pointers, lengths and counts of what lies apart, the size of a command.
bool is_filled_in(const ims_uapi_ioctl &row, const ims_uapi_field &f) {
  if (f.offset == 0)
    return row.file == IMS_FILE_IOMMUFD || row.file == IMS_FILE_DEVICE;
  for (const ims_uapi_part &p : row.part)
    if (p.layout && p.pointer && (f.offset == p.pointer || f.offset == p.length || f.offset == p.count))
      return true;
  return false;
}

} // namespace

void PlayerImpl::ioctl_event() {
  File &f = file_named();
  std::vector<std::string> names;
  const ims_uapi_ioctl *row = find_ioctl(dialect, text("IOCTL"), &names);
  if (!row)
    fail(arg("IOCTL")->at, "unknown ioctl in this dialect");
  const bool structure = row->arg == IMS_ARG_STRUCT;
  std::vector<uint8_t> bytes;
  std::vector<Apart> aparts;
  std::set<unsigned> given; // offsets of fields of the argument that the trace sets
  uint64_t argument = 0;
  std::string words;

  auto value_of = [&](const Arg &a, const ims_uapi_field &field) {
    uint64_t value = 0;
    for (const Sum &s : a.value.sums)
      value |= eval(s, field.values);
    if (field.bytes < 8 && ~value >> (8 * field.bytes - 1) == 0) // -1 and the like
      value &= (1ull << 8 * field.bytes) - 1;
    if (field.bytes < 8 && value >> (8 * field.bytes))
      fail(a.value.at, hex(value) + " does not fit the " + std::to_string(field.bytes * 8) + " bits of this field");
    return value;
  };
  auto placed = [&](const Arg &a) {
    const ParamInfo *p = event->info->param(a.key);
    return p && a.key != "fd" ? PlacedField() : place_field(*row, a.key);
  };
  auto word_bits = [&](const Arg &a) { return event->info->param(a.key) ? PlacedBits() : place_bits(*row, a.key); };
  auto put_bits = [&](Apart *apart, const PlacedBits &at, const Arg &a) {
    uint64_t value = 0, word = 0;
    for (const Sum &s : a.value.sums)
      value |= eval(s, at.values);
    if (value & ((1ull << at.shift) - 1))
      fail(a.value.at, hex(value) + " is not aligned to " + bytes_text(1ull << at.shift));
    value >>= at.shift;
    if (at.bits < 64 && value >> at.bits)
      fail(a.value.at, hex(value) + " does not fit the " + std::to_string(at.bits) + " bits of this field");
    size_t in = at.low / 64 * 8, where = at.index * apart->stride + in;
    if (in + 8 > apart->stride)
      return; // beyond the length that the trace says
    uint64_t mask = (at.bits < 64 ? (1ull << at.bits) - 1 : ~0ull) << at.low % 64;
    std::memcpy(&word, &apart->bytes[where], 8);
    word = (word & ~mask) | value << at.low % 64;
    std::memcpy(&apart->bytes[where], &word, 8);
  };
  auto say = [&](const std::string &name, const ims_uapi_field &field, uint64_t value) {
    if (value)
      words += (words.empty() ? "" : ", ") + name + " " + field_text(field, value);
  };

  switch (row->arg) {
  case IMS_ARG_VALUE:
    argument = number("value");
    words = has("value") ? print_value(*arg("value")) : "0";
    break;
  case IMS_ARG_FD_POINTER: {
    auto fd = static_cast<int32_t>(has("fd") ? number("fd") : number("value", ~0ull));
    bytes.resize(4);
    std::memcpy(bytes.data(), &fd, 4);
    words = has("fd") ? print_value(*arg("fd")) : std::to_string(fd);
    break;
  }
  case IMS_ARG_STRUCT:
    bytes = default_argument(*row);
    for (const Arg &a : event->args)
      if (PlacedField at = placed(a); at.field && !at.part->pointer) {
        put_field(&bytes[at.offset()], *at.field, value_of(a, *at.field));
        given.insert(at.offset());
      }
    for (const ims_uapi_part &p : row->part)
      if (p.layout && p.pointer) {
        Apart apart = {&p, p.layout->size, p.count || row->granularity == 0xff ? 0u : 1u, {}, {}, -1};
        if (p.length && given.count(p.length))
          apart.stride = std::min<size_t>(get32(bytes, p.length), MOST);
        for (const Arg &a : event->args) {
          if (PlacedField at = placed(a); at.part == &p && at.field)
            apart.count = std::max<size_t>(apart.count, at.index + 1);
          if (PlacedBits at = word_bits(a); at.part == &p)
            apart.count = std::max<size_t>(apart.count, at.index + 1);
        }
        if (p.count && given.count(p.count) && apart.stride)
          apart.count = std::max(apart.count, std::min<size_t>(get32(bytes, p.count), MOST / apart.stride));
        if (apart.stride * apart.count > MOST)
          fail("what this argument points to has more than 1 MB");
        apart.bytes.resize(apart.stride * apart.count);
        for (const Arg &a : event->args)
          if (PlacedField at = placed(a); at.part == &p && at.field) {
            uint64_t value = value_of(a, *at.field);
            for (size_t i = 0; i < at.field->bytes && at.field->offset + i < apart.stride; i++)
              apart.bytes[at.index * apart.stride + at.field->offset + i] = static_cast<uint8_t>(value >> (8 * i));
          }
        for (const Arg &a : event->args) // over whole words
          if (PlacedBits at = word_bits(a); at.part == &p)
            put_bits(&apart, at, a);
        if (p.length && !given.count(p.length))
          put_at(&bytes, p.length, apart.count ? apart.stride : 0, 4);
        if (p.count && !given.count(p.count))
          put_at(&bytes, p.count, apart.count, 4);
        apart.before = apart.bytes;
        aparts.push_back(std::move(apart));
      }
    break;
  default: break;
  }
  if (has("buffer")) {
    uint64_t size = number("buffer");
    if (size > MOST)
      fail(arg("buffer")->at, "expected at most 1M");
    bytes.resize(size);
  }

  // Into memory: the argument, and behind it what it points to.
  buffers.process = f.process->process;
  if (structure || row->arg == IMS_ARG_FD_POINTER)
    argument = buffers.put(bytes);
  auto point = [&](unsigned pointer, std::vector<uint8_t> content) {
    int index = static_cast<int>(buffers.list.size());
    uint64_t at = buffers.add(std::move(content));
    put_at(&buffers.list[0].bytes, pointer, at, 8);
    put_at(&bytes, pointer, at, 8);
    return index;
  };
  for (Apart &a : aparts)
    if (!given.count(a.part->pointer) && !a.bytes.empty())
      a.buffer = point(a.part->pointer, a.bytes);
  // The dirty bitmap: a bit a page, in words of 64.
  int bitmap = -1;
  const unsigned bitmap_pointer = offsetof(ims_iommu_hwpt_get_dirty_bitmap, data);
  if (row->word == IMS_IOMMU_HWPT_GET_DIRTY_BITMAP && !given.count(bitmap_pointer) && bytes.size() >= 48) {
    ims_iommu_hwpt_get_dirty_bitmap get;
    std::memcpy(&get, bytes.data(), sizeof get);
    uint64_t pages = get.page_size ? get.length / get.page_size : 0;
    std::string before = text("bitmap");
    std::vector<uint8_t> content(before.begin(), before.end());
    content.resize(std::max<size_t>(content.size(), std::min<uint64_t>(pages / 64 + (pages % 64 != 0), MOST / 8) * 8));
    if (!content.empty())
      bitmap = point(bitmap_pointer, std::move(content));
  }
  if (structure) {
    for (const ims_uapi_part &p : row->part)
      for (unsigned i = 0; p.layout && !p.pointer && i < p.layout->fields; i++) {
        const ims_uapi_field &field = p.layout->field[i];
        size_t at = size_t(p.offset) + field.offset;
        if (at + field.bytes <= bytes.size() &&
            (given.count(static_cast<unsigned>(at)) || !is_filled_in(*row, field)) &&
            !(bitmap >= 0 && at == bitmap_pointer))
          say(field_name(p, 0, field), field, get_field(&bytes[at], field));
      }
    for (const Apart &a : aparts)
      for (size_t n = 0; n < a.count; n++)
        for (unsigned i = 0; i < a.part->layout->fields; i++) {
          const ims_uapi_field &field = a.part->layout->field[i];
          if (field.offset + size_t(field.bytes) <= a.stride)
            say(field_name(*a.part, static_cast<unsigned>(n), field), field,
                get_field(&a.bytes[n * a.stride + field.offset], field));
        }
  }
  if (has("arg")) {
    argument = number("arg");
    words = "pointer " + hex(argument);
  }
  begin(f.name + ": " + text("IOCTL") + (words.empty() ? "" : ": " + words));
  long ret = kernel_ioctl(f, row->word, argument);

  std::string came;
  auto bring = [&](const std::string &name, const ims_uapi_field &field, uint64_t value, bool changed) {
    put(name.c_str(), Type::BITS, value).field = &field;
    if (ret >= 0 && changed)
      came += (came.empty() ? "" : ", ") + name + " " + field_text(field, value);
  };
  if (structure) {
    const std::vector<uint8_t> &after = buffers.list[0].bytes;
    for (const ims_uapi_part &p : row->part)
      for (unsigned i = 0; p.layout && !p.pointer && i < p.layout->fields; i++) {
        const ims_uapi_field &field = p.layout->field[i];
        size_t at = size_t(p.offset) + field.offset;
        if (at + field.bytes > after.size())
          continue;
        uint64_t value = get_field(&after[at], field);
        bring(field_name(p, 0, field), field, value,
              at + field.bytes <= bytes.size() && value != get_field(&bytes[at], field));
      }
    for (const Apart &a : aparts)
      for (size_t n = 0; a.buffer >= 0 && n < a.count; n++)
        for (unsigned i = 0; i < a.part->layout->fields; i++) {
          const ims_uapi_field &field = a.part->layout->field[i];
          size_t at = n * a.stride + field.offset;
          if (field.offset + size_t(field.bytes) > a.stride)
            continue;
          uint64_t value = get_field(&buffers.list[static_cast<size_t>(a.buffer)].bytes[at], field);
          bring(field_name(*a.part, static_cast<unsigned>(n), field), field, value,
                value != get_field(&a.before[at], field));
        }
    if (bitmap >= 0) {
      const std::vector<uint8_t> &bits = buffers.list[static_cast<size_t>(bitmap)].bytes;
      put("bitmap", Type::BYTES, 0).text.assign(bits.begin(), bits.end());
      unsigned dirty = 0;
      for (uint8_t b : bits)
        dirty += static_cast<unsigned>(__builtin_popcount(b));
      if (ret >= 0)
        came += std::to_string(dirty) + (dirty == 1 ? " bit is set" : " bits are set");
    }
    if (ret >= 0 && row->word == IMS_VFIO_IOMMU_GET_INFO)
      for (const NamedField &c : decode_capabilities(dialect, after))
        bring(c.name, *c.field, c.value, c.value != 0);
  }
  // The descriptor that the call made gets its name.
  ims_uapi_file kind;
  const ims_uapi_field *made = has("file") ? made_descriptor(*row, &kind) : nullptr;
  if (made && ret >= 0) {
    auto file = std::make_unique<File>();
    file->name = text("file");
    file->process = f.process;
    file->fd = static_cast<int>(get32(buffers.list[0].bytes, made->offset));
    file->file = ims_process_file(f.process->process, file->fd);
    file->kind = static_cast<uint8_t>(kind);
    if (file->file)
      add_file(std::move(file));
  }
  buffers.process = nullptr;
  put_result(ret, came);
}

void PlayerImpl::ioctl_raw_event() {
  File &f = file_named();
  uint64_t word = number("WORD");
  std::string given = text("bytes");
  buffers.process = f.process->process;
  uint64_t argument = buffers.put(std::vector<uint8_t>(given.begin(), given.end()));
  argument = number("value", argument);
  const ims_uapi_ioctl *row = ims_uapi_by_word(dialect.dialect, dialect.iommu_h, static_cast<ims_uapi_file>(f.kind),
                                               static_cast<uint32_t>(word), given.data(), given.size());
  std::string name = row ? std::string(row->name) + (*row->variant ? "/" : "") + row->variant : "unknown";
  begin(f.name + ": ioctl " + hex(word) + " (" + name + ")" +
        (given.empty() ? has("value") ? " with " + hex(argument) : "" : " with " + bytes_text(given.size())));
  long ret = kernel_ioctl(f, static_cast<uint32_t>(word), argument);
  put("bytes", Type::BYTES, 0).text.assign(buffers.list[0].bytes.begin(), buffers.list[0].bytes.end());
  buffers.process = nullptr;
  put_result(ret);
}

} // namespace ims
