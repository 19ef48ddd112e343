// SPDX-License-Identifier: Apache-2.0
// Events that read and write files: page requests and their answers, events of an IOMMU, regions of devices.
#include "trace/player_internal.h"
#include "trace/smmu_entries.h"

#include <algorithm>
#include <cstring>

namespace ims {

// ---- Page requests --------------------------------------------------------------------------------------------------

// Whole records, as far as they came: the fields of the first under their names, of others with their number before.
void PlayerImpl::records_read(File &f, const ims_uapi_struct &layout) {
  uint64_t records = number("count", 1);
  if (records > 4096)
    fail(arg("count")->at, "expected at most 4096");
  begin(f.name + ": read faults" + (records == 1 ? "" : ", " + std::to_string(records) + " at most"));
  buffers.process = f.process->process;
  uint64_t at = buffers.put(std::vector<uint8_t>(records * layout.size));
  long ret = kernel_read(f, at, records * layout.size, 0);
  std::string words;
  for (unsigned n = 0; ret > 0 && n < static_cast<uint64_t>(ret) / layout.size; n++) {
    std::string before = n ? std::to_string(n) + "." : "";
    for (unsigned i = 0; i < layout.fields; i++) {
      const ims_uapi_field &field = layout.field[i];
      uint64_t value = get_field(&buffers.list[0].bytes[n * layout.size + field.offset], field);
      put((before + field.name).c_str(), Type::BITS, value).field = &field;
      if (value)
        words += (words.empty() ? "" : i ? ", " : "; ") + before + field.name + " " + field_text(field, value);
    }
  }
  buffers.process = nullptr;
  put_result(ret, words);
}

void PlayerImpl::records_write(File &f, const ims_uapi_struct &layout) {
  std::vector<uint8_t> bytes(layout.size);
  std::string words;
  for (const Arg &a : event->args) {
    unsigned index = 0;
    const ims_uapi_field *field = event->info->param(a.key) ? nullptr : find_record_field(layout, a.key, &index);
    if (!field)
      continue;
    uint64_t value = 0;
    for (const Sum &s : a.value.sums)
      value |= eval(s, field->values);
    bytes.resize(std::max(bytes.size(), (index + size_t(1)) * layout.size));
    put_field(&bytes[size_t(index) * layout.size + field->offset], *field, value);
    words += (words.empty() ? "" : ", ") + a.key + " " + field_text(*field, value);
  }
  begin(f.name + ": answer page requests: " + words);
  buffers.process = f.process->process;
  size_t size = bytes.size();
  long ret = kernel_write(f, buffers.put(std::move(bytes)), size, 0);
  buffers.process = nullptr;
  put_result(ret);
}

void PlayerImpl::fault_read_event() {
  File &f = file_named();
  if (const ims_uapi_struct *layout = read_layout(static_cast<ims_uapi_file>(f.kind)))
    return records_read(f, *layout);
  ims_iommu_fault_page_request r = {};
  begin(f.name + ": read a fault");
  long ret = ims_container_read_fault(f.file, &r);
  std::string words;
  if (ret > 0) {
    const ims_uapi_struct &layout = r.type == 1 ? unrecoverable_layout() : page_request_layout();
    std::vector<uint8_t> bytes(layout.size);
    std::memcpy(bytes.data(), &r, std::min(sizeof r, bytes.size()));
    for (unsigned i = 0; i < layout.fields; i++) {
      const ims_uapi_field &field = layout.field[i];
      if (field.form == IMS_FORM_PAD)
        continue;
      uint64_t value = get_field(&bytes[field.offset], field);
      put(field.name, Type::BITS, value).field = &field;
      if (value)
        words += (words.empty() ? "" : ", ") + std::string(field.name) + " " + field_text(field, value);
    }
  }
  put_result(ret, words);
}

void PlayerImpl::page_response_event() {
  File &f = file_named();
  if (const ims_uapi_struct *layout = write_layout(static_cast<ims_uapi_file>(f.kind)))
    return records_write(f, *layout);
  const ims_uapi_struct &layout = page_response_layout(dialect);
  std::vector<uint8_t> bytes(layout.size);
  if (const ims_uapi_field *argsz = find_field(layout, "argsz"))
    put_field(&bytes[argsz->offset], *argsz, layout.size);
  std::string words;
  for (const Arg &a : event->args) {
    const ims_uapi_field *field = event->info->param(a.key) ? nullptr : find_field(layout, a.key);
    if (!field)
      continue;
    uint64_t value = 0;
    for (const Sum &s : a.value.sums)
      value |= eval(s, field->values);
    put_field(&bytes[field->offset], *field, value);
    words += (words.empty() ? "" : ", ") + a.key + " " + field_text(*field, value);
  }
  begin(f.name + ": answer a page request: " + words);
  buffers.process = f.process->process;
  long ret = ims_container_page_response(f.file, buffers.put(std::move(bytes)));
  buffers.process = nullptr;
  put_result(ret);
}

// ---- Events of a guest's IOMMU --------------------------------------------------------------------------------------

// One of an event queue: a header, and the record as the hardware wrote it, but for whose it is.
void PlayerImpl::queue_read_event(File &f) {
  const Arch *arch = find_arch("smmuv3");
  ims_iommufd_vevent_header header;
  uint64_t record[4] = {};
  begin(f.name + ": read an event");
  buffers.process = f.process->process;
  long ret = kernel_read(f, buffers.put(std::vector<uint8_t>(sizeof header + sizeof record)),
                         sizeof header + sizeof record, 0);
  std::string words;
  if (ret >= static_cast<long>(sizeof header)) {
    const uint8_t *bytes = buffers.list[0].bytes.data();
    std::memcpy(&header, bytes, sizeof header);
    put_number("sequence", header.sequence);
    put_word("lost", header.flags & IMS_VEVENT_LOST_EVENTS ? "yes" : "no");
    words = "number " + std::to_string(header.sequence) +
            (header.flags & IMS_VEVENT_LOST_EVENTS ? ", in place of events that were lost" : "");
    if (ret == sizeof header + sizeof record) {
      std::memcpy(record, bytes + sizeof header, sizeof record);
      put_list("record", {record[0], record[1], record[2], record[3]});
      put_event_fields(record);
      for (const Field &field : decode_smmu_event(record))
        words += ", " + field_words(field);
    }
  }
  if (ret >= 0)
    put("event", Type::FAULT, record[0] & 255).arch = arch;
  buffers.process = nullptr;
  put_result(ret, words);
}

// ---- Bytes ----------------------------------------------------------------------------------------------------------

void PlayerImpl::read_file_event() {
  File &f = file_named();
  uint64_t size = number("size", 8), offset = number("offset");
  if (size > 1 << 20)
    fail(arg("size")->at, "expected at most 1M");
  begin(f.name + ": read " + bytes_text(size) + (has("offset") ? " at " + hex(offset) : ""));
  buffers.process = f.process->process;
  uint64_t at = buffers.put(std::vector<uint8_t>(size));
  long ret = kernel_read(f, number("buf", at), size, offset);
  std::string words;
  if (ret >= 0) {
    const std::vector<uint8_t> &bytes = buffers.list[0].bytes;
    size_t came = std::min<size_t>(static_cast<size_t>(ret), size);
    std::vector<uint64_t> u64, u32;
    for (size_t i = 0; i + 8 <= came; i += 8)
      u64.push_back(0), std::memcpy(&u64.back(), &bytes[i], 8);
    for (size_t i = 0; i + 4 <= came; i += 4)
      u32.push_back(0), std::memcpy(&u32.back(), &bytes[i], 4);
    for (size_t i = 0; i < came && i < 32; i++)
      words += format("%s%02x", i && i % 4 == 0 ? " " : "", bytes[i]);
    words += came > 32 ? " ..." : "";
    put_list("u64", u64);
    put_list("u32", u32);
    put("bytes", Type::BYTES, 0).text.assign(bytes.begin(), bytes.begin() + static_cast<long>(came));
  }
  buffers.process = nullptr;
  put_result(ret, words);
}

void PlayerImpl::write_file_event() {
  File &f = file_named();
  std::vector<uint8_t> bytes;
  auto append = [&](uint64_t value, size_t size) {
    for (size_t i = 0; i < size; i++)
      bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
  };
  for (auto [key, size] : {std::pair("u64", size_t(8)), std::pair("u32", size_t(4))})
    if (const Value *v = arg(key))
      for (const Sum &s : v->sums)
        append(eval(s), size);
  for (char c : text("bytes"))
    append(static_cast<uint8_t>(c), 1);
  uint64_t size = number("size", bytes.size()), offset = number("offset");
  begin(f.name + ": write " + bytes_text(size) + (has("offset") ? " at " + hex(offset) : "") +
        (bytes.size() == 4 && has("u32") ? ": " + hex(eval(*arg("u32"))) : ""));
  buffers.process = f.process->process;
  uint64_t at = buffers.put(std::move(bytes));
  long ret = kernel_write(f, number("buf", at), size, offset);
  buffers.process = nullptr;
  put_result(ret);
}

void PlayerImpl::poll_event() {
  File &f = file_named();
  begin(f.name + ": poll");
  unsigned ready = ims_poll(f.file);
  put_word("in", ready & IMS_POLLIN ? "yes" : "no");
  put_word("out", ready & IMS_POLLOUT ? "yes" : "no");
  put_word("hup", ready & IMS_POLLHUP ? "yes" : "no");
  std::string words;
  for (auto [bit, word] :
       {std::pair(IMS_POLLIN, "readable"), std::pair(IMS_POLLOUT, "writable"), std::pair(IMS_POLLHUP, "hung up")})
    if (ready & static_cast<unsigned>(bit))
      words += std::string(words.empty() ? "" : ", ") + word;
  result(words.empty() ? "nothing to be done" : words);
}

} // namespace ims
