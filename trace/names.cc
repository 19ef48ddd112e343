// SPDX-License-Identifier: Apache-2.0
// Names of numbers in traces.
#include "trace/names.h"
#include "mem/error.h"
#include "trace/number.h"
#include "trace/text.h"
#include "uapi/vfio.h"

#include <cinttypes>
#include <cstdarg>
#include <cstdio>
#include <strings.h>

namespace ims {

namespace {

struct Named {
  const char *name;
  int64_t value;
};

const Named errnos[] = {
    {"EPERM", 1},       {"ENOENT", 2},        {"ESRCH", 3},       {"EINTR", 4},       {"EIO", 5},
    {"ENXIO", 6},       {"E2BIG", 7},         {"EBADF", 9},       {"EAGAIN", 11},     {"ENOMEM", 12},
    {"EACCES", 13},     {"EFAULT", 14},       {"EBUSY", 16},      {"EEXIST", 17},     {"EXDEV", 18},
    {"ENODEV", 19},     {"ENOTDIR", 20},      {"EISDIR", 21},     {"EINVAL", 22},     {"ENFILE", 23},
    {"EMFILE", 24},     {"ENOTTY", 25},       {"ETXTBSY", 26},    {"EFBIG", 27},      {"ENOSPC", 28},
    {"ESPIPE", 29},     {"EROFS", 30},        {"EPIPE", 32},      {"EDOM", 33},       {"ERANGE", 34},
    {"EDEADLK", 35},    {"ENAMETOOLONG", 36}, {"ENOSYS", 38},     {"ELOOP", 40},      {"ENODATA", 61},
    {"ETIME", 62},      {"EPROTO", 71},       {"EOVERFLOW", 75},  {"EBADFD", 77},     {"EMSGSIZE", 90},
    {"EOPNOTSUPP", 95}, {"EADDRINUSE", 98},   {"ETIMEDOUT", 110}, {"ECANCELED", 125}, {"ENOTSUPP", 524},
};

const Named errors[] = {
#define IMS_X(name, value, sentence) {#name, value},
    IMS_ERRORS(IMS_X)
#undef IMS_X
};

const Named constants[] = {
    {"VFIO_TYPE1_IOMMU", IMS_VFIO_TYPE1_IOMMU},
    {"VFIO_TYPE1v2_IOMMU", IMS_VFIO_TYPE1v2_IOMMU},
    {"VFIO_DMA_CC_IOMMU", IMS_VFIO_DMA_CC_IOMMU},
    {"VFIO_TYPE1_NESTING_IOMMU", IMS_VFIO_TYPE1_NESTING_IOMMU},
    {"VFIO_NESTING_IOMMU_UAPI", IMS_VFIO_NESTING_IOMMU_UAPI},
};

template <size_t N> std::vector<std::string> names_of(const Named (&list)[N]) {
  std::vector<std::string> names;
  for (const Named &n : list)
    names.push_back(n.name);
  return names;
}

template <size_t N> const Named *find(const Named (&list)[N], std::string_view name) {
  for (const Named &n : list)
    if (name == n.name)
      return &n;
  return nullptr;
}

} // namespace

int errno_by_name(std::string_view name) {
  const Named *n = find(errnos, name);
  return n ? static_cast<int>(n->value) : -1;
}

std::string errno_name(int number) {
  if (number == 0)
    return "OK";
  for (const Named &n : errnos)
    if (n.value == number)
      return n.name;
  return "errno " + std::to_string(number);
}

std::vector<std::string> errno_names() { return names_of(errnos); }

bool error_by_name(std::string_view name, int *number) {
  const Named *n = find(errors, name);
  *number = n ? static_cast<int>(n->value) : 0;
  return n;
}

std::vector<std::string> error_names() { return names_of(errors); }

bool fault_by_name(std::string_view name, const Arch **arch, unsigned *code) {
  *arch = nullptr;
  *code = 0;
  if (name == "none")
    return true;
  auto plain = [](std::string text) {
    for (char &c : text)
      c = c == '.' ? '_' : c;
    return text;
  };
  std::string wanted = plain(std::string(name));
  for (const Arch *a : arches())
    for (const FaultInfo &f : a->faults)
      if (!strcasecmp(plain(f.name).c_str(), wanted.c_str())) {
        *arch = a;
        *code = f.code;
        return true;
      }
  return false;
}

std::vector<std::string> fault_names() {
  std::vector<std::string> names = {"none"};
  for (const Arch *a : arches())
    for (const FaultInfo &f : a->faults)
      names.push_back(f.name);
  return names;
}

bool vfio_constant(std::string_view name, uint64_t *value) {
  const Named *n = find(constants, name);
  *value = n ? static_cast<uint64_t>(n->value) : 0;
  return n;
}

std::vector<std::string> vfio_constants() { return names_of(constants); }

bool register_by_name(const Arch &arch, std::string_view name, RegisterName *out) {
  *out = {};
  uint64_t number = 0;
  if (parse_size(name, &number)) {
    out->offset = static_cast<uint32_t>(number);
    return number < 0x1000000;
  }
  if (size_t plus = name.find('+'); plus != name.npos) {
    if (!parse_size(name.substr(plus + 1), &number) || number >= 0x1000)
      return false;
    name = name.substr(0, plus);
  }
  out->offset = static_cast<uint32_t>(number);
  if (arch.numbered_records && name.size() > 4 && name.substr(0, 4) == "FRCD") {
    uint64_t index;
    if (!parse_size(name.substr(4), &index) || index > 255 || number > 12)
      return false;
    out->frcd = static_cast<int>(index);
    return true;
  }
  out->reg = arch.find_register(name, &out->index);
  return out->reg >= 0;
}

std::vector<std::string> register_names(const Arch &arch) {
  std::vector<std::string> names = arch.register_names();
  if (arch.numbered_records)
    names.push_back("FRCD0");
  return names;
}

} // namespace ims
