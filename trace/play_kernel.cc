// SPDX-License-Identifier: Apache-2.0
// Events that call the kernel: memory of processes, open and close, SVA.
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
        (has("populate") ? ", populated" : "") + (has("page") ? ", pages of " + text("page") : "") +
        (has("file") ? ", of " + text("file") + (has("offset") ? " from " + hex(number("offset")) : "") : ""));
  int ret = has("file") ? ims_mmap_file(p.process, va, size, prot_of(prot), flags, file_named("file").file,
                                        number("offset"), &at)
                        : ims_mmap(p.process, va, size, prot_of(prot), flags, &at);
  if (ret >= 0)
    put_number("va", at, true);
  put_result(ret, ret >= 0 && !has("va") ? "va " + hex(at) : "");
}

void PlayerImpl::memfd_event() {
  auto f = std::make_unique<File>();
  f->name = text("NAME");
  f->process = &process_named("process");
  uint64_t size = number("size");
  begin(f->process->name + ": " + bytes_text(size) + " of memory as a file, called " + f->name +
        (has("page") ? ", pages of " + text("page") : ""));
  int ret = ims_memfd_create(f->process->process, size, page_flags(text("page")), &f->file);
  if (ret >= 0) {
    f->fd = ret;
    f->kind = ims_file_kind(f->file);
    files.push_back(std::move(f));
  }
  put_result(ret);
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
  Calling opening; // of a recorded program: its side hands the number out
  opening.process = f->process;
  opening.fds = {static_cast<int64_t>(number("fd", 1 << 20))};
  calling = f->process->outside ? &opening : nullptr;
  int ret = ims_open(f->process->process, path.c_str(), &f->file);
  calling = nullptr;
  if (ret >= 0 && has("fd") && !f->process->outside) {
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
    f->kind = static_cast<uint8_t>(ims_file_kind(f->file));
    add_file(std::move(f));
  }
  put_result(ret);
}

File &PlayerImpl::add_file(std::unique_ptr<File> f) {
  if (options.recorder)
    f->recorded = options.recorder->known_file(f->name);
  files.push_back(std::move(f));
  return *files.back();
}

void PlayerImpl::close_event() {
  File &f = file_named();
  begin(f.process->name + ": close(" + f.name + ")");
  if (options.recorder)
    options.recorder->forget_file(f.recorded);
  put_result(ims_close(f.file));
  for (auto it = files.begin(); it != files.end(); ++it)
    if (it->get() == &f) {
      files.erase(it);
      break;
    }
}

// The buffers answer for themselves; all else is the process's own memory.
bool PlayerImpl::on_user_read(void *ctx, void *dst, uint64_t src, size_t len) {
  auto *self = static_cast<PlayerImpl *>(ctx);
  if (self->calling)
    return self->call_read(dst, src, len);
  UserBuffers &b = self->buffers;
  uint64_t off;
  if (std::vector<uint8_t> *bytes = b.find(src, &off)) {
    if (len > bytes->size() - off)
      return false;
    std::memcpy(dst, bytes->data() + off, len);
    return true;
  }
  return b.process && ims_process_read(b.process, src, dst, len) == 0;
}

bool PlayerImpl::on_user_write(void *ctx, uint64_t dst, const void *src, size_t len) {
  auto *self = static_cast<PlayerImpl *>(ctx);
  if (self->calling)
    return self->call_write(dst, src, len);
  UserBuffers &b = self->buffers;
  uint64_t off;
  if (std::vector<uint8_t> *bytes = b.find(dst, &off)) {
    if (len > bytes->size() - off)
      return false;
    std::memcpy(bytes->data() + off, src, len);
    return true;
  }
  return b.process && ims_process_write(b.process, dst, src, len) == 0;
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

void PlayerImpl::process_set_event() {
  static constexpr struct {
    const char *key;
    unsigned cap;
  } caps[] = {{"ipc_lock", IMS_CAP_IPC_LOCK}, {"sys_resource", IMS_CAP_SYS_RESOURCE}, {"sys_rawio", IMS_CAP_SYS_RAWIO}};
  Process &p = process_named();
  std::string words;
  for (const auto &c : caps)
    if (has(c.key)) {
      p.caps = word_is(c.key, "on") ? p.caps | c.cap : p.caps & ~c.cap;
      words += std::string(words.empty() ? "" : ", ") + c.key + " " + text(c.key);
    }
  ims_process_set_caps(p.process, p.caps);
  if (has("memlock")) {
    ims_process_set_memlock(p.process, number("memlock"));
    words += std::string(words.empty() ? "" : ", ") + "may pin " + bytes_text(number("memlock"));
  }
  begin(p.name + ": " + (words.empty() ? "nothing to set" : words));
}

} // namespace ims
