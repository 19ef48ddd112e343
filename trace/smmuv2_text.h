// SPDX-License-Identifier: Apache-2.0
// SMMUv2 in words: what registers decide for a stream (Arm IHI 0062: stream matching, context banks), and the record of a
// fault.
#pragma once

#include "iommu/iommu.h"
#include "trace/structure.h"

namespace ims {

// How a request finds its context bank, a line each.
std::vector<std::string> smmuv2_preamble(const ims_iommu *u, const ims_request &r);

// What the fault registers hold (iommu/smmuv2/smmuv2.h), field by field.
std::vector<Field> decode_smmuv2_record(const ims_result &r);

} // namespace ims
