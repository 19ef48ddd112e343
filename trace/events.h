// SPDX-License-Identifier: Apache-2.0
// The table of events: one row each with its parameters and outputs. Parsing, checking, printing and the reference of
// docs/trace.md come from here.
#pragma once

#include "trace/event.h"

namespace ims {

// X(id, name) in the order of the reference.
// clang-format off
#define IMS_EVENTS(X)               \
  X(MEMORY,        "memory")        \
  X(KERNEL,        "kernel")        \
  X(IOMMU,         "iommu")         \
  X(DEVICE,        "device")        \
  X(PROCESS,       "process")       \
  X(VM,            "vm")            \
  X(SLOT,          "slot")          \
  X(GUEST_POOL,    "guest-pool")    \
  X(POOL,          "pool")          \
  X(TABLE,         "table")         \
  X(ALLOC,         "alloc")         \
  X(MMAP,          "mmap")          \
  X(MEMFD,         "memfd")         \
  X(MUNMAP,        "munmap")        \
  X(MPROTECT,      "mprotect")      \
  X(EXIT,          "exit")          \
  X(OPEN,          "open")          \
  X(CLOSE,         "close")         \
  X(IOCTL,         "ioctl")         \
  X(IOCTL_RAW,     "ioctl-raw")     \
  X(FAULT_READ,    "fault-read")    \
  X(PAGE_RESPONSE, "page-response") \
  X(READ_FILE,     "read-file")     \
  X(WRITE_FILE,    "write-file")    \
  X(POLL,          "poll")          \
  X(SVA_BIND,      "sva-bind")      \
  X(SVA_UNBIND,    "sva-unbind")    \
  X(PASID_QUOTA,   "pasid-quota")   \
  X(DEVICE_SET,    "device-set")    \
  X(PROCESS_SET,   "process-set")   \
  X(CALL,          "call")          \
  X(SHARE,         "share")         \
  X(ADOPT,         "adopt")         \
  X(PAGE,          "page")          \
  X(FILE_OPEN,     "file-open")     \
  X(FILE_PAGE,     "file-page")     \
  X(MAP,           "map")           \
  X(UNMAP,         "unmap")         \
  X(PROTECT,       "protect")       \
  X(WRITE,         "write")         \
  X(ENTRY,         "entry")         \
  X(FILL,          "fill")          \
  X(READ,          "read")          \
  X(MMIO_WRITE,    "mmio-write")    \
  X(MMIO_READ,     "mmio-read")     \
  X(DESCRIPTOR,    "descriptor")    \
  X(COMMAND,       "command")       \
  X(EVENT_READ,    "event-read")    \
  X(REQUEST_READ,  "request-read")  \
  X(DMA,           "dma")           \
  X(OUTCOME,       "outcome")       \
  X(PAGE_REQUEST,  "page-request")  \
  X(FAULT_LOG,     "fault-log")     \
  X(DROP_CACHES,   "drop-caches")   \
  X(BARRIER,       "barrier")       \
  X(LET,           "let")           \
  X(SAY,           "say")
// clang-format on

enum class EventId : uint8_t {
#define IMS_X(id, name) id,
  IMS_EVENTS(IMS_X)
#undef IMS_X
      COUNT
};

// What a name can stand for. Bits, since a parameter may take several.
enum ObjectKind : unsigned {
  KIND_IOMMU = 1,
  KIND_DEVICE = 2,
  KIND_PROCESS = 4,
  KIND_VM = 8,
  KIND_POOL = 16,
  KIND_TABLE = 32,
  KIND_FILE = 64,
  KIND_SVA = 128,
};
std::string kind_text(unsigned kinds); // "a device or an IOMMU"

struct ParamInfo {
  enum Need : uint8_t { PLACE, REQUIRED, OPTIONAL }; // PLACE: known by its place, without a key
  const char *name;
  Type type;
  Need need;
  const char *words; // WORD: "a|b|c"
  unsigned kinds;    // NAME, NEW_NAME
  const char *def;   // what is meant when it is left out, for the reference; may be NULL
  const char *sentence;
};

struct OutputInfo {
  const char *name;
  Type type;
  const char *words;
  const char *sentence;
};

struct EventInfo {
  EventId id;
  const char *name;
  const char *section; // of the reference
  bool needs_kernel;
  const char *dynamic; // what further keys it takes, for the reference; NULL: none
  const char *sentence;
  const char *example;
  std::vector<ParamInfo> params; // those with a place first
  std::vector<OutputInfo> outputs;

  const ParamInfo *param(std::string_view key) const;
  const OutputInfo *output(std::string_view key) const;
};

const std::vector<EventInfo> &events();
const EventInfo &event_info(EventId id);

// Attributes of objects: OBJECT.NAME as a number.
struct AttributeInfo {
  unsigned kind;
  const char *name, *sentence;
};
const std::vector<AttributeInfo> &attributes();

// The reference of all events in Markdown, as it stands in docs/trace.md.
std::string events_markdown();

} // namespace ims
