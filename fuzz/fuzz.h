// SPDX-License-Identifier: Apache-2.0
// What the fuzz targets of units share: bytes of the input, and the same request at once and step by step.
#pragma once

#include "iommu/iommu.h"

#include <cstdlib>
#include <cstring>

namespace fuzz {

[[noreturn]] inline void wrong() { std::abort(); }

// The input, taken from the front; zeros once it has ended.
struct Input {
  const uint8_t *data;
  size_t size;
  bool empty() const { return size == 0; }
  uint64_t take(size_t n) {
    uint64_t v = 0;
    size_t have = n < size ? n : size;
    memcpy(&v, data, have);
    data += have;
    size -= have;
    return v;
  }
};

inline bool same(const ims_result &a, const ims_result &b) {
  return a.output == b.output && a.status == b.status && a.completion == b.completion && a.shift == b.shift &&
         a.rights == b.rights && a.snoop == b.snoop && a.recorded == b.recorded && a.fault == b.fault &&
         a.refs == b.refs && a.attr == b.attr && a.stag == b.stag && a.output_ipa == b.output_ipa &&
         !memcmp(a.record, b.record, sizeof a.record) && a.untranslated_only == b.untranslated_only;
}

inline void step_through(ims_iommu *u, const ims_request &r, ims_result *res) {
  ims_xlate x;
  memset(static_cast<void *>(&x), 0xa5, sizeof x);
  ims_xlate_begin(&x, u, &r, res);
  for (int n = 0;; n++) {
    ims_step_kind kind = ims_xlate_step(&x);
    if (kind == IMS_STEP_DONE || kind == IMS_STEP_FAULT)
      break;
    ims_xlate_answer(&x, kind);
    if (n > 4000)
      wrong(); // a walk without end
  }
  ims_xlate_finish(&x);
}

// Counters of caches that hold: what went out had come in.
inline void check_caches(const ims_iommu *u) {
  for (const ims_cache &c : u->cache)
    if (c.entries && (c.count.fills < c.count.evictions + c.count.invalidated || c.pieces > c.present))
      wrong();
}

} // namespace fuzz
