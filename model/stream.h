// SPDX-License-Identifier: Apache-2.0
// A stream of DMAs: who issues them, and where in its address space. One PASID of one tenant, or a function without PASID.
#pragma once

#include <cstdint>

namespace ims::model {

struct Stream {
  uint32_t source = 0; // requester id or StreamID
  uint32_t pasid = 0;  // or SubstreamID, with has_pasid
  bool has_pasid = false;
  uint64_t iova = 0;  // where its memory begins; a multiple of 4096
  uint64_t bytes = 0; // how much of it there is
};

} // namespace ims::model
