// SPDX-License-Identifier: Apache-2.0
// The configuration of a whole system: a unit of whichever architecture, and the parts of the timed model around it. A new
// part is its header, and a row here.
#pragma once

#include "model/device.h"
#include "model/host.h"
#include "model/iommu.h"
#include "model/link.h"
#include "model/llc.h"
#include "model/machine.h"
#include "model/memory.h"
#include "trace/arch.h"

#include <string>
#include <vector>

// X(member, type). Its section in JSON has the name that the part says.
// clang-format off
#define IMS_SYSTEM_PARTS(X) \
  X(machine, MachineConfig) \
  X(device, DeviceConfig)   \
  X(link, LinkConfig)       \
  X(iommu, IommuConfig)     \
  X(llc, LlcConfig)         \
  X(memory, MemoryConfig)   \
  X(host, HostConfig)
// clang-format on

namespace ims {

struct SystemConfig : Config {
#define IMS_X(member, type) model::type member;
  IMS_SYSTEM_PARTS(IMS_X)
#undef IMS_X
};

// "vtd", "link": what a name of its own stands for in the configuration.
struct Section {
  std::string name, title;
  const Arch *arch;             // NULL: a part of the model
  size_t offset;                // of its struct in SystemConfig
  std::vector<ims_option> rows; // offsets in its struct
};

// Architectures first, then the parts.
const std::vector<Section> &sections();

} // namespace ims
