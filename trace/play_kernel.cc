// SPDX-License-Identifier: Apache-2.0
// Events that call the kernel: memory of processes, files, ioctls, SVA.
#include "trace/player_internal.h"

#include <algorithm>
#include <cstring>

namespace ims {

// ---- Memory of processes --------------------------------------------------------------------------------------------

unsigned PlayerImpl::prot_of(const std::string &letters) const {
  unsigned prot = 0;
  for (char c : letters == "none" || letters == "-" ? std::string() : letters)
    prot |= c == 'r' ? IMS_PROT_READ : c == 'w' ? IMS_PROT_WRITE : c == 'x' ? IMS_PROT_EXEC : 0;
  return prot;
}

// Large pages are those of the last level but one, and of that before; the smallest are what a page is.
static unsigned page_flags(const std::string &page) {
  return page == "2M" || page == "32M" || page == "512M" ? unsigned(IMS_MMAP_2M)
         : page == "1G"                                  ? unsigned(IMS_MMAP_1G)
                                                         : 0u;
}

void PlayerImpl::mmap_event() {
  Process &p = process_named();
  uint64_t va = number("va"), size = number("size"), at = 0;
  std::string prot = text("prot", "rw");
  unsigned flags = (has("va") ? unsigned(IMS_MMAP_FIXED) : 0u) | (has("populate") ? unsigned(IMS_MMAP_POPULATE) : 0u) |
                   page_flags(text("page"));
  begin(p.name + ": mmap " + bytes_text(size) + (has("va") ? " at " + hex(va) : "") + ", " + prot +
        (has("populate") ? ", populated" : "") + (has("page") ? ", pages of " + text("page") : ""));
  int ret = ims_mmap(p.process, va, size, prot_of(prot), flags, &at);
  if (ret >= 0)
    put_number("va", at, true);
  put_result(ret, ret >= 0 && !has("va") ? "va " + hex(at) : "");
}

void PlayerImpl::munmap_event() {
  Process &p = process_named();
  uint64_t va = number("va"), size = number("size");
  begin(p.name + ": munmap " + bytes_text(size) + " at " + hex(va));
  put_result(ims_munmap(p.process, va, size));
}

void PlayerImpl::mprotect_event() {
  Process &p = process_named();
  uint64_t va = number("va"), size = number("size");
  begin(p.name + ": mprotect " + bytes_text(size) + " at " + hex(va) + " to " + text("prot"));
  put_result(ims_mprotect(p.process, va, size, prot_of(text("prot"))));
}

void PlayerImpl::exit_event() {
  Process &p = process_named();
  begin(p.name + " ends");
  ims_process_exit(p.process);
  p.exited = true;
}

// ---- Files ----------------------------------------------------------------------------------------------------------

void PlayerImpl::open_event() {
  auto f = std::make_unique<File>();
  f->name = text("NAME");
  f->process = &process_named("process");
  std::string path = text("PATH");
  begin(f->process->name + ": open(" + path + "), called " + f->name);
  int ret = ims_open(f->process->process, path.c_str(), &f->file);
  if (ret >= 0 && has("fd")) {
    uint64_t fd = number("fd");
    int err = ims_file_set_fd(f->file, fd > 0x7fffffff ? -1 : static_cast<int>(fd));
    if (err < 0) {
      ims_close(f->file);
      ret = err;
    } else {
      ret = static_cast<int>(fd);
    }
  }
  if (ret >= 0) {
    f->fd = ret;
    f->kind = ims_file_kind(f->file);
    files.push_back(std::move(f));
  }
  put_result(ret);
}

void PlayerImpl::close_event() {
  File &f = file_named();
  begin(f.process->name + ": close(" + f.name + ")");
  put_result(ims_close(f.file));
  for (auto it = files.begin(); it != files.end(); ++it)
    if (it->get() == &f) {
      files.erase(it);
      break;
    }
}

// The buffer answers for itself; all else is the process's own memory.
bool PlayerImpl::on_user_read(void *ctx, void *dst, uint64_t src, size_t len) {
  auto *self = static_cast<PlayerImpl *>(ctx);
  const UserBuffers &b = self->buffers;
  uint64_t off = src - b.base;
  if (b.process && off < b.bytes.size()) {
    if (len > b.bytes.size() - off)
      return false;
    std::memcpy(dst, &b.bytes[off], len);
    return true;
  }
  return b.process && ims_process_read(b.process, src, dst, len) == 0;
}

bool PlayerImpl::on_user_write(void *ctx, uint64_t dst, const void *src, size_t len) {
  auto *self = static_cast<PlayerImpl *>(ctx);
  UserBuffers &b = self->buffers;
  uint64_t off = dst - b.base;
  if (b.process && off < b.bytes.size()) {
    if (len > b.bytes.size() - off)
      return false;
    std::memcpy(&b.bytes[off], src, len);
    return true;
  }
  return b.process && ims_process_write(b.process, dst, src, len) == 0;
}

// A field's bytes of the argument as words: those that are not zero, and the flags.
static std::string argument_words(const ims_uapi_ioctl &row, const std::vector<uint8_t> &bytes) {
  std::string words;
  for (const ims_uapi_part &p : row.part) {
    if (!p.layout || p.pointer)
      break;
    for (unsigned i = 0; i < p.layout->fields; i++) {
      const ims_uapi_field &f = p.layout->field[i];
      size_t at = size_t(p.offset) + f.offset;
      if (at + f.bytes > bytes.size())
        continue;
      uint64_t value = get_field(&bytes[at], f);
      if (value)
        words += (words.empty() ? "" : ", ") + std::string(p.prefix) + f.name + " " + field_text(f, value);
    }
  }
  return words;
}

void PlayerImpl::ioctl_event() {
  File &f = file_named();
  std::vector<std::string> names;
  const ims_uapi_ioctl *row = find_ioctl(dialect, text("IOCTL"), &names);
  if (!row)
    fail(arg("IOCTL")->at, "unknown ioctl in this dialect");
  std::vector<uint8_t> bytes;
  uint64_t argument = 0;
  std::string words;
  switch (row->arg) {
  case IMS_ARG_VALUE:
    argument = number("value");
    words = has("value") ? print_value(*arg("value")) : "0";
    break;
  case IMS_ARG_FD_POINTER: {
    int32_t fd = has("fd") ? file_named("fd").fd : static_cast<int32_t>(number("value", ~0ull));
    bytes.resize(4);
    std::memcpy(bytes.data(), &fd, 4);
    words = has("fd") ? text("fd") : std::to_string(fd);
    break;
  }
  case IMS_ARG_STRUCT:
    bytes = default_argument(*row);
    for (const Arg &a : event->args) {
      unsigned offset = 0;
      const ims_uapi_field *field =
          event->info->param(a.key) ? nullptr : ims_uapi_field_of(row, a.key.c_str(), &offset);
      if (!field)
        continue;
      uint64_t value = 0;
      for (const Sum &s : a.value.sums)
        value |= eval(s, field->values);
      if (field->bytes < 8 && value >> (8 * field->bytes))
        fail(a.value.at, hex(value) + " does not fit the " + std::to_string(field->bytes * 8) + " bits of this field");
      put_field(&bytes[offset], *field, value);
    }
    words = argument_words(*row, bytes);
    break;
  default: break;
  }
  if (has("buffer")) {
    uint64_t size = number("buffer");
    if (size > 1 << 20)
      fail(arg("buffer")->at, "expected at most 1M");
    bytes.resize(size);
  }
  bool indirect = row->arg == IMS_ARG_STRUCT || row->arg == IMS_ARG_FD_POINTER;
  buffers.process = f.process->process;
  if (indirect)
    argument = buffers.put(bytes);
  if (has("arg")) {
    argument = number("arg");
    words = "pointer " + hex(argument);
  }
  begin(f.name + ": " + text("IOCTL") + (words.empty() ? "" : ": " + words));
  long ret = ims_ioctl(f.file, row->word, argument);

  std::string came;
  if (row->arg == IMS_ARG_STRUCT) {
    const std::vector<uint8_t> &after = buffers.bytes;
    for (const ims_uapi_part &p : row->part) {
      if (!p.layout || p.pointer)
        break;
      for (unsigned i = 0; i < p.layout->fields; i++) {
        const ims_uapi_field &field = p.layout->field[i];
        size_t at = size_t(p.offset) + field.offset;
        if (at + field.bytes > after.size())
          continue;
        uint64_t value = get_field(&after[at], field);
        std::string name = std::string(p.prefix) + field.name;
        put(name.c_str(), Type::BITS, value).field = &field;
        if (ret >= 0 && at + field.bytes <= bytes.size() && value != get_field(&bytes[at], field))
          came += (came.empty() ? "" : ", ") + name + " " + field_text(field, value);
      }
    }
    if (ret >= 0 && row->word == IMS_VFIO_IOMMU_GET_INFO)
      for (const NamedField &c : decode_capabilities(dialect, after)) {
        put(c.name.c_str(), Type::BITS, c.value).field = c.field;
        if (c.value)
          came += (came.empty() ? "" : ", ") + c.name + " " + field_text(*c.field, c.value);
      }
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
  const ims_uapi_ioctl *row =
      ims_uapi_by_word(dialect.dialect, dialect.iommu_h, static_cast<ims_uapi_file>(f.kind),
                       static_cast<uint32_t>(word), given.data(), given.size());
  std::string name = row ? std::string(row->name) + (*row->variant ? "/" : "") + row->variant : "unknown";
  begin(f.name + ": ioctl " + hex(word) + " (" + name + ")" +
        (given.empty() ? has("value") ? " with " + hex(argument) : "" : " with " + bytes_text(given.size())));
  long ret = ims_ioctl(f.file, static_cast<uint32_t>(word), argument);
  put("bytes", Type::BYTES, 0).text.assign(buffers.bytes.begin(), buffers.bytes.end());
  buffers.process = nullptr;
  put_result(ret);
}

void PlayerImpl::fault_read_event() {
  File &f = file_named();
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

// ---- SVA ------------------------------------------------------------------------------------------------------------

void PlayerImpl::sva_bind_event() {
  auto s = std::make_unique<Sva>();
  s->name = text("NAME");
  Device &d = named(devices, "device");
  Process &p = process_named("process");
  begin("bind process " + p.name + " to " + d.name);
  int ret = ims_sva_bind(host_device(d), p.process, &s->sva);
  uint32_t pasid = ret >= 0 ? ims_sva_pasid(s->sva) : 0;
  if (ret >= 0) {
    put_number("pasid", pasid);
    svas.push_back(std::move(s));
  }
  put_result(ret, ret >= 0 ? "PASID " + std::to_string(pasid) : "");
}

void PlayerImpl::sva_unbind_event() {
  Sva &s = named(svas);
  begin("give binding " + s.name + " up");
  ims_sva_unbind(s.sva);
  for (auto it = svas.begin(); it != svas.end(); ++it)
    if (it->get() == &s) {
      svas.erase(it);
      break;
    }
}

void PlayerImpl::pasid_quota_event() {
  uint64_t quota = number("QUOTA");
  begin("pasid_quota = " + std::to_string(quota));
  put_result(ims_kernel_set_pasid_quota(kernel, static_cast<uint32_t>(quota)));
}

void PlayerImpl::device_set_event() {
  Device &d = named(devices);
  ims_device *host = host_device(d);
  std::string words;
  for (const char *key : {"ats", "pri"})
    if (has(key))
      words += std::string(words.empty() ? "" : ", ") + key + " " + text(key);
  begin(d.name + ": " + (words.empty() ? "nothing to set" : words));
  int ret = 0;
  if (has("ats"))
    ret = ims_device_enable_ats(host, word_is("ats", "on"));
  if (has("pri") && ret >= 0) {
    ret = ims_device_enable_pri(host, word_is("pri", "on"));
    if (ret >= 0 && word_is("pri", "on"))
      ims_endpoint_enable_page_requests(&d.endpoint);
  }
  put_result(ret);
}

} // namespace ims
