// SPDX-License-Identifier: Apache-2.0
// The events that recordings consist of - `call`, `page`, `file-page` - as plain values: what the binary form stores in
// records of their own. Other events, and these when they are written in another way than print_event() does, are text there.
#pragma once

#include "trace/event.h"
#include "trace/fields.h"

namespace ims {

struct CallRecord {
  enum Op : uint8_t { IOCTL, READ, WRITE, MMAP, MUNMAP, OPS };

  std::string file;
  Op op = IOCTL;
  uint32_t word = 0;
  uint64_t arg = 0, len = 0, offset = 0;
  unsigned prot = 0; // IMS_PROT_*
  bool shared = false, timed = false, has_cookie = false;
  uint64_t at = 0, took = 0; // ns, when timed
  int64_t result = 0;        // or -errno
  uint64_t cookie = 0;
  std::vector<int64_t> fds;
  std::vector<Piece> in, seen, out, stored;
};

struct PageRecord {
  std::string process;
  bool of_file = false; // file-page
  uint64_t file = 0;
  uint64_t at = 0, size = 0, page = 0; // va or offset; page 0: all of it is one
  bool write = false, has_hpa = false;
  uint64_t hpa = 0;
  uint32_t error = 0; // errno, a number that has a name
};

bool is_named_errno(int64_t number); // 1 or more, with a name in traces

// False: the event says something that the record cannot, or says it in another way. Then it stays text.
bool call_of(const Event &e, CallRecord *record);
bool page_of(const Event &e, PageRecord *record);

Event event_of(const CallRecord &record);
Event event_of(const PageRecord &record);

// A call for people: "VFIO_IOMMU_MAP_DMA: argsz 32, flags READ|WRITE ...", the argument as it went in; of a file of this
// kind (enum ims_uapi_file; IMS_FILE_KINDS: whichever has the command).
std::string call_words(const CallRecord &record, const Dialect &dialect, unsigned kind);
// What came of it: "returns 0; out_ioas_id 1", with the fields that the kernel changed.
std::string result_words(const CallRecord &record, const Dialect &dialect, unsigned kind);

} // namespace ims
